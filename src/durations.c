/*
 * durations.c
 *		How long activities take: see durations.h.
 *
 * A table of fixed size, in sets of a few entries. Whose set is full takes the
 * place of an entry of its own hub if that has several there, else of the one
 * that was not used for longest: a hub with a great many names does not make
 * the others' forgotten.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "miscadmin.h"
#include "storage/shmem.h"
#include "utils/timestamp.h"

#include "durations.h"
#include "session.h"

#define N_SETS 128
#define SET_SIZE 8

/* So many entries of a set a hub may take from others. */
#define FAIR_PART 2

/* Activities with longer names are never known to be short. */
#define MAX_NAME_LEN 127

/* A new duration counts for one of so many; and the longest that counts. */
#define DECAY 8
#define LONGEST_MS 1000.0

/* The same for what an activity usually takes. */
#define USUAL_DECAY 16
#define LONGEST_USUAL_MS 10.0

/* After that it is looked at again whether an activity still leaves traces: its function may be another one. */
#define ALONE_TIME (60 * USECS_PER_SEC)

typedef struct Duration
{
	uint64		key;			/* 0: free */
	uint64		hub;
	double		mean;			/* ms */
	double		usual;			/* ms; one that was held up for once hardly counts */
	TimestampTz alone_until;	/* what it did there is not to be met by others */
	TimestampTz used_at;
	char		name[MAX_NAME_LEN + 1];
} Duration;

static Duration *durations = NULL;
static LWLock *lock = NULL;

Size
durations_shared_size(void)
{
	return mul_size(N_SETS * SET_SIZE, sizeof(Duration));
}

void
durations_attach(LWLock *durations_lock)
{
	bool		found;

	durations = ShmemInitStruct("durable durations", durations_shared_size(), &found);
	lock = durations_lock;
	if (!found)
		memset(durations, 0, durations_shared_size());
}

static uint64
hash_text(const char *text, uint64 seed)
{
	return hash_bytes_extended((const unsigned char *) text, strlen(text), seed);
}

static uint64
hub_key(const char *task_hub)
{
	return hash_text(task_hub, MyDatabaseId);
}

uint64
duration_key(const char *task_hub, const char *name)
{
	uint64		key = hash_text(name, hub_key(task_hub));

	return key == 0 ? 1 : key;
}

static Duration *
set_of(uint64 key)
{
	return durations + (key % N_SETS) * SET_SIZE;
}

/* The entry of an activity, NULL if it has none. The name is compared: a hash can be forged. */
static Duration *
find_duration(uint64 key, uint64 hub, const char *name)
{
	Duration   *set = set_of(key);

	for (int i = 0; i < SET_SIZE; i++)
	{
		if (set[i].key == key && set[i].hub == hub && strcmp(set[i].name, name) == 0)
			return &set[i];
	}
	return NULL;
}

/* The entry of a set that a hub may use for another activity. */
static Duration *
replaceable_duration(Duration *set, uint64 hub)
{
	Duration   *oldest = NULL;
	Duration   *oldest_of_hub = NULL;
	int			n_of_hub = 0;

	for (int i = 0; i < SET_SIZE; i++)
	{
		if (set[i].key == 0)
			return &set[i];
		if (oldest == NULL || set[i].used_at < oldest->used_at)
			oldest = &set[i];
		if (set[i].hub != hub)
			continue;
		n_of_hub++;
		if (oldest_of_hub == NULL || set[i].used_at < oldest_of_hub->used_at)
			oldest_of_hub = &set[i];
	}
	return n_of_hub >= FAIR_PART ? oldest_of_hub : oldest;
}

/* A copy of what is known of an activity; false: nothing. */
static bool
look_up(const char *task_hub, const char *name, Duration *copy)
{
	uint64		hub = hub_key(task_hub);
	uint64		key = duration_key(task_hub, name);
	Duration   *duration;

	LWLockAcquire(lock, LW_SHARED);
	duration = find_duration(key, hub, name);
	if (duration != NULL)
		*copy = *duration;
	LWLockRelease(lock);
	return duration != NULL;
}

static bool
is_brief(const Duration *duration)
{
	return duration->usual < BRIEF_ACTIVITY_MS &&
		(duration->alone_until == 0 || duration->alone_until < GetCurrentTimestamp());
}

static bool
is_short(const Duration *duration)
{
	return duration->mean < SHORT_ACTIVITY_MS;
}

bool
duration_is_short(const char *task_hub, const char *name)
{
	Duration	duration;

	return look_up(task_hub, name, &duration) && is_short(&duration);
}

bool
duration_is_brief(const char *task_hub, const char *name)
{
	Duration	duration;

	return look_up(task_hub, name, &duration) && is_brief(&duration);
}

double
duration_usual(const char *task_hub, const char *name)
{
	Duration	duration;

	return look_up(task_hub, name, &duration) ? duration.usual : 0;
}

/* The names of a hub's activities that are so. */
static List *
names_of(const char *task_hub, bool (*are_so) (const Duration *))
{
	uint64		hub = hub_key(task_hub);
	Duration   *copy = palloc(durations_shared_size());
	List	   *names = NIL;

	LWLockAcquire(lock, LW_SHARED);
	memcpy(copy, durations, durations_shared_size());
	LWLockRelease(lock);
	for (int i = 0; i < N_SETS * SET_SIZE; i++)
	{
		if (copy[i].key != 0 && copy[i].hub == hub && are_so(&copy[i]))
			names = lappend(names, pstrdup(copy[i].name));
	}
	pfree(copy);
	return names;
}

List *
duration_short_names(const char *task_hub)
{
	return names_of(task_hub, is_short);
}

List *
duration_brief_names(const char *task_hub)
{
	return names_of(task_hub, is_brief);
}

static void
note_usual(Duration *duration, double milliseconds)
{
	duration->usual += (Min(milliseconds, LONGEST_USUAL_MS) - duration->usual) / USUAL_DECAY;
}

void
duration_note_undone(const char *task_hub, const char *name, bool for_its_trace)
{
	Duration   *duration;

	if (!session_is_worker())
		return;
	LWLockAcquire(lock, LW_EXCLUSIVE);
	duration = find_duration(duration_key(task_hub, name), hub_key(task_hub), name);
	if (duration != NULL && for_its_trace)
		duration->alone_until = GetCurrentTimestamp() + ALONE_TIME;
	else if (duration != NULL)
		note_usual(duration, LONGEST_USUAL_MS);
	LWLockRelease(lock);
}

static void
note(Duration *duration, double milliseconds)
{
	if (milliseconds >= SHORT_ACTIVITY_MS)
		duration->mean = Max(duration->mean, Min(milliseconds * DECAY, LONGEST_MS));
	else
		duration->mean += (milliseconds - duration->mean) / DECAY;
	note_usual(duration, milliseconds);
	duration->used_at = GetCurrentTimestamp();
}

void
duration_note(const char *task_hub, const char *name, double milliseconds)
{
	uint64		hub = hub_key(task_hub);
	uint64		key = duration_key(task_hub, name);
	Duration   *duration;

	if (!session_is_worker() || strlen(name) > MAX_NAME_LEN)
		return;
	LWLockAcquire(lock, LW_EXCLUSIVE);
	duration = find_duration(key, hub, name);
	if (duration == NULL)
	{
		duration = replaceable_duration(set_of(key), hub);
		duration->key = key;
		duration->hub = hub;
		duration->mean = Min(milliseconds, SHORT_ACTIVITY_MS);
		duration->usual = Min(milliseconds, LONGEST_USUAL_MS);
		duration->alone_until = 0;
		strlcpy(duration->name, name, sizeof(duration->name));
	}
	note(duration, milliseconds);
	LWLockRelease(lock);
}
