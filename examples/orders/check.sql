-- Does everything add up? What should be there is computed from the CSVs alone
-- (run in their directory); an error at the end, and so psql's exit status,
-- says that something is wrong.
\set QUIET on
SET client_min_messages = warning;

CREATE TEMP TABLE csv_products (sku text PRIMARY KEY, name text, price numeric(10,2), stock int);
CREATE TEMP TABLE csv_orders (order_id int PRIMARY KEY, customer text, sku text, quantity int, gateway text, card text, ship_to text);
CREATE TEMP TABLE csv_decisions (order_id int PRIMARY KEY, decision text, decided_by text);
\copy csv_products FROM products.csv CSV HEADER
\copy csv_orders FROM orders.csv CSV HEADER
\copy csv_decisions FROM decisions.csv CSV HEADER

-- What must become of each order. Of a product that runs out it is open which
-- orders come too late (NULL), but not how many: they are all of one piece.
CREATE TEMP TABLE expected AS
SELECT o.order_id, o.sku, o.quantity, o.quantity * p.price AS amount,
	   CASE WHEN sum(o.quantity) OVER (PARTITION BY o.sku) > p.stock THEN NULL
			WHEN o.quantity * p.price >= 1000 AND d.decision IS NULL THEN 'expired'
			WHEN o.quantity * p.price >= 1000 AND d.decision <> 'approve' THEN 'rejected'
			WHEN o.card = '4000-0002' THEN 'declined'
			WHEN o.ship_to = 'Atlantis' THEN 'undeliverable'
			ELSE 'delivered' END AS outcome
  FROM csv_orders o JOIN csv_products p USING (sku) LEFT JOIN csv_decisions d USING (order_id);

-- Pieces that leave for good, and money that comes in, by product.
CREATE TEMP TABLE expected_products AS
SELECT p.sku, p.price, p.stock, count(*) FILTER (WHERE outcome IS NULL) AS contenders,
	   CASE WHEN bool_or(outcome IS NULL) THEN p.stock
			ELSE coalesce(sum(quantity) FILTER (WHERE outcome = 'delivered'), 0) END AS sold
  FROM csv_products p LEFT JOIN expected e USING (sku)
 GROUP BY p.sku;

CREATE TEMP TABLE expected_outcomes AS
SELECT outcome, sum(n)::bigint AS n
  FROM (SELECT outcome, count(*) AS n FROM expected WHERE outcome IS NOT NULL GROUP BY outcome
		UNION ALL SELECT 'delivered', sold FROM expected_products WHERE contenders > 0
		UNION ALL SELECT 'out of stock', contenders - sold FROM expected_products WHERE contenders > 0) AS parts
 GROUP BY outcome;

CREATE TEMP TABLE checks (item int GENERATED ALWAYS AS IDENTITY, what text, expected numeric, found numeric);

INSERT INTO checks (what, expected, found)
SELECT 'orders ' || outcome, coalesce(e.n, 0), coalesce(f.n, 0)
  FROM expected_outcomes e
  FULL JOIN (SELECT coalesce(outcome, 'not closed') AS outcome, count(*) AS n FROM orders GROUP BY 1) f USING (outcome)
 ORDER BY e.n DESC NULLS LAST;

INSERT INTO checks (what, expected, found)
SELECT 'orders with another outcome than their own', 0, count(*)
  FROM expected e JOIN orders o USING (order_id)
 WHERE e.outcome IS NOT NULL AND e.outcome IS DISTINCT FROM o.outcome;

INSERT INTO checks (what, expected, found)
SELECT 'products whose stock is not exact', 0, count(*)
  FROM expected_products e FULL JOIN products p USING (sku)
 WHERE p.stock IS DISTINCT FROM e.stock - e.sold;
INSERT INTO checks (what, expected, found)
SELECT 'pieces left in stock', (SELECT sum(stock - sold) FROM expected_products), sum(stock) FROM products;

INSERT INTO checks (what, expected, found)
SELECT 'charged, EUR',
	   (SELECT sum(sold * price) FROM expected_products)
	   + (SELECT coalesce(sum(amount), 0) FROM expected WHERE outcome = 'undeliverable'),
	   coalesce(sum(amount) FILTER (WHERE kind = 'charge'), 0) FROM ledger;
INSERT INTO checks (what, expected, found)
SELECT 'refunded, EUR',
	   -(SELECT coalesce(sum(amount), 0) FROM expected WHERE outcome = 'undeliverable'),
	   coalesce(sum(amount) FILTER (WHERE kind = 'refund'), 0) FROM ledger;
INSERT INTO checks (what, expected, found)
SELECT 'orders charged or refunded twice', 0, count(*)
  FROM (SELECT FROM ledger GROUP BY order_id, kind HAVING count(*) > 1) AS twice;
INSERT INTO checks (what, expected, found)
SELECT 'orders whose ledger is not what their outcome says', 0, count(*)
  FROM orders o
  JOIN expected e USING (order_id)
  LEFT JOIN (SELECT order_id, sum(amount) AS net, count(*) AS entries FROM ledger GROUP BY order_id) l USING (order_id)
 WHERE coalesce(net, 0) <> CASE o.outcome WHEN 'delivered' THEN e.amount ELSE 0 END
	OR coalesce(entries, 0) <> CASE o.outcome WHEN 'delivered' THEN 1 WHEN 'undeliverable' THEN 2 ELSE 0 END;
INSERT INTO checks (what, expected, found)
SELECT 'parcels sent', (SELECT n FROM expected_outcomes WHERE outcome = 'delivered'), count(*)
  FROM shipments JOIN orders USING (order_id) WHERE outcome = 'delivered';
INSERT INTO checks (what, expected, found)
SELECT 'parcels sent twice, or of other orders', 0, count(*) - count(DISTINCT order_id) FILTER (WHERE outcome = 'delivered')
  FROM shipments JOIN orders USING (order_id);

-- What the orchestrations say of themselves.
INSERT INTO checks (what, expected, found)
SELECT 'sub-orchestrations completed', (SELECT sum(n) FROM expected_outcomes WHERE outcome <> 'undeliverable'), count(*)
  FROM durable.instances WHERE parent_instance_id = 'fulfil-orders' AND instance_id LIKE 'order-%' AND status = 'completed';
INSERT INTO checks (what, expected, found)
SELECT 'sub-orchestrations failed (after compensation)', (SELECT n FROM expected_outcomes WHERE outcome = 'undeliverable'), count(*)
  FROM durable.instances WHERE parent_instance_id = 'fulfil-orders' AND instance_id LIKE 'order-%' AND status = 'failed'
   AND failure->>'sqlstate' = 'ZD001';
INSERT INTO checks (what, expected, found)
SELECT 'delivered, says the output of the batch', (SELECT n FROM expected_outcomes WHERE outcome = 'delivered'),
	   (output->>'delivered')::int
  FROM durable.instances WHERE instance_id = 'fulfil-orders';

\pset footer off
SELECT what, expected, found, CASE WHEN expected = found THEN 'ok' ELSE 'WRONG' END AS verdict FROM checks ORDER BY item;

DO $$
DECLARE
	wrong int := (SELECT count(*) FROM checks c WHERE c.expected IS DISTINCT FROM c.found);
BEGIN
	IF wrong > 0 THEN
		RAISE EXCEPTION '% of the checks found something else than the CSVs say', wrong;
	END IF;
END $$;
