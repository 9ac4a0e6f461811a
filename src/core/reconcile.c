/*
 * reconcile.c
 *		Reconciling messages with the runtime state: pure, see reconcile.h.
 */
#include "postgres.h"

#include "core/reconcile.h"

bool
reconcile_is_for(const HistoryEvent *message, const pg_uuid_t *execution_id)
{
	return !message->has_execution_id ||
		memcmp(&message->execution_id, execution_id, sizeof(pg_uuid_t)) == 0;
}

List *
reconcile_start_first(List *messages, const pg_uuid_t *execution_id)
{
	List	   *ordered = NIL;
	HistoryEvent *start = NULL;
	ListCell   *lc;

	foreach(lc, messages)
	{
		HistoryEvent *message = lfirst(lc);

		if (start == NULL && message->type == EVENT_EXECUTION_STARTED &&
			reconcile_is_for(message, execution_id))
			start = message;
		else
			ordered = lappend(ordered, message);
	}
	return start ? lcons(start, ordered) : ordered;
}

/* Is it something that comes as a message, and complete? Only a superuser can have made another one. */
static bool
is_inbound(const HistoryEvent *message)
{
	switch (message->type)
	{
		case EVENT_EXECUTION_STARTED:
		case EVENT_EXECUTION_TERMINATED:
		case EVENT_EXECUTION_SUSPENDED:
		case EVENT_EXECUTION_RESUMED:
		case EVENT_EXECUTION_REWOUND:
		case EVENT_GENERIC:
			return true;
		case EVENT_EVENT_RAISED:
			return message->name != NULL;
		case EVENT_TASK_COMPLETED:
		case EVENT_TASK_FAILED:
		case EVENT_SUBORCHESTRATION_COMPLETED:
		case EVENT_SUBORCHESTRATION_FAILED:
		case EVENT_TIMER_FIRED:
			return message->task_id != NO_TASK_ID;
		default:
			return false;
	}
}

/* A duplicate start and an answer to another execution are not for this history. */
static bool
is_acceptable(const RuntimeState *state, const HistoryEvent *message, bool started)
{
	if (message->type == EVENT_EXECUTION_STARTED && started)
		return false;
	return reconcile_is_for(message, &state->execution_id);
}

List *
reconcile_messages(const RuntimeState *state, List *messages)
{
	List	   *accepted = NIL;
	bool		started = runtime_state_is_started(state);
	ListCell   *lc;

	if (runtime_status_is_finished(state->status))
		return NIL;
	foreach(lc, reconcile_start_first(messages, &state->execution_id))
	{
		HistoryEvent *message = lfirst(lc);

		if (!started && message->type != EVENT_EXECUTION_STARTED)
			return NIL;			/* never started: nothing can be meant for it */
		if (!is_inbound(message) || !is_acceptable(state, message, started))
			continue;
		started = true;
		accepted = lappend(accepted, message);
	}
	return accepted;
}
