/*
 * activity_execution.h
 *		Running one activity in the current transaction.
 */
#ifndef DURABLE_ACTIVITY_EXECUTION_H
#define DURABLE_ACTIVITY_EXECUTION_H

#include "store/activity_store.h"

/* How running an activity went. */
typedef struct ActivityOutcome
{
	Jsonb	   *result;
	Jsonb	   *failure;
	bool		repeat;			/* it lost a conflict: neither result nor failure */
	bool		must_be_alone;	/* a shared one: it was undone and says nothing */
} ActivityOutcome;

/*
 * Runs it as the current user, in a subtransaction: without a result nothing
 * of it stays. "shared": other work has its effects in the transaction, and
 * must not meet this one's (sharing.h). Throws only a cancel that means the
 * client's statement.
 */
extern void activity_execute(const char *task_hub, const ClaimedActivity *activity, bool shared,
							 ActivityOutcome *outcome);

/*
 * Runs it within the sandbox of the orchestrator that waits for it, shared, and
 * returns its result. Whatever keeps it from having one is thrown, and undoes
 * the orchestrator's turns, too; then activity_clean_up() is due.
 */
extern Jsonb *activity_execute_within(const char *task_hub, const ClaimedActivity *activity);
extern void activity_clean_up(void);

#endif							/* DURABLE_ACTIVITY_EXECUTION_H */
