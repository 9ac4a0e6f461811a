/*
 * early_commit.c
 *		See early_commit.h.
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "replication/syncrep.h"
#include "replication/walsender.h"

#include "clock.h"
#include "compat.h"
#include "early_commit.h"
#include "points.h"
#include "settings.h"
#include "shmem.h"

/* Of the transaction at work. */
static struct
{
	XLogRecPtr	end_of_ours;	/* the end of what it has written for us to the WAL; 0: nothing yet */
	bool		makes_work;		/* a call is at it */
	bool		is_forbidden;	/* it has written something else, too, or may have */
	bool		begun;			/* it commits early */
	bool		awaits;			/* and is registered as one that waits for the instance */
	int			demanded;		/* synchronous_commit as the session has it */
}			transaction;

/* Of the session: the instance it made work for last, and whether it waited for that one, and the one before. */
static struct
{
	uint64		instance;
	bool		was_awaited;
	bool		predecessor_was_awaited;
}			addressee;

static AwakeWaits waits;

/*
 * Before the first work: whoever writes has an id, for unlogged tables, too. Who
 * only reads may have written to the WAL, but has none.
 */
static bool
has_written_besides(void)
{
	if (XLogRecPtrIsInvalid(transaction.end_of_ours))
		return TransactionIdIsValid(GetTopTransactionIdIfAny());
	return XactLastRecEnd != transaction.end_of_ours;
}

void
early_commit_work_begins(uint64 instance)
{
	if (transaction.makes_work || has_written_besides())
		transaction.is_forbidden = true;
	transaction.makes_work = true;
	addressee.predecessor_was_awaited = addressee.was_awaited;
	addressee.instance = instance;
	addressee.was_awaited = false;
}

void
early_commit_work_ends(void)
{
	transaction.makes_work = false;
	transaction.end_of_ours = XactLastRecEnd;
}

void
early_commit_note_statement(void)
{
	if (transaction.makes_work)
		transaction.is_forbidden = true;
}

void
early_commit_note_wait(uint64 instance)
{
	if (instance == addressee.instance)
		addressee.was_awaited = true;
}

/*
 * Where standbys confirm commits others would see what a failover loses. This
 * session may not know yet that there are some, or not know yet that there are
 * none any more.
 */
static bool
waits_for_standbys(void)
{
	return SyncRepRequested() &&
		((SyncRepStandbyNames != NULL && SyncRepStandbyNames[0] != '\0') || durable_sync_standbys_defined());
}

/* Not where workers shall wait for the disk: then nothing is to be seen before it is there. */
bool
early_commit_is_allowed(void)
{
	return setting_early_commit && setting_synchronous_commit == SYNCHRONOUS_COMMIT_OFF &&
		synchronous_commit > SYNCHRONOUS_COMMIT_OFF && !waits_for_standbys() &&
		!XLogRecPtrIsInvalid(transaction.end_of_ours) &&
		!transaction.makes_work && !transaction.is_forbidden && !has_written_besides();
}

/*
 * The variable alone is changed, until the commit has asked for it: how standbys
 * are waited for, which depends on the setting, stays as it is.
 */
void
early_commit_begin(void)
{
	Assert(slot_mine() == NULL);
	transaction.demanded = synchronous_commit;
	synchronous_commit = SYNCHRONOUS_COMMIT_OFF;
	transaction.begun = true;
	transaction.awaits = addressee.predecessor_was_awaited && clock_awake_is_due(&waits) &&
		shmem_waiter_enter(addressee.instance);
}

/*
 * What goes to disk: the commit, and that of the completion if it comes in
 * time. These are ends of records. Where the next one will begin may be behind
 * the head of a page that is not there yet, and could not be flushed.
 */
static XLogRecPtr
end_of_commits(void)
{
	XLogRecPtr	awaited = InvalidXLogRecPtr;

	if (transaction.awaits)
	{
		DURABLE_POINT("client.awaits");
		if (clock_try_awake(&waits, shmem_news_are_missing, AWAKE_FOR))
			awaited = shmem_end_of_awaited_commit();
	}
	return Max(XactLastCommitEnd, awaited);
}

bool
early_commit_is_at_work(void)
{
	return transaction.begun;
}

/* As CommitTransaction() would have done it, which still holds interrupts. */
void
early_commit_make_durable(void)
{
	if (!transaction.begun)
		return;
	synchronous_commit = transaction.demanded;
	transaction.begun = false;
	DURABLE_POINT("client.committed_early");
	XLogFlush(end_of_commits());
	DURABLE_POINT("client.durable");
	SyncRepWaitForLSN(XactLastCommitEnd, true);
}

void
early_commit_reset(void)
{
	if (transaction.begun)
		synchronous_commit = transaction.demanded;
	if (transaction.awaits)
		shmem_waiter_leave();
	memset(&transaction, 0, sizeof(transaction));
}
