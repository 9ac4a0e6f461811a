-- Several tasks at a time: await_all(), await_any().
\ir include/setup.psql
SELECT plan(26);

CREATE FUNCTION squared(n int) RETURNS int LANGUAGE sql AS 'SELECT n * n';
CREATE FUNCTION sum_of_squares(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
DECLARE
	tasks durable.task[];
	results jsonb[];
BEGIN
	FOR i IN 1..(input #>> '{}')::int LOOP
		tasks := tasks || durable.schedule_activity('squared', jsonb_build_object('n', i));
	END LOOP;
	results := durable.await_all(tasks);
	RETURN jsonb_build_object('sum', (SELECT sum(r::text::bigint) FROM unnest(results) r), 'first', results[1], 'last', results[cardinality(results)]);
END $$;
SELECT start('sum_of_squares', '10', 'ten');
SELECT start('sum_of_squares', '1000', 'thousand');
:run
SELECT is(outcome('ten'), 'completed {"sum": 385, "last": 100, "first": 1}', 'scenario 7: fan-out of 10 activities and their sum');
SELECT is(outcome('thousand'), 'completed {"sum": 333833500, "last": 1000000, "first": 1}', 'scenario 8: fan-out of 1,000');
SELECT is((SELECT count(DISTINCT task_scheduled_id) || ' of ' || count(*) FROM durable.history WHERE instance_id = 'thousand' AND event_type = 'TaskCompleted'),
	'1000 of 1000', 'scenario 8: one result each');

-- Results are in the order of the arguments, whatever the order they came in.
CREATE FUNCTION all_variadic(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
BEGIN
	RETURN to_jsonb(durable.await_all(durable.expect_event('a'), durable.expect_event('b'), durable.expect_event('c')));
END $$;
CREATE FUNCTION all_variadic_array(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
BEGIN
	RETURN to_jsonb(durable.await_all(VARIADIC ARRAY[durable.expect_event('a'), durable.expect_event('b'), durable.expect_event('c')]));
END $$;
CREATE FUNCTION all_array(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
DECLARE
	tasks durable.task[] := ARRAY[durable.expect_event('a'), durable.expect_event('b'), durable.expect_event('c')];
BEGIN
	RETURN to_jsonb(durable.await_all(tasks));
END $$;
-- The order they came in, from await_any() over those that are left.
CREATE FUNCTION in_order_of_arrival(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
DECLARE
	tasks durable.task[] := ARRAY[durable.expect_event('a'), durable.expect_event('b'), durable.expect_event('c')];
	winner durable.task;
	results jsonb := '[]';
BEGIN
	WHILE cardinality(tasks) > 0 LOOP
		winner := durable.await_any(tasks);
		results := results || durable.await(winner);
		tasks := array_remove(tasks, winner);
	END LOOP;
	RETURN results;
END $$;
CREATE FUNCTION any_variadic(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
DECLARE
	a durable.task := durable.expect_event('a');
	b durable.task := durable.expect_event('b');
	c durable.task := durable.expect_event('c');
	winner durable.task := durable.await_any(a, b, c);
BEGIN
	RETURN jsonb_build_array(winner = a, winner = b, winner <> c, winner IN (a, b), winner = ANY (ARRAY[b, c]), durable.await(winner));
END $$;
SELECT start(f) FROM unnest(ARRAY['all_variadic', 'all_variadic_array', 'all_array', 'in_order_of_arrival', 'any_variadic']) f;
:run
SELECT durable.raise_event(id, e, to_jsonb(upper(e))) FROM unnest(ARRAY['all_variadic', 'all_variadic_array', 'all_array', 'in_order_of_arrival', 'any_variadic']) id,
	unnest(ARRAY['c', 'b']) e \g /dev/null
:run
SELECT is(outcome('all_array'), 'running', 'await_all() waits for the last one');
SELECT is((SELECT waiting_for FROM durable.instances WHERE instance_id = 'all_array'), '{"events": ["a"]}', 'waiting_for says for which');
SELECT is(outcome('any_variadic'), 'completed [false, false, false, false, true, "C"]', 'await_any() returns the first that finished; tasks compare');
SELECT durable.raise_event(id, 'a', '"A"') FROM unnest(ARRAY['all_variadic', 'all_variadic_array', 'all_array', 'in_order_of_arrival']) id \g /dev/null
:run
SELECT is(outcome('all_variadic'), 'completed ["A", "B", "C"]', 'scenario 7: await_all(a, b, c): results in the order of the arguments');
SELECT is(outcome('all_variadic_array'), 'completed ["A", "B", "C"]', 'await_all(VARIADIC array)');
SELECT is(outcome('all_array'), 'completed ["A", "B", "C"]', 'await_all(array)');
SELECT is(outcome('in_order_of_arrival'), 'completed ["C", "B", "A"]', 'scenario 7: await_any(array) in a loop: losers are awaited again, in the order of arrival');

-- Failures.
CREATE FUNCTION all_with_failures(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
BEGIN
	RETURN to_jsonb(durable.await_all(durable.schedule_activity('squared', '{"n": 2}'), durable.expect_event('go'),
		durable.schedule_activity('fail', '{"message": "third", "sqlstate": "ZZ003"}'),
		durable.schedule_activity('fail', '{"message": "fourth", "sqlstate": "ZZ004"}')));
END $$;
CREATE FUNCTION any_failure(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
DECLARE
	failing durable.task := durable.schedule_activity('fail', '{"message": "lost"}');
	never durable.task := durable.expect_event('never');
	won boolean;
BEGIN
	won := durable.await_any(never, failing) = failing;
	BEGIN
		RETURN durable.await(failing);
	EXCEPTION WHEN raise_exception THEN
		RETURN jsonb_build_object('won', won, 'message', SQLERRM);
	END;
END $$;
CREATE FUNCTION awaits_twice(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
DECLARE
	good durable.task := durable.schedule_activity('squared', '{"n": 3}');
	bad durable.task := durable.schedule_activity('fail', '{"message": "twice"}');
	caught int := 0;
BEGIN
	PERFORM durable.await(good);
	FOR i IN 1..2 LOOP
		BEGIN
			PERFORM durable.await(bad);
		EXCEPTION WHEN raise_exception THEN
			caught := caught + 1;
		END;
	END LOOP;
	RETURN jsonb_build_array(durable.await(good), durable.await(good), caught);
END $$;
CREATE FUNCTION others_after_failure(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
DECLARE
	bad durable.task := durable.schedule_activity('fail', '{"message": "one of two"}');
	good durable.task := durable.schedule_activity('squared', '{"n": 4}');
BEGIN
	PERFORM durable.await_all(bad, good);
EXCEPTION WHEN OTHERS THEN
	RETURN jsonb_build_array(SQLERRM, durable.await(good));
END $$;
CREATE FUNCTION of_none(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN to_jsonb(durable.await_all('{}'::durable.task[])); END $$;
CREATE FUNCTION any_of_none(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN PERFORM durable.await_any('{}'::durable.task[]); RETURN '1'; END $$;
CREATE FUNCTION with_null(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN PERFORM durable.await_all(durable.expect_event('x'), NULL); RETURN '1'; END $$;
CREATE FUNCTION wrong_array(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN PERFORM durable.await_all(ARRAY[1, 2]); RETURN '1'; END $$;
CREATE FUNCTION await_null(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN durable.await(NULL); END $$;
CREATE FUNCTION unawaited(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
BEGIN
	PERFORM durable.schedule_activity('effect', '{"what": "unawaited"}');
	RETURN '"returned"';
END $$;
CREATE FUNCTION finished_before(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
DECLARE
	second durable.task := durable.expect_event('second');
	first durable.task := durable.expect_event('first');
BEGIN
	PERFORM durable.await_all(second, first);
	RETURN to_jsonb(durable.await_any(second, first) = first);
END $$;
CREATE FUNCTION nested(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
BEGIN
	RETURN to_jsonb(durable.await_all(durable.await_any(durable.schedule_activity('squared', '{"n": 5}'), durable.expect_event('never')),
		durable.schedule_activity('squared', '{"n": 6}')));
END $$;
SELECT start(f) FROM unnest(ARRAY['all_with_failures', 'any_failure', 'awaits_twice', 'others_after_failure', 'of_none', 'any_of_none', 'with_null', 'wrong_array',
	'await_null', 'unawaited', 'finished_before', 'nested']) f;
:run
SELECT is(outcome('all_with_failures'), 'running', 'scenario 81: await_all() waits for all even if some have failed');
SELECT go('all_with_failures');
SELECT durable.raise_event('finished_before', 'first'), durable.raise_event('finished_before', 'second') \g /dev/null
:run
SELECT is(outcome('all_with_failures'), 'failed ZZ003 third', 'scenario 81: then it raises the first failure in the order of the arguments');
SELECT is(outcome('any_failure'), 'completed {"won": true, "message": "lost"}', 'await_any() returns a failed task like any other');
SELECT is(outcome('awaits_twice'), 'completed [9, 9, 2]', 'scenario 82: a finished task can be awaited again, a failed one raises again');
SELECT is(outcome('others_after_failure'), 'completed ["one of two", 16]', 'results beside a failure are not lost');
SELECT is(outcome('of_none'), 'completed []', 'await_all() of no tasks');
SELECT is(outcome('any_of_none'), 'failed 22023 cannot await any of no tasks', 'await_any() of no tasks');
SELECT is(outcome('with_null'), 'failed 22004 a task to be awaited is null', 'a null among the tasks');
SELECT is(outcome('wrong_array'), 'failed 42804 cannot await an array of integer', 'an array of something else');
SELECT is(failure('await_null', 'sqlstate'), '22004', 'await(NULL)');
SELECT is(outcome('unawaited'), 'completed "returned"', 'an orchestrator that does not await its activity completes at once');
SELECT is(effects('unawaited'), 'unawaited', 'and the activity runs all the same');
SELECT is(story('unawaited'), '[OS ExecutionStarted TaskScheduled(0) ExecutionCompleted(1) OC]', 'and its result is dropped');
SELECT is(outcome('finished_before'), 'completed true', 'await_any() of finished tasks returns the one that finished first');
SELECT is(outcome('nested'), 'completed [25, 36]', 'scenario 83: await_any() within await_all()');
SELECT is_empty('SELECT * FROM durable.messages', 'no message is left');
SELECT * FROM finish();
