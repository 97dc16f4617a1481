# shellcheck shell=bash disable=SC2034
# Where the checkout and its state folder are. Sourced first by every script of this folder.

set -euo pipefail
# The server may run as another user than the one who installs: what is written must be readable.
umask 022

ROOT=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
DEVSERVER=$ROOT/devserver
STATE_LINK=$ROOT/.dev
# .dev may be a link to a folder elsewhere (state-folder.sh says when).
STATE=$(readlink -f -- "$STATE_LINK" || printf '%s' "$STATE_LINK")
VENV=$STATE/venv
SERVER=$STATE/server
CLUSTER=$STATE/cluster
MODELS=$STATE/models
LOGS=$STATE/log
SOCKETS=$STATE/run
DEFAULT_MODEL=all-MiniLM-L6-v2
DATABASE=tiny_dancer
PORT=5432
SOCKET_NAME=/.s.PGSQL.$PORT
VERSION=$(sed -n 's/^__version__ = "\([0-9][0-9.]*\)"$/\1/p' "$ROOT/tiny_dancer/__init__.py")
readonly ROOT DEVSERVER STATE_LINK STATE VENV SERVER CLUSTER MODELS LOGS SOCKETS
readonly DEFAULT_MODEL DATABASE PORT SOCKET_NAME VERSION

# The caller's own connection and interpreter settings must not leak into ours.
unset PGHOST PGHOSTADDR PGPORT PGDATABASE PGUSER PGPASSWORD PGPASSFILE PGSERVICE PGSERVICEFILE \
    PGOPTIONS PGDATA PGSYSCONFDIR PYTHONPATH PYTHONHOME VIRTUAL_ENV MAKEFLAGS MAKEOVERRIDES MFLAGS
