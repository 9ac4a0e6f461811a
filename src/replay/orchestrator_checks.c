/*
 * orchestrator_checks.c
 *		Looks at what an orchestrator is about to do: see orchestrator_checks.h.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_class.h"
#include "catalog/pg_language.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "fmgr.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/planner.h"
#include "parser/parsetree.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/formatting.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "compat.h"
#include "errors.h"
#include "replay/checked_functions.h"
#include "replay/orchestration_context.h"
#include "replay/orchestrator_checks.h"
#include "replay/plpgsql_plans.h"
#include "settings.h"

/* No syscache has this number: such an item in a plan's invalItems invalidates nothing, and is our mark. */
#define MARK_CACHE_ID (-7771)

static const Refusal reads = {
	"What it holds may have changed at the next replay.",
	"Read it in an activity, for example with durable.call_sql('SELECT ...'): the result is recorded, and replays see it again."
};
static const Refusal writes = {
	"A turn is always rolled back, and each replay would write again.",
	"An orchestrator only coordinates: write in an activity, or with durable.call_sql()."
};
static const Refusal commands = {
	"A turn is always rolled back, and each replay would do it again.",
	"Run it in an activity, or with durable.call_sql()."
};
static const Refusal set_commands = {
	"What it sets is not there in the next turn.",
	"Give the function a SET clause: ALTER FUNCTION ... SET name = value."
};
static const Refusal notify_commands = {
	"Each replay would do it again, and a worker listens for nobody.",
	"Notify in an activity, or with durable.call_sql('SELECT pg_notify(...)'); wait with durable.wait_for_event()."
};
static const Refusal cursor_commands = {
	"A cursor of the session does not outlive a turn.",
	"Loop with FOR ... IN SELECT, or use a cursor variable of PL/pgSQL within one turn."
};
static const Refusal frozen_words = {
	"It becomes a constant when the statement is first read, and is another one in the next session.",
	"Write now(), CURRENT_DATE, CURRENT_DATE + 1 or CURRENT_DATE - 1, which follow the orchestration's time."
};

static planner_hook_type next_planner = NULL;
static ExecutorStart_hook_type next_executor_start = NULL;
static ProcessUtility_hook_type next_utility = NULL;
static object_access_hook_type next_object_access = NULL;
static needs_fmgr_hook_type next_needs_fmgr = NULL;

/* Is a statement of an orchestrator being planned? Then nothing in SQL is inlined. */
static bool planning = false;

/* ------------------------------------------------------------------------
 * Saying no
 * ------------------------------------------------------------------------
 */

static bool
checks_are_on(void)
{
	return current_orchestration != NULL && setting_orchestrator_checks != ORCHESTRATOR_CHECKS_OFF;
}

static bool
checks_are_strict(void)
{
	return current_orchestration != NULL && setting_orchestrator_checks == ORCHESTRATOR_CHECKS_ERROR;
}

/* An error, or a warning the first time the code comes there. */
static void
refuse(const char *what, const Refusal *refusal)
{
	bool		strict = setting_orchestrator_checks == ORCHESTRATOR_CHECKS_ERROR;

	if (!strict && (current_orchestration->is_replaying || current_orchestration->is_repeated))
		return;
	ereport(strict ? ERROR : WARNING,
			(errcode(ERRCODE_DURABLE_NOT_ALLOWED),
			 errmsg("%s is not allowed in an orchestrator", what),
			 errdetail("%s", refusal->reason),
			 errhint("%s", refusal->hint)));
}

static void
check_function(Oid function)
{
	const Refusal *refusal = function_refusal(function);

	if (refusal != NULL)
		refuse(psprintf("function %s", format_procedure(function)), refusal);
}

/* ------------------------------------------------------------------------
 * Looking at a statement before it is planned
 * ------------------------------------------------------------------------
 */

typedef struct CheckContext
{
	const char *query_string;	/* what the locations in the tree refer to; NULL: nothing */
} CheckContext;

static bool check_node(Node *node, CheckContext *context);

static const char *
relation_kind(char relkind)
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

static char *
relation_name(Oid relation)
{
	return quote_qualified_identifier(get_namespace_name(get_rel_namespace(relation)), get_rel_name(relation));
}

/* One is enough. Of a view that is itself, which comes before what it reads. */
static void
check_reads(const List *range_table)
{
	ListCell   *lc;

	foreach(lc, range_table)
	{
		const RangeTblEntry *rte = lfirst(lc);

		if (!durable_names_relation(rte))
			continue;
		refuse(psprintf("reading %s %s", relation_kind(rte->relkind), relation_name(rte->relid)), &reads);
		return;
	}
}

static void
check_write(const Query *query)
{
	const RangeTblEntry *target = rt_fetch(query->resultRelation, query->rtable);

	refuse(psprintf("writing to %s %s", relation_kind(target->relkind), relation_name(target->relid)), &writes);
}

static const char *
value_function_name(SQLValueFunctionOp op)
{
	switch (op)
	{
		case SVFOP_CURRENT_ROLE:
			return "current_role";
		case SVFOP_CURRENT_USER:
			return "current_user";
		case SVFOP_USER:
			return "user";
		case SVFOP_SESSION_USER:
			return "session_user";
		case SVFOP_CURRENT_CATALOG:
			return "current_catalog";
		case SVFOP_CURRENT_SCHEMA:
			return "current_schema";
		default:
			return NULL;		/* the date and the time are the orchestration's */
	}
}

static void
check_value_function(const SQLValueFunction *function)
{
	const char *name = value_function_name(function->op);

	if (name != NULL)
		refuse(asc_toupper(name, strlen(name)), function_refusal_of_name(name));
}

/* Does a value of the type have a date or a time in it that input makes of words? */
static bool
type_takes_dates(Oid type)
{
	Oid			part;

	type = getBaseType(type);
	switch (type)
	{
		case DATEOID:
		case TIMEOID:
		case TIMETZOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			return true;
	}
	part = get_element_type(type);
	if (!OidIsValid(part))
		part = get_range_subtype(type);
	if (!OidIsValid(part))
		part = get_multirange_range(type);
	return OidIsValid(part) && type_takes_dates(part);
}

/* The length of a quoted literal at the beginning of the text, which may have a prefix as E. */
static int
literal_length(const char *text)
{
	const char *quote = strpbrk(text, "'$");
	const char *end;

	if (quote == NULL || quote - text > 2)
		return 0;
	end = strchr(quote + 1, *quote);
	if (end != NULL && *quote == '$')
	{
		char	   *tag = pnstrdup(quote, end - quote + 1);

		end = strstr(end + 1, tag);
		pfree(tag);
	}
	return end ? end - text : 0;
}

/* The word in the literal that stands for a time, if there is one. */
static const char *
frozen_word(const char *literal, int length)
{
	static const char *const words[] = {"now", "today", "tomorrow", "yesterday"};

	for (int i = 0; i < length; i++)
	{
		if (i > 0 && isalpha((unsigned char) literal[i - 1]))
			continue;
		for (int w = 0; w < lengthof(words); w++)
		{
			int			size = strlen(words[w]);

			if (i + size <= length && pg_strncasecmp(literal + i, words[w], size) == 0 &&
				!isalpha((unsigned char) literal[i + size]))
				return words[w];
		}
	}
	return NULL;
}

/* The constant of a literal such as 'now'; the value does not tell, the text does. */
static void
check_constant(const Const *constant, const CheckContext *context)
{
	const char *literal;
	const char *word;

	if (constant->location < 0 || context->query_string == NULL || constant->constisnull ||
		constant->location >= strlen(context->query_string) || !type_takes_dates(constant->consttype))
		return;
	literal = context->query_string + constant->location;
	word = frozen_word(literal, literal_length(literal));
	if (word != NULL)
		refuse(psprintf("the literal '%s' of type %s", word, format_type_be(constant->consttype)), &frozen_words);
}

/* Defaults of arguments the call does not give are put in by the planner. */
static void
check_defaults(const FuncExpr *call)
{
	CheckContext elsewhere = {NULL};
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(call->funcid));
	Datum		defaults;
	bool		isnull;

	if (!HeapTupleIsValid(tuple))
		return;
	if (((Form_pg_proc) GETSTRUCT(tuple))->pronargdefaults > 0 &&
		list_length(call->args) < ((Form_pg_proc) GETSTRUCT(tuple))->pronargs)
	{
		defaults = SysCacheGetAttr(PROCOID, tuple, Anum_pg_proc_proargdefaults, &isnull);
		if (!isnull)
			(void) check_node(stringToNode(TextDatumGetCString(defaults)), &elsewhere);
	}
	ReleaseSysCache(tuple);
}

/* The constraints of a domain and of those it is based on. */
static void
check_domain(Oid domain)
{
	CheckContext elsewhere = {NULL};
	DomainConstraintRef *constraints;
	ListCell   *lc;

	if (!checks_are_on())
		return;
	constraints = palloc(sizeof(DomainConstraintRef));
	InitDomainConstraintRef(domain, constraints, CurrentMemoryContext, false);
	foreach(lc, constraints->constraints)
		(void) check_node((Node *) ((DomainConstraintState *) lfirst(lc))->check_expr, &elsewhere);
}

static bool
check_called(Oid function, void *context)
{
	check_function(function);
	return false;
}

static bool
check_query(Query *query, CheckContext *context)
{
	if (query->resultRelation > 0)
		check_write(query);
	else
		check_reads(query->rtable);
	return query_tree_walker(query, check_node, context, 0);
}

/* Looks at a node and all below it. Never true: it either raises or goes on. */
static bool
check_node(Node *node, CheckContext *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Query))
		return check_query((Query *) node, context);
	if (IsA(node, Const))
		check_constant((Const *) node, context);
	else if (IsA(node, SQLValueFunction))
		check_value_function((SQLValueFunction *) node);
	else if (IsA(node, FuncExpr))
		check_defaults((FuncExpr *) node);
	else if (IsA(node, CoerceToDomain))
		check_domain(((CoerceToDomain *) node)->resulttype);
	(void) check_functions_in_node(node, check_called, context);
	return expression_tree_walker(node, check_node, context);
}

/* ------------------------------------------------------------------------
 * Hooks
 * ------------------------------------------------------------------------
 */

static void
mark_plan(PlannedStmt *plan, uint32 epoch)
{
	PlanInvalItem *mark = makeNode(PlanInvalItem);

	mark->cacheId = MARK_CACHE_ID;
	mark->hashValue = epoch;
	plan->invalItems = lappend(plan->invalItems, mark);
}

/* Was it looked at, and has nothing changed since? The mark is the last item. */
static bool
plan_is_checked(const PlannedStmt *plan)
{
	const PlanInvalItem *last = plan->invalItems ? llast(plan->invalItems) : NULL;

	return last != NULL && last->cacheId == MARK_CACHE_ID && last->hashValue == function_refusals_epoch();
}

/* What PL/pgSQL may use as it is: with warnings nothing, so that each is given again. */
static bool
plan_may_run(const PlannedStmt *plan)
{
	return !checks_are_on() || (checks_are_strict() && plan_is_checked(plan));
}

static PlannedStmt *
call_planner(Query *parse, const char *query_string, int cursor_options, ParamListInfo params)
{
	return next_planner ? next_planner(parse, query_string, cursor_options, params) :
		standard_planner(parse, query_string, cursor_options, params);
}

/* Plans what has been looked at, or, without checks, anything. */
static PlannedStmt *
plan_as(bool checked, Query *parse, const char *query_string, int cursor_options, ParamListInfo params)
{
	bool		outer = planning;
	PlannedStmt *plan;

	planning = checked;
	PG_TRY();
	{
		plan = call_planner(parse, query_string, cursor_options, params);
	}
	PG_FINALLY();
	{
		planning = outer;
	}
	PG_END_TRY();
	return plan;
}

static PlannedStmt *
checked_planner(Query *parse, const char *query_string, int cursor_options, ParamListInfo params)
{
	CheckContext context = {query_string};
	uint32		epoch = function_refusals_epoch();
	PlannedStmt *plan;

	if (!checks_are_on())
		return planning ? plan_as(false, parse, query_string, cursor_options, params) :
			call_planner(parse, query_string, cursor_options, params);
	(void) check_node((Node *) parse, &context);
	plan = plan_as(true, parse, query_string, cursor_options, params);
	if (checks_are_strict())
		mark_plan(plan, epoch);
	return plan;
}

/* Without inlining, a function in SQL is planned by itself, and looked at. */
static bool
is_not_inlined(Oid function)
{
	HeapTuple	tuple;
	bool		result;

	if (next_needs_fmgr && next_needs_fmgr(function))
		return true;
	if (!planning)
		return false;
	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	if (!HeapTupleIsValid(tuple))
		return false;
	result = ((Form_pg_proc) GETSTRUCT(tuple))->prolang == SQLlanguageId &&
		((Form_pg_proc) GETSTRUCT(tuple))->pronamespace != PG_CATALOG_NAMESPACE;
	ReleaseSysCache(tuple);
	return result;
}

/* A plan that was made elsewhere and kept by somebody: at least it reads no tables. Its functions are seen one by one. */
static void
checked_executor_start(QueryDesc *query, int eflags)
{
	if (checks_are_strict() && !plan_is_checked(query->plannedstmt))
		check_reads(query->plannedstmt->rtable);
	if (next_executor_start)
		next_executor_start(query, eflags);
	else
		standard_ExecutorStart(query, eflags);
}

/* Functions in what was not planned as a statement: casts of PL/pgSQL, parts of aggregates. */
static void
checked_object_access(ObjectAccessType access, Oid class_id, Oid object_id, int sub_id, void *arg)
{
	if (next_object_access)
		next_object_access(access, class_id, object_id, sub_id, arg);
	if (access == OAT_FUNCTION_EXECUTE && checks_are_strict())
		check_function(object_id);
}

static const Refusal *
command_refusal(Node *command)
{
	switch (nodeTag(command))
	{
		case T_VariableSetStmt:
		case T_VariableShowStmt:
			return &set_commands;
		case T_NotifyStmt:
		case T_ListenStmt:
		case T_UnlistenStmt:
			return &notify_commands;
		case T_DeclareCursorStmt:
		case T_FetchStmt:
		case T_ClosePortalStmt:
			return &cursor_commands;
		default:
			return &commands;
	}
}

/* A procedure is a helper like a function; no other command is let through. */
static void
check_command(PlannedStmt *statement, const char *query_string)
{
	CheckContext context = {query_string};
	Node	   *command = statement->utilityStmt;

	if (IsA(command, CallStmt))
		(void) check_node((Node *) ((CallStmt *) command)->funcexpr, &context);
	else
		refuse(psprintf("command %s", CreateCommandName(command)), command_refusal(command));
}

static void
checked_utility(PlannedStmt *statement, const char *query_string, bool read_only_tree,
				ProcessUtilityContext context, ParamListInfo params, QueryEnvironment *environment,
				DestReceiver *receiver, QueryCompletion *completion)
{
	if (checks_are_on())
		check_command(statement, query_string);
	if (next_utility)
		next_utility(statement, query_string, read_only_tree, context, params, environment, receiver, completion);
	else
		standard_ProcessUtility(statement, query_string, read_only_tree, context, params, environment, receiver, completion);
}

void
orchestrator_checks_init(void)
{
	next_planner = planner_hook;
	planner_hook = checked_planner;
	next_executor_start = ExecutorStart_hook;
	ExecutorStart_hook = checked_executor_start;
	next_utility = ProcessUtility_hook;
	ProcessUtility_hook = checked_utility;
	next_object_access = object_access_hook;
	object_access_hook = checked_object_access;
	next_needs_fmgr = needs_fmgr_hook;
	needs_fmgr_hook = is_not_inlined;
}

void
orchestrator_checks_begin(void)
{
	plpgsql_plans_watch(plan_may_run, check_domain);
}

void
orchestrator_checks_end(void)
{
	plpgsql_plans_leave();
}
