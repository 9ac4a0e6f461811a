-- Starting instances: ids, delay, tags, reuse of an id, bad input.
\ir include/setup.psql
SELECT plan(182);

CREATE FUNCTION at_once(input jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT input';
CREATE FUNCTION waits(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN durable.wait_for_event('go'); END $$;
CREATE FUNCTION fails(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'failed'; END $$;
CREATE FUNCTION tells(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$ BEGIN RETURN jsonb_build_array(durable.instance_id(), durable.execution_id(), durable.instance_version(), durable.instance_tags(), durable.parent_instance_id()); END $$;

-- ---------------------------------------------------------------------------
-- Ids

CREATE TABLE ids (n int GENERATED ALWAYS AS IDENTITY, id text, at timestamptz DEFAULT clock_timestamp());
INSERT INTO ids (id) SELECT durable.start_instance('at_once') FROM generate_series(1, 3);
INSERT INTO ids (id) SELECT durable.start_instance('at_once');
SELECT ok((SELECT bool_and(id ~ '^[0-9a-f]{12}7[0-9a-f]{3}[89ab][0-9a-f]{15}$') FROM ids), 'an id is 32 hex digits, a UUID of version 7');
SELECT is((SELECT count(DISTINCT id) FROM ids), 4::bigint, 'ids differ');
SELECT ok((SELECT min(substr(id, 1, 12) COLLATE "C") FILTER (WHERE n = 4) >= max(substr(id, 1, 12) COLLATE "C") FILTER (WHERE n < 4) FROM ids), 'they are ordered by time');
SELECT cmp_ok((SELECT abs(('x' || substr(id, 1, 12))::bit(48)::bigint - extract(epoch FROM at) * 1000) FROM ids WHERE n = 4), '<', 1000::numeric, 'it begins with the time in milliseconds');
SELECT start('at_once', '"x"', repeat('x', 255));
SELECT start('at_once', '"quoted"', 'O''Reilly "%_\ ž');
SELECT durable.start_instance('tells', instance_id => 'tells', version => '1.0', tags => '{"tenant": "a", "": "empty"}') \g /dev/null
SELECT durable.start_instance('app.at_once', '1', 'qualified') \g /dev/null
SELECT durable.start_instance('at_once(jsonb)', '1', 'signature') \g /dev/null
SELECT is(status('tells'), 'pending', 'it is pending until a worker takes it');
SELECT is((SELECT generation || ' ' || version || ' ' || name || ' ' || tags FROM durable.instances WHERE instance_id = 'tells'), '1 1.0 tells {"": "empty", "tenant": "a"}',
	'the view shows generation, version, name and tags at once');
:run
SELECT is(outcome(repeat('x', 255)), 'completed "x"', 'an id of 255 bytes');
SELECT is(outcome('O''Reilly "%_\ ž'), 'completed "quoted"', 'an id with quotes and wildcards');
SELECT is(output('tells'), (SELECT jsonb_build_array('tells', execution_id, '1.0', '{"": "empty", "tenant": "a"}'::jsonb, NULL) FROM durable.instances WHERE instance_id = 'tells'),
	'scenario 138: tags, scenario 139: version, and ids are known to the code');
SELECT matches((SELECT execution_id FROM durable.instances WHERE instance_id = 'tells'), '^[0-9a-f]{32}$', 'an execution id is 32 hex digits');
SELECT is(outcome('qualified') || outcome('signature'), 'completed 1completed 1', 'an orchestrator named with its schema or signature');
SELECT is((SELECT count(*) FROM durable.instances i JOIN ids ON i.instance_id = ids.id WHERE status = 'completed'), 4::bigint, 'scenario 16: all complete');

-- ---------------------------------------------------------------------------
-- Transactional

BEGIN;
SELECT start('at_once', NULL, 'rolled back');
ROLLBACK;
BEGIN;
SELECT start('at_once', '1', 'before savepoint');
SAVEPOINT s;
SELECT start('at_once', '1', 'after savepoint');
ROLLBACK TO s;
COMMIT;
:run
SELECT is(outcome('rolled back'), NULL, 'a start whose transaction rolled back never happened');
SELECT is(outcome('before savepoint'), 'completed 1', 'one before a savepoint did');
SELECT is(outcome('after savepoint'), NULL, 'one rolled back to it did not');
SELECT is_empty('SELECT * FROM durable.messages', 'and no message is left');

-- ---------------------------------------------------------------------------
-- Notification, which psql prints (before this session's clock is ahead of the other's)

\setenv PGDATABASE :DBNAME
\setenv PGHOST :HOST
\setenv PGPORT :PORT
SELECT durable.start_instance('at_once', instance_id => 'notifies', notify => true) \g /dev/null
SELECT durable.start_instance('at_once', instance_id => 'silent') \g /dev/null
\set notified `psql -X -q -At -U app -c 'LISTEN durable' -c 'SELECT durable.run_until_idle()' -c 'SELECT 1' 2>&1 | grep -o '"durable" with payload "[^"]*"'`
SELECT is(:'notified'::text, '"durable" with payload "notifies"', 'notify => true sends NOTIFY durable with the id, others do not');

-- ---------------------------------------------------------------------------
-- Tags

CREATE FUNCTION shows_tags() RETURNS jsonb LANGUAGE sql AS 'SELECT durable.instance_tags()';
CREATE FUNCTION tags_of_activity(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$ BEGIN RETURN jsonb_build_array(durable.instance_tags(), durable.call_activity('shows_tags')); END $$;
CREATE TABLE tagged (id text, tags jsonb, what text);
INSERT INTO tagged VALUES ('no tags', NULL, 'none'), ('empty tags', '{}', 'an empty object'), ('one tag', '{"a": "b"}', 'one'),
	('many tags', (SELECT jsonb_object_agg('tag ' || n, n::text) FROM generate_series(1, 500) n), 'five hundred'),
	('special tags', jsonb_build_object('qu"ote', 'o''reilly', 'back\slash', E'new\nline', '', '', '%_', '$1', 'ž', '日本 😀', '{"a": 1}', '[1]', 'null', 'null'), 'special characters'),
	('long tags', jsonb_build_object(repeat('k', 5000), repeat('v', 100000)), 'long ones');
SELECT durable.start_instance('tags_of_activity', instance_id => id, tags => tags) FROM tagged \g /dev/null
SELECT is((SELECT i.tags FROM durable.instances i WHERE instance_id = id), tags, 'scenario 138: in the view at once: ' || what) FROM tagged;
:run
SELECT is(output(id) -> 0, coalesce(tags, 'null'), 'scenario 138: seen by the orchestrator: ' || what) FROM tagged;
SELECT is(output(id) -> 1, coalesce(tags, 'null'), 'scenario 138: seen by an activity: ' || what) FROM tagged;
SELECT is((SELECT i.tags FROM durable.instances i WHERE instance_id = id), tags, 'scenario 138: there when it has completed: ' || what) FROM tagged;
SELECT is(durable.start_instance('at_once', instance_id => 'one tag', tags => '{"c": "d"}'), 'one tag', 'scenario 138: started again with other tags');
SELECT is((SELECT tags FROM durable.instances WHERE instance_id = 'one tag'), '{"c": "d"}', 'scenario 138: it has just these');
:run

-- ---------------------------------------------------------------------------
-- Later

SELECT durable.start_instance('at_once', '1', 'later', start_at => now() + interval '1 day') \g /dev/null
SELECT durable.start_instance('call', '{"name": "effect", "input": {"what": "later"}}', 'later with activity', start_at => now() + interval '1 day') \g /dev/null
SELECT durable.start_instance('at_once', '1', 'past', start_at => '1970-01-01 00:00+00') \g /dev/null
SELECT durable.start_instance('at_once', '1', 'epoch', start_at => '2000-01-01 00:00+00') \g /dev/null
:run
SELECT is(outcome('past'), 'completed 1', 'scenario 107: a start time in the past is immediate');
SELECT is(outcome('epoch'), 'completed 1', 'scenario 107: also PostgreSQL''s time zero');
SELECT is((SELECT (waiting_for ->> 'start')::timestamptz FROM durable.instances WHERE instance_id = 'later'), (SELECT scheduled_start_at FROM durable.instances WHERE instance_id = 'later'), 'scenario 106: waiting_for shows when');
SELECT is(outcome('later'), 'pending', 'scenario 106: pending until its time');
SELECT ok((SELECT scheduled_start_at - created_at BETWEEN interval '23:59' AND interval '1 day' FROM durable.instances WHERE instance_id = 'later'), 'scenario 106: with the time it is to start');
SELECT is(story('later'), NULL, 'scenario 106: without history');
SELECT is(outcome('later with activity') || effects(), 'pending', 'scenario 106: one with an activity too');
:run_all
SELECT is(outcome('later'), 'completed 1', 'scenario 106: it runs when it is time');
SELECT is(outcome('later with activity') || ' ' || effects(), 'completed "later" later', 'scenario 106: with its activity');
SELECT cmp_ok((SELECT timestamp FROM durable.history WHERE instance_id = 'later' AND event_type = 'OrchestratorStarted'), '>=',
	(SELECT scheduled_start_at FROM durable.instances WHERE instance_id = 'later'), 'scenario 106: and not sooner');

-- ---------------------------------------------------------------------------
-- An id that is taken: what each status allows by default, with skip, and with a list

CREATE FUNCTION make(status text, id text) RETURNS void LANGUAGE plpgsql AS
$$
BEGIN
	PERFORM durable.start_instance(CASE WHEN status = 'completed' THEN 'at_once' WHEN status = 'failed' THEN 'fails' ELSE 'waits' END, '"old"', id,
		start_at => CASE WHEN status = 'pending' THEN clock_timestamp() + interval '100 years' END);
END $$;
CREATE TABLE statuses (status text, finished boolean);
INSERT INTO statuses VALUES ('pending', false), ('running', false), ('suspended', false), ('completed', true), ('failed', true), ('terminated', true);
SELECT make(status, way || ' ' || status) FROM statuses, unnest(ARRAY['default', 'skip', 'list', 'live']) way \g /dev/null
:run
SELECT durable.suspend(way || ' suspended'), durable.terminate(way || ' terminated', 'old') FROM unnest(ARRAY['default', 'skip', 'list', 'live']) way \g /dev/null
:run
SELECT is(status(way || ' ' || s.status), s.status, format('an instance that is %s (%s)', s.status, way)) FROM statuses s, unnest(ARRAY['default', 'skip', 'list', 'live']) way;
CREATE TABLE old AS SELECT instance_id, execution_id FROM durable.instances;

SELECT throws_ok(format($$ SELECT durable.start_instance('at_once', '"new"', 'default %s') $$, status), 'UD003', format('an instance with id "default %s" already exists', status),
	'scenario 109: refused by default: ' || status) FROM statuses WHERE NOT finished;
SELECT lives_ok(format($$ SELECT durable.start_instance('at_once', '"new"', 'default %s') $$, status), 'scenario 108: replaced by default: ' || status) FROM statuses WHERE finished;
SELECT is((SELECT durable.start_instance('at_once', '"new"', 'skip ' || status, if_exists => 'skip')), 'skip ' || status, 'scenario 113: skip returns the id: ' || status) FROM statuses;
-- Each one in the list, then each one not in it.
SELECT lives_ok(format($$ SELECT durable.start_instance('at_once', '"new"', 'list %s', replace_statuses => ARRAY['%1$s', 'terminated']::durable.status[]) $$, status),
	'scenario 110: replaced if in the list: ' || status) FROM statuses;
SELECT throws_ok(format($$ SELECT durable.start_instance('at_once', '"new"', 'live %s', replace_statuses => (SELECT array_agg(s.status::durable.status) FROM statuses s
	WHERE s.status <> %1$L AND (s.finished OR %1$L <> 'terminated'))) $$, status), 'UD003', NULL, 'scenario 110: refused if not in the list: ' || status) FROM statuses;
:run
SELECT is(outcome('default ' || status), 'completed "new"', 'scenario 108: the new one ran in place of one ' || status) FROM statuses WHERE finished;
SELECT is((SELECT i.generation || ' ' || (i.execution_id <> o.execution_id) FROM durable.instances i JOIN old o USING (instance_id) WHERE instance_id = 'default ' || s.status), '2 true',
	'scenario 108: another generation and execution: ' || s.status) FROM statuses s WHERE finished;
SELECT is(story('default ' || status), '[OS ExecutionStarted ExecutionCompleted(0) OC]', 'scenario 108: the old history is gone: ' || status) FROM statuses WHERE finished;
SELECT is(status(way || ' ' || s.status), s.status, format('scenario 112: untouched: %s (%s)', s.status, way)) FROM statuses s, unnest(ARRAY['skip', 'live']) way;
SELECT is_empty($$ SELECT instance_id FROM durable.instances i JOIN old o USING (instance_id) WHERE i.execution_id <> o.execution_id AND instance_id ~ '^(skip|live)' $$,
	'scenario 112: they are the same executions');
SELECT is(outcome('list ' || status), 'completed "new"', 'scenario 111: the replacement of one ' || status) FROM statuses;
SELECT throws_ok(format($$ SELECT durable.start_instance('at_once', NULL, 'skip %s', replace_statuses => ARRAY['%1$s', 'completed']::durable.status[]) $$, status), '22023',
	'Invalid reusable statuses: cannot exclude ''Terminated'' while also allowing reuse of running instances', 'scenario 112: live ones without terminated: ' || status) FROM statuses WHERE NOT finished;
SELECT throws_ok($$ SELECT durable.start_instance('at_once', NULL, 'skip completed', replace_statuses => '{}') $$, 'UD003', NULL, 'an empty list replaces nothing');
SELECT lives_ok($$ SELECT durable.start_instance('at_once', '"new"', 'skip completed', replace_statuses => '{completed}', if_exists => 'skip') $$, 'a list and skip');
SELECT lives_ok($$ SELECT durable.start_instance('at_once', '"new"', 'skip failed', replace_statuses => '{completed}', if_exists => 'skip') $$, 'a list and skip, not in the list');
:run
SELECT is(outcome('skip completed'), 'completed "new"', 'what is in the list is replaced');
SELECT is(outcome('skip failed'), 'failed P0001 failed', 'the rest is skipped');
SELECT throws_ok($$ SELECT durable.start_instance('waits', NULL, 'two starts'), durable.start_instance('waits', NULL, 'two starts') $$, 'UD003', NULL,
	'scenario 114: two starts in one transaction');
SELECT is(durable.start_instance('waits', NULL, 'two starts') || durable.start_instance('waits', NULL, 'two starts', if_exists => 'skip'), 'two startstwo starts', 'scenario 114: with skip');
:run
SELECT is((SELECT generation FROM durable.instances WHERE instance_id = 'two starts'), 1::bigint, 'scenario 114: one execution');

-- Replacing a live parent: its work is dropped, its children are terminated.
CREATE FUNCTION busy(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
BEGIN
	PERFORM durable.schedule_suborchestrator('waits', instance_id => 'child of busy');
	PERFORM durable.create_timer('1 hour');
	RETURN durable.wait_for_event('go');
END $$;
SELECT start('busy');
:run
SELECT durable.raise_event('busy', 'go', '"for the old one"') \g /dev/null
SELECT durable.start_instance('waits', NULL, 'busy', replace_statuses => '{running,terminated}') \g /dev/null
:run
SELECT is(outcome('child of busy'), 'terminated "replaced by a new instance of the same id"', 'scenario 111: the child of a replaced instance is terminated');
SELECT is(outcome('busy'), 'running', 'scenario 111: an event for the old one is gone');
SELECT is((SELECT count(*) FROM durable.messages WHERE instance_id = 'busy'), 0::bigint, 'scenario 111: and its timer');

-- ---------------------------------------------------------------------------
-- Bad input

CREATE FUNCTION returns_int(input jsonb) RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION takes_text(input text) RETURNS jsonb LANGUAGE sql AS $$ SELECT '1'::jsonb $$;
CREATE FUNCTION takes_two(a jsonb, b jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT '1'::jsonb $$;
CREATE FUNCTION returns_set(input jsonb) RETURNS SETOF jsonb LANGUAGE sql AS $$ SELECT '1'::jsonb $$;
CREATE PROCEDURE a_procedure(input jsonb) LANGUAGE sql AS '';
CREATE FUNCTION returns_nothing(input jsonb) RETURNS void LANGUAGE plpgsql AS $$ BEGIN PERFORM durable.call_activity('same', '1'); END $$;
CREATE FUNCTION takes_nothing() RETURNS jsonb LANGUAGE sql AS $$ SELECT '"no argument"'::jsonb $$;
CREATE FUNCTION over(input text) RETURNS jsonb LANGUAGE sql AS $$ SELECT '"text"'::jsonb $$;
CREATE FUNCTION over(input jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT '"jsonb"'::jsonb $$;
SELECT throws_ok('SELECT durable.start_instance(' || arguments || ')', sqlstate, message, 'bad input: ' || what) FROM (VALUES
	('NULL', '22004', 'orchestrator must not be null', 'no name'),
	('''''', '22023', 'orchestrator must not be empty', 'an empty name'),
	('''no_such''', '42883', 'orchestrator "no_such" does not exist', 'scenario 86: an unknown name'),
	('''no_schema.no_such''', '42883', 'orchestrator "no_schema.no_such" does not exist', 'scenario 86: an unknown schema'),
	('''returns_int''', '42P13', 'function returns_int cannot be an orchestrator', 'a result that is not jsonb'),
	('''takes_text''', '42P13', 'function takes_text cannot be an orchestrator', 'an argument that is not jsonb'),
	('''takes_two''', '42P13', 'function takes_two cannot be an orchestrator', 'two arguments'),
	('''returns_set''', '42P13', 'function returns_set cannot be an orchestrator', 'a set'),
	('''a_procedure''', '42P13', 'function a_procedure cannot be an orchestrator', 'a procedure'),
	('''at_once'', instance_id => ''''', '22023', 'instance_id must not be empty', 'an empty id'),
	('''at_once'', instance_id => repeat(''x'', 256)', '22023', 'instance_id is too long', 'an id of 256 bytes'),
	('''at_once'', instance_id => repeat(''ž'', 128)', '22023', 'instance_id is too long', 'an id of 128 characters, 256 bytes'),
	('''at_once'', tags => ''[1]''', '22023', 'tags must be a JSON object of strings', 'tags that are an array'),
	('''at_once'', tags => ''{"a": 1}''', '22023', 'tags must be a JSON object of strings', 'tags that are numbers'),
	('''at_once'', tags => ''"a"''', '22023', 'tags must be a JSON object of strings', 'tags that are a string'),
	('''at_once'', tags => ''{"a": {"b": "c"}}''', '22023', 'tags must be a JSON object of strings', 'tags that are objects'),
	('''at_once'', start_at => ''infinity''', '22023', 'start_at must be finite', 'never'),
	('''at_once'', if_exists => ''replace''', '22023', 'if_exists must be ''error'' or ''skip'', not ''replace''', 'an unknown if_exists'),
	('''at_once'', if_exists => NULL', '22004', 'if_exists must not be null', 'no if_exists'),
	('''at_once'', replace_statuses => ''{NULL}''', '22004', 'replace_statuses must not contain nulls', 'a null status'),
	('''at_once'', event_name => ''''', '22023', NULL, 'an empty event name'),
	('''at_once'', event_data => ''1''', '22023', NULL, 'event data without a name'),
	('''at_once'', task_hub => ''no such hub''', '42704', NULL, 'an unknown hub')) v (arguments, sqlstate, message, what);
SELECT start(f) FROM unnest(ARRAY['returns_nothing', 'takes_nothing', 'over']) f;
:run
SELECT is(outcome('returns_nothing'), 'completed', 'an orchestrator that returns void');
SELECT is(outcome('takes_nothing'), 'completed "no argument"', 'one without argument');
SELECT is(outcome('over'), 'completed "jsonb"', 'of overloaded functions the one that takes jsonb');

-- Dropped and replaced functions under running instances.
CREATE FUNCTION dropped(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN durable.wait_for_event('go'); END $$;
CREATE FUNCTION loses_type(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN durable.wait_for_event('go'); END $$;
CREATE FUNCTION calls_dropped(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$ BEGIN PERFORM durable.wait_for_event('go'); RETURN durable.call_activity('soon_dropped'); END $$;
CREATE FUNCTION soon_dropped() RETURNS int LANGUAGE sql AS 'SELECT 1';
SELECT start(f) FROM unnest(ARRAY['dropped', 'loses_type', 'calls_dropped']) f;
:run
DROP FUNCTION dropped, loses_type, soon_dropped;
CREATE FUNCTION loses_type(input jsonb) RETURNS int LANGUAGE sql AS 'SELECT 1';
SELECT go(f) FROM unnest(ARRAY['dropped', 'loses_type', 'calls_dropped']) f;
SELECT start('at_once', '1', 'beside dropped');
SET durable.on_code_change = latest;	-- with keep both would finish (pinned_code.sql)
:run
RESET durable.on_code_change;
SELECT is(failure('dropped', 'sqlstate'), '42883', 'scenario 86: an orchestrator that was dropped fails its instance');
SELECT is(failure('loses_type', 'sqlstate'), '42P13', 'one that has become no orchestrator too');
SELECT is(failure('calls_dropped', 'sqlstate'), '42883', 'an activity that was dropped');
SELECT is(outcome('beside dropped'), 'completed 1', 'and the others go on');

-- ---------------------------------------------------------------------------
-- Other roles

RESET SESSION AUTHORIZATION;
DO $$ BEGIN CREATE ROLE app_other LOGIN; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$;
GRANT USAGE ON SCHEMA app TO app_other;
SET SESSION AUTHORIZATION app_other;
SET search_path = app, public;
SELECT throws_ok($$ SELECT durable.start_instance('at_once') $$, '42501', NULL, 'a role without grant_usage() cannot start');
RESET SESSION AUTHORIZATION;
SELECT durable.grant_usage('app_other') \g /dev/null
SET SESSION AUTHORIZATION app_other;
SELECT durable.start_instance('at_once', '"theirs"', 'tells') \g /dev/null
SELECT is((SELECT string_agg(task_hub || ' ' || instance_id || ' ' || status, ',') FROM durable.instances), 'app_other tells pending', 'another role sees its own hub only, in which ids are its own');
SELECT throws_ok(sql, '42501', NULL, 'refused to another role: ' || sql) FROM unnest(ARRAY[$$ SELECT durable.start_instance('at_once', task_hub => 'app') $$,
	$$ SELECT durable.raise_event('two starts', 'go', task_hub => 'app') $$, $$ SELECT durable.terminate('two starts', task_hub => 'app') $$, $$ SELECT durable.purge('tells', task_hub => 'app') $$]) sql;
SELECT throws_ok($$ SELECT durable.wait_for_completion('tells', task_hub => 'app') $$, '42501', NULL, 'nor may it read there');
RESET SESSION AUTHORIZATION;
SET SESSION AUTHORIZATION app;
RESET search_path;
:run
SELECT is(status('tells'), 'completed', 'the instance of the other hub is not run by this one');
RESET SESSION AUTHORIZATION;
SELECT is((SELECT status FROM durable.instances WHERE task_hub = 'app_other'), 'pending', 'it waits for its own worker');
SELECT * FROM finish();
