/*
 * ids.c
 *		Instance and execution ids: see ids.h.
 */
#include "postgres.h"

#include "common/cryptohash.h"
#include "common/sha1.h"
#include "miscadmin.h"
#include "port/pg_bswap.h"
#include "utils/builtins.h"

#include "ids.h"

/* 9e952958-5e33-4daf-827f-2fa12937b875 */
static const unsigned char guid_namespace[UUID_LEN] = {
	0x9e, 0x95, 0x29, 0x58, 0x5e, 0x33, 0x4d, 0xaf,
	0x82, 0x7f, 0x2f, 0xa1, 0x29, 0x37, 0xb8, 0x75
};

static void
set_version(pg_uuid_t *uuid, unsigned char version)
{
	uuid->data[6] = (uuid->data[6] & 0x0f) | (version << 4);
	uuid->data[8] = (uuid->data[8] & 0x3f) | 0x80;
}

/* Random bytes, fetched many at a time: to ask for them costs more than the bytes. */
static void
random_bytes(unsigned char *bytes, int n)
{
	static unsigned char pool[512];
	static int	left = 0;
	static int	pool_of = 0;

	if (left < n || pool_of != MyProcPid)
	{
		left = 0;
		if (!pg_strong_random(pool, sizeof(pool)))
			ereport(ERROR,
					(errcode(ERRCODE_INTERNAL_ERROR),
					 errmsg("could not generate random values")));
		left = sizeof(pool);
		pool_of = MyProcPid;
	}
	left -= n;
	memcpy(bytes, pool + left, n);
}

void
make_time_ordered_uuid(TimestampTz now, pg_uuid_t *uuid)
{
	int64		unix_epoch = (int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY;
	uint64		ms = pg_hton64((uint64) ((now + unix_epoch) / 1000) << 16);
	uint16		fraction;		/* of the millisecond, in the 12 bits after the version */

	memcpy(uuid->data, &ms, 6);
	fraction = (uint16) ((now + unix_epoch) % 1000 * 4096 / 1000);
	uuid->data[6] = fraction >> 8;
	uuid->data[7] = fraction & 0xff;
	random_bytes(uuid->data + 8, UUID_LEN - 8);
	set_version(uuid, 7);
}

void
make_name_uuid(const char *name, pg_uuid_t *uuid)
{
	pg_cryptohash_ctx *sha1 = pg_cryptohash_create(PG_SHA1);
	uint8		digest[SHA1_DIGEST_LENGTH];

	if (sha1 == NULL || pg_cryptohash_init(sha1) < 0 ||
		pg_cryptohash_update(sha1, guid_namespace, UUID_LEN) < 0 ||
		pg_cryptohash_update(sha1, (const uint8 *) name, strlen(name)) < 0 ||
		pg_cryptohash_final(sha1, digest, sizeof(digest)) < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not compute SHA-1 hash")));
	pg_cryptohash_free(sha1);
	memcpy(uuid->data, digest, UUID_LEN);
	set_version(uuid, 5);
}

char *
execution_id_text(const pg_uuid_t *uuid)
{
	char	   *text = palloc(2 * UUID_LEN + 1);

	(void) hex_encode((const char *) uuid->data, UUID_LEN, text);
	text[2 * UUID_LEN] = '\0';
	return text;
}
