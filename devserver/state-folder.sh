#!/usr/bin/env bash
# Make .dev, the ignored folder that holds all that set-up makes. Where it cannot serve inside the
# checkout, .dev becomes a link to a folder in /var/tmp.
. "$(dirname -- "${BASH_SOURCE[0]}")/checkout.sh"
. "$DEVSERVER/progress.sh"
. "$DEVSERVER/server-user.sh"

# A Unix socket's path is at most 107 bytes.
readonly LONGEST=$((107 - ${#SOCKET_NAME}))

# Why a folder cannot hold the server, or nothing.
objection() {
    local LC_ALL=C
    if [[ $1 == *[!A-Za-z0-9._/+@=-]* ]]; then
        printf 'its path has characters that PostgreSQL'\''s build files cannot take'
    elif [ "${#1}" -gt "$LONGEST" ]; then
        printf 'its path is too long for the socket of a server'
    elif ! as_server_user test -x "$1"; then
        printf 'PostgreSQL does not run as root, and an ordinary user (%s) cannot enter it' \
            "$(server_user)"
    fi
}

check_owner() {
    [ "$(stat -c %u -- "$1")" = "$(id -u)" ] ||
        fail "$1 belongs to $(stat -c %U -- "$1"), not to $(id -un)" \
            "Run make as that user, or remove the folder first."
}

outside() {
    local folder
    folder=/var/tmp/tiny_dancer-$(printf '%s' "$ROOT" | sha256sum | cut -c 1-12)
    if [ -L "$folder" ] || ! mkdir -p -- "$folder"; then
        fail "$folder cannot be used as a folder" "Remove it and run make again."
    fi
    check_owner "$folder"
    printf '%s\n' "$folder"
}

[ -r /proc/self/stat ] || fail "/proc is not mounted" "Run: mount -t proc proc /proc"
[ -n "$VERSION" ] || fail "tiny_dancer/__init__.py states no version"

if [ -L "$STATE_LINK" ] && [ ! -d "$STATE_LINK" ]; then
    rm -- "$STATE_LINK"
fi
if [ ! -e "$STATE_LINK" ]; then
    mkdir -- "$STATE_LINK"
    why=$(objection "$STATE_LINK")
    if [ -n "$why" ]; then
        rmdir -- "$STATE_LINK"
        folder=$(outside)
        ln -s -- "$folder" "$STATE_LINK"
        say "What set-up makes goes to $folder; .dev is a link to it."
        say "The checkout itself ($ROOT) cannot serve: $why."
    fi
fi
state=$(readlink -f -- "$STATE_LINK")
check_owner "$state"
why=$(objection "$state")
[ -z "$why" ] || fail "$state cannot serve any more: $why" "Run: make clean, and then make again."
mkdir -p -- "$state/log" "$state/build"
