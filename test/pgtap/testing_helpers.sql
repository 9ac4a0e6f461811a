-- durable_pgtap: assertions about instances, that hold and that do not.
CREATE EXTENSION durable_pgtap;
\ir include/setup.psql
SELECT no_plan();

CREATE FUNCTION reminder(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
BEGIN
	PERFORM durable.sleep('30 days');
	RETURN durable.call_activity('same', input);
END $$;
CREATE FUNCTION waits(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
BEGIN
	PERFORM durable.create_timer_at('2199-01-01 UTC');
	RETURN durable.wait_for_event('Approved');
END $$;
CREATE FUNCTION raises(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RAISE 'mistake' USING ERRCODE = '23505'; END $$;
CREATE FUNCTION tries(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$ BEGIN RETURN durable.call_activity('fail', '{"message": "m"}', retry => durable.retry_policy(3, '1 d')); END $$;
CREATE FUNCTION parent(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN durable.call_suborchestrator('waits', instance_id => 'child'); END $$;
CREATE FUNCTION asks(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN durable.call_activity('same', input); END $$;

-- Thirty days in milliseconds
SELECT start('reminder', '"rent"'), start('raises'), start('tries');
SELECT durable.run_until_idle() \g /dev/null
SELECT durable.instance_is_waiting_for('reminder', 'timer', description => 'for 30 days');
:run_all
SELECT durable.instance_completed_ok('reminder', '"rent"', 'the rent is due');
SELECT durable.instance_completed_ok('reminder');
SELECT durable.instance_failed_with('raises', '23505');
SELECT durable.instance_failed_with('tries', 'P0001', 'after its attempts');
SELECT durable.instance_status_is('raises', 'failed');
SELECT durable.activity_called_ok('reminder', 'same', 1);
SELECT durable.activity_called_ok('reminder', 'Same');
SELECT durable.activity_called_ok('reminder', 'other', 0);
SELECT durable.activity_called_ok('tries', 'fail', 3, 'each attempt counts');
SELECT durable.replay_fits('reminder');
SELECT start('waits'), start('parent');
SELECT durable.run_until_idle() \g /dev/null
SELECT durable.instance_is_waiting_for('waits', 'event', 'approved');
SELECT durable.instance_is_waiting_for('waits', 'timer', '2199-01-01 UTC');
SELECT durable.instance_is_waiting_for('parent', 'child', 'child', task_hub => 'app');
SELECT start('asks', '1');
-- not run yet: its first turn is still to come, so its activity is not there
SELECT durable.instance_status_is('asks', 'pending', task_hub => 'app');

-- What does not hold, and what it says then.
SELECT * FROM check_test(durable.instance_completed_ok('reminder', '"other"'), false, 'another output', 'instance reminder completed',
	E'expected:    completed with "other"\ninstance:    reminder, reminder in task hub app\nstatus:      completed\noutput:      "rent"');
SELECT * FROM check_test(durable.instance_completed_ok('raises', description => 'must be good'), false, 'not completed', 'must be good',
	E'expected:    completed\ninstance:    raises, raises in task hub app\nstatus:      failed\nfailure:     23505 mistake');
SELECT * FROM check_test(durable.instance_completed_ok('nobody'), false, 'no such instance', 'instance nobody completed', E'expected:    completed\nthere is no instance with id ''nobody''');
SELECT * FROM check_test(durable.instance_completed_ok(NULL), false, 'no instance');
SELECT * FROM check_test(durable.instance_completed_ok('reminder', task_hub => 'other'), false, 'of another hub', 'instance reminder completed', E'expected:    completed\nthere is no instance with id ''reminder''');
SELECT * FROM check_test(durable.instance_failed_with('raises', '22012'), false, 'another SQLSTATE', 'instance raises failed with 22012');
SELECT * FROM check_test(durable.instance_failed_with('reminder', '23505'), false, 'not failed');
SELECT * FROM check_test(durable.instance_status_is('waits', 'completed'), false, 'another status', 'instance waits is completed');
SELECT * FROM check_test(durable.activity_called_ok('reminder', 'same', 2), false, 'called less often', 'instance reminder called activity same 2 times');
SELECT * FROM check_test(durable.activity_called_ok('reminder', 'other'), false, 'not called');
SELECT * FROM check_test(durable.instance_is_waiting_for('waits', 'event', 'other'), false, 'another event', 'instance waits is waiting for event other');
SELECT * FROM check_test(durable.instance_is_waiting_for('waits', 'timer', '2198-01-01 UTC'), false, 'another time');
SELECT * FROM check_test(durable.instance_is_waiting_for('waits', 'activity'), false, 'another kind');
SELECT * FROM check_test(durable.instance_is_waiting_for('reminder', 'event'), false, 'finished');
SELECT * FROM check_test(durable.instance_is_waiting_for('nobody', 'event'), false, 'nobody waits');
SELECT throws_ok($$ SELECT durable.instance_is_waiting_for('waits', 'godot') $$, '22023', 'kind must not be ''godot''', 'no such kind');
SELECT * FROM check_test(durable.replay_fits('reminder', 'waits(jsonb)'), false, 'another function', 'the history of reminder fits its code');
SELECT alike(durable.describe_instance('waits'), E'instance:    waits, waits in task hub app\nstatus:      running\nwaiting for: {"events": ["approved"], "timers": [{"id": 0, "due": "2199-01-01T00:00:00+00:00"}]}', 'what it waits for is shown');
SELECT * FROM finish();
