# shellcheck shell=bash
#
# What the cases share: servers, SQL, alternating measurements, results.

rounds=${ROUNDS:-5}

# ---- servers: data directory, socket and log of each are in a directory of its name ----

# start_server NAME [libraries] [settings...]: fsync on, and all else as it comes, but for two.
start_server() {
	local name=$1 libraries=${2:-durable}
	server=$name
	[ ! -e "$work/$name" ] || return 0
	as_server_user mkdir "$work/$name"
	quietly as_server_user "$bindir/initdb" -D "$work/$name/data" -U postgres -A trust --no-locale --encoding=UTF8
	printf '%s\n' "shared_preload_libraries = '$libraries'" "shared_buffers = 1GB" "max_wal_size = 8GB" \
		"listen_addresses = ''" "unix_socket_directories = '$work/$name'" "${@:3}" |
		as_server_user tee -a "$work/$name/data/postgresql.conf" >/dev/null
	quietly as_server_user "$bindir/pg_ctl" start -w -D "$work/$name/data" -l "$work/$name/log"
	prepare_database
}

stop_server() {
	quietly as_server_user "$bindir/pg_ctl" stop -w -m fast -D "$work/$1/data"
	rm -rf "${work:?}/$1"
}

sql_as() { as_server_user "$bindir/psql" -X -qAt -h "$work/$server" -d postgres -v ON_ERROR_STOP=1 -U "$@"; }
app() { sql_as app -c "$1"; }
super() { sql_as postgres -c "$1"; }

# pgbench as app; what it says goes to pgbench.out, and is shown if it fails.
quietly_pgbench() {
	as_server_user "$bindir/pgbench" -h "$work/$server" -U app -n "$@" postgres >pgbench.out 2>&1 || { cat pgbench.out >&2; return 1; }
}

prepare_database() {
	super "CREATE EXTENSION durable; CREATE ROLE app LOGIN; CREATE SCHEMA app AUTHORIZATION app" >/dev/null
	super "SELECT durable.grant_usage('app')" >/dev/null
	super "CREATE TABLE app.bound_history (LIKE durable_store.history INCLUDING ALL); ALTER TABLE app.bound_history OWNER TO app"
	sql_as app -1 <"$work/bench/schema.sql"
	# looks at tables that app may not read
	super "ALTER FUNCTION app.finished(text, text) OWNER TO postgres; GRANT EXECUTE ON FUNCTION app.finished(text, text) TO app"
	# what is first is slow: hub, processes, caches
	steps 200 >/dev/null
}

# ---- what is measured; each prints one number ----

# The bound, in steps a second.
bound() { app "CALL bound(${1:-4000})"; }

# start_all FUNCTION INPUT N: the statement that starts N instances.
start_all() { printf "SELECT count(durable.start_instance('%s', '%s', instance_id => '%%s' || g)) FROM generate_series(1, %d) g" "$@"; }

# run N STATEMENT: instances finished a second.
run() { sql_as app -c "CALL run_instances(\$\$$2\$\$, $1)" | cut -d'|' -f1; }

# steps [N]: N instances of five one-insert activities, in steps a second.
steps() { run "${1:-5000}" "$(start_all do_steps '{"steps": 5}' "${1:-5000}")" | multiplied 5; }

multiplied() { awk -v by="$1" '{ printf "%.6g\n", $1 * by }'; }

# ---- measuring by turns, so that noise meets both ----

# alternate NAME=COMMAND...: runs the commands by turns; their numbers go to values.NAME, a line a round.
alternate() {
	local round pair
	for pair in "$@"; do : >"values.${pair%%=*}"; done
	for ((round = 1; round <= rounds; round++)); do
		for pair in "$@"; do
			eval "${pair#*=}" >>"values.${pair%%=*}"
		done
	done
}

median_of() { sort -g | awk '{ v[NR] = $1 } END { if (NR) printf "%.6g\n", (v[int((NR + 1) / 2)] + v[int(NR / 2) + 1]) / 2 }'; }
median() { median_of <"values.$1"; }
# The median of the ratios of what was measured in the same round.
ratio() { paste "values.$1" "values.$2" | awk '{ print $1 / $2 }' | median_of; }
divide() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.6g\n", a / b }'; }

# ---- results ----

# result CASE WHAT VALUE UNIT [BOUND] [RATIO] [TARGET]: a line of the table. BOUND is what the ratio refers to;
# TARGET such as ">= 0.6" is for the ratio, or for the value when there is none.
result() {
	printf '%s\n' "$1	$2	$3	$4	${5:-}	${6:-}	${7:-}" >>results.tsv
	printf '   %-12s %-44s %10s %-12s %s\n' "$1" "$2" "$3" "$4" "${6:+ratio $6}" >&2
}

# A case against the bound: rate_against_bound CASE WHAT UNIT TARGET COMMAND
rate_against_bound() {
	alternate bound=bound "case=$5"
	result "$1" "$2" "$(median case)" "$3" "$(median bound)" "$(ratio case bound)" "$4"
}

# Waits until nothing is unfinished in any hub; for cases that leave work behind.
drain() {
	until [ "$(super "SELECT NOT EXISTS (SELECT FROM durable_store.instances WHERE status IN ('pending', 'running'))")" = t ]; do
		sleep 0.1
	done
}

# The n-th percent of the numbers on standard input.
percentile() { sort -g | awk -v p="$1" '{ v[NR] = $1 } END { i = int(NR * p / 100 + 0.999999); print v[i < 1 ? 1 : i] }'; }
