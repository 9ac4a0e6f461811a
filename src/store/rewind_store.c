/*
 * rewind_store.c
 *		Rewinding failed instances: see rewind_store.h.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "store/activity_store.h"
#include "store/inbox_store.h"
#include "store/rewind_store.h"
#include "store/store.h"

static StoreStatement lock_failed = {
	"SELECT i.status, i.last_seq = 0 FROM durable_store.instances i"
	" WHERE i.task_hub = $1 AND i.instance_id = $2 FOR NO KEY UPDATE",
	2, {TEXTOID, TEXTOID}
};

static StoreStatement run_again = {
	"UPDATE durable_store.instances i SET status = 'running', completed_at = NULL, output = NULL, failure = NULL, updated_at = $3"
	" WHERE i.task_hub = $1 AND i.instance_id = $2",
	3, {TEXTOID, TEXTOID, TIMESTAMPTZOID}
};

/* Answers that came while it was failed were kept for this. */
static StoreStatement release_answers = {
	"UPDATE durable_store.inbox m SET visible_at = $3 WHERE m.ctid = ANY (" MESSAGES_OF("$1", "$2") ") AND " OF_HUB("m", "$1")
	" AND m.visible_at = 'infinity' AND m.event_type = ANY ('{5,6}'::pg_catalog.int2[])",
	3, {TEXTOID, TEXTOID, TIMESTAMPTZOID}
};

static StoreStatement find_queued = {
	"SELECT m.task_id FROM durable_store.activity_queue q" IDS_OF_ROW("q")
	" WHERE q.task_hub = $1 AND q.instance_id = $2 AND q.execution_id = $3",
	3, {TEXTOID, TEXTOID, UUIDOID}
};

static StoreStatement find_children = {
	"SELECT i.* FROM pg_catalog.unnest($2) u(instance_id)"
	" CROSS JOIN LATERAL (SELECT i.instance_id, i.status, i.parent_execution_id, i.parent_task_id, i.output, i.name"
	"  FROM durable_store.instances i WHERE i.task_hub = $1 AND i.instance_id = u.instance_id OFFSET 0) i",
	2, {TEXTOID, TEXTARRAYOID}
};

static StoreStatement delete_events = {
	"DELETE FROM durable_store.history h WHERE h.task_hub = $1 AND h.instance_id = $2 AND h.generation = $3 AND h.seq = ANY ($4)",
	4, {TEXTOID, TEXTOID, INT8OID, INT4ARRAYOID}
};

/* A rewind takes single events away. */
static StoreStatement unpack_rows = {
	"INSERT INTO durable_store.history (task_hub, instance_id, generation, seq, turn, turn_at, \"timestamp\", fire_at, event_id,"
	" task_id, event_type, opens_turn, closes_turn, name, version, target_instance_id, payload, failure, tags, retry)"
	" SELECT h.task_hub, h.instance_id, h.generation, m.* FROM durable_store.history h"
	" CROSS JOIN LATERAL durable_store.unpack_events(h.more) m"
	" WHERE h.task_hub = $1 AND h.instance_id = $2 AND h.generation = $3",
	3, {TEXTOID, TEXTOID, INT8OID}
};

static StoreStatement forget_packs = {
	"UPDATE durable_store.history h SET more = NULL"
	" WHERE h.task_hub = $1 AND h.instance_id = $2 AND h.generation = $3 AND h.more IS NOT NULL",
	3, {TEXTOID, TEXTOID, INT8OID}
};

static StoreStatement reflag_event = {
	"UPDATE durable_store.history h SET opens_turn = $5, closes_turn = $6"
	" WHERE h.task_hub = $1 AND h.instance_id = $2 AND h.generation = $3 AND h.seq = $4",
	6, {TEXTOID, TEXTOID, INT8OID, INT4OID, BOOLOID, BOOLOID}
};

/* Activities nobody will wait for; those that run are left, and make the rewind wait. */
static StoreStatement delete_forgotten = {
	"WITH idle AS MATERIALIZED (SELECT q.task_id FROM durable_store.activity_queue q WHERE q.task_hub = $1"
	"  AND q.instance_id = $2 AND q.execution_id = $3 AND q.task_id >= $4 FOR UPDATE SKIP LOCKED)"
	" DELETE FROM durable_store.activity_queue q WHERE q.task_hub = $1 AND q.instance_id = $2 AND q.execution_id = $3"
	"  AND q.task_id = ANY (ARRAY(SELECT idle.task_id FROM idle))",
	4, {TEXTOID, TEXTOID, UUIDOID, INT4OID}
};

/* Children nobody will wait for go on alone: the new ones have the same numbers, and the answers shall be theirs. */
static StoreStatement detach_forgotten = {
	"UPDATE durable_store.instances i SET parent_instance_id = NULL, parent_execution_id = NULL, parent_task_id = NULL"
	" WHERE i.task_hub = $1 AND i.parent_instance_id = $2 AND i.parent_execution_id = $3 AND i.parent_task_id >= $4",
	4, {TEXTOID, TEXTOID, UUIDOID, INT4OID}
};

static StoreStatement count_forgotten = {
	"SELECT pg_catalog.count(*) FROM durable_store.activity_queue q" IDS_OF_ROW("q") " WHERE q.task_hub = $1"
	" AND q.instance_id = $2 AND q.execution_id = $3 AND m.task_id >= $4",
	4, {TEXTOID, TEXTOID, UUIDOID, INT4OID}
};

/* Of those that were read nothing is left by now. */
static StoreStatement find_unread_answer = {
	"SELECT FROM durable_store.inbox m WHERE m.task_hub = $1 AND m.instance_id = $2 AND m.execution_id = $3"
	" AND m.event_type = ANY ('{5,6,8,9}'::pg_catalog.int2[]) LIMIT 1",
	3, {TEXTOID, TEXTOID, UUIDOID}
};

/* Locks the instance and says why it cannot be rewound, if it cannot. */
static bool
lock_for_rewind(const char *task_hub, const char *instance_id, RewindRefusal *refusal)
{
	Datum		values[2] = {TEXT_DATUM(task_hub), TEXT_DATUM(instance_id)};
	StoreScope	scope;

	memset(refusal, 0, sizeof(RewindRefusal));
	store_open(&scope);
	refusal->exists = store_execute(&lock_failed, values, NULL) > 0;
	if (refusal->exists)
	{
		Row			row = store_row(&scope, 0);

		(void) runtime_status_from_name(row_text(&row, 1), &refusal->status);
		refusal->never_began = row_bool(&row, 2);
	}
	store_close(&scope);
	return refusal->exists && refusal->status == STATUS_FAILED && !refusal->never_began;
}

bool
store_begin_rewind(const char *task_hub, const char *instance_id, Jsonb *reason,
				   TimestampTz now, RewindRefusal *refusal)
{
	Datum		values[3] = {TEXT_DATUM(task_hub), TEXT_DATUM(instance_id), TimestampTzGetDatum(now)};
	HistoryEvent *rewound;
	MessageBuffer *messages;

	if (!lock_for_rewind(task_hub, instance_id, refusal))
		return false;
	(void) store_execute_once(&run_again, values);
	(void) store_execute_once(&release_answers, values);
	rewound = history_event_make(EVENT_EXECUTION_REWOUND, now);
	rewound->payload = reason;
	rewound->visible_at = now;
	messages = message_buffer_make();
	message_buffer_add(messages, instance_id, rewound);
	store_send_messages(task_hub, messages);
	return true;
}

static void
read_queued_ids(const StoreScope *scope, const RuntimeState *state, RewindFacts *facts)
{
	Datum		values[3] = {TEXT_DATUM(state->task_hub), TEXT_DATUM(state->instance_id), UUIDPGetDatum(&state->execution_id)};
	uint64		rows = store_execute(&find_queued, values, NULL);

	for (uint64 i = 0; i < rows; i++)
	{
		Row			row = store_row(scope, i);
		MemoryContext old = MemoryContextSwitchTo(scope->caller);

		facts->queued_ids = lappend_int(facts->queued_ids, row_int32(&row, 1));
		MemoryContextSwitchTo(old);
	}
}

static ChildFact *
child_from_row(const Row *row)
{
	ChildFact  *child = MemoryContextAllocZero(row->context, sizeof(ChildFact));

	child->instance_id = row_text(row, 1);
	(void) runtime_status_from_name(row_text(row, 2), &child->status);
	child->has_parent = row_uuid(row, 3, &child->parent_execution_id);
	child->parent_task_id = row_int32(row, 4);
	child->output = row_jsonb(row, 5);
	child->name = row_text(row, 6);
	return child;
}

static void
read_children(const StoreScope *scope, const RuntimeState *state, List *ids, RewindFacts *facts)
{
	static const Oid types[] = {TEXTOID};
	RowBuffer  *buffer = row_buffer_make(1, types);
	Datum		values[2] = {TEXT_DATUM(state->task_hub)};
	uint64		rows;
	ListCell   *lc;

	foreach(lc, ids)
	{
		row_buffer_add(buffer);
		row_buffer_set_text(buffer, 0, lfirst(lc));
	}
	row_buffer_arrays(buffer, values + 1);
	rows = store_execute(&find_children, values, NULL);
	for (uint64 i = 0; i < rows; i++)
	{
		Row			row = store_row(scope, i);
		ChildFact  *child = child_from_row(&row);
		MemoryContext old = MemoryContextSwitchTo(scope->caller);

		facts->children = lappend(facts->children, child);
		MemoryContextSwitchTo(old);
	}
}

RewindFacts *
store_read_rewind_facts(const RuntimeState *state, List *child_ids)
{
	RewindFacts *facts = palloc0(sizeof(RewindFacts));
	StoreScope	scope;

	store_open(&scope);
	read_queued_ids(&scope, state, facts);
	if (child_ids != NIL)
		read_children(&scope, state, child_ids, facts);
	store_close(&scope);
	return facts;
}

/* ------------------------------------------------------------------------
 * Writing
 * ------------------------------------------------------------------------
 */

static void
set_history_key(const RuntimeState *state, Datum *values)
{
	values[0] = TEXT_DATUM(state->task_hub);
	values[1] = TEXT_DATUM(state->instance_id);
	values[2] = Int64GetDatum(state->generation);
}

static void
remove_events(const RuntimeState *state, List *seqs)
{
	Datum	   *elements = palloc(sizeof(Datum) * list_length(seqs));
	Datum		values[4];
	int			n = 0;
	ListCell   *lc;

	foreach(lc, seqs)
		elements[n++] = Int32GetDatum(lfirst_int(lc));
	set_history_key(state, values);
	values[3] = PointerGetDatum(construct_array(elements, n, INT4OID, sizeof(int32), true, TYPALIGN_INT));
	(void) store_execute_once(&delete_events, values);
}

/* From now on each event has a row of its own. */
static void
unpack_history(const RuntimeState *state)
{
	Datum		values[3];

	set_history_key(state, values);
	if (store_execute_once(&unpack_rows, values) > 0)
		(void) store_execute_once(&forget_packs, values);
}

static void
reflag_events(const RuntimeState *state, List *events)
{
	Datum		values[6];
	ListCell   *lc;

	set_history_key(state, values);
	foreach(lc, events)
	{
		const HistoryEvent *event = lfirst(lc);

		values[3] = Int32GetDatum(event->seq);
		values[4] = BoolGetDatum(event->opens_turn);
		values[5] = BoolGetDatum(event->closes_turn);
		(void) store_execute_once(&reflag_event, values);
	}
}

/*
 * Takes back the activities that were asked for after the failure, and lets go
 * of the children; the new ones have the same numbers. An activity that runs
 * now has to end first.
 */
static void
drop_forgotten(const RuntimeState *state, const RewindPoint *point)
{
	Datum		values[4] = {TEXT_DATUM(state->task_hub), TEXT_DATUM(state->instance_id),
	UUIDPGetDatum(&state->execution_id), Int32GetDatum(point->first_forgotten_id)};
	StoreScope	scope;
	Row			row;
	int64		running;

	if (point->first_forgotten_id == FORGET_NOTHING)
		return;
	store_open(&scope);
	(void) store_execute(&detach_forgotten, values, NULL);
	store_unpack_activities(state->task_hub, state->instance_id, &state->execution_id, NULL);
	(void) store_execute(&delete_forgotten, values, NULL);
	(void) store_execute(&count_forgotten, values, NULL);
	row = store_row(&scope, 0);
	running = row_int64(&row, 1);
	store_close(&scope);
	if (running > 0)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("instance \"%s\" cannot be rewound while an activity runs that it scheduled after its failure",
						state->instance_id)));
}

/*
 * An answer that came after the messages of this turn were read: what it
 * answers was in the queue no more when the plan was made, so the plan would
 * ask for it again. The turn is repeated, with the answer.
 */
static void
require_no_unread_answers(const RuntimeState *state)
{
	Datum		values[3] = {TEXT_DATUM(state->task_hub), TEXT_DATUM(state->instance_id), UUIDPGetDatum(&state->execution_id)};

	if (store_execute_once(&find_unread_answer, values) > 0)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("instance \"%s\" was answered while it was rewound", state->instance_id)));
}

static void
rewind_children_of(const RuntimeState *state, List *child_ids, Jsonb *reason, TimestampTz now)
{
	ListCell   *lc;

	foreach(lc, child_ids)
	{
		RewindRefusal refusal;

		if (!store_begin_rewind(state->task_hub, lfirst(lc), reason, now, &refusal))
			ereport(ERROR,
					(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
					 errmsg("sub-orchestration \"%s\" changed while its parent was rewound", (char *) lfirst(lc))));
	}
}

static void
send_answers(const RuntimeState *state, List *events)
{
	MessageBuffer *messages = message_buffer_make();
	ListCell   *lc;

	foreach(lc, events)
		message_buffer_add(messages, state->instance_id, lfirst(lc));
	store_send_messages(state->task_hub, messages);
}

void
store_write_rewind(const RuntimeState *state, const RewindPoint *point, const RewindPlan *plan,
				   Jsonb *reason, TimestampTz now)
{
	drop_forgotten(state, point);
	require_no_unread_answers(state);
	unpack_history(state);
	remove_events(state, plan->removed_seqs);
	reflag_events(state, plan->reflagged);
	send_answers(state, plan->messages);
	rewind_children_of(state, plan->failed_children, reason, now);
}
