/*
 * wait_store.h
 *		Looking at an instance one waits for.
 */
#ifndef DURABLE_WAIT_STORE_H
#define DURABLE_WAIT_STORE_H

#include "core/runtime_state.h"

/* The latest committed status and the transaction that wrote it, invalid if that is long ago; false if there is no such instance. */
extern bool store_look_at_instance(const char *task_hub, const char *instance_id,
								   RuntimeStatus *status, TransactionId *writer);

/* The latest row of durable.instances as a composite datum in CurrentMemoryContext; false if there is none. */
extern bool store_instance_row(const char *task_hub, const char *instance_id, Datum *row);

#endif							/* DURABLE_WAIT_STORE_H */
