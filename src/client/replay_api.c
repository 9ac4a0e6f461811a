/*
 * replay_api.c
 *		Recorded histories against code, and carrying them to where that is
 *		tested: check_replay(), check_replays(), export_history(),
 *		import_history(), discard_imported_history().
 */
#include "postgres.h"

#include "access/transam.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "arguments.h"
#include "client/hub_access.h"
#include "compat.h"
#include "core/history_document.h"
#include "errors.h"
#include "replay/function_lookup.h"
#include "replay/helper_changes.h"
#include "replay/orchestration_executor.h"
#include "replay/replay_check.h"
#include "replay/sandbox.h"
#include "store/export_store.h"
#include "store/instance_store.h"

PG_FUNCTION_INFO_V1(durable_check_replay);
PG_FUNCTION_INFO_V1(durable_check_replays);
PG_FUNCTION_INFO_V1(durable_export_history);
PG_FUNCTION_INFO_V1(durable_import_history);
PG_FUNCTION_INFO_V1(durable_discard_imported_history);

/* So many histories are read by one statement, and are in memory at once. */
#define PORTION 100

/* The columns of check_replays(); check_replay() has all but the first. */
enum
{
	R_INSTANCE_ID, R_FITS, R_EVENT_SEQ, R_EVENT, R_RECORDED, R_REQUESTED, R_MESSAGE, N_RESULT_COLUMNS
};

/*
 * A replay runs user code. In a function or a trigger that is the owner's own
 * doing, for nobody else passes require_owner_session(); but an orchestrator
 * or activity has its own sandbox and time limit, which are not for two.
 */
static void
check_begin(FunctionCallInfo fcinfo)
{
	client_look_begin(fcinfo);
	if (current_execution != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DURABLE_NOT_ALLOWED),
				 errmsg("histories cannot be replayed in an activity")));
}

static void
require_right_to_check(const Hub *hub)
{
	require_owner_session(hub);
	require_hub_may_run(hub);
}

/* The function to replay against, by its signature; NULL: as each instance was started. */
static char *
function_argument(FunctionCallInfo fcinfo, int arg)
{
	char	   *signature;

	if (PG_ARGISNULL(arg))
		return NULL;
	signature = function_signature(PG_GETARG_OID(arg));
	orchestrator_check(PG_GETARG_OID(arg), signature);
	return signature;
}

/* What recorded histories are to fit. */
typedef struct Expectation
{
	const char *function;		/* NULL: as each instance was started */
	bool		strict;
} Expectation;

static void
check(const RuntimeState *state, const Expectation *expectation, ReplayVerdict *verdict)
{
	PG_TRY();
	{
		replay_check(state, expectation->function, expectation->strict, verdict);
	}
	PG_CATCH();
	{
		orchestration_reset();
		PG_RE_THROW();
	}
	PG_END_TRY();
}

static void
set_text(Datum *values, bool *nulls, int column, const char *text)
{
	nulls[column] = text == NULL;
	values[column] = text ? CStringGetTextDatum(text) : (Datum) 0;
}

static void
fill_result(const char *instance_id, const ReplayVerdict *verdict, Datum *values, bool *nulls)
{
	memset(nulls, 0, sizeof(bool) * N_RESULT_COLUMNS);
	set_text(values, nulls, R_INSTANCE_ID, instance_id);
	values[R_FITS] = BoolGetDatum(verdict->fits);
	values[R_EVENT_SEQ] = Int32GetDatum(verdict->event_seq);
	nulls[R_EVENT_SEQ] = verdict->event_seq == 0;
	set_text(values, nulls, R_EVENT, verdict->event);
	set_text(values, nulls, R_RECORDED, verdict->recorded);
	set_text(values, nulls, R_REQUESTED, verdict->requested);
	set_text(values, nulls, R_MESSAGE, verdict->message);
}

/* ------------------------------------------------------------------------
 * One
 * ------------------------------------------------------------------------
 */

/* An imported history as if it were an instance of the hub; NULL: none of this id. */
static RuntimeState *
find_imported(const Hub *hub, const char *instance_id)
{
	Jsonb	   *document = store_imported_history(hub->name, instance_id);
	RuntimeState *state;

	if (document == NULL)
		return NULL;
	state = history_document_read(document);
	state->task_hub = hub->name;
	state->rules = store_hub_rules(hub->name);
	return state;
}

/* With the inputs, which are read only where they are compared. */
static List *
look_at_histories(const Hub *hub, List *ids, const Expectation *expectation)
{
	List	   *states = NIL;
	ListCell   *lc;

	if (!expectation->strict)
		return store_look_at_histories(hub->name, ids);
	foreach(lc, ids)
	{
		RuntimeState *state = store_look_at_whole_history(hub->name, lfirst(lc));

		if (state != NULL)
			states = lappend(states, state);
	}
	return states;
}

/* An instance's history, or one that was imported under the id. */
static RuntimeState *
find_history(const Hub *hub, const char *instance_id, const Expectation *expectation)
{
	List	   *states = look_at_histories(hub, list_make1((char *) instance_id), expectation);
	RuntimeState *state = states != NIL ? linitial(states) : find_imported(hub, instance_id);

	if (state == NULL)
		no_such_instance(hub, instance_id);
	return state;
}

/* What of the code is not the orchestrator itself and has changed. Of an imported history nobody can tell. */
static void
report_helpers(const Hub *hub, const char *instance_id, const RuntimeState *state, const char *function)
{
	TransactionId begin = store_history_begin(hub->name, instance_id);
	Oid			orchestrator;

	if (!TransactionIdIsNormal(begin))
		return;
	orchestrator = durable_to_regprocedure(function ? function : state->function);
	if (OidIsValid(orchestrator))
		report_changed_helpers(orchestrator, &state->settings, begin);
}

Datum
durable_check_replay(PG_FUNCTION_ARGS)
{
	Datum		values[N_RESULT_COLUMNS];
	bool		nulls[N_RESULT_COLUMNS];
	ReplayVerdict verdict;
	TupleDesc	tupdesc;
	RuntimeState *state;
	Expectation expectation;
	char	   *instance_id;
	Hub			hub;

	check_begin(fcinfo);
	require_argument(fcinfo, 0, "instance_id");
	require_argument(fcinfo, 2, "strict");
	instance_id = text_to_cstring(PG_GETARG_TEXT_PP(0));
	hub_to_look_in(fcinfo, 3, &hub);
	if (hub.name[0] == '\0')
		no_such_instance(&hub, instance_id);
	require_right_to_check(&hub);
	expectation.function = function_argument(fcinfo, 1);
	expectation.strict = PG_GETARG_BOOL(2);
	state = find_history(&hub, instance_id, &expectation);
	check(state, &expectation, &verdict);
	report_helpers(&hub, instance_id, state, expectation.function);
	fill_result(instance_id, &verdict, values, nulls);
	if (get_call_result_type(fcinfo, NULL, &tupdesc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "durable.check_replay() does not return a row");
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(tupdesc), values + R_FITS, nulls + R_FITS)));
}

/* ------------------------------------------------------------------------
 * Many
 * ------------------------------------------------------------------------
 */

static void
check_and_return(FunctionCallInfo fcinfo, const char *instance_id, const RuntimeState *state, const Expectation *expectation)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Datum		values[N_RESULT_COLUMNS];
	bool		nulls[N_RESULT_COLUMNS];
	ReplayVerdict verdict;

	CHECK_FOR_INTERRUPTS();
	check(state, expectation, &verdict);
	fill_result(instance_id, &verdict, values, nulls);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

static void
check_portion(FunctionCallInfo fcinfo, const Hub *hub, List *ids, const Expectation *expectation)
{
	ListCell   *lc;

	foreach(lc, look_at_histories(hub, ids, expectation))
	{
		const RuntimeState *state = lfirst(lc);

		check_and_return(fcinfo, state->instance_id, state, expectation);
	}
}

static void
check_imported(FunctionCallInfo fcinfo, const Hub *hub, List *ids, const Expectation *expectation)
{
	ListCell   *lc;

	foreach(lc, ids)
	{
		const RuntimeState *state = find_imported(hub, lfirst(lc));

		if (state != NULL)		/* else gone meanwhile */
			check_and_return(fcinfo, lfirst(lc), state, expectation);
	}
}

/* Checks portion by portion, and forgets each before the next. */
static void
check_all(FunctionCallInfo fcinfo, const Hub *hub, List *ids, const Expectation *expectation,
		  void (*check_some) (FunctionCallInfo, const Hub *, List *, const Expectation *))
{
	MemoryContext portion = AllocSetContextCreate(CurrentMemoryContext, "durable replay checks", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(portion);

	for (int from = 0; from < list_length(ids); from += PORTION)
	{
		List	   *some = NIL;

		for (int i = from; i < Min(from + PORTION, list_length(ids)); i++)
			some = lappend(some, list_nth(ids, i));
		check_some(fcinfo, hub, some, expectation);
		MemoryContextReset(portion);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(portion);
}

/* How many histories at most; of both kinds together. */
static int64
max_count_argument(FunctionCallInfo fcinfo, int arg)
{
	int64		max_count = PG_ARGISNULL(arg) ? PG_INT32_MAX : PG_GETARG_INT64(arg);

	if (max_count < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("max_count must not be negative")));
	return Min(max_count, PG_INT32_MAX);
}

Datum
durable_check_replays(PG_FUNCTION_ARGS)
{
	int64		max_count = max_count_argument(fcinfo, 2);
	char	   *orchestrator = PG_ARGISNULL(0) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(0));
	Expectation expectation;
	List	   *ids;
	Hub			hub;

	check_begin(fcinfo);
	InitMaterializedSRF(fcinfo, 0);
	if (orchestrator == NULL && !PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("function is given, but not the orchestrator whose histories it shall fit")));
	require_argument(fcinfo, 3, "strict");
	hub_to_look_in(fcinfo, 4, &hub);
	if (hub.name[0] == '\0')
		return (Datum) 0;
	require_right_to_check(&hub);
	expectation.function = function_argument(fcinfo, 1);
	expectation.strict = PG_GETARG_BOOL(3);
	ids = store_list_instances(hub.name, orchestrator, max_count);
	check_all(fcinfo, &hub, ids, &expectation, check_portion);
	ids = store_list_imported(hub.name, orchestrator, max_count - list_length(ids));
	check_all(fcinfo, &hub, ids, &expectation, check_imported);
	return (Datum) 0;
}

/* ------------------------------------------------------------------------
 * To another server
 * ------------------------------------------------------------------------
 */

Datum
durable_export_history(PG_FUNCTION_ARGS)
{
	RuntimeState *state;
	Jsonb	   *imported;
	char	   *instance_id;
	Hub			hub;

	client_look_begin(fcinfo);
	require_argument(fcinfo, 0, "instance_id");
	instance_id = text_to_cstring(PG_GETARG_TEXT_PP(0));
	hub_to_look_in(fcinfo, 1, &hub);
	state = store_look_at_whole_history(hub.name, instance_id);
	if (state != NULL)
		PG_RETURN_JSONB_P(history_document_write(state));
	imported = store_imported_history(hub.name, instance_id);
	if (imported == NULL)
		no_such_instance(&hub, instance_id);
	PG_RETURN_JSONB_P(imported);
}

/* Under the id it had, unless another one is given; the code sees its own, on which its ids and UUIDs depend. */
Datum
durable_import_history(PG_FUNCTION_ARGS)
{
	RuntimeState *state;
	const char *instance_id;
	Hub			hub;

	client_call_begin(fcinfo);
	require_argument(fcinfo, 0, "history");
	hub_for_call(fcinfo, 2, &hub);
	state = history_document_read(PG_GETARG_JSONB_P(0));
	if (!PG_ARGISNULL(1))
		require_instance_id(PG_GETARG_TEXT_PP(1));
	instance_id = PG_ARGISNULL(1) ? state->instance_id : text_to_cstring(PG_GETARG_TEXT_PP(1));
	if (!store_import_history(hub.name, instance_id, state->name, state->version, PG_GETARG_JSONB_P(0)))
		ereport(ERROR,
				(errcode(ERRCODE_DURABLE_INSTANCE_EXISTS),
				 errmsg("there is already an instance, or an imported history, with id \"%s\" in task hub \"%s\"",
						instance_id, hub.name),
				 errhint("Import it under another instance_id, or SELECT durable.discard_imported_history(%s) first.",
						 quote_literal_cstr(instance_id))));
	PG_RETURN_TEXT_P(cstring_to_text(instance_id));
}

Datum
durable_discard_imported_history(PG_FUNCTION_ARGS)
{
	Hub			hub;

	client_call_begin(fcinfo);
	require_argument(fcinfo, 0, "instance_id");
	hub_to_look_in(fcinfo, 1, &hub);
	PG_RETURN_BOOL(store_discard_imported(hub.name, text_to_cstring(PG_GETARG_TEXT_PP(0))));
}
