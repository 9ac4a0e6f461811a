-- Retry policies.
\ir include/setup.psql
SELECT plan(147);

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
	('capped at once', 99, 'P0001', $$ durable.retry_policy(3, '10 s', 3, max_interval => '4 s') $$, 'failed P0001 call 3 fails', 3, '{4 s, 4 s}', 'scenario 75: a cap below the first interval'),
	('early timeout', 99, 'P0001', $$ durable.retry_policy(9, '10 s', timeout => '5 s') $$, 'failed P0001 call 2 fails', 2, '{10 s}', 'scenario 76: a timeout shorter than the interval: the attempt that was due is made'),
	('late timeout', 99, 'P0001', $$ durable.retry_policy(3, '10 s', timeout => '1 day') $$, 'failed P0001 call 3 fails', 3, '{10 s, 10 s}', 'scenario 76: a timeout that is not reached'),
	('backoff timeout', 99, 'P0001', $$ durable.retry_policy(99, '1 s', 2, timeout => '20 s') $$, 'failed P0001 call 6 fails', 6, '{1 s, 2 s, 4 s, 8 s, 16 s}', 'scenario 76: with back-off'),
	('in time', 3, 'P0001', $$ durable.retry_policy(9, '10 s', timeout => '25 s') $$, 'completed "call 3, task 4, attempt 1"', 3, '{10 s, 10 s}', 'scenario 76: success before the timeout'),
	('no class', 2, 'P0001', $$ durable.retry_policy(3, retry_on => '{22}') $$, 'failed P0001 call 1 fails', 1, '{}', 'scenario 77: a list that says no: no further attempt'),
	('class P0', 2, 'P0001', $$ durable.retry_policy(3, retry_on => '{P0}') $$, 'completed "call 2, task 2, attempt 1"', 2, '{1 s}', 'scenario 79: RAISE EXCEPTION, by its class'),
	('type case', 2, '22012', $$ durable.retry_policy(3, retry_on => '{DIVISION_BY_ZERO}') $$, 'completed "call 2, task 2, attempt 1"', 2, '{1 s}', 'scenario 79: error types ignore case'),
	('own state', 2, 'ZZ001', $$ durable.retry_policy(3, retry_on => '{ZZ001}') $$, 'completed "call 2, task 2, attempt 1"', 2, '{1 s}', 'scenario 79: an SQLSTATE without a name'),
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
SELECT is_empty($$ SELECT id, calls(id), events(id, 'TimerCreated') FROM cases WHERE events(id, 'TimerCreated') <> calls(id) - 1 OR events(id, 'TimerFired') <> calls(id) - 1 $$,
	'scenario 74: in every case one timer less than attempts, and all have fired');
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

-- ---------------------------------------------------------------------------
-- The same lists, delays and limits for sub-orchestrations

CREATE TABLE child_cases (id text PRIMARY KEY, times int, sqlstate text, policy text, outcome text, attempts int, delays interval[], what text);
INSERT INTO child_cases VALUES
	('child state', 2, '22012', $$ durable.retry_policy(3, retry_on => '{40001,22012}') $$, 'completed', 2, '{1 s}', 'scenario 79: retry_on has its SQLSTATE'),
	('child class', 2, '22012', $$ durable.retry_policy(3, retry_on => '{22}') $$, 'completed', 2, '{1 s}', 'scenario 79: retry_on has its class'),
	('child type', 2, '22012', $$ durable.retry_policy(3, retry_on => '{division_by_zero}') $$, 'completed', 2, '{1 s}', 'scenario 79: retry_on has its error type'),
	('child other', 2, '22012', $$ durable.retry_policy(3, retry_on => '{23,22003,unique_violation}') $$, 'failed 22012 call 1 fails', 1, '{}', 'scenario 79: retry_on has others'),
	('child never state', 2, '23505', $$ durable.retry_policy(3, never_retry_on => '{23505}') $$, 'failed 23505 call 1 fails', 1, '{}', 'scenario 79: never_retry_on has its SQLSTATE'),
	('child never class', 2, '23505', $$ durable.retry_policy(3, never_retry_on => '{23}') $$, 'failed 23505 call 1 fails', 1, '{}', 'scenario 79: never_retry_on has its class'),
	('child never type', 2, '23505', $$ durable.retry_policy(3, never_retry_on => '{unique_violation}') $$, 'failed 23505 call 1 fails', 1, '{}', 'scenario 79: never_retry_on has its error type'),
	('child backoff', 99, 'P0001', $$ durable.retry_policy(4, '1 s', 2, max_interval => '3 s') $$, 'failed P0001 call 4 fails', 4, '{1 s, 2 s, 3 s}', 'scenario 75: back-off with a cap'),
	('child timeout', 99, 'P0001', $$ durable.retry_policy(9, '10 s', timeout => '25 s') $$, 'failed P0001 call 4 fails', 4, '{10 s, 10 s, 10 s}', 'scenario 76: no attempt after the timeout');
DO $$
DECLARE
	c record;
BEGIN
	FOR c IN SELECT *, child_id FROM child_cases, unnest(ARRAY['default', 'fixed']) child_id LOOP
		EXECUTE format('CREATE SEQUENCE %I', 'calls_' || c.id || ' ' || c.child_id);
		EXECUTE format('CREATE FUNCTION %I(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS %L', 'o ' || c.id || ' ' || c.child_id,
			format('BEGIN RETURN durable.call_suborchestrator(''flaky_child'', %L, instance_id => %L, retry => %s); END',
				jsonb_build_object('name', c.id || ' ' || c.child_id, 'times', c.times, 'sqlstate', c.sqlstate), CASE c.child_id WHEN 'fixed' THEN c.id || ' fixed child' END, c.policy));
	END LOOP;
END $$;
SELECT durable.start_instance(format('%I', 'o ' || id || ' ' || child_id), instance_id => id || ' ' || child_id) FROM child_cases, unnest(ARRAY['default', 'fixed']) child_id \g /dev/null
:run_all
SELECT alike(outcome(id || ' ' || child_id), outcome || '%', format('%s (%s id of the child)', what, child_id)) FROM child_cases, unnest(ARRAY['default', 'fixed']) child_id;
SELECT is_empty($$ SELECT id, child_id FROM child_cases, unnest(ARRAY['default', 'fixed']) child_id, LATERAL (SELECT id || ' ' || child_id AS parent) p
	WHERE (calls(parent), events(parent, 'SubOrchestrationInstanceCreated'), events(parent, 'TimerCreated')) <> (attempts, attempts, attempts - 1) $$,
	'scenario 74: as many attempts as were wanted, each a sub-orchestration in the history, and one timer less');
SELECT is_empty($$ SELECT id, child_id FROM child_cases, unnest(ARRAY['default', 'fixed']) child_id WHERE delays <> ARRAY(SELECT c.fire_at - o.timestamp
	FROM durable.history c JOIN durable.history o USING (instance_id, turn) WHERE instance_id = id || ' ' || child_id AND c.event_type = 'TimerCreated' AND o.event_type = 'OrchestratorStarted' ORDER BY c.seq) $$,
	'scenario 75: with the delays that were wanted');
SELECT is_empty($$ SELECT id FROM child_cases WHERE (SELECT count(*) FROM durable.instances WHERE parent_instance_id = id || ' default') <> attempts $$, 'scenario 57: by default each attempt is an instance');
SELECT is_empty($$ SELECT id, i.generation FROM child_cases LEFT JOIN durable.instances i ON instance_id = id || ' fixed child' WHERE (generation, i.status) IS DISTINCT FROM (attempts, split_part(outcome, ' ', 1)) $$,
	'scenario 59: of a fixed id each attempt is a generation of one instance');
SELECT is((SELECT count(*) FROM durable.instances WHERE parent_instance_id LIKE '% fixed'), 9::bigint, 'scenario 59: one each');

-- A fixed id that is taken, a child that is terminated, one that cannot succeed.
CREATE FUNCTION waits(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN durable.wait_for_event('go'); END $$;
CREATE FUNCTION wants_taken(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$ BEGIN RETURN durable.call_suborchestrator('hopeful', instance_id => 'taken', retry => durable.retry_policy(2, '1 hour', retry_on => '{UD003}')); END $$;
CREATE FUNCTION hopeful(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN '"mine"'; END $$;
CREATE FUNCTION insists(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$ BEGIN RETURN durable.call_suborchestrator('waits', instance_id => 'wanted', retry => durable.retry_policy(2, '1 hour')); END $$;
CREATE FUNCTION differs(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN PERFORM durable.create_timer('1 s'); RETURN durable.wait_for_event('go'); END $$;
CREATE FUNCTION calls_differing(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN durable.call_suborchestrator('differs', instance_id => 'differing', retry => durable.retry_policy(3)); END $$;
CREATE FUNCTION calls_nothing(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN durable.call_activity('no_such_activity', retry => durable.retry_policy(3)); END $$;
CREATE FUNCTION parent_of_nothing(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN durable.call_suborchestrator('calls_nothing', retry => durable.retry_policy(3)); END $$;
SELECT start('waits', NULL, 'taken');
:run
SELECT start(f) FROM unnest(ARRAY['wants_taken', 'insists', 'calls_differing', 'parent_of_nothing']) f;
:run
CREATE OR REPLACE FUNCTION differs(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN durable.wait_for_event('go'); END $$;
SET durable.on_code_change = latest;
SELECT is(status('wants_taken') || ' ' || events('wants_taken', 'SubOrchestrationInstanceFailed'), 'running 1', 'a child whose id is taken has failed, and will be tried again');
SELECT go(id) FROM unnest(ARRAY['taken', 'differing']) id;
SELECT durable.terminate('wanted', 'not now') \g /dev/null
:run_all
SELECT is(outcome('wants_taken'), 'completed "mine"', 'when the id is free the second attempt has it');
SELECT is((SELECT status || ' ' || generation FROM durable.instances WHERE instance_id = 'wanted'), 'running 2', 'a child that was terminated is tried again, too');
SELECT go('wanted');
:run
SELECT is(status('insists') || ' ' || events('insists', 'SubOrchestrationInstanceFailed'), 'completed 1', 'and its second attempt answers the parent');
SELECT is(failure('calls_differing', 'sqlstate') || ' ' || events('calls_differing', 'SubOrchestrationInstanceCreated'), 'UD002 1', 'scenario 80: a child that is not deterministic is not tried again');
RESET durable.on_code_change;
SELECT is(failure('parent_of_nothing', 'sqlstate') || ' ' || events('parent_of_nothing', 'SubOrchestrationInstanceCreated'), '42883 1', 'scenario 80: nor one whose activity is unknown');

-- ---------------------------------------------------------------------------
-- Fan-out: each of the tasks has its own attempts and delays

DO $$ BEGIN FOR i IN 1..12 LOOP EXECUTE format('CREATE SEQUENCE "calls_fan %s"', i); END LOOP; END $$;
CREATE FUNCTION fan_out(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
DECLARE
	tasks durable.task[];
BEGIN
	FOR i IN 1..10 LOOP
		tasks := tasks || durable.schedule_activity('flaky', jsonb_build_object('name', 'fan ' || i, 'times', (i - 1) % 4 + 1), retry => durable.retry_policy(4, make_interval(secs => i), 2));
	END LOOP;
	RETURN (SELECT jsonb_agg(split_part(r #>> '{}', ',', 1)) FROM unnest(durable.await_all(tasks)) r);
END $$;
-- One has attempts left when another has none; a child among them.
CREATE FUNCTION fan_out_fails(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
BEGIN
	RETURN to_jsonb(durable.await_all(
		durable.schedule_suborchestrator('flaky_child', '{"name": "fan 11", "times": 3}', retry => durable.retry_policy(3, '1 min')),
		durable.schedule_activity('fail', '{"message": "exhausted", "sqlstate": "ZZ001"}', retry => durable.retry_policy(2, '1 s')),
		durable.schedule_activity('flaky', '{"name": "fan 12", "times": 4}', retry => durable.retry_policy(4, '1 hour'))));
END $$;
SELECT start(f) FROM unnest(ARRAY['fan_out', 'fan_out_fails']) f;
:run_all
SELECT is(output('fan_out'), '["call 1", "call 2", "call 3", "call 4", "call 1", "call 2", "call 3", "call 4", "call 1", "call 2"]', 'scenario 72: of ten tasks each is retried until it succeeds, and the results keep their order');
SELECT is(events('fan_out', 'TaskScheduled') || ' ' || events('fan_out', 'TaskFailed') || ' ' || events('fan_out', 'TimerCreated'), '23 13 13', 'scenario 74: with a timer for each failure');
SELECT is(outcome('fan_out_fails') || ' ' || calls('fan 11') || calls('fan 12'), 'failed ZZ001 exhausted 34', 'scenario 73: one is exhausted; the failure is raised when the others have had their attempts');

-- ---------------------------------------------------------------------------
-- Handlers: what no list can say is said by a loop

-- Decides by the failure whether and when there is another attempt: NULL says no.
CREATE FUNCTION decide(policy text, message text, attempt int) RETURNS interval LANGUAGE sql IMMUTABLE AS
$$
	SELECT CASE policy
		WHEN 'no' THEN NULL
		WHEN 'by text' THEN CASE WHEN message LIKE 'call _ fails' THEN interval '1 s' END
		WHEN 'by another text' THEN CASE WHEN message LIKE '%busy%' THEN interval '1 s' END
		WHEN 'delays' THEN make_interval(secs => 7 * attempt)
		WHEN 'switches' THEN CASE WHEN attempt < 3 THEN interval '30 s' END END
$$;
CREATE FUNCTION handled(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
DECLARE
	attempt int := 0;
	delay interval;
BEGIN
	LOOP
		attempt := attempt + 1;
		BEGIN
			RETURN durable.call_activity('flaky', input);
		EXCEPTION WHEN OTHERS THEN
			delay := decide(input ->> 'name', SQLERRM, attempt);
			IF delay IS NULL THEN
				RAISE;
			END IF;
		END;
		PERFORM durable.sleep(delay);
	END LOOP;
END $$;
CREATE TABLE handlers (id text, times int, outcome text, calls int, delays interval[], what text);
INSERT INTO handlers VALUES
	('no', 99, 'failed P0001 call 1 fails', 1, '{}', 'scenario 77: a handler that says no: one attempt, no endless loop'),
	('by text', 3, 'completed "call 3%', 3, '{1 s, 1 s}', 'scenario 79: by the text of the failure'),
	('by another text', 3, 'failed P0001 call 1 fails', 1, '{}', 'scenario 79: by a text it has not'),
	('delays', 4, 'completed "call 4%', 4, '{7 s, 14 s, 21 s}', 'scenario 78: a handler that gives the delay'),
	('switches', 99, 'failed P0001 call 3 fails', 3, '{30 s, 30 s}', 'scenario 78: a handler that gives a delay at first and then says no');
DO $$ DECLARE h record; BEGIN FOR h IN SELECT * FROM handlers LOOP EXECUTE format('CREATE SEQUENCE %I', 'calls_' || h.id); END LOOP; END $$;
SELECT start('handled', jsonb_build_object('name', id, 'times', times), 'handler ' || id) FROM handlers \g /dev/null
:run_all
SELECT alike(outcome('handler ' || id), outcome, what) FROM handlers;
SELECT is_empty($$ SELECT id, calls(id) FROM handlers WHERE calls(id) <> calls OR events('handler ' || id, 'TaskScheduled') <> calls $$, 'scenario 77: as many attempts as the handlers wanted');
SELECT is_empty($$ SELECT id FROM handlers WHERE delays <> ARRAY(SELECT c.fire_at - o.timestamp FROM durable.history c JOIN durable.history o USING (instance_id, turn)
	WHERE instance_id = 'handler ' || id AND c.event_type = 'TimerCreated' AND o.event_type = 'OrchestratorStarted' ORDER BY c.seq) $$, 'scenario 78: after the delays they wanted');

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
