/*
 * reconcile.h
 *		Which messages of a batch an instance accepts, and in what order.
 */
#ifndef DURABLE_RECONCILE_H
#define DURABLE_RECONCILE_H

#include "core/runtime_state.h"

/* Is the message for this execution, or for whichever is current? */
extern bool reconcile_is_for(const HistoryEvent *message, const pg_uuid_t *execution_id);

/*
 * Puts the ExecutionStarted of the current execution first and leaves the
 * order of the rest (semantics.md 3.2, and its DECIDE: a start goes first
 * always, also a child's, so that nothing sent before it is lost).
 */
extern List *reconcile_start_first(List *messages, const pg_uuid_t *execution_id);

/*
 * The messages, in order, that belong in the history of this instance
 * (semantics.md 3.3): none for a finished or never started one, no second
 * start, nothing addressed to another execution, nothing that is no message.
 */
extern List *reconcile_messages(const RuntimeState *state, List *messages);

#endif							/* DURABLE_RECONCILE_H */
