/*
 * direct_rows.c
 *		Single rows without a statement: see direct_rows.h.
 *
 * What is done here is what nodeModifyTable.c and nodeLockRows.c do for the
 * statement, and in the same order.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_collation.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "compat.h"
#include "store/direct_rows.h"

const DirectTable direct_instances = {"instances", "instances_pkey", N_INSTANCE_ATTRIBUTES};

struct DirectInsert
{
	Relation	table;
	EState	   *estate;
	ResultRelInfo *target;
	TupleTableSlot *slot;
	bool		key_may_exist;
};

/* Is an insert nothing but a row and its index entries? */
static bool
is_plain(Relation table, int n_columns)
{
	const TupleConstr *constraints = RelationGetDescr(table)->constr;

	return table->rd_rel->relkind == RELKIND_RELATION && !table->rd_rel->relispartition &&
		RelationGetDescr(table)->natts == n_columns &&
		table->trigdesc == NULL && table->rd_rules == NULL && !table->rd_rel->relrowsecurity &&
		(constraints == NULL || !constraints->has_generated_stored);
}

/* NULL if it is left to statements. */
static Relation
open_table(const DirectTable *table, LOCKMODE mode)
{
	Oid			oid = get_relname_relid(table->name, get_namespace_oid("durable_store", false));
	Relation	relation;

	if (!OidIsValid(oid))
		return NULL;
	relation = table_open(oid, mode);
	if (is_plain(relation, table->n_columns))
		return relation;
	table_close(relation, NoLock);
	return NULL;
}

DirectInsert *
direct_insert_begin(const DirectTable *table, bool key_may_exist)
{
	Relation	relation = open_table(table, RowExclusiveLock);
	DirectInsert *insert;

	if (relation == NULL)
		return NULL;
	insert = palloc(sizeof(DirectInsert));
	insert->table = relation;
	insert->key_may_exist = key_may_exist;
	insert->estate = CreateExecutorState();
	insert->target = makeNode(ResultRelInfo);
	InitResultRelInfo(insert->target, relation, 0, NULL, 0);
	ExecOpenIndices(insert->target, key_may_exist);
	insert->slot = table_slot_create(relation, NULL);
	ExecStoreAllNullTuple(insert->slot);
	return insert;
}

void
direct_insert_set(DirectInsert *insert, AttrNumber column, Datum value)
{
	insert->slot->tts_values[column - 1] = value;
	insert->slot->tts_isnull[column - 1] = false;
}

void
direct_insert_set_row(DirectInsert *insert, const char *task_hub, const RowBuffer *row, const AttrNumber *columns)
{
	direct_insert_set(insert, 1, TEXT_DATUM(task_hub));
	for (int i = 0; i < row->n_columns; i++)
		if (!row->nulls[i][0])
			direct_insert_set(insert, columns[i], row->values[i][0]);
}

/* A row of all columns of the table in their order, in the place of the one before. */
static void
set_whole_row(DirectInsert *insert, Datum task_hub, const RowBuffer *rows, int row)
{
	ExecStoreAllNullTuple(insert->slot);
	direct_insert_set(insert, 1, task_hub);
	for (int i = 0; i < rows->n_columns; i++)
		if (!rows->nulls[i][row])
			direct_insert_set(insert, i + 2, rows->values[i][row]);
}

/* As INSERT ... ON CONFLICT DO NOTHING does it. */
static bool
insert_unless_taken(DirectInsert *insert)
{
	ItemPointerData taken_by;
	uint32		token;
	bool		taken = false;

	if (!durable_check_index_constraints(insert->target, insert->slot, insert->estate, &taken_by))
		return false;
	token = SpeculativeInsertionLockAcquire(GetCurrentTransactionId());
	table_tuple_insert_speculative(insert->table, insert->slot, GetCurrentCommandId(true), 0, NULL, token);
	(void) durable_insert_index_tuples(insert->target, insert->slot, insert->estate, true, &taken);
	table_tuple_complete_speculative(insert->table, insert->slot, token, !taken);
	SpeculativeInsertionLockRelease(GetCurrentTransactionId());
	return !taken;
}

static bool
put_row(DirectInsert *insert)
{
	if (RelationGetDescr(insert->table)->constr != NULL)
		ExecConstraints(insert->target, insert->slot, insert->estate);
	if (insert->key_may_exist)
		return insert_unless_taken(insert);
	table_tuple_insert(insert->table, insert->slot, GetCurrentCommandId(true), 0, NULL);
	(void) durable_insert_index_tuples(insert->target, insert->slot, insert->estate, false, NULL);
	return true;
}

bool
direct_insert_run(DirectInsert *insert)
{
	bool		inserted = put_row(insert);

	CommandCounterIncrement();
	return inserted;
}

void
direct_insert_end(DirectInsert *insert)
{
	if (insert == NULL)
		return;
	ExecDropSingleTupleTableSlot(insert->slot);
	ExecCloseIndices(insert->target);
	FreeExecutorState(insert->estate);
	table_close(insert->table, NoLock);
}

int
direct_delete(const DirectTable *table, const RowBuffer *places)
{
	Relation	relation = open_table(table, RowExclusiveLock);
	int			deleted = 0;

	if (relation == NULL)
		return -1;
	for (int i = 0; i < places->n_rows; i++)
	{
		TM_FailureData failure;

		CHECK_FOR_INTERRUPTS();
		if (table_tuple_delete(relation, (ItemPointer) DatumGetPointer(places->values[0][i]), GetCurrentCommandId(true),
							   GetActiveSnapshot(), InvalidSnapshot, true, &failure, false) == TM_Ok)
			deleted++;
	}
	CommandCounterIncrement();
	table_close(relation, NoLock);
	return deleted;
}

void
direct_text_key(ScanKey key, AttrNumber column, Datum value)
{
	ScanKeyEntryInitialize(key, 0, column, BTEqualStrategyNumber, InvalidOid, C_COLLATION_OID, F_TEXTEQ, value);
}

static void
instance_keys(ScanKey keys, const char *task_hub, const char *instance_id)
{
	direct_text_key(&keys[0], INSTANCE_TASK_HUB, TEXT_DATUM(task_hub));
	direct_text_key(&keys[1], INSTANCE_ID, TEXT_DATUM(instance_id));
}

bool
direct_look_begin(DirectLook *look, const char *table, const char *index, Snapshot snapshot, int n_keys, ScanKey keys)
{
	Oid			schema = get_namespace_oid("durable_store", false);

	look->table = table_open(get_relname_relid(table, schema), AccessShareLock);
	look->snapshot = RegisterSnapshot(snapshot);
	look->scan = systable_beginscan(look->table, get_relname_relid(index, schema), true, look->snapshot, n_keys, keys);
	look->slot = NULL;
	return direct_look_next(look);
}

DirectPlace
direct_look_place(const DirectLook *look)
{
	DirectPlace place = {look->table->rd_rel->relfilenode, look->row->t_self};

	return place;
}

bool
direct_look_again(DirectLook *look, const char *table, const DirectPlace *place, Snapshot snapshot)
{
	ItemPointerData tid = place->tid;

	look->table = table_open(get_relname_relid(table, get_namespace_oid("durable_store", false)), AccessShareLock);
	look->snapshot = RegisterSnapshot(snapshot);
	look->scan = NULL;
	look->slot = table_slot_create(look->table, NULL);
	look->row = NULL;
	if (place->file == look->table->rd_rel->relfilenode &&
		ItemPointerGetBlockNumber(&tid) < RelationGetNumberOfBlocks(look->table) &&
		table_tuple_fetch_row_version(look->table, &tid, look->snapshot, look->slot))
		look->row = ExecFetchSlotHeapTuple(look->slot, false, NULL);
	return look->row != NULL;
}

bool
direct_look_next(DirectLook *look)
{
	look->row = systable_getnext(look->scan);
	return HeapTupleIsValid(look->row);
}

Datum
direct_look_attribute(const DirectLook *look, AttrNumber column, bool *isnull)
{
	return heap_getattr(look->row, column, RelationGetDescr(look->table), isnull);
}

Datum
direct_look_value(const DirectLook *look, AttrNumber column)
{
	bool		isnull;
	Datum		value = direct_look_attribute(look, column, &isnull);

	return isnull ? (Datum) 0 : value;
}

void
direct_look_end(DirectLook *look)
{
	if (look->scan != NULL)
		systable_endscan(look->scan);
	if (look->slot != NULL)
		ExecDropSingleTupleTableSlot(look->slot);
	UnregisterSnapshot(look->snapshot);
	table_close(look->table, AccessShareLock);
}

bool
direct_look_is_plain(const DirectLook *look, const DirectTable *table)
{
	return is_plain(look->table, table->n_columns);
}

bool
direct_has_row(const char *table, const char *index, int n_keys, ScanKey keys)
{
	DirectLook	look;
	bool		found = direct_look_begin(&look, table, index, GetTransactionSnapshot(), n_keys, keys);

	direct_look_end(&look);
	return found;
}

bool
direct_look_at_instance(DirectLook *look, const char *task_hub, const char *instance_id, Snapshot snapshot)
{
	ScanKeyData keys[2];

	instance_keys(keys, task_hub, instance_id);
	return direct_look_begin(look, direct_instances.name, direct_instances.key, snapshot, 2, keys);
}

bool
direct_insert_rows(const DirectTable *table, const char *task_hub, const RowBuffer *rows)
{
	DirectInsert *insert = direct_insert_begin(table, false);
	Datum		hub = TEXT_DATUM(task_hub);

	if (insert == NULL)
		return false;
	for (int i = 0; i < rows->n_rows; i++)
	{
		CHECK_FOR_INTERRUPTS();
		ResetPerTupleExprContext(insert->estate);
		set_whole_row(insert, hub, rows, i);
		(void) put_row(insert);
	}
	CommandCounterIncrement();
	direct_insert_end(insert);
	return true;
}

/* The row of the table with the columns of a row of the buffer in it. */
static void
set_changed_row(TupleTableSlot *slot, TupleTableSlot *old, const RowBuffer *rows, int row,
				const AttrNumber *columns)
{
	int			n = slot->tts_tupleDescriptor->natts;

	slot_getallattrs(old);
	ExecStoreAllNullTuple(slot);
	memcpy(slot->tts_values, old->tts_values, n * sizeof(Datum));
	memcpy(slot->tts_isnull, old->tts_isnull, n * sizeof(bool));
	for (int i = 0; i < rows->n_columns; i++)
	{
		if (columns[i] == 0)
			continue;
		slot->tts_values[columns[i] - 1] = rows->values[i][row];
		slot->tts_isnull[columns[i] - 1] = rows->nulls[i][row];
	}
}

/* Changes the row at a place, as UPDATE does; false if it is not what this transaction sees and has locked. */
static bool
change_row(DirectInsert *update, TupleTableSlot *old, const RowBuffer *rows, int row, const AttrNumber *columns,
		   AttrNumber updated_at, TimestampTz now)
{
	ItemPointer tid = (ItemPointer) DatumGetPointer(rows->values[0][row]);

	if (!table_tuple_fetch_row_version(update->table, tid, GetActiveSnapshot(), old))
		return false;
	set_changed_row(update->slot, old, rows, row, columns);
	direct_insert_set(update, updated_at, TimestampTzGetDatum(now));
	if (RelationGetDescr(update->table)->constr != NULL)
		ExecConstraints(update->target, update->slot, update->estate);
	return durable_update_row(update->target, update->slot, update->estate, tid);
}

int
direct_update(const DirectTable *table, const RowBuffer *rows, const AttrNumber *columns,
			  AttrNumber updated_at, TimestampTz now)
{
	DirectInsert *update = direct_insert_begin(table, false);
	TupleTableSlot *old;
	int			updated = 0;

	if (update == NULL)
		return -1;
	old = table_slot_create(update->table, NULL);
	PushActiveSnapshot(GetTransactionSnapshot());	/* the rows were locked after the last one */
	for (int i = 0; i < rows->n_rows; i++)
	{
		CHECK_FOR_INTERRUPTS();
		ResetPerTupleExprContext(update->estate);
		if (change_row(update, old, rows, i, columns, updated_at, now))
			updated++;
	}
	PopActiveSnapshot();
	ExecDropSingleTupleTableSlot(old);
	CommandCounterIncrement();
	direct_insert_end(update);
	return updated;
}

/*
 * Locks the row, as it is at a snapshot; false if it was changed or deleted
 * since. Of one that is being changed the new version is locked, too: it is the
 * one that is there when that has committed.
 */
static bool
lock_found(DirectLock *lock, HeapTuple tuple, Snapshot snapshot)
{
	ItemPointerData tid = tuple->t_self;
	TM_FailureData failure;

	return table_tuple_lock(lock->table, &tid, snapshot, lock->slot, GetCurrentCommandId(true), LockTupleKeyShare,
							LockWaitBlock, TUPLE_LOCK_FLAG_LOCK_UPDATE_IN_PROGRESS, &failure) == TM_Ok;
}

static bool
find_and_lock(DirectLock *lock, const char *task_hub, const char *instance_id,
			  bool (*lock_it) (DirectLock *lock, HeapTuple tuple, Snapshot snapshot))
{
	Snapshot	snapshot = RegisterSnapshot(GetTransactionSnapshot());
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		locked;

	instance_keys(keys, task_hub, instance_id);
	scan = systable_beginscan(lock->table, lock->index, true, snapshot, 2, keys);
	tuple = systable_getnext(scan);
	locked = HeapTupleIsValid(tuple) && lock_it(lock, tuple, snapshot);

	systable_endscan(scan);
	UnregisterSnapshot(snapshot);
	return locked;
}

/* False: left to a statement. */
static bool
direct_lock_begin(DirectLock *lock)
{
	lock->table = open_table(&direct_instances, RowShareLock);
	if (lock->table == NULL)
		return false;
	/* while we have the table, REINDEX CONCURRENTLY does not drop the index it has exchanged */
	lock->index = get_relname_relid(direct_instances.key, get_namespace_oid("durable_store", false));
	lock->slot = table_slot_create(lock->table, NULL);
	if (OidIsValid(lock->index))
		return true;
	direct_lock_end(lock);
	return false;
}

bool
direct_share_instance(DirectLock *lock, const char *task_hub, const char *instance_id)
{
	if (!direct_lock_begin(lock))
		return false;
	if (find_and_lock(lock, task_hub, instance_id, lock_found))
		return true;
	direct_lock_end(lock);
	return false;
}

/* Locks the newest version of the row, as a statement would in READ COMMITTED; false if somebody holds it. */
static bool
lock_newest(DirectLock *lock, HeapTuple tuple, Snapshot snapshot)
{
	ItemPointerData tid = tuple->t_self;
	TM_FailureData failure;

	return table_tuple_lock(lock->table, &tid, snapshot, lock->slot, GetCurrentCommandId(true), LockTupleNoKeyExclusive,
							LockWaitSkip, TUPLE_LOCK_FLAG_LOCK_UPDATE_IN_PROGRESS | TUPLE_LOCK_FLAG_FIND_LAST_VERSION,
							&failure) == TM_Ok;
}

/* Has the row this key still? Somebody may have changed it by hand. */
static bool
has_key(const DirectLock *lock, const char *task_hub, const char *instance_id)
{
	return strcmp(TextDatumGetCString(direct_lock_value(lock, INSTANCE_TASK_HUB)), task_hub) == 0 &&
		strcmp(TextDatumGetCString(direct_lock_value(lock, INSTANCE_ID)), instance_id) == 0;
}

bool
direct_can_lock_instances(void)
{
	DirectLock	lock;

	if (IsolationUsesXactSnapshot() || !direct_lock_begin(&lock))
		return false;
	direct_lock_end(&lock);
	return true;
}

bool
direct_lock_instance(DirectLock *lock, const char *task_hub, const char *instance_id)
{
	if (!direct_lock_begin(lock))
		return false;
	if (find_and_lock(lock, task_hub, instance_id, lock_newest) && has_key(lock, task_hub, instance_id))
		return true;
	direct_lock_end(lock);
	return false;
}

HeapTuple
direct_lock_row(const DirectLock *lock)
{
	return ExecFetchSlotHeapTuple(lock->slot, false, NULL);
}

Datum
direct_lock_value(const DirectLock *lock, AttrNumber column)
{
	bool		isnull;
	Datum		value = slot_getattr(lock->slot, column, &isnull);

	return isnull ? (Datum) 0 : value;
}

void
direct_lock_end(DirectLock *lock)
{
	ExecDropSingleTupleTableSlot(lock->slot);
	table_close(lock->table, NoLock);
}
