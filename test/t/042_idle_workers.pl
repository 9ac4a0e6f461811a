# Workers that sleep: who wakes them, and what does not end them.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PointsServer;
use Test::More;

my $server = PointsServer->create('idle_workers', conf => <<'END');
durable.poll_interval = 1h
durable.max_workers = 3
durable.worker_idle_timeout = 1h
durable.inline_activities = off
durable.synchronous_commit = on
END

$server->install('postgres', 'app');

# Several workers that have slept for a while.
my $all_idle = q{(SELECT count(*) > 1 AND bool_and(state = 'idle' AND clock_timestamp() - since > '1 s') FROM durable.workers WHERE task_hub = 'app')};

my $gate = $server->close_gate('postgres', 7);
$server->start_instance('postgres', 'app', 'walk_through_gate', 'first', '{"gate": 7}');
$server->wait_until('postgres', DurableServer::at_gate(7, 1));
$server->runs('postgres', 'app', 'second', 'one worker beside another');
$gate->quit;
$server->ends('postgres', 'app', 'first', 'which goes on');
$server->wait_until('postgres', $all_idle);

# --- a worker that makes work for itself -----------------------------------------------------

# Each of its commits makes one work item, which it takes itself.
my $began = $server->safe_psql('postgres', 'SELECT clock_timestamp()');
$server->start_instance('postgres', 'app', 'walk', 'many steps', '{"steps": 50}');
$server->ends('postgres', 'app', 'many steps', 'one worker walks');
is($server->safe_psql('postgres', "SELECT count(*) FROM durable.workers WHERE task_hub = 'app' AND since > '$began'"), '1',
	'and wakes no other for what it takes itself');

# --- a worker that is cancelled where there is nothing to cancel --------------------------------

$server->wait_until('postgres', $all_idle);
my $workers = q{SELECT string_agg(pid::text, ' ' ORDER BY pid) FROM durable.workers WHERE task_hub = 'app'};
my $before = $server->safe_psql('postgres', $workers);
$server->arm('worker.woken', 'pause', 'app');
$server->start_instance('postgres', 'app', 'walk', 'cancelled', '{"steps": 1}');
ok($server->all_come('worker.woken', 'app'), 'a worker wakes up');
my %pid = $server->taken('worker.woken');
$server->safe_psql('postgres', "SELECT pg_cancel_backend($pid{app})");
$server->release;
$server->ends('postgres', 'app', 'cancelled', 'a worker that is cancelled as it wakes up goes on');
is($server->safe_psql('postgres', $workers), $before, 'it is the same one');

$server->stop;
done_testing();
