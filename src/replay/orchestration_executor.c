/*
 * orchestration_executor.c
 *		One run of an orchestrator: see orchestration_executor.h.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "arguments.h"
#include "compat.h"
#include "core/failure.h"
#include "core/json.h"
#include "errors.h"
#include "points.h"
#include "replay/double_replay.h"
#include "replay/function_code.h"
#include "replay/function_lookup.h"
#include "replay/orchestration_context.h"
#include "replay/orchestration_executor.h"
#include "replay/orchestrator_checks.h"
#include "replay/sandbox.h"
#include "replay/speculation.h"
#include "session.h"
#include "settings.h"

/* What the sandboxed call needs and brings back. */
typedef struct OrchestratorCall
{
	OrchestrationContext *context;
	Oid			function;		/* what was chosen; InvalidOid: none yet */
	Oid			caller;
	Jsonb	   *output;
} OrchestratorCall;

static const char *
signature_problem(Form_pg_proc proc)
{
	if (proc->prokind != PROKIND_FUNCTION)
		return "An orchestrator is a plain function, not a procedure, an aggregate or a window function.";
	if (proc->proretset)
		return "An orchestrator returns one jsonb, not a set.";
	if (proc->prorettype != JSONBOID && proc->prorettype != VOIDOID)
		return "An orchestrator returns jsonb.";
	if (proc->pronargs > 1 || (proc->pronargs == 1 && proc->proargtypes.values[0] != JSONBOID))
		return "An orchestrator takes one argument of type jsonb.";
	return NULL;
}

void
orchestrator_check(Oid function, const char *name)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	const char *problem;

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("orchestrator %s does not exist", name)));
	problem = signature_problem((Form_pg_proc) GETSTRUCT(tuple));
	ReleaseSysCache(tuple);
	if (problem)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_FUNCTION_DEFINITION),
				 errmsg("function %s cannot be an orchestrator", name),
				 errdetail("%s", problem),
				 errhint("Declare it as (input jsonb) RETURNS jsonb.")));
}

static void
no_such_function(const RuntimeState *state)
{
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_FUNCTION),
			 errmsg("orchestrator function %s does not exist any more", state->function),
			 errhint("It existed when the instance was started. Create it again, then durable.rewind() lets the instance go on.")));
}

static void
refuse_change(const RuntimeState *state)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("orchestrator function %s was changed while the instance ran", state->function),
			 errdetail("durable.on_code_change is fail."),
			 errhint("durable.rewind() lets it go on with the function as it is.")));
}

/*
 * Decides between the function that is there now, which may be none, and the
 * code of the instance. False: the code has to be run, and its function is another one.
 */
static bool
take_function(RuntimeState *state, Oid function)
{
	CodeChange	policy = (CodeChange) setting_on_code_change;

	if (OidIsValid(function) && state->code != NULL && function_has_code(function, GetUserId(), state->code))
	{
		state->takes_latest = false;
		return true;
	}
	if (!OidIsValid(function) && (state->code == NULL || policy != CODE_CHANGE_KEEP))
		no_such_function(state);
	if (OidIsValid(function) && (state->code == NULL || state->takes_latest || policy == CODE_CHANGE_LATEST))
	{
		state->code = function_code(function, GetUserId());
		state->takes_latest = false;
		return true;
	}
	if (policy == CODE_CHANGE_FAIL)
		refuse_change(state);
	state->takes_latest = false;	/* if there is none it keeps its own */
	return false;
}

/* The function of the instance's signature, looked up once for all turns of a transaction; InvalidOid: there is none. */
static Oid
named_function(RuntimeState *state)
{
	if (!OidIsValid(state->found) || !SearchSysCacheExists1(PROCOID, ObjectIdGetDatum(state->found)))
		state->found = function_of_signature(state->function);
	return state->found;
}

/*
 * The function to call: the one the instance was started with, if it is still
 * its code, else the copy of that. InvalidOid: there must be a copy first. An
 * error if it is not there, not fit or not ours to call.
 */
static Oid
find_orchestrator(RuntimeState *state)
{
	Oid			function = named_function(state);

	if (OidIsValid(function) && durable_proc_aclcheck(function, GetUserId(), ACL_EXECUTE) != ACLCHECK_OK)
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_FUNCTION, state->function);
	if (!take_function(state, function))
		return state->copy;
	orchestrator_check(function, state->function);
	function_require_trusted(function, state->function);
	return function;
}

/*
 * Is the function that was chosen as the code of the instance another one by
 * now? The change may have come between the choice and the call, for whatever
 * looks into a catalog learns of it, and then it was not that code that ran.
 */
static bool
code_has_changed(const OrchestratorCall *call)
{
	const RuntimeState *state = call->context->state;

	return OidIsValid(call->function) && call->function != state->copy && state->code != NULL &&
		!function_has_code(call->function, call->caller, state->code);
}

/* Calls the orchestrator; the body of the sandbox. */
static void
call_orchestrator(void *arg)
{
	OrchestratorCall *call = arg;
	Jsonb	   *input = call->context->state->input;
	FmgrInfo	flinfo;
	Datum		output;
	Oid			function = find_orchestrator(call->context->state);
	LOCAL_FCINFO(fcinfo, 1);

	if (!OidIsValid(function))
	{
		call->context->state->needs_copy = true;
		return;
	}
	call->function = function;
	call->caller = GetUserId();
	DURABLE_POINT("turn.chosen");
	fmgr_info(function, &flinfo);
	InitFunctionCallInfoData(*fcinfo, &flinfo, flinfo.fn_nargs, InvalidOid, NULL, NULL);
	fcinfo->args[0].value = input ? JsonbPGetDatum(input) : (Datum) 0;
	fcinfo->args[0].isnull = input == NULL;
	if (flinfo.fn_strict && flinfo.fn_nargs == 1 && input == NULL)
		return;					/* as any strict function: NULL */
	output = FunctionCallInvoke(fcinfo);
	speculation_ends(call->context);
	if (call->context->speculation && call->context->speculation->has_effects && code_has_changed(call))
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("orchestrator function %s was changed while it ran", call->context->state->function)));
	if (fcinfo->isnull || get_func_rettype(flinfo.fn_oid) == VOIDOID)
		return;
	call->output = (Jsonb *) PG_DETOAST_DATUM_COPY(output);
	check_payload_size_of_hub(call->output, "output of the orchestrator", call->context->state->task_hub,
							  call->context->state->rules->limits.max_payload_size);
}

/* Runs the code as far as it gets. */
static SandboxOutcome
run_code(OrchestrationContext *context, OrchestratorCall *call, int timeout_ms, ErrorData **error)
{
	RuntimeState *state = context->state;
	ExecutionInfo execution = {0};
	Sandbox		sandbox = {0};
	SandboxOutcome outcome;

	execution.instance_id = state->instance_id;
	execution.execution_id = state->execution_id;
	execution.parent_instance_id = state->parent_instance_id;
	execution.version = state->version;
	execution.tags = state->tags;
	execution.task_id = NO_TASK_ID;
	sandbox.execution = &execution;
	sandbox.settings = &state->settings;
	sandbox.read_only = true;
	sandbox.has_effects = context->speculation ? &context->speculation->has_effects : NULL;
	sandbox.pinned_time = &context->time;
	sandbox.timeout_ms = timeout_ms;
	sandbox.timeout_after_ms = timeout_ms > 0 ? Min(timeout_ms, SPECULATION_PATIENCE_MS) : SPECULATION_PATIENCE_MS;
	call->context = context;
	context->is_unchecked = setting_orchestrator_checks != ORCHESTRATOR_CHECKS_ERROR;
	current_orchestration = context;
	orchestration_seed_random(context);
	orchestrator_checks_begin();
	outcome = sandbox_run(&sandbox, call_orchestrator, call, error);
	orchestrator_checks_end();
	if (!session_is_worker())
		session_reseed_random();	/* in a worker the sandbox has done it, with all else that it discards */
	current_orchestration = NULL;
	return outcome;
}

static void
fail_with(TurnResult *result, const Failure *failure)
{
	result->completion = COMPLETED_FAILED;
	result->failure = failure_make(failure);
	result->output = NULL;
}

/* The code returned though the turn was over: it must have caught the unwinding. */
static void
conclude_caught_unwind(OrchestrationContext *context, TurnResult *result)
{
	Failure		failure = {0};

	failure.sqlstate = "UD008";
	failure.error_type = "CaughtSuspension";
	failure.message = "the orchestrator caught the error that suspends it";
	failure.detail = "A wait ends a turn with an error of condition assert_failure, and an EXCEPTION block handled it.";
	failure.hint = "Do not name assert_failure in an EXCEPTION block around calls of durable functions; WHEN OTHERS is fine.";
	failure.non_retriable = true;
	fail_with(result, &failure);
}

static void
conclude_non_determinism(OrchestrationContext *context, TurnResult *result)
{
	Failure		failure = {0};

	failure.sqlstate = "UD002";
	failure.error_type = "NonDeterministicOrchestrationException";
	failure.message = context->non_determinism;
	failure.detail = context->divergence;
	failure.hint = "If the code was changed, let running instances finish with the old one, for example by giving the new one another name or version; with the old code back, durable.rewind() lets this one go on. If not, it depends on something that changes: a clock, random values, a table.";
	failure.non_retriable = true;
	fail_with(result, &failure);
}

static void
conclude_timeout(OrchestrationContext *context, TurnResult *result)
{
	Failure		failure = {0};

	failure.sqlstate = "57014";
	failure.error_type = "OrchestratorTimeout";
	failure.message = psprintf("orchestrator %s ran for more than %d ms without waiting",
							   context->state->name, setting_orchestrator_timeout);
	failure.hint = "An orchestrator only coordinates: move work to activities and look for an endless loop, or raise durable.orchestrator_timeout.";
	failure.non_retriable = true;
	fail_with(result, &failure);
}

/* The task whose failure this error is, if the code let it through or raised it again. */
static const Task *
task_behind_error(OrchestrationContext *context, const ErrorData *error)
{
	for (int i = list_length(context->raised) - 1; i >= 0; i--)
	{
		const Task *task = list_nth(context->raised, i);
		const char *message = failure_field(task->failure, "errorMessage");

		if (task->raised_code == error->sqlerrcode &&
			message && error->message && strcmp(message, error->message) == 0)
			return task;
	}
	return NULL;
}

/* An error of the code itself; a write is told where it belongs. What is not allowed is not at the second attempt either. */
static Jsonb *
orchestrator_failure(const ErrorData *error)
{
	ErrorData	hinted = *error;

	if (error->sqlerrcode == ERRCODE_READ_ONLY_SQL_TRANSACTION && error->hint == NULL)
		hinted.hint = "An orchestrator only coordinates: write in an activity, or with durable.call_sql().";
	return failure_from_error(&hinted, error->sqlerrcode == ERRCODE_DURABLE_NOT_ALLOWED);
}

/*
 * An uncaught failure of an activity is the instance's own, unchanged (DTFx);
 * that of a sub-orchestration becomes the inner failure of the parent's.
 */
static void
conclude_error(OrchestrationContext *context, const ErrorData *error, TurnResult *result)
{
	const Task *task = task_behind_error(context, error);
	Failure		failure = {0};

	result->completion = COMPLETED_FAILED;
	if (task == NULL)
	{
		result->failure = orchestrator_failure(error);
		return;
	}
	if (task->kind == TASK_ACTIVITY)
	{
		result->failure = task->failure;
		return;
	}
	failure.error_type = failure_field(task->failure, "errorType");
	failure.message = error->message;
	failure.sqlstate = failure_field(task->failure, "sqlstate");
	failure.detail = error->detail;
	failure.hint = error->hint;
	failure.context = error->context;
	failure.properties = json_object_from_text(error->detail);
	failure.inner = task->failure;
	failure.non_retriable = failure_is_non_retriable(task->failure);
	fail_with(result, &failure);
}

/*
 * Events that no wait took, for the next generation. A suspension that came
 * with them goes first: the next generation is suspended like this one.
 */
static List *
carried_events(OrchestrationContext *context)
{
	List	   *carried = context->is_suspended ? list_make1(context->suspension) : NIL;
	ListCell   *lc;

	if (context->keep_events)
		carried = list_concat(carried, context->buffered);
	carried = list_concat(carried, context->events_after_continue);
	foreach(lc, context->held)
		if (((HistoryEvent *) lfirst(lc))->type == EVENT_EVENT_RAISED)
			carried = lappend(carried, lfirst(lc));
	return carried;
}

/*
 * The code returned: complete, or continue as new. The events that are left
 * still count: they may contradict the code, carry over, or terminate an
 * instance that wanted to continue as new (terminate wins).
 */
static void
conclude_return(OrchestrationContext *context, Jsonb *output, TurnResult *result)
{
	context->completion_id = context->next_id++;
	while (orchestration_feed_event(context))
		;
	if (context->stop_reason == STOPPED_NON_DETERMINISTIC)
		conclude_non_determinism(context, result);
	else if (!context->continue_as_new)
	{
		result->completion = COMPLETED;
		result->output = output;
	}
	else if (context->stop_reason != STOPPED_TERMINATED)
	{
		result->completion = COMPLETED_CONTINUE_AS_NEW;
		result->output = context->new_input;
		result->new_version = context->new_version;
		result->carried_events = carried_events(context);
	}
}

static void
conclude_termination(OrchestrationContext *context, TurnResult *result)
{
	result->completion = COMPLETED_TERMINATED;
	result->output = context->termination_reason;
	result->failure = NULL;
}

static void
conclude_code(OrchestrationContext *context, SandboxOutcome outcome, Jsonb *output,
			  ErrorData *error, TurnResult *result)
{
	if (outcome == SANDBOX_TIMED_OUT)
		conclude_timeout(context, result);
	else if (context->stop_reason == STOPPED_NON_DETERMINISTIC)
		conclude_non_determinism(context, result);
	else if (context->stop_reason == NOT_STOPPED && outcome == SANDBOX_OK)
		conclude_return(context, output, result);
	else if (context->stop_reason == NOT_STOPPED)
		conclude_error(context, error, result);
	else if (outcome == SANDBOX_OK)
		conclude_caught_unwind(context, result);
	else if (error->sqlerrcode != ERRCODE_ASSERT_FAILURE)
		conclude_caught_unwind(context, result);
	if (context->stop_reason == STOPPED_TERMINATED && result->completion == NOT_COMPLETED)
		conclude_termination(context, result);
}

/* While suspended nothing leaves; of code that went wild nothing is to be trusted. */
static bool
actions_are_withheld(OrchestrationContext *context, SandboxOutcome outcome, const TurnResult *result)
{
	if (context->stop_reason == STOPPED_NON_DETERMINISTIC || outcome == SANDBOX_TIMED_OUT)
		return true;
	if (context->stop_reason == STOPPED_WAITING && result->completion != NOT_COMPLETED)
		return true;			/* it caught a wait, which it would not find in a later turn */
	return context->is_suspended &&
		(result->completion == NOT_COMPLETED || context->stop_reason == STOPPED_TERMINATED);
}

/*
 * A recursive termination reaches the children also when the instance ended
 * otherwise before it took it.
 */
static void
collect_termination(OrchestrationContext *context, TurnResult *result)
{
	for (int i = context->n_past; i < context->n_events; i++)
	{
		const HistoryEvent *event = context->events[i];

		if (event->type != EVENT_EXECUTION_TERMINATED || !event->recurse)
			continue;
		result->terminate_children = true;
		result->termination_reason = event->payload;
		return;
	}
	/* replayed: the turn that took it was split */
	result->terminate_children = context->terminate_children;
	result->termination_reason = context->termination_reason;
}

static void
collect_result(OrchestrationContext *context, SandboxOutcome outcome, TurnResult *result)
{
	if (result->completion != NOT_COMPLETED)
		result->completion_id = context->completion_id >= 0 ? context->completion_id : context->next_id;
	if (!actions_are_withheld(context, outcome, result))
	{
		result->actions = orchestration_new_actions(context);
		result->cancelled_timers = context->cancelled_timers;
	}
	if (result->completion != NOT_COMPLETED)
		collect_termination(context, result);
	if (result->completion == NOT_COMPLETED)
		result->waiting_events = orchestration_waiting_events(context);
	result->has_custom_status = context->has_custom_status;
	result->custom_status = context->custom_status;
}

/* Feeds events up to the start; false if there is none. */
static bool
feed_start(OrchestrationContext *context)
{
	while (!context->started && orchestration_feed_event(context))
		;
	return context->started;
}

/* An error that is not the code's own fault: the turn has to be repeated. */
static bool
must_repeat(OrchestrationContext *context, SandboxOutcome outcome, const ErrorData *error)
{
	return outcome == SANDBOX_ERROR && context->stop_reason == NOT_STOPPED &&
		error_is_circumstantial(error) && task_behind_error(context, error) == NULL;
}

/*
 * Did the code that waited for activities not get to its end, or one of them
 * fail? All of it was undone. A cancel is kept; any other error that is
 * nobody's fault comes again if it is to be.
 */
static bool
speculation_has_failed(OrchestrationContext *context, SandboxOutcome outcome, ErrorData *error)
{
	Speculation *speculation = context->speculation;

	if (outcome == SANDBOX_OK || speculation == NULL || !(speculation->has_effects || speculation->is_running))
		return false;
	speculation->has_failed = true;
	speculation->timed_out = outcome == SANDBOX_TIMED_OUT;
	if (outcome == SANDBOX_ERROR && error->sqlerrcode == ERRCODE_QUERY_CANCELED && error_is_circumstantial(error))
		speculation->cancel = error;
	return true;
}

/* One run; NULL if patience ran out, speculation failed, or it may have been a run of other code. */
static TurnResult *
execute_once(OrchestrationContext *context, int patience_ms)
{
	bool		impatient = patience_ms > 0 &&
	(setting_orchestrator_timeout == 0 || patience_ms < setting_orchestrator_timeout);
	TurnResult *result = palloc0(sizeof(TurnResult));
	OrchestratorCall call = {0};
	ErrorData  *error;
	SandboxOutcome outcome;

	if (!feed_start(context))
		return result;
	outcome = run_code(context, &call, impatient ? patience_ms : setting_orchestrator_timeout, &error);
	if (speculation_has_failed(context, outcome, error))
		return NULL;
	if ((outcome == SANDBOX_TIMED_OUT && impatient) || context->state->needs_copy || code_has_changed(&call))
		return NULL;
	context->timed_out = outcome == SANDBOX_TIMED_OUT;
	if (must_repeat(context, outcome, error))
		ReThrowError(error);
	orchestration_write_log(context);
	conclude_code(context, outcome, call.output, error, result);
	if (context->stop_reason != STOPPED_NON_DETERMINISTIC && !orchestration_match_rest(context))
		conclude_non_determinism(context, result);
	collect_result(context, outcome, result);
	return result;
}

TurnResult *
orchestration_replay(RuntimeState *state, bool strict, OrchestrationContext **context)
{
	const PinnedCode *code = state->code;
	TurnResult *result;

	do							/* again if the function was changed meanwhile */
	{
		state->code = code;
		*context = orchestration_context_make(state);
		(*context)->is_strict = strict;
		result = execute_once(*context, 0);
	} while (result == NULL && !state->needs_copy);
	return result;
}

/* The history without the failure it ends with. */
static RuntimeState *
state_before_failure(const RuntimeState *state)
{
	RuntimeState *before = palloc(sizeof(RuntimeState));
	ListCell   *lc;

	*before = *state;
	before->past_events = before->new_events = NIL;
	foreach(lc, state->past_events)
		if (((HistoryEvent *) lfirst(lc))->type != EVENT_EXECUTION_COMPLETED)
			before->past_events = lappend(before->past_events, lfirst(lc));
	return before;
}

/* Does the error repeat what a failure said? Then a handler made it of that. */
static bool
tells_of_failure(const ErrorData *error, const Task *task)
{
	const char *message = failure_field(task->failure, "errorMessage");

	if (message == NULL || message[0] == '\0')
		return false;
	return (error->message && strstr(error->message, message)) || (error->detail && strstr(error->detail, message));
}

/*
 * The task whose failure was the end: the error is its own, or a handler made
 * it of that. A failure that was handled and is not spoken of is done with.
 */
static const Task *
fatal_task(OrchestrationContext *context, const ErrorData *error)
{
	const Task *task = task_behind_error(context, error);

	for (int i = list_length(context->raised) - 1; task == NULL && i >= 0; i--)
		if (tells_of_failure(error, list_nth(context->raised, i)))
			task = list_nth(context->raised, i);
	return task;
}

/* What is undone with a failure: all others that the code had not seen before it. */
static RewindPoint *
point_of_failure(OrchestrationContext *context, const Task *fatal)
{
	RewindPoint *point = palloc0(sizeof(RewindPoint));
	ListCell   *lc;

	point->first_forgotten_id = FORGET_NOTHING;
	if (fatal == NULL)
		return point;
	point->first_forgotten_id = fatal->seen_failed_at;
	foreach(lc, context->tasks)
	{
		const Task *task = lfirst(lc);

		if (task->state == TASK_FAILED &&
			(task->seen_failed_at < 0 || task->seen_failed_at >= fatal->seen_failed_at))
			point->failed_ids = lappend_int(point->failed_ids, task->action_id);
	}
	return point;
}

RewindPoint *
orchestration_find_failure(RuntimeState *state)
{
	OrchestrationContext *context;
	OrchestratorCall call;
	ErrorData  *error;
	SandboxOutcome outcome;

	do							/* again if the function was changed meanwhile */
	{
		memset(&call, 0, sizeof(call));
		context = orchestration_context_make(state_before_failure(state));
		if (!feed_start(context))
			return point_of_failure(context, NULL);
		outcome = run_code(context, &call, setting_orchestrator_timeout, &error);
	} while (code_has_changed(&call));
	if (must_repeat(context, outcome, error))
		ReThrowError(error);
	state->needs_copy = context->state->needs_copy;
	if (state->needs_copy)
		return NULL;
	return point_of_failure(context, outcome == SANDBOX_ERROR && context->stop_reason == NOT_STOPPED ?
							fatal_task(context, error) : NULL);
}

void
orchestration_reset(void)
{
	current_orchestration = NULL;
	orchestrator_checks_end();
	sandbox_reset();
}

/* Two runs differ: the instance fails, and nothing they asked for is done. */
static TurnResult *
conclude_difference(OrchestrationContext *context, const char *difference)
{
	TurnResult *result = palloc0(sizeof(TurnResult));
	Failure		failure = {0};

	failure.sqlstate = "UD002";
	failure.error_type = "NonDeterministicOrchestrationException";
	failure.message = "two runs of the same turn came to different results";
	failure.detail = difference;
	failure.hint = "The orchestrator depends on something that changes: a clock, random values, a sequence, the state of the session. durable.double_replay runs every turn twice to find that.";
	failure.non_retriable = true;
	fail_with(result, &failure);
	context->stop_reason = STOPPED_NON_DETERMINISTIC;
	collect_result(context, SANDBOX_OK, result);
	return result;
}

/*
 * Did the run say something of the code that another one could contradict? Not
 * when it was ended: out of time, by its history, or by somebody's terminate,
 * which shall work with whatever code.
 */
static bool
is_comparable(const OrchestrationContext *context, const TurnResult *result)
{
	return context->started && !context->timed_out && context->stop_reason != STOPPED_NON_DETERMINISTIC &&
		result->completion != COMPLETED_TERMINATED;
}

/* Runs the turn once more, from the same history, and compares. */
static TurnResult *
execute_again(OrchestrationContext *context, TurnResult *result, int patience_ms)
{
	OrchestrationContext *again = orchestration_context_make(context->state);
	TurnResult *second;
	const char *difference;

	again->is_repeated = true;
	second = execute_once(again, patience_ms);
	if (second == NULL || !is_comparable(again, second))
		return second;
	difference = turn_results_difference(result, second);
	return difference ? conclude_difference(context, difference) : result;
}

TurnResult *
orchestration_execute(RuntimeState *state, int patience_ms, Speculation *speculation)
{
	OrchestrationContext *context = orchestration_context_make(state);
	TurnResult *result;

	context->speculation = setting_double_replay ? NULL : speculation;
	result = execute_once(context, patience_ms);
	if (result == NULL || !setting_double_replay || !is_comparable(context, result))
		return result;
	return execute_again(context, result, patience_ms);
}
