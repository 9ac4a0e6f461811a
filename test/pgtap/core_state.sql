-- The runtime state (src/core/runtime_state.c; semantics.md 2): the status that
-- events imply, the numbers they get, turns, the next generation.
-- Runs as superuser, on functions of test/modules/core_test.
SET client_min_messages = warning;
\ir ../modules/core_test/core_test.sql
SELECT plan(30);

-- All sequences of up to "size" of these.
CREATE FUNCTION sequences(words text[], size int) RETURNS TABLE (steps text[]) LANGUAGE sql AS
$$
	WITH RECURSIVE s (steps) AS (
		VALUES ('{}'::text[])
		UNION ALL SELECT s.steps || w FROM s, unnest(words) w WHERE cardinality(s.steps) < size)
	SELECT steps FROM s
$$;

-- ---------------------------------------------------------------------------
-- Status
-- ---------------------------------------------------------------------------

-- The rules: a completion fixes it; else the last suspension or resumption decides; else whether there is a start.
CREATE FUNCTION expected_status(steps text[]) RETURNS text LANGUAGE sql AS
$$
	SELECT coalesce(
		(SELECT step FROM unnest(steps) WITH ORDINALITY AS s (step, n) WHERE step IN ('completed', 'failed', 'terminated') ORDER BY n LIMIT 1),
		(SELECT CASE step WHEN 'ExecutionSuspended' THEN 'suspended' ELSE 'running' END
			FROM unnest(steps) WITH ORDINALITY AS s (step, n) WHERE step IN ('ExecutionSuspended', 'ExecutionResumed') ORDER BY n DESC LIMIT 1),
		CASE WHEN 'ExecutionStarted' = ANY (steps) THEN 'running' ELSE 'pending' END)
$$;

-- At most one start and one completion, as reconciliation sees to; the rest in any number and order.
CREATE TABLE played AS
	SELECT s.steps, p.* FROM sequences('{ExecutionStarted,ExecutionSuspended,ExecutionResumed,completed,failed,terminated,EventRaised,ExecutionTerminated}', 5) s,
		LATERAL core_test.play(ARRAY['turn'] || s.steps) p
	WHERE cardinality(array_positions(s.steps, 'ExecutionStarted')) <= 1
		AND (SELECT count(*) FROM unnest(s.steps) step WHERE step IN ('completed', 'failed', 'terminated')) <= 1;

SELECT cmp_ok(count(*), '>', 5000::bigint, 'many sequences of events were played') FROM played;
SELECT bag_eq('SELECT DISTINCT status FROM played', '{pending,running,suspended,completed,failed,terminated}'::text[], 'every status was come to');
SELECT is((SELECT format('%s: %s, not %s', steps, status, expected_status(steps)) FROM played WHERE status <> expected_status(steps) LIMIT 1), NULL,
	'the status is the one that the events imply');
SELECT is((SELECT p FROM played p WHERE started <> ('ExecutionStarted' = ANY (steps)) LIMIT 1), NULL, 'it is started when there is a start');

-- By hand.
SELECT is((core_test.play('{turn}' || steps)).status, status, title)
FROM (VALUES
	('{}'::text[], 'pending', 'nothing happened'),
	('{ExecutionStarted}', 'running', 'started'),
	('{ExecutionStarted,ExecutionSuspended}', 'suspended', 'scenario 102: suspended'),
	('{ExecutionStarted,ExecutionSuspended,ExecutionSuspended,ExecutionResumed}', 'running', 'suspended twice, resumed once'),
	('{ExecutionStarted,ExecutionResumed}', 'running', 'scenario 103: resumed, not suspended'),
	('{ExecutionStarted,ExecutionSuspended,completed}', 'completed', 'a completion beats a suspension'),
	('{ExecutionStarted,completed,ExecutionSuspended}', 'completed', 'scenario 103: suspended when completed'),
	('{ExecutionStarted,terminated,ExecutionResumed}', 'terminated', 'scenario 103: resumed when terminated'),
	('{ExecutionStarted,failed,ExecutionStarted}', 'failed', 'a late start does not revive it'),
	('{ExecutionStarted,ExecutionTerminated}', 'running', 'a request to terminate is no completion yet')) AS cases (steps, status, title);

-- ---------------------------------------------------------------------------
-- Numbers
-- ---------------------------------------------------------------------------

-- The same history, with bookends for the turns that have events, numbered from 1. Turns are made of so many events each.
CREATE FUNCTION expected_history(sizes int[]) RETURNS text LANGUAGE sql AS
$$
	SELECT coalesce(string_agg(format('%s %s', number, event), ' ' ORDER BY number), '')
	FROM (SELECT row_number() OVER (ORDER BY turn, place) AS number, event
		FROM unnest(sizes) WITH ORDINALITY AS t (size, turn),
			LATERAL (SELECT place, CASE place WHEN 0 THEN 'OS' WHEN size + 1 THEN 'OC' ELSE 'EventRaised' END FROM generate_series(0, size + 1) place) e (place, event)
		WHERE size > 0) numbered
$$;

CREATE FUNCTION steps_of(sizes int[]) RETURNS text[] LANGUAGE sql AS
$$
	SELECT coalesce(array_agg(step ORDER BY turn, place), '{}')
	FROM unnest(sizes) WITH ORDINALITY AS t (size, turn),
		LATERAL unnest('{turn}'::text[] || array_fill('EventRaised'::text, ARRAY[size]) || '{end}') WITH ORDINALITY AS e (step, place)
$$;
CREATE TABLE turns AS
	SELECT sizes, expected_history(sizes) AS expected, p.*
	FROM sequences('{0,1,2,3}', 5), LATERAL CAST(steps AS int[]) AS sizes, LATERAL core_test.play(steps_of(sizes)) p;

SELECT is(count(*), 1365::bigint, 'many sequences of turns were played') FROM turns;
SELECT is((SELECT t FROM turns t WHERE history <> expected LIMIT 1), NULL, 'numbers count every event, OrchestratorStarted and OrchestratorCompleted, too');
SELECT is((SELECT t FROM turns t WHERE turn <> cardinality(sizes) LIMIT 1), NULL, 'turns are counted');
SELECT is((SELECT t FROM turns t WHERE last_seq <> (SELECT coalesce(sum(n + 2), 0) FROM unnest(sizes) n WHERE n > 0) LIMIT 1), NULL, 'the last number is that of the last event');

SELECT is((core_test.play(steps)).history, history, title)
FROM (VALUES
	('{turn,ExecutionStarted,EventRaised,end,turn,TaskCompleted,end}'::text[], '1 OS 2 ExecutionStarted 3 EventRaised 4 OC 5 OS 6 TaskCompleted 7 OC', 'two turns'),
	('{turn,ExecutionStarted,end,end}', '1 OS 2 ExecutionStarted 3 OC', 'a turn ends once'),
	('{turn,end}', '', 'a turn without events leaves nothing'),
	('{turn,ExecutionStarted,end,EventSent,end}', '1 OS 2 ExecutionStarted 3 OC 4 EventSent 5 OC', 'what follows the end of a turn is ended again'),
	('{turn,ExecutionStarted,end,turn,EventRaised,continue,end}', '1 OS 2 ExecutionStarted 3 OC', 'the next generation begins anew, with its start'),
	('{turn,ExecutionStarted,continue,EventRaised,end,TimerCreated,end}', '1 OS 2 ExecutionStarted 3 EventRaised 4 OC 5 TimerCreated 6 OC',
		'scenario 90: carried events come before the end of its first turn, what it does after it')) AS cases (steps, history, title);

-- ---------------------------------------------------------------------------
-- Time
-- ---------------------------------------------------------------------------

SELECT is(core_test.turn_times('{1000,2000,2000,1500,1900,2001,9000}'), '{1000,2000,2001,2002,2003,2004,9000}',
	'the time of a turn is the clock''s, but never goes back or stands still; all events of the turn have it');

-- ---------------------------------------------------------------------------
-- The next generation
-- ---------------------------------------------------------------------------

CREATE TABLE generations AS SELECT g.* FROM core_test.next_generation('"new input"', '1.3') g;
SELECT is(before - 'history', '{"task_hub": "hub", "instance_id": "self", "execution": "own", "generation": 3, "name": "orchestrator",
	"function": "app.orchestrator(jsonb)", "version": "1.2", "input": "old input", "tags": {"team": "blue"}, "settings": {"TimeZone": "UTC"}, "time_zone": "UTC",
	"parent": "parent", "parent_execution": "parent", "parent_task": 7, "notify": true, "trace": "00-trace", "status": "running", "custom_status": "half way",
	"output": null, "failure": null, "completed": -1, "waiting": "go", "turn": 5, "turn_at": 0, "past": 1}'::jsonb, 'the generation before is left as it was')
FROM generations;
SELECT is((SELECT jsonb_object_agg(key, value) FROM jsonb_each(after) WHERE value IS DISTINCT FROM before -> key),
	'{"execution": "next", "generation": 4, "version": "1.3", "input": "new input", "waiting": "", "turn": 1, "turn_at": 1, "past": 0,
	"history": "1 OS 2 ExecutionStarted"}'::jsonb,
	'scenario 91: the next one is new in these; hub, name, parent, tags, settings, custom status are kept')
FROM generations;
SELECT is(after ->> 'version', '1.2', 'scenario 92: without a new version it keeps the old one') FROM core_test.next_generation('1', NULL);
SELECT is(after -> 'input', 'null', 'it may have no input') FROM core_test.next_generation(NULL, NULL);
SELECT is((SELECT p.turn || ' ' || p.status || ' ' || p.started FROM core_test.play('{turn,ExecutionStarted,ExecutionSuspended,end,turn,EventRaised,continue}') p),
	'1 running true', 'it runs in its first turn, and is started');

SELECT * FROM finish();
