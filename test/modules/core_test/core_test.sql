-- The functions of the test module, in schema core_test. The caller is a
-- superuser on a server that may read the library: CORE_TEST says where it is
-- (without its ending), else it is the one built in this tree.
\getenv core_test CORE_TEST
\if :{?core_test}
\else
	\set core_test `pwd`/test/modules/core_test/core_test
\endif

CREATE SCHEMA core_test;

-- All batches of up to max_size messages of these kinds, reconciled by an instance in this state.
CREATE FUNCTION core_test.check_reconcile(state text, kinds text[], max_size int, reconciler text DEFAULT 'core',
	OUT batches bigint, OUT messages bigint, OUT accepted bigint, OUT violations bigint, OUT first_violation text)
	LANGUAGE c STRICT AS :'core_test', 'core_test_check_reconcile';

-- What an instance in this state accepts of one batch: [kind (place in the batch), ...].
CREATE FUNCTION core_test.reconcile(state text, batch text[]) RETURNS text
	LANGUAGE c STRICT AS :'core_test', 'core_test_reconcile';

-- Is there another attempt, and after how long (microseconds)? Null: none. "elapsed" is since the first attempt began.
CREATE FUNCTION core_test.retry_delay(max_attempts int, first_interval bigint, backoff float8, max_interval bigint, timeout bigint,
	retry_on text[], never_retry_on text[], attempt int, failure jsonb, elapsed bigint) RETURNS bigint
	LANGUAGE c AS :'core_test', 'core_test_retry_delay';

-- Plays steps on a pending instance, and tells its status and history, every event with its number, the bookends
-- (OS, OC) too. A step: turn, end, continue (as new), a type of event by its name, or completed, failed, terminated.
CREATE FUNCTION core_test.play(steps text[], OUT status text, OUT turn int, OUT last_seq int, OUT started bool, OUT history text)
	LANGUAGE c STRICT AS :'core_test', 'core_test_play';

-- The times of turns that begin when the clock shows these, in microseconds; every second with two events, which
-- must have that time, too, else -1.
CREATE FUNCTION core_test.turn_times(clock bigint[]) RETURNS bigint[]
	LANGUAGE c STRICT AS :'core_test', 'core_test_turn_times';

-- A state with everything set, and the one of its next generation.
CREATE FUNCTION core_test.next_generation(input jsonb, version text, OUT before jsonb, OUT after jsonb)
	LANGUAGE c AS :'core_test', 'core_test_next_generation';

-- What comes of a turn's actions (task, timer, child, detached, event, own event: numbered 10, 11, ...) and its
-- completion (none, completed, failed, terminated, continue as new: the next number), for an instance that has
-- children in its past (child, detached: of number 0, 1, ...).
CREATE FUNCTION core_test.decide(actions text[], completion text, is_child bool, terminate_children bool, past text[], output jsonb,
	OUT status text, OUT history text, OUT activities text, OUT messages text, OUT children text, OUT state jsonb)
	LANGUAGE c AS :'core_test', 'core_test_decide';
