-- Orchestrators are functions that await. They are run again from the top after
-- every wait, and after every crash, so they only decide: whatever reads or
-- writes is an activity.

-- A helper: gives the goods back and closes the order.
CREATE FUNCTION give_up(o jsonb, outcome text) RETURNS jsonb
LANGUAGE plpgsql AS $$
BEGIN
	PERFORM durable.call_activity('release', jsonb_build_object('sku', o->'sku', 'quantity', o->'quantity'));
	RETURN durable.call_activity('close_order', jsonb_build_object('order_id', o->'order_id', 'outcome', outcome));
END $$;

-- One order: reserve, have it approved if it is expensive, charge, ship.
CREATE FUNCTION order_saga(input jsonb) RETURNS jsonb
LANGUAGE plpgsql AS $$
DECLARE
	o			jsonb;
	decision	jsonb;
BEGIN
	o := durable.call_sql(
		'SELECT order_id, sku, quantity, quantity * price AS amount, gateway, card, ship_to
		   FROM orders JOIN products USING (sku) WHERE order_id = $1', (input->>'order_id')::int);

	BEGIN
		PERFORM durable.call_activity('reserve', jsonb_build_object('sku', o->'sku', 'quantity', o->'quantity'));
	EXCEPTION WHEN SQLSTATE 'ZS001' THEN		-- an activity's failure is an ordinary error
		RETURN durable.call_activity('close_order', jsonb_build_object('order_id', o->'order_id', 'outcome', 'out of stock'));
	END;

	IF (o->>'amount')::numeric >= 1000 THEN
		PERFORM durable.set_custom_status('"waiting for approval"');
		BEGIN
			decision := durable.wait_for_event('decision', timeout => (input->>'approval_deadline')::interval);
		EXCEPTION WHEN SQLSTATE 'UD006' THEN	-- nobody decided in time
			RETURN give_up(o, 'expired');
		END;
		IF decision->>'decision' <> 'approve' THEN
			RETURN give_up(o, 'rejected');
		END IF;
	END IF;

	PERFORM durable.set_custom_status('"paying"');
	BEGIN
		PERFORM durable.call_activity('charge',
			jsonb_build_object('order_id', o->'order_id', 'gateway', o->'gateway', 'card', o->'card', 'amount', o->'amount'),
			retry => durable.retry_policy(max_attempts => 60, first_interval => '1 s', backoff => 2,
										  max_interval => '3 s', retry_on => '{ZP001}'));
	EXCEPTION WHEN SQLSTATE 'ZP002' THEN		-- declined: trying again would not help
		RETURN give_up(o, 'declined');
	END;

	PERFORM durable.set_custom_status('"shipping"');
	BEGIN
		PERFORM durable.call_activity('ship', o);
	EXCEPTION WHEN OTHERS THEN					-- undo what was done, then fail
		PERFORM durable.call_activity('refund', o);
		PERFORM give_up(o, 'undeliverable');
		RAISE;
	END;

	RETURN durable.call_activity('close_order', jsonb_build_object('order_id', o->'order_id', 'outcome', 'delivered'));
END $$;

-- The engineers need a while to repair a gateway.
CREATE FUNCTION repair_gateway(input jsonb) RETURNS jsonb
LANGUAGE plpgsql AS $$
BEGIN
	PERFORM durable.sleep((input->>'after')::interval);
	RETURN durable.call_sql('UPDATE gateways SET up = true WHERE gateway = $1 RETURNING gateway, up', input->>'gateway');
END $$;

-- All open orders at once, each as a sub-orchestration; returns how many ended how.
CREATE FUNCTION fulfil_orders(input jsonb) RETURNS jsonb
LANGUAGE plpgsql AS $$
DECLARE
	order_ids	jsonb;
	order_id	int;
	repair		durable.task;
	saga		durable.task;
	sagas		durable.task[];
	outcome		text;
	outcomes	jsonb := '{}';
BEGIN
	repair := durable.schedule_suborchestrator('repair_gateway',
		jsonb_build_object('gateway', 'north', 'after', input->'outage'), instance_id => 'repair-north');

	order_ids := durable.call_activity('open_orders');
	FOR order_id IN SELECT jsonb_array_elements_text(order_ids) LOOP
		sagas := sagas || durable.schedule_suborchestrator('order_saga',
			jsonb_build_object('order_id', order_id, 'approval_deadline', input->'approval_deadline'),
			instance_id => 'order-' || order_id);
	END LOOP;

	FOREACH saga IN ARRAY sagas LOOP
		BEGIN
			outcome := durable.await(saga)->>'outcome';
		EXCEPTION WHEN OTHERS THEN				-- the saga of that order failed; the others go on
			outcome := 'failed';
		END;
		outcomes := outcomes || jsonb_build_object(outcome, coalesce((outcomes->outcome)::int, 0) + 1);
	END LOOP;

	PERFORM durable.await(repair);
	RETURN outcomes;
END $$;
