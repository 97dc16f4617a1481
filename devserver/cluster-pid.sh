# shellcheck shell=bash
# Which process is our postmaster. Sourced.

# Print its process id, or fail when it does not run. A number left in postmaster.pid may belong to
# another program by now: a postmaster's working directory is its data directory.
cluster_pid() {
    local pid
    [ -r "$CLUSTER/postmaster.pid" ] || return 1
    pid=$(head -n 1 "$CLUSTER/postmaster.pid")
    [[ $pid =~ ^[0-9]+$ ]] || return 1
    [ "$(readlink -- "/proc/$pid/cwd" 2>/dev/null)" = "$CLUSTER" ] || return 1
    printf '%s\n' "$pid"
}

# Whether it also accepts connections.
cluster_ready() {
    cluster_pid >/dev/null && sed -n 8p "$CLUSTER/postmaster.pid" | grep -q '^ready'
}
