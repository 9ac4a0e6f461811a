-- What clients and turns write without a statement (src/store/direct_rows.c) is
-- what a statement writes, and a table that somebody has given triggers, checks
-- or columns is written by statements, which heed them.
\ir include/setup.psql
SELECT plan(29);
SET search_path = app, public;

CREATE FUNCTION waits(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN durable.wait_for_event('go'); END $$;

-- Changes all of its row that a turn can change.
CREATE FUNCTION goes_on(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	tasks durable.task[] := ARRAY[durable.expect_event('A'), durable.expect_event('b "{,')];
BEGIN
	PERFORM durable.set_custom_status(input);
	PERFORM durable.await_all(tasks);
	IF input = '1' THEN
		PERFORM durable.create_timer('1 hour');
		PERFORM durable.continue_as_new('{"next": "generation"}');
		RETURN NULL;
	END IF;
	RAISE 'on purpose' USING detail = input;
END $$;

-- Everything of a start, a turn that waits, an event for it and one for an instance that is to begin later.
CREATE FUNCTION starts(prefix text) RETURNS void LANGUAGE sql AS
$$
	SELECT durable.start_instance('waits', '{"a": 1}', instance_id => prefix, tags => '{"t": "1"}', trace_parent => 'trace', notify => true);
	SELECT durable.start_instance('waits', NULL, instance_id => prefix || ' later', start_at => '2100-01-01 00:00+00');
	SELECT durable.start_instance('waits', NULL, instance_id => prefix || ' version', version => '2.0', start_at => '2000-01-01 00:00+00');
	SELECT durable.start_instance('goes_on', '1', instance_id => prefix || ' goes on');
	SELECT durable.raise_event(prefix || ' later', 'go', '"early"');
	SELECT durable.raise_event(prefix, 'go', '{"b": [2]}');
$$;

-- A turn that waits again, one that goes on and one that fails, with several messages each.
CREATE FUNCTION raises(prefix text, times int) RETURNS void LANGUAGE sql AS
$$
	SELECT durable.raise_event(prefix || ' goes on', name, to_jsonb(name)) FROM generate_series(1, times) g, unnest('{a,x}'::text[]) name ORDER BY g;
	SELECT durable.raise_event(prefix || ' goes on', 'b "{,', '2') FROM generate_series(3, 2 * times);
$$;

-- Rows without what differs from start to start: ids and the times of now, which the packed events of a row hold, too.
RESET SESSION AUTHORIZATION;
CREATE FUNCTION app.rows_of(relation regclass, prefix text) RETURNS SETOF text LANGUAGE plpgsql AS
$$
BEGIN
	RETURN QUERY EXECUTE format(
		'SELECT replace((to_jsonb(r) - ''{execution_id,message_id,created_at,updated_at,completed_at,timestamp,turn_at,more,extra}''::text[]
			|| jsonb_build_object(''visible_at'', to_jsonb(r) -> ''visible_at'' = ''"2100-01-01T00:00:00+00:00"''))::text, %L, '''')
			|| coalesce(to_jsonb(r) ->> ''more'' <> '''', false)
		FROM %s r WHERE instance_id LIKE %L ORDER BY 1', prefix, relation, prefix || '%');
END $$;
SET timezone = 'UTC';
SET SESSION AUTHORIZATION app;
SET timezone = 'UTC';
SELECT starts('first') \g /dev/null
RESET SESSION AUTHORIZATION;
CREATE TEMP TABLE kept AS
SELECT relation, r AS data FROM (VALUES ('durable_store.instances'), ('durable_store.inbox')) v (relation), app.rows_of(relation::regclass, 'first') r;
SELECT is((SELECT count(*) FROM kept), 10::bigint, 'four instances and six messages');
SET SESSION AUTHORIZATION app;
:run
SELECT raises('first', 1) \g /dev/null
:run
RESET SESSION AUTHORIZATION;
SELECT is((SELECT waiting_events FROM durable_store.instances WHERE instance_id = 'first goes on'), '{"b \"{,"}', 'one waits for an event of an odd name');
INSERT INTO kept SELECT 'waiting', app.rows_of('durable_store.instances', 'first');
SET SESSION AUTHORIZATION app;
SELECT raises('first', 2) \g /dev/null
:run
RESET SESSION AUTHORIZATION;
INSERT INTO kept SELECT 'done', app.rows_of('durable_store.instances', 'first');
SELECT is((SELECT count(*) FROM kept WHERE relation = 'done' AND data LIKE '%failed%on purpose%"generation": 2%'), 1::bigint, 'it went on and failed');
INSERT INTO kept SELECT 'durable_store.history', app.rows_of('durable_store.history', 'first');
SELECT is(outcome('first'), 'completed {"b": [2]}', 'written without statements, it ran');
SELECT cmp_ok((SELECT count(*) FROM kept WHERE relation = 'durable_store.history'), '>=', 2::bigint, 'with a history');

-- ---------------------------------------------------------------------------
-- Triggers

CREATE TABLE app.fired (relation name);
CREATE FUNCTION app.note() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS
$$ BEGIN INSERT INTO app.fired VALUES (tg_relid::regclass::name); RETURN NEW; END $$;
SELECT format('CREATE TRIGGER note BEFORE INSERT ON durable_store.%s FOR EACH ROW EXECUTE FUNCTION app.note()', r) FROM unnest('{instances,inbox,history}'::text[]) r \gexec
SET SESSION AUTHORIZATION app;
SELECT starts('second') \g /dev/null
RESET SESSION AUTHORIZATION;
SELECT is((SELECT count(*) FROM app.fired WHERE relation = 'durable_store.instances'), 4::bigint, 'a trigger of the instances fires for each');
SELECT is((SELECT count(*) FROM app.fired WHERE relation = 'durable_store.inbox'), 6::bigint, 'one of the inbox for each message');
SELECT set_eq(format('SELECT app.rows_of(%L, %L)', r, 'second'), format('SELECT data FROM kept WHERE relation = %L', r), 'statements write the same rows: ' || r)
FROM unnest('{durable_store.instances,durable_store.inbox}'::text[]) r;
SET SESSION AUTHORIZATION app;
:run
SELECT raises('second', 1) \g /dev/null
:run
RESET SESSION AUTHORIZATION;
SELECT set_eq($$ SELECT app.rows_of('durable_store.instances', 'second') $$, $$ SELECT data FROM kept WHERE relation = 'waiting' $$, 'statements change the same of instances that wait');
SET SESSION AUTHORIZATION app;
SELECT raises('second', 2) \g /dev/null
:run
RESET SESSION AUTHORIZATION;
SELECT set_eq($$ SELECT app.rows_of('durable_store.instances', 'second') $$, $$ SELECT data FROM kept WHERE relation = 'done' $$, 'and of those that end');
SELECT is(outcome('second'), 'completed {"b": [2]}', 'it ran as well');
SELECT cmp_ok((SELECT count(*) FROM app.fired WHERE relation = 'durable_store.history'), '>=', 2::bigint, 'a trigger of the history fires');
SELECT set_eq($$ SELECT app.rows_of('durable_store.history', 'second') $$, $$ SELECT data FROM kept WHERE relation = 'durable_store.history' $$, 'statements write the same history');
SELECT format('DROP TRIGGER note ON durable_store.%s', r) FROM unnest('{instances,inbox,history}'::text[]) r \gexec

-- ---------------------------------------------------------------------------
-- Checks

ALTER TABLE durable_store.inbox ADD CONSTRAINT no_such_event CHECK (name <> 'forbidden');
ALTER TABLE durable_store.instances ADD CONSTRAINT no_such_id CHECK (instance_id <> 'forbidden');
SET SESSION AUTHORIZATION app;
SELECT throws_ok($$ SELECT durable.raise_event('first later', 'forbidden') $$, '23514', NULL, 'a check of the inbox holds');
SELECT throws_ok($$ SELECT durable.start_instance('waits', instance_id => 'forbidden') $$, '23514', NULL, 'a check of the instances holds');
SELECT is(outcome('forbidden'), NULL, 'nothing was started');
SELECT lives_ok($$ SELECT durable.raise_event('first later', 'allowed') $$, 'what it allows is written');
RESET SESSION AUTHORIZATION;
ALTER TABLE durable_store.inbox DROP CONSTRAINT no_such_event;
ALTER TABLE durable_store.instances DROP CONSTRAINT no_such_id;

-- ---------------------------------------------------------------------------
-- Columns of a later version

SELECT format('ALTER TABLE durable_store.%s ADD COLUMN extra int DEFAULT 7', r) FROM unnest('{instances,inbox,history}'::text[]) r \gexec
SET SESSION AUTHORIZATION app;
SELECT starts('third') \g /dev/null
RESET SESSION AUTHORIZATION;
SELECT is((SELECT array_agg(DISTINCT extra) FROM durable_store.instances WHERE instance_id LIKE 'third%'), '{7}', 'a new column of the instances has its default');
SELECT is((SELECT array_agg(DISTINCT extra) FROM durable_store.inbox WHERE instance_id LIKE 'third%'), '{7}', 'one of the inbox');
SELECT set_eq(format('SELECT app.rows_of(%L, %L)', r, 'third'), format('SELECT data FROM kept WHERE relation = %L', r), 'the other columns are the same: ' || r)
FROM unnest('{durable_store.instances,durable_store.inbox}'::text[]) r;
SET SESSION AUTHORIZATION app;
:run
RESET SESSION AUTHORIZATION;
SELECT is((SELECT array_agg(DISTINCT extra) FROM durable_store.history WHERE instance_id = 'third'), '{7}', 'one of the history');
SELECT is(outcome('third'), 'completed {"b": [2]}', 'it ran as well');
SET SESSION AUTHORIZATION app;

-- ---------------------------------------------------------------------------
-- Old snapshots

\setenv PGDATABASE :DBNAME
\setenv PGHOST :HOST
\setenv PGPORT :PORT
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT is(outcome('taken meanwhile'), NULL, 'a snapshot of before');
\! psql -X -q -U app -c "SELECT durable.start_instance('waits', instance_id => 'taken meanwhile')" >/dev/null
SELECT throws_ok($$ SELECT durable.start_instance('waits', instance_id => 'taken meanwhile') $$, '40001', NULL, 'an id that was taken since is a serialization failure');
ROLLBACK;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT is(outcome('taken meanwhile'), 'pending', 'a snapshot of before its first turn');
\! psql -X -q -U app -c 'SELECT durable.run_until_idle()' >/dev/null
SELECT lives_ok($$ SELECT durable.raise_event('taken meanwhile', 'go', '3') $$, 'an event reaches an instance that had a turn since');
COMMIT;
:run
SELECT is(outcome('taken meanwhile'), 'completed 3', 'and is received');

SELECT * FROM finish();
