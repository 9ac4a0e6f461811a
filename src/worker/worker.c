/*
 * worker.c
 *		A worker: hosts the dispatchers of one task hub, connected as the
 *		hub's owner, so that user code finds no rights but the owner's.
 *
 * A lost wake-up cannot happen: whoever makes work commits first and sets the
 * latch then; the worker resets the latch first and looks then. When the
 * worker leaves, its coordinator looks.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "clock.h"
#include "compat.h"
#include "dispatch/dispatchers.h"
#include "points.h"
#include "rests.h"
#include "session.h"
#include "settings.h"
#include "shmem.h"
#include "wake.h"
#include "worker/workers.h"

/* Work is due but another process has it: how often to look whether it is still so, in ms. */
#define PATIENCE_FIRST_MS 20
#define PATIENCE_LAST_MS 5000

typedef struct WorkerState
{
	char		hub[NAMEDATALEN];
	int			index;
	TimestampTz idle_since;
	int			vain_looks;		/* work was due, but not to be had */
	bool		has_worked;		/* since it slept last */
	MemoryContext loop_context;
	DispatchResult result;		/* of the last step of the dispatchers */
} WorkerState;

/* A question to the store. */
typedef struct DueQuestion
{
	const char *hub;
	TimestampTz after;
	TimestampTz due;			/* the answer */
} DueQuestion;

/* What the slot says of the hub that this process serves from now on. */
static void
take_hub(WorkerState *worker)
{
	const SlotInfo *slot = slot_mine();

	strlcpy(worker->hub, slot->hub, NAMEDATALEN);
	worker->index = slot->index;
	worker->idle_since = clock_now();
	worker->vain_looks = 0;
}

/* Connects as the owner of the hub; a FATAL here is the coordinator's to explain. */
static void
worker_connect(WorkerState *worker)
{
	const SlotInfo *slot = slot_mine();

	BackgroundWorkerInitializeConnectionByOid(slot->dboid, slot->owner, DURABLE_WORKER_CONNECT_FLAGS);
	session_init_worker();
	session_serve_hub();
	session_watch_owner();
	worker->loop_context = process_enter_loop();
	take_hub(worker);
}

static bool
hosts_turns(const WorkerState *worker)
{
	return worker->index < setting_orchestrator_workers;
}

static bool
hosts_activities(const WorkerState *worker)
{
	return worker->index < setting_activity_workers;
}

/* Between two work items: does somebody want this process to end? */
static void
leave_if_asked(const WorkerState *worker)
{
	if (!setting_enabled)
		slot_leave(LEFT_DISABLED, DT_NOEND);
	if (slot_mine()->retire)
		slot_leave(LEFT_ASKED, DT_NOEND);
	if (!hosts_turns(worker) && !hosts_activities(worker))
		slot_leave(LEFT_IDLE, DT_NOEND);
}

static void
dispatch_step(void *argument)
{
	WorkerState *worker = argument;
	int64		done = 0;

	worker->result = dispatch_one(worker->hub, hosts_turns(worker), hosts_activities(worker), &done);
	slot_add_items_done(done);
}

/* True if something was done. After a deadlock it is as if others had the work. */
static bool
run_dispatchers(WorkerState *worker)
{
	worker->result = DISPATCH_IDLE;
	(void) process_step(dispatch_step, worker);
	if (worker->result == DISPATCH_GONE)
		slot_leave(LEFT_GONE, DT_NOEND);
	return worker->result == DISPATCH_DONE;
}

static void
due_step(void *argument)
{
	DueQuestion *question = argument;

	question->due = dispatch_next_due(question->hub, question->after);
}

/* When something is due in a hub, after a time; now, if a deadlock kept us from asking. */
static TimestampTz
next_due(const char *hub, TimestampTz after)
{
	DueQuestion question = {hub, after, clock_now()};

	(void) process_step(due_step, &question);
	return question.due;
}

/*
 * When to look again without being woken. Work that is due although we got
 * none is in the hands of another, or needs a slot to hold: who releases it
 * wakes the hub, so look more and more seldom, but when something else is due,
 * or an instance has rested.
 */
static TimestampTz
next_look(WorkerState *worker, TimestampTz due)
{
	TimestampTz now = clock_now();
	TimestampTz rested = rest_next_end();
	TimestampTz patience;

	if (due > now)
	{
		worker->vain_looks = 0;
		return due;
	}
	worker->vain_looks++;
	patience = TimestampTzPlusMilliseconds(now, process_backoff(worker->vain_looks,
																PATIENCE_FIRST_MS, PATIENCE_LAST_MS));
	if (worker_next_start() > now)
		patience = Min(patience, worker_next_start());
	patience = Min(patience, rested);
	return Min(patience, next_due(worker->hub, now));
}

/*
 * Nothing is due in the hub: if another one has no worker, this process serves
 * that, or makes room for it. It may go on in another hub of the same owner as
 * it is: that is the user it is connected as, and what code leaves in the
 * session is discarded after each work item. What is made for the old hub
 * before the slot changes hands is found by the last look, what comes later is
 * told to the coordinator.
 */
static bool
serves_another_hub(WorkerState *worker, TimestampTz due)
{
	char		left[NAMEDATALEN];

	switch (slot_take_offer())
	{
		case OFFER_NONE:
			return false;
		case OFFER_FOR_ANOTHER:
			slot_leave(LEFT_IDLE, due);
		case OFFER_TAKEN:
			break;
	}
	strlcpy(left, worker->hub, NAMEDATALEN);
	take_hub(worker);
	process_rename(left, worker->hub);
	DURABLE_POINT("worker.changed_hub");
	slot_tell_due(next_due(left, DT_NOBEGIN));
	return true;
}

/* Sleeps until something is due or woken; ends the process when that is too far away. */
static void
sleep_until_due(WorkerState *worker)
{
	TimestampTz due = next_due(worker->hub, DT_NOBEGIN);
	TimestampTz leave_at = TimestampTzPlusMilliseconds(worker->idle_since,
													   setting_worker_idle_timeout);
	TimestampTz until;

	DURABLE_POINT("worker.nothing_due");
	if (session_owner_has_changed())
		slot_leave(LEFT_GONE, DT_NOEND);	/* "due" is not known then */
	if (due > clock_now() && serves_another_hub(worker, due))
		return;
	if (clock_now() >= leave_at)
		slot_leave(LEFT_IDLE, due);
	until = Min(next_look(worker, due), leave_at);
	process_report_idle();
	slot_sleep(SLOT_IDLE, until);
	if (due > clock_now() && slot_is_offered_a_hub())
		until = DT_NOBEGIN;		/* it was not idle yet when that was offered */
	DURABLE_POINT("worker.idle");
	if (!worker->has_worked || !await_more_work(until))
		(void) clock_wait_until(until);
	worker->has_worked = false;
	DURABLE_POINT("worker.woken");
	if (shmem_news_are_announced())
		(void) next_due(worker->hub, DT_NOBEGIN);	/* in vain, but it fetches into caches what the next look needs */
	await_announced_work(until);
	slot_set_state(SLOT_BUSY);
}

void
durable_worker_main(Datum main_arg)
{
	WorkerState worker = {0};

	process_begin();
	DURABLE_POINT("worker.begin");
	worker_connect(&worker);
	DURABLE_POINT("worker.connected");
	slot_set_state(SLOT_BUSY);
	for (;;)
	{
		MemoryContextReset(worker.loop_context);
		process_serve_requests();
		leave_if_asked(&worker);
		if (run_dispatchers(&worker))
		{
			worker.idle_since = clock_now();
			worker.vain_looks = 0;
			worker.has_worked = true;
		}
		else
			sleep_until_due(&worker);
	}
}
