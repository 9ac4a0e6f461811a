#!/usr/bin/env bash
#
# Makes src/core/condition_names.h: SQLSTATE -> condition name, as PL/pgSQL
# knows them, from the errcodes.txt of the server built against.
#
# usage: gen_condition_names.sh .../errcodes.txt > condition_names.h

set -euo pipefail
export LC_ALL=C

header() {
	cat <<'END'
/*
 * condition_names.h
 *		SQLSTATEs and their condition names, sorted by SQLSTATE.
 *
 * Generated from errcodes.txt by tools/gen_condition_names.sh: do not edit.
 */
static const struct
{
	char		sqlstate[6];
	const char *name;
}			condition_names[] = {
END
}

# A line is "sqlstate E|W|S macro [name]": errors with a name are what PL/pgSQL
# knows, and of several names for a code the first one counts.
rows() {
	awk 'length($1) == 5 && $2 == "E" && $4 != "" && !($1 in seen) {
			seen[$1] = 1
			printf "\t{\"%s\", \"%s\"},\n", $1, $4
		}' "$1" | sort
}

header
rows "$1"
echo "};"
