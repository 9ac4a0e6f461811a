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

/* Are we a background process of durable? */
extern bool session_is_worker(void);

/*
 * Starts the (sub)transaction of a work item, READ COMMITTED and read-write,
 * with an active snapshot, and locks the extension. False, with nothing
 * started, when the extension is not there any more, or in a worker when the
 * owner of its hub may not use it any more. "activity" is what
 * pg_stat_activity shows (may be NULL).
 */
extern bool work_item_begin(const char *activity);
extern void work_item_commit(void);

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
 * Drops temporary tables and LISTENs that user code made, before the commit.
 * What else it leaves in a worker's session (prepared statements, advisory
 * locks) goes at the end of each work item.
 */
extern void session_discard_temporary_objects(void);

#endif							/* DURABLE_SESSION_H */
