/*
 * arguments.c
 *		Checks of what users give: see arguments.h.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

#include "arguments.h"
#include "core/runtime_state.h"
#include "errors.h"
#include "settings.h"

void
require_argument(FunctionCallInfo fcinfo, int arg, const char *name)
{
	if (PG_ARGISNULL(arg))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not be null", name)));
}

void
require_not_empty(const text *value, const char *name)
{
	if (VARSIZE_ANY_EXHDR(value) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must not be empty", name)));
}

void
require_instance_id(const text *id)
{
	require_not_empty(id, "instance_id");
	if (VARSIZE_ANY_EXHDR(id) > MAX_INSTANCE_ID_BYTES)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("instance_id is too long"),
				 errdetail("It has %d bytes; %d are allowed.",
						   (int) VARSIZE_ANY_EXHDR(id), MAX_INSTANCE_ID_BYTES)));
}

int64
interval_microseconds(const Interval *interval)
{
	double		microseconds = (double) interval->time +
	((double) interval->day + (double) interval->month * DAYS_PER_MONTH) * USECS_PER_DAY;

	/* what a timestamp cannot hold anyway is for ever */
	if (microseconds > FOREVER_MICROSECONDS)
		return FOREVER_MICROSECONDS;
	if (microseconds < -FOREVER_MICROSECONDS)
		return -FOREVER_MICROSECONDS;
	return interval->time + (interval->day + (int64) interval->month * DAYS_PER_MONTH) * USECS_PER_DAY;
}

void
require_not_negative(const Interval *interval, const char *name)
{
	if (interval_microseconds(interval) < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must not be negative", name)));
}

void
require_finite(TimestampTz time, const char *name)
{
	if (TIMESTAMP_NOT_FINITE(time))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must be finite", name)));
}

TimestampTz
timestamp_plus_interval(TimestampTz time, const Interval *interval)
{
	return DatumGetTimestampTz(DirectFunctionCall2(timestamptz_pl_interval,
												   TimestampTzGetDatum(time),
												   IntervalPGetDatum((Interval *) interval)));
}

TimestampTz
deadline_argument(FunctionCallInfo fcinfo, int arg)
{
	if (PG_ARGISNULL(arg))
		return DT_NOEND;
	require_not_negative(PG_GETARG_INTERVAL_P(arg), "timeout");
	if (interval_microseconds(PG_GETARG_INTERVAL_P(arg)) >= FOREVER_MICROSECONDS)
		return DT_NOEND;
	return GetCurrentTimestamp() + interval_microseconds(PG_GETARG_INTERVAL_P(arg));
}

void
statuses_argument(ArrayType *array, const char *name, bool *statuses)
{
	Datum	   *elements;
	bool	   *nulls;
	int			n;

	deconstruct_array(array, ARR_ELEMTYPE(array), sizeof(Oid), true, TYPALIGN_INT, &elements, &nulls, &n);
	for (int i = 0; i < n; i++)
	{
		RuntimeStatus status;

		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("%s must not contain nulls", name)));
		if (runtime_status_from_name(DatumGetCString(DirectFunctionCall1(enum_out, elements[i])), &status))
			statuses[status] = true;
	}
}

static bool
is_object_of_strings(Jsonb *json)
{
	JsonbIterator *iterator = JsonbIteratorInit(&json->root);
	JsonbValue	value;
	JsonbIteratorToken token;

	if (!JB_ROOT_IS_OBJECT(json))
		return false;
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
		if (token == WJB_VALUE && value.type != jbvString)
			return false;
	return true;
}

void
require_tags(Jsonb *tags)
{
	if (tags != NULL && !is_object_of_strings(tags))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("tags must be a JSON object of strings"),
				 errhint("For example '{\"tenant\": \"a\"}'.")));
}

void
check_payload_size_of_hub(Jsonb *payload, const char *what, const char *task_hub, int hub_limit)
{
	if (payload != NULL && hub_limit > 0 && VARSIZE(payload) > (Size) hub_limit * 1024)
		ereport(ERROR,
				(errcode(ERRCODE_DURABLE_LIMIT_EXCEEDED),
				 errmsg("payload too large: %s", what),
				 errdetail("It takes %zu bytes; max_payload_size of task hub \"%s\" is %d kB.",
						   (Size) VARSIZE(payload), task_hub, hub_limit),
				 errhint("Keep large data in tables of your own and pass keys; durable.set_hub_limits() sets the limit.")));
	check_payload_size(payload, what);
}

void
check_payload_size(Jsonb *payload, const char *what)
{
	if (payload == NULL || VARSIZE(payload) <= (Size) setting_max_payload_size * 1024)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_DURABLE_LIMIT_EXCEEDED),
			 errmsg("payload too large: %s", what),
			 errdetail("It takes %zu bytes; durable.max_payload_size is %d kB.",
					   (Size) VARSIZE(payload), setting_max_payload_size),
			 errhint("Keep large data in tables of your own and pass keys, or raise durable.max_payload_size.")));
}
