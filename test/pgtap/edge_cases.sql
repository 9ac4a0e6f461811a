-- What went wrong once, each with the test that saw it.
\ir include/setup.psql

BEGIN;
SELECT plan(36);

-- An activity whose instance was purged or replaced while it ran, and whose
-- process then died, is dropped: its input is gone. Only a superuser can make
-- one without killing anybody.
CREATE FUNCTION greet(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
BEGIN
	RETURN durable.call_activity('effect', jsonb_build_object('what', input ->> 'name'));
END $$;
RESET SESSION AUTHORIZATION;
SET LOCAL search_path = public;
CREATE FUNCTION public.lose(id text, seq int) RETURNS bigint LANGUAGE sql SECURITY DEFINER AS
$$
	WITH lost AS (INSERT INTO durable_store.activity_queue (task_hub, instance_id, execution_id, generation, task_id, seq, visible_at, name)
		VALUES ('app', $1, gen_random_uuid(), 1, 0, $2, now(), 'app.effect') RETURNING 1)
	SELECT count(*) FROM lost
$$;
RESET search_path;
SET SESSION AUTHORIZATION app;
SELECT start('greet', '{"name": "once"}', 'greet');
:run
SELECT is(effects(), 'once', 'an activity ran');
SELECT is(public.lose('nobody', 3), 1::bigint, 'the activity of an instance that was purged');
SELECT is(public.lose('greet', 3), 1::bigint, 'and of one whose id has another execution now');
:run
SELECT is(effects(), 'once', 'do not run');
SELECT is((SELECT count(*) FROM durable.activities), 0::bigint, 'and are gone');
SELECT is(outcome('greet'), 'completed "once"', 'nobody was told');

-- Tags of an activity that is scheduled in the turn that continues as new.
CREATE FUNCTION tagged() RETURNS void LANGUAGE sql AS
$$ INSERT INTO effects (what) SELECT string_agg(key || '=' || value, ',' ORDER BY key) FROM jsonb_each_text(durable.instance_tags()) $$;
CREATE FUNCTION tag_and_continue(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
BEGIN
	IF input IS NULL THEN
		PERFORM durable.schedule_activity('tagged', tags => '{"of": "activity"}');
		PERFORM durable.continue_as_new('1');
	END IF;
	RETURN input;
END $$;
SELECT durable.start_instance('tag_and_continue', instance_id => 'tags', tags => '{"by": "instance"}');
:run
SELECT is(effects('%=%'), 'by=instance,of=activity', 'an activity keeps its tags over continue_as_new() in the same turn');
SELECT is(outcome('tags'), 'completed 1', 'which went on');

-- A recursive termination does not go round between instances that were each
-- other's parents at different times.
CREATE FUNCTION leaf(jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT $1';
CREATE FUNCTION second(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
BEGIN
	PERFORM durable.sleep('1 h');
	RETURN durable.call_suborchestrator('leaf', instance_id => 'circle-a');
END $$;
CREATE FUNCTION first(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
BEGIN
	PERFORM durable.schedule_suborchestrator('second', instance_id => 'circle-b');
	RETURN 'null';
END $$;
CREATE FUNCTION root(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
BEGIN
	PERFORM durable.call_suborchestrator('first', instance_id => 'circle-a');
	RETURN durable.wait_for_event('never');
END $$;
SELECT start('root');
:run_all
SELECT is((SELECT string_agg(instance_id || '<' || parent_instance_id, ' ' ORDER BY instance_id) FROM durable.instances WHERE instance_id LIKE 'circle%'),
	'circle-a<circle-b circle-b<circle-a', 'two instances, each in the other''s place of a parent');
SELECT durable.terminate('root', 'enough');
SELECT cmp_ok(durable.run_until_idle(timeout => '5 s'), '<', 20::bigint, 'a recursive termination comes to an end');
SELECT is((SELECT count(*) FROM durable.messages), 0::bigint, 'and leaves no message');
SELECT is(outcome('root'), 'terminated "enough"', 'where it was meant');

-- An overload that is named with its types is called, whatever defaults it has.
CREATE FUNCTION overloaded(a int) RETURNS text LANGUAGE sql AS $$ SELECT 'one ' || a $$;  -- which SQL itself cannot call beside the next one
CREATE FUNCTION overloaded(a int, b text DEFAULT 'x' || 'y') RETURNS text LANGUAGE sql AS $$ SELECT 'two ' || a || b $$;
SELECT start('call', '{"name": "overloaded(integer, text)", "input": {"a": 1}}', 'two');
CREATE FUNCTION letters(letters char[], bits bit[]) RETURNS text LANGUAGE sql AS 'SELECT $1::text || $2::text';
SELECT start('call', '{"name": "letters", "input": {"letters": ["ab", "c"], "bits": ["101"]}}', 'letters');
:run
SELECT is(outcome('two'), 'completed "two 1xy"', 'the overload with the default');
SELECT is(outcome('letters'), 'completed "{ab,c}{101}"', 'char[] and bit[] are of any length');

-- Resources are circumstances only where the server says so.
CREATE FUNCTION out_of_words(jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'out of words' USING ERRCODE = '53200'; END $$;
SELECT start('out_of_words');
:run
SELECT is(outcome('out_of_words'), 'failed 53200 out of words', 'an orchestrator that raises an error of class 53 fails');

SELECT throws_ok($$ DO 'DECLARE r record; BEGIN FOR r IN SELECT durable.run_until_idle() LOOP END LOOP; END' $$,
	'55000', NULL, 'run_until_idle() is refused in a loop over a query');
SELECT throws_ok($$ DO 'DECLARE c CURSOR FOR SELECT durable.run_until_idle(); n bigint; BEGIN OPEN c; FETCH c INTO n; END' $$,
	'55000', NULL, 'and in a cursor');

-- What is not retriable is not so on any level: a grandparent's policy would try in vain.
CREATE FUNCTION calls_nothing(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN durable.call_activity('no_such_activity'); END $$;
CREATE FUNCTION middle(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN durable.call_suborchestrator('calls_nothing'); END $$;
CREATE FUNCTION top(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN durable.call_suborchestrator('middle', retry => durable.retry_policy(3)); END $$;
SELECT start('top');
:run_all
SELECT is(events('top', 'SubOrchestrationInstanceCreated'), 1::bigint, 'scenario 80: non-retriable two levels down is not tried again');
SELECT is(failure('top', 'isNonRetriable'), 'true', 'scenario 80: and says so at the top');

-- A suspended instance that continues as new without a wait does not begin the next generation.
CREATE FUNCTION receiver(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN durable.wait_for_event('never'); END $$;
CREATE FUNCTION endless(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$ BEGIN PERFORM durable.continue_as_new(to_jsonb((input #>> '{}')::int + 1)); RETURN NULL; END $$;
SELECT start('endless', '0');
SELECT format('# %s', durable.run_until_idle('100 ms'));
SELECT durable.suspend('endless', 'stop');
SELECT format('# %s', durable.run_until_idle('5 s'));
SELECT is(status('endless'), 'suspended', 'an endless row of generations is suspended');
SELECT generation AS g FROM durable.instances WHERE instance_id = 'endless' \gset
SELECT cmp_ok(durable.run_until_idle('100 ms'), '=', 0::bigint, 'and rests');
SELECT is((SELECT generation - :g FROM durable.instances WHERE instance_id = 'endless'), 0::bigint, 'it does not begin further generations');
SELECT durable.resume('endless');
SELECT cmp_ok(durable.run_until_idle('1 s'), '>', 1::bigint, 'resumed, it goes on');
SELECT is(status('endless'), 'running', 'as running');
SELECT durable.suspend('endless', 'again');
SELECT format('# %s', durable.run_until_idle('100 ms'));
SELECT durable.terminate('endless', 'end');
SELECT format('# %s', durable.run_until_idle('1 s'));
SELECT is(outcome('endless'), 'terminated "end"', 'suspended again, it can be terminated');

-- A reason is a payload, too.
SELECT start('receiver');
:run
RESET SESSION AUTHORIZATION;
SET durable.max_payload_size = '8kB';
SET SESSION AUTHORIZATION app;
SELECT throws_ok($$ SELECT durable.terminate('receiver', repeat('x', 10000)) $$, 'UD007', NULL, 'a reason that is too large');

-- A recursive termination that comes in the turn in which the instance ends
-- otherwise reaches the children all the same.
CREATE FUNCTION sleeper(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN durable.wait_for_event('never'); END $$;
CREATE FUNCTION leaves_a_child(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
BEGIN
	PERFORM durable.schedule_suborchestrator('sleeper', instance_id => durable.instance_id() || ' child');
	PERFORM durable.wait_for_event('go');
	IF input = '"raise"' THEN
		RAISE EXCEPTION 'raised';
	END IF;
	RETURN input;
END $$;
SELECT start('leaves_a_child', '"return"', 'returns');
SELECT start('leaves_a_child', '"raise"', 'raises');
:run
SELECT go('returns'), go('raises');
SELECT durable.terminate('returns', 'enough'), durable.terminate('raises', 'enough');
:run
SELECT is(outcome('returns'), 'completed "return"', 'the instance has completed before it was terminated');
SELECT is(outcome('returns child'), 'terminated "enough"', 'but its child is terminated');
SELECT is(outcome('raises'), 'failed P0001 raised', 'one has failed');
SELECT is(outcome('raises child'), 'terminated "enough"', 'and its child is terminated');
SELECT start('leaves_a_child', '"return"', 'spares');
:run
SELECT go('spares');
SELECT durable.terminate('spares', 'enough', recursive => false);
:run
SELECT is(outcome('spares'), 'completed "return"', 'one that is terminated alone');
SELECT is(status('spares child'), 'running', 'leaves its child');

-- In a session that a superuser turned into the owner's, as this one, nothing of the hub's code is left for the commit.
CREATE TABLE who (what text, is_superuser text DEFAULT current_setting('is_superuser'), role name DEFAULT current_user);
CREATE FUNCTION turn_back() RETURNS text LANGUAGE plpgsql AS
$$ BEGIN EXECUTE 'RESET SESSION AUTHORIZATION'; INSERT INTO who VALUES ('turned'); RETURN 'turned'; EXCEPTION WHEN OTHERS THEN INSERT INTO who VALUES (SQLSTATE); RETURN 'not turned'; END $$;
CREATE FUNCTION turn_back_later() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM turn_back(); RETURN NULL; END $$;
CREATE TABLE deferred (n int);
CREATE CONSTRAINT TRIGGER later AFTER INSERT ON deferred DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION turn_back_later();
CREATE FUNCTION defers() RETURNS void LANGUAGE sql AS 'INSERT INTO deferred VALUES (1)';
CREATE FUNCTION holds() RETURNS void LANGUAGE plpgsql AS $$ BEGIN EXECUTE 'DECLARE held CURSOR WITH HOLD FOR SELECT app.turn_back()'; END $$;
SELECT start('call', '{"name": "defers"}', 'defers');
SELECT start('call', '{"name": "holds"}', 'holds');
:run
SELECT is(outcome('defers'), 'completed', 'a trigger that was deferred by an activity');
SELECT is((SELECT string_agg(concat_ws(' ', what, is_superuser, role), ', ') FROM who), '42501 off app', 'has fired with it, and could not turn the session back');
SELECT is(outcome('holds'), 'completed', 'a cursor that was to be held');
SELECT is_empty($$ SELECT * FROM pg_cursors WHERE name = 'held' $$, 'is closed');

SELECT * FROM finish();
ROLLBACK;
