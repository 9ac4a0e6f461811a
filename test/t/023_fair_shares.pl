# No hub can keep the others waiting: slots rotate between hubs, activities
# that are not known to be short never have all of them, and each hub keeps
# within its limits. All slots are busy in every test.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use DurableServer;
use Test::More;
use Time::HiRes qw(time);

my $server = DurableServer->create('fair_shares', conf => <<'END');
durable.poll_interval = 1h
durable.max_workers = 4
max_worker_processes = 16
END
my @hubs = ('ann', 'bob', 'cid', 'dan');
my %gate = (ann => 1, bob => 2, cid => 3, dan => 4);

$server->install('postgres', @hubs);
foreach my $hub (@hubs)
{
	$server->sql('postgres', $hub, <<'SQL');
CREATE FUNCTION turn_only(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN input; END $$;
CREATE FUNCTION quick(step int) RETURNS int LANGUAGE sql AS 'SELECT step';
CREATE FUNCTION calls(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$ BEGIN RETURN durable.call_activity(input->>'activity', '{"step": 1}'); END $$;
SQL
}

# So many activities of a hub stand at its gate.
sub at_gate { return DurableServer::at_gate($gate{ $_[0] }, $_[1]); }

# Many activities of a hub that end only when its gate is opened. Returns the gate.
sub crowd
{
	my ($hub, $width) = @_;
	my $session = $server->close_gate('postgres', $gate{$hub});

	$server->start_instance('postgres', $hub, 'crowd_at_gate', "$hub: crowd", qq({"gate": $gate{$hub}, "width": $width}));
	return $session;
}

sub run_turn
{
	my ($hub, $id, $what) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$server->start_instance('postgres', $hub, 'turn_only', $id);
	return $server->ends('postgres', $hub, $id, $what);
}

sub run_activity
{
	my ($hub, $activity, $id, $what) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$server->start_instance('postgres', $hub, 'calls', $id, qq({"activity": "$activity"}));
	return $server->ends('postgres', $hub, $id, $what);
}

# --- one hub sleeps ---------------------------------------------------------------------

my %open;

run_activity('ann', 'quick', 'ann: before', 'an activity runs for the first time');
$open{ann} = crowd('ann', 50);
$server->comes_true('postgres', at_gate('ann', 2), 'of a hub\'s many activities that sleep two run under four workers');
run_activity('bob', 'effect', 'bob: unknown', 'another hub\'s activity that never ran before runs');
run_turn('ann', 'ann: turn', 'turns of the hub that sleeps are not held up by its activities');
run_activity('ann', 'quick', 'ann: quick', 'nor are those of its activities that are known to be short, queued behind them');
is($server->safe_psql('postgres', 'SELECT ' . at_gate('ann', 2)), 't', 'still no more than two sleep');

# --- three hubs sleep ---------------------------------------------------------------------

run_activity('dan', 'quick', 'dan: before', 'a fourth hub has run an activity');
$open{bob} = crowd('bob', 3);
$server->comes_true('postgres', at_gate('bob', 1), 'the second hub sleeps, too');
$open{cid} = crowd('cid', 3);
$server->comes_true('postgres', q{EXISTS (SELECT FROM durable.activities WHERE task_hub = 'cid' AND name = 'pass_gate')}, 'and the third would like to');
foreach my $n (1 .. 3)
{
	run_turn('dan', "dan: turn $n", 'a turn of the fourth hub takes place');
	run_activity('dan', 'quick', "dan: quick $n", 'and an activity known to be short');
}
is($server->safe_psql('postgres', 'SELECT ' . join(' AND ', at_gate('ann', 2), at_gate('bob', 1), at_gate('cid', 0))),
	't', 'three slots are held, none by the third hub');

# What becomes free goes to who has none, though others have waited for longer.
$open{ann}->quit;
$server->comes_true('postgres', at_gate('cid', 1), 'a slot that becomes free is held by the third hub next');
$server->ends('postgres', 'ann', 'ann: crowd', 'what slept completes');
$open{$_}->quit foreach 'bob', 'cid';
$server->ends('postgres', $_, "$_: crowd", "what slept in $_ completes") foreach 'bob', 'cid';

# --- one hub has 100,000 ready work items --------------------------------------------------

# The best of a few runs of an instance, in seconds.
sub best_time
{
	my ($hub, $prefix) = @_;
	my $best = 1000;

	foreach my $n (1 .. 5)
	{
		my $begin = time;
		$server->start_instance('postgres', $hub, 'calls', "$prefix $n", '{"activity": "quick"}');
		$server->sql('postgres', $hub, "SELECT durable.wait_for_completion('$prefix $n')");
		my $took = time - $begin;
		$best = $took if $took < $best;
	}
	return $best;
}

# A row of a table again, 100,000 times, changed.
sub multiply
{
	my ($table, $where, $change) = @_;

	$server->safe_psql('postgres', <<"SQL");
INSERT INTO durable_store.$table SELECT (jsonb_populate_record(t, $change)).* FROM durable_store.$table t, generate_series(1, 100000) n WHERE $where
SQL
}

my $idle = best_time('bob', 'bob: idle');
diag("idle: $idle");

$server->safe_psql('postgres', q{SELECT durable.pause_hub('ann')});
$server->start_instance('postgres', 'ann', 'turn_only', 'ann: many');
my $t = time;
$server->safe_psql('postgres', <<'SQL');
INSERT INTO durable_store.instances (task_hub, instance_id, execution_id, created_at, updated_at, name, function, settings)
SELECT i.task_hub, 'ann: many ' || n, md5(n::text)::uuid, i.created_at, i.updated_at, i.name, i.function, i.settings
FROM durable_store.instances i, generate_series(1, 100000) n WHERE i.instance_id = 'ann: many';
INSERT INTO durable_store.inbox (task_hub, instance_id, visible_at, "timestamp", execution_id, event_type, name)
SELECT m.task_hub, 'ann: many ' || n, m.visible_at, m."timestamp", md5(n::text)::uuid, m.event_type, m.name
FROM durable_store.inbox m, generate_series(1, 100000) n WHERE m.instance_id = 'ann: many';
SQL
diag("insert turns ", time - $t);
$server->safe_psql('postgres', q{SELECT durable.resume_hub('ann')});
$server->wait_until('postgres', q{(SELECT count(*) FROM durable.workers WHERE task_hub = 'ann' AND state = 'busy') = 3});
my $busy = best_time('bob', 'bob: turns');
diag("turns: $busy");
$busy = best_time('bob', 'bob: turns again');
diag("turns: $busy");
diag($server->safe_psql('postgres', q{SELECT count(*) FROM durable.instances WHERE task_hub='ann' AND status = 'pending'}));
diag($server->safe_psql('postgres', q{TABLE durable.workers}));
$server->safe_psql('postgres', q{SELECT durable.pause_hub('ann')});
$t = time;
$server->safe_psql('postgres', q{DELETE FROM durable_store.inbox WHERE task_hub = 'ann'; DELETE FROM durable_store.instances WHERE task_hub = 'ann'});
diag("delete turns ", time - $t);

$t = time;
$server->safe_psql('postgres', <<'SQL');
INSERT INTO durable_store.activity_queue (task_hub, instance_id, execution_id, generation, task_id, visible_at, name, input)
SELECT 'ann', 'ann: many', '00000000000000000000000000000000', 1, n, now(), 'ann.quick', '{"step": 1}' FROM generate_series(1, 100000) n
SQL
diag("insert acts ", time - $t);
$server->safe_psql('postgres', q{SELECT durable.resume_hub('ann')});
$server->wait_until('postgres', q{(SELECT count(*) FROM durable.workers WHERE task_hub = 'ann' AND state = 'busy') = 3});
$busy = best_time('bob', 'bob: acts');
diag("acts: $busy");
$busy = best_time('bob', 'bob: acts again');
diag("acts: $busy");
diag($server->safe_psql('postgres', q{SELECT count(*) FROM durable.activities WHERE task_hub='ann'}));
diag($server->safe_psql('postgres', q{TABLE durable.workers}));

$server->stop;
done_testing();
