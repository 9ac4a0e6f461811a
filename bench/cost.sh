#!/usr/bin/env bash
#
# What a step costs: latency of a one-activity instance on an idle server
# against a bare committed insert, statements and WAL bytes for an activity
# step, and what an idle server does. Prints ratios and exact counts.
#
# usage: bench/cost.sh    (builds, installs and starts a throw-away server)

set -euo pipefail
# shellcheck source=tools/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../tools/lib.sh"

runs=${RUNS:-1000}
idle_seconds=${IDLE_SECONDS:-60}

start_server() {
	quietly as_server_user "$bindir/initdb" -D data -U postgres -A trust --no-locale --encoding=UTF8
	as_server_user tee -a data/postgresql.conf >/dev/null <<-END
	listen_addresses = ''
	unix_socket_directories = '$work'
	shared_preload_libraries = 'durable, pg_stat_statements'
	pg_stat_statements.track = all
	autovacuum = off
	END
	quietly as_server_user "$bindir/pg_ctl" start -w -D data -l log
}

sql() { as_server_user "$bindir/psql" -X -qAt -h "$work" -U "$1" -d postgres -v ON_ERROR_STOP=1 -c "$2"; }

prepare_database() {
	sql postgres "CREATE EXTENSION pg_stat_statements; CREATE EXTENSION durable; CREATE ROLE app LOGIN;
		GRANT CREATE ON SCHEMA public TO app" >/dev/null
	sql postgres "SELECT durable.grant_usage('app')" >/dev/null
	sql app "CREATE TABLE bare (x int);
		CREATE FUNCTION noop(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS 'BEGIN RETURN input; END';
		CREATE FUNCTION one(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
			'BEGIN RETURN durable.call_activity(''noop'', input); END';
		CREATE FUNCTION ten(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
			'BEGIN FOR i IN 1 .. 10 LOOP PERFORM durable.call_activity(''noop'', input); END LOOP; RETURN input; END'"
}

# Median over the runs of a pgbench script, in microseconds: of the whole, or of the part after the commit of the start.
median() {
	as_server_user "$bindir/pgbench" -h "$work" -U app -n -t "$runs" -f "$1" -l --log-prefix="$1" postgres >/dev/null 2>&1
	cat "$1".* | awk '{ print $3 }' | sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'
	rm -f "$1".*
}

write_scripts() {
	as_server_user tee bare.sql >/dev/null <<<'INSERT INTO bare VALUES (1);'
	as_server_user tee start.sql >/dev/null <<-'END'
	\set n random(1, 1000000000000)
	SELECT durable.start_instance('one', '1', instance_id => (:n)::text);
	END
	as_server_user tee start_and_wait.sql >/dev/null <<-'END'
	\set n random(1, 1000000000000)
	SELECT durable.start_instance('one', '1', instance_id => (:n)::text);
	SELECT status FROM durable.wait_for_completion((:n)::text);
	END
}

measure_latency() {
	local bare whole start
	median start_and_wait.sql >/dev/null			# warm
	bare=$(median bare.sql)
	whole=$(median start_and_wait.sql)
	start=$(median start.sql)
	until [ "$(sql app "SELECT count(*) FROM durable.instances WHERE status <> 'completed'")" = 0 ]; do sleep 0.2; done
	awk -v bare="$bare" -v whole="$whole" -v start="$start" 'BEGIN {
		printf "bare committed insert, median                     %6d us\n", bare
		printf "start_instance + wait_for_completion, median      %6d us  %.1f times the insert\n", whole, whole / bare
		printf "of it from the commit of start_instance           %6d us  %.1f times\n", whole - start, (whole - start) / bare }'
}

counters() { sql postgres "SELECT sum(calls) FILTER (WHERE NOT toplevel OR true), (pg_current_wal_insert_lsn() - '0/0')::bigint FROM pg_stat_statements" | tr '|' ' '; }

# Differences over 100 instances of ten steps each, started beforehand with the hub paused.
measure_step() {
	local calls0 wal0 calls1 wal1
	sql app "SELECT durable.pause_hub('app')" >/dev/null
	sql app "SELECT count(durable.start_instance('ten', '1', 't' || g)) FROM generate_series(1, 100) g" >/dev/null
	sql postgres "CHECKPOINT; SELECT pg_stat_statements_reset()" >/dev/null
	read -r calls0 wal0 < <(counters)
	sql app "SELECT durable.resume_hub('app')" >/dev/null
	until [ "$(sql app "SELECT count(*) FROM durable.instances WHERE name = 'ten' AND status = 'completed'")" = 100 ]; do sleep 0.1; done
	read -r calls1 wal1 < <(counters)
	awk -v calls="$((calls1 - calls0))" -v wal="$((wal1 - wal0))" 'BEGIN {
		printf "statements for an activity step                   %6.1f\n", calls / 1000
		printf "WAL bytes for an activity step                    %6d\n", wal / 1000 }'
}

measure_idle() {
	local calls0 wal0 calls1 wal1
	sql postgres "SELECT pg_stat_statements_reset()" >/dev/null
	read -r calls0 wal0 < <(counters)
	sleep "$idle_seconds"
	read -r calls1 wal1 < <(counters)
	printf 'an idle server in %s s: %s statements (ours among them), %s bytes of WAL\n' \
		"$idle_seconds" "$((calls1 - calls0))" "$((wal1 - wal0))"
}

prepare
make_work_dir
start_server
prepare_database
write_scripts
measure_latency
measure_step
measure_idle
