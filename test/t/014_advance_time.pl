# Time is skipped only where no background worker can meet the hub: two clocks
# in one hub would make nonsense of its times.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use DurableServer;
use Test::More;

my $server = DurableServer->create('advance_time');
my $skip = 'SELECT durable.run_until_idle(advance_time => true)';

$server->safe_psql('postgres', 'CREATE EXTENSION durable');
$server->add_role('postgres', 'app');

# What psql says as app.
sub skips
{
	my ($exit_code, $stdout, $stderr) = $server->psql('postgres', $skip, extra_params => [ '-U', 'app', '-v', 'VERBOSITY=verbose' ]);
	return $exit_code == 0 ? "did $stdout" : $stderr;
}

$server->start_instance('postgres', 'app', 'wait_for_timer', 'by workers', '{"delay": "30 days"}');
$server->comes_true('postgres', q{EXISTS (SELECT FROM durable.instances WHERE instance_id = 'by workers' AND status = 'running')}, 'a worker has it');
my $said = skips();
like($said, qr/ERROR:  55000: time cannot be advanced in task hub "app", which background workers run/, 'refused beside workers');
like($said, qr/HINT:  Test on a server with durable\.enabled = off/, 'with a hint');
is($server->sql('postgres', 'app', 'SELECT durable.run_until_idle()'), '0', 'without advance_time it is not');

# A worker that was there before is still one.
$server->safe_psql('postgres', 'SELECT durable.pause_hub($$app$$)');
like(skips(), qr/^did 0$/, 'in a paused hub nothing would run anyway');
$server->safe_psql('postgres', 'SELECT durable.resume_hub($$app$$)');

$server->configure('durable.databases' => 'other');
$server->comes_true('postgres', q{NOT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type ~ '^durable (worker|coordinator)')}, 'workers leave a database that is not listed');
like(skips(), qr/^did [1-9]/, 'there it is not refused');
$server->ends('postgres', 'app', 'by workers', 'and 30 days are over');

$server->configure('durable.databases' => '*');
like(skips(), qr/ERROR:  55000/, 'listed again');
$server->configure('durable.enabled' => 'off');
$server->comes_true('postgres', q{NOT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type ~ '^durable (worker|coordinator)')}, 'durable.enabled = off ends the workers');
like(skips(), qr/^did 0$/, 'not refused');

$server->stop;
done_testing();
