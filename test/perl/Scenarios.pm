# Orchestrations that drive themselves, one scenario a task hub, and what must
# hold when they have ended, whatever died meanwhile. For the crash points and
# the soak test.

package Scenarios;

use strict;
use warnings;

use Exporter 'import';

our @EXPORT_OK = qw(@hubs install_scenarios start_scenarios unfinished violations purge_scenarios leftovers);

our @hubs = qw(sequence fan_out retry timer event child again terminated);

# An activity leaves its effect in a table without a key, so a second run of
# it would be seen. Nothing comes from outside: events and terminations are
# sent by activities, so a crash may not double them either.
my $activities = <<'SQL';
CREATE TABLE effects (instance_id text, execution_id text, task_id int, step int);

CREATE FUNCTION act(step int) RETURNS int LANGUAGE sql AS
$$ INSERT INTO effects VALUES (durable.instance_id(), durable.execution_id(), durable.task_id(), step) RETURNING step $$;

-- Fails but for the task with this number. What it did then is undone.
CREATE FUNCTION fail_until(task int, step int) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
	PERFORM act(step);
	IF durable.task_id() < task THEN
		RAISE EXCEPTION 'not yet' USING ERRCODE = 'P0099';
	END IF;
	RETURN step;
END $$;

CREATE FUNCTION raise(step int) RETURNS int LANGUAGE sql AS
$$ SELECT durable.raise_event(durable.instance_id(), 'go', to_jsonb(step)); SELECT act(step) $$;

CREATE FUNCTION finish_off(target text, step int) RETURNS int LANGUAGE sql AS
$$ SELECT durable.terminate(target, 'enough'); SELECT act(step) $$;

CREATE FUNCTION call(activity text, step int) RETURNS int LANGUAGE sql AS
$$ SELECT durable.call_activity(activity, jsonb_build_object('step', step))::int $$;
SQL

# Each is called "run". The comment says which steps must have had their effect once.
my %orchestrators = (
	sequence => <<'SQL',		# 1 2 3 4
CREATE FUNCTION run(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	RETURN to_jsonb(call('act', 1) + call('act', 2) + call('act', 3) + call('act', 4));
END $$;
SQL
	fan_out => <<'SQL',			# 1 .. 12, which may share a row of the queue (but 5 has to run alone), then 13 14
CREATE FUNCTION noisy(step int) RETURNS int LANGUAGE sql AS
$$ SELECT CASE WHEN step = 5 THEN (SELECT 1 FROM (SELECT pg_notify('noise', '')) n) END; SELECT act(step) $$;
CREATE FUNCTION run(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	tasks durable.task[];
	total int;
BEGIN
	FOR step IN 1 .. 12 LOOP
		tasks := tasks || durable.schedule_activity('noisy', jsonb_build_object('step', step));
	END LOOP;
	SELECT sum(result::int) INTO total FROM unnest(durable.await_all(tasks)) result;
	tasks := ARRAY[durable.schedule_activity('act', '{"step": 13}'), durable.schedule_activity('act', '{"step": 14}')];
	PERFORM durable.await_any(tasks);
	PERFORM durable.await_all(tasks);
	RETURN to_jsonb(total);
END $$;
SQL
	retry => <<'SQL',			# 1 2 3
CREATE FUNCTION run(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	policy durable.retry_policy := durable.retry_policy(max_attempts => 6, first_interval => '10 ms');
	result int;
BEGIN
	result := durable.call_activity('fail_until', '{"task": 4, "step": 1}', retry => policy)::int;
	BEGIN
		PERFORM durable.call_activity('fail_until', '{"task": 1000, "step": 9}',
			retry => durable.retry_policy(max_attempts => 2, first_interval => '10 ms'));
	EXCEPTION WHEN SQLSTATE 'P0099' THEN
		result := result + call('act', 2);
	END;
	RETURN to_jsonb(result + call('act', 3));
END $$;
SQL
	timer => <<'SQL',			# 1 2 3
CREATE FUNCTION run(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	soon durable.task;
	late durable.task;
	total int := call('act', 1);
BEGIN
	PERFORM durable.sleep('30 ms');
	total := total + call('act', 2);
	late := durable.create_timer('1 hour');
	soon := durable.create_timer('20 ms');
	IF durable.await_any(soon, late) <> soon THEN
		RAISE EXCEPTION 'the late timer came first';
	END IF;
	RETURN to_jsonb(total + call('act', 3));
END $$;
SQL
	event => <<'SQL',			# 1 2 3 4
CREATE FUNCTION run(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	total int := 0;
	tasks durable.task[];
BEGIN
	PERFORM call('raise', 1);
	total := durable.wait_for_event('go')::int;
	FOR step IN 2 .. 4 LOOP
		tasks := tasks || durable.schedule_activity('raise', jsonb_build_object('step', step));
	END LOOP;
	FOR i IN 2 .. 4 LOOP
		total := total + durable.wait_for_event('go', timeout => '1 hour')::int;
	END LOOP;
	PERFORM durable.await_all(tasks);
	RETURN to_jsonb(total);
END $$;
SQL
	child => <<'SQL',			# 1 2; each of two children 1 2
CREATE FUNCTION kid(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	RETURN to_jsonb(call('act', 1) + call('act', 2));
END $$;
CREATE FUNCTION run(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	first durable.task := durable.schedule_suborchestrator('kid', instance_id => durable.instance_id() || '/1');
	total int := call('act', 1);
BEGIN
	total := total + durable.call_suborchestrator('kid', instance_id => durable.instance_id() || '/2')::int;
	total := total + durable.await(first)::int;
	RETURN to_jsonb(total + call('act', 2));
END $$;
SQL
	again => <<'SQL',			# 1 2 3 4, each in a generation of its own
CREATE FUNCTION run(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	step int := coalesce(input->>'step', '1')::int;
	total int := coalesce(input->>'total', '0')::int + call('act', step);
BEGIN
	IF step = 4 THEN
		RETURN to_jsonb(total);
	END IF;
	PERFORM durable.continue_as_new(jsonb_build_object('step', step + 1, 'total', total));
	RETURN NULL;
END $$;
SQL
	terminated => <<'SQL',		# 2 3; the child 1
CREATE FUNCTION endless(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	PERFORM call('act', 1);
	PERFORM durable.send_event(durable.parent_instance_id(), 'ready');
	PERFORM durable.wait_for_event('never');
	RETURN to_jsonb(call('act', 9));
END $$;
CREATE FUNCTION run(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	id text := durable.instance_id() || '/1';
	child durable.task := durable.schedule_suborchestrator('endless', instance_id => id);
BEGIN
	PERFORM durable.wait_for_event('ready');
	PERFORM durable.call_activity('finish_off', jsonb_build_object('target', id, 'step', 2));
	BEGIN
		PERFORM durable.await(child);
	EXCEPTION WHEN SQLSTATE 'UD011' THEN
		RETURN to_jsonb(2 + call('act', 3));
	END;
	RETURN '"not reached"';
END $$;
SQL
);

# hub, whether it is a child, status, output, steps.
my $expectations = <<'SQL';
(VALUES ('sequence', false, 'completed', '10', '{1,2,3,4}'),
	('fan_out', false, 'completed', '78', '{1,2,3,4,5,6,7,8,9,10,11,12,13,14}'),
	('retry', false, 'completed', '6', '{1,2,3}'),
	('timer', false, 'completed', '6', '{1,2,3}'),
	('event', false, 'completed', '10', '{1,2,3,4}'),
	('child', false, 'completed', '9', '{1,2}'),
	('child', true, 'completed', '3', '{1,2}'),
	('again', false, 'completed', '10', '{1,2,3,4}'),
	('terminated', false, 'completed', '5', '{2,3}'),
	('terminated', true, 'terminated', '"enough"', '{1}'))
AS expected (task_hub, is_child, status, output, steps)
SQL

# Makes the roles with their hubs; the extension is there.
sub install_scenarios
{
	my ($server, $database) = @_;

	foreach my $hub (@hubs)
	{
		my $exists = $server->safe_psql($database, "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = '$hub')");

		$server->safe_psql($database, "CREATE ROLE $hub LOGIN") unless $exists eq 't';
		$server->safe_psql($database, "SELECT durable.grant_usage('$hub'); CREATE SCHEMA AUTHORIZATION $hub;");
		$server->sql($database, $hub, $activities . $orchestrators{$hub});
	}
	$server->safe_psql($database, 'CREATE VIEW all_effects AS '
		. join(' UNION ALL ', map { "SELECT '$_' AS task_hub, * FROM $_.effects" } @hubs));
}

# The statements that start so many instances of each hub, named "<prefix> <number>", for a superuser.
sub start_scenarios
{
	my ($prefix, $count, @of) = @_;

	return join '', map { <<"SQL" } @of ? @of : @hubs;
SET SESSION AUTHORIZATION $_;
SELECT durable.start_instance('run', instance_id => '$prefix ' || i, if_exists => 'skip') FROM generate_series(1, $count) i;
RESET SESSION AUTHORIZATION;
SQL
}

# The ids that begin so, as a range of the index: the queries below must not be slow however much there is.
sub begins_with
{
	my ($column, $prefix) = @_;

	return "$column >= '$prefix ' AND $column < '$prefix!'";
}

# The condition that instances named "<prefix> ..." are still to end, or that fewer than so many have been started in a hub.
sub unfinished
{
	my ($prefix, $count) = @_;
	my $n_started = @hubs * $count;
	my $mine = begins_with('instance_id', $prefix);
	my $hubs = join ', ', map { "'$_'" } @hubs;

	return <<"SQL";
(SELECT coalesce(bool_or(completed_at IS NULL), true) OR count(*) FILTER (WHERE parent_instance_id IS NULL) < $n_started
 FROM durable_store.instances WHERE task_hub IN ($hubs) AND $mine)
SQL
}

# A query for what is wrong with the instances of that prefix, a line each; none when all is well.
sub violations
{
	my ($prefix) = @_;
	my $hubs = join ', ', map { "'$_'" } @hubs;
	my ($ids, $message_ids, $queue_ids) = map { begins_with($_, $prefix) } 'instance_id', 'm.instance_id', 'q.instance_id';

	return <<"SQL";
WITH mine AS MATERIALIZED (
	SELECT i.*, replace(i.execution_id::text, '-', '') AS execution, expected.status AS expected_status,
		expected.output AS expected_output, expected.steps::int[] AS expected_steps
	FROM durable_store.instances i LEFT JOIN $expectations
		ON expected.task_hub = i.task_hub AND is_child = (i.parent_instance_id IS NOT NULL)
	WHERE i.task_hub IN ($hubs) AND i.$ids),
events AS MATERIALIZED (		-- of the last generation: the others have no history any more
	SELECT i.task_hub, i.instance_id, i.execution, i.last_seq, e.*, durable_store.event_type_name(e.event_type) AS type
	FROM mine i CROSS JOIN LATERAL (SELECT * FROM durable_store.history h
		WHERE h.task_hub = i.task_hub AND h.instance_id = i.instance_id OFFSET 0) h
	CROSS JOIN LATERAL (
		SELECT h.seq, h.event_id, h.task_id, h.event_type, h.opens_turn, h.closes_turn
		UNION ALL SELECT seq, event_id, task_id, event_type, opens_turn, closes_turn FROM durable_store.unpack_events(h.more)) e),
tasks AS MATERIALIZED (
	SELECT task_hub, instance_id, execution, CASE type WHEN 'TaskScheduled' THEN event_id ELSE task_id END AS id,
		count(*) FILTER (WHERE type = 'TaskScheduled') AS scheduled, count(*) FILTER (WHERE type <> 'TaskScheduled') AS answers
	FROM events WHERE type IN ('TaskScheduled', 'TaskCompleted', 'TaskFailed') GROUP BY 1, 2, 3, 4),
effects AS MATERIALIZED (SELECT * FROM all_effects WHERE $ids)
SELECT 'ended otherwise', task_hub, instance_id, status, output::text, failure::text
FROM mine WHERE (status, output::text) IS DISTINCT FROM (expected_status, expected_output)
UNION ALL
SELECT 'effects', i.task_hub, i.instance_id, e.steps::text, NULL, NULL
FROM mine i LEFT JOIN (SELECT task_hub, instance_id, array_agg(step ORDER BY step) AS steps FROM effects GROUP BY 1, 2) e
	ON (e.task_hub, e.instance_id) = (i.task_hub, i.instance_id)
WHERE e.steps IS DISTINCT FROM i.expected_steps
UNION ALL
SELECT 'effect twice', task_hub, instance_id, execution_id, task_id::text, count(*)::text
FROM effects GROUP BY task_hub, instance_id, execution_id, task_id HAVING count(*) > 1
UNION ALL
SELECT 'effect that nobody asked for', e.task_hub, e.instance_id, e.execution_id, e.task_id::text, NULL
FROM mine i JOIN effects e USING (task_hub, instance_id)
LEFT JOIN tasks t ON (t.task_hub, t.instance_id, t.execution, t.id) = (e.task_hub, e.instance_id, e.execution_id, e.task_id)
WHERE (e.execution_id = i.execution OR i.task_hub <> 'again') AND coalesce(t.scheduled, 0) <> 1
UNION ALL
SELECT 'effect without an instance', e.task_hub, e.instance_id, e.execution_id, e.task_id::text, NULL
FROM effects e WHERE NOT EXISTS (SELECT FROM mine i WHERE (i.task_hub, i.instance_id) = (e.task_hub, e.instance_id))
UNION ALL
SELECT 'task without exactly one answer', task_hub, instance_id, execution, id::text, answers::text
FROM tasks WHERE (scheduled, answers) <> (1, 1)
UNION ALL
SELECT 'message left', m.task_hub, m.instance_id, to_jsonb(m)::text, NULL, NULL
FROM durable_store.inbox m WHERE m.task_hub IN ($hubs) AND $message_ids
UNION ALL
SELECT 'activity left', q.task_hub, q.instance_id, q.task_id::text, NULL, NULL
FROM durable_store.activity_queue q WHERE q.task_hub IN ($hubs) AND $queue_ids
UNION ALL
SELECT 'history has gaps', task_hub, instance_id, (count(*) + count(*) FILTER (WHERE opens_turn) + count(*) FILTER (WHERE closes_turn))::text, last_seq::text, NULL
FROM events GROUP BY task_hub, instance_id, last_seq
HAVING count(*) + count(*) FILTER (WHERE opens_turn) + count(*) FILTER (WHERE closes_turn) <> last_seq
LIMIT 20
SQL
}

# The statements that forget what has ended, so that the next round does not have to search among it.
sub purge_scenarios
{
	return join '', map { <<"SQL" } @hubs;
SET SESSION AUTHORIZATION $_;
SELECT durable.purge_finished();
RESET SESSION AUTHORIZATION;
TRUNCATE $_.effects;
SQL
}

# A query for what the engine has still in its tables after that; '' when nothing.
sub leftovers
{
	return join ' UNION ALL ', map { "SELECT '$_', to_jsonb(t)::text FROM durable_store.$_ t" } qw(instances history inbox activity_queue);
}

1;
