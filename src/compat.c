/*
 * compat.c
 *		What of compat.h is more than a macro.
 */
#include "postgres.h"

#include "access/tableam.h"
#include "access/xact.h"
#include "executor/executor.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/snapmgr.h"

#include "compat.h"

#if PG_VERSION_NUM >= 160000
#include "nodes/miscnodes.h"

Oid
durable_to_regprocedure(const char *signature)
{
	ErrorSaveContext errors = {T_ErrorSaveContext,.details_wanted = true};
	Datum		oid;

	if (DirectInputFunctionCallSafe(regprocedurein, pstrdup(signature), InvalidOid, -1, (Node *) &errors, &oid))
		return DatumGetObjectId(oid);
	if (errors.error_data->sqlerrcode != ERRCODE_UNDEFINED_FUNCTION)
		ThrowErrorData(errors.error_data);
	return InvalidOid;
}
#else
Oid
durable_to_regprocedure(const char *signature)
{
	LOCAL_FCINFO(fcinfo, 1);
	Datum		oid;

	InitFunctionCallInfoData(*fcinfo, NULL, 1, InvalidOid, NULL, NULL);
	fcinfo->args[0].value = CStringGetTextDatum(signature);
	fcinfo->args[0].isnull = false;
	oid = to_regprocedure(fcinfo);
	return fcinfo->isnull ? InvalidOid : DatumGetObjectId(oid);
}
#endif

bool
durable_update_row(ResultRelInfo *target, TupleTableSlot *slot, EState *estate, ItemPointer tid)
{
	TM_FailureData failure;
	LockTupleMode mode;
#if PG_VERSION_NUM >= 160000
	TU_UpdateIndexes indexes;
#else
	bool		indexes;
#endif

	if (table_tuple_update(target->ri_RelationDesc, tid, slot, GetCurrentCommandId(true), GetActiveSnapshot(),
						   InvalidSnapshot, true, &failure, &mode, &indexes) != TM_Ok)
		return false;
#if PG_VERSION_NUM >= 160000
	if (indexes != TU_None && target->ri_NumIndices > 0)
		(void) ExecInsertIndexTuples(target, slot, estate, true, false, NULL, NIL, indexes == TU_Summarizing);
#else
	if (indexes && target->ri_NumIndices > 0)
		(void) ExecInsertIndexTuples(target, slot, estate, true, false, NULL, NIL);
#endif
	return true;
}
