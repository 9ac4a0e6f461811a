/*
 * activity_store.c
 *		The queue of activities: see activity_store.h.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "core/history_pack.h"
#include "core/json.h"
#include "points.h"
#include "store/activity_store.h"
#include "store/direct_rows.h"
#include "store/hub_store.h"
#include "store/inbox_store.h"
#include "store/low_water.h"
#include "store/store.h"
#include "wake.h"

/*
 * An activity whose instance or history row is gone, or is another one's, is
 * lost: the instance was purged or replaced while it ran, and then its process died.
 * One that carries its input and whose instance was replaced cannot be told
 * from one whose instance continued as new: it runs, and answers nobody.
 * The nearest registration comes with it: see registry_store.h.
 */
#define CLAIM_ACTIVITY(condition) CLAIM_ACTIVITIES("a.task_hub = $1 AND a.visible_at <= $2", condition, "1")
#define CLAIM_ACTIVITIES(candidates, condition, how_many) \
	"SELECT " QUEUE_COLUMNS ", i.settings, i.version, i.parent_instance_id, i.tags, i.generation, i.execution_id," \
	" r.version, r.function, r.timeout_ms, r.max_concurrency, r.external" \
	FROM_QUEUE(candidates, condition, how_many) \
	" LEFT JOIN LATERAL (SELECT i.settings, i.generation, i.execution_id, i.version, i.parent_instance_id, i.tags" \
	"  FROM durable_store.instances i WHERE i.task_hub = $1 AND i.instance_id = q.instance_id OFFSET 0) i ON true" \
	" LEFT JOIN LATERAL (" NEAREST_REGISTRATION("activities", "r.version, r.function, r.timeout_ms, r.max_concurrency, r.external", \
	"$1", "q.name", "q.version") ") r ON true"

/* What is in the queue, and in the row of the history it refers to, if it does. */
#define QUEUE_COLUMNS \
	"q.instance_id, q.execution_id, q.generation, q.task_id, q.seq, q.attempt, q.name, q.version," \
	" coalesce(q.input, h.payload), coalesce(q.tags, h.tags), q.seq IS NOT NULL AND h.seq IS NULL, q.xmin," \
	" EXISTS (SELECT FROM durable_store.activity_queue p WHERE p.task_hub = $1 AND p.parked)," \
	" (SELECT h.max_payload_size FROM durable_store.hubs h WHERE h.task_hub = $1), q.tid, q.more"
#define FROM_QUEUE(candidates, condition, how_many) \
	" FROM (SELECT a.instance_id, a.execution_id, a.generation, a.task_id, a.seq, a.attempt, a.name, a.version, a.input, a.tags, a.more, a.ctid AS tid," \
	"        CASE WHEN a.visible_at > pg_catalog.clock_timestamp() - interval '1 hour' THEN a.xmin END AS xmin" \
	"       FROM durable_store.activity_queue a WHERE " candidates " AND (" RUNNABLE_HUB("$1", "$3") ")" \
	condition \
	"       ORDER BY a.visible_at LIMIT " how_many " FOR UPDATE OF a SKIP LOCKED) q" \
	" LEFT JOIN LATERAL (SELECT h.seq, h.payload, h.tags FROM durable_store.history h WHERE h.task_hub = $1" \
	"  AND h.instance_id = q.instance_id AND h.generation = q.generation AND h.seq = q.seq OFFSET 0) h ON true"

static StoreStatement claim_activity = {
	CLAIM_ACTIVITY(" AND NOT a.parked AND a.visible_at >= $4"), 4, {TEXTOID, TIMESTAMPTZOID, OIDOID, TIMESTAMPTZOID}
};

/* As many as may run of an activity, or of several, are running: one behind them. */
static StoreStatement claim_activity_but_one = {
	CLAIM_ACTIVITY(" AND NOT a.parked AND a.visible_at >= $4 AND (a.name <> $5 OR coalesce(a.version, '') <> $6)"),
	6, {TEXTOID, TIMESTAMPTZOID, OIDOID, TIMESTAMPTZOID, TEXTOID, TEXTOID}
};

static StoreStatement claim_activity_but_some = {
	CLAIM_ACTIVITY(" AND NOT a.parked AND a.visible_at >= $4"
				   " AND NOT EXISTS (SELECT FROM ROWS FROM (pg_catalog.unnest($5), pg_catalog.unnest($6)) f(name, version)"
				   " WHERE f.name = a.name AND f.version = coalesce(a.version, ''))"),
	6, {TEXTOID, TIMESTAMPTZOID, OIDOID, TIMESTAMPTZOID, TEXTARRAYOID, TEXTARRAYOID}
};

static StoreStatement claim_parked_activity = {
	CLAIM_ACTIVITY(" AND a.parked AND a.name = $4 AND coalesce(a.version, '') = $5"),
	5, {TEXTOID, TIMESTAMPTZOID, OIDOID, TEXTOID, TEXTOID}
};

/*
 * Of some names only. They may be rare, and what is before them in the queue
 * is neither run nor parked: so it is looked for among the first ones, which are
 * found by ctid and looked at again (no condition for an index).
 */
static StoreStatement claim_activity_of_some = {
	CLAIM_ACTIVITIES("a.ctid = ANY (ARRAY(SELECT f.ctid FROM (SELECT b.ctid, b.name FROM durable_store.activity_queue b"
					  "  WHERE b.task_hub = $1 AND b.visible_at BETWEEN $5 AND $2 AND NOT b.parked ORDER BY b.visible_at LIMIT 1000) f"
					  "  WHERE f.name = ANY ($4))) AND a.visible_at + interval '0' <= $2 AND " OF_HUB("a", "$1"), "", "1"),
	5, {TEXTOID, TIMESTAMPTZOID, OIDOID, TEXTARRAYOID, TIMESTAMPTZOID}
};

/*
 * Several that may share a transaction: of some names (NULL: of all), none that
 * is limited or leaves the database, nor one that has to be repeated. Other
 * workers have some of the first ones.
 */
static StoreStatement claim_shareable = {
	"SELECT " QUEUE_COLUMNS
	FROM_QUEUE("a.ctid = ANY (ARRAY(SELECT f.ctid FROM (SELECT b.ctid, b.name, b.attempt FROM durable_store.activity_queue b"
					 "  WHERE b.task_hub = $1 AND b.visible_at BETWEEN $6 AND $2 AND NOT b.parked ORDER BY b.visible_at LIMIT $7) f"
					 "  WHERE f.attempt = 1 AND ($4 IS NULL OR f.name = ANY ($4))"
					 "  AND f.name <> ALL (ARRAY(SELECT r.name FROM durable_store.activities r WHERE r.task_hub = $1"
					 "   AND (r.external OR r.max_concurrency IS NOT NULL))))) AND a.visible_at + interval '0' <= $2 AND " OF_HUB("a", "$1"), "", "$5"),
	7, {TEXTOID, TIMESTAMPTZOID, OIDOID, TEXTARRAYOID, INT8OID, TIMESTAMPTZOID, INT8OID}
};

/* So many rows it looks at: mostly those that several workers take, sometimes what others do not share with. */
#define LOOK_AT(n_rows) (8 * (n_rows))
#define LOOK_AT_MOST 200

/* Each name and version that is parked, from one index entry to the next, with what is registered for it. */
#define FIRST_PARKED(condition) \
	"SELECT a.name, coalesce(a.version, '') AS version, a.visible_at FROM durable_store.activity_queue a" \
	" WHERE a.task_hub = $1 AND a.parked" condition " ORDER BY a.name, coalesce(a.version, ''), a.visible_at LIMIT 1"

static StoreStatement find_parked = {
	"WITH RECURSIVE parked AS ((" FIRST_PARKED("") ")"
	" UNION ALL SELECT n.* FROM parked k CROSS JOIN LATERAL ("
	FIRST_PARKED(" AND (a.name, coalesce(a.version, '')) > (k.name, k.version)") ") n)"
	" SELECT k.name, k.version, r.version, r.max_concurrency FROM parked k"
	" LEFT JOIN LATERAL (" NEAREST_REGISTRATION("activities", "r.version, r.max_concurrency", "$1", "k.name", "k.version") ") r ON true"
	" ORDER BY k.visible_at",
	1, {TEXTOID}
};

/* Those that are due: the index of parked ones leads to the first of each name, and the look to the first of all. */
static StoreStatement park_activities = {
	"UPDATE durable_store.activity_queue q SET parked = true WHERE q.ctid = ANY (ARRAY(SELECT a.ctid"
	" FROM durable_store.activity_queue a WHERE a.task_hub = $1 AND NOT a.parked AND a.name = $2 AND coalesce(a.version, '') = $3"
	" AND a.visible_at <= $4 FOR UPDATE SKIP LOCKED)) AND " OF_HUB("q", "$1"),
	4, {TEXTOID, TEXTOID, TEXTOID, TIMESTAMPTZOID}
};

/* The answer goes to the execution that asked, if it still runs; else only the row goes. */
static StoreStatement finish_activity = {
	"WITH done AS (DELETE FROM durable_store.activity_queue q WHERE q.task_hub = $1 AND q.instance_id = $2"
	"  AND q.execution_id = $3 AND q.task_id = $4)"
	" INSERT INTO durable_store.inbox (task_hub, instance_id, visible_at, \"timestamp\", execution_id, task_id, event_type,"
	"  name, payload, failure)"
	" SELECT $1, $2, $5, $5, $3, $4, $6, $7, $8, $9 FROM durable_store.instances i"
	" WHERE i.task_hub = $1 AND i.instance_id = $2 AND i.execution_id = $3 AND i.completed_at IS NULL",
	9, {TEXTOID, TEXTOID, UUIDOID, INT4OID, TIMESTAMPTZOID, INT2OID, TEXTOID, JSONBOID, JSONBOID}
};

/* Several, which are locked. */
static StoreStatement delete_finished = {
	"DELETE FROM durable_store.activity_queue q WHERE q.ctid = ANY ($2) AND " OF_HUB("q", "$1"), 2, {TEXTOID, TIDARRAYOID}
};

/* The answer to an execution that has failed waits for a rewind, which makes it visible. */
static StoreStatement keep_answer = {
	"INSERT INTO durable_store.inbox (task_hub, instance_id, visible_at, \"timestamp\", execution_id, task_id, event_type,"
	" name, payload, failure) VALUES ($1, $2, 'infinity', $5, $3, $4, $6, $7, $8, $9)",
	9, {TEXTOID, TEXTOID, UUIDOID, INT4OID, TIMESTAMPTZOID, INT2OID, TEXTOID, JSONBOID, JSONBOID}
};

/*
 * The instance ended before the activity did. A rewind lets it go on, and
 * wants to know what became of the activity: it waits for our end, or we for
 * its, and then there is somebody to answer.
 */
static StoreStatement pin_ended = {
	"SELECT i.status FROM durable_store.instances i"
	" WHERE i.task_hub = $1 AND i.instance_id = $2 AND i.execution_id = $3 FOR SHARE",
	3, {TEXTOID, TEXTOID, UUIDOID}
};

/* Rows of several activities, which are locked, become a row for each, in their order. */
#define UNPACK(rows, condition) \
	"WITH packed AS (DELETE FROM durable_store.activity_queue q WHERE q.ctid = ANY (" rows ") AND " OF_HUB("q", "$1") " RETURNING q.*)" \
	" INSERT INTO durable_store.activity_queue (task_hub, instance_id, execution_id, generation, task_id, attempt, visible_at, parked," \
	"  name, version, input, tags)" \
	" SELECT p.task_hub, p.instance_id, p.execution_id, p.generation, m.task_id, p.attempt, p.visible_at + m.n * interval '1 microsecond'," \
	"  p.parked, p.name, p.version, m.input, m.tags" \
	" FROM packed p CROSS JOIN LATERAL (SELECT 0 AS n, p.task_id, p.input, p.tags UNION ALL" \
	"  SELECT e.ordinality, e.event_id, e.payload, e.tags FROM durable_store.unpack_events(p.more) WITH ORDINALITY e) m WHERE " condition

static StoreStatement unpack_activities = {
	UNPACK("ARRAY(SELECT a.ctid FROM durable_store.activity_queue a WHERE a.task_hub = $1 AND a.instance_id = $2"
		   " AND a.execution_id = $3 AND ($4 IS NULL OR a.task_id = $4) AND a.more IS NOT NULL FOR UPDATE SKIP LOCKED)", "true"),
	4, {TEXTOID, TEXTOID, UUIDOID, INT4OID}
};

static StoreStatement unpack_rest = {
	UNPACK("ARRAY[$2]", "m.task_id <> ALL ($3)"), 3, {TEXTOID, TIDOID, INT4ARRAYOID}
};

/* Not a row of several, whose others would go with it: somebody else had that when it was to be unpacked. */
static StoreStatement reclaim_activity = {
	"SELECT FROM durable_store.activity_queue q WHERE q.task_hub = $1 AND q.instance_id = $2"
	" AND q.execution_id = $3 AND q.task_id = $4 AND q.more IS NULL FOR UPDATE SKIP LOCKED",
	4, {TEXTOID, TEXTOID, UUIDOID, INT4OID}
};

static StoreStatement repeat_activity = {
	"UPDATE durable_store.activity_queue q SET attempt = $5, parked = false, visible_at = $6"
	" WHERE q.task_hub = $1 AND q.instance_id = $2 AND q.execution_id = $3 AND q.task_id = $4",
	6, {TEXTOID, TEXTOID, UUIDOID, INT4OID, INT4OID, TIMESTAMPTZOID}
};

/* What continue-as-new or a new start left in the history for this activity alone. */
static StoreStatement delete_leftover_history = {
	"DELETE FROM durable_store.history h WHERE h.task_hub = $1 AND h.instance_id = $2 AND h.generation = $3 AND h.seq = $4"
	" AND NOT EXISTS (SELECT FROM durable_store.instances i WHERE i.task_hub = $1 AND i.instance_id = $2 AND i.generation = $3)",
	4, {TEXTOID, TEXTOID, INT8OID, INT4OID}
};

/* The instance and, if $3, its descendants: those a recursive termination reaches. */
#define FAMILY \
	"WITH RECURSIVE family AS (SELECT i.instance_id, i.execution_id FROM durable_store.instances i" \
	"  WHERE i.task_hub = $1 AND i.instance_id = $2" \
	" UNION SELECT c.instance_id, c.execution_id FROM family f CROSS JOIN LATERAL (SELECT c.instance_id, c.execution_id" \
	"  FROM durable_store.instances c WHERE c.task_hub = $1 AND c.parent_instance_id = f.instance_id" \
	"  AND c.parent_execution_id = f.execution_id OFFSET 0) c WHERE $3)"

static StoreStatement drop_queued = {
	FAMILY ", idle AS MATERIALIZED (SELECT q.* FROM family f CROSS JOIN LATERAL (SELECT q.ctid AS tid"
	"  FROM durable_store.activity_queue q WHERE q.task_hub = $1 AND q.instance_id = f.instance_id"
	"  FOR UPDATE SKIP LOCKED) q)"
	", gone AS (DELETE FROM durable_store.activity_queue q WHERE q.ctid = ANY (ARRAY(SELECT idle.tid FROM idle))"
	"  AND " OF_HUB("q", "$1") " RETURNING q.instance_id)"
	" SELECT DISTINCT gone.instance_id FROM gone",
	3, {TEXTOID, TEXTOID, BOOLOID}
};

static StoreStatement find_running = {
	FAMILY " SELECT DISTINCT f.instance_id FROM family f CROSS JOIN LATERAL (SELECT FROM durable_store.activity_queue q"
	"  WHERE q.task_hub = $1 AND q.instance_id = f.instance_id LIMIT 1) q",
	3, {TEXTOID, TEXTOID, BOOLOID}
};

/* QUEUE_COLUMNS */
static ClaimedActivity *
queued_from_row(const Row *row)
{
	ClaimedActivity *activity = palloc0(sizeof(ClaimedActivity));
	bytea	   *more;

	activity->instance_id = row_text(row, 1);
	(void) row_uuid(row, 2, &activity->execution_id);
	activity->generation = row_int64(row, 3);
	activity->task_id = row_int32(row, 4);
	activity->seq = row_int32(row, 5);
	activity->attempt = Min(Max(row_int32(row, 6), 1), PG_INT32_MAX - 1);	/* it is counted on */
	activity->name = row_text(row, 7);
	activity->version = row_text(row, 8);
	activity->input = row_jsonb(row, 9);
	activity->tags = row_jsonb(row, 10);
	activity->is_lost = row_bool(row, 11);
	activity->writer = (TransactionId) row_oid(row, 12);
	activity->others_parked = row_bool(row, 13);
	activity->max_payload_size = row_int32(row, 14);
	row_tid(row, 15, &activity->tid);
	activity->first = activity;
	more = row_bytea(row, 16);
	if (more != NULL && !history_unpack(more, &activity->more))
	{
		activity->is_damaged = true;
		activity->more = NIL;
	}
	return activity;
}

/* Adds the activity that was read from a row, and those that have the row with it. */
static List *
add_all_of_row(List *activities, ClaimedActivity *first)
{
	ListCell   *lc;

	activities = lappend(activities, first);
	foreach(lc, first->more)
	{
		const HistoryEvent *scheduled = lfirst(lc);
		ClaimedActivity *activity = palloc(sizeof(ClaimedActivity));

		*activity = *first;
		activity->more = NIL;
		activity->task_id = scheduled->event_id;
		activity->input = scheduled->payload;
		activity->tags = scheduled->tags;
		activities = lappend(activities, activity);
	}
	return activities;
}

/* What an activity has of its instance. */
typedef struct InstanceOfActivity
{
	Jsonb	   *settings_json;
	InstanceSettings settings;
	const char *version;
	const char *parent_instance_id;
	Jsonb	   *tags;
	bool		exists;
	int64		generation;
	pg_uuid_t	execution_id;
} InstanceOfActivity;

static void
set_instance(ClaimedActivity *activity, const InstanceOfActivity *instance)
{
	activity->settings = instance->settings;
	activity->instance_version = instance->version;
	activity->parent_instance_id = instance->parent_instance_id;
	activity->tags = activity->tags ? json_merge(instance->tags, activity->tags) : instance->tags;
	activity->is_lost = activity->is_lost || !instance->exists || instance->generation < activity->generation ||
		(instance->generation == activity->generation &&
		 memcmp(&instance->execution_id, &activity->execution_id, UUID_LEN) != 0);
}

static void
instance_from_row(const Row *row, int column, InstanceOfActivity *instance)
{
	instance->settings_json = row_jsonb(row, column);
	instance_settings_read(instance->settings_json, &instance->settings);
	instance->version = row_text(row, column + 1);
	instance->parent_instance_id = row_text(row, column + 2);
	instance->tags = row_jsonb(row, column + 3);
	instance->exists = !row_is_null(row, column + 4);
	instance->generation = row_int64(row, column + 4);
	(void) row_uuid(row, column + 5, &instance->execution_id);
}

static void
registration_from_row(const Row *row, int column, ClaimedActivity *activity)
{
	ActivityRegistration *registration = &activity->registration;

	registration->name = activity->name;
	registration->version = row_text(row, column);
	registration->function = row_text(row, column + 1);
	registration->timeout_ms = row_int32(row, column + 2);
	registration->max_concurrency = row_int32(row, column + 3);
	registration->external = row_bool(row, column + 4);
	activity->match = registry_match(registration->version, activity->version);
}

#define N_QUEUE_COLUMNS 16
#define N_INSTANCE_COLUMNS 6

static ClaimedActivity *
claimed_from_row(const Row *row)
{
	MemoryContext old = MemoryContextSwitchTo(row->context);
	ClaimedActivity *activity = queued_from_row(row);
	InstanceOfActivity instance = {0};

	instance_from_row(row, N_QUEUE_COLUMNS + 1, &instance);
	set_instance(activity, &instance);
	registration_from_row(row, N_QUEUE_COLUMNS + N_INSTANCE_COLUMNS + 1, activity);
	MemoryContextSwitchTo(old);
	return activity;
}

/* Names and versions as two arrays. */
static void
key_arrays(List *keys, Datum *values)
{
	static const Oid types[] = {TEXTOID, TEXTOID};
	RowBuffer  *rows = row_buffer_make(2, types);
	ListCell   *lc;

	foreach(lc, keys)
	{
		ActivityKey *key = lfirst(lc);

		row_buffer_add(rows);
		row_buffer_set_text(rows, 0, key->name);
		row_buffer_set_text(rows, 1, key->version ? key->version : "");
	}
	row_buffer_arrays(rows, values);
}

/* The statement that leaves out what is full, and its arguments. */
static StoreStatement *
choose_claim(List *full, Datum *values)
{
	if (full == NIL)
		return &claim_activity;
	if (list_length(full) > 1)
	{
		key_arrays(full, values);
		return &claim_activity_but_some;
	}
	values[0] = TEXT_DATUM(((ActivityKey *) linitial(full))->name);
	values[1] = TEXT_DATUM(((ActivityKey *) linitial(full))->version ? ((ActivityKey *) linitial(full))->version : "");
	return &claim_activity_but_one;
}

static ClaimedActivity *
run_claim(StoreStatement *claim, Datum *values)
{
	ClaimedActivity *activity = NULL;
	StoreScope	scope;

	store_open(&scope);
	if (store_execute(claim, values, NULL) > 0)
	{
		Row			row = store_row(&scope, 0);

		activity = claimed_from_row(&row);
	}
	store_close(&scope);
	return activity;
}

bool
store_has_activities(const char *task_hub, const char *instance_id)
{
	ScanKeyData keys[2];

	direct_instance_keys(keys, task_hub, instance_id);
	return direct_has_row("activity_queue", "activity_queue_pkey", 2, keys);
}

ClaimedActivity *
store_claim_activity(const char *task_hub, TimestampTz now, List *full)
{
	TimestampTz began = GetCurrentTimestamp();
	Datum		values[6] = {TEXT_DATUM(task_hub), TimestampTzGetDatum(now), ObjectIdGetDatum(GetSessionUserId()),
	TimestampTzGetDatum(low_water(task_hub, QUEUE_ACTIVITIES))};
	ClaimedActivity *claimed = run_claim(choose_claim(full, values + 4), values);

	low_water_looked(task_hub, QUEUE_ACTIVITIES, began);
	return claimed;
}

ClaimedActivity *
store_claim_activity_of(const char *task_hub, TimestampTz now, List *names)
{
	Datum		values[5] = {TEXT_DATUM(task_hub), TimestampTzGetDatum(now), ObjectIdGetDatum(GetSessionUserId()), store_text_array(names),
	TimestampTzGetDatum(low_water(task_hub, QUEUE_ACTIVITIES))};

	return run_claim(&claim_activity_of_some, values);
}

static char *
look_text(const DirectLook *look, AttrNumber column)
{
	bool		isnull;
	Datum		value = direct_look_attribute(look, column, &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}

static Jsonb *
look_jsonb(const DirectLook *look, AttrNumber column)
{
	bool		isnull;
	Datum		value = direct_look_attribute(look, column, &isnull);

	return isnull ? NULL : (Jsonb *) PG_DETOAST_DATUM_COPY(value);
}

static bool
is_same_activity(const ClaimedActivity *a, const ClaimedActivity *b)
{
	return strcmp(a->name, b->name) == 0 && strcmp(a->version ? a->version : "", b->version ? b->version : "") == 0;
}

/* Looks at the instance of an activity. */
static void
look_at_instance(const char *task_hub, const ClaimedActivity *activity, InstanceOfActivity *instance)
{
	DirectLook	look;

	memset(instance, 0, sizeof(InstanceOfActivity));
	if (direct_look_at_instance(&look, task_hub, activity->instance_id, GetTransactionSnapshot()))
	{
		instance->exists = true;
		instance->generation = DatumGetInt64(direct_look_value(&look, INSTANCE_GENERATION));
		memcpy(&instance->execution_id, DatumGetUUIDP(direct_look_value(&look, INSTANCE_EXECUTION_ID)), UUID_LEN);
		instance->settings_json = look_jsonb(&look, INSTANCE_SETTINGS);
		instance->tags = look_jsonb(&look, INSTANCE_TAGS);
		instance->version = look_text(&look, INSTANCE_VERSION);
		instance->parent_instance_id = look_text(&look, INSTANCE_PARENT_INSTANCE_ID);
	}
	direct_look_end(&look);
	instance_settings_read(instance->settings_json, &instance->settings);
}

/* The instance and the registration of each; neighbours are mostly of one instance and one name. */
static void
complete_all(const char *task_hub, List *activities)
{
	const ClaimedActivity *last = NULL;
	InstanceOfActivity instance;
	ListCell   *lc;

	foreach(lc, activities)
	{
		ClaimedActivity *activity = lfirst(lc);

		if (last == NULL || strcmp(last->instance_id, activity->instance_id) != 0)
			look_at_instance(task_hub, activity, &instance);
		set_instance(activity, &instance);
		if (last != NULL && is_same_activity(last, activity))
		{
			activity->registration = last->registration;
			activity->match = last->match;
		}
		else
			activity->match = store_find_registration(task_hub, activity->name, activity->version, &activity->registration);
		last = activity;
	}
}

static List *
claim_among(int look_at, Datum *values, const char *nulls)
{
	List	   *activities = NIL;
	StoreScope	scope;
	uint64		rows;

	values[6] = Int64GetDatum(look_at);
	store_open(&scope);
	rows = store_execute(&claim_shareable, values, nulls);
	for (uint64 i = 0; i < rows; i++)
	{
		Row			row = store_row(&scope, i);
		MemoryContext old = MemoryContextSwitchTo(scope.caller);

		activities = add_all_of_row(activities, queued_from_row(&row));
		MemoryContextSwitchTo(old);
	}
	store_close(&scope);
	return activities;
}

List *
store_claim_shareable_activities(const char *task_hub, TimestampTz now, List *names, int n_rows)
{
	Datum		values[7] = {TEXT_DATUM(task_hub), TimestampTzGetDatum(now), ObjectIdGetDatum(GetSessionUserId())};
	const char *nulls = names == NIL ? "   n   " : NULL;
	TimestampTz began = GetCurrentTimestamp();
	List	   *activities;

	values[3] = names == NIL ? (Datum) 0 : store_text_array(names);
	values[4] = Int64GetDatum(n_rows);
	values[5] = TimestampTzGetDatum(low_water(task_hub, QUEUE_ACTIVITIES));
	activities = claim_among(Min(LOOK_AT(n_rows), LOOK_AT_MOST), values, nulls);
	if (activities == NIL && LOOK_AT(n_rows) < LOOK_AT_MOST)
		activities = claim_among(LOOK_AT_MOST, values, nulls);
	low_water_looked(task_hub, QUEUE_ACTIVITIES, began);
	complete_all(task_hub, activities);
	return activities;
}

ClaimedActivity *
store_claim_parked_activity(const char *task_hub, TimestampTz now, const ActivityKey *key)
{
	Datum		values[5] = {TEXT_DATUM(task_hub), TimestampTzGetDatum(now), ObjectIdGetDatum(GetSessionUserId()),
	TEXT_DATUM(key->name), TEXT_DATUM(key->version ? key->version : "")};

	return run_claim(&claim_parked_activity, values);
}

/* A row of find_parked. */
static ParkedActivity *
parked_from_row(const Row *row)
{
	MemoryContext old = MemoryContextSwitchTo(row->context);
	ParkedActivity *parked = palloc0(sizeof(ParkedActivity));

	parked->key.name = row_text(row, 1);
	parked->key.version = row_text(row, 2);
	parked->registration.name = parked->key.name;
	parked->registration.version = row_text(row, 3);
	parked->registration.max_concurrency = row_int32(row, 4);
	MemoryContextSwitchTo(old);
	return parked;
}

List *
store_find_parked_activities(const char *task_hub)
{
	Datum		values[1] = {TEXT_DATUM(task_hub)};
	List	   *list = NIL;
	StoreScope	scope;
	uint64		rows;

	store_open(&scope);
	rows = store_execute(&find_parked, values, NULL);
	for (uint64 i = 0; i < rows; i++)
	{
		Row			row = store_row(&scope, i);
		ParkedActivity *parked = parked_from_row(&row);
		MemoryContext old = MemoryContextSwitchTo(scope.caller);

		list = lappend(list, parked);
		MemoryContextSwitchTo(old);
	}
	store_close(&scope);
	return list;
}

void
store_park_activities(const char *task_hub, TimestampTz now, const ActivityKey *key)
{
	Datum		values[4] = {TEXT_DATUM(task_hub), TEXT_DATUM(key->name), TEXT_DATUM(key->version ? key->version : ""), TimestampTzGetDatum(now)};

	(void) store_execute_once(&park_activities, values);
}

/* The key of an activity into the first four arguments. */
static void
set_key(Datum *values, const char *task_hub, const ClaimedActivity *activity)
{
	values[0] = TEXT_DATUM(task_hub);
	values[1] = TEXT_DATUM(activity->instance_id);
	values[2] = UUIDPGetDatum(&activity->execution_id);
	values[3] = Int32GetDatum(activity->task_id);
}

static void
delete_leftovers(const char *task_hub, const ClaimedActivity *activity)
{
	Datum		values[4] = {TEXT_DATUM(task_hub), TEXT_DATUM(activity->instance_id),
	Int64GetDatum(activity->generation), Int32GetDatum(activity->seq)};

	store_execute(&delete_leftover_history, values, NULL);
}

/* Answers an execution that has ended: one that goes on by now, or has failed and may be rewound. False: any other. */
static bool
answer_after_end(const StoreScope *scope, Datum *values, const char *nulls, bool failed)
{
	RuntimeStatus status = STATUS_COMPLETED;
	Row			row;

	if (store_execute(&pin_ended, values, NULL) == 0)
		return false;
	row = store_row(scope, 0);
	(void) runtime_status_from_name(row_text(&row, 1), &status);
	if (status == STATUS_FAILED)
		return !failed && store_execute(&keep_answer, values, nulls) > 0;	/* what failed is asked for again */
	return !runtime_status_is_finished(status) && store_execute(&finish_activity, values, nulls) > 0;
}

void
store_finish_activity(const char *task_hub, const ClaimedActivity *activity,
					  Jsonb *result, Jsonb *failure, TimestampTz now)
{
	char		nulls[] = "         ";
	Datum		values[9];
	StoreScope	scope;

	set_key(values, task_hub, activity);
	values[4] = TimestampTzGetDatum(now);
	values[5] = Int16GetDatum((int16) (failure ? EVENT_TASK_FAILED : EVENT_TASK_COMPLETED));
	values[6] = TEXT_DATUM(activity->name);
	values[7] = PointerGetDatum(result);
	values[8] = PointerGetDatum(failure);
	nulls[7] = result ? ' ' : 'n';
	nulls[8] = failure ? ' ' : 'n';
	store_open(&scope);
	if (store_execute(&finish_activity, values, nulls) == 0 && !answer_after_end(&scope, values, nulls, failure != NULL))
		delete_leftovers(task_hub, activity);	/* nobody waits for the answer */
	store_close(&scope);
	wake_hub_at_commit(task_hub, 1);
}

static HistoryEvent *
answer_of(const FinishedActivity *finished)
{
	HistoryEvent *answer = history_event_make(finished->failure ? EVENT_TASK_FAILED : EVENT_TASK_COMPLETED, finished->finished_at);

	answer->visible_at = finished->finished_at;
	answer->has_execution_id = true;
	answer->execution_id = finished->activity->execution_id;
	answer->task_id = finished->activity->task_id;
	answer->name = finished->activity->name;
	answer->payload = finished->result;
	answer->failure = finished->failure;
	return answer;
}

/* Does the execution that asked for it still run? */
static bool
is_awaited(const char *task_hub, const ClaimedActivity *activity)
{
	DirectLook	look;
	bool		awaited = direct_look_at_instance(&look, task_hub, activity->instance_id, GetTransactionSnapshot()) &&
	memcmp(DatumGetUUIDP(direct_look_value(&look, INSTANCE_EXECUTION_ID)), &activity->execution_id, UUID_LEN) == 0 &&
	direct_look_value(&look, INSTANCE_COMPLETED_AT) == (Datum) 0;

	direct_look_end(&look);
	return awaited;
}

static bool
is_of_same_execution(const ClaimedActivity *a, const ClaimedActivity *b)
{
	return strcmp(a->instance_id, b->instance_id) == 0 && memcmp(&a->execution_id, &b->execution_id, UUID_LEN) == 0;
}

/* Answers on their way: those to one execution that follow each other are one message, as many as fit. */
typedef struct AnswerBuffer
{
	MessageBuffer *messages;
	const ClaimedActivity *to;	/* of the message in the making; NULL: there is none */
	HistoryEvent *answer;		/* its first one */
	HistoryPack *pack;			/* and the others */
} AnswerBuffer;

static void
end_message(AnswerBuffer *buffer)
{
	if (buffer->to != NULL)
		message_buffer_add_packed(buffer->messages, buffer->to->instance_id, buffer->answer, history_pack_finish(buffer->pack));
	buffer->to = NULL;
}

/* Packed, times are told from that of the first. */
static bool
fits(const AnswerBuffer *buffer, const ClaimedActivity *to, HistoryEvent *answer)
{
	if (buffer->to == NULL || !is_of_same_execution(buffer->to, to))
		return false;
	answer->turn_at = buffer->answer->timestamp;
	return history_pack_add(buffer->pack, answer);
}

static void
add_answer(AnswerBuffer *buffer, const FinishedActivity *finished)
{
	HistoryEvent *answer = answer_of(finished);

	if (fits(buffer, finished->activity, answer))
		return;
	end_message(buffer);
	answer->turn_at = 0;
	buffer->to = finished->activity;
	buffer->answer = answer;
	buffer->pack = history_pack_make();
}

/* Answers those that are awaited; returns the others. Neighbours are mostly of one instance. */
static List *
answer_all(const char *task_hub, List *finished)
{
	AnswerBuffer buffer = {message_buffer_make()};
	const ClaimedActivity *last = NULL;
	bool		awaited = false;
	List	   *unanswered = NIL;
	ListCell   *lc;

	foreach(lc, finished)
	{
		FinishedActivity *one = lfirst(lc);

		if (last == NULL || !is_of_same_execution(last, one->activity))
			awaited = is_awaited(task_hub, one->activity);
		last = one->activity;
		if (awaited)
			add_answer(&buffer, one);
		else
			unanswered = lappend(unanswered, one);
	}
	end_message(&buffer);
	store_insert_messages(task_hub, buffer.messages);
	return unanswered;
}

static void
delete_rows(const char *task_hub, RowBuffer *tids)
{
	Datum		values[2] = {TEXT_DATUM(task_hub)};

	if (tids->n_rows == 0)
		return;
	row_buffer_arrays(tids, values + 1);
	(void) store_execute_once(&delete_finished, values);
}

/* Gives each that was not done, of those that have a row together, a row of its own. */
static void
unpack_row(const char *task_hub, List *claimed, const ClaimedActivity *first)
{
	Datum	   *done = palloc(sizeof(Datum) * (list_length(first->more) + 1));
	Datum		values[3] = {TEXT_DATUM(task_hub), PointerGetDatum(&first->tid)};
	int			n = 0;
	ListCell   *lc;

	foreach(lc, claimed)
	{
		const ClaimedActivity *activity = lfirst(lc);

		if (activity->first == first && activity->is_done)
			done[n++] = Int32GetDatum(activity->task_id);
	}
	values[2] = PointerGetDatum(construct_array(done, n, INT4OID, sizeof(int32), true, TYPALIGN_INT));
	(void) store_execute_once(&unpack_rest, values);
	DURABLE_POINT("activity.split");
}

static bool
is_last_of_row(List *claimed, ListCell *lc)
{
	ListCell   *next = lnext(claimed, lc);

	return next == NULL || ((ClaimedActivity *) lfirst(next))->first != ((ClaimedActivity *) lfirst(lc))->first;
}

/* A row of which so many are done, and so many have to run alone: it goes if that is all, or what is left is unpacked. */
static void
leave_row(const char *task_hub, List *claimed, const ClaimedActivity *first, int n_done, int n_alone, RowBuffer *tids)
{
	if (n_done == list_length(first->more) + 1)
	{
		row_buffer_add(tids);
		row_buffer_set(tids, 0, PointerGetDatum(&first->tid));
	}
	else if (first->more != NIL && n_done + n_alone > 0)
		unpack_row(task_hub, claimed, first);
}

static void
leave_queue(const char *task_hub, List *claimed)
{
	static const Oid types[] = {TIDOID};
	RowBuffer  *tids = row_buffer_make(1, types);
	int			n_done = 0;
	int			n_alone = 0;
	ListCell   *lc;

	foreach(lc, claimed)
	{
		const ClaimedActivity *activity = lfirst(lc);

		n_done += activity->is_done ? 1 : 0;
		n_alone += activity->must_be_alone ? 1 : 0;
		if (!is_last_of_row(claimed, lc))
			continue;
		leave_row(task_hub, claimed, activity->first, n_done, n_alone, tids);
		n_done = n_alone = 0;
	}
	delete_rows(task_hub, tids);
}

void
store_finish_activities(const char *task_hub, List *claimed, List *finished)
{
	ListCell   *lc;

	leave_queue(task_hub, claimed);
	DURABLE_POINT("activity.shared_left");
	if (finished == NIL)
		return;
	foreach(lc, answer_all(task_hub, finished))
	{
		FinishedActivity *rest = lfirst(lc);

		store_finish_activity(task_hub, rest->activity, rest->result, rest->failure, rest->finished_at);
	}
	wake_hub_at_commit(task_hub, list_length(finished));
	DURABLE_POINT("activity.shared_recorded");
}

void
store_unpack_activities(const char *task_hub, const char *instance_id, const pg_uuid_t *execution_id, const int *task_id)
{
	Datum		values[4] = {TEXT_DATUM(task_hub), TEXT_DATUM(instance_id), UUIDPGetDatum(execution_id),
	Int32GetDatum(task_id ? *task_id : 0)};
	StoreScope	scope;
	uint64		rows;

	store_open(&scope);
	rows = store_execute(&unpack_activities, values, task_id ? NULL : "   n");
	store_close(&scope);
	if (rows > 0)
		wake_hub_at_commit(task_hub, (int) rows);
	DURABLE_POINT("activity.unpacked");
}

bool
store_reclaim_activity(const char *task_hub, const ClaimedActivity *activity)
{
	Datum		values[4];
	StoreScope	scope;
	bool		found;

	set_key(values, task_hub, activity);
	store_open(&scope);
	found = store_execute(&reclaim_activity, values, NULL) > 0;
	store_close(&scope);
	return found;
}

void
store_repeat_activity(const char *task_hub, const ClaimedActivity *activity, int attempt, TimestampTz until)
{
	Datum		values[6];

	set_key(values, task_hub, activity);
	values[4] = Int32GetDatum(attempt);
	values[5] = TimestampTzGetDatum(until);
	store_execute_once(&repeat_activity, values);
}

/* The ids that a statement about a family of instances returns. */
static List *
ids_of_family(StoreStatement *statement, Datum *values)
{
	List	   *ids = NIL;
	StoreScope	scope;
	uint64		rows;

	store_open(&scope);
	rows = store_execute(statement, values, NULL);
	for (uint64 i = 0; i < rows; i++)
	{
		Row			row = store_row(&scope, i);
		MemoryContext old = MemoryContextSwitchTo(scope.caller);

		ids = lappend(ids, row_text(&row, 1));
		MemoryContextSwitchTo(old);
	}
	store_close(&scope);
	return ids;
}

void
store_drop_queued_activities(const char *task_hub, const char *instance_id, bool recursive,
							 List **dropped, List **running)
{
	Datum		values[3] = {TEXT_DATUM(task_hub), TEXT_DATUM(instance_id), BoolGetDatum(recursive)};

	*dropped = ids_of_family(&drop_queued, values);
	*running = ids_of_family(&find_running, values);
}
