#!/usr/bin/env bash
# The checks that need no server: style, format, types.
. "$(dirname -- "${BASH_SOURCE[0]}")/checkout.sh"
. "$DEVSERVER/progress.sh"

[ -x "$VENV/bin/ruff" ] || fail "the development tools are not installed" "Run: make up"
cd -- "$ROOT"
say "==> ruff check"
"$VENV/bin/ruff" check .
say "==> ruff format --check"
"$VENV/bin/ruff" format --check .
say "==> mypy --strict tiny_dancer"
# Against the Python of the environment: NumPy's type stubs are of the release that was made for it.
python_version=$("$VENV/bin/python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
"$VENV/bin/mypy" --strict --python-version "$python_version" tiny_dancer
