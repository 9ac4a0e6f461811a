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
durable.inline_activities = off		# one a transaction: they are to last
max_worker_processes = 16
END
my @hubs = ('ann', 'bob', 'cid', 'dan');
my %gate = (ann => 1, bob => 2, cid => 3, dan => 4);

$server->install('postgres', @hubs);
foreach my $hub (@hubs)
{
	$server->sql('postgres', $hub, <<'SQL');
CREATE FUNCTION turn_only(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN input; END $$;
CREATE FUNCTION crowd_at_gates(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	PERFORM durable.await_all((SELECT array_agg(durable.schedule_activity('pass_gate', jsonb_build_object('step', n, 'gate', 100 * (input->>'gate')::int + n)))
		FROM generate_series(1, (input->>'width')::int) n));
	RETURN input;
END $$;
CREATE FUNCTION quick(step int) RETURNS int LANGUAGE sql AS 'SELECT step';
CREATE FUNCTION calls(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$ BEGIN RETURN durable.call_activity(input->>'activity', '{"step": 1}'); END $$;
SQL
}

# So many activities of a hub stand at its gates.
sub at_gate
{
	my ($hub, $count) = @_;

	return "(SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid::bigint / 100 = $gate{$hub} AND NOT granted) = $count";
}

# Many activities of a hub that end only when their gates are opened, one for
# each (101, 102 ...). Returns the session that holds them.
sub crowd
{
	my ($hub, $width) = @_;
	my $session = $server->session('postgres');

	$session->query_safe("SELECT pg_advisory_lock(100 * $gate{$hub} + n) FROM generate_series(1, 99) n");
	$server->start_instance('postgres', $hub, 'crowd_at_gates', "$hub: crowd", qq({"gate": $gate{$hub}, "width": $width}));
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

# After a first run of an activity, which may take its time, some more of it: it is known to be short.
sub make_known
{
	my ($hub) = @_;

	$server->sql('postgres', $hub, qq{SELECT durable.start_instance('calls', '{"activity": "quick"}', instance_id => '$hub: known ' || n) FROM generate_series(1, 20) n});
	$server->wait_until('postgres', "(SELECT count(*) FROM durable.instances WHERE task_hub = '$hub' AND instance_id LIKE '$hub: known %' AND status = 'completed') = 20");
}

# --- one hub sleeps ---------------------------------------------------------------------

my %open;

run_activity('ann', 'quick', 'ann: before', 'an activity runs for the first time');
make_known('ann');
$open{ann} = crowd('ann', 50);
$server->comes_true('postgres', at_gate('ann', 2), 'of a hub\'s many activities that sleep two run under four workers');
run_activity('bob', 'effect', 'bob: unknown', 'another hub\'s activity that never ran before runs');
run_turn('ann', 'ann: turn', 'turns of the hub that sleeps are not held up by its activities');
run_activity('ann', 'quick', 'ann: quick', 'nor are those of its activities that are known to be short, queued behind them');
is($server->safe_psql('postgres', 'SELECT ' . at_gate('ann', 2)), 't', 'still no more than two sleep');

# --- three hubs sleep ---------------------------------------------------------------------

run_activity('dan', 'quick', 'dan: before', 'a fourth hub has run an activity');
make_known('dan');
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

# What becomes free goes to who has none, though others have waited for longer. The
# first activity of the crowd ends and leaves 48 behind.
$open{ann}->query_safe('SELECT pg_advisory_unlock(101)');
$server->comes_true('postgres', at_gate('cid', 1), 'a slot that becomes free is held by the third hub next');
is($server->safe_psql('postgres', 'SELECT ' . join(' AND ', at_gate('ann', 1), at_gate('bob', 1))), 't', 'now each of the three holds one');
$open{ann}->query_safe('SELECT pg_advisory_unlock(102)');
$server->comes_true('postgres', at_gate('ann', 1), 'the next one that becomes free goes round again');
is($server->safe_psql('postgres', 'SELECT ' . join(' AND ', at_gate('bob', 1), at_gate('cid', 1))), 't', 'each of the three still holds one');
$open{ann}->quit;
$server->ends('postgres', 'ann', 'ann: crowd', 'what slept completes');
$open{$_}->quit foreach 'bob', 'cid';
$server->ends('postgres', $_, "$_: crowd", "what slept in $_ completes") foreach 'bob', 'cid';

# --- hubs with 100,000 ready work items and more ---------------------------------------------------

# How long instances of one activity take, in seconds: a few, the shortest first.
sub durations
{
	my ($hub, $prefix) = @_;
	my @times;

	foreach my $n (1 .. 3)
	{
		my $begin = time;

		$server->start_instance('postgres', $hub, 'calls', "$prefix $n", '{"activity": "quick"}');
		$server->sql('postgres', $hub, "SELECT durable.wait_for_completion('$prefix $n')");
		push @times, time - $begin;
	}
	return sort { $a <=> $b } @times;
}

# Nothing of this hub is left but its history of what was done.
sub clear
{
	my ($hub) = @_;

	$server->safe_psql('postgres', <<"SQL");
SELECT durable.pause_hub('$hub');
DELETE FROM durable_store.activity_queue WHERE task_hub = '$hub';
DELETE FROM durable_store.inbox WHERE task_hub = '$hub';
DELETE FROM durable_store.instances WHERE task_hub = '$hub' AND completed_at IS NULL;
SQL
}

# Of both large hubs and the others: there is no worker any more.
sub all_workers_leave
{
	$server->safe_psql('postgres', q{SELECT durable.pause_hub('ann'), durable.pause_hub('bob')});
	$server->configure('durable.worker_idle_timeout' => 0);
	$server->wait_until('postgres', DurableServer::count_is('worker', 0));
}

sub busy_workers { return "(SELECT count(*) FROM durable.workers WHERE task_hub = '$_[0]' AND state = 'busy')"; }

my ($idle) = durations('cid', 'idle');
my $patience = 20 * $idle + 10;		# a second is what a busy worker has before it makes room

# A test: a few instances take a while at most, whatever the machine did during one of them.
sub is_prompt
{
	my ($hub, $prefix, $what) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return cmp_ok((durations($hub, $prefix))[1], '<', $patience, $what);
}

# Each of the rows is one as the engine makes it; only they are made in one statement.
$server->safe_psql('postgres', q{SELECT durable.pause_hub('ann'), durable.pause_hub('bob')});
$server->start_instance('postgres', 'ann', 'turn_only', 'many');
$server->start_instance('postgres', 'bob', 'turn_only', 'continued');		# what older generations asked for still runs
$server->safe_psql('postgres', <<'SQL');
INSERT INTO durable_store.instances (task_hub, instance_id, execution_id, created_at, updated_at, name, function, settings)
SELECT i.task_hub, 'many ' || n, md5(n::text)::uuid, i.created_at, i.updated_at, i.name, i.function, i.settings
FROM durable_store.instances i, generate_series(1, 300000) n WHERE i.task_hub = 'ann' AND i.instance_id = 'many';
INSERT INTO durable_store.inbox (task_hub, instance_id, visible_at, "timestamp", execution_id, event_type, name)
SELECT m.task_hub, 'many ' || n, m.visible_at, m."timestamp", md5(n::text)::uuid, m.event_type, m.name
FROM durable_store.inbox m, generate_series(1, 300000) n WHERE m.task_hub = 'ann' AND m.instance_id = 'many';
INSERT INTO durable_store.activity_queue (task_hub, instance_id, execution_id, generation, task_id, visible_at, name, input)
SELECT 'bob', 'continued', '00000000000000000000000000000000', 1, n, now(), 'bob.quick', '{"step": 1}' FROM generate_series(1, 200000) n;
UPDATE durable_store.instances SET generation = 2 WHERE task_hub = 'bob' AND instance_id = 'continued'
SQL

# Each of the two alone has all slots but the last.
foreach my $hub ('ann', 'bob')
{
	my $what = $hub eq 'ann' ? 'turns' : 'activities';

	$server->safe_psql('postgres', "SELECT durable.resume_hub('$hub')");
	$server->wait_until('postgres', busy_workers($hub) . ' = 3');
	is_prompt('cid', "beside $what", "an instance beside at least 100,000 ready $what of another hub completes promptly");
	$server->comes_true('postgres', busy_workers($hub) . ' = 3', 'which has three workers all the time');
	$server->safe_psql('postgres', "SELECT durable.pause_hub('$hub')");
	$server->wait_until('postgres', busy_workers($hub) . ' = 0');
}

# Both together: each has at least one slot, and the last one is for who has none.
$server->safe_psql('postgres', q{SELECT durable.resume_hub('ann'), durable.resume_hub('bob')});
$server->wait_until('postgres', busy_workers('ann') . ' > 0 AND ' . busy_workers('bob') . ' > 0');
is_prompt('cid', 'beside both', 'beside two such hubs as well');

# All slots, if there are no more than hubs: the others take turns.
all_workers_leave();
$server->configure('durable.worker_idle_timeout' => '1h', 'durable.max_workers' => 2);
$server->safe_psql('postgres', q{SELECT durable.resume_hub('ann'), durable.resume_hub('bob')});
$server->wait_until('postgres', busy_workers('ann') . ' = 1 AND ' . busy_workers('bob') . ' = 1');
is_prompt('cid', 'beside all', 'beside two such hubs that have all slots, too');
is_prompt('dan', 'beside all', 'and that of a fourth hub');
is($server->safe_psql('postgres', q{SELECT EXISTS (SELECT FROM durable_store.inbox WHERE task_hub = 'ann')
	AND EXISTS (SELECT FROM durable_store.activity_queue WHERE task_hub = 'bob')}), 't', 'long before they are through');
clear($_) foreach 'ann', 'bob';

# --- slow turns --------------------------------------------------------------------------------

# Sixty turns that last until they are cut off after a second, in the only slot: a
# hub that wants it does not wait for the end of their batch.
all_workers_leave();
$server->configure('durable.worker_idle_timeout' => '1h', 'durable.max_workers' => 1, 'durable.orchestrator_timeout' => '1s');
$server->sql('postgres', 'ann', <<'SQL');
CREATE FUNCTION turn_at_gate(input jsonb) RETURNS jsonb LANGUAGE plpgsql SET durable.orchestrator_checks = off AS
$$ BEGIN PERFORM pg_advisory_xact_lock_shared(101); RETURN input; END $$;
SQL
$open{ann} = $server->close_gate('postgres', 101);
$server->sql('postgres', 'ann', q{SELECT durable.start_instance('turn_at_gate', instance_id => 'slow ' || n) FROM generate_series(1, 60) n});
$server->safe_psql('postgres', q{SELECT durable.resume_hub('ann')});
$server->wait_until('postgres', at_gate('ann', 1));
run_turn('dan', 'beside slow turns', 'the only slot is in the hands of slow turns: another hub gets it between two of them');
cmp_ok($server->safe_psql('postgres', q{SELECT count(*) FROM durable.instances WHERE task_hub = 'ann' AND instance_id LIKE 'slow %' AND completed_at IS NULL}),
	'>', 10, 'many of which are still to come');
$server->sql('postgres', 'ann', q{SELECT durable.terminate('slow ' || n) FROM generate_series(1, 60) n});
$open{ann}->quit;
clear('ann');
$server->configure('durable.max_workers' => 4, 'durable.orchestrator_timeout' => '10s');
$server->safe_psql('postgres', q{SELECT durable.resume_hub('ann'), durable.resume_hub('bob')});

# --- limits of a hub ------------------------------------------------------------------------------

sub limits_of
{
	my ($hub, $limits) = @_;

	$server->safe_psql('postgres', "SELECT durable.set_hub_limits('$hub', $limits)");
}

# max_workers, with more work than it may have workers for, and slots that are free
limits_of('ann', 'max_workers => 1');
$open{ann} = crowd('ann', 3);
$open{bob} = crowd('bob', 3);
$server->comes_true('postgres', join(' AND ', at_gate('ann', 1), at_gate('bob', 2)), 'a hub has no more workers than it may, another one has');
run_turn('dan', 'dan: beside the limited', 'a third hub is served');
$server->comes_true('postgres', q{(SELECT count(*) FROM durable.workers WHERE task_hub = 'ann') = 1}, 'there is one worker of the limited hub');
$server->start_instance('postgres', 'ann', 'turn_only', 'ann: has to wait');
limits_of('ann', 'max_workers => 2');
$server->ends('postgres', 'ann', 'ann: has to wait', 'one more may come, and does what had to wait');
$open{$_}->quit foreach 'ann', 'bob';
$server->ends('postgres', $_, "$_: crowd", "what slept in $_ completes") foreach 'ann', 'bob';

# a limit that is lowered: those that are too many leave
limits_of('bob', 'max_workers => 1');
$server->comes_true('postgres', q{(SELECT count(*) FROM durable.workers WHERE task_hub = 'bob') = 1}, 'workers beyond a new limit leave');

# A test: an error as the user sees it.
sub fails
{
	my ($hub, $sql, $error, $what) = @_;
	my (undef, undef, $stderr) = $server->try_sql('postgres', $hub, "\\set VERBOSITY verbose\n$sql");

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return like($stderr, $error, $what);
}

# max_pending_instances, while others hold what they can get
$open{$_} = crowd($_, 1) foreach 'bob', 'cid';
$server->comes_true('postgres', join(' AND ', map { at_gate($_, 1) } 'bob', 'cid'), 'two hubs hold a slot each');
limits_of('ann', 'max_pending_instances => 3');
$server->start_instance('postgres', 'ann', 'wait_for_go', "pending $_") foreach 1 .. 2;
fails('ann', q{BEGIN; SELECT durable.start_instance('wait_for_go', instance_id => 'pending 3');
	SELECT durable.start_instance('wait_for_go', instance_id => 'pending 4');},
	qr/UD007: task hub "ann" has as many unfinished instances as it may have\nDETAIL:  Its max_pending_instances is 3\.\nHINT: .*set_hub_limits/,
	'a hub has as many unfinished instances as it may: no more are started');
$server->start_instance('postgres', 'ann', 'wait_for_go', 'pending 3');
fails('ann', q{SELECT durable.restart('ann: turn', 'pending 4')}, qr/UD007/, 'nor by restart()');
is($server->sql('postgres', 'ann', q{SELECT durable.start_instance('wait_for_go', instance_id => 'pending 3', if_exists => 'skip')}), 'pending 3',
	'one that is there already is no other');
fails('ann', q{SELECT durable.start_instance('wait_for_go', instance_id => 'ann: turn')}, qr/UD007/, 'one that is replaced after its end is');
$server->sql('postgres', 'ann', q{SELECT durable.start_instance('wait_for_go', instance_id => 'pending 3', replace_statuses => '{pending,running,terminated}')});
$server->start_instance('postgres', 'bob', 'wait_for_go', "bob: pending $_") foreach 1 .. 4;
pass('one that is replaced before is not, and the limit is that of one hub');
$server->sql('postgres', 'ann', q{SELECT durable.raise_event('pending 1', 'go')});
$server->ends('postgres', 'ann', 'pending 1', 'one of them completes');
$server->start_instance('postgres', 'ann', 'wait_for_go', 'pending 4');
fails('ann', q{SELECT durable.start_instance('wait_for_go')}, qr/UD007/, 'that made room for another one only');

# What runs is not refused: its children, its next generation.
$server->sql('postgres', 'ann', <<'SQL');
CREATE FUNCTION family(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	PERFORM durable.await_all((SELECT array_agg(durable.schedule_suborchestrator('turn_only')) FROM generate_series(1, 5)));
	PERFORM durable.start_detached('turn_only', instance_id => 'detached');
	IF input = '1' THEN
		PERFORM durable.continue_as_new('2');
	END IF;
	RETURN '"all"';
END $$;
SELECT durable.terminate('pending 4');
SQL
$server->ends('postgres', 'ann', 'pending 4', 'there is room for one', 'terminated');
$server->start_instance('postgres', 'ann', 'family', 'family', '1');
$server->ends('postgres', 'ann', 'family', 'sub-orchestrations, detached ones and continue-as-new are not refused');
is($server->sql('postgres', 'ann', q{SELECT output::text || ' ' || generation FROM durable.instances WHERE instance_id = 'family'}), '"all" 2', 'in both generations');

# sizes, in a worker and in a session, the smaller limit of hub and server
limits_of('ann', 'max_payload_size => 1');
fails('ann', q{SELECT durable.start_instance('turn_only', to_jsonb(repeat('x', 1100)))},
	qr/UD007: payload too large: input of the instance\nDETAIL: .*; max_payload_size of task hub "ann" is 1 kB/, 'an input larger than the hub allows');
fails('ann', q{SELECT durable.start_instance('turn_only', event_name => 'e', event_data => to_jsonb(repeat('x', 1100)))}, qr/UD007: .*event/, 'an event with a start');
fails('ann', q{SELECT durable.start_instance('turn_only', tags => jsonb_build_object('t', repeat('x', 1100)))}, qr/UD007: .*tags/, 'tags');
fails('ann', q{SELECT durable.raise_event('pending 2', 'e', to_jsonb(repeat('x', 1100)))}, qr/UD007: .*event/, 'an event');
fails('ann', q{SELECT durable.terminate('pending 2', repeat('x', 1100))}, qr/UD007: .*reason/, 'a reason');
$server->sql('postgres', 'ann', <<'SQL');
CREATE FUNCTION large(size int) RETURNS text LANGUAGE sql AS $$ SELECT repeat('x', size) $$;
CREATE FUNCTION sizes(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	seen text[];
BEGIN
	BEGIN
		PERFORM durable.call_activity('large', '{"size": 1100}');
	EXCEPTION WHEN SQLSTATE 'UD007' THEN seen := seen || 'result'::text;
	END;
	BEGIN
		PERFORM durable.schedule_activity('large', to_jsonb(repeat('x', 1100)));
	EXCEPTION WHEN SQLSTATE 'UD007' THEN seen := seen || 'input'::text;
	END;
	BEGIN
		PERFORM durable.call_sql('SELECT 1', repeat('x', 1100));
	EXCEPTION WHEN SQLSTATE 'UD007' THEN seen := seen || 'statement'::text;
	END;
	PERFORM durable.call_activity('large', '{"size": 900}');
	PERFORM durable.set_custom_status(to_jsonb(seen));
	RETURN to_jsonb(repeat('x', 1100));
END $$;
SQL
$server->start_instance('postgres', 'ann', 'sizes', 'sizes');
$server->ends('postgres', 'ann', 'sizes', 'an output larger than the hub allows', 'failed');
is($server->sql('postgres', 'ann', q{SELECT failure->>'sqlstate' || custom_status::text FROM durable.instances WHERE instance_id = 'sizes'}),
	'UD007["result", "input", "statement"]', 'results, inputs and statements as well');

limits_of('ann', 'max_history_events => 20');
$server->start_instance('postgres', 'ann', 'walk', 'long', '{"steps": 100}');
$server->ends('postgres', 'ann', 'long', 'a history longer than the hub allows', 'failed');
like($server->sql('postgres', 'ann', q{SELECT failure->>'sqlstate' || ' ' || (failure->>'errorMessage') FROM durable.instances WHERE instance_id = 'long'}),
	qr/UD007 the history of the instance has \d+ events, max_history_events of task hub "ann" is 20/, 'fails with UD007');

is($server->safe_psql('postgres', 'SELECT ' . join(' AND ', map { at_gate($_, 1) } 'bob', 'cid')), 't', 'all the time the slots were held');

# who may set them
fails('ann', q{SELECT durable.set_hub_limits('ann')}, qr/42501: permission denied for function set_hub_limits/, 'the owner of a hub cannot raise its limits');
$server->safe_psql('postgres', q{CREATE ROLE operator LOGIN; SELECT durable.grant_usage('operator');
	GRANT EXECUTE ON FUNCTION durable.set_hub_limits(text, integer, bigint, integer, integer, integer) TO operator});
$server->sql('postgres', 'operator', q{SELECT durable.set_hub_limits('ann', 2, 3, 4, 50)});
is($server->sql('postgres', 'ann', q{SELECT max_workers, max_pending_instances, max_payload_size, max_history_events FROM durable.hubs}), '2|3|4|50', 'who is granted it may');
limits_of('ann', 'NULL');
is($server->sql('postgres', 'ann', q{SELECT max_workers, max_pending_instances, max_payload_size, max_history_events FROM durable.hubs}), '|||', 'what is not given is no limit');

$_->quit foreach values %open;
$server->ends('postgres', $_, "$_: crowd", "what slept in $_ completes") foreach 'bob', 'cid';
$server->stop;
done_testing();
