-- Scenarios of the specification at size: fan-out, long histories, many waits, large payloads.
\ir include/setup.psql
SELECT plan(32);

-- Large work is driven by run(), which commits as workers do.

-- ---------------------------------------------------------------------------
-- Scenario 8

CREATE FUNCTION squared(n int) RETURNS bigint LANGUAGE sql AS 'SELECT n::bigint * n';
CREATE FUNCTION sum_of_squares(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
DECLARE
	tasks durable.task[];
	results jsonb[];
BEGIN
	FOR i IN 1..(input #>> '{}')::int LOOP
		tasks := tasks || durable.schedule_activity('squared', jsonb_build_object('n', i));
	END LOOP;
	results := durable.await_all(tasks);
	RETURN jsonb_build_array(cardinality(results), (SELECT sum(r::text::bigint) FROM unnest(results) r),
		(SELECT bool_and(r::text::bigint = n * n) FROM unnest(results) WITH ORDINALITY u (r, n)));
END $$;
CREATE FUNCTION sum_of_children(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
DECLARE
	tasks durable.task[];
	results jsonb[];
BEGIN
	FOR i IN 1..(input ->> 'children')::int LOOP
		tasks := tasks || durable.schedule_suborchestrator('sum_of_squares', input -> 'each');
	END LOOP;
	results := durable.await_all(tasks);
	RETURN jsonb_build_array(cardinality(results), (SELECT sum((r ->> 1)::bigint) FROM unnest(results) r));
END $$;
-- Fans out again over what the first fan-out gave.
CREATE FUNCTION twice(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
DECLARE
	tasks durable.task[];
	again durable.task[];
	result jsonb;
BEGIN
	FOR i IN 1..500 LOOP
		tasks := tasks || durable.schedule_activity('squared', jsonb_build_object('n', i));
	END LOOP;
	FOREACH result IN ARRAY durable.await_all(tasks) LOOP
		again := again || durable.schedule_activity('squared', jsonb_build_object('n', result));
	END LOOP;
	RETURN (SELECT to_jsonb(sum(r::text::bigint)) FROM unnest(durable.await_all(again)) r);
END $$;
-- Each task once, each answered once.
CREATE FUNCTION answered(id text) RETURNS text LANGUAGE sql AS
$$
	SELECT format('%s scheduled, %s results, %s tasks', count(*) FILTER (WHERE event_type = 'TaskScheduled'), count(*) FILTER (WHERE event_type = 'TaskCompleted'),
		count(DISTINCT task_scheduled_id) FILTER (WHERE event_type = 'TaskCompleted'))
	FROM durable.history WHERE instance_id = $1
$$;
SELECT start('sum_of_squares', '1000', 'thousand');
SELECT start('sum_of_squares', '10000', 'ten thousand');
SELECT start('sum_of_children', '{"children": 1000, "each": 1}', 'thousand children');
SELECT start('sum_of_children', '{"children": 30, "each": 30}', 'double fan-out');
SELECT start('twice');
CALL durable.run();
SELECT is(outcome('thousand'), 'completed [1000, 333833500, true]', 'scenario 8: fan-out of 1,000, each result in its place');
SELECT is(answered('thousand'), '1000 scheduled, 1000 results, 1000 tasks', 'scenario 8: one result each of 1,000');
SELECT is(outcome('ten thousand'), 'completed [10000, 333383335000, true]', 'scenario 8: fan-out of 10,000, each result in its place');
SELECT is(answered('ten thousand'), '10000 scheduled, 10000 results, 10000 tasks', 'scenario 8: one result each of 10,000');
SELECT is(outcome('thousand children'), 'completed [1000, 1000]', 'scenario 48: fan-out of 1,000 children');
SELECT is((SELECT count(*) || ' ' || count(DISTINCT instance_id) FROM durable.instances WHERE parent_instance_id = 'thousand children' AND status = 'completed'), '1000 1000',
	'scenario 48: each an instance of its own');
SELECT is(events('thousand children', 'SubOrchestrationInstanceCompleted'), 1000::bigint, 'scenario 48: one result each');
SELECT is(outcome('double fan-out'), 'completed [30, 283650]', 'scenario 8: double fan-out, by children that fan out');
SELECT is(outcome('twice'), 'completed 6281291666650', 'scenario 8: double fan-out, one after the other');
SELECT is(answered('twice'), '1000 scheduled, 1000 results, 1000 tasks', 'scenario 8: one result each of both');

-- ---------------------------------------------------------------------------
-- Scenario 10. The history grows by rounds, each of which replays all before it;
-- the end is in another session, which reads it from the table.

CREATE FUNCTION rounds(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
DECLARE
	tasks durable.task[];
	total bigint := 0;
BEGIN
	FOR r IN 0..24 LOOP
		tasks := '{}';
		FOR i IN 1..200 LOOP
			tasks := tasks || durable.schedule_activity('squared', jsonb_build_object('n', r * 200 + i));
		END LOOP;
		total := total + (SELECT sum(x::text::bigint) FROM unnest(durable.await_all(tasks)) x);
	END LOOP;
	RETURN jsonb_build_array(total, durable.wait_for_event('go'));
END $$;
SELECT start('rounds');
CALL durable.run();
SELECT is((SELECT waiting_for FROM durable.instances WHERE instance_id = 'rounds'), '{"events": ["go"]}', 'scenario 10: 25 rounds of 200 activities, each on top of what was before');
SELECT durable.raise_event('rounds', 'go', '"end"') \g /dev/null
\setenv PGDATABASE :DBNAME
\setenv PGHOST :HOST
\setenv PGPORT :PORT
\! psql -X -q -A -t -U app -c 'SELECT durable.run_until_idle()' >/dev/null
SELECT is(outcome('rounds'), 'completed [41679167500, "end"]', 'scenario 10: a history of 10,000 events, replayed by a session that does not have it, gives the right sum');
SELECT is((SELECT count(*) FROM durable.history WHERE instance_id = 'rounds' AND event_type NOT IN ('OrchestratorStarted', 'OrchestratorCompleted')), 10003::bigint,
	'scenario 10: the history is complete: start, 5,000 activities and results, event, end');
SELECT is((SELECT ARRAY[count(DISTINCT seq), min(seq), max(seq)] FROM durable.history WHERE instance_id = 'rounds'),
	(SELECT ARRAY[count(*), 1, count(*)] FROM durable.history WHERE instance_id = 'rounds'), 'scenario 10: numbered without a gap');
SELECT is((SELECT format('%s %s %s', count(DISTINCT event_id), min(event_id), max(event_id)) FROM durable.history WHERE instance_id = 'rounds' AND event_type = 'TaskScheduled'),
	'5000 0 4999', 'scenario 10: every task is in it');
SELECT is((SELECT count(*) FROM durable.history s JOIN durable.history c ON c.task_scheduled_id = s.event_id AND c.instance_id = s.instance_id AND c.event_type = 'TaskCompleted' AND c.seq > s.seq
	WHERE s.instance_id = 'rounds' AND s.event_type = 'TaskScheduled' AND c.result::text::bigint = (s.input ->> 'n')::bigint ^ 2), 5000::bigint, 'scenario 10: with its own result, after it');

-- ---------------------------------------------------------------------------
-- An orchestrator that awaits 1,000 events: of one name in turn, of 1,000 names at once.

CREATE FUNCTION one_name(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
DECLARE
	list jsonb[];
BEGIN
	FOR i IN 1..1000 LOOP
		list := list || durable.wait_for_event('item');
	END LOOP;
	RETURN to_jsonb(list);
END $$;
CREATE FUNCTION many_names(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
DECLARE
	tasks durable.task[];
BEGIN
	FOR i IN 1..1000 LOOP
		tasks := tasks || durable.expect_event('name ' || i);
	END LOOP;
	RETURN to_jsonb(durable.await_all(tasks));
END $$;
SELECT start(f) FROM unnest(ARRAY['one_name', 'many_names']) f;
SELECT durable.raise_event('one_name', 'item', to_jsonb(n)) FROM generate_series(1, 400) n \g /dev/null
:run
SELECT is((SELECT jsonb_array_length(waiting_for -> 'events') FROM durable.instances WHERE instance_id = 'many_names'), 1000, 'waiting_for names all of 1,000 events');
SELECT durable.raise_event('one_name', 'item', to_jsonb(n)) FROM generate_series(401, 999) n \g /dev/null
SELECT durable.raise_event('many_names', 'NAME ' || n, to_jsonb(n)) FROM generate_series(1000, 2, -1) n \g /dev/null
:run
SELECT is(status('one_name') || status('many_names'), 'runningrunning', 'scenario 31: after 999 of 1,000 events both wait');
SELECT is((SELECT waiting_for FROM durable.instances WHERE instance_id = 'many_names'), '{"events": ["name 1"]}', 'scenario 32: for the one that is left');
SELECT durable.raise_event('one_name', 'item', '1000'), durable.raise_event('many_names', 'name 1', '1') \g /dev/null
:run
SELECT is(output('one_name'), (SELECT jsonb_agg(n) FROM generate_series(1, 1000) n), 'scenario 31: 1,000 events of one name, first in first out');
SELECT is(output('many_names'), (SELECT jsonb_agg(n) FROM generate_series(1, 1000) n), 'scenario 32: 1,000 events of as many names, raised from last to first');
SELECT is(events('one_name', 'EventRaised') || ' ' || events('many_names', 'EventRaised'), '1000 1000', 'scenario 31: each is in the history once');

-- ---------------------------------------------------------------------------
-- 10 MB through every way there is

CREATE FUNCTION at_once(input jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT input';
CREATE FUNCTION receives(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN durable.wait_for_event('data'); END $$;
CREATE FUNCTION everywhere(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
DECLARE
	payload jsonb := input -> 'payload';
BEGIN
	IF payload IS NOT NULL THEN
		payload := durable.call_activity('same', payload);
		payload := durable.call_suborchestrator('at_once', payload, instance_id => 'large child');
		PERFORM durable.send_event('large receiver', 'data', payload);
		PERFORM durable.set_custom_status(payload);
		PERFORM durable.continue_as_new(payload);
		RETURN NULL;
	END IF;
	RETURN input;
END $$;
-- Base64 of hashes: pglz would spend seconds on what it finds to compress.
CREATE TABLE large AS SELECT to_jsonb('"🐘" \\ é' || string_agg(encode(sha512(n::text::bytea), 'base64'), '')) AS payload FROM generate_series(1, 120000) n;
SELECT cmp_ok((SELECT octet_length(payload #>> '{}') FROM large), '>=', 10 * 1024 * 1024, 'the payload has 10 MB');
SELECT start('receives', NULL, 'large receiver');
SELECT start('receives', NULL, 'large raised');
SELECT durable.raise_event('large raised', 'data', payload) FROM large \g /dev/null
SELECT start('everywhere', jsonb_build_object('payload', payload), 'large') FROM large;
CALL durable.run();
-- By hashes, for readable failures.
CREATE FUNCTION hash(j jsonb) RETURNS text LANGUAGE sql AS $$ SELECT octet_length(j #>> '{}') || ' ' || md5(j #>> '{}') $$;
SELECT is(status('large'), 'completed', 'scenario 14: 10 MB through activity, child, event, custom status and continue_as_new()');
SELECT is(hash(output(id)), (SELECT hash(payload) FROM large), 'scenario 14: 10 MB: ' || what)
FROM (VALUES ('large', 'input and output, in another generation'), ('large child', 'a child'), ('large receiver', 'an event of an orchestration'), ('large raised', 'an event of a client')) v (id, what);
SELECT is(hash(custom_status), (SELECT hash(payload) FROM large), 'scenario 14: 10 MB: custom status') FROM durable.instances WHERE instance_id = 'large';
SELECT is(hash(h.input), (SELECT hash(payload) FROM large), 'scenario 14: 10 MB: input in the history of ' || h.instance_id)
FROM durable.history h WHERE instance_id IN ('large', 'large child') AND event_type = 'ExecutionStarted' ORDER BY h.instance_id COLLATE "C";
SELECT is_empty('SELECT instance_id FROM durable.messages UNION ALL SELECT instance_id FROM durable.activities', 'nothing is left in the queues');
SELECT * FROM finish();
