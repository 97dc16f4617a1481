#!/usr/bin/env bash
# server-python.sh PG_CONFIG: print the Python interpreter of the version that the server's
# PL/Python is linked with. PYTHON=... names one, and is refused when its version differs.
. "$(dirname -- "${BASH_SOURCE[0]}")/checkout.sh"
. "$DEVSERVER/progress.sh"

plpython=$("$1" --pkglibdir)/plpython3.so
read -r soname library < <(ldd "$plpython" | sed -n 's/^[[:space:]]*\(libpython[^ ]*\) => \([^ ]*\).*/\1 \2/p') || true
[[ ${soname:-} =~ ^libpython([0-9.]+t?)\.so ]] ||
    fail "cannot tell which Python $plpython is linked with"
wanted=${BASH_REMATCH[1]}

version_of() {
    "$1" -c 'import sysconfig; print(sysconfig.get_config_var("LDVERSION"))' 2>/dev/null || true
}

if [ -n "${PYTHON:-}" ]; then
    found=$(version_of "$PYTHON")
    [ "$found" = "$wanted" ] ||
        fail "PYTHON=$PYTHON is Python ${found:-unknown}, but the server's PL/Python runs $wanted" \
            "Packages of one version do not load in the other." \
            "Give the server's own: PYTHON=python$wanted, or leave PYTHON out."
    command -v -- "$PYTHON"
    exit
fi
prefix=$(readlink -f -- "$library")
prefix=${prefix%%/lib/*}
for candidate in "/usr/bin/python$wanted" "$prefix/bin/python$wanted" "python$wanted"; do
    if [ "$(version_of "$candidate")" = "$wanted" ]; then
        command -v -- "$candidate"
        exit
    fi
done
fail "the server's PL/Python runs Python $wanted, but no interpreter python$wanted was found" \
    "Install it (on Debian: apt-get install python$wanted-venv), or name it with PYTHON=..."
