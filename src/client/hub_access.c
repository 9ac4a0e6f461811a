/*
 * hub_access.c
 *		The hub of a call, and functions about hubs.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_authid.h"
#include "miscadmin.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "arguments.h"
#include "client/hub_access.h"
#include "compat.h"
#include "dispatch/pinned_code.h"
#include "dispatch/sharing.h"
#include "errors.h"
#include "extension.h"
#include "replay/orchestration_context.h"
#include "settings.h"
#include "shmem.h"
#include "store/purge_store.h"
#include "wake.h"

PG_FUNCTION_INFO_V1(durable_create_hub);
PG_FUNCTION_INFO_V1(durable_pause_hub);
PG_FUNCTION_INFO_V1(durable_resume_hub);
PG_FUNCTION_INFO_V1(durable_adopt_hub);
PG_FUNCTION_INFO_V1(durable_reassign_hub);
PG_FUNCTION_INFO_V1(durable_discard_hub);
PG_FUNCTION_INFO_V1(durable_set_hub_versioning);
PG_FUNCTION_INFO_V1(durable_set_hub_limits);
PG_FUNCTION_INFO_V1(durable_is_here);
PG_FUNCTION_INFO_V1(durable_may_use);
PG_FUNCTION_INFO_V1(durable_installed);

/*
 * The right to use durable is the USAGE of its schema. The parser asks for it
 * where durable is named; this asks again at each call, so that revoke_usage()
 * holds at once for what was parsed before: prepared statements, views, SQL
 * functions with a parsed body.
 */
static void
require_usage(void)
{
	extension_require();
	if (!extension_may_be_used_by(GetUserId()))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for schema durable"),
				 errhint("SELECT durable.grant_usage(%s), as a superuser.",
						 quote_literal_cstr(GetUserNameFromId(GetUserId(), false)))));
}

/* What an orchestrator has instead of a function for clients. */
static const char *
for_orchestrators(const char *function)
{
	if (strcmp(function, "start_instance") == 0)
		return "Use durable.call_suborchestrator() or durable.start_detached(), or call it in an activity.";
	if (strcmp(function, "raise_event") == 0)
		return "Use durable.send_event(), or call it in an activity.";
	return "Call it in an activity, for example with durable.call_sql().";
}

void
client_look_begin(FunctionCallInfo fcinfo)
{
	if (current_orchestration != NULL)
	{
		char	   *function = get_func_name(fcinfo->flinfo->fn_oid);

		ereport(ERROR,
				(errcode(ERRCODE_DURABLE_NOT_ALLOWED),
				 errmsg("durable.%s() cannot be called in an orchestrator", function),
				 errhint("%s", for_orchestrators(function))));
	}
	require_usage();
}

void
client_call_begin(FunctionCallInfo fcinfo)
{
	client_look_begin(fcinfo);
	if (XactReadOnly)
		PreventCommandIfReadOnly(psprintf("durable.%s()", get_func_name(fcinfo->flinfo->fn_oid)));
}

/* A superuser's hub runs code with all rights: it is asked for, not stumbled into. */
static void
require_superuser_hubs(Oid owner)
{
	if (setting_lets_hubs_run_of(owner))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("role \"%s\" is a superuser: its task hubs do not run", GetUserNameFromId(owner, true)),
			 errdetail("durable.allow_superuser_hubs is \"%s\".", GetConfigOption("durable.allow_superuser_hubs", false, false)),
			 errhint("Orchestrate as an ordinary role: create one, SELECT durable.grant_usage(...) for it and connect as it. "
					 "Or set durable.allow_superuser_hubs to \"on\", if all code that runs there may do everything.")));
}

void
require_hub_may_run(const Hub *hub)
{
	require_superuser_hubs(hub->owner);
}

/*
 * User code must not run in a session that can turn back to a more powerful
 * role with RESET ROLE, so the session itself has to be the owner's.
 */
void
require_owner_session(const Hub *hub)
{
	if (GetSessionUserId() == hub->owner && GetUserId() == hub->owner)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("task hub \"%s\" can be run only by a session of its owner, role \"%s\"",
					hub->name, GetUserNameFromId(hub->owner, true)),
			 errdetail("The session user is \"%s\", the current user is \"%s\".",
					   GetUserNameFromId(GetSessionUserId(), true), GetUserNameFromId(GetUserId(), true)),
			 errhint("Connect as the owner; SET ROLE is not enough.")));
}

/* A hub runs code as its owner: only who could do so anyway may use it. */
static void
require_rights(const Hub *hub)
{
	if (!durable_can_act_for(GetUserId(), hub->owner))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for task hub \"%s\"", hub->name),
				 errhint("Only members of the role that owns it may use a task hub.")));
}

static void
check_hub_name(const char *name)
{
	if (name[0] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the name of a task hub must not be empty")));
	if (strlen(name) >= NAMEDATALEN)
		ereport(ERROR,
				(errcode(ERRCODE_NAME_TOO_LONG),
				 errmsg("the name of a task hub has at most %d bytes", NAMEDATALEN - 1)));
}

static void
find_hub(const char *name, Hub *hub)
{
	check_hub_name(name);
	if (!store_find_hub(name, hub))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("task hub \"%s\" does not exist", name),
				 errhint("durable.queues shows the hubs there are; SELECT durable.create_hub(%s) makes this one.", quote_literal_cstr(name))));
}

/* An existing hub the caller may administer, by name. */
static void
hub_by_name(const char *name, Hub *hub)
{
	find_hub(name, hub);
	require_rights(hub);
}

/* Background workers connect as the owner, which 15 and 16 allow only to roles that may log in. */
static void
warn_if_no_login(Oid owner)
{
	HeapTuple	tuple = SearchSysCache1(AUTHOID, ObjectIdGetDatum(owner));
	bool		may_login = HeapTupleIsValid(tuple) && ((Form_pg_authid) GETSTRUCT(tuple))->rolcanlogin;

	if (HeapTupleIsValid(tuple))
		ReleaseSysCache(tuple);
	if (DURABLE_OWNER_NEEDS_LOGIN && !may_login && shmem_attached())
		ereport(WARNING,
				(errcode(ERRCODE_INVALID_ROLE_SPECIFICATION),
				 errmsg("role \"%s\" may not log in: no background worker can run its task hub", GetUserNameFromId(owner, true)),
				 errhint("ALTER ROLE ... LOGIN, or give the hub to a role that may.")));
}

/* Said once, when the hub is made. */
static void
warn_if_superuser(Oid owner)
{
	if (superuser_arg(owner))
		ereport(WARNING,
				(errcode(ERRCODE_WARNING),
				 errmsg("role \"%s\" is a superuser: what runs in its task hub has all rights", GetUserNameFromId(owner, true)),
				 errhint("Good for a first look. For work, create an ordinary role and SELECT durable.grant_usage(...) for it.")));
}

static void
default_hub(Oid owner, Hub *hub)
{
	char	   *name;

	if (store_find_default_hub(owner, hub))
		return;
	require_superuser_hubs(owner);
	name = GetUserNameFromId(owner, false);
	if (!store_create_hub(name, owner, true))
		(void) store_make_default(name, owner);
	if (!store_find_default_hub(owner, hub))
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("the default task hub of role \"%s\" cannot be made: a hub of that name belongs to another role", name),
				 errhint("Make one of another name with durable.create_hub() and set durable.task_hub to it.")));
	warn_if_no_login(owner);
	warn_if_superuser(owner);
	wake_hub_at_commit(name, 1);
}

/* The hub that is named by the argument or the setting; false if neither names one. */
static bool
named_hub(FunctionCallInfo fcinfo, int arg, Hub *hub)
{
	const char *name = PG_ARGISNULL(arg) ? setting_task_hub_of_current_user() :
	text_to_cstring(PG_GETARG_TEXT_PP(arg));

	require_usage();
	if (name == NULL)
		return false;
	hub_by_name(name, hub);
	return true;
}

void
hub_for_call(FunctionCallInfo fcinfo, int arg, Hub *hub)
{
	if (!named_hub(fcinfo, arg, hub))
		default_hub(GetUserId(), hub);
}

void
hub_to_look_in(FunctionCallInfo fcinfo, int arg, Hub *hub)
{
	if (named_hub(fcinfo, arg, hub) || store_find_default_hub(GetUserId(), hub))
		return;
	memset(hub, 0, sizeof(Hub));	/* not the role's name: a hub of that name may be somebody else's */
}

void
no_such_instance(const Hub *hub, const char *instance_id)
{
	ereport(ERROR,
			(errcode(ERRCODE_DURABLE_NO_SUCH_INSTANCE),
			 hub->name[0] ?
			 errmsg("no instance with id \"%s\" in task hub \"%s\"", instance_id, hub->name) :
			 errmsg("no instance with id \"%s\": role \"%s\" has no task hub yet", instance_id,
					GetUserNameFromId(GetUserId(), false)),
			 errhint("If it was started, the transaction that did may not have committed yet, or it belongs to another hub: see task_hub => ... and durable.task_hub.")));
}

/* Who makes a role the owner of a hub lets code run as that role. */
static void
require_rights_of_owner(Oid owner)
{
	const char *name = GetUserNameFromId(owner, false);

	if (!durable_can_act_for(GetUserId(), owner))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be able to act for role \"%s\" to make it the owner of a task hub", name),
				 errhint("GRANT %s TO %s;", quote_identifier(name), quote_identifier(GetUserNameFromId(GetUserId(), false)))));
}

/* The name of a role is kept for its default hub: nobody else may take it, nor keep it waiting for a transaction to end. */
static void
require_no_other_role(const char *name, Oid owner)
{
	Oid			role = get_role_oid(name, true);
	Hub			existing;

	if (OidIsValid(role) && role != owner && !durable_can_act_for(GetUserId(), role) && !store_find_hub(name, &existing))
		ereport(ERROR,
				(errcode(ERRCODE_RESERVED_NAME),
				 errmsg("task hub name \"%s\" is reserved for the role of that name", name)));
}

Datum
durable_create_hub(PG_FUNCTION_ARGS)
{
	Oid			owner = PG_ARGISNULL(1) ? GetUserId() : PG_GETARG_OID(1);
	char	   *name;

	client_call_begin(fcinfo);
	require_argument(fcinfo, 0, "name");
	name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	check_hub_name(name);
	require_rights_of_owner(owner);
	require_superuser_hubs(owner);
	require_no_other_role(name, owner);
	if (!store_create_hub(name, owner, false))
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("task hub \"%s\" already exists", name)));
	warn_if_no_login(owner);
	warn_if_superuser(owner);
	wake_hub_at_commit(name, 1);
	PG_RETURN_VOID();
}

/* The hub named by the first argument, to be changed; wakes its processes at commit. */
static void
hub_to_change(FunctionCallInfo fcinfo, Hub *hub)
{
	client_call_begin(fcinfo);
	require_argument(fcinfo, 0, "name");
	hub_by_name(text_to_cstring(PG_GETARG_TEXT_PP(0)), hub);
	wake_hub_at_commit(hub->name, 1);
}

Datum
durable_pause_hub(PG_FUNCTION_ARGS)
{
	Hub			hub;

	hub_to_change(fcinfo, &hub);
	store_pause_hub(hub.name, true);
	PG_RETURN_VOID();
}

Datum
durable_resume_hub(PG_FUNCTION_ARGS)
{
	Hub			hub;

	hub_to_change(fcinfo, &hub);
	store_pause_hub(hub.name, false);
	PG_RETURN_VOID();
}

Datum
durable_adopt_hub(PG_FUNCTION_ARGS)
{
	Hub			hub;

	hub_to_change(fcinfo, &hub);
	store_adopt_hub(hub.name);
	PG_RETURN_VOID();
}

/* The arguments of set_hub_versioning(). */
enum
{
	V_NAME, V_VERSION, V_MATCH, V_FAILURE, V_DEFAULT_VERSION
};

/* An argument that is the name of a strategy. */
static char *
strategy_argument(FunctionCallInfo fcinfo, int arg, const char *name, const char *const *strategies, int n)
{
	char	   *value;

	require_argument(fcinfo, arg, name);
	value = text_to_cstring(PG_GETARG_TEXT_PP(arg));
	for (int i = 0; i < n; i++)
		if (strcmp(value, strategies[i]) == 0)
			return value;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("%s must not be '%s'", name, value),
			 n == 3 ? errhint("It is '%s', '%s' or '%s'.", strategies[0], strategies[1], strategies[2]) :
			 errhint("It is '%s' or '%s'.", strategies[0], strategies[1])));
	pg_unreachable();
}

/* With an older snapshot it would not see all that was rejected meanwhile. */
static void
require_latest_snapshots(void)
{
	if (IsolationUsesXactSnapshot())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the versioning of a task hub can be changed in transactions of isolation level READ COMMITTED only")));
}

Datum
durable_set_hub_versioning(PG_FUNCTION_ARGS)
{
	static const char *const matches[] = {"none", "strict", "current_or_older"};
	static const char *const failures[] = {"reject", "fail"};
	char	   *match = strategy_argument(fcinfo, V_MATCH, "match_strategy", matches, lengthof(matches));
	char	   *failure = strategy_argument(fcinfo, V_FAILURE, "failure_strategy", failures, lengthof(failures));
	Hub			hub;

	require_latest_snapshots();
	hub_to_change(fcinfo, &hub);
	store_set_hub_versioning(hub.name,
							 PG_ARGISNULL(V_VERSION) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(V_VERSION)),
							 match, failure,
							 PG_ARGISNULL(V_DEFAULT_VERSION) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(V_DEFAULT_VERSION)));
	store_release_rejected(hub.name);
	PG_RETURN_VOID();
}

/* The arguments of set_hub_limits(). */
enum
{
	L_NAME, L_MAX_WORKERS, L_MAX_PENDING_INSTANCES, L_MAX_PAYLOAD_SIZE, L_MAX_HISTORY_EVENTS, L_MAX_STARTS_PER_SECOND
};

/* A limit; 0: none is given. */
static int64
limit_argument(FunctionCallInfo fcinfo, int arg, const char *name, int64 least, int64 most)
{
	int64		value;

	if (PG_ARGISNULL(arg))
		return 0;
	value = arg == L_MAX_PENDING_INSTANCES ? PG_GETARG_INT64(arg) : PG_GETARG_INT32(arg);
	if (value < least || value > most)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must be between %lld and %lld", name, (long long) least, (long long) most),
				 errhint("NULL is no limit but the server's; durable.pause_hub() stops a hub.")));
	return value;
}

/*
 * Limits protect others from a hub, so it is not its owner who sets them: the
 * right to is EXECUTE on the function, which PUBLIC does not have.
 */
Datum
durable_set_hub_limits(PG_FUNCTION_ARGS)
{
	Hub			hub;
	HubLimits	limits;

	client_call_begin(fcinfo);
	require_argument(fcinfo, L_NAME, "name");
	limits.max_workers = (int) limit_argument(fcinfo, L_MAX_WORKERS, "max_workers", 1, 256);
	limits.max_pending_instances = limit_argument(fcinfo, L_MAX_PENDING_INSTANCES, "max_pending_instances", 1, PG_INT64_MAX / 2);
	limits.max_payload_size = (int) limit_argument(fcinfo, L_MAX_PAYLOAD_SIZE, "max_payload_size", 1, 262143);
	limits.max_history_events = (int) limit_argument(fcinfo, L_MAX_HISTORY_EVENTS, "max_history_events", 10, PG_INT32_MAX / 2);
	limits.max_starts_per_second = (int) limit_argument(fcinfo, L_MAX_STARTS_PER_SECOND, "max_starts_per_second", 1, 100000);
	find_hub(text_to_cstring(PG_GETARG_TEXT_PP(L_NAME)), &hub);
	store_set_hub_limits(hub.name, &limits);
	wake_database_at_commit();	/* the coordinator looks whether there are too many workers now */
	PG_RETURN_VOID();
}

/* Its processes of the old owner stop at once: who takes work looks whether the hub is still its own. */
/* What waits in the hub was put there by others: SQL statements, too, which would run with all rights. */
static void
refuse_superuser_as_heir(const Hub *hub, Oid owner)
{
	if (superuser_arg(owner) && !superuser_arg(hub->owner))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("task hub \"%s\" cannot be given to role \"%s\"", hub->name, GetUserNameFromId(owner, false)),
				 errdetail("It is a superuser: what others have put into the hub would run with all rights."),
				 errhint("Give it to an ordinary role.")));
}

Datum
durable_reassign_hub(PG_FUNCTION_ARGS)
{
	Hub			hub;
	Oid			owner;

	hub_to_change(fcinfo, &hub);
	require_argument(fcinfo, 1, "owner");
	owner = PG_GETARG_OID(1);
	require_rights_of_owner(owner);
	refuse_superuser_as_heir(&hub, owner);
	require_superuser_hubs(owner);
	store_reassign_hub(hub.name, owner);
	warn_if_no_login(owner);
	PG_RETURN_VOID();
}

/* A hub that may run must be paused first: nothing shall be started in it while it is deleted. */
Datum
durable_discard_hub(PG_FUNCTION_ARGS)
{
	Hub			hub;

	hub_to_change(fcinfo, &hub);
	if (hub.is_ours && !hub.paused)
		ereport(ERROR,
				(errcode(ERRCODE_DURABLE_WRONG_STATE),
				 errmsg("task hub \"%s\" is in use", hub.name),
				 errdetail("All its instances, running ones too, would be deleted."),
				 errhint("SELECT durable.pause_hub(%s) first, if that is what you want.", quote_literal_cstr(hub.name))));
	pinned_code_discard(hub.name);
	PG_RETURN_INT64(store_discard_hub(hub.name));
}

Datum
durable_is_here(PG_FUNCTION_ARGS)
{
	HubPlace	place = {(uint64) PG_GETARG_INT64(0), PG_GETARG_OID(1), text_to_cstring(PG_GETARG_TEXT_PP(2))};

	PG_RETURN_BOOL(place_is_here(&place));
}

Datum
durable_may_use(PG_FUNCTION_ARGS)
{
	require_usage();
	sharing_note("a look at the tables of durable");	/* all views ask this */
	PG_RETURN_BOOL(true);
}

Datum
durable_installed(PG_FUNCTION_ARGS)
{
	if (!shmem_attached())
		ereport(WARNING,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("durable is not preloaded: no background workers will run"),
				 errhint("Add durable to shared_preload_libraries and restart the server. Until then, durable.run_until_idle() and CALL durable.run() do the work in a session.")));
	wake_launcher_at_commit();
	PG_RETURN_VOID();
}
