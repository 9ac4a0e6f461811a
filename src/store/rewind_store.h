/*
 * rewind_store.h
 *		Rewinding failed instances.
 */
#ifndef DURABLE_REWIND_STORE_H
#define DURABLE_REWIND_STORE_H

#include "core/rewind.h"

/*
 * Makes a failed instance run again, from the turn that takes ExecutionRewound
 * on. False: there is none, it has not failed (*status says what it is
 * instead), or it failed before it began (*never_began).
 */
typedef struct RewindRefusal
{
	bool		exists;
	RuntimeStatus status;
	bool		never_began;
} RewindRefusal;

extern bool store_begin_rewind(const char *task_hub, const char *instance_id, Jsonb *reason,
							   TimestampTz now, RewindRefusal *refusal);

/* What the plan needs to know. */
extern RewindFacts *store_read_rewind_facts(const RuntimeState *state, List *child_ids);

/*
 * Carries out the plan for an instance whose lock we hold. Raises a
 * serialization failure if the facts have changed meanwhile.
 */
extern void store_write_rewind(const RuntimeState *state, const RewindPoint *point, const RewindPlan *plan,
							   Jsonb *reason, TimestampTz now);

#endif							/* DURABLE_REWIND_STORE_H */
