# shellcheck shell=bash
# The cost of history: five steps that hand on a payload, which each stores as its result. MB/s of results, against
# the bound's rows with the same payload.
start_server main
# megabytes KB N: N instances
megabytes() {
	run "$2" "SELECT count(durable.start_instance('pass_on', p, instance_id => '%s' || g)) FROM (SELECT payload($1) p OFFSET 0) p, generate_series(1, $2) g" |
		awk -v kb="$1" '{ print $1 * 5 * kb / 1024 }'
}
bound_megabytes() { sql_as app -c "SELECT payload($1)" >payload.json; { printf '\\set p `cat payload.json`\nCALL bound(%d, :'"'p'"');\n' "$2"; } | sql_as app | awk -v kb="$1" '{ print $1 * kb / 1024 }'; }
for size in "10 300" "1024 4"; do
	read -r kb n <<<"$size"
	alternate bound="bound_megabytes $kb $n" case="megabytes $kb $n"
	result payload "$n instances x 5 results of $kb kB" "$(median case)" MB/s "$(median bound)" "$(ratio case bound)" ""
done
