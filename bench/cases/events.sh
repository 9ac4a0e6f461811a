# shellcheck shell=bash
# 2,000 waiting instances, each of which gets 10 events, raised by ten statements, one commit each. The time is from
# the first of these statements to the end of the last instance.
start_server main
events() {
	sql_as app <<-'END'
	SELECT 'e' || extract(epoch FROM clock_timestamp()) || '-' AS prefix \gset
	SELECT count(durable.start_instance('get_events', '{"events": 10}', instance_id => :'prefix' || g)) FROM generate_series(1, 2000) g \g /dev/null
	DO $$ BEGIN
		WHILE EXISTS (SELECT FROM durable.messages) OR EXISTS (SELECT FROM durable.instances WHERE status = 'pending') LOOP COMMIT; PERFORM pg_sleep(0.01); END LOOP;
	END $$;
	SELECT clock_timestamp() AS began \gset
	SELECT format('SELECT count(durable.raise_event(%L || g, ''go'')) FROM generate_series(1, 2000) g', :'prefix') FROM generate_series(1, 10) \gexec
	CALL await_instances(:'prefix', 2000);
	SELECT 20000 / extract(epoch FROM clock_timestamp() - :'began'::timestamptz);
	END
}
rate_against_bound events "2,000 instances x 10 events" "events/s" ">= 0.5" "events | tail -n 1"
