/*
 * inline_activities.h
 *		Activities that run in the worker and the transaction of the turn that
 *		asked for them, right after it.
 *
 * A turn whose activities are all known to be brief need not be written down
 * before they run: what they did, their answers and the turn are one
 * transaction, without a row in the queue or the inbox. The next turn follows
 * in memory.
 */
#ifndef DURABLE_INLINE_ACTIVITIES_H
#define DURABLE_INLINE_ACTIVITIES_H

#include "core/decisions.h"
#include "suspects.h"

/* What is known for the length of a transaction; the last fields are orchestration_dispatcher.c's. */
typedef struct InlineScope
{
	const char *task_hub;
	List	   *known;			/* of KnownActivity *: see inline_activities.c */
	int64		n_run;
	const RuntimeState *root;	/* the fetched instance whose turns these are */
	bool		begins_children;	/* children may have their turns, too ... */
	TimestampTz children_until; /* ... before that */
	int			depth;			/* of the child that has its turns now; 0: none has */
	struct HTAB *chosen_ids;	/* of children, in this transaction; NULL: none */
} InlineScope;

/*
 * What is charged if the process dies in a turn of the instance: what has begun
 * in this transaction will not be known after it, so that is who began it.
 */
extern WorkItemKey turn_key(const RuntimeState *state);

/* May activities share transactions in this process? */
extern bool inline_is_turned_on(void);

/*
 * Runs the activities of the outbox, if they are all the last turn asked for
 * and each may be run here and now. Returns the answers (HistoryEvent *) of
 * those that ran, which are taken out of the outbox; what was undone stays in
 * it, to be queued. NIL: none ran.
 */
extern List *inline_activities_run(InlineScope *scope, const RuntimeState *state, Outbox *outbox);

/* Says of the activities that are to be queued which may have rows of the queue together: brief ones, if they are many. */
extern void inline_group_activities(InlineScope *scope, Outbox *outbox);

/*
 * May all that a turn asks for (of Action *) run in the await, and is it little
 * enough not to be shared with other workers? Then *usual_ms is what it takes,
 * as far as it is known.
 */
extern bool inline_suits_await(InlineScope *scope, const RuntimeState *state, const List *actions, double *usual_ms);

/* Runs one there; returns its answer. Throws whatever keeps it from having one. */
extern HistoryEvent *inline_activity_run_within(InlineScope *scope, const RuntimeState *state,
												const HistoryEvent *scheduled);

#endif							/* DURABLE_INLINE_ACTIVITIES_H */
