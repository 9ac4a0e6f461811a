-- durable.double_replay: every turn runs twice, and the two runs must agree.
\ir include/setup.psql
SELECT plan(42);

SELECT is((SELECT boot_val FROM pg_settings WHERE name = 'durable.double_replay'), 'off', 'off by default');
SELECT lives_ok('SET durable.double_replay = on', 'for anybody');

-- 1 in the first run of a turn, 2 in the second. What no check of the code can
-- see: a function that lies about its volatility. A temporary sequence counts in
-- read-only transactions, and nothing takes it back.
RESET SESSION AUTHORIZATION;
CREATE FUNCTION app.tick(regclass) RETURNS bigint LANGUAGE internal STABLE STRICT AS 'nextval_oid';
SET SESSION AUTHORIZATION app;
CREATE TEMPORARY SEQUENCE runs;
CREATE FUNCTION run() RETURNS int LANGUAGE plpgsql STABLE AS $$ BEGIN RETURN (tick('pg_temp.runs') - 1) % 2 + 1; END $$;

CREATE FUNCTION define(id text, code text) RETURNS void LANGUAGE plpgsql AS
$$
BEGIN
	EXECUTE format('CREATE FUNCTION %I(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS %L', id,
		'DECLARE r int := run(); t durable.task; BEGIN ' || code || ' RETURN ''"done"''; END');
END $$;
CREATE FUNCTION child(input jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT $1';

-- ---------------------------------------------------------------------------
-- What differs

CREATE TABLE differences (id text PRIMARY KEY, code text, detail text);
INSERT INTO differences VALUES
	('kind', $$ IF r = 1 THEN PERFORM durable.schedule_activity('same', '1'); ELSE PERFORM durable.create_timer('1 h'); END IF; $$,
		'Action 0: activity "same" in the first run, timer in the second.'),
	('name', $$ PERFORM durable.schedule_activity('same', '1'); PERFORM durable.schedule_activity('name' || r, '1'); $$,
		'Action 1: activity "name1" in the first run, activity "name2" in the second.'),
	('input', $$ PERFORM durable.schedule_activity('same', to_jsonb(r)); $$, 'Action 0, activity "same", input: 1 in the first run, 2 in the second.'),
	('no input', $$ PERFORM durable.schedule_activity('same', CASE r WHEN 1 THEN '"none"'::jsonb END); $$, 'Action 0, activity "same", input: "none" in the first run, none in the second.'),
	('large input', $$ PERFORM durable.schedule_activity('same', to_jsonb(repeat('ž', 500) || r || repeat('ž', 500))); $$,
		'Action 0, activity "same", input: ...' || repeat('ž', 20) || '1' || repeat('ž', 79) || '... in the first run, ...' || repeat('ž', 20) || '2' || repeat('ž', 79) || '... in the second.'),
	('version', $$ PERFORM durable.schedule_activity('same', '1', version => r::text); $$, 'Action 0, activity "same", version: 1 in the first run, 2 in the second.'),
	('tags', $$ PERFORM durable.schedule_activity('same', '1', tags => jsonb_build_object('r', r::text)); $$, 'Action 0, activity "same", tags: {"r": "1"} in the first run, {"r": "2"} in the second.'),
	('statement', $$ PERFORM durable.schedule_sql('SELECT $1', r); $$, 'Action 0, activity "durable.sql", input: %"value": "1"% in the first run, %"value": "2"% in the second.'),
	('child id', $$ PERFORM durable.schedule_suborchestrator('child', instance_id => 'child ' || r); $$, 'Action 0, sub-orchestration "child", instance id: child 1 in the first run, child 2 in the second.'),
	('detached', $$ IF r = 1 THEN PERFORM durable.schedule_suborchestrator('child', instance_id => 'c'); ELSE PERFORM durable.start_detached('child', instance_id => 'c'); END IF; $$,
		'Action 0: sub-orchestration "child" in the first run, detached orchestration "child" in the second.'),
	('target', $$ PERFORM durable.send_event('target ' || r, 'x'); $$, 'Action 0, event "x", instance id: target 1 in the first run, target 2 in the second.'),
	('due', $$ PERFORM durable.create_timer_at('2100-01-01 UTC'::timestamptz + make_interval(hours => r)); $$,
		'Action 0, timer, due: 2100-01-01 01:00:00+00 in the first run, 2100-01-01 02:00:00+00 in the second.'),
	('order', $$ PERFORM durable.schedule_activity('effect', jsonb_build_object('what', w)) FROM unnest(CASE r WHEN 1 THEN ARRAY['a', 'b'] ELSE ARRAY['b', 'a'] END) w; $$,
		'Action 0, activity "effect", input: {"what": "a"} in the first run, {"what": "b"} in the second.'),
	('more', $$ PERFORM durable.schedule_activity('same', '1') FROM generate_series(1, r); $$, 'Action 1: none in the first run, activity "same" in the second.'),
	('less', $$ PERFORM durable.schedule_activity('same', '1') FROM generate_series(r, 2); $$, 'Action 1: activity "same" in the first run, none in the second.'),
	('taken back', $$ t := durable.create_timer('1 h'); PERFORM durable.schedule_activity('same', '1'); IF r = 1 THEN PERFORM durable.cancel_timer(t); END IF; $$,
		'Action 0: none in the first run, timer in the second.'),
	('output', $$ RETURN to_jsonb(r); $$, 'Output: 1 in the first run, 2 in the second.'),
	('no output', $$ IF r = 2 THEN RETURN NULL; END IF; $$, 'Output: "done" in the first run, none in the second.'),
	('waits', $$ IF r = 2 THEN PERFORM durable.wait_for_event('go'); END IF; $$, 'Outcome of the turn: completed in the first run, waits in the second.'),
	('fails', $$ IF r = 1 THEN RAISE 'failed'; END IF; $$, 'Outcome of the turn: failed in the first run, completed in the second.'),
	('message', $$ RAISE 'run %', r; $$, 'Failure: {%"errorMessage": "run 1"% in the first run, {%"errorMessage": "run 2"% in the second.'),
	('continues', $$ IF r = 1 THEN PERFORM durable.continue_as_new('1'); END IF; $$, 'Outcome of the turn: continues as new in the first run, completed in the second.'),
	('next input', $$ PERFORM durable.continue_as_new(to_jsonb(r)); $$, 'Input of the next generation: 1 in the first run, 2 in the second.'),
	('next version', $$ PERFORM durable.continue_as_new('1', version => r::text); $$, 'Version of the next generation: 1 in the first run, 2 in the second.'),
	('custom status', $$ PERFORM durable.set_custom_status(to_jsonb(r)); $$, 'Custom status: 1 in the first run, 2 in the second.'),
	('no custom status', $$ IF r = 2 THEN PERFORM durable.set_custom_status(NULL); END IF; $$, 'Custom status: none in the first run, NULL in the second.'),
	('awaited event', $$ PERFORM durable.wait_for_event('event ' || r); $$, 'Events waited for: "event 1" in the first run, "event 2" in the second.'),
	('clock', $$ PERFORM durable.schedule_activity('same', to_jsonb(r + tick('pg_temp.runs') - tick('pg_temp.runs') + r)); $$, 'Action 0, activity "same", input: 1 in the first run, 3 in the second.');
SELECT define(id, code) FROM differences \g /dev/null
SELECT durable.start_instance(format('%I', id), instance_id => id) FROM differences \g /dev/null
:run
SELECT alike(status(id) || ' ' || failure(id, 'sqlstate') || ' ' || failure(id, 'detail'), 'failed UD002 ' || detail, 'a difference: ' || id) FROM differences ORDER BY id;
SELECT is_empty($$ SELECT i.instance_id FROM durable.instances i JOIN durable.history h USING (instance_id) WHERE event_type NOT IN ('OrchestratorStarted', 'ExecutionStarted', 'ExecutionCompleted', 'OrchestratorCompleted') $$,
	'nothing of what they asked for is done');
SELECT is(failure('kind', 'errorType') || ' ' || failure('kind', 'isNonRetriable'), 'NonDeterministicOrchestrationException true', 'the failure is of the kind that replay raises');

-- In a later turn, and for a parent.
SELECT define('later', $$ PERFORM durable.call_activity('same', '1'); PERFORM durable.call_activity('same', to_jsonb(tick('pg_temp.runs'))); $$) \g /dev/null
CREATE FUNCTION parent(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN durable.call_suborchestrator('later'); END $$;
SELECT start('parent');
:run
SELECT is(outcome('parent'), 'failed UD002 two runs of the same turn came to different results', 'in a later turn, and its parent is told');

-- log_message() writes once. (Another session runs it, so the clock is not skipped before this.)
CREATE FUNCTION logs(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
BEGIN
	PERFORM durable.log_message('first message', 'notice');
	PERFORM durable.wait_for_event('go');
	PERFORM durable.log_message('second message', 'warning');
	RETURN '1';
END $$;
SELECT start('logs');
\setenv PGDATABASE :DBNAME
\setenv PGHOST :HOST
\setenv PGPORT :PORT
\setenv PGOPTIONS '-c durable.double_replay=on'
\set first_run `psql -X -q -U app -c 'SELECT durable.run_until_idle()' 2>&1 | grep -o '[A-Z]*:  [a-z]* message' | tr '\n' ';'`
SELECT is(:'first_run'::text, 'NOTICE:  first message;', 'log_message() writes once');
SELECT go('logs');
\set second_run `psql -X -q -U app -c 'SELECT durable.run_until_idle()' 2>&1 | grep -o '[A-Z]*:  [a-z]* message' | tr '\n' ';'`
SELECT is(:'second_run'::text, 'WARNING:  second message;', 'in each turn');
SELECT is(outcome('logs'), 'completed 1', 'and goes on');

-- ---------------------------------------------------------------------------
-- What agrees

CREATE FUNCTION behaves(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
DECLARE
	seen jsonb := to_jsonb(ARRAY[durable.is_replaying()]);
	result jsonb := jsonb_build_object('time', now(), 'guid', durable.new_guid(), 'random', random());
BEGIN
	PERFORM durable.set_custom_status(result);
	PERFORM durable.call_activity('same', to_jsonb(i)) FROM generate_series(1, 2) i;
	seen := seen || to_jsonb(durable.is_replaying());
	PERFORM durable.wait_for_event('go');
	BEGIN
		PERFORM durable.call_activity('fail', '{"message": "m"}', retry => durable.retry_policy(2));
	EXCEPTION WHEN OTHERS THEN
		PERFORM durable.sleep('1 h');
	END;
	IF input IS NULL THEN
		PERFORM durable.continue_as_new('1');
		RETURN NULL;
	END IF;
	RETURN seen || to_jsonb(durable.call_suborchestrator('child', result) = result);
END $$;
CREATE FUNCTION raises(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RAISE 'raised'; END $$;
SELECT start(f) FROM unnest(ARRAY['behaves', 'raises']) f;
SELECT durable.raise_event('behaves', 'go') FROM generate_series(1, 2) \g /dev/null
:run_all
SELECT is(outcome('behaves'), 'completed [true, true, true]', 'who behaves does not notice, whatever it uses');
SELECT is(outcome('raises'), 'failed P0001 raised', 'an orchestrator may fail');
SELECT define('counts', $$ RETURN to_jsonb(r); $$) \g /dev/null
CREATE FUNCTION counted(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN PERFORM run(); RETURN '1'; END $$;
SELECT start('counted');
:run
SELECT is((SELECT last_value % 2 FROM runs), 0::bigint, 'each turn ran twice');
SET durable.double_replay = off;
SELECT start('counts');
:run
SELECT is(outcome('counts'), 'completed 1', 'off: one run, and who knows');
SELECT nextval('runs') \g /dev/null
SET durable.double_replay = on;

-- ---------------------------------------------------------------------------
-- Limits and ends

RESET SESSION AUTHORIZATION;
SET durable.orchestrator_timeout = '100ms';
SET SESSION AUTHORIZATION app;
SELECT define('endless', $$ IF r = 2 THEN LOOP PERFORM 1; END LOOP; END IF; $$) \g /dev/null
SELECT start('endless');
:run
SELECT is(status('endless') || ' ' || failure('endless', 'errorType'), 'failed OrchestratorTimeout', 'the second run has the time limit of the first');
RESET SESSION AUTHORIZATION;
RESET durable.orchestrator_timeout;
SET SESSION AUTHORIZATION app;
SELECT setval('runs', 2) \g /dev/null
SELECT define('terminated', $$ PERFORM durable.wait_for_event('go'); r := run(); PERFORM durable.schedule_activity('same', to_jsonb(r)); PERFORM durable.wait_for_event('never'); $$) \g /dev/null
SELECT start('terminated');
:run
SELECT durable.raise_event('terminated', 'go'), durable.terminate('terminated', 'enough') \g /dev/null
:run
SELECT is(outcome('terminated'), 'terminated "enough"', 'a terminate works, whatever the code does');
SELECT * FROM finish();
