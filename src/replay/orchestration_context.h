/*
 * orchestration_context.h
 *		The state of one replay of an orchestrator (semantics.md 4.1).
 *
 * The code pulls: an await feeds history events, one by one, until its task
 * is complete. When the events run out it suspends: it throws an error that
 * EXCEPTION WHEN OTHERS does not catch and that the executor takes for what
 * it is. The next turn runs the code from the top again.
 */
#ifndef DURABLE_ORCHESTRATION_CONTEXT_H
#define DURABLE_ORCHESTRATION_CONTEXT_H

#include "compat.h"
#include "core/decisions.h"
#include "core/retry.h"
#include "core/runtime_state.h"

/* The name under which call_sql() schedules a statement. */
#define SQL_ACTIVITY_NAME "durable.sql"

typedef enum TaskKind
{
	TASK_ACTIVITY,
	TASK_TIMER,
	TASK_EVENT,
	TASK_SUBORCHESTRATION
} TaskKind;

typedef enum TaskState
{
	TASK_PENDING,
	TASK_COMPLETE,
	TASK_FAILED,
	TASK_CANCELLED
} TaskState;

/* Something the code can await. */
typedef struct Task
{
	TaskKind	kind;
	TaskState	state;
	int			index;			/* in the context's list of tasks */
	int			action_id;		/* the action whose answer it awaits now; -1 for events */
	const char *name;
	Jsonb	   *result;
	Jsonb	   *failure;
	int			raised_code;	/* SQLSTATE its failure was raised with, if it was */
	int			seen_failed_at; /* number of actions when the code first saw that it failed; -1: it did not */
	int			completion_order;	/* from 1 */
	uint64		await_stamp;	/* the await_any() that looks at it */
	bool		registered;		/* events: in the queue of waiters */

	/* retries */
	const RetryPolicy *retry;
	const Action *attempted;
	int			attempts;
	int			retry_timer_id; /* -1: no retry is due */
	TimestampTz first_attempt_at;
} Task;

/* Why the code was unwound. */
typedef enum StopReason
{
	NOT_STOPPED,
	STOPPED_WAITING,			/* events ran out */
	STOPPED_TERMINATED,
	STOPPED_NON_DETERMINISTIC
} StopReason;

typedef struct OrchestrationContext
{
	RuntimeState *state;
	MemoryContext memory;

	/* events */
	HistoryEvent **events;
	int			n_events;
	int			n_past;
	int			next_event;
	int			n_fed;
	List	   *released;		/* events held while suspended, now to be fed */
	List	   *held;
	HistoryEvent *suspension;	/* the last ExecutionSuspended */
	bool		is_suspended;
	bool		started;
	bool		is_replaying;
	bool		is_strict;		/* recorded inputs are compared, too; the history has them */
	bool		is_repeated;	/* the second run of durable.double_replay: shall leave no trace */
	TimestampTz time;
	struct Speculation *speculation;	/* NULL: a wait for what is not there ends the turn */

	/* actions and tasks, by number */
	int			next_id;
	Action	  **actions;		/* NULL: already in the history */
	Action	  **requested;		/* all of them, matched and taken back ones too */
	Task	  **task_of_action;
	int			max_actions;
	List	   *tasks;			/* of Task * */
	List	   *cancelled_timers;
	int			n_completed;
	Task	   *last_completed;
	uint64		await_stamp;

	/* external events */
	List	   *waiters;		/* of Task *, first come first served */
	List	   *buffered;		/* of HistoryEvent * */

	/* what the code said */
	bool		has_custom_status;
	Jsonb	   *custom_status;
	bool		continue_as_new;
	Jsonb	   *new_input;
	const char *new_version;
	bool		keep_events;
	List	   *events_after_continue;
	int			n_guids;
	int			n_awaits;		/* that took events */
	int			n_rewinds;		/* so far */

	/* how it ended */
	StopReason	stop_reason;
	bool		timed_out;
	char	   *non_determinism;	/* message */
	const HistoryEvent *diverged_at;	/* the record that is not what the code asked for */
	char	   *divergence;		/* recorded and requested side by side */
	Jsonb	   *termination_reason;
	bool		terminate_children;
	int			completion_id;	/* -1: not completed */
	List	   *raised;			/* of Task *: failures raised into the code */
} OrchestrationContext;

/* The context of the orchestrator that runs now, NULL outside a turn. */
extern OrchestrationContext *current_orchestration;

extern OrchestrationContext *orchestration_context_make(RuntimeState *state);

/* Feeds the next event; false if there is none left or the code has to stop. */
extern bool orchestration_feed_event(OrchestrationContext *context);

/*
 * The code has stopped: takes what the events it did not get to record off the
 * actions. A split turn leaves such records behind the event that ended the
 * code (an error, a termination, a suspension), and what they record was sent.
 * False if one is not what the code asked for.
 */
extern bool orchestration_match_rest(OrchestrationContext *context);

/* Events that were added to the state since are to be fed, too. */
extern void orchestration_take_events(OrchestrationContext *context);

/*
 * The same in each replay of an execution, so that random() repeats: begun anew
 * after each await that took events, since activities may have run meanwhile.
 */
extern void orchestration_seed_random(OrchestrationContext *context);

/* The actions nothing in the history answers to (of Action *), in the order of their numbers. */
extern List *orchestration_new_actions(OrchestrationContext *context);

/* Names of the events the code waits for, for people to look at. */
extern List *orchestration_waiting_events(OrchestrationContext *context);

/* What the code may ask for. Strings and jsonb must live as long as the turn. */
extern Task *orchestration_schedule(OrchestrationContext *context, const Action *request, const RetryPolicy *retry);
extern Task *orchestration_create_timer(OrchestrationContext *context, TimestampTz fire_at);
extern void orchestration_cancel_timer(OrchestrationContext *context, Task *timer);
extern Task *orchestration_expect_event(OrchestrationContext *context, const char *name);
extern void orchestration_forget_event(OrchestrationContext *context, Task *waiter);
extern int	orchestration_add_action(OrchestrationContext *context, const Action *request);

/* What DTFx calls an action, and which is recorded by events of a type (TaskScheduled and its like). */
extern const char *orchestration_action_name(ActionKind kind);
extern ActionKind orchestration_action_kind(EventType type);

/* Is this a timer the code cancelled before it was recorded? */
extern bool orchestration_was_taken_back(const OrchestrationContext *context, int id);

/* Queues an event's waiter behind the others of its name; nothing to do for other tasks. */
extern void orchestration_attend(OrchestrationContext *context, Task *task);

/* Waits; does not return when the events run out. Raises no failures of tasks. */
extern void orchestration_await(OrchestrationContext *context, Task *task);
extern Task *orchestration_await_any(OrchestrationContext *context, Task **tasks, int n_tasks);

/* Notes that the code sees a task that has finished, so that a rewind knows what came after a failure. */
extern void orchestration_show_task(OrchestrationContext *context, Task *task);

/* Throws the error that unwinds the code, for the reason in the context. */
DURABLE_NORETURN extern void orchestration_unwind(OrchestrationContext *context);

#endif							/* DURABLE_ORCHESTRATION_CONTEXT_H */
