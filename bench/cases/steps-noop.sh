# shellcheck shell=bash
# As steps, with an activity that does nothing.
start_server main
noops() { run 5000 "$(start_all do_noops '{"steps": 5}' 5000)" | multiplied 5; }
rate_against_bound steps-noop "5,000 instances x 5 that do nothing" "steps/s" "" noops
