/*
 * hub_store.c
 *		Task hubs: see hub_store.h.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "clock.h"
#include "settings.h"
#include "store/direct_rows.h"
#include "store/hub_store.h"
#include "store/low_water.h"
#include "store/purge_store.h"
#include "store/store.h"

#define LIMIT_COLUMNS "h.max_workers, h.max_pending_instances, h.max_payload_size, h.max_history_events, h.max_starts_per_second"
#define HUB_COLUMNS \
	"h.task_hub, h.owner::pg_catalog.oid, h.paused, h.system_identifier, h.database_oid, h.identity, " \
	"h.default_version, " LIMIT_COLUMNS

static StoreStatement create_hub = {
	"INSERT INTO durable_store.hubs (task_hub, owner, is_default, system_identifier, database_oid, identity)"
	" VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING",
	6, {TEXTOID, OIDOID, BOOLOID, INT8OID, OIDOID, TEXTOID}
};

static StoreStatement make_default = {
	"UPDATE durable_store.hubs h SET is_default = true WHERE h.task_hub = $1 AND h.owner = $2",
	2, {TEXTOID, OIDOID}
};

static StoreStatement pause_hub = {
	"UPDATE durable_store.hubs h SET paused = $2 WHERE h.task_hub = $1", 2, {TEXTOID, BOOLOID}
};

static StoreStatement adopt_hub = {
	"UPDATE durable_store.hubs h SET system_identifier = $2, database_oid = $3, identity = $4"
	" WHERE h.task_hub = $1",
	4, {TEXTOID, INT8OID, OIDOID, TEXTOID}
};

static StoreStatement reassign_hub = {
	"UPDATE durable_store.hubs h SET owner = $2, is_default = h.is_default"
	" AND NOT EXISTS (SELECT FROM durable_store.hubs o WHERE o.owner = $2 AND o.is_default AND o.task_hub <> $1)"
	" WHERE h.task_hub = $1",
	2, {TEXTOID, OIDOID}
};

static StoreStatement note_obstacle = {
	"UPDATE durable_store.hubs h SET obstacle = $2, obstacle_since = $3 WHERE h.task_hub = $1"
	" AND h.obstacle IS DISTINCT FROM $2",
	3, {TEXTOID, TEXTOID, TIMESTAMPTZOID}
};

#define VERSIONING_COLUMNS "h.version, h.match_strategy, h.failure_strategy, h.default_version"

/* A worker must not wait for a client that has not committed its change. */
static StoreStatement pin_versioning = {
	"SELECT " VERSIONING_COLUMNS " FROM durable_store.hubs h WHERE h.task_hub = $1 FOR SHARE SKIP LOCKED", 1, {TEXTOID}
};

static StoreStatement set_versioning = {
	"UPDATE durable_store.hubs h SET version = $2, match_strategy = $3, failure_strategy = $4, default_version = $5"
	" WHERE h.task_hub = $1",
	5, {TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID}
};

static StoreStatement set_limits = {
	"UPDATE durable_store.hubs h SET max_workers = nullif($2, 0), max_pending_instances = nullif($3, 0),"
	" max_payload_size = nullif($4, 0), max_history_events = nullif($5, 0),"
	" max_starts_per_second = nullif($6, 0) WHERE h.task_hub = $1",
	6, {TEXTOID, INT4OID, INT8OID, INT4OID, INT4OID, INT4OID}
};

/*
 * A message becomes visible when it was made, a timer when it is due, all of
 * an instance not before its scheduled start: what is later than that was put
 * off.
 */
static StoreStatement release_rejected = {
	"UPDATE durable_store.inbox m SET visible_at = p.due"
	" FROM (SELECT b.ctid AS tid, greatest(coalesce(b.fire_at, b.\"timestamp\"), i.scheduled_start_at) AS due"
	"  FROM durable_store.inbox b"
	"  LEFT JOIN LATERAL (SELECT i.scheduled_start_at FROM durable_store.instances i WHERE i.task_hub = $1"
	"   AND i.instance_id = b.instance_id AND i.status = 'pending' OFFSET 0) i ON true"
	"  WHERE b.task_hub = $1 AND b.visible_at = 'infinity' AND (SELECT e.completed_at IS NULL"
	"   FROM durable_store.instances e WHERE e.task_hub = $1 AND e.instance_id = b.instance_id) OFFSET 0) p"
	" WHERE m.ctid = p.tid AND m.visible_at = 'infinity' AND " OF_HUB("m", "$1"),
	1, {TEXTOID}
};

/* Three index probes a hub. What is parked was due when it was. */
#define NEXT_TURN(hub, from) \
	"(SELECT m.visible_at FROM durable_store.inbox m WHERE m.task_hub = " hub " AND m.visible_at >= " from \
	" ORDER BY m.visible_at LIMIT 1)"
#define NEXT_ACTIVITY(hub, from) \
	"least((SELECT a.visible_at FROM durable_store.activity_queue a WHERE a.task_hub = " hub " AND NOT a.parked" \
	" AND a.visible_at >= " from " ORDER BY a.visible_at LIMIT 1)," \
	" (SELECT a.visible_at FROM durable_store.activity_queue a WHERE a.task_hub = " hub " AND a.parked" \
	" ORDER BY a.name, coalesce(a.version, ''), a.visible_at LIMIT 1))"

static StoreStatement hub_loads = {
	"SELECT " HUB_COLUMNS ", " NEXT_TURN("h.task_hub", "w.turns") ", " NEXT_ACTIVITY("h.task_hub", "w.activities")
	", h.obstacle IS NOT NULL"
	" FROM durable_store.hubs h CROSS JOIN LATERAL (SELECT coalesce(pg_catalog.max(u.turns), '-infinity') AS turns,"
	"  coalesce(pg_catalog.max(u.activities), '-infinity') AS activities"
	"  FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2), pg_catalog.unnest($3)) u(task_hub, turns, activities)"
	"  WHERE u.task_hub = h.task_hub OFFSET 0) w"
	" WHERE NOT h.paused",
	3, {TEXTARRAYOID, TIMESTAMPTZARRAYOID, TIMESTAMPTZARRAYOID}
};

static StoreStatement next_due_after = {
	"SELECT least((SELECT m.visible_at FROM durable_store.inbox m WHERE m.task_hub = $1 AND m.visible_at > $2"
	" ORDER BY m.visible_at LIMIT 1),"
	" (SELECT a.visible_at FROM durable_store.activity_queue a WHERE a.task_hub = $1 AND NOT a.parked AND a.visible_at > $2"
	" ORDER BY a.visible_at LIMIT 1))",
	2, {TEXTOID, TIMESTAMPTZOID}
};

/* Messages whose instance was purged while they were on their way. */
static StoreStatement drop_orphans = {
	"DELETE FROM durable_store.inbox m WHERE m.task_hub = $1 AND m.visible_at < $2"
	" AND NOT EXISTS (SELECT FROM durable_store.instances i WHERE i.task_hub = $1 AND i.instance_id = m.instance_id)",
	2, {TEXTOID, TIMESTAMPTZOID}
};

/* Finished instances that one sweep purges at most, so that the coordinator's transactions stay short. */
#define PURGED_PER_SWEEP 1000

/* LIMIT_COLUMNS, from a column on. */
static void
read_limits(const Row *row, int column, HubLimits *limits)
{
	limits->max_workers = row_int32(row, column);
	limits->max_pending_instances = row_int64(row, column + 1);
	limits->max_payload_size = row_int32(row, column + 2);
	limits->max_history_events = row_int32(row, column + 3);
	limits->max_starts_per_second = row_int32(row, column + 4);
}

HubPlace
place_here(void)
{
	HubPlace	here = {GetSystemIdentifier(), MyDatabaseId, setting_identity};

	return here;
}

bool
place_is_here(const HubPlace *place)
{
	HubPlace	here = place_here();

	return place->system_identifier == here.system_identifier && place->database_oid == here.database_oid &&
		strcmp(place->identity, here.identity) == 0;
}

static Hub
hub_from_row(const Row *row)
{
	Hub			hub;

	strlcpy(hub.name, row_text(row, 1), NAMEDATALEN);
	hub.owner = row_oid(row, 2);
	hub.paused = row_bool(row, 3);
	hub.place.system_identifier = (uint64) row_int64(row, 4);
	hub.place.database_oid = row_oid(row, 5);
	hub.place.identity = row_text(row, 6);
	hub.is_ours = place_is_here(&hub.place);
	hub.default_version = row_text(row, 7);
	read_limits(row, 8, &hub.limits);
	return hub;
}

/* ------------------------------------------------------------------------
 * Finding a hub
 *
 * Every call of a client does, so it is not done by a statement, which would
 * cost as much as all the rest, but as the server looks into its catalogs.
 * ------------------------------------------------------------------------
 */

/* Columns of hubs, in the order of the table. */
enum
{
	H_TASK_HUB = 1, H_OWNER, H_IS_DEFAULT, H_PAUSED, H_SYSTEM_IDENTIFIER, H_DATABASE_OID, H_IDENTITY, H_OBSTACLE, H_OBSTACLE_SINCE,
	H_CREATED_AT, H_MATCH_STRATEGY, H_FAILURE_STRATEGY, H_VERSION, H_DEFAULT_VERSION,
	H_MAX_WORKERS, H_MAX_PENDING_INSTANCES, H_MAX_PAYLOAD_SIZE, H_MAX_HISTORY_EVENTS,
	H_MAX_STARTS_PER_SECOND
};

/* The column "visible_at" of the queue of activities. */
#define QUEUE_VISIBLE_AT 8

/* The column "retry" of activities. */
#define ACTIVITY_RETRY 9

static char *
text_or_null(const DirectLook *look, AttrNumber column)
{
	Datum		value = direct_look_value(look, column);

	return value ? TextDatumGetCString(value) : NULL;
}

/* 0 is no limit, as null is. */
static void
limits_from_look(const DirectLook *look, HubLimits *limits)
{
	limits->max_workers = DatumGetInt32(direct_look_value(look, H_MAX_WORKERS));
	limits->max_pending_instances = DatumGetInt64(direct_look_value(look, H_MAX_PENDING_INSTANCES));
	limits->max_payload_size = DatumGetInt32(direct_look_value(look, H_MAX_PAYLOAD_SIZE));
	limits->max_history_events = DatumGetInt32(direct_look_value(look, H_MAX_HISTORY_EVENTS));
	limits->max_starts_per_second = DatumGetInt32(direct_look_value(look, H_MAX_STARTS_PER_SECOND));
}

static HubPlace
place_from_look(const DirectLook *look)
{
	HubPlace	place = {(uint64) DatumGetInt64(direct_look_value(look, H_SYSTEM_IDENTIFIER)),
		DatumGetObjectId(direct_look_value(look, H_DATABASE_OID)), TextDatumGetCString(direct_look_value(look, H_IDENTITY))};

	return place;
}

static void
hub_from_look(const DirectLook *look, Hub *hub)
{
	strlcpy(hub->name, TextDatumGetCString(direct_look_value(look, H_TASK_HUB)), NAMEDATALEN);
	hub->owner = DatumGetObjectId(direct_look_value(look, H_OWNER));
	hub->paused = DatumGetBool(direct_look_value(look, H_PAUSED));
	hub->place = place_from_look(look);
	hub->is_ours = place_is_here(&hub->place);
	hub->default_version = text_or_null(look, H_DEFAULT_VERSION);
	limits_from_look(look, &hub->limits);
}

/* Where the last hub was found. Mostly it is the one that is looked for next, too, and still there. */
static DirectPlace last_place;

/* Is it the hub of this name, or else the default hub of this role? One at most is. */
static bool
is_the_hub(const DirectLook *look, const char *name, Oid owner)
{
	if (name != NULL)
		return strcmp(TextDatumGetCString(direct_look_value(look, H_TASK_HUB)), name) == 0;
	return DatumGetObjectId(direct_look_value(look, H_OWNER)) == owner && DatumGetBool(direct_look_value(look, H_IS_DEFAULT));
}

/* Looks at the hub of this name, or else at the default hub of this role; true if there is one. To be ended in any case. */
static bool
look_at_hub(DirectLook *look, const char *name, Oid owner)
{
	ScanKeyData key;

	if (OidIsValid(last_place.file))
	{
		if (direct_look_again(look, "hubs", &last_place, GetTransactionSnapshot()) && is_the_hub(look, name, owner))
			return true;
		direct_look_end(look);
	}
	if (name != NULL)
		direct_text_key(&key, H_TASK_HUB, TEXT_DATUM(name));
	else
		ScanKeyInit(&key, H_OWNER, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(owner));
	/* the index of owners has defaults only */
	if (!direct_look_begin(look, "hubs", name ? "hubs_pkey" : "hubs_default_of_owner", GetTransactionSnapshot(), 1, &key))
		return false;
	last_place = direct_look_place(look);
	return true;
}

static bool
find_hub(const char *name, Oid owner, Hub *hub)
{
	DirectLook	look;
	bool		found = look_at_hub(&look, name, owner);

	if (found)
		hub_from_look(&look, hub);
	direct_look_end(&look);
	return found;
}

bool
store_find_hub(const char *name, Hub *hub)
{
	return find_hub(name, InvalidOid, hub);
}

bool
store_find_default_hub(Oid owner, Hub *hub)
{
	return find_hub(NULL, owner, hub);
}

bool
store_has_orchestrators(const char *task_hub)
{
	ScanKeyData key;

	direct_text_key(&key, 1, TEXT_DATUM(task_hub));
	return !direct_table_is_empty("orchestrators") && direct_has_row("orchestrators", "orchestrators_pkey", 1, &key);
}

bool
store_create_hub(const char *name, Oid owner, bool is_default)
{
	HubPlace	here = place_here();
	Datum		values[6] = {TEXT_DATUM(name), ObjectIdGetDatum(owner), BoolGetDatum(is_default),
	Int64GetDatum((int64) here.system_identifier), ObjectIdGetDatum(here.database_oid), TEXT_DATUM(here.identity)};

	return store_execute_once(&create_hub, values) > 0;
}

bool
store_make_default(const char *name, Oid owner)
{
	Datum		values[2] = {TEXT_DATUM(name), ObjectIdGetDatum(owner)};

	return store_execute_once(&make_default, values) > 0;
}

void
store_pause_hub(const char *name, bool paused)
{
	Datum		values[2] = {TEXT_DATUM(name), BoolGetDatum(paused)};

	store_execute_once(&pause_hub, values);
}

/* A row of VERSIONING_COLUMNS; the table's checks leave no other names. */
static void
read_versioning(const Row *row, HubVersioning *versioning)
{
	versioning->version = row_text(row, 1);
	(void) version_match_from_name(row_text(row, 2), &versioning->match);
	versioning->fails = strcmp(row_text(row, 3), "fail") == 0;
	versioning->default_version = row_text(row, 4);
}

static void
versioning_from_look(const DirectLook *look, HubVersioning *versioning)
{
	versioning->version = text_or_null(look, H_VERSION);
	(void) version_match_from_name(TextDatumGetCString(direct_look_value(look, H_MATCH_STRATEGY)), &versioning->match);
	versioning->fails = strcmp(TextDatumGetCString(direct_look_value(look, H_FAILURE_STRATEGY)), "fail") == 0;
	versioning->default_version = text_or_null(look, H_DEFAULT_VERSION);
}

/* Is a retry policy registered for some activity? */
static bool
has_default_retries(const char *task_hub)
{
	ScanKeyData key;
	DirectLook	look;
	bool		found;

	if (direct_table_is_empty("activities"))
		return false;
	direct_text_key(&key, 1, TEXT_DATUM(task_hub));
	found = direct_look_begin(&look, "activities", "activities_pkey", GetTransactionSnapshot(), 1, &key);
	while (found && direct_look_value(&look, ACTIVITY_RETRY) == 0)
		found = direct_look_next(&look);
	direct_look_end(&look);
	return found;
}

/* What RUNNABLE_HUB asks. */
static bool
is_runnable(const DirectLook *look, Oid role)
{
	HubPlace	place = place_from_look(look);

	return !DatumGetBool(direct_look_value(look, H_PAUSED)) &&
		DatumGetObjectId(direct_look_value(look, H_OWNER)) == role && place_is_here(&place);
}

bool
store_hub_is_runnable(const char *task_hub, Oid role)
{
	DirectLook	look;
	bool		runnable = look_at_hub(&look, task_hub, InvalidOid) && is_runnable(&look, role);

	direct_look_end(&look);
	return runnable;
}

const HubRules *
store_hub_rules(const char *task_hub)
{
	HubRules   *rules = palloc0(sizeof(HubRules));
	DirectLook	look;

	if (look_at_hub(&look, task_hub, InvalidOid))
	{
		versioning_from_look(&look, &rules->versioning);
		limits_from_look(&look, &rules->limits);
		rules->has_default_retries = has_default_retries(task_hub);
	}
	direct_look_end(&look);
	return rules;
}

bool
store_pin_hub_versioning(const char *task_hub, const HubVersioning *versioning)
{
	Datum		values[1] = {TEXT_DATUM(task_hub)};
	HubVersioning current = {0};
	StoreScope	scope;
	bool		pinned;

	store_open(&scope);
	pinned = store_execute(&pin_versioning, values, NULL) > 0;
	if (pinned)
	{
		Row			row = store_row(&scope, 0);

		read_versioning(&row, &current);
	}
	store_close(&scope);
	return pinned && versioning_equals(&current, versioning);
}

void
store_set_hub_versioning(const char *task_hub, const char *version, const char *match_strategy,
						 const char *failure_strategy, const char *default_version)
{
	char		nulls[] = "     ";
	Datum		values[5] = {TEXT_DATUM(task_hub)};
	StoreScope	scope;

	values[1] = version ? TEXT_DATUM(version) : (Datum) 0;
	nulls[1] = version ? ' ' : 'n';
	values[2] = TEXT_DATUM(match_strategy);
	values[3] = TEXT_DATUM(failure_strategy);
	values[4] = default_version ? TEXT_DATUM(default_version) : (Datum) 0;
	nulls[4] = default_version ? ' ' : 'n';
	store_open(&scope);
	store_execute(&set_versioning, values, nulls);
	store_close(&scope);
}

void
store_set_hub_limits(const char *task_hub, const HubLimits *limits)
{
	Datum		values[6] = {TEXT_DATUM(task_hub), Int32GetDatum(limits->max_workers),
		Int64GetDatum(limits->max_pending_instances), Int32GetDatum(limits->max_payload_size),
	Int32GetDatum(limits->max_history_events), Int32GetDatum(limits->max_starts_per_second)};

	store_execute_once(&set_limits, values);
}

void
store_release_rejected(const char *task_hub)
{
	Datum		values[1] = {TEXT_DATUM(task_hub)};

	(void) store_execute_once(&release_rejected, values);
}

void
store_adopt_hub(const char *name)
{
	HubPlace	here = place_here();
	Datum		values[4] = {TEXT_DATUM(name), Int64GetDatum((int64) here.system_identifier),
	ObjectIdGetDatum(here.database_oid), TEXT_DATUM(here.identity)};

	store_execute_once(&adopt_hub, values);
}

void
store_reassign_hub(const char *name, Oid owner)
{
	Datum		values[2] = {TEXT_DATUM(name), ObjectIdGetDatum(owner)};

	store_execute_once(&reassign_hub, values);
}

void
store_note_obstacle(const char *name, const char *obstacle)
{
	Datum		values[3] = {TEXT_DATUM(name), (Datum) 0, TimestampTzGetDatum(clock_now())};
	StoreScope	scope;

	if (obstacle)
		values[1] = TEXT_DATUM(obstacle);
	store_open(&scope);
	(void) store_execute(&note_obstacle, values, obstacle ? NULL : " nn");
	store_close(&scope);
}

static TimestampTz
time_or_never(const Row *row, int column)
{
	return row_is_null(row, column) ? DT_NOEND : row_time(row, column);
}

/* Where the queues of hubs are to be looked at from, if not from the front, as arrays. */
static void
marks_of_hubs(Datum *values)
{
	static const Oid types[] = {TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID};
	RowBuffer  *rows = row_buffer_make(3, types);
	ListCell   *lc;

	foreach(lc, low_water_hubs())
	{
		row_buffer_add(rows);
		row_buffer_set_text(rows, 0, lfirst(lc));
		row_buffer_set(rows, 1, TimestampTzGetDatum(low_water(lfirst(lc), QUEUE_INBOX)));
		row_buffer_set(rows, 2, TimestampTzGetDatum(low_water(lfirst(lc), QUEUE_ACTIVITIES)));
	}
	row_buffer_arrays(rows, values);
}

/* Notes what a look at all hubs cost, as if each queue had cost it. */
static void
note_looks(List *loads, TimestampTz began)
{
	ListCell   *lc;

	foreach(lc, loads)
	{
		HubLoad    *load = lfirst(lc);

		low_water_looked(load->name, QUEUE_INBOX, began);
		low_water_looked(load->name, QUEUE_ACTIVITIES, began);
		load->next_turn = Min(load->next_turn, low_water_next_full_look(load->name));
	}
}

List *
store_hub_loads(void)
{
	TimestampTz began = GetCurrentTimestamp();
	Datum		values[3];
	List	   *loads = NIL;
	StoreScope	scope;
	uint64		rows;

	marks_of_hubs(values);
	store_open(&scope);
	rows = store_execute(&hub_loads, values, NULL);
	for (uint64 i = 0; i < rows; i++)
	{
		Row			row = store_row(&scope, i);
		Hub			hub = hub_from_row(&row);
		MemoryContext old = MemoryContextSwitchTo(scope.caller);
		HubLoad    *load = palloc0(sizeof(HubLoad));

		strlcpy(load->name, hub.name, NAMEDATALEN);
		load->owner = hub.owner;
		load->max_workers = hub.limits.max_workers;
		load->max_starts_per_second = hub.limits.max_starts_per_second;
		load->is_elsewhere = !hub.is_ours;
		load->next_turn = hub.is_ours ? time_or_never(&row, 13) : DT_NOEND;
		load->next_activity = hub.is_ours ? time_or_never(&row, 14) : DT_NOEND;
		load->has_obstacle = row_bool(&row, 15);
		loads = lappend(loads, load);
		MemoryContextSwitchTo(old);
	}
	store_close(&scope);
	note_looks(loads, began);
	return loads;
}

static TimestampTz
query_time(StoreStatement *statement, Datum *values)
{
	StoreScope	scope;
	Row			row;
	TimestampTz time;

	store_open(&scope);
	store_execute(statement, values, NULL);
	row = store_row(&scope, 0);
	time = time_or_never(&row, 1);
	store_close(&scope);
	return time;
}

/*
 * The time of the first row that an index finds of a hub, not before "from";
 * DT_NOEND: none. Workers ask before they look for work and before they sleep.
 */
static TimestampTz
first_of_queue(const char *table, const char *index, const char *task_hub, AttrNumber column, TimestampTz from)
{
	ScanKeyData keys[2];
	DirectLook	look;
	TimestampTz first = DT_NOEND;

	direct_text_key(&keys[0], 1, TEXT_DATUM(task_hub));
	ScanKeyInit(&keys[1], column, BTGreaterEqualStrategyNumber, F_TIMESTAMPTZ_GE, TimestampTzGetDatum(from));
	if (direct_look_begin(&look, table, index, GetTransactionSnapshot(), from == DT_NOBEGIN ? 1 : 2, keys))
		first = DatumGetTimestampTz(direct_look_value(&look, column));
	direct_look_end(&look);
	return first;
}

TimestampTz
store_next_turn(const char *task_hub)
{
	TimestampTz began = GetCurrentTimestamp();
	TimestampTz due = first_of_queue("inbox", "inbox_visible", task_hub, MESSAGE_VISIBLE_AT, low_water(task_hub, QUEUE_INBOX));

	low_water_looked(task_hub, QUEUE_INBOX, began);
	return due;
}

TimestampTz
store_next_activity(const char *task_hub)
{
	TimestampTz began = GetCurrentTimestamp();
	TimestampTz due = first_of_queue("activity_queue", "activity_queue_visible", task_hub, QUEUE_VISIBLE_AT,
									 low_water(task_hub, QUEUE_ACTIVITIES));

	low_water_looked(task_hub, QUEUE_ACTIVITIES, began);
	return Min(due, first_of_queue("activity_queue", "activity_queue_parked", task_hub, QUEUE_VISIBLE_AT, DT_NOBEGIN));
}

TimestampTz
store_next_due(const char *task_hub, TimestampTz after)
{
	Datum		values[2] = {TEXT_DATUM(task_hub), TimestampTzGetDatum(after)};

	if (!TIMESTAMP_IS_NOBEGIN(after))
		return query_time(&next_due_after, values);
	return Min(Min(store_next_turn(task_hub), store_next_activity(task_hub)), low_water_next_full_look(task_hub));
}

/* Purges what finished longer ago than durable.retention. */
static int64
purge_expired(const char *task_hub, TimestampTz before)
{
	PurgeFilter filter;

	filter.finished_before = before;
	filter.created_before = DT_NOEND;
	memset(filter.statuses, true, sizeof(filter.statuses));
	return store_purge_finished(task_hub, &filter, PURGED_PER_SWEEP);
}

int64
store_sweep_hub(const char *task_hub)
{
	TimestampTz now = clock_now();
	Datum		orphans[2] = {TEXT_DATUM(task_hub), TimestampTzGetDatum(now - 60 * USECS_PER_SEC)};
	int64		removed = (int64) store_execute_once(&drop_orphans, orphans);

	if (setting_retention >= 0)
		removed += purge_expired(task_hub, now - setting_retention * USECS_PER_SEC);
	return removed;
}
