#!/usr/bin/env bash
# psql.sh ARGUMENT...: psql on the throw-away server.
. "$(dirname -- "${BASH_SOURCE[0]}")/checkout.sh"
. "$DEVSERVER/progress.sh"

url=$("$DEVSERVER/url.sh")
exec "$("$SERVER$(cat "$SERVER/tiny_dancer.origin")" --bindir)/psql" "$url" "$@"
