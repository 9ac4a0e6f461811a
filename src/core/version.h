/*
 * version.h
 *		Versions of instances against the version of a hub (semantics.md 7.3).
 */
#ifndef DURABLE_VERSION_H
#define DURABLE_VERSION_H

#include "postgres.h"

typedef enum VersionMatch
{
	MATCH_NONE,					/* every version runs */
	MATCH_STRICT,				/* only the hub's own */
	MATCH_CURRENT_OR_OLDER
} VersionMatch;

/* What a hub says about versions (DTFx VersioningSettings). */
typedef struct HubVersioning
{
	const char *version;		/* NULL is the same as empty */
	VersionMatch match;
	bool		fails;			/* an instance that does not match is failed; else it waits */
	const char *default_version;	/* of new instances and sub-orchestrations that name none; NULL: none */
} HubVersioning;

/*
 * Negative, 0 or positive as a is older than, as old as, or newer than b. NULL
 * and blanks are older than all others; two to four numbers with dots between
 * are compared as numbers, a missing one older than 0; all else as text, not
 * minding the case of letters.
 */
extern int	version_compare(const char *a, const char *b);

/* Why an instance of this version may not run, in the words of the Durable Task SDKs; NULL: it may. */
extern char *version_mismatch(const HubVersioning *versioning, const char *version);

extern bool version_match_from_name(const char *name, VersionMatch *match);

/* Is it all the same for an instance which of the two its hub has? */
extern bool versioning_equals(const HubVersioning *a, const HubVersioning *b);

#endif							/* DURABLE_VERSION_H */
