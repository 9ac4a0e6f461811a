-- Payloads come out as they went in, by every way there is.
\ir include/setup.psql
SELECT plan(160);

CREATE TABLE payloads (id text PRIMARY KEY, payload jsonb);
INSERT INTO payloads VALUES
	('SQL NULL', NULL), ('JSON null', 'null'), ('zero', '0'), ('false', 'false'), ('empty string', '""'), ('empty array', '[]'), ('empty object', '{}'),
	('null in array', '[null, [], {}]'), ('unicode', '"žluťoučký \u00e9 🐘 \"quoted\" \\ \n\t%s"'), ('unicode key', '{"ключ": {"": 1}}'),
	('big number', '12345678901234567890123456789012345678901234567890.123456789012345678901234567890'), ('trailing zeros', '1.500'), ('huge', '1e400'), ('tiny', '-1e-200'),
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
CREATE FUNCTION sends(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN PERFORM durable.send_event('received ' || (input ->> 'id'), 'data', input -> 'payload'); RETURN NULL; END $$;

SELECT durable.start_instance(way, payload, way || ' ' || id) FROM payloads, unnest(ARRAY['at_once', 'through_activity', 'through_child', 'through_all', 'through_status']) way \g /dev/null
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
SELECT is(result('through_all ' || id), wanted(payload), 'scenario 14: await_all(): ' || id) FROM payloads;
SELECT is(short(custom_status), short(payload), 'scenario 137: custom status: ' || id) FROM payloads JOIN durable.instances ON instance_id = 'through_status ' || id;
SELECT is(short(i.input), short(payload), 'the view shows the input: ' || id) FROM payloads JOIN durable.instances i ON instance_id = 'at_once ' || id;
SELECT is((SELECT short(h.input) FROM durable.history h WHERE instance_id = 'through_activity ' || id AND event_type = 'TaskScheduled'), short(payload), 'the history has the activity''s input: ' || id) FROM payloads;
SELECT * FROM finish();
