/*
 * body_check.c
 *		Findings, the bodies of SQL functions, and which bodies are looked at:
 *		see body_check.h.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_language.h"
#include "catalog/pg_proc.h"
#include "commands/proclang.h"
#include "executor/functions.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "parser/analyze.h"
#include "tcop/tcopprot.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/resowner.h"
#include "utils/syscache.h"

#include "errors.h"
#include "replay/body_check.h"
#include "replay/function_lookup.h"

/* A body that was looked at, under handlers or not. */
typedef struct VisitedBody
{
	Oid			function;
	bool		under_handler;
} VisitedBody;

/* ------------------------------------------------------------------------
 * Findings
 * ------------------------------------------------------------------------
 */

int
body_line_at(const BodyCheck *check, int location)
{
	int			line = check->line;

	if (line == NO_LINE)
		return NO_LINE;
	if (location < 0)
		location = check->location;
	for (int i = 0; check->source != NULL && i < location && check->source[i] != '\0'; i++)
		if (check->source[i] == '\n')
			line++;
	return line;
}

/* The same is said once: a line may do it twice, a helper may be called again. */
static bool
is_known(const BodyCheck *check, const Finding *finding)
{
	ListCell   *lc;

	foreach(lc, check->findings)
	{
		const Finding *other = lfirst(lc);

		if ((check->helper || other->line == finding->line) && strcmp(other->message, finding->message) == 0)
			return true;
	}
	return false;
}

void
body_report(BodyCheck *check, int location, bool is_warning, int sqlstate, char *message, const char *hint)
{
	MemoryContext old = MemoryContextSwitchTo(check->memory);
	Finding    *finding = palloc0(sizeof(Finding));
	int			line = body_line_at(check, location);

	finding->line = check->helper ? check->call_line : line;
	finding->is_warning = is_warning;
	finding->sqlstate = sqlstate;
	if (check->helper == NULL)
		finding->message = pstrdup(message);
	else if (line == NO_LINE)
		finding->message = psprintf("in %s: %s", check->helper, message);
	else
		finding->message = psprintf("in %s, line %d: %s", check->helper, line, message);
	finding->hint = hint ? pstrdup(hint) : NULL;
	finding->number = list_length(check->findings);
	if (!is_known(check, finding))
		check->findings = lappend(check->findings, finding);
	MemoryContextSwitchTo(old);
}

/* An error of the parser has a place, and may be of what only the run knows. */
static void
report_error(BodyCheck *check, const ErrorData *error, int location)
{
	bool		cannot_be_seen = error->sqlerrcode == ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE;

	if (error->cursorpos > 0)
		location = error->cursorpos - 1;
	if (error->internalpos > 0 && error->internalquery != NULL)
	{
		check->line = 1;		/* the compiler read the whole body */
		check->source = error->internalquery;
		location = error->internalpos - 1;
	}
	body_report(check, location, cannot_be_seen, error->sqlerrcode,
				error->detail ? psprintf("%s: %s", error->message, error->detail) : error->message,
				cannot_be_seen ? "This cannot be checked before it runs." : error->hint);
}

/* Runs a part in a subtransaction; its error, or NULL. */
static ErrorData *
run_part(BodyCheck *check, CheckPart part, void *arg)
{
	MemoryContext old = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorContextCallback *callbacks = error_context_stack;
	ErrorData  *volatile error = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(old);
	PG_TRY();
	{
		error_context_stack = NULL; /* who called would take the place of an error for one in its own text */
		part(check, arg);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(old);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(old);
	CurrentResourceOwner = owner;
	error_context_stack = callbacks;
	return error;
}

bool
body_check_part(BodyCheck *check, CheckPart part, void *arg, int location)
{
	BodyCheck	before = *check;
	ErrorData  *error = run_part(check, part, arg);

	if (error == NULL)
		return true;
	if (error->sqlerrcode == ERRCODE_QUERY_CANCELED || error->sqlerrcode == ERRCODE_OUT_OF_MEMORY)
		ReThrowError(error);
	before.findings = check->findings;
	before.visited = check->visited;
	*check = before;
	report_error(check, error, location);
	before.findings = check->findings;
	*check = before;
	return false;
}

/* ------------------------------------------------------------------------
 * SQL functions
 * ------------------------------------------------------------------------
 */

/* A statement of a body that is kept as text. */
typedef struct SqlStatement
{
	RawStmt    *raw;
	const char *source;
	SQLFunctionParseInfoPtr parameters;
} SqlStatement;

static void
check_sql_statement(BodyCheck *check, void *arg)
{
	SqlStatement *statement = arg;

	body_check_query(check, parse_analyze_withcb(statement->raw, statement->source,
												 (ParserSetupHook) sql_fn_parser_setup, statement->parameters, NULL));
}

static void
parse_sql_text(BodyCheck *check, void *statements)
{
	*(List **) statements = pg_parse_query(check->source);
}

static void
check_sql_text(BodyCheck *check, HeapTuple tuple, const char *text)
{
	List	   *statements = NIL;
	SqlStatement statement;
	ListCell   *lc;

	check->line = 1;
	check->source = text;
	if (!body_check_part(check, parse_sql_text, &statements, -1))
		return;
	statement.source = text;
	statement.parameters = prepare_sql_fn_parse_info(tuple, check->call, DEFAULT_COLLATION_OID);
	foreach(lc, statements)
	{
		statement.raw = lfirst(lc);
		check->location = Max(statement.raw->stmt_location, 0);
		check->location += strspn(text + check->location, " \t\r\n");
		(void) body_check_part(check, check_sql_statement, &statement, -1);
	}
}

/* A body that was parsed when the function was made: a query, or a list of lists of them. */
static void
check_parsed_sql(BodyCheck *check, Node *node)
{
	ListCell   *lc;

	check->line = NO_LINE;
	check->source = NULL;
	if (node == NULL)
		return;
	if (IsA(node, Query))
		body_check_query(check, (Query *) node);
	else if (IsA(node, List))
		foreach(lc, (List *) node)
			check_parsed_sql(check, lfirst(lc));
}

static void
check_sql(BodyCheck *check, HeapTuple tuple)
{
	bool		isnull;
	Datum		body = SysCacheGetAttr(PROCOID, tuple, Anum_pg_proc_prosqlbody, &isnull);

	if (!isnull)
	{
		check_parsed_sql(check, stringToNode(TextDatumGetCString(body)));
		return;
	}
	body = SysCacheGetAttr(PROCOID, tuple, Anum_pg_proc_prosrc, &isnull);
	check_sql_text(check, tuple, TextDatumGetCString(body));
}

/* ------------------------------------------------------------------------
 * Functions
 * ------------------------------------------------------------------------
 */

static bool
was_visited(BodyCheck *check, Oid function)
{
	bool		under_handler = check->catches_waits || check->catches_cancels;
	MemoryContext old;
	VisitedBody *visit;
	ListCell   *lc;

	foreach(lc, check->visited)
	{
		visit = lfirst(lc);
		if (visit->function == function && visit->under_handler == under_handler)
			return true;
	}
	old = MemoryContextSwitchTo(check->memory);
	visit = palloc(sizeof(VisitedBody));
	visit->function = function;
	visit->under_handler = under_handler;
	check->visited = lappend(check->visited, visit);
	MemoryContextSwitchTo(old);
	return false;
}

List *
body_check_visited(const BodyCheck *check)
{
	List	   *functions = NIL;
	ListCell   *lc;

	foreach(lc, check->visited)
		functions = list_append_unique_oid(functions, ((VisitedBody *) lfirst(lc))->function);
	return functions;
}

static void
other_language(BodyCheck *check, Oid function, Oid language)
{
	char	   *name = get_language_name(language, true);

	check->line = NO_LINE;
	body_report(check, -1, false, ERRCODE_DURABLE_NOT_ALLOWED,
				psprintf("function %s is written in %s, which cannot be checked", format_procedure(function), name ? name : "another language"),
				"Orchestrators are written in SQL or PL/pgSQL; call other languages in an activity.");
}

/* What the function SETs, its search_path above all, is in force where its body is parsed. */
static void
apply_settings(HeapTuple tuple)
{
	bool		isnull;
	Datum		settings = SysCacheGetAttr(PROCOID, tuple, Anum_pg_proc_proconfig, &isnull);

	if (!isnull)
		ProcessGUCArray(DatumGetArrayTypeP(settings), superuser() ? PGC_SUSET : PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE);
}

static void
check_body(BodyCheck *check, void *arg)
{
	Oid			function = *(Oid *) arg;
	HeapTuple	tuple = SearchSysCacheCopy1(PROCOID, ObjectIdGetDatum(function));
	int			nest_level;
	Oid			language;

	if (!HeapTupleIsValid(tuple))
		return;
	nest_level = NewGUCNestLevel();
	apply_settings(tuple);
	language = ((Form_pg_proc) GETSTRUCT(tuple))->prolang;
	if (language == SQLlanguageId)
		check_sql(check, tuple);
	else if (language == get_language_oid("plpgsql", true))
		body_check_plpgsql(check, function);
	else
		other_language(check, function, language);
	AtEOXact_GUC(true, nest_level);
}

void
body_check_function(BodyCheck *check, Oid function)
{
	BodyCheck	before;

	check_stack_depth();
	if (was_visited(check, function))
		return;
	before = *check;
	check->line = NO_LINE;
	check->source = NULL;
	check->location = 0;
	(void) body_check_part(check, check_body, &function, -1);
	before.findings = check->findings;
	before.visited = check->visited;
	*check = before;
}
