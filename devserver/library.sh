#!/usr/bin/env bash
# library.sh PYTHON: gather the packages that the server loads, for its own Python, under
# .dev/library. Prints the folder. They are fetched again only when what is required changed.
# EXTRAS (routing-semantic brings hnswlib) adds what only some servers want.
. "$(dirname -- "${BASH_SOURCE[0]}")/checkout.sh"
. "$DEVSERVER/progress.sh"

python=$1
requirements=$("$python" "$DEVSERVER/requirements.py" library "${EXTRAS:-}")
key=$({
    printf '%s\n' "$requirements"
    "$python" -c 'import sys, sysconfig; print(sys.version_info[:2], sysconfig.get_platform(), sysconfig.get_config_var("LDVERSION"))'
} | sha256sum | cut -c 1-16)
folder=$STATE/library/$key

if [ ! -d "$folder" ]; then
    rm -rf -- "$folder.partial"
    mkdir -p -- "$folder.partial"
    mapfile -t packages <<<"$requirements"
    # Without their own dependencies: those serve downloading and converting models, not running them.
    step "Gathering the server's Python packages" \
        "$VENV/bin/python" -m pip install --progress-bar off --no-deps --target "$folder.partial" "${packages[@]}"
    rm -rf -- "$folder.partial/bin"
    chmod -R a+rX -- "$folder.partial"
    mv -- "$folder.partial" "$folder"
fi
printf '%s\n' "$folder"
