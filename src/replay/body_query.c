/*
 * body_query.c
 *		What an analysed statement of an orchestrator's body does: calls,
 *		tables, commands, names. See body_check.h.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_language.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "commands/proclang.h"
#include "nodes/nodeFuncs.h"
#include "tcop/cmdtag.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/formatting.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/syscache.h"

#include "compat.h"
#include "errors.h"
#include "replay/body_check.h"
#include "replay/checked_functions.h"
#include "replay/forbidden_statements.h"

/* The functions that take a name of something to be run, all with the version as fourth argument. */
static const struct
{
	const char *function;
	NameKind	kind;
} naming_functions[] = {
	{"call_activity", NAME_OF_ACTIVITY},
	{"schedule_activity", NAME_OF_ACTIVITY},
	{"call_suborchestrator", NAME_OF_ORCHESTRATOR},
	{"schedule_suborchestrator", NAME_OF_ORCHESTRATOR},
	{"start_detached", NAME_OF_ORCHESTRATOR}
};

#define NAME_ARGUMENT		0
#define VERSION_ARGUMENT	3

static const char *const waiting_functions[] = {
	"call_activity", "call_sql", "call_suborchestrator", "sleep", "sleep_until",
	"wait_for_event", "await", "await_all", "await_any"
};

static bool walk_expression(Node *node, void *check);

static bool
is_listed(const char *name, const char *const *list, int n)
{
	for (int i = 0; i < n; i++)
		if (strcmp(name, list[i]) == 0)
			return true;
	return false;
}

#define IS_LISTED(name, list) is_listed((name), (list), lengthof(list))

/* ------------------------------------------------------------------------
 * Calls
 * ------------------------------------------------------------------------
 */

/* A function that is called at a location. */
typedef struct Call
{
	BodyCheck  *check;
	Node	   *node;
	int			location;
} Call;

static void
report_refusal(const Call *call, const char *name, const Refusal *refusal)
{
	if (refusal != NULL)
		body_report(call->check, call->location, false, ERRCODE_DURABLE_NOT_ALLOWED,
					psprintf("function %s %s", name, refusal->why), refusal->hint);
}

/* An SQL or PL/pgSQL function is judged by what it does. */
static void
follow_call(const Call *call, Oid function, const char *signature)
{
	BodyCheck  *check = call->check;
	BodyCheck	before = *check;

	if (check->helper == NULL)
		check->call_line = body_line_at(check, call->location);
	check->helper = signature;
	check->call = call->node;
	body_check_function(check, function);
	before.findings = check->findings;
	before.visited = check->visited;
	*check = before;
}

/* A function of ours or of PostgreSQL by its name alone; others may be overloaded by somebody else. */
static const char *
shown_function(Oid function, Form_pg_proc proc)
{
	if (proc->pronamespace == PG_CATALOG_NAMESPACE)
		return psprintf("%s()", NameStr(proc->proname));
	if (proc->pronamespace == get_namespace_oid("durable", true))
		return psprintf("durable.%s()", NameStr(proc->proname));
	return format_procedure(function);
}

static void
judge_function(const Call *call, Oid function, Form_pg_proc proc)
{
	const char *signature = shown_function(function, proc);

	if (proc->pronamespace == get_namespace_oid("durable", true))
		report_refusal(call, signature, client_function_refusal(NameStr(proc->proname)));
	else if (proc->prolang == SQLlanguageId || proc->prolang == get_language_oid("plpgsql", true))
		follow_call(call, function, signature);
	else
		report_refusal(call, signature, function_refusal(function));
}

static bool
visit_function(Oid function, void *arg)
{
	HeapTuple	tuple = SearchSysCacheCopy1(PROCOID, ObjectIdGetDatum(function));

	if (HeapTupleIsValid(tuple))
		judge_function(arg, function, (Form_pg_proc) GETSTRUCT(tuple));
	return false;
}

/* ------------------------------------------------------------------------
 * Calls of durable's own functions
 * ------------------------------------------------------------------------
 */

/* The argument of a number, which may be given by name; NULL: it has its default. */
static Node *
call_argument(const FuncExpr *call, int number)
{
	ListCell   *lc;

	foreach(lc, call->args)
	{
		Node	   *arg = lfirst(lc);

		if (IsA(arg, NamedArgExpr) && ((NamedArgExpr *) arg)->argnumber == number)
			return (Node *) ((NamedArgExpr *) arg)->arg;
		if (!IsA(arg, NamedArgExpr) && foreach_current_index(lc) == number)
			return arg;
	}
	return NULL;
}

/* Is the argument known before it runs? Then *value is what it is, NULL for NULL. */
static bool
constant_text(Node *node, char **value)
{
	const Const *constant;

	*value = NULL;
	while (node != NULL && IsA(node, RelabelType))
		node = (Node *) ((RelabelType *) node)->arg;
	if (node == NULL)
		return true;
	if (!IsA(node, Const))
		return false;
	constant = (const Const *) node;
	if (!constant->constisnull)
		*value = TextDatumGetCString(constant->constvalue);
	return true;
}

typedef struct NamedCall
{
	NameKind	kind;
	char	   *name;
	char	   *version;
	bool		version_known;
} NamedCall;

static void
check_named_call(BodyCheck *check, void *arg)
{
	NamedCall  *call = arg;

	check->check_name(check->name_arg, call->kind, call->name, call->version, call->version_known);
}

static void
check_names(BodyCheck *check, const FuncExpr *expr, const char *function)
{
	Node	   *argument = call_argument(expr, NAME_ARGUMENT);
	NamedCall	call;

	for (int i = 0; i < lengthof(naming_functions); i++)
	{
		if (strcmp(function, naming_functions[i].function) != 0)
			continue;
		call.kind = naming_functions[i].kind;
		call.version_known = constant_text(call_argument(expr, VERSION_ARGUMENT), &call.version);
		if (constant_text(argument, &call.name) && call.name != NULL)
			(void) body_check_part(check, check_named_call, &call, exprLocation(argument));
	}
}

static void
check_wait(BodyCheck *check, int location, const char *function)
{
	if (!IS_LISTED(function, waiting_functions))
		return;
	if (check->catches_waits)
		body_report(check, location, false, ERRCODE_DURABLE_NOT_ALLOWED,
					psprintf("durable.%s() waits in a block whose handler catches assert_failure, the error that suspends an orchestrator", function),
					"Do not name assert_failure or plpgsql_error in an EXCEPTION block around calls of durable functions; WHEN OTHERS is fine.");
	if (check->catches_cancels)
		body_report(check, location, true, ERRCODE_DURABLE_NOT_ALLOWED,
					psprintf("durable.%s() waits in a block whose handler catches query_canceled, which ends an orchestrator that is stopped", function),
					"Do not name query_canceled or operator_intervention in an EXCEPTION block around calls of durable functions; WHEN OTHERS is fine.");
}

static void
check_durable_call(BodyCheck *check, const FuncExpr *expr)
{
	char	   *function;

	if (get_func_namespace(expr->funcid) != get_namespace_oid("durable", true))
		return;
	function = get_func_name(expr->funcid);
	check_names(check, expr, function);
	check_wait(check, expr->location, function);
}

/* ------------------------------------------------------------------------
 * Literals and values
 * ------------------------------------------------------------------------
 */

static void
check_literal(BodyCheck *check, const Const *constant)
{
	const char *word = frozen_word(constant, check->source);

	if (word != NULL)
		body_report(check, constant->location, false, ERRCODE_DURABLE_NOT_ALLOWED,
					psprintf("the literal '%s' of type %s %s", word, format_type_be(constant->consttype), refusal_of_frozen_words.why),
					refusal_of_frozen_words.hint);
}

static void
check_value_function(BodyCheck *check, const SQLValueFunction *value)
{
	const Refusal *refusal;
	const char *name = refused_value(value, &refusal);

	if (name != NULL)
		body_report(check, value->location, false, ERRCODE_DURABLE_NOT_ALLOWED, psprintf("%s %s", name, refusal->why), refusal->hint);
}

static bool
walk_expression(Node *node, void *arg)
{
	BodyCheck  *check = arg;
	Call		call;

	if (node == NULL)
		return false;
	if (IsA(node, Query))
	{
		body_check_query(check, (Query *) node);
		return false;
	}
	call.check = check;
	call.node = node;
	call.location = exprLocation(node);
	(void) check_functions_in_node(node, visit_function, &call);
	if (IsA(node, FuncExpr))
		check_durable_call(check, (FuncExpr *) node);
	else if (IsA(node, Const))
		check_literal(check, (Const *) node);
	else if (IsA(node, SQLValueFunction))
		check_value_function(check, (SQLValueFunction *) node);
	return expression_tree_walker(node, walk_expression, arg);
}

/* ------------------------------------------------------------------------
 * Tables and commands
 * ------------------------------------------------------------------------
 */

static void
report_relation(BodyCheck *check, const char *does, const RangeTblEntry *entry, const Refusal *refusal)
{
	const char *schema = RelationIsVisible(entry->relid) ? NULL : get_namespace_name(get_rel_namespace(entry->relid));

	body_report(check, -1, false, ERRCODE_DURABLE_NOT_ALLOWED,
				psprintf("%s %s %s", does, relation_word(get_rel_relkind(entry->relid)),
						 quote_qualified_identifier(schema, get_rel_name(entry->relid))),
				refusal->hint);
}

static void
check_relations(BodyCheck *check, const Query *query)
{
	ListCell   *lc;

	foreach(lc, query->rtable)
	{
		const RangeTblEntry *entry = lfirst(lc);
		bool		is_target = foreach_current_index(lc) + 1 == query->resultRelation;

		if (durable_names_relation(entry))
			report_relation(check, is_target ? "writes" : "reads", entry, is_target ? &refusal_of_writes : &refusal_of_reads);
	}
}

static void
check_command(BodyCheck *check, Node *command)
{
	const Refusal *refusal = command_refusal(command);

	if (refusal == NULL)
		(void) walk_expression((Node *) ((CallStmt *) command)->funcexpr, check);
	else
		body_report(check, -1, false, ERRCODE_DURABLE_NOT_ALLOWED,
					psprintf("%s is not for an orchestrator", CreateCommandName(command)), refusal->hint);
}

void
body_check_query(BodyCheck *check, Query *query)
{
	if (query->commandType == CMD_UTILITY)
	{
		check_command(check, query->utilityStmt);
		return;
	}
	check_relations(check, query);
	(void) query_tree_walker(query, walk_expression, check, 0);
}
