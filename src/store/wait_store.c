/*
 * wait_store.c
 *		Looking at an instance with the latest snapshot, whatever the isolation level.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/transam.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"

#include "ids.h"
#include "store/direct_rows.h"
#include "store/store.h"
#include "store/wait_store.h"

/* Who wrote an older row is durable long since, and may be unknown to the commit log. */
#define LONG_AGO USECS_PER_HOUR

static StoreStatement instance_row = {
	"SELECT i FROM durable.instances i WHERE i.task_hub = $1 AND i.instance_id = $2",
	2, {TEXTOID, TEXTOID}
};

/* Columns of the view durable.instances that are not the same column of the table. */
enum
{
	FROM_EXECUTION_ID = -1, FROM_CODE = -2, ALWAYS_NULL = -3
};

/*
 * The columns of the view durable.instances, for an instance that has finished:
 * it awaits nothing. Setting up the subqueries that say so costs more than all the rest.
 */
static const AttrNumber view_columns[] = {
	INSTANCE_TASK_HUB, INSTANCE_ID, FROM_EXECUTION_ID, INSTANCE_GENERATION, INSTANCE_NAME, INSTANCE_VERSION,
	INSTANCE_STATUS, INSTANCE_INPUT, INSTANCE_OUTPUT, INSTANCE_FAILURE, INSTANCE_CUSTOM_STATUS, INSTANCE_TAGS,
	INSTANCE_PARENT_INSTANCE_ID, FROM_CODE, ALWAYS_NULL, INSTANCE_CREATED_AT, INSTANCE_SCHEDULED_START_AT,
	INSTANCE_UPDATED_AT, INSTANCE_COMPLETED_AT
};

bool
store_look_at_instance(const char *task_hub, const char *instance_id, RuntimeStatus *status, TransactionId *writer)
{
	DirectLook	look;
	bool		found = direct_look_at_instance(&look, task_hub, instance_id, GetLatestSnapshot());

	if (found)
	{
		TimestampTz updated_at = DatumGetTimestampTz(direct_look_value(&look, INSTANCE_UPDATED_AT));

		(void) runtime_status_from_name(TextDatumGetCString(direct_look_value(&look, INSTANCE_STATUS)), status);
		*writer = updated_at > GetCurrentTimestamp() - LONG_AGO ?
			HeapTupleHeaderGetRawXmin(look.row->t_data) : InvalidTransactionId;
	}
	direct_look_end(&look);
	return found;
}

/* An id as the view shows it. */
static Datum
shown_id(const DirectLook *look, AttrNumber column, bool *isnull)
{
	Datum		id = direct_look_attribute(look, column, isnull);

	return *isnull ? (Datum) 0 : CStringGetTextDatum(execution_id_text(DatumGetUUIDP(id)));
}

static Datum
view_column(const DirectLook *look, AttrNumber column, bool *isnull)
{
	*isnull = true;
	switch (column)
	{
		case FROM_EXECUTION_ID:
			return shown_id(look, INSTANCE_EXECUTION_ID, isnull);
		case FROM_CODE:
			return shown_id(look, INSTANCE_CODE, isnull);
		case ALWAYS_NULL:
			return (Datum) 0;
		default:
			return direct_look_attribute(look, column, isnull);
	}
}

/* The row of the view, of a finished instance. */
static Datum
view_row(const DirectLook *look, TupleDesc desc)
{
	Datum		values[lengthof(view_columns)];
	bool		nulls[lengthof(view_columns)];

	for (int i = 0; i < lengthof(view_columns); i++)
		values[i] = view_column(look, view_columns[i], &nulls[i]);
	return HeapTupleGetDatum(heap_form_tuple(desc, values, nulls));
}

/* False: it has not finished, or the view is not the one that we know. */
static bool
finished_row(const char *task_hub, const char *instance_id, Datum *result)
{
	Oid			view = get_relname_relid("instances", get_namespace_oid("durable", false));
	TupleDesc	desc = lookup_rowtype_tupdesc(get_rel_type_id(view), -1);
	DirectLook	look;
	bool		known = direct_look_at_instance(&look, task_hub, instance_id, GetLatestSnapshot()) &&
		desc->natts == lengthof(view_columns) && direct_look_value(&look, INSTANCE_COMPLETED_AT) != 0;

	if (known)
		*result = view_row(&look, desc);
	direct_look_end(&look);
	ReleaseTupleDesc(desc);
	return known;
}

static bool
row_of_view(const char *task_hub, const char *instance_id, Datum *result)
{
	Datum		values[2] = {TEXT_DATUM(task_hub), TEXT_DATUM(instance_id)};
	StoreScope	scope;
	bool		found;

	store_open(&scope);
	found = store_query_with_snapshot(&instance_row, values, NULL, GetLatestSnapshot()) > 0;
	if (found)
	{
		bool		isnull;
		Datum		row = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);

		MemoryContextSwitchTo(scope.caller);
		*result = datumCopy(row, false, -1);
	}
	store_close(&scope);
	return found;
}

bool
store_instance_row(const char *task_hub, const char *instance_id, Datum *result)
{
	return finished_row(task_hub, instance_id, result) || row_of_view(task_hub, instance_id, result);
}
