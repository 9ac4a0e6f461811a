# Versions: ALTER EXTENSION UPDATE while instances run, a library and a schema
# that do not fit each other, and pg_upgrade.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use DurableServer;
use PostgreSQL::Test::Utils;
use PrivateInstallation;
use Test::More;

my $installation = PrivateInstallation->create(PostgreSQL::Test::Utils::tempdir() . '/installation');
my $server = DurableServer->create('versions', install_path => $installation->path,
	conf => "durable.worker_idle_timeout = '1h'\ndurable.poll_interval = '1h'");

# The next version: the library that is loaded has what it declares.
$installation->write_extension_file('durable--1.0--1.1-test.sql', <<'SQL');
SELECT durable_store.updating('1.0');
ALTER TABLE durable_store.instances ADD COLUMN of_the_next_version text;
CREATE FUNCTION durable.of_the_next_version() RETURNS boolean LANGUAGE sql RETURN true;
SQL
# One whose functions are in the next library only.
$installation->write_extension_file('durable--1.0--1.2-test.sql', <<'SQL');
SELECT durable_store.updating('1.2');
CREATE FUNCTION durable.of_the_next_library() RETURNS boolean AS 'MODULE_PATHNAME', 'durable_of_the_next_library' LANGUAGE C;
SQL
# A schema that is too new for the library, and one that is too old, with the ways back.
$installation->write_extension_file("durable--$_->[0].sql", "SELECT durable_store.updating('1.0');\n")
  foreach [ '1.1-test--2.0-test' ], [ '2.0-test--1.1-test' ], [ '1.1-test--0.9-test' ], [ '0.9-test--1.1-test' ];

my $version = "SELECT extversion FROM pg_extension WHERE extname = 'durable'";

# --- the chain -----------------------------------------------------------------------------

my $objects = <<'SQL';
SELECT string_agg(pg_describe_object(classid, objid, 0), E'\n' ORDER BY pg_describe_object(classid, objid, 0))
FROM pg_depend WHERE deptype = 'e' AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'durable')
SQL
$server->install('postgres', 'app');
is($server->safe_psql('postgres', $version), '1.0', 'the default version is the last one that is released');
$server->safe_psql('postgres', 'CREATE DATABASE chain');
$server->safe_psql('chain', q{CREATE EXTENSION durable VERSION '1.1-test'});
is($server->safe_psql('chain', $version), '1.1-test', 'CREATE EXTENSION walks from the base over the updates');
$server->add_role('chain', 'app');
$server->runs('chain', 'app', 'first', 'and is served');

# --- an update while instances run ---------------------------------------------------------------

my ($code, $stdout, $stderr) = $server->psql('postgres', q{ALTER EXTENSION durable UPDATE TO '1.2-test'});
like($stderr, qr/ERROR: .*the loaded library durable is of version 1\.0, but this update needs 1\.2.*HINT: .*restarted/s,
	'an update that needs another library is refused before it changes anything');

my $gate = $server->close_gate('postgres', 1);
$server->start_instance('postgres', 'app', 'walk_through_gate', 'in hand', '{"gate": 1}');
$server->start_instance('postgres', 'app', 'wait_for_go', 'waits');
$server->start_instance('postgres', 'app', 'wait_for_timer', 'sleeps', '{"delay": "1 h"}');
$server->wait_until('postgres', DurableServer::at_gate(1, 1));
$server->wait_until('postgres', q{count(*) = 2 FROM durable.instances WHERE waiting_for ->> 'events' LIKE '%go%' OR jsonb_array_length(waiting_for -> 'timers') = 1});
my $worker = $server->safe_psql('postgres', q{SELECT pid FROM durable.workers WHERE item LIKE '%in hand%'});
my $updater = $server->session('postgres');
$updater->query_until(qr/begun/, "\\echo begun\nALTER EXTENSION durable UPDATE TO '1.1-test';\n\\echo updated\n");
$server->wait_until('template1', q{EXISTS (SELECT FROM pg_stat_activity WHERE query LIKE 'ALTER EXTENSION durable%' AND wait_event_type = 'Lock')});
pass('an update waits for the activity that runs');
$gate->query_safe('SELECT pg_advisory_unlock(1)');
like($updater->query_until(qr/updated/, ''), qr/updated/, 'and is done after it');
$server->safe_psql('postgres', 'UPDATE durable_store.inbox SET visible_at = clock_timestamp() WHERE event_type = 11');		# the hour is over
$server->sql('postgres', 'app', q{SELECT durable.raise_event('waits', 'go')});
$server->ends('postgres', 'app', $_, "scenario 167: with the old library still loaded it goes on: $_") foreach 'in hand', 'waits', 'sleeps';
$server->effects_are_exact('postgres', 'app', 3, q{instance_id = 'in hand'}, 'each activity has its effect once');
$server->effects_are_exact('postgres', 'app', 1, q{instance_id IN ('waits', 'sleeps')}, 'in the others as well');
is($server->safe_psql('postgres', "SELECT count(*) FROM durable.workers WHERE pid = $worker"), '1', 'the worker that was there before is there');
$server->runs('postgres', 'app', 'new', 'new ones run');
is($server->safe_psql('postgres', $objects), $server->safe_psql('chain', $objects), 'a database that was updated has what a new one has');

# --- a schema that the library does not serve ----------------------------------------------------------

sub unserved
{
	my ($to, $what, $hint) = @_;
	my $offset = -s $server->logfile;

	$server->start_instance('postgres', 'app', 'wait_for_go', "over $to");
	$server->wait_until('postgres', "jsonb_array_length(waiting_for -> 'events') = 1 FROM durable.instances WHERE instance_id = 'over $to'");
	$server->sql('postgres', 'app', q{SELECT count(*) FROM durable.instances});
	my $client = $server->session('postgres', 'app');
	like($client->query(q{SELECT durable.task_hub() IS NULL}) // '', qr/^[tf]?/, 'a session that knows the version');
	$server->safe_psql('postgres', "ALTER EXTENSION durable UPDATE TO '$to'");
	my $expected = qr/extension durable is of version \Q$to\E, but the loaded library is of version 1\.0 and needs 1\.0 or newer\s*\nHINT:\s+$hint/;
	foreach my $call ("SELECT durable.start_instance('walk')", "SELECT durable.raise_event('over $to', 'go')",
		'SELECT durable.run_until_idle()', "SELECT durable.terminate('over $to')", 'SELECT FROM durable.instances')
	{
		(undef, undef, my $error) = $server->try_sql('postgres', 'app', $call);
		like($error, $expected, "$what: $call says so");
	}
	$client->{stderr} = '';
	$client->query(q{SELECT durable.raise_event('x', 'y')});
	like($client->{stderr}, $expected, "$what: so does a session that was there before");
	$client->quit;
	$server->wait_for_log(qr/LOG: .*extension durable of version \Q$to\E is not being served.*\n.*HINT:  $hint/, $offset);
	$server->comes_true('postgres', DurableServer::count_is('worker', 0, 'postgres') . ' AND ' . DurableServer::count_is('coordinator', 0, 'postgres'),
		"$what: its processes leave");
	$server->runs('chain', 'app', "during $to", "$what: another database goes on");
	is(scalar(() = $server->log_since($offset) =~ /is not being served/g), 1, "$what: the log has told once");
	$server->safe_psql('postgres', q{ALTER EXTENSION durable UPDATE TO '1.1-test'});
	$server->sql('postgres', 'app', "SELECT durable.raise_event('over $to', 'go')");
	$server->ends('postgres', 'app', "over $to", "scenario 167: $what: after the update it goes on by itself");
	$server->effects_are_exact('postgres', 'app', 1, "instance_id = 'over $to'", "$what: with its effect once");
}

unserved('0.9-test', 'the new library on an old schema', 'ALTER EXTENSION durable UPDATE');
unserved('2.0-test', 'an old library on a schema of the next major version', 'Install the library of that version, and restart the server.');

# --- pg_upgrade ---------------------------------------------------------------------------------------

$server->start_instance('postgres', 'app', 'wait_for_go', 'event');
$server->start_instance('postgres', 'app', 'wait_for_timer', 'timer', '{"delay": "1 h"}');
$server->runs('postgres', 'app', 'finished', 'an instance that is completed before the upgrade');
$server->configure('durable.enabled' => 'off');
$server->wait_until('postgres', DurableServer::count_is('worker', 0));
$server->sql('postgres', 'app', q{SELECT durable.raise_event('event', 'go', '"sent before"'); SELECT durable.start_instance('walk', '{"steps": 2}', instance_id => 'ready')});
$server->stop;

my $new = DurableServer->create('upgraded', install_path => $installation->path, start => 0,
	conf => "durable.worker_idle_timeout = '1h'\ndurable.poll_interval = '1s'");
my $directory = PostgreSQL::Test::Utils::tempdir();
my @upgrade = (
	$installation->bindir . '/pg_upgrade', '-b', $installation->bindir, '-B', $installation->bindir,
	'-d', $server->data_dir, '-D', $new->data_dir, '-s', $new->host, '-p', $server->port, '-P', $new->port);
chdir $directory or die "$directory: $!";
command_ok(\@upgrade, 'pg_upgrade with running instances, and durable preloaded in both');
$new->start;
is($new->sql('postgres', 'app', q{SELECT DISTINCT state FROM durable.queues}), 'elsewhere', 'the hub is bound to the cluster it comes from, which may still run');
is($new->safe_psql('postgres', $version), '1.1-test', 'the version of the extension has not changed');
is($new->sql('postgres', 'app', q{SELECT string_agg(status::text, ' ' ORDER BY instance_id) FROM durable.instances WHERE instance_id IN ('event', 'timer', 'ready', 'finished')}),
	'running completed pending running', 'nothing runs yet');
$new->safe_psql('postgres', 'UPDATE durable_store.inbox SET visible_at = clock_timestamp() WHERE event_type = 11');
$new->sql('postgres', 'app', q{SELECT durable.adopt_hub('app')});
$new->ends('postgres', 'app', $_, "adopt_hub() is the last step: it goes on: $_") foreach 'event', 'timer', 'ready';
is($new->sql('postgres', 'app', q{SELECT output FROM durable.instances WHERE instance_id = 'event'}), '"sent before"', 'with what was on its way');
is($new->sql('postgres', 'app', q{SELECT instance_id, array_agg(step ORDER BY step) FROM effects WHERE instance_id IN ('event', 'timer', 'ready', 'finished') GROUP BY 1 ORDER BY 1}),
	"event|{1}\nfinished|{1,2}\nready|{1,2}\ntimer|{1}", 'each activity has had its effect once');
$new->runs('postgres', 'app', 'after the upgrade', 'new ones run');
$new->stop;

$updater->quit;
$gate->quit;
done_testing();
