#!/usr/bin/env bash
# assemble-sql.sh FOLDER: write tiny_dancer--VERSION.sql there, from sql/ and plpython/.
. "$(dirname -- "${BASH_SOURCE[0]}")/checkout.sh"
. "$DEVSERVER/progress.sh"

folder=$1
control=$(sed -n "s/^default_version *= *'\([^']*\)'.*/\1/p" "$ROOT/tiny_dancer.control")
[ "$control" = "$VERSION" ] ||
    fail "tiny_dancer.control says version $control, tiny_dancer/__init__.py says $VERSION"

shopt -s nullglob
cd -- "$ROOT"
parts=(sql/[0-4]*.sql plpython/*.sql sql/[5-9]*.sql)
[ "${#parts[@]}" -gt 0 ] || fail "there is no SQL in sql/ and plpython/"
# CREATE EXTENSION runs the script on a path of the installer's choice, where operators and functions may lie in
# wait that fit better than the server's. So the script sets its own; only a statement that names pgvector's
# types or operators sees their schema.
# Statements begin at the start of a line; those with a body end with $$; or END; and others with any semicolon.
pin_search_path() {
    awk '
        BEGIN {
            pinned = "SET LOCAL search_path TO pg_catalog, pg_temp;"
            vector = "SELECT pg_catalog.set_config('\''search_path'\'', pg_catalog.concat_ws('\'', '\''," \
                " '\''pg_catalog'\'', e.extnamespace::pg_catalog.regnamespace, '\''pg_temp'\''), true)\n" \
                "FROM pg_catalog.pg_extension e WHERE e.extname OPERATOR(pg_catalog.=) '\''vector'\'';"
            print pinned
        }
        !statement && (/^--/ || /^$/) { print; next }
        {
            has_body = statement ? has_body : /^CREATE FUNCTION/
            statement = statement $0 "\n"
        }
        has_body ? /^(\$\$|END);$/ : /;( *--.*)?$/ {
            bare = statement
            gsub(/--[^\n]*/, "", bare)
            gsub(/'\''[^'\'']*'\''/, "", bare)
            sees_vector = bare ~ /(^|[^.a-z_])(vector|halfvec)([^a-z_]|$)|<=>|<->|<#>/
            if (sees_vector) print vector
            printf "%s", statement
            if (sees_vector) print pinned
            statement = ""
        }
        END { if (statement) { print "unfinished: " statement > "/dev/stderr"; exit 1 } }'
}

target=$folder/tiny_dancer--$VERSION.sql
mkdir -p -- "$folder"
{
    printf '%s\n' '\echo Use "CREATE EXTENSION tiny_dancer" to load this file. \quit'
    for part in "${parts[@]}"; do
        printf '\n-- %s\n\n' "$part"
        sed "s/@VERSION@/$VERSION/g" "$part"
    done | pin_search_path
} >"$target.partial"
mv -- "$target.partial" "$target"
