--
-- Task hubs: whose they are, which one a call means, and who sees what.
--
SELECT current_user AS superuser \gset
CREATE ROLE durable_regress_hubs_a LOGIN;
CREATE ROLE durable_regress_hubs_b LOGIN;
CREATE ROLE durable_regress_hubs_group;
CREATE ROLE durable_regress_hubs_none LOGIN;

-- Nobody can use durable before it is granted.
SET SESSION AUTHORIZATION durable_regress_hubs_none;
SELECT durable.start_instance('x');
SELECT * FROM durable.instances;
RESET SESSION AUTHORIZATION;
SELECT durable.grant_usage('durable_regress_hubs_a'), durable.grant_usage('durable_regress_hubs_b'),
	durable.grant_usage('durable_regress_hubs_group');

CREATE SCHEMA hubs AUTHORIZATION durable_regress_hubs_a;
GRANT USAGE ON SCHEMA hubs TO durable_regress_hubs_b, durable_regress_hubs_group;
SET search_path = hubs;
SET SESSION AUTHORIZATION durable_regress_hubs_a;
-- Who runs it?
CREATE FUNCTION who(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$ BEGIN RETURN durable.call_sql('SELECT current_user, session_user'); END $$;
CREATE FUNCTION waits(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$ BEGIN PERFORM durable.create_timer('1 hour'); PERFORM durable.call_sql('SELECT 1'); RETURN durable.wait_for_event('go'); END $$;

-- ---------------------------------------------------------------------------
-- The hub of a call
-- ---------------------------------------------------------------------------

-- The default hub has the name of the role and is made at first use.
SELECT count(*) FROM durable.queues;
SELECT durable.start_instance('who', instance_id => 'a1');
SELECT task_hub, owner, state, ready_turns FROM durable.queues;
-- Another one, by name, by setting, and by argument before setting.
SELECT durable.create_hub('a two');
SELECT durable.create_hub('a three', 'durable_regress_hubs_a');
SELECT durable.start_instance('who', instance_id => 'a2', task_hub => 'a two');
SET durable.task_hub = 'a three';
SELECT durable.start_instance('who', instance_id => 'a3');
SELECT durable.start_instance('who', instance_id => 'a4', task_hub => 'a two');
RESET durable.task_hub;
SELECT task_hub, instance_id FROM durable.instances ORDER BY 1, 2;
-- Each hub is run on its own.
SELECT durable.run_until_idle();
SELECT task_hub, instance_id, status, output FROM durable.instances ORDER BY 1, 2;
SELECT durable.run_until_idle(task_hub => 'a two');
SET durable.task_hub = 'a three';
SELECT durable.run_until_idle();
RESET durable.task_hub;
SELECT task_hub, instance_id, status, output FROM durable.instances ORDER BY 1, 2;
-- The same id in two hubs is two instances.
SELECT durable.start_instance('waits', instance_id => 'same');
SELECT durable.start_instance('waits', instance_id => 'same', task_hub => 'a two');
SELECT durable.terminate('same', 'this one', task_hub => 'a two');
SELECT task_hub, status, output FROM durable.instances WHERE instance_id = 'same' ORDER BY 1;

-- ---------------------------------------------------------------------------
-- Pause
-- ---------------------------------------------------------------------------

SELECT durable.pause_hub('durable_regress_hubs_a');
SELECT durable.pause_hub('durable_regress_hubs_a');
SELECT task_hub, state FROM durable.queues ORDER BY 1;
-- Clients go on to start, raise and look ...
SELECT durable.start_instance('who', instance_id => 'a5');
SELECT durable.raise_event('same', 'go', '"early"');
SELECT status FROM durable.wait_for_completion('a5', timeout => '0 s');
SELECT instance_id, event_type FROM durable.messages WHERE task_hub = 'durable_regress_hubs_a' ORDER BY message_id;
-- ... but nothing runs: not in a session either.
SELECT durable.run_until_idle();
SELECT instance_id, status FROM durable.instances WHERE instance_id = 'a5';
-- Others are not concerned.
SELECT durable.start_instance('who', instance_id => 'a6', task_hub => 'a two');
SELECT durable.run_until_idle(task_hub => 'a two') > 0 AS ran;
SELECT durable.resume_hub('durable_regress_hubs_a');
SELECT durable.resume_hub('durable_regress_hubs_a');
SELECT durable.run_until_idle() > 0 AS ran;
SELECT instance_id, status, output FROM durable.instances WHERE task_hub = 'durable_regress_hubs_a' ORDER BY 1;
-- A pause that rolls back was none.
BEGIN;
SELECT durable.pause_hub('a two');
ROLLBACK;
SELECT task_hub, state FROM durable.queues WHERE state = 'paused';

-- ---------------------------------------------------------------------------
-- Who sees and does what
-- ---------------------------------------------------------------------------

SELECT durable.start_instance('waits', instance_id => 'secret', input => '"of a"');
SELECT durable.run_until_idle() > 0 AS ran;
SELECT durable.start_instance('who', instance_id => 'ready');
-- The tables are closed, the functions behind the views too.
SELECT count(*) FROM durable_store.instances;
SELECT count(*) FROM durable_store.hubs;
INSERT INTO durable_store.inbox DEFAULT VALUES;
SELECT nextval('durable_store.message_id');
SELECT durable_store.preloaded();
UPDATE durable.instances SET status = 'completed';
DELETE FROM durable.messages;

SET SESSION AUTHORIZATION durable_regress_hubs_b;
SELECT durable.start_instance('hubs.who', instance_id => 'b1');
SELECT task_hub, instance_id FROM durable.instances ORDER BY 1, 2;
SELECT DISTINCT task_hub FROM durable.messages;
SELECT durable.run_until_idle();
SELECT task_hub, instance_id, output FROM durable.instances;
SELECT DISTINCT task_hub FROM durable.history;
SELECT count(*) FROM durable.activities;
SELECT count(*) FROM durable.messages;
SELECT task_hub, owner FROM durable.queues;
SELECT task_hub FROM durable.workers WHERE task_hub IS NOT NULL;
-- A function of the reader gets no row of others, however cheap it says it is.
CREATE FUNCTION pg_temp.spy(text) RETURNS boolean LANGUAGE plpgsql COST 0.0001 AS
$$ BEGIN RAISE NOTICE 'saw %', $1; RETURN false; END $$;
SELECT instance_id FROM durable.instances WHERE pg_temp.spy(instance_id);
SELECT event_type FROM durable.history WHERE event_type = 'ExecutionStarted' AND pg_temp.spy(instance_id);
SELECT event_type FROM durable.messages WHERE pg_temp.spy(instance_id);
SELECT name FROM durable.activities WHERE pg_temp.spy(instance_id);
-- An error tells nothing either.
SELECT count(*) FROM durable.instances WHERE 1 / (CASE WHEN instance_id = 'secret' THEN 0 ELSE 1 END) = 1;

-- Names are first come, first served; the owner counts, not the name.
SELECT durable.create_hub('durable_regress_hubs_c');
RESET SESSION AUTHORIZATION;
CREATE ROLE durable_regress_hubs_c LOGIN;
SELECT durable.grant_usage('durable_regress_hubs_c');
GRANT USAGE ON SCHEMA hubs TO durable_regress_hubs_c;
SET SESSION AUTHORIZATION durable_regress_hubs_c;
SELECT durable.start_instance('hubs.who');
SELECT durable.create_hub('of c');
SET durable.task_hub = 'of c';
SELECT durable.start_instance('hubs.who', instance_id => 'c1');
SELECT durable.run_until_idle();
SELECT task_hub, instance_id, output FROM durable.instances;
RESET durable.task_hub;

-- Who makes the hub of his own name himself has his default hub with it.
RESET SESSION AUTHORIZATION;
SELECT durable.grant_usage('durable_regress_hubs_none');
GRANT USAGE ON SCHEMA hubs TO durable_regress_hubs_none;
SET SESSION AUTHORIZATION durable_regress_hubs_none;
SELECT durable.create_hub('durable_regress_hubs_none');
SELECT durable.start_instance('hubs.who', instance_id => 'n1');
SELECT durable.run_until_idle();
SELECT task_hub, instance_id FROM durable.instances;

-- A hub of a group belongs to its members: they steer it, and need not run it.
RESET SESSION AUTHORIZATION;
GRANT durable_regress_hubs_group TO durable_regress_hubs_b;
SET SESSION AUTHORIZATION durable_regress_hubs_b;
-- No worker could log in as the group before PostgreSQL 17: 006_durability.pl tests the warning.
SET client_min_messages = error;
SELECT durable.create_hub('of the group', 'durable_regress_hubs_group');
RESET client_min_messages;
SELECT durable.start_instance('hubs.who', instance_id => 'g1', task_hub => 'of the group');
SELECT task_hub, instance_id, status FROM durable.instances ORDER BY 1, 2;
SELECT durable.run_until_idle(task_hub => 'of the group');
SELECT durable.pause_hub('of the group');
SELECT durable.resume_hub('of the group');
-- Without inheritance a member may still act for the group, but does not see its rows.
-- (Since PostgreSQL 16 this is settled by the GRANT.)
RESET SESSION AUTHORIZATION;
REVOKE durable_regress_hubs_group FROM durable_regress_hubs_b;
ALTER ROLE durable_regress_hubs_b NOINHERIT;
GRANT durable_regress_hubs_group TO durable_regress_hubs_b;
SET SESSION AUTHORIZATION durable_regress_hubs_b;
SELECT task_hub, instance_id FROM durable.instances ORDER BY 1, 2;
SELECT durable.raise_event('g1', 'go', task_hub => 'of the group');
RESET SESSION AUTHORIZATION;
REVOKE durable_regress_hubs_group FROM durable_regress_hubs_b;
ALTER ROLE durable_regress_hubs_b INHERIT;
SET SESSION AUTHORIZATION durable_regress_hubs_b;
SELECT durable.raise_event('g1', 'go', task_hub => 'of the group');

-- ---------------------------------------------------------------------------
-- durable.task_hub in functions that run as another role
-- ---------------------------------------------------------------------------

RESET SESSION AUTHORIZATION;
GRANT CREATE ON SCHEMA hubs TO durable_regress_hubs_b;
SET SESSION AUTHORIZATION durable_regress_hubs_b;
-- b offers a service: it starts what b wants in the hub that b means.
CREATE FUNCTION hubs.service(id text) RETURNS text LANGUAGE sql SECURITY DEFINER SET search_path = hubs, pg_temp AS
$$ SELECT durable.start_instance('who', instance_id => id) $$;
CREATE FUNCTION hubs.service_with_hub(id text) RETURNS text LANGUAGE sql SECURITY DEFINER
	SET search_path = hubs, pg_temp SET durable.task_hub = 'b two' AS
$$ SELECT durable.start_instance('who', instance_id => id) $$;
SELECT durable.create_hub('b two');
SET SESSION AUTHORIZATION durable_regress_hubs_a;
-- The caller's setting is no way to choose another hub of b.
SET durable.task_hub = 'b two';
SELECT hubs.service('by service');
SELECT hubs.service_with_hub('by service with hub');
RESET durable.task_hub;
SET SESSION AUTHORIZATION durable_regress_hubs_b;
SELECT task_hub, instance_id FROM durable.instances WHERE instance_id LIKE 'by service%' ORDER BY 1, 2;
-- A setting that comes with the role is the role's own.
RESET SESSION AUTHORIZATION;
ALTER ROLE durable_regress_hubs_b SET durable.task_hub = 'b two';
\c - durable_regress_hubs_b
SHOW durable.task_hub;
SELECT durable.start_instance('hubs.who', instance_id => 'from role setting');
SELECT task_hub FROM durable.instances WHERE instance_id = 'from role setting';
\c - :superuser
ALTER ROLE durable_regress_hubs_b RESET durable.task_hub;
SET search_path = hubs;

-- ---------------------------------------------------------------------------
-- Copies, lost owners, and taking usage back
-- ---------------------------------------------------------------------------

-- What a copy of the database would look like: the hub is bound to another one.
UPDATE durable_store.hubs SET system_identifier = 1 WHERE task_hub = 'a two';
SET SESSION AUTHORIZATION durable_regress_hubs_a;
SELECT durable.start_instance('who', instance_id => 'in a copy', task_hub => 'a two');
-- the detail has numbers of this server
\set VERBOSITY terse
SELECT durable.run_until_idle(task_hub => 'a two');
\set VERBOSITY default
\echo :SQLSTATE
SELECT durable.adopt_hub('a two');
SELECT durable.run_until_idle(task_hub => 'a two');

-- A role that is made again is another one: it inherits nothing.
RESET SESSION AUTHORIZATION;
DROP OWNED BY durable_regress_hubs_c;
DROP ROLE durable_regress_hubs_c;
CREATE ROLE durable_regress_hubs_c LOGIN;
SELECT durable.grant_usage('durable_regress_hubs_c');
SET SESSION AUTHORIZATION durable_regress_hubs_c;
SELECT count(*) FROM durable.instances;
SELECT durable.raise_event('c1', 'go', task_hub => 'of c');
-- The superuser sees whose it was, and that it is nobody's now.
RESET SESSION AUTHORIZATION;
SELECT task_hub, owner::text ~ '^\d+$' AS owner_is_gone FROM durable.queues ORDER BY task_hub COLLATE "C";

SELECT durable.revoke_usage('durable_regress_hubs_a');
SET SESSION AUTHORIZATION durable_regress_hubs_a;
SELECT durable.start_instance('who');
SELECT count(*) FROM durable.instances;
RESET SESSION AUTHORIZATION;

SET client_min_messages = warning;
DROP SCHEMA hubs CASCADE;
DROP OWNED BY durable_regress_hubs_a, durable_regress_hubs_b, durable_regress_hubs_c, durable_regress_hubs_group, durable_regress_hubs_none;
DROP ROLE durable_regress_hubs_a, durable_regress_hubs_b, durable_regress_hubs_c, durable_regress_hubs_group, durable_regress_hubs_none;
