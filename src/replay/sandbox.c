/*
 * sandbox.c
 *		User code in a subtransaction: see sandbox.h.
 */
#include "postgres.h"

#include "access/parallel.h"
#include "access/xact.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/timeout.h"

#include "replay/sandbox.h"
#include "session.h"

const ExecutionInfo *current_execution = NULL;

/* What the code that runs now must find again to be bare. */
typedef struct RunningSandbox
{
	const Sandbox *sandbox;		/* NULL: none runs */
	int			nest_level;
	int			guc_nest_level;
	Oid			userid;
	int			sec_context;
} RunningSandbox;

static RunningSandbox running = {0};

static TimeoutId time_limit = MAX_TIMEOUTS;
static bool time_limited = false;
static volatile sig_atomic_t timed_out = false;

/* Cancels the running statement. */
static void
time_limit_handler(void)
{
	timed_out = true;
	InterruptPending = true;
	QueryCancelPending = true;
	SetLatch(MyLatch);
}

/* The code caught the cancel in an EXCEPTION block: cancel what it does next, too. */
static void
cancel_again(SubXactEvent event, SubTransactionId subid, SubTransactionId parent, void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB && time_limited && timed_out)
	{
		InterruptPending = true;
		QueryCancelPending = true;
	}
}

static void
time_limit_register(void)
{
	if (time_limit != MAX_TIMEOUTS)
		return;
	time_limit = RegisterTimeout(USER_TIMEOUT, time_limit_handler);
	RegisterSubXactCallback(cancel_again, NULL);
}

static void
time_limit_start(int timeout_ms)
{
	if (timeout_ms <= 0)
		return;
	time_limit_register();
	time_limited = true;
	enable_timeout_after(time_limit, timeout_ms);
}

/* Stops the limit, and a cancel of ours that nobody has served yet. */
static void
time_limit_stop(void)
{
	time_limited = false;
	if (time_limit != MAX_TIMEOUTS)
		disable_timeout(time_limit, false);
	if (timed_out)
		QueryCancelPending = false;
}

/*
 * Makes now(), CURRENT_TIMESTAMP and statement_timestamp() say this. The
 * function is meant for parallel workers and asserts to be in one.
 */
static void
set_transaction_times(TimestampTz xact_time, TimestampTz statement_time)
{
	int			worker_number = ParallelWorkerNumber;

	ParallelWorkerNumber = 0;
	SetParallelStartTimestamps(xact_time, statement_time);
	ParallelWorkerNumber = worker_number;
}

void
sandbox_pin_time(TimestampTz now)
{
	set_transaction_times(now, now);
}

/*
 * In a session that a superuser turned into another role's, by SET SESSION
 * AUTHORIZATION, nothing would keep user code from turning it back: there it
 * runs like a SECURITY DEFINER function, which can change neither role.
 */
static void
lock_role_of_assumed_session(void)
{
	Oid			userid;
	int			sec_context;

	if (!session_is_assumed())
		return;
	GetUserIdAndSecContext(&userid, &sec_context);
	SetUserIdAndSecContext(userid, sec_context | SECURITY_LOCAL_USERID_CHANGE);
}

static void
note_running(const Sandbox *sandbox, int guc_nest_level)
{
	running.sandbox = sandbox;
	running.nest_level = GetCurrentTransactionNestLevel();
	running.guc_nest_level = guc_nest_level;
	GetUserIdAndSecContext(&running.userid, &running.sec_context);
}

/* The part of sandbox_run() that may throw. */
static void
run_body(const Sandbox *sandbox, SandboxBody body, void *arg)
{
	int			nest_level = user_code_enter(sandbox->settings);
	int			sec_context;
	Oid			userid;

	GetUserIdAndSecContext(&userid, &sec_context);
	lock_role_of_assumed_session();
	if (sandbox->read_only)
		XactReadOnly = true;
	if (sandbox->pinned_time != NULL)
		sandbox_pin_time(*sandbox->pinned_time);
	note_running(sandbox, nest_level);
	time_limit_start(sandbox->timeout_ms);
	body(arg);
	time_limit_stop();
	SetUserIdAndSecContext(userid, sec_context);
	user_code_leave(nest_level);
}

/* Shall what was done stay? */
static bool
keeps_effects(const Sandbox *sandbox)
{
	return !timed_out && (!sandbox->read_only || (sandbox->has_effects != NULL && *sandbox->has_effects));
}

SandboxOutcome
sandbox_run(const Sandbox *sandbox, SandboxBody body, void *arg, ErrorData **error)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	const ExecutionInfo *outer_execution = current_execution;
	RunningSandbox outer = running;
	TimestampTz xact_time = GetCurrentTransactionStartTimestamp();
	TimestampTz statement_time = GetCurrentStatementStartTimestamp();
	volatile bool ok = false;

	*error = NULL;
	timed_out = false;
	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	current_execution = sandbox->execution;
	PG_TRY();
	{
		run_body(sandbox, body, arg);
		ok = true;
	}
	PG_CATCH();
	{
		time_limit_stop();
		MemoryContextSwitchTo(context);
		*error = CopyErrorData();
		FlushErrorState();
	}
	PG_END_TRY();
	running = outer;
	current_execution = outer_execution;
	if (sandbox->pinned_time != NULL)
		set_transaction_times(xact_time, statement_time);
	if (ok && keeps_effects(sandbox))
		ReleaseCurrentSubTransaction();
	else
		RollbackAndReleaseCurrentSubTransaction();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	if (sandbox->read_only && session_is_worker())
		session_discard_leftovers();	/* other turns share its transaction */
	if (timed_out)
		return SANDBOX_TIMED_OUT;
	return ok ? SANDBOX_OK : SANDBOX_ERROR;
}

/* A SET clause has a nest level of its own; what other way there is to change a setting is refused. */
static bool
has_own_settings(void)
{
	int			guc_nest_level = NewGUCNestLevel();

	AtEOXact_GUC(true, guc_nest_level);
	return guc_nest_level > running.guc_nest_level + 1;
}

bool
sandbox_is_bare(void)
{
	int			sec_context;
	Oid			userid;

	if (running.sandbox == NULL || !running.sandbox->read_only || GetCurrentTransactionNestLevel() != running.nest_level)
		return false;
	GetUserIdAndSecContext(&userid, &sec_context);
	return userid == running.userid && sec_context == running.sec_context && !has_own_settings();
}

void
sandbox_run_within(const Sandbox *sandbox, SandboxBody body, void *arg)
{
	const ExecutionInfo *outer_execution = current_execution;
	TimestampTz xact_time = GetCurrentTransactionStartTimestamp();
	TimestampTz statement_time = GetCurrentStatementStartTimestamp();
	int			nest_level = NewGUCNestLevel();

	time_limit_stop();
	timed_out = false;
	current_execution = sandbox->execution;
	XactReadOnly = false;
	sandbox_pin_time(*sandbox->pinned_time);
	time_limit_start(sandbox->timeout_ms);
	body(arg);
	time_limit_stop();
	if (timed_out)
		ereport(ERROR,
				(errcode(ERRCODE_QUERY_CANCELED),
				 errmsg("canceling statement due to the time limit of an activity")));
	user_code_leave(nest_level);
	XactReadOnly = true;
	current_execution = outer_execution;
	set_transaction_times(xact_time, statement_time);
	time_limit_start(running.sandbox->timeout_after_ms);
}

void
sandbox_reset(void)
{
	running.sandbox = NULL;
	time_limit_stop();
	current_execution = NULL;
}

bool
error_is_conflict(const ErrorData *error)
{
	return error->sqlerrcode == ERRCODE_T_R_SERIALIZATION_FAILURE ||
		error->sqlerrcode == ERRCODE_T_R_DEADLOCK_DETECTED;
}

/* Did PL/pgSQL's RAISE make it? Then the code means what it says. */
static bool
is_raised_by_code(const ErrorData *error)
{
	return error->funcname && strcmp(error->funcname, "exec_stmt_raise") == 0;
}

bool
error_is_circumstantial(const ErrorData *error)
{
	if (is_raised_by_code(error))
		return false;
	if (ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_INSUFFICIENT_RESOURCES)
		return true;
	/* a cancel from outside */
	if (error->sqlerrcode == ERRCODE_QUERY_CANCELED)
		return error->funcname && strcmp(error->funcname, "ProcessInterrupts") == 0;
	return false;
}
