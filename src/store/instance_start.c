/*
 * instance_start.c
 *		Making instances: see instance_start.h.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "core/decisions.h"
#include "core/json.h"
#include "store/direct_rows.h"
#include "store/inbox_store.h"
#include "store/instance_start.h"
#include "store/store.h"
#include "wake.h"

/* The columns of a new instance, in the order of the statements below. */
enum
{
	C_INSTANCE_ID, C_EXECUTION_ID, C_CREATED_AT, C_START_AT, C_NAME, C_FUNCTION, C_VERSION, C_INPUT, C_TAGS,
	C_SETTINGS, C_NOTIFY, C_TRACE_PARENT, C_PARENT_INSTANCE_ID, C_PARENT_EXECUTION_ID, C_PARENT_TASK_ID,
	C_STATUS, C_FAILURE, C_COMPLETED_AT, C_CODE, N_COLUMNS
};

static const Oid column_types[N_COLUMNS] = {
	TEXTOID, UUIDOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TEXTOID, TEXTOID, TEXTOID, JSONBOID, JSONBOID,
	JSONBOID, BOOLOID, TEXTOID, TEXTOID, UUIDOID, INT4OID,
	TEXTOID, JSONBOID, TIMESTAMPTZOID, UUIDOID
};

/* The same in the table. */
static const AttrNumber table_columns[N_COLUMNS] = {
	INSTANCE_ID, INSTANCE_EXECUTION_ID, INSTANCE_CREATED_AT, INSTANCE_SCHEDULED_START_AT, INSTANCE_NAME,
	INSTANCE_FUNCTION, INSTANCE_VERSION, INSTANCE_INPUT, INSTANCE_TAGS, INSTANCE_SETTINGS, INSTANCE_NOTIFY,
	INSTANCE_TRACE_PARENT, INSTANCE_PARENT_INSTANCE_ID, INSTANCE_PARENT_EXECUTION_ID, INSTANCE_PARENT_TASK_ID,
	INSTANCE_STATUS, INSTANCE_FAILURE, INSTANCE_COMPLETED_AT, INSTANCE_CODE
};

#define INSERT_INSTANCES \
	"INSERT INTO durable_store.instances (task_hub, updated_at, instance_id, execution_id, created_at," \
	" scheduled_start_at, name, function, version, input, tags, settings, notify, trace_parent," \
	" parent_instance_id, parent_execution_id, parent_task_id, status, failure, completed_at, code)"

/* Who starts one instance pays for one statement: its ExecutionStarted goes with it. */
#define VALUES_OF_ONE \
	" VALUES ($1, $4, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)"
#define INSERT_STARTED \
	" INSERT INTO durable_store.inbox (task_hub, instance_id, visible_at, \"timestamp\", execution_id, event_type, name)"
#define STARTED_OF_ONE "$1, $2, coalesce($5, $4), $4, $3, 0, $6"
#define TYPES_OF_ONE \
	{TEXTOID, TEXTOID, UUIDOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TEXTOID, TEXTOID, TEXTOID, \
		JSONBOID, JSONBOID, JSONBOID, BOOLOID, TEXTOID, TEXTOID, UUIDOID, INT4OID, TEXTOID, JSONBOID, TIMESTAMPTZOID, UUIDOID}

static StoreStatement start_instance = {
	"WITH created AS (" INSERT_INSTANCES VALUES_OF_ONE " ON CONFLICT DO NOTHING RETURNING execution_id)"
	INSERT_STARTED " SELECT " STARTED_OF_ONE " FROM created",
	20, TYPES_OF_ONE
};

static StoreStatement start_instance_with_new_id = {
	"WITH created AS (" INSERT_INSTANCES VALUES_OF_ONE ")" INSERT_STARTED " VALUES (" STARTED_OF_ONE ")",
	20, TYPES_OF_ONE
};

static StoreStatement insert_instances = {
	INSERT_INSTANCES " SELECT $1, u.created_at, u.*"
	" FROM ROWS FROM (pg_catalog.unnest($2), pg_catalog.unnest($3), pg_catalog.unnest($4), pg_catalog.unnest($5),"
	" pg_catalog.unnest($6), pg_catalog.unnest($7), pg_catalog.unnest($8), pg_catalog.unnest($9), pg_catalog.unnest($10),"
	" pg_catalog.unnest($11), pg_catalog.unnest($12), pg_catalog.unnest($13), pg_catalog.unnest($14), pg_catalog.unnest($15),"
	" pg_catalog.unnest($16), pg_catalog.unnest($17), pg_catalog.unnest($18), pg_catalog.unnest($19), pg_catalog.unnest($20))"
	" u(instance_id, execution_id, created_at)"
	" ON CONFLICT DO NOTHING RETURNING execution_id",
	20, {TEXTOID, TEXTARRAYOID, UUIDARRAYOID, TIMESTAMPTZARRAYOID, TIMESTAMPTZARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID,
		JSONBARRAYOID, JSONBARRAYOID, JSONBARRAYOID, BOOLARRAYOID, TEXTARRAYOID, TEXTARRAYOID, UUIDARRAYOID, INT4ARRAYOID,
		TEXTARRAYOID, JSONBARRAYOID, TIMESTAMPTZARRAYOID, UUIDARRAYOID}
};

/* Asking for them in the order of the index by status makes the planner use it. */
static StoreStatement count_unfinished = {
	"SELECT pg_catalog.count(*) FROM (SELECT FROM (VALUES ('pending'), ('running'), ('suspended')) s (status)"
	" CROSS JOIN LATERAL (SELECT FROM durable_store.instances i WHERE i.task_hub = $1 AND i.status = s.status"
	"  ORDER BY i.created_at LIMIT $2) i LIMIT $2) u",
	2, {TEXTOID, INT8OID}
};

static StoreStatement lock_existing = {
	"SELECT i.status, i.execution_id, i.parent_instance_id, i.parent_execution_id, i.parent_task_id"
	" FROM durable_store.instances i WHERE i.task_hub = $1 AND i.instance_id = $2 FOR NO KEY UPDATE",
	2, {TEXTOID, TEXTOID}
};

static StoreStatement read_start = {
	"SELECT i.status, i.name, i.function, i.version, i.input, i.tags, i.settings, i.notify, i.trace_parent"
	" FROM durable_store.instances i WHERE i.task_hub = $1 AND i.instance_id = $2",
	2, {TEXTOID, TEXTOID}
};

static StoreStatement replace_instance = {
	"UPDATE durable_store.instances i SET execution_id = $3, generation = i.generation + 1, created_at = $4, updated_at = $4,"
	" scheduled_start_at = $5, completed_at = $19, turn = 0, last_seq = 0, status = $17, name = $6,"
	" function = $7, version = $8, input = $9, tags = $10, settings = $11, notify = $12, trace_parent = $13,"
	" parent_instance_id = $14, parent_execution_id = $15, parent_task_id = $16,"
	" output = NULL, failure = $18, custom_status = NULL, waiting_events = NULL, code = $20"
	" WHERE i.task_hub = $1 AND i.instance_id = $2",
	20, {TEXTOID, TEXTOID, UUIDOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TEXTOID, TEXTOID, TEXTOID, JSONBOID, JSONBOID, JSONBOID,
		BOOLOID, TEXTOID, TEXTOID, UUIDOID, INT4OID, TEXTOID, JSONBOID, TIMESTAMPTZOID, UUIDOID}
};

static StoreStatement delete_history = {
	"DELETE FROM durable_store.history h WHERE h.task_hub = $1 AND h.instance_id = $2", 2, {TEXTOID, TEXTOID}
};

static StoreStatement delete_inbox = {
	"DELETE FROM durable_store.inbox m WHERE m.ctid = ANY (" MESSAGES_OF("$1", "$2") ") AND " OF_HUB("m", "$1"),
	2, {TEXTOID, TEXTOID}
};

/* One that is running is left: it holds its row, and its answer will find no execution. Should it have to run again, it is lost if its input was in the history. */
static StoreStatement delete_activities = {
	"DELETE FROM durable_store.activity_queue q USING (SELECT a.execution_id, a.task_id"
	" FROM durable_store.activity_queue a WHERE a.task_hub = $1 AND a.instance_id = $2 FOR UPDATE SKIP LOCKED) d"
	" WHERE q.task_hub = $1 AND q.instance_id = $2 AND q.execution_id = d.execution_id AND q.task_id = d.task_id",
	2, {TEXTOID, TEXTOID}
};

/* A new instance as a row. */
static void
fill_row(RowBuffer *buffer, const NewInstance *instance)
{
	row_buffer_add(buffer);
	row_buffer_set_text(buffer, C_INSTANCE_ID, instance->instance_id);
	row_buffer_set(buffer, C_EXECUTION_ID, UUIDPGetDatum(&instance->execution_id));
	row_buffer_set(buffer, C_CREATED_AT, TimestampTzGetDatum(instance->created_at));
	if (!TIMESTAMP_IS_NOBEGIN(instance->start_at))
		row_buffer_set(buffer, C_START_AT, TimestampTzGetDatum(instance->start_at));
	row_buffer_set_text(buffer, C_NAME, instance->name);
	row_buffer_set_text(buffer, C_FUNCTION, instance->function);
	row_buffer_set_text(buffer, C_VERSION, instance->version);
	row_buffer_set_jsonb(buffer, C_INPUT, instance->input);
	row_buffer_set_jsonb(buffer, C_TAGS, instance->tags);
	row_buffer_set_jsonb(buffer, C_SETTINGS, instance->settings);
	row_buffer_set(buffer, C_NOTIFY, BoolGetDatum(instance->notify));
	row_buffer_set_text(buffer, C_TRACE_PARENT, instance->trace_parent);
	row_buffer_set_text(buffer, C_STATUS, runtime_status_name(instance->failure ? STATUS_FAILED : STATUS_PENDING));
	if (instance->failure)
	{
		row_buffer_set_jsonb(buffer, C_FAILURE, instance->failure);
		row_buffer_set(buffer, C_COMPLETED_AT, TimestampTzGetDatum(instance->created_at));
	}
	if (instance->code)
		row_buffer_set(buffer, C_CODE, UUIDPGetDatum(&instance->code->fingerprint));
	if (instance->parent_instance_id == NULL)
		return;
	row_buffer_set_text(buffer, C_PARENT_INSTANCE_ID, instance->parent_instance_id);
	row_buffer_set(buffer, C_PARENT_EXECUTION_ID, UUIDPGetDatum(&instance->parent_execution_id));
	row_buffer_set(buffer, C_PARENT_TASK_ID, Int32GetDatum(instance->parent_task_id));
}

HistoryEvent *
make_start_event(const NewInstance *instance)
{
	HistoryEvent *started = history_event_make(EVENT_EXECUTION_STARTED, instance->created_at);

	started->name = instance->name;
	started->has_execution_id = true;
	started->execution_id = instance->execution_id;
	started->visible_at = TIMESTAMP_IS_NOBEGIN(instance->start_at) ? instance->created_at : instance->start_at;
	return started;
}

static void
send_start(MessageBuffer *messages, const NewInstance *instance)
{
	if (instance->failure == NULL)
		message_buffer_add(messages, instance->instance_id, make_start_event(instance));
}

/* Marks the instances whose execution id came back from the insert. */
static void
mark_created(const StoreScope *scope, List *instances, uint64 rows)
{
	ListCell   *lc = list_head(instances);

	for (uint64 i = 0; i < rows && lc != NULL; lc = lnext(instances, lc))
	{
		NewInstance *instance = lfirst(lc);
		Row			row = store_row(scope, i);
		pg_uuid_t	execution_id;

		(void) row_uuid(&row, 1, &execution_id);
		instance->created = memcmp(&execution_id, &instance->execution_id, sizeof(pg_uuid_t)) == 0;
		if (instance->created)
			i++;				/* rows come back in the order they went in */
	}
}

/* The columns that a new instance has and fill_row() leaves to the defaults of the table. */
static void
set_defaults(DirectInsert *insert, const NewInstance *instance)
{
	direct_insert_set(insert, INSTANCE_UPDATED_AT, TimestampTzGetDatum(instance->created_at));
	direct_insert_set(insert, INSTANCE_GENERATION, Int64GetDatum(1));
	direct_insert_set(insert, INSTANCE_TURN, Int32GetDatum(0));
	direct_insert_set(insert, INSTANCE_LAST_SEQ, Int32GetDatum(0));
}

/* False: nothing was inserted; the statement will, or finds that the id is taken. */
static bool
start_directly(const char *task_hub, const NewInstance *instance, const RowBuffer *row)
{
	DirectInsert *insert = direct_insert_begin(&direct_instances, !instance->has_new_id);
	DirectInsert *start = message_insert_begin();
	MessageBuffer *message = message_buffer_make();
	bool		started = false;

	if (insert != NULL && start != NULL)
	{
		set_defaults(insert, instance);
		direct_insert_set_row(insert, task_hub, row, table_columns);
		started = direct_insert_run(insert);
	}
	if (started)
	{
		send_start(message, instance);
		message_insert_run(start, task_hub, message);
	}
	direct_insert_end(start);
	direct_insert_end(insert);
	return started;
}

static bool
start_by_statement(const char *task_hub, const NewInstance *instance, const RowBuffer *row)
{
	StoreScope	scope;
	bool		started;

	store_open(&scope);
	started = store_execute_row(instance->has_new_id ? &start_instance_with_new_id : &start_instance, task_hub, row) > 0;
	store_close(&scope);
	return started;
}

/* One that has its code: the most frequent case. */
static void
insert_and_start(const char *task_hub, NewInstance *instance)
{
	RowBuffer  *row = row_buffer_make(N_COLUMNS, column_types);

	fill_row(row, instance);
	instance->created = start_directly(task_hub, instance, row) || start_by_statement(task_hub, instance, row);
	if (instance->created)
		wake_hub_when_due_at_commit(task_hub, 1, instance->start_at);
}

static void
insert_many(const char *task_hub, List *instances)
{
	RowBuffer  *buffer = row_buffer_make(N_COLUMNS, column_types);
	MessageBuffer *messages = message_buffer_make();
	Datum		values[N_COLUMNS + 1] = {TEXT_DATUM(task_hub)};
	StoreScope	scope;
	ListCell   *lc;

	foreach(lc, instances)
		fill_row(buffer, lfirst(lc));
	row_buffer_arrays(buffer, values + 1);
	store_open(&scope);
	mark_created(&scope, instances, store_execute(&insert_instances, values, NULL));
	store_close(&scope);
	foreach(lc, instances)
		if (((NewInstance *) lfirst(lc))->created)
			send_start(messages, lfirst(lc));
	store_send_messages(task_hub, messages);
}

void
store_insert_instances(const char *task_hub, List *instances)
{
	if (list_length(instances) == 1 && ((NewInstance *) linitial(instances))->failure == NULL)
		insert_and_start(task_hub, linitial(instances));
	else if (instances != NIL)
		insert_many(task_hub, instances);
}

int64
store_count_unfinished(const char *task_hub, int64 enough)
{
	Datum		values[2] = {TEXT_DATUM(task_hub), Int64GetDatum(enough)};
	StoreScope	scope;
	Row			row;
	int64		count;

	store_open(&scope);
	(void) store_execute(&count_unfinished, values, NULL);
	row = store_row(&scope, 0);
	count = row_int64(&row, 1);
	store_close(&scope);
	return count;
}

bool
store_lock_existing(const char *task_hub, const char *instance_id, ExistingInstance *existing)
{
	Datum		values[2] = {TEXT_DATUM(task_hub), TEXT_DATUM(instance_id)};
	StoreScope	scope;
	bool		found;

	store_open(&scope);
	found = store_execute(&lock_existing, values, NULL) > 0;
	if (found)
	{
		Row			row = store_row(&scope, 0);

		(void) runtime_status_from_name(row_text(&row, 1), &existing->status);
		(void) row_uuid(&row, 2, &existing->execution_id);
		existing->parent_instance_id = row_text(&row, 3);
		(void) row_uuid(&row, 4, &existing->parent_execution_id);
		existing->parent_task_id = row_int32(&row, 5);
	}
	store_close(&scope);
	return found;
}

static void
start_from_row(const Row *row, NewInstance *instance)
{
	instance->name = row_text(row, 2);
	instance->function = row_text(row, 3);
	instance->version = row_text(row, 4);
	instance->input = row_jsonb(row, 5);
	instance->tags = row_jsonb(row, 6);
	instance->settings = row_jsonb(row, 7);
	instance->notify = row_bool(row, 8);
	instance->trace_parent = row_text(row, 9);
}

bool
store_read_start(const char *task_hub, const char *instance_id, NewInstance *instance, RuntimeStatus *status)
{
	Datum		values[2] = {TEXT_DATUM(task_hub), TEXT_DATUM(instance_id)};
	StoreScope	scope;
	bool		found;

	store_open(&scope);
	found = store_execute(&read_start, values, NULL) > 0;
	if (found)
	{
		Row			row = store_row(&scope, 0);

		(void) runtime_status_from_name(row_text(&row, 1), status);
		start_from_row(&row, instance);
	}
	store_close(&scope);
	return found;
}

/* What terminating a live instance in its place means to its children and its parent. */
static void
announce_termination(const char *task_hub, const NewInstance *instance, const ExistingInstance *existing)
{
	Jsonb	   *reason = json_string("replaced by a new instance of the same id");
	MessageBuffer *messages;
	HistoryEvent *answer;

	store_terminate_children(task_hub, instance->instance_id, &existing->execution_id, reason, instance->created_at);
	if (existing->parent_instance_id == NULL)
		return;
	answer = history_event_make(EVENT_SUBORCHESTRATION_FAILED, instance->created_at);
	answer->task_id = existing->parent_task_id;
	answer->failure = termination_failure(reason);
	answer->has_execution_id = true;
	answer->execution_id = existing->parent_execution_id;
	answer->visible_at = instance->created_at;
	messages = message_buffer_make();
	message_buffer_add(messages, existing->parent_instance_id, answer);
	store_send_messages(task_hub, messages);
}

static void
delete_traces(const char *task_hub, const char *instance_id)
{
	Datum		key[2] = {TEXT_DATUM(task_hub), TEXT_DATUM(instance_id)};
	StoreScope	scope;

	store_open(&scope);
	store_execute(&delete_history, key, NULL);
	store_execute(&delete_inbox, key, NULL);
	store_execute(&delete_activities, key, NULL);
	store_close(&scope);
}

static void
overwrite_instance(const char *task_hub, const NewInstance *instance)
{
	RowBuffer  *row = row_buffer_make(N_COLUMNS, column_types);
	StoreScope	scope;

	fill_row(row, instance);
	store_open(&scope);
	store_execute_row(&replace_instance, task_hub, row);
	store_close(&scope);
}

void
store_replace_instance(const char *task_hub, NewInstance *instance, const ExistingInstance *existing)
{
	MessageBuffer *messages = message_buffer_make();

	if (!runtime_status_is_finished(existing->status))
		announce_termination(task_hub, instance, existing);
	delete_traces(task_hub, instance->instance_id);
	overwrite_instance(task_hub, instance);
	instance->created = true;
	send_start(messages, instance);
	store_send_messages(task_hub, messages);
	wake_waiters_at_commit(task_hub, instance->instance_id);
}
