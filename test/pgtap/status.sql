-- Custom status, suspend and resume, terminate.
\ir include/setup.psql
SELECT plan(68);

CREATE FUNCTION custom(id text) RETURNS jsonb LANGUAGE sql AS $$ SELECT custom_status FROM durable.instances WHERE instance_id = $1 $$;

-- ---------------------------------------------------------------------------
-- Custom status

CREATE FUNCTION sets(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
BEGIN
	PERFORM durable.set_custom_status('"first"');
	PERFORM durable.set_custom_status('{"step": 1}');
	PERFORM durable.wait_for_event('go');
	PERFORM durable.wait_for_event('go');
	PERFORM durable.set_custom_status('{"step": 2}');
	PERFORM durable.wait_for_event('go');
	PERFORM durable.set_custom_status(input);
	RETURN '"done"';
END $$;
CREATE FUNCTION sets_and_fails(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$ BEGIN PERFORM durable.set_custom_status('"last words"'); RAISE EXCEPTION 'x'; END $$;
SELECT start('sets', input, id) FROM (VALUES ('object', '{"step": 3}'::jsonb), ('empty', '""'), ('json null', 'null'), ('sql null', NULL)) v (id, input);
SELECT start('sets_and_fails');
:run
SELECT is(custom('object'), '{"step": 1}', 'scenario 136: custom status is set while running; the last one of a turn counts');
SELECT is(story('object'), '[OS ExecutionStarted OC]', 'it is no event');
SELECT go('object');
:run
SELECT is(custom('object'), '{"step": 1}', 'a turn that does not set it keeps it');
SELECT go(id) FROM unnest(ARRAY['object', 'empty', 'json null', 'sql null']) id;
SELECT go(id) FROM unnest(ARRAY['empty', 'json null', 'sql null']) id;
:run
SELECT is(custom('object'), '{"step": 2}', 'scenario 136: updated');
SELECT go(id) FROM unnest(ARRAY['object', 'empty', 'json null', 'sql null']) id;
:run
SELECT is(custom('object'), '{"step": 3}', 'scenario 136: there when it has completed');
SELECT is(custom('empty'), '""', 'scenario 137: an empty string');
SELECT is(custom('json null'), 'null', 'scenario 137: a JSON null');
SELECT is(custom('sql null'), NULL, 'scenario 137: none');
SELECT is(custom('sets_and_fails'), '"last words"', 'custom status of an instance that failed');
SELECT is(outcome('sql null'), 'completed "done"', 'and it completes');

-- ---------------------------------------------------------------------------
-- Suspend and resume

CREATE FUNCTION waits(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN durable.wait_for_event('go'); END $$;
CREATE FUNCTION works(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
BEGIN
	PERFORM durable.call_activity('effect', '{"what": "one"}');
	RETURN durable.call_activity('effect', '{"what": "two"}');
END $$;
CREATE FUNCTION sleeps(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
DECLARE
	before timestamptz := durable.orchestration_time();
BEGIN
	PERFORM durable.sleep('1 hour');
	RETURN to_jsonb(durable.orchestration_time() - before < interval '2 hours');
END $$;
CREATE FUNCTION counts(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
DECLARE
	list jsonb := '[]';
BEGIN
	FOR i IN 1..3 LOOP
		list := list || durable.wait_for_event('n');
	END LOOP;
	RETURN list;
END $$;
SELECT start('waits', NULL, 'suspended');
SELECT start('waits', NULL, 'no reason');
SELECT start('sleeps');
SELECT start('counts');
:run
SELECT start('works', NULL, 'suspended before it ran');
SELECT durable.suspend('suspended before it ran') \g /dev/null
SELECT durable.suspend('suspended', 'maintenance'), durable.suspend('no reason'), durable.suspend('sleeps'), durable.suspend('counts') \g /dev/null
:run
SELECT is(status('suspended'), 'suspended', 'scenario 102: status is suspended, though no other event came');
SELECT is((SELECT input FROM durable.history WHERE instance_id = 'suspended' AND event_type = 'ExecutionSuspended'), '"maintenance"', 'the reason is in the history');
SELECT is(status('no reason'), 'suspended', 'scenario 104: without reason');
SELECT is((SELECT input FROM durable.history WHERE instance_id = 'no reason' AND event_type = 'ExecutionSuspended'), NULL, 'scenario 104: without reason in the history');
SELECT is(status('suspended before it ran'), 'suspended', 'an instance suspended before it ran');
SELECT is(effects('one'), '', 'scenario 105: what it asks for is withheld');
SELECT is(events('suspended before it ran', 'TaskScheduled'), 0::bigint, 'scenario 105: and not in the history');
SELECT durable.raise_event('suspended', 'go', '"raised"') \g /dev/null
SELECT durable.raise_event('counts', 'n', '1'), durable.raise_event('counts', 'n', '2') \g /dev/null
:run
SELECT is(status('suspended'), 'suspended', 'scenario 102: an event raised while suspended is not processed');
SELECT is(story('suspended'), '[OS ExecutionStarted OC] [OS ExecutionSuspended OC] [OS EventRaised OC]', 'scenario 102: but recorded');
SELECT durable.suspend('counts', 'again') \g /dev/null
:run
SELECT is(status('counts'), 'suspended', 'suspending twice changes nothing');
SELECT durable.raise_event('counts', 'n', '3') \g /dev/null
:run_all
SELECT is(status('sleeps'), 'suspended', 'a timer that fires while suspended does not wake the code');
SELECT is(events('sleeps', 'TimerFired'), 1::bigint, 'but it fires');
SELECT durable.resume('suspended', 'all clear'), durable.resume('no reason'), durable.resume('sleeps'), durable.resume('counts'), durable.resume('suspended before it ran') \g /dev/null
:run
SELECT is(outcome('suspended'), 'completed "raised"', 'scenario 102: resume delivers it and the instance completes');
SELECT is(story('suspended'), '[OS ExecutionStarted OC] [OS ExecutionSuspended OC] [OS EventRaised OC] [OS ExecutionResumed ExecutionCompleted(0) OC]', 'scenario 102: history');
SELECT is((SELECT input FROM durable.history WHERE instance_id = 'suspended' AND event_type = 'ExecutionResumed'), '"all clear"', 'scenario 102: with the reason');
SELECT is(status('no reason'), 'running', 'scenario 104: resumed without reason');
SELECT is(outcome('sleeps'), 'completed true', 'a timer goes on counting while its instance is suspended');
SELECT is(outcome('counts'), 'completed [1, 2, 3]', 'events are buffered in order while suspended');
SELECT is(outcome('suspended before it ran'), 'completed "two"', 'what was withheld is done after resume');
SELECT is(effects('one') || effects('two'), 'onetwo', 'once');
SELECT lives_ok($$ SELECT durable.suspend('suspended'), durable.resume('suspended'), durable.resume('no reason') $$, 'scenario 103: suspend or resume a completed one, resume one that is not suspended');
:run
SELECT is(outcome('suspended'), 'completed "raised"', 'scenario 103: nothing happens');
SELECT is(status('no reason'), 'running', 'scenario 103: to the running one either');

-- ---------------------------------------------------------------------------
-- Terminate

CREATE FUNCTION parent(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN durable.call_suborchestrator('middle', instance_id => durable.instance_id() || '/m'); END $$;
CREATE FUNCTION middle(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN durable.call_suborchestrator('waits', instance_id => durable.instance_id() || '/w'); END $$;
-- Completes while its own child runs on.
CREATE FUNCTION leaves_child(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$ BEGIN PERFORM durable.schedule_suborchestrator('waits', instance_id => 'left behind'); RETURN '1'; END $$;
CREATE FUNCTION parent_of_completed(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
BEGIN
	PERFORM durable.call_suborchestrator('leaves_child', instance_id => 'completed child');
	PERFORM durable.start_detached('waits', instance_id => 'detached');
	RETURN durable.wait_for_event('go');
END $$;
CREATE FUNCTION scheduling(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$ BEGIN PERFORM durable.wait_for_event('go'); RETURN durable.call_activity('effect', '{"what": "late"}'); END $$;
SELECT start('waits', NULL, 'running');
SELECT start('waits', NULL, 'without reason');
SELECT start('waits', NULL, 'suspended one');
SELECT start('waits', NULL, 'twice');
SELECT start('parent', NULL, 'p');
SELECT start('parent', NULL, 'q');
SELECT start('parent_of_completed');
SELECT start('scheduling');
SELECT durable.start_instance('works', instance_id => 'pending', start_at => now() + interval '10 years') \g /dev/null
:run
SELECT durable.suspend('suspended one') \g /dev/null
SELECT start('works', NULL, 'at once');
SELECT durable.terminate('at once', 'not wanted') \g /dev/null
SELECT durable.terminate('pending', repeat('long reason ', 1000)) \g /dev/null
SELECT is(outcome('pending'), format('terminated "%s"', repeat('long reason ', 1000)), 'scenario 97: a pending instance is terminated at once; a large reason is kept');
SELECT ok((SELECT completed_at IS NOT NULL FROM durable.instances WHERE instance_id = 'pending'), 'scenario 97: it has an end');
:run
SELECT durable.terminate('running', 'why "not"') \g /dev/null
SELECT durable.terminate('without reason') \g /dev/null
SELECT durable.terminate('suspended one', 'enough') \g /dev/null
SELECT durable.terminate('twice', 'first'), durable.terminate('twice', 'second') \g /dev/null
SELECT durable.terminate('p', 'all of them'), durable.terminate('q', 'only this', recursive => false) \g /dev/null
SELECT durable.terminate('parent_of_completed', 'all') \g /dev/null
SELECT durable.terminate('suspended', 'already completed') \g /dev/null
SELECT durable.raise_event('scheduling', 'go'), durable.terminate('scheduling', 'same turn') \g /dev/null
:run_all
SELECT is(outcome('running'), 'terminated "why \"not\""', 'scenario 96: terminated, the output is the reason');
SELECT is(story('running'), '[OS ExecutionStarted OC] [OS ExecutionTerminated ExecutionCompleted(0) OC]', 'scenario 96: history');
SELECT is((SELECT input FROM durable.history WHERE instance_id = 'running' AND event_type = 'ExecutionTerminated'), '"why \"not\""', 'scenario 96: with the reason');
SELECT is(outcome('without reason'), 'terminated', 'without reason there is no output');
SELECT is(outcome('suspended one'), 'terminated "enough"', 'scenario 98: a suspended instance is terminated');
SELECT is(outcome('twice'), 'terminated "first"', 'the first of two reasons counts');
SELECT is(outcome('suspended'), 'completed "raised"', 'scenario 99: terminating a completed instance changes nothing');
SELECT is(outcome('at once'), 'terminated "not wanted"', 'start and terminate before it ran');
SELECT is(story('pending'), NULL, 'scenario 97: it never ran');
SELECT is(effects('one'), 'one', 'scenario 97: nor did its activities');
SELECT is(outcome('p'), 'terminated "all of them"', 'scenario 100: recursive: the parent');
SELECT is(outcome('p/m'), 'terminated "all of them"', 'scenario 100: the child');
SELECT is(outcome('p/m/w'), 'terminated "all of them"', 'scenario 100: the grandchild');
SELECT is(outcome('q'), 'terminated "only this"', 'scenario 63: not recursive: the parent');
SELECT is(outcome('q/m') || outcome('q/m/w'), 'runningrunning', 'scenario 63: its descendants run on');
SELECT is(outcome('completed child'), 'completed 1', 'scenario 100: a completed child stays');
SELECT is(outcome('left behind'), 'terminated "all"', 'scenario 100: but its running child is reached');
SELECT is(outcome('detached'), 'running', 'a detached orchestration is not');
SELECT is(outcome('scheduling'), 'terminated "same turn"', 'terminated in the turn in which it asked for an activity');
SELECT is((SELECT count(*) FROM durable.activities), 0::bigint, 'no activity is left');
SELECT is_empty($$ SELECT * FROM durable.messages $$, 'no message is left');

-- What has ended stays as it ended; a reason is a text, whatever it looks like.
CREATE FUNCTION fails(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'failed'; END $$;
SELECT start('fails');
SELECT start('waits', NULL, 'object');
SELECT start('parent', NULL, 'r');
:run
SELECT durable.terminate('object', '{"code": 7}'), durable.terminate('r', 'first', recursive => false), durable.terminate('fails', 'too late') \g /dev/null
:run
SELECT is(output('object'), to_jsonb('{"code": 7}'::text), 'scenario 101: a reason that looks like JSON is a string all the same');
SELECT is(outcome('fails'), 'failed P0001 failed', 'scenario 99: terminating a failed one changes nothing');
CREATE TABLE ended AS SELECT instance_id, i::text AS line, story(instance_id) FROM durable.instances i WHERE completed_at IS NOT NULL;
SELECT lives_ok($$ SELECT durable.terminate(instance_id, 'again'), durable.terminate(instance_id, 'again', recursive => false) FROM ended $$, 'scenario 99: no error');
:run
SELECT is_empty($$ SELECT e.instance_id FROM ended e JOIN durable.instances i USING (instance_id) WHERE e.line <> i::text OR e.story <> story(instance_id) $$, 'scenario 99: and nothing of them changes');
SELECT is(outcome('r') || ' ' || outcome('r/m'), 'terminated "first" running', 'scenario 99: nor do the children that a first terminate left alone');

SELECT throws_ok(sql, 'UD004', NULL, 'no such instance: ' || sql) FROM unnest(ARRAY['SELECT durable.terminate(''nobody'')', 'SELECT durable.suspend(''nobody'')', 'SELECT durable.resume(''nobody'')']) sql;
SELECT throws_ok(sql, '22004', NULL, 'null: ' || sql) FROM unnest(ARRAY['SELECT durable.terminate(NULL)', 'SELECT durable.suspend(NULL)', 'SELECT durable.resume(NULL)']) sql;
BEGIN;
SELECT durable.terminate('detached', 'undone') \g /dev/null
ROLLBACK;
:run
SELECT is(outcome('detached'), 'running', 'a termination whose transaction rolled back never happened');
SELECT * FROM finish();
