--
-- What goes wrong while work runs, as it shows in durable.instances.failure:
-- activities that raise or cannot be called, orchestrators that fail, hang or
-- catch what they must not. Whatever it is, the others go on.
--
CREATE ROLE durable_regress_act LOGIN;
CREATE ROLE durable_regress_act_other;
SELECT durable.grant_usage('durable_regress_act');
CREATE SCHEMA act AUTHORIZATION durable_regress_act;
SET search_path = act;
SET SESSION AUTHORIZATION durable_regress_act;

-- Calls the activity that the input names.
CREATE FUNCTION calls(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$ BEGIN RETURN durable.call_activity(input ->> 'activity', input -> 'input'); END $$;
-- Calls a statement.
CREATE FUNCTION calls_sql(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$ BEGIN RETURN durable.call_sql(input #>> '{}'); END $$;
-- Failures of instances, one field a line.
CREATE VIEW failures AS
SELECT instance_id, coalesce(input -> 'activity', input) #>> '{}' AS what, input -> 'input' AS input, status,
	failure ->> 'errorType' AS type, failure ->> 'sqlstate' AS sqlstate, failure ->> 'errorMessage' AS message,
	failure ->> 'detail' AS detail, failure ->> 'hint' AS hint, failure ->> 'isNonRetriable' AS non_retriable, output
FROM durable.instances ORDER BY instance_id;
CREATE TABLE effects (what text);
CREATE TABLE uniques (a int UNIQUE DEFERRABLE INITIALLY DEFERRED);

-- ---------------------------------------------------------------------------
-- Activities that raise, and statements
-- ---------------------------------------------------------------------------

CREATE FUNCTION raises() RETURNS void LANGUAGE plpgsql AS
$$
BEGIN
	INSERT INTO effects VALUES ('raises');
	RAISE EXCEPTION 'card declined' USING ERRCODE = 'XX999', DETAIL = 'Limit is 0.', HINT = 'Pay your bills.';
END
$$;
CREATE FUNCTION raises_plainly(input jsonb) RETURNS void LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'plain'; END $$;
-- A name instead of a code.
CREATE FUNCTION raises_by_name() RETURNS void LANGUAGE plpgsql AS
$$ BEGIN RAISE division_by_zero; END $$;
-- Codes that EXCEPTION WHEN OTHERS would not catch must not slip through an orchestrator.
CREATE FUNCTION asserts() RETURNS void LANGUAGE plpgsql AS
$$ BEGIN ASSERT false, 'not so'; END $$;
CREATE FUNCTION cancels() RETURNS void LANGUAGE plpgsql AS
$$ BEGIN RAISE query_canceled USING MESSAGE = 'on purpose'; END $$;
CREATE FUNCTION divides(a int, b int DEFAULT 1) RETURNS int LANGUAGE sql AS $$ SELECT a / b $$;
CREATE FUNCTION violates() RETURNS void LANGUAGE sql AS $$ INSERT INTO effects VALUES ('violates'); INSERT INTO effects SELECT 1 / 0 $$;

SELECT durable.start_instance('calls', jsonb_build_object('activity', a), instance_id => 'raise-' || a)
FROM unnest(ARRAY['raises', 'raises_plainly', 'raises_by_name', 'asserts', 'cancels', 'violates']) a;
SELECT durable.start_instance('calls_sql', to_jsonb(q), instance_id => 'raise-sql-' || n)
FROM unnest(ARRAY['SELEC 1', 'SELECT * FROM no_such_table', 'SELECT 1 / 0', 'COMMIT', 'SELECT 1; SELECT 2',
	'SET ROLE postgres', 'VACUUM', 'COPY effects FROM STDIN']) WITH ORDINALITY AS x(q, n);
SELECT durable.run_until_idle() > 0 AS ran;
\x on
SELECT what, status, type, sqlstate, message, detail, hint, non_retriable FROM failures;
\x off
-- Whatever they did is undone.
SELECT * FROM effects;
-- All the failure has, context included.
SELECT jsonb_pretty(failure) FROM durable.instances WHERE instance_id = 'raise-raises';
SELECT sum(durable.purge(instance_id)) AS purged FROM durable.instances;

-- ---------------------------------------------------------------------------
-- The orchestrator sees the activity's error and can handle it
-- ---------------------------------------------------------------------------

CREATE FUNCTION handles(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
DECLARE
	state text; message text; detail text; hint text; context text;
BEGIN
	PERFORM durable.call_activity(input ->> 'activity');
	RETURN '"no error"';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL,
		hint = PG_EXCEPTION_HINT, context = PG_EXCEPTION_CONTEXT;
	RETURN jsonb_build_object('state', state, 'message', message, 'detail', detail, 'hint', hint,
		'context names it', context LIKE '%activity ' || (input ->> 'activity') || '%');
END
$$;
CREATE FUNCTION handles_by_code(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
BEGIN
	PERFORM durable.call_activity('raises');
EXCEPTION WHEN SQLSTATE 'XX999' THEN
	RETURN to_jsonb('handled ' || SQLERRM);
END
$$;
-- To raise it again is to fail with the activity's failure, unchanged.
CREATE FUNCTION raises_again(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
BEGIN
	PERFORM durable.call_activity('raises');
EXCEPTION WHEN OTHERS THEN
	PERFORM durable.call_sql('INSERT INTO effects VALUES (''compensated'')');
	RAISE;
END
$$;
-- A child's failure is the inner failure of its parent's.
CREATE FUNCTION has_child(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$ BEGIN RETURN durable.call_suborchestrator('calls', '{"activity": "raises"}', instance_id => 'child'); END $$;

SELECT durable.start_instance('handles', jsonb_build_object('activity', a), instance_id => 'handle-' || a)
FROM unnest(ARRAY['raises', 'raises_by_name', 'asserts', 'cancels', 'no_such_activity']) a;
SELECT durable.start_instance('handles_by_code', instance_id => 'handle-by-code');
SELECT durable.start_instance('raises_again', instance_id => 'raise-again');
SELECT durable.start_instance('has_child', instance_id => 'parent');
SELECT durable.run_until_idle() > 0 AS ran;
SELECT instance_id, status, output FROM failures WHERE instance_id LIKE 'handle%';
SELECT instance_id, status, type, sqlstate, message, detail, hint FROM failures WHERE instance_id NOT LIKE 'handle%';
SELECT failure #- '{innerFailure,context}' #- '{context}' AS failure FROM durable.instances WHERE instance_id = 'parent';
SELECT * FROM effects;
SELECT sum(durable.purge(instance_id)) AS purged FROM durable.instances;

-- ---------------------------------------------------------------------------
-- Activities that cannot be called
-- ---------------------------------------------------------------------------

CREATE FUNCTION one_text(t text) RETURNS text LANGUAGE sql AS $$ SELECT t $$;
CREATE FUNCTION one_int(i int) RETURNS int LANGUAGE sql AS $$ SELECT i $$;
CREATE FUNCTION unnamed(int, int) RETURNS int LANGUAGE sql AS $$ SELECT $1 + $2 $$;
CREATE FUNCTION twofold(a int) RETURNS int LANGUAGE sql AS $$ SELECT a $$;
CREATE FUNCTION twofold(b text) RETURNS text LANGUAGE sql AS $$ SELECT b $$;
CREATE FUNCTION twofold(a text, b text) RETURNS text LANGUAGE sql AS $$ SELECT a || b $$;
CREATE FUNCTION many() RETURNS SETOF int LANGUAGE sql AS $$ SELECT generate_series(1, 3) $$;
CREATE FUNCTION tabular() RETURNS TABLE (a int, b text) LANGUAGE sql AS $$ SELECT 1, 'x' $$;
CREATE FUNCTION composite(OUT a int, OUT b text) LANGUAGE sql AS $$ SELECT 1, 'x' $$;
CREATE FUNCTION composite_row() RETURNS effects LANGUAGE sql AS $$ SELECT 'row' $$;
CREATE FUNCTION arrays(a int[], b jsonb[]) RETURNS int[] LANGUAGE sql AS $$ SELECT a || cardinality(b) $$;
CREATE FUNCTION any_element(a anyelement) RETURNS anyelement LANGUAGE sql AS $$ SELECT a $$;
CREATE FUNCTION triggers() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
CREATE PROCEDURE procedural() LANGUAGE sql AS $$ SELECT 1 $$;
CREATE AGGREGATE aggregates(int) (SFUNC = int4pl, STYPE = int);
CREATE DOMAIN percentage AS int CHECK (VALUE BETWEEN 0 AND 100);
CREATE FUNCTION domains(p percentage) RETURNS percentage LANGUAGE sql AS $$ SELECT p $$;
CREATE FUNCTION variadics(VARIADIC a int[]) RETURNS bigint LANGUAGE sql AS $$ SELECT sum(x) FROM unnest(a) x $$;
CREATE FUNCTION nothing() RETURNS void LANGUAGE sql AS $$ $$;
CREATE FUNCTION null_result() RETURNS int LANGUAGE sql AS $$ SELECT NULL::int $$;
CREATE FUNCTION strict_one(a int) RETURNS text STRICT LANGUAGE sql AS $$ SELECT 'called' $$;
CREATE FUNCTION forbidden() RETURNS int LANGUAGE sql AS $$ SELECT 1 $$;
REVOKE ALL ON FUNCTION forbidden() FROM PUBLIC, durable_regress_act;

SELECT count(durable.start_instance('calls', jsonb_build_object('activity', a) || CASE WHEN i IS NULL THEN '{}' ELSE jsonb_build_object('input', i) END, instance_id => format('call-%s', to_char(n, 'FM00'))))
FROM (VALUES
	(1, 'no_such_activity', NULL::jsonb),
	(2, 'elsewhere.no_such_activity', NULL),
	(3, 'one_text(integer)', '{"t": 1}'),
	(4, 'divides', NULL),
	(5, 'divides', '{}'),
	(6, 'divides', '{"a": 1, "c": 2}'),
	(7, 'divides', '{"A": 1}'),
	(8, 'divides', '[1, 2]'),
	(9, 'divides', '7'),
	(10, 'divides', '{"a": "seven"}'),
	(11, 'divides', '{"a": 1.5}'),
	(12, 'divides', '{"a": {}}'),
	(13, 'divides', '{"a": 99999999999}'),
	(14, 'divides', '{"a": 6, "b": 0}'),
	(15, 'unnamed', '{"a": 1, "b": 2}'),
	(16, 'twofold', '{"c": 1}'),
	(17, 'twofold', NULL),
	(18, 'many', NULL),
	(19, 'tabular', NULL),
	(20, 'any_element', '1'),
	(21, 'triggers', NULL),
	(22, 'procedural', NULL),
	(23, 'aggregates', '1'),
	(24, 'domains', '{"p": 101}'),
	(25, 'arrays', '{"a": 1, "b": []}'),
	(26, 'forbidden', NULL),
	(27, '$sql', '{}')
	) AS v(n, a, i);
SELECT durable.run_until_idle() > 0 AS ran;
\x on
SELECT what, input, status, type, sqlstate, message, detail, hint, non_retriable FROM failures;
\x off
-- Which argument it was.
SELECT what, input, failure ->> 'context' AS context FROM failures JOIN (SELECT instance_id, failure FROM durable.instances) i USING (instance_id)
WHERE failure ->> 'context' LIKE 'argument%' ORDER BY instance_id;
-- The engine's own statements are none of the user's business.
SELECT instance_id, failure ->> 'context' AS context FROM durable.instances WHERE failure ->> 'context' LIKE '%durable_store%';
SELECT sum(durable.purge(instance_id)) AS purged FROM durable.instances;

-- These can be called.
SELECT count(durable.start_instance('calls', jsonb_build_object('activity', a) || CASE WHEN i IS NULL THEN '{}' ELSE jsonb_build_object('input', i) END, instance_id => format('good-%s', to_char(n, 'FM00'))))
FROM (VALUES
	(1, 'divides', '{"a": 6}'::jsonb),
	(2, 'divides', '{"a": 6, "b": 3}'),
	(3, 'divides', '{"a": "6", "b": "3"}'),
	(4, 'one_text', '"whole"'),
	(5, 'one_text', '{"t": "named"}'),
	(6, 'one_text', '{"t": null}'),
	(7, 'one_int', '7'),
	(8, 'twofold', '{"b": "x"}'),
	(9, 'twofold', '{"a": "x", "b": "y"}'),
	(10, 'twofold(integer)', '{"a": 3}'),
	(11, 'composite', NULL),
	(12, 'composite_row', NULL),
	(13, 'arrays', '{"a": [1, 2], "b": [{}, 1]}'),
	(14, 'domains', '{"p": 100}'),
	(15, 'variadics', '{"a": [1, 2, 3]}'),
	(16, 'nothing', NULL),
	(17, 'null_result', NULL),
	(18, 'strict_one', '{"a": null}'),
	(19, 'act.divides', '{"a": 6}'),
	(20, '"act"."divides"', '{"a": 6}')
	) AS v(n, a, i);
SELECT durable.run_until_idle() > 0 AS ran;
SELECT what, input, status, output, message FROM failures;
SELECT sum(durable.purge(instance_id)) AS purged FROM durable.instances;

-- call_sql: no row, one row, several; statements that return none.
SELECT count(durable.start_instance('calls_sql', to_jsonb(q), instance_id => 'sql-' || n))
FROM unnest(ARRAY['SELECT 1 WHERE false', 'SELECT 1 AS a, ''x'' AS b', 'SELECT a FROM generate_series(1, 3) a',
	'INSERT INTO effects VALUES (''by sql'')', 'INSERT INTO effects VALUES (''returned'') RETURNING what, 1 AS one',
	'CREATE TABLE by_sql ()']) WITH ORDINALITY AS x(q, n);
SELECT durable.run_until_idle() > 0 AS ran;
SELECT what, status, output, message FROM failures;
SELECT sum(durable.purge(instance_id)) AS purged FROM durable.instances;

-- ---------------------------------------------------------------------------
-- Too long, too large
-- ---------------------------------------------------------------------------

CREATE FUNCTION sleeps() RETURNS text LANGUAGE plpgsql AS
$$ BEGIN INSERT INTO effects VALUES ('slept'); PERFORM pg_sleep(60); RETURN 'woke up'; END $$;
-- Catching the cancel does not help it.
CREATE FUNCTION sleeps_on() RETURNS text LANGUAGE plpgsql AS
$$
BEGIN
	FOR i IN 1 .. 3 LOOP
		BEGIN
			PERFORM pg_sleep(60);
		EXCEPTION WHEN query_canceled THEN
			NULL;
		END;
	END LOOP;
	RETURN 'would not go';
END
$$;
CREATE FUNCTION large() RETURNS text LANGUAGE sql AS $$ SELECT repeat('x', 3000) $$;
CREATE FUNCTION large_output(input jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT to_jsonb(repeat('x', 3000)) $$;
CREATE FUNCTION large_input(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$ BEGIN RETURN durable.call_activity('raises_plainly', to_jsonb(repeat('x', 3000))); END $$;
CREATE FUNCTION large_status(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$ BEGIN PERFORM durable.set_custom_status(to_jsonb(repeat('x', 3000))); RETURN NULL; END $$;
CREATE FUNCTION loops(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN LOOP END LOOP; END $$;
-- WHEN OTHERS does not catch the limit; naming it does, and does not help either.
CREATE FUNCTION loops_on(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$ BEGIN LOOP BEGIN LOOP END LOOP; EXCEPTION WHEN OTHERS OR query_canceled THEN EXIT; END; END LOOP; RETURN '"would not go"'; END $$;
-- It works, and waits, then loops: the limit is for running, not for waiting.
CREATE FUNCTION loops_later(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$ BEGIN PERFORM durable.sleep('1 hour'); LOOP END LOOP; END $$;
CREATE FUNCTION fine(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$ BEGIN PERFORM durable.sleep('1 hour'); RETURN durable.call_activity('divides', '{"a": 4}'); END $$;

RESET SESSION AUTHORIZATION;
SET durable.activity_timeout = '300ms';
SET durable.orchestrator_timeout = '500ms';
SET durable.max_payload_size = '1kB';
SET SESSION AUTHORIZATION durable_regress_act;
SELECT count(durable.start_instance('calls', jsonb_build_object('activity', a), instance_id => 'limit-' || a))
FROM unnest(ARRAY['sleeps', 'sleeps_on', 'large']) a;
SELECT count(durable.start_instance(o, to_jsonb(o), instance_id => 'limit-' || o))
FROM unnest(ARRAY['large_output', 'large_input', 'large_status', 'loops', 'loops_on', 'loops_later', 'fine']) o;
SELECT durable.run_until_idle(advance_time => true) > 0 AS ran;
\x on
SELECT what, status, type, sqlstate, message, detail, hint, non_retriable, output FROM failures;
\x off
SELECT * FROM effects WHERE what = 'slept';
SELECT sum(durable.purge(instance_id)) AS purged FROM durable.instances;
RESET SESSION AUTHORIZATION;
RESET durable.activity_timeout;
RESET durable.orchestrator_timeout;
RESET durable.max_payload_size;
SET SESSION AUTHORIZATION durable_regress_act;

-- ---------------------------------------------------------------------------
-- Orchestrators that fail
-- ---------------------------------------------------------------------------

CREATE FUNCTION orc_raises(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'no way' USING ERRCODE = 'ZZ001', DETAIL = 'details', HINT = 'hints'; END $$;
-- The unwinding of a wait is an assert_failure. Whoever catches it is told.
CREATE FUNCTION orc_catches(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$ BEGIN PERFORM durable.wait_for_event('go'); RETURN 1; EXCEPTION WHEN assert_failure THEN RETURN '"caught"'; END $$;
CREATE FUNCTION orc_catches_and_raises(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$ BEGIN PERFORM durable.wait_for_event('go'); RETURN 1; EXCEPTION WHEN assert_failure THEN RAISE EXCEPTION 'mine'; END $$;
-- Caught, then waited again: that suspends all the same.
CREATE FUNCTION orc_catches_and_waits(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
BEGIN
	BEGIN
		PERFORM durable.wait_for_event('go');
	EXCEPTION WHEN assert_failure THEN
		NULL;
	END;
	RETURN durable.wait_for_event('go');
END
$$;
-- WHEN OTHERS is fine.
CREATE FUNCTION orc_others(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$ BEGIN RETURN durable.wait_for_event('go'); EXCEPTION WHEN OTHERS THEN RETURN '"caught"'; END $$;
-- An ASSERT of its own is a failure of its own.
CREATE FUNCTION orc_asserts(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$ BEGIN ASSERT input IS NOT NULL, 'input needed'; RETURN 1; END $$;
CREATE FUNCTION orc_cancels(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$ BEGIN RAISE query_canceled USING MESSAGE = 'by RAISE'; END $$;
CREATE FUNCTION orc_writes(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$ BEGIN INSERT INTO effects VALUES ('by orchestrator'); RETURN 1; END $$;
CREATE FUNCTION orc_commits(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN COMMIT; RETURN 1; END $$;
CREATE FUNCTION orc_recurses(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN orc_recurses(input); END $$;
CREATE FUNCTION orc_no_child(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$ BEGIN RETURN durable.call_suborchestrator('no_such_orchestrator'); END $$;
CREATE FUNCTION orc_bad_child(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$ BEGIN RETURN durable.call_suborchestrator('one_text'); END $$;
CREATE FUNCTION orc_detached(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$ BEGIN RETURN to_jsonb(durable.start_detached('no_such_orchestrator', instance_id => 'never')); END $$;
CREATE FUNCTION orc_void(input jsonb) RETURNS void LANGUAGE plpgsql AS $$ BEGIN PERFORM durable.call_activity('nothing'); END $$;
CREATE FUNCTION orc_no_argument() RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN durable.call_activity('divides', '{"a": 2}'); END $$;
CREATE FUNCTION orc_strict(input jsonb) RETURNS jsonb STRICT LANGUAGE plpgsql AS $$ BEGIN RETURN '"called"'; END $$;
CREATE FUNCTION orc_dropped(input jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT input $$;
CREATE FUNCTION orc_changed(input jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT input $$;
CREATE FUNCTION orc_forbidden(input jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT input $$;

SELECT count(durable.start_instance(p.proname, to_jsonb(p.proname), instance_id => p.proname))
FROM pg_proc p WHERE p.pronamespace = 'act'::regnamespace AND p.proname LIKE 'orc\_%';
SELECT durable.start_instance('orc_asserts', instance_id => 'orc_asserts-null');
SELECT durable.start_instance('orc_strict', instance_id => 'orc_strict-null');
SELECT durable.start_instance('fine', instance_id => 'zz fine');
-- What changes between the start and the turn.
DROP FUNCTION orc_dropped(jsonb);
DROP FUNCTION orc_changed(jsonb);
CREATE FUNCTION orc_changed(input jsonb) RETURNS text LANGUAGE sql AS $$ SELECT 'text' $$;
REVOKE ALL ON FUNCTION orc_forbidden(jsonb) FROM PUBLIC, durable_regress_act;
SET durable.on_code_change = latest;
SELECT durable.run_until_idle() > 0 AS ran;
SELECT durable.raise_event(instance_id, 'go', '"event"') FROM durable.instances WHERE status = 'running' AND instance_id <> 'zz fine';
SELECT durable.run_until_idle(advance_time => true) > 0 AS ran;
\x on
SELECT instance_id, status, type, sqlstate, message, detail,
	CASE WHEN sqlstate = '54001' THEN 'depends on the platform' ELSE hint END AS hint, non_retriable, output FROM failures;
\x off
SELECT * FROM effects WHERE what = 'by orchestrator';
-- It waits for another event: the first one went to the wait that it wrapped.
SELECT waiting_for FROM durable.instances WHERE instance_id = 'orc_catches_and_waits';
SELECT durable.terminate('orc_catches_and_waits');
SELECT durable.run_until_idle();
-- What cannot be started does not vanish without a word.
SELECT EXISTS (SELECT FROM durable.instances WHERE instance_id IN ('orc_detached', 'never') AND status = 'failed') AS told;
SELECT sum(durable.purge(instance_id)) AS purged FROM durable.instances;

-- ---------------------------------------------------------------------------
-- Code that changes under a running instance
-- ---------------------------------------------------------------------------

CREATE FUNCTION changes(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$ BEGIN PERFORM durable.call_activity('nothing'); RETURN durable.wait_for_event('go'); END $$;
SELECT durable.start_instance('changes', instance_id => 'other name');
SELECT durable.run_until_idle() > 0 AS ran;
CREATE OR REPLACE FUNCTION changes(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$ BEGIN PERFORM durable.call_activity('null_result'); RETURN durable.wait_for_event('go'); END $$;
SELECT durable.raise_event('other name', 'go');
SELECT durable.run_until_idle() > 0 AS ran;
SELECT durable.start_instance('changes', instance_id => 'other kind');
SELECT durable.run_until_idle() > 0 AS ran;
CREATE OR REPLACE FUNCTION changes(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$ BEGIN PERFORM durable.sleep('1 s'); RETURN durable.wait_for_event('go'); END $$;
SELECT durable.raise_event('other kind', 'go');
SELECT durable.run_until_idle() > 0 AS ran;
SELECT durable.start_instance('changes', instance_id => 'too early');
SELECT durable.run_until_idle(advance_time => true) > 0 AS ran;
CREATE OR REPLACE FUNCTION changes(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$ BEGIN RETURN '"short"'; END $$;
SELECT durable.raise_event('too early', 'go');
SELECT durable.run_until_idle() > 0 AS ran;
\x on
SELECT instance_id, status, type, sqlstate, message,
	regexp_replace(regexp_replace(detail, '\d{4}-\d\d-\d\d [\d:.]+\+00', '<time>', 'g'), ' +', ' ', 'g') AS detail, hint, non_retriable
FROM failures;
\x off
SELECT sum(durable.purge(instance_id)) AS purged FROM durable.instances;

-- ---------------------------------------------------------------------------
-- Retries
-- ---------------------------------------------------------------------------

-- Every failure is recorded, so attempts can be counted in the history.
CREATE FUNCTION retries(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
BEGIN
	RETURN durable.call_activity(input ->> 'activity', retry => durable.retry_policy(3, '10 s', 2,
		retry_on => (SELECT array_agg(x) FROM jsonb_array_elements_text(input -> 'on') x),
		never_retry_on => (SELECT array_agg(x) FROM jsonb_array_elements_text(input -> 'never') x)));
END
$$;
SELECT count(durable.start_instance('retries', i::jsonb, instance_id => 'retry-' || n))
FROM unnest(ARRAY[
	'{"activity": "raises"}',
	'{"activity": "raises", "on": ["XX999"]}',
	'{"activity": "raises", "on": ["XX"]}',
	'{"activity": "raises", "on": ["40001", "23"]}',
	'{"activity": "raises", "never": ["XX999"]}',
	'{"activity": "raises", "never": ["XX"]}',
	'{"activity": "raises_by_name", "never": ["division_by_zero"]}',
	'{"activity": "no_such_activity"}'
	]) WITH ORDINALITY AS x(i, n);
SELECT durable.run_until_idle(advance_time => true) > 0 AS ran;
SELECT i.input, i.status, i.failure ->> 'sqlstate' AS sqlstate,
	(SELECT count(*) FROM durable.history h WHERE h.instance_id = i.instance_id AND h.event_type = 'TaskFailed') AS attempts,
	(SELECT array_agg(date_trunc('second', t.fire_at - t."timestamp" + '0.5 s') ORDER BY t.seq) FROM durable.history t
		WHERE t.instance_id = i.instance_id AND t.event_type = 'TimerCreated') AS delays
FROM durable.instances i ORDER BY instance_id;

RESET SESSION AUTHORIZATION;
SET client_min_messages = warning;
DROP SCHEMA act CASCADE;
DROP OWNED BY durable_regress_act, durable_regress_act_other;
DROP ROLE durable_regress_act, durable_regress_act_other;
