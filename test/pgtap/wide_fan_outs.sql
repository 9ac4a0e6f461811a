-- Wide fan-outs of brief activities: several share a row of the queue, and their
-- answers a message. Nobody must feel it: what the views show, what runs, what
-- is answered and what is taken back is of each of them.
--
-- What is queued for an instance whose id is in "held" waits until free() lets it go,
-- what is answered to one in "unheard" until hear(). Activities share nothing
-- in a session that has assumed a role, so this one is connected as app.
\ir include/setup.psql
RESET SESSION AUTHORIZATION;

CREATE TABLE app.held (id text);
CREATE TABLE app.unheard (id text);
CREATE FUNCTION app.hold_back() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
	NEW.visible_at := NEW.visible_at + interval '10 years';
	RETURN NEW;
END $$;
CREATE FUNCTION app.is_held(id text) RETURNS boolean LANGUAGE sql SECURITY DEFINER AS 'SELECT EXISTS (SELECT FROM app.held h WHERE h.id = $1)';
CREATE FUNCTION app.is_unheard(id text) RETURNS boolean LANGUAGE sql SECURITY DEFINER AS 'SELECT EXISTS (SELECT FROM app.unheard h WHERE h.id = $1)';
CREATE TRIGGER hold_back BEFORE INSERT ON durable_store.activity_queue FOR EACH ROW
	WHEN (NEW.name <> 'breaks' AND NEW.visible_at < now() + interval '5 years' AND app.is_held(NEW.instance_id)) EXECUTE FUNCTION app.hold_back();
CREATE TRIGGER hold_back BEFORE INSERT ON durable_store.inbox FOR EACH ROW
	WHEN (NEW.event_type IN (5, 6) AND app.is_unheard(NEW.instance_id)) EXECUTE FUNCTION app.hold_back();
CREATE FUNCTION app.free(id text) RETURNS text LANGUAGE sql SECURITY DEFINER SET enable_seqscan = off AS $$
	DELETE FROM app.held h WHERE h.id = $1;
	UPDATE durable_store.activity_queue SET visible_at = visible_at - interval '10 years' WHERE task_hub = 'app' AND instance_id = $1;
	SELECT '# free: ' || $1;
$$;
CREATE FUNCTION app.hear(id text) RETURNS text LANGUAGE sql SECURITY DEFINER AS $$
	DELETE FROM app.unheard u WHERE u.id = $1;
	UPDATE durable_store.inbox SET visible_at = visible_at - interval '10 years' WHERE instance_id = $1 AND event_type IN (5, 6);
	SELECT '# hear: ' || $1;
$$;
-- The rows of the queue: the first activity's number, and how many are with it.
CREATE FUNCTION app.rows_of(id text) RETURNS text LANGUAGE sql SECURITY DEFINER AS $$
	SELECT string_agg(q.task_id || CASE WHEN q.more IS NULL THEN '' ELSE '+' || (SELECT count(*) FROM durable_store.unpack_events(q.more)) END, ' ' ORDER BY q.task_id)
	FROM durable_store.activity_queue q WHERE q.instance_id = $1
$$;
CREATE FUNCTION app.parked(id text) RETURNS bigint LANGUAGE sql SECURITY DEFINER AS
$$ SELECT count(*) FROM durable_store.activity_queue WHERE instance_id = $1 AND parked $$;
-- The messages: how many answers are in each.
CREATE FUNCTION app.messages_of(id text) RETURNS text LANGUAGE sql SECURITY DEFINER AS $$
	SELECT string_agg((1 + (SELECT count(*) FROM durable_store.unpack_events(m.more)))::text, ' ' ORDER BY m.message_id)
	FROM durable_store.inbox m WHERE m.instance_id = $1 AND m.event_type IN (5, 6)
$$;
CREATE FUNCTION app.set_messages_per_turn(n int) RETURNS text LANGUAGE sql SECURITY DEFINER AS
$$ SELECT '# messages per turn: ' || set_config('durable.max_messages_per_turn', n::text, false) $$;
CREATE FUNCTION app.spoil(id text) RETURNS text LANGUAGE sql SECURITY DEFINER AS $$
	UPDATE durable_store.activity_queue SET more = substr(more, 1, length(more) - 1) WHERE instance_id = $1 AND task_id = 25;
	SELECT '# spoilt: ' || $1;
$$;
-- Many that sleep, in this hub, and what has been read of the large tables so far.
CREATE FUNCTION app.fill() RETURNS text LANGUAGE sql SECURITY DEFINER AS $$
	INSERT INTO durable_store.instances (task_hub, instance_id, execution_id, created_at, updated_at, last_seq, status, name, function)
	SELECT 'app', 'i' || n, gen_random_uuid(), '2026-01-01', '2026-01-01', 2, 'running', 'fan', 'app.fan(jsonb)' FROM generate_series(1, 20000) n;
	INSERT INTO durable_store.inbox (task_hub, instance_id, visible_at, "timestamp", fire_at, event_type)
	SELECT 'app', 'i' || n, '2100-01-01', '2026-01-01', '2100-01-01', 11 FROM generate_series(1, 20000) n;
	INSERT INTO durable_store.activity_queue (task_hub, instance_id, execution_id, generation, task_id, visible_at, name)
	SELECT task_hub, instance_id, execution_id, 1, 1, '2100-01-01', 'act' FROM durable_store.instances WHERE instance_id ~ '^i[0-9]+$';
	SELECT '# filled';
$$;
CREATE PROCEDURE app.analyze_tables() LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN ANALYZE durable_store.instances, durable_store.inbox, durable_store.activity_queue; END $$;
CREATE VIEW app.reads AS
SELECT relname AS name, seq_scan AS n, 1 AS allowed FROM pg_stat_all_tables WHERE schemaname = 'durable_store' AND relname IN ('instances', 'history', 'inbox', 'activity_queue')
UNION ALL
SELECT indexrelname, idx_tup_read, 20000 FROM pg_stat_all_indexes WHERE schemaname = 'durable_store' AND relname IN ('instances', 'history', 'inbox', 'activity_queue');
GRANT SELECT ON app.reads TO app;
-- One who sees that there is something, but not what.
DO $$
BEGIN
	CREATE ROLE durable_wide_monitor;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
	NULL;
END $$;
SET client_min_messages = warning;
GRANT pg_monitor TO durable_wide_monitor;
GRANT durable_wide_monitor TO app;
SELECT durable.grant_usage('durable_wide_monitor');
GRANT ALL ON app.held, app.unheard TO app;

\c - app
SET client_min_messages = warning;
SELECT no_plan();
SET durable.inline_activities = always;
SELECT is(current_user, 'app'::name, 'the session is of the role itself');

-- {"calls": [{"name": , "input": , "version": , "tags": , "retry": }, ...], "then": an event to wait for}:
-- all at once, their results in order; a failure is its SQLSTATE.
CREATE FUNCTION fan(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	call	jsonb;
	tasks	durable.task[];
	results	jsonb[];
	task	durable.task;
BEGIN
	FOR call IN SELECT jsonb_array_elements(input -> 'calls') LOOP
		tasks := tasks || durable.schedule_activity(call ->> 'name', call -> 'input', version => call ->> 'version', tags => call -> 'tags',
			retry => CASE WHEN call ? 'retry' THEN durable.retry_policy(max_attempts => (call ->> 'retry')::int, first_interval => '1 s') END);
	END LOOP;
	FOREACH task IN ARRAY tasks LOOP
		BEGIN
			results := results || durable.await(task);
		EXCEPTION WHEN SQLSTATE 'P0001' THEN
			results := results || to_jsonb(SQLERRM);
		END;
	END LOOP;
	IF input ? 'then' THEN
		RETURN durable.wait_for_event(input ->> 'then');
	END IF;
	RETURN to_jsonb(results);
END $$;

-- n calls of an activity with {"n": 0}, {"n": 1} ...
CREATE FUNCTION calls(name text, n int) RETURNS jsonb LANGUAGE sql AS
$$ SELECT jsonb_build_object('calls', jsonb_agg(jsonb_build_object('name', name, 'input', jsonb_build_object('n', i)) ORDER BY i)) FROM generate_series(0, n - 1) i $$;

CREATE TABLE done (seq int GENERATED ALWAYS AS IDENTITY, id text DEFAULT durable.instance_id(), n int, task_id int DEFAULT durable.task_id());
CREATE FUNCTION act(n int) RETURNS int LANGUAGE sql AS $$ INSERT INTO done (n) VALUES (n) RETURNING n $$;
-- Each once: "30 of 30".
CREATE FUNCTION done(id text) RETURNS text LANGUAGE sql AS
$$ SELECT count(DISTINCT (n, task_id)) || ' of ' || count(*) FROM done d WHERE d.id = $1 $$;
CREATE FUNCTION upto(n int) RETURNS jsonb LANGUAGE sql AS $$ SELECT jsonb_agg(i ORDER BY i) FROM generate_series(0, n - 1) i $$;

-- Starts it, and holds back what it asks for.
CREATE FUNCTION start_held(id text, input jsonb, orchestrator text DEFAULT 'fan') RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO held VALUES (id);
	RETURN start(orchestrator, input, id);
END $$;

-- ---------------------------------------------------------------------------
-- What is seen of them
-- ---------------------------------------------------------------------------

SELECT start_held('sixty', calls('act', 60));
:run
SELECT is(rows_of('sixty'), '0+24 25+24 50+9', 'sixty activities have three rows of the queue');
SELECT is((SELECT jsonb_agg(input -> 'n' ORDER BY task_id) FROM durable.activities WHERE instance_id = 'sixty'), upto(60), 'durable.activities shows each, with its input');
SELECT is((SELECT string_agg(DISTINCT concat_ws(' ', name, attempt, state), ', ') FROM durable.activities WHERE instance_id = 'sixty'), 'act 1 delayed', 'and all else');
SELECT is((SELECT jsonb_path_query_array(waiting_for, '$.activities[*].id') FROM durable.instances WHERE instance_id = 'sixty'), upto(60), 'so does what the instance waits for');
SET ROLE durable_wide_monitor;
SELECT count(*) || ' ' || count(input) AS seen FROM durable.activities WHERE instance_id = 'sixty' \gset
RESET ROLE;
SELECT is(:'seen'::text, '60 0', 'one who may not read payloads sees no input of any');
SELECT is((SELECT ready_activities FROM durable.queues WHERE task_hub = 'app'), 0::bigint, 'none is ready yet');
SELECT free('sixty');
SELECT is((SELECT ready_activities FROM durable.queues WHERE task_hub = 'app'), 60::bigint, 'durable.queues counts each');
SELECT is((SELECT max(visible_at) - min(visible_at) FROM durable.activities WHERE instance_id = 'sixty'), interval '50 us', 'rows are in the queue in the order they were asked for');
INSERT INTO unheard VALUES ('sixty');
:run
SELECT is(done('sixty'), '60 of 60', 'each has its effect once');
SELECT cmp_ok(array_length(string_to_array(messages_of('sixty'), ' '), 1), '<', 60, 'they answer together');
SELECT is((SELECT sum(n::int) FROM unnest(string_to_array(messages_of('sixty'), ' ')) n), 60::bigint, 'all of them');
SELECT is((SELECT jsonb_agg(payload ORDER BY task_id) FROM durable.messages WHERE instance_id = 'sixty' AND event_type = 'TaskCompleted'), upto(60), 'durable.messages shows each answer');
SELECT is((SELECT count(*) FROM durable.messages m JOIN durable.messages l USING (instance_id, message_id) WHERE m.task_id > l.task_id AND m.timestamp < l.timestamp), 0::bigint, 'with a time of its own');
SET ROLE durable_wide_monitor;
SELECT count(*) || ' ' || count(payload) AS seen FROM durable.messages WHERE instance_id = 'sixty' AND event_type = 'TaskCompleted' \gset
RESET ROLE;
SELECT is(:'seen'::text, '60 0', 'nor a result of any');
SELECT hear('sixty');
:run
SELECT is(outcome('sixty'), 'completed ' || upto(60)::text, 'the results are in order');
SELECT is((SELECT count(DISTINCT turn) FROM durable.history WHERE instance_id = 'sixty' AND event_type = 'TaskCompleted'), 1::bigint, 'taken in one turn');

-- As it is without triggers; the order of the history is that of the effects.
SELECT start('fan', calls('act', 200), 'plain ' || i) FROM generate_series(1, 5) i;
:run
SELECT is(outcome('plain ' || i), 'completed ' || upto(200)::text, 'two hundred, ' || i) FROM generate_series(1, 5) i;
SELECT is(done('plain ' || i), '200 of 200', 'once each, ' || i) FROM generate_series(1, 5) i;
-- Also where a transaction had no room for a whole row. (One that a busy machine holds up for some ms is undone, and comes after others.)
SELECT ok(EXISTS (SELECT FROM generate_series(1, 5) i WHERE (SELECT array_agg(n ORDER BY seq) FROM done WHERE id = 'plain ' || i) = (SELECT array_agg(n) FROM generate_series(0, 199) n)),
	'in the order they were asked for');

SELECT start_held('eight', calls('act', 8));
SELECT start_held('nine', calls('act', 9));
:run
SELECT is(rows_of('eight') IS NULL AND done('eight') = '8 of 8', true, 'eight run with their turn');
SELECT is(rows_of('nine'), '0+8', 'nine do not, and have a row');
SELECT free('nine');
:run
SELECT is(outcome('nine'), 'completed ' || upto(9)::text, 'it completes');

-- Whoever is limited, not brief, or of a session that does not share has rows alone.
SET durable.inline_activities = off;
SELECT start_held('off', calls('act', 30));
:run
SET durable.inline_activities = on;
SELECT start_held('on', calls('act', 30));
:run
SET durable.inline_activities = always;
SELECT durable.register_activity('limited', 'act(int)', max_concurrency => 3), durable.register_activity('outside', 'act(int)', external => true);
SELECT start_held(name, calls(name, 30)) FROM unnest(ARRAY['limited', 'outside']) name;
:run
SELECT is(rows_of(id), (SELECT string_agg(i::text, ' ' ORDER BY i) FROM generate_series(0, 29) i), 'a row each: ' || id) FROM unnest(ARRAY['off', 'on', 'limited', 'outside']) id;
SELECT free(id) FROM unnest(ARRAY['off', 'on', 'limited', 'outside']) id;
:run
SELECT is(outcome(id), 'completed ' || upto(30)::text, id) FROM unnest(ARRAY['off', 'on', 'limited', 'outside']) id;

-- ---------------------------------------------------------------------------
-- What is in a row
-- ---------------------------------------------------------------------------

-- Several names and versions, large inputs, none, NULL and tags, by turns.
CREATE FUNCTION seen(jsonb) RETURNS jsonb LANGUAGE sql AS
$$ SELECT jsonb_build_array(durable.task_id(), left($1::text, 20), length($1::text), coalesce(durable.instance_tags(), '{}') - 'own') $$;
CREATE FUNCTION seen_too(jsonb) RETURNS jsonb LANGUAGE sql AS
$$ SELECT jsonb_build_array(durable.task_id(), left($1::text, 20), length($1::text), 'too') $$;
SELECT durable.register_activity('versioned', 'seen(jsonb)', '1'), durable.register_activity('versioned', 'seen_too(jsonb)', '2');
CREATE FUNCTION mixed() RETURNS jsonb LANGUAGE sql AS $$
	SELECT jsonb_build_object('calls', jsonb_agg(jsonb_strip_nulls(jsonb_build_object(
		'name', CASE WHEN i BETWEEN 40 AND 79 THEN 'versioned' ELSE 'seen' END,
		'version', CASE WHEN i BETWEEN 40 AND 79 THEN (1 + (i / 10) % 2)::text END,
		'tags', CASE WHEN i % 4 = 1 THEN jsonb_build_object('tag', i::text) END))
		|| CASE WHEN i % 5 = 2 THEN '{}' WHEN i % 5 = 3 THEN '{"input": null}'
			WHEN i % 7 = 0 THEN jsonb_build_object('input', repeat('x', 200 + i * 3)) ELSE jsonb_build_object('input', i) END ORDER BY i))
	FROM generate_series(0, 119) i
$$;
SELECT start_held('mixed', mixed());
:run
SELECT cmp_ok(array_length(string_to_array(rows_of('mixed'), ' '), 1), '<', 80, 'fewer rows than activities');
SELECT is((SELECT jsonb_agg(input ORDER BY task_id) FROM durable.activities WHERE instance_id = 'mixed'),
	(SELECT jsonb_agg(c -> 'input') FROM jsonb_array_elements(mixed() -> 'calls') c), 'inputs are those of the calls');
CREATE TABLE expected AS SELECT jsonb_agg(CASE WHEN c ->> 'version' = '2' THEN jsonb_build_array(i, left(n, 20), length(n), 'too')
	ELSE jsonb_build_array(i, left(n, 20), length(n), coalesce(c -> 'tags', '{}')) END ORDER BY i) AS results
FROM (SELECT c, i - 1 AS i, (c -> 'input')::text AS n FROM jsonb_array_elements(mixed() -> 'calls') WITH ORDINALITY u(c, i)) c;
SELECT free('mixed');
:run
SELECT is(output('mixed'), (SELECT results FROM expected), 'each was called by its name and version, with its own input and tags');
SET durable.inline_activities = off;
SELECT start('fan', mixed(), 'mixed, each alone');
:run
SELECT is(output('mixed, each alone'), output('mixed'), 'as they are where they have rows alone');
SET durable.inline_activities = always;

-- Results: NULL, large ones between small ones, failures.
CREATE FUNCTION gives(n int) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	IF n % 10 = 3 THEN
		RAISE EXCEPTION 'no %', n;
	END IF;
	RETURN CASE WHEN n % 10 = 5 THEN NULL ELSE repeat('y', CASE WHEN n % 10 = 7 THEN 3000 ELSE n END) END;
END $$;
CREATE FUNCTION given(n int) RETURNS jsonb LANGUAGE sql AS $$
	SELECT to_jsonb(array_agg(CASE i % 10 WHEN 3 THEN to_jsonb('no ' || i) WHEN 5 THEN NULL WHEN 7 THEN to_jsonb(repeat('y', 3000)) ELSE to_jsonb(repeat('y', i)) END ORDER BY i))
	FROM generate_series(0, n - 1) i
$$;
INSERT INTO unheard VALUES ('gives');
SELECT start('fan', calls('gives', 100), 'gives');
:run
SELECT is((SELECT count(*) FILTER (WHERE event_type = 'TaskFailed') || ' of ' || count(*) FROM durable.messages WHERE instance_id = 'gives'), '10 of 100', 'ten failed');
SELECT hear('gives');
:run
SELECT is(output('gives'), given(100), 'results and failures are each its own');

-- Retries: the second attempt is one of the engine's own, each again in the queue.
CREATE TABLE tries (n int);
CREATE FUNCTION at_second(n int) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
	IF n % 3 = 0 AND durable.task_id() < 30 THEN
		RAISE EXCEPTION 'not yet';
	END IF;
	RETURN act(n);
END $$;
SELECT start('fan', jsonb_set(calls('at_second', 30), '{calls}', (SELECT jsonb_agg(c || '{"retry": 2}') FROM jsonb_array_elements(calls('at_second', 30) -> 'calls') c)), 'retries');
:run_all
SELECT is(outcome('retries'), 'completed ' || upto(30)::text, 'those that failed are tried again');
SELECT is(done('retries'), '30 of 30', 'and only those');

-- ---------------------------------------------------------------------------
-- What has to run alone
-- ---------------------------------------------------------------------------

CREATE FUNCTION notifies(n int) RETURNS int LANGUAGE sql AS
$$ SELECT CASE WHEN n IN (0, 12, 13, 24, 59) THEN (SELECT 1 FROM (SELECT pg_notify('wide', n::text)) x) END; SELECT act(n) $$;
CREATE FUNCTION locks(n int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN IF n % 20 = 7 THEN PERFORM pg_advisory_lock(77, n); END IF; RETURN act(n); END $$;
CREATE FUNCTION makes(n int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN IF n = 30 THEN CREATE TEMP TABLE made AS SELECT n; END IF; RETURN act(n); END $$;
CREATE FUNCTION conflicts(n int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN IF n % 20 = 11 AND durable.attempt() < 3 THEN RAISE SQLSTATE '40001'; END IF; RETURN act(n); END $$;
CREATE TABLE parents (n int PRIMARY KEY);
CREATE TABLE children (n int REFERENCES parents DEFERRABLE INITIALLY DEFERRED);
CREATE FUNCTION orphans(n int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN IF n % 20 = 11 THEN INSERT INTO children VALUES (n); END IF; RETURN act(n); END $$;
SELECT start_held(name, calls(name, 60)) FROM unnest(ARRAY['notifies', 'locks', 'makes', 'conflicts']) name;
:run
SELECT is(rows_of(id), '0+24 25+24 50+9', id || ' has three rows') FROM unnest(ARRAY['notifies', 'locks', 'makes', 'conflicts']) id;
SELECT free(id) FROM unnest(ARRAY['notifies', 'locks', 'makes', 'conflicts']) id;
SELECT format('# %s work items', durable.run_until_idle(advance_time => true));
SELECT is(outcome(id), 'completed ' || upto(60)::text, id || ' completes') FROM unnest(ARRAY['notifies', 'locks', 'makes', 'conflicts']) id;
SELECT is(done(id), '60 of 60', 'each of its effects once: ' || id) FROM unnest(ARRAY['notifies', 'locks', 'makes', 'conflicts']) id;
SELECT is((SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = 77), 3::bigint, 'a lock of the session is what the code asked for');
SELECT '# ' || count(pg_advisory_unlock_all()) FROM generate_series(1, 1);

-- One that fails when its transaction commits: then it alone does, and the others of its rows are done.
CALL durable.run();
SELECT start_held('orphans', calls('orphans', 60));
:run
SELECT free('orphans');
CALL durable.run();
SELECT is(status('orphans'), 'failed', 'the one that fails at commit fails');
SELECT is(failure('orphans', 'sqlstate'), '23503', 'of its own error');
SELECT is(done('orphans'), '57 of 57', 'the others are done');

-- Inline turned off while they are in the queue; a limit that is registered then; what becomes external.
SELECT start_held(id, calls(id, 30)) FROM unnest(ARRAY['act', 'gets_limit', 'gets_out']) id WHERE id = 'act';
:run
CREATE FUNCTION gets_limit(n int) RETURNS int LANGUAGE sql AS 'SELECT act(n)';
CREATE FUNCTION gets_out(n int) RETURNS int LANGUAGE sql AS 'SELECT act(n)';
SELECT start_held(id, calls(id, 30)) FROM unnest(ARRAY['gets_limit', 'gets_out']) id;
:run
SELECT is(rows_of(id), '0+24 25+4', 'two rows: ' || id) FROM unnest(ARRAY['act', 'gets_limit', 'gets_out']) id;
SELECT durable.register_activity('gets_limit', 'gets_limit(int)', max_concurrency => 1), durable.register_activity('gets_out', 'gets_out(int)', external => true);
SELECT free(id) FROM unnest(ARRAY['act', 'gets_limit', 'gets_out']) id;
SET durable.inline_activities = off;
CALL durable.run();
SET durable.inline_activities = always;
SELECT is(outcome(id), 'completed ' || upto(30)::text, 'it completes all the same: ' || id) FROM unnest(ARRAY['act', 'gets_limit', 'gets_out']) id;
SELECT is(done(id), '30 of 30', 'each once: ' || id) FROM unnest(ARRAY['act', 'gets_limit', 'gets_out']) id;

-- Of a name of which another version is limited: its rows are not claimed together, although they share rows.
SELECT durable.register_activity('half', 'act(int)', '1'), durable.register_activity('half', 'act(int)', '2', max_concurrency => 1);
SELECT start_held('half', jsonb_set(calls('half', 60), '{calls}', (SELECT jsonb_agg(c || '{"version": "1"}') FROM jsonb_array_elements(calls('half', 60) -> 'calls') c)));
:run
SELECT is(rows_of('half'), '0+24 25+24 50+9', 'a version that is not limited shares rows');
SELECT free('half');
:run
SELECT is(outcome('half'), 'completed ' || upto(60)::text, 'it completes, although those of its name are not claimed together');
SELECT is(done('half'), '60 of 60', 'each once');

-- ---------------------------------------------------------------------------
-- What is taken back
-- ---------------------------------------------------------------------------

SELECT start_held(id, calls('act', 40)) FROM unnest(ARRAY['terminated', 'cancelled', 'purged', 'replaced', 'suspended']) id;
:run
SELECT durable.terminate('terminated'), durable.terminate('cancelled', cancel_running => true), durable.terminate('purged'), durable.terminate('replaced'), durable.suspend('suspended');
:run
SELECT is((SELECT count(*) FROM durable.activities WHERE instance_id = 'terminated'), 40::bigint, 'terminated: its activities are in the queue');
SELECT is(rows_of('cancelled'), NULL, 'with cancel_running they are taken out of it');
SELECT is(durable.purge('purged'), 1::bigint, 'purged');
SELECT is(rows_of('purged'), NULL, 'with its activities');
SELECT start('fan', calls('act', 10), 'again');
SELECT format('# %s', durable.start_instance('fan', calls('act', 20), 'replaced', replace_statuses => '{terminated}'));
SELECT is(rows_of('replaced'), NULL, 'another one of the same id begins without those of the first');
SELECT free(id) FROM unnest(ARRAY['terminated', 'replaced', 'suspended']) id;
:run
SELECT is(done(id), n || ' of ' || n, id) FROM (VALUES ('terminated', 40), ('cancelled', 0), ('purged', 0), ('replaced', 20), ('suspended', 40)) v(id, n);
SELECT is(outcome('replaced'), 'completed ' || upto(20)::text, 'the new one completes');
SELECT is(status('suspended'), 'suspended', 'one that is suspended stands still');
SELECT durable.resume('suspended');
:run
SELECT is(outcome('suspended'), 'completed ' || upto(40)::text, 'and has all answers when it is resumed');

-- Continued as new with what it asked for in the queue: that runs, and answers nobody.
CREATE FUNCTION again(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	tasks durable.task[];
BEGIN
	FOR n IN 0 .. 19 LOOP
		tasks := tasks || durable.schedule_activity('act', jsonb_build_object('n', coalesce(input::int, 0) * 100 + n));
	END LOOP;
	IF input IS NULL THEN
		PERFORM durable.continue_as_new('1');
		RETURN NULL;
	END IF;
	RETURN cardinality(durable.await_all(tasks));
END $$;
SELECT start('again', NULL, 'new');
:run
SELECT is(outcome('new'), 'completed 20', 'its second generation has its own answers');
SELECT is((SELECT count(*) || ' ' || count(DISTINCT n) FROM done WHERE id = 'new'), '40 40', 'what both asked for is done');

-- Failed with activities in the queue, and rewound: those that are there still are not asked for again.
CREATE TABLE mended (id text);
CREATE FUNCTION breaks(id text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	IF NOT EXISTS (SELECT FROM mended m WHERE m.id = breaks.id) THEN
		RAISE EXCEPTION 'broken';
	END IF;
	RETURN id;
END $$;
-- 20 activities, then a failure, and after it (where it is caught) 20 more.
CREATE FUNCTION fragile(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	tasks durable.task[];
BEGIN
	FOR n IN 0 .. 19 LOOP
		tasks := tasks || durable.schedule_activity('act', jsonb_build_object('n', n));
	END LOOP;
	BEGIN
		PERFORM durable.call_activity('breaks', to_jsonb(durable.instance_id()));
	EXCEPTION WHEN SQLSTATE 'P0001' THEN
		FOR n IN 100 .. 119 LOOP
			tasks := tasks || durable.schedule_activity('act', jsonb_build_object('n', n));
		END LOOP;
		IF input IS NOT NULL THEN
			PERFORM durable.wait_for_event('go');
		END IF;
		RAISE;
	END;
	RETURN cardinality(durable.await_all(tasks));
END $$;
SELECT start_held('same turn', NULL, 'fragile'), start_held('later turn', '1', 'fragile');
:run
SELECT is(rows_of(id), '0+19 21+19', 'what it asked for first, and what after the failure: ' || id) FROM unnest(ARRAY['same turn', 'later turn']) id;
SELECT go('later turn');
:run
SELECT is(status(id), 'failed', 'it fails: ' || id) FROM unnest(ARRAY['same turn', 'later turn']) id;
INSERT INTO mended VALUES ('same turn'), ('later turn');
SELECT durable.rewind(id) FROM unnest(ARRAY['same turn', 'later turn']) id;
:run
SELECT is((SELECT array_agg(task_id ORDER BY task_id) FROM durable.activities WHERE instance_id = id), (SELECT array_agg(i) FROM generate_series(0, 19) i),
	'rewound: what it asked for first is in the queue, what came of the failure is not: ' || id) FROM unnest(ARRAY['same turn', 'later turn']) id;
SELECT free(id) FROM unnest(ARRAY['same turn', 'later turn']) id;
:run
SELECT is(outcome(id), 'completed 20', 'it completes: ' || id) FROM unnest(ARRAY['same turn', 'later turn']) id;
SELECT is((SELECT array_agg(n ORDER BY n) FROM done d WHERE d.id = i), (SELECT array_agg(n) FROM generate_series(0, 19) n), 'each of them once: ' || i) FROM unnest(ARRAY['same turn', 'later turn']) i;

-- Failed with packed answers on the way, which the turn that fails takes, and such that come after it.
CREATE FUNCTION fragile_event(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	tasks durable.task[];
BEGIN
	FOR n IN 0 .. 39 LOOP
		tasks := tasks || durable.schedule_activity('act', jsonb_build_object('n', n));
	END LOOP;
	PERFORM durable.wait_for_event('go');
	PERFORM durable.call_activity('breaks', to_jsonb(durable.instance_id()));
	RETURN cardinality(durable.await_all(tasks));
END $$;
INSERT INTO unheard VALUES ('answered before');
SELECT start('fragile_event', NULL, 'answered before'), start_held('answered after', NULL, 'fragile_event');
:run
SELECT cmp_ok(array_length(string_to_array(messages_of('answered before'), ' '), 1), '<', 40, 'its answers are on the way, packed');
SELECT go('answered before'), go('answered after');
:run
SELECT is(status(id), 'failed', 'it fails: ' || id) FROM unnest(ARRAY['answered before', 'answered after']) id;
SELECT hear('answered before');
SELECT free('answered after');
:run
SELECT is(done('answered after'), '40 of 40', 'activities run although their instance has failed');
INSERT INTO mended VALUES ('answered before'), ('answered after');
SELECT durable.rewind(id) FROM unnest(ARRAY['answered before', 'answered after']) id;
:run
SELECT is(outcome(id), 'completed 40', 'rewound it completes: ' || id) FROM unnest(ARRAY['answered before', 'answered after']) id;
SELECT is(done(id), '40 of 40', 'with what was done before: ' || id) FROM unnest(ARRAY['answered before', 'answered after']) id;

-- Packed answers to one whose version the hub does not run wait with it; results that wait for a rewind stay when it changes.
INSERT INTO unheard VALUES ('of version 1');
SELECT '# ' || durable.start_instance('fan', calls('act', 40), 'of version 1', version => '1');
SELECT start_held('failed then', NULL, 'fragile_event');
:run
SELECT go('failed then');
:run
SELECT free('failed then');
:run
SELECT durable.set_hub_versioning('app', '2', 'strict');
SELECT hear('of version 1');
:run
SELECT is(status('of version 1') || ' ' || status('failed then'), 'running failed', 'one is rejected, the other one has failed');
SELECT is((SELECT count(*) FILTER (WHERE instance_id = 'of version 1') || ' ' || count(*) FILTER (WHERE instance_id = 'failed then') FROM durable.messages
	WHERE instance_id IN ('of version 1', 'failed then') AND visible_at = 'infinity'), '40 40', 'all their answers wait');
SELECT durable.set_hub_versioning('app');
:run
SELECT is(outcome('of version 1'), 'completed ' || upto(40)::text, 'it has all of them when the hub runs its version');
INSERT INTO mended VALUES ('failed then');
SELECT durable.rewind('failed then');
:run
SELECT is(outcome('failed then'), 'completed 40', 'so has the other one when it is rewound');
SELECT is(done(id), '40 of 40', 'once each: ' || id) FROM unnest(ARRAY['of version 1', 'failed then']) id;

-- ---------------------------------------------------------------------------
-- Turns that are divided, and rows that cannot be read
-- ---------------------------------------------------------------------------

-- Turns of at most 15 messages: each has rows of its own.
SELECT set_messages_per_turn(15);
SELECT start_held('divided', calls('act', 60));
:run
SELECT is(rows_of('divided'), '0+14 15+14 30+14 45+14', 'turns that are divided have rows of their own');
SELECT free('divided');
:run
SELECT is(outcome('divided'), 'completed ' || upto(60)::text, 'it completes');
SELECT is(done('divided'), '60 of 60', 'each once');
SELECT set_messages_per_turn(0);

-- A row that cannot be read: its instance fails and says why, the others complete.
SELECT start_held(id, calls('act', 60)) FROM unnest(ARRAY['damaged', 'beside it']) id;
:run
SELECT spoil('damaged');
SELECT free(id) FROM unnest(ARRAY['damaged', 'beside it']) id;
:run
SELECT matches(outcome('damaged'), 'failed UD013 what is stored of instance "damaged" in task hub "app" is damaged', 'one with a row that cannot be read fails');
SELECT is(outcome('beside it'), 'completed ' || upto(60)::text, 'the one beside it completes');

SELECT is((SELECT count(*) FROM durable.activities), 0::bigint, 'no activity is left in the queue');
SELECT is_empty($$ SELECT instance_id, event_type, visible_at, count(*) FROM durable.messages WHERE visible_at < 'infinity' GROUP BY 1, 2, 3 $$, 'nor a message but those that wait for a rewind');
-- ---------------------------------------------------------------------------
-- Statements find their rows by the indexes that are meant for them, whenever their plans were made (engine_plans.sql)
-- ---------------------------------------------------------------------------

SELECT fill();
\set prefix filled
\ir include/packed_work.psql

-- Statistics make the plans anew.
CALL analyze_tables();
\set prefix analyzed
\ir include/packed_work.psql
SELECT * FROM finish();
