# shellcheck shell=bash
# Ten hubs, each of which has had work. Set up first of all, so that the workers have left when "idle" measures.
start_server idle 'durable, pg_stat_statements' "pg_stat_statements.track = all"
super "CREATE EXTENSION pg_stat_statements" >/dev/null
for hub in 1 2 3 4 5 6 7 8 9 10; do
	super "SELECT durable.create_hub('idle$hub', 'app')" >/dev/null
	app "SELECT durable.start_instance('do_steps', '{\"steps\": 5}', task_hub => 'idle$hub')" >/dev/null
done
drain
super "VACUUM ANALYZE"		# or autovacuum would do it when nobody works any more
