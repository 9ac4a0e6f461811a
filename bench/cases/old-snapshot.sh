# shellcheck shell=bash
# steps, 2,000 instances at a time, for a minute, while a REPEATABLE READ transaction is open. Against steps just before; each run
# is first divided by a run of the bound beside it, which the transaction does not slow down.
seconds=${OLD_SNAPSHOT:-60}
start_server snapshot
alternate bound=bound alone="steps 2000"
paste values.alone values.bound | awk '{ print $1 / $2 }' >values.before
coproc OLD { as_server_user "$bindir/psql" -X -qAt -h "$work/$server" -U app -d postgres; }
old_pid=$OLD_PID
printf '%s\n' "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM durable.instances;" >&"${OLD[1]}"
read -r _ <&"${OLD[0]}"
: >values.during; : >values.rate
SECONDS=0
while [ "$SECONDS" -lt "$seconds" ]; do
	b=$(bound) s=$(steps 2000)
	divide "$s" "$b" >>values.during
	echo "$s" >>values.rate
done
result old-snapshot "steps for $seconds s, against steps before" "$(median rate)" "steps/s" "$(median alone)" "$(divide "$(median during)" "$(median before)")" ">= 0.8"
result old-snapshot "the last of $(wc -l <values.rate) runs" "$(tail -n 1 values.rate)" "steps/s" "$(median alone)" "$(divide "$(tail -n 1 values.during)" "$(median before)")" ""
printf '%s\n' "COMMIT;" '\q' >&"${OLD[1]}"
wait "$old_pid"
stop_server snapshot
