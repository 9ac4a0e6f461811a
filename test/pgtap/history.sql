-- The history: exact lists of events, their ids, references and times (specification, section 1).
\ir include/setup.psql
SELECT plan(43);

CREATE FUNCTION empty(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN '"out"'; END $$;
CREATE FUNCTION one(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN durable.call_activity('same', '{"a": 1}', version => '1.5'); END $$;
CREATE FUNCTION fan_out(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
BEGIN
	RETURN to_jsonb(durable.await_all(durable.schedule_activity('same', '1'), durable.schedule_activity('same', '2'), durable.schedule_activity('same', '3')));
END $$;
CREATE FUNCTION timer(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN PERFORM durable.sleep('1 min'); RETURN '1'; END $$;
CREATE FUNCTION event(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN durable.wait_for_event('e'); END $$;
CREATE FUNCTION activity_then_event(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$ BEGIN PERFORM durable.call_activity('same', '1'); RETURN durable.wait_for_event('e'); END $$;
CREATE FUNCTION parent(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN durable.call_suborchestrator('one', '7'); END $$;
CREATE FUNCTION failing(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN durable.call_activity('fail', '{"message": "bad", "sqlstate": "22012"}'); END $$;
CREATE FUNCTION parent_of_failing(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN durable.call_suborchestrator('failing', instance_id => 'failing child'); END $$;
CREATE FUNCTION everything(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
BEGIN
	PERFORM durable.call_activity('same', '"in"');
	PERFORM durable.sleep('1 s');
	PERFORM durable.call_suborchestrator('empty', '"child in"', instance_id => 'child of everything');
	RETURN '"out"';
END $$;
-- One numbering for all kinds of actions; a wait for an event takes no number.
CREATE FUNCTION numbers(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
DECLARE
	e durable.task := durable.expect_event('e');
BEGIN
	PERFORM durable.set_custom_status('1');
	PERFORM durable.schedule_activity('same', '1');
	PERFORM durable.create_timer('1 day');
	PERFORM durable.send_event('nobody', 'x');
	PERFORM durable.schedule_suborchestrator('empty');
	PERFORM durable.new_guid();
	PERFORM durable.await(e);
	RETURN '1';
END $$;

SELECT start(f) FROM unnest(ARRAY['empty', 'one', 'fan_out', 'timer', 'event', 'parent', 'parent_of_failing', 'everything', 'numbers']) f;
SELECT durable.start_instance('activity_then_event', instance_id => 'buffered', event_name => 'e') \g /dev/null
:run_all
SELECT durable.raise_event('event', 'e', '"data"'), durable.raise_event('numbers', 'e') \g /dev/null
:run

SELECT is(story('empty'), '[OS ExecutionStarted ExecutionCompleted(0) OC]', 'scenario 126: empty orchestrator');
SELECT is(story('one'), '[OS ExecutionStarted TaskScheduled(0) OC] [OS TaskCompleted->0 ExecutionCompleted(1) OC]', 'scenario 126: one activity');
SELECT is(split_part(story('fan_out'), '] ', 1), '[OS ExecutionStarted TaskScheduled(0) TaskScheduled(1) TaskScheduled(2) OC', 'scenario 126: fan-out of 3');
SELECT is(ARRAY(SELECT task_scheduled_id FROM durable.history WHERE instance_id = 'fan_out' AND event_type = 'TaskCompleted' ORDER BY 1), '{0,1,2}', 'each completion refers to its task');
SELECT alike(story('fan_out'), '% ExecutionCompleted(3) OC]', 'the completion has the next number');
SELECT is(story('timer'), '[OS ExecutionStarted TimerCreated(0) OC] [OS TimerFired->0 ExecutionCompleted(1) OC]', 'scenario 126: timer');
SELECT is(story('event'), '[OS ExecutionStarted OC] [OS EventRaised ExecutionCompleted(0) OC]', 'scenario 126: event raised after it is awaited');
SELECT is(story('buffered'), '[OS ExecutionStarted EventRaised TaskScheduled(0) OC] [OS TaskCompleted->0 ExecutionCompleted(1) OC]', 'scenario 126: event raised before it is awaited');
SELECT is(story('parent'), '[OS ExecutionStarted SubOrchestrationInstanceCreated(0) OC] [OS SubOrchestrationInstanceCompleted->0 ExecutionCompleted(1) OC]', 'scenario 126: sub-orchestration');
SELECT is(story(execution_id || ':0'), '[OS ExecutionStarted TaskScheduled(0) OC] [OS TaskCompleted->0 ExecutionCompleted(1) OC]', 'scenario 126: the child')
FROM durable.instances WHERE instance_id = 'parent';
SELECT is(story('parent_of_failing'), '[OS ExecutionStarted SubOrchestrationInstanceCreated(0) OC] [OS SubOrchestrationInstanceFailed->0 ExecutionCompleted(1) OC]', 'scenario 126: a child that fails');
SELECT is(story('failing child'), '[OS ExecutionStarted TaskScheduled(0) OC] [OS TaskFailed->0 ExecutionCompleted(1) OC]', 'scenario 126: an activity that fails');
SELECT is(split_part(story('numbers'), '] ', 1), '[OS ExecutionStarted TaskScheduled(0) TimerCreated(1) EventSent(2) SubOrchestrationInstanceCreated(3) OC', 'one numbering for all kinds of actions');
SELECT alike(story('numbers'), '% EventRaised ExecutionCompleted(4) OC]', 'waits for events and custom status take no number');

SELECT is(ARRAY(SELECT event_type FROM durable.history WHERE instance_id = 'everything' AND event_type <> 'OrchestratorCompleted' ORDER BY seq),
	ARRAY['OrchestratorStarted', 'ExecutionStarted', 'TaskScheduled', 'OrchestratorStarted', 'TaskCompleted', 'TimerCreated', 'OrchestratorStarted', 'TimerFired',
	'SubOrchestrationInstanceCreated', 'OrchestratorStarted', 'SubOrchestrationInstanceCompleted', 'ExecutionCompleted'], 'scenario 126: the sequence of 12 events');
SELECT is(ARRAY(SELECT turn FROM durable.history WHERE instance_id = 'everything' ORDER BY seq), '{1,1,1,1,2,2,2,2,3,3,3,3,4,4,4,4}', 'turns are numbered from 1');
SELECT is_empty('SELECT instance_id, seq FROM durable.history GROUP BY 1, 2 HAVING count(*) > 1', 'seq is unique in each instance');
SELECT is((SELECT count(DISTINCT seq) FROM durable.history WHERE instance_id = 'everything'), 16::bigint, 'one number for each event');
SELECT is_empty($$ SELECT instance_id, event_id FROM durable.history WHERE event_id <> -1 GROUP BY 1, 2 HAVING count(*) > 1 $$, 'event ids are unique');
SELECT is_empty($$ SELECT * FROM (SELECT event_id, lag(event_id) OVER (PARTITION BY instance_id ORDER BY seq) AS before FROM durable.history WHERE event_id <> -1) h
	WHERE event_id <= before $$, 'scenario 126: and increase');
SELECT is_empty($$ SELECT event_type, event_id FROM durable.history WHERE (event_id = -1) = (event_type IN
	('TaskScheduled', 'TimerCreated', 'SubOrchestrationInstanceCreated', 'EventSent', 'ExecutionCompleted')) $$, 'all events that no action made have the id -1');

-- What events carry.
CREATE FUNCTION event_row(id text, type text) RETURNS durable.history LANGUAGE sql AS
$$ SELECT * FROM durable.history WHERE instance_id = $1 AND event_type = $2 $$;
SELECT is((event_row('everything', 'ExecutionStarted')).name, 'everything', 'ExecutionStarted has the name');
SELECT is((event_row('one', 'TaskScheduled')).name || ' ' || (event_row('one', 'TaskScheduled')).version, 'same 1.5', 'TaskScheduled has name and version');
SELECT is((event_row('everything', 'TaskScheduled')).input, '"in"', 'scenario 126: and its input');
SELECT is((event_row('everything', 'TaskCompleted')).result, '"in"', 'TaskCompleted has the result');
SELECT is((event_row('everything', 'TimerFired')).timer_id, (event_row('everything', 'TimerCreated')).event_id, 'TimerFired has the id of its timer');
SELECT is((event_row('everything', 'TimerFired')).fire_at, (event_row('everything', 'TimerCreated')).fire_at, 'and its FireAt');
SELECT is((event_row('everything', 'SubOrchestrationInstanceCreated')).target_instance_id, 'child of everything', 'SubOrchestrationInstanceCreated has the child''s id');
SELECT is((event_row('everything', 'SubOrchestrationInstanceCreated')).input, '"child in"', 'and input');
SELECT is((event_row('everything', 'SubOrchestrationInstanceCompleted')).result, '"out"', 'SubOrchestrationInstanceCompleted has the result');
SELECT is((event_row('everything', 'ExecutionCompleted')).result, '"out"', 'ExecutionCompleted has the output');
SELECT is((event_row('event', 'EventRaised')).name || (event_row('event', 'EventRaised')).input, 'e"data"', 'EventRaised has name and data');
SELECT is((event_row('failing child', 'TaskFailed')).failure ->> 'sqlstate', '22012', 'TaskFailed has the failure');
SELECT is((event_row('parent_of_failing', 'SubOrchestrationInstanceFailed')).failure ->> 'errorMessage', 'bad', 'SubOrchestrationInstanceFailed has the failure');
SELECT is((event_row('failing child', 'ExecutionCompleted')).failure, (SELECT failure FROM durable.instances WHERE instance_id = 'failing child'), 'ExecutionCompleted has the failure');
SELECT is_empty($$ SELECT * FROM durable.history h JOIN durable.instances i USING (task_hub, instance_id) WHERE h.execution_id <> i.execution_id OR h.generation <> i.generation $$,
	'each event belongs to the current execution');

-- Times.
SELECT is((event_row('everything', 'ExecutionStarted')).timestamp, (SELECT created_at FROM durable.instances WHERE instance_id = 'everything'), 'created_at is the time of ExecutionStarted');
SELECT is((event_row('everything', 'ExecutionCompleted')).timestamp, (SELECT completed_at FROM durable.instances WHERE instance_id = 'everything'), 'completed_at is the time of ExecutionCompleted');
SELECT is_empty($$ SELECT * FROM (SELECT timestamp, lag(timestamp) OVER (PARTITION BY instance_id ORDER BY seq) AS before FROM durable.history WHERE event_type = 'OrchestratorStarted') h
	WHERE timestamp <= before $$, 'turn times increase');
SELECT is_empty($$ SELECT h.instance_id, h.event_type FROM durable.history h JOIN durable.history o USING (instance_id, turn)
	WHERE o.event_type = 'OrchestratorStarted' AND h.event_type <> 'OrchestratorStarted' AND (h.timestamp < o.timestamp) <> (h.event_type NOT IN
	('TaskScheduled', 'TimerCreated', 'SubOrchestrationInstanceCreated', 'EventSent', 'ExecutionCompleted', 'OrchestratorCompleted')) $$,
	'what arrives is older than its turn, what it decides is not');
SELECT is_empty($$ SELECT * FROM durable.history WHERE event_type = 'TimerFired' AND timestamp >= fire_at $$, 'TimerFired has the time it was made, at the creation of the timer');
SELECT is_empty($$ SELECT * FROM durable.history WHERE instance_id = 'nobody' $$, 'scenario 126: no instance, no history');
SELECT is_empty('SELECT * FROM durable.messages', 'no message is left');
SELECT * FROM finish();
