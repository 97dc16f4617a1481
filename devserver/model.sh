#!/usr/bin/env bash
# Bring the default embedding model to .dev/models: once, and again when what converts it changed.
. "$(dirname -- "${BASH_SOURCE[0]}")/checkout.sh"
. "$DEVSERVER/progress.sh"

stamp=$MODELS/$DEFAULT_MODEL.stamp
wanted=$(cd -- "$ROOT" && find tiny_dancer/embedding/importing -name '*.py' -print0 |
    LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum)
if [ -d "$MODELS/$DEFAULT_MODEL" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then
    exit
fi
rm -rf -- "$MODELS.partial"
mkdir -p -- "$MODELS.partial" "$MODELS"
step "Fetching and converting the embedding model $DEFAULT_MODEL" \
    "$VENV/bin/tiny-dancer" model import "$DEFAULT_MODEL" --models-dir "$MODELS.partial"
[ -d "$MODELS.partial/$DEFAULT_MODEL" ] ||
    fail "the import left no folder $MODELS.partial/$DEFAULT_MODEL"
chmod -R a+rX -- "$MODELS.partial"
rm -rf -- "${MODELS:?}/$DEFAULT_MODEL"
mv -- "$MODELS.partial/$DEFAULT_MODEL" "$MODELS/$DEFAULT_MODEL"
rm -rf -- "$MODELS.partial"
printf '%s\n' "$wanted" >"$stamp"
