-- Failures: what an activity raises is an SQL error of the orchestrator.
\ir include/setup.psql
SELECT plan(76);

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
SELECT is(output('57014') ->> 'state', 'UD001', '57014, which WHEN OTHERS would not catch, is raised as UD001');
SELECT is(output('P0004'), '{"state": "UD001", "message": "asserted", "detail": "", "hint": ""}', 'P0004 too');
SELECT is(output('02000') ->> 'state', '02000', 'any other SQLSTATE stays, even one of class 02');
SELECT is(outcome('violates'), 'completed "unique violation"', 'scenario 66: caught by the name of its condition');
SELECT is(outcome('divides'), 'completed "division by zero"', 'scenario 66: caught by another name');
SELECT is(outcome('no_message'), 'completed "ZZ002"', 'an empty message');
SELECT is(outcome('no_such'), 'completed "undefined function"', 'an unknown activity');
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
