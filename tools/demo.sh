#!/usr/bin/env bash
#
# The demo: examples/orders on a throw-away server that crashes halfway.
# KEEP=1 leaves the server running at the end and says how to stop it.

set -euo pipefail
# shellcheck source=tools/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

batch=fulfil-orders
bold='' plain=''
if [ -t 1 ]; then bold=$'\e[1m' plain=$'\e[0m'; fi

step() { printf '\n%s== %s%s\n' "$bold" "$*" "$plain"; }
psql_as() { as_server_user "$bindir/psql" -X -q -v ON_ERROR_STOP=1 -h "$work" -d shop -U "$@"; }
ask() { psql_as shop -At "$@"; }
progress() { say "   $(since_start) s  $(ask -f progress.sql)"; }
since_start() { printf '%3d' $((SECONDS - started)); }

pg_ctl() { quietly as_server_user "$bindir/pg_ctl" "$1" -w -D "$work/data" -l "$work/server.log" "${@:2}"; }

start_server() {
	step "a throw-away server in $work/data: fsync on, only the library preloaded"
	quietly as_server_user "$bindir/initdb" -D "$work/data" -U postgres -A trust --locale=C.UTF-8 --encoding=UTF8
	as_server_user tee -a "$work/data/postgresql.conf" >/dev/null <<-END
	shared_preload_libraries = 'durable'
	listen_addresses = ''
	unix_socket_directories = '$work'
	log_line_prefix = '%m [%p] %b %q%u@%d '
	END
	pg_ctl start
	as_server_user "$bindir/psql" -X -q -h "$work" -U postgres -d postgres -v ON_ERROR_STOP=1 <<-END
	CREATE ROLE shop LOGIN;
	CREATE DATABASE shop;
	END
	psql_as postgres <<-END
	CREATE EXTENSION durable;
	SELECT durable.grant_usage('shop') \g /dev/null
	CREATE SCHEMA shop AUTHORIZATION shop;
	END
}

load_shop() {
	step "the shop, owned by the ordinary role \"shop\": tables, activities, orchestrators, CSVs"
	local file
	for file in schema.sql activities.sql orchestrators.sql load.sql; do
		psql_as shop -f "$file"
	done
	ask -c "SELECT format('   %s orders of %s products; payment gateway \"north\" is down',
		(SELECT count(*) FROM orders), (SELECT count(*) FROM products))"
}

start_batch() {
	step "one statement starts everything"
	sed 's/^\t/  /; s/^/   /' start.sql
	ask -f start.sql >/dev/null
	started=$SECONDS
	wait_until "SELECT count(*) = (SELECT count(*) FROM orders) FROM durable.instances WHERE instance_id LIKE 'order-%'"
	progress
}

# Looks until a query says true; gives up when the batch is not alive, or after a minute.
wait_until() {
	local tries=0
	until [ "$(ask -c "$1")" = t ]; do
		case $(batch_status) in
			pending | running) ;;
			*) give_up "too early, the batch has ended" ;;
		esac
		[ "$((tries += 1))" -lt 600 ] || give_up "this did not come true within a minute: $1"
		sleep 0.1
	done
}

batch_status() { ask -c "SELECT status FROM durable.instances WHERE instance_id = '$batch'"; }

give_up() {
	say "" "$1" "" "the batch:"
	ask -c "SELECT status, failure FROM durable.instances WHERE instance_id = '$batch'" || true
	say "the end of the server's log:"
	tail -n 30 "$work/server.log"
	exit 1
}

decide() {
	say "   $(since_start) s  $1 of the back office decides: $(ask -v by="$1" -f decide.sql) events raised"
}

crash() {
	# Half of the charges are made, or, on a slow machine, the approvals would become late.
	wait_until "SELECT count(*) > (SELECT count(*) FROM orders) / 2
		OR clock_timestamp() > (SELECT created_at + '8 s' FROM durable.instances WHERE instance_id = '$batch') FROM ledger"
	progress
	step "halfway: pg_ctl stop -m immediate, as in a power failure"
	pg_ctl stop -m immediate
	say "   the server is gone, with every process in the middle of something"
	pg_ctl start
	say "   it is back; nobody resumes anything:"
	progress
}

wait_for_end() {
	local status
	while true; do
		status=$(ask -c "SELECT status FROM durable.wait_for_completion('$batch', timeout => '2 s')")
		progress
		case $status in
			completed) break ;;
			pending | running) ;;
			*) give_up "the batch should have completed" ;;
		esac
		[ $((SECONDS - started)) -lt "${DEMO_TIMEOUT:-180}" ] || give_up "the batch has not ended"
	done
	ask -c "SELECT '   the batch returned ' || output::text FROM durable.instances WHERE instance_id = '$batch'"
}

check() {
	step "does it add up? expected: computed from the CSVs alone"
	psql_as shop -f check.sql || give_up "it does not add up"
	ask -c "SELECT '   ' || count(*) || ' activity runs failed on the way (gateway down, card refused, out of stock, Atlantis) and left nothing behind'
		FROM durable.history WHERE event_type = 'TaskFailed'"
}

timeline() {
	local order
	order=$(ask -c "SELECT min(order_id) FROM orders JOIN decisions USING (order_id)
		WHERE gateway = 'north' AND decided_by = 'Ines' AND outcome = 'delivered'")
	step "the life of order $order: approved after the crash, paid after the repair"
	psql_as shop -v order="$order" -f timeline.sql
}

look_around() {
	local as=''
	if is_root; then as="runuser -u $(server_user) -- "; fi
	if [ -n "${KEEP:-}" ]; then
		step "the server is still there"
		say "look:  $as$bindir/psql -h $work -U shop shop"
		say "stop:  $as$bindir/pg_ctl stop -D $work/data && rm -rf $work"
		trap - EXIT
	else
		step "to look around in psql, keep the server: make demo KEEP=1"
	fi
	cat <<-'END'
	then:  SELECT instance_id, status, output, failure FROM durable.instances LIMIT 10;
	       SELECT * FROM durable.history WHERE instance_id = 'order-1' ORDER BY seq;
	       TABLE durable.workers;
	END
}

prepare
make_work_dir examples
cd "$work/examples/orders"
start_server
load_shop
start_batch
decide Otto
crash
decide Ines
wait_for_end
check
timeline
look_around
say "" "The demo took $SECONDS s: every order is where it should be."
