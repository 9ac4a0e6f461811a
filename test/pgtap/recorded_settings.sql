-- What the code of an instance gives does not depend on the session that runs
-- it: it has the settings of the session that started it, in each turn and in
-- activities, and the session has its own again afterwards.
\ir include/setup.psql
SELECT no_plan();

-- A setting, a value it is started with, one of the session that runs it, and what shows the difference.
CREATE TABLE cases (setting text PRIMARY KEY, started text, other text, expression text);
INSERT INTO cases VALUES
	('TimeZone', 'Asia/Tokyo', 'America/New_York', $$ '2024-01-01 12:00+00'::timestamptz::text $$),
	('DateStyle', 'German, DMY', 'ISO, MDY', $$ '2024-01-02'::date::text || to_char('02/03/2024'::text::date, ' Mon') $$),
	('IntervalStyle', 'iso_8601', 'sql_standard', $$ '1 day 2 hours'::interval::text $$),
	('extra_float_digits', '-12', '3', $$ (1 / 3::float8)::text $$),
	('bytea_output', 'escape', 'hex', $$ '\x61'::bytea::text $$),
	('lc_monetary', 'C', 'C.UTF-8', NULL),
	('lc_numeric', 'C', 'C.UTF-8', NULL),
	('lc_time', 'C', 'C.UTF-8', NULL),
	('timezone_abbreviations', 'Australia', 'India', $$ extract(hour FROM '2024-01-01 12:00 IST'::text::timestamptz AT TIME ZONE 'UTC')::text $$),
	('quote_all_identifiers', 'on', 'off', $$ quote_ident('a') || format('%I', 'b') $$),
	('standard_conforming_strings', 'off', 'on', NULL),
	('transform_null_equals', 'on', 'off', NULL),
	('array_nulls', 'off', 'on', $$ coalesce(('{null}'::text::text[])[1], 'no string') $$),
	('xmlbinary', 'hex', 'base64', NULL),
	('xmloption', 'document', 'content', NULL);

-- Each turn, and an activity between them, says what it sees. Unchecked: it looks at the settings.
CREATE FUNCTION define(setting text, expression text) RETURNS void LANGUAGE plpgsql AS
$$
BEGIN
	EXECUTE format('CREATE FUNCTION %I(input jsonb) RETURNS jsonb LANGUAGE sql AS %L', 'see ' || setting,
		format('SELECT jsonb_build_array(current_setting(%L), %s)', setting, coalesce(expression, 'NULL')));
	EXECUTE format($f$ CREATE FUNCTION %I(input jsonb) RETURNS jsonb LANGUAGE plpgsql SET durable.orchestrator_checks = off AS
		'DECLARE seen jsonb := %I(input);
		BEGIN
			PERFORM durable.wait_for_event(''go'');
			RETURN jsonb_build_array(seen, %I(input), durable.call_activity(''"%s"''));
		END' $f$, setting, 'see ' || setting, 'see ' || setting, 'see ' || setting);
END $$;
SELECT define(setting, expression) FROM cases \g /dev/null

-- What is to be seen, and where the session stands.
CREATE FUNCTION seen_with(setting text, value text) RETURNS jsonb LANGUAGE plpgsql AS
$$
DECLARE
	seen jsonb;
	before text := current_setting(setting);
BEGIN
	PERFORM set_config(setting, value, true);
	EXECUTE format('SELECT %I(NULL)', 'see ' || setting) INTO seen;
	PERFORM set_config(setting, before, true);
	RETURN seen;
END $$;
CREATE FUNCTION start_with(setting text, value text, id text) RETURNS void LANGUAGE plpgsql AS
$$
BEGIN
	PERFORM set_config(setting, value, false);
	PERFORM durable.start_instance(quote_ident(setting), instance_id => id);
	EXECUTE format('RESET %s', setting);
END $$;

SELECT is(seen_with(setting, started) IS DISTINCT FROM seen_with(setting, other), true, setting || ': the two values can be told apart') FROM cases;
SELECT is(seen_with(setting, started) -> 1 IS DISTINCT FROM seen_with(setting, other) -> 1, true, setting || ': and what they do') FROM cases WHERE expression IS NOT NULL;
SELECT start_with(setting, started, setting) FROM cases \g /dev/null
SELECT set_config(setting, other, false) FROM cases \g /dev/null
:run
SELECT is(current_setting(setting), other, setting || ': the session has its own after the first turn') FROM cases;
SELECT go(setting) FROM cases \g /dev/null
:run
SELECT is(current_setting(setting), other, setting || ': the session has its own at the end') FROM cases;
RESET ALL;
SELECT is(output(setting), jsonb_build_array(seen_with(setting, started), seen_with(setting, started), seen_with(setting, started)),
	setting || ': the code and its activities run with what it was at the start') FROM cases;

-- The same with the values changed over: what is PostgreSQL's own is kept, too, where the session has another.
SELECT start_with(setting, other, setting || ' other') FROM cases \g /dev/null
SELECT set_config(setting, started, false) FROM cases \g /dev/null
:run
SELECT is(current_setting(setting), started, setting || ' (other): the session has its own after the first turn') FROM cases;
SELECT go(setting || ' other') FROM cases \g /dev/null
:run
SELECT is(current_setting(setting), started, setting || ' (other): the session has its own at the end') FROM cases;
RESET ALL;
SELECT is(output(setting || ' other'), jsonb_build_array(seen_with(setting, other), seen_with(setting, other), seen_with(setting, other)),
	setting || ' (other): the code and its activities run with what it was at the start') FROM cases;

-- ---------------------------------------------------------------------------
-- An instance of which less is recorded, as of an older version of durable

SELECT start_with('extra_float_digits', '-12', 'old');
RESET SESSION AUTHORIZATION;
UPDATE durable_store.instances SET settings = jsonb_build_object('search_path', settings -> 'search_path',
	'TimeZone', settings -> 'TimeZone', 'DateStyle', settings -> 'DateStyle', 'IntervalStyle', settings -> 'IntervalStyle')
WHERE instance_id = 'old';
SET SESSION AUTHORIZATION app;
SELECT go('old');
SET extra_float_digits = 3;
:run
SELECT is(current_setting('extra_float_digits'), '3', 'an old instance runs, and the session has its own again');
RESET extra_float_digits;
SELECT is(output('old') #>> '{0,0}', (SELECT reset_val FROM pg_settings WHERE name = 'extra_float_digits'), 'what was not recorded is what RESET gives');

-- ---------------------------------------------------------------------------
-- lc_messages, which only superusers may set, is that of the start all the same

CREATE FUNCTION messages(input jsonb) RETURNS jsonb LANGUAGE plpgsql SET durable.orchestrator_checks = off AS
$$
BEGIN
	PERFORM durable.wait_for_event('go');
	RETURN to_jsonb(current_setting('lc_messages'));
END $$;
SELECT start('messages');
SELECT go('messages');
RESET SESSION AUTHORIZATION;
SELECT current_setting('lc_messages') AS lc_messages, current_setting('lc_messages') ~* '^c\.' AS is_unicode \gset
\if :is_unicode
SET lc_messages = 'C';
\else
SET lc_messages = 'C.UTF-8';
\endif
SELECT current_setting('lc_messages') AS other_messages \gset
SET SESSION AUTHORIZATION app;
:run
SELECT is(output('messages') #>> '{}', :'lc_messages', 'lc_messages is that of the start');
SELECT is(current_setting('lc_messages'), :'other_messages', 'the session has its own again');

-- An error in the middle of a turn leaves nothing either.
CREATE FUNCTION raises(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RAISE 'on purpose'; END $$;
SELECT start_with('bytea_output', 'escape', 'bytea');
SET bytea_output = 'escape';
SELECT start('raises');
SET bytea_output = 'hex';
:run
SELECT is(outcome('raises'), 'failed P0001 on purpose', 'a turn that ends with an error');
SELECT is(current_setting('bytea_output'), 'hex', 'leaves the settings of the session alone');
-- Children have the settings of their parents.
CREATE FUNCTION parent(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN durable.call_suborchestrator('child'); END $$;
CREATE FUNCTION child(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN to_jsonb((1 / 3::float8)::text); END $$;
SET extra_float_digits = -12;
SELECT start('parent');
RESET extra_float_digits;
:run
SELECT is(output('parent'), '"0.333"', 'a sub-orchestration has the settings of its parent');

-- ---------------------------------------------------------------------------
-- Plans that were made for an instance with other settings: literals and folded constants

CREATE FUNCTION noon() RETURNS timestamptz LANGUAGE sql AS $$ SELECT '2024-01-01 12:00'::timestamptz $$;
CREATE FUNCTION noon_of(year int) RETURNS timestamptz LANGUAGE plpgsql AS
$$
DECLARE
	at timestamptz;
BEGIN
	SELECT t INTO at FROM (VALUES (2024, '2024-01-01 12:00'::timestamptz), (2025, '2025-01-01 12:00')) v (y, t) WHERE y = year;
	RETURN at;
END $$;
CREATE FUNCTION literals(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
DECLARE
	declared timestamptz := '2024-01-01 12:00';
	seen jsonb;
BEGIN
	seen := jsonb_build_array(declared AT TIME ZONE 'UTC', timestamptz '2024-01-01 12:00' AT TIME ZONE 'UTC', noon() AT TIME ZONE 'UTC', noon_of(2024) AT TIME ZONE 'UTC',
		'{2024-01-01 12:00}'::timestamptz[] = ARRAY[declared], (1 / 3::float8)::text);
	IF declared <> '2024-01-01 12:00' THEN
		RAISE 'a literal has another meaning';
	END IF;
	RETURN seen;
END $$;
CREATE FUNCTION unchecked_literals(input jsonb) RETURNS jsonb LANGUAGE plpgsql SET durable.orchestrator_checks = off AS
$$ DECLARE declared timestamptz := '2024-01-01 12:00'; BEGIN RETURN jsonb_build_array(declared AT TIME ZONE 'UTC', noon_of(2024) AT TIME ZONE 'UTC', (1 / 3::float8)::text); END $$;
CREATE TABLE zones (n int, zone text, digits text, noon text, third text);
INSERT INTO zones VALUES (1, 'Asia/Tokyo', '-12', '2024-01-01T03:00:00', '0.333'), (2, 'America/New_York', '1', '2024-01-01T17:00:00', '0.3333333333333333'), (3, 'Asia/Tokyo', '-12', '2024-01-01T03:00:00', '0.333');
CREATE FUNCTION start_in(zone text, digits text, orchestrator text, id text) RETURNS void LANGUAGE plpgsql AS
$$
BEGIN
	PERFORM set_config('TimeZone', zone, false), set_config('extra_float_digits', digits, false);
	PERFORM durable.start_instance(orchestrator, instance_id => id);
	RESET TimeZone;
	RESET extra_float_digits;
END $$;
SELECT noon_of(2024), noon() \g /dev/null
SELECT start_in(zone, digits, f, f || n) FROM zones, unnest(ARRAY['literals', 'unchecked_literals']) f WHERE n = 1 \g /dev/null
:run
SELECT start_in(zone, digits, f, f || n) FROM zones, unnest(ARRAY['literals', 'unchecked_literals']) f WHERE n = 2 \g /dev/null
:run
SELECT start_in(zone, digits, f, f || n) FROM zones, unnest(ARRAY['literals', 'unchecked_literals']) f WHERE n = 3 \g /dev/null
:run
SELECT is(outcome('literals' || n), format('completed ["%s", "%s", "%s", "%s", true, "%s"]', noon, noon, noon, noon, third),
	'literals mean what they did where the instance was started: ' || zone || ', ' || n) FROM zones;
SELECT is(outcome('unchecked_literals' || n), format('completed ["%s", "%s", "%s"]', noon, noon, third), 'without checks, too: ' || zone || ', ' || n) FROM zones;
SELECT * FROM finish();
