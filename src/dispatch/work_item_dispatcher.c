/*
 * work_item_dispatcher.c
 *		What both kinds of work items have in common: when the next is due.
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "dispatch/dispatchers.h"
#include "session.h"
#include "store/hub_store.h"

TimestampTz
dispatch_next_due(const char *task_hub)
{
	TimestampTz due;

	if (!work_item_begin(NULL))
		return DT_NOEND;
	due = store_next_due(task_hub);
	work_item_commit();
	return due;
}

/* Until when activities go first. */
static TimestampTz activities_first_until = 0;

/* Turns, which then leave activities as much time as they took. */
static DispatchResult
run_turns_first(const char *task_hub, int64 *done)
{
	TimestampTz begin = GetCurrentTimestamp();
	DispatchResult result = orchestration_dispatcher_run(task_hub, done);
	TimestampTz end = GetCurrentTimestamp();

	if (result == DISPATCH_DONE)
		activities_first_until = end + (end - begin);
	return result;
}

/*
 * Turns go before activities: they are short, and activities come of them.
 * But where many answers are on their way to one instance, a turn for each of
 * them would replay a long history as often; so after turns that took long
 * activities have their time, and the next turn takes all their answers.
 */
DispatchResult
dispatch_one(const char *task_hub, bool turns, bool activities, int64 *done)
{
	bool		activities_first = activities && GetCurrentTimestamp() < activities_first_until;
	DispatchResult result = DISPATCH_IDLE;

	if (turns && !activities_first)
		result = run_turns_first(task_hub, done);
	if (result == DISPATCH_IDLE && activities)
		result = activity_dispatcher_run(task_hub, done);
	if (result == DISPATCH_IDLE && turns && activities_first)
		result = run_turns_first(task_hub, done);
	return result;
}
