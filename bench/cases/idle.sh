# shellcheck shell=bash
# What a server with ten hubs does in a minute in which nobody asks anything of it (idle.setup.sh). Processor time is
# that of durable's processes, and of all processes of the server.
seconds=${IDLE_SECONDS:-60}
server=idle
lsn() { super "SELECT pg_current_wal_insert_lsn()"; }
counters() { super "SELECT coalesce(sum(calls), 0), (pg_current_wal_insert_lsn() - '0/0')::bigint FROM pg_stat_statements WHERE query NOT LIKE '%FROM pg_stat_statements%'" | tr '|' ' '; }
nanoseconds() { local pid sum=0 ns; for pid in $1; do if read -r ns _ 2>/dev/null <"/proc/$pid/schedstat"; then sum=$((sum + ns)); fi; done; echo "$sum"; }

# The workers have left, and the background writer has noted the running transactions for the last time.
while [ "$(super "SELECT count(*) FROM durable.workers WHERE kind = 'worker' AND pid IS NOT NULL")" != 0 ]; do sleep 1; done
before=
while [ "$(lsn)" != "$before" ]; do
	before=$(lsn)
	sleep 16
done
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
super "SELECT calls, query FROM pg_stat_statements ORDER BY calls DESC" >idle_queries.txt
stop_server idle
