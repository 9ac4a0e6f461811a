-- Looking for instances: the views as clients query them, page by page.
\ir include/setup.psql
SELECT plan(53);

CREATE FUNCTION at_once(input jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT input';
CREATE FUNCTION waits(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN durable.wait_for_event('go'); END $$;
CREATE FUNCTION fails(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'failed'; END $$;
CREATE FUNCTION generations(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
BEGIN
	IF input <> '0' THEN
		PERFORM durable.call_activity('same', '1');
		PERFORM durable.continue_as_new(to_jsonb((input #>> '{}')::int - 1), version => '2');
	END IF;
	RETURN '"last"';
END $$;
-- Ids that a query gives, in order of the id.
CREATE FUNCTION ids(query text) RETURNS text[] LANGUAGE plpgsql AS
$$
DECLARE
	result text[];
BEGIN
	EXECUTE 'SELECT array_agg(instance_id::text COLLATE "C" ORDER BY instance_id COLLATE "C") FROM durable.instances WHERE ' || query INTO result;
	RETURN coalesce(result, '{}');
END $$;

SELECT is(ids('true'), '{}', 'scenario 115: of an empty hub nothing');
SELECT is_empty('SELECT * FROM durable.history', 'scenario 126: and no history');

-- ---------------------------------------------------------------------------
-- By status, time, name, version, parent, tag

SELECT start('at_once', '{"n": 1}', 'completed');
SELECT start('fails', NULL, 'failed');
SELECT start('waits', '{"n": 2}', id) FROM unnest(ARRAY['running', 'suspended', 'terminated']) id;
SELECT durable.start_instance('at_once', instance_id => 'pending', start_at => clock_timestamp() + interval '100 years') \g /dev/null
SELECT durable.start_instance('generations', '3', 'generations', version => '1', tags => '{"tenant": "a"}') \g /dev/null
SELECT durable.start_instance('waits', NULL, 'tagged', version => '1', tags => '{"tenant": "b", "x": "y"}') \g /dev/null
:run
SELECT durable.suspend('suspended'), durable.terminate('terminated', 'end') \g /dev/null
:run
SELECT is(ids(format('status = %L', status)), expected, 'scenario 115: by status: ' || status) FROM (VALUES ('pending', '{pending}'::text[]), ('running', '{running,tagged}'), ('suspended', '{suspended}'),
	('completed', '{completed,generations}'), ('failed', '{failed}'), ('terminated', '{terminated}'), ('canceled', '{}')) v (status, expected);
SELECT is(ids('status IN (''failed'', ''terminated'')'), '{failed,terminated}', 'scenario 115: by several statuses');
SELECT is(ids('true'), '{completed,failed,generations,pending,running,suspended,tagged,terminated}', 'scenario 115: all');
SELECT is(ids('completed_at IS NULL'), '{pending,running,suspended,tagged}', 'those that have not finished');
SELECT is((SELECT input FROM durable.instances WHERE instance_id = 'completed'), '{"n": 1}', 'scenario 115: with input');
SELECT is((SELECT output FROM durable.instances WHERE instance_id = 'completed'), '{"n": 1}', 'scenario 115: and output');
SELECT is((SELECT output FROM durable.instances WHERE instance_id = 'running'), NULL, 'scenario 115: which one that runs has not');

-- The middle of three, by when they were created.
SELECT start('waits', NULL, 'second');
SELECT start('waits', NULL, 'third');
SELECT created_at AS from_time FROM durable.instances WHERE instance_id = 'second' \gset
SELECT created_at AS to_time FROM durable.instances WHERE instance_id = 'third' \gset
SELECT is(ids(format('created_at >= %L AND created_at < %L', :'from_time', :'to_time')), '{second}', 'scenario 115: by created_at, the end excluded');
SELECT is(ids(format('created_at > %L', :'from_time')), '{third}', 'scenario 115: since a time');
SELECT is(cardinality(ids(format('created_at < %L', :'from_time'))), 8, 'scenario 115: before a time');
SELECT is(ids(format('created_at > %L', :'to_time')), '{}', 'scenario 115: after the last nothing');
SELECT is(ids(format('created_at >= %L AND status = ''completed''', :'from_time')), '{}', 'scenario 115: by time and status');

-- After several generations: one row, of the last.
SELECT results_eq($$ SELECT generation, version, input, output FROM durable.instances WHERE instance_id = 'generations' $$, $$ VALUES (4::bigint, '2', '0'::jsonb, '"last"'::jsonb) $$,
	'scenario 116: of many generations the last');
SELECT is(story('generations'), '[OS ExecutionStarted OC ExecutionCompleted(0) OC]', 'scenario 116: and its history');
SELECT is(ids('name = ''waits'''), '{running,second,suspended,tagged,terminated,third}', 'scenario 116: by name');
SELECT is(ids('name = ''waits'' AND version = ''1'''), '{tagged}', 'scenario 116: by name and version');
SELECT is(ids('version = ''2'''), '{generations}', 'scenario 116: by the version it continued with');
SELECT is(ids('version IS NULL AND name = ''at_once'''), '{completed,pending}', 'scenario 116: without version');
SELECT is(ids('tags ->> ''tenant'' = ''b'''), '{tagged}', 'scenario 138: by tag');
SELECT is(ids('tags @> ''{"tenant": "a"}'''), '{generations}', 'scenario 138: by tag, after continue-as-new');
:run
SELECT max(updated_at) AS updated FROM durable.instances \gset
SELECT durable.raise_event('third', 'nothing it waits for') \g /dev/null
:run
SELECT is(ids(format('updated_at > %L', :'updated')), '{third}', 'scenario 116: by the time of the last turn');

-- ---------------------------------------------------------------------------
-- By prefix

SELECT start('at_once', NULL, id) FROM unnest(ARRAY['a_1', 'a_2', 'ab1', 'a%1', 'a%2', 'a\1', 'o''reilly', 'o''', 'O''reilly', 'q"1', 'é1', 'e1', '@x@1']) id;
:run
CREATE FUNCTION with_prefix(prefix text) RETURNS text[] LANGUAGE sql AS
$$ SELECT ids(format('instance_id LIKE %L', regexp_replace(prefix, '([\\%_])', '\\\1', 'g') || '%')) $$;
SELECT results_eq($$ SELECT prefix, with_prefix(prefix) FROM (VALUES (1, 'a_'), (2, 'a%'), (3, 'a\'), (4, 'a'), (5, 'o'''), (6, 'q"'), (7, 'é'), (8, '@x'), (9, 'zzz')) v (n, prefix) ORDER BY n $$,
	$$ VALUES ('a_', '{a_1,a_2}'::text[]), ('a%', '{a%1,a%2}'), ('a\', '{"a\\1"}'), ('a', '{a%1,a%2,"a\\1",a_1,a_2,ab1}'), ('o''', '{o'',o''reilly}'), ('q"', '{"q\"1"}'), ('é', '{é1}'),
		('@x', '{@x@1}'), ('zzz', '{}') $$, 'scenario 115: by prefix, with quotes, wildcards and backslashes escaped for LIKE');
SELECT is_empty($$ SELECT p FROM unnest(ARRAY['a_', 'a%', 'a\', 'a', 'o''', 'q"', 'é', '@x', 'zzz', '']) p WHERE with_prefix(p) <> ids(format('starts_with(instance_id, %L)', p)) $$,
	'scenario 115: the same by starts_with()');
SELECT is((SELECT count(*) FROM unnest(ids('true')) id WHERE ids(format('instance_id = %L', id)) <> ARRAY[id]), 0::bigint, 'each is found by its id');

-- ---------------------------------------------------------------------------
-- Page by page: a key, not a number of rows to skip

-- All pages by (created_at, instance_id), one a row; "meanwhile" happens between them.
CREATE FUNCTION pages(prefix text, size int, meanwhile text DEFAULT 'SELECT') RETURNS SETOF text[] LANGUAGE plpgsql AS
$$
DECLARE
	key record;
	ids text[];
BEGIN
	SELECT '-infinity'::timestamptz AS at, '' AS id INTO key;
	LOOP
		ids := ARRAY(SELECT instance_id FROM durable.instances WHERE starts_with(instance_id, prefix) AND (created_at, instance_id) > (key.at, key.id) ORDER BY created_at, instance_id LIMIT size);
		EXIT WHEN ids = '{}';
		RETURN NEXT ids;
		EXIT WHEN cardinality(ids) < size;
		SELECT created_at AS at, instance_id AS id FROM durable.instances WHERE instance_id = ids[size] INTO key;
		EXECUTE meanwhile;
	END LOOP;
END $$;
-- The children of one turn have one created_at, and end in one turn each: keys that are told apart by their id only.
CREATE FUNCTION many(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
DECLARE
	tasks durable.task[];
BEGIN
	FOR i IN 1..23 LOOP
		tasks := tasks || durable.schedule_suborchestrator('at_once', instance_id => format('page %s', i));
	END LOOP;
	RETURN to_jsonb(cardinality(durable.await_all(tasks)));
END $$;
SELECT start('many');
:run
SELECT is((SELECT count(*) || ' ' || count(DISTINCT created_at) FROM durable.instances WHERE parent_instance_id = 'many'), '23 1', 'children of one turn are created at one time');
SELECT results_eq($$ SELECT cardinality(p) FROM pages('page ', 10) p $$, 'VALUES (10), (10), (3)', 'scenario 115: 23 instances in pages of 10, the last one is short');
SELECT results_eq($$ SELECT id FROM pages('page ', 10) p, unnest(p) id $$, $$ SELECT format('page %s', i) FROM generate_series(1, 23) i ORDER BY format('page %s', i) COLLATE "C" $$,
	'scenario 115: the pages together are all of them, each once, in order');
SELECT results_eq($$ SELECT count(*), sum(cardinality(p)) FROM pages('page ', 1) p $$, 'VALUES (23::bigint, 23::bigint)', 'scenario 115: in pages of 1');
SELECT results_eq($$ SELECT cardinality(p) FROM pages('page ', 23) p $$, 'VALUES (23)', 'scenario 115: in a page that just holds them; the next is empty');
SELECT results_eq($$ SELECT cardinality(p) FROM pages('page ', 100) p $$, 'VALUES (23)', 'scenario 115: in one that is larger');
SELECT is_empty($$ SELECT pages('no such ', 10) $$, 'scenario 115: of nothing no page');
-- What is begun, purged or changed between two pages moves none of the others.
SELECT results_eq($$ SELECT id FROM pages('page ', 10, $s$ SELECT durable.start_instance('at_once', instance_id => 'page new ' || txid_current() || clock_timestamp()), durable.purge('page 1'), durable.purge('page 5') $s$) p,
	unnest(p) id WHERE id NOT LIKE 'page new%' $$,
	$$ SELECT format('page %s', i) FROM generate_series(1, 23) i WHERE i <> 5 ORDER BY format('page %s', i) COLLATE "C" $$,
	'scenario 115: pages stay in step while instances come and go');

-- ---------------------------------------------------------------------------
-- Ids of what has finished, by when

-- Pages of ids and the key of the last one of each full page, NULL when there are no more.
CREATE FUNCTION finished_pages(statuses text[], from_time timestamptz, to_time timestamptz, size int) RETURNS TABLE (ids text[], last_at timestamptz, last_id text) LANGUAGE plpgsql AS
$$
DECLARE
	at timestamptz := from_time;
	id text := '';
BEGIN
	LOOP
		SELECT array_agg(p.instance_id::text ORDER BY p.completed_at, p.instance_id) INTO ids
		FROM (SELECT i.completed_at, i.instance_id FROM durable.instances i WHERE i.status = ANY (statuses) AND (i.completed_at, i.instance_id) >= (at, id) AND i.completed_at < to_time
			AND (i.completed_at, i.instance_id) <> (at, id) ORDER BY i.completed_at, i.instance_id LIMIT size + 1) p;
		EXIT WHEN ids IS NULL;
		IF cardinality(ids) <= size THEN
			last_at := NULL;
			last_id := NULL;
			RETURN NEXT;
			RETURN;
		END IF;
		ids := ids[:size];
		id := ids[size];
		SELECT i.completed_at INTO at FROM durable.instances i WHERE i.instance_id = id;
		last_at := at;
		last_id := id;
		RETURN NEXT;
	END LOOP;
END $$;
\set finished '{completed,failed,terminated,canceled}'
:run
SELECT is((SELECT array_agg(f.id ORDER BY f.id) FROM finished_pages(:'finished', '-infinity', 'infinity', 1000) p, unnest(p.ids) f (id)),
	(SELECT array_agg(instance_id::text ORDER BY instance_id::text) FROM durable.instances WHERE status NOT IN ('pending', 'running', 'suspended')), 'scenario 127: what has finished and nothing else');
SELECT is(ARRAY(SELECT f.id FROM finished_pages('{failed,terminated}', '-infinity', 'infinity', 10) p, unnest(p.ids) f (id)), '{failed,terminated}', 'scenario 127: by status, in the order in which they ended');
SELECT completed_at AS ended FROM durable.instances WHERE instance_id = 'terminated' \gset
SELECT is(ARRAY(SELECT f.id FROM finished_pages(:'finished', '-infinity', :'ended', 10) p, unnest(p.ids) f (id) WHERE f.id IN ('completed', 'failed', 'terminated')), '{completed,failed}',
	'scenario 127: by the time they ended, the end of the range excluded');
SELECT is(ARRAY(SELECT f.id FROM finished_pages(:'finished', :'ended', 'infinity', 10) p, unnest(p.ids) f (id) WHERE f.id IN ('completed', 'failed', 'terminated')), '{terminated}',
	'scenario 127: its begin included');
SELECT is((SELECT count(*) FROM finished_pages(:'finished', 'infinity', 'infinity', 10)), 0::bigint, 'scenario 127: an empty range');
RESET SESSION AUTHORIZATION;
UPDATE durable_store.instances SET completed_at = :'ended' WHERE instance_id LIKE 'page%';	-- at the same microsecond
SET SESSION AUTHORIZATION app;
SELECT is((SELECT array_agg(f.id ORDER BY p.n, f.n) FROM finished_pages(:'finished', '-infinity', 'infinity', 4) WITH ORDINALITY p (ids, last_at, last_id, n), unnest(p.ids) WITH ORDINALITY f (id, n)),
	(SELECT array_agg(instance_id::text ORDER BY completed_at, instance_id COLLATE "C") FROM durable.instances WHERE completed_at IS NOT NULL),
	'scenario 127: in pages of 4: all, once, ordered by end and id');
SELECT is_empty($$ SELECT * FROM (SELECT p.*, row_number() OVER (ORDER BY n DESC) AS from_end FROM finished_pages('{completed,failed,terminated}', '-infinity', 'infinity', 4) WITH ORDINALITY p (ids, last_at, last_id, n)) p
	WHERE last_id IS DISTINCT FROM CASE WHEN from_end > 1 THEN ids[4] END OR (last_at IS NULL) <> (from_end = 1) $$, 'scenario 127: the last key is the page''s last instance, and none on the last page');

-- ---------------------------------------------------------------------------
-- History

SELECT is_empty($$ SELECT * FROM durable.history WHERE instance_id = 'no such instance' $$, 'scenario 126: of an instance there is not, none');
SELECT is_empty($$ SELECT * FROM durable.history WHERE instance_id = 'pending' $$, 'scenario 126: nor of one that has not started');
SELECT is((SELECT count(*) FROM durable.history WHERE instance_id = 'it''s not there'), 0::bigint, 'an id with a quote');
SELECT results_eq($$ SELECT DISTINCT execution_id FROM durable.history WHERE instance_id = 'generations' $$, $$ SELECT execution_id FROM durable.instances WHERE instance_id = 'generations' $$,
	'scenario 126: it is that of the current execution');
SELECT results_eq($$ SELECT event_type FROM durable.history WHERE instance_id = 'terminated' AND event_type NOT LIKE 'Orchestrator%' ORDER BY seq $$,
	$$ VALUES ('ExecutionStarted'), ('ExecutionTerminated'), ('ExecutionCompleted') $$, 'scenario 126: its events in order');
SELECT purge FROM durable.purge('generations') \gset
SELECT is_empty($$ SELECT instance_id FROM durable.history WHERE instance_id = 'generations' UNION ALL SELECT instance_id FROM durable.instances WHERE instance_id = 'generations' $$,
	'scenario 124: a purged instance is in neither view');
SELECT * FROM finish();
