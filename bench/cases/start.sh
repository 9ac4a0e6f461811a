# shellcheck shell=bash
# Eight sessions that start instances, one durable commit each, against eight that commit two bare inserts, in one round
# trip. What is started begins tomorrow, so that it is the call that is measured and not who gets the cores; and then
# once more at once, while workers run what is started, which is reported.
start_server main
app "CREATE TABLE bare_a (id bigint PRIMARY KEY, x text); CREATE TABLE bare_b (id bigint PRIMARY KEY, x text)"
as_server_user tee bare_two.sql >/dev/null <<-'END'
	\set id random(1, 1000000000000000)
	INSERT INTO bare_a VALUES (:id, 'echo') \; INSERT INTO bare_b VALUES (:id, 'echo');
END
as_server_user tee start_later.sql >/dev/null <<<"SELECT durable.start_instance('echo', '1', start_at => 'tomorrow');"
as_server_user tee start_now.sql >/dev/null <<<"SELECT durable.start_instance('echo', '1');"
# clients SCRIPT: commits a second of eight sessions
clients() { quietly_pgbench -c 8 -j 2 -T 2 -f "$1.sql"; awk '/^tps/ { print $3 }' pgbench.out; }
clients start_later >/dev/null
alternate bare="clients bare_two" start="clients start_later"
result start "8 sessions" "$(median start)" "starts/s" "$(median bare)" "$(ratio start bare)" ">= 0.7"
alternate bare="clients bare_two" start="clients start_now"
result start "8 sessions, while workers run what they start" "$(median start)" "starts/s" "$(median bare)" "$(ratio start bare)" ""
app "SELECT count(durable.terminate(instance_id)) FROM durable.instances WHERE name = 'echo' AND status = 'pending'" >/dev/null
drain
app "DROP TABLE bare_a, bare_b"
