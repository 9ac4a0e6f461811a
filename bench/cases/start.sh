# shellcheck shell=bash
# Eight sessions that start instances, one durable commit each, against eight that commit two bare inserts.
# The hub is paused, so that it is the call that is measured and not who gets the cores; and then with workers
# that run what is started at the same time, which is reported.
start_server main
app "CREATE TABLE bare_a (id bigint PRIMARY KEY, x text); CREATE TABLE bare_b (id bigint PRIMARY KEY, x text)"
as_server_user tee bare_two.sql >/dev/null <<-'END'
	\set id random(1, 1000000000000000)
	INSERT INTO bare_a VALUES (:id, 'echo') \; INSERT INTO bare_b VALUES (:id, 'echo');
END
as_server_user tee start_one.sql >/dev/null <<<"SELECT durable.start_instance('echo', '1');"
# clients SCRIPT: commits a second of eight sessions
clients() { quietly_pgbench -c 8 -j 2 -T 2 -f "$1"; awk '/^tps/ { print $3 }' pgbench.out; }
app "SELECT durable.pause_hub('app')" >/dev/null
clients start_one.sql >/dev/null
alternate bare="clients bare_two.sql" start="clients start_one.sql"
result start "8 sessions, the hub paused" "$(median start)" "starts/s" "$(median bare)" "$(ratio start bare)" ">= 0.7"
app "SELECT durable.resume_hub('app')" >/dev/null
alternate bare="clients bare_two.sql" start="clients start_one.sql"
result start "8 sessions, while workers run what they start" "$(median start)" "starts/s" "$(median bare)" "$(ratio start bare)" ""
drain
app "DROP TABLE bare_a, bare_b"
