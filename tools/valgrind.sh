#!/usr/bin/env bash
#
# pgTAP tests on a server that runs under valgrind. Fails when valgrind has
# something to say that our library has to do with.
#
# It sees reads of freed or never written palloc memory only on a server built
# for it (CPPFLAGS=-DUSE_VALGRIND, best with --enable-cassert; test/README.md);
# on another one only what malloc and the stack hold.
#
# usage: [VALGRIND_PG=/path/of/its/pg_config] [T="timers retry"] valgrind.sh

set -euo pipefail
# shellcheck source=tools/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

T=${T:-scenario_basics fan_out retry timers events suborchestrations continue_as_new rewind hostile export core_state}
PG_CONFIG=${VALGRIND_PG:-$PG_CONFIG}
command -v valgrind >/dev/null || die "please install what Debian calls valgrind"

# Another server has no pgTAP, which is only SQL.
borrow_pgtap() {
	local here theirs
	here=$("$PG_CONFIG" --sharedir)/extension
	[ ! -e "$here/pgtap.control" ] || return 0
	theirs=$(dirname "$(find /usr/share/postgresql -name pgtap.control | head -1)")
	cp "$theirs"/pgtap*.sql "$theirs/pgtap.control" "$here/"
}

# Its objects are of other headers than those of the tree: built in a copy.
build_for_it() {
	mkdir "$work/tree"
	cp -R "$repo"/{Makefile,META.json,src,sql,test,tools,durable.control,durable_pgtap.control} "$work/tree/"
	find "$work/tree" \( -name '*.o' -o -name '*.so' \) -delete
	quietly make -C "$work/tree" -s -j"$(nproc)" PG_CONFIG="$PG_CONFIG" WARNINGS= T= COPT='-O1 -g' all test-modules install
	cp "$work/tree/test/modules/core_test/core_test.so" "$work/test/modules/core_test/"
}

start_under_valgrind() {
	local data=tmp_check/data suppressions=()
	as_server_user mkdir -p tmp_check log
	quietly as_server_user "$bindir/initdb" -D "$data" -U postgres -A trust --no-locale --encoding=UTF8 --no-sync
	as_server_user tee -a "$data/postgresql.conf" >/dev/null <<-END
	listen_addresses = ''
	unix_socket_directories = '$work/tmp_check'
	fsync = off
	autovacuum = off
	include '$work/test/durable.conf'
	END
	[ ! -e "${VALGRIND_SUPPRESSIONS:-}" ] || suppressions=("--suppressions=$VALGRIND_SUPPRESSIONS")
	as_server_user valgrind --quiet --trace-children=yes --leak-check=no --track-origins=no --gen-suppressions=all \
		"${suppressions[@]}" --log-file=log/%p.valgrind "$bindir/postgres" -D "$data" >log/postmaster.log 2>&1 &
	for _ in $(seq 600); do
		"$bindir/pg_isready" -q -h "$work/tmp_check" && return 0
		sleep 0.2
	done
	die "the server does not start, see $work/log"
}

# What valgrind says, where a frame is of our library; the other things it says are the server's.
find_trouble() {
	awk 'FNR == 1 { block = "" }
		/^==[0-9]+== *$/ { if (block ~ /durable\.so|core_test\.so|src\/(core|client|dispatch|replay|store|worker)\//) { print block; found = 1 } block = ""; next }
		/^==[0-9]+== / { block = block $0 "\n" }
		END { if (block ~ /durable\.so|core_test\.so/) { print block; found = 1 } exit !found }' log/*.valgrind
}

find_pg_config || die "nothing to build with: $PG_CONFIG"
bindir=$("$PG_CONFIG" --bindir)
make_work_dir Makefile src/core test tools
say "== building for $("$PG_CONFIG" --version) in $bindir"
build_for_it
borrow_pgtap
chown -R "$(server_user)": "$work" 2>/dev/null || true
start_under_valgrind
as_server_user "$bindir/psql" -X -q -h "$work/tmp_check" -U postgres -d postgres -v ON_ERROR_STOP=1 <<-END
CREATE DATABASE pgtap;
\c pgtap
CREATE EXTENSION pgtap;
CREATE EXTENSION durable;
END
files=()
for name in $T; do files+=("test/pgtap/$name.sql"); done
status=0
as_server_user env PATH="$bindir:$PATH" PGHOST="$work/tmp_check" PGUSER=postgres CORE_TEST="$work/test/modules/core_test/core_test" \
	perl tools/prove.pl --pgtap "${files[@]}" || status=1
as_server_user "$bindir/pg_ctl" stop -w -m fast -t 300 -D tmp_check/data >/dev/null
if [ -z "${VALGRIND_PG:-}" ]; then
	quietly make -C "$repo" -s PG_CONFIG="$PG_CONFIG" all install	# not the one that was built for this
fi
mkdir -p "$repo/tmp_check/valgrind" && cp log/* "$repo/tmp_check/valgrind/"
say "$(cat log/*.valgrind | grep -cE '^==[0-9]+== (Invalid|Conditional|Use of|Syscall|Source and|Uninit)' || true) reports of valgrind in all"
if find_trouble; then
	die "valgrind has found something, see $repo/tmp_check/valgrind"
fi
say "none of ours"
exit "$status"
