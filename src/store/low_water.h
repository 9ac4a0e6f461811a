/*
 * low_water.h
 *		From where on a queue is to be looked at.
 *
 * A queue is read from its oldest entry on. While some transaction holds an
 * old snapshot, the entries of what was done since stay in the index, and each
 * look would walk over all of them. Where looks become slow, this process
 * passes over them once, and its next looks begin behind.
 *
 * What is inserted with an earlier time after that is found by the looks that
 * begin at the front all the same: one in so many that they take a small part
 * of the time, and the last one before a process sleeps.
 */
#ifndef DURABLE_LOW_WATER_H
#define DURABLE_LOW_WATER_H

#include "postgres.h"
#include "datatype/timestamp.h"
#include "nodes/pg_list.h"

typedef enum QueueKind
{
	QUEUE_INBOX,
	QUEUE_ACTIVITIES
} QueueKind;

/* The time to look from on; DT_NOBEGIN: the front. Inside a transaction. */
extern TimestampTz low_water(const char *task_hub, QueueKind queue);

/* A look from there on, which began at a time (of GetCurrentTimestamp), is over. */
extern void low_water_looked(const char *task_hub, QueueKind queue, TimestampTz began);

/* The hubs with a queue that is not looked at from the front, as a list of names. */
extern List *low_water_hubs(void);

/* When a look at the hub's queues has to begin at the front; DT_NOEND: the last one did. */
extern TimestampTz low_water_next_full_look(const char *task_hub);

#endif							/* DURABLE_LOW_WATER_H */
