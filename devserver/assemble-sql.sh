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
target=$folder/tiny_dancer--$VERSION.sql
mkdir -p -- "$folder"
{
    printf '%s\n' '\echo Use "CREATE EXTENSION tiny_dancer" to load this file. \quit'
    for part in "${parts[@]}"; do
        printf '\n-- %s\n\n' "$part"
        sed "s/@VERSION@/$VERSION/g" "$part"
    done
} >"$target.partial"
mv -- "$target.partial" "$target"
