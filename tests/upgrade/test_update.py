"""An update from a release: it ends where a fresh installation begins, and keeps what there was."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from catalogue_snapshot import catalogue_snapshot
from databases import url_of
from kept import columns, rights, rows, sequences
from psycopg import sql
from refusal import refused
from registration import call, register, route
from released_versions import PRESENT, create_extension, scripts

UPDATE = "ALTER EXTENSION tiny_dancer UPDATE"
VERSION = "SELECT extversion FROM pg_extension WHERE extname = 'tiny_dancer'"
LEVELS = ("usage", "admin")
LIBRARY = "SELECT finding FROM tiny_dancer.doctor() WHERE subject = 'library'"


def version_of(session):
    return session.execute(VERSION).fetchone().extversion


def library_of(session):
    """The version of the library that the session's backend runs."""
    return session.execute(LIBRARY).fetchone().finding.split()[1]


def answers_of(session):
    from full_database import answers

    return answers(session)


NUMBER = re.compile(r"\d+(\.\d+)?")


def alike(found, expected):
    """The same answers, but for numbers that a newer release works out otherwise, by little."""
    if isinstance(found, float) and isinstance(expected, float):
        return found == pytest.approx(expected, rel=0.05, abs=0.02)
    if isinstance(found, str) and isinstance(expected, str):
        return NUMBER.sub("#", found) == NUMBER.sub("#", expected)
    if isinstance(expected, dict):
        return alike([*found.items()], [*expected.items()])
    if isinstance(expected, (list, tuple)):
        return len(found) == len(expected) and all(map(alike, found, expected))
    return bool(found == expected)


@pytest.fixture
def fresh(new_database, connect):
    session = connect(dbname=new_database())
    create_extension(session)
    return session


@pytest.mark.parametrize("schema", ["public", "My Router"])
def test_it_ends_where_a_fresh_installation_begins(
    released_script, fresh, new_database, connect, schema
):
    updated = connect(dbname=new_database())
    updated.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(schema)))
    create_extension(updated, released_script, schema)
    assert version_of(updated) == released_script
    before = catalogue_snapshot(updated)
    updated.execute(UPDATE)
    assert version_of(updated) == PRESENT
    assert catalogue_snapshot(updated).splitlines() == catalogue_snapshot(fresh).splitlines()
    assert catalogue_snapshot(updated) != before


def test_it_keeps_rows_sequences_rights_and_answers(filled, old, fresh, connect):
    of, dbname = columns(old), old.info.dbname
    before = rows(old, of), sequences(old), rights(old)
    # A table without a row shows nothing. These are for months to come, and for hnswlib.
    empty = {re.sub(r"_\d{4}_\d\d", "", name) for name, held in before[0].items() if not held}
    assert empty <= {"usage", "decisions", "route_indexes"}
    assert before[0]["usage_default"]
    assert before[0]["decisions_default"]
    assert len([name for name in of if name.startswith("usage_2")]) >= 4
    expected = answers_of(connect(dbname=dbname))
    old.execute(UPDATE)
    assert (version_of(old), library_of(old)) == (PRESENT, PRESENT)
    assert rows(old, of) == before[0]
    assert sequences(old) == before[1]
    after = rights(old)
    gone = {name for name in before[2] if name not in after}
    assert all(name.startswith("function tiny_dancer.") for name in gone)
    assert {name: after[name] for name in before[2] if name not in gone} == {
        name: acl for name, acl in before[2].items() if name not in gone
    }
    assert alike(answers_of(connect(dbname=dbname)), expected)
    own = [
        [line for line in catalogue_snapshot(session).splitlines() if "privilege: " not in line]
        for session in (old, fresh)
    ]
    assert own[0] == own[1]


def test_roles_have_what_is_new_after_regrant(filled, old, connect):
    users = [connect(user=filled.roles[level], dbname=old.info.dbname) for level in LEVELS]
    old.execute(UPDATE)
    for user in users:
        with refused("42501", "permission denied for function"):
            route(user)
    again = {row.regrant for row in old.execute("SELECT tiny_dancer.regrant()")}
    assert again == {filled.roles["usage"], filled.roles["admin"]}
    assert old.execute("SELECT * FROM tiny_dancer.missing_rights()").fetchall() == []
    for user in users:
        assert route(user).agent_name
        assert len(call(user, "ruvector_batch_route", requests=["a", "b"])) == 2
    auditor = connect(user=filled.roles["auditor"], dbname=old.info.dbname)
    assert auditor.execute("SELECT count(*) FROM tiny_dancer.usage").fetchone().count > 200
    with refused("42501"):
        auditor.execute("SELECT * FROM tiny_dancer.agents")


def test_views_on_a_decision_are_named_and_rights_to_it_kept(filled, old):
    """Its columns have a type of their own since 0.2.0, which a view would not know of."""
    auditor = sql.Identifier(filled.roles["auditor"])
    right = "SELECT has_function_privilege(%s, oid, 'EXECUTE') FROM pg_proc WHERE proname = %s"
    asked = [filled.roles["auditor"], "ruvector_route"]
    [(signature,)] = old.execute(
        "SELECT oid::regprocedure::text FROM pg_proc WHERE proname = 'ruvector_route'"
    ).fetchall()
    assert old.execute(right, asked).fetchall() == [(False,)]
    old.execute(sql.SQL("GRANT EXECUTE ON FUNCTION {} TO {}").format(sql.SQL(signature), auditor))
    old.execute("CREATE VIEW decided AS SELECT * FROM ruvector_route('write a poem')")
    with refused("2BP01", detail="view public.decided"):
        old.execute(UPDATE)
    assert version_of(old) == filled.version
    old.execute("DROP VIEW decided")
    old.execute(UPDATE)
    assert old.execute(right, asked).fetchall() == [(True,)]


def test_it_goes_on_where_it_was(old):
    """Ids continue, months that are partitions take outcomes, and maintenance finds its way."""
    numbers = sequences(old)
    old.execute(UPDATE)
    register(old, "after the update")
    usage = call(old, "ruvector_record_usage", agent="gpt-4", actual_cost=0.1, success=True)
    assert usage[0].ruvector_record_usage == numbers["usage_ids"] + 1
    [(newest,)] = old.execute("SELECT max(id) FROM tiny_dancer.agents").fetchall()
    assert newest == numbers["agents_id_seq"] + 1
    old.execute(
        "INSERT INTO tiny_dancer.usage (recorded_at, agent_id, cost, success)"
        " SELECT now() - interval '40 days', 1, 1, true"
    )
    old.execute("SELECT tiny_dancer.regrant()")
    steps = {row.step: row for row in call(old, "tiny_dancer.maintain")}
    assert steps["hours summed up"].affected > 0
    complaints = [row for row in call(old, "tiny_dancer.doctor") if not row.ok]
    assert complaints == []


def test_a_dump_of_an_updated_database_restores(filled, old, new_database, connect):
    """With all rights: what a script of the extension grants or revokes, a dump leaves out."""
    old.execute(UPDATE)
    old.execute("SELECT tiny_dancer.regrant()")
    target = new_database()
    script = run("pg_dump", url_of(old.info.dbname))
    run("psql", "-Xq", "-v", "ON_ERROR_STOP=1", url_of(target), text=script)
    restored = connect(dbname=target)
    assert version_of(restored) == PRESENT
    live = ("leases", "agent_slots", "breaker_events", "epochs", "route_indexes")
    of = {name: names for name, names in columns(old).items() if name not in live}
    assert rows(restored, of) == rows(old, of)
    assert rights(restored) == rights(old)
    snapshots = [catalogue_snapshot(session).splitlines() for session in (restored, old)]
    assert snapshots[0] == snapshots[1]
    for level in ("usage", "admin"):
        assert route(connect(user=filled.roles[level], dbname=target)).agent_name


def run(program, *arguments, text=None):
    command = [str(Path(os.environ["TINY_DANCER_PG_BINDIR"]) / program), *arguments]
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_rolled_back_it_leaves_the_release_working(filled, old, connect):
    """Also in the session that tried the new version before it changed its mind."""
    other = connect(dbname=old.info.dbname)
    of = columns(old)
    before = catalogue_snapshot(old), rows(old, of), rights(old)
    expected = answers_of(old)
    for _ in range(2):
        with old.transaction(force_rollback=True):
            old.execute(UPDATE)
            assert library_of(old) == PRESENT
            assert route(old)
            # The others see nothing of it.
            assert library_of(other) == filled.version
        assert version_of(old) == filled.version
        assert library_of(old) == filled.version
    assert (catalogue_snapshot(old), rows(old, of), rights(old)) == before
    assert answers_of(old) == answers_of(other) == expected
    old.execute(UPDATE)
    assert library_of(old) == library_of(other) == PRESENT
    assert answers_of(old) == answers_of(other)
    assert alike(answers_of(old), expected)


def test_open_sessions_change_over(filled, old, connect):
    """The next transaction of a session is the new version's, at the latest."""
    usage = connect(user=filled.roles["usage"], dbname=old.info.dbname)
    reading = connect(dbname=old.info.dbname)
    reading.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
    sessions = (usage, reading)
    expected = [answers_of(reading), [route(session) for session in sessions]]
    assert [library_of(session) for session in sessions] == [filled.version] * 2
    with old.transaction():
        old.execute(UPDATE)
        old.execute("SELECT tiny_dancer.regrant()")
    assert alike([answers_of(reading), [route(session) for session in sessions]], expected)
    reading.execute("COMMIT")
    assert [library_of(session) for session in sessions] == [PRESENT] * 2
    assert alike([answers_of(reading), [route(session) for session in sessions]], expected)
    assert usage.execute("SELECT ruvector_record_usage('gpt-4', 0.1, true)").fetchone()


def test_another_database_goes_on_at_its_version(filled, old, new_database, connect):
    """Two databases of a server at two versions, each with the library of its own."""
    other = connect(dbname=new_database(filled.dbname))
    expected = answers_of(old)
    old.execute(UPDATE)
    for session, version in ((other, filled.version), (old, PRESENT)) * 2:
        newcomer = connect(dbname=session.info.dbname)
        assert version_of(newcomer) == version
        assert library_of(newcomer) == library_of(session) == version
    assert answers_of(other) == expected
    assert alike(answers_of(old), expected)
    for session in (old, other):
        assert call(session, "ruvector_record_usage", agent="gpt-4", actual_cost=1, success=True)


def test_the_models_of_a_release_serve_the_next(released, new_database, connect):
    session = connect(dbname=new_database())
    create_extension(session, released)
    session.execute("SELECT tiny_dancer.use_model('all-MiniLM-L6-v2')")
    embed = "SELECT ruvector_embed('Write a function') <-> %s::vector AS distance"
    [(before,)] = session.execute("SELECT ruvector_embed('Write a function')::text").fetchall()
    session.execute(UPDATE)
    for asked in (session, connect(dbname=session.info.dbname)):
        assert asked.execute(embed, [before]).fetchone().distance < 1e-6


def test_what_lies_in_wait_is_not_adopted(released_script, new_database, connect):
    """A function of the next version's that somebody made beforehand stops the update."""
    session = connect(dbname=new_database())
    create_extension(session, released_script)
    session.execute(
        "CREATE FUNCTION tiny_dancer.missing_rights(OUT role_name name, OUT level text,"
        " OUT missing text) RETURNS SETOF record LANGUAGE sql AS 'SELECT 1, 2, 3'"
    )
    with refused("55000", "not a member of extension"):
        session.execute(UPDATE)
    assert version_of(session) == released_script


def superuser(role, connect):
    with connect(dbname="postgres") as session:
        session.execute(sql.SQL("ALTER ROLE {} SUPERUSER").format(sql.Identifier(role)))
    return role


OWNERS = """
SELECT DISTINCT o.owner::regrole::text AS name FROM (
    SELECT c.relowner AS owner FROM pg_class c WHERE c.relnamespace = 'tiny_dancer'::regnamespace
    UNION ALL SELECT p.proowner FROM pg_proc p WHERE p.pronamespace = 'tiny_dancer'::regnamespace
    UNION ALL SELECT p.proowner FROM pg_proc p WHERE p.proname LIKE 'ruvector%'
    UNION ALL SELECT e.extowner FROM pg_extension e WHERE e.extname = 'tiny_dancer') o
"""


@pytest.mark.parametrize("by", ["the owner", "another superuser"])
def test_whoever_updates_it_all_belongs_to_the_owner(
    released_script, new_role, new_database, connect, by
):
    owner = superuser(new_role("owner"), connect)
    session = connect(user=owner, dbname=new_database())
    create_extension(session, released_script)
    (session if by == "the owner" else connect(dbname=session.info.dbname)).execute(UPDATE)
    assert [row.name for row in session.execute(OWNERS)] == [owner]


def test_only_a_superuser_can_update(released_script, new_role, new_database, connect):
    """Nobody else may make functions in PL/Python, not even an owner."""
    first, second = superuser(new_role("first"), connect), new_role("second")
    session = connect(user=first, dbname=new_database())
    create_extension(session, released_script)
    names = [sql.Identifier(role) for role in (first, second)]
    session.execute(sql.SQL("REASSIGN OWNED BY {} TO {}").format(*names))
    owner = connect(user=second, dbname=session.info.dbname)
    with refused("42501"):
        owner.execute(UPDATE)
    assert version_of(owner) == released_script
    session.execute(UPDATE)
    assert [row.name for row in session.execute(OWNERS)] == [second]


TABLES = """
CREATE TABLE tiny_dancer.new_table (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY);
CREATE SEQUENCE tiny_dancer.new_values;
CREATE DOMAIN tiny_dancer.new_domain AS float8;
"""
NEW_RIGHTS = """
SELECT c.relname AS name, c.relowner::regrole::text AS owner,
       c.relacl = acldefault(CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", c.relowner)
       AND c.relacl = i.initprivs AS is_for_the_owner
FROM pg_class c LEFT JOIN pg_init_privs i ON i.objoid = c.oid AND i.objsubid = 0
WHERE c.relname LIKE 'new\\_%' AND c.relkind IN ('r', 'S')
UNION ALL SELECT t.typname, t.typowner::regrole::text, true FROM pg_type t
WHERE t.typname = 'new_domain' ORDER BY 1
"""


@pytest.fixture
def with_tables(released_script):
    """An update to the present version that makes tables, too."""
    script = scripts() / f"tiny_dancer--{released_script}--{PRESENT}.sql"
    made = script.with_name(f"tiny_dancer--{released_script}--9.9.8.sql")
    first, rest = script.read_text(encoding="utf-8").split("\nCOMMENT ON ", 1)
    made.write_text(f"{first}\n{TABLES}\nCOMMENT ON {rest}", encoding="utf-8")
    yield "9.9.8"
    made.unlink()


def test_new_tables_are_for_the_owner_alone(
    released_script, with_tables, new_role, new_database, connect
):
    """Even where the one who updates gives everybody rights to what he makes."""
    owner = superuser(new_role("owner"), connect)
    session = connect(user=owner, dbname=new_database())
    create_extension(session, released_script)
    other = connect(dbname=session.info.dbname)
    for kind in ("TABLES", "SEQUENCES"):
        other.execute(f"ALTER DEFAULT PRIVILEGES GRANT SELECT ON {kind} TO PUBLIC")
    other.execute(f"{UPDATE} TO '{with_tables}'")
    names = ("new_domain", "new_table", "new_table_id_seq", "new_values")
    assert session.execute(NEW_RIGHTS).fetchall() == [(name, owner, True) for name in names]


@pytest.fixture
def without_library(released_script):
    """A version whose SQL is installed on this server and whose library is not."""
    script = scripts() / f"tiny_dancer--{released_script}--{PRESENT}.sql"
    made = script.with_name(f"tiny_dancer--{released_script}--9.9.9.sql")
    made.write_text(script.read_text(encoding="utf-8").replace(PRESENT, "9.9.9"), encoding="utf-8")
    yield "9.9.9"
    made.unlink()


def test_an_update_without_its_library_is_refused(filled, without_library, old, connect):
    expected = answers_of(old)
    for session in (old, connect(dbname=old.info.dbname)):
        with refused("58P01", "library of tiny_dancer 9.9.9", hint='Run "make install"'):
            session.execute(f"{UPDATE} TO '{without_library}'")
        assert version_of(session) == filled.version
        assert library_of(session) == filled.version
        assert answers_of(session) == expected
    old.execute(UPDATE)
    assert alike(answers_of(old), expected)
