# A hub runs in one place only. Whatever brings it to another one (a template,
# a dump, a base backup, pg_upgrade), it stands still there, says so once, and
# goes on when it is adopted: with the ids that follow, and nothing twice.

use strict;
use warnings;

use Cwd;
use FindBin;
use lib "$FindBin::RealBin/../perl";

use DurableServer;
use PostgreSQL::Test::Utils;
use Test::More;

my $conf = <<'END';
durable.poll_interval = 1h
durable.worker_idle_timeout = 1h
max_worker_processes = 16
END
my $origin = DurableServer->create('origin', conf => $conf, init => { allows_streaming => 1 });

# What the log says of hubs of a database that do not run.
sub said
{
	my ($database) = @_;

	return qr/task hubs? in database "$database" (?:does|do) not run, for (?:it is|they are) bound to another place/;
}

# How often it does, from an offset on.
sub times_said
{
	my ($server, $database, $offset) = @_;
	my $said = said($database);
	my @matches = $server->log_since($offset) =~ /$said/g;

	return scalar @matches;
}

# Tests that a server does not run the hub "app", and says so once.
sub stands_still
{
	my ($server, $database, $offset, $what) = @_;
	my ($exit_code, $stdout, $stderr);

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is($server->sql($database, 'app', 'SELECT state FROM durable.queues'), 'elsewhere', "$what: the view says that the hub is bound elsewhere");
	like($server->sql($database, 'app', 'SELECT obstacle FROM durable.queues'), qr/^It is bound to system \d+, database \d+, identity "\w*"\.$/,
		"$what: and where");
	$server->sql($database, 'app', q{SELECT durable.start_instance('walk', '{"steps": 2}', instance_id => 'started in the copy')});
	$server->sql($database, 'app', q{SELECT durable.raise_event('waits', 'go', '"raised in the copy"')});
	$server->wait_for_log(said($database), $offset);		# what was restored is looked at when a client calls, or at the next poll
	($exit_code, $stdout, $stderr) = $server->try_sql($database, 'app', '\set VERBOSITY verbose' . "\nSELECT durable.run_until_idle()");
	like($stderr, qr/ERROR:  UD010: task hub "app" is bound to another place, which may still run it\nDETAIL:  Bound to system \d+, .*; this is system \d+, .*\nHINT:  SELECT durable.adopt_hub\('app'\)/,
		"$what: to run it is refused");
	($exit_code, $stdout, $stderr) = $server->try_sql($database, 'app', 'CALL durable.run()');
	like($stderr, qr/is bound to another place/, "$what: with commits, too");

	# One more look, which a hub of this place asks for.
	$server->sql($database, 'app', q{SELECT durable.create_hub('born here'), durable.start_instance('walk', '{"steps": 1}', instance_id => 'native', task_hub => 'born here')});
	is($server->sql($database, 'app', q{SELECT status FROM durable.wait_for_completion('native', task_hub => 'born here')}), 'completed',
		"$what: a hub made there runs");
	is($server->sql($database, 'app', q{SELECT instance_id, status FROM durable.instances WHERE task_hub = 'app' AND completed_at IS NULL ORDER BY 1}),
		"queued|pending\nstarted in the copy|pending\ntimer|running\nwaits|running", "$what: nothing of the other hub has run, clients could start and raise");
	is(times_said($server, $database, $offset), 1, "$what: the log says it once");
}

# Tests that the hub goes on once it is adopted.
sub goes_on
{
	my ($server, $database, $what) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$server->sql($database, 'app', q{SELECT durable.adopt_hub('app')});
	$server->ends($database, 'app', $_, "$what: after adopt_hub() it goes on: $_") foreach 'queued', 'started in the copy', 'timer', 'waits';
	is($server->sql($database, 'app', q{SELECT state, obstacle FROM durable.queues WHERE task_hub = 'app'}), 'open|', "$what: the view says so");
	is($server->sql($database, 'app', q{SELECT instance_id, array_agg(step ORDER BY step) FROM effects WHERE instance_id <> 'native' GROUP BY 1 ORDER BY 1}),
		"finished|{1,2}\nqueued|{1,2}\nstarted in the copy|{1,2}\ntimer|{1}\nwaits|{1}", "$what: each activity has had its effect once");
	ids_go_on($server, $database, $what);
}

# Tests that what is new does not collide with what came with the copy.
sub ids_go_on
{
	my ($server, $database, $what) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$server->sql($database, 'app', <<'SQL');
SELECT durable.start_instance('wait_for_go', instance_id => 'new ' || i) FROM generate_series(1, 100) i;
SELECT durable.raise_event('new ' || i, 'go') FROM generate_series(1, 100) i;
SQL
	$server->comes_true($database, q{(SELECT count(*) FROM durable.instances WHERE instance_id ~ '^new ' AND status = 'completed') = 100},
		"$what: new instances run, and get their messages");
	$server->effects_are_exact($database, 'app', 1, q{instance_id ~ '^new '}, "$what: with their effects");
}

# A hub with something of everything.
sub fill
{
	my ($server, $database) = @_;

	$server->install($database, 'app');
	$server->sql($database, 'app', <<'SQL');
SELECT durable.start_instance('walk', '{"steps": 2}', instance_id => 'finished');
SELECT durable.start_instance('wait_for_timer', '{"delay": "1 h"}', instance_id => 'timer');
SELECT durable.start_instance('wait_for_go', instance_id => 'waits');
SQL
	$server->ends($database, 'app', 'finished', 'one has finished before the copy');
	$server->wait_until($database, q{(SELECT count(*) FROM durable.instances WHERE waiting_for ?| '{events,timers}') = 2});
}

# Stops the workers, then the timer is due and one more waits to be started.
sub stop_workers
{
	my ($server, $database) = @_;

	$server->configure('durable.enabled' => 'off');
	$server->wait_until('postgres', DurableServer::count_is($_, 0)) foreach 'coordinator', 'worker';
	$server->safe_psql($database, 'UPDATE durable_store.inbox SET visible_at = clock_timestamp() WHERE event_type = 11');
	$server->start_instance($database, 'app', 'walk', 'queued', '{"steps": 2}');
}

# --- a hub with work, and all its workers gone -------------------------------------------

$origin->safe_psql('postgres', 'CREATE DATABASE original');
fill($origin, 'original');
stop_workers($origin, 'original');

# --- CREATE DATABASE ... TEMPLATE ---------------------------------------------------------

$origin->safe_psql('postgres', 'CREATE DATABASE copy TEMPLATE original');
$origin->backup('base');
my $dump = $origin->basedir . '/original.dump';
command_ok([ 'pg_dump', '-Fc', '-p', $origin->port, '-h', $origin->host, '-f', $dump, 'original' ], 'the database is dumped');

my $offset = -s $origin->logfile;
$origin->configure('durable.enabled' => 'on');
stands_still($origin, 'copy', $offset, 'template');

goes_on($origin, 'copy', 'template');
$origin->ends('original', 'app', $_, "the original has run on: $_") foreach 'queued', 'timer';
is($origin->sql('original', 'app', q{SELECT status FROM durable.instances WHERE instance_id = 'waits'}), 'running', 'and was not told what the copy was');

# Thrown away, it need not be paused.
$origin->safe_psql('postgres', 'CREATE DATABASE discarded TEMPLATE original');

# A hub that is not run is not swept either; one that is made here is.
$origin->sql('discarded', 'app', q{SELECT durable.create_hub('born here'), durable.start_instance('walk', '{"steps": 1}', task_hub => 'born here')});
$origin->configure('durable.retention' => '0', 'durable.poll_interval' => '100ms');
$origin->comes_true('discarded', q{(SELECT count(*) FROM durable.instances WHERE task_hub = 'born here') = 0}, 'retention purges in a hub of the place');
is($origin->sql('discarded', 'app', q{SELECT status FROM durable.instances WHERE instance_id = 'finished'}), 'completed', 'and not in the copy');
$origin->configure('durable.retention' => '-1', 'durable.poll_interval' => '1h');
is($origin->sql('discarded', 'app', q{SELECT durable.discard_hub('app')}), '4', 'a copy can be discarded');
is($origin->sql('discarded', 'app', q{SELECT task_hub FROM durable.hubs}), 'born here', 'with all that is in it');
$origin->runs('discarded', 'app', 'after discard', 'and its owner begins anew');
$origin->safe_psql('postgres', "DROP DATABASE $_") foreach 'copy', 'discarded';

# --- a name for this server ------------------------------------------------------------------

# Who gives a running server another name stops its hubs; the old name brings them back.
$offset = -s $origin->logfile;
$origin->configure('durable.identity' => 'production');
$origin->wait_for_log(said('original'), $offset);
$origin->comes_true('postgres', DurableServer::count_is('worker', 0), 'with another durable.identity the workers leave');
$origin->start_instance('original', 'app', 'walk', 'renamed', '{"steps": 2}');
like($origin->sql('original', 'app', 'SELECT state, obstacle FROM durable.queues'), qr/^elsewhere\|.* identity ""\.$/, 'the hub is bound to the old one');
$origin->configure('durable.identity' => '');
$origin->ends('original', 'app', 'renamed', 'with the old one it goes on by itself');
is(times_said($origin, 'original', $offset), 1, 'the log says once that it did not');
my ($exit_code, $stdout, $stderr) = $origin->psql('postgres', "ALTER SYSTEM SET durable.identity = E'two\\nlines'");
like($stderr, qr/printable ASCII/, 'an identity is plain text');

# --- a base backup -----------------------------------------------------------------------------

# Like a promoted standby it has the system identifier of the original.
my $clone = DurableServer->new('clone');
$clone->init_from_backup($origin, 'base');
$clone->append_conf('postgresql.conf', "durable.enabled = on\ndurable.identity = 'clone'");
$clone->start;
stands_still($clone, 'original', 0, 'base backup with a durable.identity of its own');
goes_on($clone, 'original', 'base backup with a durable.identity of its own');

my $off = DurableServer->new('off');
$off->init_from_backup($origin, 'base');
$off->append_conf('postgresql.conf', 'durable.enabled = off');
$off->start;
$off->sql('original', 'app', q{SELECT durable.start_instance('walk', '{"steps": 2}', instance_id => 'started in the copy')});
$off->sql('original', 'app', q{SELECT durable.raise_event('waits', 'go', '"raised in the copy"')});
is($off->safe_psql('postgres', q{SELECT DISTINCT backend_type FROM pg_stat_activity WHERE backend_type ~ '^durable'}), 'durable launcher',
	'base backup with durable.enabled = off: nobody is there who could run it');
is($off->sql('original', 'app', q{SELECT instance_id, status FROM durable.instances WHERE completed_at IS NULL ORDER BY 1}),
	"queued|pending\nstarted in the copy|pending\ntimer|running\nwaits|running", 'base backup with durable.enabled = off: nothing runs, clients could start and raise');
is($off->sql('original', 'app', 'SELECT state FROM durable.queues'), 'open', 'base backup with durable.enabled = off: nothing but that keeps it');
$off->configure('durable.enabled' => 'on');
$off->ends('original', 'app', $_, "base backup with durable.enabled = on: $_ runs, as after a promotion") foreach 'queued', 'started in the copy', 'timer', 'waits';
$off->stop;

# --- a dump, restored in another cluster ----------------------------------------------------------

$clone->safe_psql('postgres', 'CREATE DATABASE restored');
$offset = -s $clone->logfile;
command_ok([ 'pg_restore', '-j2', '-e', '-p', $clone->port, '-h', $clone->host, '-d', 'restored', $dump ], 'dump: it can be restored in another cluster');
stands_still($clone, 'restored', $offset, 'dump');
goes_on($clone, 'restored', 'dump');
$clone->stop;

# --- pg_upgrade --------------------------------------------------------------------------------------

my $old = DurableServer->create('old', conf => $conf);
fill($old, 'postgres');
stop_workers($old, 'postgres');
$old->append_conf('postgresql.conf', 'durable.enabled = on');	# nobody reads it but the servers that pg_upgrade starts
$old->stop;

my $new = DurableServer->new('new');
$new->init;
$new->append_conf('postgresql.conf', "shared_preload_libraries = 'durable'\n$conf");
my $here = getcwd();
chdir $new->basedir or die "could not change to ", $new->basedir, ": $!";		# it leaves a script
my $bin = $old->config_data('--bindir');
command_ok([ 'pg_upgrade', '--no-sync', '-d', $old->data_dir, '-D', $new->data_dir, '-b', $bin, '-B', $bin,
		'-s', $new->host, '-p', $old->port, '-P', $new->port ], 'pg_upgrade: it takes a database with running instances');
chdir $here or die "could not change back to $here: $!";
$new->start;
stands_still($new, 'postgres', 0, 'pg_upgrade');
goes_on($new, 'postgres', 'pg_upgrade');
$new->stop;

unlike($_->log_since(0), qr/PANIC|TRAP|terminated by signal/, $_->name . ': nothing has crashed') foreach $origin, $clone, $off, $old, $new;
$origin->stop;
done_testing();
