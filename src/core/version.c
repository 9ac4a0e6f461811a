/*
 * version.c
 *		Comparing versions: pure, see version.h.
 */
#include "postgres.h"

#include "core/version.h"

#define MAX_PARTS 4

static const char *const match_names[] = {"none", "strict", "current_or_older"};

static bool
is_blank(const char *version)
{
	return version == NULL || version[strspn(version, " \t\r\n\f\v")] == '\0';
}

/* One number of a version, as .NET reads it: at most what an int holds. Returns where it ends, NULL: it is none. */
static const char *
read_part(const char *text, int *part)
{
	int64		value = 0;
	const char *c;

	for (c = text; *c >= '0' && *c <= '9'; c++)
	{
		value = value * 10 + (*c - '0');
		if (value > PG_INT32_MAX)
			return NULL;
	}
	*part = (int) value;
	return c == text ? NULL : c;
}

/* Two to four numbers with dots between; missing ones are -1. */
static bool
read_parts(const char *version, int *parts)
{
	int			n = 0;

	for (int i = 0; i < MAX_PARTS; i++)
		parts[i] = -1;
	for (;;)
	{
		version = read_part(version, &parts[n++]);
		if (version == NULL)
			return false;
		if (*version == '\0')
			return n >= 2;
		if (*version != '.' || n == MAX_PARTS)
			return false;
		version++;
	}
}

int
version_compare(const char *a, const char *b)
{
	int			a_parts[MAX_PARTS];
	int			b_parts[MAX_PARTS];

	if (is_blank(a) || is_blank(b))
		return (int) is_blank(b) - (int) is_blank(a);
	if (!read_parts(a, a_parts) || !read_parts(b, b_parts))
		return pg_strcasecmp(a, b);
	for (int i = 0; i < MAX_PARTS; i++)
		if (a_parts[i] != b_parts[i])
			return a_parts[i] < b_parts[i] ? -1 : 1;
	return 0;
}

char *
version_mismatch(const HubVersioning *versioning, const char *version)
{
	int			order = version_compare(version, versioning->version);
	const char *ours = versioning->version ? versioning->version : "";

	if (version == NULL)
		version = "";
	if (versioning->match == MATCH_STRICT && order != 0)
		return psprintf("The orchestration version '%s' does not match the worker version '%s'.", version, ours);
	if (versioning->match == MATCH_CURRENT_OR_OLDER && order > 0)
		return psprintf("The orchestration version '%s' is greater than the worker version '%s'.", version, ours);
	return NULL;
}

bool
version_match_from_name(const char *name, VersionMatch *match)
{
	for (int i = 0; i < lengthof(match_names); i++)
	{
		if (strcmp(match_names[i], name) == 0)
		{
			*match = (VersionMatch) i;
			return true;
		}
	}
	return false;
}

static bool
same_text(const char *a, const char *b)
{
	return strcmp(a ? a : "", b ? b : "") == 0;
}

bool
versioning_equals(const HubVersioning *a, const HubVersioning *b)
{
	return a->match == b->match && a->fails == b->fails && same_text(a->version, b->version);
}
