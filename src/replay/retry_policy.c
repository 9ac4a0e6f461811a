/*
 * retry_policy.c
 *		The SQL type durable.retry_policy: made, checked and read.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"
#include "utils/typcache.h"

#include "arguments.h"
#include "replay/retry_policy.h"

PG_FUNCTION_INFO_V1(durable_retry_policy);

/* The columns of the type, in order. */
enum
{
	MAX_ATTEMPTS, FIRST_INTERVAL, BACKOFF, MAX_INTERVAL, TIMEOUT, RETRY_ON, NEVER_RETRY_ON, N_COLUMNS
};

static void
invalid_policy(const char *problem)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid retry policy: %s", problem)));
}

/* Microseconds of an interval column that must be positive; 0 if it is null. */
static int64
positive_interval(Datum value, bool isnull, const char *problem)
{
	int64		microseconds;

	if (isnull)
		return 0;
	microseconds = interval_microseconds(DatumGetIntervalP(value));
	if (microseconds <= 0)
		invalid_policy(problem);
	return microseconds;
}

/* The elements of a text[] column: SQLSTATEs, classes or error types. */
static List *
text_list(Datum value, bool isnull)
{
	Datum	   *elements;
	bool	   *nulls;
	int			n;
	List	   *list = NIL;

	if (isnull)
		return NIL;
	deconstruct_array(DatumGetArrayTypeP(value), TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, &n);
	for (int i = 0; i < n; i++)
	{
		if (nulls[i])
			invalid_policy("retry_on and never_retry_on must not contain nulls");
		list = lappend(list, TextDatumGetCString(elements[i]));
	}
	return list;
}

static double
backoff_factor(Datum value, bool isnull)
{
	double		backoff = isnull ? 1.0 : DatumGetFloat8(DirectFunctionCall1(numeric_float8, value));

	if (!(backoff >= 1.0) || backoff > 1e6)
		invalid_policy("backoff must be between 1 and 1000000");
	return backoff;
}

static RetryPolicy *
policy_from_columns(Datum *values, bool *nulls)
{
	RetryPolicy *policy = palloc0(sizeof(RetryPolicy));

	if (nulls[MAX_ATTEMPTS] || DatumGetInt32(values[MAX_ATTEMPTS]) < 1)
		invalid_policy("max_attempts must be at least 1");
	if (nulls[FIRST_INTERVAL])
		invalid_policy("first_interval must not be null");
	policy->max_attempts = DatumGetInt32(values[MAX_ATTEMPTS]);
	policy->first_interval = positive_interval(values[FIRST_INTERVAL], false, "first_interval must be positive");
	policy->backoff = backoff_factor(values[BACKOFF], nulls[BACKOFF]);
	policy->max_interval = positive_interval(values[MAX_INTERVAL], nulls[MAX_INTERVAL], "max_interval must be positive");
	policy->timeout = positive_interval(values[TIMEOUT], nulls[TIMEOUT], "timeout must be positive");
	policy->retry_on = text_list(values[RETRY_ON], nulls[RETRY_ON]);
	policy->never_retry_on = text_list(values[NEVER_RETRY_ON], nulls[NEVER_RETRY_ON]);
	return policy;
}

Datum
durable_retry_policy(PG_FUNCTION_ARGS)
{
	TupleDesc	tupdesc;
	Datum		values[N_COLUMNS];
	bool		nulls[N_COLUMNS];

	for (int i = 0; i < N_COLUMNS; i++)
	{
		values[i] = PG_GETARG_DATUM(i);
		nulls[i] = PG_ARGISNULL(i);
	}
	(void) policy_from_columns(values, nulls);
	if (get_call_result_type(fcinfo, NULL, &tupdesc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "durable.retry_policy is not a composite type");
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(tupdesc), values, nulls)));
}

/* A row of the type may also have been built by hand: it is checked again. */
RetryPolicy *
retry_policy_from_argument(FunctionCallInfo fcinfo, int arg, MemoryContext memory)
{
	HeapTupleHeader header;
	HeapTupleData tuple;
	TupleDesc	tupdesc;
	Datum		values[N_COLUMNS];
	bool		nulls[N_COLUMNS];
	MemoryContext old;
	RetryPolicy *policy;

	if (PG_ARGISNULL(arg))
		return NULL;
	header = PG_GETARG_HEAPTUPLEHEADER(arg);
	tupdesc = lookup_rowtype_tupdesc(HeapTupleHeaderGetTypeId(header), HeapTupleHeaderGetTypMod(header));
	tuple.t_len = HeapTupleHeaderGetDatumLength(header);
	ItemPointerSetInvalid(&tuple.t_self);
	tuple.t_tableOid = InvalidOid;
	tuple.t_data = header;
	heap_deform_tuple(&tuple, tupdesc, values, nulls);
	old = MemoryContextSwitchTo(memory);
	policy = policy_from_columns(values, nulls);
	MemoryContextSwitchTo(old);
	ReleaseTupleDesc(tupdesc);
	return policy;
}
