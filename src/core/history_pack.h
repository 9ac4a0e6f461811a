/*
 * history_pack.h
 *		Events of a history packed into the row of the one before them.
 *
 * A row of an event, with its index entry and its WAL, costs several times
 * what the event itself does. Pure.
 */
#ifndef DURABLE_HISTORY_PACK_H
#define DURABLE_HISTORY_PACK_H

#include "postgres.h"
#include "nodes/pg_list.h"

#include "core/history_event.h"

/* Events that follow each other, in the making. */
typedef struct HistoryPack HistoryPack;

extern HistoryPack *history_pack_make(void);

/* Adds the next event; false, and nothing is added, if it does not fit. */
extern bool history_pack_add(HistoryPack *pack, const HistoryEvent *event);

/* What was added, to be stored; NULL if nothing was. */
extern bytea *history_pack_finish(HistoryPack *pack);

/* Appends the events of a pack, in CurrentMemoryContext; false if the bytes are none. They may be any. */
extern bool history_unpack(const bytea *packed, List **events);

#endif							/* DURABLE_HISTORY_PACK_H */
