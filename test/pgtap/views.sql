-- What a reader of the views learns: rows of others stay unseen whatever it puts
-- into the query, and members of pg_monitor see state and times, no payloads.
\ir include/setup.psql
SELECT plan(80);

RESET SESSION AUTHORIZATION;
DO $$
BEGIN
	CREATE ROLE durable_views_other LOGIN;
	CREATE ROLE durable_views_monitor LOGIN;
	GRANT pg_monitor TO durable_views_monitor;
EXCEPTION WHEN duplicate_object THEN
	NULL;
END $$;
SELECT durable.grant_usage(r) FROM unnest('{durable_views_other,durable_views_monitor}'::regrole[]) r;
CREATE SCHEMA other AUTHORIZATION durable_views_other;

-- ---------------------------------------------------------------------------
-- A hub of somebody else, with rows of all kinds. What nobody else may learn
-- has the word "secret" in it.

SET SESSION AUTHORIZATION durable_views_other;
SET search_path = other, public;
CREATE FUNCTION flow(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
BEGIN
	PERFORM durable.set_custom_status('"secret status"');
	PERFORM durable.call_sql('SELECT $1::text', 'secret argument');
	PERFORM durable.send_event('nobody', 'secret event sent', '"secret data"');
	IF input ? 'fail' THEN
		RAISE EXCEPTION 'secret message' USING DETAIL = 'secret detail';
	END IF;
	IF input ? 'wait' THEN
		PERFORM durable.create_timer('1 hour');
		PERFORM durable.wait_for_event('secret event awaited');
	END IF;
	RETURN '"secret output"';
END $$;
SELECT format('# started %s', durable.start_instance('flow', jsonb_build_object(id, 'secret input'), 'of other: ' || id, tags => '{"secret": "tag"}'))
FROM unnest('{fail,wait,end}'::text[]) id;
SELECT format('# %s work items', durable.run_until_idle());
-- One message on its way; one activity, for which the queue is written by hand: a real one would run.
SELECT format('# event%s', durable.raise_event('of other: wait', 'secret event', '"secret data"'));
RESET SESSION AUTHORIZATION;
INSERT INTO durable_store.activity_queue (task_hub, instance_id, execution_id, generation, task_id, visible_at, name, input, tags)
SELECT i.task_hub, i.instance_id, i.execution_id, i.generation, 99, now(), 'an activity', '"secret input"', '{"secret": "tag"}'
FROM durable_store.instances i WHERE i.instance_id = 'of other: wait';

-- A row in each of the tables for app, too: the control.
SET SESSION AUTHORIZATION app;
SET search_path = app, public;
CREATE FUNCTION waits(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$ BEGIN RETURN durable.wait_for_event('go'); END $$;
SELECT start('waits', '"own input"', 'of app');
:run
SELECT go('of app');
RESET SESSION AUTHORIZATION;
INSERT INTO durable_store.activity_queue (task_hub, instance_id, execution_id, generation, task_id, visible_at, name, input)
SELECT i.task_hub, i.instance_id, i.execution_id, i.generation, 99, now(), 'an activity', '"own input"'
FROM durable_store.instances i WHERE i.instance_id = 'of app';

-- ---------------------------------------------------------------------------
-- The attacks: each gets a function of the reader to be called with what the
-- view hides, before the view's own condition.

GRANT USAGE ON SCHEMA app TO durable_views_monitor;
SET SESSION AUTHORIZATION app;
CREATE TABLE seen (what text);
GRANT ALL ON seen TO durable_views_monitor;
-- Cheaper than any condition, so that the planner would put it first if it might.
CREATE FUNCTION spy(what text) RETURNS boolean LANGUAGE plpgsql COST 0.0001 AS
$$ BEGIN INSERT INTO app.seen VALUES (what); RETURN true; END $$;
CREATE FUNCTION spy(what text, ignored text) RETURNS boolean LANGUAGE plpgsql COST 0.0001 AS
$$ BEGIN RETURN app.spy(what); END $$;
CREATE OPERATOR app.=== (LEFTARG = text, RIGHTARG = text, FUNCTION = app.spy, COMMUTATOR = OPERATOR(app.===), RESTRICT = eqsel, JOIN = eqjoinsel);
CREATE DOMAIN spying AS text CHECK (app.spy(VALUE));
CREATE TABLE mine (x text);
INSERT INTO mine VALUES ('x');
GRANT SELECT ON mine TO durable_views_monitor;
CREATE VIEW over_instances AS SELECT * FROM durable.instances;
CREATE VIEW over_history AS SELECT * FROM durable.history;
CREATE VIEW over_activities AS SELECT * FROM durable.activities;
CREATE VIEW over_messages AS SELECT * FROM durable.messages;
CREATE VIEW over_queues AS SELECT * FROM durable.queues;
GRANT SELECT ON over_instances, over_history, over_activities, over_messages, over_queues TO durable_views_monitor;

CREATE TABLE attacks (n int GENERATED ALWAYS AS IDENTITY, what text, query text);
GRANT SELECT ON attacks TO durable_views_monitor;
INSERT INTO attacks (what, query) VALUES
	('a cheap function in WHERE', 'SELECT count(*) FROM durable.%1$I v WHERE app.spy(v::text)'),
	('beside a condition on the hub of the victim', 'SELECT count(*) FROM durable.%1$I v WHERE v.task_hub IN (''app'', ''durable_views_other'') AND app.spy(v::text)'),
	('an operator of the reader', 'SELECT count(*) FROM durable.%1$I v WHERE v::text OPERATOR(app.===) ''x'''),
	('an operator of the reader in a join', 'SELECT count(*) FROM durable.%1$I v JOIN app.mine m ON v.task_hub OPERATOR(app.===) m.x'),
	('a join condition', 'SELECT count(*) FROM app.mine m LEFT JOIN durable.%1$I v ON app.spy(v::text)'),
	('a semi-join', 'SELECT count(*) FROM durable.%1$I v WHERE EXISTS (SELECT FROM app.mine m WHERE app.spy(v.task_hub || m.x))'),
	('a lateral subquery', 'SELECT count(*) FROM durable.%1$I v, LATERAL (SELECT app.spy(v::text) AS s OFFSET 0) l WHERE l.s'),
	('the select list, sorted', 'SELECT app.spy(v::text) FROM durable.%1$I v ORDER BY app.spy(v.task_hub) LIMIT 1'),
	('FILTER and HAVING', 'SELECT count(*) FILTER (WHERE app.spy(v::text)) FROM durable.%1$I v GROUP BY v.task_hub HAVING app.spy(v.task_hub)'),
	('the constraint of a domain', 'SELECT count(v.task_hub::app.spying) FROM durable.%1$I v WHERE v.task_hub::app.spying <> '''''),
	('a common table expression that is inlined', 'WITH x AS NOT MATERIALIZED (SELECT * FROM durable.%1$I) SELECT count(*) FROM x WHERE app.spy(x::text)'),
	('a view of the reader above it', 'SELECT count(*) FROM app.over_%1$I v WHERE app.spy(v::text)');

-- Runs an attack; what it learned of rows of the hub of others, or of secrets.
CREATE FUNCTION learned(n int, view text, what text) RETURNS text LANGUAGE plpgsql AS
$$
DECLARE
	result text;
BEGIN
	DELETE FROM app.seen;
	EXECUTE format((SELECT a.query FROM app.attacks a WHERE a.n = learned.n), view);
	SELECT string_agg(DISTINCT s.what, '; ') INTO result FROM app.seen s WHERE s.what LIKE '%' || learned.what || '%';
	RETURN result;
END $$;

SELECT is(learned(a.n, v.v, 'other'), NULL::text, format('%s: %s shows nothing of others', v.v, a.what))
FROM attacks a, unnest('{instances,history,activities,messages,queues}'::text[]) v (v) ORDER BY v.v, a.n;
SELECT is((SELECT string_agg(a.what || ' on ' || v.v, ', ') FROM attacks a, unnest('{instances,history,activities,messages,queues}'::text[]) v (v)
		WHERE learned(a.n, v.v, 'app') IS NULL), NULL::text, 'each of the attacks would have worked: its function sees the own rows');

-- An error tells nothing either, nor does a lock.
SELECT lives_ok($$ SELECT 1 / (instance_id NOT LIKE 'of other%')::int FROM durable.instances $$, 'no error over a row of others');
SELECT throws_ok($$ SELECT * FROM durable.instances FOR UPDATE $$, '42501', NULL, 'rows cannot be locked through the views');
SELECT throws_ok($$ CREATE FUNCTION sneaky(text) RETURNS boolean LANGUAGE sql LEAKPROOF AS 'SELECT true' $$, '42501', NULL,
	'a reader cannot declare its function leakproof');
SELECT throws_ok(format('SELECT * FROM pg_stats WHERE schemaname = %L AND most_common_vals IS NOT NULL LIMIT 1 / (SELECT count(*) FROM pg_stats WHERE schemaname = %L)', 'durable_store', 'durable_store'),
	'22012', NULL, 'pg_stats shows no values of the tables');

-- ---------------------------------------------------------------------------
-- A member of pg_monitor

SET SESSION AUTHORIZATION durable_views_monitor;
SET search_path = app, public;
SELECT results_eq($$ SELECT instance_id COLLATE "default", name, status COLLATE "default", parent_instance_id COLLATE "default", created_at IS NOT NULL, completed_at IS NOT NULL
	FROM durable.instances WHERE task_hub = 'durable_views_other' ORDER BY 1 $$,
	$$ VALUES ('of other: end', 'flow', 'completed', NULL, true, true), ('of other: fail', 'flow', 'failed', NULL, true, true),
		('of other: wait', 'flow', 'running', NULL, true, false) $$, 'a monitor sees state and times of instances of all hubs');
SELECT results_eq($$ SELECT num_nonnulls(input, output, failure, custom_status, tags) FROM durable.instances WHERE task_hub = 'durable_views_other' $$,
	$$ SELECT 0 FROM generate_series(1, 3) $$, 'but no payloads');
SELECT results_eq($$ SELECT waiting_for #- '{timers,0,due}' FROM durable.instances WHERE instance_id = 'of other: wait' $$,
	$$ VALUES ('{"timers": [{"id": 2}], "activities": [{"id": 99, "name": "an activity", "state": "queued", "attempt": 1}]}'::jsonb) $$,
	'what an instance awaits is seen but for the names of events, which are made of data as often as not');
SELECT results_eq($$ SELECT event_type, name FROM durable.history WHERE instance_id = 'of other: end' AND event_type LIKE 'E%' ORDER BY seq $$,
	$$ VALUES ('ExecutionStarted', 'flow'), ('EventSent', NULL), ('ExecutionCompleted', NULL) $$, 'so is the history');
SELECT results_eq($$ SELECT name, state COLLATE "default", input FROM durable.activities WHERE task_hub = 'durable_views_other' $$,
	$$ VALUES ('an activity', 'queued', NULL::jsonb) $$, 'activities');
SELECT results_eq($$ SELECT event_type, name, payload FROM durable.messages WHERE task_hub = 'durable_views_other' ORDER BY 1 $$,
	$$ VALUES ('EventRaised', NULL, NULL::jsonb), ('TimerFired', NULL, NULL) $$, 'messages');
SELECT results_eq($$ SELECT owner::text, ready_turns, ready_activities, timers FROM durable.queues WHERE task_hub = 'durable_views_other' $$,
	$$ VALUES ('durable_views_other', 1::bigint, 1::bigint, 1::bigint) $$, 'and queues');
SELECT is((SELECT string_agg(a.what || ' on ' || v.v, ', ') FROM app.attacks a, unnest('{instances,history,activities,messages,queues}'::text[]) v (v)
		WHERE app.learned(a.n, v.v, 'secret') IS NOT NULL), NULL::text, 'none of the attacks gets a payload to a monitor''s function');
SELECT throws_ok($$ SELECT durable.raise_event('of other: wait', 'x', task_hub => 'durable_views_other') $$, '42501', NULL, 'a monitor does not steer');
SELECT throws_ok($$ SELECT durable.wait_for_completion('of other: end', task_hub => 'durable_views_other') $$, '42501', NULL, 'nor reads by waiting');

-- As a member of the owner it reads all of that owner's, and of others as before.
RESET SESSION AUTHORIZATION;
GRANT durable_views_other TO durable_views_monitor;
SET SESSION AUTHORIZATION durable_views_monitor;
SELECT is((SELECT output FROM durable.instances WHERE instance_id = 'of other: end'), '"secret output"', 'a member of the owner reads payloads');
SELECT is((SELECT input FROM durable.instances WHERE instance_id = 'of app'), NULL::jsonb, 'of that owner only');
RESET SESSION AUTHORIZATION;
REVOKE durable_views_other FROM durable_views_monitor;
REVOKE pg_monitor FROM durable_views_monitor;
ALTER ROLE durable_views_monitor NOINHERIT;
GRANT pg_monitor TO durable_views_monitor;	-- since PostgreSQL 16 this settles it
SET SESSION AUTHORIZATION durable_views_monitor;
SELECT is_empty('SELECT instance_id FROM durable.instances', 'a member of pg_monitor that does not inherit is no monitor');
RESET SESSION AUTHORIZATION;
ALTER ROLE durable_views_monitor INHERIT;
SELECT durable.revoke_usage('durable_views_monitor');
SET SESSION AUTHORIZATION durable_views_monitor;
SELECT throws_ok('SELECT instance_id FROM durable.instances', '42501', NULL, 'nor is one that may not use durable');

-- ---------------------------------------------------------------------------
-- Cost: what is not asked for is not computed

SET SESSION AUTHORIZATION app;
CREATE FUNCTION plan(query text) RETURNS SETOF text LANGUAGE plpgsql AS
$$ BEGIN RETURN QUERY EXECUTE 'EXPLAIN (COSTS OFF) ' || query; END $$;
SELECT unalike((SELECT string_agg(line, E'\n') FROM app.plan('SELECT instance_id, status, input FROM durable.instances') line), '%SubPlan%',
	'waiting_for is not computed for those who do not select it');

SELECT * FROM finish();
