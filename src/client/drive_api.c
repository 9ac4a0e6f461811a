/*
 * drive_api.c
 *		Doing the workers' job in a client's session: run_until_idle(), run().
 */
#include "postgres.h"

#include "access/xact.h"
#include "commands/dbcommands.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "tcop/pquery.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/portal.h"
#include "utils/timestamp.h"

#include "arguments.h"
#include "client/hub_access.h"
#include "clock.h"
#include "compat.h"
#include "dispatch/dispatchers.h"
#include "dispatch/pinned_code.h"
#include "errors.h"
#include "replay/sandbox.h"
#include "session.h"
#include "settings.h"
#include "shmem.h"
#include "wake.h"

PG_FUNCTION_INFO_V1(durable_run_until_idle);
PG_FUNCTION_INFO_V1(durable_run);

/* How often run(until_idle => false) looks for work; nobody wakes a client for it. */
#define LOOK_INTERVAL (100 * INT64CONST(1000))

static void
require_ours(const Hub *hub)
{
	HubPlace	here = place_here();

	if (hub->is_ours)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_DURABLE_WRONG_STATE),
			 errmsg("task hub \"%s\" is bound to another place, which may still run it", hub->name),
			 errdetail("Bound to system %lld, database %u, identity \"%s\"; this is system %lld, database %u, identity \"%s\".",
					   (long long) hub->place.system_identifier, hub->place.database_oid, hub->place.identity,
					   (long long) here.system_identifier, here.database_oid, here.identity),
			 errhint("SELECT durable.adopt_hub(%s), once you are sure it does not.", quote_literal_cstr(hub->name))));
}

static void
refuse_nested(const char *name)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("durable.%s cannot be called inside a function, trigger or other command", name),
			 errhint("Call it as a statement of its own.")));
}

/*
 * Is the function part of the top-level query itself, not of something that
 * query calls? A procedural language's cursors are portals, too, but their
 * rows go to SPI.
 */
static bool
is_top_level_query(FunctionCallInfo fcinfo)
{
	QueryDesc  *query;

	if (current_execution != NULL || ActivePortal == NULL || (ActivePortal->cursorOptions & CURSOR_OPT_HOLD) != 0)
		return false;
	query = ActivePortal->queryDesc;
	return query != NULL && query->estate != NULL && query->dest->mydest != DestSPI &&
		fcinfo->flinfo->fn_mcxt == query->estate->es_query_cxt;
}

/* Is the running top-level statement CALL of this very procedure? */
static bool
is_top_level_call(FunctionCallInfo fcinfo)
{
	PlannedStmt *statement;

	if (current_execution != NULL || fcinfo->context == NULL || !IsA(fcinfo->context, CallContext) ||
		ActivePortal == NULL || ActivePortal->stmts == NIL)
		return false;
	statement = linitial_node(PlannedStmt, ActivePortal->stmts);
	return statement->utilityStmt != NULL && IsA(statement->utilityStmt, CallStmt) &&
		castNode(CallStmt, statement->utilityStmt)->funcexpr->funcid == fcinfo->flinfo->fn_oid;
}

static void
require_read_committed(void)
{
	if (IsolationUsesXactSnapshot())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("task hubs can be run in transactions of isolation level READ COMMITTED only")));
}

static bool
has_worker(const Hub *hub)
{
	SlotInfo   *slots;
	int			n = slots_read(&slots);

	for (int i = 0; i < n; i++)
		if (slots[i].kind == PROCESS_WORKER && slots[i].dboid == MyDatabaseId && strcmp(slots[i].hub, hub->name) == 0 &&
			slots[i].state != SLOT_LEFT)
			return true;
	return false;
}

/*
 * Two clocks in one hub would make nonsense of its times: what this session
 * left would be due for the workers a month later, what they left would be
 * overdue here.
 */
static void
refuse_to_skip_time_beside_workers(const Hub *hub)
{
	if (!shmem_attached() || hub->paused)
		return;
	if (!(setting_enabled && setting_lists_database(get_database_name(MyDatabaseId))) && !has_worker(hub))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("time cannot be advanced in task hub \"%s\", which background workers run", hub->name),
			 errdetail("They keep to the real time."),
			 errhint("Test on a server with durable.enabled = off, or in a database that durable.databases leaves out.")));
}

/* Skips the session's clock to the next due timer; false if there is none. */
static bool
advance_to_next_due(const Hub *hub, TimestampTz *last_due)
{
	TimestampTz due = dispatch_next_due(hub->name, DT_NOBEGIN);

	if (TIMESTAMP_IS_NOEND(due) || due == *last_due)
		return false;			/* what is due and was not taken is not ours to take */
	*last_due = due;
	clock_advance_to(due);
	return true;
}

/* What the coordinator's sweep does where there are workers; the commit follows at once. */
static void
sweep_code(const Hub *hub)
{
	if (!work_item_begin(NULL))
		return;
	pinned_code_sweep(hub->name);
	work_item_commit();
}

Datum
durable_run_until_idle(PG_FUNCTION_ARGS)
{
	TimestampTz deadline = deadline_argument(fcinfo, 0);
	TimestampTz last_due = DT_NOEND;
	Hub			hub;
	int64		done = 0;

	if (!is_top_level_query(fcinfo))
		refuse_nested("run_until_idle()");
	PreventCommandIfReadOnly("durable.run_until_idle()");
	require_read_committed();
	require_argument(fcinfo, 1, "advance_time");
	hub_for_call(fcinfo, 2, &hub);
	require_owner_session(&hub);
	require_hub_may_run(&hub);
	require_ours(&hub);
	if (PG_GETARG_BOOL(1))
		refuse_to_skip_time_beside_workers(&hub);
	wake_hub_at_commit(hub.name, 1);	/* what it holds is free at the end, and to be done anew if this is rolled back */
	while (GetCurrentTimestamp() < deadline)
	{
		CHECK_FOR_INTERRUPTS();
		if (dispatch_one(hub.name, true, true, &done) == DISPATCH_IDLE &&
			!(PG_GETARG_BOOL(1) && advance_to_next_due(&hub, &last_due)))
			break;
	}
	if (!IsTransactionBlock())
		sweep_code(&hub);
	PG_RETURN_INT64(done);
}

/* Waits for the next due item, or a little: work of other sessions is found by looking. */
static void
wait_for_work(const char *task_hub, TimestampTz deadline)
{
	TimestampTz until = Min(dispatch_next_due(task_hub, DT_NOBEGIN), clock_now() + LOOK_INTERVAL);

	SPI_commit();
	(void) clock_wait_until(Min(until, deadline));
}

static void
run_loop(const Hub *hub, TimestampTz deadline, bool until_idle)
{
	int64		done = 0;

	while (GetCurrentTimestamp() < deadline)
	{
		DispatchResult result = dispatch_one(hub->name, true, true, &done);

		SPI_commit();
		CHECK_FOR_INTERRUPTS();
		if (result == DISPATCH_IDLE && until_idle)
			sweep_code(hub);
		if (result == DISPATCH_GONE || (result == DISPATCH_IDLE && until_idle))
			return;
		if (result == DISPATCH_IDLE)
			wait_for_work(hub->name, deadline);
	}
}

Datum
durable_run(PG_FUNCTION_ARGS)
{
	TimestampTz deadline = deadline_argument(fcinfo, 0);
	bool		until_idle;
	Hub			hub;

	if (!is_top_level_call(fcinfo))
		refuse_nested("run()");
	if (castNode(CallContext, fcinfo->context)->atomic)
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("durable.run() cannot run inside a transaction block"),
				 errhint("It commits; durable.run_until_idle() does not.")));
	PreventCommandIfReadOnly("durable.run()");
	require_read_committed();
	require_argument(fcinfo, 1, "until_idle");
	until_idle = PG_GETARG_BOOL(1);
	hub_for_call(fcinfo, 2, &hub);
	require_owner_session(&hub);
	require_hub_may_run(&hub);
	require_ours(&hub);
	SPI_connect_ext(SPI_OPT_NONATOMIC);
	run_loop(&hub, deadline, until_idle);
	SPI_finish();
	PG_RETURN_VOID();
}
