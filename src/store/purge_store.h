/*
 * purge_store.h
 *		Deleting finished instances with all that belongs to them.
 */
#ifndef DURABLE_PURGE_STORE_H
#define DURABLE_PURGE_STORE_H

#include "core/runtime_state.h"

/* Deletes a finished instance and, if "recursive", its finished children; returns how many. */
extern int64 store_purge_instance(const char *task_hub, const char *instance_id, bool recursive);

/* Which finished instances. */
typedef struct PurgeFilter
{
	TimestampTz finished_before;	/* DT_NOEND: any */
	TimestampTz created_before; /* DT_NOEND: any */
	bool		statuses[STATUS_CANCELED + 1];
} PurgeFilter;

/* Deletes up to max_count of them, those that finished first; returns how many. */
extern int64 store_purge_finished(const char *task_hub, const PurgeFilter *filter, int64 max_count);

/*
 * Deletes a hub with all that is in it, and returns how many instances that
 * were. Nothing new may be started in it meanwhile; waits for what is in
 * flight.
 */
extern int64 store_discard_hub(const char *task_hub);

#endif							/* DURABLE_PURGE_STORE_H */
