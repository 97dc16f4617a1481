#!/usr/bin/env bash
# Make .dev, the ignored folder that holds all that set-up makes. Where the server's user cannot
# reach the checkout (root's home, say), .dev becomes a link to a folder in /var/tmp.
. "$(dirname -- "${BASH_SOURCE[0]}")/checkout.sh"
. "$DEVSERVER/progress.sh"
. "$DEVSERVER/server-user.sh"

me=$(id -u)

reachable() {
    as_server_user test -x "$1"
}

check_owner() {
    local owner
    owner=$(stat -c %u -- "$1")
    [ "$owner" = "$me" ] ||
        fail "$1 belongs to $(stat -c %U -- "$1"), not to $(id -un)" \
            "Run make as that user, or remove the folder first."
}

outside() {
    local key folder
    key=$(printf '%s' "$ROOT" | sha256sum | cut -c 1-12)
    folder=/var/tmp/tiny_dancer-$key
    if [ -L "$folder" ] || { [ -e "$folder" ] && [ ! -d "$folder" ]; }; then
        fail "$folder is not a folder" "Remove it and run make again."
    fi
    if ! mkdir -m 755 -- "$folder" 2>/dev/null; then
        [ -d "$folder" ] || fail "cannot make the folder $folder"
    fi
    check_owner "$folder"
    printf '%s\n' "$folder"
}

if [ -L "$STATE_LINK" ] && [ ! -d "$STATE_LINK" ]; then
    rm -- "$STATE_LINK"
fi
if [ ! -e "$STATE_LINK" ]; then
    mkdir -- "$STATE_LINK"
    if ! reachable "$STATE_LINK"; then
        rmdir -- "$STATE_LINK"
        folder=$(outside)
        ln -s -- "$folder" "$STATE_LINK"
        say "The user $(server_user), who runs the server, cannot enter $ROOT:"
        say "what set-up makes goes to $folder (.dev is a link to it)."
    fi
fi
state=$(readlink -f -- "$STATE_LINK")
check_owner "$state"
reachable "$state" ||
    fail "the user $(server_user), who runs the server, cannot enter $state" \
        "Remove it (make clean) and run make again."
mkdir -p -- "$state/log" "$state/build"
