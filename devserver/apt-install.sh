#!/usr/bin/env bash
# apt-install.sh PACKAGE...: install Debian packages. Runs as root. Installing a PostgreSQL server
# must not leave a cluster of the system's behind that nobody asked for: a file that says so lies
# in postgresql-common's folder during the call.
set -euo pipefail
export PATH=/usr/local/sbin:/usr/sbin:/sbin:$PATH LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive

folder=/etc/postgresql-common/createcluster.d
dropin=$folder/tiny_dancer-set-up.conf
made=()

cleanup() {
    local i
    rm -f -- "$dropin"
    # Only folders that were made here, and only when nothing else came to lie in them.
    for ((i = ${#made[@]} - 1; i >= 0; i--)); do
        rmdir -- "${made[i]}" 2>/dev/null || true
    done
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

for part in "${folder%/*}" "$folder"; do
    if [ ! -d "$part" ]; then
        mkdir -- "$part"
        made+=("$part")
    fi
done
printf '%s\n' "# Lies here only while tiny_dancer's set-up installs packages." \
    'create_main_cluster = false' >"$dropin"

options=(-o DPkg::Lock::Timeout=600 -o Dpkg::Use-Pty=0)
echo "Reading the package lists"
apt-get "${options[@]}" update || echo "warning: not every package list could be read" >&2
echo "Installing $*"
apt-get "${options[@]}" install -y --no-install-recommends "$@"
