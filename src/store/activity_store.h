/*
 * activity_store.h
 *		The queue of activities.
 */
#ifndef DURABLE_ACTIVITY_STORE_H
#define DURABLE_ACTIVITY_STORE_H

#include "core/runtime_state.h"
#include "store/registry_store.h"

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
	TransactionId writer;		/* the transaction that queued it */
	ItemPointerData tid;		/* of the locked row */
	struct ClaimedActivity *first;	/* of those that have the row together: itself, if it is alone */
	List	   *more;			/* of the first: the TaskScheduled events of the others */

	bool		is_lost;		/* its instance was purged or replaced, and its input is gone */
	bool		is_damaged;		/* what has the row together with it cannot be read */
	bool		is_done;		/* it was run, by who claimed it with others */
	bool		must_be_alone;	/* ... or has to run alone */

	/* of its instance */
	const char *instance_version;
	const char *parent_instance_id;
	Jsonb	   *tags;
	InstanceSettings settings;

	bool		others_parked;	/* there are parked ones in the hub */
	int			max_payload_size;	/* of the hub, in kB; 0: no limit of its own */
	RegistryMatch match;
	ActivityRegistration registration;	/* if match is REGISTERED */
} ClaimedActivity;

/* Activities by name and version, to be left out; all of them are queued with both. */
typedef struct ActivityKey
{
	const char *name;
	const char *version;		/* NULL: none */
} ActivityKey;

/*
 * Locks the activity that is visible longest and that nobody holds, with what
 * is registered for it; NULL if there is none. "full", a list of ActivityKey,
 * are not wanted.
 */
extern ClaimedActivity *store_claim_activity(const char *task_hub, TimestampTz now, List *full);

/* The same for activities of these names (char *) only, of which not those far behind in a long queue are found. */
extern ClaimedActivity *store_claim_activity_of(const char *task_hub, TimestampTz now, List *names);

/* Has an instance activities in the queue, in whosever hands? */
extern bool store_has_activities(const char *task_hub, const char *instance_id);

/*
 * Some that may share a transaction, of these names (char *; NIL: of any): all
 * that are in up to so many rows of the queue. A list of ClaimedActivity, the
 * one that waits longest first; those of one row follow each other.
 */
extern List *store_claim_shareable_activities(const char *task_hub, TimestampTz now, List *names, int n_rows);

/*
 * Brief activities of a wide fan-out have rows of the queue together. Gives
 * each a row of its own: those of a row that is locked or of nobody; of the execution's
 * rows, or only of the one whose first activity has this number.
 */
extern void store_unpack_activities(const char *task_hub, const char *instance_id, const pg_uuid_t *execution_id,
									const int *task_id);

/*
 * Parked are activities that found as many of them running as may be. They
 * stand beside the queue, so that what is behind them is found at once, and
 * are claimed by name and version.
 */
typedef struct ParkedActivity
{
	ActivityKey key;
	ActivityRegistration registration;	/* name, version and max_concurrency; version NULL: none any more */
} ParkedActivity;

/* What is parked, a ParkedActivity for each name and version, the one that waits longest first. */
extern List *store_find_parked_activities(const char *task_hub);
extern ClaimedActivity *store_claim_parked_activity(const char *task_hub, TimestampTz now, const ActivityKey *key);

/* Parks all queued activities of a name and version that are due and nobody holds. */
extern void store_park_activities(const char *task_hub, TimestampTz now, const ActivityKey *key);

/*
 * Deletes the claimed activity and sends the outcome to its instance, if that
 * execution is still running: result, or failure if that is not NULL.
 */
extern void store_finish_activity(const char *task_hub, const ClaimedActivity *activity,
								  Jsonb *result, Jsonb *failure, TimestampTz now);

/* What came of an activity that was claimed with others. */
typedef struct FinishedActivity
{
	const ClaimedActivity *activity;
	Jsonb	   *result;
	Jsonb	   *failure;
	TimestampTz finished_at;
} FinishedActivity;

/*
 * store_finish_activity() for several (FinishedActivity *) of those that this
 * transaction claimed. What is left of a row of which something was done, or
 * has to run alone, is queued again, each activity for itself.
 */
extern void store_finish_activities(const char *task_hub, List *claimed, List *finished);

/*
 * Locks this activity again, in a later transaction than the one that claimed
 * it first; false if it is gone, held by another, or has its row together with
 * others.
 */
extern bool store_reclaim_activity(const char *task_hub, const ClaimedActivity *activity);

/*
 * Deletes the activities of an instance that nobody runs, and of its
 * descendants if "recursive". Sets the ids of these instances that have lost
 * some, and of those that still have some, for those run.
 */
extern void store_drop_queued_activities(const char *task_hub, const char *instance_id, bool recursive,
										 List **dropped, List **running);

/* Makes a claimed activity run again, as this attempt, not before "until". */
extern void store_repeat_activity(const char *task_hub, const ClaimedActivity *activity, int attempt, TimestampTz until);

#endif							/* DURABLE_ACTIVITY_STORE_H */
