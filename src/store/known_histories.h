/*
 * known_histories.h
 *		What a worker remembers of the histories of instances that wait, lest it reads at
 *		each turn what it has written itself.
 *
 * It is believed only as long as the instance's row is the very version that this worker wrote
 * with it: whoever else has a turn of the instance, or rewinds, replaces or purges it, writes
 * another one, or none.
 */
#ifndef DURABLE_KNOWN_HISTORIES_H
#define DURABLE_KNOWN_HISTORIES_H

#include "store/instance_store.h"

/*
 * Gives an instance that was locked its past events, if they are known. They
 * are not to be changed, but for the name that replay folds anew each time.
 */
extern bool known_history_find(const FetchedInstance *fetched);

/* The turns have committed. Remembers the histories of their instances that go on; does nothing outside a worker. */
extern void known_histories_keep(List *checkpoints);

#endif							/* DURABLE_KNOWN_HISTORIES_H */
