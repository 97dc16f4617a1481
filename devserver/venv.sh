#!/usr/bin/env bash
# venv.sh PYTHON: make .dev/venv with the project and its development tools, by the server's Python.
. "$(dirname -- "${BASH_SOURCE[0]}")/checkout.sh"
. "$DEVSERVER/progress.sh"

python=$1
stamp=$VENV/tiny_dancer.stamp
wanted=$({
    printf '%s\n' "$ROOT" "$python" "${EXTRAS:-}"
    "$python" -c 'import sys; print(sys.version)'
    "$python" "$DEVSERVER/requirements.py" all
} | sha256sum)

if [ -x "$VENV/bin/python" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then
    exit
fi
# A virtual environment cannot be moved: it is made in place, and the stamp comes last.
if [ ! -e "$stamp" ] || ! "$VENV/bin/python" -c 'pass' 2>/dev/null; then
    rm -rf -- "$VENV"
    step "Making a Python environment in .dev/venv with $python" "$python" -m venv "$VENV"
fi
rm -f -- "$stamp"
cd -- "$ROOT"
step "Installing Python packages into .dev/venv" \
    "$VENV/bin/python" -m pip install --progress-bar off -e ".[dev${EXTRAS:+,$EXTRAS}]"
printf '%s\n' "$wanted" >"$stamp"
