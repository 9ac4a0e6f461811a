/*
 * history_check.c
 *		Damaged instances: pure, see history_check.h.
 *
 * It runs before every turn, so it only looks at what was loaded anyway.
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "core/decisions.h"
#include "core/history_check.h"
#include "core/reconcile.h"

/* Beyond this a counter was not counted; there is room to go on from here. */
#define MAX_NUMBER (PG_INT32_MAX - 1000)

static char *
damaged_event(const HistoryEvent *event, const char *problem)
{
	return psprintf("Event %d of its history, %s, %s.", event->seq, history_event_type_name(event->type), problem);
}

/* The first field of an action that is not what replay relies on. */
static const char *
action_problem(const HistoryEvent *event)
{
	if (event->event_id < 0 && !(event->type == EVENT_TIMER_CREATED && event->event_id == SPLIT_TIMER_ID))
		return "has no event_id";
	if (event->type == EVENT_TIMER_CREATED)
		return TIMESTAMP_IS_NOBEGIN(event->fire_at) ? "has no fire_at" : NULL;
	if (event->name == NULL)
		return "has no name";
	if (event->type != EVENT_TASK_SCHEDULED && event->target_instance_id == NULL)
		return "has no target_instance_id";
	return NULL;
}

static const char *
event_problem(const HistoryEvent *event)
{
	switch (event->type)
	{
		case EVENT_TASK_SCHEDULED:
		case EVENT_SUBORCHESTRATION_CREATED:
		case EVENT_TIMER_CREATED:
		case EVENT_EVENT_SENT:
			return action_problem(event);
		case EVENT_TASK_COMPLETED:
		case EVENT_TASK_FAILED:
		case EVENT_SUBORCHESTRATION_COMPLETED:
		case EVENT_SUBORCHESTRATION_FAILED:
		case EVENT_TIMER_FIRED:
			return event->task_id == NO_TASK_ID ? "has no task_id" : NULL;
		case EVENT_EVENT_RAISED:
			return event->name == NULL ? "has no name" : NULL;
		case EVENT_EXECUTION_STARTED:
		case EVENT_EXECUTION_COMPLETED:
		case EVENT_EXECUTION_TERMINATED:
		case EVENT_CONTINUE_AS_NEW:
		case EVENT_GENERIC:
		case EVENT_EXECUTION_SUSPENDED:
		case EVENT_EXECUTION_RESUMED:
		case EVENT_EXECUTION_REWOUND:
			return NULL;
	}
	return "has an event_type that there is not";
}

/*
 * Is the number of an event the next one? A turn begins and ends with a number
 * that has no row; the first turn after continue-as-new may end twice.
 */
static bool
follows(const HistoryEvent *event, const HistoryEvent *last)
{
	if (last == NULL)
		return event->seq == 2 && event->turn == 1;
	if (event->turn == last->turn)
		return event->seq == last->seq + 1 || (event->turn == 1 && event->seq == last->seq + 2);
	return event->turn == last->turn + 1 && event->seq == last->seq + 3;
}

/* A rewind takes events out of the middle. */
static bool
was_rewound(const RuntimeState *state)
{
	ListCell   *lc;

	foreach(lc, state->past_events)
		if (((HistoryEvent *) lfirst(lc))->type == EVENT_EXECUTION_REWOUND)
			return true;
	return false;
}

static char *
events_damage(const RuntimeState *state)
{
	const HistoryEvent *last = NULL;
	bool		rewound = was_rewound(state);
	ListCell   *lc;

	foreach(lc, state->past_events)
	{
		const HistoryEvent *event = lfirst(lc);
		const char *problem = event_problem(event);

		if (problem == NULL && last == NULL && event->type != EVENT_EXECUTION_STARTED)
			problem = "is its first, but no ExecutionStarted";
		if (problem == NULL && !rewound && !follows(event, last))
			problem = "does not follow the one before it: events are missing, or numbers were changed";
		if (problem == NULL && TIMESTAMP_NOT_FINITE(event->turn_at))
			problem = "has a turn_at that is infinite";
		if (problem != NULL)
			return damaged_event(event, problem);
		last = event;
	}
	return NULL;
}

/* Does the instance's row tell of the history that there is? */
static char *
counters_damage(const RuntimeState *state)
{
	const HistoryEvent *last = state->past_events ? llast(state->past_events) : NULL;
	int			last_seq = last ? last->seq + 1 : 0;
	int			last_turn = last ? last->turn : 0;

	if (state->generation < 1 || state->generation > PG_INT64_MAX - 1000)
		return psprintf("Its generation is " INT64_FORMAT ".", state->generation);
	if (last == NULL && state->status != STATUS_PENDING)
		return psprintf("It is %s, but generation " INT64_FORMAT " has no history.", runtime_status_name(state->status), state->generation);
	if (last != NULL && state->status == STATUS_PENDING)
		return pstrdup("It is pending, but has a history.");
	if (state->last_seq != last_seq)
		return psprintf("Its last_seq is %d, but its history ends with %d.", state->last_seq, last_seq);
	if (state->turn != last_turn)
		return psprintf("Its turn is %d, but the last one of its history is %d.", state->turn, last_turn);
	return NULL;
}

/* One that has not begun cannot, if the message is lost that begins it. */
static char *
start_damage(const RuntimeState *state, List *messages)
{
	ListCell   *lc;

	if (state->status != STATUS_PENDING || messages == NIL)
		return NULL;
	foreach(lc, messages)
	{
		const HistoryEvent *message = lfirst(lc);

		if (message->type == EVENT_EXECUTION_STARTED && reconcile_is_for(message, &state->execution_id))
			return NULL;
	}
	return pstrdup("It is pending, but its message ExecutionStarted is missing.");
}

char *
history_damage(const RuntimeState *state, List *messages)
{
	char	   *damage;

	if (runtime_status_is_finished(state->status))
		return NULL;			/* it has no more turns */
	damage = state->damaged ? pstrdup("Its packed events cannot be read.") : events_damage(state);
	if (damage == NULL)
		damage = counters_damage(state);
	return damage ? damage : start_damage(state, messages);
}

void
history_mend_numbers(RuntimeState *state)
{
	ListCell   *lc;

	state->last_seq = state->turn = 0;
	foreach(lc, state->past_events)
	{
		const HistoryEvent *event = lfirst(lc);

		if (event->seq < MAX_NUMBER)
			state->last_seq = Max(state->last_seq, event->seq + 1);
		if (event->turn < MAX_NUMBER)
			state->turn = Max(state->turn, event->turn);
	}
	if (TIMESTAMP_NOT_FINITE(state->turn_at))
		state->turn_at = 0;
}
