"""The doctor says when the database is behind its host, and roles behind their level."""

from __future__ import annotations

from psycopg import sql
from refusal import refused

import tiny_dancer

FINDING = "SELECT ok, finding, remedy FROM tiny_dancer.doctor() WHERE subject = %s"
REVOKED = [
    "EXECUTE ON FUNCTION ruvector_route",
    "EXECUTE ON FUNCTION tiny_dancer.boot",
    "SELECT ON tiny_dancer.routes",
    "SELECT (id) ON tiny_dancer.usage",
    "INSERT (cost) ON tiny_dancer.usage",
    "USAGE ON SEQUENCE tiny_dancer.usage_ids",
]


def finding(session, subject):
    return session.execute(FINDING, [subject]).fetchone()


def test_the_newest_version_is_in_order(db):
    assert finding(db, "extension") == (True, f"tiny_dancer {tiny_dancer.__version__}", None)


def test_an_update_is_due(db):
    """As it is once a newer version is installed on the host."""
    db.execute("SET allow_system_table_mods = on")
    # As numbers and not as text: 0.10 would be newer than 0.9.
    for version, is_due in (("0.0.10", True), ("0.1", True), ("99.0", False)):
        statement = "UPDATE pg_extension SET extversion = %s WHERE extname = 'tiny_dancer'"
        db.execute(statement, [version])
        row = finding(db, "extension")
        assert row.ok is not is_due
        assert version in row.finding
        assert ("ALTER EXTENSION tiny_dancer UPDATE" in (row.remedy or "")) is is_due


def test_rights_that_are_missing(new_role, db, connect):
    role = new_role("desk")
    db.execute("SELECT tiny_dancer.grant_usage(%s)", [role])
    everything = (True, "every remembered role has those of its level", None)
    assert finding(db, "rights") == everything
    for statement in REVOKED:
        db.execute(sql.SQL(f"REVOKE {statement} FROM {{}}").format(sql.Identifier(role)))
        [missing] = db.execute("SELECT * FROM tiny_dancer.missing_rights()").fetchall()
        assert missing[:2] == (role, "usage")
        assert missing.missing.split(" on ")[1].split()[-1] in statement
        row = finding(db, "rights")
        assert not row.ok
        assert role in row.finding
        assert "regrant" in row.remedy
        db.execute("SELECT tiny_dancer.regrant()")
        assert finding(db, "rights") == everything
    with connect(user=role) as session:
        assert finding(session, "rights") is None
        with refused("42501"):
            session.execute("SELECT * FROM tiny_dancer.missing_rights()")


def test_roles_that_are_gone_or_may_do_everything_lack_nothing(db):
    db.execute(
        "INSERT INTO tiny_dancer.granted_roles VALUES ('gone', 'usage'), (CURRENT_USER, 'admin')"
    )
    assert db.execute("SELECT * FROM tiny_dancer.missing_rights()").fetchall() == []
