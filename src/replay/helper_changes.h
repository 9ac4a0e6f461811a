/*
 * helper_changes.h
 *		Functions that an orchestrator calls and that are not what they were
 *		when its history began. Only the orchestrator itself is pinned.
 */
#ifndef DURABLE_HELPER_CHANGES_H
#define DURABLE_HELPER_CHANGES_H

#include "core/runtime_state.h"

/*
 * Gives a NOTICE for each function in SQL or PL/pgSQL that the body of the
 * orchestrator calls, directly or not, and that was created or altered by a
 * later transaction than "begin". What dynamic statements call is not seen,
 * nor what happened before a dump was restored.
 */
extern void report_changed_helpers(Oid orchestrator, const InstanceSettings *settings, TransactionId begin);

#endif							/* DURABLE_HELPER_CHANGES_H */
