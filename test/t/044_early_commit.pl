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
autovacuum = off
bgwriter_lru_maxpages = 0
shared_buffers = 32MB
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
	all_workers_sleep();

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

# Arms a point at which nothing is done: that somebody has come there is all that is asked for.
sub watch
{
	my ($point, $name) = @_;

	$server->arm($point, 'error', $name);
}

sub has_come
{
	my ($point) = @_;
	my $has_come = !$server->not_taken($point);

	$server->release;
	return $has_come;
}

sub all_workers_sleep
{
	$server->wait_until('postgres', q{(SELECT bool_and(state = 'idle' AND clock_timestamp() - since > '0.2 s') FROM durable.workers WHERE task_hub = 'app')});
}

# From now on, until it is killed with the server, the walwriter does nothing. It is stopped where it sleeps, with no
# lock in hand: so it still does a moment later, when it has stopped.
my $walwriter;

my $walwriter_is = q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter'};

sub hold_walwriter
{
	$server->wait_until('postgres', "EXISTS ($walwriter_is)");
	$walwriter = $server->safe_psql('postgres', $walwriter_is);
	for (;;)
	{
		$server->wait_until('postgres', walwriter_sleeps());
		kill 'STOP', $walwriter;
		last if $server->safe_psql('postgres', 'SELECT ' . walwriter_sleeps()) eq 't';
		kill 'CONT', $walwriter;
	}
}

sub walwriter_sleeps { return "EXISTS (SELECT FROM pg_stat_activity WHERE pid = $walwriter AND wait_event = 'WalWriterMain')"; }

# What was not on disk when the walwriter was held, and nobody has written since, is lost.
sub crash_and_restart
{
	$server->crash($walwriter);
	hold_walwriter();
}

hold_walwriter();

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

foreach my $round (1 .. 3)
{
	my $id = "half done $round";

	$session = stop_at('client.committed_early', $id, sprintf($walk, $id));
	$server->wait_until('postgres', becomes($id, 'completed'));
	crash_and_restart();
	$server->release;

	is(state_of($id), 'not there', 'what was not on disk is not there after a crash');
	is(effects_of($id), 'none', 'nor is what a worker made of it');
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

# --- what others are told meanwhile is on disk, too -------------------------------------------------------

$session = stop_at('client.committed_early', 'taken id', sprintf($walk, 'taken id'));
my (undef, undef, $stderr) = $server->try_sql('postgres', 'app', "\\set VERBOSITY verbose\n" . sprintf($walk, 'taken id') =~ s/\)$/, replace_statuses => '{}')/r);
like($stderr, qr/UD003/, 'another client is told that an instance exists');
crash_and_restart();
$server->release;
isnt(state_of('taken id'), 'not there', 'and it does after a crash');

$session = stop_at('client.committed_early', 'looked at', q{SELECT durable.start_instance('wait_for_go', instance_id => 'looked at')});
$server->wait_until('postgres', becomes('looked at', 'running'));
is($server->sql('postgres', 'app', q{SELECT status FROM durable.wait_for_completion('looked at', timeout => '1 ms')}), 'running',
	'another client waits for an instance, in vain');
crash_and_restart();
$server->release;
isnt(state_of('looked at'), 'not there', 'it is there after a crash');

# What a wait returns when its time is over is on disk, also if the instance has just finished.
$server->start_instance('postgres', 'app', 'wait_for_go', 'finishes');
$server->wait_until('postgres', q{(SELECT waiting_for ? 'events' FROM durable.instances WHERE instance_id = 'finishes')});
my $waiter = session_beside_idle_worker('waits in vain');
$server->arm('client.wait_over', 'pause', 'waits in vain');
send_to($waiter, q{SELECT status FROM durable.wait_for_completion('finishes', timeout => '1 ms')});
ok($server->all_come('client.wait_over', 'waits in vain'), 'another client waits in vain');
$session = stop_at('client.committed_early', 'event', q{SELECT durable.raise_event('finishes', 'go')});
$server->wait_until('postgres', becomes('finishes', 'completed'));
unlink glob $server->points . '/client.wait_over@*';
is(answer_of($waiter), "completed\n", 'and when its time is over the instance has finished');
crash_and_restart();
$server->release;
is(state_of('finishes'), 'completed', 'and so it has after a crash');

# So is what is announced, whoever has brought it about: the end of an instance, and what an activity says.
$server->sql('postgres', 'app', <<'SQL');
CREATE FUNCTION say(what text) RETURNS text LANGUAGE sql AS 'SELECT pg_notify($$said$$, what); SELECT what';
CREATE FUNCTION wait_and_say(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	PERFORM durable.wait_for_event('go');
	RETURN durable.call_activity('say', input);
END $$;
SQL
foreach my $loud ([ 'durable', 'wait_for_go', 'true' ], [ 'said', 'wait_and_say', 'false' ])
{
	my ($channel, $orchestrator, $notify) = @$loud;
	my $id = "announced on $channel";

	$server->sql('postgres', 'app', qq{SELECT durable.start_instance('$orchestrator', '{"what": "it"}', instance_id => '$id', notify => $notify)});
	$server->wait_until('postgres', "(SELECT waiting_for ? 'events' FROM durable.instances WHERE instance_id = '$id')");
	my $listener = $server->session('postgres', 'app');
	$listener->query_safe("LISTEN $channel");
	$session = stop_at('client.committed_early', $id, "SELECT durable.raise_event('$id', 'go')");
	is($server->notifications($listener, $channel, 1), 1, "$id: a listener hears of it");
	crash_and_restart();
	$server->release;
	$server->comes_true('postgres', becomes($id, 'completed'), "$id: and it is there after a crash");
	is($server->sql('postgres', 'app', qq{SELECT count(*) FROM durable.history WHERE instance_id = '$id' AND event_type = 'EventRaised'}), '1', "$id: with what led to it");
}

# --- a client that waits for what it has started, each time --------------------------------------------

# Does it wait for the completion before it writes anything to disk?
sub writes_both_at_once
{
	my ($name, $waits) = @_;
	my $session = session_beside_idle_worker($name);

	$session->query_safe(sprintf($walk, "$name, first"));
	$server->ends('postgres', 'app', "$name, first", "$name: an instance");
	$session->query_safe("SELECT FROM durable.wait_for_completion('$name, first')") if $waits;
	all_workers_sleep();
	watch('client.awaits', $name);
	$session->query_safe(sprintf($walk, "$name, second"));
	$session->quit;
	return has_come('client.awaits');
}

ok(writes_both_at_once('waits', 1), 'a client that waited for its last instance waits for the completion of the next before it writes to disk');
ok(!writes_both_at_once('never waits', 0), 'another one does not');

$session = session_beside_idle_worker('each time');
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
	'1000', 'what 1,000 waits were told, one after the other, is there after a crash, wherever the pages of the WAL end');

# --- who does not commit so ---------------------------------------------------------------------------

# Nor would it be seen if there were no idle worker: so the same session does then, with what is to be undone.
sub does_not_commit_early
{
	my ($name, $statements, $undo) = @_;
	my $session = session_beside_idle_worker($name);

	watch('client.committed_early', $name);
	$session->query_safe($_) foreach @$statements;
	$server->ends('postgres', 'app', $name, "$name: the instance completes");
	ok(!has_come('client.committed_early'), "$name: it has not committed early");

	all_workers_sleep();
	$session->query_safe($_) foreach @{ $undo // [] };
	watch('client.committed_early', $name);
	$session->query_safe(sprintf($walk, "$name no more"));
	ok(has_come('client.committed_early'), "$name: but it can");
	$session->quit;
}

my $insert = q{INSERT INTO orders VALUES ('1')};
my $unlogged = q{INSERT INTO notes VALUES ('1')};

$server->sql('postgres', 'app', 'CREATE UNLOGGED TABLE notes (id text)');
does_not_commit_early('writes before', [ 'BEGIN', $insert, sprintf($walk, 'writes before'), 'COMMIT' ]);
does_not_commit_early('writes after', [ 'BEGIN', sprintf($walk, 'writes after'), $insert, 'COMMIT' ]);
does_not_commit_early('writes between', [ 'BEGIN', sprintf($walk, 'first of two'), $insert, sprintf($walk, 'writes between'), 'COMMIT' ]);
does_not_commit_early('writes an unlogged row', [ 'BEGIN', $unlogged, sprintf($walk, 'writes an unlogged row'), 'COMMIT' ]);
does_not_commit_early('locks', [ 'BEGIN', q{SELECT FROM orders FOR UPDATE}, sprintf($walk, 'locks'), 'COMMIT' ]);
does_not_commit_early('undoes', [ 'BEGIN', 'SAVEPOINT s', $insert, 'ROLLBACK TO s', sprintf($walk, 'undoes'), 'COMMIT' ]);
does_not_commit_early('catches', [ 'BEGIN', q{DO $$ BEGIN PERFORM durable.start_instance('walk', instance_id => 'writes after', replace_statuses => '{}'); EXCEPTION WHEN SQLSTATE 'UD003' THEN NULL; END $$},
	sprintf($walk, 'catches'), 'COMMIT' ]);
does_not_commit_early('asynchronous', [ 'SET synchronous_commit = off', sprintf($walk, 'asynchronous') ], [ 'RESET synchronous_commit' ]);
does_not_commit_early('turned off', [ 'SET durable.early_commit = off', sprintf($walk, 'turned off') ], [ 'RESET durable.early_commit' ]);

# A trigger on a table of ours may write whatever it likes.
$server->safe_psql('postgres', <<'SQL');
CREATE TABLE audit (id text);
CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.audit VALUES (NEW.instance_id); RETURN NEW; END $$;
CREATE TRIGGER audit BEFORE INSERT ON durable_store.instances FOR EACH ROW EXECUTE FUNCTION audit();
SQL
$session = session_beside_idle_worker('audited');
watch('client.committed_early', 'audited');
$session->query_safe(sprintf($walk, 'audited'));
ok(!has_come('client.committed_early'), 'audited: it has not committed early');
$session->quit;
$server->safe_psql('postgres', 'DROP TRIGGER audit ON durable_store.instances');

$session = session_beside_idle_worker('synchronous workers');
$server->configure('durable.synchronous_commit' => 'on');
$server->wait_until('postgres', q{current_setting('durable.synchronous_commit') = 'on'});
watch('client.committed_early', 'synchronous workers');
$session->query_safe(sprintf($walk, 'synchronous workers'));
ok(!has_come('client.committed_early'), 'synchronous workers: it has not committed early');
$session->quit;
$server->configure('durable.synchronous_commit' => 'off');

# --- synchronous standbys --------------------------------------------------------------------------------

# Where they confirm commits, nobody sees one before. There is none, so they are waited for until there need not be any.
# The session is in the midst of a CALL when that begins, and has not read the setting.
$server->sql('postgres', 'app', <<'SQL');
CREATE PROCEDURE start_later() LANGUAGE plpgsql AS $$
BEGIN
	PERFORM pg_advisory_xact_lock_shared(5);
	COMMIT;
	PERFORM durable.start_instance('walk', '{"steps": 2}', instance_id => 'with standbys');
	COMMIT;
END $$;
SQL
my $waits_for_standbys = q{EXISTS (SELECT FROM pg_stat_activity WHERE application_name = '%s' AND wait_event = 'SyncRep')};
my $gate = $server->close_gate('postgres', 5);
my $canary = $server->session('postgres', 'app');

$session = session_beside_idle_worker('with standbys');
send_to($session, 'CALL start_later()');
$server->wait_until('postgres', DurableServer::at_gate(5, 1));
$server->configure('synchronous_standby_names' => 'nobody');
$canary->query_safe(q{SET application_name = 'canary'});
send_to($canary, "INSERT INTO orders SELECT '1' FROM generate_series(1, 10)");
$server->wait_until('postgres', sprintf($waits_for_standbys, 'canary'));
watch('client.committed_early', 'with standbys');
$gate->quit;
$server->comes_true('postgres', sprintf($waits_for_standbys, 'with standbys'), 'with standbys: the commit waits for them');
is(state_of('with standbys'), 'not there', 'with standbys: and cannot be seen before');
$server->configure('synchronous_standby_names' => '');
answer_of($_) foreach $session, $canary;
$server->ends('postgres', 'app', 'with standbys', 'with standbys: the instance completes then');
ok(!has_come('client.committed_early'), 'with standbys: it has not committed early');
$_->quit foreach $session, $canary;

# --- on the way -----------------------------------------------------------------------------------------

# Whoever learns of the commit in a callback of another library learns of a durable one.
$session = session_beside_idle_worker('witness');
$server->arm('client.inserted', 'witness', 'witness');
foreach my $round ('registered in the same transaction', 'registered in an earlier one')
{
	all_workers_sleep();
	watch('client.committed_early', 'witness');
	$session->query_safe(sprintf($walk, "witness $round"));
	is($server->last_witness, 'durable', "another callback at commit, $round, is called when the commit is durable");
	ok(!$server->not_taken('client.committed_early'), 'though it is an early one');
	$server->release;
	$server->ends('postgres', 'app', "witness $round", 'witness: an instance');
}
$session->quit;

# A commit that fails after it was to be an early one: this transaction is the pivot of a serialization failure.
my ($reader, $writer) = map { $server->session('postgres', 'app') } 1 .. 2;
$session = session_beside_idle_worker('fails');
$session->query_safe(sprintf($walk, 'serializable'));		# so that the session knows the code, for which it would write else
$server->ends('postgres', 'app', 'serializable', 'fails: an instance');
all_workers_sleep();
$session->query_safe($_) foreach 'BEGIN ISOLATION LEVEL SERIALIZABLE', 'SELECT count(*) FROM orders', sprintf($walk, 'not serializable');
$reader->query_safe($_) foreach 'BEGIN ISOLATION LEVEL SERIALIZABLE', 'SELECT count(*) FROM durable.instances';
$writer->query_safe($_) foreach 'BEGIN ISOLATION LEVEL SERIALIZABLE', $insert, 'COMMIT';
$session->query('COMMIT');
like($session->{stderr}, qr/during commit attempt/, 'a commit fails on the way');
$session->{stderr} = '';
is($session->query_safe('SHOW synchronous_commit'), 'on', 'it leaves the setting as it was');
is(state_of('not serializable'), 'not there', 'and nothing else');
watch('client.committed_early', 'fails');
$session->query_safe(sprintf($walk, 'after the failure'));
ok(has_come('client.committed_early'), 'the next one is early again');
$_->quit foreach $session, $reader, $writer;

kill 'CONT', $walwriter;
$server->stop;
done_testing();
