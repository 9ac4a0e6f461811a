-- wait_for_completion(), wait_for_start(), and when run_until_idle() is refused.
\ir include/setup.psql
SELECT plan(37);

CREATE FUNCTION at_once(input jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT input';
CREATE FUNCTION waits(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN durable.wait_for_event('go'); END $$;
CREATE FUNCTION fails(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'bad' USING ERRCODE = 'ZZ001'; END $$;
SELECT start('at_once', '{"a": 1}');
SELECT start('waits');
SELECT start('waits', NULL, 'terminated');
SELECT start('waits', NULL, 'suspended');
SELECT start('fails');
:run
SELECT durable.terminate('terminated', 'why'), durable.suspend('suspended') \g /dev/null
:run
SELECT durable.start_instance('at_once', instance_id => 'pending', start_at => now() + interval '100 years') \g /dev/null

SELECT results_eq($$ SELECT instance_id COLLATE "default", status COLLATE "default", output FROM durable.wait_for_completion('at_once') $$, $$ VALUES ('at_once', 'completed', '{"a": 1}'::jsonb) $$,
	'a completed instance is returned at once');
SELECT is((SELECT w::text FROM durable.wait_for_completion('at_once') w), (SELECT i::text FROM durable.instances i WHERE instance_id = 'at_once'), 'as its row of durable.instances');
SELECT is((durable.wait_for_completion('fails')).failure ->> 'sqlstate', 'ZZ001', 'a failed one');
SELECT is((durable.wait_for_completion('terminated')).output, '"why"', 'a terminated one');
SELECT is((durable.wait_for_completion(id, '0')).status, status, 'timeout 0 returns the row as it is: ' || id) FROM (VALUES ('waits', 'running'), ('suspended', 'suspended'), ('pending', 'pending')) v (id, status);
SELECT is((durable.wait_for_completion('waits', '50 ms')).status, 'running', 'after the timeout, the row as it is');
SELECT is((SELECT count(*) FROM (SELECT clock_timestamp() AS a, durable.wait_for_completion('waits', '300 ms') AS w, clock_timestamp() AS b OFFSET 0) t
	WHERE b - a BETWEEN interval '300 ms' AND interval '1 min'), 1::bigint, 'it waits as long as it should');
SELECT is((durable.wait_for_start('waits')).status, 'running', 'wait_for_start(): it has started');
SELECT is((durable.wait_for_start('at_once')).status, 'completed', 'wait_for_start(): it has even completed');
SELECT is((durable.wait_for_start('pending', '50 ms')).status, 'pending', 'wait_for_start(): after the timeout, the row as it is');
SELECT throws_ok(sql, 'UD004', NULL, 'no such instance: ' || sql) FROM unnest(ARRAY[$$ SELECT durable.wait_for_completion('nobody') $$, $$ SELECT durable.wait_for_start('nobody') $$]) sql;
SELECT throws_ok(sql, '22004', NULL, 'no id: ' || sql) FROM unnest(ARRAY[$$ SELECT durable.wait_for_completion(NULL) $$, $$ SELECT durable.wait_for_start(NULL) $$]) sql;
SELECT throws_ok($$ SELECT durable.wait_for_completion('waits', '-1 s') $$, '22023', 'timeout must not be negative', 'a negative timeout');
SELECT throws_ok($$ DO 'BEGIN PERFORM durable.start_instance(''at_once'', instance_id => ''own''); PERFORM durable.wait_for_completion(''own''); END' $$, 'UD010', NULL,
	'an instance started in this transaction: commit first');
SELECT throws_ok($$ DO 'BEGIN PERFORM durable.start_instance(''at_once'', instance_id => ''own''); PERFORM durable.wait_for_start(''own''); END' $$, 'UD010', NULL,
	'wait_for_start() too');
SELECT is(outcome('own'), NULL, 'its start was rolled back');
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT is((SELECT count(*) FROM durable.instances WHERE instance_id = 'at_once'), 1::bigint, 'in a REPEATABLE READ transaction');
SELECT is((durable.wait_for_completion('at_once')).status, 'completed', 'a wait works');
COMMIT;
-- Another session completes it; this one has an older snapshot.
\setenv PGDATABASE :DBNAME
\setenv PGHOST :HOST
\setenv PGPORT :PORT
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT is(status('waits'), 'running', 'a snapshot of before');
\! psql -X -q -U app -c "SELECT durable.raise_event('waits', 'go', '5')" -c 'SELECT durable.run_until_idle()' >/dev/null
SELECT is((durable.wait_for_completion('waits')).output, '5', 'the wait looks with the latest snapshot');
SELECT is(status('waits'), 'running', 'the transaction keeps its own');
COMMIT;

-- ---------------------------------------------------------------------------
-- Who may run, and where

SELECT start('at_once', '1', 'left');
CREATE FUNCTION runs() RETURNS bigint LANGUAGE sql AS 'SELECT durable.run_until_idle()';
SELECT throws_ok('SELECT durable.run_until_idle()', '55000', NULL, 'run_until_idle() in a function');
SELECT throws_ok('SELECT runs()', '55000', NULL, 'in an SQL function');
SELECT throws_ok('CALL durable.run()', '55000', NULL, 'CALL run() in a function');
RESET SESSION AUTHORIZATION;
SET ROLE app;
\set ON_ERROR_STOP off
SELECT durable.run_until_idle();
\set ON_ERROR_STOP on
SELECT is(:'LAST_ERROR_SQLSTATE'::text, '42501', 'SET ROLE to the owner of the hub is not enough');
RESET ROLE;
SET SESSION AUTHORIZATION app;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SAVEPOINT s;
\set ON_ERROR_STOP off
SELECT durable.run_until_idle();
\set ON_ERROR_STOP on
ROLLBACK TO s;
COMMIT;
SELECT is(:'LAST_ERROR_SQLSTATE'::text, '55000', 'above READ COMMITTED');
BEGIN;
SAVEPOINT s;
\set ON_ERROR_STOP off
CALL durable.run();
\set ON_ERROR_STOP on
ROLLBACK TO s;
COMMIT;
SELECT is(:'LAST_ERROR_SQLSTATE'::text, '25001', 'CALL run() in a transaction block');
SELECT is(outcome('left'), 'pending', 'nothing was run');
BEGIN;
SELECT is(durable.run_until_idle(), 1::bigint, 'run_until_idle() returns the number of work items');
ROLLBACK;
SELECT is(outcome('left'), 'pending', 'what it did is rolled back with its transaction');
CALL durable.run();
SELECT is(outcome('left'), 'completed 1', 'CALL run() does it');
SELECT is(durable.run_until_idle(), 0::bigint, 'idle: no work items');
SELECT start('call', '{"name": "same", "input": 1}', 'counted');
SELECT is(durable.run_until_idle(), 3::bigint, 'two turns and an activity');
SELECT * FROM finish();
