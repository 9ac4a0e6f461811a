/*
 * forbidden_functions.h
 *		What an orchestrator must not call (semantics.md 10.2): the lists that
 *		the checks at run time and durable.check_orchestrator() share.
 *
 * A function is judged by the first rule that fits:
 *
 *	  schema durable		allowed, but for the client functions below
 *	  SQL and PL/pgSQL		allowed: what they do is judged itself
 *	  other languages than
 *	  internal and C		forbidden
 *	  volatile				forbidden, but for deterministic_volatiles (pg_catalog)
 *	  stable, pg_catalog	allowed, but for varying_functions
 *	  the rest				allowed
 *
 * now(), CURRENT_TIMESTAMP and their like are pinned for a turn, random() is
 * seeded by the execution, and the role, search_path, TimeZone, DateStyle and
 * IntervalStyle are those of the start: all that repeats. A * in a name stands
 * for anything.
 */
#ifndef DURABLE_FORBIDDEN_FUNCTIONS_H
#define DURABLE_FORBIDDEN_FUNCTIONS_H

typedef struct ForbiddenFunction
{
	const char *name;			/* may be a pattern */
	const char *why;			/* a clause that follows the name */
	const char *instead;		/* a hint; NULL: CALL_IN_ACTIVITY */
} ForbiddenFunction;

#define CALL_IN_ACTIVITY "Call it in an activity, for example with durable.call_sql()."

/* Volatile functions of pg_catalog that repeat all the same. */
static const char *const deterministic_volatiles[] = {"random", "random_normal"};

/* Volatile functions that have something of their own to be said; others are just volatile. */
static const ForbiddenFunction volatile_functions[] = {
	{"clock_timestamp", "returns another time at each replay", "Use durable.orchestration_time() or now(), which are the same in each replay."},
	{"timeofday", "returns another time at each replay", "Use durable.orchestration_time() or now(), which are the same in each replay."},
	{"gen_random_uuid", "returns another UUID at each replay", "Use durable.new_guid()."},
	{"uuidv4", "returns another UUID at each replay", "Use durable.new_guid()."},
	{"uuidv7", "returns another UUID at each replay", "Use durable.new_guid()."},
	{"uuid_generate_*", "returns another UUID at each replay", "Use durable.new_guid()."},
	{"setseed", "would change what random() repeats", "Leave it out: random() is seeded by the execution."},
	{"pg_sleep*", "blocks a worker", "Use durable.sleep() or durable.sleep_until()."},
	{"nextval", "counts on at each replay", NULL},
	{"setval", "is repeated at each replay", NULL},
	{"currval", "depends on the session", NULL},
	{"lastval", "depends on the session", NULL},
	{"pg_notify", "is repeated at each replay", NULL},
	{"set_config", "is repeated at each replay", "Use SET in the function's definition, or call it in an activity."},
	{"pg_advisory_*", "depends on other sessions", NULL},
	{"pg_try_advisory_*", "depends on other sessions", NULL},
	{"dblink*", "leaves the database", NULL},
	{"http*", "leaves the database", NULL}
};

/* Stable functions of pg_catalog whose result varies between the turns of an instance. */
static const ForbiddenFunction varying_functions[] = {
	{"current_setting", "depends on the session", "Give the value to the orchestrator as input, or read it in an activity."},
	{"session_user", "depends on the session", NULL},
	{"inet_client_*", "depends on the session", NULL},
	{"inet_server_*", "depends on the session", NULL},
	{"pg_backend_pid", "depends on the session", "Use durable.instance_id() to tell instances apart."},
	{"version", "depends on the server", NULL},
	{"pg_postmaster_start_time", "depends on the server", NULL},
	{"pg_conf_load_time", "depends on the server", NULL},
	{"pg_timezone_*", "depends on the server", NULL},
	{"pg_show_all_*", "depends on the session", NULL},
	{"pg_settings_*", "depends on the session", NULL},
	{"pg_my_temp_schema", "depends on the session", NULL},
	{"pg_is_other_temp_schema", "depends on the session", NULL},
	{"pg_listening_channels", "depends on the session", NULL},
	{"pg_cursor", "depends on the session", NULL},
	{"pg_prepared_*", "depends on the session", NULL},
	{"pg_stat_*", "depends on what the server does", NULL},
	{"txid_*", "depends on the transaction", "Use durable.execution_id() to tell executions apart."},
	{"pg_current_xact_id*", "depends on the transaction", "Use durable.execution_id() to tell executions apart."},
	{"pg_current_snapshot", "depends on the transaction", NULL},
	{"pg_visible_in_snapshot", "depends on the transaction", NULL},
	{"has_*", "reads the catalog", NULL},
	{"pg_has_role", "reads the catalog", NULL},
	{"to_reg*", "reads the catalog", NULL},
	{"pg_get_*", "reads the catalog", NULL},
	{"pg_*_is_visible", "reads the catalog", NULL},
	{"table_to_xml*", "reads a table", NULL},
	{"query_to_xml*", "reads tables", NULL},
	{"cursor_to_xml*", "reads tables", NULL},
	{"schema_to_xml*", "reads tables", NULL},
	{"database_to_xml*", "reads tables", NULL}
};

/* Functions of schema durable for clients and administrators: they raise UD008 in an orchestrator. */
static const ForbiddenFunction client_functions[] = {
	{"start_instance", "is for clients", "Use durable.call_suborchestrator() or durable.start_detached(), or call it in an activity."},
	{"raise_event", "is for clients", "Use durable.send_event(), or call it in an activity."},
	{"terminate", "is for clients", NULL},
	{"suspend", "is for clients", NULL},
	{"resume", "is for clients", NULL},
	{"purge*", "is for clients", NULL},
	{"discard*", "is for clients", NULL},
	{"restart", "is for clients", NULL},
	{"rewind", "is for clients", NULL},
	{"wait_for_completion", "is for clients", "Use durable.call_suborchestrator(), or durable.await() of a scheduled one."},
	{"wait_for_start", "is for clients", NULL},
	{"run", "is for clients", NULL},
	{"run_until_idle", "is for clients", NULL},
	{"*_hub", "is for clients", NULL},
	{"*_hub_*", "is for clients", NULL},
	{"register_*", "is for clients", NULL},
	{"unregister_*", "is for clients", NULL},
	{"grant_usage", "is for administrators", NULL},
	{"revoke_usage", "is for administrators", NULL},
	{"check_*", "is for clients", NULL},
	{"export_history", "is for clients", NULL},
	{"import_history", "is for clients", NULL}
};

/* Does a name fit one of the list, in which one * stands for anything? */
static inline bool
fits_pattern(const char *name, const char *pattern)
{
	for (; *pattern; pattern++, name++)
	{
		if (*pattern == '*')
		{
			for (;; name++)
				if (fits_pattern(name, pattern + 1))
					return true;
				else if (*name == '\0')
					return false;
		}
		if (*name != *pattern)
			return false;
	}
	return *name == '\0';
}

static inline const ForbiddenFunction *
find_forbidden(const ForbiddenFunction *list, int n, const char *name)
{
	for (int i = 0; i < n; i++)
		if (fits_pattern(name, list[i].name))
			return &list[i];
	return NULL;
}

#endif							/* DURABLE_FORBIDDEN_FUNCTIONS_H */
