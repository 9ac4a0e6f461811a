/*
 * begun_children.c
 *		Children in the transaction of their parent's turn: see begun_children.h.
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "clock.h"
#include "dispatch/begun_children.h"
#include "dispatch/sharing.h"
#include "dispatch/turns.h"
#include "dispatch/versioning.h"
#include "ids.h"
#include "shmem.h"
#include "store/string_set.h"

/* What a child may take that has its turns in its parent's transaction, in ms; longer ones have their own. */
#define PATIENCE_WITH_CHILD 20

/* Children of children in one transaction: they are deep in the C stack. */
#define MAX_DEPTH_OF_CHILDREN 50

/* Not where starts are limited, and not for longer than the batch lasts. */
static bool
may_begin_children(const InlineScope *scope)
{
	return scope->begins_children && inline_is_turned_on() && scope->depth < MAX_DEPTH_OF_CHILDREN &&
		GetCurrentTimestamp() < scope->children_until &&
		!(sharing_is_used() && !sharing_has_room()) && !worker_is_asked_to_leave();
}

/* Not the id that it has if none is chosen, which begins with that of the execution. */
static bool
has_chosen_id(const ChildStart *start)
{
	const char *execution_id = execution_id_text(&start->parent_execution_id);
	int			length = strlen(execution_id);

	return strncmp(start->instance_id, execution_id, length) != 0 || start->instance_id[length] != ':';
}

/* Ids that were chosen may be taken, or be asked for twice: what that means is for the start to say. */
static bool
ids_are_free(InlineScope *scope, List *starts)
{
	List	   *chosen = NIL;
	ListCell   *lc;

	foreach(lc, starts)
	{
		const ChildStart *start = lfirst(lc);

		if (!has_chosen_id(start))
			continue;
		if (scope->chosen_ids == NULL)
			scope->chosen_ids = string_set_make();
		if (!string_set_add(scope->chosen_ids, start->instance_id))
			return false;
		chosen = lappend(chosen, (char *) start->instance_id);
	}
	return chosen == NIL || !store_have_any(scope->task_hub, chosen);
}

static bool
may_begin(const RuntimeState *parent, const ResolvedChild *child)
{
	return child->failure == NULL && !child->start->detached &&
		memcmp(&child->start->parent_execution_id, &parent->execution_id, sizeof(pg_uuid_t)) == 0;
}

static int
count_messages(const Checkpoint *from, const char *instance_id)
{
	int			count = 0;
	ListCell   *lc;

	foreach(lc, from->outbox.messages)
		count += strcmp(((OutboundMessage *) lfirst(lc))->instance_id, instance_id) == 0;
	return count;
}

/* Did a child, or those that began with it, send its parent something that must arrive before its answer? */
static bool
sends_more_than_answer(const Checkpoint *child, const RuntimeState *parent)
{
	int			count = count_messages(child, parent->instance_id);
	ListCell   *lc;

	foreach(lc, child->begun)
		count += count_messages(lfirst(lc), parent->instance_id);
	return count > 1;
}

/*
 * Takes the answer to the parent out of what a child sends; NULL: it has not
 * ended yet, or the parent has to take it from its inbox, in order.
 */
static HistoryEvent *
take_answer(Checkpoint *child, const RuntimeState *parent)
{
	ListCell   *lc;

	if (sends_more_than_answer(child, parent))
		return NULL;
	foreach(lc, child->outbox.messages)
	{
		OutboundMessage *message = lfirst(lc);

		if ((message->event->type != EVENT_SUBORCHESTRATION_COMPLETED && message->event->type != EVENT_SUBORCHESTRATION_FAILED) ||
			strcmp(message->instance_id, parent->instance_id) != 0)
			continue;
		child->outbox.messages = foreach_delete_current(child->outbox.messages, lc);
		return message->event;
	}
	return NULL;
}

/* The turns of a child; false: it is to be started like any other. */
static bool
begin_child(InlineScope *scope, Checkpoint *parent, const ResolvedChild *child, TimestampTz now, List **answers)
{
	FetchedInstance *fetched = store_begin_child(child, !has_chosen_id(child->start), scope->root, now);
	HistoryEvent *answer;
	Checkpoint *checkpoint;

	if (versioning_keeps_waiting(fetched))
		return false;
	scope->depth++;
	checkpoint = run_turn(fetched, PATIENCE_WITH_CHILD, NULL, scope);
	scope->depth--;
	if (checkpoint == NULL || !checkpoint->ran)
	{
		scope->begins_children = false;
		return false;
	}
	answer = take_answer(checkpoint, parent->state);
	if (answer != NULL)
		*answers = lappend(*answers, answer);
	parent->n_turns += checkpoint->n_turns;
	parent->begun = lappend(list_concat(parent->begun, checkpoint->begun), checkpoint);
	return true;
}

List *
begin_children(InlineScope *scope, Checkpoint *checkpoint)
{
	RuntimeState *state = checkpoint->state;
	Outbox	   *outbox = &checkpoint->outbox;
	List	   *answers = NIL;
	List	   *left = NIL;
	TimestampTz now = clock_now();	/* they are created at one time */
	ListCell   *lc;

	if (outbox->children == NIL || outbox->activities != NIL || outbox->messages != NIL ||
		state->status != STATUS_RUNNING || !may_begin_children(scope) || !ids_are_free(scope, outbox->children))
		return NIL;
	foreach(lc, resolve_children(state, outbox->children))
	{
		ResolvedChild *child = lfirst(lc);

		if (!may_begin(state, child) || !may_begin_children(scope) || !begin_child(scope, checkpoint, child, now, &answers))
			left = lappend(left, (void *) child->start);
	}
	outbox->children = left;
	return answers;
}
