# terminate(cancel_running => true) reaches what runs: the statement of an
# activity is cancelled when the terminating transaction commits, and nothing
# else is. So do time limits, which background workers keep themselves.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use DurableServer;
use Test::More;

my $server = DurableServer->create('cancel', conf => 'durable.poll_interval = 1h');
my $gate;

$server->install('postgres', 'app');
$server->sql('postgres', 'app', <<'SQL');
CREATE FUNCTION with_child(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$ BEGIN RETURN durable.call_suborchestrator('walk_through_gate', input, instance_id => durable.instance_id() || ' child'); END $$;
CREATE FUNCTION keeps_at_it(gate int, step int) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
	PERFORM pass_gate(gate, step);
	RETURN step;
EXCEPTION WHEN OTHERS THEN		-- a cancel is not among the others
	RETURN -1;
END $$;
CREATE FUNCTION stubborn(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$ BEGIN RETURN durable.call_activity('keeps_at_it', '{"gate": 1, "step": 2}'); END $$;
SQL

# An instance whose activity stands at the gate, or so many of them.
sub start_at_gate
{
	my ($function, $id, $count) = @_;

	$gate = $server->close_gate('postgres', 1);
	$server->start_instance('postgres', 'app', $function, $id, '{"gate": 1, "width": 3}');
	$server->wait_until('postgres', DurableServer::at_gate(1, $count // 1));
}

sub nobody_at_gate
{
	return q{NOT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND objid = 1 AND NOT granted)};
}

# --- it is cancelled ---------------------------------------------------------------

foreach my $function ('walk_through_gate', 'stubborn')
{
	start_at_gate($function, $function);
	$server->sql('postgres', 'app', "SELECT durable.terminate('$function', 'enough', cancel_running => true)");
	$server->comes_true('postgres', nobody_at_gate(), "$function: the activity is cancelled, though the gate is closed");
	$server->comes_true('postgres',
		"(SELECT status || ' ' || output FROM durable.instances WHERE instance_id = '$function') = 'terminated \"enough\"'",
		"$function: the instance is terminated");
	is($server->safe_psql('postgres', "SELECT count(*) FROM app.effects WHERE instance_id = '$function' AND step >= 2"),
		'0', "$function: what was cancelled has no effect");
	$gate->quit;
}

# --- children, several at a time, queued ones ------------------------------------------

start_at_gate('with_child', 'parent');
$server->sql('postgres', 'app', q{SELECT durable.terminate('parent', cancel_running => true)});
$server->comes_true('postgres', nobody_at_gate(), 'the activity of a sub-orchestration is cancelled with its parent');
$server->comes_true('postgres',
	q{(SELECT string_agg(DISTINCT status, ' ') FROM durable.instances WHERE instance_id LIKE 'parent%') = 'terminated'},
	'both are terminated');
$gate->quit;

start_at_gate('crowd_at_gate', 'crowd', 2);
$server->sql('postgres', 'app', q{SELECT durable.terminate('crowd', cancel_running => true)});
$server->comes_true('postgres', nobody_at_gate() . q{ AND NOT EXISTS (SELECT FROM durable.activities)}, 'all activities of a fan-out go, queued or running');
is($server->safe_psql('postgres', q{SELECT count(*) FROM app.effects WHERE instance_id = 'crowd'}), '0', 'without effects');
$gate->quit;

# --- and nothing else is -------------------------------------------------------------------

start_at_gate('walk_through_gate', 'spared');
$server->sql('postgres', 'app', <<'SQL');
BEGIN;
SAVEPOINT s;
SELECT durable.terminate('spared', cancel_running => true);
ROLLBACK TO s;
COMMIT;
BEGIN;
SELECT durable.terminate('spared', cancel_running => true);
ROLLBACK;
SQL
$server->runs('postgres', 'app', 'another', 'a cancel that was rolled back');
$server->start_instance('postgres', 'app', 'wait_for_go', 'other', '{}');
$server->sql('postgres', 'app', q{SELECT durable.terminate('other', cancel_running => true)});
$server->ends('postgres', 'app', 'other', 'another instance is terminated', 'terminated');
is($server->safe_psql('postgres', 'SELECT ' . DurableServer::at_gate(1, 1)), 't', 'the one at the gate goes on');
$gate->quit;
$server->ends('postgres', 'app', 'spared', 'and completes');

# Cancels that come just too late find another work item in the worker's hands.
$server->sql('postgres', 'app', <<'SQL');
SELECT durable.start_instance('walk', '{"steps": 20}', instance_id => 'quick ' || n) FROM generate_series(1, 50) n;
SQL
$server->sql('postgres', 'app', "SELECT durable.terminate('quick $_', cancel_running => true)") foreach map { 2 * $_ } 1 .. 25;
$server->comes_true('postgres', q{NOT EXISTS (SELECT FROM durable.instances WHERE instance_id LIKE 'quick %' AND completed_at IS NULL)},
	'fifty end, half of them terminated');
is($server->safe_psql('postgres', q{SELECT string_agg(DISTINCT status, ' ') FROM durable.instances
	WHERE instance_id LIKE 'quick %' AND split_part(instance_id, ' ', 2)::int % 2 = 1}), 'completed',
	'none of the other half was hit');

# --- time limits ------------------------------------------------------------------------------

$server->sql('postgres', 'app', <<'SQL');
CREATE FUNCTION loops(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN LOOP END LOOP; END $$;
CREATE FUNCTION catches(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	RETURN durable.call_activity('pass_gate', '{"gate": 1, "step": 7}');
EXCEPTION WHEN OTHERS THEN
	RETURN to_jsonb(SQLSTATE || ' ' || SQLERRM);
END $$;
SQL
sub how_it_ended
{
	return $server->sql('postgres', 'app', "SELECT concat_ws(' ', status, output::text, failure ->> 'sqlstate', failure ->> 'errorType') FROM durable.wait_for_completion('$_[0]', '$ENV{PG_TEST_TIMEOUT_DEFAULT} s')");
}

$server->configure('durable.activity_timeout' => '200ms');
$gate = $server->close_gate('postgres', 1);
$server->start_instance('postgres', 'app', 'walk_through_gate', 'limited', '{"gate": 1}');
is(how_it_ended('limited'), 'failed 57014 ActivityTimeout', 'durable.activity_timeout ends an activity in a worker');
$server->start_instance('postgres', 'app', 'catches', 'caught');
is(how_it_ended('caught'), 'completed "UD001 activity pass_gate ran for more than 200 ms"', 'the orchestrator may catch that');
$server->configure('durable.activity_timeout' => '0', 'durable.orchestrator_timeout' => '200ms');
$server->start_instance('postgres', 'app', 'loops', 'loops');
is(how_it_ended('loops'), 'failed 57014 OrchestratorTimeout', 'durable.orchestrator_timeout ends an orchestrator');
$server->configure('durable.orchestrator_timeout' => '1min');
$server->sql('postgres', 'app', q{SELECT durable.register_activity('pass_gate', timeout => '150 ms')});
$server->start_instance('postgres', 'app', 'walk_through_gate', 'registered', '{"gate": 1}');
is(how_it_ended('registered'), 'failed 57014 ActivityTimeout', 'so does the limit an activity is registered with');
$server->sql('postgres', 'app', q{SELECT durable.unregister_activity('pass_gate')});
$gate->quit;
is($server->safe_psql('postgres', q{SELECT count(*) FROM app.effects WHERE instance_id IN ('limited', 'caught', 'registered') AND step > 1}), '0',
	'none of those had an effect');

$server->stop;
done_testing();
