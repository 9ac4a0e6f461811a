/*
 * extension.c
 *		Is the extension there, and of a version that we serve? See extension.h.
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
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/relcache.h"
#include "utils/syscache.h"

#include "compat.h"
#include "extension.h"
#include "wake.h"

PG_FUNCTION_INFO_V1(durable_updating);

/* A version of the extension in numbers; what comes after these is ignored ("1.1-test"). */
typedef struct ExtensionVersion
{
	int			major;
	int			minor;
} ExtensionVersion;

/*
 * The version of this library, and the oldest version of the extension that it
 * serves. Within a major version updates only add to the schema, so an older
 * library serves a newer schema.
 */
static const ExtensionVersion library_version = {1, 0};
static const ExtensionVersion oldest_served = {1, 0};

/* What the catalog said when it was last read. */
static bool known = false;
static Oid	known_oid = InvalidOid;
static Oid	known_owner = InvalidOid;
static char known_version[NAMEDATALEN];
static bool known_is_served = false;

/* CREATE and DROP EXTENSION make and drop schemas, and so does DROP SCHEMA. */
static void
forget_extension(Datum arg, int cacheid, uint32 hashvalue)
{
	known = false;
}

/* durable_store.updating() says that the version is another one. */
static void
forget_version(Datum arg, Oid relation)
{
	if (relation == ExtensionRelationId || relation == InvalidOid)
		known = false;
}

/* A text that is no version is one that nobody serves. */
static ExtensionVersion
parse_version(const char *text)
{
	ExtensionVersion version = {0, 0};

	if (sscanf(text, "%d.%d", &version.major, &version.minor) != 2)
		version.major = version.minor = 0;
	return version;
}

static bool
is_older(ExtensionVersion version, ExtensionVersion than)
{
	return version.major < than.major || (version.major == than.major && version.minor < than.minor);
}

static bool
is_served(ExtensionVersion version)
{
	return version.major <= library_version.major && !is_older(version, oldest_served);
}

static void
note_version(Relation relation, HeapTuple tuple)
{
	bool		isnull;
	Datum		version = heap_getattr(tuple, Anum_pg_extension_extversion, RelationGetDescr(relation), &isnull);

	strlcpy(known_version, isnull ? "" : TextDatumGetCString(version), sizeof(known_version));
	known_is_served = is_served(parse_version(known_version));
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
		CacheRegisterRelcacheCallback(forget_version, (Datum) 0);
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
		note_version(relation, tuple);
	}
	systable_endscan(scan);
	table_close(relation, AccessShareLock);
}

/* Look up, lock, look up again: the lock is of use only if what it locks is still there. */
static bool
lock_extension(LOCKMODE mode)
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
		LockDatabaseObject(ExtensionRelationId, known_oid, 0, mode);
		if (known)
			return true;
		UnlockDatabaseObject(ExtensionRelationId, known_oid, 0, mode);
	}
}

bool
extension_lock(void)
{
	return lock_extension(AccessShareLock) && known_is_served;
}

/* What to do about a version that is not served: one of them has to follow the other. */
static const char *
version_hint(void)
{
	return is_older(parse_version(known_version), oldest_served) ?
		"ALTER EXTENSION durable UPDATE" :
		"Install the library of that version, and restart the server.";
}

bool
extension_is_unserved(void)
{
	return known && OidIsValid(known_oid) && !known_is_served;
}

void
extension_log_obstacle(void)
{
	ereport(LOG,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("extension durable of version %s is not being served: the loaded library is of version %d.%d and needs %d.%d or newer",
					known_version, library_version.major, library_version.minor, oldest_served.major, oldest_served.minor),
			 errhint("%s", version_hint())));
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
	if (!lock_extension(AccessShareLock))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("extension durable is not installed in this database"),
				 errhint("CREATE EXTENSION durable")));
	if (!known_is_served)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("extension durable is of version %s, but the loaded library is of version %d.%d and needs %d.%d or newer",
						known_version, library_version.major, library_version.minor, oldest_served.major, oldest_served.minor),
				 errhint("%s", version_hint())));
}

/*
 * Begins an update script: the loaded library has what the script declares, no
 * work item runs until the update has ended, and then all processes and
 * sessions read the version anew.
 */
Datum
durable_updating(PG_FUNCTION_ARGS)
{
	char	   *needed = text_to_cstring(PG_GETARG_TEXT_PP(0));

	if (is_older(library_version, parse_version(needed)))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the loaded library durable is of version %d.%d, but this update needs %s",
						library_version.major, library_version.minor, needed),
				 errhint("The new library is loaded when the server has been restarted; then ALTER EXTENSION durable UPDATE.")));
	(void) lock_extension(AccessExclusiveLock);
	CacheInvalidateRelcacheByRelid(ExtensionRelationId);
	wake_launcher_at_commit();
	wake_database_at_commit();
	PG_RETURN_VOID();
}

bool
extension_may_be_used_by(Oid role)
{
	Oid			schema = get_namespace_oid("durable", true);

	return OidIsValid(schema) && durable_namespace_aclcheck(schema, role, ACL_USAGE) == ACLCHECK_OK;
}
