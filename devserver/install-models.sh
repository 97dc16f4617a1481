#!/usr/bin/env bash
# install-models.sh PG_CONFIG [DESTDIR]: the imported models, beside the versions of the library.
. "$(dirname -- "${BASH_SOURCE[0]}")/checkout.sh"
. "$DEVSERVER/progress.sh"

target=${2:-}$("$1" --pkglibdir)/tiny_dancer/models
install -d -m 755 -- "$target"
shopt -s nullglob
for model in "$MODELS"/*/; do
    name=$(basename -- "$model")
    if diff -rq -- "$model" "$target/$name" >/dev/null 2>&1; then
        continue
    fi
    rm -rf -- "$target/.$name.partial"
    cp -a --no-preserve=ownership --reflink=auto -- "$model" "$target/.$name.partial"
    chmod -R a+rX -- "$target/.$name.partial"
    rm -rf -- "${target:?}/$name"
    mv -- "$target/.$name.partial" "$target/$name"
done
