# shellcheck shell=bash
# What a worker's memory is after 10,000 and after 200,000 steps. One worker does all of them, so that it is known which;
# its memory is what is not shared (RssAnon), and what its memory contexts hold.
start_server memory durable "durable.max_workers = 1"
worker() { super "SELECT pid FROM durable.workers WHERE kind = 'worker'"; }
rss() { awk '/^RssAnon/ { print $2 }' "/proc/$(worker)/status"; }
contexts() {
	local pid lines
	pid=$(worker)
	lines=$(wc -l <memory/log)
	super "SELECT pg_log_backend_memory_contexts($pid)" >/dev/null
	until tail -n "+$((lines + 1))" memory/log | grep -q 'Grand total'; do sleep 0.05; done
	tail -n "+$((lines + 1))" memory/log | sed -n 's/.*Grand total: \([0-9]*\) bytes.*/\1/p' | awk '{ print int($1 / 1024) }'
}
steps 2000 >/dev/null
first=$(worker) rss0=$(rss) contexts0=$(contexts)
steps 38000 >/dev/null
rss1=$(rss) contexts1=$(contexts)
[ "$(worker)" = "$first" ] || die "the worker was replaced meanwhile"
result memory "RssAnon of a worker after 200,000 steps" "$rss1" kB "$rss0" "$(divide "$rss1" "$rss0")" "<= 1.05"
result memory "its memory contexts" "$contexts1" kB "$contexts0" "$(divide "$contexts1" "$contexts0")" "<= 1.05"
stop_server memory
