-- Rows that no engine wrote: a superuser changes one column of the tables at a
-- time, or takes rows away. The instance whose row it is fails with an error
-- that says so, or goes on if the column does not matter to it; nobody crashes,
-- nothing runs for ever, and the instances beside it complete.
\ir include/setup.psql
SELECT no_plan();

CREATE FUNCTION child(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN durable.wait_for_event('go'); END $$;
CREATE FUNCTION victim(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	late	durable.task := durable.create_timer('30 days');
	first	jsonb := durable.call_activity('same', '1');
	child	durable.task := durable.schedule_suborchestrator('child', '2', durable.instance_id() || '/child');
	data	jsonb;
BEGIN
	BEGIN
		PERFORM durable.call_activity('fail', '{"message": "expected"}');
	EXCEPTION WHEN SQLSTATE 'P0001' THEN
		PERFORM durable.send_event('nobody', 'failed', '"expected"');
	END;
	data := durable.wait_for_event('go');
	RETURN jsonb_build_array(first, data, durable.call_activity('same', '3'), durable.await(child));
END $$;

-- ---------------------------------------------------------------------------
-- Each column of each table
-- ---------------------------------------------------------------------------

RESET SESSION AUTHORIZATION;
CREATE TABLE app.probes (id text, tab text, col text, val text, type int, refused text);
INSERT INTO app.probes (id, tab, col, val, type)
SELECT format('%s %s %s %s', relname, attname, coalesce(v, 'NULL'), t), relname, attname, v, t
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND attnum > 0 AND NOT attisdropped
CROSS JOIN LATERAL unnest(CASE format_type(atttypid, NULL)
	WHEN 'text' THEN ARRAY[NULL, '', 'bogus']
	WHEN 'integer' THEN '{NULL,-1,-2147483648,2147483647,77}'
	WHEN 'smallint' THEN '{NULL,-1,2,4,5,6,11,12,15,16,77,-32768}'
	WHEN 'bigint' THEN '{NULL,-1,9223372036854775807,-9223372036854775808,77}'
	WHEN 'jsonb' THEN ARRAY[NULL, 'null', '"x"', '[]', '{}', '17', '{"errorMessage": 5, "sqlstate": [], "innerFailure": 5, "max_attempts": "x"}', '{"search_path": 5, "TimeZone": "nowhere", "sqlstate": "x"}', '{"search_path": "\"", "DateStyle": "x"}']
	WHEN 'uuid' THEN '{NULL,00000000-0000-0000-0000-000000000000}'
	WHEN 'bytea' THEN ARRAY[NULL, '', '\x01', '\x77', '\x0100', '\x01050000ffffffffffffffffffff', '\x01050100020202', '\x010580080202020202ff']
	WHEN 'boolean' THEN '{NULL,true,false}'
	WHEN 'text[]' THEN ARRAY[NULL, '{}', '{NULL}', '{{a},{b}}']
	WHEN 'timestamp with time zone' THEN ARRAY[NULL, 'infinity', '-infinity', '4713-01-01 BC'] END) v
CROSS JOIN LATERAL unnest(CASE relname WHEN 'history' THEN CASE WHEN attname ~ '^(event_type|name|payload|failure|.*_id|fire_at|turn_at)$' THEN '{0,4,5,6,7,10}'::int[] ELSE '{0,5}' END ELSE '{0}' END) t
WHERE relnamespace = 'durable_store'::regnamespace AND relname IN ('instances', 'history', 'inbox', 'activity_queue') AND attname NOT IN ('task_hub', 'instance_id');

-- Events that are packed into the row of another one get rows of their own, to be changed one by one.
CREATE PROCEDURE app.unpack(which text) LANGUAGE sql AS $$
	INSERT INTO durable_store.history (task_hub, instance_id, generation, seq, turn, turn_at, "timestamp", fire_at, event_id,
		task_id, event_type, opens_turn, closes_turn, name, version, target_instance_id, payload, failure, tags, retry)
	SELECT h.task_hub, h.instance_id, h.generation, m.* FROM durable_store.history h CROSS JOIN LATERAL durable_store.unpack_events(h.more) m
	WHERE h.instance_id ~ which;
	UPDATE durable_store.history SET more = NULL WHERE more IS NOT NULL AND instance_id ~ which;
$$;

GRANT ALL ON app.probes TO app;

-- What is queued waits, until it has been changed.
CREATE FUNCTION hold_back() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	NEW.visible_at := NEW.visible_at + interval '10 years';
	RETURN NEW;
END $$;
CREATE TRIGGER hold_back BEFORE INSERT ON durable_store.activity_queue FOR EACH ROW WHEN (NEW.instance_id LIKE 'activity_queue %') EXECUTE FUNCTION hold_back();
SET SESSION AUTHORIZATION app;
SELECT count(durable.start_instance('victim', instance_id => id)) || ' probes' FROM probes;
SELECT start('victim', NULL, 'bystander ' || n) FROM generate_series(1, 3) n;
:run
SELECT count(*) || ' raised' FROM (SELECT durable.raise_event(id, 'go', '5') FROM probes OFFSET 0) p;
RESET SESSION AUTHORIZATION;
DROP TRIGGER hold_back ON durable_store.activity_queue;
UPDATE durable_store.activity_queue SET visible_at = now();
CALL app.unpack('^(history|instances|inbox|activity_queue) ');
DO $$
DECLARE
	p app.probes;
BEGIN
	FOR p IN SELECT * FROM app.probes LOOP
		BEGIN
			EXECUTE format('UPDATE durable_store.%I SET %I = %L WHERE instance_id = %L %s', p.tab, p.col, p.val, p.id,
				CASE p.tab WHEN 'history' THEN 'AND event_type = ' || p.type WHEN 'inbox' THEN 'AND event_type = 15' END);
		EXCEPTION WHEN integrity_constraint_violation OR invalid_text_representation OR array_subscript_error THEN
			UPDATE app.probes SET refused = SQLERRM WHERE id = p.id;
		END;
	END LOOP;
END $$;
\set VERBOSITY terse
SELECT cmp_ok(count(*)::int, '>', 300, 'the tables let most of it in') FROM app.probes WHERE refused IS NULL;

SET SESSION AUTHORIZATION app;
SET client_min_messages = error;
SELECT format('# %s work items', durable.run_until_idle());
SELECT count(*) || ' raised' FROM (SELECT durable.raise_event(instance_id, 'go', '5') FROM durable.instances WHERE completed_at IS NULL OFFSET 0) p;
SELECT format('# %s work items', durable.run_until_idle());
RESET client_min_messages;
SELECT is((SELECT string_agg(DISTINCT status, ', ') FROM durable.instances WHERE instance_id LIKE 'bystander%'), 'completed', 'instances beside them complete');
SELECT is_empty($$ SELECT id, outcome(id) FROM probes WHERE status(id) = 'failed' AND failure(id, 'sqlstate') !~ '^UD|^22023$|^22P02$|^42' $$,
	'what cannot go on fails with an error of durable, or one about the name or setting that is wrong');
SELECT is_empty($$ SELECT id, failure(id, 'detail') FROM probes WHERE failure(id, 'sqlstate') = 'UD013' AND (position(quote_ident(id) in failure(id, 'errorMessage')) = 0
	OR failure(id, 'detail') !~ '^(Event -?\d+ of its history, \w+, |It is |Its )') $$, 'one whose rows are damaged is named, with the event or field');
SELECT cmp_ok(count(*)::int, '>', 100, 'there were many of those') FROM probes WHERE failure(id, 'sqlstate') = 'UD013';
SELECT is((SELECT count(*) FROM probes WHERE refused IS NOT NULL AND status(id) <> 'completed'), 0::bigint, 'where the table refused the change the instance completes');
-- An answer with another number, or to another execution, is one to something that was never asked (scenario 159); what it was the answer to never comes.
SELECT is_empty($$ SELECT id FROM probes WHERE status(id) NOT IN ('completed', 'failed') AND id !~ '^activity_queue (execution_id|task_id|visible_at) |^instances execution_id ' $$,
	'nothing runs on but what waits for an answer whose number was changed');

-- An activity that loses a conflict is repeated, whatever its row says of how often.
CREATE FUNCTION lose_conflict() RETURNS int LANGUAGE plpgsql AS $$
BEGIN
	IF durable.attempt() < 3 THEN
		RAISE SQLSTATE '40001';
	END IF;
	RETURN durable.attempt();
END $$;
SELECT start('call', '{"name": "lose_conflict"}', 'attempt ' || n) FROM unnest(ARRAY[-2147483648, -5, 0, 1, 2147483647]) n;
:run
RESET SESSION AUTHORIZATION;
UPDATE durable_store.activity_queue SET attempt = substr(instance_id, 9)::int, visible_at = now() WHERE instance_id LIKE 'attempt %';
SET SESSION AUTHORIZATION app;
SELECT format('# %s work items', durable.run_until_idle(advance_time => true)) FROM generate_series(1, 1);
SELECT is(output('attempt ' || n), CASE WHEN n < 3 THEN '3'::jsonb ELSE to_jsonb(n - 1) END, 'attempt number ' || n) FROM unnest(ARRAY[-2147483648, -5, 0, 1, 2147483647]) n;

-- ---------------------------------------------------------------------------
-- Rows that are gone, or twice there
-- ---------------------------------------------------------------------------

SELECT start('victim', NULL, id) FROM unnest(ARRAY['no start', 'no end', 'hole', 'no history', 'duplicate', 'reborn', 'no pack', 'in good order']) id;
SELECT start('child', NULL, 'never begun');
RESET SESSION AUTHORIZATION;
DELETE FROM durable_store.inbox WHERE instance_id = 'never begun';
SET SESSION AUTHORIZATION app;
:run
RESET SESSION AUTHORIZATION;
CALL app.unpack('^(no start|no end|hole|no history|duplicate|reborn)$');
UPDATE durable_store.history SET more = NULL WHERE instance_id = 'no pack';
DELETE FROM durable_store.history WHERE instance_id = 'no start' AND event_type = 0;
DELETE FROM durable_store.history h WHERE instance_id = 'no end' AND seq = (SELECT max(seq) FROM durable_store.history WHERE instance_id = 'no end');
DELETE FROM durable_store.history WHERE instance_id = 'hole' AND event_type = 6;
DELETE FROM durable_store.history WHERE instance_id = 'no history';
SELECT throws_ok($$ INSERT INTO durable_store.history SELECT * FROM durable_store.history WHERE instance_id = 'duplicate' AND event_type = 5 $$, '23505', NULL, 'the key forbids two events with one number');
INSERT INTO durable_store.history SELECT (jsonb_populate_record(h, jsonb_build_object('seq', 1))).* FROM durable_store.history h WHERE instance_id = 'duplicate' AND event_type = 5;
UPDATE durable_store.instances SET status = 'pending', last_seq = 0, turn = 0 WHERE instance_id = 'reborn';
SET SESSION AUTHORIZATION app;
SELECT go(instance_id) FROM durable.instances WHERE completed_at IS NULL AND instance_id !~ '^(history|instances|inbox|activity_queue) ';
SET client_min_messages = error;
:run
RESET client_min_messages;
SELECT is(failure(id, 'sqlstate') || ': ' || failure(id, 'errorMessage'), format('UD013: what is stored of instance "%s" in task hub "app" is damaged', id), id)
FROM unnest(ARRAY['no start', 'no end', 'hole', 'no history', 'duplicate', 'reborn', 'no pack', 'never begun']) id;
SELECT is(failure('no start', 'detail'), 'Event 3 of its history, TimerCreated, is its first, but no ExecutionStarted.', 'a history without ExecutionStarted');
SELECT alike(failure('no end', 'detail'), 'Its last_seq is %, but its history ends with %.', 'a history without its end');
SELECT alike(failure('hole', 'detail'), '%does not follow the one before it: events are missing, or numbers were changed.', 'a history with a hole');
SELECT is(failure('no history', 'detail'), 'It is running, but generation 1 has no history.', 'no history at all');
SELECT is(failure('duplicate', 'detail'), 'Event 1 of its history, TaskCompleted, is its first, but no ExecutionStarted.', 'an event that is there twice');
SELECT is(failure('reborn', 'detail'), 'It is pending, but has a history.', 'an instance that is pending again');
SELECT is(failure('never begun', 'detail'), 'It is pending, but its message ExecutionStarted is missing.', 'a start that is lost');
SELECT is(status('in good order'), 'completed', 'the one beside them completes');
SELECT durable.rewind('hole') \g /dev/null
SET client_min_messages = error;
:run
RESET client_min_messages;
SELECT is(failure('hole', 'sqlstate'), 'UD013', 'a damaged one that is rewound fails again');
SELECT start('child', NULL, 'no start');
SELECT go('no start');
:run
SELECT is(status('no start'), 'completed', 'under the id of a damaged one another can be started');
SELECT * FROM finish();
