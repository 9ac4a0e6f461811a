-- One line: where the orders are now (psql -At).
SELECT format('%s of %s orders closed; waiting for approval %s, paying %s, shipping %s, not begun %s',
	count(*) FILTER (WHERE i.completed_at IS NOT NULL),
	(SELECT count(*) FROM orders),
	count(*) FILTER (WHERE i.completed_at IS NULL AND custom_status = '"waiting for approval"'),
	count(*) FILTER (WHERE i.completed_at IS NULL AND custom_status = '"paying"'),
	count(*) FILTER (WHERE i.completed_at IS NULL AND custom_status = '"shipping"'),
	(SELECT count(*) FROM orders) - count(*) FILTER (WHERE i.completed_at IS NOT NULL OR custom_status IS NOT NULL))
  FROM durable.instances i
 WHERE name LIKE '%order_saga%';
