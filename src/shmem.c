/*
 * shmem.c
 *		The shared memory of durable: slots of processes, sessions that wait,
 *		databases held by DDL, and the latches of all of them.
 *
 * One lock guards everything. It is never held across anything that can
 * raise an error. Latches are set while holding it, shared at least: a
 * process leaves its slot under the exclusive lock before its PGPROC can
 * become another's.
 */
#include "postgres.h"

#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "port/atomics.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "storage/proc.h"
#include "storage/shmem.h"
#include "storage/spin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "clock.h"
#include "compat.h"
#include "durations.h"
#include "points.h"
#include "rests.h"
#include "settings.h"
#include "shmem.h"
#include "suspects.h"

/* What is kept of a work item's text, in bytes. */
#define ITEM_LEN 300

/* A process must have been there this long before it has to make room for another. */
#define FAIR_TENURE_MS 1000

#define REFUSAL_EPISODE_MS (5 * 60 * 1000)

/* Hubs that may wait for a slot they can hold, at a time; more than that wait without being known. */
#define MAX_WISHES 32

/* A wish is forgotten if nobody has renewed it for so long, which is longer than a worker sleeps. */
#define WISH_MS 6000

/* What has become free is kept for so long for the one it was offered to. */
#define OFFER_MS 2000

/* Hubs that are offered to workers of others, at a time. */
#define MAX_OFFERS 64

/* An offer is forgotten if nobody has renewed it for so long, which is longer than a coordinator waits to try again. */
#define OFFERED_MS 3000

/* A worker that makes room for a hub gets this long before another one does. */
#define LEAVING_MS 500

/* So much of a hub's max_starts_per_second comes together when it is not used. */
#define START_BURST_US (100 * INT64CONST(1000))

typedef struct ProcessSlot
{
	SlotInfo	info;
	slock_t		mutex;			/* guards the item, which changes too often for the lock */
	TimestampTz item_since;
	char		item[ITEM_LEN];
	uint64		cancellable;	/* the instance whose activity it runs, as a hash; 0: none. Under the lock */
	bool		cancelled;		/* it has been sent a SIGINT for that */
} ProcessSlot;

/* A hub has an activity to run that needs a slot to hold, and was refused one. */
typedef struct HoldWish
{
	Oid			dboid;			/* InvalidOid: free */
	char		hub[NAMEDATALEN];
	TimestampTz since;
	TimestampTz renewed_at;
	TimestampTz offered_at;		/* when a slot became free after that; 0: not yet */
	bool		is_expected;	/* of the hub whose slot that was: its worker asks next */
} HoldWish;

/* A hub that has work but no worker, and gets none for want of slots. */
typedef struct HubOffer
{
	Oid			dboid;			/* InvalidOid: free */
	Oid			owner;
	char		hub[NAMEDATALEN];
	int			index;
	int			max_starts_per_second;
	TimestampTz since;
	TimestampTz renewed_at;
	TimestampTz answered_at;	/* when a worker left to make room for it; 0: none has */
} HubOffer;

/* What any backend may have here, by the number of its PGPROC. */
typedef struct BackendEntry
{
	pg_atomic_uint32 news;		/* a News: why it was woken */
	Oid			held_database;	/* its DDL keeps our processes out of this database */
	Oid			waits_in;		/* it waits for an instance in this database */
	uint64		waits_for;		/* which, as a hash */
	pg_atomic_uint64 end_of_commit; /* in the WAL, of the last one that it waited for; written before the news */
} BackendEntry;

/*
 * What a process that was woken finds. Who wakes says that there is something
 * to look for. Who is about to commit, and will wake in a moment, may announce
 * that: so the process is awake when there is something.
 */
typedef enum News
{
	NEWS_NONE, NEWS_ANNOUNCED, NEWS_HERE
} News;

typedef struct SharedState
{
	int			launcher_procno;
	int			launcher_pid;	/* 0: not there */
	Tellings	tellings;
	TimestampTz last_refusal;	/* for want of a slot or under durable.max_workers, 0: never */
	pg_atomic_uint32 n_waiters; /* lets committers skip the search when nobody waits */
	HoldWish	wishes[MAX_WISHES];
	HubOffer	offers[MAX_OFFERS];
	int			n_offers;		/* entries in use; lets workers skip the search */
	int			n_slots;
	int			n_backends;
	/* n_slots of ProcessSlot, then n_backends of BackendEntry follow */
} SharedState;

#define SHARED_STATE_SIZE MAXALIGN(sizeof(SharedState))

static SharedState *shared = NULL;
static LWLock *lock = NULL;

static shmem_request_hook_type prev_shmem_request_hook = NULL;
static shmem_startup_hook_type prev_shmem_startup_hook = NULL;

/* Of this process. */
static ProcessSlot *my_slot = NULL;
static LeaveReason my_reason = LEFT_BY_ERROR;
static TimestampTz my_next_due = DT_NOEND;
static bool exit_callback_registered = false;

static void forget_backend(int code, Datum arg);
static void offer_slot(TimestampTz now);

PG_FUNCTION_INFO_V1(durable_workers);
PG_FUNCTION_INFO_V1(durable_preloaded);

/* ----------------------------------------------------------------
 * Set-up
 * ----------------------------------------------------------------
 */

/* As many slots as the server can run background workers, and as many again for those read late. */
static int
wanted_slots(void)
{
	return 2 * max_worker_processes;
}

static Size
shared_size(void)
{
	Size		size = SHARED_STATE_SIZE;

	size = add_size(size, mul_size(wanted_slots(), MAXALIGN(sizeof(ProcessSlot))));
	return add_size(size, mul_size(MaxBackends, sizeof(BackendEntry)));
}

static ProcessSlot *
slot_at(int number)
{
	Assert(number >= 0 && number < shared->n_slots);
	return (ProcessSlot *) ((char *) shared + SHARED_STATE_SIZE +
							number * MAXALIGN(sizeof(ProcessSlot)));
}

static BackendEntry *
backend_at(int procno)
{
	Assert(procno >= 0 && procno < shared->n_backends);
	return (BackendEntry *) ((char *) shared + SHARED_STATE_SIZE +
							 shared->n_slots * MAXALIGN(sizeof(ProcessSlot))) + procno;
}

static void
request_shmem(void)
{
	if (prev_shmem_request_hook)
		prev_shmem_request_hook();
	RequestAddinShmemSpace(shared_size());
	RequestAddinShmemSpace(durations_shared_size());
	RequestAddinShmemSpace(rests_shared_size());
	RequestNamedLWLockTranche("durable", 3);
}

static void
initialize_shared_state(void)
{
	memset(shared, 0, shared_size());
	shared->n_slots = wanted_slots();
	shared->n_backends = MaxBackends;
	shared->tellings.rescan = true;
	pg_atomic_init_u32(&shared->n_waiters, 0);
	for (int i = 0; i < shared->n_slots; i++)
	{
		slot_at(i)->info.ref.number = i;
		SpinLockInit(&slot_at(i)->mutex);
	}
	for (int i = 0; i < shared->n_backends; i++)
	{
		pg_atomic_init_u32(&backend_at(i)->news, NEWS_NONE);
		pg_atomic_init_u64(&backend_at(i)->end_of_commit, InvalidXLogRecPtr);
	}
}

/*
 * Creates or finds the shared memory. Runs again after a crash of a backend,
 * which is when the suspects of the crash are counted.
 */
static void
startup_shmem(void)
{
	bool		found;

	if (prev_shmem_startup_hook)
		prev_shmem_startup_hook();

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	shared = ShmemInitStruct("durable", shared_size(), &found);
	lock = &GetNamedLWLockTranche("durable")->lock;
	if (!found)
		initialize_shared_state();
	durations_attach(&GetNamedLWLockTranche("durable")[1].lock);
	rests_attach(&GetNamedLWLockTranche("durable")[2].lock);
	LWLockRelease(AddinShmemInitLock);

	if (!IsUnderPostmaster)
		suspects_start(shared->n_slots);
}

void
shmem_init(void)
{
	prev_shmem_request_hook = shmem_request_hook;
	shmem_request_hook = request_shmem;
	prev_shmem_startup_hook = shmem_startup_hook;
	shmem_startup_hook = startup_shmem;
}

bool
shmem_attached(void)
{
	return shared != NULL;
}

/* ----------------------------------------------------------------
 * Finding slots; the caller holds the lock
 * ----------------------------------------------------------------
 */

/* Is there a process whose latch can be set? */
static bool
is_present(const SlotInfo *info)
{
	return info->state == SLOT_CONNECTING || info->state == SLOT_BUSY ||
		info->state == SLOT_IDLE;
}

/* Is there a process, or will there be one? */
static bool
is_taken(const SlotInfo *info)
{
	return info->state == SLOT_STARTING || is_present(info);
}

static bool
is_worker_of(const SlotInfo *info, Oid dboid, const char *hub)
{
	return info->kind == PROCESS_WORKER && info->dboid == dboid &&
		(hub == NULL || strcmp(info->hub, hub) == 0);
}

bool
slot_is_held(const SlotInfo *info, TimestampTz now)
{
	return info->holds ||
		(info->activity != 0 && TimestampDifferenceExceeds(info->activity_since, now, SHORT_ACTIVITY_MS));
}

static ProcessSlot *
find_slot(const SlotRef *ref)
{
	ProcessSlot *slot = slot_at(ref->number);

	return slot->info.ref.generation == ref->generation ? slot : NULL;
}

static ProcessSlot *
find_coordinator(Oid dboid)
{
	for (int i = 0; i < shared->n_slots; i++)
	{
		SlotInfo   *info = &slot_at(i)->info;

		if (info->kind == PROCESS_COORDINATOR && info->dboid == dboid && is_taken(info))
			return slot_at(i);
	}
	return NULL;
}

static void
set_latch_of(int procno)
{
	pg_atomic_write_u32(&backend_at(procno)->news, NEWS_HERE);
	SetLatch(&GetPGProcByNumber(procno)->procLatch);
}

/* Wakes a process for what it will be woken for in a moment. */
static void
announce_to(int procno)
{
	uint32		none = NEWS_NONE;

	if (pg_atomic_compare_exchange_u32(&backend_at(procno)->news, &none, NEWS_ANNOUNCED))
		SetLatch(&GetPGProcByNumber(procno)->procLatch);
}

static void
wake_slot(ProcessSlot *slot)
{
	if (is_present(&slot->info))
		set_latch_of(slot->info.procno);
}

/* Asks a process to leave when it is through with what it has in hand. */
static void
ask_to_leave(ProcessSlot *slot)
{
	slot->info.retire = true;
	slot->info.retire_asked_at = GetCurrentTimestamp();
	wake_slot(slot);
}

static void
wake_launcher(void)
{
	if (shared->launcher_pid != 0)
		set_latch_of(shared->launcher_procno);
}

static bool
is_held(Oid dboid)
{
	for (int i = 0; i < shared->n_backends; i++)
	{
		if (backend_at(i)->held_database == dboid)
			return true;
	}
	return false;
}

/* ----------------------------------------------------------------
 * The life of a slot
 * ----------------------------------------------------------------
 */

/* Would "like" be the second process in its place? */
static bool
place_is_taken(const SlotInfo *like)
{
	if (like->kind == PROCESS_COORDINATOR)
		return find_coordinator(like->dboid) != NULL;
	for (int i = 0; i < shared->n_slots; i++)
	{
		SlotInfo   *info = &slot_at(i)->info;

		if (is_worker_of(info, like->dboid, like->hub) && is_taken(info) &&
			info->index == like->index)
			return true;
	}
	return false;
}

static int
count_workers(void)
{
	int			n = 0;

	for (int i = 0; i < shared->n_slots; i++)
	{
		SlotInfo   *info = &slot_at(i)->info;

		if (info->kind == PROCESS_WORKER && is_taken(info))
			n++;
	}
	return n;
}

static ProcessSlot *
find_free_slot(void)
{
	for (int i = 0; i < shared->n_slots; i++)
	{
		if (slot_at(i)->info.state == SLOT_FREE)
			return slot_at(i);
	}
	return NULL;
}

/* Until when the starts of a hub are used up (see "start rates"); slots that are free remember it. */
static TimestampTz
starts_used_until(Oid dboid, const char *hub)
{
	TimestampTz until = 0;

	for (int i = 0; i < shared->n_slots; i++)
		if (is_worker_of(&slot_at(i)->info, dboid, hub))
			until = Max(until, slot_at(i)->info.starts_used_until);
	return until;
}

static void
fill_slot(ProcessSlot *slot, const SlotInfo *like)
{
	SlotRef		ref = slot->info.ref;
	TimestampTz used_until = like->max_starts_per_second > 0 ? starts_used_until(like->dboid, like->hub) : 0;

	memset(&slot->info, 0, sizeof(SlotInfo));
	ref.generation++;
	slot->info.ref = ref;
	slot->info.kind = like->kind;
	slot->info.dboid = like->dboid;
	slot->info.owner = like->owner;
	strlcpy(slot->info.hub, like->hub, NAMEDATALEN);
	slot->info.index = like->index;
	slot->info.looks_at = DT_NOEND;
	slot->info.look_by = DT_NOEND;
	slot->info.max_starts_per_second = like->max_starts_per_second;
	slot->info.starts_used_until = used_until;
	slot->info.state = SLOT_STARTING;
	slot->info.started_at = slot->info.state_since = GetCurrentTimestamp();
	slot->info.next_due = DT_NOEND;
	slot->item[0] = '\0';
}

ClaimResult
slot_claim(const SlotInfo *like, SlotRef *ref)
{
	ClaimResult result = CLAIM_OK;
	ProcessSlot *slot = NULL;

	LWLockAcquire(lock, LW_EXCLUSIVE);
	if (is_held(like->dboid))
		result = CLAIM_HELD;
	else if (place_is_taken(like))
		result = CLAIM_TAKEN;
	else if (like->kind == PROCESS_WORKER && count_workers() >= setting_max_workers)
		result = CLAIM_MAX_WORKERS;
	else if ((slot = find_free_slot()) == NULL)
		result = CLAIM_NO_SLOT;
	else
	{
		fill_slot(slot, like);
		*ref = slot->info.ref;
	}
	LWLockRelease(lock);
	return result;
}

void
slot_free(const SlotRef *ref)
{
	ProcessSlot *slot;

	LWLockAcquire(lock, LW_EXCLUSIVE);
	slot = find_slot(ref);
	if (slot != NULL && !is_present(&slot->info))
	{
		slot->info.state = SLOT_FREE;
		slot->info.ref.generation++;
	}
	LWLockRelease(lock);
}

bool
slot_expire(const SlotRef *ref)
{
	ProcessSlot *slot;
	bool		expired;

	LWLockAcquire(lock, LW_EXCLUSIVE);
	slot = find_slot(ref);
	expired = (slot != NULL && slot->info.state == SLOT_STARTING);
	if (expired)
	{
		slot->info.state = SLOT_FREE;
		slot->info.ref.generation++;
	}
	LWLockRelease(lock);
	return expired;
}

/* Those who want a slot try again when one becomes free. */
static void
wake_the_starving(void)
{
	for (int i = 0; i < shared->n_slots; i++)
	{
		if (slot_at(i)->info.starving)
			wake_slot(slot_at(i));
	}
}

/* Tells who looks after this process that it has gone. */
static void
wake_who_buries(const SlotInfo *info)
{
	ProcessSlot *coordinator = NULL;

	if (info->kind == PROCESS_WORKER)
		coordinator = find_coordinator(info->dboid);
	if (coordinator == NULL)
		wake_launcher();
	else
	{
		coordinator->info.look_now = true;
		wake_slot(coordinator);
	}
	wake_the_starving();
}

/*
 * Runs when this process exits in an orderly way, be it by FATAL. A work item
 * still in hand then is not the sign of a crash; who reads the slot decides
 * what it means.
 */
static void
leave_slot(int code, Datum arg)
{
	SlotInfo   *info = &my_slot->info;

	DURABLE_POINT("process.exit");
	suspect_hand_left(info->ref.number);
	LWLockAcquire(lock, LW_EXCLUSIVE);
	if (info->pid == MyProcPid)
	{
		info->reason = my_reason;
		info->next_due = my_next_due;
		info->state = SLOT_LEFT;
		info->state_since = GetCurrentTimestamp();
		info->starving = false;
		info->pid = 0;
		if (slot_is_held(info, info->state_since))
			offer_slot(info->state_since);
		wake_who_buries(info);
	}
	LWLockRelease(lock);
	DURABLE_POINT("process.left");
}

bool
slot_attach(const SlotRef *ref)
{
	ProcessSlot *slot;
	bool		attached;

	LWLockAcquire(lock, LW_EXCLUSIVE);
	slot = find_slot(ref);
	attached = (slot != NULL && slot->info.state == SLOT_STARTING &&
				!is_held(slot->info.dboid));
	if (attached)
	{
		slot->info.procno = DURABLE_PROC_NUMBER;
		slot->info.pid = MyProcPid;
		slot->info.state = SLOT_CONNECTING;
		my_slot = slot;
	}
	LWLockRelease(lock);

	if (attached)
	{
		suspect_use_hand(ref->number);
		before_shmem_exit(leave_slot, 0);
	}
	return attached;
}

const SlotInfo *
slot_mine(void)
{
	return my_slot == NULL ? NULL : &my_slot->info;
}

/* The coordinator learns that it has to watch; the launcher that a coordinator is well. */
static void
wake_who_watches(const SlotInfo *info, SlotState old_state)
{
	ProcessSlot *coordinator;

	if (info->kind == PROCESS_COORDINATOR)
	{
		if (old_state == SLOT_CONNECTING)
			wake_launcher();
		return;
	}
	coordinator = find_coordinator(info->dboid);
	if (info->state == SLOT_BUSY && coordinator != NULL && !coordinator->info.watching)
		wake_slot(coordinator);
}

static void
set_state(SlotState state, TimestampTz looks_at)
{
	SlotInfo   *info = &my_slot->info;
	SlotState	old_state = info->state;

	if (state == SLOT_IDLE && state != old_state)
	{
		SpinLockAcquire(&my_slot->mutex);
		my_slot->item[0] = '\0';
		SpinLockRelease(&my_slot->mutex);
	}
	LWLockAcquire(lock, LW_EXCLUSIVE);
	info->looks_at = looks_at;
	if (state != old_state)
	{
		info->state = state;
		info->state_since = GetCurrentTimestamp();
		info->connected = true;
		wake_who_watches(info, old_state);
	}
	LWLockRelease(lock);
}

void
slot_set_state(SlotState state)
{
	if (state != my_slot->info.state)
		set_state(state, DT_NOEND);
}

void
slot_sleep(SlotState state, TimestampTz looks_at)
{
	set_state(state, looks_at);
}

void
slot_wake_up(void)
{
	set_state(my_slot->info.state, DT_NOEND);
}

void
slot_add_items_done(int64 done)
{
	my_slot->info.items_done += done;
}

void
slot_leave(LeaveReason reason, TimestampTz next_due)
{
	my_reason = reason;
	my_next_due = next_due;
	DURABLE_POINT("process.leave");
	proc_exit(0);
}

int
slots_count(void)
{
	return shared->n_slots;
}

int
slots_read(SlotInfo **slots)
{
	int			n = 0;

	*slots = palloc(shared->n_slots * sizeof(SlotInfo));
	LWLockAcquire(lock, LW_SHARED);
	for (int i = 0; i < shared->n_slots; i++)
	{
		if (slot_at(i)->info.state != SLOT_FREE)
			(*slots)[n++] = slot_at(i)->info;
	}
	LWLockRelease(lock);
	return n;
}

/* Writes "kind name (instance)", cut at a whole character. */
static void
format_item(char *item, const char *kind, const char *instance_id, const char *name)
{
	char		text[2 * ITEM_LEN];
	int			len;

	snprintf(text, sizeof(text), "%s %s (%s)", kind, name ? name : "?",
			 instance_id ? instance_id : "?");
	len = pg_mbcliplen(text, strlen(text), ITEM_LEN - 1);
	memcpy(item, text, len);
	item[len] = '\0';
}

void
worker_report_item(const char *kind, const char *instance_id, const char *name)
{
	char		item[ITEM_LEN];
	TimestampTz now;

	if (my_slot == NULL)
		return;
	format_item(item, kind, instance_id, name);
	now = GetCurrentTimestamp();

	SpinLockAcquire(&my_slot->mutex);
	strcpy(my_slot->item, item);
	my_slot->item_since = now;
	SpinLockRelease(&my_slot->mutex);

	pgstat_report_activity(STATE_RUNNING, item);
}

void
worker_begin_cancellable(uint64 instance_hash)
{
	if (my_slot == NULL)
		return;
	LWLockAcquire(lock, LW_EXCLUSIVE);
	my_slot->cancellable = instance_hash;
	my_slot->cancelled = false;
	LWLockRelease(lock);
}

void
worker_end_cancellable(void)
{
	bool		cancelled;

	if (my_slot == NULL || my_slot->cancellable == 0)
		return;
	LWLockAcquire(lock, LW_EXCLUSIVE);
	cancelled = my_slot->cancelled;
	my_slot->cancellable = 0;
	LWLockRelease(lock);
	if (!cancelled)
		return;

	/* The signal was sent before we had the lock: it is delivered at the latest when a system call returns. */
	(void) getppid();
	QueryCancelPending = false;
}

void
shmem_cancel_activities(uint64 instance_hash)
{
	if (!shmem_attached())
		return;
	LWLockAcquire(lock, LW_EXCLUSIVE);
	for (int i = 0; i < shared->n_slots; i++)
	{
		ProcessSlot *slot = slot_at(i);

		if (!is_worker_of(&slot->info, MyDatabaseId, NULL) || slot->info.pid == 0 ||
			slot->cancellable != instance_hash)
			continue;
		slot->cancelled = true;
		(void) kill(slot->info.pid, SIGINT);
	}
	LWLockRelease(lock);
}

/* ----------------------------------------------------------------
 * Held slots: see shmem.h
 * ----------------------------------------------------------------
 */

/* Workers there can be: the server may have room for fewer than durable.max_workers. */
static int
possible_workers(void)
{
	int			others = 1;		/* the launcher */

	for (int i = 0; i < shared->n_slots; i++)
	{
		SlotInfo   *info = &slot_at(i)->info;

		if (info->kind == PROCESS_COORDINATOR && is_taken(info))
			others++;
	}
	return Min(setting_max_workers, max_worker_processes - others);
}

/* Slots that are held by a hub, or by all (hub NULL). */
static int
count_held(Oid dboid, const char *hub, TimestampTz now)
{
	int			n = 0;

	for (int i = 0; i < shared->n_slots; i++)
	{
		SlotInfo   *info = &slot_at(i)->info;

		if (info->kind == PROCESS_WORKER && is_present(info) && slot_is_held(info, now) &&
			(hub == NULL || is_worker_of(info, dboid, hub)))
			n++;
	}
	return n;
}

/* The hub's wish; without one a free or forgotten entry, NULL if there is none. */
static HoldWish *
wish_entry(Oid dboid, const char *hub, TimestampTz now)
{
	HoldWish   *entry = NULL;

	for (int i = 0; i < MAX_WISHES; i++)
	{
		HoldWish   *wish = &shared->wishes[i];

		if (OidIsValid(wish->dboid) && TimestampDifferenceExceeds(wish->renewed_at, now, WISH_MS))
			wish->dboid = InvalidOid;
		if (wish->dboid == dboid && strcmp(wish->hub, hub) == 0)
			return wish;
		if (!OidIsValid(wish->dboid))
			entry = wish;
	}
	return entry;
}

static void
note_wish(Oid dboid, const char *hub, TimestampTz now)
{
	HoldWish   *wish = wish_entry(dboid, hub, now);

	if (wish == NULL)
		return;
	if (!OidIsValid(wish->dboid))
	{
		strlcpy(wish->hub, hub, NAMEDATALEN);
		wish->since = now;
	}
	wish->dboid = dboid;
	wish->renewed_at = now;
	wish->offered_at = 0;
	wish->is_expected = false;
}

/*
 * A hub whose slot becomes free has mostly more to run, and its worker asks for
 * that next. Until then nobody shall overtake it whose hub holds more.
 */
static void
expect_wish(Oid dboid, const char *hub, TimestampTz now)
{
	HoldWish   *wish = wish_entry(dboid, hub, now);

	if (wish == NULL || OidIsValid(wish->dboid))
		return;
	note_wish(dboid, hub, now);
	wish->offered_at = now;
	wish->is_expected = true;
}

static void
forget_wish(Oid dboid, const char *hub, TimestampTz now)
{
	HoldWish   *wish = wish_entry(dboid, hub, now);

	if (wish != NULL)
		wish->dboid = InvalidOid;
}

/* It was expected in vain: others were refused for its sake. */
static void
give_up_expected_wish(Oid dboid, const char *hub, TimestampTz now)
{
	HoldWish   *wish = wish_entry(dboid, hub, now);

	if (wish == NULL || !OidIsValid(wish->dboid) || !wish->is_expected)
		return;
	wish->dboid = InvalidOid;
	offer_slot(now);
}

/* Is the wish one that a hub with so many slots, which waits since then, lets go first? */
static bool
goes_first(const HoldWish *wish, int held, TimestampTz since, TimestampTz now)
{
	int			held_there;

	if (TimestampDifferenceExceeds(wish->renewed_at, now, WISH_MS) ||
		(wish->offered_at != 0 && TimestampDifferenceExceeds(wish->offered_at, now, OFFER_MS)))
		return false;
	held_there = count_held(wish->dboid, wish->hub, now);
	return held_there < held || (held_there == held && wish->since < since);
}

/*
 * One slot is never held, and a hub holds at most all but two: so there is
 * one for the turns and short activities of all hubs, and one for what
 * another hub wants to hold. Of those who want one the hub that holds
 * fewest is next, then the one that waits for longest.
 */
static bool
may_hold(Oid dboid, const char *hub, TimestampTz now)
{
	int			possible = possible_workers();
	int			held = count_held(dboid, hub, now);
	TimestampTz since = now;

	if (count_held(InvalidOid, NULL, now) >= Max(1, possible - 1) || held >= Max(1, possible - 2))
		return false;
	for (int i = 0; i < MAX_WISHES; i++)
	{
		HoldWish   *wish = &shared->wishes[i];

		if (wish->dboid == dboid && strcmp(wish->hub, hub) == 0)
			since = wish->since;
	}
	for (int i = 0; i < MAX_WISHES; i++)
	{
		HoldWish   *wish = &shared->wishes[i];

		if (OidIsValid(wish->dboid) && (wish->dboid != dboid || strcmp(wish->hub, hub) != 0) &&
			goes_first(wish, held, since, now))
			return false;
	}
	return true;
}

/* Does a worker run an activity now that was thought to be short? */
static bool
overruns_somewhere(uint64 activity, TimestampTz now)
{
	for (int i = 0; i < shared->n_slots; i++)
	{
		SlotInfo   *info = &slot_at(i)->info;

		if (is_present(info) && info->activity == activity && slot_is_held(info, now))
			return true;
	}
	return false;
}

bool
worker_begin_activity(const char *name)
{
	SlotInfo   *info;
	uint64		activity;
	bool		known_short;
	bool		granted;
	TimestampTz now;

	if (my_slot == NULL)
		return true;
	info = &my_slot->info;
	activity = duration_key(info->hub, name);
	known_short = duration_is_short(info->hub, name);
	now = GetCurrentTimestamp();
	LWLockAcquire(lock, LW_EXCLUSIVE);
	known_short = known_short && !overruns_somewhere(activity, now);
	granted = known_short || may_hold(info->dboid, info->hub, now);
	if (granted)
	{
		info->activity = activity;
		info->activity_since = now;
		info->holds = !known_short;
	}
	if (info->holds)
		forget_wish(info->dboid, info->hub, now);
	else if (!granted)
		note_wish(info->dboid, info->hub, now);
	else
		give_up_expected_wish(info->dboid, info->hub, now);
	LWLockRelease(lock);
	return granted;
}

/* Those who want to hold a slot look again; a hub without a worker gets one for it. */
static void
offer_slot(TimestampTz now)
{
	for (int i = 0; i < MAX_WISHES; i++)
	{
		HoldWish   *wish = &shared->wishes[i];
		ProcessSlot *coordinator;

		if (!OidIsValid(wish->dboid))
			continue;
		if (wish->offered_at == 0)
			wish->offered_at = now;
		for (int j = 0; j < shared->n_slots; j++)
		{
			if (slot_at(j) != my_slot && is_worker_of(&slot_at(j)->info, wish->dboid, wish->hub))
				wake_slot(slot_at(j));
		}
		coordinator = find_coordinator(wish->dboid);
		if (coordinator == NULL)
			continue;
		coordinator->info.look_now = true;
		wake_slot(coordinator);
	}
}

void
worker_end_activity(void)
{
	TimestampTz now;

	if (my_slot == NULL || my_slot->info.activity == 0)
		return;
	now = GetCurrentTimestamp();
	LWLockAcquire(lock, LW_EXCLUSIVE);
	if (slot_is_held(&my_slot->info, now))
	{
		offer_slot(now);
		expect_wish(my_slot->info.dboid, my_slot->info.hub, now);
	}
	my_slot->info.activity = 0;
	my_slot->info.holds = false;
	LWLockRelease(lock);
}

void
worker_wants_no_hold(void)
{
	TimestampTz now;

	if (my_slot == NULL)
		return;
	now = GetCurrentTimestamp();
	LWLockAcquire(lock, LW_EXCLUSIVE);
	give_up_expected_wish(my_slot->info.dboid, my_slot->info.hub, now);
	forget_wish(my_slot->info.dboid, my_slot->info.hub, now);
	LWLockRelease(lock);
}

bool
worker_is_asked_to_leave(void)
{
	return my_slot != NULL && my_slot->info.retire;
}

TimestampTz
coordinator_hold_wish(const char *hub)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz until = 0;
	HoldWish   *wish;

	LWLockAcquire(lock, LW_EXCLUSIVE);
	wish = wish_entry(MyDatabaseId, hub, now);
	if (wish != NULL && OidIsValid(wish->dboid) && !may_hold(MyDatabaseId, hub, now))
		until = TimestampTzPlusMilliseconds(wish->renewed_at, WISH_MS);
	LWLockRelease(lock);
	return until;
}

/* ----------------------------------------------------------------
 * Start rates: a token bucket a hub, kept as the time until which its starts
 * are used up, the same in all slots of its workers. The callers of the first
 * functions hold the lock.
 * ----------------------------------------------------------------
 */

static void
set_starts_used_until(Oid dboid, const char *hub, TimestampTz until)
{
	for (int i = 0; i < shared->n_slots; i++)
		if (is_worker_of(&slot_at(i)->info, dboid, hub))
			slot_at(i)->info.starts_used_until = until;
}

/* The time one start takes of a second, in microseconds, rounded up: never more than the rate. */
static int64
start_interval(int max_starts_per_second)
{
	return (USECS_PER_SEC + max_starts_per_second - 1) / max_starts_per_second;
}

/* What was not used before this time is lost. */
static TimestampTz
burst_begin(int64 interval, TimestampTz now)
{
	return now - Max(interval, START_BURST_US);
}

int
worker_take_starts(int wanted)
{
	int64		interval;
	TimestampTz now;
	TimestampTz from;
	int			n;

	if (my_slot == NULL || my_slot->info.max_starts_per_second == 0)
		return UNLIMITED_STARTS;
	interval = start_interval(my_slot->info.max_starts_per_second);
	now = GetCurrentTimestamp();
	LWLockAcquire(lock, LW_EXCLUSIVE);
	from = Max(starts_used_until(my_slot->info.dboid, my_slot->info.hub), burst_begin(interval, now));
	n = from > now ? 0 : (int) Min((now - from) / interval, wanted);
	set_starts_used_until(my_slot->info.dboid, my_slot->info.hub, from + n * interval);
	LWLockRelease(lock);
	return n;
}

void
worker_give_back_starts(int n)
{
	int64		interval;

	if (my_slot == NULL || my_slot->info.max_starts_per_second == 0 || n == 0)
		return;
	interval = start_interval(my_slot->info.max_starts_per_second);
	LWLockAcquire(lock, LW_EXCLUSIVE);
	set_starts_used_until(my_slot->info.dboid, my_slot->info.hub,
						  starts_used_until(my_slot->info.dboid, my_slot->info.hub) - n * interval);
	LWLockRelease(lock);
}

static TimestampTz
next_start(Oid dboid, const char *hub, int max_starts_per_second, int64 gather)
{
	int64		interval = start_interval(max_starts_per_second);
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz from;

	LWLockAcquire(lock, LW_SHARED);
	from = Max(starts_used_until(dboid, hub), burst_begin(interval, now));
	LWLockRelease(lock);
	return from + interval <= now ? DT_NOBEGIN : from + Max(interval, gather);
}

TimestampTz
worker_next_start(void)
{
	if (my_slot == NULL || my_slot->info.max_starts_per_second == 0)
		return DT_NOBEGIN;
	return next_start(my_slot->info.dboid, my_slot->info.hub, my_slot->info.max_starts_per_second, START_BURST_US / 2);
}

TimestampTz
coordinator_next_start(const char *hub, int max_starts_per_second)
{
	return max_starts_per_second == 0 ? DT_NOBEGIN : next_start(MyDatabaseId, hub, max_starts_per_second, 0);
}

void
slot_set_start_rate(const SlotRef *ref, int max_starts_per_second)
{
	ProcessSlot *slot;

	LWLockAcquire(lock, LW_EXCLUSIVE);
	slot = find_slot(ref);
	if (slot != NULL)
	{
		slot->info.max_starts_per_second = max_starts_per_second;
		wake_slot(slot);
	}
	LWLockRelease(lock);
}

/* ----------------------------------------------------------------
 * Coordinators
 * ----------------------------------------------------------------
 */

/* Under one lock with the note, so that a worker which begins later sees that nobody watches. */
bool
coordinator_watch_workers(void)
{
	bool		busy = false;

	LWLockAcquire(lock, LW_EXCLUSIVE);
	for (int i = 0; i < shared->n_slots && !busy; i++)
	{
		SlotInfo   *info = &slot_at(i)->info;

		busy = is_worker_of(info, MyDatabaseId, NULL) && is_taken(info) &&
			info->state != SLOT_IDLE;
	}
	my_slot->info.watching = busy;
	LWLockRelease(lock);
	return busy;
}

bool
coordinator_take_look_now(void)
{
	bool		look_now;

	LWLockAcquire(lock, LW_EXCLUSIVE);
	look_now = my_slot->info.look_now || my_slot->info.look_by <= GetCurrentTimestamp();
	my_slot->info.look_now = false;
	if (look_now)
		my_slot->info.look_by = DT_NOEND;
	LWLockRelease(lock);
	return look_now;
}

TimestampTz
coordinator_look_by(void)
{
	TimestampTz look_by;

	LWLockAcquire(lock, LW_SHARED);
	look_by = my_slot->info.look_by;
	LWLockRelease(lock);
	return look_by;
}

void
coordinator_set_starving(bool starving)
{
	if (my_slot->info.starving == starving)
		return;
	LWLockAcquire(lock, LW_EXCLUSIVE);
	my_slot->info.starving = starving;
	LWLockRelease(lock);
}

bool
coordinator_others_starve(void)
{
	bool		starve = false;

	LWLockAcquire(lock, LW_SHARED);
	for (int i = 0; i < shared->n_slots && !starve; i++)
		starve = slot_at(i)->info.starving && slot_at(i) != my_slot;
	LWLockRelease(lock);
	return starve;
}

/*
 * How well can this process be spared? 0: not at all, as one in an activity
 * that may take long. Idle ones before busy ones, then a hub's second worker
 * before its only one.
 */
static int
spare_rank(const SlotInfo *info, bool busy_ones_too, TimestampTz now)
{
	if (!is_present(info) || info->retire)
		return 0;
	if (info->state == SLOT_IDLE)
		return 3;
	if (!busy_ones_too || info->state != SLOT_BUSY || slot_is_held(info, now) ||
		!TimestampDifferenceExceeds(info->started_at, now, FAIR_TENURE_MS))
		return 0;
	return (info->kind == PROCESS_WORKER && info->index > 0) ? 2 : 1;
}

/* Will it make room? One that has been asked long ago is in a long work item: ask another. */
static bool
is_leaving(const SlotInfo *info, TimestampTz now)
{
	return is_present(info) && info->retire &&
		!TimestampDifferenceExceeds(info->retire_asked_at, now, 2 * FAIR_TENURE_MS);
}

/* Of two with the same rank the one that has been there (idle: idle) for longer is asked. */
static bool
is_better_spared(const SlotInfo *a, int rank_a, const SlotInfo *b, int rank_b)
{
	if (rank_a != rank_b)
		return rank_a > rank_b;
	if (rank_a == 3)
		return a->state_since < b->state_since;
	return a->started_at < b->started_at;
}

/* May the caller, who serves dboid and hub, ask this process? */
static bool
may_be_asked(const SlotInfo *info, bool workers, bool coordinators, Oid dboid, const char *hub)
{
	if (info->kind == PROCESS_COORDINATOR)
		return coordinators && info->dboid != dboid;
	return workers && !is_worker_of(info, dboid, hub);
}

static bool
ask_one_to_leave(bool workers, bool coordinators, Oid dboid, const char *hub, TimestampTz since)
{
	TimestampTz now = GetCurrentTimestamp();
	bool		busy_ones_too = TimestampDifferenceExceeds(since, now, FAIR_TENURE_MS);
	ProcessSlot *best = NULL;
	int			best_rank = 0;
	bool		leaving = false;

	LWLockAcquire(lock, LW_EXCLUSIVE);
	for (int i = 0; i < shared->n_slots && !leaving; i++)
	{
		SlotInfo   *info = &slot_at(i)->info;
		int			rank = spare_rank(info, busy_ones_too, now);

		if (!may_be_asked(info, workers, coordinators, dboid, hub))
			continue;
		leaving = is_leaving(info, now);
		if (rank > 0 && (best == NULL || is_better_spared(info, rank, &best->info, best_rank)))
		{
			best = slot_at(i);
			best_rank = rank;
		}
	}
	if (!leaving && best != NULL)
	{
		ask_to_leave(best);
		leaving = true;
	}
	LWLockRelease(lock);
	return leaving;
}

/* Where durable.max_workers is what stops us only a worker helps, else an idle coordinator does as well. */
bool
make_room_for_worker(Oid dboid, const char *hub, TimestampTz since, bool max_workers_reached)
{
	if (ask_one_to_leave(true, false, dboid, hub, DT_NOEND))
		return true;
	if (!max_workers_reached && ask_one_to_leave(false, true, dboid, hub, DT_NOEND))
		return true;
	return ask_one_to_leave(true, false, dboid, hub, since);
}

void
make_room_for_helper(Oid dboid, const char *hub)
{
	(void) ask_one_to_leave(true, false, dboid, hub, DT_NOEND);
}

bool
make_room_for_coordinator(TimestampTz since)
{
	return ask_one_to_leave(false, true, InvalidOid, NULL, since);
}

/* Short refusals, until an idle process has made room, are nobody's concern. */
bool
refusal_is_news(TimestampTz since)
{
	TimestampTz now = GetCurrentTimestamp();
	bool		is_news;

	if (!TimestampDifferenceExceeds(since, now, FAIR_TENURE_MS))
		return false;
	LWLockAcquire(lock, LW_EXCLUSIVE);
	is_news = TimestampDifferenceExceeds(shared->last_refusal, now, REFUSAL_EPISODE_MS);
	shared->last_refusal = now;
	LWLockRelease(lock);
	return is_news;
}

void
slot_retire(const SlotRef *ref)
{
	ProcessSlot *slot;

	LWLockAcquire(lock, LW_EXCLUSIVE);
	slot = find_slot(ref);
	if (slot != NULL && is_present(&slot->info))
		ask_to_leave(slot);
	LWLockRelease(lock);
}

void
slots_retire_database(Oid dboid)
{
	LWLockAcquire(lock, LW_EXCLUSIVE);
	for (int i = 0; i < shared->n_slots; i++)
	{
		if ((!OidIsValid(dboid) || slot_at(i)->info.dboid == dboid) && is_present(&slot_at(i)->info))
			ask_to_leave(slot_at(i));
	}
	LWLockRelease(lock);
}

/* ----------------------------------------------------------------
 * Offers of hubs: see shmem.h. The callers of the first functions hold the
 * lock.
 * ----------------------------------------------------------------
 */

static void
forget_offer(HubOffer *offer)
{
	offer->dboid = InvalidOid;
	shared->n_offers--;
}

/* The hub's offer, else a free entry; NULL if there is none. */
static HubOffer *
offer_entry(Oid dboid, const char *hub, TimestampTz now)
{
	HubOffer   *entry = NULL;

	for (int i = 0; i < MAX_OFFERS; i++)
	{
		HubOffer   *offer = &shared->offers[i];

		if (OidIsValid(offer->dboid) && TimestampDifferenceExceeds(offer->renewed_at, now, OFFERED_MS))
			forget_offer(offer);
		if (offer->dboid == dboid && strcmp(offer->hub, hub) == 0)
			return offer;
		if (!OidIsValid(offer->dboid))
			entry = offer;
	}
	return entry;
}

/*
 * Only one whose hub has no start rate: the slot is what remembers how much of
 * it is used up.
 */
static bool
may_change_hub(const SlotInfo *info)
{
	return info->kind == PROCESS_WORKER && is_present(info) && !info->retire && info->max_starts_per_second == 0;
}

/* The worker that has been idle for longest of those that are connected as the offer says. */
static ProcessSlot *
find_idle_worker_for(const HubOffer *offer)
{
	ProcessSlot *best = NULL;

	for (int i = 0; i < shared->n_slots; i++)
	{
		SlotInfo   *info = &slot_at(i)->info;

		if (may_change_hub(info) && info->state == SLOT_IDLE &&
			info->dboid == offer->dboid && info->owner == offer->owner &&
			(best == NULL || info->state_since < best->info.state_since))
			best = slot_at(i);
	}
	return best;
}

bool
coordinator_offer_hub(const SlotInfo *like, TimestampTz since)
{
	TimestampTz now = GetCurrentTimestamp();
	ProcessSlot *worker = NULL;
	HubOffer   *offer;

	LWLockAcquire(lock, LW_EXCLUSIVE);
	offer = offer_entry(like->dboid, like->hub, now);
	if (offer != NULL)
	{
		if (!OidIsValid(offer->dboid))
		{
			shared->n_offers++;
			strlcpy(offer->hub, like->hub, NAMEDATALEN);
			offer->answered_at = 0;
		}
		offer->dboid = like->dboid;
		offer->owner = like->owner;
		offer->index = like->index;
		offer->max_starts_per_second = like->max_starts_per_second;
		offer->since = since;
		offer->renewed_at = now;
		worker = find_idle_worker_for(offer);
	}
	if (worker != NULL)
		wake_slot(worker);
	LWLockRelease(lock);
	return worker != NULL;
}

void
coordinator_withdraw_offer(const char *hub)
{
	HubOffer   *offer;

	LWLockAcquire(lock, LW_EXCLUSIVE);
	offer = offer_entry(MyDatabaseId, hub, GetCurrentTimestamp());
	if (offer != NULL && OidIsValid(offer->dboid))
		forget_offer(offer);
	LWLockRelease(lock);
}

static void
like_offered(SlotInfo *like, const HubOffer *offer)
{
	memset(like, 0, sizeof(SlotInfo));
	like->kind = PROCESS_WORKER;
	like->dboid = offer->dboid;
	like->owner = offer->owner;
	strlcpy(like->hub, offer->hub, NAMEDATALEN);
	like->index = offer->index;
	like->max_starts_per_second = offer->max_starts_per_second;
}

/* The offer that has waited for longest, but for those somebody makes room for; NULL if there is none. */
static HubOffer *
find_offer(TimestampTz now)
{
	HubOffer   *best = NULL;

	for (int i = 0; i < MAX_OFFERS; i++)
	{
		HubOffer   *offer = &shared->offers[i];
		SlotInfo	like;

		if (!OidIsValid(offer->dboid) || TimestampDifferenceExceeds(offer->renewed_at, now, OFFERED_MS) ||
			!TimestampDifferenceExceeds(offer->answered_at, now, LEAVING_MS) ||
			(best != NULL && best->since <= offer->since))
			continue;
		like_offered(&like, offer);
		if (!place_is_taken(&like) && !is_held(like.dboid))
			best = offer;
	}
	return best;
}

/* The slot is as if it had been claimed for that hub, by the process it has. */
static void
change_hub(SlotInfo *info, const SlotInfo *like, TimestampTz now)
{
	info->starts_used_until = like->max_starts_per_second > 0 ? starts_used_until(like->dboid, like->hub) : 0;
	info->max_starts_per_second = like->max_starts_per_second;
	strlcpy(info->hub, like->hub, NAMEDATALEN);
	info->index = like->index;
	info->started_at = now;
	info->items_done = 0;
}

OfferAnswer
slot_take_offer(void)
{
	OfferAnswer answer = OFFER_NONE;
	TimestampTz now;
	HubOffer   *offer;

	if (shared->n_offers == 0)
		return OFFER_NONE;
	now = GetCurrentTimestamp();
	LWLockAcquire(lock, LW_EXCLUSIVE);
	offer = may_change_hub(&my_slot->info) ? find_offer(now) : NULL;
	if (offer != NULL)
	{
		SlotInfo	like;

		like_offered(&like, offer);
		if (like.dboid == my_slot->info.dboid && like.owner == my_slot->info.owner &&
			count_workers() <= setting_max_workers)
		{
			change_hub(&my_slot->info, &like, now);
			forget_offer(offer);
			answer = OFFER_TAKEN;
		}
		else
		{
			offer->answered_at = now;
			answer = OFFER_FOR_ANOTHER;
		}
	}
	LWLockRelease(lock);
	return answer;
}

bool
slot_is_offered_a_hub(void)
{
	bool		offered;

	if (shared->n_offers == 0)
		return false;
	LWLockAcquire(lock, LW_SHARED);
	offered = may_change_hub(&my_slot->info) && find_offer(GetCurrentTimestamp()) != NULL;
	LWLockRelease(lock);
	return offered;
}

/* Of a hub without a worker: its coordinator looks then at the latest. */
void
slot_tell_due(TimestampTz due)
{
	ProcessSlot *coordinator;

	LWLockAcquire(lock, LW_EXCLUSIVE);
	coordinator = find_coordinator(my_slot->info.dboid);
	if (coordinator != NULL && due < coordinator->info.look_by)
	{
		coordinator->info.look_by = due;
		if (due < coordinator->info.looks_at)
			wake_slot(coordinator);
	}
	LWLockRelease(lock);
}

/* ----------------------------------------------------------------
 * The launcher
 * ----------------------------------------------------------------
 */

static void
launcher_detach(int code, Datum arg)
{
	LWLockAcquire(lock, LW_EXCLUSIVE);
	if (shared->launcher_pid == MyProcPid)
		shared->launcher_pid = 0;
	LWLockRelease(lock);
}

void
launcher_attach(void)
{
	LWLockAcquire(lock, LW_EXCLUSIVE);
	shared->launcher_procno = DURABLE_PROC_NUMBER;
	shared->launcher_pid = MyProcPid;
	LWLockRelease(lock);
	before_shmem_exit(launcher_detach, 0);
}

void
launcher_take_tellings(Tellings *tellings)
{
	LWLockAcquire(lock, LW_EXCLUSIVE);
	*tellings = shared->tellings;
	memset(&shared->tellings, 0, sizeof(Tellings));
	LWLockRelease(lock);
}

static void
note_telling(Tellings *tellings, Oid dboid)
{
	if (!OidIsValid(dboid))
	{
		tellings->rescan = true;
		return;
	}
	for (int i = 0; i < tellings->n; i++)
	{
		if (tellings->databases[i] == dboid)
			return;
	}
	if (tellings->n < lengthof(tellings->databases))
		tellings->databases[tellings->n++] = dboid;
	else
		tellings->all = true;
}

void
shmem_wake_launcher(Oid dboid)
{
	LWLockAcquire(lock, LW_EXCLUSIVE);
	note_telling(&shared->tellings, dboid);
	wake_launcher();
	LWLockRelease(lock);
}

/* ----------------------------------------------------------------
 * Waking
 * ----------------------------------------------------------------
 */

/* Does a worker of this number take turns as well as activities? */
static bool
hosts_both(const SlotInfo *info)
{
	return info->index == 0 ||
		(info->index < setting_orchestrator_workers && info->index < setting_activity_workers);
}

/* The idle worker of the hub with the lowest number that takes all kinds of work. */
static ProcessSlot *
find_idle_worker(const char *hub)
{
	ProcessSlot *best = NULL;

	for (int i = 0; i < shared->n_slots; i++)
	{
		SlotInfo   *info = &slot_at(i)->info;

		if (info->state == SLOT_IDLE && is_worker_of(info, MyDatabaseId, hub) &&
			!info->retire && hosts_both(info) &&
			(best == NULL || info->index < best->info.index))
			best = slot_at(i);
	}
	return best;
}

void
worker_calls_for_help(void)
{
	ProcessSlot *helper;

	if (my_slot == NULL)
		return;
	LWLockAcquire(lock, LW_SHARED);
	helper = find_idle_worker(my_slot->info.hub);
	if (helper != NULL)
		wake_slot(helper);
	LWLockRelease(lock);
}

bool
worker_is_additional(void)
{
	return my_slot != NULL && my_slot->info.index > 0;
}

/*
 * Sets the latches of all the hub's workers; a busy one will look again before
 * it sleeps. Returns how many there are that take all kinds of work, and soon.
 */
static int
wake_workers(const char *hub)
{
	TimestampTz now = GetCurrentTimestamp();
	int			n = 0;

	for (int i = 0; i < shared->n_slots; i++)
	{
		SlotInfo   *info = &slot_at(i)->info;

		if (!is_worker_of(info, MyDatabaseId, hub) || !is_taken(info))
			continue;
		if (hosts_both(info) && !slot_is_held(info, now))
			n++;
		if (slot_at(i) != my_slot)
			wake_slot(slot_at(i));
	}
	return n;
}

/* Only who is awake, or sleeps beyond that. */
static void
wake_for(ProcessSlot *slot, TimestampTz due)
{
	if (due < slot->info.looks_at)
		wake_slot(slot);
}

/*
 * When no worker is idle the busy ones look again before they sleep, and the
 * coordinator may start another: at once when the hub has none for all kinds of
 * work, else it is told only if it does not look again anyway.
 * Returns false if there is no coordinator.
 */
static bool
wake_busy_hub(const char *hub, TimestampTz due)
{
	int			n_workers = wake_workers(hub);
	ProcessSlot *coordinator;

	coordinator = find_coordinator(MyDatabaseId);
	if (coordinator == NULL)
		return false;
	if (due < coordinator->info.looks_at && (n_workers == 0 || hub == NULL))
		coordinator->info.look_now = true;
	if (coordinator->info.look_now || !coordinator->info.watching)
		wake_for(coordinator, due);
	return true;
}

/*
 * One idle worker is enough. Its latch is set without the lock, which is the
 * first thing it needs: if it has left meanwhile, whoever has its PGPROC now
 * is woken for nothing.
 */
void
shmem_wake_hub(const char *hub, TimestampTz due)
{
	ProcessSlot *worker;
	int			procno = -1;
	bool		served = true;

	LWLockAcquire(lock, LW_SHARED);
	worker = hub == NULL ? NULL : find_idle_worker(hub);
	if (worker == NULL)
		served = wake_busy_hub(hub, due);
	else if (due < worker->info.looks_at)
		procno = worker->info.procno;
	LWLockRelease(lock);
	if (procno >= 0)
		set_latch_of(procno);
	if (!served)
		shmem_wake_launcher(MyDatabaseId);
}

void
shmem_announce_work(const char *hub)
{
	ProcessSlot *worker;

	LWLockAcquire(lock, LW_SHARED);
	worker = find_idle_worker(hub);
	if (worker != NULL && GetCurrentTimestamp() >= worker->info.deaf_until)
		announce_to(worker->info.procno);
	LWLockRelease(lock);
}

bool
shmem_has_idle_worker(const char *hub)
{
	bool		found;

	LWLockAcquire(lock, LW_SHARED);
	found = find_idle_worker(hub) != NULL;
	LWLockRelease(lock);
	return found;
}

void
slot_be_deaf(TimestampTz until)
{
	LWLockAcquire(lock, LW_EXCLUSIVE);
	my_slot->info.deaf_until = until;
	LWLockRelease(lock);
}

bool
shmem_has_coordinator(Oid dboid)
{
	bool		found;

	LWLockAcquire(lock, LW_SHARED);
	found = (find_coordinator(dboid) != NULL);
	LWLockRelease(lock);
	return found;
}

/* ----------------------------------------------------------------
 * Entries of backends
 * ----------------------------------------------------------------
 */

/*
 * The entry of this process, NULL when it cannot have one. It is cleared at
 * exit; that the callback is registered says that there may be something in it.
 */
static BackendEntry *
my_backend_entry(void)
{
	if (shared == NULL || MyProc == NULL || DURABLE_PROC_NUMBER >= shared->n_backends)
		return NULL;
	if (!exit_callback_registered)
	{
		before_shmem_exit(forget_backend, 0);
		exit_callback_registered = true;
	}
	return backend_at(DURABLE_PROC_NUMBER);
}

static void
forget_backend(int code, Datum arg)
{
	shmem_waiter_leave();
	database_release();
}

bool
shmem_waiter_enter(uint64 hash)
{
	BackendEntry *entry = my_backend_entry();

	if (entry == NULL)
		return false;
	LWLockAcquire(lock, LW_EXCLUSIVE);
	if (!OidIsValid(entry->waits_in))
		pg_atomic_fetch_add_u32(&shared->n_waiters, 1);
	entry->waits_in = MyDatabaseId;
	entry->waits_for = hash;
	pg_atomic_write_u32(&entry->news, NEWS_NONE);
	LWLockRelease(lock);
	return true;
}

void
shmem_waiter_leave(void)
{
	BackendEntry *entry;

	if (!exit_callback_registered)
		return;					/* this process has never had an entry */
	entry = my_backend_entry();
	if (!OidIsValid(entry->waits_in))
		return;
	LWLockAcquire(lock, LW_EXCLUSIVE);
	entry->waits_in = InvalidOid;
	pg_atomic_fetch_sub_u32(&shared->n_waiters, 1);
	LWLockRelease(lock);
}

/*
 * A waiter counts itself before it looks at the table, a committer reads the
 * count after its rows have become visible: one of them sees the other.
 */
void
shmem_wake_waiters(uint64 hash, XLogRecPtr end_of_commit)
{
	if (pg_atomic_read_u32(&shared->n_waiters) == 0)
		return;
	LWLockAcquire(lock, LW_SHARED);
	for (int i = 0; i < shared->n_backends; i++)
	{
		BackendEntry *entry = backend_at(i);

		if (entry->waits_in != MyDatabaseId || (hash != 0 && entry->waits_for != hash))
			continue;
		pg_atomic_write_u64(&entry->end_of_commit, end_of_commit);
		pg_write_barrier();
		set_latch_of(i);
	}
	LWLockRelease(lock);
}

XLogRecPtr
shmem_end_of_awaited_commit(void)
{
	pg_read_barrier();
	return pg_atomic_read_u64(&backend_at(DURABLE_PROC_NUMBER)->end_of_commit);
}

static News
my_news(void)
{
	return (News) pg_atomic_read_u32(&backend_at(DURABLE_PROC_NUMBER)->news);
}

bool
shmem_news_are_announced(void)
{
	return my_news() == NEWS_ANNOUNCED;
}

bool
shmem_has_no_news(void)
{
	return my_news() == NEWS_NONE;
}

bool
shmem_news_are_missing(void)
{
	return my_news() != NEWS_HERE;
}

void
shmem_take_news(void)
{
	pg_atomic_write_u32(&backend_at(DURABLE_PROC_NUMBER)->news, NEWS_NONE);
}

void
database_hold(Oid dboid)
{
	BackendEntry *entry = my_backend_entry();

	if (entry == NULL)
		return;
	LWLockAcquire(lock, LW_EXCLUSIVE);
	entry->held_database = dboid;
	LWLockRelease(lock);
}

void
database_release(void)
{
	BackendEntry *entry;

	if (!exit_callback_registered)
		return;
	entry = my_backend_entry();
	if (!OidIsValid(entry->held_database))
		return;
	LWLockAcquire(lock, LW_EXCLUSIVE);
	entry->held_database = InvalidOid;
	shared->tellings.rescan = true;
	wake_launcher();
	LWLockRelease(lock);
}

/* Ends one process: sends SIGTERM, or sees to it that one just registered leaves before it connects. */
static int
terminate_slot(SlotInfo *info)
{
	int			pid = info->pid;

	if (info->state == SLOT_STARTING)
	{
		info->state = SLOT_LEFT;
		info->ref.generation++;
	}
	info->excused = true;
	if (pid != 0)
		kill(pid, SIGTERM);
	return pid;
}

int
database_terminate_processes(Oid dboid, int *pids)
{
	int			n = 0;

	LWLockAcquire(lock, LW_EXCLUSIVE);
	for (int i = 0; i < shared->n_slots; i++)
	{
		SlotInfo   *info = &slot_at(i)->info;

		if (info->dboid == dboid && is_taken(info))
		{
			pids[n] = terminate_slot(info);
			if (pids[n] != 0)
				n++;
		}
	}
	LWLockRelease(lock);
	return n;
}

/* The table of suspects is not in shared memory but has the same lock. */
void
shmem_lock_suspects(bool exclusive)
{
	LWLockAcquire(lock, exclusive ? LW_EXCLUSIVE : LW_SHARED);
}

void
shmem_unlock_suspects(void)
{
	LWLockRelease(lock);
}

/* ----------------------------------------------------------------
 * SQL functions
 * ----------------------------------------------------------------
 */

static const char *
state_name(const SlotInfo *info)
{
	if (info->state == SLOT_STARTING || info->state == SLOT_CONNECTING)
		return "starting";
	if (info->retire)
		return "leaving";
	return info->state == SLOT_BUSY ? "busy" : "idle";
}

static void
put_process(ReturnSetInfo *rsinfo, const ProcessSlot *slot)
{
	const SlotInfo *info = &slot->info;
	bool		here = (info->dboid == MyDatabaseId);	/* else the text may be in another encoding */
	bool		is_worker = (info->kind == PROCESS_WORKER);
	bool		has_item = (slot->item[0] != '\0');
	Datum		values[8];
	bool		nulls[8] = {0};

	values[0] = Int32GetDatum(info->pid);
	nulls[0] = (info->pid == 0);
	values[1] = CStringGetTextDatum(is_worker ? "worker" : "coordinator");
	values[2] = ObjectIdGetDatum(info->dboid);
	values[3] = CStringGetTextDatum(is_worker && here ? info->hub : "");
	nulls[3] = !is_worker || !here;
	values[4] = CStringGetTextDatum(state_name(info));
	values[5] = CStringGetTextDatum(has_item && here ? slot->item : "");
	nulls[5] = !has_item || !here;
	values[6] = TimestampTzGetDatum(has_item ? slot->item_since : info->state_since);
	values[7] = Int64GetDatum(info->items_done);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

static void
put_launcher(ReturnSetInfo *rsinfo, int pid)
{
	Datum		values[8] = {0};
	bool		nulls[8] = {false, false, true, true, false, true, true, true};

	values[0] = Int32GetDatum(pid);
	values[1] = CStringGetTextDatum("launcher");
	values[4] = CStringGetTextDatum("idle");
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/* Copies the slots with their items; "copy" has room for all. */
static int
copy_processes(ProcessSlot *copy, int *launcher_pid)
{
	int			n = 0;

	LWLockAcquire(lock, LW_SHARED);
	*launcher_pid = shared->launcher_pid;
	for (int i = 0; i < shared->n_slots; i++)
	{
		ProcessSlot *slot = slot_at(i);

		if (!is_taken(&slot->info))
			continue;
		SpinLockAcquire(&slot->mutex);
		copy[n++] = *slot;
		SpinLockRelease(&slot->mutex);
	}
	LWLockRelease(lock);
	return n;
}

/* The rows of the view durable.workers. */
Datum
durable_workers(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	ProcessSlot *slots;
	int			launcher_pid;
	int			n;

	InitMaterializedSRF(fcinfo, 0);
	if (shared == NULL)
		return (Datum) 0;

	slots = palloc(shared->n_slots * sizeof(ProcessSlot));
	n = copy_processes(slots, &launcher_pid);
	if (launcher_pid != 0)
		put_launcher(rsinfo, launcher_pid);
	for (int i = 0; i < n; i++)
		put_process(rsinfo, &slots[i]);
	return (Datum) 0;
}

Datum
durable_preloaded(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(shmem_attached());
}
