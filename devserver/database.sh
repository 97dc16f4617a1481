#!/usr/bin/env bash
# The database tiny_dancer of the throw-away server: made when it is missing, made anew when the
# extension's SQL or the model changed, set up again when only the library did.
. "$(dirname -- "${BASH_SOURCE[0]}")/checkout.sh"
. "$DEVSERVER/progress.sh"

pg_config=$SERVER$(cat "$SERVER/tiny_dancer.origin")
url=$("$DEVSERVER/url.sh")

psql_in() {
    "$("$pg_config" --bindir)/psql" -X -q -v ON_ERROR_STOP=1 \
        "${url/\/$DATABASE\?//$1?}" "${@:2}"
}

# What a database cannot outlive: the script that made it, the model that its vectors are of.
origin_hash() {
    {
        cd -- "$("$pg_config" --sharedir)/extension"
        sha256sum tiny_dancer.control "tiny_dancer--$VERSION.sql"
        cd -- "$("$pg_config" --pkglibdir)/tiny_dancer/models"
        find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum
    } | sha256sum | cut -c 1-16
}

library_hash() {
    sha256sum <"$("$pg_config" --pkglibdir)/tiny_dancer/$VERSION/tiny_dancer.stamp" | cut -c 1-16
}

# What the database was made of is noted on itself, so the note goes when it goes.
noted() {
    psql_in postgres -At -c "SELECT shobj_description(oid, 'pg_database')
        FROM pg_database WHERE datname = '$DATABASE'"
}

note() {
    psql_in postgres -c "COMMENT ON DATABASE $DATABASE IS '$1'"
}

origin=$(origin_hash)
wanted="made by make up: SQL and models $origin, library $(library_hash)"
have=$(noted)
if [ "$have" = "$wanted" ]; then
    exit
fi
if [[ $have != *" $origin,"* ]]; then
    if [ -n "$have" ]; then
        say "The extension's SQL or its model changed: the database $DATABASE (demo data only) is made anew."
    fi
    say "==> Creating the database $DATABASE with the extension"
    psql_in postgres -c 'SET client_min_messages = warning' \
        -c "DROP DATABASE IF EXISTS $DATABASE WITH (FORCE)" -c "CREATE DATABASE $DATABASE"
    psql_in "$DATABASE" -c 'CREATE EXTENSION tiny_dancer CASCADE'
else
    say "The library changed: connections made from now on use the new one."
fi
say "==> Setting up: SELECT tiny_dancer.setup()"
psql_in "$DATABASE" -c 'SELECT * FROM tiny_dancer.setup()' >&2
note "$wanted"
