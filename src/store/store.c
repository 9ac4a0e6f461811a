/*
 * store.c
 *		Running the engine's SQL: see store.h.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "jit/jit.h"
#include "optimizer/cost.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "early_commit.h"
#include "store/direct_rows.h"
#include "store/store.h"

/* So many rows are inserted faster one by one than from arrays: setting up the unnests costs more. */
#define FEW_ROWS 4

void
store_open(StoreScope *scope)
{
	scope->caller = CurrentMemoryContext;
	engine_enter(&scope->engine);
	SPI_connect();
}

void
store_close(StoreScope *scope)
{
	SPI_finish();
	engine_leave(&scope->engine);
	MemoryContextSwitchTo(scope->caller);
}

static void
prepare(StoreStatement *statement)
{
	if (statement->plan != NULL)
		return;
	/* values tell the planner nothing: one plan for all of them */
	statement->plan = SPI_prepare_cursor(statement->sql, statement->n_args, statement->arg_types,
										 CURSOR_OPT_GENERIC_PLAN);
	if (statement->plan == NULL || SPI_keepplan(statement->plan) != 0)
		elog(ERROR, "could not prepare a statement of durable: %s", SPI_result_code_string(SPI_result));
}

static uint64
run(StoreStatement *statement, Datum *values, const char *nulls, Snapshot snapshot)
{
	int			result;

	prepare(statement);
	if (snapshot != InvalidSnapshot)
		result = SPI_execute_snapshot(statement->plan, values, nulls, snapshot, InvalidSnapshot, true, false, 0);
	else
		result = SPI_execute_plan(statement->plan, values, nulls, false, 0);
	if (result < 0)
		elog(ERROR, "could not run a statement of durable: %s", SPI_result_code_string(result));
	if (result != SPI_OK_SELECT)
		early_commit_note_statement();
	return SPI_processed;
}

/*
 * Every statement of ours finds its rows by the leading columns of an index.
 * Plans are kept while tables grow from nothing to millions of rows, so the
 * planner may not choose what is only good for small ones. What it must choose
 * all the same looks dear to it, and is not to be compiled. The variables are
 * set directly: as settings they would cost more than the statement.
 */
static uint64
run_indexed(StoreStatement *statement, Datum *values, const char *nulls, Snapshot snapshot)
{
	bool		seqscan = enable_seqscan;
	bool		hashjoin = enable_hashjoin;
	bool		mergejoin = enable_mergejoin;
	bool		bitmapscan = enable_bitmapscan;
	bool		indexscan = enable_indexscan;
	bool		nestloop = enable_nestloop;
	bool		sort = enable_sort;
	bool		jit = jit_enabled;
	uint64		rows;

	enable_seqscan = enable_hashjoin = enable_mergejoin = enable_bitmapscan = enable_sort = jit_enabled = false;
	enable_indexscan = enable_nestloop = true;
	PG_TRY();
	{
		rows = run(statement, values, nulls, snapshot);
	}
	PG_FINALLY();
	{
		enable_seqscan = seqscan;
		enable_hashjoin = hashjoin;
		enable_mergejoin = mergejoin;
		enable_bitmapscan = bitmapscan;
		enable_indexscan = indexscan;
		enable_nestloop = nestloop;
		enable_sort = sort;
		jit_enabled = jit;
	}
	PG_END_TRY();
	return rows;
}

uint64
store_execute(StoreStatement *statement, Datum *values, const char *nulls)
{
	return run_indexed(statement, values, nulls, InvalidSnapshot);
}

uint64
store_execute_once(StoreStatement *statement, Datum *values)
{
	StoreScope	scope;
	uint64		rows;

	store_open(&scope);
	rows = store_execute(statement, values, NULL);
	store_close(&scope);
	return rows;
}

uint64
store_execute_row(StoreStatement *statement, const char *task_hub, const RowBuffer *row)
{
	Datum		values[STORE_MAX_ARGS] = {TEXT_DATUM(task_hub)};
	char		nulls[STORE_MAX_ARGS] = {' '};

	row_buffer_row(row, 0, values + 1, nulls + 1);
	return store_execute(statement, values, nulls);
}

uint64
store_execute_rows(StoreStatement *one, StoreStatement *many, const char *task_hub, RowBuffer *rows)
{
	Datum		values[STORE_MAX_ARGS] = {TEXT_DATUM(task_hub)};

	if (rows->n_rows == 1)
		return store_execute_row(one, task_hub, rows);
	row_buffer_arrays(rows, values + 1);
	return store_execute(many, values, NULL);
}

uint64
store_query_with_snapshot(StoreStatement *statement, Datum *values, const char *nulls, Snapshot snapshot)
{
	return run_indexed(statement, values, nulls, snapshot);
}

/* ------------------------------------------------------------------------
 * Reading rows
 * ------------------------------------------------------------------------
 */

Row
store_row(const StoreScope *scope, uint64 n)
{
	Row			row;

	row.tuple = SPI_tuptable->vals[n];
	row.desc = SPI_tuptable->tupdesc;
	row.context = scope->caller;
	row.values = NULL;
	row.nulls = NULL;
	return row;
}

static Datum
column(const Row *row, int column, bool *isnull)
{
	if (row->values == NULL)
		return SPI_getbinval(row->tuple, row->desc, column, isnull);
	*isnull = row->nulls[column - 1];
	return row->values[column - 1];
}

bool
row_is_null(const Row *row, int col)
{
	bool		isnull;

	(void) column(row, col, &isnull);
	return isnull;
}

char *
row_text(const Row *row, int col)
{
	bool		isnull;
	Datum		value = column(row, col, &isnull);
	MemoryContext old;
	char	   *copy;

	if (isnull)
		return NULL;
	old = MemoryContextSwitchTo(row->context);
	copy = TextDatumGetCString(value);
	MemoryContextSwitchTo(old);
	return copy;
}

Jsonb *
row_jsonb(const Row *row, int col)
{
	bool		isnull;
	Datum		value = column(row, col, &isnull);
	MemoryContext old;
	Jsonb	   *json;

	if (isnull)
		return NULL;
	old = MemoryContextSwitchTo(row->context);
	json = (Jsonb *) PG_DETOAST_DATUM_COPY(value);
	MemoryContextSwitchTo(old);
	return json;
}

bytea *
row_bytea(const Row *row, int col)
{
	bool		isnull;
	Datum		value = column(row, col, &isnull);

	return isnull ? NULL : DatumGetByteaPP(value);
}

int32
row_int32(const Row *row, int col)
{
	bool		isnull;
	Datum		value = column(row, col, &isnull);

	return isnull ? 0 : DatumGetInt32(value);
}

int16
row_int16(const Row *row, int col)
{
	bool		isnull;
	Datum		value = column(row, col, &isnull);

	return isnull ? 0 : DatumGetInt16(value);
}

int64
row_int64(const Row *row, int col)
{
	bool		isnull;
	Datum		value = column(row, col, &isnull);

	return isnull ? 0 : DatumGetInt64(value);
}

Oid
row_oid(const Row *row, int col)
{
	bool		isnull;
	Datum		value = column(row, col, &isnull);

	return isnull ? InvalidOid : DatumGetObjectId(value);
}

bool
row_bool(const Row *row, int col)
{
	bool		isnull;
	Datum		value = column(row, col, &isnull);

	return !isnull && DatumGetBool(value);
}

TimestampTz
row_time(const Row *row, int col)
{
	bool		isnull;
	Datum		value = column(row, col, &isnull);

	return isnull ? DT_NOBEGIN : DatumGetTimestampTz(value);
}

void
row_tid(const Row *row, int col, ItemPointer tid)
{
	bool		isnull;

	*tid = *(ItemPointer) DatumGetPointer(column(row, col, &isnull));
}

bool
row_uuid(const Row *row, int col, pg_uuid_t *uuid)
{
	bool		isnull;
	Datum		value = column(row, col, &isnull);

	if (isnull)
		return false;
	*uuid = *DatumGetUUIDP(value);
	return true;
}

/* ------------------------------------------------------------------------
 * Writing rows
 * ------------------------------------------------------------------------
 */

RowBuffer *
row_buffer_make(int n_columns, const Oid *types)
{
	RowBuffer  *buffer = palloc0(sizeof(RowBuffer));

	buffer->n_columns = n_columns;
	buffer->types = types;
	buffer->max_rows = 8;
	buffer->values = palloc(sizeof(Datum *) * n_columns);
	buffer->nulls = palloc(sizeof(bool *) * n_columns);
	for (int i = 0; i < n_columns; i++)
	{
		buffer->values[i] = palloc(sizeof(Datum) * buffer->max_rows);
		buffer->nulls[i] = palloc(sizeof(bool) * buffer->max_rows);
	}
	return buffer;
}

void
row_buffer_add(RowBuffer *buffer)
{
	if (buffer->n_rows == buffer->max_rows)
	{
		buffer->max_rows *= 2;
		for (int i = 0; i < buffer->n_columns; i++)
		{
			buffer->values[i] = repalloc_huge(buffer->values[i], sizeof(Datum) * buffer->max_rows);
			buffer->nulls[i] = repalloc_huge(buffer->nulls[i], sizeof(bool) * buffer->max_rows);
		}
	}
	for (int i = 0; i < buffer->n_columns; i++)
	{
		buffer->values[i][buffer->n_rows] = (Datum) 0;
		buffer->nulls[i][buffer->n_rows] = true;
	}
	buffer->n_rows++;
}

void
row_buffer_set(RowBuffer *buffer, int column, Datum value)
{
	buffer->values[column][buffer->n_rows - 1] = value;
	buffer->nulls[column][buffer->n_rows - 1] = false;
}

void
row_buffer_set_text(RowBuffer *buffer, int column, const char *text)
{
	if (text != NULL)
		row_buffer_set(buffer, column, CStringGetTextDatum(text));
}

void
row_buffer_set_jsonb(RowBuffer *buffer, int column, Jsonb *json)
{
	if (json != NULL)
		row_buffer_set(buffer, column, PointerGetDatum(json));
}

void
row_buffer_arrays(RowBuffer *buffer, Datum *values)
{
	int			dims[1] = {buffer->n_rows};
	int			lbs[1] = {1};

	for (int i = 0; i < buffer->n_columns; i++)
	{
		int16		typlen;
		bool		typbyval;
		char		typalign;

		get_typlenbyvalalign(buffer->types[i], &typlen, &typbyval, &typalign);
		values[i] = PointerGetDatum(construct_md_array(buffer->values[i], buffer->nulls[i], 1, dims, lbs,
													   buffer->types[i], typlen, typbyval, typalign));
	}
}

/* unnest($2), unnest($3) ...: one for each column. */
static void
append_unnests(StringInfo sql, int n_columns)
{
	for (int i = 0; i < n_columns; i++)
		appendStringInfo(sql, "%spg_catalog.unnest($%d)", i > 0 ? ", " : "", i + 2);
}

static void
append_params(StringInfo sql, int n_columns)
{
	for (int i = 0; i < n_columns; i++)
		appendStringInfo(sql, ", $%d", i + 2);
}

/* Writes the text of both statements, once. */
static void
compose_insert(StoreInsert *insert, const RowBuffer *rows)
{
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);
	StringInfoData sql;

	insert->one.n_args = insert->many.n_args = rows->n_columns + 1;
	insert->one.arg_types[0] = insert->many.arg_types[0] = TEXTOID;
	for (int i = 0; i < rows->n_columns; i++)
	{
		insert->one.arg_types[i + 1] = rows->types[i];
		insert->many.arg_types[i + 1] = get_array_type(rows->types[i]);
	}
	initStringInfo(&sql);
	appendStringInfo(&sql, "INSERT INTO durable_store.%s (task_hub, %s) VALUES ($1", insert->table, insert->columns);
	append_params(&sql, rows->n_columns);
	appendStringInfoChar(&sql, ')');
	insert->one.sql = sql.data;
	initStringInfo(&sql);
	appendStringInfo(&sql, "INSERT INTO durable_store.%s (task_hub, %s) SELECT $1, u.* FROM ROWS FROM (", insert->table, insert->columns);
	append_unnests(&sql, rows->n_columns);
	appendStringInfoString(&sql, ") u");
	insert->many.sql = sql.data;
	MemoryContextSwitchTo(old);
}

void
row_buffer_row(const RowBuffer *buffer, int row, Datum *values, char *nulls)
{
	for (int i = 0; i < buffer->n_columns; i++)
	{
		values[i] = buffer->values[i][row];
		nulls[i] = buffer->nulls[i][row] ? 'n' : ' ';
	}
}

static void
insert_each(StoreInsert *insert, const char *task_hub, RowBuffer *rows)
{
	Datum		values[STORE_MAX_ARGS];
	char		nulls[STORE_MAX_ARGS];

	values[0] = TEXT_DATUM(task_hub);
	nulls[0] = ' ';
	for (int i = 0; i < rows->n_rows; i++)
	{
		row_buffer_row(rows, i, values + 1, nulls + 1);
		store_execute(&insert->one, values, nulls);
	}
}

void
store_insert(StoreInsert *insert, const char *task_hub, RowBuffer *rows)
{
	StoreScope	scope;

	if (rows->n_rows == 0 || (insert->direct != NULL && direct_insert_rows(insert->direct, task_hub, rows)))
		return;
	if (insert->one.sql == NULL)
		compose_insert(insert, rows);
	store_open(&scope);
	if (rows->n_rows <= FEW_ROWS)
		insert_each(insert, task_hub, rows);
	else
		store_execute_rows(&insert->one, &insert->many, task_hub, rows);
	store_close(&scope);
}

Datum
store_text_array(List *strings)
{
	static const Oid types[] = {TEXTOID};
	RowBuffer  *rows = row_buffer_make(1, types);
	Datum		array;
	ListCell   *lc;

	foreach(lc, strings)
	{
		row_buffer_add(rows);
		row_buffer_set_text(rows, 0, lfirst(lc));
	}
	row_buffer_arrays(rows, &array);
	return array;
}
