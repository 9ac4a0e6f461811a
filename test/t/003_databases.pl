# Databases come, go, are copied and renamed, and so does the extension in
# them, while there is work.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use DurableServer;
use Test::More;

my $server = DurableServer->create('databases', conf => <<'END');
durable.poll_interval = 1h
durable.worker_idle_timeout = 1h
END

# --- several at once --------------------------------------------------------------

$server->safe_psql('postgres', "CREATE DATABASE $_") foreach 'one', 'two', 'without';
$server->install($_, 'app') foreach 'one', 'two';
foreach my $database ('one', 'two')
{
	$server->start_instance($database, 'app', 'wait_for_go', 'same id');
	$server->runs($database, 'app', 'walker', "an instance runs in database $database");
}
$server->sql('one', 'app', q{SELECT durable.raise_event('same id', 'go')});
$server->ends('one', 'app', 'same id', 'an event reaches the instance of its database');
is($server->sql('two', 'app', q{SELECT status FROM durable.instances WHERE instance_id = 'same id'}),
	'running', 'and not the one of another');
$server->comes_true('postgres',
	q{(SELECT array_agg(datname ORDER BY datname) FROM pg_stat_activity WHERE backend_type = 'durable coordinator') = '{one, two}'},
	'a database without the extension has no processes');

# --- a template with the extension ---------------------------------------------------

$server->safe_psql('template1', 'CREATE EXTENSION durable');
$server->safe_psql('postgres', 'CREATE DATABASE born_with_it');
$server->add_role('born_with_it', 'app');
$server->runs('born_with_it', 'app', 'i', 'an instance runs in a new database that had the extension in its template');
$server->safe_psql('postgres', 'DROP DATABASE born_with_it');
pass('the new database can be dropped');
$server->safe_psql('template1', 'DROP EXTENSION durable');

# --- DROP DATABASE in the midst of work ------------------------------------------------

$server->start_instance($_, 'app', 'walk_and_nap', 'napping', '{"seconds": 1000}') foreach 'one', 'two';
$server->wait_until('postgres',
	"(SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'durable worker' AND wait_event = 'PgSleep') = 2");
my $napping = $server->safe_psql('postgres',
	"SELECT pid FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = 'one'");

$server->safe_psql('postgres', 'DROP DATABASE two');
$server->comes_true('postgres', "NOT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type ~ 'durable (coordinator|worker)' AND datname IS DISTINCT FROM 'one')",
	'a database with a busy worker can be dropped');
$server->safe_psql('postgres', 'DROP DATABASE without');
pass('so can one that has nothing to do with durable');

# Who may not do it stops nobody.
my $bystanders = $server->safe_psql('postgres',
	q{SELECT array_agg(pid) FROM pg_stat_activity WHERE datname = 'one' AND backend_type LIKE 'durable%'});

$server->safe_psql('postgres', 'CREATE ROLE stranger LOGIN; CREATE ROLE creator LOGIN CREATEDB');
foreach my $try (
	[ 'stranger', 'DROP DATABASE one' ],
	[ 'stranger', 'ALTER DATABASE one RENAME TO mine' ],
	[ 'stranger', 'ALTER DATABASE one SET TABLESPACE pg_default' ],
	[ 'stranger', 'CREATE DATABASE mine TEMPLATE one' ],
	[ 'creator', 'CREATE DATABASE mine TEMPLATE one' ],
	[ 'creator', 'DROP DATABASE one WITH (FORCE)' ])
{
	my ($role, $sql) = @$try;
	my ($exit_code, undef, $stderr) = $server->try_sql('postgres', $role, $sql);

	like($stderr, qr/ERROR:  (must be owner|permission denied)/, "$role may not: $sql");
}
is($server->safe_psql('postgres', "SELECT pid FROM unnest('$bystanders'::int[]) pid EXCEPT SELECT pid FROM pg_stat_activity"),
	'', 'refused commands have stopped nobody');
is($server->safe_psql('postgres', "SELECT pid FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = 'one'"),
	$napping, 'and no activity');

# --- RENAME -------------------------------------------------------------------------------

# An attempt that fails since a client is connected.
my $client = $server->session('one');
my ($exit_code, undef, $stderr) = $server->psql('postgres', 'ALTER DATABASE one RENAME TO uno');
like($stderr, qr/is being accessed by other users/, 'a database with a client cannot be renamed');
$client->quit;
$server->comes_true('postgres',
	"EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = 'one')",
	'after the refusal the activity runs again');
$server->safe_psql('postgres', 'ALTER DATABASE one RENAME TO uno');
$server->comes_true('postgres',
	"EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = 'uno')",
	'a database with a busy worker can be renamed, and the activity runs again');
$server->sql('uno', 'app', "SELECT durable.terminate('napping')");
$server->safe_psql('postgres', "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'");
$server->ends('uno', 'app', 'napping', 'the instance can be terminated, and its activity cancelled', 'terminated');
$server->runs('uno', 'app', 'after rename', 'others run in the renamed database');

# --- CREATE DATABASE ... TEMPLATE -----------------------------------------------------------

$server->start_instance('uno', 'app', 'wait_for_go', 'copied');
$server->wait_until('uno', q{(SELECT waiting_for ? 'events' FROM durable.instances WHERE instance_id = 'copied')});
$server->configure('durable.enabled' => 'off');
$server->wait_until('postgres', DurableServer::count_is($_, 0)) foreach 'coordinator', 'worker';
$server->start_instance('uno', 'app', 'walk', 'copied when ready', '{"steps": 2}');
$server->configure('durable.enabled' => 'on');
$server->ends('uno', 'app', 'copied when ready', 'the original runs');
$server->configure('durable.enabled' => 'off');
$server->wait_until('postgres', DurableServer::count_is($_, 0)) foreach 'coordinator', 'worker';
$server->start_instance('uno', 'app', 'walk', 'still ready', '{"steps": 2}');
$server->safe_psql('postgres', 'CREATE DATABASE copy TEMPLATE uno');
$server->configure('durable.enabled' => 'on');
$server->runs('uno', 'app', 'after copy', 'the original goes on');
$server->safe_psql('postgres', 'CREATE DATABASE second_copy TEMPLATE uno');
pass('a database with an idle worker can be copied');

# The coordinator of the copy has looked once it is idle.
$server->sql('copy', 'app', q{SELECT durable.raise_event('copied', 'go')});
$server->wait_until('copy',
	q{EXISTS (SELECT FROM durable.workers WHERE kind = 'coordinator' AND database = 'copy' AND state = 'idle')});
is($server->sql('copy', 'app', q{SELECT instance_id, status FROM durable.instances WHERE completed_at IS NULL ORDER BY 1}),
	"copied|running\nstill ready|pending", 'the copy does not run');
($exit_code, undef, $stderr) = $server->try_sql('copy', 'app', 'SELECT durable.run_until_idle()');
like($stderr, qr/adopt_hub/, 'run_until_idle() says how it could');
$server->sql('copy', 'app', q{SELECT durable.adopt_hub('app')});
$server->ends('copy', 'app', $_, "after adopt_hub '$_' runs") foreach 'copied', 'still ready';
is($server->sql('uno', 'app', q{SELECT status FROM durable.instances WHERE instance_id = 'copied'}),
	'running', 'in the copy only');
$server->effects_are_exact('copy', 'app', 1, "instance_id = 'copied'", 'with its effects');
$server->safe_psql('postgres', "DROP DATABASE $_") foreach 'copy', 'second_copy';

# --- DROP EXTENSION ------------------------------------------------------------------------

$server->start_instance('uno', 'app', 'wait_for_timer', 'timer', '{"delay": "1 h"}');
$server->sql('uno', 'app', <<'SQL');
SELECT durable.start_instance('walk', '{"steps": 5}', instance_id => 'r' || i) FROM generate_series(1, 50) i
SQL
my $dropper = $server->session('uno');
$dropper->query_safe('BEGIN');
$dropper->query_safe('DROP EXTENSION durable CASCADE');
$dropper->query_safe('ROLLBACK');
$server->comes_true('uno', "(SELECT count(*) FROM durable.instances WHERE instance_id ~ '^r' AND status = 'completed') = 50",
	'after a DROP EXTENSION that was rolled back in the midst of work all goes on');
$server->effects_are_exact('uno', 'app', 5, "instance_id ~ '^r'", 'with exact effects');

$server->sql('uno', 'app', <<'SQL');
SELECT durable.start_instance('walk', '{"steps": 5}', instance_id => 'd' || i) FROM generate_series(1, 50) i
SQL
$dropper->query_safe('DROP EXTENSION durable CASCADE');
pass('scenario 165: the extension can be dropped in the midst of work');
$dropper->quit;
$server->comes_true('postgres', "NOT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type ~ 'durable (coordinator|worker)')",
	'its processes leave');
$server->safe_psql('uno', 'DROP SCHEMA app CASCADE');
($exit_code, undef, $stderr) = $server->psql('uno', 'BEGIN; CREATE EXTENSION durable; ROLLBACK');
is($exit_code, 0, 'scenario 165: CREATE EXTENSION can be rolled back');
$server->install('uno', 'app');
is($server->sql('uno', 'app', 'SELECT count(*) FROM durable.instances'), '0', 'scenario 165: it can be created again, empty');
$server->runs('uno', 'app', 'anew', 'and runs');

unlike($server->log_since(0), qr/PANIC|TRAP|terminated by signal/, 'nothing has crashed');
$server->stop;
done_testing();
