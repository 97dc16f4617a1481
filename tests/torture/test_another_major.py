"""Moving to another major version of PostgreSQL, by a dump and by pg_upgrade, keeps all of it.

`make torture OTHER_BINDIR=...` names the programs of the other version: those under .dev/server of
a second checkout, say, that was set up with its PG_CONFIG.
"""

from __future__ import annotations

import os

import pytest
from cluster import UNSAFE, Cluster, own_folder
from registration import call, explain, register, register_four
from routes import create
from training import train_quickly

OTHER = os.environ.get("TINY_DANCER_OTHER_BINDIR")
TABLES = """
SELECT tablename FROM pg_tables WHERE schemaname = 'tiny_dancer'
AND tablename NOT IN ('epochs', 'agent_slots', 'leases', 'breaker_events') ORDER BY 1
"""
# What pg_upgrade wants to be the same of both: until PostgreSQL 18 the default is without.
CHECKSUMS = "--data-checksums"
REQUESTS = ("Write code", "Say hello", "Translate this")

pytestmark = pytest.mark.skipif(
    not OTHER, reason="no other major version is at hand; OTHER_BINDIR names one"
)


@pytest.fixture
def old():
    made = Cluster("old", 5440).create(CHECKSUMS, **UNSAFE).start()
    with made.create_database() as session:
        register_four(session)
        create(session, "greeting", "gpt-3.5", "Say hello")
        train_quickly(session)
        call(session, "tiny_dancer.set", name="alternatives", value="2")
        call(session, "ruvector_set_budget", limit_amount=5.0, period="month")
        usage = {"actual_cost": 0.25, "success": True, "idempotency_key": "once"}
        call(session, "ruvector_record_usage", agent="gpt-4", **usage)
        session.execute("CREATE ROLE reader LOGIN; SELECT tiny_dancer.grant_usage('reader')")
    yield made
    made.remove()


@pytest.fixture
def new():
    made = Cluster("new", 5441, OTHER).create(CHECKSUMS, **UNSAFE)
    yield made
    made.remove()


def known(session):
    """All rows that are kept, and the answers that rest on them."""
    rows = {
        table: session.execute(f"SELECT t::text FROM tiny_dancer.{table} t ORDER BY 1").fetchall()
        for (table,) in session.execute(TABLES).fetchall()
    }
    answers = [explain(session, request) for request in REQUESTS]
    answers += [call(session, "ruvector_semantic_route", query=request) for request in REQUESTS]
    answers += [call(session, "ruvector_classify_request", request=r) for r in REQUESTS]
    return rows, answers


def assert_goes_on(session):
    assert all(row.ok for row in call(session, "tiny_dancer.doctor"))
    assert register(session, "new")
    usage = {"actual_cost": 0.25, "success": True, "idempotency_key": "once"}
    [(first,)] = session.execute("SELECT usage_id FROM tiny_dancer.usage_keys").fetchall()
    assert call(session, "ruvector_record_usage", agent="gpt-4", **usage) == [(first,)]
    session.execute("SET ROLE reader")
    assert explain(session)


def test_by_a_dump(old, new, tmp_path, figure):
    with old.connect() as session:
        before = known(session)
    new.start()
    script = own_folder(new.folder / "dump") / "all.sql"
    host = ["-h", str(old.address()["host"]), "-U", old.address()["user"]]
    new.program("pg_dumpall", *host, "-p", old.port, "-f", script)
    new.program("psql", *host, "-p", new.port, "-Xqf", script, "postgres")
    with new.connect() as session:
        assert known(session) == before
        assert_goes_on(session)
    figure("from and to", f"{version(old)} to {version(new)}")


def test_by_pg_upgrade(old, new):
    with old.connect() as session:
        before = known(session)
    old.stop()
    work = own_folder(new.folder.with_name("pg_upgrade"))
    new.program(
        "pg_upgrade",
        *("-b", old.bindir, "-B", new.bindir, "-d", old.folder, "-D", new.folder),
        *("-p", old.port, "-P", new.port, "-U", old.address()["user"]),
        cwd=work,
    )
    new.start()
    with new.connect() as session:
        assert known(session) == before
        assert_goes_on(session)


def version(cluster):
    return (cluster.folder / "PG_VERSION").read_text().strip()
