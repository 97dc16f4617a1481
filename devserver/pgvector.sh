#!/usr/bin/env bash
# pgvector.sh PG_CONFIG COPY: build pgvector for a copied server (where apt has no package of it)
# from Debian's source package, and install it into the copy. Nothing is installed in the system.
. "$(dirname -- "${BASH_SOURCE[0]}")/checkout.sh"
. "$DEVSERVER/progress.sh"
. "$DEVSERVER/pgvector-version.sh"

pg_config=$1
copy=$2
# The first Debian release whose source package is new enough.
release=trixie
work=$STATE/build/pgvector
major=$("$pg_config" --version | sed 's/^PostgreSQL \([0-9]*\).*/\1/')

apt_of_our_own() {
    "$1" -o "APT::Sandbox::User=$(id -un)" \
        -o "Dir::Etc::SourceList=$work/sources.list" -o Dir::Etc::SourceParts=/dev/null \
        -o "Dir::State::Lists=$work/lists" -o "Dir::Cache=$work/cache" "${@:2}"
}

# The address of the archive that this machine itself is set up with.
archive() {
    # shellcheck disable=SC2016  # apt's own placeholders
    apt-get indextargets --format '$(LABEL) $(ORIGIN) $(REPO_URI)' 'Identifier: Packages' |
        sed -n 's/^Debian Debian //p' | head -n 1
}

fetch_source() {
    local address keyring=/usr/share/keyrings/debian-archive-keyring.gpg options=''
    address=$(archive)
    [ -n "$address" ] ||
        fail "pgvector $PGVECTOR_LEAST or later is needed, and apt has no package of it here" \
            "Install pgvector for PostgreSQL $major (the PostgreSQL project's package repository has" \
            "postgresql-$major-pgvector), or unpack its source and run:" \
            "  make up PGVECTOR_SOURCE=/path/to/pgvector"
    [ ! -e "$keyring" ] || options="[signed-by=$keyring] "
    mkdir -p -- "$work/lists/partial" "$work/cache/archives/partial" "$work/download"
    printf 'deb-src %s%s %s main\n' "$options" "$address" "$release" >"$work/sources.list"
    step "Reading the list of Debian's source packages ($release)" apt_of_our_own apt-get update
    (cd -- "$work/download" &&
        step "Fetching pgvector's source" apt_of_our_own apt-get source --download-only pgvector)
    mkdir -p -- "$work/source.partial"
    tar -xf "$(printf '%s\n' "$work"/download/pgvector_*.orig.tar.*[!c] | head -n 1)" \
        -C "$work/source.partial" --strip-components=1
    mv -- "$work/source.partial" "$work/source"
}

# The server's headers: those of the machine, or else unpacked from their packages. Installing the
# packages would bring a whole second compiler, which this build does not use.
headers() {
    local folder package
    if [ -e "$("$pg_config" --includedir-server)/postgres.h" ]; then
        for folder in "$("$pg_config" --includedir)" "$("$pg_config" --includedir-server)"; do
            mkdir -p -- "$copy$folder"
            cp -a -- "$folder/." "$copy$folder/"
        done
        return
    fi
    mkdir -p -- "$work/headers"
    (cd -- "$work/headers" &&
        step "Fetching the headers of PostgreSQL $major" \
            apt-get -o "APT::Sandbox::User=$(id -un)" download "postgresql-server-dev-$major" libpq-dev)
    for package in "$work"/headers/*.deb; do
        dpkg-deb -x "$package" "$copy"
    done
}

command -v gcc >/dev/null ||
    fail "pgvector must be built for PostgreSQL $major, which needs gcc"
if [ -n "${PGVECTOR_SOURCE:-}" ]; then
    rm -rf -- "$work/source"
    mkdir -p -- "$work"
    cp -a -- "$PGVECTOR_SOURCE" "$work/source"
elif [ ! -d "$work/source" ]; then
    rm -rf -- "$work"
    fetch_source
fi
headers
# OPTFLAGS: by default it compiles for this very processor only. LLVM's bitcode is not needed.
build=(make -C "$work/source" "PG_CONFIG=$copy$pg_config" OPTFLAGS= with_llvm=no DESTDIR=)
"${build[@]}" clean >/dev/null
step "Building pgvector for PostgreSQL $major" "${build[@]}" "-j$(nproc)"
step "Installing pgvector into .dev/server" "${build[@]}" install
new_enough "$(pgvector_version "$copy$pg_config")" ||
    fail "pgvector $(pgvector_version "$copy$pg_config") was built, but $PGVECTOR_LEAST or later is needed"
