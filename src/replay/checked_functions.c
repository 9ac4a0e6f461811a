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

static const Refusal clocks = {
	"It reads the clock, which says something else at each replay.",
	"Use now() or CURRENT_TIMESTAMP, which are the orchestration's time here."
};
static const Refusal guids = {
	"It gives another value at each replay.",
	"Use durable.new_guid(), which repeats."
};
static const Refusal sleeps = {
	"It blocks the worker, and each replay would sleep again.",
	"Use durable.sleep() or durable.create_timer()."
};
static const Refusal sequences = {
	"It counts on at each replay, and no rollback takes that back.",
	"Call it in an activity, or with durable.call_sql('SELECT nextval(...)'); durable.new_guid() makes keys that repeat."
};
static const Refusal seeds = {
	"random() repeats in an orchestrator, because it is seeded for each execution.",
	"Leave the seed alone: random() gives the same values at each replay."
};
static const Refusal settings_read = {
	"Settings and the session differ from one turn to the next.",
	"Pass the value in the input of the orchestrator, or read it in an activity, for example with durable.call_sql()."
};
static const Refusal settings_write = {
	"What it sets is not there in the next turn.",
	"Give the function a SET clause: ALTER FUNCTION ... SET name = value."
};
static const Refusal identity = {
	"It names what a dump, a rename or a change of the owner alters under running instances.",
	"Pass the value in the input of the orchestrator, or read it in an activity, for example with durable.call_sql()."
};
static const Refusal locks = {
	"A lock is gone at the end of the turn and blocks the worker until then.",
	"Lock in an activity, or limit activities with max_concurrency of durable.register_activity()."
};
static const Refusal notifications = {
	"Each replay would send it again.",
	"Notify in an activity, or with durable.call_sql('SELECT pg_notify(...)')."
};
static const Refusal network = {
	"What it reaches lies outside the transaction: each replay would do it again and find something else.",
	"Do it in an activity, registered with external => true."
};
static const Refusal large_objects = {
	"It reads or writes a large object, which may have changed at the next replay.",
	DO_IT_IN_AN_ACTIVITY
};
static const Refusal catalogs = {
	"It looks at the state of the server or of its catalogs, which may have changed at the next replay.",
	DO_IT_IN_AN_ACTIVITY
};
static const Refusal volatiles = {
	"It is volatile: it may give something else, or do something again, at each replay.",
	DO_IT_IN_AN_ACTIVITY
};
static const Refusal languages = {
	"What it does cannot be checked, because it is in another language than SQL and PL/pgSQL.",
	"Call it as an activity, or name its language in durable.orchestrator_languages if all its code is deterministic."
};

/*
 * By name: for built-in functions whatever their volatility is (unless
 * IMMUTABLE), for volatile ones of extensions to find a better hint. The first
 * that fits counts; NULL: may be called. A star stands for the rest.
 */
static const struct
{
	const char *pattern;
	const Refusal *refusal;
}			rules[] = {
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
	{"currval", &sequences},
	{"lastval", &sequences},
	{"setseed", &seeds},
	{"current_setting", &settings_read},
	{"set_config", &settings_write},
	{"inet_client_*", &settings_read},
	{"inet_server_*", &settings_read},
	{"pg_backend_pid", &settings_read},
	{"pg_client_encoding", &settings_read},
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
	{"txid_*", &catalogs},
	{"has_*_privilege", &catalogs},
	{"row_security_active", &catalogs},
	{"to_reg*", &catalogs},		/* an OID is another one after a dump */
	{"reg*in", &catalogs},
	{"*_description", &catalogs},
	{"*_to_xml*", &catalogs},	/* of tables and queries */
	{"pg_*", &catalogs},
};

typedef struct Verdict
{
	Oid			function;		/* key */
	const Refusal *refusal;
} Verdict;

static HTAB *verdicts = NULL;
static uint32 epoch = 1;

/* Does the name fit? The pattern has at most two stars. */
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

/* What the list says of a name; "otherwise" when it says nothing. */
static const Refusal *
rule_for(const char *name, const Refusal *otherwise)
{
	for (int i = 0; i < lengthof(rules); i++)
		if (name_fits(name, rules[i].pattern))
			return rules[i].refusal;
	return otherwise;
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
		return rule_for(name, proc->provolatile == PROVOLATILE_VOLATILE ? &volatiles : NULL);
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

static void
forget_verdicts(Datum arg, int cacheid, uint32 hashvalue)
{
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

uint32
function_refusals_epoch(void)
{
	return epoch;
}
