/*
 * pinned_code.h
 *		Private copies of orchestrators that were replaced or dropped while
 *		instances run.
 */
#ifndef DURABLE_PINNED_CODE_H
#define DURABLE_PINNED_CODE_H

#include "core/runtime_state.h"

/* The code of a function that is to be an instance's, in the hub of an owner; NULL: it is not pinned. */
extern PinnedCode *code_of_signature(const char *signature, Oid hub_owner);

/*
 * Sets state->copy to the function with the code of the instance, which it
 * makes if need be; false, with the reason, if that cannot be. Throws what is
 * not the code's fault. The current user must be the hub's owner.
 */
extern bool pinned_code_prepare(RuntimeState *state, Jsonb **failure);

/*
 * Drops copies that no instance needs and forgets code that none will. Does
 * nothing while a transaction is about to begin with code, and must be followed
 * by a commit soon: nobody can start an instance until then.
 */
extern void pinned_code_sweep(const char *task_hub);

/* Drops all copies and all code of a hub that is being dropped. */
extern void pinned_code_discard(const char *task_hub);

#endif							/* DURABLE_PINNED_CODE_H */
