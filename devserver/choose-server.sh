#!/usr/bin/env bash
# Print the pg_config of the installed PostgreSQL to use: PG_CONFIG if given, else the newest
# supported server that has PL/Python. Fails without a word when there is none.
. "$(dirname -- "${BASH_SOURCE[0]}")/checkout.sh"
. "$DEVSERVER/progress.sh"

candidates() {
    local found=(/usr/lib/postgresql/*/bin/pg_config /usr/pgsql-*/bin/pg_config
        /usr/local/pgsql/bin/pg_config)
    printf '%s\n' "${found[@]}" | sort -rV
    command -v pg_config || true
}

major() {
    "$1" --version 2>/dev/null | sed -n 's/^PostgreSQL \([0-9]*\).*/\1/p'
}

# The first reason why a server cannot be used, or nothing.
objection() {
    local number
    [ -x "$1" ] || { printf '%s is not a program' "$1"; return; }
    number=$(major "$1")
    if [ "${number:-0}" -lt 15 ] || [ "$number" -gt 18 ]; then
        printf '%s is of PostgreSQL %s; 15 to 18 are supported' "$1" "${number:-?}"
    elif [ ! -x "$("$1" --bindir)/postgres" ]; then
        printf '%s has no server program, %s/postgres' "$1" "$("$1" --bindir)"
    elif [ ! -e "$("$1" --pkglibdir)/plpython3.so" ]; then
        printf 'PostgreSQL %s has no PL/Python (package postgresql-plpython3-%s)' \
            "$number" "$number"
    fi
}

# The program beside the server, not a wrapper that may follow another version later.
real_path() {
    local beside
    beside=$("$1" --bindir)/pg_config
    if [ -x "$beside" ]; then printf '%s\n' "$beside"; else printf '%s\n' "$1"; fi
}

if [ -n "${PG_CONFIG:-}" ]; then
    given=$(command -v -- "$PG_CONFIG") || fail "PG_CONFIG=$PG_CONFIG is not a program"
    why=$(objection "$given")
    [ -z "$why" ] || fail "$why"
    real_path "$given"
    exit
fi
while read -r candidate; do
    if [ -z "$(objection "$candidate")" ]; then
        real_path "$candidate"
        exit
    fi
done < <(candidates)
exit 1
