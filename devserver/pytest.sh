#!/usr/bin/env bash
# pytest.sh PATH...: the Python tests, with the throw-away server's address in the environment.
. "$(dirname -- "${BASH_SOURCE[0]}")/checkout.sh"
. "$DEVSERVER/progress.sh"

TINY_DANCER_TEST_URL=$("$DEVSERVER/url.sh")
TINY_DANCER_PG_BINDIR=$("$SERVER$(cat "$SERVER/tiny_dancer.origin")" --bindir)
export TINY_DANCER_TEST_URL TINY_DANCER_PG_BINDIR
cd -- "$ROOT"
say "==> pytest $*"
exec "$VENV/bin/python" -m pytest "$@"
