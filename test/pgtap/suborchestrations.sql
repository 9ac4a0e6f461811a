-- Sub-orchestrations.
\ir include/setup.psql
SELECT plan(69);

CREATE FUNCTION child(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$ BEGIN RETURN jsonb_build_object('id', durable.instance_id(), 'parent', durable.parent_instance_id(), 'input', input, 'tags', durable.instance_tags()); END $$;
CREATE FUNCTION parent(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN durable.call_suborchestrator('child', input); END $$;
CREATE FUNCTION after_two(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
BEGIN
	PERFORM durable.call_activity('same', '1');
	PERFORM durable.sleep('0');
	RETURN durable.call_suborchestrator('child');
END $$;
-- Two parents want a child of one id at a time.
CREATE FUNCTION wants_shared(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
BEGIN
	RETURN durable.call_suborchestrator('effect_then_waits', instance_id => 'shared');
EXCEPTION WHEN SQLSTATE 'UD003' THEN
	RETURN '"taken"';
END $$;
CREATE FUNCTION effect_then_waits(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
BEGIN
	PERFORM durable.call_activity('effect', '{"what": "shared"}');
	RETURN durable.wait_for_event('go');
END $$;
CREATE FUNCTION doubled(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN to_jsonb((input #>> '{}')::int * 2); END $$;
CREATE FUNCTION many(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
DECLARE
	tasks durable.task[];
BEGIN
	FOR i IN 1..20 LOOP
		tasks := tasks || durable.schedule_suborchestrator('doubled', to_jsonb(i));
	END LOOP;
	RETURN (SELECT to_jsonb(sum(r::text::int)) FROM unnest(durable.await_all(tasks)) r);
END $$;
CREATE FUNCTION nested(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
BEGIN
	IF input = '0' THEN
		RETURN jsonb_build_array(durable.instance_id());
	END IF;
	RETURN jsonb_build_array(durable.instance_id()) || durable.call_suborchestrator('nested', to_jsonb((input #>> '{}')::int - 1));
END $$;
CREATE FUNCTION fails(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'the child gives up' USING ERRCODE = 'ZZ001', DETAIL = 'some detail', HINT = 'some hint'; END $$;
CREATE FUNCTION fails_by_activity(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$ BEGIN RETURN durable.call_activity('fail', '{"message": "deep down", "sqlstate": "22012"}'); END $$;
CREATE FUNCTION parent_of_failing(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN durable.call_suborchestrator(input #>> '{}'); END $$;
CREATE FUNCTION catches(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
DECLARE
	d text;
	h text;
BEGIN
	RETURN durable.call_suborchestrator('fails');
EXCEPTION WHEN SQLSTATE 'ZZ001' THEN
	GET STACKED DIAGNOSTICS d = PG_EXCEPTION_DETAIL, h = PG_EXCEPTION_HINT;
	RETURN jsonb_build_array(SQLERRM, d, h);
END $$;
CREATE FUNCTION waits(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN durable.wait_for_event('go'); END $$;
CREATE FUNCTION parent_of(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$ BEGIN RETURN durable.call_suborchestrator(input ->> 'name', input -> 'input', instance_id => input ->> 'id'); END $$;
-- Two children of the same id at a time: the second must not wait for ever.
CREATE FUNCTION twins(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
DECLARE
	first durable.task := durable.schedule_suborchestrator('waits', instance_id => 'twin');
	second durable.task := durable.schedule_suborchestrator('waits', instance_id => 'twin');
	code text;
BEGIN
	BEGIN
		PERFORM durable.await(second);
	EXCEPTION WHEN OTHERS THEN
		code := SQLSTATE;
	END;
	RETURN jsonb_build_array(code, durable.await(first));
END $$;
CREATE FUNCTION one_after_the_other(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
BEGIN
	RETURN jsonb_build_array(durable.call_suborchestrator('doubled', '1', instance_id => 'again'), durable.call_suborchestrator('doubled', '2', instance_id => 'again'));
END $$;
CREATE FUNCTION unknown_child(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
BEGIN
	RETURN durable.call_suborchestrator('no_such', retry => durable.retry_policy(3));
EXCEPTION WHEN undefined_function THEN
	RETURN to_jsonb(SQLERRM);
END $$;
CREATE FUNCTION not_an_orchestrator(input int) RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION tagged(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$ BEGIN RETURN durable.call_suborchestrator('child', instance_id => 'tagged child', tags => '{"b": "own", "c": "new"}') -> 'tags'; END $$;
CREATE FUNCTION detaches(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
BEGIN
	RETURN jsonb_build_array(durable.start_detached('waits'), durable.start_detached('fails', instance_id => 'detached failure'),
		durable.start_detached('child', '1', instance_id => 'detached child', tags => '{"x": "y"}'));
END $$;
CREATE FUNCTION loses_child(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
BEGIN
	RETURN durable.call_suborchestrator('waits', instance_id => input #>> '{}');
EXCEPTION WHEN SQLSTATE 'UD011' THEN
	RETURN to_jsonb('lost: ' || SQLERRM);
END $$;
CREATE FUNCTION versioned(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
BEGIN
	IF durable.parent_instance_id() IS NOT NULL THEN
		RETURN to_jsonb(durable.instance_version());
	END IF;
	RETURN durable.call_suborchestrator('versioned', version => '2.1');
END $$;
CREATE FUNCTION empty_id(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN durable.call_suborchestrator('child', instance_id => ''); END $$;
CREATE FUNCTION long_id(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN durable.call_suborchestrator('child', instance_id => repeat('x', 256)); END $$;

SELECT durable.start_instance('parent', '{"n": 1}', 'parent', tags => '{"t": "1"}') \g /dev/null
SELECT start(f) FROM unnest(ARRAY['many', 'catches', 'twins', 'one_after_the_other', 'unknown_child', 'detaches', 'versioned', 'empty_id', 'long_id']) f;
SELECT start('nested', '3');
SELECT start('nested', '5', repeat('x', 255));
SELECT start('child', NULL, 'top level');
SELECT start('after_two', NULL, 'third task');
SELECT start('wants_shared', NULL, 'wants shared ' || n) FROM generate_series(1, 3) n;
SELECT start('parent_of_failing', '"fails"');
SELECT start('parent_of_failing', '"fails_by_activity"', 'grandparent of failure');
SELECT start('parent_of', '{"name": "child", "id": "chosen"}', 'chooses');
SELECT start('parent_of', '{"name": "not_an_orchestrator"}', 'wrong child');
SELECT durable.start_instance('tagged', tags => '{"a": "parent", "b": "parent"}', instance_id => 'tagged') \g /dev/null
SELECT start('loses_child', '"terminated child"', 'loses_child');
SELECT start('parent_of', '{"name": "waits", "id": "running child"}', 'terminated parent');
SELECT start('waits', NULL, 'taken');
:run
SELECT start('parent_of', '{"name": "waits", "id": "taken"}', 'wants taken');
:run

SELECT is(output('parent') ->> 'input', '{"n": 1}', 'scenario 47: a parent calls a child and gets its result');
SELECT is(output('parent') ->> 'parent', 'parent', 'scenario 60: the child knows its parent');
SELECT is(output('parent') ->> 'id', (SELECT execution_id || ':0' FROM durable.instances WHERE instance_id = 'parent'), 'the default id of a child is <execution id>:<number>');
SELECT is((SELECT parent_instance_id FROM durable.instances WHERE instance_id = output('parent') ->> 'id'), 'parent', 'scenario 47: its row has the parent''s id');
SELECT is(story('parent'), '[OS ExecutionStarted SubOrchestrationInstanceCreated(0) OC] [OS SubOrchestrationInstanceCompleted->0 ExecutionCompleted(1) OC]', 'scenario 47: history of the parent');
SELECT results_eq($$ SELECT name, input, target_instance_id COLLATE "default" FROM durable.history WHERE instance_id = 'parent' AND event_type = 'SubOrchestrationInstanceCreated' $$,
	$$ SELECT 'child', '{"n": 1}'::jsonb, execution_id || ':0' FROM durable.instances WHERE instance_id = 'parent' $$, 'with the child''s name, input and id');
SELECT is((SELECT result FROM durable.history WHERE instance_id = 'parent' AND event_type = 'SubOrchestrationInstanceCompleted'), output('parent'), 'and its result');
SELECT is(outcome('top level'), 'completed {"id": "top level", "tags": null, "input": null, "parent": null}', 'scenario 60: at top level there is no parent');
SELECT results_eq($$ SELECT p.name, p.instance_id COLLATE "default", h.event_id FROM durable.instances c JOIN durable.instances p ON p.instance_id = c.parent_instance_id
		JOIN durable.history h ON h.instance_id = p.instance_id AND h.target_instance_id = c.instance_id WHERE c.name = 'child' AND p.instance_id = 'third task' $$,
	$$ VALUES ('after_two', 'third task', 2) $$, 'scenario 60: a client finds the parent''s name, id and the number of the task by the views');
SELECT is(outcome('many'), 'completed 420', 'scenario 48: fan-out of children');
SELECT is((SELECT count(*) FROM durable.instances WHERE parent_instance_id = 'many' AND status = 'completed'), 20::bigint, 'scenario 48: each completed');
SELECT is(jsonb_array_length(output('nested')), 4, 'scenario 49: parent of parent of parent, to four levels');
SELECT cmp_ok((SELECT max(length(id)) FROM jsonb_array_elements_text(output('nested')) id), '<=', 100, 'scenario 56: default ids do not grow with depth');
SELECT is(jsonb_array_length(output(repeat('x', 255))), 6, 'scenario 49: six levels, below an id of 255 bytes');
SELECT cmp_ok((SELECT max(octet_length(id)) FROM jsonb_array_elements_text(output(repeat('x', 255)) - 0) id), '<=', 100, 'scenario 56: nor with the length of the parent''s id');
SELECT is(output('chooses') ->> 'id', 'chosen', 'scenario 53: a child of a chosen id');
SELECT is(outcome('chosen'), concat_ws(' ', 'completed', output('chooses')), 'scenario 53: and its state is found by it');
SELECT is(ARRAY(SELECT instance_id COLLATE "default" FROM durable.instances WHERE parent_instance_id IS NULL AND name IN ('nested', 'parent') ORDER BY 1), ARRAY['nested', 'parent', repeat('x', 255)],
	'scenario 61: only parents can be listed');

SELECT is(outcome('parent_of_failing'), 'failed ZZ001 the child gives up', 'scenario 51: an uncaught failure of the child fails the parent with its SQLSTATE and message');
SELECT is((SELECT failure #>> '{innerFailure,errorMessage}' FROM durable.instances WHERE instance_id = 'parent_of_failing'), 'the child gives up', 'scenario 68: the child''s failure is the inner failure');
SELECT is((SELECT failure #>> '{innerFailure,hint}' FROM durable.instances WHERE instance_id = 'parent_of_failing'), 'some hint', 'scenario 68: with all its fields');
SELECT is(story('parent_of_failing'), '[OS ExecutionStarted SubOrchestrationInstanceCreated(0) OC] [OS SubOrchestrationInstanceFailed->0 ExecutionCompleted(1) OC]', 'scenario 51: history');
SELECT is(outcome('grandparent of failure'), 'failed 22012 deep down', 'scenario 51: the failure of an activity two levels down');
SELECT is(outcome('catches'), 'completed ["the child gives up", "some detail", "some hint"]', 'scenario 52: a parent that catches completes');
SELECT is(outcome('unknown_child'), 'completed "orchestrator \"no_such\" does not exist"', 'an unknown orchestrator is a failure that can be caught');
SELECT is(events('unknown_child', 'SubOrchestrationInstanceCreated'), 1::bigint, 'and is not retried');
SELECT is(failure('wrong child', 'sqlstate'), '42P13', 'a function that is no orchestrator');
SELECT is(failure('empty_id', 'sqlstate'), '22023', 'an empty id');
SELECT is(failure('long_id', 'sqlstate'), '22023', 'an id that is too long');

SELECT is(outcome('wants taken'), 'failed UD003 an instance with id "taken" already exists and has not finished', 'a running instance of the id fails the task');
SELECT is(outcome('taken'), 'running', 'and goes on');
SELECT is(outcome('twins'), 'running', 'scenario 54: two children of one id: the parent waits for the first');
SELECT go('twin');
:run
SELECT is(outcome('twins'), 'completed ["UD003", null]', 'scenario 54: the second failed with UD003');
SELECT is((SELECT generation FROM durable.instances WHERE instance_id = 'twin'), 1::bigint, 'scenario 54: one ran');
SELECT is((SELECT array_agg(status('wants shared ' || n) ORDER BY status('wants shared ' || n)) FROM generate_series(1, 3) n), '{completed,completed,running}', 'scenario 54: three parents want one id: one has the child');
SELECT is((SELECT count(*) FROM generate_series(1, 3) n WHERE outcome('wants shared ' || n) = 'completed "taken"'), 2::bigint, 'scenario 54: the others are told');
SELECT durable.raise_event('shared', 'go', '"mine"') \g /dev/null
:run
SELECT is((SELECT count(*) FROM generate_series(1, 3) n WHERE outcome('wants shared ' || n) = 'completed "mine"'), 1::bigint, 'scenario 54: the first has its result');
SELECT is(effects('shared'), 'shared', 'scenario 54: of one run');
SELECT is(outcome('one_after_the_other'), 'completed [2, 4]', 'a finished child of the id is replaced');
SELECT is((SELECT generation FROM durable.instances WHERE instance_id = 'again'), 2::bigint, 'by a new generation');
SELECT is(output('tagged'), '{"a": "parent", "b": "own", "c": "new"}', 'scenario 62: children inherit tags and override them');
SELECT is((SELECT tags FROM durable.instances WHERE instance_id = 'tagged child'), '{"a": "parent", "b": "own", "c": "new"}', 'scenario 62: in the view too');
SELECT is(output('parent') -> 'tags', '{"t": "1"}', 'scenario 62: without own tags they are the parent''s');
SELECT is(outcome('versioned'), 'completed "2.1"', 'a child has the version it was asked in');

-- Detached ones.
SELECT is(story('detaches'), '[OS ExecutionStarted SubOrchestrationInstanceCreated(0) SubOrchestrationInstanceCreated(1) SubOrchestrationInstanceCreated(2) ExecutionCompleted(3) OC]',
	'start_detached() does not wait');
SELECT is(status(output('detaches') ->> 0), 'running', 'a detached orchestration runs on when its starter has completed');
SELECT is(outcome('detached failure'), 'failed ZZ001 the child gives up', 'its failure is its own');
SELECT is(outcome('detached child'), 'completed {"id": "detached child", "tags": {"x": "y"}, "input": 1, "parent": null}', 'it has no parent, and just the tags it was given');
SELECT is(outcome('detaches'), concat_ws(' ', 'completed', jsonb_build_array(i.execution_id || ':0', 'detached failure', 'detached child')), 'start_detached() returns the id')
FROM durable.instances i WHERE instance_id = 'detaches';

-- Termination between parent and child.
SELECT durable.terminate('terminated child', 'no longer wanted') \g /dev/null
SELECT durable.terminate('terminated parent', 'enough', recursive => false) \g /dev/null
:run
SELECT is(outcome('loses_child'), 'completed "lost: no longer wanted"', 'scenario 64: the parent of a terminated child sees a failure with the reason');
SELECT is(outcome('terminated parent'), 'terminated "enough"', 'scenario 63: a parent terminated without its children');
SELECT is(outcome('running child'), 'running', 'scenario 63: the child continues');
SELECT durable.raise_event('running child', 'go', '"done"') \g /dev/null
:run
SELECT is(outcome('running child'), 'completed "done"', 'scenario 63: and completes');
SELECT is(outcome('terminated parent'), 'terminated "enough"', 'scenario 63: its result is dropped');

-- The parent is gone, or another one has its id: the child's result is nobody's.
SELECT start('parent_of', '{"name": "waits", "id": "child of the first"}', 'reused');
SELECT start('parent_of', '{"name": "waits", "id": "child of the purged"}', 'purged');
:run
SELECT durable.terminate(id, recursive => false) FROM unnest(ARRAY['reused', 'purged']) id \g /dev/null
:run
SELECT is(durable.purge('purged', recursive => false), 1::bigint, 'a parent is purged while its child runs');
SELECT start('parent_of', '{"name": "waits", "id": "child of the second"}', 'reused');
:run
SELECT durable.raise_event(id, 'go', to_jsonb(id)) FROM unnest(ARRAY['child of the first', 'child of the purged']) id \g /dev/null
:run
SELECT is(outcome('child of the first'), 'completed "child of the first"', 'scenario 63: a child outlives its parent');
SELECT is(outcome('child of the purged'), 'completed "child of the purged"', 'scenario 63: one whose parent was purged, too');
SELECT is(outcome('purged'), NULL, 'scenario 63: which does not come back');
SELECT is(outcome('reused'), 'running', 'scenario 63: a new parent of the same id does not take the old one''s result');
SELECT is(story('reused'), '[OS ExecutionStarted SubOrchestrationInstanceCreated(0) OC]', 'scenario 63: though it waits for a task of the same number');
SELECT durable.raise_event('child of the second', 'go', '"own"') \g /dev/null
:run
SELECT is(outcome('reused'), 'completed "own"', 'scenario 63: but its own');

-- A parent that fails does not end its children either.
CREATE FUNCTION fails_beside_child(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$
BEGIN
	PERFORM durable.schedule_suborchestrator('waits', instance_id => 'beside');
	RETURN durable.call_activity('fail', '{"message": "beside a child"}');
END $$;
SELECT start('fails_beside_child');
:run
SELECT is(outcome('fails_beside_child'), 'failed P0001 beside a child', 'a parent that fails while its child runs');
SELECT is(outcome('beside'), 'running', 'leaves it running');
SELECT go('beside');
:run
SELECT is(outcome('beside'), 'completed', 'to its own end');
SELECT is(events('fails_beside_child', 'SubOrchestrationInstanceCompleted'), 0::bigint, 'of which the failed parent hears nothing');

-- An instance that asks for its own id, or that of an ancestor, would wait for itself.
CREATE FUNCTION own_id(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN durable.call_suborchestrator('child', instance_id => durable.instance_id()); END $$;
CREATE FUNCTION parents_id(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN durable.call_suborchestrator('child', instance_id => durable.parent_instance_id()); END $$;
CREATE FUNCTION detaches_itself(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$ BEGIN PERFORM durable.start_detached('child', instance_id => durable.instance_id()); RETURN durable.wait_for_event('go'); END $$;
SELECT start(f) FROM unnest(ARRAY['own_id', 'detaches_itself']) f;
SELECT start('parent_of', '{"name": "parents_id"}', 'ancestor');
:run
SELECT is(outcome('own_id'), 'failed UD003 an instance with id "own_id" already exists and has not finished', 'scenario 54: a child of the instance''s own id');
SELECT is(outcome('ancestor'), 'failed UD003 an instance with id "ancestor" already exists and has not finished', 'scenario 54: a child of an ancestor''s id');
SELECT is((SELECT name || ' ' || status FROM durable.instances WHERE instance_id = 'detaches_itself'), 'detaches_itself running', 'a detached start of its own id is dropped');
SELECT is_empty('SELECT * FROM durable.messages', 'no message is left');
SELECT * FROM finish();
