/*
 * versioning.c
 *		Instances whose version their hub does not run: see versioning.h.
 */
#include "postgres.h"

#include "core/failure.h"
#include "dispatch/versioning.h"
#include "store/hub_store.h"

/* How soon to look again while the versioning is being changed. */
#define CHANGE_INTERVAL USECS_PER_SEC

const HistoryEvent *
find_termination(List *events, bool recursive)
{
	ListCell   *lc;

	foreach(lc, events)
	{
		const HistoryEvent *event = lfirst(lc);

		if (event->type == EVENT_EXECUTION_TERMINATED && (event->recurse || !recursive))
			return event;
	}
	return NULL;
}

bool
versioning_keeps_waiting(const FetchedInstance *fetched)
{
	const RuntimeState *state = fetched->state;
	const HubVersioning *versioning = &state->rules->versioning;

	return !runtime_status_is_finished(state->status) && !versioning->fails &&
		version_mismatch(versioning, state->version) != NULL &&
		find_termination(fetched->messages, false) == NULL;
}

Jsonb *
version_mismatch_failure(const char *message)
{
	Failure		failure = {0};

	failure.sqlstate = "UD009";
	failure.error_type = "VersionMismatch";
	failure.message = message;
	failure.hint = "durable.set_hub_versioning() sets which versions the task hub runs.";
	failure.non_retriable = true;
	return failure_make(&failure);
}

TimestampTz
rejected_until(const RuntimeState *state, TimestampTz now)
{
	if (store_pin_hub_versioning(state->task_hub, &state->rules->versioning))
		return DT_NOEND;
	return now + CHANGE_INTERVAL;
}
