/*
 * rewind.c
 *		Rewinding a failed execution: pure, see rewind.h.
 */
#include "postgres.h"

#include "core/decisions.h"
#include "core/json.h"
#include "core/rewind.h"

/* What is being worked out; the arrays are indexed by the number of an action. */
typedef struct Rewinding
{
	const RuntimeState *state;
	const RewindPoint *point;
	const RewindFacts *facts;
	RewindPlan *plan;
	TimestampTz now;
	int			n_ids;
	bool	   *answered;
} Rewinding;

static bool
is_action(EventType type)
{
	return type == EVENT_TASK_SCHEDULED || type == EVENT_TIMER_CREATED ||
		type == EVENT_SUBORCHESTRATION_CREATED || type == EVENT_EVENT_SENT;
}

static bool
is_answer(EventType type)
{
	return type == EVENT_TASK_COMPLETED || type == EVENT_TASK_FAILED || type == EVENT_TIMER_FIRED ||
		type == EVENT_SUBORCHESTRATION_COMPLETED || type == EVENT_SUBORCHESTRATION_FAILED;
}

bool
rewind_is_due(const RuntimeState *state)
{
	return !runtime_status_is_finished(state->status) && state->past_events != NIL &&
		((HistoryEvent *) llast(state->past_events))->type == EVENT_EXECUTION_COMPLETED;
}

/* Is this the answer to something that is forgotten or will be asked for again? */
static bool
answers_undone(const HistoryEvent *event, const RewindPoint *point)
{
	return is_answer(event->type) &&
		(event->task_id >= point->first_forgotten_id || list_member_int(point->failed_ids, event->task_id));
}

List *
rewind_messages(List *messages, const RewindPoint *point)
{
	List	   *kept = NIL;
	ListCell   *lc;

	foreach(lc, messages)
		if (!answers_undone(lfirst(lc), point))
			kept = lappend(kept, lfirst(lc));
	return kept;
}

static bool
is_awaited_child(const HistoryEvent *event)
{
	return event->type == EVENT_SUBORCHESTRATION_CREATED && !json_has_key(event->tags, FIRE_AND_FORGET_TAG);
}

List *
rewind_children(const RuntimeState *state)
{
	List	   *ids = NIL;
	ListCell   *lc;

	foreach(lc, state->past_events)
		if (is_awaited_child(lfirst(lc)))
			ids = lappend(ids, (char *) ((HistoryEvent *) lfirst(lc))->target_instance_id);
	return ids;
}

static void
count_ids(Rewinding *rewinding)
{
	ListCell   *lc;

	foreach(lc, rewinding->state->past_events)
		rewinding->n_ids = Max(rewinding->n_ids, ((HistoryEvent *) lfirst(lc))->event_id + 1);
	rewinding->answered = palloc0(sizeof(bool) * (rewinding->n_ids + 1));
}

/* Notes which actions have an answer that stays. */
static void
note_answers(Rewinding *rewinding, List *events)
{
	ListCell   *lc;

	foreach(lc, events)
	{
		HistoryEvent *event = lfirst(lc);

		if (is_answer(event->type) && event->task_id >= 0 && event->task_id < rewinding->n_ids &&
			!answers_undone(event, rewinding->point))
			rewinding->answered[event->task_id] = true;
	}
}

/*
 * The instance of a child's id, if it still is the one this event created. One
 * of another name was asked for under the same number before an earlier rewind.
 */
static const ChildFact *
find_child(const Rewinding *rewinding, const HistoryEvent *created)
{
	ListCell   *lc;

	foreach(lc, rewinding->facts->children)
	{
		const ChildFact *child = lfirst(lc);

		if (strcmp(child->instance_id, created->target_instance_id) == 0)
			return child->has_parent && child->parent_task_id == created->event_id &&
				strcmp(child->name, created->name) == 0 &&
				memcmp(&child->parent_execution_id, &rewinding->state->execution_id, sizeof(pg_uuid_t)) == 0 ?
				child : NULL;
	}
	return NULL;
}

static HistoryEvent *
add_message(Rewinding *rewinding, EventType type, int task_id, TimestampTz visible_at)
{
	HistoryEvent *message = history_event_make(type, rewinding->now);

	message->task_id = task_id;
	message->visible_at = visible_at;
	message->has_execution_id = true;
	message->execution_id = rewinding->state->execution_id;
	rewinding->plan->messages = lappend(rewinding->plan->messages, message);
	return message;
}

/* What a child answered that ended while its parent was failed: nobody was there to hear it. */
static void
answer_for_child(Rewinding *rewinding, const HistoryEvent *created, const ChildFact *child)
{
	bool		ok = child->status == STATUS_COMPLETED;
	HistoryEvent *answer = add_message(rewinding, ok ? EVENT_SUBORCHESTRATION_COMPLETED : EVENT_SUBORCHESTRATION_FAILED,
									   created->event_id, rewinding->now);

	if (ok)
		answer->payload = child->output;
	else
		answer->failure = termination_failure(child->output);
}

/*
 * A failed child is rewound with its parent; one that is gone, or was
 * terminated, is made again. One that was rewound by itself since it failed is
 * heard: it has completed, or will answer.
 */
static bool
keeps_child(Rewinding *rewinding, const HistoryEvent *created)
{
	bool		has_failed = list_member_int(rewinding->point->failed_ids, created->event_id);
	const ChildFact *child;

	if (!is_awaited_child(created) || rewinding->answered[created->event_id])
		return true;
	child = find_child(rewinding, created);
	if (child == NULL)
		return false;
	if (child->status == STATUS_FAILED)
		rewinding->plan->failed_children = lappend(rewinding->plan->failed_children, (char *) child->instance_id);
	else if (has_failed && runtime_status_is_finished(child->status) && child->status != STATUS_COMPLETED)
		return false;
	else if (runtime_status_is_finished(child->status))
		answer_for_child(rewinding, created, child);
	return true;
}

/* An activity that failed, or was dropped from the queue, is scheduled again. */
static bool
keeps_activity(const Rewinding *rewinding, const HistoryEvent *scheduled)
{
	return rewinding->answered[scheduled->event_id] ||
		(!list_member_int(rewinding->point->failed_ids, scheduled->event_id) &&
		 list_member_int(rewinding->facts->queued_ids, scheduled->event_id));
}

/* A timer was forgotten when the instance ended: it is set again. */
static bool
keeps_timer(Rewinding *rewinding, const HistoryEvent *created)
{
	if (created->event_id >= 0 && !rewinding->answered[created->event_id])
		add_message(rewinding, EVENT_TIMER_FIRED, created->event_id, created->fire_at)->fire_at = created->fire_at;
	return true;
}

static bool
keeps_event(Rewinding *rewinding, const HistoryEvent *event)
{
	if (event->type == EVENT_EXECUTION_COMPLETED || answers_undone(event, rewinding->point))
		return false;
	if (is_action(event->type) && event->event_id >= rewinding->point->first_forgotten_id)
		return false;
	switch (event->type)
	{
		case EVENT_TASK_SCHEDULED:
			return keeps_activity(rewinding, event);
		case EVENT_SUBORCHESTRATION_CREATED:
			return keeps_child(rewinding, event);
		case EVENT_TIMER_CREATED:
			return keeps_timer(rewinding, event);
		default:
			return true;
	}
}

/* The first and last event that are left of a turn open and close it. */
static void
flag_turns(RewindPlan *plan, List *events)
{
	int			n = list_length(events);

	for (int i = 0; i < n; i++)
	{
		HistoryEvent *event = list_nth(events, i);
		bool		opens = i == 0 || ((HistoryEvent *) list_nth(events, i - 1))->turn != event->turn;
		bool		closes = i == n - 1 || ((HistoryEvent *) list_nth(events, i + 1))->turn != event->turn;

		/* a turn that continued as new has two that close it: add, never take away */
		opens |= event->opens_turn;
		closes |= event->closes_turn;
		if (opens == event->opens_turn && closes == event->closes_turn)
			continue;
		event->opens_turn = opens;
		event->closes_turn = closes;
		plan->reflagged = lappend(plan->reflagged, event);
	}
}

/* Who was suspended when it failed is so still. */
static void
restore_suspension(RuntimeState *state)
{
	ListCell   *lc;

	foreach(lc, state->past_events)
	{
		EventType	type = ((HistoryEvent *) lfirst(lc))->type;

		if (type == EVENT_EXECUTION_SUSPENDED)
			state->status = STATUS_SUSPENDED;
		else if (type == EVENT_EXECUTION_RESUMED)
			state->status = STATUS_RUNNING;
	}
}

RewindPlan *
rewind_history(RuntimeState *state, List *messages, const RewindPoint *point, const RewindFacts *facts, TimestampTz now)
{
	Rewinding	rewinding = {state, point, facts, palloc0(sizeof(RewindPlan)), now};
	List	   *kept = NIL;
	ListCell   *lc;

	count_ids(&rewinding);
	note_answers(&rewinding, state->past_events);
	note_answers(&rewinding, messages);
	foreach(lc, state->past_events)
	{
		HistoryEvent *event = lfirst(lc);

		if (keeps_event(&rewinding, event))
			kept = lappend(kept, event);
		else
			rewinding.plan->removed_seqs = lappend_int(rewinding.plan->removed_seqs, event->seq);
	}
	flag_turns(rewinding.plan, kept);
	state->past_events = kept;
	restore_suspension(state);
	return rewinding.plan;
}
