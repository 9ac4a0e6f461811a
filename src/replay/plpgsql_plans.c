/*
 * plpgsql_plans.c
 *		Hooks into PL/pgSQL: see plpgsql_plans.h.
 */
#include "postgres.h"

#include "access/transam.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "plpgsql.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/plancache.h"

#include "plan_marks.h"
#include "replay/plpgsql_plans.h"

static PlanTest is_good = NULL;
static TypeCheck check_type = NULL;
static PLpgSQL_plugin *other_plugin = NULL;

/* A statement that PL/pgSQL keeps, and the settings it was read under when we last saw it. */
typedef struct KnownSource
{
	CachedPlanSource *source;	/* key */
	uint32		settings;
} KnownSource;

static HTAB *known_sources = NULL;

/* Its memory goes, and may become another one's. */
static void
forget_source(void *source)
{
	(void) hash_search(known_sources, &source, HASH_REMOVE, NULL);
}

static KnownSource *
know_source(CachedPlanSource *source, bool *found)
{
	MemoryContextCallback *callback;
	KnownSource *known;

	if (known_sources == NULL)
	{
		HASHCTL		control = {.keysize = sizeof(CachedPlanSource *),.entrysize = sizeof(KnownSource)};

		known_sources = hash_create("durable: statements of orchestrators", 256, &control, HASH_ELEM | HASH_BLOBS);
	}
	known = hash_search(known_sources, &source, HASH_FIND, found);
	if (*found)
		return known;
	callback = MemoryContextAlloc(source->context, sizeof(MemoryContextCallback));
	callback->func = forget_source;
	callback->arg = source;
	MemoryContextRegisterResetCallback(source->context, callback);
	return hash_search(known_sources, &source, HASH_ENTER, NULL);
}

/* Lets the statement be read again if it was under other settings, or nobody knows; literals keep what they meant. */
static void
renew_source(CachedPlanSource *source)
{
	uint32		settings = plan_settings();
	bool		found;
	KnownSource *known = know_source(source, &found);

	if (found && known->settings == settings)
		return;
	known->settings = settings;
	source->is_valid = false;
	if (source->gplan != NULL)
		source->gplan->is_valid = false;
}

typedef enum PlanVerdict
{
	VERDICT_GOOD,
	VERDICT_BAD,
	VERDICT_NONE				/* there is none, as for statements that are planned each time and for commands */
} PlanVerdict;

static PlanVerdict
plan_state(const CachedPlan *plan)
{
	PlanVerdict	state = VERDICT_NONE;
	ListCell   *lc;

	if (plan == NULL || !plan->is_valid)
		return VERDICT_NONE;
	foreach(lc, plan->stmt_list)
	{
		const PlannedStmt *stmt = lfirst_node(PlannedStmt, lc);

		if (stmt->commandType == CMD_UTILITY)
			return VERDICT_NONE;
		if (!is_good(stmt))
			return VERDICT_BAD;
		state = VERDICT_GOOD;
	}
	return state;
}

/* As an invalidation does it: the next use reads or plans again. */
static void
renew(PLpgSQL_expr *expr)
{
	ListCell   *lc;

	if (expr == NULL || expr->plan == NULL)
		return;
	foreach(lc, SPI_plan_get_plan_sources(expr->plan))
	{
		CachedPlanSource *source = lfirst(lc);
		PlanVerdict	state = plan_state(source->gplan);

		if (state == VERDICT_GOOD)
			continue;
		if (state == VERDICT_BAD)
			source->gplan->is_valid = false;
		renew_source(source);
	}
}

static void
renew_list(List *exprs)
{
	ListCell   *lc;

	foreach(lc, exprs)
		renew(lfirst(lc));
}

/* Built-in types have no domains in them, which saves the look-up. */
static bool
is_user_type(Oid type)
{
	return type >= FirstNormalObjectId;
}

/* Variables get their defaults; those of a domain are checked even without. */
static void
renew_block(PLpgSQL_execstate *estate, PLpgSQL_stmt_block *block)
{
	for (int i = 0; i < block->n_initvars; i++)
	{
		PLpgSQL_datum *datum = estate->datums[block->initvarnos[i]];

		if (datum->dtype == PLPGSQL_DTYPE_VAR)
		{
			PLpgSQL_var *var = (PLpgSQL_var *) datum;

			renew(var->default_val);
			if (is_user_type(var->datatype->typoid))
				check_type(var->datatype->typoid);
		}
		else if (datum->dtype == PLPGSQL_DTYPE_REC)
		{
			renew(((PLpgSQL_rec *) datum)->default_val);
			if (is_user_type(((PLpgSQL_rec *) datum)->rectypeid))
				check_type(((PLpgSQL_rec *) datum)->rectypeid);
		}
	}
}

static void
renew_cursor(PLpgSQL_execstate *estate, int curvar)
{
	renew(((PLpgSQL_var *) estate->datums[curvar])->cursor_explicit_expr);
}

static void
renew_if(PLpgSQL_stmt_if *stmt)
{
	ListCell   *lc;

	renew(stmt->cond);
	foreach(lc, stmt->elsif_list)
		renew(((PLpgSQL_if_elsif *) lfirst(lc))->cond);
}

static void
renew_case(PLpgSQL_stmt_case *stmt)
{
	ListCell   *lc;

	renew(stmt->t_expr);
	foreach(lc, stmt->case_when_list)
		renew(((PLpgSQL_case_when *) lfirst(lc))->expr);
}

static void
renew_fori(PLpgSQL_stmt_fori *stmt)
{
	renew(stmt->lower);
	renew(stmt->upper);
	renew(stmt->step);
}

static void
renew_raise(PLpgSQL_stmt_raise *stmt)
{
	ListCell   *lc;

	renew_list(stmt->params);
	foreach(lc, stmt->options)
		renew(((PLpgSQL_raise_option *) lfirst(lc))->expr);
}

static void
renew_open(PLpgSQL_execstate *estate, PLpgSQL_stmt_open *stmt)
{
	renew_cursor(estate, stmt->curvar);
	renew(stmt->argquery);
	renew(stmt->query);
	renew(stmt->dynquery);
	renew_list(stmt->params);
}

static void
renew_return_query(PLpgSQL_stmt_return_query *stmt)
{
	renew(stmt->query);
	renew(stmt->dynquery);
	renew_list(stmt->params);
}

/* What the statement itself evaluates; the statements in it come by themselves. */
static void
renew_statement(PLpgSQL_execstate *estate, PLpgSQL_stmt *stmt)
{
	switch (stmt->cmd_type)
	{
		case PLPGSQL_STMT_BLOCK:
			renew_block(estate, (PLpgSQL_stmt_block *) stmt);
			break;
		case PLPGSQL_STMT_ASSIGN:
			renew(((PLpgSQL_stmt_assign *) stmt)->expr);
			break;
		case PLPGSQL_STMT_IF:
			renew_if((PLpgSQL_stmt_if *) stmt);
			break;
		case PLPGSQL_STMT_CASE:
			renew_case((PLpgSQL_stmt_case *) stmt);
			break;
		case PLPGSQL_STMT_WHILE:
			renew(((PLpgSQL_stmt_while *) stmt)->cond);
			break;
		case PLPGSQL_STMT_FORI:
			renew_fori((PLpgSQL_stmt_fori *) stmt);
			break;
		case PLPGSQL_STMT_FORS:
			renew(((PLpgSQL_stmt_fors *) stmt)->query);
			break;
		case PLPGSQL_STMT_FORC:
			renew_cursor(estate, ((PLpgSQL_stmt_forc *) stmt)->curvar);
			renew(((PLpgSQL_stmt_forc *) stmt)->argquery);
			break;
		case PLPGSQL_STMT_FOREACH_A:
			renew(((PLpgSQL_stmt_foreach_a *) stmt)->expr);
			break;
		case PLPGSQL_STMT_EXIT:
			renew(((PLpgSQL_stmt_exit *) stmt)->cond);
			break;
		case PLPGSQL_STMT_RETURN:
			renew(((PLpgSQL_stmt_return *) stmt)->expr);
			break;
		case PLPGSQL_STMT_RETURN_NEXT:
			renew(((PLpgSQL_stmt_return_next *) stmt)->expr);
			break;
		case PLPGSQL_STMT_RETURN_QUERY:
			renew_return_query((PLpgSQL_stmt_return_query *) stmt);
			break;
		case PLPGSQL_STMT_RAISE:
			renew_raise((PLpgSQL_stmt_raise *) stmt);
			break;
		case PLPGSQL_STMT_ASSERT:
			renew(((PLpgSQL_stmt_assert *) stmt)->cond);
			renew(((PLpgSQL_stmt_assert *) stmt)->message);
			break;
		case PLPGSQL_STMT_EXECSQL:
			renew(((PLpgSQL_stmt_execsql *) stmt)->sqlstmt);
			break;
		case PLPGSQL_STMT_DYNEXECUTE:
			renew(((PLpgSQL_stmt_dynexecute *) stmt)->query);
			renew_list(((PLpgSQL_stmt_dynexecute *) stmt)->params);
			break;
		case PLPGSQL_STMT_DYNFORS:
			renew(((PLpgSQL_stmt_dynfors *) stmt)->query);
			renew_list(((PLpgSQL_stmt_dynfors *) stmt)->params);
			break;
		case PLPGSQL_STMT_OPEN:
			renew_open(estate, (PLpgSQL_stmt_open *) stmt);
			break;
		case PLPGSQL_STMT_FETCH:
			renew(((PLpgSQL_stmt_fetch *) stmt)->expr);
			break;
		case PLPGSQL_STMT_PERFORM:
			renew(((PLpgSQL_stmt_perform *) stmt)->expr);
			break;
		case PLPGSQL_STMT_CALL:
			renew(((PLpgSQL_stmt_call *) stmt)->expr);
			break;
		case PLPGSQL_STMT_LOOP:
		case PLPGSQL_STMT_GETDIAG:
		case PLPGSQL_STMT_CLOSE:
		case PLPGSQL_STMT_COMMIT:
		case PLPGSQL_STMT_ROLLBACK:
			break;				/* evaluate nothing */
	}
}

static void func_setup(PLpgSQL_execstate *estate, PLpgSQL_function *func);
static void func_beg(PLpgSQL_execstate *estate, PLpgSQL_function *func);
static void func_end(PLpgSQL_execstate *estate, PLpgSQL_function *func);
static void stmt_beg(PLpgSQL_execstate *estate, PLpgSQL_stmt *stmt);
static void stmt_end(PLpgSQL_execstate *estate, PLpgSQL_stmt *stmt);

static PLpgSQL_plugin our_plugin = {func_setup, func_beg, func_end, stmt_beg, stmt_end};

/* The other one finds in its struct what PL/pgSQL has written into ours. */
static void
func_setup(PLpgSQL_execstate *estate, PLpgSQL_function *func)
{
	if (other_plugin == NULL)
		return;
	other_plugin->error_callback = our_plugin.error_callback;
	other_plugin->assign_expr = our_plugin.assign_expr;
	other_plugin->assign_value = our_plugin.assign_value;
	other_plugin->eval_datum = our_plugin.eval_datum;
	other_plugin->cast_value = our_plugin.cast_value;
	if (other_plugin->func_setup)
		other_plugin->func_setup(estate, func);
}

static void
func_beg(PLpgSQL_execstate *estate, PLpgSQL_function *func)
{
	if (other_plugin && other_plugin->func_beg)
		other_plugin->func_beg(estate, func);
	if (is_user_type(func->fn_rettype))
		check_type(func->fn_rettype);
}

static void
func_end(PLpgSQL_execstate *estate, PLpgSQL_function *func)
{
	if (other_plugin && other_plugin->func_end)
		other_plugin->func_end(estate, func);
}

static void
stmt_beg(PLpgSQL_execstate *estate, PLpgSQL_stmt *stmt)
{
	if (other_plugin && other_plugin->stmt_beg)
		other_plugin->stmt_beg(estate, stmt);
	renew_statement(estate, stmt);
}

static void
stmt_end(PLpgSQL_execstate *estate, PLpgSQL_stmt *stmt)
{
	if (other_plugin && other_plugin->stmt_end)
		other_plugin->stmt_end(estate, stmt);
}

static PLpgSQL_plugin **
plugin_slot(void)
{
	static PLpgSQL_plugin **slot = NULL;

	if (slot == NULL)
		slot = (PLpgSQL_plugin **) find_rendezvous_variable("PLpgSQL_plugin");
	return slot;
}

void
plpgsql_plans_watch(PlanTest test, TypeCheck type_check)
{
	PLpgSQL_plugin **slot = plugin_slot();

	is_good = test;
	check_type = type_check;
	if (*slot == &our_plugin)
		return;
	other_plugin = *slot;
	*slot = &our_plugin;
}

void
plpgsql_plans_leave(void)
{
	PLpgSQL_plugin **slot = plugin_slot();

	if (*slot == &our_plugin)
		*slot = other_plugin;
}
