/*
 * core_test.c
 *		Test module: what the files share.
 */
#include "core_test.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "utils/builtins.h"

PG_MODULE_MAGIC;

const pg_uuid_t own_execution = {{0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x08, 0x99, 0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16}};
const pg_uuid_t parent_execution = {{0x12, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x08, 0x99, 0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16}};
const pg_uuid_t next_execution = {{0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x08, 0x99, 0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x17}};

static bool
same_execution(const pg_uuid_t *a, const pg_uuid_t *b)
{
	return memcmp(a, b, sizeof(pg_uuid_t)) == 0;
}

const char *
execution_name(const pg_uuid_t *execution_id)
{
	if (same_execution(execution_id, &own_execution))
		return "own";
	if (same_execution(execution_id, &parent_execution))
		return "parent";
	return same_execution(execution_id, &next_execution) ? "next" : "unknown";
}

char **
text_array(ArrayType *array, int *n)
{
	Datum	   *elements;
	bool	   *nulls;
	char	  **texts;

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, n);
	texts = palloc(sizeof(char *) * Max(*n, 1));
	for (int i = 0; i < *n; i++)
	{
		if (nulls[i])
			(void) unknown_word("element", "null");
		texts[i] = TextDatumGetCString(elements[i]);
	}
	return texts;
}

RuntimeState *
make_state(RuntimeStatus status)
{
	RuntimeState *state = palloc0(sizeof(RuntimeState));

	state->task_hub = "hub";
	state->instance_id = "self";
	state->execution_id = own_execution;
	state->name = "orchestrator";
	state->status = status;
	return state;
}

const void *
unknown_word(const char *what, const char *word)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("core_test knows no %s \"%s\"", what, word)));
	return NULL;
}

Datum
make_row(FunctionCallInfo fcinfo, Datum *values, bool *nulls)
{
	TupleDesc	tupdesc;

	if (get_call_result_type(fcinfo, NULL, &tupdesc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "this function is to be declared with OUT parameters");
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(tupdesc), values, nulls));
}
