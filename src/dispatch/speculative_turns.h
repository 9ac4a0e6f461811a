/*
 * speculative_turns.h
 *		Turns that follow one another while the orchestrator waits, with the
 *		activities between them (replay/speculation.h).
 *
 * It is tried where the code was seen to return, without waiting for anything
 * but activities, from the same place on: where the activity has the same
 * number. After a failure it takes several more of these.
 */
#ifndef DURABLE_SPECULATIVE_TURNS_H
#define DURABLE_SPECULATIVE_TURNS_H

#include "dispatch/inline_activities.h"
#include "replay/speculation.h"

typedef struct SpeculativeTurns
{
	Speculation speculation;	/* what the replay sees of it */
	InlineScope *scope;
	Outbox	   *outbox;
	int			max_history_events;
	uint64		place;			/* where in which code it began */
	int			n_turns;		/* that it added */
	int			n_activities;
	RuntimeState before;
} SpeculativeTurns;

/* For one run of the code; what leaves goes to the outbox. */
extern void speculative_turns_init(SpeculativeTurns *turns, InlineScope *scope, Outbox *outbox, int max_history_events);

/* It failed: the state is as it was when it began, and the outbox empty. Remembers that. */
extern void speculative_turns_undo(SpeculativeTurns *turns, RuntimeState *state);

/* It was used, and the code returned. */
extern void speculative_turns_keep(SpeculativeTurns *turns);

/* An execution has returned that was taken turn by turn: from where on would it have served? */
extern void speculative_turns_learn(const RuntimeState *state);

#endif							/* DURABLE_SPECULATIVE_TURNS_H */
