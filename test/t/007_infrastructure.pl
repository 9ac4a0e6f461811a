# What the workers owe whoever operates them: nothing is lost or done twice
# when one of them dies in the middle of a commit, they come with the load and
# go with it, they outlive errors of their own, and hubs, databases and dumps
# keep apart what is apart.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use DurableServer;
use PostgreSQL::Test::Utils;
use Test::More;

my $server = DurableServer->create('infrastructure', conf => <<'END');
durable.poll_interval = 1h
durable.worker_idle_timeout = 1h
max_worker_processes = 16
END
my $gate;

$server->install('postgres', 'app', 'app2', 'app3');
$server->sql('postgres', 'app', <<'SQL');
-- {"gate": 1}: an activity, then a turn that waits at the gate, then a child and another activity.
-- unchecked: the gate is a lock
CREATE FUNCTION turn_at_gate(input jsonb) RETURNS jsonb LANGUAGE plpgsql SET durable.orchestrator_checks = off AS $$
DECLARE
	child	durable.task;
	task	durable.task;
BEGIN
	PERFORM durable.call_activity('effect', '{"step": 1}');
	PERFORM pg_advisory_xact_lock_shared((input->>'gate')::int);
	child := durable.schedule_suborchestrator('walk', '{"steps": 2}', instance_id => durable.instance_id() || ', child');
	task := durable.schedule_activity('effect', '{"step": 2}');
	PERFORM durable.await_all(task, child);
	RETURN input;
END $$;

-- Waits for "go", then ends as the input says.
CREATE FUNCTION ends_so(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	PERFORM durable.call_activity('effect', '{"step": 1}');
	PERFORM durable.wait_for_event('go');
	IF input->>'how' = 'failed' THEN
		RAISE EXCEPTION 'as told';
	END IF;
	RETURN to_jsonb(repeat('x', coalesce((input->>'size')::int, 1)));
END $$;

-- {"children": 3, "size": 20000}: so many children, each given a payload and returning it.
CREATE FUNCTION family(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	tasks	durable.task[];
	load	text := repeat(md5(durable.instance_id()), (input->>'size')::int / 32);
BEGIN
	FOR i IN 1 .. (input->>'children')::int LOOP
		tasks := tasks || durable.schedule_suborchestrator('member', jsonb_build_object('step', i, 'load', load));
	END LOOP;
	RETURN to_jsonb((SELECT count(*) FROM unnest(durable.await_all(tasks)) r WHERE r->>'load' = load));
END $$;
CREATE FUNCTION member(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	RETURN durable.call_activity('carry', input || jsonb_build_object('parent', durable.parent_instance_id()));
END $$;
CREATE FUNCTION carry(step int, load text, parent text) RETURNS jsonb LANGUAGE sql AS $$
	INSERT INTO effects VALUES (parent, step, durable.attempt()) RETURNING jsonb_build_object('load', load)
$$;
SQL

# Every history is whole: one start, at most one end, numbered without a gap.
sub histories_are_whole
{
	my ($where, $what) = @_;

	is($server->safe_psql('postgres', <<"SQL"), '', $what);
SELECT instance_id FROM durable.history WHERE $where GROUP BY instance_id
HAVING count(*) FILTER (WHERE event_type = 'ExecutionStarted') <> 1 OR count(*) FILTER (WHERE event_type = 'ExecutionCompleted') <> 1
	OR max(seq) <> count(*) OR count(*) FILTER (WHERE event_type = 'OrchestratorStarted') <> max(turn)
SQL
}

# --- a turn dies before its checkpoint --------------------------------------------

foreach my $how ('killed', 'terminated')
{
	my $id = "turn $how";
	my $pid;

	$gate = $server->close_gate('postgres', 1);
	$server->start_instance('postgres', 'app', 'turn_at_gate', $id, '{"gate": 1}');
	$pid = $server->pid_at_gate(1);
	$how eq 'killed' ? $server->crash($pid) : $server->safe_psql('postgres', "SELECT pg_terminate_backend($pid, 60000)");
	$gate->quit;
	$server->ends('postgres', 'app', $id, "scenario 156: an instance whose worker is $how in a turn completes");
	$server->effects_are_exact('postgres', 'app', 2, "instance_id ~ '^$id'", 'scenario 156: it and its child have had their effects once');
}
histories_are_whole(q{instance_id ~ '^turn '}, 'scenario 156: their histories tell of one run');

# --- a worker dies in the checkpoint of the last turn ---------------------------------

my %ways = (completed => '{}', failed => '{"how": "failed"}', terminated => '{}', large => '{"size": 3000000}');
foreach my $try ([ 'killed', 'history' ], [ 'terminated', 'instances' ])
{
	my ($how, $table) = @$try;
	my @ids = map { "$how: $_" } sort keys %ways;
	my $pid;

	$server->start_instance('postgres', 'app', 'ends_so', "$how: $_", $ways{$_}) foreach sort keys %ways;
	$server->wait_until('postgres', "(SELECT count(*) FROM durable.instances WHERE instance_id ~ '^$how: ' AND waiting_for ? 'events') = 4");
	$gate = $server->session('postgres');
	$gate->query_safe('BEGIN');
	$gate->query_safe("LOCK TABLE durable_store.$table IN SHARE MODE");		# it can be read
	$server->sql('postgres', 'app', "SELECT durable.terminate('$how: terminated', 'as told'), durable.raise_event(instance_id, 'go')"
		  . " FROM durable.instances WHERE instance_id ~ '^$how: ' AND instance_id !~ 'terminated\$'");
	$server->wait_until('postgres', "EXISTS (SELECT FROM pg_locks WHERE relation = 'durable_store.$table'::regclass AND NOT granted)");
	$pid = $server->safe_psql('postgres', "SELECT min(pid) FROM pg_locks WHERE relation = 'durable_store.$table'::regclass AND NOT granted");
	$how eq 'killed' ? $server->crash($pid) : $server->safe_psql('postgres', "SELECT pg_terminate_backend($pid, 60000)");
	is($server->sql('postgres', 'app', "SELECT DISTINCT status FROM durable.instances WHERE instance_id ~ '^$how: '"), 'running',
		"scenario 160: a worker is $how while it writes to $table: nothing of the turns stands")
	  if $how eq 'terminated';		# after a crash the lock is gone, and others may be through already
	$gate->quit;
	$server->ends('postgres', 'app', "$how: $_", "scenario 160: a worker is $how while it writes to $table, then the instance ends: $_", $_ eq 'large' ? 'completed' : $_) foreach sort keys %ways;
	is($server->sql('postgres', 'app', "SELECT length(output::text), failure->>'errorMessage' FROM durable.instances WHERE instance_id ~ '^$how: ' ORDER BY instance_id"),
		"3|\n|as told\n3000002|\n9|", 'scenario 160: with output and failure');
	is($server->sql('postgres', 'app', "SELECT count(*), count(DISTINCT instance_id) FROM effects WHERE instance_id ~ '^$how: '"),
		'4|4', 'scenario 160: each activity has had its effect once');
	histories_are_whole("instance_id ~ '^$how: '", 'scenario 160: each history has one end');
}
is($server->safe_psql('postgres', 'SELECT (SELECT count(*) FROM durable.messages), (SELECT count(*) FROM durable.activities)'),
	'0|0', 'scenario 160: nothing is left over');

# --- purged while its activity runs -----------------------------------------------------

$gate = $server->close_gate('postgres', 1);
$server->start_instance('postgres', 'app', 'walk_through_gate', 'purged', '{"gate": 1}');
$server->wait_until('postgres', DurableServer::at_gate(1, 1));
$server->sql('postgres', 'app', q{SELECT durable.terminate('purged')});
$server->ends('postgres', 'app', 'purged', 'an instance is terminated while its activity runs', 'terminated');
is($server->sql('postgres', 'app', q{SELECT durable.purge('purged')}), '1', 'scenario 174: and purged');
is($server->safe_psql('postgres', 'SELECT ' . DurableServer::at_gate(1, 1)), 't', 'scenario 174: its activity runs on');
$server->start_instance('postgres', 'app', 'wait_for_go', 'purged');		# another one, of the same id
$server->wait_until('postgres', q{(SELECT waiting_for ? 'events' FROM durable.instances WHERE instance_id = 'purged')});
$gate->query_safe('SELECT pg_advisory_unlock(1)');
$server->comes_true('postgres', q{NOT EXISTS (SELECT FROM durable.activities)}, 'scenario 174: to its end');
$server->sql('postgres', 'app', q{SELECT durable.raise_event('purged', 'go', '"its own"')});
$server->ends('postgres', 'app', 'purged', 'scenario 174: another instance of that id completes');
is($server->sql('postgres', 'app', q{SELECT output, (SELECT count(*) FROM durable.history WHERE instance_id = 'purged' AND event_type = 'TaskCompleted') FROM durable.instances WHERE instance_id = 'purged'}),
	'"its own"|1', 'scenario 174: it has not heard the answer to the purged one');
is($server->sql('postgres', 'app', q{SELECT string_agg(step::text, ',' ORDER BY step) FROM effects WHERE instance_id = 'purged'}),
	'1,1,2', 'scenario 174: each activity that had begun has had its effect once, none came after');

# --- workers come with the load -----------------------------------------------------------

$gate->query_safe('SELECT pg_advisory_lock(1)');
$server->start_instance('postgres', 'app2', 'crowd_at_gate', 'load', '{"gate": 1, "width": 8}');
$server->comes_true('postgres', DurableServer::at_gate(1, 2), 'scenario 164: workers come with the load');
$server->comes_true('postgres', q{(SELECT (ready_activities, running) = (8, 2) FROM durable.queues WHERE task_hub = 'app2')},
	'scenario 164: durable.queues shows what waits and how many run');
$server->configure('durable.max_workers' => 7);
$server->comes_true('postgres', DurableServer::at_gate(1, 4), 'scenario 164: as many as durable.activity_workers allows');
$gate->query_safe('SELECT pg_advisory_unlock(1)');
$server->ends('postgres', 'app2', 'load', 'scenario 164: the load is done');
$server->comes_true('postgres', q{(SELECT (ready_turns, ready_activities, running, oldest_age) = (0, 0, 0, interval '0') FROM durable.queues WHERE task_hub = 'app2')},
	'scenario 164: and the queue is empty');
$server->configure('durable.worker_idle_timeout' => '50ms');
$server->comes_true('postgres', DurableServer::count_is('worker', 0), 'scenario 164: without load the workers go');

# Four places, taken by idle workers of other hubs.
$server->configure('durable.worker_idle_timeout' => '1h', 'durable.max_workers' => 4);
$server->add_role('postgres', 'app4');
$server->runs('postgres', $_, 'takes a place', "$_ has a worker") foreach 'app', 'app2', 'app3', 'app4';
$server->comes_true('postgres', q{(SELECT count(*) = 4 FROM durable.workers WHERE kind = 'worker' AND state = 'idle')}, 'four places are taken by idle workers');
$gate->query_safe('SELECT pg_advisory_lock(1)');
$server->start_instance('postgres', 'app', 'crowd_at_gate', 'wants help', '{"gate": 1, "width": 2}');
$server->comes_true('postgres', DurableServer::at_gate(1, 2), 'an idle worker makes room for a helper of another hub');
$gate->query_safe('SELECT pg_advisory_unlock(1)');
$server->ends('postgres', 'app', 'wants help', 'which does its work');

# --- settings of a role are for its sessions, not for the engine ------------------------------

$server->safe_psql('postgres', 'CREATE ROLE hasty LOGIN');
$server->add_role('postgres', 'hasty');
$server->runs('postgres', 'hasty', 'first', 'a hub with a worker');
$server->safe_psql('postgres', <<'SQL');
ALTER ROLE hasty SET lock_timeout = 1;
SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE usename = 'hasty';
SQL
$server->sql('postgres', 'hasty', <<'SQL');
CREATE FUNCTION has_child(input jsonb) RETURNS jsonb LANGUAGE sql AS $$
	SELECT durable.call_suborchestrator('walk', '{"steps": 2}', instance_id => 'contested')
$$;
SQL
my $client = $server->session('postgres', 'hasty');
$client->query_safe('BEGIN');
$client->query_safe(q{SELECT durable.start_instance('walk', '{"steps": 1}', instance_id => 'contested')});
$server->start_instance('postgres', 'hasty', 'has_child', 'waits for a client');
$server->comes_true('postgres', <<'SQL', 'a worker waits for a client, whatever the lock_timeout of the role');
EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'durable worker' AND wait_event_type = 'Lock' AND usename = 'hasty')
	OR EXISTS (SELECT FROM durable.instances WHERE instance_id = 'waits for a client' AND completed_at IS NOT NULL)
SQL
$client->query_safe('ROLLBACK');
$client->quit;
$server->ends('postgres', 'hasty', 'waits for a client', 'and goes on when he is gone');
$server->effects_are_exact('postgres', 'hasty', 2, q{instance_id = 'contested'}, 'with exact effects');

# PostgreSQL 17 ends a session whose transaction takes longer.
if ($server->pg_version >= 17)
{
	$gate = $server->close_gate('postgres', 77);
	$server->safe_psql('postgres', <<'SQL');
ALTER ROLE hasty RESET lock_timeout;
ALTER ROLE hasty SET transaction_timeout = '300 ms';
SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE usename = 'hasty';
SQL
	$server->start_instance('postgres', 'hasty', 'walk_through_gate', 'takes its time', '{"gate": 77}');
	$server->wait_until('postgres', DurableServer::at_gate(77, 1));
	$server->comes_true('postgres', <<'SQL', 'transactions of a worker last longer than the transaction_timeout of the role');
(SELECT clock_timestamp() - xact_start > '600 ms' FROM pg_stat_activity WHERE backend_type = 'durable worker' AND wait_event = 'advisory')
SQL
	$gate->query_safe('SELECT pg_advisory_unlock(77)');
	$gate->quit;
	$server->ends('postgres', 'hasty', 'takes its time', 'and their work is done');
	$server->effects_are_exact('postgres', 'hasty', 3, q{instance_id = 'takes its time'}, 'at once');
}

# --- what activities leave open -------------------------------------------------------------------

$server->sql('postgres', 'app3', <<'SQL');
CREATE FUNCTION leaves_cursor(kind text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	c	refcursor := 'left_open';
BEGIN
	IF kind = 'hold' THEN
		EXECUTE 'DECLARE left_held CURSOR WITH HOLD FOR SELECT * FROM generate_series(1, 3)';
	ELSE
		CREATE TEMP TABLE temporary AS SELECT * FROM generate_series(1, 3) i;
		OPEN c FOR SELECT * FROM temporary;
		MOVE c;
	END IF;
	RETURN kind;
END $$;
CREATE FUNCTION looks_around() RETURNS text LANGUAGE sql AS $$
	SELECT concat_ws(' ', (SELECT count(*) FROM pg_cursors WHERE name LIKE 'left%'), to_regclass('pg_temp.temporary'), pg_backend_pid())
$$;
CREATE FUNCTION leaves(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	before	jsonb := durable.call_activity('looks_around');
BEGIN
	PERFORM durable.call_activity('leaves_cursor', input);
	RETURN to_jsonb(before = durable.call_activity('looks_around')) || before;
END $$;
SQL
$server->safe_psql('postgres', q{SELECT durable.set_hub_limits('app3', max_workers => 1)});		# a second one would find nothing
foreach my $kind ('hold', 'temporary', 'hold', 'temporary')
{
	$server->sql('postgres', 'app3', qq{SELECT durable.start_instance('leaves', '"$kind"', instance_id => 'leaves $kind')});
	$server->ends('postgres', 'app3', "leaves $kind", "an activity may leave a cursor open ($kind)");
	like($server->sql('postgres', 'app3', "SELECT output FROM durable.instances WHERE instance_id = 'leaves $kind'"),
		qr/^\[true, "0 \d+"\]$/, 'which the next one in that worker does not find');
}

# --- errors of the engine's own ----------------------------------------------------------------------

# Workers and coordinators that come and find a table mislaid, so that every look for work fails.
$server->configure('durable.enabled' => 'off');
$server->wait_until('postgres', DurableServer::count_is($_, 0)) foreach 'coordinator', 'worker';
$server->start_instance('postgres', 'app', 'walk', 'ready', '{"steps": 2}');
$server->safe_psql('postgres', <<'SQL');
INSERT INTO durable_store.inbox (task_hub, instance_id, visible_at, "timestamp", event_type, name)
VALUES ('app', 'nobody', now() - interval '10 min', now() - interval '10 min', 15, 'go');
ALTER TABLE durable_store.inbox RENAME TO mislaid;
SQL
my $offset = -s $server->logfile;
$server->configure('durable.enabled' => 'on', 'durable.poll_interval' => '100ms');
$server->wait_for_log(qr/relation "durable_store.inbox" does not exist/, $offset);
is($server->safe_psql('postgres', q{SELECT status FROM durable.instances WHERE instance_id = 'ready'}), 'pending', 'scenario 161: a look for work that fails fails no instance');
$server->safe_psql('postgres', 'ALTER TABLE durable_store.mislaid RENAME TO inbox');
$server->ends('postgres', 'app', 'ready', 'scenario 161: workers come back after errors in their look for work');
$server->effects_are_exact('postgres', 'app', 2, q{instance_id = 'ready'}, 'scenario 161: with exact effects');
unlike($server->log_since($offset), qr/PANIC|TRAP|terminated by signal/, 'scenario 161: the log tells of errors, not of crashes');
$server->comes_true('postgres', q{NOT EXISTS (SELECT FROM durable.messages WHERE instance_id = 'nobody')}, 'scenario 159: a message to nobody is swept away');
$server->configure('durable.poll_interval' => '1h');
$server->runs('postgres', 'app', 'after the sweep', 'scenario 159: and holds up nobody');

# --- hubs -------------------------------------------------------------------------------------------

$server->safe_psql('postgres', q{SET ROLE app; SELECT durable.create_hub('of a setting')});
$server->safe_psql('postgres', q{ALTER ROLE app SET durable.task_hub = 'of a setting'});
$server->runs('postgres', 'app', 'same id', 'scenario 166: a hub by durable.task_hub');
$server->safe_psql('postgres', 'ALTER ROLE app RESET durable.task_hub');
$server->start_instance('postgres', 'app', 'wait_for_go', 'same id');
$server->start_instance('postgres', 'app2', 'wait_for_go', 'same id');
$server->sql('postgres', 'app', q{SELECT durable.raise_event('same id', 'go', '1')});
$server->ends('postgres', 'app', 'same id', 'scenario 166: a hub by role');
$server->wait_until('postgres', q{(SELECT status = 'running' FROM durable.instances WHERE task_hub = 'app2' AND instance_id = 'same id')});
is($server->safe_psql('postgres', q{SELECT task_hub, name, status FROM durable.instances WHERE instance_id = 'same id' ORDER BY task_hub}),
	"app|wait_for_go|completed\napp2|wait_for_go|running\nof a setting|walk|completed", 'scenario 166: one id in three hubs is three instances');

# --- many at once -------------------------------------------------------------------------------------

$server->sql('postgres', 'app', <<'SQL');
SELECT durable.start_instance('family', '{"children": 3, "size": 20000}', instance_id => 'family ' || i) FROM generate_series(1, 200) i
SQL
$server->comes_true('postgres', q{(SELECT count(*) FROM durable.instances WHERE instance_id ~ '^family ' AND status = 'completed') = 200},
	'scenario 16, 173: hundreds of orchestrations with children and payloads complete');
is($server->sql('postgres', 'app', q{SELECT DISTINCT output FROM durable.instances WHERE instance_id ~ '^family '}), '3',
	'scenario 173: each has got back what its children were given');
$server->effects_are_exact('postgres', 'app', 3, q{instance_id ~ '^family '}, 'scenario 173: each activity has run once');
is($server->safe_psql('postgres', q{SELECT count(*) FROM durable.instances WHERE status <> 'completed' AND name IN ('family', 'member')}), '0', 'scenario 173: so have all children');

# --- dump and restore -----------------------------------------------------------------------------------

$server->safe_psql('postgres', 'CREATE DATABASE original');
$server->install('original', 'app');
$gate->query_safe('SELECT pg_advisory_lock(1)');
$server->sql('original', 'app', <<'SQL');
SELECT durable.start_instance('wait_for_go', instance_id => 'event');
SELECT durable.start_instance('wait_for_timer', '{"delay": "1 h"}', instance_id => 'timer');
SELECT durable.start_instance('walk', '{"steps": 2}', instance_id => 'finished');
SQL
$server->ends('original', 'app', 'finished', 'an instance finishes before the dump');
$server->wait_until('original', q{(SELECT count(*) FROM durable.instances WHERE waiting_for ?| '{events,timers}') = 2});
$server->configure('durable.enabled' => 'off');
$server->wait_until('postgres', DurableServer::count_is($_, 0)) foreach 'coordinator', 'worker';
$server->sql('original', 'app', q{SELECT durable.start_instance('walk', '{"steps": 2}', instance_id => 'ready'); SELECT durable.raise_event('event', 'go', '"sent before"')});
my $dump = $server->basedir . '/dump.sql';
command_ok([ 'pg_dump', '-p', $server->port, '-h', $server->host, '-f', $dump, 'original' ], 'scenario 167: a database with running instances is dumped');
$server->safe_psql('postgres', 'DROP DATABASE original; CREATE DATABASE restored');
command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-o', '/dev/null', '-p', $server->port, '-h', $server->host, '-d', 'restored', '-f', $dump ], 'scenario 167: and restored');
is($server->sql('restored', 'app', 'SELECT state FROM durable.queues'), 'elsewhere', 'scenario 167: its hub is bound to the database it comes from');
$server->configure('durable.enabled' => 'on');
$server->safe_psql('restored', 'UPDATE durable_store.inbox SET visible_at = clock_timestamp() WHERE event_type = 11');		# the hour is over
$server->sql('restored', 'app', q{SELECT durable.adopt_hub('app')});
$server->ends('restored', 'app', $_, "scenario 167: after adopt_hub() its instance goes on: $_") foreach 'event', 'timer', 'ready';
is($server->sql('restored', 'app', q{SELECT output FROM durable.instances WHERE instance_id = 'event'}), '"sent before"', 'scenario 167: with what was on its way');
is($server->sql('restored', 'app', q{SELECT instance_id, array_agg(step ORDER BY step) FROM effects GROUP BY 1 ORDER BY 1}),
	"event|{1}\nfinished|{1,2}\nready|{1,2}\ntimer|{1}", 'scenario 167: each activity has had its effect once');
$server->runs('restored', 'app', 'new', 'scenario 167: new ones run there');
$gate->query_safe('SELECT pg_advisory_unlock(1)');
is($server->safe_psql('restored', q{SELECT extversion, (SELECT count(*) FROM pg_extension_update_paths('durable')) FROM pg_extension WHERE extname = 'durable'}),
	'1.0|0', 'scenario 167: 1.0 is the first version: there is none to upgrade from');

# --- other encodings and collations, created and dropped at the same time ------------------------------------

my %databases = (
	latin1 => q{ENCODING 'LATIN1' LOCALE 'C'},
	euc_jp => q{ENCODING 'EUC_JP' LOCALE 'C'},
	sql_ascii => q{ENCODING 'SQL_ASCII' LOCALE 'C'},
	utf8_icu => q{ENCODING 'UTF8' LOCALE 'C.utf8' LOCALE_PROVIDER icu ICU_LOCALE 'de-u-kc-true'});
$server->safe_psql('postgres', "CREATE DATABASE $_ TEMPLATE template0 $databases{$_}") foreach sort keys %databases;
my @sessions = map { $server->session($_) } sort keys %databases;
$_->{stdin} .= "CREATE EXTENSION durable; SELECT 'created';\n" foreach @sessions;
$_->{run}->pump_nb foreach @sessions;
like($_->query_until(qr/\n/, ''), qr/^created$/m, 'scenario 165: created in several databases at the same time') foreach @sessions;
$_->quit foreach @sessions;
foreach my $database (sort keys %databases)
{
	$server->add_role($database, 'app');
	$server->start_instance($database, 'app', 'wait_for_go', $_) foreach 'Same', 'same';
	$server->sql($database, 'app', q{SELECT durable.raise_event('Same', 'GO', '"upper"')});
	$server->ends($database, 'app', 'Same', "scenario 165: an instance runs in $database ($databases{$database})");
	is($server->sql($database, 'app', q{SELECT instance_id, status FROM durable.instances ORDER BY instance_id COLLATE "C"}),
		"Same|completed\nsame|running", 'scenario 165: ids tell case apart');
}

# Two sessions in one database: one creates it, the other waits and finds it there.
$server->safe_psql('postgres', 'CREATE DATABASE contested');
@sessions = map { $server->session('contested') } 1 .. 2;
$sessions[0]->query_safe('BEGIN');
$sessions[0]->query_safe('CREATE EXTENSION durable');
$sessions[1]->{stdin} .= "CREATE EXTENSION IF NOT EXISTS durable;\nSELECT 'tried';\n";
$sessions[1]->{run}->pump_nb;
$server->wait_until('contested', q{EXISTS (SELECT FROM pg_locks WHERE NOT granted)});
$sessions[0]->query_safe('COMMIT');
like($sessions[1]->query_until(qr/tried/, ''), qr/tried/, 'scenario 165: a second session that creates it waits for the first');
$_->quit foreach @sessions;
foreach my $round (1, 2)
{
	$server->add_role('contested', 'app');
	$server->runs('contested', 'app', "round $round", 'scenario 165: created, it runs');
	$server->safe_psql('contested', 'DROP EXTENSION durable CASCADE; DROP SCHEMA app CASCADE');
	is($server->safe_psql('contested', q{SELECT count(*) FROM pg_namespace WHERE nspname ~ '^durable'}), '0', 'scenario 165: dropped, nothing is left of it');
	$server->safe_psql('contested', 'CREATE EXTENSION durable');
}

$gate->quit;
$server->stop;
done_testing();
