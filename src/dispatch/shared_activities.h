/*
 * shared_activities.h
 *		Queued activities that are known to be brief: many of them in one
 *		transaction.
 */
#ifndef DURABLE_SHARED_ACTIVITIES_H
#define DURABLE_SHARED_ACTIVITIES_H

#include "dispatch/dispatchers.h"
#include "store/activity_store.h"

/* What became of them. */
typedef struct SharedActivities
{
	int64		n_done;
	List	   *alone;			/* of ClaimedActivity *: those that have to run alone, now that they are free again */
} SharedActivities;

/*
 * Claims some and runs them, in a transaction of its own; it throws what goes
 * wrong outside their code, and then they are all in "alone". IDLE: there are
 * none, or they do not share here.
 */
extern DispatchResult shared_activities_run(const char *task_hub, SharedActivities *shared);

/* May a claimed activity be run that way, as far as can be seen? */
extern bool shared_activities_suit(const char *task_hub, const ClaimedActivity *activity);

#endif							/* DURABLE_SHARED_ACTIVITIES_H */
