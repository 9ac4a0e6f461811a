/*
 * wake.c
 *		Who wakes whom, at the commit of whoever made work.
 *
 * A transaction notes whom it will wake in memory of its own; the callback at
 * commit only sets latches: an error there would bring the server down.
 * What does not fit is not lost, then simply everybody of this database wakes.
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "commands/extension.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "utils/timestamp.h"

#include "clock.h"
#include "early_commit.h"
#include "points.h"
#include "settings.h"
#include "shmem.h"
#include "wake.h"

#define MAX_HUBS 16
#define MAX_INSTANCES 128
#define MAX_CANCELLED 1024

/* Whom this transaction wakes. */
typedef struct Wakes
{
	int			n_hubs;			/* more than MAX_HUBS: all */
	int			n_instances;	/* more than MAX_INSTANCES: all */
	int			n_cancelled;
	bool		launcher;
	bool		rescan;
	int			n_reset;		/* databases; of more than one all are reset */
	Oid			reset;
} Wakes;

static Wakes wakes;
static char hubs[MAX_HUBS][NAMEDATALEN];
static int	hub_items[MAX_HUBS];
static TimestampTz hub_due[MAX_HUBS];
static uint64 instances[MAX_INSTANCES];
static uint64 cancelled[MAX_CANCELLED];
static SubTransactionId cancelled_by[MAX_CANCELLED];

/* When this transaction began to commit, and how long the last one took that had something to announce, in us. */
static TimestampTz commit_began = 0;
static int64 last_commit = 0;

/* A commit that takes longer is not announced: who is woken would not wait for it awake. */
#define SHORT_COMMIT 1000

/* After that who waits awake for what was announced sleeps, but not for long, in us. */
#define ASLEEP_FOR (10 * INT64CONST(1000))

/* A worker that has nothing to do any more is awake for so long, in us: who was answered may go on. */
#define AWAKE_FOR_MORE 1000

/* A worker that could not wait awake is not told for so long, in us: it would be woken twice. */
#define DEAF_FOR (20 * INT64CONST(1000))

/* Does this session wait? */
static bool waiting = false;

/* Never 0, which means everybody. */
static uint64
instance_hash(const char *task_hub, const char *instance_id)
{
	uint64		hash = hash_bytes_extended((const unsigned char *) task_hub,
										   strlen(task_hub), MyDatabaseId);

	hash = hash_bytes_extended((const unsigned char *) instance_id, strlen(instance_id), hash);
	return hash == 0 ? 1 : hash;
}

/* Is this process a worker of the hub that runs both turns and activities? */
static bool
takes_all_work_of(const char *hub)
{
	const SlotInfo *mine = slot_mine();

	return mine != NULL && mine->kind == PROCESS_WORKER && strcmp(mine->hub, hub) == 0 &&
		mine->index < setting_orchestrator_workers && mine->index < setting_activity_workers;
}

/* Is there more in a hub than this process will find by itself? */
static bool
has_work_for_others(int hub)
{
	return hub_items[hub] > 1 || !takes_all_work_of(hubs[hub]);
}

static void
fire_hubs(void)
{
	if (wakes.n_hubs > MAX_HUBS)
		shmem_wake_hub(NULL, DT_NOBEGIN);
	else
	{
		for (int i = 0; i < wakes.n_hubs; i++)
		{
			if (has_work_for_others(i))
				shmem_wake_hub(hubs[i], hub_due[i]);
		}
	}
}

/* Is there something to do for an idle worker? */
static bool
may_begin_at_once(void)
{
	for (int i = 0; i < wakes.n_hubs; i++)
		if (hub_due[i] <= commit_began && has_work_for_others(i) && shmem_has_idle_worker(hubs[i]))
			return true;
	return false;
}

/*
 * Tells workers of what they will find when this transaction has committed.
 * They wake up while the commit is written to disk, which takes longer.
 */
static void
announce_work(void)
{
	for (int i = 0; i < wakes.n_hubs; i++)
		if (hub_due[i] <= commit_began && has_work_for_others(i))
			shmem_announce_work(hubs[i]);
}

/*
 * While a commit is written to disk, workers are at work on what it brings, or,
 * if they may not see that before, wake up.
 */
static void
before_commit(void)
{
	commit_began = 0;
	if (wakes.n_hubs == 0 || wakes.n_hubs > MAX_HUBS || synchronous_commit == SYNCHRONOUS_COMMIT_OFF)
		return;
	commit_began = GetCurrentTimestamp();
	if (early_commit_is_allowed() && may_begin_at_once())
		early_commit_begin();
	else if (last_commit < SHORT_COMMIT)
		announce_work();
}

/* How long did it take? One that waited for standbys, say, tells that the next will, too. Early ones are others. */
static void
note_commit(void)
{
	if (commit_began != 0 && !early_commit_is_at_work())
		last_commit = GetCurrentTimestamp() - commit_began;
}

static void
fire_waiters(void)
{
	if (wakes.n_instances > MAX_INSTANCES)
		shmem_wake_waiters(0, XactLastCommitEnd);
	else
	{
		for (int i = 0; i < wakes.n_instances; i++)
			shmem_wake_waiters(instances[i], XactLastCommitEnd);
	}
}

static void
fire(void)
{
	if (wakes.n_hubs > 0)
		DURABLE_POINT("wake.before");
	fire_hubs();
	if (wakes.n_hubs > 0)
		DURABLE_POINT("wake.hubs");
	fire_waiters();
	if (wakes.n_instances > 0)
		DURABLE_POINT("wake.waiters");
	for (int i = 0; i < wakes.n_cancelled; i++)
		shmem_cancel_activities(cancelled[i]);
	if (wakes.launcher)
		shmem_wake_launcher(MyDatabaseId);
	if (wakes.n_reset > 0)
		slots_retire_database(wakes.n_reset == 1 ? wakes.reset : InvalidOid);
	if (wakes.rescan)
		shmem_wake_launcher(InvalidOid);
}

/*
 * An abort makes no work, but lets go of the instances it has locked, for which
 * workers may have looked in vain. PREPARE loses the notes: COMMIT PREPARED and
 * ROLLBACK PREPARED wake everybody.
 */
static void
at_transaction_end(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_COMMIT:
			note_commit();
			fire();
			early_commit_make_durable();
			break;
		case XACT_EVENT_ABORT:
			fire_hubs();
			break;
		case XACT_EVENT_PREPARE:
			break;
		default:
			return;
	}
	memset(&wakes, 0, sizeof(wakes));
	early_commit_reset();
	wake_unregister_waiter();
	database_release();
}

/* A superfluous wake-up does no harm, a cancel that was taken back would. Later subtransactions have higher ids. */
static void
forget_cancels(SubTransactionId aborted)
{
	while (wakes.n_cancelled > 0 && cancelled_by[wakes.n_cancelled - 1] >= aborted)
		wakes.n_cancelled--;
}

/* A command that failed needs the database it has held no more. */
static void
at_subtransaction_end(SubXactEvent event, SubTransactionId subid, SubTransactionId parent, void *arg)
{
	if (event != SUBXACT_EVENT_ABORT_SUB)
		return;
	forget_cancels(subid);
	database_release();
}

/*
 * What was registered last is called first. So whoever tells the outside of a
 * commit in such a callback does it after an early one was made durable. It
 * may be called in a callback that was registered earlier than this one, as
 * at_pre_commit() was: the list is walked on behind that.
 */
static void
be_first_at_transaction_end(void)
{
	UnregisterXactCallback(at_transaction_end, NULL);
	RegisterXactCallback(at_transaction_end, NULL);
}

/* It comes after all callbacks but those of libraries that were loaded before this one. */
static void
at_pre_commit(XactEvent event, void *arg)
{
	if (event != XACT_EVENT_PRE_COMMIT)
		return;
	before_commit();
	if (early_commit_is_at_work())
		be_first_at_transaction_end();
}

void
wake_work_begins(const char *task_hub, const char *instance_id)
{
	early_commit_work_begins(instance_hash(task_hub, instance_id));
}

void
wake_work_ends(void)
{
	early_commit_work_ends();
}

void
wake_note_wait(const char *task_hub, const char *instance_id)
{
	early_commit_note_wait(instance_hash(task_hub, instance_id));
}

void
wake_init(void)
{
	RegisterXactCallback(at_pre_commit, NULL);
	RegisterXactCallback(at_transaction_end, NULL);
	RegisterSubXactCallback(at_subtransaction_end, NULL);
}

void
wake_hub_at_commit(const char *task_hub, int items)
{
	wake_hub_when_due_at_commit(task_hub, items, DT_NOBEGIN);
}

void
wake_hub_when_due_at_commit(const char *task_hub, int items, TimestampTz due)
{
	if (!shmem_attached() || wakes.n_hubs > MAX_HUBS)
		return;
	for (int i = 0; i < wakes.n_hubs; i++)
	{
		if (strcmp(hubs[i], task_hub) == 0)
		{
			hub_items[i] += items;
			hub_due[i] = Min(hub_due[i], due);
			return;
		}
	}
	if (wakes.n_hubs < MAX_HUBS)
	{
		strlcpy(hubs[wakes.n_hubs], task_hub, NAMEDATALEN);
		hub_items[wakes.n_hubs] = items;
		hub_due[wakes.n_hubs] = due;
	}
	wakes.n_hubs++;
}

void
wake_waiters_at_commit(const char *task_hub, const char *instance_id)
{
	if (!shmem_attached() || wakes.n_instances > MAX_INSTANCES)
		return;
	if (wakes.n_instances < MAX_INSTANCES)
		instances[wakes.n_instances] = instance_hash(task_hub, instance_id);
	wakes.n_instances++;
}

bool
await_more_work(TimestampTz until)
{
	static AwakeWaits waits;

	return until > clock_now() + AWAKE_FOR_MORE && clock_awake_is_due(&waits) &&
		clock_try_awake(&waits, shmem_has_no_news, AWAKE_FOR_MORE);
}

void
await_announced_work(TimestampTz until)
{
	if (!shmem_news_are_announced() || clock_wait_awake(shmem_news_are_announced, AWAKE_FOR))
		clock_reset_latch();
	else
	{
		TimestampTz now = clock_now();

		slot_be_deaf(now + DEAF_FOR);
		(void) clock_wait_until(Min(until, now + ASLEEP_FOR));
	}
	shmem_take_news();
}

bool
wake_await_soon(void)
{
	static AwakeWaits waits;

	if (!clock_awake_is_due(&waits) || !clock_try_awake(&waits, shmem_news_are_missing, AWAKE_FOR))
		return false;
	clock_reset_latch();
	shmem_take_news();
	return true;
}

bool
cancel_activities_at_commit(const char *task_hub, const char *instance_id)
{
	if (!shmem_attached())
		return true;
	if (wakes.n_cancelled == MAX_CANCELLED)
		return false;
	cancelled[wakes.n_cancelled] = instance_hash(task_hub, instance_id);
	cancelled_by[wakes.n_cancelled++] = GetCurrentSubTransactionId();
	return true;
}

void
activity_begins(const char *task_hub, const char *instance_id)
{
	worker_begin_cancellable(instance_hash(task_hub, instance_id));
}

void
activity_ends(void)
{
	worker_end_cancellable();
}

void
wake_launcher_at_commit(void)
{
	wakes.launcher = shmem_attached();
}

void
wake_rescan_at_commit(void)
{
	wakes.rescan = shmem_attached();
}

void
reset_database_at_commit(Oid dboid)
{
	if (!shmem_attached() || (wakes.n_reset > 0 && wakes.reset == dboid))
		return;
	wakes.n_reset++;
	wakes.reset = dboid;
	wakes.rescan = true;
}

void
wake_database_at_commit(void)
{
	if (shmem_attached() && shmem_has_coordinator(MyDatabaseId))
		wakes.n_hubs = MAX_HUBS + 1;
}

bool
wake_register_waiter(const char *task_hub, const char *instance_id)
{
	waiting = shmem_attached() && shmem_waiter_enter(instance_hash(task_hub, instance_id));
	return waiting;
}

void
wake_unregister_waiter(void)
{
	if (waiting)
		shmem_waiter_leave();
	waiting = false;
}

/*
 * What another session has prepared is committed or rolled back: it is not
 * known what it was, so wake everybody who may care.
 */
void
wake_after_prepared(void)
{
	if (!shmem_attached())
		return;
	if (shmem_has_coordinator(MyDatabaseId))
		shmem_wake_hub(NULL, DT_NOBEGIN);
	else if (OidIsValid(get_extension_oid("durable", true)))
		shmem_wake_launcher(MyDatabaseId);
	shmem_wake_waiters(0, InvalidXLogRecPtr);
}
