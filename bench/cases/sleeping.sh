# shellcheck shell=bash
# steps again beside 1,000,000 instances that sleep for a year, with ten history rows each. They are written straight into
# the tables (SLEEPING=n: another number) of a second server; the runs of both servers alternate.
n=${SLEEPING:-1000000}
start_server main
start_server sleeping
SECONDS=0
sql_as postgres -v n="$n" <<-'END'
	SET synchronous_commit = off;
	INSERT INTO durable_store.instances (task_hub, instance_id, execution_id, created_at, updated_at, turn, last_seq, status, name, function, input)
	SELECT 'app', 'sleeper-' || g, gen_random_uuid(), now(), now(), 3, 10, 'running', 'sleep_until', 'app.sleep_until(jsonb)', '{"until": "2100-01-01"}'
	FROM generate_series(1, :n) g;
	INSERT INTO durable_store.history (task_hub, instance_id, generation, seq, turn, turn_at, "timestamp", event_id, task_id, event_type, name, fire_at)
	SELECT 'app', 'sleeper-' || g, 1, s, 1 + s / 4, now(), now(), -1, s, 5, 'write_effect', NULL
	FROM generate_series(1, :n) g, generate_series(1, 10) s;
	INSERT INTO durable_store.inbox (task_hub, instance_id, visible_at, "timestamp", fire_at, execution_id, task_id, event_type)
	SELECT 'app', i.instance_id, now() + '1 year', now(), now() + '1 year', i.execution_id, 11, 11
	FROM durable_store.instances i WHERE i.instance_id LIKE 'sleeper-%';
	VACUUM (ANALYZE, FREEZE) durable_store.instances, durable_store.history, durable_store.inbox;
	CHECKPOINT;
END
load_seconds=$SECONDS
rows=$(super "SELECT count(*) FROM durable_store.history WHERE instance_id LIKE 'sleeper-%'")
[ "$rows" = "$((n * 10))" ] || die "$rows history rows instead of $((n * 10))"
alone() { server=main; steps; }
beside() { server=sleeping; steps; }
alone >/dev/null; beside >/dev/null
alternate alone=alone beside=beside
result sleeping "steps beside $n sleeping, $rows history rows" "$(median beside)" "steps/s" "$(median alone)" "$(ratio beside alone)" ">= 0.9"
result sleeping "making them" "$load_seconds" s "" "" ""
result sleeping "their size" "$(server=sleeping super "SELECT pg_database_size('postgres') / 1048576")" MB "" "" ""
stop_server sleeping
server=main
