# With more hubs than slots a worker that has nothing to do goes on to another
# hub of its owner, as the same process; hubs of others get a process of their
# own. Nothing of one hub is felt in the next, and no work is left lying.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PointsServer;
use Test::More;

my $server = PointsServer->create('other_hubs', conf => <<'END');
durable.poll_interval = 1h
durable.worker_idle_timeout = 1h
durable.max_workers = 1
autovacuum = off
END

$server->install('postgres', 'ann', 'bob');
$server->sql('postgres', 'ann', <<'SQL');
SELECT durable.create_hub('ann_two'), durable.create_hub('ann_three');
CREATE FUNCTION look() RETURNS jsonb LANGUAGE sql AS $$
	SELECT jsonb_build_object('pid', pg_backend_pid(), 'user', session_user, 'setting', coalesce(current_setting('app.left', true), ''), 'path', current_setting('search_path'),
		'prepared', (SELECT count(*) FROM pg_prepared_statements), 'cursors', (SELECT count(*) FROM pg_cursors),
		'temporary', to_regclass('pg_temp.left_behind'),
		'advisory', (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()),
		'process', (SELECT application_name FROM pg_stat_activity WHERE pid = pg_backend_pid()))
$$;
CREATE FUNCTION litter() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM set_config('app.left', 'behind', false), set_config('search_path', 'nowhere', false), pg_catalog.pg_advisory_lock(7);
	CREATE TEMPORARY TABLE left_behind (x int);
	EXECUTE 'PREPARE left_behind AS SELECT 1';
	EXECUTE 'DECLARE left_behind CURSOR WITH HOLD FOR SELECT 1';
END $$;
CREATE FUNCTION does(input jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT durable.call_activity(input #>> '{}') $$;
CREATE FUNCTION sleeps(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN PERFORM durable.sleep((input #>> '{}')::interval); RETURN input; END $$;
SQL
$server->sql('postgres', 'bob', <<'SQL');
CREATE FUNCTION look() RETURNS jsonb LANGUAGE sql AS $$ SELECT jsonb_build_object('pid', pg_backend_pid(), 'user', session_user) $$;
CREATE FUNCTION does(input jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT durable.call_activity(input #>> '{}') $$;
SQL

sub start
{
	my ($hub, $orchestrator, $id, $input) = @_;
	my ($role) = $hub =~ /^([a-z]+)/;
	my $where = $hub eq $role ? 'NULL' : "'$hub'";	# the default hub is made at its first use

	$server->sql('postgres', $role, "SELECT durable.start_instance('$orchestrator', '$input', instance_id => '$id', task_hub => $where)");
}

sub output
{
	my ($hub, $id) = @_;
	my ($role) = $hub =~ /^([a-z]+)/;

	return $server->sql('postgres', $role, "SELECT coalesce(output, failure) FROM durable.wait_for_completion('$id', timeout => '$ENV{PG_TEST_TIMEOUT_DEFAULT} s', task_hub => '$hub')");
}

sub ends
{
	my ($hub, $id, $expected, $what) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is(output($hub, $id), $expected, $what) || $server->show_state('postgres');
}

sub field
{
	my ($json, $name) = @_;

	return $json =~ /"$name": "?([^",}]*)/ ? $1 : undef;
}

# --- the same process -------------------------------------------------------------------

start('ann', 'does', 'first', '"look"');
my $first = output('ann', 'first');

start('ann', 'does', 'litter', '"litter"');
ends('ann', 'litter', '', 'an activity leaves all it can in its session');
start('ann_two', 'does', 'second', '"look"');
my $second = output('ann_two', 'second');

is(field($second, 'pid'), field($first, 'pid'), 'scenario 166: the worker goes on to another hub of its owner');
is(field($second, 'user'), 'ann', 'as who it is');
is(field($second, 'process'), 'durable worker postgres/ann_two', 'it is seen as that of the hub it serves');
is($server->safe_psql('postgres', q{SELECT string_agg(task_hub, ' ') FROM durable.workers WHERE kind = 'worker'}), 'ann_two', 'also in durable.workers');
is($second =~ s/"pid": \d+|ann_two//gr, $first =~ s/"pid": \d+|(?<=postgres\/)ann//gr, 'and code of the one finds nothing that code of the other left');

# --- who is not its owner gets another process --------------------------------------------

start('bob', 'does', 'his', '"look"');
my $his = output('bob', 'his');

is(field($his, 'user'), 'bob', 'a hub of another role is served by that role');
isnt(field($his, 'pid'), field($first, 'pid'), 'in a process of its own');

# --- what is left is not forgotten ----------------------------------------------------------

start('ann', 'sleeps', 'sleeper', '"1 s"');
$server->wait_until('postgres', q{EXISTS (SELECT FROM durable.history WHERE instance_id = 'sleeper' AND event_type = 'TimerCreated')});		# which stays
start('ann_two', 'does', 'meanwhile', '"look"');
output('ann_two', 'meanwhile');
ends('ann', 'sleeper', '"1 s"', 'a timer of a hub that its worker has left wakes it in time');

# --- in between ---------------------------------------------------------------------------------

# Work that is made when the worker has looked for the last time, and when it has changed hubs.
foreach my $point ('worker.nothing_due', 'worker.changed_hub')
{
	my ($stops_as) = $point eq 'worker.nothing_due' ? 'ann' : 'ann_two';

	start('ann', 'does', "$point, before", '"look"');
	output('ann', "$point, before");
	$server->arm($point, 'pause', $stops_as);
	start('ann', 'does', "$point, one", '"look"') if $point eq 'worker.nothing_due';
	start('ann_two', 'does', "$point, two", '"look"') if $point eq 'worker.changed_hub';
	ok($server->all_come($point, $stops_as), "the worker comes to $point");
	start('ann', 'does', "$point, late", '"look"');
	start('ann_two', 'does', "$point, other", '"look"');
	start('ann_three', 'does', "$point, third", '"look"');
	$server->release;
	foreach my $made ([ 'ann', 'late' ], [ 'ann_two', 'other' ], [ 'ann_three', 'third' ])
	{
		is(field(output($made->[0], "$point, $made->[1]"), 'user'), 'ann', "$point: what is made for $made->[0] meanwhile is done");
	}
}

foreach my $way ('terminate', 'kill')
{
	start('ann', 'does', "$way, before", '"look"');
	output('ann', "$way, before");
	$server->arm('worker.changed_hub', 'pause', 'ann_two');
	start('ann_two', 'does', "$way, two", '"look"');
	ok($server->all_come('worker.changed_hub', 'ann_two'), 'the worker comes to worker.changed_hub');
	start('ann', 'does', "$way, late", '"look"');
	$way eq 'kill' ? $server->kill_waiting('worker.changed_hub') : $server->terminate_waiting('worker.changed_hub');
	is(field(output('ann', "$way, late"), 'user'), 'ann', "$way: the hub it has left is served");
	is(field(output('ann_two', "$way, two"), 'user'), 'ann', "$way: so is the hub it came to");
}

# --- limits -------------------------------------------------------------------------------------

# A hub with a start rate keeps its worker: its slot remembers what of the rate is used up.
$server->safe_psql('postgres', q{SELECT durable.set_hub_limits('ann', max_starts_per_second => 5)});
start('ann', 'does', 'limited', '"look"');
my $limited = output('ann', 'limited');
start('ann_three', 'does', 'after limited', '"look"');
isnt(field(output('ann_three', 'after limited'), 'pid'), field($limited, 'pid'), 'the worker of a hub with a start rate leaves instead');
$server->safe_psql('postgres', q{SELECT durable.set_hub_limits('ann')});

# Many hubs of two roles by turns, within the same slot.
$server->sql('postgres', 'ann', q{SELECT durable.create_hub('ann_' || n) FROM generate_series(1, 10) n});
$server->sql('postgres', 'bob', q{SELECT durable.create_hub('bob_' || n) FROM generate_series(1, 10) n});
foreach my $role ('ann', 'bob')
{
	$server->sql('postgres', $role, qq{SELECT durable.start_instance('does', '"look"', instance_id => 'many ' || i, task_hub => '${role}_' || n) FROM generate_series(1, 10) n, generate_series(1, 3) i});
}
$server->comes_true('postgres', q{(SELECT count(*) = 60 FROM durable.instances WHERE instance_id LIKE 'many %' AND status = 'completed' AND output ->> 'user' = substr(task_hub, 1, 3))},
	'ten hubs of each of two roles are served by one slot, each as its owner');
my @pids = split /\n/, $server->safe_psql('postgres', q{SELECT DISTINCT output ->> 'pid' FROM durable.instances WHERE instance_id LIKE 'many %'});
cmp_ok(scalar(@pids), '<', 20, 'by fewer processes than hubs');

$server->stop;
done_testing();
