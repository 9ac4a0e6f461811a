/*
 * core_functions.c
 *		Functions of src/core/ for SQL, which generates their arguments and
 *		knows what must come of them.
 *
 * What they return is in words: an execution is "own", "parent" or "next", a
 * message is "type(id)->task to instance/execution".
 */
#include "core_test.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"

#include "core/decisions.h"
#include "core/json.h"
#include "core/retry.h"

PG_FUNCTION_INFO_V1(core_test_retry_delay);
PG_FUNCTION_INFO_V1(core_test_play);
PG_FUNCTION_INFO_V1(core_test_turn_times);
PG_FUNCTION_INFO_V1(core_test_next_generation);
PG_FUNCTION_INFO_V1(core_test_decide);

/* Some time, far from the epoch of PostgreSQL and from that of Unix. */
#define NOON INT64CONST(800000000000000)

#define FIRST_ACTION 10
#define PARENT_TASK 7

static Datum
text_datum(const char *text)
{
	return CStringGetTextDatum(text);
}

static Jsonb *
make_json(const char *text)
{
	return DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(text)));
}

/* Objects are made as text: each value is printed as JSON by its own function. */
static Datum
json_datum(const StringInfoData *text)
{
	return JsonbPGetDatum(make_json(text->data));
}

static const char *
json_text(Jsonb *json)
{
	return json ? JsonbToCString(NULL, &json->root, VARSIZE(json)) : "null";
}

static const char *
json_quoted(const char *text)
{
	return text ? json_text(json_string(text)) : "null";
}

/* ------------------------------------------------------------------------
 * Retry
 * ------------------------------------------------------------------------
 */

static List *
text_list_argument(FunctionCallInfo fcinfo, int arg)
{
	List	   *list = NIL;
	int			n;
	char	  **texts;

	if (PG_ARGISNULL(arg))
		return NIL;
	texts = text_array(PG_GETARG_ARRAYTYPE_P(arg), &n);
	for (int i = 0; i < n; i++)
		list = lappend(list, texts[i]);
	return list;
}

Datum
core_test_retry_delay(PG_FUNCTION_ARGS)
{
	RetryPolicy policy = {0};
	Jsonb	   *failure = PG_ARGISNULL(8) ? NULL : PG_GETARG_JSONB_P(8);
	int64		delay = -1;

	policy.max_attempts = PG_GETARG_INT32(0);
	policy.first_interval = PG_GETARG_INT64(1);
	policy.backoff = PG_GETARG_FLOAT8(2);
	policy.max_interval = PG_GETARG_INT64(3);
	policy.timeout = PG_GETARG_INT64(4);
	policy.retry_on = text_list_argument(fcinfo, 5);
	policy.never_retry_on = text_list_argument(fcinfo, 6);
	if (!retry_decide(&policy, PG_GETARG_INT32(7), failure, NOON, NOON + PG_GETARG_INT64(9), &delay))
		PG_RETURN_NULL();
	PG_RETURN_INT64(delay);
}

/* ------------------------------------------------------------------------
 * A history in words
 * ------------------------------------------------------------------------
 */

/* " 3 TaskScheduled(0)": the number in the history, the type, the ids it has. */
static void
append_event(StringInfo words, const HistoryEvent *event)
{
	appendStringInfo(words, " %d %s", event->seq, history_event_type_name(event->type));
	if (event->event_id != NO_EVENT_ID)
		appendStringInfo(words, "(%d)", event->event_id);
	if (event->task_id != NO_TASK_ID)
		appendStringInfo(words, "->%d", event->task_id);
}

/* The new events, with the bookends as they are counted. */
static const char *
history_words(const RuntimeState *state)
{
	StringInfoData words;
	ListCell   *lc;

	initStringInfo(&words);
	foreach(lc, state->new_events)
	{
		const HistoryEvent *event = lfirst(lc);

		if (event->opens_turn)
			appendStringInfo(&words, " %d OS", event->seq - 1);
		append_event(&words, event);
		if (event->closes_turn)
			appendStringInfo(&words, " %d OC", event->seq + 1);
	}
	return words.len > 0 ? words.data + 1 : "";
}

/* ------------------------------------------------------------------------
 * The runtime state
 * ------------------------------------------------------------------------
 */

static CompletionKind
completion_by_name(const char *name)
{
	static const char *const names[] = {"none", "completed", "failed", "terminated", "continue as new"};

	for (int i = 0; i < lengthof(names); i++)
		if (strcmp(names[i], name) == 0)
			return (CompletionKind) i;
	(void) unknown_word("completion", name);
	return NOT_COMPLETED;
}

/* The types whose names may be steps. */
static EventType
event_type_by_name(const char *name)
{
	for (int type = EVENT_EXECUTION_STARTED; type <= EVENT_EXECUTION_REWOUND; type++)
		if (strcmp(history_event_type_name((EventType) type), name) == 0)
			return (EventType) type;
	(void) unknown_word("step", name);
	return EVENT_GENERIC;
}

static void
complete(RuntimeState *state, const char *how)
{
	TurnResult	result = {0};
	Outbox		outbox = {0};

	result.completion = completion_by_name(how);
	decisions_apply(state, &result, &outbox, 0, NOON);
}

static RuntimeState *
play_step(RuntimeState *state, const char *step)
{
	if (strcmp(step, "turn") == 0)
		runtime_state_begin_turn(state, NOON);
	else if (strcmp(step, "end") == 0)
		runtime_state_end_turn(state);
	else if (strcmp(step, "continue") == 0)
		return runtime_state_next_generation(state, NULL, NULL, &next_execution, NOON);
	else if (strcmp(step, "completed") == 0 || strcmp(step, "failed") == 0 || strcmp(step, "terminated") == 0)
		complete(state, step);
	else
		runtime_state_add_event(state, history_event_make(event_type_by_name(step), NOON));
	return state;
}

Datum
core_test_play(PG_FUNCTION_ARGS)
{
	RuntimeState *state = make_state(STATUS_PENDING);
	int			n;
	char	  **steps = text_array(PG_GETARG_ARRAYTYPE_P(0), &n);
	Datum		values[5];
	bool		nulls[5] = {0};

	for (int i = 0; i < n; i++)
		state = play_step(state, steps[i]);
	values[0] = text_datum(runtime_status_name(state->status));
	values[1] = Int32GetDatum(state->turn);
	values[2] = Int32GetDatum(state->last_seq);
	values[3] = BoolGetDatum(runtime_state_is_started(state));
	values[4] = text_datum(history_words(state));
	return make_row(fcinfo, values, nulls);
}

/* A turn with two events; its time, or -1 if they do not have it. */
static int64
time_of_turn(RuntimeState *state, TimestampTz clock)
{
	HistoryEvent *first = history_event_make(EVENT_EVENT_RAISED, clock);
	HistoryEvent *second = history_event_make(EVENT_EVENT_RAISED, clock);

	runtime_state_begin_turn(state, clock);
	runtime_state_add_event(state, first);
	runtime_state_add_event(state, second);
	runtime_state_end_turn(state);
	if (first->turn_at != state->turn_at || second->turn_at != state->turn_at ||
		first->turn != state->turn || second->turn != state->turn)
		return -1;
	return state->turn_at;
}

Datum
core_test_turn_times(PG_FUNCTION_ARGS)
{
	RuntimeState *state = make_state(STATUS_RUNNING);
	Datum	   *clock;
	bool	   *nulls;
	int			n;

	deconstruct_array(PG_GETARG_ARRAYTYPE_P(0), INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE, &clock, &nulls, &n);
	for (int i = 0; i < n; i++)
		clock[i] = Int64GetDatum(time_of_turn(state, DatumGetInt64(clock[i])));
	PG_RETURN_ARRAYTYPE_P(construct_array(clock, n, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

/* ------------------------------------------------------------------------
 * The next generation
 * ------------------------------------------------------------------------
 */

/* A running child in its third generation and fifth turn, with something everywhere. */
static RuntimeState *
make_full_state(void)
{
	RuntimeState *state = make_state(STATUS_RUNNING);

	state->generation = 3;
	state->function = "app.orchestrator(jsonb)";
	state->version = "1.2";
	state->input = make_json("\"old input\"");
	state->tags = make_json("{\"team\": \"blue\"}");
	state->settings_json = make_json("{\"TimeZone\": \"UTC\"}");
	instance_settings_read(state->settings_json, &state->settings);
	state->parent_instance_id = "parent";
	state->parent_execution_id = parent_execution;
	state->parent_task_id = PARENT_TASK;
	state->notify = true;
	state->trace_parent = "00-trace";
	state->custom_status = make_json("\"half way\"");
	state->waiting_events = list_make1("go");
	state->turn = 4;
	state->last_seq = 20;
	state->turn_at = NOON - 1;
	state->past_events = list_make1(history_event_make(EVENT_EXECUTION_STARTED, NOON - 9));
	runtime_state_begin_turn(state, NOON);
	runtime_state_add_event(state, history_event_make(EVENT_EVENT_RAISED, NOON));
	return state;
}

static const char *
names_text(List *names)
{
	StringInfoData words;
	ListCell   *lc;

	initStringInfo(&words);
	foreach(lc, names)
		appendStringInfo(&words, "%s%s", words.len > 0 ? " " : "", (char *) lfirst(lc));
	return words.data;
}

static void
append_identity(StringInfo text, const RuntimeState *state)
{
	appendStringInfo(text, "\"task_hub\": %s, \"instance_id\": %s, \"execution\": \"%s\", \"generation\": " INT64_FORMAT ", ",
					 json_quoted(state->task_hub), json_quoted(state->instance_id), execution_name(&state->execution_id), state->generation);
	appendStringInfo(text, "\"name\": %s, \"function\": %s, \"version\": %s, \"input\": %s, \"tags\": %s, ",
					 json_quoted(state->name), json_quoted(state->function), json_quoted(state->version), json_text(state->input), json_text(state->tags));
	appendStringInfo(text, "\"settings\": %s, \"time_zone\": %s, ", json_text(state->settings_json), json_quoted(state->settings.values[1]));
	appendStringInfo(text, "\"parent\": %s, \"parent_execution\": \"%s\", \"parent_task\": %d, \"notify\": %s, \"trace\": %s, ",
					 json_quoted(state->parent_instance_id), execution_name(&state->parent_execution_id), state->parent_task_id,
					 state->notify ? "true" : "false", json_quoted(state->trace_parent));
}

static Datum
state_datum(const RuntimeState *state)
{
	StringInfoData text;

	initStringInfo(&text);
	appendStringInfoChar(&text, '{');
	append_identity(&text, state);
	appendStringInfo(&text, "\"status\": \"%s\", \"custom_status\": %s, \"output\": %s, \"failure\": %s, \"completed\": " INT64_FORMAT ", ",
					 runtime_status_name(state->status), json_text(state->custom_status), json_text(state->output), json_text(state->failure),
					 state->completed_at ? state->completed_at - NOON : -1);
	appendStringInfo(&text, "\"waiting\": %s, \"turn\": %d, \"turn_at\": " INT64_FORMAT ", \"past\": %d, \"history\": %s}",
					 json_quoted(names_text(state->waiting_events)), state->turn, state->turn_at - NOON,
					 list_length(state->past_events), json_quoted(history_words(state)));
	return json_datum(&text);
}

Datum
core_test_next_generation(PG_FUNCTION_ARGS)
{
	RuntimeState *state = make_full_state();
	Jsonb	   *input = PG_ARGISNULL(0) ? NULL : PG_GETARG_JSONB_P(0);
	const char *version = PG_ARGISNULL(1) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(1));
	RuntimeState *next = runtime_state_next_generation(state, input, version, &next_execution, NOON);
	Datum		values[2] = {state_datum(state), state_datum(next)};
	bool		nulls[2] = {0};

	return make_row(fcinfo, values, nulls);
}

/* ------------------------------------------------------------------------
 * Decisions
 * ------------------------------------------------------------------------
 */

static ActionKind
action_kind_by_name(const char *name)
{
	if (strcmp(name, "task") == 0)
		return ACTION_SCHEDULE_TASK;
	if (strcmp(name, "timer") == 0)
		return ACTION_CREATE_TIMER;
	if (strcmp(name, "child") == 0 || strcmp(name, "detached") == 0)
		return ACTION_CREATE_SUBORCHESTRATION;
	if (strcmp(name, "event") != 0 && strcmp(name, "own event") != 0)
		(void) unknown_word("action", name);
	return ACTION_SEND_EVENT;
}

/* A timer of number 12 is due 12 us after noon; the others are named after what they are. */
static Action *
make_action(const char *name, int id)
{
	Action	   *action = palloc0(sizeof(Action));

	action->kind = action_kind_by_name(name);
	action->id = id;
	action->name = pstrdup(name);
	action->version = "7";
	action->input = make_json(psprintf("{\"for\": %d}", id));
	action->fire_at = NOON + id;
	if (action->kind == ACTION_CREATE_SUBORCHESTRATION)
	{
		action->instance_id = psprintf("%s-%d", name, id);
		action->tags = make_json("{\"team\": \"red\", \"of\": \"child\"}");
		action->detached = strcmp(name, "detached") == 0;
	}
	if (action->kind == ACTION_SEND_EVENT)
		action->instance_id = strcmp(name, "own event") == 0 ? "self" : "other";
	return action;
}

static List *
make_actions(ArrayType *names, int first_id)
{
	List	   *actions = NIL;
	int			n;
	char	  **texts = text_array(names, &n);

	for (int i = 0; i < n; i++)
		actions = lappend(actions, make_action(texts[i], first_id + i));
	return actions;
}

/* An instance of tags, maybe a child, that made these in its first turn and is in its second. */
static RuntimeState *
make_deciding_state(ArrayType *past, bool is_child)
{
	RuntimeState *state = make_state(STATUS_RUNNING);
	TurnResult	result = {0};
	Outbox		outbox = {0};

	state->generation = 3;
	state->tags = make_json("{\"team\": \"blue\", \"site\": \"north\"}");
	state->parent_instance_id = is_child ? "parent" : NULL;
	state->parent_execution_id = parent_execution;
	state->parent_task_id = PARENT_TASK;
	runtime_state_begin_turn(state, NOON - 2);
	runtime_state_add_event(state, history_event_make(EVENT_EXECUTION_STARTED, NOON - 2));
	result.actions = make_actions(past, 0);
	decisions_apply(state, &result, &outbox, 0, NOON - 2);
	state->past_events = state->new_events;
	state->new_events = NIL;
	state->last_seq = 0;		/* so that the numbers do not depend on the past */
	state->custom_status = make_json("\"as it was\"");
	runtime_state_begin_turn(state, NOON);
	runtime_state_add_event(state, history_event_make(EVENT_GENERIC, NOON));
	return state;
}

static const char *
activities_words(const Outbox *outbox)
{
	StringInfoData words;
	ListCell   *lc;

	initStringInfo(&words);
	foreach(lc, outbox->activities)
	{
		const OutboundActivity *activity = lfirst(lc);

		if (words.len > 0)
			appendStringInfoString(&words, ", ");
		appendStringInfo(&words, "%s(%d) for %s/" INT64_FORMAT "%s", activity->scheduled->name, activity->scheduled->event_id,
						 execution_name(&activity->execution_id), activity->generation, activity->keep_input ? " with input" : "");
	}
	return words.data;
}

/* "TimerFired->11 to self/own at 11"; /any: for whichever execution is current. */
static const char *
messages_words(const Outbox *outbox)
{
	StringInfoData words;
	ListCell   *lc;

	initStringInfo(&words);
	foreach(lc, outbox->messages)
	{
		const OutboundMessage *message = lfirst(lc);
		const HistoryEvent *event = message->event;

		appendStringInfo(&words, "%s%s", words.len > 0 ? ", " : "", history_event_type_name(event->type));
		if (event->event_id != NO_EVENT_ID)
			appendStringInfo(&words, "(%d)", event->event_id);
		if (event->task_id != NO_TASK_ID)
			appendStringInfo(&words, "->%d", event->task_id);
		appendStringInfo(&words, " to %s/%s at " INT64_FORMAT "%s", message->instance_id,
						 event->has_execution_id ? execution_name(&event->execution_id) : "any",
						 event->visible_at - NOON, event->recurse ? " recursively" : "");
		if (event->payload)
			appendStringInfo(&words, " %s", json_text(event->payload));
		if (event->failure)
			appendStringInfo(&words, " failed %s", json_text_field(event->failure, "errorMessage"));
	}
	return words.data;
}

static const char *
children_words(const Outbox *outbox)
{
	StringInfoData words;
	ListCell   *lc;

	initStringInfo(&words);
	foreach(lc, outbox->children)
	{
		const ChildStart *child = lfirst(lc);

		appendStringInfo(&words, "%s%s %s %s%s of %s/%d %s", words.len > 0 ? ", " : "", child->name, child->version, child->instance_id,
						 child->detached ? " detached" : "", execution_name(&child->parent_execution_id), child->parent_task_id,
						 json_text(child->tags));
	}
	return words.data;
}

static const char *
numbers_text(List *numbers)
{
	StringInfoData words;
	ListCell   *lc;

	initStringInfo(&words);
	foreach(lc, numbers)
		appendStringInfo(&words, "%s%d", words.len > 0 ? " " : "", lfirst_int(lc));
	return words.data;
}

/* What stays in the state, and what is to be forgotten. */
static Datum
decided_datum(const RuntimeState *state, const Outbox *outbox)
{
	StringInfoData text;

	initStringInfo(&text);
	appendStringInfo(&text, "{\"output\": %s, \"failure\": %s, \"completed\": %s, \"custom_status\": %s, \"waiting\": %s, \"cancelled\": %s}",
					 json_text(state->output), json_text(state->failure), state->completed_at == NOON ? "true" : "false",
					 json_text(state->custom_status), json_quoted(names_text(state->waiting_events)),
					 json_quoted(numbers_text(outbox->cancelled_timers)));
	return json_datum(&text);
}

/* A custom status is set if there is an output, which then is the status, too. */
static void
fill_result(FunctionCallInfo fcinfo, TurnResult *result)
{
	result->actions = make_actions(PG_GETARG_ARRAYTYPE_P(0), FIRST_ACTION);
	result->completion = completion_by_name(text_to_cstring(PG_GETARG_TEXT_PP(1)));
	result->completion_id = FIRST_ACTION + list_length(result->actions);
	result->terminate_children = PG_GETARG_BOOL(3);
	result->output = PG_ARGISNULL(5) ? NULL : PG_GETARG_JSONB_P(5);
	result->termination_reason = result->output;
	result->has_custom_status = result->output != NULL;
	result->custom_status = result->output;
	result->failure = result->completion == COMPLETED_FAILED ? make_json("{\"errorMessage\": \"it broke\"}") : NULL;
	result->waiting_events = list_make2("go", "stop");
	result->cancelled_timers = list_make2_int(4, 5);
}

Datum
core_test_decide(PG_FUNCTION_ARGS)
{
	RuntimeState *state = make_deciding_state(PG_GETARG_ARRAYTYPE_P(4), PG_GETARG_BOOL(2));
	TurnResult	result = {0};
	Outbox		outbox = {0};
	Datum		values[6];
	bool		nulls[6] = {0};

	outbox.cancelled_timers = list_make1_int(3);
	fill_result(fcinfo, &result);
	decisions_apply(state, &result, &outbox, 0, NOON);
	values[0] = text_datum(runtime_status_name(state->status));
	values[1] = text_datum(history_words(state));
	values[2] = text_datum(activities_words(&outbox));
	values[3] = text_datum(messages_words(&outbox));
	values[4] = text_datum(children_words(&outbox));
	values[5] = decided_datum(state, &outbox);
	return make_row(fcinfo, values, nulls);
}
