/*
 * activity_store.h
 *		The queue of activities.
 */
#ifndef DURABLE_ACTIVITY_STORE_H
#define DURABLE_ACTIVITY_STORE_H

#include "core/runtime_state.h"

/* A claimed activity: its row is locked by this transaction. */
typedef struct ClaimedActivity
{
	const char *instance_id;
	pg_uuid_t	execution_id;
	int64		generation;
	int			task_id;
	int			seq;
	int			attempt;
	const char *name;
	const char *version;
	Jsonb	   *input;

	bool		is_lost;		/* its instance was purged or replaced, and its input is gone */

	/* of its instance */
	const char *instance_version;
	const char *parent_instance_id;
	Jsonb	   *tags;
	InstanceSettings settings;
} ClaimedActivity;

/* Locks the activity that is visible longest and that nobody holds; NULL if there is none. */
extern ClaimedActivity *store_claim_activity(const char *task_hub, TimestampTz now);

/*
 * Deletes the claimed activity and sends the outcome to its instance, if that
 * execution is still running: result, or failure if that is not NULL.
 */
extern void store_finish_activity(const char *task_hub, const ClaimedActivity *activity,
								  Jsonb *result, Jsonb *failure, TimestampTz now);

/*
 * Locks this activity again, in a later transaction than the one that claimed
 * it first; false if it is gone or held by another.
 */
extern bool store_reclaim_activity(const char *task_hub, const ClaimedActivity *activity);

/*
 * Deletes the activities of an instance that nobody runs, and of its
 * descendants if "recursive". Returns the ids of all these instances that still
 * have some, for those run.
 */
extern List *store_drop_queued_activities(const char *task_hub, const char *instance_id, bool recursive);

/* Makes a claimed activity run again, as this attempt, not before "until". */
extern void store_repeat_activity(const char *task_hub, const ClaimedActivity *activity, int attempt, TimestampTz until);

#endif							/* DURABLE_ACTIVITY_STORE_H */
