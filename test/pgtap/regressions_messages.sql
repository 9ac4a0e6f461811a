-- Messages that no engine sent, put into the inbox by a superuser, as after a
-- restore of the wrong tables or a hand that meant well; and the trace context,
-- which only the tables show.
\ir include/setup.psql
SELECT no_plan();

CREATE FUNCTION works(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	late	durable.task := durable.create_timer('1 day');
	got		jsonb := durable.call_activity('effect', to_jsonb(durable.instance_id()));
BEGIN
	RETURN jsonb_build_array(got, durable.wait_for_event('go'));
END $$;
CREATE FUNCTION quick(input jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT input';
CREATE FUNCTION never_ran(input jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT input';

SELECT start('works', NULL, id) FROM unnest(ARRAY['stray answers', 'stray events', 'stray start', 'bystander']) id;
SELECT start('quick', '1', 'finished');
SELECT start('quick', '1', 'finished early');
:run
SELECT durable.start_instance('never_ran', '2', instance_id => 'pending', start_at => now() + interval '1 day') \g /dev/null

-- Sends what it is told, with the execution id of the instance when "own".
RESET SESSION AUTHORIZATION;
CREATE FUNCTION send(id text, type text, task_id int DEFAULT NULL, name text DEFAULT NULL, payload jsonb DEFAULT NULL,
	execution_id uuid DEFAULT NULL, own boolean DEFAULT true, due timestamptz DEFAULT now()) RETURNS text LANGUAGE sql AS
$$
	INSERT INTO durable_store.inbox (task_hub, instance_id, visible_at, "timestamp", execution_id, task_id, event_type, name, payload)
	SELECT 'app', id, due, due, CASE WHEN own THEN coalesce(send.execution_id,
			(SELECT i.execution_id FROM durable_store.instances i WHERE i.task_hub = 'app' AND i.instance_id = id)) END,
		send.task_id, n::smallint, send.name, payload
	FROM generate_series(0, 20) n WHERE durable_store.event_type_name(n::smallint) = type
	RETURNING '# sent ' || type || ' to ' || id
$$;

-- ---------------------------------------------------------------------------
-- To nobody
-- ---------------------------------------------------------------------------

SELECT send('no such instance', type, 1, 'never_ran', '"stray"', '00000000-0000-0000-0000-000000000000')
FROM unnest(ARRAY['ExecutionStarted', 'EventRaised', 'TaskCompleted', 'TimerFired', 'ExecutionTerminated', 'GenericEvent']) type;
SELECT send('finished', type, 0, 'never_ran', '"stray"') FROM unnest(ARRAY['ExecutionStarted', 'EventRaised', 'TaskCompleted', 'TimerFired', 'ExecutionTerminated', 'ExecutionSuspended']) type;
CREATE TABLE before AS SELECT * FROM durable.instances;
CREATE TABLE history_before AS SELECT * FROM durable.history;
SET SESSION AUTHORIZATION app;
:run
RESET SESSION AUTHORIZATION;
SELECT set_eq('TABLE durable.instances', 'TABLE before', 'scenario 159: messages to instances that do not exist or are finished change no instance');
SELECT set_eq('TABLE durable.history', 'TABLE history_before', 'scenario 159: and no history');
SELECT is_empty($$ SELECT * FROM durable.messages WHERE instance_id = 'finished' $$, 'scenario 159: those to a finished one are dropped');
SELECT is_empty($$ SELECT * FROM durable.instances WHERE instance_id = 'no such instance' $$, 'scenario 159: those to none make none');

-- They do not stand in the way of who comes later, and are not taken for his.
SET SESSION AUTHORIZATION app;
SELECT start('works', NULL, 'no such instance');
:run
SELECT is(effects('no such instance'), 'no such instance', 'scenario 159: an instance that is started under that id later begins at its beginning');

-- ---------------------------------------------------------------------------
-- Answers to what was never asked
-- ---------------------------------------------------------------------------

RESET SESSION AUTHORIZATION;
SELECT send('stray answers', 'TaskCompleted', id, 'effect', '"stray"') FROM unnest(ARRAY[77, 2, -1, NULL, 2147483647]) id;
SELECT send('stray answers', 'TaskFailed', 77);
SELECT send('stray answers', 'TaskCompleted', 1, 'effect', '"a second answer"');
SELECT send('stray answers', 'TaskCompleted', 0, 'effect', '"of a timer"');
SELECT send('stray answers', 'TimerFired', id) FROM unnest(ARRAY[1, 77, NULL]) id;
SELECT send('stray answers', 'SubOrchestrationInstanceCompleted', id, NULL, '"stray"') FROM unnest(ARRAY[0, 1, 77]) id;
SELECT send('stray answers', 'SubOrchestrationInstanceFailed', 77);
SELECT send('stray answers', 'GenericEvent');
SELECT send('stray answers', 'HistoryState');
-- Of another execution.
SELECT send('stray answers', 'TaskCompleted', 1, 'effect', '"of another execution"', '00000000-0000-0000-0000-000000000000');
SET SESSION AUTHORIZATION app;
:run
SELECT is(status('stray answers'), 'running', 'scenario 159: answers to tasks that were never scheduled do not end an instance');
SELECT is((SELECT waiting_for - 'timers' FROM durable.instances WHERE instance_id = 'stray answers'), '{"events": ["go"]}', 'scenario 159: nor move it on');
SELECT is_empty($$ SELECT * FROM durable.history WHERE instance_id = 'stray answers' AND result = '"of another execution"' $$, 'scenario 159: one for another execution is not in its history');
SELECT go('stray answers');
:run
SELECT is(outcome('stray answers'), 'completed ["stray answers", null]', 'scenario 159: it completes with the answers to what it asked');
SELECT is(effects('stray answers'), 'stray answers', 'scenario 159: and each activity has had its effect once');

-- ---------------------------------------------------------------------------
-- Events that nobody sent
-- ---------------------------------------------------------------------------

RESET SESSION AUTHORIZATION;
SELECT send('stray events', 'EventRaised', 77, 'other', '"stray"');		-- as of a sender without EventSent
SELECT send('stray events', 'EventRaised', NULL, 'other', '"stray"', own => false);
SELECT send('stray events', 'EventRaised', NULL, 'go', '"of another execution"', '00000000-0000-0000-0000-000000000000');
SET SESSION AUTHORIZATION app;
:run
SELECT is((SELECT waiting_for - 'timers' FROM durable.instances WHERE instance_id = 'stray events'), '{"events": ["go"]}', 'scenario 159: an event without EventSent, and of a name nobody waits for, moves nothing');
SELECT durable.raise_event('stray events', 'go', '"sent"') \g /dev/null
:run
SELECT is(outcome('stray events'), 'completed ["stray events", "sent"]', 'scenario 159: nor one to another execution; the instance completes');

-- A second start is none, whatever its execution id.
RESET SESSION AUTHORIZATION;
SELECT send('stray start', 'ExecutionStarted', NULL, 'never_ran', '"stray"');
SELECT send('stray start', 'ExecutionStarted', NULL, 'never_ran', '"stray"', '00000000-0000-0000-0000-000000000000');
SELECT send('stray start', 'ExecutionStarted', NULL, 'never_ran', '"stray"', own => false);
-- What comes to one that has not started.
SELECT send('pending', 'TaskCompleted', 0, 'effect', '"stray"');
SELECT send('pending', 'TimerFired', 0);
SET SESSION AUTHORIZATION app;
SELECT go('stray start');
:run
SELECT is(outcome('stray start'), 'completed ["stray start", null]', 'scenario 159: a second start is dropped');
SELECT is(events('stray start', 'ExecutionStarted'), 1::bigint, 'scenario 159: and is not in the history');
SELECT is(effects('stray start'), 'stray start', 'scenario 159: nothing has run twice');
SELECT go('bystander');
SELECT go('no such instance');
:run_all
SELECT is(outcome('pending'), 'completed 2', 'scenario 159: an answer to an instance that has not begun does not keep it from its start');
SELECT is(outcome('bystander'), 'completed ["bystander", null]', 'scenario 159: an instance beside all that completes');
SELECT is(outcome('no such instance'), 'completed ["no such instance", null]', 'scenario 159: and so does the one that came to messages of nobody');

-- Each history is whole: numbered without a gap, one start, one end.
SELECT is_empty($$
	SELECT instance_id, count(*) FROM durable.history GROUP BY instance_id
	HAVING count(*) FILTER (WHERE event_type = 'ExecutionStarted') <> 1 OR count(*) FILTER (WHERE event_type = 'ExecutionCompleted') <> 1
		OR max(seq) <> count(*) OR count(*) FILTER (WHERE event_type = 'OrchestratorStarted') <> max(turn)
$$, 'scenario 159: all histories are whole');
SELECT is_empty('SELECT * FROM durable.messages', 'scenario 159: no message is left');

-- ---------------------------------------------------------------------------
-- Trace context. No view shows it; it is for exporters, which are superusers.
-- ---------------------------------------------------------------------------

CREATE FUNCTION leaf(input jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT input';
CREATE FUNCTION branch(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	IF input = '1' THEN
		PERFORM durable.continue_as_new('2');
		RETURN NULL;
	END IF;
	PERFORM durable.start_detached('leaf', instance_id => durable.instance_id() || '/detached');
	RETURN durable.call_suborchestrator('leaf', instance_id => durable.instance_id() || '/leaf');
END $$;
CREATE FUNCTION tree(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	PERFORM durable.call_suborchestrator('branch', '1', instance_id => durable.instance_id() || '/branch');
	RETURN NULL;
END $$;
\set parent '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
SELECT durable.start_instance('tree', instance_id => 'traced', trace_parent => :'parent') \g /dev/null
SELECT durable.start_instance('branch', '1', instance_id => 'continued', trace_parent => :'parent') \g /dev/null
SELECT durable.start_instance('tree', instance_id => 'untraced') \g /dev/null
SELECT durable.start_instance('leaf', instance_id => 'anew', trace_parent => :'parent') \g /dev/null
:run
SELECT durable.start_instance('leaf', instance_id => 'anew') \g /dev/null
:run
RESET SESSION AUTHORIZATION;
CREATE VIEW traces AS SELECT instance_id COLLATE "default" AS id, status COLLATE "default", trace_parent FROM durable_store.instances;
SELECT results_eq($$ SELECT * FROM traces WHERE id LIKE 'traced%' ORDER BY 1 $$, format($$
	VALUES ('traced', 'completed', %1$L), ('traced/branch', 'completed', %1$L),
		('traced/branch/detached', 'completed', %1$L), ('traced/branch/leaf', 'completed', %1$L)
$$, :'parent'::text), 'scenario 171: children and grandchildren inherit the trace context, detached ones too');
SELECT is((SELECT trace_parent FROM traces WHERE id = 'continued'), :'parent', 'scenario 171: continue_as_new() keeps it');
SELECT is((SELECT trace_parent FROM traces WHERE id = 'continued/leaf'), :'parent', 'scenario 171: and hands it to the children of the next generation');
SELECT is_empty($$ SELECT * FROM traces WHERE id LIKE 'untraced%' AND trace_parent IS NOT NULL $$, 'scenario 171: without one there is none');
SELECT is((SELECT count(*) FROM traces WHERE id LIKE 'untraced%'), 4::bigint, 'scenario 171: anywhere in the tree');
SELECT is((SELECT trace_parent FROM traces WHERE id = 'anew'), NULL, 'scenario 171: a new start of an id has its own, or none');
SELECT * FROM finish();
