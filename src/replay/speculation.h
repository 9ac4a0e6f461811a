/*
 * speculation.h
 *		Activities that run inside the await that asks for them, while the
 *		orchestrator stays where it is.
 *
 * The turns are those that there would be anyway, and so is the history; what
 * is saved is the replays between them. But the effects are within the
 * subtransaction of the orchestrator: they stay only if its code returns. If
 * it comes to wait for something else, or an error ends it, all is undone, and
 * the turns are taken one by one. Whoever makes a Speculation does that, and
 * knows where the code is likely to return.
 */
#ifndef DURABLE_SPECULATION_H
#define DURABLE_SPECULATION_H

#include "core/decisions.h"

/* How long the code may run on after activities: others wait for their locks, in ms. */
#define SPECULATION_PATIENCE_MS 40

typedef struct Speculation
{
	/*
	 * Ends the turn in the state, runs what it asks for, and begins the next
	 * one with the answers. False, and nothing happened: that is not for here
	 * and now. What it throws undoes all.
	 */
	bool		(*run) (struct Speculation *speculation, RuntimeState *state, TurnResult *turn);
	bool		has_effects;	/* run() has run something */
	bool		is_running;		/* run() is at it */
	bool		has_failed;		/* all was undone but the state, which is that of the last turn */
	bool		timed_out;		/* has_failed: of time */
	ErrorData  *cancel;			/* has_failed: for whoever made it to throw; NULL: none */
} Speculation;

struct OrchestrationContext;

/* The events ran out: did answers come of this? */
extern bool speculation_goes_on(struct OrchestrationContext *context);

/*
 * The code has returned: what was run within it is to stay, and nothing of the
 * code's own. Throws, which undoes all, if it has caught the end of its turn,
 * or may have done what an orchestrator must not do.
 */
extern void speculation_ends(struct OrchestrationContext *context);

#endif							/* DURABLE_SPECULATION_H */
