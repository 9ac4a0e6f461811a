/*
 * sharing.h
 *		Activities that share a transaction, with each other or with turns:
 *		it must not be felt (design.md 4).
 *
 * Each runs in its own subtransaction and with its own settings, under a short
 * time limit, so that it waits for no lock while it holds those of others.
 * One that leaves in the transaction or in the session what another could
 * meet is undone, and runs alone.
 */
#ifndef DURABLE_SHARING_H
#define DURABLE_SHARING_H

#include "postgres.h"

/* The longest that an activity may take, waiting included, before it is undone and runs alone, in ms. */
#define SHARED_ACTIVITY_MS 10

/* Installs the hook that sees commands; once a process. */
extern void sharing_init(void);

/* A transaction begins in which activities may share. */
extern void sharing_begin(void);

/* Has one of them run in it? */
extern bool sharing_is_used(void);

/*
 * May another one? Not when others would feel it: for as long as the first one holds
 * its locks, and for as many subtransaction ids as other sessions' snapshots can hold.
 */
extern bool sharing_has_room(void);

/* An activity begins, in its subtransaction. */
extern void sharing_watch(void);

/*
 * At its end, still in its subtransaction: what did it leave there that others
 * could meet (in words)? NULL: nothing.
 */
extern const char *sharing_trace(void);

/* After its subtransaction: takes away what it left in the session. */
extern void sharing_tidy(void);

#endif							/* DURABLE_SHARING_H */
