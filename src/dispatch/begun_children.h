/*
 * begun_children.h
 *		Children that have their first turns in the transaction of their
 *		parent's turn.
 *
 * What they leave behind is what they leave when each is started and fetched by
 * itself, but for the number of transactions: their rows are written in the
 * state they have come to (checkpoint.c), and the answers of those that end
 * are taken by the parent's next turn in memory.
 */
#ifndef DURABLE_BEGUN_CHILDREN_H
#define DURABLE_BEGUN_CHILDREN_H

#include "dispatch/inline_activities.h"
#include "store/instance_store.h"

/*
 * The first turns of the children that the turn asked for, if they are all it
 * asked for. Nobody else can know of them yet. Returns the answers of those
 * that ended; the others are taken out of the outbox, too, but for those that
 * are to be started.
 */
extern List *begin_children(InlineScope *scope, Checkpoint *checkpoint);

#endif							/* DURABLE_BEGUN_CHILDREN_H */
