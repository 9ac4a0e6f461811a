/*
 * pinned_code.h
 *		The code an instance runs: the definition of its function as it was
 *		when the instance took it.
 */
#ifndef DURABLE_CORE_PINNED_CODE_H
#define DURABLE_CORE_PINNED_CODE_H

#include "postgres.h"
#include "utils/uuid.h"

typedef struct PinnedCode
{
	pg_uuid_t	fingerprint;	/* of function and definition */
	const char *function;		/* qualified, with argument types */
	const char *definition;		/* as CREATE FUNCTION; NULL: not read, it is in the table */
	bool		trusted;		/* the function's owner was a superuser */
} PinnedCode;

#endif							/* DURABLE_CORE_PINNED_CODE_H */
