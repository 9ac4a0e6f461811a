-- purge().
\ir include/setup.psql
SELECT plan(42);

CREATE FUNCTION at_once(input jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT input';
CREATE FUNCTION waits(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN durable.wait_for_event('go'); END $$;
CREATE FUNCTION fails(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'failed'; END $$;
CREATE FUNCTION middle(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN durable.call_suborchestrator('at_once', instance_id => durable.instance_id() || '/leaf'); END $$;
CREATE FUNCTION parent(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN durable.call_suborchestrator('middle', instance_id => durable.instance_id() || '/middle'); END $$;
CREATE FUNCTION leaves_child(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$ BEGIN PERFORM durable.schedule_suborchestrator('waits', instance_id => 'left behind'); RETURN '1'; END $$;
CREATE FUNCTION busy(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
BEGIN
	PERFORM durable.create_timer('1 hour');
	RETURN durable.call_activity('lasts');
END $$;
CREATE FUNCTION lasts() RETURNS text LANGUAGE plpgsql AS
$$
BEGIN
	IF EXISTS (SELECT FROM durable.instances WHERE instance_id = durable.instance_id() AND name = 'busy') THEN
		RAISE serialization_failure;	-- the engine repeats it
	END IF;
	RETURN effect('ran');
END $$;
CREATE FUNCTION large_all_round(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
BEGIN
	FOR i IN 1..20 LOOP
		PERFORM durable.call_activity('same', input);
	END LOOP;
	RETURN input;
END $$;
SELECT start('at_once', '"a large one"', 'completed');
SELECT start('fails', NULL, 'failed');
SELECT start('waits', NULL, 'terminated');
SELECT start('waits', NULL, 'running');
SELECT start('waits', NULL, 'suspended');
SELECT durable.start_instance('at_once', instance_id => 'pending', start_at => now() + interval '100 years') \g /dev/null
SELECT start('at_once', NULL, 'it''s "x" %_\');
SELECT start('at_once', NULL, 'its');
SELECT start('parent', NULL, 'p');
SELECT start('parent', NULL, 'q');
SELECT start('leaves_child');
:run
SELECT durable.suspend('suspended'), durable.terminate('terminated') \g /dev/null
:run
SELECT is(durable.purge(id), 0::bigint, 'scenario 122: not purged: ' || id) FROM unnest(ARRAY['running', 'suspended', 'pending']) id;
SELECT is(status(id), id, 'scenario 122: untouched: ' || id) FROM unnest(ARRAY['running', 'suspended', 'pending']) id;
SELECT is(durable.purge(id), 1::bigint, 'scenario 117: purged: ' || id) FROM unnest(ARRAY['completed', 'failed', 'terminated']) id;
SELECT is(durable.purge('completed'), 0::bigint, 'scenario 117: once only');
SELECT is(durable.purge('never was'), 0::bigint, 'an unknown instance');
SELECT is_empty($$ SELECT 1 FROM durable.instances WHERE instance_id IN ('completed', 'failed', 'terminated') $$, 'scenario 124: the instances are gone');
SELECT is_empty($$ SELECT 1 FROM durable.history WHERE instance_id IN ('completed', 'failed', 'terminated') $$, 'scenario 124: and their history');
SELECT is(durable.purge('it''s "x" %_\'), 1::bigint, 'scenario 125: an id with quotes and wildcards');
SELECT is(status('its'), 'completed', 'scenario 125: others are not');
SELECT is(durable.purge('p'), 3::bigint, 'scenario 123: recursive: parent, child and grandchild');
SELECT is_empty($$ SELECT 1 FROM durable.instances WHERE instance_id LIKE 'p/%' $$, 'scenario 123: they are gone');
SELECT is(durable.purge('q', recursive => false), 1::bigint, 'scenario 123: not recursive: the parent');
SELECT is(status('q/middle') || status('q/middle/leaf'), 'completedcompleted', 'scenario 123: its descendants stay');
SELECT is(durable.purge('leaves_child'), 1::bigint, 'a child that is running is not purged with its parent');
SELECT is(status('left behind'), 'running', 'and runs on');
SELECT throws_ok('SELECT durable.purge(NULL)', '22004', NULL, 'no id');
SELECT throws_ok($$ SELECT durable.purge('its', recursive => NULL) $$, '22004', NULL, 'neither recursive nor not');

-- A child whose parent is gone.
SELECT go('left behind');
:run
SELECT is(outcome('left behind'), 'completed', 'it completes though its parent is gone');

-- The work of a purged instance is dropped: a timer that is set, and an activity that does not end while the instance is there.
SELECT start('busy');
:run
SELECT is((SELECT (waiting_for #>> '{activities,0,name}') || ' ' || jsonb_array_length(waiting_for -> 'timers') FROM durable.instances WHERE instance_id = 'busy'), 'lasts 1', 'one with a timer and an activity under way');
SELECT durable.terminate('busy') \g /dev/null
:run
SELECT is(durable.purge('busy'), 1::bigint, 'scenario 174: it is purged while its work goes on');
:run_all
SELECT is(outcome('busy') || story('busy'), NULL, 'scenario 174: it stays away');
SELECT is_empty($$ SELECT instance_id FROM durable.messages UNION ALL SELECT instance_id FROM durable.activities $$, 'scenario 174: nothing is left of it');
SELECT start('at_once', '"again"', 'busy');
:run_all
SELECT is(outcome('busy') || ' ' || effects(), 'completed "again" ', 'scenario 174: nor does a new one of the id get any of it');

-- What was large or many is gone from the tables too, and only that.
SELECT start('at_once', to_jsonb(repeat(md5('x'), 100000)), 'it''s "large" %_\');
SELECT durable.start_instance('large_all_round', to_jsonb(repeat(md5('x'), 100000)), 'large', tags => '{"a": "b"}') \g /dev/null
SELECT start('waits', NULL, 'Large');
:run
SELECT is(status('large') || ' ' || events('large', 'TaskCompleted') || ' ' || status('it''s "large" %_\'), 'completed 20 completed', 'instances with large payloads');
RESET SESSION AUTHORIZATION;
CREATE FUNCTION app.rows_of(id text) RETURNS bigint LANGUAGE sql SECURITY DEFINER AS
$$
	SELECT (SELECT count(*) FROM durable_store.instances WHERE instance_id = id) + (SELECT count(*) FROM durable_store.history WHERE instance_id = id)
		+ (SELECT count(*) FROM durable_store.inbox WHERE instance_id = id) + (SELECT count(*) FROM durable_store.activity_queue WHERE instance_id = id)
$$;
SET SESSION AUTHORIZATION app;
SELECT cmp_ok(rows_of('large'), '>', 40::bigint, 'scenario 125: many rows');
SELECT is(durable.purge('large') + durable.purge('it''s "large" %_\'), 2::bigint, 'scenario 125: ids with quotes and wildcards, large payloads');
SELECT is(rows_of('large') + rows_of('it''s "large" %_\'), 0::bigint, 'scenario 125: no row of theirs is left in any table');
SELECT is(status('Large') || ' ' || rows_of('Large'), 'running 2', 'scenario 125: one of nearly the same id is untouched');
SELECT throws_ok($$ SELECT durable.raise_event('large', 'go') $$, 'UD004', NULL, 'scenario 124: for a client there is no such instance');

-- Recursive and not, with several children, some of which have not finished.
CREATE FUNCTION family(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
BEGIN
	PERFORM durable.schedule_suborchestrator('waits', instance_id => durable.instance_id() || '/waits');
	RETURN to_jsonb(durable.await_all(durable.schedule_suborchestrator('at_once', instance_id => durable.instance_id() || '/1'),
		durable.schedule_suborchestrator('parent', instance_id => durable.instance_id() || '/2')));
END $$;
SELECT start('family', NULL, id) FROM unnest(ARRAY['f', 'g']) id;
:run
SELECT is(durable.purge('f'), 5::bigint, 'scenario 123: recursive: the parent, two children, a grandchild and its child');
SELECT results_eq($$ SELECT instance_id COLLATE "default", status COLLATE "default" FROM durable.instances WHERE instance_id ^@ 'f/' $$, $$ VALUES ('f/waits', 'running') $$,
	'scenario 123: the child that has not finished stays');
SELECT is(durable.purge('g/2', recursive => false) + durable.purge('g'), 3::bigint, 'scenario 123: a child first, not recursive: then its parent with the other child and itself');
SELECT is(ARRAY(SELECT instance_id COLLATE "default" FROM durable.instances WHERE instance_id ^@ 'g/' ORDER BY 1), ARRAY['g/2/middle', 'g/2/middle/leaf', 'g/waits'],
	'scenario 123: the descendants of what went before are not found any more');
SELECT go(id) FROM unnest(ARRAY['f/waits', 'g/waits', 'Large']) id;
:run

-- The id is free again.
SELECT start('at_once', '"new"', 'completed');
BEGIN;
SELECT durable.purge('its') \g /dev/null
ROLLBACK;
:run
SELECT is(outcome('completed'), 'completed "new"', 'a purged id can be used again');
SELECT is((SELECT generation FROM durable.instances WHERE instance_id = 'completed'), 1::bigint, 'from its first generation');
SELECT is(status('its'), 'completed', 'a purge whose transaction rolled back never happened');
SELECT * FROM finish();
