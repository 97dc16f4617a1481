#!/usr/bin/env bash
# Print where pgbouncer is, for `make torture` alone: the machine's own, or else Debian's package
# unpacked under .dev, which installs and starts nothing. Prints nothing where neither is at hand.
. "$(dirname -- "${BASH_SOURCE[0]}")/checkout.sh"
. "$DEVSERVER/progress.sh"

folder=$STATE/pgbouncer
program=$folder/pgbouncer

# Of what it depends on, the libraries that a server's machine need not have. Their names differ
# between releases of Debian.
libraries() {
    apt-cache depends pgbouncer | sed -n 's/^ *Depends: \(libevent[^ ]*\|libc-\?ares[^ ]*\)$/\1/p'
}

fetch() {
    local packages
    mkdir -p -- "$folder/packages"
    cd -- "$folder/packages"
    mapfile -t packages < <(libraries)
    apt-get -o "APT::Sandbox::User=$(id -un)" download pgbouncer "${packages[@]}"
}

unpack() {
    local package
    for package in "$folder"/packages/*.deb; do
        dpkg-deb -x "$package" "$folder/root"
    done
    {
        printf '#!/bin/sh\n'
        printf 'LD_LIBRARY_PATH=%s exec %s "$@"\n' \
            "$(dirname -- "$(find "$folder/root" -name 'libevent-2.1.so*' -print -quit)")" \
            "$folder/root/usr/sbin/pgbouncer"
    } >"$program.partial"
    chmod +x -- "$program.partial"
    mv -- "$program.partial" "$program"
}

if PATH=$PATH:/usr/sbin command -v pgbouncer; then
    exit
fi
if [ ! -x "$program" ] && command -v apt-get >/dev/null; then
    if (step "Fetching pgbouncer for the scenario of the pooler" fetch) && (unpack); then :; else
        say "pgbouncer can not be fetched here; its scenario is skipped."
    fi
fi
[ ! -x "$program" ] || printf '%s\n' "$program"
