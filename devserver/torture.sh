#!/usr/bin/env bash
# torture.sh [PATH...]: the scenarios of tests/torture. SEED seeds them, TORTURE_SECONDS is how long
# the load lasts, OTHER_BINDIR names the programs of another major version, if there is one.
. "$(dirname -- "${BASH_SOURCE[0]}")/checkout.sh"
. "$DEVSERVER/progress.sh"

TINY_DANCER_STATE=$STATE
TINY_DANCER_SEED=${SEED:-1}
TINY_DANCER_SECONDS=${TORTURE_SECONDS:-60}
TINY_DANCER_OTHER_BINDIR=${OTHER_BINDIR:-}
TINY_DANCER_PGBOUNCER=$("$DEVSERVER/pgbouncer.sh")
TINY_DANCER_PGSPOT=$("$DEVSERVER/pgspot.sh")
export TINY_DANCER_STATE TINY_DANCER_SEED TINY_DANCER_SECONDS
export TINY_DANCER_OTHER_BINDIR TINY_DANCER_PGBOUNCER TINY_DANCER_PGSPOT
[ "$#" -gt 0 ] || set -- tests/torture
exec "$DEVSERVER/pytest.sh" -rs --durations=0 --durations-min=1 "--hypothesis-seed=$TINY_DANCER_SEED" "$@"
