/*
 * registry_api.c
 *		Registering orchestrators and activities, by name and version.
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/regproc.h"

#include "arguments.h"
#include "client/hub_access.h"
#include "dispatch/activity_function.h"
#include "dispatch/sharing.h"
#include "replay/function_lookup.h"
#include "replay/orchestration_context.h"
#include "replay/orchestration_executor.h"
#include "replay/retry_policy.h"
#include "store/registry_store.h"
#include "wake.h"

PG_FUNCTION_INFO_V1(durable_register_orchestrator);
PG_FUNCTION_INFO_V1(durable_register_activity);
PG_FUNCTION_INFO_V1(durable_unregister_orchestrator);
PG_FUNCTION_INFO_V1(durable_unregister_activity);

/* The arguments of register_activity(). */
enum
{
	A_NAME, A_FUNCTION, A_VERSION, A_RETRY, A_TIMEOUT, A_MAX_CONCURRENCY, A_EXTERNAL, A_TASK_HUB
};

/* Names and versions are keys of an index. */
#define MAX_KEY_BYTES 255

static char *
key_text(FunctionCallInfo fcinfo, int arg, const char *what)
{
	text	   *value = PG_GETARG_TEXT_PP(arg);

	if (VARSIZE_ANY_EXHDR(value) > MAX_KEY_BYTES)
		ereport(ERROR,
				(errcode(ERRCODE_NAME_TOO_LONG),
				 errmsg("%s is too long", what),
				 errdetail("It has %d bytes; %d are allowed.", (int) VARSIZE_ANY_EXHDR(value), MAX_KEY_BYTES)));
	return text_to_cstring(value);
}

static char *
name_argument(FunctionCallInfo fcinfo)
{
	require_argument(fcinfo, 0, "name");
	require_not_empty(PG_GETARG_TEXT_PP(0), "name");
	return key_text(fcinfo, 0, "name");
}

/* No version is the empty one. */
static char *
version_argument(FunctionCallInfo fcinfo, int arg)
{
	return PG_ARGISNULL(arg) ? "" : key_text(fcinfo, arg, "version");
}

/* "name" or "name" version "2.0": for messages. */
static char *
describe(const char *name, const char *version)
{
	return version[0] ? psprintf("\"%s\" version \"%s\"", name, version) : psprintf("\"%s\"", name);
}

static void
registered_otherwise(const char *what, const char *name, const char *version, const char *other)
{
	ereport(ERROR,
			(errcode(ERRCODE_DUPLICATE_OBJECT),
			 errmsg("%s %s is already registered with another function", what, describe(name, version)),
			 other ? errdetail("It is %s.", other) : errdetail("It is registered without a function."),
			 errhint("SELECT durable.unregister_%s(%s, %s) first, or register a new version.", what,
					 quote_literal_cstr(name), quote_literal_cstr(version))));
}

static void
not_registered(const char *what, const char *name, const char *version, const Hub *hub)
{
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("%s %s is not registered in task hub \"%s\"", what, describe(name, version), hub->name),
			 errhint("durable.%s shows what is, by name and version.",
					 strcmp(what, "activity") == 0 ? "registered_activities" : "orchestrators")));
}

Datum
durable_register_orchestrator(PG_FUNCTION_ARGS)
{
	Hub			hub;
	char	   *name;
	char	   *version;
	const char *other = NULL;

	client_call_begin(fcinfo);
	name = name_argument(fcinfo);
	require_argument(fcinfo, 1, "function");
	version = version_argument(fcinfo, 2);
	orchestrator_check(PG_GETARG_OID(1), format_procedure(PG_GETARG_OID(1)));
	hub_for_call(fcinfo, 3, &hub);
	if (!store_register_orchestrator(hub.name, name, version, function_signature(PG_GETARG_OID(1)), &other))
		registered_otherwise("orchestrator", name, version, other);
	PG_RETURN_VOID();
}

/* The time limit in ms; 0: none is given. */
static int
timeout_argument(FunctionCallInfo fcinfo)
{
	int64		milliseconds;

	if (PG_ARGISNULL(A_TIMEOUT))
		return 0;
	milliseconds = interval_microseconds(PG_GETARG_INTERVAL_P(A_TIMEOUT)) / 1000;
	if (milliseconds < 1 || milliseconds > PG_INT32_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("timeout must be between 1 millisecond and 24 days"),
				 errhint("NULL leaves durable.activity_timeout in force.")));
	return (int) milliseconds;
}

static int
max_concurrency_argument(FunctionCallInfo fcinfo)
{
	if (PG_ARGISNULL(A_MAX_CONCURRENCY))
		return 0;
	if (PG_GETARG_INT32(A_MAX_CONCURRENCY) < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("max_concurrency must be at least 1"),
				 errhint("NULL is no limit; durable.pause_hub() stops a hub.")));
	return PG_GETARG_INT32(A_MAX_CONCURRENCY);
}

/* The function given, checked; NULL: it is found by name. */
static char *
activity_function_argument(FunctionCallInfo fcinfo)
{
	if (PG_ARGISNULL(A_FUNCTION))
		return NULL;
	activity_function_check(PG_GETARG_OID(A_FUNCTION), format_procedure(PG_GETARG_OID(A_FUNCTION)));
	return function_signature(PG_GETARG_OID(A_FUNCTION));
}

static void
read_activity(FunctionCallInfo fcinfo, ActivityRegistration *activity)
{
	RetryPolicy *retry = retry_policy_from_argument(fcinfo, A_RETRY, CurrentMemoryContext);

	memset(activity, 0, sizeof(ActivityRegistration));
	activity->name = name_argument(fcinfo);
	if (strcmp(activity->name, SQL_ACTIVITY_NAME) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_RESERVED_NAME),
				 errmsg("activity name \"%s\" is reserved for statements", activity->name)));
	require_argument(fcinfo, A_EXTERNAL, "external");
	activity->version = version_argument(fcinfo, A_VERSION);
	activity->function = activity_function_argument(fcinfo);
	activity->retry = retry ? retry_policy_to_json(retry) : NULL;
	activity->timeout_ms = timeout_argument(fcinfo);
	activity->max_concurrency = max_concurrency_argument(fcinfo);
	activity->external = PG_GETARG_BOOL(A_EXTERNAL);
}

Datum
durable_register_activity(PG_FUNCTION_ARGS)
{
	Hub			hub;
	ActivityRegistration activity;
	const char *other = NULL;

	client_call_begin(fcinfo);
	sharing_note("a registration"); /* what is known of activities is known for a transaction */
	read_activity(fcinfo, &activity);
	hub_for_call(fcinfo, A_TASK_HUB, &hub);
	if (!store_register_activity(hub.name, &activity, &other))
		registered_otherwise("activity", activity.name, activity.version, other);
	wake_hub_at_commit(hub.name, 1);	/* more of them may run at once now */
	PG_RETURN_VOID();
}

/* Reads name, version and hub of an unregister function. */
static void
read_key(FunctionCallInfo fcinfo, char **name, char **version, Hub *hub)
{
	client_call_begin(fcinfo);
	sharing_note("a registration"); /* what is known of activities is known for a transaction */
	*name = name_argument(fcinfo);
	*version = version_argument(fcinfo, 1);
	hub_for_call(fcinfo, 2, hub);
}

Datum
durable_unregister_orchestrator(PG_FUNCTION_ARGS)
{
	Hub			hub;
	char	   *name;
	char	   *version;

	read_key(fcinfo, &name, &version, &hub);
	if (!store_unregister_orchestrator(hub.name, name, version))
		not_registered("orchestrator", name, version, &hub);
	PG_RETURN_VOID();
}

Datum
durable_unregister_activity(PG_FUNCTION_ARGS)
{
	Hub			hub;
	char	   *name;
	char	   *version;

	read_key(fcinfo, &name, &version, &hub);
	if (!store_unregister_activity(hub.name, name, version))
		not_registered("activity", name, version, &hub);
	wake_hub_at_commit(hub.name, 1);
	PG_RETURN_VOID();
}
