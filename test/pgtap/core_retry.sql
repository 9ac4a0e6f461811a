-- Retry decisions (src/core/retry.c; semantics.md 4.7), over a grid of policies
-- and failures, held against the formula in numeric.
-- Runs as superuser, on functions of test/modules/core_test.
SET client_min_messages = warning;
\ir ../modules/core_test/core_test.sql
SELECT plan(51);

\set second 1000000
\set day '(24 * 3600 * 1000000::bigint)'

-- The longest delay there is: 36500 days.
CREATE FUNCTION forever() RETURNS numeric LANGUAGE sql AS $$ SELECT 36500 * 24 * 3600::numeric * 1000000 $$;

-- first * backoff^(attempt - 1), at most the longest.
CREATE FUNCTION expected_delay(first_interval bigint, backoff numeric, max_interval bigint, attempt int) RETURNS numeric LANGUAGE sql AS
$$ SELECT least(first_interval * backoff ^ (attempt - 1), CASE WHEN max_interval > 0 THEN max_interval ELSE forever() END) $$;

-- ---------------------------------------------------------------------------
-- The formula, the caps, the number of attempts, the timeout
-- ---------------------------------------------------------------------------

CREATE TABLE grid AS
	SELECT *, core_test.retry_delay(max_attempts, first_interval, backoff::float8, max_interval, timeout, NULL, NULL, attempt, '{}', elapsed) AS delay
	FROM unnest('{1,2,3,10,2147483647}'::int[]) max_attempts,
		unnest(ARRAY[1, 333333, :second, :day]) first_interval,
		unnest('{1,1.1,1.5,2,10,1000000}'::numeric[]) backoff,
		unnest(ARRAY[0, 1, 5 * :second, 40 * :day]) max_interval,
		unnest(ARRAY[0, 1, 60 * :second]) timeout,
		unnest('{1,2,3,9,10,60}'::int[]) attempt,
		unnest(ARRAY[0, 1, 60 * :second - 1, 60 * :second, 365 * :day]) elapsed;

SELECT is(count(*), 5 * 4 * 6 * 4 * 3 * 6 * 5::bigint, 'the grid is complete') FROM grid;

-- A decision there must be, and is not, or the other way round.
CREATE VIEW wrong_decision AS
	SELECT *, attempt < max_attempts AND (timeout = 0 OR elapsed < timeout) AS again FROM grid
	WHERE (delay IS NOT NULL) <> (attempt < max_attempts AND (timeout = 0 OR elapsed < timeout));
SELECT is((SELECT count(*) FROM grid WHERE attempt >= max_attempts AND delay IS NOT NULL), 0::bigint,
	'scenario 73: never more attempts than max_attempts, the first included');
SELECT is((SELECT count(*) FROM grid WHERE timeout > 0 AND elapsed >= timeout AND delay IS NOT NULL), 0::bigint,
	'scenario 76: no attempt when the timeout is reached');
SELECT is((SELECT count(*) FROM wrong_decision WHERE again), 0::bigint, 'and in all other cases there is another attempt');
SELECT is((SELECT w FROM wrong_decision w LIMIT 1), NULL, 'the first wrong decision of the grid');
SELECT cmp_ok((SELECT count(*) FROM grid WHERE delay IS NULL), '>', 10000::bigint, 'the grid has many that are not repeated');
SELECT cmp_ok((SELECT count(*) FROM grid WHERE delay IS NOT NULL), '>', 10000::bigint, 'and many that are');

-- To the microsecond, where the formula has a whole number; else cut off, or off by what a double can tell.
SELECT is((SELECT g FROM grid g WHERE delay IS NOT NULL
		AND abs(delay - expected_delay(first_interval, backoff, max_interval, attempt)) >= 1 + delay / 1e14 LIMIT 1), NULL,
	'scenario 75: the delay is first_interval * backoff^(attempt - 1), at most max_interval');
SELECT is((SELECT g FROM grid g WHERE delay IS NOT NULL AND backoff IN (1, 2, 10, 1000000)
		AND delay <> expected_delay(first_interval, backoff, max_interval, attempt) LIMIT 1), NULL,
	'scenario 75: exactly, for whole factors');
SELECT is((SELECT g FROM grid g WHERE delay <= 0 OR delay > forever() OR max_interval > 0 AND delay > max_interval LIMIT 1), NULL,
	'no delay is nothing, or longer than it may be');
SELECT is((SELECT count(DISTINCT delay = forever()) FROM grid WHERE max_interval = 0), 2::bigint, 'without max_interval the cap is 36500 days, and reached');

SELECT is(core_test.retry_delay(9, 0, 2, 0, 0, NULL, NULL, 1, '{}', 0), NULL, 'a delay of nothing ends it');

-- By hand, without the formula.
SELECT is(core_test.retry_delay(9, first_interval * :second, backoff, max_interval * :second, 0, NULL, NULL, attempt, '{}', 0), (delay * :second)::bigint,
	format('scenario 75: %s s, factor %s, at most %s s: %s s after attempt %s', first_interval, backoff, max_interval, delay, attempt))
FROM (VALUES (5, 1, 0, 1, 5), (5, 1, 0, 8, 5), (1, 2, 0, 1, 1), (1, 2, 0, 2, 2), (1, 2, 0, 5, 16), (10, 1.5, 0, 3, 22.5), (1, 2, 3, 2, 2), (1, 2, 3, 3, 3),
	(1, 2, 3, 8, 3), (8, 1, 3, 1, 3)) AS c (first_interval, backoff, max_interval, attempt, delay);

-- ---------------------------------------------------------------------------
-- What is retried
-- ---------------------------------------------------------------------------

CREATE FUNCTION is_retried(failure jsonb, retry_on text[] DEFAULT NULL, never_retry_on text[] DEFAULT NULL) RETURNS boolean LANGUAGE sql AS
$$ SELECT core_test.retry_delay(2, 1, 1, 0, 0, $2, $3, 1, $1, 0) IS NOT NULL $$;

-- A failure, a pattern, and do they match?
CREATE TABLE patterns (failure jsonb, pattern text, matches boolean, what text);
INSERT INTO patterns VALUES
	('{"sqlstate": "22012", "errorType": "division_by_zero"}', '22012', true, 'its SQLSTATE'),
	('{"sqlstate": "22012", "errorType": "division_by_zero"}', '22', true, 'its class'),
	('{"sqlstate": "22012", "errorType": "division_by_zero"}', 'division_by_zero', true, 'its type'),
	('{"sqlstate": "22012", "errorType": "division_by_zero"}', 'Division_By_Zero', true, 'its type, in whatever case'),
	('{"sqlstate": "22012", "errorType": "division_by_zero"}', '22003', false, 'another SQLSTATE of the class'),
	('{"sqlstate": "22012", "errorType": "division_by_zero"}', '23', false, 'another class'),
	('{"sqlstate": "22012", "errorType": "division_by_zero"}', '12', false, 'the end of its SQLSTATE'),
	('{"sqlstate": "22012", "errorType": "division_by_zero"}', '220', false, 'a beginning that is no class'),
	('{"sqlstate": "22012", "errorType": "division_by_zero"}', '2', false, 'half a class'),
	('{"sqlstate": "22012", "errorType": "division_by_zero"}', '', false, 'nothing'),
	('{"sqlstate": "22012", "errorType": "division_by_zero"}', 'division', false, 'the beginning of its type'),
	('{"sqlstate": "22012", "errorType": "division_by_zero"}', 'division_by_zero_', false, 'more than its type'),
	('{"sqlstate": "22012"}', 'division_by_zero', false, 'a type it does not have'),
	('{"errorType": "Paper"}', 'paper', true, 'the type of one that has no SQLSTATE'),
	('{"errorType": "Paper"}', '22', false, 'a class it does not have'),
	('{"errorType": "22"}', '22', true, 'a type of two letters'),
	('{}', '22012', false, 'anything, for a failure without either'),
	('"22012"', '22012', false, 'a failure that is no object'),
	(NULL, '22012', false, 'no failure');

SELECT is(ARRAY[is_retried(failure, ARRAY[pattern]), is_retried(failure, NULL, ARRAY[pattern]),
		is_retried(failure, ARRAY['XX001', pattern, 'XX002']), is_retried(failure, NULL, ARRAY['XX001', pattern, 'XX002']),
		is_retried(failure, ARRAY[pattern], ARRAY[pattern])],
	ARRAY[matches, NOT matches, matches, NOT matches, false],
	format('scenario 79: retry_on, never_retry_on, each among others, both: %s', what))
FROM patterns;
SELECT is(is_retried(failure), true, format('without lists it is retried: %s', coalesce(failure::text, 'null')))
FROM (SELECT DISTINCT failure FROM patterns) f ORDER BY failure;
SELECT is(is_retried('{"sqlstate": "22012", "isNonRetriable": true}', list), false, format('scenario 80: non-retriable is not retried, retry_on %s', list))
FROM unnest(ARRAY['{}', '22012']) l, LATERAL (SELECT string_to_array(nullif(l, '{}'), ',')) v (list);
SELECT is(is_retried('{"isNonRetriable": "true"}'), true, 'only the boolean true is non-retriable');

SELECT * FROM finish();
