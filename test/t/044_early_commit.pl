# A client that only makes work for an idle worker commits early: the worker begins while the commit is on its way to
# disk. The client hears of it when it is there, as ever; and whoever writes anything of his own does not commit so.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PointsServer;
use Test::More;

# Nobody writes to disk what he does not have to.
my $server = PointsServer->create('early_commit', init => { allows_streaming => 1 }, conf => <<'END');
wal_writer_delay = 10s
autovacuum = off
durable.poll_interval = 1h
durable.worker_idle_timeout = 1h
END

$server->install('postgres', 'app');
$server->sql('postgres', 'app', 'CREATE TABLE orders (id text)');

my $walk = q{SELECT durable.start_instance('walk', '{"steps": 2}', instance_id => '%s')};
my $state_of = q{SELECT coalesce((SELECT status FROM durable.instances WHERE instance_id = '%s'), 'not there')};
my $effects_of = q{SELECT coalesce(string_agg(step::text, ' ' ORDER BY step), 'none') FROM effects WHERE instance_id = '%s'};

sub state_of { return $server->sql('postgres', 'app', sprintf($state_of, @_)); }
sub effects_of { return $server->sql('postgres', 'app', sprintf($effects_of, @_)); }
sub becomes { my ($id, $status) = @_; return '(' . sprintf($state_of, $id) . ") = '$status'"; }

# A session of that name, with a worker that sleeps.
sub session_beside_idle_worker
{
	my ($name) = @_;

	$server->runs('postgres', 'app', "before $name", "$name: a worker");
	$server->wait_until('postgres', q{(SELECT bool_and(state = 'idle') FROM durable.workers WHERE task_hub = 'app')});

	my $session = $server->session('postgres', 'app');

	$session->query_safe("SET application_name = '$name'");
	return $session;
}

# Has it go on without waiting for its answer.
sub send_to
{
	my ($session, $sql) = @_;

	$session->{stdin} .= "$sql;\n\\echo done\n";
	$session->{run}->pump_nb;
}

# The answer to that.
sub answer_of
{
	my ($session) = @_;
	my $answer = $session->query_until(qr/done\n/, '');

	return $answer =~ s/done\n//r;
}

# Stops the session, which has committed and waits for the disk, at a point.
sub stop_at
{
	my ($point, $name, $sql) = @_;
	my $session = session_beside_idle_worker($name);

	$server->arm($point, 'pause', $name);
	send_to($session, $sql);
	ok($server->all_come($point, $name), "$name: it comes to $point") || $server->show_state('postgres');
	return $session;
}

sub crash_and_restart
{
	$server->stop('immediate');
	$server->start;
}

# --- the worker is at work, the client has heard nothing yet --------------------------------------

my $session = stop_at('client.committed_early', 'a start', sprintf($walk, 'started'));
$server->comes_true('postgres', becomes('started', 'completed'), 'a start: its instance runs while the commit is not on disk');
$server->release;
is(answer_of($session), "started\n", 'then its client hears of it');
is($session->query_safe('SHOW synchronous_commit'), 'on', 'and has its settings as they were');
$session->quit;

$server->start_instance('postgres', 'app', 'wait_for_go', 'waits');
$server->wait_until('postgres', q{(SELECT waiting_for ? 'events' FROM durable.instances WHERE instance_id = 'waits')});
$session = stop_at('client.committed_early', 'an event', q{SELECT durable.raise_event('waits', 'go')});
$server->comes_true('postgres', becomes('waits', 'completed'), 'an event: it is taken while the commit is not on disk');
$server->release;
answer_of($session);
$session->quit;

# Several calls are as good as one, and what is undone does not count.
$session = stop_at('client.committed_early', 'a transaction',
	'BEGIN; SELECT id FROM orders; ' . sprintf($walk, 'first') . '; ' . sprintf($walk, 'second') . '; COMMIT');
$server->release;
is(answer_of($session), "first\nsecond\n", 'a transaction that only reads and makes work commits early');
$session->quit;

# --- what is told is on disk ------------------------------------------------------------------------

$session = stop_at('client.durable', 'told', sprintf($walk, 'told'));
crash_and_restart();
$server->release;
$server->comes_true('postgres', becomes('told', 'completed'), 'before the client hears of it, it survives a crash');
is(effects_of('told'), '1 2', 'and every effect is there once');

foreach my $round (1 .. 3)
{
	session_beside_idle_worker("round $round")->quit;
	is($server->sql('postgres', 'app', sprintf($walk, "round $round")), "round $round", 'a start beside an idle worker');
	crash_and_restart();
	isnt(state_of("round $round"), 'not there', 'is there after a crash in that moment');
	$server->ends('postgres', 'app', "round $round", 'and completes');
	is(effects_of("round $round"), '1 2', 'with every effect once');
}

# --- a crash before that loses all of it, or nothing -------------------------------------------------

# What is in a page of the WAL that is full may be on disk by chance.
foreach my $round (1 .. 3)
{
	my $id = "half done $round";

	$session = stop_at('client.committed_early', $id, sprintf($walk, $id));
	$server->wait_until('postgres', becomes($id, 'completed'));
	crash_and_restart();
	$server->release;

	my $is_there = state_of($id) ne 'not there';

	$server->wait_until('postgres', becomes($id, 'completed')) if $is_there;
	is(effects_of($id), $is_there ? '1 2' : 'none', "what a worker made of a start is lost with it or there with it: $id");
}

# An external effect waits for the disk, and with it all that led to it.
$server->sql('postgres', 'app', q{SELECT durable.register_activity('effect', 'effect(int)', external => true)});
$session = stop_at('client.committed_early', 'external', sprintf($walk, 'external'));
$server->wait_until('postgres', becomes('external', 'completed'));
crash_and_restart();
$server->release;
$server->comes_true('postgres', becomes('external', 'completed'), 'an external activity begins when all that led to it is on disk');
is(effects_of('external'), '1 2', 'and every effect is there once');
$server->sql('postgres', 'app', q{SELECT durable.unregister_activity('effect')});

# --- a client that waits for what it has started, each time --------------------------------------------

$session = session_beside_idle_worker('waits each time');
$session->query_safe('CREATE TABLE told (id text, status text)');
$session->query_safe(<<'SQL');
CREATE PROCEDURE start_and_wait(n int) LANGUAGE plpgsql AS $$
DECLARE
	end_status text;
BEGIN
	FOR i IN 1 .. n LOOP
		PERFORM durable.start_instance('walk', '{"steps": 1}', instance_id => 'awaited ' || i);
		COMMIT;
		SELECT status INTO end_status FROM durable.wait_for_completion('awaited ' || i);
		COMMIT;
		IF end_status <> 'completed' THEN
			RAISE EXCEPTION 'instance % is %', i, end_status;
		END IF;
	END LOOP;
END $$;
SQL
$session->query_safe('CALL start_and_wait(1000)');
$session->quit;
crash_and_restart();
is($server->sql('postgres', 'app', q{SELECT count(*) FROM durable.instances JOIN effects USING (instance_id) WHERE instance_id LIKE 'awaited %' AND status = 'completed'}),
	'1000', 'what 1,000 waits were told, one after the other, is there after a crash');

# --- who does not commit so ---------------------------------------------------------------------------

sub does_not_commit_early
{
	my ($name, @statements) = @_;
	my $session = session_beside_idle_worker($name);

	$server->arm('client.committed_early', 'error', $name);	# which cannot be raised there: it only says that it was there
	$session->query_safe($_) foreach @statements;
	$server->ends('postgres', 'app', $name, "$name: the instance completes");
	is(join(' ', $server->not_taken('client.committed_early')), $name, "$name: it has not committed early");
	$server->release;
	$session->quit;
}

does_not_commit_early('writes before', 'BEGIN', q{INSERT INTO orders VALUES ('1')}, sprintf($walk, 'writes before'), 'COMMIT');
does_not_commit_early('writes after', 'BEGIN', sprintf($walk, 'writes after'), q{INSERT INTO orders VALUES ('1')}, 'COMMIT');
does_not_commit_early('writes between', 'BEGIN', sprintf($walk, 'first of two'), q{INSERT INTO orders VALUES ('1')}, sprintf($walk, 'writes between'), 'COMMIT');
does_not_commit_early('locks', 'BEGIN', q{SELECT FROM orders FOR UPDATE}, sprintf($walk, 'locks'), 'COMMIT');
does_not_commit_early('undoes', 'BEGIN', 'SAVEPOINT s', q{INSERT INTO orders VALUES ('1')}, 'ROLLBACK TO s', sprintf($walk, 'undoes'), 'COMMIT');
does_not_commit_early('asynchronous', 'SET synchronous_commit = off', sprintf($walk, 'asynchronous'));

$server->configure('durable.synchronous_commit' => 'on');
does_not_commit_early('synchronous workers', sprintf($walk, 'synchronous workers'));
$server->configure('durable.synchronous_commit' => 'off');

# Where standbys confirm commits, nobody sees one before. There is none, so the client waits for ever.
$session = session_beside_idle_worker('with standbys');
$server->configure('synchronous_standby_names' => 'nobody');
$server->arm('client.committed_early', 'error', 'with standbys');
send_to($session, sprintf($walk, 'with standbys'));
$server->comes_true('postgres', q{EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'with standbys' AND wait_event = 'SyncRep')},
	'with standbys: the commit waits for them');
is(state_of('with standbys'), 'not there', 'with standbys: and cannot be seen before');
$server->configure('synchronous_standby_names' => '');
answer_of($session);
$server->ends('postgres', 'app', 'with standbys', 'with standbys: the instance completes then');
is(join(' ', $server->not_taken('client.committed_early')), 'with standbys', 'with standbys: it has not committed early');
$server->release;
$session->quit;

# --- an error on the way ------------------------------------------------------------------------------

$session = session_beside_idle_worker('fails');
$session->query(q{DO $$ BEGIN PERFORM durable.start_instance('nobody'); EXCEPTION WHEN undefined_function THEN NULL; END $$});
$session->query_safe(sprintf($walk, 'after an error'));
$server->ends('postgres', 'app', 'after an error', 'a start after one that failed');
is($session->query_safe('SHOW synchronous_commit'), 'on', 'leaves the setting as it was');
$session->quit;

$server->stop;
done_testing();
