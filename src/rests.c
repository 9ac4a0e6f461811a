/*
 * rests.c
 *		Instances whose next turn may wait: see rests.h.
 *
 * A small table that is looked through: few instances rest at a time, mostly
 * none, which is seen without the lock. Who finds no place takes that of the
 * one whose rest ends first. Two instances of one hash share a rest, which
 * costs them no more than that.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "miscadmin.h"
#include "port/atomics.h"
#include "storage/shmem.h"
#include "utils/timestamp.h"

#include "rests.h"
#include "session.h"

#define N_RESTS 32

/* Shorter turns cost little, in us. */
#define LONG_TURN 5000

/* So many times as long as the turn, but no longer than that, in us. */
#define REST_FACTOR 4
#define LONGEST_REST 3000000

typedef struct Rest
{
	uint64		key;
	TimestampTz until;
} Rest;

typedef struct Rests
{
	pg_atomic_uint64 last_until;	/* all have ended by then */
	Rest		rests[N_RESTS];
} Rests;

/* See rest_next_end(). */
static TimestampTz next_end = DT_NOEND;

static Rests *shared = NULL;
static LWLock *lock = NULL;

Size
rests_shared_size(void)
{
	return sizeof(Rests);
}

void
rests_attach(LWLock *rests_lock)
{
	bool		found;

	shared = ShmemInitStruct("durable rests", sizeof(Rests), &found);
	lock = rests_lock;
	if (found)
		return;
	memset(shared, 0, sizeof(Rests));
	pg_atomic_init_u64(&shared->last_until, 0);
}

static uint64
rest_key(const char *task_hub, const char *instance_id)
{
	uint64		hub = hash_bytes_extended((const unsigned char *) task_hub, strlen(task_hub), MyDatabaseId);

	return hash_bytes_extended((const unsigned char *) instance_id, strlen(instance_id), hub);
}

/* The entry of the key, or else the one whose rest ends first. */
static Rest *
entry_for(uint64 key)
{
	Rest	   *first = &shared->rests[0];

	for (int i = 0; i < N_RESTS; i++)
	{
		if (shared->rests[i].key == key)
			return &shared->rests[i];
		if (shared->rests[i].until < first->until)
			first = &shared->rests[i];
	}
	return first;
}

void
rest_begin(const char *task_hub, const char *instance_id, int64 turn_time)
{
	TimestampTz until = GetCurrentTimestamp() + Min(turn_time * REST_FACTOR, LONGEST_REST);
	uint64		key;
	Rest	   *rest;

	if (shared == NULL || !session_is_worker() || turn_time < LONG_TURN)
		return;
	key = rest_key(task_hub, instance_id);
	LWLockAcquire(lock, LW_EXCLUSIVE);
	rest = entry_for(key);
	rest->key = key;
	rest->until = until;
	if ((TimestampTz) pg_atomic_read_u64(&shared->last_until) < until)
		pg_atomic_write_u64(&shared->last_until, (uint64) until);
	LWLockRelease(lock);
}

void
rest_end(const char *task_hub, const char *instance_id)
{
	uint64		key;
	Rest	   *rest;

	if (shared == NULL || GetCurrentTimestamp() >= (TimestampTz) pg_atomic_read_u64(&shared->last_until))
		return;
	key = rest_key(task_hub, instance_id);
	LWLockAcquire(lock, LW_EXCLUSIVE);
	rest = entry_for(key);
	if (rest->key == key)
		rest->until = 0;
	LWLockRelease(lock);
}

/* If it seems to be for longer than any rest, the clock was set back. */
static bool
lasts(TimestampTz until, TimestampTz now)
{
	return now < until && until - now <= LONGEST_REST;
}

bool
rest_lasts(const char *task_hub, const char *instance_id)
{
	TimestampTz now = GetCurrentTimestamp();
	const Rest *rest;
	uint64		key;
	bool		result;

	if (shared == NULL || !session_is_worker() || now >= (TimestampTz) pg_atomic_read_u64(&shared->last_until))
		return false;
	key = rest_key(task_hub, instance_id);
	LWLockAcquire(lock, LW_SHARED);
	rest = entry_for(key);
	result = rest->key == key && lasts(rest->until, now);
	if (result)
		next_end = Min(next_end, rest->until);
	LWLockRelease(lock);
	return result;
}

TimestampTz
rest_next_end(void)
{
	TimestampTz end = next_end;

	next_end = DT_NOEND;
	return end;
}
