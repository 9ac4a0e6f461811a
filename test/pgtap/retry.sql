-- Retry policies.
\ir include/setup.psql
SELECT plan(80);

-- Fails until it has been called "times" times under a name; sequences are not undone.
CREATE FUNCTION count_up(name text) RETURNS bigint LANGUAGE plpgsql AS
$$
BEGIN
	EXECUTE format('CREATE SEQUENCE IF NOT EXISTS %I', 'calls_' || name);
	RETURN nextval(format('%I', 'calls_' || name));
END $$;
CREATE FUNCTION calls(name text) RETURNS bigint LANGUAGE plpgsql AS
$$
DECLARE
	n bigint;
BEGIN
	EXECUTE format('SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM %I', 'calls_' || name) INTO n;
	RETURN n;
END $$;
CREATE FUNCTION flaky(name text, times int, sqlstate text DEFAULT 'P0001') RETURNS text LANGUAGE plpgsql AS
$$
DECLARE
	n bigint := nextval(format('%I', 'calls_' || name));
BEGIN
	IF n < times THEN
		RAISE EXCEPTION 'call % fails', n USING ERRCODE = sqlstate;
	END IF;
	RETURN format('call %s, task %s, attempt %s', n, durable.task_id(), durable.attempt());
END $$;

-- Each case: a policy, after how many calls it succeeds, with what it fails until then.
CREATE TABLE cases (id text PRIMARY KEY, times int, sqlstate text, policy text, outcome text, calls int, delays interval[], what text);
INSERT INTO cases VALUES
	('basic', 3, 'P0001', $$ durable.retry_policy(5) $$, 'completed "call 3, task 4, attempt 1"', 3, '{1 s, 1 s}', 'scenario 72: twice a failure, then success'),
	('exhausted', 99, 'P0001', $$ durable.retry_policy(max_attempts => 3, first_interval => '5 s') $$, 'failed P0001 call 3 fails', 3, '{5 s, 5 s}',
		'scenario 73: exhausted, fails with the last error'),
	('once', 99, 'P0001', $$ durable.retry_policy(1) $$, 'failed P0001 call 1 fails', 1, '{}', 'one attempt is none more'),
	('backoff', 99, 'P0001', $$ durable.retry_policy(5, '1 s', 2) $$, 'failed P0001 call 5 fails', 5, '{1 s, 2 s, 4 s, 8 s}', 'scenario 75: exponential back-off'),
	('fraction', 99, 'P0001', $$ durable.retry_policy(4, '10 s', 1.5) $$, 'failed P0001 call 4 fails', 4, '{10 s, 15 s, 22.5 s}', 'scenario 75: by a fraction'),
	('capped', 99, 'P0001', $$ durable.retry_policy(5, '1 s', 2, max_interval => '3 s') $$, 'failed P0001 call 5 fails', 5, '{1 s, 2 s, 3 s, 3 s}', 'scenario 75: capped by max_interval'),
	('timeout', 99, 'P0001', $$ durable.retry_policy(9, '10 s', timeout => '25 s') $$, 'failed P0001 call 4 fails', 4, '{10 s, 10 s, 10 s}', 'scenario 76: no attempt after the timeout'),
	('on state', 2, '22012', $$ durable.retry_policy(3, retry_on => '{40001,22012}') $$, 'completed "call 2, task 2, attempt 1"', 2, '{1 s}', 'scenario 79: retry_on has its SQLSTATE'),
	('on class', 2, '22012', $$ durable.retry_policy(3, retry_on => '{22}') $$, 'completed "call 2, task 2, attempt 1"', 2, '{1 s}', 'scenario 79: retry_on has its class'),
	('on type', 2, '22012', $$ durable.retry_policy(3, retry_on => '{division_by_zero}') $$, 'completed "call 2, task 2, attempt 1"', 2, '{1 s}', 'scenario 79: retry_on has its error type'),
	('not on', 2, '22012', $$ durable.retry_policy(3, retry_on => '{23,22003,unique_violation}') $$, 'failed 22012 call 1 fails', 1, '{}', 'scenario 79: retry_on has others'),
	('never state', 2, '23505', $$ durable.retry_policy(3, never_retry_on => '{23505}') $$, 'failed 23505 call 1 fails', 1, '{}', 'scenario 79: never_retry_on has its SQLSTATE'),
	('never class', 2, '23505', $$ durable.retry_policy(3, never_retry_on => '{23}') $$, 'failed 23505 call 1 fails', 1, '{}', 'scenario 79: never_retry_on has its class'),
	('never type', 2, '23505', $$ durable.retry_policy(3, never_retry_on => '{unique_violation}') $$, 'failed 23505 call 1 fails', 1, '{}', 'scenario 79: never_retry_on has its error type'),
	('not never', 2, '23505', $$ durable.retry_policy(3, never_retry_on => '{22,23503}') $$, 'completed "call 2, task 2, attempt 1"', 2, '{1 s}', 'scenario 79: never_retry_on has others'),
	('both', 2, '23505', $$ durable.retry_policy(3, retry_on => '{23}', never_retry_on => '{23505}') $$, 'failed 23505 call 1 fails', 1, '{}', 'never_retry_on is stronger'),
	('query canceled', 2, '57014', $$ durable.retry_policy(3, retry_on => '{57014}') $$, 'completed "call 2, task 2, attempt 1"', 2, '{1 s}', 'the SQLSTATE is the activity''s, not UD001'),
	('by hand', 2, 'P0001', $$ ROW(3, '1 s', NULL, NULL, NULL, NULL, NULL)::durable.retry_policy $$, 'completed "call 2, task 2, attempt 1"', 2, '{1 s}', 'a policy made as a row');
DO $$
DECLARE
	c record;
BEGIN
	FOR c IN SELECT * FROM cases LOOP
		EXECUTE format('CREATE SEQUENCE %I', 'calls_' || c.id);
		EXECUTE format('CREATE FUNCTION %I(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS %L', 'o ' || c.id,
			format('BEGIN RETURN durable.call_activity(''flaky'', %L, retry => %s); END', jsonb_build_object('name', c.id, 'times', c.times, 'sqlstate', c.sqlstate), c.policy));
	END LOOP;
END $$;
SELECT durable.start_instance(format('%I', 'o ' || id), instance_id => id) FROM cases \g /dev/null
:run_all
SELECT is(outcome(id), outcome, what) FROM cases;
SELECT is(calls(id), calls::bigint, 'number of calls: ' || what) FROM cases;
-- The delay is counted from the turn that saw the failure.
SELECT is(ARRAY(SELECT c.fire_at - o.timestamp FROM durable.history c JOIN durable.history o USING (instance_id, turn)
		WHERE instance_id = id AND c.event_type = 'TimerCreated' AND o.event_type = 'OrchestratorStarted' ORDER BY c.seq), delays,
	CASE id WHEN 'exhausted' THEN 'scenario 74: one timer less than attempts' ELSE 'delays: ' || what END) FROM cases;
SELECT is(story('exhausted'), '[OS ExecutionStarted TaskScheduled(0) OC] [OS TaskFailed->0 TimerCreated(1) OC] [OS TimerFired->1 TaskScheduled(2) OC] '
	'[OS TaskFailed->2 TimerCreated(3) OC] [OS TimerFired->3 TaskScheduled(4) OC] [OS TaskFailed->4 ExecutionCompleted(5) OC]',
	'scenario 73: history of three attempts, without a timer after the last');

-- Caught at the end, side by side, and within await_any().
CREATE SEQUENCE calls_left;
CREATE SEQUENCE calls_right;
CREATE FUNCTION side_by_side(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
BEGIN
	RETURN to_jsonb(durable.await_all(
		durable.schedule_activity('flaky', '{"name": "left", "times": 3}', retry => durable.retry_policy(3, '10 s')),
		durable.schedule_activity('flaky', '{"name": "right", "times": 2}', retry => durable.retry_policy(3, '15 s'))));
END $$;
CREATE FUNCTION caught(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
BEGIN
	PERFORM durable.call_activity('fail', '{"message": "m", "sqlstate": "22012"}', retry => durable.retry_policy(2));
	RETURN '"no failure"';
EXCEPTION WHEN division_by_zero THEN
	RETURN '"caught"';
END $$;
CREATE FUNCTION race(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
DECLARE
	flaky durable.task := durable.schedule_activity('fail', '{"message": "m"}', retry => durable.retry_policy(2, '1 hour'));
	timer durable.task := durable.create_timer('30 min');
BEGIN
	RETURN to_jsonb(durable.await_any(flaky, timer) = timer);
END $$;

-- Sub-orchestrations.
CREATE SEQUENCE calls_child;
CREATE SEQUENCE calls_fixed;
CREATE FUNCTION flaky_child(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$ BEGIN RETURN durable.call_activity('flaky', input); END $$;
CREATE FUNCTION parent(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$ BEGIN RETURN durable.call_suborchestrator('flaky_child', '{"name": "child", "times": 3}', retry => durable.retry_policy(3)); END $$;
CREATE FUNCTION parent_fixed(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$ BEGIN RETURN durable.call_suborchestrator('flaky_child', '{"name": "fixed", "times": 3}', instance_id => 'fixed child', retry => durable.retry_policy(3)); END $$;
CREATE FUNCTION hopeless(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'hopeless' USING ERRCODE = 'ZZ009'; END $$;
CREATE FUNCTION parent_exhausted(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$ BEGIN RETURN durable.call_suborchestrator('hopeless', retry => durable.retry_policy(2)); END $$;
SELECT start(f) FROM unnest(ARRAY['side_by_side', 'caught', 'race', 'parent', 'parent_fixed', 'parent_exhausted']) f;
:run_all
SELECT is(outcome('side_by_side'), 'completed ["call 3, task 7, attempt 1", "call 2, task 6, attempt 1"]', 'two retried tasks side by side share one numbering');
-- Which of them share a turn is not laid down.
SELECT is(replace(story('side_by_side'), ' OC] [OS', ''), '[OS ExecutionStarted TaskScheduled(0) TaskScheduled(1) TaskFailed->0 TaskFailed->1 TimerCreated(2) TimerCreated(3) '
	'TimerFired->2 TaskScheduled(4) TaskFailed->4 TimerCreated(5) TimerFired->3 TaskScheduled(6) TaskCompleted->6 TimerFired->5 TaskScheduled(7) '
	'TaskCompleted->7 ExecutionCompleted(8) OC]', 'in the order of what happened');
SELECT is(outcome('caught'), 'completed "caught"', 'the failure of the last attempt can be caught');
SELECT is(events('caught', 'TaskScheduled'), 2::bigint, 'after the retries');
SELECT is(outcome('race'), 'completed true', 'a task between two attempts is not finished for await_any()');
SELECT alike(outcome('parent'), 'completed "call 3, %', 'scenario 57: a child is retried until it succeeds');
SELECT is((SELECT count(*) FROM durable.instances WHERE parent_instance_id = 'parent'), 3::bigint, 'scenario 57: each attempt is a new instance');
SELECT is(outcome('parent_exhausted'), 'failed ZZ009 hopeless', 'scenario 58: retries of a child exhausted');
SELECT is(events('parent_exhausted', 'SubOrchestrationInstanceFailed'), 2::bigint, 'scenario 58: after two attempts');
SELECT alike(outcome('parent_fixed'), 'completed "call 3, %', 'scenario 59: a failed child of a fixed id is run again');
SELECT is((SELECT status || ' ' || generation FROM durable.instances WHERE instance_id = 'fixed child'), 'completed 3', 'scenario 59: in place of the failed one');

-- A lost conflict is repeated by the engine, without a policy, and not reported.
CREATE SEQUENCE calls_conflict;
CREATE SEQUENCE calls_deadlock;
SELECT start('call', '{"name": "flaky", "input": {"name": "conflict", "times": 3, "sqlstate": "40001"}}', 'conflict');
SELECT start('call', '{"name": "flaky", "input": {"name": "deadlock", "times": 2, "sqlstate": "40P01"}}', 'deadlock');
:run_all
SELECT is(outcome('conflict'), 'completed "call 3, task 0, attempt 3"', 'a serialization failure is repeated by the engine');
SELECT is(outcome('deadlock'), 'completed "call 2, task 0, attempt 2"', 'a deadlock too');
SELECT is(story('conflict'), '[OS ExecutionStarted TaskScheduled(0) OC] [OS TaskCompleted->0 ExecutionCompleted(1) OC]', 'it is one task in the history');

-- What makes no policy.
SELECT throws_ok(sql, '22023', 'invalid retry policy: ' || problem, problem) FROM (VALUES
	('SELECT durable.retry_policy(0)', 'max_attempts must be at least 1'),
	('SELECT durable.retry_policy(NULL)', 'max_attempts must be at least 1'),
	('SELECT durable.retry_policy(3, NULL)', 'first_interval must not be null'),
	('SELECT durable.retry_policy(3, ''0'')', 'first_interval must be positive'),
	('SELECT durable.retry_policy(3, ''-1 s'')', 'first_interval must be positive'),
	('SELECT durable.retry_policy(3, backoff => 0.5)', 'backoff must be between 1 and 1000000'),
	('SELECT durable.retry_policy(3, backoff => ''NaN'')', 'backoff must be between 1 and 1000000'),
	('SELECT durable.retry_policy(3, max_interval => ''-1 s'')', 'max_interval must be positive'),
	('SELECT durable.retry_policy(3, timeout => ''0'')', 'timeout must be positive'),
	('SELECT durable.retry_policy(3, retry_on => ''{NULL}'')', 'retry_on and never_retry_on must not contain nulls')) v (sql, problem);
CREATE FUNCTION bad_row(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$ BEGIN RETURN durable.call_activity('same', '1', retry => ROW(0, '1 s', NULL, NULL, NULL, NULL, NULL)::durable.retry_policy); END $$;
SELECT start('bad_row');
:run
SELECT is(outcome('bad_row'), 'failed 22023 invalid retry policy: max_attempts must be at least 1', 'a row that makes no sense');
SELECT * FROM finish();
