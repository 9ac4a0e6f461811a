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
#include "replay/forbidden_functions.h"

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

/* Date and time literals that mean the time when they are read. */
static const char *const moving_literals[] = {"now", "today", "tomorrow", "yesterday"};

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
#define FIND_FORBIDDEN(list, name) find_forbidden((list), lengthof(list), (name))

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
report_forbidden(const Call *call, const char *name, const ForbiddenFunction *rule, const char *otherwise)
{
	body_report(call->check, call->location, false, ERRCODE_DURABLE_NOT_ALLOWED,
				psprintf("function %s %s", name, rule ? rule->why : otherwise),
				rule && rule->instead ? rule->instead : CALL_IN_ACTIVITY);
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

static void
judge_builtin(const Call *call, Form_pg_proc proc, const char *signature)
{
	const char *name = NameStr(proc->proname);
	bool		is_builtin = proc->pronamespace == PG_CATALOG_NAMESPACE;
	const ForbiddenFunction *rule;

	if (proc->provolatile == PROVOLATILE_VOLATILE)
	{
		if (!is_builtin || !IS_LISTED(name, deterministic_volatiles))
			report_forbidden(call, signature, FIND_FORBIDDEN(volatile_functions, name),
							 "is volatile: its result or effect is another one at each replay");
	}
	else if (proc->provolatile == PROVOLATILE_STABLE && is_builtin)
	{
		rule = FIND_FORBIDDEN(varying_functions, name);
		if (rule != NULL)
			report_forbidden(call, signature, rule, NULL);
	}
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

/* Judges a function by the rules of forbidden_functions.h. */
static void
judge_function(const Call *call, Oid function, Form_pg_proc proc)
{
	const char *signature = shown_function(function, proc);
	const ForbiddenFunction *rule;

	if (proc->pronamespace == get_namespace_oid("durable", true))
	{
		rule = FIND_FORBIDDEN(client_functions, NameStr(proc->proname));
		if (rule != NULL)
			report_forbidden(call, signature, rule, NULL);
	}
	else if (proc->prolang == SQLlanguageId || proc->prolang == get_language_oid("plpgsql", true))
		follow_call(call, function, signature);
	else if (proc->prolang != INTERNALlanguageId && proc->prolang != ClanguageId)
		report_forbidden(call, signature, NULL, psprintf("is written in %s, which is not checked", get_language_name(proc->prolang, false)));
	else
		judge_builtin(call, proc, signature);
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

static bool
is_date_or_time(Oid type)
{
	return type == DATEOID || type == TIMEOID || type == TIMETZOID || type == TIMESTAMPOID || type == TIMESTAMPTZOID;
}

/* The word a quoted literal of the source consists of, in lower case; NULL if it is no single word. */
static char *
literal_word(const char *literal)
{
	int			length;

	if (*literal++ != '\'')
		return NULL;
	literal += strspn(literal, " \t\r\n");
	length = strspn(literal, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ");
	return asc_tolower(literal, length);
}

/* The parser has made a time of 'now' already; the source says how it was written. */
static void
check_literal(BodyCheck *check, const Const *constant)
{
	char	   *word;

	if (check->source == NULL || constant->location < 0 || constant->constisnull || !is_date_or_time(constant->consttype))
		return;
	word = literal_word(check->source + constant->location);
	if (word != NULL && IS_LISTED(word, moving_literals))
		body_report(check, constant->location, false, ERRCODE_DURABLE_NOT_ALLOWED,
					psprintf("the literal '%s' becomes a fixed time when the statement is planned", word),
					"Use now() or durable.orchestration_time(), and compute others from it.");
}

static void
check_value_function(BodyCheck *check, const SQLValueFunction *value)
{
	if (value->op == SVFOP_SESSION_USER)
		body_report(check, value->location, false, ERRCODE_DURABLE_NOT_ALLOWED,
					pstrdup("SESSION_USER depends on the session"), CALL_IN_ACTIVITY);
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

static const char *
relation_word(char relkind)
{
	switch (relkind)
	{
		case RELKIND_VIEW:
			return "view";
		case RELKIND_MATVIEW:
			return "materialized view";
		case RELKIND_FOREIGN_TABLE:
			return "foreign table";
		case RELKIND_SEQUENCE:
			return "sequence";
		default:
			return "table";
	}
}

static void
report_relation(BodyCheck *check, const char *does, const RangeTblEntry *entry)
{
	const char *schema = RelationIsVisible(entry->relid) ? NULL : get_namespace_name(get_rel_namespace(entry->relid));

	body_report(check, -1, false, ERRCODE_DURABLE_NOT_ALLOWED,
				psprintf("%s %s %s", does, relation_word(entry->relkind),
						 quote_qualified_identifier(schema, get_rel_name(entry->relid))),
				strcmp(does, "reads") == 0 ?
				"What is in it may have changed at the next replay: read it in an activity, for example with durable.call_sql()." :
				"An orchestrator only coordinates: write in an activity, for example with durable.call_sql().");
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
			report_relation(check, is_target ? "writes" : "reads", entry);
	}
}

/* SET is let through: a turn's settings end with it. */
static void
check_command(BodyCheck *check, Node *command)
{
	if (IsA(command, VariableSetStmt))
		return;
	if (IsA(command, CallStmt))
	{
		(void) walk_expression((Node *) ((CallStmt *) command)->funcexpr, check);
		return;
	}
	body_report(check, -1, false, ERRCODE_DURABLE_NOT_ALLOWED,
				psprintf("%s is not for an orchestrator", CreateCommandName(command)),
				"An orchestrator only coordinates: run it in an activity, for example with durable.call_sql().");
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
