/*
 * orchestration_executor.h
 *		Runs an orchestrator function over its history.
 */
#ifndef DURABLE_ORCHESTRATION_EXECUTOR_H
#define DURABLE_ORCHESTRATION_EXECUTOR_H

#include "core/decisions.h"
#include "core/rewind.h"
#include "replay/speculation.h"

/*
 * Replays the past events and plays the new ones, and says what came of it;
 * NULL if that took longer than patience_ms (0: no limit), which is less than
 * durable.orchestrator_timeout: then it has to be done again, alone; so it has if the function
 * was changed by others meanwhile. NULL, with
 * state->needs_copy, also if the function is not the instance's code any more
 * and there is no state->copy of that; or with speculation->has_failed, which undid all. Touches no table and leaves no trace but the result, which lives in
 * CurrentMemoryContext. With durable.double_replay it does so twice, each time within
 * the limits, and a difference is a failure (UD002). Throws only what is not the orchestrator's fault
 * (out of memory, a cancel from outside): then the turn has to be repeated.
 */
extern TurnResult *orchestration_execute(RuntimeState *state, int patience_ms, Speculation *speculation);

/*
 * Replays a recorded history, all of it past, once, and says what the code
 * comes to at its end; the context shows how far it got. Leaves no other trace.
 * strict: inputs are compared, too; the history must have been read with them.
 * Throws what orchestration_execute() throws.
 */
struct OrchestrationContext;
extern TurnResult *orchestration_replay(RuntimeState *state, bool strict, struct OrchestrationContext **context);

/*
 * Replays a failed execution to find out what its code failed of. Throws what
 * orchestration_execute() throws; NULL when it has to have a copy first, as that.
 */
extern RewindPoint *orchestration_find_failure(RuntimeState *state);

/*
 * Checks that a function can be an orchestrator: one jsonb argument or none,
 * returning jsonb or void, not a set. Raises an error that says what is wrong.
 */
extern void orchestrator_check(Oid function, const char *name);

/* After an error that went through orchestration_execute(): nothing runs any more. */
extern void orchestration_reset(void);

#endif							/* DURABLE_ORCHESTRATION_EXECUTOR_H */
