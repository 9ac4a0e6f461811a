-- check_replay(), check_replays(): recorded histories against code.
\ir include/setup.psql
-- Code is changed under running instances here, which would finish on their own.
SET durable.on_code_change = latest;
SELECT no_plan();

-- What check_replay() says, in a line: "fits", or "seq event: recorded | requested".
CREATE FUNCTION verdict(id text, code text DEFAULT NULL) RETURNS text LANGUAGE sql AS
$$
	SELECT CASE WHEN fits THEN 'fits' ELSE concat_ws(' ', event_seq || '', event) || ': ' || recorded || ' | ' || requested END
	FROM durable.check_replay($1, $2::regprocedure)
$$;
CREATE FUNCTION define(name text, code text) RETURNS text LANGUAGE plpgsql AS
$$
BEGIN
	EXECUTE format('CREATE FUNCTION %I(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS %L', name,
		'DECLARE t durable.task; u durable.task; BEGIN ' || code || ' END');
	RETURN '# defined ' || name;
END $$;

-- ---------------------------------------------------------------------------
-- Finished, with everything in it

SELECT define('child', $$ RETURN durable.call_activity('same', input); $$);
SELECT define('everything', $$
	PERFORM durable.set_custom_status(to_jsonb(random()));
	PERFORM durable.call_activity('same', to_jsonb(i)) FROM generate_series(1, 2) i;
	t := durable.create_timer('1 h');
	u := durable.expect_event('go');
	IF durable.await_any(t, u) = u THEN PERFORM durable.cancel_timer(t); END IF;
	BEGIN
		PERFORM durable.call_activity('fail', '{"message": "m"}', retry => durable.retry_policy(2));
	EXCEPTION WHEN OTHERS THEN
		PERFORM durable.sleep('1 h');
	END;
	PERFORM durable.send_event('nobody', 'hello');
	PERFORM durable.start_detached('child', '1');
	IF input IS NULL THEN
		PERFORM durable.continue_as_new('1');
		RETURN NULL;
	END IF;
	RETURN jsonb_build_array(now(), durable.new_guid(), random(), durable.call_suborchestrator('child', '2')); $$);
SELECT start('everything');
SELECT durable.raise_event('everything', 'go') FROM generate_series(1, 2) \g /dev/null
:run_all
SELECT is(status('everything'), 'completed', 'all kinds of events');
SELECT is(verdict('everything'), 'fits', 'a history fits the code that made it, with time, random numbers and ids');
SELECT is(count(*) FILTER (WHERE fits), count(*), 'so do all that it started') FROM durable.check_replays();
SELECT is(count(*), 4::bigint, 'which are there: itself, two detached ones, a sub-orchestration') FROM durable.check_replays();

-- Completed with a sequence of activities: one orchestrator, and others its history is held against.
SELECT define('two', $$ PERFORM durable.call_activity('same', '1'); RETURN durable.call_activity('effect', '{"what": "two"}'); $$);
SELECT start('two');
:run
SELECT is(story('two'), '[OS ExecutionStarted TaskScheduled(0) OC] [OS TaskCompleted->0 TaskScheduled(1) OC] [OS TaskCompleted->1 ExecutionCompleted(2) OC]', 'two activities');
SELECT is(verdict('two'), 'fits', 'fits');
CREATE TABLE others (name text, code text, verdict text);
INSERT INTO others VALUES
	('same sequence', $$ RETURN durable.call_activity('effect', '{}') FROM durable.call_activity('same', '5'); $$, 'fits'),
	('other case', $$ PERFORM durable.call_activity('SAME', '1'); RETURN durable.call_activity('Effect', '{}'); $$, 'fits'),
	('other name', $$ PERFORM durable.call_activity('other', '1'); RETURN durable.call_activity('effect', '{}'); $$, '3 TaskScheduled: activity "same" | activity "other"'),
	('both others', $$ t := durable.schedule_activity('other', '1'); PERFORM durable.schedule_activity('another', '1'); RETURN durable.await(t); $$, '3 TaskScheduled: activity "same" | activity "other"'),
	('other second', $$ PERFORM durable.call_activity('same', '1'); RETURN durable.call_activity('other', '{}'); $$, '7 TaskScheduled: activity "effect" | activity "other"'),
	('other order', $$ PERFORM durable.call_activity('effect', '{}'); RETURN durable.call_activity('same', '1'); $$, '3 TaskScheduled: activity "same" | activity "effect"'),
	('other kind', $$ PERFORM durable.sleep('1 h'); RETURN durable.call_activity('effect', '{}'); $$, '3 TaskScheduled: activity "same" | timer'),
	('a child', $$ PERFORM durable.call_suborchestrator('child'); RETURN durable.call_activity('effect', '{}'); $$, '3 TaskScheduled: activity "same" | sub-orchestration "child"'),
	('inserted', $$ PERFORM durable.call_activity('same', '1'); PERFORM durable.sleep('1 s'); RETURN durable.call_activity('effect', '{}'); $$, '7 TaskScheduled: activity "effect" | timer'),
	('removed', $$ RETURN durable.call_activity('effect', '{}'); $$, '3 TaskScheduled: activity "same" | activity "effect"'),
	('nothing', $$ RETURN '1'; $$, '3 TaskScheduled: activity "same" | completes'),
	('one only', $$ RETURN durable.call_activity('same', '1'); $$, '7 TaskScheduled: activity "effect" | completes'),
	('waits first', $$ PERFORM durable.wait_for_event('go'); PERFORM durable.call_activity('same', '1'); RETURN durable.call_activity('effect', '{}'); $$, '3 TaskScheduled: activity "same" | waits'),
	('continues', $$ PERFORM durable.call_activity('same', '1'); PERFORM durable.continue_as_new('1'); RETURN NULL; $$, '7 TaskScheduled: activity "effect" | continues as new'),
	('raises at once', $$ RAISE 'mistake'; $$, '3 TaskScheduled: activity "same" | fails with SQLSTATE P0001: mistake'),
	('raises later', $$ PERFORM durable.call_activity('same', '1'); RAISE 'mistake'; $$, '7 TaskScheduled: activity "effect" | fails with SQLSTATE P0001: mistake'),
	('raises at the end', $$ PERFORM durable.call_activity('same', '1'); PERFORM durable.call_activity('effect', '{}'); RAISE 'mistake'; $$, '11 ExecutionCompleted: completes with "two" | fails with SQLSTATE P0001: mistake'),
	('other output', $$ PERFORM durable.call_activity('same', '1'); RETURN durable.call_activity('effect', '{}') || '3'::jsonb; $$, '11 ExecutionCompleted: completes with "two" | completes with ["two", 3]'),
	('no output', $$ PERFORM durable.call_activity('same', '1'); PERFORM durable.call_activity('effect', '{}'); RETURN NULL; $$, '11 ExecutionCompleted: completes with "two" | completes with NULL'),
	('a third', $$ PERFORM durable.call_activity('same', '1'); PERFORM durable.call_activity('effect', '{}'); RETURN durable.call_activity('third', '{}'); $$, '11 ExecutionCompleted: completes with "two" | activity "third"'),
	('not awaited', $$ PERFORM durable.call_activity('same', '1'); t := durable.schedule_activity('effect', '{}'); PERFORM durable.schedule_activity('third'); RETURN durable.await(t); $$, '11 ExecutionCompleted: completes with "two" | activity "third"'),
	('continues at the end', $$ PERFORM durable.call_activity('same', '1'); PERFORM durable.call_activity('effect', '{}'); PERFORM durable.continue_as_new('7'); RETURN NULL; $$, '11 ExecutionCompleted: completes with "two" | continues as new with 7'),
	('waits at the end', $$ PERFORM durable.call_activity('same', '1'); PERFORM durable.call_activity('effect', '{}'); RETURN durable.wait_for_event('go'); $$, '11 ExecutionCompleted: completes with "two" | waits'),
	('never there', $$ PERFORM durable.call_activity('same', '1'); PERFORM no_such_function(); RETURN 1; $$, '7 TaskScheduled: activity "effect" | fails with SQLSTATE 42883: function no_such_function() does not exist');
SELECT define(name, code) FROM others \g /dev/null
SELECT is(verdict('two', quote_ident(name) || '(jsonb)'), verdict, 'against: ' || name) FROM others;
SELECT alike((SELECT message FROM durable.check_replay('two', '"other name"(jsonb)')),
	'A previous execution of this orchestration scheduled an activity task with sequence number 0 named ''same''%Was a change made to the orchestrator code after this instance had already started running?',
	'the message is that of a replay, about the first difference');
SELECT is((SELECT count(*) FROM effects), 1::bigint, 'and nothing was done');

-- The end
SELECT define('long', $$ RETURN to_jsonb(repeat('x', 1000) || coalesce(input, '1') || repeat('y', 1000)); $$);
SELECT define('longer', $$ RETURN to_jsonb(repeat('x', 1000) || '2' || repeat('y', 1000)); $$);
SELECT define('null', $$ RETURN 'null'; $$);
SELECT start('long'), start('null');
SELECT define('error', $$ RAISE 'm' USING DETAIL = 'one', HINT = 'two'; $$);
SELECT define('error moved', $$ PERFORM 1; PERFORM 2; RAISE 'm' USING DETAIL = 'one', HINT = 'two'; $$);
SELECT define('other error', $$ RAISE 'm' USING DETAIL = 'three', HINT = 'two'; $$);
SELECT define('inherits', $$ RETURN durable.call_activity('fail', '{"message": "m"}'); $$);
SELECT start('error'), start('inherits');
:run
SELECT alike(verdict('long', 'longer(jsonb)'), '3 ExecutionCompleted: ...%x1y%... | ...%x2y%...', 'of long outputs the part is shown that differs');
SELECT is(verdict('null'), 'fits', 'JSON null');
SELECT alike(verdict('null', '"continues"(jsonb)'), '%: completes with null | activity "same"', 'is one output');
SELECT define('nothing at all', $$ RETURN NULL; $$);
SELECT is(verdict('null', '"nothing at all"(jsonb)'), '3 ExecutionCompleted: completes with null | completes with NULL', 'and SQL NULL another');
SELECT is(verdict('error'), 'fits', 'an error of the code');
SELECT is(verdict('error', '"error moved"(jsonb)'), 'fits', 'wherever it is raised');
SELECT alike(verdict('error', '"other error"(jsonb)'), '3 ExecutionCompleted: %"detail": "one"% | %"detail": "three"%', 'its details count');
SELECT is(verdict('inherits'), 'fits', 'an error of an activity');
SELECT alike(verdict('inherits', 'long(jsonb)'), '3 TaskScheduled: activity "fail" | completes', 'against one that ends before');

-- ---------------------------------------------------------------------------
-- Running: what is new at the end is fine

SELECT define('waits', $$ PERFORM durable.call_activity('same', '1'); RETURN durable.wait_for_event('go'); $$);
SELECT start('waits');
:run
SELECT is(verdict('waits'), 'fits', 'running: its own code');
SELECT is(verdict('waits', 'two(jsonb)'), 'fits', 'new actions after what was recorded');
SELECT is(verdict('waits', '"one only"(jsonb)'), 'fits', 'and an earlier end');
SELECT is(verdict('waits', '"other name"(jsonb)'), '3 TaskScheduled: activity "same" | activity "other"', 'but nothing else before it');
SELECT is(verdict('waits', '"raises later"(jsonb)'), '6 TaskCompleted: waits | fails with SQLSTATE P0001: mistake', 'nor an error');
SELECT durable.suspend('waits') \g /dev/null
:run
SELECT is(status('waits') || ' ' || verdict('waits'), 'suspended fits', 'suspended');
SELECT is(verdict('waits', '"other name"(jsonb)'), '3 TaskScheduled: activity "same" | activity "other"', 'or not');
SELECT go('waits'), durable.resume('waits') \g /dev/null
:run
SELECT is(status('waits') || ' ' || verdict('waits'), 'completed fits', 'and resumed');

SELECT durable.start_instance('two', instance_id => 'pending', start_at => '2200-01-01') \g /dev/null
SELECT is((SELECT fits::text || message FROM durable.check_replay('pending')), 'trueThe instance has no history yet.', 'pending');

-- Terminated: cut off from outside
SELECT define('fan', $$ PERFORM durable.schedule_activity('same', to_jsonb(i)) FROM generate_series(1, 3) i; RETURN durable.wait_for_event('go'); $$);
SELECT start('fan'), start('fan', NULL, 'at once');
SELECT durable.terminate('at once', 'enough') \g /dev/null
:run
SELECT durable.terminate('fan', 'enough') \g /dev/null
:run
SELECT is(status('fan') || verdict('fan') || status('at once') || verdict('at once'), 'terminatedfitsterminatedfits', 'terminated');
SELECT is(verdict('fan', '"null"(jsonb)'), '3 TaskScheduled: activity "same" | completes', 'other code');
SELECT define('fan of two', $$ PERFORM durable.schedule_activity('same', to_jsonb(i)) FROM generate_series(1, 2) i; RETURN durable.wait_for_event('go'); $$);
SELECT is(verdict('fan', '"fan of two"(jsonb)'), '5 TaskScheduled: activity "same" | waits', 'that asks for less');

-- Split turns, rewound failures, what the engine ended
RESET SESSION AUTHORIZATION;
SET durable.max_messages_per_turn = 2;
SET SESSION AUTHORIZATION app;
SELECT define('wide', $$ RETURN to_jsonb(durable.await_all(VARIADIC (SELECT array_agg(durable.schedule_activity('same', to_jsonb(i))) FROM generate_series(1, 7) i))); $$);
SELECT start('wide');
:run_all
RESET SESSION AUTHORIZATION;
RESET durable.max_messages_per_turn;
SET SESSION AUTHORIZATION app;
SELECT is(status('wide') || ' ' || verdict('wide'), 'completed fits', 'turns that were split');
SELECT is(verdict('wide', 'two(jsonb)'), '4 TaskScheduled: activity "same" | waits', 'against other code');

CREATE TABLE switch (on_now boolean);
INSERT INTO switch VALUES (false);
CREATE FUNCTION switched() RETURNS int LANGUAGE plpgsql AS $$ BEGIN IF on_now FROM switch THEN RETURN 1; END IF; RAISE 'off'; END $$;
SELECT define('rewound', $$ PERFORM durable.call_activity('same', '1'); RETURN durable.call_activity('switched'); $$);
SELECT start('rewound');
:run
SELECT is(status('rewound') || ' ' || verdict('rewound'), 'failed fits', 'failed');
UPDATE switch SET on_now = true;
SELECT durable.rewind('rewound') \g /dev/null
SELECT ok((SELECT c.fits IS NOT NULL FROM durable.check_replay('rewound') c), 'about to be rewound');
:run
SELECT is(outcome('rewound') || ' ' || verdict('rewound'), 'completed 1 fits', 'and rewound');

SELECT start('waits', NULL, 'broken');
:run
CREATE OR REPLACE FUNCTION waits(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN durable.call_activity('effect', '{}'); END $$;
SELECT go('broken');
SELECT is(verdict('broken'), '3 TaskScheduled: activity "same" | activity "effect"', 'what would fail with UD002 is known before');
:run
SELECT is(failure('broken', 'sqlstate'), 'UD002', 'it has failed with UD002');
SELECT is(verdict('broken'), '3 TaskScheduled: activity "same" | activity "effect"', 'the same difference');
SELECT is(verdict('broken', 'two(jsonb)'), 'fits', 'and a function that would mend it fits');

SELECT start('two', NULL, 'dropped');
:run
DROP FUNCTION two(jsonb);
SELECT is(verdict('dropped'), '3 TaskScheduled: activity "same" | fails with SQLSTATE 42883: orchestrator function app.two(pg_catalog.jsonb) does not exist any more', 'the function is gone');
SELECT is(verdict('dropped', '"other case"(jsonb)'), 'fits', 'another one fits');

-- ---------------------------------------------------------------------------
-- Many

SELECT is((SELECT string_agg(instance_id || ' ' || fits, ', ' ORDER BY instance_id) FROM durable.check_replays('fan')), 'at once true, fan true', 'those of an orchestrator');
SELECT is((SELECT string_agg(instance_id || ' ' || fits || ' ' || coalesce(requested, ''), ', ' ORDER BY instance_id) FROM durable.check_replays('fan', '"null"(jsonb)')), 'at once true , fan false completes', 'against another function; one was terminated before it began');
SELECT is((SELECT string_agg(instance_id, ', ') FROM durable.check_replays('fan', max_count => 1)), 'at once', 'max_count: the newest first');
SELECT is_empty($$ SELECT * FROM durable.check_replays('nobody') $$, 'none');
SELECT is_empty($$ SELECT * FROM durable.check_replays(max_count => 0) $$, 'none of all');
CREATE FUNCTION twenty(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$ BEGIN FOR i IN 1 .. 5 LOOP PERFORM durable.call_activity('same', to_jsonb(i)); END LOOP; RETURN input; END $$;
SELECT durable.start_instance('twenty', instance_id => 't' || i) FROM generate_series(1, 250) i \g /dev/null
:run
SELECT is((SELECT array_agg(DISTINCT n) FROM (SELECT count(*) AS n FROM durable.history JOIN durable.instances USING (instance_id) WHERE instances.name = 'twenty' GROUP BY instance_id) h), ARRAY[24::bigint], '250 histories of 24 events');
SELECT is(count(*) FILTER (WHERE fits) || ' of ' || count(DISTINCT instance_id), '250 of 250', 'fit') FROM durable.check_replays('twenty');
CREATE OR REPLACE FUNCTION twenty(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$ BEGIN FOR i IN 1 .. 6 LOOP PERFORM durable.call_activity('same', to_jsonb(i)); END LOOP; RETURN input; END $$;
SELECT is(string_agg(DISTINCT concat_ws(' ', fits, event_seq, requested), ';'), 'f 23 activity "same"', 'and none after a change') FROM durable.check_replays('twenty');

-- ---------------------------------------------------------------------------
-- Leaves no trace, and knows its limits

CREATE FUNCTION counts(relation regclass) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER AS $$ DECLARE n bigint; BEGIN EXECUTE format('SELECT count(*) FROM %s', relation) INTO n; RETURN n; END $$;
SELECT define('writes', $$ INSERT INTO effects (what) VALUES ('written'); RETURN '1'; $$);
SELECT define('sets', $$ SET LOCAL work_mem = '123MB'; RETURN '1'; $$);
SELECT start('null', NULL, 'n');
:run
SELECT alike(verdict('n', 'writes(jsonb)'), '%fails with SQLSTATE UD008: writing to table app.effects is not allowed in an orchestrator', 'the code cannot write');
SELECT verdict('n', 'sets(jsonb)') \g /dev/null
SELECT isnt(current_setting('work_mem'), '123MB', 'nor change settings');
SELECT is(now(), transaction_timestamp(), 'the time is that of the session again');
BEGIN TRANSACTION READ ONLY;
SELECT is(verdict('everything'), 'fits', 'works in a read-only transaction');
COMMIT;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT is(verdict('everything'), 'fits', 'and above READ COMMITTED');
COMMIT;
SET durable.double_replay = on;
SELECT is(verdict('everything'), 'fits', 'and with double_replay');
RESET durable.double_replay;
RESET SESSION AUTHORIZATION;
SET durable.orchestrator_timeout = '100ms';
SET SESSION AUTHORIZATION app;
SELECT define('endless', $$ LOOP PERFORM 1; END LOOP; $$);
SELECT alike(verdict('n', 'endless(jsonb)'), '%fails with SQLSTATE 57014: orchestrator null ran for more than 100 ms without waiting', 'code that does not end is ended');
RESET SESSION AUTHORIZATION;
RESET durable.orchestrator_timeout;
SET SESSION AUTHORIZATION app;
SELECT is(verdict('everything'), 'fits', 'and the next check is as usual');

SELECT throws_ok($$ SELECT durable.check_replay('nobody') $$, 'UD004', NULL, 'no such instance');
SELECT throws_ok($$ SELECT durable.check_replay(NULL) $$, '22004', NULL, 'no instance');
SELECT throws_ok($$ SELECT durable.check_replay('null', 'now()') $$, '42P13', NULL, 'no orchestrator');
SELECT throws_ok($$ SELECT durable.check_replays(function => '"null"(jsonb)') $$, '22023', NULL, 'a function, but for which');
SELECT throws_ok($$ SELECT durable.check_replays(max_count => -1) $$, '22023', NULL, 'less than none');
SELECT throws_ok($$ SELECT durable.check_replay('null', task_hub => 'nowhere') $$, '42704', NULL, 'no such hub');
SELECT define('checks', $$ PERFORM durable.check_replay('null'); RETURN '1'; $$);
CREATE FUNCTION checks_replays() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM durable.check_replays()';
SELECT define('lets check', $$ RETURN durable.call_activity('checks_replays'); $$);
SELECT start('checks'), start('"lets check"', NULL, 'lets check');
:run
SELECT is(outcome('checks'), 'failed UD008 durable.check_replay() cannot be called in an orchestrator', 'not in an orchestrator');
SELECT is(outcome('lets check'), 'failed UD008 histories cannot be replayed in an activity', 'nor in an activity');

-- ---------------------------------------------------------------------------
-- Strictly: with inputs

CREATE FUNCTION asks(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
DECLARE
	t durable.task := durable.create_timer('1 h');
BEGIN
	PERFORM durable.call_activity('same', '{"a": 1, "b": [2]}'), durable.call_activity('same'), durable.call_sql('SELECT $1 + 1', 1),
		durable.call_suborchestrator('asked', '"x"'), durable.start_detached('asked', '"y"'), durable.send_event('nobody', 'e', '"z"'), durable.cancel_timer(t);
	RETURN durable.wait_for_event('go');
END $$;
CREATE FUNCTION asked(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN input; END $$;
SELECT start('asks'), start('asks', id => 'asks done');
:run
SELECT go('asks done');
:run
SELECT durable.import_history(durable.export_history('asks'), 'asks imported') \g /dev/null
CREATE FUNCTION strict_verdict(id text, function text DEFAULT NULL) RETURNS text LANGUAGE sql AS
$$ SELECT CASE WHEN fits THEN 'fits' ELSE concat_ws(': ', event, recorded, requested) END FROM durable.check_replay(id, function::regprocedure, strict => true) $$;
SELECT is(strict_verdict(id), 'fits', id || ' fits strictly') FROM unnest(ARRAY['asks', 'asks done', 'asks imported', 'everything']) id;
SELECT is_empty($$ SELECT instance_id FROM durable.check_replays() a WHERE fits AND NOT (SELECT bool_and(fits) FROM durable.check_replays(strict => true) b WHERE b.instance_id = a.instance_id) $$,
	'what fits and has not changed fits strictly');
CREATE FUNCTION define_asks(name text, part text, instead text) RETURNS void LANGUAGE plpgsql AS
$$
BEGIN
	EXECUTE replace(replace(pg_get_functiondef('asks(jsonb)'::regprocedure), part, instead), 'app.asks', quote_ident(name));
END $$;
CREATE TABLE other_inputs (name text, part text, instead text, expected text);
INSERT INTO other_inputs VALUES
	('other value', '"b": [2]', '"b": [3]', 'TaskScheduled: activity "same" with {"a": 1, "b": [2]}: activity "same" with {"a": 1, "b": [3]}'),
	('an input more', $$activity('same')$$, $$activity('same', 'null')$$, 'TaskScheduled: activity "same" with NULL: activity "same" with null'),
	('an input less', $$activity('same', '{"a": 1, "b": [2]}')$$, $$activity('same')$$, 'TaskScheduled: activity "same" with {"a": 1, "b": [2]}: activity "same" with NULL'),
	('other key order', '{"a": 1, "b": [2]}', '{"b": [2], "a": 1.0}', 'fits'),
	('other statement', 'SELECT $1 + 1', 'SELECT $1 + 2', NULL),
	('other parameter', '+ 1'', 1)', '+ 1'', 2)', NULL),
	('other child input', '"x"', '"w"', 'SubOrchestrationInstanceCreated: sub-orchestration "asked" with "x": sub-orchestration "asked" with "w"'),
	('other detached input', '"y"', '"w"', NULL),
	('other event data', '"z"', '"w"', NULL),
	('other timer', '1 h', '2 h', 'fits');
SELECT define_asks(name, part, instead) FROM other_inputs \g /dev/null
SELECT is((SELECT fits FROM durable.check_replay('asks', format('%I(jsonb)', name)::regprocedure)), true, name || ' fits otherwise') FROM other_inputs;
SELECT is(strict_verdict(id, format('%I(jsonb)', name)), expected, name || ', strictly, ' || id) FROM other_inputs, unnest(ARRAY['asks', 'asks done', 'asks imported']) id WHERE expected IS NOT NULL;
SELECT isnt(strict_verdict('asks', format('%I(jsonb)', name)), 'fits', name || ' is found strictly') FROM other_inputs WHERE expected IS NULL;
SELECT is((SELECT string_agg(instance_id, ', ' ORDER BY instance_id) FROM durable.check_replays('asks', '"other value"(jsonb)', strict => true) WHERE NOT fits), 'asks, asks done, asks imported', 'check_replays(), too');
SELECT throws_ok($$ SELECT durable.check_replay('asks', strict => NULL) $$, '22004', NULL, 'strict or not');

-- ---------------------------------------------------------------------------
-- Helpers that have changed

CREATE FUNCTION below(n int) RETURNS int LANGUAGE sql AS 'SELECT n';
CREATE FUNCTION helps(n int) RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN below(n); END';
CREATE FUNCTION other_helps(n int) RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN n; END';
CREATE FUNCTION unused(n int) RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN n; END';
CREATE FUNCTION with_helpers(input jsonb) RETURNS jsonb LANGUAGE plpgsql SET search_path = app AS $$ BEGIN RETURN jsonb_build_array(helps(1), other_helps(2), durable.call_activity('unused', '{"n": 1}')); END $$;
CREATE FUNCTION in_path(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN jsonb_build_array(helps(1), durable.wait_for_event('go')); END $$;
SELECT start('with_helpers'), start('in_path');
:run
SELECT durable.import_history(durable.export_history('with_helpers'), 'helpers imported') \g /dev/null
\setenv PGDATABASE :DBNAME
\setenv PGHOST :HOST
\setenv PGPORT :PORT
\set notices `psql -X -q -U app -c "SELECT durable.check_replay('with_helpers')" 2>&1 | grep '^NOTICE'`
SELECT is(:'notices'::text, '', 'no helper has changed');
CREATE OR REPLACE FUNCTION unused(n int) RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN n + 1; END';
CREATE OR REPLACE FUNCTION with_helpers(input jsonb) RETURNS jsonb LANGUAGE plpgsql SET search_path = app AS $$ BEGIN RETURN jsonb_build_array(helps(1), other_helps(2), durable.call_activity('unused', '{"n": 1}')); END $$;
\set notices `psql -X -q -U app -c "SELECT durable.check_replay('with_helpers')" 2>&1 | grep '^NOTICE'`
SELECT is(:'notices'::text, '', 'the orchestrator and its activities are no helpers');
CREATE OR REPLACE FUNCTION below(n int) RETURNS int LANGUAGE sql AS 'SELECT n + 10';
DROP FUNCTION other_helps;
CREATE FUNCTION other_helps(n int) RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN n; END';
\set notices `psql -X -q -U app -c "SELECT durable.check_replay('with_helpers')" 2>&1 | grep '^NOTICE'`
SELECT is(:'notices'::text, E'NOTICE:  function app.below(integer), which the orchestrator calls, was created or altered after the instance began\nNOTICE:  function app.other_helps(integer), which the orchestrator calls, was created or altered after the instance began',
	'those that were replaced or made anew are named, however deep');
\set notices `psql -X -q -U app -c "SET search_path = pg_catalog" -c "SELECT durable.check_replay('in_path')" 2>&1 | grep '^NOTICE'`
SELECT is(:'notices'::text, 'NOTICE:  function app.below(integer), which the orchestrator calls, was created or altered after the instance began', 'they are found in the search_path of the instance, which may still run');
\set notices `psql -X -q -U app -c "SELECT durable.check_replay('helpers imported')" 2>&1 | grep '^NOTICE'`
SELECT is(:'notices'::text, '', 'of an imported history nobody can tell');
SELECT start('with_helpers', id => 'later');
:run
\set notices `psql -X -q -U app -c "SELECT durable.check_replay('later')" 2>&1 | grep '^NOTICE'`
SELECT is(:'notices'::text, '', 'nor are there notices for an instance that began later');
SELECT alike(verdict('with_helpers'), '%11, 2%', 'and the replay itself finds what came of it');

RESET SESSION AUTHORIZATION;
SELECT throws_ok($$ SELECT durable.check_replay('null', task_hub => 'app') $$, '42501', NULL, 'not in a superuser''s session');
SET ROLE app;
SELECT throws_ok($$ SELECT * FROM durable.check_replays() $$, '42501', NULL, 'SET ROLE is not enough');
RESET ROLE;
CREATE FUNCTION app.as_superuser() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS $$ SELECT count(*) FROM durable.check_replays(task_hub => 'app') $$;
SET SESSION AUTHORIZATION app;
SELECT throws_ok($$ SELECT as_superuser() $$, '42501', NULL, 'nor in a function with more rights');
SELECT * FROM finish();
