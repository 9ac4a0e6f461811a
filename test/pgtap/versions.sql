-- Versions: of instances, of what they call, and those a hub runs.
\ir include/setup.psql
SELECT plan(120);

CREATE FUNCTION tells_version(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN to_jsonb(durable.instance_version()); END $$;
CREATE FUNCTION waits(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
BEGIN
	RETURN jsonb_build_array(durable.instance_version(), durable.wait_for_event('go'), durable.wait_for_event('go'), durable.wait_for_event('go'));
END $$;
-- Starts an instance in a version.
CREATE FUNCTION start_version(orchestrator text, version text, id text DEFAULT NULL, input jsonb DEFAULT NULL) RETURNS text LANGUAGE sql AS
$$ SELECT '# started ' || durable.start_instance($1, input, coalesce(id, $1 || ' ' || version), version) $$;
CREATE FUNCTION versioning(version text DEFAULT NULL, match text DEFAULT 'none', failure text DEFAULT 'reject', default_version text DEFAULT NULL) RETURNS text LANGUAGE sql AS
$$ SELECT '# versioning' || coalesce(durable.set_hub_versioning('app', $1, $2, $3, $4)::text, '') $$;

-- ---------------------------------------------------------------------------
-- A version goes with its instance

SELECT start_version('tells_version', '1.5');
SELECT start_version('tells_version', NULL, 'none');
SELECT start_version('tells_version', '', 'empty');
:run
SELECT is(outcome('tells_version 1.5'), 'completed "1.5"', 'scenario 139: the code knows the version');
SELECT is(outcome('none'), 'completed', 'scenario 139: none');
SELECT is(outcome('empty'), 'completed ""', 'scenario 139: an empty one as it was given');
SELECT is((SELECT string_agg(instance_id, ',') FROM durable.instances WHERE name = 'tells_version' AND version = '1.5'), 'tells_version 1.5',
	'scenario 116: found by name and version');
SELECT is((SELECT version FROM durable.history WHERE instance_id = 'tells_version 1.5' AND event_type = 'ExecutionStarted'), NULL,
	'the version is in the row of the instance, not in the event of its first start');

-- ---------------------------------------------------------------------------
-- Continue-as-new into another version

CREATE FUNCTION counts_v1(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
BEGIN
	PERFORM durable.continue_as_new(coalesce(input, '0'), version => input ->> 'to');
	RETURN NULL;
END $$;
CREATE FUNCTION counts_v2(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
DECLARE
	event jsonb := durable.wait_for_event('go');
BEGIN
	RETURN jsonb_build_array('v2', durable.instance_version(), input, event);
END $$;
SELECT durable.register_orchestrator('counts', 'counts_v1(jsonb)', '1.0') \g /dev/null
SELECT durable.register_orchestrator('counts', 'counts_v2(jsonb)', '2.0') \g /dev/null
SELECT start_version('counts', '1.0', 'moves', '{"to": "2.0"}');
SELECT start_version('counts', '1.0', 'goes astray', '{"to": "9.0"}');
:run
SELECT is(status('moves'), 'running', 'scenario 92: the next generation runs on in the new version');
SELECT is((SELECT generation || ' ' || version FROM durable.instances WHERE instance_id = 'moves'), '2 2.0', 'scenario 92: as the view says');
SELECT go('moves');
:run
SELECT is(outcome('moves'), 'completed ["v2", "2.0", {"to": "2.0"}, null]', 'scenario 92: with the code of the new version, in later turns too');
SELECT is(outcome('goes astray'), 'failed 42883 orchestrator "counts" has no version "9.0"', 'scenario 92: a version that is not there fails it');
SELECT is((SELECT generation || ' ' || version FROM durable.instances WHERE instance_id = 'goes astray'), '2 9.0', 'in the generation that was to have it');
CREATE FUNCTION unregistered(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
BEGIN
	IF durable.instance_version() = '1' THEN
		PERFORM durable.continue_as_new(version => '2');
	END IF;
	RETURN to_jsonb(durable.instance_version());
END $$;
SELECT start_version('unregistered', '1');
:run
SELECT is(outcome('unregistered 1'), 'completed "2"', 'scenario 92: not registered: the same function in the new version');
-- The same version by its registration, whatever is registered by then.
CREATE FUNCTION parent_v1(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$ BEGIN RETURN durable.call_suborchestrator('counts', '{"to": "2.0"}', 'child that moves', '1.0'); END $$;
SELECT start('parent_v1');
:run
SELECT go('child that moves');
:run
SELECT is(outcome('parent_v1'), 'completed ["v2", "2.0", {"to": "2.0"}, null]', 'scenario 92: a child that moves answers its parent');

-- ---------------------------------------------------------------------------
-- Default version

CREATE FUNCTION parent(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
BEGIN
	RETURN jsonb_build_array(durable.instance_version(), durable.call_suborchestrator('tells_version'), durable.call_suborchestrator('tells_version', version => '8.0'),
		durable.call_suborchestrator('tells_version', version => ''), durable.start_detached('tells_version', instance_id => 'detached'));
END $$;
SELECT start_version('parent', '7.0');
:run
SELECT is(outcome('parent 7.0'), 'completed ["7.0", null, "8.0", "", "detached"]', 'scenario 142: without a default version a child has none, whatever its parent has');
SELECT versioning(default_version => '3.0');
SELECT start_version('parent', '7.0', 'parent again');
SELECT start('parent', id => 'default');
:run
SELECT is(outcome('parent again'), 'completed ["7.0", "3.0", "8.0", "", "detached"]', 'scenario 142: a child has the default version, an explicit one is stronger');
SELECT is(outcome('default'), 'completed ["3.0", "3.0", "8.0", "", "detached"]', 'scenario 142: a new instance has it too');
SELECT is(outcome('detached'), 'completed "3.0"', 'and a detached one');
SELECT is((SELECT string_agg(coalesce(version, 'NULL'), ',' ORDER BY seq) FROM durable.history WHERE instance_id = 'parent again' AND event_type = 'SubOrchestrationInstanceCreated'),
	'3.0,8.0,,3.0', 'scenario 142: the history says so');
SELECT versioning();
SELECT start('tells_version', id => 'none again');
:run
SELECT is((SELECT versioning FROM durable.queues WHERE task_hub = 'app'), NULL, 'no versioning');
SELECT is(outcome('none again'), 'completed', 'what is not given to set_hub_versioning is reset');

-- ---------------------------------------------------------------------------
-- Versions compared: which instances of these versions does a hub of another run?

CREATE TABLE pairs (n int GENERATED ALWAYS AS IDENTITY, instance text, hub text, strict boolean, older boolean, what text);
INSERT INTO pairs (instance, hub, strict, older, what) VALUES
	('1.0', '1.0', true, true, 'the same'),
	('1.0', '2.0', false, true, 'older'),
	('2.0', '1.0', false, false, 'newer'),
	('1.10', '1.9', false, false, 'numbers, not text'),
	('1.9', '1.10', false, true, 'numbers, not text'),
	('1.0', '1.00', true, true, 'zeros in front do not count'),
	('1.0', '1.0.0', false, true, 'a missing part is older than 0'),
	('1.0.0', '1.0', false, false, 'and the other way round'),
	('1.2.3.4', '1.2.3.5', false, true, 'four parts'),
	('1.2.3.4.5', '1.2.3.4.50', false, true, 'five are text'),
	('10', '9', false, true, 'one is text'),
	('v2', 'V2', true, true, 'text without case'),
	('beta', 'Alpha', false, false, 'text in order'),
	('1.2147483647', '1.2147483648', false, true, 'more than an int holds is text'),
	('1.-2', '1.1', false, true, 'so is a sign'),
	('', '1.0', false, true, 'none is older than any'),
	(NULL, '1.0', false, true, 'none at all, too'),
	('1.0', NULL, false, false, 'any is newer than none'),
	(NULL, '', true, true, 'none and empty are the same'),
	('  ', NULL, true, true, 'blanks are none');
DO $$
DECLARE
	p record;
BEGIN
	FOR p IN SELECT * FROM pairs, unnest(ARRAY['strict', 'current_or_older']) match LOOP
		PERFORM durable.create_hub(p.match || p.n);
		PERFORM durable.set_hub_versioning(p.match || p.n, p.hub, p.match, 'fail');
		PERFORM durable.start_instance('tells_version', instance_id => 'compared', version => p.instance, task_hub => p.match || p.n);
	END LOOP;
END $$;
SELECT count(durable.run_until_idle(task_hub => match || n)) FROM pairs, unnest(ARRAY['strict', 'current_or_older']) match \g /dev/null
SELECT is((SELECT status || coalesce(' ' || (failure ->> 'errorMessage'), '') FROM durable.instances WHERE task_hub = 'strict' || n),
	CASE WHEN strict THEN 'completed' ELSE format('failed The orchestration version ''%s'' does not match the worker version ''%s''.', instance, hub) END,
	format('scenario 140: strict: %L in a hub of %L: %s', instance, hub, what)) FROM pairs ORDER BY n;
SELECT is((SELECT status || coalesce(' ' || (failure ->> 'errorMessage'), '') FROM durable.instances WHERE task_hub = 'current_or_older' || n),
	CASE WHEN older THEN 'completed' ELSE format('failed The orchestration version ''%s'' is greater than the worker version ''%s''.', instance, hub) END,
	format('scenario 140: current_or_older: %L in a hub of %L: %s', instance, hub, what)) FROM pairs ORDER BY n;

-- ---------------------------------------------------------------------------
-- Fail

SELECT versioning('1.0', 'strict', 'fail');
CREATE FUNCTION tries_child(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
BEGIN
	RETURN durable.call_suborchestrator('tells_version', version => '2.0');
EXCEPTION WHEN SQLSTATE 'UD009' THEN
	RETURN to_jsonb(SQLERRM);
END $$;
CREATE FUNCTION moves_on(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
BEGIN
	IF input IS NULL THEN
		PERFORM durable.continue_as_new('1', version => '2.0');
	END IF;
	RETURN to_jsonb(durable.instance_version());
END $$;
SELECT start_version('tells_version', '2.0', 'fails');
SELECT start_version('tries_child', '1.0', 'tries child');
SELECT start_version('moves_on', '1.0', 'moves on');
SELECT start_version('waits', '1.0', 'caught up with');
:run
SELECT is((SELECT failure - 'errorMessage' - 'hint' FROM durable.instances WHERE instance_id = 'fails'),
	'{"errorType": "VersionMismatch", "sqlstate": "UD009", "isNonRetriable": true}', 'scenario 140: strict: the failure of another version');
SELECT is(story('fails'), '[OS ExecutionStarted ExecutionCompleted(1) OC]', 'scenario 140: it fails in its first turn');
SELECT is(outcome('tries child'), 'completed "The orchestration version ''2.0'' does not match the worker version ''1.0''."', 'the parent of a child that fails hears of it');
SELECT is(outcome('moves on'), 'failed UD009 The orchestration version ''2.0'' does not match the worker version ''1.0''.', 'each generation is looked at');
SELECT is((SELECT generation FROM durable.instances WHERE instance_id = 'moves on'), 2::bigint, 'before it runs');
SELECT versioning('2.0', 'strict', 'fail');
:run
SELECT is(status('caught up with'), 'running', 'what waits is not failed before its next turn');
SELECT go('caught up with');
:run
SELECT is(outcome('caught up with'), 'failed UD009 The orchestration version ''1.0'' does not match the worker version ''2.0''.', 'but then');

-- ---------------------------------------------------------------------------
-- Reject

SELECT versioning('1.0', 'strict');
SELECT start_version('tells_version', '2.0', 'pending');
SELECT start_version('waits', '1.0', 'running');
SELECT start_version('moves_on', '1.0', 'moving');
SELECT durable.start_instance('waits', instance_id => 'scheduled', version => '2.0', start_at => now() + interval '1 day') \g /dev/null
SELECT durable.start_instance('waits', instance_id => 'suspended', version => '1.0') \g /dev/null
CREATE FUNCTION sleeps(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
BEGIN
	PERFORM durable.sleep('2 h');
	RETURN to_jsonb(durable.orchestration_time());
END $$;
SELECT start_version('sleeps', '1.0', 'sleeps');
SELECT durable.suspend('suspended') \g /dev/null
:run
SELECT is(status('pending'), 'pending', 'scenario 141: of another version: stays pending');
SELECT is((SELECT turn FROM durable.history WHERE instance_id = 'pending'), NULL, 'scenario 141: without a history');
SELECT is((SELECT waiting_for FROM durable.instances WHERE instance_id = 'pending'), '{"version": {"hub": "1.0", "match": "strict"}}', 'scenario 141: the view says what it waits for');
SELECT is((SELECT visible_at FROM durable.messages WHERE instance_id = 'pending'), 'infinity', 'scenario 141: its start is put off');
SELECT is((SELECT status || ' ' || generation || ' ' || version FROM durable.instances WHERE instance_id = 'moving'), 'running 2 2.0', 'scenario 141: one that continued as another version waits, too');
SELECT is((SELECT rejected || ' ' || versioning FROM durable.queues WHERE task_hub = 'app'), '2 {"version": "1.0", "match_strategy": "strict", "failure_strategy": "reject"}',
	'the view of the hub says how many, and why');
SELECT is((SELECT ready_turns || ' ' || coalesce((next_due > now() + interval '1 h')::text, 'none') FROM durable.queues WHERE task_hub = 'app'), '0 true', 'nothing is ready, nor due soon');
-- Another version comes, and with it what is running is of a wrong one.
SELECT versioning('3.0', 'strict');
SELECT durable.raise_event('running', 'go', '1') \g /dev/null
SELECT durable.raise_event('running', 'go', '2') \g /dev/null
SELECT durable.resume('suspended') \g /dev/null
:run
SELECT durable.raise_event('running', 'go', '3') \g /dev/null
:run
SELECT is(durable.run_until_idle(), 0::bigint, 'scenario 141: once it was looked at there is nothing to do');
SELECT is((SELECT string_agg(payload::text, ',' ORDER BY message_id) FROM durable.messages WHERE instance_id = 'running'), '1,2,3', 'scenario 141: nothing is consumed');
SELECT is(story('running'), '[OS ExecutionStarted OC]', 'scenario 141: or recorded');
SELECT is(status('running') || ' ' || status('suspended') || ' ' || status('pending'), 'running suspended pending', 'scenario 141: the status stays');
SELECT is((SELECT string_agg(instance_id || ' ' || (visible_at - now() > interval '1 h' AND isfinite(visible_at)), ', ' ORDER BY instance_id) FROM durable.messages
	WHERE instance_id IN ('scheduled', 'sleeps')), 'scheduled true, sleeps true', 'a timer and a start that are not due stay as they are');
-- Back again: all at once, in its order, and nothing before its time.
SELECT versioning('1.0', 'strict');
SELECT is((SELECT string_agg(instance_id || ' ' || (visible_at - now() > interval '1 h' AND isfinite(visible_at)), ', ' ORDER BY instance_id) FROM durable.messages
	WHERE instance_id IN ('scheduled', 'sleeps')), 'scheduled true, sleeps true', 'nor is it made early by a new versioning');
:run
SELECT is(outcome('running'), 'completed ["1.0", 1, 2, 3]', 'scenario 141: it goes on when the hub runs its version, in the order of what came');
SELECT is(story('running'), '[OS ExecutionStarted OC] [OS EventRaised EventRaised EventRaised ExecutionCompleted(0) OC]', 'scenario 141: with one turn');
SELECT is(status('suspended') || ' ' || status('pending'), 'running pending', 'scenario 141: each by its version');
-- A timer that fires, and a start that comes, while its instance is rejected.
SELECT versioning('3.0', 'strict');
CREATE TEMP TABLE began AS SELECT clock_timestamp() AS at;
SELECT is(durable.run_until_idle(timeout => '20 s', advance_time => true), 0::bigint, 'skipping time does nothing for them');
SELECT ok(clock_timestamp() < (SELECT at FROM began) + interval '10 s', 'and ends');
SELECT is((SELECT string_agg(DISTINCT visible_at::text, ',') FROM durable.messages WHERE task_hub = 'app'), 'infinity', 'all of it is put off');
SELECT is((SELECT waiting_for -> 'version' FROM durable.instances WHERE instance_id = 'sleeps'), '{"hub": "3.0", "match": "strict"}', 'a timer that fired, too');
SELECT is((SELECT isfinite((waiting_for #>> '{timers,0,due}')::timestamptz) FROM durable.instances WHERE instance_id = 'sleeps'), true, 'its due time is still shown');
SELECT is((SELECT coalesce(next_due::text, 'none') || ' ' || ready_turns FROM durable.queues WHERE task_hub = 'app'), 'none 0', 'nothing is due');
SELECT versioning('2.0', 'current_or_older');
:run
SELECT is(status('sleeps'), 'completed', 'the timer is delivered');
SELECT ok((SELECT (output #>> '{}')::timestamptz - created_at >= interval '2 h' FROM durable.instances WHERE instance_id = 'sleeps'), 'late, not early');
SELECT is(status('scheduled'), 'running', 'the delayed start begins');
SELECT is(outcome('pending'), 'completed "2.0"', 'scenario 141: a pending one starts');
SELECT is(outcome('moving'), 'completed "2.0"', 'scenario 141: and the next generation');

-- What is rejected can be terminated, replaced, failed.
SELECT versioning('1.0', 'strict');
SELECT start_version('tells_version', '4.0', 'end pending');
CREATE FUNCTION has_child(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$ BEGIN RETURN durable.call_suborchestrator('waits', instance_id => 'child of ' || durable.instance_id(), version => durable.instance_version()); END $$;
SELECT start_version('has_child', '1.0', 'end running');
SELECT start_version('has_child', '1.0', 'end child');
SELECT start_version('has_child', '1.0', 'end twice');
SELECT start_version('tells_version', '4.0', 'replaced');
SELECT start_version('tells_version', '4.0', 'failed');
:run
SELECT versioning('5.0', 'strict');
SELECT durable.raise_event('end running', 'go') \g /dev/null
SELECT durable.raise_event('child of end child', 'go') \g /dev/null
:run
SELECT durable.terminate('end pending', 'enough') \g /dev/null
SELECT is(outcome('end pending'), 'terminated "enough"', 'a pending one is terminated at once');
SELECT durable.terminate('end running', 'enough too') \g /dev/null
:run
SELECT is(outcome('end running') || ', ' || outcome('child of end running'), 'terminated "enough too", terminated "enough too"', 'a running one at its next turn, and its child');
SELECT is(story('end running'),
	'[OS ExecutionStarted SubOrchestrationInstanceCreated(0) OC] [OS EventRaised ExecutionTerminated ExecutionCompleted(4) OC]', 'without running its code');
SELECT is((SELECT count(*) FROM durable.messages WHERE instance_id = 'child of end running'), 0::bigint, 'nothing of the child is left');
SELECT durable.terminate('end twice', 'alone', recursive => false) \g /dev/null
SELECT durable.terminate('end twice', 'all of it') \g /dev/null
:run
SELECT is(outcome('end twice') || ', ' || outcome('child of end twice'), 'terminated "alone", terminated "all of it"', 'a second termination, recursive, reaches the child');
SELECT durable.terminate('child of end child', 'the child') \g /dev/null
:run
SELECT is(outcome('child of end child') || ', ' || status('end child'), 'terminated "the child", running', 'the answer of a child that is terminated waits with its parent');
SELECT durable.start_instance('tells_version', instance_id => 'replaced', version => '5.0', replace_statuses => '{pending,terminated}') \g /dev/null
:run
SELECT is(outcome('replaced'), 'completed "5.0"', 'a rejected one can be replaced');
SELECT is(durable.purge('failed'), 0::bigint, 'but not purged: it has not finished');
SELECT versioning('1.0', 'strict', 'fail');
:run
SELECT is(outcome('failed'), 'failed UD009 The orchestration version ''4.0'' does not match the worker version ''1.0''.', 'with another strategy it fails');
SELECT is(outcome('end child'), 'failed UD011 the child', 'the parent goes on');

-- A termination is stronger than a failure for the version.
SELECT versioning();
SELECT start_version('waits', '1.0', 'both');
:run
SELECT versioning('2.0', 'strict', 'fail');
SELECT durable.terminate('both', 'first') \g /dev/null
:run
SELECT is(outcome('both'), 'terminated "first"', 'a termination goes before a failure for the version');

-- Rewound and restarted as any other.
SELECT versioning('1.0', 'strict', 'fail');
SELECT start_version('tells_version', '2.0', 'rewound');
:run
SELECT is(status('rewound'), 'failed', 'failed for its version');
SELECT versioning('1.0', 'strict');
SELECT durable.rewind('rewound') \g /dev/null
:run
SELECT is(status('rewound') || ' ' || (SELECT string_agg(visible_at::text, ',') FROM durable.messages WHERE instance_id = 'rewound'), 'running infinity', 'rewound, it is rejected');
SELECT versioning('2.0', 'strict');
:run
SELECT is(outcome('rewound'), 'completed "2.0"', 'until the hub runs it');
SELECT durable.restart('rewound', 'restarted') \g /dev/null
:run
SELECT is(outcome('restarted'), 'completed "2.0"', 'restarted in its version');
SELECT durable.register_orchestrator('again', 'tells_version(jsonb)', '2.0') \g /dev/null
SELECT start_version('again', '2.0');
:run
SELECT durable.unregister_orchestrator('again', '2.0') \g /dev/null
SELECT durable.register_orchestrator('again', 'counts_v1(jsonb)', '1.0') \g /dev/null
SELECT throws_ok($$ SELECT durable.restart('again 2.0', 'r1') $$, '42883', 'orchestrator "again" has no version "2.0"', 'a restart is a start: its version has to be there');
SELECT durable.unregister_orchestrator('again', '1.0') \g /dev/null
SELECT durable.restart('again 2.0', 'r2') \g /dev/null
:run
SELECT is(outcome('r2'), 'completed "2.0"', 'not registered at all: its function is');
SELECT durable.register_orchestrator('again', 'parent_v1(jsonb)', '2.0') \g /dev/null
SELECT durable.restart('again 2.0', 'r3') \g /dev/null
SELECT versioning();
:run
SELECT is(status('r3'), 'running', 'registered with another function: it runs that');

-- A rollback changes nothing.
SELECT versioning('1.0', 'strict');
SELECT start_version('tells_version', '2.0', 'hopes');
:run
BEGIN;
SELECT versioning();
ROLLBACK;
:run
SELECT is(status('hopes'), 'pending', 'a versioning that rolls back was none');
BEGIN;
SELECT versioning();
:run
SELECT is(status('hopes'), 'completed', 'in its own transaction it holds at once');
COMMIT;

-- ---------------------------------------------------------------------------
-- Errors of set_hub_versioning()

SELECT throws_ok(format('SELECT durable.set_hub_versioning(%s)', arguments), code, message, 'refused: ' || arguments) FROM (VALUES
	('''app'', match_strategy => ''exact''', '22023', 'match_strategy must not be ''exact'''),
	('''app'', failure_strategy => ''wait''', '22023', 'failure_strategy must not be ''wait'''),
	('''app'', match_strategy => NULL', '22004', 'match_strategy must not be null'),
	('''app'', failure_strategy => NULL', '22004', 'failure_strategy must not be null'),
	('NULL', '22004', 'name must not be null'),
	('''no such hub''', '42704', 'task hub "no such hub" does not exist')) e(arguments, code, message);
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT throws_ok($$ SELECT durable.set_hub_versioning('app') $$, '55000', NULL, 'only where it can see all that was rejected');
ROLLBACK;

SELECT * FROM finish();
