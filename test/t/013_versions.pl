# Versions and limits with real workers: who is rejected waits without costing
# anything, limits hold over all processes, and what frees the way wakes.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use DurableServer;
use Test::More;

# Nobody looks by himself: what goes on has been woken.
my $server = DurableServer->create('versions', conf => <<'END');
autovacuum = off
wal_writer_delay = 10s
durable.poll_interval = '1h'
durable.worker_idle_timeout = '1h'
END
$server->install('postgres', 'app');
$server->runs('postgres', 'app', 'first', 'the hub is served');

# --- rejected -----------------------------------------------------------------

$server->sql('postgres', 'app', q{SELECT durable.set_hub_versioning('app', '1.0', 'strict')});
$server->sql('postgres', 'app', <<'SQL');
SELECT durable.start_instance('walk', '{"steps": 1}', instance_id => 'early ' || i, version => '2.0') FROM generate_series(1, 5) i;
SELECT durable.start_instance('wait_for_go', instance_id => 'old', version => '1.0');
SQL
$server->wait_until('postgres', q{(SELECT waiting_for ? 'events' FROM durable.instances WHERE instance_id = 'old')});
$server->comes_true('postgres', q{(SELECT count(*) FILTER (WHERE visible_at = 'infinity') = 5 AND count(*) = 5 FROM durable.messages)},
	'scenario 141: what the hub does not run is put off');
$server->wait_until('postgres', q{NOT EXISTS (SELECT FROM durable.workers WHERE kind = 'worker' AND state <> 'idle')});

my $seconds = 4;
my $spent;
for (1 .. 5)		# statistics told late may still fall into the first one
{
	my ($before, $after) = split /\n/, $server->safe_psql('template1', <<"SQL");
\\o /dev/null
SELECT pg_sleep(1);		-- by then all that was done before is counted
\\o
SELECT sum(xact_commit + xact_rollback) FROM pg_stat_database WHERE datname = 'postgres';
\\o /dev/null
SELECT pg_sleep($seconds);
\\o
SELECT sum(xact_commit + xact_rollback) FROM pg_stat_database WHERE datname = 'postgres';
SQL
	$spent = $after - $before;
	last if $spent <= 1;
}
cmp_ok($spent, '<=', 1, 'scenario 141: and costs nothing while it waits');

$server->sql('postgres', 'app', q{SELECT durable.set_hub_versioning('app', '2.0', 'strict')});
$server->ends('postgres', 'app', "early $_", "scenario 141: the version comes and wakes it ($_)") foreach 1 .. 5;
$server->sql('postgres', 'app', q{SELECT durable.raise_event('old', 'go', '"late"')});
$server->comes_true('postgres', q{(SELECT count(*) = 1 AND min(visible_at) = 'infinity' FROM durable.messages)},
	'an event of one that is too old now waits with it');
$server->sql('postgres', 'app', q{SELECT durable.set_hub_versioning('app', '2.0', 'current_or_older')});
$server->ends('postgres', 'app', 'old', 'and is delivered with it');
is($server->sql('postgres', 'app', q{SELECT output FROM durable.instances WHERE instance_id = 'old'}), '"late"', 'with its data');

$server->sql('postgres', 'app', q{SELECT durable.start_instance('wait_for_go', instance_id => 'end', version => '3.0')});
$server->wait_until('postgres', q{(SELECT min(visible_at) = 'infinity' FROM durable.messages)});
$server->sql('postgres', 'app', q{SELECT durable.terminate('end')});
$server->ends('postgres', 'app', 'end', 'one that is rejected can be terminated', 'terminated');
$server->sql('postgres', 'app', q{SELECT durable.set_hub_versioning('app')});

# --- limits over all workers -----------------------------------------------------

my $gate = $server->close_gate('postgres', 1);

$server->sql('postgres', 'app', q{SELECT durable.register_activity('pass_gate', max_concurrency => 1)});
$server->start_instance('postgres', 'app', 'crowd_at_gate', 'crowd', '{"gate": 1, "width": 4}');
$server->wait_until('postgres', DurableServer::at_gate(1, 1));
$server->runs('postgres', 'app', 'passes', 'others go past those that have no place');
is($server->safe_psql('postgres', 'SELECT ' . DurableServer::at_gate(1, 1)), 't', 'only one is running, though there is another worker');
$gate->query_safe('SELECT pg_advisory_unlock(1)');
$server->ends('postgres', 'app', 'crowd', 'one after the other they run');

# A version longer than an index entry can be.
$gate->query_safe('SELECT pg_advisory_lock(1)');
$server->sql('postgres', 'app', q{SELECT durable.start_instance('crowd_at_gate', '{"gate": 1, "width": 3}', 'long',
	version => (SELECT string_agg(md5(i::text), '') FROM generate_series(1, 200) i))});
$server->wait_until('postgres', DurableServer::at_gate(1, 1));
$server->runs('postgres', 'app', 'passes long', 'others go past activities of a very long version');
$gate->query_safe('SELECT pg_advisory_unlock(1)');
$server->ends('postgres', 'app', 'long', 'which run, too');

$gate->query_safe('SELECT pg_advisory_lock(1)');
$server->sql('postgres', 'app', q{SELECT durable.register_activity('pass_gate', max_concurrency => 2)});
$server->start_instance('postgres', 'app', 'crowd_at_gate', 'pairs', '{"gate": 1, "width": 5}');
$server->wait_until('postgres', DurableServer::at_gate(1, 2));
$server->runs('postgres', 'app', 'passes too', 'others go past two');
is($server->safe_psql('postgres', 'SELECT ' . DurableServer::at_gate(1, 2)), 't', 'two are running');

# One is killed: its place is free.
my $offset = -s $server->logfile;
my $pid = $server->safe_psql('postgres', q{SELECT min(pid) FROM pg_locks WHERE locktype = 'advisory' AND objid = 1 AND NOT granted});
$server->safe_psql('postgres', "SELECT pg_terminate_backend($pid)");
$server->wait_until('postgres', "NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $pid)");
$server->comes_true('postgres', DurableServer::at_gate(1, 2), 'the place of a worker that has gone is taken by another');
$gate->query_safe('SELECT pg_advisory_unlock(1)');
$server->ends('postgres', 'app', 'pairs', 'all of them run in the end');
$server->effects_are_exact('postgres', 'app', 5, "instance_id = 'pairs'", 'each once');
$server->effects_are_exact('postgres', 'app', 4, "instance_id = 'crowd'", 'whatever was in its way');

# One that is to be repeated later is not parked with others of its name: it would hide those of other names, which are due.
$server->sql('postgres', 'app', <<'SQL');
CREATE FUNCTION pass_a(gate int) RETURNS int LANGUAGE sql AS 'SELECT pass_gate(gate, 1)';
CREATE FUNCTION pass_b(gate int) RETURNS int LANGUAGE sql AS 'SELECT pass_gate(gate, 1)';
CREATE FUNCTION passes(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN durable.call_activity(input ->> 'name', input - 'name'); END $$;
SELECT durable.register_activity('pass_a', max_concurrency => 1), durable.register_activity('pass_b', max_concurrency => 1);
SQL
sub is_parked { return "(SELECT parked FROM durable_store.activity_queue WHERE instance_id = '$_[0]')"; }

$gate->query_safe('SELECT pg_advisory_lock(1), pg_advisory_lock(2), pg_advisory_lock(3)');
$server->safe_psql('postgres', q{SELECT durable.set_hub_limits('app', max_workers => 1)});
$server->runs('postgres', 'app', 'needs no help', 'the coordinator looks');
$server->wait_until('postgres', q{(SELECT count(*) <= 1 FROM pg_stat_activity WHERE backend_type = 'durable worker')});
$server->sql('postgres', 'app', q{SELECT durable.start_instance('passes', '{"name": "pass_a", "gate": 1}', instance_id => 'a' || i) FROM generate_series(1, 3) i});
$server->wait_until('postgres', DurableServer::at_gate(1, 1));
my ($later, $queued) = split /\n/, $server->safe_psql('postgres', <<'SQL');
UPDATE durable_store.activity_queue SET visible_at = now() + interval '1 hour' WHERE ctid = (SELECT ctid FROM durable_store.activity_queue
	WHERE task_hub = 'app' LIMIT 1 FOR UPDATE SKIP LOCKED) RETURNING instance_id;		-- as after a conflict
SELECT instance_id FROM durable_store.activity_queue WHERE task_hub = 'app' AND visible_at < now() LIMIT 1 FOR UPDATE SKIP LOCKED
SQL
$server->safe_psql('postgres', q{SELECT durable.set_hub_limits('app')});
$server->runs('postgres', 'app', 'calls for help', 'another worker comes');
$server->wait_until('postgres', is_parked($queued));
# The row of the one that runs is in the queue as well: let it be one that was parked.
$server->start_instance('postgres', 'app', 'passes', 'b1', '{"name": "pass_b", "gate": 2}');
$server->wait_until('postgres', DurableServer::at_gate(2, 1));
$server->sql('postgres', 'app', q{SELECT durable.start_instance('passes', '{"name": "pass_b", "gate": 3}', instance_id => 'b' || i) FROM generate_series(2, 3) i});
$server->wait_until('postgres', is_parked('b2') . ' AND ' . is_parked('b3'));
$gate->query_safe('SELECT pg_advisory_unlock(2)');
$server->wait_until('postgres', DurableServer::at_gate(3, 1));
$gate->query_safe('SELECT pg_advisory_unlock(1)');
$server->wait_until('postgres', q{(SELECT count(*) = 2 FROM durable.instances WHERE instance_id IN ('a1', 'a2', 'a3') AND status = 'completed')});
$server->wait_until('postgres', q{(SELECT count(*) = 1 FROM durable.workers WHERE kind = 'worker' AND state = 'busy')});
$server->sql('postgres', 'app', q{SELECT durable.register_activity('pass_b', max_concurrency => 2)});
$server->comes_true('postgres', DurableServer::at_gate(3, 2), 'what is parked is found beside an activity of another name that is to be repeated later');
$gate->query_safe('SELECT pg_advisory_unlock(3)');
$server->ends('postgres', 'app', $_, 'and ends') foreach 'b1', 'b2', 'b3';
$server->safe_psql('postgres', "UPDATE durable_store.activity_queue SET visible_at = now() WHERE instance_id = '$later'");		# the hour is over
$server->runs('postgres', 'app', 'wakes', 'somebody looks again');
$server->ends('postgres', 'app', $later, 'that one runs in its time');
$server->effects_are_exact('postgres', 'app', 1, q{name = 'passes'}, 'each has had its effect once');

# --- external ---------------------------------------------------------------------

# The first one's commit, and the turn after it, come behind the place it tells; only
# a flush of its own brings them to disk before the second one looks.
$server->sql('postgres', 'app', <<'SQL');
CREATE FUNCTION written() RETURNS text LANGUAGE sql AS $$ SELECT effect(0); SELECT pg_current_wal_insert_lsn()::text $$;
CREATE FUNCTION flushed() RETURNS text LANGUAGE sql AS $$ SELECT pg_current_wal_flush_lsn()::text $$;
CREATE FUNCTION looks(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	RETURN jsonb_build_array(durable.call_activity('written'), durable.call_activity('flushed'));
END $$;
SELECT durable.register_activity('flushed', external => true);
SQL
foreach (1 .. 10)
{
	$server->start_instance('postgres', 'app', 'looks', "looks $_");
	$server->ends('postgres', 'app', "looks $_", "an external activity runs ($_)");
}
is($server->sql('postgres', 'app', q{SELECT count(*) FROM durable.instances WHERE instance_id LIKE 'looks%' AND (output->>1)::pg_lsn < (output->>0)::pg_lsn}),
	'0', 'before it starts, what it depends on is on disk');

$gate->quit;
$server->stop;
done_testing();
