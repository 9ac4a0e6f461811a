/*
 * string_set.c
 *		A set of strings, on dynahash.
 */
#include "postgres.h"

#include "common/hashfn.h"

#include "store/string_set.h"

static uint32
pointed_string_hash(const void *key, Size keysize)
{
	const char *string = *(const char *const *) key;

	return hash_bytes((const unsigned char *) string, strlen(string));
}

static int
pointed_string_match(const void *key1, const void *key2, Size keysize)
{
	return strcmp(*(const char *const *) key1, *(const char *const *) key2);
}

StringSet *
string_set_make(void)
{
	HASHCTL		control = {0};

	control.keysize = sizeof(char *);
	control.entrysize = sizeof(char *);
	control.hash = pointed_string_hash;
	control.match = pointed_string_match;
	control.hcxt = CurrentMemoryContext;
	return hash_create("durable string set", 64, &control, HASH_ELEM | HASH_FUNCTION | HASH_COMPARE | HASH_CONTEXT);
}

bool
string_set_add(StringSet *set, const char *string)
{
	bool		found;

	(void) hash_search(set, &string, HASH_ENTER, &found);
	return !found;
}
