# At each point of the engine (src/points.h): the process that comes there ends,
# and, another time, the whole server does. Whatever was in hand of each of eight
# scenarios, each in a task hub of its own, they all end as if nothing had been.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PointsServer;
use PostgreSQL::Test::Utils;
use Scenarios qw(@hubs install_scenarios start_scenarios unfinished violations purge_scenarios leftovers);
use Test::More;
use Time::HiRes qw(time);

# --- the library that is installed has none of this -------------------------------------

my $installed = PointsServer::config('pkglibdir') . '/durable.so';
my @names = points_of("$FindBin::RealBin/../modules/points/durable.so");

cmp_ok(scalar(@names), '>=', 30, 'there are at least 30 points');
is_deeply([ points_of($installed) ], [], 'the library that is installed has no points');
unlike(slurp_file($installed), qr/durable_points|point_reached/, 'nor anything that serves them');

# The names of points among the strings of a library.
sub points_of
{
	my ($library) = @_;
	my %found = map { $_ => 1 } slurp_file($library) =~ /\0((?:turn|activity|inline|checkpoint|commit|wake|worker|process|coordinator|launcher|message|client|purge)\.(?![ch]\0)[a-z_]+)(?=\0)/g;

	return sort keys %found;
}

# --- where ---------------------------------------------------------------------------------

# Points that every scenario passes. A process that ends there has interrupts held: it dies a little later.
my %held = map { $_ => 1 } qw(wake.before wake.hubs wake.waiters process.exit process.left);
my @of_workers = (
	qw(worker.begin worker.connected worker.nothing_due worker.idle worker.woken process.leave process.exit process.left),
	qw(turn.before_claim turn.claimed turn.taken turn.chosen turn.replayed turn.before_checkpoint turn.committed),
	(map { "checkpoint.$_" } qw(begin consumed history activities children timers messages instances end)),
	qw(commit.before commit.after wake.before wake.hubs wake.waiters),
	(map { "activity.$_" } qw(before_claim claimed before_effect after_effect before_record recorded committed)),
	'message.inserted');

# The same where activities run with their turns.
my @of_inline = (
	qw(inline.taken inline.done turn.next activity.before_effect activity.after_effect),
	qw(turn.claimed turn.replayed turn.before_checkpoint turn.committed),
	(map { "checkpoint.$_" } qw(consumed history activities messages instances)),
	qw(commit.before commit.after wake.waiters));		# few wake a hub there

# Of a row of the queue that several share: only the wide fan-out is sure to have one.
my @of_shared = map { "activity.$_" } qw(shared_claimed shared_run split shared_left shared_recorded shared_committed);

# Where a scenario never comes: nobody sends messages in it but clients and activities' answers.
# Activities that speak to their own instance run alone, so no turn follows them in their transaction.
my %never = ('message.inserted' => [qw(sequence fan_out again)], 'turn.next' => ['event'], 'turn.within' => ['event']);

my %of_others = (
	coordinator => [
		(map { "coordinator.$_" } qw(begin connected looked swept before_sleep)),
		(map { "process.$_" } qw(slot_claimed registered before_burial hand_emptied)) ],
	launcher => [ map { "launcher.$_" } qw(begin before_start buried) ]);

my $server = PointsServer->create('points', conf => <<'END');
max_worker_processes = 32
durable.max_workers = 24
durable.poll_interval = 500ms
durable.worker_idle_timeout = 100ms
durable.inline_activities = off
fsync = off
END
my $mode = '';
my %hits;
my %figures = (instances => 0, effects => 0, calls => 0);

$server->install('postgres');
install_scenarios($server, 'postgres');

# --- rounds ----------------------------------------------------------------------------------

sub start
{
	my ($prefix, $count) = @_;

	$server->safe_psql('postgres', start_scenarios($prefix, $count));
}

# Such a process comes only when another one has gone.
sub replace_process
{
	my ($kind) = @_;

	$server->safe_psql('postgres', "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'durable $kind'");
}

# Whatever was done to them, the instances of a round end as they must.
sub all_is_well
{
	my ($prefix, $count, $what) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	note sprintf '%s: felled', $prefix;
	$server->wait_until('postgres', 'NOT (' . unfinished($prefix, $count) . ')');
	is($server->safe_psql('postgres', violations($prefix)), '', $what);
}

# Turns within the await are not tried again soon where one had no time, as it happens on a
# busy machine: more instances are started until all have come. Returns their prefixes.
sub start_more
{
	my ($point, $prefix, @subjects) = @_;
	my @more;

	while (@more < 50 && !$server->all_come_within(2, $point, @subjects))
	{
		push @more, "$prefix, more " . @more;
		start($more[-1], 2);
	}
	return @more;
}

# Instances of all scenarios run until a process of each subject has come to the point, and ends
# there in that way. Returns what else was started.
sub fell
{
	my ($point, $way, @subjects) = @_;
	my $prefix = "$point $way";

	# workers of the round before would do without new ones
	$server->wait_until('postgres', q{NOT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'durable worker')}) if $point =~ /^worker\.(?:begin|connected)$/;
	$server->arm($point, 'pause', @subjects);
	start($prefix, 2);
	replace_process($subjects[0]) if $point =~ /^(?:coordinator|launcher)\.(?:begin|connected)$/;
	replace_process('coordinator') if $point eq 'launcher.buried';
	$server->reload if $point eq 'launcher.before_start';
	my @more = $point eq 'turn.within' ? start_more($point, $prefix, @subjects) : ();
	unless ($server->all_come($point, @subjects))
	{
		fail("$point is reached by " . join(', ', without($never{$point} // [], $server->not_taken($point))));
		$server->show_state('postgres');
		$server->release;
		return @more;
	}
	my %pid = $server->taken($point);

	$hits{$point}{"$way$mode"} = { map { $_ => 1 } keys %pid };
	$way eq 'kill' ? $server->kill_waiting($point) : $server->terminate_waiting($point, $held{$point});
	is_deeply([ sort keys %pid ], [ sort @subjects ], "$point: all who come there are felled ($way$mode)");
	return @more;
}

# For docs/reliability.md.
sub count_figures
{
	my ($instances, $effects) = split /\|/, $server->safe_psql('postgres',
		'SELECT (SELECT count(*) FROM durable.instances), (SELECT count(*) FROM all_effects)');

	$figures{instances} += $instances;
	$figures{effects} += $effects;
}

sub test_point
{
	my ($point, @subjects) = @_;
	my $begin = time;

	foreach my $way ('terminate', 'kill')
	{
		my @more = fell($point, $way, @subjects);

		all_is_well($_, 2, "$point: all is well after $way$mode") foreach "$point $way", @more;
	}
	count_figures();
	$server->safe_psql('postgres', purge_scenarios());
	is($server->safe_psql('postgres', leftovers()), '', "$point: nothing is left when all are purged");
	note sprintf "%s: %.1f s", $point, time - $begin;
}

# The checks are awake: they see one effect too many, one too few, and what is left in the queues.
sub test_checks
{
	start('checks', 1);
	all_is_well('checks', 1, 'all is well when nobody dies');
	foreach my $tampering (
		[ 'INSERT INTO again.effects SELECT * FROM again.effects LIMIT 1', qr/^effects.*\neffect twice/s ],
		[ 'DELETE FROM timer.effects WHERE step = 2', qr/^effects\|timer/ ],
		[ q{UPDATE event.effects SET task_id = 99 WHERE step = 1}, qr/^effect that nobody asked for/ ],
		[ q{UPDATE durable_store.instances SET output = '1' WHERE task_hub = 'sequence'}, qr/^ended otherwise/ ],
		[ q{DELETE FROM durable_store.history WHERE task_hub = 'retry' AND seq > 10}, qr/history has gaps/ ],
		[ q{INSERT INTO durable_store.inbox (task_hub, instance_id, visible_at, "timestamp", event_type) VALUES ('timer', 'checks 1', 'infinity', now(), 15)}, qr/^message left/ ],
		[ q{INSERT INTO durable_store.activity_queue (task_hub, instance_id, execution_id, generation, task_id, visible_at, name)
			VALUES ('timer', 'checks 1', gen_random_uuid(), 1, 1, 'infinity', 'act')}, qr/^activity left/ ])
	{
		my ($sql, $found) = @$tampering;

		like($server->safe_psql('postgres', "BEGIN; $sql;\n" . violations('checks') . '; ROLLBACK'), $found, "seen: $sql");
	}
	$server->safe_psql('postgres', purge_scenarios());
}

test_checks();

sub without
{
	my ($not, @all) = @_;
	my %not = map { $_ => 1 } @$not;

	return grep { !$not{$_} } @all;
}

# POINTS=regular expression: only some.
my $wanted = $ENV{POINTS} || '.';

# At the point all hubs are felled that ever come there.
sub test_point_of_workers
{
	my ($point) = @_;
	my $never = $never{$point} // [];

	$server->arm($point, 'pause', @$never);
	test_point($point, without($never, @hubs));
	is(join(' ', sort($server->not_taken($point))), join(' ', sort @$never), "$point: not reached, as expected, by @$never") if @$never;
	$server->release;
}

test_point_of_workers($_) foreach grep { /$wanted/ } @of_workers;
foreach my $subject (sort keys %of_others)
{
	test_point($_, $subject) foreach grep { /$wanted/ } @{ $of_others{$subject} };
}

# --- activities in the transaction of their turn ------------------------------------------------

$server->configure('durable.inline_activities' => 'always');
$mode = ', inline';
test_point_of_workers($_) foreach grep { /$wanted/ && $_ ne 'turn.next' } @of_inline;

foreach my $point (grep { /$wanted/ } @of_shared)
{
	test_point($point, 'fan_out');
	$server->release;
}

# What is in a shared row when sharing is turned off gets rows of its own: a worker that has the row
# in hand stops, until the others may not share any more, and ends.
sub test_unpacking
{
	my ($way) = @_;
	my $point = 'activity.unpacked';
	my $prefix = "$point $way";

	$server->arm('activity.shared_claimed', 'pause', 'fan_out');
	start($prefix, 2);
	ok($server->all_come('activity.shared_claimed', 'fan_out'), "$point: a worker has a row in hand");
	$server->arm($point, 'pause', 'fan_out');
	$server->configure('durable.inline_activities' => 'off');
	$server->terminate_waiting('activity.shared_claimed');
	ok($server->all_come($point, 'fan_out'), "$point: another one unpacks it") || $server->show_state('postgres');
	$hits{$point}{"$way$mode"} = { fan_out => 1 };
	$way eq 'kill' ? $server->kill_waiting($point) : $server->terminate_waiting($point);
	$server->release;
	all_is_well($prefix, 2, "$point: all is well after $way");
	$server->safe_psql('postgres', purge_scenarios());
	$server->configure('durable.inline_activities' => 'always');
}
foreach my $way (grep { 'activity.unpacked' =~ /$wanted/ } 'terminate', 'kill')
{
	test_unpacking($way);
}

# Code that was seen to return is not replayed for its next turn, unless each turn runs twice.
$server->configure('durable.double_replay' => 'on');
test_point_of_workers($_) foreach grep { /$wanted/ } 'turn.next';
$server->configure('durable.double_replay' => 'off');

# A turn within the await comes where the same worker has seen the code return.
sub let_hubs_have
{
	my ($max_workers, $idle_timeout) = @_;

	$server->safe_psql('postgres', "SELECT durable.set_hub_limits('$_', max_workers => $max_workers)") foreach @hubs;
	$server->configure('durable.worker_idle_timeout' => $idle_timeout);
}
let_hubs_have(1, '1h');
test_point_of_workers($_) foreach grep { /$wanted/ } 'turn.within';
let_hubs_have('NULL', '100ms');
$server->configure('durable.inline_activities' => 'off');

# --- in the calls of clients --------------------------------------------------------------------

# For each: what is there before, the call, whether it has had no effect, whether it has had it, and
# the points it passes. After "wake.before" it is committed, whatever its client is told.
my $starts = "SELECT durable.start_instance('wait_for_go', instance_id => 'ID')";
my $walks = "SELECT durable.start_instance('walk', '{\"steps\": 2}', instance_id => 'ID')";
my $is = "EXISTS (SELECT FROM durable.instances WHERE instance_id = 'ID' AND %s)";
my $waits = sprintf($is, "waiting_for->'events' ? 'go' AND status = 'running'");
my $completed = sprintf($is, "status = 'completed'");
my $sent_nothing = "NOT EXISTS (SELECT FROM durable.messages WHERE instance_id = 'ID')";
my @sending = qw(message.inserted wake.before wake.hubs);
my %calls = (
	start => {
		call => $walks, undone => "NOT " . sprintf($is, 'true'), done => $completed, steps => '{1,2}',
		points => [ qw(client.inserted client.start wake.before wake.hubs) ] },
	raise_event => {
		before => $starts, ready => $waits, call => "SELECT durable.raise_event('ID', 'go', '1')",
		undone => "$waits AND $sent_nothing", done => $completed, steps => '{1}',
		points => [ 'client.raise_event', @sending ] },
	terminate => {
		before => $starts, ready => $waits, call => "SELECT durable.terminate('ID')",
		undone => "$waits AND $sent_nothing", done => sprintf($is, "status = 'terminated'"),
		points => [ 'client.terminate', @sending ] },
	suspend => {
		before => $starts, ready => $waits, call => "SELECT durable.suspend('ID')",
		undone => "$waits AND $sent_nothing", done => sprintf($is, "status = 'suspended'"),
		points => [ 'client.suspend', @sending ] },
	resume => {
		before => "$starts; SELECT durable.suspend('ID')", ready => sprintf($is, "status = 'suspended'") . " AND $sent_nothing",
		call => "SELECT durable.resume('ID')",
		undone => sprintf($is, "status = 'suspended'") . " AND $sent_nothing", done => $waits,
		points => [ 'client.resume', @sending ] },
	rewind => {
		before => "SELECT durable.start_instance('needs_leave', instance_id => 'ID')", ready => sprintf($is, "status = 'failed'"),
		call => "SELECT durable.rewind('ID')",
		undone => sprintf($is, "status = 'failed'") . " AND $sent_nothing", done => $completed, steps => '{1}',
		points => [ 'client.rewind', @sending ] },
	restart => {
		before => $walks, ready => $completed, call => "SELECT durable.restart('ID')",
		undone => sprintf($is, "status = 'completed' AND generation = 1"), done => sprintf($is, "status = 'completed' AND generation = 2"), steps => '{1,1,2,2}',
		points => [ 'client.restart', @sending ] },
	purge => {
		before => $walks, ready => $completed, call => "SELECT durable.purge('ID')",
		undone => $completed, done => 'NOT ' . sprintf($is, 'true'), steps => '{1,2}',
		points => [ qw(purge.locked purge.deleted) ] },
	wait_for_completion => {
		before => $starts, ready => $waits, call => "SELECT durable.wait_for_completion('ID', timeout => '10 min')",
		undone => $waits, again => "SELECT durable.raise_event('ID', 'go', '1')", done => $completed, steps => '{1}',
		points => [ 'client.wait' ] },
	wait_for_completed => {
		before => $walks, ready => $completed, call => "SELECT durable.wait_for_completion('ID')",
		undone => $completed, done => $completed, steps => '{1,2}',
		points => [ qw(client.wait_before_flush client.wait_flushed) ] });

sub for_id
{
	my ($sql, $id) = @_;

	return $sql =~ s/ID/$id/gr;
}

# What the call is made with. Beside a write of its own a call does not commit early (044_early_commit): when
# somebody is woken for it, it is on disk.
sub statements
{
	my ($call) = @_;
	my $write = $call->{point} =~ /^wake/ ? "INSERT INTO noted VALUES ('ID'); " : '';

	return for_id($write . $call->{call}, $call->{id});
}

# A session that makes the call, and may die of it.
sub call_aside
{
	my ($name, $sql) = @_;
	my $pid = fork // die "could not fork: $!";

	return $pid if $pid;
	local $ENV{PGAPPNAME} = $name;
	open STDOUT, '>', '/dev/null';
	open STDERR, '>', '/dev/null';
	exec 'psql', '-XAtq', '-U', 'caller', '-d', $server->connstr('postgres'), '-c', $sql;
}

# All of these are true of their instances.
sub all_true
{
	my ($field, @calls) = @_;

	return join ' AND ', 'true', map { '(' . for_id($_->{$field}, $_->{id}) . ')' } grep { $_->{$field} } @calls;
}

# Each call stops at its point, all at once; they are felled, looked at, and made again where they were undone.
sub test_calls
{
	my ($way, %at) = @_;
	my @calls = map { { %{ $calls{$_} }, name => $_, point => $at{$_}, id => "$way $_ $at{$_}" } } sort keys %at;
	my @committed = grep { $_->{point} =~ /^wake/ } @calls;
	my @undone = grep { $_->{point} !~ /^wake/ } @calls;
	my $what = join ', ', map { "$_->{name} at $_->{point}" } @calls;

	$server->sql('postgres', 'caller', join ';', 'SELECT', map { for_id($_->{before}, $_->{id}) } grep { $_->{before} } @calls);
	$server->wait_until('postgres', all_true('ready', @calls));
	$server->safe_psql('postgres', "INSERT INTO caller.leave VALUES ('$_->{id}')") foreach @calls;
	$server->arm($_->{point}, 'pause', $_->{name}) foreach @calls;
	my @pids = map { call_aside($_->{name}, statements($_)) } @calls;

	my @missing = grep { !$server->all_come($_->{point}, $_->{name}) } @calls;
	is(join(', ', map { "$_->{name} at $_->{point}" } @missing), '', "$way: calls come to $what");
	$hits{ $_->{point} }{$way}{"client: $_->{name}"}++ foreach @calls;
	$figures{calls} += @calls;
	if ($way eq 'kill')
	{
		$server->kill_waiting($calls[0]{point});
	}
	else
	{
		$server->terminate_waiting($_->{point}, $held{ $_->{point} }) foreach @calls;
	}
	$server->release;
	waitpid $_, 0 foreach @pids;

	is($server->safe_psql('postgres', 'SELECT ' . all_true('undone', @undone)), 't', "$way: calls that had not committed have no effect: $what") if @undone;
	$server->sql('postgres', 'caller', join ';', map { for_id($_->{again} // $_->{call}, $_->{id}) } @undone) if @undone;
	$server->comes_true('postgres', all_true('done', @calls), "$way: they have it when made again, and those that had committed have it at once");
	is($server->safe_psql('postgres', "SELECT array_agg(step ORDER BY step) FROM caller.effects WHERE instance_id = '$_->{id}'"), $_->{steps} // '',
		"$way: $_->{name} at $_->{point}: every effect once")
	  foreach @calls;
}

$server->add_role('postgres', 'caller');
$server->sql('postgres', 'caller', <<'SQL');
CREATE TABLE leave (instance_id text);
CREATE TABLE noted (instance_id text);
CREATE FUNCTION act_with_leave(step int) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
	PERFORM effect(step);
	IF NOT EXISTS (SELECT FROM leave WHERE instance_id = durable.instance_id()) THEN
		RAISE EXCEPTION 'not allowed';
	END IF;
	RETURN step;
END $$;
CREATE FUNCTION needs_leave(input jsonb) RETURNS jsonb LANGUAGE sql AS
$$ SELECT durable.call_activity('act_with_leave', '{"step": 1}') $$;
SQL

for my $column (0 .. 3)
{
	my %at = map { $calls{$_}{points}[$column] ? ($_ => $calls{$_}{points}[$column]) : () } keys %calls;

	foreach my $way (grep { 'client' =~ /$wanted/ } 'terminate', 'kill')
	{
		test_calls($way, %at);
	}
}

# --- what was hit ----------------------------------------------------------------------------------

my $n_hits = 0;

foreach my $point (sort keys %hits)
{
	foreach my $way (sort keys %{ $hits{$point} })
	{
		my @who = sort keys %{ $hits{$point}{$way} };

		$n_hits += @who;
		note "$point, $way: @who";
	}
}
note "$n_hits processes were felled at ", scalar(keys %hits), ' points, ', join ', ', map { "$figures{$_} $_" } sort keys %figures;
# Where a worker changes hubs, and where clients commit early, which they do not do here, others stop them: 038_other_hubs, 044_early_commit.
$hits{$_} //= {} foreach 'worker.changed_hub', 'client.committed_early', 'client.awaits', 'client.durable', 'client.wait_over';
is_deeply([ without([ keys %hits ], @names) ], [], 'no point has been left out') if $wanted eq '.';

$server->stop;
done_testing();
