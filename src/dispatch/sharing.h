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

/* The second half of that: are there subtransaction ids for another one? */
extern bool sharing_has_ids(void);

/* Has what was begun in time the time to go on? It has as much again: all it did would be undone. */
extern bool sharing_may_go_on(void);

/* An activity begins, in its subtransaction. */
extern void sharing_watch(void);

/*
 * It does what the turns of its transaction would have to see, or would see
 * what they have not written yet (in words): that is a trace of it. Nothing
 * outside an activity that shares.
 */
extern void sharing_note(const char *what);

/* Was anything noted of the last one, a command it ran for example? Its subtransaction may be over. */
extern bool sharing_noted(void);

/*
 * At its end, still in its subtransaction: what did it leave there that others
 * could meet (in words)? NULL: nothing.
 */
extern const char *sharing_trace(void);

/* The same place: is anybody to be told at the commit? Also of those that do not share. */
extern bool sharing_has_notified(void);

/* After its subtransaction: takes away what it left in the session. */
extern void sharing_tidy(void);

/*
 * The engine writes what came of them. It may have to wait for a client, who may
 * wait for a lock of theirs: so, if any has run, it throws when it waits for
 * long. Then all is to be undone, and each to run alone.
 */
extern int	sharing_begin_writing(void);
extern void sharing_end_writing(int nest_level);

#endif							/* DURABLE_SHARING_H */
