/*
 * speculative_turns.h
 *		Turns that follow one another while the orchestrator waits, with the
 *		activities between them (replay/speculation.h).
 *
 * It is tried where the code was seen to return, without waiting for anything
 * but activities, from the same place on: where the activity has the same
 * number. After a failure it takes several more of these, at each place it
 * passed: from there on it would have failed, too.
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
	List	   *first_ids;		/* of int: the first activity of each turn, which are the places it passed */
	double		usual_ms;		/* what its activities take, as far as it is known */
	bool		had_no_time;	/* they took longer than a transaction may be shared */
	int			n_turns;		/* that it added */
	int			n_activities;
	RuntimeState before;
} SpeculativeTurns;

/* For one run of the code; what leaves goes to the outbox. */
extern void speculative_turns_init(SpeculativeTurns *turns, InlineScope *scope, Outbox *outbox, int max_history_events);

/* It failed: the state is as it was when it began, and the outbox empty. Remembers that. */
extern void speculative_turns_undo(SpeculativeTurns *turns, RuntimeState *state);

/* It was used, and the code returned. */
extern void speculative_turns_keep(SpeculativeTurns *turns, const RuntimeState *state);

/* An execution has returned: from where on does it wait for activities alone? Also from where it was not tried. */
extern void speculative_turns_learn(const RuntimeState *state);

#endif							/* DURABLE_SPECULATIVE_TURNS_H */
