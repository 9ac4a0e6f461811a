/*
 * function_code.h
 *		The definition of a function and its fingerprint.
 */
#ifndef DURABLE_FUNCTION_CODE_H
#define DURABLE_FUNCTION_CODE_H

#include "core/pinned_code.h"

/*
 * The code of an orchestrator as it is now, in CurrentMemoryContext, to be run
 * by this owner of a hub; NULL if it is not pinned: one in another language
 * than SQL and PL/pgSQL, or with the rights of another role (SECURITY DEFINER),
 * which a copy could not have. Costs a look in a cache, unless the function
 * has changed since this process saw it.
 */
extern PinnedCode *function_code(Oid function, Oid hub_owner);

/* Is this its code, as function_code() would give it? Copies nothing. */
extern bool function_has_code(Oid function, Oid hub_owner, const PinnedCode *code);

#endif							/* DURABLE_FUNCTION_CODE_H */
