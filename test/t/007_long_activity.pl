# scenario 15: an activity that outlasts every interval there is (safety polls,
# the idle time of workers, the time of a batch) runs once. No lock of it
# expires, so none is renewed.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use DurableServer;
use Test::More;

my $server = DurableServer->create('long_activity', conf => <<'END');
durable.poll_interval = 100ms
durable.worker_idle_timeout = 100ms
durable.batch_time = 1ms
END
$server->install('postgres', 'app');
my $gate = $server->close_gate('postgres', 1);

$server->start_instance('postgres', 'app', 'walk_through_gate', 'long', '{"gate": 1}');
my $worker = $server->pid_at_gate(1);

# Other workers come, do all else, and leave again.
foreach my $round (1 .. 3)
{
	$server->runs('postgres', 'app', "meanwhile $round", "scenario 15: others run meanwhile: $round");
	$server->comes_true('postgres', DurableServer::count_is('worker', 1), "scenario 15: and their worker leaves: $round");
}

# The coordinator has looked for work nobody told it of, several times.
foreach my $poll (1 .. 5)
{
	my $seen = $server->safe_psql('postgres', q{SELECT query_start FROM pg_stat_activity WHERE backend_type = 'durable coordinator'});

	$server->wait_until('postgres',
		"query_start > '$seen' FROM pg_stat_activity WHERE backend_type = 'durable coordinator'");
}
is($server->safe_psql('postgres', q{SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objid = 1 AND NOT granted}),
	$worker, 'scenario 15: the activity is still run by the worker that took it, and by no other');

$gate->query_safe('SELECT pg_advisory_unlock(1)');
$server->ends('postgres', 'app', 'long', 'scenario 15: it completes when the gate opens');
$server->effects_are_exact('postgres', 'app', 3, "instance_id = 'long'", 'scenario 15: each activity was executed once');
is($server->sql('postgres', 'app', q{SELECT DISTINCT attempt FROM effects WHERE instance_id = 'long'}), '1', 'scenario 15: at the first attempt');
is($server->sql('postgres', 'app', q{SELECT count(*) FROM durable.history WHERE instance_id = 'long' AND event_type = 'TaskCompleted'}),
	'3', 'scenario 15: with one result each');

$gate->quit;
$server->stop;
done_testing();
