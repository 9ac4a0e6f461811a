/*
 * plan_marks.c
 *		Marks on plans: see plan_marks.h.
 *
 * A mark is an item among the plan's invalItems, of a number that no system
 * cache has, so that it never invalidates anything.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "miscadmin.h"
#include "parser/parse_expr.h"
#include "pgtime.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/bytea.h"
#include "utils/float.h"
#include "utils/xml.h"

#include "plan_marks.h"

/* Of utils/pg_locale.h, which needs ICU's headers from PostgreSQL 16 on. */
extern PGDLLIMPORT char *locale_monetary;

#define CHECKED_CACHE_ID (-7771)
#define SETTINGS_CACHE_ID (-7772)

/* A zone has one address in a process. */
uint32
plan_settings(void)
{
	uint64		zone = (uint64) (uintptr_t) session_timezone;
	uint32		small = DateStyle | DateOrder << 4 | IntervalStyle << 8 | bytea_output << 12 | xmlbinary << 14 |
	xmloption << 16 | Array_nulls << 18 | Transform_null_equals << 19 | quote_all_identifiers << 20;
	uint32		result = hash_combine(hash_bytes_uint32((uint32) zone), hash_bytes_uint32((uint32) (zone >> 32)));

	result = hash_combine(result, hash_bytes_uint32(small));
	result = hash_combine(result, hash_bytes_uint32((uint32) extra_float_digits));
	return hash_combine(result, hash_bytes((const unsigned char *) locale_monetary, strlen(locale_monetary)));
}

static void
add_mark(PlannedStmt *plan, int cache_id, uint32 value)
{
	PlanInvalItem *mark = makeNode(PlanInvalItem);

	mark->cacheId = cache_id;
	mark->hashValue = value;
	plan->invalItems = lappend(plan->invalItems, mark);
}

/* Marks are the last items. */
static const PlanInvalItem *
find_mark(const PlannedStmt *plan, int cache_id)
{
	for (int i = list_length(plan->invalItems) - 1; i >= 0; i--)
	{
		const PlanInvalItem *item = list_nth(plan->invalItems, i);

		if (item->cacheId == cache_id)
			return item;
		if (item->cacheId >= 0)
			break;
	}
	return NULL;
}

void
plan_mark(PlannedStmt *plan, uint32 checked_epoch)
{
	add_mark(plan, SETTINGS_CACHE_ID, plan_settings());
	if (checked_epoch != 0)
		add_mark(plan, CHECKED_CACHE_ID, checked_epoch);
}

bool
plan_fits_settings(const PlannedStmt *plan)
{
	const PlanInvalItem *mark = find_mark(plan, SETTINGS_CACHE_ID);

	return mark != NULL && mark->hashValue == plan_settings();
}

bool
plan_was_checked(const PlannedStmt *plan, uint32 epoch)
{
	const PlanInvalItem *mark = find_mark(plan, CHECKED_CACHE_ID);

	return mark != NULL && mark->hashValue == epoch;
}
