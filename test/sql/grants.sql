--
-- Who may use durable: nobody from the start; what is granted, delegated and
-- taken back holds at once, also for what was parsed before, and covers what an
-- update adds.
--
SELECT current_user AS superuser \gset
CREATE ROLE durable_regress_grants_a LOGIN;
CREATE ROLE durable_regress_grants_b LOGIN;
CREATE ROLE durable_regress_grants_c LOGIN;
CREATE ROLE "durable regress Grants ""lead" LOGIN;
CREATE SCHEMA grants;
GRANT ALL ON SCHEMA grants TO durable_regress_grants_a, durable_regress_grants_b, durable_regress_grants_c;
SET search_path = grants;

-- Who may use it, by whom, and is that all?
CREATE VIEW rights AS
SELECT a.grantee::regrole, a.grantor = n.nspowner AS by_owner, CASE WHEN a.grantor <> n.nspowner THEN a.grantor::regrole END AS grantor,
	a.privilege_type, a.is_grantable
FROM pg_namespace n, aclexplode(n.nspacl) a WHERE n.nspname LIKE 'durable%' AND a.grantee <> n.nspowner;

-- Nothing by default.
TABLE rights;
SET SESSION AUTHORIZATION durable_regress_grants_a;
SELECT durable.start_instance('x');
SELECT * FROM durable.instances;
SELECT durable.grant_usage('durable_regress_grants_a');
-- A view of a superuser that uses durable is no way in either.
RESET SESSION AUTHORIZATION;
CREATE VIEW shown AS SELECT * FROM durable.instances;
CREATE FUNCTION offered() RETURNS text LANGUAGE sql RETURN durable.start_instance('x');
GRANT SELECT ON shown TO PUBLIC;
SET SESSION AUTHORIZATION durable_regress_grants_a;
SELECT * FROM grants.shown;
SELECT grants.offered();
\echo :SQLSTATE

-- ---------------------------------------------------------------------------
-- Granted, and taken back at once
-- ---------------------------------------------------------------------------

RESET SESSION AUTHORIZATION;
SELECT durable.grant_usage('durable_regress_grants_a');
SELECT durable.grant_usage('durable_regress_grants_a');
TABLE rights;
SET SESSION AUTHORIZATION durable_regress_grants_a;
CREATE FUNCTION grants.flow(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$ BEGIN RETURN durable.call_sql('SELECT 1 AS one'); END $$;
SELECT durable.start_instance('flow', instance_id => 'first');
SELECT durable.run_until_idle() > 0 AS ran;
-- What names durable once and is used later: prepared statements, views, functions with a parsed body, cached plans.
PREPARE look AS SELECT instance_id FROM durable.instances;
PREPARE begin_one AS SELECT durable.start_instance('flow', instance_id => 'prepared');
PREPARE drive AS SELECT durable.run_until_idle();
CREATE VIEW grants.mine AS SELECT instance_id, status FROM durable.instances;
CREATE FUNCTION grants.begin_atomic() RETURNS text LANGUAGE sql RETURN durable.start_instance('flow', instance_id => 'atomic');
CREATE FUNCTION grants.signal_atomic() RETURNS void LANGUAGE sql RETURN durable.raise_event('first', 'x');
CREATE FUNCTION grants.hub_atomic() RETURNS void LANGUAGE sql RETURN durable.create_hub('grants of a');
CREATE FUNCTION grants.pause_atomic() RETURNS void LANGUAGE sql RETURN durable.pause_hub('durable_regress_grants_a');
CREATE FUNCTION grants.wait_atomic() RETURNS text LANGUAGE sql BEGIN ATOMIC SELECT status FROM durable.wait_for_completion('first', '0 s'); END;
CREATE FUNCTION grants.count_cached() RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN RETURN (SELECT count(*) FROM durable.instances); END $$;
EXECUTE look;
TABLE grants.mine;
SELECT grants.count_cached(), grants.wait_atomic();
SELECT durable.start_instance('flow', instance_id => 'waits for better times');
SET ROLE NONE;
-- The session stays the same: RESET gives back the superuser, who takes the right away.
RESET SESSION AUTHORIZATION;
SELECT durable.revoke_usage('durable_regress_grants_a');
TABLE rights;
SET SESSION AUTHORIZATION durable_regress_grants_a;
EXECUTE look;
EXECUTE begin_one;
EXECUTE drive;
TABLE grants.mine;
SELECT grants.begin_atomic();
SELECT grants.signal_atomic();
SELECT grants.hub_atomic();
SELECT grants.pause_atomic();
SELECT grants.wait_atomic();
SELECT grants.count_cached();
SELECT durable.start_instance('flow');
-- It is there again as soon as it is granted, with all that was there.
RESET SESSION AUTHORIZATION;
SELECT durable.grant_usage('durable_regress_grants_a');
SET SESSION AUTHORIZATION durable_regress_grants_a;
SELECT grants.begin_atomic();
EXECUTE begin_one;
EXECUTE drive;
SELECT * FROM grants.mine ORDER BY 1;
DEALLOCATE ALL;

-- By membership, too; and a plain GRANT is the same.
RESET SESSION AUTHORIZATION;
GRANT USAGE ON SCHEMA durable TO durable_regress_grants_c;
GRANT durable_regress_grants_c TO durable_regress_grants_b;
SET SESSION AUTHORIZATION durable_regress_grants_b;
SELECT count(*) FROM durable.instances;
RESET SESSION AUTHORIZATION;
-- Revoking says when it is not enough.
SELECT durable.revoke_usage('durable_regress_grants_b');
SELECT durable.revoke_usage('durable_regress_grants_c');
SET SESSION AUTHORIZATION durable_regress_grants_b;
SELECT count(*) FROM durable.instances;
RESET SESSION AUTHORIZATION;
REVOKE durable_regress_grants_c FROM durable_regress_grants_b;

-- ---------------------------------------------------------------------------
-- Delegated
-- ---------------------------------------------------------------------------

SELECT durable.grant_usage('"durable regress Grants ""lead"', with_grant_option => true);
SET SESSION AUTHORIZATION "durable regress Grants ""lead";
SELECT durable.grant_usage('durable_regress_grants_b');
SELECT durable.grant_usage('durable_regress_grants_c', true);
TABLE grants.rights;
-- What somebody else has granted it cannot take back.
SELECT durable.revoke_usage('durable_regress_grants_a');
SELECT durable.revoke_usage('durable_regress_grants_c');
SET SESSION AUTHORIZATION durable_regress_grants_b;
SELECT count(*) FROM durable.instances;
-- Only with grant option.
SELECT durable.grant_usage('durable_regress_grants_c');
SELECT durable.revoke_usage('durable_regress_grants_a');
-- A superuser takes back what others have granted.
RESET SESSION AUTHORIZATION;
SELECT durable.revoke_usage('durable_regress_grants_b');
SELECT current_user = :'superuser' AS still_superuser, current_setting('role') AS role;
TABLE rights;
SET SESSION AUTHORIZATION durable_regress_grants_b;
SELECT count(*) FROM durable.instances;
-- Who has passed it on loses it only with those who got it.
RESET SESSION AUTHORIZATION;
SELECT durable.grant_usage('durable_regress_grants_b');
SET SESSION AUTHORIZATION "durable regress Grants ""lead";
SELECT durable.grant_usage('durable_regress_grants_c');
RESET SESSION AUTHORIZATION;
SELECT durable.revoke_usage('"durable regress Grants ""lead"');
\echo :SQLSTATE
SELECT durable.revoke_usage('"durable regress Grants ""lead"', cascade => true);
TABLE rights;

-- ---------------------------------------------------------------------------
-- What an update adds is covered, for those who have the right already
-- ---------------------------------------------------------------------------

BEGIN;
CREATE FUNCTION durable.added() RETURNS text LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$ SELECT 'function'::text $$;
CREATE VIEW durable.added_view WITH (security_barrier) AS SELECT 'view' AS text WHERE (SELECT durable_store.may_use());
GRANT SELECT ON durable.added_view TO PUBLIC;	-- lint.sql sees to it
ALTER EXTENSION durable ADD FUNCTION durable.added();
ALTER EXTENSION durable ADD VIEW durable.added_view;
SET LOCAL SESSION AUTHORIZATION durable_regress_grants_b;
SELECT durable.added(), (SELECT text FROM durable.added_view);
SAVEPOINT s;
SET LOCAL SESSION AUTHORIZATION durable_regress_grants_c;
SELECT durable.added();
ROLLBACK TO s;
SET LOCAL SESSION AUTHORIZATION durable_regress_grants_c;
SELECT * FROM durable.added_view;
ROLLBACK;

-- ---------------------------------------------------------------------------
-- Hubs of superusers
-- ---------------------------------------------------------------------------

CREATE ROLE durable_regress_grants_super LOGIN SUPERUSER;
SELECT durable.revoke_usage('durable_regress_grants_super');
SHOW durable.allow_superuser_hubs;
-- The role that initdb made may, and is told once what that means.
CREATE FUNCTION super_flow(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$ BEGIN RETURN durable.call_sql('SELECT usesuper FROM pg_user WHERE usename = current_user'); END $$;
\set VERBOSITY sqlstate
SELECT durable.start_instance('super_flow', instance_id => 's1');
\set VERBOSITY default
SELECT durable.start_instance('super_flow', instance_id => 's2');
SELECT durable.run_until_idle();
SELECT instance_id, status, output FROM durable.instances WHERE task_hub = :'superuser' ORDER BY 1;
-- Others may not, unless it is on.
SET SESSION AUTHORIZATION durable_regress_grants_super;
SET search_path = grants;
SELECT durable.start_instance('super_flow');
\echo :SQLSTATE
SELECT durable.create_hub('of a superuser');
SELECT count(*) FROM durable.queues WHERE owner = 'durable_regress_grants_super'::regrole;
-- In the hubs of ordinary roles they do as they like.
SELECT durable.start_instance('flow', instance_id => 'by a superuser', task_hub => 'durable_regress_grants_a');
SET durable.allow_superuser_hubs = on;
SELECT durable.start_instance('super_flow', instance_id => 's3');
SELECT durable.run_until_idle() > 0 AS ran;
SELECT durable.start_instance('super_flow', instance_id => 's4');
-- Off: for all superusers, also where the hub and instances are there already. Looking and ending are allowed.
RESET SESSION AUTHORIZATION;
SET durable.allow_superuser_hubs = off;
\set VERBOSITY sqlstate
SELECT durable.start_instance('super_flow');
SELECT durable.restart('s1');
SELECT durable.run_until_idle();
CALL durable.run();
\set VERBOSITY default
SET SESSION AUTHORIZATION durable_regress_grants_super;
SELECT durable.run_until_idle();
SELECT instance_id, status FROM durable.instances WHERE task_hub = 'durable_regress_grants_super' ORDER BY 1;
SELECT durable.terminate('s4');
SELECT instance_id, status FROM durable.instances WHERE task_hub = 'durable_regress_grants_super' ORDER BY 1;
-- A role that becomes a superuser takes its hub with it.
RESET SESSION AUTHORIZATION;
ALTER ROLE durable_regress_grants_a SUPERUSER;
SET SESSION AUTHORIZATION durable_regress_grants_a;
SELECT durable.run_until_idle();
RESET SESSION AUTHORIZATION;
ALTER ROLE durable_regress_grants_a NOSUPERUSER;
SET SESSION AUTHORIZATION durable_regress_grants_a;
SELECT durable.run_until_idle() > 0 AS ran;
-- An ordinary role cannot change it.
SET durable.allow_superuser_hubs = on;
RESET SESSION AUTHORIZATION;
RESET durable.allow_superuser_hubs;

SELECT count(*) FROM (SELECT durable.purge(instance_id, task_hub => task_hub) FROM durable.instances WHERE task_hub LIKE 'durable_regress_grants%' OR task_hub = :'superuser') x;
DELETE FROM durable_store.hubs WHERE task_hub LIKE 'durable_regress_grants%' OR task_hub = :'superuser';
SET client_min_messages = warning;
DROP SCHEMA grants CASCADE;
DROP OWNED BY durable_regress_grants_a, durable_regress_grants_b, durable_regress_grants_c, "durable regress Grants ""lead";
DROP ROLE durable_regress_grants_a, durable_regress_grants_b, durable_regress_grants_c, durable_regress_grants_super, "durable regress Grants ""lead";
