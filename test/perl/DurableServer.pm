# A server with durable's background processes, for the TAP tests.
#
# The tests never sleep to let something happen: they wait for a state. What
# must be caught in the act waits at a gate, an advisory lock the test holds.

package DurableServer;

use strict;
use warnings;

# Whatever is waited for here takes a second or two, but on a machine that has much else to do.
BEGIN { $ENV{PG_TEST_TIMEOUT_DEFAULT} //= 180; }

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

our @ISA = ('PostgreSQL::Test::Cluster');

# What the tests run, in the schema of each role. An activity leaves its
# effect in a table without a key, so a second run of it would be seen.
my $library = <<'SQL';
CREATE TABLE effects (instance_id text, step int, attempt int, session_user_was name DEFAULT session_user, current_user_was name DEFAULT current_user);

CREATE FUNCTION effect(step int) RETURNS int LANGUAGE sql AS
$$ INSERT INTO effects VALUES (durable.instance_id(), step, durable.attempt()) RETURNING step $$;

-- Its effect, then it waits until nobody holds the gate.
CREATE FUNCTION pass_gate(gate int, step int) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
	PERFORM effect(step), pg_advisory_xact_lock_shared(gate);
	RETURN step;
END $$;

CREATE FUNCTION nap(seconds float8, step int) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
	PERFORM effect(step), pg_sleep(seconds);
	RETURN step;
END $$;

-- {"steps": 3}: so many effects.
CREATE FUNCTION walk(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	FOR step IN 1 .. (input->>'steps')::int LOOP
		PERFORM durable.call_activity('effect', jsonb_build_object('step', step));
	END LOOP;
	RETURN input;
END $$;

-- {"gate": 7}: three steps, the second waits at the gate.
CREATE FUNCTION walk_through_gate(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	PERFORM durable.call_activity('effect', '{"step": 1}');
	PERFORM durable.call_activity('pass_gate', jsonb_build_object('step', 2, 'gate', input->'gate'));
	PERFORM durable.call_activity('effect', '{"step": 3}');
	RETURN input;
END $$;

-- {"gate": 7, "width": 3}: so many activities wait at the gate at a time.
CREATE FUNCTION crowd_at_gate(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	tasks durable.task[];
BEGIN
	FOR step IN 1 .. (input->>'width')::int LOOP
		tasks := tasks || durable.schedule_activity('pass_gate', jsonb_build_object('step', step, 'gate', input->'gate'));
	END LOOP;
	PERFORM durable.await_all(tasks);
	RETURN input;
END $$;

CREATE FUNCTION walk_and_nap(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	PERFORM durable.call_activity('effect', '{"step": 1}');
	PERFORM durable.call_activity('nap', jsonb_build_object('step', 2, 'seconds', input->'seconds'));
	RETURN input;
END $$;

CREATE FUNCTION wait_for_timer(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	PERFORM durable.sleep((input->>'delay')::interval);
	PERFORM durable.call_activity('effect', '{"step": 1}');
	RETURN input;
END $$;

CREATE FUNCTION wait_for_go(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	data jsonb;
BEGIN
	data := durable.wait_for_event('go');
	PERFORM durable.call_activity('effect', '{"step": 1}');
	RETURN data;
END $$;
SQL

# create(name, conf => "...", init => {...}, preload => 0, install_path => "...", start => 0): a server that runs.
sub create
{
	my ($class, $name, %params) = @_;
	my $self = $class->new($name, $params{install_path} ? (install_path => $params{install_path}) : ());

	$self->init(%{ $params{init} // {} });
	$self->append_conf('postgresql.conf', <<"END");
log_statement = none
restart_after_crash = on
timezone = 'UTC'
END
	$self->append_conf('postgresql.conf', "shared_preload_libraries = 'durable'")
	  if $params{preload} // 1;
	$self->append_conf('postgresql.conf', $params{conf}) if $params{conf};
	$self->start if $params{start} // 1;
	return $self;
}

# Returns when the postmaster has read the settings, and told all processes to.
sub reload
{
	my ($self) = @_;

	$self->wait_until('postgres', 'true');		# it may just be starting again
	my (undef, $before) = $self->psql('postgres', 'SELECT pg_conf_load_time()');

	$self->SUPER::reload;
	$self->wait_until('postgres', $before ? "pg_conf_load_time() > '$before'" : 'true');
}

# Changes settings and reloads: configure('durable.enabled' => 'off', ...).
sub configure
{
	my ($self, %settings) = @_;

	$self->append_conf('postgresql.conf', "$_ = '$settings{$_}'") foreach sort keys %settings;
	$self->reload;
}

# The extension in a database, and roles that may use it, each with the library.
sub install
{
	my ($self, $database, @roles) = @_;

	$self->safe_psql($database, 'CREATE EXTENSION durable');
	$self->add_role($database, $_) foreach @roles;
}

sub add_role
{
	my ($self, $database, $role) = @_;
	my $exists = $self->safe_psql($database, "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = '$role')");

	$self->safe_psql($database, "CREATE ROLE $role LOGIN") unless $exists eq 't';
	$self->safe_psql($database, <<"SQL");
SELECT durable.grant_usage('$role');
CREATE SCHEMA AUTHORIZATION $role;
SQL
	$self->sql($database, $role, $library);
}

# Runs SQL as a role, dies if it fails.
sub sql
{
	my ($self, $database, $role, $sql) = @_;

	return $self->safe_psql($database, $sql, extra_params => [ '-U', $role ]);
}

# Runs SQL as a role; returns exit code, stdout and stderr.
sub try_sql
{
	my ($self, $database, $role, $sql) = @_;

	return $self->psql($database, $sql, extra_params => [ '-U', $role ]);
}

sub start_instance
{
	my ($self, $database, $role, $orchestrator, $id, $input) = @_;

	$input //= '{}';
	return $self->sql($database, $role,
		"SELECT durable.start_instance('$orchestrator', '$input', instance_id => '$id')");
}

# A test: the instance ends like this (default: completed).
sub ends
{
	my ($self, $database, $role, $id, $what, $expected) = @_;
	my $status;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$status = $self->sql($database, $role,
		"SELECT status FROM durable.wait_for_completion('$id', timeout => '$ENV{PG_TEST_TIMEOUT_DEFAULT} s')");
	return is($status, $expected // 'completed', $what)
	  || $self->show_state($database);
}

# A test: start it and see it complete.
sub runs
{
	my ($self, $database, $role, $id, $what) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$self->start_instance($database, $role, 'walk', $id, '{"steps": 2}');
	return $self->ends($database, $role, $id, $what);
}

# A test: each of the instances left each of its effects once.
sub effects_are_exact
{
	my ($self, $database, $role, $steps, $where, $what) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return is($self->sql($database, $role, <<"SQL"), '', $what);
SELECT i.instance_id, e.steps FROM durable.instances i
LEFT JOIN LATERAL (SELECT array_agg(step ORDER BY step) AS steps FROM effects e WHERE e.instance_id = i.instance_id) e ON true
WHERE (i.status <> 'completed' OR e.steps IS DISTINCT FROM ARRAY(SELECT generate_series(1, $steps))) AND $where
SQL
}

# A test: the state comes about.
sub comes_true
{
	my ($self, $database, $condition, $what) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return ok($self->poll_query_until($database, "SELECT $condition"), $what)
	  || $self->show_state($database);
}

# A psql that a starting server turned away may be gone before it is told what to ask.
sub poll_query_until
{
	my ($self, @arguments) = @_;

	for my $i (1 .. 10)
	{
		my $result = eval { $self->SUPER::poll_query_until(@arguments) };

		return $result unless $@;
		die $@ unless $@ =~ /Broken pipe/;
	}
	die $@;
}

# What a failed test leaves its reader with.
sub show_state
{
	my ($self, $database) = @_;
	my (undef, $state, $stderr) = $self->psql($database, <<'SQL', extra_params => ['--pset=tuples_only=off', '-P', 'format=aligned']);
SELECT * FROM durable.workers;
SELECT * FROM durable.queues;
SELECT * FROM durable.activities LIMIT 20;
SELECT * FROM durable.messages LIMIT 20;
SELECT instance_id, status, failure->>'sqlstate' AS sqlstate, failure->>'errorMessage' AS message, waiting_for
FROM durable.instances WHERE status <> 'completed' LIMIT 20;
SQL

	diag($state, "\n", $stderr);
	return 0;
}

# Waits for a state that is no test but what the next step needs.
sub wait_until
{
	my ($self, $database, $condition) = @_;

	$self->poll_query_until($database, "SELECT $condition")
	  or $self->show_state($database)
	  or die "timed out waiting until $condition";
}

# The condition that so many backends wait at the gate.
sub at_gate
{
	my ($gate, $count) = @_;

	return "(SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = $gate AND NOT granted) = $count";
}

# The process that waits at the gate. Between two looks it may be on its way back: what
# was to share a transaction and had to wait is undone, and comes again alone.
sub pid_at_gate
{
	my ($self, $gate) = @_;
	my $pid = '';

	for (my $until = time + $ENV{PG_TEST_TIMEOUT_DEFAULT}; $pid eq '' && time < $until;)
	{
		$pid = $self->safe_psql('postgres', "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objid = $gate AND NOT granted LIMIT 1");
	}
	return $pid ne '' ? $pid : die "nobody waits at gate $gate";
}

# A session in the background, which may last as long as the test.
sub session
{
	my ($self, $database, $role) = @_;

	return $self->background_psql($database, on_error_stop => 0, timeout => 900,
		extra_params => [ defined $role ? ('-U', $role) : () ]);
}

# How many notifications a session hears; they are sent after the commit, so as many as are expected are waited for.
sub notifications
{
	my ($self, $session, $channel, $expected) = @_;
	my $heard = 0;

	for (my $until = time + $ENV{PG_TEST_TIMEOUT_DEFAULT}; $heard < $expected && time < $until;)
	{
		$heard += () = $session->query('SELECT 1') =~ /notification "$channel"/g;
	}
	return $heard + (() = $session->query('SELECT 1') =~ /notification "$channel"/g);
}

# Closes a gate; returns the session that holds it.
sub close_gate
{
	my ($self, $database, $gate) = @_;
	my $session = $self->session($database);

	$session->query_safe("SELECT pg_advisory_lock($gate)");
	return $session;
}

# The condition that there are so many processes of a kind (launcher, coordinator, worker).
sub count_is
{
	my ($kind, $count, $database) = @_;
	my $filter = defined $database ? "AND datname = '$database'" : '';

	return "(SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'durable $kind' $filter) = $count";
}

# The pid of the process of a kind, in a database, of a role; it is waited for.
sub pid_of
{
	my ($self, $kind, $database, $role) = @_;
	my $which = "FROM pg_stat_activity WHERE backend_type = 'durable $kind'";

	$which .= " AND datname = '$database'" if defined $database;
	$which .= " AND usename = '$role'" if defined $role;
	$self->wait_until('postgres', "count(*) = 1 $which");
	return $self->safe_psql('postgres', "SELECT pid $which");
}

sub log_since
{
	my ($self, $offset) = @_;

	return slurp_file($self->logfile, $offset);
}

sub is_gone
{
	my ($pid) = @_;

	for my $i (1 .. 10 * $ENV{PG_TEST_TIMEOUT_DEFAULT})
	{
		return 1 unless kill 0, $pid;
		usleep(100_000);
	}
	return 0;
}

# Kills one process, which makes the server start again; returns when it has.
sub crash
{
	my ($self, $pid) = @_;
	my $offset = -s $self->logfile;

	kill 'KILL', $pid or die "could not kill $pid: $!";
	$self->wait_for_log(qr/all server processes terminated; reinitializing/, $offset);
	$self->wait_until('postgres', 'true');
}

1;
