-- Timers. The clock of this session is skipped ahead, nobody sleeps.
\ir include/setup.psql
SELECT plan(54);

CREATE FUNCTION turn_time(id text, number int) RETURNS timestamptz LANGUAGE sql AS
$$ SELECT timestamp FROM durable.history WHERE instance_id = $1 AND turn = $2 AND event_type = 'OrchestratorStarted' $$;
CREATE FUNCTION fire_at(id text, event_id int) RETURNS timestamptz LANGUAGE sql AS
$$ SELECT fire_at FROM durable.history WHERE instance_id = $1 AND event_type = 'TimerCreated' AND history.event_id = $2 $$;

CREATE FUNCTION naps(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
DECLARE
	before timestamptz := durable.orchestration_time();
BEGIN
	PERFORM durable.sleep(interval '1 hour');
	RETURN to_jsonb(durable.orchestration_time() - before >= interval '1 hour');
END $$;
CREATE FUNCTION three(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
DECLARE
	slow durable.task := durable.create_timer(interval '3 min');
	fast durable.task := durable.create_timer(interval '1 min');
	middle durable.task := durable.create_timer(interval '2 min');
	tasks durable.task[] := ARRAY[slow, fast, middle];
	winner durable.task;
	fired text := '';
BEGIN
	WHILE cardinality(tasks) > 0 LOOP
		winner := durable.await_any(tasks);
		fired := fired || CASE winner WHEN slow THEN 'slow ' WHEN fast THEN 'fast ' ELSE 'middle ' END;
		tasks := array_remove(tasks, winner);
	END LOOP;
	RETURN to_jsonb(fired);
END $$;
CREATE FUNCTION approval(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
DECLARE
	approved durable.task := durable.expect_event('approved');
	deadline durable.task := durable.create_timer(interval '3 days');
BEGIN
	IF durable.await_any(approved, deadline) = deadline THEN
		RETURN '"expired"';
	END IF;
	RETURN '"approved"';
END $$;
CREATE FUNCTION approval_cancelling(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
DECLARE
	approved durable.task := durable.expect_event('approved');
	deadline durable.task := durable.create_timer(interval '3 days');
BEGIN
	IF durable.await_any(approved, deadline) = approved THEN
		PERFORM durable.cancel_timer(deadline);
	END IF;
	PERFORM durable.wait_for_event('go');
	RETURN '"done"';
END $$;
CREATE FUNCTION ticks(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
DECLARE
	n int := 0;
BEGIN
	WHILE n < 5 LOOP
		PERFORM durable.sleep(interval '10 s');
		n := n + 1;
	END LOOP;
	RETURN to_jsonb(n);
END $$;
CREATE FUNCTION past(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
BEGIN
	PERFORM durable.sleep_until('2000-01-01');
	PERFORM durable.sleep('0');
	RETURN '"at once"';
END $$;
CREATE FUNCTION other_zone(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
BEGIN
	PERFORM durable.await(durable.create_timer_at('2100-01-01 02:00:00.123456+02'));
	RETURN '"reached"';
END $$;
CREATE FUNCTION long(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
DECLARE
	before timestamptz := now();
BEGIN
	PERFORM durable.await(durable.create_timer(interval '400 days'));
	RETURN to_jsonb(now() - before >= interval '400 days');
END $$;
-- A timer of the first generation must not wake the second.
CREATE FUNCTION timer_of_old_generation(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
DECLARE
	before timestamptz := durable.orchestration_time();
BEGIN
	IF input IS NULL THEN
		PERFORM durable.create_timer(interval '1 min');
		PERFORM durable.continue_as_new('2');
		RETURN NULL;
	END IF;
	PERFORM durable.await(durable.create_timer(interval '1 day'));
	RETURN to_jsonb(durable.orchestration_time() - before >= interval '1 day');
END $$;
CREATE FUNCTION thirty_days(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN PERFORM durable.sleep('30 days'); RETURN '"a month"'; END $$;
-- Set early, awaited after several turns: the time it fires is that of the turn it was set in.
CREATE FUNCTION awaited_late(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
DECLARE
	due timestamptz := durable.orchestration_time() + interval '90 s';
	timer durable.task := durable.create_timer(interval '90 s');
	n jsonb := '0';
BEGIN
	PERFORM durable.wait_for_event('go');
	FOR i IN 1..3 LOOP
		n := durable.call_activity('same', to_jsonb(i));
	END LOOP;
	PERFORM durable.await(timer);
	RETURN jsonb_build_array(n, due);
END $$;
-- One that fires while the code is busy elsewhere is there when it is awaited.
CREATE FUNCTION fired_early(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
DECLARE
	timer durable.task := durable.create_timer(interval '1 s');
BEGIN
	PERFORM durable.sleep('1 min');
	PERFORM durable.await(timer);
	RETURN '"both"';
END $$;
-- A timer that starts anew whenever something happens, and ends what is quiet for long.
CREATE FUNCTION idle_timeout(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
DECLARE
	heard int := 0;
	word durable.task;
	timer durable.task;
BEGIN
	LOOP
		word := durable.expect_event('word');
		timer := durable.create_timer(interval '1 hour');
		IF durable.await_any(word, timer) = timer THEN
			RETURN to_jsonb(heard);
		END IF;
		PERFORM durable.cancel_timer(timer);
		heard := heard + 1;
	END LOOP;
END $$;
CREATE FUNCTION at_local_time(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
BEGIN
	PERFORM durable.sleep_until('2000-01-01 12:00');
	PERFORM durable.sleep_until('2000-07-01 12:00'::timestamp AT TIME ZONE 'UTC');
	RETURN '"done"';
END $$;
CREATE FUNCTION cancelled(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
DECLARE
	timer durable.task := durable.create_timer(interval '1 hour');
	same boolean;
BEGIN
	same := durable.cancel_timer(timer) = timer;
	PERFORM durable.await(timer);
	RETURN '"fired"';
EXCEPTION WHEN OTHERS THEN
	RETURN jsonb_build_array(same, SQLSTATE);
END $$;
CREATE FUNCTION cancels_fired(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
DECLARE
	timer durable.task := durable.create_timer(interval '1 s');
BEGIN
	PERFORM durable.await(timer);
	PERFORM durable.cancel_timer(timer);
	PERFORM durable.await(timer);
	RETURN '"fired"';
END $$;
CREATE FUNCTION cancels_event(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$ BEGIN PERFORM durable.cancel_timer(durable.expect_event('x')); RETURN '1'; END $$;
CREATE FUNCTION negative(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN PERFORM durable.create_timer('-1 s'); RETURN '1'; END $$;
CREATE FUNCTION negative_sleep(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN PERFORM durable.sleep('-1 us'); RETURN '1'; END $$;
CREATE FUNCTION null_delay(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN PERFORM durable.create_timer(NULL); RETURN '1'; END $$;
CREATE FUNCTION null_time(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN PERFORM durable.sleep_until(NULL); RETURN '1'; END $$;
CREATE FUNCTION infinite(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN PERFORM durable.sleep_until('infinity'); RETURN '1'; END $$;
CREATE FUNCTION too_long(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN PERFORM durable.sleep('300000 years'); RETURN '1'; END $$;

SELECT start(f) FROM unnest(ARRAY['naps', 'three', 'ticks', 'past', 'other_zone', 'long', 'timer_of_old_generation', 'cancelled', 'cancels_fired', 'cancels_event',
	'negative', 'negative_sleep', 'null_delay', 'null_time', 'infinite', 'too_long', 'thirty_days', 'awaited_late', 'fired_early', 'idle_timeout']) f;
SET TimeZone = 'America/New_York';
SELECT start('at_local_time');
RESET TimeZone;
SELECT start('approval', NULL, 'expires');
SELECT start('approval', NULL, 'approved');
SELECT start('approval_cancelling');
:run
SELECT is(outcome('naps'), 'running', 'scenario 19: a timer that is not due does not fire');
SELECT is((SELECT waiting_for #>> '{timers,0,id}' FROM durable.instances WHERE instance_id = 'naps'), '0', 'waiting_for shows the timer');
SELECT is((SELECT (waiting_for #>> '{timers,0,due}')::timestamptz FROM durable.instances WHERE instance_id = 'naps'), fire_at('naps', 0), 'and when it is due');
SELECT is(fire_at('naps', 0), turn_time('naps', 1) + interval '1 hour', 'scenario 27: FireAt is the orchestration''s time and the delay');
SELECT is(outcome('past'), 'completed "at once"', 'scenario 28: a timer in the past and one without delay fire at once');
SELECT is(fire_at('past', 0), '2000-01-01 00:00+00', 'scenario 28: its FireAt is as asked');
SELECT is(fire_at('other_zone', 0), '2100-01-01 00:00:00.123456+00', 'scenario 25: a time given with another zone is the same instant');
SELECT is(outcome('cancelled'), 'completed [true, "UD001"]', 'awaiting a cancelled timer raises UD001, which WHEN OTHERS catches');
SELECT is(outcome('cancels_event'), 'failed 22023 cannot cancel a task of kind event', 'only timers can be cancelled');
SELECT is(outcome('negative'), 'failed 22023 delay must not be negative', 'a negative delay');
SELECT is(outcome('negative_sleep'), 'failed 22023 delay must not be negative', 'a negative sleep');
SELECT is(outcome('null_delay'), 'failed 22004 delay must not be null', 'no delay');
SELECT is(outcome('null_time'), 'failed 22004 fire_at must not be null', 'no time');
SELECT is(outcome('infinite'), 'failed 22023 fire_at must be finite', 'an infinite time');
SELECT is(failure('too_long', 'sqlstate'), '22008', 'a delay beyond all time');

SELECT is(ARRAY[fire_at('at_local_time', 0), fire_at('at_local_time', 1)], ARRAY['2000-01-01 17:00+00', '2000-07-01 12:00+00']::timestamptz[],
	'scenario 25: a time without a zone is of the zone of the session that started the instance');
SELECT is(story('past'), '[OS ExecutionStarted TimerCreated(0) OC] [OS TimerFired->0 TimerCreated(1) OC] [OS TimerFired->1 ExecutionCompleted(2) OC]',
	'scenario 28: each with the next turn');
SELECT go('awaited_late');
SELECT durable.raise_event('idle_timeout', 'word') \g /dev/null
:run
SELECT durable.raise_event('idle_timeout', 'word') \g /dev/null
:run
SELECT is(outcome('awaited_late'), 'running', 'scenario 23: a timer is not due because other turns have passed');
SELECT is(outcome('idle_timeout'), 'running', 'scenario 23: one that is set anew waits anew');
SELECT durable.raise_event('approved', 'approved') \g /dev/null
SELECT durable.raise_event('approval_cancelling', 'approved') \g /dev/null
:run
SELECT is(outcome('approved'), 'completed "approved"', 'scenario 22: the event won, completed promptly');
SELECT is(story('approved'), '[OS ExecutionStarted TimerCreated(0) OC] [OS EventRaised ExecutionCompleted(1) OC]', 'scenario 22: its history');
SELECT is((SELECT waiting_for FROM durable.instances WHERE instance_id = 'approval_cancelling'), '{"events": ["go"]}', 'a cancelled timer is not waited for any more');
SELECT is((SELECT count(*) FROM durable.messages WHERE instance_id = 'approval_cancelling'), 0::bigint, 'and its message is gone');
SELECT updated_at AS approved_at FROM durable.instances WHERE instance_id = 'approved' \gset
SELECT durable.terminate('other_zone') \g /dev/null
:run_all
SELECT is(outcome('naps'), 'completed true', 'scenario 19: completes after the delay, not sooner');
SELECT is(story('naps'), '[OS ExecutionStarted TimerCreated(0) OC] [OS TimerFired->0 ExecutionCompleted(1) OC]', 'scenario 19: its history');
SELECT is((SELECT fire_at FROM durable.history WHERE instance_id = 'naps' AND event_type = 'TimerFired'), fire_at('naps', 0), 'TimerFired has the FireAt of TimerCreated');
SELECT cmp_ok(turn_time('naps', 2), '>=', fire_at('naps', 0), 'and its turn is not earlier');
SELECT is(outcome('three'), 'completed "fast middle slow "', 'scenario 20: three concurrent timers fire in the order they are due');
SELECT is(ARRAY[fire_at('three', 0), fire_at('three', 1), fire_at('three', 2)],
	ARRAY[turn_time('three', 1) + interval '3 min', turn_time('three', 1) + interval '1 min', turn_time('three', 1) + interval '2 min'],
	'scenario 20: all count from the same time');
SELECT is(outcome('expires'), 'completed "expired"', 'scenario 21: the timer wins when no event comes');
SELECT is(story('approved'), '[OS ExecutionStarted TimerCreated(0) OC] [OS EventRaised ExecutionCompleted(1) OC]', 'scenario 22: the late TimerFired is discarded');
SELECT is((SELECT updated_at FROM durable.instances WHERE instance_id = 'approved'), :'approved_at'::timestamptz, 'scenario 24: a timer of a finished instance changes nothing');
SELECT is(outcome('ticks'), 'completed 5', 'scenario 23: a timer that repeats');
SELECT is(events('ticks', 'TimerFired'), 5::bigint, 'scenario 23: fires as often as it was set');
SELECT is(outcome('long'), 'completed true', 'scenario 26: a long timer');
SELECT is(events('long', 'TimerCreated'), 1::bigint, 'scenario 26: is one timer');
SELECT is(outcome('thirty_days'), 'completed "a month"', 'scenario 26: 30 days');
SELECT is(story('thirty_days'), '[OS ExecutionStarted TimerCreated(0) OC] [OS TimerFired->0 ExecutionCompleted(1) OC]', 'scenario 26: are one timer, created and fired once');
SELECT is(output('awaited_late') -> 0, '3', 'scenario 23: a timer awaited after several turns');
SELECT is((output('awaited_late') ->> 1)::timestamptz, fire_at('awaited_late', 0), 'scenario 27: the last replay counts from the same time as the first pass');
SELECT is(fire_at('awaited_late', 0), turn_time('awaited_late', 1) + interval '90 s', 'scenario 27: FireAt is unchanged');
SELECT is(outcome('fired_early'), 'completed "both"', 'scenario 23: a timer that fired before it is awaited');
SELECT is(outcome('idle_timeout'), 'completed 2', 'scenario 23: a timer set anew for each event');
SELECT is(events('idle_timeout', 'TimerCreated') || ' ' || events('idle_timeout', 'TimerFired'), '3 1', 'scenario 22: of three the two that were cancelled never fired');
SELECT is(outcome('timer_of_old_generation'), 'completed true', 'scenario 24: a timer of an earlier generation does not wake the next one');
SELECT is(outcome('cancels_fired'), 'completed "fired"', 'cancelling a timer that fired changes nothing');
SELECT is(outcome('approval_cancelling'), 'running', 'the cancelled timer did not wake it');
SELECT is(events('approval_cancelling', 'TimerFired'), 0::bigint, 'and did not fire');
SELECT go('approval_cancelling');
:run
SELECT is(outcome('approval_cancelling'), 'completed "done"', 'and it goes on, its history replays');
SELECT is_empty('SELECT * FROM durable.messages', 'no message is left');

-- The session's time goes back with what was done ahead of it.
SELECT start('naps', NULL, 'before');
SELECT created_at AS before FROM durable.instances WHERE instance_id = 'before' \gset
BEGIN;
SELECT start('thirty_days', NULL, 'undone');
:run_all
SELECT start('naps', NULL, 'ahead');
SELECT created_at AS ahead FROM durable.instances WHERE instance_id = 'ahead' \gset
ROLLBACK;
SELECT start('naps', NULL, 'after');
SELECT created_at AS after FROM durable.instances WHERE instance_id = 'after' \gset
SELECT ok(:'ahead'::timestamptz - :'before' >= interval '30 days', 'skipping takes the session''s clock along');
SELECT ok(:'after'::timestamptz - :'before' < interval '1 hour', 'a rollback takes it back');
SELECT start('thirty_days', NULL, 'kept');
:run_all
SELECT start('naps', NULL, 'later');
SELECT created_at AS later FROM durable.instances WHERE instance_id = 'later' \gset
SELECT ok(:'later'::timestamptz - :'before' >= interval '30 days', 'a commit does not');
BEGIN;
:run_all
ROLLBACK;
SELECT start('naps', NULL, 'last');
SELECT ok((SELECT created_at FROM durable.instances WHERE instance_id = 'last') >= :'later', 'nor does the rollback of what comes after');
SELECT * FROM finish();
