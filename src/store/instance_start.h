/*
 * instance_start.h
 *		Making instances: for clients and for parents.
 */
#ifndef DURABLE_INSTANCE_START_H
#define DURABLE_INSTANCE_START_H

#include "core/runtime_state.h"

typedef struct NewInstance
{
	const char *instance_id;
	pg_uuid_t	execution_id;
	const char *name;
	const char *function;
	const PinnedCode *code;		/* NULL: not pinned */
	const char *version;
	Jsonb	   *input;
	Jsonb	   *tags;
	Jsonb	   *settings;
	TimestampTz created_at;
	TimestampTz start_at;		/* DT_NOBEGIN: at once */
	bool		notify;
	Jsonb	   *failure;		/* not NULL: it is born failed, its function could not be found */
	const char *trace_parent;
	const char *parent_instance_id; /* NULL: none */
	pg_uuid_t	parent_execution_id;
	int			parent_task_id;
	bool		has_new_id;		/* the id was made for it: nobody else can have it, or know it yet */
	bool		created;		/* set by store_insert_instances() */
} NewInstance;

/* An instance that is there already, locked. */
typedef struct ExistingInstance
{
	RuntimeStatus status;
	pg_uuid_t	execution_id;
	const char *parent_instance_id;
	pg_uuid_t	parent_execution_id;
	int			parent_task_id;
} ExistingInstance;

/*
 * Inserts pending instances with their ExecutionStarted and arranges for the
 * wake-up; their code is kept already (store_keep_code()). "created" stays
 * false where the id is taken; waits for the end of a transaction that is about
 * to take it.
 */
extern void store_insert_instances(const char *task_hub, List *instances);

/* The ExecutionStarted that makes a pending instance run. */
extern HistoryEvent *make_start_event(const NewInstance *instance);

/* How many instances of a hub have not finished, counted up to "enough". */
extern int64 store_count_unfinished(const char *task_hub, int64 enough);

/* How an instance was started: name, function, input and so on, not its ids and times. False: there is none. */
extern bool store_read_start(const char *task_hub, const char *instance_id, NewInstance *instance, RuntimeStatus *status);

/* Locks the instance with an id, waiting for its turn to end; false if there is none. */
extern bool store_lock_existing(const char *task_hub, const char *instance_id, ExistingInstance *existing);

/*
 * Puts a new generation in the place of the locked one: its history, messages
 * and queued activities go. A live one is terminated first: its children are
 * told to terminate and its parent that it was.
 */
extern void store_replace_instance(const char *task_hub, NewInstance *instance, const ExistingInstance *existing);

#endif							/* DURABLE_INSTANCE_START_H */
