#!/usr/bin/env bash
# Start or reuse the throw-away server, with the extension created and set up in its database.
# Every step looks first whether it was done before.
. "$(dirname -- "${BASH_SOURCE[0]}")/checkout.sh"
. "$DEVSERVER/progress.sh"
# Installing here never means a folder of the caller's.
unset DESTDIR

"$DEVSERVER/state-folder.sh"
if [ "$STATE" != "$(readlink -f -- "$STATE_LINK")" ]; then
    # The folder became a link just now.
    exec "$0"
fi
. "$DEVSERVER/lock.sh"
# The server that was copied before stays the one, until another is asked for.
if [ -z "${PG_CONFIG:-}" ] && [ -x "$(cat "$SERVER/tiny_dancer.origin" 2>/dev/null)" ]; then
    PG_CONFIG=$(cat "$SERVER/tiny_dancer.origin")
    export PG_CONFIG
fi
"$DEVSERVER/system-packages.sh"
pg_config=$("$DEVSERVER/choose-server.sh")
python=$("$DEVSERVER/server-python.sh" "$pg_config")
"$DEVSERVER/venv.sh" "$python"
"$DEVSERVER/copy-server.sh" "$pg_config"
copy=$SERVER$pg_config
"$DEVSERVER/install-library.sh" "$copy" "$python"
"$DEVSERVER/model.sh"
"$DEVSERVER/install-models.sh" "$copy"
"$DEVSERVER/install-sql.sh" "$copy"
"$DEVSERVER/start.sh"
"$DEVSERVER/database.sh"
say "The throw-away server is up: $("$copy" --version), database $DATABASE."
say "  make psql opens it, make url prints its address, make down stops it."
