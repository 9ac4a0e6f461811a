# Activities that share a transaction with turns and with each other must not be
# felt. Each test here shows what would be, without a rule of src/dispatch/sharing.h.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use DurableServer;
use Test::More;

my $server = DurableServer->create('sharing', conf => <<'END');
durable.poll_interval = 1h
durable.inline_activities = always
durable.orchestrator_timeout = 10min
autovacuum = off
deadlock_timeout = 100ms
END

$server->install('postgres', 'app');
$server->sql('postgres', 'app', <<'SQL');
CREATE TABLE log (seq int GENERATED ALWAYS AS IDENTITY, instance_id text DEFAULT durable.instance_id(),
	what text, txid xid8 DEFAULT pg_current_xact_id(), at timestamptz DEFAULT now());
CREATE FUNCTION note(what text) RETURNS text LANGUAGE sql AS 'INSERT INTO log (what) VALUES (what) RETURNING what';
-- {"calls": [{"name": ..., "input": ...}, ...]}: one after the other, their results as an array; a failure is its SQLSTATE.
CREATE FUNCTION sequence(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	call jsonb;
	results jsonb := '[]';
BEGIN
	FOR call IN SELECT jsonb_array_elements(input -> 'calls') LOOP
		BEGIN
			results := results || jsonb_build_array(durable.call_activity(call ->> 'name', call -> 'input'));
		EXCEPTION WHEN OTHERS THEN
			results := results || to_jsonb(SQLSTATE);
		END;
	END LOOP;
	RETURN results;
END $$;
SQL

# Starts an instance that makes these calls, each "name" or [name, input as JSON].
sub call
{
	my ($id, @calls) = @_;
	my $calls = join ', ', map { ref $_ ? qq({"name": "$_->[0]", "input": $_->[1]}) : qq({"name": "$_", "input": {}}) } @calls;

	$server->start_instance('postgres', 'app', 'sequence', $id, qq({"calls": [$calls]}));
}

sub output
{
	my ($id) = @_;

	return $server->sql('postgres', 'app', "SELECT output FROM durable.wait_for_completion('$id', timeout => '$ENV{PG_TEST_TIMEOUT_DEFAULT} s')");
}

# A test: what the calls return.
sub return_these
{
	my ($id, $expected, $what, @calls) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	call($id, @calls);
	is(output($id), $expected, $what) || $server->show_state('postgres');
}

sub transactions
{
	my ($id) = @_;

	return $server->sql('postgres', 'app', "SELECT count(DISTINCT txid) FROM log WHERE instance_id = '$id'");
}

my $note = ['note', '{"what": "x"}'];

# Tests: what the calls return, and that they share a transaction. The time for that is
# short, on a busy machine it may be over too early at the first try. Returns the id of the last.
sub share
{
	my ($id, $expected, $what, $sharing, @calls) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	foreach my $try (1 .. 100)
	{
		my $this = $try == 1 ? $id : "$id, try $try";

		return_these($this, $expected, $what, @calls);
		next unless transactions($this) eq '1';
		pass($sharing);
		return $this;
	}
	fail($sharing);
	return $id;
}

# --- they do share -------------------------------------------------------------------

my $shared = share('shared', '["x", "x", "x"]', 'three brief activities', 'are one transaction, with the turns between them', $note, $note, $note);
is($server->sql('postgres', 'app', qq{SELECT count(DISTINCT at) FROM log WHERE instance_id = '$shared'}), '3', 'in which each has its own now()');
is($server->sql('postgres', 'app', <<"SQL"), '0', 'that is not before the turn that asked for it');
SELECT count(*) FROM (SELECT at, row_number() OVER (ORDER BY seq) AS n FROM log WHERE instance_id = '$shared') l
JOIN durable.history h ON h.instance_id = '$shared' AND h.event_type = 'OrchestratorStarted' AND h.turn = l.n AND h.timestamp > l.at
SQL
is($server->sql('postgres', 'app', qq{SELECT string_agg(event_type || coalesce('->' || task_scheduled_id, ''), ' ' ORDER BY seq) FROM durable.history WHERE instance_id = '$shared'}),
	'OrchestratorStarted ExecutionStarted TaskScheduled OrchestratorCompleted'
	. join('', map { " OrchestratorStarted TaskCompleted->$_ TaskScheduled OrchestratorCompleted" } 0 .. 1)
	. ' OrchestratorStarted TaskCompleted->2 ExecutionCompleted OrchestratorCompleted',
	'the history is what it always is');

$server->sql('postgres', 'app', q{SELECT durable.register_activity('outside', 'note(text)', external => true), durable.register_activity('one_at_a_time', 'note(text)', max_concurrency => 1)});
foreach my $name ('outside', 'one_at_a_time')
{
	return_these($name, '["x", "x"]', 'activities that may not share', [$name, '{"what": "x"}'], [$name, '{"what": "x"}']);
	is(transactions($name), '2', "do not: $name");
}

# --- a failure is of one activity -------------------------------------------------------

$server->sql('postgres', 'app', <<'SQL');
CREATE FUNCTION note_and_fail() RETURNS void LANGUAGE plpgsql AS $$ BEGIN PERFORM note('failed'); RAISE EXCEPTION 'no' USING ERRCODE = 'XX123'; END $$;
CREATE TABLE parents (id int PRIMARY KEY);
CREATE TABLE children (id int REFERENCES parents DEFERRABLE INITIALLY DEFERRED);
CREATE FUNCTION orphan() RETURNS void LANGUAGE sql AS 'INSERT INTO children VALUES (1)';
CREATE SEQUENCE families START 2;
CREATE FUNCTION family() RETURNS text LANGUAGE sql AS $$ INSERT INTO children VALUES (nextval('families')); INSERT INTO parents VALUES (currval('families')); SELECT note('family') $$;
CREATE FUNCTION hurry() RETURNS void LANGUAGE plpgsql AS $$ BEGIN SET CONSTRAINTS ALL IMMEDIATE; END $$;
SQL
$shared = share('one fails', '["x", "XX123", "x"]', 'one of three fails', 'the others share a transaction', $note, 'note_and_fail', $note);
is($server->sql('postgres', 'app', qq{SELECT string_agg(what, ' ') FROM log WHERE instance_id = '$shared'}), 'x x', 'in which nothing of it is left');
share('deferred', '["x", "23503", "family", "x"]', 'a deferred constraint fails the activity that broke it, not its neighbours', 'in one transaction',
	$note, 'orphan', 'family', $note);
return_these('in a hurry', '["x", null, "family"]', 'SET CONSTRAINTS does not hurry those of the next activity', $note, 'hurry', 'family');

# --- settings and the session -------------------------------------------------------------

$server->sql('postgres', 'app', <<'SQL');
CREATE FUNCTION set_things() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM set_config('app.mark', 'leaked', false), set_config('search_path', 'pg_catalog', false), set_config('statement_timeout', '1ms', true),
		set_config('TimeZone', 'Asia/Tokyo', true), set_config('default_transaction_read_only', 'on', false);
	SET transaction_read_only = on;
END $$;
CREATE FUNCTION things() RETURNS text LANGUAGE sql AS $$
	SELECT concat_ws(' ', nullif(current_setting('app.mark', true), ''), current_setting('search_path'), current_setting('statement_timeout'),
		current_setting('TimeZone'), current_setting('transaction_read_only'), note('x'))
$$;
CREATE SEQUENCE numbers;
CREATE FUNCTION leave_things() RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	c CONSTANT refcursor := 'things';
BEGIN
	OPEN c FOR SELECT 1;
	EXECUTE 'PREPARE things AS SELECT 1';
	PERFORM nextval('numbers');
	RETURN 0;
END $$;
CREATE FUNCTION last_number() RETURNS bigint LANGUAGE sql AS 'SELECT lastval()';
SQL
share('settings', '["x", null, "app, public 0 UTC off x"]', 'what one activity sets the next one does not see', 'in one transaction', $note, 'set_things', 'things');
return_these('left', '["x", 0, 0, "55000"]', 'nor the cursors, statements and numbers it leaves', $note, 'leave_things', 'leave_things', 'last_number');

# --- what a transaction keeps ---------------------------------------------------------------

$server->sql('postgres', 'app', <<'SQL');
CREATE FUNCTION use_temp() RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
	CREATE TEMP TABLE scratch ON COMMIT DROP AS SELECT 1 AS x;
	RETURN (SELECT count(*) FROM scratch);
END $$;
CREATE FUNCTION lock_xact() RETURNS text LANGUAGE sql AS $$ SELECT note('lock') FROM pg_advisory_xact_lock(1) $$;
CREATE FUNCTION lock_session() RETURNS text LANGUAGE sql AS $$ SELECT note('lock') FROM pg_advisory_lock(2) $$;
CREATE FUNCTION locks() RETURNS bigint LANGUAGE sql AS $$ SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid() $$;
CREATE FUNCTION tell() RETURNS void LANGUAGE sql AS $$ SELECT pg_notify('news', 'same') $$;
SQL
return_these('temporary', '["x", 1, 1, "x"]', 'two activities make a temporary table of the same name', $note, 'use_temp', 'use_temp', $note);
return_these('locks', '["x", "lock", 0, "lock", 0]', 'an advisory lock is free again after its activity', $note, 'lock_xact', 'locks', 'lock_session', 'locks');
is($server->sql('postgres', 'app', q{SELECT count(*) FROM log a JOIN log b USING (txid) WHERE a.instance_id = 'locks' AND a.what = 'lock' AND a.seq <> b.seq}),
	'0', 'nothing else is in the transaction that held it');

my $listener = $server->session('postgres', 'app');
$listener->query_safe('LISTEN news');
return_these('tells', '["x", null, null]', 'two activities notify', $note, 'tell', 'tell');
is($server->notifications($listener, 'news', 2), 2,
	'two notifications arrive, though they say the same');
$listener->quit;

# --- the instance that called it ----------------------------------------------------------------

# What is sent to it, or read of it, is where it would be if each turn had been committed.
$server->sql('postgres', 'app', <<'SQL');
CREATE FUNCTION stop() RETURNS text LANGUAGE sql AS $$ SELECT durable.terminate(durable.instance_id(), 'enough'); SELECT note('stop') $$;
CREATE FUNCTION hold() RETURNS text LANGUAGE sql AS $$ SELECT durable.suspend(durable.instance_id()); SELECT note('hold') $$;
CREATE FUNCTION tell_itself() RETURNS text LANGUAGE sql AS $$ SELECT durable.raise_event(durable.instance_id(), 'news', '7'); SELECT note('told') $$;
CREATE FUNCTION hears(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	PERFORM durable.call_activity('note', '{"what": "x"}'), durable.call_activity('tell_itself', '{}');
	RETURN durable.wait_for_event('news', '0');
END $$;
CREATE FUNCTION progress() RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	seen jsonb := (SELECT custom_status FROM durable.instances WHERE instance_id = durable.instance_id());
BEGIN
	IF seen IS NULL THEN
		RAISE EXCEPTION 'it has no status yet' USING ERRCODE = 'XX124';
	END IF;
	RETURN seen;
END $$;
CREATE FUNCTION shows(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	seen jsonb := '[]';
BEGIN
	PERFORM durable.call_activity('note', '{"what": "x"}');
	FOR i IN 1 .. 3 LOOP
		PERFORM durable.set_custom_status(to_jsonb(i));
		seen := seen || durable.call_activity('progress', '{}');
	END LOOP;
	RETURN seen;
END $$;
SQL
return_these('stops', '"enough"', 'an activity terminates its instance: no further turn takes place', $note, 'stop', $note);
is($server->sql('postgres', 'app', q{SELECT string_agg(what, ' ' ORDER BY seq) FROM log WHERE instance_id = 'stops'}), 'x stop', 'nor does a further activity run');
call('is held', $note, 'hold', $note);
$server->comes_true('postgres', q{(SELECT status = 'suspended' FROM durable.instances WHERE instance_id = 'is held')}, 'an activity suspends its instance');
$server->sql('postgres', 'app', q{SELECT durable.resume('is held')});
is(output('is held'), '["x", "hold", "x"]', 'it goes on when it is resumed');
$server->start_instance('postgres', 'app', 'hears', 'hears', 'null');
is(output('hears'), '7', 'an event that an activity raises is there at the next turn');
$server->start_instance('postgres', 'app', 'shows', 'shows', 'null');
is(output('shows'), '[1, 2, 3]', 'an activity sees the status its orchestrator has set') || $server->show_state('postgres');

# --- what else belongs to a transaction --------------------------------------------------------------

$server->sql('postgres', 'app', <<'SQL');
CREATE TABLE once (id xid8 PRIMARY KEY);
CREATE FUNCTION once() RETURNS text LANGUAGE sql AS $$ INSERT INTO once VALUES (pg_current_xact_id()) RETURNING note('once') $$;
CREATE TABLE blobs AS SELECT lo_from_bytea(0, 'abc') AS id;
CREATE FUNCTION open_blob() RETURNS int LANGUAGE sql AS $$ SELECT lo_open(id, 262144) FROM blobs $$;
CREATE FUNCTION note_otherwise() RETURNS text LANGUAGE sql AS $$ SELECT note('otherwise') $$;
SELECT durable.register_activity('changing', 'open_blob()');
CREATE FUNCTION change() RETURNS void LANGUAGE sql AS $$
	SELECT durable.unregister_activity('changing');
	SELECT durable.register_activity('changing', 'note_otherwise()');
$$;
SQL
return_these('once', '["once", "once", "x"]', 'a row a transaction: activities that meet that of another one run alone', 'once', 'once', $note);
return_these('open', '[0, 0, "x"]', 'a large object that one leaves open is closed for the next one', 'open_blob', 'open_blob', $note);
return_these('changes', '[0, null, "otherwise"]', 'an activity registers another function for the next one', 'changing', 'change', 'changing');

# --- limits ---------------------------------------------------------------------------------------

$server->sql('postgres', 'app', <<'SQL');
CREATE FUNCTION dawdle() RETURNS void LANGUAGE sql AS 'SELECT pg_sleep(0.004)';
SELECT durable.register_activity('dawdle', 'dawdle()', timeout => '1 ms');
SQL
return_these('dawdles', '["x", "UD001", "x"]', 'an activity has the time it is registered with, not that of those that share', $note, 'dawdle', $note);

# A turn whose second generation is too slow for the transaction is done again: nothing that left in the first one stays.
$server->sql('postgres', 'app', <<'SQL');
CREATE FUNCTION waits(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN durable.wait_for_event('go'); END $$;
CREATE FUNCTION tells_and_dawdles(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	IF input = '2' THEN
		FOR i IN 1 .. 30000000 LOOP NULL; END LOOP;
		RETURN input;
	END IF;
	PERFORM durable.call_activity('note', '{"what": "x"}');
	PERFORM durable.send_event('hears once', 'news');
	PERFORM durable.continue_as_new('2');
	RETURN NULL;
END $$;
SQL
$server->start_instance('postgres', 'app', 'waits', 'hears once', 'null');
$server->start_instance('postgres', 'app', 'tells_and_dawdles', 'tells and dawdles', '1');
is(output('tells and dawdles'), '2', 'a turn that continues as new and then takes long');
$server->sql('postgres', 'app', q{SELECT durable.raise_event('hears once', 'go')});
output('hears once');
is($server->sql('postgres', 'app', q{SELECT count(*) FROM durable.history WHERE instance_id = 'hears once' AND event_type = 'EventRaised' AND name = 'news'}),
	'1', 'sends its event once');

# --- locks of clients -------------------------------------------------------------------------

$server->sql('postgres', 'app', <<'SQL');
CREATE TABLE accounts (id text PRIMARY KEY, balance int);
INSERT INTO accounts VALUES ('a', 0), ('b', 0);
CREATE FUNCTION book(id text) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
	UPDATE accounts SET balance = balance + 1 WHERE accounts.id = book.id;
	RETURN 1;
EXCEPTION WHEN OTHERS THEN
	RETURN -1;		-- whatever it is
END $$;
SQL
my $offset = -s $server->logfile;
my $client = $server->session('postgres', 'app');
$client->query_safe(q{BEGIN; UPDATE accounts SET balance = 10 WHERE id = 'b'});
call('books', ['book', '{"id": "a"}'], ['book', '{"id": "b"}']);
$server->wait_until('postgres', q{EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'durable worker' AND query ~ 'book#1' AND wait_event_type = 'Lock')
	AND (SELECT balance = 1 FROM app.accounts WHERE id = 'a')});
$client->query_safe(q{UPDATE accounts SET balance = balance + 10 WHERE id = 'a'; COMMIT});
is(output('books'), '[1, 1]', 'an activity that waits for a client lets go what it shared');
is($server->sql('postgres', 'app', q{SELECT string_agg(id || balance, ' ' ORDER BY id) FROM accounts}), 'a11 b11', 'and nobody was undone');
unlike($server->log_since($offset), qr/deadlock detected/, 'there was no deadlock');
$client->quit;

# What waits in the end is the writing of the turns, for the id of a child that a client is about to take.
$server->sql('postgres', 'app', <<'SQL');
CREATE FUNCTION books_and_starts(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	PERFORM durable.call_activity('book', '{"id": "a"}');
	RETURN durable.call_suborchestrator('sequence', '{"calls": []}', instance_id => 'taken');
EXCEPTION WHEN OTHERS THEN
	RETURN to_jsonb(SQLSTATE);
END $$;
UPDATE accounts SET balance = 0;
SQL
$offset = -s $server->logfile;
$client = $server->session('postgres', 'app');
$client->query_safe(q{BEGIN; SELECT durable.start_instance('waits', instance_id => 'taken')});
$server->start_instance('postgres', 'app', 'books_and_starts', 'books and starts', 'null');
$server->wait_until('postgres', q{EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'durable worker' AND wait_event_type = 'Lock')
	AND (SELECT balance = 1 FROM app.accounts WHERE id = 'a')});
$client->query_safe(q{UPDATE accounts SET balance = balance + 10 WHERE id = 'a'; COMMIT});
is(output('books and starts'), '"UD003"', 'turns that wait for a client let go what their activities hold');
is($server->sql('postgres', 'app', q{SELECT balance FROM accounts WHERE id = 'a'}), '11', 'and nobody was undone');
unlike($server->log_since($offset), qr/deadlock detected/, 'there was no deadlock');
$client->quit;

# --- a batch that cannot be committed ----------------------------------------------------------

$server->safe_psql('postgres', <<'SQL');
CREATE SEQUENCE public.failures;
GRANT USAGE ON SEQUENCE public.failures TO PUBLIC;
CREATE FUNCTION public.fail_once() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NEW.status = 'completed' AND NEW.instance_id = 'batch 3' AND nextval('public.failures') = 1 THEN
		RAISE EXCEPTION 'not now';
	END IF;
	RETURN NEW;
END $$;
CREATE TRIGGER fail_once BEFORE UPDATE ON durable_store.instances FOR EACH ROW EXECUTE FUNCTION public.fail_once();
SQL
$server->sql('postgres', 'app', q{SELECT durable.pause_hub('app')});
call("batch $_", $note, $note) foreach 1 .. 5;
$server->sql('postgres', 'app', q{SELECT durable.resume_hub('app')});
is(output("batch $_"), '["x", "x"]', "instance $_ of a batch of which one could not be written") foreach 1 .. 5;
is($server->safe_psql('postgres', q{SELECT last_value >= 2 FROM public.failures}), 't', 'it could not');
is($server->sql('postgres', 'app', q{SELECT count(*) FROM log WHERE instance_id LIKE 'batch %'}), '10', 'each activity has had its effect once');
$server->safe_psql('postgres', 'DROP FUNCTION public.fail_once() CASCADE');

# --- who crashes the server ---------------------------------------------------------------------

$server->configure('durable.max_dispatch_attempts' => 3);
$server->safe_psql('postgres', 'GRANT pg_execute_server_program TO app');
$server->sql('postgres', 'app', <<'SQL');
CREATE FUNCTION crash() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM note('crashed');
	COPY (SELECT) TO PROGRAM 'kill -9 $PPID';
END $$;
SQL
$offset = -s $server->logfile;
eval { call('crashes', $note, 'crash', $note) };		# the server may be gone before this session hears that it has started
$server->comes_true('postgres', q{(SELECT completed_at IS NOT NULL FROM durable.instances WHERE instance_id = 'crashes')}, 'an activity that crashes the server is given up');
is(output('crashes'), '["x", "UD012", "x"]', 'it is the one that fails');
# once more if it was cancelled because it held up those it shared with, and its shell came to kill all the same
like(scalar(() = $server->log_since($offset) =~ /was terminated by signal 9/g), qr/^[34]$/, 'after three attempts');
is($server->sql('postgres', 'app', q{SELECT string_agg(what, ' ') FROM log WHERE instance_id = 'crashes'}), 'x x', 'the others have had their effects once');

# --- those of the queue ----------------------------------------------------------------------------

$server->sql('postgres', 'app', <<'SQL');
-- {"width": 30, "name": ...}: so many notes at once, and among them one other activity.
CREATE FUNCTION at_once(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	tasks durable.task[];
BEGIN
	FOR i IN 1 .. (input ->> 'width')::int LOOP
		tasks := tasks || durable.schedule_activity('note', jsonb_build_object('what', i));
		IF i = 10 AND input ? 'name' THEN
			tasks := tasks || durable.schedule_activity(input ->> 'name', '{}');
		END IF;
	END LOOP;
	PERFORM durable.await_all(tasks);
	RETURN '"all"';
EXCEPTION WHEN OTHERS THEN
	RETURN to_jsonb(SQLSTATE);
END $$;
SQL
sub at_once
{
	my ($id, $expected, $what, $name) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	eval { $server->start_instance('postgres', 'app', 'at_once', $id, $name ? qq({"width": 30, "name": "$name"}) : '{"width": 30}') };
	$server->wait_until('postgres', qq{(SELECT completed_at IS NOT NULL FROM durable.instances WHERE instance_id = '$id')});
	is(output($id), $expected, $what) || $server->show_state('postgres');
	$server->wait_until('postgres', qq{NOT EXISTS (SELECT FROM durable.activities WHERE instance_id = '$id')});
	is($server->sql('postgres', 'app', "SELECT count(*) || ' ' || count(DISTINCT what) FROM log WHERE instance_id = '$id' AND what ~ '^[0-9]+\$'"),
		'30 30', 'each of the others has had its effect once');
}
# As far as there is time.
my $wide = '';
for (my $try = 1; !$wide && $try <= 100; $try++)
{
	at_once("wide $try", '"all"', 'many activities at once');
	$wide = transactions("wide $try") < 15;
}
ok($wide, 'share transactions');
at_once('wide, one fails', '"XX123"', 'one among many fails', 'note_and_fail');
at_once('wide, one notifies', '"all"', 'one among many notifies', 'tell');
at_once('wide, one locks', '"all"', 'one among many locks', 'lock_session');
is($server->sql('postgres', 'app', q{SELECT count(*) FROM log a JOIN log b USING (txid) WHERE a.instance_id = 'wide, one locks' AND a.what = 'lock' AND a.seq <> b.seq}),
	'0', 'nothing else is in the transaction that held it');
at_once('wide, one orphan', '"23503"', 'one among many breaks a deferred constraint', 'orphan');
$offset = -s $server->logfile;
at_once('wide, one crashes', '"UD012"', 'one among many crashes the server', 'crash');
like(scalar(() = $server->log_since($offset) =~ /was terminated by signal 9/g), qr/^[34]$/, 'it is the one that is given up');

# --- it can be turned off -------------------------------------------------------------------------

$server->configure('durable.inline_activities' => 'off');
$server->wait_until('postgres', q{current_setting('durable.inline_activities') = 'off'});
return_these('alone', '["x", "x"]', 'with durable.inline_activities = off', $note, $note);
is(transactions('alone'), '2', 'each activity has its transaction');

# Known to be brief by now, but for how they are.
$server->configure('durable.inline_activities' => 'on');
$server->wait_until('postgres', q{current_setting('durable.inline_activities') = 'on'});
share('brief', '["x", "x", "x"]', 'with on those that are known to be brief', 'share', $note, $note, $note);

$server->stop;
done_testing();
