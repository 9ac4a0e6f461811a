-- What a non-determinism failure shows: recorded and requested side by side.
\ir include/setup.psql
-- Code is changed under running instances here, which would finish on their own.
SET durable.on_code_change = latest;
SELECT plan(17);

CREATE FUNCTION child(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN input; END $$;
CREATE FUNCTION other_child(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN input; END $$;
CREATE FUNCTION define(id text, body text) RETURNS void LANGUAGE plpgsql AS
$$ BEGIN EXECUTE format('CREATE OR REPLACE FUNCTION %I(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS %L', 'o ' || id, 'BEGIN ' || body || ' RETURN ''"done"''; END'); END $$;
-- Schedules these activities.
CREATE FUNCTION do_all(what text[]) RETURNS void LANGUAGE plpgsql AS
$$ BEGIN FOR i IN 1..cardinality(what) LOOP PERFORM durable.schedule_activity(what[i]); END LOOP; END $$;

CREATE TABLE cases (id text PRIMARY KEY, before text, after text, shown text);
INSERT INTO cases VALUES
	('renamed', $$ PERFORM do_all('{reserve,charge,ship}'); PERFORM durable.wait_for_event('go'); $$,
		$$ PERFORM do_all('{reserve,pay,ship}'); PERFORM durable.wait_for_event('go'); $$,
'    recorded                | requested now
  0 TaskScheduled ''reserve'' | ScheduleTask ''reserve''
> 1 TaskScheduled ''charge''  | ScheduleTask ''pay''
  2 TaskScheduled ''ship''    | ScheduleTask ''ship'''),
	('removed', $$ PERFORM do_all('{reserve,charge,ship}'); PERFORM durable.wait_for_event('go'); $$,
		$$ PERFORM do_all('{reserve,ship}'); PERFORM durable.wait_for_event('go'); $$,
'    recorded                | requested now
  0 TaskScheduled ''reserve'' | ScheduleTask ''reserve''
> 1 TaskScheduled ''charge''  | ScheduleTask ''ship''
  2 TaskScheduled ''ship''    | - (waits for event ''go'')'),
	('last removed', $$ PERFORM do_all('{reserve,charge}'); PERFORM durable.wait_for_event('go'); $$,
		$$ PERFORM do_all('{reserve}'); PERFORM durable.wait_for_event('Later'); $$,
'    recorded                | requested now
  0 TaskScheduled ''reserve'' | ScheduleTask ''reserve''
> 1 TaskScheduled ''charge''  | - (waits for event ''later'')'),
	('inserted', $$ PERFORM do_all('{reserve,ship}'); PERFORM durable.wait_for_event('go'); $$,
		$$ PERFORM do_all('{reserve,charge,ship}'); PERFORM durable.wait_for_event('go'); $$,
'    recorded                | requested now
  0 TaskScheduled ''reserve'' | ScheduleTask ''reserve''
> 1 TaskScheduled ''ship''    | ScheduleTask ''charge''
  2 -                       | ScheduleTask ''ship'''),
	('timer', $$ PERFORM durable.schedule_activity('charge', version => '2'); PERFORM durable.wait_for_event('go'); $$,
		$$ PERFORM durable.create_timer_at('2040-01-02 03:04:05+00'); PERFORM durable.wait_for_event('go'); $$,
'    recorded                           | requested now
> 0 TaskScheduled ''charge'' version ''2'' | CreateTimer 2040-01-02 03:04:05+00'),
	('recorded timer', $$ PERFORM durable.create_timer_at('2040-01-02 03:04:05.6+01'); PERFORM durable.wait_for_event('go'); $$,
		$$ PERFORM do_all('{charge}'); PERFORM durable.wait_for_event('go'); $$,
'    recorded                              | requested now
> 0 TimerCreated 2040-01-02 02:04:05.6+00 | ScheduleTask ''charge'''),
	('cancelled timer', $$ PERFORM durable.create_timer_at('2040-01-02 03:04:05+00'); PERFORM durable.wait_for_event('go'); $$,
		$$ PERFORM durable.cancel_timer(durable.create_timer_at('2040-01-02 03:04:05+00')); PERFORM durable.wait_for_event('go'); $$,
'    recorded                            | requested now
> 0 TimerCreated 2040-01-02 03:04:05+00 | CreateTimer 2040-01-02 03:04:05+00, taken back'),
	('child', $$ PERFORM durable.schedule_suborchestrator('child', instance_id => 'c1', version => '7'); PERFORM durable.wait_for_event('go'); $$,
		$$ PERFORM durable.schedule_suborchestrator('other_child'); PERFORM durable.wait_for_event('go'); $$,
'    recorded                                                    | requested now
> 0 SubOrchestrationInstanceCreated ''child'' version ''7'' as ''c1'' | CreateSubOrchestration ''other_child'''),
	('event', $$ PERFORM durable.send_event('nobody', 'x'); PERFORM durable.wait_for_event('go'); $$,
		$$ PERFORM durable.send_event('somebody', 'y'); PERFORM durable.wait_for_event('go'); $$,
'    recorded                  | requested now
> 0 EventSent ''x'' to ''nobody'' | SendEvent ''y'' to ''somebody'''),
	('too early', $$ PERFORM do_all('{reserve,charge,ship}'); PERFORM durable.wait_for_event('go'); $$,
		$$ PERFORM do_all('{reserve}'); $$,
'    recorded                | requested now
  0 TaskScheduled ''reserve'' | ScheduleTask ''reserve''
> 1 TaskScheduled ''charge''  | OrchestrationComplete
  2 TaskScheduled ''ship''    | -'),
	('long', $$ PERFORM do_all(ARRAY(SELECT 'a' || n FROM generate_series(0, 199) n)); PERFORM durable.wait_for_event('go'); $$,
		$$ PERFORM do_all(ARRAY(SELECT CASE n WHEN 100 THEN 'b' ELSE 'a' END || n FROM generate_series(0, 209) n)); PERFORM durable.wait_for_event('go'); $$,
'... 98 before agree
      recorded             | requested now
   98 TaskScheduled ''a98''  | ScheduleTask ''a98''
   99 TaskScheduled ''a99''  | ScheduleTask ''a99''
> 100 TaskScheduled ''a100'' | ScheduleTask ''b100''
  101 TaskScheduled ''a101'' | ScheduleTask ''a101''
  102 TaskScheduled ''a102'' | ScheduleTask ''a102''
  103 TaskScheduled ''a103'' | ScheduleTask ''a103''
  104 TaskScheduled ''a104'' | ScheduleTask ''a104''
  105 TaskScheduled ''a105'' | ScheduleTask ''a105''
  106 TaskScheduled ''a106'' | ScheduleTask ''a106''
... 93 more recorded, 103 more requested'),
	('names', $$ PERFORM do_all(ARRAY[repeat('é', 40), E'two\nlines']); PERFORM durable.wait_for_event('go'); $$,
		$$ PERFORM do_all('{a,b}'); PERFORM durable.wait_for_event('go'); $$,
	format('    recorded                                    | requested now
> 0 TaskScheduled ''%s...'' | ScheduleTask ''a''
  1 TaskScheduled ''two lines''                   | ScheduleTask ''b''', repeat('é', 24)));

-- Nobody works on these activities: that they exist does not matter here.
SELECT durable.register_activity(name, external => true)
FROM unnest(ARRAY['reserve', 'charge', 'ship', 'pay', 'a', 'b', repeat('é', 40), E'two\nlines']) name \g /dev/null
SELECT durable.register_activity('charge', version => '2', external => true) \g /dev/null
SELECT durable.register_activity(l || n, external => true) FROM unnest('{a,b}'::text[]) l, generate_series(0, 209) n \g /dev/null
SELECT durable.register_orchestrator('child', 'child(jsonb)', '7') \g /dev/null
SELECT define(id, before) FROM cases \g /dev/null
SELECT durable.start_instance(format('%I', 'o ' || id), instance_id => id) FROM cases \g /dev/null
:run
SELECT is((SELECT count(*) FROM durable.instances i JOIN cases c ON i.instance_id = c.id WHERE status = 'running'), 12::bigint, 'all wait for their event');
SELECT define(id, after) FROM cases \g /dev/null
SELECT go(id) FROM cases \g /dev/null
-- The text is the same in every session.
SET TimeZone = 'Asia/Tokyo';
SET DateStyle = 'German';
:run
SELECT is(failure(id, 'detail'), shown, 'scenario 87: recorded and requested side by side: ' || id) FROM cases;
RESET TimeZone;
RESET DateStyle;
SELECT is((SELECT count(*) FROM durable.instances i JOIN cases c ON i.instance_id = c.id WHERE failure ->> 'sqlstate' = 'UD002'), 12::bigint, 'all failed for it');

-- Retries and the timers between them are recorded and asked for as well.
CREATE FUNCTION retries(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$ BEGIN RETURN durable.call_activity('fail', '{"message": "no"}', retry => durable.retry_policy(3, '1 h')); EXCEPTION WHEN raise_exception THEN RETURN durable.wait_for_event('go'); END $$;
SELECT start('retries');
:run_all
CREATE OR REPLACE FUNCTION retries(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$ BEGIN RETURN durable.call_activity('fail', '{"message": "no"}'); EXCEPTION WHEN raise_exception THEN RETURN durable.wait_for_event('go'); END $$;
SELECT go('retries');
:run
SELECT alike(failure('retries', 'detail'), '%  0 TaskScheduled ''fail''%| ScheduleTask ''fail''
> 1 TimerCreated 20% | - (waits for event ''go'')
  2 TaskScheduled ''fail'' % | -
  3 TimerCreated 20% | -
  4 TaskScheduled ''fail'' % | -', 'a retry policy that was taken away');

-- Two runs that differ have a text of their own, and an ordinary failure has none.
SELECT start('call', '{"name": "fail", "input": {"message": "ordinary", "detail": "its own"}}', 'ordinary');
:run
SELECT is(failure('ordinary', 'detail'), 'its own', 'an ordinary failure keeps its detail');
SELECT ok(failure('renamed', 'hint') LIKE '%rewind%', 'the hint is still there');
SELECT * FROM finish();
