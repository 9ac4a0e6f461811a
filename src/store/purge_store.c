/*
 * purge_store.c
 *		Deleting finished instances: see purge_store.h.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "points.h"
#include "store/purge_store.h"
#include "store/store.h"

/* So many are deleted by one statement; it holds their ids in memory. */
#define PORTION 1000

/* Said so that no index fits: not by completed_at, nor as a list of what it is, which from 17 on is cheap to look up. */
#define FINISHED(alias) alias ".status NOT IN ('pending', 'running', 'suspended')"

/* The finished instances to go: the one asked for and those below it that are reached through finished ones. */
static StoreStatement find_doomed = {
	"WITH RECURSIVE doomed AS ("
	" SELECT i.instance_id FROM durable_store.instances i"
	"  WHERE i.task_hub = $1 AND i.instance_id = $2 AND " FINISHED("i") ""
	" UNION SELECT c.instance_id FROM doomed d CROSS JOIN LATERAL (SELECT c.instance_id FROM durable_store.instances c"
	"  WHERE c.task_hub = $1 AND c.parent_instance_id = d.instance_id AND " FINISHED("c") " OFFSET 0) c WHERE $3)"
	" SELECT pg_catalog.array_agg(d.instance_id) FROM doomed d",
	3, {TEXTOID, TEXTOID, BOOLOID}
};

/*
 * A statement of its own before the delete: it waits for clients that are
 * sending to the instances, whose messages only a later snapshot shows. Looks
 * again whether they are finished: a new start may have replaced one.
 */
static StoreStatement lock_doomed = {
	"WITH locked AS MATERIALIZED (SELECT i.instance_id FROM pg_catalog.unnest($2) u(instance_id)"
	" CROSS JOIN LATERAL (SELECT i.instance_id FROM durable_store.instances i"
	"  WHERE i.task_hub = $1 AND i.instance_id = u.instance_id AND " FINISHED("i") " FOR UPDATE) i)"
	" SELECT pg_catalog.array_agg(l.instance_id) FROM locked l",
	2, {TEXTOID, TEXTARRAYOID}
};

/* The rows of these instances, found as instance_store.c says; nobody changes them, since the instances are locked. */
#define ROWS_OF_ALL(table) \
	"ARRAY(SELECT x.ctid FROM pg_catalog.unnest($2) u(instance_id) CROSS JOIN LATERAL (SELECT r.ctid" \
	" FROM durable_store." table " r WHERE r.task_hub = $1 AND r.instance_id = u.instance_id OFFSET 0) x)"

/* An activity that runs is left. */
static StoreStatement purge_doomed = {
	"WITH gone AS (DELETE FROM durable_store.instances i WHERE i.ctid = ANY (" ROWS_OF_ALL("instances") ") AND " OF_HUB("i", "$1")
	"  RETURNING i.instance_id),"
	" no_history AS (DELETE FROM durable_store.history h WHERE h.ctid = ANY (" ROWS_OF_ALL("history") ") AND " OF_HUB("h", "$1") "),"
	" no_messages AS (DELETE FROM durable_store.inbox m WHERE m.ctid = ANY ("
	MESSAGES_OF_ALL("$1", "$2") ") AND " OF_HUB("m", "$1") "),"
	" idle AS MATERIALIZED (SELECT q.tid FROM pg_catalog.unnest($2) u(instance_id) CROSS JOIN LATERAL (SELECT q.ctid AS tid"
	"  FROM durable_store.activity_queue q WHERE q.task_hub = $1 AND q.instance_id = u.instance_id FOR UPDATE SKIP LOCKED) q),"
	" no_activities AS (DELETE FROM durable_store.activity_queue q"
	"  WHERE q.ctid = ANY (ARRAY(SELECT idle.tid FROM idle)) AND " OF_HUB("q", "$1") ")"
	" SELECT pg_catalog.count(*) FROM gone",
	2, {TEXTOID, TEXTARRAYOID}
};

/* In the order of the index on completed_at, from the last portion's end. */
static StoreStatement find_finished = {
	"SELECT i.instance_id, i.completed_at FROM durable_store.instances i"
	" WHERE i.task_hub = $1 AND i.completed_at >= $2 AND i.completed_at < $3"
	" AND i.created_at < $4 AND i.status = ANY ($5) ORDER BY i.completed_at LIMIT $6",
	6, {TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TEXTARRAYOID, INT8OID}
};

/*
 * All of a hub. The first two wait for turns and activities in flight, which
 * may leave more behind when they end.
 */
static StoreStatement discard_instances = {
	"DELETE FROM durable_store.instances i WHERE i.task_hub = $1", 1, {TEXTOID}
};

static StoreStatement discard_activities = {
	"DELETE FROM durable_store.activity_queue q WHERE q.task_hub = $1", 1, {TEXTOID}
};

static StoreStatement discard_messages = {
	"DELETE FROM durable_store.inbox m WHERE m.task_hub = $1", 1, {TEXTOID}
};

static StoreStatement discard_history = {
	"DELETE FROM durable_store.history h WHERE h.task_hub = $1", 1, {TEXTOID}
};

static StoreStatement discard_registrations = {
	"WITH orchestrators AS (DELETE FROM durable_store.orchestrators o WHERE o.task_hub = $1),"
	" activities AS (DELETE FROM durable_store.activities a WHERE a.task_hub = $1),"
	" imported AS (DELETE FROM durable_store.imported_histories m WHERE m.task_hub = $1)"
	" DELETE FROM durable_store.hubs h WHERE h.task_hub = $1",
	1, {TEXTOID}
};

/* Deletes those of the instances that are finished. */
static int64
purge_instances(const StoreScope *scope, const char *task_hub, Datum ids)
{
	Datum		values[2] = {TEXT_DATUM(task_hub), ids};
	bool		isnull;
	Row			row;

	store_execute(&lock_doomed, values, NULL);
	values[1] = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	if (isnull)
		return 0;
	DURABLE_POINT("purge.locked");
	store_execute(&purge_doomed, values, NULL);
	DURABLE_POINT("purge.deleted");
	row = store_row(scope, 0);
	return row_int64(&row, 1);
}

int64
store_purge_instance(const char *task_hub, const char *instance_id, bool recursive)
{
	Datum		values[3] = {TEXT_DATUM(task_hub), TEXT_DATUM(instance_id), BoolGetDatum(recursive)};
	StoreScope	scope;
	bool		isnull;
	Datum		ids;
	int64		count = 0;

	store_open(&scope);
	store_execute(&find_doomed, values, NULL);
	ids = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	if (!isnull)
		count = purge_instances(&scope, task_hub, ids);
	store_close(&scope);
	return count;
}

static Datum
status_names(const PurgeFilter *filter)
{
	Datum		names[STATUS_CANCELED + 1];
	int			n = 0;

	for (int status = 0; status <= STATUS_CANCELED; status++)
		if (filter->statuses[status])
			names[n++] = CStringGetTextDatum(runtime_status_name((RuntimeStatus) status));
	return PointerGetDatum(construct_array(names, n, TEXTOID, -1, false, TYPALIGN_INT));
}

/* The ids of the rows of find_finished as an array; *last: when the last of them finished. */
static Datum
found_ids(const StoreScope *scope, uint64 rows, TimestampTz *last)
{
	Datum	   *ids = palloc(sizeof(Datum) * rows);

	for (uint64 i = 0; i < rows; i++)
	{
		Row			row = store_row(scope, i);

		ids[i] = CStringGetTextDatum(row_text(&row, 1));
		*last = row_time(&row, 2);
	}
	return PointerGetDatum(construct_array(ids, (int) rows, TEXTOID, -1, false, TYPALIGN_INT));
}

/* One portion; false if there is nothing left to do. */
static bool
purge_portion(Datum *values, const char *task_hub, int64 limit, int64 *purged)
{
	StoreScope	scope;
	uint64		rows;
	TimestampTz last;
	int64		count = 0;

	values[5] = Int64GetDatum(limit);
	store_open(&scope);
	rows = store_execute(&find_finished, values, NULL);
	if (rows > 0)
	{
		Datum		ids = found_ids(&scope, rows, &last);

		values[1] = TimestampTzGetDatum(last);
		count = purge_instances(&scope, task_hub, ids);
	}
	store_close(&scope);
	*purged += count;
	return rows == (uint64) limit && count > 0;
}

int64
store_purge_finished(const char *task_hub, const PurgeFilter *filter, int64 max_count)
{
	Datum		values[6] = {TEXT_DATUM(task_hub), TimestampTzGetDatum(DT_NOBEGIN),
		TimestampTzGetDatum(filter->finished_before), TimestampTzGetDatum(filter->created_before),
	status_names(filter)};
	int64		purged = 0;

	while (purged < max_count && purge_portion(values, task_hub, Min(PORTION, max_count - purged), &purged))
		CHECK_FOR_INTERRUPTS();
	return purged;
}

int64
store_discard_hub(const char *task_hub)
{
	Datum		hub[1] = {TEXT_DATUM(task_hub)};
	int64		instances = 0;
	uint64		deleted;

	do
	{
		uint64		n = store_execute_once(&discard_instances, hub);

		instances += n;
		deleted = n + store_execute_once(&discard_activities, hub);
		deleted += store_execute_once(&discard_messages, hub);
		deleted += store_execute_once(&discard_history, hub);
		CHECK_FOR_INTERRUPTS();
	} while (deleted > 0);
	(void) store_execute_once(&discard_registrations, hub);
	return instances;
}
