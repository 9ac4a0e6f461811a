# Code that changes under real workers: a deployment in the middle of 1,000
# running instances; a copy of the database; a role that goes.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use DurableServer;
use PostgreSQL::Test::Utils;
use Test::More;

my $instances = 1000;
my $server = DurableServer->create('code', conf => "autovacuum = off\ndurable.poll_interval = '1s'");
$server->install('postgres', 'app');

# Three steps, of which each says which version asked for it, and an order of its own: no version can replay another's history.
sub deploy
{
	my ($version, @steps) = @_;
	my $calls = join "\n", map { "PERFORM durable.call_activity('$_', jsonb_build_object('version', $version));" } @steps;

	$server->sql('postgres', 'app', <<"SQL");
CREATE OR REPLACE FUNCTION deployed(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS \$\$
BEGIN
	$calls
	PERFORM durable.wait_for_event('go');
	PERFORM durable.call_activity('$steps[0]', jsonb_build_object('version', $version));
	RETURN to_jsonb($version);
END \$\$;
SQL
}

$server->sql('postgres', 'app', <<'SQL');
CREATE TABLE said (seq int GENERATED ALWAYS AS IDENTITY, instance_id text, version int, what text);
CREATE FUNCTION pick(version int) RETURNS void LANGUAGE sql AS $$ INSERT INTO said (instance_id, version, what) VALUES (durable.instance_id(), version, 'pick') $$;
CREATE FUNCTION pack(version int) RETURNS void LANGUAGE sql AS $$ INSERT INTO said (instance_id, version, what) VALUES (durable.instance_id(), version, 'pack') $$;
CREATE FUNCTION send(version int) RETURNS void LANGUAGE sql AS $$ INSERT INTO said (instance_id, version, what) VALUES (durable.instance_id(), version, 'send') $$;
SQL

# --- a deployment under load ---------------------------------------------------------

my $copies = q{(SELECT count(*) FROM pg_proc WHERE pronamespace = 'durable_code'::regnamespace)};

deploy(1, 'pick', 'pack', 'send');
$server->sql('postgres', 'app', "SELECT count(durable.start_instance('deployed', instance_id => 'old ' || i)) FROM generate_series(1, $instances) i");
# Some have not begun, some wait for an activity, some for the event.
$server->wait_until('postgres', q{(SELECT count(*) > 0 FROM durable.instances WHERE waiting_for ? 'events')});
deploy(2, 'send', 'pack', 'pick');
is($server->safe_psql('postgres', q{SELECT count(*) FROM durable.instances WHERE status IN ('pending', 'running')}), $instances,
	'a deployment in the middle of running instances');
$server->sql('postgres', 'app', "SELECT count(durable.start_instance('deployed', instance_id => 'new ' || i)) FROM generate_series(1, 100) i");
deploy(3, 'pack', 'pick', 'send');
$server->sql('postgres', 'app', "SELECT count(durable.start_instance('deployed', instance_id => 'newest ' || i)) FROM generate_series(1, 100) i");
$server->sql('postgres', 'app', q{SELECT count(durable.raise_event(instance_id, 'go')) FROM durable.instances});
$server->comes_true('postgres', q{NOT EXISTS (SELECT FROM durable.instances WHERE completed_at IS NULL)}, 'all instances end');
is($server->safe_psql('postgres', <<'SQL'), "new|completed|2|100\nnewest|completed|3|100\nold|completed|1|$instances", 'none fails, and each ends with the result of its own version');
SELECT split_part(instance_id, ' ', 1), status, output, count(*) FROM durable.instances GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
SQL
is($server->sql('postgres', 'app', <<'SQL'), "new|2|send pack pick send|100\nnewest|3|pack pick send pack|100\nold|1|pick pack send pick|$instances", 'and each took the steps of its own version, once');
SELECT split_part(instance_id, ' ', 1), version, what, count(*) FROM
	(SELECT instance_id, version, string_agg(what, ' ' ORDER BY seq) AS what FROM said GROUP BY 1, 2) s GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
SQL
$server->comes_true('postgres', "$copies = 0", 'the coordinator drops the copies after the last of them');
$server->comes_true('postgres', '(SELECT count(*) = 1 FROM durable_store.code)', 'and keeps the definition that is in use alone');

# --- who starts does not wait for others, nor is a sweep in the way of them ----------------

deploy(4, 'pick');
my $session = $server->session('postgres', 'app');
$session->query_safe('BEGIN');
$session->query_safe(q{SELECT durable.start_instance('deployed', instance_id => 'first of four')});
$server->sql('postgres', 'app', q{SET statement_timeout = '60s'; SELECT durable.start_instance('deployed', instance_id => 'second of four')});
deploy(5, 'pack');
$server->comes_true('postgres', q{(SELECT count(*) = 0 FROM durable.instances WHERE instance_id LIKE 'second of four' AND NOT waiting_for ? 'events')},
	'a start does not wait for another transaction that started the first of the same code');
$server->sql('postgres', 'app', q{SELECT durable.terminate('second of four')});
$server->ends('postgres', 'app', 'second of four', 'it ends', 'terminated');
# The sweep comes by, every second, and must leave what the open transaction began with.
$session->query_safe('COMMIT');
$session->quit;
$server->sql('postgres', 'app', q{SELECT durable.raise_event('first of four', 'go')});
$server->ends('postgres', 'app', 'first of four', 'the code of an instance that began in an open transaction is kept');
is($server->sql('postgres', 'app', q{SELECT output FROM durable.instances WHERE instance_id = 'first of four'}), '4', 'and it runs on that');

# --- dump and restore --------------------------------------------------------------------

deploy(6, 'pick');
$server->start_instance('postgres', 'app', 'deployed', $_) foreach 'carried', 'carried too';
$server->wait_until('postgres', q{(SELECT count(*) = 2 FROM durable.instances WHERE waiting_for ? 'events')});
deploy(7, 'pack');
$server->sql('postgres', 'app', q{SELECT durable.raise_event('carried', 'no matter')});
$server->wait_until('postgres', "$copies = 1");
$server->start_instance('postgres', 'app', 'deployed', 'current');
$server->wait_until('postgres', q{(SELECT count(*) = 3 FROM durable.instances WHERE waiting_for ? 'events')});
$server->runs('postgres', 'app', 'walked', 'one that ends, to be exported');
$server->sql('postgres', 'app', q{SELECT durable.import_history(durable.export_history('walked'), 'brought')});
my $dump = PostgreSQL::Test::Utils::tempdir() . '/dump.sql';
command_ok([ 'pg_dump', '-p', $server->port, '-h', $server->host, '-f', $dump, 'postgres' ], 'a database with a copy is dumped');
$server->safe_psql('postgres', "CREATE DATABASE $_") foreach 'copy', 'bare';
foreach my $database ('copy', 'bare')
{
	my ($exit, undef, $error) = $server->psql($database, slurp_file($dump), extra_params => [ '-q', '-v', 'ON_ERROR_STOP=1' ]);

	is("$exit $error", '0 ', "it is restored ($database)");
}
is($server->safe_psql('copy', "SELECT $copies, (SELECT min(proowner::regrole::text) FROM pg_proc WHERE pronamespace = 'durable_code'::regnamespace)"),
	'1|app', 'with the copy, which belongs to whom it did');
is($server->safe_psql('copy', 'SELECT task_hub, fingerprint, function, definition FROM durable.code ORDER BY 1, 2'),
	$server->safe_psql('postgres', 'SELECT task_hub, fingerprint, function, definition FROM durable.code ORDER BY 1, 2'), 'and the definitions');
foreach my $database ('copy', 'bare')
{
	if ($database eq 'bare')
	{
		my $copy = $server->safe_psql('bare', q{SELECT oid::regprocedure FROM pg_proc WHERE pronamespace = 'durable_code'::regnamespace});

		$server->safe_psql('bare', "DROP FUNCTION $copy");
	}
	$server->sql($database, 'app', q{SELECT durable.adopt_hub('app')});
	is($server->sql($database, 'app', q{SELECT string_agg(concat_ws(' ', instance_id, original_instance_id, name, status), ', ') FROM durable.imported_histories}), 'brought walked walk completed',
		"the imported history is there ($database)");
	is($server->sql($database, 'app', q{SELECT fits FROM durable.check_replay('brought', strict => true)}), 't', "and can be replayed ($database)");
	my (undef, undef, $notices) = $server->try_sql($database, 'app', q{SELECT durable.check_replay('walked')});
	is($notices, '', "functions that were restored are not taken for changed ones ($database)");
	$server->sql($database, 'app', qq{SELECT durable.raise_event('$_', 'go')}) foreach 'carried', 'carried too', 'current';
	$server->ends($database, 'app', $_, "$_ goes on ($database)") foreach 'carried', 'carried too', 'current';
	is($server->sql($database, 'app', q{SELECT string_agg(output::text, ' ' ORDER BY instance_id) FROM durable.instances WHERE instance_id IN ('carried', 'carried too', 'current')}),
		'6 6 7', "each on its own code ($database)");
	$server->comes_true($database, "$copies = 0", "and the copy goes ($database)");
}

# --- DROP OWNED, DROP ROLE, DROP EXTENSION -------------------------------------------------

my (undef, undef, $refused) = $server->psql('postgres', 'DROP FUNCTION ' . $server->safe_psql('postgres',
	q{SELECT oid::regprocedure FROM pg_proc WHERE pronamespace = 'durable_code'::regnamespace}));
is($refused, '', 'an administrator may drop a copy');
$server->sql('postgres', 'app', q{SELECT durable.raise_event('carried', 'again')});
$server->comes_true('postgres', "$copies = 1", 'it is made again when it is needed');
$server->safe_psql('postgres', 'ALTER FUNCTION app.deployed(jsonb) OWNER TO postgres');
$server->safe_psql('postgres', 'DROP EXTENSION durable CASCADE');
is($server->safe_psql('postgres', q{SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'durable%'}), '0', 'DROP EXTENSION takes the copies along');

$server->configure('durable.enabled' => 'off');
$server->install('postgres', 'leaving');
$server->sql('postgres', 'leaving', q{SELECT durable.start_instance('wait_for_go', instance_id => 'stays')});
$server->sql('postgres', 'leaving', 'SELECT durable.run_until_idle()');
$server->sql('postgres', 'leaving', q{ALTER FUNCTION wait_for_go(jsonb) COST 5});
$server->sql('postgres', 'leaving', q{SELECT durable.raise_event('stays', 'other'); SELECT durable.run_until_idle()});
is($server->safe_psql('postgres', "SELECT $copies"), '1', 'a role that has a copy');
$server->safe_psql('postgres', 'DROP OWNED BY leaving CASCADE');
$server->safe_psql('postgres', 'DROP ROLE leaving');
is($server->safe_psql('postgres', "SELECT $copies"), '0', 'is dropped as any other, with DROP OWNED before');

done_testing();
