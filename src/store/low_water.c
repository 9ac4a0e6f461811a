/*
 * low_water.c
 *		From where on a queue is to be looked at: see low_water.h.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/multixact.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_collation.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/procarray.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "session.h"
#include "store/low_water.h"

/* A look that takes longer than this, in us, is slow. */
#define SLOW_LOOK 1000

/* Looks that begin at the front take one part in so many of the time. */
#define FULL_LOOK_SHARE 50

/*
 * The longest until the next of them, in us. Whoever made a row may have waited
 * between taking its time and writing it, for a lock or a disk, perhaps for the
 * same as the look that was slow.
 */
#define FULL_LOOK_INTERVAL 3000000

/* How often the mark is moved, and how far it stays behind now, in us: a row comes into the index a moment after its time was taken. */
#define WALK_INTERVAL 10000
#define MARGIN 200000

/* Rows that are older than this, in us, and in somebody's hands are passed over. */
#define IN_HAND_FOR_LONG 1000000

typedef struct QueueKey
{
	char		task_hub[NAMEDATALEN];
	QueueKind	queue;
} QueueKey;

typedef struct LowWater
{
	QueueKey	key;
	TimestampTz mark;			/* nothing is to be done before it */
	TimestampTz walked_at;
	TimestampTz full_look_at;	/* until then looks begin at the mark; DT_NOBEGIN: they do not */
} LowWater;

static const struct
{
	const char *table;
	const char *index;
	const char *time;			/* the column */
}			queues[] = {
	[QUEUE_INBOX] = {"inbox", "inbox_visible", "visible_at"},
	[QUEUE_ACTIVITIES] = {"activity_queue", "activity_queue_visible", "visible_at"}
};

static HTAB *marks = NULL;

static LowWater *
find_mark(const char *task_hub, QueueKind queue)
{
	QueueKey	key;
	LowWater   *mark;
	bool		found;

	if (marks == NULL)
	{
		HASHCTL		control = {0};

		control.keysize = sizeof(QueueKey);
		control.entrysize = sizeof(LowWater);
		marks = hash_create("durable low-water marks", 16, &control, HASH_ELEM | HASH_BLOBS);
	}
	memset(&key, 0, sizeof(key));
	strlcpy(key.task_hub, task_hub, NAMEDATALEN);
	key.queue = queue;
	mark = hash_search(marks, &key, HASH_ENTER, &found);
	if (!found)
		mark->mark = mark->walked_at = mark->full_look_at = DT_NOBEGIN;
	return mark;
}

/* Does a transaction hold the row? */
static bool
is_locked(HeapTupleHeader tuple)
{
	if ((tuple->t_infomask & HEAP_XMAX_INVALID) || !HEAP_XMAX_IS_LOCKED_ONLY(tuple->t_infomask))
		return false;
	if (tuple->t_infomask & HEAP_XMAX_IS_MULTI)
		return MultiXactIdIsRunning(HeapTupleHeaderGetRawXmax(tuple), true);
	return TransactionIdIsInProgress(HeapTupleHeaderGetRawXmax(tuple));
}

/*
 * Was the row deleted by somebody who has committed, or never there? One that
 * somebody has in hand for long counts as gone, if "held" may: he has deleted it
 * in the end, or given it back, as a look from the front will find.
 */
static bool
is_gone(TupleTableSlot *slot, HeapTuple tuple, bool held)
{
	Buffer		buffer = ((BufferHeapTupleTableSlot *) slot)->buffer;
	TransactionId dead_after;
	HTSV_Result state;
	bool		gone;

	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	state = HeapTupleSatisfiesVacuumHorizon(tuple, buffer, &dead_after);
	gone = state == HEAPTUPLE_DEAD || state == HEAPTUPLE_RECENTLY_DEAD ||
		(state == HEAPTUPLE_LIVE && held && is_locked(tuple->t_data));
	LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
	return gone;
}

/* The time of the first entry of the index that is not gone, whether it can be seen yet or not; "until" if there is none before. */
static TimestampTz
first_not_gone(const LowWater *mark, Relation table, Relation index, TimestampTz until)
{
	AttrNumber	time = get_attnum(RelationGetRelid(table), queues[mark->key.queue].time);
	ScanKeyData keys[3];
	SysScanDesc scan;
	HeapTuple	tuple;
	TimestampTz first = until;

	ScanKeyEntryInitialize(&keys[0], 0, 1, BTEqualStrategyNumber, InvalidOid, C_COLLATION_OID, F_TEXTEQ,
						   CStringGetTextDatum(mark->key.task_hub));
	ScanKeyInit(&keys[1], time, BTGreaterEqualStrategyNumber, F_TIMESTAMPTZ_GE, TimestampTzGetDatum(mark->mark));
	ScanKeyInit(&keys[2], time, BTLessStrategyNumber, F_TIMESTAMPTZ_LT, TimestampTzGetDatum(until));
	scan = systable_beginscan_ordered(table, index, SnapshotAny, 3, keys);
	while ((tuple = systable_getnext_ordered(scan, ForwardScanDirection)) != NULL)
	{
		bool		isnull;

		CHECK_FOR_INTERRUPTS();
		first = DatumGetTimestampTz(heap_getattr(tuple, time, RelationGetDescr(table), &isnull));
		if (!is_gone(scan->slot, tuple, first < until - IN_HAND_FOR_LONG))
			break;
		first = until;
	}
	systable_endscan_ordered(scan);
	return first;
}

/* Moves the mark over what is gone. */
static void
walk(LowWater *mark, TimestampTz now)
{
	Oid			schema = get_namespace_oid("durable_store", false);
	Relation	table = table_open(get_relname_relid(queues[mark->key.queue].table, schema), AccessShareLock);
	Relation	index = index_open(get_relname_relid(queues[mark->key.queue].index, schema), AccessShareLock);

	mark->mark = first_not_gone(mark, table, index, now - MARGIN);
	mark->walked_at = now;
	index_close(index, AccessShareLock);
	table_close(table, AccessShareLock);
}

TimestampTz
low_water(const char *task_hub, QueueKind queue)
{
	LowWater   *mark = find_mark(task_hub, queue);
	TimestampTz now;

	if (mark->full_look_at == DT_NOBEGIN)
		return DT_NOBEGIN;
	now = GetCurrentTimestamp();
	if (now < mark->walked_at)
		mark->mark = mark->walked_at = mark->full_look_at = DT_NOBEGIN; /* the clock was set back */
	if (now >= mark->full_look_at)
		return DT_NOBEGIN;
	if (now - WALK_INTERVAL > mark->walked_at)
		walk(mark, now);
	return mark->mark;
}

void
low_water_looked(const char *task_hub, QueueKind queue, TimestampTz began)
{
	LowWater   *mark = find_mark(task_hub, queue);
	TimestampTz now = GetCurrentTimestamp();
	int64		took = now - began;

	if (mark->full_look_at > began)
		return;					/* it began at the mark */
	if (!session_is_worker())
		return;					/* its time may be ahead */
	if (took > SLOW_LOOK)
		mark->full_look_at = now + Min(took * FULL_LOOK_SHARE, FULL_LOOK_INTERVAL);
	else
		mark->mark = mark->walked_at = mark->full_look_at = DT_NOBEGIN;
}

List *
low_water_hubs(void)
{
	List	   *names = NIL;
	HASH_SEQ_STATUS status;
	LowWater   *mark;

	if (marks == NULL)
		return NIL;
	hash_seq_init(&status, marks);
	while ((mark = hash_seq_search(&status)) != NULL)
		if (mark->full_look_at != DT_NOBEGIN)
			names = lappend(names, pstrdup(mark->key.task_hub));
	return names;
}

TimestampTz
low_water_next_full_look(const char *task_hub)
{
	TimestampTz turns = find_mark(task_hub, QUEUE_INBOX)->full_look_at;
	TimestampTz activities = find_mark(task_hub, QUEUE_ACTIVITIES)->full_look_at;

	return Min(turns == DT_NOBEGIN ? DT_NOEND : turns, activities == DT_NOBEGIN ? DT_NOEND : activities);
}
