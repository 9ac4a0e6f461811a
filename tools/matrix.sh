#!/usr/bin/env bash
#
# Builds and tests on several PostgreSQL versions, each in the Debian release
# that has it: this machine if PG_CONFIG is of the version, else a chroot that
# tools/chroot.sh makes. The last line is "N passed, N failed", over all; what
# cannot be made, or runs nothing, has failed.
#
# usage: matrix.sh [15|17|18|here][:suite,suite...]...
#        here: what tools/test.sh finds on this machine
#        T=name: only the tests of that name; MATRIX_SECONDS: for all together

set -euo pipefail
# shellcheck source=tools/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

total_passed=0
total_failed=0
summary=()

# Is PG_CONFIG, or what tools/install-deps.sh would install, of the version?
is_here() {
	if [ "$1" = here ]; then
		return 0
	elif find_pg_config; then
		[ "$("$PG_CONFIG" --version | sed 's/[^0-9]*\([0-9]*\).*/\1/')" = "$1" ]
	else
		[ "$1" = 15 ] && grep -q '^VERSION_CODENAME=bookworm$' /etc/os-release
	fi
}

# What chroot.sh needs of the caller's environment comes through sudo.
in_chroot() {
	as_root env T="${T:-}" DURABLE_MATRIX_DIR="${DURABLE_MATRIX_DIR:-}" DURABLE_MATRIX_MIRROR="${DURABLE_MATRIX_MIRROR:-}" \
		http_proxy="${http_proxy:-}" bash "$repo/tools/chroot.sh" "$@"
}

keep_results() {
	rm -rf "$repo/tmp_check/$1" && mkdir -p "$repo/tmp_check/$1" || return 0
	in_chroot results "$1" 2>/dev/null | tar -C "$repo/tmp_check/$1" --no-same-owner -xf - 2>/dev/null || true
}

run_part() {
	local version=$1
	shift
	if is_here "$version"; then
		bash "$repo/tools/test.sh" "$@"
	else
		in_chroot make "$version" && in_chroot run "$version" bash tools/test.sh "$@"
	fi
}

# Seconds left for the next part.
time_left() {
	local left=$((${MATRIX_SECONDS:-86400} - SECONDS))
	echo $((left > 1 ? left : 1))
}

# Runs itself with --part, under the clock. Its closing line is not the last one.
tally() {
	local part=$1 log status=0 passed=0 failed=0
	log=$(mktemp)
	say "==== $part"
	timeout --kill-after=30 "$(time_left)" bash "$repo/tools/matrix.sh" --part "$part" 2>&1 |
		tee "$log" | { grep -Ev --line-buffered '^[0-9]+ passed, [0-9]+ failed$' || true; } || status=$?
	if [[ $(tail -n 1 "$log") =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed$ ]]; then
		passed=${BASH_REMATCH[1]}
		failed=${BASH_REMATCH[2]}
	fi
	if [ "$failed" = 0 ] && { [ "$status" != 0 ] || [ "$passed" = 0 ]; }; then
		failed=1
		[ "$status" != 124 ] || say "$part: no time left"
	fi
	rm -f "$log"
	total_passed=$((total_passed + passed))
	total_failed=$((total_failed + failed))
	summary+=("$part: passed $passed, failed $failed")
}

if [ "${1:-}" = --part ]; then
	IFS=, read -r -a suites <<<"$(case $2 in *:*) echo "${2#*:}" ;; esac)"
	status=0
	run_part "${2%%:*}" "${suites[@]}" || status=$?
	exit "$status"
fi

[ $# -gt 0 ] || set -- 15 17 18
for part in "$@"; do
	tally "$part"
	is_here "${part%%:*}" || keep_results "${part%%:*}"
done
say "==== summary" "${summary[@]}"
say "$total_passed passed, $total_failed failed"
[ "$total_failed" = 0 ]
