/*
 * wake.h
 *		Who wakes whom at the commit of whoever enqueued. All of it does
 *		nothing when the library is not preloaded.
 */
#ifndef DURABLE_WAKE_H
#define DURABLE_WAKE_H

#include "postgres.h"
#include "datatype/timestamp.h"

/*
 * At commit: wakes a worker of the hub for so many work items, or the
 * coordinator to start one. A worker that makes a single item for its own hub
 * wakes nobody: it takes it itself, next.
 */
extern void wake_hub_at_commit(const char *task_hub, int items);

/* The same for work items that are due later: only who would sleep beyond that is woken. */
extern void wake_hub_when_due_at_commit(const char *task_hub, int items, TimestampTz due);

/* At commit: wakes the sessions that wait for this instance. */
extern void wake_waiters_at_commit(const char *task_hub, const char *instance_id);

/*
 * For a worker that has just worked, before it sleeps: waits awake for the next
 * news, if those came soon lately. True: there are some.
 */
extern bool await_more_work(TimestampTz until);

/*
 * For a worker that was woken: if it was only told that somebody is about to
 * commit, waits until he has, or for a little while, but not beyond "until".
 * Then is the time to look.
 */
extern void await_announced_work(TimestampTz until);

/*
 * At commit: cancels the statements of activities of this instance that run in
 * workers. False: this transaction cancels too many already.
 */
extern bool cancel_activities_at_commit(const char *task_hub, const char *instance_id);

/* What can be cancelled: a worker begins and ends an activity. */
extern void activity_begins(const char *task_hub, const char *instance_id);
extern void activity_ends(void);

/* At commit: makes the launcher see to a coordinator for this database (CREATE EXTENSION). */
extern void wake_launcher_at_commit(void);

/* At commit: makes the launcher look which databases there are (CREATE DATABASE). */
extern void wake_rescan_at_commit(void);

/* At commit: the processes of a database are exchanged for others, which read its settings (ALTER DATABASE ... SET). */
extern void reset_database_at_commit(Oid dboid);

/* At commit: wakes all processes of this database (DROP EXTENSION: they shall leave). */
extern void wake_database_at_commit(void);

/* After COMMIT PREPARED, inside a transaction: wakes everybody of this database. */
extern void wake_after_prepared(void);

/*
 * A client that waits for an instance: register, look, clock_wait_until(),
 * look again, unregister. Register returns false when no slot or no shared
 * memory is to be had: then the caller polls. Unregistering also happens at
 * the end of the transaction and of the process.
 */
extern bool wake_register_waiter(const char *task_hub, const char *instance_id);
extern void wake_unregister_waiter(void);

/* For a registered waiter, before it sleeps: waits awake for a moment, if that was enough lately. True: it was woken. */
extern bool wake_await_soon(void);

/*
 * A client's call makes work for an instance, between these two; a client waits
 * for one. So it is known who may commit early (early_commit.h), and who waits
 * for what he has made.
 */
extern void wake_work_begins(const char *task_hub, const char *instance_id);
extern void wake_work_ends(void);
extern void wake_note_wait(const char *task_hub, const char *instance_id);

/* Installs the transaction callback, once a process; called from _PG_init. */
extern void wake_init(void);

#endif							/* DURABLE_WAKE_H */
