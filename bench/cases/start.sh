# shellcheck shell=bash
# Eight sessions that start instances, one durable commit each, against eight that commit two bare inserts.
# The hub is paused, so that it is the call that is measured and not who gets the cores; and then with workers
# that run what is started at the same time, which is reported.
start_server main
app "CREATE TABLE bare_a (id bigint PRIMARY KEY, x text); CREATE TABLE bare_b (id bigint PRIMARY KEY, x text); CREATE SEQUENCE bare_id CACHE 100"
as_server_user tee bare_two.sql >/dev/null <<<"WITH a AS (INSERT INTO bare_a VALUES (nextval('bare_id'), 'echo')) INSERT INTO bare_b VALUES (currval('bare_id'), 'echo');"
as_server_user tee start_one.sql >/dev/null <<<"SELECT durable.start_instance('echo', '1');"
# clients SCRIPT: commits a second of eight sessions
clients() { as_server_user "$bindir/pgbench" -h "$work/$server" -U app -n -c 8 -j 2 -T 2 -f "$1" postgres 2>/dev/null | awk '/^tps/ { print $3 }'; }
app "SELECT durable.pause_hub('app')" >/dev/null
clients start_one.sql >/dev/null
alternate bare="clients bare_two.sql" start="clients start_one.sql"
result start "8 sessions, the hub paused" "$(median start)" "starts/s" "$(median bare)" "$(ratio start bare)" ">= 0.7"
app "SELECT durable.resume_hub('app')" >/dev/null
alternate bare="clients bare_two.sql" start="clients start_one.sql"
result start "8 sessions, while workers run what they start" "$(median start)" "starts/s" "$(median bare)" "$(ratio start bare)" ""
drain
app "DROP TABLE bare_a, bare_b; DROP SEQUENCE bare_id"
