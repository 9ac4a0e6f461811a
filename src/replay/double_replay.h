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

#endif							/* DURABLE_DOUBLE_REPLAY_H */
