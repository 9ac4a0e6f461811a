--
-- Attacks on what lies behind the functions and views, by a role that may use
-- durable. Each says what it would gain.
--
CREATE ROLE durable_regress_rights_victim LOGIN;
CREATE ROLE durable_regress_rights_thief LOGIN;
SELECT durable.grant_usage('durable_regress_rights_victim'), durable.grant_usage('durable_regress_rights_thief');
CREATE SCHEMA rights AUTHORIZATION durable_regress_rights_victim;
GRANT ALL ON SCHEMA rights TO durable_regress_rights_thief;
SET search_path = rights;
SET SESSION AUTHORIZATION durable_regress_rights_victim;
CREATE FUNCTION waits(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$ BEGIN PERFORM durable.schedule_activity('rights.waits', '"in the queue"'); PERFORM durable.set_custom_status('"s3cret"'::jsonb); RETURN durable.wait_for_event('go'); END $$;
SELECT durable.start_instance('waits', '"s3cret"', instance_id => 's3cret');
SELECT durable.run_until_idle() > 0 AS ran;
SELECT durable.raise_event('s3cret', 'go', '"s3cret"');
SELECT durable.start_instance('waits', '"s3cret"', instance_id => 's3cret too');

SET SESSION AUTHORIZATION durable_regress_rights_thief;
-- A call that fails, in short.
CREATE FUNCTION try(statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE statement;
	RETURN 'DONE';
EXCEPTION WHEN OTHERS THEN
	RETURN SQLSTATE || ' ' || SQLERRM;
END $$;

-- attack: the tables, sequences and functions of the engine. Gain: everything of everybody.
SELECT statement, try(statement) FROM (
	SELECT format(s, c.oid::regclass) AS statement FROM pg_class c, (VALUES ('SELECT count(*) FROM %s'), ('DELETE FROM %s'), ('TRUNCATE %s'), ('LOCK %s')) s(s)
		WHERE relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = 'durable_store') AND relkind = 'r'
	UNION ALL
	SELECT format('SELECT %s.%I(%s)', nspname, proname, (SELECT string_agg('NULL::' || format_type(t, NULL), ', ') FROM unnest(proargtypes) t))
		FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace WHERE nspname = 'durable_store'
) s WHERE try(statement) NOT LIKE '42501 permission denied for schema durable_store';
SELECT statement, try(statement) FROM (VALUES
	('SELECT nextval(''durable_store.message_id'')'),
	('SELECT setval(''durable_store.message_id'', 1)'),
	('INSERT INTO durable_store.inbox (task_hub, instance_id) VALUES (''durable_regress_rights_victim'', ''s3cret'')'),
	('UPDATE durable_store.hubs SET owner = ''durable_regress_rights_thief'''),
	('ANALYZE durable_store.instances'),
	('CREATE TABLE durable_store.mine ()'),
	('CREATE FUNCTION durable.start_instance(text) RETURNS text LANGUAGE sql AS ''SELECT 1'''),
	('CREATE VIEW durable.mine AS SELECT 1'),
	('CREATE TRIGGER mine AFTER INSERT ON durable_store.inbox EXECUTE FUNCTION suppress_redundant_updates_trigger()'),
	('CREATE TABLE rights.child () INHERITS (durable_store.instances)'),
	('CREATE TABLE rights.child (h text, i text, FOREIGN KEY (h, i) REFERENCES durable_store.instances)'),
	('CREATE INDEX ON durable_store.instances ((rights.try(name)))'),
	('CREATE POLICY mine ON durable_store.instances USING (true)'),
	('CREATE STATISTICS rights.mine ON name, status FROM durable_store.instances'),
	('ALTER TABLE durable_store.instances OWNER TO durable_regress_rights_thief'),
	('GRANT SELECT ON durable_store.instances TO durable_regress_rights_thief'),
	('GRANT USAGE ON SCHEMA durable TO PUBLIC'),
	('SELECT durable.grant_usage(''pg_monitor'')'),
	('SELECT durable.revoke_usage(''durable_regress_rights_victim'')'),
	('ALTER EXTENSION durable DROP VIEW durable.instances'),
	('DROP EXTENSION durable')
) s(statement);
COPY durable_store.instances TO STDOUT;

-- attack: writing through the views, and rules and triggers on them. Gain: as above, or code that runs as who reads.
SELECT statement, try(statement) FROM (
	SELECT format(s, 'durable.' || v) AS statement
	FROM (VALUES ('instances'), ('history'), ('activities'), ('messages'), ('queues'), ('workers')) v(v),
		(VALUES ('DELETE FROM %s'), ('UPDATE %s SET task_hub = NULL'), ('INSERT INTO %s (task_hub) VALUES (1)'),
			('SELECT 1 FROM %s FOR UPDATE'), ('LOCK %s IN EXCLUSIVE MODE'),
			('CREATE RULE mine AS ON UPDATE TO %s DO INSTEAD NOTHING'),
			('CREATE TRIGGER mine INSTEAD OF DELETE ON %s FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()'),
			('ALTER VIEW %s SET (security_barrier = off)'),
			('CREATE OR REPLACE VIEW %s AS SELECT 1 AS a')) s(s)
) s WHERE try(statement) NOT LIKE '42501 %';

-- attack: functions and operators of the reader in WHERE, HAVING, JOIN and ORDER BY,
-- cheap and pretending to be harmless. Gain: they are shown rows of others.
CREATE FUNCTION spy(anyelement) RETURNS boolean LANGUAGE plpgsql COST 0.0000001 IMMUTABLE AS
$$ BEGIN IF $1::text ~ 's3cret|victim' THEN RAISE WARNING 'saw %', $1; END IF; RETURN true; END $$;
CREATE FUNCTION spy_text(text, text) RETURNS boolean LANGUAGE plpgsql COST 0.0000001 IMMUTABLE AS $$ BEGIN RETURN spy($1); END $$;
CREATE OPERATOR rights.~~~~ (LEFTARG = text, RIGHTARG = text, FUNCTION = spy_text, RESTRICT = eqsel);
-- only a superuser may say that a function leaks nothing
CREATE FUNCTION spy_leakproof(text) RETURNS boolean LANGUAGE sql LEAKPROOF AS 'SELECT true';
SELECT v FROM (VALUES ('instances'), ('history'), ('activities'), ('messages'), ('queues'), ('workers')) v(v),
	(VALUES ('WHERE spy(x)'), ('WHERE spy(task_hub)'), ('WHERE task_hub ~~~~ ''x'''), ('ORDER BY spy(x)'), ('GROUP BY task_hub HAVING spy(task_hub)'),
		('JOIN (SELECT 1) y ON spy(x)'), ('LEFT JOIN LATERAL (SELECT spy(x) AS s) y ON true WHERE y.s'),
		('WHERE EXISTS (SELECT 1 FROM (SELECT x.task_hub OFFSET 0) z WHERE spy(z.task_hub))')) c(c)
WHERE try(format('DO $q$ BEGIN PERFORM 1 FROM durable.%s x %s; END $q$', v, c)) <> 'DONE';
SELECT count(*) FROM durable.instances WHERE spy(instance_id) AND spy(input) AND spy(custom_status) AND spy(waiting_for);
SELECT count(*) FROM durable.messages WHERE spy(payload) AND spy(name);
SELECT count(*) FROM durable.history WHERE spy(input) AND spy(result);
SELECT count(*) FROM durable.activities WHERE spy(input);
-- errors as an oracle
SELECT count(*) FROM durable.instances WHERE 1 / (instance_id <> 's3cret')::int = 1;
SELECT count(*) FROM durable.instances WHERE instance_id::int = 1;
SELECT count(*) FROM durable.messages WHERE (payload #>> '{}')::int = 1;

-- attack: the statistics of the planner. Gain: the most common values of others.
SELECT count(*) FROM pg_stats WHERE schemaname = 'durable_store';
SELECT count(*) FROM pg_stats_ext WHERE schemaname = 'durable_store';
SELECT try('SELECT count(*) FROM pg_statistic');

-- attack: hostile objects in the path of one who looks. Gain: code that runs as him.
CREATE FUNCTION pg_has_role(oid, text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE WARNING 'pg_has_role() of the thief'; RETURN true; END $$;
CREATE FUNCTION pg_has_role(regrole, text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE WARNING 'pg_has_role() of the thief'; RETURN true; END $$;
CREATE FUNCTION same(text, text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE WARNING 'operator of the thief'; RETURN true; END $$;
CREATE OPERATOR rights.= (LEFTARG = text, RIGHTARG = text, FUNCTION = same);
CREATE FUNCTION format(text, regrole) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE WARNING 'format() of the thief'; RETURN 'SELECT 1'; END $$;
SET search_path = rights, pg_catalog;
SELECT count(*) FROM durable.instances;
RESET SESSION AUTHORIZATION;
SELECT count(*) > 0 AS seen FROM durable.instances;
SELECT count(*) > 0 AS seen FROM durable.history;
SELECT count(*) > 0 AS seen FROM durable.messages;
SELECT count(*) > 0 AS seen FROM durable.activities;
SELECT count(*) > 0 AS seen FROM durable.queues;
SELECT count(*) > 0 AS seen FROM durable.workers;
SELECT durable.revoke_usage('durable_regress_rights_thief');
SELECT durable.grant_usage('durable_regress_rights_thief');
SET search_path = rights;

-- attack: going on after durable.revoke_usage(), through what was made before.
-- Gain: what was taken back.
SET SESSION AUTHORIZATION durable_regress_rights_victim;
CREATE FUNCTION bound_start() RETURNS text LANGUAGE sql BEGIN ATOMIC SELECT durable.start_instance('rights.waits', instance_id => 'after'); END;
CREATE FUNCTION bound_event() RETURNS void LANGUAGE sql BEGIN ATOMIC SELECT durable.raise_event('s3cret', 'go'); END;
CREATE FUNCTION bound_wait() RETURNS text LANGUAGE sql BEGIN ATOMIC SELECT status FROM durable.wait_for_completion('s3cret', '0 s'); END;
CREATE FUNCTION bound_hub() RETURNS void LANGUAGE sql BEGIN ATOMIC SELECT durable.create_hub('after'); END;
CREATE FUNCTION bound_pause() RETURNS void LANGUAGE sql BEGIN ATOMIC SELECT durable.pause_hub('durable_regress_rights_victim'); END;
CREATE VIEW bound_run AS SELECT durable.run_until_idle() AS done;
CREATE VIEW bound_look AS SELECT * FROM durable.instances;
CREATE TABLE bound_default (id text DEFAULT durable.start_instance('rights.waits', instance_id => 'after'));
PREPARE bound AS SELECT durable.purge('s3cret');
CREATE FUNCTION bound_definer() RETURNS text LANGUAGE sql SECURITY DEFINER BEGIN ATOMIC SELECT status FROM durable.wait_for_completion('s3cret', '0 s'); END;
RESET SESSION AUTHORIZATION;
SELECT durable.revoke_usage('durable_regress_rights_victim');
SET SESSION AUTHORIZATION durable_regress_rights_victim;
SELECT bound_start();
SELECT bound_event();
SELECT bound_wait();
SELECT bound_hub();
SELECT bound_pause();
SELECT * FROM bound_run;
SELECT * FROM bound_look;
INSERT INTO bound_default DEFAULT VALUES;
EXECUTE bound;
-- and others through his functions
SET SESSION AUTHORIZATION durable_regress_rights_thief;
SELECT bound_definer();
RESET SESSION AUTHORIZATION;
SELECT durable.grant_usage('durable_regress_rights_victim');
SET SESSION AUTHORIZATION durable_regress_rights_victim;
SELECT bound_wait();
RESET SESSION AUTHORIZATION;

-- Nothing has changed.
SELECT instance_id, status, input FROM durable.instances WHERE task_hub OPERATOR(pg_catalog.=) 'durable_regress_rights_victim' ORDER BY 1;
SELECT count(*) FROM durable.messages WHERE task_hub OPERATOR(pg_catalog.=) 'durable_regress_rights_victim';

SET client_min_messages = warning;
RESET search_path;
-- No hub is left for the tests that list all.
DELETE FROM durable_store.activity_queue WHERE task_hub ~ '^durable_regress_rights';
DELETE FROM durable_store.inbox WHERE task_hub ~ '^durable_regress_rights';
DELETE FROM durable_store.history WHERE task_hub ~ '^durable_regress_rights';
DELETE FROM durable_store.instances WHERE task_hub ~ '^durable_regress_rights';
DELETE FROM durable_store.hubs WHERE task_hub ~ '^durable_regress_rights';
DROP SCHEMA rights CASCADE;
DROP OWNED BY durable_regress_rights_victim, durable_regress_rights_thief;
DROP ROLE durable_regress_rights_victim, durable_regress_rights_thief;
