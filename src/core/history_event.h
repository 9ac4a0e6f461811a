/*
 * history_event.h
 *		History events of the Durable Task Framework, and messages, which are
 *		history events on their way.
 */
#ifndef DURABLE_HISTORY_EVENT_H
#define DURABLE_HISTORY_EVENT_H

#include "postgres.h"
#include "datatype/timestamp.h"
#include "storage/itemptr.h"
#include "utils/jsonb.h"
#include "utils/uuid.h"

/* The numbers of the DTFx enum; stored in the tables. */
typedef enum EventType
{
	EVENT_EXECUTION_STARTED = 0,
	EVENT_EXECUTION_COMPLETED = 1,
	EVENT_EXECUTION_TERMINATED = 3,
	EVENT_TASK_SCHEDULED = 4,
	EVENT_TASK_COMPLETED = 5,
	EVENT_TASK_FAILED = 6,
	EVENT_SUBORCHESTRATION_CREATED = 7,
	EVENT_SUBORCHESTRATION_COMPLETED = 8,
	EVENT_SUBORCHESTRATION_FAILED = 9,
	EVENT_TIMER_CREATED = 10,
	EVENT_TIMER_FIRED = 11,
	EVENT_EVENT_SENT = 14,
	EVENT_EVENT_RAISED = 15,
	EVENT_CONTINUE_AS_NEW = 16,
	EVENT_GENERIC = 17,			/* only wakes its instance */
	EVENT_EXECUTION_SUSPENDED = 19,
	EVENT_EXECUTION_RESUMED = 20,
	EVENT_EXECUTION_REWOUND = 21
} EventType;

#define NO_EVENT_ID		(-1)	/* event id of what no action made */
#define NO_TASK_ID		(-1)

/* Marks an ExecutionTerminated in the history that goes for the children, too. */
#define RECURSE_TAG		"recurse"

typedef struct HistoryEvent
{
	EventType	type;
	int			event_id;		/* sequence number of the action, or NO_EVENT_ID */
	int			task_id;		/* TaskScheduledId / TimerId, or NO_TASK_ID */
	TimestampTz timestamp;		/* when it was made */
	TimestampTz fire_at;		/* timers; DT_NOBEGIN: none */
	const char *name;
	const char *folded_name;	/* of an external event in replay, for comparing */
	const char *version;
	const char *target_instance_id;
	Jsonb	   *payload;		/* input, result, reason, event data */
	Jsonb	   *failure;
	Jsonb	   *tags;
	Jsonb	   *retry;			/* TaskScheduled: the registered policy that applies */
	bool		recurse;		/* ExecutionTerminated */

	/* where it stands in the history */
	int			seq;
	int			turn;
	TimestampTz turn_at;		/* timestamp of the turn's OrchestratorStarted */
	bool		opens_turn;
	bool		closes_turn;
	bool		is_referred_to;	/* by a queued activity: it has a row of its own */

	/* as a message */
	int64		message_id;
	ItemPointerData tid;		/* where the store found it; invalid: with the one before it */
	bool		has_execution_id;	/* false: for whichever execution is current */
	pg_uuid_t	execution_id;
	TimestampTz visible_at;
} HistoryEvent;

/* A new event, with nothing set but its type and time and no ids, in CurrentMemoryContext. */
extern HistoryEvent *history_event_make(EventType type, TimestampTz timestamp);

/* The name DTFx gives the type. */
extern const char *history_event_type_name(EventType type);

#endif							/* DURABLE_HISTORY_EVENT_H */
