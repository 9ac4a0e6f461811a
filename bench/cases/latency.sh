# shellcheck shell=bash
# One client on an idle server: start_instance() and wait_for_completion() of one activity, which is on disk before and
# after, against one bare committed insert. Once with ids of its own, and once with those it gets, which is reported.
start_server main
app "CREATE TABLE bare (x int)"
as_server_user tee bare.sql >/dev/null <<<'INSERT INTO bare VALUES (1);'
as_server_user tee start_and_wait.sql >/dev/null <<-'END'
	\set n random(1, 1000000000000)
	SELECT durable.start_instance('do_steps', '{"steps": 1}', instance_id => (:n)::text);
	SELECT status FROM durable.wait_for_completion((:n)::text);
END
as_server_user tee start_and_wait_for_new.sql >/dev/null <<-'END'
	SELECT quote_literal(durable.start_instance('do_steps', '{"steps": 1}')) AS id \gset
	SELECT status FROM durable.wait_for_completion(:id);
END
# A server that is idle has cleaned up behind the cases before.
super "VACUUM durable_store.instances, durable_store.history, durable_store.inbox, durable_store.activity_queue"
# latencies SCRIPT: of each of 300 runs, in microseconds, to the file of that name
latencies() {
	quietly_pgbench -t 300 -f "$1.sql" -l --log-prefix="log_$1"
	cat "log_$1".* | awk '{ print $3 }'
	rm -f "log_$1".*
}
latencies start_and_wait >/dev/null
alternate bare="latencies bare" whole="latencies start_and_wait" new="latencies start_and_wait_for_new"
for p in 50 99; do
	bare=$(percentile $p <values.bare)
	whole=$(percentile $p <values.whole)
	new=$(percentile $p <values.new)
	limit=$([ $p = 50 ] && echo "<= 3" || echo "<= 10")
	result latency "start to completion of one activity, p$p" "$whole" "us" "$bare" "$(divide "$whole" "$bare")" "$limit"
	result latency "with an id that durable makes, p$p" "$new" "us" "$bare" "$(divide "$new" "$bare")" ""
done
app "DROP TABLE bare"
