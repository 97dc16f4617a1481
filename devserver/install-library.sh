#!/usr/bin/env bash
# install-library.sh PG_CONFIG PYTHON [DESTDIR]: our package and those it needs, into the server's
# own folder of this version. Other versions stay beside it, for databases not updated yet.
. "$(dirname -- "${BASH_SOURCE[0]}")/checkout.sh"
. "$DEVSERVER/progress.sh"

pg_config=$1
python=$2
versions=${3:-}$("$pg_config" --pkglibdir)/tiny_dancer
target=$versions/$VERSION
fresh=$versions/.$VERSION.partial
retired=$versions/.$VERSION.retired

# What the folder is made of: the requirements' key and every file of our package.
contents() {
    printf '%s\n' "$1"
    (cd -- "$ROOT" && find tiny_dancer -name __pycache__ -prune -o -type f -print0 |
        LC_ALL=C sort -z | xargs -0 sha256sum)
}

library=$("$DEVSERVER/library.sh" "$python")
wanted=$(contents "${library##*/}" | sha256sum)
if [ "$(cat "$target/tiny_dancer.stamp" 2>/dev/null)" = "$wanted" ]; then
    exit
fi
install -d -m 755 -- "$versions"
rm -rf -- "$fresh" "$retired"
cp -a --no-preserve=ownership --reflink=auto -- "$library" "$fresh"
cp -R -- "$ROOT/tiny_dancer" "$fresh/tiny_dancer"
find "$fresh/tiny_dancer" -name __pycache__ -prune -exec rm -rf -- {} +
"$python" -m compileall -q "$fresh/tiny_dancer"
printf '%s\n' "$wanted" >"$fresh/tiny_dancer.stamp"
chmod -R a+rX -- "$fresh"
[ ! -e "$target" ] || mv -- "$target" "$retired"
mv -- "$fresh" "$target"
rm -rf -- "$retired"
