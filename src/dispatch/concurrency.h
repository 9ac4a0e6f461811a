/*
 * concurrency.h
 *		How many activities of a registration run at once in a hub, over all
 *		workers and sessions of the database.
 */
#ifndef DURABLE_CONCURRENCY_H
#define DURABLE_CONCURRENCY_H

#include "store/registry_store.h"

/*
 * Takes one of the max_concurrency slots of a registration until the end of
 * the transaction, without waiting. False if others have them all.
 */
extern bool concurrency_slot_take(const char *task_hub, const ActivityRegistration *registration);

#endif							/* DURABLE_CONCURRENCY_H */
