/*
 * settings.c
 *		The GUCs of durable.
 */
#include "postgres.h"

#include <limits.h>

#include "access/xact.h"
#include "catalog/pg_authid.h"
#include "miscadmin.h"
#include "utils/guc.h"
#include "utils/varlena.h"

#include "compat.h"
#include "settings.h"

char	   *setting_task_hub = NULL;
bool		setting_enabled = true;
char	   *setting_databases = NULL;
char	   *setting_identity = NULL;
int			setting_max_workers = 4;
int			setting_orchestrator_workers = 4;
int			setting_activity_workers = 4;
int			setting_worker_idle_timeout = 60000;
int			setting_poll_interval = 60000;
int			setting_batch_size = 100;
int			setting_batch_time = 50;
int			setting_inline_activities = INLINE_ON;
int			setting_synchronous_commit = SYNCHRONOUS_COMMIT_OFF;
int			setting_orchestrator_timeout = 10000;
bool		setting_double_replay = false;
bool		setting_early_commit = true;
int			setting_on_code_change = CODE_CHANGE_KEEP;
int			setting_orchestrator_checks = ORCHESTRATOR_CHECKS_ERROR;
char	   *setting_orchestrator_languages = NULL;
void		(*setting_languages_changed) (void) = NULL;
void		(*setting_checks_changed) (int checks) = NULL;
int			setting_activity_timeout = 0;
int			setting_max_payload_size = 65536;
int			setting_max_history_events = 100000;
int			setting_max_messages_per_turn = 0;
int			setting_max_dispatch_attempts = 5;
int			setting_retention = -1;
int			setting_allow_superuser_hubs = SUPERUSER_HUBS_BOOTSTRAP;

/* A boolean with a third value. */
static const struct config_enum_entry allow_superuser_hubs_options[] = {
	{"off", SUPERUSER_HUBS_OFF, false},
	{"bootstrap", SUPERUSER_HUBS_BOOTSTRAP, false},
	{"on", SUPERUSER_HUBS_ON, false},
	{"false", SUPERUSER_HUBS_OFF, true},
	{"no", SUPERUSER_HUBS_OFF, true},
	{"0", SUPERUSER_HUBS_OFF, true},
	{"true", SUPERUSER_HUBS_ON, true},
	{"yes", SUPERUSER_HUBS_ON, true},
	{"1", SUPERUSER_HUBS_ON, true},
	{NULL, 0, false}
};

static const struct config_enum_entry on_code_change_options[] = {
	{"keep", CODE_CHANGE_KEEP, false},
	{"latest", CODE_CHANGE_LATEST, false},
	{"fail", CODE_CHANGE_FAIL, false},
	{NULL, 0, false}
};

static const struct config_enum_entry inline_activities_options[] = {
	{"off", INLINE_OFF, false},
	{"on", INLINE_ON, false},
	{"always", INLINE_ALWAYS, false},
	{"false", INLINE_OFF, true},
	{"no", INLINE_OFF, true},
	{"0", INLINE_OFF, true},
	{"true", INLINE_ON, true},
	{"yes", INLINE_ON, true},
	{"1", INLINE_ON, true},
	{NULL, 0, false}
};

static const struct config_enum_entry orchestrator_checks_options[] = {
	{"error", ORCHESTRATOR_CHECKS_ERROR, false},
	{"warning", ORCHESTRATOR_CHECKS_WARNING, false},
	{"off", ORCHESTRATOR_CHECKS_OFF, false},
	{"on", ORCHESTRATOR_CHECKS_ERROR, true},
	{"false", ORCHESTRATOR_CHECKS_OFF, true},
	{"no", ORCHESTRATOR_CHECKS_OFF, true},
	{"0", ORCHESTRATOR_CHECKS_OFF, true},
	{NULL, 0, false}
};

/* As synchronous_commit of the server. */
static const struct config_enum_entry synchronous_commit_options[] = {
	{"off", SYNCHRONOUS_COMMIT_OFF, false},
	{"local", SYNCHRONOUS_COMMIT_LOCAL_FLUSH, false},
	{"remote_write", SYNCHRONOUS_COMMIT_REMOTE_WRITE, false},
	{"on", SYNCHRONOUS_COMMIT_REMOTE_FLUSH, false},
	{"remote_apply", SYNCHRONOUS_COMMIT_REMOTE_APPLY, false},
	{NULL, 0, false}
};

/* Who set durable.task_hub; InvalidOid: nobody in this session, it came with the connection. */
static Oid	task_hub_setter = InvalidOid;

static bool
check_task_hub(char **newval, void **extra, GucSource source)
{
	Oid		   *setter = durable_guc_malloc(sizeof(Oid));
	int			sec_context;

	if (setter == NULL)
		return false;
	if (*newval != NULL && strlen(*newval) >= NAMEDATALEN)
	{
		GUC_check_errdetail("The name of a task hub has at most %d bytes.", NAMEDATALEN - 1);
		durable_guc_free(setter);
		return false;
	}
	GetUserIdAndSecContext(setter, &sec_context);
	if (source < PGC_S_INTERACTIVE)
		*setter = InvalidOid;
	*extra = setter;
	return true;
}

static void
assign_task_hub(const char *newval, void *extra)
{
	task_hub_setter = extra ? *(Oid *) extra : InvalidOid;
}

const char *
setting_task_hub_of_current_user(void)
{
	Oid			setter = OidIsValid(task_hub_setter) ? task_hub_setter : GetSessionUserId();

	if (setting_task_hub == NULL || setting_task_hub[0] == '\0' || setter != GetUserId())
		return NULL;
	return setting_task_hub;
}

bool
setting_lets_hubs_run_of(Oid owner)
{
	if (!superuser_arg(owner) || setting_allow_superuser_hubs == SUPERUSER_HUBS_ON)
		return true;
	return setting_allow_superuser_hubs == SUPERUSER_HUBS_BOOTSTRAP && owner == BOOTSTRAP_SUPERUSERID;
}

/* It is compared with what is stored in databases of any encoding. */
static bool
check_identity(char **newval, void **extra, GucSource source)
{
	bool		ok = strlen(*newval) < NAMEDATALEN;

	for (const char *c = *newval; *c; c++)
		ok = ok && *c >= ' ' && *c <= '~';
	if (!ok)
		GUC_check_errdetail("It is at most %d printable ASCII characters.", NAMEDATALEN - 1);
	return ok;
}

static bool
check_languages(char **newval, void **extra, GucSource source)
{
	char	   *names = pstrdup(*newval);
	List	   *list = NIL;
	bool		ok = SplitIdentifierString(names, ',', &list);

	if (!ok)
		GUC_check_errdetail("It is a comma-separated list of names of languages.");
	list_free(list);
	pfree(names);
	return ok;
}

static void
assign_checks(int newval, void *extra)
{
	if (setting_checks_changed != NULL)
		setting_checks_changed(newval);
}

static void
assign_languages(const char *newval, void *extra)
{
	if (setting_languages_changed != NULL)
		setting_languages_changed();
}

/*
 * For anybody: whoever turns the checks off harms the instances of his own
 * hub, and nothing else; they guard no rights.
 */
static void
define_check_settings(void)
{
	DefineCustomEnumVariable("durable.orchestrator_checks",
							 "What happens when an orchestrator does what it may not do?",
							 "error: it is refused with UD008; warning: it is done, with a warning; off: it is done.",
							 &setting_orchestrator_checks, ORCHESTRATOR_CHECKS_ERROR, orchestrator_checks_options, PGC_USERSET, 0,
							 NULL, assign_checks, NULL);
	DefineCustomStringVariable("durable.orchestrator_languages",
							   "Languages of functions that orchestrators may call besides SQL and PL/pgSQL.",
							   "A comma-separated list. What such functions do is not checked, except for the SQL they run.",
							   &setting_orchestrator_languages, "", PGC_USERSET, 0,
							   check_languages, assign_languages, NULL);
}

static void
define_session_settings(void)
{
	DefineCustomStringVariable("durable.task_hub",
							   "Task hub of this session's calls that name none.",
							   "Empty: the default hub of the current user. Ignored in functions that run as another role than the one who set it.",
							   &setting_task_hub, "", PGC_USERSET, 0,
							   check_task_hub, assign_task_hub, NULL);
	DefineCustomIntVariable("durable.max_payload_size",
							"Largest input, result, event or status.",
							"A larger one is refused with UD007.",
							&setting_max_payload_size, 65536, 1, 262143, PGC_SUSET, GUC_UNIT_KB,
							NULL, NULL, NULL);
	DefineCustomIntVariable("durable.max_history_events",
							"Most events in the history of an execution.",
							"An instance that goes beyond fails with UD007; use continue_as_new() in endless orchestrators.",
							&setting_max_history_events, 100000, 10, INT_MAX / 2, PGC_SUSET, 0,
							NULL, NULL, NULL);
	DefineCustomIntVariable("durable.orchestrator_timeout",
							"Longest time an orchestrator may run without waiting.",
							"It then fails; 0 turns the limit off.",
							&setting_orchestrator_timeout, 10000, 0, INT_MAX, PGC_SUSET, GUC_UNIT_MS,
							NULL, NULL, NULL);
	/* For anybody: the turns that cost more, or fail for it, are those of one's own hub. */
	DefineCustomBoolVariable("durable.double_replay",
							 "Is every turn run twice, to see whether the orchestrator is deterministic?",
							 "For tests: an instance whose two runs differ fails with UD002, and the detail says in what.",
							 &setting_double_replay, false, PGC_USERSET, 0,
							 NULL, NULL, NULL);
	DefineCustomEnumVariable("durable.on_code_change",
							 "What does an instance do whose orchestrator function was replaced or dropped?",
							 "keep: it finishes on the code it began with. latest: it goes on with the function as it is. fail: it fails with 55000.",
							 &setting_on_code_change, CODE_CHANGE_KEEP, on_code_change_options, PGC_USERSET, 0,
							 NULL, NULL, NULL);
	DefineCustomIntVariable("durable.activity_timeout",
							"Longest time an activity may run.",
							"It is then cancelled and fails with 57014; 0 turns the limit off.",
							&setting_activity_timeout, 0, 0, INT_MAX, PGC_SUSET, GUC_UNIT_MS,
							NULL, NULL, NULL);
	DefineCustomEnumVariable("durable.allow_superuser_hubs",
							 "Do task hubs run whose owner is a superuser?",
							 "bootstrap: only those of the role that initdb made. What runs there has all rights; docs/security.md says why that is better avoided.",
							 &setting_allow_superuser_hubs, SUPERUSER_HUBS_BOOTSTRAP, allow_superuser_hubs_options, PGC_SUSET, 0,
							 NULL, NULL, NULL);
}

static void
define_dispatch_settings(void)
{
	DefineCustomIntVariable("durable.batch_size",
							"Most instances whose turns share one transaction.",
							NULL,
							&setting_batch_size, 100, 1, 10000, PGC_SUSET, 0,
							NULL, NULL, NULL);
	DefineCustomIntVariable("durable.batch_time",
							"Longest time turns are added to a batch before it is committed.",
							NULL,
							&setting_batch_time, 50, 0, 10000, PGC_SUSET, GUC_UNIT_MS,
							NULL, NULL, NULL);
	/* For anybody: it is the activities of one's own hub that share, or do not. */
	DefineCustomEnumVariable("durable.inline_activities",
							 "Do brief activities share transactions, with the turn that asked for them or with each other, and do children begin in the transaction of their parent's turn?",
							 "on: in workers, those that took less than 2 ms lately, without a concurrency limit and not external. off: each has a transaction of its own, and each child. always: for tests, also in run_until_idle() and whatever they took.",
							 &setting_inline_activities, INLINE_ON, inline_activities_options, PGC_USERSET, 0,
							 NULL, NULL, NULL);
	/* For anybody: it is the session's own commits. */
	DefineCustomBoolVariable("durable.early_commit",
							 "May an idle worker begin with what a transaction of this session has made before its commit is on disk?",
							 "For transactions that do nothing but make work. The client hears of the commit when it is on disk, in any case.",
							 &setting_early_commit, true, PGC_USERSET, 0,
							 NULL, NULL, NULL);
	DefineCustomIntVariable("durable.max_messages_per_turn",
							"Most activities, timers, sub-orchestrations and events that a turn sends off.",
							"A turn that asks for more is split, and the next one goes on at once; 0 turns the limit off.",
							&setting_max_messages_per_turn, 0, 0, INT_MAX, PGC_SUSET, 0,
							NULL, NULL, NULL);
	DefineCustomIntVariable("durable.max_dispatch_attempts",
							"How often a work item may be in hand when its process dies before it is failed as poisoned (UD012).",
							NULL,
							&setting_max_dispatch_attempts, 5, 1, 1000, PGC_SUSET, 0,
							NULL, NULL, NULL);
	DefineCustomEnumVariable("durable.synchronous_commit",
							 "synchronous_commit of the transactions of workers.",
							 "off is safe: effects and their record are one transaction, and wait_for_completion() returns only what is flushed.",
							 &setting_synchronous_commit, SYNCHRONOUS_COMMIT_OFF, synchronous_commit_options, PGC_SUSET, 0,
							 NULL, NULL, NULL);
}

static void
define_process_settings(void)
{
	DefineCustomBoolVariable("durable.enabled",
							 "Do background processes run orchestrations and activities?",
							 "off: clients may go on to start and raise, and run_until_idle() works. Can be set for a database, which takes effect at once.",
							 &setting_enabled, true, PGC_SUSET, 0,
							 NULL, NULL, NULL);
	DefineCustomStringVariable("durable.databases",
							   "Databases in which background processes look for the extension.",
							   "A comma-separated list of names, or * for all.",
							   &setting_databases, "*", PGC_SIGHUP, 0,
							   NULL, NULL, NULL);
	DefineCustomStringVariable("durable.identity",
							   "What tells this server from copies of its data directory.",
							   "Task hubs are bound to it, to the system identifier and to the database: where one of them differs they do not run until adopt_hub().",
							   &setting_identity, "", PGC_SIGHUP, 0,
							   check_identity, NULL, NULL);
	DefineCustomIntVariable("durable.max_workers",
							"Most durable workers in the server, launcher and coordinators not counted.",
							"They are taken from max_worker_processes; the last one is kept for a hub that has none, and for what is known to be short.",
							&setting_max_workers, 4, 1, 256, PGC_SIGHUP, 0,
							NULL, NULL, NULL);
	DefineCustomIntVariable("durable.orchestrator_workers",
							"Most workers of a task hub that run orchestrators.",
							"The first ones; while all of them are busy with activities, no turn runs.",
							&setting_orchestrator_workers, 4, 1, 256, PGC_SIGHUP, 0,
							NULL, NULL, NULL);
	DefineCustomIntVariable("durable.activity_workers",
							"Most workers of a task hub that run activities.",
							NULL,
							&setting_activity_workers, 4, 1, 256, PGC_SIGHUP, 0,
							NULL, NULL, NULL);
	DefineCustomIntVariable("durable.worker_idle_timeout",
							"How long a worker without work stays.",
							NULL,
							&setting_worker_idle_timeout, 60000, 0, INT_MAX, PGC_SIGHUP, GUC_UNIT_MS,
							NULL, NULL, NULL);
	DefineCustomIntVariable("durable.poll_interval",
							"How often a coordinator looks for work nobody told it of.",
							"Work is announced through shared memory; this is the safety net.",
							&setting_poll_interval, 60000, 100, INT_MAX, PGC_SIGHUP, GUC_UNIT_MS,
							NULL, NULL, NULL);
	DefineCustomIntVariable("durable.retention",
							"How long finished instances are kept.",
							"-1: until they are purged.",
							&setting_retention, -1, -1, INT_MAX, PGC_SIGHUP, GUC_UNIT_S,
							NULL, NULL, NULL);
}

void
settings_init(void)
{
	define_session_settings();
	define_check_settings();
	define_dispatch_settings();
	define_process_settings();
	MarkGUCPrefixReserved("durable");
}

bool
setting_lists_database(const char *name)
{
	List	   *names = NIL;
	ListCell   *lc;

	if (!SplitIdentifierString(pstrdup(setting_databases ? setting_databases : "*"), ',', &names))
		return strcmp(setting_databases, "*") == 0;
	foreach(lc, names)
		if (strcmp(lfirst(lc), name) == 0 || strcmp(lfirst(lc), "*") == 0)
			return true;
	return false;
}
