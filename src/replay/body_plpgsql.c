/*
 * body_plpgsql.c
 *		Reads the statements of a PL/pgSQL function: see body_check.h.
 *
 * The language's own compiler makes the tree of statements, and its parser
 * hooks make variables of names; both are looked up in its library when they
 * are needed, as durable has to load where there is no PL/pgSQL. Types of
 * variables come from a state of execution, so one is made that never runs.
 * A variable of type record has the columns of what is assigned to it.
 */
#include "postgres.h"

#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "nodes/nodeFuncs.h"
#include "parser/analyze.h"
#include "parser/parser.h"
#include "plpgsql.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

#include "errors.h"
#include "replay/body_check.h"

/* What is read now: the check, and the function it is in. */
typedef struct Reader
{
	BodyCheck  *check;
	PLpgSQL_function *function;
	PLpgSQL_execstate state;
} Reader;

typedef PLpgSQL_function *(*CompileFunction) (FunctionCallInfo fcinfo, bool for_validator);

static void read_statements(Reader *reader, List *statements);

static void *
plpgsql_symbol(const char *name)
{
	return load_external_function("$libdir/plpgsql", name, true, NULL);
}

/* ------------------------------------------------------------------------
 * Expressions
 * ------------------------------------------------------------------------
 */

/* An expression, and the record its rows go to. */
typedef struct ReadExpression
{
	Reader	   *reader;
	PLpgSQL_expr *expr;
	PLpgSQL_variable *target;	/* NULL: none, or no record */
} ReadExpression;

/* The fields of a record variable that has some; NULL if it is none. */
static TupleDesc
fields_of_variable(const Reader *reader, const Node *value)
{
	const PLpgSQL_rec *record;

	if (!IsA(value, Param) || ((const Param *) value)->paramkind != PARAM_EXTERN)
		return NULL;
	record = (const PLpgSQL_rec *) reader->state.datums[((const Param *) value)->paramid - 1];
	if (record->dtype != PLPGSQL_DTYPE_REC || record->erh == NULL)
		return NULL;
	return CreateTupleDescCopy(expanded_record_get_tupdesc(record->erh));
}

/* The fields of a value that is a row; NULL if they are not known. */
static TupleDesc
fields_of_value(const Reader *reader, Node *value)
{
	TupleDesc	fields;
	TupleDesc	copy;

	if (exprType(value) == RECORDOID)
		return fields_of_variable(reader, value);
	if (!type_is_rowtype(exprType(value)))
		return NULL;
	fields = lookup_rowtype_tupdesc_domain(exprType(value), exprTypmod(value), false);
	copy = CreateTupleDescCopy(fields);
	ReleaseTupleDesc(fields);
	return copy;
}

/* Gives a record variable the columns of what is put into it. */
static void
assign_record(ReadExpression *read, Query *query, bool is_assignment)
{
	PLpgSQL_rec *record = (PLpgSQL_rec *) read->reader->state.datums[read->target->dno];
	TupleDesc	columns;

	if (record->rectypeid != RECORDOID || query->commandType == CMD_UTILITY || query->targetList == NIL)
		return;
	columns = is_assignment ? fields_of_value(read->reader, (Node *) linitial_node(TargetEntry, query->targetList)->expr) :
		ExecCleanTypeFromTL(query->targetList);
	if (columns != NULL)
		record->erh = make_expanded_record_from_tupdesc(BlessTupleDesc(columns), CurrentMemoryContext);
}

static void
analyse_expression(BodyCheck *check, void *arg)
{
	ReadExpression *read = arg;
	PLpgSQL_expr *expr = read->expr;
	ParserSetupHook setup = (ParserSetupHook) plpgsql_symbol("plpgsql_parser_setup");
	ListCell   *lc;

	expr->func = read->reader->function;
	foreach(lc, raw_parser(expr->query, expr->parseMode))
	{
		Query	   *query = parse_analyze_withcb(lfirst(lc), expr->query, setup, expr, NULL);

		body_check_query(check, query);
		if (read->target != NULL && read->target->dtype == PLPGSQL_DTYPE_REC)
			assign_record(read, query, expr->parseMode != RAW_PARSE_DEFAULT);
	}
}

static void
read_into(Reader *reader, PLpgSQL_expr *expr, PLpgSQL_variable *target)
{
	BodyCheck  *check = reader->check;
	ReadExpression read = {reader, expr, target};

	if (expr == NULL)
		return;
	check->source = expr->query;
	check->location = strspn(expr->query, " \t\r\n");
	(void) body_check_part(check, analyse_expression, &read, -1);
	check->source = NULL;		/* what is said of a statement itself is in its first line */
	check->location = 0;
}

static void
read_expression(Reader *reader, PLpgSQL_expr *expr)
{
	read_into(reader, expr, NULL);
}

static void
read_expressions(Reader *reader, List *expressions)
{
	ListCell   *lc;

	foreach(lc, expressions)
		read_expression(reader, lfirst(lc));
}

/* ------------------------------------------------------------------------
 * Statements
 * ------------------------------------------------------------------------
 */

static void
report_statement(Reader *reader, bool is_warning, int sqlstate, const char *message, const char *hint)
{
	body_report(reader->check, -1, is_warning, sqlstate, pstrdup(message), hint);
}

static void
read_dynamic(Reader *reader, PLpgSQL_expr *query, List *params)
{
	if (query == NULL)
		return;
	report_statement(reader, true, ERRCODE_FEATURE_NOT_SUPPORTED, "EXECUTE runs a statement that cannot be seen here",
					 "It is checked when it runs; in an orchestrator it may do no more than others.");
	read_expression(reader, query);
	read_expressions(reader, params);
}

/* The defaults of the variables a block declares. */
static void
read_declarations(Reader *reader, const PLpgSQL_stmt_block *block)
{
	int			line = reader->check->line;

	for (int i = 0; i < block->n_initvars; i++)
	{
		PLpgSQL_variable *variable = (PLpgSQL_variable *) reader->state.datums[block->initvarnos[i]];

		reader->check->line = variable->lineno;
		read_into(reader, variable->default_val, variable);
		if (variable->dtype == PLPGSQL_DTYPE_VAR)
			read_expression(reader, ((PLpgSQL_var *) variable)->cursor_explicit_expr);
	}
	reader->check->line = line;
}

/* Does a handler name the condition, or its class? OTHERS lets both of these pass. */
static bool
handles(const PLpgSQL_exception_block *handlers, int sqlstate)
{
	ListCell   *lc;

	foreach(lc, handlers->exc_list)
	{
		const PLpgSQL_condition *condition = ((PLpgSQL_exception *) lfirst(lc))->conditions;

		for (; condition != NULL; condition = condition->next)
			if (condition->sqlerrstate == sqlstate || condition->sqlerrstate == ERRCODE_TO_CATEGORY(sqlstate))
				return true;
	}
	return false;
}

static void
read_handlers(Reader *reader, const PLpgSQL_exception_block *handlers)
{
	ListCell   *lc;

	foreach(lc, handlers->exc_list)
		read_statements(reader, ((PLpgSQL_exception *) lfirst(lc))->action);
}

static void
read_block(Reader *reader, const PLpgSQL_stmt_block *block)
{
	BodyCheck  *check = reader->check;
	bool		catches_waits = check->catches_waits;
	bool		catches_cancels = check->catches_cancels;

	read_declarations(reader, block);	/* before the handlers are in force */
	if (block->exceptions != NULL)
	{
		check->catches_waits |= handles(block->exceptions, ERRCODE_ASSERT_FAILURE);
		check->catches_cancels |= handles(block->exceptions, ERRCODE_QUERY_CANCELED);
	}
	read_statements(reader, block->body);
	check->catches_waits = catches_waits;
	check->catches_cancels = catches_cancels;
	if (block->exceptions != NULL)
		read_handlers(reader, block->exceptions);
}

static void
read_if(Reader *reader, const PLpgSQL_stmt_if *statement)
{
	ListCell   *lc;

	read_expression(reader, statement->cond);
	read_statements(reader, statement->then_body);
	foreach(lc, statement->elsif_list)
	{
		const PLpgSQL_if_elsif *branch = lfirst(lc);

		reader->check->line = branch->lineno;
		read_expression(reader, branch->cond);
		read_statements(reader, branch->stmts);
	}
	read_statements(reader, statement->else_body);
}

/* The variable a CASE keeps its value in has its type when it runs. */
static void
read_case(Reader *reader, const PLpgSQL_stmt_case *statement)
{
	ListCell   *lc;

	read_expression(reader, statement->t_expr);
	foreach(lc, statement->case_when_list)
	{
		const PLpgSQL_case_when *branch = lfirst(lc);

		reader->check->line = branch->lineno;
		if (statement->t_expr == NULL)
			read_expression(reader, branch->expr);
		read_statements(reader, branch->stmts);
	}
	read_statements(reader, statement->else_stmts);
}

static void
read_for_integers(Reader *reader, const PLpgSQL_stmt_fori *loop)
{
	read_expression(reader, loop->lower);
	read_expression(reader, loop->upper);
	read_expression(reader, loop->step);
	read_statements(reader, loop->body);
}

static void
read_for_cursor(Reader *reader, const PLpgSQL_stmt_forc *loop)
{
	PLpgSQL_var *cursor = (PLpgSQL_var *) reader->state.datums[loop->curvar];

	read_expression(reader, loop->argquery);
	read_into(reader, cursor->cursor_explicit_expr, loop->var);
	read_statements(reader, loop->body);
}

static void
read_loop(Reader *reader, const PLpgSQL_stmt *statement)
{
	switch (statement->cmd_type)
	{
		case PLPGSQL_STMT_LOOP:
			read_statements(reader, ((PLpgSQL_stmt_loop *) statement)->body);
			break;
		case PLPGSQL_STMT_WHILE:
			read_expression(reader, ((PLpgSQL_stmt_while *) statement)->cond);
			read_statements(reader, ((PLpgSQL_stmt_while *) statement)->body);
			break;
		case PLPGSQL_STMT_FORI:
			read_for_integers(reader, (PLpgSQL_stmt_fori *) statement);
			break;
		case PLPGSQL_STMT_FORS:
			read_into(reader, ((PLpgSQL_stmt_fors *) statement)->query, ((PLpgSQL_stmt_fors *) statement)->var);
			read_statements(reader, ((PLpgSQL_stmt_fors *) statement)->body);
			break;
		case PLPGSQL_STMT_FORC:
			read_for_cursor(reader, (PLpgSQL_stmt_forc *) statement);
			break;
		case PLPGSQL_STMT_DYNFORS:
			read_dynamic(reader, ((PLpgSQL_stmt_dynfors *) statement)->query, ((PLpgSQL_stmt_dynfors *) statement)->params);
			read_statements(reader, ((PLpgSQL_stmt_dynfors *) statement)->body);
			break;
		case PLPGSQL_STMT_FOREACH_A:
			read_expression(reader, ((PLpgSQL_stmt_foreach_a *) statement)->expr);
			read_statements(reader, ((PLpgSQL_stmt_foreach_a *) statement)->body);
			break;
		default:
			break;
	}
}

static void
read_raise(Reader *reader, const PLpgSQL_stmt_raise *statement)
{
	ListCell   *lc;

	read_expressions(reader, statement->params);
	foreach(lc, statement->options)
		read_expression(reader, ((PLpgSQL_raise_option *) lfirst(lc))->expr);
}

static void
read_open(Reader *reader, const PLpgSQL_stmt_open *statement)
{
	read_expression(reader, statement->argquery);
	read_expression(reader, statement->query);
	read_dynamic(reader, statement->dynquery, statement->params);
}

static void
read_return_query(Reader *reader, const PLpgSQL_stmt_return_query *statement)
{
	read_expression(reader, statement->query);
	read_dynamic(reader, statement->dynquery, statement->params);
}

static void
read_transaction_end(Reader *reader)
{
	report_statement(reader, false, ERRCODE_INVALID_TRANSACTION_TERMINATION, "COMMIT and ROLLBACK are not for an orchestrator",
					 "A turn is one transaction, which durable ends.");
}

/* A statement that is no block, branch or loop. */
static void
read_simple(Reader *reader, const PLpgSQL_stmt *statement)
{
	switch (statement->cmd_type)
	{
		case PLPGSQL_STMT_ASSIGN:
			read_into(reader, ((PLpgSQL_stmt_assign *) statement)->expr,
					  (PLpgSQL_variable *) reader->state.datums[((PLpgSQL_stmt_assign *) statement)->varno]);
			break;
		case PLPGSQL_STMT_EXIT:
			read_expression(reader, ((PLpgSQL_stmt_exit *) statement)->cond);
			break;
		case PLPGSQL_STMT_RETURN:
			read_expression(reader, ((PLpgSQL_stmt_return *) statement)->expr);
			break;
		case PLPGSQL_STMT_RETURN_NEXT:
			read_expression(reader, ((PLpgSQL_stmt_return_next *) statement)->expr);
			break;
		case PLPGSQL_STMT_RETURN_QUERY:
			read_return_query(reader, (PLpgSQL_stmt_return_query *) statement);
			break;
		case PLPGSQL_STMT_RAISE:
			read_raise(reader, (PLpgSQL_stmt_raise *) statement);
			break;
		case PLPGSQL_STMT_ASSERT:
			read_expression(reader, ((PLpgSQL_stmt_assert *) statement)->cond);
			read_expression(reader, ((PLpgSQL_stmt_assert *) statement)->message);
			break;
		case PLPGSQL_STMT_EXECSQL:
			read_into(reader, ((PLpgSQL_stmt_execsql *) statement)->sqlstmt, ((PLpgSQL_stmt_execsql *) statement)->target);
			break;
		case PLPGSQL_STMT_DYNEXECUTE:
			read_dynamic(reader, ((PLpgSQL_stmt_dynexecute *) statement)->query, ((PLpgSQL_stmt_dynexecute *) statement)->params);
			break;
		case PLPGSQL_STMT_OPEN:
			read_open(reader, (PLpgSQL_stmt_open *) statement);
			break;
		case PLPGSQL_STMT_FETCH:
			read_expression(reader, ((PLpgSQL_stmt_fetch *) statement)->expr);
			break;
		case PLPGSQL_STMT_PERFORM:
			read_expression(reader, ((PLpgSQL_stmt_perform *) statement)->expr);
			break;
		case PLPGSQL_STMT_CALL:
			read_expression(reader, ((PLpgSQL_stmt_call *) statement)->expr);
			break;
		case PLPGSQL_STMT_COMMIT:
		case PLPGSQL_STMT_ROLLBACK:
			read_transaction_end(reader);
			break;
		default:				/* GET DIAGNOSTICS, CLOSE: nothing to be evaluated */
			break;
	}
}

static void
read_statement(Reader *reader, const PLpgSQL_stmt *statement)
{
	reader->check->line = statement->lineno;
	switch (statement->cmd_type)
	{
		case PLPGSQL_STMT_BLOCK:
			read_block(reader, (PLpgSQL_stmt_block *) statement);
			break;
		case PLPGSQL_STMT_IF:
			read_if(reader, (PLpgSQL_stmt_if *) statement);
			break;
		case PLPGSQL_STMT_CASE:
			read_case(reader, (PLpgSQL_stmt_case *) statement);
			break;
		default:
			read_loop(reader, statement);
			read_simple(reader, statement);
			break;
	}
}

static void
read_statements(Reader *reader, List *statements)
{
	ListCell   *lc;

	foreach(lc, statements)
		read_statement(reader, lfirst(lc));
}

/* ------------------------------------------------------------------------
 * Does it return?
 * ------------------------------------------------------------------------
 */

static bool leaves(const List *statements);

static bool
all_branches_leave(const PLpgSQL_stmt_if *statement)
{
	ListCell   *lc;

	if (!leaves(statement->then_body) || !leaves(statement->else_body))
		return false;
	foreach(lc, statement->elsif_list)
		if (!leaves(((PLpgSQL_if_elsif *) lfirst(lc))->stmts))
			return false;
	return true;
}

/* Without ELSE a CASE that finds nothing is an error. */
static bool
all_cases_leave(const PLpgSQL_stmt_case *statement)
{
	ListCell   *lc;

	if (statement->have_else && !leaves(statement->else_stmts))
		return false;
	foreach(lc, statement->case_when_list)
		if (!leaves(((PLpgSQL_case_when *) lfirst(lc))->stmts))
			return false;
	return true;
}

static bool
block_leaves(const PLpgSQL_stmt_block *block)
{
	ListCell   *lc;

	if (!leaves(block->body))
		return false;
	if (block->exceptions == NULL)
		return true;
	foreach(lc, block->exceptions->exc_list)
		if (!leaves(((PLpgSQL_exception *) lfirst(lc))->action))
			return false;
	return true;
}

/* Can nothing follow? In doubt it leaves: a LOOP may end by RETURN only. */
static bool
statement_leaves(const PLpgSQL_stmt *statement)
{
	switch (statement->cmd_type)
	{
		case PLPGSQL_STMT_RETURN:
		case PLPGSQL_STMT_LOOP:
			return true;
		case PLPGSQL_STMT_RAISE:
			return ((PLpgSQL_stmt_raise *) statement)->elog_level >= ERROR;
		case PLPGSQL_STMT_BLOCK:
			return block_leaves((PLpgSQL_stmt_block *) statement);
		case PLPGSQL_STMT_IF:
			return all_branches_leave((PLpgSQL_stmt_if *) statement);
		case PLPGSQL_STMT_CASE:
			return all_cases_leave((PLpgSQL_stmt_case *) statement);
		default:
			return false;
	}
}

static bool
leaves(const List *statements)
{
	ListCell   *lc;

	foreach(lc, statements)
		if (statement_leaves(lfirst(lc)))
			return true;
	return false;
}

/* A function that returns nothing, a set or OUT parameters may end without RETURN. */
static void
check_return(Reader *reader)
{
	const PLpgSQL_function *function = reader->function;

	if (function->fn_rettype == VOIDOID || function->fn_retset || function->out_param_varno >= 0 ||
		function->fn_prokind == PROKIND_PROCEDURE || block_leaves(function->action))
		return;
	reader->check->line = function->action->lineno;
	report_statement(reader, false, ERRCODE_S_R_E_FUNCTION_EXECUTED_NO_RETURN_STATEMENT,
					 "control may reach the end of the function without RETURN", "End it with RETURN; RETURN NULL after durable.continue_as_new().");
}

/* ------------------------------------------------------------------------
 * The function
 * ------------------------------------------------------------------------
 */

/* Polymorphic arguments have the types of the call; without one those that the language's validator takes. */
static PLpgSQL_function *
compile(Oid oid, Node *call)
{
	CompileFunction plpgsql_compile_function = (CompileFunction) plpgsql_symbol("plpgsql_compile");
	FmgrInfo	flinfo = {0};
	LOCAL_FCINFO(fcinfo, 0);

	flinfo.fn_oid = oid;
	flinfo.fn_mcxt = CurrentMemoryContext;
	flinfo.fn_expr = call;
	MemSet(fcinfo, 0, SizeForFunctionCallInfo(0));
	fcinfo->flinfo = &flinfo;
	return plpgsql_compile_function(fcinfo, call == NULL);
}

/* Copies what gets a type as the check goes on: the compiled function is shared. */
static PLpgSQL_datum *
own_datum(PLpgSQL_datum *datum)
{
	Size		size = datum->dtype == PLPGSQL_DTYPE_REC ? sizeof(PLpgSQL_rec) : sizeof(PLpgSQL_recfield);
	PLpgSQL_datum *copy;

	if (datum->dtype != PLPGSQL_DTYPE_REC && datum->dtype != PLPGSQL_DTYPE_RECFIELD)
		return datum;
	copy = palloc(size);
	memcpy(copy, datum, size);
	return copy;
}

static void
make_state(Reader *reader)
{
	PLpgSQL_function *function = reader->function;
	PLpgSQL_execstate *state = &reader->state;

	state->func = function;
	state->ndatums = function->ndatums;
	state->datums = palloc(sizeof(PLpgSQL_datum *) * function->ndatums);
	for (int i = 0; i < function->ndatums; i++)
		state->datums[i] = own_datum(function->datums[i]);
	state->datum_context = CurrentMemoryContext;
}

void
body_check_plpgsql(BodyCheck *check, Oid oid)
{
	Reader		reader = {0};
	PLpgSQL_execstate *running;

	reader.check = check;
	reader.function = compile(oid, check->call);
	make_state(&reader);
	running = reader.function->cur_estate;
	reader.function->cur_estate = &reader.state;
	PG_TRY();
	{
		read_statement(&reader, (PLpgSQL_stmt *) reader.function->action);
		check_return(&reader);
	}
	PG_FINALLY();
	{
		reader.function->cur_estate = running;
	}
	PG_END_TRY();
}
