-- durable.check_orchestrator(): what it finds, at which line, and what it lets pass.
\ir include/setup.psql
SELECT plan(89);

CREATE TABLE things (a int, b text);
CREATE VIEW seen AS SELECT a FROM things;
CREATE SEQUENCE counter;
CREATE FUNCTION child(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN input; END $$;
CREATE FUNCTION twice(a int) RETURNS int LANGUAGE sql AS 'SELECT a';
CREATE FUNCTION twice(a text) RETURNS text LANGUAGE sql AS 'SELECT a';
CREATE FUNCTION rows() RETURNS SETOF int LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION pure(x int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN x + 1; END $$;
CREATE FUNCTION waits(x int) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN durable.call_activity('same', to_jsonb(x)); END $$;
CREATE FUNCTION tells_time() RETURNS timestamptz LANGUAGE plpgsql AS $$
BEGIN
	RETURN clock_timestamp();
END $$;
CREATE FUNCTION tells_time_too() RETURNS timestamptz LANGUAGE sql AS $$
	SELECT
		tells_time() $$;
CREATE FUNCTION is_odd(n int) RETURNS boolean LANGUAGE sql AS 'SELECT n % 2 = 1';
CREATE FUNCTION loops(n int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN IF n > 0 THEN RETURN loops(n - 1); END IF; RETURN nextval('counter'); END $$;
CREATE FUNCTION compares(a things, b things) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RETURN a.a = b.a AND random_wait() > 0; END $$;
CREATE FUNCTION random_wait() RETURNS int LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(1); RETURN 1; END $$;
CREATE OPERATOR ==== (LEFTARG = things, RIGHTARG = things, FUNCTION = compares);
CREATE PROCEDURE proc(a int) LANGUAGE plpgsql AS $$ BEGIN INSERT INTO things VALUES (a); END $$;
CREATE PROCEDURE calm_proc(a int) LANGUAGE plpgsql AS $$ BEGIN a := a + 1; END $$;

-- Defines an orchestrator with this body, between declarations and BEGIN in
-- lines 2 to 4 and RETURN NULL; returns what is found: "line severity sqlstate message".
CREATE FUNCTION found(function regprocedure) RETURNS text[] LANGUAGE sql AS
$$ SELECT array(SELECT concat_ws(' ', coalesce(line::text, '-'), severity, sqlstate, message) FROM durable.check_orchestrator(function)) $$;
CREATE FUNCTION check_body(body text) RETURNS text[] LANGUAGE plpgsql AS
$$
BEGIN
	SET LOCAL check_function_bodies = off;
	EXECUTE format('CREATE OR REPLACE FUNCTION checked(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS %L', E'\nDECLARE r record; t things; n int; s text; x timestamptz; j jsonb; o jsonb;\nBEGIN\n' || body || E'\nRETURN NULL; END');
	RETURN found('checked(jsonb)');
END $$;

-- ---------------------------------------------------------------------------
-- Each finding, and next to it what is nearly the same and is none.

CREATE TABLE cases (n int GENERATED ALWAYS AS IDENTITY, body text, finds text[]);
INSERT INTO cases (body, finds) VALUES
	-- names
	($$ j := durable.call_activity('same', '1'); $$, '{}'),
	($$ j := durable.call_activity('no_such', '1'); $$, '{"4 error 42883 activity \"no_such\" does not exist: No such function is in the search_path: app, public."}'),
	($$ PERFORM durable.schedule_activity(name => 'none', input => '1'); $$, '{"4 error 42883 activity \"none\" does not exist: No such function is in the search_path: app, public."}'),
	($$ PERFORM durable.schedule_activity(input ->> 'name', '1'); $$, '{}'),
	($$ PERFORM durable.schedule_activity(NULL, '1'); $$, '{}'),
	($$ PERFORM durable.call_activity('app.twice(text)', '{}'), durable.call_activity('twice', '{}'); $$, '{}'),
	($$ PERFORM durable.call_activity('rows'); $$, '{"4 error 42P13 function \"rows\" cannot be an activity: An activity returns one value, not a set."}'),
	($$ PERFORM durable.call_activity('registered'), durable.call_activity('external'), durable.call_activity('versioned', version => '2'); $$, '{}'),
	($$ PERFORM durable.call_activity('versioned', version => input ->> 'version'); $$, '{}'),
	($$ PERFORM durable.call_activity('versioned'); $$, '{"4 error 42883 activity \"versioned\" has no version that serves calls without one: Registered are the versions \"2\"."}'),
	($$ PERFORM durable.call_suborchestrator('child'), durable.start_detached('registered child'); $$, '{}'),
	(E' PERFORM durable.schedule_suborchestrator(\n   ''nobody'');', '{"5 error 42883 orchestrator \"nobody\" does not exist: No such function is in the search_path: app, public."}'),
	($$ PERFORM durable.start_detached('same2', '1'); $$, '{"4 error 42883 orchestrator \"same2\" does not exist: No such function is in the search_path: app, public."}'),
	($$ PERFORM durable.call_suborchestrator('pure'); $$, '{"4 error 42P13 function pure cannot be an orchestrator: An orchestrator returns jsonb."}'),
	-- volatile functions
	($$ x := clock_timestamp(); $$, '{"4 error UD008 function clock_timestamp() returns another time at each replay"}'),
	($$ x := now(); x := CURRENT_TIMESTAMP; x := statement_timestamp(); x := durable.orchestration_time(); $$, '{}'),
	(E' s := concat(\n ''a'',\n gen_random_uuid());', '{"6 error UD008 function gen_random_uuid() returns another UUID at each replay"}'),
	($$ s := durable.new_guid(); n := random() * 6; $$, '{}'),
	($$ PERFORM pg_sleep(1); $$, '{"4 error UD008 function pg_sleep() blocks a worker"}'),
	($$ PERFORM durable.sleep('1 s'); $$, '{}'),
	($$ n := nextval('counter'); $$, '{"4 error UD008 function nextval() counts on at each replay"}'),
	($$ PERFORM pg_notify('a', 'b'); $$, '{"4 error UD008 function pg_notify() is repeated at each replay"}'),
	($$ PERFORM setseed(0.5); $$, '{"4 error UD008 function setseed() would change what random() repeats"}'),
	($$ PERFORM pg_cancel_backend(1); $$, '{"4 error UD008 function pg_cancel_backend() is volatile: its result or effect is another one at each replay"}'),
	-- stable functions
	($$ s := current_setting('work_mem'); $$, '{"4 error UD008 function current_setting() depends on the session"}'),
	($$ s := to_char(now(), 'YYYY'); s := '2024-01-01'::timestamptz::text; $$, '{}'),
	($$ s := SESSION_USER; $$, '{"4 error UD008 SESSION_USER names what a dump, a rename or a change of the owner alters under running instances"}'),
	($$ n := pg_backend_pid(); s := version(); $$, '{"4 error UD008 function pg_backend_pid() depends on the session","4 error UD008 function version() depends on the server or its catalogs"}'),
	-- literals
	($$ x := 'now'::timestamptz; $$, '{"4 error UD008 the literal ''now'' of type timestamp with time zone becomes a fixed time when the statement is first read, and another one in the next session"}'),
	($$ x := timestamptz ' Today ' + interval '1 day'; $$, '{"4 error UD008 the literal ''today'' of type timestamp with time zone becomes a fixed time when the statement is first read, and another one in the next session"}'),
	($$ x := '2024-01-01'::timestamptz; s := 'now'; $$, '{}'),
	-- tables
	($$ SELECT a INTO n FROM things; $$, '{"4 error UD008 reads table things"}'),
	($$ n := (SELECT count(*) FROM seen); $$, '{"4 error UD008 reads view seen"}'),
	($$ IF EXISTS (SELECT FROM pg_catalog.pg_class) THEN n := 1; END IF; $$, '{"4 error UD008 reads table pg_class"}'),
	($$ FOR r IN SELECT * FROM generate_series(1, 3) i LOOP n := r.i; END LOOP; $$, '{}'),
	($$ SELECT count(*) INTO n FROM jsonb_array_elements(input); WITH a AS (SELECT 1 AS b) SELECT b INTO n FROM a; $$, '{}'),
	($$ INSERT INTO things VALUES (1); $$, '{"4 error UD008 writes table things"}'),
	(E' UPDATE things SET a = 1;\n DELETE FROM things;', '{"4 error UD008 writes table things","5 error UD008 writes table things"}'),
	($$ INSERT INTO things SELECT a FROM seen; $$, '{"4 error UD008 writes table things","4 error UD008 reads view seen"}'),
	-- commands
	($$ CREATE TABLE made (a int); $$, '{"4 error UD008 CREATE TABLE is not for an orchestrator"}'),
	($$ NOTIFY a; $$, '{"4 error UD008 NOTIFY is not for an orchestrator"}'),
	($$ SET LOCAL search_path = app; $$, '{"4 error UD008 SET is not for an orchestrator"}'),
	($$ COMMIT; $$, '{"4 error 2D000 COMMIT and ROLLBACK are not for an orchestrator"}'),
	($$ CALL proc(1); $$, '{"4 error UD008 in proc(integer), line 1: writes table things"}'),
	($$ CALL calm_proc(1); $$, '{}'),
	-- dynamic statements
	($$ EXECUTE 'SELECT 1' INTO n; $$, '{"4 warning 0A000 EXECUTE runs a statement that cannot be seen here"}'),
	($$ FOR r IN EXECUTE 'SELECT $1' USING clock_timestamp() LOOP n := 1; END LOOP; $$, '{"4 warning 0A000 EXECUTE runs a statement that cannot be seen here","4 error UD008 function clock_timestamp() returns another time at each replay"}'),
	-- handlers
	(E' BEGIN\n j := durable.wait_for_event(''a'');\n EXCEPTION WHEN assert_failure THEN NULL; END;', '{"5 error UD008 durable.wait_for_event() waits in a block whose handler catches assert_failure, the error that suspends an orchestrator"}'),
	(E' BEGIN\n j := durable.await(durable.expect_event(''a''));\n EXCEPTION WHEN plpgsql_error THEN NULL; END;', '{"5 error UD008 durable.await() waits in a block whose handler catches assert_failure, the error that suspends an orchestrator"}'),
	(E' BEGIN\n PERFORM durable.sleep(''1 s'');\n EXCEPTION WHEN OTHERS OR query_canceled THEN NULL; END;', '{"5 warning UD008 durable.sleep() waits in a block whose handler catches query_canceled, which ends an orchestrator that is stopped"}'),
	(E' BEGIN\n j := waits(1);\n EXCEPTION WHEN SQLSTATE ''P0004'' THEN NULL; END;', '{"5 error UD008 in waits(integer), line 1: durable.call_activity() waits in a block whose handler catches assert_failure, the error that suspends an orchestrator"}'),
	(E' BEGIN\n j := durable.wait_for_event(''a'');\n EXCEPTION WHEN OTHERS OR division_by_zero THEN NULL; END;', '{}'),
	(E' BEGIN\n n := 1 / n;\n EXCEPTION WHEN assert_failure THEN j := durable.wait_for_event(''a''); END; PERFORM durable.sleep(''1 s'');', '{}'),
	(E' BEGIN\n PERFORM durable.schedule_activity(''same'');\n EXCEPTION WHEN assert_failure THEN NULL; END;', '{}'),
	-- functions it calls
	($$ n := pure(1); j := waits(n); $$, '{}'),
	($$ x := tells_time(); $$, '{"4 error UD008 in tells_time(), line 3: function clock_timestamp() returns another time at each replay"}'),
	(E' IF is_odd(n) THEN\n  x := tells_time_too(); END IF;', '{"5 error UD008 in tells_time(), line 3: function clock_timestamp() returns another time at each replay"}'),
	($$ n := loops(3); $$, '{"4 error UD008 in loops(integer), line 1: function nextval() counts on at each replay"}'),
	($$ IF t ==== t THEN n := 1; END IF; $$, '{"4 error UD008 in random_wait(), line 1: function pg_sleep() blocks a worker"}'),
	-- durable's functions
	($$ PERFORM durable.start_instance('child'); $$, '{"4 error UD008 function durable.start_instance() is for clients"}'),
	($$ PERFORM durable.raise_event('a', 'b'); $$, '{"4 error UD008 function durable.raise_event() is for clients"}'),
	($$ PERFORM durable.continue_as_new('1'), durable.set_custom_status('1'), durable.send_event('a', 'b'), durable.log_message('a'); $$, '{}'),
	-- what would not even run
	($$ n := no_such_function(1); $$, '{"4 error 42883 function no_such_function(integer) does not exist"}'),
	($$ n := no_such_variable; $$, '{"4 error 42703 column \"no_such_variable\" does not exist"}'),
	($$ s := t.b || t.c; $$, '{"4 error 42703 record \"t\" has no field \"c\""}'),
	($$ SELECT 1 AS one INTO r; n := r.one; r := (1, 2); $$, '{}'),
	($$ SELECT 1 AS one INTO r; n := r.two; $$, '{"4 error 42703 record \"r\" has no field \"two\""}'),
	($$ EXECUTE 'SELECT 1 AS one' INTO r; n := r.one; $$, '{"4 warning 0A000 EXECUTE runs a statement that cannot be seen here","4 warning 55000 record \"r\" is not assigned yet: The tuple structure of a not-yet-assigned record is indeterminate."}'),
	(E' n := 1\n n := 2;', '{"5 error 42601 syntax error at or near \":=\""}'),
	-- statements of all kinds are read
	($$ CASE n WHEN 1 THEN x := clock_timestamp(); ELSE NULL; END CASE; $$, '{"4 error UD008 function clock_timestamp() returns another time at each replay"}'),
	(E' FOR n IN 1 .. 2 LOOP\n WHILE n > 1 LOOP\n LOOP\n EXIT WHEN clock_timestamp() > x; END LOOP; END LOOP; END LOOP;', '{"7 error UD008 function clock_timestamp() returns another time at each replay"}'),
	(E' FOREACH n IN ARRAY ARRAY[1] LOOP\n RAISE NOTICE ''%'', clock_timestamp(); END LOOP; ASSERT timeofday() <> '''';', '{"5 error UD008 function clock_timestamp() returns another time at each replay","5 error UD008 function timeofday() returns another time at each replay"}'),
	(E' DECLARE a timestamptz := clock_timestamp();\n c CURSOR FOR SELECT * FROM things;\n BEGIN\n OPEN c; CLOSE c; END;', '{"4 error UD008 function clock_timestamp() returns another time at each replay","5 error UD008 reads table things"}');

SELECT durable.register_activity('registered', 'same(jsonb)') \g /dev/null
SELECT durable.register_activity('external', 'same(jsonb)', external => true) \g /dev/null
SELECT durable.register_activity('versioned', 'same(jsonb)', version => '2') \g /dev/null
SELECT durable.register_orchestrator('registered child', 'child(jsonb)') \g /dev/null
SET search_path = app, public;
SELECT is(check_body(body), finds, 'case ' || n || ': ' || btrim(translate(body, E'\n', ' '))) FROM cases ORDER BY n;
SELECT is((SELECT count(*) FROM durable.instances) || effects(), '0', 'nothing was run');

-- ---------------------------------------------------------------------------
-- The function itself

CREATE FUNCTION no_return(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	IF input IS NULL THEN RETURN '1'; ELSIF input = '2' THEN RAISE EXCEPTION 'no'; END IF;
END $$;
CREATE FUNCTION returns(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	IF input IS NULL THEN RETURN '1'; ELSE
		BEGIN
			CASE WHEN input = '1' THEN RETURN input; WHEN input = '2' THEN RAISE EXCEPTION 'no'; END CASE;
		EXCEPTION WHEN OTHERS THEN LOOP RETURN '1'; END LOOP; END;
	END IF;
END $$;
CREATE FUNCTION returns_nothing() RETURNS void LANGUAGE plpgsql AS $$ BEGIN PERFORM durable.sleep('1 s'); END $$;
CREATE FUNCTION in_sql(input jsonb) RETURNS jsonb LANGUAGE sql AS $$
	SELECT to_jsonb(clock_timestamp());

	SELECT durable.call_activity('none',
		(SELECT to_jsonb(a) FROM things WHERE a = (input ->> 'a')::int AND b <> timeofday())) $$;
CREATE FUNCTION in_sql_calm(input jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT durable.call_activity('same', $1 -> 'a') $$;
CREATE FUNCTION parsed(input jsonb) RETURNS jsonb LANGUAGE sql BEGIN ATOMIC SELECT 1; SELECT to_jsonb(clock_timestamp()); END;
CREATE FUNCTION parsed_return(input jsonb) RETURNS jsonb LANGUAGE sql RETURN durable.call_activity('same', input);
SELECT is(found('no_return(jsonb)'), '{"2 error 2F005 control may reach the end of the function without RETURN"}', 'a way without RETURN');
SELECT is(found('returns(jsonb)') || found('returns_nothing()'), '{}', 'RETURN on all ways, or nothing to return');
SELECT is(found('in_sql(jsonb)'), '{"2 error UD008 function clock_timestamp() returns another time at each replay","4 error 42883 activity \"none\" does not exist: No such function is in the search_path: app, public.","4 error UD008 reads table things","5 error UD008 function timeofday() returns another time at each replay"}', 'a body in SQL');
SELECT is(found('in_sql_calm(jsonb)') || found('parsed_return(jsonb)'), '{}', 'SQL that may be an orchestrator');
SELECT is(found('parsed(jsonb)'), '{"- error UD008 function clock_timestamp() returns another time at each replay"}', 'a body that is kept parsed has no lines');
SELECT is(found('pure(int)'), '{"- error 42P13 function pure(integer) cannot be an orchestrator: An orchestrator returns jsonb."}', 'the signature');
SELECT is((found('jsonb_typeof(jsonb)'))[2], '- error UD008 function jsonb_typeof(jsonb) is written in internal, which cannot be checked', 'another language');

-- Types of polymorphic arguments are those of the call; records have the fields of what they are given.
CREATE FUNCTION poly(a anyelement, VARIADIC b anyarray) RETURNS anyelement LANGUAGE plpgsql AS $$ BEGIN RETURN coalesce(a || b[1], clock_timestamp()::text); END $$;
CREATE FUNCTION poly_sql(a anyelement, b anyarray) RETURNS anyelement LANGUAGE sql AS 'SELECT a || b[1]';
CREATE FUNCTION types(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
<<block>>
DECLARE
	r record; r2 record; c CURSOR (k int) FOR SELECT i AS v, k AS kk FROM generate_series(1, k) i;
	t things%ROWTYPE; ts things[]; n int; s text;
BEGIN
	s := poly('a'::text, 'b', 'c') || poly_sql('a'::text, ARRAY['b']);
	SELECT * INTO r FROM jsonb_each(input);
	r2 := r; s := r2.key; r2 := t; s := r2.b;
	FOR r IN c(3) LOOP n := r.v + r.kk + r.none; END LOOP;
	ts[1] := ROW(1, 'a')::things; ts[1].a := block.n;
	FOREACH t IN ARRAY ts LOOP n := t.a; END LOOP;
	GET DIAGNOSTICS n = ROW_COUNT;
	RETURN jsonb_build_array(n, s);
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS s = MESSAGE_TEXT;
	RETURN to_jsonb(s || SQLERRM);
END $$;
SELECT is(found('types(jsonb)'), '{"7 error UD008 in poly(anyelement,anyarray), line 1: function clock_timestamp() returns another time at each replay","10 error 42703 record \"r\" has no field \"none\""}', 'types of variables');

-- The body is read with what the function SETs, names that the engine looks up later without.
RESET SESSION AUTHORIZATION;
CREATE SCHEMA aside AUTHORIZATION app;
SET SESSION AUTHORIZATION app;
CREATE TABLE aside.things (a int, c text);
CREATE FUNCTION aside.helper() RETURNS jsonb LANGUAGE sql AS 'SELECT NULL::jsonb';
CREATE FUNCTION aside.activity() RETURNS jsonb LANGUAGE sql AS 'SELECT NULL::jsonb';
CREATE FUNCTION set_path(input jsonb) RETURNS jsonb LANGUAGE plpgsql SET search_path = aside AS $$
DECLARE t things;
BEGIN
	t.c := helper();
	PERFORM durable.call_activity('activity');
	PERFORM durable.call_activity('same');
	RETURN NULL;
END $$;
SELECT is(found('set_path(jsonb)'), '{"5 error 42883 activity \"activity\" does not exist: No such function is in the search_path: app, public."}', 'SET search_path of the function');
SELECT is(current_setting('search_path'), 'app, public', 'which ends with the check');

-- A function that is checked by another session, or by itself, runs as before.
CREATE FUNCTION checks_itself() RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE r record; n bigint;
BEGIN
	SELECT 1 AS a INTO r;
	SELECT count(*) INTO n FROM durable.check_orchestrator('checks_itself()');
	RETURN n + r.a;
END $$;
SELECT is(checks_itself() || ' ' || checks_itself(), '3 3', 'a function that runs may be checked');

-- Each of durable's functions is known to be for clients or for orchestrators.
CREATE FUNCTION call_of(function regprocedure) RETURNS text LANGUAGE sql AS
$$
	SELECT format(' PERFORM durable.%I(%s);', proname, string_agg('NULL::' || CASE format_type(t, NULL)
		WHEN '"any"' THEN 'text' WHEN 'anyarray' THEN 'durable.task[]' ELSE format_type(t, NULL) END, ', ' ORDER BY n))
	FROM pg_proc LEFT JOIN unnest(proargtypes) WITH ORDINALITY a (t, n) ON true WHERE oid = $1 GROUP BY proname
$$;
SELECT is((SELECT string_agg(DISTINCT proname, ' ' ORDER BY proname) FROM pg_proc
	WHERE pronamespace = 'durable'::regnamespace AND prokind = 'f' AND check_body(call_of(oid)) = '{}'),
	'attempt await await_all await_any call_activity call_sql call_suborchestrator cancel_timer continue_as_new create_timer create_timer_at execution_id expect_event instance_id instance_tags instance_version is_replaying log_message new_guid orchestration_time parent_instance_id retry_policy schedule_activity schedule_sql schedule_suborchestrator send_event set_custom_status sleep sleep_until start_detached task_eq task_hash task_id task_in task_ne task_out wait_for_event',
	'what is not for clients is for orchestrators');

-- ---------------------------------------------------------------------------
-- Hubs and errors

SELECT durable.create_hub('other hub');
SELECT is((SELECT count(*) FROM durable.check_orchestrator('in_sql_calm(jsonb)', task_hub => 'other hub')), 0::bigint, 'another hub');
SELECT throws_ok($$ SELECT * FROM durable.check_orchestrator('in_sql_calm(jsonb)', 'no hub') $$, '42704', NULL, 'a hub that is not there');
SELECT throws_ok($$ SELECT * FROM durable.check_orchestrator(NULL) $$, '22004', NULL, 'no function');
SELECT * FROM finish();
