/*
 * activity_execution.c
 *		Running one activity: see activity_execution.h.
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "commands/trigger.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/timestamp.h"

#include "clock.h"
#include "core/failure.h"
#include "dispatch/activity_execution.h"
#include "dispatch/activity_function.h"
#include "dispatch/sharing.h"
#include "durations.h"
#include "errors.h"
#include "points.h"
#include "replay/sandbox.h"
#include "session.h"
#include "settings.h"
#include "wake.h"

/* What the sandbox runs. */
typedef struct ActivityRun
{
	ActivityCall call;
	bool		shared;
	bool		left_trace;		/* others must not meet what it did */
} ActivityRun;

/* SET CONSTRAINTS ALL IMMEDIATE: fires what is deferred. */
static void
fire_deferred_triggers(void)
{
	AfterTriggerSetState(makeNode(ConstraintsSetStmt));
}

/*
 * The same in a subtransaction that is rolled back: an error is raised, but
 * neither the setting nor what triggers did stays. They fire again at commit.
 */
static void
try_deferred_triggers(void)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData  *volatile error = NULL;

	BeginInternalSubTransaction(NULL);
	PG_TRY();
	{
		fire_deferred_triggers();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
	}
	PG_END_TRY();
	RollbackAndReleaseCurrentSubTransaction();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	if (error)
		ReThrowError(error);
}

/*
 * Shall everything that is deferred be fired for good, as the commit would? In
 * an assumed session, too: at commit it would run with the rights of who turned
 * it. (A server built with assertions insists that no query runs then.)
 */
static bool
fires_to_the_end(void)
{
#ifdef USE_ASSERT_CHECKING
	return session_is_worker();
#else
	return session_is_worker() || session_is_assumed();
#endif
}

/*
 * Deferred constraints are checked before the activity counts as done: at
 * commit its failure could not be recorded with it. A worker fires all to the
 * end, also what triggers defer anew: at commit nothing would undo what they
 * SET. In a client's session nothing must stay: the transaction is the client's.
 */
static void
check_deferred_constraints(void)
{
	if (fires_to_the_end())
		AfterTriggerFireDeferred();
	else
		try_deferred_triggers();
}

/* Throws it out of the transaction. */
static void
refuse_trace(ActivityRun *run, const char *trace)
{
	run->left_trace = true;
	ereport(ERROR,
			(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
			 errmsg("activity %s runs alone: %s", run->call.name, trace)));
}

static void
call_and_check(void *arg)
{
	ActivityRun *run = arg;
	const char *trace;

	if (run->shared)
		sharing_watch();
	DURABLE_POINT("activity.before_effect");
	activity_call(&run->call);
	DURABLE_POINT("activity.after_effect");
	check_deferred_constraints();
	if (session_is_assumed())
		session_close_cursors();
	trace = run->shared ? sharing_trace() : NULL;
	if (trace)
		refuse_trace(run, trace);
	if (sharing_has_notified())
		work_item_flush_at_commit();	/* nobody asks again for what he was told so */
}

static int
timeout_of(const ClaimedActivity *activity)
{
	return activity->registration.timeout_ms > 0 ? activity->registration.timeout_ms : setting_activity_timeout;
}

/* A shared one has less time than it would have alone, never more. */
static int
shared_timeout_of(const ClaimedActivity *activity)
{
	int			timeout = timeout_of(activity);

	return timeout > 0 ? Min(timeout, SHARED_ACTIVITY_MS) : SHARED_ACTIVITY_MS;
}

static Jsonb *
timeout_failure(const ClaimedActivity *activity)
{
	Failure		failure = {0};

	failure.sqlstate = "57014";
	failure.error_type = "ActivityTimeout";
	failure.message = psprintf("activity %s ran for more than %d ms", activity->name, timeout_of(activity));
	failure.hint = activity->registration.timeout_ms > 0 ?
		"durable.register_activity() has set the limit." : "durable.activity_timeout sets the limit.";
	return failure_make(&failure);
}

/* A conflict is the engine's to repeat; anything else is the activity's failure. */
static void
conclude_error(const ActivityCall *call, const ErrorData *error, ActivityOutcome *outcome)
{
	if (error_is_conflict(error))
		outcome->repeat = true;
	else
		outcome->failure = failure_from_error(error, !call->prepared ||
											  error->sqlerrcode == ERRCODE_DURABLE_LIMIT_EXCEEDED);
}

/* What will be called: the registration counts only if it serves this version. */
static void
fill_call(const char *task_hub, const ClaimedActivity *activity, ActivityCall *call)
{
	call->task_hub = task_hub;
	call->max_payload_size = activity->max_payload_size;
	call->name = activity->name;
	call->version = activity->version;
	call->input = activity->input;
	if (activity->match == REGISTERED)
		call->function = activity->registration.function;
	else if (activity->match == OTHER_VERSIONS)
		call->other_versions = store_activity_versions(task_hub, activity->name);
}

/*
 * An effect that leaves the database must not be seen before what led to it
 * is on disk: the turn that asked for it was committed asynchronously.
 */
static void
flush_what_led_here(const ClaimedActivity *activity)
{
	XLogRecPtr	lsn = TransactionIdIsNormal(activity->writer) ?
	TransactionIdGetCommitLSN(activity->writer) : InvalidXLogRecPtr;

	if (!XLogRecPtrIsInvalid(lsn))
		XLogFlush(lsn);
}

/* Who asks for slots next shall know how long it takes. */
static SandboxOutcome
run_timed(const Sandbox *sandbox, ActivityRun *run, const char *task_hub, ErrorData **error)
{
	TimestampTz begin = GetCurrentTimestamp();
	SandboxOutcome result = sandbox_run(sandbox, call_and_check, run, error);

	if (run->shared && result == SANDBOX_TIMED_OUT)
		duration_note_undone(task_hub, run->call.name, false);
	else
		duration_note(task_hub, run->call.name, (GetCurrentTimestamp() - begin) / 1000.0);
	return result;
}

static void
describe_execution(const ClaimedActivity *activity, ExecutionInfo *execution)
{
	execution->instance_id = activity->instance_id;
	execution->execution_id = activity->execution_id;
	execution->parent_instance_id = activity->parent_instance_id;
	execution->version = activity->instance_version;
	execution->tags = activity->tags;
	execution->task_id = activity->task_id;
	execution->attempt = activity->attempt;
}

/* An error of the code, of the engine, or of the circumstances. */
static void
conclude_failed_run(const char *task_hub, ActivityRun *run, ErrorData *error, ActivityOutcome *outcome)
{
	/* a client that cancels its statement does not mean the activity */
	if (!session_is_worker() && error->sqlerrcode == ERRCODE_QUERY_CANCELED && error_is_circumstantial(error))
		ReThrowError(error);
	conclude_error(&run->call, error, outcome);
	/* another one has made a row with the same transaction id */
	if (run->shared && error->sqlerrcode == ERRCODE_UNIQUE_VIOLATION)
		outcome->repeat = true;
	/* it may have failed because of what it saw, or did not see */
	if (run->shared && sharing_noted())
		run->left_trace = true;
	if (!run->left_trace && !(run->shared && outcome->repeat))
		return;
	if (run->left_trace)
		duration_note_undone(task_hub, run->call.name, true);
	memset(outcome, 0, sizeof(ActivityOutcome));
	outcome->must_be_alone = true;
}

/* A shared one has the time of its own begin, as it would have alone. */
static void
prepare_sandbox(const ClaimedActivity *activity, bool shared, const TimestampTz *now, ExecutionInfo *execution, Sandbox *sandbox)
{
	describe_execution(activity, execution);
	sandbox->execution = execution;
	sandbox->settings = &activity->settings;
	sandbox->timeout_ms = shared ? shared_timeout_of(activity) : timeout_of(activity);
	sandbox->pinned_time = shared ? now : NULL;
}

static SandboxOutcome
run_in_sandbox(const char *task_hub, const ClaimedActivity *activity, ActivityRun *run, ErrorData **error)
{
	TimestampTz now = GetCurrentTimestamp();
	ExecutionInfo execution = {0};
	Sandbox		sandbox = {0};
	SandboxOutcome result;

	prepare_sandbox(activity, run->shared, &now, &execution, &sandbox);
	activity_begins(task_hub, activity->instance_id);
	result = run_timed(&sandbox, run, task_hub, error);
	activity_ends();
	if (run->shared)
		sharing_tidy();
	return result;
}

void
activity_execute(const char *task_hub, const ClaimedActivity *activity, bool shared, ActivityOutcome *outcome)
{
	ActivityRun run = {0};
	ErrorData  *error;

	if (activity->is_damaged)
	{
		outcome->failure = failure_of_damage(task_hub, activity->instance_id, "Its queued activities cannot be read.");
		return;
	}
	run.shared = shared;
	fill_call(task_hub, activity, &run.call);
	if (activity->registration.external)
		flush_what_led_here(activity);
	switch (run_in_sandbox(task_hub, activity, &run, &error))
	{
		case SANDBOX_OK:
			outcome->result = run.call.result;
			break;
		case SANDBOX_TIMED_OUT:
			if (shared)
				outcome->must_be_alone = true;
			else
				outcome->failure = timeout_failure(activity);
			break;
		case SANDBOX_ERROR:
			conclude_failed_run(task_hub, &run, error, outcome);
			break;
	}
}

Jsonb *
activity_execute_within(const char *task_hub, const ClaimedActivity *activity)
{
	TimestampTz now = GetCurrentTimestamp();
	ExecutionInfo execution = {0};
	Sandbox		sandbox = {0};
	ActivityRun run = {0};

	run.shared = true;
	fill_call(task_hub, activity, &run.call);
	prepare_sandbox(activity, true, &now, &execution, &sandbox);
	activity_begins(task_hub, activity->instance_id);
	sandbox_run_within(&sandbox, call_and_check, &run);
	activity_clean_up();
	duration_note(task_hub, activity->name, (GetCurrentTimestamp() - now) / 1000.0);
	return run.call.result;
}

void
activity_clean_up(void)
{
	activity_ends();
	sharing_tidy();
}
