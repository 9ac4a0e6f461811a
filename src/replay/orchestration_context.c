/*
 * orchestration_context.c
 *		Replay: actions, tasks and the events that answer them.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "miscadmin.h"
#include "utils/fmgrprotos.h"
#include "utils/formatting.h"
#include "utils/memutils.h"

#include "errors.h"
#include "ids.h"
#include "replay/divergence.h"
#include "replay/orchestration_context.h"
#include "replay/sandbox.h"
#include "replay/speculation.h"

OrchestrationContext *current_orchestration = NULL;

#define CODE_CHANGED "Was a change made to the orchestrator code after this instance had already started running?"

OrchestrationContext *
orchestration_context_make(RuntimeState *state)
{
	OrchestrationContext *context = palloc0(sizeof(OrchestrationContext));
	ListCell   *lc;
	int			i = 0;

	context->state = state;
	context->memory = CurrentMemoryContext;
	context->n_past = list_length(state->past_events);
	context->n_events = context->n_past + list_length(state->new_events);
	context->events = palloc(sizeof(HistoryEvent *) * Max(context->n_events, 1));
	foreach(lc, state->past_events)
		context->events[i++] = lfirst(lc);
	foreach(lc, state->new_events)
		context->events[i++] = lfirst(lc);
	context->max_actions = 16;
	context->actions = palloc0(sizeof(Action *) * context->max_actions);
	context->requested = palloc0(sizeof(Action *) * context->max_actions);
	context->task_of_action = palloc0(sizeof(Task *) * context->max_actions);
	context->completion_id = -1;
	context->time = state->turn_at;
	return context;
}

void
orchestration_take_events(OrchestrationContext *context)
{
	List	   *past = context->state->past_events;
	List	   *added = context->state->new_events;
	int			n = list_length(past) + list_length(added);

	context->events = repalloc(context->events, sizeof(HistoryEvent *) * Max(n, 1));
	for (int i = context->n_events; i < n; i++)
		context->events[i] = i < list_length(past) ? list_nth(past, i) : list_nth(added, i - list_length(past));
	context->n_events = n;
}

/* A seed is between -1 and 1. */
void
orchestration_seed_random(OrchestrationContext *context)
{
	uint64		bits = hash_bytes_extended(context->state->execution_id.data, UUID_LEN, context->n_awaits);
	double		seed = (double) (int64) bits / ((double) PG_INT64_MAX + 1.0);

	(void) DirectFunctionCall1(setseed, Float8GetDatum(seed));
}

void
orchestration_unwind(OrchestrationContext *context)
{
	Assert(context->stop_reason != NOT_STOPPED);

	/*
	 * Of all errors PL/pgSQL's WHEN OTHERS lets only query_canceled and
	 * assert_failure pass; the second is the one nobody handles by name. Nor
	 * does anybody want to know where it was; to tell would be a good part of
	 * what it costs. Who catches it puts the stack back.
	 */
	error_context_stack = NULL;
	ereport(ERROR,
			(errcode(ERRCODE_ASSERT_FAILURE),
			 errmsg("the orchestrator waits"),
			 errdetail("This error ends a turn of an orchestrator and is handled by durable."),
			 errhint("Do not catch assert_failure around calls of durable functions.")));
	pg_unreachable();
}

/* ------------------------------------------------------------------------
 * Actions and tasks
 * ------------------------------------------------------------------------
 */

static void
enlarge_actions(OrchestrationContext *context)
{
	int			old = context->max_actions;

	context->max_actions *= 2;
	context->actions = repalloc(context->actions, sizeof(Action *) * context->max_actions);
	context->requested = repalloc(context->requested, sizeof(Action *) * context->max_actions);
	context->task_of_action = repalloc(context->task_of_action, sizeof(Task *) * context->max_actions);
	memset(context->actions + old, 0, sizeof(Action *) * old);
	memset(context->task_of_action + old, 0, sizeof(Task *) * old);
}

/*
 * <execution id>:<number>: unique, also over continue-as-new and retries, and
 * short however deep (DTFx). A number that was used before a rewind may be
 * used again after it: then the rewind is counted, too.
 */
static const char *
default_child_id(OrchestrationContext *context, int action_id)
{
	const char *execution = execution_id_text(&context->state->execution_id);

	if (context->n_rewinds == 0)
		return psprintf("%s:%d", execution, action_id);
	return psprintf("%s:%d.%d", execution, action_id, context->n_rewinds);
}

/* Numbers a request; the number is what history events refer to. */
int
orchestration_add_action(OrchestrationContext *context, const Action *request)
{
	MemoryContext old = MemoryContextSwitchTo(context->memory);
	Action	   *action = palloc(sizeof(Action));

	if (context->next_id >= context->max_actions)
		enlarge_actions(context);
	*action = *request;
	action->id = context->next_id++;
	if (action->kind == ACTION_CREATE_SUBORCHESTRATION && action->instance_id == NULL)
		action->instance_id = default_child_id(context, action->id);
	context->actions[action->id] = context->requested[action->id] = action;
	MemoryContextSwitchTo(old);
	return action->id;
}

List *
orchestration_new_actions(OrchestrationContext *context)
{
	List	   *actions = NIL;

	for (int id = 0; id < context->next_id && id < context->max_actions; id++)
		if (context->actions[id] != NULL)
			actions = lappend(actions, context->actions[id]);
	return actions;
}

static Task *
add_task(OrchestrationContext *context, TaskKind kind, const char *name)
{
	MemoryContext old = MemoryContextSwitchTo(context->memory);
	Task	   *task = palloc0(sizeof(Task));

	task->kind = kind;
	task->index = list_length(context->tasks);
	task->name = name;
	task->action_id = -1;
	task->retry_timer_id = -1;
	task->seen_failed_at = -1;
	context->tasks = lappend(context->tasks, task);
	MemoryContextSwitchTo(old);
	return task;
}

/* Asks for the task's work, for the first time or again; its answer will carry the new number. */
static void
attempt_task(OrchestrationContext *context, Task *task)
{
	task->attempts++;
	task->action_id = orchestration_add_action(context, task->attempted);
	context->task_of_action[task->action_id] = task;
	if (task->attempts > 1)
		context->actions[task->action_id]->wants_retry = false;
}

Task *
orchestration_schedule(OrchestrationContext *context, const Action *request, const RetryPolicy *retry)
{
	TaskKind	kind = request->kind == ACTION_SCHEDULE_TASK ? TASK_ACTIVITY : TASK_SUBORCHESTRATION;
	Task	   *task = add_task(context, kind, request->name);
	Action	   *attempted = MemoryContextAlloc(context->memory, sizeof(Action));

	*attempted = *request;
	task->attempted = attempted;
	task->retry = retry;
	task->first_attempt_at = context->time;
	attempt_task(context, task);
	return task;
}

static int
add_timer_action(OrchestrationContext *context, TimestampTz fire_at)
{
	Action		action = {0};

	action.kind = ACTION_CREATE_TIMER;
	action.fire_at = fire_at;
	return orchestration_add_action(context, &action);
}

Task *
orchestration_create_timer(OrchestrationContext *context, TimestampTz fire_at)
{
	Task	   *task = add_task(context, TASK_TIMER, NULL);

	task->action_id = add_timer_action(context, fire_at);
	context->task_of_action[task->action_id] = task;
	return task;
}

/* A timer that was never created is not created; one that was is forgotten, if this is news. */
void
orchestration_cancel_timer(OrchestrationContext *context, Task *timer)
{
	MemoryContext old;

	if (timer->state != TASK_PENDING)
		return;
	timer->state = TASK_CANCELLED;
	if (context->actions[timer->action_id] != NULL)
	{
		context->actions[timer->action_id] = NULL;
		return;
	}
	if (context->is_replaying)
		return;
	old = MemoryContextSwitchTo(context->memory);
	context->cancelled_timers = lappend_int(context->cancelled_timers, timer->action_id);
	MemoryContextSwitchTo(old);
}

static void
finish_task(OrchestrationContext *context, Task *task, TaskState state, Jsonb *result, Jsonb *failure)
{
	task->state = state;
	task->result = result;
	task->failure = failure;
	task->completion_order = ++context->n_completed;
	context->last_completed = task;
}

/* The open task that awaits the answer to this action, NULL if there is none (a duplicate, say). */
static Task *
open_task(OrchestrationContext *context, int action_id, TaskKind kind)
{
	Task	   *task;

	if (action_id < 0 || action_id >= context->next_id)
		return NULL;
	task = context->task_of_action[action_id];
	if (task == NULL || task->state != TASK_PENDING || task->action_id != action_id || task->kind != kind)
		return NULL;
	return task;
}

static void
complete_task(OrchestrationContext *context, int action_id, TaskKind kind, Jsonb *result)
{
	Task	   *task = open_task(context, action_id, kind);

	if (task != NULL)
		finish_task(context, task, TASK_COMPLETE, result, NULL);
}

/* A failed attempt is followed by a timer and another attempt if the policy says so. */
static void
fail_task(OrchestrationContext *context, int action_id, TaskKind kind, Jsonb *failure)
{
	Task	   *task = open_task(context, action_id, kind);
	int64		delay;

	if (task == NULL)
		return;
	if (task->retry == NULL ||
		!retry_decide(task->retry, task->attempts, failure, task->first_attempt_at, context->time, &delay))
	{
		finish_task(context, task, TASK_FAILED, NULL, failure);
		return;
	}
	task->action_id = -1;
	task->retry_timer_id = add_timer_action(context, context->time + delay);
	context->task_of_action[task->retry_timer_id] = task;
}

static void
fire_timer(OrchestrationContext *context, int timer_id)
{
	Task	   *task;

	if (timer_id < 0 || timer_id >= context->next_id)
		return;
	task = context->task_of_action[timer_id];
	if (task != NULL && task->state == TASK_PENDING && task->retry_timer_id == timer_id)
	{
		task->retry_timer_id = -1;
		attempt_task(context, task);
		return;
	}
	complete_task(context, timer_id, TASK_TIMER, NULL);
}

/* ------------------------------------------------------------------------
 * External events: names are case-insensitive, waiters and events first
 * come, first served
 * ------------------------------------------------------------------------
 */

/* ASCII letters only: the same in every database, and for ever. */
static char *
folded_name(const char *name)
{
	return asc_tolower(name, strlen(name));
}

static bool
take_buffered_event(OrchestrationContext *context, Task *waiter)
{
	ListCell   *lc;

	foreach(lc, context->buffered)
	{
		HistoryEvent *event = lfirst(lc);

		if (strcmp(event->folded_name, waiter->name) == 0)
		{
			context->buffered = foreach_delete_current(context->buffered, lc);
			finish_task(context, waiter, TASK_COMPLETE, event->payload, NULL);
			return true;
		}
	}
	return false;
}

/* Queues a waiter, unless an event is there for it. */
static void
attend_event(OrchestrationContext *context, Task *waiter)
{
	MemoryContext old;

	if (waiter->state != TASK_PENDING || waiter->registered || take_buffered_event(context, waiter))
		return;
	old = MemoryContextSwitchTo(context->memory);
	context->waiters = lappend(context->waiters, waiter);
	MemoryContextSwitchTo(old);
	waiter->registered = true;
}

/* Takes a waiter out of the queue, so that it does not swallow an event nobody looks for. */
static void
stand_back(OrchestrationContext *context, Task *waiter)
{
	if (waiter->kind != TASK_EVENT || !waiter->registered)
		return;
	context->waiters = list_delete_ptr(context->waiters, waiter);
	waiter->registered = false;
}

Task *
orchestration_expect_event(OrchestrationContext *context, const char *name)
{
	MemoryContext old = MemoryContextSwitchTo(context->memory);
	Task	   *waiter = add_task(context, TASK_EVENT, folded_name(name));

	attend_event(context, waiter);
	MemoryContextSwitchTo(old);
	return waiter;
}

void
orchestration_forget_event(OrchestrationContext *context, Task *waiter)
{
	if (waiter->state != TASK_PENDING)
		return;
	stand_back(context, waiter);
	waiter->state = TASK_CANCELLED;
}

static void
raise_external_event(OrchestrationContext *context, HistoryEvent *event)
{
	ListCell   *lc;

	if (context->continue_as_new)
	{
		context->events_after_continue = lappend(context->events_after_continue, event);
		return;
	}
	event->folded_name = folded_name(event->name);
	foreach(lc, context->waiters)
	{
		Task	   *waiter = lfirst(lc);

		if (strcmp(waiter->name, event->folded_name) == 0)
		{
			context->waiters = foreach_delete_current(context->waiters, lc);
			waiter->registered = false;
			finish_task(context, waiter, TASK_COMPLETE, event->payload, NULL);
			return;
		}
	}
	context->buffered = lappend(context->buffered, event);
}

List *
orchestration_waiting_events(OrchestrationContext *context)
{
	List	   *names = NIL;
	ListCell   *lc;

	foreach(lc, context->waiters)
		names = lappend(names, (char *) ((Task *) lfirst(lc))->name);
	return names;
}

/* ------------------------------------------------------------------------
 * Non-determinism: what the history recorded against what the code asks for
 * now, in the words of DTFx (semantics.md 4.3)
 * ------------------------------------------------------------------------
 */

static bool non_deterministic(OrchestrationContext *context, const char *format,...) pg_attribute_printf(2, 3);

static bool
non_deterministic(OrchestrationContext *context, const char *format,...)
{
	StringInfoData message;
	va_list		args;
	int			needed;

	initStringInfo(&message);
	do
	{
		va_start(args, format);
		needed = appendStringInfoVA(&message, format, args);
		va_end(args);
		if (needed > 0)
			enlargeStringInfo(&message, needed);
	} while (needed > 0);
	appendStringInfoString(&message, " " CODE_CHANGED);
	context->stop_reason = STOPPED_NON_DETERMINISTIC;
	context->non_determinism = message.data;
	return false;
}

const char *
orchestration_action_name(ActionKind kind)
{
	switch (kind)
	{
		case ACTION_SCHEDULE_TASK:
			return "ScheduleTask";
		case ACTION_CREATE_TIMER:
			return "CreateTimer";
		case ACTION_CREATE_SUBORCHESTRATION:
			return "CreateSubOrchestration";
		case ACTION_SEND_EVENT:
			return "SendEvent";
	}
	return "unknown";
}

static const char *
action_kind_name(OrchestrationContext *context, int id)
{
	return id == context->completion_id ? "OrchestrationComplete" : orchestration_action_name(context->actions[id]->kind);
}

#define TEXT_OR_EMPTY(s) ((s) ? (s) : "")

static bool
not_scheduled(OrchestrationContext *context, const HistoryEvent *event)
{
	switch (event->type)
	{
		case EVENT_TASK_SCHEDULED:
			return non_deterministic(context, "A previous execution of this orchestration scheduled an activity task with sequence ID %d and name '%s' (version '%s'), but the current replay execution hasn't (yet?) scheduled this task.",
									 event->event_id, TEXT_OR_EMPTY(event->name), TEXT_OR_EMPTY(event->version));
		case EVENT_TIMER_CREATED:
			return non_deterministic(context, "A previous execution of this orchestration scheduled a timer task with sequence number %d but the current replay execution hasn't (yet?) scheduled this task.",
									 event->event_id);
		case EVENT_SUBORCHESTRATION_CREATED:
			return non_deterministic(context, "A previous execution of this orchestration scheduled a sub-orchestration task with sequence ID %d and name '%s' (version '%s', instance ID '%s'), but the current replay execution hasn't (yet?) scheduled this task.",
									 event->event_id, TEXT_OR_EMPTY(event->name), TEXT_OR_EMPTY(event->version), TEXT_OR_EMPTY(event->target_instance_id));
		default:
			return non_deterministic(context, "A previous execution of this orchestration scheduled a send event task with sequence ID %d, type '%s', name '%s', instance ID '%s', but the current replay execution hasn't (yet?) scheduled this task.",
									 event->event_id, history_event_type_name(event->type), TEXT_OR_EMPTY(event->name), TEXT_OR_EMPTY(event->target_instance_id));
	}
}

static bool
other_kind(OrchestrationContext *context, const HistoryEvent *event)
{
	const char *kind = action_kind_name(context, event->event_id);

	switch (event->type)
	{
		case EVENT_TASK_SCHEDULED:
			return non_deterministic(context, "A previous execution of this orchestration scheduled an activity task with sequence number %d named '%s', but the current orchestration replay instead produced a %s action with this sequence number.",
									 event->event_id, TEXT_OR_EMPTY(event->name), kind);
		case EVENT_TIMER_CREATED:
			return non_deterministic(context, "A previous execution of this orchestration scheduled a timer task with sequence number %d named 'Timer', but the current orchestration replay instead produced a %s action with this sequence number.",
									 event->event_id, kind);
		case EVENT_SUBORCHESTRATION_CREATED:
			return non_deterministic(context, "A previous execution of this orchestration scheduled a sub-orchestration task with sequence ID %d and name '%s' (version '%s', instance ID '%s'), but the current orchestration replay instead produced a %s action at this sequence number.",
									 event->event_id, TEXT_OR_EMPTY(event->name), TEXT_OR_EMPTY(event->version), TEXT_OR_EMPTY(event->target_instance_id), kind);
		default:
			return non_deterministic(context, "A previous execution of this orchestration scheduled a send event task with sequence ID %d, type '%s', name '%s', instance ID '%s', but the current orchestration replay instead scheduled a %s task at this sequence number.",
									 event->event_id, history_event_type_name(event->type), TEXT_OR_EMPTY(event->name), TEXT_OR_EMPTY(event->target_instance_id), kind);
	}
}

static bool
other_name(OrchestrationContext *context, const HistoryEvent *event, const char *name)
{
	switch (event->type)
	{
		case EVENT_TASK_SCHEDULED:
			return non_deterministic(context, "A previous execution of this orchestration scheduled an activity task with sequence number %d named '%s', but the current orchestration replay instead scheduled an activity task named '%s' with this sequence number.",
									 event->event_id, TEXT_OR_EMPTY(event->name), name);
		case EVENT_SUBORCHESTRATION_CREATED:
			return non_deterministic(context, "A previous execution of this orchestration scheduled a sub-orchestration task with sequence ID %d and name '%s' (version '%s', instance ID '%s'), but the current orchestration replay instead scheduled a sub-orchestration task with name %s at this sequence number.",
									 event->event_id, TEXT_OR_EMPTY(event->name), TEXT_OR_EMPTY(event->version), TEXT_OR_EMPTY(event->target_instance_id), name);
		default:
			return non_deterministic(context, "A previous execution of this orchestration scheduled a send event task with sequence ID %d, type '%s', name '%s', instance ID '%s', but the current orchestration replay instead scheduled a send event task with name %s at this sequence number.",
									 event->event_id, history_event_type_name(event->type), TEXT_OR_EMPTY(event->name), TEXT_OR_EMPTY(event->target_instance_id), name);
	}
}

ActionKind
orchestration_action_kind(EventType type)
{
	switch (type)
	{
		case EVENT_TASK_SCHEDULED:
			return ACTION_SCHEDULE_TASK;
		case EVENT_TIMER_CREATED:
			return ACTION_CREATE_TIMER;
		case EVENT_SUBORCHESTRATION_CREATED:
			return ACTION_CREATE_SUBORCHESTRATION;
		default:
			return ACTION_SEND_EVENT;
	}
}

/* Calls that give no retry policy have the one that was registered when they were first made. */
static void
adopt_recorded_retry(OrchestrationContext *context, const HistoryEvent *event)
{
	Task	   *task = context->task_of_action[event->event_id];

	if (event->retry != NULL && task != NULL && task->retry == NULL)
		task->retry = retry_policy_from_json(event->retry);
}

/* The engine itself lets another input pass, as DTFx does. */
static bool
other_input(OrchestrationContext *context, const HistoryEvent *event)
{
	return non_deterministic(context, "A previous execution of this orchestration made a request with sequence number %d (%s) named '%s', but the current orchestration replay gives it another input.",
							 event->event_id, history_event_type_name(event->type), TEXT_OR_EMPTY(event->name));
}

static bool
has_input(const HistoryEvent *event, const Action *action)
{
	if (event->payload == NULL || action->input == NULL)
		return event->payload == action->input;
	return compareJsonbContainers(&event->payload->root, &action->input->root) == 0;
}

bool
orchestration_was_taken_back(const OrchestrationContext *context, int id)
{
	const Task *task = context->task_of_action[id];

	return task != NULL && task->kind == TASK_TIMER && task->state == TASK_CANCELLED && context->actions[id] == NULL;
}

/* Is the record of an action what the code asked for? If not the context says what differs. */
static bool
agrees_with_request(OrchestrationContext *context, const HistoryEvent *event)
{
	int			id = event->event_id;
	Action	   *action;

	if (id == context->completion_id)
		return other_kind(context, event);
	if (id >= context->next_id || context->actions[id] == NULL)
		return not_scheduled(context, event);
	action = context->actions[id];
	if (action->kind != orchestration_action_kind(event->type))
		return other_kind(context, event);
	if (action->name && event->name && pg_strcasecmp(action->name, event->name) != 0)
		return other_name(context, event, action->name);
	if (context->is_strict && !has_input(event, action))
		return other_input(context, event);
	return true;
}

/* A recorded action must be what the code has asked for under its number; then it is done with. */
static bool
match_recorded_action(OrchestrationContext *context, const HistoryEvent *event)
{
	if (event->event_id < 0)
		return true;			/* a timer of the engine's own */
	if (!agrees_with_request(context, event))
	{
		context->diverged_at = event;
		context->divergence = divergence_text(context, event->event_id);
		return false;
	}
	adopt_recorded_retry(context, event);
	context->actions[event->event_id] = NULL;
	return true;
}

/* ------------------------------------------------------------------------
 * Feeding events
 * ------------------------------------------------------------------------
 */

static bool
terminate_orchestration(OrchestrationContext *context, const HistoryEvent *event)
{
	context->stop_reason = STOPPED_TERMINATED;
	context->termination_reason = event->payload;
	context->terminate_children = event->recurse;
	return false;
}

/* What suspension does not hold back. */
static bool
passes_suspension(EventType type)
{
	return type == EVENT_EXECUTION_RESUMED || type == EVENT_EXECUTION_SUSPENDED ||
		type == EVENT_EXECUTION_TERMINATED;
}

static void
resume_orchestration(OrchestrationContext *context)
{
	context->is_suspended = false;
	context->released = list_concat(context->released, context->held);
	context->held = NIL;
}

/* What failed is asked for again: its retries are counted anew. */
static void
renew_retries(OrchestrationContext *context)
{
	ListCell   *lc;

	foreach(lc, context->tasks)
	{
		Task	   *task = lfirst(lc);

		if (task->state != TASK_PENDING || task->retry == NULL)
			continue;
		task->attempts = Min(task->attempts, 1);
		task->first_attempt_at = context->time;
	}
}

/* The effect of an event (semantics.md 4.1); false if the code has to stop. */
static bool
apply_event(OrchestrationContext *context, HistoryEvent *event)
{
	switch (event->type)
	{
		case EVENT_EXECUTION_STARTED:
			context->started = true;
			return true;
		case EVENT_TASK_SCHEDULED:
		case EVENT_TIMER_CREATED:
		case EVENT_SUBORCHESTRATION_CREATED:
		case EVENT_EVENT_SENT:
			return match_recorded_action(context, event);
		case EVENT_TASK_COMPLETED:
			complete_task(context, event->task_id, TASK_ACTIVITY, event->payload);
			return true;
		case EVENT_TASK_FAILED:
			fail_task(context, event->task_id, TASK_ACTIVITY, event->failure);
			return true;
		case EVENT_SUBORCHESTRATION_COMPLETED:
			complete_task(context, event->task_id, TASK_SUBORCHESTRATION, event->payload);
			return true;
		case EVENT_SUBORCHESTRATION_FAILED:
			fail_task(context, event->task_id, TASK_SUBORCHESTRATION, event->failure);
			return true;
		case EVENT_TIMER_FIRED:
			fire_timer(context, event->task_id);
			return true;
		case EVENT_EVENT_RAISED:
			raise_external_event(context, event);
			return true;
		case EVENT_EXECUTION_TERMINATED:
			return terminate_orchestration(context, event);
		case EVENT_EXECUTION_SUSPENDED:
			context->is_suspended = true;
			context->suspension = event;
			return true;
		case EVENT_EXECUTION_RESUMED:
			resume_orchestration(context);
			return true;
		case EVENT_EXECUTION_REWOUND:
			context->n_rewinds++;
			renew_retries(context);
			return true;
		default:
			return true;		/* no effect on replay */
	}
}

/* The next event in the order the code sees them; NULL if there is none. */
static HistoryEvent *
next_event(OrchestrationContext *context)
{
	HistoryEvent *event;

	if (context->released != NIL && !context->is_suspended)
	{
		event = linitial(context->released);
		context->released = list_delete_first(context->released);
		return event;
	}
	if (context->next_event >= context->n_events)
		return NULL;
	event = context->events[context->next_event];
	context->is_replaying = context->next_event < context->n_past;
	context->time = event->turn_at;
	context->next_event++;
	if (context == current_orchestration)
		sandbox_pin_time(context->time);	/* the code is running */
	return event;
}

bool
orchestration_feed_event(OrchestrationContext *context)
{
	MemoryContext old;
	HistoryEvent *event;
	bool		goes_on = true;

	CHECK_FOR_INTERRUPTS();
	if (context->stop_reason != NOT_STOPPED)
		return false;
	old = MemoryContextSwitchTo(context->memory);
	event = next_event(context);
	if (event != NULL)
		context->n_fed++;
	if (event == NULL)
		goes_on = false;
	else if (context->is_suspended && !passes_suspension(event->type))
		context->held = lappend(context->held, event);
	else
		goes_on = apply_event(context, event);
	MemoryContextSwitchTo(old);
	return goes_on;
}

/* The record of an action the code has asked for must match it; others it may not have got to. */
static bool
match_if_asked(OrchestrationContext *context, const HistoryEvent *event)
{
	int			id = event->event_id;

	if (event->type != EVENT_TASK_SCHEDULED && event->type != EVENT_TIMER_CREATED &&
		event->type != EVENT_SUBORCHESTRATION_CREATED && event->type != EVENT_EVENT_SENT)
		return true;
	if (id < 0 || id >= context->next_id)
		return true;
	if (id != context->completion_id && context->actions[id] == NULL)
		return true;
	return match_recorded_action(context, event);
}

bool
orchestration_match_rest(OrchestrationContext *context)
{
	ListCell   *lc;

	if (context->stop_reason == STOPPED_NON_DETERMINISTIC)
		return true;			/* the first difference is the one that is told */
	foreach(lc, context->held)
		if (!match_if_asked(context, lfirst(lc)))
			return false;
	foreach(lc, context->released)
		if (!match_if_asked(context, lfirst(lc)))
			return false;
	for (int i = context->next_event; i < context->n_past; i++)
		if (!match_if_asked(context, context->events[i]))
			return false;
	return true;
}

/* Feeds an event; if there is none, lets the answer come at once, or ends the turn. */
static void
feed_or_unwind(OrchestrationContext *context)
{
	if (orchestration_feed_event(context))
		return;
	if (context->stop_reason == NOT_STOPPED && speculation_goes_on(context))
		return;
	if (context->stop_reason == NOT_STOPPED)
		context->stop_reason = STOPPED_WAITING;
	orchestration_unwind(context);
}

static void
end_of_await(OrchestrationContext *context, int fed_before)
{
	if (context->n_fed == fed_before)
		return;
	context->n_awaits++;
	orchestration_seed_random(context);
}

/* ------------------------------------------------------------------------
 * Messages
 * ------------------------------------------------------------------------
 */

static void
write_message(const OrchestrationContext *context, const LogMessage *message)
{
	ereport(message->level,
			(errmsg_internal("%s", message->text),
			 errdetail_internal("Orchestration %s of task hub %s.",
								context->state->instance_id, context->state->task_hub),
			 message->context ? errcontext("%s", message->context) : 0));
}

void
orchestration_log(OrchestrationContext *context, int level, const char *text)
{
	LogMessage	message = {level, text, NULL};
	MemoryContext old;

	if (context->speculation == NULL)
	{
		write_message(context, &message);
		return;
	}
	old = MemoryContextSwitchTo(context->memory);
	message.text = pstrdup(text);
	message.context = GetErrorContextStack();
	context->messages = lappend(context->messages, memcpy(palloc(sizeof(LogMessage)), &message, sizeof(LogMessage)));
	MemoryContextSwitchTo(old);
}

void
orchestration_write_log(OrchestrationContext *context)
{
	ListCell   *lc;

	foreach(lc, context->messages)
		write_message(context, lfirst(lc));
	context->messages = NIL;
}

/* ------------------------------------------------------------------------
 * Waiting
 * ------------------------------------------------------------------------
 */

void
orchestration_attend(OrchestrationContext *context, Task *task)
{
	if (task->kind == TASK_EVENT)
		attend_event(context, task);
}

void
orchestration_await(OrchestrationContext *context, Task *task)
{
	int			fed_before = context->n_fed;

	orchestration_attend(context, task);
	while (task->state == TASK_PENDING)
		feed_or_unwind(context);
	end_of_await(context, fed_before);
}

void
orchestration_show_task(OrchestrationContext *context, Task *task)
{
	if (task->state == TASK_FAILED && task->seen_failed_at < 0)
		task->seen_failed_at = context->next_id;
}

/* Of the tasks that are finished the one that was first; NULL if none is. */
static Task *
first_finished(Task **tasks, int n_tasks)
{
	Task	   *first = NULL;

	for (int i = 0; i < n_tasks; i++)
	{
		if (tasks[i]->state == TASK_PENDING)
			continue;
		if (first == NULL || tasks[i]->completion_order < first->completion_order)
			first = tasks[i];
	}
	return first;
}

Task *
orchestration_await_any(OrchestrationContext *context, Task **tasks, int n_tasks)
{
	int			fed_before = context->n_fed;
	Task	   *winner;

	context->await_stamp++;
	for (int i = 0; i < n_tasks; i++)
	{
		tasks[i]->await_stamp = context->await_stamp;
		orchestration_attend(context, tasks[i]);
	}
	winner = first_finished(tasks, n_tasks);
	while (winner == NULL)
	{
		context->last_completed = NULL;
		feed_or_unwind(context);
		if (context->last_completed && context->last_completed->await_stamp == context->await_stamp)
			winner = context->last_completed;
	}
	for (int i = 0; i < n_tasks; i++)
		stand_back(context, tasks[i]);
	end_of_await(context, fed_before);
	orchestration_show_task(context, winner);
	return winner;
}
