/*
 * failure.h
 *		Failure details (DTFx FailureDetails) as jsonb:
 *		{"errorType", "errorMessage", "sqlstate", "detail", "hint", "context",
 *		 "isNonRetriable", "innerFailure", "properties"}
 */
#ifndef DURABLE_FAILURE_H
#define DURABLE_FAILURE_H

#include "postgres.h"
#include "utils/jsonb.h"

typedef struct Failure
{
	const char *error_type;		/* NULL: the condition name of sqlstate */
	const char *message;
	const char *sqlstate;
	const char *detail;
	const char *hint;
	const char *context;
	bool		non_retriable;
	Jsonb	   *inner;
	Jsonb	   *properties;
} Failure;

extern Jsonb *failure_make(const Failure *failure);

/* What is stored of an instance cannot be what this library wrote; "damage" says what. */
extern Jsonb *failure_of_damage(const char *task_hub, const char *instance_id, const char *damage);

/* Failure details of a caught error; a detail that is a JSON object is its properties, too. */
extern Jsonb *failure_from_error(const ErrorData *error, bool non_retriable);

/* Text of a field, NULL if it has none. */
extern const char *failure_field(Jsonb *failure, const char *field);
extern bool failure_is_non_retriable(Jsonb *failure);

/* The name PostgreSQL gives an SQLSTATE ("division_by_zero"), or the SQLSTATE itself. */
extern const char *condition_name(const char *sqlstate);

#endif							/* DURABLE_FAILURE_H */
