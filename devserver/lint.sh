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
"$VENV/bin/mypy" --strict tiny_dancer
