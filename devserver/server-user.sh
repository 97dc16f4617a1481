# shellcheck shell=bash
# PostgreSQL refuses to run as root: root's servers run as an ordinary user. Sourced.

server_user() {
    if [ "$(id -u)" -ne 0 ]; then
        id -un
    elif [ -d "$CLUSTER" ]; then
        stat -c %U -- "$CLUSTER"
    elif id -u postgres >/dev/null 2>&1; then
        printf 'postgres\n'
    else
        printf 'nobody\n'
    fi
}

# as_server_user COMMAND...: with a clean environment, so that no setting of the caller's shell
# (locale, Python, PG*) reaches the server.
as_server_user() {
    local clean=(env -i "PATH=/usr/local/bin:/usr/bin:/bin" "LANG=C.UTF-8" "HOME=/" "$@")
    local user group setpriv
    if [ "$(id -u)" -ne 0 ]; then
        "${clean[@]}"
        return
    fi
    user=$(server_user)
    group=$(id -gn "$user")
    setpriv=$(command -v setpriv || command -v /usr/bin/setpriv) ||
        fail "setpriv was not found; it drops root's rights for the server" \
            "Install it (package util-linux), or run make as an ordinary user."
    "$setpriv" --reuid="$user" --regid="$group" --init-groups --inh-caps=-all -- "${clean[@]}"
}
