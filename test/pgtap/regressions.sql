-- What once went wrong and must not again.
\ir include/setup.psql
SELECT no_plan();

-- ---------------------------------------------------------------------------
-- The activity of call_sql(), called by name with an input that call_sql() never makes
-- ---------------------------------------------------------------------------

CREATE FUNCTION call_statement(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$ BEGIN RETURN durable.call_activity('durable.sql', input); END $$;
SELECT start('call_statement', jsonb_build_object('query', 'SELECT 1 AS one', 'args', args), 'args ' || args::text)
FROM unnest(ARRAY['[{}]', '[{"text": "1"}]', '[{"type": null}]', '[1]', '[[]]', '["x"]', '[null]', '{}', '{"type": "int"}', '1', 'null', '[]']::jsonb[]) args;
SELECT start('call_statement', '{"args": []}', 'no query');
SELECT start('call_statement', '[]', 'an array');
:run
SELECT is(outcome('args [{}]'), 'failed 22023 an argument of the statement has no type', 'an argument without a type fails the activity, not the server');
SELECT is(failure('args [{}]', 'hint'), 'Use durable.call_sql().', 'and says what to do instead');
SELECT is(outcome('args ' || args::text), 'failed 22023 an argument of the statement has no type', 'so does the argument list ' || args::text)
FROM unnest(ARRAY['[{"text": "1"}]', '[{"type": null}]']::jsonb[]) args;
SELECT is(outcome('args ' || args::text), 'completed {"one": 1}', 'no list of arguments: ' || args::text)
FROM unnest(ARRAY['{}', '{"type": "int"}', '1', 'null', '[]']::jsonb[]) args;
SELECT is_empty($$ SELECT instance_id, status FROM durable.instances WHERE status NOT IN ('failed', 'completed') $$, 'whatever the input, the instance ends');

-- ---------------------------------------------------------------------------
-- Timers of a generation and those of the next one, which have the same numbers
-- ---------------------------------------------------------------------------

-- Its event comes in time, so the timer of the timeout is cancelled in the
-- turn in which the next generation creates its own, of the same number.
CREATE FUNCTION waits_anew(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	got	jsonb;
BEGIN
	got := durable.wait_for_event('go', timeout => '1 hour');
	PERFORM durable.continue_as_new(coalesce(input, '[]') || got);
	RETURN NULL;
EXCEPTION WHEN SQLSTATE 'UD006' THEN
	RETURN input;
END $$;
CREATE FUNCTION cancels_and_goes_on(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	timer	durable.task := durable.create_timer('1 hour');
BEGIN
	IF input IS NOT NULL THEN
		PERFORM durable.await(timer);
		RETURN input;
	END IF;
	PERFORM durable.wait_for_event('go');
	PERFORM durable.cancel_timer(timer);
	PERFORM durable.continue_as_new('"second"');
	RETURN NULL;
END $$;
SELECT start('waits_anew');
SELECT start('cancels_and_goes_on');
:run
SELECT durable.raise_event(id, 'go', '1') FROM unnest(ARRAY['waits_anew', 'cancels_and_goes_on']) id \g /dev/null
:run
SELECT results_eq($$ SELECT instance_id COLLATE "default", generation, jsonb_array_length(waiting_for -> 'timers') FROM durable.instances WHERE status = 'running' ORDER BY 1 $$,
	$$ VALUES ('cancels_and_goes_on', 2::bigint, 1), ('waits_anew', 2, 1) $$, 'a timer cancelled with its generation leaves that of the next one');
SELECT durable.raise_event('waits_anew', 'go', '2') \g /dev/null
:run
SELECT is((SELECT jsonb_array_length(waiting_for -> 'timers') FROM durable.instances WHERE instance_id = 'waits_anew'), 1, 'and so in the third generation');
:run_all
SELECT is(outcome('waits_anew'), 'completed [1, 2]', 'the timeout of the last generation comes');
SELECT is(outcome('cancels_and_goes_on'), 'completed "second"', 'and the timer that nobody cancelled fires');
SELECT is_empty('SELECT * FROM durable.messages', 'the cancelled ones are gone');

-- ---------------------------------------------------------------------------
-- A turn that is put off keeps its start, its events and their order
-- ---------------------------------------------------------------------------

-- Want of a resource, while it lasts, is not the fault of the instance: the engine waits.
-- Here it is room for temporary files, of which there is none.
RESET SESSION AUTHORIZATION;
SET temp_file_limit = 0;
SET SESSION AUTHORIZATION app;
CREATE FUNCTION spill() RETURNS bigint LANGUAGE sql SET work_mem = '64kB' AS
$$ SELECT count(*) FROM (SELECT g FROM generate_series(1, 50000) g ORDER BY g DESC OFFSET 0) s $$;
CREATE TABLE shortage (id text PRIMARY KEY);
-- Unchecked: the test decides by a table when there is no room.
CREATE FUNCTION collects(input jsonb) RETURNS jsonb LANGUAGE plpgsql SET durable.orchestrator_checks = off AS $$
DECLARE
	got	jsonb := '[]';
BEGIN
	IF EXISTS (SELECT FROM shortage WHERE id = durable.instance_id()) THEN
		PERFORM spill();
	END IF;
	FOR i IN 1 .. (input ->> 'events')::int LOOP
		got := got || durable.wait_for_event('item');
	END LOOP;
	RETURN got;
END $$;
SET client_min_messages = error;	-- the engine warns of each
SELECT start('collects', '{"events": 3}', 'put off at its start');
SELECT start('collects', '{"events": 4}', 'put off later');
INSERT INTO shortage VALUES ('put off at its start');
SELECT durable.raise_event('put off at its start', 'item', '1') \g /dev/null
:run
SELECT is(outcome('put off at its start'), 'pending', 'a turn for which there is no room is put off');
SELECT durable.raise_event('put off later', 'item', '1') \g /dev/null
INSERT INTO shortage VALUES ('put off later');
:run
SELECT durable.raise_event('put off later', 'item', '2') \g /dev/null
:run
SELECT is(events('put off later', 'EventRaised'), 0::bigint, 'so is one in the midst of an instance');
SELECT is((SELECT count(*) FROM durable.messages), 4::bigint, 'what they were to be given is kept');
DELETE FROM shortage;
SELECT durable.raise_event('put off at its start', 'item', '2') \g /dev/null
SELECT durable.raise_event('put off later', 'item', '3') \g /dev/null
:run
SELECT is(status('put off at its start'), 'running', 'a later event does not come without the start that was put off before it');
SELECT durable.raise_event(id, 'item', '"last"') FROM unnest(ARRAY['put off at its start', 'put off later']) id \g /dev/null
:run_all
SELECT is(outcome('put off at its start'), 'completed [1, 2, "last"]', 'no event is lost, and first in is first out');
SELECT is(outcome('put off later'), 'completed [1, 2, 3, "last"]', 'nor in the midst of an instance');
SELECT is_empty('SELECT * FROM durable.messages', 'nothing is left over');
RESET client_min_messages;

-- ---------------------------------------------------------------------------
-- An activity that lost a conflict is repeated by the engine, later
-- ---------------------------------------------------------------------------

CREATE FUNCTION loses_once(what text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	PERFORM effect(what || durable.attempt());
	IF durable.attempt() = 1 THEN
		RAISE EXCEPTION USING ERRCODE = 'serialization_failure', MESSAGE = 'lost a conflict';
	END IF;
	RETURN what;
END $$;
CREATE FUNCTION conflicts(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	RETURN jsonb_build_array(durable.call_activity('loses_once', '{"what": "w"}'),
		durable.wait_for_event('item'), durable.wait_for_event('item'), durable.wait_for_event('item'));
END $$;
-- The activity is repeated when its generation is over, and its history with it.
CREATE FUNCTION leaves_conflict(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	IF input IS NOT NULL THEN
		RETURN durable.wait_for_event('item');
	END IF;
	PERFORM durable.schedule_activity('loses_once', '{"what": "left"}');
	PERFORM durable.wait_for_event('item');
	PERFORM durable.continue_as_new('"second"');
	RETURN NULL;
END $$;
SELECT start('conflicts');
SELECT start('leaves_conflict');
SELECT durable.raise_event('conflicts', 'item', '1') \g /dev/null
:run
SELECT results_eq($$ SELECT instance_id COLLATE "default", attempt, input FROM durable.activities ORDER BY 1 $$,
	$$ VALUES ('conflicts', 2, '{"what": "w"}'::jsonb), ('leaves_conflict', 2, '{"what": "left"}') $$, 'an activity that raises 40001 is put off, with its input');
SELECT is(effects(), '', 'what it did is undone');
SELECT durable.raise_event(id, 'item', '2') FROM unnest(ARRAY['conflicts', 'leaves_conflict']) id \g /dev/null
SELECT durable.raise_event('conflicts', 'item', '3') \g /dev/null
:run_all
SELECT is(outcome('conflicts'), 'completed ["w", 1, 2, 3]', 'the instance gets the result of the second attempt and all events, in order');
SELECT is(events('conflicts', 'TaskFailed'), 0::bigint, 'it never hears of the first one');
SELECT is((SELECT string_agg(what, ' ' ORDER BY what) FROM effects), 'left2 w2', 'each has had its effect once, also the one whose generation is over');
SELECT durable.raise_event('leaves_conflict', 'item', '3') \g /dev/null
:run
SELECT is(outcome('leaves_conflict'), 'completed 3', 'whose answer is for nobody');
SELECT is_empty('SELECT * FROM durable.messages', 'nothing is left over');

-- ---------------------------------------------------------------------------
-- A function that is renamed, and another one that takes its name
-- ---------------------------------------------------------------------------

CREATE FUNCTION greet(name text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RETURN 'old ' || name; END $$;
SELECT start('call', '{"name": "greet", "input": "x"}', 'before');
:run
SELECT is(outcome('before'), 'completed "old x"', 'an activity');
ALTER FUNCTION greet(text) RENAME TO greet_before;
CREATE FUNCTION greet(name text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RETURN 'new ' || name; END $$;
SELECT start('call', '{"name": "greet_before", "input": "x"}', 'renamed');
SELECT start('call', '{"name": "greet", "input": "x"}', 'namesake');
:run
SELECT is(outcome('renamed'), 'completed "old x"', 'after ALTER FUNCTION RENAME its new name calls it');
SELECT is(outcome('namesake'), 'completed "new x"', 'and its old name the function that has that name now');
RESET SESSION AUTHORIZATION;
CREATE SCHEMA other AUTHORIZATION app;
SET SESSION AUTHORIZATION app;
ALTER FUNCTION greet_before(text) SET SCHEMA other;
SELECT start('call', '{"name": "other.greet_before", "input": "x"}', 'moved');
:run
SELECT is(outcome('moved'), 'completed "old x"', 'after ALTER FUNCTION SET SCHEMA, too');
ALTER FUNCTION greet(text) RENAME TO greet_after;
ALTER FUNCTION other.greet_before(text) RENAME TO greet;
ALTER FUNCTION other.greet(text) SET SCHEMA app;
SELECT start('call', '{"name": "greet", "input": "x"}', 'exchanged');
SELECT start('call', '{"name": "greet_after", "input": "x"}', 'exchanged too');
:run
SELECT is(outcome('exchanged') || ', ' || outcome('exchanged too'), 'completed "old x", completed "new x"', 'after both have changed names');

-- ---------------------------------------------------------------------------
-- What a suspended instance asked for is withheld, also at its termination
-- ---------------------------------------------------------------------------

CREATE FUNCTION asks_for_much(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	PERFORM durable.schedule_activity('effect', '{"what": "withheld"}');
	PERFORM durable.schedule_suborchestrator('call', '{"name": "effect", "input": "by a child"}', instance_id => 'withheld child');
	PERFORM durable.send_event('listener', 'item', '"withheld"');
	PERFORM durable.start_detached('call', '{"name": "effect", "input": "by a detached one"}', instance_id => 'withheld detached');
	PERFORM durable.sleep('1 hour');
	RETURN NULL;
END $$;
CREATE FUNCTION listens(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN durable.wait_for_event('item'); END $$;
TRUNCATE effects;
SELECT start('listens', NULL, 'listener');
:run
-- Suspended before its first turn: the code runs, but what it asks for does not leave.
SELECT start('asks_for_much', NULL, id) FROM unnest(ARRAY['terminated', 'resumed']) id;
SELECT durable.suspend(id) FROM unnest(ARRAY['terminated', 'resumed']) id \g /dev/null
:run
SELECT is(status('terminated'), 'suspended', 'it is suspended');
SELECT is_empty('SELECT * FROM durable.activities', 'nothing is asked for yet');
SELECT durable.terminate('terminated', 'enough') \g /dev/null
:run_all
SELECT is(outcome('terminated'), 'terminated "enough"', 'it is terminated');
SELECT is(effects(), '', 'what was withheld does not happen at its termination');
SELECT is(status('listener'), 'running', 'no event is sent');
SELECT is_empty($$ SELECT instance_id FROM durable.instances WHERE instance_id LIKE 'withheld%' $$, 'and no child started');
SELECT is(story('terminated'), '[OS ExecutionStarted ExecutionSuspended OC] [OS ExecutionTerminated ExecutionCompleted(5) OC]', 'nor is it in the history');
-- That it was not withheld for nothing.
SELECT durable.resume('resumed') \g /dev/null
:run_all
SELECT is((SELECT string_agg(what, ', ' ORDER BY what) FROM effects), 'by a child, by a detached one, withheld', 'the one that is resumed does all of it');
SELECT is(outcome('listener'), 'completed "withheld"', 'and sends its event');

-- ---------------------------------------------------------------------------
-- An orchestrator that raises what looks like a conflict
-- ---------------------------------------------------------------------------

CREATE FUNCTION raises(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION USING ERRCODE = input ->> 0, MESSAGE = 'by itself'; END $$;
CREATE FUNCTION raises_later(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$ BEGIN PERFORM durable.call_activity('effect', '"first"'); RAISE EXCEPTION USING ERRCODE = input ->> 0, MESSAGE = 'by itself'; END $$;
CREATE FUNCTION calls_raiser(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$ BEGIN RETURN durable.call_suborchestrator('raises', input); EXCEPTION WHEN OTHERS THEN RETURN to_jsonb(SQLSTATE); END $$;
SELECT start(name, to_jsonb(ARRAY[code]), name || ' ' || code) FROM unnest(ARRAY['40001', '40P01', '57014']) code, unnest(ARRAY['raises', 'raises_later', 'calls_raiser']) name;
:run
SELECT is(outcome(name || ' ' || code), 'failed ' || code || ' by itself', name || '() of ' || code || ' fails, and is not repeated')
FROM unnest(ARRAY['40001', '40P01', '57014']) code, unnest(ARRAY['raises', 'raises_later']) name;
SELECT is(outcome('calls_raiser ' || code), format('completed "%s"', code), 'its parent hears of ' || code) FROM unnest(ARRAY['40001', '40P01']) code;
SELECT is_empty('SELECT * FROM durable.messages', 'nothing is put off');

SELECT * FROM finish();
