# Attacks from inside a worker: user code that tries to become superuser or
# another role, to reach what is not its own, or to leave something behind for
# the next work item of the same process. Each has a name, and says what its
# author would gain if it worked. See test/sql/attacks_*.sql for those that
# need no worker.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use DurableServer;
use Test::More;

# One worker a hub, so that work items follow each other in one process. A
# superuser's hub is part of one attack.
my $server = DurableServer->create('attacks', conf => <<'END');
durable.orchestrator_workers = 1
durable.activity_workers = 1
durable.max_workers = 6
durable.worker_idle_timeout = 1h
durable.allow_superuser_hubs = on
autovacuum = off
END

$server->install('postgres', 'app', 'victim');
$server->safe_psql('postgres', <<'SQL');
CREATE ROLE grp;
GRANT grp TO app;
CREATE SCHEMA evil AUTHORIZATION app;
GRANT USAGE ON SCHEMA app TO PUBLIC;
CREATE TABLE victim.secret AS SELECT 'treasure'::text AS what;
ALTER TABLE victim.secret OWNER TO victim;
SQL

$server->sql('postgres', 'victim', q{SELECT durable.create_hub('victim')});

$server->sql('postgres', 'app', <<'SQL');
-- What hostile code writes when it runs, whoever it runs as.
CREATE TABLE loot (how text, ran_as name DEFAULT current_user, session name DEFAULT session_user,
	superuser text DEFAULT current_setting('is_superuser'), pid int DEFAULT pg_backend_pid());
GRANT INSERT ON loot TO PUBLIC;

-- The thief: notes that he was there, and takes what his rights allow.
CREATE FUNCTION steal(how text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO app.loot VALUES (how);
	BEGIN
		ALTER ROLE app SUPERUSER;
	EXCEPTION WHEN insufficient_privilege THEN NULL;
	END;
	BEGIN
		UPDATE victim.secret SET what = 'stolen';
	EXCEPTION WHEN insufficient_privilege THEN NULL;
	END;
	RETURN true;
END $$;

CREATE FUNCTION run_sql(sql text) RETURNS void LANGUAGE plpgsql AS $$ BEGIN EXECUTE sql; END $$;

CREATE FUNCTION in_activity(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	RETURN durable.call_activity('app.run_sql', jsonb_build_object('sql', input ->> 'attack'));
END $$;
CREATE FUNCTION in_call_sql(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	RETURN durable.call_sql(input ->> 'attack');
END $$;
-- The attack is the code of the orchestrator; who it was when it came through.
-- unchecked, as an attacker would have it
CREATE FUNCTION in_orchestrator(input jsonb) RETURNS jsonb LANGUAGE plpgsql SET durable.orchestrator_checks = off AS $$
BEGIN
	EXECUTE input ->> 'attack';
	RETURN to_jsonb(concat_ws(' ', current_user, session_user, current_setting('is_superuser')));
END $$;
-- The attack is an activity by its name and input.
CREATE FUNCTION by_name(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	RETURN durable.call_activity(input ->> 'attack', input -> 'input');
END $$;

-- What the next work item finds: it must be the same after every attack.
CREATE FUNCTION footprint() RETURNS jsonb LANGUAGE sql AS $$
	SELECT jsonb_build_object(
		'pid', pg_backend_pid(), 'user', current_user, 'session', session_user, 'superuser', current_setting('is_superuser'),
		'settings', (SELECT jsonb_object_agg(name, setting) FROM pg_settings WHERE name <> 'transaction_deferrable'),
		'own setting', nullif(current_setting('app.left_behind', true), ''),
		'temporary', (SELECT count(*) FROM pg_class WHERE relnamespace = pg_my_temp_schema() AND relkind = 'r'),
		'temporary functions', (SELECT count(*) FROM pg_proc WHERE pronamespace = pg_my_temp_schema()),
		'prepared', (SELECT count(*) FROM pg_prepared_statements),
		'cursors', (SELECT count(*) FROM pg_cursors WHERE name = 'attack'),
		'advisory locks', (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'),
		'channels', (SELECT count(*) FROM pg_listening_channels()))
$$;
CREATE FUNCTION look_around(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	RETURN durable.call_activity('app.footprint');
END $$;
SQL

my $attacks = 0;

# Runs an orchestrator and returns "status sqlstate output message".
sub outcome
{
	my ($role, $orchestrator, $input) = @_;
	my $id = $server->sql('postgres', $role, "SELECT durable.start_instance('app.$orchestrator', \$input\$$input\$input\$)");

	return $server->sql('postgres', $role, <<"SQL");
SELECT concat_ws(' ', status, failure->>'sqlstate', output::text, failure->>'errorMessage')
FROM durable.wait_for_completion('$id', timeout => '$ENV{PG_TEST_TIMEOUT_DEFAULT} s')
SQL
}

sub json_text
{
	my ($text) = @_;

	return $server->safe_psql('postgres', "SELECT to_jsonb(\$text\$$text\$text\$::text)");
}

my $before = outcome('app', 'look_around', 'null');

# Two tests: how the attack ended, and that the next work item finds nothing of it.
sub attack
{
	my ($name, $where, $attack, $expected, %how) = @_;
	my $input = '{"attack": ' . json_text($attack) . ', "input": ' . ($how{input} // 'null') . '}';

	$attacks++;
	like(outcome('app', $where, $input), $expected, "attack: $name");
	is(outcome('app', 'look_around', 'null'), $before, "$name: leaves nothing behind");
}

my $refused = qr/^failed 42501/;
my $nobody_else = qr/^(failed|completed "app app off"$)/;

# --- to be another role ----------------------------------------------------------

# Gain: the rights of the engine, if the worker had switched down from a superuser.
attack('RESET ROLE in an activity', 'in_activity', q{RESET ROLE; SELECT app.steal('RESET ROLE')}, qr/^completed/);
attack('RESET SESSION AUTHORIZATION in an activity', 'in_activity',
	q{RESET SESSION AUTHORIZATION; SELECT app.steal('RESET SESSION AUTHORIZATION')}, qr/^completed/);
attack('RESET ALL in an activity', 'in_activity', q{RESET ALL; SELECT app.steal('RESET ALL')}, qr/^completed/);

# Gain: superuser, or the role of another hub.
attack('SET ROLE to the superuser in an activity', 'in_activity', 'SET ROLE postgres', $refused);
attack('SET LOCAL ROLE to another hub\'s owner in an activity', 'in_activity', 'SET LOCAL ROLE victim', $refused);
attack('SET SESSION AUTHORIZATION in an activity', 'in_activity', 'SET SESSION AUTHORIZATION postgres', $refused);
attack('set_config() of role in an activity', 'in_activity', q{SELECT set_config('role', 'postgres', true)}, $refused);
attack('set_config() of session_authorization in call_sql', 'in_call_sql',
	q{SELECT set_config('session_authorization', 'postgres', false)}, $refused);
attack('a function that SETs role', 'in_activity',
	q{CREATE FUNCTION app.as_postgres() RETURNS boolean LANGUAGE sql SET role = 'postgres' AS 'SELECT app.steal(''SET role'')'}, $refused);
attack('a function that SETs session_authorization', 'in_activity',
	q{CREATE FUNCTION app.as_victim() RETURNS boolean LANGUAGE sql SET session_authorization = 'victim' AS 'SELECT app.steal(''SET'')'}, $refused);
attack('ALTER ROLE ... SUPERUSER', 'in_call_sql', 'ALTER ROLE app SUPERUSER', $refused);
attack('GRANT of another hub\'s owner', 'in_call_sql', 'GRANT victim TO app', $refused);

# Gain: the same from an orchestrator, which runs while the engine has its instance open.
attack("$_ in an orchestrator", 'in_orchestrator', $_, $nobody_else)
  foreach 'RESET ROLE', 'SET ROLE postgres', 'SET LOCAL ROLE victim', 'SET SESSION AUTHORIZATION postgres',
	'RESET SESSION AUTHORIZATION', 'RESET ALL';

# Gain: writes in an orchestrator, which would be repeated in each replay.
attack("$_ in an orchestrator", 'in_orchestrator', $_, qr/^failed (25001|25006|UD008)/)
  foreach 'SET transaction_read_only = off', 'SET TRANSACTION READ WRITE', q{SELECT app.steal('read only')};

# Gain: code of the attacker at COMMIT, where nothing would undo what it does to the session.
$server->sql('postgres', 'app', <<'SQL');
CREATE TABLE bait (how text, again int);
CREATE FUNCTION spring() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	PERFORM app.steal(NEW.how || ' ' || NEW.again);
	IF NEW.again > 0 THEN
		SET CONSTRAINTS ALL DEFERRED;
		INSERT INTO app.bait VALUES (NEW.how, NEW.again - 1);
	END IF;
	PERFORM set_config('app.left_behind', 'yes', false), set_config('work_mem', '77MB', false), set_config('role', 'grp', false);
	CREATE TEMPORARY TABLE IF NOT EXISTS left_behind ();
	RETURN NULL;
END $$;
GRANT ALL ON bait TO grp;
CREATE CONSTRAINT TRIGGER spring AFTER INSERT ON bait DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION spring();
SQL
attack('deferred constraint trigger', 'in_activity', q{INSERT INTO app.bait VALUES ('deferred', 0)}, qr/^completed/);
# Since PostgreSQL 18 it runs as the role that made the row, and may not take another one.
my $may_take_role = $server->pg_version < 18;
attack('deferred constraint trigger that defers itself anew', 'in_call_sql', q{INSERT INTO app.bait VALUES ('deferred anew', 2)},
	$may_take_role ? qr/^completed/ : $refused);
attack('deferred constraint trigger of an orchestrator', 'in_orchestrator', q{INSERT INTO app.bait VALUES ('by turn', 0)}, qr/^failed (25006|UD008)/);
attack('WITH HOLD cursor that is run at COMMIT', 'in_activity',
	q{DECLARE attack CURSOR WITH HOLD FOR SELECT app.steal('WITH HOLD')}, qr/^completed/);
is($server->safe_psql('postgres', q{SELECT array_agg(DISTINCT how ORDER BY how) FROM app.loot WHERE how ~ 'deferred|HOLD'}),
	$may_take_role ? '{"deferred 0","deferred anew 0","deferred anew 1","deferred anew 2"}' : '{"deferred 0"}',
	'the triggers have fired, each to its end; the cursor has not run');
attack('event trigger', 'in_activity', <<'SQL', $refused);
CREATE FUNCTION app.on_ddl() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM app.steal('event trigger'); END $$;
CREATE EVENT TRIGGER attack ON ddl_command_end EXECUTE FUNCTION app.on_ddl()
SQL

# --- to have the engine run hostile code ------------------------------------------

# Gain: the engine's own statements, which run with its rights, would call these instead of PostgreSQL's.
$server->sql('postgres', 'app', <<'SQL');
CREATE FUNCTION evil.text_is(text, text) RETURNS boolean LANGUAGE sql AS $$ SELECT app.steal('operator') $$;
CREATE FUNCTION evil.later(timestamptz, timestamptz) RETURNS boolean LANGUAGE sql AS $$ SELECT app.steal('operator') $$;
CREATE FUNCTION evil.small(smallint, integer) RETURNS boolean LANGUAGE sql AS $$ SELECT app.steal('operator') $$;
CREATE OPERATOR evil.= (LEFTARG = text, RIGHTARG = text, FUNCTION = evil.text_is);
CREATE OPERATOR evil.<= (LEFTARG = timestamptz, RIGHTARG = timestamptz, FUNCTION = evil.later);
CREATE OPERATOR evil.= (LEFTARG = smallint, RIGHTARG = integer, FUNCTION = evil.small);
CREATE FUNCTION evil.clock_timestamp() RETURNS timestamptz LANGUAGE plpgsql AS $$ BEGIN PERFORM app.steal('function'); RETURN 'infinity'; END $$;
CREATE FUNCTION evil.nextval(regclass) RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN PERFORM app.steal('function'); RETURN 1; END $$;
CREATE FUNCTION evil.unnest(text[]) RETURNS SETOF text LANGUAGE plpgsql AS $$ BEGIN PERFORM app.steal('function'); RETURN NEXT 'x'; END $$;
CREATE FUNCTION evil.to_jsonb(anyelement) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN PERFORM app.steal('function'); RETURN '1'; END $$;
CREATE TABLE evil.instances (LIKE durable.instances);
CREATE TABLE evil.hubs (task_hub text, owner regrole, is_default boolean, paused boolean, system_identifier bigint, database_oid oid);
CREATE DOMAIN evil.text AS pg_catalog.text CHECK (app.steal('type'));
CREATE FUNCTION evil.nested(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	PERFORM durable.call_activity('app.effect', '{"step": 1}');
	PERFORM durable.call_suborchestrator('app.walk', '{"steps": 1}');
	RETURN durable.wait_for_event('go', '0 s');
EXCEPTION WHEN OTHERS THEN
	RETURN '"no event"';
END $$;
SQL
my $hostile_path = 'SET search_path = evil, app, pg_catalog, pg_temp;';

attack('hostile operators, functions, types and tables first in search_path of an activity that calls the engine', 'in_activity', <<"SQL", qr/^completed/);
$hostile_path
SELECT durable.start_instance('app.walk', '{"steps": 1}', instance_id => 'from the activity');
SELECT durable.raise_event('from the activity', 'go');
SELECT durable.terminate('from the activity');
SELECT durable.purge('from the activity');
SELECT count(*) FROM durable.queues
SQL
is($server->sql('postgres', 'app', <<"SQL"), 'completed "no event"', 'attack: the same in the session that starts the orchestrator');
\\o /dev/null
$hostile_path
SELECT durable.start_instance('nested', instance_id => 'hostile path');
\\o
SELECT status, output FROM durable.wait_for_completion('hostile path') \\gset
\\echo :status :output
SQL
attack('pg_temp functions, operators and tables that shadow names of the engine', 'in_activity', <<'SQL', qr/^completed/);
CREATE TEMPORARY TABLE instances (task_hub text, instance_id text);
CREATE TEMPORARY TABLE hubs (task_hub text, owner regrole);
CREATE FUNCTION pg_temp.text_is(text, text) RETURNS boolean LANGUAGE sql AS $$ SELECT app.steal('pg_temp') $$;
CREATE OPERATOR pg_temp.= (LEFTARG = text, RIGHTARG = text, FUNCTION = pg_temp.text_is);
CREATE FUNCTION pg_temp.clock_timestamp() RETURNS timestamptz LANGUAGE plpgsql AS $$ BEGIN PERFORM app.steal('pg_temp'); RETURN now(); END $$;
SET search_path = pg_temp, app, pg_catalog;
SELECT durable.start_instance('app.walk', '{"steps": 1}', instance_id => 'from pg_temp');
SELECT durable.terminate('from pg_temp')
SQL
attack('temporary tables that do things at COMMIT', 'in_activity',
	q{CREATE TEMPORARY TABLE a () ON COMMIT DROP; CREATE TEMPORARY TABLE b () ON COMMIT DELETE ROWS; CREATE TEMPORARY TABLE instances (status text)},
	qr/^completed/);
is($server->safe_psql('postgres', q{SELECT count(*) FROM app.loot WHERE how IN ('operator', 'function', 'type', 'pg_temp')}), '0',
	'the engine has called none of them');

# Gain: code that runs while arguments are converted and results are made, if that were done with the engine's rights.
$server->sql('postgres', 'app', <<'SQL');
CREATE DOMAIN trap AS int CHECK (app.steal('domain of an argument'));
CREATE FUNCTION takes_trap(n trap) RETURNS int LANGUAGE sql AS 'SELECT n::int';
CREATE FUNCTION has_default(n int, how boolean DEFAULT app.steal('default of an argument')) RETURNS int LANGUAGE sql AS 'SELECT n WHERE how';
CREATE TYPE pair AS (a int, b trap);
CREATE FUNCTION takes_pair(p pair) RETURNS pair LANGUAGE sql AS 'SELECT p';
CREATE TYPE mood AS ENUM ('good');
CREATE FUNCTION in_mood(m mood) RETURNS mood LANGUAGE sql AS 'SELECT m';
CREATE FUNCTION to_json(mood) RETURNS json LANGUAGE plpgsql AS $$ BEGIN PERFORM app.steal('cast of the result'); RETURN '1'; END $$;
CREATE CAST (mood AS json) WITH FUNCTION to_json(mood);
SQL
attack('domain of an argument', 'by_name', 'app.takes_trap', qr/^completed 1$/, input => '{"n": 1}');
attack('default of an argument', 'by_name', 'app.has_default', qr/^completed 1$/, input => '{"n": 1}');
attack('domain in a composite argument', 'by_name', 'app.takes_pair', qr/^completed/, input => '{"p": {"a": 1, "b": 2}}');
attack('cast of the result', 'by_name', 'app.in_mood', qr/^completed 1$/, input => '"good"');
is($server->safe_psql('postgres', q{SELECT array_agg(DISTINCT how ORDER BY how) FROM app.loot WHERE how ~ 'argument|cast'}),
	'{"cast of the result","default of an argument","domain of an argument"}', 'they have run');

# --- to reach what is not its own ---------------------------------------------------

# Gain: work in another hub, run as its owner.
attack('start in another hub', 'in_call_sql', q{SELECT durable.start_instance('app.walk', task_hub => 'victim')}, $refused);
attack('a function that SETs durable.task_hub', 'in_activity', <<'SQL', $refused);
CREATE FUNCTION pg_temp.elsewhere() RETURNS text LANGUAGE sql SET durable.task_hub = 'victim' AS $$ SELECT durable.start_instance('app.walk') $$;
SELECT pg_temp.elsewhere()
SQL

# Gain: the tables of the engine: any work as anybody.
attack("$_ by name", 'by_name', $_, qr/^failed (42501|42883)/, input => 'null')
  foreach 'durable_store.installed', 'durable_store.installed()', 'durable_store.workers()', '"durable_store"."preloaded"';
attack('insert into the tables of the engine', 'in_call_sql',
	q{INSERT INTO durable_store.hubs SELECT 'mine', 'postgres'}, $refused);

# Gain: files, libraries and programs of the server.
attack('pg_read_file as an activity', 'by_name', 'pg_catalog.pg_read_file(text)', $refused, input => '"postgresql.conf"');
attack('COPY TO PROGRAM', 'in_call_sql', q{COPY app.loot TO PROGRAM 'true'}, $refused);
attack('LOAD of a library', 'in_call_sql', q{LOAD '/tmp/evil'}, $refused);
attack('dynamic_library_path', 'in_call_sql', q{SET dynamic_library_path = '/tmp'}, $refused);
attack('function in C', 'in_call_sql', q{CREATE FUNCTION app.c() RETURNS void LANGUAGE c AS '/tmp/evil', 'c'}, $refused);
attack('session_preload_libraries of the own role', 'in_call_sql', q{ALTER ROLE app SET session_preload_libraries = 'evil'}, $refused);
attack('session_replication_role', 'in_call_sql', 'SET session_replication_role = replica', $refused);

# Gain: nobody is served any more.
attack("pg_terminate_backend() of the $_", 'in_call_sql', "SELECT pg_terminate_backend(pid) FROM durable.workers WHERE kind = '$_'", $refused)
  foreach 'coordinator', 'launcher';
attack('drive of the own hub in a worker', 'in_call_sql', 'SELECT durable.run_until_idle()', qr/^failed 55000/);

# Gain: an activity whose effect stays although the record of it does not.
attack("$_ in an activity", 'in_activity', $_, qr/^failed (0A000|2D000|25001)/)
  foreach 'COMMIT', 'ROLLBACK', q{PREPARE TRANSACTION 'x'}, 'DO $$ BEGIN COMMIT; END $$', 'DISCARD ALL';
attack("$_ in call_sql", 'in_call_sql', $_, qr/^failed (0A000|2D000|25001)/)
  foreach 'COMMIT AND CHAIN', 'SAVEPOINT s', 'SET TRANSACTION ISOLATION LEVEL SERIALIZABLE';

# Gain: a parallel worker, whose session is made up anew, with other rights.
my $force_parallel = $server->pg_version >= 16 ? 'debug_parallel_query' : 'force_parallel_mode';
attack('code in a parallel worker', 'in_activity', <<"SQL", qr/^completed/);
CREATE FUNCTION pg_temp.who() RETURNS text LANGUAGE sql PARALLEL SAFE COST 1000000 AS
\$\$ SELECT concat_ws(' ', current_user, session_user, current_setting('is_superuser')) \$\$;
SET $force_parallel = on;
DO \$\$ BEGIN ASSERT (SELECT max(pg_temp.who()) FROM generate_series(1, 3)) = 'app app off', 'somebody else'; END \$\$
SQL

# --- to leave something for the next work item ---------------------------------------

# Gain: to change what later work of the hub does, unseen.
attack("left behind: $_->[0]", 'in_activity', $_->[1], qr/^completed/)
  foreach
  [ 'role', 'SET ROLE grp' ],
  [ 'search_path', q{SELECT set_config('search_path', 'evil', false)} ],
  [ 'statement_timeout', q{SET statement_timeout = '1 ms'} ],
  [ 'local settings', q{SELECT set_config('lock_timeout', '1 ms', true), set_config('work_mem', '64 kB', true), set_config('app.left_behind', 'x', true)} ],
  [ 'settings of its own', q{SET app.left_behind = 'x'} ],
  [ 'planner settings', 'SET enable_indexscan = off; SET enable_nestloop = off; SET plan_cache_mode = force_custom_plan' ],
  [ 'exit_on_error', 'SET exit_on_error = on' ],
  [ 'default_transaction_read_only', 'SET default_transaction_read_only = on; SET default_transaction_isolation = serializable; SET transaction_read_only = on' ],
  [ 'deferred constraints', 'SET CONSTRAINTS ALL DEFERRED' ],
  [ 'temporary table', 'CREATE TEMPORARY TABLE left_behind AS SELECT 1; CREATE TEMPORARY VIEW loot AS SELECT 1' ],
  [ 'temporary function', q{CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql AS 'SELECT 1'} ],
  [ 'prepared statement', 'PREPARE left_behind AS SELECT 1' ],
  [ 'session advisory lock', 'SELECT pg_advisory_lock(1), pg_advisory_lock(1), pg_advisory_lock_shared(2)' ],
  [ 'transaction advisory lock', 'SELECT pg_advisory_xact_lock(3)' ],
  [ 'cursor', 'DECLARE attack CURSOR FOR SELECT 1' ],
  [ 'cursor on a temporary table', 'CREATE TEMPORARY TABLE t AS SELECT 1; DECLARE attack CURSOR WITH HOLD FOR SELECT * FROM t' ],
  [ 'application_name', q{SET application_name = 'psql'} ],
  [ 'discarded plans', 'DISCARD PLANS; DISCARD TEMP; DISCARD SEQUENCES; DEALLOCATE ALL; SELECT pg_advisory_unlock_all()' ];
attack("left behind by a turn: $_->[0]", 'in_orchestrator', $_->[1], $nobody_else)
  foreach
  [ 'settings', q{SELECT set_config('search_path', 'evil', false), set_config('app.left_behind', 'x', false)} ],
  [ 'prepared statement', 'PREPARE left_behind AS SELECT 1' ],
  [ 'advisory lock', 'SELECT pg_advisory_lock(1)' ],
  [ 'cursor', 'DECLARE attack CURSOR WITH HOLD FOR SELECT 1' ];
# Gain: to hear what others notify. A worker has nobody to tell it to.
attack('left behind: LISTEN', 'in_activity', 'LISTEN left_behind', qr/^failed 0A000/);

# Gain: values of sequences that another work item drew.
$server->sql('postgres', 'app', 'CREATE SEQUENCE numbers');
attack('left behind: a value of a sequence', 'in_activity', q{SELECT nextval('app.numbers')}, qr/^completed/);
attack('currval() of another work item', 'in_activity', q{SELECT currval('app.numbers')}, qr/^failed 55000/);
attack('lastval() of another work item', 'in_activity', 'SELECT lastval()', qr/^failed 55000/);

# Gain: to foretell the random numbers of the next activity, tokens for example.
$server->sql('postgres', 'app', <<'SQL');
CREATE FUNCTION seed() RETURNS void LANGUAGE sql AS 'SELECT setseed(0.5)';
CREATE FUNCTION draw() RETURNS float8 LANGUAGE sql AS 'SELECT random()';
CREATE FUNCTION seed_and_draw(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	PERFORM durable.schedule_activity('app.seed');
	RETURN durable.call_activity('app.draw');
END $$;
SQL
$attacks++;
my $foretold = $server->safe_psql('postgres', 'SELECT setseed(0.5) \gset
SELECT random()');
isnt(outcome('app', 'seed_and_draw', 'null'), "completed $foretold", 'attack: random numbers of the next activity foretold by setseed()');

# Gain: as above, for turns that share a transaction. Each looks first and leaves then.
$server->sql('postgres', 'app', <<'SQL');
-- unchecked, as an attacker would have it
CREATE FUNCTION look_and_leave(input jsonb) RETURNS jsonb LANGUAGE plpgsql SET durable.orchestrator_checks = off AS $$
DECLARE
	found jsonb := to_jsonb(concat_ws(' ', (SELECT count(*) FROM pg_prepared_statements), (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'),
		(SELECT count(*) FROM pg_cursors WHERE name = 'attack'), nullif(current_setting('app.left_behind', true), ''), current_user));
BEGIN
	EXECUTE 'PREPARE left_behind AS SELECT 1';
	EXECUTE 'DECLARE attack CURSOR FOR SELECT 1';
	PERFORM pg_advisory_lock(1), set_config('app.left_behind', 'x', false), set_config('role', 'grp', false);
	RETURN found;
END $$;
SQL
$attacks++;
$server->sql('postgres', 'app', <<'SQL');
BEGIN;
SELECT durable.start_instance('look_and_leave', instance_id => 'left by turn ' || n) FROM generate_series(1, 5) n;
COMMIT;
SQL
is( $server->sql('postgres', 'app', <<'SQL'), 'completed: "0 0 0 app"', 'attack: turns that share a transaction leave nothing to each other');
SELECT string_agg(DISTINCT concat_ws(' ', status || ':', output, failure ->> 'errorMessage'), ', ')
FROM generate_series(1, 5) n, durable.wait_for_completion('left by turn ' || n)
SQL

# --- settings of the role ---------------------------------------------------------------

# Gain: to change how the engine's statements work, or to have them fail for ever.
$before = undef;
$server->safe_psql('postgres', <<"SQL");
ALTER ROLE app SET search_path = evil, pg_catalog;
ALTER ROLE app SET role = grp;
ALTER ROLE app SET default_transaction_read_only = on;
ALTER ROLE app SET default_transaction_isolation = serializable;
ALTER ROLE app SET default_transaction_deferrable = on;
ALTER ROLE app SET statement_timeout = '1 ms';
ALTER ROLE app SET idle_in_transaction_session_timeout = '1 ms';
ALTER ROLE app SET exit_on_error = on;
ALTER ROLE app SET row_security = off;
ALTER ROLE app SET enable_indexscan = off;
ALTER ROLE app SET plan_cache_mode = force_custom_plan;
ALTER ROLE app SET $force_parallel = on;
ALTER ROLE app SET array_nulls = off;
ALTER ROLE app SET transform_null_equals = on;
ALTER ROLE app SET work_mem = '1234 kB';
ALTER ROLE app SET lock_timeout = '12345 ms';
ALTER ROLE app SET jit = on;
ALTER ROLE app SET app.of_the_role = 'yes';
SQL
$server->safe_psql('postgres', q{SELECT pg_terminate_backend(pid, 60000) FROM durable.workers WHERE kind = 'worker' AND task_hub = 'app'});
$server->safe_psql('postgres', <<'SQL');
SET SESSION AUTHORIZATION app;
SELECT durable.start_instance('app.walk', '{"steps": 3}', instance_id => 'role settings');
SELECT durable.start_instance('app.in_call_sql', '{"attack": "SELECT current_user, current_setting(''work_mem'') AS work_mem, current_setting(''app.of_the_role'') AS own, current_setting(''lock_timeout'') AS lock_timeout, current_setting(''jit'') AS jit"}', instance_id => 'role settings seen');
SQL
$attacks++;
is($server->safe_psql('postgres', q{SELECT status FROM durable.wait_for_completion('role settings', task_hub => 'app')}), 'completed',
	'attack: settings of the role do not reach the engine');
is($server->safe_psql('postgres', q{SELECT output FROM durable.wait_for_completion('role settings seen', task_hub => 'app')}),
	'{"jit": "on", "own": "yes", "work_mem": "1234kB", "current_user": "app", "lock_timeout": "12345ms"}', 'its code has them, but for the role');
$server->safe_psql('postgres', 'ALTER ROLE app RESET ALL');

# --- roles that change ---------------------------------------------------------------------

# Gain: a session that was a superuser's may become one again; a worker would stay one for as long as it has work.
$server->safe_psql('postgres', 'CREATE ROLE boss LOGIN SUPERUSER; ALTER FUNCTION app.in_call_sql(jsonb) OWNER TO boss');
like(outcome('boss', 'in_call_sql', q({"attack": "SELECT current_setting('is_superuser') AS superuser"})), qr/^completed \{"superuser": "on"\}/,
	'a hub of a superuser');
$server->safe_psql('postgres', 'ALTER FUNCTION app.in_call_sql(jsonb) OWNER TO app; ALTER ROLE boss NOSUPERUSER; SELECT durable.grant_usage(\'boss\')');
$attacks++;
like(outcome('boss', 'in_call_sql', q({"attack": "SET SESSION AUTHORIZATION postgres"})), qr/^failed 42501/,
	'attack: a worker of one who was a superuser goes on as one');

# Gain: the work and the hub of the one who had the name before.
$server->safe_psql('postgres', <<'SQL');
CREATE ROLE carol LOGIN;
SELECT durable.grant_usage('carol');
SQL
$server->sql('postgres', 'carol', <<'SQL');
SELECT durable.start_instance('app.wait_for_go', '"of the first"', instance_id => 'inheritance');
SELECT status FROM durable.wait_for_start('inheritance');
SQL
$server->safe_psql('postgres', <<'SQL');
DROP OWNED BY carol;
DROP ROLE carol;
CREATE ROLE carol LOGIN;
SELECT durable.grant_usage('carol');
SQL
$attacks++;
is($server->sql('postgres', 'carol', 'SELECT (SELECT count(*) FROM durable.instances) + (SELECT count(*) FROM durable.messages) + (SELECT count(*) FROM durable.queues)'),
	'0', 'attack: a role made again under its old name sees nothing');
like(($server->try_sql('postgres', 'carol', q{SELECT durable.raise_event('inheritance', 'go', task_hub => 'carol')}))[2],
	qr/permission denied for task hub "carol"/, 'and steers nothing');

# Gain: to go on acting for a role after its membership was taken back.
$server->safe_psql('postgres', 'GRANT victim TO app');
$server->sql('postgres', 'app', q{SELECT durable.start_instance('app.wait_for_go', instance_id => 'by a member', task_hub => 'victim')});
$server->safe_psql('postgres', 'REVOKE victim FROM app');
foreach my $call (
	q{durable.raise_event('by a member', 'go', task_hub => 'victim')},
	q{durable.terminate('by a member', task_hub => 'victim')},
	q{durable.wait_for_completion('by a member', task_hub => 'victim')},
	q{durable.restart('by a member', 'again', task_hub => 'victim')})
{
	$attacks++;
	like(($server->try_sql('postgres', 'app', "SELECT $call"))[2], qr/permission denied for task hub "victim"/, "attack: $call after the membership has ended");
}
is($server->sql('postgres', 'app', q{SELECT count(*) FROM durable.instances WHERE task_hub = 'victim'}), '0', 'and sees nothing of it');

# --- what is told to others ---------------------------------------------------------------------

# Gain: payloads, for those who read the log or pg_stat_activity.
my $offset = -s $server->logfile;
my $gate = $server->close_gate('postgres', 7);

$server->sql('postgres', 'app', <<'SQL');
CREATE FUNCTION wait_with_secret(gate int, secret text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	PERFORM pg_advisory_xact_lock_shared(gate);
	RETURN secret;
END $$;
CREATE FUNCTION keeps_secret(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	PERFORM durable.set_custom_status('"s3cret"'::jsonb);
	BEGIN
		PERFORM durable.call_sql('SELECT $1::int', 's3cret'::text);
	EXCEPTION WHEN invalid_text_representation THEN NULL;
	END;
	BEGIN
		PERFORM durable.call_activity('app.wait_with_secret', input);
	EXCEPTION WHEN OTHERS THEN NULL;	-- it was cancelled
	END;
	PERFORM durable.call_activity('app.wait_with_secret', input);
	RETURN input;
END $$;
SELECT durable.start_instance('keeps_secret', '{"gate": 7, "secret": "s3cret"}', instance_id => 'secrets', tags => '{"a": "s3cret"}', event_name => 'x', event_data => '"s3cret"');
SQL
$server->wait_until('postgres', DurableServer::at_gate(7, 1));
$attacks++;
is($server->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity a WHERE backend_type ~ '^durable' AND a::text ~ 's3cret'}), '0',
	'attack: payloads in pg_stat_activity');
is($server->safe_psql('postgres', q{SELECT count(*) FROM durable.workers w WHERE w::text ~ 's3cret'}), '0', 'nor in durable.workers');
# A cancel, a death and a failure are what the log tells of.
$server->safe_psql('postgres', q{SELECT pg_cancel_backend(pid) FROM durable.workers WHERE kind = 'worker' AND item ~ 'secrets'});
$server->wait_until('postgres', q{EXISTS (SELECT FROM durable.activities WHERE instance_id = 'secrets' AND task_id = 2)});
$server->wait_until('postgres', DurableServer::at_gate(7, 1));
my $worker = $server->safe_psql('postgres', q{SELECT pid FROM durable.workers WHERE kind = 'worker' AND item ~ 'secrets'});
$server->safe_psql('postgres', "SELECT pg_terminate_backend($worker)");
$server->wait_until('postgres', "NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $worker)");
$server->wait_until('postgres', DurableServer::at_gate(7, 1));
$gate->query_safe('SELECT pg_advisory_unlock(7)');
$server->ends('postgres', 'app', 'secrets', 'it goes on after all that');
like(outcome('app', 'in_call_sql', q({"attack": "SELECT 's3cret'::int"})), qr/^failed 22P02/, 'one fails of its payload');
$attacks++;
like($server->log_since($offset), qr/terminating background worker "durable worker"/, 'the log has the death of the worker');
unlike($server->log_since($offset), qr/s3cret/, 'attack: payloads in the log');

# --- what came of it ---------------------------------------------------------------------------------

is($server->safe_psql('postgres', q{SELECT DISTINCT ran_as, session, superuser FROM app.loot ORDER BY 1}), $may_take_role ? "app|app|off\ngrp|app|off" : 'app|app|off',
	'hostile code has run only as its owner, or a role that is its to take');
is($server->safe_psql('postgres', 'SELECT rolname FROM pg_roles WHERE rolsuper'), 'postgres', 'nobody has become superuser');
is($server->safe_psql('postgres', 'TABLE victim.secret'), 'treasure', 'nothing of another hub was taken');
cmp_ok($attacks, '>=', 40, "$attacks attacks");

$gate->quit;
$server->stop;
done_testing();
