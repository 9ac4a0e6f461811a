-- An author is not stopped by innocent code: the whole of PL/pgSQL, values of
-- all sorts, helpers, and what is often used pass the checks, in each turn.
\ir include/setup.psql
SELECT no_plan();

CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE TYPE address AS (street text, zip text, since date);
CREATE TYPE person AS (name text, home address, moods mood[]);
CREATE TABLE stock (sku text, amount numeric(8, 2), seen timestamptz);
CREATE FUNCTION is_sku(s text) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$ SELECT s ~ '^[A-Z]{2}-\d+$' $$;
CREATE FUNCTION is_even(n int) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RETURN n % 2 = 0; END $$;
CREATE DOMAIN sku AS text CHECK (is_sku(VALUE));
CREATE DOMAIN even AS int NOT NULL CHECK (is_even(VALUE)) CHECK (VALUE < 1000);
CREATE DOMAIN small_even AS even CHECK (VALUE < 100);
CREATE FUNCTION add_up(VARIADIC n numeric[]) RETURNS numeric LANGUAGE sql AS $$ SELECT sum(v) FROM unnest(n) v $$;
CREATE FUNCTION first_of(a anyarray, OUT f anyelement, OUT n int) LANGUAGE plpgsql AS $$ BEGIN f := a[1]; n := cardinality(a); END $$;
CREATE FUNCTION rows_of(n int) RETURNS TABLE (i int, s text) LANGUAGE plpgsql AS $$ BEGIN FOR i, s IN SELECT g, 'row ' || g FROM generate_series(1, n) g LOOP RETURN NEXT; END LOOP; END $$;
CREATE FUNCTION more_rows(n int) RETURNS SETOF int LANGUAGE plpgsql AS $$ BEGIN RETURN QUERY SELECT generate_series(1, n); RETURN QUERY EXECUTE 'SELECT $1' USING 42; RETURN NEXT 7; RETURN; END $$;
CREATE FUNCTION parsed(a int, b int DEFAULT 2) RETURNS int IMMUTABLE RETURN a + b;
CREATE FUNCTION cursor_over(n int) RETURNS refcursor LANGUAGE plpgsql AS $$ DECLARE c refcursor; BEGIN OPEN c FOR SELECT v FROM (VALUES (1), (2), (3)) x (v) WHERE v <= n; RETURN c; END $$;
CREATE FUNCTION raises(n int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN IF n > 1 THEN RAISE division_by_zero USING MESSAGE = 'too many', DETAIL = n::text, HINT = 'fewer'; END IF; RETURN n; END $$;
CREATE FUNCTION factorial_of(n int) RETURNS numeric LANGUAGE plpgsql AS $$ BEGIN RETURN CASE WHEN n <= 1 THEN 1 ELSE n * factorial_of(n - 1) END; END $$;
CREATE PROCEDURE twice(INOUT n int, s text DEFAULT 'x') LANGUAGE plpgsql AS $$ BEGIN n := n * 2; END $$;
CREATE OPERATOR ~+ (FUNCTION = raises, RIGHTARG = int);
CREATE FUNCTION join_text(a text, b text) RETURNS text LANGUAGE sql AS $$ SELECT coalesce(a || '-', '') || b $$;
CREATE AGGREGATE joined(text) (SFUNC = join_text, STYPE = text);

CREATE FUNCTION all_of_plpgsql(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$code$
#variable_conflict use_variable
<<outermost>>
DECLARE
	started CONSTANT timestamptz := now();
	n int := 0;
	m n%TYPE = 3;
	total numeric(12, 2) DEFAULT 0;
	one stock%ROWTYPE;
	p person;
	r record;
	s sku := 'AB-12';
	e even := 4;
	se small_even := 2;
	feeling mood := 'ok';
	words text[] := ARRAY['a', 'b', NULL];
	matrix int[][] := '{{1,2},{3,4}}';
	part int[];
	found_rows bigint;
	state text;
	said text;
	out jsonb := '{}';
	bound CURSOR (k int) FOR SELECT g, g * k AS times FROM generate_series(1, 3) g;
	scrolling SCROLL CURSOR FOR VALUES (1), (2), (3);
	unbound refcursor;
	answer jsonb;
	t durable.task;
	span tstzrange;
	raw bytea := '\xdeadbeef';
	old_alias ALIAS FOR input;
BEGIN
	-- assignments, expressions, rows
	n := 1; n = n + m; outermost.n := n;
	total := 10.555 + n;
	one := ROW('AB-1', 2.5, started);
	one.sku := s; SELECT 'CD-3', 4 INTO one.sku, one.amount;
	p := ROW('Ann', ROW('Main St', '12345', date '2024-02-29')::address, ARRAY['sad', 'happy']::mood[])::person;
	p.home.zip := '54321'; p.moods[2] := 'ok';
	words[2] := 'z'; words := words || 'c'::text; part := matrix[1:1][2:2];
	e := e + 2; se := 4; s := 'CD-' || n;
	SELECT INTO STRICT r 1 AS a, 'x' AS b;
	-- control
	IF n > 100 THEN n := 0; ELSIF n = 4 AND feeling > 'sad' THEN n := n + 1; ELSE n := -1; END IF;
	CASE n WHEN 1, 2 THEN n := 0; WHEN 5 THEN n := n + 1; ELSE n := 0; END CASE;
	CASE WHEN n < 0 THEN n := 0; ELSE NULL; END CASE;
	<<counting>>
	LOOP n := n + 1; EXIT counting WHEN n >= 10; CONTINUE counting WHEN n % 2 = 0; total := total + 1; END LOOP;
	WHILE n > 8 LOOP n := n - 1; END LOOP;
	FOR i IN REVERSE 10 .. 1 BY 3 LOOP total := total + i; END LOOP;
	FOREACH n IN ARRAY ARRAY[1, 2, 3] LOOP total := total + n; END LOOP;
	FOREACH part SLICE 1 IN ARRAY matrix LOOP total := total + part[1]; END LOOP;
	FOR r IN SELECT key, value FROM jsonb_each_text('{"a": "1", "b": "2"}') ORDER BY key DESC LOOP out := out || jsonb_build_object(r.key, r.value); END LOOP;
	FOR r IN EXECUTE format('SELECT %L AS name, $1 + g AS num FROM generate_series(1, 2) g', 'dyn') USING 10 LOOP total := total + r.num; END LOOP;
	FOR r IN bound(k := 2) LOOP total := total + r.times; END LOOP;
	-- cursors
	OPEN scrolling; FETCH LAST FROM scrolling INTO n; FETCH PRIOR FROM scrolling INTO n; MOVE FIRST FROM scrolling; FETCH scrolling INTO m; CLOSE scrolling;
	OPEN unbound FOR EXECUTE 'SELECT g FROM generate_series(1, $1) g' USING 2; FETCH unbound INTO n; CLOSE unbound;
	unbound := cursor_over(2); FETCH unbound INTO n; FETCH unbound INTO n; CLOSE unbound;
	-- helpers, dynamic statements, procedures
	SELECT f.f, f.n INTO said, n FROM first_of(words) f;
	EXECUTE 'SELECT $1 * 2, upper($2)' INTO n, said USING 21, 'up';
	PERFORM rows_of(3); GET DIAGNOSTICS found_rows = ROW_COUNT;
	SELECT count(*) INTO n FROM more_rows(3); CALL twice(n); CALL twice(n => n);
	total := total + add_up(1, 2, 3.5) + parsed(1) + parsed(1, b => 5) + (~+ 1) + factorial_of(5);
	said := said || (SELECT joined(v ORDER BY v DESC) FROM unnest(ARRAY['x', 'y']) v) || (SELECT string_agg(w.s, ',') FROM rows_of(2) w);
	-- errors
	BEGIN
		n := 1 / (n - n);
	EXCEPTION WHEN division_by_zero OR numeric_value_out_of_range THEN
		GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, said = MESSAGE_TEXT;
	END;
	BEGIN
		PERFORM raises(2);
	EXCEPTION WHEN OTHERS THEN
		state := state || SQLSTATE || SQLERRM;
		BEGIN RAISE; EXCEPTION WHEN SQLSTATE '22012' THEN NULL; END;
	END;
	BEGIN s := 'not a sku'; EXCEPTION WHEN check_violation THEN state := state || 'checked'; END;
	BEGIN e := 3; EXCEPTION WHEN check_violation THEN state := state || 'odd'; END;
	BEGIN SELECT v INTO STRICT n FROM (VALUES (1), (2)) x (v); EXCEPTION WHEN too_many_rows THEN NULL; END;
	ASSERT n IS NOT NULL, 'n is ' || n;
	RAISE DEBUG 'total %, 100%%', total; RAISE LOG USING MESSAGE = 'said', DETAIL = said;
	-- times
	span := tstzrange(started, started + interval '1 day');
	IF NOT span @> now() OR now()::date <> CURRENT_DATE OR age(now(), started) <> interval '0' OR age(started) > interval '1 day' THEN RAISE 'time'; END IF;
	state := state || to_char(timestamptz '2024-05-06 07:08+00' AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI') || extract(year FROM date '2024-01-01') || date_trunc('month', timestamp '2024-05-06') || make_date(2024, 1, 2)
		|| to_timestamp(0) || to_date('2024', 'YYYY') || justify_hours(interval '30 hours') || date_bin('1 hour', timestamp '2024-01-01 00:30', timestamp '2024-01-01') || (date '2024-01-01' - date '2023-01-01');
	SELECT count(*) + found_rows INTO n FROM generate_series(timestamptz '2024-01-01', '2024-01-03', interval '1 day');
	-- text, json, arrays, and the rest
	said := format('%s %I %L', 'a', 'B c', 'd''e') || regexp_replace('abc', 'b', 'x') || (regexp_match('k=v', '(\w)=(\w)'))[2] || split_part('a,b', ',', 2) || lpad('1', 3, '0') || md5('x') || encode(sha256('x'), 'hex')
		|| translate('abc', 'a', 'b') || overlay('abc' PLACING 'x' FROM 2) || trim(both ' ' FROM ' x ') || quote_literal('x') || quote_nullable(NULL) || concat_ws('/', 1, now() IS NULL) || initcap('ab cd') || ascii('a') || raw::text || encode(raw, 'base64')
		|| (SELECT string_agg(hits[1], '') FROM regexp_matches('a1b2', '\d', 'g') hits) || array_to_string(words, ',', '-') || (xpath('/a/text()', '<a>1</a>'::xml))[1]::text || convert_from('\x61', 'UTF8') || normalize('e') || 'a' COLLATE "C";
	out := out || jsonb_build_object('n', n, 'total', total, 'p', to_jsonb(p), 'words', to_json(words)::jsonb, 'path', jsonb_path_query_array('{"a": [1, 2]}', '$.a[*] ? (@ > 1)'),
		'tz', jsonb_path_query_first_tz('["2024-01-01 00:00:00+00"]', '$[0].datetime()'), 'set', jsonb_set('{"a": 1}', '{a}', '2'), 'row', row_to_json(one)::jsonb - 'seen', 'agg', (SELECT jsonb_object_agg(k, v ORDER BY k) FROM (VALUES ('x', 1), ('y', 2)) o (k, v)),
		'populate', (jsonb_populate_record(NULL::address, '{"street": "S", "since": "2024-01-01"}')).since, 'records', (SELECT jsonb_agg(x) FROM jsonb_to_recordset('[{"a": 1}]') x (a int)), 'enum', enum_range(NULL::mood)::text, 'net', host(inet '10.0.0.1/8'), 'uuid', uuid '9e952958-5e33-4daf-827f-2fa12937b875',
		'type', pg_typeof(total)::text, 'money', 12.5::money::numeric, 'bits', B'101'::int, 'point', point(1, 2) <-> point(1, 3), 'multi', '{[1,3)}'::int4multirange @> 2, 'ts', to_tsvector('english', 'two words') @@ to_tsquery('english', 'word'), 'size', pg_column_size(1), 'power', power(2, 10) + sqrt(16) + pi()::int, 'width', width_bucket(5, 0, 10, 5));
	WITH RECURSIVE tree (v) AS (SELECT 1 UNION ALL SELECT v + 1 FROM tree WHERE v < 5), ranked AS (SELECT v, rank() OVER w AS rank, lag(v) OVER w FROM tree WINDOW w AS (ORDER BY v DESC))
	SELECT sum(v * rank), percentile_cont(0.5) WITHIN GROUP (ORDER BY v), count(*) FILTER (WHERE v > 2) INTO r FROM ranked WHERE v IN (SELECT 1 + g FROM generate_series(0, 9) g);
	out := out || jsonb_build_object('query', to_jsonb(r), 'grouping', (SELECT jsonb_agg(x ORDER BY x) FROM (SELECT v % 2, count(*) FROM unnest(ARRAY[1, 2, 3]) v GROUP BY ROLLUP (v % 2)) x), 'state', state, 'said', md5(said));
	-- durable's own
	t := durable.schedule_activity('same', out);
	answer := durable.await(t);
	PERFORM durable.await_any(durable.create_timer('1 s'), durable.expect_event('go')), durable.set_custom_status(to_jsonb(random() BETWEEN 0 AND 1)), durable.log_message('done', 'debug');
	RETURN answer || jsonb_build_object('second', answer = out, 'local', LOCALTIMESTAMP = now()::timestamp, 'guid', durable.new_guid() IS NOT NULL, 'sub', durable.call_suborchestrator('quiet', '1'));
END outermost
$code$;
CREATE FUNCTION quiet(input jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT jsonb_build_array(input, now() IS NOT NULL, add_up(1, 2), durable.wait_for_event('none', timeout => '0 s')) $$;
CREATE OR REPLACE FUNCTION quiet(input jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT jsonb_build_array(input, now() IS NOT NULL, add_up(1, 2)) $$;

SELECT start('all_of_plpgsql');
SELECT start('all_of_plpgsql', id => 'once more');
:run_all
SELECT is(left(outcome(id), 9), 'completed', id || ' passes') || coalesce(E'\n# ' || failure(id, 'errorMessage') || ' ' || failure(id, 'context'), '') FROM unnest(ARRAY['all_of_plpgsql', 'once more']) id;
SELECT is(output('once more'), output('all_of_plpgsql'), 'the second gives what the first did, with everything planned');
SELECT is(output('all_of_plpgsql') - '{said,state,p,row,words}'::text[], '{"a": "1", "b": "2", "n": 6, "ts": true, "tz": "2024-01-01T00:00:00+00:00", "agg": {"x": 1, "y": 2}, "net": "10.0.0.1", "set": {"a": 2}, "sub": [1, true, 3], "bits": 5}' || (output('all_of_plpgsql') - '{a,b,n,ts,tz,agg,net,set,sub,bits,said,state,p,row,words}'::text[]), 'with the values that it should have');
SELECT is(output('all_of_plpgsql') @> '{"second": true, "local": true, "guid": true}', true, 'in the later turns, too');
SELECT is((SELECT jsonb_agg(message) FROM durable.check_orchestrator('all_of_plpgsql(jsonb)') WHERE sqlstate = 'UD008'), NULL, 'nor does check_orchestrator() find anything');
SELECT ok(fits, 'and it replays') FROM durable.check_replay('all_of_plpgsql');
SELECT is((SELECT count(*) FROM pg_cursors WHERE name <> ''), 0::bigint, 'no cursor is left open');
SELECT * FROM finish();
