/*
 * known_histories.c
 *		Histories in the memory of a worker: see known_histories.h.
 */
#include "postgres.h"

#include "access/transam.h"
#include "lib/ilist.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "session.h"
#include "store/known_histories.h"

/* So much is remembered altogether, that longest without use being forgotten first, and of one instance. */
#define MAX_KNOWN (8 * 1024 * 1024)
#define MAX_KNOWN_OF_ONE (256 * 1024)

typedef struct KnownHistory
{
	pg_uuid_t	execution_id;	/* the key */
	RowVersion	version;		/* of the instance's row */
	MemoryContext context;
	List	   *events;			/* of HistoryEvent *, as they are loaded */
	Size		size;
	dlist_node	node;
} KnownHistory;

static HTAB *known = NULL;
static dlist_head by_use = DLIST_STATIC_INIT(by_use);
static Size total_size = 0;

static void
forget(KnownHistory *history)
{
	total_size -= history->size;
	dlist_delete(&history->node);
	MemoryContextDelete(history->context);
	(void) hash_search(known, &history->execution_id, HASH_REMOVE, NULL);
}

static bool
is_same_version(const RowVersion *a, const RowVersion *b)
{
	return TransactionIdIsNormal(a->xmin) && a->xmin == b->xmin && ItemPointerEquals((ItemPointer) &a->place, (ItemPointer) &b->place);
}

static KnownHistory *
look_up(const pg_uuid_t *execution_id)
{
	return known ? hash_search(known, execution_id, HASH_FIND, NULL) : NULL;
}

bool
known_history_find(const FetchedInstance *fetched)
{
	RuntimeState *state = fetched->state;
	KnownHistory *history = look_up(&state->execution_id);

	if (history == NULL)
		return false;
	if (!is_same_version(&history->version, &fetched->version))
	{
		forget(history);
		return false;
	}
	dlist_move_head(&by_use, &history->node);
	state->past_events = list_copy(history->events);
	state->turn_at = ((const HistoryEvent *) llast(state->past_events))->turn_at;
	return true;
}

static KnownHistory *
begin_history(const pg_uuid_t *execution_id)
{
	HASHCTL		control = {.keysize = sizeof(pg_uuid_t),.entrysize = sizeof(KnownHistory),.hcxt = TopMemoryContext};
	MemoryContext context = AllocSetContextCreate(TopMemoryContext, "durable history", ALLOCSET_SMALL_SIZES);
	KnownHistory *history;

	if (known == NULL)
		known = hash_create("durable histories", 256, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	history = hash_search(known, execution_id, HASH_ENTER, NULL);
	history->context = context;
	history->events = NIL;
	history->size = 0;
	dlist_push_head(&by_use, &history->node);
	return history;
}

static const char *
copy_text(const char *text)
{
	return text ? pstrdup(text) : NULL;
}

static Jsonb *
copy_json(const Jsonb *json)
{
	return json ? memcpy(palloc(VARSIZE(json)), json, VARSIZE(json)) : NULL;
}

/* As it would be loaded. */
static HistoryEvent *
copy_event(const HistoryEvent *event)
{
	HistoryEvent *copy = palloc(sizeof(HistoryEvent));

	*copy = *event;
	copy->folded_name = NULL;
	copy->name = copy_text(event->name);
	copy->version = copy_text(event->version);
	copy->target_instance_id = copy_text(event->target_instance_id);
	copy->payload = history_needs_payload(event->type) ? copy_json(event->payload) : NULL;
	copy->failure = copy_json(event->failure);
	copy->tags = history_needs_tags(event->type) ? copy_json(event->tags) : NULL;
	copy->retry = copy_json(event->retry);
	return copy;
}

/* Adds those events that it does not have yet, until they are too many. */
static void
add_events(KnownHistory *history, List *events, int n_known)
{
	MemoryContext old = MemoryContextSwitchTo(history->context);

	for (int i = n_known; i < list_length(events) && MemoryContextMemAllocated(history->context, false) <= MAX_KNOWN_OF_ONE; i++)
		history->events = lappend(history->events, copy_event(list_nth(events, i)));
	MemoryContextSwitchTo(old);
	total_size -= history->size;
	history->size = MemoryContextMemAllocated(history->context, false);
	total_size += history->size;
}

/* Has the instance had its past events from here? */
static bool
has_given(const KnownHistory *history, List *events)
{
	int			n = list_length(history->events);

	return n > 0 && n <= list_length(events) && list_nth(events, n - 1) == llast(history->events);
}

/*
 * Is its history what was loaded and what the turn has added? And does it wait
 * for what others send? What it has asked for itself takes longer than to read
 * a history, and thousands that ask would only push others out.
 */
static bool
is_worth_it(const Checkpoint *checkpoint)
{
	return checkpoint->ran && checkpoint->outbox.activities == NIL && checkpoint->outbox.children == NIL && checkpoint->fetched->begun == NULL && checkpoint->rewind == NULL &&
		TransactionIdIsNormal(checkpoint->written.xmin) && !checkpoint->state->damaged &&
		checkpoint->state->generation == checkpoint->fetched->state->generation &&
		!runtime_status_is_finished(checkpoint->state->status);
}

/* Where the events of an instance are kept, or are to be; NULL: nowhere, there are none. What was kept of others is forgotten. */
static KnownHistory *
history_for(const Checkpoint *checkpoint, List *events)
{
	KnownHistory *history = look_up(&checkpoint->fetched->state->execution_id);

	if (history != NULL && has_given(history, events))
		return history;
	if (history != NULL)
		forget(history);
	return events == NIL ? NULL : begin_history(&checkpoint->state->execution_id);
}

static void
keep(const Checkpoint *checkpoint)
{
	const RuntimeState *state = checkpoint->state;
	List	   *events = is_worth_it(checkpoint) ? list_concat_copy(state->past_events, state->new_events) : NIL;
	KnownHistory *history = history_for(checkpoint, events);

	if (history == NULL)
		return;
	history->version.xmin = InvalidTransactionId;	/* until it is whole, were it not to become so */
	add_events(history, events, list_length(history->events));
	history->version = checkpoint->written;
	if (history->size > MAX_KNOWN_OF_ONE)
		forget(history);
}

/* Forgets some only when all are through: they may have had their past events from here. */
void
known_histories_keep(List *checkpoints)
{
	ListCell   *lc;

	if (!session_is_worker())
		return;
	foreach(lc, checkpoints)
		keep(lfirst(lc));
	while (total_size > MAX_KNOWN)
		forget(dlist_tail_element(KnownHistory, node, &by_use));
}
