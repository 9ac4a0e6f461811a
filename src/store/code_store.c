/*
 * code_store.c
 *		The table of kept definitions: see code_store.h.
 *
 * An instance refers to a row that must stay. No row lock says so, for each
 * start would write one: who refers holds the table's lock in ROW EXCLUSIVE
 * mode, as a writer does, until its instance can be seen; who deletes takes it
 * in a mode that conflicts. Taking the lock brings the news of a deletion, an
 * invalidation of the table, so what this process knows to be there is there.
 *
 * Two transactions may keep the same code at the same time without waiting for
 * each other (a unique key would make the second start wait for the end of the
 * first one's transaction). Then there are two rows, until the next sweep.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"

#include "store/code_store.h"
#include "store/store.h"

static StoreStatement insert_code = {
	"INSERT INTO durable_store.code (task_hub, fingerprint, function, definition, trusted)"
	" SELECT $1, $2, $3, $4, $5 WHERE $6 OR NOT EXISTS"
	" (SELECT FROM durable_store.code c WHERE c.task_hub = $1 AND c.fingerprint = $2)"
	" ON CONFLICT DO NOTHING",
	6, {TEXTOID, UUIDOID, TEXTOID, TEXTOID, BOOLOID, BOOLOID}
};

static StoreStatement read_code = {
	"SELECT c.fingerprint, c.function, c.trusted, c.definition FROM durable_store.code c"
	" WHERE c.task_hub = $1 AND c.fingerprint = $2 ORDER BY c.kept_by LIMIT 1",
	2, {TEXTOID, UUIDOID}
};

static StoreStatement list_code = {
	"SELECT c.fingerprint, c.function, pg_catalog.bool_or(c.trusted), pg_catalog.count(*) > 1 FROM durable_store.code c"
	" WHERE c.task_hub = $1 GROUP BY c.fingerprint, c.function ORDER BY c.function, c.fingerprint",
	1, {TEXTOID}
};

static StoreStatement delete_doubles = {
	"DELETE FROM durable_store.code c WHERE c.task_hub = $1 AND c.fingerprint = $2 AND c.kept_by >"
	" (SELECT d.kept_by FROM durable_store.code d WHERE d.task_hub = $1 AND d.fingerprint = $2 ORDER BY d.kept_by LIMIT 1)",
	2, {TEXTOID, UUIDOID}
};

static StoreStatement find_users = {
	"SELECT EXISTS (SELECT FROM durable_store.instances i WHERE i.task_hub = $1"
	"  AND i.status = ANY ('{pending,running,suspended}'::pg_catalog.text[]) AND i.code = $2),"
	" EXISTS (SELECT FROM durable_store.instances i WHERE i.task_hub = $1 AND i.status = 'failed' AND i.code = $2)",
	2, {TEXTOID, UUIDOID}
};

static StoreStatement delete_code = {
	"DELETE FROM durable_store.code c WHERE c.task_hub = $1 AND c.fingerprint = $2", 2, {TEXTOID, UUIDOID}
};

static StoreStatement delete_all_code = {
	"DELETE FROM durable_store.code c WHERE c.task_hub = $1", 1, {TEXTOID}
};

/* ------------------------------------------------------------------------
 * What this process knows to be kept
 * ------------------------------------------------------------------------
 */

typedef struct KnownKey
{
	char		task_hub[NAMEDATALEN];
	pg_uuid_t	fingerprint;
} KnownKey;

static HTAB *known = NULL;
static bool known_is_stale = false;

/* The set has rows of this transaction, which may roll back. */
static bool known_is_uncommitted = false;

/* The table; 0 if this process has not looked at it. */
static Oid	code_relid = InvalidOid;

static void
forget_known(Datum arg, Oid relid)
{
	if (relid == InvalidOid || relid == code_relid)
		known_is_stale = true;
}

static void
end_of_transaction(XactEvent event, void *arg)
{
	if (!known_is_uncommitted)
		return;
	if (event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
		known_is_stale = true;
	if (event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE || event == XACT_EVENT_COMMIT)
		known_is_uncommitted = false;
}

static void
end_of_subtransaction(SubXactEvent event, SubTransactionId subid, SubTransactionId parent, void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB && known_is_uncommitted)
		known_is_stale = true;
}

static void
make_known(void)
{
	HASHCTL		control = {0};

	if (known == NULL)
	{
		CacheRegisterRelcacheCallback(forget_known, (Datum) 0);
		RegisterXactCallback(end_of_transaction, NULL);
		RegisterSubXactCallback(end_of_subtransaction, NULL);
	}
	else
		hash_destroy(known);
	control.keysize = sizeof(KnownKey);
	control.entrysize = sizeof(KnownKey);
	known = hash_create("durable code that is kept", 64, &control, HASH_ELEM | HASH_BLOBS);
	known_is_stale = false;
}

/* As the comment at the top says; *key is then known for sure or not at all. */
static void
lock_for_use(void)
{
	code_relid = get_relname_relid("code", get_namespace_oid("durable_store", false));
	LockRelationOid(code_relid, RowExclusiveLock);
	if (known == NULL || known_is_stale)
		make_known();
}

/* A snapshot older than our lock may show a row that is gone: then one more is kept. */
static void
insert(const char *task_hub, const PinnedCode *code)
{
	Datum		values[6] = {TEXT_DATUM(task_hub), UUIDPGetDatum(&code->fingerprint), TEXT_DATUM(code->function),
	TEXT_DATUM(code->definition), BoolGetDatum(code->trusted), BoolGetDatum(IsolationUsesXactSnapshot())};

	(void) store_execute_once(&insert_code, values);
}

void
store_keep_code(const char *task_hub, const PinnedCode *code)
{
	KnownKey	key;

	if (code == NULL || code->definition == NULL)
		return;
	memset(&key, 0, sizeof(key));
	strlcpy(key.task_hub, task_hub, NAMEDATALEN);
	key.fingerprint = code->fingerprint;
	lock_for_use();
	if (hash_search(known, &key, HASH_FIND, NULL) != NULL)
		return;
	insert(task_hub, code);
	if (known_is_stale)
		return;
	/* it is, or may be, of this transaction */
	(void) hash_search(known, &key, HASH_ENTER, NULL);
	known_is_uncommitted = true;
}

/* ------------------------------------------------------------------------
 * Reading and forgetting
 * ------------------------------------------------------------------------
 */

static void
code_from_row(const Row *row, PinnedCode *code)
{
	(void) row_uuid(row, 1, &code->fingerprint);
	code->function = row_text(row, 2);
	code->trusted = row_bool(row, 3);
}

PinnedCode *
store_read_code(const char *task_hub, const PinnedCode *code)
{
	Datum		values[2] = {TEXT_DATUM(task_hub), UUIDPGetDatum(&code->fingerprint)};
	PinnedCode *kept = palloc0(sizeof(PinnedCode));
	StoreScope	scope;
	bool		found;

	store_open(&scope);
	found = store_execute(&read_code, values, NULL) > 0;
	if (found)
	{
		Row			row = store_row(&scope, 0);

		code_from_row(&row, kept);
		kept->definition = row_text(&row, 4);
	}
	store_close(&scope);
	return found ? kept : NULL;
}

List *
store_list_code(const char *task_hub)
{
	Datum		values[1] = {TEXT_DATUM(task_hub)};
	List	   *all = NIL;
	StoreScope	scope;
	uint64		rows;

	store_open(&scope);
	rows = store_execute(&list_code, values, NULL);
	for (uint64 i = 0; i < rows; i++)
	{
		Row			row = store_row(&scope, i);
		MemoryContext old = MemoryContextSwitchTo(scope.caller);
		KeptCode   *kept = palloc0(sizeof(KeptCode));

		code_from_row(&row, &kept->code);
		kept->is_doubled = row_bool(&row, 4);
		all = lappend(all, kept);
		MemoryContextSwitchTo(old);
	}
	store_close(&scope);
	return all;
}

bool
store_lock_code(void)
{
	code_relid = get_relname_relid("code", get_namespace_oid("durable_store", false));
	return ConditionalLockRelationOid(code_relid, ShareRowExclusiveLock);
}

void
store_find_users(const char *task_hub, List *kept)
{
	StoreScope	scope;
	ListCell   *lc;

	store_open(&scope);
	foreach(lc, kept)
	{
		KeptCode   *one = lfirst(lc);
		Datum		values[2] = {TEXT_DATUM(task_hub), UUIDPGetDatum(&one->code.fingerprint)};
		Row			row;

		(void) store_execute(&find_users, values, NULL);
		row = store_row(&scope, 0);
		one->is_needed = row_bool(&row, 1);
		one->may_be_needed = row_bool(&row, 2);
	}
	store_close(&scope);
}

void
store_forget_code(const char *task_hub, const PinnedCode *code)
{
	Datum		values[2] = {TEXT_DATUM(task_hub), UUIDPGetDatum(&code->fingerprint)};

	(void) store_execute_once(&delete_code, values);
	CacheInvalidateRelcacheByRelid(code_relid);
}

void
store_forget_doubles(const char *task_hub, const PinnedCode *code)
{
	Datum		values[2] = {TEXT_DATUM(task_hub), UUIDPGetDatum(&code->fingerprint)};

	(void) store_execute_once(&delete_doubles, values);
}

void
store_forget_all_code(const char *task_hub)
{
	Datum		values[1] = {TEXT_DATUM(task_hub)};

	(void) store_execute_once(&delete_all_code, values);
	CacheInvalidateRelcacheByRelid(get_relname_relid("code", get_namespace_oid("durable_store", false)));
}
