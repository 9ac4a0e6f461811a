/*
 * instance_store.c
 *		Fetching instances: see instance_store.h.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "core/history_pack.h"
#include "core/json.h"
#include "rests.h"
#include "store/activity_store.h"
#include "store/direct_rows.h"
#include "store/hub_store.h"
#include "store/inbox_store.h"
#include "store/instance_store.h"
#include "store/known_histories.h"
#include "store/low_water.h"
#include "store/store.h"
#include "store/string_set.h"

/*
 * Rows are read without statements where it goes (direct_rows.h). Statements
 * have the columns of the tables in their order, too, and after them their place.
 */
#define INSTANCE_COLUMNS \
	"i.task_hub, i.instance_id, i.execution_id, i.code, i.generation, i.created_at, i.updated_at, i.scheduled_start_at, i.completed_at," \
	" i.turn, i.last_seq, i.parent_task_id, i.parent_execution_id, i.notify, i.status, i.name, i.function, i.version," \
	" i.parent_instance_id, i.trace_parent, i.waiting_events, i.settings, i.tags, i.input, i.output, i.failure, i.custom_status, i.ctid"

/*
 * Joins are written so that they have one plan only, the rows to look for
 * first and an index probe for each: a lateral subquery with OFFSET 0, or a
 * locking one, is not turned around. While tables are small, or were when
 * they were last analyzed, the planner would rather read all of a hub.
 */

/*
 * The instances of the first $3 visible messages, the one that waits longest
 * first; none if the hub is not to be run by this session's user.
 */
#define FIND_READY(condition) \
	"SELECT b.instance_id FROM durable_store.inbox b" \
	" WHERE b.task_hub = $1 AND b.visible_at BETWEEN $5 AND $2 AND (" RUNNABLE_HUB("$1", "$4") ")" condition \
	" ORDER BY b.visible_at LIMIT $3"

static StoreStatement find_ready = {
	FIND_READY(""), 5, {TEXTOID, TIMESTAMPTZOID, INT8OID, OIDOID, TIMESTAMPTZOID}
};

/* The same but for a few, which others have in hand: the answers of a fan-out are thousands of one instance. */
static StoreStatement find_ready_but_some = {
	FIND_READY(" AND b.instance_id <> ALL ($6)"), 6, {TEXTOID, TIMESTAMPTZOID, INT8OID, OIDOID, TIMESTAMPTZOID, TEXTARRAYOID}
};

/* What max_starts_per_second limits: ExecutionStarted and TimerFired. */
#define STARTS "ANY ('{0,11}'::pg_catalog.int2[])"

/* Of the starts so many are looked at: more than workers have in hand, who take them in order. */
#define STARTS_LOOKED_AT "1000"

/*
 * The same with a limit on starts ($5), which are locked at once, so that it
 * counts those that nobody holds. The other messages are behind all that wait
 * to be started: they are looked for from a time ($6) on.
 */
static StoreStatement find_ready_limited = {
	"SELECT m.instance_id, m.is_start FROM ("
	" (SELECT b.instance_id, b.visible_at, true AS is_start"
	"  FROM (SELECT b.instance_id, b.visible_at FROM durable_store.inbox b"
	"   WHERE b.task_hub = $1 AND b.visible_at <= $2 AND b.event_type = " STARTS " AND (" RUNNABLE_HUB("$1", "$4") ")"
	"   ORDER BY b.visible_at LIMIT " STARTS_LOOKED_AT ") b"
	"  CROSS JOIN LATERAL (SELECT FROM durable_store.instances i"
	"   WHERE i.task_hub = $1 AND i.instance_id = b.instance_id FOR NO KEY UPDATE SKIP LOCKED) i"
	"  LIMIT $5)"
	" UNION ALL"
	" (SELECT b.instance_id, b.visible_at, false FROM durable_store.inbox b"
	"  WHERE b.task_hub = $1 AND b.visible_at BETWEEN $6 AND $2 AND NOT b.event_type = " STARTS
	"   AND (" RUNNABLE_HUB("$1", "$4") ")"
	"  ORDER BY b.visible_at LIMIT $3)) m"
	" ORDER BY m.visible_at",
	6, {TEXTOID, TIMESTAMPTZOID, INT8OID, OIDOID, INT8OID, TIMESTAMPTZOID}
};

/* The first $3 of them that nobody holds, in their order; no ORDER BY, which would lock all of them first. */
static StoreStatement lock_instances = {
	"SELECT i.* FROM pg_catalog.unnest($2) u(instance_id)"
	" CROSS JOIN LATERAL (SELECT " INSTANCE_COLUMNS " FROM durable_store.instances i"
	"  WHERE i.task_hub = $1 AND i.instance_id = u.instance_id FOR NO KEY UPDATE SKIP LOCKED) i"
	" LIMIT $3",
	3, {TEXTOID, TEXTARRAYOID, INT8OID}
};

static StoreStatement lock_instance = {
	"SELECT " INSTANCE_COLUMNS
	" FROM durable_store.instances i"
	" WHERE i.task_hub = $1 AND i.instance_id = $2"
	" FOR NO KEY UPDATE SKIP LOCKED",
	2, {TEXTOID, TEXTOID}
};

/* In the place of the task hub is the number of the instance. */
#define MESSAGE_COLUMNS \
	"m.instance_id, m.message_id, m.visible_at, m.\"timestamp\", m.fire_at, m.execution_id, m.task_id, m.event_type," \
	" m.recurse, m.name, m.payload, m.failure, m.more, m.ctid"

/*
 * Of an instance that has its turn all messages are read but timers that are
 * not due: one that was put off must not lose its place, nor come without
 * what was put off with it. The order is that in which things happened.
 */
#define IS_READABLE(now) "(m.visible_at <= " now " OR m.event_type <> 11)"
#define MESSAGE_ORDER "coalesce(m.fire_at, m.\"timestamp\"), m.message_id"

static StoreStatement read_messages_of_one = {
	"SELECT 1::bigint, m.* FROM (SELECT " MESSAGE_COLUMNS " FROM durable_store.inbox m"
	"  WHERE m.task_hub = $1 AND m.instance_id = $2 AND " IS_READABLE("$3") " ORDER BY m.message_id OFFSET 0) m"
	" ORDER BY " MESSAGE_ORDER,
	3, {TEXTOID, TEXTOID, TIMESTAMPTZOID}
};

/* A statement of its own, after the lock: in one statement with it, messages consumed meanwhile would be seen. */
static StoreStatement read_messages = {
	"SELECT u.n, m.* FROM pg_catalog.unnest($2) WITH ORDINALITY u(instance_id, n)"
	" CROSS JOIN LATERAL (SELECT " MESSAGE_COLUMNS " FROM durable_store.inbox m"
	"  WHERE m.task_hub = $1 AND m.instance_id = u.instance_id AND " IS_READABLE("$3") " ORDER BY m.message_id OFFSET 0) m"
	" ORDER BY u.n, " MESSAGE_ORDER,
	3, {TEXTOID, TEXTARRAYOID, TIMESTAMPTZOID}
};

#define HISTORY_COLUMNS_WITH(payload, tags) \
	"h.instance_id, h.generation, h.seq, h.turn, h.turn_at, h.\"timestamp\", h.fire_at, h.event_id, h.task_id, h.event_type," \
	" h.opens_turn, h.closes_turn, h.name, h.version, h.target_instance_id, " payload ", h.failure, " tags ", h.retry, h.more"

/* Inputs of what was scheduled are not needed for replay: see history_needs_payload(). */
#define HISTORY_COLUMNS \
	HISTORY_COLUMNS_WITH("CASE WHEN h.event_type <> ALL ('{4,7,10,14}'::pg_catalog.int2[]) THEN h.payload END", \
						 "CASE WHEN h.event_type = ANY ('{3,7}'::pg_catalog.int2[]) THEN h.tags END")

static StoreStatement read_history_of_one = {
	"SELECT 1::bigint, " HISTORY_COLUMNS " FROM durable_store.history h"
	" WHERE h.task_hub = $1 AND h.instance_id = $2 AND h.generation = $3 ORDER BY h.seq",
	3, {TEXTOID, TEXTOID, INT8OID}
};

static StoreStatement read_history = {
	"SELECT u.n, h.*"
	" FROM ROWS FROM (pg_catalog.unnest($2), pg_catalog.unnest($3)) WITH ORDINALITY u(instance_id, generation, n)"
	" CROSS JOIN LATERAL (SELECT " HISTORY_COLUMNS " FROM durable_store.history h"
	"  WHERE h.task_hub = $1 AND h.instance_id = u.instance_id AND h.generation = u.generation OFFSET 0) h"
	" ORDER BY u.n, h.seq",
	3, {TEXTOID, TEXTARRAYOID, INT8ARRAYOID}
};

/* For looking only: nothing is locked. */
static StoreStatement look_at_instances = {
	"SELECT i.* FROM pg_catalog.unnest($2) WITH ORDINALITY u(instance_id, n)"
	" CROSS JOIN LATERAL (SELECT " INSTANCE_COLUMNS " FROM durable_store.instances i"
	"  WHERE i.task_hub = $1 AND i.instance_id = u.instance_id OFFSET 0) i"
	" ORDER BY u.n",
	2, {TEXTOID, TEXTARRAYOID}
};

static StoreStatement read_whole_history = {
	"SELECT 1::bigint, " HISTORY_COLUMNS_WITH("h.payload", "h.tags") " FROM durable_store.history h"
	" WHERE h.task_hub = $1 AND h.instance_id = $2 AND h.generation = $3 ORDER BY h.seq",
	3, {TEXTOID, TEXTOID, INT8OID}
};

static StoreStatement defer_messages = {
	"UPDATE durable_store.inbox m SET visible_at = $4"
	" WHERE m.ctid = ANY (" MESSAGES_OF("$1", "$2") ") AND " OF_HUB("m", "$1") " AND m.visible_at <= $3",
	4, {TEXTOID, TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID}
};

/* Only what was read: a termination that came meanwhile is to be seen. */
static StoreStatement put_off_messages = {
	"UPDATE durable_store.inbox m SET visible_at = $3 WHERE m.ctid = ANY ($2) AND " OF_HUB("m", "$1"),
	3, {TEXTOID, TIDARRAYOID, TIMESTAMPTZOID}
};

/* The code of an instance; its definition is read when it is needed. */
static const PinnedCode *
code_from_row(const Row *row, int column, const char *function)
{
	PinnedCode *code = palloc0(sizeof(PinnedCode));

	code->function = function;
	return row_uuid(row, column, &code->fingerprint) ? code : NULL;
}

/* Where a row is: of one that was read by a statement its last column says it. */
static void
place_of_row(const Row *row, int n_attributes, ItemPointer place)
{
	if (row->desc->natts > n_attributes)
		row_tid(row, n_attributes + 1, place);
	else
		*place = row->tuple->t_self;
}

/* The settings of an instance, which are mostly those of the one before (NULL: none), in the same memory. */
static void
read_settings(RuntimeState *state, const FetchedInstance *before)
{
	const Jsonb *json = before ? before->state->settings_json : NULL;

	if (json != NULL && state->settings_json != NULL && VARSIZE(json) == VARSIZE(state->settings_json) &&
		memcmp(json, state->settings_json, VARSIZE(json)) == 0)
		state->settings = before->state->settings;
	else
		instance_settings_read(state->settings_json, &state->settings);
}

/* A row of instances; "before": one that was fetched before it. */
static FetchedInstance *
fetched_from_row(const char *task_hub, const Row *row, const FetchedInstance *before)
{
	MemoryContext old = MemoryContextSwitchTo(row->context);
	FetchedInstance *fetched = palloc0(sizeof(FetchedInstance));
	RuntimeState *state = palloc0(sizeof(RuntimeState));

	fetched->state = state;
	state->task_hub = task_hub;
	state->instance_id = row_text(row, INSTANCE_ID);
	(void) row_uuid(row, INSTANCE_EXECUTION_ID, &state->execution_id);
	state->generation = row_int64(row, INSTANCE_GENERATION);
	state->turn = fetched->turn = row_int32(row, INSTANCE_TURN);
	state->last_seq = row_int32(row, INSTANCE_LAST_SEQ);
	(void) runtime_status_from_name(row_text(row, INSTANCE_STATUS), &state->status);
	state->name = row_text(row, INSTANCE_NAME);
	state->function = row_text(row, INSTANCE_FUNCTION);
	state->version = row_text(row, INSTANCE_VERSION);
	state->parent_instance_id = row_text(row, INSTANCE_PARENT_INSTANCE_ID);
	(void) row_uuid(row, INSTANCE_PARENT_EXECUTION_ID, &state->parent_execution_id);
	state->parent_task_id = row_int32(row, INSTANCE_PARENT_TASK_ID);
	state->notify = row_bool(row, INSTANCE_NOTIFY);
	state->settings_json = row_jsonb(row, INSTANCE_SETTINGS);
	state->tags = row_jsonb(row, INSTANCE_TAGS);
	state->input = row_jsonb(row, INSTANCE_INPUT);
	state->custom_status = row_jsonb(row, INSTANCE_CUSTOM_STATUS);
	state->trace_parent = row_text(row, INSTANCE_TRACE_PARENT);
	place_of_row(row, N_INSTANCE_ATTRIBUTES, &fetched->version.place);
	state->code = code_from_row(row, INSTANCE_CODE, state->function);
	read_settings(state, before);
	MemoryContextSwitchTo(old);
	return fetched;
}

/* Copies the rows of a lock statement; the last statement was one. */
static List *
fetched_from_result(const StoreScope *scope, const char *task_hub, uint64 rows)
{
	List	   *instances = NIL;

	for (uint64 i = 0; i < rows; i++)
	{
		Row			row = store_row(scope, i);
		FetchedInstance *fetched = fetched_from_row(task_hub, &row, instances ? llast(instances) : NULL);
		MemoryContext old = MemoryContextSwitchTo(scope->caller);

		instances = lappend(instances, fetched);
		MemoryContextSwitchTo(old);
	}
	return instances;
}

/*
 * Before this time no message was ready but starts, at the last look of this
 * process, which was at this hub. Who made it may have committed late: so it
 * is forgotten after a while.
 */
static char others_of[NAMEDATALEN];
static TimestampTz others_ready_from = DT_NOBEGIN;
static TimestampTz others_looked_for = DT_NOBEGIN;
#define LATE_COMMIT (5 * USECS_PER_SEC)

/* Keeps 100,000 instances that wait for their start from being read at each look. */
static void
note_other_messages(const StoreScope *scope, uint64 rows, TimestampTz now)
{
	for (uint64 i = 0; i < rows; i++)
	{
		Row			row = store_row(scope, i);

		if (!row_bool(&row, 2))
			return;
	}
	others_ready_from = now - LATE_COMMIT;
}

/* So many may be left out. */
#define MAX_LEFT_OUT 8

/* Executes find_ready; leaves out those (NULL: none) if they are few. Returns the number of rows. */
static uint64
find_any(const char *task_hub, Datum *values, RowBuffer *but, TimestampTz now)
{
	TimestampTz began = GetCurrentTimestamp();
	bool		leaves_out = but != NULL && but->n_rows <= MAX_LEFT_OUT;
	uint64		rows;

	values[4] = TimestampTzGetDatum(low_water(task_hub, QUEUE_INBOX));
	if (leaves_out)
		row_buffer_arrays(but, values + 5);
	rows = store_execute(leaves_out ? &find_ready_but_some : &find_ready, values, NULL);
	low_water_looked(task_hub, QUEUE_INBOX, began);
	return rows;
}

/* Executes find_ready_limited; returns the number of rows. */
static uint64
find_limited(const StoreScope *scope, const char *task_hub, Datum *values, TimestampTz now)
{
	uint64		rows;

	if (now - LATE_COMMIT > others_looked_for || strcmp(task_hub, others_of) != 0)
	{
		strlcpy(others_of, task_hub, NAMEDATALEN);
		others_ready_from = DT_NOBEGIN;
		others_looked_for = now;
	}
	values[5] = TimestampTzGetDatum(others_ready_from);
	rows = store_execute(&find_ready_limited, values, NULL);
	note_other_messages(scope, rows, now);
	return rows;
}

static void
add_id(RowBuffer *ids, StringSet *seen, char *id)
{
	if (!string_set_add(seen, id))
		return;
	row_buffer_add(ids);
	row_buffer_set_text(ids, 0, id);
}

/* Begins to look at the messages of the hub that are ready, in the order of their times. */
static bool
look_at_ready(DirectLook *look, const char *task_hub, TimestampTz now)
{
	ScanKeyData keys[3];

	direct_text_key(&keys[0], MESSAGE_TASK_HUB, TEXT_DATUM(task_hub));
	ScanKeyInit(&keys[1], MESSAGE_VISIBLE_AT, BTGreaterEqualStrategyNumber, F_TIMESTAMPTZ_GE,
				TimestampTzGetDatum(low_water(task_hub, QUEUE_INBOX)));
	ScanKeyInit(&keys[2], MESSAGE_VISIBLE_AT, BTLessEqualStrategyNumber, F_TIMESTAMPTZ_LE, TimestampTzGetDatum(now));
	return direct_look_begin(look, direct_inbox.name, "inbox_visible", GetTransactionSnapshot(), 3, keys);
}

/* So many messages are found without a statement, whose cost would not be shared by many instances. */
#define LITTLE 4

/* What find_ready does, if it finds so few; false: left to the statement. */
static bool
find_little(const char *task_hub, TimestampTz now, RowBuffer *ids, uint64 *looked_at)
{
	TimestampTz began = GetCurrentTimestamp();
	StringSet  *seen = string_set_make();
	DirectLook	look;
	bool		found = look_at_ready(&look, task_hub, now);
	bool		is_plain = direct_look_is_plain(&look, &direct_inbox);

	for (*looked_at = 0; is_plain && found && *looked_at < LITTLE; (*looked_at)++)
	{
		add_id(ids, seen, TextDatumGetCString(direct_look_value(&look, MESSAGE_INSTANCE_ID)));
		found = direct_look_next(&look);
	}
	direct_look_end(&look);
	low_water_looked(task_hub, QUEUE_INBOX, began);
	if (!is_plain || found)
		return false;
	if (*looked_at > 0 && !store_hub_is_runnable(task_hub, GetSessionUserId()))
		*looked_at = 0;
	return true;
}

/* The distinct instances among the first visible messages, in order, perhaps but some; *looked_at: how many messages were read. */
static RowBuffer *
find_ready_instances(const char *task_hub, TimestampTz now, int64 look_at, int max_starts, RowBuffer *but,
					 uint64 *looked_at)
{
	static const Oid types[] = {TEXTOID};
	Datum		values[6] = {TEXT_DATUM(task_hub), TimestampTzGetDatum(now), Int64GetDatum(look_at),
	ObjectIdGetDatum(GetSessionUserId()), Int64GetDatum(max_starts)};
	RowBuffer  *ids = row_buffer_make(1, types);
	StringSet  *seen = string_set_make();
	StoreScope	scope;

	if (max_starts < 0 && but == NULL && find_little(task_hub, now, ids, looked_at))
		return ids;
	ids->n_rows = 0;
	store_open(&scope);
	*looked_at = max_starts < 0 ? find_any(task_hub, values, but, now) : find_limited(&scope, task_hub, values, now);
	MemoryContextSwitchTo(scope.caller);
	for (uint64 i = 0; i < *looked_at; i++)
	{
		Row			row = store_row(&scope, i);

		add_id(ids, seen, row_text(&row, 1));
	}
	store_close(&scope);
	return ids;
}

static bool
is_answer(EventType type)
{
	return type == EVENT_TASK_COMPLETED || type == EVENT_TASK_FAILED ||
		type == EVENT_SUBORCHESTRATION_COMPLETED || type == EVENT_SUBORCHESTRATION_FAILED;
}

/* Has nothing come to an instance but answers? */
static bool
has_only_answers(const char *task_hub, const char *instance_id, TimestampTz now)
{
	DirectScan *scan = direct_scan_begin(&direct_inbox, AccessShareLock, 2);
	ScanKeyData keys[2];
	bool		only = scan != NULL;

	if (scan == NULL)
		return false;
	direct_instance_keys(keys, task_hub, instance_id);
	for (bool found = direct_scan_find(scan, keys); found && only; found = direct_scan_next(scan))
	{
		Row			row = direct_scan_row(scan, CurrentMemoryContext);

		only = is_answer((EventType) row_int16(&row, MESSAGE_EVENT_TYPE)) || row_time(&row, MESSAGE_VISIBLE_AT) > now;
	}
	direct_scan_end(scan);
	return only;
}

/* Those whose turn may not wait: answers may, for those that are still to come. */
static RowBuffer *
without_resting(const char *task_hub, const RowBuffer *ids, TimestampTz now)
{
	static const Oid types[] = {TEXTOID};
	RowBuffer  *others = row_buffer_make(1, types);

	for (int i = 0; i < ids->n_rows; i++)
	{
		const char *id = TextDatumGetCString(ids->values[0][i]);

		if (rest_lasts(task_hub, id) && store_has_activities(task_hub, id) && has_only_answers(task_hub, id, now))
			continue;
		row_buffer_add(others);
		row_buffer_set(others, 0, ids->values[0][i]);
	}
	return others;
}

/* What lock_instances does. False: left to statements. */
static bool
lock_directly(const char *task_hub, const RowBuffer *ids, int max_instances, List **instances)
{
	DirectScan *scan = direct_scan_begin(&direct_instances, RowShareLock, 2);
	ScanKeyData keys[2];

	if (scan == NULL)
		return false;
	direct_text_key(&keys[0], 1, TEXT_DATUM(task_hub));
	for (int i = 0; i < ids->n_rows && list_length(*instances) < max_instances; i++)
	{
		direct_text_key(&keys[1], 2, ids->values[0][i]);
		if (direct_scan_find(scan, keys) && direct_scan_lock(scan))
		{
			Row			row = direct_scan_row(scan, CurrentMemoryContext);

			FetchedInstance *fetched = fetched_from_row(task_hub, &row, *instances ? llast(*instances) : NULL);

			fetched->version.xmin = HeapTupleHeaderGetRawXmin(row.tuple->t_data);
			*instances = lappend(*instances, fetched);
		}
	}
	direct_scan_end(scan);
	return true;
}

static List *
lock_by_statement(const char *task_hub, RowBuffer *ids, int max_instances)
{
	Datum		values[3] = {TEXT_DATUM(task_hub), (Datum) 0, Int64GetDatum(max_instances)};
	bool		is_one = ids->n_rows == 1;
	StoreScope	scope;
	List	   *instances;

	if (is_one)
		values[1] = ids->values[0][0];
	else
		row_buffer_arrays(ids, &values[1]);
	store_open(&scope);
	instances = fetched_from_result(&scope, task_hub, store_execute(is_one ? &lock_instance : &lock_instances, values, NULL));
	store_close(&scope);
	return instances;
}

static List *
lock_found(const char *task_hub, RowBuffer *ids, int max_instances)
{
	List	   *instances = NIL;

	return lock_directly(task_hub, ids, max_instances, &instances) ? instances :
		lock_by_statement(task_hub, ids, max_instances);
}

/* The first ones are often in the hands of other workers. */
#define LOOK_PAST 32

/*
 * Locks instances, looking at ever more messages while all that were found
 * belong to instances that others hold, that rest, or that are gone.
 */
static List *
lock_ready_instances(const char *task_hub, TimestampTz now, int max_instances, int max_starts)
{
	int64		look_at = (int64) max_instances * 2 + LOOK_PAST;
	RowBuffer  *held = NULL;

	for (;; look_at *= 8)
	{
		uint64		looked_at;
		RowBuffer  *ids = find_ready_instances(task_hub, now, look_at, max_starts, held, &looked_at);
		List	   *instances;

		if (looked_at == 0)
			return NIL;
		instances = lock_found(task_hub, without_resting(task_hub, ids, now), max_instances);
		if (instances != NIL)
			return instances;
		if (looked_at < (uint64) look_at)
			return NIL;			/* that was all of them */
		held = ids;
	}
}

/* A row of inbox. */
static HistoryEvent *
message_from_row(const Row *row)
{
	MemoryContext old = MemoryContextSwitchTo(row->context);
	HistoryEvent *message = history_event_make((EventType) row_int16(row, MESSAGE_EVENT_TYPE), row_time(row, MESSAGE_TIMESTAMP));

	message->message_id = row_int64(row, MESSAGE_ID);
	message->visible_at = row_time(row, MESSAGE_VISIBLE_AT);
	message->fire_at = row_time(row, MESSAGE_FIRE_AT);
	message->has_execution_id = row_uuid(row, MESSAGE_EXECUTION_ID, &message->execution_id);
	if (!row_is_null(row, MESSAGE_TASK_ID))
		message->task_id = row_int32(row, MESSAGE_TASK_ID);
	message->recurse = row_bool(row, MESSAGE_RECURSE);
	message->name = row_text(row, MESSAGE_NAME);
	message->payload = row_jsonb(row, MESSAGE_PAYLOAD);
	message->failure = row_jsonb(row, MESSAGE_FAILURE);
	place_of_row(row, N_MESSAGE_ATTRIBUTES, &message->tid);
	MemoryContextSwitchTo(old);
	return message;
}

/* The message of a row, and the answers that are packed with it, which have no place of their own. */
static void
add_messages_of_row(const Row *row, FetchedInstance *fetched)
{
	HistoryEvent *first = message_from_row(row);
	bytea	   *more = row_bytea(row, MESSAGE_MORE);
	List	   *packed = NIL;
	ListCell   *lc;

	fetched->messages = lappend(fetched->messages, first);
	if (more != NULL && !history_unpack(more, &packed))
		fetched->state->damaged = true;
	foreach(lc, packed)
	{
		HistoryEvent *message = lfirst(lc);

		message->message_id = first->message_id;
		message->visible_at = first->visible_at;
		message->has_execution_id = first->has_execution_id;
		message->execution_id = first->execution_id;
		message->turn = 0;
		message->turn_at = 0;
		ItemPointerSetInvalid(&message->tid);
		fetched->messages = lappend(fetched->messages, message);
	}
}

/* Not the inputs of what was scheduled. */
bool
history_needs_payload(EventType type)
{
	return type != EVENT_TASK_SCHEDULED && type != EVENT_SUBORCHESTRATION_CREATED && type != EVENT_TIMER_CREATED &&
		type != EVENT_EVENT_SENT;
}

bool
history_needs_tags(EventType type)
{
	return type == EVENT_EXECUTION_TERMINATED || type == EVENT_SUBORCHESTRATION_CREATED;
}

/* A row of history; "whole": with what is not needed for replay. */
static HistoryEvent *
event_from_row(const Row *row, bool whole)
{
	MemoryContext old = MemoryContextSwitchTo(row->context);
	HistoryEvent *event = history_event_make((EventType) row_int16(row, HISTORY_EVENT_TYPE), row_time(row, HISTORY_TIMESTAMP));

	event->seq = row_int32(row, HISTORY_SEQ);
	event->turn = row_int32(row, HISTORY_TURN);
	event->turn_at = row_time(row, HISTORY_TURN_AT);
	event->fire_at = row_time(row, HISTORY_FIRE_AT);
	event->event_id = row_int32(row, HISTORY_EVENT_ID);
	if (!row_is_null(row, HISTORY_TASK_ID))
		event->task_id = row_int32(row, HISTORY_TASK_ID);
	event->name = row_text(row, HISTORY_NAME);
	event->version = row_text(row, HISTORY_VERSION);
	event->target_instance_id = row_text(row, HISTORY_TARGET);
	if (whole || history_needs_payload(event->type))
		event->payload = row_jsonb(row, HISTORY_PAYLOAD);
	event->failure = row_jsonb(row, HISTORY_FAILURE);
	if (whole || history_needs_tags(event->type))
		event->tags = row_jsonb(row, HISTORY_TAGS);
	event->retry = row_jsonb(row, HISTORY_RETRY);
	MemoryContextSwitchTo(old);
	return event;
}

/* Ids and generations of instances as arrays; of a single one as they are. */
static void
instance_keys(List *instances, Datum *ids, Datum *generations)
{
	static const Oid types[] = {TEXTOID, INT8OID};
	RowBuffer  *buffer = row_buffer_make(2, types);
	Datum		arrays[2];
	char		nulls[2];
	ListCell   *lc;

	foreach(lc, instances)
	{
		RuntimeState *state = ((FetchedInstance *) lfirst(lc))->state;

		row_buffer_add(buffer);
		row_buffer_set_text(buffer, 0, state->instance_id);
		row_buffer_set(buffer, 1, Int64GetDatum(state->generation));
	}
	if (list_length(instances) == 1)
		row_buffer_row(buffer, 0, arrays, nulls);
	else
		row_buffer_arrays(buffer, arrays);
	*ids = arrays[0];
	*generations = arrays[1];
}

static void
load_messages_by_statement(const char *task_hub, List *instances, TimestampTz now)
{
	Datum		values[3] = {TEXT_DATUM(task_hub), (Datum) 0, TimestampTzGetDatum(now)};
	Datum		generations;
	StoreScope	scope;
	uint64		rows;

	instance_keys(instances, &values[1], &generations);
	store_open(&scope);
	rows = store_execute(list_length(instances) == 1 ? &read_messages_of_one : &read_messages, values, NULL);
	MemoryContextSwitchTo(scope.caller);
	for (uint64 i = 0; i < rows; i++)
	{
		Row			row = store_row(&scope, i);
		FetchedInstance *fetched = list_nth(instances, (int) row_int64(&row, 1) - 1);

		add_messages_of_row(&row, fetched);
	}
	store_close(&scope);
}

/* What MESSAGE_ORDER says. */
static int
compare_messages(const ListCell *a, const ListCell *b)
{
	const HistoryEvent *first = lfirst(a);
	const HistoryEvent *second = lfirst(b);
	TimestampTz first_at = TIMESTAMP_IS_NOBEGIN(first->fire_at) ? first->timestamp : first->fire_at;
	TimestampTz second_at = TIMESTAMP_IS_NOBEGIN(second->fire_at) ? second->timestamp : second->fire_at;

	if (first_at != second_at)
		return first_at < second_at ? -1 : 1;
	return first->message_id < second->message_id ? -1 : first->message_id > second->message_id;
}

static void
load_messages_of(DirectScan *scan, ScanKey keys, FetchedInstance *fetched, TimestampTz now)
{
	direct_text_key(&keys[1], 2, TEXT_DATUM(fetched->state->instance_id));
	for (bool found = direct_scan_find(scan, keys); found; found = direct_scan_next(scan))
	{
		Row			row = direct_scan_row(scan, CurrentMemoryContext);

		if (row_time(&row, MESSAGE_VISIBLE_AT) <= now || row_int16(&row, MESSAGE_EVENT_TYPE) != EVENT_TIMER_FIRED)
			add_messages_of_row(&row, fetched);
	}
	if (list_length(fetched->messages) > 1)
		list_sort(fetched->messages, compare_messages);
}

/* After the lock, as with statements. */
static void
load_messages(const char *task_hub, List *instances, TimestampTz now)
{
	DirectScan *scan = direct_scan_begin(&direct_inbox, AccessShareLock, 2);
	ScanKeyData keys[2];
	ListCell   *lc;

	if (scan == NULL)
	{
		load_messages_by_statement(task_hub, instances, now);
		return;
	}
	direct_text_key(&keys[0], 1, TEXT_DATUM(task_hub));
	foreach(lc, instances)
		load_messages_of(scan, keys, lfirst(lc), now);
	direct_scan_end(scan);
}

/* Is it a termination that goes for the children, too? Of the tags that says one. */
static HistoryEvent *
completed_event(HistoryEvent *event)
{
	event->recurse = event->type == EVENT_EXECUTION_TERMINATED && json_has_key(event->tags, RECURSE_TAG);
	return event;
}

/* The events of a row: its own, and those that are packed with it. */
static void
add_events_of_row(const Row *row, RuntimeState *state, bool whole)
{
	bytea	   *more = row_bytea(row, HISTORY_MORE);
	List	   *packed = NIL;
	ListCell   *lc;

	state->past_events = lappend(state->past_events, completed_event(event_from_row(row, whole)));
	if (more != NULL && !history_unpack(more, &packed))
		state->damaged = true;
	foreach(lc, packed)
		state->past_events = lappend(state->past_events, completed_event(lfirst(lc)));
	state->turn_at = ((HistoryEvent *) llast(state->past_events))->turn_at;
}

/* Adds events to the instance that the first column of each row numbers. */
static void
add_events(const StoreScope *scope, List *instances, uint64 rows, bool whole)
{
	MemoryContext old = MemoryContextSwitchTo(scope->caller);

	for (uint64 i = 0; i < rows; i++)
	{
		Row			row = store_row(scope, i);
		FetchedInstance *fetched = list_nth(instances, (int) row_int64(&row, 1) - 1);

		add_events_of_row(&row, fetched->state, whole);
	}
	MemoryContextSwitchTo(old);
}

static void
load_history_by_statement(const char *task_hub, List *instances)
{
	Datum		values[3] = {TEXT_DATUM(task_hub)};
	StoreScope	scope;

	instance_keys(instances, &values[1], &values[2]);
	store_open(&scope);
	add_events(&scope, instances,
			   store_execute(list_length(instances) == 1 ? &read_history_of_one : &read_history, values, NULL), false);
	store_close(&scope);
}

static void
load_history_of(DirectScan *scan, ScanKey keys, RuntimeState *state)
{
	direct_text_key(&keys[1], 2, TEXT_DATUM(state->instance_id));
	ScanKeyEntryInitialize(&keys[2], 0, 3, BTEqualStrategyNumber, InvalidOid, InvalidOid, F_INT8EQ, Int64GetDatum(state->generation));
	for (bool found = direct_scan_find(scan, keys); found; found = direct_scan_next(scan))
	{
		Row			row = direct_scan_row(scan, CurrentMemoryContext);

		add_events_of_row(&row, state, false);
	}
}

static void
load_history(const char *task_hub, List *instances)
{
	DirectScan *scan = direct_scan_begin(&direct_history, AccessShareLock, 3);
	ScanKeyData keys[3];
	ListCell   *lc;

	if (scan == NULL)
	{
		load_history_by_statement(task_hub, instances);
		return;
	}
	direct_text_key(&keys[0], 1, TEXT_DATUM(task_hub));
	foreach(lc, instances)
		load_history_of(scan, keys, ((FetchedInstance *) lfirst(lc))->state);
	direct_scan_end(scan);
}

/* Has any of them had a turn already? By its number and by its status, lest a wrong one hides a history. */
static bool
have_history(List *instances)
{
	ListCell   *lc;

	foreach(lc, instances)
	{
		const RuntimeState *state = ((FetchedInstance *) lfirst(lc))->state;

		if (state->last_seq != 0 || state->status != STATUS_PENDING)
			return true;
	}
	return false;
}

/* Gives those their past events that are known; the others are to be loaded. */
static List *
with_unknown_history(List *instances)
{
	List	   *unknown = NIL;
	ListCell   *lc;

	foreach(lc, instances)
		if (!known_history_find(lfirst(lc)))
			unknown = lappend(unknown, lfirst(lc));
	return unknown;
}

static void
load_instances(const char *task_hub, List *instances, TimestampTz now)
{
	List	   *unknown;

	load_messages(task_hub, instances, now);
	unknown = have_history(instances) ? with_unknown_history(instances) : NIL;
	if (unknown != NIL)
		load_history(task_hub, unknown);
}

static void
set_rules(const char *task_hub, List *instances)
{
	const HubRules *rules;
	ListCell   *lc;

	if (instances == NIL)
		return;
	rules = store_hub_rules(task_hub);
	foreach(lc, instances)
		((FetchedInstance *) lfirst(lc))->state->rules = rules;
}

List *
store_fetch_instances(const char *task_hub, TimestampTz now, int max_instances, int max_starts)
{
	List	   *instances = lock_ready_instances(task_hub, now, max_instances, max_starts);

	if (instances != NIL)
		load_instances(task_hub, instances, now);
	set_rules(task_hub, instances);
	return instances;
}

static bool
has_start(const FetchedInstance *fetched)
{
	ListCell   *lc;

	foreach(lc, fetched->messages)
	{
		const HistoryEvent *message = lfirst(lc);

		if (message->type == EVENT_EXECUTION_STARTED || message->type == EVENT_TIMER_FIRED)
			return true;
	}
	return false;
}

int
store_count_starts(List *instances)
{
	int			count = 0;
	ListCell   *lc;

	foreach(lc, instances)
		if (has_start(lfirst(lc)))
			count++;
	return count;
}

FetchedInstance *
store_fetch_instance(const char *task_hub, const char *instance_id, TimestampTz now)
{
	static const Oid types[] = {TEXTOID};
	RowBuffer  *ids = row_buffer_make(1, types);
	List	   *instances;

	row_buffer_add(ids);
	row_buffer_set_text(ids, 0, instance_id);
	instances = lock_found(task_hub, ids, 1);
	if (instances != NIL)
		load_instances(task_hub, instances, now);
	set_rules(task_hub, instances);
	return instances == NIL ? NULL : linitial(instances);
}

void
store_defer_instance(const char *task_hub, const char *instance_id, TimestampTz now, TimestampTz until)
{
	Datum		values[4] = {TEXT_DATUM(task_hub), TEXT_DATUM(instance_id),
	TimestampTzGetDatum(now), TimestampTzGetDatum(until)};
	StoreScope	scope;

	store_open(&scope);
	store_execute(&defer_messages, values, NULL);
	store_close(&scope);
}

/* The messages that have made this turn; the others are put off already. */
static void
add_visible_messages(RowBuffer *tids, const FetchedInstance *instance, TimestampTz now)
{
	ListCell   *lc;

	foreach(lc, instance->messages)
	{
		HistoryEvent *message = lfirst(lc);

		if (message->visible_at > now || !ItemPointerIsValid(&message->tid))
			continue;
		row_buffer_add(tids);
		row_buffer_set(tids, 0, PointerGetDatum(&message->tid));
	}
}

void
store_put_off_instances(const char *task_hub, List *instances, TimestampTz now, TimestampTz until)
{
	static const Oid types[] = {TIDOID};
	RowBuffer  *tids = row_buffer_make(1, types);
	Datum		values[3] = {TEXT_DATUM(task_hub)};
	ListCell   *lc;

	foreach(lc, instances)
		add_visible_messages(tids, lfirst(lc), now);
	if (tids->n_rows == 0)
		return;
	row_buffer_arrays(tids, values + 1);
	values[2] = TimestampTzGetDatum(until);
	(void) store_execute_once(&put_off_messages, values);
}

/* ------------------------------------------------------------------------
 * Looking at what was recorded
 * ------------------------------------------------------------------------
 */

static List *
states_from_result(const StoreScope *scope, const char *task_hub, uint64 rows)
{
	List	   *instances = fetched_from_result(scope, task_hub, rows);

	for (uint64 i = 0; i < rows; i++)
	{
		Row			row = store_row(scope, i);
		RuntimeState *state = ((FetchedInstance *) list_nth(instances, i))->state;

		state->output = row_jsonb(&row, INSTANCE_OUTPUT);
		state->failure = row_jsonb(&row, INSTANCE_FAILURE);
	}
	return instances;
}

static void
look_up_histories(const StoreScope *scope, const char *task_hub, List *instances, bool whole, Snapshot snapshot)
{
	Datum		values[3] = {TEXT_DATUM(task_hub)};
	StoreStatement *statement = whole ? &read_whole_history :
		list_length(instances) == 1 ? &read_history_of_one : &read_history;

	instance_keys(instances, &values[1], &values[2]);
	add_events(scope, instances, store_query_with_snapshot(statement, values, NULL, snapshot), whole);
}

/* Instances and their histories as of one moment: one that runs may be on its way to its next generation. */
static List *
look_at(const char *task_hub, List *ids, bool whole)
{
	static const Oid types[] = {TEXTOID};
	RowBuffer  *buffer = row_buffer_make(1, types);
	Datum		values[2] = {TEXT_DATUM(task_hub)};
	Snapshot	snapshot = GetActiveSnapshot();
	StoreScope	scope;
	List	   *instances;
	ListCell   *lc;

	foreach(lc, ids)
	{
		row_buffer_add(buffer);
		row_buffer_set_text(buffer, 0, lfirst(lc));
	}
	row_buffer_arrays(buffer, values + 1);
	store_open(&scope);
	instances = states_from_result(&scope, task_hub, store_query_with_snapshot(&look_at_instances, values, NULL, snapshot));
	if (instances != NIL)
		look_up_histories(&scope, task_hub, instances, whole, snapshot);
	store_close(&scope);
	set_rules(task_hub, instances);
	return instances;
}

List *
store_look_at_histories(const char *task_hub, List *ids)
{
	List	   *states = NIL;
	ListCell   *lc;

	foreach(lc, look_at(task_hub, ids, false))
		states = lappend(states, ((FetchedInstance *) lfirst(lc))->state);
	return states;
}

RuntimeState *
store_look_at_whole_history(const char *task_hub, const char *instance_id)
{
	List	   *instances = look_at(task_hub, list_make1((char *) instance_id), true);

	return instances == NIL ? NULL : ((FetchedInstance *) linitial(instances))->state;
}
