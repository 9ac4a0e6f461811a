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
# latencies NAME SCRIPT: the median of 500 runs, in microseconds; the 99th percentile goes to values.NAME99.
latencies() {
	quietly_pgbench -t 500 -f "$2.sql" -l --log-prefix="log_$1"
	cat "log_$1".* | awk '{ print $3 }' >"latencies.$1"
	rm -f "log_$1".*
	percentile 99 <"latencies.$1" >>"values.${1}99"
	percentile 50 <"latencies.$1"
}
latencies whole start_and_wait >/dev/null
rm -f values.*99
alternate bare="latencies bare bare" whole="latencies whole start_and_wait" new="latencies new start_and_wait_for_new"
result latency "start to completion of one activity, p50" "$(median whole)" "us" "$(median bare)" "$(ratio whole bare)" "<= 3"
result latency "start to completion of one activity, p99" "$(median whole99)" "us" "$(median bare99)" "$(ratio whole99 bare99)" "<= 10"
result latency "with an id that durable makes, p50" "$(median new)" "us" "$(median bare)" "$(ratio new bare)" ""
result latency "with an id that durable makes, p99" "$(median new99)" "us" "$(median bare99)" "$(ratio new99 bare99)" ""
app "DROP TABLE bare"
