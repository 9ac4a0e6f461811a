# While a transaction holds an old snapshot, what is done stays in the indexes of
# the queues. Looks at the queues do not walk over it again and again (low_water.c),
# and still miss nothing: neither what commits late, nor what has an early time.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use DurableServer;
use Test::More;

my $dead = 200_000;
my $server = DurableServer->create('old_snapshot', conf => "durable.poll_interval = 1s\nautovacuum = off");

$server->install('postgres', 'app');
$server->runs('postgres', 'app', 'first', 'an instance runs');

my $reader = $server->session('postgres');
$reader->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ');
$reader->query_safe('SELECT count(*) FROM durable_store.instances');

# As much as many instances would have left behind, made in one transaction.
$server->safe_psql('postgres', <<"SQL");
BEGIN;
INSERT INTO durable_store.inbox (task_hub, instance_id, visible_at, "timestamp", event_type)
SELECT 'app', 'gone' || g, now(), now(), 15 FROM generate_series(1, $dead) g;
DELETE FROM durable_store.inbox WHERE instance_id LIKE 'gone%';
INSERT INTO durable_store.activity_queue (task_hub, instance_id, execution_id, generation, task_id, visible_at, name)
SELECT 'app', 'gone' || g, gen_random_uuid(), 1, 0, now(), 'effect' FROM generate_series(1, $dead) g;
DELETE FROM durable_store.activity_queue WHERE instance_id LIKE 'gone%';
COMMIT;
SQL

sub entries_read
{
	# who is idle has told his statistics
	$server->wait_until('postgres', q{NOT EXISTS (SELECT FROM durable.workers WHERE kind = 'worker' AND state <> 'idle')});
	return $server->safe_psql('postgres', q{SELECT sum(idx_tup_read) FROM pg_stat_all_indexes WHERE indexrelname IN ('inbox_visible', 'activity_queue_visible')});
}

# --- what was started before, and commits late -------------------------------------------

my $late = $server->session('postgres', 'app');
$late->query_safe('BEGIN');
$late->query_safe(q{SELECT durable.start_instance('walk', '{"steps": 2}', instance_id => 'late')});
$server->start_instance('postgres', 'app', 'wait_for_go', 'waits');

my $before = entries_read();
my $n = 60;
$server->sql('postgres', 'app', "SELECT durable.start_instance('walk', '{\"steps\": 2}', instance_id => 'i$_');\nSELECT status FROM durable.wait_for_completion('i$_')") foreach 1 .. $n;
is($server->sql('postgres', 'app', q{SELECT count(*) FROM durable.instances WHERE instance_id LIKE 'i%' AND status = 'completed'}), $n,
	'many instances run one after the other');
$server->effects_are_exact('postgres', 'app', 2, q{i.instance_id LIKE 'i%'}, 'each step has had its effect once');
my $read = entries_read() - $before;
cmp_ok($read, '>', $dead / 2, "the dead entries are there: $read were read");
cmp_ok($read, '<', $dead * $n, 'fewer than if each instance had passed over those of one queue once');

$late->query_safe('COMMIT');
$server->ends('postgres', 'app', 'late', 'what was started before all these and commits after them runs');

# --- a message whose time is long past, as of a clock that was wrong ------------------------

$server->comes_true('postgres', q{(SELECT waiting_for ? 'events' FROM durable.instances WHERE instance_id = 'waits')}, 'an instance waits for an event');
$server->safe_psql('postgres', <<'SQL');
INSERT INTO durable_store.inbox (task_hub, instance_id, visible_at, "timestamp", event_type, name, payload)
VALUES ('app', 'waits', '2020-01-01', '2020-01-01', 15, 'go', '1');
SQL
$server->ends('postgres', 'app', 'waits', 'which is found although it is older than all that was passed over, and nobody was woken');

$late->quit;
$reader->quit;
$server->runs('postgres', 'app', 'last', 'without the old snapshot an instance runs as ever');
$server->stop;
done_testing();
