-- Replay: what is pinned and stable, and how changed code is found out.
\ir include/setup.psql
SELECT plan(75);
-- Code that was changed is run, to see how replay finds it out.
SET durable.on_code_change = latest;

-- ---------------------------------------------------------------------------
-- Changed code: each case runs "before" and waits, then its function becomes "after" (specification 4.3).

CREATE FUNCTION child(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN input; END $$;
CREATE FUNCTION other_child(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN input; END $$;
CREATE FUNCTION define(id text, body text) RETURNS void LANGUAGE plpgsql AS
$$ BEGIN EXECUTE format('CREATE OR REPLACE FUNCTION %I(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS %L', 'o ' || id, 'BEGIN ' || body || ' RETURN ''"done"''; END'); END $$;

CREATE TABLE changes (id text PRIMARY KEY, before text, after text, message text, what text);
INSERT INTO changes VALUES
	('activity none', $$ PERFORM durable.schedule_activity('same', '1', version => '3'); PERFORM durable.wait_for_event('go'); $$,
		$$ PERFORM durable.wait_for_event('go'); $$,
		'A previous execution of this orchestration scheduled an activity task with sequence ID 0 and name ''same'' (version ''3''), but the current replay execution hasn''t (yet?) scheduled this task.',
		'an activity removed'),
	('activity kind', $$ PERFORM durable.schedule_activity('same', '1'); PERFORM durable.wait_for_event('go'); $$,
		$$ PERFORM durable.create_timer('1 h'); PERFORM durable.wait_for_event('go'); $$,
		'A previous execution of this orchestration scheduled an activity task with sequence number 0 named ''same'', but the current orchestration replay instead produced a CreateTimer action with this sequence number.',
		'an activity became a timer'),
	('activity name', $$ PERFORM durable.schedule_activity('same', '1'); PERFORM durable.wait_for_event('go'); $$,
		$$ PERFORM durable.schedule_activity('effect', '{"what": "renamed"}'); PERFORM durable.wait_for_event('go'); $$,
		'A previous execution of this orchestration scheduled an activity task with sequence number 0 named ''same'', but the current orchestration replay instead scheduled an activity task named ''effect'' with this sequence number.',
		'an activity renamed'),
	('timer none', $$ PERFORM durable.create_timer('1 h'); PERFORM durable.wait_for_event('go'); $$,
		$$ PERFORM durable.wait_for_event('go'); $$,
		'A previous execution of this orchestration scheduled a timer task with sequence number 0 but the current replay execution hasn''t (yet?) scheduled this task.',
		'a timer removed'),
	('timer kind', $$ PERFORM durable.create_timer('1 h'); PERFORM durable.wait_for_event('go'); $$,
		$$ PERFORM durable.schedule_suborchestrator('child'); PERFORM durable.wait_for_event('go'); $$,
		'A previous execution of this orchestration scheduled a timer task with sequence number 0 % but the current orchestration replay instead produced a CreateSubOrchestration action with this sequence number.',
		'a timer became a sub-orchestration'),
	('child none', $$ PERFORM durable.schedule_suborchestrator('child', instance_id => 'c1'); PERFORM durable.wait_for_event('go'); $$,
		$$ PERFORM durable.wait_for_event('go'); $$,
		'A previous execution of this orchestration scheduled a sub-orchestration task with sequence ID 0 and name ''child'' (version '''', instance ID ''c1''), but the current replay execution hasn''t (yet?) scheduled this task.',
		'a sub-orchestration removed'),
	('child kind', $$ PERFORM durable.schedule_suborchestrator('child', instance_id => 'c2'); PERFORM durable.wait_for_event('go'); $$,
		$$ PERFORM durable.send_event('nobody', 'x'); PERFORM durable.wait_for_event('go'); $$,
		'A previous execution of this orchestration scheduled a sub-orchestration task with sequence ID 0 and name ''child'' (version '''', instance ID ''c2''), but the current orchestration replay instead produced a SendEvent action at this sequence number.',
		'a sub-orchestration became an event'),
	('child name', $$ PERFORM durable.schedule_suborchestrator('child', instance_id => 'c3'); PERFORM durable.wait_for_event('go'); $$,
		$$ PERFORM durable.schedule_suborchestrator('other_child', instance_id => 'c3'); PERFORM durable.wait_for_event('go'); $$,
		'A previous execution of this orchestration scheduled a sub-orchestration task with sequence ID 0 and name ''child'' (version '''', instance ID ''c3''), but the current orchestration replay instead scheduled a sub-orchestration task with name other_child at this sequence number.',
		'a sub-orchestration renamed'),
	('event none', $$ PERFORM durable.send_event('nobody', 'x'); PERFORM durable.wait_for_event('go'); $$,
		$$ PERFORM durable.wait_for_event('go'); $$,
		'A previous execution of this orchestration scheduled a send event task with sequence ID 0, type ''EventSent'', name ''x'', instance ID ''nobody'', but the current replay execution hasn''t (yet?) scheduled this task.',
		'an event removed'),
	('event kind', $$ PERFORM durable.send_event('nobody', 'x'); PERFORM durable.wait_for_event('go'); $$,
		$$ PERFORM durable.schedule_activity('same', '1'); PERFORM durable.wait_for_event('go'); $$,
		'A previous execution of this orchestration scheduled a send event task with sequence ID 0, type ''EventSent'', name ''x'', instance ID ''nobody'', but the current orchestration replay instead scheduled a ScheduleTask task at this sequence number.',
		'an event became an activity'),
	('event name', $$ PERFORM durable.send_event('nobody', 'x'); PERFORM durable.wait_for_event('go'); $$,
		$$ PERFORM durable.send_event('nobody', 'y'); PERFORM durable.wait_for_event('go'); $$,
		'A previous execution of this orchestration scheduled a send event task with sequence ID 0, type ''EventSent'', name ''x'', instance ID ''nobody'', but the current orchestration replay instead scheduled a send event task with name y at this sequence number.',
		'an event renamed'),
	('second action', $$ PERFORM durable.call_activity('same', '1'); PERFORM durable.call_activity('same', '2'); PERFORM durable.wait_for_event('go'); $$,
		$$ PERFORM durable.call_activity('same', '1'); PERFORM durable.sleep('1 s'); PERFORM durable.wait_for_event('go'); $$,
		'A previous execution of this orchestration scheduled an activity task with sequence number 1 named ''same'', but the current orchestration replay instead produced a CreateTimer action with this sequence number.',
		'the second of two actions changed'),
	('caught', $$ PERFORM durable.schedule_activity('same', '1'); PERFORM durable.wait_for_event('go'); $$,
		$$ BEGIN PERFORM durable.wait_for_event('go'); EXCEPTION WHEN OTHERS THEN NULL; END; $$,
		'A previous execution of this orchestration scheduled an activity task with sequence ID 0 %',
		'the code cannot catch it'),
	('inserted', $$ PERFORM durable.schedule_activity('same', '1'); PERFORM durable.wait_for_event('go'); $$,
		$$ PERFORM durable.schedule_activity('effect', '{"what": "inserted"}'); PERFORM durable.schedule_activity('same', '1'); PERFORM durable.wait_for_event('go'); $$,
		'A previous execution % instead scheduled an activity task named ''effect'' with this sequence number.',
		'an activity inserted before another');
-- What replay does not compare, or what is new work.
CREATE TABLE harmless (id text PRIMARY KEY, before text, after text, what text);
INSERT INTO harmless VALUES
	('input', $$ PERFORM durable.schedule_activity('same', '1'); PERFORM durable.wait_for_event('go'); $$, $$ PERFORM durable.schedule_activity('same', '2'); PERFORM durable.wait_for_event('go'); $$, 'another input'),
	('version', $$ PERFORM durable.schedule_activity('same', '1'); PERFORM durable.wait_for_event('go'); $$, $$ PERFORM durable.schedule_activity('same', '1', version => '2'); PERFORM durable.wait_for_event('go'); $$, 'another version'),
	('case', $$ PERFORM durable.schedule_activity('same', '1'); PERFORM durable.wait_for_event('go'); $$, $$ PERFORM durable.schedule_activity('SAME', '1'); PERFORM durable.wait_for_event('go'); $$, 'another case of the name'),
	('due', $$ PERFORM durable.create_timer('1 h'); PERFORM durable.wait_for_event('go'); $$, $$ PERFORM durable.create_timer('2 h'); PERFORM durable.wait_for_event('go'); $$, 'another delay'),
	('child id', $$ PERFORM durable.schedule_suborchestrator('child', instance_id => 'h1'); PERFORM durable.wait_for_event('go'); $$, $$ PERFORM durable.schedule_suborchestrator('child', instance_id => 'h2'); PERFORM durable.wait_for_event('go'); $$, 'another id of the child'),
	('target', $$ PERFORM durable.send_event('nobody', 'x'); PERFORM durable.wait_for_event('go'); $$, $$ PERFORM durable.send_event('somebody', 'x'); PERFORM durable.wait_for_event('go'); $$, 'another target of an event'),
	('more', $$ PERFORM durable.schedule_activity('same', '1'); PERFORM durable.wait_for_event('go'); $$, $$ PERFORM durable.schedule_activity('same', '1'); PERFORM durable.wait_for_event('go'); PERFORM durable.call_activity('effect', '{"what": "more"}'); $$, 'more actions at the end'),
	('other event', $$ PERFORM durable.wait_for_event('other'); $$, $$ PERFORM durable.wait_for_event('go'); $$, 'a wait for another event');
SELECT define(id, before) FROM (SELECT id, before FROM changes UNION ALL SELECT * FROM (SELECT id, before FROM harmless) h) c \g /dev/null
SELECT durable.start_instance(format('%I', 'o ' || id), instance_id => id) FROM (SELECT id FROM changes UNION ALL SELECT id FROM harmless) c \g /dev/null
:run
SELECT is((SELECT count(*) FROM durable.instances i JOIN (SELECT id FROM changes UNION ALL SELECT id FROM harmless) c ON i.instance_id = c.id WHERE status = 'running'),
	22::bigint, 'all wait for their event');
SELECT define(id, after) FROM (SELECT id, after FROM changes UNION ALL SELECT id, after FROM harmless) c \g /dev/null
SELECT go(id) FROM (SELECT id FROM changes UNION ALL SELECT id FROM harmless) c \g /dev/null
:run
SELECT is(status(id) || ' ' || failure(id, 'sqlstate'), 'failed UD002', 'scenario 87: ' || what) FROM changes;
SELECT alike(failure(id, 'errorMessage'), message || '%?', 'scenario 87: DTFx''s words, with a question at the end: ' || what) FROM changes;
SELECT is((SELECT count(*) FROM durable.instances i JOIN changes c ON i.instance_id = c.id WHERE failure ->> 'errorMessage' ILIKE '%chang%after%start%?'), 14::bigint,
	'scenario 87: each asks whether the code was changed after the start');
SELECT is(failure('activity none', 'isNonRetriable'), 'true', 'it is non-retriable');
SELECT is(effects('renamed') || effects('inserted'), '', 'what the changed code asked for is not done');
SELECT is(outcome(id), 'completed "done"', 'not compared: ' || what) FROM harmless;
SELECT is(effects('more'), 'more', 'the new action at the end is done');
SELECT is_empty($$ SELECT * FROM durable.instances WHERE instance_id = 'h2' $$, 'the child with the other id was not started');

-- ---------------------------------------------------------------------------
-- What code may rely on

CREATE FUNCTION replaying(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
DECLARE
	seen jsonb := to_jsonb(ARRAY[durable.is_replaying()]);
BEGIN
	FOR i IN 1..2 LOOP
		PERFORM durable.call_activity('same', '1');
		seen := seen || to_jsonb(durable.is_replaying());
		PERFORM durable.set_custom_status(seen);
	END LOOP;
	RETURN seen;
END $$;
CREATE FUNCTION not_replaying(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN to_jsonb(durable.is_replaying()); END $$;
CREATE FUNCTION first_pass(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
BEGIN
	PERFORM durable.set_custom_status(to_jsonb(durable.is_replaying()));
	RETURN durable.wait_for_event('go');
END $$;
CREATE FUNCTION times(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
DECLARE
	a timestamptz := durable.orchestration_time();
	b timestamptz;
	n jsonb;
BEGIN
	n := jsonb_build_array(now() = a, CURRENT_TIMESTAMP = a, statement_timestamp() = a, transaction_timestamp() = a, LOCALTIMESTAMP = a::timestamp);
	PERFORM pg_catalog.generate_series(1, 100000);
	IF durable.orchestration_time() <> a THEN
		RETURN '"time passes within a turn"';
	END IF;
	PERFORM durable.wait_for_event('go');
	b := durable.orchestration_time();
	n := n || jsonb_build_array(now() = b, CURRENT_TIMESTAMP = b, statement_timestamp() = b, transaction_timestamp() = b, LOCALTIMESTAMP = b::timestamp);
	PERFORM durable.call_activity('same', '1');
	RETURN jsonb_build_object('a', a, 'b', b, 'c', durable.orchestration_time(), 'n', n);
END $$;
CREATE FUNCTION guids(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
DECLARE
	first uuid := durable.new_guid();
	second uuid := durable.new_guid();
	third uuid;
BEGIN
	PERFORM durable.set_custom_status(jsonb_build_array(first, second));
	PERFORM durable.wait_for_event('go');
	third := durable.new_guid();
	PERFORM durable.call_activity('same', '1');
	RETURN jsonb_build_array(first, second, third);
END $$;
CREATE FUNCTION randoms(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
DECLARE
	a float8 := random();
	b float8 := random();
BEGIN
	PERFORM durable.set_custom_status(jsonb_build_array(a, b));
	PERFORM durable.wait_for_event('go');
	RETURN jsonb_build_array(a, b);
END $$;
-- unchecked: it looks at the settings
CREATE FUNCTION settings(input jsonb) RETURNS jsonb LANGUAGE plpgsql SET durable.orchestrator_checks = off AS
$$
DECLARE
	zone text := current_setting('TimeZone');
BEGIN
	PERFORM durable.wait_for_event('go');
	RETURN jsonb_build_array(zone, current_setting('TimeZone'), '2024-01-01 12:00+00'::timestamptz::text, '1 day 2 hours'::interval::text, current_setting('search_path'));
END $$;
SELECT start(f) FROM unnest(ARRAY['replaying', 'not_replaying', 'first_pass', 'times', 'guids', 'randoms']) f;
SELECT start('guids', NULL, 'other guids');
SET TimeZone = 'Asia/Tokyo';
SET IntervalStyle = 'iso_8601';
SET DateStyle = 'German';
SELECT start('settings');
RESET TimeZone;
RESET IntervalStyle;
RESET DateStyle;
:run
SELECT is((SELECT custom_status FROM durable.instances WHERE instance_id = 'first_pass'), 'false', 'scenario 11: not replaying in the first turn');
CREATE TABLE first_turn AS SELECT instance_id, custom_status FROM durable.instances;
SELECT go(f) FROM unnest(ARRAY['first_pass', 'times', 'guids', 'randoms', 'settings']) f;
:run
SELECT is(outcome('not_replaying'), 'completed false', 'scenario 11: nor where there is one turn only');
SELECT is(outcome('replaying'), 'completed [true, true, false]', 'scenario 11: replaying until the code gets to what is new');
SELECT is((SELECT custom_status FROM durable.instances WHERE instance_id = 'first_pass'), 'true', 'scenario 11: replaying in the second turn');
SELECT is(ARRAY[(output('times') ->> 'a')::timestamptz, (output('times') ->> 'b')::timestamptz, (output('times') ->> 'c')::timestamptz],
	ARRAY(SELECT timestamp FROM durable.history WHERE instance_id = 'times' AND event_type = 'OrchestratorStarted' ORDER BY seq),
	'scenario 12: orchestration_time() is the time of the turn, in replays too');
SELECT is(output('times') -> 'n', '[true, true, true, true, true, true, true, true, true, true]', 'scenario 12: now() and its like are the same');
SELECT is((SELECT count(DISTINCT g) FROM jsonb_array_elements(output('guids')) g), 3::bigint, 'scenario 13: GUIDs differ');
SELECT is(jsonb_build_array(output('guids') -> 0, output('guids') -> 1), (SELECT custom_status FROM first_turn WHERE instance_id = 'guids'), 'scenario 13: and are the same in each replay');
SELECT ok((SELECT bool_and(substr(g, 15, 1) = '5' AND substr(g, 20, 1) IN ('8', '9', 'a', 'b')) FROM jsonb_array_elements_text(output('guids')) g), 'scenario 13: of version 5');
SELECT isnt((SELECT custom_status FROM first_turn WHERE instance_id = 'other guids'), (SELECT custom_status FROM first_turn WHERE instance_id = 'guids'), 'scenario 13: others in another instance');
SELECT is(output('randoms'), (SELECT custom_status FROM first_turn WHERE instance_id = 'randoms'), 'random() repeats in a replay');
SELECT isnt(output('randoms') -> 0, output('randoms') -> 1, 'and is random all the same');
SELECT is(outcome('settings'), 'completed ["Asia/Tokyo", "Asia/Tokyo", "01.01.2024 21:00:00 JST", "P1DT2H", "app, public"]', 'the code runs with the settings of the session that started it');
-- As uuid_generate_v5() of uuid-ossp would make it.
RESET SESSION AUTHORIZATION;
CREATE EXTENSION "uuid-ossp";
SET SESSION AUTHORIZATION app;
SELECT is((output('guids') ->> n)::uuid, uuid_generate_v5('9e952958-5e33-4daf-827f-2fa12937b875',
	'guids_' || to_char(h.timestamp AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US') || '0Z_' || n), 'new_guid() as DTFx makes it: ' || n)
FROM durable.history h, unnest(ARRAY[0, 1, 2]) n
WHERE instance_id = 'guids' AND event_type = 'OrchestratorStarted' AND turn = CASE n WHEN 2 THEN 2 ELSE 1 END
ORDER BY n;

-- ---------------------------------------------------------------------------
-- A turn leaves nothing behind

CREATE TABLE scribbles (a int);
CREATE FUNCTION writes(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN INSERT INTO scribbles VALUES (1); RETURN '1'; END $$;
CREATE FUNCTION writes_catching(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
BEGIN
	BEGIN
		INSERT INTO scribbles VALUES (1);
	EXCEPTION WHEN SQLSTATE 'UD008' THEN
		RETURN durable.call_activity('same', '"read only"');
	END;
	RETURN '"written"';
END $$;
CREATE FUNCTION makes_table(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN CREATE TABLE made (a int); RETURN '1'; END $$;
-- unchecked: what the checks refuse must not do harm either
CREATE FUNCTION sets(input jsonb) RETURNS jsonb LANGUAGE plpgsql SET durable.orchestrator_checks = off AS $$ BEGIN PERFORM durable.wait_for_event('go'); SET search_path = pg_catalog; RETURN '1'; END $$;
CREATE FUNCTION starts_another(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN to_jsonb(durable.start_instance('writes', instance_id => 'another')); END $$;
CREATE FUNCTION as_sql(input jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT jsonb_build_array(durable.call_activity('same', '1'), durable.wait_for_event('go')) $$;
CREATE FUNCTION helper(n int) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN durable.call_activity('same', to_jsonb(n)); END $$;
CREATE FUNCTION with_helper(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN jsonb_build_array(helper(1), helper(2)); END $$;
CREATE FUNCTION swallows_others(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
BEGIN
	BEGIN
		PERFORM durable.call_activity('same', '1');
	EXCEPTION WHEN OTHERS THEN
		RETURN '"swallowed"';
	END;
	RETURN '"waited"';
END $$;
CREATE FUNCTION swallows_suspension(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
BEGIN
	BEGIN
		PERFORM durable.call_activity('effect', '{"what": "swallowed"}');
	EXCEPTION WHEN assert_failure OR query_canceled THEN
		RETURN '"swallowed"';
	END;
	RETURN '"waited"';
END $$;
SELECT start(f) FROM unnest(ARRAY['writes', 'writes_catching', 'makes_table', 'sets', 'starts_another', 'as_sql', 'with_helper', 'swallows_others', 'swallows_suspension']) f;
:run
SELECT go(f) FROM unnest(ARRAY['sets', 'as_sql']) f;
:run
SELECT is(failure('writes', 'sqlstate'), 'UD008', 'an orchestrator cannot write');
SELECT is(outcome('writes_catching'), 'completed "read only"', 'not even if it catches that, and the instance can go on');
SELECT is((SELECT count(*) FROM scribbles), 0::bigint, 'nothing was written');
SELECT is(failure('makes_table', 'sqlstate'), 'UD008', 'nor make a table');
SELECT is(failure('starts_another', 'sqlstate'), 'UD008', 'nor act as a client');
SELECT is(outcome('another'), NULL, 'and nothing was started');
SELECT is(outcome('sets'), 'completed 1', 'unchecked, it may set what it likes');
SELECT is(current_setting('search_path'), '"$user", public', 'which does not outlive the turn');
SELECT is(outcome('as_sql'), 'completed [1, null]', 'an orchestrator in SQL');
SELECT is(outcome('with_helper'), 'completed [1, 2]', 'awaiting in functions it calls');
SELECT is(outcome('swallows_others'), 'completed "waited"', 'WHEN OTHERS does not catch a wait');
SELECT is(failure('swallows_suspension', 'sqlstate'), 'UD008', 'who names assert_failure does, and fails for it');
SELECT is(current_setting('transaction_read_only'), 'off', 'this session is as it was');
SELECT cmp_ok(abs(extract(epoch FROM now() - clock_timestamp())), '<', 60::numeric, 'and its time too');

-- log_message() reaches the client of run_until_idle(), once.
CREATE FUNCTION logs(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
BEGIN
	PERFORM durable.log_message('first message', 'notice');
	PERFORM durable.wait_for_event('go');
	PERFORM durable.log_message('second message', 'warning');
	RETURN '1';
END $$;
CREATE FUNCTION bad_level(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN PERFORM durable.log_message('x', 'loud'); RETURN '1'; END $$;
SELECT start('logs');
SELECT start('bad_level');
\setenv PGDATABASE :DBNAME
\setenv PGHOST :HOST
\setenv PGPORT :PORT
\set first_run `psql -X -q -U app -c 'SELECT durable.run_until_idle()' 2>&1 | grep -o '[A-Z]*:  [a-z]* message' | tr '\n' ';'`
SELECT is(:'first_run'::text, 'NOTICE:  first message;', 'log_message() in the first turn');
SELECT go('logs');
\set second_run `psql -X -q -U app -c 'SELECT durable.run_until_idle()' 2>&1 | grep -o '[A-Z]*:  [a-z]* message' | tr '\n' ';'`
SELECT is(:'second_run'::text, 'WARNING:  second message;', 'log_message() is silent while replaying');
SELECT is(outcome('bad_level'), 'failed 22023 unknown log level "loud"', 'an unknown level');
SELECT * FROM finish();
