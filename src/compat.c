/*
 * compat.c
 *		What of compat.h is more than a macro.
 */
#include "postgres.h"

#include "fmgr.h"
#include "replication/walsender_private.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

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

/* The field has had another name since minor releases of 2025. */
bool
durable_sync_standbys_defined(void)
{
#ifdef SYNC_STANDBY_DEFINED
	return (((volatile WalSndCtlData *) WalSndCtl)->sync_standbys_status & SYNC_STANDBY_DEFINED) != 0;
#else
	return ((volatile WalSndCtlData *) WalSndCtl)->sync_standbys_defined;
#endif
}
