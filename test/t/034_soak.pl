# Soak: instances of all scenarios are started without end, while processes and
# the server die every second or two, a standby is promoted, and things are
# altered and dropped beside them. At the end everything adds up.
#
# SOAK_MINUTES and SOAK_SEED, or "make soak MINUTES=10 SEED=7": the seed is the
# schedule of the faults. What each meets is up to the processes.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PointsServer;
use PostgreSQL::Test::Utils;
use POSIX ();
use Scenarios qw(@hubs install_scenarios start_scenarios unfinished violations purge_scenarios leftovers);
use Test::More;
use Time::HiRes qw(time usleep);

my $minutes = $ENV{SOAK_MINUTES} || 1;
my $seed = $ENV{SOAK_SEED} || 20;

# --- the schedule ---------------------------------------------------------------------------

my @points_anywhere = (
	qw(turn.before_claim turn.claimed turn.taken turn.replayed turn.before_checkpoint),
	(map { "checkpoint.$_" } qw(begin consumed history activities children timers messages instances end)),
	qw(commit.before activity.before_claim activity.claimed activity.before_record activity.recorded inline.taken inline.done));
my @points_of_death = (@points_anywhere, qw(turn.committed commit.after wake.before wake.hubs wake.waiters activity.before_effect
	activity.after_effect activity.committed message.inserted worker.begin worker.connected worker.idle process.exit process.left));

my %faults = (			# how often, and what
	terminate_worker => [ 4, sub { terminate(@_, "backend_type = 'durable worker'") } ],
	terminate_coordinator => [ 1, sub { terminate(@_, "backend_type = 'durable coordinator'") } ],
	terminate_launcher => [ 1, sub { terminate(@_, "backend_type = 'durable launcher'") } ],
	terminate_client => [ 2, sub { terminate(@_, "application_name = 'soak client'") } ],
	kill_worker => [ 3, sub { crash(@_, "backend_type = 'durable worker'") } ],
	kill_coordinator => [ 1, sub { crash(@_, "backend_type = 'durable coordinator'") } ],
	kill_launcher => [ 1, sub { crash(@_, "backend_type = 'durable launcher'") } ],
	kill_client => [ 1, sub { crash(@_, "application_name = 'soak client'") } ],
	point_terminate => [ 4, sub { arm(@_, 'terminate', @points_of_death) } ],
	point_kill => [ 3, sub { arm(@_, 'kill', @points_of_death) } ],
	point_error => [ 3, sub { arm(@_, 'error', @points_anywhere) } ],
	stop_immediate => [ 1, sub { restart('immediate') } ],
	stop_fast => [ 1, sub { restart('fast') } ],
	extension => [ 1, \&alter_extension ],
	database => [ 2, \&database_beside ],
	rewrite => [ 1, \&rewrite_table ],
	setting => [ 2, \&change_setting ],
	hub => [ 1, \&pause_and_resume ],
	promote => [ 0, \&fail_over ]);

# What is done when: [seconds, fault, number], the number for whatever is to be chosen. Promotions have times of their own.
sub schedule
{
	my ($seconds) = @_;
	my @lots = map { my $name = $_; ($name) x $faults{$name}[0] } sort keys %faults;
	my @plan;

	srand $seed;
	for (my $at = 1; $at < $seconds; $at += 0.4 + rand 2)
	{
		push @plan, [ $at, $lots[ int rand @lots ], int rand 1_000_000 ];
	}
	for (my $at = 15 + rand 20; $at < $seconds - 10; $at += 40 + rand 20)
	{
		push @plan, [ $at, 'promote', int rand 1_000_000 ];
	}
	return sort { $a->[0] <=> $b->[0] } @plan;
}

my @plan = schedule($minutes * 60);

is_deeply([ schedule($minutes * 60) ], \@plan, 'the seed makes the schedule');

# --- the server and its standby -----------------------------------------------------------------

# What this process asks for does not wait for the standby; what clients do does.
$ENV{PGOPTIONS} = '-c synchronous_commit=local';

my $n_servers = 1;
my $server = PointsServer->create('soak1', init => { allows_streaming => 1 }, conf => <<'END');
fsync = off
max_worker_processes = 24
durable.max_workers = 8
durable.poll_interval = 500ms
durable.worker_idle_timeout = 2s
durable.max_dispatch_attempts = 1000		# nobody is to blame here
wal_retrieve_retry_interval = 100ms
wal_receiver_timeout = 5s
wal_keep_size = 2GB
END
my $standby;

$server->install('postgres');
install_scenarios($server, 'postgres');
$server->safe_psql('postgres', 'CREATE TABLE beside (id int)');
add_standby();

sub add_standby
{
	$n_servers++;
	$server->backup("backup$n_servers");
	$standby = PointsServer->new("soak$n_servers");
	$standby->init_from_backup($server, "backup$n_servers", has_streaming => 1);
	unlink glob $standby->points . '/*';
	$standby->start;
	$server->configure(synchronous_standby_names => '*');
}

# The answer of the server, which may just be starting again.
sub ask
{
	my ($sql, $database) = @_;

	for my $i (1 .. 20 * $ENV{PG_TEST_TIMEOUT_DEFAULT})
	{
		my ($exit, $answer) = eval { $server->psql($database // 'postgres', $sql, timeout => $ENV{PG_TEST_TIMEOUT_DEFAULT}) };

		return $answer if defined $exit && $exit == 0;
		usleep(50_000);
	}
	die "the server does not answer: $sql";
}

# --- faults ------------------------------------------------------------------------------------------

my %done;

# One of those processes; undef: there is none now.
sub choose_process
{
	my ($number, $which) = @_;
	my @pids = split /\n/, ask("SELECT pid FROM pg_stat_activity WHERE $which ORDER BY pid");

	return @pids ? $pids[ $number % @pids ] : undef;
}

sub terminate
{
	my ($number, $which) = @_;
	my $pid = choose_process($number, $which) // return 0;

	return kill 'TERM', $pid;
}

sub crash
{
	my ($number, $which) = @_;
	my $pid = choose_process($number, $which) // return 0;

	return kill 'KILL', $pid;
}

sub arm
{
	my ($number, $action, @points) = @_;

	$server->arm($points[ $number % @points ], $action, $hubs[ int($number / @points) % @hubs ]);
	return 1;
}

sub restart
{
	my ($mode) = @_;

	$server->stop($mode);
	$server->start;
	return 1;
}

sub alter_extension
{
	ask('ALTER EXTENSION durable ADD TABLE beside; ALTER EXTENSION durable DROP TABLE beside; ALTER EXTENSION durable UPDATE');
	return 1;
}

# A database with the extension and work comes, and goes with one or the other.
sub database_beside
{
	my ($number) = @_;

	ask('DROP DATABASE IF EXISTS beside WITH (FORCE)');
	ask('CREATE DATABASE beside');
	ask(q{CREATE EXTENSION IF NOT EXISTS durable;
		SELECT durable.grant_usage('sequence');
		CREATE SCHEMA IF NOT EXISTS AUTHORIZATION sequence;
		SET SESSION AUTHORIZATION sequence;
		CREATE OR REPLACE FUNCTION run(input jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT durable.call_sql('SELECT 1') $$;
		SELECT durable.start_instance('run') FROM generate_series(1, 5)}, 'beside');
	$number % 2 ? ask('DROP EXTENSION durable CASCADE', 'beside') : ask('DROP DATABASE beside WITH (FORCE)');
	return 1;
}

sub rewrite_table
{
	my ($number) = @_;
	my $table = (qw(instances history inbox activity_queue))[ $number % 4 ];

	$number % 3 ? ask("REINDEX TABLE durable_store.$table") : ask("VACUUM FULL durable_store.$table");
	return 1;
}

my @settings = (
	'durable.max_workers' => [ 1, 2, 8, 16 ],
	'durable.batch_size' => [ 1, 10, 100 ],
	'durable.worker_idle_timeout' => [ '0', '100ms', '2s' ],
	'durable.orchestrator_workers' => [ 1, 4 ],
	'durable.inline_activities' => [ 'off', 'on', 'always' ],
	'durable.synchronous_commit' => [ 'off', 'local' ],
	'durable.enabled' => [ 'off', 'on' ]);

sub change_setting
{
	my ($number) = @_;
	my $i = 2 * ($number % (@settings / 2));
	my @values = @{ $settings[ $i + 1 ] };

	$server->configure($settings[$i] => $values[ $number % @values ]);
	$server->configure('durable.enabled' => 'on') if $settings[$i] eq 'durable.enabled';
	return 1;
}

sub pause_and_resume
{
	my ($number) = @_;
	my $hub = $hubs[ $number % @hubs ];

	ask("SELECT durable.pause_hub('$hub')");
	ask("SELECT durable.resume_hub('$hub')");
	return 1;
}

# The server is lost, its standby takes over, and gets a standby.
sub fail_over
{
	$server->wait_until('postgres', q{EXISTS (SELECT FROM pg_stat_replication WHERE state = 'streaming' AND sync_state = 'sync')});
	my $lost = $server;

	$lost->stop('immediate');
	$standby->promote;
	$server = $standby;
	add_standby();
	$lost->clean_node;
	return 1;
}

sub inject
{
	my ($at, $name, $number) = @_;
	my $was_done = $faults{$name}[1]->($number);

	$done{$name}++ if $was_done;
	note sprintf '%.1f s: %s %d%s', $at, $name, $number, $was_done ? '' : ' (nobody was there)';
}

# --- clients -----------------------------------------------------------------------------------------------

my $batch_size = 5;
my $most_unfinished = 12;		# batches
my $n_batches = 0;
my %client;				# pid => prefix of the batch it starts
my %started;			# prefix => 1: the client was told so
my %retries;

# Starts a batch in a session of its own, and suspends and resumes some.
sub start_client
{
	my ($prefix) = @_;
	my $pid = fork // die "could not fork: $!";

	if ($pid)
	{
		$client{$pid} = $prefix;
		return;
	}
	my $some = join '', map { <<"SQL" } grep { $_ ne 'terminated' } @hubs;
SET SESSION AUTHORIZATION $_;
SELECT durable.suspend('$prefix 1'), durable.resume('$prefix 1');
RESET SESSION AUTHORIZATION;
SQL

	$ENV{PGAPPNAME} = 'soak client';
	$ENV{PGOPTIONS} = '-c synchronous_commit=on';
	open STDOUT, '>', '/dev/null';
	open STDERR, '>', '/dev/null';
	exec 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $server->connstr('postgres'), '-c', start_scenarios($prefix, $batch_size), '-c', $some;
}

# Who was not told that it is done tries again: what was started is skipped.
sub reap_clients
{
	my ($flags) = @_;

	while ((my $pid = waitpid -1, $flags) > 0)
	{
		my $status = $?;
		my $prefix = delete $client{$pid} // next;

		if ($status == 0)
		{
			$started{$prefix} = 1;
		}
		else
		{
			$retries{$prefix}++;
			start_client($prefix);
		}
	}
}

# --- what must hold ----------------------------------------------------------------------------------------------

my %figures = (instances => 0, effects => 0);
my @violations;
my %memory = ('durable processes' => 0, postmaster => 0);

# Batches that have ended are checked and purged, so that the tables stay small.
sub check_ended
{
	foreach my $prefix (sort keys %started)
	{
		next if ask('SELECT ' . unfinished($prefix, $batch_size)) eq 't';
		my $violations = ask(violations($prefix));

		push @violations, $violations if $violations ne '';
		my ($instances, $effects) = split /\|/, ask(<<"SQL");
SELECT (SELECT count(*) FROM durable_store.instances WHERE starts_with(instance_id, '$prefix ')),
	(SELECT count(*) FROM all_effects WHERE starts_with(instance_id, '$prefix '))
SQL
		$figures{instances} += $instances;
		$figures{effects} += $effects;
		delete $started{$prefix};
		ask(join '', map { <<"SQL" } @hubs) if $violations eq '';
SET SESSION AUTHORIZATION $_;
SELECT durable.purge('$prefix ' || i) FROM generate_series(1, $batch_size) i;
DELETE FROM effects WHERE starts_with(instance_id, '$prefix ');
RESET SESSION AUTHORIZATION;
SQL
	}
}

# Memory of its own that a process has, in kB.
sub memory_of
{
	my ($pid) = @_;

	open my $status, '<', "/proc/$pid/status" or return 0;
	my ($anonymous) = join('', <$status>) =~ /^RssAnon:\s+(\d+)/m;
	return $anonymous // 0;
}

sub measure_memory
{
	my ($postmaster) = slurp_file($server->data_dir . '/postmaster.pid') =~ /^(\d+)/;
	my $kb = memory_of($postmaster);

	$memory{postmaster} = $kb if $kb > $memory{postmaster};
	foreach my $pid (split /\n/, ask(q{SELECT pid FROM pg_stat_activity WHERE backend_type LIKE 'durable %'}))
	{
		$kb = memory_of($pid);
		$memory{'durable processes'} = $kb if $kb > $memory{'durable processes'};
	}
}

# --- the soak --------------------------------------------------------------------------------------------------------

diag("soak: MINUTES=$minutes SEED=$seed") if $minutes > 1;

my $begin = time;
my $next_look = 0;

# A machine that is busy otherwise takes longer to do as much.
sub has_done_enough { return $done{promote} && $figures{instances} >= 100 * $minutes; }

while (time - $begin < $minutes * 60 || (!has_done_enough() && time - $begin < 10 * $minutes * 60))
{
	reap_clients(POSIX::WNOHANG());
	while (keys(%client) < 3 && keys(%client) + keys(%started) < $most_unfinished)
	{
		start_client(sprintf 'batch %04d', ++$n_batches);
	}
	if (@plan && time - $begin >= $plan[0][0])
	{
		inject(@{ shift @plan });
	}
	elsif (time >= $next_look)
	{
		check_ended();
		measure_memory();
		$next_look = time + 1;
	}
	else
	{
		usleep(50_000);
	}
}

# --- the end ------------------------------------------------------------------------------------------------------------

$server->release;
$server->configure('durable.max_workers' => 16, 'durable.batch_size' => 100, 'durable.orchestrator_workers' => 4);
reap_clients(0) while keys %client;

for (my $until = time + 3 * $ENV{PG_TEST_TIMEOUT_DEFAULT}; keys %started && time < $until; usleep(200_000))
{
	check_ended();
}
is(join(', ', sort keys %started), '', 'every instance of every batch has ended') or $server->show_state('postgres');
is(join("\n", @violations), '', 'all ended with the right results and each effect once');
is(ask('SELECT count(*) FROM all_effects'), '0', 'there are no effects of nobody');
is(ask(leftovers()), '', 'nothing is left in the tables of the engine');
is(ask(q{SELECT count(*) FROM durable_store.hubs WHERE paused OR obstacle IS NOT NULL}), '0', 'no hub is held up');
$server->configure('durable.worker_idle_timeout' => '0');
$server->comes_true('postgres', DurableServer::count_is('worker', 0), 'the workers leave when there is nothing to do');
$server->comes_true('postgres', q{(SELECT count(*) <= 3 FROM durable.workers)}, 'and leave no slots behind');
cmp_ok($memory{'durable processes'}, '<', 64 * 1024, 'no process of durable needed more than 64 MB');
cmp_ok($memory{postmaster}, '<', 32 * 1024, 'nor the postmaster more than 32 MB');
cmp_ok($done{promote} // 0, '>=', 1, 'a standby was promoted');
cmp_ok($figures{instances}, '>=', 100 * $minutes, 'many instances have ended meanwhile');

my $n_faults = 0;

$n_faults += $_ foreach values %done;
my $n_retries = 0;

$n_retries += $_ foreach values %retries;
my $summary = sprintf 'soak of %s min, seed %s: %d faults (%s), %d instances in %d batches, %d effects, %d calls of clients repeated, %d violations; memory: %s',
  $minutes, $seed, $n_faults, join(', ', map { "$_ $done{$_}" } sort keys %done), $figures{instances}, $n_batches, $figures{effects},
  $n_retries, scalar(@violations), join(', ', map { "$_ $memory{$_} kB" } sort keys %memory);

$minutes > 1 ? diag($summary) : note($summary);
$server->stop;
$standby->stop;
done_testing();
