# Children that have their turns in the transaction of their parent's turn: it
# must not be felt. What a parent and its children leave behind is what they
# leave when each is started and fetched by itself; and what stops a start, or
# a turn, stops these.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use DurableServer;
use Test::More;

my $server = DurableServer->create('begun_children', conf => <<'END');
durable.poll_interval = 1h
durable.inline_activities = always
durable.batch_time = 10s
durable.max_dispatch_attempts = 3
autovacuum = off
END

$server->install('postgres', 'app');
$server->sql('postgres', 'app', <<'SQL');
CREATE TABLE log (instance_id text DEFAULT durable.instance_id(), what text, txid xid8 DEFAULT pg_current_xact_id());
CREATE FUNCTION note(what text) RETURNS text LANGUAGE sql AS 'INSERT INTO log (what) VALUES (what) RETURNING what';
CREATE FUNCTION noted(what text) RETURNS text LANGUAGE sql AS $$ SELECT durable.call_activity('note', jsonb_build_object('what', what)) #>> '{}' $$;

CREATE FUNCTION echo(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN PERFORM noted('echo'); RETURN input; END $$;
CREATE FUNCTION refuse(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = 'XX123'; END $$;
CREATE FUNCTION wait_for_word(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN PERFORM noted('waits'); RETURN durable.wait_for_event('word'); END $$;
CREATE FUNCTION count_down(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	IF input = '0' THEN
		RETURN '0';
	END IF;
	RETURN to_jsonb(1 + durable.call_suborchestrator('count_down', to_jsonb(input::int - 1))::int);
END $$;
CREATE FUNCTION go_on(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	IF input = '3' THEN
		RETURN input;
	END IF;
	PERFORM durable.continue_as_new(to_jsonb(input::int + 1));
	RETURN NULL;
END $$;
CREATE FUNCTION take_time(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	n bigint := 0;
BEGIN
	FOR i IN 1 .. 3000000 LOOP
		n := n + i % 7;
	END LOOP;
	RETURN to_jsonb(n);
END $$;
-- {"children": [[name, input], ...]}: all at once, their results as an array; a failure is its SQLSTATE.
CREATE FUNCTION family(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	child jsonb;
	tasks durable.task[];
	results jsonb := '[]';
BEGIN
	PERFORM CASE WHEN input ? 'note' THEN noted('parent') END;
	FOR child IN SELECT jsonb_array_elements(input -> 'children') LOOP
		tasks := tasks || durable.schedule_suborchestrator(child ->> 0, child -> 1, child ->> 2);
	END LOOP;
	FOR i IN 1 .. cardinality(tasks) LOOP
		BEGIN
			results := results || jsonb_build_array(durable.await(tasks[i]));
		EXCEPTION WHEN OTHERS THEN
			results := results || to_jsonb(SQLSTATE);
		END;
	END LOOP;
	RETURN results;
END $$;
CREATE VIEW with_family AS
	WITH RECURSIVE f AS (SELECT instance_id AS root, instance_id FROM durable.instances WHERE parent_instance_id IS NULL
		UNION ALL SELECT f.root, i.instance_id FROM f JOIN durable.instances i ON i.parent_instance_id = f.instance_id)
	SELECT * FROM f;
SQL

sub begin_family
{
	my ($id, @children) = @_;
	my $children = join ', ', map { "[$_]" } @children;

	$server->start_instance('postgres', 'app', 'family', $id, $id eq 'crashes' ? qq({"children": [$children]}) : qq({"note": true, "children": [$children]}));
}

sub output
{
	my ($id) = @_;

	return $server->sql('postgres', 'app', "SELECT output FROM durable.wait_for_completion('$id', timeout => '$ENV{PG_TEST_TIMEOUT_DEFAULT} s')");
}

# A test: what the children return.
sub return_these
{
	my ($id, $expected, $what, @children) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	begin_family($id, @children);
	is(output($id), $expected, $what) || $server->show_state('postgres');
}

# How many transactions the family has had.
sub transactions
{
	my ($id) = @_;

	return $server->sql('postgres', 'app', "SELECT count(DISTINCT xmin::text) FROM durable_rows WHERE root = '$id'");
}

$server->safe_psql('postgres', <<'SQL');
CREATE VIEW app.durable_rows AS SELECT f.root, i.instance_id, i.xmin, i.function, i.trace_parent, i.settings, i.turn FROM app.with_family f JOIN durable_store.instances i USING (instance_id);
GRANT SELECT ON app.durable_rows TO app;
SQL

# All that is seen of a family, without ids and times.
sub seen_of
{
	my ($id) = @_;

	return $server->sql('postgres', 'app', <<"SQL");
WITH numbered AS (SELECT instance_id, CASE WHEN instance_id = root THEN 'root' ELSE regexp_replace(instance_id, '.*:', 'child:') END AS name
	FROM with_family WHERE root = '$id')
SELECT n.name, i.name, i.version, i.status, i.input, i.output, i.failure - 'stackTrace', i.custom_status, i.tags, i.generation, i.waiting_for, i.code, r.function, r.trace_parent, r.settings, r.turn > 0,
	i.parent_instance_id IS NULL, i.completed_at IS NULL, i.scheduled_start_at,
	i.created_at <= i.updated_at, i.updated_at >= i.completed_at
FROM numbered n JOIN durable.instances i USING (instance_id) JOIN durable_rows r USING (instance_id) WHERE r.root = '$id' ORDER BY 1;
WITH numbered AS (SELECT instance_id, CASE WHEN instance_id = root THEN 'root' ELSE regexp_replace(instance_id, '.*:', 'child:') END AS name
	FROM with_family WHERE root = '$id')
SELECT n.name, string_agg(concat_ws('/', h.seq, h.turn, h.event_type, h.name, h.task_scheduled_id, h.input, h.result), ' ' ORDER BY h.seq)
FROM numbered n JOIN durable.history h USING (instance_id) GROUP BY 1 ORDER BY 1;
SELECT count(*) FROM durable.messages m JOIN with_family f USING (instance_id) WHERE root = '$id';
SQL
}

# --- what they leave behind -----------------------------------------------------------------

my @children = ('"echo", 1', '"refuse", 2', '"go_on", 1', '"wait_for_word", null', '"no_such", 1', '"echo", {"a": [1]}');
my $results = '[1, "XX123", 3, "said", "42883", {"a": [1]}]';

foreach my $way ('always', 'off')
{
	$server->configure('durable.inline_activities' => $way);
	begin_family("family, $way", @children);
	$server->comes_true('postgres', qq{(SELECT count(*) = 1 FROM durable.instances WHERE name = 'wait_for_word' AND waiting_for -> 'events' ? 'word')},
		"$way: a child waits for an event");
	$server->sql('postgres', 'app', q{SELECT durable.raise_event(instance_id, 'word', '"said"') FROM durable.instances WHERE name = 'wait_for_word' AND status = 'running'});
	is(output("family, $way"), $results, "$way: children that end, fail, continue as new, wait, and do not exist");
}
$server->configure('durable.inline_activities' => 'always');

my %seen = map { my $seen = seen_of("family, $_"); $seen =~ s/family, \w+/family/g; $_ => $seen } 'always', 'off';

like($seen{always}, qr/SubOrchestrationInstanceFailed/, 'the histories are there');
# In one transaction answers come together: turns and their numbers differ, and the order of answers.
foreach my $way (keys %seen)
{
	$seen{$way} =~ s{\d+/\d+/Orchestrator(?:Started|Completed) ?}{}g;
	$seen{$way} =~ s{(^|[| ])\d+/\d+/}{$1}g;
	$seen{$way} = join "\n", map { join ' ', sort split / / } split /\n/, $seen{$way};
}
is($seen{always}, $seen{off}, 'what is seen of a family is the same whether children begin with their parents or not');

# --- they do begin there ------------------------------------------------------------------------

return_these('three', '[1, 2, 3]', 'three children', '"echo", 1', '"echo", 2', '"echo", 3');
is(transactions('three'), '1', 'are one transaction, with the turns of their parent');
is($server->sql('postgres', 'app', q{SELECT count(*), count(DISTINCT txid) FROM log JOIN with_family USING (instance_id) WHERE root = 'three'}), '4|1', 'so are their activities');
is($server->sql('postgres', 'app', q{SELECT max(turn) FROM durable.history WHERE instance_id = 'three'}), '3', 'whose answers come in one turn');

$server->start_instance('postgres', 'app', 'count_down', 'generations', '30');
is(output('generations'), '30', 'children of children');
is(transactions('generations'), '1', 'are one transaction');

return_these('chosen id', '[1, 2]', 'a child whose id was chosen', '"echo", 1', '"echo", 2, "chosen"');
is(transactions('chosen id'), '1', 'begins with its parent');
return_these('chosen again', '[3]', 'a child that has the id of a finished one', '"echo", 3, "chosen"');
is($server->sql('postgres', 'app', q{SELECT generation, output, parent_instance_id FROM durable.instances WHERE instance_id = 'chosen'}), '2|3|chosen again', 'replaces that');
$server->sql('postgres', 'app', <<'SQL');
CREATE FUNCTION one_after_the_other(input jsonb) RETURNS jsonb LANGUAGE sql AS
$$ SELECT jsonb_build_array(durable.call_suborchestrator('echo', '2', instance_id => 'again'), durable.call_suborchestrator('echo', '4', instance_id => 'again')) $$;
SQL
$server->start_instance('postgres', 'app', 'one_after_the_other', 'one after the other');
is(output('one after the other'), '[2, 4]', 'also if that has begun with the same parent');
is($server->sql('postgres', 'app', q{SELECT generation, output, (SELECT count(*) FROM log l WHERE l.instance_id = i.instance_id) FROM durable.instances i WHERE instance_id = 'again'}), '2|4|2', 'each has its effects');
is($server->sql('postgres', 'app', q{SELECT count(DISTINCT created_at) FROM durable.instances WHERE parent_instance_id = 'three'}), '1', 'children of one turn are created at one time');
$server->start_instance('postgres', 'app', 'wait_for_word', 'alive');
return_these('alive again', '[1, "UD003"]', 'a child that has the id of one that runs fails', '"echo", 1', '"echo", 3, "alive"');
return_these('twice', '[1, "UD003"]', 'so does the second of two', '"echo", 1, "twins"', '"echo", 2, "twins"');

$server->sql('postgres', 'app', <<'SQL');
CREATE FUNCTION one_after_another(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	RETURN jsonb_build_array(durable.call_suborchestrator('echo', '1', 'one id'), durable.call_suborchestrator('echo', '2', 'one id'));
END $$;
SQL
$server->start_instance('postgres', 'app', 'one_after_another', 'one after another');
is(output('one after another'), '[1, 2]', 'an id is used again by the next turn of the same transaction') || $server->show_state('postgres');
is($server->sql('postgres', 'app', q{SELECT generation, output FROM durable.instances WHERE instance_id = 'one id'}), '2|2', 'which replaces the child that ended in it');

# --- the order of what arrives ---------------------------------------------------------------------

$server->sql('postgres', 'app', <<'SQL');
CREATE FUNCTION tell(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	PERFORM durable.send_event(input ->> 'whom', 'news', '1');
	RETURN '"told"';
END $$;
CREATE FUNCTION let_tell(input jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT durable.call_suborchestrator('tell', input) $$;
CREATE FUNCTION hear(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	news durable.task := durable.expect_event('news');
	child durable.task := durable.schedule_suborchestrator(input #>> '{}', jsonb_build_object('whom', durable.instance_id()));
	answer jsonb := durable.await(child);
BEGIN
	RETURN jsonb_build_array(answer, durable.await_any(news, child) = news);
END $$;
SQL
foreach my $child ('tell', 'let_tell')
{
	$server->start_instance('postgres', 'app', 'hear', "hears $child", qq("$child"));
	is(output("hears $child"), '["told", true]', "what a child sends its parent arrives before its answer: $child");
}

begin_family('slow', '"take_time", null', '"echo", 1');
like(output('slow'), qr/^\[\d+, 1\]$/, 'a child that takes long');
cmp_ok(transactions('slow'), '>', 1, 'does not hold up its parent');

# --- what does not let them ------------------------------------------------------------------------

$server->safe_psql('postgres', q{SELECT durable.set_hub_limits('app', max_starts_per_second => 1000)});
return_these('limited', '[1, 2]', 'where starts are limited', '"echo", 1', '"echo", 2');
cmp_ok(transactions('limited'), '>', 1, 'children are started');
$server->safe_psql('postgres', q{SELECT durable.set_hub_limits('app')});

# The id of a child can be known before if its parent's execution is.
$server->sql('postgres', 'app', q{SELECT durable.pause_hub('app')});
begin_family('robbed', '"echo", 1', '"echo", 2');
my $taken = $server->sql('postgres', 'app', q{SELECT durable.start_instance('wait_for_word', instance_id => execution_id || ':2') FROM durable.instances WHERE instance_id = 'robbed'});
$server->sql('postgres', 'app', q{SELECT durable.resume_hub('app')});
is(output('robbed'), '[1, "UD003"]', 'an id that is taken fails the child');
is($server->sql('postgres', 'app', "SELECT name, parent_instance_id IS NULL FROM durable.instances WHERE instance_id = '$taken'"), 'wait_for_word|t', 'and leaves whoever has it');
is($server->sql('postgres', 'app', q{SELECT count(*) FROM log WHERE instance_id = 'robbed'}), '1', 'all has its effect once');

$server->sql('postgres', 'app', <<'SQL');
SELECT durable.register_orchestrator('versioned', 'app.echo(jsonb)', '1.0'), durable.register_orchestrator('versioned', 'app.echo(jsonb)', '2.0');
CREATE FUNCTION older_child(input jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT durable.call_suborchestrator('versioned', input, version => '1.0') $$;
SELECT durable.register_orchestrator('older_child', 'app.older_child(jsonb)', '2.0'), durable.set_hub_versioning('app', '2.0', 'strict', 'reject');
SELECT durable.start_instance('older_child', '7', instance_id => 'older child', version => '2.0');
SQL
$server->comes_true('postgres', q{(SELECT count(*) = 1 FROM durable.instances WHERE name = 'versioned' AND status = 'pending')}, 'a child of a version that the hub does not run waits');
is($server->sql('postgres', 'app', q{SELECT count(*) FROM log JOIN with_family USING (instance_id) WHERE root = 'older child'}), '0', 'and its code does not run');
$server->sql('postgres', 'app', q{SELECT durable.set_hub_versioning('app')});
is(output('older child'), '7', 'until the hub does');

# --- termination reaches them -----------------------------------------------------------------------

begin_family('terminated', '"wait_for_word", 1', '"wait_for_word", 2');
$server->wait_until('postgres', q{(SELECT count(*) = 2 FROM durable.instances WHERE name = 'wait_for_word' AND instance_id IN (SELECT instance_id FROM app.with_family WHERE root = 'terminated') AND waiting_for -> 'events' ? 'word')});
$server->sql('postgres', 'app', q{SELECT durable.terminate('terminated')});
$server->comes_true('postgres', q{(SELECT count(*) = 3 FROM durable.instances WHERE status = 'terminated')}, 'a recursive termination reaches children that began with their parent');

# --- who crashes the server ---------------------------------------------------------------------------

$server->safe_psql('postgres', 'GRANT pg_execute_server_program TO app');
$server->sql('postgres', 'app', <<'SQL');
CREATE FUNCTION crash() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM note('crashed');
	COPY (SELECT) TO PROGRAM 'kill -9 $PPID';
END $$;
CREATE FUNCTION crash_in_child(input jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT durable.call_activity('crash') $$;
SQL
my $offset = -s $server->logfile;
begin_family('crashes', '"echo", 1', '"crash_in_child", 2');
$server->comes_true('postgres', q{(SELECT completed_at IS NOT NULL FROM durable.instances WHERE instance_id = 'crashes')}, 'a child that crashes the server does not do so for ever');
is(output('crashes'), '[1, "UD012"]', 'it is the one that fails');
is(scalar(() = $server->log_since($offset) =~ /was terminated by signal 9/g), 4, 'after three attempts of its own, and one in the hands of its parent');
is($server->sql('postgres', 'app', q{SELECT string_agg(what, ' ' ORDER BY what) FROM log JOIN with_family USING (instance_id) WHERE root = 'crashes'}), 'echo', 'the other has had its effect once');

$server->stop;
done_testing();
