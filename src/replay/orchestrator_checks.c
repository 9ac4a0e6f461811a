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
#include "miscadmin.h"
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
#include "plan_marks.h"
#include "replay/cast_states.h"
#include "replay/checked_functions.h"
#include "replay/forbidden_statements.h"
#include "replay/orchestration_context.h"
#include "replay/orchestrator_checks.h"
#include "replay/plpgsql_plans.h"
#include "settings.h"

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
			 errdetail("It %s.", refusal->why),
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
static void check_type(Oid type);

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
		refuse(psprintf("reading %s %s", relation_word(get_rel_relkind(rte->relid)), relation_name(rte->relid)), &refusal_of_reads);
		return;
	}
}

static void
check_write(const Query *query)
{
	const RangeTblEntry *target = rt_fetch(query->resultRelation, query->rtable);

	refuse(psprintf("writing to %s %s", relation_word(target->relkind), relation_name(target->relid)), &refusal_of_writes);
}

static void
check_value_function(const SQLValueFunction *function)
{
	const Refusal *refusal;
	const char *name = refused_value(function, &refusal);

	if (name != NULL)
		refuse(name, refusal);
}

static void
check_constant(const Const *constant, const CheckContext *context)
{
	const char *word = frozen_word(constant, context->query_string);

	if (word != NULL)
		refuse(psprintf("the literal '%s' of type %s", word, format_type_be(constant->consttype)), &refusal_of_frozen_words);
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

	constraints = palloc(sizeof(DomainConstraintRef));
	InitDomainConstraintRef(domain, constraints, CurrentMemoryContext, false);
	foreach(lc, constraints->constraints)
		(void) check_node((Node *) ((DomainConstraintState *) lfirst(lc))->check_expr, &elsewhere);
}

/* The attributes of a composite type. */
static void
check_attributes(Oid type)
{
	TupleDesc	descriptor = lookup_rowtype_tupdesc(type, -1);

	for (int i = 0; i < descriptor->natts; i++)
		if (!TupleDescAttr(descriptor, i)->attisdropped)
			check_type(TupleDescAttr(descriptor, i)->atttypid);
	ReleaseTupleDesc(descriptor);
}

/* The domains that a value of the type has to fit: PL/pgSQL casts to them without a statement that is planned. */
static void
check_type(Oid type)
{
	Oid			element;

	if (!checks_are_on())
		return;
	check_stack_depth();
	element = get_element_type(type);
	if (OidIsValid(element))
		check_type(element);
	else if (get_typtype(type) == TYPTYPE_DOMAIN)
	{
		check_domain(type);
		check_type(getBaseType(type));
	}
	else if (get_typtype(type) == TYPTYPE_COMPOSITE)
		check_attributes(type);
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

static bool
plan_is_checked(const PlannedStmt *plan)
{
	return plan_was_checked(plan, function_refusals_epoch());
}

/* What PL/pgSQL may use as it is: with warnings nothing, so that each is given again. */
static bool
plan_may_run(const PlannedStmt *plan)
{
	return plan_fits_settings(plan) && (!checks_are_on() || (checks_are_strict() && plan_is_checked(plan)));
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

	if (current_orchestration == NULL)
		return call_planner(parse, query_string, cursor_options, params);
	if (checks_are_on())
		(void) check_node((Node *) parse, &context);
	cursor_options &= ~CURSOR_OPT_PARALLEL_OK;	/* a parallel worker knows of no orchestrator, and its order is chance */
	plan = plan_as(checks_are_on(), parse, query_string, cursor_options, params);
	plan_mark(plan, checks_are_strict() ? epoch : 0);
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

/* A procedure is a helper like a function; no other command is let through. */
static void
check_command(PlannedStmt *statement, const char *query_string)
{
	CheckContext context = {query_string};
	Node	   *command = statement->utilityStmt;

	const Refusal *refusal = command_refusal(command);

	if (refusal == NULL)
		(void) check_node((Node *) ((CallStmt *) command)->funcexpr, &context);
	else
		refuse(psprintf("command %s", CreateCommandName(command)), refusal);
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

/* A helper with a SET clause, say. */
static void
note_relaxation(int checks)
{
	if (current_orchestration != NULL && checks != ORCHESTRATOR_CHECKS_ERROR)
		current_orchestration->is_unchecked = true;
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
	setting_languages_changed = function_refusals_forget;
	setting_checks_changed = note_relaxation;
}

void
orchestrator_checks_begin(void)
{
	cast_states_forget();
	plpgsql_plans_watch(plan_may_run, check_type);
}

void
orchestrator_checks_end(void)
{
	plpgsql_plans_leave();
}

bool
orchestrator_checks_are_planning(void)
{
	return planning;
}
