# Roles change while their hubs have work: the hub waits, says why, and goes on
# when the cause is gone. Nothing crashes, and nobody inherits a name.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use DurableServer;
use PostgreSQL::Test::Utils;
use Test::More;

my $server = DurableServer->create('roles', conf => <<'END');
durable.poll_interval = 1s
durable.worker_idle_timeout = 0
END
my $major = $server->safe_psql('postgres', q{SELECT current_setting('server_version_num')::int / 10000});

$server->install('postgres', 'app', 'other');

sub waits
{
	my ($hub, $why, $what) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return $server->comes_true('postgres',
		"(SELECT state || ': ' || item FROM durable.workers WHERE task_hub = '$hub' AND pid IS NULL) LIKE 'not served: $why'", $what)
	  && is($server->safe_psql('postgres', "SELECT state FROM durable.queues WHERE task_hub = '$hub'"), 'not served', "$what, says its queue");
}

sub is_well
{
	my ($hub, $what) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return $server->comes_true('postgres', "(SELECT state FROM durable.queues WHERE task_hub = '$hub') = 'open'", $what);
}

# --- a role that may not connect ----------------------------------------------------------

my $offset = -s $server->logfile;
my @bars = (
	[ 'no CONNECT', 'REVOKE CONNECT ON DATABASE postgres FROM PUBLIC', 'GRANT CONNECT ON DATABASE postgres TO PUBLIC', '%CONNECT%' ]);
unshift @bars, [ 'no LOGIN', 'ALTER ROLE app NOLOGIN', 'ALTER ROLE app LOGIN', '%not permitted to log in%' ] if $major < 17;

foreach my $bar (@bars)
{
	my ($name, $lower, $raise, $why) = @$bar;

	$server->comes_true('postgres', DurableServer::count_is('worker', 0), "$name: no worker is left from before");
	$server->safe_psql('postgres', $lower);
	$server->safe_psql('postgres', <<"SQL");
SET ROLE app;
SET search_path = app;
SELECT durable.start_instance('walk', '{"steps": 2}', instance_id => '$name');
SQL
	waits('app', $why, "$name: the hub waits");
	$server->safe_psql('postgres', $raise);
	$server->ends('postgres', 'app', $name, "$name: it goes on when the cause is gone");
	is_well('app', "$name: and is well");
}
my $log = $server->log_since($offset);
is(scalar(() = $log =~ /task hub "app" of role "app" in database "postgres" is not being served/g), scalar(@bars),
	'the log says it once an episode');

# --- limits that are not for background workers ---------------------------------------------

$server->safe_psql('postgres', q{ALTER ROLE app CONNECTION LIMIT 0 VALID UNTIL '2020-01-01'});
$server->safe_psql('postgres', q{SET ROLE app; SET search_path = app; SELECT durable.start_instance('walk', '{"steps": 2}', instance_id => 'limited')});
$server->comes_true('postgres', q{(SELECT status FROM durable.instances WHERE instance_id = 'limited') = 'completed'},
	'a connection limit and an expired password do not concern workers');
$server->safe_psql('postgres', q{ALTER ROLE app CONNECTION LIMIT -1 VALID UNTIL 'infinity'});

# --- renamed ------------------------------------------------------------------------------------

my $gate = $server->close_gate('postgres', 1);
$server->start_instance('postgres', 'app', 'walk_through_gate', 'renamed', '{"gate": 1}');
$server->wait_until('postgres', DurableServer::at_gate(1, 1));
$server->safe_psql('postgres', 'ALTER ROLE app RENAME TO application');
$gate->quit;
$server->ends('postgres', 'application', 'renamed', 'an instance goes on when its owner is renamed');
is($server->safe_psql('postgres', q{SELECT owner FROM durable.queues WHERE task_hub = 'app'}), 'application', 'the hub keeps its name and its owner');
$server->safe_psql('postgres', 'ALTER ROLE application RENAME TO app');

# --- dropped, and made again ----------------------------------------------------------------------

$server->start_instance('postgres', 'other', 'wait_for_go', 'orphan');
$server->start_instance('postgres', 'other', 'wait_for_timer', 'due', '{"delay": "1 h"}');
$server->wait_until('postgres', q{(SELECT count(*) FROM durable.instances WHERE task_hub = 'other' AND status = 'running') = 2});
$server->comes_true('postgres', DurableServer::count_is('worker', 0), 'the worker has left');
$server->safe_psql('postgres', q{ALTER SCHEMA other OWNER TO app; REASSIGN OWNED BY other TO app; DROP OWNED BY other; DROP ROLE other});
$server->safe_psql('postgres', q{UPDATE durable_store.inbox SET visible_at = clock_timestamp() WHERE event_type = 11 AND task_hub = 'other'});		# the hour is over
waits('other', '%does not exist any more%', 'the hub of a dropped role waits');
$server->safe_psql('postgres', q{CREATE ROLE other LOGIN; SELECT durable.grant_usage('other'); GRANT USAGE ON SCHEMA other TO other});
is($server->sql('postgres', 'other', 'SELECT count(*) FROM durable.instances'), '0', 'a role made again under the name sees nothing of it');
my ($code, $stdout, $stderr) = $server->try_sql('postgres', 'other', q{SELECT durable.raise_event('orphan', 'go', task_hub => 'other')});
like($stderr, qr/permission denied for task hub "other"/, 'and may not send to it');
($code, $stdout, $stderr) = $server->try_sql('postgres', 'other', q{SELECT durable.start_instance('other.walk', '{"steps": 1}')});
like($stderr, qr/a hub of that name belongs to another role/, 'nor make a hub of its own of that name');
($code, $stdout, $stderr) = $server->try_sql('postgres', 'other', q{SELECT durable.reassign_hub('other', 'other')});
like($stderr, qr/permission denied for task hub "other"/, 'nor take it');
is($server->safe_psql('postgres', q{SELECT status FROM durable.instances WHERE instance_id = 'due'}), 'running', 'nothing of it has run');

# --- given to another role -----------------------------------------------------------------------

($code, $stdout, $stderr) = $server->try_sql('postgres', 'app', q{SELECT durable.reassign_hub('app', 'other')});
like($stderr, qr/must be able to act for role "other"/, 'nobody gives a hub to a role he cannot act for');
$server->safe_psql('postgres', q{SELECT durable.reassign_hub('other', 'app')});
$server->ends('postgres', 'app', q{due', task_hub => 'other}, 'a hub given to another role goes on')
  or diag('as app');
is($server->safe_psql('postgres', q{SELECT DISTINCT session_user_was FROM other.effects WHERE instance_id = 'due'}), 'app', 'as its new owner');
is_well('other', 'and is well');
is($server->sql('postgres', 'app', q{SELECT durable.start_instance('app.walk', '{"steps": 1}', instance_id => 'default'); SELECT task_hub FROM durable.instances WHERE instance_id = 'default'}),
	"default\napp", 'the default hub of the new owner is the one it had');
$server->sql('postgres', 'app', q{SELECT durable.raise_event('orphan', 'go', '"on"', task_hub => 'other')});
$server->ends('postgres', 'app', q{orphan', task_hub => 'other}, 'what waited there is reached by the new owner');

# While it works: the old owner's worker stops, the new one's goes on.
$gate = $server->close_gate('postgres', 1);
$server->sql('postgres', 'app', q{SELECT durable.create_hub('moving')});
$server->sql('postgres', 'app', q{SELECT durable.start_instance('app.walk_through_gate', '{"gate": 1}', instance_id => 'moving', task_hub => 'moving')});
$server->wait_until('postgres', DurableServer::at_gate(1, 1));
$server->safe_psql('postgres', q{GRANT app TO other; SELECT durable.reassign_hub('moving', 'other')});
$gate->quit;
$server->ends('postgres', 'other', q{moving', task_hub => 'moving}, 'a hub given away in the midst of an activity goes on');
is($server->safe_psql('postgres', q{SELECT string_agg(session_user_was, ' ' ORDER BY step) FROM app.effects WHERE instance_id = 'moving'}),
	'app app other', 'the activity under way ended as it began, the next one ran as the new owner');

# --- thrown away ------------------------------------------------------------------------------------

($code, $stdout, $stderr) = $server->try_sql('postgres', 'app', q{SELECT durable.discard_hub('other')});
like($stderr, qr/task hub "other" is in use/, 'a hub that may run is not thrown away');
$server->sql('postgres', 'app', q{SELECT durable.pause_hub('other')});
is($server->sql('postgres', 'app', q{SELECT durable.discard_hub('other')}), '2', 'a paused one is, with its instances');
is($server->safe_psql('postgres', q{SELECT count(*) FROM durable_store.history WHERE task_hub = 'other'}), '0', 'nothing is left of it');
is($server->sql('postgres', 'other', q{SELECT durable.start_instance('app.walk', '{"steps": 1}', instance_id => 'fresh')}), 'fresh', 'now the name is free');
$server->ends('postgres', 'other', 'fresh', 'for a hub of the role of that name');

# In the midst of work: it waits for what is in flight, then all of it goes.
$gate = $server->close_gate('postgres', 1);
$server->sql('postgres', 'app', q{SELECT durable.create_hub('doomed')});
$server->sql('postgres', 'app', q{SELECT durable.start_instance('app.crowd_at_gate', '{"gate": 1, "width": 5}', instance_id => 'doomed', task_hub => 'doomed')});
$server->wait_until('postgres', DurableServer::at_gate(1, 1) . q{ OR (SELECT count(*) > 0 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted)});
$server->sql('postgres', 'app', q{SELECT durable.pause_hub('doomed')});
my $session = $server->session('postgres', 'app');
$session->query_until(qr/started/, "\\echo started\nSELECT durable.discard_hub('doomed');\n");
$server->wait_until('postgres', q{EXISTS (SELECT FROM pg_stat_activity WHERE query LIKE '%discard_hub%' AND wait_event_type = 'Lock')});
$gate->quit;
$server->comes_true('postgres', q{NOT EXISTS (SELECT FROM durable.queues WHERE task_hub = 'doomed')}, 'a hub is thrown away while its activities run');
is($server->safe_psql('postgres', q{SELECT (SELECT count(*) FROM durable_store.instances WHERE task_hub = 'doomed')
	+ (SELECT count(*) FROM durable_store.inbox WHERE task_hub = 'doomed') + (SELECT count(*) FROM durable_store.activity_queue WHERE task_hub = 'doomed')}),
	'0', 'and leaves nothing');
$session->quit;
$server->runs('postgres', 'app', 'last', 'the others go on');

$server->stop;
unlike(slurp_file($server->logfile), qr/PANIC|terminated by signal/, 'nothing crashed');
done_testing();
