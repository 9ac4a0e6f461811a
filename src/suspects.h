/*
 * suspects.h
 *		Work items that were running when their process died: counted even
 *		when each death restarts the whole server, at no cost in WAL.
 *
 * A small file in the data directory is mapped by every worker. It holds the
 * item each worker has in hand and how often items were in hand at a death.
 */
#ifndef DURABLE_SUSPECTS_H
#define DURABLE_SUSPECTS_H

#include "postgres.h"

/* Identifies a work item: a turn (task_id -1) or an activity of an execution. */
typedef struct WorkItemKey
{
	const char *task_hub;
	const char *instance_id;
	const unsigned char *execution_id;	/* 16 bytes */
	int			task_id;
} WorkItemKey;

/* What suspect_take() returns when the item must wait for another suspect to be through. */
#define SUSPECT_MUST_WAIT (-1)

/* How long it waits then, in microseconds. */
#define SUSPECT_INTERVAL (250 * INT64CONST(1000))

/*
 * "I am about to run this." Returns how often a process died with it in hand
 * so far. Items that were in hand at a death run one at a time in the whole
 * server, so that one that merely stood by is not charged again and again for
 * the same culprit. In a session without shared memory (or a client session) a
 * no-op that returns 0.
 */
extern int	suspect_take(const WorkItemKey *key);

/* Was it in hand at a death? In a session without shared memory: no. */
extern bool suspect_is_charged(const WorkItemKey *key);

/* "I am through with it, whatever came of it": clears the hand, and its count if it had one. */
extern void suspect_release(void);

/*
 * The rest is for those who run the processes; a hand has the number of its
 * process's slot.
 */

/* Server start, in the postmaster: charges what was in hand at a crash. */
extern void suspects_start(int n_hands);

/* This process uses that hand from now on. */
extern void suspect_use_hand(int hand);

/* This process exits in an orderly way: what it has in hand is no sign of a crash. */
extern void suspect_hand_left(int hand);

/* Has a process left something in that hand? */
extern bool suspect_in_hand(int hand);

/* Empties the hand of a process that has gone, counting what was in it if "charge". */
extern void suspect_empty_hand(int hand, bool charge);

#endif							/* DURABLE_SUSPECTS_H */
