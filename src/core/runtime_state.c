/*
 * runtime_state.c
 *		An instance in memory (DTFx OrchestrationRuntimeState).
 *
 * Sequence numbers count OrchestratorStarted and OrchestratorCompleted as
 * events, though they are stored as flags of the event after and before them.
 */
#include "postgres.h"

#include "core/json.h"
#include "core/runtime_state.h"

static const char *const status_names[] = {
	"pending", "running", "suspended", "completed", "failed", "terminated", "canceled"
};

/*
 * All that changes what an expression gives or what a statement means; but for
 * default_text_search_config, which the checks keep out of orchestrators. Those
 * nobody ever sets are not written down, for the row of an instance is written
 * with each turn.
 */
const RecordedSetting recorded_settings[N_RECORDED_SETTINGS] = {
	{"search_path"},
	{"TimeZone"},
	{"DateStyle"},
	{"IntervalStyle"},
	{"extra_float_digits"},
	{"bytea_output"},
	{"lc_monetary"},
	{"lc_numeric"},
	{"lc_time"},
	{.name = "lc_messages",.by_superuser = true},	/* of SQLERRM */
	{"timezone_abbreviations", "Default"},
	{"quote_all_identifiers", "off"},	/* of quote_ident() and format() */
	{"standard_conforming_strings", "on"},
	{"transform_null_equals", "off"},
	{"array_nulls", "on"},
	{"xmlbinary", "base64"},
	{"xmloption", "content"}
};

void
instance_settings_read(Jsonb *json, InstanceSettings *settings)
{
	settings->are_known = json != NULL;
	for (int i = 0; i < N_RECORDED_SETTINGS; i++)
	{
		settings->values[i] = json_text_field(json, recorded_settings[i].name);
		if (settings->values[i] == NULL)
			settings->values[i] = recorded_settings[i].omitted;
	}
}

void
runtime_state_begin_turn(RuntimeState *state, TimestampTz now)
{
	state->turn++;
	state->turn_at = Max(now, state->turn_at + 1);
}

/* The status an inbound event implies; completion is set by whoever decides it. */
static void
apply_status(RuntimeState *state, const HistoryEvent *event)
{
	if (runtime_status_is_finished(state->status))
		return;
	if (event->type == EVENT_EXECUTION_STARTED && state->status == STATUS_PENDING)
		state->status = STATUS_RUNNING;
	else if (event->type == EVENT_EXECUTION_SUSPENDED)
		state->status = STATUS_SUSPENDED;
	else if (event->type == EVENT_EXECUTION_RESUMED)
		state->status = STATUS_RUNNING;
}

/* Is this the first event since the turn began? */
static bool
is_first_of_turn(const RuntimeState *state)
{
	if (state->new_events == NIL)
		return true;
	return ((HistoryEvent *) llast(state->new_events))->turn != state->turn;
}

void
runtime_state_add_event(RuntimeState *state, HistoryEvent *event)
{
	if (is_first_of_turn(state))
	{
		event->opens_turn = true;
		state->last_seq++;
	}
	event->seq = ++state->last_seq;
	event->turn = state->turn;
	event->turn_at = state->turn_at;
	state->new_events = lappend(state->new_events, event);
	apply_status(state, event);
}

void
runtime_state_end_turn(RuntimeState *state)
{
	HistoryEvent *last;

	if (state->new_events == NIL)
		return;
	last = llast(state->new_events);
	if (last->closes_turn)
		return;
	last->closes_turn = true;
	state->last_seq++;
}

void
runtime_state_keep_turn(RuntimeState *state)
{
	state->kept_events = list_concat(state->kept_events, state->new_events);
	state->past_events = list_concat(state->past_events, state->new_events);
	state->new_events = NIL;
}

RuntimeState *
runtime_state_next_generation(const RuntimeState *state, Jsonb *input, const char *version,
							  const pg_uuid_t *execution_id, TimestampTz now)
{
	RuntimeState *next = palloc(sizeof(RuntimeState));
	HistoryEvent *started;

	*next = *state;
	next->execution_id = *execution_id;
	next->generation++;
	next->input = input;
	next->version = version ? version : state->version;
	next->status = STATUS_RUNNING;
	next->turn = 0;
	next->last_seq = 0;
	next->past_events = NIL;
	next->kept_events = NIL;
	next->new_events = NIL;
	next->waiting_events = NIL;
	next->takes_latest = true;
	next->copy = InvalidOid;

	runtime_state_begin_turn(next, now);
	started = history_event_make(EVENT_EXECUTION_STARTED, next->turn_at);
	started->name = next->name;
	started->version = next->version;
	runtime_state_add_event(next, started);
	return next;
}

bool
runtime_state_is_started(const RuntimeState *state)
{
	ListCell   *lc;

	/* ExecutionStarted is the first event there is, so this does not scan far */
	foreach(lc, state->past_events)
		if (((HistoryEvent *) lfirst(lc))->type == EVENT_EXECUTION_STARTED)
			return true;
	foreach(lc, state->new_events)
		if (((HistoryEvent *) lfirst(lc))->type == EVENT_EXECUTION_STARTED)
			return true;
	return false;
}

bool
runtime_status_is_finished(RuntimeStatus status)
{
	return status >= STATUS_COMPLETED;
}

const char *
runtime_status_name(RuntimeStatus status)
{
	return status_names[status];
}

bool
runtime_status_from_name(const char *name, RuntimeStatus *status)
{
	for (int i = 0; i < lengthof(status_names); i++)
	{
		if (strcmp(status_names[i], name) == 0)
		{
			*status = (RuntimeStatus) i;
			return true;
		}
	}
	return false;
}
