# After an incident: 100,000 instances became due while the server was down.
# It comes up with nothing running, clients are served, and what waits is
# released slowly, the oldest first.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use DurableServer;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

my $waiting = 100_000;
my $rate = 400;
my $burst = 0.1 * $rate;	# what comes together when it was not used
my $server = DurableServer->create('incident', conf => <<'END');
durable.poll_interval = 1h
durable.worker_idle_timeout = 1h
max_worker_processes = 16
END

# The private memory of a process, in kB.
sub memory_of
{
	my ($pid) = @_;

	return slurp_file("/proc/$pid/status") =~ /RssAnon:\s+(\d+) kB/ ? $1 : die "no RssAnon of $pid";
}

sub count_done
{
	return $server->safe_psql('postgres', q{SELECT count(*) FROM durable.instances WHERE task_hub = 'app' AND status = 'completed' AND name = 'quick'});
}

# --- the incident ---------------------------------------------------------------------

$server->install('postgres', 'app');
$server->sql('postgres', 'app', <<'SQL');
CREATE FUNCTION quick(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS 'BEGIN RETURN input; END';
SELECT durable.start_instance('wait_for_go', instance_id => 'waits for ' || what) FROM unnest('{client,event}'::text[]) what;
SELECT durable.start_instance('wait_for_timer', '{"delay": "1 h"}', instance_id => 'timer ' || i) FROM generate_series(1, 20) i;
SQL
$server->wait_until('postgres', q{(SELECT count(*) FROM durable.instances WHERE waiting_for ?| '{events,timers}') = 22});
$server->configure('durable.enabled' => 'off');
$server->wait_until('postgres', DurableServer::count_is($_, 0)) foreach 'coordinator', 'worker';
$server->safe_psql('postgres', 'UPDATE durable_store.inbox SET visible_at = now() WHERE event_type = 11');

# As many starts as the first, written as it is: that is quicker than to start them.
$server->sql('postgres', 'app', q{SELECT durable.start_instance('quick', '1', instance_id => 'quick 1', start_at => now() + interval '2 s')});
$server->safe_psql('postgres', <<"SQL");
CREATE TEMP TABLE news AS SELECT 'quick ' || i AS id, gen_random_uuid() AS execution, i * interval '10 us' AS later FROM generate_series(2, $waiting) i;
INSERT INTO durable_store.instances (task_hub, updated_at, instance_id, execution_id, created_at, scheduled_start_at, name, function, settings, input, code)
SELECT task_hub, updated_at, id, execution, created_at, scheduled_start_at + later, name, function, settings, input, code
FROM durable_store.instances, news WHERE instance_id = 'quick 1';
INSERT INTO durable_store.inbox (task_hub, instance_id, visible_at, "timestamp", execution_id, task_id, event_type, name, payload)
SELECT task_hub, id, visible_at + later, "timestamp", CASE WHEN execution_id IS NOT NULL THEN execution END, task_id, event_type, name, payload
FROM durable_store.inbox, news WHERE instance_id = 'quick 1';
SQL
my $last_due = $server->safe_psql('postgres', q{SELECT extract(epoch FROM max(scheduled_start_at)) FROM durable.instances});
$server->stop;
usleep(1e6 * ($last_due - time)) if time < $last_due;	# now all of them are due

# --- it comes up, and runs nothing -------------------------------------------------------

$server->start;
is($server->safe_psql('postgres', q{SELECT DISTINCT backend_type FROM pg_stat_activity WHERE backend_type ~ '^durable'}), 'durable launcher',
	'with durable.enabled = off the server comes up without workers');
$server->sql('postgres', 'app', q{SELECT durable.start_instance('quick', instance_id => 'late'), durable.raise_event('waits for client', 'go')});
is($server->safe_psql('postgres', q{SELECT ready_turns FROM durable.queues}), $waiting + 22, 'clients may start and raise, all of it waits');

# --- released slowly ------------------------------------------------------------------------

$server->safe_psql('postgres', "SELECT durable.set_hub_limits('app', max_workers => 2, max_starts_per_second => $rate)");
is($server->safe_psql('postgres', 'SELECT max_workers, max_starts_per_second FROM durable.hubs'), "2|$rate", 'the view shows the limits');
my ($exit_code, undef, $stderr) = $server->psql('postgres', q{SELECT durable.set_hub_limits('app', max_starts_per_second => 0)});
like($stderr, qr/max_starts_per_second must be between 1 and 100000/, 'a rate of 0 is none');
my $begin = time;
$server->configure('durable.enabled' => 'on');
$server->ends('postgres', 'app', "timer $_", "what was due first comes first: timer $_") foreach 1, 20;

my ($done, $too_many);
for ($done = 0; $done < 3 * $rate && time - $begin < $ENV{PG_TEST_TIMEOUT_DEFAULT}; usleep(100_000))
{
	my $allowed;

	$done = count_done();
	$allowed = $rate * (time - $begin) + $burst;
	$too_many = "$done when $allowed were allowed" if $done > $allowed;
}
cmp_ok($done, '>=', 3 * $rate, 'they are started');
is($too_many, undef, 'not more than the rate allows, at no look');
cmp_ok($server->safe_psql('postgres', q{SELECT count(*) FROM durable.workers WHERE kind = 'worker'}), '<=', 2, 'by no more workers than the hub may have');

# Also when no worker stays: the next one does not begin with a rate of its own.
my $slow = $rate / 4;
$server->configure('durable.worker_idle_timeout' => '0');
$server->safe_psql('postgres', "SELECT durable.set_hub_limits('app', max_workers => 2, max_starts_per_second => $slow)");
foreach my $look (1, 2)		# the workers are told by the coordinator, after it has looked
{
	my $seen = $server->safe_psql('postgres', q{SELECT query_start FROM pg_stat_activity WHERE backend_type = 'durable coordinator'});

	$server->wait_until('postgres', "query_start > '$seen' FROM pg_stat_activity WHERE backend_type = 'durable coordinator'");
}
($begin, $done) = (time, count_done());
$server->comes_true('postgres', "(SELECT count(*) FROM durable.instances WHERE status = 'completed' AND name = 'quick') >= $done + 2 * $slow", 'workers that come and go start them');
cmp_ok(count_done() - $done, '<=', $slow * (time - $begin) + 2 * $burst, 'not more than the rate allows');
$server->configure('durable.worker_idle_timeout' => '1h');

# Answers and events do not wait behind what waits to be started.
$server->ends('postgres', 'app', 'waits for client', 'what a client raised before has been delivered');
$server->sql('postgres', 'app', q{SELECT durable.raise_event('waits for event', 'go')});
$server->ends('postgres', 'app', 'waits for event', 'a client that raises an event is served, and the activity that comes of it');
cmp_ok($done = count_done(), '<', $waiting / 2, "meanwhile most of them wait ($done started)");
is($server->sql('postgres', 'app', q{SELECT status FROM durable.instances WHERE instance_id = 'late'}), 'pending', 'who came last is not first');

# --- faster -------------------------------------------------------------------------------

my %memory;
my $many = q{(SELECT count(*) FROM durable.instances WHERE status = 'completed' AND name = 'quick') >=};
$server->safe_psql('postgres', q{SELECT durable.set_hub_limits('app', max_workers => 2, max_starts_per_second => 10000)});
$server->wait_until('postgres', "$many 4000");		# in full batches now
$memory{$_} = memory_of($_) foreach split /\n/, $server->safe_psql('postgres', q{SELECT pid FROM durable.workers WHERE kind <> 'launcher'});
$server->comes_true('postgres', "$many 16000", 'the rate can be raised meanwhile');
is($server->safe_psql('postgres', 'SELECT count(*) FROM durable.workers WHERE pid IN (' . join(',', keys %memory) . ')'),
	scalar keys %memory, 'by the same processes');
cmp_ok(memory_of($_) - $memory{$_}, '<', 2048, "whose memory is flat ($memory{$_} kB)") foreach keys %memory;

# --- stopped and discarded -------------------------------------------------------------------

my $at_rest = q{NOT EXISTS (SELECT FROM durable.workers WHERE kind = 'worker' AND state <> 'idle')};
$server->sql('postgres', 'app', q{SELECT durable.pause_hub('app')});
$server->comes_true('postgres', $at_rest, 'pause_hub() stops it at run time');
$done = count_done();
cmp_ok($server->safe_psql('postgres', q{SELECT max(substr(instance_id, 7)::int) FROM durable.instances WHERE status = 'completed' AND instance_id ~ '^quick '}),
	'<=', $done + 200, 'those that were started are the oldest, but for what was left of a batch of each worker');
$server->sql('postgres', 'app', q{SELECT durable.start_instance('quick', instance_id => 'later')});
is(count_done(), $done, 'a paused hub starts nothing, and clients go on to start');
$server->sql('postgres', 'app', q{SELECT durable.resume_hub('app')});
$server->comes_true('postgres', "$many $done + 1000", 'resume_hub() lets it go on');
$server->sql('postgres', 'app', q{SELECT durable.pause_hub('app')});
is($server->sql('postgres', 'app', q{SELECT durable.discard_hub('app')}), $waiting + 24, 'what is not wanted any more can be discarded');
$server->runs('postgres', 'app', 'anew', 'and the role begins anew');

# --- off and on: a database, a role -------------------------------------------------------------

$server->safe_psql('postgres', 'CREATE DATABASE other');
$server->install('other', 'app');
$server->runs('other', 'app', 'before', 'a second database runs');
$server->safe_psql('other', 'ALTER DATABASE postgres SET durable.enabled = off');
$server->comes_true('other', DurableServer::count_is($_, 0, 'postgres'), "ALTER DATABASE ... SET durable.enabled = off: no $_ stays") foreach 'worker', 'coordinator';
$server->start_instance('postgres', 'app', 'walk', "switched off $_", '{"steps": 2}') foreach 1 .. 3;
$server->runs('other', 'app', 'meanwhile', 'ALTER DATABASE ... SET durable.enabled = off: other databases run');
is($server->safe_psql('postgres', q{SELECT count(*) FROM durable.instances WHERE status = 'pending'}), '3', 'clients start, nothing runs');
$server->safe_psql('other', 'BEGIN; ALTER DATABASE postgres RESET durable.enabled; ROLLBACK');
$server->safe_psql('other', 'ALTER DATABASE postgres RESET durable.enabled');
$server->ends('postgres', 'app', "switched off $_", "ALTER DATABASE ... RESET durable.enabled: it goes on ($_)") foreach 1 .. 3;

my $offset = -s $server->logfile;
$server->configure('durable.max_dispatch_attempts' => '1');		# it is said after the second worker that may not
$server->safe_psql('other', 'ALTER ROLE app SET durable.enabled = off');
$server->sql('other', 'app', q{SELECT durable.create_hub('switched'), durable.start_instance('walk', '{"steps": 2}', instance_id => 'of the role', task_hub => 'switched')});
$server->comes_true('other', q{(SELECT state || ': ' || obstacle FROM durable.queues WHERE task_hub = 'switched') = 'not served: Its workers find that they may not run it.'},
	'ALTER ROLE ... SET durable.enabled = off: the view says that its hub is not served');
$server->safe_psql('other', 'ALTER ROLE app RESET durable.enabled');
$server->configure('durable.max_dispatch_attempts' => '5');
is($server->sql('other', 'app', q{SELECT status FROM durable.wait_for_completion('of the role', task_hub => 'switched')}), 'completed', 'ALTER ROLE ... RESET durable.enabled: it goes on');
my @said = $server->log_since($offset) =~ /"switched".* is not being served/g;
is(scalar @said, 1, 'the log says it once');
unlike($server->log_since(0), qr/PANIC|TRAP|terminated by signal/, 'nothing has crashed');
$server->stop;
done_testing();
