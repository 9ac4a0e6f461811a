# An instance that rests for the sake of its activities (src/rests.h) still does at once what it is told.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use DurableServer;
use Test::More;

my $server = DurableServer->create('rests', conf => <<'END');
durable.worker_idle_timeout = 1h
durable.orchestrator_checks = off
END

$server->install('postgres', 'app');

# A turn takes long, though it does not replay long, and an activity stays in the queue: so it rests for 3 s.
$server->sql('postgres', 'app', <<'SQL');
CREATE FUNCTION takes_long(input jsonb) RETURNS jsonb LANGUAGE plpgsql SET durable.orchestrator_checks = off AS $$
DECLARE
	stays durable.task := durable.schedule_activity('pass_gate', '{"step": 1, "gate": 7}');
BEGIN
	PERFORM durable.wait_for_event('go');
	IF NOT durable.is_replaying() THEN
		PERFORM pg_sleep(1);
		PERFORM durable.set_custom_status('"rests"');
	END IF;
	RETURN durable.await(stays);
END $$;
SQL

my $gate = $server->close_gate('postgres', 7);

# Is an instance that rests terminated, or suspended, in less time than that?
sub is_prompt
{
	my ($id, $call, $status) = @_;
	my $is_it = "EXISTS (SELECT FROM durable.instances WHERE instance_id = '$id'";

	$server->start_instance('postgres', 'app', 'takes_long', $id);
	$server->wait_until('postgres', "$is_it AND waiting_for ? 'activities')");
	$server->sql('postgres', 'app', "SELECT durable.raise_event('$id', 'go')");
	$server->wait_until('postgres', "$is_it AND custom_status = '\"rests\"')");
	my $asked = $server->safe_psql('postgres', 'SELECT clock_timestamp()');
	$server->sql('postgres', 'app', "SELECT durable.$call('$id')");
	$server->wait_until('postgres', "$is_it AND status = '$status')");
	return $server->safe_psql('postgres', "SELECT $is_it AND updated_at < '$asked'::timestamptz + '1.5 s')") eq 't';
}

foreach my $case ([ 'terminate', 'terminated' ], [ 'suspend', 'suspended' ])
{
	my ($call, $status) = @$case;
	my $prompt = 0;

	for (my $try = 1; !$prompt && $try <= 5; $try++)		# a busy machine may take as long as a rest
	{
		$prompt = is_prompt("$call $try", $call, $status);
	}
	ok($prompt, "$call does not wait until the instance has rested");
}

$gate->quit;
$server->stop;
done_testing();
