/*
 * hub_access.h
 *		Which task hub a call is for, and may the caller use it?
 */
#ifndef DURABLE_HUB_ACCESS_H
#define DURABLE_HUB_ACCESS_H

#include "compat.h"
#include "fmgr.h"

#include "store/hub_store.h"

/*
 * To be called first by what clients call to change something. Refuses it in
 * an orchestrator (UD008), which would do it again at every replay, to who may
 * not use durable (42501), and in a read-only transaction (25006).
 */
extern void client_call_begin(FunctionCallInfo fcinfo);

/* The same for what only looks: in read-only transactions and on standbys, too. */
extern void client_look_begin(FunctionCallInfo fcinfo);

/*
 * The hub of a call: its argument, else durable.task_hub if the current user
 * set it, else the current user's default hub, which is made if need be.
 * Raises an error if there is no such hub (42704) or the current user may not
 * act for its owner (42501).
 */
extern void hub_for_call(FunctionCallInfo fcinfo, int arg, Hub *hub);

/* The same for calls that want an instance: a default hub not made yet is a name without instances. */
extern void hub_to_look_in(FunctionCallInfo fcinfo, int arg, Hub *hub);

/* Raises UD004. */
DURABLE_NORETURN extern void no_such_instance(const Hub *hub, const char *instance_id);

/* To be called before something is started or run in a hub: error 42501 if durable.allow_superuser_hubs forbids it. */
extern void require_hub_may_run(const Hub *hub);

/* To be called before user code is run in a client's session: error 42501 unless session and current user are the owner. */
extern void require_owner_session(const Hub *hub);

#endif							/* DURABLE_HUB_ACCESS_H */
