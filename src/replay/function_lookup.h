/*
 * function_lookup.h
 *		From the name of an orchestrator or activity to a function, as a call
 *		in the current search_path would find it.
 */
#ifndef DURABLE_FUNCTION_LOOKUP_H
#define DURABLE_FUNCTION_LOOKUP_H

#include "postgres.h"
#include "nodes/pg_list.h"
#include "utils/jsonb.h"

#include "compat.h"

/*
 * The function of an orchestrator: one that can be an orchestrator goes before
 * others of the name. Raises an error if there is none.
 */
extern Oid	orchestrator_lookup(const char *name);

/* A registered function, by its signature. Raises an error if it is not there any more. */
extern Oid	registered_function(const char *what, const char *name, const char *signature);

/* Raises the error that a name is registered, but not for this version. */
DURABLE_NORETURN extern void no_such_version(const char *what, const char *name, const char *version,
							const char *versions);

/* A function schema-qualified with its argument types, as to_regprocedure() reads it in any search_path. */
extern char *function_signature(Oid function);

/* And back: what function_signature() gave; InvalidOid if there is no such function now. */
extern Oid	function_of_signature(const char *signature);

/*
 * The function of an activity. Of several of the name, the one whose argument
 * names fit the input, else the one that takes a single jsonb. Raises an
 * error if there is none or the choice is not clear.
 */
extern Oid	activity_lookup(const char *name, Jsonb *input);

/* All functions an activity's name may stand for; raises an error if there is none. */
extern List *activity_candidates(const char *name);

/*
 * Raises 42501 if the current user, who is to call the function, is a superuser
 * and its owner is none: who may replace a function that waits for its turn in
 * a superuser's hub would be one, too.
 */
extern void function_require_trusted(Oid function, const char *name);

#endif							/* DURABLE_FUNCTION_LOOKUP_H */
