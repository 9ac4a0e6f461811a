-- rewind(): scenarios 129 to 135.
\ir include/setup.psql
SELECT plan(71);

-- An activity that fails while its name is on the list, and says that it ran.
CREATE TABLE broken (name text PRIMARY KEY);
CREATE FUNCTION work(name text) RETURNS text LANGUAGE plpgsql AS
$$
BEGIN
	IF EXISTS (SELECT FROM broken b WHERE b.name = work.name) THEN
		RAISE EXCEPTION '% is broken', name USING ERRCODE = 'ZZ001';
	END IF;
	PERFORM effect(name);
	RETURN name;
END $$;
CREATE FUNCTION break(VARIADIC names text[]) RETURNS text LANGUAGE sql AS
$$ INSERT INTO broken SELECT unnest(names) ON CONFLICT DO NOTHING; SELECT '# broken' $$;
CREATE FUNCTION mend(VARIADIC names text[]) RETURNS text LANGUAGE sql AS
$$ DELETE FROM broken WHERE name = ANY (names); SELECT '# mended' $$;
CREATE FUNCTION job(text) RETURNS jsonb LANGUAGE sql AS $$ SELECT jsonb_build_object('name', $1) $$;

-- ---------------------------------------------------------------------------
-- A sequence
-- ---------------------------------------------------------------------------

CREATE FUNCTION sequence(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
BEGIN
	PERFORM durable.call_activity('work', job('seq1'));
	PERFORM durable.call_activity('work', job('seq2'));
	RETURN durable.call_activity('work', job('seq3'));
END $$;
SELECT break('seq2');
SELECT start('sequence');
:run
SELECT is(outcome('sequence'), 'failed ZZ001 seq2 is broken', 'an activity fails');
CREATE TEMP TABLE before AS SELECT execution_id, generation FROM durable.instances WHERE instance_id = 'sequence';
SELECT mend('seq2');
SELECT durable.rewind('sequence', 'seq2 was mended');
SELECT is(outcome('sequence'), 'running', 'rewound, it is running at once');
SELECT is((SELECT completed_at FROM durable.instances WHERE instance_id = 'sequence'), NULL, 'and has not completed');
:run
SELECT is(outcome('sequence'), 'completed "seq3"', 'scenario 129: rewind() of a failed activity: completes');
SELECT is(effects('seq%'), 'seq1 seq2 seq3', 'scenario 131: what succeeded is not run again');
SELECT is(story('sequence'),
	'[OS ExecutionStarted TaskScheduled(0) OC] [OS TaskCompleted->0 OC] [OS ExecutionRewound TaskScheduled(1) OC] '
	'[OS TaskCompleted->1 TaskScheduled(2) OC] [OS TaskCompleted->2 ExecutionCompleted(3) OC]',
	'the failure is gone from the history, the rewind is in it');
SELECT is((SELECT input #>> '{}' FROM durable.history WHERE instance_id = 'sequence' AND event_type = 'ExecutionRewound'),
	'seq2 was mended', 'with its reason');
SELECT is((SELECT count(*) FROM before NATURAL JOIN durable.instances WHERE instance_id = 'sequence'), 1::bigint,
	'it is the same execution, so that what still runs for it can answer');

-- ---------------------------------------------------------------------------
-- Twice, without a reason
-- ---------------------------------------------------------------------------

SELECT break('seq1');
SELECT start('sequence', NULL, 'twice');
:run
SELECT durable.rewind('twice');
:run
SELECT is(outcome('twice'), 'failed ZZ001 seq1 is broken', 'scenario 134: rewound in vain it fails again');
SELECT mend('seq1');
SELECT durable.rewind('twice');
:run
SELECT is(outcome('twice'), 'completed "seq3"', 'scenario 134: rewound twice, and without a reason');
SELECT is(events('twice', 'ExecutionRewound'), 2::bigint, 'both rewinds are in the history');
SELECT is(events('twice', 'TaskFailed'), 0::bigint, 'no failure is');

-- ---------------------------------------------------------------------------
-- Fan-out
-- ---------------------------------------------------------------------------

CREATE FUNCTION fan_out(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
DECLARE
	tasks durable.task[];
BEGIN
	FOR i IN 1 .. 6 LOOP
		tasks := tasks || durable.schedule_activity('work', job('fan' || i));
	END LOOP;
	RETURN to_jsonb(durable.await_all(tasks));
END $$;
SELECT break('fan2', 'fan3', 'fan5');
SELECT start('fan_out');
:run
SELECT is(outcome('fan_out'), 'failed ZZ001 fan2 is broken', 'several of a fan-out fail');
SELECT mend('fan2', 'fan5');
SELECT durable.rewind('fan_out');
:run
SELECT is(outcome('fan_out'), 'failed ZZ001 fan3 is broken', 'one fails still');
SELECT mend('fan3');
SELECT durable.rewind('fan_out');
:run
SELECT is(outcome('fan_out'), 'completed ["fan1", "fan2", "fan3", "fan4", "fan5", "fan6"]', 'scenario 130: a fan-out with several failures');
SELECT is(effects('fan%'), 'fan1 fan4 fan6 fan2 fan5 fan3', 'scenario 130: each ran once');

-- ---------------------------------------------------------------------------
-- Failures that were handled
-- ---------------------------------------------------------------------------

CREATE FUNCTION saga(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
BEGIN
	PERFORM durable.call_activity('work', job('reserve'));
	BEGIN
		PERFORM durable.call_activity('work', job('discount'));
	EXCEPTION WHEN OTHERS THEN
		PERFORM durable.call_activity('work', job('full-price'));
	END;
	BEGIN
		PERFORM durable.call_activity('work', job('charge'));
	EXCEPTION WHEN OTHERS THEN
		PERFORM durable.call_activity('work', job('release'));
		IF input = '"own"' THEN
			RAISE EXCEPTION 'the order failed: %', SQLERRM;
		END IF;
		RAISE;
	END;
	RETURN durable.call_activity('work', job('ship'));
END $$;
SELECT break('discount', 'charge');
SELECT start('saga');
:run
SELECT is(outcome('saga'), 'failed ZZ001 charge is broken', 'a saga that compensated');
SELECT is(effects(), 'seq1 seq2 seq3 seq1 seq2 seq3 fan1 fan4 fan6 fan2 fan5 fan3 reserve full-price release', 'with what it did');
SELECT mend('discount', 'charge');
SELECT durable.rewind('saga');
:run
SELECT is(outcome('saga'), 'completed "ship"', 'is rewound to what failed, not to what it had handled');
SELECT is((SELECT string_agg(name || coalesce(':' || (input ->> 'name'), ''), ' ' ORDER BY event_id) FROM durable.history
	WHERE instance_id = 'saga' AND event_type = 'TaskScheduled'),
	'work:reserve work:discount work:full-price work:charge work:ship', 'the compensation is forgotten, the handled failure is not');
SELECT break('charge');
SELECT start('saga', '"own"', 'own');
:run
SELECT is(outcome('own'), 'failed P0001 the order failed: charge is broken', 'a saga that raised an error of its own');
SELECT mend('charge');
SELECT durable.rewind('own');
:run
SELECT is(outcome('own'), 'completed "ship"', 'goes back to the failure it was made of');

-- ---------------------------------------------------------------------------
-- Retries
-- ---------------------------------------------------------------------------

CREATE FUNCTION retried(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
DECLARE
	a durable.task := durable.schedule_activity('work', job('flaky'), retry => durable.retry_policy(3, first_interval => '10 s'));
	b durable.task := durable.schedule_activity('work', job('slow'), retry => durable.retry_policy(5, first_interval => '1 s'));
BEGIN
	RETURN to_jsonb(durable.await_all(a, b));
END $$;
SELECT break('flaky', 'slow');
SELECT start('retried');
:run
SELECT mend('slow');
:run_all
SELECT is(outcome('retried'), 'failed ZZ001 flaky is broken', 'retries are exhausted');
SELECT is(events('retried', 'TaskFailed'), 4::bigint, 'after three attempts of one and two of the other');
SELECT durable.rewind('retried');
:run
SELECT is(outcome('retried'), 'running', 'rewound, it has its retries again');
:run_all
SELECT is(outcome('retried'), 'failed ZZ001 flaky is broken', 'and exhausts them');
SELECT is(events('retried', 'TaskFailed'), 6::bigint, 'after three more attempts: the two before the last are history, the last is undone');
SELECT mend('flaky');
SELECT durable.rewind('retried');
:run
SELECT is(outcome('retried'), 'completed ["flaky", "slow"]', 'rewound with retries, it completes');
SELECT is(effects('flaky') || effects('slow'), 'flakyslow', 'each has run once');

-- ---------------------------------------------------------------------------
-- Sub-orchestrations
-- ---------------------------------------------------------------------------

CREATE FUNCTION leaf(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
BEGIN
	PERFORM durable.call_activity('work', job('leaf-first'));
	RETURN durable.call_activity('work', job('leaf'));
END $$;
CREATE FUNCTION middle(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
DECLARE
	other durable.task := durable.schedule_suborchestrator('call', '{"name": "work", "input": {"name": "sibling"}}', instance_id => 'other-' || durable.instance_id());
	result jsonb := durable.call_suborchestrator('leaf', instance_id => 'leaf-' || durable.instance_id());
BEGIN
	RETURN jsonb_build_array(result, durable.await(other));
END $$;
CREATE FUNCTION root(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
BEGIN
	RETURN durable.call_suborchestrator('middle', instance_id => 'middle-' || durable.instance_id());
END $$;
SELECT break('leaf');
SELECT start('root');
:run
SELECT is(outcome('root'), 'failed ZZ001 leaf is broken', 'three levels fail');
SELECT mend('leaf');
SELECT durable.rewind('root', 'leaf mended');
:run
SELECT is(outcome('root'), 'completed ["leaf", "sibling"]', 'scenario 132: rewind of the parent rewinds its failed children');
SELECT is(effects('leaf%') || ' ' || effects('sibling'), 'leaf-first leaf sibling', 'scenario 132: and nothing runs twice');
SELECT is((SELECT string_agg(status, ' ') FROM durable.instances WHERE instance_id LIKE '%middle-root'), 'completed completed completed',
	'scenario 132: all levels have completed');
SELECT is((SELECT string_agg(input #>> '{}', ', ') FROM durable.history WHERE instance_id LIKE '%root' AND event_type = 'ExecutionRewound'),
	'leaf mended, leaf mended, leaf mended', 'scenario 132: the reason goes with it');

SELECT break('leaf');
SELECT start('root', NULL, 'purged');
:run
SELECT is(durable.purge('leaf-middle-purged'), 1::bigint, 'a failed child is purged');
SELECT mend('leaf');
SELECT durable.rewind('purged');
:run
SELECT is(outcome('purged'), 'completed ["leaf", "sibling"]', 'scenario 133: a purged child is made again');

SELECT break('leaf');
SELECT start('root', NULL, 'ended');
:run
SELECT is(outcome('middle-ended'), 'failed ZZ001 leaf is broken', 'the middle level failed');
SELECT durable.rewind('middle-ended');
SELECT durable.terminate('middle-ended', 'no more');
:run
SELECT is(outcome('middle-ended'), 'terminated "no more"', 'a rewound child can be terminated');
SELECT mend('leaf');
SELECT durable.rewind('ended');
:run
SELECT is(outcome('ended'), 'completed ["leaf", "sibling"]', 'a terminated child is made again');

-- ---------------------------------------------------------------------------
-- Children that were rewound by themselves: together with their parent, and before
-- ---------------------------------------------------------------------------

CREATE FUNCTION child(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
BEGIN
	PERFORM durable.call_activity('work', job('first ' || durable.instance_id()));
	RETURN durable.call_activity('work', job('child'));
END $$;
CREATE FUNCTION parent(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$ BEGIN RETURN durable.call_suborchestrator('child', instance_id => 'child-' || durable.instance_id()); END $$;
SELECT break('child');
SELECT start('parent', NULL, id) FROM unnest('{both,other-order,one-by-one}'::text[]) id;
:run
SELECT mend('child');
BEGIN;
SELECT durable.rewind('child-both'), durable.rewind('both');
SELECT durable.rewind('other-order'), durable.rewind('child-other-order');
COMMIT;
SELECT durable.rewind('child-one-by-one');
:run
SELECT is(outcome('both'), 'completed "child"', 'a parent whose child was rewound with it waits for it');
SELECT is(outcome('other-order'), 'completed "child"', 'whichever was asked for first');
SELECT is(outcome('child-one-by-one'), 'completed "child"', 'a child that is rewound by itself completes');
SELECT durable.rewind('one-by-one');
:run
SELECT is(outcome('one-by-one'), 'completed "child"', 'and its parent, rewound later, hears of it');
SELECT is(effects('first child-%'), 'first child-both first child-other-order first child-one-by-one',
	'no child is run again from the beginning');

-- A number that a forgotten child has had, which runs still: another child of the
-- number does not start, and rewinding once more does not take the one for the other.
CREATE FUNCTION undo(input jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT durable.wait_for_event('go') $$;
CREATE FUNCTION undoing(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
BEGIN
	BEGIN
		PERFORM durable.call_activity('work', job('do'));
	EXCEPTION WHEN OTHERS THEN
		PERFORM durable.schedule_suborchestrator('undo', instance_id => 'step-2');
		RAISE;
	END;
	RETURN durable.call_suborchestrator('child', instance_id => 'step-2');
END $$;
SELECT break('do');
SELECT start('undoing');
:run
SELECT mend('do');
SELECT durable.rewind('undoing');
:run
SELECT is(failure('undoing', 'sqlstate'), 'UD003', 'a forgotten child is in the way of another one');
SELECT durable.rewind('undoing');
:run
SELECT is(failure('undoing', 'sqlstate'), 'UD003', 'as long as it runs');
SELECT durable.raise_event('step-2', 'go', '"undone"');
:run
SELECT durable.rewind('undoing');
:run
SELECT is(outcome('undoing'), 'completed "child"', 'when it has ended it is replaced');

-- ---------------------------------------------------------------------------
-- Failed while it was suspended
-- ---------------------------------------------------------------------------

CREATE FUNCTION still(input jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT durable.wait_for_event('go') $$;
SELECT durable.start_instance('still', instance_id => 'still', version => '2.0');
:run
SELECT durable.suspend('still');
:run
SELECT durable.set_hub_versioning('app', '1.0', 'strict', 'fail');
SELECT durable.raise_event('still', 'go', '"gone"');
:run
SELECT is(failure('still', 'sqlstate'), 'UD009', 'a suspended instance fails, for its version');
SELECT durable.set_hub_versioning('app');
SELECT durable.rewind('still');
:run
SELECT is(outcome('still'), 'suspended', 'rewound, it is suspended again');
SELECT durable.resume('still');
:run
SELECT is(outcome('still'), 'completed "gone"', 'until it is resumed');

-- ---------------------------------------------------------------------------
-- What was under way when the instance failed
-- ---------------------------------------------------------------------------

CREATE FUNCTION under_way(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
DECLARE
	timer durable.task := durable.create_timer('1 h');
	child durable.task := durable.schedule_suborchestrator('sleeper', instance_id => 'sleeper');
	result jsonb := durable.call_activity('work', job('way'));
BEGIN
	PERFORM durable.await(timer);
	RETURN jsonb_build_array(result, durable.await(child), durable.wait_for_event('late'));
END $$;
CREATE FUNCTION sleeper(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$ BEGIN PERFORM durable.sleep('1 min'); RETURN '"slept"'; END $$;
SELECT break('way');
SELECT start('under_way');
:run
SELECT is(outcome('under_way'), 'failed ZZ001 way is broken', 'it fails while a timer and a child are under way');
:run_all
SELECT is(outcome('sleeper'), 'completed "slept"', 'the child ends, and nobody hears it');
SELECT mend('way');
SELECT durable.rewind('under_way');
SELECT durable.raise_event('under_way', 'late', '"event"');
:run
SELECT is((SELECT waiting_for -> 'timers' -> 0 ->> 'id' FROM durable.instances WHERE instance_id = 'under_way'), '0', 'the timer is set again');
:run_all
SELECT is(outcome('under_way'), 'completed ["way", "slept", "event"]', 'timer, answer and event all arrive');

-- An activity that was asked for and not yet run when the instance failed.
CREATE FUNCTION impatient(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
DECLARE
	a durable.task := durable.schedule_activity('work', job('patient'));
BEGIN
	PERFORM durable.schedule_activity('work', job('later'));
	RAISE EXCEPTION 'a bug';
END $$;
SELECT start('impatient');
:run
SELECT is(outcome('impatient'), 'failed P0001 a bug', 'an orchestrator with a bug');
CREATE OR REPLACE FUNCTION impatient(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
DECLARE
	a durable.task := durable.schedule_activity('work', job('patient'));
	b durable.task := durable.schedule_activity('work', job('later'));
BEGIN
	RETURN to_jsonb(durable.await_all(a, b));
END $$;
SELECT durable.rewind('impatient', 'bug fixed');
:run
SELECT is(outcome('impatient'), 'completed ["patient", "later"]', 'goes on with the mended code');

-- Timed-out waits, which are failures of the code's own.
CREATE FUNCTION waiter(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$ BEGIN RETURN durable.wait_for_event('x', '1 min'); END $$;
SELECT start('waiter');
:run_all
SELECT durable.rewind('waiter');
:run
SELECT is(outcome('waiter'), 'failed UD006 no event "x" came in time', 'a wait that timed out has timed out');

-- Continue-as-new: the current generation is rewound.
CREATE FUNCTION generations(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
DECLARE
	n int := coalesce((input #>> '{}')::int, 1);
	result jsonb := durable.call_activity('work', job('gen' || n));
BEGIN
	IF n < 3 THEN
		PERFORM durable.continue_as_new(to_jsonb(n + 1));
	END IF;
	RETURN result;
END $$;
SELECT break('gen2');
SELECT start('generations');
:run
SELECT is(outcome('generations'), 'failed ZZ001 gen2 is broken', 'the second generation fails');
SELECT mend('gen2');
SELECT durable.rewind('generations');
:run
SELECT is(outcome('generations'), 'completed "gen3"', 'and goes on from there');
SELECT is(effects('gen%'), 'gen1 gen2 gen3', 'each generation''s work is done once');

-- ---------------------------------------------------------------------------
-- Errors
-- ---------------------------------------------------------------------------

CREATE FUNCTION wait(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN durable.wait_for_event('x'); END $$;
SELECT start('wait');
SELECT throws_ok($$ SELECT durable.rewind('wait') $$, 'UD010', 'only a failed instance can be rewound, "wait" is pending', 'scenario 135: pending');
:run
SELECT throws_ok($$ SELECT durable.rewind('nobody') $$, 'UD004', NULL, 'scenario 135: not found');
SELECT throws_ok($$ SELECT durable.rewind('') $$, '22023', 'instance_id must not be empty', 'scenario 135: an empty id');
SELECT throws_ok($$ SELECT durable.rewind(NULL) $$, '22004', NULL, 'scenario 135: no id');
SELECT throws_ok($$ SELECT durable.rewind('wait') $$, 'UD010', 'only a failed instance can be rewound, "wait" is running', 'scenario 135: running');
SELECT throws_ok($$ SELECT durable.rewind('sequence') $$, 'UD010', 'only a failed instance can be rewound, "sequence" is completed', 'scenario 135: completed');
SELECT durable.terminate('wait');
:run
SELECT throws_ok($$ SELECT durable.rewind('wait') $$, 'UD010', 'only a failed instance can be rewound, "wait" is terminated', 'scenario 135: terminated');
CREATE FUNCTION detach(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$ BEGIN RETURN to_jsonb(durable.start_detached('not_there', instance_id => 'stillborn')); END $$;
SELECT start('detach');
:run
SELECT throws_ok($$ SELECT durable.rewind('stillborn') $$, 'UD010', 'instance "stillborn" failed before it began: there is nothing to rewind', 'scenario 135: never began');
BEGIN;
SELECT break('seq1');
SELECT start('sequence', NULL, 'rolled-back');
SELECT durable.run_until_idle() > 0;
SAVEPOINT s;
SELECT durable.rewind('rolled-back');
ROLLBACK TO s;
SELECT is(status('rolled-back'), 'failed', 'rewind() is transactional');
SELECT durable.rewind('rolled-back');
SELECT throws_ok($$ SELECT durable.rewind('rolled-back') $$, 'UD010', NULL, 'rewound before its turn it is running');
COMMIT;
SELECT is((SELECT count(*) FROM durable.messages WHERE instance_id <> 'rolled-back'), 0::bigint, 'no message is left');

SELECT * FROM finish();
