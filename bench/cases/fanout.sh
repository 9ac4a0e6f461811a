# shellcheck shell=bash
# Parallel activities: many instances of a small width, one instance of a large one, and whether the cost
# grows with the width alone: an activity of 10,000 may cost little more than one of 1,000.
start_server main
narrow() { run 100 "$(start_all fan_out '{"width": 100}' 100)" | multiplied 100; }
wide() { run 1 "$(start_all fan_out "{\"width\": $1}" 1)" | multiplied "$1"; }
alternate bound=bound narrow=narrow thousand="wide 1000" wide="wide 10000"
result fanout "100 instances x 100 parallel" "$(median narrow)" "steps/s" "$(median bound)" "$(ratio narrow bound)" ">= 0.6"
result fanout "1 instance x 10,000 parallel" "$(median wide)" "steps/s" "$(median bound)" "$(ratio wide bound)" ">= 0.6"
result fanout "linear: rate of 10,000 against 1,000 wide" "$(median wide)" "steps/s" "$(median thousand)" "$(ratio wide thousand)" ">= 0.8"
