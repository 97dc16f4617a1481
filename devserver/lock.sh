# shellcheck shell=bash
# Two runs of make in one checkout wait for each other. Sourced, after the state folder is there.

exec 9>"$STATE/lock"
if ! flock --nonblock 9; then
    say "Another make is at work in this checkout; waiting for it to end."
    flock 9
fi
