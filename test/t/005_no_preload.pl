# Without shared_preload_libraries no background process runs, and a session
# of the owner does their work.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use DurableServer;
use Test::More;

my $server = DurableServer->create('no_preload', preload => 0);

my ($exit_code, undef, $stderr) = $server->psql('postgres', 'CREATE EXTENSION durable');
is($exit_code, 0, 'the extension can be created without preloading');
like($stderr, qr/WARNING:  .*/, 'with a warning');
like($stderr, qr/HINT:  .*shared_preload_libraries/, 'that says what to do');
$server->add_role('postgres', 'app');
$server->add_role('postgres', 'app2');

# --- the session does the work ------------------------------------------------------

$server->start_instance('postgres', 'app', 'walk', 'until idle', '{"steps": 3}');
is($server->sql('postgres', 'app', 'SELECT durable.run_until_idle() > 0'), 't', 'run_until_idle() runs');
$server->ends('postgres', 'app', 'until idle', 'the instance to its end');

$server->start_instance('postgres', 'app', 'walk', 'run', '{"steps": 3}');
$server->sql('postgres', 'app', 'CALL durable.run()');
$server->ends('postgres', 'app', 'run', 'so does CALL durable.run()');

$server->sql('postgres', 'app', q{CALL durable.run('100 ms', until_idle => false)});
pass('which ends when its time is over');
$server->effects_are_exact('postgres', 'app', 3, "instance_id IN ('until idle', 'run')", 'each activity has run once');

is($server->safe_psql('postgres', 'SELECT count(*) FROM durable.workers'), '0', 'durable.workers is empty');
is($server->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'durable%'"), '0',
	'there are no processes');
$server->start_instance('postgres', 'app', 'walk', 'refused', '{"steps": 1}');
foreach my $sql ('SELECT durable.run_until_idle()', 'CALL durable.run()')
{
	(undef, undef, $stderr) = $server->psql('postgres', "\\set VERBOSITY verbose\nSET ROLE app;\n$sql");
	like($stderr, qr/ERROR:  42501/, "refused to a superuser who has only SET ROLE: $sql");
}

# --- a cancel is the session's affair, not the activity's --------------------------------

$server->sql('postgres', 'app2', <<'SQL');
SELECT durable.retry_policy(max_attempts => 1);	-- loads the library, so that its settings are known
CREATE TABLE slowness AS SELECT 1000 AS seconds;
CREATE FUNCTION crawl() RETURNS int LANGUAGE plpgsql AS
$$ BEGIN PERFORM effect(1), pg_sleep(seconds) FROM slowness; RETURN 1; END $$;
CREATE FUNCTION slow_activity(input jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT durable.call_activity('crawl') $$;
-- unchecked: it reads how long to sleep
CREATE FUNCTION slow_turn(input jsonb) RETURNS jsonb LANGUAGE plpgsql SET durable.orchestrator_checks = off AS
$$ BEGIN PERFORM pg_sleep(seconds) FROM slowness; RETURN '1'; END $$;
SQL
foreach my $orchestrator ('slow_activity', 'slow_turn')
{
	my $runner = $server->session('postgres', 'app2');
	my $napping = q{EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep')};

	$server->start_instance('postgres', 'app2', $orchestrator, $orchestrator);
	(undef, undef, $stderr) = $server->try_sql('postgres', 'app2',
		"\\set VERBOSITY verbose\nSET statement_timeout = '200 ms';\nSELECT durable.run_until_idle();");
	like($stderr, qr/ERROR:  57014.*statement timeout/, "statement_timeout ends run_until_idle() in a $orchestrator");
	$runner->{stdin} .= "CALL durable.run();\n";
	$runner->{run}->pump_nb;
	$server->wait_until('postgres', $napping);
	$server->safe_psql('postgres', q{SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'});
	$server->wait_until('postgres', "NOT $napping");
	like(($runner->query('SELECT 1'))[0], qr/^1$/m, 'pg_cancel_backend() ends CALL durable.run() there');
	$runner->quit;
	is($server->sql('postgres', 'app2', "SELECT count(*) FROM durable.history WHERE instance_id = '$orchestrator' AND event_type IN ('TaskFailed', 'ExecutionCompleted')"),
		'0', 'neither is recorded as its failure');
	$server->sql('postgres', 'app2', 'UPDATE slowness SET seconds = 0; CALL durable.run(); UPDATE slowness SET seconds = 1000');
	$server->ends('postgres', 'app2', $orchestrator, 'the next one runs it to its end');
}
$server->effects_are_exact('postgres', 'app2', 1, q{instance_id = 'slow_activity'}, 'with its effect once');

# --- a session as a worker, others as clients ----------------------------------------

my $listener = $server->session('postgres', 'app');
my $waiter = $server->session('postgres', 'app');
my $runner = $server->session('postgres', 'app');

$runner->{stdin} .= "CALL durable.run(NULL, until_idle => false);\n";
$runner->{run}->pump_nb;
$server->ends('postgres', 'app', 'refused', 'a session that runs for ever takes what is there');
$server->start_instance('postgres', 'app', 'walk', 'taken', '{"steps": 2}');
$server->ends('postgres', 'app', 'taken', 'and what comes');
$server->start_instance('postgres', 'app', 'wait_for_timer', 'timer', '{"delay": "100 ms"}');
$server->ends('postgres', 'app', 'timer', 'and waits for timers');

$listener->query_safe('LISTEN durable');
$server->sql('postgres', 'app', q{SELECT durable.start_instance('wait_for_go', instance_id => 'notified', notify => true)});
$server->start_instance('postgres', 'app', 'walk', 'silent', '{"steps": 1}');
$server->ends('postgres', 'app', 'silent', 'an instance without notify ends');
$waiter->{stdin} .= "SELECT status FROM durable.wait_for_completion('notified');\n";
$waiter->{run}->pump_nb;
$server->sql('postgres', 'app', q{SELECT durable.raise_event('notified', 'go')});
like($waiter->query_until(qr/\n/, ''), qr/^completed$/m, 'wait_for_completion() waits without shared memory');
my $heard = '';
for (my $until = time + $ENV{PG_TEST_TIMEOUT_DEFAULT}; $heard !~ /^Asynchronous/m && time < $until;)	# it is sent after the commit
{
	$heard .= $listener->query_safe('SELECT 1') . "\n";
}
is(join("\n", $heard =~ /^Asynchronous notification .*/mg) =~ s/ received from .*//r,
	'Asynchronous notification "durable" with payload "notified"',
	'NOTIFY tells of the end of an instance with notify, and of no other');
$server->safe_psql('postgres', q{SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query ~ 'durable.run' AND pid <> pg_backend_pid()});
like(($runner->query('SELECT 1'))[0], qr/^1$/m, 'CALL durable.run() can be cancelled');
$_->quit foreach $listener, $waiter, $runner;

# --- from now on with workers -----------------------------------------------------------

$server->start_instance('postgres', $_, 'walk', 'left over', '{"steps": 3}') foreach 'app', 'app2';
$server->append_conf('postgresql.conf', "shared_preload_libraries = 'durable'");
$server->restart;
$server->ends('postgres', $_, 'left over', "with the library preloaded workers take over, $_") foreach 'app', 'app2';
$server->effects_are_exact('postgres', $_, 3, "instance_id = 'left over'", 'each activity has run once') foreach 'app', 'app2';

$server->stop;
done_testing();
