#!/usr/bin/env bash
#
# What durable.orchestrator_checks cost a turn: the median time of an
# orchestrator of 100 waits in one session, with and without them, by turns.
#
# usage: bench/checks.sh    (builds, installs and starts a throw-away server)

set -euo pipefail
# shellcheck source=tools/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../tools/lib.sh"

rounds=${ROUNDS:-15}

start_server() {
	quietly as_server_user "$bindir/initdb" -D data -U postgres -A trust --no-locale --encoding=UTF8
	as_server_user tee -a data/postgresql.conf >/dev/null <<-END
	listen_addresses = ''
	unix_socket_directories = '$work'
	shared_preload_libraries = 'durable'
	durable.enabled = off
	autovacuum = off
	END
	quietly as_server_user "$bindir/pg_ctl" start -w -D data -l log
}

sql() { as_server_user "$bindir/psql" -X -qAt -h "$work" -U "$1" -d postgres -v ON_ERROR_STOP=1 -c "$2"; }

prepare_database() {
	sql postgres "CREATE EXTENSION durable; CREATE ROLE app LOGIN; GRANT CREATE ON SCHEMA public TO app" >/dev/null
	sql postgres "SELECT durable.grant_usage('app')" >/dev/null
	sql app "CREATE FUNCTION add_up(total int, step int) RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN total + step; END';
		CREATE FUNCTION steps(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS 'DECLARE total int := 0; got jsonb; BEGIN
			FOR i IN 1 .. 100 LOOP
				got := durable.wait_for_event(''go'');
				total := add_up(total, (got ->> ''step'')::int);
				IF total < 0 THEN RAISE ''negative''; END IF;
			END LOOP;
			RETURN to_jsonb(total); END'"
}

# One session, so that plans are kept; pairs of runs, so that noise meets both. One turn replays from the top: each event is a turn of its own.
measure() {
	{
		for ((i = 1; i <= rounds; i++)); do
			for mode in off error; do
				echo "SET durable.orchestrator_checks = $mode;"
				echo "SELECT durable.start_instance('steps', instance_id => '$mode$i') \\g /dev/null"
				for ((e = 1; e <= 100; e++)); do
					echo "SELECT durable.raise_event('$mode$i', 'go', '{\"step\": 1}') \\g /dev/null"
					echo "SELECT clock_timestamp() AS t0 \\gset"
					echo "SELECT durable.run_until_idle() \\g /dev/null"
					echo "SELECT '$mode', extract(epoch FROM clock_timestamp() - :'t0') * 1000000;"
				done
			done
		done
	} | as_server_user "$bindir/psql" -X -qAt -h "$work" -U app -d postgres -v ON_ERROR_STOP=1 >times
}

median() { grep "^$1|" times | cut -d'|' -f2 | sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }

prepare
make_work_dir
start_server
prepare_database
measure
awk -v off="$(median off)" -v on="$(median error)" 'BEGIN {
	printf "a turn without checks, median    %6d us\n", off
	printf "a turn with checks, median       %6d us  %.2f times\n", on, on / off }'
