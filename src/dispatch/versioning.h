/*
 * versioning.h
 *		Instances whose version their hub does not run (semantics.md 7.3).
 */
#ifndef DURABLE_VERSIONING_H
#define DURABLE_VERSIONING_H

#include "store/instance_store.h"

/* Shall the instance wait, with all its messages? A termination is let through. */
extern bool versioning_keeps_waiting(const FetchedInstance *fetched);

/* The first termination among some events, or the first that is recursive; NULL if there is none. */
extern const HistoryEvent *find_termination(List *events, bool recursive);

/* What an instance of a wrong version fails with. */
extern Jsonb *version_mismatch_failure(const char *message);

/*
 * Until when what is rejected is put off: for ever (DT_NOEND), since whoever
 * changes the versioning of the hub makes it visible again, and cannot before
 * this transaction has ended; or not long, if somebody is changing it now.
 */
extern TimestampTz rejected_until(const RuntimeState *state, TimestampTz now);

#endif							/* DURABLE_VERSIONING_H */
