# Wide fan-outs with real workers: brief activities share rows of the queue and
# transactions, their instance rests while they run. Whatever dies, fails or
# comes meanwhile, each activity has its effect once, and nobody waits in vain.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use DurableServer;
use Test::More;

my $server = DurableServer->create('wide', conf => <<'END');
durable.poll_interval = 1h
durable.inline_activities = always
durable.max_dispatch_attempts = 3
END

$server->install('postgres', 'app');

# Activities stop at gates: rows of a table, which stay closed when the server crashes.
$server->sql('postgres', 'app', <<'SQL');
CREATE TABLE gates (instance_id text, n int);
CREATE TABLE done (seq int GENERATED ALWAYS AS IDENTITY, instance_id text DEFAULT durable.instance_id(), n int, task_id int DEFAULT durable.task_id());
CREATE FUNCTION act(n int) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
	WHILE EXISTS (SELECT FROM gates g WHERE g.instance_id = durable.instance_id() AND g.n = act.n) LOOP
		PERFORM pg_sleep(0.005);
	END LOOP;
	INSERT INTO done (n) VALUES (act.n);
	RETURN act.n;
END $$;
-- {"width": 100, "name": "act"}: their results, a failure is its SQLSTATE. They are awaited one by one in their order.
CREATE FUNCTION fan(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	tasks durable.task[];
	results jsonb[];
	task durable.task;
BEGIN
	FOR n IN 0 .. (input ->> 'width')::int - 1 LOOP
		tasks := tasks || durable.schedule_activity(coalesce(input ->> 'name', 'act'), jsonb_build_object('n', n));
	END LOOP;
	FOREACH task IN ARRAY tasks LOOP
		BEGIN
			results := results || durable.await(task);
		EXCEPTION WHEN OTHERS THEN
			results := results || to_jsonb(SQLSTATE);
		END;
	END LOOP;
	RETURN to_jsonb(results);
END $$;
SQL

sub start_fan
{
	my ($id, $width, $name, @gates) = @_;

	$server->sql('postgres', 'app', "INSERT INTO gates VALUES ('$id', $_)") foreach @gates;
	$server->start_instance('postgres', 'app', 'fan', $id, qq({"width": $width, "name": "$name"}));
}

sub open_gate
{
	my ($id, $n) = @_;

	$server->sql('postgres', 'app', "DELETE FROM gates WHERE instance_id = '$id' AND n = $n");
}

# A test: each of these activities had its effect once, and the results are theirs; those that fail have none.
sub is_done_once
{
	my ($id, $width, $what, %failed) = @_;
	my $failed = join(', ', map { "($_, '$failed{$_}')" } sort keys %failed) || '(NULL::int, NULL)';

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$server->ends('postgres', 'app', $id, "$what: it completes");
	is($server->sql('postgres', 'app', <<"SQL"), '', "$what: each has its effect once, and its own result");
SELECT n, d.times, i.output -> n FROM generate_series(0, $width - 1) n
JOIN durable.instances i ON i.instance_id = '$id'
LEFT JOIN (VALUES $failed) f (n, sqlstate) USING (n)
CROSS JOIN LATERAL (SELECT count(*) AS times FROM done d WHERE d.instance_id = '$id' AND d.n = n.n) d
WHERE d.times <> CASE WHEN f.sqlstate IS NULL THEN 1 ELSE 0 END OR i.output -> n IS DISTINCT FROM coalesce(to_jsonb(f.sqlstate), to_jsonb(n))
SQL
	is($server->sql('postgres', 'app', "SELECT count(*) FROM durable.activities WHERE instance_id = '$id'"), '0', "$what: none is left in the queue");
}

# The worker that has this activity in hand: sometimes with others, in the end alone, for it takes long.
sub worker_with
{
	my ($id, $n) = @_;
	my $pid = '';

	$pid = $server->safe_psql('postgres', "SELECT pid FROM durable.workers WHERE item ~ 'act#$n\\M' AND item ~ '\\m$id\\M' LIMIT 1") while $pid eq '';
	return $pid;
}

# --- killed again and again ------------------------------------------------------------------

my @gates = map { 350 * $_ + 60 } 0 .. 7;

start_fan('killed', 3000, 'act', @gates);
foreach my $n (@gates)
{
	my $pid = worker_with('killed', $n);

	if ($n % 700 == 60)
	{
		$server->crash($pid);
	}
	else
	{
		$server->safe_psql('postgres', "SELECT pg_terminate_backend($pid, 60000)");
	}
	open_gate('killed', $n);
}
is_done_once('killed', 3000, 'workers are killed eight times');

# --- one that fails, or whose process dies, among those of a row ------------------------------------

$server->sql('postgres', 'app', <<'SQL');
CREATE TABLE parents (n int PRIMARY KEY);
CREATE TABLE children (n int REFERENCES parents DEFERRABLE INITIALLY DEFERRED);
CREATE FUNCTION orphan(n int) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
	IF n % 50 = 33 THEN
		INSERT INTO children VALUES (n);
	END IF;
	RETURN act(n);
END $$;
SQL
start_fan('orphans', 200, 'orphan');
is_done_once('orphans', 200, 'some fail when they commit', map { $_ => '23503' } 33, 83, 133, 183);

# What they have together does not commit, whoever is to blame: then each runs alone.
$server->safe_psql('postgres', <<'SQL');
CREATE FUNCTION app.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'refused'; END $$;
CREATE TRIGGER refuse BEFORE INSERT ON durable_store.inbox FOR EACH ROW
	WHEN (NEW.more IS NOT NULL AND NEW.instance_id = 'refused') EXECUTE FUNCTION app.refuse();
SQL
start_fan('refused', 200, 'act');
is_done_once('refused', 200, 'answers that share a message are refused');
$server->safe_psql('postgres', 'DROP TRIGGER refuse ON durable_store.inbox');

# A crash takes with it what the others of its transaction did; it alone is tried alone, and fails at last.
$server->safe_psql('postgres', <<'SQL');
CREATE FUNCTION app.crash() RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
	COPY (SELECT) TO PROGRAM 'kill -9 $PPID';
	PERFORM pg_sleep(600);
END $$;
SQL
$server->sql('postgres', 'app', <<'SQL');
CREATE FUNCTION crashes(n int) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
	IF n = 60 THEN
		PERFORM crash();
	END IF;
	RETURN act(n);
END $$;
SQL
start_fan('crashes', 200, 'crashes');
$server->wait_until('postgres', q{EXISTS (SELECT FROM durable.instances WHERE instance_id = 'crashes' AND status = 'completed')});
is_done_once('crashes', 200, 'the process of one dies', 60 => 'UD012');

# --- an instance that rests -----------------------------------------------------------------------

# Its turns take long, and one activity stays in the queue: so it rests after each of them. Unchecked, for it burns time.
$server->sql('postgres', 'app', <<'SQL');
CREATE FUNCTION rests(input jsonb) RETURNS jsonb LANGUAGE plpgsql SET durable.orchestrator_checks = off AS $$
DECLARE
	stays durable.task := durable.schedule_activity('act', '{"n": 0}');
	n int := 0;
	event jsonb;
BEGIN
	LOOP
		FOR i IN 1 .. coalesce((input ->> 'burns')::int, 100000) LOOP
			n := n + 1;
		END LOOP;
		event := durable.wait_for_event('go');
		PERFORM durable.set_custom_status(event);
		EXIT WHEN event = '"end"';
	END LOOP;
	RETURN durable.await(stays);
END $$;
-- The first of many to answer, and what comes of it.
CREATE FUNCTION any_of(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	tasks durable.task[];
	first int;
BEGIN
	FOR n IN 0 .. (input ->> 'width')::int - 1 LOOP
		tasks := tasks || durable.schedule_activity('act', jsonb_build_object('n', n));
	END LOOP;
	PERFORM durable.await_any(tasks);
	PERFORM durable.call_activity('act', '{"n": -1}');
	RETURN cardinality(durable.await_all(tasks));
END $$;
SQL

sub event_arrives
{
	my ($id, $data, $what) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$server->sql('postgres', 'app', "SELECT durable.raise_event('$id', 'go', '$data')");
	$server->comes_true('postgres', "EXISTS (SELECT FROM durable.instances WHERE instance_id = '$id' AND custom_status = '$data')", $what);
}

foreach my $idle_timeout ('100ms', '1min')
{
	my $id = "rests $idle_timeout";
	my $queued = "(SELECT count(*) FROM durable.activities WHERE instance_id LIKE '$id%')";

	$server->configure('durable.worker_idle_timeout' => $idle_timeout);
	$server->sql('postgres', 'app', "INSERT INTO gates VALUES ('$id', 0), ('$id, terminated', 0)");
	$server->start_instance('postgres', 'app', 'rests', $id);
	$server->start_instance('postgres', 'app', 'rests', "$id, terminated");
	$server->wait_until('postgres', "$queued = 2");
	event_arrives($id, $_, "an event reaches an instance that rests ($_, idle timeout $idle_timeout)") foreach 1 .. 5;
	event_arrives("$id, terminated", 1, 'another one');
	$server->sql('postgres', 'app', "SELECT durable.terminate('$id, terminated')");
	$server->ends('postgres', 'app', "$id, terminated", 'so does a termination', 'terminated');
	is($server->sql('postgres', 'app', "SELECT $queued"), '2', 'while its activity is in the queue');
	event_arrives($id, '"end"', 'the last event');
	$server->sql('postgres', 'app', "DELETE FROM gates WHERE instance_id LIKE '$id%'");
	$server->ends('postgres', 'app', $id, 'the activity ends, and the instance');
}

# What is no answer does not wait for the end of the rest, four times as long as the turn.
$server->sql('postgres', 'app', q{INSERT INTO gates VALUES ('burns', 0)});
$server->start_instance('postgres', 'app', 'rests', 'burns', '{"burns": 10000000}');
$server->wait_until('postgres', q{EXISTS (SELECT FROM durable.activities WHERE instance_id = 'burns')});
event_arrives('burns', $_, "$_ for an instance that rests long") foreach 1 .. 3;
is($server->sql('postgres', 'app', <<'SQL'), 't', 'at least one of these events had its turn within the rest');
SELECT count(*) > 0 FROM (SELECT turn, min("timestamp") AS began, lag(min("timestamp")) OVER turns AS began_before, lag(max("timestamp")) OVER turns AS ended_before
	FROM durable.history WHERE instance_id = 'burns' AND event_type IN ('OrchestratorStarted', 'OrchestratorCompleted')
	GROUP BY turn WINDOW turns AS (ORDER BY turn)) t
WHERE began < ended_before + 4 * (ended_before - began_before)
SQL
$server->sql('postgres', 'app', q{DELETE FROM gates WHERE instance_id = 'burns'; SELECT durable.terminate('burns')});
$server->ends('postgres', 'app', 'burns', 'nor does a termination', 'terminated');
$server->comes_true('postgres', q{NOT EXISTS (SELECT FROM durable.messages WHERE instance_id = 'burns')}, 'and nothing comes after it');

# All but one of a fan-out have answered, and the code goes on after the first.
$server->sql('postgres', 'app', q{INSERT INTO gates VALUES ('any', 700)});
$server->start_instance('postgres', 'app', 'any_of', 'any', '{"width": 2000}');
$server->comes_true('postgres', q{EXISTS (SELECT FROM app.done WHERE instance_id = 'any' AND n = -1)}, 'code that awaits any goes on, although one has not answered');
open_gate('any', 700);
$server->ends('postgres', 'app', 'any', 'and completes');
is($server->sql('postgres', 'app', q{SELECT count(*) || ' ' || count(DISTINCT n) FROM done WHERE instance_id = 'any'}), '2001 2001', 'each once');

# --- cancelled while a row of it is in hand -----------------------------------------------------------

start_fan('cancelled', 500, 'act', 30, 40);
my $pid = worker_with('cancelled', 30);
$server->sql('postgres', 'app', q{SELECT durable.terminate('cancelled', cancel_running => true)});
$server->comes_true('postgres', q{NOT EXISTS (SELECT FROM durable.activities WHERE instance_id = 'cancelled')}, 'cancelled: nothing of it is left in the queue');
$server->ends('postgres', 'app', 'cancelled', 'it is terminated', 'terminated');
is($server->sql('postgres', 'app', q{SELECT count(*) FROM (SELECT FROM done WHERE instance_id = 'cancelled' GROUP BY n HAVING count(*) > 1) x}), '0', 'no effect is doubled');

is($server->sql('postgres', 'app', 'SELECT count(*) FROM durable.messages'), '0', 'no message is left');
$server->stop;
done_testing();
