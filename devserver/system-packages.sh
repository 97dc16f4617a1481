#!/usr/bin/env bash
# Install the system packages that are missing: the server, PL/Python, pgvector, the server's Python.
. "$(dirname -- "${BASH_SOURCE[0]}")/checkout.sh"
. "$DEVSERVER/progress.sh"
. "$DEVSERVER/pgvector-version.sh"

readonly OLDEST=15 NEWEST=18

has_apt() {
    command -v apt-get >/dev/null && command -v dpkg-query >/dev/null
}

installed() {
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null || true)" = installed ]
}

# The version that apt would install, or nothing.
candidate() {
    apt-cache policy "$1" 2>/dev/null | sed -n 's/^ *Candidate: *//p' | grep -v '(none)' || true
}

# The server to install: one that only lacks PL/Python, else the distribution's own, else the newest.
pick_major() {
    local number default
    for ((number = NEWEST; number >= OLDEST; number--)); do
        if installed "postgresql-$number" && [ -n "$(candidate "postgresql-plpython3-$number")" ]; then
            printf '%s\n' "$number"
            return
        fi
    done
    default=$(apt-cache depends postgresql 2>/dev/null | sed -n 's/.*Depends: postgresql-\([0-9]*\)$/\1/p' | head -n 1)
    if [ -n "$default" ] && [ "$default" -ge "$OLDEST" ] && [ "$default" -le "$NEWEST" ]; then
        printf '%s\n' "$default"
        return
    fi
    for ((number = NEWEST; number >= OLDEST; number--)); do
        if [ -n "$(candidate "postgresql-plpython3-$number")" ]; then
            printf '%s\n' "$number"
            return
        fi
    done
    fail "apt knows no PostgreSQL from $OLDEST to $NEWEST with PL/Python" \
        "Run: apt-get update" \
        "or add the PostgreSQL project's own package repository, and run make again."
}

# A build of pgvector needs a compiler; the server's headers are only unpacked (pgvector.sh).
compiler_packages() {
    command -v gcc >/dev/null || printf 'gcc\n'
    [ -e /usr/include/stdio.h ] || printf 'libc6-dev\n'
}

pgvector_packages() {
    local major=$1 offered
    offered=$(candidate "postgresql-$major-pgvector")
    if new_enough "${offered%%-*}"; then
        printf 'postgresql-%s-pgvector\n' "$major"
    else
        compiler_packages
    fi
}

# What the chosen server lacks. Prints package names.
missing_for_server() {
    local pg_config=$1 major package
    major=$("$pg_config" --version | sed 's/^PostgreSQL \([0-9]*\).*/\1/')
    case $pg_config in
        /usr/lib/postgresql/*) ;;
        *)
            # Not from packages: pgvector is built for it or was installed by hand.
            new_enough "$(pgvector_version "$pg_config")" || compiler_packages
            return
            ;;
    esac
    new_enough "$(pgvector_version "$pg_config")" && return
    while read -r package; do
        installed "$package" || printf '%s\n' "$package"
    done < <(pgvector_packages "$major")
}

# The interpreter that PL/Python is linked with, and its venv module.
missing_for_python() {
    local pg_config=$1 version python
    if python=$("$DEVSERVER/server-python.sh" "$pg_config" 2>/dev/null); then
        "$python" -c 'import venv, ensurepip' 2>/dev/null && return
    fi
    version=$(ldd "$("$pg_config" --pkglibdir)/plpython3.so" | sed -n 's/.*libpython\([0-9.]*[0-9]\)t\{0,1\}\.so.*/\1/p' | head -n 1)
    printf 'python%s-venv\n' "$version"
}

# Whether sudo lets us: without a password, or with the one that a person types now.
may_sudo() {
    command -v sudo >/dev/null || return
    ! sudo -n true 2>/dev/null || return 0
    [ -t 0 ] && [ -t 2 ] || return
    say "System packages are missing: $*"
    say "sudo is asked to install them."
    sudo -v
}

install_packages() {
    local packages=("$@")
    local command="apt-get update && apt-get install --no-install-recommends ${packages[*]}"
    if [ "$(id -u)" -eq 0 ]; then
        step "Installing system packages: ${packages[*]}" "$DEVSERVER/apt-install.sh" "${packages[@]}"
        return
    fi
    if may_sudo "${packages[@]}"; then
        step "Installing system packages: ${packages[*]}" sudo "$DEVSERVER/apt-install.sh" "${packages[@]}"
        return
    fi
    fail "system packages are missing, and installing them needs root" \
        "Run this as root, then make again:" "  $command"
}

# Fresh images come without package lists: nothing can be looked up before they are read.
read_package_lists() {
    [ -n "$(candidate postgresql-common)" ] && return
    if [ "$(id -u)" -eq 0 ]; then
        step "Reading the package lists" apt-get update
    elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
        step "Reading the package lists" sudo apt-get update
    fi
}

if ! pg_config=$("$DEVSERVER/choose-server.sh"); then
    [ -z "${PG_CONFIG:-}" ] || exit 1
    has_apt ||
        fail "no PostgreSQL from $OLDEST to $NEWEST with PL/Python was found, and there is no apt here" \
            "Install PostgreSQL with PL/Python 3 and pgvector $PGVECTOR_LEAST or later, then run:" \
            "  make up PG_CONFIG=/path/to/pg_config"
    read_package_lists
    major=$(pick_major)
    packages=()
    for package in "postgresql-$major" "postgresql-plpython3-$major" python3-venv; do
        installed "$package" || packages+=("$package")
    done
    while read -r package; do
        installed "$package" || packages+=("$package")
    done < <(pgvector_packages "$major")
    install_packages "${packages[@]}"
    pg_config=$("$DEVSERVER/choose-server.sh") ||
        fail "PostgreSQL $major was installed, but no usable server was found"
fi
if has_apt; then
    mapfile -t packages < <(missing_for_server "$pg_config"; missing_for_python "$pg_config")
    [ "${#packages[@]}" -eq 0 ] || install_packages "${packages[@]}"
fi
