/*
 * store.h
 *		Running the engine's SQL: saved plans, as the extension's owner, with
 *		planner settings that do not change their minds as tables grow.
 *
 * Only files of this folder contain SQL about the tables of durable.
 */
#ifndef DURABLE_STORE_H
#define DURABLE_STORE_H

#include "postgres.h"
#include "access/htup.h"
#include "access/tupdesc.h"
#include "storage/itemptr.h"
#include "datatype/timestamp.h"
#include "executor/spi.h"
#include "utils/jsonb.h"
#include "utils/snapshot.h"
#include "utils/uuid.h"

#include "session.h"

#define STORE_MAX_ARGS 32

/* A statement; the plan is made at first use and kept for the life of the process. */
typedef struct StoreStatement
{
	const char *sql;
	int			n_args;
	Oid			arg_types[STORE_MAX_ARGS];
	SPIPlanPtr	plan;
} StoreStatement;

/* Between open and close statements may run; results are read with row_...() into "caller". */
typedef struct StoreScope
{
	EngineScope engine;
	MemoryContext caller;
} StoreScope;

extern void store_open(StoreScope *scope);
extern void store_close(StoreScope *scope);

/* Runs a statement and returns how many rows it returned or changed. nulls may be NULL: none. */
extern uint64 store_execute(StoreStatement *statement, Datum *values, const char *nulls);

/* store_execute() with nothing null, opened and closed around it: for statements whose result is not read. */
extern uint64 store_execute_once(StoreStatement *statement, Datum *values);

/*
 * Run a statement for the task hub, its first argument, and rows of a buffer:
 * for the only row; or "one" for a single row and else "many", whose arguments
 * are arrays. To be used between open and close; return how many rows it
 * returned or changed.
 */
struct RowBuffer;
extern uint64 store_execute_row(StoreStatement *statement, const char *task_hub, const struct RowBuffer *row);
extern uint64 store_execute_rows(StoreStatement *one, StoreStatement *many, const char *task_hub,
								 struct RowBuffer *rows);

/* store_execute() for a query that shall look with this snapshot whatever the isolation level. */
extern uint64 store_query_with_snapshot(StoreStatement *statement, Datum *values, const char *nulls,
										Snapshot snapshot);

/* Columns (from 1) of a row of the last result; strings and jsonb are copied to the scope's caller. */
typedef struct Row
{
	HeapTuple	tuple;
	TupleDesc	desc;
	MemoryContext context;
	const Datum *values;		/* the columns, and which are null; NULL: they are taken out of the tuple */
	const bool *nulls;
} Row;

extern Row	store_row(const StoreScope *scope, uint64 n);
extern bool row_is_null(const Row *row, int column);
extern char *row_text(const Row *row, int column);	/* NULL if null */
extern Jsonb *row_jsonb(const Row *row, int column);	/* NULL if null */
extern bytea *row_bytea(const Row *row, int column);	/* NULL if null; not copied */
extern int32 row_int32(const Row *row, int column);
extern int16 row_int16(const Row *row, int column);
extern int64 row_int64(const Row *row, int column);
extern Oid	row_oid(const Row *row, int column);
extern bool row_bool(const Row *row, int column);
extern TimestampTz row_time(const Row *row, int column);	/* DT_NOBEGIN if null */
extern void row_tid(const Row *row, int column, ItemPointer tid);
extern bool row_uuid(const Row *row, int column, pg_uuid_t *uuid);	/* false if null */

/*
 * Rows to be written by INSERT ... SELECT FROM unnest(): one array a column.
 */
typedef struct RowBuffer
{
	int			n_columns;
	int			n_rows;
	int			max_rows;
	const Oid  *types;
	Datum	  **values;
	bool	  **nulls;
} RowBuffer;

extern RowBuffer *row_buffer_make(int n_columns, const Oid *types);

/* Begins a row, all null; then set its columns (from 0). Pointers must live until the arrays are made. */
extern void row_buffer_add(RowBuffer *buffer);
extern void row_buffer_set(RowBuffer *buffer, int column, Datum value);
extern void row_buffer_set_text(RowBuffer *buffer, int column, const char *text);
extern void row_buffer_set_jsonb(RowBuffer *buffer, int column, Jsonb *json);

/* Makes the arrays into values[0 .. n_columns - 1]. */
extern void row_buffer_arrays(RowBuffer *buffer, Datum *values);

/* The values of one row, and their nulls as SPI wants them. */
extern void row_buffer_row(const RowBuffer *buffer, int row, Datum *values, char *nulls);

/*
 * Writes rows of a buffer into a table: one INSERT for all of them. "columns"
 * names the buffer's columns in order; the first column of the table is the
 * task hub.
 */
typedef struct StoreInsert
{
	const char *table;
	const char *columns;
	const struct DirectTable *direct;	/* not NULL: these are all columns in the table's order, and the keys are new */
	StoreStatement one;			/* a single row, the commonest case, is cheaper as VALUES */
	StoreStatement many;
} StoreInsert;

extern void store_insert(StoreInsert *insert, const char *task_hub, RowBuffer *rows);

/* C strings (a List of char *) as an array of text. */
extern Datum store_text_array(List *strings);

/*
 * SQL: the rows of the inbox of one instance, or of those of an array, by
 * ctid. Asking for them in the order of the primary key makes the planner use
 * it, however small the table was when it was last analyzed.
 */
#define MESSAGES_OF(hub, instance_id) \
	"ARRAY(SELECT x.ctid FROM durable_store.inbox x WHERE x.task_hub = " hub \
	" AND x.instance_id = " instance_id " ORDER BY x.message_id)"
#define MESSAGES_OF_ALL(hub, instance_ids) \
	"ARRAY(SELECT x.ctid FROM pg_catalog.unnest(" instance_ids ") u(instance_id)" \
	" CROSS JOIN LATERAL (SELECT b.ctid FROM durable_store.inbox b WHERE b.task_hub = " hub \
	" AND b.instance_id = u.instance_id ORDER BY b.message_id OFFSET 0) x)"

/* SQL: the ids of the activities of a row of the queue, "task_id" of "m". */
#define IDS_OF_ROW(q) \
	" CROSS JOIN LATERAL (SELECT " q ".task_id UNION ALL" \
	" SELECT e.event_id FROM durable_store.unpack_events(" q ".more) e) m"

/* SQL: the row is of this hub; not a condition for an index, where rows are found by ctid. */
#define OF_HUB(alias, hub) alias ".task_hub || '' = " hub

/* A Datum of a C string as text. */
#define TEXT_DATUM(s) CStringGetTextDatum(s)

#endif							/* DURABLE_STORE_H */
