# Commands that change what the workers stand on while they run: tables are
# rewritten and locked, functions, schemas, roles and databases dropped or
# renamed. Nothing is lost or done twice, and no worker dies of it in a loop.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use DurableServer;
use PostgreSQL::Test::Utils;
use Test::More;

my $server = DurableServer->create('ddl', conf => <<'END');
durable.poll_interval = 1h
durable.worker_idle_timeout = 1h
durable.max_workers = 6
max_worker_processes = 20
deadlock_timeout = 100ms
log_line_prefix = '%b[%p]: '
END
$server->install('postgres', 'app', 'app2');

# Load that lasts until it is told to end, however fast or slow the machine is:
# instances that leave one effect after the other, and how many is their output.
$server->sql('postgres', 'app', <<'END');
CREATE TABLE told (prefix text);

CREATE FUNCTION effect_until_told(step int, prefix text) RETURNS bool LANGUAGE sql AS
$$ SELECT effect(step); SELECT EXISTS (SELECT FROM told t WHERE t.prefix = effect_until_told.prefix) $$;

CREATE FUNCTION walk_until_told(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	FOR step IN (input->>'from')::int .. (input->>'from')::int + 99 LOOP
		IF durable.call_activity('effect_until_told', jsonb_build_object('step', step, 'prefix', input->'prefix'))::bool THEN
			RETURN to_jsonb(step);
		END IF;
	END LOOP;
	PERFORM durable.continue_as_new(jsonb_set(input, '{from}', to_jsonb((input->>'from')::int + 100)));
	RETURN NULL;
END $$;
END

# How often one of our processes has logged an error or its death, from an offset on.
sub complaints
{
	my ($offset) = @_;

	return grep { /^durable \w+\[\d+\]: (WARNING|ERROR|FATAL|PANIC)/ } split /\n/, $server->log_since($offset);
}

# The processes of ours there are, as an array literal.
sub processes
{
	return $server->safe_psql('postgres', q{SELECT array_agg(pid ORDER BY pid) FROM pg_stat_activity WHERE backend_type ~ '^durable (worker|coordinator)'});
}

# A test: what was started under this prefix has completed, with its effects.
sub all_complete
{
	my ($prefix, $count, $steps, $what) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$server->comes_true('postgres', "(SELECT count(*) FROM durable.instances WHERE instance_id ~ '^$prefix ' AND status = 'completed') = $count", $what);
	return $server->effects_are_exact('postgres', 'app', $steps, "instance_id ~ '^$prefix '", "$what: each effect once");
}

# Starts instances that run until they are told; returns when one is seen running.
sub start_load
{
	my ($prefix, $count) = @_;

	$server->sql('postgres', 'app', qq{SELECT durable.start_instance('walk_until_told', '{"prefix": "$prefix", "from": 1}', instance_id => '$prefix ' || i) FROM generate_series(1, $count) i});
	$server->wait_until('postgres', qq{EXISTS (SELECT FROM durable.instances WHERE instance_id ~ '^$prefix ' AND status = 'running')});
}

# Two tests: they complete, and each effect is there once.
sub end_load
{
	my ($prefix, $count, $what) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$server->sql('postgres', 'app', "INSERT INTO told VALUES ('$prefix')");
	$server->comes_true('postgres', "(SELECT count(*) FROM durable.instances WHERE instance_id ~ '^$prefix ' AND status = 'completed') = $count", $what);
	return is($server->sql('postgres', 'app', <<"SQL"), '', "$what: each effect once");
SELECT i.instance_id, i.output, e.steps FROM durable.instances i
LEFT JOIN LATERAL (SELECT array_agg(step ORDER BY step) AS steps FROM effects e WHERE e.instance_id = i.instance_id) e ON true
WHERE i.instance_id ~ '^$prefix ' AND e.steps IS DISTINCT FROM ARRAY(SELECT generate_series(1, i.output::int))
SQL
}

# Runs a command; one that meets a deadlock, as it may with any table in use, is repeated.
sub insist
{
	my ($sql) = @_;
	my ($exit_code, $stderr);

	for (1 .. 50)
	{
		($exit_code, undef, $stderr) = $server->psql('postgres', $sql);
		return if $exit_code == 0;
		die $stderr unless $stderr =~ /deadlock detected/;
	}
	die "always a deadlock: $sql";
}

# --- tables of ours are rewritten under load ------------------------------------------

my $offset = -s $server->logfile;
my @tables = split /\n/, $server->safe_psql('postgres', q{SELECT oid::regclass FROM pg_class WHERE relnamespace = 'durable_store'::regnamespace AND relkind = 'r' ORDER BY 1});
my $n = 0;
my %keys = map { $_ => $server->safe_psql('postgres', "SELECT indexrelid::regclass FROM pg_index WHERE indrelid = '$_'::regclass AND indisprimary") } @tables;
$keys{$_} =~ s/.*\.// foreach @tables;
my @rewrites = (
	[ 'REINDEX SCHEMA', 'REINDEX SCHEMA durable_store' ],
	[ 'REINDEX SCHEMA CONCURRENTLY', 'REINDEX SCHEMA CONCURRENTLY durable_store' ],
	[ 'VACUUM FULL', map { "VACUUM FULL $_" } @tables ],
	[ 'VACUUM (ANALYZE, FREEZE)', map { "VACUUM (ANALYZE, FREEZE) $_" } @tables ],
	[ 'CLUSTER', map { "CLUSTER $_ USING $keys{$_}" } @tables ]);
foreach my $rewrite (@rewrites)
{
	my ($name, @commands) = @$rewrite;
	my $prefix = 'rewrite' . ++$n;

	start_load($prefix, 20);
	insist($_) foreach @commands;
	end_load($prefix, 20, "$name of the tables of durable while 20 instances run");
}
is(join("\n", complaints($offset)), '', 'the workers had nothing to complain of');

# --- locked --------------------------------------------------------------------------------

my $before = processes();
my $locker = $server->session('postgres');
foreach my $table (@tables)
{
	$locker->query_safe("BEGIN; LOCK TABLE $table");
	$locker->query_safe(q{SAVEPOINT s});
	$server->wait_until('postgres', "EXISTS (SELECT FROM pg_locks WHERE relation = '$table'::regclass AND granted AND mode = 'AccessExclusiveLock')");
	my $client = $server->session('postgres', 'app');
	$client->{stdin} .= qq{SELECT durable.start_instance('walk', '{"steps": 3}', instance_id => 'locked $table');\nSELECT 'started';\n};
	$client->{run}->pump_nb;
	$server->wait_until('postgres', "EXISTS (SELECT FROM pg_locks WHERE relation = '$table'::regclass AND NOT granted)")
	  unless $table =~ /imported|orchestrators|activities|code/;		# these are seldom read
	$locker->query_safe('COMMIT');
	like($client->query_until(qr/started/, ''), qr/started/, "LOCK TABLE $table: a client that waited is served");
	$client->quit;
	$server->ends('postgres', 'app', "locked $table", "LOCK TABLE $table: what waited for it goes on");
}
is($server->safe_psql('postgres', "SELECT unnest('$before'::int[]) EXCEPT SELECT pid FROM pg_stat_activity"), '', 'no worker has died of it');

# A deadlock with a client: one of the two gives way.
my $gate = $server->close_gate('postgres', 1);
$server->sql('postgres', 'app', q{SELECT durable.start_instance('walk_through_gate', '{"gate": 1}', instance_id => 'deadlock 1')});
$server->wait_until('postgres', DurableServer::at_gate(1, 1));
my $victim = $server->session('postgres');		# its error would be seen in later queries, too
$victim->query_safe('BEGIN; LOCK TABLE durable_store.inbox');
$gate->query_safe('SELECT pg_advisory_unlock(1)');
$server->wait_until('postgres', q{EXISTS (SELECT FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE l.relation = 'durable_store.inbox'::regclass
	AND NOT l.granted AND a.backend_type = 'durable worker')});
$victim->query('LOCK TABLE durable_store.activity_queue, app.effects');
$victim->query('ROLLBACK');
$victim->quit;
all_complete('deadlock', 1, 3, 'a deadlock between LOCK TABLE and an activity');

# One in which a process of ours must give way, before it has got a work item: somebody has
# $second, and is to wait as long as it takes; it begins to when the process, which will want
# $second next, waits for $first. Whoever has that goes away then.
sub fells
{
	my ($type, $first, $second, $look) = @_;
	my $count = '(SELECT deadlocks FROM pg_stat_database WHERE datname = current_database())';
	my $waits = "EXISTS (SELECT FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE NOT l.granted AND %s)";
	my $had = $server->safe_psql('postgres', "SELECT $count");
	my ($holder, $other) = map { $server->session('postgres') } 1, 2;
	my $other_pid = $other->query_safe('SELECT pg_backend_pid()');

	$holder->query_safe("BEGIN; LOCK TABLE $first");
	$look->();
	$server->wait_until('postgres', sprintf($waits, "a.backend_type = '$type' AND l.relation = '$first'::regclass"));
	$other->query_safe("SET deadlock_timeout = '1h'; BEGIN; LOCK TABLE $second");
	$other->{stdin} .= "SELECT durable_store.updating('1.0');\n\\echo over\n";	# for all that run, that is
	$other->{run}->pump_nb;
	$server->wait_until('postgres', sprintf($waits, "a.pid = $other_pid"));
	$holder->query_safe('ROLLBACK');
	$other->query_until(qr/over/, '');
	$_->quit foreach $holder, $other;
	$server->comes_true('postgres', "$count > $had", "a deadlock in which a $type must give way");
}

$offset = -s $server->logfile;
$server->sql('postgres', 'app', q{SELECT durable.pause_hub('app')});
$server->start_instance('postgres', 'app', 'walk', 'fetched 1', '{"steps": 2}');
fells('durable worker', 'durable_store.inbox', 'durable_store.instances', sub { $server->sql('postgres', 'app', q{SET synchronous_commit = off; SELECT durable.resume_hub('app')}) });	# which is not announced: nobody looks before it
all_complete('fetched', 1, 2, 'a deadlock while instances are fetched');
fells('durable coordinator', 'durable_store.inbox', 'durable_store.activity_queue', sub { $server->reload });
$server->runs('postgres', 'app2', 'after look', 'a deadlock while the coordinator looks');
is($server->safe_psql('postgres', "SELECT unnest('$before'::int[]) EXCEPT SELECT pid FROM pg_stat_activity"), '', 'no process has died of a deadlock');
is(join("\n", complaints($offset)), '', 'nor complained of one');

# --- tables of users -------------------------------------------------------------------------

$locker->query_safe('BEGIN; LOCK TABLE app.effects');
$server->start_instance('postgres', 'app', 'walk', 'user 1', '{"steps": 2}');
$server->wait_until('postgres', q{EXISTS (SELECT FROM pg_locks WHERE relation = 'app.effects'::regclass AND NOT granted)});
$server->runs('postgres', 'app2', 'beside a lock', 'a locked table of one hub does not keep another waiting');
$server->comes_true('postgres', q{EXISTS (SELECT FROM durable.workers WHERE task_hub = 'app' AND state = 'busy' AND item ~ '^activity effect\y.* \(user 1\)$')}, 'the view tells what waits');
$locker->query_safe('COMMIT');
all_complete('user', 1, 2, 'LOCK TABLE of a table that activities write to');

start_load('altered', 20);
$server->safe_psql('postgres', $_) foreach 'ALTER TABLE app.effects ADD COLUMN noted_at timestamptz DEFAULT clock_timestamp()',
  'ALTER TABLE app.effects ALTER COLUMN attempt TYPE bigint', 'CREATE INDEX ON app.effects (instance_id)', 'ALTER TABLE app.effects DROP COLUMN noted_at', 'VACUUM FULL app.effects';
end_load('altered', 20, 'ALTER TABLE of a table that activities write to');

# An activity that waits too long for a lock is ended by its timeout, not before.
$server->configure('durable.activity_timeout' => '200ms');
$locker->query_safe('BEGIN; LOCK TABLE app.effects');
$server->start_instance('postgres', 'app', 'walk', 'timed out', '{"steps": 1}');
$server->ends('postgres', 'app', 'timed out', 'durable.activity_timeout bounds the wait for a lock', 'failed');
is($server->sql('postgres', 'app', q{SELECT failure->'innerFailure'->>'sqlstate', failure->>'sqlstate' FROM durable.instances WHERE instance_id = 'timed out'}) =~ /57014/ ? 'yes' : 'no', 'yes', 'with 57014');
$server->configure('durable.activity_timeout' => '0');
$locker->query_safe('COMMIT');

# --- functions ---------------------------------------------------------------------------------

$gate->query_safe('SELECT pg_advisory_lock(1)');
$server->sql('postgres', 'app', q{SELECT durable.start_instance('walk_through_gate', '{"gate": 1}', instance_id => 'dropped 1')});
$server->wait_until('postgres', DurableServer::at_gate(1, 1));
my $definition = $server->safe_psql('postgres', q{SELECT string_agg(pg_get_functiondef(oid), ';') FROM pg_proc WHERE pronamespace = 'app'::regnamespace AND proname IN ('effect', 'pass_gate', 'walk_through_gate')});
$server->safe_psql('postgres', 'DROP FUNCTION app.pass_gate, app.effect, app.walk_through_gate');
$gate->query_safe('SELECT pg_advisory_unlock(1)');
$server->ends('postgres', 'app', 'dropped 1', 'an instance fails whose next activity was dropped', 'failed');
is($server->sql('postgres', 'app', q{SELECT failure->>'sqlstate' FROM durable.instances WHERE instance_id = 'dropped 1'}), '42883', 'with 42883');
is($server->sql('postgres', 'app', q{SELECT array_agg(step ORDER BY step) FROM effects WHERE instance_id = 'dropped 1'}), '{1,2}',
	'the one that ran when its function was dropped has had its effect');
$server->sql('postgres', 'app', "$definition; SELECT durable.rewind('dropped 1')");
all_complete('dropped', 1, 3, 'when it is there again, rewind() lets it go on');

# --- the extension --------------------------------------------------------------------------------

$before = processes();
foreach my $try (
	[ 'ALTER EXTENSION durable SET SCHEMA public', qr/extension "durable" does not support SET SCHEMA/ ],
	[ 'DROP SCHEMA durable CASCADE', qr/cannot drop schema durable because extension durable requires it/ ],
	[ 'DROP SCHEMA durable_store CASCADE', qr/cannot drop schema durable_store because extension durable requires it/ ],
	[ 'DROP TABLE durable_store.inbox CASCADE', qr/cannot drop table durable_store.inbox because extension durable requires it/ ])
{
	my ($exit_code, undef, $stderr) = $server->psql('postgres', $try->[0]);
	like($stderr, $try->[1], "refused: $try->[0]");
}
$server->safe_psql('postgres', 'ALTER EXTENSION durable UPDATE');
is($server->safe_psql('postgres', "SELECT unnest('$before'::int[]) EXCEPT SELECT pid FROM pg_stat_activity"), '', 'no process has died of it');
$server->runs('postgres', 'app', 'after update', 'work goes on after ALTER EXTENSION ... UPDATE');

# A schema of ours that is not there: once in the log, and all goes on when it is back.
$offset = -s $server->logfile;
$server->safe_psql('postgres', 'ALTER SCHEMA durable_store RENAME TO mislaid');
my ($exit_code, undef, $stderr) = $server->try_sql('postgres', 'app', q{SELECT durable.start_instance('walk', '{"steps": 1}')});
isnt($exit_code, 0, 'ALTER SCHEMA durable_store RENAME: a client gets an error');
$server->safe_psql('postgres', 'ALTER SCHEMA mislaid RENAME TO durable_store');
$server->runs('postgres', 'app', 'schema back', 'when the schema has its name again work goes on');
cmp_ok(scalar(complaints($offset)), '<=', 10, 'the workers have not complained for ever');

# The schema that users call: the hubs wait, whatever runs is not failed.
$gate->query_safe('SELECT pg_advisory_lock(1)');
$server->sql('postgres', 'app', q{SELECT durable.start_instance('walk_through_gate', '{"gate": 1}', instance_id => 'api 1')});
$server->wait_until('postgres', DurableServer::at_gate(1, 1));
$offset = -s $server->logfile;
$server->safe_psql('postgres', 'ALTER SCHEMA durable RENAME TO mislaid');
$gate->query_safe('SELECT pg_advisory_unlock(1)');
$server->wait_for_log(qr/task hub "app" of role "app" in database "postgres" is not being served/, $offset);
$server->safe_psql('postgres', 'ALTER SCHEMA mislaid RENAME TO durable');
all_complete('api', 1, 3, 'ALTER SCHEMA durable RENAME: when it has its name again work goes on');
cmp_ok(scalar(complaints($offset)), '<=', 10, 'the workers have not complained for ever');

# --- roles, in the midst of an activity -----------------------------------------------------------

$gate->query_safe('SELECT pg_advisory_lock(1)');
$server->sql('postgres', 'app2', q{SELECT durable.start_instance('walk_through_gate', '{"gate": 1}', instance_id => 'role')});
$server->wait_until('postgres', DurableServer::at_gate(1, 1));
$offset = -s $server->logfile;
$server->safe_psql('postgres', 'ALTER ROLE app2 RENAME TO renamed; ALTER SCHEMA app2 RENAME TO renamed');
$gate->query_safe('SELECT pg_advisory_unlock(1)');
$server->ends('postgres', 'renamed', 'role', 'ALTER SCHEMA ... RENAME in the midst of an activity: the next one is not found', 'failed');
like($server->sql('postgres', 'renamed', q{SELECT (failure->>'sqlstate') || ' ' || (failure->>'detail') FROM durable.instances WHERE instance_id = 'role'}),
	qr/^42883 No such function is in the search_path: app2, public\.$/, 'and the failure tells the schema it was looked for in');
is($server->sql('postgres', 'renamed', q{SELECT array_agg(step ORDER BY step) FROM effects WHERE instance_id = 'role'}), '{1,2}', 'what ran meanwhile has had its effect');
$server->safe_psql('postgres', 'ALTER SCHEMA renamed RENAME TO app2');
$server->sql('postgres', 'renamed', q{SELECT durable.rewind('role')});
$server->ends('postgres', 'renamed', 'role', 'ALTER ROLE ... RENAME: under its new name it goes on');
is($server->safe_psql('postgres', q{SELECT array_agg(step ORDER BY step) FROM app2.effects WHERE instance_id = 'role'}), '{1,2,3}', 'with each effect once');
$server->safe_psql('postgres', 'ALTER ROLE renamed RENAME TO app2');
is(join("\n", complaints($offset)), '', 'no process complains of it');

# Dropped, with all that belongs to it given to another one; its hub is paused first, so that nothing runs without rights.
$server->add_role('postgres', 'leaving');
$gate->query_safe('SELECT pg_advisory_lock(1)');
$server->sql('postgres', 'leaving', q{SELECT durable.start_instance('walk_through_gate', '{"gate": 1}', instance_id => 'inherited')});
$server->wait_until('postgres', DurableServer::at_gate(1, 1));
$server->sql('postgres', 'leaving', q{SELECT durable.pause_hub('leaving')});
$locker->{stdin} .= "REASSIGN OWNED BY leaving TO app2;\nDROP OWNED BY leaving;\nDROP ROLE leaving;\n\\echo left\n";
$locker->{run}->pump_nb;
$server->wait_until('postgres', q{EXISTS (SELECT FROM pg_locks WHERE relation = 'leaving.effects'::regclass AND NOT granted)});	# until the activity has ended
$gate->query_safe('SELECT pg_advisory_unlock(1)');
like($locker->query_until(qr/left/, ''), qr/left/, 'REASSIGN OWNED and DROP OWNED wait for an activity');
is($server->safe_psql('postgres', q{SELECT array_agg(step ORDER BY step) FROM leaving.effects WHERE instance_id = 'inherited'}), '{1,2}', 'what ran meanwhile has had its effect');
$server->safe_psql('postgres', q{SELECT durable.reassign_hub('leaving', 'app2'), durable.resume_hub('leaving')});
is($server->sql('postgres', 'app2', q{SELECT status FROM durable.wait_for_completion('inherited', task_hub => 'leaving')}), 'completed', 'reassign_hub() lets it go on');
is($server->safe_psql('postgres', q{SELECT array_agg(step || ' ' || session_user_was ORDER BY step) FROM leaving.effects WHERE instance_id = 'inherited'}),
	'{"1 leaving","2 leaving","3 app2"}', 'as the new owner, with each effect once');

# --- databases ------------------------------------------------------------------------------------

my $directory = PostgreSQL::Test::Utils::tempdir();
$server->safe_psql('postgres', "CREATE TABLESPACE elsewhere LOCATION '$directory'");
$server->safe_psql('postgres', 'CREATE DATABASE busy');
$server->install('busy', 'app');
my $hold = $server->close_gate('busy', 1);
$server->start_instance('busy', 'app', 'walk_through_gate', 'busy', '{"gate": 1}');
$server->wait_until('busy', DurableServer::at_gate(1, 1));
$hold->quit;		# it passes now, or is run again: the commands end it in its midst
$server->start_instance('busy', 'app', 'walk_and_nap', 'napping', '{"seconds": 1000}');
my $naps = q{EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'durable worker' AND wait_event = 'PgSleep' AND datname = '%s')};
$server->wait_until('postgres', sprintf($naps, 'busy'));
$server->ends('busy', 'app', 'busy', 'an instance completes before');
$offset = -s $server->logfile;
$server->safe_psql('postgres', 'ALTER DATABASE busy SET TABLESPACE elsewhere');
$server->comes_true('postgres', sprintf($naps, 'busy'), 'ALTER DATABASE ... SET TABLESPACE with a busy worker: the activity runs again');
$server->safe_psql('postgres', 'CREATE DATABASE twin TEMPLATE busy TABLESPACE pg_default');
$server->comes_true('postgres', sprintf($naps, 'busy'), 'CREATE DATABASE ... TEMPLATE with a busy worker: the activity runs again');
is($server->sql('twin', 'app', q{SELECT status FROM durable.instances WHERE instance_id = 'napping'}), 'running', 'the copy has the instance');
is($server->safe_psql('postgres', sprintf("SELECT $naps", 'twin')), 'f', 'and does not run it');
is($server->sql('busy', 'app', q{SELECT array_agg(step || ' ' || attempt ORDER BY step) FROM effects WHERE instance_id = 'napping'}), '{"1 1"}', 'the effect before it is there once');
$server->safe_psql('postgres', 'DROP DATABASE busy WITH (FORCE)');
pass('DROP DATABASE ... WITH (FORCE) with a busy worker');
$server->safe_psql('postgres', 'DROP DATABASE twin');
$server->comes_true('postgres', q{NOT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type ~ '^durable (coordinator|worker)' AND datname IS DISTINCT FROM 'postgres')}, 'their processes are gone');
is(join("\n", grep { !/terminating background worker .* due to administrator command/ } complaints($offset)), '', 'the log has no error of them');
$server->runs('postgres', $_, 'at the end', "the hubs of the other database run: $_") foreach 'app', 'app2';

unlike($server->log_since(0), qr/PANIC|TRAP|terminated by signal/, 'nothing has crashed');
$_->quit foreach $locker, $gate;
$server->stop;
done_testing();
