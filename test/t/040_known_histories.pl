# A worker remembers the histories of instances that wait, and believes that only
# as long as nobody else has written to them.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use DurableServer;
use Test::More;

my $server = DurableServer->create('known_histories', conf => <<'END');
durable.max_workers = 1
durable.worker_idle_timeout = 1h
END

$server->install('postgres', 'app');
$server->sql('postgres', 'app', <<'SQL');
CREATE TABLE broken ();
CREATE FUNCTION checked(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	IF EXISTS (SELECT FROM broken) THEN
		RAISE 'broken';
	END IF;
	RETURN input;
END $$;
CREATE FUNCTION collects(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	collected jsonb := coalesce(input, '[]');
	event jsonb;
BEGIN
	FOR i IN 1 .. 3 LOOP
		event := durable.wait_for_event('go');
		IF event = '"again"' THEN
			PERFORM durable.continue_as_new(collected || event);
			RETURN NULL;
		ELSIF event = '"check"' THEN
			event := durable.call_activity('checked', event);
		END IF;
		collected := collected || event;
	END LOOP;
	RETURN collected;
END $$;
SQL

# Those that wait have taken all that was raised.
sub wait_until_taken
{
	$server->wait_until('postgres', q{NOT EXISTS (SELECT FROM durable.messages)});
}

sub start
{
	my ($id, $more) = @_;

	$server->sql('postgres', 'app', "SELECT durable.start_instance('collects', instance_id => '$id'" . ($more // '') . ')');
	wait_until_taken();
}

sub raise_events
{
	my ($id, @events) = @_;

	foreach (@events)
	{
		$server->sql('postgres', 'app', "SELECT durable.raise_event('$id', 'go', '$_')");
		wait_until_taken();
	}
}

sub output
{
	my ($id) = @_;

	return $server->sql('postgres', 'app', "SELECT concat_ws(' ', status, output, failure ->> 'errorMessage') FROM durable.wait_for_completion('$id')");
}

sub worker
{
	return $server->safe_psql('postgres', q{SELECT string_agg(pid::text, ' ') FROM durable.workers WHERE kind = 'worker'});
}

# --- what is remembered is not read ------------------------------------------------------

start($_) foreach 'known', 'touched';
my $worker = worker();
raise_events($_, 1) foreach 'known', 'touched';
$server->safe_psql('postgres', q{UPDATE durable_store.history SET payload = '"changed"' WHERE event_type = 15});
$server->safe_psql('postgres', q{UPDATE durable_store.instances SET updated_at = updated_at WHERE instance_id = 'touched'});
raise_events($_, 2, 3) foreach 'known', 'touched';
is(output('known'), 'completed [1, 2, 3]', 'a worker goes on with what it has written itself');
is(output('touched'), 'completed ["changed", 2, 3]', 'it reads what there is once somebody has written to the instance');

# --- others who write ---------------------------------------------------------------------

# A session has the second turn, while the worker is away.
start('driven');
raise_events('driven', 1);
$server->sql('postgres', 'app', q{SELECT durable.pause_hub('app')});
$server->sql('postgres', 'app', q{SELECT durable.raise_event('driven', 'go', '2')});
my $session = $server->session('postgres', 'app');
$session->query_safe($_) foreach 'BEGIN', q{SELECT durable.resume_hub('app')}, 'SELECT durable.run_until_idle()', 'COMMIT';
raise_events('driven', 3);
is(output('driven'), 'completed [1, 2, 3]', 'a turn that another process had is seen');

start('replaced');
raise_events('replaced', 1, 2);
start('replaced', q{, replace_statuses => '{running,terminated}'});
raise_events('replaced', 4, 5, 6);
is(output('replaced'), 'completed [4, 5, 6]', 'an instance that replaces another one has a history of its own');

start('purged');
raise_events('purged', 1);
$server->sql('postgres', 'app', $_) foreach q{SELECT durable.terminate('purged')}, q{SELECT status FROM durable.wait_for_completion('purged')},
	q{SELECT durable.purge('purged')};
start('purged');
raise_events('purged', 4, 5, 6);
is(output('purged'), 'completed [4, 5, 6]', 'so has one that has the id of one that was purged');

start('again');
raise_events('again', 1, '"again"', 3, '"again"', 4, 5, 6);
is(output('again'), 'completed [1, "again", 3, "again", 4, 5, 6]', 'and each generation');

start('rewound');
raise_events('rewound', 1);
$server->sql('postgres', 'app', q{INSERT INTO broken DEFAULT VALUES});
raise_events('rewound', '"check"');
is(output('rewound'), 'failed broken', 'one fails');
$server->sql('postgres', 'app', $_) foreach 'DELETE FROM broken', q{SELECT durable.rewind('rewound')};
wait_until_taken();
raise_events('rewound', 3);
is(output('rewound'), 'completed [1, "check", 3]', 'one that was rewound goes on with the history that is left');
is(worker(), $worker, 'all of that was one worker');

# --- several workers ------------------------------------------------------------------------

$server->safe_psql('postgres', $_) foreach 'ALTER SYSTEM SET durable.max_workers = 3', 'SELECT pg_reload_conf()';
$server->sql('postgres', 'app', <<'SQL');
CREATE FUNCTION collects_many(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	collected jsonb := '[]';
BEGIN
	FOR i IN 1 .. 30 LOOP
		collected := collected || durable.wait_for_event('go');
	END LOOP;
	RETURN collected;
END $$;
SELECT count(durable.start_instance('collects_many', instance_id => 'many' || g)) FROM generate_series(1, 200) g;
SQL
$server->sql('postgres', 'app', "SELECT count(durable.raise_event('many' || g, 'go', '$_')) FROM generate_series(1, 200) g") foreach 1 .. 30;
$server->wait_until('postgres', q{NOT EXISTS (SELECT FROM durable.instances WHERE status NOT IN ('completed', 'failed', 'terminated'))});
is($server->sql('postgres', 'app', q{SELECT count(*) FROM durable.instances WHERE instance_id LIKE 'many%' AND output = (SELECT jsonb_agg(g) FROM generate_series(1, 30) g)}),
	200, 'workers by turns: each instance has had all its events, in order');

done_testing();
