/*
 * runtime_state.h
 *		An instance in memory: its row, its history, and what this turn adds.
 */
#ifndef DURABLE_RUNTIME_STATE_H
#define DURABLE_RUNTIME_STATE_H

#include "postgres.h"
#include "nodes/pg_list.h"

#include "core/history_event.h"
#include "core/pinned_code.h"
#include "core/version.h"

typedef enum RuntimeStatus
{
	STATUS_PENDING,
	STATUS_RUNNING,
	STATUS_SUSPENDED,
	STATUS_COMPLETED,
	STATUS_FAILED,
	STATUS_TERMINATED,
	STATUS_CANCELED
} RuntimeStatus;

/* A setting that code runs with as the session had it that started the instance. */
typedef struct RecordedSetting
{
	const char *name;
	const char *omitted;		/* a value that is not written down, being PostgreSQL's own; NULL: none */
	bool		by_superuser;	/* only superusers may set it */
} RecordedSetting;

#define N_RECORDED_SETTINGS 17
extern const RecordedSetting recorded_settings[N_RECORDED_SETTINGS];

/* The settings of an instance. */
typedef struct InstanceSettings
{
	bool		are_known;		/* else code runs with those of the session */
	const char *values[N_RECORDED_SETTINGS];	/* NULL: what RESET gives; old instances have fewer */
} InstanceSettings;

/* Reads them from {"search_path": ..., "TimeZone": ...}; NULL: they are not known. */
extern void instance_settings_read(Jsonb *json, InstanceSettings *settings);

/* The limits a hub has of its own; 0: none, only the server's. */
typedef struct HubLimits
{
	int			max_workers;
	int64		max_pending_instances;
	int			max_payload_size;	/* kB */
	int			max_history_events;
	int			max_starts_per_second;
} HubLimits;

/* What a hub says that a turn must know. */
typedef struct HubRules
{
	HubLimits	limits;
	HubVersioning versioning;
	bool		has_default_retries;	/* a retry policy is registered for some activity */
} HubRules;

typedef struct RuntimeState
{
	/* identity */
	const char *task_hub;
	const HubRules *rules;		/* of its hub, as they are in this turn */
	const char *instance_id;
	pg_uuid_t	execution_id;
	int64		generation;

	/* as started */
	const char *name;
	const char *function;		/* qualified, with argument types */
	const char *version;		/* NULL: none */
	Jsonb	   *input;
	Jsonb	   *tags;
	Jsonb	   *settings_json;
	InstanceSettings settings;
	const char *parent_instance_id; /* NULL: none, or detached from it */
	pg_uuid_t	parent_execution_id;
	int			parent_task_id;
	bool		notify;
	const char *trace_parent;
	const struct RuntimeState *begun_by;	/* the instance whose transaction has begun this one: a death is its own; NULL: none */

	/* its code */
	const PinnedCode *code;		/* NULL: the function as it is found */
	bool		takes_latest;	/* it takes the function as it is now, if it is there */
	bool		needs_copy;		/* set by a run that found another function than the code */
	Oid			found;			/* the function of that signature, in this transaction; 0: not looked up */
	Oid			copy;			/* the function that is a copy of its code; 0: none is needed */

	/* as it stands */
	RuntimeStatus status;
	Jsonb	   *custom_status;
	Jsonb	   *output;
	Jsonb	   *failure;
	TimestampTz completed_at;	/* if finished in this turn */
	List	   *waiting_events; /* of char *: names of events it awaits */
	int			turn;
	int			last_seq;
	TimestampTz turn_at;		/* the time of the current turn */

	bool		damaged;		/* rows of the history could not be read */
	List	   *past_events;	/* of HistoryEvent *: loaded */
	List	   *kept_events;	/* of HistoryEvent *: of the turns before this one that are to be stored with it; also in past_events */
	List	   *new_events;		/* of HistoryEvent *: of this turn, to be stored */
} RuntimeState;

/*
 * Begins a turn (OrchestratorStarted). The orchestration's time never goes
 * back, whatever the server's clock does.
 */
extern void runtime_state_begin_turn(RuntimeState *state, TimestampTz now);

/* Adds an event to the current turn and to the status it implies. */
extern void runtime_state_add_event(RuntimeState *state, HistoryEvent *event);

/* Ends the turn (OrchestratorCompleted), unless its last event ended it already. */
extern void runtime_state_end_turn(RuntimeState *state);

/* The turn is over and another one follows before both are stored: its events are of the past now. */
extern void runtime_state_keep_turn(RuntimeState *state);

/* Makes the state of the next generation, in its first turn, with nothing but the start. */
extern RuntimeState *runtime_state_next_generation(const RuntimeState *state, Jsonb *input,
												   const char *version, const pg_uuid_t *execution_id,
												   TimestampTz now);

extern bool runtime_state_is_started(const RuntimeState *state);
extern bool runtime_status_is_finished(RuntimeStatus status);

extern const char *runtime_status_name(RuntimeStatus status);
extern bool runtime_status_from_name(const char *name, RuntimeStatus *status);

#endif							/* DURABLE_RUNTIME_STATE_H */
