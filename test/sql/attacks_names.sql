--
-- Attacks by what is given: names, ids, events and payloads. Gain, if one of
-- them were spliced into SQL or a format: any statement as the engine, as the
-- owner of the hub, or the memory of the server.
--
CREATE ROLE durable_regress_names LOGIN;
SELECT durable.grant_usage('durable_regress_names');
CREATE SCHEMA names AUTHORIZATION durable_regress_names;
SET search_path = names;
SET SESSION AUTHORIZATION durable_regress_names;

CREATE TABLE hostile (n int GENERATED ALWAYS AS IDENTITY, t text);
INSERT INTO hostile (t) VALUES
	($$'; DROP SCHEMA names CASCADE; --$$), ($$" OR true --$$), ($$$1$$), ('%s%s%n%x'), (E'two\nlines'), (E'\\x41\\\''), ('$$'), ('../../etc/passwd'),
	(E'\u2028\u202e'), ('it''s "quoted"'), ('NULL'), (' '), ('{}'), ('[1]'), ('a;b(c)'), (repeat('x', 255));

CREATE FUNCTION echo(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	event durable.task := durable.expect_event(input ->> 'text');
BEGIN
	PERFORM durable.set_custom_status(input), durable.log_message('%s%n' || (input ->> 'text'), 'debug');
	RETURN jsonb_build_object('activity', durable.call_activity('names.as_text', jsonb_build_object('it''s "x"', input -> 'text')),
		'sql', durable.call_sql('SELECT $1 AS v', input ->> 'text') -> 'v',
		'literal', durable.call_sql(format('SELECT %L AS v', input ->> 'text')) -> 'v',
		'child', durable.call_suborchestrator('names.same', input -> 'text', instance_id => left('child ' || (input ->> 'text'), 255)),
		'id', durable.instance_id(), 'event', durable.await(event));
END $$;
CREATE FUNCTION as_text("it's ""x""" text) RETURNS text LANGUAGE sql AS 'SELECT $1';
CREATE FUNCTION same(input jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT $1';

-- attack: hostile text as instance id, event name, payload, tag, version, reason, child id, argument and bind parameter
SELECT count(durable.start_instance('echo', jsonb_build_object('text', t), instance_id => t, version => t,
	tags => jsonb_build_object(t, t), trace_parent => t, event_name => t, event_data => to_jsonb(t))) FROM hostile;
SELECT durable.run_until_idle() > 0 AS ran;
SELECT n, status, output - 'id' = jsonb_build_object('activity', t, 'sql', t, 'literal', t, 'child', t, 'event', t) AS echoed,
	output ->> 'id' = t AND version = t AND tags = jsonb_build_object(t, t) AND custom_status ->> 'text' = t AS kept, failure
FROM hostile LEFT JOIN durable.instances ON instance_id = t ORDER BY n;
SELECT count(*), sum(durable.purge(t)) AS purged FROM hostile;
-- the same through the calls that steer
SELECT count(durable.start_instance('echo', '{"text": "never"}', instance_id => t)) FROM hostile;
SELECT count(durable.suspend(t, t)), count(durable.resume(t, t)), count(durable.raise_event(t, t, to_jsonb(t))), count(durable.terminate(t, t)) FROM hostile;
SELECT durable.run_until_idle() > 0 AS ran;
SELECT status, output #>> '{}' = instance_id AS reason_kept, count(*) FROM durable.instances WHERE instance_id IN (SELECT t FROM hostile) GROUP BY 1, 2;
SELECT count(durable.restart(t)) FROM hostile;
-- as error messages show them
SELECT durable.raise_event('%s%n%5$s''";', '%s');
SELECT durable.start_instance('%s%n');
SELECT durable.start_instance('same', if_exists => '%s%n');
SELECT durable.create_hub('%s%n''"');
SET durable.task_hub = '%s%n''"';
SELECT durable.terminate('%n');
SELECT durable.start_instance('same', instance_id => '%n');
RESET durable.task_hub;

-- attack: names of orchestrators and activities that are more than a name
CREATE FUNCTION "Odd name; DROP TABLE x"("a b" int, "c""d" int DEFAULT 2) RETURNS int LANGUAGE sql AS 'SELECT $1 + $2';
CREATE FUNCTION "odd(text)"(input jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT '"odd"'::jsonb $$;
CREATE FUNCTION plain(n int) RETURNS int LANGUAGE sql AS 'SELECT n';
CREATE FUNCTION call(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	RETURN durable.call_activity(input ->> 'name', input -> 'input');
EXCEPTION WHEN OTHERS THEN
	RETURN to_jsonb(SQLSTATE || ' ' || SQLERRM);
END $$;
CREATE TABLE calls (name text, input jsonb);
INSERT INTO calls VALUES
	('names."Odd name; DROP TABLE x"', '{"a b": 1}'),
	('names."Odd name; DROP TABLE x"', '{"a b": 1, "c\"d": 5}'),
	('names."Odd name; DROP TABLE x"(integer, integer)', '{"a b": 1}'),
	('names."odd(text)"(jsonb)', 'null'),
	('names.plain', '{"n": 1, "n) FROM pg_authid --": 1}'),
	('names.plain', '{"n": "1); DROP TABLE x"}'),
	('names.plain(integer) FROM pg_authid --', '1'),
	('names.plain(integer); DROP TABLE x', '1'),
	('names.plain, pg_catalog.pg_read_file', '1'),
	('names.plain; DROP TABLE x', '1'),
	('', '1'), ('.', '1'), ('"', '1'), ('a.b.c.d', '1'), ('names.', '1'), ('(', '1'), ('names.plain(', '1'), ('names.plain(nonsense)', '1'), ('%s%n', '1'),
	('pg_catalog.pg_read_file(text)', '"PG_VERSION"'),
	('pg_catalog.pg_ls_dir(text)', '"."'),
	('pg_catalog.lo_import(text)', '"PG_VERSION"'),
	('pg_catalog.lo_export(oid, text)', '"x"'),
	('pg_catalog.pg_reload_conf', 'null'),
	('pg_catalog.textin(cstring)', '"x"'),
	('pg_catalog.generate_series(integer, integer)', '1'),
	('durable_store.event_type_name', '1'),
	('durable.run_until_idle', '{}'),
	('durable.run', 'null'),
	('durable.await(durable.task)', '1'),
	('durable.call_activity', '{"name": "names.plain"}'),
	('durable.grant_usage', '{"role": "durable_regress_names"}'),
	-- the name of call_sql(), with what it never sends
	('durable.sql', 'null'), ('durable.sql', '{}'), ('durable.sql', '{"query": 1}'), ('durable.sql', '{"query": null}'), ('durable.sql', '[]'), ('durable.sql', '"SELECT 1"'),
	('durable.sql', '{"query": "SELECT $1", "args": [{"value": "x"}]}'),
	('durable.sql', '{"query": "SELECT $1", "args": [{"value": "x", "type": "text); DROP TABLE x"}]}'),
	('durable.sql', '{"query": "SELECT $1 AS a", "args": [{"value": "x", "type": "cstring"}]}'),
	('durable.sql', '{"query": "SELECT $1 AS a", "args": [{"value": "x", "type": "no_such_type"}]}'),
	('durable.sql', '{"query": "SELECT $1 AS a", "args": {"value": "x"}}'),
	('durable.sql', '{"query": "SELECT $1 AS a", "args": [1, [], null]}'),
	('durable.sql', '{"query": "SELECT 1; SELECT 2 AS two"}');
-- as orchestrators: refused at the start
CREATE FUNCTION start_error(name text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	PERFORM durable.start_instance(name);
	RETURN 'started';
EXCEPTION WHEN OTHERS THEN
	RETURN SQLSTATE || ' ' || SQLERRM;
END $$;
SELECT name, start_error(name) FROM (SELECT DISTINCT name FROM calls) c ORDER BY name COLLATE "C";
-- as activities
SELECT count(durable.start_instance('call', to_jsonb(c), instance_id => name || ' ' || input)) FROM calls c;
SELECT durable.run_until_idle() > 0 AS ran;
SELECT calls.name, calls.input, status, output #>> '{}' AS output FROM calls LEFT JOIN durable.instances ON instance_id = calls.name || ' ' || calls.input
ORDER BY calls.name COLLATE "C", calls.input::text COLLATE "C";

-- attack: bind parameters of types whose text is SQL
CREATE FUNCTION binds(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	RETURN jsonb_build_array(
		durable.call_sql('SELECT $1 AS a, $2 AS b, $3 AS c', ARRAY['a''b', '"', '{}', NULL], 'x''; DROP TABLE x'::name, '(1,"a")'::text),
		durable.call_sql('SELECT $1 IS NULL AS a', NULL::text),
		durable.call_sql('SELECT pg_typeof($1)::text AS a', '1; SELECT 2'::varchar(20)),
		durable.call_sql('SELECT ($1).n, ($1).t', ROW(1, 'a''",)(b')::names.hostile));
END $$;
SELECT durable.start_instance('binds', instance_id => 'binds');
SELECT durable.run_until_idle() > 0 AS ran;
SELECT status, output, failure FROM durable.instances WHERE instance_id = 'binds';

RESET SESSION AUTHORIZATION;
SET client_min_messages = warning;
RESET search_path;
-- No hub is left for the tests that list all.
DELETE FROM durable_store.activity_queue WHERE task_hub ~ '^durable_regress_names|^%s';
DELETE FROM durable_store.inbox WHERE task_hub ~ '^durable_regress_names|^%s';
DELETE FROM durable_store.history WHERE task_hub ~ '^durable_regress_names|^%s';
DELETE FROM durable_store.instances WHERE task_hub ~ '^durable_regress_names|^%s';
DELETE FROM durable_store.hubs WHERE task_hub ~ '^durable_regress_names|^%s';
DROP SCHEMA names CASCADE;
DROP OWNED BY durable_regress_names;
DROP ROLE durable_regress_names;
