/*
 * database_ddl.c
 *		Gets our processes out of the way of commands that need a database
 *		for themselves.
 *
 * DROP DATABASE, ALTER DATABASE RENAME and SET TABLESPACE, and CREATE
 * DATABASE with it as the template, give up when other sessions are
 * connected. The database is held so that no process of ours starts into the
 * gap: until the end of the (sub)transaction, since only then others see what
 * the command has done, and so that an error needs no care. Nobody can stop
 * our processes by a command that would be refused: the rights are checked
 * first. ALTER DATABASE ... SET durable.enabled exchanges them at its commit.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_database.h"
#include "commands/dbcommands.h"
#include "commands/defrem.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "storage/procarray.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "clock.h"
#include "compat.h"
#include "wake.h"
#include "worker/workers.h"

/* The commands themselves wait this long for other sessions to leave. */
#define LEAVE_WITHIN_MS 5000
#define LOOK_EVERY_MS 10

static ProcessUtility_hook_type prev_process_utility = NULL;

static DefElem *
find_option(List *options, const char *name)
{
	ListCell   *lc;

	foreach(lc, options)
	{
		DefElem    *option = lfirst_node(DefElem, lc);

		if (strcmp(option->defname, name) == 0)
			return option;
	}
	return NULL;
}

static bool
may_create_databases(void)
{
	HeapTuple	tuple;
	bool		may;

	if (superuser())
		return true;
	tuple = SearchSysCache1(AUTHOID, ObjectIdGetDatum(GetUserId()));
	if (!HeapTupleIsValid(tuple))
		return false;
	may = ((Form_pg_authid) GETSTRUCT(tuple))->rolcreatedb;
	ReleaseSysCache(tuple);
	return may;
}

static bool
is_template(Oid dboid)
{
	HeapTuple	tuple = SearchSysCache1(DATABASEOID, ObjectIdGetDatum(dboid));
	bool		result;

	if (!HeapTupleIsValid(tuple))
		return false;
	result = ((Form_pg_database) GETSTRUCT(tuple))->datistemplate;
	ReleaseSysCache(tuple);
	return result;
}

static Oid
template_to_copy(CreatedbStmt *stmt)
{
	DefElem    *option = find_option(stmt->options, "template");
	const char *name = (option && option->arg) ? defGetString(option) : "template1";
	Oid			dboid = get_database_oid(name, true);

	if (!OidIsValid(dboid) || !may_create_databases())
		return InvalidOid;
	if (!is_template(dboid) && !durable_database_ownercheck(dboid, GetUserId()))
		return InvalidOid;
	return dboid;
}

/* A database other than ours that the user owns. */
static Oid
database_of_owner(const char *name)
{
	Oid			dboid = get_database_oid(name, true);

	if (!OidIsValid(dboid) || dboid == MyDatabaseId ||
		!durable_database_ownercheck(dboid, GetUserId()))
		return InvalidOid;
	return dboid;
}

/* The database that the command needs for itself and the user may do that to; else InvalidOid. */
static Oid
database_wanted(Node *stmt)
{
	switch (nodeTag(stmt))
	{
		case T_DropdbStmt:
			return database_of_owner(((DropdbStmt *) stmt)->dbname);
		case T_RenameStmt:
			if (((RenameStmt *) stmt)->renameType != OBJECT_DATABASE || !may_create_databases())
				return InvalidOid;
			return database_of_owner(((RenameStmt *) stmt)->subname);
		case T_AlterDatabaseStmt:
			if (find_option(((AlterDatabaseStmt *) stmt)->options, "tablespace") == NULL)
				return InvalidOid;
			return database_of_owner(((AlterDatabaseStmt *) stmt)->dbname);
		case T_CreatedbStmt:
			return template_to_copy((CreatedbStmt *) stmt);
		default:
			return InvalidOid;
	}
}

static bool
all_have_left(const int *pids, int n)
{
	for (int i = 0; i < n; i++)
	{
		if (BackendPidGetProc(pids[i]) != NULL)
			return false;
	}
	return true;
}

/* Ends our processes in the database and waits until they have gone, or lets the command complain. */
static void
clear_database(Oid dboid)
{
	int		   *pids = palloc(slots_count() * sizeof(int));
	int			n;
	TimestampTz give_up;

	database_hold(dboid);
	n = database_terminate_processes(dboid, pids);
	give_up = TimestampTzPlusMilliseconds(clock_now(), LEAVE_WITHIN_MS);
	while (!all_have_left(pids, n) && clock_now() < give_up)
		(void) clock_wait_until(TimestampTzPlusMilliseconds(clock_now(), LOOK_EVERY_MS));
	pfree(pids);
}

/* The database for which durable.enabled is set, or may be: its processes shall see it at once. */
static Oid
database_switched(Node *stmt)
{
	AlterDatabaseSetStmt *set = (AlterDatabaseSetStmt *) stmt;

	if (!IsA(stmt, AlterDatabaseSetStmt) ||
		(set->setstmt->kind != VAR_RESET_ALL && pg_strcasecmp(set->setstmt->name, "durable.enabled") != 0))
		return InvalidOid;
	return get_database_oid(set->dbname, true);
}

typedef void (*Afterwards) (void);

/*
 * What is to be done when the command has succeeded, NULL: nothing. Asked
 * before, for a command may free its own parse tree.
 */
static Afterwards
find_afterwards(Node *stmt)
{
	if (IsA(stmt, CreatedbStmt))
		return wake_rescan_at_commit;
	if (IsA(stmt, DropStmt) && ((DropStmt *) stmt)->removeType == OBJECT_EXTENSION)
		return wake_database_at_commit;
	if (IsA(stmt, TransactionStmt) &&
		(((TransactionStmt *) stmt)->kind == TRANS_STMT_COMMIT_PREPARED ||
		 ((TransactionStmt *) stmt)->kind == TRANS_STMT_ROLLBACK_PREPARED))
		return wake_after_prepared;
	return NULL;
}

static void
database_ddl_process_utility(PlannedStmt *pstmt, const char *query_string, bool read_only_tree,
							 ProcessUtilityContext context, ParamListInfo params,
							 QueryEnvironment *query_env, DestReceiver *dest, QueryCompletion *qc)
{
	Node	   *stmt = pstmt->utilityStmt;
	Oid			dboid = shmem_attached() ? database_wanted(stmt) : InvalidOid;
	Oid			switched = shmem_attached() ? database_switched(stmt) : InvalidOid;
	Afterwards	afterwards = find_afterwards(stmt);
	ProcessUtility_hook_type next = prev_process_utility ? prev_process_utility :
		standard_ProcessUtility;

	if (OidIsValid(dboid))
		clear_database(dboid);
	next(pstmt, query_string, read_only_tree, context, params, query_env, dest, qc);
	if (OidIsValid(switched))
		reset_database_at_commit(switched);
	if (afterwards)
		afterwards();
}

void
database_ddl_init(void)
{
	prev_process_utility = ProcessUtility_hook;
	ProcessUtility_hook = database_ddl_process_utility;
}
