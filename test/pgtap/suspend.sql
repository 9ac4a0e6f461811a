-- Suspend and resume: what is withheld, what is buffered, what goes on; with the other ways an instance can turn.
\ir include/setup.psql
SELECT plan(61);

CREATE FUNCTION waits(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN durable.wait_for_event('go'); END $$;
-- Asks for one of each kind, then waits.
CREATE FUNCTION all_kinds(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
DECLARE
	a durable.task := durable.schedule_activity('effect', jsonb_build_object('what', durable.instance_id()));
	t durable.task := durable.create_timer('1 hour');
	c durable.task := durable.schedule_suborchestrator('leaf', '"leaf"', instance_id => durable.instance_id() || '/leaf');
BEGIN
	PERFORM durable.send_event('receiver', 'go', to_jsonb(durable.instance_id()));
	RETURN to_jsonb(durable.await_all(a, t, c));
END $$;
CREATE FUNCTION leaf(input jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT input';
-- Activities that have not come to their end before their instance is suspended: until then the engine repeats them.
CREATE FUNCTION held(what text) RETURNS text LANGUAGE plpgsql AS
$$
BEGIN
	IF (SELECT status FROM durable.instances WHERE instance_id = durable.instance_id()) = 'running' THEN
		RAISE serialization_failure;
	END IF;
	RETURN effect(what);
END $$;
CREATE FUNCTION held_failure() RETURNS text LANGUAGE plpgsql AS
$$
BEGIN
	IF (SELECT status FROM durable.instances WHERE instance_id = durable.instance_id()) = 'running' THEN
		RAISE serialization_failure;
	END IF;
	RAISE EXCEPTION 'failed while suspended' USING ERRCODE = 'ZZ001';
END $$;

-- ---------------------------------------------------------------------------
-- Suspended before its first turn: everything it asks for is withheld

SELECT start('waits', NULL, 'receiver');
SELECT start('all_kinds');
SELECT durable.suspend('all_kinds', 'not yet') \g /dev/null
:run_all
SELECT is(story('all_kinds'), '[OS ExecutionStarted ExecutionSuspended OC]', 'scenario 105: suspended in its first turn, it decides nothing');
SELECT is((SELECT status || ' ' || waiting_for FROM durable.instances WHERE instance_id = 'all_kinds'), 'suspended {}', 'scenario 105: and waits for nothing but to be resumed');
SELECT is((SELECT count(*) FROM durable.activities) + (SELECT count(*) FROM durable.messages), 0::bigint, 'scenario 105: no activity, no timer, no event on its way');
SELECT is_empty($$ SELECT * FROM durable.instances WHERE instance_id = 'all_kinds/leaf' $$, 'scenario 105: no child');
SELECT is(status('receiver') || effects(), 'running', 'scenario 105: nothing was sent or done');
SELECT durable.suspend('all_kinds', 'still not') \g /dev/null
:run_all
SELECT is(story('all_kinds'), '[OS ExecutionStarted ExecutionSuspended OC] [OS ExecutionSuspended OC]', 'scenario 105: nor in another turn');
SELECT durable.resume('all_kinds') \g /dev/null
:run
SELECT alike(story('all_kinds'), '[OS ExecutionStarted ExecutionSuspended OC] [OS ExecutionSuspended OC] '
	'[OS ExecutionResumed TaskScheduled(0) TimerCreated(1) SubOrchestrationInstanceCreated(2) EventSent(3) OC]%', 'one resume is enough, and lets everything out in its order');
SELECT is(outcome('receiver'), 'completed "all_kinds"', 'the event is sent');
:run_all
SELECT is(outcome('all_kinds'), 'completed ["all_kinds", null, "leaf"]', 'scenario 102: resumed, it completes');
SELECT is(effects('all_kinds'), 'all_kinds', 'and the activity ran once');

-- ---------------------------------------------------------------------------
-- Activities go on; their results are kept in the order they came in

CREATE FUNCTION two_results(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
DECLARE
	a durable.task := durable.schedule_activity('held', '{"what": "a"}');
	b durable.task := durable.schedule_activity('held_failure');
	list jsonb := '[]';
BEGIN
	list := list || durable.await(a);
	BEGIN
		PERFORM durable.await(b);
	EXCEPTION WHEN SQLSTATE 'ZZ001' THEN
		list := list || to_jsonb(SQLERRM);
	END;
	list := list || durable.call_activity('effect', '{"what": "next"}');
	RETURN list || durable.wait_for_event('go') || durable.wait_for_event('go');
END $$;
SELECT start('two_results');
:run
SELECT is((SELECT status || ' ' || jsonb_array_length(waiting_for -> 'activities') FROM durable.instances WHERE instance_id = 'two_results'), 'running 2', 'two activities are under way');
SELECT durable.suspend('two_results') \g /dev/null
:run_all
SELECT is(effects('a'), 'a', 'scenario 102: an activity that was under way is done while its instance is suspended');
SELECT is(events('two_results', 'TaskCompleted') || ' ' || events('two_results', 'TaskFailed'), '1 1', 'scenario 102: both results are in the history');
SELECT is(status('two_results') || ' ' || effects('next'), 'suspended ', 'scenario 105: but the code does not go on from there');
SELECT durable.raise_event('two_results', 'GO', '1') \g /dev/null
:run
SELECT durable.raise_event('two_results', 'go', '2') \g /dev/null
:run
SELECT is(events('two_results', 'EventRaised') || ' ' || events('two_results', 'TaskScheduled') || ' ' || status('two_results'), '2 2 suspended',
	'scenario 102: events are recorded one turn after the other, and wake nobody');
SELECT durable.resume('two_results') \g /dev/null
:run
SELECT is(outcome('two_results'), 'completed ["a", "failed while suspended", "next", 1, 2]', 'scenario 102: after resume results and events are delivered in their order');
SELECT alike(story('two_results'), '% [OS ExecutionResumed TaskScheduled(2) OC] [OS TaskCompleted->2 ExecutionCompleted(3) OC]', 'scenario 102: and the numbers go on');
SELECT is(effects('a') || effects('next'), 'anext', 'each activity ran once');

-- Timers, events and children, all while suspended.
CREATE FUNCTION mixed(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
DECLARE
	t1 durable.task := durable.create_timer('1 hour');
	e durable.task := durable.expect_event('go');
	t2 durable.task := durable.create_timer('2 hours');
	c durable.task := durable.schedule_suborchestrator('waits', instance_id => 'mixed/child');
	first durable.task;
BEGIN
	first := durable.await_any(t2, c, e, t1);
	PERFORM durable.await_all(t1, e, t2, c);
	RETURN jsonb_build_array(CASE first WHEN t1 THEN 't1' WHEN e THEN 'e' WHEN t2 THEN 't2' ELSE 'c' END, durable.await(e), durable.await(c));
END $$;
SELECT start('mixed');
:run
SELECT durable.suspend('mixed') \g /dev/null
:run_all
SELECT durable.raise_event('mixed', 'go', '"event"'), durable.raise_event('mixed/child', 'go', '"child"') \g /dev/null
:run
SELECT is(story('mixed'), '[OS ExecutionStarted TimerCreated(0) TimerCreated(1) SubOrchestrationInstanceCreated(2) OC] [OS ExecutionSuspended OC] [OS TimerFired->0 OC] [OS TimerFired->1 OC] '
	'[OS EventRaised OC] [OS SubOrchestrationInstanceCompleted->2 OC]', 'timers fire, events and answers of children come in');
SELECT is(status('mixed') || ', ' || outcome('mixed/child'), 'suspended, completed "child"', 'a child goes on to its end while its parent is suspended');
SELECT durable.resume('mixed') \g /dev/null
:run
SELECT is(outcome('mixed'), 'completed ["t1", "event", "child"]', 'after resume the first to come in was the first');

-- A retry that comes due while suspended is withheld.
CREATE FUNCTION retries(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$ BEGIN RETURN durable.call_activity('fail', '{"message": "no"}', retry => durable.retry_policy(2, '1 hour')); END $$;
SELECT start('retries');
:run
SELECT durable.suspend('retries') \g /dev/null
:run_all
SELECT is(events('retries', 'TimerFired') || ' ' || events('retries', 'TaskScheduled'), '1 1', 'the second attempt of an activity is withheld');
SELECT durable.resume('retries') \g /dev/null
:run
SELECT is(outcome('retries') || ' ' || events('retries', 'TaskScheduled'), 'failed P0001 no 2', 'until its instance is resumed');

-- ---------------------------------------------------------------------------
-- Both in one turn, and where they mean nothing

SELECT start('waits', NULL, id) FROM unnest(ARRAY['on off', 'off on', 'off on off', 'event first', 'event last', 'twice']) id;
:run
SELECT durable.suspend('off on'), durable.suspend('off on off'), durable.suspend('twice') \g /dev/null
:run
SELECT durable.suspend('on off'), durable.resume('on off') \g /dev/null
SELECT durable.resume('off on'), durable.suspend('off on') \g /dev/null
SELECT durable.resume('off on off'), durable.suspend('off on off'), durable.resume('off on off') \g /dev/null
SELECT durable.raise_event('event first', 'go', '1'), durable.suspend('event first') \g /dev/null
SELECT durable.suspend('event last'), durable.raise_event('event last', 'go', '1') \g /dev/null
SELECT durable.suspend('twice'), durable.suspend('twice'), durable.resume('twice') \g /dev/null
:run
SELECT is(status('on off'), 'running', 'suspended and resumed in one turn: running');
SELECT is(status('off on'), 'suspended', 'resumed and suspended in one turn: suspended');
SELECT is(status('off on off'), 'running', 'the last one counts');
SELECT is(status('twice'), 'running', 'one resume ends three suspensions');
SELECT is(outcome('event first'), 'completed 1', 'an orchestrator that had finished before it was suspended in the same turn completes');
SELECT is(outcome('event last'), 'suspended', 'one that was suspended before its event does not');
SELECT durable.resume('event last') \g /dev/null
SELECT go(id) FROM unnest(ARRAY['on off', 'off on', 'off on off']) id;
:run
SELECT is(status('on off') || ' ' || status('off on') || ' ' || status('off on off') || ' ' || outcome('event last'), 'completed suspended completed completed 1', 'and they go on accordingly');
SELECT lives_ok($$ SELECT durable.suspend('on off', 'too late'), durable.resume('on off', 'too late'), durable.suspend('event first') $$, 'scenario 103: suspend and resume what has completed');
CREATE TABLE before AS SELECT instance_id, updated_at, story(instance_id) FROM durable.instances WHERE instance_id IN ('on off', 'event first');
:run
SELECT results_eq($$ SELECT instance_id, updated_at, story(instance_id) FROM durable.instances WHERE instance_id IN ('on off', 'event first') ORDER BY 1 $$, 'SELECT * FROM before ORDER BY 1',
	'scenario 103: they are untouched');
SELECT is_empty($$ SELECT * FROM durable.messages WHERE instance_id IN ('on off', 'event first') $$, 'scenario 103: and nothing is left in their inbox');
BEGIN;
SELECT durable.resume('off on') \g /dev/null
ROLLBACK;
:run
SELECT is(status('off on'), 'suspended', 'a resume whose transaction rolled back never happened');

-- ---------------------------------------------------------------------------
-- Through continue-as-new

-- Takes one event a generation; the next one has an activity to do first.
CREATE FUNCTION one_each(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
DECLARE
	e jsonb;
BEGIN
	IF jsonb_array_length(input) > 0 THEN
		PERFORM durable.call_activity('effect', jsonb_build_object('what', format('%s-%s', durable.instance_id(), jsonb_array_length(input))));
	END IF;
	e := durable.wait_for_event('item');
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
SELECT start('one_each', '[]', 'through');
SELECT start('one_each', '[]', 'before');
SELECT start('drops', '1');
:run
-- The code has continued by the time the suspension is seen: it holds for the next generation.
SELECT durable.raise_event('through', 'item', '1'), durable.suspend('through', 'pause'), durable.raise_event('through', 'item', '2') \g /dev/null
-- Suspended first: the event waits, and it is the first generation that is suspended.
SELECT durable.suspend('before', 'pause'), durable.raise_event('before', 'item', '1') \g /dev/null
SELECT durable.raise_event('drops', 'item', '"before"'), durable.raise_event('drops', 'go'), durable.suspend('drops') \g /dev/null
:run
SELECT is((SELECT status || ' ' || generation || ' ' || input FROM durable.instances WHERE instance_id = 'through'), 'suspended 2 [1]', 'suspended in the turn in which it continues as new: the next generation is suspended');
SELECT is((SELECT input FROM durable.history WHERE instance_id = 'through' AND event_type = 'ExecutionSuspended'), '"pause"', 'its history has the suspension, with the reason');
SELECT is(effects('through%') || events('through', 'TaskScheduled'), '0', 'its activity is withheld');
SELECT is((SELECT status || ' ' || generation FROM durable.instances WHERE instance_id = 'before'), 'suspended 1', 'suspended before the event it would continue with: it has not continued');
SELECT is((SELECT status || ' ' || generation FROM durable.instances WHERE instance_id = 'drops'), 'suspended 2', 'suspended through one that keeps no events');
SELECT durable.raise_event('through', 'item', '3'), durable.raise_event('before', 'item', '2'), durable.raise_event('drops', 'item', '"after"') \g /dev/null
:run
SELECT is(status('through') || ' ' || status('before') || ' ' || status('drops') || ' ' || effects('through%'), 'suspended suspended suspended ', 'events do not wake them');
SELECT durable.resume('through'), durable.resume('before'), durable.resume('drops') \g /dev/null
:run
SELECT is((SELECT status || ' ' || generation || ' ' || input FROM durable.instances WHERE instance_id = 'through'), 'running 4 [1, 2, 3]', 'resumed, it takes the events from both sides of the suspension, in order');
SELECT is(effects('through%'), 'through-1 through-2 through-3', 'and each generation does its activity once');
SELECT is((SELECT status || ' ' || generation || ' ' || input FROM durable.instances WHERE instance_id = 'before'), 'running 3 [1, 2]', 'the other one too');
SELECT is(events('through', 'ExecutionSuspended'), 0::bigint, 'the suspension is not carried further');
SELECT is(outcome('drops'), 'completed "after"', 'keep_events => false drops what was buffered at the call, not what came after');
SELECT durable.raise_event('through', 'item', '"stop"') \g /dev/null
:run
SELECT is(outcome('through'), 'completed [1, 2, 3]', 'and completes');

-- ---------------------------------------------------------------------------
-- With terminate

CREATE FUNCTION parent(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN durable.call_suborchestrator('waits', instance_id => durable.instance_id() || '/c'); END $$;
SELECT start('waits', NULL, id) FROM unnest(ARRAY['suspend, terminate', 'terminate, suspend', 'terminate, resume', 'with events']) id;
SELECT start('parent', NULL, 'p');
SELECT start('parent', NULL, 'q');
:run
SELECT durable.suspend('with events'), durable.suspend('terminate, resume'), durable.suspend('p'), durable.suspend('p/c'), durable.suspend('q/c') \g /dev/null
:run
SELECT is(status('p') || ' ' || status('p/c') || ' ' || status('q') || ' ' || status('q/c'), 'suspended suspended running suspended', 'parents and children are suspended on their own');
SELECT durable.raise_event('with events', 'go', '1') \g /dev/null
:run
SELECT durable.suspend('suspend, terminate'), durable.terminate('suspend, terminate', 'end') \g /dev/null
SELECT durable.terminate('terminate, suspend', 'end'), durable.suspend('terminate, suspend') \g /dev/null
SELECT durable.terminate('terminate, resume', 'end'), durable.resume('terminate, resume'), durable.raise_event('terminate, resume', 'go', '1') \g /dev/null
SELECT durable.terminate('with events', 'end'), durable.terminate('p', 'end') \g /dev/null
:run
SELECT is(outcome(id), 'terminated "end"', 'scenario 98: ' || what) FROM (VALUES ('suspend, terminate', 'suspended and terminated in one turn'), ('terminate, suspend', 'terminated and suspended in one turn'),
	('terminate, resume', 'a suspended one, terminated before it is resumed'), ('with events', 'a suspended one with events in its buffer'),
	('p', 'a suspended parent'), ('p/c', 'and its suspended child')) v (id, what);
SELECT is(outcome('q/c'), 'suspended', 'a suspended child keeps its parent waiting');
SELECT durable.resume('q/c'), durable.raise_event('q/c', 'go', '"late"') \g /dev/null
:run
SELECT is(outcome('q'), 'completed "late"', 'until it is resumed and completes');

-- ---------------------------------------------------------------------------
-- One that has not started

SELECT durable.start_instance('all_kinds', instance_id => id, start_at => clock_timestamp() + interval '1 day') FROM unnest(ARRAY['delayed', 'delayed, resumed']) id \g /dev/null
SELECT durable.suspend('delayed', 'wait'), durable.suspend('delayed, resumed'), durable.resume('delayed, resumed') \g /dev/null
:run
SELECT is(status('delayed') || ' ' || coalesce(story('delayed'), 'no history'), 'pending no history', 'a delayed start that is suspended does not start sooner');
:run_all
SELECT is(story('delayed'), '[OS ExecutionStarted ExecutionSuspended OC]', 'it starts when it is time, suspended');
SELECT is(status('delayed') || ' ' || effects('delayed'), 'suspended ', 'scenario 105: and decides nothing');
SELECT is(outcome('delayed, resumed'), 'completed ["delayed, resumed", null, "leaf"]', 'one resumed before its time just runs');
SELECT durable.resume('delayed') \g /dev/null
:run_all
SELECT is(outcome('delayed') || ' ' || effects('delayed'), 'completed ["delayed", null, "leaf"] delayed', 'the suspended one when it is resumed');
SELECT is_empty($$ SELECT instance_id FROM durable.messages UNION ALL SELECT instance_id FROM durable.activities $$, 'nothing is left');
SELECT * FROM finish();
