/*
 * retry.c
 *		Retry decisions: pure, see retry.h.
 */
#include "postgres.h"

#include <math.h>

#include "utils/fmgrprotos.h"
#include "utils/numeric.h"

#include "core/failure.h"
#include "core/json.h"
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

/* ------------------------------------------------------------------------
 * As jsonb
 * ------------------------------------------------------------------------
 */

static void
push_number(JsonbParseState **state, const char *key, Numeric number)
{
	JsonbValue	value;

	json_push_key(state, key);
	value.type = jbvNumeric;
	value.val.numeric = number;
	pushJsonbValue(state, WJB_VALUE, &value);
}

/* Seconds of an interval in microseconds, unless there is none. */
static void
push_interval(JsonbParseState **state, const char *key, int64 microseconds)
{
	if (microseconds > 0)
		push_number(state, key, DatumGetNumeric(DirectFunctionCall1(numeric_trim_scale,
			NumericGetDatum(int64_div_fast_to_numeric(microseconds, 6)))));
}

static void
push_texts(JsonbParseState **state, const char *key, List *texts)
{
	ListCell   *lc;

	if (texts == NIL)
		return;
	json_push_key(state, key);
	pushJsonbValue(state, WJB_BEGIN_ARRAY, NULL);
	foreach(lc, texts)
	{
		JsonbValue	value;

		value.type = jbvString;
		value.val.string.val = lfirst(lc);
		value.val.string.len = strlen(lfirst(lc));
		pushJsonbValue(state, WJB_ELEM, &value);
	}
	pushJsonbValue(state, WJB_END_ARRAY, NULL);
}

Jsonb *
retry_policy_to_json(const RetryPolicy *policy)
{
	JsonbParseState *state = NULL;

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	push_number(&state, "max_attempts", int64_to_numeric(policy->max_attempts));
	push_interval(&state, "first_interval", policy->first_interval);
	push_number(&state, "backoff", DatumGetNumeric(DirectFunctionCall1(float8_numeric, Float8GetDatum(policy->backoff))));
	push_interval(&state, "max_interval", policy->max_interval);
	push_interval(&state, "timeout", policy->timeout);
	push_texts(&state, "retry_on", policy->retry_on);
	push_texts(&state, "never_retry_on", policy->never_retry_on);
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

static double
number_field(Jsonb *json, const char *key)
{
	JsonbValue	value;

	if (getKeyJsonValueFromContainer(&json->root, key, strlen(key), &value) == NULL || value.type != jbvNumeric)
		return 0;
	return DatumGetFloat8(DirectFunctionCall1(numeric_float8, NumericGetDatum(value.val.numeric)));
}

static int64
interval_field(Jsonb *json, const char *key)
{
	return (int64) rint(number_field(json, key) * USECS_PER_SEC);
}

static List *
texts_field(Jsonb *json, const char *key)
{
	JsonbValue	value;
	List	   *texts = NIL;

	if (getKeyJsonValueFromContainer(&json->root, key, strlen(key), &value) == NULL ||
		value.type != jbvBinary || !JsonContainerIsArray(value.val.binary.data))
		return NIL;
	for (uint32 i = 0; i < JsonContainerSize(value.val.binary.data); i++)
	{
		JsonbValue *element = getIthJsonbValueFromContainer(value.val.binary.data, i);

		if (element->type == jbvString)
			texts = lappend(texts, pnstrdup(element->val.string.val, element->val.string.len));
	}
	return texts;
}

RetryPolicy *
retry_policy_from_json(Jsonb *json)
{
	RetryPolicy *policy = palloc0(sizeof(RetryPolicy));

	policy->max_attempts = (int) number_field(json, "max_attempts");
	policy->first_interval = interval_field(json, "first_interval");
	policy->backoff = number_field(json, "backoff");
	policy->max_interval = interval_field(json, "max_interval");
	policy->timeout = interval_field(json, "timeout");
	policy->retry_on = texts_field(json, "retry_on");
	policy->never_retry_on = texts_field(json, "never_retry_on");
	return policy;
}
