# shellcheck shell=bash
# The folder of the server's Unix socket: only the server's user (and root) may enter. Sourced.

# A socket's path is at most 107 bytes; beyond that a short folder in /var/tmp serves.
socket_folder() {
    local folder=$STATE/run name=/.s.PGSQL.$PORT
    local LC_ALL=C
    if [ "$((${#folder} + ${#name}))" -gt 107 ]; then
        folder=/var/tmp/tiny_dancer-$(printf '%s' "$STATE" | sha256sum | cut -c 1-12)-run
    fi
    printf '%s\n' "$folder"
}

make_socket_folder() {
    local folder user
    folder=$(socket_folder)
    user=$(server_user)
    if [ -L "$folder" ]; then
        fail "$folder is a link" "Remove it and run make again."
    fi
    if mkdir -m 700 -- "$folder" 2>/dev/null; then
        [ "$(id -u)" -ne 0 ] || chown -- "$user:" "$folder"
    fi
    [ "$(stat -c %U -- "$folder")" = "$user" ] ||
        fail "$folder does not belong to $user" "Remove it and run make again."
    chmod 700 -- "$folder"
}
