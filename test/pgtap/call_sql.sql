-- call_sql(): a statement as an activity.
\ir include/setup.psql
SELECT plan(36);

CREATE TABLE items (id int PRIMARY KEY, name text, price numeric);
CREATE SEQUENCE tries;
CREATE TYPE point3 AS (x int, y int, z int);

-- Each orchestrator is one RETURN.
CREATE TABLE cases (id text, code text, outcome text, what text);
INSERT INTO cases VALUES
	('one row', $$ durable.call_sql('SELECT 1 AS a, ''x'' AS b') $$, 'completed {"a": 1, "b": "x"}', 'one row is an object'),
	('no row', $$ durable.call_sql('SELECT 1 AS a WHERE false') $$, 'completed', 'no row is null'),
	('rows', $$ durable.call_sql('SELECT g AS n FROM generate_series(1, 3) g') $$, 'completed [{"n": 1}, {"n": 2}, {"n": 3}]', 'several rows are an array, in order'),
	('null column', $$ durable.call_sql('SELECT NULL::int AS n') $$, 'completed {"n": null}', 'a null column'),
	('types', $$ durable.call_sql('SELECT 1.50::numeric AS n, true AS b, ARRAY[1,2] AS a, ROW(1,2,3)::point3 AS p, ''{"k": [1]}''::jsonb AS j') $$,
		'completed {"a": [1, 2], "b": true, "j": {"k": [1]}, "n": 1.50, "p": {"x": 1, "y": 2, "z": 3}}', 'columns of many types'),
	('insert', $$ durable.call_sql('INSERT INTO items VALUES ($1, $2, $3)', 1, 'nail'::text, 0.25) $$, 'completed', 'INSERT without RETURNING is null'),
	('returning', $$ durable.call_sql('INSERT INTO items VALUES ($1, $2) RETURNING id, name', 2, 'nut') $$, 'completed {"id": 2, "name": "nut"}', 'INSERT RETURNING is its row'),
	('argument types', $$ durable.call_sql('SELECT pg_typeof($1) AS a, pg_typeof($2) AS b, pg_typeof($3) AS c, pg_typeof($4) AS d, pg_typeof($5) AS e',
			1::bigint, 2.5, '2024-01-01'::timestamptz, ARRAY['a'], '{"a": 1}'::jsonb) $$,
		'completed {"a": "bigint", "b": "numeric", "c": "timestamp with time zone", "d": "text[]", "e": "jsonb"}', 'arguments keep their types'),
	('argument values', $$ durable.call_sql('SELECT $1 AS a, $2 AS b, $3 AS c, $4 AS d, $5 AS e, $6 AS f',
			'it''s "q" \ %'::text, 12345678901234567890.5, '2024-01-01 00:00:00.123456+00'::timestamptz, ARRAY['a', NULL, 'b,c'], NULL::int, '{"z": null}'::jsonb) $$,
		'completed {"a": "it''s \"q\" \\ %", "b": 12345678901234567890.5, "c": "2024-01-01T00:00:00.123456+00:00", "d": ["a", null, "b,c"], "e": null, "f": {"z": null}}',
		'arguments keep their values'),
	('literal', $$ durable.call_sql('SELECT $1 || ''!'' AS a', 'x') $$, 'completed {"a": "x!"}', 'a literal is text'),
	('composite', $$ durable.call_sql('SELECT ($1).y AS y', ROW(1, 2, 3)::point3) $$, 'completed {"y": 2}', 'a composite argument'),
	('enum', $$ durable.call_sql('SELECT $1 AS s', 'failed'::durable.status) $$, 'completed {"s": "failed"}', 'an enum argument'),
	('ddl', $$ durable.call_sql('CREATE TABLE made (a int)') $$, 'completed', 'DDL'),
	('who', $$ durable.call_sql('SELECT session_user AS s, current_user AS c') $$, 'completed {"c": "app", "s": "app"}', 'runs as the owner of the hub'),
	('instance', $$ durable.call_sql('SELECT durable.instance_id() AS i, durable.task_id() AS t') $$, 'completed {"i": "instance", "t": 0}', 'knows its instance and task'),
	('division', $$ durable.call_sql('SELECT 1 / $1', 0) $$, 'failed 22012 division by zero', 'fails with its own SQLSTATE'),
	('syntax', $$ durable.call_sql('SELEC 1') $$, 'failed 42601 syntax error at or near "SELEC"', 'a syntax error'),
	('no table', $$ durable.call_sql('SELECT * FROM no_such_table') $$, 'failed 42P01 relation "no_such_table" does not exist', 'an unknown table'),
	('no argument', $$ durable.call_sql('SELECT $2', 1) $$, 'failed 42P02 there is no parameter $2', 'a parameter too many'),
	('empty', $$ durable.call_sql('') $$, 'failed 22023 query must not be empty', 'an empty statement'),
	('null', $$ durable.call_sql(NULL::text) $$, 'failed 22004 query must not be null', 'no statement'),
	('retry', $$ durable.call_sql(durable.retry_policy(3), 'SELECT 1 / (nextval(''tries'') / $1) AS a', 3) $$, 'completed {"a": 1}', 'with a retry policy, at the third attempt'),
	('retry named', $$ durable.call_sql(durable.retry_policy(1), 'SELECT 2 AS b') $$, 'completed {"b": 2}', 'with a retry policy, without arguments'),
	('policy last', $$ durable.call_sql('SELECT 1 AS a', durable.retry_policy(3)) $$, 'failed 42804 a retry policy cannot be an argument of a statement', 'a policy that does not come first'),
	('policy after a policy', $$ durable.call_sql(durable.retry_policy(3), 'SELECT 1 AS a', NULL::durable.retry_policy) $$,
		'failed 42804 a retry policy cannot be an argument of a statement', 'nor a second one, NULL or not'),
	('fan out', $$ to_jsonb(durable.await_all(durable.schedule_sql('SELECT 1 AS a'), durable.schedule_sql('SELECT $1 AS a', 2),
			durable.schedule_sql(durable.retry_policy(2), 'SELECT $1 AS a', 3))) $$, 'completed [{"a": 1}, {"a": 2}, {"a": 3}]', 'the three forms of schedule_sql()');
CREATE FUNCTION define(code text) RETURNS text LANGUAGE plpgsql AS
$$
DECLARE
	name text := 'o_' || md5(code);
BEGIN
	EXECUTE format('CREATE FUNCTION %I(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS %L', name, 'BEGIN RETURN ' || code || '; END');
	RETURN name;
END $$;
SELECT durable.start_instance(define(code), instance_id => id) FROM cases \g /dev/null
:run_all
SELECT is(outcome(id), outcome, what) FROM cases;

SELECT results_eq('SELECT id, name, price FROM items ORDER BY id', $$ VALUES (1, 'nail', 0.25), (2, 'nut', NULL) $$, 'both rows are in the table, once');
SELECT has_table('app'::name, 'made'::name, 'and the new table is there');
SELECT is((SELECT last_value FROM tries), 3::bigint, 'the retried statement ran three times');
SELECT is((SELECT count(*) FROM durable.history WHERE instance_id = 'retry' AND event_type = 'TaskScheduled' AND input -> 'args' IS NOT NULL), 3::bigint,
	'each attempt has its statement and arguments in the history');

-- A statement must not end the transaction it shares with the record of it.
SELECT start(define($$ durable.call_sql('COMMIT') $$), NULL, 'commit');
SELECT start(define($$ durable.call_sql('ROLLBACK') $$), NULL, 'rollback');
SELECT start(define($$ durable.call_sql('SAVEPOINT s') $$), NULL, 'savepoint');
SELECT start(define($$ durable.call_sql('COPY items TO STDOUT') $$), NULL, 'copy');
SELECT start(define($$ durable.call_sql('DO ''BEGIN COMMIT; END''') $$), NULL, 'commit in DO');
SELECT start(define($$ durable.call_sql('SELECT 5 AS five') $$), NULL, 'after');
:run
SELECT is(failure('commit', 'sqlstate'), '0A000', 'COMMIT is refused');
SELECT is(failure('rollback', 'sqlstate'), '0A000', 'ROLLBACK is refused');
SELECT is(failure('savepoint', 'sqlstate'), '0A000', 'SAVEPOINT is refused');
SELECT is(failure('copy', 'sqlstate'), '0A000', 'COPY TO STDOUT is refused');
SELECT is(failure('commit in DO', 'sqlstate'), '2D000', 'COMMIT in a DO block is refused');
SELECT is(outcome('after'), 'completed {"five": 5}', 'and the next one runs');
SELECT * FROM finish();
