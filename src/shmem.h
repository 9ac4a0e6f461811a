/*
 * shmem.h
 *		The shared memory of durable: who is there, who waits, who is asked
 *		to leave.
 *
 * Every background process but the launcher has a slot, reserved by whoever
 * registers it and taken over by the process when it runs. A slot names a
 * process by number and generation, never by pointer, so a late or stale
 * process finds out that the slot is not its own any more.
 */
#ifndef DURABLE_SHMEM_H
#define DURABLE_SHMEM_H

#include "postgres.h"
#include "access/xlogdefs.h"
#include "compat.h"
#include "datatype/timestamp.h"

/* ---- for everybody ---- */

/* Installs the shared memory hooks; _PG_init of the postmaster calls it. */
extern void shmem_init(void);

/* Is the library preloaded, so that there is shared memory? */
extern bool shmem_attached(void);

/*
 * Shows in durable.workers and pg_stat_activity which work item this worker
 * has begun ("activity", "order-17", "charge"). Does nothing outside a worker.
 */
extern void worker_report_item(const char *kind, const char *instance_id,
							   const char *name);

/*
 * This worker begins, or has ended, an activity of an instance, known by a
 * hash: meanwhile it can be cancelled. A cancel that came too late for it is
 * not felt by what the worker does next. Nothing outside a worker.
 */
extern void worker_begin_cancellable(uint64 instance_hash);
extern void worker_end_cancellable(void);

/* Cancels the activities of an instance that workers of this database run now. Neither allocates nor raises. */
extern void shmem_cancel_activities(uint64 instance_hash);

/*
 * A slot is held by a worker that runs an activity which is not known to be
 * short (durations.h), or one that was thought to be and takes longer. So that
 * they never have all slots, a worker asks before it runs an activity of its
 * hub; false: another one must be looked for, or none. The hub is then known
 * to want a slot, until it gets one, or until worker_wants_no_hold(). Outside a
 * worker everything may run.
 */
extern bool worker_begin_activity(const char *name);
extern void worker_end_activity(void);
extern void worker_wants_no_hold(void);

/*
 * How many instances may this worker wake of those that wait to be started, or
 * whose timer is due? The hub's max_starts_per_second says; at most "wanted",
 * UNLIMITED_STARTS without a limit and outside a worker. They are taken from
 * what all workers of the hub have; what was not used, or less than 0 if it
 * were more, is given back.
 */
#define UNLIMITED_STARTS (-1)
extern int	worker_take_starts(int wanted);
extern void worker_give_back_starts(int n);

/* When to ask again: at once (DT_NOBEGIN), or a little later, when some have come together. */
extern TimestampTz worker_next_start(void);

/* This worker has found more than it can do at once: an idle one of its hub, if there is one, looks too. */
extern void worker_calls_for_help(void);

/* Is this process a worker of its hub beside the first? */
extern bool worker_is_additional(void);

/* Does somebody else need this worker's slot? To be looked at between two work items. */
extern bool worker_is_asked_to_leave(void);

/* ---- slots of background processes ---- */

typedef enum ProcessKind
{
	PROCESS_COORDINATOR,
	PROCESS_WORKER
} ProcessKind;

typedef enum SlotState
{
	SLOT_FREE = 0,
	SLOT_STARTING,				/* reserved; its process has not come yet */
	SLOT_CONNECTING,			/* its process is there but not at work yet */
	SLOT_BUSY,
	SLOT_IDLE,
	SLOT_LEFT					/* its process has gone; somebody shall read why, then free it */
} SlotState;

typedef enum LeaveReason
{
	LEFT_BY_ERROR = 0,			/* ERROR or FATAL, pg_terminate_backend among them */
	LEFT_IDLE,					/* nothing to do for long enough */
	LEFT_ASKED,					/* somebody else needs the slot, or the database is not served any more */
	LEFT_GONE,					/* there is no extension, or no such hub */
	LEFT_DISABLED				/* durable.enabled is off */
} LeaveReason;

typedef struct SlotRef
{
	int			number;
	uint32		generation;
} SlotRef;

typedef struct SlotInfo
{
	SlotRef		ref;
	ProcessKind kind;
	SlotState	state;
	LeaveReason reason;			/* when SLOT_LEFT */
	Oid			dboid;
	Oid			owner;			/* worker: the role it connects as */
	char		hub[NAMEDATALEN];	/* worker: its task hub */
	int			index;			/* worker: its number within the hub */
	int			max_starts_per_second;	/* worker: of its hub; 0: no limit */
	TimestampTz starts_used_until;	/* worker: of its hub, see worker_take_starts() */
	int			procno;			/* valid from SLOT_CONNECTING to SLOT_IDLE */
	int			pid;
	bool		connected;		/* it got as far as its loop */
	bool		retire;			/* it is asked to leave between two work items */
	TimestampTz retire_asked_at;
	bool		excused;		/* ended by DDL: nobody's fault */
	bool		look_now;		/* coordinator: a hub without a worker has work */
	TimestampTz look_by;		/* coordinator: a hub its worker has left has work then; DT_NOEND: none */
	bool		watching;		/* coordinator: looks again soon by itself */
	bool		starving;		/* coordinator: a hub gets no process for want of slots */
	bool		holds;			/* worker: it runs an activity that is not known to be short */
	uint64		activity;		/* worker: the activity it runs, as a hash; 0: none */
	TimestampTz activity_since;
	TimestampTz deaf_until;		/* announcements are of no use to it before */
	TimestampTz looks_at;		/* asleep: it looks by itself at this time, DT_NOBEGIN: soon; DT_NOEND: awake */
	TimestampTz started_at;
	TimestampTz state_since;
	TimestampTz next_due;		/* when SLOT_LEFT: when there is work again, DT_NOEND: unknown */
	int64		items_done;
} SlotInfo;

typedef enum ClaimResult
{
	CLAIM_OK,
	CLAIM_HELD,					/* DDL has the database */
	CLAIM_TAKEN,				/* the database has a coordinator, the hub a worker of this index */
	CLAIM_MAX_WORKERS,			/* durable.max_workers are there */
	CLAIM_NO_SLOT				/* every slot is in use */
} ClaimResult;

/* Reserves a slot for a process about to be registered. "like" says kind, dboid, owner, hub, index, max_starts_per_second. */
extern ClaimResult slot_claim(const SlotInfo *like, SlotRef *ref);

/* Frees a slot: one whose process could not be registered, or that was read after SLOT_LEFT. */
extern void slot_free(const SlotRef *ref);

/* Frees a slot whose process never came. False when it has come after all. */
extern bool slot_expire(const SlotRef *ref);

/* The process takes its slot over; false: it came too late, or DDL has the database, and must leave. */
extern bool slot_attach(const SlotRef *ref);

/* Of this process: tells the others what it does; the item is forgotten when idle. */
extern void slot_set_state(SlotState state);

/*
 * The same before a sleep, with the time at which this process looks by itself
 * (DT_NOBEGIN: in a moment): what is not due before then need not wake it.
 */
extern void slot_sleep(SlotState state, TimestampTz looks_at);
extern void slot_wake_up(void);
extern void slot_add_items_done(int64 done);
extern const SlotInfo *slot_mine(void);

/* Ends this process with exit code 0, giving the reason and when there is work again. */
DURABLE_NORETURN extern void slot_leave(LeaveReason reason, TimestampTz next_due);

/* Can the process not be expected to come to an end of its work item soon? */
extern bool slot_is_held(const SlotInfo *info, TimestampTz now);

/* Copies all slots in use into CurrentMemoryContext. */
extern int	slots_read(SlotInfo **slots);
extern int	slots_count(void);

/* ---- coordinator ---- */

/*
 * Is a worker of this database at work? If so nobody needs to wake the
 * coordinator for hubs that have one: it looks again soon.
 */
extern bool coordinator_watch_workers(void);

/* Takes the note that a hub without worker has work. */
extern bool coordinator_take_look_now(void);

/*
 * Does a hub of this database wait for a slot to hold, and may not yet? Until
 * when to believe it, unless told before (look_now); 0: it does not.
 */
extern TimestampTz coordinator_hold_wish(const char *hub);

/* When the workers of a hub of this database may wake the next waiting instance; DT_NOBEGIN: at once. */
extern TimestampTz coordinator_next_start(const char *hub, int max_starts_per_second);

/* Tells a worker another max_starts_per_second. */
extern void slot_set_start_rate(const SlotRef *ref, int max_starts_per_second);

/* When a hub that its worker has left for another one has work, so that a look is due; DT_NOEND: none has. */
extern TimestampTz coordinator_look_by(void);

/*
 * A hub has no worker since "since" and gets none for want of slots: a worker
 * of any hub that has nothing to do may serve it instead, if it is connected as
 * "like" says, or make room. True if one may that is idle already; it is woken.
 * Without offers, for there is room for so many only, others are asked to leave.
 */
extern bool coordinator_offer_hub(const SlotInfo *like, TimestampTz since);
extern void coordinator_withdraw_offer(const char *hub);

extern void coordinator_set_starving(bool starving);
extern bool coordinator_others_starve(void);

/*
 * Somebody has been without a process since "since": asks the one process to
 * leave that can best be spared, if nobody is leaving yet. True when somebody
 * is leaving.
 */
extern bool make_room_for_worker(Oid dboid, const char *hub, TimestampTz since,
								 bool max_workers_reached);
extern void make_room_for_helper(Oid dboid, const char *hub);	/* idle ones only */
extern bool make_room_for_coordinator(TimestampTz since);

/*
 * Somebody has been refused a process since "since". True when the log should
 * say so: once an episode, which is over when nobody was refused for minutes.
 */
extern bool refusal_is_news(TimestampTz since);

/* Asks one process, or all of a database (InvalidOid: of all of them), to leave. */
extern void slot_retire(const SlotRef *ref);
extern void slots_retire_database(Oid dboid);

/* ---- workers that go on to another hub ---- */

typedef enum OfferAnswer
{
	OFFER_NONE,
	OFFER_TAKEN,				/* the slot is that hub's now */
	OFFER_FOR_ANOTHER			/* who waits for longest needs another process: leave */
} OfferAnswer;

/*
 * A worker whose hub has nothing to do answers the offer that has waited for
 * longest. After OFFER_TAKEN, clients that make work for the hub it has left
 * find no worker there and tell the coordinator; what they made before that is
 * to be looked for now, and told with slot_tell_due().
 */
extern OfferAnswer slot_take_offer(void);
extern bool slot_is_offered_a_hub(void);
extern void slot_tell_due(TimestampTz due);

/* ---- launcher ---- */

typedef struct Tellings
{
	bool		rescan;			/* databases have come or gone */
	bool		all;			/* more databases than were noted */
	int			n;
	Oid			databases[32];	/* these want a coordinator */
} Tellings;

extern void launcher_attach(void);
extern void launcher_take_tellings(Tellings *tellings);

/* ---- waking ---- */

/*
 * Wakes who serves the hub of this database (NULL: all its hubs), unless they
 * look by themselves when the work is due (DT_NOBEGIN: now). Neither allocates
 * nor raises.
 */
extern void shmem_wake_hub(const char *hub, TimestampTz due);

/* The launcher shall see to this database; InvalidOid: to the list of them. */
extern void shmem_wake_launcher(Oid dboid);
extern bool shmem_has_coordinator(Oid dboid);

/* The sessions waiting for an instance, known by a hash; 0 wakes all of this database. */
extern bool shmem_waiter_enter(uint64 hash);
extern void shmem_waiter_leave(void);
extern void shmem_wake_waiters(uint64 hash, XLogRecPtr end_of_commit);

/* For who was woken so: where in the WAL the commit ends that it waited for; 0: not known. */
extern XLogRecPtr shmem_end_of_awaited_commit(void);

/*
 * Why this process was woken. Who wakes it says that there is something to
 * look for, and who is about to commit may announce that, so that a worker is
 * awake when he has. News are to be taken before one looks: what comes later
 * wakes again.
 */
extern void shmem_announce_work(const char *hub);
extern bool shmem_has_idle_worker(const char *hub);
extern bool shmem_news_are_announced(void);
extern void slot_be_deaf(TimestampTz until);
extern bool shmem_has_no_news(void);
extern bool shmem_news_are_missing(void);
extern void shmem_take_news(void);

/* ---- for suspects.c ---- */

extern void shmem_lock_suspects(bool exclusive);
extern void shmem_unlock_suspects(void);

/* ---- DDL ---- */

/* Keeps our processes out of the database until database_release(), or the end of the transaction. */
extern void database_hold(Oid dboid);
extern void database_release(void);

/*
 * Terminates our processes in the database. Stores their pids in pids (room
 * for slots_count()) and returns how many there were.
 */
extern int	database_terminate_processes(Oid dboid, int *pids);

#endif							/* DURABLE_SHMEM_H */
