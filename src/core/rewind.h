/*
 * rewind.h
 *		Taking a failed execution back to where it can go on (semantics.md 3.12).
 *
 * The Durable Task Framework removes the failures from the history and lets
 * replay ask again for what failed. That contradicts the code when it had
 * gone on after a failure (a handler that compensates, say), so we also forget
 * what it asked for since it saw the failure that was its end. Failures it
 * handled before stay. What succeeded stays, and is not run again.
 */
#ifndef DURABLE_REWIND_H
#define DURABLE_REWIND_H

#include "core/runtime_state.h"

/* Where the code began to fail; found by replaying it. */
typedef struct RewindPoint
{
	int			first_forgotten_id; /* actions from this number on were asked for after it */
	List	   *failed_ids;		/* of int: actions whose failures are undone */
} RewindPoint;

/* Nothing failed that could be undone. */
#define FORGET_NOTHING PG_INT32_MAX

/* The instance that now has the id of a child. */
typedef struct ChildFact
{
	const char *instance_id;
	const char *name;
	RuntimeStatus status;
	bool		has_parent;
	pg_uuid_t	parent_execution_id;
	int			parent_task_id;
	Jsonb	   *output;
} ChildFact;

/* What became of the things the execution still waits for. */
typedef struct RewindFacts
{
	List	   *queued_ids;		/* of int: activities in the queue */
	List	   *children;		/* of ChildFact * */
} RewindFacts;

typedef struct RewindPlan
{
	List	   *removed_seqs;	/* of int: rows of the history to delete */
	List	   *reflagged;		/* of HistoryEvent *: kept ones that open or close their turn now */
	List	   *messages;		/* of HistoryEvent *: answers that were lost, and timers */
	List	   *failed_children;	/* of char *: to be rewound, too */
} RewindPlan;

/* Has the instance been told to rewind, and not done so yet? Its history ends with its failure then. */
extern bool rewind_is_due(const RuntimeState *state);

/* Ids of the children about whose fate the plan wants to know. */
extern List *rewind_children(const RuntimeState *state);

/*
 * Removes from the state's past what is to be forgotten, and says what has to
 * be done about it. What the messages answer, which come with this turn, is
 * not asked for again.
 */
extern RewindPlan *rewind_history(RuntimeState *state, List *messages, const RewindPoint *point,
								  const RewindFacts *facts, TimestampTz now);

/* The messages but for answers to what is forgotten or asked for again. */
extern List *rewind_messages(List *messages, const RewindPoint *point);

#endif							/* DURABLE_REWIND_H */
