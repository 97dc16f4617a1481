#!/usr/bin/env bash
# Bring the default embedding model to .dev/models, once.
. "$(dirname -- "${BASH_SOURCE[0]}")/checkout.sh"
. "$DEVSERVER/progress.sh"

[ ! -d "$MODELS/$DEFAULT_MODEL" ] || exit 0
rm -rf -- "$MODELS.partial"
mkdir -p -- "$MODELS.partial" "$MODELS"
step "Fetching and converting the embedding model $DEFAULT_MODEL" \
    "$VENV/bin/tiny-dancer" model import "$DEFAULT_MODEL" --models-dir "$MODELS.partial"
[ -d "$MODELS.partial/$DEFAULT_MODEL" ] ||
    fail "the import left no folder $MODELS.partial/$DEFAULT_MODEL"
chmod -R a+rX -- "$MODELS.partial"
mv -- "$MODELS.partial/$DEFAULT_MODEL" "$MODELS/$DEFAULT_MODEL"
rm -rf -- "$MODELS.partial"
