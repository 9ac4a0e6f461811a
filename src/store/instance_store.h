/*
 * instance_store.h
 *		Fetching instances with their messages and history, and checkpointing
 *		what their turns came to.
 */
#ifndef DURABLE_INSTANCE_STORE_H
#define DURABLE_INSTANCE_STORE_H

#include "core/decisions.h"
#include "core/rewind.h"
#include "core/runtime_state.h"

/* A version of a row. */
typedef struct RowVersion
{
	ItemPointerData place;
	TransactionId xmin;			/* who wrote it; 0: not known */
} RowVersion;

/* A locked instance and what came for it. */
typedef struct FetchedInstance
{
	RuntimeState *state;
	List	   *messages;		/* of HistoryEvent *, in order of arrival */
	RowVersion	version;		/* of the locked row */
	int			turn;			/* the last one before */
	struct NewInstance *begun;	/* it begins in this transaction, and has no row nor messages in tables; NULL: it was fetched */
} FetchedInstance;

/*
 * Locks up to max_instances instances that have visible messages, those with
 * the oldest first, leaving out what others hold, and reads their messages
 * and, unless they are finished, their history, and the rules of the hub.
 * A list of FetchedInstance. Of those that wait to be started, or whose timer
 * is due, it looks for max_starts (UNLIMITED_STARTS: all); one more comes with
 * each that has another message, too.
 */
extern List *store_fetch_instances(const char *task_hub, TimestampTz now, int max_instances, int max_starts);

/* How many of these were. */
extern int	store_count_starts(List *instances);

/* As above for one instance; NULL if it is held by another, or has nothing to do. */
extern FetchedInstance *store_fetch_instance(const char *task_hub, const char *instance_id, TimestampTz now);

/* A child to start, its function found (or not: then failure says why). */
typedef struct ResolvedChild
{
	const ChildStart *start;
	const RuntimeState *parent;
	const char *function;
	const PinnedCode *code;		/* NULL: not pinned */
	Jsonb	   *failure;
} ResolvedChild;

/* What a turn did to its past before it ran. */
typedef struct Rewind
{
	RewindPoint *point;
	RewindPlan *plan;
	Jsonb	   *reason;
} Rewind;

/* What a turn came to. */
typedef struct Checkpoint
{
	FetchedInstance *fetched;
	RuntimeState *state;		/* after the turn; another generation after continue-as-new */
	Outbox		outbox;
	List	   *children;		/* of ResolvedChild *: to be started */
	List	   *begun;			/* of Checkpoint *: children that have had their turns already, and theirs */
	Rewind	   *rewind;			/* NULL: it was not rewound */
	bool		ran;			/* false: its messages are only dropped */
	bool		charged;		/* it was in hand when a process died */
	RowVersion	written;		/* the row as it was written */
	int			n_turns;
} Checkpoint;

/*
 * Lets a child begin in the transaction of its parent's turn, as if it had been
 * started and fetched; "root" is the instance that was fetched. It is written,
 * in the state it has come to, with its parent's checkpoint. "has_new_id": its id
 * was not chosen.
 */
extern FetchedInstance *store_begin_child(const ResolvedChild *child, bool has_new_id, const RuntimeState *root, TimestampTz now);

/* Is there an instance with one of these ids (char *)? It may come until the checkpoint. */
extern bool store_have_any(const char *task_hub, List *ids);

/*
 * Writes the turns of a batch: all or nothing, in the current transaction.
 * Raises a serialization failure if the messages are not those that were
 * read, and a unique violation if the id of a child that has begun is taken.
 * Arranges for the wake-ups and notifications at commit.
 */
extern void store_checkpoint(const char *task_hub, List *checkpoints, TimestampTz now);

/* Makes the messages of an instance invisible for a while, after an error of the engine. */
extern void store_defer_instance(const char *task_hub, const char *instance_id, TimestampTz now, TimestampTz until);

/*
 * Puts off the messages that were read with these instances, whose turns do
 * not take place. Nothing is consumed, and their order stays.
 */
extern void store_put_off_instances(const char *task_hub, List *instances, TimestampTz now, TimestampTz until);

/*
 * For replaying what was recorded: those of the instances that there are, in
 * order, as RuntimeState with output, failure and past events, as the active
 * snapshot shows them. Locks nothing.
 */
extern List *store_look_at_histories(const char *task_hub, List *ids);

/* One of them, with all that its history holds, inputs of what was scheduled too; NULL: no such instance. */
extern RuntimeState *store_look_at_whole_history(const char *task_hub, const char *instance_id);

/* What of an event is needed for replay, and read: is its payload, and are its tags? */
extern bool history_needs_payload(EventType type);
extern bool history_needs_tags(EventType type);

#endif							/* DURABLE_INSTANCE_STORE_H */
