-- Random orchestrations, replayed from every prefix of their histories.
--
-- Programs are generated: sequences, fan-outs, races with await_any, retries,
-- events, timers, sub-orchestrations, handlers, continue-as-new. Each is run
-- under several random orders of arrival: triggers put off what is queued and
-- each timer by random hours, which the session's clock skips, and a second
-- instance sends events and suspends.
--
-- Then every history is cut after each of its events. The cut is put into a
-- hub of its own as if the engine had come so far, and woken: the turn must
-- decide what the recorded one decided after this event, with the same
-- numbers, inputs and times. Last, the messages of the recorded turns are delivered
-- again in smaller groups: in more turns the same decisions must come.
--
-- A case is a program and an order of arrival. They are the same each time;
-- SEED=n makes others, CASES=n says how many. A failed test shows seeds and histories.
\ir ../pgtap/include/setup.psql
\getenv seed SEED
\getenv cases CASES
\if :{?seed}
\else
	\set seed 8
\endif
\if :{?cases}
\else
	\set cases 10000
\endif
\set orders 4
SELECT plan(11);
SELECT diag(format('SEED=%s CASES=%s', :seed, :cases));
SET client_min_messages = error;

-- ---------------------------------------------------------------------------
-- Programs
-- ---------------------------------------------------------------------------

CREATE FUNCTION pick(seed bigint, salt int, n int) RETURNS int LANGUAGE sql IMMUTABLE
	RETURN abs(hashint8extended(seed, salt) % n)::int;

CREATE FUNCTION act(v int) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
	IF v % 5 = 0 THEN
		RAISE EXCEPTION 'activity % failed', v USING ERRCODE = 'ZZ001';
	END IF;
	RETURN v * 7 % 1000;
END $$;
-- Of the attempts at something, which have numbers of their own, a third succeeds.
CREATE FUNCTION flaky(v int) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
	IF (durable.task_id() + v) % 3 > 0 THEN
		RAISE EXCEPTION 'attempt failed' USING ERRCODE = 'ZZ002';
	END IF;
	RETURN v;
END $$;
CREATE FUNCTION times(jsonb) RETURNS void LANGUAGE sql AS '';
CREATE FUNCTION steer(id text, what text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	IF what = 'suspend' THEN
		PERFORM durable.suspend(id);
	ELSE
		PERFORM durable.resume(id);
	END IF;
END $$;
-- External ones never share a transaction with a turn or with each other.
SELECT durable.register_activity(f, f::regproc::regprocedure, external => true) FROM unnest(ARRAY['act', 'flaky', 'times', 'steer', 'same']) f \g /dev/null

CREATE FUNCTION hours(n jsonb) RETURNS interval LANGUAGE sql IMMUTABLE RETURN n::int * interval '1 hour';

-- What can be awaited, {"kind": ..., }.
CREATE FUNCTION begin_task(t jsonb) RETURNS durable.task LANGUAGE plpgsql AS $$
BEGIN
	CASE t ->> 'kind'
		WHEN 'act' THEN RETURN durable.schedule_activity('act', jsonb_build_object('v', t -> 'v'));
		WHEN 'flaky' THEN RETURN durable.schedule_activity('flaky', jsonb_build_object('v', t -> 'v'), retry => durable.retry_policy(3, '1 h', 2));
		WHEN 'timer' THEN RETURN durable.create_timer(hours(t -> 'h'));
		WHEN 'event' THEN RETURN durable.expect_event(t ->> 'name');
		WHEN 'child' THEN RETURN durable.schedule_suborchestrator('program', jsonb_build_object('steps', t -> 'body'));
		WHEN 'retried child' THEN
			RETURN durable.schedule_suborchestrator('program', jsonb_build_object('steps', t -> 'body'), retry => durable.retry_policy(2, '1 h'));
	END CASE;
END $$;

CREATE FUNCTION result_of(t durable.task) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
	result jsonb := durable.await(t);
BEGIN
	RETURN CASE jsonb_typeof(result) WHEN 'number' THEN result::int ELSE 1 END;
END $$;

-- Runs steps; "acc" is made of all results, and decides which way to go.
CREATE FUNCTION run_steps(steps jsonb, acc int) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
	step	jsonb;
	tasks	durable.task[];
	winner	durable.task;
	results	jsonb[];
BEGIN
	FOR step IN SELECT jsonb_array_elements(steps) LOOP
		acc := acc % 100000;
		CASE step ->> 'op'
			WHEN 'one' THEN
				acc := acc * 3 + result_of(begin_task(step -> 'task'));
			WHEN 'all' THEN
				SELECT array_agg(begin_task(t)) INTO tasks FROM jsonb_array_elements(step -> 'tasks') t;
				results := durable.await_all(tasks);
				acc := acc * 3 + cardinality(results);
			WHEN 'race' THEN
				SELECT array_agg(begin_task(t)) INTO tasks FROM jsonb_array_elements(step -> 'tasks') t;
				winner := durable.await_any(tasks);
				acc := acc * 5 + array_position(tasks, winner);
				FOR i IN 1 .. cardinality(tasks) LOOP
					IF step -> 'tasks' -> i - 1 ->> 'kind' = 'timer' AND step -> 'cancel' = 'true' AND tasks[i] <> winner THEN
						PERFORM durable.cancel_timer(tasks[i]);
					ELSIF step -> 'drain' = 'true' AND step -> 'tasks' -> i - 1 ->> 'kind' <> 'event' THEN
						acc := acc * 3 + result_of(tasks[i]);
					END IF;
				END LOOP;
			WHEN 'event' THEN
				BEGIN
					PERFORM durable.wait_for_event(step ->> 'name', hours(step -> 'h'));
					acc := acc * 3;
				EXCEPTION WHEN SQLSTATE 'UD006' THEN
					acc := acc * 3 + 1;
				END;
			WHEN 'try' THEN
				BEGIN
					acc := run_steps(step -> 'body', acc);
				EXCEPTION WHEN OTHERS THEN
					acc := run_steps(step -> 'handler', acc + ascii(right(SQLSTATE, 1)));
				END;
			WHEN 'if' THEN
				acc := run_steps(step -> CASE acc % 2 WHEN 0 THEN 'then' ELSE 'else' END, acc);
			WHEN 'random' THEN
				PERFORM durable.call_activity('same', jsonb_build_array(durable.execution_id(), random()));
			WHEN 'times' THEN
				PERFORM durable.call_activity('times', jsonb_build_array(durable.new_guid(), durable.orchestration_time(), now()));
			WHEN 'status' THEN
				PERFORM durable.set_custom_status(to_jsonb(acc));
			WHEN 'send' THEN
				PERFORM durable.send_event(durable.instance_id(), step ->> 'name', to_jsonb(acc));
			WHEN 'detach' THEN
				PERFORM durable.start_detached('leaf', to_jsonb(acc));
		END CASE;
	END LOOP;
	RETURN acc;
END $$;

-- {"steps": [...], "rounds": n, "keep": bool}: in so many generations.
CREATE FUNCTION program(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	acc int := run_steps(input -> 'steps', coalesce((input -> 'acc')::int, 0));
BEGIN
	IF (input -> 'rounds')::int > 1 THEN
		PERFORM durable.continue_as_new(input || jsonb_build_object('rounds', (input -> 'rounds')::int - 1, 'acc', acc % 1000), (input -> 'keep')::boolean);
	END IF;
	RETURN acc;
END $$;
CREATE FUNCTION leaf(input jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT input';

-- {"id": of the other instance, "plan": [{"h": hours, "do": "event" | "suspend" | "resume"}]}
CREATE FUNCTION disturb(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	what jsonb;
BEGIN
	FOR what IN SELECT jsonb_array_elements(input -> 'plan') LOOP
		PERFORM durable.sleep(hours(what -> 'h'));
		IF what ->> 'do' = 'event' THEN
			PERFORM durable.send_event(input ->> 'id', what ->> 'name', what -> 'h');
		ELSE
			BEGIN
				PERFORM durable.call_activity('steer', jsonb_build_object('id', input -> 'id', 'what', what -> 'do'));
			EXCEPTION WHEN SQLSTATE 'UD010' THEN
				NULL;		-- it has finished
			END;
		END IF;
	END LOOP;
	RETURN NULL;
END $$;

CREATE FUNCTION make_steps(seed bigint, depth int) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	RETURN (SELECT jsonb_agg(make_step(hashint8extended(seed, 100 + i), depth) ORDER BY i)
		FROM generate_series(1, 1 + pick(seed, 0, 4 - depth)) i);
END $$;

CREATE FUNCTION make_task(seed bigint, depth int) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	CASE pick(seed, 1, CASE depth WHEN 3 THEN 8 ELSE 10 END)
		WHEN 0, 1, 2 THEN RETURN jsonb_build_object('kind', 'act', 'v', pick(seed, 2, 1000));
		WHEN 3 THEN RETURN jsonb_build_object('kind', 'flaky', 'v', pick(seed, 2, 1000));
		WHEN 4, 5 THEN RETURN jsonb_build_object('kind', 'timer', 'h', pick(seed, 2, 6));
		WHEN 6, 7 THEN RETURN jsonb_build_object('kind', 'event', 'name', chr(97 + pick(seed, 2, 3)));
		WHEN 8 THEN RETURN jsonb_build_object('kind', 'child', 'body', make_steps(hashint8extended(seed, 3), 3));
		WHEN 9 THEN RETURN jsonb_build_object('kind', 'retried child', 'body', make_steps(hashint8extended(seed, 3), 3));
	END CASE;
END $$;

-- Several tasks; an event alone may never come, so there is always one that ends.
CREATE FUNCTION make_tasks(seed bigint, depth int, events boolean) RETURNS jsonb LANGUAGE sql AS $$
	SELECT jsonb_agg(t) FROM (
		SELECT make_task(hashint8extended(seed, i), depth) AS t FROM generate_series(1, 1 + pick(seed, 0, 3)) i
		UNION ALL SELECT jsonb_build_object('kind', CASE pick(seed, 9, 2) WHEN 0 THEN 'timer' ELSE 'act' END, 'h', pick(seed, 10, 8), 'v', pick(seed, 11, 100))) t
	WHERE events OR t ->> 'kind' <> 'event';
$$;

CREATE FUNCTION make_step(seed bigint, depth int) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	inner_seed bigint := hashint8extended(seed, 7);
BEGIN
	CASE pick(seed, 1, CASE depth WHEN 3 THEN 16 ELSE 22 END)
		WHEN 0, 1, 2 THEN RETURN jsonb_build_object('op', 'one', 'task', make_tasks(inner_seed, 3, false) -> 0);
		WHEN 3, 4 THEN RETURN jsonb_build_object('op', 'all', 'tasks', make_tasks(inner_seed, depth, false));
		WHEN 5, 6, 7, 8 THEN
			RETURN jsonb_build_object('op', 'race', 'tasks', make_tasks(inner_seed, depth, true), 'cancel', pick(seed, 2, 2) = 0, 'drain', pick(seed, 3, 2) = 0);
		WHEN 9, 10 THEN RETURN jsonb_build_object('op', 'event', 'name', chr(97 + pick(seed, 2, 3)), 'h', pick(seed, 3, 8));
		WHEN 11 THEN RETURN '{"op": "random"}';
		WHEN 12 THEN RETURN '{"op": "times"}';
		WHEN 13 THEN RETURN '{"op": "status"}';
		WHEN 14 THEN RETURN jsonb_build_object('op', 'send', 'name', chr(97 + pick(seed, 2, 3)));
		WHEN 15 THEN RETURN '{"op": "detach"}';
		WHEN 16, 17, 18, 19 THEN
			RETURN jsonb_build_object('op', 'try', 'body', make_steps(inner_seed, depth + 1), 'handler', make_steps(hashint8extended(seed, 8), 3));
		ELSE RETURN jsonb_build_object('op', 'if', 'then', make_steps(inner_seed, depth + 1), 'else', make_steps(hashint8extended(seed, 8), depth + 1));
	END CASE;
END $$;

CREATE FUNCTION make_program(seed bigint) RETURNS jsonb LANGUAGE sql AS $$
	SELECT jsonb_build_object('steps', make_steps(seed, 1), 'rounds', CASE pick(seed, 20, 4) WHEN 0 THEN 2 ELSE 1 END, 'keep', pick(seed, 21, 2) = 0);
$$;

-- Four events a day; a suspension is always followed by a resumption.
CREATE FUNCTION make_plan(seed bigint) RETURNS jsonb LANGUAGE sql AS $$
	SELECT coalesce(jsonb_agg(jsonb_build_object('h', pick(seed, 10 + i, 4), 'name', chr(97 + pick(seed, 20 + i, 3)),
		'do', CASE WHEN pick(seed, 1, 5) > 0 THEN 'event' ELSE (ARRAY['suspend', 'event', 'resume'])[(i - 1) % 3 + 1] END) ORDER BY i), '[]')
	FROM generate_series(1, CASE pick(seed, 1, 5) WHEN 0 THEN 3 ELSE pick(seed, 2, 5) END) i;
$$;

-- ---------------------------------------------------------------------------
-- Run them all, under each order of arrival
-- ---------------------------------------------------------------------------

-- In hub "app" everything comes hours late, on the hour, so that all instances move
-- together. In the hubs of replays, whose names begin with "cut", nothing comes but
-- what the test sends: neither timers nor children nor answers.
RESET SESSION AUTHORIZATION;
CREATE FUNCTION late(at timestamptz, seed bigint, id text, task_id int, hours int) RETURNS timestamptz LANGUAGE sql
	RETURN date_trunc('hour', at) + make_interval(hours => 1 + abs(hashtextextended(id, seed + task_id) % hours)::int);
CREATE FUNCTION delay_activity() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NEW.task_hub <> 'app' THEN
		RETURN NULL;
	END IF;
	NEW.visible_at := public.late(NEW.visible_at, TG_ARGV[0]::bigint, NEW.instance_id, NEW.task_id, 4);
	RETURN NEW;
END $$;
CREATE FUNCTION delay_message() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NEW.task_hub <> 'app' THEN
		RETURN CASE current_setting('test.sends', true) WHEN 'on' THEN NEW END;
	END IF;
	NEW.visible_at := public.late(NEW.visible_at, TG_ARGV[0]::bigint, NEW.instance_id, NEW.task_id, 1);
	RETURN NEW;
END $$;
CREATE TRIGGER late BEFORE INSERT ON durable_store.activity_queue FOR EACH ROW EXECUTE FUNCTION delay_activity(:seed);
CREATE TRIGGER late BEFORE INSERT ON durable_store.inbox FOR EACH ROW WHEN (NEW.task_hub <> 'app' OR NEW.event_type = 11)
	EXECUTE FUNCTION delay_message(:seed);

-- What continue-as-new forgets is kept; the xmin tells which turn has consumed a message, or forgotten a timer that was not due.
CREATE TABLE generations AS SELECT * FROM durable_store.instances;
CREATE TABLE events AS SELECT * FROM durable_store.history;
CREATE TABLE last_turns AS SELECT instance_id, generation, updated_at FROM durable_store.instances WITH NO DATA;
CREATE TABLE consumed AS SELECT * FROM durable_store.inbox WITH NO DATA;
CREATE FUNCTION keep_generation() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO public.generations VALUES (OLD.*);
	INSERT INTO public.last_turns VALUES (OLD.instance_id, OLD.generation, NEW.updated_at);
	RETURN NEW;
END $$;
CREATE FUNCTION keep_events() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO public.events VALUES (OLD.*);
	RETURN OLD;
END $$;
CREATE FUNCTION keep_message() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO public.consumed VALUES (OLD.*);
	RETURN OLD;
END $$;
CREATE TRIGGER keep BEFORE UPDATE ON durable_store.instances FOR EACH ROW
	WHEN (OLD.task_hub = 'app' AND OLD.generation <> NEW.generation AND OLD.turn > 0) EXECUTE FUNCTION keep_generation();
CREATE TRIGGER keep BEFORE DELETE ON durable_store.history FOR EACH ROW WHEN (OLD.task_hub = 'app') EXECUTE FUNCTION keep_events();
CREATE TRIGGER keep BEFORE DELETE ON durable_store.inbox FOR EACH ROW WHEN (OLD.task_hub = 'app') EXECUTE FUNCTION keep_message();

SET SESSION AUTHORIZATION app;
CREATE TABLE programs AS SELECT n, make_program(hashint8extended(:seed, n)) AS input FROM generate_series(1, ceil(:cases / :orders.0)::int) n;
SELECT count(*) FROM (SELECT durable.start_instance('program', input, instance_id => format('%s/%s', n, o))
	FROM programs, generate_series(1, :orders) o OFFSET 0) s \gset started_
SELECT count(*) FROM (SELECT durable.start_instance('disturb', jsonb_build_object('id', format('%s/%s', n, o), 'plan', make_plan(hashint8extended(:seed + o, n))),
	instance_id => format('disturb %s/%s', n, o)) FROM programs, generate_series(1, :orders) o OFFSET 0) s \gset disturbed_
-- In many transactions, for one cannot clean up behind itself. When nothing is left to do the rest does nothing.
\o /dev/null
SELECT 'SELECT durable.run_until_idle(advance_time => true, timeout => ''300 ms'')' FROM generate_series(1, :cases / 2)
\gexec
\o
RESET SESSION AUTHORIZATION;
SELECT diag(format('%s', (SELECT string_agg(format('%s %s', count, status), ', ') FROM
	(SELECT status, count(*) FROM durable.instances WHERE name = 'program' GROUP BY 1) s)));
SELECT is_empty($$ SELECT instance_id, status, failure FROM durable.instances WHERE completed_at IS NULL OR status = 'failed' AND failure ->> 'sqlstate' !~ '^ZZ' $$,
	'every instance ends, and none but by a failed activity');
SELECT is_empty($$ SELECT * FROM durable_store.inbox m JOIN durable_store.instances i USING (task_hub, instance_id) WHERE i.status <> 'failed' $$,
	'no message is left, but answers that a rewind would want');
-- ---------------------------------------------------------------------------
-- Every prefix
-- ---------------------------------------------------------------------------

-- A decision in words: all that there is to it, but for when a timer is due. What an orchestrator knew of the time is left out.
CREATE FUNCTION decision(type smallint, id int, name text, version text, target text, payload jsonb, failure jsonb, tags jsonb, retry jsonb) RETURNS text LANGUAGE sql IMMUTABLE
	RETURN concat_ws(' ', durable_store.event_type_name(type), id, name, version, target, CASE WHEN name = 'times' THEN 'at some time' ELSE payload::text END,
		failure - 'context' #- '{innerFailure,context}', tags, retry);
-- Events that were written together are one row (history.more); here each is one of its own.
CREATE VIEW unpacked AS
	SELECT * FROM durable_store.history
	UNION ALL SELECT r.task_hub, r.instance_id, r.generation, m.*, NULL FROM durable_store.history r, durable_store.unpack_events(r.more) m;
INSERT INTO events SELECT r.task_hub, r.instance_id, r.generation, m.*, NULL FROM events r, durable_store.unpack_events(r.more) m;
CREATE TABLE recorded AS
	SELECT e.*, decision(e.event_type, e.event_id, e.name, e.version, e.target_instance_id, e.payload, e.failure, e.tags, e.retry) AS what, h.is_child, event_type IN (4, 7, 10, 14) AND event_id >= 0 AS is_action
	FROM (TABLE events UNION ALL SELECT * FROM unpacked WHERE task_hub = 'app') e
	JOIN (SELECT instance_id, parent_instance_id IS NOT NULL AS is_child FROM durable_store.instances WHERE task_hub = 'app' AND name = 'program') h USING (instance_id);
SELECT is(count(DISTINCT event_type), 14::bigint, 'the histories have every kind of event, but for those of terminate, rewind and the engine''s own') FROM recorded;
CREATE UNIQUE INDEX ON recorded (instance_id, generation, seq);
INSERT INTO generations SELECT * FROM durable_store.instances WHERE task_hub = 'app' AND name = 'program';
DELETE FROM generations WHERE name <> 'program';

-- "whole": all messages of the turn are in the prefix, so it decides all that the turn did.
CREATE TABLE cuts AS
	SELECT CASE WHEN is_child THEN 'kid' ELSE 'cut' END || row_number() OVER (PARTITION BY instance_id ORDER BY generation, seq) AS hub,
		instance_id, generation, seq, turn,
		coalesce(max(seq) FILTER (WHERE NOT is_action AND event_type <> 1) OVER a_turn, 0) <= seq AS whole,
		CASE WHEN max(seq) FILTER (WHERE event_type = 19) OVER so_far > coalesce(max(seq) FILTER (WHERE event_type = 20) OVER so_far, 0)
			THEN 'suspended' ELSE 'running' END AS status
	FROM recorded WHERE event_type <> 1
	WINDOW a_turn AS (PARTITION BY instance_id, generation, turn), so_far AS (PARTITION BY instance_id, generation ORDER BY seq);
-- What became of the turn that continued as new is not in its history: its messages come again to all of that. (Unless the next generation
-- ended in the very turn: what came meanwhile was deleted then, too.)
INSERT INTO cuts
	SELECT CASE WHEN is_child THEN 'kid' ELSE 'cut' END || ' next', instance_id, generation, max(seq), max(turn), NULL,
		CASE WHEN max(seq) FILTER (WHERE event_type = 19) > coalesce(max(seq) FILTER (WHERE event_type = 20), 0) THEN 'suspended' ELSE 'running' END
	FROM recorded r WHERE EXISTS (SELECT FROM last_turns l WHERE (l.instance_id, l.generation) = (r.instance_id, r.generation))
		AND NOT EXISTS (SELECT FROM recorded n WHERE (n.instance_id, n.generation, n.turn, n.event_type) = (r.instance_id, r.generation + 1, 1, 1)) GROUP BY instance_id, generation, is_child;
CREATE INDEX ON cuts (hub);
ANALYZE recorded, cuts;

-- Copies of the tables' rows, whatever columns they have, with a few of them changed.
CREATE FUNCTION columns_of(source regclass, alias text, changed jsonb) RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(coalesce(changed ->> attname, alias || '.' || quote_ident(attname)), ', ' ORDER BY attnum)
	FROM pg_attribute WHERE attrelid = source AND attnum > 0 AND NOT attisdropped
$$;
CREATE PROCEDURE put_cut(hub text) LANGUAGE plpgsql AS $$
BEGIN
	PERFORM set_config('test.sends', 'on', true);
	EXECUTE format('INSERT INTO durable_store.instances SELECT %s FROM public.cuts c JOIN public.generations g USING (instance_id, generation) WHERE c.hub = $1',
		public.columns_of('durable_store.instances', 'g', '{"task_hub": "c.hub", "turn": "c.turn", "last_seq": "c.seq + 1", "status": "c.status",
			"completed_at": "NULL", "output": "NULL", "failure": "NULL", "waiting_events": "NULL", "parent_instance_id": "NULL", "code": "NULL"}')) USING hub;
	EXECUTE format('INSERT INTO durable_store.history SELECT %s FROM public.cuts c JOIN public.recorded e USING (instance_id, generation) WHERE c.hub = $1 AND e.seq <= c.seq',
		public.columns_of('durable_store.history', 'e', '{"task_hub": "c.hub", "closes_turn": "e.closes_turn OR e.seq = c.seq", "more": "NULL"}')) USING hub;
	INSERT INTO durable_store.inbox (task_hub, instance_id, visible_at, "timestamp", event_type)
	SELECT c.hub, c.instance_id, now(), now(), 17 FROM public.cuts c WHERE c.hub = put_cut.hub AND c.hub NOT LIKE '% next';
	EXECUTE format('INSERT INTO durable_store.inbox SELECT %s FROM public.cuts c JOIN public.last_turns l USING (instance_id, generation)
			JOIN public.consumed m ON m.instance_id = l.instance_id AND m.xmin = l.xmin AND (m.event_type <> 11 OR m.visible_at <= l.updated_at) WHERE c.hub = $1 AND c.hub LIKE %L',
		public.columns_of('durable_store.inbox', 'm', '{"task_hub": "c.hub", "visible_at": "now()"}'), '% next') USING hub;
END $$;
CREATE TABLE decided AS SELECT task_hub AS hub, instance_id, generation, seq, event_id, event_type, '' AS what, '' AS times FROM durable_store.history WITH NO DATA;
CREATE TABLE ends AS SELECT task_hub AS hub, instance_id, generation, input, 0::bigint AS events FROM durable_store.instances WITH NO DATA;

CREATE PROCEDURE take_decisions(hub text) LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO decided
	SELECT h.task_hub, h.instance_id, h.generation, h.seq, h.event_id, h.event_type, decision(h.event_type, h.event_id, h.name, h.version, h.target_instance_id, h.payload, h.failure, h.tags, h.retry),
		concat_ws(' ', h.fire_at, CASE WHEN h.name = 'times' THEN h.payload END)
	FROM cuts c JOIN unpacked h ON h.task_hub = c.hub AND h.instance_id = c.instance_id AND h.generation = c.generation AND h.seq > c.seq
	WHERE c.hub = take_decisions.hub AND (h.event_id >= 0 AND h.event_type IN (4, 7, 10, 14) OR h.event_type = 1);
	INSERT INTO ends SELECT i.task_hub, i.instance_id, i.generation, i.input, (SELECT count(*) FROM unpacked h
			WHERE h.task_hub = i.task_hub AND h.instance_id = i.instance_id AND h.generation = i.generation AND h.event_type = 15 AND h.turn = 1)
	FROM durable_store.instances i JOIN cuts c ON c.hub = i.task_hub AND c.instance_id = i.instance_id WHERE c.hub = take_decisions.hub;
END $$;

CREATE TABLE hubs AS SELECT DISTINCT hub FROM cuts;
\o /dev/null
SELECT format('SELECT durable.create_hub(%L, %L)', hub, 'app') FROM hubs
\gexec
TRUNCATE durable_store.instances, durable_store.history, durable_store.inbox;
SELECT format('CALL put_cut(%L)', hub), 'SET SESSION AUTHORIZATION app',
	format('CALL durable.run(until_idle => true, task_hub => %L)', hub),
	'RESET SESSION AUTHORIZATION', format('CALL take_decisions(%L)', hub), 'TRUNCATE durable_store.instances, durable_store.history, durable_store.inbox'
FROM hubs ORDER BY hub
\gexec
\o
SELECT count(*) AS cuts, count(*) FILTER (WHERE whole) AS whole_cuts FROM cuts \gset
SELECT diag(format('%s prefixes, %s of them of whole turns, %s decisions', :cuts, :whole_cuts, (SELECT count(*) FROM decided)));

-- What was recorded, by what was decided, of each cut.
CREATE INDEX ON decided (hub, instance_id);
ANALYZE decided, ends;
CREATE TABLE compared AS
	SELECT c.hub, c.instance_id, c.generation, c.seq, c.whole,
		(SELECT array_agg(concat_ws(' ', r.what, 'at', r.fire_at, CASE WHEN r.name = 'times' THEN r.payload END) ORDER BY r.seq)
			FROM recorded r WHERE r.instance_id = c.instance_id AND r.generation = c.generation AND r.seq > c.seq AND (r.turn = c.turn OR NOT c.whole)
			AND (r.is_action OR r.event_type = 1)) AS recorded,
		(SELECT array_agg(concat_ws(' ', d.what, 'at', nullif(d.times, '')) ORDER BY d.seq) FROM decided d WHERE d.hub = c.hub AND d.instance_id = c.instance_id) AS decided
	FROM cuts c WHERE whole IS NOT NULL;
-- A message that comes later in the turn can cancel a timer, which is then not recorded; its number is missing.
CREATE FUNCTION is_gap(id text, gen bigint, decision text) RETURNS boolean LANGUAGE sql RETURN decision LIKE 'TimerCreated %' AND
	NOT EXISTS (SELECT FROM recorded r WHERE r.instance_id = id AND r.generation = gen AND r.is_action AND r.event_id = split_part(decision, ' ', 2)::int);
CREATE FUNCTION story(id text) RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(format('%s:%s %s%s', generation, seq, durable_store.event_type_name(event_type), nullif(concat('#', nullif(event_id, -1), '->' || task_id), '#')), ', ' ORDER BY generation, seq)
	FROM recorded WHERE instance_id = id
$$;
SELECT cmp_ok(:whole_cuts, '>', :cases * 5, 'most prefixes are of whole turns') AS "1";
SELECT is_empty($$ SELECT instance_id, generation, seq, recorded, decided, story(instance_id) FROM compared WHERE whole AND recorded IS DISTINCT FROM decided LIMIT 3 $$,
	'from each prefix with all messages of its turn a replay decides what was recorded, neither more nor less');
SELECT is_empty($$ SELECT instance_id, generation, seq, d, recorded, story(instance_id) FROM compared c, unnest(decided) d WHERE NOT whole AND d <> ALL (recorded) AND NOT is_gap(instance_id, generation, d) LIMIT 3 $$,
	'with some of the messages it decides the first of that');
SELECT is_empty($$ SELECT c.* FROM cuts c LEFT JOIN ends e USING (hub, instance_id) WHERE c.whole IS NOT NULL AND e.generation IS DISTINCT FROM c.generation LIMIT 3 $$,
	'and none goes on in another generation');
SELECT is_empty($$ SELECT c.instance_id, c.generation, e.generation, e.input, n.input, e.events FROM cuts c JOIN ends e USING (hub, instance_id) JOIN generations n ON (n.instance_id, n.generation) = (c.instance_id, c.generation + 1)
	WHERE c.whole IS NULL AND (e.generation, e.input, e.events) IS DISTINCT FROM (n.generation, n.input,
		(SELECT count(*) FROM recorded r WHERE (r.instance_id, r.generation) = (n.instance_id, n.generation) AND r.event_type = 15 AND r.turn = 1)) LIMIT 3 $$,
	'with the messages of the turn that continued as new it does again, with the same input and as many events');

-- ---------------------------------------------------------------------------
-- The same messages in the same order, but in more turns
-- ---------------------------------------------------------------------------

-- "step": the turn a message makes. One turn of the record becomes one or more. What came in one turn with a suspension is answered
-- when that is over; if that was the turn that continued as new, what it decided is not in the record, and must not be decided before.
CREATE TABLE sent AS
	SELECT *, 'regroup ' || generation AS hub, count(*) FILTER (WHERE begins) OVER (PARTITION BY instance_id, generation ORDER BY seq) AS step
	FROM (SELECT *, lag(turn) OVER (PARTITION BY instance_id, generation ORDER BY seq) IS DISTINCT FROM turn
			OR NOT (continued AND coalesce(seq <= max(seq) FILTER (WHERE event_type = 19) OVER (PARTITION BY instance_id, generation, turn), false))
			AND app.pick(:seed + seq, ascii(right(md5(instance_id), 1)), 3) > 0 AS begins
		FROM (SELECT *, EXISTS (SELECT FROM last_turns l WHERE (l.instance_id, l.generation) = (r.instance_id, r.generation)) AS continued
			FROM recorded r WHERE NOT is_child AND NOT is_action AND event_type <> 1) r) r;
CREATE INDEX ON sent (hub, step);
CREATE PROCEDURE put_fresh(hub text) LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('INSERT INTO durable_store.instances SELECT %s FROM public.generations g WHERE EXISTS (SELECT FROM sent s
		WHERE s.hub = $1 AND s.instance_id = g.instance_id AND s.generation = g.generation)',
		columns_of('durable_store.instances', 'g', '{"task_hub": "$1", "turn": "0", "last_seq": "0", "status": "''pending''",
			"completed_at": "NULL", "output": "NULL", "failure": "NULL", "waiting_events": "NULL", "code": "NULL"}')) USING hub;
END $$;
CREATE PROCEDURE send_step(hub text, step bigint) LANGUAGE plpgsql AS $$
BEGIN
	PERFORM set_config('test.sends', 'on', true);
	INSERT INTO durable_store.inbox (task_hub, instance_id, visible_at, "timestamp", execution_id, task_id, event_type, name, payload, failure)
	SELECT s.hub, s.instance_id, now(), now() + s.seq * interval '1 us', g.execution_id, s.task_id, s.event_type, s.name, s.payload, s.failure
	FROM public.sent s JOIN public.generations g USING (instance_id, generation) WHERE s.hub = send_step.hub AND s.step = send_step.step;
END $$;
INSERT INTO cuts SELECT DISTINCT hub, instance_id, generation, 0, 0, false, '' FROM sent;
\o /dev/null
SELECT format('SELECT durable.create_hub(%L, %L)', hub, 'app'), format('CALL put_fresh(%L)', hub) FROM (SELECT DISTINCT hub FROM sent) h
\gexec
SELECT format('CALL send_step(%L, %s)', hub, step), 'SET SESSION AUTHORIZATION app', format('CALL durable.run(until_idle => true, task_hub => %L)', hub), 'RESET SESSION AUTHORIZATION'
FROM (SELECT DISTINCT hub, step FROM sent) s ORDER BY hub, step
\gexec
SELECT format('CALL take_decisions(%L)', hub) FROM (SELECT DISTINCT hub FROM sent) h
\gexec
\o
-- A retry that comes in the turn that completes the instance, but after its end, is none when it comes in another turn.
CREATE TABLE regrouped AS
	SELECT c.instance_id, c.generation,
		(SELECT array_agg(r.what ORDER BY r.event_id) FROM recorded r WHERE r.instance_id = c.instance_id AND r.generation = c.generation
			AND (r.is_action OR r.event_type = 1) AND r.event_id <= e.event_id) AS recorded,
		(SELECT array_agg(d.what ORDER BY d.event_id) FROM decided d WHERE d.hub = c.hub AND d.instance_id = c.instance_id AND d.event_id <= e.event_id) AS decided
	FROM cuts c CROSS JOIN LATERAL (SELECT coalesce(max(event_id), 2147483647) AS event_id FROM recorded e
		WHERE e.instance_id = c.instance_id AND e.generation = c.generation AND e.event_type = 1) e WHERE c.hub LIKE 'regroup %';
SELECT is_empty($$ SELECT instance_id, generation, d AS missing, decided, story(instance_id) FROM regrouped, unnest(recorded) d WHERE d <> ALL (coalesce(decided, '{}')) LIMIT 3 $$,
	'the same messages in more turns come to all that was recorded');
SELECT is_empty($$ SELECT instance_id, generation, d AS added, recorded, story(instance_id) FROM regrouped, unnest(decided) d WHERE d <> ALL (coalesce(recorded, '{}')) AND NOT is_gap(instance_id, generation, d) LIMIT 3 $$,
	'and to nothing else');

-- ---------------------------------------------------------------------------
-- The checks are awake
-- ---------------------------------------------------------------------------

-- The same program, but its timers are due later: found out.
CREATE OR REPLACE FUNCTION app.hours(n jsonb) RETURNS interval LANGUAGE sql IMMUTABLE RETURN n::int * interval '61 minutes';
TRUNCATE durable_store.instances, durable_store.history, durable_store.inbox, decided, ends;
CALL put_cut('cut1');
SET SESSION AUTHORIZATION app;
CALL durable.run(until_idle => true, task_hub => 'cut1');
RESET SESSION AUTHORIZATION;
CALL take_decisions('cut1');
SELECT cmp_ok(count(*)::int, '>', 0, 'a program that sets its timers otherwise is found out')
FROM compared c WHERE hub = 'cut1' AND recorded::text LIKE '%TimerCreated%'
	AND recorded <> (SELECT array_agg(concat_ws(' ', d.what, 'at', nullif(d.times, '')) ORDER BY d.seq) FROM decided d WHERE d.instance_id = c.instance_id);
SELECT num_failed() > 0 AS failed \gset
\if :failed
	SELECT coalesce(string_agg(difference, E'\n'), 'nothing was decided otherwise') AS differences FROM (
		(SELECT format(E'%s, cut after %s:%s\nrecorded %s\ndecided %s\n%s', instance_id, generation, seq, recorded, decided, story(instance_id)) AS difference
			FROM compared WHERE whole AND recorded IS DISTINCT FROM decided LIMIT 3)
		UNION ALL (SELECT format(E'%s, in more turns\nrecorded %s\ndecided %s\n%s', instance_id, recorded, decided, story(instance_id)) FROM regrouped WHERE recorded IS DISTINCT FROM decided LIMIT 3)) d \gset
	\warn :differences
	\warn 'To see it again: make test-deep SEED=':seed 'CASES=':cases
\endif
SELECT * FROM finish();
