-- durable.orchestrator_checks: what an orchestrator may not do (semantics.md 10.2) is
-- refused, warned of, or let through.
\ir include/setup.psql
SELECT no_plan();

SELECT is((SELECT boot_val || ' ' || context FROM pg_settings WHERE name = 'durable.orchestrator_checks'), 'error user', 'checks are on by default, and for anybody to set');

-- What superusers provide: C functions of extensions, and one that is stable.
RESET SESSION AUTHORIZATION;
CREATE FUNCTION app.dblink_any() RETURNS timestamptz LANGUAGE internal VOLATILE AS 'clock_timestamp';
CREATE FUNCTION app.tick() RETURNS timestamptz LANGUAGE internal VOLATILE AS 'clock_timestamp';
CREATE FUNCTION app.tock() RETURNS timestamptz LANGUAGE internal STABLE AS 'now';
CREATE FUNCTION app.volatile_equals(int, int) RETURNS boolean LANGUAGE internal VOLATILE STRICT AS 'int4eq';
CREATE FUNCTION app.volatile_sum(int, int) RETURNS int LANGUAGE internal VOLATILE STRICT AS 'int4pl';
SET SESSION AUTHORIZATION app;
CREATE SEQUENCE numbers;
SELECT nextval('numbers') \g /dev/null
CREATE TABLE stock (sku text);
CREATE VIEW stock_view AS SELECT * FROM stock;
CREATE FUNCTION on_stock() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM nextval('numbers'); RETURN NEW; END $$;
CREATE TRIGGER on_stock_view INSTEAD OF INSERT ON stock_view FOR EACH ROW EXECUTE FUNCTION on_stock();
CREATE TRIGGER on_stock BEFORE INSERT ON stock FOR EACH STATEMENT EXECUTE FUNCTION on_stock();

CREATE TABLE rules (id text PRIMARY KEY, code text, what text, hint text);
INSERT INTO rules VALUES
	('clock', 'PERFORM clock_timestamp();', 'function clock_timestamp()', 'Use now()'),
	('timeofday', 'PERFORM timeofday();', 'function timeofday()', 'Use now()'),
	('now literal', $$DECLARE t timestamptz; BEGIN t := 'now'; END;$$, 'the literal ''now'' of type timestamp with time zone', 'Use now()'),
	('today literal', $$PERFORM date 'Today';$$, 'the literal ''today'' of type date', 'Use now()'),
	('tomorrow literal', $$IF now() > 'tomorrow 10:00' THEN NULL; END IF;$$, 'the literal ''tomorrow'' of type timestamp with time zone', 'Use now()'),
	('yesterday literal', $$PERFORM $d$[yesterday,)$d$::daterange;$$, 'the literal ''yesterday'' of type daterange', 'Use now()'),
	('array literal', $$PERFORM '{2020-01-01, now}'::timestamp[];$$, 'the literal ''now'' of type timestamp without time zone[]', 'Use now()'),
	('guid', 'PERFORM gen_random_uuid();', 'function gen_random_uuid()', 'Use durable.new_guid()'),
	('setseed', 'PERFORM setseed(0.5);', 'function setseed(double precision)', 'Leave the seed alone'),
	('table', 'PERFORM 1 FROM stock;', 'reading table app.stock', 'Read it in an activity'),
	('view', 'PERFORM 1 FROM stock_view;', 'reading view app.stock_view', 'Read it in an activity'),
	('catalog', 'PERFORM 1 FROM pg_class;', 'reading table pg_catalog.pg_class', 'Read it in an activity'),
	('own views', 'PERFORM 1 FROM durable.instances;', 'reading view durable.instances', 'Read it in an activity'),
	('sample', 'PERFORM 1 FROM stock TABLESAMPLE SYSTEM (10);', 'reading table app.stock', 'Read it in an activity'),
	('row lock', 'PERFORM 1 FROM stock FOR UPDATE;', 'reading table app.stock', 'Read it in an activity'),
	('insert', $$INSERT INTO stock VALUES ('a');$$, 'writing to table app.stock', 'write in an activity'),
	('update', $$UPDATE stock SET sku = 'b';$$, 'writing to table app.stock', 'write in an activity'),
	('delete', $$DELETE FROM stock;$$, 'writing to table app.stock', 'write in an activity'),
	('writing with', $$WITH w AS (DELETE FROM stock RETURNING 1) SELECT count(*) INTO n FROM w;$$, 'writing to table app.stock', 'write in an activity'),
	('ddl', 'CREATE TABLE made (a int);', 'command CREATE TABLE', 'run it in an activity'),
	('temporary table', 'CREATE TEMPORARY TABLE made (a int);', 'command CREATE TABLE', 'run it in an activity'),
	('copy', $$EXECUTE 'COPY (SELECT 1) TO PROGRAM ''true''';$$, 'command COPY', 'run it in an activity'),
	('do', $$EXECUTE 'DO ''BEGIN END''';$$, 'command DO', 'run it in an activity'),
	('lock', 'LOCK TABLE stock;', 'command LOCK TABLE', 'run it in an activity'),
	('prepare', $$EXECUTE 'PREPARE p AS SELECT 1';$$, 'command PREPARE', 'run it in an activity'),
	('set', $$SET work_mem = '1MB';$$, 'command SET', 'SET clause'),
	('set_config', $$PERFORM set_config('work_mem', '1MB', true);$$, 'function set_config(text,text,boolean)', 'SET clause'),
	('notify', 'NOTIFY channel;', 'command NOTIFY', 'Notify in an activity'),
	('pg_notify', $$PERFORM pg_notify('channel', '');$$, 'function pg_notify(text,text)', 'Notify in an activity'),
	('listen', 'LISTEN channel;', 'command LISTEN', 'durable.wait_for_event()'),
	('cursor', $$EXECUTE 'DECLARE c CURSOR WITH HOLD FOR SELECT 1';$$, 'command DECLARE CURSOR', 'within one turn'),
	('nextval', $$PERFORM nextval('numbers');$$, 'function nextval(regclass)', 'durable.call_sql'),
	('currval', $$PERFORM currval('numbers');$$, 'function currval(regclass)', 'durable.call_sql'),
	('setting', $$PERFORM current_setting('work_mem');$$, 'function current_setting(text)', 'in the input'),
	('version', 'PERFORM version();', 'function version()', 'Call it in an activity'),
	('client', 'PERFORM inet_client_addr();', 'function inet_client_addr()', 'in the input'),
	('pid', 'PERFORM pg_backend_pid();', 'function pg_backend_pid()', 'in the input'),
	('user', 'PERFORM current_user;', 'CURRENT_USER', 'in the input'),
	('database', 'PERFORM current_catalog;', 'CURRENT_CATALOG', 'in the input'),
	('xid', 'PERFORM txid_current();', 'function txid_current()', 'call it in an activity'),
	('snapshot', 'PERFORM pg_current_snapshot();', 'function pg_current_snapshot()', 'call it in an activity'),
	('privilege', $$PERFORM has_table_privilege('stock', 'select');$$, 'function has_table_privilege(text,text)', 'Call it in an activity'),
	('regclass', $$PERFORM to_regclass('stock');$$, 'function to_regclass(text)', 'Call it in an activity'),
	('state', 'PERFORM pg_is_in_recovery();', 'function pg_is_in_recovery()', 'Call it in an activity'),
	('sleep', 'PERFORM pg_sleep(0);', 'function pg_sleep(double precision)', 'durable.sleep()'),
	('advisory lock', 'PERFORM pg_advisory_xact_lock(1);', 'function pg_advisory_xact_lock(bigint)', 'Lock in an activity'),
	('large object', 'PERFORM lo_get(1);', 'function lo_get(oid)', 'Call it in an activity'),
	('network', 'PERFORM dblink_any();', 'function dblink_any()', 'external => true'),
	('extension', 'PERFORM tick();', 'function tick()', 'durable.call_sql()');

-- In each statement of PL/pgSQL that evaluates something.
INSERT INTO rules SELECT 'in ' || id, code, 'function clock_timestamp()', 'Use now()' FROM (VALUES
	('declare', 'DECLARE t timestamptz := clock_timestamp(); BEGIN END;'), ('return', 'RETURN to_jsonb(clock_timestamp());'),
	('assign', 'n := extract(year FROM clock_timestamp());'), ('if', 'IF clock_timestamp() IS NULL THEN END IF;'),
	('elsif', 'IF false THEN ELSIF clock_timestamp() IS NULL THEN END IF;'), ('while', 'WHILE clock_timestamp() IS NULL LOOP END LOOP;'),
	('case', 'CASE WHEN clock_timestamp() IS NOT NULL THEN NULL; END CASE;'), ('for', 'FOR i IN 1 .. extract(day FROM clock_timestamp()) LOOP END LOOP;'),
	('query loop', 'FOR n IN SELECT 1 WHERE clock_timestamp() IS NULL LOOP END LOOP;'), ('foreach', 'FOREACH n IN ARRAY ARRAY[extract(day FROM clock_timestamp())::int] LOOP END LOOP;'),
	('raise', 'RAISE DEBUG ''%'', clock_timestamp();'), ('raise option', 'RAISE DEBUG USING MESSAGE = clock_timestamp()::text;'),
	('exit', 'LOOP EXIT WHEN clock_timestamp() IS NOT NULL; END LOOP;'), ('assert', 'ASSERT clock_timestamp() IS NOT NULL;'),
	('execute', 'EXECUTE ''SELECT clock_timestamp()'';'), ('using', 'EXECUTE ''SELECT $1'' USING clock_timestamp();'),
	('dynamic loop', 'FOR n IN EXECUTE ''SELECT 1 WHERE $1 IS NULL'' USING clock_timestamp() LOOP END LOOP;'),
	('cursor loop', 'DECLARE c CURSOR FOR SELECT 1 WHERE clock_timestamp() IS NULL; BEGIN FOR r IN c LOOP END LOOP; END;'),
	('open', 'DECLARE c refcursor; BEGIN OPEN c FOR SELECT clock_timestamp(); CLOSE c; END;'),
	('into', 'SELECT 1 INTO n WHERE clock_timestamp() IS NOT NULL;')) v(id, code);

-- What could hide a call.
CREATE FUNCTION inlined() RETURNS timestamptz LANGUAGE sql AS 'SELECT clock_timestamp()';
CREATE FUNCTION inlined_set() RETURNS SETOF timestamptz LANGUAGE sql STABLE AS 'SELECT clock_timestamp() FROM generate_series(1, 2)';
CREATE FUNCTION inlined_word() RETURNS boolean LANGUAGE sql AS $$ SELECT now() > 'now' $$;
CREATE FUNCTION folded(int) RETURNS timestamptz LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN clock_timestamp(); END';
CREATE FUNCTION helper() RETURNS text LANGUAGE plpgsql AS 'DECLARE t text := clock_timestamp(); BEGIN RETURN t; END';
CREATE FUNCTION deep() RETURNS text LANGUAGE sql AS 'SELECT helper()';
CREATE FUNCTION with_default(a timestamptz DEFAULT clock_timestamp()) RETURNS timestamptz LANGUAGE plpgsql AS 'BEGIN RETURN a; END';
CREATE OPERATOR === (FUNCTION = volatile_equals, LEFTARG = int, RIGHTARG = int);
CREATE TYPE box_of_int AS (a int);
CREATE FUNCTION boxed(int) RETURNS box_of_int LANGUAGE sql AS 'SELECT ROW(extract(year FROM clock_timestamp())::int)::box_of_int';
CREATE CAST (int AS box_of_int) WITH FUNCTION boxed(int);
CREATE DOMAIN late AS text CHECK (VALUE <> clock_timestamp()::text);
CREATE TYPE lately AS (a int, d late);
CREATE DOMAIN later AS late;
CREATE FUNCTION returns_domain() RETURNS late LANGUAGE plpgsql AS $$ BEGIN RETURN 'x'; END $$;
CREATE FUNCTION casts_to_row() RETURNS lately LANGUAGE plpgsql AS $$ DECLARE r lately; t text := 'x'; BEGIN r.d := t; RETURN r; END $$;
CREATE TYPE mood AS ENUM ('good', 'bad');
CREATE FUNCTION to_mood(int) RETURNS mood LANGUAGE sql AS $$ SELECT CASE WHEN clock_timestamp() IS NULL THEN 'bad' ELSE 'good' END::mood $$;
CREATE FUNCTION from_mood(mood) RETURNS int LANGUAGE sql AS $$ SELECT extract(year FROM c)::int FROM (SELECT clock_timestamp() c) x $$;
CREATE CAST (int AS mood) WITH FUNCTION to_mood(int) AS ASSIGNMENT;
CREATE CAST (mood AS int) WITH FUNCTION from_mood(mood) AS ASSIGNMENT;
CREATE FUNCTION casts_int() RETURNS mood LANGUAGE plpgsql AS $$ DECLARE i int := 1; m mood; BEGIN m := i; RETURN m; END $$;
CREATE FUNCTION returns_int() RETURNS mood LANGUAGE plpgsql AS $$ DECLARE i int := 1; BEGIN RETURN i; END $$;
CREATE FUNCTION casts_mood() RETURNS int LANGUAGE plpgsql AS $$ DECLARE m mood := 'bad'; BEGIN RETURN m; END $$;
RESET SESSION AUTHORIZATION;
CREATE FUNCTION app.tick_of(app.mood) RETURNS timestamptz LANGUAGE internal VOLATILE AS 'clock_timestamp';
CREATE CAST (app.mood AS timestamptz) WITH FUNCTION app.tick_of(app.mood) AS ASSIGNMENT;
SET SESSION AUTHORIZATION app;
CREATE FUNCTION casts_in_c() RETURNS timestamptz LANGUAGE plpgsql AS $$ DECLARE m mood := 'good'; BEGIN RETURN m; END $$;
CREATE FUNCTION is_late(text) RETURNS boolean LANGUAGE sql AS $$ SELECT $1 <> c FROM (SELECT clock_timestamp()::text c) x $$;
CREATE DOMAIN late_by_function AS text CHECK (is_late(VALUE));
CREATE FUNCTION casts_to_domain() RETURNS text LANGUAGE plpgsql AS $$ DECLARE d late_by_function; t text := 'x'; BEGIN d := t; RETURN d; END $$;
CREATE FUNCTION in_parallel() RETURNS text LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$ DECLARE t text; BEGIN EXECUTE 'SELECT clock_timestamp()' INTO t; RETURN t; END $$;
CREATE AGGREGATE volatile_total(int) (SFUNC = volatile_sum, STYPE = int, INITCOND = '0');
CREATE PROCEDURE proc(a int) LANGUAGE plpgsql AS 'BEGIN PERFORM clock_timestamp(); END';
CREATE FUNCTION look() RETURNS bigint LANGUAGE sql STABLE AS 'SELECT count(*) FROM stock';
INSERT INTO rules VALUES
	('hidden: inlined', 'PERFORM inlined();', 'function clock_timestamp()', 'Use now()'),
	('hidden: inlined set', 'PERFORM * FROM inlined_set();', 'function clock_timestamp()', 'Use now()'),
	('hidden: inlined literal', 'PERFORM inlined_word();', 'the literal ''now'' of type timestamp with time zone', 'Use now()'),
	('hidden: folded', 'PERFORM folded(1);', 'function clock_timestamp()', 'Use now()'),
	('hidden: helper', 'PERFORM helper();', 'function clock_timestamp()', 'Use now()'),
	('hidden: deep', 'PERFORM deep();', 'function clock_timestamp()', 'Use now()'),
	('hidden: default', 'PERFORM with_default();', 'function clock_timestamp()', 'Use now()'),
	('hidden: operator', 'PERFORM 1 === 1;', 'function volatile_equals(integer,integer)', 'durable.call_sql()'),
	('hidden: cast', 'PERFORM 1::box_of_int;', 'function clock_timestamp()', 'Use now()'),
	('hidden: domain', $$PERFORM 'x'::late;$$, 'function clock_timestamp()', 'Use now()'),
	('hidden: domain of a variable', 'DECLARE d late; BEGIN END;', 'function clock_timestamp()', 'Use now()'),
	('hidden: domain over a domain', 'DECLARE d later; BEGIN END;', 'function clock_timestamp()', 'Use now()'),
	('hidden: domain in a row', 'DECLARE d lately; BEGIN d.d := ''x''; END;', 'function clock_timestamp()', 'Use now()'),
	('hidden: domain in an array', 'DECLARE d lately[]; BEGIN END;', 'function clock_timestamp()', 'Use now()'),
	('hidden: domain of a result', 'PERFORM returns_domain();', 'function clock_timestamp()', 'Use now()'),
	('hidden: cast of a variable', 'PERFORM casts_int();', 'function clock_timestamp()', 'Use now()'),
	('hidden: inlined cast of a result', 'PERFORM returns_int();', 'function clock_timestamp()', 'Use now()'),
	('hidden: cast in C', 'PERFORM casts_in_c();', 'function tick_of(mood)', 'durable.call_sql()'),
	('hidden: cast of a result', 'PERFORM casts_mood();', 'function clock_timestamp()', 'Use now()'),
	('hidden: function of a domain', 'PERFORM casts_to_domain();', 'function clock_timestamp()', 'Use now()'),
	('hidden: after an error of the planner', 'BEGIN PERFORM 1 / 0; EXCEPTION WHEN division_by_zero THEN NULL; END; PERFORM inlined();', 'function clock_timestamp()', 'Use now()'),
	('hidden: after a refusal', 'BEGIN PERFORM 1 FROM stock; EXCEPTION WHEN OTHERS THEN NULL; END; PERFORM inlined();', 'function clock_timestamp()', 'Use now()'),
	('view with trigger', 'INSERT INTO stock_view VALUES (''a'');', 'writing to view app.stock_view', 'write in an activity'),
	('merge', 'MERGE INTO stock s USING (VALUES (1)) v (a) ON false WHEN NOT MATCHED THEN INSERT VALUES (''a'');', 'writing to table app.stock', 'write in an activity'),
	('truncate', 'TRUNCATE stock;', 'command TRUNCATE TABLE', 'run it in an activity'),
	('create as', 'CREATE TABLE made AS SELECT 1 AS a;', 'command CREATE TABLE AS', 'run it in an activity'),
	('show', 'DECLARE s text; BEGIN EXECUTE ''SHOW work_mem'' INTO s; END;', 'command SHOW', 'in the input'),
	('explain', 'DECLARE s text; BEGIN EXECUTE ''EXPLAIN ANALYZE SELECT clock_timestamp()'' INTO s; END;', 'command EXPLAIN', 'run it in an activity'),
	('reset', 'RESET work_mem;', 'command RESET', 'SET clause'),
	('open cursor', 'DECLARE c CURSOR FOR SELECT * FROM stock; BEGIN OPEN c; END;', 'reading table app.stock', 'Read it in an activity'),
	('sub-select', 'n := (SELECT count(*) FROM stock);', 'reading table app.stock', 'Read it in an activity'),
	('sequence', 'PERFORM last_value FROM numbers;', 'reading sequence app.numbers', 'Read it in an activity'),
	('xml of a table', 'PERFORM table_to_xml(''stock'', true, true, '''');', 'function table_to_xml(regclass,boolean,boolean,text)', 'Call it in an activity'),
	('text search', 'PERFORM to_tsvector(''words'');', 'function to_tsvector(text)', 'Name the configuration'),
	('age of an xid', 'PERFORM age(''3''::xid);', 'function age(xid)', 'durable.execution_id()'),
	('hidden: procedure', 'CALL proc(1);', 'function clock_timestamp()', 'Use now()'),
	('hidden: argument of a procedure', 'CALL proc(extract(day FROM timeofday()::date)::int);', 'function timeofday()', 'Use now()'),
	('hidden: table', 'PERFORM look();', 'reading table app.stock', 'Read it in an activity');

-- May be done.
CREATE PROCEDURE fine_proc(a int) LANGUAGE plpgsql AS $$ BEGIN a := a + 1; END $$;
CREATE TABLE fine (id text PRIMARY KEY, code text);
INSERT INTO fine VALUES
	('times', 'PERFORM now(), current_timestamp, current_date, localtime, localtimestamp, current_time, statement_timestamp(), transaction_timestamp(), age(now());'),
	('random', 'PERFORM random(); PERFORM g FROM generate_series(1, 3) g ORDER BY random();'),
	('fine guid', 'PERFORM durable.new_guid();'),
	('fine sleep', 'PERFORM durable.sleep(''0 s'');'),
	('read and write', $$PERFORM durable.call_sql('INSERT INTO stock VALUES (''a'') RETURNING *'), durable.call_sql('SELECT count(*) FROM stock'), durable.call_sql('SELECT nextval(''numbers'')');$$),
	('fine notify', $$PERFORM durable.call_sql('SELECT pg_notify(''channel'', '''')');$$),
	('fine settings', $$PERFORM durable.call_sql('SELECT current_setting(''work_mem''), current_user');$$),
	('row types', 'DECLARE a stock; b stock%ROWTYPE; c stock.sku%TYPE; BEGIN a.sku := ''x''; b := a; c := b.sku; END;'),
	('series', $$PERFORM g FROM generate_series(now(), now() + interval '2 days', '1 day') g;$$),
	('fine text search', $$PERFORM to_tsvector('english', 'words');$$),
	('fine procedure', 'CALL fine_proc(1);'),
	('runtime literals', $$DECLARE t timestamptz; BEGIN EXECUTE 'SELECT $1::timestamptz' INTO t USING 'now'::text; IF t <> now() THEN RAISE 'other time'; END IF; END;$$),
	('literals', $$PERFORM timestamptz 'epoch', date '2020-01-01', 'now'::text, 'infinity'::date;$$),
	('json', $$PERFORM count(*) FROM jsonb_each('{"a": 1}'); PERFORM format('%s', to_jsonb(1)), pg_typeof(1);$$),
	('stable', 'PERFORM tock();'),
	('cursor variable', 'DECLARE c CURSOR FOR SELECT 1; BEGIN OPEN c; FETCH c INTO n; CLOSE c; END;'),
	('cast of a variable', $$DECLARE d date := '2020-01-01'::text; BEGIN END;$$);

-- The names of the functions are not those of what they call.
CREATE FUNCTION start_rule(id text, suffix text DEFAULT '') RETURNS text LANGUAGE sql AS
$$ SELECT start(quote_ident('rule ' || $1), id => $1 || $2) $$;
CREATE FUNCTION define(id text, code text) RETURNS void LANGUAGE plpgsql AS
$$
BEGIN
	EXECUTE format('CREATE FUNCTION %I(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS %L', 'rule ' || id, 'DECLARE n int; BEGIN ' || code || ' RETURN ''1''; END');
END $$;
SELECT define(id, code) FROM rules UNION ALL SELECT define(id, code) FROM fine \g /dev/null

-- ---------------------------------------------------------------------------
-- error; twice in one transaction, the second time with everything planned and initialised

SELECT start_rule(id) FROM rules UNION ALL SELECT start_rule(id) FROM fine \g /dev/null
SELECT start_rule(id, ' again') FROM rules \g /dev/null
:run
SELECT is(outcome(id), 'failed UD008 ' || what || ' is not allowed in an orchestrator', id) FROM rules;
SELECT is(outcome(id || ' again'), outcome(id), id || ', again') FROM rules;
SELECT matches(failure(id, 'hint'), regexp_replace(hint, '([()])', '\\\1', 'g'), id || ': the hint') FROM rules;
SELECT isnt(coalesce(failure(id, 'detail'), ''), '', id || ': why') FROM rules;
SELECT is(outcome(id), 'completed 1', id || ' may be done') FROM fine;

-- A function that is no part of an expression of its own.
CREATE FUNCTION totals(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN (SELECT to_jsonb(volatile_total(g)) FROM generate_series(1, 3) g); END $$;
SELECT start('totals');
:run
SELECT is(outcome('totals'), 'failed UD008 function volatile_sum(integer,integer) is not allowed in an orchestrator', 'an aggregate does not hide what it is made of');

-- ---------------------------------------------------------------------------
-- A helper that an activity used before, in the same transaction and session

CREATE FUNCTION activity_first(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
BEGIN
	IF input ->> 'function' = 'inlined' THEN
		PERFORM durable.call_activity('act', '"inlined"');
		RETURN act('"inlined"');
	END IF;
	PERFORM durable.call_activity('act', input -> 'function');
	RETURN act(input -> 'function');
END $$;
CREATE FUNCTION act(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
DECLARE
	n bigint := 0;
BEGIN
	CASE input #>> '{}'
		WHEN 'inlined' THEN RETURN to_jsonb(inlined());
		WHEN 'folded' THEN RETURN to_jsonb(folded(1));
		WHEN 'helper' THEN RETURN to_jsonb(helper());
		WHEN 'deep' THEN RETURN to_jsonb(deep());
		WHEN 'default' THEN RETURN to_jsonb(with_default());
		WHEN 'operator' THEN RETURN to_jsonb(1 === 1);
		WHEN 'domain' THEN RETURN to_jsonb('x'::late);
		WHEN 'result' THEN RETURN to_jsonb(returns_domain());
		WHEN 'row' THEN RETURN to_jsonb(casts_to_row());
		WHEN 'cast' THEN RETURN to_jsonb(casts_int());
		WHEN 'result cast' THEN RETURN to_jsonb(returns_int());
		WHEN 'cast in C' THEN RETURN to_jsonb(casts_in_c());
		WHEN 'cast back' THEN RETURN to_jsonb(casts_mood());
		WHEN 'domain by function' THEN RETURN to_jsonb(casts_to_domain());
		WHEN 'table' THEN SELECT count(*) INTO n FROM stock; RETURN n;
	END CASE;
END $$;
SELECT start('activity_first', jsonb_build_object('function', f), 'after an activity: ' || f)
FROM unnest(ARRAY['inlined', 'folded', 'helper', 'deep', 'default', 'operator', 'domain', 'result', 'row', 'cast', 'cast in C', 'result cast', 'cast back', 'domain by function', 'table']) f \g /dev/null
BEGIN;
SELECT is(act(to_jsonb(f)) IS NULL, false, 'outside an orchestrator ' || f || ' is no matter') FROM unnest(ARRAY['inlined', 'folded', 'helper', 'deep', 'default', 'operator', 'domain', 'result', 'row', 'cast', 'cast in C', 'result cast', 'cast back', 'domain by function', 'table']) f;
:run
SELECT is(failure('after an activity: ' || f, 'sqlstate'), 'UD008', 'refused after an activity did it in this transaction: ' || f)
FROM unnest(ARRAY['inlined', 'folded', 'helper', 'deep', 'default', 'operator', 'domain', 'result', 'row', 'cast', 'cast in C', 'result cast', 'cast back', 'domain by function', 'table']) f;
SELECT is(act(to_jsonb(f)) IS NULL, false, 'and outside it goes on to be no matter: ' || f) FROM unnest(ARRAY['inlined', 'folded', 'helper', 'deep', 'default', 'operator', 'domain', 'result', 'row', 'cast', 'cast in C', 'result cast', 'cast back', 'domain by function', 'table']) f;
COMMIT;
SELECT is(events('after an activity: helper', 'TaskCompleted'), 1::bigint, 'the activity itself was let through');

-- In no parallel worker, which knows of no orchestrator.
SELECT name AS parallel FROM pg_settings WHERE name IN ('force_parallel_mode', 'debug_parallel_query') \gset
CREATE FUNCTION parallel(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN PERFORM in_parallel() FROM generate_series(1, 2); RETURN '1'; END $$;
SELECT set_config(:'parallel', 'on', false) \g /dev/null
SELECT start('parallel');
:run
RESET :parallel;
SELECT is(outcome('parallel'), 'failed UD008 function clock_timestamp() is not allowed in an orchestrator', 'parallel query hides nothing');

-- The functions change after they were found good.
CREATE FUNCTION changes() RETURNS text LANGUAGE plpgsql AS $$ BEGIN RETURN now(); END $$;
CREATE FUNCTION calls_changes(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN to_jsonb(changes() IS NULL); END $$;
SELECT start('calls_changes', id => 'before');
:run
CREATE OR REPLACE FUNCTION changes() RETURNS text LANGUAGE plpgsql AS $$ BEGIN RETURN clock_timestamp(); END $$;
SELECT start('calls_changes', id => 'after');
:run
SELECT is(outcome('before'), 'completed false', 'a helper that is good');
SELECT is(failure('after', 'sqlstate'), 'UD008', 'is looked at again when it was replaced');

-- ---------------------------------------------------------------------------
-- off

SET durable.orchestrator_checks = off;
SELECT start_rule(id, ' off') FROM rules \g /dev/null
:run
SELECT isnt(failure(id || ' off', 'sqlstate'), 'UD008', id || ' is not refused with off') FROM rules;
SELECT is(outcome(id || ' off'), 'completed 1', id || ' runs with off') FROM rules WHERE id IN ('clock', 'table', 'setting', 'user', 'hidden: helper', 'today literal', 'set');
SELECT is(failure('insert off', 'sqlstate'), '25006', 'a write fails all the same: the turn is read-only');
RESET durable.orchestrator_checks;
SELECT start_rule('clock', ' on');
:run
SELECT is(failure('clock on', 'sqlstate'), 'UD008', 'plans that were made without checks are checked');

-- For one function, which is its owner's to say.
CREATE FUNCTION unchecked(input jsonb) RETURNS jsonb LANGUAGE plpgsql SET durable.orchestrator_checks = off AS $$ BEGIN PERFORM helper(); RETURN '1'; END $$;
SELECT start('unchecked');
SELECT start_rule('hidden: helper', ' checked');
:run
SELECT is(outcome('unchecked'), 'completed 1', 'off for one function');
SELECT is(failure('hidden: helper checked', 'sqlstate'), 'UD008', 'not for others that call the same helper');

-- ---------------------------------------------------------------------------
-- warning

\setenv PGDATABASE :DBNAME
\setenv PGHOST :HOST
\setenv PGPORT :PORT
SELECT start_rule(id, ' warned') FROM rules \g /dev/null
\set warnings `PGOPTIONS='-c durable.orchestrator_checks=warning' psql -X -q -U app -c 'SELECT durable.run_until_idle()' 2>&1 | grep '^WARNING:.* is not allowed in an orchestrator' | sed 's/^WARNING:  //; s/ is not allowed in an orchestrator//'`
CREATE TABLE warned AS SELECT unnest(string_to_array(:'warnings', E'\n')) AS what;
SELECT cmp_ok((SELECT count(*) FROM warned w WHERE w.what = r.what), '>=', count(*), what || ' is warned of') FROM rules r WHERE id <> 'hidden: cast in C' GROUP BY what;	-- which only errors see: nothing is planned
SELECT isnt(failure(id || ' warned', 'sqlstate'), 'UD008', id || ' is not refused with warning') FROM rules;

-- ---------------------------------------------------------------------------
-- Whoever catches it goes on, and is refused again at each replay.
CREATE FUNCTION catches(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
DECLARE
	got text := 'done';
BEGIN
	BEGIN
		PERFORM 1 FROM stock;
	EXCEPTION WHEN SQLSTATE 'UD008' THEN
		got := 'refused';
	END;
	PERFORM durable.wait_for_event('go');
	RETURN to_jsonb(got);
END $$;
SELECT start('catches');
:run
SELECT go('catches');
:run
SELECT is(outcome('catches'), 'completed "refused"', 'the refusal is an error like others');

-- ---------------------------------------------------------------------------
-- Trying again does not help

CREATE FUNCTION retries(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$ BEGIN RETURN durable.call_suborchestrator(input ->> 'child', retry => durable.retry_policy(5)); END $$;
CREATE FUNCTION fails(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RAISE 'another time perhaps'; END $$;
SELECT start('retries', '{"child": "rule clock"}', 'retries clock'), start('retries', '{"child": "rule insert"}', 'retries insert'), start('retries', '{"child": "fails"}', 'retries failure');
:run_all
SELECT is(failure('clock', 'isNonRetriable'), 'true', 'a refusal is non-retriable');
SELECT is(events('retries ' || what, 'SubOrchestrationInstanceCreated'), attempts, what || ': tried ' || attempts || ' times')
FROM (VALUES ('clock', 1::bigint), ('insert', 1), ('failure', 5)) v (what, attempts);
SELECT is((SELECT failure -> 'innerFailure' ->> 'isNonRetriable' FROM durable.instances WHERE instance_id = 'retries clock'), 'true', 'the parent tells so');

-- ---------------------------------------------------------------------------
-- random() gives nothing away after the turn

SET durable.double_replay = off;
CREATE FUNCTION draws(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN to_jsonb(random()); END $$;
SELECT start('draws');
:run
SELECT random() AS first \gset
SELECT fits FROM durable.check_replay('draws') \g /dev/null
SELECT random() AS second \gset
SELECT fits FROM durable.check_replay('draws') \g /dev/null
SELECT random() AS third \gset
SELECT is((SELECT fits FROM durable.check_replay('draws')), true, 'in the turn random() repeats');
SELECT is((SELECT count(DISTINCT r) FROM (VALUES (:first), (:second), (:third), ((output('draws') #>> '{}')::float8)) v (r)), 4::bigint, 'after it, it goes on with what nobody knows');
RESET durable.double_replay;

-- ---------------------------------------------------------------------------
-- What the planner calls

CREATE FUNCTION folded_call(x text) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN durable.call_activity('act', to_jsonb(x)); END $$;
CREATE FUNCTION calls_when_planned(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN folded_call('no such'); END $$;
SELECT start('calls_when_planned', '1', 'planned') \g /dev/null
:run
SELECT is(outcome('planned'), 'failed UD008 durable.call_activity() was called while a statement was planned', 'a call in a function that is folded is refused: its result would be kept in the plan');
SELECT matches(failure('planned', 'hint'), 'VOLATILE', 'and the hint says what to do');

-- ---------------------------------------------------------------------------
-- Languages

SELECT throws_ok($$SET durable.orchestrator_languages = 'a,,b'$$, '22023', NULL, 'a list of languages is a list');
RESET SESSION AUTHORIZATION;
CREATE TRUSTED LANGUAGE plother HANDLER plpgsql_call_handler INLINE plpgsql_inline_handler VALIDATOR plpgsql_validator;
CREATE TRUSTED LANGUAGE "PL Third" HANDLER plpgsql_call_handler INLINE plpgsql_inline_handler VALIDATOR plpgsql_validator;
GRANT USAGE ON LANGUAGE plother, "PL Third" TO app;
SET SESSION AUTHORIZATION app;
CREATE FUNCTION in_other(int) RETURNS int LANGUAGE plother IMMUTABLE AS $$ BEGIN RETURN $1 + 1; END $$;
CREATE FUNCTION in_third(int) RETURNS int LANGUAGE "PL Third" AS $$ BEGIN RETURN $1 + 2; END $$;
CREATE FUNCTION in_other_clock() RETURNS text LANGUAGE plother AS $$ DECLARE t text; BEGIN EXECUTE 'SELECT clock_timestamp()' INTO t; RETURN t; END $$;
CREATE FUNCTION calls_other(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN to_jsonb(in_other((input #>> '{}')::int)); END $$;
CREATE FUNCTION calls_third(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN to_jsonb(in_third(1)); END $$;
CREATE FUNCTION calls_other_clock(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN to_jsonb(in_other_clock()); END $$;
CREATE FUNCTION start_other(suffix text) RETURNS bigint LANGUAGE sql AS
$$ SELECT count(start(f, '1', f || ' ' || suffix)) FROM unnest(ARRAY['calls_other', 'calls_third', 'calls_other_clock']) f $$;
SELECT start_other('by default') \g /dev/null
:run
SET durable.orchestrator_languages = 'plother';
SELECT start_other('plother') \g /dev/null
:run
SET durable.orchestrator_languages = 'PLother, "PL Third"';
SELECT start_other('both') \g /dev/null
:run
RESET durable.orchestrator_languages;
SELECT start_other('again') \g /dev/null
:run
SELECT is(outcome(f || ' ' || s), 'failed UD008 function ' || what || ' is not allowed in an orchestrator', format('%s %s: another language is refused', f, s))
FROM (VALUES ('calls_other', 'in_other(integer)'), ('calls_third', 'in_third(integer)'), ('calls_other_clock', 'in_other_clock()')) v (f, what), unnest(ARRAY['by default', 'again']) s;
SELECT is(outcome('calls_other plother'), 'completed 2', 'unless it is allowed');
SELECT is(failure('calls_third plother', 'sqlstate'), 'UD008', 'and only if it is');
SELECT is(outcome('calls_other both') || ' ' || outcome('calls_third both'), 'completed 2 completed 3', 'the list is read as names in SQL are');
SELECT is(failure('calls_other_clock both', 'sqlstate'), 'UD008', 'the SQL such a function runs is looked at all the same');
SELECT matches(failure('calls_other by default', 'hint'), 'durable.orchestrator_languages', 'the hint says how to allow it');
SELECT * FROM finish();
