"""Where and how the extension is installed: schemas, encodings, versions, a hostile path."""

from __future__ import annotations

import pytest
from psycopg import sql
from refusal import refused
from registration import register, route
from training import TWO_KINDS

import tiny_dancer

EVERYTHING = [
    "SELECT * FROM {0}.ruvector_list_agents()",
    "SELECT {0}.ruvector_get_agent('a')",
    "SELECT * FROM {0}.ruvector_route('hello')",
    "SELECT * FROM {0}.ruvector_explain_route('hello')",
    "SELECT * FROM {0}.ruvector_find_agents_by_capability('chat')",
    "SELECT {0}.ruvector_embed('hello')",
    "SELECT * FROM {0}.ruvector_embed_batch('{{hello}}')",
    "SELECT {0}.ruvector_set_agent_active('a', true)",
    "SELECT * FROM tiny_dancer.doctor()",
    "SELECT * FROM tiny_dancer.warmup()",
    "SELECT * FROM tiny_dancer.list_settings()",
    "SELECT * FROM tiny_dancer.setup()",
    "SELECT * FROM tiny_dancer.rebuild_indexes()",
    "SELECT tiny_dancer.set('snapshot_megabytes', '0')",
    "SELECT * FROM {0}.ruvector_route('hello')",
    "SELECT * FROM {0}.ruvector_find_agents_by_capability('chat')",
    "SELECT tiny_dancer.set('exact_search_limit', '0')",
    "SELECT * FROM {0}.ruvector_find_agents_by_capability('chat')",
    "SELECT {0}.ruvector_remove_agent('a')",
]


@pytest.mark.parametrize("schema", ["router", "Router of Agents", "naïve"])
def test_any_schema_will_do(new_database, new_role, connect, schema):
    session = connect(dbname=new_database())
    name = sql.Identifier(schema)
    session.execute(sql.SQL("CREATE SCHEMA {}").format(name))
    session.execute('CREATE SCHEMA "Vec tors"; CREATE EXTENSION vector SCHEMA "Vec tors"')
    session.execute(sql.SQL("CREATE EXTENSION tiny_dancer SCHEMA {} CASCADE").format(name))
    session.execute("SELECT tiny_dancer.use_model('hashing-384', 'hashing')")
    register_in(session, name)
    for classifier, is_multi_label in (("requests", False), ("capabilities", True)):
        # So that setup() below has nothing left to train.
        session.execute(
            sql.SQL("SELECT {}.ruvector_train_classifier(%s, %s, %s)").format(name),
            (TWO_KINDS, classifier, is_multi_label),
        )
    role = new_role("usage")
    session.execute("SELECT tiny_dancer.grant_admin(%s)", [role])
    admin = connect(user=role, dbname=session.info.dbname)
    for other in (session, admin):
        for path in ("''", "pg_catalog", "pg_temp, tiny_dancer"):
            other.execute(f"SET search_path = {path}")
            register_in(other, name)
            for statement in EVERYTHING:
                if other is session or "rebuild" not in statement:
                    other.execute(sql.SQL(statement).format(name))


def register_in(session, schema):
    session.execute(
        sql.SQL("SELECT {}.ruvector_register_agent('a', 'llm', '{{chat}}', 0.01)").format(schema)
    )


def test_objects_that_somebody_planted_are_not_called(db, new_role, connect):
    """Functions and operators of the same names, earlier on the path of the caller."""
    register(db, "a", ["chat"])
    expected = route(db)
    db.execute("""
        CREATE SCHEMA evil;
        CREATE FUNCTION evil.lower(text) RETURNS text LANGUAGE sql AS 'SELECT 1/0 || $1';
        CREATE FUNCTION evil.now() RETURNS timestamptz LANGUAGE sql AS 'SELECT NULL::timestamptz';
        CREATE FUNCTION evil.vector_send(vector) RETURNS bytea LANGUAGE sql AS 'SELECT NULL::bytea';
        CREATE FUNCTION evil.equal(text, text) RETURNS boolean LANGUAGE sql AS 'SELECT false';
        CREATE OPERATOR evil.= (FUNCTION = evil.equal, LEFTARG = text, RIGHTARG = text);
        CREATE TABLE evil.agents (id int); CREATE TABLE evil.epochs (kind text, epoch int);
        CREATE TYPE evil.text AS ENUM ('x');
        SET search_path = evil, pg_catalog, public""")
    try:
        assert db.execute("SELECT * FROM ruvector_route('Say hello')").fetchone() == expected
        db.execute("SELECT ruvector_register_agent('b'::pg_catalog.text, 'llm', '{chat}')")
        db.execute("SELECT ruvector_remove_agent('b')")
        db.execute("SELECT * FROM ruvector_list_agents()")
    finally:
        db.execute("RESET search_path")


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII", "EUC_JP"])
def test_other_encodings(new_database, connect, encoding):
    name = new_database("template0", ENCODING=encoding, LC_COLLATE="C", LC_CTYPE="C")
    session = connect(
        dbname=name, client_encoding="SQL_ASCII" if encoding == "SQL_ASCII" else "UTF8"
    )
    session.execute("CREATE EXTENSION tiny_dancer CASCADE")
    session.execute("SELECT tiny_dancer.use_model('hashing-384', 'hashing')")
    known = "naïve" if encoding == "LATIN1" else "plain"
    register(session, known, [known])
    decision = "SELECT agent_name = %s FROM ruvector_route(%s)"
    assert session.execute(decision, (known, f"Say {known}")).fetchone() == (True,)
    with refused("22023", "unknown agent type"):
        register(session, "b", agent_type=known)
    with refused("TD001"):
        route(session, required_capabilities=["other"])
    session.execute("SELECT * FROM tiny_dancer.doctor()")


def test_bytes_that_are_no_text_are_refused(new_database, connect):
    """An SQL_ASCII database stores any bytes; Python takes text only."""
    name = new_database("template0", ENCODING="SQL_ASCII", LC_COLLATE="C", LC_CTYPE="C")
    session = connect(dbname=name, client_encoding="SQL_ASCII")
    session.execute("CREATE EXTENSION tiny_dancer CASCADE")
    session.execute("SELECT tiny_dancer.use_model('hashing-384', 'hashing')")
    register(session, "a")
    with refused("22021"):
        session.execute(r"SELECT * FROM ruvector_route(E'caf\xe9')")
    assert session.execute("SELECT agent_name FROM ruvector_route('x')").fetchone()


def change_version(session, present, other):
    """Make the database's functions those of another version."""
    query = "SELECT pg_get_functiondef(p.oid) FROM pg_proc p WHERE strpos(prosrc, %s) > 0"
    for (definition,) in session.execute(query, [present]).fetchall():
        session.execute(definition.replace(present, other).encode())


def test_a_version_without_a_library_is_told_so(db, connect):
    """Sessions that were there before it and hold another version go on when it is away again."""
    register(db, "a")
    other = connect()
    assert route(other)
    change_version(db, tiny_dancer.__version__, "9.9.9")
    newcomer = connect()
    for session in (db, other, newcomer) * 2:
        with refused(
            "58P01", "the library of tiny_dancer 9.9.9 can not be loaded", hint="make install"
        ):
            route(session)
    change_version(db, "9.9.9", tiny_dancer.__version__)
    for session in (db, other, newcomer):
        assert route(session)


def test_sessions_of_two_databases_do_not_mix(db, new_database, connect):
    register(db, "a")
    second = connect(dbname=new_database())
    second.execute("CREATE EXTENSION tiny_dancer CASCADE")
    with refused("55000", "no embedding model is active"):
        route(second)


def test_the_extension_is_not_relocatable_and_for_superusers(db, new_role):
    with refused("0A000"):
        db.execute("ALTER EXTENSION tiny_dancer SET SCHEMA pg_catalog")
    db.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(new_role("ordinary"))))
    with refused("42501"):
        db.execute("DROP EXTENSION tiny_dancer")
    db.execute("RESET ROLE")


def test_dropping_the_extension_leaves_nothing(db):
    register(db, "a")
    db.execute("SELECT tiny_dancer.rebuild_indexes()")
    db.execute("DROP EXTENSION tiny_dancer")
    left = db.execute("SELECT proname FROM pg_proc WHERE proname LIKE 'ruvector%'").fetchall()
    assert left == []
    assert db.execute("SELECT 1 FROM pg_namespace WHERE nspname = 'tiny_dancer'").fetchall() == []
