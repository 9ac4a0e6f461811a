/*
 * rests.h
 *		Instances whose next turn may wait for their activities, in shared
 *		memory.
 *
 * A turn replays the code from its first line. Of a wide fan-out that takes
 * long, and workers that look for turns would spend their time on one for
 * each few answers. So after a long turn the instance rests for several times
 * as long, or until none of its activities is in the queue any more.
 */
#ifndef DURABLE_RESTS_H
#define DURABLE_RESTS_H

#include "postgres.h"
#include "datatype/timestamp.h"
#include "storage/lwlock.h"

/* For shmem.c: the memory, and the lock that guards it. */
extern Size rests_shared_size(void);
extern void rests_attach(LWLock *rests_lock);

/* The instance goes on running after turns of this worker that took so long, in us. */
extern void rest_begin(const char *task_hub, const char *instance_id, int64 turn_time);

/* It rests no longer: it is to do at once what it is told. From any process. */
extern void rest_end(const char *task_hub, const char *instance_id);

/* Does it rest? Who asks sees to it that activities of it are in the queue. Never outside a worker. */
extern bool rest_lasts(const char *task_hub, const char *instance_id);

/* When the first of the rests ends that this process was told of since it last asked this; DT_NOEND: of none. */
extern TimestampTz rest_next_end(void);

#endif							/* DURABLE_RESTS_H */
