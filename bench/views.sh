#!/usr/bin/env bash
#
# What looking costs when there are many instances: times and indexes of
# conditions on the views, as an ordinary role with three of five hubs, as a
# member of pg_monitor, and as a superuser. The same plans are asserted with
# fewer rows in test/pgtap/views_index.sql.
#
# usage: bench/views.sh    (builds, installs and starts a throw-away server; ROWS=1000000)

set -euo pipefail
# shellcheck source=tools/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../tools/lib.sh"

rows=${ROWS:-1000000}

start_server() {
	quietly as_server_user "$bindir/initdb" -D data -U postgres -A trust --no-locale --encoding=UTF8
	as_server_user tee -a data/postgresql.conf >/dev/null <<-END
	listen_addresses = ''
	unix_socket_directories = '$work'
	shared_preload_libraries = 'durable'
	durable.enabled = off
	max_wal_size = 8GB
	END
	quietly as_server_user "$bindir/pg_ctl" start -w -D data -l log
}

psql_as() {
	local role=$1
	shift
	as_server_user "$bindir/psql" -X -qAt -h "$work" -U "$role" -d postgres -v ON_ERROR_STOP=1 "$@"
}

# Five hubs of three owners, 200 names; of a thousand instances 4 are running, 5 have failed.
fill() {
	psql_as postgres -v rows="$rows" >/dev/null <<-'END'
	CREATE EXTENSION durable;
	CREATE ROLE app LOGIN; CREATE ROLE other LOGIN; CREATE ROLE team; CREATE ROLE monitor LOGIN;
	GRANT team TO app; GRANT pg_monitor TO monitor;
	SELECT durable.grant_usage(r) FROM unnest('{app,other,monitor}'::regrole[]) r;
	INSERT INTO durable_store.hubs (task_hub, owner, system_identifier, database_oid)
	SELECT hub, owner::regrole, (SELECT system_identifier FROM pg_control_system()), (SELECT oid FROM pg_database WHERE datname = current_database())
	FROM (VALUES ('app', 'app'), ('app two', 'app'), ('team', 'team'), ('other', 'other'), ('other two', 'other')) v (hub, owner);
	INSERT INTO durable_store.instances (task_hub, instance_id, execution_id, created_at, updated_at, completed_at, status, name, function, input, output)
	SELECT (ARRAY['app', 'other', 'app two', 'other two', 'team'])[1 + n % 5], 'i' || n, gen_random_uuid(), t, t, CASE WHEN n % 1000 > 3 THEN t END,
		CASE WHEN n % 1000 < 4 THEN 'running' WHEN n % 1000 < 9 THEN 'failed' ELSE 'completed' END,
		'flow_' || n / 5 % 200, 'app.flow(jsonb)', '{"sku": "a", "qty": 1}', '{"status": "shipped"}'
	FROM generate_series(1, :rows) n, LATERAL (SELECT '2026-01-01 00:00+00'::timestamptz + n * interval '1 s') x (t);
	INSERT INTO durable_store.history (task_hub, instance_id, generation, seq, turn, turn_at, "timestamp", event_id, event_type)
	SELECT task_hub, instance_id, 1, 1, 1, created_at, created_at, -1, 0 FROM durable_store.instances;
	VACUUM ANALYZE;
	END
}

queries="SELECT * FROM durable.instances WHERE instance_id = 'i777'
SELECT instance_id, input FROM durable.instances WHERE status = 'running'
SELECT instance_id, failure FROM durable.instances WHERE status = 'failed' AND created_at > '2026-01-01 12:00+00'
SELECT instance_id, output FROM durable.instances WHERE name = 'flow_77'
SELECT * FROM durable.instances WHERE created_at BETWEEN '2026-01-01 06:00+00' AND '2026-01-01 06:10+00'
SELECT * FROM durable.instances WHERE completed_at BETWEEN '2026-01-01 06:00+00' AND '2026-01-01 06:10+00'
SELECT instance_id FROM durable.instances WHERE created_at > '2026-01-01 06:00+00' AND created_at < '2026-01-01 06:10+00' ORDER BY created_at DESC LIMIT 10
SELECT * FROM durable.history WHERE instance_id = 'i777'
SELECT status, count(*) FROM durable.instances GROUP BY status
SELECT count(input) FROM durable.instances"

# The second of two runs, so that it is the processor's time and not the disk's.
measure() {
	local role=$1 query plan
	printf '\n%s\n' "$role"
	while IFS= read -r query; do
		plan=$(psql_as "$role" -c "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) $query" -c "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) $query")
		printf '%10.3f ms  %-22s %s\n' \
			"$(sed -n 's/^Execution Time: \(.*\) ms/\1/p' <<<"$plan" | tail -n 1)" \
			"$(grep -oE '(instances|history)_[a-z]+|Seq Scan on (instances|history)' <<<"$plan" | head -n 1)" "$query"
	done <<<"$queries"
}

prepare
make_work_dir
start_server
SECONDS=0
fill
printf '%d instances, made in %d s\n' "$rows" "$SECONDS"
psql_as postgres -c "SELECT format('%s: %s', relname, pg_size_pretty(pg_relation_size(oid))) FROM pg_class
	WHERE relnamespace = 'durable_store'::regnamespace AND relname LIKE 'instances%' AND relkind IN ('r', 'i') ORDER BY relname"
measure app
measure monitor
measure postgres
