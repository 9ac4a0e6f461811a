-- Limits, set by a superuser: what goes beyond fails, the others go on.
\ir include/setup.psql
SELECT plan(37);

CREATE FUNCTION at_once(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN input; END $$;
SELECT throws_ok('SET durable.' || setting, '42501', NULL, 'not for an ordinary role: ' || setting) FROM unnest(ARRAY['orchestrator_timeout = 0', 'activity_timeout = 0',
	'max_payload_size = ''255MB''', 'max_history_events = 1000000']) setting;

-- ---------------------------------------------------------------------------
-- Time

RESET SESSION AUTHORIZATION;
SET durable.orchestrator_timeout = '500ms';
SET durable.activity_timeout = '300ms';
SET SESSION AUTHORIZATION app;
CREATE FUNCTION endless(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN LOOP PERFORM 1; END LOOP; END $$;
-- Endless but for the patience of this test.
CREATE FUNCTION endless_catching(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
BEGIN
	FOR i IN 1..150000 LOOP
		BEGIN
			PERFORM count(*) FROM generate_series(1, 1000);
		EXCEPTION WHEN OTHERS OR query_canceled THEN
			NULL;
		END;
	END LOOP;
	RETURN NULL;
END $$;
CREATE FUNCTION endless_after_wait(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
BEGIN
	PERFORM durable.set_custom_status('"before"');
	PERFORM durable.call_activity('effect', '{"what": "before the loop"}');
	PERFORM durable.schedule_activity('effect', '{"what": "in the loop"}');
	LOOP
		PERFORM 1;
	END LOOP;
END $$;
CREATE FUNCTION slow() RETURNS int LANGUAGE plpgsql AS $$ BEGIN PERFORM effect('slow'); PERFORM pg_sleep(60); RETURN 1; END $$;
CREATE FUNCTION catches_slow(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
BEGIN
	RETURN durable.call_activity('slow');
EXCEPTION WHEN OTHERS THEN
	RETURN to_jsonb(SQLSTATE);
END $$;
CREATE FUNCTION retries_slow(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN durable.call_activity('slow', retry => durable.retry_policy(2)); END $$;
SELECT start(f) FROM unnest(ARRAY['endless', 'endless_after_wait', 'catches_slow', 'retries_slow']) f;
SELECT start('at_once', '"beside"');
SELECT start('call', '{"name": "slow"}', 'slow');
:run_all
SELECT is(failure('endless', 'sqlstate'), '57014', 'an endless loop in an orchestrator fails it');
SELECT alike(failure('endless', 'errorMessage'), '%endless%500 ms%', 'its message names function and limit');
SELECT is(failure('endless_after_wait', 'sqlstate'), '57014', 'also one after a wait');
SELECT is(effects('before the loop'), 'before the loop', 'what it did before stays');
SELECT is(outcome('at_once'), 'completed "beside"', 'the instance beside them completes');
SELECT is(outcome('catches_slow'), 'completed "UD001"', 'a slow activity is cancelled, which the orchestrator sees as UD001');
SELECT is(failure('slow', 'sqlstate'), '57014', 'or fails with 57014');
SELECT alike(failure('slow', 'errorMessage'), '%slow%300 ms%', 'its message names activity and limit');
SELECT is(events('retries_slow', 'TaskFailed'), 2::bigint, 'and can be retried');
SELECT is(effects('slow'), '', 'and its effects are undone');
SELECT start('endless_catching');
SELECT clock_timestamp() AS before \gset
:run
SELECT cmp_ok(clock_timestamp() - :'before', '<', interval '8 s', 'an orchestrator that catches the cancel is stopped too');
SELECT is(failure('endless_catching', 'sqlstate'), '57014', 'and fails');
RESET SESSION AUTHORIZATION;
SET durable.orchestrator_timeout = 0;
RESET durable.activity_timeout;
SET SESSION AUTHORIZATION app;
SELECT start('at_once', '1', 'no limit');
:run
SELECT is(outcome('no limit'), 'completed 1', 'orchestrator_timeout = 0');

-- ---------------------------------------------------------------------------
-- Size

RESET SESSION AUTHORIZATION;
RESET durable.orchestrator_timeout;
SET durable.max_payload_size = '8kB';
SET SESSION AUTHORIZATION app;
CREATE FUNCTION large(n int) RETURNS text LANGUAGE sql AS $$ SELECT repeat('x', n) $$;
CREATE FUNCTION waits(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN durable.wait_for_event('go'); END $$;
CREATE FUNCTION large_output(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN to_jsonb(repeat('x', 10000)); END $$;
CREATE FUNCTION large_status(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN PERFORM durable.set_custom_status(to_jsonb(repeat('x', 10000))); RETURN '1'; END $$;
CREATE FUNCTION large_input(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN durable.call_activity('same', to_jsonb(repeat('x', 10000))); END $$;
CREATE FUNCTION large_child(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN durable.call_suborchestrator('at_once', to_jsonb(repeat('x', 10000))); END $$;
CREATE FUNCTION large_event(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN PERFORM durable.send_event('x', 'y', to_jsonb(repeat('x', 10000))); RETURN '1'; END $$;
CREATE FUNCTION large_next(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN PERFORM durable.continue_as_new(to_jsonb(repeat('x', 10000))); RETURN '1'; END $$;
CREATE FUNCTION catches_large(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
BEGIN
	RETURN durable.call_activity('large', '{"n": 10000}');
EXCEPTION WHEN SQLSTATE 'UD007' THEN
	RETURN durable.call_activity('large', '{"n": 10}');
END $$;
SELECT throws_ok($$ SELECT durable.start_instance('at_once', to_jsonb(repeat('x', 10000))) $$, 'UD007', NULL, 'a large input is refused');
SELECT throws_ok($$ SELECT durable.start_instance('at_once', tags => jsonb_build_object('a', repeat('x', 10000))) $$, 'UD007', NULL, 'scenario 138: oversize tags are refused');
SELECT throws_ok($$ SELECT durable.start_instance('at_once', event_name => 'e', event_data => to_jsonb(repeat('x', 10000))) $$, 'UD007', NULL, 'a large event that comes with the start is refused');
SELECT start('waits');
SELECT throws_ok($$ SELECT durable.raise_event('waits', 'go', to_jsonb(repeat('x', 10000))) $$, 'UD007', NULL, 'a large event is refused');
SELECT lives_ok($$ SELECT durable.raise_event('waits', 'go', to_jsonb(repeat('x', 7000))) $$, 'one below the limit is not');
SELECT start(f) FROM unnest(ARRAY['large_output', 'large_status', 'large_input', 'large_child', 'large_event', 'large_next', 'catches_large']) f;
:run
SELECT is(status(f) || ' ' || failure(f, 'sqlstate'), 'failed UD007', 'too large: ' || f) FROM unnest(ARRAY['large_output', 'large_status', 'large_input', 'large_child', 'large_event', 'large_next']) f;
SELECT is(outcome('catches_large'), 'completed "xxxxxxxxxx"', 'a large result is the activity''s failure, which can be caught');
SELECT alike(failure('large_output', 'detail') || failure('large_output', 'hint'), '%durable.max_payload_size%8 kB%', 'the failure names the setting and its value');
SELECT is(length(output('waits') #>> '{}'), 7000, 'the event below the limit was delivered');
RESET SESSION AUTHORIZATION;
RESET durable.max_payload_size;

-- ---------------------------------------------------------------------------
-- Length

SET durable.max_history_events = 30;
SET SESSION AUTHORIZATION app;
CREATE FUNCTION many_turns(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$ BEGIN LOOP PERFORM durable.call_activity('same', '1'); END LOOP; END $$;
CREATE FUNCTION many_generations(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
BEGIN
	FOR i IN 1..5 LOOP
		PERFORM durable.call_activity('same', '1');
	END LOOP;
	IF input = '10' THEN
		RETURN input;
	END IF;
	PERFORM durable.continue_as_new(to_jsonb((input #>> '{}')::int + 1));
	RETURN NULL;
END $$;
CREATE FUNCTION parent_of_many(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN durable.call_suborchestrator('many_turns'); END $$;
SELECT start(f) FROM unnest(ARRAY['many_turns', 'parent_of_many']) f;
SELECT start('many_generations', '1');
:run
SELECT is(status('many_turns') || ' ' || failure('many_turns', 'sqlstate'), 'failed UD007', 'an endless history fails the instance');
SELECT alike(failure('many_turns', 'errorMessage'), '%durable.max_history_events is 30%', 'the message names the setting and its value');
SELECT cmp_ok((SELECT count(*) FROM durable.history WHERE instance_id = 'many_turns'), '<', 70::bigint, 'soon after the limit');
SELECT is(status('parent_of_many') || ' ' || failure('parent_of_many', 'sqlstate'), 'failed UD007', 'and its parent is told');
SELECT is(outcome('many_generations'), 'completed 10', 'who continues as new has no limit');
SELECT is_empty($$ SELECT instance_id FROM durable.messages UNION ALL SELECT instance_id FROM durable.activities $$, 'nothing is left in the queues');
SELECT * FROM finish();
