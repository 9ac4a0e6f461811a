-- Properties of failures: a DETAIL that is a JSON object.
\ir include/setup.psql
SELECT plan(38);

CREATE FUNCTION properties(id text) RETURNS jsonb LANGUAGE sql AS
$$ SELECT failure -> 'properties' FROM durable.instances WHERE instance_id = $1 $$;

-- ---------------------------------------------------------------------------
-- The way of a property

\set detail '{"code": 7, "who": {"name": "Žofie", "tags": ["a", "b"]},  "ok": true}'
CREATE FUNCTION detail() RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT '{"code": 7, "who": {"name": "Žofie", "tags": ["a", "b"]},  "ok": true}' $$;
CREATE FUNCTION rejects() RETURNS void LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'rejected' USING ERRCODE = 'ZZ069', DETAIL = detail(); END $$;
CREATE FUNCTION catches(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
DECLARE
	d text;
BEGIN
	IF input IS NULL THEN
		PERFORM durable.call_activity('rejects');
	ELSE
		PERFORM durable.call_suborchestrator(input #>> '{}');
	END IF;
EXCEPTION WHEN SQLSTATE 'ZZ069' THEN
	GET STACKED DIAGNOSTICS d = PG_EXCEPTION_DETAIL;
	RETURN jsonb_build_array(d = detail(), d::jsonb -> 'who' -> 'name');
END $$;
CREATE FUNCTION lets_through(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$ BEGIN RETURN durable.call_activity('rejects'); END $$;
CREATE FUNCTION raises(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'rejected' USING ERRCODE = 'ZZ069', DETAIL = detail(); END $$;
CREATE FUNCTION retries(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$ BEGIN RETURN durable.call_activity('rejects', retry => durable.retry_policy(3)); END $$;
CREATE FUNCTION retries_child(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$ BEGIN RETURN durable.call_suborchestrator('raises', retry => durable.retry_policy(2)); END $$;
CREATE FUNCTION level2(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$ BEGIN RETURN durable.call_suborchestrator('lets_through'); END $$;
CREATE FUNCTION level3(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$ BEGIN RETURN durable.call_suborchestrator('level2'); END $$;
CREATE FUNCTION wraps(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
BEGIN
	RETURN durable.call_activity('rejects');
EXCEPTION WHEN OTHERS THEN
	RAISE EXCEPTION 'wrapped' USING DETAIL = '{"code": 8}';
END $$;
CREATE FUNCTION divides(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN 1 / 0; END $$;
SELECT start(f) FROM unnest(ARRAY['lets_through', 'raises', 'retries', 'retries_child', 'level2', 'level3', 'wraps', 'divides']) f;
SELECT start('catches', NULL, 'catches activity');
SELECT start('catches', to_jsonb(f), 'catches ' || f) FROM unnest(ARRAY['raises', 'lets_through', 'level3', 'retries']) f;
:run_all
SELECT is(properties(id), :'detail'::jsonb, 'scenario 69: properties of the instance: ' || id) FROM unnest(ARRAY['lets_through', 'raises', 'retries', 'retries_child', 'level2', 'level3']) id;
SELECT is(failure(id, 'detail'), :'detail', 'scenario 69: the detail as it was written: ' || id) FROM unnest(ARRAY['lets_through', 'raises', 'retries', 'retries_child', 'level2', 'level3']) id;
SELECT is(output('catches ' || id), '[true, "Žofie"]', 'scenario 69: the handler of the parent sees them in the detail: ' || id) FROM unnest(ARRAY['activity', 'raises', 'lets_through', 'level3', 'retries']) id;
SELECT is((SELECT failure #> '{innerFailure,innerFailure,properties}' FROM durable.instances WHERE instance_id = 'level3'), :'detail'::jsonb, 'scenario 69: in the innermost failure of three levels');
SELECT is((SELECT failure #> '{innerFailure,properties}' FROM durable.instances WHERE instance_id = 'level3'), :'detail'::jsonb, 'scenario 69: and in the one between');
SELECT is((SELECT count(*) FROM durable.history WHERE instance_id = 'retries' AND event_type = 'TaskFailed' AND failure -> 'properties' = :'detail'::jsonb), 3::bigint, 'scenario 69: in the history, for each attempt');
SELECT is(properties('wraps'), '{"code": 8}', 'an error raised instead has properties of its own');
SELECT is((SELECT failure ? 'properties' FROM durable.instances WHERE instance_id = 'divides'), false, 'an error without a detail has none');

-- ---------------------------------------------------------------------------
-- Details that are something else, or made to do harm

CREATE TABLE details (id text PRIMARY KEY, detail text, good boolean DEFAULT false);
INSERT INTO details (id, detail) VALUES
	('text', 'just text'), ('array', '[{"a": 1}]'), ('string', '"{}"'), ('number', '42'), ('null', 'null'), ('blank', ' '),
	('open', '{'), ('not closed', '{"a": 1'), ('trailing', '{"a": 1} x'), ('two', '{} {}'), ('single quotes', '{''a'': 1}'), ('no value', '{"a"}'),
	('comma', '{"a": 1,}'), ('leading zero', '{"a": 01}'), ('NaN', '{"a": NaN}'), ('minus', '{"a": -}'), ('string not closed', '{"a": "b'), ('escape at the end', '{"a": "\'),
	('bad escape', '{"a": "\x"}'), ('control character', E'{"a": "\x01"}'), ('wrong brackets', '{"a": [1}'), ('closing', '}{'),
	('zero character', '{"a": "\u0000"}'), ('zero character in a key', '{"\u0000": 1}'), ('lone surrogate', '{"a": "\ud800"}'), ('swapped surrogates', '{"a": "\udc00\ud800"}'),
	('1e1000000', '{"a": 1e1000000}'), ('1e-1000000', '{"a": 1E-1000000}'), ('more than an integer', '{"a": 1e99999999999999999999}'), ('nested number', '{"a": [0, {"b": -1.5e+131073}]}'),
	('many digits', '{"a": ' || repeat('9', 200000) || '}'), ('many decimals', '{"a": 0.' || repeat('1', 20000) || '}'),
	('deep', repeat('{"a":', 200000)), ('deep and closed', repeat('{"a":', 100000) || '1' || repeat('}', 100000)), ('deep arrays', '{"a":' || repeat('[', 100000) || repeat(']', 100000) || '}'),
	('large', '{"a": "' || repeat('x', 3000000) || '"}');
INSERT INTO details SELECT id, detail, true FROM (VALUES
	('empty', '{}'), ('spaces', E' \t\r\n{ "a" : 1 }\n'), ('twice', '{"a": 1, "a": 2}'), ('harmless number', '{"a": [1e20, -0.5, 12345678901234567890123456789, 1E-5, 0]}'),
	('number in a string', '{"1e1000000": "1e1000000", "b": "{[{[", "c": "\"", "d": "\\"}'), ('escapes', '{"a": "\u017e \ud83d\ude00 \" \\ \/ \b\f\n\r\t"}'), ('not ASCII', '{"ž": "€ 😀"}'),
	('empty key', '{"": null}'), ('nested', '{"a":' || repeat('[', 60) || repeat(']', 60) || '}'), ('a hundred thousand', '{"a": "' || repeat('x', 100000) || '"}')) v (id, detail);
CREATE FUNCTION rejects_with(id text) RETURNS void LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'rejected' USING DETAIL = (SELECT detail FROM details d WHERE d.id = rejects_with.id); END $$;
CREATE FUNCTION with_child(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$ BEGIN RETURN durable.call_suborchestrator('call', input, retry => durable.retry_policy(2)); END $$;
SELECT durable.start_instance('call', jsonb_build_object('name', 'rejects_with', 'input', jsonb_build_object('id', id)), instance_id => id) FROM details \g /dev/null
SELECT durable.start_instance('with_child', jsonb_build_object('name', 'rejects_with', 'input', jsonb_build_object('id', id)), instance_id => 'child: ' || id) FROM details \g /dev/null
:run_all
SELECT is((SELECT count(*) FROM durable.instances i JOIN details d ON i.instance_id IN (d.id, 'child: ' || d.id) WHERE outcome(i.instance_id) = 'failed P0001 rejected'), 2 * (SELECT count(*) FROM details),
	'whatever the detail, the failure is the activity''s');
SELECT is_empty($$ SELECT d.id FROM details d LEFT JOIN durable.instances i ON i.instance_id IN (d.id, 'child: ' || d.id) WHERE i.failure ->> 'detail' IS DISTINCT FROM d.detail $$, 'the detail is as it was written');
SELECT is_empty($$ SELECT d.id FROM details d JOIN durable.instances i ON i.instance_id IN (d.id, 'child: ' || d.id) WHERE i.failure ? 'properties' AND NOT good $$, 'what is no JSON object, or one made to do harm, is no properties');
SELECT is(properties(id), detail::jsonb, 'a JSON object is: ' || id) FROM details WHERE good ORDER BY id;
SELECT is((SELECT count(*) FROM durable.instances i JOIN details d ON i.instance_id = 'child: ' || d.id WHERE good AND failure #> '{innerFailure,properties}' = detail::jsonb), 10::bigint,
	'and for a parent, too');
SELECT is_empty($$ SELECT instance_id FROM durable.messages UNION ALL SELECT instance_id FROM durable.activities $$, 'nothing is left in the queues');

-- In an encoding that does not have all characters.
\set create `createdb -T template0 -E LATIN1 --locale=C properties_latin1 2>&1 && psql -XqAt -d properties_latin1 -c 'CREATE EXTENSION durable' -c 'CREATE FUNCTION rejects(d text) RETURNS void LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION USING MESSAGE = d, DETAIL = d; END $$' -c 'CREATE FUNCTION o(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN durable.call_activity($a$rejects$a$, jsonb_build_object($a$d$a$, CASE WHEN input = $a$1$a$ THEN $a${"a": "\u20ac"}$a$ ELSE $a${"a": "b"}$a$ END)); END $$' 2>&1`
\set latin1 `PGOPTIONS="$PGOPTIONS -c client_min_messages=error" psql -XqAt -d properties_latin1 -c 'SELECT durable.start_instance($$o$$, to_jsonb(n), instance_id => n::text) FROM generate_series(1, 2) n' -c 'SELECT durable.run_until_idle() > 0' -c 'SELECT status, failure -> $$detail$$, failure -> $$properties$$ FROM durable.instances ORDER BY instance_id' 2>&1 | tr '\n' ' '; dropdb properties_latin1`
SELECT is(:'latin1'::text, '1 2 t failed|"{\"a\": \"\\u20ac\"}"| failed|"{\"a\": \"b\"}"|{"a": "b"} ', 'an escape for a character that LATIN1 does not have');
SELECT * FROM finish();
