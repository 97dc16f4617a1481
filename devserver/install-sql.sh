#!/usr/bin/env bash
# install-sql.sh PG_CONFIG [DESTDIR]: the control file, the script and the updates to it.
# Scripts of older versions stay where they are. Of releases only their updates are installed: who
# has one installed has its script, and nobody should begin with it today.
. "$(dirname -- "${BASH_SOURCE[0]}")/checkout.sh"
. "$DEVSERVER/progress.sh"

target=${2:-}$("$1" --sharedir)/extension
build=$STATE/build/extension
shopt -s nullglob
"$DEVSERVER/assemble-sql.sh" "$build"
install -d -m 755 -- "$target"
updates=("$ROOT"/migrations/released/tiny_dancer--*--*.sql)
[ "${#updates[@]}" -eq 0 ] || install -m 644 -- "${updates[@]}" "$target/"
install -m 644 -- "$ROOT/tiny_dancer.control" "$build"/tiny_dancer--*.sql "$target/"
