-- The engine's statements find their rows by the indexes that are meant for
-- them, whether their plans were made when the tables were empty or when they
-- were large, and although there are indexes for the views, which a planner may
-- take for as good. What is counted is what was read: a plan that reads all of a
-- hub reads more than all the work together.
\ir include/setup.psql
SELECT plan(16);

CREATE FUNCTION app.work(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN input; END $$;
CREATE FUNCTION app.fails(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RAISE 'on purpose'; END $$;
CREATE FUNCTION app.child(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN durable.call_activity('work', input); END $$;
CREATE FUNCTION app.everything(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	tasks durable.task[];
BEGIN
	FOR i IN 1 .. 5 LOOP
		tasks[i] := durable.schedule_activity('work', to_jsonb(i));
	END LOOP;
	PERFORM durable.await_all(tasks);
	PERFORM durable.call_suborchestrator('child', '1');
	PERFORM durable.sleep('0');
	PERFORM durable.wait_for_event('go');
	BEGIN
		PERFORM durable.call_activity('fails');
	EXCEPTION WHEN OTHERS THEN
		NULL;
	END;
	IF input = '1' THEN
		PERFORM durable.continue_as_new('2');
	END IF;
	RETURN 'true';
END $$;

-- What has been read of the large tables so far.
CREATE VIEW app.reads AS
SELECT (SELECT sum(seq_scan) FROM pg_stat_all_tables WHERE schemaname = 'durable_store' AND relname IN ('instances', 'history', 'inbox', 'activity_queue')) AS seq_scans,
	(SELECT sum(idx_scan) FROM pg_stat_all_indexes WHERE schemaname = 'durable_store' AND indexrelname IN ('instances_status', 'instances_name', 'instances_created')) AS view_scans,
	(SELECT sum(idx_tup_read) FROM pg_stat_all_indexes WHERE schemaname = 'durable_store' AND relname IN ('instances', 'history', 'inbox', 'activity_queue')) AS entries;

-- First with empty tables, when the plans are made.
\set prefix empty
\set n 3
\ir include/work.psql
SELECT is((SELECT count(*) FROM durable.instances WHERE instance_id LIKE 'empty%' AND status = 'terminated'), 1::bigint, 'the work is done: one was terminated');
SELECT is((SELECT count(*) FROM durable.instances WHERE instance_id LIKE 'empty%'), 1::bigint, 'the others are purged');
SELECT is((SELECT count(*) FROM durable.instances WHERE name = 'everything' AND status = 'running'), 3::bigint, 'three wait for an event');

-- Many that sleep and many that are done, in this hub.
RESET SESSION AUTHORIZATION;
INSERT INTO durable_store.instances (task_hub, instance_id, execution_id, created_at, updated_at, completed_at, last_seq, status, name, function)
SELECT 'app', 'i' || n, gen_random_uuid(), t, t, CASE WHEN n % 2 = 0 THEN t END, 2, CASE WHEN n % 2 = 0 THEN 'completed' ELSE 'running' END, 'everything', 'app.everything(jsonb)'
FROM generate_series(1, 40000) n, LATERAL (SELECT '2026-01-01 00:00+00'::timestamptz + n * interval '1 s') x (t);
INSERT INTO durable_store.history (task_hub, instance_id, generation, seq, turn, turn_at, "timestamp", event_id, event_type)
SELECT task_hub, instance_id, 1, seq, 1, created_at, created_at, -1, 0 FROM durable_store.instances, generate_series(1, 2) seq WHERE instance_id LIKE 'i%';
INSERT INTO durable_store.inbox (task_hub, instance_id, visible_at, "timestamp", fire_at, event_type)
SELECT task_hub, instance_id, '2100-01-01', created_at, '2100-01-01', 11 FROM durable_store.instances WHERE name = 'everything' AND instance_id LIKE 'i%' AND completed_at IS NULL;
INSERT INTO durable_store.activity_queue (task_hub, instance_id, execution_id, generation, task_id, visible_at, name)
SELECT task_hub, instance_id, execution_id, 1, 1, '2100-01-01', 'work' FROM durable_store.instances WHERE instance_id LIKE 'i%7' AND completed_at IS NULL;
SELECT pg_stat_force_next_flush() \g /dev/null
SELECT seq_scans AS seq, view_scans AS views, entries FROM app.reads \gset
SET SESSION AUTHORIZATION app;
\set prefix filled
\set n 5
\ir include/work.psql
RESET SESSION AUTHORIZATION;
SELECT is((SELECT count(*) FROM durable_store.instances WHERE instance_id LIKE 'filled%' AND status = 'terminated'), 1::bigint, 'with plans of empty tables: the work is done');
SELECT is((SELECT seq_scans - :seq FROM app.reads), 0::numeric, 'no table is read as a whole');
SELECT is((SELECT view_scans - :views FROM app.reads), 0::numeric, 'the indexes of the views are left alone');
SELECT cmp_ok((SELECT entries - :entries FROM app.reads), '<', 8000::numeric, 'nor is an index: fewer entries are read than one scan of the hub would');

-- Statistics make the plans anew.
ANALYZE durable_store.instances, durable_store.history, durable_store.inbox, durable_store.activity_queue;
SELECT pg_stat_force_next_flush() \g /dev/null
SELECT seq_scans AS seq, view_scans AS views, entries FROM app.reads \gset
SET SESSION AUTHORIZATION app;
\set prefix analyzed
\set n 5
\ir include/work.psql
RESET SESSION AUTHORIZATION;
SELECT is((SELECT count(*) FROM durable_store.instances WHERE instance_id LIKE 'analyzed%' AND status = 'terminated'), 1::bigint, 'with plans of large tables: the work is done');
SELECT is((SELECT seq_scans - :seq FROM app.reads), 0::numeric, 'no table is read as a whole');
SELECT is((SELECT view_scans - :views FROM app.reads), 0::numeric, 'the indexes of the views are left alone');
SELECT cmp_ok((SELECT entries - :entries FROM app.reads), '<', 8000::numeric, 'nor is an index');
SELECT cmp_ok((SELECT entries - :entries FROM app.reads), '>', 100::numeric, 'what is read is counted');

-- Statistics of a moment in which all messages and activities were one instance's: its key says nothing then.
CREATE TEMP TABLE kept AS SELECT * FROM durable_store.inbox;
DELETE FROM durable_store.inbox;
INSERT INTO durable_store.inbox (task_hub, instance_id, visible_at, "timestamp", event_type)
SELECT 'app', 'i1', '2100-01-01'::timestamptz + n * interval '1 s', now(), 5 FROM generate_series(1, 10000) n;
UPDATE durable_store.activity_queue SET instance_id = 'i7', task_id = 1000 + substr(instance_id, 2)::int WHERE instance_id LIKE 'i%7';
VACUUM ANALYZE durable_store.inbox, durable_store.activity_queue;
DELETE FROM durable_store.inbox;
INSERT INTO durable_store.inbox SELECT * FROM kept;
SELECT pg_stat_force_next_flush() \g /dev/null
SELECT seq_scans AS seq, view_scans AS views, entries FROM app.reads \gset
SET SESSION AUTHORIZATION app;
\set prefix one
\set n 5
\ir include/work.psql
RESET SESSION AUTHORIZATION;
SELECT is((SELECT count(*) FROM durable_store.instances WHERE instance_id LIKE 'one%' AND status = 'terminated'), 1::bigint, 'with plans of a hub with one instance: the work is done');
SELECT is((SELECT seq_scans - :seq FROM app.reads), 0::numeric, 'no table is read as a whole');
SELECT is((SELECT view_scans - :views FROM app.reads), 0::numeric, 'the indexes of the views are left alone');
SELECT cmp_ok((SELECT entries - :entries FROM app.reads), '<', 8000::numeric, 'nor is an index');
SELECT * FROM finish();
