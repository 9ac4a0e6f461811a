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
#include "session.h"
#include "settings.h"
#include "shmem.h"
#include "suspects.h"
#include "wake.h"

/* As many as there is room for if each has a subtransaction id. */
#define MAX_SHARED 50

/* Its outcome; NULL: it has to run alone. One that was in hand when a process died does. */
static FinishedActivity *
run_one(const char *task_hub, const ClaimedActivity *activity)
{
	WorkItemKey key = {task_hub, activity->instance_id, activity->execution_id.data, activity->task_id};
	FinishedActivity *finished = palloc0(sizeof(FinishedActivity));
	ActivityOutcome outcome = {0};

	if (!activity->is_lost)
	{
		if (suspect_is_charged(&key))
			return NULL;
		worker_report_item("activity", activity->instance_id, psprintf("%s#%d", activity->name, activity->task_id));
		(void) suspect_take(&key);
		activity_execute(task_hub, activity, true, &outcome);
		suspect_release();
	}
	finished->activity = activity;
	finished->result = outcome.result;
	finished->failure = outcome.failure;
	finished->finished_at = clock_now();
	return outcome.must_be_alone ? NULL : finished;
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

		if ((sharing_is_used() && !sharing_has_room()) || (n_run > 0 && worker_is_asked_to_leave()))
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
	activities = store_claim_shareable_activities(task_hub, clock_now(), names, MAX_SHARED);
	if (activities != NIL)
	{
		List	   *finished;
		int			nest_level;

		shared->alone = activities;	/* should something throw */
		finished = run_all(task_hub, activities, &alone);
		nest_level = sharing_begin_writing();
		store_finish_activities(task_hub, finished);
		sharing_end_writing(nest_level);
		shared->n_done = list_length(finished);
	}
	work_item_commit();
	shared->alone = alone;
	return activities == NIL ? DISPATCH_IDLE : DISPATCH_DONE;
}
