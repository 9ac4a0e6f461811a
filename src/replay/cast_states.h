/*
 * cast_states.h
 *		The casts PL/pgSQL does for results and variables, while an orchestrator
 *		runs.
 *
 * PL/pgSQL keeps the state of such a cast until the end of the transaction, and
 * asks nobody when a function in C runs again that an activity used. So such
 * casts are made to be set up anew. Functions in SQL are looked at each time.
 */
#ifndef DURABLE_CAST_STATES_H
#define DURABLE_CAST_STATES_H

/* Forgets the states of casts with functions that are refused; costs nothing where there are none. */
extern void cast_states_forget(void);

#endif							/* DURABLE_CAST_STATES_H */
