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
	fan_out => <<'SQL',			# 1 .. 6, then 7 8
CREATE FUNCTION run(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	tasks durable.task[];
	total int;
BEGIN
	FOR step IN 1 .. 6 LOOP
		tasks := tasks || durable.schedule_activity('act', jsonb_build_object('step', step));
	END LOOP;
	SELECT sum(result::int) INTO total FROM unnest(durable.await_all(tasks)) result;
	tasks := ARRAY[durable.schedule_activity('act', '{"step": 7}'), durable.schedule_activity('act', '{"step": 8}')];
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
	('fan_out', false, 'completed', '21', '{1,2,3,4,5,6,7,8}'),
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

# The condition that such instances are still to end, of which at least so many were started in each hub.
sub unfinished
{
	my ($prefix, $count) = @_;
	my $n_hubs = @hubs;

	return <<"SQL";
EXISTS (SELECT FROM durable.instances WHERE starts_with(instance_id, '$prefix ') AND completed_at IS NULL)
OR (SELECT count(*) < $n_hubs * $count FROM durable.instances WHERE starts_with(instance_id, '$prefix ') AND parent_instance_id IS NULL)
SQL
}

# A query for what is wrong with the instances of that prefix ('': with all), a line each; none when all is well.
sub violations
{
	my ($prefix) = @_;

	return <<"SQL";
WITH mine AS MATERIALIZED (SELECT * FROM durable.instances WHERE starts_with(instance_id, '$prefix'))
SELECT 'ended otherwise', i.task_hub, i.instance_id, i.status, i.output::text, i.failure::text
FROM mine i LEFT JOIN $expectations ON expected.task_hub = i.task_hub AND is_child = (i.parent_instance_id IS NOT NULL)
WHERE (i.status, i.output::text) IS DISTINCT FROM (expected.status, expected.output)
UNION ALL
SELECT 'effects', i.task_hub, i.instance_id, e.steps::text, NULL, NULL
FROM mine i JOIN $expectations ON expected.task_hub = i.task_hub AND is_child = (i.parent_instance_id IS NOT NULL)
LEFT JOIN (SELECT task_hub, instance_id, array_agg(step ORDER BY step) AS steps FROM all_effects GROUP BY 1, 2) e
	ON (e.task_hub, e.instance_id) = (i.task_hub, i.instance_id)
WHERE e.steps IS DISTINCT FROM expected.steps::int[]
UNION ALL
SELECT 'effect twice', task_hub, instance_id, execution_id, task_id::text, count(*)::text
FROM all_effects WHERE starts_with(instance_id, '$prefix')
GROUP BY task_hub, instance_id, execution_id, task_id HAVING count(*) > 1
UNION ALL
SELECT 'effect that nobody asked for', e.task_hub, e.instance_id, e.execution_id, e.task_id::text, NULL
FROM mine i JOIN all_effects e USING (task_hub, instance_id)
WHERE (e.execution_id = i.execution_id OR i.task_hub <> 'again')	-- the history of former generations is gone
AND NOT EXISTS (SELECT FROM durable.history h WHERE (h.task_hub, h.instance_id, h.execution_id) = (e.task_hub, e.instance_id, e.execution_id)
	AND h.event_type = 'TaskScheduled' AND h.event_id = e.task_id)
UNION ALL
SELECT 'task without exactly one answer', h.task_hub, h.instance_id, h.execution_id::text, h.event_id::text, a.answers::text
FROM mine i JOIN durable.history h USING (task_hub, instance_id)
CROSS JOIN LATERAL (SELECT count(*) AS answers FROM durable.history a
	WHERE (a.task_hub, a.instance_id, a.execution_id) = (h.task_hub, h.instance_id, h.execution_id)
	AND a.event_type IN ('TaskCompleted', 'TaskFailed') AND a.task_scheduled_id = h.event_id) a
WHERE h.event_type = 'TaskScheduled' AND a.answers <> 1
UNION ALL
SELECT 'message left', m.task_hub, m.instance_id, m.message::text, NULL, NULL
FROM (SELECT task_hub, instance_id, to_jsonb(m) AS message FROM durable_store.inbox m) m WHERE starts_with(m.instance_id, '$prefix')
UNION ALL
SELECT 'activity left', q.task_hub, q.instance_id, q.task_id::text, NULL, NULL
FROM durable_store.activity_queue q WHERE starts_with(q.instance_id, '$prefix')
UNION ALL
SELECT 'history has gaps', h.task_hub, h.instance_id, count(*)::text, max(h.seq)::text, NULL
FROM mine i JOIN durable.history h USING (task_hub, instance_id)
GROUP BY h.task_hub, h.instance_id, h.generation HAVING count(*) <> max(h.seq)
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
