/*
 * retry_policy.h
 *		The SQL type durable.retry_policy.
 */
#ifndef DURABLE_RETRY_POLICY_H
#define DURABLE_RETRY_POLICY_H

#include "fmgr.h"

#include "core/retry.h"

/* The policy of an argument in the given memory; NULL if there is none. Checks it. */
extern RetryPolicy *retry_policy_from_argument(FunctionCallInfo fcinfo, int arg, MemoryContext memory);

#endif							/* DURABLE_RETRY_POLICY_H */
