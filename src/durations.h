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

/* What takes less than that may share a transaction with others. */
#define BRIEF_ACTIVITY_MS 2

/* For shmem.c: the memory, and the lock that guards it. */
extern Size durations_shared_size(void);
extern void durations_attach(LWLock *durations_lock);

/* An activity of a hub of this database, never 0. */
extern uint64 duration_key(const char *task_hub, const char *name);

extern bool duration_is_short(const char *task_hub, const char *name);

/* Known to take no time that others in its transaction would notice, and to leave nothing there that they would? */
extern bool duration_is_brief(const char *task_hub, const char *name);

/* What it usually takes, in ms; 0: nothing is known. */
extern double duration_usual(const char *task_hub, const char *name);

/*
 * It was undone while it shared a transaction, and says nothing of how long it
 * takes: for what it left there (then it is not known to be brief for some time), or because it was held up.
 */
extern void duration_note_undone(const char *task_hub, const char *name, bool for_its_trace);

/* Names (char *) of all activities of a hub that are known to be short, or brief. */
extern List *duration_short_names(const char *task_hub);
extern List *duration_brief_names(const char *task_hub);

/* An activity has run for so long. Only what workers run counts. */
extern void duration_note(const char *task_hub, const char *name, double milliseconds);

#endif							/* DURABLE_DURATIONS_H */
