/*
 * dispatchers.h
 *		What a worker, or a session in run_until_idle(), drives.
 */
#ifndef DURABLE_DISPATCHERS_H
#define DURABLE_DISPATCHERS_H

#include "postgres.h"
#include "datatype/timestamp.h"

typedef enum DispatchResult
{
	DISPATCH_IDLE,				/* nothing was ready */
	DISPATCH_DONE,				/* work items were done, there may be more */
	DISPATCH_GONE				/* the extension or the hub is not there any more: leave */
} DispatchResult;

/*
 * One batch of turns / one activity of the hub, in transactions of its own.
 * Adds to *done the number of work items completed, and sets *queued to the
 * number of activities that the turns queued, *wait_again if most of them took
 * what others sent and now wait for more of it. Errors of user code
 * become history; errors of the engine are logged and the item is deferred;
 * neither is thrown. Only FATAL, query cancel in a client session, a deadlock
 * before there is an item to defer, and "cannot happen" get out.
 */
extern DispatchResult orchestration_dispatcher_run(const char *task_hub, int64 *done, int64 *queued, bool *wait_again);
extern DispatchResult activity_dispatcher_run(const char *task_hub, int64 *done);

/* A batch of turns or an activity, whichever is next of those this process may run. */
extern DispatchResult dispatch_one(const char *task_hub, bool turns, bool activities, int64 *done);

/*
 * When the next message or activity of the hub becomes visible (DT_NOEND:
 * none), of those that do after a time (DT_NOBEGIN: of all). In a transaction
 * of its own.
 */
extern TimestampTz dispatch_next_due(const char *task_hub, TimestampTz after);

#endif							/* DURABLE_DISPATCHERS_H */
