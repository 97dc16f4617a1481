#!/usr/bin/env bash
# Stop the throw-away server, and only it.
. "$(dirname -- "${BASH_SOURCE[0]}")/checkout.sh"
. "$DEVSERVER/progress.sh"
. "$DEVSERVER/cluster-pid.sh"

# Seconds; what pg_ctl waits for.
readonly PATIENCE=60

if ! pid=$(cluster_pid); then
    say "The throw-away server is not running."
    exit
fi
# A fast shutdown: sessions are ended, nothing is lost.
kill -INT "$pid"
began=$SECONDS
while cluster_pid >/dev/null; do
    [ "$((SECONDS - began))" -lt "$PATIENCE" ] ||
        fail "the server (process $pid) has not stopped after $PATIENCE s" \
            "Its log is $LOGS/postgresql.log"
    sleep 0.2
done
say "Stopped the throw-away server."
