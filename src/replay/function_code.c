/*
 * function_code.c
 *		Fingerprints of functions: see function_code.h.
 *
 * A row of pg_proc is told from its earlier versions by xmin and ctid, as the
 * caches of the languages do. The name of the schema is in another row.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_language.h"
#include "catalog/pg_proc.h"
#include "common/cryptohash.h"
#include "common/sha2.h"
#include "commands/proclang.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#include "replay/function_code.h"
#include "replay/function_lookup.h"

typedef struct CachedCode
{
	Oid			function;		/* the key */
	TransactionId xmin;
	ItemPointerData tid;
	NameData	schema;
	pg_uuid_t	fingerprint;
	char	   *signature;		/* NULL: the entry is not filled */
	char	   *definition;
} CachedCode;

static HTAB *cache = NULL;

static CachedCode *
cache_entry(Oid function)
{
	CachedCode *entry;
	bool		found;

	if (cache == NULL)
	{
		HASHCTL		control = {0};

		control.keysize = sizeof(Oid);
		control.entrysize = sizeof(CachedCode);
		cache = hash_create("durable code of functions", 64, &control, HASH_ELEM | HASH_BLOBS);
	}
	entry = hash_search(cache, &function, HASH_ENTER, &found);
	if (!found)
		entry->signature = entry->definition = NULL;
	return entry;
}

/*
 * What CREATE FUNCTION is to say, the same whatever the session has set: with
 * all names qualified, constants in one format.
 */
static char *
read_definition(Oid function)
{
	static const char *const settings[][2] = {
		{"search_path", "pg_catalog"}, {"quote_all_identifiers", "off"}, {"DateStyle", "ISO"},
		{"IntervalStyle", "postgres"}, {"TimeZone", "UTC"}, {"extra_float_digits", "1"}, {"bytea_output", "hex"}
	};
	int			nest_level = NewGUCNestLevel();
	char	   *definition;

	for (int i = 0; i < lengthof(settings); i++)
		(void) set_config_option(settings[i][0], settings[i][1], PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	definition = TextDatumGetCString(DirectFunctionCall1(pg_get_functiondef, ObjectIdGetDatum(function)));
	AtEOXact_GUC(true, nest_level);
	return definition;
}

static void
compute_fingerprint(const char *signature, const char *definition, pg_uuid_t *fingerprint)
{
	pg_cryptohash_ctx *context = pg_cryptohash_create(PG_SHA256);
	uint8		digest[PG_SHA256_DIGEST_LENGTH];

	if (pg_cryptohash_init(context) < 0 ||
		pg_cryptohash_update(context, (const uint8 *) signature, strlen(signature) + 1) < 0 ||
		pg_cryptohash_update(context, (const uint8 *) definition, strlen(definition)) < 0 ||
		pg_cryptohash_final(context, digest, sizeof(digest)) < 0)
		elog(ERROR, "could not compute the fingerprint of %s: %s", signature, pg_cryptohash_error(context));
	pg_cryptohash_free(context);
	memcpy(fingerprint->data, digest, UUID_LEN);
}

static bool
is_up_to_date(CachedCode *entry, HeapTuple tuple, const char *schema)
{
	return entry->signature != NULL &&
		entry->xmin == HeapTupleHeaderGetRawXmin(tuple->t_data) &&
		ItemPointerEquals(&entry->tid, &tuple->t_self) && strcmp(NameStr(entry->schema), schema) == 0;
}

/* The old texts go last: what makes the new ones may throw. */
static void
fill_entry(CachedCode *entry, HeapTuple tuple, const char *schema)
{
	char	   *signature = function_signature(entry->function);
	char	   *definition = read_definition(entry->function);
	char	   *old_signature = entry->signature;
	char	   *old_definition = entry->definition;

	compute_fingerprint(signature, definition, &entry->fingerprint);
	entry->signature = NULL;
	entry->definition = MemoryContextStrdup(TopMemoryContext, definition);
	entry->signature = MemoryContextStrdup(TopMemoryContext, signature);
	entry->xmin = HeapTupleHeaderGetRawXmin(tuple->t_data);
	entry->tid = tuple->t_self;
	namestrcpy(&entry->schema, schema);
	if (old_signature)
		pfree(old_signature);
	if (old_definition)
		pfree(old_definition);
}

static bool
can_be_pinned(Form_pg_proc proc, Oid hub_owner)
{
	if (proc->prosecdef && proc->proowner != hub_owner)
		return false;
	return proc->prolang == SQLlanguageId || proc->prolang == get_language_oid("plpgsql", true);
}

/* The up-to-date entry of a function; NULL if it is not pinned. */
static const CachedCode *
look_up(Oid function, HeapTuple tuple, Oid hub_owner)
{
	Form_pg_proc proc = (Form_pg_proc) GETSTRUCT(tuple);
	const char *schema;
	CachedCode *entry;

	if (!can_be_pinned(proc, hub_owner))
		return NULL;
	schema = get_namespace_name(proc->pronamespace);
	entry = cache_entry(function);
	if (!is_up_to_date(entry, tuple, schema))
		fill_entry(entry, tuple, schema);
	return entry;
}

bool
function_has_code(Oid function, Oid hub_owner, const PinnedCode *code)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	const CachedCode *entry;

	if (!HeapTupleIsValid(tuple))
		return false;
	entry = look_up(function, tuple, hub_owner);
	ReleaseSysCache(tuple);
	return entry != NULL && memcmp(&entry->fingerprint, &code->fingerprint, sizeof(pg_uuid_t)) == 0;
}

PinnedCode *
function_code(Oid function, Oid hub_owner)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	PinnedCode *code = NULL;
	const CachedCode *entry;

	if (!HeapTupleIsValid(tuple))
		return NULL;
	entry = look_up(function, tuple, hub_owner);
	if (entry != NULL)
	{
		code = palloc(sizeof(PinnedCode));
		code->fingerprint = entry->fingerprint;
		code->function = pstrdup(entry->signature);
		code->definition = pstrdup(entry->definition);
		code->trusted = superuser_arg(((Form_pg_proc) GETSTRUCT(tuple))->proowner);
	}
	ReleaseSysCache(tuple);
	return code;
}
