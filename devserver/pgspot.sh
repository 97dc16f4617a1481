#!/usr/bin/env bash
# Print where pgspot is, for `make torture` alone: in an environment of its own under .dev, since it
# is a tool and no part of the project. Prints nothing where it can not be installed.
. "$(dirname -- "${BASH_SOURCE[0]}")/checkout.sh"
. "$DEVSERVER/progress.sh"

folder=$STATE/pgspot
program=$folder/bin/pgspot

if [ ! -x "$program" ]; then
    rm -rf -- "$folder"
    "$VENV/bin/python" -m venv "$folder" >&2
    (step "Installing pgspot into .dev/pgspot" \
        "$folder/bin/python" -m pip install --progress-bar off 'pgspot>=0.9,<1') ||
        say "pgspot can not be installed here; its check is skipped."
fi
[ ! -x "$program" ] || printf '%s\n' "$program"
