-- Activities: any function, its arguments, its result, its rights.
\ir include/setup.psql
SELECT plan(106);

-- ---------------------------------------------------------------------------
-- One activity after another

CREATE FUNCTION at_once(input jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT '7'::jsonb $$;
CREATE FUNCTION greeting(input jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT to_jsonb('Hello, ' || (input #>> '{}') || '!') $$;
CREATE FUNCTION greet_by_activity(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
BEGIN
	RETURN durable.call_activity('greeting', input);
END $$;
CREATE FUNCTION plus_one(n int) RETURNS int LANGUAGE sql AS 'SELECT n + 1';
CREATE FUNCTION sequence(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
DECLARE
	n jsonb := '0';
	list jsonb := '[0]';
BEGIN
	FOR i IN 1..10 LOOP
		n := durable.call_activity('plus_one', jsonb_build_object('n', n));
		list := list || n;
	END LOOP;
	RETURN list;
END $$;
CREATE FUNCTION times(a numeric, b numeric) RETURNS numeric LANGUAGE sql AS 'SELECT a * b';
CREATE FUNCTION factorial(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
DECLARE
	product jsonb := '1';
BEGIN
	FOR i IN 1..(input #>> '{}')::int LOOP
		product := durable.call_activity('times', jsonb_build_object('a', product, 'b', i));
	END LOOP;
	RETURN product;
END $$;

SELECT start('at_once');
SELECT start('greeting', '"Ada"');
SELECT start('greet_by_activity', '"Grace"');
SELECT start('sequence');
SELECT start('factorial', '30');
:run

SELECT is(outcome('at_once'), 'completed 7', 'scenario 1: an orchestrator that returns at once completes with its value');
SELECT is(story('at_once'), '[OS ExecutionStarted ExecutionCompleted(0) OC]', 'scenario 1: its history');
SELECT is(outcome('greeting'), 'completed "Hello, Ada!"', 'scenario 2: the output is made from the input');
SELECT is((SELECT input FROM durable.instances WHERE instance_id = 'greeting'), '"Ada"', 'scenario 2: the input is preserved');
SELECT is(outcome('greet_by_activity'), 'completed "Hello, Grace!"', 'scenario 3: one activity, a string in and out');
SELECT is(outcome('sequence'), 'completed [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]', 'scenario 4: a sequence of activities, each adding one');
SELECT is(events('sequence', 'TaskScheduled'), 10::bigint, 'scenario 4: each ran once');
SELECT is(outcome('factorial'), 'completed 265252859812191058636308480000000', 'scenario 5: factorial by sequential activities');

-- ---------------------------------------------------------------------------
-- Arguments

CREATE TYPE mood AS ENUM ('sad', 'happy');
CREATE TYPE product AS (sku text, quantity int);
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE FUNCTION describe(a int, b numeric, note text DEFAULT 'none') RETURNS text LANGUAGE sql AS
$$ SELECT concat_ws(' ', a + b, coalesce(note, 'null')) $$;
CREATE FUNCTION types(d date, i interval, b boolean, u uuid, m mood, t timestamptz, x bytea, f float8, c char(3), r int4range) RETURNS text LANGUAGE sql AS
$$ SELECT concat_ws('|', d, i, b, u, m, t AT TIME ZONE 'UTC', x, f, c, r) $$;
CREATE FUNCTION total(xs int[], factor int) RETURNS bigint LANGUAGE sql AS 'SELECT sum(x) * factor FROM unnest(xs) x';
CREATE FUNCTION listed(xs text[], sep text) RETURNS text LANGUAGE sql AS $$ SELECT array_to_string(xs, sep, 'NULL') $$;
CREATE FUNCTION sold(p product, ps product[]) RETURNS text LANGUAGE sql AS
$$ SELECT p.sku || ':' || p.quantity || ' of ' || (SELECT sum(q.quantity) FROM unnest(ps) q) $$;
CREATE FUNCTION parts(doc jsonb, raw json, n int) RETURNS text LANGUAGE sql AS
$$ SELECT concat_ws(' ', jsonb_typeof(doc), json_typeof(raw), n) $$;
CREATE FUNCTION only_positive(n positive, note text) RETURNS int LANGUAGE sql AS 'SELECT n';
CREATE FUNCTION joined(sep text, VARIADIC parts text[]) RETURNS text LANGUAGE sql AS $$ SELECT array_to_string(parts, sep) $$;
CREATE FUNCTION over(a int) RETURNS text LANGUAGE sql AS $$ SELECT 'int ' || a $$;
CREATE FUNCTION over(b text) RETURNS text LANGUAGE sql AS $$ SELECT 'text ' || b $$;
CREATE FUNCTION over(a int, b text) RETURNS text LANGUAGE sql AS $$ SELECT 'both ' || a || b $$;
CREATE FUNCTION twin(a int) RETURNS text LANGUAGE sql AS $$ SELECT 'int' $$;
CREATE FUNCTION twin(a text) RETURNS text LANGUAGE sql AS $$ SELECT 'text' $$;
CREATE FUNCTION "Mixed Case"("First Arg" int) RETURNS int LANGUAGE sql AS 'SELECT $1 * 2';
CREATE FUNCTION answer() RETURNS int LANGUAGE sql AS 'SELECT 42';
CREATE FUNCTION is_sql_null(input jsonb) RETURNS boolean LANGUAGE sql AS 'SELECT input IS NULL';
CREATE FUNCTION strict_one(input jsonb) RETURNS jsonb LANGUAGE sql STRICT AS $$ SELECT '"called"'::jsonb $$;
CREATE FUNCTION unnamed(int, int) RETURNS int LANGUAGE sql AS 'SELECT $1 + $2';

CREATE TABLE good_calls (id text, activity text, input jsonb, result jsonb, what text);
INSERT INTO good_calls VALUES
	('named', 'describe', '{"b": 2.5, "a": 1, "note": "x"}', '"3.5 x"', 'fields of the object become named arguments'),
	('casts', 'describe', '{"a": "1", "b": "2.5"}', '"3.5 none"', 'strings are cast, a default fills what is missing'),
	('null argument', 'describe', '{"a": 1, "b": 2, "note": null}', '"3 null"', 'a null is given, the default not taken'),
	('types', 'types', '{"d": "2024-02-29", "i": "1 day 02:00", "b": true, "u": "00000000-0000-4000-8000-00000000000a", "m": "happy",
		"t": "2024-03-01 12:00+02", "x": "\\x00ff", "f": 1.5, "c": "ab", "r": "[1,5)"}',
		'"2024-02-29|1 day 02:00:00|t|00000000-0000-4000-8000-00000000000a|happy|2024-03-01 10:00:00|\\x00ff|1.5|ab|[1,5)"', 'arguments of many types'),
	('array', 'total', '{"xs": [1, 2, 3], "factor": 10}', '60', 'an array of numbers'),
	('text array', 'listed', '{"xs": ["a", null, "", "c,d"], "sep": "/"}', '"a/NULL//c,d"', 'an array of strings with null, empty and comma'),
	('array literal', 'total', '{"xs": "{4,5}", "factor": 1}', '9', 'an array as the text PostgreSQL writes'),
	('composite', 'sold', '{"p": {"sku": "a", "quantity": 2}, "ps": [{"sku": "b", "quantity": 3}, {"sku": "c", "quantity": 4}]}', '"a:2 of 7"', 'a composite and an array of composites'),
	('json', 'parts', '{"doc": [1], "raw": {"a": 1}, "n": 3}', '"array object 3"', 'jsonb and json among others'),
	('json null', 'parts', '{"doc": null, "raw": null, "n": null}', '"null null"', 'JSON null stays one for jsonb and json, is NULL for others'),
	('domain', 'only_positive', '{"n": 5, "note": ""}', '5', 'a domain'),
	('variadic', 'joined', '{"sep": "-", "parts": ["a", "b", "c"]}', '"a-b-c"', 'a variadic array'),
	('overload int', 'over', '{"a": 1}', '"int 1"', 'overloaded: found by argument names'),
	('overload text', 'over', '{"b": "x"}', '"text x"', 'overloaded: the other one'),
	('overload both', 'over', '{"a": 1, "b": "x"}', '"both 1x"', 'overloaded: the one with both'),
	('overload signature', 'twin(text)', '{"a": "1"}', '"text"', 'scenario 17: an overloaded name with its argument types'),
	('quoted', '"Mixed Case"', '{"First Arg": 21}', '42', 'scenario 17: a name that needs quotes'),
	('qualified', 'app.answer', NULL, '42', 'scenario 17: a name with its schema, no argument'),
	('empty object', 'answer', '{}', '42', 'an empty object for no argument'),
	('builtin', 'pg_catalog.upper(text)', '"abc"', '"ABC"', 'scenario 17: a built-in function'),
	('null input', 'is_sql_null', NULL, 'true', 'no input is NULL for a jsonb argument'),
	('json null input', 'is_sql_null', 'null', 'false', 'a JSON null as input is not'),
	('strict', 'strict_one', NULL, NULL, 'a strict function without input is not called');
SELECT durable.start_instance('call', jsonb_build_object('name', activity) ||
	CASE WHEN input IS NULL THEN '{}' ELSE jsonb_build_object('input', input) END, instance_id => id)
FROM good_calls \g /dev/null
:run
SELECT is(outcome(id), concat_ws(' ', 'completed', result), CASE WHEN what ^@ 'scenario' THEN what ELSE 'arguments: ' || what END) FROM good_calls;

-- What does not fit is the activity's failure, and trying again is of no use.
CREATE FUNCTION call_retrying(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
BEGIN
	RETURN durable.call_activity(input ->> 'name', input -> 'input', retry => durable.retry_policy(3));
END $$;
CREATE FUNCTION many() RETURNS SETOF int LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION rows_of() RETURNS TABLE (a int) LANGUAGE sql AS 'SELECT 1';
CREATE PROCEDURE proc() LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION any_array(x anyarray) RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE TABLE bad_calls (id text, activity text, input jsonb, sqlstate text, message text, what text);
INSERT INTO bad_calls VALUES
	('unknown', 'no_such', '{}', '42883', '%"no_such"%', 'an unknown activity'),
	('unknown schema', 'no_such.thing', '{}', '42883', '%"no_such.thing"%', 'an unknown schema'),
	('unknown argument', 'describe', '{"a": 1, "b": 2, "c": 3}', '42P02', '%"c"%', 'an unknown argument'),
	('missing argument', 'describe', '{"a": 1}', '42P02', '%"b"%missing%', 'a missing argument'),
	('no input', 'describe', NULL, '42P02', '%"a"%missing%', 'no input where arguments are needed'),
	('not an object', 'describe', '[1, 2]', '42P02', '%not an object%', 'an array for named arguments'),
	('uncastable', 'describe', '{"a": "one", "b": 2}', '22P02', '%integer%"one"%', 'a value that cannot be cast'),
	('out of range', 'describe', '{"a": 3000000000, "b": 2}', '22003', '%3000000000%', 'a value out of range'),
	('not in enum', 'types', '{"d": "2024-02-29", "i": "1", "b": true, "u": "00000000-0000-4000-8000-00000000000a", "m": "angry",
		"t": "2024-03-01", "x": "", "f": 1.5, "c": "ab", "r": "[1,5)"}', '22P02', '%mood%"angry"%', 'a value no enum has'),
	('domain check', 'only_positive', '{"n": 0, "note": ""}', '23514', '%positive%', 'a value the domain refuses'),
	('unnamed', 'unnamed', '{"a": 1}', '42P02', '%', 'arguments that have no names'),
	('ambiguous', 'twin', '{"a": 1}', '42725', '%"twin"%', 'an ambiguous name'),
	('set', 'many', NULL, '42P13', '%"many"%', 'a function that returns a set'),
	('table', 'rows_of', NULL, '42P13', '%"rows_of"%', 'a function that returns a table'),
	('aggregate', 'pg_catalog.max(integer)', NULL, '42P13', '%', 'an aggregate'),
	('polymorphic', 'any_array', '{"x": [1]}', '42P13', '%"any_array"%', 'an argument of a pseudo-type');
SELECT durable.start_instance('call_retrying', jsonb_build_object('name', activity) ||
	CASE WHEN input IS NULL THEN '{}' ELSE jsonb_build_object('input', input) END, instance_id => id)
FROM bad_calls \g /dev/null
:run_all
SELECT is(format('%s, %s tried', split_part(outcome(id), ' ', 2), events(id, 'TaskScheduled')),
	format('%s, 1 tried', sqlstate), 'scenario 80: fails with its SQLSTATE and is not retried: ' || what) FROM bad_calls;
SELECT is(failure(id, 'isNonRetriable'), 'true', 'scenario 85: marked non-retriable: ' || what) FROM bad_calls;
SELECT alike(failure(id, 'errorMessage'), message, 'the message names it: ' || what) FROM bad_calls;
SELECT start('call', '{"name": "proc"}', 'procedure');
:run
SELECT is(failure('procedure', 'sqlstate'), '42P13', 'a procedure is refused');
SELECT alike(failure('missing argument', 'detail'), '%describe%(a integer, b numeric, note text%)%', 'the detail lists the arguments');
SELECT alike(failure('uncastable', 'context'), '%argument "a" of the activity%', 'the context names the argument that cannot be cast');

-- ---------------------------------------------------------------------------
-- Results

CREATE FUNCTION nothing() RETURNS void LANGUAGE sql AS '';
CREATE FUNCTION null_text() RETURNS text LANGUAGE sql AS 'SELECT NULL::text';
CREATE FUNCTION json_null() RETURNS jsonb LANGUAGE sql AS $$ SELECT 'null'::jsonb $$;
CREATE FUNCTION a_product() RETURNS product LANGUAGE sql AS $$ SELECT 'x'::text, 3 $$;
CREATE FUNCTION divide(a int, b int, OUT quotient int, OUT remainder int) LANGUAGE sql AS 'SELECT a / b, a % b';
CREATE FUNCTION an_array() RETURNS text[] LANGUAGE sql AS $$ SELECT ARRAY['a', NULL, 'c'] $$;
CREATE FUNCTION a_time() RETURNS timestamptz LANGUAGE sql AS $$ SELECT '2024-03-01 12:00:00.123456+00'::timestamptz $$;
CREATE TABLE good_results (activity text, input jsonb, result jsonb, what text);
INSERT INTO good_results VALUES
	('nothing', NULL, NULL, 'scenario 14: void is null'),
	('null_text', NULL, NULL, 'scenario 14: NULL'),
	('json_null', NULL, 'null', 'scenario 14: a JSON null'),
	('a_product', NULL, '{"sku": "x", "quantity": 3}', 'a composite is an object'),
	('divide', '{"a": 17, "b": 5}', '{"quotient": 3, "remainder": 2}', 'OUT arguments are an object'),
	('an_array', NULL, '["a", null, "c"]', 'an array'),
	('a_time', NULL, '"2024-03-01T12:00:00.123456+00:00"', 'a timestamp, as to_jsonb() writes it');
SELECT durable.start_instance('call', jsonb_build_object('name', activity) ||
	CASE WHEN input IS NULL THEN '{}' ELSE jsonb_build_object('input', input) END, instance_id => activity)
FROM good_results \g /dev/null
:run
SELECT is(outcome(activity), concat_ws(' ', 'completed', result), CASE WHEN what ^@ 'scenario' THEN what ELSE 'result: ' || what END) FROM good_results;

-- ---------------------------------------------------------------------------
-- Effects and rights

CREATE TABLE parent_rows (id int PRIMARY KEY);
CREATE TABLE child_rows (id int, parent int REFERENCES parent_rows DEFERRABLE INITIALLY DEFERRED);
CREATE FUNCTION half_done() RETURNS void LANGUAGE plpgsql AS
$$
BEGIN
	PERFORM effect('half done');
	RAISE EXCEPTION 'stop';
END $$;
CREATE FUNCTION orphan() RETURNS void LANGUAGE sql AS 'INSERT INTO child_rows VALUES (1, 99)';
CREATE FUNCTION tries_orphan(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
BEGIN
	PERFORM durable.call_activity('orphan');
	RETURN '"no error"';
EXCEPTION WHEN foreign_key_violation THEN
	RETURN '"caught"';
END $$;
CREATE FUNCTION who() RETURNS text LANGUAGE sql AS $$ SELECT session_user || ' ' || current_user $$;
CREATE FUNCTION identify() RETURNS jsonb LANGUAGE sql AS
$$
	SELECT jsonb_build_object('instance', durable.instance_id(), 'execution', durable.execution_id(), 'parent', durable.parent_instance_id(),
		'task', durable.task_id(), 'attempt', durable.attempt(), 'version', durable.instance_version(), 'tags', durable.instance_tags())
$$;
CREATE FUNCTION identify_second(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
BEGIN
	PERFORM durable.call_activity('answer');
	RETURN durable.call_activity('identify');
END $$;
CREATE FUNCTION starts_and_fails() RETURNS void LANGUAGE plpgsql AS
$$
BEGIN
	PERFORM durable.start_instance('at_once', instance_id => 'never');
	RAISE EXCEPTION 'no';
END $$;
CREATE FUNCTION starts() RETURNS text LANGUAGE sql AS $$ SELECT durable.start_instance('at_once', instance_id => 'by activity') $$;
CREATE FUNCTION orchestrates() RETURNS jsonb LANGUAGE sql AS $$ SELECT durable.call_activity('answer') $$;
RESET SESSION AUTHORIZATION;
CREATE SCHEMA elsewhere;
GRANT USAGE ON SCHEMA elsewhere TO app;
CREATE FUNCTION elsewhere.private_function() RETURNS int LANGUAGE sql AS 'SELECT 1';
REVOKE ALL ON FUNCTION elsewhere.private_function() FROM PUBLIC;
CREATE FUNCTION elsewhere.only_here() RETURNS text LANGUAGE sql AS $$ SELECT 'found' $$;
CREATE FUNCTION elsewhere.as_owner() RETURNS text LANGUAGE sql SECURITY DEFINER AS 'SELECT session_user || '' '' || current_user';
CREATE TABLE elsewhere.private_table (a int);
SET SESSION AUTHORIZATION app;
CREATE FUNCTION reads_private() RETURNS bigint LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT count(*) FROM elsewhere.private_table); END';

SELECT start('call', '{"name": "effect", "input": {"what": "once"}}', 'effect');
SELECT start('call', '{"name": "half_done"}', 'half_done');
SELECT start('call', '{"name": "who"}', 'who');
SELECT durable.start_instance('identify_second', instance_id => 'identify', version => '1.2', tags => '{"a": "b"}') \g /dev/null
SELECT start('call', '{"name": "starts_and_fails"}', 'starts_and_fails');
SELECT start('call', '{"name": "starts"}', 'starts');
SELECT start('call', '{"name": "orchestrates"}', 'orchestrates');
SELECT start('call', '{"name": "elsewhere.private_function"}', 'private_function');
SELECT start('call', '{"name": "elsewhere.as_owner"}', 'as_owner');
SELECT start('call', '{"name": "reads_private"}', 'reads_private');
SET search_path = elsewhere, app, public;
SELECT start('call', '{"name": "only_here"}', 'only_here');
RESET search_path;
:run
SELECT is(effects('once'), 'once', 'an activity''s effect is there once');
SELECT is(outcome('half_done'), 'failed P0001 stop', 'an activity fails after its effect');
SELECT is(effects('half done'), '', 'and its effect is undone');
SELECT is(outcome('who'), 'completed "app app"', 'an activity runs as the owner of the hub');
SELECT is(output('identify'), jsonb_build_object('instance', 'identify', 'execution', i.execution_id, 'parent', NULL, 'task', 1, 'attempt', 1,
	'version', '1.2', 'tags', '{"a": "b"}'::jsonb), 'an activity knows instance, execution, task, version and tags')
FROM durable.instances i WHERE instance_id = 'identify';
SELECT is(outcome('never'), NULL, 'an instance started by an activity that failed was never started');
SELECT is(outcome('by activity'), 'completed 7', 'an instance started by an activity runs');
SELECT is(failure('orchestrates', 'sqlstate'), 'UD005', 'functions of orchestrators are refused in an activity');
SELECT is(failure('private_function', 'sqlstate'), '42501', 'a function the owner may not execute fails');
SELECT is(failure('reads_private', 'sqlstate'), '42501', 'a table the owner may not read fails');
SELECT is(outcome('as_owner'), 'completed "app postgres"', 'SECURITY DEFINER works as ever');
SELECT is(outcome('only_here'), 'completed "found"', 'scenario 17: a plain name: names are looked up in the search_path of the session that started the instance');
SELECT throws_ok('SELECT durable.task_id()', 'UD005', NULL, 'task_id() outside an activity');
SELECT throws_ok('SELECT durable.attempt()', 'UD005', NULL, 'attempt() outside an activity');
SELECT is_empty('SELECT instance_id FROM durable.messages UNION ALL SELECT instance_id FROM durable.activities', 'nothing is left in the queues');

-- A deferred constraint is the activity's own failure, not that of whoever runs it.
SELECT start('tries_orphan');
\set ON_ERROR_STOP off
:run
\set ON_ERROR_STOP on
SELECT is(outcome('tries_orphan'), 'completed "caught"', 'a deferred constraint is checked within the activity and its violation can be caught');
SELECT is((SELECT count(*) FROM child_rows), 0::bigint, 'and the row is gone');
SELECT * FROM finish();
