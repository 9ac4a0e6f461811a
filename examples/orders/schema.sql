-- A small shop: what it sells, what was ordered, what was paid and sent.
-- Nothing here knows of durable.

CREATE TABLE products (
	sku		text PRIMARY KEY,
	name	text NOT NULL,
	price	numeric(10,2) NOT NULL,
	stock	int NOT NULL CHECK (stock >= 0)
);

CREATE TABLE orders (
	order_id	int PRIMARY KEY,
	customer	text NOT NULL,
	sku			text NOT NULL REFERENCES products,
	quantity	int NOT NULL CHECK (quantity > 0),
	gateway		text NOT NULL,
	card		text NOT NULL,
	ship_to		text NOT NULL,
	outcome		text
);

-- Where the cards are charged. "north" has an outage when the demo begins.
CREATE TABLE gateways (
	gateway	text PRIMARY KEY,
	up		boolean NOT NULL
);
INSERT INTO gateways VALUES ('alpha', true), ('north', false);

-- No unique key on purpose: a second charge of an order would be recorded, and found by the check.
CREATE TABLE ledger (
	entry		bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	order_id	int NOT NULL REFERENCES orders,
	kind		text NOT NULL CHECK (kind IN ('charge', 'refund')),
	amount		numeric(10,2) NOT NULL
);

CREATE TABLE shipments (
	tracking	bigint GENERATED ALWAYS AS IDENTITY (START WITH 70001) PRIMARY KEY,
	order_id	int NOT NULL REFERENCES orders,
	ship_to		text NOT NULL
);

-- What the back office decides about expensive orders, and when it said so.
CREATE TABLE decisions (
	order_id	int PRIMARY KEY REFERENCES orders,
	decision	text NOT NULL,
	decided_by	text NOT NULL,
	decided_at	timestamptz
);
