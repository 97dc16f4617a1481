#!/usr/bin/env bash
# install-sql.sh PG_CONFIG [DESTDIR]: the control file, the script and the migrations.
. "$(dirname -- "${BASH_SOURCE[0]}")/checkout.sh"
. "$DEVSERVER/progress.sh"

target=${2:-}$("$1" --sharedir)/extension
build=$STATE/build/extension
shopt -s nullglob
"$DEVSERVER/assemble-sql.sh" "$build"
install -d -m 755 -- "$target"
install -m 644 -- "$ROOT/tiny_dancer.control" "$build/tiny_dancer--$VERSION.sql" \
    "$ROOT"/migrations/tiny_dancer--*.sql "$target/"
