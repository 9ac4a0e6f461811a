# What clients are promised: what they are told is on disk, and what one role
# does neither shows to another nor holds it up.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use DurableServer;
use Test::More;

# Nobody flushes what the workers commit, but for who has to.
my $server = DurableServer->create('durability', conf => <<'END');
durable.poll_interval = 1h
wal_writer_delay = 10s
autovacuum = off
max_prepared_transactions = 5
deadlock_timeout = 100ms
END

$server->install('postgres', 'app', 'app2');

# --- durable when told ------------------------------------------------------------

foreach my $round (1 .. 3)
{
	my $id = "told $round";

	$server->start_instance('postgres', 'app', 'walk', $id, '{"steps": 2}');
	$server->ends('postgres', 'app', $id, 'wait_for_completion() says that it has completed');
	$server->stop('immediate');
	$server->start;
	is($server->sql('postgres', 'app', "SELECT status FROM durable.instances WHERE instance_id = '$id'"),
		'completed', 'and so it has, after a crash in that moment');
	$server->effects_are_exact('postgres', 'app', 2, "instance_id = '$id'", 'with its effects');
}

# The same for one that had completed before anybody asked.
$server->start_instance('postgres', 'app', 'walk', 'asked later', '{"steps": 2}');
$server->wait_until('postgres', q{(SELECT status = 'completed' FROM durable.instances WHERE instance_id = 'asked later')});
$server->ends('postgres', 'app', 'asked later', 'wait_for_completion() after the completion');
$server->stop('immediate');
$server->start;
is($server->sql('postgres', 'app', "SELECT status FROM durable.instances WHERE instance_id = 'asked later'"),
	'completed', 'flushes it, too');

# --- waiting ---------------------------------------------------------------------

foreach my $level ('REPEATABLE READ', 'SERIALIZABLE')
{
	my $session = $server->session('postgres', 'app');

	$server->start_instance('postgres', 'app', 'wait_for_go', $level);
	$server->wait_until('postgres', "(SELECT waiting_for ? 'events' FROM durable.instances WHERE instance_id = '$level')");
	$session->query_safe("BEGIN ISOLATION LEVEL $level");
	is($session->query_safe("SELECT status FROM durable.instances WHERE instance_id = '$level'"), 'running',
		"a $level transaction sees a running instance");
	$server->sql('postgres', 'app', "SELECT durable.raise_event('$level', 'go')");
	is($session->query_safe("SELECT status FROM durable.wait_for_completion('$level')"), 'completed',
		'waits for its completion');
	is($session->query_safe("SELECT status FROM durable.instances WHERE instance_id = '$level'"), 'running',
		'and keeps its snapshot');
	$session->query_safe('COMMIT');
	$session->quit;
}

# Several sessions wait for one instance before it ends.
my @sessions = map { $server->session('postgres', 'app') } 1 .. 3;
$server->start_instance('postgres', 'app', 'wait_for_go', 'awaited');
$_->{stdin} .= "SELECT status FROM durable.wait_for_completion('awaited');\n" foreach @sessions;
$_->{run}->pump_nb foreach @sessions;
$server->wait_until('postgres', q{(SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND wait_event = 'Extension' AND query ~ '''awaited''') = 3});
$server->sql('postgres', 'app', q{SELECT durable.raise_event('awaited', 'go')});
is($_->query_until(qr/\n/, ''), "completed\n", 'a session that waits is told') foreach @sessions;
$_->quit foreach @sessions;

# --- two hubs of two roles ----------------------------------------------------------

$server->start_instance('postgres', 'app', 'wait_for_go', 'mine');
$server->wait_until('postgres', q{(SELECT status = 'running' FROM durable.instances WHERE task_hub = 'app' AND instance_id = 'mine')});
foreach my $sql (
	q{durable.wait_for_completion('mine', timeout => '0 s')}, q{durable.raise_event('mine', 'go')},
	q{durable.terminate('mine')}, q{durable.suspend('mine')})
{
	my (undef, undef, $stderr) = $server->try_sql('postgres', 'app2', "\\set VERBOSITY verbose\nSELECT $sql");
	like($stderr, qr/ERROR:  UD004/, "scenario 166: to another role there is no such instance: $sql");
}
foreach my $sql (
	q{durable.raise_event('mine', 'go', task_hub => 'app')},
	q{durable.start_instance('walk', '{"steps": 1}', task_hub => 'app')}, q{durable.pause_hub('app')})
{
	my ($exit_code, undef, $stderr) = $server->try_sql('postgres', 'app2', "\\set VERBOSITY verbose\nSELECT $sql");
	like($stderr, qr/ERROR:  42501/, "scenario 166: nor by naming its hub: $sql");
}
is($server->sql('postgres', 'app2', qq{SELECT count(*) FROM durable.$_ WHERE task_hub = 'app'}), '0', "scenario 166: nor in durable.$_")
  foreach 'instances', 'history', 'activities', 'messages', 'queues', 'workers';
$server->start_instance('postgres', 'app2', 'wait_for_go', 'mine');
$server->sql('postgres', 'app2', q{SELECT durable.raise_event('mine', 'go')});
$server->ends('postgres', 'app2', 'mine', 'an instance of the same id in another hub');
is($server->sql('postgres', 'app', q{SELECT status FROM durable.instances WHERE instance_id = 'mine'}),
	'running', 'is another instance');

# --- long activities hold up nobody but themselves -----------------------------------

my $gate = $server->close_gate('postgres', 1);

$server->start_instance('postgres', 'app', 'walk_through_gate', 'long 1', '{"gate": 1}');
$server->wait_until('postgres', DurableServer::at_gate(1, 1));
$server->runs('postgres', 'app2', 'beside long 1', 'a long activity in one hub does not hold up another hub');
$server->runs('postgres', 'app', 'beside long 1', 'nor other instances of the same hub');

$gate->query_safe('SELECT pg_advisory_unlock(1)');
$server->ends('postgres', 'app', 'long 1', 'it ends in the end');
is($server->sql('postgres', 'app', q{SELECT string_agg(step || ':' || attempt, ' ' ORDER BY step) FROM effects WHERE instance_id = 'long 1'}),
	'1:1 2:1 3:1', 'scenario 15: a long activity runs once, at its first attempt');

# Two of them, as many as may be in one hub that are not known to be short.
$server->add_role('postgres', 'app3');
$server->runs('postgres', 'app3', 'before long 2', 'a hub runs activities that are short');
$gate->query_safe('SELECT pg_advisory_lock(1)');
$server->start_instance('postgres', 'app3', 'crowd_at_gate', 'long 2', '{"gate": 1, "width": 2}');
$server->wait_until('postgres', DurableServer::at_gate(1, 2));
$server->runs('postgres', 'app2', 'beside long 2', 'two long activities in one hub do not hold up another hub');
$server->runs('postgres', 'app3', 'beside long 2', 'nor other instances of the same hub');
$gate->query_safe('SELECT pg_advisory_unlock(1)');
$server->ends('postgres', 'app3', 'long 2', 'they end in the end');

# More of them than there are workers, while the other hub has none.
$server->safe_psql('postgres', q{SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE usename IN ('app2', 'app3')});
$gate->query_safe('SELECT pg_advisory_lock(1)');
$server->start_instance('postgres', 'app', 'crowd_at_gate', 'crowd', '{"gate": 1, "width": 8}');
$server->comes_true('postgres',
	q{(SELECT count(*) >= 2 FROM pg_locks WHERE locktype = 'advisory' AND objid = 1 AND NOT granted)},
	'scenario 164: several activities of an instance run at a time');
$server->runs('postgres', 'app2', 'beside a crowd', 'nor does any number of them hold up another hub');
$gate->query_safe('SELECT pg_advisory_unlock(1)');
$server->ends('postgres', 'app', 'crowd', 'the crowd ends, too');
$server->ends('postgres', 'app2', 'beside a crowd', 'and so does the one beside it');
$server->effects_are_exact('postgres', 'app', 8, q{instance_id = 'crowd'}, 'each with its effect once');

# --- deadlocks are the engine's affair ------------------------------------------------

$server->sql('postgres', 'app', <<'SQL');
CREATE TABLE counters (id int PRIMARY KEY, n int);
INSERT INTO counters VALUES (1, 0), (2, 0);
CREATE FUNCTION increment_both(first int, second int, gate int) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
	PERFORM effect(1);
	UPDATE counters SET n = n + 1 WHERE id = first;
	PERFORM pg_advisory_xact_lock_shared(gate);
	UPDATE counters SET n = n + 1 WHERE id = second;
	RETURN durable.attempt();
END $$;
CREATE FUNCTION increment(input jsonb) RETURNS jsonb LANGUAGE sql AS $$
	SELECT durable.call_activity('increment_both', input)
$$;
SQL
$gate->query_safe('SELECT pg_advisory_lock(2)');
$server->start_instance('postgres', 'app', 'increment', 'upwards', '{"first": 1, "second": 2, "gate": 2}');
$server->start_instance('postgres', 'app', 'increment', 'downwards', '{"first": 2, "second": 1, "gate": 2}');
$server->wait_until('postgres', DurableServer::at_gate(2, 2));
$gate->query_safe('SELECT pg_advisory_unlock(2)');
$server->ends('postgres', 'app', $_, "of two activities that deadlock, the one $_ succeeds") foreach 'upwards', 'downwards';
is($server->sql('postgres', 'app', q{SELECT string_agg(output::text, ',' ORDER BY output) FROM durable.instances WHERE instance_id ~ 'wards'}),
	'1,2', 'one of them at its second attempt');
is($server->sql('postgres', 'app', 'SELECT string_agg(n::text, $$,$$) FROM counters'), '2,2', 'both have had their effect');
$server->effects_are_exact('postgres', 'app', 1, q{instance_id ~ 'wards'}, 'once');
is($server->sql('postgres', 'app', q{SELECT count(*) FROM durable.history WHERE instance_id ~ 'wards' AND event_type = 'TaskFailed'}),
	'0', 'and no instance heard of it');
$server->comes_true('postgres', q{(SELECT deadlocks FROM pg_stat_database WHERE datname = 'postgres') = 1}, 'there was a deadlock indeed');

# --- PREPARE TRANSACTION ------------------------------------------------------------------

$server->sql('postgres', 'app', <<'SQL');
BEGIN;
SELECT durable.start_instance('walk', '{"steps": 1}', instance_id => 'prepared');
PREPARE TRANSACTION 'start';
SQL
is($server->sql('postgres', 'app', q{SELECT count(*) FROM durable.instances WHERE instance_id = 'prepared'}),
	'0', 'a start in a prepared transaction is not there yet');
$server->sql('postgres', 'app', q{COMMIT PREPARED 'start'});
$server->ends('postgres', 'app', 'prepared', 'COMMIT PREPARED wakes');

# --- an owner who may not log in ---------------------------------------------------------------

$server->safe_psql('postgres', 'CREATE ROLE shut LOGIN');
$server->add_role('postgres', 'shut');
$server->safe_psql('postgres', 'ALTER ROLE shut NOLOGIN');
my $offset = -s $server->logfile;
my (undef, undef, $stderr) = $server->psql('postgres', <<'SQL');
SET SESSION AUTHORIZATION shut;
SELECT durable.start_instance('walk', '{"steps": 1}', instance_id => 'shut out');
SQL
if ($server->pg_version >= 17)
{
	is($stderr, '', 'no warning: since 17 workers may connect for an owner who may not');
	$server->safe_psql('postgres', q{DO $$ BEGIN PERFORM durable.wait_for_completion('shut out', task_hub => 'shut'); END $$});
	is($server->safe_psql('postgres', q{SELECT status FROM durable.instances WHERE instance_id = 'shut out'}), 'completed', 'his hub is served');
	$server->safe_psql('postgres', 'ALTER ROLE shut LOGIN');
}
else
{
	like($stderr, qr/WARNING: .*log in.*\n?(DETAIL|HINT|.*LOGIN)/s, 'a start warns when the owner of the hub may not log in');
	$server->wait_for_log(qr/task hub "shut" of role "shut" in database "postgres" is not being served/, $offset);
	$server->runs('postgres', 'app', 'not shut', 'other hubs go on');
	is($server->safe_psql('postgres', q{SELECT status FROM durable.instances WHERE instance_id = 'shut out'}), 'pending', 'it waits');
	$server->safe_psql('postgres', 'ALTER ROLE shut LOGIN');
	$server->ends('postgres', 'shut', 'shut out', 'ALTER ROLE ... LOGIN lets it go on');
	is(scalar(() = $server->log_since($offset) =~ /is not being served/g), 1, 'the log has told once');
}
unlike($server->log_since($offset), qr/FATAL/, 'and no worker was started in vain');

# The same without CONNECT, and for an owner who has a worker already.
$server->safe_psql('postgres', 'REVOKE CONNECT ON DATABASE postgres FROM PUBLIC; GRANT CONNECT ON DATABASE postgres TO app, app2');
$server->safe_psql('postgres', q{SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE usename = 'shut'});
$offset = -s $server->logfile;
$server->safe_psql('postgres', <<'SQL');
SET SESSION AUTHORIZATION shut;
SELECT durable.start_instance('walk', '{"steps": 1}', instance_id => 'no connection');
SQL
$server->wait_for_log(qr/task hub "shut" .* is not being served/, $offset);
$server->safe_psql('postgres', 'GRANT CONNECT ON DATABASE postgres TO PUBLIC');
$server->reload;
$server->ends('postgres', 'shut', 'no connection', 'nor without CONNECT; a reload makes the workers look at once');

# --- an owner who is gone ------------------------------------------------------------------------

$server->safe_psql('postgres', 'CREATE ROLE leaver LOGIN');
$server->add_role('postgres', 'leaver');
$server->start_instance('postgres', 'leaver', 'wait_for_go', 'orphan');
$server->safe_psql('postgres', <<'SQL');
SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE usename = 'leaver';
DROP OWNED BY leaver;
DROP ROLE leaver;
SQL
$server->runs('postgres', 'app', 'after the drop', 'the others go on after DROP ROLE');

$gate->quit;
$server->stop;
done_testing();
