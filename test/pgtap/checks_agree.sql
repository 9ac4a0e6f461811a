-- check_orchestrator(), which reads a body, and the checks at run time have one
-- opinion of each function of PostgreSQL.
\ir include/setup.psql
SELECT no_plan();

-- A call of each built-in function in C that can be written down, with NULLs from a subquery, which nothing folds.
CREATE FUNCTION type_for(t oid) RETURNS text LANGUAGE sql AS
$$
	SELECT CASE t::regtype::text WHEN '"any"' THEN 'text' WHEN 'anyelement' THEN 'int' WHEN 'anynonarray' THEN 'int' WHEN 'anyarray' THEN 'int[]'
		WHEN 'anyrange' THEN 'int4range' WHEN 'anymultirange' THEN 'int4multirange' WHEN 'anycompatible' THEN 'int' WHEN 'anycompatiblenonarray' THEN 'int'
		WHEN 'anycompatiblearray' THEN 'int[]' WHEN 'anycompatiblerange' THEN 'int4range' WHEN 'anycompatiblemultirange' THEN 'int4multirange'
		WHEN 'anyenum' THEN 'mood' ELSE format_type(t, NULL) END
$$;
CREATE TYPE mood AS ENUM ('good', 'bad');
CREATE TABLE builtins AS
SELECT row_number() OVER (ORDER BY p.oid) AS line, p.oid::regprocedure::text AS function, provolatile AS volatility,
	CASE WHEN pronargs = 0 THEN format('PERFORM pg_catalog.%I();', proname)
	ELSE format('PERFORM pg_catalog.%I(%s) FROM (SELECT %s OFFSET 0) a;', proname,
		(SELECT string_agg(format('%sa%s', CASE WHEN n = pronargs AND provariadic NOT IN (0, '"any"'::regtype) THEN 'VARIADIC ' END, n), ', ' ORDER BY n) FROM generate_series(1, pronargs) n),
		(SELECT string_agg(format('NULL::%s AS a%s', type_for(t), n), ', ' ORDER BY n) FROM unnest(proargtypes) WITH ORDINALITY a (t, n))) END AS call
FROM pg_proc p JOIN pg_language l ON l.oid = prolang
WHERE pronamespace = 'pg_catalog'::regnamespace AND prokind = 'f' AND l.lanname IN ('internal', 'c')
AND prorettype::regtype::text NOT IN ('internal', 'trigger', 'event_trigger', 'language_handler', 'fdw_handler', 'index_am_handler', 'table_am_handler', 'tsm_handler')
AND NOT EXISTS (SELECT FROM unnest(proargtypes) t WHERE t::regtype::text IN ('internal', 'trigger', 'event_trigger'));
SELECT cmp_ok(count(*), '>', 2000::bigint, 'there are many') FROM builtins;
SELECT cmp_ok(count(*), '>', 150::bigint, 'of volatility ' || volatility::text) FROM builtins GROUP BY volatility ORDER BY volatility;

-- As they are read: a line for each.
SET check_function_bodies = off;
DO $do$
BEGIN
	EXECUTE format('CREATE FUNCTION reads(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS %L', 'BEGIN ' || (SELECT string_agg(call, E'\n' ORDER BY line) FROM builtins) || ' RETURN NULL; END');
END $do$;
RESET check_function_bodies;
CREATE TABLE seen AS SELECT * FROM durable.check_orchestrator('reads(jsonb)');

-- As they run: what is not refused is called with NULL.
CREATE FUNCTION runs(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
DECLARE
	refused jsonb := '{}';
	errors jsonb := '{}';
	call record;
BEGIN
	FOR call IN SELECT * FROM jsonb_to_recordset(input) c (line text, code text) LOOP
		BEGIN
			EXECUTE call.code;
		EXCEPTION WHEN SQLSTATE 'UD008' THEN
			refused := refused || jsonb_build_object(call.line, SQLERRM);
		WHEN OTHERS THEN
			errors := errors || jsonb_build_object(call.line, SQLERRM);
		END;
	END LOOP;
	RETURN jsonb_build_object('refused', refused, 'errors', errors);
END $$;
SELECT start('runs', (SELECT jsonb_agg(jsonb_build_object('line', line, 'code', replace(call, 'PERFORM', 'SELECT'))) FROM builtins));
:run
SELECT is(status('runs'), 'completed', 'all are called');
CREATE TABLE verdicts AS
SELECT b.*, EXISTS (SELECT FROM seen s WHERE s.line = b.line AND s.sqlstate = 'UD008') AS reads_refused, output('runs') -> 'refused' ? b.line::text AS runs_refused
FROM builtins b;
SELECT is_empty($$ SELECT function, reads_refused, runs_refused FROM verdicts WHERE reads_refused <> runs_refused $$, 'both ways have the same verdicts');
SELECT is_empty($$ SELECT function FROM verdicts WHERE volatility = 'i' AND (reads_refused OR runs_refused) $$, 'nothing that is immutable is refused');
SELECT is((SELECT string_agg(function, ' ' ORDER BY function) FROM verdicts WHERE volatility = 'v' AND NOT runs_refused
		AND function !~ '^random(_normal)?[(][a-z]'),	-- of PostgreSQL 16 and 17
	'random()', 'of what is volatile, random() is let through');
SELECT cmp_ok((SELECT count(*) FROM verdicts WHERE volatility = 's' AND runs_refused), '>', 200::bigint, 'of what is stable, much is refused');
SELECT cmp_ok((SELECT count(*) FROM verdicts WHERE volatility = 's' AND NOT runs_refused), '>', 150::bigint, 'and much is not');
SELECT is((SELECT count(*) FROM verdicts v WHERE NOT runs_refused AND output('runs') -> 'errors' ? line::text), (SELECT count(*) FROM verdicts WHERE output('runs') -> 'errors' ? line::text), 'errors of another kind are of calls that are let through');
SELECT is(verdict.runs_refused, refused, function || CASE WHEN refused THEN ' is refused' ELSE ' is allowed' END)
FROM (VALUES ('now()', false), ('to_char(timestamp with time zone,text)', false), ('generate_series(timestamp with time zone,timestamp with time zone,interval)', false),
	('jsonb_path_query_tz(jsonb,jsonpath,jsonb,boolean)', false), ('date(timestamp with time zone)', false), ('format(text)', false), ('pg_typeof("any")', false),
	('to_jsonb(anyelement)', false), ('enum_range(anyenum)', false), ('timezone(text,timestamp with time zone)', false), ('to_tsvector(regconfig,text)', false),
	('to_tsvector(text)', true), ('age(xid)', true), ('txid_current()', true), ('pg_get_viewdef(oid)', true), ('current_setting(text)', true), ('to_regclass(text)', true),
	('pg_backend_pid()', true), ('query_to_xml(text,boolean,boolean,text)', true), ('has_table_privilege(text,text)', true)) v (function, refused)
LEFT JOIN verdicts verdict USING (function);

-- Those in SQL are judged by what they do.
CREATE TABLE in_sql (id text PRIMARY KEY, code text, refused boolean);
INSERT INTO in_sql VALUES ('sleep for', $$pg_sleep_for('0 s')$$, true), ('sleep until', 'pg_sleep_until(now())', true), ('description', $$obj_description(1, 'pg_class')$$, true),
	('column', 'col_description(1, 1)', true), ('age', 'age(now())', false), ('pad', $$lpad('a', 2)$$, false), ('overlaps', $$(date '2024-01-01', interval '1 day') OVERLAPS (date '2024-01-01', interval '2 days')$$, false),
	('log', 'log(2::numeric)', false), ('round', 'round(1.5)', false), ('part', $$date_part('day', date '2024-01-01')$$, false);
SELECT format('CREATE FUNCTION %I(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS %L', 'sql ' || id, format('BEGIN PERFORM %s; RETURN ''1''; END', code)) FROM in_sql \gexec
SELECT start(quote_ident('sql ' || id), id => id) FROM in_sql \g /dev/null
:run
SELECT is(outcome(id) LIKE 'failed UD008 %', refused, id || ' when it runs') FROM in_sql;
SELECT is(EXISTS (SELECT FROM durable.check_orchestrator(format('%I(jsonb)', 'sql ' || id)::regprocedure) WHERE sqlstate = 'UD008'), refused, id || ' when it is read') FROM in_sql;
SELECT * FROM finish();
