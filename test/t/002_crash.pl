# Whatever dies, and whenever: everything that was started ends, and each
# activity has had its effect once.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use DurableServer;
use Test::More;

my $server = DurableServer->create('crash', conf => 'durable.poll_interval = 1h');
my $gate;

$server->install('postgres', 'app', 'app2');

# An instance in the midst of an activity, which has had its effect and waits.
sub start_and_stop_at_gate
{
	my ($id) = @_;

	$gate = $server->close_gate('postgres', 1);
	$server->start_instance('postgres', 'app', 'walk_through_gate', $id, '{"gate": 1}');
	$server->wait_until('postgres', DurableServer::at_gate(1, 1));
}

# The launcher, the coordinator, or the worker that waits at the gate.
sub find_process
{
	my ($kind) = @_;

	return $server->pid_at_gate(1) if $kind eq 'worker';
	return $server->pid_of($kind, $kind eq 'coordinator' ? 'postgres' : undef);
}

# --- a process is terminated ---------------------------------------------------

foreach my $kind ('launcher', 'coordinator', 'worker')
{
	my ($id, $pid) = "terminated $kind";

	start_and_stop_at_gate($id);
	$pid = find_process($kind);
	is($server->safe_psql('postgres', "SELECT pg_terminate_backend($pid, 60000)"), 't', "the $kind can be terminated");
	$server->comes_true('postgres', <<"SQL", "another $kind comes");
EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'durable $kind' AND pid <> $pid)
SQL
	$server->comes_true('postgres', DurableServer::at_gate(1, 1), 'the activity is running again, or still');
	$gate->quit;
	$server->ends('postgres', 'app', $id, 'scenario 156: the instance completes');
	$server->runs('postgres', 'app2', "after $id", 'so does a later one, in another hub');
}

# --- a process is killed, the server starts again -------------------------------

foreach my $kind ('launcher', 'coordinator', 'worker')
{
	my $id = "killed $kind";

	start_and_stop_at_gate($id);
	$server->crash(find_process($kind));
	$gate->quit;
	$server->ends('postgres', 'app', $id, "scenario 156: the instance completes although the $kind was killed");
	$server->runs('postgres', 'app2', "after $id", 'so does a later one, in another hub');
}

# --- the server is stopped in the midst of many ------------------------------------

foreach my $mode ('immediate', 'fast')
{
	$gate = $server->close_gate('postgres', 1);
	$server->sql('postgres', $_, <<"SQL") foreach 'app', 'app2';
SELECT durable.start_instance(CASE i % 4 WHEN 0 THEN 'walk_through_gate' ELSE 'walk' END, '{"steps": 3, "gate": 1}',
	instance_id => '$mode ' || i) FROM generate_series(1, 80) i
SQL
	$server->wait_until('postgres',
		"EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND objid = 1 AND NOT granted) AND EXISTS (SELECT FROM app.effects WHERE instance_id LIKE '$mode %')");
	$server->stop($mode);
	$gate->quit;
	$server->start;
	$server->comes_true('postgres',
		"(SELECT count(*) = 160 FROM durable.instances WHERE instance_id LIKE '$mode %' AND status = 'completed')",
		"scenario 16: all of many instances complete after a stop in mode $mode");
}

$server->effects_are_exact('postgres', 'app', 3, "instance_id !~ '^after '", 'scenario 156: each activity of app has had its effect once');
$server->effects_are_exact('postgres', 'app2', 3, "instance_id !~ '^after '", 'scenario 156: each activity of app2 has had its effect once');

# --- activities that are to blame ---------------------------------------------------

$server->configure('durable.max_dispatch_attempts' => 3);
$server->safe_psql('postgres', 'CREATE ROLE killer LOGIN IN ROLE pg_execute_server_program, pg_read_all_stats');
$server->add_role('postgres', 'killer');
$server->sql('postgres', 'killer', <<'SQL');
CREATE FUNCTION quit(step int) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
	PERFORM effect(step), pg_terminate_backend(pg_backend_pid()), pg_sleep(1);
	RETURN step;
END $$;
-- The shell is a child of the worker.
CREATE FUNCTION crash(step int) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
	PERFORM effect(step);
	COPY (SELECT) TO PROGRAM 'kill -9 $PPID';
	RETURN step;
END $$;
CREATE FUNCTION crash_when_others_run(step int) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1 .. 200 LOOP		-- the second time nobody is there: suspects run one at a time
		EXIT WHEN EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'durable worker' AND usename = 'app' AND query ~ 'nap#');
		PERFORM pg_sleep(0.01), pg_stat_clear_snapshot();
	END LOOP;
	RETURN crash(step);
END $$;
CREATE FUNCTION call(input jsonb) RETURNS jsonb LANGUAGE sql AS $$
	SELECT durable.call_activity(input->>'activity', '{"step": 1}')
$$;
CREATE FUNCTION call_and_catch(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	PERFORM durable.call_activity(input->>'activity', '{"step": 1}');
	RETURN '"not reached"';
EXCEPTION WHEN SQLSTATE 'UD012' THEN
	RETURN durable.call_activity('effect', '{"step": 2}');
END $$;
SQL

# Two workers may have it in hand before the death of the first one is charged.
$server->runs('postgres', 'killer', 'earlier', 'a hub runs');
$server->safe_psql('postgres', q{SELECT durable.set_hub_limits('killer', max_workers => 1)});
$server->wait_until('postgres', q{(SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'durable worker' AND usename = 'killer') <= 1});

my $offset = -s $server->logfile;
$server->start_instance('postgres', 'killer', 'call', 'quits', '{"activity": "quit"}');
$server->start_instance('postgres', 'killer', 'call_and_catch', 'quits, caught', '{"activity": "quit"}');
$server->start_instance('postgres', 'killer', 'walk', 'of the same hub', '{"steps": 3}');
$server->start_instance('postgres', 'app', 'walk', 'of another hub', '{"steps": 3}');
$server->ends('postgres', 'killer', 'quits', 'an activity that ends its own backend is failed', 'failed');
is($server->sql('postgres', 'killer', "SELECT failure->>'sqlstate' FROM durable.instances WHERE instance_id = 'quits'"),
	'UD012', 'with UD012');
$server->ends('postgres', 'killer', 'quits, caught', 'its orchestrator can catch that');
$server->ends('postgres', 'killer', 'of the same hub', 'another instance of the hub goes on');
$server->ends('postgres', 'app', 'of another hub', 'one of another hub too');
is(scalar(() = $server->log_since($offset) =~ /FATAL:  terminating background worker/g), 6,
	'each was tried three times');

foreach my $id ('crashes', 'crashes, caught')
{
	$offset = -s $server->logfile;
	$server->start_instance('postgres', 'app', 'wait_for_timer', "beside $id", '{"delay": "1 s"}');
	# the server may be gone before this session hears that it has started
	eval { $server->start_instance('postgres', 'killer', $id =~ /caught/ ? 'call_and_catch' : 'call', $id, '{"activity": "crash"}') };
	$server->comes_true('postgres', "(SELECT completed_at IS NOT NULL FROM durable.instances WHERE instance_id = '$id')",
		'an activity that crashes the server does not do so for ever');
	$server->ends('postgres', 'app', "beside $id", 'an instance of another hub goes on');
	is(scalar(() = $server->log_since($offset) =~ /was terminated by signal 9/g), 3, 'it was tried three times');
}
is($server->sql('postgres', 'killer',
		"SELECT status, failure->>'sqlstate', output FROM durable.instances WHERE instance_id LIKE 'crashes%' ORDER BY instance_id"),
	"failed|UD012|\ncompleted||2", 'it is failed with UD012');
is($server->sql('postgres', 'killer', "SELECT instance_id, step FROM effects WHERE instance_id ~ 'quits|crashes' ORDER BY 1, 2"),
	"crashes, caught|2\nquits, caught|2", 'what it has done is undone');

# One that merely was running each time is not to blame.
$server->start_instance('postgres', 'app', 'walk_and_nap', 'innocent', '{"seconds": 3}');
$server->wait_until('postgres', q{EXISTS (SELECT FROM pg_stat_activity WHERE usename = 'app' AND wait_event = 'PgSleep')
	OR (SELECT completed_at IS NOT NULL FROM durable.instances WHERE instance_id = 'innocent')});		# on a machine that is very busy
eval { $server->start_instance('postgres', 'killer', 'call', 'crashes again', '{"activity": "crash_when_others_run"}') };
$server->comes_true('postgres', q{(SELECT completed_at IS NOT NULL FROM durable.instances WHERE instance_id = 'crashes again')},
	'one that crashes the server beside another is given up, too');
$server->ends('postgres', 'app', 'innocent', 'but not the other one, which was running at each crash');
$server->effects_are_exact('postgres', 'app', 2, q{instance_id = 'innocent'}, 'it has had its effects once');
$server->runs('postgres', 'killer', 'later', 'the hub goes on');

$server->stop;
done_testing();
