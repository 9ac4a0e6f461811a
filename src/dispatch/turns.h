/*
 * turns.h
 *		What orchestration_dispatcher.c lends to begun_children.c: a child's
 *		turn is a turn like any other.
 */
#ifndef DURABLE_TURNS_H
#define DURABLE_TURNS_H

#include "dispatch/inline_activities.h"
#include "store/instance_store.h"

/*
 * The functions of what a turn starts, as its code would find them: of
 * ResolvedChild *, one for each ChildStart *. Most of a turn are alike: then they are found once.
 */
extern List *resolve_children(const RuntimeState *parent, List *starts);

/*
 * Reconcile, replay, decide. With "failure" the turn does not run code but
 * fails the instance. NULL, and nothing happened, if patience (0: no limit)
 * ran out or the turn must wait for another one. With "scope" the turns after
 * it follow, for as long as they wait for nothing but brief activities and children.
 */
extern Checkpoint *run_turn(FetchedInstance *fetched, int patience_ms, Jsonb *failure, InlineScope *scope);

#endif							/* DURABLE_TURNS_H */
