# An orchestrator that is replaced between the look whether it is still the code of an
# instance, and its call, to which a look into a catalog may bring it: the code of the
# instance runs, or its copy.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PointsServer;
use Test::More;

my $server = PointsServer->create('code_race', conf => <<'END');
durable.poll_interval = 1h
durable.worker_idle_timeout = 1h
END

$server->install('postgres', 'app');

# One effect, a wait, and the output: all of them are the version.
sub deploy
{
	my ($version, $waits) = @_;
	my $wait = $waits ? "PERFORM durable.wait_for_event('go');" : '';

	$server->sql('postgres', 'app', <<"SQL");
CREATE OR REPLACE FUNCTION racing(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS \$\$
BEGIN
	PERFORM durable.call_activity('effect', '{"step": $version}');
	$wait
	PERFORM durable.call_activity('effect', '{"step": $version}');
	RETURN '$version';
END \$\$;
SQL
}

# Activities in transactions of their own, with their turns, and, where the code was seen to return, inside its await.
my $version = 0;
foreach my $inline ('off', 'always')
{
	foreach my $waits (1, 0)
	{
		$server->configure('durable.inline_activities' => $inline);
		foreach my $round (1 .. 3)
		{
			my $first = ++$version;
			my $id = "version $first";
			my $what = "activities inline: $inline, " . ($waits ? 'it waits' : 'it returns') . ", $round";

			deploy($first, $waits);
			$server->arm('turn.chosen', 'learn', 'app');
			$server->start_instance('postgres', 'app', 'racing', $id);
			$server->all_come('turn.chosen', 'app') or die 'nobody comes';
			deploy(++$version, $waits);
			$server->release;
			$server->sql('postgres', 'app', "SELECT durable.raise_event('$id', 'go')") if $waits;
			$server->ends('postgres', 'app', $id, "an orchestrator is replaced while it is called ($what)");
			is($server->sql('postgres', 'app', "SELECT output, (SELECT array_agg(step) FROM effects e WHERE e.instance_id = i.instance_id) FROM durable.instances i WHERE instance_id = '$id'"),
				"$first|{$first,$first}", 'its own code has run, and no other');
		}
	}
}

# The same where a rewind looks for what failed: with the history of the one code the
# other one would not be found to have failed in a task, and what has to be done again is not.
$server->sql('postgres', 'app', <<'SQL');
CREATE TABLE leave (instance_id text);
CREATE FUNCTION needs_leave(step int) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
	IF NOT EXISTS (SELECT FROM leave l WHERE l.instance_id = durable.instance_id()) THEN
		RAISE EXCEPTION 'not yet';
	END IF;
	RETURN effect(step);
END $$;
SQL
sub deploy_for_rewind
{
	my ($version, @calls) = @_;

	$server->sql('postgres', 'app', <<"SQL");
CREATE OR REPLACE FUNCTION racing(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS \$\$
BEGIN
	PERFORM durable.call_activity('$calls[0]', '{"step": $version}');
	PERFORM durable.call_activity('$calls[1]', '{"step": $version}');
	RETURN '$version';
END \$\$;
SQL
}
foreach my $inline ('off', 'always')
{
	$server->configure('durable.inline_activities' => $inline);
	foreach my $round (1 .. 3)
	{
		my $first = ++$version;
		my $id = "rewound $first";

		deploy_for_rewind($first, 'effect', 'needs_leave');
		$server->start_instance('postgres', 'app', 'racing', $id);
		$server->ends('postgres', 'app', $id, 'an instance fails', 'failed');
		$server->sql('postgres', 'app', "INSERT INTO leave VALUES ('$id')");
		$server->arm('turn.chosen', 'learn', 'app');
		$server->sql('postgres', 'app', "SELECT durable.rewind('$id')");
		$server->all_come('turn.chosen', 'app') or die 'nobody comes';
		deploy_for_rewind(++$version, 'needs_leave', 'effect');
		$server->release;
		$server->ends('postgres', 'app', $id, "its orchestrator is replaced while it is rewound (activities inline: $inline, $round)");
		is($server->sql('postgres', 'app', "SELECT output, (SELECT array_agg(step) FROM effects e WHERE e.instance_id = i.instance_id) FROM durable.instances i WHERE instance_id = '$id'"),
			"$first|{$first,$first}", 'its own code has found what failed, and gone on');
	}
}

$server->stop;
done_testing();
