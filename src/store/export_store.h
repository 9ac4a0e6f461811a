/*
 * export_store.h
 *		Which recorded histories there are, and those that were imported. The
 *		latter never run: they are no instances, only documents to replay.
 */
#ifndef DURABLE_EXPORT_STORE_H
#define DURABLE_EXPORT_STORE_H

#include "postgres.h"
#include "nodes/pg_list.h"
#include "utils/jsonb.h"

/* Ids (char *) of instances of an orchestrator (NULL: of any), the newest first, at most max_count. */
extern List *store_list_instances(const char *task_hub, const char *orchestrator, int64 max_count);

/* The transaction of an instance's first turn, of its last generation; InvalidTransactionId: there was none. */
extern TransactionId store_history_begin(const char *task_hub, const char *instance_id);

/* The same as store_list_instances() for imported histories. */
extern List *store_list_imported(const char *task_hub, const char *orchestrator, int64 max_count);

/* The document, NULL: none of this id was imported. */
extern Jsonb *store_imported_history(const char *task_hub, const char *instance_id);

/* False: the id belongs to an instance, or to another import. */
extern bool store_import_history(const char *task_hub, const char *instance_id, const char *orchestrator,
								 const char *version, Jsonb *history);

/* False: there was none. */
extern bool store_discard_imported(const char *task_hub, const char *instance_id);

#endif							/* DURABLE_EXPORT_STORE_H */
