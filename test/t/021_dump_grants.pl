# Rights and hubs of superusers with real workers: grants survive dump and
# restore, and decide what workers do.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use DurableServer;
use PostgreSQL::Test::Utils;
use Test::More;

my $server = DurableServer->create('grants', conf => "durable.worker_idle_timeout = '1h'\ndurable.poll_interval = '1s'");
my $rights = <<'SQL';
SELECT n.nspname, a.grantee::regrole, CASE WHEN a.grantor <> n.nspowner THEN a.grantor::regrole::text ELSE 'owner' END, a.privilege_type, a.is_grantable
FROM pg_namespace n, aclexplode(n.nspacl) a WHERE n.nspname LIKE 'durable%' AND a.grantee <> n.nspowner ORDER BY a.grantee::regrole::text
SQL
my $acls = <<'SQL';
SELECT c.oid::regclass, c.relacl FROM pg_class c WHERE relnamespace IN ('durable'::regnamespace, 'durable_store'::regnamespace) AND relacl IS NOT NULL
UNION ALL SELECT p.oid::regprocedure::regproc, p.proacl FROM pg_proc p WHERE pronamespace IN ('durable'::regnamespace, 'durable_store'::regnamespace) AND proacl IS NOT NULL
ORDER BY 1
SQL
$acls =~ s/::regclass,/::regclass::text,/;
$acls =~ s/::regprocedure::regproc,/::regprocedure::text,/;

# --- dump and restore ---------------------------------------------------------------

$server->install('postgres', 'app', 'lead', 'gone');
$server->safe_psql('postgres', $_) foreach 'CREATE ROLE team LOGIN', 'CREATE ROLE monitor LOGIN IN ROLE pg_monitor',
  q{SELECT durable.grant_usage('lead', with_grant_option => true)}, q{SELECT durable.grant_usage('pg_monitor')},
  q{SELECT durable.revoke_usage('gone')};
$server->sql('postgres', 'lead', q{SELECT durable.grant_usage('team')});
# An administrator who closes a view wants it closed in the copy.
$server->safe_psql('postgres', 'REVOKE SELECT ON durable.messages FROM PUBLIC');
$server->runs('postgres', 'app', 'first', 'an instance runs');

my $dump = PostgreSQL::Test::Utils::tempdir() . '/dump.sql';
command_ok([ 'pg_dump', '-p', $server->port, '-h', $server->host, '-f', $dump, 'postgres' ], 'a database is dumped');
$server->safe_psql('postgres', 'CREATE DATABASE copy');
$server->safe_psql('postgres', 'CREATE DATABASE fresh');
$server->safe_psql('fresh', 'CREATE EXTENSION durable');
my ($exit, undef, $error) = $server->psql('copy', slurp_file($dump), extra_params => [ '-q', '-v', 'ON_ERROR_STOP=1' ]);
is("$exit $error", '0 ', 'a dump is restored');

my $before = $server->safe_psql('postgres', $rights);
is($before, <<'END' =~ s/\n\z//r, 'what is granted');
durable|app|owner|USAGE|f
durable|lead|owner|USAGE|t
durable|pg_monitor|owner|USAGE|f
durable|team|lead|USAGE|f
END
is($server->safe_psql('copy', $rights), $before, 'is granted in the copy, by whom and with what option it was');
is($server->safe_psql('fresh', $rights), '', 'and nothing is in a database of its own');
is($server->safe_psql('copy', $acls), $server->safe_psql('postgres', $acls), 'the objects have the rights they had');
isnt($server->safe_psql('copy', $acls), $server->safe_psql('fresh', $acls), 'also those that an administrator changed');
unlike(slurp_file($dump), qr/^GRANT (?:SELECT|EXECUTE|ALL)/m, 'the dump grants nothing but the use of the schema');

is($server->sql('copy', 'app', q{SELECT status FROM durable.instances WHERE instance_id = 'first'}), 'completed', 'who could use it can use it there');
is($server->sql('copy', 'team', 'SELECT count(*) FROM durable.instances'), '0', 'so can who had it from a delegate');
is($server->sql('copy', 'monitor', 'SELECT status, output IS NULL FROM durable.instances'), 'completed|t', 'a monitor looks');
isnt(($server->try_sql('copy', 'gone', 'SELECT count(*) FROM durable.instances'))[0], 0, 'who had lost it has not got it back');
isnt(($server->try_sql('copy', 'app', 'SELECT count(*) FROM durable.messages'))[0], 0, 'and a closed view is closed');
isnt(($server->try_sql('copy', 'app', 'SELECT count(*) FROM durable_store.instances'))[0], 0, 'as are the tables');
$server->sql('copy', 'lead', q{SELECT durable.grant_usage('gone')});
is($server->sql('copy', 'gone', 'SELECT count(*) FROM durable.instances'), '0', 'the delegate can go on to grant');
$server->safe_psql('copy', q{SELECT durable.revoke_usage('lead', cascade => true)});
is($server->safe_psql('copy', $rights), "durable|app|owner|USAGE|f\ndurable|pg_monitor|owner|USAGE|f", 'and loses it with those who have it from him');

# --- without the right a hub waits, and goes on with it -----------------------------------

my $gate = $server->close_gate('postgres', 1);
$server->start_instance('postgres', 'app', 'walk_through_gate', 'waits', '{"gate": 1}');
$server->wait_until('postgres', DurableServer::at_gate(1, 1));
my $offset = -s $server->logfile;
$server->safe_psql('postgres', q{SELECT durable.revoke_usage('app')});
$gate->quit;
$server->comes_true('postgres', DurableServer::count_is('worker', 0, 'postgres'), 'the workers of a role that lost the right leave');
$server->wait_for_log(qr/task hub "app" of role "app" in database "postgres" is not being served.*?DETAIL: .*?may not use schema durable/s, $offset);
is($server->safe_psql('postgres', q{SELECT status FROM durable.instances WHERE instance_id = 'waits'}), 'running', 'its instances do not fail, they wait');
$server->safe_psql('postgres', q{SELECT durable.grant_usage('app')});
$server->ends('postgres', 'app', 'waits', 'and go on when it is granted again');
is(() = $server->log_since($offset) =~ /task hub "app" .* is not being served/g, 1, 'the log said it once');

# --- hubs of superusers --------------------------------------------------------------------

$server->safe_psql('postgres', 'CREATE ROLE root LOGIN SUPERUSER');
$server->add_role('postgres', 'root');
like(($server->try_sql('postgres', 'root', q{SELECT durable.start_instance('walk', '{"steps": 1}')}))[2],
	qr/role "root" is a superuser: its task hubs do not run\n.*\nHINT:  Orchestrate as an ordinary role/, 'a superuser is told to be an ordinary role');
$offset = -s $server->logfile;
$server->sql('postgres', 'root', q{SET durable.allow_superuser_hubs = on; SELECT durable.start_instance('walk_and_nap', '{"seconds": 0}', instance_id => 'super')});
$server->wait_for_log(qr/task hub "root" of role "root" in database "postgres" is not being served.*?DETAIL: .*?allow_superuser_hubs/s, $offset);
is($server->safe_psql('postgres', q{SELECT status FROM durable.instances WHERE instance_id = 'super'}), 'pending', 'no worker serves it');
$server->configure('durable.allow_superuser_hubs' => 'on');
$server->ends('postgres', 'root', 'super', 'until it is allowed');
is($server->sql('postgres', 'root', 'SELECT DISTINCT session_user_was FROM effects'), 'root', 'as the superuser');
$server->configure('durable.allow_superuser_hubs' => 'off');
$server->wait_until('postgres', q{current_setting('durable.allow_superuser_hubs') = 'off'});
$server->sql('postgres', 'root', q{SET durable.allow_superuser_hubs = on; SELECT durable.start_instance('walk', '{"steps": 1}', instance_id => 'too late')});
$server->comes_true('postgres', q{NOT EXISTS (SELECT FROM durable.workers WHERE task_hub = 'root' AND pid IS NOT NULL)}, 'its workers leave when it is not allowed any more');
is($server->safe_psql('postgres', q{SELECT status FROM durable.instances WHERE instance_id = 'too late'}), 'pending', 'with work undone');
$server->runs('postgres', 'app', 'last', 'ordinary roles are not concerned');

# --- what the workers view shows to whom ---------------------------------------------------------

$server->add_role('postgres', 'team');
$server->runs('postgres', 'team', 'theirs', 'another hub has a worker');
is($server->sql('postgres', 'app', q{SELECT DISTINCT task_hub FROM durable.workers WHERE kind = 'worker'}), 'app', 'a role sees the workers of its own hubs');
is($server->sql('postgres', 'monitor', q{SELECT string_agg(DISTINCT task_hub, ' ' ORDER BY task_hub) FROM durable.workers WHERE kind = 'worker' AND pid IS NOT NULL}), 'app team', 'a monitor those of all');
$server->comes_true('postgres', q{(SELECT state || ': ' || item FROM durable.workers WHERE task_hub = 'root') LIKE 'not served: The role is a superuser%'},
	'and why one has none');
is($server->sql('postgres', 'monitor', q{SELECT state FROM durable.queues WHERE task_hub = 'root'}), 'not served', 'as its queue says');
is($server->sql('copy', 'app', q{SELECT count(*) FROM durable.workers WHERE kind = 'worker'}), '0', 'and nobody else those of a hub of that name in another database');

$server->stop;
done_testing();
