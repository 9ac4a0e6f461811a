/*
 * decisions.c
 *		Decisions become events and messages: pure, see decisions.h.
 */
#include "postgres.h"

#include "core/decisions.h"
#include "core/failure.h"
#include "core/json.h"

static OutboundMessage *
add_message(Outbox *outbox, const char *instance_id, HistoryEvent *event)
{
	OutboundMessage *message = palloc(sizeof(OutboundMessage));

	message->instance_id = instance_id;
	message->event = event;
	outbox->messages = lappend(outbox->messages, message);
	return message;
}

/* The event that records an action; its number is the action's. */
static HistoryEvent *
record_action(RuntimeState *state, EventType type, const Action *action, TimestampTz now)
{
	HistoryEvent *event = history_event_make(type, now);

	event->event_id = action->id;
	event->name = action->name;
	event->version = action->version;
	event->target_instance_id = action->instance_id;
	event->payload = action->input;
	event->tags = action->tags;
	event->retry = action->retry;
	if (action->kind == ACTION_CREATE_TIMER)
		event->fire_at = action->fire_at;
	runtime_state_add_event(state, event);
	return event;
}

static void
decide_schedule_task(RuntimeState *state, const Action *action, bool continued, Outbox *outbox, TimestampTz now)
{
	OutboundActivity *activity = palloc0(sizeof(OutboundActivity));

	activity->execution_id = state->execution_id;
	activity->generation = state->generation;
	activity->scheduled = record_action(state, EVENT_TASK_SCHEDULED, action, now);
	activity->keep_input = continued;
	outbox->activities = lappend(outbox->activities, activity);
}

/* The TimerFired is made now and becomes visible when it is due. */
static void
decide_create_timer(RuntimeState *state, const Action *action, Outbox *outbox, TimestampTz now)
{
	HistoryEvent *fired = history_event_make(EVENT_TIMER_FIRED, now);

	record_action(state, EVENT_TIMER_CREATED, action, now);
	fired->task_id = action->id;
	fired->fire_at = action->fire_at;
	fired->visible_at = action->fire_at;
	fired->has_execution_id = true;
	fired->execution_id = state->execution_id;
	add_message(outbox, state->instance_id, fired);
}

static void
decide_create_suborchestration(RuntimeState *state, const Action *action, Outbox *outbox, TimestampTz now)
{
	ChildStart *child = palloc0(sizeof(ChildStart));
	HistoryEvent *created = record_action(state, EVENT_SUBORCHESTRATION_CREATED, action, now);

	if (action->detached)
		created->tags = json_with_text(action->tags, FIRE_AND_FORGET_TAG, "");
	child->instance_id = action->instance_id;
	child->name = action->name;
	child->version = action->version;
	child->input = action->input;
	child->tags = json_merge(state->tags, action->tags);
	child->detached = action->detached;
	child->parent_execution_id = state->execution_id;
	child->parent_task_id = action->id;
	outbox->children = lappend(outbox->children, child);
}

static void
decide_send_event(RuntimeState *state, const Action *action, Outbox *outbox, TimestampTz now)
{
	HistoryEvent *raised = history_event_make(EVENT_EVENT_RAISED, now);

	record_action(state, EVENT_EVENT_SENT, action, now);
	raised->name = action->name;
	raised->payload = action->input;
	raised->visible_at = now;
	add_message(outbox, action->instance_id, raised);
}

static void
decide_action(RuntimeState *state, const Action *action, bool continued, Outbox *outbox, TimestampTz now)
{
	switch (action->kind)
	{
		case ACTION_SCHEDULE_TASK:
			decide_schedule_task(state, action, continued, outbox, now);
			break;
		case ACTION_CREATE_TIMER:
			decide_create_timer(state, action, outbox, now);
			break;
		case ACTION_CREATE_SUBORCHESTRATION:
			decide_create_suborchestration(state, action, outbox, now);
			break;
		case ACTION_SEND_EVENT:
			decide_send_event(state, action, outbox, now);
			break;
	}
}

Jsonb *
termination_failure(Jsonb *reason)
{
	Failure		failure = {0};

	failure.error_type = "OrchestrationTerminated";
	failure.sqlstate = "UD011";
	failure.message = json_scalar_text(reason);
	if (failure.message == NULL)
		failure.message = "the sub-orchestration was terminated";
	return failure_make(&failure);
}

/* Tells the parent, if there is one that listens, how its child ended. */
static void
answer_parent(RuntimeState *state, const TurnResult *result, Outbox *outbox, TimestampTz now)
{
	bool		ok = result->completion == COMPLETED;
	HistoryEvent *answer;

	if (state->parent_instance_id == NULL)
		return;
	answer = history_event_make(ok ? EVENT_SUBORCHESTRATION_COMPLETED : EVENT_SUBORCHESTRATION_FAILED, now);
	answer->task_id = state->parent_task_id;
	answer->payload = ok ? result->output : NULL;
	answer->failure = result->completion == COMPLETED_TERMINATED ?
		termination_failure(result->output) : result->failure;
	answer->visible_at = now;
	answer->has_execution_id = true;
	answer->execution_id = state->parent_execution_id;
	add_message(outbox, state->parent_instance_id, answer);
}

/* A recursive terminate reaches finished children too, for the sake of theirs. */
static void
terminate_children_in(List *events, Jsonb *reason, Outbox *outbox, TimestampTz now)
{
	ListCell   *lc;

	foreach(lc, events)
	{
		const HistoryEvent *event = lfirst(lc);
		HistoryEvent *terminated;

		if (event->type != EVENT_SUBORCHESTRATION_CREATED || json_has_key(event->tags, FIRE_AND_FORGET_TAG))
			continue;
		terminated = history_event_make(EVENT_EXECUTION_TERMINATED, now);
		terminated->payload = reason;
		terminated->recurse = true;
		terminated->visible_at = now;
		add_message(outbox, event->target_instance_id, terminated);
	}
}

static RuntimeStatus
status_of_completion(CompletionKind completion)
{
	switch (completion)
	{
		case COMPLETED:
			return STATUS_COMPLETED;
		case COMPLETED_FAILED:
			return STATUS_FAILED;
		case COMPLETED_TERMINATED:
			return STATUS_TERMINATED;
		default:
			return STATUS_RUNNING;
	}
}

static void
decide_completion(RuntimeState *state, const TurnResult *result, Outbox *outbox, TimestampTz now)
{
	HistoryEvent *completed = history_event_make(EVENT_EXECUTION_COMPLETED, now);

	completed->event_id = result->completion_id;
	runtime_state_add_event(state, completed);
	state->status = status_of_completion(result->completion);
	state->output = result->output;
	state->failure = result->failure;
	state->completed_at = now;
	answer_parent(state, result, outbox, now);
	if (result->terminate_children)
	{
		terminate_children_in(state->past_events, result->termination_reason, outbox, now);
		terminate_children_in(state->new_events, result->termination_reason, outbox, now);
	}
}

static bool
is_full(const Outbox *outbox, int max_messages)
{
	return max_messages > 0 &&
		list_length(outbox->activities) + list_length(outbox->messages) + list_length(outbox->children) >= max_messages;
}

/*
 * Decides the actions; false if the limit was reached with something left. It
 * is looked at after each action, so that every turn gets on by one at least.
 */
static bool
decide_actions(RuntimeState *state, const TurnResult *result, Outbox *outbox, int max_messages, TimestampTz now)
{
	bool		continued = result->completion == COMPLETED_CONTINUE_AS_NEW;
	bool		completed = result->completion != NOT_COMPLETED;
	ListCell   *lc;

	foreach(lc, result->actions)
	{
		decide_action(state, lfirst(lc), continued, outbox, now);
		if (is_full(outbox, max_messages) && (completed || lnext(result->actions, lc) != NULL))
			return false;
	}
	return true;
}

static void
split_turn(RuntimeState *state, Outbox *outbox, TimestampTz now)
{
	Action		timer = {0};

	timer.kind = ACTION_CREATE_TIMER;
	timer.id = SPLIT_TIMER_ID;
	timer.fire_at = now;
	decide_create_timer(state, &timer, outbox, now);
	runtime_state_end_turn(state);
}

/* What is not an action is done in a split turn, too: the code has said it, and in replay a timer is not cancelled again. */
bool
decisions_apply(RuntimeState *state, const TurnResult *result, Outbox *outbox, int max_messages, TimestampTz now)
{
	bool		all_decided = decide_actions(state, result, outbox, max_messages, now);

	if (result->has_custom_status)
		state->custom_status = result->custom_status;
	state->waiting_events = result->waiting_events;
	outbox->cancelled_timers = list_concat(outbox->cancelled_timers, result->cancelled_timers);
	if (!all_decided)
	{
		split_turn(state, outbox, now);
		return false;
	}
	if (result->completion == COMPLETED_CONTINUE_AS_NEW)
		return true;
	if (result->completion != NOT_COMPLETED)
		decide_completion(state, result, outbox, now);
	runtime_state_end_turn(state);
	return true;
}
