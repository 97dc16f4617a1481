#!/usr/bin/env bash
# assemble-sql.sh FOLDER: write tiny_dancer--VERSION.sql there, from sql/ and plpython/, and the
# updates to it, from the same functions and what migrations/ says of the rest.
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
# The line of a migration where the functions stand. What they rest on comes before it, what rests
# on them after it.
readonly FUNCTIONS_HERE='-- @FUNCTIONS@'

sources() {
    local part
    for part in "${parts[@]}"; do
        printf '\n-- %s\n\n' "$part"
        sed "s/@VERSION@/$VERSION/g" "$part"
    done
}

# Ends each statement, and each comment and empty line between statements, with the character 036.
# Statements begin at the start of a line; those with a body end with $$; or END; or the name of a function of the
# server's own (AS 'name';), and others with any semicolon.
split_statements() {
    awk '
        BEGIN { ORS = "\036" }
        !statement && (/^--/ || /^$/) { print $0 "\n"; next }
        {
            has_body = statement ? has_body : /^(CREATE (OR REPLACE )?FUNCTION|DO) /
            statement = statement $0 "\n"
        }
        has_body ? /^(\$\$|END|AS '\''[a-z]+'\'');$/ : /;( *--.*)?$/ { print statement; statement = "" }
        END { if (statement) { print "unfinished: " statement > "/dev/stderr"; exit 1 } }'
}

# CREATE EXTENSION runs the script on a path of the installer's choice, where operators and functions may lie in
# wait that fit better than the server's. So the script sets its own; only a statement that names pgvector's
# types or operators sees their schema.
pin_search_path() {
    awk '
        BEGIN {
            RS = "\036"
            pinned = "SET LOCAL search_path TO pg_catalog, pg_temp;"
            vector = "SELECT pg_catalog.set_config('\''search_path'\'', pg_catalog.concat_ws('\'', '\''," \
                " '\''pg_catalog'\'', e.extnamespace::pg_catalog.regnamespace, '\''pg_temp'\''), true)\n" \
                "FROM pg_catalog.pg_extension e WHERE e.extname OPERATOR(pg_catalog.=) '\''vector'\'';"
            print pinned
        }
        /^(--|\n)/ { printf "%s", $0; next }
        {
            bare = $0
            gsub(/--[^\n]*/, "", bare)
            gsub(/'\''[^'\'']*'\''/, "", bare)
            sees_vector = bare ~ /(^|[^.a-z_])(vector|halfvec)([^a-z_]|$)|<=>|<->|<#>/
            if (sees_vector) print vector
            printf "%s", $0
            if (sees_vector) print pinned
        }'
}

# Of the sources what an update does again: every function and every comment on something.
functions() {
    sources | split_statements | awk '
        BEGIN { RS = "\036" }
        sub(/^CREATE FUNCTION/, "CREATE OR REPLACE FUNCTION") || /^COMMENT ON / { printf "%s\n", $0 }'
}

write_script() {
    local target=$1 instead=$2
    {
        printf '%s\n' "\\echo Use \"$instead\" to load this file. \\quit"
        split_statements | pin_search_path
    } >"$target.partial"
    mv -- "$target.partial" "$target"
}

update() {
    local migration=$1
    [ "$(grep -cxF -e "$FUNCTIONS_HERE" "$migration")" = 1 ] ||
        fail "$migration needs one line that says where the functions stand: $FUNCTIONS_HERE"
    cat -- migrations/remember-members.sql
    printf '\n-- %s\n\n' "$migration"
    sed -n "/^$FUNCTIONS_HERE\$/q; p" "$migration"
    functions
    sed "1,/^$FUNCTIONS_HERE\$/d" "$migration"
    printf '\n'
    cat -- migrations/settle-new-members.sql
}

mkdir -p -- "$folder"
rm -f -- "$folder"/tiny_dancer--*.sql
sources | write_script "$folder/tiny_dancer--$VERSION.sql" 'CREATE EXTENSION tiny_dancer'
for migration in migrations/tiny_dancer--*--"$VERSION".sql; do
    update "$migration" |
        write_script "$folder/$(basename -- "$migration")" "ALTER EXTENSION tiny_dancer UPDATE TO '$VERSION'"
done
