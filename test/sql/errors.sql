--
-- Every error a user can cause, as he sees it: message, detail, hint, and the
-- SQLSTATE his program would branch on (echoed after each).
--
CREATE ROLE durable_regress_errors LOGIN;
CREATE ROLE durable_regress_errors_other LOGIN;
SELECT durable.grant_usage('durable_regress_errors');
SELECT durable.grant_usage('durable_regress_errors_other');
CREATE SCHEMA errors AUTHORIZATION durable_regress_errors;
GRANT USAGE ON SCHEMA errors TO durable_regress_errors_other;
ALTER ROLE durable_regress_errors SET search_path = errors;
SET search_path = errors;
SET SESSION AUTHORIZATION durable_regress_errors;

CREATE FUNCTION waits(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$ BEGIN RETURN durable.wait_for_event('go'); END $$;
CREATE FUNCTION quick(input jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT input $$;

-- ---------------------------------------------------------------------------
-- What is no orchestrator
-- ---------------------------------------------------------------------------

CREATE FUNCTION takes_text(input text) RETURNS jsonb LANGUAGE sql AS $$ SELECT to_jsonb(input) $$;
CREATE FUNCTION takes_two(input jsonb, more jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT input $$;
CREATE FUNCTION returns_text(input jsonb) RETURNS text LANGUAGE sql AS $$ SELECT input::text $$;
CREATE FUNCTION returns_json(input jsonb) RETURNS json LANGUAGE sql AS $$ SELECT input::json $$;
CREATE FUNCTION returns_set(input jsonb) RETURNS SETOF jsonb LANGUAGE sql AS $$ SELECT input $$;
CREATE FUNCTION returns_table(input jsonb) RETURNS TABLE (output jsonb) LANGUAGE sql AS $$ SELECT input $$;
CREATE FUNCTION returns_record(input jsonb, OUT a int, OUT b int) LANGUAGE sql AS $$ SELECT 1, 2 $$;
CREATE PROCEDURE is_procedure(input jsonb) LANGUAGE sql AS $$ SELECT input $$;
CREATE AGGREGATE is_aggregate(jsonb) (SFUNC = jsonb_concat, STYPE = jsonb);

SELECT durable.start_instance('no_such_function');
\echo :SQLSTATE
SELECT durable.start_instance('elsewhere.no_such_function');
\echo :SQLSTATE
SELECT durable.start_instance('quick(text)');
\echo :SQLSTATE
SELECT durable.start_instance('quick(');
\echo :SQLSTATE
SELECT durable.start_instance('a.b.c.d');
\echo :SQLSTATE
SELECT durable.start_instance('');
\echo :SQLSTATE
SELECT durable.start_instance(NULL);
\echo :SQLSTATE
SELECT durable.start_instance();
\echo :SQLSTATE
SELECT durable.start_instance('takes_text');
\echo :SQLSTATE
SELECT durable.start_instance('takes_two');
\echo :SQLSTATE
SELECT durable.start_instance('returns_text');
\echo :SQLSTATE
SELECT durable.start_instance('returns_json');
\echo :SQLSTATE
SELECT durable.start_instance('returns_set');
\echo :SQLSTATE
SELECT durable.start_instance('returns_table');
\echo :SQLSTATE
SELECT durable.start_instance('returns_record');
\echo :SQLSTATE
SELECT durable.start_instance('is_procedure');
\echo :SQLSTATE
SELECT durable.start_instance('is_aggregate');
\echo :SQLSTATE
-- None of them left anything.
SELECT count(*) FROM durable.instances;

-- ---------------------------------------------------------------------------
-- Arguments of start_instance()
-- ---------------------------------------------------------------------------

SELECT durable.start_instance('quick', instance_id => '');
\echo :SQLSTATE
SELECT durable.start_instance('quick', instance_id => repeat('x', 256));
\echo :SQLSTATE
-- It is bytes that count.
SELECT durable.start_instance('quick', instance_id => repeat(U&'\00e4', 128));
\echo :SQLSTATE
SELECT length(durable.start_instance('quick', instance_id => repeat('x', 255)));
SELECT length(durable.start_instance('quick', instance_id => repeat(U&'\00e4', 127) || 'a'));
-- Ids are not patterns and not SQL.
SELECT durable.start_instance('quick', instance_id => 'it''s 100% "odd"; \n _');

SELECT durable.start_instance('waits', instance_id => 'taken');
SELECT durable.start_instance('waits', instance_id => 'taken');
\echo :SQLSTATE
SELECT durable.start_instance('waits', instance_id => 'taken', if_exists => 'skip');
SELECT durable.start_instance('waits', instance_id => 'taken', if_exists => 'ignore');
\echo :SQLSTATE
SELECT durable.start_instance('waits', instance_id => 'taken', if_exists => NULL);
\echo :SQLSTATE
SELECT durable.start_instance('waits', instance_id => 'taken', replace_statuses => '{running}');
\echo :SQLSTATE
SELECT durable.start_instance('waits', instance_id => 'taken', replace_statuses => '{pending,completed}');
\echo :SQLSTATE
SELECT durable.start_instance('waits', instance_id => 'taken', replace_statuses => '{completed,NULL}');
\echo :SQLSTATE
SELECT durable.start_instance('waits', instance_id => 'taken', replace_statuses => '{done}');
\echo :SQLSTATE
-- Not in the list: taken. An empty list: nothing is replaced.
SELECT durable.start_instance('waits', instance_id => 'taken', replace_statuses => '{completed,failed}');
\echo :SQLSTATE
SELECT durable.start_instance('waits', instance_id => 'taken', replace_statuses => '{}');
\echo :SQLSTATE
SELECT durable.start_instance('quick', instance_id => 'done');
SELECT durable.run_until_idle() > 0 AS ran;
SELECT durable.start_instance('quick', instance_id => 'done', replace_statuses => '{}');
\echo :SQLSTATE
SELECT durable.start_instance('quick', instance_id => 'done', replace_statuses => '{failed}');
\echo :SQLSTATE

SELECT durable.start_instance('quick', start_at => 'infinity');
\echo :SQLSTATE
SELECT durable.start_instance('quick', start_at => '-infinity');
\echo :SQLSTATE
SELECT durable.start_instance('quick', tags => '["a"]');
\echo :SQLSTATE
SELECT durable.start_instance('quick', tags => '{"a": 1}');
\echo :SQLSTATE
SELECT durable.start_instance('quick', tags => '"a"');
\echo :SQLSTATE
SELECT durable.start_instance('quick', event_data => '1');
\echo :SQLSTATE
SELECT durable.start_instance('quick', event_name => '');
\echo :SQLSTATE
SELECT durable.start_instance('quick', notify => NULL);
\echo :SQLSTATE
SELECT durable.start_instance('quick', task_hub => 'no such hub');
\echo :SQLSTATE
SELECT durable.start_instance('quick', task_hub => 'o''hara');
\echo :SQLSTATE
SELECT durable.start_instance('quick', task_hub => '');
\echo :SQLSTATE
SELECT durable.start_instance('quick', 'not json');
\echo :SQLSTATE

-- A payload beyond the limit names the limit and the setting.
RESET SESSION AUTHORIZATION;
SET durable.max_payload_size = '1kB';
SET SESSION AUTHORIZATION durable_regress_errors;
SELECT durable.start_instance('quick', to_jsonb(repeat('x', 3000)));
\echo :SQLSTATE
SELECT durable.start_instance('quick', event_name => 'e', event_data => to_jsonb(repeat('x', 3000)));
\echo :SQLSTATE
SELECT durable.start_instance('quick', tags => jsonb_build_object('a', repeat('x', 3000)));
\echo :SQLSTATE
SELECT durable.raise_event('taken', 'e', to_jsonb(repeat('x', 3000)));
\echo :SQLSTATE
RESET SESSION AUTHORIZATION;
RESET durable.max_payload_size;
SET SESSION AUTHORIZATION durable_regress_errors;

-- ---------------------------------------------------------------------------
-- Other client functions: no such instance, finished ones, NULLs
-- ---------------------------------------------------------------------------

SELECT durable.raise_event('missing', 'go');
\echo :SQLSTATE
SELECT durable.terminate('missing');
\echo :SQLSTATE
SELECT durable.suspend('missing');
\echo :SQLSTATE
SELECT durable.resume('missing');
\echo :SQLSTATE
SELECT durable.wait_for_completion('missing', timeout => '0 s');
\echo :SQLSTATE
SELECT durable.wait_for_start('missing', timeout => '0 s');
\echo :SQLSTATE
-- Nothing to purge is no error.
SELECT durable.purge('missing');
SELECT durable.purge('taken');

-- What is finished ignores them.
SELECT durable.raise_event('done', 'go');
SELECT durable.terminate('done', 'too late');
SELECT durable.suspend('done');
SELECT durable.resume('done');
SELECT count(*) FROM durable.messages WHERE instance_id = 'done';
SELECT status, output FROM durable.instances WHERE instance_id = 'done';

SELECT durable.raise_event(NULL, 'go');
\echo :SQLSTATE
SELECT durable.raise_event('taken', NULL);
\echo :SQLSTATE
SELECT durable.raise_event('taken', '');
\echo :SQLSTATE
SELECT durable.terminate(NULL);
\echo :SQLSTATE
SELECT durable.terminate('taken', recursive => NULL);
\echo :SQLSTATE
SELECT durable.suspend(NULL);
\echo :SQLSTATE
SELECT durable.resume(NULL);
\echo :SQLSTATE
SELECT durable.purge(NULL);
\echo :SQLSTATE
SELECT durable.purge('done', recursive => NULL);
\echo :SQLSTATE
SELECT durable.wait_for_completion(NULL);
\echo :SQLSTATE
SELECT durable.wait_for_start(NULL);
\echo :SQLSTATE
SELECT durable.create_hub(NULL);
\echo :SQLSTATE
SELECT durable.pause_hub(NULL);
\echo :SQLSTATE
SELECT durable.resume_hub(NULL);
\echo :SQLSTATE
SELECT durable.adopt_hub(NULL);
\echo :SQLSTATE
SELECT durable.grant_usage(NULL);
\echo :SQLSTATE
SELECT durable.revoke_usage(NULL);
\echo :SQLSTATE
SELECT durable.run_until_idle(advance_time => NULL);
\echo :SQLSTATE
CALL durable.run(until_idle => NULL);
\echo :SQLSTATE

SELECT durable.wait_for_completion('taken', timeout => '-1 s');
\echo :SQLSTATE
SELECT durable.wait_for_completion('taken', timeout => '-178000000 years');
\echo :SQLSTATE
SELECT durable.wait_for_start('taken', timeout => '1 day -48 hours');
\echo :SQLSTATE
SELECT durable.run_until_idle(timeout => '-1 s');
\echo :SQLSTATE
CALL durable.run(timeout => '-1 s');
\echo :SQLSTATE
-- Longer than time itself is just long: the instance is finished, so it returns.
SELECT status FROM durable.wait_for_completion('done', timeout => '178000000 years');
\echo :SQLSTATE
SELECT durable.run_until_idle(timeout => '300000 years');
\echo :SQLSTATE

-- After the timeout the row comes as it is.
SELECT instance_id, status FROM durable.wait_for_completion('taken', timeout => '0 s');
SELECT instance_id, status FROM durable.wait_for_completion('taken', timeout => '50 ms');

-- In the transaction that starts it nothing can run: say so at once.
BEGIN;
SELECT durable.start_instance('quick', instance_id => 'uncommitted');
SELECT durable.wait_for_completion('uncommitted');
\echo :SQLSTATE
ROLLBACK;
BEGIN;
SELECT durable.start_instance('quick', instance_id => 'uncommitted');
SAVEPOINT s;
SELECT durable.wait_for_start('uncommitted');
\echo :SQLSTATE
ROLLBACK TO s;
SELECT status FROM durable.instances WHERE instance_id = 'uncommitted';
ROLLBACK;
SELECT count(*) FROM durable.instances WHERE instance_id = 'uncommitted';

-- Nothing can be started where nothing can be written.
\set SHOW_CONTEXT never
BEGIN READ ONLY;
SELECT durable.start_instance('quick');
\echo :SQLSTATE
ROLLBACK;
BEGIN READ ONLY;
SELECT durable.raise_event('taken', 'go');
\echo :SQLSTATE
ROLLBACK;
\set SHOW_CONTEXT errors

-- ---------------------------------------------------------------------------
-- Retry policies
-- ---------------------------------------------------------------------------

SELECT durable.retry_policy(0);
\echo :SQLSTATE
SELECT durable.retry_policy(NULL);
\echo :SQLSTATE
SELECT durable.retry_policy();
\echo :SQLSTATE
SELECT durable.retry_policy(3, '0 s');
\echo :SQLSTATE
SELECT durable.retry_policy(3, '-1 s');
\echo :SQLSTATE
SELECT durable.retry_policy(3, NULL);
\echo :SQLSTATE
SELECT durable.retry_policy(3, backoff => 0.5);
\echo :SQLSTATE
SELECT durable.retry_policy(3, backoff => 'NaN');
\echo :SQLSTATE
SELECT durable.retry_policy(3, backoff => 1e7);
\echo :SQLSTATE
SELECT durable.retry_policy(3, max_interval => '-1 s');
\echo :SQLSTATE
SELECT durable.retry_policy(3, timeout => '0 s');
\echo :SQLSTATE
SELECT durable.retry_policy(3, max_interval => '170000000 years');
\echo :SQLSTATE
SELECT durable.retry_policy(3, retry_on => '{40001,NULL}');
\echo :SQLSTATE
SELECT durable.retry_policy(3, '1 s', 2, '10 s', '1 min', '{40001,23,MyError}', '{P0001}');

-- ---------------------------------------------------------------------------
-- Tasks exist in turns only
-- ---------------------------------------------------------------------------

SELECT 'timer:1'::durable.task;
\echo :SQLSTATE
SELECT 'timer:1'::text::durable.task;
\echo :SQLSTATE
SELECT NULL::durable.task IS NULL AS null_task;

-- ---------------------------------------------------------------------------
-- Functions for orchestrators, outside of one
-- ---------------------------------------------------------------------------

SELECT durable.schedule_activity('quick');
\echo :SQLSTATE
SELECT durable.call_activity('quick');
\echo :SQLSTATE
SELECT durable.schedule_sql('SELECT 1');
\echo :SQLSTATE
SELECT durable.schedule_sql('SELECT $1', 1);
\echo :SQLSTATE
SELECT durable.schedule_sql(durable.retry_policy(2), 'SELECT 1');
\echo :SQLSTATE
SELECT durable.call_sql('SELECT 1');
\echo :SQLSTATE
SELECT durable.call_sql('SELECT $1', 1);
\echo :SQLSTATE
SELECT durable.call_sql(durable.retry_policy(2), 'SELECT $1', 1);
\echo :SQLSTATE
SELECT durable.schedule_suborchestrator('quick');
\echo :SQLSTATE
SELECT durable.call_suborchestrator('quick');
\echo :SQLSTATE
SELECT durable.start_detached('quick');
\echo :SQLSTATE
SELECT durable.create_timer('1 s');
\echo :SQLSTATE
SELECT durable.create_timer_at('2100-01-01');
\echo :SQLSTATE
SELECT durable.cancel_timer(NULL);
\echo :SQLSTATE
SELECT durable.sleep('1 s');
\echo :SQLSTATE
SELECT durable.sleep_until('2100-01-01');
\echo :SQLSTATE
SELECT durable.expect_event('go');
\echo :SQLSTATE
SELECT durable.wait_for_event('go');
\echo :SQLSTATE
SELECT durable.await(NULL);
\echo :SQLSTATE
SELECT durable.await_all(VARIADIC '{}'::durable.task[]);
\echo :SQLSTATE
SELECT durable.await_all('{}'::durable.task[]);
\echo :SQLSTATE
SELECT durable.await_any(VARIADIC '{}'::durable.task[]);
\echo :SQLSTATE
SELECT durable.await_any('{}'::durable.task[]);
\echo :SQLSTATE
SELECT durable.send_event('taken', 'go');
\echo :SQLSTATE
SELECT durable.continue_as_new();
\echo :SQLSTATE
SELECT durable.set_custom_status('1');
\echo :SQLSTATE
SELECT durable.orchestration_time();
\echo :SQLSTATE
SELECT durable.new_guid();
\echo :SQLSTATE
SELECT durable.is_replaying();
\echo :SQLSTATE
SELECT durable.instance_id();
\echo :SQLSTATE
SELECT durable.execution_id();
\echo :SQLSTATE
SELECT durable.parent_instance_id();
\echo :SQLSTATE
SELECT durable.instance_version();
\echo :SQLSTATE
SELECT durable.instance_tags();
\echo :SQLSTATE
SELECT durable.task_id();
\echo :SQLSTATE
SELECT durable.attempt();
\echo :SQLSTATE
SELECT durable.log_message('hello');
\echo :SQLSTATE

-- ---------------------------------------------------------------------------
-- Inside a turn: what the instance fails with
-- ---------------------------------------------------------------------------

-- Calls one expression in an orchestrator.
CREATE FUNCTION evaluates(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
DECLARE
	result text;
BEGIN
	EXECUTE 'SELECT (' || (input #>> '{}') || ')::text' INTO result;
	RETURN to_jsonb(result);
END
$$;
-- What became of them, by expression.
CREATE VIEW outcomes AS
SELECT input #>> '{}' AS expression, status, failure ->> 'sqlstate' AS sqlstate,
	coalesce(failure ->> 'errorMessage', output #>> '{}') AS message,
	concat_ws(E'\n', 'DETAIL: ' || (failure ->> 'detail'), 'HINT: ' || (failure ->> 'hint')) AS more
FROM durable.instances WHERE name = 'evaluates' ORDER BY instance_id;

-- Clients act from outside. An orchestrator that did would do it at every replay.
SELECT count(durable.start_instance('evaluates', to_jsonb(e), instance_id => format('client-%s', to_char(n, 'FM00'))))
FROM unnest(ARRAY[
	$$durable.start_instance('quick')$$,
	$$durable.raise_event('taken', 'go')$$,
	$$durable.terminate('taken')$$,
	$$durable.suspend('taken')$$,
	$$durable.resume('taken')$$,
	$$durable.purge('taken')$$,
	$$durable.wait_for_completion('taken')$$,
	$$durable.wait_for_start('taken')$$,
	$$durable.run_until_idle()$$
	]) WITH ORDINALITY AS x(e, n);
SELECT durable.run_until_idle() AS work_items;
\x on
SELECT * FROM outcomes;
\x off
SELECT sum(durable.purge(instance_id)) AS purged FROM durable.instances WHERE name = 'evaluates';
SELECT count(durable.start_instance('evaluates', to_jsonb(e), instance_id => format('hub-%s', n)))
FROM unnest(ARRAY[
	$$durable.create_hub('from inside')$$,
	$$durable.pause_hub('durable_regress_errors')$$,
	$$durable.resume_hub('durable_regress_errors')$$,
	$$durable.adopt_hub('durable_regress_errors')$$
	]) WITH ORDINALITY AS x(e, n);
SELECT durable.run_until_idle() AS work_items;
SELECT expression, status, sqlstate FROM outcomes;
SELECT instance_id, status FROM durable.instances WHERE instance_id = 'taken';
SELECT sum(durable.purge(instance_id)) AS purged FROM durable.instances WHERE name = 'evaluates';

-- Bad arguments of the functions that belong there.
SELECT count(durable.start_instance('evaluates', to_jsonb(e), instance_id => format('inside-%s', to_char(n, 'FM00'))))
FROM unnest(ARRAY[
	$$durable.schedule_activity(NULL)$$,
	$$durable.schedule_activity('')$$,
	$$durable.schedule_activity('quick', tags => '[]')$$,
	$$durable.schedule_activity('quick', retry => row(0, '1 s', 1, NULL, NULL, NULL, NULL)::durable.retry_policy)$$,
	$$durable.schedule_sql(NULL)$$,
	$$durable.schedule_sql('')$$,
	$$durable.schedule_sql(durable.retry_policy(2), 42)$$,
	$$durable.schedule_sql('SELECT $1', VARIADIC ARRAY[1, 2])$$,
	$$durable.schedule_suborchestrator(NULL)$$,
	$$durable.schedule_suborchestrator('quick', instance_id => '')$$,
	$$durable.schedule_suborchestrator('quick', instance_id => repeat('x', 256))$$,
	$$durable.start_detached('')$$,
	$$durable.create_timer(NULL)$$,
	$$durable.create_timer('-1 s')$$,
	$$durable.create_timer('178000000 years')$$,
	$$durable.create_timer_at(NULL)$$,
	$$durable.create_timer_at('infinity')$$,
	$$durable.cancel_timer(NULL)$$,
	$$durable.cancel_timer(durable.expect_event('go'))$$,
	$$durable.sleep(NULL)$$,
	$$durable.sleep('-1 s')$$,
	$$durable.sleep_until(NULL)$$,
	$$durable.expect_event(NULL)$$,
	$$durable.expect_event('')$$,
	$$durable.wait_for_event(NULL)$$,
	$$durable.wait_for_event('go', '-1 s')$$,
	$$durable.wait_for_event('go', '0 s')$$,
	$$durable.await(NULL)$$,
	$$durable.await_all(VARIADIC NULL::durable.task[])$$,
	$$durable.await_all(ARRAY[NULL::durable.task])$$,
	$$durable.await_all(ARRAY[1, 2])$$,
	$$durable.await_any('{}'::durable.task[])$$,
	$$durable.await_any(ARRAY['a', 'b'])$$,
	$$durable.send_event(NULL, 'go')$$,
	$$durable.send_event('', 'go')$$,
	$$durable.send_event('taken', NULL)$$,
	$$durable.send_event('taken', '')$$,
	$$durable.continue_as_new('1', keep_events => NULL)$$,
	$$durable.task_id()$$,
	$$durable.attempt()$$,
	$$durable.log_message(NULL)$$,
	$$durable.log_message('x', NULL)$$,
	$$durable.log_message('x', 'shout')$$
	]) WITH ORDINALITY AS x(e, n);
SELECT durable.run_until_idle() > 0 AS ran;
\x on
SELECT * FROM outcomes;
\x off

-- ---------------------------------------------------------------------------
-- run_until_idle() and run(): by the owner, on their own, and READ COMMITTED
-- ---------------------------------------------------------------------------

CREATE FUNCTION drives() RETURNS bigint LANGUAGE plpgsql AS
$$ BEGIN RETURN durable.run_until_idle(); END $$;
CREATE FUNCTION drives_definer() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS $$ SELECT durable.run_until_idle() $$;
CREATE PROCEDURE drives_too() LANGUAGE plpgsql AS $$ BEGIN CALL durable.run(); END $$;
CREATE TABLE drives_on_insert (a int);
CREATE FUNCTION drives_trigger() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN PERFORM durable.run_until_idle(); RETURN NEW; END $$;
CREATE TRIGGER drives BEFORE INSERT ON drives_on_insert FOR EACH ROW EXECUTE FUNCTION drives_trigger();

SELECT drives();
\echo :SQLSTATE
SELECT drives_definer();
\echo :SQLSTATE
DO $$ BEGIN PERFORM durable.run_until_idle(); END $$;
\echo :SQLSTATE
DO $$ BEGIN CALL durable.run(); END $$;
\echo :SQLSTATE
CALL drives_too();
\echo :SQLSTATE
INSERT INTO drives_on_insert VALUES (1);
\echo :SQLSTATE
BEGIN;
CALL durable.run();
\echo :SQLSTATE
ROLLBACK;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT durable.run_until_idle();
\echo :SQLSTATE
ROLLBACK;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT durable.run_until_idle();
\echo :SQLSTATE
ROLLBACK;
BEGIN READ ONLY;
SELECT durable.run_until_idle();
\echo :SQLSTATE
ROLLBACK;
SET default_transaction_isolation = 'repeatable read';
CALL durable.run();
\echo :SQLSTATE
RESET default_transaction_isolation;
-- In a transaction block it works: all of it commits or rolls back together.
BEGIN;
SELECT durable.start_instance('quick', instance_id => 'in block');
SELECT durable.run_until_idle();
SELECT status FROM durable.instances WHERE instance_id = 'in block';
ROLLBACK;
SELECT count(*) FROM durable.instances WHERE instance_id = 'in block';
-- Prepared statements are statements of their own too.
PREPARE drive AS SELECT durable.run_until_idle();
EXECUTE drive;
DEALLOCATE drive;

-- Another role, even one with more rights, is not the owner.
SET SESSION AUTHORIZATION durable_regress_errors_other;
SELECT durable.run_until_idle(task_hub => 'durable_regress_errors');
\echo :SQLSTATE
RESET SESSION AUTHORIZATION;
SELECT durable.run_until_idle(task_hub => 'durable_regress_errors');
\echo :SQLSTATE
SET ROLE durable_regress_errors;
SELECT durable.run_until_idle();
\echo :SQLSTATE
CALL durable.run();
\echo :SQLSTATE
RESET ROLE;
GRANT durable_regress_errors TO durable_regress_errors_other;
SET SESSION AUTHORIZATION durable_regress_errors_other;
SELECT durable.run_until_idle(task_hub => 'durable_regress_errors');
\echo :SQLSTATE
SET ROLE durable_regress_errors;
SELECT durable.run_until_idle();
\echo :SQLSTATE
RESET ROLE;
RESET SESSION AUTHORIZATION;
REVOKE durable_regress_errors FROM durable_regress_errors_other;

-- ---------------------------------------------------------------------------
-- Hubs
-- ---------------------------------------------------------------------------

SET SESSION AUTHORIZATION durable_regress_errors;
SELECT durable.create_hub('');
\echo :SQLSTATE
SELECT durable.create_hub(repeat('h', 64));
\echo :SQLSTATE
SELECT durable.create_hub(repeat(U&'\00e4', 32));
\echo :SQLSTATE
SELECT durable.create_hub('durable_regress_errors');
\echo :SQLSTATE
SELECT durable.create_hub('not mine', 'durable_regress_errors_other');
\echo :SQLSTATE
SELECT durable.create_hub('not there', 'durable_regress_no_such_role');
\echo :SQLSTATE
SELECT durable.pause_hub('no such hub');
\echo :SQLSTATE
SELECT durable.resume_hub('no such hub');
\echo :SQLSTATE
SELECT durable.adopt_hub('no such hub');
\echo :SQLSTATE
SELECT durable.pause_hub(repeat('h', 64));
\echo :SQLSTATE
SET durable.task_hub = 'no such hub';
SELECT durable.start_instance('quick');
\echo :SQLSTATE
RESET durable.task_hub;
SELECT set_config('durable.task_hub', repeat('h', 64), false);
\echo :SQLSTATE
SELECT durable.grant_usage('durable_regress_errors_other');
\echo :SQLSTATE
SELECT durable.revoke_usage('durable_regress_errors_other');
\echo :SQLSTATE

-- What belongs to another is closed, and a guess of its name tells nothing more.
SET SESSION AUTHORIZATION durable_regress_errors_other;
SELECT durable.start_instance('errors.quick', task_hub => 'durable_regress_errors');
\echo :SQLSTATE
SELECT durable.raise_event('taken', 'go', task_hub => 'durable_regress_errors');
\echo :SQLSTATE
SELECT durable.terminate('taken', task_hub => 'durable_regress_errors');
\echo :SQLSTATE
SELECT durable.suspend('taken', task_hub => 'durable_regress_errors');
\echo :SQLSTATE
SELECT durable.resume('taken', task_hub => 'durable_regress_errors');
\echo :SQLSTATE
SELECT durable.purge('done', task_hub => 'durable_regress_errors');
\echo :SQLSTATE
SELECT durable.wait_for_completion('taken', '0 s', task_hub => 'durable_regress_errors');
\echo :SQLSTATE
SELECT durable.wait_for_start('taken', '0 s', task_hub => 'durable_regress_errors');
\echo :SQLSTATE
SELECT durable.pause_hub('durable_regress_errors');
\echo :SQLSTATE
SELECT durable.resume_hub('durable_regress_errors');
\echo :SQLSTATE
SELECT durable.adopt_hub('durable_regress_errors');
\echo :SQLSTATE
SELECT durable.create_hub('durable_regress_errors');
\echo :SQLSTATE
-- Instances of the same id in another hub are other instances.
SELECT durable.raise_event('taken', 'go');
\echo :SQLSTATE

-- ---------------------------------------------------------------------------
RESET SESSION AUTHORIZATION;
-- The instance that everybody tried to harm.
SELECT status FROM durable.instances WHERE task_hub = 'durable_regress_errors' AND instance_id = 'taken';
SET client_min_messages = warning;
DROP SCHEMA errors CASCADE;
DROP OWNED BY durable_regress_errors, durable_regress_errors_other;
DROP ROLE durable_regress_errors, durable_regress_errors_other;
