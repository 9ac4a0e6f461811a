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
#include "early_commit.h"
#include "points.h"
#include "settings.h"
#include "shmem.h"
#include "wake.h"

/* The completion that a commit goes to disk with is awaited for so long, in us. */
#define AWAKE_FOR 300

/* Of the transaction at work. */
static struct
{
	XLogRecPtr	end_of_ours;	/* the end of what it has written to the WAL, if all of that is ours; 0: nothing */
	bool		has_other_writes;
	bool		begun;			/* it commits early */
	bool		awaits;			/* and registered as one that waits for the instance */
	int			demanded;		/* synchronous_commit as the session has it */
}			transaction;

/* Of the session: for which instance it made work last, by its hash, and whether it waited for that one, and for the one before. */
static struct
{
	uint64		instance;
	bool		was_awaited;
	bool		predecessor_was_awaited;
}			addressee;

void
early_commit_work_begins(const char *task_hub, const char *instance_id)
{
	if (XactLastRecEnd != transaction.end_of_ours)
		transaction.has_other_writes = true;
	addressee.predecessor_was_awaited = addressee.was_awaited;
	addressee.instance = wake_instance_hash(task_hub, instance_id);
	addressee.was_awaited = false;
}

void
early_commit_work_ends(void)
{
	transaction.end_of_ours = XactLastRecEnd;
}

void
early_commit_note_wait(const char *task_hub, const char *instance_id)
{
	if (wake_instance_hash(task_hub, instance_id) == addressee.instance)
		addressee.was_awaited = true;
}

static bool
waits_for_standbys(void)
{
	return SyncRepRequested() && SyncRepStandbyNames != NULL && SyncRepStandbyNames[0] != '\0';
}

/* Not where standbys confirm commits: others would see what a failover loses. */
bool
early_commit_is_allowed(void)
{
	return !XLogRecPtrIsInvalid(transaction.end_of_ours) && !transaction.has_other_writes &&
		XactLastRecEnd == transaction.end_of_ours &&
		synchronous_commit > SYNCHRONOUS_COMMIT_OFF && setting_synchronous_commit == SYNCHRONOUS_COMMIT_OFF &&
		!waits_for_standbys();
}

/*
 * The variable alone is changed, until the commit has asked for it: how standbys
 * are waited for, which depends on the setting, stays as it is.
 */
void
early_commit_begin(void)
{
	transaction.demanded = synchronous_commit;
	synchronous_commit = SYNCHRONOUS_COMMIT_OFF;
	transaction.begun = true;
	transaction.awaits = addressee.predecessor_was_awaited && shmem_waiter_enter(addressee.instance);
}

/*
 * What goes to disk: the commit, and that of the completion if it comes in
 * time. These are ends of records. Where the next one will begin may be behind
 * the head of a page that is not there yet, and could not be flushed.
 */
static XLogRecPtr
end_of_commits(void)
{
	static AwakeWaits waits;
	XLogRecPtr	awaited = InvalidXLogRecPtr;

	if (transaction.awaits && clock_try_awake(&waits, shmem_news_are_missing, AWAKE_FOR))
		awaited = shmem_end_of_awaited_commit();
	return Max(XactLastCommitEnd, awaited);
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
