/*
 * hub_store.h
 *		Task hubs: whose they are and which of them have work.
 */
#ifndef DURABLE_HUB_STORE_H
#define DURABLE_HUB_STORE_H

#include "postgres.h"
#include "datatype/timestamp.h"
#include "nodes/pg_list.h"

#include "core/runtime_state.h"

/*
 * SQL: is the hub there, not paused, bound to this place, and owned by this
 * role? Part of every statement that takes work: a hub that changes hands
 * stops at once in the processes of its old owner.
 */
#define RUNNABLE_HUB(hub, role) \
	"SELECT NOT h.paused AND h.owner = " role \
	" AND durable_store.is_here(h.system_identifier, h.database_oid, h.identity) FROM durable_store.hubs h WHERE h.task_hub = " hub

/* What tells a database from its copies. */
typedef struct HubPlace
{
	uint64		system_identifier;
	Oid			database_oid;
	const char *identity;		/* durable.identity */
} HubPlace;

typedef struct Hub
{
	char		name[NAMEDATALEN];
	Oid			owner;
	bool		paused;
	HubPlace	place;			/* it is bound to */
	bool		is_ours;		/* that is this one */
	const char *default_version;	/* of new instances; NULL: none */
	HubLimits	limits;
} Hub;

/* The hub of a name; false if there is none. */
extern bool store_find_hub(const char *name, Hub *hub);

/* The default hub of a role; false if it has none yet. */
extern bool store_find_default_hub(Oid owner, Hub *hub);

/* Is any orchestrator registered in a hub? */
extern bool store_has_orchestrators(const char *task_hub);

/* Makes a hub; false if the name is taken (or the role has a default hub already). */
extern bool store_create_hub(const char *name, Oid owner, bool is_default);

/* Makes a hub the default of its owner; false if it is another role's. */
extern bool store_make_default(const char *name, Oid owner);

extern void store_pause_hub(const char *name, bool paused);

/* The place of this process, and whether another one is the same. */
extern HubPlace place_here(void);
extern bool place_is_here(const HubPlace *place);

/* Binds a hub to this place. */
extern void store_adopt_hub(const char *name);

/* Gives a hub to another role; it stays a default hub only if that role has none. */
extern void store_reassign_hub(const char *name, Oid owner);

/* Notes for people to see why a hub is not being served; NULL: it is. */
extern void store_note_obstacle(const char *name, const char *obstacle);

/* What turns must know of a hub, in CurrentMemoryContext of the caller. */
extern const HubRules *store_hub_rules(const char *task_hub);

/* RUNNABLE_HUB, asked without a statement. */
extern bool store_hub_is_runnable(const char *task_hub, Oid role);

/*
 * Keeps the versioning of a hub from being changed until the end of the
 * transaction. False if it is not "versioning" any more, or about to be changed.
 */
extern bool store_pin_hub_versioning(const char *task_hub, const HubVersioning *versioning);

/* The names of the strategies are those of set_hub_versioning(); NULL: no (default) version. */
extern void store_set_hub_versioning(const char *task_hub, const char *version, const char *match_strategy,
									 const char *failure_strategy, const char *default_version);

/* 0: no limit. */
extern void store_set_hub_limits(const char *task_hub, const HubLimits *limits);

/* Makes visible again what was put off, but for what was to be visible later anyway. READ COMMITTED only. */
extern void store_release_rejected(const char *task_hub);

/* What the coordinator needs to know of a hub that is not paused. */
typedef struct HubLoad
{
	char		name[NAMEDATALEN];
	Oid			owner;
	TimestampTz next_turn;		/* when the next message becomes visible, DT_NOEND: none */
	TimestampTz next_activity;	/* the same for activities */
	int			max_workers;	/* 0: no limit of its own */
	int			max_starts_per_second;	/* the same */
	bool		has_obstacle;	/* it is noted not to be served */
	bool		is_elsewhere;	/* bound to another place: nothing is due */
} HubLoad;

/* A list of HubLoad, in CurrentMemoryContext of the caller; inside a transaction with extension_lock(). */
extern List *store_hub_loads(void);

/*
 * When the next message or activity of a hub becomes visible, of those that
 * do after a time (DT_NOBEGIN: of all); DT_NOEND: none.
 */
extern TimestampTz store_next_due(const char *task_hub, TimestampTz after);

/*
 * The same of messages, and of activities (of which a parked one counts, too);
 * cheap, and without what committed late and lies before the low-water mark.
 */
extern TimestampTz store_next_turn(const char *task_hub);
extern TimestampTz store_next_activity(const char *task_hub);

/*
 * Housekeeping of one hub by the coordinator: purges what is older than
 * durable.retention, drops messages whose instance is gone. Returns rows removed.
 */
extern int64 store_sweep_hub(const char *task_hub);

#endif							/* DURABLE_HUB_STORE_H */
