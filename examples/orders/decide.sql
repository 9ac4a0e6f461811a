-- The back office (psql -v by=NAME): the note that it decided, and the event
-- that tells the order, in one transaction: both or none.
WITH decided AS (
	UPDATE decisions SET decided_at = now() WHERE decided_by = :'by' RETURNING *
)
SELECT count(durable.raise_event('order-' || order_id, 'decision',
	jsonb_build_object('decision', decision, 'by', decided_by))) AS decisions_raised
FROM decided;
