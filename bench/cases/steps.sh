# shellcheck shell=bash
# 5,000 instances of five sequential one-insert activities, started by one statement. The time is from the
# beginning of that statement to the end of the last instance; the bound has no start to pay for.
start_server main
rate_against_bound steps "5,000 instances x 5 inserts" "steps/s" ">= 0.6" steps
