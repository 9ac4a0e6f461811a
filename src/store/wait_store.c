/*
 * wait_store.c
 *		Looking at an instance with the latest snapshot, whatever the isolation level.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/snapmgr.h"

#include "store/store.h"
#include "store/wait_store.h"

/* Who wrote an old row is durable long since, and may be unknown to the commit log. */
static StoreStatement look_at_instance = {
	"SELECT i.status, CASE WHEN i.updated_at > pg_catalog.clock_timestamp() - interval '1 hour' THEN i.xmin END"
	" FROM durable_store.instances i WHERE i.task_hub = $1 AND i.instance_id = $2",
	2, {TEXTOID, TEXTOID}
};

static StoreStatement instance_row = {
	"SELECT i FROM durable.instances i WHERE i.task_hub = $1 AND i.instance_id = $2",
	2, {TEXTOID, TEXTOID}
};

/*
 * The same row of a finished instance: it awaits nothing, and setting up the
 * subqueries that say so costs more than all the rest.
 */
static StoreStatement finished_row = {
	"SELECT ROW(i.task_hub, i.instance_id, pg_catalog.replace(i.execution_id::pg_catalog.text, '-', ''), i.generation, i.name,"
	" i.version, i.status, i.input, i.output, i.failure, i.custom_status, i.tags, i.parent_instance_id, pg_catalog.replace(i.code::pg_catalog.text, '-', ''), NULL,"
	" i.created_at, i.scheduled_start_at, i.updated_at, i.completed_at)::durable.instances"
	" FROM (SELECT i.* FROM durable_store.instances i WHERE i.task_hub = $1 AND i.instance_id = $2 OFFSET 0) i"
	" WHERE i.completed_at IS NOT NULL",
	2, {TEXTOID, TEXTOID}
};

bool
store_look_at_instance(const char *task_hub, const char *instance_id, RuntimeStatus *status, TransactionId *writer)
{
	Datum		values[2] = {TEXT_DATUM(task_hub), TEXT_DATUM(instance_id)};
	StoreScope	scope;
	bool		found;

	store_open(&scope);
	found = store_query_with_snapshot(&look_at_instance, values, NULL, GetLatestSnapshot()) > 0;
	if (found)
	{
		Row			row = store_row(&scope, 0);

		(void) runtime_status_from_name(row_text(&row, 1), status);
		*writer = (TransactionId) row_oid(&row, 2);
	}
	store_close(&scope);
	return found;
}

bool
store_instance_row(const char *task_hub, const char *instance_id, Datum *result)
{
	Datum		values[2] = {TEXT_DATUM(task_hub), TEXT_DATUM(instance_id)};
	StoreScope	scope;
	bool		found;

	store_open(&scope);
	found = store_query_with_snapshot(&finished_row, values, NULL, GetLatestSnapshot()) > 0 ||
		store_query_with_snapshot(&instance_row, values, NULL, GetLatestSnapshot()) > 0;
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
