/*
 * replay_check.h
 *		Does a recorded history fit the code? (check_replay())
 */
#ifndef DURABLE_REPLAY_CHECK_H
#define DURABLE_REPLAY_CHECK_H

#include "core/decisions.h"

/* Where history and code part; texts are for people, NULL where there is nothing to say. */
typedef struct ReplayVerdict
{
	bool		fits;
	int			event_seq;		/* the event in the history; 0: none */
	const char *event;			/* its type */
	const char *recorded;
	const char *requested;
	const char *message;
} ReplayVerdict;

/*
 * Replays the state's past events, which are a recorded history, against a
 * function (its signature; NULL: the one it was started with) and finds the
 * first event that the code contradicts. If the code brought the execution to
 * its end, it must come to the same end, without asking for more; else it may
 * ask for anything new after the last event, but not fail. strict: the inputs
 * of what it asks for must be the recorded ones, too. Changes nothing.
 * Throws what orchestration_execute() throws.
 */
extern void replay_check(const RuntimeState *state, const char *function, bool strict, ReplayVerdict *verdict);

#endif							/* DURABLE_REPLAY_CHECK_H */
