/*
 * pinned_code.c
 *		Private copies of orchestrators: see pinned_code.h.
 *
 * A procedural language runs what is in pg_proc and nothing else, so old code
 * is put there: as a function of the hub's owner in schema durable_code, where
 * nobody may look up, create or call anything, its owner neither. The engine
 * calls it by its oid. No right is granted to make it: the extension's owner
 * makes it, from the text that pg_get_functiondef() gave, as a parse tree that
 * can only be a CREATE FUNCTION; nothing of the function is run by that. It
 * then goes to the hub's owner and runs as that role like any of its code.
 *
 * The copy depends on the extension without being a part of it: DROP EXTENSION
 * takes it along, DROP OWNED drops it (it is made again when it is needed), and
 * pg_dump dumps it.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_proc.h"
#include "commands/alter.h"
#include "commands/comment.h"
#include "commands/defrem.h"
#include "commands/extension.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "nodes/value.h"
#include "parser/parse_node.h"
#include "parser/parser.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/catcache.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/uuid.h"

#include "compat.h"
#include "core/failure.h"
#include "dispatch/pinned_code.h"
#include "ids.h"
#include "replay/function_code.h"
#include "replay/function_lookup.h"
#include "replay/sandbox.h"
#include "session.h"
#include "store/code_store.h"

#define CODE_SCHEMA "durable_code"

/* So much of the function's name is in the name of its copies. */
#define READABLE_PART 13

typedef struct Copying
{
	const RuntimeState *state;
	Oid			copy;
} Copying;

PinnedCode *
code_of_signature(const char *signature, Oid hub_owner)
{
	Oid			function = function_of_signature(signature);

	return OidIsValid(function) ? function_code(function, hub_owner) : NULL;
}

/* ------------------------------------------------------------------------
 * Finding copies
 * ------------------------------------------------------------------------
 */

/* The name of a function without its schema and arguments, as far as it is plain; for people. */
static void
append_readable_part(StringInfo name, const char *signature)
{
	const char *end = strrchr(signature, '(');
	const char *start = end ? end : signature + strlen(signature);

	end = start;
	while (start > signature && start[-1] != '.')
		start--;
	for (int i = 0; i < READABLE_PART && start + i < end; i++)
		appendStringInfoChar(name, isalnum((unsigned char) start[i]) ? start[i] : '_');
}

/* The name of the copy of code in a hub. */
static char *
copy_name(const char *task_hub, const PinnedCode *code)
{
	StringInfoData name;
	uint64		hub = hash_bytes_extended((const unsigned char *) task_hub, strlen(task_hub), 0);

	initStringInfo(&name);
	append_readable_part(&name, code->function);
	appendStringInfo(&name, "_%s_%016llx", execution_id_text(&code->fingerprint), (unsigned long long) hub);
	return name.data;
}

static Oid
find_copy(const char *name)
{
	Oid			schema = get_namespace_oid(CODE_SCHEMA, false);
	CatCList   *functions = SearchSysCacheList1(PROCNAMEARGSNSP, CStringGetDatum(name));
	Oid			copy = InvalidOid;

	for (int i = 0; i < functions->n_members; i++)
	{
		Form_pg_proc proc = (Form_pg_proc) GETSTRUCT(&functions->members[i]->tuple);

		if (proc->pronamespace == schema)
			copy = proc->oid;
	}
	ReleaseCatCacheList(functions);
	return copy;
}

/* ------------------------------------------------------------------------
 * Making copies
 * ------------------------------------------------------------------------
 */

/* The kept text as a parse tree, if it is what it should be. */
static CreateFunctionStmt *
parse_definition(const char *definition)
{
	List	   *statements = raw_parser(definition, RAW_PARSE_DEFAULT);
	Node	   *statement = list_length(statements) == 1 ? linitial_node(RawStmt, statements)->stmt : NULL;

	if (statement == NULL || !IsA(statement, CreateFunctionStmt))
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("the kept definition of an orchestrator does not make a function")));
	return (CreateFunctionStmt *) statement;
}

static List *
qualified_name(const char *name)
{
	return list_make2(makeString(CODE_SCHEMA), makeString(pstrdup(name)));
}

static Oid
create_function(const char *name, const char *definition)
{
	CreateFunctionStmt *statement = parse_definition(definition);
	ParseState *pstate = make_parsestate(NULL);
	int			nest_level = NewGUCNestLevel();
	ObjectAddress function;

	/* what the body refers to may be gone: that is for the code to find out */
	(void) set_config_option("check_function_bodies", "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	pstate->p_sourcetext = definition;
	statement->funcname = qualified_name(name);
	statement->replace = false;
	function = CreateFunction(pstate, statement);
	free_parsestate(pstate);
	AtEOXact_GUC(true, nest_level);
	CommandCounterIncrement();
	return function.objectId;
}

/* A copy by its name, of which there is one. */
static ObjectWithArgs *
copy_as_object(Oid copy)
{
	ObjectWithArgs *object = makeNode(ObjectWithArgs);

	object->objname = qualified_name(get_func_name(copy));
	object->args_unspecified = true;
	return object;
}

static RoleSpec *
role_spec(RoleSpecType type, char *name)
{
	RoleSpec   *role = makeNode(RoleSpec);

	role->roletype = type;
	role->rolename = name;
	role->location = -1;
	return role;
}

static void
give_to_owner(Oid copy, Oid owner)
{
	AlterOwnerStmt *statement = makeNode(AlterOwnerStmt);

	statement->objectType = OBJECT_FUNCTION;
	statement->object = (Node *) copy_as_object(copy);
	statement->newowner = role_spec(ROLESPEC_CSTRING, GetUserNameFromId(owner, false));
	(void) ExecAlterOwnerStmt(statement);
	CommandCounterIncrement();
}

/* Takes from PUBLIC what it has of any new function. */
static void
close_to_others(Oid copy)
{
	GrantStmt  *statement = makeNode(GrantStmt);

	statement->is_grant = false;
	statement->targtype = ACL_TARGET_OBJECT;
	statement->objtype = OBJECT_FUNCTION;
	statement->objects = list_make1(copy_as_object(copy));
	statement->grantees = list_make1(role_spec(ROLESPEC_PUBLIC, NULL));
	statement->behavior = DROP_RESTRICT;
	ExecuteGrantStmt(statement);
	CommandCounterIncrement();
}

static void
describe_copy(Oid copy, const RuntimeState *state)
{
	CreateComments(copy, ProcedureRelationId, 0,
				   psprintf("%s as it was when instances of task hub \"%s\" began that still run; durable drops it after the last of them.",
							state->code->function, state->task_hub));
	CommandCounterIncrement();
}

static void
depend_on_extension(Oid copy)
{
	ObjectAddress function;
	ObjectAddress extension;

	ObjectAddressSet(function, ProcedureRelationId, copy);
	ObjectAddressSet(extension, ExtensionRelationId, get_extension_oid("durable", false));
	recordDependencyOn(&function, &extension, DEPENDENCY_AUTO_EXTENSION);
	CommandCounterIncrement();
}

static const PinnedCode *
read_kept(const RuntimeState *state)
{
	const PinnedCode *kept = store_read_code(state->task_hub, state->code);

	if (kept == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("the code that the instance began with is not kept any more"),
				 errdetail("Function %s has been changed or dropped.", state->function),
				 errhint("durable.rewind() lets it go on with the function as it is.")));
	return kept;
}

/* As function_require_trusted(); the copy itself is the superuser's. */
static void
require_trusted(const RuntimeState *state)
{
	if (superuser() && !read_kept(state)->trusted)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("function %s is not run in a superuser's task hub", state->function),
				 errdetail("Its owner was not a superuser when the instance began.")));
}

/* Two processes may need the same copy: the second one finds what the first one made. */
static Oid
make_copy(const RuntimeState *state, const char *name, Oid owner)
{
	const PinnedCode *kept = read_kept(state);
	Oid			copy;

	LockDatabaseObject(NamespaceRelationId, get_namespace_oid(CODE_SCHEMA, false),
					   (uint16) hash_bytes((const unsigned char *) name, strlen(name)), ShareUpdateExclusiveLock);
	copy = find_copy(name);
	if (OidIsValid(copy))
		return copy;
	copy = create_function(name, kept->definition);
	close_to_others(copy);
	depend_on_extension(copy);
	describe_copy(copy, state);
	give_to_owner(copy, owner);
	return copy;
}

static Oid
owner_of(Oid function)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	Oid			owner = HeapTupleIsValid(tuple) ? ((Form_pg_proc) GETSTRUCT(tuple))->proowner : InvalidOid;

	if (HeapTupleIsValid(tuple))
		ReleaseSysCache(tuple);
	return owner;
}

/* Body of a sandbox. The hub may have another owner than when the copy was made. */
static void
prepare_copy(void *arg)
{
	Copying    *copying = arg;
	const RuntimeState *state = copying->state;
	char	   *name = copy_name(state->task_hub, state->code);
	Oid			owner = GetUserId();
	EngineScope scope;

	require_trusted(state);
	engine_enter(&scope);
	copying->copy = find_copy(name);
	if (!OidIsValid(copying->copy))
		copying->copy = make_copy(state, name, owner);
	if (owner_of(copying->copy) != owner)
		give_to_owner(copying->copy, owner);
	engine_leave(&scope);
}

bool
pinned_code_prepare(RuntimeState *state, Jsonb **failure)
{
	InstanceSettings settings = {0};
	Sandbox		sandbox = {.settings = &settings};
	Copying		copying = {state, InvalidOid};
	ErrorData  *error;

	if (sandbox_run(&sandbox, prepare_copy, &copying, &error) != SANDBOX_OK)
	{
		if (error_is_circumstantial(error) || error_is_conflict(error))
			ReThrowError(error);
		*failure = failure_from_error(error, true);
		return false;
	}
	state->copy = copying.copy;
	state->needs_copy = false;
	return true;
}

/* ------------------------------------------------------------------------
 * Dropping what nobody needs
 * ------------------------------------------------------------------------
 */

static void
drop_copy(const char *task_hub, const PinnedCode *code)
{
	ObjectAddress function;
	EngineScope scope;
	Oid			copy = find_copy(copy_name(task_hub, code));

	if (!OidIsValid(copy))
		return;
	ObjectAddressSet(function, ProcedureRelationId, copy);
	engine_enter(&scope);
	performDeletion(&function, DROP_CASCADE, PERFORM_DELETION_INTERNAL | PERFORM_DELETION_QUIETLY);
	engine_leave(&scope);
	CommandCounterIncrement();
}

/* Is it the definition that its function has now? */
static bool
is_current(const KeptCode *kept)
{
	Oid			function = function_of_signature(kept->code.function);

	return OidIsValid(function) && function_has_code(function, owner_of(function), &kept->code);
}

/* What may have to go: old code, copies, and rows that were written twice. */
static List *
find_candidates(const char *task_hub, List *all)
{
	List	   *candidates = NIL;
	ListCell   *lc;

	foreach(lc, all)
	{
		KeptCode   *kept = lfirst(lc);

		if (kept->is_doubled || !is_current(kept) || OidIsValid(find_copy(copy_name(task_hub, &kept->code))))
			candidates = lappend(candidates, kept);
	}
	return candidates;
}

static void
sweep_code(const char *task_hub, const KeptCode *kept)
{
	if (kept->is_doubled)
		store_forget_doubles(task_hub, &kept->code);
	if (!kept->is_needed)
		drop_copy(task_hub, &kept->code);
	if (!kept->is_needed && !kept->may_be_needed && !is_current(kept))
		store_forget_code(task_hub, &kept->code);
}

/* A snapshot taken before the lock would not show who has just begun. */
void
pinned_code_sweep(const char *task_hub)
{
	EngineScope scope;
	List	   *candidates;
	ListCell   *lc;

	engine_enter(&scope);
	candidates = find_candidates(task_hub, store_list_code(task_hub));
	if (candidates != NIL && store_lock_code())
	{
		store_find_users(task_hub, candidates);
		foreach(lc, candidates)
			sweep_code(task_hub, lfirst(lc));
	}
	engine_leave(&scope);
}

void
pinned_code_discard(const char *task_hub)
{
	ListCell   *lc;

	foreach(lc, store_list_code(task_hub))
		drop_copy(task_hub, &((KeptCode *) lfirst(lc))->code);
	store_forget_all_code(task_hub);
}
