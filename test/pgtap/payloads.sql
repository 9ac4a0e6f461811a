-- Payloads come out as they went in, by every way there is.
\ir include/setup.psql
SELECT plan(499);

CREATE TABLE payloads (id text PRIMARY KEY, payload jsonb);
INSERT INTO payloads VALUES
	('SQL NULL', NULL), ('JSON null', 'null'), ('zero', '0'), ('false', 'false'), ('empty string', '""'), ('empty array', '[]'), ('empty object', '{}'),
	('null in array', '[null, [], {}]'), ('unicode', '"žluťoučký \u00e9 🐘 \"quoted\" \\ \n\t%s"'), ('unicode key', '{"ключ": {"": 1}}'),
	('big number', '12345678901234567890123456789012345678901234567890.123456789012345678901234567890'), ('trailing zeros', '1.500'), ('huge', '1e400'), ('tiny', '-1e-200'),
	('true', 'true'), ('minus one', '-1'), ('string null', '"null"'), ('string zero', '"0"'), ('blank', '" "'), ('empty key', '{"": ""}'), ('false in object', '{"a": false, "b": 0, "c": "", "d": null, "e": [], "f": {}}'),
	('task result like', '{"result": null, "error": {"message": "none"}}'), ('failure like', '{"errorType": "x", "errorMessage": "no failure", "sqlstate": "22012"}'),
	('astral plane', '"\ud83d\ude00 \ud835\udd4f \udbff\udfff"'), ('astral key', '{"\ud83d\ude00": ["\ud83d\ude00"]}'), ('combining', '"e\u0301 \u00e9 \u200d \u202e \ufeff \uffff"'), ('controls', '"\u0001\u001f\u007f\u0085\u2028\r\n"'),
	('beyond int8', '9223372036854775808'), ('beyond 2^53', '9007199254740993'), ('beyond double', '[0.1234567890123456789012345678901234567890, 1e-400, 123456789012345678901234567890e300]'), ('zeros', '[0.0, 0.00, 1.0, 100e-2]'),
	('nested', (repeat('[', 500) || repeat(']', 500))::jsonb),
	('megabyte', to_jsonb(repeat('0123456789abcdef', 65536)));

CREATE FUNCTION through_activity(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN durable.call_activity('same', input); END $$;
CREATE FUNCTION through_child(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN durable.call_suborchestrator('at_once', input); END $$;
CREATE FUNCTION at_once(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN input; END $$;
CREATE FUNCTION through_event(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN durable.wait_for_event('data'); END $$;
-- The first generation is told by its generation's lack of a custom status.
CREATE FUNCTION through_continue(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
BEGIN
	IF jsonb_typeof(input) = 'object' AND input ? 'first' THEN
		PERFORM durable.continue_as_new(input -> 'payload');
		RETURN NULL;
	END IF;
	PERFORM durable.wait_for_event('go');
	RETURN input;
END $$;
CREATE FUNCTION through_status(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN PERFORM durable.set_custom_status(input); RETURN NULL; END $$;
CREATE FUNCTION through_all(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$ BEGIN RETURN (durable.await_all(durable.schedule_activity('same', '1'), durable.schedule_activity('same', input)))[2]; END $$;
CREATE FUNCTION through_sql(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN durable.call_sql('SELECT $1 AS x', input) -> 'x'; END $$;
-- From one to the next: what comes out of one way goes in at the next. The last input is wrapped: none is no input.
CREATE FUNCTION through_chain(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
DECLARE
	payload jsonb := input -> 'payload';
BEGIN
	IF input ->> 'generation' = '1' THEN
		payload := durable.call_activity('same', payload);
		payload := durable.call_suborchestrator('at_once', payload);
		PERFORM durable.send_event(durable.instance_id(), 'data', payload);
		payload := durable.wait_for_event('data');
		PERFORM durable.set_custom_status(payload);
		PERFORM durable.continue_as_new('{"generation": 2}' || CASE WHEN payload IS NULL THEN '{}' ELSE jsonb_build_object('payload', payload) END);
		RETURN '"not the output"';
	END IF;
	RETURN payload;
END $$;
-- Can the code tell SQL NULL from JSON null, and either from the rest?
CREATE FUNCTION told(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
DECLARE
	a jsonb := durable.call_activity('same', input);
	b jsonb := durable.call_suborchestrator('at_once', input);
	c jsonb[] := durable.await_all(durable.schedule_activity('same', input), durable.schedule_suborchestrator('at_once', input));
	d jsonb := durable.wait_for_event('data');
BEGIN
	RETURN to_jsonb(ARRAY[input IS NULL, a IS NULL, b IS NULL, c[1] IS NULL, c[2] IS NULL, d IS NULL, a IS NOT DISTINCT FROM input, b IS NOT DISTINCT FROM input, d IS NOT DISTINCT FROM input]);
END $$;
CREATE FUNCTION sends(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN PERFORM durable.send_event('received ' || (input ->> 'id'), 'data', input -> 'payload'); RETURN NULL; END $$;

SELECT durable.start_instance(way, payload, way || ' ' || id) FROM payloads, unnest(ARRAY['at_once', 'through_activity', 'through_child', 'through_all', 'through_status', 'through_sql']) way \g /dev/null
SELECT durable.start_instance('told', payload, 'told ' || id, event_name => 'data', event_data => payload) FROM payloads \g /dev/null
SELECT durable.start_instance('through_chain', '{"generation": 1}' || CASE WHEN payload IS NULL THEN '{}' ELSE jsonb_build_object('payload', payload) END, 'chain ' || id) FROM payloads \g /dev/null
SELECT durable.start_instance('through_event', NULL, way || ' ' || id) FROM payloads, unnest(ARRAY['raised', 'received']) way \g /dev/null
SELECT durable.start_instance('through_continue', '{"first": true}' || CASE WHEN payload IS NULL THEN '{}' ELSE jsonb_build_object('payload', payload) END, 'continued ' || id) FROM payloads \g /dev/null
SELECT durable.raise_event('raised ' || id, 'data', payload) FROM payloads \g /dev/null
SELECT durable.start_instance('sends', jsonb_build_object('id', id) || CASE WHEN payload IS NULL THEN '{}' ELSE jsonb_build_object('payload', payload) END) FROM payloads \g /dev/null
:run
SELECT go('continued ' || id) FROM payloads \g /dev/null
:run

-- As text: numbers are the same only if their digits are. Long ones by their hash, for readable failures.
CREATE FUNCTION short(j jsonb) RETURNS text LANGUAGE sql AS $$ SELECT CASE WHEN length(j::text) > 200 THEN length(j::text) || ' ' || md5(j::text) ELSE j::text END $$;
CREATE FUNCTION result(id text) RETURNS text LANGUAGE sql AS $$ SELECT status || ' ' || coalesce(short(output), 'SQL NULL') FROM durable.instances WHERE instance_id = $1 $$;
CREATE FUNCTION wanted(payload jsonb) RETURNS text LANGUAGE sql AS $$ SELECT 'completed ' || coalesce(short(payload), 'SQL NULL') $$;
SELECT is(result('at_once ' || id), wanted(payload), 'scenario 14: input and output: ' || id) FROM payloads;
SELECT is(result('through_activity ' || id), wanted(payload), 'scenario 14: activity: ' || id) FROM payloads;
SELECT is(result('through_child ' || id), wanted(payload), 'scenario 14: sub-orchestration: ' || id) FROM payloads;
SELECT is(result('raised ' || id), wanted(payload), 'scenario 14: event: ' || id) FROM payloads;
SELECT is(result('received ' || id), wanted(payload), 'scenario 14: event of an orchestration: ' || id) FROM payloads;
SELECT is(result('continued ' || id), wanted(payload), 'scenario 14: continue_as_new(): ' || id) FROM payloads;
SELECT is(result('through_sql ' || id), CASE WHEN payload IS NULL THEN wanted('null') ELSE wanted(payload) END, 'scenario 14: call_sql(), where NULL in a row is null: ' || id) FROM payloads;
SELECT is(result('chain ' || id), wanted(payload), 'scenario 14: activity, child, event and continue_as_new(), one after the other: ' || id) FROM payloads;
SELECT is(short(custom_status), short(payload), 'scenario 14: custom status, kept by continue_as_new(): ' || id) FROM payloads JOIN durable.instances ON instance_id = 'chain ' || id;
SELECT is(output('told ' || id), to_jsonb(array_fill(payload IS NULL, '{6}') || array_fill(true, '{3}')), 'scenario 14: the code tells NULL from null: ' || id) FROM payloads;
SELECT is(result('through_all ' || id), wanted(payload), 'scenario 14: await_all(): ' || id) FROM payloads;
SELECT is(short(custom_status), short(payload), 'scenario 137: custom status: ' || id) FROM payloads JOIN durable.instances ON instance_id = 'through_status ' || id;
SELECT is(short(i.input), short(payload), 'the view shows the input: ' || id) FROM payloads JOIN durable.instances i ON instance_id = 'at_once ' || id;
SELECT is((SELECT short(h.input) FROM durable.history h WHERE instance_id = 'through_activity ' || id AND event_type = 'TaskScheduled'), short(payload), 'the history has the activity''s input: ' || id) FROM payloads;
SELECT is((SELECT short(h.result) FROM durable.history h WHERE instance_id = 'through_activity ' || id AND event_type = 'TaskCompleted'), short(payload), 'and its result: ' || id) FROM payloads;

-- What jsonb cannot hold is the failure of who gives it.
CREATE FUNCTION nul_character() RETURNS json LANGUAGE sql AS $$ SELECT '{"a": "\u0000"}'::json $$;
CREATE FUNCTION lone_surrogate() RETURNS json LANGUAGE sql AS $$ SELECT '"\ud83d"'::json $$;
CREATE FUNCTION not_a_number() RETURNS float8[] LANGUAGE sql AS $$ SELECT '{NaN,Infinity,-0,0.1,1e308}'::float8[] $$;
CREATE FUNCTION calls(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN durable.call_activity(input #>> '{}'); END $$;
SELECT start('calls', to_jsonb(f), f) FROM unnest(ARRAY['nul_character', 'lone_surrogate', 'not_a_number']) f;
:run
SELECT is(status('nul_character') || ' ' || failure('nul_character', 'sqlstate'), 'failed 22P05', 'a result with a NUL character');
SELECT is(status('lone_surrogate') || ' ' || failure('lone_surrogate', 'sqlstate'), 'failed 22P02', 'a result with half a surrogate pair');
SELECT is(outcome('not_a_number'), 'completed ["NaN", "Infinity", 0, 0.1, 1' || repeat('0', 308) || ']', 'floats that JSON does not know are strings');
SELECT is_empty('SELECT instance_id FROM durable.messages UNION ALL SELECT instance_id FROM durable.activities', 'nothing is left in the queues');
SELECT * FROM finish();
