-- Reuse of an instance id: each status an instance can have, against each list of statuses that may be replaced.
\ir include/setup.psql
SELECT plan(47);

CREATE FUNCTION at_once(input jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT input';
CREATE FUNCTION waits(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN durable.wait_for_event('go'); END $$;
CREATE FUNCTION fails(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'failed'; END $$;
-- One that has something of each kind under way, and something behind it.
CREATE FUNCTION busy(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
BEGIN
	PERFORM durable.set_custom_status('"old"');
	PERFORM durable.call_activity('same', '1');
	PERFORM durable.schedule_suborchestrator('waits', instance_id => durable.instance_id() || '/child');
	PERFORM durable.create_timer('1 hour');
	RETURN durable.wait_for_event('go');
END $$;

CREATE TABLE statuses (status text PRIMARY KEY, place int, finished boolean);
INSERT INTO statuses VALUES ('pending', 1, false), ('running', 2, false), ('suspended', 3, false), ('completed', 4, true), ('failed', 5, true), ('terminated', 6, true), ('canceled', 7, true);
-- Starts what will be of a status, under an id that is "<way> <status>".
CREATE FUNCTION make(status text, way text) RETURNS void LANGUAGE plpgsql AS
$$
BEGIN
	PERFORM durable.start_instance(CASE status WHEN 'completed' THEN 'at_once' WHEN 'failed' THEN 'fails' ELSE 'waits' END, '"old"', way || ' ' || status,
		start_at => CASE WHEN status = 'pending' THEN clock_timestamp() + interval '100 years' END);
END $$;
-- What a start does to it: "replaced", "kept", or its error.
CREATE FUNCTION attempt(id text, list text[], if_exists text DEFAULT 'error') RETURNS text LANGUAGE plpgsql AS
$$
DECLARE
	before text := (SELECT execution_id FROM durable.instances WHERE instance_id = id);
	message text;
BEGIN
	IF durable.start_instance('at_once', '"new"', id, replace_statuses => list::durable.status[], if_exists => if_exists) <> id THEN
		RETURN 'another id';
	END IF;
	RETURN CASE WHEN (SELECT execution_id FROM durable.instances WHERE instance_id = id) = before THEN 'kept' ELSE 'replaced' END;
EXCEPTION WHEN SQLSTATE 'UD003' OR invalid_parameter_value THEN
	RETURN SQLSTATE;
END $$;

-- ---------------------------------------------------------------------------
-- Each status against each status in the list. A live one may only be listed with "terminated".

CREATE TABLE ways (way text PRIMARY KEY, list text[], if_exists text DEFAULT 'error');
INSERT INTO ways SELECT 'only ' || status, CASE WHEN finished THEN ARRAY[status] ELSE ARRAY[status, 'terminated'] END FROM statuses;
-- DTFx counts the other way: its dedupe statuses are those that are not replaced.
INSERT INTO ways SELECT 'all but ' || status, (SELECT array_agg(s.status) FROM statuses s WHERE s.status <> o.status AND (s.finished OR o.status <> 'terminated')) FROM statuses o;
INSERT INTO ways SELECT 'skip ' || way, list, 'skip' FROM ways;
INSERT INTO ways VALUES ('default', NULL, 'error'), ('default skip', NULL, 'skip'), ('none', '{}', 'error'), ('none skip', '{}', 'skip'),
	('all', '{pending,running,suspended,completed,failed,terminated,canceled}', 'error'), ('dedupe completed and failed', '{pending,running,suspended,terminated,canceled}', 'error');
SELECT make(status, way) FROM statuses, ways \g /dev/null
:run
SELECT durable.suspend(way || ' suspended'), durable.terminate(way || ' terminated', 'old'), durable.terminate(way || ' canceled', 'old') FROM ways \g /dev/null
:run
RESET SESSION AUTHORIZATION;
-- Nothing here cancels; a store that was filled from elsewhere may have canceled ones.
UPDATE durable_store.instances SET status = 'canceled' WHERE instance_id LIKE '% canceled';
SET SESSION AUTHORIZATION app;
SELECT is((SELECT count(*) FROM durable.instances i JOIN statuses s ON i.instance_id LIKE '% ' || s.status AND i.status = s.status), (SELECT count(*) FROM statuses, ways),
	'there is an instance of each status for each way');
CREATE TABLE old AS SELECT instance_id, execution_id FROM durable.instances;
CREATE TABLE attempts AS SELECT way, list, if_exists, status, attempt(way || ' ' || status, list, if_exists) AS outcome FROM ways, statuses;

SELECT is_empty($$ SELECT way, status, outcome FROM attempts WHERE list IS NOT NULL AND if_exists = 'error'
	AND outcome <> CASE WHEN status = ANY (list) THEN 'replaced' ELSE 'UD003' END $$, 'scenario 110: what is in the list is replaced, what is not is an error');
SELECT is_empty($$ SELECT way, status, outcome FROM attempts WHERE list IS NOT NULL AND if_exists = 'skip'
	AND outcome <> CASE WHEN status = ANY (list) THEN 'replaced' ELSE 'kept' END $$, 'scenario 113: with skip, what is in the list is replaced, what is not is kept');
SELECT results_eq($$ SELECT status, outcome FROM attempts JOIN statuses USING (status) WHERE way = 'default' ORDER BY place $$, $$ VALUES ('pending', 'UD003'), ('running', 'UD003'),
	('suspended', 'UD003'), ('completed', 'replaced'), ('failed', 'replaced'), ('terminated', 'replaced'), ('canceled', 'replaced') $$,
	'scenario 109: by default what has not finished is refused; scenario 108: what has finished is replaced');
SELECT results_eq($$ SELECT DISTINCT outcome FROM attempts WHERE way = 'default skip' $$, $$ VALUES ('kept') $$, 'scenario 113: the policy IGNORE: all seven are kept');
SELECT results_eq($$ SELECT DISTINCT outcome FROM attempts WHERE way = 'none' $$, $$ VALUES ('UD003') $$, 'scenario 113: the policy ERROR: all seven are refused');
SELECT results_eq($$ SELECT DISTINCT outcome FROM attempts WHERE way = 'all' $$, $$ VALUES ('replaced') $$, 'scenario 113: the policy TERMINATE: all seven are replaced');
SELECT results_eq($$ SELECT status, outcome FROM attempts JOIN statuses USING (status) WHERE way = 'dedupe completed and failed' AND outcome = 'UD003' ORDER BY place $$,
	$$ VALUES ('completed', 'UD003'), ('failed', 'UD003') $$, 'scenario 110: several dedupe statuses, two of them match');
SELECT is((SELECT count(*) || ' ' || count(DISTINCT list) FILTER (WHERE if_exists = 'error') FROM attempts), '238 17', 'that were all combinations');
:run
SELECT is_empty($$ SELECT instance_id, i.status FROM durable.instances i JOIN attempts a ON instance_id = way || ' ' || a.status
	WHERE outcome = 'replaced' AND (i.status, output, generation) IS DISTINCT FROM ('completed', '"new"'::jsonb, 2) $$, 'scenario 108: each replacement ran, as the second generation');
SELECT is_empty($$ SELECT instance_id, i.status, a.status FROM durable.instances i JOIN attempts a ON instance_id = way || ' ' || a.status JOIN old o USING (instance_id)
	WHERE outcome <> 'replaced' AND (i.status, generation, i.execution_id) IS DISTINCT FROM (a.status, 1, o.execution_id) $$, 'scenario 112: each other one is as it was');
SELECT is_empty($$ SELECT instance_id FROM durable.instances JOIN attempts a ON instance_id = way || ' ' || a.status WHERE outcome = 'replaced'
	AND story(instance_id) <> '[OS ExecutionStarted ExecutionCompleted(0) OC]' $$, 'scenario 111: nothing of the old history is left, nor is its termination in the new one');
SELECT is_empty($$ SELECT instance_id FROM durable.messages m WHERE NOT EXISTS (SELECT FROM durable.instances i WHERE i.instance_id = m.instance_id AND i.status = 'pending') $$,
	'scenario 114: no start is left over');

-- ---------------------------------------------------------------------------
-- All 128 lists: which are refused as such

SELECT make('suspended', 'subset'), make('completed', 'subset') \g /dev/null
:run
SELECT durable.suspend('subset suspended') \g /dev/null
:run
CREATE FUNCTION refusal(list text[], id text) RETURNS text LANGUAGE plpgsql AS
$$
BEGIN
	PERFORM durable.start_instance('at_once', '"new"', id, replace_statuses => list::durable.status[]);
	RAISE EXCEPTION USING ERRCODE = 'ZZ000', MESSAGE = 'replaced';	-- and undone
EXCEPTION WHEN OTHERS THEN
	RETURN SQLERRM;
END $$;
CREATE TABLE subsets AS SELECT ARRAY(SELECT status FROM statuses WHERE n & (1 << (place - 1)) <> 0 ORDER BY place) AS list FROM generate_series(0, 127) n;
SELECT results_eq($$ SELECT count(*) FROM subsets WHERE refusal(list, 'subset suspended') = 'Invalid reusable statuses: cannot exclude ''Terminated'' while also allowing reuse of running instances' $$,
	'VALUES (56::bigint)', 'scenario 112: 56 of the 128 lists have a live status without terminated');
SELECT is_empty($$ SELECT list, refusal(list, id) FROM subsets, unnest(ARRAY['subset suspended', 'subset completed', 'no instance']) id
	WHERE (refusal(list, id) LIKE 'Invalid reusable statuses%') <> (list && '{pending,running,suspended}' AND NOT list @> '{terminated}') $$,
	'scenario 112: exactly these are refused, whatever the instance is, and if there is none');
SELECT is_empty($$ SELECT list FROM subsets WHERE list @> '{terminated}' AND refusal(list, 'subset suspended') <> CASE WHEN list @> '{suspended}' THEN 'replaced'
	ELSE 'an instance with id "subset suspended" already exists' END $$, 'scenario 110: of the others those that have its status replace it');
SELECT throws_ok($$ SELECT durable.start_instance('at_once', '"new"', 'subset suspended', replace_statuses => '{suspended,completed,failed}') $$, '22023',
	'Invalid reusable statuses: cannot exclude ''Terminated'' while also allowing reuse of running instances', 'scenario 112: terminated excluded while suspended is reusable');
SELECT is(outcome('subset suspended') || ', ' || outcome('subset completed'), 'suspended, completed "old"', 'scenario 112: the originals are intact');
SELECT durable.raise_event('subset suspended', 'go', '"still the old one"'), durable.resume('subset suspended') \g /dev/null
:run
SELECT is(outcome('subset suspended'), 'completed "still the old one"', 'scenario 112: and go on');
SELECT throws_ok($$ SELECT durable.start_instance('at_once', instance_id => 'subset completed', replace_statuses => '{done}') $$, '22P02', NULL, 'a status there is not');

-- ---------------------------------------------------------------------------
-- An id that is free

SELECT is(durable.start_instance('at_once', '"first"', 'absent ' || way, replace_statuses => list::durable.status[], if_exists => if_exists), 'absent ' || way,
	'scenario 110: created, since it is absent: ' || way) FROM ways WHERE way IN ('only completed', 'only running', 'all', 'none', 'skip only failed');
:run
SELECT results_eq($$ SELECT DISTINCT status COLLATE "default", generation, output FROM durable.instances WHERE instance_id LIKE 'absent %' $$, $$ VALUES ('completed', 1::bigint, '"first"'::jsonb) $$,
	'scenario 110: and runs, as the first generation');

-- ---------------------------------------------------------------------------
-- What belonged to the old one stays with it

SELECT durable.start_instance('busy', '"old"', 'busy', version => '1', tags => '{"of": "old"}') \g /dev/null
:run
SELECT is((SELECT status || ' ' || custom_status || ' ' || tags || ' ' || version FROM durable.instances WHERE instance_id = 'busy'), 'running "old" {"of": "old"} 1', 'an instance with work of all kinds');
SELECT durable.raise_event('busy', 'other', '"old"') \g /dev/null
SELECT durable.start_instance('waits', '"new"', 'busy', replace_statuses => '{running,terminated}') \g /dev/null
SELECT is((SELECT concat_ws(' ', status, input, custom_status, tags, version, output, failure, completed_at) FROM durable.instances WHERE instance_id = 'busy'), 'pending "new"',
	'scenario 111: the new one is pending at once, with its own input, and no status, tags or version of the old one');
SELECT is(durable.raise_event('busy', 'go', '"for the new one"')::text, '', 'an event for it');
SELECT is((SELECT string_agg(event_type || coalesce(' ' || name, ''), ', ' ORDER BY message_id) FROM durable.messages WHERE instance_id = 'busy'), 'ExecutionStarted waits, EventRaised go',
	'scenario 111: what was on its way to the old one is gone');
:run_all
SELECT is(outcome('busy'), 'completed "for the new one"', 'scenario 111: the replacement completes');
SELECT is(outcome('busy/child'), 'terminated "replaced by a new instance of the same id"', 'scenario 111: and the child of the old one is terminated');
SELECT is_empty($$ SELECT event_type FROM durable.history WHERE instance_id = 'busy' AND event_type IN ('TaskScheduled', 'TimerCreated', 'ExecutionTerminated') $$,
	'scenario 111: the history is the new one''s');

-- An activity of the old one that has not come to its end: the engine repeats it for as long as the one it works for is the first.
CREATE FUNCTION held(what text) RETURNS text LANGUAGE plpgsql AS
$$
BEGIN
	IF (SELECT generation FROM durable.instances WHERE instance_id = durable.instance_id()) = 1 THEN
		RAISE serialization_failure;
	END IF;
	RETURN effect(what);
END $$;
CREATE FUNCTION holds(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN durable.call_activity('held', jsonb_build_object('what', input)); END $$;
SELECT start('holds', '"old"', 'late');
:run
SELECT is((SELECT status || ' ' || (waiting_for #>> '{activities,0,name}') FROM durable.instances WHERE instance_id = 'late'), 'running held', 'an activity is under way');
SELECT durable.start_instance('holds', '"new"', 'late', replace_statuses => '{running,terminated}') \g /dev/null
:run_all
SELECT is(outcome('late') || ' ' || events('late', 'TaskCompleted'), 'completed "new" 1', 'scenario 111: an activity of the old one does not answer the new one');
SELECT is(effects(), 'new', 'scenario 111: and is not run any more');

-- An event that comes with the start is the new one's; a start that is skipped drops it.
SELECT durable.start_instance('waits', '"old"', 'event') \g /dev/null
:run
SELECT durable.start_instance('waits', '"new"', 'event', if_exists => 'skip', event_name => 'go', event_data => '"skipped"') \g /dev/null
:run
SELECT is(outcome('event') || ' ' || events('event', 'EventRaised'), 'running 0', 'scenario 113: a start that is skipped raises no event either');
SELECT durable.start_instance('waits', '"new"', 'event', replace_statuses => '{running,terminated}', event_name => 'go', event_data => '"with the start"') \g /dev/null
:run
SELECT is(outcome('event'), 'completed "with the start"', 'scenario 111: an event that comes with the start is for the replacement');

-- A client takes the id of a child: its parent does not wait for ever.
CREATE FUNCTION parent(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN durable.call_suborchestrator('waits', instance_id => input #>> '{}'); END $$;
SELECT start('parent', to_jsonb('child of ' || id), id) FROM unnest(ARRAY['p1', 'p2']) id;
:run
SELECT durable.suspend('child of p2') \g /dev/null
:run
SELECT durable.start_instance('waits', NULL, 'child of ' || id, replace_statuses => '{running,suspended,terminated}') FROM unnest(ARRAY['p1', 'p2']) id \g /dev/null
:run
SELECT is(outcome(id), 'failed UD011 replaced by a new instance of the same id', 'scenario 111: the parent of a replaced child is told, ' || what) FROM (VALUES ('p1', 'running'), ('p2', 'suspended')) v (id, what);
SELECT is((SELECT string_agg(concat_ws(' ', status, generation, parent_instance_id), ', ') FROM durable.instances WHERE instance_id LIKE 'child of p_'), 'running 2, running 2',
	'scenario 111: the replacement has no parent');

-- Again and again.
SELECT attempt('only completed completed', '{completed}') FROM generate_series(1, 3) \g /dev/null
SELECT is((SELECT status || ' ' || generation FROM durable.instances WHERE instance_id = 'only completed completed'), 'pending 3', 'the second and third of three starts find it pending');
:run
SELECT is(attempt('only completed completed', '{completed}'), 'replaced', 'scenario 108: replaced a third time');
SELECT is((SELECT status || ' ' || generation FROM durable.instances WHERE instance_id = 'only completed completed'), 'pending 4', 'scenario 108: by a fourth generation');
:run
SELECT is(outcome('only completed completed'), 'completed "new"', 'scenario 108: and it ran');
BEGIN;
SELECT durable.start_instance('at_once', '"never"', 'only completed completed') \g /dev/null
ROLLBACK;
SELECT is((SELECT status || ' ' || generation || ' ' || output FROM durable.instances WHERE instance_id = 'only completed completed'), 'completed 4 "new"', 'a replacement that rolled back never happened');
SELECT is(story('only completed completed'), '[OS ExecutionStarted ExecutionCompleted(0) OC]', 'the history is still there');
SELECT * FROM finish();
