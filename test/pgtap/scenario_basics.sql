-- Scenarios of the specification, 11.1: how turns are split, who runs what, what a name means.
\ir include/setup.psql
SELECT plan(38);

-- ---------------------------------------------------------------------------
-- Scenario 6. There are no sessions to switch on or off. What can differ is how the
-- work is cut into turns, batches and processes, and whether the history is still in
-- memory. None of it may be felt.

CREATE FUNCTION child(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN durable.call_activity('same', input || '"child"'); END $$;
CREATE FUNCTION mixed(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
DECLARE
	list jsonb := input;
	a durable.task;
	b durable.task;
BEGIN
	FOR i IN 1..4 LOOP
		list := list || durable.wait_for_event('item');
		a := durable.schedule_activity('same', jsonb_build_array(i, list));
		b := durable.schedule_suborchestrator('child', jsonb_build_array(i));
		list := list || (durable.await_all(b, a))[1];
		PERFORM durable.sleep('0');
		PERFORM durable.set_custom_status(list);
		BEGIN
			PERFORM durable.call_activity('fail', jsonb_build_object('message', 'failure ' || i));
		EXCEPTION WHEN raise_exception THEN
			list := list || to_jsonb(SQLERRM);
		END;
	END LOOP;
	RETURN list;
END $$;
CREATE FUNCTION item(id text, n int) RETURNS void LANGUAGE sql AS $$ SELECT durable.raise_event($1, 'item', to_jsonb($2)) $$;
CREATE FUNCTION decisions(id text) RETURNS jsonb LANGUAGE sql AS
$$
	SELECT jsonb_agg(jsonb_build_array(event_type, event_id, name, input, result) ORDER BY event_id)
	FROM durable.history WHERE instance_id = $1 AND event_id <> -1
$$;
CREATE FUNCTION turns(id text) RETURNS int LANGUAGE sql AS $$ SELECT max(turn) FROM durable.history WHERE instance_id = $1 $$;

SELECT durable.start_instance('mixed', '["in"]', instance_id => way) FROM unnest(ARRAY['at once', 'bit by bit', 'new sessions', 'procedure']) way \g /dev/null
SELECT item(way, n) FROM unnest(ARRAY['at once', 'procedure']) way, generate_series(1, 4) n \g /dev/null
:run
SELECT item('bit by bit', 1) \g /dev/null
:run
SELECT item('bit by bit', 2) \g /dev/null
:run
SELECT item('bit by bit', 3) \g /dev/null
:run
SELECT item('bit by bit', 4) \g /dev/null
:run
\setenv PGDATABASE :DBNAME
\setenv PGHOST :HOST
\setenv PGPORT :PORT
SELECT item('new sessions', 1) \g /dev/null
\! psql -X -q -A -t -U app -c 'SELECT durable.run_until_idle()' >/dev/null
SELECT item('new sessions', 2) \g /dev/null
\! psql -X -q -A -t -U app -c 'SELECT durable.run_until_idle()' >/dev/null
SELECT item('new sessions', 3) \g /dev/null
\! psql -X -q -A -t -U app -c 'SELECT durable.run_until_idle()' >/dev/null
SELECT item('new sessions', 4) \g /dev/null
\! psql -X -q -A -t -U app -c 'SELECT durable.run_until_idle()' >/dev/null
-- One turn a transaction, each with a commit.
RESET SESSION AUTHORIZATION;
SET durable.batch_size = 1;
SET SESSION AUTHORIZATION app;
SELECT durable.start_instance('mixed', '["in"]', instance_id => 'one a batch') \g /dev/null
SELECT item('one a batch', n) FROM generate_series(1, 4) n \g /dev/null
CALL durable.run();
RESET SESSION AUTHORIZATION;
RESET durable.batch_size;
SET SESSION AUTHORIZATION app;

SELECT is(outcome('at once'), 'completed ["in", 1, 1, "child", "failure 1", 2, 2, "child", "failure 2", 3, 3, "child", "failure 3", 4, 4, "child", "failure 4"]',
	'scenario 6: all events there at the start');
SELECT is(output(way), output('at once'), 'scenario 6: the same output: ' || way) FROM unnest(ARRAY['bit by bit', 'new sessions', 'procedure', 'one a batch']) way;
SELECT is(decisions(way), decisions('at once'), 'scenario 6: the same decisions: ' || way) FROM unnest(ARRAY['bit by bit', 'new sessions', 'procedure', 'one a batch']) way;
SELECT cmp_ok(turns('bit by bit'), '>', turns('at once'), 'scenario 6: though the turns were split otherwise');
SELECT is(turns('new sessions'), turns('bit by bit'), 'scenario 6: a session that has no history in memory needs no more turns');

-- ---------------------------------------------------------------------------
-- Scenario 7. The tasks asked for first are answered last: they fail once.

CREATE FUNCTION late_if_first(n int) RETURNS int LANGUAGE plpgsql AS
$$
BEGIN
	IF durable.task_id() < 5 THEN
		RAISE EXCEPTION 'later';
	END IF;
	RETURN n;
END $$;
CREATE FUNCTION sum_of_late(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
DECLARE
	tasks durable.task[];
BEGIN
	FOR i IN 1..10 LOOP
		tasks := tasks || durable.schedule_activity('late_if_first', jsonb_build_object('n', i), retry => durable.retry_policy(2));
	END LOOP;
	RETURN jsonb_build_array((SELECT sum(r::text::int) FROM unnest(durable.await_all(tasks)) r), to_jsonb(durable.await_all(tasks)));
END $$;
SELECT start('sum_of_late');
:run_all
SELECT is(outcome('sum_of_late'), 'completed [55, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]]', 'scenario 7: sum and order do not depend on the order of completion');
SELECT is((SELECT string_agg(turn || ': ' || results::text, ', ' ORDER BY turn) FROM (SELECT turn, array_agg(result::text::int ORDER BY result::text::int) AS results
	FROM durable.history WHERE instance_id = 'sum_of_late' AND event_type = 'TaskCompleted' GROUP BY turn) t),
	'2: {6,7,8,9,10}, 4: {1,2,3,4,5}', 'scenario 7: which was another one');

-- ---------------------------------------------------------------------------
-- Scenario 11. What the code saw in its first pass is in the inputs it gave; what it
-- saw at the end, after many replays, is in its output.

CREATE FUNCTION sees_replay(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
DECLARE
	seen jsonb := '[]';
BEGIN
	FOR i IN 1..3 LOOP
		seen := seen || to_jsonb(durable.is_replaying());
		PERFORM durable.call_activity('same', to_jsonb(durable.is_replaying()));
		seen := seen || to_jsonb(durable.is_replaying());
	END LOOP;
	RETURN seen;
END $$;
SELECT start('sees_replay');
:run
SELECT is((SELECT array_agg(input ORDER BY seq) FROM durable.history WHERE instance_id = 'sees_replay' AND event_type = 'TaskScheduled'), ARRAY['false', 'false', 'false']::jsonb[],
	'scenario 11: false before each activity, in the first pass');
SELECT is(output('sees_replay'), '[true, true, true, true, true, false]', 'scenario 11: true before and after each in a replay, false after what is new');

-- ---------------------------------------------------------------------------
-- Scenario 15. No lock expires, so none is renewed: the row of a running activity is
-- locked as long as it takes. This one runs until another session has done all the
-- work there is, which must not be this activity.

RESET SESSION AUTHORIZATION;
CREATE EXTENSION dblink;
GRANT EXECUTE ON FUNCTION dblink_connect_u(text, text) TO app;
SET SESSION AUTHORIZATION app;
CREATE FUNCTION outlasts(conninfo text) RETURNS text LANGUAGE plpgsql AS
$$
DECLARE
	others bigint;
BEGIN
	PERFORM effect('long-running');
	PERFORM dblink_connect_u('other', conninfo);
	PERFORM FROM dblink('other', 'SELECT durable.start_instance(''sees_replay'', instance_id => ''meanwhile'')') AS t(id text);
	SELECT n INTO others FROM dblink('other', 'SELECT durable.run_until_idle()') AS t(n bigint);
	PERFORM dblink_disconnect('other');
	RETURN others;
END $$;
SELECT start('call', jsonb_build_object('name', 'outlasts', 'input', jsonb_build_object('conninfo', format('user=app dbname=%s host=%s port=%s', :'DBNAME', :'HOST', :'PORT'))), 'long-running');
:run
SELECT is(outcome('long-running'), 'completed "7"', 'scenario 15: while an activity runs another session does all else');
SELECT is(outcome('meanwhile'), concat_ws(' ', 'completed', output('sees_replay')), 'scenario 15: to its end');
SELECT is(effects('long-running'), 'long-running', 'scenario 15: and the activity is executed once');
SELECT is(story('long-running'), '[OS ExecutionStarted TaskScheduled(0) OC] [OS TaskCompleted->0 ExecutionCompleted(1) OC]', 'scenario 15: with one result');

-- ---------------------------------------------------------------------------
-- Scenario 16

CREATE FUNCTION walk(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
DECLARE
	n jsonb := input;
BEGIN
	FOR i IN 1..3 LOOP
		n := durable.call_activity('next', jsonb_build_object('n', n));
	END LOOP;
	RETURN n;
END $$;
CREATE FUNCTION next(n int) RETURNS int LANGUAGE sql AS 'SELECT n + 1';
SELECT durable.start_instance('walk', to_jsonb(n), 'walk ' || n) FROM generate_series(1, 100) n \g /dev/null
CALL durable.run();
SELECT is((SELECT count(*) FROM generate_series(1, 100) n WHERE outcome('walk ' || n) = 'completed ' || n + 3), 100::bigint, 'scenario 16: 100 instances complete, each with its own result');
SELECT cmp_ok((SELECT max(created_at) FROM durable.instances WHERE name = 'walk'), '<', (SELECT min(completed_at) FROM durable.instances WHERE name = 'walk'),
	'scenario 16: all were under way at a time');
SELECT is_empty($$ SELECT instance_id FROM durable.history WHERE instance_id LIKE 'walk %' GROUP BY 1 HAVING count(*) FILTER (WHERE event_type = 'TaskCompleted') <> 3 $$,
	'scenario 16: three results each');

-- ---------------------------------------------------------------------------
-- Scenario 17. There are no classes to register: a name is a function, as in any call.
-- Activities by name are in activities.sql.

CREATE FUNCTION "Mixed Case!"(input jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT '"quoted"'::jsonb $$;
CREATE FUNCTION overloaded(input jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT '"jsonb"'::jsonb $$;
CREATE FUNCTION overloaded(input jsonb, more int) RETURNS jsonb LANGUAGE sql AS $$ SELECT '"two"'::jsonb $$;
RESET SESSION AUTHORIZATION;
CREATE SCHEMA first AUTHORIZATION app;
CREATE SCHEMA second AUTHORIZATION app;
SET SESSION AUTHORIZATION app;
CREATE FUNCTION first.who(input jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT '"first"'::jsonb $$;
CREATE FUNCTION second.who(input jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT '"second"'::jsonb $$;
CREATE TABLE names (name text, output jsonb, what text);
INSERT INTO names VALUES
	('overloaded(jsonb)', '"jsonb"', 'a name with its argument types'),
	('app.overloaded(jsonb)', '"jsonb"', 'a name with schema and argument types'),
	('"Mixed Case!"', '"quoted"', 'a name that needs quotes'),
	('first.who', '"first"', 'a schema-qualified name'),
	('second.who', '"second"', 'the same name in another schema'),
	('who', '"first"', 'a plain name is the first in the search_path');
SET search_path = app, first, second, public;
SELECT durable.start_instance(name, instance_id => name) FROM names \g /dev/null
CREATE FUNCTION calls_child(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN durable.call_suborchestrator(input #>> '{}'); END $$;
SELECT durable.start_instance('calls_child', to_jsonb(name), 'child ' || name) FROM names \g /dev/null
SET search_path = app, second, first, public;
:run
RESET search_path;
SELECT is(outcome(name), concat_ws(' ', 'completed', output), 'scenario 17: an orchestrator by ' || what) FROM names;
SELECT is(outcome('child ' || name), concat_ws(' ', 'completed', output), 'scenario 50: a child by ' || what) FROM names;

-- ---------------------------------------------------------------------------
-- Scenario 18. Only a task can be awaited, the type sees to it: what is left are NULL
-- and text that pretends to be one.

CREATE FUNCTION fails_then_awaits(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
BEGIN
	BEGIN
		PERFORM durable.call_activity('fail', '{"message": "caught"}');
	EXCEPTION WHEN OTHERS THEN
		IF input = '"text"' THEN
			RETURN durable.await('task'::text::durable.task);
		END IF;
		RETURN durable.await(CASE input WHEN '"null"' THEN NULL ELSE durable.schedule_activity('same', '"awaited"') END);
	END;
	RETURN '"did not fail"';
END $$;
SELECT start('fails_then_awaits', '"null"', 'awaits null');
SELECT start('fails_then_awaits', '"text"', 'awaits text');
SELECT start('fails_then_awaits', '"task"', 'awaits task');
:run
SELECT is(outcome('awaits null'), 'failed 22004 task must not be null', 'scenario 18: awaiting NULL after a caught failure fails the instance');
SELECT is(status('awaits text') || ' ' || failure('awaits text', 'sqlstate'), 'failed 0A000', 'scenario 18: and so does text that is no task');
SELECT is(outcome('awaits task'), 'completed "awaited"', 'scenario 18: with a task it completes');

SELECT is_empty('SELECT instance_id FROM durable.messages UNION ALL SELECT instance_id FROM durable.activities', 'nothing is left in the queues');
SELECT * FROM finish();
