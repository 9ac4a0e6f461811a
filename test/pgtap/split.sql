-- durable.max_messages_per_turn: a turn that sends off too much is split by the
-- engine's own timer, and what is left comes from the replay of the next turn.
\ir include/setup.psql
SELECT plan(60);

SELECT throws_ok('SET durable.max_messages_per_turn = 80', '42501', NULL, 'not for an ordinary role');
SELECT is(current_setting('durable.max_messages_per_turn'), '0', 'no limit by default');

-- How many actions each turn sent off: "80 80 40".
CREATE FUNCTION sent(id text) RETURNS text LANGUAGE sql AS
$$
	SELECT string_agg(n::text, ' ' ORDER BY turn)
	FROM (SELECT turn, count(*) AS n FROM durable.history
		WHERE instance_id = $1 AND event_id >= 0 AND event_type <> 'ExecutionCompleted' GROUP BY turn) t
$$;

CREATE FUNCTION tasks(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
DECLARE
	t durable.task[];
BEGIN
	FOR i IN 0 .. (input #>> '{}')::int - 1 LOOP
		t := t || durable.schedule_activity('same', to_jsonb(i));
	END LOOP;
	RETURN (SELECT sum(r::int) FROM unnest(durable.await_all(VARIADIC t)) r);
END $$;
SELECT start('tasks', '200', 'unlimited');
:run
SELECT is(sent('unlimited'), '200', 'without a limit 200 tasks go in one turn');

-- ---------------------------------------------------------------------------
-- Splitting

RESET SESSION AUTHORIZATION;
SET durable.max_messages_per_turn = 80;
SET SESSION AUTHORIZATION app;
SELECT start('tasks', '200', 'scenario9');
SELECT start('tasks', '80', 'as many');
:run
SELECT is(outcome('scenario9'), 'completed 19900', 'scenario 9: 200 tasks over a limit of 80, sum 19900');
SELECT is(sent('scenario9'), '80 80 40', 'scenario 9: no turn sends more');
SELECT is((SELECT array_agg(event_id ORDER BY seq) FROM durable.history WHERE instance_id = 'scenario9' AND event_type = 'TaskScheduled'),
	ARRAY(SELECT generate_series(0, 199)), 'scenario 9: each once, in order');
SELECT is(sent('as many') || ' ' || events('as many', 'TimerCreated'), '80 0', 'as many as the limit are not split');

RESET SESSION AUTHORIZATION;
SET durable.max_messages_per_turn = 2;
SET SESSION AUTHORIZATION app;
CREATE FUNCTION timers(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
DECLARE
	t durable.task[];
BEGIN
	FOR i IN 1 .. (input #>> '{}')::int LOOP
		t := t || durable.create_timer(make_interval(hours => i));
	END LOOP;
	PERFORM durable.await_all(VARIADIC t);
	RETURN '"done"';
END $$;
SELECT start('timers', '5');
SELECT start('timers', '4', 'even');
:run
SELECT is(story('timers'), '[OS ExecutionStarted TimerCreated(0) TimerCreated(1) TimerCreated(-100) OC]'
	' [OS TimerFired->-100 TimerCreated(2) TimerCreated(3) TimerCreated(-100) OC]'
	' [OS TimerFired->-100 TimerCreated(4) OC]', 'the split as DTFx writes it; nobody had to skip the clock');
SELECT is(story('even'), '[OS ExecutionStarted TimerCreated(0) TimerCreated(1) TimerCreated(-100) OC]'
	' [OS TimerFired->-100 TimerCreated(2) TimerCreated(3) OC]', 'the last part is not split when nothing is left');
SELECT is((SELECT count(*) FROM durable.history c JOIN durable.history f USING (instance_id, fire_at)
	WHERE instance_id = 'timers' AND c.event_id = -100 AND f.event_type = 'TimerFired' AND f.timer_id = -100 AND c.timestamp = c.fire_at), 2::bigint,
	'the timer is due when it is made');
SELECT is((SELECT count(DISTINCT fire_at - (SELECT min(timestamp) FROM durable.history WHERE instance_id = 'timers' AND event_type = 'OrchestratorStarted'))
	FROM durable.history WHERE instance_id = 'timers' AND event_type = 'TimerCreated' AND event_id >= 0
	AND extract(minute FROM fire_at - (SELECT min(timestamp) FROM durable.history WHERE instance_id = 'timers' AND event_type = 'OrchestratorStarted')) = 0), 5::bigint,
	'what is put off counts from the time the code asked for it');
:run_all
SELECT is(outcome('timers') || ' ' || outcome('even'), 'completed "done" completed "done"', 'both complete');

-- One of each kind, one a turn.
RESET SESSION AUTHORIZATION;
SET durable.max_messages_per_turn = 1;
SET SESSION AUTHORIZATION app;
CREATE FUNCTION child(input jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT $1';
CREATE FUNCTION mixed(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
DECLARE
	a durable.task := durable.schedule_activity('same', '"activity"');
	t durable.task := durable.create_timer('1 h');
	c durable.task := durable.schedule_suborchestrator('child', '"child"', instance_id => 'mixed child');
	r jsonb[];
BEGIN
	PERFORM durable.send_event('nobody', 'x');
	PERFORM durable.start_detached('child', '"detached"', instance_id => 'mixed detached');
	r := durable.await_all(a, c);
	PERFORM durable.cancel_timer(t);
	RETURN to_jsonb(r);
END $$;
SELECT start('mixed');
:run
SELECT is(outcome('mixed'), 'completed ["activity", "child"]', 'a limit of one: every kind of action');
SELECT is((SELECT string_agg(event_type || event_id, ' ' ORDER BY seq) FROM durable.history WHERE instance_id = 'mixed' AND event_id >= 0),
	'TaskScheduled0 TimerCreated1 SubOrchestrationInstanceCreated2 EventSent3 SubOrchestrationInstanceCreated4 ExecutionCompleted5', 'a limit of one: each once');
SELECT is((SELECT max(n) FROM (SELECT count(*) AS n FROM durable.history WHERE instance_id = 'mixed' AND event_id >= 0 GROUP BY turn) t), 1::bigint, 'a limit of one: one a turn');
SELECT is(outcome('mixed child') || outcome('mixed detached'), 'completed "child"completed "detached"', 'a limit of one: both children ran');

-- ---------------------------------------------------------------------------
-- What is left is the end

RESET SESSION AUTHORIZATION;
SET durable.max_messages_per_turn = 2;
SET SESSION AUTHORIZATION app;
CREATE FUNCTION ask(id text, n int) RETURNS durable.task[] LANGUAGE plpgsql AS
$$
DECLARE
	t durable.task[];
BEGIN
	FOR i IN 1..n LOOP
		t := t || durable.schedule_activity('effect', jsonb_build_object('what', id || i));
	END LOOP;
	RETURN t;
END $$;
-- With any input: waits first, so that there is a batch of messages after the start.
CREATE FUNCTION begin(input jsonb) RETURNS void LANGUAGE plpgsql AS
$$ BEGIN IF input IS NOT NULL THEN PERFORM durable.wait_for_event('begin'); END IF; END $$;
CREATE FUNCTION returns(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$ BEGIN PERFORM ask('returns', 4); RETURN '"returned"'; END $$;
CREATE FUNCTION raises(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$ BEGIN PERFORM ask('raises', 5); RAISE 'raised'; END $$;
CREATE FUNCTION waits(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$ BEGIN PERFORM begin(input); PERFORM ask('waits', 5); RETURN durable.wait_for_event('go'); END $$;
CREATE FUNCTION sleeper(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$ BEGIN RETURN durable.wait_for_event('never'); END $$;
CREATE FUNCTION has_children(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
BEGIN
	PERFORM begin(input);
	FOR i IN 1..5 LOOP
		PERFORM durable.schedule_suborchestrator('sleeper', instance_id => 'sleeper ' || i);
	END LOOP;
	RETURN durable.wait_for_event('go');
END $$;
CREATE FUNCTION returns_later(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$ BEGIN PERFORM durable.wait_for_event('go'); PERFORM ask('later', 5); RETURN '"returned"'; END $$;
SELECT start(f) FROM unnest(ARRAY['returns', 'raises']) f;
SELECT start(f, '1') FROM unnest(ARRAY['waits', 'has_children']) f;
:run
SELECT durable.raise_event(id, 'begin') FROM unnest(ARRAY['waits', 'has_children']) id \g /dev/null
SELECT durable.terminate(id, 'enough') FROM unnest(ARRAY['waits', 'has_children']) id \g /dev/null
SELECT start('returns', NULL, 'returns suspended');
SELECT durable.suspend('returns suspended') \g /dev/null
SELECT start('raises', NULL, 'raises suspended');
SELECT durable.suspend('raises suspended') \g /dev/null
:run
SELECT is(outcome('returns'), 'completed "returned"', 'the completion, too, goes to the next turn');
SELECT is((SELECT string_agg(event_type, ' ' ORDER BY seq) FROM durable.history WHERE instance_id = 'returns' AND event_id <> -1),
	'TaskScheduled TaskScheduled TimerCreated TaskScheduled TaskScheduled TimerCreated ExecutionCompleted', 'behind all that was asked for');
SELECT is(outcome('raises'), 'failed P0001 raised', 'as does a failure');
SELECT is(sent('raises'), '2 2 1', 'and no task is sent twice by the replays that end with it');
SELECT is(outcome('waits'), 'terminated "enough"', 'terminated in the batch that is split');
SELECT is(sent('waits'), '2 2 1', 'the tasks asked for till then are sent, each once');
SELECT is(effects('waits%'), 'waits1 waits2 waits3 waits4 waits5', 'and are run');
SELECT is((SELECT string_agg(instance_id || ' ' || status, ', ' ORDER BY instance_id) FROM durable.instances WHERE parent_instance_id = 'has_children'),
	'sleeper 1 terminated, sleeper 2 terminated, sleeper 3 terminated, sleeper 4 terminated, sleeper 5 terminated', 'the children of all parts are terminated with their parent');
SELECT is(outcome('returns suspended'), 'completed "returned"', 'suspended in the batch that starts it, but the code was through: it completes');
SELECT is(sent('returns suspended'), '2 2', 'its tasks are sent once');
SELECT is(outcome('raises suspended') || ' ' || sent('raises suspended'), 'failed P0001 raised 2 2 1', 'and so where the code fails');
SELECT is((SELECT string_agg(what || ' ' || n, ', ' ORDER BY what) FROM (SELECT what, count(*) AS n FROM effects WHERE what LIKE 'returns%' GROUP BY what) e),
	'returns1 2, returns2 2, returns3 2, returns4 2', 'two instances, four tasks each');

-- Code that catches its suspension fails now: in the next turn the wait would be over.
CREATE FUNCTION swallows(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
BEGIN
	PERFORM durable.await_all(VARIADIC ask('swallows', 4));
	RETURN '"waited"';
EXCEPTION WHEN assert_failure THEN
	RETURN '"swallowed"';
END $$;
SELECT start('swallows');
:run
SELECT is(outcome('swallows') || ', ' || effects('swallows%'), 'failed UD008 the orchestrator caught the error that suspends it, ', 'who catches a wait fails at once, and nothing it asked for is done');

-- A turn in the middle of a life.
SELECT start('returns_later');
:run
SELECT go('returns_later');
:run
SELECT is(outcome('returns_later') || ' ' || sent('returns_later'), 'completed "returned" 2 2 1', 'a later turn is split as well');

-- ---------------------------------------------------------------------------
-- What comes between the parts: activities of the first part run before the second

CREATE FUNCTION act(what text, id text) RETURNS void LANGUAGE plpgsql AS
$$
BEGIN
	CASE what
		WHEN 'suspend' THEN PERFORM durable.suspend(id);
		WHEN 'terminate' THEN PERFORM durable.terminate(id, 'enough');
		WHEN 'raise' THEN PERFORM durable.raise_event(id, 'item', '"between"');
		WHEN 'look' THEN PERFORM effect(concat_ws(' ', 'saw', custom_status, waiting_for - 'activities')) FROM durable.instances WHERE instance_id = id;
	END CASE;
END $$;
CREATE FUNCTION interrupted(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
DECLARE
	e durable.task := durable.expect_event('go');
BEGIN
	PERFORM durable.set_custom_status('"under way"');
	PERFORM durable.schedule_activity('act', jsonb_build_object('what', input, 'id', durable.instance_id()));
	PERFORM ask(input #>> '{}', 4);
	RETURN durable.await(e);
END $$;
SELECT start('interrupted', to_jsonb(w), w) FROM unnest(ARRAY['suspend', 'terminate', 'look']) w;
:run
SELECT is(status('suspend') || ' ' || sent('suspend'), 'suspended 2', 'suspended between the parts: no more is sent');
SELECT is(outcome('terminate') || ' ' || sent('terminate'), 'terminated "enough" 2 2 1', 'terminated between the parts: the code has asked for all of it before');
SELECT is(effects('saw%'), 'saw "under way" {"events": ["go"]}', 'between the parts: custom status and awaited event stand there, the engine''s timer does not');
SELECT durable.resume('suspend') \g /dev/null
:run
SELECT is(sent('suspend'), '2 2 1', 'resumed: the rest is sent');
SELECT go(w) FROM unnest(ARRAY['suspend', 'look']) w;
:run
SELECT is(outcome('suspend') || ' ' || outcome('look'), 'completed completed', 'and it goes on');
SELECT is(effects('suspend%') || ' ' || effects('terminate%') || ' ' || effects('look%'),
	'suspend1 suspend2 suspend3 suspend4 terminate1 terminate2 terminate3 terminate4 look1 look2 look3 look4', 'each task ran once');

-- A suspended instance sends nothing; resuming it is a turn with a limit.
SELECT start('waits', NULL, 'waits suspended');
SELECT durable.suspend('waits suspended') \g /dev/null
:run
SELECT is(status('waits suspended') || ' ' || coalesce(sent('waits suspended'), 'nothing'), 'suspended nothing', 'while suspended nothing leaves');
SELECT durable.resume('waits suspended') \g /dev/null
:run
SELECT is(status('waits suspended') || ' ' || sent('waits suspended'), 'running 2 2 1', 'then in parts');

-- Timers cancelled in a turn that is split are cancelled.
CREATE FUNCTION cancels(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
DECLARE
	e durable.task := durable.expect_event('go');
	old durable.task := durable.create_timer('1 h');
	new durable.task;
	lasting durable.task;
BEGIN
	PERFORM durable.await_any(e, old);
	PERFORM durable.cancel_timer(old);
	PERFORM ask('cancels', 3);
	new := durable.create_timer('2 h');
	lasting := durable.create_timer('3 h');
	PERFORM durable.cancel_timer(new);
	PERFORM durable.await(lasting);
	RETURN '"done"';
END $$;
SELECT start('cancels');
:run
SELECT go('cancels');
:run
SELECT is((SELECT waiting_for -> 'timers' @@ 'exists($[*] ? (@.id == 0))' FROM durable.instances WHERE instance_id = 'cancels'), false, 'a timer cancelled in a split turn is forgotten');
SELECT is((SELECT jsonb_path_query_array(waiting_for, '$.timers[*].id') FROM durable.instances WHERE instance_id = 'cancels'), '[5]', 'one cancelled before it was sent is never made');
:run_all
SELECT is(outcome('cancels'), 'completed "done"', 'the other one fires');
SELECT is((SELECT array_agg(timer_id ORDER BY seq) FROM durable.history WHERE instance_id = 'cancels' AND event_type = 'TimerFired' AND timer_id >= 0), ARRAY[5], 'and only that');

-- ---------------------------------------------------------------------------
-- continue_as_new

CREATE FUNCTION continues(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
DECLARE
	got jsonb[];
BEGIN
	IF input IS DISTINCT FROM '"next"' THEN
		PERFORM begin(input);
		PERFORM durable.schedule_activity('act', jsonb_build_object('what', 'raise', 'id', durable.instance_id()));
		PERFORM ask('continues', 3);
		PERFORM durable.set_custom_status('"carried"');
		PERFORM durable.continue_as_new('"next"');
		RETURN NULL;
	END IF;
	FOR i IN 1..3 LOOP
		got := got || durable.wait_for_event('item');
	END LOOP;
	RETURN to_jsonb(got);
END $$;
SELECT start('continues');
SELECT durable.raise_event('continues', 'item', to_jsonb(n)) FROM generate_series(1, 2) n \g /dev/null
:run
SELECT is(outcome('continues'), 'completed [1, 2, "between"]', 'continue-as-new comes last, with all events, those between the parts too');
SELECT is((SELECT generation || ' ' || input::text || ' ' || custom_status::text FROM durable.instances WHERE instance_id = 'continues'), '2 "next" "carried"', 'its input and custom status');
SELECT is(effects('continues%'), 'continues1 continues2 continues3', 'the old generation''s tasks ran, each once');

-- Generations in one turn share its limit.
CREATE FUNCTION generations(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
DECLARE
	n int := (input #>> '{}')::int;
BEGIN
	PERFORM durable.schedule_activity('effect', jsonb_build_object('what', 'generation' || n));
	IF n < 7 THEN
		PERFORM durable.continue_as_new(to_jsonb(n + 1));
	END IF;
	RETURN input;
END $$;
SELECT start('generations', '1');
:run
SELECT is(outcome('generations') || ' ' || (SELECT generation FROM durable.instances WHERE instance_id = 'generations'), 'completed 7 7', 'generations that follow each other in a turn are counted together');
SELECT is(effects('generation%'), 'generation1 generation2 generation3 generation4 generation5 generation6 generation7', 'each task once');
SELECT is(story('generations'), '[OS ExecutionStarted OC TaskScheduled(0) ExecutionCompleted(1) OC]', 'the last one had room');

-- continue_as_new with a suspension in the batch: the next generation is suspended.
SELECT start('continues', NULL, 'continues suspended');
SELECT durable.suspend('continues suspended') \g /dev/null
:run
SELECT is(status('continues suspended') || ' ' || (SELECT generation FROM durable.instances WHERE instance_id = 'continues suspended'), 'suspended 2', 'continue-as-new in parts, suspended');
SELECT durable.raise_event('continues suspended', 'item', to_jsonb(n)) FROM generate_series(1, 2) n \g /dev/null
SELECT durable.resume('continues suspended') \g /dev/null
:run
SELECT is(outcome('continues suspended'), 'completed ["between", 1, 2]', 'no event is lost');
SELECT is(effects('continues%'), 'continues1 continues2 continues3 continues1 continues2 continues3', 'and no task doubled');

-- Terminate wins over continue-as-new.
SELECT start('continues', '1', 'continues terminated');
:run
SELECT durable.raise_event('continues terminated', 'begin') \g /dev/null
SELECT durable.terminate('continues terminated', 'enough') \g /dev/null
:run
SELECT is(outcome('continues terminated') || ' ' || sent('continues terminated'), 'terminated "enough" 2 2', 'a termination in the batch wins over continue-as-new, in parts too');

-- ---------------------------------------------------------------------------
-- Large fan-outs of other things

RESET SESSION AUTHORIZATION;
SET durable.max_messages_per_turn = 3;
SET SESSION AUTHORIZATION app;
CREATE FUNCTION children(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
DECLARE
	t durable.task[];
BEGIN
	FOR i IN 1..10 LOOP
		t := t || durable.schedule_suborchestrator('tasks', to_jsonb(i));
	END LOOP;
	RETURN (SELECT sum(r::int) FROM unnest(durable.await_all(VARIADIC t)) r);
END $$;
CREATE FUNCTION sends(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
BEGIN
	FOR i IN 1..10 LOOP
		PERFORM durable.send_event('collects', 'item', to_jsonb(i));
	END LOOP;
	RETURN '"sent"';
END $$;
CREATE FUNCTION collects(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
DECLARE
	got jsonb = '[]';
BEGIN
	FOR i IN 1..10 LOOP
		got := got || durable.wait_for_event('item');
	END LOOP;
	RETURN got;
END $$;
CREATE FUNCTION fails_twice(n int) RETURNS int LANGUAGE plpgsql AS
$$
DECLARE
	attempts int;
BEGIN
	SELECT count(*) INTO attempts FROM durable.history
	WHERE instance_id = durable.instance_id() AND event_type = 'TaskScheduled' AND (input ->> 'n')::int = fails_twice.n;
	IF attempts <= 2 THEN
		RAISE 'attempt %', attempts;
	END IF;
	RETURN n;
END $$;
CREATE FUNCTION retries(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
DECLARE
	t durable.task[];
BEGIN
	FOR i IN 1..10 LOOP
		t := t || durable.schedule_activity('fails_twice', jsonb_build_object('n', i), retry => durable.retry_policy(max_attempts => 3, first_interval => '1 min'));
	END LOOP;
	RETURN (SELECT sum(r::int) FROM unnest(durable.await_all(VARIADIC t)) r);
END $$;
SELECT start(f) FROM unnest(ARRAY['children', 'collects', 'sends', 'retries']) f;
:run_all
SELECT is(outcome('children'), 'completed 165', 'ten sub-orchestrations, whose turns are split like their parent''s');
SELECT is(sent('children'), '3 3 3 1', 'three a turn');
SELECT is(outcome('sends') || ' ' || sent('sends'), 'completed "sent" 3 3 3 1', 'ten events');
SELECT is(outcome('collects'), 'completed [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]', 'arrive in order');
SELECT is(outcome('retries'), 'completed 55', 'ten tasks that need three attempts');
SELECT is(events('retries', 'TaskScheduled') || ' ' || (SELECT count(*) FROM durable.history WHERE instance_id = 'retries' AND event_type = 'TimerCreated' AND event_id >= 0), '30 20',
	'as many attempts and waits as without a limit');
SELECT cmp_ok((SELECT max(n) FROM (SELECT count(*) AS n FROM durable.history WHERE instance_id = 'retries' AND event_id >= 0 GROUP BY turn) t), '<=', 3::bigint, 'no turn sends more than three');
SELECT go('waits suspended');
:run
SELECT is_empty($$ SELECT instance_id FROM durable.messages WHERE visible_at < 'infinity' UNION ALL SELECT instance_id FROM durable.activities $$, 'nothing is left in the queues');
SELECT * FROM finish();
