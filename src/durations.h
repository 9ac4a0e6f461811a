/*
 * durations.h
 *		How long activities take, in shared memory: which of them are known to
 *		be short?
 *
 * Known to be short is what has run before and took less than
 * SHORT_ACTIVITY_MS in the mean of its last runs; after a long one it takes one
 * or two dozen of short ones. What is not known, or not any more, is taken to
 * be long: nothing is lost by that but the right to the last slots.
 */
#ifndef DURABLE_DURATIONS_H
#define DURABLE_DURATIONS_H

#include "postgres.h"
#include "nodes/pg_list.h"
#include "storage/lwlock.h"

#define SHORT_ACTIVITY_MS 100

/* For shmem.c: the memory, and the lock that guards it. */
extern Size durations_shared_size(void);
extern void durations_attach(LWLock *durations_lock);

/* An activity of a hub of this database, never 0. */
extern uint64 duration_key(const char *task_hub, const char *name);

extern bool duration_is_short(const char *task_hub, const char *name);

/* Names (char *) of all activities of a hub that are known to be short. */
extern List *duration_short_names(const char *task_hub);

/* An activity has run for so long. Only what workers run counts. */
extern void duration_note(const char *task_hub, const char *name, double milliseconds);

#endif							/* DURABLE_DURATIONS_H */
