# Turns that follow one another inside the await (src/replay/speculation.h): where the code
# was seen to return it is tried, and nobody may be able to tell but by the transaction ids.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use DurableServer;
use Test::More;

# One worker, which lives on: what it has seen once it tries.
my $server = DurableServer->create('speculation', conf => <<'END');
durable.poll_interval = 1h
durable.worker_idle_timeout = 1h
durable.max_workers = 1
durable.inline_activities = always
autovacuum = off
END

$server->install('postgres', 'app');
$server->sql('postgres', 'app', <<'SQL');
CREATE TABLE log (seq int GENERATED ALWAYS AS IDENTITY, instance_id text DEFAULT durable.instance_id(),
	what text, txid xid8 DEFAULT pg_current_xact_id(), at timestamptz DEFAULT now());
CREATE FUNCTION note(what text) RETURNS text LANGUAGE sql AS 'INSERT INTO log (what) VALUES (what) RETURNING what';
-- {"calls": [[name, input], ...], "then": ...}: one after the other; their results as an array
CREATE FUNCTION plain(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	calls jsonb := input -> 'calls';
	results jsonb := '[]';
BEGIN
	FOR i IN 0 .. jsonb_array_length(calls) - 1 LOOP
		results := results || coalesce(durable.call_activity(calls -> i ->> 0, calls -> i -> 1), 'null');
	END LOOP;
	CASE input ->> 'then'
		WHEN 'wait' THEN
			PERFORM durable.wait_for_event('go');
		WHEN 'fail' THEN
			RAISE EXCEPTION 'the code fails' USING ERRCODE = 'XX125';
		WHEN 'catch' THEN
			BEGIN
				PERFORM durable.wait_for_event('go');
			EXCEPTION WHEN assert_failure THEN
				NULL;
			END;
		WHEN 'sleep' THEN
			PERFORM durable.sleep('1 hour');
		WHEN 'child' THEN
			results := results || (durable.call_suborchestrator('plain', '{"calls": [["note", {"what": "child"}]]}') -> 0);
		WHEN 'dawdle' THEN
			FOR i IN 1 .. 1000000000 LOOP NULL; END LOOP;
		ELSE NULL;
	END CASE;
	RETURN results;
END $$;
SQL

my $note = '["note", {"what": "x"}]';
my $notes = join ', ', ($note) x 3;

sub start
{
	my ($id, $calls, $then, $function) = @_;

	$server->start_instance('postgres', 'app', $function || 'plain', $id, sprintf('{"calls": [%s], "then": "%s"}', $calls, $then || 'return'));
}

# Status and output, or SQLSTATE, of an instance when it is over.
sub end_of
{
	my ($id) = @_;

	$server->wait_until('postgres', "(SELECT completed_at IS NOT NULL FROM durable.instances WHERE instance_id = '$id')");
	return $server->sql('postgres', 'app', "SELECT concat_ws(' ', status, output, failure ->> 'sqlstate') FROM durable.instances WHERE instance_id = '$id'");
}

# How many subtransactions its notes were written by: one for all if it was tried with success, else one each.
sub writers
{
	my ($id) = @_;

	return $server->sql('postgres', 'app', "SELECT count(DISTINCT xmin::text) FROM log WHERE instance_id = '$id'");
}

sub notes
{
	my ($id) = @_;

	return $server->sql('postgres', 'app', "SELECT string_agg(what, ' ' ORDER BY seq) FROM log WHERE instance_id = '$id'");
}

# The same function under another name, of which no worker has seen anything.
my $n_copies = 0;
sub copy_of
{
	my ($function) = @_;
	my $copy = "${function}_" . ++$n_copies;

	$server->sql('postgres', 'app', "SELECT replace(pg_get_functiondef(oid), '$function(', '$copy(') FROM pg_proc WHERE proname = '$function' AND pronamespace = 'app'::regnamespace \\gexec");
	return $copy;
}

# What shares a transaction has little time, which on a busy machine is over too early
# once in a while; then it is not tried again soon. So this is repeated, with another copy
# of a function, until the code that is given says that it was tried. Returns the copy.
sub until_tried
{
	my ($function, $was_tried) = @_;

	foreach my $try (1 .. 50)
	{
		my $copy = copy_of($function);

		return $copy if $was_tried->($copy);
	}
	$server->show_state('postgres');
	die "$function was not tried in 50 copies";
}

# A copy of the orchestrator, of which the worker has seen that it returns.
sub taught_copy
{
	my $copy = until_tried('plain', sub {
		my ($copy) = @_;

		start("$copy $_", $notes, 'return', $copy), end_of("$copy $_") foreach 1, 2;
		return writers("$copy 2") == 1;
	});
	is(writers("$copy 1") . writers("$copy 2"), '31', 'of a copy of the code the second instance is tried');
	return $copy;
}

sub history
{
	my ($id) = @_;

	return $server->sql('postgres', 'app',
		"SELECT string_agg(concat_ws(' ', seq, turn, event_type, event_id, task_scheduled_id, name, input, result), E'\\n' ORDER BY seq) FROM durable.history WHERE instance_id = '$id'");
}

# A test: what becomes of an instance that is tried and has these calls, with each note once.
sub comes_to
{
	my ($id, $expected, $what, $calls, $then, $expected_notes) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $copy = taught_copy();
	start($id, $calls, $then, $copy);
	is(end_of($id), $expected, $what) || $server->show_state('postgres');
	is(notes($id), $expected_notes || 'x x x', 'with each effect once');
}

# --- it is tried where it was seen to return ---------------------------------------------

my $plain = until_tried('plain', sub {
	my ($copy) = @_;

	start("$copy $_->[0]", $_->[1], 'return', $copy), end_of("$copy $_->[0]") foreach [ 'first', $notes ], [ 'second', $notes ], [ 'third', join(', ', ($note) x 6) ];
	return writers("$copy second") == 1 && writers("$copy third") == 1;
});
is(end_of("$plain first"), 'completed ["x", "x", "x"]', 'the first instance');
is(writers("$plain first"), '3', 'is taken turn by turn');
is(end_of("$plain second"), 'completed ["x", "x", "x"]', 'the second one');
is(writers("$plain second"), '1', 'is not');
is(history("$plain second"), history("$plain first"), 'which its history does not show');
is($server->sql('postgres', 'app', qq{SELECT count(DISTINCT at) FROM log WHERE instance_id = '$plain second'}), '3', 'each activity has its own now()');
is($server->sql('postgres', 'app', <<"SQL"), '0', 'that is not before the turn that asked for it');
SELECT count(*) FROM (SELECT at, row_number() OVER (ORDER BY seq) AS n FROM log WHERE instance_id = '$plain second') l
JOIN durable.history h ON h.instance_id = '$plain second' AND h.event_type = 'OrchestratorStarted' AND h.turn = l.n AND h.timestamp > l.at
SQL
is($server->sql('postgres', 'app', qq{SELECT fits FROM durable.check_replay('$plain second', strict => true)}), 't', 'it replays');
is(end_of("$plain third"), 'completed ["x", "x", "x", "x", "x", "x"]', 'one that goes on for longer');
is(writers("$plain third"), '1', 'is tried, too');

# --- what was tried and does not return ----------------------------------------------------

my $goes_again;
for (my $try = 1; !$goes_again && $try <= 50; $try++)
{
	my $copy = taught_copy();
	my $id = "waits $try";

	start($id, $notes, 'wait', $copy);
	$server->wait_until('postgres', qq{(SELECT waiting_for ->> 'events' = '["go"]' FROM durable.instances WHERE instance_id = '$id')});
	is(notes($id), 'x x x', 'code that comes to wait: each effect once');
	is(writers($id), '3', 'in a subtransaction of its own');
	is($server->sql('postgres', 'app', qq{SELECT fits FROM durable.check_replay('$id', strict => true)}), 't', 'what it has so far replays');
	$server->sql('postgres', 'app', qq{SELECT durable.raise_event('$id', 'go')});
	is(end_of($id), 'completed ["x", "x", "x"]', 'and goes on');
	is(notes($id), 'x x x', 'without any effect again');

	foreach my $n (1 .. 4)
	{
		start("$id, after a failure $n", $notes, 'return', $copy);
		end_of("$id, after a failure $n");
		is(writers("$id, after a failure $n"), '3', "after a failure it is not tried at once, $n");
	}
	start("$id, after a failure 5", $notes, 'return', $copy);
	end_of("$id, after a failure 5");
	$goes_again = writers("$id, after a failure 5") == 1;
}
ok($goes_again, 'but then again');

$server->sql('postgres', 'app', <<'SQL');
CREATE FUNCTION note_and_fail() RETURNS void LANGUAGE plpgsql AS $$ BEGIN PERFORM note('failed'); RAISE EXCEPTION 'no' USING ERRCODE = 'XX123'; END $$;
CREATE TABLE parents (id int PRIMARY KEY);
CREATE TABLE children (id int REFERENCES parents DEFERRABLE INITIALLY DEFERRED);
CREATE FUNCTION orphan() RETURNS void LANGUAGE sql AS 'INSERT INTO children VALUES (1)';
CREATE FUNCTION family(id int) RETURNS text LANGUAGE sql AS $$ INSERT INTO children VALUES (id); INSERT INTO parents VALUES (id); SELECT note('family') $$;
CREATE FUNCTION hurry() RETURNS void LANGUAGE plpgsql AS $$ BEGIN SET CONSTRAINTS ALL IMMEDIATE; END $$;
CREATE FUNCTION dawdle() RETURNS text LANGUAGE sql AS $$ SELECT note('dawdle') FROM pg_sleep(0.2) $$;
SQL
comes_to('fails', 'failed XX123', 'an activity that fails', qq($notes, ["note_and_fail", {}]));
comes_to('code fails', 'failed XX125', 'code that fails', $notes, 'fail');
comes_to('catches', 'failed UD008', 'code that catches what ends its turn', $notes, 'catch');
comes_to('has a child', 'completed ["x", "x", "x", "child"]', 'code that calls a sub-orchestration', $notes, 'child');
comes_to('orphan', 'failed 23503', 'a deferred constraint that is broken', qq($notes, ["orphan", {}]));
comes_to('family', 'completed ["x", "family", "x"]', 'one that is not', qq($note, ["family", {"id": 1}], $note), 'return', 'x family x');
comes_to('hurry', 'completed ["x", null, "family"]', 'SET CONSTRAINTS does not hurry those of the next activity',
	qq($note, ["hurry", {}], ["family", {"id": 2}]), 'return', 'x family');
comes_to('dawdles', 'completed ["x", "dawdle", "x"]', 'an activity that takes longer than one that shares may', qq($note, ["dawdle", {}], $note), 'return', 'x dawdle x');
$server->configure('durable.orchestrator_timeout' => '1s');
$server->wait_until('postgres', q{current_setting('durable.orchestrator_timeout') = '1s'});
comes_to('dawdles itself', 'failed 57014', 'code that exceeds its time limit', $notes, 'dawdle');
$server->configure('durable.orchestrator_timeout' => '10s');

# The redo of a turn that ran after another one of its transaction may take too long there; then it is as before
# that turn. Planning is made to take long, once for all turns; the activity makes it necessary again, and is undone.
$server->sql('postgres', 'app', <<'SQL');
CREATE FUNCTION drop_plans() RETURNS void LANGUAGE plpgsql AS 'BEGIN DISCARD PLANS; END';
CREATE FUNCTION costs(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	IF length(md5(repeat('x', 40000000))) = 0 THEN
		RETURN NULL;
	END IF;
	PERFORM durable.call_activity('note', '{"what": "x"}');
	IF input = '"teach"' THEN
		PERFORM durable.wait_for_event('go');
	END IF;
	PERFORM durable.call_activity('note', '{"what": "x"}');
	PERFORM durable.call_activity(CASE WHEN input = '"teach"' THEN 'nothing' ELSE 'drop_plans' END, '{}');
	RETURN '"done"';
END $$;
CREATE FUNCTION nothing() RETURNS void LANGUAGE sql AS '';
SQL
$server->start_instance('postgres', 'app', 'costs', 'costs less', '"teach"');
$server->wait_until('postgres', q{(SELECT waiting_for ->> 'events' = '["go"]' FROM durable.instances WHERE instance_id = 'costs less')});
$server->sql('postgres', 'app', q{SELECT durable.raise_event('costs less', 'go')});
is(end_of('costs less'), 'completed "done"', 'code that is planned once');
$server->start_instance('postgres', 'app', 'costs', 'costs more', 'null');
is(end_of('costs more'), 'completed "done"', 'a turn that is undone and takes too long when it is done again');
is(notes('costs more'), 'x x', 'with each effect once');

# A failure says of all turns it undoes that they are not to be tried: else each of them would be tried next.
$server->sql('postgres', 'app', <<'SQL');
CREATE SEQUENCE runs;
CREATE FUNCTION run() RETURNS text LANGUAGE sql AS $$ SELECT note('x') FROM nextval('runs') $$;
SQL
my $runs = join ', ', ('["run", {}]') x 6;
my $runner = taught_copy();
start("run $_", $runs, 'return', $runner), end_of("run $_") foreach 1, 2;
$server->sql('postgres', 'app', q{SELECT setval('runs', 1, false)});
start('run 3', $runs, 'sleep', $runner);
$server->wait_until('postgres', q{(SELECT count(*) = 1 FROM durable.history WHERE instance_id = 'run 3' AND event_type = 'TimerCreated')});
is($server->sql('postgres', 'app', q{SELECT last_value FROM runs}), '12', 'what comes to wait is tried once, and then done');
is(notes('run 3'), 'x x x x x x', 'with each effect once');

# An activity with subtransactions of its own: a few of them use up the ids a transaction has room for. That is
# no delay of a busy machine, after which it would be tried at every eighth instance: the 2nd, 6th and 22nd try it.
$server->sql('postgres', 'app', <<'SQL');
CREATE SEQUENCE attempts;
CREATE FUNCTION careful() RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1 .. 10 LOOP
		BEGIN
			PERFORM note('x');
		EXCEPTION WHEN division_by_zero THEN
			NULL;
		END;
	END LOOP;
	RETURN CASE WHEN durable.task_id() = 0 THEN nextval('attempts') END;
END $$;
SQL
until_tried('plain', sub {
	my ($copy) = @_;
	my $n = 50;

	$server->sql('postgres', 'app', q{SELECT setval('attempts', 1, false)});
	start("$copy $_", join(', ', ('["careful", {}]') x 8), 'return', $copy), end_of("$copy $_") foreach 1 .. $n;
	is($server->sql('postgres', 'app', "SELECT count(*) FROM log WHERE instance_id LIKE '$copy %'"), 80 * $n, 'each effect once');
	return $server->sql('postgres', 'app', 'SELECT last_value FROM attempts') == $n + 3;
});

# So does an error that may be nobody's fault: it is the activity's when it comes again.
$server->safe_psql('postgres', q{ALTER ROLE app SET temp_file_limit = 0});
$server->restart;
$server->sql('postgres', 'app', q{CREATE FUNCTION spill() RETURNS bigint LANGUAGE sql SET work_mem = '64kB' AS 'SELECT count(*) FROM generate_series(1, 10000)'});
$runner = taught_copy();
$server->sql('postgres', 'app', q{SELECT setval('runs', 1, false)});
foreach my $n (1, 2)
{
	start("spill $n", '["run", {}], ["spill", {}]', 'return', $runner);
	is(end_of("spill $n"), 'failed 53400', "an activity that exceeds a limit of the server, $n");
}
is($server->sql('postgres', 'app', q{SELECT last_value FROM runs}), '3', 'is tried once');
$server->safe_psql('postgres', q{ALTER ROLE app RESET temp_file_limit});
$server->restart;

# --- what activities leave ------------------------------------------------------------------

$server->sql('postgres', 'app', <<'SQL');
CREATE FUNCTION set_things() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM set_config('app.mark', 'leaked', false), set_config('search_path', 'pg_catalog', false), set_config('statement_timeout', '1ms', true),
		set_config('TimeZone', 'Asia/Tokyo', true), set_config('default_transaction_read_only', 'on', false);
	SET transaction_read_only = on;
END $$;
CREATE FUNCTION things() RETURNS text LANGUAGE sql AS $$
	SELECT concat_ws(' ', nullif(current_setting('app.mark', true), ''), current_setting('search_path'), current_setting('statement_timeout'),
		current_setting('TimeZone'), current_setting('transaction_read_only'), current_user, note('x'))
$$;
CREATE SEQUENCE numbers;
CREATE FUNCTION leave_things() RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	c CONSTANT refcursor := 'things';
BEGIN
	OPEN c FOR SELECT 1;
	EXECUTE 'PREPARE things AS SELECT 1';
	RETURN nextval('numbers');
END $$;
CREATE FUNCTION last_number() RETURNS bigint LANGUAGE sql AS 'SELECT lastval()';
CREATE FUNCTION use_temp() RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
	CREATE TEMP TABLE scratch ON COMMIT DROP AS SELECT 1 AS x;
	RETURN (SELECT count(*) FROM scratch);
END $$;
CREATE FUNCTION lock_xact() RETURNS text LANGUAGE sql AS $$ SELECT note('lock') FROM pg_advisory_xact_lock(1) $$;
CREATE FUNCTION lock_session() RETURNS text LANGUAGE sql AS $$ SELECT note('lock') FROM pg_advisory_lock(2) $$;
CREATE FUNCTION locks() RETURNS bigint LANGUAGE sql AS $$ SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid() $$;
CREATE FUNCTION tell() RETURNS void LANGUAGE sql AS $$ SELECT pg_notify('news', 'same') $$;
CREATE FUNCTION stop() RETURNS text LANGUAGE sql AS $$ SELECT durable.terminate(durable.instance_id(), 'enough'); SELECT note('stop') $$;
SQL
my $settings = '';
for (my $try = 1; !$settings && $try <= 50; $try++)
{
	comes_to("settings $try", 'completed ["x", null, "app, public 0 UTC off app x"]', 'what one activity sets the next one does not see',
		qq($note, ["set_things", {}], ["things", {}]), 'return', 'x x');
	$settings = writers("settings $try") == 1;
}
ok($settings, 'it was tried');
comes_to('left', 'failed 55000', 'nor the cursors, statements and numbers it leaves', qq($notes, ["leave_things", {}], ["leave_things", {}], ["last_number", {}]));
comes_to('temporary', 'completed ["x", 1, 1, "x", "x"]', 'two activities make a temporary table of the same name', qq($note, ["use_temp", {}], ["use_temp", {}], $note, $note));
comes_to('locks', 'completed ["x", "lock", 0, "lock", 0]', 'an advisory lock is free again after its activity',
	qq($note, ["lock_xact", {}], ["locks", {}], ["lock_session", {}], ["locks", {}]), 'return', 'x lock lock');
my $listener = $server->session('postgres', 'app');
$listener->query_safe('LISTEN news');
comes_to('tells', 'completed ["x", null, null, "x", "x"]', 'two activities notify', qq($note, ["tell", {}], ["tell", {}], $note, $note));
is($server->notifications($listener, 'news', 2), 2,
	'two notifications arrive, though they say the same');
$listener->quit;
comes_to('stops', 'terminated "enough"', 'an activity terminates its instance', qq($note, ["stop", {}], $note), 'return', 'x stop');

# --- code it is not tried in ------------------------------------------------------------------

# It is taught by an orchestrator that says what happens to it, and then has to be the same.
sub is_taken_turn_by_turn
{
	my ($function, $expected, $what) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	foreach my $n (1 .. 3)
	{
		start("$function $n", $notes, 'return', $function);
		is(end_of("$function $n"), "completed $expected", "$what, $n");
	}
	is(writers("$function 3"), '3', 'each activity by itself');
}
$server->sql('postgres', 'app', <<'SQL');
CREATE FUNCTION handles(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	RETURN plain(input);
EXCEPTION WHEN division_by_zero THEN
	RETURN '"caught"';
END $$;
CREATE FUNCTION loops(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	call jsonb;
	results jsonb := '[]';
BEGIN
	FOR call IN SELECT jsonb_array_elements(input -> 'calls') LOOP
		results := results || durable.call_activity(call ->> 0, call -> 1);
	END LOOP;
	RETURN results;
END $$;
CREATE FUNCTION sets(input jsonb) RETURNS jsonb LANGUAGE plpgsql SET statement_timeout = '1h' AS $$
BEGIN
	RETURN jsonb_build_array(durable.call_activity('things'), durable.call_activity('things'), durable.call_activity('things'));
END $$;
CREATE FUNCTION defines(input jsonb) RETURNS jsonb LANGUAGE plpgsql SECURITY DEFINER AS 'BEGIN RETURN plain(input); END';
SQL
is_taken_turn_by_turn('handles', '["x", "x", "x"]', 'an EXCEPTION block');
is_taken_turn_by_turn('loops', '["x", "x", "x"]', 'a loop over a query');
is_taken_turn_by_turn('sets', '["app, public 0 UTC off app x", "app, public 0 UTC off app x", "app, public 0 UTC off app x"]', 'a SET clause');
is_taken_turn_by_turn('defines', '["x", "x", "x"]', 'a SECURITY DEFINER function');
$server->sql('postgres', 'app', q{ALTER ROLE app IN DATABASE postgres SET durable.orchestrator_checks = 'off'});
$server->restart;
is_taken_turn_by_turn('plain', '["x", "x", "x"]', 'code that is not checked');
$server->sql('postgres', 'app', q{ALTER ROLE app IN DATABASE postgres RESET ALL});
$server->restart;

# --- what the code itself leaves ----------------------------------------------------------------

$server->sql('postgres', 'app', <<'SQL');
CREATE FUNCTION opens(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	c CURSOR FOR SELECT generate_series(1, 3);
	n int;
BEGIN
	IF input = '1' THEN
		PERFORM durable.call_activity('note', '{"what": "x"}');
		PERFORM durable.call_activity('note', '{"what": "x"}');
	END IF;
	c := 'the cursor';
	OPEN c;
	FETCH c INTO n;
	IF input = '1' THEN
		PERFORM durable.continue_as_new('2');
	END IF;
	RETURN input;
END $$;
CREATE FUNCTION relax() RETURNS void LANGUAGE sql SET durable.orchestrator_checks = 'off' AS $$ SELECT pg_notify('news', 'relaxed') $$;
CREATE FUNCTION relaxes_first(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS 'BEGIN PERFORM relax(); RETURN plain(input); END';
CREATE FUNCTION relaxes_last(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS 'DECLARE result jsonb := plain(input); BEGIN PERFORM relax(); RETURN result; END';
SQL
foreach my $n (1 .. 3)
{
	$server->start_instance('postgres', 'app', 'opens', "opens $n", '1');
	is(end_of("opens $n"), 'completed 2', "a cursor left open does not outlive its generation, $n");
}
is(writers('opens 2'), '1', 'also when it was tried');
$listener = $server->session('postgres', 'app');
$listener->query_safe('LISTEN news');
is_taken_turn_by_turn('relaxes_first', '["x", "x", "x"]', 'a helper that turns the checks off, before');
is_taken_turn_by_turn('relaxes_last', '["x", "x", "x"]', 'and after the activities');
$listener->query_safe('SELECT 1');
unlike($listener->query(q{SELECT 1}), qr/relaxed/, 'what it does is undone');
$listener->quit;

# --- what the code sees -----------------------------------------------------------------------

$server->sql('postgres', 'app', <<'SQL');
CREATE FUNCTION chance() RETURNS float8 LANGUAGE sql AS $f$ SELECT note('x') IS NULL; SELECT random() $f$;
CREATE FUNCTION sees(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	seen jsonb := jsonb_build_array(jsonb_build_array(now(), random()));
BEGIN
	FOR i IN 1 .. 3 LOOP
		PERFORM durable.set_custom_status(to_jsonb(i));
		seen := seen || jsonb_build_array(jsonb_build_array(durable.call_activity('chance', '{}'), now(), random()));
		PERFORM durable.log_message(format('message %s of %s', i, durable.instance_id()));
	END LOOP;
	RETURN seen;
END $$;
SQL
my $offset = -s $server->logfile;
my $sees = until_tried('sees', sub {
	my ($copy) = @_;

	$server->start_instance('postgres', 'app', $copy, "$copy $_", 'null'), end_of("$copy $_") foreach 1, 2;
	return writers("$copy 2") == 1;
});
like(end_of("$sees 2"), qr/^completed/, 'an orchestrator that looks around');
is(writers("$sees 1") . writers("$sees 2"), '31', 'turn by turn and not');
foreach my $id ("$sees 1", "$sees 2")
{
	is($server->sql('postgres', 'app', qq{SELECT fits FROM durable.check_replay('$id', strict => true)}), 't', "$id replays");
	is($server->sql('postgres', 'app', <<"SQL"), 't', 'now() is the time of each turn');
SELECT (SELECT array_agg((v ->> CASE WHEN n = 1 THEN 0 ELSE 1 END)::timestamptz ORDER BY n) FROM jsonb_array_elements(output) WITH ORDINALITY o(v, n)) =
	(SELECT array_agg(timestamp ORDER BY seq) FROM durable.history h WHERE h.instance_id = i.instance_id AND event_type = 'OrchestratorStarted')
FROM durable.instances i WHERE instance_id = '$id'
SQL
	is($server->sql('postgres', 'app', qq{SELECT custom_status FROM durable.instances WHERE instance_id = '$id'}), '3', 'its status is the last one');
	is(scalar(() = $server->log_since($offset) =~ /message \d of $id/g), 3, 'each message is said once');
}
is($server->sql('postgres', 'app', qq{SELECT count(DISTINCT v) FROM durable.instances, jsonb_path_query(output, '\$[1 to 3][0, 2]') v WHERE instance_id IN ('$sees 1', '$sees 2')}), '12',
	'random numbers of orchestrators and activities all differ');
# Messages of what is undone are not written, those of what is done again once.
$server->sql('postgres', 'app', <<'SQL');
CREATE FUNCTION talks(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1 .. 3 LOOP
		PERFORM durable.log_message(format('message %s of %s', i, durable.instance_id()));
		PERFORM durable.call_activity('note', '{"what": "x"}');
	END LOOP;
	IF input = 'true' THEN
		PERFORM durable.sleep('1 hour');
	END IF;
	RETURN NULL;
END $$;
SQL
foreach my $n (1, 2)
{
	$server->start_instance('postgres', 'app', 'talks', "talks $n", 'null');
	end_of("talks $n");
}
is(writers('talks 2'), '1', 'an orchestrator that talks is tried');
$offset = -s $server->logfile;
$server->start_instance('postgres', 'app', 'talks', 'talks on', 'true');
$server->wait_until('postgres', q{(SELECT count(*) = 1 FROM durable.history WHERE instance_id = 'talks on' AND event_type = 'TimerCreated')});
is(join(' ', $server->log_since($offset) =~ /message (\d) of talks on/g), '1 2 3', 'what it says is written once, though it was done again');
like($server->log_since($offset), qr/message 3 of talks on\n.*DETAIL: .*talks on.*\n.*CONTEXT: .*\n.*talks\(jsonb\) line 4/, 'with where it said it');
# What the code gets by chance is the same if it is replayed by another function of the same text.
$server->sql('postgres', 'app', <<'SQL');
CREATE FUNCTION passes(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1 .. 3 LOOP
		PERFORM durable.call_activity('note', jsonb_build_object('what', random()::text || now()::text));
	END LOOP;
	RETURN NULL;
END $$;
SQL
my $passes = until_tried('passes', sub {
	my ($copy) = @_;

	$server->start_instance('postgres', 'app', $copy, "$copy $_", 'null'), end_of("$copy $_") foreach 1, 2;
	return writers("$copy 2") == 1;
});
foreach my $n (1, 2)
{
	is(end_of("$passes $n"), 'completed', 'an orchestrator that passes on random numbers and times');
	is(writers("$passes $n"), $n == 1 ? '3' : '1', $n == 1 ? 'turn by turn' : 'and not');
	is($server->sql('postgres', 'app', qq{SELECT fits FROM durable.check_replay('$passes $n', strict => true)}), 't', 'it replays, inputs and all');
}

# --- more than one at a time ---------------------------------------------------------------------

$server->sql('postgres', 'app', <<'SQL');
CREATE FUNCTION at_once(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	tasks durable.task[];
BEGIN
	FOR i IN 1 .. (input ->> 'width')::int LOOP
		tasks := tasks || durable.schedule_activity('note', jsonb_build_object('what', i));
	END LOOP;
	PERFORM durable.await_any(tasks);
	RETURN to_jsonb(array_length(durable.await_all(tasks), 1));
END $$;
CREATE FUNCTION counts(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	PERFORM durable.call_activity('note', jsonb_build_object('what', input));
	IF input::int < 50 THEN
		PERFORM durable.continue_as_new(to_jsonb(input::int + 1));
	END IF;
	RETURN input;
END $$;
-- The first time within the await, and then again by itself.
CREATE SEQUENCE tries;
CREATE FUNCTION fails_twice() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	IF nextval('tries') < 3 THEN
		RAISE EXCEPTION 'not yet';
	END IF;
	RETURN note('at last');
END $$;
CREATE FUNCTION insists(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	RETURN durable.call_activity(input ->> 'name', CASE WHEN input ->> 'name' = 'note' THEN '{"what": "x"}' ELSE '{}' END::jsonb, retry => durable.retry_policy(max_attempts => 5, first_interval => '1 ms'));
END $$;
SQL
# How long a note takes must be known, and be little.
my $at_once = until_tried('at_once', sub {
	my ($copy) = @_;

	foreach my $n (1 .. 3)
	{
		$server->start_instance('postgres', 'app', $copy, "$copy $n", '{"width": 40}');
		is(end_of("$copy $n"), 'completed 40', 'a fan-out');
		is($server->sql('postgres', 'app', "SELECT count(*) || ' ' || count(DISTINCT what) FROM log WHERE instance_id = '$copy $n'"), '40 40', 'each has had its effect once');
		return 1 if writers("$copy $n") == 1;
	}
	return 0;
});
pass('all by one subtransaction, when it was seen to return');
$server->start_instance('postgres', 'app', 'counts', 'counts', '1');
is(end_of('counts'), 'completed 50', 'fifty generations');
is(notes('counts'), join(' ', 1 .. 50), 'each with its effect once');
my $insists = until_tried('insists', sub {
	my ($copy) = @_;

	$server->start_instance('postgres', 'app', $copy, "$copy $_", '{"name": "note"}'), end_of("$copy $_") foreach 1, 2;
	return writers("$copy 2") == 1;
});
is(end_of("$insists $_"), 'completed "x"', 'an activity with a retry policy, which is tried') foreach 1, 2;
$server->start_instance('postgres', 'app', $insists, 'insists', '{"name": "fails_twice"}');
is(end_of('insists'), 'completed "at last"', 'an activity that is retried');
is(notes('insists'), 'at last', 'with one effect');

$server->stop;
done_testing();
