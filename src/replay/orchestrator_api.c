/*
 * orchestrator_api.c
 *		The SQL functions an orchestrator calls.
 *
 * What they are given is copied into the turn's memory: the code around them
 * runs in shorter-lived contexts.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"

#include "arguments.h"
#include "core/failure.h"
#include "core/json.h"
#include "errors.h"
#include "ids.h"
#include "replay/orchestration_context.h"
#include "replay/orchestrator_checks.h"
#include "replay/retry_policy.h"
#include "replay/sandbox.h"
#include "settings.h"

PG_FUNCTION_INFO_V1(durable_task_in);
PG_FUNCTION_INFO_V1(durable_task_out);
PG_FUNCTION_INFO_V1(durable_schedule_activity);
PG_FUNCTION_INFO_V1(durable_call_activity);
PG_FUNCTION_INFO_V1(durable_schedule_sql);
PG_FUNCTION_INFO_V1(durable_schedule_sql_retry);
PG_FUNCTION_INFO_V1(durable_call_sql);
PG_FUNCTION_INFO_V1(durable_call_sql_retry);
PG_FUNCTION_INFO_V1(durable_schedule_suborchestrator);
PG_FUNCTION_INFO_V1(durable_call_suborchestrator);
PG_FUNCTION_INFO_V1(durable_start_detached);
PG_FUNCTION_INFO_V1(durable_create_timer);
PG_FUNCTION_INFO_V1(durable_create_timer_at);
PG_FUNCTION_INFO_V1(durable_cancel_timer);
PG_FUNCTION_INFO_V1(durable_sleep);
PG_FUNCTION_INFO_V1(durable_sleep_until);
PG_FUNCTION_INFO_V1(durable_expect_event);
PG_FUNCTION_INFO_V1(durable_wait_for_event);
PG_FUNCTION_INFO_V1(durable_await);
PG_FUNCTION_INFO_V1(durable_await_all);
PG_FUNCTION_INFO_V1(durable_await_any);
PG_FUNCTION_INFO_V1(durable_send_event);
PG_FUNCTION_INFO_V1(durable_continue_as_new);
PG_FUNCTION_INFO_V1(durable_set_custom_status);
PG_FUNCTION_INFO_V1(durable_orchestration_time);
PG_FUNCTION_INFO_V1(durable_new_guid);
PG_FUNCTION_INFO_V1(durable_is_replaying);
PG_FUNCTION_INFO_V1(durable_instance_id);
PG_FUNCTION_INFO_V1(durable_execution_id);
PG_FUNCTION_INFO_V1(durable_parent_instance_id);
PG_FUNCTION_INFO_V1(durable_instance_version);
PG_FUNCTION_INFO_V1(durable_instance_tags);
PG_FUNCTION_INFO_V1(durable_task_id);
PG_FUNCTION_INFO_V1(durable_attempt);
PG_FUNCTION_INFO_V1(durable_log_message);

static const char *const task_kind_names[] = {"activity", "timer", "event", "suborchestration"};

/* ------------------------------------------------------------------------
 * Helpers
 * ------------------------------------------------------------------------
 */

/* An IMMUTABLE or STABLE function around it was called by the planner, which keeps the result. */
static void
refuse_while_planning(FunctionCallInfo fcinfo)
{
	if (!orchestrator_checks_are_planning() || func_volatile(fcinfo->flinfo->fn_oid) != PROVOLATILE_VOLATILE)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_DURABLE_NOT_ALLOWED),
			 errmsg("durable.%s() was called while a statement was planned", get_func_name(fcinfo->flinfo->fn_oid)),
			 errdetail("A function that calls it is declared IMMUTABLE or STABLE, so PostgreSQL may call it once for many executions."),
			 errhint("Declare the function VOLATILE, as functions are by default.")));
}

/* The context of the turn; an error outside of one, and the unwinding again if it was caught. */
static OrchestrationContext *
require_orchestration(FunctionCallInfo fcinfo)
{
	if (current_orchestration == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DURABLE_NOT_IN_ORCHESTRATOR),
				 errmsg("durable.%s() was called outside an orchestrator", get_func_name(fcinfo->flinfo->fn_oid)),
				 errhint("Call it in a function that was started with durable.start_instance() or durable.call_suborchestrator(), not in an activity.")));
	refuse_while_planning(fcinfo);
	if (current_orchestration->stop_reason != NOT_STOPPED)
		orchestration_unwind(current_orchestration);
	return current_orchestration;
}

static const ExecutionInfo *
require_execution(FunctionCallInfo fcinfo)
{
	if (current_execution == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DURABLE_NOT_IN_ORCHESTRATOR),
				 errmsg("durable.%s() was called outside an orchestrator or activity", get_func_name(fcinfo->flinfo->fn_oid)),
				 errhint("Start the function that calls it with durable.start_instance().")));
	return current_execution;
}

static const ExecutionInfo *
require_activity(FunctionCallInfo fcinfo)
{
	if (current_execution == NULL || current_execution->task_id == NO_TASK_ID)
		ereport(ERROR,
				(errcode(ERRCODE_DURABLE_NOT_IN_ORCHESTRATOR),
				 errmsg("durable.%s() was called outside an activity", get_func_name(fcinfo->flinfo->fn_oid)),
				 errhint("Call it in a function that is run with durable.call_activity().")));
	return current_execution;
}

/* A task as SQL sees it: kind and number. */
static Datum
task_datum(const Task *task)
{
	return Int64GetDatum(((int64) (task->kind + 1) << 32) | (uint32) task->index);
}

static Task *
task_from_datum(OrchestrationContext *context, Datum datum)
{
	int64		handle = DatumGetInt64(datum);
	uint32		index = (uint32) (handle & 0xFFFFFFFF);
	Task	   *task;

	if (index < list_length(context->tasks))
	{
		task = list_nth(context->tasks, index);
		if (task->kind + 1 == handle >> 32)
			return task;
	}
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("task is not of this turn"),
			 errhint("Make tasks and await them in one orchestrator; a task cannot be stored.")));
	pg_unreachable();
}

/* Copies into the memory of the turn. */
static char *
turn_text(OrchestrationContext *context, FunctionCallInfo fcinfo, int arg)
{
	MemoryContext old;
	char	   *copy;

	if (PG_ARGISNULL(arg))
		return NULL;
	old = MemoryContextSwitchTo(context->memory);
	copy = text_to_cstring(PG_GETARG_TEXT_PP(arg));
	MemoryContextSwitchTo(old);
	return copy;
}

static void
check_turn_payload(const OrchestrationContext *context, Jsonb *payload, const char *what)
{
	check_payload_size_of_hub(payload, what, context->state->task_hub, context->state->rules->limits.max_payload_size);
}

static Jsonb *
turn_jsonb(OrchestrationContext *context, FunctionCallInfo fcinfo, int arg, const char *what)
{
	MemoryContext old;
	Jsonb	   *json;

	if (PG_ARGISNULL(arg))
		return NULL;
	old = MemoryContextSwitchTo(context->memory);
	json = (Jsonb *) PG_DETOAST_DATUM_COPY(PG_GETARG_DATUM(arg));
	MemoryContextSwitchTo(old);
	check_turn_payload(context, json, what);
	return json;
}

/* A name argument: not NULL, not empty. */
static char *
turn_name(OrchestrationContext *context, FunctionCallInfo fcinfo, int arg, const char *what)
{
	require_argument(fcinfo, arg, what);
	require_not_empty(PG_GETARG_TEXT_PP(arg), what);
	return turn_text(context, fcinfo, arg);
}

/* Codes that PL/pgSQL's WHEN OTHERS lets through, or that are none, become UD001. */
static int
sqlstate_to_raise(const char *sqlstate)
{
	int			code;

	if (sqlstate == NULL || strlen(sqlstate) != 5 || strspn(sqlstate, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ") != 5)
		return ERRCODE_DURABLE_TASK_FAILED;
	code = MAKE_SQLSTATE(sqlstate[0], sqlstate[1], sqlstate[2], sqlstate[3], sqlstate[4]);
	if (code == ERRCODE_QUERY_CANCELED || code == ERRCODE_ASSERT_FAILURE ||
		ERRCODE_TO_CATEGORY(code) == ERRCODE_SUCCESSFUL_COMPLETION)
		return ERRCODE_DURABLE_TASK_FAILED;
	return code;
}

/* Raises the failure of a task as the SQL error it was. */
static void
raise_failure(OrchestrationContext *context, Task *task)
{
	const char *message = failure_field(task->failure, "errorMessage");
	const char *detail = failure_field(task->failure, "detail");
	const char *hint = failure_field(task->failure, "hint");
	MemoryContext old = MemoryContextSwitchTo(context->memory);

	context->raised = lappend(context->raised, task);
	MemoryContextSwitchTo(old);
	orchestration_show_task(context, task);
	task->raised_code = sqlstate_to_raise(failure_field(task->failure, "sqlstate"));
	ereport(ERROR,
			(errcode(task->raised_code),
			 errmsg_internal("%s", message ? message : "task failed"),
			 detail ? errdetail_internal("%s", detail) : 0,
			 hint ? errhint("%s", hint) : 0,
			 errcontext("%s %s", task_kind_names[task->kind], task->name ? task->name : "")));
}

/* The result of a finished task as the return value of a function, or its failure. */
static Datum
task_outcome(OrchestrationContext *context, FunctionCallInfo fcinfo, Task *task)
{
	if (task->state == TASK_FAILED)
		raise_failure(context, task);
	if (task->state == TASK_CANCELLED)
		ereport(ERROR,
				(errcode(ERRCODE_DURABLE_TASK_FAILED),
				 errmsg("the %s that is awaited was cancelled", task_kind_names[task->kind])));
	if (task->result == NULL)
		PG_RETURN_NULL();
	PG_RETURN_JSONB_P(task->result);
}

static Datum
await_outcome(OrchestrationContext *context, FunctionCallInfo fcinfo, Task *task)
{
	orchestration_await(context, task);
	return task_outcome(context, fcinfo, task);
}

/* ------------------------------------------------------------------------
 * Tasks
 * ------------------------------------------------------------------------
 */

Datum
durable_task_in(PG_FUNCTION_ARGS)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("a task cannot be made from text"),
			 errhint("durable.schedule_activity(), durable.create_timer() and their like make tasks.")));
	PG_RETURN_NULL();
}

Datum
durable_task_out(PG_FUNCTION_ARGS)
{
	int64		handle = PG_GETARG_INT64(0);
	int64		kind = (handle >> 32) - 1;

	if (kind < 0 || kind >= lengthof(task_kind_names))
		PG_RETURN_CSTRING(psprintf("task:" INT64_FORMAT, handle));
	PG_RETURN_CSTRING(psprintf("%s:%u", task_kind_names[kind], (uint32) (handle & 0xFFFFFFFF)));
}

static Task *
schedule_activity(OrchestrationContext *context, FunctionCallInfo fcinfo)
{
	Action		request = {0};

	request.kind = ACTION_SCHEDULE_TASK;
	request.name = turn_name(context, fcinfo, 0, "name");
	request.input = turn_jsonb(context, fcinfo, 1, "input of the activity");
	request.version = PG_ARGISNULL(3) ? context->state->version : turn_text(context, fcinfo, 3);
	request.tags = turn_jsonb(context, fcinfo, 4, "tags of the activity");
	request.wants_retry = PG_ARGISNULL(2);
	require_tags(request.tags);
	return orchestration_schedule(context, &request, retry_policy_from_argument(fcinfo, 2, context->memory));
}

Datum
durable_schedule_activity(PG_FUNCTION_ARGS)
{
	return task_datum(schedule_activity(require_orchestration(fcinfo), fcinfo));
}

Datum
durable_call_activity(PG_FUNCTION_ARGS)
{
	OrchestrationContext *context = require_orchestration(fcinfo);

	return await_outcome(context, fcinfo, schedule_activity(context, fcinfo));
}

/* The text of an argument that is declared "any". */
static char *
argument_text(FunctionCallInfo fcinfo, int arg)
{
	if (get_fn_expr_argtype(fcinfo->flinfo, arg) == UNKNOWNOID)
		return DatumGetCString(PG_GETARG_DATUM(arg));
	return text_to_cstring(PG_GETARG_TEXT_PP(arg));
}

/* The statement is declared "any" after a retry policy: see that it is text. */
static void
require_query(FunctionCallInfo fcinfo, int arg)
{
	Oid			type = get_fn_expr_argtype(fcinfo->flinfo, arg);

	require_argument(fcinfo, arg, "query");
	if (type != TEXTOID && type != VARCHAROID && type != UNKNOWNOID)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("the query must be text, not %s", format_type_be(type))));
	require_not_empty(cstring_to_text(argument_text(fcinfo, arg)), "query");
}

/* The arguments of a statement as {"type": ..., "value": ...}, the value as its type writes it. */
static void
push_statement_argument(JsonbParseState **state, FunctionCallInfo fcinfo, int arg)
{
	Oid			type = get_fn_expr_argtype(fcinfo->flinfo, arg);
	JsonbValue	value;
	Oid			output;
	bool		is_varlena;

	if (type == UNKNOWNOID)
		type = TEXTOID;
	pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
	value.type = jbvString;
	value.val.string.val = "type";
	value.val.string.len = 4;
	pushJsonbValue(state, WJB_KEY, &value);
	value.val.string.val = format_type_be_qualified(type);
	value.val.string.len = strlen(value.val.string.val);
	pushJsonbValue(state, WJB_VALUE, &value);
	if (!PG_ARGISNULL(arg))
	{
		getTypeOutputInfo(type, &output, &is_varlena);
		value.val.string.val = "value";
		value.val.string.len = 5;
		pushJsonbValue(state, WJB_KEY, &value);
		value.val.string.val = get_fn_expr_argtype(fcinfo->flinfo, arg) == UNKNOWNOID ?
			DatumGetCString(PG_GETARG_DATUM(arg)) : OidOutputFunctionCall(output, PG_GETARG_DATUM(arg));
		value.val.string.len = strlen(value.val.string.val);
		pushJsonbValue(state, WJB_VALUE, &value);
	}
	pushJsonbValue(state, WJB_END_OBJECT, NULL);
}

/* {"query": ..., "args": [...]}: the input of an SQL activity. */
static Jsonb *
statement_input(FunctionCallInfo fcinfo, int query_arg)
{
	JsonbParseState *state = NULL;
	JsonbValue	value;

	value.type = jbvString;
	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	value.val.string.val = "query";
	value.val.string.len = 5;
	pushJsonbValue(&state, WJB_KEY, &value);
	value.val.string.val = argument_text(fcinfo, query_arg);
	value.val.string.len = strlen(value.val.string.val);
	pushJsonbValue(&state, WJB_VALUE, &value);
	value.val.string.val = "args";
	value.val.string.len = 4;
	pushJsonbValue(&state, WJB_KEY, &value);
	pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
	for (int arg = query_arg + 1; arg < PG_NARGS(); arg++)
		push_statement_argument(&state, fcinfo, arg);
	pushJsonbValue(&state, WJB_END_ARRAY, NULL);
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

/* A policy that does not come first would be bound as a parameter, and nothing retried. */
static void
refuse_policy_argument(FunctionCallInfo fcinfo, int query_arg)
{
	for (int arg = query_arg + 1; arg < PG_NARGS(); arg++)
		if (strcmp(format_type_be_qualified(get_fn_expr_argtype(fcinfo->flinfo, arg)), "durable.retry_policy") == 0)
			ereport(ERROR,
					(errcode(ERRCODE_DATATYPE_MISMATCH),
					 errmsg("a retry policy cannot be an argument of a statement"),
					 errhint("The policy comes first, before the statement.")));
}

static Task *
schedule_sql(OrchestrationContext *context, FunctionCallInfo fcinfo, int query_arg)
{
	Action		request = {0};
	const RetryPolicy *retry = query_arg > 0 ? retry_policy_from_argument(fcinfo, 0, context->memory) : NULL;
	MemoryContext old;

	require_query(fcinfo, query_arg);
	refuse_policy_argument(fcinfo, query_arg);
	if (get_fn_expr_variadic(fcinfo->flinfo))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("the arguments of a statement cannot be given as a VARIADIC array"),
				 errhint("Give them one by one, or one array as one argument without VARIADIC.")));
	old = MemoryContextSwitchTo(context->memory);
	request.kind = ACTION_SCHEDULE_TASK;
	request.name = SQL_ACTIVITY_NAME;
	request.input = statement_input(fcinfo, query_arg);
	MemoryContextSwitchTo(old);
	check_turn_payload(context, request.input, "statement and arguments");
	return orchestration_schedule(context, &request, retry);
}

Datum
durable_schedule_sql(PG_FUNCTION_ARGS)
{
	return task_datum(schedule_sql(require_orchestration(fcinfo), fcinfo, 0));
}

Datum
durable_schedule_sql_retry(PG_FUNCTION_ARGS)
{
	return task_datum(schedule_sql(require_orchestration(fcinfo), fcinfo, 1));
}

Datum
durable_call_sql(PG_FUNCTION_ARGS)
{
	OrchestrationContext *context = require_orchestration(fcinfo);

	return await_outcome(context, fcinfo, schedule_sql(context, fcinfo, 0));
}

Datum
durable_call_sql_retry(PG_FUNCTION_ARGS)
{
	OrchestrationContext *context = require_orchestration(fcinfo);

	return await_outcome(context, fcinfo, schedule_sql(context, fcinfo, 1));
}

/* The id of a child as given; NULL: it gets one of its own with its number. */
static const char *
child_instance_id(OrchestrationContext *context, FunctionCallInfo fcinfo, int arg)
{
	if (PG_ARGISNULL(arg))
		return NULL;
	require_instance_id(PG_GETARG_TEXT_PP(arg));
	return turn_text(context, fcinfo, arg);
}

/* The common part of a child's request: name, input, instance id and version. */
static void
fill_child_request(OrchestrationContext *context, FunctionCallInfo fcinfo, int tags_arg, Action *request)
{
	request->kind = ACTION_CREATE_SUBORCHESTRATION;
	request->name = turn_name(context, fcinfo, 0, "name");
	request->input = turn_jsonb(context, fcinfo, 1, "input of the sub-orchestration");
	request->instance_id = child_instance_id(context, fcinfo, 2);
	request->version = PG_ARGISNULL(3) ? context->state->rules->versioning.default_version : turn_text(context, fcinfo, 3);
	request->tags = turn_jsonb(context, fcinfo, tags_arg, "tags of the sub-orchestration");
	require_tags(request->tags);
}

static Task *
schedule_suborchestrator(OrchestrationContext *context, FunctionCallInfo fcinfo)
{
	Action		request = {0};

	fill_child_request(context, fcinfo, 5, &request);
	return orchestration_schedule(context, &request, retry_policy_from_argument(fcinfo, 4, context->memory));
}

Datum
durable_schedule_suborchestrator(PG_FUNCTION_ARGS)
{
	return task_datum(schedule_suborchestrator(require_orchestration(fcinfo), fcinfo));
}

Datum
durable_call_suborchestrator(PG_FUNCTION_ARGS)
{
	OrchestrationContext *context = require_orchestration(fcinfo);

	return await_outcome(context, fcinfo, schedule_suborchestrator(context, fcinfo));
}

Datum
durable_start_detached(PG_FUNCTION_ARGS)
{
	OrchestrationContext *context = require_orchestration(fcinfo);
	Action		request = {0};
	int			id;

	fill_child_request(context, fcinfo, 4, &request);
	request.detached = true;
	id = orchestration_add_action(context, &request);
	PG_RETURN_TEXT_P(cstring_to_text(context->actions[id]->instance_id));
}

/* ------------------------------------------------------------------------
 * Timers
 * ------------------------------------------------------------------------
 */

static Task *
create_timer_after(OrchestrationContext *context, const Interval *delay)
{
	require_not_negative(delay, "delay");
	return orchestration_create_timer(context, timestamp_plus_interval(context->time, delay));
}

Datum
durable_create_timer(PG_FUNCTION_ARGS)
{
	OrchestrationContext *context = require_orchestration(fcinfo);

	require_argument(fcinfo, 0, "delay");
	return task_datum(create_timer_after(context, PG_GETARG_INTERVAL_P(0)));
}

static Task *
create_timer_at(OrchestrationContext *context, FunctionCallInfo fcinfo)
{
	require_argument(fcinfo, 0, "fire_at");
	require_finite(PG_GETARG_TIMESTAMPTZ(0), "fire_at");
	return orchestration_create_timer(context, PG_GETARG_TIMESTAMPTZ(0));
}

Datum
durable_create_timer_at(PG_FUNCTION_ARGS)
{
	return task_datum(create_timer_at(require_orchestration(fcinfo), fcinfo));
}

Datum
durable_cancel_timer(PG_FUNCTION_ARGS)
{
	OrchestrationContext *context = require_orchestration(fcinfo);
	Task	   *timer;

	require_argument(fcinfo, 0, "task");
	timer = task_from_datum(context, PG_GETARG_DATUM(0));
	if (timer->kind != TASK_TIMER)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("cannot cancel a task of kind %s", task_kind_names[timer->kind]),
				 errhint("Only timers can be cancelled.")));
	orchestration_cancel_timer(context, timer);
	return task_datum(timer);
}

Datum
durable_sleep(PG_FUNCTION_ARGS)
{
	OrchestrationContext *context = require_orchestration(fcinfo);

	require_argument(fcinfo, 0, "delay");
	orchestration_await(context, create_timer_after(context, PG_GETARG_INTERVAL_P(0)));
	PG_RETURN_VOID();
}

Datum
durable_sleep_until(PG_FUNCTION_ARGS)
{
	OrchestrationContext *context = require_orchestration(fcinfo);

	orchestration_await(context, create_timer_at(context, fcinfo));
	PG_RETURN_VOID();
}

/* ------------------------------------------------------------------------
 * Events
 * ------------------------------------------------------------------------
 */

Datum
durable_expect_event(PG_FUNCTION_ARGS)
{
	OrchestrationContext *context = require_orchestration(fcinfo);

	return task_datum(orchestration_expect_event(context, turn_name(context, fcinfo, 0, "name")));
}

static void
raise_event_timeout(const char *name)
{
	ereport(ERROR,
			(errcode(ERRCODE_DURABLE_WAIT_TIMED_OUT),
			 errmsg("no event \"%s\" came in time", name)));
}

/* Waits for whichever is first, the event or the timer, and cancels the other. */
static void
await_event_or_timer(OrchestrationContext *context, Task *event, const Interval *timeout)
{
	Task	   *tasks[2];

	tasks[0] = event;
	tasks[1] = create_timer_after(context, timeout);
	if (orchestration_await_any(context, tasks, 2) == event)
		orchestration_cancel_timer(context, tasks[1]);
}

Datum
durable_wait_for_event(PG_FUNCTION_ARGS)
{
	OrchestrationContext *context = require_orchestration(fcinfo);
	char	   *name = turn_name(context, fcinfo, 0, "name");
	Task	   *event;

	if (PG_ARGISNULL(1))
		return await_outcome(context, fcinfo, orchestration_expect_event(context, name));
	require_not_negative(PG_GETARG_INTERVAL_P(1), "timeout");
	event = orchestration_expect_event(context, name);
	if (event->state == TASK_PENDING && interval_microseconds(PG_GETARG_INTERVAL_P(1)) > 0)
		await_event_or_timer(context, event, PG_GETARG_INTERVAL_P(1));
	if (event->state == TASK_PENDING)
	{
		orchestration_forget_event(context, event);
		raise_event_timeout(name);
	}
	return task_outcome(context, fcinfo, event);
}

Datum
durable_send_event(PG_FUNCTION_ARGS)
{
	OrchestrationContext *context = require_orchestration(fcinfo);
	Action		request = {0};

	require_argument(fcinfo, 0, "instance_id");
	require_instance_id(PG_GETARG_TEXT_PP(0));
	request.kind = ACTION_SEND_EVENT;
	request.instance_id = turn_text(context, fcinfo, 0);
	request.name = turn_name(context, fcinfo, 1, "name");
	request.input = turn_jsonb(context, fcinfo, 2, "data of the event");
	orchestration_add_action(context, &request);
	PG_RETURN_VOID();
}

/* ------------------------------------------------------------------------
 * Waiting
 * ------------------------------------------------------------------------
 */

Datum
durable_await(PG_FUNCTION_ARGS)
{
	OrchestrationContext *context = require_orchestration(fcinfo);

	require_argument(fcinfo, 0, "task");
	return await_outcome(context, fcinfo, task_from_datum(context, PG_GETARG_DATUM(0)));
}

/* The tasks of an array argument; an error for NULLs and for arrays of something else. */
static Task **
tasks_from_argument(OrchestrationContext *context, FunctionCallInfo fcinfo, int *n_tasks)
{
	ArrayType  *array;
	Datum	   *elements;
	bool	   *nulls;
	Task	  **tasks;

	require_argument(fcinfo, 0, "tasks");
	array = PG_GETARG_ARRAYTYPE_P(0);
	if (get_typlen(ARR_ELEMTYPE(array)) != 8 ||
		strcmp(format_type_be_qualified(ARR_ELEMTYPE(array)), "durable.task") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("cannot await an array of %s", format_type_be(ARR_ELEMTYPE(array))),
				 errhint("Await an array of durable.task.")));
	deconstruct_array(array, ARR_ELEMTYPE(array), 8, true, TYPALIGN_DOUBLE, &elements, &nulls, n_tasks);
	tasks = palloc(sizeof(Task *) * Max(*n_tasks, 1));
	for (int i = 0; i < *n_tasks; i++)
	{
		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("a task to be awaited is null")));
		tasks[i] = task_from_datum(context, elements[i]);
	}
	return tasks;
}

static ArrayType *
results_array(Task **tasks, int n_tasks)
{
	Datum	   *values = palloc(sizeof(Datum) * Max(n_tasks, 1));
	bool	   *nulls = palloc(sizeof(bool) * Max(n_tasks, 1));
	int			dims[1] = {n_tasks};
	int			lbs[1] = {1};

	if (n_tasks == 0)
		return construct_empty_array(JSONBOID);
	for (int i = 0; i < n_tasks; i++)
	{
		nulls[i] = tasks[i]->result == NULL;
		values[i] = PointerGetDatum(tasks[i]->result);
	}
	return construct_md_array(values, nulls, 1, dims, lbs, JSONBOID, -1, false, TYPALIGN_INT);
}

/* Waits for all, in order; queues the waiters for events first, so that they are served in order. */
static void
await_each(OrchestrationContext *context, Task **tasks, int n_tasks)
{
	for (int i = 0; i < n_tasks; i++)
		orchestration_attend(context, tasks[i]);
	for (int i = 0; i < n_tasks; i++)
		orchestration_await(context, tasks[i]);
}

Datum
durable_await_all(PG_FUNCTION_ARGS)
{
	OrchestrationContext *context = require_orchestration(fcinfo);
	int			n_tasks;
	Task	  **tasks = tasks_from_argument(context, fcinfo, &n_tasks);

	await_each(context, tasks, n_tasks);
	for (int i = 0; i < n_tasks; i++)
		if (tasks[i]->state != TASK_COMPLETE)
			return task_outcome(context, fcinfo, tasks[i]);
	PG_RETURN_ARRAYTYPE_P(results_array(tasks, n_tasks));
}

Datum
durable_await_any(PG_FUNCTION_ARGS)
{
	OrchestrationContext *context = require_orchestration(fcinfo);
	int			n_tasks;
	Task	  **tasks = tasks_from_argument(context, fcinfo, &n_tasks);

	if (n_tasks == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("cannot await any of no tasks")));
	return task_datum(orchestration_await_any(context, tasks, n_tasks));
}

/* ------------------------------------------------------------------------
 * The rest
 * ------------------------------------------------------------------------
 */

Datum
durable_continue_as_new(PG_FUNCTION_ARGS)
{
	OrchestrationContext *context = require_orchestration(fcinfo);

	require_argument(fcinfo, 1, "keep_events");
	context->new_input = turn_jsonb(context, fcinfo, 0, "input of the next generation");
	context->keep_events = PG_GETARG_BOOL(1);
	context->new_version = turn_text(context, fcinfo, 2);
	context->continue_as_new = true;
	PG_RETURN_VOID();
}

Datum
durable_set_custom_status(PG_FUNCTION_ARGS)
{
	OrchestrationContext *context = require_orchestration(fcinfo);

	context->custom_status = turn_jsonb(context, fcinfo, 0, "custom status");
	context->has_custom_status = true;
	PG_RETURN_VOID();
}

Datum
durable_orchestration_time(PG_FUNCTION_ARGS)
{
	PG_RETURN_TIMESTAMPTZ(require_orchestration(fcinfo)->time);
}

/* <instance id>_<time, round-trip format of .NET>_<counter>: what DTFx makes GUIDs of. */
static char *
guid_name(OrchestrationContext *context)
{
	struct pg_tm tm;
	fsec_t		fsec;

	if (timestamp2tm(context->time, NULL, &tm, &fsec, NULL, NULL) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("timestamp out of range")));
	return psprintf("%s_%04d-%02d-%02dT%02d:%02d:%02d.%06d0Z_%d", context->state->instance_id,
					tm.tm_year, tm.tm_mon, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
					(int) fsec, context->n_guids++);
}

Datum
durable_new_guid(PG_FUNCTION_ARGS)
{
	pg_uuid_t  *guid = palloc(sizeof(pg_uuid_t));

	make_name_uuid(guid_name(require_orchestration(fcinfo)), guid);
	PG_RETURN_UUID_P(guid);
}

Datum
durable_is_replaying(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(require_orchestration(fcinfo)->is_replaying);
}

Datum
durable_instance_id(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(require_execution(fcinfo)->instance_id));
}

Datum
durable_execution_id(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(execution_id_text(&require_execution(fcinfo)->execution_id)));
}

Datum
durable_parent_instance_id(PG_FUNCTION_ARGS)
{
	const char *parent = require_execution(fcinfo)->parent_instance_id;

	if (parent == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(parent));
}

Datum
durable_instance_version(PG_FUNCTION_ARGS)
{
	const char *version = require_execution(fcinfo)->version;

	if (version == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(version));
}

Datum
durable_instance_tags(PG_FUNCTION_ARGS)
{
	Jsonb	   *tags = require_execution(fcinfo)->tags;

	if (tags == NULL)
		PG_RETURN_NULL();
	PG_RETURN_JSONB_P(tags);
}

Datum
durable_task_id(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(require_activity(fcinfo)->task_id);
}

Datum
durable_attempt(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(require_activity(fcinfo)->attempt);
}

static int
log_level(const char *level)
{
	if (pg_strcasecmp(level, "debug") == 0)
		return DEBUG1;
	if (pg_strcasecmp(level, "info") == 0 || pg_strcasecmp(level, "log") == 0)
		return LOG;
	if (pg_strcasecmp(level, "notice") == 0)
		return NOTICE;
	if (pg_strcasecmp(level, "warning") == 0)
		return WARNING;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("unknown log level \"%s\"", level),
			 errhint("Use debug, info, notice, warning or log.")));
	pg_unreachable();
}

Datum
durable_log_message(PG_FUNCTION_ARGS)
{
	OrchestrationContext *context = require_orchestration(fcinfo);
	int			level;

	require_argument(fcinfo, 0, "message");
	require_argument(fcinfo, 1, "level");
	level = log_level(text_to_cstring(PG_GETARG_TEXT_PP(1)));
	if (!context->is_replaying && !context->is_repeated)
		orchestration_log(context, level, text_to_cstring(PG_GETARG_TEXT_PP(0)));
	PG_RETURN_VOID();
}
