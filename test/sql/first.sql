--
-- A first orchestration from end to end, as the README shows it.
--
CREATE ROLE durable_regress_first LOGIN;
SELECT durable.grant_usage('durable_regress_first');
CREATE SCHEMA first AUTHORIZATION durable_regress_first;
SET search_path = first;
SET SESSION AUTHORIZATION durable_regress_first;

CREATE TABLE stock (sku text PRIMARY KEY, free int NOT NULL CHECK (free >= 0));
INSERT INTO stock VALUES ('apple', 5), ('pear', 1);
CREATE TABLE shipped (sku text, qty int, instance text);

-- An activity is any function.
CREATE FUNCTION reserve(sku text, qty int) RETURNS int LANGUAGE sql AS
$$ UPDATE stock SET free = free - qty WHERE stock.sku = reserve.sku RETURNING free $$;
CREATE FUNCTION release(sku text, qty int) RETURNS int LANGUAGE sql AS
$$ UPDATE stock SET free = free + qty WHERE stock.sku = release.sku RETURNING free $$;
CREATE FUNCTION ship(input jsonb) RETURNS void LANGUAGE sql AS
$$ INSERT INTO shipped VALUES (input ->> 'sku', (input ->> 'qty')::int, durable.instance_id()) $$;

-- An orchestrator is a function that awaits.
CREATE FUNCTION order_saga(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
DECLARE
	approval durable.task;
	deadline durable.task;
BEGIN
	BEGIN
		PERFORM durable.call_activity('reserve', input);
	EXCEPTION WHEN check_violation THEN
		RETURN '{"status": "out of stock"}';
	END;
	approval := durable.expect_event('approved');
	deadline := durable.create_timer(interval '3 days');
	IF durable.await_any(approval, deadline) = deadline THEN
		PERFORM durable.call_activity('release', input);
		RETURN '{"status": "expired"}';
	END IF;
	PERFORM durable.cancel_timer(deadline);
	PERFORM durable.call_activity('ship', input);
	RETURN jsonb_build_object('status', 'shipped', 'by', durable.await(approval) -> 'by');
END
$$;

-- It starts with the transaction that asks for it, or not at all.
BEGIN;
SELECT durable.start_instance('order_saga', '{"sku": "apple", "qty": 4}', instance_id => 'order-0');
ROLLBACK;
BEGIN;
SELECT durable.start_instance('order_saga', '{"sku": "apple", "qty": 2}', instance_id => 'order-1');
SELECT durable.start_instance('order_saga', '{"sku": "apple", "qty": 9}', instance_id => 'order-2');
SELECT durable.start_instance('order_saga', '{"sku": "pear", "qty": 1}', instance_id => 'order-3');
COMMIT;
SELECT instance_id, status, generation FROM durable.instances ORDER BY instance_id;
SELECT instance_id, event_type FROM durable.messages ORDER BY instance_id;

-- No worker runs here: this session does the work, until all that is left waits.
-- 3 starts, 3 reservations, and 3 turns that their results cause.
SELECT durable.run_until_idle() AS work_items;
SELECT instance_id, status, output, waiting_for - 'timers' AS waiting_for, jsonb_array_length(waiting_for -> 'timers') AS timers
FROM durable.instances ORDER BY instance_id;
SELECT * FROM stock ORDER BY sku;

-- An event lets one go on.
SELECT durable.raise_event('order-1', 'approved', '{"by": "ops"}');
SELECT durable.run_until_idle() AS work_items;
SELECT instance_id, status, output FROM durable.wait_for_completion('order-1');
SELECT * FROM shipped;

-- Three days later the other one has expired.
SELECT durable.run_until_idle(advance_time => true) > 0 AS ran;
SELECT instance_id, status, output, failure FROM durable.instances ORDER BY instance_id;
SELECT * FROM stock ORDER BY sku;

-- What happened, as events of the Durable Task Framework.
SELECT seq, turn, event_type, event_id, name, coalesce(task_scheduled_id, timer_id) AS answers, input, result
FROM durable.history WHERE instance_id = 'order-1' ORDER BY seq;
SELECT seq, turn, event_type, event_id, name, coalesce(task_scheduled_id, timer_id) AS answers,
	CASE event_type WHEN 'TimerCreated' THEN justify_hours(date_trunc('hour', fire_at - "timestamp" + '1 min')) END AS fires_in,
	result, failure ->> 'sqlstate' AS sqlstate
FROM durable.history WHERE instance_id IN ('order-2', 'order-3') ORDER BY instance_id, seq;
-- The time the code saw goes forward.
SELECT instance_id, seq FROM (
	SELECT instance_id, seq, event_type, "timestamp" - lag("timestamp") OVER (PARTITION BY instance_id ORDER BY seq) AS step
	FROM durable.history WHERE event_type = 'OrchestratorStarted') s
WHERE step < '0';

-- Nothing is left to do.
SELECT ready_turns, ready_activities, timers, running FROM durable.queues;
SELECT count(*) FROM durable.messages;
SELECT count(*) FROM durable.activities;

-- An id that is finished can be used again, and what is finished can go.
SELECT durable.start_instance('order_saga', '{"sku": "pear", "qty": 2}', instance_id => 'order-1');
SELECT durable.run_until_idle() AS work_items;
SELECT instance_id, generation, status, output FROM durable.instances WHERE instance_id = 'order-1';
SELECT sum(durable.purge(instance_id)) AS purged FROM durable.instances;
SELECT (SELECT count(*) FROM durable.instances) AS instances, (SELECT count(*) FROM durable.history) AS events;

-- The same with CALL, which commits as it goes.
SELECT durable.start_instance('order_saga', '{"sku": "apple", "qty": 1}', instance_id => 'order-4',
	event_name => 'Approved', event_data => '{"by": "caller"}');
CALL durable.run();
SELECT instance_id, status, output FROM durable.instances;
SELECT * FROM shipped ORDER BY instance;

RESET SESSION AUTHORIZATION;
SET client_min_messages = warning;
DROP SCHEMA first CASCADE;
DROP OWNED BY durable_regress_first;
DROP ROLE durable_regress_first;
