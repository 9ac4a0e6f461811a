/*
 * extension.c
 *		Is the extension there? See extension.h.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_namespace.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/syscache.h"

#include "compat.h"
#include "extension.h"

/* What the catalog said when it was last read. */
static bool known = false;
static Oid	known_oid = InvalidOid;
static Oid	known_owner = InvalidOid;

/* CREATE and DROP EXTENSION make and drop schemas, and so does DROP SCHEMA. */
static void
forget_extension(Datum arg, int cacheid, uint32 hashvalue)
{
	known = false;
}

static void
read_extension(void)
{
	static bool registered = false;
	Relation	relation;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	if (!registered)
	{
		CacheRegisterSyscacheCallback(NAMESPACEOID, forget_extension, (Datum) 0);
		registered = true;
	}
	known = true;
	known_oid = InvalidOid;
	ScanKeyInit(&key, Anum_pg_extension_extname, BTEqualStrategyNumber, F_NAMEEQ, CStringGetDatum("durable"));
	relation = table_open(ExtensionRelationId, AccessShareLock);
	scan = systable_beginscan(relation, ExtensionNameIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		known_oid = ((Form_pg_extension) GETSTRUCT(tuple))->oid;
		known_owner = ((Form_pg_extension) GETSTRUCT(tuple))->extowner;
	}
	systable_endscan(scan);
	table_close(relation, AccessShareLock);
}

/* Look up, lock, look up again: the lock is of use only if what it locks is still there. */
bool
extension_lock(void)
{
	for (;;)
	{
		if (!known)
			read_extension();
		if (!OidIsValid(known_oid))
		{
			known = false;		/* CREATE EXTENSION may come */
			return false;
		}
		LockDatabaseObject(ExtensionRelationId, known_oid, 0, AccessShareLock);
		if (known)
			return true;
		UnlockDatabaseObject(ExtensionRelationId, known_oid, 0, AccessShareLock);
	}
}

Oid
extension_owner(void)
{
	if (!known)
		read_extension();
	if (!OidIsValid(known_oid))
		extension_require();
	return known_owner;
}

void
extension_require(void)
{
	if (!extension_lock())
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("extension durable is not installed in this database"),
				 errhint("CREATE EXTENSION durable")));
}

bool
extension_may_be_used_by(Oid role)
{
	Oid			schema = get_namespace_oid("durable", true);

	return OidIsValid(schema) && durable_namespace_aclcheck(schema, role, ACL_USAGE) == ACLCHECK_OK;
}
