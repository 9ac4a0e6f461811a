#!/usr/bin/env bash
#
# Random queries of sqlsmith against a database with the extension, as a role
# that has a hub with instances in every state. Fails when the server crashes,
# or when our code raises an internal error (XX000).
#
# usage: MINUTES=n [SEED=n] [SQLSMITH=path] sqlsmith.sh

set -euo pipefail
# shellcheck source=tools/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

MINUTES=${MINUTES:-5}
SEED=${SEED:-$RANDOM}

start_server() {
	local data=tmp_check/data
	as_server_user mkdir -p tmp_check log
	quietly as_server_user "$bindir/initdb" -D "$data" -U postgres -A trust --no-locale --encoding=UTF8 --no-sync
	as_server_user tee -a "$data/postgresql.conf" >/dev/null <<-END
	listen_addresses = ''
	unix_socket_directories = '$work/tmp_check'
	fsync = off
	statement_timeout = 2s
	log_statement = none
	log_min_error_statement = error
	log_error_verbosity = verbose
	include '$work/test/durable.conf'
	END
	quietly as_server_user "$bindir/pg_ctl" start -w -D "$data" -l log/postmaster.log
}

psql_as() { as_server_user "$bindir/psql" -X -q -h "$work/tmp_check" -d postgres -v ON_ERROR_STOP=1 -U "$@"; }

# Something in every table that the views show.
make_data() {
	psql_as postgres -c 'CREATE EXTENSION durable' -c 'CREATE ROLE smith LOGIN' -c "SELECT durable.grant_usage('smith')" -c 'CREATE SCHEMA smith AUTHORIZATION smith' >/dev/null
	psql_as smith >/dev/null <<-'END'
	CREATE FUNCTION act(v int) RETURNS int LANGUAGE sql AS 'SELECT 10 / v';
	CREATE FUNCTION go(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
	BEGIN
		PERFORM durable.call_activity('act', jsonb_build_object('v', input));
		PERFORM durable.schedule_suborchestrator('go', '0', durable.instance_id() || '/child');
		PERFORM durable.set_custom_status(input);
		RETURN durable.wait_for_event('go', '1 day');
	END $$;
	SELECT durable.register_orchestrator('go', 'go(jsonb)'), durable.register_activity('act', 'act(int)', retry => durable.retry_policy(2));
	SELECT durable.start_instance('go', to_jsonb(n % 4), instance_id => 'i' || n, tags => '{"a": "1"}') FROM generate_series(1, 20) n;
	SELECT durable.run_until_idle();
	SELECT durable.raise_event('i' || n, 'go', '[1, {"a": 2}]') FROM generate_series(1, 6) n;
	SELECT durable.run_until_idle();
	SELECT durable.terminate('i9'), durable.suspend('i10'), durable.raise_event('i11', 'go');
	SELECT durable.import_history(durable.export_history('i1'), 'imported');
	SELECT durable.start_instance('go', '1', start_at => now() + interval '1 day');
	END
}

# Crashes, and internal errors that our files raise or that name what is ours. (PostgreSQL has some of its own.)
find_trouble() {
	grep -nE 'PANIC|TRAP:|terminated by signal' log/postmaster.log && return 0
	awk '/ XX[0-9A-Z][0-9A-Z][0-9A-Z]: / { error = $0; next }
		error != "" && / LOCATION: / {
			if ($0 ~ ours) { print error; print; found = 1 }
			error = ""
		}
		END { exit !found }' ours="$(cd src && find . -name '*.c' -printf '%f\n' | paste -sd '|' | sed 's/\./\\./g')" log/postmaster.log
}

prepare
SQLSMITH=${SQLSMITH:-$(command -v sqlsmith || true)}
if [ -z "$SQLSMITH" ]; then
	bash "$repo/tools/install-deps.sh" sqlsmith
	SQLSMITH=$(command -v sqlsmith)
fi
make_work_dir src test
start_server
make_data
say "== sqlsmith for $MINUTES min, SEED=$SEED"
as_server_user timeout "$((MINUTES * 60))" env LD_LIBRARY_PATH="${LD_LIBRARY_PATH:-}" "$SQLSMITH" --seed="$SEED" --exclude-catalog --verbose \
	--target="host=$work/tmp_check dbname=postgres user=smith" >sqlsmith.out 2>&1 || status=$?
if [ "${status:-0}" != 124 ]; then
	tail -5 sqlsmith.out
	grep -nE 'PANIC|terminated by signal' -A3 log/postmaster.log || true
	die "sqlsmith ended early"
fi
keep=$repo/tmp_check/sqlsmith
mkdir -p "$keep" && cp log/postmaster.log sqlsmith.out "$keep/"
queries=$(grep -cE 'ERROR: ' log/postmaster.log || true)
internal=$(grep -cE ' XX[0-9A-Z]{3}: ' log/postmaster.log || true)
ran=$(psql_as postgres -At -c "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = 'postgres'")
say "$ran transactions, $queries errors, $internal of them internal ones, of whomever"
if find_trouble; then
	die "crashes or internal errors, see $keep/postmaster.log"
fi
say "no crash, no internal error of ours"
