# shellcheck shell=bash
# What a step costs in an instance of 1,000 sequential steps, against one of 10: one instance at a time.
start_server main
one() { run 1 "$(start_all do_steps "{\"steps\": $1}" 1)" | awk -v n="$1" '{ print 1000000 / $1 / n }'; }
ten() { for _ in 1 2 3 4 5 6 7 8 9 10; do one 10; done | median_of; }
alternate ten=ten thousand="one 1000"
result long "a step of 1,000, against one of 10" "$(median thousand)" us "$(median ten)" "$(ratio thousand ten)" "<= 6"
