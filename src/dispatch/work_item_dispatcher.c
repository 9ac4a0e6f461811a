/*
 * work_item_dispatcher.c
 *		What both kinds of work items have in common: when the next is due.
 */
#include "postgres.h"

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

/* Turns go before activities: they are short, and activities come of them. */
DispatchResult
dispatch_one(const char *task_hub, int64 *done)
{
	DispatchResult result = orchestration_dispatcher_run(task_hub, done);

	if (result != DISPATCH_IDLE)
		return result;
	return activity_dispatcher_run(task_hub, done);
}
