# shellcheck shell=bash
#
# What the scripts in tools/ share: finding PostgreSQL, building, and running
# things as a user who may run a server (initdb refuses root).

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
PG_CONFIG=${PG_CONFIG:-pg_config}
work=

# Settings of the caller's own PostgreSQL or language must not reach ours.
for variable in "${!PG@}"; do
	case $variable in
		PG_*) ;;
		*) unset "$variable" ;;
	esac
done
unset TMPDIR MAKEFLAGS MFLAGS MAKELEVEL
export LC_ALL=C.UTF-8
umask 022

say() { printf '%s\n' "$@"; }
die() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 1; }
is_root() { [ "$(id -u)" = 0 ]; }

# Runs a command, shows what it wrote only when it fails.
quietly() {
	local log status=0
	log=$(mktemp)
	"$@" >"$log" 2>&1 || status=$?
	[ "$status" = 0 ] || cat "$log" >&2
	rm -f "$log"
	return "$status"
}

as_root() {
	if is_root; then
		"$@"
	elif command -v sudo >/dev/null; then
		sudo "$@"
	else
		die "cannot do this without root or sudo: $*"
	fi
}

# The user who runs the servers: the caller, or postgres when that is root.
server_user() { if is_root; then echo postgres; else id -un; fi; }

as_server_user() {
	local environment=(env HOME="$work" TMPDIR="$work")
	if is_root; then
		runuser -u "$(server_user)" -- "${environment[@]}" "$@"
	else
		"${environment[@]}" "$@"
	fi
}

# Is this a pg_config that one can build with? Debian's postgresql-client has the
# file that --pgxs names, but the headers come with postgresql-server-dev.
builds() {
	[ -f "$("$1" --pgxs 2>/dev/null)" ] && [ -f "$("$1" --includedir-server)/postgres.h" ]
}

# Settles PG_CONFIG: the one asked for, that of the PATH, or Debian's.
find_pg_config() {
	local debian=/usr/lib/postgresql/15/bin/pg_config
	if builds "$PG_CONFIG"; then
		return 0
	elif [ "$PG_CONFIG" = pg_config ] && builds "$debian"; then
		PG_CONFIG=$debian
	else
		return 1
	fi
}

# Installs what is missing, builds, installs the extension, sets bindir.
prepare() {
	bash "$repo/tools/install-deps.sh"
	find_pg_config
	bindir=$("$PG_CONFIG" --bindir)
	say "== building and installing into $("$PG_CONFIG" --version), $("$PG_CONFIG" --pkglibdir)"
	quietly make -C "$repo" -s -j"$(nproc)" PG_CONFIG="$PG_CONFIG" all
	quietly as_root make -C "$repo" -s PG_CONFIG="$PG_CONFIG" install
}

# Makes the directory "work", which the server's user owns, with a copy of the
# named parts of the tree: that user may be unable to read or write the clone.
make_work_dir() {
	local part
	if is_root && ! id postgres >/dev/null 2>&1; then
		useradd --system --no-create-home --home-dir / --shell /usr/sbin/nologin postgres
	fi
	work=$(mktemp -d "/tmp/durable-XXXXXX")
	trap remove_work_dir EXIT
	for part in "$@"; do
		if [ -e "$repo/$part" ]; then
			cp -R "$repo/$part" "$work/"
		fi
	done
	if is_root; then
		chown -R "$(server_user)": "$work"
	fi
	cd "$work" || exit
}

# Whatever went wrong before: no server stays behind.
stop_servers() {
	local pid_file
	find "$work" -name postmaster.pid 2>/dev/null | while read -r pid_file; do
		as_server_user "$bindir/pg_ctl" stop -w -m immediate -D "${pid_file%/*}" >/dev/null 2>&1 || true
	done
}

remove_work_dir() {
	stop_servers
	cd /
	rm -rf "$work"
}
