/*
 * registry_store.c
 *		Registered orchestrators and activities: see registry_store.h.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "store/direct_rows.h"
#include "store/registry_store.h"
#include "store/store.h"

static StoreStatement find_orchestrator = {
	NEAREST_REGISTRATION("orchestrators", "r.version, r.function", "$1", "$2", "$3"), 3, {TEXTOID, TEXTOID, TEXTOID}
};

static StoreStatement find_activity = {
	NEAREST_REGISTRATION("activities", "r.version, r.function", "$1", "$2", "$3"), 3, {TEXTOID, TEXTOID, TEXTOID}
};

static StoreStatement find_registration = {
	NEAREST_REGISTRATION("activities", "r.version, r.function, r.timeout_ms, r.max_concurrency, r.external", "$1", "$2", "$3"),
	3, {TEXTOID, TEXTOID, TEXTOID}
};

static StoreStatement find_activity_retry = {
	NEAREST_REGISTRATION("activities", "r.version, r.retry", "$1", "$2", "$3"), 3, {TEXTOID, TEXTOID, TEXTOID}
};

#define VERSIONS_OF(table) \
	"SELECT pg_catalog.string_agg('\"' || r.version || '\"', ', ' ORDER BY r.version)" \
	" FROM durable_store." table " r WHERE r.task_hub = $1 AND r.name = $2"

static StoreStatement orchestrator_versions = {VERSIONS_OF("orchestrators"), 2, {TEXTOID, TEXTOID}};
static StoreStatement activity_versions = {VERSIONS_OF("activities"), 2, {TEXTOID, TEXTOID}};

static StoreStatement register_orchestrator = {
	"INSERT INTO durable_store.orchestrators AS r (task_hub, name, version, function) VALUES ($1, $2, $3, $4)"
	" ON CONFLICT (task_hub, name, version) DO UPDATE SET registered_at = excluded.registered_at"
	" WHERE r.function = excluded.function",
	4, {TEXTOID, TEXTOID, TEXTOID, TEXTOID}
};

static StoreStatement register_activity = {
	"INSERT INTO durable_store.activities AS r (task_hub, name, version, function, retry, timeout_ms, max_concurrency, external)"
	" VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"
	" ON CONFLICT (task_hub, name, version) DO UPDATE SET registered_at = excluded.registered_at, retry = excluded.retry,"
	"  timeout_ms = excluded.timeout_ms, max_concurrency = excluded.max_concurrency, external = excluded.external"
	" WHERE r.function IS NOT DISTINCT FROM excluded.function",
	8, {TEXTOID, TEXTOID, TEXTOID, TEXTOID, JSONBOID, INT4OID, INT4OID, BOOLOID}
};

#define FUNCTION_OF(table) \
	"SELECT r.function FROM durable_store." table " r WHERE r.task_hub = $1 AND r.name = $2 AND r.version = $3"

static StoreStatement orchestrator_function = {FUNCTION_OF("orchestrators"), 3, {TEXTOID, TEXTOID, TEXTOID}};
static StoreStatement activity_function = {FUNCTION_OF("activities"), 3, {TEXTOID, TEXTOID, TEXTOID}};

#define UNREGISTER(table) \
	"DELETE FROM durable_store." table " r WHERE r.task_hub = $1 AND r.name = $2 AND r.version = $3"

static StoreStatement unregister_orchestrator = {UNREGISTER("orchestrators"), 3, {TEXTOID, TEXTOID, TEXTOID}};
static StoreStatement unregister_activity = {UNREGISTER("activities"), 3, {TEXTOID, TEXTOID, TEXTOID}};

RegistryMatch
registry_match(const char *registered_version, const char *version)
{
	if (registered_version == NULL)
		return NOT_REGISTERED;
	if (registered_version[0] == '\0' || strcmp(registered_version, version ? version : "") == 0)
		return REGISTERED;
	return OTHER_VERSIONS;
}

static void
set_key(Datum *values, const char *task_hub, const char *name, const char *version)
{
	values[0] = TEXT_DATUM(task_hub);
	values[1] = TEXT_DATUM(name);
	values[2] = TEXT_DATUM(version ? version : "");
}

static RegistryMatch
find_function(StoreStatement *statement, const char *task_hub, const char *name, const char *version, const char **function)
{
	RegistryMatch match = NOT_REGISTERED;
	Datum		values[3];
	StoreScope	scope;

	set_key(values, task_hub, name, version);
	store_open(&scope);
	if (store_execute(statement, values, NULL) > 0)
	{
		Row			row = store_row(&scope, 0);

		match = registry_match(row_text(&row, 1), version);
		*function = row_text(&row, 2);
	}
	store_close(&scope);
	return match;
}

RegistryMatch
store_find_orchestrator(const char *task_hub, const char *name, const char *version, const char **function)
{
	return find_function(&find_orchestrator, task_hub, name, version, function);
}

RegistryMatch
store_find_activity(const char *task_hub, const char *name, const char *version, const char **function)
{
	return find_function(&find_activity, task_hub, name, version, function);
}

/* Is any version of an activity registered? Mostly none is, which is found out at a fraction of the cost of a statement. */
static bool
activity_is_registered(const char *task_hub, const char *name)
{
	ScanKeyData keys[2];

	if (direct_table_is_empty("activities"))
		return false;
	direct_text_key(&keys[0], 1, TEXT_DATUM(task_hub));
	direct_text_key(&keys[1], 2, TEXT_DATUM(name));
	return direct_has_row("activities", "activities_pkey", 2, keys);
}

RegistryMatch
store_find_registration(const char *task_hub, const char *name, const char *version,
						ActivityRegistration *registration)
{
	Datum		values[3];
	StoreScope	scope;

	memset(registration, 0, sizeof(ActivityRegistration));
	registration->name = name;
	if (!activity_is_registered(task_hub, name))
		return NOT_REGISTERED;
	set_key(values, task_hub, name, version);
	store_open(&scope);
	if (store_execute(&find_registration, values, NULL) > 0)
	{
		Row			row = store_row(&scope, 0);

		registration->version = row_text(&row, 1);
		registration->function = row_text(&row, 2);
		registration->timeout_ms = row_int32(&row, 3);
		registration->max_concurrency = row_int32(&row, 4);
		registration->external = row_bool(&row, 5);
	}
	store_close(&scope);
	return registry_match(registration->version, version);
}

Jsonb *
store_find_activity_retry(const char *task_hub, const char *name, const char *version)
{
	Jsonb	   *retry = NULL;
	Datum		values[3];
	StoreScope	scope;

	set_key(values, task_hub, name, version);
	store_open(&scope);
	if (store_execute(&find_activity_retry, values, NULL) > 0)
	{
		Row			row = store_row(&scope, 0);

		if (registry_match(row_text(&row, 1), version) == REGISTERED)
			retry = row_jsonb(&row, 2);
	}
	store_close(&scope);
	return retry;
}

/* The one text value a statement returns; NULL if there is no row or it is null. */
static char *
query_text(StoreStatement *statement, Datum *values)
{
	char	   *text = NULL;
	StoreScope	scope;

	store_open(&scope);
	if (store_execute(statement, values, NULL) > 0)
	{
		Row			row = store_row(&scope, 0);

		text = row_text(&row, 1);
	}
	store_close(&scope);
	return text;
}

static char *
query_versions(StoreStatement *statement, const char *task_hub, const char *name)
{
	Datum		values[2] = {TEXT_DATUM(task_hub), TEXT_DATUM(name)};

	return query_text(statement, values);
}

char *
store_orchestrator_versions(const char *task_hub, const char *name)
{
	return query_versions(&orchestrator_versions, task_hub, name);
}

char *
store_activity_versions(const char *task_hub, const char *name)
{
	return query_versions(&activity_versions, task_hub, name);
}

/* Runs an upsert; if it changed nothing, looks up in whose way it is. */
static bool
upsert(StoreStatement *statement, StoreStatement *function_in_the_way, Datum *values, const char *nulls, const char **other)
{
	StoreScope	scope;
	bool		done;

	store_open(&scope);
	done = store_execute(statement, values, nulls) > 0;
	store_close(&scope);
	if (!done)
		*other = query_text(function_in_the_way, values);
	return done;
}

bool
store_register_orchestrator(const char *task_hub, const char *name, const char *version,
							const char *function, const char **other)
{
	Datum		values[4];

	set_key(values, task_hub, name, version);
	values[3] = TEXT_DATUM(function);
	return upsert(&register_orchestrator, &orchestrator_function, values, NULL, other);
}

bool
store_register_activity(const char *task_hub, const ActivityRegistration *activity, const char **other)
{
	char		nulls[] = "        ";
	Datum		values[8];

	set_key(values, task_hub, activity->name, activity->version);
	values[3] = activity->function ? TEXT_DATUM(activity->function) : (Datum) 0;
	nulls[3] = activity->function ? ' ' : 'n';
	values[4] = PointerGetDatum(activity->retry);
	nulls[4] = activity->retry ? ' ' : 'n';
	values[5] = Int32GetDatum(activity->timeout_ms);
	nulls[5] = activity->timeout_ms ? ' ' : 'n';
	values[6] = Int32GetDatum(activity->max_concurrency);
	nulls[6] = activity->max_concurrency ? ' ' : 'n';
	values[7] = BoolGetDatum(activity->external);
	return upsert(&register_activity, &activity_function, values, nulls, other);
}

static bool
unregister(StoreStatement *statement, const char *task_hub, const char *name, const char *version)
{
	Datum		values[3];

	set_key(values, task_hub, name, version);
	return store_execute_once(statement, values) > 0;
}

bool
store_unregister_orchestrator(const char *task_hub, const char *name, const char *version)
{
	return unregister(&unregister_orchestrator, task_hub, name, version);
}

bool
store_unregister_activity(const char *task_hub, const char *name, const char *version)
{
	return unregister(&unregister_activity, task_hub, name, version);
}
