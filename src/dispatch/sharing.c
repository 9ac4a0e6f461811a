/*
 * sharing.c
 *		What activities that share a transaction may leave there: see sharing.h.
 */
#include "postgres.h"

#include "access/xact.h"
#include "libpq/be-fsstubs.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "tcop/utility.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "dispatch/sharing.h"
#include "session.h"

/* Others wait for the locks of all until the commit: so long at most, in ms. */
#define SHARING_TIME_MS 20

/* A snapshot holds 64 of a session; one activity may use several. */
#define MAX_SUBTRANSACTION_IDS 56

typedef struct Sharing
{
	TimestampTz began_at;		/* 0: none has run */

	/* of the activity that runs */
	bool		watching;
	const char *trace;			/* what it did that has effects beyond its own: a command, for example */
	int			flags;			/* MyXactFlags before */
	int			n_locks;		/* advisory locks that were held before */
} Sharing;

static Sharing sharing;
static ProcessUtility_hook_type next_utility = NULL;

/* Commands that concern the activity alone, and end with it. */
static bool
is_private_command(Node *command)
{
	switch (nodeTag(command))
	{
		case T_VariableSetStmt:	/* its settings are undone */
		case T_VariableShowStmt:
		case T_CallStmt:
		case T_DoStmt:
		case T_ExplainStmt:
		case T_PrepareStmt:		/* plans and cursors are dropped after it */
		case T_ExecuteStmt:
		case T_DeallocateStmt:
		case T_DeclareCursorStmt:
		case T_FetchStmt:
		case T_ClosePortalStmt:
			return true;
		default:
			return false;
	}
}

static void
watched_utility(PlannedStmt *statement, const char *query_string, bool read_only_tree,
				ProcessUtilityContext context, ParamListInfo params, QueryEnvironment *environment,
				DestReceiver *receiver, QueryCompletion *completion)
{
	if (sharing.watching && !is_private_command(statement->utilityStmt))
		sharing.trace = GetCommandTagName(CreateCommandTag(statement->utilityStmt));
	if (next_utility)
		next_utility(statement, query_string, read_only_tree, context, params, environment, receiver, completion);
	else
		standard_ProcessUtility(statement, query_string, read_only_tree, context, params, environment, receiver, completion);
}

void
sharing_init(void)
{
	next_utility = ProcessUtility_hook;
	ProcessUtility_hook = watched_utility;
}

void
sharing_begin(void)
{
	memset(&sharing, 0, sizeof(sharing));
}

bool
sharing_is_used(void)
{
	return sharing.began_at != 0;
}

static bool
lasts_longer_than(int milliseconds)
{
	return sharing.began_at != 0 && TimestampDifferenceExceeds(sharing.began_at, GetCurrentTimestamp(), milliseconds);
}

bool
sharing_has_ids(void)
{
	return !MyProc->subxidStatus.overflowed && MyProc->subxidStatus.count < MAX_SUBTRANSACTION_IDS;
}

bool
sharing_has_room(void)
{
	return sharing_has_ids() && !lasts_longer_than(SHARING_TIME_MS);
}

bool
sharing_may_go_on(void)
{
	return !lasts_longer_than(2 * SHARING_TIME_MS);
}

/* Only this process adds locks that are not a relation's to its lists. */
static int
count_advisory_locks(void)
{
	int			n = 0;

	for (int i = 0; i < NUM_LOCK_PARTITIONS; i++)
	{
		const PROCLOCK *lock;

		if (durable_proc_locks_empty(i))
			continue;
		LWLockAcquire(LockHashPartitionLockByIndex(i), LW_SHARED);
		durable_foreach_proc_lock(lock, i)
		{
			if (lock->tag.myLock->tag.locktag_type == LOCKTAG_ADVISORY)
				n++;
		}
		LWLockRelease(LockHashPartitionLockByIndex(i));
	}
	return n;
}

void
sharing_watch(void)
{
	if (sharing.began_at == 0)
		sharing.began_at = GetCurrentTimestamp();
	sharing.trace = NULL;
	sharing.flags = MyXactFlags;
	sharing.n_locks = session_is_worker() ? 0 : count_advisory_locks();
	MyXactFlags &= ~XACT_FLAGS_ACCESSEDTEMPNAMESPACE;
	sharing.watching = true;
}

void
sharing_note(const char *what)
{
	if (sharing.watching)
		sharing.trace = what;
}

bool
sharing_noted(void)
{
	return sharing.trace != NULL;
}

/* Notifications, and whatever else waits for the commit, are kept in a context of the subtransaction. */
bool
sharing_has_notified(void)
{
	return !MemoryContextIsEmpty(CurTransactionContext);
}

const char *
sharing_trace(void)
{
	if (sharing.trace)
		return sharing.trace;
	if (MyXactFlags & XACT_FLAGS_ACCESSEDTEMPNAMESPACE)
		return "temporary objects";
	if (sharing_has_notified())
		return "notifications";
	if (count_advisory_locks() > sharing.n_locks)
		return "advisory locks";
	return NULL;
}

void
sharing_tidy(void)
{
	sharing.watching = false;
	MyXactFlags &= ~XACT_FLAGS_ACCESSEDTEMPNAMESPACE;
	MyXactFlags |= sharing.flags;
	if (!session_is_worker())
		return;
	session_close_cursors();
	AtEOXact_LargeObject(true); /* closes those that are open */
	session_discard_leftovers();
}

int
sharing_begin_writing(void)
{
	int			nest_level = NewGUCNestLevel();

	if (sharing_is_used())
		(void) set_config_option("lock_timeout", psprintf("%d", SHARED_ACTIVITY_MS), PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
	return nest_level;
}

void
sharing_end_writing(int nest_level)
{
	AtEOXact_GUC(true, nest_level);
}
