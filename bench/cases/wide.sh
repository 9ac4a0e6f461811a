# shellcheck shell=bash
# steps spread over 50 hubs, with six worker slots: as many as max_worker_processes = 8 leaves, against steps in one hub.
start_server main
super "SELECT durable.create_hub('hub' || g, 'app') FROM generate_series(0, 49) g" >/dev/null
super "ALTER SYSTEM SET durable.max_workers = 6" >/dev/null
super "SELECT pg_reload_conf()" >/dev/null
spread() {
	sql_as app -c "CALL run_instances(\$\$SELECT count(durable.start_instance('do_steps', '{\"steps\": 5}', instance_id => '%s' || g, task_hub => 'hub' || g %% 50))
		FROM generate_series(1, 5000) g\$\$, 5000, 'hub', 50)" | cut -d'|' -f1 | multiplied 5
}
spread >/dev/null
alternate steps=steps spread=spread
result wide "5,000 instances x 5 inserts in 50 hubs" "$(median spread)" "steps/s" "$(median steps)" "$(ratio spread steps)" ">= 0.7"
super "ALTER SYSTEM RESET durable.max_workers" >/dev/null
super "SELECT pg_reload_conf()" >/dev/null
super "SELECT durable.pause_hub('hub' || g), durable.discard_hub('hub' || g) FROM generate_series(0, 49) g" >/dev/null
