/*
 * session.h
 *		Transactions, rights and settings of a session that does durable's work.
 *
 * Two kinds of session run work items: a background worker, where each work
 * item is a transaction, and a client in run_until_idle() or run(), where
 * each is a subtransaction of the client's. The code above does not know.
 */
#ifndef DURABLE_SESSION_H
#define DURABLE_SESSION_H

#include "postgres.h"

/*
 * Called once by a background process after it has connected: pins what the
 * engine's statements depend on (search_path, jit, timeouts, ...), remembering
 * the role's own values for user code.
 */
extern void session_init_worker(void);

/* Called after it by one that runs the code of the user it is connected as, which it does only while that user may. */
extern void session_serve_hub(void);

/*
 * Called once by a worker: when its owner is altered (NOSUPERUSER, NOLOGIN,
 * dropped ...) no work item begins in this process any more, because
 * PostgreSQL asks only at the connect what a session may turn into.
 */
extern void session_watch_owner(void);
extern bool session_owner_has_changed(void);

/* Are we a background process of durable? */
extern bool session_is_worker(void);

/* A client's session that a superuser turned into another role's with SET SESSION AUTHORIZATION? */
extern bool session_is_assumed(void);

/* Closes the cursors that user code left open, so that none of them runs at commit, with other rights. */
extern void session_close_cursors(void);

/*
 * Starts the (sub)transaction of a work item, READ COMMITTED and read-write,
 * with an active snapshot, and locks the extension. False, with nothing
 * started, when the extension is not there any more, or in a worker when the
 * owner of its hub has changed or may not use it any more. "activity" is what
 * pg_stat_activity shows (may be NULL).
 */
extern bool work_item_begin(const char *activity);
extern void work_item_commit(void);

/* Whatever durable.synchronous_commit says, the commit of this one will be on disk when it returns. */
extern void work_item_flush_at_commit(void);

/* Rolls back whatever the work item did; usable in a PG_CATCH block. */
extern void work_item_abort(void);

/*
 * The engine's own statements run as the extension's owner with a pinned
 * search_path. Leaving is not needed on error: the abort restores.
 */
typedef struct EngineScope
{
	Oid			userid;
	int			sec_context;
	int			guc_nest_level;	/* 0 = nothing to restore */
} EngineScope;

extern void engine_enter(EngineScope *scope);
extern void engine_leave(EngineScope *scope);

/*
 * User code runs as the session's user with the settings the instance was
 * started with ({"search_path": ..., "TimeZone": ...}); whatever it SETs is
 * undone by user_code_leave(). Returns a nest level for user_code_leave().
 */
struct InstanceSettings;
extern int	user_code_enter(const struct InstanceSettings *settings);
extern void user_code_leave(int nest_level);

/*
 * Drops cursors and temporary tables that user code made, before the commit.
 * What else it leaves in a worker's session goes at the end of each work item.
 */
extern void session_discard_temporary_objects(void);

/*
 * The parts of DISCARD ALL that live on after a transaction of user code,
 * committed or not; all cheap when there is nothing. Locks of the session are
 * released last: what they guard is to be committed before. The work items of
 * a worker end with it.
 */
extern void session_discard_leftovers(void);

/* So that nobody can tell what random() gives after user code. */
extern void session_reseed_random(void);

#endif							/* DURABLE_SESSION_H */
