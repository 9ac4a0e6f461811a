# shellcheck shell=bash
# 1,000 parents with 10 children each, which return at once. A child counts as a step.
start_server main
children() { run 1000 "$(start_all have_children '{"children": 10}' 1000)" | multiplied 10; }
rate_against_bound suborch "1,000 parents x 10 children" "children/s" ">= 0.3" children
