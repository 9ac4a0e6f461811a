# shellcheck shell=bash
# What a server with ten hubs does in a minute in which nobody asks anything of it. All hubs have had work just before.
# Processor time is that of durable's processes, and of all processes of the server.
seconds=${IDLE_SECONDS:-60}
start_server idle 'durable, pg_stat_statements' "pg_stat_statements.track = all"
super "CREATE EXTENSION pg_stat_statements" >/dev/null
for hub in 1 2 3 4 5 6 7 8 9 10; do
	super "SELECT durable.create_hub('idle$hub', 'app')" >/dev/null
	app "SELECT durable.start_instance('do_steps', '{\"steps\": 5}', task_hub => 'idle$hub')" >/dev/null
done
drain
counters() { super "SELECT coalesce(sum(calls), 0), (pg_current_wal_insert_lsn() - '0/0')::bigint FROM pg_stat_statements WHERE query NOT LIKE '%FROM pg_stat_statements%'" | tr '|' ' '; }
# Until what came after the work is over: the running-transactions record of the background writer, notes of statistics.
lsn() { super "SELECT pg_current_wal_insert_lsn()"; }
for ((i = 0; i < 6; i++)); do
	before=$(lsn)
	sleep 16
	[ "$(lsn)" != "$before" ] || break
done
nanoseconds() { local pid sum=0 ns; for pid in $1; do read -r ns _ <"/proc/$pid/schedstat" 2>/dev/null && sum=$((sum + ns)); done; echo "$sum"; }
ours=$(super "SELECT string_agg(pid::text, ' ') FROM durable.workers")
everybody=$(super "SELECT string_agg(pid::text, ' ') FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
super "SELECT pg_stat_statements_reset()" >/dev/null
read -r calls0 wal0 < <(counters)
ours0=$(nanoseconds "$ours") all0=$(nanoseconds "$everybody")
sleep "$seconds"
ours1=$(nanoseconds "$ours") all1=$(nanoseconds "$everybody")
read -r calls1 wal1 < <(counters)
result idle "queries in $seconds s, 10 hubs" "$((calls1 - calls0))" queries "" "" "<= 10"
result idle "WAL" "$((wal1 - wal0))" bytes "" "" "<= 0"
result idle "processor time of durable's processes" "$(((ours1 - ours0) / 1000))" us "" "" ""
result idle "processor time of all processes" "$(((all1 - all0) / 1000))" us "" "" ""
stop_server idle
