# An orchestrator that is replaced between the look whether it is still the code of an
# instance, and its call: the code of the instance runs, or its copy.

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
			$server->arm('turn.chosen', 'pause', 'app');
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

$server->stop;
done_testing();
