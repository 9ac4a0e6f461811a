/*
 * export_store.c
 *		Recorded and imported histories: see export_store.h.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "store/export_store.h"
#include "store/store.h"

static StoreStatement list_instances_of = {
	"SELECT i.instance_id FROM durable_store.instances i"
	" WHERE i.task_hub = $1 AND i.name = $2 ORDER BY i.created_at DESC LIMIT $3",
	3, {TEXTOID, TEXTOID, INT8OID}
};

static StoreStatement list_instances = {
	"SELECT i.instance_id FROM durable_store.instances i"
	" WHERE i.task_hub = $1 ORDER BY i.created_at DESC LIMIT $2",
	2, {TEXTOID, INT8OID}
};

static StoreStatement list_imported = {
	"SELECT m.instance_id FROM durable_store.imported_histories m"
	" WHERE m.task_hub = $1 AND m.name = coalesce($2, m.name) ORDER BY m.imported_at DESC, m.instance_id LIMIT $3",
	3, {TEXTOID, TEXTOID, INT8OID}
};

static StoreStatement read_imported = {
	"SELECT m.history FROM durable_store.imported_histories m WHERE m.task_hub = $1 AND m.instance_id = $2",
	2, {TEXTOID, TEXTOID}
};

static StoreStatement insert_imported = {
	"INSERT INTO durable_store.imported_histories (task_hub, instance_id, name, version, history)"
	" SELECT $1, $2, $3, $4, $5 WHERE NOT EXISTS (SELECT FROM durable_store.instances i"
	"  WHERE i.task_hub = $1 AND i.instance_id = $2)"
	" ON CONFLICT DO NOTHING",
	5, {TEXTOID, TEXTOID, TEXTOID, TEXTOID, JSONBOID}
};

static StoreStatement delete_imported = {
	"DELETE FROM durable_store.imported_histories m WHERE m.task_hub = $1 AND m.instance_id = $2",
	2, {TEXTOID, TEXTOID}
};

static StoreStatement read_begin = {
	"SELECT h.xmin::pg_catalog.text FROM durable_store.history h WHERE h.task_hub = $1 AND h.instance_id = $2"
	" ORDER BY h.generation DESC, h.seq LIMIT 1",
	2, {TEXTOID, TEXTOID}
};

/* Runs a query and copies the texts it returns. */
static List *
read_ids(StoreStatement *statement, Datum *values, const char *nulls)
{
	StoreScope	scope;
	List	   *ids = NIL;
	uint64		rows;

	store_open(&scope);
	rows = store_execute(statement, values, nulls);
	for (uint64 i = 0; i < rows; i++)
	{
		Row			row = store_row(&scope, i);
		char	   *id = row_text(&row, 1);
		MemoryContext old = MemoryContextSwitchTo(scope.caller);

		ids = lappend(ids, id);
		MemoryContextSwitchTo(old);
	}
	store_close(&scope);
	return ids;
}

List *
store_list_instances(const char *task_hub, const char *orchestrator, int64 max_count)
{
	Datum		values[3] = {TEXT_DATUM(task_hub)};

	values[1] = orchestrator ? TEXT_DATUM(orchestrator) : Int64GetDatum(max_count);
	values[2] = Int64GetDatum(max_count);
	return read_ids(orchestrator ? &list_instances_of : &list_instances, values, NULL);
}

List *
store_list_imported(const char *task_hub, const char *orchestrator, int64 max_count)
{
	Datum		values[3] = {TEXT_DATUM(task_hub), 0, Int64GetDatum(max_count)};

	if (orchestrator != NULL)
		values[1] = TEXT_DATUM(orchestrator);
	return read_ids(&list_imported, values, orchestrator ? "   " : " n ");
}

TransactionId
store_history_begin(const char *task_hub, const char *instance_id)
{
	Datum		values[2] = {TEXT_DATUM(task_hub), TEXT_DATUM(instance_id)};
	StoreScope	scope;
	TransactionId begin = InvalidTransactionId;

	store_open(&scope);
	if (store_execute(&read_begin, values, NULL) > 0)
	{
		Row			row = store_row(&scope, 0);

		begin = (TransactionId) strtoul(row_text(&row, 1), NULL, 10);
	}
	store_close(&scope);
	return begin;
}

Jsonb *
store_imported_history(const char *task_hub, const char *instance_id)
{
	Datum		values[2] = {TEXT_DATUM(task_hub), TEXT_DATUM(instance_id)};
	StoreScope	scope;
	Jsonb	   *history = NULL;

	store_open(&scope);
	if (store_execute(&read_imported, values, NULL) > 0)
	{
		Row			row = store_row(&scope, 0);

		history = row_jsonb(&row, 1);
	}
	store_close(&scope);
	return history;
}

bool
store_import_history(const char *task_hub, const char *instance_id, const char *orchestrator,
					 const char *version, Jsonb *history)
{
	Datum		values[5] = {TEXT_DATUM(task_hub), TEXT_DATUM(instance_id), TEXT_DATUM(orchestrator), 0,
	JsonbPGetDatum(history)};
	StoreScope	scope;
	uint64		rows;

	if (version != NULL)
		values[3] = TEXT_DATUM(version);
	store_open(&scope);
	rows = store_execute(&insert_imported, values, version ? "     " : "   n ");
	store_close(&scope);
	return rows > 0;
}

bool
store_discard_imported(const char *task_hub, const char *instance_id)
{
	Datum		values[2] = {TEXT_DATUM(task_hub), TEXT_DATUM(instance_id)};

	return store_execute_once(&delete_imported, values) > 0;
}
