#!/usr/bin/env bash
# Stop the throw-away server and remove everything that set-up made in this checkout.
. "$(dirname -- "${BASH_SOURCE[0]}")/checkout.sh"
. "$DEVSERVER/progress.sh"

"$DEVSERVER/down.sh"
case $STATE in
    "$ROOT/.dev" | /var/tmp/tiny_dancer-*) rm -rf -- "$STATE" ;;
    *) fail ".dev leads to $STATE, which set-up did not make" "Remove the link by hand." ;;
esac
[ ! -L "$STATE_LINK" ] || rm -- "$STATE_LINK"
rm -rf -- "$ROOT/tiny_dancer.egg-info" "$ROOT"/.mypy_cache "$ROOT"/.ruff_cache "$ROOT"/.pytest_cache
