#!/usr/bin/env bash
# copy-server.sh PG_CONFIG: copy the installed server's programs under .dev/server, with pgvector.
# PostgreSQL finds its folders relative to its own program, so the copy runs by itself, and what is
# installed for development never reaches the system's folders.
. "$(dirname -- "${BASH_SOURCE[0]}")/checkout.sh"
. "$DEVSERVER/progress.sh"
. "$DEVSERVER/cluster-pid.sh"
. "$DEVSERVER/pgvector-version.sh"

pg_config=$1
fresh=$STATE/server.partial

fingerprint() {
    local bindir pkglibdir sharedir
    bindir=$("$pg_config" --bindir)
    pkglibdir=$("$pg_config" --pkglibdir)
    sharedir=$("$pg_config" --sharedir)
    printf '%s\n' "$STATE" "$pg_config" "$("$pg_config" --version)"
    stat -c '%n %s %Y' "$bindir/postgres" "$pkglibdir/plpython3.so"
    stat -c '%n %s %Y' "$pkglibdir/vector.so" "$sharedir/extension/vector.control" 2>/dev/null || true
}

copy_folder() {
    local folder=$1
    [ -d "$folder" ] || return 0
    [ ! -e "$fresh$folder" ] || return 0
    mkdir -p -- "$fresh$folder"
    cp -a --reflink=auto -- "$folder/." "$fresh$folder/"
}

copy_server() {
    rm -rf -- "$fresh"
    copy_folder "$("$pg_config" --bindir)"
    copy_folder "$("$pg_config" --pkglibdir)"
    copy_folder "$("$pg_config" --sharedir)"
    # The system's copy of this extension, if it has one, is not the one under test.
    rm -rf -- "$fresh$("$pg_config" --pkglibdir)/tiny_dancer" \
        "$fresh$("$pg_config" --sharedir)/extension/tiny_dancer"{.control,--*.sql}
    case $("$fresh$pg_config" --pkglibdir) in
        "$fresh"/*) ;;
        *) fail "this PostgreSQL cannot run from a copy: its folders are fixed at $("$pg_config" --pkglibdir)" ;;
    esac
}

wanted=$(fingerprint)
if [ "$(cat "$SERVER/tiny_dancer.stamp" 2>/dev/null)" = "$wanted" ]; then
    exit
fi
say "==> Copying $("$pg_config" --version) to .dev/server"
copy_server
if ! new_enough "$(pgvector_version "$fresh$pg_config")"; then
    "$DEVSERVER/pgvector.sh" "$pg_config" "$fresh"
fi
printf '%s\n' "$pg_config" >"$fresh/tiny_dancer.origin"
printf '%s\n' "$wanted" >"$fresh/tiny_dancer.stamp"
if cluster_pid >/dev/null; then
    "$DEVSERVER/down.sh"
fi
rm -rf -- "$SERVER"
mv -- "$fresh" "$SERVER"
