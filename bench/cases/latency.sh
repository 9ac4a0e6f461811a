# shellcheck shell=bash
# One client on an idle server: start_instance() and wait_for_completion() of one activity, two durable commits
# at least, against one bare committed insert.
start_server main
app "CREATE TABLE bare (x int)"
as_server_user tee bare.sql >/dev/null <<<'INSERT INTO bare VALUES (1);'
as_server_user tee start_and_wait.sql >/dev/null <<-'END'
	\set n random(1, 1000000000000)
	SELECT durable.start_instance('do_steps', '{"steps": 1}', instance_id => (:n)::text);
	SELECT status FROM durable.wait_for_completion((:n)::text);
END
# latencies SCRIPT: of each of 300 runs, in microseconds, to the file of that name
latencies() {
	quietly_pgbench -t 300 -f "$1.sql" -l --log-prefix="log_$1"
	cat "log_$1".* | awk '{ print $3 }'
	rm -f "log_$1".*
}
latencies start_and_wait >/dev/null
alternate bare="latencies bare" whole="latencies start_and_wait"
for p in 50 99; do
	bare=$(percentile $p <values.bare)
	whole=$(percentile $p <values.whole)
	limit=$([ $p = 50 ] && echo "<= 3" || echo "<= 10")
	result latency "start to completion of one activity, p$p" "$whole" "us" "$bare" "$(divide "$whole" "$bare")" "$limit"
done
app "DROP TABLE bare"
