/*
 * launcher.c
 *		The one static process: sees to it that each database with the
 *		extension has a coordinator.
 *
 * It reads pg_database and nothing else. Which databases have the extension
 * it learns by starting a coordinator, which says so when it leaves. All it
 * knows is in its own memory: a new launcher asks again.
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_database.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/varlena.h"

#include "clock.h"
#include "points.h"
#include "settings.h"
#include "worker/workers.h"

#define RESCAN_MS 60000
#define RESCAN_SOON_MS 1000
#define BACKOFF_FIRST_MS 1000
#define BACKOFF_LAST_MS 60000
#define BURY_LATER_MS 200

/* DDL has the database, or there are too many coordinators: how soon to try again. */
#define ROOM_RETRY_MS 200

/* A coordinator that was at work for as long was well: what ended it is no reason to wait. */
#define WELL_MS 10000

/* So many coordinators may be on their way at once: a server with many databases keeps slots free. */
#define MAX_UNSETTLED 2

/* pg_database.datconnlimit of a database that DROP DATABASE has left half done */
#define CONNLIMIT_OF_INVALID_DATABASE (-2)

typedef struct DatabaseEntry
{
	Oid			dboid;			/* hash key */
	NameData	name;
	bool		listed;			/* the last scan has found it, and durable.databases lists it */
	bool		without_extension;
	bool		disabled;		/* durable.enabled is off there, as far as is known */
	bool		told;			/* there is news since the last coordinator was started */
	int			failures;		/* coordinators in a row that came to grief */
	TimestampTz start_at;		/* not before */
} DatabaseEntry;

static HTAB *databases = NULL;
static TimestampTz rescan_at = 0;	/* at once */
static uint32 reloads_seen = 0;
static int	refusals = 0;		/* in a row, by the server for want of a slot */
static TimestampTz refused_since = 0;
static TimestampTz refused_until = 0;

/* ---- which databases there are ---- */

static void
create_database_table(void)
{
	HASHCTL		ctl = {0};

	ctl.keysize = sizeof(Oid);
	ctl.entrysize = sizeof(DatabaseEntry);
	ctl.hcxt = TopMemoryContext;
	databases = hash_create("durable databases", 32, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

/* The names in durable.databases; NIL for all. */
static bool
parse_filter(List **names)
{
	char	   *list = pstrdup(setting_databases ? setting_databases : "*");

	*names = NIL;
	if (strcmp(list, "*") == 0)
		return true;
	if (SplitIdentifierString(list, ',', names))
		return true;
	ereport(LOG,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid list syntax in parameter \"%s\"", "durable.databases")));
	return false;
}

static bool
passes_filter(List *names, const char *database_name)
{
	ListCell   *lc;

	if (names == NIL)
		return setting_databases == NULL || setting_databases[0] != '\0';
	foreach(lc, names)
	{
		if (strcmp(lfirst(lc), database_name) == 0 || strcmp(lfirst(lc), "*") == 0)
			return true;
	}
	return false;
}

static void
list_database(Form_pg_database form, List *filter)
{
	DatabaseEntry *entry;
	bool		found;

	if (form->datistemplate || !form->datallowconn ||
		form->datconnlimit == CONNLIMIT_OF_INVALID_DATABASE ||
		!passes_filter(filter, NameStr(form->datname)))
		return;
	entry = hash_search(databases, &form->oid, HASH_ENTER, &found);
	if (!found)
	{
		memset(entry, 0, sizeof(*entry));
		entry->dboid = form->oid;
		entry->start_at = clock_now();
	}
	entry->name = form->datname;
	entry->listed = true;
}

static void
scan_pg_database(List *filter)
{
	Relation	rel;
	TableScanDesc scan;
	HeapTuple	tuple;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	(void) GetTransactionSnapshot();
	pgstat_report_activity(STATE_RUNNING, "looking for databases");
	rel = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(rel, 0, NULL);
	while ((tuple = heap_getnext(scan, ForwardScanDirection)) != NULL)
		list_database((Form_pg_database) GETSTRUCT(tuple), filter);
	table_endscan(scan);
	table_close(rel, AccessShareLock);
	CommitTransactionCommand();
	MemoryContextSwitchTo(MessageContext);
}

/* Databases that went, or are not to be served any more, are forgotten and their processes leave. */
static void
forget_unlisted(void)
{
	HASH_SEQ_STATUS status;
	DatabaseEntry *entry;

	hash_seq_init(&status, databases);
	while ((entry = hash_seq_search(&status)) != NULL)
	{
		if (entry->listed)
			continue;
		slots_retire_database(entry->dboid);
		(void) hash_search(databases, &entry->dboid, HASH_REMOVE, NULL);
	}
}

static void
scan_databases(void)
{
	HASH_SEQ_STATUS status;
	DatabaseEntry *entry;
	List	   *filter;

	rescan_at = TimestampTzPlusMilliseconds(clock_now(), RESCAN_MS);
	if (!parse_filter(&filter))
		return;
	hash_seq_init(&status, databases);
	while ((entry = hash_seq_search(&status)) != NULL)
		entry->listed = false;
	scan_pg_database(filter);
	forget_unlisted();
}

/* ---- what has happened since the last pass ---- */

/* With new settings every wait is over. */
static void
notice_reload(void)
{
	HASH_SEQ_STATUS status;
	DatabaseEntry *entry;

	if (process_reloads() == reloads_seen)
		return;
	reloads_seen = process_reloads();
	rescan_at = refused_until = clock_now();
	hash_seq_init(&status, databases);
	while ((entry = hash_seq_search(&status)) != NULL)
	{
		entry->failures = 0;
		entry->disabled = false;
		entry->start_at = Min(entry->start_at, clock_now());
	}
}

/* A database may have been switched on. */
static void
ask_the_disabled(void)
{
	HASH_SEQ_STATUS status;
	DatabaseEntry *entry;

	hash_seq_init(&status, databases);
	while ((entry = hash_seq_search(&status)) != NULL)
	{
		if (entry->disabled)
			entry->start_at = clock_now();
		entry->disabled = false;
	}
}

/* A hub of this database has work and nobody serves it, or it has the extension since now. */
static void
hear_of_database(DatabaseEntry *entry)
{
	entry->told = true;
	entry->without_extension = false;
	if (entry->failures == 0 && !entry->disabled)
		entry->start_at = Min(entry->start_at, clock_now());
}

/* Somebody enqueues in a database we do not know; perhaps one that we shall not serve, again and again. */
static void
rescan_soon(void)
{
	TimestampTz last = TimestampTzPlusMilliseconds(rescan_at, -RESCAN_MS);

	rescan_at = Min(rescan_at, TimestampTzPlusMilliseconds(last, RESCAN_SOON_MS));
}

static void
hear_tellings(void)
{
	Tellings	tellings;
	HASH_SEQ_STATUS status;
	DatabaseEntry *entry;

	launcher_take_tellings(&tellings);
	if (tellings.rescan)
	{
		rescan_at = clock_now();
		ask_the_disabled();
	}
	for (int i = 0; i < tellings.n; i++)
	{
		entry = hash_search(databases, &tellings.databases[i], HASH_FIND, NULL);
		if (entry != NULL)
			hear_of_database(entry);
		else
			rescan_soon();
	}
	if (!tellings.all)
		return;
	hash_seq_init(&status, databases);
	while ((entry = hash_seq_search(&status)) != NULL)
		hear_of_database(entry);
}

/* When to start the next one after a coordinator that failed. */
static void
note_failure(DatabaseEntry *entry, const SlotInfo *slot)
{
	int			first = slot->connected ? BACKOFF_FIRST_MS / 10 : BACKOFF_FIRST_MS;

	if (slot->connected &&
		TimestampDifferenceExceeds(slot->started_at, slot->state_since, WELL_MS))
		entry->failures = 0;
	entry->failures++;
	entry->start_at = TimestampTzPlusMilliseconds(clock_now(), process_backoff(entry->failures, first,
																			   BACKOFF_LAST_MS));
	if (entry->failures == 4)
		ereport(LOG,
				(errmsg("durable coordinator of database \"%s\" keeps failing",
						NameStr(entry->name)),
				 errdetail("It is started again after growing delays of up to %d seconds.",
						   BACKOFF_LAST_MS / 1000),
				 errhint("The cause is in the server log before this message.")));
}

/* A coordinator has left: what does that say about its database? */
static void
note_departure(DatabaseEntry *entry, const SlotInfo *slot)
{
	TimestampTz now = clock_now();
	TimestampTz look_again = TimestampTzPlusMilliseconds(now, setting_poll_interval);

	switch (slot->reason)
	{
		case LEFT_GONE:
			entry->without_extension = !entry->told;
			entry->failures = 0;
			entry->start_at = now;
			break;
		case LEFT_DISABLED:
			entry->disabled = true;
			entry->start_at = TimestampTzPlusMilliseconds(now, RESCAN_MS);
			break;
		case LEFT_BY_ERROR:
			if (!slot->excused)
				note_failure(entry, slot);
			break;
		default:
			entry->failures = 0;
			entry->start_at = entry->told ? now : Min(slot->next_due, look_again);
			break;
	}
}

/* A worker has left and there is no coordinator to look after its hub: one shall when there is work. */
static void
note_orphan(DatabaseEntry *entry, const SlotInfo *slot)
{
	TimestampTz due = (slot->reason == LEFT_IDLE) ? slot->next_due : clock_now();

	entry->start_at = Min(entry->start_at, due);
}

static void
bury(const SlotInfo *slot)
{
	DatabaseEntry *entry = hash_search(databases, &slot->dboid, HASH_FIND, NULL);

	if (entry != NULL && slot->kind == PROCESS_COORDINATOR)
		note_departure(entry, slot);
	else if (entry != NULL && entry->failures == 0)
		note_orphan(entry, slot);
	process_bury(slot);
	DURABLE_POINT("launcher.buried");
}

/*
 * Reads the slots of processes that have gone or never came: coordinators,
 * and workers whose coordinator has gone too. Returns when to look at those
 * that had to be left for later.
 */
static TimestampTz
bury_the_dead(void)
{
	TimestampTz later = TimestampTzPlusMilliseconds(clock_now(), BURY_LATER_MS);
	TimestampTz next = DT_NOEND;
	SlotInfo   *slots;
	int			n = slots_read(&slots);

	for (int i = 0; i < n; i++)
	{
		SlotInfo   *slot = &slots[i];
		bool		gone = (slot->state == SLOT_LEFT);

		if ((!gone && slot->state != SLOT_STARTING) ||
			(slot->kind == PROCESS_WORKER && shmem_has_coordinator(slot->dboid)))
			continue;
		if ((gone && process_may_be_buried(slot, clock_now())) || process_never_came(slot))
			bury(slot);
		else if (gone || process_is_inherited(slot))
			next = later;
	}
	return next;
}

/* ---- starting ---- */

static bool
has_coordinator(const SlotInfo *slots, int n, Oid dboid)
{
	for (int i = 0; i < n; i++)
	{
		if (slots[i].kind == PROCESS_COORDINATOR && slots[i].dboid == dboid &&
			slots[i].state != SLOT_LEFT)
			return true;
	}
	return false;
}

static bool
wants_coordinator(const DatabaseEntry *entry, const SlotInfo *slots, int n)
{
	return entry->listed && !entry->without_extension &&
		!has_coordinator(slots, n, entry->dboid);
}

/* The database that has waited longest for a coordinator. */
static DatabaseEntry *
next_database(const SlotInfo *slots, int n)
{
	HASH_SEQ_STATUS status;
	DatabaseEntry *entry;
	DatabaseEntry *first = NULL;

	hash_seq_init(&status, databases);
	while ((entry = hash_seq_search(&status)) != NULL)
	{
		if (wants_coordinator(entry, slots, n) &&
			(first == NULL || entry->start_at < first->start_at))
			first = entry;
	}
	return first;
}

/*
 * Half of the server's slots are left to workers and to others; a server
 * with more databases than that has its coordinators take turns.
 */
static bool
is_room_for_coordinator(const SlotInfo *slots, int n)
{
	int			present = 0;

	for (int i = 0; i < n; i++)
	{
		if (slots[i].kind == PROCESS_COORDINATOR && slots[i].state != SLOT_LEFT)
			present++;
	}
	return present < Max(1, max_worker_processes / 2 - 1);
}

/* Are there still coordinators that have not said whether they are wanted? */
static bool
must_wait_for_others(const SlotInfo *slots, int n)
{
	int			unsettled = 0;

	for (int i = 0; i < n; i++)
	{
		if (slots[i].kind == PROCESS_COORDINATOR &&
			(slots[i].state == SLOT_STARTING || slots[i].state == SLOT_CONNECTING))
			unsettled++;
	}
	return unsettled >= MAX_UNSETTLED;
}

/* The server has no slot for us: say so once, and wait longer each time. */
static void
note_refusal(void)
{
	if (refusals++ == 0)
		refused_since = clock_now();
	if (refusal_is_news(refused_since))
		ereport(LOG,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("out of background worker slots for durable coordinators"),
				 errhint("You might need to increase max_worker_processes.")));
	refused_until = TimestampTzPlusMilliseconds(clock_now(),
												process_backoff(refusals, BACKOFF_FIRST_MS / 10,
																BACKOFF_LAST_MS / 10));
	(void) make_room_for_worker(InvalidOid, NULL, refused_since, false);
}

static void
start_coordinator(DatabaseEntry *entry)
{
	SlotInfo	like = {0};

	like.kind = PROCESS_COORDINATOR;
	like.dboid = entry->dboid;
	switch (process_start(&like, NameStr(entry->name)))
	{
		case START_OK:
			entry->told = false;
			refusals = 0;
			break;
		case START_NOT_NOW:
			entry->start_at = TimestampTzPlusMilliseconds(clock_now(), ROOM_RETRY_MS);
			break;
		default:
			note_refusal();
			break;
	}
}

/* Starts the coordinators that are due, few at a time; returns when to try the next. */
static TimestampTz
start_coordinators(void)
{
	for (;;)
	{
		SlotInfo   *slots;
		int			n = slots_read(&slots);
		DatabaseEntry *entry = next_database(slots, n);

		if (entry == NULL)
			return DT_NOEND;
		if (clock_now() < Max(entry->start_at, refused_until))
			return Max(entry->start_at, refused_until);
		if (must_wait_for_others(slots, n))
			return DT_NOEND;	/* they wake us */
		if (!is_room_for_coordinator(slots, n))
		{
			(void) make_room_for_coordinator(entry->start_at);
			return TimestampTzPlusMilliseconds(clock_now(), ROOM_RETRY_MS);
		}
		start_coordinator(entry);
	}
}

/* ---- the process ---- */

void
launcher_register(void)
{
	BackgroundWorker worker = {0};

	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = 1;
	strlcpy(worker.bgw_library_name, "durable", BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, "durable_launcher_main", BGW_MAXLEN);
	strlcpy(worker.bgw_name, "durable launcher", BGW_MAXLEN);
	strlcpy(worker.bgw_type, "durable launcher", BGW_MAXLEN);
	RegisterBackgroundWorker(&worker);
}

/* It never returns: an exit with 0 would unregister it for good. */
void
durable_launcher_main(Datum main_arg)
{
	MemoryContext loop_context;

	process_begin();
	DURABLE_POINT("launcher.begin");
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	loop_context = process_enter_loop();
	create_database_table();
	for (;;)
	{
		TimestampTz next;

		MemoryContextReset(loop_context);
		notice_reload();
		next = bury_the_dead();
		hear_tellings();
		if (setting_enabled)
		{
			if (clock_now() >= rescan_at)
				scan_databases();
			DURABLE_POINT("launcher.before_start");
			next = Min(next, Min(start_coordinators(), rescan_at));
		}
		process_report_idle();
		(void) clock_wait_until(next);
	}
}
