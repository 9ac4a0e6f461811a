/*
 * direct_rows.h
 *		Single rows of our tables, read, written, locked and deleted without a statement, for
 *		what clients do most often: to set up a statement costs more than its row.
 *
 * What is to be written and is out of the ordinary is left to the caller's statement: a table
 * that somebody gave triggers, rules, row security or further columns, a
 * key that is taken, a row that is being changed. Nothing has happened then.
 */
#ifndef DURABLE_DIRECT_ROWS_H
#define DURABLE_DIRECT_ROWS_H

#include "postgres.h"
#include "access/attnum.h"
#include "access/skey.h"
#include "utils/relcache.h"

#include "store/store.h"

/* A table as this library knows it. */
typedef struct DirectTable
{
	const char *name;			/* in durable_store */
	const char *key;			/* the index of its primary key, which begins with task_hub and instance_id */
	int			n_columns;
} DirectTable;

/* Columns of instances, in the order of the table. */
enum
{
	INSTANCE_TASK_HUB = 1, INSTANCE_ID, INSTANCE_EXECUTION_ID, INSTANCE_CODE, INSTANCE_GENERATION, INSTANCE_CREATED_AT,
	INSTANCE_UPDATED_AT, INSTANCE_SCHEDULED_START_AT, INSTANCE_COMPLETED_AT, INSTANCE_TURN, INSTANCE_LAST_SEQ,
	INSTANCE_PARENT_TASK_ID, INSTANCE_PARENT_EXECUTION_ID, INSTANCE_NOTIFY, INSTANCE_STATUS, INSTANCE_NAME,
	INSTANCE_FUNCTION, INSTANCE_VERSION, INSTANCE_PARENT_INSTANCE_ID, INSTANCE_TRACE_PARENT, INSTANCE_WAITING_EVENTS,
	INSTANCE_SETTINGS, INSTANCE_TAGS, INSTANCE_INPUT, INSTANCE_OUTPUT, INSTANCE_FAILURE, INSTANCE_CUSTOM_STATUS,
	N_INSTANCE_ATTRIBUTES = INSTANCE_CUSTOM_STATUS
};

/* Columns of history. */
enum
{
	HISTORY_TASK_HUB = 1, HISTORY_INSTANCE_ID, HISTORY_GENERATION, HISTORY_SEQ, HISTORY_TURN, HISTORY_TURN_AT, HISTORY_TIMESTAMP,
	HISTORY_FIRE_AT, HISTORY_EVENT_ID, HISTORY_TASK_ID, HISTORY_EVENT_TYPE, HISTORY_OPENS_TURN, HISTORY_CLOSES_TURN,
	HISTORY_NAME, HISTORY_VERSION, HISTORY_TARGET, HISTORY_PAYLOAD, HISTORY_FAILURE, HISTORY_TAGS, HISTORY_RETRY, HISTORY_MORE,
	N_HISTORY_ATTRIBUTES = HISTORY_MORE
};

/* Columns of inbox. */
enum
{
	MESSAGE_TASK_HUB = 1, MESSAGE_INSTANCE_ID, MESSAGE_ID, MESSAGE_VISIBLE_AT, MESSAGE_TIMESTAMP, MESSAGE_FIRE_AT,
	MESSAGE_EXECUTION_ID, MESSAGE_TASK_ID, MESSAGE_EVENT_TYPE, MESSAGE_RECURSE, MESSAGE_NAME, MESSAGE_PAYLOAD, MESSAGE_FAILURE,
	MESSAGE_MORE,
	N_MESSAGE_ATTRIBUTES = MESSAGE_MORE
};

extern const DirectTable direct_instances;
extern const DirectTable direct_history;

typedef struct DirectInsert DirectInsert;

/*
 * Begins to insert a row, all null; NULL if that is left to a statement.
 * "key_may_exist": somebody else may have a row of this key.
 */
extern DirectInsert *direct_insert_begin(const DirectTable *table, bool key_may_exist);

extern void direct_insert_set(DirectInsert *insert, AttrNumber column, Datum value);

/* Sets task_hub, and the columns that "columns" names from the only row of a buffer. */
extern void direct_insert_set_row(DirectInsert *insert, const char *task_hub, const RowBuffer *row, const AttrNumber *columns);

/* False if the key is taken, or somebody is about to take it. Later commands of this transaction see the row. */
extern bool direct_insert_run(DirectInsert *insert);

/* Inserts rows of new keys that have all columns of the table, in their order, but for task_hub. False: left to a statement. */
extern bool direct_insert_rows(const DirectTable *table, const char *task_hub, const RowBuffer *rows);

/* To be called for each that was begun; NULL is none. */
extern void direct_insert_end(DirectInsert *insert);

typedef struct DirectUpdate DirectUpdate;

/* Begins to update rows that this transaction has locked; NULL if that is left to a statement. */
extern DirectUpdate *direct_update_begin(const DirectTable *table);

/* Takes the row at a place as it is, to have its columns set; false if it is not there, or of another hub. */
extern bool direct_update_take(DirectUpdate *update, const char *task_hub, ItemPointer place);

extern void direct_update_set(DirectUpdate *update, AttrNumber column, Datum value, bool isnull);

/* Writes the row that was taken, and says where it is now; false if it was changed by somebody else. */
extern bool direct_update_run(DirectUpdate *update, ItemPointer place);

/* Later commands of this transaction see the rows. */
extern void direct_update_end(DirectUpdate *update);

/* Deletes rows by their places, if all are as they were read; returns how many, -1: left to a statement. */
extern int	direct_delete(const DirectTable *table, const RowBuffer *places);

/* The key of a scan: a column of type text COLLATE "C" is this. */
extern void direct_text_key(ScanKey key, AttrNumber column, Datum value);

/* The first two keys of a scan by a primary key: those of an instance, in whichever table. */
extern void direct_instance_keys(ScanKey keys, const char *task_hub, const char *instance_id);

/* A look at a table of ours by the first columns of an index. */
typedef struct DirectLook
{
	Relation	table;
	Snapshot	snapshot;
	struct SysScanDescData *scan;	/* NULL: by its place */
	struct TupleTableSlot *slot;	/* by its place */
	HeapTuple	row;			/* the first that was found; NULL: none */
} DirectLook;

/* Looks with a snapshot; true if there is a row. To be ended in any case. */
extern bool direct_look_begin(DirectLook *look, const char *table, const char *index, Snapshot snapshot,
							  int n_keys, ScanKey keys);

/* Where a row was found. */
typedef struct DirectPlace
{
	Oid			file;			/* of the table; InvalidOid: none was found */
	ItemPointerData tid;
} DirectPlace;

extern DirectPlace direct_look_place(const DirectLook *look);

/*
 * Looks there again, which costs less than an index: true if a row is to be
 * seen there. The caller asks whether it is the one. To be ended in any case.
 */
extern bool direct_look_again(DirectLook *look, const char *table, const DirectPlace *place, Snapshot snapshot);

/* Has the table that is looked at nothing out of the ordinary? */
extern bool direct_look_is_plain(const DirectLook *look, const DirectTable *table);

/* Goes on to the next row. */
extern bool direct_look_next(DirectLook *look);

extern Datum direct_look_attribute(const DirectLook *look, AttrNumber column, bool *isnull);

/* 0 for null. */
extern Datum direct_look_value(const DirectLook *look, AttrNumber column);

extern void direct_look_end(DirectLook *look);

/* Has the table nothing at all, for anybody? That is known at a fraction of the cost of a look. */
extern bool direct_table_is_empty(const char *table);

/* Is there a row of these keys, as this transaction sees the table now? */
extern bool direct_has_row(const char *table, const char *index, int n_keys, ScanKey keys);

/* The row of an instance, as a snapshot has it. */
extern bool direct_look_at_instance(DirectLook *look, const char *task_hub, const char *instance_id, Snapshot snapshot);

/* A row that is locked FOR KEY SHARE. */
typedef struct DirectLock
{
	Relation	table;
	struct TupleTableSlot *slot;	/* the row */
} DirectLock;

/* False, and nothing is to be ended: left to a statement, which may find that there is no such row. */
extern bool direct_share_instance(DirectLock *lock, const char *task_hub, const char *instance_id);

/* 0 for null. */
extern Datum direct_lock_value(const DirectLock *lock, AttrNumber column);

extern void direct_lock_end(DirectLock *lock);

/*
 * Rows of many keys, one after the other, in the order of the primary key, as
 * they are when the scan begins.
 */
typedef struct DirectScan DirectScan;

/* NULL if that is left to statements. "mode": of the table's lock. */
extern DirectScan *direct_scan_begin(const DirectTable *table, LOCKMODE mode, int n_keys);

/* The first row of these values of the first columns of the key; false: there is none. */
extern bool direct_scan_find(DirectScan *scan, ScanKey keys);

extern bool direct_scan_next(DirectScan *scan);

/* FOR NO KEY UPDATE SKIP LOCKED: false if somebody has it, or it is gone; else it is the row as it is now. */
extern bool direct_scan_lock(DirectScan *scan);

/* The row that was found, or locked, until the next one is; what is read of it is copied to "context". */
extern Row	direct_scan_row(const DirectScan *scan, MemoryContext context);

extern void direct_scan_end(DirectScan *scan);

#endif							/* DURABLE_DIRECT_ROWS_H */
