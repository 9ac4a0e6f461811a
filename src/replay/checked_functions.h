/*
 * checked_functions.h
 *		Which functions an orchestrator may call (semantics.md 10.2), by what
 *		the catalog and a list of ours say of them. The checks at run time and
 *		durable.check_orchestrator() ask here.
 *
 *	  schema durable		allowed, but for the client functions
 *	  SQL and PL/pgSQL		allowed: what they do is judged itself
 *	  other languages than
 *	  internal and C		refused, unless in durable.orchestrator_languages
 *	  immutable				allowed
 *	  built-in, in the list	as the list says
 *	  volatile				refused
 *	  stable				allowed
 *
 * now(), CURRENT_TIMESTAMP and their like are pinned for a turn, random() is
 * seeded by the execution, and role and settings are those of the start: all
 * that repeats.
 */
#ifndef DURABLE_CHECKED_FUNCTIONS_H
#define DURABLE_CHECKED_FUNCTIONS_H

#include "postgres.h"

/* Why something is refused in an orchestrator, and what to do instead; constant texts. */
typedef struct Refusal
{
	const char *why;			/* a clause that says something of it: "reads the clock" */
	const char *hint;
} Refusal;

/*
 * NULL: it may be called. That is so for functions in SQL and PL/pgSQL, too:
 * what they do is checked when they do it. The answer is kept until functions
 * or durable.orchestrator_languages change.
 */
extern const Refusal *function_refusal(Oid function);

/* Of CURRENT_USER and its like, by name. */
extern const Refusal *function_refusal_of_name(const char *name);

/* Of the functions of schema durable, which refuse by themselves what this names. */
extern const Refusal *client_function_refusal(const char *name);

/* Changes whenever answers may have changed. */
extern uint32 function_refusals_epoch(void);
extern void function_refusals_forget(void);

/* Lets invalidations pass that are no changes. */
extern void function_refusals_keep(bool keep);

#endif							/* DURABLE_CHECKED_FUNCTIONS_H */
