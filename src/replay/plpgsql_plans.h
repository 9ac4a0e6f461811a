/*
 * plpgsql_plans.h
 *		The cached plans of PL/pgSQL functions, while an orchestrator runs.
 */
#ifndef DURABLE_PLPGSQL_PLANS_H
#define DURABLE_PLPGSQL_PLANS_H

#include "nodes/plannodes.h"

/* Is the plan good for use? */
typedef bool (*PlanTest) (const PlannedStmt *plan);

/* Told of the type of each variable that comes into being, and of what functions return, unless they are built in. */
typedef void (*TypeCheck) (Oid type);

/*
 * From now on PL/pgSQL plans again, right before it runs a statement, what of
 * it has been planned and does not pass the test. A debugger or profiler that
 * has hooked into PL/pgSQL goes on to be told.
 */
extern void plpgsql_plans_watch(PlanTest test, TypeCheck type_check);
extern void plpgsql_plans_leave(void);

#endif							/* DURABLE_PLPGSQL_PLANS_H */
