/*
 * core_test.h
 *		What the files of this test module share.
 */
#ifndef CORE_TEST_H
#define CORE_TEST_H

#include "postgres.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "utils/array.h"

#include "core/runtime_state.h"

/* Three executions: ours, and two that differ from it in one byte, the first and the last. */
extern const pg_uuid_t own_execution;
extern const pg_uuid_t parent_execution;
extern const pg_uuid_t next_execution;

/* Whose execution this is, in words. */
extern const char *execution_name(const pg_uuid_t *execution_id);

/* The elements of a text[], none of them null. */
extern char **text_array(ArrayType *array, int *n);

/* A state of an instance "self" of own_execution, named and with nothing in it but this status. */
extern RuntimeState *make_state(RuntimeStatus status);

/* Raises for a word that the module does not know; has a value so that it can be returned. */
extern const void *unknown_word(const char *what, const char *word);

/* The row that an SQL function with OUT parameters returns. */
extern Datum make_row(FunctionCallInfo fcinfo, Datum *values, bool *nulls);

#endif							/* CORE_TEST_H */
