--
-- Attacks on the hubs of others, by a role that may use durable: to learn
-- which instances they have, and to move them. Each says what it would gain.
-- What needs a worker is in test/t/020_attacks.pl.
--
SELECT current_user AS superuser \gset
CREATE ROLE durable_regress_ids_victim LOGIN;
CREATE ROLE durable_regress_ids_thief LOGIN;
SELECT durable.grant_usage('durable_regress_ids_victim'), durable.grant_usage('durable_regress_ids_thief');
CREATE SCHEMA ids AUTHORIZATION durable_regress_ids_victim;
GRANT USAGE ON SCHEMA ids TO durable_regress_ids_thief;
SET search_path = ids;
SET SESSION AUTHORIZATION durable_regress_ids_victim;
CREATE FUNCTION waits(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$ BEGIN PERFORM durable.call_sql('SELECT 1'); RETURN durable.wait_for_event('go'); END $$;
SELECT durable.create_hub('victim');
SET durable.task_hub = 'victim';
SELECT durable.start_instance('waits', '"secret"', instance_id => 'there');
SELECT durable.run_until_idle();
RESET durable.task_hub;

SET SESSION AUTHORIZATION durable_regress_ids_thief;
SELECT durable.start_instance('waits', instance_id => 'mine');

-- ---------------------------------------------------------------------------
-- attack: every call on an id of another hub, one that exists and one that
-- does not. Gain: the ids, statuses and payloads of others, or their end.
-- The answers must not differ.
-- ---------------------------------------------------------------------------
CREATE FUNCTION pg_temp.answer(call text, id text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text;
	detail text;
	hint text;
	context text;
BEGIN
	EXECUTE format(call, id) INTO result;
	RETURN 'returned ' || coalesce(result, 'null');
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
	RETURN replace(concat_ws(' ', SQLSTATE, SQLERRM, detail, hint), id, '<id>');
END $$;

SELECT call, CASE WHEN there = missing THEN there ELSE 'THEY DIFFER: ' || there || ' / ' || missing END AS answer
FROM (VALUES
	($$durable.start_instance('ids.waits', instance_id => %L, task_hub => 'victim')$$),
	($$durable.start_instance('ids.waits', instance_id => %L, if_exists => 'skip', task_hub => 'victim')$$),
	($$durable.start_instance('ids.waits', instance_id => %L, replace_statuses => '{running,terminated}', task_hub => 'victim')$$),
	($$durable.start_instance('ids.waits', instance_id => %L, event_name => 'go', task_hub => 'victim')$$),
	($$durable.raise_event(%L, 'go', task_hub => 'victim')$$),
	($$durable.terminate(%L, task_hub => 'victim')$$),
	($$durable.suspend(%L, task_hub => 'victim')$$),
	($$durable.resume(%L, task_hub => 'victim')$$),
	($$durable.rewind(%L, task_hub => 'victim')$$),
	($$durable.restart(%L, task_hub => 'victim')$$),
	($$durable.restart(%L, 'mine', task_hub => 'victim')$$),
	($$durable.restart('mine', %L, task_hub => 'victim')$$),
	($$durable.purge(%L, task_hub => 'victim')$$),
	($$durable.wait_for_completion(%L, '0 s', task_hub => 'victim')$$),
	($$durable.wait_for_start(%L, '0 s', task_hub => 'victim')$$),
	-- in the own hub: an id that another one uses is as free as any
	($$durable.raise_event(%L, 'go')$$),
	($$durable.terminate(%L)$$),
	($$durable.suspend(%L)$$),
	($$durable.resume(%L)$$),
	($$durable.rewind(%L)$$),
	($$durable.restart(%L)$$),
	($$durable.purge(%L)$$),
	($$durable.wait_for_completion(%L, '0 s')$$),
	($$durable.wait_for_start(%L, '0 s')$$),
	($$count(*) FROM durable.instances WHERE instance_id = %L$$),
	($$count(*) FROM durable.history WHERE instance_id = %L$$),
	($$count(*) FROM durable.messages WHERE instance_id = %L$$),
	($$count(*) FROM durable.activities WHERE instance_id = %L$$)
) calls(call), LATERAL (SELECT pg_temp.answer('SELECT ' || call, 'there') AS there, pg_temp.answer('SELECT ' || call, 'gone!') AS missing) a;

-- attack: taking an id that another hub uses. Gain: an answer that tells it is taken, or the other instance replaced.
SELECT durable.start_instance('waits', instance_id => 'there');
SELECT durable.start_instance('waits', instance_id => 'there', if_exists => 'skip', task_hub => 'durable_regress_ids_thief');
SELECT durable.terminate('there');
SELECT durable.purge('there');

-- attack: from inside an orchestrator. Gain: events, children and ends for instances of other hubs.
SET SESSION AUTHORIZATION durable_regress_ids_victim;
GRANT CREATE ON SCHEMA ids TO durable_regress_ids_thief;
SET SESSION AUTHORIZATION durable_regress_ids_thief;
CREATE FUNCTION reaches_out(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	PERFORM durable.send_event('there', 'go', '"stolen"');
	BEGIN
		PERFORM durable.call_sql('SELECT durable.terminate($1, task_hub => $2)', 'there'::text, 'victim'::text);
	EXCEPTION WHEN insufficient_privilege THEN
		PERFORM durable.set_custom_status(to_jsonb(SQLERRM));
	END;
	RETURN to_jsonb(durable.start_detached('ids.waits', instance_id => 'there'));
END $$;
SELECT durable.start_instance('reaches_out', instance_id => 'reaching');
SELECT durable.run_until_idle() > 0 AS ran;
SELECT task_hub, instance_id, status, output, custom_status FROM durable.instances ORDER BY instance_id;

-- attack: steering another's hub. Gain: it stands still, or another cluster's copy runs.
SELECT durable.pause_hub('victim');
SELECT durable.resume_hub('victim');
SELECT durable.adopt_hub('victim');
SELECT durable.purge_finished(task_hub => 'victim');
SELECT durable.run_until_idle(task_hub => 'victim');
CALL durable.run(task_hub => 'victim');

-- attack: a hub for somebody else. Gain: code that runs as that role.
SELECT durable.create_hub('for a powerful role', 'pg_execute_server_program');
SELECT durable.create_hub('for the victim', 'durable_regress_ids_victim');
SELECT durable.create_hub('for nobody', 0);

-- attack: taking the name of another role's default hub, for good or while a
-- transaction lasts. Gain: that role cannot start anything, or waits.
SELECT durable.create_hub('durable_regress_ids_victim');
SET SESSION AUTHORIZATION durable_regress_ids_victim;
SELECT durable.start_instance('waits', instance_id => 'in the default hub');
RESET SESSION AUTHORIZATION;
-- who may act for the role may make it
SELECT durable.create_hub('durable_regress_ids_thief');
CREATE ROLE durable_regress_ids_other LOGIN;
SELECT durable.create_hub('durable_regress_ids_other', 'durable_regress_ids_other');

-- attack: a SECURITY DEFINER function of the victim, and settings of the
-- caller. Gain: the victim's call goes to a hub the caller chose.
SET SESSION AUTHORIZATION durable_regress_ids_victim;
CREATE FUNCTION service(id text) RETURNS text LANGUAGE sql SECURITY DEFINER SET search_path = ids, pg_temp AS
$$ SELECT durable.start_instance('waits', instance_id => id) $$;
SET SESSION AUTHORIZATION durable_regress_ids_thief;
SET durable.task_hub = 'victim';
SELECT service('by SET');
SELECT set_config('durable.task_hub', 'victim', false);
SELECT service('by set_config()');
BEGIN;
SET LOCAL durable.task_hub = 'victim';
SELECT service('by SET LOCAL');
COMMIT;
RESET durable.task_hub;
CREATE FUNCTION pg_temp.by_clause(id text) RETURNS text LANGUAGE sql SET durable.task_hub = 'victim' AS $$ SELECT ids.service(id) $$;
SELECT pg_temp.by_clause('by a SET clause');
SET durable.task_hub = 'durable_regress_ids_thief';
SELECT service('by a hub of the caller');
RESET durable.task_hub;
-- its own calls stay its own
SET durable.task_hub = 'victim';
SELECT durable.start_instance('waits');
RESET durable.task_hub;
RESET SESSION AUTHORIZATION;
SELECT task_hub, instance_id FROM durable.instances WHERE instance_id LIKE 'by %' ORDER BY instance_id;

-- attack: a superuser who does the work of a hub by SET SESSION AUTHORIZATION
-- runs code that wants to turn back. Gain: superuser.
SET SESSION AUTHORIZATION durable_regress_ids_thief;
-- unchecked: what is refused there must not be all that protects
CREATE FUNCTION turns_back(input jsonb) RETURNS jsonb LANGUAGE plpgsql SET durable.orchestrator_checks = off AS $$
BEGIN
	EXECUTE input ->> 0;
	RETURN to_jsonb(concat_ws(' ', current_user, session_user, current_setting('is_superuser')));
END $$;
CREATE FUNCTION turns_back_in_activity(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$ BEGIN RETURN durable.call_activity('ids.turns_back', input); END $$;
SELECT durable.start_instance(o, jsonb_build_array(attack), instance_id => o || ': ' || attack)
FROM (VALUES ('turns_back'), ('turns_back_in_activity')) o(o),
	(VALUES ('RESET SESSION AUTHORIZATION'), ('RESET ROLE'), ('SET SESSION AUTHORIZATION DEFAULT'), ('SET ROLE pg_execute_server_program'), ('RESET ALL')) a(attack);
SELECT durable.run_until_idle() > 0 AS ran;
SELECT instance_id, status, output, failure ->> 'sqlstate' AS sqlstate, failure ->> 'errorMessage' AS message
FROM durable.instances WHERE instance_id LIKE 'turns\_back%' ORDER BY instance_id;
SELECT current_user, session_user, current_setting('is_superuser');
-- outside it is as ever
RESET SESSION AUTHORIZATION;
SELECT current_user = :'superuser' AS is_back;

-- ---------------------------------------------------------------------------
-- What is left of the victim's
-- ---------------------------------------------------------------------------
SELECT instance_id, status, output, generation FROM durable.instances WHERE task_hub = 'victim';
SELECT task_hub, state FROM durable.queues WHERE task_hub = 'victim';

SET client_min_messages = warning;
-- No hub is left for the tests that list all.
DELETE FROM durable_store.activity_queue WHERE task_hub = 'victim' OR task_hub ~ '^durable_regress_ids';
DELETE FROM durable_store.inbox WHERE task_hub = 'victim' OR task_hub ~ '^durable_regress_ids';
DELETE FROM durable_store.history WHERE task_hub = 'victim' OR task_hub ~ '^durable_regress_ids';
DELETE FROM durable_store.instances WHERE task_hub = 'victim' OR task_hub ~ '^durable_regress_ids';
DELETE FROM durable_store.hubs WHERE task_hub = 'victim' OR task_hub ~ '^durable_regress_ids';
DROP SCHEMA ids CASCADE;
DROP OWNED BY durable_regress_ids_victim, durable_regress_ids_thief;
DROP ROLE durable_regress_ids_victim, durable_regress_ids_thief, durable_regress_ids_other;
