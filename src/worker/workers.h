/*
 * workers.h
 *		The background processes of durable; see README.md beside this file.
 */
#ifndef DURABLE_WORKERS_H
#define DURABLE_WORKERS_H

#include "postgres.h"
#include "fmgr.h"
#include "postmaster/bgworker.h"
#include "shmem.h"

/* for _PG_init, when preloaded */
extern void launcher_register(void);
extern void database_ddl_init(void);

/* entry points, named in BackgroundWorker.bgw_function_name */
extern PGDLLEXPORT void durable_launcher_main(Datum main_arg);
extern PGDLLEXPORT void durable_coordinator_main(Datum main_arg);
extern PGDLLEXPORT void durable_worker_main(Datum main_arg);

/* ---- process.c: what the three kinds have in common ---- */

/* Installs the signal handlers and takes the slot over. */
extern void process_begin(void);

/* After connecting: the memory the main loop works in, and how the process is seen. */
extern MemoryContext process_enter_loop(void);

/* How the process is seen when it serves another hub. The server's log goes on to name it as it began. */
extern void process_rename(const char *old_hub, const char *hub);

/* Interrupts, and settings that have changed. For background processes, between transactions. */
extern void process_serve_requests(void);

/*
 * Runs a step of the main loop, which has transactions of its own. A deadlock,
 * with REINDEX of our tables for example, or a serialization failure that gets
 * out of it is no reason to end, as any other error is: the transaction is
 * rolled back, and the result is false.
 */
extern bool process_step(void (*step) (void *argument), void *argument);

/* Counts reloads of the settings. */
extern uint32 process_reloads(void);

/* Shows in pg_stat_activity that nothing is to be done, and delivers the statistics. */
extern void process_report_idle(void);

typedef enum StartResult
{
	START_OK,
	START_NOT_NOW,				/* DDL has the database, or another one has started it */
	START_MAX_WORKERS,			/* durable.max_workers reached */
	START_NO_SLOT				/* the server has no free background worker slot */
} StartResult;

/* Registers the process "like" describes (kind, dboid, owner, hub, index). */
extern StartResult process_start(const SlotInfo *like, const char *database_name);

/* Is this a reserved slot whose process never came? Then it is free now. */
extern bool process_never_came(const SlotInfo *slot);

/* A reserved slot whose process somebody else has registered: its end is not announced to us. */
extern bool process_is_inherited(const SlotInfo *slot);

/* The slot of a process that has gone: charges the work item it had in hand, frees the slot. */
extern void process_bury(const SlotInfo *slot);

/* Must it still wait, because the server may be shutting down? */
extern bool process_may_be_buried(const SlotInfo *slot, TimestampTz now);

/* Delay before try n (1, 2, ...) in ms: doubles from first to at most last. */
extern int	process_backoff(int tries, int first, int last);

#endif							/* DURABLE_WORKERS_H */
