/*
 * process.c
 *		What launcher, coordinators and workers have in common: how one is
 *		started, begins, serves requests, and is buried.
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/ps_status.h"
#include "utils/timestamp.h"

#include "clock.h"
#include "points.h"
#include "replay/sandbox.h"
#include "session.h"
#include "suspects.h"
#include "worker/workers.h"

/* A process that was registered by somebody who is gone gets this long to come. */
#define COMING_MS 10000

/*
 * A death with a work item in hand is judged this much later: by then a
 * server that shuts down has told us so, and it is not held against the item.
 */
#define JUDGE_AFTER_MS 100

StaticAssertDecl(sizeof(SlotRef) <= BGW_EXTRALEN, "SlotRef must fit into bgw_extra");

/* The processes this one has registered, by slot number. */
typedef struct Started
{
	BackgroundWorkerHandle *handle;
	uint32		generation;
} Started;

static Started *started = NULL;
static uint32 reloads = 0;

/* ---- the life of this process ---- */

void
process_begin(void)
{
	SlotRef		ref;

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	ConfigReloadPending = true; /* a reload since the fork was ignored */
	clock_serve_requests = process_serve_requests;

	/* The launcher has no slot, nor bgw_extra. */
	memcpy(&ref, MyBgworkerEntry->bgw_extra, sizeof(ref));
	if (ref.generation == 0)
		launcher_attach();
	else if (!slot_attach(&ref))
		slot_leave(LEFT_ASKED, DT_NOEND);
}

MemoryContext
process_enter_loop(void)
{
	/* Other people's hooks expect a MessageContext. */
	MessageContext = AllocSetContextCreate(TopMemoryContext, "durable main loop",
										   ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(MessageContext);
	SetConfigOption("application_name", MyBgworkerEntry->bgw_name, PGC_USERSET, PGC_S_OVERRIDE);
	return MessageContext;
}

/* What comes before the hub in the name of this process, "/" included; the hub may be cut at its end. */
static int
length_before_hub(const char *name, const char *hub)
{
	int			length = strlen(name);

	for (int i = 0; i < length; i++)
	{
		if (name[i] == '/' && strncmp(name + i + 1, hub, length - i - 1) == 0)
			return i + 1;
	}
	return length;
}

void
process_rename(const char *old_hub, const char *hub)
{
	char	   *name = MyBgworkerEntry->bgw_name;
	int			before = length_before_hub(name, old_hub);

	snprintf(name + before, BGW_MAXLEN - before, "%s", hub);
	init_ps_display(name);
	SetConfigOption("application_name", name, PGC_USERSET, PGC_S_OVERRIDE);
}

/* Serves interrupts, and reloads the configuration where nothing runs. */
void
process_serve_requests(void)
{
	bool		idle = !IsTransactionState();

	if (idle)
		QueryCancelPending = false; /* there is nothing to cancel */
	CHECK_FOR_INTERRUPTS();
	if (!idle || !ConfigReloadPending)
		return;
	ConfigReloadPending = false;
	ProcessConfigFile(PGC_SIGHUP);
	reloads++;
}

bool
process_step(void (*step) (void *argument), void *argument)
{
	MemoryContext context = CurrentMemoryContext;
	volatile bool done = true;

	PG_TRY();
	{
		step(argument);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		if (!error_is_conflict(CopyErrorData()))
			PG_RE_THROW();
		FlushErrorState();
		work_item_abort();
		done = false;
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	return done;
}

uint32
process_reloads(void)
{
	return reloads;
}

void
process_report_idle(void)
{
	pgstat_report_stat(true);
	pgstat_report_activity(STATE_IDLE, "idle");
}

/* ---- starting others ---- */

static void
describe_process(BackgroundWorker *worker, const SlotInfo *like, const char *database_name)
{
	bool		is_worker = (like->kind == PROCESS_WORKER);

	memset(worker, 0, sizeof(*worker));
	worker->bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker->bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker->bgw_restart_time = BGW_NEVER_RESTART;
	worker->bgw_notify_pid = MyProcPid;
	strlcpy(worker->bgw_library_name, "durable", BGW_MAXLEN);
	strlcpy(worker->bgw_function_name,
			is_worker ? "durable_worker_main" : "durable_coordinator_main", BGW_MAXLEN);
	strlcpy(worker->bgw_type, is_worker ? "durable worker" : "durable coordinator", BGW_MAXLEN);
	if (is_worker)
		snprintf(worker->bgw_name, BGW_MAXLEN, "durable worker %s/%s", database_name, like->hub);
	else
		snprintf(worker->bgw_name, BGW_MAXLEN, "durable coordinator %s", database_name);
}

/* Remembers the handle, which tells whether the process has come. */
static void
remember_started(const SlotRef *ref, BackgroundWorkerHandle *handle)
{
	Started    *entry;

	if (started == NULL)
		started = MemoryContextAllocZero(TopMemoryContext, slots_count() * sizeof(Started));
	entry = &started[ref->number];
	if (entry->handle != NULL)
		pfree(entry->handle);
	entry->handle = handle;
	entry->generation = ref->generation;
}

StartResult
process_start(const SlotInfo *like, const char *database_name)
{
	BackgroundWorker worker;
	BackgroundWorkerHandle *handle;
	MemoryContext old_context;
	SlotRef		ref;
	bool		registered;

	switch (slot_claim(like, &ref))
	{
		case CLAIM_OK:
			break;
		case CLAIM_MAX_WORKERS:
			return START_MAX_WORKERS;
		case CLAIM_NO_SLOT:
			return START_NO_SLOT;
		default:
			return START_NOT_NOW;
	}

	DURABLE_POINT("process.slot_claimed");
	describe_process(&worker, like, database_name);
	memcpy(worker.bgw_extra, &ref, sizeof(ref));
	old_context = MemoryContextSwitchTo(TopMemoryContext);
	registered = RegisterDynamicBackgroundWorker(&worker, &handle);
	DURABLE_POINT("process.registered");
	if (registered)
		remember_started(&ref, handle);
	else
		slot_free(&ref);
	MemoryContextSwitchTo(old_context);
	return registered ? START_OK : START_NO_SLOT;
}

static BackgroundWorkerHandle *
find_handle(const SlotInfo *slot)
{
	Started    *entry = started ? &started[slot->ref.number] : NULL;

	if (entry == NULL || entry->generation != slot->ref.generation)
		return NULL;
	return entry->handle;
}

bool
process_is_inherited(const SlotInfo *slot)
{
	return find_handle(slot) == NULL;
}

/* Its handle tells; when somebody else has that, we can only wait. */
static bool
has_stopped(const SlotInfo *slot)
{
	BackgroundWorkerHandle *handle = find_handle(slot);
	pid_t		pid;

	if (handle != NULL)
		return GetBackgroundWorkerPid(handle, &pid) == BGWH_STOPPED;
	return TimestampDifferenceExceeds(slot->started_at, GetCurrentTimestamp(), COMING_MS);
}

bool
process_never_came(const SlotInfo *slot)
{
	return slot->state == SLOT_STARTING && has_stopped(slot) && slot_expire(&slot->ref);
}

/* ---- burying the dead ---- */

bool
process_may_be_buried(const SlotInfo *slot, TimestampTz now)
{
	return slot->reason != LEFT_BY_ERROR || slot->excused ||
		!suspect_in_hand(slot->ref.number) ||
		TimestampDifferenceExceeds(slot->state_since, now, JUDGE_AFTER_MS);
}

void
process_bury(const SlotInfo *slot)
{
	DURABLE_POINT("process.before_burial");
	suspect_empty_hand(slot->ref.number, slot->reason == LEFT_BY_ERROR && !slot->excused);
	DURABLE_POINT("process.hand_emptied");
	slot_free(&slot->ref);
}

int
process_backoff(int tries, int first, int last)
{
	int			delay = first;

	while (--tries > 0 && delay < last)
		delay *= 2;
	return Min(delay, last);
}
