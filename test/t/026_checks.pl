# durable.orchestrator_checks and durable.orchestrator_languages with real
# workers, which take them from the role and the database they work for.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use DurableServer;
use Test::More;

my $server = DurableServer->create('checks', conf => "durable.poll_interval = '1s'\ndurable.worker_idle_timeout = '100ms'");
$server->install('postgres', 'app', 'other');
$server->safe_psql('postgres', 'CREATE TRUSTED LANGUAGE plother HANDLER plpgsql_call_handler INLINE plpgsql_inline_handler VALIDATOR plpgsql_validator');
foreach my $role ('app', 'other')
{
	$server->sql('postgres', $role, <<'SQL');
CREATE FUNCTION look(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN to_jsonb(clock_timestamp() IS NULL); END $$;
CREATE FUNCTION in_other() RETURNS int LANGUAGE plother AS $$ BEGIN RETURN 7; END $$;
CREATE FUNCTION calls_other(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN to_jsonb(in_other()); END $$;
SQL
}

# What is set for a role or a database counts from the next connection: workers that have it not yet are let go first.
sub set_for
{
	my ($what) = @_;

	$server->safe_psql('postgres', "ALTER $what");
	$server->wait_until('postgres', q{NOT EXISTS (SELECT FROM durable.workers WHERE kind = 'worker')});
}

sub result_is
{
	my ($role, $orchestrator, $id, $expected, $what) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$server->start_instance('postgres', $role, $orchestrator, $id);
	is($server->sql('postgres', $role, <<"SQL"), $expected, $what);
SELECT concat_ws(' ', status, output, failure ->> 'sqlstate') FROM durable.wait_for_completion('$id', timeout => '$ENV{PG_TEST_TIMEOUT_DEFAULT} s')
SQL
	return;
}

result_is('app', 'look', 'default', 'failed UD008', 'workers check by default');
set_for('ROLE app SET durable.orchestrator_checks = off');
result_is('app', 'look', 'off', 'completed false', 'ALTER ROLE ... SET reaches the workers of the role');
result_is('other', 'look', 'other', 'failed UD008', 'and no others');
set_for('ROLE app RESET durable.orchestrator_checks');
result_is('app', 'look', 'again', 'failed UD008', 'RESET, too');

my $log = -s $server->logfile;
set_for('DATABASE postgres SET durable.orchestrator_checks = warning');
foreach my $role ('app', 'other')
{
	result_is($role, 'look', 'warned', 'completed false', "ALTER DATABASE ... SET reaches the workers of $role");
}
my @warnings = $server->log_since($log) =~ /WARNING:  function clock_timestamp\(\) is not allowed in an orchestrator/g;
is(scalar @warnings, 2, 'with warnings in the log of the server, one for each');
set_for('DATABASE postgres RESET durable.orchestrator_checks');

result_is('app', 'calls_other', 'language', 'failed UD008', 'another language is refused by workers');
set_for('ROLE app SET durable.orchestrator_languages = plother');
result_is('app', 'calls_other', 'language allowed', 'completed 7', 'unless the role allows it');

# --- a setting of one role is no setting of another, in the values, too -------------------

set_for(q{ROLE app SET extra_float_digits = -12});
$server->sql('postgres', 'app', q{CREATE FUNCTION third(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN PERFORM durable.wait_for_event('go'); RETURN to_jsonb((1 / 3::float8)::text); END $$});
$server->start_instance('postgres', 'app', 'third', 'third');
$server->wait_until('postgres', q{(SELECT waiting_for ? 'events' FROM durable.instances WHERE instance_id = 'third')});
set_for(q{ROLE app SET extra_float_digits = 3});
$server->sql('postgres', 'app', q{SELECT durable.raise_event('third', 'go')});
$server->ends('postgres', 'app', 'third', 'an instance ends after ALTER ROLE ... SET');
is($server->sql('postgres', 'app', q{SELECT output #>> '{}' FROM durable.instances WHERE instance_id = 'third'}), '0.333',
	'with the settings of its start');
$server->stop;

# --- beside others who hook into the planner and the executor --------------------------------

foreach my $libraries ('durable, auto_explain, pg_stat_statements', 'pg_stat_statements, auto_explain, durable')
{
	my $beside = DurableServer->create('beside' . ($libraries =~ /^durable/ ? '' : '2'), preload => 0,
		conf => "shared_preload_libraries = '$libraries'\ndurable.poll_interval = '1s'\nauto_explain.log_min_duration = 0\nauto_explain.log_analyze = on\nauto_explain.log_nested_statements = on");

	$beside->install('postgres', 'app');
	$beside->sql('postgres', 'app', <<'SQL');
CREATE FUNCTION inlined() RETURNS timestamptz LANGUAGE sql AS 'SELECT clock_timestamp()';
CREATE FUNCTION helps(n int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN n + 1; END $$;
CREATE FUNCTION refused(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN PERFORM durable.call_activity('helps', '{"n": 1}'); RETURN to_jsonb(inlined()); END $$;
CREATE FUNCTION fine(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN PERFORM durable.call_activity('helps', '{"n": 1}'); RETURN to_jsonb((SELECT sum(helps(g)) FROM generate_series(1, 3) g)); END $$;
SQL
	foreach my $turn (1, 2)
	{
		$beside->start_instance('postgres', 'app', $_, "$_ $turn") foreach 'refused', 'fine';
		$beside->ends('postgres', 'app', "refused $turn", "refused beside $libraries, $turn", 'failed');
		$beside->ends('postgres', 'app', "fine $turn", "allowed beside $libraries, $turn");
	}
	is($beside->sql('postgres', 'app', q{SELECT string_agg(DISTINCT coalesce(output::text, failure ->> 'sqlstate'), ' ') FROM durable.instances}), '9 UD008',
		'as without them');
	$beside->stop;
}
done_testing();
