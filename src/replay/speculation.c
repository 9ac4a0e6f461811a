/*
 * speculation.c
 *		Activities inside an await: see speculation.h.
 */
#include "postgres.h"

#include "utils/memutils.h"
#include "utils/portal.h"

#include "replay/orchestration_context.h"
#include "replay/orchestrator_checks.h"
#include "replay/sandbox.h"
#include "replay/speculation.h"
#include "session.h"

static bool
asks_for_something(const OrchestrationContext *context)
{
	for (int id = 0; id < context->next_id && id < context->max_actions; id++)
		if (context->actions[id] != NULL)
			return true;
	return false;
}

/*
 * Not beside an open cursor, which the activity's would be closed with; nor in
 * code that is not checked: what that does is meant to be undone with its
 * turn. (The queries around are SELECTs that write nothing. PostgreSQL fires
 * deferred triggers outside of any other query only.)
 */
static bool
may_speculate(const OrchestrationContext *context)
{
	return context->speculation != NULL && !context->is_suspended && context->cancelled_timers == NIL &&
		!context->is_unchecked && asks_for_something(context) && sandbox_is_bare() && ThereAreNoReadyPortals();
}

/* What the turn has come to, were it to end here. */
static void
describe_turn(OrchestrationContext *context, TurnResult *turn)
{
	turn->actions = orchestration_new_actions(context);
	turn->waiting_events = orchestration_waiting_events(context);
	turn->has_custom_status = context->has_custom_status;
	turn->custom_status = context->custom_status;
}

/* What runs meanwhile is no orchestrator's code. */
static bool
run_outside(OrchestrationContext *context, TurnResult *turn)
{
	Speculation *speculation = context->speculation;
	bool		goes_on;

	current_orchestration = NULL;
	orchestrator_checks_end();
	session_reseed_random();
	speculation->is_running = true;
	goes_on = speculation->run(speculation, context->state, turn);
	speculation->is_running = false;
	orchestrator_checks_begin();
	current_orchestration = context;
	return goes_on;
}

bool
speculation_goes_on(OrchestrationContext *context)
{
	MemoryContext old;
	TurnResult	turn = {0};
	bool		goes_on;

	if (!may_speculate(context))
		return false;
	old = MemoryContextSwitchTo(context->memory);
	describe_turn(context, &turn);
	goes_on = run_outside(context, &turn);
	if (goes_on)
		orchestration_take_events(context);
	MemoryContextSwitchTo(old);
	return goes_on;
}

/* Cursors that the code has left open would be closed with its subtransaction, were it not to stay. */
void
speculation_ends(OrchestrationContext *context)
{
	if (context->speculation == NULL || !context->speculation->has_effects)
		return;
	if (context->stop_reason == NOT_STOPPED && context->is_unchecked)
		context->stop_reason = STOPPED_WAITING;
	if (context->stop_reason != NOT_STOPPED)
		orchestration_unwind(context);
	session_close_cursors();
}
