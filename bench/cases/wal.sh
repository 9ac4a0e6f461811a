# shellcheck shell=bash
# What a step of "steps" leaves behind and costs, counted and not timed: WAL by its records (pg_walinspect), rows by the
# server's statistics, statements by pg_stat_statements. All that its instance costs is in it, the start and the end
# too, a fifth for each step; the activity's own insert is not. Autovacuum is off, so that it is not counted.
start_server counted 'durable, pg_stat_statements' "pg_stat_statements.track = all" "autovacuum = off"
n=5000
super "CREATE EXTENSION IF NOT EXISTS pg_stat_statements; CREATE EXTENSION IF NOT EXISTS pg_walinspect" >/dev/null
steps >/dev/null
rows() { super "SELECT sum(n_tup_ins + n_tup_upd + n_tup_del), sum(n_tup_upd + n_tup_del), sum(n_tup_upd), sum(n_tup_hot_upd) FROM pg_stat_all_tables WHERE schemaname = 'durable_store'" | tr '|' ' '; }
# Processes tell the statistics at most once a second: waits until they say the same again.
settled_rows() {
	local before='' now
	while now=$(rows); [ "$now" != "$before" ]; do before=$now; sleep 1.5; done
	echo "$now"
}
read -r written0 dead0 updated0 hot0 < <(settled_rows)
super "CHECKPOINT; SELECT pg_stat_statements_reset()" >/dev/null
from=$(super "SELECT pg_current_wal_insert_lsn()")
steps "$n" >/dev/null
# asynchronous commits: what is read of the WAL must be written
to=$(super "SELECT pg_current_wal_insert_lsn()")
super "SELECT pg_switch_wal()" >/dev/null
statements=$(super "SELECT sum(calls) FROM pg_stat_statements WHERE query LIKE '%durable\\_store.%' AND query NOT LIKE '%bench%'")
read -r written1 dead1 updated1 hot1 < <(settled_rows)
super "CREATE TABLE wal AS SELECT \"resource_manager/record_type\" AS record, count, record_size AS bytes, fpi_size AS images
	FROM pg_get_wal_stats('$from', '$to', true)"
# the same inserts alone
from=$(super "SELECT pg_current_wal_insert_lsn()")
app "INSERT INTO effects SELECT 'r1234567890.123456-' || g / 5, 1 + g % 5 FROM generate_series(0, $n * 5 - 1) g"
effect=$(super "SELECT pg_current_wal_insert_lsn() - '$from'")
per_step() { awk -v v="$1" -v n="$n" 'BEGIN { printf "%.4g\n", v / n / 5 }'; }
read -r bytes images commits < <(super "SELECT sum(bytes), sum(images), sum(count) FILTER (WHERE record = 'Transaction/COMMIT') FROM wal WHERE record NOT LIKE 'XLOG/%'" | tr '|' ' ')
result wal "WAL beyond the effect" "$(per_step "$((bytes - effect))")" bytes/step "" "" "<= 800"
result wal "full-page images after a checkpoint" "$(per_step "$images")" bytes/step "" "" ""
result wal "rows inserted, updated, deleted" "$(per_step "$((written1 - written0))")" rows/step "" "" "<= 5"
result wal "rows left dead" "$(per_step "$((dead1 - dead0))")" rows/step "" "" ""
result wal "updates that are HOT" "$(awk -v u="$((updated1 - updated0))" -v h="$((hot1 - hot0))" 'BEGIN { printf "%.3g\n", u ? 100 * h / u : 0 }')" % "" "" ""
result wal "statements of the engine" "$(per_step "$statements")" 1/step "" "" ""
result wal "commits" "$(per_step "$commits")" 1/step "" "" ""
super "COPY (SELECT * FROM wal WHERE bytes > 0 ORDER BY bytes DESC) TO STDOUT" >wal_records.tsv
stop_server counted
