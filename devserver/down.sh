#!/usr/bin/env bash
# Stop the throw-away server, and only it.
. "$(dirname -- "${BASH_SOURCE[0]}")/checkout.sh"
. "$DEVSERVER/progress.sh"
. "$DEVSERVER/server-user.sh"
. "$DEVSERVER/cluster-pid.sh"

if ! pid=$(cluster_pid); then
    say "The throw-away server is not running."
    exit
fi
bindir=$("$SERVER$(cat "$SERVER/tiny_dancer.origin")" --bindir)
(cd / && as_server_user "$bindir/pg_ctl" stop --wait --timeout=60 --mode=fast --silent \
    --pgdata="$CLUSTER") ||
    fail "the server (process $pid) did not stop; its log is $LOGS/postgresql.log"
say "Stopped the throw-away server."
