#!/usr/bin/env bash
# Start the throw-away server, making its data directory if there is none. Does nothing when it runs.
. "$(dirname -- "${BASH_SOURCE[0]}")/checkout.sh"
. "$DEVSERVER/progress.sh"
. "$DEVSERVER/server-user.sh"
. "$DEVSERVER/cluster-pid.sh"

bindir=$("$SERVER$(cat "$SERVER/tiny_dancer.origin")" --bindir)
log=$LOGS/postgresql.log

# The role of whoever runs make is the superuser; the folder of the socket keeps others out.
make_cluster() {
    local fresh=$STATE/cluster.partial
    say "==> Making a throw-away database cluster in .dev/cluster"
    rm -rf -- "$fresh" "$CLUSTER"
    mkdir -m 700 -- "$fresh"
    [ "$(id -u)" -ne 0 ] || chown -- "$(server_user):" "$fresh"
    as_server_user "$bindir/initdb" --pgdata="$fresh" --username="$(id -un)" --auth=trust \
        --encoding=UTF8 --locale=C.UTF-8 --no-sync >"$LOGS/initdb.log" 2>&1 ||
        { tail -n 20 "$LOGS/initdb.log" >&2; fail "initdb failed"; }
    printf "include 'tiny_dancer.conf'\n" >>"$fresh/postgresql.conf"
    mv -- "$fresh" "$CLUSTER"
}

# Whoever may enter this folder may connect: the server's user and root.
make_socket_folder() {
    mkdir -p -- "$SOCKETS"
    chmod 700 -- "$SOCKETS"
    [ "$(id -u)" -ne 0 ] || chown -- "$(server_user):" "$SOCKETS"
}

write_settings() {
    {
        cat "$DEVSERVER/postgresql.conf"
        printf "port = %s\nunix_socket_directories = '%s'\n" "$PORT" "$SOCKETS"
    } >"$CLUSTER/tiny_dancer.conf"
}

if cluster_ready; then
    exit
fi
if [ -e "$CLUSTER/PG_VERSION" ] &&
    [ "$(cat "$CLUSTER/PG_VERSION")" != "$("$bindir/pg_config" --version | sed 's/^PostgreSQL \([0-9]*\).*/\1/')" ]; then
    say "The throw-away cluster is of PostgreSQL $(cat "$CLUSTER/PG_VERSION"); it is made anew."
    rm -rf -- "$CLUSTER"
fi
[ -e "$CLUSTER/PG_VERSION" ] || make_cluster
make_socket_folder
write_settings
# Left behind by a server that was killed; its number may be another program's by now.
if [ -e "$CLUSTER/postmaster.pid" ] && ! cluster_pid >/dev/null; then
    rm -f -- "$CLUSTER/postmaster.pid"
fi
: >>"$log"
[ "$(id -u)" -ne 0 ] || chown -- "$(server_user):" "$log"
# A lock that the server inherited (that of up.sh, or one that the caller runs make under) it would
# hold for ever. 255 is bash's own, and closed by itself.
close_inherited_files() {
    local file
    for file in /proc/self/fd/*; do
        file=${file##*/}
        if [ "$file" -gt 2 ] && [ "$file" -ne 255 ]; then eval "exec $file>&-"; fi
    done
}

say "==> Starting the throw-away server"
(cd / && close_inherited_files && as_server_user "$bindir/pg_ctl" start --wait --timeout=120 --silent \
    --pgdata="$CLUSTER" --log="$log") ||
    { tail -n 20 "$log" >&2; fail "the server did not start; its log is $log"; }
