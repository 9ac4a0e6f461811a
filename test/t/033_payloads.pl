# Payloads of 200 MB: as input, result and event. Beyond durable.max_payload_size
# each is refused with an error that names it, below it goes through; in both
# cases the worker lives, and the instances beside it go on.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use DurableServer;
use Test::More;

# The workers' pids tell whether one has died.
my $server = DurableServer->create('payloads', conf => <<'END');
durable.poll_interval = 1h
durable.worker_idle_timeout = 1h
durable.max_workers = 2
durable.orchestrator_timeout = 10min
default_toast_compression = lz4
fsync = off
END
my $large = q{to_jsonb(repeat('x', 200 * 1024 * 1024))};

$server->install('postgres', 'app');
$server->sql('postgres', 'app', <<"SQL");
CREATE FUNCTION make_large() RETURNS jsonb LANGUAGE sql AS \$\$ SELECT $large \$\$;
CREATE FUNCTION too_large_for_jsonb() RETURNS jsonb LANGUAGE sql AS \$\$ SELECT to_jsonb(repeat('x', 300 * 1024 * 1024)) \$\$;
CREATE FUNCTION result(input jsonb) RETURNS jsonb LANGUAGE sql AS \$\$ SELECT to_jsonb(length(durable.call_activity(input ->> 'name') #>> '{}')) \$\$;
CREATE FUNCTION input(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS \$\$ BEGIN RETURN to_jsonb(durable.call_activity('effect', '{"step": 1}')::int + length(input #>> '{}')); END \$\$;
CREATE FUNCTION event(input jsonb) RETURNS jsonb LANGUAGE sql AS \$\$ SELECT to_jsonb(length(durable.wait_for_event('go') #>> '{}')) \$\$;
CREATE FUNCTION output(input jsonb) RETURNS jsonb LANGUAGE sql AS \$\$ SELECT to_jsonb(repeat('x', 200 * 1024 * 1024)) \$\$;
SQL
$server->start_instance('postgres', 'app', 'event', $_) foreach 'event', 'beside';
$server->wait_until('postgres', q{(SELECT count(*) = 2 FROM durable.instances WHERE waiting_for ? 'events')});

sub pids
{
	return $server->safe_psql('postgres', q{SELECT array_agg(pid) FROM pg_stat_activity WHERE backend_type = 'durable worker'});
}

# Calls durable with a large argument; returns what it says.
sub say_large
{
	my ($call) = @_;
	my (undef, undef, $stderr) = $server->try_sql('postgres', 'app', "\\set VERBOSITY verbose\nSELECT $call");

	return $stderr;
}

my $offset = -s $server->logfile;
my $before = pids();

# --- beyond the limit, 64 MB by default --------------------------------------------------------

like(say_large("durable.start_instance('input', $large, instance_id => 'input')"),
	qr/ERROR:  UD007: payload too large: input of the instance\n.*DETAIL:  It takes \d+ bytes; durable.max_payload_size is 65536 kB/s, 'an input of 200 MB is refused');
like(say_large("durable.raise_event('event', 'go', $large)"), qr/ERROR:  UD007: payload too large: data of the event/, 'so is an event');
$server->start_instance('postgres', 'app', 'result', 'result', '{"name": "make_large"}');
$server->start_instance('postgres', 'app', 'output', 'output');
$server->ends('postgres', 'app', 'result', 'an instance whose activity returns as much fails', 'failed');
$server->ends('postgres', 'app', 'output', 'one that returns as much itself, too', 'failed');
is($server->sql('postgres', 'app', q{SELECT string_agg(concat(failure ->> 'sqlstate', ' ', failure ->> 'errorMessage'), '; ' ORDER BY instance_id) FROM durable.instances WHERE status = 'failed'}),
	'UD007 payload too large: output of the orchestrator; UD007 payload too large: result of the activity', 'both with an error that says so');
$server->runs('postgres', 'app', 'after refusals', 'others go on');

# --- below the limit ----------------------------------------------------------------------------

$server->configure('durable.max_payload_size' => '262143kB');
$server->wait_until('postgres', q{current_setting('durable.max_payload_size') = '262143kB'});
is(say_large("durable.start_instance('input', $large, instance_id => 'input')"), '', 'with another limit an input of 200 MB is taken');
is(say_large("durable.raise_event('event', 'go', $large)"), '', 'so is an event');
$server->start_instance('postgres', 'app', 'result', "large $_", '{"name": "make_large"}') foreach 1, 2;
$server->start_instance('postgres', 'app', 'result', 'too large', '{"name": "too_large_for_jsonb"}');
$server->sql('postgres', 'app', q{SELECT durable.raise_event('beside', 'go', '"x"')});
$server->ends('postgres', 'app', 'beside', 'an instance beside them completes');
$server->ends('postgres', 'app', $_, "the instance completes: $_") foreach 'input', 'event', 'large 1', 'large 2';
$server->ends('postgres', 'app', 'too large', 'what jsonb itself cannot hold is a failure of the activity', 'failed');
is($server->sql('postgres', 'app', q{SELECT string_agg(instance_id || ': ' || output, ', ' ORDER BY instance_id) FROM durable.instances WHERE instance_id IN ('input', 'event', 'large 1', 'large 2')}),
	'event: 209715200, input: 209715201, large 1: 209715200, large 2: 209715200', 'nothing was cut off');
is($server->sql('postgres', 'app', q{SELECT failure ->> 'sqlstate' FROM durable.instances WHERE instance_id = 'too large'}), '54000', 'as PostgreSQL says it');
$server->runs('postgres', 'app', 'at the end', 'others go on');

is($server->safe_psql('postgres', "SELECT unnest('$before'::int[]) EXCEPT SELECT pid FROM pg_stat_activity"), '', 'no worker has died of it');
unlike($server->log_since($offset), qr/terminated by signal|out of memory|FATAL|PANIC/, 'nor does the log tell of such a thing');
$server->stop;
done_testing();
