/*
 * activity_function.h
 *		Calling the function, or running the statement, of an activity.
 */
#ifndef DURABLE_ACTIVITY_FUNCTION_H
#define DURABLE_ACTIVITY_FUNCTION_H

#include "postgres.h"
#include "utils/jsonb.h"

/* A call of an activity; prepared and result are set as it proceeds. */
typedef struct ActivityCall
{
	const char *task_hub;
	int			max_payload_size;	/* of the hub, in kB; 0: no limit of its own */
	const char *name;
	const char *version;
	const char *function;		/* the registered one, by its signature; NULL: by name */
	const char *other_versions; /* the name is registered for these, but not for this version */
	Jsonb	   *input;
	bool		prepared;		/* the function was found and its arguments fit */
	Jsonb	   *result;			/* NULL for SQL NULL and void */
} ActivityCall;

/*
 * Runs it as the current user in the current search_path; the result is
 * allocated in CurrentMemoryContext. An error raised before "prepared" is one
 * that trying again does not mend. Fits sandbox_run().
 */
extern void activity_call(void *call);

/* Raises an error that says why, if a function cannot be an activity. */
extern void activity_function_check(Oid function, const char *name);

#endif							/* DURABLE_ACTIVITY_FUNCTION_H */
