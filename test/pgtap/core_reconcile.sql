-- Reconciliation of a batch of messages with an instance (src/core/reconcile.c;
-- semantics.md 3.2, 3.3), over every batch there can be up to a size.
-- Runs as superuser, on functions of test/modules/core_test.
SET client_min_messages = warning;
\ir ../modules/core_test/core_test.sql
SELECT plan(69);

-- Which messages there are, and are they for the current execution or whichever is?
CREATE TABLE kinds (kind text PRIMARY KEY, is_start boolean, ours boolean);
INSERT INTO kinds VALUES
	('start', true, true), ('foreign start', true, false),
	('event', false, true), ('own event', false, true), ('foreign event', false, false),
	('completion', false, true), ('foreign completion', false, false), ('failure', false, true), ('foreign failure', false, false),
	('answer', false, true), ('foreign answer', false, false), ('timer', false, true), ('foreign timer', false, false),
	('wake-up', false, true), ('terminate', false, true), ('suspend', false, true), ('resume', false, true);

-- What instances there are: waiting for their start, started, or done with.
CREATE TABLE states (state text PRIMARY KEY, phase text);
INSERT INTO states VALUES
	('not started', 'waits'), ('started', 'takes'), ('just started', 'takes'), ('suspended', 'takes'),
	('completed', 'done'), ('failed', 'done'), ('terminated', 'done'), ('canceled', 'done'), ('terminated before its start', 'done');

-- How many messages are accepted of all batches of up to "size" of k kinds, of which b are ours and no starts and one
-- is our start, found by counting: each place of a batch has each kind equally often. Who waits accepts of the batches
-- that have a start (k^n - (k-1)^n) that one, and of the other places what is ours when there is a start elsewhere.
CREATE FUNCTION accepted_of_all(phase text, k numeric, b numeric, size int) RETURNS numeric LANGUAGE sql AS
$$
	SELECT sum(CASE phase
		WHEN 'takes' THEN n * b * k ^ (n - 1)
		WHEN 'waits' THEN (k ^ n - (k - 1) ^ n) + n * b * (k ^ (n - 1) - (k - 1) ^ (n - 1))
		ELSE 0 END)::numeric(20)
	FROM generate_series(1, size) n
$$;
CREATE FUNCTION all_batches(k numeric, size int) RETURNS numeric LANGUAGE sql AS
$$ SELECT sum(k ^ n)::numeric(20) FROM generate_series(0, size) n $$;

-- A state, all batches of kinds up to a size: no rule is violated, and the sums are what counting says.
CREATE FUNCTION holds(state text, kinds text[], size int) RETURNS SETOF text LANGUAGE sql AS
$$
	WITH checked AS MATERIALIZED (SELECT * FROM core_test.check_reconcile($1, $2, $3)),
		counted AS (SELECT count(*)::numeric AS k, count(*) FILTER (WHERE ours AND NOT is_start)::numeric AS b FROM kinds WHERE kind = ANY ($2))
	SELECT t FROM checked, counted, states s, LATERAL (VALUES
		(is(first_violation, NULL, format('scenario 46: %s, %s kinds of messages, batches of up to %s: every rule holds', $1, k, $3))),
		(is(batches, all_batches(k, $3)::bigint, format('%s: these are all batches', $1))),
		(is(accepted, accepted_of_all(s.phase, k, b, $3)::bigint, format('%s: as many are accepted as there must be', $1)))
	) v (t)
	WHERE s.state = $1
$$;

-- All kinds, in small batches; larger ones, of the kinds that differ in how they are treated.
SELECT holds(state, (SELECT array_agg(kind ORDER BY kind) FROM kinds), 4) FROM states ORDER BY state;
SELECT holds(state, '{start,foreign start,event,completion,foreign completion,terminate,suspend,resume,timer}', 6)
	FROM states WHERE state IN ('not started', 'started') ORDER BY state;
SELECT holds(state, '{start,foreign start,event,foreign event}', 8) FROM states WHERE state IN ('not started', 'just started') ORDER BY state;

-- The checker itself is awake: reconcilers that are wrong on purpose are found out, with the words for what they break.
SELECT matches(c.first_violation, wrong.words, format('the checker finds one that %s', wrong.reconciler))
FROM (VALUES
	('not started', 'does not order', 'the start is not first'),
	('not started', 'puts the last start first', 'the start is not first'),
	('not started', 'accepts all', 'never started accepted something'),
	('started', 'accepts all', 'a second start got in'),
	('suspended', 'accepts all', 'a second start got in'),
	('completed', 'accepts all', 'a finished instance accepted something'),
	('not started', 'accepts nothing', 'a message was lost'),
	('started', 'accepts nothing', 'a message was lost'),
	('started', 'loses the last', 'a message was lost'),
	('started', 'repeats the last', 'a message was accepted twice'),
	('started', 'swaps the last two', 'the order was not kept'),
	('not started', 'loses what precedes the start', 'something else comes of it when the start stands elsewhere'),
	('started', 'marks messages', 'a message was changed')) AS wrong (state, reconciler, words),
	LATERAL core_test.check_reconcile(state, '{start,event,completion,foreign event}', 4, wrong.reconciler) c;
SELECT matches((core_test.check_reconcile('started', '{event,foreign event}', 3, 'accepts all')).first_violation, 'something foreign got in',
	'the checker finds one that lets something foreign in');

-- Batches of the specification, one by one. Where it moves a start only so far, the DECIDE of 3.2 puts it first always.
SELECT is(core_test.reconcile(state, batch), accepted, title)
FROM (VALUES
	('not started', '{event,event,start}'::text[], '[start (3), event (1), event (2)]', 'scenario 46: events sent before the start are not lost'),
	('not started', '{foreign completion,event,start}', '[start (3), event (2)]', 'scenario 46: a start moves over what another execution left'),
	('not started', '{completion,start}', '[start (2), completion (1)]', 'a start moves over messages of its own execution'),
	('not started', '{terminate,start,suspend}', '[start (2), terminate (1), suspend (3)]', 'a termination sent before the start finds it started'),
	('not started', '{start,event,start}', '[start (1), event (2)]', 'scenario 114: a duplicate start is ignored'),
	('not started', '{foreign start,event,start}', '[start (3), event (2)]', 'a start of another execution is none'),
	('not started', '{foreign start,event}', '[]', 'and starts nothing'),
	('not started', '{event,completion}', '[]', 'scenario 159: what comes for an instance that was never started is dropped'),
	('started', '{start,foreign start,completion}', '[completion (3)]', 'scenario 114: a duplicate start in a later batch is ignored'),
	('just started', '{start,event}', '[event (2)]', 'scenario 114: and in the same episode'),
	('started', '{foreign completion,foreign timer,timer}', '[timer (3)]', 'scenario 24: a timer of another execution is discarded'),
	('started', '{foreign event,event}', '[event (2)]', 'scenario 94: an event for an earlier generation is ignored'),
	('completed', '{timer,completion,event,terminate}', '[]', 'scenario 24: a completed instance discards timers and all else'),
	('canceled', '{start}', '[]', 'a finished instance is not started again by a message'),
	('started', '{}', '[]', 'of nothing comes nothing')) AS cases (state, batch, accepted, title);
SELECT is(core_test.reconcile('suspended', '{event,suspend,completion,foreign completion}'), '[event (1), suspend (2), completion (3)]',
	'a suspended instance accepts all that is for it');

SELECT * FROM finish();
