/*
 * registry.h
 *		From name and version to a function: what is registered, else what a
 *		call in the current search_path would find.
 */
#ifndef DURABLE_REGISTRY_H
#define DURABLE_REGISTRY_H

#include "core/decisions.h"

/*
 * The function of an orchestrator to be started, qualified with its argument
 * types. Raises an error if there is none, if the name is registered but not
 * for this version, or if the function cannot be an orchestrator.
 */
extern char *orchestrator_function(const char *task_hub, const char *name, const char *version);

/* The same for an instance that goes on in another version; NULL if the name is not registered at all. */
extern char *registered_orchestrator_function(const char *task_hub, const char *name, const char *version);

/*
 * Activities that were asked for without a retry policy get the registered
 * one, to be recorded with them: a replay must not see another.
 */
extern void settle_retry_policies(const RuntimeState *state, const TurnResult *result);

#endif							/* DURABLE_REGISTRY_H */
