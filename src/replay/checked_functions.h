/*
 * checked_functions.h
 *		Which functions an orchestrator may call, by what the catalog and a
 *		list of ours say of them.
 */
#ifndef DURABLE_CHECKED_FUNCTIONS_H
#define DURABLE_CHECKED_FUNCTIONS_H

#include "postgres.h"

/* Why something is refused in an orchestrator, and what to do instead; constant texts. */
typedef struct Refusal
{
	const char *reason;
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

/* Changes whenever answers may have changed. */
extern uint32 function_refusals_epoch(void);
extern void function_refusals_forget(void);

#endif							/* DURABLE_CHECKED_FUNCTIONS_H */
