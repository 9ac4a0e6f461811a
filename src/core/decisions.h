/*
 * decisions.h
 *		From what the orchestrator asked for to history events and outbound
 *		messages (semantics.md 3.5).
 */
#ifndef DURABLE_DECISIONS_H
#define DURABLE_DECISIONS_H

#include "core/runtime_state.h"

typedef enum ActionKind
{
	ACTION_SCHEDULE_TASK,
	ACTION_CREATE_TIMER,
	ACTION_CREATE_SUBORCHESTRATION,
	ACTION_SEND_EVENT
} ActionKind;

/* Something the orchestrator asked for, numbered in the order of asking. */
typedef struct Action
{
	ActionKind	kind;
	int			id;
	const char *name;
	const char *version;
	const char *instance_id;	/* of a child, or target of an event */
	Jsonb	   *input;
	Jsonb	   *tags;
	Jsonb	   *retry;			/* of an activity: the registered policy that applies */
	TimestampTz fire_at;
	bool		detached;		/* a child that does not answer */
	bool		wants_retry;	/* an activity whose registered policy applies, if it has one */
} Action;

typedef enum CompletionKind
{
	NOT_COMPLETED,
	COMPLETED,
	COMPLETED_FAILED,
	COMPLETED_TERMINATED,
	COMPLETED_CONTINUE_AS_NEW
} CompletionKind;

/* What one run of the orchestrator came to. */
typedef struct TurnResult
{
	CompletionKind completion;
	int			completion_id;	/* number of the completion action */
	Jsonb	   *output;			/* of the instance, or input of the next generation */
	Jsonb	   *failure;
	bool		terminate_children; /* a recursive termination came, in time or not */
	Jsonb	   *termination_reason;
	const char *new_version;	/* continue-as-new */
	List	   *carried_events; /* of HistoryEvent *: for the next generation */
	List	   *actions;		/* of Action *, by id: the new ones */
	List	   *cancelled_timers;	/* of int: timers to be forgotten */
	List	   *waiting_events; /* of char * */
	bool		has_custom_status;
	Jsonb	   *custom_status;
} TurnResult;

typedef struct OutboundActivity
{
	pg_uuid_t	execution_id;
	int64		generation;
	const HistoryEvent *scheduled;	/* its TaskScheduled event */
	bool		keep_input;		/* the history row will not be there */
	int			together;		/* so many of its kind may have a row of the queue together; 0: it has one alone */
} OutboundActivity;

typedef struct OutboundMessage
{
	const char *instance_id;
	HistoryEvent *event;
} OutboundMessage;

typedef struct ChildStart
{
	const char *instance_id;
	const char *name;
	const char *version;
	Jsonb	   *input;
	Jsonb	   *tags;
	bool		detached;
	pg_uuid_t	parent_execution_id;
	int			parent_task_id;
} ChildStart;

/* Everything that leaves an instance at the end of its episode. */
typedef struct Outbox
{
	List	   *activities;		/* of OutboundActivity * */
	List	   *messages;		/* of OutboundMessage *, timers among them */
	List	   *children;		/* of ChildStart * */
	List	   *cancelled_timers;	/* of int */
} Outbox;

/* The engine's own timer that brings on the next part of a turn too large for one (DTFx FrameworkConstants). */
#define SPLIT_TIMER_ID		(-100)

/* Marks a child that has no parent to answer to (DTFx OrchestrationTags.FireAndForget). */
#define FIRE_AND_FORGET_TAG "OrchestrationTags.FireAndForget"

/*
 * Records the actions and the completion of a run in the state, in the order
 * of their numbers, and adds what has to leave to the outbox. Ends the turn
 * unless the instance continues as new.
 *
 * False: the outbox has max_messages (0: no limit) and something is left to
 * be decided. That is forgotten, the completion too, and a timer that fires
 * at once is set: what no event answers to, the next turn's replay asks for
 * again (semantics.md 3.7).
 */
extern bool decisions_apply(RuntimeState *state, const TurnResult *result, Outbox *outbox,
							int max_messages, TimestampTz now);

/* What a parent is told of a terminated child: the reason, a JSON string or NULL, is its message. */
extern Jsonb *termination_failure(Jsonb *reason);

#endif							/* DURABLE_DECISIONS_H */
