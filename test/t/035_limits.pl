# What is not the engine's fault: code that kills its process, and a server that
# has run out of something. Others go on, the log says once what is wrong, and
# work goes on by itself when there is enough again.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use DurableServer;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

# ONLY=name: only the episodes of that name.
my $only = $ENV{ONLY} || '.';

sub episode
{
	my ($name, $code) = @_;

	$name =~ /$only/ ? subtest($name, $code) : note("not asked for: $name");
}

# For as long as this nothing new may be said.
my $quiet_seconds = 3;

sub count_in_log
{
	my ($server, $offset, $pattern) = @_;

	return scalar(() = $server->log_since($offset) =~ /$pattern/g);
}

# Warnings and worse that processes of durable have logged.
my $complaints = qr/(?:WARNING|ERROR|FATAL|LOG):  (?!parameter|received|checkpoint|background worker|duration|database system|listening|starting|redirecting|automatic|statistics|autovacuum|process|transaction ID|MultiXact)/;

# --- to blame -----------------------------------------------------------------------------------

episode('orchestrators that kill', sub {
	# So that a crash undoes what was committed asynchronously just before.
	my $server = DurableServer->create('poison', conf => <<'END');
durable.max_dispatch_attempts = 3
max_worker_processes = 16
wal_writer_delay = 10s
full_page_writes = off
autovacuum = off
END

	$server->install('postgres', 'app');
	$server->safe_psql('postgres', 'CREATE ROLE killer LOGIN IN ROLE pg_execute_server_program, pg_signal_backend');
	$server->add_role('postgres', 'killer');
	# unchecked: what they do no check would let pass
	$server->sql('postgres', 'killer', <<'SQL');
CREATE FUNCTION quit(input jsonb) RETURNS jsonb LANGUAGE plpgsql SET durable.orchestrator_checks = off AS $$
BEGIN
	PERFORM durable.call_activity('effect', '{"step": 1}');
	PERFORM pg_terminate_backend(pg_backend_pid()), pg_sleep(1);
	RETURN durable.call_activity('effect', '{"step": 2}');
END $$;
CREATE FUNCTION crash(input jsonb) RETURNS jsonb LANGUAGE plpgsql SET durable.orchestrator_checks = off AS $$
BEGIN
	PERFORM durable.call_activity('effect', '{"step": 1}');
	COPY (SELECT) TO PROGRAM 'kill -9 $PPID';
	RETURN durable.call_activity('effect', '{"step": 2}');
END $$;
CREATE FUNCTION parent(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	RETURN durable.call_suborchestrator('crash');
EXCEPTION WHEN SQLSTATE 'UD012' THEN
	RETURN durable.call_activity('effect', '{"step": 3}');
END $$;
SQL
	# Two workers may have it in hand before the death of the first one is charged.
	$server->runs('postgres', 'killer', 'earlier', 'the hub runs');
	$server->safe_psql('postgres', q{SELECT durable.set_hub_limits('killer', max_workers => 1)});
	$server->wait_until('postgres', q{(SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'durable worker' AND usename = 'killer') <= 1});
	foreach my $how ([ 'quit', 'FATAL:  terminating background worker "durable worker' ], [ 'crash', 'was terminated by signal 9' ])
	{
		my ($orchestrator, $death) = @$how;
		my $offset = -s $server->logfile;

		$server->start_instance('postgres', 'killer', 'walk', "of the same hub, $orchestrator", '{"steps": 5}');
		$server->start_instance('postgres', 'app', 'wait_for_timer', "of another hub, $orchestrator", '{"delay": "200 ms"}');
		# the server may be gone before this session hears that it has started
		$server->try_sql('postgres', 'killer', "SELECT durable.start_instance('$orchestrator', instance_id => '$orchestrator')");
		$server->comes_true('postgres', "(SELECT completed_at IS NOT NULL FROM durable.instances WHERE instance_id = '$orchestrator')",
			"an orchestrator that does $orchestrator its process each time is given up");
		is($server->safe_psql('postgres', "SELECT status, failure->>'sqlstate' FROM durable.instances WHERE instance_id = '$orchestrator'"),
			'failed|UD012', 'it is failed with UD012');
		# once more if the first time it was together with the turn and the activity before it
		like(count_in_log($server, $offset, $death), qr/^[34]$/, 'it was tried three times');
		$server->ends('postgres', 'killer', "of the same hub, $orchestrator", 'an instance of its hub goes on');
		$server->ends('postgres', 'app', "of another hub, $orchestrator", 'one of another hub, too');
	}
	$server->effects_are_exact('postgres', 'killer', 5, q{instance_id ~ '^of the same'}, 'with effects once');
	$server->effects_are_exact('postgres', 'app', 1, q{instance_id ~ '^of another'}, 'there, too');
	is($server->sql('postgres', 'killer', q{SELECT instance_id, step FROM effects WHERE instance_id IN ('quit', 'crash') ORDER BY 1}), "crash|1\nquit|1",
		'what those did before stands');
	# Nobody else commits, and flushes what came before.
	my $offset = -s $server->logfile;

	$server->try_sql('postgres', 'killer', q{SELECT durable.start_instance('crash', instance_id => 'crash alone')});
	$server->comes_true('postgres', q{(SELECT completed_at IS NOT NULL FROM durable.instances WHERE instance_id = 'crash alone')}, 'one that is alone is given up');
	like(count_in_log($server, $offset, 'was terminated by signal 9'), qr/^[34]$/, 'as soon, though each crash undoes what was not flushed');
	$server->try_sql('postgres', 'killer', q{SELECT durable.start_instance('parent', instance_id => 'parent')});
	$server->comes_true('postgres', q{(SELECT completed_at IS NOT NULL FROM durable.instances WHERE instance_id = 'parent')}, 'so is one that is a child');
	$server->ends('postgres', 'killer', 'parent', 'a parent can catch it');
	$server->runs('postgres', 'killer', 'later', 'the hub goes on');
	$server->stop;
});

# --- worker slots ---------------------------------------------------------------------------------

episode('worker slots', sub {
	my $server = DurableServer->create('slots', conf => <<'END');
max_worker_processes = 5
max_logical_replication_workers = 0
durable.enabled = off
END
	my $offset;

	$server->install('postgres', 'app');
	# Parallel workers hold the others: those of a query that does not end.
	$server->safe_psql('postgres', q{CREATE TABLE blocks AS SELECT repeat('x', 2000) AS x FROM generate_series(1, 400)});
	$server->start_instance('postgres', 'app', 'walk', 'waits', '{"steps": 2}');
	my $holder = $server->session('postgres');

	$holder->query_safe('SET parallel_leader_participation = off; SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0;'
		. ' SET min_parallel_table_scan_size = 0; SET max_parallel_workers_per_gather = 4; ALTER TABLE blocks SET (parallel_workers = 4)');
	$holder->{stdin} .= "SELECT count(pg_sleep(3600)) FROM blocks;\n";
	$holder->{run}->pump_nb;
	$server->wait_until('postgres', q{(SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'parallel worker') = 4});
	$offset = -s $server->logfile;
	$server->configure('durable.enabled' => 'on');
	$server->wait_for_log(qr/out of background worker slots for durable coordinators/, $offset);
	usleep($quiet_seconds * 1_000_000);
	is(count_in_log($server, $offset, qr/out of background worker slots/), 1, 'the log says once that there is no slot');
	is($server->safe_psql('postgres', q{SELECT status FROM durable.instances WHERE instance_id = 'waits'}), 'pending', 'the instance waits');
	$server->safe_psql('postgres', q{SELECT pg_cancel_backend(leader_pid) FROM pg_stat_activity WHERE backend_type = 'parallel worker' LIMIT 1});
	$server->ends('postgres', 'app', 'waits', 'it runs when there are slots');
	is(count_in_log($server, $offset, qr/out of background worker slots/), 1, 'nothing more was said');
	$holder->quit;
	$server->stop;
});

# --- disk ---------------------------------------------------------------------------------------------

episode('disk', sub {
	my $server;
	my $offset;

	{
		local $ENV{LD_PRELOAD} = "$FindBin::RealBin/../modules/full_disk/full_disk.so";

		die "$ENV{LD_PRELOAD} is missing: \"make test-modules\" builds it\n" unless -e $ENV{LD_PRELOAD};
		$server = DurableServer->create('disk', conf => "durable.poll_interval = 500ms\nautovacuum = off");
	}
	my $full = $server->data_dir . '/durable_full_disk';
	my $space = PostgreSQL::Test::Utils::tempdir_short();

	$server->install('postgres', 'app', 'other');
	$server->safe_psql('postgres', "CREATE TABLESPACE small LOCATION '$space'");
	$server->safe_psql('postgres', 'GRANT CREATE ON TABLESPACE small TO app');
	$server->sql('postgres', 'app', <<'SQL');
CREATE TABLE large (instance_id text, load text) TABLESPACE small;
ALTER TABLE large ALTER load SET STORAGE EXTERNAL;
CREATE FUNCTION store(step int) RETURNS int LANGUAGE sql AS $$
	INSERT INTO large VALUES (durable.instance_id(), repeat('x', 100000));
	SELECT effect(step);
$$;
CREATE FUNCTION stores(input jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT durable.call_activity('store', '{"step": 1}') $$;
CREATE FUNCTION stores_patiently(input jsonb) RETURNS jsonb LANGUAGE sql AS $$
	SELECT durable.call_activity('store', '{"step": 1}', retry => durable.retry_policy(max_attempts => 1000, first_interval => '100 ms', retry_on => '{53}'))
$$;
SQL

	# A tablespace of the user's is full: that is the activity's failure, and for its policy.
	append_to_file($full, "$space\n");
	$server->start_instance('postgres', 'app', 'stores', 'no patience');
	$server->start_instance('postgres', 'app', 'stores_patiently', 'patience');
	$server->ends('postgres', 'app', 'no patience', 'an activity finds the disk full', 'failed');
	is($server->safe_psql('postgres', q{SELECT failure->>'sqlstate' FROM durable.instances WHERE instance_id = 'no patience'}), '53100', 'with 53100');
	$server->runs('postgres', 'app', 'elsewhere', 'others of the hub go on');
	$server->wait_until('postgres', q{(SELECT count(*) >= 3 FROM durable.history WHERE instance_id = 'patience' AND event_type = 'TaskFailed')});
	unlink $full;
	$server->ends('postgres', 'app', 'patience', 'one with a retry policy completes when there is room');
	$server->effects_are_exact('postgres', 'app', 1, q{instance_id = 'patience'}, 'with its effect once');

	# The disk of the engine's own tables: it waits.
	$server->sql('postgres', $_, q{SELECT durable.start_instance('wait_for_go', instance_id => 'waits ' || i) FROM generate_series(1, 20) i}) foreach 'app', 'other';
	$server->wait_until('postgres', q{(SELECT count(*) FROM durable.instances WHERE instance_id ~ '^waits' AND waiting_for ? 'events') = 40});
	$server->configure('durable.enabled' => 'off');
	$server->wait_until('postgres', DurableServer::count_is('worker', 0));
	$server->sql('postgres', $_, q{SELECT durable.raise_event('waits ' || i, 'go', to_jsonb(repeat('x', 50000))) FROM generate_series(1, 20) i}) foreach 'app', 'other';
	my $done = "(SELECT count(*) FROM durable.instances WHERE instance_id ~ '^waits' AND status = 'completed')";

	$offset = -s $server->logfile;
	append_to_file($full, "/base/\n");
	$server->configure('durable.enabled' => 'on');
	$server->wait_for_log(qr/No space left on device/, $offset);
	usleep($quiet_seconds * 1_000_000);
	note join '', grep { /$complaints/ } split /^/, $server->log_since($offset);
	cmp_ok($server->safe_psql('postgres', "SELECT $done"), '<', 40, 'the disk of its own tables is full: the engine waits');
	# A worker says what it met, and ends when it cannot put it off either: two lines. Two hubs have one at
	# 0, 1 and 3 s; and each may have had a second one when the disk was full.
	cmp_ok(count_in_log($server, $offset, qr/No space left on device/), '<=', 16, 'the log is not flooded');
	unlink $full;
	$server->comes_true('postgres', "$done = 40", 'all complete when there is room again');
	$server->effects_are_exact('postgres', $_, 1, q{instance_id ~ '^waits'}, 'with their effects once') foreach 'app', 'other';
	unlike($server->log_since($offset), qr/PANIC|TRAP|terminated by signal/, 'nothing crashed');
	is($server->safe_psql('postgres', q{SELECT count(*) FROM durable.instances WHERE status = 'failed' AND instance_id <> 'no patience'}), '0', 'and nothing has failed');
	$server->stop;
});

# --- memory and locks -----------------------------------------------------------------------------------

episode('memory', sub {
	my $server = DurableServer->create('memory', conf => "durable.enabled = off\nshared_buffers = 16MB");
	my $offset;

	$server->install('postgres', 'app', 'other');
	$server->sql('postgres', 'app', <<'SQL');
CREATE FUNCTION devour(step int) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
	PERFORM effect(step);
	RETURN length(repeat('x', 300000000));
END $$;
CREATE FUNCTION devours(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	RETURN durable.call_activity('devour', '{"step": 1}');
EXCEPTION WHEN SQLSTATE '53200' THEN
	RETURN durable.call_activity('effect', '{"step": 2}');
END $$;
CREATE FUNCTION devours_itself(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	RETURN durable.call_activity('effect', jsonb_build_object('step', length(repeat('x', 300000000)) / 300000000));
END $$;
SQL
	# As "ulimit -v" before its start: processes that it starts from now on get no more.
	my ($postmaster) = slurp_file($server->data_dir . '/postmaster.pid') =~ /^(\d+)/;
	my ($size) = slurp_file("/proc/$postmaster/status") =~ /^VmSize:\s+(\d+)/m;

	system_or_bail('prlimit', '--pid', $postmaster, '--as=' . ($size * 1024 + 200 * 1024 * 1024) . ':');
	$server->configure('durable.enabled' => 'on');
	$offset = -s $server->logfile;
	$server->start_instance('postgres', 'app', 'devours', 'devours');
	$server->ends('postgres', 'app', 'devours', 'an activity that runs out of memory fails with 53200, and can be caught');
	is($server->sql('postgres', 'app', q{SELECT step FROM effects WHERE instance_id = 'devours'}), '2', 'what it did is undone');
	$server->runs('postgres', 'app', 'after it', 'the hub goes on');

	# An orchestrator: it waits for better times.
	$server->start_instance('postgres', 'app', 'devours_itself', 'devours itself');
	$server->wait_for_log(qr/could not process orchestration "devours itself": out of memory/, $offset);
	$server->runs('postgres', 'app', 'beside it', 'others of its hub go on meanwhile');
	$server->runs('postgres', 'other', 'beside it', 'so do others');
	usleep((5 + $quiet_seconds) * 1_000_000);
	is(count_in_log($server, $offset, qr/could not process orchestration "devours itself"/), 1, 'the log says it once');
	system_or_bail('prlimit', '--pid', $postmaster, '--as=unlimited:');
	$server->safe_psql('postgres', q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'durable worker'});
	$server->ends('postgres', 'app', 'devours itself', 'it completes when there is memory');
	unlike($server->log_since($offset), qr/PANIC|TRAP|terminated by signal/, 'nothing crashed');
	$server->stop;
});

episode('locks', sub {
	my $server = DurableServer->create('locks', conf => <<'END');
max_locks_per_transaction = 10
max_connections = 20
durable.poll_interval = 500ms
END
	my $offset;

	$server->install('postgres', 'app', 'other');
	$server->sql('postgres', 'app', <<'SQL');
CREATE FUNCTION lock_all(step int) RETURNS bigint LANGUAGE sql AS
$$ SELECT effect(step); SELECT count(pg_advisory_xact_lock(i)) FROM generate_series(1, 100000) i $$;
CREATE FUNCTION locks_all(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	RETURN durable.call_activity('lock_all', '{"step": 1}');
EXCEPTION WHEN SQLSTATE '53200' THEN
	RETURN durable.call_activity('effect', '{"step": 2}');
END $$;
SQL
	$server->start_instance('postgres', 'app', 'locks_all', 'locks all');
	$server->ends('postgres', 'app', 'locks all', 'an activity that takes more locks than there are fails with 53200, and can be caught');
	is($server->sql('postgres', 'app', q{SELECT step FROM effects WHERE instance_id = 'locks all'}), '2', 'what it did is undone');

	# A client has taken them: locks of a session stay when its statement fails. The engine waits.
	$server->start_instance('postgres', $_, 'wait_for_timer', 'waits', '{"delay": "1 h"}') foreach 'app', 'other';
	$server->wait_until('postgres', q{(SELECT count(*) FROM durable.instances WHERE instance_id = 'waits' AND waiting_for ? 'timers') = 2});
	my $greedy = $server->session('postgres');
	my $clock = $server->session('postgres');

	$offset = -s $server->logfile;
	$clock->query_safe('BEGIN; UPDATE durable_store.inbox SET visible_at = clock_timestamp() WHERE event_type = 11');
	$greedy->query('SELECT count(pg_advisory_lock(i)) FROM generate_series(1, 100000) i');
	$clock->query_safe('COMMIT');		# the hour is over
	$clock->quit;
	$server->wait_for_log(qr/out of shared memory/, $offset);
	$offset = -s $server->logfile;
	usleep(2 * $quiet_seconds * 1_000_000);
	my $log = $server->log_since($offset);

	note join '', grep { /$complaints/ } split /^/, $log;
	cmp_ok(count_in_log($server, $offset, qr/out of shared memory/), '<=', 8, 'the log is not flooded');
	$greedy->quit;
	foreach my $hub ('app', 'other')
	{
		$server->ends('postgres', $hub, 'waits', "hub $hub goes on when there are locks again");
		$server->effects_are_exact('postgres', $hub, 1, q{instance_id = 'waits'}, 'with its effect once');
	}
	unlike($server->log_since($offset), qr/PANIC|TRAP|terminated by signal/, 'nothing crashed');
	$server->stop;
});

# --- conflicts ---------------------------------------------------------------------------------------------

episode('conflicts', sub {
	my $server = DurableServer->create('conflicts', conf => "deadlock_timeout = 10ms\nmax_worker_processes = 16\ndurable.inline_activities = off");
	my $offset = -s $server->logfile;

	$server->install('postgres', 'app');
	$server->sql('postgres', 'app', <<'SQL');
CREATE TABLE accounts (id int PRIMARY KEY, amount int NOT NULL);
INSERT INTO accounts VALUES (1, 0), (2, 0);
CREATE FUNCTION move(step int, "from" int, "to" int) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
	UPDATE accounts SET amount = amount - 1 WHERE id = "from";
	PERFORM effect(step), pg_sleep(0.02);
	UPDATE accounts SET amount = amount + 1 WHERE id = "to";
	RETURN step;
END $$;
CREATE FUNCTION moves(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	tasks durable.task[];
BEGIN
	FOR step IN 1 .. 10 LOOP
		tasks := tasks || durable.schedule_activity('move', jsonb_build_object('step', step, 'from', 1 + step % 2, 'to', 2 - step % 2));
	END LOOP;
	PERFORM durable.await_all(tasks);
	RETURN NULL;
END $$;
CREATE FUNCTION unlucky(step int) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
	PERFORM effect(step);
	IF durable.attempt() < 4 THEN
		RAISE EXCEPTION 'somebody else was first' USING ERRCODE = 'serialization_failure';
	END IF;
	RETURN durable.attempt();
END $$;
CREATE FUNCTION is_unlucky(input jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT durable.call_activity('unlucky', '{"step": 1}') $$;
SQL
	my $deadlocks = '(SELECT deadlocks FROM pg_stat_database WHERE datname = current_database())';

	for (my $n = 6; $n <= 120 && $server->safe_psql('postgres', "SELECT $deadlocks") == 0; $n += 6)
	{
		$server->sql('postgres', 'app', qq{SELECT durable.start_instance('moves', instance_id => 'moves ' || i) FROM generate_series($n - 5, $n) i});
		$server->wait_until('postgres', qq{(SELECT count(*) FROM durable.instances WHERE name = 'moves' AND status = 'completed') = $n});
	}
	pass('activities that deadlock with each other complete');
	$server->effects_are_exact('postgres', 'app', 10, q{name = 'moves'}, 'each with its effect once');
	is($server->sql('postgres', 'app', 'SELECT sum(amount), min(amount), max(amount) FROM accounts'), '0|0|0', 'the totals match');
	$server->comes_true('postgres', "$deadlocks > 0", 'there were deadlocks');
	$server->start_instance('postgres', 'app', 'is_unlucky', 'unlucky');
	$server->ends('postgres', 'app', 'unlucky', 'one with serialization failures completes');
	is($server->sql('postgres', 'app', q{SELECT output, (SELECT count(*) FROM effects WHERE instance_id = 'unlucky') FROM durable.instances WHERE instance_id = 'unlucky'}), '4|1',
		'at its fourth attempt, with its effect once');
	is(count_in_log($server, $offset, qr/WARNING/), 0, 'conflicts are nothing to warn of');
	$server->stop;
});

# --- timeouts of the role ------------------------------------------------------------------------------------

episode('timeouts', sub {
	my $server = DurableServer->create('timeouts', conf => "durable.worker_idle_timeout = 1h");
	my $major = $server->safe_psql('postgres', q{SELECT current_setting('server_version_num')::int / 10000});
	my $offset;
	my @timeouts = qw(statement_timeout idle_in_transaction_session_timeout idle_session_timeout lock_timeout);

	push @timeouts, 'transaction_timeout' if $major >= 17;
	$server->install('postgres', 'app');
	$server->safe_psql('postgres', "ALTER ROLE app SET $_ = '50ms'") foreach @timeouts;
	$offset = -s $server->logfile;
	$server->safe_psql('postgres', <<'SQL');
SET ROLE app;
SET search_path = app;
SELECT durable.start_instance('walk_and_nap', '{"seconds": 0.3}', instance_id => 'naps ' || i) FROM generate_series(1, 3) i;
SELECT durable.start_instance('wait_for_timer', '{"delay": "300 ms"}', instance_id => 'waits');
SQL
	$server->comes_true('postgres', q{(SELECT count(*) FROM durable.instances WHERE status = 'completed') = 4}, "workers do not mind @timeouts of their role");
	$server->comes_true('postgres', q{EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'durable worker' AND state = 'idle' AND state_change < now() - interval '200 ms')},
		'nor when they are idle');
	is(count_in_log($server, $offset, qr/timeout/), 0, 'the log tells of no timeout');
	is($server->safe_psql('postgres', q{SELECT instance_id, array_agg(step ORDER BY step) FROM app.effects GROUP BY 1 ORDER BY 1}),
		"naps 1|{1,2}\nnaps 2|{1,2}\nnaps 3|{1,2}\nwaits|{1}", 'each activity has had its effect once');
	$server->stop;
});

# --- transaction ids -------------------------------------------------------------------------------------------

episode('transaction ids', sub {
	my $server = DurableServer->create('wraparound', conf => "wal_level = logical\nlog_line_prefix = '%m [%p] %b '\nautovacuum_naptime = 1s\ndurable.poll_interval = 500ms");
	my $offset;

	$server->install('postgres', 'app', 'other');
	$server->configure('durable.enabled' => 'off');
	$server->wait_until('postgres', DurableServer::count_is('coordinator', 0));
	$server->start_instance('postgres', $_, 'walk', 'waits', '{"steps": 2}') foreach 'app', 'other';
	# It holds back the oldest transaction id, so that autovacuum cannot make room.
	$server->safe_psql('postgres', q{SELECT pg_create_logical_replication_slot('holds', 'pgoutput')});
	$server->stop;

	# As if two thousand million transactions had passed: within what is kept for a superuser's repairs.
	my $next = 2**31 - 1_000_000;
	my $file = sprintf '%s/pg_xact/%04X', $server->data_dir, $next / 2**20;

	append_to_file($file, "\0" x 262144);
	system_or_bail('pg_resetwal', '-D', $server->data_dir, '-x', $next);
	$offset = -s $server->logfile;
	$server->append_conf('postgresql.conf', "durable.enabled = on");
	$server->start;
	$server->wait_for_log(qr/database is not accepting commands/, $offset);
	my ($exit, undef, $error) = $server->try_sql('postgres', 'app', q{SELECT durable.start_instance('walk')});

	like($error, qr/is not accepting commands/, 'no transaction that writes begins any more');

	usleep(2 * $quiet_seconds * 1_000_000);
	my @said = grep { /durable (?:worker|coordinator|launcher) +(?:ERROR|WARNING|LOG|FATAL)/ } split /^/, $server->log_since($offset);

	note join '', @said;
	cmp_ok(scalar(grep { $_ gt '' } @said), '<=', 12, 'the log is not flooded by those who try');
	is($server->safe_psql('postgres', q{SELECT DISTINCT status FROM durable.instances}), 'pending', 'the instances wait');
	$server->safe_psql('postgres', q{SELECT pg_drop_replication_slot('holds')});
	foreach my $hub ('app', 'other')
	{
		$server->ends('postgres', $hub, 'waits', "hub $hub goes on when vacuum has made room");
		$server->effects_are_exact('postgres', $hub, 2, q{instance_id = 'waits'}, 'with effects once');
	}
	unlike($server->log_since($offset), qr/PANIC|TRAP|terminated by signal/, 'nothing crashed');
	$server->stop;
});

done_testing();
