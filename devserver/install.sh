#!/usr/bin/env bash
# Install the extension into a real server: PG_CONFIG names it, DESTDIR goes before its folders.
. "$(dirname -- "${BASH_SOURCE[0]}")/checkout.sh"
. "$DEVSERVER/progress.sh"
. "$DEVSERVER/pgvector-version.sh"

destdir=${DESTDIR:-}
if ! pg_config=$("$DEVSERVER/choose-server.sh"); then
    # A server that was named and cannot be used has been complained about.
    [ -z "${PG_CONFIG:-}" ] || exit 1
    fail "no PostgreSQL from 15 to 18 with PL/Python was found" \
        "Install its packages (on Debian: postgresql and postgresql-plpython3-VERSION)," \
        "or name it: make install PG_CONFIG=/path/to/pg_config"
fi
python=$("$DEVSERVER/server-python.sh" "$pg_config")
sharedir=$("$pg_config" --sharedir)
pkglibdir=$("$pg_config" --pkglibdir)

writable() {
    local folder=$1
    while [ ! -e "$folder" ]; do folder=$(dirname -- "$folder"); done
    [ -w "$folder" ]
}

for folder in "$destdir$sharedir/extension" "$destdir$pkglibdir/tiny_dancer"; do
    writable "$folder" ||
        fail "$folder is not writable for $(id -un)" "Run: sudo make install PG_CONFIG=$pg_config"
done
"$python" -c 'import venv, ensurepip' 2>/dev/null ||
    fail "$python cannot make virtual environments" "On Debian: apt-get install python3-venv"

# What root makes in somebody's checkout stays theirs to change.
export PYTHONDONTWRITEBYTECODE=1
hand_back() {
    local owner
    owner=$(stat -c %u:%g -- "$ROOT")
    if [ "$(id -u)" -eq 0 ] && [ ! -O "$ROOT" ]; then
        chown -hR --from=0 "$owner" "$STATE" "$ROOT/tiny_dancer.egg-info" 2>/dev/null || true
    fi
}
trap hand_back EXIT

if [ -O "$ROOT" ]; then
    "$DEVSERVER/state-folder.sh"
    # The folder may have become a link just now.
    [ "$STATE" = "$(readlink -f -- "$STATE_LINK")" ] || exec "$0"
else
    mkdir -p -- "$LOGS" "$STATE/build"
fi
. "$DEVSERVER/lock.sh"
"$DEVSERVER/venv.sh" "$python"
"$DEVSERVER/model.sh"
say "==> Installing tiny_dancer $VERSION for $("$pg_config" --version), Python of $python"
"$DEVSERVER/install-library.sh" "$pg_config" "$python" "$destdir"
"$DEVSERVER/install-models.sh" "$pg_config" "$destdir"
"$DEVSERVER/install-sql.sh" "$pg_config" "$destdir"
say "    $destdir$sharedir/extension"
say "    $destdir$pkglibdir/tiny_dancer/$VERSION"
if ! new_enough "$(pgvector_version "$pg_config")"; then
    say "warning: this server has no pgvector $PGVECTOR_LEAST or later, which the extension requires"
    say "         (package postgresql-VERSION-pgvector, or built from its source)."
fi
say "Now, as a superuser of your database:"
say "  CREATE EXTENSION tiny_dancer CASCADE;"
say "  SELECT tiny_dancer.setup();"
