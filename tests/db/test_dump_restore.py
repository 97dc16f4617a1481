"""A dump restores whole: every table of user data, its sequences, and the answers."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from databases import url_of
from full_database import LEFT_TABLES, answers, contents, fill, partitions, sequences
from registration import agent_names, call, register, route


def program(name):
    return str(Path(os.environ["TINY_DANCER_PG_BINDIR"]) / name)


def run(*command, **options):
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def filled(new_role, meaning_db):
    fill(meaning_db, {level: new_role(level) for level in ("usage", "admin")})
    return meaning_db


@pytest.fixture(params=["plain", "custom", "custom, two jobs"])
def restored(filled, new_database, connect, tmp_path, request):
    """The database that a dump of `filled` makes."""
    source, target = url_of(filled.info.dbname), new_database()
    if request.param == "plain":
        script = run(program("pg_dump"), source)
        run(program("psql"), "-Xq", "-v", "ON_ERROR_STOP=1", url_of(target), input=script)
    else:
        archive = str(tmp_path / "dump")
        run(program("pg_dump"), "-Fc", "-f", archive, source)
        restore = [program("pg_restore"), "--exit-on-error", "-d", url_of(target), archive]
        if request.param == "custom":
            run(*restore)
        else:
            # An archive does not say which data of extensions other data refers to, so jobs
            # would meet foreign keys too early; as a replica they are not checked.
            replica = {**os.environ, "PGOPTIONS": "-c session_replication_role=replica"}
            run(*restore, "-j2", env=replica)
    return connect(dbname=target)


def test_a_restored_database_is_the_same_and_goes_on(filled, restored, connect):
    assert contents(restored) == contents(filled)
    assert partitions(restored) == partitions(filled)
    assert len(partitions(filled)) >= 7
    assert all(contents(filled).values()), "a table without a row shows nothing"
    assert sequences(restored) == sequences(filled)
    assert not any(contents(restored, LEFT_TABLES).values())
    for table in LEFT_TABLES:
        filled.execute(f"DELETE FROM tiny_dancer.{table}")
    call(filled, "tiny_dancer.set", name="live_state_seconds", value="0")
    call(restored, "tiny_dancer.set", name="live_state_seconds", value="0")
    assert answers(restored) == answers(filled)
    assert route(restored, required_capabilities=["coding"]).agent_name in ("coder", "pair")
    roles = {row.level: row.role_name for row in filled.execute("TABLE tiny_dancer.granted_roles")}
    # The rights came with the dump; regrant() finds nothing to complain of.
    with connect(user=roles["usage"], dbname=restored.info.dbname) as usage:
        assert route(usage)
    assert {row[0] for row in restored.execute("SELECT tiny_dancer.regrant()")} == set(
        roles.values()
    )
    with connect(user=roles["admin"], dbname=restored.info.dbname) as admin:
        assert register(admin, "new")
        call(admin, "tiny_dancer.use_model", name="hashing-384", discard=True)
        call(admin, "tiny_dancer.use_model", name="hashing-8", provider="hashing", dimension=8)
    assert "new" in agent_names(restored)
    [(doubled,)] = restored.execute(
        "SELECT count(*) - count(DISTINCT id) FROM tiny_dancer.agents"
    ).fetchall()
    assert doubled == 0


def test_a_role_that_the_other_server_lacks_is_no_obstacle(filled, new_database, connect):
    """Without owners and rights, as one restores elsewhere; then regrant() gives them."""
    target = new_database()
    script = run(program("pg_dump"), "--no-owner", "--no-privileges", url_of(filled.info.dbname))
    run(program("psql"), "-Xq", "-v", "ON_ERROR_STOP=1", url_of(target), input=script)
    restored = connect(dbname=target)
    restored.execute("INSERT INTO tiny_dancer.granted_roles VALUES ('gone for good', 'usage')")
    again = {row[0] for row in restored.execute("SELECT tiny_dancer.regrant()")}
    assert len(again) == 2
    for role in again:
        with connect(user=role, dbname=target) as session:
            assert route(session)


def test_a_dump_with_an_index_says_that_it_has_to_be_built_again(filled, new_database, connect):
    filled.execute("SELECT tiny_dancer.rebuild_indexes()")
    filled.execute("SELECT tiny_dancer.set('exact_search_limit', '0')")
    target = new_database()
    script = run(program("pg_dump"), url_of(filled.info.dbname))
    run(program("psql"), "-Xq", "-v", "ON_ERROR_STOP=1", url_of(target), input=script)
    restored = connect(dbname=target)
    subjects = [row.subject for row in call(restored, "tiny_dancer.doctor") if not row.ok]
    assert subjects == ["vector index"]
    restored.execute("SELECT tiny_dancer.rebuild_indexes()")
    assert all(row.ok for row in call(restored, "tiny_dancer.doctor"))
