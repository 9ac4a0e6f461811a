-- Activities are ordinary functions. Each call runs in a transaction of its own,
-- which also records that it ran: its effects happen exactly once. One that
-- raises an error leaves no effects; the orchestrator sees the error.

CREATE FUNCTION open_orders() RETURNS int[]
LANGUAGE sql
RETURN (SELECT array_agg(order_id ORDER BY order_id) FROM orders WHERE outcome IS NULL);

CREATE FUNCTION reserve(sku text, quantity int) RETURNS int
LANGUAGE plpgsql AS $$
DECLARE
	remaining int;
BEGIN
	UPDATE products p SET stock = p.stock - reserve.quantity
	 WHERE p.sku = reserve.sku AND p.stock >= reserve.quantity
	RETURNING p.stock INTO remaining;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'not enough of % left', sku USING ERRCODE = 'ZS001';
	END IF;
	RETURN remaining;
END $$;

CREATE FUNCTION release(sku text, quantity int) RETURNS int
LANGUAGE sql AS $$
	UPDATE products p SET stock = p.stock + release.quantity WHERE p.sku = release.sku RETURNING p.stock;
$$;

-- Stands for a call over the network: slow, sometimes refused, sometimes nobody is there.
CREATE FUNCTION charge(order_id int, gateway text, card text, amount numeric) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
	payment bigint;
BEGIN
	PERFORM pg_sleep(0.02);
	IF NOT (SELECT g.up FROM gateways g WHERE g.gateway = charge.gateway) THEN
		RAISE EXCEPTION 'payment gateway "%" does not answer', gateway USING ERRCODE = 'ZP001';
	END IF;
	IF card = '4000-0002' THEN
		RAISE EXCEPTION 'card % declined', card USING ERRCODE = 'ZP002';
	END IF;
	INSERT INTO ledger (order_id, kind, amount) VALUES (order_id, 'charge', amount)
	RETURNING entry INTO payment;
	RETURN payment;
END $$;

-- A function of one jsonb argument gets the input as it is.
CREATE FUNCTION refund(input jsonb) RETURNS void
LANGUAGE sql AS $$
	INSERT INTO ledger (order_id, kind, amount)
	VALUES ((input->>'order_id')::int, 'refund', -(input->>'amount')::numeric);
$$;

CREATE FUNCTION ship(input jsonb) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
	parcel bigint;
BEGIN
	IF input->>'ship_to' = 'Atlantis' THEN
		RAISE EXCEPTION 'nobody delivers to %', input->>'ship_to' USING ERRCODE = 'ZD001';
	END IF;
	INSERT INTO shipments (order_id, ship_to) VALUES ((input->>'order_id')::int, input->>'ship_to')
	RETURNING tracking INTO parcel;
	RETURN parcel;
END $$;

CREATE FUNCTION close_order(order_id int, outcome text) RETURNS jsonb
LANGUAGE sql AS $$
	UPDATE orders o SET outcome = close_order.outcome WHERE o.order_id = close_order.order_id
	RETURNING jsonb_build_object('order_id', o.order_id, 'outcome', o.outcome);
$$;
