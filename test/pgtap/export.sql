-- export_history(), import_history(): a history goes to another server.
\ir include/setup.psql
SELECT no_plan();

CREATE FUNCTION child(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN to_jsonb(durable.parent_instance_id()); END $$;
CREATE FUNCTION everything(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	t durable.task := durable.create_timer('1 h');
	u durable.task := durable.expect_event('Go');
BEGIN
	PERFORM durable.set_custom_status('{"how": "well"}');
	PERFORM durable.call_activity('same', to_jsonb(i)) FROM generate_series(1, 2) i;
	IF durable.await_any(t, u) = u THEN PERFORM durable.cancel_timer(t); END IF;
	BEGIN
		PERFORM durable.call_activity('fail', '{"message": "m"}', retry => durable.retry_policy(2));
	EXCEPTION WHEN OTHERS THEN
		PERFORM durable.sleep('1 h');
	END;
	PERFORM durable.send_event('nobody', 'hello', 'null');
	PERFORM durable.start_detached('child', 'null', tags => '{"a": "b"}');
	RETURN jsonb_build_array(now(), durable.new_guid(), random(), durable.call_suborchestrator('child'),
		durable.instance_id(), durable.execution_id(), durable.instance_version(), durable.instance_tags(),
		now()::text, 1e300::numeric, 1.10);
END $$;
SET TimeZone = 'Asia/Kathmandu';
SELECT durable.start_instance('everything', 'null', instance_id => 'e', tags => '{"ž": "\\u0041\""}', version => '1.2') \g /dev/null
RESET TimeZone;
SELECT durable.raise_event('e', 'go', 'null') \g /dev/null
:run_all
SELECT is(status('e'), 'completed', 'all kinds of events');

-- What is in it
CREATE TEMPORARY TABLE exported AS SELECT durable.export_history('e') AS h;
SELECT is(h -> 'format', '1', 'the format has a number') FROM exported;
SELECT is(array_agg(k ORDER BY k), '{events,format,instance}', 'three fields') FROM exported, jsonb_object_keys(h) k;
SELECT is(h -> 'instance' ->> 'execution_id', (SELECT execution_id::uuid::text FROM durable.instances WHERE instance_id = 'e'), 'the execution') FROM exported;
SELECT is(jsonb_build_array(h #> '{instance,input}', h #> '{instance,tags}', h #> '{instance,version}', h #> '{instance,settings,TimeZone}', h #> '{instance,custom_status}', h #> '{instance,name}', h #> '{instance,status}'),
	'[null, {"ž": "\\u0041\""}, "1.2", "Asia/Kathmandu", {"how": "well"}, "everything", "completed"]', 'what it was started with') FROM exported;
SELECT ok(h -> 'instance' ? 'input' AND NOT h -> 'instance' ? 'failure' AND NOT h -> 'instance' ? 'parent', 'null is there, and what is not is not') FROM exported;
SELECT results_eq($$ SELECT (e ->> 'seq')::int, (e ->> 'turn')::int, e ->> 'type', coalesce((e ->> 'event_id')::int, -1), (e ->> 'timestamp')::timestamptz, (e ->> 'fire_at')::timestamptz, e ->> 'name'
		FROM exported, jsonb_array_elements(h -> 'events') WITH ORDINALITY x(e, n) ORDER BY n $$,
	$$ SELECT seq, turn, event_type, event_id, "timestamp", fire_at, name FROM durable.history WHERE instance_id = 'e' AND event_type NOT LIKE 'Orchestrator%' ORDER BY seq $$,
	'every event, times to the microsecond');
SET TimeZone = 'America/New_York';
SET DateStyle = 'German';
SELECT is(durable.export_history('e'), h, 'the same in whatever time zone') FROM exported;
SELECT ok(h #>> '{events,0,turn_at}' ~ '^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?\+00:00$', 'times are UTC') FROM exported;

-- Round trip
SELECT is(durable.import_history(h, 'copy'), 'copy', 'imported under another id') FROM exported;
RESET TimeZone;
RESET DateStyle;
SELECT is(durable.export_history('copy'), h, 'and exported again it is the same') FROM exported;
SELECT is((SELECT fits FROM durable.check_replay('copy')), true, 'it fits, with the ids it had');
SELECT throws_ok($$ SELECT durable.import_history(h) FROM exported $$, 'UD003', NULL, 'its own id is that of an instance');
SELECT throws_ok($$ SELECT durable.import_history(h, 'copy') FROM exported $$, 'UD003', NULL, 'nor is it imported twice');
SELECT is((SELECT concat_ws(' ', instance_id, name, version, original_instance_id, status, events = (SELECT jsonb_array_length(h -> 'events') FROM exported)) FROM durable.imported_histories),
	'copy everything 1.2 e completed t', 'a view shows it');
SELECT is((SELECT count(*) FROM durable.instances WHERE instance_id = 'copy') + (SELECT count(*) FROM durable.messages) + (SELECT count(*) FROM durable.activities), 0::bigint, 'it is no instance');
SELECT is((SELECT string_agg(instance_id || fits, ' ' ORDER BY instance_id) FROM durable.check_replays('everything')), 'copytrue etrue', 'check_replays() finds both');
SELECT is(durable.purge('e') > 0, true, 'the original may go');
SELECT is(durable.import_history(h), 'e', 'then the copy may have its id') FROM exported;
SELECT is((SELECT fits FROM durable.check_replay('e')), true, 'and fits');
SELECT is(durable.discard_imported_history('copy'), true, 'discarded');
SELECT is(durable.discard_imported_history('copy'), false, 'once');
SELECT throws_ok($$ SELECT durable.export_history('copy') $$, 'UD004', NULL, 'it is gone');

-- Running ones are frozen: the copy stays where it was
CREATE FUNCTION waits(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$ BEGIN PERFORM durable.call_activity('effect', '{"what": "x"}'); PERFORM durable.wait_for_event('go'); RETURN durable.call_activity('effect', '{"what": "y"}'); END $$;
SELECT start('waits');
:run
SELECT is(durable.import_history(durable.export_history('waits'), 'frozen'), 'frozen', 'one that runs');
SELECT durable.start_instance('waits', instance_id => 'delayed', start_at => '2200-01-01') \g /dev/null
SELECT is(durable.import_history(durable.export_history('delayed'), 'not begun'), 'not begun', 'and one that has not begun');
SELECT go('waits');
:run
SELECT throws_ok($$ SELECT durable.raise_event('frozen', 'go') $$, 'UD004', NULL, 'nothing can be sent to it');
SELECT throws_ok($$ SELECT durable.rewind('frozen') $$, 'UD004', NULL, 'nor can it be rewound');
SELECT is(effects() || status('waits'), 'x ycompleted', 'the original went on');
SELECT is((SELECT status || events FROM durable.imported_histories WHERE instance_id = 'frozen'), 'running3', 'the copy did not');
SELECT is((SELECT string_agg(fits::text, ' ') FROM durable.check_replays('waits')), 'true true true true', 'all fit');
SELECT is(durable.start_instance('waits', instance_id => 'frozen'), 'frozen', 'a new instance may have the id');
:run
SELECT is(outcome('frozen'), 'running', 'and runs');
SELECT is((SELECT count(*) FROM durable.check_replays('waits') WHERE instance_id = 'frozen'), 2::bigint, 'both are checked');

-- A sub-orchestration, with its parent; a failure with its details
CREATE FUNCTION parent(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN PERFORM durable.call_suborchestrator('child', instance_id => 'c'); RETURN durable.call_activity('fail', '{"message": "m", "detail": "{\"a\": [1]}"}'); END $$;
SELECT start('parent');
:run
SELECT is(durable.export_history('c') #- '{instance,parent,execution_id}' #> '{instance,parent}', '{"task_id": 0, "instance_id": "parent"}', 'the parent');
SELECT durable.import_history(durable.export_history(id), id || ' copy') FROM unnest(ARRAY['parent', 'c']) id \g /dev/null
SELECT is((SELECT fits FROM durable.check_replay('c copy')) AND (SELECT fits FROM durable.check_replay('parent copy')), true, 'fit: a child, and a failure');

-- ---------------------------------------------------------------------------
-- Ten thousand events

CREATE FUNCTION wide(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$ BEGIN RETURN to_jsonb(array_length(durable.await_all(VARIADIC (SELECT array_agg(durable.schedule_activity('same', to_jsonb(i))) FROM generate_series(1, 5000) i)), 1)); END $$;
SELECT start('wide');
:run
SELECT is(outcome('wide'), 'completed 5000', 'a wide one');
SELECT is(jsonb_array_length(durable.export_history('wide') -> 'events'), 10002, 'has ten thousand events');
SELECT is(durable.import_history(durable.export_history('wide'), 'wide copy'), 'wide copy', 'is imported');
SELECT ok(durable.export_history('wide') = durable.export_history('wide copy'), 'the same');
SELECT is((SELECT fits FROM durable.check_replay('wide copy')), true, 'and fits');

-- ---------------------------------------------------------------------------
-- What is no history

CREATE FUNCTION refused(history jsonb) RETURNS text LANGUAGE plpgsql AS
$$
DECLARE
	detail text;
BEGIN
	RETURN 'imported as ' || durable.import_history(history, 'malformed');
EXCEPTION WHEN invalid_parameter_value THEN
	GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
	RETURN detail;
END $$;
CREATE TEMPORARY TABLE good AS SELECT durable.export_history('parent') AS h;
SELECT is(refused(h), 'imported as malformed', 'as it is, it is good') FROM good;
SELECT durable.discard_imported_history('malformed') \g /dev/null
CREATE TEMPORARY TABLE malformed (h jsonb, detail text);
INSERT INTO malformed SELECT v::jsonb, 'In the document: it is not an object.' FROM unnest(ARRAY['null', '1', '"format"', '[]', '[{"format": 1}]', 'true']) v;
INSERT INTO malformed VALUES ('{}', 'In the document: "format" is missing.'),
	('{"format": "1"}', 'In the document: "format" is not a number.'),
	('{"format": 2}', 'This version of durable reads and writes format 1.'),
	('{"format": 1.5}', 'In the document: "format" is not an integer from 0 to 2147483647.'),
	('{"format": 1e400}', 'In the document: "format" is not an integer from 0 to 2147483647.'),
	('{"format": 1}', 'In the document: "instance" is missing.'),
	('{"format": 1, "instance": []}', 'In the document: "instance" is not an object.'),
	('{"format": 1, "instance": {}}', 'In "instance": "instance_id" is missing.');
-- Each a good one with something else at a place; NULL: without it.
INSERT INTO malformed SELECT CASE WHEN v IS NULL THEN h #- p::text[] ELSE jsonb_set(h, p::text[], v::jsonb) END, d
FROM good, (VALUES
	('{events}', NULL, 'In the document: "events" is not an array.'),
	('{events}', '{"a": 1}', 'In the document: "events" is not an array.'),
	('{events}', '"a"', 'In the document: "events" is not an array.'),
	('{events,0}', '1', 'In element 0 of "events": it is not an object.'),
	('{events,1}', '[]', 'In element 1 of "events": it is not an object.'),
	('{events,0}', NULL, 'In "events": there is no ExecutionStarted.'),
	('{events,0,type}', NULL, 'In element 0 of "events": "type" is missing.'),
	('{events,0,type}', '"Started"', 'In element 0 of "events": there is no event type "Started".'),
	('{events,0,type}', '"unknown"', 'In element 0 of "events": there is no event type "unknown".'),
	('{events,0,type}', '"OrchestratorStarted"', 'In element 0 of "events": there is no event type "OrchestratorStarted".'),
	('{events,0,seq}', NULL, 'In element 0 of "events": "seq" is missing.'),
	('{events,0,seq}', '-1', 'In element 0 of "events": "seq" is not an integer from 1 to 2147483647.'),
	('{events,0,seq}', '2147483648', 'In element 0 of "events": "seq" is not an integer from 1 to 2147483647.'),
	('{events,2,seq}', '1', 'In element 2 of "events": "seq" is not greater than that of the event before.'),
	('{events,1,turn}', '5', 'In element 2 of "events": "turn" is less than that of the event before.'),
	('{events,2,turn_at}', '"2001-01-01T00:00:00Z"', 'In element 2 of "events": "turn_at" is before that of the event before.'),
	('{events,0,turn_at}', '"infinity"', 'In element 0 of "events": "turn_at" is not a time such as 2026-01-31T12:00:00.123456+00:00.'),
	('{events,0,timestamp}', '"yesterday"', 'In element 0 of "events": "timestamp" is not a time such as 2026-01-31T12:00:00.123456+00:00.'),
	('{events,0,timestamp}', '"2026-02-29T00:00:00Z"', 'In element 0 of "events": "timestamp" is not a time such as 2026-01-31T12:00:00.123456+00:00.'),
	('{events,0,timestamp}', '"2026-02-28T24:00:00Z"', 'In element 0 of "events": "timestamp" is not a time such as 2026-01-31T12:00:00.123456+00:00.'),
	('{events,0,timestamp}', '"999999-02-28T00:00:00Z"', 'In element 0 of "events": "timestamp" is not a time such as 2026-01-31T12:00:00.123456+00:00.'),
	('{events,0,timestamp}', '"2026-02-28T00:00:00+99:00"', 'In element 0 of "events": "timestamp" is not a time such as 2026-01-31T12:00:00.123456+00:00.'),
	('{events,0,timestamp}', '""', 'In element 0 of "events": "timestamp" is empty.'),
	('{events,0,timestamp}', '1', 'In element 0 of "events": "timestamp" is not a string.'),
	('{events,1,event_id}', NULL, 'In element 1 of "events": "event_id" is missing.'),
	('{events,1,event_id}', '-1', 'In element 1 of "events": "event_id" is not an integer from 0 to 2147483647.'),
	('{events,1,name}', NULL, 'In element 1 of "events": "name" is missing.'),
	('{events,1,name}', '{}', 'In element 1 of "events": "name" is not a string.'),
	('{events,1,retry}', '1', 'In element 1 of "events": "retry" is not an object.'),
	('{events,1,tags}', '[]', 'In element 1 of "events": "tags" is not an object.'),
	('{events,2,task_id}', NULL, 'In element 2 of "events": "task_id" is missing.'),
	('{events,4,failure}', NULL, 'In element 4 of "events": "failure" is missing.'),
	('{events,4,failure}', '"m"', 'In element 4 of "events": "failure" is not an object.'),
	('{events,1}', '{"type": "EventRaised", "seq": 3, "turn": 1, "turn_at": "2027-01-01T00:00:00Z", "timestamp": "2027-01-01T00:00:00Z"}', 'In element 1 of "events": "name" is missing.'),
	('{events,5}', NULL, 'In "instance": "status" is "failed", but "events" do not end with ExecutionCompleted.'),
	('{events,6}', '{"type": "GenericEvent", "seq": 300, "turn": 100, "turn_at": "2300-01-01T00:00:00Z", "timestamp": "2027-01-01T00:00:00Z"}', 'In element 6 of "events": it comes after ExecutionCompleted.'),
	('{instance,instance_id}', '""', 'In "instance": "instance_id" is empty.'),
	('{instance,instance_id}', to_jsonb(repeat('x', 256))::text, 'In "instance": "instance_id" has more than 255 bytes.'),
	('{instance,execution_id}', '"0"', 'In "instance": "execution_id" is not a UUID.'),
	('{instance,execution_id}', '"x1a1fe52-1274-7f7c-9bc6-91945a770443"', 'In "instance": "execution_id" is not a UUID.'),
	('{instance,execution_id}', '"01a1fe52-1274-7f7c-9bc6-91945a7704430"', 'In "instance": "execution_id" is not a UUID.'),
	('{instance,generation}', '0', 'In "instance": "generation" is not an integer from 1 to 9223372036854775807.'),
	('{instance,generation}', '9223372036854775808', 'In "instance": "generation" is not an integer from 1 to 9223372036854775807.'),
	('{instance,name}', NULL, 'In "instance": "name" is missing.'),
	('{instance,function}', NULL, 'In "instance": "function" is missing.'),
	('{instance,status}', '"done"', 'In "instance": "status" is none that an instance has.'),
	('{instance,settings}', '1', 'In "instance": "settings" is not an object.'),
	('{instance,failure}', '1', 'In "instance": "failure" is not an object.'),
	('{instance,version}', '1', 'In "instance": "version" is not a string.'),
	('{instance,parent}', '1', 'In "instance": "parent" is not an object.'),
	('{instance,parent}', '{"instance_id": "p"}', 'In the parent of the instance: "execution_id" is missing.')) x(p, v, d);
SELECT is(refused(h), detail, detail) FROM malformed;
SELECT throws_ok($$ SELECT durable.import_history(NULL) $$, '22004', NULL, 'nothing');
SELECT throws_ok($$ SELECT durable.import_history(h, '') FROM good $$, '22023', NULL, 'an id that is none');
SELECT throws_ok($$ SELECT durable.import_history('{"format": 2}') $$, '22023', 'histories of format 2 cannot be imported', 'another format');
SELECT throws_ok($$ SELECT durable.export_history('nobody') $$, 'UD004', NULL, 'no such instance');

-- Odd but sound: whatever is imported, a check ends with a verdict or an error of the function.
CREATE TEMPORARY TABLE odd AS SELECT row_number() OVER () AS n, jsonb_set(h, p::text[], v::jsonb) AS h FROM good, (VALUES
	('{instance,function}', '"no such function("'), ('{instance,function}', '"app.same(jsonb)"'), ('{instance,settings,search_path}', '"\"; x"'), ('{instance,settings,TimeZone}', '"Nowhere"'),
	('{events,1,event_id}', '2147483647'), ('{events,2,task_id}', '-2147483648'), ('{events,2,task_id}', '2147483647'), ('{events,1,retry}', '{}'), ('{events,1,retry}', '{"max_attempts": 1e300, "backoff": -1}'),
	('{events,4,failure}', '{}'), ('{events,4,failure}', '{"errorType": 1, "errorMessage": [], "sqlstate": "?"}'), ('{events,1,type}', '"EventRaised"'), ('{events,1,type}', '"ExecutionTerminated"'),
	('{events,1,type}', '"ExecutionSuspended"'), ('{events,1,type}', '"ExecutionStarted"'), ('{events,1,type}', '"GenericEvent"'), ('{events,1,type}', '"TimerCreated"'), ('{instance,failure}', '{}'),
	('{instance,status}', '"running"'), ('{instance,status}', '"completed"'), ('{instance,tags}', '{"a": 1}'), ('{instance,input}', '{"a": 1}')) x(p, v);
SELECT is(durable.import_history(h, 'odd ' || n), 'odd ' || n, 'odd but sound') FROM odd;
SELECT is(count(fits), count(*), 'a verdict for each') FROM odd, durable.check_replay('odd ' || n);

-- Rights
RESET SESSION AUTHORIZATION;
CREATE ROLE export_other LOGIN;
SELECT durable.grant_usage('export_other');
SET SESSION AUTHORIZATION export_other;
SELECT is_empty($$ SELECT * FROM durable.imported_histories $$, 'others do not see them');
SELECT throws_ok($$ SELECT durable.export_history('parent', task_hub => 'app') $$, '42501', NULL, 'nor export');
SELECT throws_ok($$ SELECT durable.export_history('parent') $$, 'UD004', NULL, 'in their own hub it is not');
SELECT throws_ok($$ SELECT durable.import_history('{}', task_hub => 'app') $$, '42501', NULL, 'nor import');
SELECT throws_ok($$ SELECT durable.discard_imported_history('parent copy', task_hub => 'app') $$, '42501', NULL, 'nor discard');
SELECT throws_ok($$ SELECT durable.check_replay('parent', task_hub => 'app') $$, '42501', NULL, 'nor check');
SELECT is_empty($$ SELECT * FROM durable.check_replays() $$, 'who has no hub has nothing to check');
RESET SESSION AUTHORIZATION;
SELECT durable.revoke_usage('export_other');
DROP ROLE export_other;

-- With the hub they go.
SELECT ok(count(*) > 0, 'there are some') FROM durable_store.imported_histories;
SELECT durable.pause_hub('app'), durable.discard_hub('app') \g /dev/null
SELECT is(count(*), 0::bigint, 'not any more') FROM durable_store.imported_histories;
SELECT * FROM finish();
