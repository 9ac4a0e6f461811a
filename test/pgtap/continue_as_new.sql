-- continue_as_new().
\ir include/setup.psql
SELECT plan(65);

CREATE FUNCTION counter(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
DECLARE
	n int := (input #>> '{}')::int;
BEGIN
	IF n = 0 THEN
		RETURN '"done"';
	END IF;
	PERFORM durable.continue_as_new(to_jsonb(n - 1));
	RETURN '"not the output"';
END $$;
CREATE FUNCTION activity_each(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
DECLARE
	n int := (input ->> 'n')::int;
	sum jsonb := durable.call_activity('same', to_jsonb(n + (input ->> 'sum')::int));
BEGIN
	IF n < 10 THEN
		PERFORM durable.continue_as_new(jsonb_build_object('n', n + 1, 'sum', sum));
	END IF;
	RETURN sum;
END $$;
CREATE FUNCTION then_timer(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
BEGIN
	PERFORM durable.sleep('1 min');
	IF input IS NULL THEN
		PERFORM durable.continue_as_new('1');
	END IF;
	RETURN input;
END $$;
-- Takes one event a generation until "stop".
CREATE FUNCTION one_each(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
DECLARE
	e jsonb := durable.wait_for_event('item');
BEGIN
	IF e = '"stop"' THEN
		RETURN input;
	END IF;
	PERFORM durable.continue_as_new(input || e);
	RETURN NULL;
END $$;
CREATE FUNCTION drops(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
BEGIN
	IF input = '1' THEN
		PERFORM durable.wait_for_event('go');
		PERFORM durable.continue_as_new('2', keep_events => false);
		RETURN NULL;
	END IF;
	RETURN durable.wait_for_event('item');
END $$;
CREATE FUNCTION contention(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
DECLARE
	data jsonb;
BEGIN
	BEGIN
		data := durable.wait_for_event('data', '1 s');
	EXCEPTION WHEN SQLSTATE 'UD006' THEN
		data := NULL;
	END;
	IF durable.wait_for_event('complete') = 'true' THEN
		RETURN data;
	END IF;
	PERFORM durable.continue_as_new();
	RETURN NULL;
END $$;
CREATE FUNCTION keeps(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
BEGIN
	IF input = '3' THEN
		RETURN jsonb_build_array(durable.instance_tags(), durable.parent_instance_id(), durable.instance_version());
	END IF;
	IF input = '1' THEN
		PERFORM durable.set_custom_status('"from the first"');
	END IF;
	PERFORM durable.continue_as_new(to_jsonb((input #>> '{}')::int + 1));
	RETURN NULL;
END $$;
CREATE FUNCTION parent(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN durable.call_suborchestrator('keeps', '1', instance_id => 'child'); END $$;
CREATE FUNCTION new_version(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
BEGIN
	IF input IS NULL THEN
		PERFORM durable.continue_as_new('1', version => '2.0');
		RETURN NULL;
	END IF;
	RETURN to_jsonb(durable.instance_version());
END $$;
CREATE FUNCTION fails_after(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
BEGIN
	PERFORM durable.continue_as_new('1');
	RAISE EXCEPTION 'after all' USING ERRCODE = 'ZZ001';
END $$;
CREATE FUNCTION child_fails_after(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN durable.call_suborchestrator('fails_after'); END $$;
-- An answer to the first generation has the number of a task of the second.
CREATE FUNCTION old_answers(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
BEGIN
	IF input IS NULL THEN
		PERFORM durable.schedule_activity('effect', '{"what": "old"}');
		PERFORM durable.continue_as_new('2');
		RETURN NULL;
	END IF;
	PERFORM durable.wait_for_event('go');
	RETURN durable.call_activity('effect', '{"what": "new"}');
END $$;
CREATE FUNCTION children_each(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
DECLARE
	n int := (input #>> '{}')::int;
BEGIN
	PERFORM durable.schedule_suborchestrator('counter', '0');
	IF n < 15 THEN
		PERFORM durable.continue_as_new(to_jsonb(n + 1));
		RETURN NULL;
	END IF;
	RETURN durable.call_suborchestrator('counter', '0');
END $$;
CREATE FUNCTION last_call_wins(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
BEGIN
	IF input IS NULL THEN
		PERFORM durable.continue_as_new('1');
		PERFORM durable.continue_as_new('2');
		RETURN NULL;
	END IF;
	RETURN input;
END $$;
CREATE FUNCTION goes_on(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
BEGIN
	IF input IS NULL THEN
		PERFORM durable.continue_as_new('1');
		PERFORM durable.call_activity('effect', '{"what": "after the call"}');
		RETURN NULL;
	END IF;
	RETURN durable.wait_for_event('item');
END $$;
CREATE FUNCTION caught(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
BEGIN
	IF input IS NOT NULL THEN
		RETURN to_jsonb(durable.execution_id());
	END IF;
	BEGIN
		PERFORM durable.call_activity('fail', '{"message": "m"}');
	EXCEPTION WHEN raise_exception THEN
		PERFORM durable.continue_as_new(to_jsonb(durable.execution_id()));
	END;
	RETURN NULL;
END $$;
-- An endless loop of generations must not hold up the others.
CREATE FUNCTION endless(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
BEGIN
	PERFORM durable.continue_as_new(to_jsonb((input #>> '{}')::int + 1));
	RETURN NULL;
END $$;

SELECT start('counter', '10');
SELECT start('activity_each', '{"n": 1, "sum": 0}');
SELECT start('then_timer');
SELECT start('one_each', '[]');
SELECT start('drops', '1');
SELECT durable.start_instance('keeps', '1', 'keeps', version => '1.0', tags => '{"a": "b"}') \g /dev/null
SELECT durable.start_instance('parent', NULL, 'parent', tags => '{"a": "b"}') \g /dev/null
SELECT start(f) FROM unnest(ARRAY['contention', 'fails_after', 'child_fails_after', 'old_answers', 'last_call_wins', 'goes_on', 'caught']) f;
SELECT durable.start_instance('new_version', instance_id => 'new_version', version => '1.0') \g /dev/null
SELECT start('children_each', '1');
SELECT durable.raise_event('one_each', 'item', to_jsonb(n)) FROM generate_series(1, 4) n \g /dev/null
CREATE TABLE first_execution AS SELECT instance_id, execution_id FROM durable.instances;
:run
SELECT is(outcome('counter'), 'completed "done"', 'scenario 88: a counter by continue_as_new(); what the function returns then is no output');
SELECT is((SELECT generation || ' ' || input FROM durable.instances WHERE instance_id = 'counter'), '11 0', 'scenario 88: generations are counted, the input is the last one');
SELECT is(events('counter', 'ExecutionStarted') || ' ' || events('counter', 'ExecutionCompleted') || ' ' || events('counter', 'ContinueAsNew'), '1 1 0',
	'scenario 88: the history is of the last generation only');
SELECT is((SELECT count(*) FROM durable.instances i JOIN first_execution f USING (instance_id) WHERE instance_id = 'counter' AND i.execution_id = f.execution_id), 0::bigint,
	'scenario 88: the execution id is another one');
SELECT is((SELECT input FROM durable.history WHERE instance_id = 'counter' AND event_type = 'ExecutionStarted'), '0', 'scenario 88: ExecutionStarted has the new input');
SELECT is(outcome('activity_each'), 'completed 55', 'scenario 88: an activity in each generation');
SELECT is(story('activity_each'), '[OS ExecutionStarted OC TaskScheduled(0) OC] [OS TaskCompleted->0 ExecutionCompleted(1) OC]', 'the numbers of actions begin again at 0');
SELECT is(outcome('one_each'), 'running', 'scenario 90: waits for more');
SELECT is((SELECT input FROM durable.instances WHERE instance_id = 'one_each'), '[1, 2, 3, 4]', 'scenario 90: buffered events are carried over in order');
SELECT is(outcome('keeps'), 'completed [{"a": "b"}, null, "1.0"]', 'scenario 91: tags and version are kept');
SELECT is((SELECT custom_status FROM durable.instances WHERE instance_id = 'keeps'), '"from the first"', 'scenario 91: custom status is kept over two generations');
SELECT is(outcome('parent'), 'completed [{"a": "b"}, "parent", null]', 'scenario 91: a child that continued as new still answers its parent');
SELECT is((SELECT generation FROM durable.instances WHERE instance_id = 'child'), 3::bigint, 'scenario 91: in its third generation');
SELECT is(outcome('new_version'), 'completed "2.0"', 'scenario 92: the next generation has the new version');
SELECT is((SELECT version FROM durable.instances WHERE instance_id = 'new_version'), '2.0', 'scenario 92: in the view too');
SELECT is(outcome('fails_after'), 'failed ZZ001 after all', 'scenario 93: an exception after the call fails the instance');
SELECT is((SELECT generation FROM durable.instances WHERE instance_id = 'fails_after'), 1::bigint, 'scenario 93: it has not continued');
SELECT is(outcome('child_fails_after'), 'failed ZZ001 after all', 'scenario 93: and its parent is told');
SELECT is(outcome('last_call_wins'), 'completed 2', 'the last call wins');
SELECT is(effects('old'), 'old', 'an activity scheduled before continuing runs');
SELECT is(outcome('children_each'), 'completed "done"', 'scenario 95: many generations with sub-orchestrations');
SELECT is((SELECT count(*) || ' ' || count(DISTINCT instance_id) FROM durable.instances WHERE parent_instance_id = 'children_each' AND status = 'completed'), '16 16',
	'scenario 55: default ids of children do not collide over generations');
SELECT is(events('children_each', 'SubOrchestrationInstanceCompleted'), 2::bigint, 'scenario 95: results of earlier generations are dropped');
SELECT isnt(output('caught'), (SELECT input FROM durable.instances WHERE instance_id = 'caught'), 'continuing after a caught failure: it is another execution');
SELECT is((SELECT input #>> '{}' FROM durable.instances WHERE instance_id = 'caught'), (SELECT execution_id FROM first_execution WHERE instance_id = 'caught'), 'than the first');
SELECT is(effects('after the call'), 'after the call', 'the function goes on after the call until it returns');

SELECT durable.raise_event('drops', 'item', '"before"'), durable.raise_event('drops', 'go') \g /dev/null
SELECT durable.raise_event('one_each', 'item', to_jsonb(n)) FROM generate_series(5, 6) n \g /dev/null
SELECT durable.raise_event('one_each', 'item', '"stop"') \g /dev/null
SELECT go('old_answers');
SELECT durable.raise_event('goes_on', 'item', '"kept"') \g /dev/null
:run
SELECT is(outcome('one_each'), 'completed [1, 2, 3, 4, 5, 6]', 'scenario 90: all events, in order, over seven generations');
SELECT is(outcome('drops'), 'running', 'scenario 90: keep_events => false drops what is buffered');
SELECT is(outcome('old_answers'), 'completed "new"', 'scenario 94: a result for an earlier generation is ignored');
SELECT is(effects('new'), 'new', 'scenario 94: the activity of the new one ran');
SELECT is(events('old_answers', 'TaskCompleted'), 1::bigint, 'scenario 94: and only its result is in the history');
SELECT is(outcome('goes_on'), 'completed "kept"', 'an event for the next generation is delivered');
SELECT durable.raise_event('drops', 'item', '"after"') \g /dev/null
:run_all
SELECT is(outcome('drops'), 'completed "after"', 'scenario 90: later events arrive');
SELECT is(outcome('then_timer'), 'completed 1', 'scenario 89: a timer in each generation');
SELECT is(story('then_timer'), '[OS ExecutionStarted OC TimerCreated(0) OC] [OS TimerFired->0 ExecutionCompleted(1) OC]', 'scenario 89: history of the last');

SELECT durable.raise_event('contention', 'data', '42') \g /dev/null
SELECT durable.raise_event('contention', 'complete', 'false'), durable.raise_event('contention', 'complete', 'true') \g /dev/null
:run
SELECT is(outcome('contention'), 'completed 42', 'scenario 36: events queued across a timeout and continue_as_new() reach the right waits');
SELECT is((SELECT generation FROM durable.instances WHERE instance_id = 'contention'), 2::bigint, 'scenario 36: of the next generation');
SELECT is(story('contention'), '[OS ExecutionStarted EventRaised EventRaised OC ExecutionCompleted(1) OC]', 'scenario 90: the carried events stand after ExecutionStarted, what the generation does after them');

-- Events that arrive after the call in the same turn are carried over.
CREATE FUNCTION continues_early(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
BEGIN
	IF input IS NULL THEN
		PERFORM durable.continue_as_new('1');
		PERFORM durable.call_activity('same', '1');
		RETURN NULL;
	END IF;
	RETURN jsonb_build_array(durable.wait_for_event('a'), durable.wait_for_event('a'), durable.wait_for_event('a'));
END $$;
SELECT start('continues_early');
SELECT durable.raise_event('continues_early', 'a', to_jsonb(n)) FROM generate_series(1, 3) n \g /dev/null
:run
SELECT is(outcome('continues_early'), 'completed [1, 2, 3]', 'events that came before and after the call keep their order');

-- Many generations.
SELECT start('counter', '100', 'hundred');
:run
SELECT is((SELECT status || ' ' || generation FROM durable.instances WHERE instance_id = 'hundred'), 'completed 101', 'a hundred generations that never wait');
SELECT start('endless', '0');
SELECT start('counter', '1', 'beside endless');
-- It is never idle, so there is a timeout: enough for the other one.
SELECT cmp_ok(durable.run_until_idle('1 s'), '>', 2::bigint, 'an endless row of generations is done in many work items');
SELECT is(outcome('beside endless'), 'completed "done"', 'and others have their turns');
SELECT is(status('endless'), 'running', 'it runs on');
SELECT durable.terminate('endless', 'stop it') \g /dev/null
:run
SELECT is(outcome('endless'), 'terminated "stop it"', 'until it is terminated');

-- Twenty generations in a work item; the next one goes on in another.
SELECT start('counter', '19', 'twenty');
SELECT is(durable.run_until_idle(), 1::bigint, 'twenty generations are one work item');
SELECT is(outcome('twenty') || ' ' || story('twenty'), 'completed "done" [OS ExecutionStarted OC ExecutionCompleted(0) OC]', 'which completes');
SELECT start('counter', '20', 'twenty-one');
SELECT is(durable.run_until_idle(), 2::bigint, 'the twenty-first is another one');
SELECT is(outcome('twenty-one') || ' ' || (SELECT generation FROM durable.instances WHERE instance_id = 'twenty-one'), 'completed "done" 21', 'it completes too');
SELECT is(story('twenty-one'), '[OS ExecutionStarted OC] [OS GenericEvent ExecutionCompleted(0) OC]', 'in a second turn of the last generation');
SELECT start('counter', '45', 'forty-six');
SELECT is(durable.run_until_idle(), 3::bigint, 'forty-six generations are three work items');
SELECT is(outcome('forty-six'), 'completed "done"', 'which complete');
-- Two of them take turns, and one that comes later has its turn in between.
SELECT start('counter', '59', 'left');
SELECT start('counter', '59', 'right');
SELECT is(durable.run_until_idle(), 6::bigint, 'two of sixty generations are three work items each');
-- Carried events stay in order, also from one work item to the next.
SELECT start('one_each', '[]', 'forty-five events');
:run
SELECT durable.raise_event('forty-five events', 'item', to_jsonb(n)) FROM generate_series(1, 45) n \g /dev/null
SELECT durable.raise_event('forty-five events', 'other', '"left"') \g /dev/null
SELECT cmp_ok(durable.run_until_idle(), '>=', 3::bigint, 'forty-five events, a generation each, in more than two work items');
SELECT is((SELECT input FROM durable.instances WHERE instance_id = 'forty-five events'), (SELECT jsonb_agg(n) FROM generate_series(1, 45) n), 'scenario 90: all are taken, in order');
SELECT is((SELECT generation || ' ' || status FROM durable.instances WHERE instance_id = 'forty-five events'), '46 running', 'scenario 90: each by a generation of its own');
SELECT is((SELECT array_agg(name ORDER BY seq) FROM durable.history WHERE instance_id = 'forty-five events' AND event_type = 'EventRaised'), '{other}', 'scenario 90: the one nobody took is carried to the last');
SELECT durable.raise_event('forty-five events', 'item', '"stop"') \g /dev/null
:run
SELECT is(status('forty-five events'), 'completed', 'and it completes');

-- Events of several names and case keep their order among themselves.
CREATE FUNCTION names(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
BEGIN
	IF input IS NULL THEN
		PERFORM durable.wait_for_event('start');
		PERFORM durable.continue_as_new('1');
		RETURN NULL;
	END IF;
	RETURN jsonb_build_array(durable.wait_for_event('b'), durable.wait_for_event('a'), durable.wait_for_event('a'), durable.wait_for_event('b'));
END $$;
SELECT start('names');
SELECT durable.raise_event('names', name, to_jsonb(n)) FROM (VALUES (1, 'a'), (2, 'b'), (3, 'start'), (4, 'B'), (5, 'A')) v (n, name) \g /dev/null
:run
SELECT is(outcome('names'), 'completed [2, 1, 5, 4]', 'scenario 90: carried events of several names, from before and after the call');

-- A timer of the first generation has the number of one of the second.
CREATE FUNCTION old_timer(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
DECLARE
	begun timestamptz := durable.orchestration_time();
BEGIN
	IF input IS NULL THEN
		PERFORM durable.create_timer('1 hour');
		PERFORM durable.continue_as_new('1');
		RETURN NULL;
	END IF;
	PERFORM durable.sleep('3 hours');
	RETURN to_jsonb(durable.orchestration_time() - begun >= interval '3 hours');
END $$;
SELECT start('old_timer');
:run_all
SELECT is(outcome('old_timer') || ' ' || events('old_timer', 'TimerFired'), 'completed true 1', 'scenario 94: a timer of an earlier generation is ignored');

-- Terminate wins over continue-as-new of the same turn, whatever came first.
SELECT start('one_each', '[]', 'event first');
SELECT start('one_each', '[]', 'terminate first');
:run
SELECT durable.raise_event('event first', 'item', '1'), durable.terminate('event first', 'end') \g /dev/null
SELECT durable.terminate('terminate first', 'end'), durable.raise_event('terminate first', 'item', '1') \g /dev/null
:run
SELECT is(outcome('event first'), 'terminated "end"', 'terminate wins over continue-as-new');
SELECT is((SELECT generation FROM durable.instances WHERE instance_id = 'event first'), 1::bigint, 'the instance does not continue');
SELECT is(outcome('terminate first'), 'terminated "end"', 'terminate first, too');
-- Together with a suspension of that turn, too, and when it has a child to end.
CREATE FUNCTION has_child(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
BEGIN
	PERFORM durable.schedule_suborchestrator('one_each', '[]', instance_id => 'ends with its parent');
	PERFORM durable.wait_for_event('item');
	PERFORM durable.continue_as_new();
	RETURN NULL;
END $$;
SELECT start('one_each', '[]', 'all at once');
SELECT start('has_child');
:run
SELECT durable.raise_event('all at once', 'item', '1'), durable.suspend('all at once'), durable.terminate('all at once', 'end'), durable.resume('all at once') \g /dev/null
SELECT durable.raise_event('has_child', 'item', '1'), durable.terminate('has_child', 'end') \g /dev/null
:run
SELECT is(outcome('all at once') || (SELECT generation FROM durable.instances WHERE instance_id = 'all at once'), 'terminated "end"1', 'terminate wins over continue-as-new and suspend of one turn');
SELECT is(outcome('has_child') || ' ' || outcome('ends with its parent'), 'terminated "end" terminated "end"', 'and ends the children of the generation that wanted to continue');
SELECT is_empty('SELECT * FROM durable.messages', 'no message is left');
SELECT * FROM finish();
