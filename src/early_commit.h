/*
 * early_commit.h
 *		Transactions of clients that do nothing but make work for an idle
 *		worker: it begins while their commit is still on its way to disk.
 *
 * Such a transaction commits as one with synchronous_commit = off, and its own
 * session waits for the disk before the client hears of it. So what a client is
 * told is on disk, as ever. What the worker makes of it comes later in the
 * WAL: a crash in between takes both, or what came later.
 *
 * That is for transactions of which everybody else sees nothing but rows of
 * ours before they are durable, as of those that workers commit: whoever has
 * written a byte of WAL beside that keeps the commit the session asks for. What
 * leaves no trace there is not known: a row of an unlogged table that is
 * written after the work was made, and a NOTIFY, which who listens may hear a
 * moment too early.
 *
 * A client that waits for the instance next, as it did the last time, will have
 * its completion written to disk, too. If that comes in a moment, both are
 * written at once.
 */
#ifndef DURABLE_EARLY_COMMIT_H
#define DURABLE_EARLY_COMMIT_H

#include "postgres.h"

/*
 * A client's call is about to make work for an instance, known by a hash, or
 * has made it: what is written in between without a statement are rows of
 * ours. After an error in between nothing of the transaction counts as such.
 */
extern void early_commit_work_begins(uint64 instance);
extern void early_commit_work_ends(void);

/* The store has run a statement that writes, and may fire triggers: if that is to make the work, it is not known any more what was written. */
extern void early_commit_note_statement(void);

/* The client waits for an instance. */
extern void early_commit_note_wait(uint64 instance);

/* Before the commit: may this transaction be committed so, as far as is known then? */
extern bool early_commit_is_allowed(void);

/* It will be. */
extern void early_commit_begin(void);

/* Has it been, and is not made durable yet? */
extern bool early_commit_is_at_work(void);

/* If so, and workers know of it: waits until it is durable as the session demands. */
extern void early_commit_make_durable(void);

/* The transaction has ended, in whatever way. */
extern void early_commit_reset(void);

#endif							/* DURABLE_EARLY_COMMIT_H */
