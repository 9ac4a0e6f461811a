/*
 * double_replay.h
 *		Comparing two runs of the same turn (durable.double_replay).
 */
#ifndef DURABLE_DOUBLE_REPLAY_H
#define DURABLE_DOUBLE_REPLAY_H

#include "core/decisions.h"

/*
 * The first thing in which two runs of a turn differ, with both sides, for
 * people to read; NULL if they asked for the same and came to the same. Where
 * an error was raised (its context) does not count.
 */
extern char *turn_results_difference(const TurnResult *first, const TurnResult *second);

/* ---- the words of it, for others that compare ---- */

/* Where two texts begin to differ. */
extern int	common_length(const char *first, const char *second);

/* The part of a text that shows the difference at "position". */
extern char *excerpt(const char *text, int position);

/* As text; NULL if there is none. */
extern char *json_text(Jsonb *json);

/* Without the context of the error, which has line numbers and the like: no part of what the code did. */
extern char *failure_text(Jsonb *failure);

/* What an action asks for, as: activity "charge"; NULL if there is none. */
extern char *action_text(const Action *action);

#endif							/* DURABLE_DOUBLE_REPLAY_H */
