-- Registered orchestrators and activities: names, versions, defaults.
\ir include/setup.psql
SELECT plan(77);

CREATE FUNCTION one(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN '"one"'; END $$;
CREATE FUNCTION two(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN '"two"'; END $$;
CREATE FUNCTION old_price() RETURNS text LANGUAGE sql AS $$ SELECT 'old' $$;
CREATE FUNCTION new_price() RETURNS text LANGUAGE sql AS $$ SELECT 'new' $$;

-- Starts an instance in a version, or says why not.
CREATE FUNCTION try_start(orchestrator text, version text, id text) RETURNS text LANGUAGE plpgsql AS
$$
DECLARE
	detail text;
BEGIN
	RETURN 'started ' || durable.start_instance(orchestrator, instance_id => id, version => version);
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
	RETURN concat_ws(' | ', SQLSTATE, SQLERRM, nullif(detail, ''));
END $$;

-- ---------------------------------------------------------------------------
-- Registering

SELECT durable.register_orchestrator('first', 'one(jsonb)') \g /dev/null
SELECT durable.register_orchestrator('second', 'one(jsonb)', '1.0') \g /dev/null
SELECT durable.register_orchestrator('second', 'two(jsonb)', '2.0') \g /dev/null
SELECT durable.register_activity('price', 'old_price()', '1.0') \g /dev/null
SELECT durable.register_activity('price', 'new_price()', '2.0', durable.retry_policy(5, '1.5 s', 2, '1 min', '1 h', '{23,UD001}', '{40001}'), '20 s', 3, true) \g /dev/null
SELECT is((SELECT string_agg(concat_ws(' | ', name, version, function), ', ' ORDER BY name, version) FROM durable.orchestrators WHERE task_hub = 'app'),
	'first |  | app.one(pg_catalog.jsonb), second | 1.0 | app.one(pg_catalog.jsonb), second | 2.0 | app.two(pg_catalog.jsonb)', 'the view shows what is registered');
SELECT is((SELECT jsonb_agg(to_jsonb(a) - 'registered_at' ORDER BY version) FROM durable.registered_activities a),
	jsonb_build_array(
		'{"task_hub": "app", "name": "price", "version": "1.0", "function": "app.old_price()", "retry": null, "timeout": null, "max_concurrency": null, "external": false}'::jsonb,
		'{"task_hub": "app", "name": "price", "version": "2.0", "function": "app.new_price()", "timeout": "00:00:20", "max_concurrency": 3, "external": true}'::jsonb
		|| '{"retry": {"max_attempts": 5, "first_interval": 1.5, "backoff": 2, "max_interval": 60, "timeout": 3600, "retry_on": ["23", "UD001"], "never_retry_on": ["40001"]}}'),
	'and activities with their defaults');

SELECT lives_ok($$ SELECT durable.register_orchestrator('second', 'two(jsonb)', '2.0') $$, 'the same again is fine');
SELECT throws_ok($$ SELECT durable.register_orchestrator('second', 'one(jsonb)', '2.0') $$, '42710',
	'orchestrator "second" version "2.0" is already registered with another function', 'another function is not');
SELECT throws_ok($$ SELECT durable.register_orchestrator('first', 'two(jsonb)') $$, '42710',
	'orchestrator "first" is already registered with another function', 'nor for one without a version');
SELECT durable.register_activity('price', 'new_price()', '2.0', max_concurrency => 4) \g /dev/null
SELECT is((SELECT (retry, timeout, max_concurrency, external)::text FROM durable.registered_activities WHERE name = 'price' AND version = '2.0'), '(,,4,f)',
	'an activity registered again has the new defaults, all of them');
SELECT throws_ok($$ SELECT durable.register_activity('price', 'old_price()', '2.0') $$, '42710',
	'activity "price" version "2.0" is already registered with another function', 'another function is not fine');
SELECT throws_ok($$ SELECT durable.register_activity('price', version => '2.0') $$, '42710', NULL, 'nor is none');
SELECT durable.unregister_orchestrator('second', '2.0') \g /dev/null
SELECT lives_ok($$ SELECT durable.register_orchestrator('second', 'two(jsonb)', '2.0') $$, 'after it was unregistered it can be registered');
SELECT throws_ok($$ SELECT durable.unregister_orchestrator('second', '3.0') $$, '42704', 'orchestrator "second" version "3.0" is not registered in task hub "app"',
	'what is not registered is not unregistered');
SELECT throws_ok($$ SELECT durable.unregister_activity('price') $$, '42704', 'activity "price" is not registered in task hub "app"', 'nor an activity');
SELECT throws_ok(format('SELECT durable.' || call), code, message, 'refused: ' || call) FROM (VALUES
	('register_orchestrator(NULL, ''one(jsonb)'')', '22004', 'name must not be null'),
	('register_orchestrator('''', ''one(jsonb)'')', '22023', 'name must not be empty'),
	('register_orchestrator(''x'', NULL)', '22004', 'function must not be null'),
	('register_orchestrator(repeat(''x'', 256), ''one(jsonb)'')', '42622', 'name is too long'),
	('register_orchestrator(''x'', ''one(jsonb)'', repeat(''x'', 256))', '42622', 'version is too long'),
	('register_orchestrator(''x'', ''old_price()'')', '42P13', 'function old_price() cannot be an orchestrator'),
	('register_orchestrator(''x'', ''one(jsonb)'', task_hub => ''no such hub'')', '42704', 'task hub "no such hub" does not exist'),
	('register_activity('''')', '22023', 'name must not be empty'),
	('register_activity(NULL)', '22004', 'name must not be null'),
	('register_activity(''x'', ''generate_series(int, int)'')', '42P13', 'function "generate_series(integer,integer)" cannot be an activity'),
	('register_activity(''durable.sql'')', '42939', 'activity name "durable.sql" is reserved for statements'),
	('register_activity(''x'', timeout => ''0'')', '22023', 'timeout must be between 1 millisecond and 24 days'),
	('register_activity(''x'', timeout => ''-1 s'')', '22023', 'timeout must be between 1 millisecond and 24 days'),
	('register_activity(''x'', timeout => ''1 year'')', '22023', 'timeout must be between 1 millisecond and 24 days'),
	('register_activity(''x'', max_concurrency => 0)', '22023', 'max_concurrency must be at least 1'),
	('register_activity(''x'', external => NULL)', '22004', 'external must not be null'),
	('register_activity(''x'', retry => ROW(0, ''1 s'', 1, NULL, NULL, NULL, NULL)::durable.retry_policy)', '22023', 'invalid retry policy: max_attempts must be at least 1')
) c(call, code, message);

-- Names and versions are two things, and compare exactly.
SELECT durable.register_orchestrator('a_b', 'one(jsonb)', 'c') \g /dev/null
SELECT lives_ok($$ SELECT durable.register_orchestrator('a', 'two(jsonb)', 'b_c') $$, 'name and version do not run into each other');
SELECT durable.register_orchestrator('Exact', 'one(jsonb)', 'v1') \g /dev/null
SELECT durable.register_orchestrator('Exact', 'two(jsonb)', 'V1') \g /dev/null

-- Whose hub it is.
RESET SESSION AUTHORIZATION;
DO $$
BEGIN
	CREATE ROLE other LOGIN;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
	NULL;
END $$;
SELECT durable.grant_usage('other') \g /dev/null
SET SESSION AUTHORIZATION other;
SELECT throws_ok($$ SELECT durable.register_activity('price', task_hub => 'app') $$, '42501', NULL, 'others do not register here');
SELECT throws_ok($$ SELECT durable.unregister_activity('price', '1.0', task_hub => 'app') $$, '42501', NULL, 'nor take back');
SELECT is((SELECT count(*) FROM durable.orchestrators) + (SELECT count(*) FROM durable.registered_activities), 0::bigint, 'nor see what is registered');
SET SESSION AUTHORIZATION app;

-- ---------------------------------------------------------------------------
-- Orchestrators by version

SELECT is(try_start('second', '1.0', 's1'), 'started s1', 'scenario 143: a version that is registered');
SELECT is(try_start('second', '2.0', 's2'), 'started s2', 'scenario 143: another one');
SELECT is(try_start('second', '3.0', 's3'), '42883 | orchestrator "second" has no version "3.0" | Registered are the versions "1.0", "2.0".', 'one that is not');
SELECT is(try_start('second', NULL, 's4'), '42883 | orchestrator "second" has no version that serves calls without one | Registered are the versions "1.0", "2.0".',
	'none, where all are versioned');
SELECT is(try_start('first', NULL, 'f1'), 'started f1', 'none, registered without');
SELECT is(try_start('first', '7', 'f2'), 'started f2', 'what is registered without a version serves any');
SELECT is(try_start('FIRST', NULL, 'f3'), '42883 | orchestrator "FIRST" does not exist | No such function is in the search_path: "$user", public.', 'names are exact');
SELECT is(try_start('Exact', 'V1', 'e1'), 'started e1', 'so are versions');
SELECT is(try_start('Exact', 'v1.0', 'e2'), '42883 | orchestrator "Exact" has no version "v1.0" | Registered are the versions "V1", "v1".', 'by letter, not by number');
SELECT is(try_start('a', 'b_c', 'k1'), 'started k1', 'a name and a version');
SELECT is(try_start('a_b', 'c', 'k2'), 'started k2', 'that look alike');
SELECT is(try_start('two', '9.9', 'u1'), 'started u1', 'not registered: the function of that name in any version');
SELECT durable.register_orchestrator('second', 'one(jsonb)') \g /dev/null
SELECT is(try_start('second', '3.0', 's5'), '42883 | orchestrator "second" has no version "3.0" | Registered are the versions "", "1.0", "2.0".',
	'one without a version serves no others beside versioned ones');
SELECT is(try_start('second', '', 's6'), 'started s6', 'but those without: empty is none');
SELECT durable.create_hub('elsewhere') \g /dev/null
SELECT throws_ok($$ SELECT durable.start_instance('first', task_hub => 'elsewhere') $$, '42883', NULL, 'a registration is for one hub');
:run
SELECT is((SELECT string_agg(instance_id || coalesce(' ' || version, ' NULL') || ' ' || (output #>> '{}'), ', ' ORDER BY instance_id) FROM durable.instances),
	'e1 V1 two, f1 NULL one, f2 7 one, k1 b_c two, k2 c one, s1 1.0 one, s2 2.0 two, s6  one, u1 9.9 two',
	'scenario 143: each ran the function of its version; the version is as given');

-- A function that is gone.
CREATE FUNCTION gone(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
SELECT durable.register_orchestrator('leaves', 'gone(jsonb)') \g /dev/null
DROP FUNCTION gone;
SELECT is(try_start('leaves', NULL, 'l1'), '42883 | function app.gone(pg_catalog.jsonb), registered for orchestrator "leaves", does not exist any more', 'a registered function that was dropped');

-- ---------------------------------------------------------------------------
-- Activities by version

CREATE FUNCTION asks(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
BEGIN
	IF input ? 'version' THEN
		RETURN durable.call_activity('price', version => input ->> 'version');
	END IF;
	RETURN durable.call_activity('price');
END $$;
SELECT durable.start_instance('asks', '{}', 'inherits', '1.0') \g /dev/null
SELECT durable.start_instance('asks', '{"version": "2.0"}', 'overrides', '1.0') \g /dev/null
SELECT durable.start_instance('asks', '{"version": "2.0"}', 'asks alone') \g /dev/null
SELECT durable.start_instance('asks', '{"version": ""}', 'wants none', '1.0') \g /dev/null
SELECT durable.start_instance('asks', '{}', 'no such', '3.0') \g /dev/null
:run
SELECT is(outcome('inherits'), 'completed "old"', 'scenario 143: an activity has the version of its instance');
SELECT is(outcome('overrides'), 'completed "new"', 'scenario 143: unless it is called in another');
SELECT is(outcome('asks alone'), 'completed "new"', 'also from an instance without');
SELECT is((SELECT string_agg(instance_id || ' ' || version, ', ' ORDER BY instance_id) FROM durable.history WHERE event_type = 'TaskScheduled' AND instance_id IN ('inherits', 'overrides')),
	'inherits 1.0, overrides 2.0', 'the history says which');
SELECT is(outcome('wants none'), 'failed 42883 activity "price" has no version that serves calls without one', 'an empty version does not inherit');
SELECT is(outcome('no such'), 'failed 42883 activity "price" has no version "3.0"', 'a version that is not there fails the activity');
SELECT is(failure('no such', 'detail') || ' ' || failure('no such', 'isNonRetriable'), 'Registered are the versions "1.0", "2.0". true', 'not retriably, and says which are');

-- Without a function only the defaults are registered.
CREATE FUNCTION plain(n int) RETURNS int LANGUAGE sql AS 'SELECT n + 1';
SELECT durable.register_activity('plain', timeout => '1 min') \g /dev/null
SELECT durable.start_instance('call', '{"name": "plain", "input": {"n": 1}}', 'plain', '5') \g /dev/null
:run
SELECT is(outcome('plain'), 'completed 2', 'registered without a function: found by name, for any version');
SELECT durable.register_activity('rounds', 'pg_catalog.round(numeric)') \g /dev/null
SELECT durable.start_instance('call', '{"name": "rounds", "input": 1.6}', 'rounds') \g /dev/null
:run
SELECT is(outcome('rounds'), 'completed 2', 'a function under another name, one of several of its own name');

-- ---------------------------------------------------------------------------
-- Retry

CREATE SEQUENCE tries;
CREATE FUNCTION flaky(succeeds_at int) RETURNS bigint LANGUAGE plpgsql AS
$$
DECLARE
	n bigint := nextval('tries');
BEGIN
	IF n < succeeds_at THEN
		RAISE EXCEPTION 'try % fails', n;
	END IF;
	RETURN n;
END $$;
CREATE FUNCTION relies(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN durable.call_activity('flaky', input); END $$;
CREATE FUNCTION insists(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$ BEGIN RETURN durable.call_activity('flaky', input, retry => durable.retry_policy(2)); END $$;

SELECT durable.register_activity('flaky', retry => durable.retry_policy(4, '10 s', 2)) \g /dev/null
SELECT start('relies', '{"succeeds_at": 4}');
:run_all
SELECT is(outcome('relies'), 'completed 4', 'the registered policy is the default');
SELECT is(events('relies', 'TimerCreated'), 3::bigint, 'with its timers');
SELECT ok((SELECT max(fire_at) - min(fire_at) BETWEEN interval '60 s' AND interval '61 s' FROM durable.history WHERE instance_id = 'relies' AND event_type = 'TimerCreated'),
	'and its back-off: 10, 20, 40 seconds');
ALTER SEQUENCE tries RESTART;
SELECT start('insists', '{"succeeds_at": 9}');
:run_all
SELECT is(outcome('insists'), 'failed P0001 try 2 fails', 'a policy of the call goes before it');

-- What is running keeps what applied when the call was first made.
ALTER SEQUENCE tries RESTART;
SELECT start('relies', '{"succeeds_at": 3}', 'keeps');
:run
SELECT durable.unregister_activity('flaky') \g /dev/null
:run_all
SELECT is(outcome('keeps'), 'completed 3', 'unregistered in between: the policy it was called with still holds');
ALTER SEQUENCE tries RESTART;
SELECT start('relies', '{"succeeds_at": 3}', 'without');
CREATE FUNCTION calls_and_waits(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
DECLARE
	task durable.task := durable.schedule_activity('flaky', input);
BEGIN
	PERFORM durable.wait_for_event('go');
	RETURN durable.await(task);
END $$;
:run_all
SELECT is(outcome('without'), 'failed P0001 try 1 fails', 'without a registration there is no retry');
ALTER SEQUENCE tries RESTART;
SELECT start('calls_and_waits', '{"succeeds_at": 3}', 'later');
:run
SELECT durable.register_activity('flaky', retry => durable.retry_policy(9)) \g /dev/null
SELECT go('later');
:run_all
SELECT is(outcome('later'), 'failed P0001 try 1 fails', 'registered after the call was made: no retry, at no replay');
SELECT is(events('later', 'TimerCreated'), 0::bigint, 'no timer either');

-- Policies of versions.
SELECT durable.register_activity('flaky', 'flaky(int)', '2', retry => durable.retry_policy(2)) \g /dev/null
ALTER SEQUENCE tries RESTART;
SELECT durable.start_instance('relies', '{"succeeds_at": 9}', 'second version', '2') \g /dev/null
:run_all
SELECT is(outcome('second version'), 'failed P0001 try 2 fails', 'the policy is that of the version');
-- A fan-out asks once for all.
ALTER SEQUENCE tries RESTART;
CREATE FUNCTION many(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
DECLARE
	tasks durable.task[];
BEGIN
	FOR i IN 1..20 LOOP
		tasks := tasks || durable.schedule_activity('flaky', input);
	END LOOP;
	RETURN to_jsonb(cardinality(durable.await_all(tasks)));
END $$;
SELECT start('many', '{"succeeds_at": 6}');
:run_all
SELECT is(outcome('many'), 'completed 20', 'each of a fan-out has it');
-- With continue-as-new the next generation asks anew.
CREATE FUNCTION again(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
DECLARE
	result jsonb := durable.call_activity('flaky', '{"succeeds_at": 2}');
BEGIN
	IF input IS NULL THEN
		PERFORM durable.continue_as_new('1');
	END IF;
	RETURN result;
END $$;
ALTER SEQUENCE tries RESTART;
SELECT start('again');
:run_all
SELECT is(outcome('again'), 'completed 3', 'over continue-as-new');

-- ---------------------------------------------------------------------------
-- Time limit, external

CREATE FUNCTION slow() RETURNS int LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(60); RETURN 1; END $$;
SELECT durable.register_activity('slow', timeout => '20 ms') \g /dev/null
SELECT start('call', '{"name": "slow"}', 'slow');
:run
SELECT is(outcome('slow'), 'failed 57014 activity slow ran for more than 20 ms', 'the registered time limit');
SELECT is(failure('slow', 'hint') || ' ' || failure('slow', 'errorType'), 'durable.register_activity() has set the limit. ActivityTimeout', 'says whose it is');
RESET SESSION AUTHORIZATION;
SET durable.activity_timeout = '20 ms';
SET SESSION AUTHORIZATION app;
CREATE FUNCTION slower() RETURNS int LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.1); RETURN 1; END $$;
SELECT durable.register_activity('slower', timeout => '1 min') \g /dev/null
SELECT start('call', '{"name": "slower"}', 'slower');
:run
SELECT is(outcome('slower'), 'completed 1', 'it goes before durable.activity_timeout');
RESET SESSION AUTHORIZATION;
RESET durable.activity_timeout;
SET SESSION AUTHORIZATION app;
SELECT durable.register_activity('same', external => true) \g /dev/null
SELECT start('call', '{"name": "same", "input": "out"}', 'external');
:run
SELECT is(outcome('external'), 'completed "out"', 'an external activity runs');

-- In one session there is never more than one at a time.
SELECT durable.register_activity('effect', max_concurrency => 1) \g /dev/null
SELECT start('call', jsonb_build_object('name', 'effect', 'input', jsonb_build_object('what', 'limited')), 'limited ' || i) FROM generate_series(1, 5) i;
BEGIN;
:run
SELECT is(effects('limited'), 'limited limited limited limited limited', 'a limit of one lets a session do all of them, one by one');
SELECT is((SELECT string_agg(locktype || ' ' || mode, ', ') FROM pg_locks WHERE pid = pg_backend_pid() AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
	AND locktype NOT IN ('relation', 'object', 'tuple')), 'userlock ExclusiveLock', 'its place is a lock of the transaction, none that pg_advisory_lock() could take');
SELECT pg_advisory_unlock_all() \g /dev/null
SELECT is((SELECT count(*) FROM pg_locks WHERE locktype = 'userlock'), 1::bigint, 'or give back');
COMMIT;

-- Transactional as all of it.
BEGIN;
SELECT durable.register_orchestrator('never', 'one(jsonb)') \g /dev/null
ROLLBACK;
SELECT is(try_start('never', NULL, 'n'), '42883 | orchestrator "never" does not exist | No such function is in the search_path: "$user", public.', 'a registration that rolls back was none');

SELECT * FROM finish();
