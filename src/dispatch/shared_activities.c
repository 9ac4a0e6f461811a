/*
 * shared_activities.c
 *		Activities of the queue in one transaction: see shared_activities.h.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/timestamp.h"

#include "clock.h"
#include "dispatch/activity_execution.h"
#include "dispatch/inline_activities.h"
#include "dispatch/shared_activities.h"
#include "dispatch/sharing.h"
#include "durations.h"
#include "points.h"
#include "session.h"
#include "settings.h"
#include "shmem.h"
#include "suspects.h"
#include "wake.h"

/* As many as there is room for if each has a subtransaction id; what the others of a row have is room for two rows. */
#define MAX_SHARED 50

/* How many rows of the queue had so many in them lately. */
static int recent_rows = MAX_SHARED;

/* Runs it; false: it has to run alone. One that was in hand when a process died does. */
static bool
execute(const char *task_hub, const ClaimedActivity *activity, ActivityOutcome *outcome)
{
	WorkItemKey key = {task_hub, activity->instance_id, activity->execution_id.data, activity->task_id};

	if (suspect_is_charged(&key))
		return false;
	worker_report_item("activity", activity->instance_id, psprintf("%s#%d", activity->name, activity->task_id));
	(void) suspect_take(&key);
	activity_execute(task_hub, activity, true, outcome);
	suspect_release();
	return !outcome->must_be_alone;
}

/* Its outcome; NULL: it has to run alone. */
static FinishedActivity *
run_one(const char *task_hub, ClaimedActivity *activity)
{
	FinishedActivity *finished = palloc0(sizeof(FinishedActivity));
	ActivityOutcome outcome = {0};

	if (!activity->is_lost && !execute(task_hub, activity, &outcome))
	{
		activity->must_be_alone = true;
		return NULL;
	}
	activity->is_done = true;
	finished->activity = activity;
	finished->result = outcome.result;
	finished->failure = outcome.failure;
	finished->finished_at = clock_now();
	return finished;
}

/* Is there room for the next one, and if it begins a row, for all that are in that? */
static bool
has_room_for(const ClaimedActivity *activity, int n_run)
{
	if (n_run == 0)
		return true;
	if (activity->first == activity && n_run + list_length(activity->more) >= MAX_SHARED)
		return false;
	return !worker_is_asked_to_leave() && (!sharing_is_used() || sharing_has_room());
}

/* Runs them for as long as there is room; returns the outcomes. The others are free again after the commit. */
static List *
run_all(const char *task_hub, List *activities, List **alone)
{
	List	   *finished = NIL;
	int			n_run = 0;
	ListCell   *lc;

	foreach(lc, activities)
	{
		FinishedActivity *one;

		if (!has_room_for(lfirst(lc), n_run))
			break;
		CHECK_FOR_INTERRUPTS();
		one = run_one(task_hub, lfirst(lc));
		n_run++;
		if (one)
			finished = lappend(finished, one);
		else
			*alone = lappend(*alone, lfirst(lc));
	}
	if (n_run < list_length(activities))
		wake_hub_at_commit(task_hub, list_length(activities) - n_run);
	return finished;
}

/* The names of what may be claimed, NIL: any. False: nothing may. */
static bool
shareable_names(const char *task_hub, List **names)
{
	*names = NIL;
	if (!inline_is_turned_on())
		return false;
	if (setting_inline_activities == INLINE_ALWAYS)
		return true;
	*names = duration_brief_names(task_hub);
	return *names != NIL;
}

bool
shared_activities_suit(const char *task_hub, const ClaimedActivity *activity)
{
	return inline_is_turned_on() && activity->attempt == 1 &&
		!activity->registration.external && activity->registration.max_concurrency == 0 &&
		(setting_inline_activities == INLINE_ALWAYS || duration_is_brief(task_hub, activity->name));
}

/* How many rows to claim next time. */
static void
adapt_rows(List *activities)
{
	int			n_rows = 0;
	ListCell   *lc;

	foreach(lc, activities)
		n_rows += ((ClaimedActivity *) lfirst(lc))->first == lfirst(lc) ? 1 : 0;
	recent_rows = Max(n_rows * MAX_SHARED / list_length(activities), 1);
}

/* Locks what there may be room for. */
static List *
claim(const char *task_hub, List *names)
{
	List	   *activities = store_claim_shareable_activities(task_hub, clock_now(), names, recent_rows);

	if (activities == NIL)
		recent_rows = MAX_SHARED;
	else
		adapt_rows(activities);
	return activities;
}

DispatchResult
shared_activities_run(const char *task_hub, SharedActivities *shared)
{
	List	   *names;
	List	   *activities;
	List	   *alone = NIL;

	if (!shareable_names(task_hub, &names))
		return DISPATCH_IDLE;
	if (!work_item_begin(NULL))
		return DISPATCH_GONE;
	sharing_begin();
	activities = claim(task_hub, names);
	if (activities != NIL)
	{
		List	   *finished;
		int			nest_level;

		shared->alone = activities;	/* should something throw */
		DURABLE_POINT("activity.shared_claimed");
		finished = run_all(task_hub, activities, &alone);
		DURABLE_POINT("activity.shared_run");
		nest_level = sharing_begin_writing();
		store_finish_activities(task_hub, activities, finished);
		sharing_end_writing(nest_level);
		shared->n_done = list_length(finished);
	}
	work_item_commit();
	if (activities != NIL)
		DURABLE_POINT("activity.shared_committed");
	shared->alone = alone;
	return activities == NIL ? DISPATCH_IDLE : DISPATCH_DONE;
}
