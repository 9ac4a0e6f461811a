# Instances that share a transaction of a worker run with their own settings each,
# whatever those of the one before were, and whatever code has set.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use DurableServer;
use Test::More;

my $server = DurableServer->create('settings', conf => "durable.max_workers = 1\ntimezone = 'Asia/Tokyo'\ndatestyle = 'SQL, DMY'");

$server->install('postgres', 'app');
$server->sql('postgres', 'app', <<'SQL');
CREATE FUNCTION told(at timestamptz) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RETURN at::text; END $$;
CREATE FUNCTION tells_and_sets(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	told text := told((input ->> 'at')::timestamptz);
BEGIN
	IF (input ->> 'sets')::boolean THEN
		PERFORM set_config('TimeZone', 'UTC', false), set_config('DateStyle', 'ISO', true);
	END IF;
	RETURN to_jsonb(told);
END $$;
CREATE FUNCTION tells(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	first text := told((input ->> 'at')::timestamptz);
BEGIN
	PERFORM durable.wait_for_event('go');
	RETURN jsonb_build_array(first, durable.call_activity('tells_and_sets', input), told((input ->> 'at')::timestamptz));
END $$;
SQL

my @settings = (
	[ 'Asia/Tokyo', 'SQL, DMY' ],
	[ 'Europe/Berlin', 'ISO, MDY' ],
	[ 'Europe/Berlin', 'SQL, MDY' ],
	[ 'America/Lima', 'German, DMY' ]);
my @order = (0, 1, 1, 2, 0, 3, 2, 2, 3, 1, 0, 0);
my $n = 48;
$server->runs('postgres', 'app', 'first', 'an instance runs');
my $start = "SELECT durable.pause_hub('app');\n";
foreach my $i (0 .. $n - 1)
{
	my ($zone, $style) = @{ $settings[ $order[ $i % @order ] ] };
	my $sets = $i % 3 == 0 ? 'true' : 'false';

	$start .= "SET timezone = '$zone'; SET datestyle = '$style';\n"
	  . "SELECT durable.start_instance('tells', '{\"sets\": $sets, \"at\": \"2026-07-01 12:00+00\"}', instance_id => 'i$i',"
	  . " tags => jsonb_build_object('told', told('2026-07-01 12:00+00')));\n";
}
$server->sql('postgres', 'app', $start . "SELECT durable.resume_hub('app')");
$server->wait_until('postgres', q{NOT EXISTS (SELECT FROM durable.messages)});
$server->sql('postgres', 'app', q{SELECT durable.raise_event(instance_id, 'go') FROM durable.instances WHERE instance_id LIKE 'i%'});
$server->wait_until('postgres', q{NOT EXISTS (SELECT FROM durable.instances WHERE status NOT IN ('completed', 'failed'))});
is($server->sql('postgres', 'app', q{SELECT count(*) FROM durable.instances WHERE output = jsonb_build_array(tags ->> 'told', tags ->> 'told', tags ->> 'told')}), $n,
	'each instance has its own settings in its turns and its activities');
is($server->sql('postgres', 'app', q{SELECT count(DISTINCT tags ->> 'told') FROM durable.instances WHERE instance_id LIKE 'i%'}), 4, 'which differ');

done_testing();
