/*
 * registry.c
 *		From name and version to a function: see registry.h.
 */
#include "postgres.h"

#include "dispatch/registry.h"
#include "replay/function_lookup.h"
#include "replay/orchestration_executor.h"
#include "store/hub_store.h"
#include "store/registry_store.h"

/* A retry policy that was looked up in this turn. */
typedef struct SettledRetry
{
	const char *name;
	const char *version;
	Jsonb	   *retry;			/* NULL: none is registered */
} SettledRetry;

char *
registered_orchestrator_function(const char *task_hub, const char *name, const char *version)
{
	const char *function = NULL;

	switch (store_find_orchestrator(task_hub, name, version, &function))
	{
		case NOT_REGISTERED:
			return NULL;
		case OTHER_VERSIONS:
			no_such_version("orchestrator", name, version, store_orchestrator_versions(task_hub, name));
			break;
		case REGISTERED:
			orchestrator_check(registered_function("orchestrator", name, function), function);
			break;
	}
	return (char *) function;
}

char *
orchestrator_function(const char *task_hub, const char *name, const char *version)
{
	char	   *function = store_has_orchestrators(task_hub) ? registered_orchestrator_function(task_hub, name, version) : NULL;

	return function ? function : function_signature(orchestrator_lookup(name));
}

static bool
same_version(const char *a, const char *b)
{
	return strcmp(a ? a : "", b ? b : "") == 0;
}

/* One look-up for all activities of a name and version: a fan-out has thousands. */
static Jsonb *
find_retry(const char *task_hub, const Action *action, List **settled)
{
	SettledRetry *retry;
	ListCell   *lc;

	foreach(lc, *settled)
	{
		retry = lfirst(lc);
		if (strcmp(retry->name, action->name) == 0 && same_version(retry->version, action->version))
			return retry->retry;
	}
	retry = palloc(sizeof(SettledRetry));
	retry->name = action->name;
	retry->version = action->version;
	retry->retry = store_find_activity_retry(task_hub, action->name, action->version);
	*settled = lcons(retry, *settled);
	return retry->retry;
}

void
settle_retry_policies(const RuntimeState *state, const TurnResult *result)
{
	List	   *settled = NIL;
	ListCell   *lc;

	if (!state->rules->has_default_retries || result->completion != NOT_COMPLETED)
		return;					/* after the end nobody looks at failures */
	foreach(lc, result->actions)
	{
		Action	   *action = lfirst(lc);

		if (action->wants_retry)
			action->retry = find_retry(state->task_hub, action, &settled);
	}
}
