/*
 * function_lookup.c
 *		Finding functions by name: see function_lookup.h.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/regproc.h"
#include "utils/syscache.h"

#include "compat.h"
#include "core/json.h"
#include "replay/function_lookup.h"
#include "replay/orchestration_executor.h"

/*
 * Signatures that were looked up, which takes a parser else. What they name
 * depends on the rows of functions, types and schemas, who may look into these,
 * and nothing else: when one of them changes all are forgotten.
 */
#define N_KNOWN_SIGNATURES 64

typedef struct KnownSignature
{
	char	   *signature;		/* NULL: none */
	Oid			role;			/* who looked it up */
	Oid			function;
} KnownSignature;

static KnownSignature known_signatures[N_KNOWN_SIGNATURES];
static bool signatures_changed = false;

static void
note_change(Datum arg, int cacheid, uint32 hash)
{
	signatures_changed = true;
}

static void
watch_signatures(void)
{
	static const int caches[] = {PROCOID, TYPEOID, NAMESPACEOID, AUTHOID, AUTHMEMMEMROLE};
	static bool watched = false;

	for (int i = 0; !watched && i < lengthof(caches); i++)
		CacheRegisterSyscacheCallback(caches[i], note_change, (Datum) 0);
	watched = true;
}

static void
forget_signature(KnownSignature *known)
{
	char	   *signature = known->signature;

	known->signature = NULL;
	if (signature != NULL)
		pfree(signature);
}

static KnownSignature *
known_place(const char *signature)
{
	watch_signatures();
	for (int i = 0; signatures_changed && i < N_KNOWN_SIGNATURES; i++)
		forget_signature(&known_signatures[i]);
	signatures_changed = false;
	return &known_signatures[hash_bytes((const unsigned char *) signature, strlen(signature)) % N_KNOWN_SIGNATURES];
}

Oid
function_of_signature(const char *signature)
{
	KnownSignature *known = known_place(signature);
	Oid			function;

	if (known->signature != NULL && known->role == GetUserId() && strcmp(known->signature, signature) == 0)
		return known->function;
	function = durable_to_regprocedure(signature);
	if (!OidIsValid(function) || signatures_changed)
		return function;
	forget_signature(known);
	known->signature = MemoryContextStrdup(TopMemoryContext, signature);
	known->role = GetUserId();
	known->function = function;
	return function;
}

/* The function of a name with argument types, in a list; NIL if there is none. */
static List *
lookup_signature(const char *signature)
{
	Oid			function = durable_to_regprocedure(signature);

	return OidIsValid(function) ? list_make1_oid(function) : NIL;
}

/* All functions of a name; one if the name has argument types. */
static List *
lookup_candidates(const char *name, const char *what)
{
	List	   *oids = NIL;
	List	   *names = NIL;
	FuncCandidateList candidate;

	if (strchr(name, '(') != NULL)
		oids = lookup_signature(name);
	else
	{
		names = durable_qualified_name_list(name);
		candidate = FuncnameGetCandidates(names, -1, NIL, false, false, false, true);
		for (; candidate != NULL; candidate = candidate->next)
			oids = lappend_oid(oids, candidate->oid);
	}
	if (oids == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("%s \"%s\" does not exist", what, name),
				 list_length(names) > 1 ?
				 errdetail("There is no schema \"%s\" with a function of this name.", strVal(linitial(names))) :
				 errdetail("No such function is in the search_path: %s.", namespace_search_path),
				 errhint("Create the function, or name it with its schema.")));
	return oids;
}

/* Does the function have one argument of type jsonb? */
static bool
takes_one_jsonb(Oid function)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	Form_pg_proc proc;
	bool		result;

	if (!HeapTupleIsValid(tuple))
		return false;
	proc = (Form_pg_proc) GETSTRUCT(tuple);
	result = proc->pronargs == 1 && proc->proargtypes.values[0] == JSONBOID;
	ReleaseSysCache(tuple);
	return result;
}

Oid
orchestrator_lookup(const char *name)
{
	List	   *candidates = lookup_candidates(name, "orchestrator");
	Oid			function = linitial_oid(candidates);
	ListCell   *lc;

	foreach(lc, candidates)
	{
		if (takes_one_jsonb(lfirst_oid(lc)))
			function = lfirst_oid(lc);
	}
	orchestrator_check(function, name);
	return function;
}

Oid
registered_function(const char *what, const char *name, const char *signature)
{
	List	   *found = lookup_signature(signature);

	if (found == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("function %s, registered for %s \"%s\", does not exist any more", signature, what, name),
				 errhint("Create it again, or register another one after durable.unregister_%s().", what)));
	return linitial_oid(found);
}

void
no_such_version(const char *what, const char *name, const char *version, const char *versions)
{
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_FUNCTION),
			 version && version[0] ?
			 errmsg("%s \"%s\" has no version \"%s\"", what, name, version) :
			 errmsg("%s \"%s\" has no version that serves calls without one", what, name),
			 errdetail("Registered are the versions %s.", versions),
			 errhint("Ask for one of these with version => '...', or register the function with durable.register_%s().", what)));
	pg_unreachable();
}

char *
function_signature(Oid function)
{
	return format_procedure_qualified(function);
}

static Oid
function_owner(Oid function)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	Oid			owner = InvalidOid;

	if (HeapTupleIsValid(tuple))
	{
		owner = ((Form_pg_proc) GETSTRUCT(tuple))->proowner;
		ReleaseSysCache(tuple);
	}
	return owner;
}

void
function_require_trusted(Oid function, const char *name)
{
	if (superuser() && !superuser_arg(function_owner(function)))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("function %s is not run in a superuser's task hub", name),
				 errdetail("Its owner is not a superuser, and could make it do anything with a superuser's rights."),
				 errhint("Run it in a task hub of its owner.")));
}

/* The names and types of the input arguments of a function, and how many have defaults. */
static int
input_arguments(Oid function, char ***names, int *n_defaults)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	Datum		modes;
	Datum		all_names;
	bool		isnull;
	int			n = 0;

	*names = NULL;
	*n_defaults = 0;
	if (!HeapTupleIsValid(tuple))
		return 0;
	*n_defaults = ((Form_pg_proc) GETSTRUCT(tuple))->pronargdefaults;
	n = ((Form_pg_proc) GETSTRUCT(tuple))->pronargs;
	modes = SysCacheGetAttr(PROCOID, tuple, Anum_pg_proc_proargmodes, &isnull);
	if (isnull)
		modes = PointerGetDatum(NULL);
	all_names = SysCacheGetAttr(PROCOID, tuple, Anum_pg_proc_proargnames, &isnull);
	if (!isnull)
		(void) get_func_input_arg_names(all_names, modes, names);
	ReleaseSysCache(tuple);
	return n;
}

static bool
names_contain(char **names, int n, const char *key, int length)
{
	for (int i = 0; names != NULL && i < n; i++)
		if (names[i] && strlen(names[i]) == length && strncmp(names[i], key, length) == 0)
			return true;
	return false;
}

/* Can the fields of the object be given as named arguments? */
static bool
object_fits(Oid function, Jsonb *input)
{
	char	  **names;
	int			n_defaults;
	int			n = input_arguments(function, &names, &n_defaults);
	int			n_fields = 0;
	JsonbIterator *iterator = JsonbIteratorInit(&input->root);
	JsonbValue	value;
	JsonbIteratorToken token;

	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		if (token != WJB_KEY)
			continue;
		if (!names_contain(names, n, value.val.string.val, value.val.string.len))
			return false;
		n_fields++;
	}
	return n_fields >= n - n_defaults;
}

static void
ambiguous_activity(const char *name)
{
	ereport(ERROR,
			(errcode(ERRCODE_AMBIGUOUS_FUNCTION),
			 errmsg("activity \"%s\" is not unique", name),
			 errhint("Name it with its argument types, as in 'my_function(text, integer)'.")));
}

List *
activity_candidates(const char *name)
{
	return lookup_candidates(name, "activity");
}

Oid
activity_lookup(const char *name, Jsonb *input)
{
	List	   *candidates = lookup_candidates(name, "activity");
	Oid			fitting = InvalidOid;
	Oid			takes_jsonb = InvalidOid;
	ListCell   *lc;

	if (list_length(candidates) == 1)
		return linitial_oid(candidates);
	foreach(lc, candidates)
	{
		if (takes_one_jsonb(lfirst_oid(lc)))
			takes_jsonb = lfirst_oid(lc);
		else if (input && JB_ROOT_IS_OBJECT(input) && object_fits(lfirst_oid(lc), input))
		{
			if (OidIsValid(fitting))
				ambiguous_activity(name);
			fitting = lfirst_oid(lc);
		}
	}
	if (!OidIsValid(fitting) && !OidIsValid(takes_jsonb))
		ambiguous_activity(name);
	return OidIsValid(fitting) ? fitting : takes_jsonb;
}
