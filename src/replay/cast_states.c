/*
 * cast_states.c
 *		See cast_states.h.
 *
 * What PL/pgSQL keeps depends on its functions as a plan does: an invalidation
 * of these, of which only this process hears, makes it new.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/transam.h"
#include "catalog/pg_cast.h"
#include "catalog/pg_proc.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#include "replay/cast_states.h"
#include "replay/checked_functions.h"

/* The functions of casts that are refused, as of an epoch of function_refusals_epoch(). */
static List *refused = NIL;
static uint32 refused_epoch = 0;
static bool casts_changed = true;

static void
note_change(Datum arg, int cacheid, uint32 hashvalue)
{
	casts_changed = true;
}

static void
add_if_refused(Oid function)
{
	MemoryContext old;

	if (function < FirstNormalObjectId || function_refusal(function) == NULL)
		return;
	old = MemoryContextSwitchTo(TopMemoryContext);
	refused = list_append_unique_oid(refused, function);
	MemoryContextSwitchTo(old);
}

/* A scan of pg_cast, once after each change of casts or functions. */
static void
find_refused(void)
{
	Relation	casts;
	SysScanDesc scan;
	HeapTuple	tuple;

	casts_changed = false;
	refused_epoch = function_refusals_epoch();
	list_free(refused);
	refused = NIL;
	casts = table_open(CastRelationId, AccessShareLock);
	scan = systable_beginscan(casts, InvalidOid, false, NULL, 0, NULL);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		add_if_refused(((Form_pg_cast) GETSTRUCT(tuple))->castfunc);
	systable_endscan(scan);
	table_close(casts, AccessShareLock);
}

static void
invalidate(Oid function)
{
	function_refusals_keep(true);
	CallSyscacheCallbacks(PROCOID, GetSysCacheHashValue1(PROCOID, ObjectIdGetDatum(function)));
	function_refusals_keep(false);
}

void
cast_states_forget(void)
{
	static bool registered = false;
	ListCell   *lc;

	if (!registered)
	{
		CacheRegisterSyscacheCallback(CASTSOURCETARGET, note_change, (Datum) 0);
		registered = true;
	}
	if (casts_changed || refused_epoch != function_refusals_epoch())
		find_refused();
	foreach(lc, refused)
		invalidate(lfirst_oid(lc));
}
