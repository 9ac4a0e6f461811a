/*
 * session.c
 *		Transactions, rights and settings: see session.h.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "commands/async.h"
#include "commands/prepare.h"
#include "commands/sequence.h"
#include "common/pg_prng.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/backend_status.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/plancache.h"
#include "utils/portal.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "compat.h"
#include "core/runtime_state.h"
#include "extension.h"
#include "plan_marks.h"
#include "points.h"
#include "session.h"
#include "settings.h"

#define ENGINE_SEARCH_PATH "pg_catalog, pg_temp"

static bool is_worker = false;
static bool serves_hub = false;

/* The owner's row of pg_authid is another one than when this process connected. */
static bool owner_has_changed = false;

/* What the engine's statements pin in a worker and user code has as its role or database says. */
typedef struct PinnedSetting
{
	const char *name;
	const char *value;			/* the engine's */
	char	   *own;			/* the role's at the connect; NULL: the same */
} PinnedSetting;

static PinnedSetting pinned_settings[] = {
	{"jit", "off", NULL},		/* the engine's statements are short */
	{"lock_timeout", "0", NULL} /* the engine waits for clients */
};

/*
 * What was restored last in this work item of a worker, and which settings had
 * to be. Instances of a batch mostly have the same, and what a worker itself
 * runs with does not change within a work item.
 */
static struct
{
	bool		is_valid;
	char	   *values[N_RECORDED_SETTINGS];
	bool		had_to_be[N_RECORDED_SETTINGS];
}			last_restored;

/* The client's subtransaction that a work item runs in. */
static MemoryContext outer_context;
static ResourceOwner outer_owner;

bool
session_is_worker(void)
{
	return is_worker;
}

bool
session_is_assumed(void)
{
	return MyProc->roleId != GetSessionUserId();
}

void
session_close_cursors(void)
{
	PortalHashTableDeleteAll();
}

static void
set_session(const char *name, const char *value)
{
	SetConfigOption(name, value, PGC_SUSET, PGC_S_SESSION);
}

static void
pin_setting(PinnedSetting *setting)
{
	const char *own = GetConfigOption(setting->name, false, false);

	if (strcmp(own, setting->value) == 0)
		return;
	setting->own = MemoryContextStrdup(TopMemoryContext, own);
	set_session(setting->name, setting->value);
}

void
session_init_worker(void)
{
	static const char *const timeouts[] = {DURABLE_TIMEOUT_SETTINGS};

	is_worker = true;
	set_session("search_path", ENGINE_SEARCH_PATH);
	set_session("role", "none");	/* code runs as the one who connected */
	set_session("exit_on_error", "off");	/* a turn that waits ends with an error */
	for (int i = 0; i < lengthof(pinned_settings); i++)
		pin_setting(&pinned_settings[i]);
	for (int i = 0; i < lengthof(timeouts); i++)
		set_session(timeouts[i], "0");
}

static void
note_owner_change(Datum owner_hash, int cacheid, uint32 hash)
{
	if (hash == 0 || hash == DatumGetUInt32(owner_hash))
		owner_has_changed = true;
}

void
session_watch_owner(void)
{
	uint32		hash = GetSysCacheHashValue1(AUTHOID, ObjectIdGetDatum(GetSessionUserId()));

	CacheRegisterSyscacheCallback(AUTHOID, note_owner_change, UInt32GetDatum(hash));
}

bool
session_owner_has_changed(void)
{
	return owner_has_changed;
}

void
session_serve_hub(void)
{
	serves_hub = true;
}

/*
 * Asked before each work item: after revoke_usage() code of the owner could
 * not call durable any more and would fail, instead of waiting for better times.
 */
static bool
owner_may_run(void)
{
	return extension_may_be_used_by(GetUserId()) && setting_lets_hubs_run_of(GetUserId());
}

/* The settings a worker's transactions commit with; read again each time for SIGHUP. */
static const char *
synchronous_commit_text(void)
{
	switch (setting_synchronous_commit)
	{
		case SYNCHRONOUS_COMMIT_OFF:
			return "off";
		case SYNCHRONOUS_COMMIT_LOCAL_FLUSH:
			return "local";
		case SYNCHRONOUS_COMMIT_REMOTE_WRITE:
			return "remote_write";
		case SYNCHRONOUS_COMMIT_REMOTE_APPLY:
			return "remote_apply";
		default:
			return "on";
	}
}

static void
begin_transaction(const char *activity)
{
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	/* whatever the role's defaults say */
	XactIsoLevel = XACT_READ_COMMITTED;
	XactReadOnly = false;
	XactDeferrable = false;
	if (synchronous_commit != setting_synchronous_commit)
		set_session("synchronous_commit", synchronous_commit_text());
	debug_query_string = activity;
	if (activity)
		pgstat_report_activity(STATE_RUNNING, activity);
}

static void
begin_subtransaction(void)
{
	outer_context = CurrentMemoryContext;
	outer_owner = CurrentResourceOwner;
	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(outer_context);
}

void
session_reseed_random(void)
{
	double		seed = pg_prng_double(&pg_global_prng_state);	/* which nobody can seed */

	(void) DirectFunctionCall1(setseed, Float8GetDatum(seed));
}

void
session_discard_leftovers(void)
{
	DropAllPreparedStatements();
	ResetSequenceCaches();
	session_reseed_random();
	LockReleaseSession(USER_LOCKMETHOD);
}

bool
work_item_begin(const char *activity)
{
	if (is_worker)
	{
		MemoryContext context = CurrentMemoryContext;

		begin_transaction(activity);
		MemoryContextSwitchTo(context);
	}
	else
		begin_subtransaction();
	last_restored.is_valid = false;
	if (owner_has_changed || !extension_lock() || (serves_hub && !owner_may_run()))
	{
		work_item_abort();
		return false;
	}
	PushActiveSnapshot(GetTransactionSnapshot());
	return true;
}

void
work_item_commit(void)
{
	MemoryContext context = CurrentMemoryContext;

	PopActiveSnapshot();
	DURABLE_POINT("commit.before");
	if (is_worker)
	{
		CommitTransactionCommand();
		DURABLE_POINT("commit.after");
		session_discard_leftovers();
		MemoryContextSwitchTo(context);
		debug_query_string = NULL;
		pgstat_report_stat(false);
		return;
	}
	ReleaseCurrentSubTransaction();
	MemoryContextSwitchTo(outer_context);
	CurrentResourceOwner = outer_owner;
}

void
work_item_flush_at_commit(void)
{
	ForceSyncCommit();
}

void
work_item_abort(void)
{
	MemoryContext context = CurrentMemoryContext;

	if (is_worker)
	{
		AbortCurrentTransaction();
		session_discard_leftovers();
		MemoryContextSwitchTo(context);
		debug_query_string = NULL;
		pgstat_report_stat(false);
		return;
	}
	RollbackAndReleaseCurrentSubTransaction();
	MemoryContextSwitchTo(outer_context);
	CurrentResourceOwner = outer_owner;
}

static void
save_setting(const char *name, const char *value)
{
	(void) set_config_option(name, value, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}

void
engine_enter(EngineScope *scope)
{
	Oid			owner = extension_owner();

	scope->guc_nest_level = 0;
	GetUserIdAndSecContext(&scope->userid, &scope->sec_context);
	if (strcmp(namespace_search_path, ENGINE_SEARCH_PATH) != 0)
	{
		scope->guc_nest_level = NewGUCNestLevel();
		save_setting("search_path", ENGINE_SEARCH_PATH);
	}
	SetUserIdAndSecContext(owner, scope->sec_context | SECURITY_LOCAL_USERID_CHANGE);
}

void
engine_leave(EngineScope *scope)
{
	SetUserIdAndSecContext(scope->userid, scope->sec_context);
	if (scope->guc_nest_level > 0)
		AtEOXact_GUC(true, scope->guc_nest_level);
}

/*
 * Lets a setting be what was recorded; false: it is that already, as most are. An
 * empty name of a locale is what PostgreSQL has before anybody gave it one, and
 * cannot be set.
 */
static bool
restore_setting(const RecordedSetting *setting, const char *value)
{
	const char *current = GetConfigOption(setting->name, false, false);

	if (value == NULL)
		value = GetConfigOptionResetString(setting->name);
	if (value == NULL || strcmp(value, current) == 0 || (value[0] == '\0' && strncmp(setting->name, "lc_", 3) == 0))
		return false;
	(void) set_config_option(setting->name, value, setting->by_superuser ? PGC_SUSET : PGC_USERSET,
							 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	return true;
}

/* The level of settings of user code in a subtransaction of a work item, with no other user code around it. */
#define OUTERMOST_LEVEL 3

static bool
is_same_value(const char *a, const char *b)
{
	return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static bool
are_as_last(const InstanceSettings *settings)
{
	for (int i = 0; i < N_RECORDED_SETTINGS; i++)
		if (!is_same_value(last_restored.values[i], settings->values[i]))
			return false;
	return true;
}

static void
note_restored(int i, const char *value, bool had_to_be)
{
	if (last_restored.values[i] != NULL)
		pfree(last_restored.values[i]);
	last_restored.values[i] = NULL;
	last_restored.values[i] = value ? MemoryContextStrdup(TopMemoryContext, value) : NULL;
	last_restored.had_to_be[i] = had_to_be;
}

static void
restore_settings(const InstanceSettings *settings, bool is_outermost)
{
	bool		as_last = is_outermost && last_restored.is_valid && are_as_last(settings);

	if (is_outermost && !as_last)
		last_restored.is_valid = false;
	for (int i = 0; i < N_RECORDED_SETTINGS; i++)
	{
		bool		had_to_be;

		if (as_last && !last_restored.had_to_be[i])
			continue;
		had_to_be = restore_setting(&recorded_settings[i], settings->values[i]);
		if (is_outermost && !as_last)
			note_restored(i, settings->values[i], had_to_be);
	}
	last_restored.is_valid = last_restored.is_valid || is_outermost;
}

/*
 * Plans of SQL functions that were made under other settings, for the code
 * before or by the client, are not for this code. Others look to that by
 * themselves; these cannot be told from the rest, so all are made anew.
 */
static void
forget_plans_of_others(uint32 outer_settings)
{
	static uint32 last_settings = 0;
	uint32		settings = plan_settings();

	if (settings != last_settings || (!is_worker && settings != outer_settings))
		ResetPlanCache();
	last_settings = settings;
}

int
user_code_enter(const InstanceSettings *settings)
{
	int			nest_level = NewGUCNestLevel();
	uint32		outer_settings = DURABLE_SQL_FUNCTIONS_KEEP_PLANS ? plan_settings() : 0;

	for (int i = 0; i < lengthof(pinned_settings); i++)
		if (pinned_settings[i].own)
			save_setting(pinned_settings[i].name, pinned_settings[i].own);
	if (settings->are_known)
		restore_settings(settings, is_worker && nest_level == OUTERMOST_LEVEL);
	if (DURABLE_SQL_FUNCTIONS_KEEP_PLANS)
		forget_plans_of_others(outer_settings);
	return nest_level;
}

/* Rolls all settings back, whether set plainly, LOCAL or by set_config(). */
void
user_code_leave(int nest_level)
{
	AtEOXact_GUC(false, nest_level);
}

void
session_discard_temporary_objects(void)
{
	session_close_cursors();	/* they may be open on temporary tables */
	ResetTempTableNamespace();
	Async_UnlistenAll();
}
