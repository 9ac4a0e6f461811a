/*
 * inbox_store.c
 *		Sending messages, and what clients do to instances with them.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "commands/sequence.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "core/decisions.h"
#include "points.h"
#include "store/direct_rows.h"
#include "store/inbox_store.h"
#include "store/store.h"
#include "wake.h"

enum
{
	C_INSTANCE_ID, C_VISIBLE_AT, C_TIMESTAMP, C_FIRE_AT, C_EXECUTION_ID, C_TASK_ID, C_EVENT_TYPE, C_RECURSE,
	C_NAME, C_PAYLOAD, C_FAILURE, N_COLUMNS
};

static const Oid column_types[N_COLUMNS] = {
	TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TIMESTAMPTZOID, UUIDOID, INT4OID, INT2OID, BOOLOID,
	TEXTOID, JSONBOID, JSONBOID
};

/* Where the table has them. */
static const AttrNumber table_columns[N_COLUMNS] = {
	MESSAGE_INSTANCE_ID, MESSAGE_VISIBLE_AT, MESSAGE_TIMESTAMP, MESSAGE_FIRE_AT, MESSAGE_EXECUTION_ID, MESSAGE_TASK_ID,
	MESSAGE_EVENT_TYPE, MESSAGE_RECURSE, MESSAGE_NAME, MESSAGE_PAYLOAD, MESSAGE_FAILURE
};
const DirectTable direct_inbox = {"inbox", "inbox_pkey", N_MESSAGE_ATTRIBUTES};

struct MessageBuffer
{
	RowBuffer  *rows;
	List	   *more;			/* of bytea *, for each row; NIL: nothing is packed with any */
};

/* A recursive termination also goes to finished instances: their children may be running. */
static StoreStatement insert_messages = {
	"INSERT INTO durable_store.inbox (task_hub, instance_id, visible_at, \"timestamp\", fire_at, execution_id, task_id,"
	" event_type, recurse, name, payload, failure)"
	" SELECT $1, u.instance_id, greatest(u.visible_at, CASE WHEN i.status = 'pending' THEN i.scheduled_start_at END),"
	" u.\"timestamp\", u.fire_at, u.execution_id, u.task_id, u.event_type, u.recurse, u.name, u.payload, u.failure"
	" FROM ROWS FROM (pg_catalog.unnest($2), pg_catalog.unnest($3), pg_catalog.unnest($4), pg_catalog.unnest($5),"
	" pg_catalog.unnest($6), pg_catalog.unnest($7), pg_catalog.unnest($8), pg_catalog.unnest($9), pg_catalog.unnest($10),"
	" pg_catalog.unnest($11), pg_catalog.unnest($12)) WITH ORDINALITY"
	" u(instance_id, visible_at, \"timestamp\", fire_at, execution_id, task_id, event_type, recurse, name, payload, failure, n)"
	" CROSS JOIN LATERAL (SELECT i.status, i.scheduled_start_at, i.completed_at FROM durable_store.instances i"
	"  WHERE i.task_hub = $1 AND i.instance_id = u.instance_id OFFSET 0) i"
	" WHERE i.completed_at IS NULL OR u.recurse"
	" ORDER BY u.n",
	12, {TEXTOID, TEXTARRAYOID, TIMESTAMPTZARRAYOID, TIMESTAMPTZARRAYOID, TIMESTAMPTZARRAYOID, UUIDARRAYOID, INT4ARRAYOID,
		INT2ARRAYOID, BOOLARRAYOID, TEXTARRAYOID, JSONBARRAYOID, JSONBARRAYOID}
};

static StoreStatement insert_message = {
	"INSERT INTO durable_store.inbox (task_hub, instance_id, visible_at, \"timestamp\", fire_at, execution_id, task_id,"
	" event_type, recurse, name, payload, failure)"
	" SELECT $1, $2, greatest($3, CASE WHEN i.status = 'pending' THEN i.scheduled_start_at END),"
	" $4, $5, $6, $7, $8, $9, $10, $11, $12"
	" FROM durable_store.instances i WHERE i.task_hub = $1 AND i.instance_id = $2 AND (i.completed_at IS NULL OR $9)",
	12, {TEXTOID, TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TIMESTAMPTZOID, UUIDOID, INT4OID,
		INT2OID, BOOLOID, TEXTOID, JSONBOID, JSONBOID}
};

/* The same for a client: the instance stays until its end. */
static StoreStatement deliver_message = {
	"INSERT INTO durable_store.inbox (task_hub, instance_id, visible_at, \"timestamp\", fire_at, execution_id, task_id,"
	" event_type, recurse, name, payload, failure)"
	" SELECT $1, $2, greatest($3, CASE WHEN i.status = 'pending' THEN i.scheduled_start_at END),"
	" $4, $5, $6, $7, $8, $9, $10, $11, $12"
	" FROM (SELECT i.status, i.scheduled_start_at, i.completed_at FROM durable_store.instances i"
	"  WHERE i.task_hub = $1 AND i.instance_id = $2 FOR KEY SHARE) i WHERE i.completed_at IS NULL OR $9",
	12, {TEXTOID, TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TIMESTAMPTZOID, UUIDOID, INT4OID,
		INT2OID, BOOLOID, TEXTOID, JSONBOID, JSONBOID}
};

static StoreStatement terminate_children = {
	"INSERT INTO durable_store.inbox (task_hub, instance_id, visible_at, \"timestamp\", event_type, recurse, payload)"
	" SELECT $1, c.instance_id, $4, $4, 3, true, $3"
	" FROM durable_store.instances c WHERE c.task_hub = $1 AND c.parent_instance_id = $2 AND c.parent_execution_id = $5",
	5, {TEXTOID, TEXTOID, JSONBOID, TIMESTAMPTZOID, UUIDOID}
};

static StoreStatement find_recipient = {
	"SELECT i.status FROM durable_store.instances i WHERE i.task_hub = $1 AND i.instance_id = $2 FOR KEY SHARE",
	2, {TEXTOID, TEXTOID}
};

static StoreStatement lock_pending = {
	"SELECT i.parent_instance_id, i.parent_execution_id, i.parent_task_id FROM durable_store.instances i"
	" WHERE i.task_hub = $1 AND i.instance_id = $2 AND i.status = 'pending' FOR NO KEY UPDATE SKIP LOCKED",
	2, {TEXTOID, TEXTOID}
};

static StoreStatement end_pending = {
	"WITH dropped AS (DELETE FROM durable_store.inbox m WHERE m.ctid = ANY (" MESSAGES_OF("$1", "$2") ") AND " OF_HUB("m", "$1") ")"
	" UPDATE durable_store.instances i SET status = 'terminated', output = $3, completed_at = $4, updated_at = $4"
	" WHERE i.task_hub = $1 AND i.instance_id = $2",
	4, {TEXTOID, TEXTOID, JSONBOID, TIMESTAMPTZOID}
};

MessageBuffer *
message_buffer_make(void)
{
	MessageBuffer *buffer = palloc0(sizeof(MessageBuffer));

	buffer->rows = row_buffer_make(N_COLUMNS, column_types);
	return buffer;
}

void
message_buffer_add(MessageBuffer *buffer, const char *instance_id, const HistoryEvent *event)
{
	RowBuffer  *rows = buffer->rows;

	row_buffer_add(rows);
	row_buffer_set_text(rows, C_INSTANCE_ID, instance_id);
	row_buffer_set(rows, C_VISIBLE_AT, TimestampTzGetDatum(event->visible_at));
	row_buffer_set(rows, C_TIMESTAMP, TimestampTzGetDatum(event->timestamp));
	if (!TIMESTAMP_IS_NOBEGIN(event->fire_at))
		row_buffer_set(rows, C_FIRE_AT, TimestampTzGetDatum(event->fire_at));
	if (event->has_execution_id)
		row_buffer_set(rows, C_EXECUTION_ID, UUIDPGetDatum(&event->execution_id));
	if (event->task_id != NO_TASK_ID)
		row_buffer_set(rows, C_TASK_ID, Int32GetDatum(event->task_id));
	row_buffer_set(rows, C_EVENT_TYPE, Int16GetDatum((int16) event->type));
	row_buffer_set(rows, C_RECURSE, BoolGetDatum(event->recurse));
	row_buffer_set_text(rows, C_NAME, event->name);
	row_buffer_set_jsonb(rows, C_PAYLOAD, event->payload);
	row_buffer_set_jsonb(rows, C_FAILURE, event->failure);
}

void
message_buffer_add_packed(MessageBuffer *buffer, const char *instance_id, const HistoryEvent *event, bytea *more)
{
	Assert(list_length(buffer->more) == buffer->rows->n_rows);
	message_buffer_add(buffer, instance_id, event);
	buffer->more = lappend(buffer->more, more);
}

/* When the first of them makes a turn. */
static TimestampTz
first_visible(const RowBuffer *rows)
{
	TimestampTz first = DT_NOEND;

	for (int i = 0; i < rows->n_rows; i++)
		first = Min(first, DatumGetTimestampTz(rows->values[C_VISIBLE_AT][i]));
	return first;
}

void
store_send_messages(const char *task_hub, const MessageBuffer *buffer)
{
	StoreScope	scope;

	if (buffer->rows->n_rows == 0)
		return;
	store_open(&scope);
	store_execute_rows(&insert_message, &insert_messages, task_hub, buffer->rows);
	store_close(&scope);
	DURABLE_POINT("message.inserted");
	wake_hub_when_due_at_commit(task_hub, buffer->rows->n_rows, first_visible(buffer->rows));
}

/* The columns of the table but task_hub. */
enum
{
	T_INSTANCE_ID, T_MESSAGE_ID, T_FIRST_OTHER, T_MORE = N_COLUMNS + 1, N_TABLE_COLUMNS
};

static const Oid table_types[N_TABLE_COLUMNS] = {
	TEXTOID, INT8OID, TIMESTAMPTZOID, TIMESTAMPTZOID, TIMESTAMPTZOID, UUIDOID, INT4OID, INT2OID, BOOLOID,
	TEXTOID, JSONBOID, JSONBOID, BYTEAOID
};

static StoreInsert insert_as_is = {
	"inbox",
	"instance_id, message_id, visible_at, \"timestamp\", fire_at, execution_id, task_id, event_type, recurse, name, payload, failure, more",
	&direct_inbox
};

static int64
next_message_id(void)
{
	Oid			numbers = get_relname_relid("message_id", get_namespace_oid("durable_store", false));

	return nextval_internal(numbers, false);
}

/* A row of the table: that of the buffer, with a number. */
static void
add_numbered(RowBuffer *numbered, const RowBuffer *rows, int n)
{
	row_buffer_add(numbered);
	for (int column = 0; column < rows->n_columns; column++)
		if (!rows->nulls[column][n])
			row_buffer_set(numbered, column == C_INSTANCE_ID ? T_INSTANCE_ID : T_FIRST_OTHER - 1 + column, rows->values[column][n]);
	row_buffer_set(numbered, T_MESSAGE_ID, Int64GetDatum(next_message_id()));
}

void
store_insert_messages(const char *task_hub, const MessageBuffer *buffer)
{
	RowBuffer  *numbered = row_buffer_make(N_TABLE_COLUMNS, table_types);

	for (int i = 0; i < buffer->rows->n_rows; i++)
	{
		const bytea *more = buffer->more == NIL ? NULL : list_nth(buffer->more, i);

		add_numbered(numbered, buffer->rows, i);
		if (more != NULL)
			row_buffer_set(numbered, T_MORE, PointerGetDatum(more));
	}
	store_insert(&insert_as_is, task_hub, numbered);
}

DirectInsert *
message_insert_begin(void)
{
	return direct_insert_begin(&direct_inbox, false);
}

void
message_insert_run(DirectInsert *insert, const char *task_hub, const MessageBuffer *message)
{
	direct_insert_set_row(insert, task_hub, message->rows, table_columns);
	direct_insert_set(insert, MESSAGE_ID, Int64GetDatum(next_message_id()));
	(void) direct_insert_run(insert);
}

/* Does what deliver_message does, to an instance that has not finished; nothing is visible before its start. */
static bool
insert_for(const DirectLock *recipient, const char *task_hub, const MessageBuffer *message)
{
	DirectInsert *insert = direct_lock_value(recipient, INSTANCE_COMPLETED_AT) ? NULL : message_insert_begin();
	TimestampTz visible_at = DatumGetTimestampTz(message->rows->values[C_VISIBLE_AT][0]);
	TimestampTz start_at = DatumGetTimestampTz(direct_lock_value(recipient, INSTANCE_SCHEDULED_START_AT));

	if (insert == NULL)
		return false;
	if (start_at > visible_at && strcmp(TextDatumGetCString(direct_lock_value(recipient, INSTANCE_STATUS)), "pending") == 0)
		row_buffer_set(message->rows, C_VISIBLE_AT, TimestampTzGetDatum(start_at));
	message_insert_run(insert, task_hub, message);
	direct_insert_end(insert);
	return true;
}

static bool
deliver_directly(const char *task_hub, const char *instance_id, const MessageBuffer *message)
{
	DirectLock	recipient;
	bool		delivered;

	if (!direct_share_instance(&recipient, task_hub, instance_id))
		return false;
	delivered = insert_for(&recipient, task_hub, message);
	direct_lock_end(&recipient);
	return delivered;
}

static bool
deliver_by_statement(const char *task_hub, const MessageBuffer *message)
{
	StoreScope	scope;
	bool		delivered;

	store_open(&scope);
	delivered = store_execute_row(&deliver_message, task_hub, message->rows) > 0;
	store_close(&scope);
	return delivered;
}

bool
store_deliver(const char *task_hub, const char *instance_id, const HistoryEvent *event)
{
	MessageBuffer *message = message_buffer_make();
	bool		delivered;

	message_buffer_add(message, instance_id, event);
	delivered = deliver_directly(task_hub, instance_id, message) || deliver_by_statement(task_hub, message);
	DURABLE_POINT("message.inserted");
	if (delivered)
		wake_hub_when_due_at_commit(task_hub, 1, event->visible_at);
	return delivered;
}

void
store_terminate_children(const char *task_hub, const char *instance_id, const pg_uuid_t *execution_id,
						 Jsonb *reason, TimestampTz now)
{
	Datum		values[5] = {TEXT_DATUM(task_hub), TEXT_DATUM(instance_id),
	PointerGetDatum(reason), TimestampTzGetDatum(now), UUIDPGetDatum(execution_id)};
	StoreScope	scope;
	uint64		sent;

	store_open(&scope);
	sent = store_execute(&terminate_children, values, reason ? NULL : "  n  ");
	store_close(&scope);
	if (sent > 0)
		wake_hub_at_commit(task_hub, (int) sent);
}

bool
store_find_recipient(const char *task_hub, const char *instance_id, RuntimeStatus *status)
{
	Datum		values[2] = {TEXT_DATUM(task_hub), TEXT_DATUM(instance_id)};
	StoreScope	scope;
	bool		found;

	store_open(&scope);
	found = store_execute(&find_recipient, values, NULL) > 0;
	if (found)
	{
		Row			row = store_row(&scope, 0);

		(void) runtime_status_from_name(row_text(&row, 1), status);
	}
	store_close(&scope);
	return found;
}

/* Tells the parent of an instance that ended before it began. */
static void
answer_parent_of(const char *task_hub, const Row *row, Jsonb *failure, TimestampTz now)
{
	HistoryEvent *answer;
	MessageBuffer *messages;

	if (row_is_null(row, 1))
		return;
	answer = history_event_make(EVENT_SUBORCHESTRATION_FAILED, now);
	answer->task_id = row_int32(row, 3);
	answer->failure = failure;
	answer->visible_at = now;
	answer->has_execution_id = row_uuid(row, 2, &answer->execution_id);
	messages = message_buffer_make();
	message_buffer_add(messages, row_text(row, 1), answer);
	store_send_messages(task_hub, messages);
}

bool
store_terminate_pending(const char *task_hub, const char *instance_id, Jsonb *reason, TimestampTz now)
{
	Datum		values[4] = {TEXT_DATUM(task_hub), TEXT_DATUM(instance_id),
	PointerGetDatum(reason), TimestampTzGetDatum(now)};
	StoreScope	scope;
	bool		found;

	store_open(&scope);
	found = store_execute(&lock_pending, values, NULL) > 0;
	if (found)
	{
		Row			parent = store_row(&scope, 0);

		answer_parent_of(task_hub, &parent, termination_failure(reason), now);
		store_execute(&end_pending, values, reason ? NULL : "  n ");
	}
	store_close(&scope);
	if (found)
	{
		wake_waiters_at_commit(task_hub, instance_id);
		wake_hub_at_commit(task_hub, 1);	/* if this is rolled back the instance is free again */
	}
	return found;
}
