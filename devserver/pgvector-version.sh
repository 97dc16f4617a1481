# shellcheck shell=bash
# Which pgvector a server has. Sourced.

readonly PGVECTOR_LEAST=0.7

# pgvector_version PG_CONFIG: the version that is installed there, or nothing.
pgvector_version() {
    sed -n "s/^default_version *= *'\([^']*\)'.*/\1/p" \
        "$("$1" --sharedir)/extension/vector.control" 2>/dev/null || true
}

# new_enough VERSION: whether it is pgvector's least version or later.
new_enough() {
    [ -n "$1" ] && [ "$(printf '%s\n%s\n' "$PGVECTOR_LEAST" "$1" | sort -V | head -n 1)" = "$PGVECTOR_LEAST" ]
}
