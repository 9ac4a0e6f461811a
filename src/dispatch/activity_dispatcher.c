/*
 * activity_dispatcher.c
 *		Activities: each in a transaction of its own, shared with the record
 *		that it ran.
 */
#include "postgres.h"

#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "clock.h"
#include "core/failure.h"
#include "dispatch/activity_execution.h"
#include "dispatch/concurrency.h"
#include "dispatch/dispatchers.h"
#include "dispatch/shared_activities.h"
#include "durations.h"
#include "errors.h"
#include "points.h"
#include "replay/sandbox.h"
#include "session.h"
#include "settings.h"
#include "shmem.h"
#include "store/activity_store.h"
#include "store/hub_store.h"
#include "suspects.h"
#include "wake.h"

/* The wait before the engine repeats an activity after a conflict: doubling, from and to. */
#define FIRST_REPEAT_INTERVAL (10 * INT64CONST(1000))
#define LAST_REPEAT_INTERVAL (10 * USECS_PER_SEC)

static Jsonb *
poisoned_failure(const char *name, int deaths)
{
	Failure		failure = {0};

	failure.sqlstate = "UD012";
	failure.error_type = "Poisoned";
	failure.message = psprintf("activity %s was running %d times when its worker died", name, deaths);
	failure.hint = "Look for crashes in the server log; durable.max_dispatch_attempts sets how often it is tried.";
	failure.non_retriable = true;
	return failure_make(&failure);
}

static TimestampTz
repeat_time(const ClaimedActivity *activity)
{
	int64		delay = FIRST_REPEAT_INTERVAL << Min(activity->attempt, 20);

	return clock_now() + Min(delay, LAST_REPEAT_INTERVAL);
}

/* Runs what was claimed and records the outcome. */
static void
run_activity(const char *task_hub, const ClaimedActivity *activity)
{
	WorkItemKey key = {task_hub, activity->instance_id, activity->execution_id.data, activity->task_id};
	ActivityOutcome outcome = {0};
	int			deaths;

	if (activity->is_lost)
	{
		store_finish_activity(task_hub, activity, NULL, NULL, clock_now());
		return;
	}
	DURABLE_POINT("activity.claimed");
	worker_report_item("activity", activity->instance_id, psprintf("%s#%d", activity->name, activity->task_id));
	deaths = suspect_take(&key);
	if (deaths == SUSPECT_MUST_WAIT)
	{
		store_repeat_activity(task_hub, activity, activity->attempt, clock_now() + SUSPECT_INTERVAL);
		return;
	}
	if (deaths >= setting_max_dispatch_attempts)
		outcome.failure = poisoned_failure(activity->name, deaths);
	else
		activity_execute(task_hub, activity, false, &outcome);
	DURABLE_POINT("activity.before_record");
	if (outcome.repeat)
		store_repeat_activity(task_hub, activity, activity->attempt + 1, repeat_time(activity));
	else
		store_finish_activity(task_hub, activity, outcome.result, outcome.failure, clock_now());
	DURABLE_POINT("activity.recorded");
}

/*
 * After an error outside the activity's own code, a failed COMMIT for
 * example: records it as the activity's failure, or repeats the activity if
 * circumstances are to blame.
 */
static void
record_error(const char *task_hub, const ClaimedActivity *activity, const ErrorData *error)
{
	if (!work_item_begin(NULL))
		return;
	if (store_reclaim_activity(task_hub, activity))
	{
		if (error_is_conflict(error) || error_is_circumstantial(error))
			store_repeat_activity(task_hub, activity, activity->attempt + 1, repeat_time(activity));
		else
			store_finish_activity(task_hub, activity, NULL, failure_from_error(error, false), clock_now());
	}
	work_item_commit();
}

typedef struct Attempt
{
	const char *task_hub;
	List	   *full;			/* of ActivityKey: as many as may run are running */
	bool		short_only;		/* this worker may not hold its slot */
	const ClaimedActivity *given;	/* it is to be this one, which was claimed before */
	bool		unpacks;		/* what shares a row of the queue is not left to be run together */
	bool		left_to_share;	/* it was, and is the next one: there is no activity */
	ClaimedActivity *activity;
} Attempt;

/* Does a registration limit how many of it run at once? */
static bool
is_limited(const ClaimedActivity *activity)
{
	return activity != NULL && activity->registration.max_concurrency > 0;
}

/* Whether those that are parked are next: they and the others take turns. */
static bool parked_are_next = false;

/* A version of the call's own can be of any length; names of registrations are short enough for the index of parked ones. */
#define MAX_PARKED_VERSION 255

static bool
can_be_parked(const ActivityKey *key)
{
	return key->version == NULL || strlen(key->version) <= MAX_PARKED_VERSION;
}

/*
 * No place for the claimed activity. A worker parks it with all of its kind;
 * in a client's session they would stay locked until its transaction ends, so
 * there it is only left out for now.
 */
static void
pass_over(Attempt *attempt)
{
	ActivityKey *key = palloc(sizeof(ActivityKey));

	key->name = attempt->activity->name;
	key->version = attempt->activity->version;
	attempt->activity = NULL;
	if (session_is_worker() && can_be_parked(key))
	{
		store_park_activities(attempt->task_hub, clock_now(), key);
		work_item_commit();
		return;
	}
	attempt->full = lappend(attempt->full, key);
	work_item_abort();			/* a lock on it would hide it from others */
}

/* May this process run the claimed activity, however long it takes? */
static bool
may_begin(const Attempt *attempt)
{
	return attempt->activity->is_lost || worker_begin_activity(attempt->activity->name);
}

/* The next one of the queue; of a worker that may not hold its slot the next one known to be short. */
static ClaimedActivity *
next_of_queue(Attempt *attempt)
{
	ClaimedActivity *activity;
	List	   *names;

	if (attempt->short_only)
	{
		names = duration_short_names(attempt->task_hub);
		return names == NIL ? NULL : store_claim_activity_of(attempt->task_hub, clock_now(), names);
	}
	activity = store_claim_activity(attempt->task_hub, clock_now(), attempt->full);
	if (activity == NULL)
		worker_wants_no_hold();
	return activity;
}

/* The claimed one has its row of the queue together with others. They may be run together, or it gets one of its own. */
static void
leave_or_unpack(Attempt *attempt)
{
	const ClaimedActivity *first = attempt->activity;

	attempt->activity = NULL;
	attempt->left_to_share = !attempt->unpacks && shared_activities_suit(attempt->task_hub, first);
	if (attempt->left_to_share)
		return;
	store_unpack_activities(attempt->task_hub, first->instance_id, &first->execution_id, &first->task_id);
	work_item_commit();
}

/* The next one of the queue that may run, claimed; in a transaction. */
static bool
claim_queued(Attempt *attempt)
{
	for (;;)
	{
		if (!work_item_begin(NULL))
			return false;
		attempt->activity = next_of_queue(attempt);
		if (attempt->activity == NULL)
			return true;
		if (attempt->activity->more != NIL)
		{
			leave_or_unpack(attempt);
			if (attempt->left_to_share)
				return true;
			continue;
		}
		if (is_limited(attempt->activity) &&
			!concurrency_slot_take(attempt->task_hub, &attempt->activity->registration))
		{
			pass_over(attempt);
			continue;
		}
		if (may_begin(attempt))
			return true;
		attempt->activity = NULL;
		if (attempt->short_only)
			return true;		/* it has ceased to be short: enough for now */
		attempt->short_only = true;
		work_item_abort();
	}
}

/* Claims a parked one if there is a place for it; without one the place is given back. */
static bool
claim_if_place(Attempt *attempt, const ParkedActivity *parked)
{
	if (!work_item_begin(NULL))
		return false;
	if (parked->registration.max_concurrency == 0 ||
		concurrency_slot_take(attempt->task_hub, &parked->registration))
		attempt->activity = store_claim_parked_activity(attempt->task_hub, clock_now(), &parked->key);
	if (attempt->activity != NULL && attempt->activity->more != NIL)
	{
		attempt->unpacks = true;
		leave_or_unpack(attempt);
		return claim_if_place(attempt, parked);
	}
	if (attempt->activity != NULL && !may_begin(attempt))
		attempt->activity = NULL;
	if (attempt->activity == NULL)
		work_item_abort();
	return attempt->activity != NULL;
}

/* The first parked one there is a place for, claimed; in a transaction, if there is one. */
static bool
claim_parked(Attempt *attempt)
{
	List	   *parked;
	ListCell   *lc;

	if (!work_item_begin(NULL))
		return false;
	parked = store_find_parked_activities(attempt->task_hub);
	work_item_commit();
	foreach(lc, parked)
		if (claim_if_place(attempt, lfirst(lc)))
			return true;
	return false;
}

/*
 * Begins a transaction with the next activity that may run, if there is one;
 * false if the hub is gone.
 */
static bool
claim_activity(Attempt *attempt)
{
	bool		parked_first = parked_are_next;

	DURABLE_POINT("activity.before_claim");
	parked_are_next = false;
	if (parked_first && claim_parked(attempt))
		return true;
	if (!claim_queued(attempt))
		return false;
	if (attempt->left_to_share)
		return true;
	if (attempt->activity != NULL)
	{
		parked_are_next = attempt->activity->others_parked;
		return true;
	}
	work_item_commit();
	return (!parked_first && claim_parked(attempt)) || work_item_begin(NULL);
}

/* The same with an activity that was claimed by a transaction before, unless others have it by now or it may not run here. */
static bool
claim_given(Attempt *attempt)
{
	if (!work_item_begin(NULL))
		return false;
	if (worker_begin_activity(attempt->given->name) && store_reclaim_activity(attempt->task_hub, attempt->given))
		attempt->activity = (ClaimedActivity *) attempt->given;
	return true;
}

/* After the end of the transaction: who found no slot may find one now. */
static void
offer_slot(const Attempt *attempt)
{
	if (!is_limited(attempt->activity))
		return;
	if (session_is_worker())
		shmem_wake_hub(attempt->task_hub, DT_NOBEGIN);
	else
		wake_hub_at_commit(attempt->task_hub, 1);
}

/* One transaction; throws what goes wrong outside the activity's code. */
static DispatchResult
try_activity(Attempt *attempt)
{
	if (!(attempt->given ? claim_given(attempt) : claim_activity(attempt)))
		return DISPATCH_GONE;
	if (attempt->activity != NULL)
	{
		run_activity(attempt->task_hub, attempt->activity);
		if (session_is_worker())
			session_discard_temporary_objects();
	}
	work_item_commit();
	if (attempt->activity != NULL)
		DURABLE_POINT("activity.committed");
	suspect_release();
	worker_end_activity();
	offer_slot(attempt);
	return attempt->activity ? DISPATCH_DONE : DISPATCH_IDLE;
}

/* The error of the last attempt, copied to "context"; the work item is rolled back. */
static ErrorData *
catch_error(MemoryContext context)
{
	ErrorData  *error;

	MemoryContextSwitchTo(context);
	error = CopyErrorData();
	FlushErrorState();
	activity_ends();
	work_item_abort();
	sandbox_reset();
	suspect_release();
	worker_end_activity();
	MemoryContextSwitchTo(context);
	return error;
}

static DispatchResult
run_attempt(Attempt *attempt)
{
	const char *task_hub = attempt->task_hub;
	MemoryContext context = CurrentMemoryContext;
	ErrorData  *volatile error = NULL;
	volatile DispatchResult result = DISPATCH_DONE;

	PG_TRY();
	{
		result = try_activity(attempt);
	}
	PG_CATCH();
	{
		error = catch_error(context);
	}
	PG_END_TRY();
	if (error == NULL)
		return result;
	if (attempt->activity == NULL ||
		(!session_is_worker() && error->sqlerrcode == ERRCODE_QUERY_CANCELED))
		ReThrowError(error);
	record_error(task_hub, attempt->activity, error);
	offer_slot(attempt);
	return DISPATCH_DONE;
}

static DispatchResult
run_given(const char *task_hub, const ClaimedActivity *given)
{
	Attempt    *attempt = palloc0(sizeof(Attempt));

	attempt->task_hub = task_hub;
	attempt->given = given;
	return run_attempt(attempt);
}

/* Each of these gets a row of the queue of its own, unless somebody has claimed it meanwhile. */
static void
unpack_all(const char *task_hub, List *activities)
{
	ListCell   *lc;

	foreach(lc, activities)
	{
		const ClaimedActivity *activity = lfirst(lc);

		if (activity->more == NIL || !work_item_begin(NULL))
			continue;
		store_unpack_activities(task_hub, activity->instance_id, &activity->execution_id, &activity->task_id);
		work_item_commit();
	}
}

/*
 * Those that may share a transaction; after an error of the engine, a failed
 * COMMIT for example, each of them runs alone, and then it is its own.
 */
static DispatchResult
run_shared(const char *task_hub, int64 *done)
{
	MemoryContext context = CurrentMemoryContext;
	SharedActivities *shared = palloc0(sizeof(SharedActivities));
	ErrorData  *volatile error = NULL;
	volatile DispatchResult result = DISPATCH_DONE;
	ListCell   *lc;

	PG_TRY();
	{
		result = shared_activities_run(task_hub, shared);
	}
	PG_CATCH();
	{
		error = catch_error(context);
		shared->n_done = 0;
	}
	PG_END_TRY();
	if (error && (shared->alone == NIL || (!session_is_worker() && error->sqlerrcode == ERRCODE_QUERY_CANCELED)))
		ReThrowError(error);
	*done += shared->n_done;
	if (error)
		unpack_all(task_hub, shared->alone);
	foreach(lc, shared->alone)
	{
		if (run_given(task_hub, lfirst(lc)) == DISPATCH_DONE)
			(*done)++;
		if (worker_is_asked_to_leave())
			break;
	}
	return result;
}

/* After so many transactions of brief ones it is the turn of the one that waits longest, whatever it is. */
#define SHARED_IN_A_ROW 4

static int shared_in_a_row = 0;

/* Was the queue empty at the last look? */
static bool was_idle = false;

/* Is there anything in the queue? To claim from an empty one takes several statements. */
static DispatchResult
look_at_queue(const char *task_hub)
{
	bool		is_empty;

	if (!work_item_begin(NULL))
		return DISPATCH_GONE;
	is_empty = store_next_activity(task_hub) > clock_now();
	work_item_commit();
	if (is_empty)
		worker_wants_no_hold();
	return is_empty ? DISPATCH_IDLE : DISPATCH_DONE;
}

/* The next activity is one of several that share a row of the queue: were they left to be run together, and then were not? */
static bool left_in_vain = false;

/* The one that waits longest; where it shares a row with others, it shares a transaction with them. */
static DispatchResult
run_first(const char *task_hub, int64 *done)
{
	Attempt    *attempt = palloc0(sizeof(Attempt));
	DispatchResult result;

	attempt->task_hub = task_hub;
	attempt->unpacks = left_in_vain;
	left_in_vain = false;
	result = run_attempt(attempt);
	if (attempt->left_to_share)
	{
		result = run_shared(task_hub, done);
		left_in_vain = result == DISPATCH_IDLE;
		return left_in_vain ? DISPATCH_DONE : result;	/* it is there, so look again */
	}
	if (result == DISPATCH_DONE)
		(*done)++;
	return result;
}

/* The next activity, or several that share a transaction. */
static DispatchResult
run_next(const char *task_hub, int64 *done)
{
	DispatchResult result = shared_in_a_row < SHARED_IN_A_ROW ? run_shared(task_hub, done) : DISPATCH_IDLE;

	shared_in_a_row++;
	if (result != DISPATCH_IDLE)
		return result;
	shared_in_a_row = 0;
	return run_first(task_hub, done);
}

DispatchResult
activity_dispatcher_run(const char *task_hub, int64 *done)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "durable activity", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	DispatchResult result = was_idle ? look_at_queue(task_hub) : DISPATCH_DONE;

	if (result == DISPATCH_DONE)
		result = run_next(task_hub, done);
	was_idle = result == DISPATCH_IDLE;
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	return result;
}
