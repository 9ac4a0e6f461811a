/*
 * concurrency.c
 *		Slots as locks: see concurrency.h.
 *
 * A slot is a lock of the transaction that runs the activity, so it is free
 * again when the activity's effects are there for all, or gone, whatever
 * becomes of the process. The tag is that of user locks, which no SQL function
 * makes: pg_advisory_lock() has its own, and pg_advisory_unlock_all() releases
 * no locks of transactions.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "miscadmin.h"
#include "storage/lock.h"

#include "dispatch/concurrency.h"

static uint64
hash_text(const char *text, uint64 seed)
{
	return hash_bytes_extended((const unsigned char *) text, strlen(text), seed);
}

static void
slot_tag(const char *task_hub, const ActivityRegistration *registration, int slot, LOCKTAG *tag)
{
	uint64		hash = hash_text(registration->version,
								 hash_text(registration->name, hash_text(task_hub, (uint64) slot)));

	tag->locktag_field1 = MyDatabaseId;
	tag->locktag_field2 = (uint32) (hash >> 32);
	tag->locktag_field3 = (uint32) hash;
	tag->locktag_field4 = 0;
	tag->locktag_type = LOCKTAG_USERLOCK;
	tag->locktag_lockmethodid = USER_LOCKMETHOD;
}

bool
concurrency_slot_take(const char *task_hub, const ActivityRegistration *registration)
{
	for (int slot = 0; slot < registration->max_concurrency; slot++)
	{
		LOCKTAG		tag;

		slot_tag(task_hub, registration, slot, &tag);
		if (LockAcquire(&tag, ExclusiveLock, false, true) != LOCKACQUIRE_NOT_AVAIL)
			return true;
	}
	return false;
}
