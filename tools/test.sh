#!/usr/bin/env bash
#
# Runs test suites, each on servers of its own, all of them even when one
# fails. The last line is "N passed, N failed", summed over the suites.
#
# usage: test.sh [regress|isolation|pgtap|replay|deep|ubsan|tap|packaging]...
#        T=name: only the tests of that name; SUITE_TIMEOUT: seconds for a suite
#        TAP_JOBS: files of the TAP suite at a time, 2 unless told
#        SEED=n, CASES=n: what "deep" generates
#
# What the suites leave (results, diffs, logs) is kept in tmp_check/<suite>.

set -euo pipefail
# shellcheck source=tools/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

T=${T:-}
total_passed=0
total_failed=0
failures=()

# --- the suites: each writes to stdout, and returns non-zero on failure -------

installcheck() {
	as_server_user timeout --foreground "${SUITE_TIMEOUT:-1500}" \
		make -s --no-print-directory -C "$work" installcheck PG_CONFIG="$PG_CONFIG" T="$T" "$@"
}

run_regress() {
	expect_something test/sql/*.sql
	installcheck ISOLATION= TAP_TESTS=
}

run_isolation() {
	expect_something test/specs/*.spec
	installcheck REGRESS= TAP_TESTS=
}

# A test without an expected file would end pg_regress: let it just fail.
expect_something() {
	local file name
	for file in "$@"; do
		name=${file##*/}
		name=${name%.*}
		[ -e "test/expected/$name.out" ] || as_server_user touch -a "expected/$name.out"
	done
}

# As the caller, who can read the tree.
run_packaging() {
	local files
	mapfile -t files < <(compgen -G "test/packaging/${T:-*}.pl" | sort)
	SOURCE=$repo PG_CONFIG=$PG_CONFIG timeout --foreground "${SUITE_TIMEOUT:-1500}" perl tools/prove.pl "${files[@]}"
}

# Each file has servers of its own, and mostly waits: two at a time.
run_tap() { installcheck REGRESS= ISOLATION= PROVE="perl tools/prove.pl --jobs=${TAP_JOBS:-2}"; }

run_pgtap() {
	local files status=0
	mapfile -t files < <(compgen -G "test/${pgtap_dir:-pgtap}/${T:-*}.sql" | sort)
	[ -z "${pgtap_files-}" ] || files=("${pgtap_files[@]}")
	start_pgtap_server || return 1
	as_server_user env PATH="$bindir:$PATH" PGHOST="$work/tmp_check" PGUSER=postgres PGOPTIONS="${pgtap_options:-}" \
		CORE_TEST="$work/test/modules/core_test/core_test" \
		timeout --foreground "${SUITE_TIMEOUT:-1500}" perl tools/prove.pl --pgtap "${files[@]}" || status=$?
	stop_servers
	return "$status"
}

# The same with every turn run twice: a replay must come to the same.
run_replay() {
	local pgtap_options='-c durable.double_replay=on'
	run_pgtap
}

# Generated cases, many of them.
run_deep() {
	local pgtap_dir=deep
	run_pgtap
}

# The library built so that undefined behaviour of C ends the process, in a PostgreSQL
# of its own: a copy beside which nothing is installed. pg_regress, and the pgTAP
# tests that go through most of the code.
ubsan_tests='check_orchestrator checks continue_as_new core_decisions core_reconcile core_state core_retry determinism divergence
	edge_cases events export failures hostile pinned_code properties query retry rewind split suborchestrations timers versions views'

run_ubsan() {
	local status=0 name pgtap_files=() PG_CONFIG=$PG_CONFIG bindir=$bindir
	make_sanitized || return 1
	for name in $ubsan_tests; do
		[ "$name" != "${T:-$name}" ] || pgtap_files+=("test/pgtap/$name.sql")
	done
	if has_tests regress; then
		run_regress || status=1
	fi
	if [ ${#pgtap_files[@]} -gt 0 ]; then
		run_pgtap || status=1
	fi
	if grep -r 'runtime error:' log; then
		status=1
	fi
	return "$status"
}

# Copies PostgreSQL, builds and installs there, and makes PG_CONFIG and bindir those of the copy.
make_sanitized() {
	local root=$work/sanitized part dir
	for part in bindir pkglibdir sharedir; do
		dir=$("$PG_CONFIG" "--$part")
		mkdir -p "$root${dir%/*}" && cp -R "$dir" "$root${dir%/*}/" || return 1
	done
	dir=$("$PG_CONFIG" --includedir-server)
	dir=${dir%/*/*}
	mkdir -p "$root${dir%/*}" && ln -s "$dir" "$root$dir" || return 1
	PG_CONFIG=$root$("$PG_CONFIG" --bindir)/pg_config
	bindir=$("$PG_CONFIG" --bindir)
	mkdir "$work/sanitized/tree" && cp -R "$repo"/{Makefile,META.json,src,sql,test,tools,durable.control,durable_pgtap.control} "$work/sanitized/tree/" || return 1
	find "$work/sanitized/tree" \( -name '*.o' -o -name '*.so' \) -delete
	for part in all test-modules install; do
		quietly make -C "$work/sanitized/tree" -s -j"$(nproc)" PG_CONFIG="$PG_CONFIG" T= COPT="$sanitize" "$part" || return 1
	done
	cp "$work/sanitized/tree/test/modules/core_test/core_test.so" "$work/test/modules/core_test/"
	if is_root; then
		chown -R "$(server_user)": "$root"
	fi
}
sanitize='-fsanitize=undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer'

# A server as pg_regress would make it, with a template for the tests' databases.
start_pgtap_server() {
	local data=tmp_check/pgtap
	as_server_user mkdir -p tmp_check log
	quietly as_server_user "$bindir/initdb" -D "$data" -U postgres -A trust --no-locale --encoding=UTF8 --no-sync || return 1
	as_server_user tee -a "$data/postgresql.conf" >/dev/null <<-END || return 1
	listen_addresses = ''
	unix_socket_directories = '$work/tmp_check'
	fsync = off
	include '$work/test/durable.conf'
	END
	quietly as_server_user "$bindir/pg_ctl" start -w -D "$data" -l log/postmaster.log || return 1
	as_server_user "$bindir/psql" -X -q -h "$work/tmp_check" -U postgres -d postgres -v ON_ERROR_STOP=1 <<-END
	CREATE DATABASE pgtap;
	\c pgtap
	CREATE EXTENSION pgtap;
	CREATE EXTENSION durable;
	END
}

# --- counting -------------------------------------------------------------------

has_tests() {
	case $1 in
		regress) compgen -G "$work/test/sql/${T:-*}.sql" ;;
		ubsan) has_tests regress || grep -qw -- "$T" <<<"$ubsan_tests" ;;
		isolation) compgen -G "$work/test/specs/${T:-*}.spec" ;;
		pgtap | replay) compgen -G "$work/test/pgtap/${T:-*}.sql" ;;
		deep) compgen -G "$work/test/deep/${T:-*}.sql" ;;
		tap) compgen -G "$work/test/t/${T:-*}.pl" ;;
		packaging) compgen -G "$work/test/packaging/${T:-*}.pl" ;;
		*) die "no such suite: $1" ;;
	esac >/dev/null
}

# Prints "passed failed" from a log: of prove.pl, or of pg_regress ("test x ...
# ok" up to 15, "ok 1 - x" since 16).
count() {
	awk '/^# counts: / { passed += $3; failed += $4 }
		/^ok [0-9]/ || / \.\.\. ok( |$)/ { passed++ }
		/^not ok [0-9]/ || / \.\.\. FAILED/ { failed++ }
		END { print passed + 0, failed + 0 }' "$1"
}

# --- a suite ------------------------------------------------------------------------

# The diffs; of the logs what helps: a server's when there is no diff or it
# crashed, a Perl test's when it has a failure.
show_failure() {
	local suite=$1 file lines
	for file in regression.diffs log/*.log tmp_check/log/regress_log_*; do
		[ -s "$file" ] || continue
		lines=40
		case $file in
			regression.diffs) lines=150 ;;
			log/initdb.log) [ ! -e log/postmaster.log ] || continue ;;
			log/*) [ ! -s regression.diffs ] || grep -q 'PANIC\|TRAP\|terminated by signal' "$file" || continue ;;
			*) grep -q '^\[.*not ok \|^#.*Failed\|died' "$file" || continue ;;
		esac
		say "---- $suite: the end of $file"
		tail -n "$lines" "$file"
	done
}

# Keeps results and logs, not data directories, where the developer finds them.
keep_results() {
	local suite=$1 kept=$repo/tmp_check/$1 file
	rm -rf "$kept" && mkdir -p "$kept" || return 0
	for file in results regression.diffs log tmp_check/log; do
		[ ! -e "$file" ] || cp -R "$file" "$kept/"
	done
	cp "$suite.log" "$kept/output.log"
}

run_suite() {
	local suite=$1 status=0 passed failed
	if ! has_tests "$suite"; then
		if [ -z "$T" ]; then
			say "== $suite: no tests"
			failures+=("$suite ran nothing")
			total_failed=$((total_failed + 1))
		fi
		return 0
	fi

	say "== $suite"
	"run_$suite" 2>&1 | tee "$suite.log" | grep -v '^# counts: ' || status=1
	read -r passed failed < <(count "$suite.log")
	if [ "$failed" = 0 ] && { [ "$status" != 0 ] || [ "$passed" = 0 ]; }; then
		failed=1
	fi
	if [ "$failed" != 0 ]; then
		show_failure "$suite"
		failures+=("$suite: $failed failed, see tmp_check/$suite")
	fi
	keep_results "$suite"
	stop_servers
	as_server_user rm -rf results regression.diffs regression.out log tmp_check tmp_check_iso output_iso
	total_passed=$((total_passed + passed))
	total_failed=$((total_failed + failed))
}

# Libraries that only tests load, from the copy of the tree: built as the caller, not installed.
build_modules() {
	case " $* " in
		*' pgtap '* | *' replay '* | *' ubsan '* | *' tap '*) quietly make -C "$repo" -s PG_CONFIG="$PG_CONFIG" test-modules ;;
	esac
}

[ $# -gt 0 ] || set -- regress isolation pgtap replay deep ubsan tap packaging
prepare
build_modules "$@"
make_work_dir Makefile README.md docs src/errors.h src/client src/core src/dispatch src/replay src/store src/worker test expected tools
[ -d expected ] || as_server_user mkdir expected
for suite in "$@"; do
	run_suite "$suite"
done
if [ $((total_passed + total_failed)) = 0 ]; then
	failures+=("no test is named ${T:-?}")
	total_failed=1
fi
if [ ${#failures[@]} -gt 0 ]; then
	say
	say "== failures"
	printf '%s\n' "${failures[@]}"
fi
say "$total_passed passed, $total_failed failed"
[ "$total_failed" = 0 ]
