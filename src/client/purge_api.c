/*
 * purge_api.c
 *		Deleting finished instances.
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "arguments.h"
#include "client/hub_access.h"
#include "store/purge_store.h"

PG_FUNCTION_INFO_V1(durable_purge);
PG_FUNCTION_INFO_V1(durable_purge_finished);

Datum
durable_purge(PG_FUNCTION_ARGS)
{
	Hub			hub;

	client_call_begin(fcinfo);
	require_argument(fcinfo, 0, "instance_id");
	require_argument(fcinfo, 1, "recursive");
	hub_to_look_in(fcinfo, 2, &hub);
	PG_RETURN_INT64(store_purge_instance(hub.name, text_to_cstring(PG_GETARG_TEXT_PP(0)), PG_GETARG_BOOL(1)));
}

static TimestampTz
time_or_any(FunctionCallInfo fcinfo, int arg)
{
	return PG_ARGISNULL(arg) ? DT_NOEND : PG_GETARG_TIMESTAMPTZ(arg);
}

/* Statuses that are not final may be named; nothing has them and is finished. */
static void
read_filter(FunctionCallInfo fcinfo, PurgeFilter *filter)
{
	memset(filter, 0, sizeof(PurgeFilter));
	filter->finished_before = time_or_any(fcinfo, 0);
	filter->created_before = time_or_any(fcinfo, 1);
	if (PG_ARGISNULL(2))
		memset(filter->statuses, true, sizeof(filter->statuses));
	else
		statuses_argument(PG_GETARG_ARRAYTYPE_P(2), "statuses", filter->statuses);
}

static int64
max_count_argument(FunctionCallInfo fcinfo, int arg)
{
	if (PG_ARGISNULL(arg))
		return PG_INT64_MAX;
	if (PG_GETARG_INT64(arg) < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("max_count must not be negative")));
	return PG_GETARG_INT64(arg);
}

Datum
durable_purge_finished(PG_FUNCTION_ARGS)
{
	Hub			hub;
	PurgeFilter filter;
	int64		max_count = max_count_argument(fcinfo, 3);

	client_call_begin(fcinfo);
	read_filter(fcinfo, &filter);
	hub_to_look_in(fcinfo, 4, &hub);
	PG_RETURN_INT64(store_purge_finished(hub.name, &filter, max_count));
}
