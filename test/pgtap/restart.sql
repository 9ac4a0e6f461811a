-- restart(): scenario 128; purge_finished(): scenarios 118 to 121.
\ir include/setup.psql
SELECT plan(48);

CREATE FUNCTION wait(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$ BEGIN RETURN durable.wait_for_event('go'); END $$;
CREATE FUNCTION raise(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION '%', input; END $$;
CREATE FUNCTION what(id text) RETURNS text LANGUAGE sql AS
$$
	SELECT concat_ws(' ', name, version, input, tags, status, generation, coalesce(parent_instance_id, 'top'))
	FROM durable.instances WHERE instance_id = $1
$$;

-- ---------------------------------------------------------------------------
-- Restart
-- ---------------------------------------------------------------------------

SELECT '# ' || durable.start_instance('same', '{"n": 1}', 'done', version => '1.2', tags => '{"a": "b"}');
SELECT '# ' || durable.start_instance('raise', '"broken"', 'failed');
SELECT '# ' || durable.start_instance('wait', '"terminated"', 'terminated');
SELECT '# ' || durable.start_instance('wait', '"running"', 'running');
SELECT '# ' || durable.start_instance('wait', '"suspended"', 'suspended');
:run
SELECT durable.terminate('terminated');
SELECT durable.suspend('suspended');
:run
CREATE TEMP TABLE before AS SELECT instance_id, execution_id FROM durable.instances;

SELECT is(durable.restart('done'), 'done', 'scenario 128: restart() of a completed instance under its own id');
SELECT is(what('done'), 'same 1.2 {"n": 1} {"a": "b"} pending 2 top', 'scenario 128: keeps name, version, input and tags');
:run
SELECT is(outcome('done'), 'completed {"n": 1}', 'scenario 128: and runs again');
SELECT is((SELECT count(*) FROM before NATURAL JOIN durable.instances WHERE instance_id = 'done'), 0::bigint, 'scenario 128: as another execution');
SELECT is(durable.restart('failed'), 'failed', 'scenario 128: of a failed one');
SELECT is(durable.restart('terminated'), 'terminated', 'scenario 128: of a terminated one');
:run
SELECT is(outcome('failed'), 'failed P0001 "broken"', 'scenario 128: it fails again');
SELECT is(status('terminated'), 'running', 'scenario 128: it runs again');
SELECT is((SELECT failure FROM durable.instances WHERE instance_id = 'terminated'), NULL, 'scenario 128: nothing of its past is left');

SELECT is(durable.restart('done', 'done-2'), 'done-2', 'scenario 128: under another id');
SELECT is(what('done-2'), 'same 1.2 {"n": 1} {"a": "b"} pending 1 top', 'scenario 128: the same orchestration');
SELECT is(status('done'), 'completed', 'scenario 128: the old one stays');
SELECT throws_ok($$ SELECT durable.restart('nobody') $$, 'UD004', NULL, 'scenario 128: missing');
SELECT throws_ok($$ SELECT durable.restart('nobody', 'somebody') $$, 'UD004', NULL, 'scenario 128: missing, with a new id');
SELECT throws_ok($$ SELECT durable.restart('running') $$, 'UD010',
	'instance "running" cannot be restarted under its own id before it has finished', 'scenario 128: running, same id');
SELECT throws_ok($$ SELECT durable.restart('running', 'running') $$, 'UD010', NULL, 'scenario 128: the same id given');
SELECT throws_ok($$ SELECT durable.restart('suspended') $$, 'UD010', NULL, 'scenario 128: suspended, same id');
SELECT throws_ok($$ SELECT durable.restart('done-2') $$, 'UD010', NULL, 'scenario 128: pending, same id');
SELECT is(durable.restart('running', 'running-2'), 'running-2', 'scenario 128: running, new id');
SELECT throws_ok($$ SELECT durable.restart('done', 'running') $$, 'UD003', 'an instance with id "running" already exists', 'a new id that belongs to a running instance');
:run
SELECT is(durable.restart('failed', 'done-2'), 'done-2', 'a new id that belongs to a finished one');
SELECT throws_ok($$ SELECT durable.restart('done', '') $$, '22023', NULL, 'an empty new id');
:run
SELECT is(what('done-2'), 'raise "broken" failed 2 top', 'a finished one of the new id is replaced');

-- A child that is restarted has no parent; the function is the one it had, whatever the search_path.
CREATE FUNCTION parent(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$ BEGIN RETURN durable.call_suborchestrator('same', '"child"', instance_id => 'child'); END $$;
SELECT start('parent');
:run
SELECT is(durable.restart('child'), 'child', 'a child is restarted');
:run
SELECT is(what('child'), 'same "child" completed 2 top', 'it has no parent any more');
SELECT is(events('parent', 'SubOrchestrationInstanceCompleted'), 1::bigint, 'which hears of it once');

-- One that could not start is looked up again.
CREATE FUNCTION detach(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$ BEGIN RETURN to_jsonb(durable.start_detached('born_later', '"x"', instance_id => 'stillborn')); END $$;
SELECT start('detach');
:run
SELECT throws_ok($$ SELECT durable.restart('stillborn') $$, '42883', NULL, 'one whose function does not exist is not restarted');
CREATE FUNCTION born_later(input jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT $1';
SELECT is(durable.restart('stillborn'), 'stillborn', 'until it does');
:run
SELECT is(outcome('stillborn'), 'completed "x"', 'then it runs');

-- ---------------------------------------------------------------------------
-- Purge by filter
-- ---------------------------------------------------------------------------

SELECT '# purged ' || durable.purge_finished();
SELECT is((SELECT string_agg(DISTINCT status, ' ') FROM durable.instances), 'running suspended', 'without conditions all that are finished go');
SELECT is((SELECT count(*) FROM durable.history h WHERE NOT EXISTS (SELECT FROM durable.instances i WHERE i.instance_id = h.instance_id)),
	0::bigint, 'with their history');
SELECT is(durable.purge_finished(), 0::bigint, 'a second time there are none');

SELECT '# ' || count(start('same', to_jsonb(n), 'old-' || n)) FROM generate_series(1, 30) n;
SELECT '# ' || count(start('raise', to_jsonb(n), 'bad-' || n)) FROM generate_series(1, 10) n;
:run
SELECT clock_timestamp() AS noon \gset
SELECT '# ' || count(start('same', to_jsonb(n), 'new-' || n)) FROM generate_series(1, 5) n;
:run
SELECT is(durable.purge_finished(finished_before => :'noon', max_count => 7), 7::bigint, 'scenario 118: purge by time, partially; scenario 121: as many as asked for, and a count that says so');
SELECT is((SELECT count(*) FROM durable.instances WHERE instance_id ~ '^(old|bad)-'), 33::bigint, 'scenario 118: the others are there');
SELECT is(durable.purge_finished(finished_before => :'noon', max_count => 0), 0::bigint, 'scenario 121: a max_count of 0');
SELECT is(durable.purge_finished(statuses => '{failed,terminated}'), (SELECT count(*) FROM durable.instances WHERE status = 'failed')::bigint, 'scenario 119: purge by status');
SELECT is((SELECT count(*) FROM durable.instances WHERE status = 'failed'), 0::bigint, 'scenario 119: none is left of it');
SELECT is(durable.purge_finished(created_before => :'noon'), 23::bigint, 'scenario 118: by the time of creation');
SELECT is((SELECT string_agg(instance_id, ' ' ORDER BY instance_id) FROM durable.instances WHERE status = 'completed'),
	'new-1 new-2 new-3 new-4 new-5', 'scenario 118: younger ones stay');
SELECT is(durable.purge_finished(finished_before => :'noon', created_before => 'infinity'), 0::bigint, 'all conditions must hold');
SELECT is(durable.purge_finished(statuses => '{pending,running,suspended}'), 0::bigint, 'what has not finished is not purged, though its status is named');
SELECT is(durable.purge_finished(statuses => '{}'), 0::bigint, 'no status, none');
SELECT is((SELECT count(*) FROM durable.instances WHERE status IN ('running', 'suspended')), 4::bigint, 'all that runs is there');
SELECT is((SELECT count(*) FROM durable.instances WHERE status = 'completed'), 5::bigint, 'so are the completed ones');
SELECT throws_ok($$ SELECT durable.purge_finished(max_count => -1) $$, '22023', 'max_count must not be negative', 'a negative max_count');
SELECT throws_ok($$ SELECT durable.purge_finished(statuses => '{completed,NULL}') $$, '22004', 'statuses must not contain nulls', 'a null status');

SELECT '# ' || count(durable.start_instance('same', to_jsonb(n), 'many-' || n)) FROM generate_series(1, 2500) n;
:run
SELECT is(durable.purge_finished(), 2505::bigint, 'scenario 120: more than a thousand');
SELECT is((SELECT count(*) FROM durable.instances), 4::bigint, 'scenario 120: all are gone');

SELECT * FROM finish();
