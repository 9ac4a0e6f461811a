/*
 * replay_check.c
 *		Recorded histories against code: see replay_check.h.
 *
 * The whole history is replayed at once, as the last turn did it. A replay
 * does not need the input of what was scheduled, so that is compared only when
 * it is asked for.
 */
#include "postgres.h"

#include "core/failure.h"
#include "core/json.h"
#include "replay/double_replay.h"
#include "replay/orchestration_context.h"
#include "replay/orchestration_executor.h"
#include "replay/replay_check.h"

/* How an execution ended, or did not. */
typedef struct Ending
{
	CompletionKind kind;
	Jsonb	   *output;
	Jsonb	   *failure;
} Ending;

/* ------------------------------------------------------------------------
 * In words
 * ------------------------------------------------------------------------
 */

static bool
records_action(const HistoryEvent *event)
{
	return (event->type == EVENT_TASK_SCHEDULED || event->type == EVENT_TIMER_CREATED ||
			event->type == EVENT_SUBORCHESTRATION_CREATED || event->type == EVENT_EVENT_SENT) &&
		event->event_id >= 0;
}

/* The action an event records, as far as it can be shown. */
static char *
recorded_text(const HistoryEvent *event)
{
	Action		action = {0};

	action.kind = event->type == EVENT_TASK_SCHEDULED ? ACTION_SCHEDULE_TASK :
		event->type == EVENT_TIMER_CREATED ? ACTION_CREATE_TIMER :
		event->type == EVENT_SUBORCHESTRATION_CREATED ? ACTION_CREATE_SUBORCHESTRATION : ACTION_SEND_EVENT;
	action.name = event->name;
	action.detached = json_has_key(event->tags, FIRE_AND_FORGET_TAG);
	return action_text(&action);
}

static char *
failure_summary(Jsonb *failure)
{
	const char *sqlstate = failure_field(failure, "sqlstate");
	const char *message = failure_field(failure, "errorMessage");

	return psprintf("fails with SQLSTATE %s: %s", sqlstate ? sqlstate : "?", message ? message : "");
}

static char *
ending_text(const Ending *ending)
{
	const char *output = ending->output ? json_text(ending->output) : "NULL";

	switch (ending->kind)
	{
		case NOT_COMPLETED:
			return pstrdup("waits");
		case COMPLETED:
			return psprintf("completes with %s", output);
		case COMPLETED_FAILED:
			return failure_summary(ending->failure);
		case COMPLETED_TERMINATED:
			return psprintf("is terminated with %s", output);
		case COMPLETED_CONTINUE_AS_NEW:
			return psprintf("continues as new with %s", output);
	}
	return pstrdup("unknown");
}

/* ------------------------------------------------------------------------
 * Verdicts
 * ------------------------------------------------------------------------
 */

/* Of two long texts the part is shown where they differ. */
static void
differs_at(ReplayVerdict *verdict, const HistoryEvent *event, const char *recorded, const char *requested, const char *message)
{
	int			position = common_length(recorded, requested);

	verdict->fits = false;
	verdict->event_seq = event->seq;
	verdict->event = history_event_type_name(event->type);
	verdict->recorded = excerpt(recorded, position);
	verdict->requested = excerpt(requested, position);
	verdict->message = message;
}

/* What the code asks for now under the number of a recorded action. */
static char *
requested_text(const OrchestrationContext *context, int id)
{
	if (context->completion_id >= 0 && id >= context->completion_id)
		return pstrdup(context->continue_as_new ? "continues as new" : "completes");
	if (id < context->next_id && context->actions[id] != NULL)
		return action_text(context->actions[id]);
	return pstrdup("waits");
}

/* The replay itself found the history to be of other code; what looks alike differs in its input. */
static void
contradicted(ReplayVerdict *verdict, const OrchestrationContext *context)
{
	const HistoryEvent *event = context->diverged_at;
	char	   *recorded = recorded_text(event);
	char	   *requested = requested_text(context, event->event_id);

	if (context->is_strict && strcmp(recorded, requested) == 0)
	{
		recorded = psprintf("%s with %s", recorded, event->payload ? json_text(event->payload) : "NULL");
		requested = psprintf("%s with %s", requested, context->actions[event->event_id]->input ?
							 json_text(context->actions[event->event_id]->input) : "NULL");
	}
	differs_at(verdict, event, recorded, requested, context->non_determinism);
}

/* The first recorded action the code never asked for: it ended, or stood still, before. NULL if there is none. */
static const HistoryEvent *
first_not_asked(const OrchestrationContext *context)
{
	for (int i = 0; i < context->n_events; i++)
		if (records_action(context->events[i]) && context->events[i]->event_id >= context->next_id)
			return context->events[i];
	return NULL;
}

static const HistoryEvent *
last_event_seen(const OrchestrationContext *context)
{
	return context->events[Max(context->next_event, 1) - 1];
}

static bool
same_text(const char *first, const char *second)
{
	return first == NULL || second == NULL ? first == second : strcmp(first, second) == 0;
}

static bool
same_ending(const Ending *first, const Ending *second)
{
	return first->kind == second->kind &&
		same_text(json_text(first->output), json_text(second->output)) &&
		same_text(failure_text(first->failure), failure_text(second->failure));
}

static void
ends_otherwise(ReplayVerdict *verdict, const HistoryEvent *event, const Ending *recorded, const Ending *now)
{
	char	   *first = ending_text(recorded);
	char	   *second = ending_text(now);

	if (strcmp(first, second) == 0)
	{
		/* failures that differ in their details, or nothing and null */
		first = psprintf("%s %s", first, recorded->failure ? failure_text(recorded->failure) : "");
		second = psprintf("%s %s", second, now->failure ? failure_text(now->failure) : "");
	}
	differs_at(verdict, event, first, second, "The recorded execution ended otherwise than the code does now.");
}

/* ------------------------------------------------------------------------
 * The history
 * ------------------------------------------------------------------------
 */

/* Did the engine end it, for a reason that is not in the history? */
static bool
ended_by_engine(const RuntimeState *state)
{
	static const char *const types[] = {
		"Poisoned", "HistoryLimitExceeded", "VersionMismatch", "OrchestratorTimeout",
		"NonDeterministicOrchestrationException"
	};
	const char *type = failure_field(state->failure, "errorType");

	for (int i = 0; type != NULL && i < lengthof(types); i++)
		if (strcmp(type, types[i]) == 0)
			return true;
	return false;
}

static CompletionKind
recorded_kind(RuntimeStatus status)
{
	switch (status)
	{
		case STATUS_COMPLETED:
			return COMPLETED;
		case STATUS_FAILED:
			return COMPLETED_FAILED;
		case STATUS_TERMINATED:
		case STATUS_CANCELED:
			return COMPLETED_TERMINATED;
		default:
			return NOT_COMPLETED;
	}
}

/* The history as it was before its end, which is returned in *completed (NULL: it has none). */
static RuntimeState *
state_before_end(const RuntimeState *state, const char *function, const HistoryEvent **completed)
{
	RuntimeState *before = palloc(sizeof(RuntimeState));
	ListCell   *lc;

	*before = *state;
	before->past_events = before->new_events = NIL;
	if (function != NULL)
		before->function = function;
	before->code = NULL;		/* the code of today is asked, not the instance's copy */
	*completed = NULL;
	foreach(lc, state->past_events)
	{
		HistoryEvent *event = lfirst(lc);

		if (event->type == EVENT_EXECUTION_COMPLETED)
			*completed = event;
		else
			before->past_events = lappend(before->past_events, event);
	}
	return before;
}

/* The execution goes on, or would have: the code may do as it likes from here, but for failing. */
static void
check_open_end(ReplayVerdict *verdict, const OrchestrationContext *context, const Ending *now)
{
	if (now->kind == COMPLETED_FAILED)
		differs_at(verdict, last_event_seen(context), "waits", ending_text(now),
				   "The recorded execution went on, but the code fails now.");
}

/* A termination cuts off what the code may have asked for; any other end is the code's own. */
static void
check_end(ReplayVerdict *verdict, const HistoryEvent *completed, const Ending *recorded, const Ending *now,
		  const TurnResult *result)
{
	if (recorded->kind != COMPLETED_TERMINATED && result->actions != NIL)
		differs_at(verdict, completed, ending_text(recorded), action_text(linitial(result->actions)),
				   "The recorded execution had ended, but the code asks for more than was recorded.");
	else if (!same_ending(recorded, now))
		ends_otherwise(verdict, completed, recorded, now);
}

void
replay_check(const RuntimeState *state, const char *function, bool strict, ReplayVerdict *verdict)
{
	const HistoryEvent *completed;
	RuntimeState *before = state_before_end(state, function, &completed);
	OrchestrationContext *context;
	TurnResult *result = orchestration_replay(before, strict, &context);
	Ending		recorded = {recorded_kind(state->status), state->output, state->failure};
	Ending		now = {result->completion, result->output, result->failure};
	const HistoryEvent *not_asked;

	memset(verdict, 0, sizeof(ReplayVerdict));
	verdict->fits = true;
	if (!context->started)
		verdict->message = "The instance has no history yet.";
	else if (context->stop_reason == STOPPED_NON_DETERMINISTIC)
		contradicted(verdict, context);
	else if ((not_asked = first_not_asked(context)) != NULL)
		differs_at(verdict, not_asked, recorded_text(not_asked), ending_text(&now),
				   "The recorded execution went on here, but the code does not ask for it.");
	else if (completed == NULL || !runtime_status_is_finished(state->status) ||
			 (ended_by_engine(state) && !same_ending(&recorded, &now)))
		check_open_end(verdict, context, &now);
	else
		check_end(verdict, completed, &recorded, &now, result);
}
