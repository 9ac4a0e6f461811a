#!/usr/bin/env bash
#
# make bench: what durable costs, each case against a bound measured beside it.
# Every case is a file in bench/cases. See bench/README.md.
#
# usage: bench/run.sh    (CASE="steps wal": only these; ROUNDS=5; SLEEPING=1000000)

set -euo pipefail
bench=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tools/lib.sh
source "$bench/../tools/lib.sh"
# shellcheck source=bench/lib.sh
source "$bench/lib.sh"

all="steps steps-noop fanout start latency events timers long suborch payload wide memory old-snapshot sleeping wal idle"

# A case may have something to set up long before it is run.
set_up_case() {
	[ -f "$bench/cases/$1.sh" ] || die "no such case: $1 (there are: $all)"
	# shellcheck source=/dev/null
	[ ! -f "$bench/cases/$1.setup.sh" ] || (source "$bench/cases/$1.setup.sh")
}

run_case() {
	local began=$SECONDS
	say "== $1" >&2
	# shellcheck source=/dev/null
	(source "$bench/cases/$1.sh")
	say "   ($((SECONDS - began)) s)" >&2
}

# The results of this run, in the clone: a directory named by the time, and "latest".
keep_results() {
	local stamp directory
	stamp=$(date +%Y%m%d-%H%M%S)
	directory=$bench/results/$stamp
	mkdir -p "$directory"
	cp results.tsv "$directory/results.tsv"
	cp wal_records.tsv idle_queries.txt "$directory" 2>/dev/null || true
	"$bindir/postgres" --version | perl "$bench/report.pl" "$directory" "$(git -C "$repo" rev-parse --short HEAD 2>/dev/null || echo unknown)"
	ln -sfn "$stamp" "$bench/results/latest"
	say "" "written to ${directory#"$PWD"/}: results.json, results.svg, table.txt"
}

prepare
make_work_dir bench
chmod a+rx "$work"
began=$(date +%s)
for name in ${CASE:-$all}; do set_up_case "$name"; done
for name in ${CASE:-$all}; do run_case "$name"; done
keep_results
say "the whole took $(($(date +%s) - began)) s"
