/*
 * orchestrator_checks.h
 *		Refuses what an orchestrator must not do (semantics.md 10.2), while it
 *		does it: durable.orchestrator_checks.
 *
 * Every statement and expression is looked at when it is planned, before
 * functions are inlined and constants folded; helper functions that are not
 * built in are planned by themselves when they run. A plan that was looked at
 * bears a mark. Before each statement of PL/pgSQL, plans without a mark (those
 * an activity made, or made before the functions changed) are thrown away, so
 * that nothing runs unseen for having been planned or run before.
 */
#ifndef DURABLE_ORCHESTRATOR_CHECKS_H
#define DURABLE_ORCHESTRATOR_CHECKS_H

/* Sets the hooks; once, when the library is loaded. Outside orchestrators they do nothing. */
extern void orchestrator_checks_init(void);

/* Around the code of an orchestrator; the second also after an error, and when there was no first. */
extern void orchestrator_checks_begin(void);
extern void orchestrator_checks_end(void);

/* Is a checked statement being planned? What runs then may run once for many executions, or for none. */
extern bool orchestrator_checks_are_planning(void);

#endif							/* DURABLE_ORCHESTRATOR_CHECKS_H */
