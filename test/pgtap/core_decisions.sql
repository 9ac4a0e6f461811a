-- Decisions become events and messages (src/core/decisions.c; semantics.md 3.5),
-- for every sequence of actions up to a size and every way a turn can end.
-- Runs as superuser, on functions of test/modules/core_test.
SET client_min_messages = warning;
\ir ../modules/core_test/core_test.sql
SELECT plan(29);

-- All sequences of up to "size" of these.
CREATE FUNCTION sequences(words text[], size int) RETURNS TABLE (actions text[]) LANGUAGE sql AS
$$
	WITH RECURSIVE s (actions) AS (
		VALUES ('{}'::text[])
		UNION ALL SELECT s.actions || w FROM s, unnest(words) w WHERE cardinality(s.actions) < size)
	SELECT actions FROM s
$$;

-- ---------------------------------------------------------------------------
-- What must come of it
-- ---------------------------------------------------------------------------

-- The actions of a turn with their numbers; those of the past begin at 0.
CREATE FUNCTION numbered(actions text[], first_id int) RETURNS TABLE (action text, id int) LANGUAGE sql AS
$$ SELECT action, first_id + n::int - 1 FROM unnest(actions) WITH ORDINALITY AS a (action, n) $$;

-- Every action is recorded under its number, then the completion under the next; the turn is ended, unless it continues as new.
CREATE FUNCTION expected_history(actions text[], completion text) RETURNS text LANGUAGE sql AS
$$
	SELECT string_agg(format('%s %s', row, event), ' ' ORDER BY row)
	FROM (SELECT row_number() OVER (ORDER BY place) AS row, event
		FROM (
			VALUES (1, 'OS'), (2, 'GenericEvent')
			UNION ALL SELECT id, CASE action WHEN 'task' THEN 'TaskScheduled' WHEN 'timer' THEN 'TimerCreated' WHEN 'event' THEN 'EventSent'
				WHEN 'own event' THEN 'EventSent' ELSE 'SubOrchestrationInstanceCreated' END || '(' || id || ')'
			FROM numbered(actions, 10)
			UNION ALL SELECT 98, 'ExecutionCompleted(' || 10 + cardinality(actions) || ')' WHERE completion IN ('completed', 'failed', 'terminated')
			UNION ALL SELECT 99, 'OC' WHERE completion <> 'continue as new') AS events (place, event)) AS rows
$$;

-- Activities are for this execution; of one that goes on as new they need their input, as the history is gone.
CREATE FUNCTION expected_activities(actions text[], completion text) RETURNS text LANGUAGE sql AS
$$
	SELECT coalesce(string_agg(format('task(%s) for own/3', id) || CASE completion WHEN 'continue as new' THEN ' with input' ELSE '' END, ', ' ORDER BY id), '')
	FROM numbered(actions, 10) WHERE action = 'task'
$$;

-- Timers to itself, in this execution; events to whichever execution; the answer to the execution of the parent that
-- asked; a recursive termination to every child there ever was, but not to detached ones.
CREATE FUNCTION expected_messages(actions text[], completion text, is_child boolean, recursively boolean, past text[]) RETURNS text LANGUAGE sql AS
$$
	SELECT coalesce(string_agg(message, ', ' ORDER BY place, id), '')
	FROM (
		SELECT 1, id, format('TimerFired->%s to self/own at %s', id, id) FROM numbered(actions, 10) WHERE action = 'timer'
		UNION ALL SELECT 1, id, format('EventRaised to %s/any at 0 {"for": %s}', CASE action WHEN 'event' THEN 'other' ELSE 'self' END, id)
			FROM numbered(actions, 10) WHERE action IN ('event', 'own event')
		UNION ALL SELECT 2, 0, CASE completion
				WHEN 'completed' THEN 'SubOrchestrationInstanceCompleted->7 to parent/parent at 0 "so be it"'
				WHEN 'failed' THEN 'SubOrchestrationInstanceFailed->7 to parent/parent at 0 failed it broke'
				WHEN 'terminated' THEN 'SubOrchestrationInstanceFailed->7 to parent/parent at 0 failed so be it' END
			WHERE is_child AND completion IN ('completed', 'failed', 'terminated')
		UNION ALL SELECT 3, id, format('ExecutionTerminated to child-%s/any at 0 recursively "so be it"', id)
			FROM (SELECT * FROM numbered(past, 0) UNION ALL SELECT * FROM numbered(actions, 10)) children
			WHERE recursively AND action = 'child') AS m (place, id, message)
$$;

-- Children know who asked, and have its tags but where the action has others.
CREATE FUNCTION expected_children(actions text[]) RETURNS text LANGUAGE sql AS
$$
	SELECT coalesce(string_agg(format('%s 7 %s-%s%s of own/%s {"of": "child", "site": "north", "team": "red"}',
		action, action, id, CASE action WHEN 'detached' THEN ' detached' ELSE '' END, id), ', ' ORDER BY id), '')
	FROM numbered(actions, 10) WHERE action IN ('child', 'detached')
$$;

-- ---------------------------------------------------------------------------
-- All of it
-- ---------------------------------------------------------------------------

-- A turn is ended one way or another, or not; only a termination may be recursive.
CREATE TABLE decided AS
	SELECT s.actions, e.*, c.is_child, past, d.*
	FROM sequences('{task,timer,child,detached,event,own event}', 3) s,
		(VALUES ('none', false), ('completed', false), ('failed', false), ('terminated', false), ('terminated', true), ('continue as new', false))
			AS e (completion, recursively),
		(VALUES (true), (false)) AS c (is_child),
		LATERAL (VALUES ('{}'::text[]), ('{child}'), ('{detached}'), ('{child,task,detached,child}')) AS p (past),
		LATERAL core_test.decide(s.actions, completion, is_child, recursively, past, '"so be it"') d;

SELECT is(count(*), 259 * 6 * 2 * 4::bigint, 'all turns were decided') FROM decided;
SELECT is((SELECT format('%s %s: %s, not %s', actions, completion, history, expected_history(actions, completion))
	FROM decided WHERE history <> expected_history(actions, completion) LIMIT 1), NULL,
	'each action is an event of its number, in order, and the completion is the last');
SELECT is((SELECT format('%s %s: %s, not %s', actions, completion, activities, expected_activities(actions, completion))
	FROM decided WHERE activities <> expected_activities(actions, completion) LIMIT 1), NULL,
	'each task is queued for this execution, those of a turn that ends the instance, too');
SELECT is((SELECT format('%s %s, child: %s, recursively: %s, past %s: %s, not %s', actions, completion, is_child, recursively, past, messages,
		expected_messages(actions, completion, is_child, recursively, past))
	FROM decided WHERE messages <> expected_messages(actions, completion, is_child, recursively, past) LIMIT 1), NULL,
	'messages: timers, events, the answer to the parent, terminations of children');
SELECT is((SELECT format('%s: %s, not %s', actions, children, expected_children(actions)) FROM decided WHERE children <> expected_children(actions) LIMIT 1), NULL,
	'scenario 62: children know their parent, and have its tags');
SELECT is((SELECT format('%s is %s', completion, status) FROM decided
	WHERE status <> CASE WHEN completion IN ('completed', 'failed', 'terminated') THEN completion ELSE 'running' END LIMIT 1), NULL,
	'the status is that of the completion');

-- The same without the expected texts: what must never be, in none of them.
SELECT is((SELECT d FROM decided d WHERE messages ~ '(to self/(?!own|any))|(to parent/(?!parent))|/(next|unknown)' LIMIT 1), NULL,
	'nothing is addressed to another execution than the current one, or the parent''s that asked');
SELECT is((SELECT d FROM decided d WHERE messages LIKE '%to detached-%' LIMIT 1), NULL, 'a detached child is not terminated');
SELECT is((SELECT d FROM decided d WHERE NOT is_child AND messages LIKE '%SubOrchestrationInstance%' LIMIT 1), NULL, 'who has no parent answers nobody');
SELECT is((SELECT d FROM decided d WHERE completion IN ('none', 'continue as new') AND messages ~ 'SubOrchestrationInstance|ExecutionTerminated' LIMIT 1), NULL,
	'scenario 91: who is not at its end, or goes on as new, does not answer yet');
SELECT is((SELECT d FROM decided d WHERE NOT recursively AND messages LIKE '%ExecutionTerminated%' LIMIT 1), NULL,
	'scenario 63: a termination that is not recursive leaves the children alone');
SELECT cmp_ok((SELECT count(*) FROM decided WHERE messages LIKE '%ExecutionTerminated%ExecutionTerminated%'), '>', 100::bigint,
	'scenario 100: while a recursive one reaches those of this turn and of those before');

-- ---------------------------------------------------------------------------
-- One by one
-- ---------------------------------------------------------------------------

SELECT is((core_test.decide(actions, completion, true, false, '{}', '"so be it"')).history, history, title)
FROM (VALUES
	('{}'::text[], 'none', '1 OS 2 GenericEvent 3 OC', 'a turn without actions'),
	('{task,timer,event}', 'none', '1 OS 2 GenericEvent 3 TaskScheduled(10) 4 TimerCreated(11) 5 EventSent(12) 6 OC', 'one number for all kinds of actions'),
	('{task}', 'completed', '1 OS 2 GenericEvent 3 TaskScheduled(10) 4 ExecutionCompleted(11) 5 OC', 'an action before the completion is carried out'),
	('{task}', 'continue as new', '1 OS 2 GenericEvent 3 TaskScheduled(10)', 'continue-as-new does not end the turn')) AS cases (actions, completion, history, title);

-- What it says of the child in the answer to its parent.
SELECT is((core_test.decide('{}', completion, true, false, '{}', output)).messages, messages, title)
FROM (VALUES
	('completed', '{"a": 1}'::jsonb, 'SubOrchestrationInstanceCompleted->7 to parent/parent at 0 {"a": 1}', 'scenario 47: a result is answered'),
	('completed', NULL, 'SubOrchestrationInstanceCompleted->7 to parent/parent at 0', 'no result, too'),
	('failed', NULL, 'SubOrchestrationInstanceFailed->7 to parent/parent at 0 failed it broke', 'scenario 51: a failure is answered'),
	('terminated', '"enough"', 'SubOrchestrationInstanceFailed->7 to parent/parent at 0 failed enough', 'scenario 64: a termination is a failure, the reason its message'),
	('terminated', '42', 'SubOrchestrationInstanceFailed->7 to parent/parent at 0 failed 42', 'scenario 101: of a reason that is no string its text'),
	('terminated', '{"by": "ops"}', 'SubOrchestrationInstanceFailed->7 to parent/parent at 0 failed the sub-orchestration was terminated',
		'scenario 101: an object is no message'),
	('terminated', NULL, 'SubOrchestrationInstanceFailed->7 to parent/parent at 0 failed the sub-orchestration was terminated',
		'scenario 64: without a reason the message says so')) AS cases (completion, output, messages, title);

-- What stays in the state.
SELECT is((core_test.decide('{}', completion, false, false, '{}', output)).state, state::jsonb, title)
FROM (VALUES
	('none', NULL::jsonb, '{"output": null, "failure": null, "completed": false, "custom_status": "as it was", "waiting": "go stop", "cancelled": "3 4 5"}',
		'a turn that goes on: custom status kept, cancelled timers of earlier generations kept'),
	('none', '"new"', '{"output": null, "failure": null, "completed": false, "custom_status": "new", "waiting": "go stop", "cancelled": "3 4 5"}', 'a custom status is set'),
	('continue as new', '"new"', '{"output": null, "failure": null, "completed": false, "custom_status": "new", "waiting": "go stop", "cancelled": "3 4 5"}',
		'scenario 91: continue-as-new sets a custom status, and no output'),
	('completed', '"done"', '{"output": "done", "failure": null, "completed": true, "custom_status": "done", "waiting": "go stop", "cancelled": "3 4 5"}', 'completed: output and time'),
	('failed', NULL, '{"output": null, "failure": {"errorMessage": "it broke"}, "completed": true, "custom_status": "as it was", "waiting": "go stop", "cancelled": "3 4 5"}',
		'failed: failure and time'),
	('terminated', '"enough"', '{"output": "enough", "failure": null, "completed": true, "custom_status": "enough", "waiting": "go stop", "cancelled": "3 4 5"}',
		'scenario 96: terminated: the reason is the output')) AS cases (completion, output, state, title);

SELECT * FROM finish();
