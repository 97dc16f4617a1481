#!/usr/bin/env bash
# Print the connection URL of the throw-away server, and nothing else. Starts nothing.
. "$(dirname -- "${BASH_SOURCE[0]}")/checkout.sh"
. "$DEVSERVER/progress.sh"
. "$DEVSERVER/cluster-pid.sh"

percent_encode() {
    local LC_ALL=C text=$1 i char
    for ((i = 0; i < ${#text}; i++)); do
        char=${text:i:1}
        case $char in
            [A-Za-z0-9._~-]) printf '%s' "$char" ;;
            *) printf '%%%02X' "'$char" ;;
        esac
    done
}

cluster_ready || fail "the throw-away server is not running" "Start it with: make up"
printf 'postgresql://%s@/%s?host=%s&port=%s\n' "$(percent_encode "$(id -un)")" "$DATABASE" \
    "$(percent_encode "$SOCKETS")" "$PORT"
