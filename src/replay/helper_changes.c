/*
 * helper_changes.c
 *		See helper_changes.h.
 *
 * Nothing is recorded of helpers: the row of a function in pg_proc and the
 * history both say by which transaction they were written. Two transactions
 * that overlapped may be in another order than their commits, and GRANT alters
 * a function, too; so this is for people to look at, and decides nothing.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/transam.h"
#include "catalog/pg_proc.h"
#include "utils/syscache.h"

#include "replay/body_check.h"
#include "replay/function_lookup.h"
#include "replay/helper_changes.h"
#include "session.h"

/* Names of activities and orchestrators do not matter here. */
static void
ignore_name(void *arg, NameKind kind, const char *name, const char *version, bool version_known)
{
}

/* Rows that VACUUM froze are older than any transaction that can be compared. */
static bool
was_written_after(Oid function, TransactionId begin)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	bool		after;

	if (!HeapTupleIsValid(tuple))
		return false;
	after = !HeapTupleHeaderXminFrozen(tuple->t_data) &&
		TransactionIdFollows(HeapTupleHeaderGetRawXmin(tuple->t_data), begin);
	ReleaseSysCache(tuple);
	return after;
}

/* As the code would find them: with the settings it runs with. */
static List *
find_helpers(Oid orchestrator, const InstanceSettings *settings)
{
	BodyCheck	check = {.check_name = ignore_name,.memory = CurrentMemoryContext};
	int			nest_level = user_code_enter(settings);

	body_check_function(&check, orchestrator);
	user_code_leave(nest_level);
	return body_check_visited(&check);
}

void
report_changed_helpers(Oid orchestrator, const InstanceSettings *settings, TransactionId begin)
{
	ListCell   *lc;

	foreach(lc, find_helpers(orchestrator, settings))
	{
		Oid			helper = lfirst_oid(lc);

		if (helper >= FirstNormalObjectId && helper != orchestrator && was_written_after(helper, begin))
			ereport(NOTICE,
					(errmsg("function %s, which the orchestrator calls, was created or altered after the instance began",
							function_signature(helper)),
					 errhint("Only the orchestrator itself is pinned: give a helper that changes what is asked for another name.")));
	}
}
