/*
 * pinned_code.c
 *		Comparing code: see pinned_code.h.
 */
#include "core/pinned_code.h"

bool
same_code(const PinnedCode *a, const PinnedCode *b)
{
	if (a == NULL || b == NULL)
		return a == b;
	return memcmp(&a->fingerprint, &b->fingerprint, sizeof(pg_uuid_t)) == 0;
}
