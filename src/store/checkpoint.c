/*
 * checkpoint.c
 *		Writing a batch of turns with a handful of set-oriented statements.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/async.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/timestamp.h"

#include "core/failure.h"
#include "core/history_pack.h"
#include "core/json.h"
#include "ids.h"
#include "points.h"
#include "session.h"
#include "store/code_store.h"
#include "store/direct_rows.h"
#include "store/inbox_store.h"
#include "store/instance_start.h"
#include "store/instance_store.h"
#include "store/rewind_store.h"
#include "store/store.h"
#include "wake.h"

/* Activities of a turn are ordered in the queue by a microsecond each, but no more of them: looks at it begin a little while ago. */
#define LONGEST_ORDER 10000

/* Inputs of activities up to so many bytes are in the queue. */
#define SMALL_INPUT 256

/*
 * What was read and is locked is found again by its ctid, which stays as long
 * as the instance's lock is held: there is no cheaper plan, nor another one.
 */
static StoreStatement delete_messages = {
	"DELETE FROM durable_store.inbox m WHERE m.ctid = ANY ($2) AND " OF_HUB("m", "$1"),
	2, {TEXTOID, TIDARRAYOID}
};

enum
{
	H_INSTANCE_ID, H_GENERATION, H_SEQ, H_TURN, H_TURN_AT, H_TIMESTAMP, H_FIRE_AT, H_EVENT_ID, H_TASK_ID, H_EVENT_TYPE,
	H_OPENS, H_CLOSES, H_NAME, H_VERSION, H_TARGET, H_PAYLOAD, H_FAILURE, H_TAGS, H_RETRY, H_MORE, N_HISTORY_COLUMNS
};

static const Oid history_types[N_HISTORY_COLUMNS] = {
	TEXTOID, INT8OID, INT4OID, INT4OID, TIMESTAMPTZOID, TIMESTAMPTZOID, TIMESTAMPTZOID, INT4OID, INT4OID, INT2OID,
	BOOLOID, BOOLOID, TEXTOID, TEXTOID, TEXTOID, JSONBOID, JSONBOID, JSONBOID, JSONBOID, BYTEAOID
};

static StoreInsert insert_history = {
	"history",
	"instance_id, generation, seq, turn, turn_at, \"timestamp\", fire_at, event_id, task_id, event_type,"
	" opens_turn, closes_turn, name, version, target_instance_id, payload, failure, tags, retry, more",
	&direct_history
};

/* What a queued activity of an older generation still needs stays until it has run. */
static StoreStatement delete_old_history = {
	"DELETE FROM durable_store.history h WHERE h.task_hub = $1 AND h.instance_id = $2 AND h.generation < $3"
	" AND NOT EXISTS (SELECT FROM durable_store.activity_queue q WHERE q.task_hub = $1 AND q.instance_id = $2"
	"  AND q.generation = h.generation AND q.seq = h.seq)",
	3, {TEXTOID, TEXTOID, INT8OID}
};

enum
{
	A_INSTANCE_ID, A_EXECUTION_ID, A_GENERATION, A_TASK_ID, A_SEQ, A_ATTEMPT, A_VISIBLE_AT, A_PARKED, A_NAME, A_VERSION,
	A_INPUT, A_TAGS, A_MORE, N_ACTIVITY_COLUMNS
};

static const Oid activity_types[N_ACTIVITY_COLUMNS] = {
	TEXTOID, UUIDOID, INT8OID, INT4OID, INT4OID, INT4OID, TIMESTAMPTZOID, BOOLOID, TEXTOID, TEXTOID, JSONBOID, JSONBOID, BYTEAOID
};

static const DirectTable queue_table = {"activity_queue", "activity_queue_pkey", N_ACTIVITY_COLUMNS + 1};

static StoreInsert insert_activities = {
	"activity_queue",
	"instance_id, execution_id, generation, task_id, seq, attempt, visible_at, parked, name, version, input, tags, more",
	&queue_table
};

enum
{
	I_TID, I_EXECUTION_ID, I_GENERATION, I_TURN, I_LAST_SEQ, I_STATUS, I_VERSION, I_COMPLETED_AT, I_CONTINUED,
	I_INPUT, I_OUTPUT, I_FAILURE, I_CUSTOM_STATUS, I_FUNCTION, I_CODE, I_WAITING_EVENTS, N_INSTANCE_COLUMNS
};

static const Oid instance_types[N_INSTANCE_COLUMNS] = {
	TIDOID, UUIDOID, INT8OID, INT4OID, INT4OID, TEXTOID, TEXTOID, TIMESTAMPTZOID, BOOLOID,
	JSONBOID, JSONBOID, JSONBOID, JSONBOID, TEXTOID, UUIDOID, TEXTOID
};

/* The names of awaited events come as the text of an array: arrays do not nest in unnest(). */
static StoreStatement update_instances = {
	"UPDATE durable_store.instances i SET execution_id = u.execution_id, generation = u.generation, turn = u.turn,"
	" last_seq = u.last_seq, status = u.status, version = u.version, completed_at = u.completed_at, updated_at = $2,"
	" input = CASE WHEN u.continued THEN u.input ELSE i.input END,"
	" output = u.output, failure = u.failure, custom_status = u.custom_status,"
	" waiting_events = u.waiting_events::pg_catalog.text[], function = coalesce(u.function, i.function), code = u.code"
	" FROM ROWS FROM (pg_catalog.unnest($3), pg_catalog.unnest($4), pg_catalog.unnest($5), pg_catalog.unnest($6),"
	" pg_catalog.unnest($7), pg_catalog.unnest($8), pg_catalog.unnest($9), pg_catalog.unnest($10), pg_catalog.unnest($11),"
	" pg_catalog.unnest($12), pg_catalog.unnest($13), pg_catalog.unnest($14), pg_catalog.unnest($15), pg_catalog.unnest($16), pg_catalog.unnest($17),"
	" pg_catalog.unnest($18))"
	" u(tid, execution_id, generation, turn, last_seq, status, version, completed_at, continued, input, output,"
	" failure, custom_status, function, code, waiting_events)"
	" WHERE i.ctid = u.tid AND " OF_HUB("i", "$1"),
	18, {TEXTOID, TIMESTAMPTZOID, TIDARRAYOID, UUIDARRAYOID, INT8ARRAYOID, INT4ARRAYOID, INT4ARRAYOID, TEXTARRAYOID, TEXTARRAYOID,
		TIMESTAMPTZARRAYOID, BOOLARRAYOID, JSONBARRAYOID, JSONBARRAYOID, JSONBARRAYOID, JSONBARRAYOID, TEXTARRAYOID, UUIDARRAYOID, TEXTARRAYOID}
};

static StoreStatement update_instance = {
	"UPDATE durable_store.instances i SET execution_id = $4, generation = $5, turn = $6, last_seq = $7, status = $8,"
	" version = $9, completed_at = $10, updated_at = $2, input = CASE WHEN $11 THEN $12 ELSE i.input END, output = $13,"
	" failure = $14, custom_status = $15, waiting_events = $18::pg_catalog.text[], function = coalesce($16, i.function), code = $17"
	" WHERE i.ctid = $3 AND " OF_HUB("i", "$1"),
	18, {TEXTOID, TIMESTAMPTZOID, TIDOID, UUIDOID, INT8OID, INT4OID, INT4OID, TEXTOID, TEXTOID,
		TIMESTAMPTZOID, BOOLOID, JSONBOID, JSONBOID, JSONBOID, JSONBOID, TEXTOID, UUIDOID, TEXTOID}
};

static StoreStatement find_ids = {
	"SELECT FROM pg_catalog.unnest($2) u(instance_id)"
	" CROSS JOIN LATERAL (SELECT FROM durable_store.instances i WHERE i.task_hub = $1 AND i.instance_id = u.instance_id OFFSET 0) i"
	" LIMIT 1",
	2, {TEXTOID, TEXTARRAYOID}
};

/*
 * A child that began in this transaction: its row is written in the state it
 * has come to. That an id is taken is an error like any other here: ON CONFLICT
 * would cost each row another WAL record.
 */
enum
{
	B_INSTANCE_ID, B_CREATED_AT, B_NAME, B_TAGS, B_SETTINGS, B_TRACE_PARENT, B_PARENT_INSTANCE_ID, B_PARENT_EXECUTION_ID,
	B_PARENT_TASK_ID, B_EXECUTION_ID, B_GENERATION, B_TURN, B_LAST_SEQ, B_STATUS, B_VERSION, B_COMPLETED_AT, B_INPUT,
	B_OUTPUT, B_FAILURE, B_CUSTOM_STATUS, B_FUNCTION, B_CODE, B_WAITING_EVENTS, N_BEGUN_COLUMNS
};

static const Oid begun_types[N_BEGUN_COLUMNS] = {
	TEXTOID, TIMESTAMPTZOID, TEXTOID, JSONBOID, JSONBOID, TEXTOID, TEXTOID, UUIDOID,
	INT4OID, UUIDOID, INT8OID, INT4OID, INT4OID, TEXTOID, TEXTOID, TIMESTAMPTZOID, JSONBOID,
	JSONBOID, JSONBOID, JSONBOID, TEXTOID, UUIDOID, TEXTOID
};

static StoreStatement insert_begun = {
	"INSERT INTO durable_store.instances (task_hub, updated_at, instance_id, created_at, name, tags, settings, trace_parent,"
	" parent_instance_id, parent_execution_id, parent_task_id, execution_id, generation, turn, last_seq, status, version,"
	" completed_at, input, output, failure, custom_status, function, code, waiting_events)"
	" SELECT $1, $2, u.instance_id, u.created_at, u.name, u.tags, u.settings, u.trace_parent, u.parent_instance_id,"
	" u.parent_execution_id, u.parent_task_id, u.execution_id, u.generation, u.turn, u.last_seq, u.status, u.version, u.completed_at,"
	" u.input, u.output, u.failure, u.custom_status, u.function, u.code, u.waiting_events::pg_catalog.text[]"
	" FROM ROWS FROM (pg_catalog.unnest($3), pg_catalog.unnest($4), pg_catalog.unnest($5), pg_catalog.unnest($6),"
	" pg_catalog.unnest($7), pg_catalog.unnest($8), pg_catalog.unnest($9), pg_catalog.unnest($10), pg_catalog.unnest($11),"
	" pg_catalog.unnest($12), pg_catalog.unnest($13), pg_catalog.unnest($14), pg_catalog.unnest($15), pg_catalog.unnest($16),"
	" pg_catalog.unnest($17), pg_catalog.unnest($18), pg_catalog.unnest($19), pg_catalog.unnest($20), pg_catalog.unnest($21),"
	" pg_catalog.unnest($22), pg_catalog.unnest($23), pg_catalog.unnest($24), pg_catalog.unnest($25))"
	" u(instance_id, created_at, name, tags, settings, trace_parent, parent_instance_id, parent_execution_id, parent_task_id,"
	" execution_id, generation, turn, last_seq, status, version, completed_at, input, output, failure, custom_status, function, code,"
	" waiting_events)",
	25, {TEXTOID, TIMESTAMPTZOID, TEXTARRAYOID, TIMESTAMPTZARRAYOID, TEXTARRAYOID, JSONBARRAYOID, JSONBARRAYOID, TEXTARRAYOID,
		TEXTARRAYOID, UUIDARRAYOID, INT4ARRAYOID, UUIDARRAYOID, INT8ARRAYOID, INT4ARRAYOID, INT4ARRAYOID, TEXTARRAYOID, TEXTARRAYOID,
		TIMESTAMPTZARRAYOID, JSONBARRAYOID, JSONBARRAYOID, JSONBARRAYOID, JSONBARRAYOID, TEXTARRAYOID, UUIDARRAYOID, TEXTARRAYOID}
};

/*
 * What came meanwhile and nobody will read. A recursive termination stays: the
 * children have to hear of it. So do results that came to one that has failed:
 * a rewind makes them visible, and what was done is not done again.
 */
static StoreStatement clear_inboxes = {
	"WITH gone AS (DELETE FROM durable_store.inbox m WHERE m.ctid = ANY (" MESSAGES_OF_ALL("$1", "$2") ") AND " OF_HUB("m", "$1")
	"  AND NOT m.recurse RETURNING m.*)"
	" INSERT INTO durable_store.inbox (task_hub, instance_id, visible_at, \"timestamp\", execution_id, task_id, event_type, name, payload)"
	" SELECT $1, g.instance_id, 'infinity', e.\"timestamp\", g.execution_id, e.task_id, 5, e.name, e.payload FROM gone g"
	" CROSS JOIN LATERAL (SELECT i.status, i.execution_id FROM durable_store.instances i"
	"  WHERE i.task_hub = $1 AND i.instance_id = g.instance_id OFFSET 0) i"
	" CROSS JOIN LATERAL (SELECT g.event_type, g.\"timestamp\", g.task_id, g.name, g.payload UNION ALL"
	"  SELECT a.event_type, a.\"timestamp\", a.task_id, a.name, a.payload FROM durable_store.unpack_events(g.more) a) e"
	" WHERE e.event_type = 5 AND i.status = 'failed' AND i.execution_id = g.execution_id",
	2, {TEXTOID, TEXTARRAYOID}
};

static StoreStatement delete_timers = {
	"DELETE FROM durable_store.inbox m WHERE m.ctid = ANY (" MESSAGES_OF("$1", "$2") ") AND " OF_HUB("m", "$1")
	" AND m.event_type = 11 AND m.task_id = ANY ($3)",
	3, {TEXTOID, TEXTOID, INT4ARRAYOID}
};

static void
someone_interfered(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
			 errmsg("a locked instance or its messages were changed by another session")));
}

/* Had it failed before this transaction? Then nothing of what came is read, and results are kept for a rewind. */
static bool
had_failed(const Checkpoint *checkpoint)
{
	return !checkpoint->ran && checkpoint->fetched->begun == NULL && checkpoint->state->status == STATUS_FAILED;
}

/* The messages of a checkpoint that are consumed; those that came with another one have no row. */
static void
add_consumed(RowBuffer *tids, const Checkpoint *checkpoint)
{
	ListCell   *lc;

	foreach(lc, checkpoint->fetched->messages)
	{
		HistoryEvent *message = lfirst(lc);

		if (!ItemPointerIsValid(&message->tid) ||
			(had_failed(checkpoint) && (message->type == EVENT_TASK_COMPLETED || message->type == EVENT_TASK_FAILED)))
			continue;
		row_buffer_add(tids);
		row_buffer_set(tids, 0, PointerGetDatum(&message->tid));
	}
}

/*
 * Deletes what was consumed. We hold the instance's lock since before we read the
 * messages, so they must all be there still; if not, somebody took part in
 * this turn who must not, and nothing of it may stand.
 */
static void
consume_messages(const char *task_hub, List *checkpoints)
{
	static const Oid types[] = {TIDOID};
	RowBuffer  *tids = row_buffer_make(1, types);
	Datum		values[2] = {TEXT_DATUM(task_hub)};
	int64		deleted;
	ListCell   *lc;

	foreach(lc, checkpoints)
	{
		const Checkpoint *checkpoint = lfirst(lc);

		if (checkpoint->fetched->begun == NULL)	/* else they never were in the inbox */
			add_consumed(tids, checkpoint);
	}
	if (tids->n_rows == 0)
		return;
	deleted = direct_delete(&direct_inbox, tids);
	if (deleted < 0)
	{
		row_buffer_arrays(tids, values + 1);
		deleted = (int64) store_execute_once(&delete_messages, values);
	}
	if (deleted != tids->n_rows)
		someone_interfered();
}

static void
add_history_row(RowBuffer *rows, const RuntimeState *state, const HistoryEvent *event)
{
	row_buffer_add(rows);
	row_buffer_set_text(rows, H_INSTANCE_ID, state->instance_id);
	row_buffer_set(rows, H_GENERATION, Int64GetDatum(state->generation));
	row_buffer_set(rows, H_SEQ, Int32GetDatum(event->seq));
	row_buffer_set(rows, H_TURN, Int32GetDatum(event->turn));
	row_buffer_set(rows, H_TURN_AT, TimestampTzGetDatum(event->turn_at));
	row_buffer_set(rows, H_TIMESTAMP, TimestampTzGetDatum(event->timestamp));
	if (!TIMESTAMP_IS_NOBEGIN(event->fire_at))
		row_buffer_set(rows, H_FIRE_AT, TimestampTzGetDatum(event->fire_at));
	row_buffer_set(rows, H_EVENT_ID, Int32GetDatum(event->event_id));
	if (event->task_id != NO_TASK_ID)
		row_buffer_set(rows, H_TASK_ID, Int32GetDatum(event->task_id));
	row_buffer_set(rows, H_EVENT_TYPE, Int16GetDatum((int16) event->type));
	row_buffer_set(rows, H_OPENS, BoolGetDatum(event->opens_turn));
	row_buffer_set(rows, H_CLOSES, BoolGetDatum(event->closes_turn));
	row_buffer_set_text(rows, H_NAME, event->name);
	row_buffer_set_text(rows, H_VERSION, event->version);
	row_buffer_set_text(rows, H_TARGET, event->target_instance_id);
	row_buffer_set_jsonb(rows, H_PAYLOAD, event->payload);
	row_buffer_set_jsonb(rows, H_FAILURE, event->failure);
	row_buffer_set_jsonb(rows, H_TAGS, event->tags);
	row_buffer_set_jsonb(rows, H_RETRY, event->retry);
}

/* The pack belongs to the last row. */
static void
set_more(RowBuffer *rows, int column, HistoryPack *pack)
{
	bytea	   *more = pack ? history_pack_finish(pack) : NULL;

	if (more != NULL)
		row_buffer_set(rows, column, PointerGetDatum(more));
}

/*
 * Does the row in the queue have the input itself? A small one is cheaper
 * written twice than in a row of the history of its own, where it could not be
 * packed with the others of a fan-out.
 */
static bool
carries_input(const OutboundActivity *activity)
{
	const Jsonb *input = activity->scheduled->payload;

	return activity->keep_input || input == NULL || VARSIZE(input) <= SMALL_INPUT;
}

/* The event that the rows of queued activities refer to by its number. */
static void
mark_referred_to(const Checkpoint *checkpoint)
{
	ListCell   *lc;

	foreach(lc, checkpoint->outbox.activities)
	{
		const OutboundActivity *activity = lfirst(lc);

		((HistoryEvent *) activity->scheduled)->is_referred_to = !carries_input(activity);
	}
}

/* The rows of one instance: an event, and with it as many of those after it as fit. */
static void
add_history_rows(RowBuffer *rows, const RuntimeState *state, List *events)
{
	HistoryPack *pack = NULL;
	ListCell   *lc;

	foreach(lc, events)
	{
		HistoryEvent *event = lfirst(lc);

		if (event->recurse)
			event->tags = json_with_text(event->tags, RECURSE_TAG, "");
		if (pack != NULL && !event->is_referred_to && history_pack_add(pack, event))
			continue;
		set_more(rows, H_MORE, pack);
		add_history_row(rows, state, event);
		pack = history_pack_make();
	}
	set_more(rows, H_MORE, pack);
}

static void
forget_history(const char *task_hub, const RuntimeState *state)
{
	Datum		values[3] = {TEXT_DATUM(task_hub), TEXT_DATUM(state->instance_id), Int64GetDatum(state->generation)};

	(void) store_execute_once(&delete_old_history, values);
}

static void
write_history(const char *task_hub, List *checkpoints)
{
	RowBuffer  *rows = row_buffer_make(N_HISTORY_COLUMNS, history_types);
	ListCell   *lc;

	foreach(lc, checkpoints)
	{
		Checkpoint *checkpoint = lfirst(lc);
		RuntimeState *state = checkpoint->state;

		if (!checkpoint->ran)
			continue;
		mark_referred_to(checkpoint);
		add_history_rows(rows, state, list_concat_copy(state->kept_events, state->new_events));
		if (state->generation != checkpoint->fetched->state->generation)
			forget_history(task_hub, state);
	}
	store_insert(&insert_history, task_hub, rows);
}

static void
add_activity_row(RowBuffer *rows, const char *instance_id, const OutboundActivity *activity, TimestampTz visible_at)
{
	const HistoryEvent *scheduled = activity->scheduled;

	row_buffer_add(rows);
	row_buffer_set_text(rows, A_INSTANCE_ID, instance_id);
	row_buffer_set(rows, A_EXECUTION_ID, UUIDPGetDatum(&activity->execution_id));
	row_buffer_set(rows, A_GENERATION, Int64GetDatum(activity->generation));
	row_buffer_set(rows, A_TASK_ID, Int32GetDatum(scheduled->event_id));
	row_buffer_set(rows, A_ATTEMPT, Int32GetDatum(1));
	row_buffer_set(rows, A_VISIBLE_AT, TimestampTzGetDatum(visible_at));
	row_buffer_set(rows, A_PARKED, BoolGetDatum(false));
	row_buffer_set_text(rows, A_NAME, scheduled->name);
	row_buffer_set_text(rows, A_VERSION, scheduled->version);
	if (!carries_input(activity))
	{
		row_buffer_set(rows, A_SEQ, Int32GetDatum(scheduled->seq));
		return;
	}
	row_buffer_set_jsonb(rows, A_INPUT, scheduled->payload);
	row_buffer_set_jsonb(rows, A_TAGS, scheduled->tags);
}

/* May it have a row of the queue together with another one? */
static bool
goes_with(const OutboundActivity *first, const OutboundActivity *activity)
{
	const char *version = first->scheduled->version;
	const char *other_version = activity->scheduled->version;

	return activity->together > 1 && carries_input(first) && carries_input(activity) &&
		first->generation == activity->generation && strcmp(first->scheduled->name, activity->scheduled->name) == 0 &&
		strcmp(version ? version : "", other_version ? other_version : "") == 0;
}

/* The rows of one instance: an activity, and with it as many of its kind that follow as may be. They begin in the order they were asked for. */
static void
add_activity_rows(RowBuffer *rows, const Checkpoint *checkpoint, TimestampTz now)
{
	const OutboundActivity *first = NULL;
	HistoryPack *pack = NULL;
	int			n = 0;
	ListCell   *lc;

	foreach(lc, checkpoint->outbox.activities)
	{
		const OutboundActivity *activity = lfirst(lc);
		int			n_behind = list_length(checkpoint->outbox.activities) - 1 - foreach_current_index(lc);

		if (pack != NULL && n < first->together && goes_with(first, activity) && history_pack_add(pack, activity->scheduled))
		{
			n++;
			continue;
		}
		set_more(rows, A_MORE, pack);
		add_activity_row(rows, checkpoint->state->instance_id, activity, now - Min(n_behind, LONGEST_ORDER));
		first = activity;
		pack = first->together > 1 ? history_pack_make() : NULL;
		n = 1;
	}
	set_more(rows, A_MORE, pack);
}

static void
queue_activities(const char *task_hub, List *checkpoints, TimestampTz now)
{
	RowBuffer  *rows = row_buffer_make(N_ACTIVITY_COLUMNS, activity_types);
	ListCell   *lc;

	foreach(lc, checkpoints)
		add_activity_rows(rows, lfirst(lc), now);
	store_insert(&insert_activities, task_hub, rows);
	if (rows->n_rows > 0)
		wake_hub_at_commit(task_hub, rows->n_rows);
}

static void
send_outbox(const char *task_hub, List *checkpoints)
{
	MessageBuffer *messages = message_buffer_make();
	ListCell   *lc;
	ListCell   *lc2;

	foreach(lc, checkpoints)
	{
		Checkpoint *checkpoint = lfirst(lc);

		foreach(lc2, checkpoint->outbox.messages)
		{
			OutboundMessage *message = lfirst(lc2);

			message_buffer_add(messages, message->instance_id, message->event);
		}
	}
	store_send_messages(task_hub, messages);
}

static void
forget_timers_of(const char *task_hub, const char *instance_id, List *timer_ids)
{
	Datum	   *ids = palloc(sizeof(Datum) * list_length(timer_ids));
	Datum		values[3] = {TEXT_DATUM(task_hub), TEXT_DATUM(instance_id)};
	int			n = 0;
	ListCell   *lc;

	foreach(lc, timer_ids)
		ids[n++] = Int32GetDatum(lfirst_int(lc));
	values[2] = PointerGetDatum(construct_array(ids, n, INT4OID, sizeof(int32), true, TYPALIGN_INT));
	(void) store_execute_once(&delete_timers, values);
}

static void
forget_timers(const char *task_hub, List *checkpoints)
{
	ListCell   *lc;

	foreach(lc, checkpoints)
	{
		Checkpoint *checkpoint = lfirst(lc);

		if (checkpoint->outbox.cancelled_timers != NIL &&
			!runtime_status_is_finished(checkpoint->state->status))
			forget_timers_of(task_hub, checkpoint->state->instance_id, checkpoint->outbox.cancelled_timers);
	}
}

/* ------------------------------------------------------------------------
 * Children
 * ------------------------------------------------------------------------
 */

static NewInstance *
new_child(const ResolvedChild *child, TimestampTz now)
{
	NewInstance *instance = palloc0(sizeof(NewInstance));
	const ChildStart *start = child->start;

	instance->instance_id = start->instance_id;
	make_time_ordered_uuid(now, &instance->execution_id);
	instance->name = start->name;
	instance->function = child->function ? child->function : start->name;
	instance->code = child->code;
	instance->failure = child->failure;
	instance->version = start->version;
	instance->input = start->input;
	instance->tags = start->tags;
	instance->settings = child->parent->settings_json;
	instance->created_at = now;
	instance->start_at = DT_NOBEGIN;
	instance->trace_parent = child->parent->trace_parent;
	if (!start->detached)
	{
		instance->parent_instance_id = child->parent->instance_id;
		instance->parent_execution_id = start->parent_execution_id;
		instance->parent_task_id = start->parent_task_id;
	}
	return instance;
}

/*
 * A child that could not be started is a failed sub-orchestration of its
 * parent. A detached one has nobody to tell: it is an instance that failed,
 * unless its id is taken.
 */
static void
reject_child(MessageBuffer *answers, const ResolvedChild *child, Jsonb *failure, TimestampTz now)
{
	HistoryEvent *answer;

	if (child->start->detached)
		return;
	answer = history_event_make(EVENT_SUBORCHESTRATION_FAILED, now);
	answer->task_id = child->start->parent_task_id;
	answer->failure = failure;
	answer->visible_at = now;
	answer->has_execution_id = true;
	answer->execution_id = child->start->parent_execution_id;
	message_buffer_add(answers, child->parent->instance_id, answer);
}

static Jsonb *
child_exists_failure(const char *instance_id)
{
	Failure		failure = {0};

	failure.error_type = "OrchestrationAlreadyExistsException";
	failure.sqlstate = "UD003";
	failure.message = psprintf("an instance with id \"%s\" already exists and has not finished", instance_id);
	failure.hint = "Leave instance_id out to get an id of its own for each sub-orchestration.";
	return failure_make(&failure);
}

/* The id is taken: a finished instance makes room, a live one does not. */
static void
replace_or_reject(const char *task_hub, const ResolvedChild *child, NewInstance *instance,
				  MessageBuffer *answers, TimestampTz now)
{
	ExistingInstance existing;

	if (!store_lock_existing(task_hub, instance->instance_id, &existing))
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("instance \"%s\" was purged while a sub-orchestration of that id was started", instance->instance_id)));
	if (runtime_status_is_finished(existing.status))
		store_replace_instance(task_hub, instance, &existing);
	else
		reject_child(answers, child, child_exists_failure(instance->instance_id), now);
}

static void
start_children(const char *task_hub, List *children, TimestampTz now)
{
	MessageBuffer *answers = message_buffer_make();
	List	   *startable = NIL;
	List	   *instances = NIL;
	ListCell   *lc;
	ListCell   *lc2;

	foreach(lc, children)
	{
		ResolvedChild *child = lfirst(lc);

		if (child->failure && !child->start->detached)
		{
			reject_child(answers, child, child->failure, now);
			continue;
		}
		startable = lappend(startable, child);
		instances = lappend(instances, new_child(child, now));
		store_keep_code(task_hub, ((NewInstance *) llast(instances))->code);
	}
	if (instances != NIL)
		store_insert_instances(task_hub, instances);
	forboth(lc, startable, lc2, instances)
	{
		if (!((NewInstance *) lfirst(lc2))->created)
			replace_or_reject(task_hub, lfirst(lc), lfirst(lc2), answers, now);
	}
	store_send_messages(task_hub, answers);
}

static void
start_all_children(const char *task_hub, List *checkpoints, TimestampTz now)
{
	List	   *children = NIL;
	ListCell   *lc;

	foreach(lc, checkpoints)
		children = list_concat(children, ((Checkpoint *) lfirst(lc))->children);
	if (children != NIL)
		start_children(task_hub, children, now);
}

bool
store_have_any(const char *task_hub, List *ids)
{
	Datum		values[2] = {TEXT_DATUM(task_hub), store_text_array(ids)};

	return store_execute_once(&find_ids, values) > 0;
}

static RuntimeState *
state_of_new(const NewInstance *instance, const RuntimeState *parent)
{
	RuntimeState *state = palloc0(sizeof(RuntimeState));

	state->task_hub = parent->task_hub;
	state->rules = parent->rules;
	state->instance_id = instance->instance_id;
	state->execution_id = instance->execution_id;
	state->generation = 1;
	state->name = instance->name;
	state->function = instance->function;
	state->version = instance->version;
	state->input = instance->input;
	state->tags = instance->tags;
	state->settings_json = instance->settings;
	state->settings = parent->settings;
	state->parent_instance_id = instance->parent_instance_id;
	state->parent_execution_id = instance->parent_execution_id;
	state->parent_task_id = instance->parent_task_id;
	state->trace_parent = instance->trace_parent;
	state->code = instance->code;
	state->status = STATUS_PENDING;
	return state;
}

FetchedInstance *
store_begin_child(const ResolvedChild *child, bool has_new_id, const RuntimeState *root, TimestampTz now)
{
	FetchedInstance *fetched = palloc0(sizeof(FetchedInstance));

	fetched->begun = new_child(child, now);
	fetched->begun->has_new_id = has_new_id;
	fetched->state = state_of_new(fetched->begun, child->parent);
	fetched->state->begun_by = root;
	fetched->messages = list_make1(make_start_event(fetched->begun));
	return fetched;
}

/* Sets a column to the names of events; none are NULL. */
static void
set_names(RowBuffer *rows, int column, List *names)
{
	if (names != NIL)
		row_buffer_set(rows, column, store_text_array(names));
}

/* Arrays do not nest in unnest(): statements take the names of events as the text of an array. */
static void
names_to_text(RowBuffer *rows, int column)
{
	for (int i = 0; i < rows->n_rows; i++)
		if (!rows->nulls[column][i])
			rows->values[column][i] = CStringGetTextDatum(OidOutputFunctionCall(F_ARRAY_OUT, rows->values[column][i]));
}

static void
add_begun_row(RowBuffer *rows, const Checkpoint *checkpoint)
{
	const RuntimeState *state = checkpoint->state;

	row_buffer_add(rows);
	row_buffer_set_text(rows, B_INSTANCE_ID, state->instance_id);
	row_buffer_set(rows, B_CREATED_AT, TimestampTzGetDatum(checkpoint->fetched->begun->created_at));
	row_buffer_set_text(rows, B_NAME, state->name);
	row_buffer_set_jsonb(rows, B_TAGS, state->tags);
	row_buffer_set_jsonb(rows, B_SETTINGS, state->settings_json);
	row_buffer_set_text(rows, B_TRACE_PARENT, state->trace_parent);
	row_buffer_set_text(rows, B_PARENT_INSTANCE_ID, state->parent_instance_id);
	row_buffer_set(rows, B_PARENT_EXECUTION_ID, UUIDPGetDatum(&state->parent_execution_id));
	row_buffer_set(rows, B_PARENT_TASK_ID, Int32GetDatum(state->parent_task_id));
	row_buffer_set(rows, B_EXECUTION_ID, UUIDPGetDatum(&state->execution_id));
	row_buffer_set(rows, B_GENERATION, Int64GetDatum(state->generation));
	row_buffer_set(rows, B_TURN, Int32GetDatum(state->turn));
	row_buffer_set(rows, B_LAST_SEQ, Int32GetDatum(state->last_seq));
	row_buffer_set_text(rows, B_STATUS, runtime_status_name(state->status));
	row_buffer_set_text(rows, B_VERSION, state->version);
	if (runtime_status_is_finished(state->status))
		row_buffer_set(rows, B_COMPLETED_AT, TimestampTzGetDatum(state->completed_at));
	row_buffer_set_jsonb(rows, B_INPUT, state->input);
	row_buffer_set_jsonb(rows, B_OUTPUT, state->output);
	row_buffer_set_jsonb(rows, B_FAILURE, state->failure);
	row_buffer_set_jsonb(rows, B_CUSTOM_STATUS, state->custom_status);
	row_buffer_set_text(rows, B_FUNCTION, state->function);
	if (state->code && !state->takes_latest)
		row_buffer_set(rows, B_CODE, UUIDPGetDatum(&state->code->fingerprint));
	set_names(rows, B_WAITING_EVENTS, state->waiting_events);
}

/* Before anything is sent to them. */
static void
insert_begun_rows(const char *task_hub, List *checkpoints, TimestampTz now)
{
	RowBuffer  *rows = row_buffer_make(N_BEGUN_COLUMNS, begun_types);
	Datum		values[N_BEGUN_COLUMNS + 2] = {TEXT_DATUM(task_hub), TimestampTzGetDatum(now)};
	ListCell   *lc;

	foreach(lc, checkpoints)
		if (((Checkpoint *) lfirst(lc))->fetched->begun)
			add_begun_row(rows, lfirst(lc));
	if (rows->n_rows == 0)
		return;
	names_to_text(rows, B_WAITING_EVENTS);
	row_buffer_arrays(rows, values + 2);
	(void) store_execute_once(&insert_begun, values);
}

/* ------------------------------------------------------------------------
 * Instances
 * ------------------------------------------------------------------------
 */

static void
add_instance_row(RowBuffer *rows, const Checkpoint *checkpoint)
{
	const RuntimeState *state = checkpoint->state;

	row_buffer_add(rows);
	row_buffer_set(rows, I_TID, PointerGetDatum(&checkpoint->fetched->version.place));
	row_buffer_set(rows, I_EXECUTION_ID, UUIDPGetDatum(&state->execution_id));
	row_buffer_set(rows, I_GENERATION, Int64GetDatum(state->generation));
	row_buffer_set(rows, I_TURN, Int32GetDatum(state->turn));
	row_buffer_set(rows, I_LAST_SEQ, Int32GetDatum(state->last_seq));
	row_buffer_set_text(rows, I_STATUS, runtime_status_name(state->status));
	row_buffer_set_text(rows, I_VERSION, state->version);
	if (runtime_status_is_finished(state->status))
		row_buffer_set(rows, I_COMPLETED_AT, TimestampTzGetDatum(state->completed_at));
	if (state->generation != checkpoint->fetched->state->generation)
	{
		row_buffer_set(rows, I_CONTINUED, BoolGetDatum(true));
		row_buffer_set_jsonb(rows, I_INPUT, state->input);
		row_buffer_set_text(rows, I_FUNCTION, state->function);
	}
	/* a generation that has not run yet takes the function as it is when it does */
	if (state->code && !state->takes_latest)
		row_buffer_set(rows, I_CODE, UUIDPGetDatum(&state->code->fingerprint));
	row_buffer_set_jsonb(rows, I_OUTPUT, state->output);
	row_buffer_set_jsonb(rows, I_FAILURE, state->failure);
	row_buffer_set_jsonb(rows, I_CUSTOM_STATUS, state->custom_status);
	set_names(rows, I_WAITING_EVENTS, state->waiting_events);
}

/* The columns of the table; not those that stay as they are unless they are set. */
static const AttrNumber instance_columns[N_INSTANCE_COLUMNS] = {
	0, INSTANCE_EXECUTION_ID, INSTANCE_GENERATION, INSTANCE_TURN, INSTANCE_LAST_SEQ, INSTANCE_STATUS, INSTANCE_VERSION,
	INSTANCE_COMPLETED_AT, 0, 0, INSTANCE_OUTPUT, INSTANCE_FAILURE, INSTANCE_CUSTOM_STATUS, 0, INSTANCE_CODE,
	INSTANCE_WAITING_EVENTS
};

static bool
update_row_directly(DirectUpdate *update, const char *task_hub, const RowBuffer *rows, int row, TimestampTz now,
					RowVersion *written)
{
	if (!direct_update_take(update, task_hub, (ItemPointer) DatumGetPointer(rows->values[I_TID][row])))
		return false;
	for (int i = 0; i < N_INSTANCE_COLUMNS; i++)
		if (instance_columns[i] != 0)
			direct_update_set(update, instance_columns[i], rows->values[i][row], rows->nulls[i][row]);
	direct_update_set(update, INSTANCE_UPDATED_AT, TimestampTzGetDatum(now), false);
	if (!rows->nulls[I_CONTINUED][row])
		direct_update_set(update, INSTANCE_INPUT, rows->values[I_INPUT][row], rows->nulls[I_INPUT][row]);
	if (!rows->nulls[I_FUNCTION][row])
		direct_update_set(update, INSTANCE_FUNCTION, rows->values[I_FUNCTION][row], false);
	written->xmin = GetCurrentTransactionId();
	return direct_update_run(update, &written->place);
}

/* The rows are of these checkpoints. False: left to statements. */
static bool
update_rows_directly(const char *task_hub, List *checkpoints, const RowBuffer *rows, TimestampTz now)
{
	DirectUpdate *update = direct_update_begin(&direct_instances);

	if (update == NULL)
		return false;
	for (int i = 0; i < rows->n_rows; i++)
		if (!update_row_directly(update, task_hub, rows, i, now, &((Checkpoint *) list_nth(checkpoints, i))->written))
			someone_interfered();
	direct_update_end(update);
	return true;
}

static void
update_rows_by_statement(const char *task_hub, RowBuffer *rows, TimestampTz now)
{
	Datum		values[N_INSTANCE_COLUMNS + 2] = {TEXT_DATUM(task_hub), TimestampTzGetDatum(now)};
	char		nulls[N_INSTANCE_COLUMNS + 2] = {' ', ' '};
	uint64		updated;
	StoreScope	scope;

	names_to_text(rows, I_WAITING_EVENTS);
	store_open(&scope);
	if (rows->n_rows == 1)
	{
		row_buffer_row(rows, 0, values + 2, nulls + 2);
		updated = store_execute(&update_instance, values, nulls);
	}
	else
	{
		row_buffer_arrays(rows, values + 2);
		updated = store_execute(&update_instances, values, NULL);
	}
	store_close(&scope);
	if (updated != (uint64) rows->n_rows)
		someone_interfered();
}

static void
update_rows(const char *task_hub, List *checkpoints, TimestampTz now)
{
	RowBuffer  *rows = row_buffer_make(N_INSTANCE_COLUMNS, instance_types);
	List	   *updated = NIL;
	ListCell   *lc;

	foreach(lc, checkpoints)
	{
		const Checkpoint *checkpoint = lfirst(lc);

		if (!checkpoint->ran || checkpoint->fetched->begun)
			continue;
		add_instance_row(rows, checkpoint);
		updated = lappend(updated, lfirst(lc));
	}
	if (rows->n_rows > 0 && !update_rows_directly(task_hub, updated, rows, now))
		update_rows_by_statement(task_hub, rows, now);
}

/* Nobody can wait for one that has begun in this transaction with an id that is new. */
static bool
is_unknown(const FetchedInstance *fetched)
{
	return fetched->begun != NULL && fetched->begun->has_new_id;
}

/* Has anything come to an instance? */
static bool
has_messages(const char *task_hub, Datum instance_id)
{
	ScanKeyData keys[2];

	direct_text_key(&keys[0], 1, TEXT_DATUM(task_hub));
	direct_text_key(&keys[1], 2, instance_id);
	return direct_has_row("inbox", "inbox_pkey", 2, keys);
}

/*
 * Finished instances receive nothing any more; who waits for them is told. One
 * that has begun in this transaction had no messages; what its inbox has now is
 * for one that has replaced it since.
 */
static void
close_finished(const char *task_hub, List *checkpoints)
{
	static const Oid types[] = {TEXTOID};
	RowBuffer  *ids = row_buffer_make(1, types);
	Datum		values[2] = {TEXT_DATUM(task_hub)};
	ListCell   *lc;

	foreach(lc, checkpoints)
	{
		Checkpoint *checkpoint = lfirst(lc);
		RuntimeState *state = checkpoint->state;

		if (had_failed(checkpoint))
		{
			row_buffer_add(ids);
			row_buffer_set_text(ids, 0, state->instance_id);
		}
		if (!checkpoint->ran || is_unknown(checkpoint->fetched))
			continue;
		if (runtime_status_is_finished(state->status) && checkpoint->fetched->begun == NULL)
		{
			row_buffer_add(ids);
			row_buffer_set_text(ids, 0, state->instance_id);
			if (state->notify)
			{
				Async_Notify("durable", state->instance_id);
				work_item_flush_at_commit();	/* nobody asks again for what he was told so */
			}
		}
		if (runtime_status_is_finished(state->status) || checkpoint->fetched->turn == 0)
			wake_waiters_at_commit(task_hub, state->instance_id);
	}
	if (ids->n_rows == 0 || (ids->n_rows == 1 && !has_messages(task_hub, ids->values[0][0])))
		return;
	row_buffer_arrays(ids, values + 1);
	(void) store_execute_once(&clear_inboxes, values);
}

/* Before anything of the turn is written: it makes room for it. */
static void
write_rewinds(List *checkpoints, TimestampTz now)
{
	ListCell   *lc;

	foreach(lc, checkpoints)
	{
		const Checkpoint *checkpoint = lfirst(lc);
		const Rewind *rewind = checkpoint->rewind;

		if (rewind != NULL)
			store_write_rewind(checkpoint->fetched->state, rewind->point, rewind->plan, rewind->reason, now);
	}
}

/* Code that was taken in these turns. */
static void
keep_code(const char *task_hub, List *checkpoints)
{
	ListCell   *lc;

	foreach(lc, checkpoints)
		if (((Checkpoint *) lfirst(lc))->ran)
			store_keep_code(task_hub, ((Checkpoint *) lfirst(lc))->state->code);
}

void
store_checkpoint(const char *task_hub, List *checkpoints, TimestampTz now)
{
	keep_code(task_hub, checkpoints);
	DURABLE_POINT("checkpoint.begin");
	consume_messages(task_hub, checkpoints);
	DURABLE_POINT("checkpoint.consumed");
	write_rewinds(checkpoints, now);
	write_history(task_hub, checkpoints);
	DURABLE_POINT("checkpoint.history");
	queue_activities(task_hub, checkpoints, now);
	DURABLE_POINT("checkpoint.activities");
	insert_begun_rows(task_hub, checkpoints, now);
	start_all_children(task_hub, checkpoints, now);
	DURABLE_POINT("checkpoint.children");
	forget_timers(task_hub, checkpoints);	/* before a new generation sets timers of the same numbers */
	DURABLE_POINT("checkpoint.timers");
	send_outbox(task_hub, checkpoints);
	DURABLE_POINT("checkpoint.messages");
	update_rows(task_hub, checkpoints, now);
	DURABLE_POINT("checkpoint.instances");
	close_finished(task_hub, checkpoints);
	DURABLE_POINT("checkpoint.end");
}
