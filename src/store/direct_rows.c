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
const DirectTable direct_history = {"history", "history_pkey", N_HISTORY_ATTRIBUTES};

/* A table that rows are written to, as the executor's functions want it. */
typedef struct RowWriter
{
	Relation	table;
	EState	   *estate;
	ResultRelInfo *target;
	TupleTableSlot *slot;		/* the row */
} RowWriter;

struct DirectInsert
{
	RowWriter	to;
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

/* False: it is left to statements. "speculative": the insertions may be. */
static bool
begin_writing(RowWriter *to, const DirectTable *table, bool speculative)
{
	to->table = open_table(table, RowExclusiveLock);
	if (to->table == NULL)
		return false;
	to->estate = CreateExecutorState();
	to->target = makeNode(ResultRelInfo);
	InitResultRelInfo(to->target, to->table, 0, NULL, 0);
	ExecOpenIndices(to->target, speculative);
	to->slot = table_slot_create(to->table, NULL);
	return true;
}

static void
end_writing(RowWriter *to)
{
	ExecDropSingleTupleTableSlot(to->slot);
	ExecCloseIndices(to->target);
	FreeExecutorState(to->estate);
	table_close(to->table, NoLock);
}

/* Does the row satisfy the constraints? Throws if not. */
static void
check_row(RowWriter *to)
{
	if (RelationGetDescr(to->table)->constr != NULL)
		ExecConstraints(to->target, to->slot, to->estate);
}

DirectInsert *
direct_insert_begin(const DirectTable *table, bool key_may_exist)
{
	DirectInsert *insert = palloc(sizeof(DirectInsert));

	if (!begin_writing(&insert->to, table, key_may_exist))
		return NULL;
	insert->key_may_exist = key_may_exist;
	ExecStoreAllNullTuple(insert->to.slot);
	return insert;
}

void
direct_insert_set(DirectInsert *insert, AttrNumber column, Datum value)
{
	insert->to.slot->tts_values[column - 1] = value;
	insert->to.slot->tts_isnull[column - 1] = false;
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
	ExecStoreAllNullTuple(insert->to.slot);
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

	if (!durable_check_index_constraints(insert->to.target, insert->to.slot, insert->to.estate, &taken_by))
		return false;
	token = SpeculativeInsertionLockAcquire(GetCurrentTransactionId());
	table_tuple_insert_speculative(insert->to.table, insert->to.slot, GetCurrentCommandId(true), 0, NULL, token);
	(void) durable_insert_index_tuples(insert->to.target, insert->to.slot, insert->to.estate, true, &taken);
	table_tuple_complete_speculative(insert->to.table, insert->to.slot, token, !taken);
	SpeculativeInsertionLockRelease(GetCurrentTransactionId());
	return !taken;
}

static bool
put_row(DirectInsert *insert)
{
	check_row(&insert->to);
	if (insert->key_may_exist)
		return insert_unless_taken(insert);
	table_tuple_insert(insert->to.table, insert->to.slot, GetCurrentCommandId(true), 0, NULL);
	(void) durable_insert_index_tuples(insert->to.target, insert->to.slot, insert->to.estate, false, NULL);
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
	end_writing(&insert->to);
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

struct DirectUpdate
{
	RowWriter	to;
	TupleTableSlot *old;		/* the row that was taken; holds what is not set anew */
};

DirectUpdate *
direct_update_begin(const DirectTable *table)
{
	DirectUpdate *update = palloc(sizeof(DirectUpdate));

	if (!begin_writing(&update->to, table, false))
		return NULL;
	update->old = table_slot_create(update->to.table, NULL);
	return update;
}

static bool
is_of_hub(TupleTableSlot *slot, const char *task_hub)
{
	bool		isnull;
	text	   *hub = DatumGetTextPP(slot_getattr(slot, 1, &isnull));

	return VARSIZE_ANY_EXHDR(hub) == strlen(task_hub) && memcmp(VARDATA_ANY(hub), task_hub, strlen(task_hub)) == 0;
}

bool
direct_update_take(DirectUpdate *update, const char *task_hub, ItemPointer place)
{
	int			natts = RelationGetDescr(update->to.table)->natts;

	CHECK_FOR_INTERRUPTS();
	if (!table_tuple_fetch_row_version(update->to.table, place, SnapshotSelf, update->old) ||
		!is_of_hub(update->old, task_hub))
		return false;
	slot_getallattrs(update->old);
	ExecClearTuple(update->to.slot);
	memcpy(update->to.slot->tts_values, update->old->tts_values, natts * sizeof(Datum));
	memcpy(update->to.slot->tts_isnull, update->old->tts_isnull, natts * sizeof(bool));
	ExecStoreVirtualTuple(update->to.slot);
	return true;
}

void
direct_update_set(DirectUpdate *update, AttrNumber column, Datum value, bool isnull)
{
	update->to.slot->tts_values[column - 1] = value;
	update->to.slot->tts_isnull[column - 1] = isnull;
}

bool
direct_update_run(DirectUpdate *update, ItemPointer place)
{
	TM_FailureData failure;
	LockTupleMode mode;
	DurableStaleIndexes stale;

	ResetPerTupleExprContext(update->to.estate);
	check_row(&update->to);
	if (table_tuple_update(update->to.table, &update->old->tts_tid, update->to.slot, GetCurrentCommandId(true), GetActiveSnapshot(),
						   InvalidSnapshot, true, &failure, &mode, &stale) != TM_Ok)
		return false;
	(void) durable_update_index_tuples(update->to.target, update->to.slot, update->to.estate, stale);
	*place = update->to.slot->tts_tid;
	return true;
}

void
direct_update_end(DirectUpdate *update)
{
	CommandCounterIncrement();
	ExecDropSingleTupleTableSlot(update->old);
	end_writing(&update->to);
}

void
direct_text_key(ScanKey key, AttrNumber column, Datum value)
{
	ScanKeyEntryInitialize(key, 0, column, BTEqualStrategyNumber, InvalidOid, C_COLLATION_OID, F_TEXTEQ, value);
}

void
direct_instance_keys(ScanKey keys, const char *task_hub, const char *instance_id)
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
direct_look_is_plain(const DirectLook *look, const DirectTable *table)
{
	return is_plain(look->table, table->n_columns);
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
direct_table_is_empty(const char *table)
{
	Relation	relation = table_open(get_relname_relid(table, get_namespace_oid("durable_store", false)), AccessShareLock);
	bool		is_empty = RelationGetNumberOfBlocks(relation) == 0;

	table_close(relation, AccessShareLock);
	return is_empty;
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

	direct_instance_keys(keys, task_hub, instance_id);
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
		ResetPerTupleExprContext(insert->to.estate);
		set_whole_row(insert, hub, rows, i);
		(void) put_row(insert);
	}
	CommandCounterIncrement();
	direct_insert_end(insert);
	return true;
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
find_and_lock(DirectLock *lock, Oid index, ScanKey keys, int n_keys)
{
	Snapshot	snapshot = RegisterSnapshot(GetTransactionSnapshot());
	SysScanDesc scan = systable_beginscan(lock->table, index, true, snapshot, n_keys, keys);
	HeapTuple	tuple = systable_getnext(scan);
	bool		locked = HeapTupleIsValid(tuple) && lock_found(lock, tuple, snapshot);

	systable_endscan(scan);
	UnregisterSnapshot(snapshot);
	return locked;
}

bool
direct_share_instance(DirectLock *lock, const char *task_hub, const char *instance_id)
{
	ScanKeyData keys[2];
	Oid			index;

	lock->table = open_table(&direct_instances, RowShareLock);
	if (lock->table == NULL)
		return false;
	/* while we have the table, REINDEX CONCURRENTLY does not drop the index it has exchanged */
	index = get_relname_relid(direct_instances.key, get_namespace_oid("durable_store", false));
	lock->slot = table_slot_create(lock->table, NULL);
	direct_instance_keys(keys, task_hub, instance_id);
	if (OidIsValid(index) && find_and_lock(lock, index, keys, 2))
		return true;
	direct_lock_end(lock);
	return false;
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

/* ------------------------------------------------------------------------
 * Rows of many keys
 * ------------------------------------------------------------------------
 */

struct DirectScan
{
	Relation	table;
	Relation	index;
	Snapshot	snapshot;
	IndexScanDesc scan;
	TupleTableSlot *found;
	TupleTableSlot *locked;
	TupleTableSlot *row;		/* one of these */
	int			n_keys;
	ScanKey		keys;			/* of the row that was found */
};

/* The index of the primary key; NULL: it cannot be used. */
static Relation
open_key(const DirectTable *table)
{
	Oid			oid = get_relname_relid(table->key, get_namespace_oid("durable_store", false));
	Relation	index;

	if (!OidIsValid(oid))
		return NULL;
	index = index_open(oid, AccessShareLock);
	if (index->rd_index->indisvalid)
		return index;
	index_close(index, AccessShareLock);
	return NULL;
}

DirectScan *
direct_scan_begin(const DirectTable *table, LOCKMODE mode, int n_keys)
{
	Relation	relation = IsolationUsesXactSnapshot() ? NULL : open_table(table, mode);
	Relation	index = relation ? open_key(table) : NULL;
	DirectScan *scan;

	if (index == NULL)
	{
		if (relation != NULL)
			table_close(relation, NoLock);
		return NULL;
	}
	scan = palloc0(sizeof(DirectScan));
	scan->table = relation;
	scan->index = index;
	scan->snapshot = RegisterSnapshot(GetTransactionSnapshot());
	scan->n_keys = n_keys;
	scan->scan = durable_index_beginscan(relation, index, scan->snapshot, n_keys);
	scan->found = table_slot_create(relation, NULL);
	scan->locked = table_slot_create(relation, NULL);
	return scan;
}

bool
direct_scan_find(DirectScan *scan, ScanKey keys)
{
	CHECK_FOR_INTERRUPTS();
	scan->keys = keys;
	index_rescan(scan->scan, keys, scan->n_keys, NULL, 0);
	return direct_scan_next(scan);
}

bool
direct_scan_next(DirectScan *scan)
{
	scan->row = scan->found;
	return index_getnext_slot(scan->scan, ForwardScanDirection, scan->found);
}

/* Are the first columns of the row those that were looked for? */
static bool
has_keys(const DirectScan *scan, TupleTableSlot *slot)
{
	for (int i = 0; i < scan->n_keys; i++)
	{
		const ScanKeyData *key = &scan->keys[i];
		bool		isnull;
		Datum		value = slot_getattr(slot, scan->index->rd_index->indkey.values[key->sk_attno - 1], &isnull);

		if (isnull || !DatumGetBool(FunctionCall2Coll((FmgrInfo *) &key->sk_func, key->sk_collation, value, key->sk_argument)))
			return false;
	}
	return true;
}

bool
direct_scan_lock(DirectScan *scan)
{
	ItemPointerData tid = scan->found->tts_tid;
	TM_FailureData failure;
	TM_Result	result = table_tuple_lock(scan->table, &tid, scan->snapshot, scan->locked, GetCurrentCommandId(true),
										  LockTupleNoKeyExclusive, LockWaitSkip,
										  TUPLE_LOCK_FLAG_LOCK_UPDATE_IN_PROGRESS | TUPLE_LOCK_FLAG_FIND_LAST_VERSION, &failure);

	if (result != TM_Ok || (failure.traversed && !has_keys(scan, scan->locked)))
		return false;
	scan->row = scan->locked;
	return true;
}

Row
direct_scan_row(const DirectScan *scan, MemoryContext context)
{
	Row			row = {NULL, RelationGetDescr(scan->table), context};
	bool		copied;

	slot_getallattrs(scan->row);
	row.tuple = ExecFetchSlotHeapTuple(scan->row, false, &copied);
	row.values = scan->row->tts_values;
	row.nulls = scan->row->tts_isnull;
	return row;
}

void
direct_scan_end(DirectScan *scan)
{
	ExecDropSingleTupleTableSlot(scan->locked);
	ExecDropSingleTupleTableSlot(scan->found);
	index_endscan(scan->scan);
	UnregisterSnapshot(scan->snapshot);
	index_close(scan->index, AccessShareLock);
	table_close(scan->table, NoLock);
}
