-- Pinned code: an instance finishes on the code it began with.
\ir include/setup.psql
-- Orchestrators here tell who they run as.
SET durable.orchestrator_checks = off;
SELECT plan(76);

-- An orchestrator that waits twice; what it returns and asks for says which version of it ran.
CREATE FUNCTION deploy(version text, name text DEFAULT 'job', rest text DEFAULT '') RETURNS text LANGUAGE plpgsql AS
$$
BEGIN
	EXECUTE format($f$CREATE OR REPLACE FUNCTION %1$I(input jsonb) RETURNS jsonb LANGUAGE plpgsql %3$s AS
		'BEGIN
			PERFORM durable.call_activity(''effect'', to_jsonb(''%2$s''::text));
			PERFORM durable.wait_for_event(''go'');
			RETURN to_jsonb(''%2$s'' || durable.call_activity(''same'', ''"!"'')::text);
		END'$f$, name, version, rest);
	RETURN '# deployed ' || version;
END $$;

-- How many kept definitions and private copies there are.
CREATE FUNCTION kept(name text DEFAULT 'job') RETURNS text LANGUAGE sql AS
$$
	SELECT (SELECT count(*) FROM durable.code c WHERE c.function LIKE '%.' || name || '(%') || ' kept, '
		|| (SELECT count(*) FROM pg_proc p WHERE p.pronamespace = 'durable_code'::regnamespace AND p.proname LIKE name || '\_%') || ' copied'
$$;

-- ---------------------------------------------------------------------------
-- Replaced
-- ---------------------------------------------------------------------------

SELECT deploy('one');
SELECT start('job', NULL, 'replaced');
SELECT start('job', NULL, 'pending');
SELECT is(kept(), '1 kept, 0 copied', 'the definition is kept at the start, once for two instances');
SELECT is((SELECT count(*) FROM durable.instances i JOIN durable.code c ON c.fingerprint = i.code WHERE name = 'job'), 2::bigint,
	'and they refer to it');
SELECT ok((SELECT definition LIKE '%one%' AND definition LIKE 'CREATE OR REPLACE FUNCTION app.job(input jsonb)%' FROM durable.code
	WHERE function = 'app.job(pg_catalog.jsonb)'), 'it is the statement that makes the function');
SELECT durable.run_until_idle() > 0 AS did \gset
SELECT deploy('two');
SELECT start('job', NULL, 'new');
SELECT go('replaced'), go('new');
:run
SELECT is(outcome('replaced'), 'completed "one\"!\""', 'replaced under a running instance, the instance finishes on its own code');
SELECT is(outcome('new'), 'completed "two\"!\""', 'a new one uses the new code');
SELECT is(kept(), '2 kept, 1 copied', 'a copy of the old code is kept while an instance runs it');
SELECT is((SELECT concat_ws(' ', p.proowner::regrole, p.proacl) FROM pg_proc p WHERE p.pronamespace = 'durable_code'::regnamespace),
	'app {app=X/app}', 'it belongs to the hub''s owner, and nobody else may execute it');
SELECT alike((SELECT obj_description(p.oid) FROM pg_proc p WHERE p.pronamespace = 'durable_code'::regnamespace),
	'app.job(pg_catalog.jsonb) as it was when instances of task hub "app" began that still run%', 'and says what it is');
SELECT go('pending');
:run
SELECT is(outcome('pending'), 'completed "one\"!\""', 'so does the other one');
SELECT is(kept(), '1 kept, 0 copied', 'after the last of them copy and definition are dropped');

-- Nobody gets at the copies.
SELECT start('job', NULL, 'guarded');
:run
SELECT deploy('three');
SELECT go('guarded');
SELECT durable.suspend('guarded');
:run
SELECT durable.resume('guarded');
CREATE TEMP TABLE copy AS SELECT proname::text AS name FROM pg_proc WHERE pronamespace = 'durable_code'::regnamespace;
SELECT is((SELECT count(*) FROM copy), 1::bigint, 'a suspended instance keeps its copy');
SELECT throws_ok((SELECT format('SELECT durable_code.%I(NULL)', name) FROM copy), '42501', NULL, 'the hub''s owner cannot call a copy by name');
SELECT throws_ok((SELECT format('DROP FUNCTION durable_code.%I(jsonb)', name) FROM copy), '42501', NULL, 'nor drop it');
SELECT throws_ok((SELECT format('CREATE OR REPLACE FUNCTION durable_code.%I(input jsonb) RETURNS jsonb LANGUAGE sql AS ''SELECT NULL::jsonb''', name) FROM copy),
	'42501', NULL, 'nor replace it');
SELECT throws_ok('CREATE FUNCTION durable_code.x() RETURNS int LANGUAGE sql AS ''SELECT 1''', '42501', NULL, 'nor put anything beside it');
SELECT throws_ok('SELECT * FROM durable_store.code', '42501', NULL, 'nor look into the table');
RESET SESSION AUTHORIZATION;
CREATE ROLE nobody_special LOGIN;
SELECT durable.grant_usage('nobody_special');
SET SESSION AUTHORIZATION nobody_special;
SELECT is((SELECT count(*) FROM durable.code), 0::bigint, 'another role sees no code of the hub');
RESET SESSION AUTHORIZATION;
SELECT durable.revoke_usage('nobody_special');
DROP ROLE nobody_special;
-- As DROP OWNED would, but only the copy.
SELECT format('DROP FUNCTION durable_code.%I(jsonb)', proname) FROM pg_proc WHERE pronamespace = 'durable_code'::regnamespace \gexec
SET SESSION AUTHORIZATION app;
:run
SELECT is(outcome('guarded'), 'completed "two\"!\""', 'a copy that was dropped is made again');

-- ---------------------------------------------------------------------------
-- Every kind of change that pg_get_functiondef shows
-- ---------------------------------------------------------------------------

CREATE FUNCTION changed(id text, change text) RETURNS SETOF text LANGUAGE plpgsql AS
$$
DECLARE
	before	text := (SELECT code FROM durable.instances WHERE name IN ('job', 'app.job') ORDER BY created_at DESC LIMIT 1);
BEGIN
	EXECUTE change;
	PERFORM durable.start_instance('app.job', instance_id => 'after-' || id);
	RETURN NEXT ok((SELECT code <> before FROM durable.instances WHERE instance_id = 'after-' || id), 'another fingerprint after ' || change);
	PERFORM durable.raise_event(instance_id, 'go') FROM durable.instances WHERE instance_id = 'job-' || id;
	PERFORM durable.raise_event('after-' || id, 'go');
END $$;
SELECT start('job', NULL, 'job-set');
:run
SELECT changed('set', 'ALTER FUNCTION job(jsonb) SET search_path = pg_temp, app');
:run
SELECT is(outcome('job-set'), 'completed "three\"!\""', 'ALTER FUNCTION ... SET: the running one is as it was');
SELECT start('job', NULL, 'job-reset');
:run
SELECT changed('reset', 'ALTER FUNCTION job(jsonb) RESET ALL');
:run
SELECT is(outcome('job-reset'), 'completed "three\"!\""', 'ALTER FUNCTION ... RESET: the copy has the setting');
SELECT start('job', NULL, 'job-strict');
:run
SELECT changed('strict', 'ALTER FUNCTION job(jsonb) STRICT');
:run
SELECT is(outcome('job-strict'), 'completed "three\"!\""', 'ALTER FUNCTION ... STRICT: the running one is not strict');
SELECT is(outcome('after-strict'), 'completed', 'the new one is, and has no input');
SELECT changed('none', 'ALTER FUNCTION job(jsonb) CALLED ON NULL INPUT');
SELECT start('job', NULL, 'job-stable');
:run
SELECT changed('stable', 'ALTER FUNCTION job(jsonb) STABLE');
:run
SELECT changed('volatile', 'ALTER FUNCTION job(jsonb) VOLATILE SECURITY DEFINER');
:run
SELECT is(outcome('after-volatile'), 'completed "three\"!\""', 'a SECURITY DEFINER function of the hub''s own owner is pinned');
SELECT changed('invoker', 'ALTER FUNCTION job(jsonb) SECURITY INVOKER COST 7');
:run
SELECT is((SELECT count(*) FROM durable.instances WHERE status = 'failed'), 0::bigint, 'none of that let an instance fail');
SELECT is(kept(), '1 kept, 0 copied', 'and nothing of it is left');

-- Replaced by the same: nothing has changed.
SELECT start('job', NULL, 'same');
:run
ALTER FUNCTION job(jsonb) COST 100;
ALTER FUNCTION job(jsonb) COST 7;
SELECT go('same');
:run
SELECT is(outcome('same'), 'completed "three\"!\""', 'a function that was changed and changed back is itself again');

-- ---------------------------------------------------------------------------
-- Dropped, moved, other arguments
-- ---------------------------------------------------------------------------

SELECT deploy('here', 'leaves');
SELECT start('leaves', NULL, 'dropped');
SELECT start('leaves', NULL, 'renamed');
:run
ALTER FUNCTION leaves(jsonb) RENAME TO left_us;
SELECT go('renamed');
:run
SELECT is(outcome('renamed'), 'completed "here\"!\""', 'a renamed function: the instance goes on');
DROP FUNCTION left_us(jsonb);
SELECT go('dropped');
:run
SELECT is(outcome('dropped'), 'completed "here\"!\""', 'a dropped function: the instance goes on');
SELECT is(kept('leaves'), '0 kept, 0 copied', 'and then nobody needs it');

SELECT deploy('old', 'arguments');
SELECT start('arguments');
:run
DROP FUNCTION arguments(jsonb);
CREATE FUNCTION arguments() RETURNS jsonb LANGUAGE sql AS $$ SELECT '"none"'::jsonb $$;
SELECT start('arguments', NULL, 'no-arguments');
SELECT go('arguments');
:run
SELECT is(outcome('arguments'), 'completed "old\"!\""', 'changed arguments: the running instance has its own');
SELECT is(outcome('no-arguments'), 'completed "none"', 'the new one has the new ones');

SELECT deploy('old', 'returns');
SELECT start('returns');
:run
DROP FUNCTION returns(jsonb);
CREATE FUNCTION returns(data jsonb, OUT result jsonb) LANGUAGE plpgsql AS
$$ BEGIN PERFORM durable.wait_for_event('go'); result := jsonb_build_array(data); END $$;
SELECT start('returns', '1', 'returns-out');
SELECT go('returns');
:run
SELECT is(outcome('returns'), 'completed "old\"!\""', 'another result and another name of the argument');
CREATE OR REPLACE FUNCTION returns(data jsonb, OUT result jsonb) LANGUAGE plpgsql AS $$ BEGIN result := '"other"'; END $$;
SELECT go('returns-out');
:run
SELECT is(outcome('returns-out'), 'completed [1]', 'an OUT argument is pinned as well');

RESET SESSION AUTHORIZATION;
CREATE SCHEMA old_place AUTHORIZATION app;
SET SESSION AUTHORIZATION app;
CREATE FUNCTION old_place.moved(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$ BEGIN PERFORM durable.wait_for_event('go'); RETURN '"moved"'; END $$;
SELECT start('old_place.moved', NULL, 'moved');
SELECT start('old_place.moved', NULL, 'moved-pending');
:run
RESET SESSION AUTHORIZATION;
ALTER SCHEMA old_place RENAME TO new_place;
SET SESSION AUTHORIZATION app;
SELECT go('moved');
:run
SELECT is(outcome('moved'), 'completed "moved"', 'a renamed schema: the instance goes on');
SELECT start('new_place.moved', NULL, 'moved-new');
SELECT go('moved-new'), go('moved-pending');
:run
SELECT is(outcome('moved-new') || ', ' || outcome('moved-pending'), 'completed "moved", completed "moved"', 'and the new one under the new name');

-- ---------------------------------------------------------------------------
-- SQL functions
-- ---------------------------------------------------------------------------

CREATE FUNCTION twice(jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$ SELECT jsonb_build_array($1, $1) $$;
CREATE FUNCTION atomic(input jsonb DEFAULT '{"since": "2026-01-01"}') RETURNS jsonb LANGUAGE sql
BEGIN ATOMIC
	SELECT durable.wait_for_event('go');
	SELECT twice(input);
END;
CREATE FUNCTION expression(jsonb) RETURNS jsonb LANGUAGE sql RETURN twice(durable.wait_for_event('go'));
SELECT start('atomic', '1'), start('expression', '2');
:run
CREATE OR REPLACE FUNCTION atomic(input jsonb DEFAULT NULL) RETURNS jsonb LANGUAGE sql AS $$ SELECT '"new"'::jsonb $$;
CREATE OR REPLACE FUNCTION expression(jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT '"new"'::jsonb $$;
SELECT durable.raise_event('atomic', 'go', '3'), durable.raise_event('expression', 'go', '4');
:run
SELECT is(outcome('atomic'), 'completed [1, 1]', 'a body BEGIN ATOMIC');
SELECT is(outcome('expression'), 'completed [4, 4]', 'a body RETURN');

-- What the copy cannot be made of any more is the instance's failure, and rewind() lets it go on.
CREATE FUNCTION gone(jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT $1 $$;
CREATE FUNCTION refers(input jsonb) RETURNS jsonb LANGUAGE sql RETURN gone(durable.wait_for_event('go'));
SELECT start('refers');
:run
DROP FUNCTION refers(jsonb);
DROP FUNCTION gone(jsonb);
SELECT durable.raise_event('refers', 'go', '5');
:run
SELECT is(outcome('refers'), 'failed 42883 function app.gone(jsonb) does not exist', 'a parsed body that refers to what is gone');
CREATE FUNCTION refers(input jsonb) RETURNS jsonb LANGUAGE sql RETURN durable.wait_for_event('go');
SELECT durable.rewind('refers');
:run
SELECT is(outcome('refers'), 'completed 5', 'rewind() takes the function as it is');

-- ---------------------------------------------------------------------------
-- Continue-as-new, sub-orchestrations, restart
-- ---------------------------------------------------------------------------

CREATE FUNCTION loop_v(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
BEGIN
	PERFORM durable.wait_for_event('go');
	IF jsonb_array_length(input) = 3 THEN RETURN input; END IF;
	PERFORM durable.continue_as_new(input || '["v1"]');
	RETURN NULL;
END $$;
SELECT start('loop_v', '[]', 'loop'), start('loop_v', '[]', 'loop-dropped');
:run
CREATE OR REPLACE FUNCTION loop_v(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
BEGIN
	PERFORM durable.wait_for_event('go');
	PERFORM durable.call_activity('same', '1');
	IF jsonb_array_length(input) = 3 THEN RETURN input; END IF;
	PERFORM durable.continue_as_new(input || '["v2"]');
	RETURN NULL;
END $$;
SELECT go('loop');
:run
SELECT is((SELECT input::text FROM durable.instances WHERE instance_id = 'loop'), '["v1"]', 'the generation that runs is the old code''s');
SELECT go('loop');
:run
SELECT is((SELECT input::text FROM durable.instances WHERE instance_id = 'loop'), '["v1", "v2"]', 'continue-as-new takes the new code');
SELECT go('loop-dropped');
:run
DROP FUNCTION loop_v(jsonb);
SELECT go('loop-dropped');
:run
SELECT is((SELECT input::text FROM durable.instances WHERE instance_id = 'loop-dropped'), '["v1", "v2"]', 'dropped, a generation ends on its own');
SELECT go('loop-dropped');
:run
SELECT go('loop-dropped');
:run
SELECT is(outcome('loop-dropped'), 'completed ["v1", "v2", "v2"]', 'and so do those that follow it: there is no other code to take');

SELECT deploy('child-1', 'child');
CREATE FUNCTION parent(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$ BEGIN RETURN durable.call_suborchestrator('child', instance_id => durable.instance_id() || '-child'); END $$;
SELECT start('parent');
:run
SELECT deploy('child-2', 'child');
SELECT go('parent-child');
:run
SELECT is(outcome('parent'), 'completed "child-1\"!\""', 'a sub-orchestration is pinned when it is started');
SELECT '# ' || durable.restart('parent-child');
SELECT go('parent-child');
:run
SELECT is(outcome('parent-child'), 'completed "child-2\"!\""', 'restart() takes the new code');

-- ---------------------------------------------------------------------------
-- rewind
-- ---------------------------------------------------------------------------

CREATE FUNCTION buggy(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$ BEGIN PERFORM durable.call_activity('same', '1'); RETURN to_jsonb(1 / 0); END $$;
SELECT start('buggy');
:run
SELECT is(outcome('buggy'), 'failed 22012 division by zero', 'an error of the code');
CREATE OR REPLACE FUNCTION buggy(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$ BEGIN PERFORM durable.call_activity('same', '1'); RETURN '"mended"'; END $$;
SELECT durable.rewind('buggy');
:run
SELECT is(outcome('buggy'), 'completed "mended"', 'rewound, it takes the mended code');
SELECT is(kept('buggy'), '1 kept, 0 copied', 'and the code that failed is forgotten');

CREATE TABLE broken ();
CREATE FUNCTION breaks() RETURNS text LANGUAGE plpgsql AS
$$ BEGIN IF to_regclass('app.broken') IS NOT NULL THEN RAISE EXCEPTION 'broken'; END IF; RETURN 'works'; END $$;
CREATE FUNCTION fails(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN durable.call_activity('breaks'); END $$;
SELECT start('fails');
:run
CREATE OR REPLACE FUNCTION fails(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN durable.call_activity('other'); END $$;
:run
SELECT is(kept('fails'), '1 kept, 0 copied', 'the code of a failed instance stays');
DROP TABLE broken;
SELECT durable.rewind('fails');
:run
SELECT is(outcome('fails'), 'completed "works"', 'rewound to an activity that failed, an instance goes on with its own code');

-- ---------------------------------------------------------------------------
-- durable.on_code_change
-- ---------------------------------------------------------------------------

SELECT is(current_setting('durable.on_code_change'), 'keep', 'the default is keep');
SELECT deploy('a', 'policy');
SELECT start('policy', NULL, 'latest'), start('policy', NULL, 'fail'), start('policy', NULL, 'fail-dropped');
:run
CREATE OR REPLACE FUNCTION policy(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$ BEGIN PERFORM durable.call_activity('effect', '"b"'); PERFORM durable.wait_for_event('go'); RETURN '"b"'; END $$;
SELECT go('latest');
SET durable.on_code_change = latest;
:run
SELECT is(outcome('latest'), 'completed "b"', 'latest: the instance goes on with the function as it is');
SET durable.on_code_change = fail;
SELECT go('fail');
:run
SELECT is(outcome('fail'), 'failed 55000 orchestrator function app.policy(pg_catalog.jsonb) was changed while the instance ran', 'fail: it fails');
SELECT alike(failure('fail', 'hint'), '%rewind%', 'and the hint says what then');
DROP FUNCTION policy(jsonb);
SELECT go('fail-dropped');
:run
SELECT is(outcome('fail-dropped'), 'failed 42883 orchestrator function app.policy(pg_catalog.jsonb) does not exist any more', 'fail: also when it was dropped');
SELECT deploy('a', 'policy');
SELECT durable.rewind('fail-dropped'), durable.rewind('fail');
:run
SELECT is(outcome('fail-dropped') || ', ' || outcome('fail'), 'completed "a\"!\"", completed "a\"!\""', 'back again, rewind() lets both go on');
RESET durable.on_code_change;

-- ---------------------------------------------------------------------------
-- Whose code it is
-- ---------------------------------------------------------------------------

RESET SESSION AUTHORIZATION;
CREATE ROLE code_lender;
CREATE SCHEMA lent AUTHORIZATION code_lender;
GRANT USAGE ON SCHEMA lent TO app;
SET SESSION AUTHORIZATION code_lender;
CREATE FUNCTION lent.definer(input jsonb) RETURNS jsonb LANGUAGE plpgsql SECURITY DEFINER AS
$$ BEGIN RETURN to_jsonb(current_user::text); END $$;
CREATE FUNCTION lent.plain(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$ BEGIN PERFORM durable.wait_for_event('go'); RETURN to_jsonb(current_user::text); END $$;
SET SESSION AUTHORIZATION app;
SELECT start('lent.definer'), start('lent.plain', NULL, 'lent'), start('lent.plain', NULL, 'refused');
:run
SELECT is((SELECT code FROM durable.instances WHERE instance_id = 'lent.definer'), NULL,
	'a SECURITY DEFINER function of another role is not pinned: a copy would not be that role''s');
SET SESSION AUTHORIZATION code_lender;
CREATE OR REPLACE FUNCTION lent.plain(input jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT '"new"'::jsonb $$;
SET SESSION AUTHORIZATION app;
SELECT go('lent');
:run
SELECT is(outcome('lent'), 'completed "app"', 'another role''s code runs on as the hub''s owner');
SET SESSION AUTHORIZATION code_lender;
REVOKE EXECUTE ON FUNCTION lent.plain(jsonb) FROM PUBLIC;
SET SESSION AUTHORIZATION app;
SELECT go('refused');
:run
SELECT is(outcome('refused'), 'failed 42501 permission denied for function lent.plain(pg_catalog.jsonb)', 'unless that role has taken back the right to execute it');

RESET SESSION AUTHORIZATION;
DROP OWNED BY code_lender;
SELECT lives_ok('DROP ROLE code_lender', 'the role can be dropped');
SET SESSION AUTHORIZATION app;

-- The copies do not keep anybody from dropping what is theirs.
SELECT deploy('one', 'last');
SELECT start('last');
:run
SELECT deploy('two', 'last');
SELECT durable.raise_event('last', 'other');
:run
SELECT is(kept('last'), '1 kept, 1 copied', 'a copy that is in use');
RESET SESSION AUTHORIZATION;
CREATE ROLE code_heir LOGIN;
SELECT durable.grant_usage('code_heir');
GRANT USAGE ON SCHEMA app TO code_heir;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA app TO code_heir;
SELECT durable.reassign_hub('app', 'code_heir');
SET SESSION AUTHORIZATION code_heir;
SELECT format('# %s', durable.raise_event('last', 'third', task_hub => 'app'));
SELECT format('# %s work items', durable.run_until_idle(task_hub => 'app'));
SELECT is((SELECT proowner::regrole::text FROM pg_proc WHERE pronamespace = 'durable_code'::regnamespace AND proname LIKE 'last\_%'), 'code_heir',
	'a hub that is given away takes the copies along');
SELECT is((SELECT status FROM durable.instances WHERE instance_id = 'last'), 'running', 'and its instance goes on');
RESET SESSION AUTHORIZATION;
SELECT durable.pause_hub('app');
SELECT durable.discard_hub('app') > 0 AS discarded;
SELECT is((SELECT count(*) FROM pg_proc WHERE pronamespace = 'durable_code'::regnamespace), 0::bigint, 'a discarded hub has no copies');
SELECT is((SELECT count(*) FROM durable_store.code), 0::bigint, 'and no code');

-- In a superuser's hub no code runs that was not a superuser's when it was kept: a copy is the superuser's own.
SET durable.allow_superuser_hubs = 'on';
SET search_path = app, public;
SELECT start('app.child', NULL, 'planted');
CREATE FUNCTION app.owned(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$ BEGIN PERFORM durable.wait_for_event('go'); RETURN '"old"'; END $$;
SELECT start('app.owned', NULL, 'owned');
:run
SELECT is(failure('planted', 'sqlstate'), '42501', 'another role''s function is not run in a superuser''s hub');
SELECT start('app.child', NULL, 'planted');
CREATE OR REPLACE FUNCTION app.owned(input jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT '"new"'::jsonb $$;
SELECT deploy('planted-later', 'child');
SELECT go('owned');
:run
SELECT alike(failure('planted', 'detail'), 'Its owner was not a superuser when the instance began%', 'nor is a copy of it, when it was replaced');
SELECT is(outcome('owned'), 'completed "old"', 'a superuser''s own function is pinned there as anywhere');
SELECT is((SELECT count(*) FROM pg_proc WHERE pronamespace = 'durable_code'::regnamespace), 0::bigint, 'and leaves no copy');

SELECT * FROM finish();
