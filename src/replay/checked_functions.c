/*
 * checked_functions.c
 *		Verdicts on functions: see checked_functions.h.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_language.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_proc.h"
#include "commands/proclang.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/varlena.h"

#include "replay/checked_functions.h"
#include "settings.h"

#define DO_IT_IN_AN_ACTIVITY "Call it in an activity, for example with durable.call_sql(): the result is recorded, and replays see it again."
#define PASS_IT "Pass the value in the input of the orchestrator, or read it in an activity, for example with durable.call_sql()."

static const Refusal clocks = {
	"returns another time at each replay",
	"Use now() or CURRENT_TIMESTAMP, which are the orchestration's time here."
};
static const Refusal guids = {
	"returns another UUID at each replay",
	"Use durable.new_guid(), which repeats."
};
static const Refusal sleeps = {
	"blocks a worker",
	"Use durable.sleep() or durable.create_timer()."
};
static const Refusal sequences = {
	"counts on at each replay",
	"Call it in an activity, or with durable.call_sql('SELECT nextval(...)'); durable.new_guid() makes keys that repeat."
};
static const Refusal session_sequences = {
	"depends on the session",
	"Call it in an activity, or with durable.call_sql(), where nextval() was called; durable.new_guid() makes keys that repeat."
};
static const Refusal seeds = {
	"would change what random() repeats",
	"Leave the seed alone: random() gives the same values at each replay."
};
static const Refusal settings_read = {
	"depends on the session",
	PASS_IT
};
static const Refusal processes = {
	"depends on the session",
	"Use durable.instance_id() to tell instances apart. " PASS_IT
};
static const Refusal settings_write = {
	"sets what is not there in the next turn",
	"Give the function a SET clause: ALTER FUNCTION ... SET name = value."
};
static const Refusal text_search = {
	"depends on default_text_search_config",
	"Name the configuration in the first argument, as in to_tsvector('english', ...)."
};
static const Refusal identity = {
	"names what a dump, a rename or a change of the owner alters under running instances",
	PASS_IT
};
static const Refusal locks = {
	"depends on other sessions, and its lock does not outlive the turn",
	"Lock in an activity, or limit activities with max_concurrency of durable.register_activity()."
};
static const Refusal notifications = {
	"is repeated at each replay",
	"Notify in an activity, or with durable.call_sql('SELECT pg_notify(...)')."
};
static const Refusal network = {
	"leaves the database, and does so again at each replay",
	"Do it in an activity, registered with external => true."
};
static const Refusal large_objects = {
	"reads or writes a large object, which may have changed at the next replay",
	DO_IT_IN_AN_ACTIVITY
};
static const Refusal transactions = {
	"depends on the transaction",
	"Use durable.execution_id() to tell executions apart, or call it in an activity."
};
static const Refusal tables = {
	"reads tables, which may have changed at the next replay",
	DO_IT_IN_AN_ACTIVITY
};
static const Refusal catalogs = {
	"depends on the server or its catalogs",
	DO_IT_IN_AN_ACTIVITY
};
static const Refusal volatiles = {
	"is volatile: its result or effect is another one at each replay",
	DO_IT_IN_AN_ACTIVITY
};
static const Refusal languages = {
	"is in another language than SQL and PL/pgSQL, so that it cannot be checked",
	"Call it as an activity, or name its language in durable.orchestrator_languages if all its code is deterministic."
};
static const Refusal clients = {
	"is for clients",
	"Call it in an activity, for example with durable.call_sql()."
};
static const Refusal starts = {
	"is for clients",
	"Use durable.call_suborchestrator() or durable.start_detached(), or call it in an activity."
};
static const Refusal raises = {
	"is for clients",
	"Use durable.send_event(), or call it in an activity."
};
static const Refusal waits = {
	"is for clients",
	"Use durable.call_suborchestrator(), or durable.await() of a scheduled one."
};

/* What a list says of a name; NULL: may be called. A star stands for anything. */
typedef struct Rule
{
	const char *pattern;
	const Refusal *refusal;
} Rule;

/*
 * For built-in functions whatever their volatility is (unless IMMUTABLE), for
 * volatile ones of extensions to find a better hint. The first that fits counts.
 */
static const Rule rules[] = {
	{"random", NULL},			/* seeded */
	{"random_normal", NULL},
	{"pg_typeof", NULL},
	{"pg_column_size", NULL},
	{"pg_collation_for", NULL},
	{"pg_input_is_valid", NULL},
	{"pg_input_error_info", NULL},
	{"clock_timestamp", &clocks},
	{"timeofday", &clocks},
	{"gen_random_*", &guids},
	{"uuid_generate_*", &guids},
	{"uuidv*", &guids},
	{"pg_sleep*", &sleeps},
	{"nextval", &sequences},
	{"setval", &sequences},
	{"currval", &session_sequences},
	{"lastval", &session_sequences},
	{"setseed", &seeds},
	{"current_setting", &settings_read},
	{"set_config", &settings_write},
	{"inet_client_*", &settings_read},
	{"inet_server_*", &settings_read},
	{"pg_backend_pid", &processes},
	{"pg_client_encoding", &settings_read},
	{"get_current_ts_config", &text_search},
	{"to_ts*", &text_search},	/* those with a configuration are immutable */
	{"json*_to_tsvector", &text_search},
	{"*to_tsquery", &text_search},
	{"ts_headline", &text_search},
	{"ts_match_t*", &text_search},
	{"version", &catalogs},
	{"current_*", &identity},
	{"session_user", &identity},
	{"user", &identity},
	{"getpgusername", &identity},
	{"pg_advisory_*", &locks},
	{"pg_try_advisory_*", &locks},
	{"pg_notify", &notifications},
	{"dblink*", &network},
	{"http*", &network},
	{"lo_*", &large_objects},
	{"loread", &large_objects},
	{"lowrite", &large_objects},
	{"txid_*", &transactions},
	{"pg_current_xact_id*", &transactions},
	{"pg_current_snapshot", &transactions},
	{"age", &transactions},		/* of an xid; those of times are immutable or in SQL */
	{"mxid_age", &transactions},
	{"format_type", &catalogs},
	{"oidvectortypes", &catalogs},
	{"getdatabaseencoding", &catalogs},
	{"has_*_privilege", &catalogs},
	{"row_security_active", &catalogs},
	{"to_reg*", &catalogs},		/* an OID is another one after a dump */
	{"regclass", &catalogs},
	{"reg*in", &catalogs},
	{"*_description", &catalogs},
	{"*_to_xml*", &tables},
	{"pg_*", &catalogs}
};

/* Functions of schema durable that raise UD008 in an orchestrator. */
static const Rule client_rules[] = {
	{"start_instance", &starts},
	{"raise_event", &raises},
	{"wait_for_completion", &waits},
	{"terminate", &clients},
	{"suspend", &clients},
	{"resume", &clients},
	{"purge*", &clients},
	{"discard*", &clients},
	{"restart", &clients},
	{"rewind", &clients},
	{"wait_for_start", &clients},
	{"run", &clients},
	{"run_until_idle", &clients},
	{"*_hub", &clients},
	{"*_hub_*", &clients},
	{"register_*", &clients},
	{"unregister_*", &clients},
	{"grant_usage", &clients},
	{"revoke_usage", &clients},
	{"check_*", &clients},
	{"export_history", &clients},
	{"import_history", &clients}
};

typedef struct Verdict
{
	Oid			function;		/* key */
	const Refusal *refusal;
} Verdict;

static HTAB *verdicts = NULL;
static uint32 epoch = 1;
static bool kept = false;

/* Does the name fit? A star in the pattern stands for anything. */
static bool
name_fits(const char *name, const char *pattern)
{
	if (*pattern == '\0')
		return *name == '\0';
	if (*pattern != '*')
		return *name == *pattern && name_fits(name + 1, pattern + 1);
	for (;; name++)
	{
		if (name_fits(name, pattern + 1))
			return true;
		if (*name == '\0')
			return false;
	}
}

/* What a list says of a name; "otherwise" when it says nothing. */
static const Refusal *
find_rule(const Rule *list, int n, const char *name, const Refusal *otherwise)
{
	for (int i = 0; i < n; i++)
		if (name_fits(name, list[i].pattern))
			return list[i].refusal;
	return otherwise;
}

static const Refusal *
rule_for(const char *name, const Refusal *otherwise)
{
	return find_rule(rules, lengthof(rules), name, otherwise);
}

/* A hint for a volatile function of an extension: the list's if it has one. */
static const Refusal *
rule_for_foreign(const char *name)
{
	const Refusal *refusal = rule_for(name, &volatiles);

	return refusal ? refusal : &volatiles;
}

/* Is a language in durable.orchestrator_languages? */
static bool
language_is_allowed(Oid language)
{
	char	   *name = get_language_name(language, false);
	char	   *names = pstrdup(setting_orchestrator_languages);
	List	   *list = NIL;
	ListCell   *lc;
	bool		allowed = false;

	(void) SplitIdentifierString(names, ',', &list);	/* checked when it was set */
	foreach(lc, list)
		if (strcmp(lfirst(lc), name) == 0)
			allowed = true;
	list_free(list);
	pfree(names);
	pfree(name);
	return allowed;
}

/* Of a volatile one, that it is so says more than that it is about the server. */
static const Refusal *
judge_builtin(const char *name, char volatility)
{
	const Refusal *refusal = rule_for(name, volatility == PROVOLATILE_VOLATILE ? &volatiles : NULL);

	return volatility == PROVOLATILE_VOLATILE && refusal == &catalogs ? &volatiles : refusal;
}

static const Refusal *
judge(Form_pg_proc proc)
{
	const char *name = NameStr(proc->proname);

	if (proc->prolang == SQLlanguageId || proc->prolang == get_language_oid("plpgsql", true))
		return NULL;
	if (proc->pronamespace == get_namespace_oid("durable", true))
		return NULL;			/* they know where they are called */
	if (proc->prolang != INTERNALlanguageId && proc->prolang != ClanguageId)
		return language_is_allowed(proc->prolang) ? NULL : &languages;
	if (proc->provolatile == PROVOLATILE_IMMUTABLE)
		return NULL;
	if (proc->pronamespace == PG_CATALOG_NAMESPACE)
		return judge_builtin(name, proc->provolatile);
	return proc->provolatile == PROVOLATILE_VOLATILE ? rule_for_foreign(name) : NULL;
}

void
function_refusals_forget(void)
{
	epoch++;
	if (verdicts != NULL)
		hash_destroy(verdicts);
	verdicts = NULL;
}

void
function_refusals_keep(bool keep)
{
	kept = keep;
}

static void
forget_verdicts(Datum arg, int cacheid, uint32 hashvalue)
{
	if (!kept)
		function_refusals_forget();
}

static void
make_verdicts(void)
{
	static bool registered = false;
	HASHCTL		control = {.keysize = sizeof(Oid),.entrysize = sizeof(Verdict)};

	if (!registered)
	{
		CacheRegisterSyscacheCallback(PROCOID, forget_verdicts, (Datum) 0);
		registered = true;
	}
	verdicts = hash_create("durable: functions in orchestrators", 128, &control, HASH_ELEM | HASH_BLOBS);
}

static const Refusal *
look_up_and_judge(Oid function)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	const Refusal *refusal;

	if (!HeapTupleIsValid(tuple))
		return NULL;			/* dropped just now: its call fails */
	refusal = judge((Form_pg_proc) GETSTRUCT(tuple));
	ReleaseSysCache(tuple);
	return refusal;
}

const Refusal *
function_refusal(Oid function)
{
	Verdict    *verdict = verdicts ? hash_search(verdicts, &function, HASH_FIND, NULL) : NULL;
	const Refusal *refusal;

	if (verdict != NULL)
		return verdict->refusal;
	refusal = look_up_and_judge(function);
	if (verdicts == NULL)
		make_verdicts();		/* after the look-up, which may empty them */
	verdict = hash_search(verdicts, &function, HASH_ENTER, NULL);
	verdict->refusal = refusal;
	return refusal;
}

const Refusal *
function_refusal_of_name(const char *name)
{
	return rule_for(name, NULL);
}

const Refusal *
client_function_refusal(const char *name)
{
	return find_rule(client_rules, lengthof(client_rules), name, NULL);
}

uint32
function_refusals_epoch(void)
{
	return epoch;
}
