# shellcheck shell=bash
# 20,000 instances with one timer each, due within 10 s. Lateness is from the time a timer was due to the checkpoint of
# the turn it made. How much of the cores was idle meanwhile is reported beside it.
start_server main
idle_jiffies() { awk '/^cpu / { print $5 + $6, $2 + $3 + $4 + $5 + $6 + $7 + $8 }' /proc/stat; }
timers() {
	local first prefix=t$1- idle0 all0 idle1 all1
	first=$(app "SELECT clock_timestamp() + '8 s'")
	app "SELECT count(durable.start_instance('sleep_until', jsonb_build_object('until', '$first'::timestamptz + g * interval '0.5 ms'), instance_id => '$prefix' || g))
		FROM generate_series(1, 20000) g" >/dev/null
	until [ "$(super "SELECT clock_timestamp() >= '$first'")" = t ]; do sleep 0.05; done
	read -r idle0 all0 < <(idle_jiffies)
	app "CALL await_instances('$prefix', 20000)"
	read -r idle1 all1 < <(idle_jiffies)
	awk -v i="$((idle1 - idle0))" -v a="$((all1 - all0))" 'BEGIN { print 100 * i / a }' >>values.idle
	app "SELECT round((1000 * extract(epoch FROM i.completed_at - h.fire_at))::numeric, 3) FROM durable.instances i
		JOIN durable.history h USING (task_hub, instance_id) WHERE i.instance_id LIKE '$prefix%' AND h.event_type = 'TimerCreated'" >>values.late
	app "SELECT count(*) FROM durable.history h WHERE h.event_type = 'TimerCreated' AND h.instance_id LIKE '$prefix%' AND h.\"timestamp\" > '$first'" >>values.unready
}
: >values.late; : >values.idle; : >values.unready
for ((round = 1; round <= 2; round++)); do timers "$round"; done
[ "$(wc -l <values.late)" = 40000 ] || die "only $(wc -l <values.late) of 40,000 timers have been found in the history"
result timers "lateness of 20,000 timers in 10 s, p50" "$(percentile 50 <values.late)" ms "" "" ""
result timers "lateness, p99" "$(percentile 99 <values.late)" ms "" "" "<= 20"
result timers "cores idle meanwhile" "$(median idle)" "%" "" "" ""
result timers "timers set only after the first was due" "$(median unready)" timers "" "" "<= 0"
