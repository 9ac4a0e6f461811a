/*
 * wait_api.c
 *		Waiting for instances: what is returned as finished is durable.
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "miscadmin.h"
#include "replication/syncrep.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "arguments.h"
#include "client/hub_access.h"
#include "clock.h"
#include "errors.h"
#include "points.h"
#include "replay/orchestration_context.h"
#include "store/wait_store.h"
#include "wake.h"

PG_FUNCTION_INFO_V1(durable_wait_for_completion);
PG_FUNCTION_INFO_V1(durable_wait_for_start);

/* How long to sleep when woken by whoever finishes an instance, and when not. */
#define SAFETY_INTERVAL USECS_PER_SEC
#define POLL_INTERVAL (20 * INT64CONST(1000))

typedef bool (*StatusTest) (RuntimeStatus status);

static bool
has_started(RuntimeStatus status)
{
	return status != STATUS_PENDING;
}

static void
refuse_if_own(TransactionId writer, const char *instance_id)
{
	if (TransactionIdIsCurrentTransactionId(writer))
		ereport(ERROR,
				(errcode(ERRCODE_DURABLE_WRONG_STATE),
				 errmsg("cannot wait for instance \"%s\", which was started or changed in this transaction", instance_id),
				 errhint("COMMIT first: nothing runs before.")));
}

/* Writes a commit to disk; returns where it ends, 0 if it is there long since. */
static XLogRecPtr
flush_commit_of(TransactionId writer)
{
	XLogRecPtr	lsn = TransactionIdIsNormal(writer) ? TransactionIdGetCommitLSN(writer) : InvalidXLogRecPtr;

	if (!XLogRecPtrIsInvalid(lsn))
		XLogFlush(lsn);
	return lsn;
}

/*
 * Workers commit asynchronously. Before a client hears of it, the commit goes
 * to disk, and to synchronous standbys if this session would wait for them.
 */
static void
make_durable(TransactionId writer)
{
	XLogRecPtr	lsn = flush_commit_of(writer);

	if (synchronous_commit <= SYNCHRONOUS_COMMIT_LOCAL_FLUSH || RecoveryInProgress())
		return;
	HOLD_INTERRUPTS();
	SyncRepWaitForLSN(XLogRecPtrIsInvalid(lsn) ? GetFlushRecPtr(NULL) : lsn, true);
	RESUME_INTERRUPTS();
}

/* Waits for whoever changes the status of the instance; who is registered is woken. */
static void
sleep_until(TimestampTz deadline, TimestampTz now, bool registered)
{
	if (!registered)
		(void) clock_wait_until(Min(deadline, now + POLL_INTERVAL));
	else if (!wake_await_soon())
		(void) clock_wait_until(Min(deadline, now + SAFETY_INTERVAL));
}

/* Waits until the instance has such a status, or the time is over; what was waited for is durable then. */
static RuntimeStatus
wait_until(const Hub *hub, const char *instance_id, StatusTest test, TimestampTz deadline)
{
	bool		registered = wake_register_waiter(hub->name, instance_id);
	RuntimeStatus status;

	for (;;)
	{
		TransactionId writer;
		TimestampTz now = GetCurrentTimestamp();

		if (!store_look_at_instance(hub->name, instance_id, &status, &writer))
			no_such_instance(hub, instance_id);
		refuse_if_own(writer, instance_id);
		if (test(status))
		{
			DURABLE_POINT("client.wait_before_flush");
			make_durable(writer);
			DURABLE_POINT("client.wait_flushed");
			break;
		}
		if (now >= deadline)
			break;
		DURABLE_POINT("client.wait");
		sleep_until(deadline, now, registered);
	}
	wake_unregister_waiter();
	return status;
}

/*
 * The row of an instance that had not finished may be a later version, the last
 * one even, or one whose start is still on its way to disk. What is returned
 * does not go away again.
 */
static void
make_row_durable(const Hub *hub, const char *instance_id)
{
	RuntimeStatus status;
	TransactionId writer;

	if (!store_look_at_instance(hub->name, instance_id, &status, &writer))
		return;
	if (runtime_status_is_finished(status))
		make_durable(writer);
	else
		(void) flush_commit_of(writer);
}

static Datum
wait_for(FunctionCallInfo fcinfo, StatusTest test)
{
	Hub			hub;
	char	   *instance_id;
	RuntimeStatus status;
	Datum		row;

	if (current_orchestration != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DURABLE_NOT_ALLOWED),
				 errmsg("an orchestrator cannot wait for an instance like a client"),
				 errhint("Use durable.call_suborchestrator(), or an event.")));
	require_argument(fcinfo, 0, "instance_id");
	instance_id = text_to_cstring(PG_GETARG_TEXT_PP(0));
	hub_to_look_in(fcinfo, 2, &hub);
	wake_note_wait(hub.name, instance_id);
	status = wait_until(&hub, instance_id, test, deadline_argument(fcinfo, 1));
	DURABLE_POINT("client.wait_over");
	if (!store_instance_row(hub.name, instance_id, &row))
		no_such_instance(&hub, instance_id);
	if (!runtime_status_is_finished(status))
		make_row_durable(&hub, instance_id);
	PG_RETURN_DATUM(row);
}

Datum
durable_wait_for_completion(PG_FUNCTION_ARGS)
{
	return wait_for(fcinfo, runtime_status_is_finished);
}

Datum
durable_wait_for_start(PG_FUNCTION_ARGS)
{
	return wait_for(fcinfo, has_started);
}
