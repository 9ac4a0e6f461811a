/*
 * retry.c
 *		Retry decisions: pure, see retry.h.
 */
#include "postgres.h"

#include "core/failure.h"
#include "core/retry.h"

/* Does the failure have this SQLSTATE, class of SQLSTATEs or error type? */
static bool
failure_matches(Jsonb *failure, const char *pattern)
{
	const char *sqlstate = failure_field(failure, "sqlstate");
	const char *type = failure_field(failure, "errorType");

	if (sqlstate && strlen(pattern) == 2 && strncmp(sqlstate, pattern, 2) == 0)
		return true;
	if (sqlstate && strcmp(sqlstate, pattern) == 0)
		return true;
	return type && pg_strcasecmp(type, pattern) == 0;
}

static bool
failure_matches_any(Jsonb *failure, List *patterns)
{
	ListCell   *lc;

	foreach(lc, patterns)
		if (failure_matches(failure, lfirst(lc)))
			return true;
	return false;
}

/* first_interval * backoff^(attempt - 1), at most max_interval and never beyond what a timestamp holds. */
static int64
retry_delay(const RetryPolicy *policy, int attempt)
{
	double		delay = (double) policy->first_interval;
	double		cap = policy->max_interval > 0 ? (double) policy->max_interval : (double) USECS_PER_DAY * 36500;

	for (int i = 1; i < attempt && delay < cap; i++)
		delay *= policy->backoff;
	return (int64) Min(delay, cap);
}

bool
retry_decide(const RetryPolicy *policy, int attempt, Jsonb *failure,
			 TimestampTz first_attempt_at, TimestampTz now, int64 *delay)
{
	if (attempt >= policy->max_attempts || failure_is_non_retriable(failure))
		return false;
	if (policy->retry_on != NIL && !failure_matches_any(failure, policy->retry_on))
		return false;
	if (failure_matches_any(failure, policy->never_retry_on))
		return false;
	if (policy->timeout > 0 && now >= first_attempt_at + policy->timeout)
		return false;
	*delay = retry_delay(policy, attempt);
	return *delay > 0;
}
