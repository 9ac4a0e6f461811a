/* durable_pgtap: pgTAP assertions about orchestrations, version 1.0 */

\echo Use "CREATE EXTENSION durable_pgtap" to load this file. \quit

/*
 * An extension of its own, so that durable does not need pgTAP. The functions
 * are called as the user and find pgTAP's as those find each other: in the
 * search_path. They look through durable's views, in the hub of the argument,
 * else in every hub the user may read.
 *
 * Arguments that can be left out come last, so they are given by name:
 * durable.instance_completed_ok('order-17', output => '{"paid": true}').
 */

/* What is true of an instance, for diagnostics. */
CREATE FUNCTION durable.describe_instance(instance_id text, task_hub text DEFAULT NULL) RETURNS text
	LANGUAGE sql STABLE PARALLEL RESTRICTED
BEGIN ATOMIC
	SELECT coalesce(pg_catalog.string_agg(
		pg_catalog.concat_ws(E'\n', 'instance:    ' || i.instance_id || ', ' || i.name || ' in task hub ' || i.task_hub,
			'status:      ' || i.status,
			'output:      ' || i.output::text,
			'failure:     ' || nullif(pg_catalog.concat_ws(' ', i.failure ->> 'sqlstate', i.failure ->> 'errorMessage'), ''),
			'waiting for: ' || nullif(i.waiting_for, '{}')::text), E'\n'),
		'there is no instance with id ' || pg_catalog.quote_nullable(describe_instance.instance_id))
	FROM durable.instances i
	WHERE i.instance_id = describe_instance.instance_id
		AND i.task_hub = coalesce(describe_instance.task_hub, i.task_hub);
END;
COMMENT ON FUNCTION durable.describe_instance(text, text) IS
'How an instance is, for the diagnostics of a test: status, output, failure, what it waits for.';

/* ok(), with what the instance is like if it is not. */
CREATE FUNCTION durable.instance_ok(holds boolean, instance_id text, description text, expected text, task_hub text) RETURNS text
	LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE AS
$$
BEGIN
	RETURN ok(coalesce(holds, false), description) || CASE WHEN holds THEN ''
		ELSE E'\n' || diag('expected:    ' || expected || E'\n' || durable.describe_instance(instance_id, task_hub)) END;
END $$;
COMMENT ON FUNCTION durable.instance_ok(boolean, text, text, text, text) IS
'pgTAP: an assertion about an instance with a description; when it fails, what was expected and how the instance is.';

CREATE FUNCTION durable.instance_status_is(instance_id text, status text, description text DEFAULT NULL, task_hub text DEFAULT NULL)
RETURNS text LANGUAGE sql VOLATILE PARALLEL UNSAFE AS
$$
	SELECT durable.instance_ok(
		EXISTS (SELECT FROM durable.instances i
			WHERE i.instance_id = $1 AND i.task_hub = coalesce($4, i.task_hub) AND i.status = $2),
		$1, coalesce($3, pg_catalog.format('instance %s is %s', $1, $2)), 'status ' || $2, $4)
$$;
COMMENT ON FUNCTION durable.instance_status_is(text, text, text, text) IS
'pgTAP: the instance has this status (pending, running, suspended, completed, failed, terminated, canceled).';

CREATE FUNCTION durable.instance_completed_ok(instance_id text, output jsonb DEFAULT NULL, description text DEFAULT NULL, task_hub text DEFAULT NULL)
RETURNS text LANGUAGE sql VOLATILE PARALLEL UNSAFE AS
$$
	SELECT durable.instance_ok(
		EXISTS (SELECT FROM durable.instances i
			WHERE i.instance_id = $1 AND i.task_hub = coalesce($4, i.task_hub) AND i.status = 'completed'
			AND ($2 IS NULL OR i.output = $2)),
		$1, coalesce($3, pg_catalog.format('instance %s completed', $1)), 'completed' || coalesce(' with ' || $2::text, ''), $4)
$$;
COMMENT ON FUNCTION durable.instance_completed_ok(text, jsonb, text, text) IS
'pgTAP: the instance has completed; with this output, unless that is NULL.';

CREATE FUNCTION durable.instance_failed_with(instance_id text, sqlstate text, description text DEFAULT NULL, task_hub text DEFAULT NULL)
RETURNS text LANGUAGE sql VOLATILE PARALLEL UNSAFE AS
$$
	SELECT durable.instance_ok(
		EXISTS (SELECT FROM durable.instances i
			WHERE i.instance_id = $1 AND i.task_hub = coalesce($4, i.task_hub) AND i.status = 'failed'
			AND i.failure ->> 'sqlstate' = $2),
		$1, coalesce($3, pg_catalog.format('instance %s failed with %s', $1, $2)), 'failed with SQLSTATE ' || $2, $4)
$$;
COMMENT ON FUNCTION durable.instance_failed_with(text, text, text, text) IS
'pgTAP: the instance has failed with this SQLSTATE.';

CREATE FUNCTION durable.instance_is_waiting_for(instance_id text, kind text, name text DEFAULT NULL, description text DEFAULT NULL, task_hub text DEFAULT NULL)
RETURNS text LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE AS
$$
DECLARE
	what text := coalesce(pg_catalog.format('%s %s', kind, name), kind);
	waits boolean;
BEGIN
	IF kind NOT IN ('activity', 'timer', 'event', 'child') THEN
		RAISE invalid_parameter_value USING MESSAGE = pg_catalog.format('kind must not be ''%s''', kind),
			HINT = 'It is ''activity'', ''timer'', ''event'' or ''child''.';
	END IF;
	SELECT pg_catalog.bool_or(CASE kind
			WHEN 'activity' THEN EXISTS (SELECT FROM pg_catalog.jsonb_array_elements(i.waiting_for -> 'activities') a
				WHERE $3 IS NULL OR a ->> 'name' = $3)
			WHEN 'timer' THEN EXISTS (SELECT FROM pg_catalog.jsonb_array_elements(i.waiting_for -> 'timers') t
				WHERE $3 IS NULL OR (t ->> 'due')::timestamptz = $3::timestamptz)
			WHEN 'event' THEN EXISTS (SELECT FROM pg_catalog.jsonb_array_elements_text(i.waiting_for -> 'events') e(event)
				WHERE $3 IS NULL OR pg_catalog.lower(e.event) = pg_catalog.lower($3))
			ELSE EXISTS (SELECT FROM pg_catalog.jsonb_array_elements_text(i.waiting_for -> 'children') c(id)
				WHERE $3 IS NULL OR c.id = $3)
		END) INTO waits
	FROM durable.instances i
	WHERE i.instance_id = $1 AND i.task_hub = coalesce($5, i.task_hub);
	RETURN durable.instance_ok(waits, $1, coalesce(description, pg_catalog.format('instance %s is waiting for %s', $1, what)),
		'it waits for ' || what, $5);
END $$;
COMMENT ON FUNCTION durable.instance_is_waiting_for(text, text, text, text, text) IS
'pgTAP: the instance awaits something of this kind: activity (by name), timer (by the time it is due), event (by name, without case) or child (by instance id); NULL: any of the kind. Error 22023: no such kind.';

CREATE FUNCTION durable.activity_called_ok(instance_id text, name text, times integer DEFAULT NULL, description text DEFAULT NULL, task_hub text DEFAULT NULL)
RETURNS text LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE AS
$$
DECLARE
	calls bigint;
BEGIN
	SELECT pg_catalog.count(*) INTO calls FROM durable.history h
	WHERE h.instance_id = $1 AND h.task_hub = coalesce($5, h.task_hub) AND h.event_type = 'TaskScheduled'
		AND pg_catalog.lower(h.name) = pg_catalog.lower($2);
	RETURN durable.instance_ok(CASE WHEN times IS NULL THEN calls > 0 ELSE calls = times END, $1,
		coalesce(description, pg_catalog.format('instance %s called activity %s', $1, $2) || coalesce(pg_catalog.format(' %s times', times), '')),
		pg_catalog.format('%s calls of activity %s, there were %s', coalesce(times::text, 'some'), $2, calls), $5);
END $$;
COMMENT ON FUNCTION durable.activity_called_ok(text, text, integer, text, text) IS
'pgTAP: the current execution of the instance has scheduled this activity so many times, retries included (NULL: at least once). call_sql() schedules the activity durable.sql.';

CREATE FUNCTION durable.replay_fits(instance_id text, function regprocedure DEFAULT NULL, description text DEFAULT NULL, task_hub text DEFAULT NULL)
RETURNS text LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE AS
$$
DECLARE
	result record;
BEGIN
	result := durable.check_replay($1, $2, task_hub => $4);
	RETURN ok(result.fits, coalesce(description, pg_catalog.format('the history of %s fits its code', $1)))
		|| CASE WHEN result.fits THEN '' ELSE E'\n' || diag(pg_catalog.concat_ws(E'\n',
			pg_catalog.format('event %s:     %s', result.event_seq, result.event),
			'recorded:    ' || result.recorded, 'requested:   ' || result.requested, result.message)) END;
END $$;
COMMENT ON FUNCTION durable.replay_fits(text, regprocedure, text, text) IS
'pgTAP: check_replay() finds that the recorded or imported history fits its code, or that of a function; if not, where it differs.';
