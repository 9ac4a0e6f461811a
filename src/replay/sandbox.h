/*
 * sandbox.h
 *		Runs user code in a subtransaction, with its own settings and a time
 *		limit, and brings its error back instead of throwing it.
 */
#ifndef DURABLE_SANDBOX_H
#define DURABLE_SANDBOX_H

#include "core/runtime_state.h"

/* What runs now, for instance_id() and its like; NULL outside orchestrators and activities. */
typedef struct ExecutionInfo
{
	const char *instance_id;
	pg_uuid_t	execution_id;
	const char *parent_instance_id;
	const char *version;
	Jsonb	   *tags;
	int			task_id;		/* of an activity; NO_TASK_ID in an orchestrator */
	int			attempt;
} ExecutionInfo;

extern const ExecutionInfo *current_execution;

typedef struct Sandbox
{
	const ExecutionInfo *execution;
	const InstanceSettings *settings;
	bool		read_only;		/* writes are an error, and all is rolled back at the end */
	const bool *has_effects;	/* read_only: does what was run within it stay if it returns? NULL: no */
	const TimestampTz *pinned_time; /* what now() says; NULL: the transaction's time */
	int			timeout_ms;		/* 0 = none */
	int			timeout_after_ms;	/* the same, from the end of what was run within it on */
} Sandbox;

typedef enum SandboxOutcome
{
	SANDBOX_OK,
	SANDBOX_ERROR,
	SANDBOX_TIMED_OUT
} SandboxOutcome;

typedef void (*SandboxBody) (void *arg);

/*
 * Runs body(arg). Without read_only its effects stay when it returns; after
 * an error nothing stays, and *error is a copy of it in CurrentMemoryContext.
 * A FATAL is not brought back, of course.
 */
extern SandboxOutcome sandbox_run(const Sandbox *sandbox, SandboxBody body, void *arg, ErrorData **error);

/*
 * Does the code that runs now run in a read-only sandbox and nothing else: in no
 * EXCEPTION block, no SECURITY DEFINER function, none with a SET clause?
 */
extern bool sandbox_is_bare(void);

/*
 * Runs body(arg) within the sandbox that runs now, which is bare: as other code,
 * that may write, with its own time limit and settings, but in the same
 * subtransaction. An error goes through both, so that nothing of either stays.
 * Then the code around it has timeout_after_ms.
 */
extern void sandbox_run_within(const Sandbox *sandbox, SandboxBody body, void *arg);

/* After an error that sandbox_run() itself threw: no user code runs any more. */
extern void sandbox_reset(void);

/* Moves the pinned time of the sandbox that runs now. */
extern void sandbox_pin_time(TimestampTz now);

/*
 * Is this the fault of circumstances and not of the code that ran: out of
 * memory, a cancel from outside, a shutdown? Then it is worth another try.
 */
extern bool error_is_circumstantial(const ErrorData *error);

/* Is it a deadlock or serialization failure? */
extern bool error_is_conflict(const ErrorData *error);

#endif							/* DURABLE_SANDBOX_H */
