-- Conditions on status, name, id and time use an index when there are many rows,
-- although the views are security barriers that join the hubs of the reader.
-- bench/views.sh does the same with a million rows, and tells times.
\ir include/setup.psql
SELECT plan(61);

RESET SESSION AUTHORIZATION;
DO $$
BEGIN
	CREATE ROLE durable_index_other LOGIN;
	CREATE ROLE durable_index_group;
	CREATE ROLE durable_index_monitor LOGIN;
	GRANT pg_monitor TO durable_index_monitor;
EXCEPTION WHEN duplicate_object THEN
	NULL;
END $$;
GRANT durable_index_group TO app;
SELECT durable.grant_usage(r) FROM unnest('{durable_index_other,durable_index_monitor}'::regrole[]) r;
GRANT USAGE ON SCHEMA app TO durable_index_other, durable_index_monitor;

-- Real instances take milliseconds each, so rows are made by hand: five hubs of
-- three owners, 200 names; of a thousand instances 4 are running, 5 have failed.
INSERT INTO durable_store.hubs (task_hub, owner, system_identifier, database_oid)
SELECT hub, owner::regrole, (SELECT system_identifier FROM pg_control_system()), (SELECT oid FROM pg_database WHERE datname = current_database())
FROM (VALUES ('app', 'app'), ('app two', 'app'), ('group', 'durable_index_group'), ('other', 'durable_index_other'), ('other two', 'durable_index_other')) v (hub, owner);
INSERT INTO durable_store.instances (task_hub, instance_id, execution_id, created_at, updated_at, completed_at, status, name, function)
SELECT (ARRAY['app', 'other', 'app two', 'other two', 'group'])[1 + n % 5], 'i' || n, gen_random_uuid(), t, t, CASE WHEN n % 1000 > 3 THEN t END,
	CASE WHEN n % 1000 < 4 THEN 'running' WHEN n % 1000 < 9 THEN 'failed' ELSE 'completed' END,
	'flow_' || n / 5 % 200, 'app.flow(jsonb)'
FROM generate_series(1, 100000) n, LATERAL (SELECT '2026-01-01 00:00+00'::timestamptz + n * interval '1 min') x (t);
INSERT INTO durable_store.history (task_hub, instance_id, generation, seq, turn, turn_at, "timestamp", event_id, event_type)
SELECT task_hub, instance_id, 1, seq, 1, created_at, created_at, -1, 0 FROM durable_store.instances, generate_series(1, 2) seq;
INSERT INTO durable_store.activity_queue (task_hub, instance_id, execution_id, generation, task_id, visible_at, name)
SELECT task_hub, instance_id, execution_id, 1, 1, created_at, name FROM durable_store.instances WHERE instance_id LIKE '%7';
INSERT INTO durable_store.inbox (task_hub, instance_id, visible_at, "timestamp", event_type)
SELECT task_hub, instance_id, created_at, created_at, 15 FROM durable_store.instances WHERE instance_id LIKE '%7';
ANALYZE durable_store.hubs, durable_store.instances, durable_store.history, durable_store.activity_queue, durable_store.inbox;

CREATE TABLE app.queries (n int GENERATED ALWAYS AS IDENTITY, what text, index text, query text);
INSERT INTO app.queries (what, index, query) VALUES
	('an id', 'instances_pkey', $$ SELECT * FROM durable.instances WHERE instance_id = 'i777' $$),
	('a hub and an id', 'instances_pkey', $$ SELECT * FROM durable.instances WHERE task_hub = 'app' AND instance_id = 'i775' $$),
	('ids', 'instances_pkey', $$ SELECT * FROM durable.instances WHERE instance_id IN ('i777', 'i778', 'i779') $$),
	('a status', 'instances_status', $$ SELECT instance_id, input FROM durable.instances WHERE status = 'running' $$),
	('statuses', 'instances_status', $$ SELECT instance_id, input FROM durable.instances WHERE status IN ('running', 'failed') $$),
	('a status since a time', 'instances_status', $$ SELECT instance_id, failure FROM durable.instances WHERE status = 'failed' AND created_at > '2026-03-01 00:00+00' $$),
	('a name', 'instances_name', $$ SELECT instance_id, output FROM durable.instances WHERE name = 'flow_77' $$),
	('a name since a time', 'instances_name', $$ SELECT instance_id, output FROM durable.instances WHERE name = 'flow_77' AND created_at > '2026-03-01 00:00+00' $$),
	('a time of creation', 'instances_created', $$ SELECT * FROM durable.instances WHERE created_at = '2026-02-01 00:00+00' $$),
	('times of creation', 'instances_created', $$ SELECT * FROM durable.instances WHERE created_at >= '2026-02-01 00:00+00' AND created_at < '2026-02-01 03:00+00' $$),
	('times of completion', 'instances_completed', $$ SELECT * FROM durable.instances WHERE completed_at BETWEEN '2026-02-01 00:00+00' AND '2026-02-01 03:00+00' $$),
	('the history of an id', 'history_pkey', $$ SELECT * FROM durable.history WHERE instance_id = 'i777' ORDER BY seq $$),
	('the activities of an id', 'activity_queue_pkey', $$ SELECT * FROM durable.activities WHERE instance_id = 'i777' $$),
	('the messages of an id', 'inbox_pkey', $$ SELECT * FROM durable.messages WHERE instance_id = 'i777' $$);
GRANT SELECT ON app.queries TO PUBLIC;

-- The plan is good if it uses the index and reads none of the large tables as a whole.
CREATE FUNCTION app.verdict(query text, index text) RETURNS text LANGUAGE plpgsql AS
$$
DECLARE
	plan text := '';
	line text;
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP
		plan := plan || E'\n' || line;
	END LOOP;
	RETURN CASE WHEN plan ~ ('Index.* Scan (using|on) ' || index)
		AND plan !~ 'Seq Scan on (instances|history|activity_queue|inbox)' THEN index ELSE plan END;
END $$;

SET SESSION AUTHORIZATION app;
SELECT is(verdict(query, index), index, format('a role with three hubs, condition on %s', what)) FROM queries ORDER BY n;
SET SESSION AUTHORIZATION durable_index_other;
SET search_path = app, public;
SELECT is(verdict(query, index), index, format('a role with two hubs, condition on %s', what)) FROM queries ORDER BY n;
SET SESSION AUTHORIZATION durable_index_monitor;
SELECT is(verdict(query, index), index, format('a monitor, condition on %s', what)) FROM queries ORDER BY n;
RESET SESSION AUTHORIZATION;
SELECT is(verdict(query, index), index, format('a superuser, condition on %s', what)) FROM queries ORDER BY n;

-- A parameter instead of a constant, also when it is used again and again: a status
-- alone has so few values that the generic plan is not taken; the others' are good.
SET SESSION AUTHORIZATION app;
PREPARE by_status(text) AS SELECT instance_id FROM durable.instances WHERE status = $1;
SELECT is((SELECT string_agg(DISTINCT verdict('EXECUTE by_status(''running'')', 'instances_status'), '') FROM generate_series(1, 10)),
	'instances_status', 'a status as a parameter');
SET plan_cache_mode = force_generic_plan;
PREPARE by_name(text) AS SELECT instance_id FROM durable.instances WHERE name = $1;
PREPARE since(timestamptz) AS SELECT instance_id FROM durable.instances WHERE created_at = $1;
SELECT is(verdict('EXECUTE by_name(''flow_77'')', 'instances_name'), 'instances_name', 'a name as a parameter');
SELECT is(verdict('EXECUTE since(''2026-02-01'')', 'instances_created'), 'instances_created', 'a time as a parameter');
-- All rows are counted without a look at what is not asked for.
SELECT is((SELECT count(*) FROM durable.instances WHERE status = 'failed'), 300::bigint, 'the reader sees the failed ones of its three hubs');
SELECT is((SELECT count(*) FROM durable.instances), 60000::bigint, 'and all others');

SELECT * FROM finish();
