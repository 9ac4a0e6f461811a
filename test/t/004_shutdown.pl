# Stopping, reloading, and what becomes of the processes when the postmaster
# dies or the server is a standby.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use DurableServer;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $server = DurableServer->create(
	'primary',
	init => { allows_streaming => 1 },
	conf => <<'END');
durable.poll_interval = 1h
durable.max_dispatch_attempts = 1
max_connections = 20
END
my $napping = q{EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'durable worker' AND wait_event = 'PgSleep')};

$server->install('postgres', 'app', 'app2');

# --- stop ----------------------------------------------------------------------------

$server->start_instance('postgres', 'app', 'walk_and_nap', 'sleeper', '{"seconds": 1000}');
$server->wait_until('postgres', $napping);
foreach my $mode ('fast', 'smart')
{
	my $before = time;

	$server->stop($mode);
	cmp_ok(time - $before, '<', 500, "a $mode shutdown does not wait for a sleeping activity");
	$server->start;
	$server->comes_true('postgres', $napping, 'which runs again afterwards: nothing is held against it');
}
$server->sql('postgres', 'app', q{SELECT durable.terminate('sleeper')});
$server->ends('postgres', 'app', 'sleeper', 'terminate ends its instance', 'terminated');
$server->safe_psql('postgres', q{SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'});
is($server->sql('postgres', 'app', q{SELECT count(*) FROM effects WHERE instance_id = 'sleeper' AND step = 1}),
	'1', 'what it did before was done once');

# --- a cancelled activity ------------------------------------------------------------------

$server->start_instance('postgres', 'app', 'walk_and_nap', 'cancelled', '{"seconds": 1000}');
$server->wait_until('postgres', $napping);
$server->safe_psql('postgres', q{SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'});
$server->ends('postgres', 'app', 'cancelled', 'pg_cancel_backend fails the activity', 'failed');
is($server->sql('postgres', 'app', q{SELECT failure->>'sqlstate' FROM durable.instances WHERE instance_id = 'cancelled'}),
	'57014', 'with 57014');

# --- reload --------------------------------------------------------------------------------

my $gate = $server->close_gate('postgres', 1);

$server->start_instance('postgres', 'app', 'walk_through_gate', 'disabled', '{"gate": 1}');
$server->wait_until('postgres', DurableServer::at_gate(1, 1));
$server->configure('durable.enabled' => 'off');
$server->comes_true('postgres', DurableServer::count_is('coordinator', 0), 'durable.enabled = off: the coordinator leaves');
is($server->safe_psql('postgres', "SELECT state FROM durable.workers WHERE kind = 'worker' AND item IS NOT NULL"),
	'busy', 'scenario 161: a worker ends what it has in hand');
$server->start_instance('postgres', 'app2', 'walk', 'later', '{"steps": 1}');
$gate->query_safe('SELECT pg_advisory_unlock(1)');
$server->comes_true('postgres', DurableServer::count_is('worker', 0), 'scenario 161: then it leaves');
is($server->safe_psql('postgres', q{SELECT instance_id, status FROM durable.instances WHERE instance_id IN ('disabled', 'later') ORDER BY 1}),
	"disabled|running\nlater|pending", 'nothing else runs');
is($server->sql('postgres', 'app', q{SELECT string_agg(step::text, ',' ORDER BY step) FROM effects WHERE instance_id = 'disabled'}),
	'1,2', 'but the activity in hand has ended');
is($server->safe_psql('postgres', 'SELECT ' . DurableServer::count_is('launcher', 1)), 't', 'the launcher stays');
$server->configure('durable.enabled' => 'on');
$server->ends('postgres', 'app', 'disabled', 'on again: it goes on');
$server->ends('postgres', 'app2', 'later', 'so does what was started meanwhile');

$server->configure('durable.max_workers' => 1, 'durable.worker_idle_timeout' => 0);
$server->wait_until('postgres', DurableServer::count_is('worker', 0));
$gate->query_safe('SELECT pg_advisory_lock(1)');
my $offset = -s $server->logfile;
$server->start_instance('postgres', 'app', 'crowd_at_gate', 'crowd', '{"gate": 1, "width": 3}');
$server->wait_until('postgres', DurableServer::at_gate(1, 1));
$server->start_instance('postgres', 'app2', 'walk', 'squeezed', '{"steps": 1}');
$server->wait_for_log(qr/as many workers as durable.max_workers allows/, $offset);
is($server->safe_psql('postgres', 'SELECT ' . DurableServer::count_is('worker', 1)), 't',
	'durable.max_workers = 1: one worker, and the log says so');
$server->configure('durable.max_workers' => 5);
$server->ends('postgres', 'app2', 'squeezed', 'durable.max_workers = 5: another hub is served');
$server->comes_true('postgres', DurableServer::at_gate(1, 3), 'and several activities of a hub run at a time');
$gate->query_safe('SELECT pg_advisory_unlock(1)');
$server->ends('postgres', 'app', 'crowd', 'they end');
$server->effects_are_exact('postgres', 'app', 3, "instance_id IN ('crowd', 'disabled')", 'each with its effect once');
$server->configure('durable.worker_idle_timeout' => '1min');
$gate->quit;

# --- a standby ----------------------------------------------------------------------------

$server->backup('backup');
my $standby = DurableServer->new('standby');
$standby->init_from_backup($server, 'backup', has_streaming => 1);
$standby->start;

$server->start_instance('postgres', 'app', 'wait_for_go', 'failed over');
$gate = $server->close_gate('postgres', 1);		# there is none on the standby
$server->start_instance('postgres', 'app', 'walk_through_gate', 'at the gate at failover', '{"gate": 1}');
$server->wait_until('postgres', DurableServer::at_gate(1, 1));
$server->wait_until('postgres', q{(SELECT waiting_for ? 'events' FROM durable.instances WHERE instance_id = 'failed over')});
$server->sql('postgres', 'app', q{SELECT durable.raise_event('failed over', 'go', '1')});
$server->wait_until('postgres', q{EXISTS (SELECT FROM app.effects WHERE instance_id = 'failed over')});
$server->wait_for_catchup($standby, 'replay', $server->lsn('insert'));
is($standby->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'durable%'"),
	'0', 'a standby runs no processes');
is($standby->safe_psql('postgres', "SELECT count(*) FROM durable.instances WHERE instance_id IN ('failed over', 'at the gate at failover')"),
	'2', 'but shows the instances');
my (undef, undef, $stderr) = $standby->try_sql('postgres', 'app', q{SELECT durable.start_instance('walk', '{"steps": 1}')});
like($stderr, qr/read-only transaction|recovery/, 'nothing can be started there');
(undef, undef, $stderr) = $standby->try_sql('postgres', 'app', q{SELECT durable.run_until_idle()});
like($stderr, qr/ERROR: .*(read-only transaction|recovery)/, 'nor run');

# --- the postmaster dies ---------------------------------------------------------------------

my @pids = split /\n/, $server->safe_psql('postgres', "SELECT pid FROM pg_stat_activity WHERE backend_type LIKE 'durable%'");
cmp_ok(scalar @pids, '>=', 3, 'there are some processes');
$server->kill9;
ok(DurableServer::is_gone($_), 'a process leaves when the postmaster is dead') foreach @pids;

$standby->promote;
$standby->comes_true('postgres', DurableServer::count_is('launcher', 1), 'promotion starts the launcher');
$standby->ends('postgres', 'app', $_, "the instance $_ ends on the new primary") foreach 'failed over', 'at the gate at failover';
$standby->effects_are_exact('postgres', 'app', 1, "instance_id = 'failed over'", 'with its effect once');
$standby->effects_are_exact('postgres', 'app', 3, "instance_id = 'at the gate at failover'", 'and so the one that was in an activity');
$standby->runs('postgres', 'app2', 'new', 'new ones run there');

$standby->stop;
done_testing();
