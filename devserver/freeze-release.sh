#!/usr/bin/env bash
# Keep the SQL of this version as it is released, in migrations/released: its script, and the updates
# to it, which are assembled from sources that go on changing. Run it at the commit to be released,
# commit what it wrote, and only then raise the version.
. "$(dirname -- "${BASH_SOURCE[0]}")/checkout.sh"
. "$DEVSERVER/progress.sh"

cd -- "$ROOT"
[ -z "$(git status --porcelain)" ] || fail "the work tree has changes that are not committed"
released=migrations/released
[ ! -e "$released/tiny_dancer--$VERSION.sql" ] || fail "version $VERSION is released already"

assembled=$(mktemp -d)
trap 'rm -rf -- "$assembled"' EXIT
"$DEVSERVER/assemble-sql.sh" "$assembled"
install -m 644 -- "$assembled"/tiny_dancer--*.sql "$released/"
printf '%s %s\n' "$VERSION" "$(git rev-parse HEAD)" >>"$released/commits"
say "The SQL of $VERSION is in $released. Commit it, with an entry in CHANGELOG.md, and raise the version in"
say "tiny_dancer.control and tiny_dancer/__init__.py."
