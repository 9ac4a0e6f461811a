-- External events: buffered, case-insensitive, first in first out.
\ir include/setup.psql
SELECT plan(69);

CREATE FUNCTION one(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN durable.wait_for_event('Approval'); END $$;
CREATE FUNCTION after_activity(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
BEGIN
	PERFORM durable.call_activity('same', '1');
	RETURN durable.wait_for_event('approval');
END $$;
CREATE FUNCTION five(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
DECLARE
	list jsonb := '[]';
BEGIN
	FOR i IN 1..5 LOOP
		list := list || durable.wait_for_event('item');
	END LOOP;
	RETURN list;
END $$;
CREATE FUNCTION three_names(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
BEGIN
	RETURN to_jsonb(durable.await_all(durable.expect_event('x'), durable.expect_event('y'), durable.expect_event('z')));
END $$;
CREATE FUNCTION two_waiters(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
DECLARE
	first durable.task := durable.expect_event('same');
	second durable.task := durable.expect_event('same');
BEGIN
	RETURN jsonb_build_array(durable.await(first), durable.await(second));
END $$;
CREATE FUNCTION with_timeout(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN durable.wait_for_event('approval', interval '1 hour'); END $$;
-- What comes after a timeout goes to the next wait.
CREATE FUNCTION after_timeout(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
DECLARE
	code text;
BEGIN
	BEGIN
		PERFORM durable.wait_for_event('approval', interval '1 min');
	EXCEPTION WHEN OTHERS THEN
		code := SQLSTATE;
	END;
	RETURN jsonb_build_array(code, durable.wait_for_event('approval'));
END $$;
CREATE FUNCTION looks(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
DECLARE
	code text;
BEGIN
	PERFORM durable.wait_for_event('go');
	BEGIN
		PERFORM durable.wait_for_event('nothing', '0');
	EXCEPTION WHEN OTHERS THEN
		code := SQLSTATE;
	END;
	RETURN jsonb_build_array(code, durable.wait_for_event('buffered', '0'));
END $$;
-- One that lost stands back: the event is for whoever waits now.
CREATE FUNCTION loser(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
DECLARE
	a durable.task := durable.expect_event('a');
	b durable.task := durable.expect_event('b');
	winner_is_a boolean := durable.await_any(a, b) = a;
BEGIN
	RETURN jsonb_build_array(winner_is_a, durable.wait_for_event('b'));
END $$;
CREATE FUNCTION loser_again(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
DECLARE
	a durable.task := durable.expect_event('a');
	b durable.task := durable.expect_event('b');
	winner_is_a boolean := durable.await_any(a, b) = a;
BEGIN
	RETURN jsonb_build_array(winner_is_a, durable.await(a), durable.await(b));
END $$;
CREATE FUNCTION no_data(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
DECLARE
	a jsonb := durable.wait_for_event('without');
	b jsonb := durable.wait_for_event('null');
BEGIN
	RETURN jsonb_build_array(a IS NULL, b IS NULL, b);
END $$;
CREATE FUNCTION sender(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
BEGIN
	PERFORM durable.send_event('receiver', 'Approval', input);
	RETURN '"sent"';
END $$;
CREATE FUNCTION lost_sends(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
BEGIN
	PERFORM durable.send_event('no such instance', 'x', '1');
	PERFORM durable.send_event('one', 'x', '1');
	PERFORM durable.send_event(durable.instance_id(), 'x', '1');
	RETURN '"sent"';
END $$;
CREATE FUNCTION to_itself(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
BEGIN
	PERFORM durable.send_event(durable.instance_id(), 'hello', '"me"');
	RETURN durable.wait_for_event('hello');
END $$;
CREATE FUNCTION empty_name(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN durable.wait_for_event(''); END $$;
CREATE FUNCTION null_name(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN durable.wait_for_event(NULL); END $$;
CREATE FUNCTION negative_timeout(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN durable.wait_for_event('x', '-1 s'); END $$;

SELECT start(f) FROM unnest(ARRAY['one', 'five', 'three_names', 'two_waiters', 'with_timeout', 'after_timeout', 'looks', 'loser', 'loser_again', 'no_data', 'to_itself',
	'empty_name', 'null_name', 'negative_timeout']) f;
SELECT start('with_timeout', NULL, 'times_out');
SELECT start('one', NULL, 'receiver');
-- In the transaction of the start, and at its start.
BEGIN;
SELECT start('after_activity', NULL, 'raised_with_start');
SELECT durable.raise_event('raised_with_start', 'APPROVAL', '"early"') \g /dev/null
COMMIT;
SELECT durable.start_instance('after_activity', instance_id => 'started_with_event', event_name => 'Approval', event_data => '"given"') \g /dev/null
SELECT durable.start_instance('one', instance_id => 'delayed', start_at => now() + interval '1 day') \g /dev/null
SELECT durable.raise_event('delayed', 'approval', '"before its time"') \g /dev/null
:run
SELECT is(outcome('one'), 'running', 'an orchestrator waits for an event');
SELECT is((SELECT waiting_for FROM durable.instances WHERE instance_id = 'one'), '{"events": ["approval"]}', 'waiting_for names the event');
SELECT is(outcome('delayed'), 'pending', 'an event does not start an instance before its time');
SELECT is(outcome('raised_with_start'), 'completed "early"', 'scenario 30: an event that came before the wait is delivered to it');
SELECT is(story('raised_with_start'), '[OS ExecutionStarted EventRaised TaskScheduled(0) OC] [OS TaskCompleted->0 ExecutionCompleted(1) OC]', 'scenario 30: its history');
SELECT is(outcome('started_with_event'), 'completed "given"', 'event_name of start_instance() raises an event with the start');
SELECT is(outcome('to_itself'), 'completed "me"', 'an instance can send an event to itself');
SELECT is(outcome('empty_name'), 'failed 22023 name must not be empty', 'an empty name');
SELECT is(outcome('null_name'), 'failed 22004 name must not be null', 'no name');
SELECT is(outcome('negative_timeout'), 'failed 22023 timeout must not be negative', 'a negative timeout');

SELECT durable.raise_event('one', 'other', '0'), durable.raise_event('one', 'aPPROVAL', '{"by": "ops"}') \g /dev/null
SELECT durable.raise_event('five', 'item', to_jsonb(n)) FROM generate_series(1, 3) n \g /dev/null
:run
SELECT durable.raise_event('five', CASE WHEN n = 4 THEN 'ITEM' ELSE 'item' END, to_jsonb(n)) FROM generate_series(4, 6) n \g /dev/null
SELECT durable.raise_event('three_names', n, to_jsonb(n)) FROM unnest(ARRAY['z', 'x', 'y']) n \g /dev/null
SELECT durable.raise_event('two_waiters', 'same', to_jsonb(n)) FROM generate_series(1, 2) n \g /dev/null
SELECT durable.raise_event('with_timeout', 'approval', '"in time"') \g /dev/null
SELECT durable.raise_event('looks', 'buffered', '"here"'), go('looks') \g /dev/null
SELECT durable.raise_event('no_data', 'without'), durable.raise_event('no_data', 'null', 'null') \g /dev/null
SELECT start('sender', '{"n": 1}');
:run
SELECT is(outcome('one'), 'completed {"by": "ops"}', 'scenario 29: an event after the wait is delivered');
SELECT is(story('one'), '[OS ExecutionStarted OC] [OS EventRaised EventRaised ExecutionCompleted(0) OC]', 'scenario 29: a wait makes no event of its own; what nobody waits for is recorded');
SELECT is((SELECT array_agg(name || ' ' || input ORDER BY seq) FROM durable.history WHERE instance_id = 'one' AND event_type = 'EventRaised'),
	ARRAY['other 0', 'aPPROVAL {"by": "ops"}'], 'the history keeps name and data as they were raised');
SELECT is((SELECT output FROM durable.instances WHERE instance_id = 'one'), '{"by": "ops"}', 'scenario 33: though raised as "aPPROVAL", awaited as "Approval"');
SELECT is(outcome('five'), 'completed [1, 2, 3, 4, 5]', 'scenario 31: events of one name are first in, first out');
SELECT is(outcome('three_names'), 'completed ["x", "y", "z"]', 'scenario 32: three names in any order');
SELECT is(outcome('two_waiters'), 'completed [1, 2]', 'scenario 37: waiters of one name are served first come, first served');
SELECT is(outcome('with_timeout'), 'completed "in time"', 'scenario 34: the event arrives within the timeout');
SELECT is(outcome('looks'), 'completed ["UD006", "here"]', 'a timeout of 0 looks at what is buffered');
SELECT is(events('looks', 'TimerCreated'), 0::bigint, 'and sets no timer');
SELECT is(outcome('no_data'), 'completed [true, false, null]', 'scenario 42: an event without data is NULL, one of JSON null is that');
SELECT is(outcome('receiver'), 'completed {"n": 1}', 'scenario 41: an orchestration sends an event to another');
SELECT is(story('sender'), '[OS ExecutionStarted EventSent(0) ExecutionCompleted(1) OC]', 'scenario 41: EventSent is in its history');
SELECT results_eq($$ SELECT name, target_instance_id COLLATE "default", input FROM durable.history WHERE instance_id = 'sender' AND event_type = 'EventSent' $$,
	$$ VALUES ('Approval', 'receiver', '{"n": 1}'::jsonb) $$, 'scenario 41: with name, target and data');

-- Timeouts.
:run_all
SELECT is(outcome('times_out'), 'failed UD006 no event "approval" came in time', 'scenario 35: the timeout raises UD006');
SELECT is(story('times_out'), '[OS ExecutionStarted TimerCreated(0) OC] [OS TimerFired->0 ExecutionCompleted(1) OC]', 'scenario 35: its history');
SELECT is(outcome('with_timeout'), 'completed "in time"', 'scenario 34: and the timer of the one that got its event changes nothing');
SELECT is(outcome('after_timeout'), 'running', 'after a timeout it waits again');
SELECT is(outcome('delayed'), 'completed "before its time"', 'scenario 46: an event raised before the instance started is delivered');
SELECT is(story('delayed'), '[OS ExecutionStarted EventRaised ExecutionCompleted(0) OC]', 'scenario 46: after ExecutionStarted');
SELECT durable.raise_event('after_timeout', 'approval', '"late"') \g /dev/null
SELECT durable.raise_event(id, 'a', '"a"') FROM unnest(ARRAY['loser', 'loser_again']) id \g /dev/null
:run
SELECT is(outcome('loser'), 'running', 'await_any() has its winner, the next wait none yet');
SELECT durable.raise_event(id, 'b', '"b"') FROM unnest(ARRAY['loser', 'loser_again']) id \g /dev/null
:run
SELECT is(outcome('after_timeout'), 'completed ["UD006", "late"]', 'scenario 37: a wait that timed out does not swallow a later event');
SELECT is(outcome('loser'), 'completed [true, "b"]', 'scenario 38: the loser of await_any() does not swallow the event');
SELECT is(outcome('loser_again'), 'completed [true, "a", "b"]', 'the loser can be awaited later');

-- Where an event cannot be delivered.
CREATE TABLE before AS SELECT * FROM durable.instances WHERE instance_id = 'one';
SELECT durable.raise_event('one', 'approval', '"too late"') \g /dev/null
SELECT start('lost_sends');
:run
SELECT is((SELECT i::text FROM durable.instances i WHERE instance_id = 'one'), (SELECT b::text FROM before b), 'scenario 39: an event to a finished instance leaves it untouched');
SELECT is(events('one', 'EventRaised'), 2::bigint, 'scenario 39: and its history');
SELECT is(outcome('lost_sends'), 'completed "sent"', 'scenario 43: undeliverable sends are dropped, the sender completes');
SELECT is(events('lost_sends', 'EventSent'), 3::bigint, 'scenario 43: they are in its history');
SELECT is_empty('SELECT * FROM durable.messages', 'scenario 43: and nowhere else');
SELECT throws_ok($$ SELECT durable.raise_event('no such instance', 'x') $$, 'UD004', 'no instance with id "no such instance" in task hub "app"', 'scenario 40: an event to no instance');
SELECT is(outcome('no such instance'), NULL, 'scenario 40: does not make one');
SELECT throws_ok($$ SELECT durable.raise_event(NULL, 'x') $$, '22004', 'instance_id must not be null', 'no instance id');
SELECT throws_ok($$ SELECT durable.raise_event('one', NULL) $$, '22004', 'event_name must not be null', 'no event name');
SELECT throws_ok($$ SELECT durable.raise_event('one', '') $$, '22023', 'event_name must not be empty', 'an empty event name');
SELECT start('one', NULL, 'rolled_back');
:run
BEGIN;
SELECT durable.raise_event('rolled_back', 'approval', '1') \g /dev/null
ROLLBACK;
:run
SELECT is(outcome('rolled_back'), 'running', 'an event whose transaction rolled back never happened');

-- Event and timeout come in one turn (the instance stood still): the first to come wins, and the event is lost neither way.
SELECT start('after_timeout', NULL, 'event first');
SELECT start('after_timeout', NULL, 'timer first');
:run
SELECT durable.suspend(id) FROM unnest(ARRAY['event first', 'timer first']) id \g /dev/null
:run
SELECT durable.raise_event('event first', 'approval', '"e"') \g /dev/null
:run_all
SELECT durable.raise_event('timer first', 'approval', '"e"') \g /dev/null
:run
SELECT durable.resume(id) FROM unnest(ARRAY['event first', 'timer first']) id \g /dev/null
:run
SELECT is(outcome('event first'), 'running', 'scenario 34: the event came first: no timeout, and it waits for another');
SELECT is(outcome('timer first'), 'completed ["UD006", "e"]', 'scenario 35: the timeout came first: the event is for the next wait');
SELECT is(events('event first', 'TimerFired') || ' ' || events('timer first', 'TimerFired'), '1 1', 'scenario 34: both timers fired');
SELECT durable.raise_event('event first', 'approval', '"next"') \g /dev/null
:run
SELECT is(outcome('event first'), 'completed [null, "next"]', 'scenario 34: the first wait had its event');

-- ---------------------------------------------------------------------------
-- Names of any kind: what is folded, what is not.

CREATE FUNCTION waits_for(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN durable.wait_for_event(input #>> '{}'); END $$;
CREATE TABLE spellings (awaited text, raised text, matches boolean, what text);
INSERT INTO spellings VALUES
	('lower', 'LOWER', true, 'awaited in lower case'), ('UPPER', 'upper', true, 'awaited in upper case'), ('CamelCase', 'camelCASE', true, 'mixed'),
	('item 1', 'item1', false, 'a space counts'), ('item', 'item ', false, 'at the end too'), ('it''s "%_\', 'IT''S "%_\', true, 'quotes and wildcards'), ('a%', 'abc', false, 'a wildcard is none');
SELECT durable.start_instance('waits_for', to_jsonb(awaited), instance_id => what) FROM spellings \g /dev/null
:run
SELECT durable.raise_event(what, raised, '1') FROM spellings \g /dev/null
:run
SELECT is(outcome(what), CASE WHEN matches THEN 'completed 1' ELSE 'running' END, 'scenario 33: names of events: ' || what) FROM spellings;

-- ---------------------------------------------------------------------------
-- Events of orchestrations

CREATE FUNCTION sends_nothing(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
BEGIN
	PERFORM durable.send_event('gets nothing', 'without');
	PERFORM durable.send_event('gets nothing', 'null', 'null');
	RETURN NULL;
END $$;
SELECT start('no_data', NULL, 'gets nothing');
SELECT start('sends_nothing');
:run
SELECT is(outcome('gets nothing'), 'completed [true, false, null]', 'scenario 42: an event sent without data is NULL, one of JSON null is that');
SELECT ok((SELECT input IS NULL FROM durable.history WHERE instance_id = 'sends_nothing' AND event_type = 'EventSent' AND name = 'without'), 'scenario 42: EventSent has none');

-- Who asks starts the other one and forgets it; they talk, and neither is the other's parent.
CREATE FUNCTION asks(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
DECLARE
	partner text := durable.start_detached('answers', to_jsonb(durable.instance_id()), instance_id => durable.instance_id() || '''s partner');
	list jsonb := '[]';
BEGIN
	FOR i IN 1..3 LOOP
		PERFORM durable.send_event(partner, 'question', to_jsonb(i));
		list := list || durable.wait_for_event('answer');
	END LOOP;
	PERFORM durable.send_event(partner, 'question');
	RETURN list;
END $$;
CREATE FUNCTION answers(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
DECLARE
	question jsonb;
	answered int := 0;
BEGIN
	LOOP
		question := durable.wait_for_event('question');
		EXIT WHEN question IS NULL;
		PERFORM durable.send_event(input #>> '{}', 'answer', to_jsonb(question::text::int * 10));
		answered := answered + 1;
	END LOOP;
	RETURN to_jsonb(answered);
END $$;
-- The one that answers is a child, which has its say before it ends.
CREATE FUNCTION asks_child(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
DECLARE
	child durable.task := durable.schedule_suborchestrator('answers', to_jsonb(durable.instance_id()), instance_id => 'child that answers');
	answer jsonb;
BEGIN
	PERFORM durable.send_event('child that answers', 'question', '7');
	answer := durable.wait_for_event('answer');
	PERFORM durable.send_event('child that answers', 'question');
	RETURN jsonb_build_array(answer, durable.await(child));
END $$;
SELECT start('asks');
SELECT start('asks_child');
:run
SELECT is(outcome('asks'), 'completed [10, 20, 30]', 'scenario 45: a conversation with an orchestration that was started and forgotten');
SELECT is(outcome('asks''s partner'), 'completed 3', 'scenario 45: which ends by itself');
SELECT is((SELECT parent_instance_id FROM durable.instances WHERE instance_id = 'asks''s partner'), NULL, 'scenario 45: it is nobody''s child');
SELECT is(outcome('asks_child'), 'completed [70, 1]', 'scenario 45: a conversation with a child');

-- ---------------------------------------------------------------------------
-- Scenario 44. An id never makes an instance: there are no entities. To signal what
-- may not run yet, start it if it does not exist and raise the event, in one transaction.

SELECT throws_ok($$ SELECT durable.raise_event('@counter@key', 'add', '1') $$, 'UD004', 'no instance with id "@counter@key" in task hub "app"', 'scenario 44: an id like an entity''s starts nothing');
CREATE FUNCTION sums(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
DECLARE
	total int := 0;
BEGIN
	FOR i IN 1..3 LOOP
		total := total + durable.wait_for_event('add')::text::int;
	END LOOP;
	RETURN to_jsonb(total);
END $$;
CREATE FUNCTION signal(id text, n int) RETURNS void LANGUAGE plpgsql AS
$$
BEGIN
	PERFORM durable.start_instance('sums', instance_id => id, if_exists => 'skip');
	PERFORM durable.raise_event(id, 'add', to_jsonb(n));
END $$;
SELECT signal('@counter@key', 1) \g /dev/null
:run
SELECT is(outcome('@counter@key'), 'running', 'scenario 44: the first signal starts the instance');
SELECT signal('@counter@key', 20), signal('@counter@key', 300) \g /dev/null
:run
SELECT is(outcome('@counter@key'), 'completed 321', 'scenario 44: later ones reach the one that runs; none is lost');
SELECT is((SELECT generation FROM durable.instances WHERE instance_id = '@counter@key'), 1::bigint, 'scenario 44: there was one');

-- ---------------------------------------------------------------------------
-- Scenario 46. What is raised before the instance has started comes after ExecutionStarted, all of it, in order.

SELECT durable.start_instance('five', instance_id => 'late', start_at => now() + interval '2 days') \g /dev/null
SELECT durable.raise_event('late', 'item', to_jsonb(n)) FROM generate_series(1, 5) n \g /dev/null
:run
SELECT is(story('late'), NULL, 'scenario 46: events for an instance that has not started');
:run_all
SELECT is(outcome('late'), 'completed [1, 2, 3, 4, 5]', 'scenario 46: none is lost');
SELECT is(story('late'), '[OS ExecutionStarted EventRaised EventRaised EventRaised EventRaised EventRaised ExecutionCompleted(0) OC]', 'scenario 46: ExecutionStarted comes first');
SELECT * FROM finish();
