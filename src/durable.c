/*
 * durable.c
 *		Loading the library.
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"

#include "compat.h"
#include "dispatch/sharing.h"
#include "replay/orchestrator_checks.h"
#include "settings.h"
#include "shmem.h"
#include "wake.h"
#include "worker/workers.h"

DURABLE_MODULE_MAGIC;

PGDLLEXPORT void _PG_init(void);

/*
 * Settings and wake-ups exist in every session; shared memory, hooks and
 * processes only when preloaded, and not in pg_upgrade's temporary servers.
 */
void
_PG_init(void)
{
	settings_init();
	orchestrator_checks_init();
	sharing_init();
	wake_init();
	if (!process_shared_preload_libraries_in_progress || IsBinaryUpgrade)
		return;
	shmem_init();
	database_ddl_init();
	launcher_register();
}
