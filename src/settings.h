/*
 * settings.h
 *		The GUCs of durable (prefix "durable."). Meaning, units and defaults
 *		stand with their definitions in settings.c.
 */
#ifndef DURABLE_SETTINGS_H
#define DURABLE_SETTINGS_H

#include "postgres.h"

extern char *setting_task_hub;
extern bool setting_enabled;
extern char *setting_databases;		/* '*' or a comma-separated list */
extern char *setting_identity;
extern int	setting_max_workers;
extern int	setting_orchestrator_workers;
extern int	setting_activity_workers;
extern int	setting_worker_idle_timeout;	/* ms */
extern int	setting_poll_interval;	/* ms */
extern int	setting_batch_size;
extern int	setting_batch_time;		/* ms */
extern int	setting_synchronous_commit;		/* a SyncCommitLevel */
extern int	setting_orchestrator_timeout;	/* ms, 0 = none */
extern bool setting_double_replay;
extern bool setting_early_commit;

/* What an instance does whose function was replaced or dropped. */
typedef enum CodeChange
{
	CODE_CHANGE_KEEP,
	CODE_CHANGE_LATEST,
	CODE_CHANGE_FAIL
} CodeChange;

extern int	setting_on_code_change;
extern int	setting_orchestrator_checks;	/* an OrchestratorChecks */
extern char *setting_orchestrator_languages;	/* a comma-separated list */
extern void (*setting_languages_changed) (void);	/* called when it is assigned */
extern void (*setting_checks_changed) (int checks);	/* called when they are assigned */
extern int	setting_activity_timeout;		/* ms, 0 = none */
extern int	setting_max_payload_size;		/* kB */
extern int	setting_max_history_events;
extern int	setting_max_messages_per_turn;	/* 0 = no limit */
extern int	setting_max_dispatch_attempts;
extern int	setting_retention;		/* s, -1 = keep for ever */
extern int	setting_allow_superuser_hubs;	/* a SuperuserHubs */

/* Do brief activities run in the transaction of the turn that asked for them? */
typedef enum InlineActivities
{
	INLINE_OFF,
	INLINE_ON,					/* in workers, those that are known to be brief */
	INLINE_ALWAYS				/* also in run_until_idle(), and whatever is known */
} InlineActivities;

extern int	setting_inline_activities;

typedef enum OrchestratorChecks
{
	ORCHESTRATOR_CHECKS_OFF,
	ORCHESTRATOR_CHECKS_WARNING,
	ORCHESTRATOR_CHECKS_ERROR
} OrchestratorChecks;

typedef enum SuperuserHubs
{
	SUPERUSER_HUBS_OFF,
	SUPERUSER_HUBS_BOOTSTRAP,	/* only those of the role that initdb made */
	SUPERUSER_HUBS_ON
} SuperuserHubs;

/* Defines all settings; the ones that need preloading only when preloaded. */
extern void settings_init(void);

/*
 * The value of durable.task_hub if the current user may have set it, else
 * NULL: a caller cannot redirect a SECURITY DEFINER function with it.
 */
extern const char *setting_task_hub_of_current_user(void);

/* Does durable.databases list this database, so that background processes look into it? */
extern bool setting_lists_database(const char *name);

/* May task hubs of this owner run, as far as durable.allow_superuser_hubs is concerned? */
extern bool setting_lets_hubs_run_of(Oid owner);

#endif							/* DURABLE_SETTINGS_H */
