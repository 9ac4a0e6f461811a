# Failover: workers run only where writes are allowed; a promoted standby goes on
# where the primary was; what a client was told is not lost with a synchronous
# standby; and what an asynchronous one has not got is lost whole, the effects
# with the record of them.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use DurableServer;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes;

my $primary = DurableServer->create('primary', init => { allows_streaming => 1 }, conf => <<'END');
durable.poll_interval = 1h
wal_log_hints = on
wal_keep_size = 256MB
wal_receiver_timeout = 5s
END
my $standby = DurableServer->new('standby');

$primary->install('postgres', 'app');
$primary->sql('postgres', 'app', <<'SQL');
CREATE TABLE orders (id text);
-- A walk, a timer, an event and a sub-orchestration: {"steps": 3}.
CREATE FUNCTION journey(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	PERFORM durable.call_activity('effect', '{"step": 1}');
	PERFORM durable.sleep('50 ms');
	PERFORM durable.call_suborchestrator('rest', NULL, durable.instance_id() || '/rest');
	PERFORM durable.call_activity('effect', '{"step": 2}');
	PERFORM durable.wait_for_event('go', '1 s');
	RETURN durable.call_activity('effect', '{"step": 3}');
EXCEPTION WHEN SQLSTATE 'UD006' THEN
	RETURN durable.call_activity('effect', '{"step": 3}');
END $$;
CREATE FUNCTION rest(input jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT durable.call_activity('same', '7') $$;
CREATE FUNCTION same(jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT $1';
SQL
$primary->backup('base');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->start;
$primary->wait_for_catchup($standby);

my $processes = q{SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'durable %'};

# --- the standby ------------------------------------------------------------------

$primary->runs('postgres', 'app', 'first', 'the primary works');
$primary->wait_for_catchup($standby);
is($standby->safe_psql('postgres', $processes), '0', 'a standby has no process of durable');
is($standby->sql('postgres', 'app', q{SELECT status FROM durable.instances WHERE instance_id = 'first'}), 'completed', 'its views can be read');
my (undef, undef, $stderr) = $standby->try_sql('postgres', 'app', "\\set VERBOSITY verbose\nSELECT durable.start_instance('walk')");
like($stderr, qr/ERROR:  25006/, 'nothing can be started there');
(undef, undef, $stderr) = $standby->try_sql('postgres', 'app', "\\set VERBOSITY verbose\nSELECT durable.run_until_idle()");
like($stderr, qr/ERROR:  25006/, 'nor run');

# --- what a client is told waits for the synchronous standby --------------------------

sub synchronous
{
	my ($primary, $name) = @_;

	$primary->configure(synchronous_standby_names => $name);
	$primary->wait_until('postgres', "current_setting('synchronous_standby_names') = '$name'");
}

synchronous($primary, 'standby');
$standby->stop;
$primary->sql('postgres', 'app', q{SET synchronous_commit = local; SELECT durable.start_instance('walk', '{"steps": 2}', instance_id => 'alone')});
$primary->comes_true('postgres', q{(SELECT status = 'completed' FROM durable.instances WHERE instance_id = 'alone')},
	'while the synchronous standby is away workers go on');
my $session = $primary->session('postgres', 'app');
$session->{stdin} .= "SELECT status FROM durable.wait_for_completion('alone');\n";
$session->{run}->pump_nb;
$primary->comes_true('postgres', q{EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND query ~ 'wait_for_completion')},
	'but wait_for_completion() tells nobody of it');
is($session->{stdout}, '', 'really not');
$standby->start;
is($session->query_until(qr/completed\n/, ''), "completed\n", 'until the standby has it');
$session->quit;

# --- promotion in mid-flight -----------------------------------------------------------

# A client that starts and waits, over and over, and what it is told; another starts many.
sub begin_client
{
	my ($server, $tag) = @_;
	my $client = $server->session('postgres', 'app');

	$client->{stdin} .= join '', map { <<"SQL" } 1 .. 400;
BEGIN; INSERT INTO orders VALUES ('$tag $_'); SELECT durable.start_instance('journey', '{"steps": 3}', instance_id => '$tag $_') \\g /dev/null
COMMIT;
SELECT 'started $tag $_';
SELECT durable.raise_event('$tag $_', 'go');
SELECT status || ' ' || instance_id FROM durable.wait_for_completion('$tag $_', timeout => '60 s');
SQL
	$client->{run}->pump_nb;
	return $client;
}

sub what_client_was_told
{
	my ($client) = @_;

	eval { $client->{run}->finish; };
	return split /\n/, $client->{stdout};
}

# Lets work be under way: some instances have completed, some activity waits at the gate, some timers are set.
sub be_busy
{
	my ($server, $tag) = @_;
	my @clients = map { begin_client($server, "$tag client $_") } 1 .. 2;

	$server->sql('postgres', 'app', <<"SQL");
SELECT durable.start_instance(CASE i % 4 WHEN 0 THEN 'walk_through_gate' WHEN 1 THEN 'walk' ELSE 'journey' END, '{"steps": 3, "gate": 1}', instance_id => '$tag ' || i)
FROM generate_series(1, 60) i
SQL
	my $done = 0;
	foreach my $i (1 .. 10 * $ENV{PG_TEST_TIMEOUT_DEFAULT})
	{
		$_->{run}->pump_nb foreach @clients;
		$done = $server->safe_psql('postgres', <<"SQL");
SELECT count(*) FILTER (WHERE instance_id LIKE '$tag client%' AND status = 'completed' AND parent_instance_id IS NULL) > 6
	AND EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND objid = 1 AND NOT granted) FROM durable.instances
SQL
		last if $done eq 't';
		Time::HiRes::usleep(50_000);
	}
	is($done, 't', 'work is under way');
	return @clients;
}

my $gate = $primary->close_gate('postgres', 1);
my @clients = be_busy($primary, 'sync');
$primary->stop('immediate');
$gate->quit;
my @told = map { what_client_was_told($_) } @clients;
my @started = map { /^started (.*)/ ? $1 : () } @told;
my @completed = map { /^completed (.*)/ ? $1 : () } @told;
cmp_ok(scalar @completed, '>=', 4, 'clients were told of starts and ends before the primary died');
is(scalar(grep { !/^(started|completed) |^$/ } @told), 0, 'and of nothing else');

$standby->promote;
$standby->comes_true('postgres', DurableServer::count_is('worker', 1) . ' OR ' . DurableServer::count_is('launcher', 1), 'workers come to the promoted standby');
my $list = join ', ', map { "('$_')" } @completed;
is($standby->sql('postgres', 'app', <<"SQL"), '', 'what wait_for_completion() said is so there');
SELECT v.id FROM (VALUES $list) v (id) LEFT JOIN durable.instances i ON i.instance_id = v.id WHERE i.status IS DISTINCT FROM 'completed'
SQL
$list = join ', ', map { "('$_')" } @started;
is($standby->sql('postgres', 'app', <<"SQL"), '', 'what was started is there');
SELECT v.id FROM (VALUES $list) v (id) LEFT JOIN durable.instances i ON i.instance_id = v.id WHERE i.instance_id IS NULL
SQL
$standby->comes_true('postgres', q{NOT EXISTS (SELECT FROM durable.instances WHERE completed_at IS NULL)}, 'and all of it ends');
my $mine = q{(instance_id LIKE 'sync%' AND instance_id NOT LIKE '%/rest')};
$standby->effects_are_exact('postgres', 'app', 3, $mine, 'each activity has had its effect once');
is($standby->sql('postgres', 'app', q{SELECT count(*) FROM durable.messages}), '0', 'no message is left');
is($standby->sql('postgres', 'app', <<"SQL"), '', 'rows of a client and the instances it started with them are there together');
SELECT coalesce(o.id, i.instance_id) FROM orders o FULL JOIN (SELECT instance_id FROM durable.instances WHERE instance_id LIKE 'sync client%' AND instance_id NOT LIKE '%/rest') i ON i.instance_id = o.id
WHERE o.id IS NULL OR i.instance_id IS NULL
SQL
$standby->runs('postgres', 'app', 'after promotion', 'new work runs');

# --- the old primary comes back ---------------------------------------------------------------

# Before the rewind it has transactions of its own that nobody else has.
$standby->safe_psql('postgres', 'CHECKPOINT');
command_ok([ 'pg_rewind', '--target-pgdata', $primary->data_dir, '--source-server', $standby->connstr('postgres'), '--config-file', $primary->data_dir . '/postgresql.conf' ],
	'pg_rewind, which recovers the old primary first in single-user mode');
$primary->append_conf('postgresql.conf', "port = " . $primary->port . "\nsynchronous_standby_names = ''");
$primary->enable_streaming($standby);
$primary->set_standby_mode;
$primary->start;
$standby->start_instance('postgres', 'app', 'wait_for_go', 'on the new primary');
$standby->wait_until('postgres', q{(SELECT waiting_for ? 'events' FROM durable.instances WHERE instance_id = 'on the new primary')});
$standby->wait_for_catchup($primary, 'replay', $standby->lsn('insert'));		# workers commit asynchronously
is($primary->sql('postgres', 'app', q{SELECT status FROM durable.instances WHERE instance_id = 'on the new primary'}), 'running', 'the old primary follows the new one');
is($primary->safe_psql('postgres', $processes), '0', 'and runs nothing');
$standby->sql('postgres', 'app', q{SELECT durable.raise_event('on the new primary', 'go')});
$standby->ends('postgres', 'app', 'on the new primary', 'the new primary does');

# --- asynchronous: what is lost is lost whole ---------------------------------------------------

# Now "standby" is the primary, and the other way round; the follower stops
# before the end of the story, and never hears the rest.
my ($new, $follower) = ($standby, $primary);
$new->start_instance('postgres', 'app', 'wait_for_go', 'begun');
$new->wait_until('postgres', q{(SELECT waiting_for ? 'events' FROM durable.instances WHERE instance_id = 'begun')});
$new->wait_for_catchup($follower, 'replay', $new->lsn('insert'));
$follower->stop;
$new->sql('postgres', 'app', q{SELECT durable.raise_event('begun', 'go', '"first"')});
$new->ends('postgres', 'app', 'begun', 'it completes where the follower does not see it');
$new->runs('postgres', 'app', 'unheard of', 'so does one that it has never heard of');
is($new->sql('postgres', 'app', q{SELECT count(*) FROM effects WHERE instance_id IN ('begun', 'unheard of')}), '3', 'with their effects');
$new->stop('immediate');
$follower->start;
$follower->promote;
is($follower->sql('postgres', 'app', q{SELECT count(*) FROM effects WHERE instance_id IN ('begun', 'unheard of')}), '0', 'both effects are lost with an asynchronous standby');
is($follower->sql('postgres', 'app', q{SELECT string_agg(instance_id || ' ' || status, ',') FROM durable.instances WHERE instance_id IN ('begun', 'unheard of')}), 'begun running',
	'and so are the records of them: one waits again for its event, the other was never started');
$follower->sql('postgres', 'app', q{SELECT durable.raise_event('begun', 'go', '"second"')});
$follower->ends('postgres', 'app', 'begun', 'it goes on with the event that is raised again');
is($follower->sql('postgres', 'app', q{SELECT output::text FROM durable.instances WHERE instance_id = 'begun'}), '"second"', 'and knows nothing of the one that was lost');
is($follower->sql('postgres', 'app', q{SELECT count(*) FROM effects WHERE instance_id = 'begun'}), '1', 'its effect is there once');

# A cut in the midst of much work, at whatever place it comes.
$follower->backup('again');
my $last = DurableServer->new('last');
$last->init_from_backup($follower, 'again', has_streaming => 1);
$last->start;
$follower->wait_for_catchup($last);
$gate = $follower->close_gate('postgres', 1);
@clients = be_busy($follower, 'async');
$last->stop('immediate');
$follower->stop('immediate');
$gate->quit;
what_client_was_told($_) foreach @clients;
$last->start;
$last->promote;
is($last->sql('postgres', 'app', <<'SQL'), '', 'rows of a client and the instances it started with them are there together, or not at all');
SELECT coalesce(o.id, i.instance_id) FROM (SELECT id FROM orders WHERE id LIKE 'async%') o
FULL JOIN (SELECT instance_id FROM durable.instances WHERE instance_id LIKE 'async client%' AND instance_id NOT LIKE '%/rest') i ON i.instance_id = o.id
WHERE o.id IS NULL OR i.instance_id IS NULL
SQL
$last->comes_true('postgres', q{NOT EXISTS (SELECT FROM durable.instances WHERE completed_at IS NULL)}, 'what is there ends');
$last->effects_are_exact('postgres', 'app', 3, q{instance_id LIKE 'async%' AND instance_id NOT LIKE '%/rest'}, 'each activity has had its effect once');
is($last->sql('postgres', 'app', q{SELECT count(*) FROM effects e WHERE NOT EXISTS (SELECT FROM durable.instances i WHERE i.instance_id = e.instance_id)}), '0', 'and no effect is there without its instance');

$last->stop;
done_testing();
