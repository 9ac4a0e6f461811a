/*
 * coordinator.c
 *		One a database: sees to it that each task hub with work has workers.
 *
 * It runs the engine's statements only, never user code. It looks at the load
 * (one query over the hubs) when woken, when a hub without a worker becomes
 * due, soon again while workers are busy, and else once in a long while. What
 * a look has found is answered in the same pass.
 */
#include "postgres.h"

#include <limits.h>

#include "access/htup_details.h"
#include "catalog/pg_authid.h"
#include "commands/dbcommands.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "clock.h"
#include "compat.h"
#include "dispatch/pinned_code.h"
#include "extension.h"
#include "points.h"
#include "session.h"
#include "settings.h"
#include "store/hub_store.h"
#include "suspects.h"
#include "worker/workers.h"

/* How soon to look again while workers are busy: is there more work than they can do? */
#define WATCH_MS 200

/* Looks are not run more often than this, but for the first sign of work in a hub without a worker. */
#define LOOK_GAP_MS 50

#define BURY_LATER_MS 100

#define FAILURE_BACKOFF_FIRST_MS 1000
#define FAILURE_BACKOFF_LAST_MS 60000
#define REFUSAL_BACKOFF_FIRST_MS 20
#define REFUSAL_BACKOFF_LAST_MS 1000

/* A hub that made room waits so long before it wants a process again. */
#define TURN_TAKING_MS 300

/* An idle worker that leaves ready work alone (another one has it, a limit is reached) is woken no oftener in the end. */
#define LAST_WAKE_GAP_MS 5000

#define SEE_LOG_HINT \
	"The server log says why before this message. " \
	"Workers are started again after growing delays of up to a minute."

/* A hub in which nothing happens is swept so many times more seldom. */
#define QUIET_SWEEPS 60

/* Nothing due for so long: the coordinator can be spared. */
#define SPARE_MS 1000

typedef struct HubState
{
	char		name[NAMEDATALEN];
	Oid			owner;
	char		owner_name[NAMEDATALEN];
	TimestampTz next_turn;
	TimestampTz next_activity;
	int			max_workers;	/* of its own; 0: no limit */
	int			max_starts_per_second;	/* the same */
	bool		listed;			/* the last look has found it */
	bool		has_obstacle;	/* the table says that it is not being served */
	bool		is_elsewhere;	/* it came with a copy and is not run here */
	bool		elsewhere_is_said;	/* in the log */
	bool		overloaded;		/* at the last look work waited although its workers were busy */
	const char *obstacle;		/* why no worker can connect as the owner, NULL: it can */
	bool		complained;		/* the log says so already */
	const char *note;			/* what is to be noted in the table; NULL: that nothing is in the way */
	bool		note_is_due;
	int			failures;		/* workers in a row that came to grief */
	int			refusals;		/* starts in a row refused for want of a slot */
	TimestampTz starving_since; /* it has no worker and gets none; 0: it does not starve */
	TimestampTz retry_at;		/* no worker is started before */
	int			quiet_sweeps;	/* left out since something happened in it; -1: something has */
	int			vain_wakes;		/* of idle workers in a row, without an end of the ready work */
	TimestampTz wake_again_at;
	/* of the last count */
	bool		has_full_worker;	/* one that takes all kinds of work */
	bool		has_free_worker;	/* one of these that does not hold its slot */
	bool		has_newcomer;	/* one that is still on its way */
	Bitmapset  *numbers;		/* of all its workers; in the loop's context */
	Bitmapset  *idle_numbers;
} HubState;

static char database_name[NAMEDATALEN];
static MemoryContext loop_context = NULL;
static MemoryContext hub_context = NULL;
static List *hubs = NIL;		/* of HubState */

static bool look_wanted = true;
static bool watching = false;	/* workers are at work */
static TimestampTz watching_since = 0;
static bool last_look_was_vain = false;
static TimestampTz last_look = 0;
static TimestampTz next_sweep = 0;
static TimestampTz bury_later = DT_NOEND;
static uint32 reloads_seen = 0;

static TimestampTz
ms_from_now(int ms)
{
	return TimestampTzPlusMilliseconds(clock_now(), ms);
}

/* ---- hubs ---- */

static HubState *
find_hub(const char *name)
{
	ListCell   *lc;

	foreach(lc, hubs)
	{
		HubState   *hub = lfirst(lc);

		if (strcmp(hub->name, name) == 0)
			return hub;
	}
	return NULL;
}

static HubState *
add_hub(const char *name)
{
	MemoryContext old_context = MemoryContextSwitchTo(hub_context);
	HubState   *hub = palloc0(sizeof(HubState));

	strlcpy(hub->name, name, NAMEDATALEN);
	hub->quiet_sweeps = -1;
	hubs = lappend(hubs, hub);
	MemoryContextSwitchTo(old_context);
	return hub;
}

static TimestampTz
hub_due(const HubState *hub)
{
	return Min(hub->next_turn, hub->next_activity);
}

static bool
has_ready_work(const HubState *hub)
{
	return hub_due(hub) <= clock_now();
}

/* The table is written in a transaction of its own, after the pass; the text is a constant. */
static void
note_later(HubState *hub, const char *obstacle)
{
	hub->note = obstacle;
	hub->note_is_due = true;
	hub->has_obstacle = obstacle != NULL;
}

/* What held the hub up is over. */
static void
hub_is_well(HubState *hub)
{
	if (hub->complained)
		ereport(LOG,
				(errmsg("task hub \"%s\" in database \"%s\" is being served again",
						hub->name, database_name)));
	hub->complained = false;
	hub->failures = 0;
	if (hub->has_obstacle)
		note_later(hub, NULL);
}

/* Says once an episode why the hub stands still. */
static void
complain(HubState *hub, const char *detail, const char *hint)
{
	if (hub->complained)
		return;
	hub->complained = true;
	note_later(hub, detail);
	ereport(LOG,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("task hub \"%s\" of role \"%s\" in database \"%s\" is not being served",
					hub->name, hub->owner_name, database_name),
			 errdetail_internal("%s", detail),
			 errhint("%s", hint)));
}

/* ---- looking at the load ---- */

static bool
has_connect_privilege(Oid role)
{
	return DatumGetBool(DirectFunctionCall3(has_database_privilege_id_id,
											ObjectIdGetDatum(role),
											ObjectIdGetDatum(MyDatabaseId),
											CStringGetTextDatum("CONNECT")));
}

/* May a worker connect as the owner? Asked in a transaction, before one is forked in vain. */
static const char *
find_obstacle(HubState *hub)
{
	HeapTuple	tuple = SearchSysCache1(AUTHOID, ObjectIdGetDatum(hub->owner));
	bool		can_login;

	if (!HeapTupleIsValid(tuple))
	{
		snprintf(hub->owner_name, NAMEDATALEN, "%u", hub->owner);
		return "The role does not exist any more.";
	}
	strlcpy(hub->owner_name, NameStr(((Form_pg_authid) GETSTRUCT(tuple))->rolname), NAMEDATALEN);
	can_login = !DURABLE_OWNER_NEEDS_LOGIN || ((Form_pg_authid) GETSTRUCT(tuple))->rolcanlogin;
	ReleaseSysCache(tuple);
	if (!can_login)
		return "The role is not permitted to log in.";
	if (!has_connect_privilege(hub->owner))
		return "The role has no CONNECT privilege on the database.";
	if (!extension_may_be_used_by(hub->owner))
		return "The role may not use schema durable: its code could not call durable.";
	if (!setting_lets_hubs_run_of(hub->owner))
		return "The role is a superuser, and durable.allow_superuser_hubs does not let its task hubs run.";
	return NULL;
}

/* A hub that has another owner now is another hub: what was known of it does not hold. */
static void
note_load(const HubLoad *load)
{
	HubState   *hub = find_hub(load->name);

	if (hub == NULL)
		hub = add_hub(load->name);
	if (hub->owner != load->owner)
	{
		hub->owner = load->owner;
		hub->failures = 0;
		hub->complained = false;
		hub->retry_at = 0;
	}
	hub->max_workers = load->max_workers;
	hub->max_starts_per_second = load->max_starts_per_second;
	hub->next_turn = load->next_turn;
	if (hub->next_turn <= clock_now())
		hub->next_turn = Max(hub->next_turn, coordinator_next_start(hub->name, hub->max_starts_per_second));
	hub->next_activity = load->next_activity;
	if (hub->next_activity <= clock_now())
		hub->next_activity = Max(hub->next_activity, coordinator_hold_wish(hub->name));
	hub->has_obstacle = load->has_obstacle;
	hub->is_elsewhere = load->is_elsewhere;
	hub->listed = true;
	hub->obstacle = has_ready_work(hub) ? find_obstacle(hub) : NULL;
}

/* Of hubs that came with a copy the log says once that they do not run; of all that are new in one message. */
static void
say_what_is_elsewhere(void)
{
	const HubState *first = NULL;
	int			n = 0;
	ListCell   *lc;

	foreach(lc, hubs)
	{
		HubState   *hub = lfirst(lc);

		if (hub->is_elsewhere && !hub->elsewhere_is_said && n++ == 0)
			first = hub;
		hub->elsewhere_is_said = hub->is_elsewhere;
	}
	if (n > 0)
		ereport(LOG,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg_plural("%d task hub in database \"%s\" does not run, for it is bound to another place",
							   "%d task hubs in database \"%s\" do not run, for they are bound to another place",
							   n, n, database_name),
				 n == 1 ? errdetail("It is \"%s\".", first->name) : errdetail("The first is \"%s\".", first->name),
				 errhint("This is a copy, or durable.identity has changed: durable.adopt_hub() lets a hub run here, durable.discard_hub() deletes it.")));
}

static void
forget_unlisted_hubs(void)
{
	ListCell   *lc;

	foreach(lc, hubs)
	{
		HubState   *hub = lfirst(lc);

		if (hub->listed)
			continue;
		hubs = foreach_delete_current(hubs, lc);
		pfree(hub);
	}
}

static void
mark_hubs_unlisted(void)
{
	ListCell   *lc;

	foreach(lc, hubs)
		((HubState *) lfirst(lc))->listed = false;
}

static void
note_database_name(void)
{
	char	   *name = get_database_name(MyDatabaseId);

	strlcpy(database_name, name ? name : "?", NAMEDATALEN);
}

/*
 * Begins a transaction. Ends the process when the extension has gone, or is of
 * a version we do not serve: the log is told by a coordinator that finds it so
 * at its first look, and the launcher then waits for news. One that has served
 * it lets a successor look.
 */
static void
begin_or_leave(const char *activity)
{
	if (work_item_begin(activity))
		return;
	if (extension_is_unserved() && last_look != 0)
		slot_leave(LEFT_ASKED, clock_now());
	if (extension_is_unserved())
		extension_log_obstacle();
	slot_leave(LEFT_GONE, DT_NOEND);
}

/* Asks the store which hubs have work, and when. */
static void
look_at_load(void)
{
	List	   *loads;
	ListCell   *lc;

	begin_or_leave("looking at the load of the task hubs");
	MemoryContextSwitchTo(loop_context);
	note_database_name();
	mark_hubs_unlisted();
	loads = store_hub_loads();
	foreach(lc, loads)
		note_load(lfirst(lc));
	work_item_commit();
	MemoryContextSwitchTo(loop_context);
	forget_unlisted_hubs();
	say_what_is_elsewhere();
	look_wanted = false;
	last_look = clock_now();
}

/* ---- workers that are there and that have gone ---- */

static int
most_workers(const HubState *hub)
{
	return hub->max_workers > 0 ? hub->max_workers : INT_MAX;
}

static void
reset_worker_counts(void)
{
	ListCell   *lc;

	foreach(lc, hubs)
	{
		HubState   *hub = lfirst(lc);

		hub->has_full_worker = hub->has_free_worker = hub->has_newcomer = false;
		hub->numbers = hub->idle_numbers = NULL;
	}
}

/* A worker connected as somebody who is not the owner any more must go, one too many, and one of a hub not run here. */
static void
count_worker(const SlotInfo *slot)
{
	HubState   *hub = find_hub(slot->hub);

	if (hub == NULL)
		return;
	if ((slot->owner != hub->owner || slot->index >= most_workers(hub) || hub->is_elsewhere) && !slot->retire)
		slot_retire(&slot->ref);
	if (slot->max_starts_per_second != hub->max_starts_per_second)
		slot_set_start_rate(&slot->ref, hub->max_starts_per_second);
	hub->numbers = bms_add_member(hub->numbers, slot->index);
	if (slot->state == SLOT_IDLE)
		hub->idle_numbers = bms_add_member(hub->idle_numbers, slot->index);
	if (slot->state == SLOT_STARTING || slot->state == SLOT_CONNECTING)
		hub->has_newcomer = true;
	if (slot->index < Min(setting_orchestrator_workers, setting_activity_workers))
	{
		hub->has_full_worker = true;
		hub->has_free_worker = hub->has_free_worker || !slot_is_held(slot, clock_now());
	}
	if (slot->state == SLOT_IDLE || slot->items_done > 0)
		hub_is_well(hub);
}

/*
 * It came to grief: start the next one later each time, and say so when none
 * gets to work. The delays begin small if it had done some work, or had a
 * work item in hand: that will be given up if it is to blame, and the others
 * of the hub wait.
 */
static void
note_failure(HubState *hub, const SlotInfo *slot)
{
	bool		may_be_well = slot->items_done > 0 || suspect_in_hand(slot->ref.number);

	if (slot->items_done > 0)
		hub_is_well(hub);
	hub->failures++;
	hub->retry_at = ms_from_now(process_backoff(hub->failures,
												may_be_well ? BURY_LATER_MS : FAILURE_BACKOFF_FIRST_MS,
												FAILURE_BACKOFF_LAST_MS));
	if (!slot->connected)
		complain(hub, "A worker could not connect to the database as that role.", SEE_LOG_HINT);
	else if (hub->failures > setting_max_dispatch_attempts)
		complain(hub, "Its workers fail before they complete a work item.", SEE_LOG_HINT);
}

/*
 * It found that it may not run the hub (session_serve_hub), which the next look
 * will explain; unless only the owner's sessions see it so.
 */
static void
note_unwillingness(HubState *hub)
{
	hub->wake_again_at = 0;		/* idle ones shall find it, too */
	hub->failures++;
	hub->retry_at = ms_from_now(process_backoff(hub->failures, FAILURE_BACKOFF_FIRST_MS,
												FAILURE_BACKOFF_LAST_MS));
	if (hub->failures > setting_max_dispatch_attempts)
		complain(hub, "Its workers find that they may not run it.",
				 "Is durable.allow_superuser_hubs or durable.enabled set for the role?");
}

static void
bury_worker(HubState *hub, const SlotInfo *slot)
{
	if (hub != NULL && slot->reason == LEFT_BY_ERROR && !slot->excused)
		note_failure(hub, slot);
	else if (hub != NULL && (slot->reason == LEFT_GONE || slot->reason == LEFT_DISABLED))
		note_unwillingness(hub);
	else if (hub != NULL && slot->reason == LEFT_ASKED)
		hub->retry_at = ms_from_now(TURN_TAKING_MS);
	if (hub != NULL && slot->reason != LEFT_BY_ERROR && slot->items_done > 0)
		hub_is_well(hub);		/* it left before anybody saw it at work */
	process_bury(slot);
	look_wanted = true;
}

/* Until it is known whether its work item is to be charged nobody else shall take that. */
static void
put_off_burial(HubState *hub)
{
	bury_later = ms_from_now(BURY_LATER_MS);
	if (hub != NULL)
		hub->retry_at = Max(hub->retry_at, bury_later);
}

static bool
may_be_dead(const SlotInfo *slot)
{
	return slot->kind == PROCESS_WORKER && slot->dboid == MyDatabaseId &&
		(slot->state == SLOT_LEFT || slot->state == SLOT_STARTING);
}

static void
count_workers(void)
{
	SlotInfo   *slots;
	int			n = slots_read(&slots);

	reset_worker_counts();
	for (int i = 0; i < n; i++)
	{
		if (slots[i].kind == PROCESS_WORKER && slots[i].dboid == MyDatabaseId &&
			slots[i].state != SLOT_LEFT)
			count_worker(&slots[i]);
	}
}

/* Those who have gone or never came. */
static void
bury_workers(void)
{
	SlotInfo   *slots;
	int			n = slots_read(&slots);

	bury_later = DT_NOEND;
	for (int i = 0; i < n; i++)
	{
		SlotInfo   *slot = &slots[i];
		bool		gone = (slot->state == SLOT_LEFT);

		if (!may_be_dead(slot))
			continue;
		if ((gone && process_may_be_buried(slot, clock_now())) || process_never_came(slot))
			bury_worker(find_hub(slot->hub), slot);
		else if (gone || process_is_inherited(slot))
			put_off_burial(find_hub(slot->hub));
	}
}

/* Looks are taken more often while workers are at work. */
static void
watch_workers(void)
{
	bool		watched = watching;

	watching = coordinator_watch_workers();
	if (watching && !watched)
		watching_since = clock_now();
}

/* ---- starting workers ---- */

/* Workers with a number below this take the kind of work that waits. */
static int
number_limit(const HubState *hub)
{
	int			limit = 0;

	if (hub->next_turn <= clock_now())
		limit = setting_orchestrator_workers;
	if (hub->next_activity <= clock_now())
		limit = Max(limit, setting_activity_workers);
	return Min(limit, most_workers(hub));
}

/* The lowest free number for such a worker; -1: none. */
static int
number_for_worker(const HubState *hub)
{
	int			limit = number_limit(hub);

	for (int i = 0; i < limit; i++)
	{
		if (!bms_is_member(i, hub->numbers))
			return i;
	}
	return -1;
}

static bool
has_idle_worker(const HubState *hub)
{
	int			lowest = bms_next_member(hub->idle_numbers, -1);

	return lowest >= 0 && lowest < number_limit(hub);
}

static void
log_refusal(bool max_workers_reached)
{
	ereport(LOG,
			(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
			 max_workers_reached ?
			 errmsg("durable has as many workers as durable.max_workers allows") :
			 errmsg("out of background worker slots for durable workers"),
			 errdetail("Task hubs of database \"%s\" and others take turns.", database_name),
			 max_workers_reached ?
			 errhint("You might need to increase durable.max_workers.") :
			 errhint("You might need to increase max_worker_processes.")));
}

/*
 * The only worker of the hub could not be started: one that has nothing to do
 * shall serve it, else try to get somebody else to leave. One that is idle
 * and has not come after two tries will not: its own hub has work it cannot have.
 */
static void
note_refusal(HubState *hub, const SlotInfo *like, bool max_workers_reached)
{
	bool		somebody_comes;

	if (hub->starving_since == 0)
		hub->starving_since = clock_now();
	if (refusal_is_news(hub->starving_since))
		log_refusal(max_workers_reached);
	hub->refusals++;
	somebody_comes = coordinator_offer_hub(like, hub->starving_since) && hub->refusals <= 2;
	if (somebody_comes)
		last_look_was_vain = false;
	if (somebody_comes ||
		make_room_for_worker(MyDatabaseId, hub->name, hub->starving_since, max_workers_reached))
		hub->refusals = Min(hub->refusals, 3);
	hub->retry_at = ms_from_now(process_backoff(hub->refusals, REFUSAL_BACKOFF_FIRST_MS,
												REFUSAL_BACKOFF_LAST_MS));
}

static void
starves_no_more(HubState *hub)
{
	if (hub->starving_since != 0)
		coordinator_withdraw_offer(hub->name);
	hub->starving_since = 0;
	hub->refusals = 0;
}

static void
note_start(HubState *hub)
{
	hub->has_full_worker = hub->has_free_worker = true;
	hub->has_newcomer = true;
	starves_no_more(hub);
	last_look_was_vain = false;
}

/*
 * Is nobody there who could do what is ready? Turns do not wait for workers that
 * hold their slot; activities that are due may be those that these run.
 */
static bool
needs_worker(const HubState *hub)
{
	return has_ready_work(hub) &&
		(!hub->has_full_worker || (!hub->has_free_worker && hub->next_turn <= clock_now()));
}

static void
start_worker(HubState *hub)
{
	SlotInfo	like = {0};
	StartResult result;

	like.kind = PROCESS_WORKER;
	like.dboid = MyDatabaseId;
	like.owner = hub->owner;
	strlcpy(like.hub, hub->name, NAMEDATALEN);
	like.index = number_for_worker(hub);
	like.max_starts_per_second = hub->max_starts_per_second;
	if (like.index < 0)
	{
		hub->retry_at = ms_from_now(WATCH_MS);
		return;
	}
	result = process_start(&like, database_name);
	if (result == START_OK)
		note_start(hub);
	else if (result == START_NOT_NOW)
		hub->retry_at = ms_from_now(WATCH_MS);
	else if (needs_worker(hub))
		note_refusal(hub, &like, result == START_MAX_WORKERS);
	else
		make_room_for_helper(MyDatabaseId, hub->name);
}

/* Work waits and nobody is there who could do all of it. */
static void
start_first_worker(HubState *hub)
{
	if (clock_now() < hub->retry_at)
		return;
	if (hub->obstacle == NULL)
		start_worker(hub);
	else
	{
		complain(hub, hub->obstacle, "Workers connect as the owner of their task hub and run its code: allow it to, or give the hub to another role.");
		hub->failures++;
		hub->retry_at = ms_from_now(process_backoff(hub->failures, FAILURE_BACKOFF_FIRST_MS,
													FAILURE_BACKOFF_LAST_MS));
	}
}

static bool
somebody_starves(void)
{
	ListCell   *lc;

	foreach(lc, hubs)
	{
		if (((HubState *) lfirst(lc))->starving_since != 0)
			return true;
	}
	return coordinator_others_starve();
}

/*
 * Would another worker be the last one durable.max_workers allows, idle ones
 * not counted, since they make room? It is kept for a hub that has none, which
 * would have to wait for a long activity else.
 */
static bool
is_last_worker(void)
{
	SlotInfo   *slots;
	int			n_slots = slots_read(&slots);
	int			n_workers = 0;

	for (int i = 0; i < n_slots; i++)
	{
		if (slots[i].kind == PROCESS_WORKER && slots[i].state != SLOT_LEFT && slots[i].state != SLOT_IDLE)
			n_workers++;
	}
	return n_workers + 1 >= setting_max_workers;
}

/* Who makes work or releases it wakes the workers: this is for what they may have missed, so more and more seldom. */
static void
wake_idle_worker(HubState *hub)
{
	if (clock_now() < hub->wake_again_at)
		return;
	shmem_wake_hub(hub->name, DT_NOBEGIN);
	hub->vain_wakes++;
	hub->wake_again_at = ms_from_now(process_backoff(hub->vain_wakes, WATCH_MS, LAST_WAKE_GAP_MS));
}

/*
 * Work waits although the hub has workers. An idle one is woken, in case it
 * does not know. If all were busy at two looks in a row another one helps,
 * unless a hub without any worker needs the slot more.
 */
static void
help_workers(HubState *hub)
{
	bool		overloaded = (!has_idle_worker(hub) && !hub->has_newcomer);

	if (has_idle_worker(hub))
		wake_idle_worker(hub);
	else if (overloaded && hub->overloaded && !somebody_starves() && !is_last_worker())
		start_worker(hub);
	hub->overloaded = overloaded;
}

static void
write_note(HubState *hub)
{
	begin_or_leave("noting why a task hub is not served");
	store_note_obstacle(hub->name, hub->note);
	work_item_commit();
	hub->note_is_due = false;
	MemoryContextSwitchTo(loop_context);
}

static void
write_notes(void)
{
	ListCell   *lc;

	foreach(lc, hubs)
		if (((HubState *) lfirst(lc))->note_is_due)
			write_note(lfirst(lc));
}

static int
compare_starving(const ListCell *a, const ListCell *b)
{
	TimestampTz since_a = ((const HubState *) lfirst(a))->starving_since;
	TimestampTz since_b = ((const HubState *) lfirst(b))->starving_since;

	since_a = since_a == 0 ? DT_NOEND : since_a;
	since_b = since_b == 0 ? DT_NOEND : since_b;
	return since_a < since_b ? -1 : since_a > since_b;
}

/* Those that starve for longest come first. */
static List *
hubs_in_turn(void)
{
	List	   *in_turn = list_copy(hubs);

	list_sort(in_turn, compare_starving);
	return in_turn;
}

/* Answers what the look has found. */
static void
staff_hubs(void)
{
	bool		starving = false;
	ListCell   *lc;

	last_look_was_vain = true;
	foreach(lc, hubs_in_turn())
	{
		HubState   *hub = lfirst(lc);

		if (has_ready_work(hub) || hub->numbers != NULL)
			hub->quiet_sweeps = -1;
		if (!has_ready_work(hub))
		{
			hub->overloaded = false;
			hub->vain_wakes = 0;
			hub->wake_again_at = 0;
		}
		else if (needs_worker(hub))
			start_first_worker(hub);
		else
			help_workers(hub);
		if (!needs_worker(hub))
			starves_no_more(hub);
		starving = starving || hub->starving_since != 0;
	}
	coordinator_set_starving(starving);
}

/* ---- housekeeping ---- */

/*
 * What is to be swept comes of work: hubs that had none since the last time
 * are left alone, but for what has only become old.
 */
static bool
needs_sweep(HubState *hub)
{
	bool		needed = hub->quiet_sweeps < 0 || hub->quiet_sweeps + 1 >= QUIET_SWEEPS || setting_retention >= 0;

	hub->quiet_sweeps = needed ? 0 : hub->quiet_sweeps + 1;
	return needed;
}

static void
sweep_hub(void *argument)
{
	const char *name = ((HubState *) argument)->name;

	begin_or_leave("sweeping a task hub");
	(void) store_sweep_hub(name);
	DURABLE_POINT("coordinator.swept");
	pinned_code_sweep(name);
	work_item_commit();
	MemoryContextSwitchTo(loop_context);
}

static void
sweep_hubs(void)
{
	ListCell   *lc;

	foreach(lc, hubs)
	{
		HubState   *hub = lfirst(lc);

		process_serve_requests();
		if (!hub->is_elsewhere && needs_sweep(hub) && !process_step(sweep_hub, hub))
			hub->quiet_sweeps = -1; /* the next time, then */
	}
	next_sweep = ms_from_now(setting_poll_interval);
}

/* ---- the loop ---- */

/* When work is due that no worker waits for. */
static TimestampTz
next_due(void)
{
	TimestampTz due = DT_NOEND;
	ListCell   *lc;

	foreach(lc, hubs)
	{
		HubState   *hub = lfirst(lc);

		if (!hub->has_full_worker)
			due = Min(due, Max(hub_due(hub), hub->retry_at));
		else if (!hub->has_free_worker)
			due = Min(due, Max(hub->next_turn, hub->retry_at));
	}
	return due;
}

/* When the next look is to be taken without being woken. */
static TimestampTz
next_look(void)
{
	TimestampTz next = Min(next_due(), TimestampTzPlusMilliseconds(last_look, setting_poll_interval));

	next = Min(next, coordinator_look_by());
	if (watching)
		next = Min(next, TimestampTzPlusMilliseconds(Max(last_look, watching_since), WATCH_MS));
	if (look_wanted)
		next = last_look;
	return Max(next, TimestampTzPlusMilliseconds(last_look, LOOK_GAP_MS));
}

/*
 * A hub that has no worker is served at once; but not when the look before
 * was for nothing, as it is when a hub is paused and its clients are not.
 */
static bool
is_time_to_look(void)
{
	if (coordinator_take_look_now())
		look_wanted = true;
	if (look_wanted && !last_look_was_vain)
		return true;
	return clock_now() >= next_look();
}

static void
leave_if_asked(void)
{
	if (!setting_enabled)
		slot_leave(LEFT_DISABLED, DT_NOEND);
	if (slot_mine()->retire)
		slot_leave(LEFT_ASKED, next_due());
}

/* With new settings a hub may get what it was refused, and the next sweep come sooner. */
static void
notice_reload(void)
{
	ListCell   *lc;

	if (process_reloads() == reloads_seen)
		return;
	reloads_seen = process_reloads();
	look_wanted = true;
	next_sweep = Min(next_sweep, ms_from_now(setting_poll_interval));
	foreach(lc, hubs)
		((HubState *) lfirst(lc))->retry_at = 0;
}

/* Shows whether this process can be spared, then sleeps until something is to be done. */
static void
sleep_until_needed(void)
{
	bool		spare = !watching && !look_wanted && next_due() > ms_from_now(SPARE_MS);
	TimestampTz look = next_look();

	process_report_idle();
	slot_sleep(spare ? SLOT_IDLE : SLOT_BUSY, look_wanted ? DT_NOBEGIN : look);
	(void) clock_wait_until(Min(look, Min(next_sweep, bury_later)));
	slot_wake_up();
}

/* Connects with all rights, for the catalogs; the store lowers them to the extension's owner. */
static void
coordinator_connect(void)
{
	const SlotInfo *slot = slot_mine();

	BackgroundWorkerInitializeConnectionByOid(slot->dboid, InvalidOid, 0);
	session_init_worker();
	loop_context = process_enter_loop();
	hub_context = AllocSetContextCreate(TopMemoryContext, "durable task hubs",
										ALLOCSET_DEFAULT_SIZES);
	next_sweep = ms_from_now(setting_poll_interval);
}

/* Looks, and answers what the look has found. */
static void
take_look(void *argument)
{
	look_at_load();
	DURABLE_POINT("coordinator.looked");
	count_workers();
	staff_hubs();
	write_notes();
}

void
durable_coordinator_main(Datum main_arg)
{
	process_begin();
	DURABLE_POINT("coordinator.begin");
	coordinator_connect();
	DURABLE_POINT("coordinator.connected");
	for (;;)
	{
		MemoryContextReset(loop_context);
		process_serve_requests();
		notice_reload();
		leave_if_asked();
		bury_workers();
		watch_workers();
		if (is_time_to_look() && !process_step(take_look, NULL))
			look_wanted = true;
		if (clock_now() >= next_sweep)
			sweep_hubs();
		DURABLE_POINT("coordinator.before_sleep");
		sleep_until_needed();
	}
}
