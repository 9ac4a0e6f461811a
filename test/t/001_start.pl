# Background processes come when they are needed, do what they are told
# without polling, are to be seen, and go.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use DurableServer;
use Test::More;

# A neighbour that counts queries, where it is to be had.
my $sharedir = qx(pg_config --sharedir);
chomp $sharedir;
my $counts_statements = -e "$sharedir/extension/pg_stat_statements.control";
my $server = DurableServer->create('start', conf => <<"END");
autovacuum = off
durable.worker_idle_timeout = 1h
shared_preload_libraries = '${\ ($counts_statements ? 'pg_stat_statements, ' : '')}durable'
${\ ($counts_statements ? 'pg_stat_statements.track = all' : '')}
END

# --- they come ---------------------------------------------------------------

is($server->safe_psql('postgres', 'SHOW max_worker_processes'), '8',
	'the server has the default number of slots');
$server->comes_true('postgres', DurableServer::count_is('launcher', 1),
	'the launcher starts with the server');

$server->install('postgres', 'app');
$server->comes_true('postgres', DurableServer::count_is('coordinator', 1, 'postgres'),
	'CREATE EXTENSION brings a coordinator, without a restart');
is($server->safe_psql('postgres', "SELECT $_"), 't', 'no worker without work')
  foreach DurableServer::count_is('worker', 0);

$server->runs('postgres', 'app', 'first', 'the first instance runs');
$server->safe_psql('postgres', q{SELECT durable.set_hub_limits('app', max_workers => 1)});		# on a busy machine it might get help
$server->wait_until('postgres', DurableServer::count_is('worker', 1));
$server->effects_are_exact('postgres', 'app', 2, "instance_id = 'first'", 'each activity has run once');
is($server->sql('postgres', 'app', 'SELECT DISTINCT session_user_was, current_user_was FROM effects'),
	'app|app', 'activities run in a session of the owner of the hub');

# --- they are to be seen -------------------------------------------------------

my $gate = $server->close_gate('postgres', 1);

$server->start_instance('postgres', 'app', 'walk_through_gate', 'seen', '{"gate": 1}');
$server->wait_until('postgres', DurableServer::at_gate(1, 1));
$server->wait_until('postgres', q{(SELECT array_agg(state ORDER BY kind) FROM durable.workers WHERE kind <> 'coordinator' OR database = 'postgres') = '{busy, idle, busy}'});	# the coordinator has heard of it
like( $server->safe_psql('postgres', <<'SQL'),
SELECT kind, database, task_hub, state, item FROM durable.workers
WHERE kind <> 'coordinator' OR database = 'postgres' ORDER BY kind
SQL
	qr/^coordinator\|postgres\|\|busy\|\nlauncher\|\|\|idle\|\nworker\|postgres\|app\|busy\|(?=.*activity)(?=.*seen)(?=.*pass_gate#1)/,
	'durable.workers shows each process and the item it has in hand')
  or diag $server->safe_psql('postgres', 'TABLE durable.workers');
like(
	$server->safe_psql('postgres', <<'SQL'), qr{^durable worker postgres/app\|app\|active\|(?=.*seen)(?=.*pass_gate)},
SELECT application_name, usename, state, query FROM pg_stat_activity WHERE backend_type = 'durable worker'
SQL
	'so does pg_stat_activity');
is($server->sql('postgres', 'app', "SELECT task_id, name, state FROM durable.activities WHERE instance_id = 'seen'"),
	'1|pass_gate|running', 'durable.activities says that it is running');
$gate->query_safe('SELECT pg_advisory_unlock(1)');
$server->ends('postgres', 'app', 'seen', 'it goes on when the gate opens');
$server->comes_true('postgres',
	q{(SELECT (state, item IS NULL, items_done > 0) = ('idle', true, true) FROM durable.workers WHERE kind = 'worker')},
	'durable.workers shows when a worker is idle again');

# --- an idle server rests ------------------------------------------------------

# The observer is in a database of its own, whose statistics are left out.
$server->safe_psql('postgres', 'CREATE DATABASE observatory');
$server->safe_psql('observatory', 'CREATE EXTENSION pg_stat_statements') if $counts_statements;
$server->wait_until('postgres',
	q{NOT EXISTS (SELECT FROM durable.workers WHERE state <> 'idle' OR database <> 'postgres')});
$server->comes_true('postgres', <<'SQL', 'idle processes hold no snapshot and no transaction');
NOT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type LIKE 'durable%' AND num_nonnulls(backend_xmin, backend_xid, xact_start) > 0)
SQL

my $seconds = 6;
my $statements = $counts_statements
  ? '(SELECT sum(calls) FROM pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid WHERE datname <> current_database())'
  : 0;
my $counters = <<"SQL";
\\o /dev/null
SELECT pg_stat_clear_snapshot();
\\o
SELECT (SELECT sum(xact_commit + xact_rollback) FROM pg_stat_database WHERE datname <> current_database()),
	coalesce($statements, 0), pg_current_wal_insert_lsn() - '0/0'
SQL
my @spent;		# transactions, statements, bytes of WAL
for (1 .. 5)	# a look when all was done, or statistics told late, may still fall into the first one
{
	my ($before, $after) = map { [ split /\|/ ] } split /\n/, $server->safe_psql('observatory', <<"SQL");
CHECKPOINT;
\\o /dev/null
SELECT pg_sleep(1);		-- by then all that was done before is counted
$counters;
\\o /dev/null
SELECT pg_sleep($seconds);
$counters;
SQL
	@spent = map { $after->[$_] - $before->[$_] } 0 .. 2;
	last if $spent[0] <= $seconds && $spent[1] <= $seconds && $spent[2] == 0;
}
cmp_ok($spent[0], '<=', $seconds, 'an idle server runs at most 60 transactions a minute');
cmp_ok($spent[1], '<=', $seconds, 'and at most 60 queries');
is($spent[2], 0, 'and writes no WAL');

# --- wake-ups: nobody polls for an hour ---------------------------------------

$server->configure('durable.poll_interval' => '1h');
my $worker = $server->pid_of('worker');

$server->runs('postgres', 'app', 'woken', 'a start wakes an idle worker');
is($server->pid_of('worker'), $worker, 'the same one');

$server->start_instance('postgres', 'app', 'wait_for_timer', 'timer', '{"delay": "200 ms"}');
$server->ends('postgres', 'app', 'timer', 'a timer fires');
$server->start_instance('postgres', 'app', 'wait_for_timer', 'timer of a second', '{"delay": "1 s"}');
$server->ends('postgres', 'app', 'timer of a second', 'scenario 19: one of a second, too');
is($server->sql('postgres', 'app', <<'SQL'), '1|t', 'scenario 19: once, and not sooner than its delay');
SELECT count(*), bool_and(c.fire_at - s."timestamp" >= '1 s' AND f.fire_at = c.fire_at AND completed_at >= c.fire_at AND completed_at - created_at >= '1 s')
FROM durable.instances i JOIN durable.history s USING (instance_id) JOIN durable.history c USING (instance_id, turn) JOIN durable.history f USING (instance_id)
WHERE instance_id = 'timer of a second' AND s.event_type = 'OrchestratorStarted' AND c.event_type = 'TimerCreated' AND f.event_type = 'TimerFired'
SQL

$server->start_instance('postgres', 'app', 'wait_for_go', 'event');
$server->wait_until('postgres', q{(SELECT waiting_for ? 'events' FROM durable.instances WHERE instance_id = 'event')});
$server->sql('postgres', 'app', q{SELECT durable.raise_event('event', 'go', '"gone"')});
$server->ends('postgres', 'app', 'event', 'an event wakes');
is($server->sql('postgres', 'app', "SELECT output FROM durable.instances WHERE instance_id = 'event'"),
	'"gone"', 'and brings its data');

$server->start_instance('postgres', 'app', 'wait_for_go', 'ended');
$server->wait_until('postgres', q{(SELECT waiting_for ? 'events' FROM durable.instances WHERE instance_id = 'ended')});
$server->sql('postgres', 'app', q{SELECT durable.terminate('ended', 'enough')});
$server->ends('postgres', 'app', 'ended', 'terminate wakes', 'terminated');

$server->sql('postgres', 'app', <<'SQL');
BEGIN;
SELECT durable.start_instance('walk', '{"steps": 1}', instance_id => 'undone');
ROLLBACK;
BEGIN;
SAVEPOINT s;
SELECT durable.start_instance('walk', '{"steps": 1}', instance_id => 'undone too');
ROLLBACK TO s;
SELECT durable.start_instance('walk', '{"steps": 1}', instance_id => 'done');
COMMIT;
SQL
$server->ends('postgres', 'app', 'done', 'a start in a transaction wakes when that commits');
is($server->sql('postgres', 'app', "SELECT count(*) FROM durable.instances WHERE instance_id LIKE 'undone%'"),
	'0', 'and one that is rolled back never was');

# --- another hub, another worker -----------------------------------------------

$server->sql('postgres', 'app', q{SELECT durable.create_hub('app_batch')});
$server->sql('postgres', 'app',
	q{SELECT durable.start_instance('walk', '{"steps": 1}', instance_id => 'b', task_hub => 'app_batch')});
is($server->sql('postgres', 'app', q{SELECT status FROM durable.wait_for_completion('b', task_hub => 'app_batch')}),
	'completed', 'scenario 166: a second hub of the role runs');
$server->comes_true('postgres',
	q{(SELECT array_agg(DISTINCT task_hub ORDER BY task_hub) FROM durable.workers WHERE kind = 'worker') = '{app, app_batch}'},
	'by a worker of its own');

# --- they leave and come back -----------------------------------------------------

$server->configure('durable.worker_idle_timeout' => '50ms');
$server->comes_true('postgres', DurableServer::count_is('worker', 0), 'scenario 164: idle workers leave');
$server->runs('postgres', 'app', 'back', 'and come back for a start');
$server->start_instance('postgres', 'app', 'wait_for_timer', 'late timer', '{"delay": "500 ms"}');
$server->ends('postgres', 'app', 'late timer', 'and for a timer');

# More hubs than slots: they take turns.
$server->configure('durable.worker_idle_timeout' => '1h');
$server->add_role('postgres', "role$_") foreach 1 .. 6;
$server->sql('postgres', "role$_", <<'SQL') foreach 1 .. 6;
SELECT durable.start_instance('walk', '{"steps": 3}', instance_id => 'i' || i) FROM generate_series(1, 4) i
SQL
$server->comes_true('postgres',
	q{(SELECT count(*) FROM durable.instances WHERE task_hub LIKE 'role%' AND status = 'completed') = 24},
	'six more hubs are served within the default slots');
$server->effects_are_exact('postgres', "role$_", 3, "task_hub = 'role$_'", "role$_: each activity has run once")
  foreach 1 .. 6;

$gate->quit;
$server->stop;
done_testing();
