/*
 * retry.h
 *		Retry policies (DTFx RetryOptions).
 */
#ifndef DURABLE_RETRY_H
#define DURABLE_RETRY_H

#include "postgres.h"
#include "datatype/timestamp.h"
#include "nodes/pg_list.h"
#include "utils/jsonb.h"

typedef struct RetryPolicy
{
	int			max_attempts;	/* all attempts, the first included */
	int64		first_interval; /* microseconds, > 0 */
	double		backoff;		/* >= 1 */
	int64		max_interval;	/* microseconds, 0 = no limit */
	int64		timeout;		/* microseconds since the first attempt, 0 = no limit */
	List	   *retry_on;		/* of char *: SQLSTATE, class or error type; NIL = all */
	List	   *never_retry_on;
} RetryPolicy;

/*
 * Shall attempt number "attempt" (from 1), which failed with "failure" at
 * "now", be followed by another, and after which delay (microseconds)?
 */
extern bool retry_decide(const RetryPolicy *policy, int attempt, Jsonb *failure,
						 TimestampTz first_attempt_at, TimestampTz now, int64 *delay);

/* As jsonb, with intervals in seconds and without what is not set; and back. */
extern Jsonb *retry_policy_to_json(const RetryPolicy *policy);
extern RetryPolicy *retry_policy_from_json(Jsonb *json);

#endif							/* DURABLE_RETRY_H */
