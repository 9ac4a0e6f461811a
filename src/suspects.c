/*
 * suspects.c
 *		Work items that were running when their process died.
 *
 * The file survives what shared memory does not, and is written by plain
 * stores into a shared mapping: the kernel keeps them when a process or the
 * whole server dies, without a system call or a byte of WAL a work item. It
 * is lost at a power failure, when nobody is suspect anyway. The postmaster
 * maps it, the others inherit the mapping.
 *
 * Whose item it was is a hash of 128 bits. Several items were in hand when
 * the server crashed, one of them perhaps the culprit: all are charged, and
 * those that get to their end are acquitted by suspect_release().
 */
#include "postgres.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/file_perm.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "port/atomics.h"
#include "storage/fd.h"
#include "utils/timestamp.h"

#include "shmem.h"
#include "suspects.h"

#define SUSPECTS_FILE "durable_suspects"
#define SUSPECTS_MAGIC 0x64757253
#define SUSPECTS_VERSION 1
#define MAX_SUSPECTS 256

/* More than any server has had: what a file claims beyond that is not believed. */
#define MAX_HANDS (1 << 16)

typedef struct KeyHash
{
	uint64		words[2];
} KeyHash;

typedef struct Suspect
{
	KeyHash		key;
	TimestampTz charged_at;
	uint32		count;			/* 0: free */
} Suspect;

/* One of a process, alone in its cache line. */
typedef union Hand
{
	struct
	{
		KeyHash		key;
		uint32		taken;		/* stored last */
		uint32		left;		/* its process has exited in an orderly way */
		uint32		suspect;	/* the item was in hand at a death before */
	}			h;
	char		pad[64];
} Hand;

typedef struct SuspectsFile
{
	uint32		magic;
	uint32		version;
	uint32		n_hands;
	uint32		max_suspects;
	uint64		device;			/* a copy of the file, in a base backup say, starts empty */
	uint64		inode;
	uint32		n_suspects;		/* no search is needed when 0 */
	Suspect		suspects[MAX_SUSPECTS];
	Hand		hands[FLEXIBLE_ARRAY_MEMBER];
} SuspectsFile;

static SuspectsFile *file = NULL;
static Size file_size = 0;
static Hand *my_hand = NULL;

/* ----------------------------------------------------------------
 * The table of suspects; the caller has it for itself
 * ----------------------------------------------------------------
 */

static bool
same_key(const KeyHash *a, const KeyHash *b)
{
	return a->words[0] == b->words[0] && a->words[1] == b->words[1];
}

static Suspect *
find_suspect(SuspectsFile *in, const KeyHash *key)
{
	for (int i = 0; i < MAX_SUSPECTS; i++)
	{
		if (in->suspects[i].count > 0 && same_key(&in->suspects[i].key, key))
			return &in->suspects[i];
	}
	return NULL;
}

/* A free entry, or the one charged longest ago. */
static Suspect *
find_room(SuspectsFile *in)
{
	Suspect    *oldest = &in->suspects[0];

	for (int i = 0; i < MAX_SUSPECTS; i++)
	{
		if (in->suspects[i].count == 0)
			return &in->suspects[i];
		if (in->suspects[i].charged_at < oldest->charged_at)
			oldest = &in->suspects[i];
	}
	return oldest;
}

static void
charge(SuspectsFile *in, const KeyHash *key)
{
	Suspect    *suspect = find_suspect(in, key);

	if (suspect == NULL)
	{
		suspect = find_room(in);
		if (suspect->count == 0)
			in->n_suspects++;
		suspect->key = *key;
		suspect->count = 0;
	}
	suspect->count++;
	suspect->charged_at = GetCurrentTimestamp();
}

static void
acquit(SuspectsFile *in, const KeyHash *key)
{
	Suspect    *suspect = find_suspect(in, key);

	if (suspect != NULL)
	{
		suspect->count = 0;
		in->n_suspects--;
	}
}

/* ----------------------------------------------------------------
 * Server start
 * ----------------------------------------------------------------
 */

static Size
size_of_file(int n_hands)
{
	return offsetof(SuspectsFile, hands) + n_hands * sizeof(Hand);
}

/* Opens the file, new or not, and says which one it is. */
static int
open_file(struct stat *st)
{
	int			fd = BasicOpenFile(SUSPECTS_FILE, O_RDWR | O_CREAT | PG_BINARY);

	if (fd < 0 || fstat(fd, st) < 0)
	{
		ereport(LOG,
				(errcode_for_file_access(),
				 errmsg("could not open file \"%s\": %m", SUSPECTS_FILE),
				 errdetail("Work items that crash the server will not be recognized.")));
		if (fd >= 0)
			close(fd);
		return -1;
	}
	return fd;
}

/* Is this what a server in this directory has left? Everything but the hands is then safe to read. */
static bool
is_ours(const SuspectsFile *old, Size size, const struct stat *st)
{
	return size >= offsetof(SuspectsFile, hands) &&
		old->magic == SUSPECTS_MAGIC && old->version == SUSPECTS_VERSION &&
		old->max_suspects == MAX_SUSPECTS &&
		old->device == (uint64) st->st_dev && old->inode == (uint64) st->st_ino &&
		old->n_hands <= MAX_HANDS && size >= size_of_file(old->n_hands);
}

/* Carries the counts over and charges what was in hand at a crash. */
static void
charge_crashed(SuspectsFile *fresh, const SuspectsFile *old)
{
	memcpy(fresh->suspects, old->suspects, sizeof(fresh->suspects));
	for (int i = 0; i < MAX_SUSPECTS; i++)
	{
		if (fresh->suspects[i].count > 0)
			fresh->n_suspects++;
	}
	for (uint32 i = 0; i < old->n_hands; i++)
	{
		const Hand *hand = &old->hands[i];

		if (hand->h.taken && !hand->h.left)
			charge(fresh, &hand->h.key);
	}
}

/* What the file shall hold from now on, given what it holds. */
static SuspectsFile *
next_contents(int fd, const struct stat *st, int n_hands)
{
	SuspectsFile *fresh = palloc0(size_of_file(n_hands));
	Size		old_size = Min((Size) st->st_size, size_of_file(MAX_HANDS));
	SuspectsFile *old = palloc0(old_size + sizeof(SuspectsFile));

	fresh->magic = SUSPECTS_MAGIC;
	fresh->version = SUSPECTS_VERSION;
	fresh->n_hands = n_hands;
	fresh->max_suspects = MAX_SUSPECTS;
	fresh->device = st->st_dev;
	fresh->inode = st->st_ino;
	if (read(fd, old, old_size) == old_size && is_ours(old, old_size, st))
		charge_crashed(fresh, old);
	pfree(old);
	return fresh;
}

/* Writes all of it, so that no store into the mapping can find the disk full. */
static bool
write_contents(int fd, const SuspectsFile *contents, Size size)
{
	errno = 0;
	if (pg_pwrite(fd, contents, size, 0) == size && ftruncate(fd, size) == 0)
		return true;
	if (errno == 0)
		errno = ENOSPC;
	ereport(LOG,
			(errcode_for_file_access(),
			 errmsg("could not write file \"%s\": %m", SUSPECTS_FILE)));
	return false;
}

static void
map_file(int fd, Size size)
{
	void	   *address = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (address == MAP_FAILED)
	{
		ereport(LOG,
				(errcode_for_file_access(),
				 errmsg("could not map file \"%s\": %m", SUSPECTS_FILE)));
		return;
	}
	file = address;
	file_size = size;
}

/*
 * Must not fail: it runs in the postmaster. Without the file the server
 * works, and only does not know who crashes it.
 */
void
suspects_start(int n_hands)
{
	SuspectsFile *contents;
	struct stat st;
	int			fd;

	if (file != NULL)
		munmap(file, file_size);
	file = NULL;
	fd = open_file(&st);
	if (fd < 0)
		return;
	contents = next_contents(fd, &st, n_hands);
	if (write_contents(fd, contents, size_of_file(n_hands)))
		map_file(fd, size_of_file(n_hands));
	pfree(contents);
	close(fd);
}

/* ----------------------------------------------------------------
 * While the server runs
 * ----------------------------------------------------------------
 */

static void
hash_key(const WorkItemKey *key, KeyHash *hash)
{
	for (int i = 0; i < 2; i++)
	{
		uint64		h = hash_bytes_extended((const unsigned char *) key->task_hub,
											strlen(key->task_hub), MyDatabaseId + i);

		h = hash_bytes_extended((const unsigned char *) key->instance_id,
								strlen(key->instance_id), h);
		h = hash_bytes_extended(key->execution_id, 16, h);
		hash->words[i] = hash_bytes_extended((const unsigned char *) &key->task_id,
											 sizeof(key->task_id), h);
	}
}

static Hand *
hand_at(int hand)
{
	if (file == NULL || hand >= file->n_hands)
		return NULL;
	return &file->hands[hand];
}

void
suspect_use_hand(int hand)
{
	my_hand = hand_at(hand);
	if (my_hand != NULL)
		memset(my_hand, 0, sizeof(Hand));
}

/* The caller holds the lock for itself. A hand whose process has gone is emptied soon. */
static bool
another_suspect_runs(void)
{
	for (uint32 i = 0; i < file->n_hands; i++)
	{
		const Hand *hand = &file->hands[i];

		if (hand != my_hand && hand->h.taken && hand->h.suspect)
			return true;
	}
	return false;
}

int
suspect_take(const WorkItemKey *key)
{
	Suspect    *suspect;
	int			count = 0;

	if (my_hand == NULL)
		return 0;
	my_hand->h.taken = 0;
	pg_write_barrier();
	hash_key(key, &my_hand->h.key);
	pg_write_barrier();
	my_hand->h.taken = 1;

	if (file->n_suspects > 0)
	{
		shmem_lock_suspects(true);
		suspect = find_suspect(file, &my_hand->h.key);
		count = suspect ? suspect->count : 0;
		if (count > 0 && another_suspect_runs())
		{
			count = SUSPECT_MUST_WAIT;
			my_hand->h.taken = 0;
		}
		my_hand->h.suspect = count > 0;
		shmem_unlock_suspects();
	}
	return count;
}

bool
suspect_is_charged(const WorkItemKey *key)
{
	KeyHash		hash;
	bool		charged;

	if (my_hand == NULL || file->n_suspects == 0)
		return false;
	hash_key(key, &hash);
	shmem_lock_suspects(false);
	charged = find_suspect(file, &hash) != NULL;
	shmem_unlock_suspects();
	return charged;
}

void
suspect_release(void)
{
	if (my_hand == NULL || !my_hand->h.taken)
		return;
	if (file->n_suspects > 0)
	{
		shmem_lock_suspects(true);
		acquit(file, &my_hand->h.key);
		shmem_unlock_suspects();
	}
	my_hand->h.taken = 0;
	my_hand->h.suspect = 0;
}

void
suspect_hand_left(int hand)
{
	Hand	   *h = hand_at(hand);

	if (h != NULL)
		h->h.left = 1;
}

bool
suspect_in_hand(int hand)
{
	Hand	   *h = hand_at(hand);

	return h != NULL && h->h.taken;
}

void
suspect_empty_hand(int hand, bool charge_it)
{
	Hand	   *h = hand_at(hand);

	if (h == NULL || !h->h.taken)
		return;
	shmem_lock_suspects(true);
	if (charge_it)
		charge(file, &h->h.key);
	h->h.taken = 0;
	shmem_unlock_suspects();
}
