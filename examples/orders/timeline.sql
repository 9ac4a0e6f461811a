-- The life of one order, read from its history (psql -v order=NUMBER). Turns
-- are left out. "#n" is the id of what was scheduled, and of its answer.
\pset footer off
WITH events AS (
	SELECT *, "timestamp" - min("timestamp") OVER () AS since, fire_at - min("timestamp") OVER () AS due
	  FROM durable.history
	 WHERE instance_id = 'order-' || :order
	   AND event_type NOT IN ('OrchestratorStarted', 'OrchestratorCompleted')
), readable AS (
	SELECT seq, CASE event_type WHEN 'TimerFired' THEN due ELSE since END AS since, event_type AS event,
		   '#' || coalesce(task_scheduled_id, timer_id, nullif(event_id, -1)) AS id,
		   CASE event_type
				WHEN 'TaskScheduled' THEN name || coalesce(' ' || regexp_replace(input::text, '\\n|\\t|\s+', ' ', 'g'), '')
				WHEN 'TimerCreated' THEN 'due at ' || to_char(extract(epoch FROM due), 'FM990.000')
				WHEN 'EventRaised' THEN name || ' ' || input
				ELSE coalesce(failure->>'errorMessage', result::text, input::text)
		   END AS details
	  FROM events
	UNION ALL
	SELECT (SELECT max(seq) + 0.5 FROM events WHERE "timestamp" < pg_postmaster_start_time()),
		   pg_postmaster_start_time() - (SELECT min("timestamp") FROM events),
		   '--------', NULL, 'the server is back after the crash'
)
SELECT to_char(extract(epoch FROM since), '990.000') AS seconds, event, id,
	   CASE WHEN length(details) > 72 THEN left(details, 69) || '...' ELSE details END AS details
  FROM readable ORDER BY seq;
