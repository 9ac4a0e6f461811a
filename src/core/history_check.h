/*
 * history_check.h
 *		Is what was loaded a history at all? Only a superuser's hand, or a
 *		restore of some of the tables, can make it another thing.
 */
#ifndef DURABLE_HISTORY_CHECK_H
#define DURABLE_HISTORY_CHECK_H

#include "core/runtime_state.h"

/*
 * What is wrong with an instance's row, history and messages, in words that
 * name the event and the field; NULL: they fit together, and no replay of them
 * can crash.
 */
extern char *history_damage(const RuntimeState *state, List *messages);

/* Takes the numbers of the state from its events, so that an end can be added to it that has a number of its own. */
extern void history_mend_numbers(RuntimeState *state);

#endif							/* DURABLE_HISTORY_CHECK_H */
