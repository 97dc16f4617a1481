#!/usr/bin/env bash
# pg_regress over tests/regress, against the throw-away server.
. "$(dirname -- "${BASH_SOURCE[0]}")/checkout.sh"
. "$DEVSERVER/progress.sh"

"$DEVSERVER/url.sh" >/dev/null
pg_config=$SERVER$(cat "$SERVER/tiny_dancer.origin")
pg_regress=$("$pg_config" --pkglibdir)/pgxs/src/test/regress/pg_regress
[ -x "$pg_regress" ] || fail "$pg_regress is missing; it comes with PostgreSQL's client package"
results=$STATE/regress

shopt -s nullglob
names=()
for file in "$ROOT"/tests/regress/sql/*.sql; do
    names+=("$(basename -- "$file" .sql)")
done
[ "${#names[@]}" -gt 0 ] || fail "there are no tests in tests/regress/sql"
mkdir -p -- "$results"
say "==> pg_regress: ${names[*]}"
if ! "$pg_regress" --bindir="$("$pg_config" --bindir)" --inputdir="$ROOT/tests/regress" \
    --outputdir="$results" --host="$SOCKETS" --port="$PORT" --user="$(id -un)" \
    --dbname=tiny_dancer_regress "${names[@]}"; then
    [ ! -s "$results/regression.diffs" ] || cat "$results/regression.diffs"
    fail "pg_regress found differences"
fi
