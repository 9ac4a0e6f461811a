/*
 * What the cases run, in the schema "app" of the ordinary role app, who owns
 * the hub. The procedures measure: each returns what it did in a second.
 */

/* What an activity leaves behind. */
CREATE TABLE effects (instance text, step int, PRIMARY KEY (instance, step));

/*
 * The bound: what the same work costs without any engine. A loop that writes an
 * effect and a history row a step; an asynchronous commit after five steps.
 * bound_history is made like durable_store.history, which app may not see.
 */
CREATE PROCEDURE bound(instances int, payload jsonb DEFAULT '1', INOUT rate numeric DEFAULT NULL) LANGUAGE plpgsql AS $$
DECLARE
	began	timestamptz := clock_timestamp();
	prefix	text := 'b' || extract(epoch FROM began) || '-';
BEGIN
	FOR i IN 1 .. instances LOOP
		SET LOCAL synchronous_commit = off;
		FOR s IN 1 .. 5 LOOP
			INSERT INTO effects VALUES (prefix || i, s);
			INSERT INTO bound_history (task_hub, instance_id, generation, seq, turn, turn_at, "timestamp", event_id, task_id, event_type, name, payload)
			VALUES ('app', prefix || i, 1, s, s, now(), clock_timestamp(), -1, s, 5, 'write_effect', payload);
		END LOOP;
		COMMIT;
	END LOOP;
	rate := instances * 5 / extract(epoch FROM clock_timestamp() - began);
END $$;

/* ---- activities ---- */

CREATE FUNCTION write_effect(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO effects VALUES (input ->> 'instance', (input ->> 'step')::int);
	RETURN '1';
END $$;

CREATE FUNCTION noop(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	RETURN input;
END $$;

/* ---- orchestrators ---- */

/* {"steps": n}: so many inserts, one after the other */
CREATE FUNCTION do_steps(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	instance	text := durable.instance_id();
BEGIN
	FOR i IN 1 .. (input ->> 'steps')::int LOOP
		PERFORM durable.call_activity('write_effect', jsonb_build_object('instance', instance, 'step', i));
	END LOOP;
	RETURN NULL;
END $$;

CREATE FUNCTION do_noops(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1 .. (input ->> 'steps')::int LOOP
		PERFORM durable.call_activity('noop', '1');
	END LOOP;
	RETURN NULL;
END $$;

/* {"width": n}: so many inserts at once */
CREATE FUNCTION fan_out(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	instance	text := durable.instance_id();
	tasks		durable.task[];
BEGIN
	FOR i IN 1 .. (input ->> 'width')::int LOOP
		tasks[i] := durable.schedule_activity('write_effect', jsonb_build_object('instance', instance, 'step', i));
	END LOOP;
	PERFORM durable.await_all(tasks);
	RETURN NULL;
END $$;

CREATE FUNCTION get_events(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1 .. (input ->> 'events')::int LOOP
		PERFORM durable.wait_for_event('go');
	END LOOP;
	RETURN NULL;
END $$;

CREATE FUNCTION sleep_until(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	PERFORM durable.sleep_until((input ->> 'until')::timestamptz);
	RETURN NULL;
END $$;

CREATE FUNCTION echo(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	RETURN input;
END $$;

CREATE FUNCTION have_children(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	tasks	durable.task[];
BEGIN
	FOR i IN 1 .. (input ->> 'children')::int LOOP
		tasks[i] := durable.schedule_suborchestrator('echo', to_jsonb(i));
	END LOOP;
	PERFORM durable.await_all(tasks);
	RETURN NULL;
END $$;

/* Hands a payload from step to step, so that each step stores it as its result. */
CREATE FUNCTION pass_on(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1 .. 5 LOOP
		input := durable.call_activity('noop', input);
	END LOOP;
	RETURN NULL;
END $$;

/* Does not compress: n kB of random digits. */
CREATE FUNCTION payload(kilobytes int) RETURNS jsonb LANGUAGE sql VOLATILE AS $$
	SELECT to_jsonb(string_agg(md5(random()::text), '')) FROM generate_series(1, kilobytes * 32);
$$;

/* ---- measuring ---- */

/* Is the instance finished? Looks it up by its key alone, so that waiting costs the server little. */
CREATE FUNCTION finished(hub text, instance text) RETURNS boolean LANGUAGE plpgsql STABLE SECURITY DEFINER AS $$
BEGIN
	RETURN (SELECT /* bench */ completed_at IS NOT NULL FROM durable_store.instances i WHERE i.task_hub = hub AND i.instance_id = instance);
END $$;

/* Waits for the instances prefix || 1 ... n. Those of several hubs are in hub || 0, hub || 1 ... by turns. */
CREATE PROCEDURE await_instances(prefix text, n int, hub text DEFAULT 'app', hubs int DEFAULT 1) LANGUAGE plpgsql AS $$
DECLARE
	name	text := hub;
BEGIN
	FOR i IN 1 .. n LOOP
		IF hubs > 1 THEN
			name := hub || i % hubs;
		END IF;
		WHILE finished(name, prefix || i) IS NOT TRUE LOOP
			COMMIT;
			PERFORM pg_sleep(0.002);
		END LOOP;
	END LOOP;
END $$;

/*
 * Starts n instances with one statement, in which %s stands for the prefix of
 * their ids, and waits until all are finished. Returns how many a second, from
 * the beginning of the statement on, and how long the statement took.
 */
CREATE PROCEDURE run_instances(statement text, n int, hub text DEFAULT 'app', hubs int DEFAULT 1,
	INOUT rate numeric DEFAULT NULL, INOUT start_seconds numeric DEFAULT NULL) LANGUAGE plpgsql AS $$
DECLARE
	began	timestamptz := clock_timestamp();
	prefix	text := 'r' || extract(epoch FROM began) || '-';
BEGIN
	EXECUTE format(statement, prefix);
	COMMIT;
	start_seconds := extract(epoch FROM clock_timestamp() - began);
	CALL await_instances(prefix, n, hub, hubs);
	rate := n / extract(epoch FROM clock_timestamp() - began);
END $$;
