/*
 * registry_store.h
 *		What is registered in a hub: orchestrators and activities by name and
 *		version.
 *
 * The registration of exactly a name and version serves it; one without a
 * version serves every version of its name, unless the name has versioned
 * ones (semantics.md 7.1). No version is the same as an empty one.
 */
#ifndef DURABLE_REGISTRY_STORE_H
#define DURABLE_REGISTRY_STORE_H

#include "postgres.h"
#include "nodes/pg_list.h"
#include "utils/jsonb.h"

typedef enum RegistryMatch
{
	NOT_REGISTERED,				/* nothing has this name */
	REGISTERED,
	OTHER_VERSIONS				/* the name is registered, but not for this version */
} RegistryMatch;

typedef struct ActivityRegistration
{
	const char *name;
	const char *version;		/* "": none */
	const char *function;		/* qualified, with argument types; NULL: found by name */
	Jsonb	   *retry;			/* NULL: no policy */
	int			timeout_ms;		/* 0: durable.activity_timeout */
	int			max_concurrency;	/* 0: no limit */
	bool		external;
} ActivityRegistration;

/*
 * SQL: of the registrations of a name the one that comes nearest to a version:
 * exactly it, else the greatest of those that have one, else that without.
 * registry_match() says whether it serves.
 */
#define NEAREST_REGISTRATION(table, columns, hub, name, of_version) \
	"SELECT " columns " FROM durable_store." table " r WHERE r.task_hub = " hub " AND r.name = " name \
	" ORDER BY r.version = coalesce(" of_version ", '') DESC, r.version DESC LIMIT 1"

/* Does the nearest registration (its version NULL: there is none) serve a version? */
extern RegistryMatch registry_match(const char *registered_version, const char *version);

/* Looks for an orchestrator; *function is set if it is registered. */
extern RegistryMatch store_find_orchestrator(const char *task_hub, const char *name, const char *version,
											 const char **function);

/* Looks for an activity; *function is set if it is registered, to NULL if it is found by name. */
extern RegistryMatch store_find_activity(const char *task_hub, const char *name, const char *version,
										 const char **function);

/* The registration that comes nearest to a name and version, but for its retry policy; its name is the caller's. */
extern RegistryMatch store_find_registration(const char *task_hub, const char *name, const char *version,
											 ActivityRegistration *registration);

/* The registered retry policy of an activity; NULL if there is none. */
extern Jsonb *store_find_activity_retry(const char *task_hub, const char *name, const char *version);

/* The versions registered for a name, quoted and with commas between, for messages. */
extern char *store_orchestrator_versions(const char *task_hub, const char *name);
extern char *store_activity_versions(const char *task_hub, const char *name);

/*
 * Registers, or changes the defaults of the same name, version and function.
 * False if they are registered with another function, which is then in *other
 * (NULL: found by name).
 */
extern bool store_register_orchestrator(const char *task_hub, const char *name, const char *version,
										const char *function, const char **other);
extern bool store_register_activity(const char *task_hub, const ActivityRegistration *activity, const char **other);

/* False if there is nothing to unregister. */
extern bool store_unregister_orchestrator(const char *task_hub, const char *name, const char *version);
extern bool store_unregister_activity(const char *task_hub, const char *name, const char *version);

#endif							/* DURABLE_REGISTRY_STORE_H */
