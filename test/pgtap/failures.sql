-- Failures: what an activity raises is an SQL error of the orchestrator.
\ir include/setup.psql
SELECT plan(104);

CREATE TABLE things (id int PRIMARY KEY, amount int CHECK (amount > 0));
INSERT INTO things VALUES (1, 1);
CREATE FUNCTION violates() RETURNS void LANGUAGE sql AS 'INSERT INTO things VALUES (1, 1)';
CREATE FUNCTION divides() RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN 1 / 0; END';
CREATE FUNCTION asserts() RETURNS void LANGUAGE plpgsql AS $$ BEGIN ASSERT false, 'asserted'; END $$;
CREATE FUNCTION no_message() RETURNS void LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION USING MESSAGE = '', ERRCODE = 'ZZ002'; END $$;
CREATE FUNCTION multiline() RETURNS void LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION USING MESSAGE = E'100% %s\nsecond "line" ž', HINT = '50% %d', DETAIL = '%n %m'; END $$;

-- All an exception handler can see.
CREATE FUNCTION observes(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
DECLARE
	d text;
	h text;
	c text;
BEGIN
	RETURN durable.call_activity(input ->> 'name', input -> 'input');
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS d = PG_EXCEPTION_DETAIL, h = PG_EXCEPTION_HINT, c = PG_EXCEPTION_CONTEXT;
	RETURN jsonb_build_object('state', SQLSTATE, 'message', SQLERRM, 'detail', d, 'hint', h);
END $$;
CREATE FUNCTION by_name(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
BEGIN
	RETURN durable.call_activity(input #>> '{}');
EXCEPTION
	WHEN unique_violation THEN RETURN '"unique violation"';
	WHEN division_by_zero THEN RETURN '"division by zero"';
	WHEN SQLSTATE 'ZZ002' THEN RETURN '"ZZ002"';
	WHEN undefined_function THEN RETURN '"undefined function"';
END $$;
CREATE FUNCTION re_raises(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
BEGIN
	RETURN durable.call_activity(input ->> 'name', input -> 'input');
EXCEPTION WHEN OTHERS THEN
	PERFORM durable.call_activity('effect', '{"what": "compensated"}');
	RAISE;
END $$;
CREATE FUNCTION raises(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'I % this', 'cannot do' USING ERRCODE = 'ZZ007', DETAIL = 'the detail', HINT = 'the hint'; END $$;
CREATE FUNCTION divides_itself(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN to_jsonb(1 / 0); END $$;
CREATE FUNCTION asserts_itself(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN ASSERT 1 = 2, 'one is two'; RETURN '1'; END $$;
CREATE FUNCTION cancels_itself(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RAISE query_canceled USING MESSAGE = 'cancelled by itself'; END $$;
-- An error of its own, of the same message as one it has caught.
CREATE FUNCTION same_message(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
BEGIN
	BEGIN
		PERFORM durable.call_activity('fail', '{"message": "out of stock"}');
	EXCEPTION WHEN raise_exception THEN
		NULL;
	END;
	RAISE EXCEPTION 'out of stock' USING ERRCODE = 'ZZ003', HINT = 'order more';
END $$;
CREATE FUNCTION raises_other(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
BEGIN
	RETURN durable.call_activity('divides');
EXCEPTION WHEN division_by_zero THEN
	RAISE EXCEPTION 'wrapped: %', SQLERRM USING ERRCODE = 'ZZ004';
END $$;
CREATE FUNCTION later(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
BEGIN
	BEGIN
		PERFORM durable.call_activity('divides');
	EXCEPTION WHEN OTHERS THEN
		NULL;
	END;
	PERFORM durable.sleep('1 s');
	RETURN durable.call_activity('same', '"survived"');
END $$;
CREATE FUNCTION nothing(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN END $$;

SELECT start('observes', '{"name": "fail", "input": {"message": "m", "sqlstate": "ZZ001", "detail": "d", "hint": "h"}}', 'all fields');
SELECT start('observes', '{"name": "multiline"}', 'multiline');
SELECT start('observes', '{"name": "fail", "input": {"message": "m", "sqlstate": "57014"}}', '57014');
SELECT start('observes', '{"name": "asserts"}', 'P0004');
SELECT start('observes', '{"name": "fail", "input": {"message": "m", "sqlstate": "02000"}}', '02000');
SELECT start('by_name', to_jsonb(f), f) FROM unnest(ARRAY['violates', 'divides', 'no_message', 'no_such']) f;
SELECT start('re_raises', '{"name": "fail", "input": {"message": "m", "sqlstate": "ZZ001", "detail": "d", "hint": "h"}}', 're-raised');
SELECT start('call', '{"name": "fail", "input": {"message": "m", "sqlstate": "ZZ001", "detail": "d", "hint": "h"}}', 'uncaught');
SELECT start('call', '{"name": "fail", "input": {"message": "m", "sqlstate": "57014"}}', 'uncaught 57014');
SELECT start('call', '{"name": "violates"}', 'uncaught violation');
SELECT start('call', '{"name": "divides"}', 'uncaught division');
SELECT start(f) FROM unnest(ARRAY['raises', 'divides_itself', 'asserts_itself', 'cancels_itself', 'same_message', 'raises_other', 'later', 'nothing']) f;
:run_all
SELECT is(output('all fields'), '{"state": "ZZ001", "message": "m", "detail": "d", "hint": "h"}', 'scenario 66: caught with its SQLSTATE, message, detail and hint');
SELECT is(output('multiline'), '{"state": "P0001", "message": "100% %s\nsecond \"line\" ž", "detail": "%n %m", "hint": "50% %d"}', 'percent signs, newlines and quotes stay as they are');
SELECT is(output('57014') ->> 'state', 'UD001', 'scenario 70: 57014, which WHEN OTHERS would not catch, is raised as UD001');
SELECT is(output('P0004'), '{"state": "UD001", "message": "asserted", "detail": "", "hint": ""}', 'P0004 too');
SELECT is(output('02000') ->> 'state', '02000', 'any other SQLSTATE stays, even one of class 02');
SELECT is(outcome('violates'), 'completed "unique violation"', 'scenario 66: caught, scenario 70: by the name of its condition');
SELECT is(outcome('divides'), 'completed "division by zero"', 'scenario 66: caught by another name');
SELECT is(outcome('no_message'), 'completed "ZZ002"', 'an empty message');
SELECT is(outcome('no_such'), 'completed "undefined function"', 'scenario 85: an unknown activity');
SELECT is(outcome('re-raised'), 'failed ZZ001 m', 'RAISE in the handler keeps the failure');
SELECT is(failure('re-raised', 'detail') || failure('re-raised', 'hint'), 'dh', 'with detail and hint');
SELECT is(effects(), 'compensated', 'and the compensation before it was done once');
SELECT is(outcome('uncaught'), 'failed ZZ001 m', 'scenario 65: uncaught, it fails the instance with its SQLSTATE and message');
SELECT is((SELECT i.failure FROM durable.instances i WHERE instance_id = 'uncaught'), (SELECT h.failure FROM durable.history h WHERE instance_id = 'uncaught' AND event_type = 'TaskFailed'),
	'scenario 65: the failure of the activity unchanged');
SELECT is(failure('uncaught', 'detail') || failure('uncaught', 'hint'), 'dh', 'scenario 65: with detail and hint');
SELECT is(outcome('uncaught 57014'), 'failed 57014 m', 'scenario 65: with 57014 if that was its SQLSTATE');
SELECT is(failure('uncaught violation', 'errorType'), 'unique_violation', 'scenario 70: the error type is the name of the condition');
SELECT is(failure('uncaught violation', 'detail'), 'Key (id)=(1) already exists.', 'scenario 70: the server''s detail');
SELECT alike(failure('uncaught division', 'context'), '%function divides() line 1 at RETURN%', 'the context shows the line of the activity');
SELECT is(failure('uncaught division', 'isNonRetriable'), 'false', 'what an activity raises is retriable');
SELECT is((SELECT i.failure ? 'innerFailure' FROM durable.instances i WHERE instance_id = 'uncaught division'), false, 'an activity''s failure has no inner failure');
SELECT is(outcome('raises'), 'failed ZZ007 I cannot do this', 'scenario 67: an orchestrator that raises fails with its message');
SELECT is(failure('raises', 'detail') || ', ' || failure('raises', 'hint'), 'the detail, the hint', 'scenario 67: detail and hint');
SELECT alike(failure('raises', 'context'), '%raises(jsonb) line 1 at RAISE%', 'scenario 67: and where');
SELECT is(story('raises'), '[OS ExecutionStarted ExecutionCompleted(0) OC]', 'scenario 67: history');
SELECT is(outcome('divides_itself'), 'failed 22012 division by zero', 'scenario 67: an error of the server');
SELECT is(outcome('asserts_itself'), 'failed P0004 one is two', 'an assertion of its own is no wait');
SELECT is(outcome('cancels_itself'), 'failed 57014 cancelled by itself', 'nor is a query_canceled of its own');
SELECT is(failure('same_message', 'sqlstate') || ' ' || failure('same_message', 'hint'), 'ZZ003 order more', 'an error of its own is its own, though it caught one of the same message');
SELECT is(outcome('raises_other'), 'failed ZZ004 wrapped: division by zero', 'an error raised instead of a caught one');
SELECT is(outcome('later'), 'completed "survived"', 'scenario 66: a caught failure stays caught in later turns');
SELECT is(failure('nothing', 'sqlstate'), '2F005', 'a function that ends without RETURN');

-- ---------------------------------------------------------------------------
-- Up through the levels

-- "levels" parents above one that calls an activity.
CREATE FUNCTION level(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
DECLARE
	levels int := (input ->> 'levels')::int;
BEGIN
	IF levels = 0 THEN
		RETURN durable.call_activity(input ->> 'activity', input -> 'input');
	END IF;
	RETURN durable.call_suborchestrator('level', jsonb_set(input, '{levels}', to_jsonb(levels - 1)), instance_id => format('%s/%s', durable.instance_id(), levels - 1));
END $$;
-- The same, with an error of its own at each level.
CREATE FUNCTION level_wraps(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
BEGIN
	IF input = '0' THEN
		RAISE EXCEPTION 'bottom' USING ERRCODE = 'ZZ000', DETAIL = 'd0';
	END IF;
	RETURN durable.call_suborchestrator('level_wraps', to_jsonb((input #>> '{}')::int - 1));
EXCEPTION WHEN OTHERS THEN
	IF input = '0' THEN
		RAISE;
	END IF;
	RAISE EXCEPTION 'level %: %', input, SQLERRM USING ERRCODE = 'ZZ00' || (input #>> '{}'), HINT = 'h' || (input #>> '{}');
END $$;
CREATE FUNCTION catches_level(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
DECLARE
	d text;
	h text;
	c text;
BEGIN
	RETURN durable.call_suborchestrator('level', input);
EXCEPTION WHEN unique_violation THEN
	GET STACKED DIAGNOSTICS d = PG_EXCEPTION_DETAIL, h = PG_EXCEPTION_HINT, c = PG_EXCEPTION_CONTEXT;
	RETURN jsonb_build_object('state', SQLSTATE, 'message', SQLERRM, 'detail', d, 'hint', h, 'context', c LIKE '%call_suborchestrator%');
END $$;
CREATE FUNCTION failing_activity() RETURNS void LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION USING MESSAGE = 'of the activity', ERRCODE = 'unique_violation', DETAIL = 'its detail', HINT = 'its hint', COLUMN = 'c', CONSTRAINT = 'k'; END $$;
-- The failures of an instance from the outermost to the innermost.
CREATE FUNCTION chain(id text) RETURNS TABLE (depth int, failure jsonb) LANGUAGE sql AS
$$
	WITH RECURSIVE f AS (
		SELECT 0 AS depth, failure FROM durable.instances WHERE instance_id = $1
		UNION ALL SELECT depth + 1, failure -> 'innerFailure' FROM f WHERE failure ? 'innerFailure')
	SELECT * FROM f
$$;
SELECT start('level', '{"levels": 3, "activity": "failing_activity"}', 'three');
SELECT start('level', '{"levels": 0, "activity": "failing_activity"}', 'none');
SELECT start('level', '{"levels": 2, "activity": "no_such_activity"}', 'two');
SELECT start('catches_level', '{"levels": 3, "activity": "failing_activity"}', 'catches_level');
SELECT start('level_wraps', '3');
:run
SELECT results_eq($$ SELECT depth, failure ->> 'sqlstate', failure ->> 'errorType', failure ->> 'errorMessage', failure ->> 'detail', failure ->> 'hint' FROM chain('three') ORDER BY depth $$,
	$$ SELECT n, '23505', 'unique_violation', 'of the activity', 'its detail', 'its hint' FROM generate_series(0, 3) n $$,
	'scenario 68: a failure three levels down has an inner failure for each level, all with SQLSTATE, type, message, detail and hint');
SELECT is((SELECT failure FROM chain('three') WHERE depth = n), (SELECT failure FROM durable.instances WHERE instance_id = id), 'scenario 68: an inner failure is that of the child ' || id)
FROM (VALUES (1, 'three/2'), (2, 'three/2/1'), (3, 'three/2/1/0')) v (n, id);
SELECT is((SELECT failure FROM chain('three') WHERE depth = 3), (SELECT h.failure FROM durable.history h WHERE instance_id = 'three/2/1/0' AND event_type = 'TaskFailed'), 'scenario 68: the innermost that of the activity');
SELECT alike((SELECT failure ->> 'context' FROM chain('three') WHERE depth = 3), '%failing_activity() line 1 at RAISE%', 'scenario 68: with the line of the activity');
SELECT is((SELECT count(*) FROM chain('three') WHERE depth < 3 AND failure ->> 'context' LIKE '%level(jsonb) line 8 at RETURN%'), 3::bigint, 'scenario 68: the others with the line of the call');
SELECT is((SELECT count(*) FROM chain('none')), 1::bigint, 'scenario 68: without levels there is no inner one');
SELECT is((SELECT string_agg(failure ->> 'sqlstate', ' ' ORDER BY depth) FROM chain('two')), '42883 42883 42883', 'scenario 85: an unknown activity two levels down');
SELECT is((SELECT failure ->> 'isNonRetriable' FROM chain('two') WHERE depth = 2), 'true', 'scenario 85: the innermost failure says it is non-retriable');
SELECT is(output('catches_level'), '{"state": "23505", "message": "of the activity", "detail": "its detail", "hint": "its hint", "context": true}',
	'scenario 70: caught four levels up, by the name of its condition, with detail, hint and context');
SELECT is((SELECT h.failure ->> 'errorType' FROM durable.history h WHERE instance_id = 'catches_level' AND event_type = 'SubOrchestrationInstanceFailed'), 'unique_violation',
	'scenario 70: a handled failure is in the history with its type');
SELECT is(outcome('level_wraps'), 'failed ZZ003 level 3: level 2: level 1: bottom', 'each level can raise an error of its own instead');
SELECT is(failure('level_wraps', 'hint') || coalesce(failure('level_wraps', 'detail'), ''), 'h3', 'with its own hint');

-- What is unknown, or no JSON.
CREATE FUNCTION calls_unknown(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$ BEGIN RETURN durable.call_suborchestrator('no_such_orchestrator', instance_id => 'unknown child', retry => durable.retry_policy(3)); END $$;
CREATE FUNCTION no_json(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN 'no JSON'; END $$;
CREATE FUNCTION no_jsonb(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN durable.call_activity('zero_byte') ->> 'a' || 'x'; END $$;
CREATE FUNCTION zero_byte() RETURNS json LANGUAGE sql AS $$ SELECT '{"a": "\u0000"}'::json $$;
CREATE FUNCTION parent_of_no_json(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN durable.call_suborchestrator('no_json'); EXCEPTION WHEN invalid_text_representation THEN RETURN '"caught"'; END $$;
SELECT start(f) FROM unnest(ARRAY['calls_unknown', 'no_json', 'no_jsonb', 'parent_of_no_json']) f;
:run
SELECT is(outcome('calls_unknown'), 'failed 42883 orchestrator "no_such_orchestrator" does not exist', 'scenario 86: a sub-orchestration of unknown name fails the task');
SELECT is(events('calls_unknown', 'SubOrchestrationInstanceFailed') || ' ' || coalesce(status('unknown child'), 'none'), '1 none', 'scenario 86: and is not retried, nor is there such an instance');
SELECT is((SELECT h.failure ->> 'isNonRetriable' FROM durable.history h WHERE instance_id = 'calls_unknown' AND event_type = 'SubOrchestrationInstanceFailed'), 'true', 'scenario 86: since it is non-retriable');
SELECT throws_ok($$ SELECT durable.start_instance('no_such_orchestrator') $$, '42883', 'orchestrator "no_such_orchestrator" does not exist', 'scenario 86: a start of unknown name fails at the call');
SELECT is(outcome('no_json'), 'failed 22P02 invalid input syntax for type json', 'scenario 84: an output that is no JSON fails the instance');
SELECT is((SELECT output FROM durable.instances WHERE instance_id = 'no_json'), NULL, 'scenario 84: without output');
SELECT is(failure('no_jsonb', 'sqlstate'), '22P05', 'scenario 84: a result of an activity that jsonb cannot hold is the activity''s failure');
SELECT is(events('no_jsonb', 'TaskFailed'), 1::bigint, 'scenario 84: in the history');
SELECT is(outcome('parent_of_no_json'), 'completed "caught"', 'scenario 84: its parent can catch it');

-- Several at a time.
CREATE FUNCTION several(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
BEGIN
	RETURN to_jsonb(durable.await_all(durable.schedule_activity('same', '1'), durable.schedule_activity('fail', '{"message": "m2", "sqlstate": "ZZ002", "detail": "d2", "hint": "h2"}'),
		durable.schedule_suborchestrator('raises'), durable.schedule_activity('fail', '{"message": "m4", "sqlstate": "ZZ004"}')));
END $$;
CREATE FUNCTION collects(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
DECLARE
	tasks durable.task[] := ARRAY[durable.schedule_activity('same', '1'), durable.schedule_activity('fail', '{"message": "m2", "sqlstate": "ZZ002"}'),
		durable.schedule_suborchestrator('raises'), durable.schedule_activity('fail', '{"message": "m4", "sqlstate": "ZZ004"}')];
	t durable.task;
	list jsonb := '[]';
BEGIN
	FOREACH t IN ARRAY tasks LOOP
		BEGIN
			list := list || durable.await(t);
		EXCEPTION WHEN OTHERS THEN
			list := list || to_jsonb(SQLSTATE || ' ' || SQLERRM);
		END;
	END LOOP;
	RETURN list;
END $$;
-- One group within another; the inner one is a sub-orchestration where it is to be a task.
CREATE FUNCTION all_in_any(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
DECLARE
	group_of durable.task := durable.schedule_suborchestrator('several');
BEGIN
	IF durable.await_any(durable.expect_event('never'), group_of) <> group_of THEN
		RETURN '"the event"';
	END IF;
	RETURN durable.await(group_of);
END $$;
CREATE FUNCTION any_in_all(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
BEGIN
	RETURN to_jsonb(durable.await_all(durable.schedule_activity('same', '1'), durable.await_any(durable.schedule_activity('fail', '{"message": "m", "sqlstate": "ZZ002"}'), durable.expect_event('never'))));
END $$;
SELECT start(f) FROM unnest(ARRAY['several', 'collects', 'all_in_any', 'any_in_all']) f;
:run
SELECT is(outcome('several') || ' ' || failure('several', 'detail') || failure('several', 'hint'), 'failed ZZ002 m2 d2h2', 'scenario 81: of several failures the first is raised, with its details');
SELECT is((SELECT count(*) FROM durable.history WHERE instance_id = 'several' AND event_type IN ('TaskCompleted', 'TaskFailed', 'SubOrchestrationInstanceFailed')), 4::bigint, 'scenario 81: all four ended first');
SELECT is(output('collects'), '[1, "ZZ002 m2", "ZZ007 I cannot do this", "ZZ004 m4"]', 'scenario 81: awaited one by one, all failures can be had');
SELECT is(outcome('all_in_any'), 'failed ZZ002 m2', 'scenario 83: a failure in a group within await_any() propagates');
SELECT is(outcome('any_in_all'), 'failed ZZ002 m', 'scenario 83: one of await_any() within await_all() too');

-- ---------------------------------------------------------------------------
-- Functions of orchestrators outside of one

SELECT throws_ok('SELECT ' || call, 'UD005', NULL, 'outside an orchestrator: ' || call) FROM unnest(ARRAY[
	'durable.schedule_activity(''same'')', 'durable.call_activity(''same'')', 'durable.schedule_sql(''SELECT 1'')', 'durable.call_sql(''SELECT $1'', 1)',
	'durable.call_sql(durable.retry_policy(1), ''SELECT 1'')', 'durable.schedule_suborchestrator(''call'')', 'durable.call_suborchestrator(''call'')', 'durable.start_detached(''call'')',
	'durable.create_timer(''1 s'')', 'durable.create_timer_at(now())', 'durable.sleep(''1 s'')', 'durable.sleep_until(now())', 'durable.expect_event(''x'')', 'durable.wait_for_event(''x'')',
	'durable.await(NULL)', 'durable.await_all(VARIADIC ''{}''::durable.task[])', 'durable.await_any(''{}''::durable.task[])', 'durable.send_event(''x'', ''y'')', 'durable.continue_as_new()',
	'durable.set_custom_status(''1'')', 'durable.orchestration_time()', 'durable.new_guid()', 'durable.is_replaying()', 'durable.instance_id()', 'durable.execution_id()',
	'durable.parent_instance_id()', 'durable.instance_version()', 'durable.instance_tags()', 'durable.log_message(''x'')']) call;
SELECT throws_ok($$ SELECT 'activity:0'::durable.task $$, '0A000', NULL, 'a task cannot be made from text');
-- Names and payloads that make no sense.
CREATE TABLE bad (id text, code text, sqlstate text);
INSERT INTO bad VALUES ('null activity', 'durable.call_activity(NULL)', '22004'), ('empty activity', 'durable.call_activity('''')', '22023'),
	('null child', 'durable.call_suborchestrator(NULL)', '22004'), ('empty child', 'durable.call_suborchestrator('''')', '22023'),
	('tags', 'durable.call_activity(''same'', ''1'', tags => ''[1]'')', '22023'), ('child tags', 'durable.call_suborchestrator(''call'', tags => ''{"a": 1}'')', '22023'),
	('null target', 'to_jsonb(durable.send_event(NULL, ''x'')::text)', '22004'), ('null event', 'to_jsonb(durable.send_event(''x'', NULL)::text)', '22004'),
	('null message', 'to_jsonb(durable.log_message(NULL)::text)', '22004'), ('as client', 'to_jsonb(durable.raise_event(''x'', ''y'')::text)', 'UD008'),
	('waits as client', 'to_jsonb(durable.wait_for_completion(''x''))', 'UD008'), ('runs', 'to_jsonb(durable.run_until_idle())', '55000'), ('task id', 'to_jsonb(durable.task_id())', 'UD005');
DO $$
DECLARE
	b record;
BEGIN
	FOR b IN SELECT * FROM bad LOOP
		EXECUTE format('CREATE FUNCTION %I(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS %L', 'bad ' || b.id, 'BEGIN RETURN ' || b.code || '; END');
	END LOOP;
END $$;
SELECT start(format('%I', 'bad ' || id), NULL, id) FROM bad \g /dev/null
:run
SELECT is(failure(id, 'sqlstate'), sqlstate, 'bad input: ' || id) FROM bad;
SELECT is_empty('SELECT * FROM durable.messages', 'no message is left');
SELECT * FROM finish();
