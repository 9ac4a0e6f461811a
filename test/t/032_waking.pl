# Whoever lets go of an instance wakes its hub: an abort, the end of a backend,
# ROLLBACK PREPARED. Workers look at what is held more and more seldom, in the
# end every 5 s, and the sweep comes once an hour here: each instance is let go
# in the midst of such a pause, and must end before it does.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use DurableServer;
use Test::More;

my $server = DurableServer->create('waking', conf => <<'END');
durable.poll_interval = 1h
durable.max_workers = 12
durable.worker_idle_timeout = 1h
max_worker_processes = 20
max_prepared_transactions = 5
wal_level = replica
max_wal_senders = 1
END
my @ways = ('rollback', 'terminated', 'error', 'rollback_prepared', 'commit_prepared', 'driven');

$server->install('postgres', @ways, 'app');

# --- an instance held by a client --------------------------------------------------------

# Each in a hub of its own: a client replaces the instance, in a transaction that
# does not end; meanwhile the event comes that the instance waits for.
my %holder;

sub begin_to_hold
{
	my ($way) = @_;

	$server->start_instance('postgres', $way, 'wait_for_go', 'held');
	$server->safe_psql('postgres', "SELECT durable.set_hub_limits('$way', max_workers => 1)");		# two would sleep by turns
	$server->wait_until('postgres', "(SELECT waiting_for ? 'events' FROM durable.instances WHERE task_hub = '$way' AND instance_id = 'held')");
	$holder{$way} = $server->session('postgres', $way);
	return if $way eq 'driven';
	$holder{$way}->query_safe(q{BEGIN});
	$holder{$way}->query_safe(q{SELECT durable.start_instance('walk', '{"steps": 1}', instance_id => 'held', replace_statuses => '{running,terminated}')});
	$holder{$way}->query_safe("PREPARE TRANSACTION '$way'") if $way =~ /prepared/;
}

sub raise_go
{
	my ($way) = @_;

	$server->sql('postgres', $way, q{SELECT durable.raise_event('held', 'go', '"heard"')});
}

begin_to_hold($_) foreach @ways;

# This one has the turn itself: the client has done the workers' job, while they were not there.
$server->sql('postgres', 'driven', q{SELECT durable.pause_hub('driven')});
$server->sql('postgres', 'driven', q{SELECT durable.raise_event('held', 'go', '"heard"')});
$holder{driven}->query_safe($_) foreach 'BEGIN', q{SELECT durable.resume_hub('driven')}, 'SELECT durable.run_until_idle()';
raise_go($_) foreach grep { $_ ne 'driven' } @ways;

# The worker of the hub has found it held so often that it now sleeps for 5 s.
sub sleeps_long
{
	my ($hub) = @_;

	return "(SELECT bool_and(state = 'idle' AND clock_timestamp() - since > '2.7 s') FROM durable.workers WHERE task_hub = '$hub')";
}

my %release = (
	rollback => sub { $holder{rollback}->query_safe('ROLLBACK') },
	terminated => sub { my $pid = $holder{terminated}->query_safe('SELECT pg_backend_pid()'); $server->safe_psql('postgres', "SELECT pg_terminate_backend($pid)") },
	error => sub { $holder{error}->query('SELECT 1 / 0') },
	rollback_prepared => sub { $server->sql('postgres', 'rollback_prepared', q{ROLLBACK PREPARED 'rollback_prepared'}) },
	commit_prepared => sub { $server->sql('postgres', 'commit_prepared', q{COMMIT PREPARED 'commit_prepared'}) });

# Lets go while the worker sleeps; true if the instance has ended before the worker would have looked by itself.
sub is_woken
{
	my ($way) = @_;

	$server->wait_until('postgres', sleeps_long($way));
	my $looks_at = $server->safe_psql('postgres', "SELECT min(since) + '5 s' FROM durable.workers WHERE task_hub = '$way'");
	$release{$way}->();
	$server->ends('postgres', $way, 'held', "$way: the instance goes on");
	is($server->sql('postgres', $way, "SELECT output::text FROM durable.instances WHERE instance_id = 'held'"),
		$way eq 'commit_prepared' ? '{"steps": 1}' : '"heard"', "$way: as what it is now");
	return $server->sql('postgres', $way, "SELECT completed_at < '$looks_at' FROM durable.instances WHERE instance_id = 'held'") eq 't';
}

foreach my $way (grep { $_ ne 'driven' } @ways)
{
	my $is_woken = is_woken($way);

	for (my $try = 1; !$is_woken && $try < 5; $try++)		# a busy machine takes as long as the worker sleeps
	{
		$holder{$way}->quit unless $way eq 'terminated';
		begin_to_hold($way);
		raise_go($way);
		$is_woken = is_woken($way);
	}
	ok($is_woken, "$way: at once");
}

# A client's transaction that has run the turn, and undoes it: nobody has to resume the hub first.
$holder{driven}->query_safe('ROLLBACK');
$server->sql('postgres', 'driven', q{SELECT durable.resume_hub('driven')});
$server->ends('postgres', 'driven', 'held', 'driven: what a client ran and rolled back runs again');
is($server->sql('postgres', 'driven', 'SELECT count(*) FROM effects'), '1', 'driven: with one effect');

# --- held by a worker that ends in the midst of the turn -------------------------------------

$server->sql('postgres', 'app', <<'SQL');
CREATE FUNCTION wait_in_turn(input jsonb) RETURNS jsonb LANGUAGE plpgsql SET durable.orchestrator_checks = off AS $$
BEGIN
	PERFORM pg_advisory_xact_lock_shared(7);
	RETURN durable.call_activity('effect', '{"step": 1}');
END $$;
SQL
$server->safe_psql('postgres', q{ALTER SYSTEM SET durable.orchestrator_checks = off; SELECT pg_reload_conf()});
my $gate = $server->close_gate('postgres', 7);
$server->start_instance('postgres', 'app', 'wait_in_turn', 'in turn');
$server->wait_until('postgres', DurableServer::at_gate(7, 1));
$server->safe_psql('postgres', q{SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND objid = 7 AND NOT granted});
$server->comes_true('postgres', DurableServer::at_gate(7, 1), 'the turn of a worker that was terminated is taken up by another one');
$gate->quit;
$server->ends('postgres', 'app', 'in turn', 'and ends');

# --- a foreign key of a long transaction --------------------------------------------------------

$server->safe_psql('postgres', <<'SQL');
CREATE TABLE refers (task_hub text COLLATE "C", instance_id text COLLATE "C", FOREIGN KEY (task_hub, instance_id) REFERENCES durable_store.instances);
SQL
$server->start_instance('postgres', 'app', 'wait_for_go', 'referred to');
$server->wait_until('postgres', q{(SELECT waiting_for ? 'events' FROM durable.instances WHERE instance_id = 'referred to')});
my $client = $server->session('postgres');
$client->query_safe(q{BEGIN});
$client->query_safe(q{INSERT INTO refers VALUES ('app', 'referred to')});
$server->sql('postgres', 'app', q{SELECT durable.raise_event('referred to', 'go')});
$server->ends('postgres', 'app', 'referred to', 'a transaction with a foreign key to an instance does not hold it up');
is($server->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction'}), '1', 'it is still open');
$client->query_safe('ROLLBACK');

# --- messages to an instance that is purged in that moment ----------------------------------------

$server->runs('postgres', 'app', 'purged', 'an instance to purge');
my $owner = $server->session('postgres', 'app');
$owner->query_safe('BEGIN');
is($owner->query_safe(q{SELECT durable.purge('purged')}), '1', 'it is being purged');
my $sender = $server->session('postgres', 'app');
$sender->{stdin} .= "\\set VERBOSITY sqlstate\nSELECT durable.raise_event('purged', 'go');\n\\echo done\n";
$sender->{run}->pump_nb;
$server->wait_until('postgres', q{EXISTS (SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query ~ 'raise_event')});
$owner->query_safe('COMMIT');
$sender->query_until(qr/done/, '');
like($sender->{stderr}, qr/UD004/, 'who sends to it hears that there is none');
is($server->safe_psql('postgres', q{SELECT count(*) FROM durable_store.inbox WHERE instance_id = 'purged'}), '0', 'and no message is left to nobody');
$sender->quit;

# --- a commit that is announced and takes its time ---------------------------------------------

# Its client waits for a standby that never comes. The worker was told that it commits, and sleeps again when it
# has found nothing: nobody else would wake it than the commit.
$server->wait_until('postgres', q{(SELECT bool_and(state = 'idle' AND clock_timestamp() - since > '1 s') FROM durable.workers WHERE task_hub = 'app')});
$server->configure(synchronous_standby_names => 'nobody');
my $began = $server->safe_psql('postgres', 'SELECT clock_timestamp()');
my $late = $server->session('postgres', 'app');
$late->{stdin} .= qq{SELECT durable.start_instance('walk', '{"steps": 1}', instance_id => 'announced');\n\\echo done\n};
$late->{run}->pump_nb;
$server->wait_until('postgres', q{EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = 'SyncRep')});
$server->comes_true('postgres', "(SELECT bool_or(since > '$began' AND state = 'idle') FROM durable.workers WHERE task_hub = 'app')",
	'a worker is awake for a commit that is announced, and sleeps again if it does not come');
is($server->safe_psql('postgres', q{SELECT count(*) FROM durable.instances WHERE instance_id = 'announced'}), '0', 'it has not come yet');
$server->safe_psql('postgres', q{SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'});
$late->query_until(qr/done/, '');
$server->comes_true('postgres', q{EXISTS (SELECT FROM durable.instances WHERE instance_id = 'announced' AND status = 'completed')}, 'and is woken by it all the same');
$server->configure(synchronous_standby_names => '');
$late->quit;

# One that is there all the same is in nobody's way, and goes with the next sweep.
$server->safe_psql('postgres', <<'SQL');
INSERT INTO durable_store.inbox (task_hub, instance_id, visible_at, "timestamp", event_type, name)
SELECT 'app', 'nobody ' || i, now() - interval '1 day', now() - interval '1 day', 15, 'go' FROM generate_series(1, 1000) i
SQL
$server->runs('postgres', 'app', 'beside orphans', 'messages to nobody hold up nobody');
$server->configure('durable.poll_interval' => '1s');
$server->comes_true('postgres', q{NOT EXISTS (SELECT FROM durable_store.inbox)}, 'and the sweep deletes them');

$_->quit foreach $client, $owner, map { $holder{$_} } grep { $_ ne 'terminated' } @ways;
$server->stop;
done_testing();
