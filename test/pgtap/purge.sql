-- purge().
\ir include/setup.psql
SELECT plan(30);

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
	RETURN durable.call_activity('effect', '{"what": "ran"}');
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

-- The work of a purged instance is dropped.
SELECT start('busy');
BEGIN;
SELECT format('# %s', durable.run_until_idle('0'));
COMMIT;
SELECT start('waits', NULL, 'go first');
SELECT durable.terminate('busy') \g /dev/null
:run
SELECT is(durable.purge('busy'), 1::bigint, 'scenario 174: an instance is purged while its timer runs');
:run_all
SELECT is(outcome('busy'), NULL, 'scenario 174: it stays away');
SELECT is_empty($$ SELECT instance_id FROM durable.messages UNION ALL SELECT instance_id FROM durable.activities $$, 'scenario 174: nothing is left of it');

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
