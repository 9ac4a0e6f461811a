/*
 * check_api.c
 *		check_orchestrator(): what can be seen in a function before it runs.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/regproc.h"
#include "utils/tuplestore.h"

#include "arguments.h"
#include "client/hub_access.h"
#include "dispatch/activity_function.h"
#include "dispatch/registry.h"
#include "replay/body_check.h"
#include "replay/function_lookup.h"
#include "replay/orchestration_executor.h"
#include "store/registry_store.h"

PG_FUNCTION_INFO_V1(durable_check_orchestrator);

/* The arguments and the columns of its result. */
enum
{
	A_FUNCTION, A_TASK_HUB
};

#define N_COLUMNS 5

static void
check_orchestrator_name(const Hub *hub, const char *name, const char *version, bool version_known)
{
	if (!version_known && store_orchestrator_versions(hub->name, name) != NULL)
		return;
	(void) orchestrator_function(hub->name, name, version ? version : hub->default_version);
}

/* The function of a name; of several the input decides, which is not known: then none. */
static Oid
find_activity(const char *name)
{
	List	   *candidates = activity_candidates(name);

	return list_length(candidates) == 1 ? linitial_oid(candidates) : InvalidOid;
}

static void
check_activity_name(const Hub *hub, const char *name, const char *version, bool version_known)
{
	const char *function = NULL;
	Oid			oid = InvalidOid;

	switch (store_find_activity(hub->name, name, version, &function))
	{
		case OTHER_VERSIONS:
			if (version_known)
				no_such_version("activity", name, version, store_activity_versions(hub->name, name));
			return;
		case REGISTERED:
			oid = function ? registered_function("activity", name, function) : find_activity(name);
			break;
		case NOT_REGISTERED:
			oid = find_activity(name);
			break;
	}
	if (OidIsValid(oid))
		activity_function_check(oid, name);
}

/* Where names are looked up: not in what the function SETs, since the engine runs what is called without it. */
typedef struct NameScope
{
	Hub			hub;
	const char *search_path;
} NameScope;

/* Raises what a call of the name would. */
static void
check_name(void *arg, NameKind kind, const char *name, const char *version, bool version_known)
{
	const NameScope *scope = arg;
	int			nest_level = NewGUCNestLevel();

	(void) set_config_option("search_path", scope->search_path, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	if (kind == NAME_OF_ACTIVITY)
		check_activity_name(&scope->hub, name, version, version_known);
	else
		check_orchestrator_name(&scope->hub, name, version, version_known);
	AtEOXact_GUC(true, nest_level);
}

static void
check_signature(BodyCheck *check, void *function)
{
	orchestrator_check(*(Oid *) function, format_procedure(*(Oid *) function));
}

/* By line, what is of the whole function first; then as they were found. */
static int
compare_findings(const ListCell *a, const ListCell *b)
{
	const Finding *first = lfirst(a);
	const Finding *second = lfirst(b);

	return first->line != second->line ? first->line - second->line : first->number - second->number;
}

static void
put_finding(ReturnSetInfo *rsinfo, const Finding *finding)
{
	Datum		values[N_COLUMNS];
	bool		nulls[N_COLUMNS] = {false};

	nulls[0] = finding->line == NO_LINE;
	values[0] = Int32GetDatum(finding->line);
	values[1] = CStringGetTextDatum(finding->is_warning ? "warning" : "error");
	values[2] = CStringGetTextDatum(unpack_sql_state(finding->sqlstate));
	values[3] = CStringGetTextDatum(finding->message);
	nulls[4] = finding->hint == NULL;
	values[4] = finding->hint ? CStringGetTextDatum(finding->hint) : (Datum) 0;
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/* Bodies are visible to all in pg_proc: who may look at the hub may check. */
Datum
durable_check_orchestrator(PG_FUNCTION_ARGS)
{
	NameScope	scope;
	BodyCheck	check = {0};
	Oid			function;
	ListCell   *lc;

	client_call_begin(fcinfo);
	require_argument(fcinfo, A_FUNCTION, "function");
	hub_to_look_in(fcinfo, A_TASK_HUB, &scope.hub);
	scope.search_path = pstrdup(namespace_search_path);
	function = PG_GETARG_OID(A_FUNCTION);
	InitMaterializedSRF(fcinfo, 0);
	check.check_name = check_name;
	check.name_arg = &scope;
	check.memory = CurrentMemoryContext;
	(void) body_check_part(&check, check_signature, &function, -1);
	body_check_function(&check, function);
	list_sort(check.findings, compare_findings);
	foreach(lc, check.findings)
		put_finding((ReturnSetInfo *) fcinfo->resultinfo, lfirst(lc));
	return (Datum) 0;
}
