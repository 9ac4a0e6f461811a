#!/usr/bin/env bash
#
# Installs the Debian packages that building, testing and the demo need. Does
# nothing, and needs no root, when everything is there.
#
# usage: install-deps.sh [sqlsmith]: that too, which "make sqlsmith" alone needs

set -euo pipefail
# shellcheck source=tools/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# While this file exists, installing a PostgreSQL server makes no "main" cluster.
no_cluster=/etc/postgresql-common/createcluster.d/durable-no-main-cluster.conf

optional=${1:-}

have_perl_module() { perl "-M$1" -e 1 2>/dev/null; }
need() { missing+=("$1"); }

# Looks for what is used, not for packages: PostgreSQL may come from elsewhere.
find_missing() {
	local major=15 bindir=/usr/lib/postgresql/15/bin sharedir=/usr/share/postgresql/15 pgxs
	missing=()
	if find_pg_config; then
		major=$("$PG_CONFIG" --version | sed 's/[^0-9]*\([0-9]*\).*/\1/')
		bindir=$("$PG_CONFIG" --bindir)
		sharedir=$("$PG_CONFIG" --sharedir)
		pgxs=$("$PG_CONFIG" --pgxs)
		[ -x "${pgxs%/makefiles/*}/test/regress/pg_regress" ] || need "postgresql-client-$major"
	elif [ "$PG_CONFIG" != pg_config ]; then
		die "nothing to build with: no file where \"$PG_CONFIG --pgxs\" says, or no postgres.h in its --includedir-server"
	else
		need "postgresql-server-dev-$major"
	fi
	[ -x "$bindir/initdb" ] || need "postgresql-$major"
	[ -f "$sharedir/extension/pgtap.control" ] || need "postgresql-$major-pgtap"
	command -v gcc >/dev/null || need gcc
	[ -f /usr/include/stdio.h ] || need libc6-dev
	have_perl_module TAP::Harness || need perl
	have_perl_module IPC::Run || need libipc-run-perl
	[ "$optional" != sqlsmith ] || command -v sqlsmith >/dev/null || need sqlsmith
}

# Only for a first server: one that has clusters keeps its ways, and no
# package that is already there is touched.
forbid_main_cluster() {
	[ ! -e "$no_cluster" ] || return 0
	trap allow_main_cluster EXIT
	as_root mkdir -p "${no_cluster%/*}"
	echo "create_main_cluster = false" | as_root tee "$no_cluster" >/dev/null
}

allow_main_cluster() {
	as_root rm -f "$no_cluster"
}

install_packages() {
	local apt=(env DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=l apt-get -q -o DPkg::Lock::Timeout=120)
	forbid_main_cluster
	quietly as_root "${apt[@]}" update || say "apt-get update failed; trying with the package lists as they are"
	quietly as_root "${apt[@]}" install -y --no-install-recommends --no-upgrade "$@"
}

find_missing
if [ ${#missing[@]} -gt 0 ]; then
	command -v apt-get >/dev/null || die "please install what Debian calls ${missing[*]}"
	say "== installing ${missing[*]}"
	install_packages "${missing[@]}"
	hash -r
	find_missing
	[ ${#missing[@]} -eq 0 ] || die "still missing: ${missing[*]}"
fi
