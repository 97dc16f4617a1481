"""A hostile schema before all others on the path: nothing of it is ever called or read."""

from __future__ import annotations

import re
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from registration import register_four
from routes import create
from test_privileges import ACTIONS, BOTH
from training import TWO_KINDS, train_quickly

CHECKOUT = Path(__file__).parents[2]
SOURCES = [*CHECKOUT.glob("sql/*.sql"), *CHECKOUT.glob("plpython/*.sql")]
SOURCES += (CHECKOUT / "tiny_dancer" / "pg").glob("*.py")
TRAP = "shadowed"
# Every function of the server that our SQL names, with each of its lists of arguments.
CALLABLE = """
SELECT p.proname AS name, pg_get_function_identity_arguments(p.oid) AS arguments,
       p.prorettype::regtype::text AS returned, p.proretset AS is_set
FROM pg_proc p
WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.proname = ANY (%s) AND p.prokind = 'f'
      AND NOT p.provariadic <> 0
      AND NOT EXISTS (SELECT FROM unnest(p.proargtypes || p.prorettype) AS t (type)
                      WHERE t.type::regtype::text IN ('internal', 'cstring', 'trigger')
                            OR t.type IN (SELECT oid FROM pg_type WHERE typtype = 'p'))
"""
# Every operator on ordinary types.
OPERATORS = """
SELECT o.oprname AS name, nullif(o.oprleft, 0)::regtype::text AS "left",
       o.oprright::regtype::text AS "right", o.oprresult::regtype::text AS result
FROM pg_operator o
WHERE o.oprnamespace = 'pg_catalog'::regnamespace AND o.oprkind = 'b'
      AND o.oprleft = ANY (%(types)s::regtype[]) AND o.oprright = ANY (%(types)s::regtype[])
"""
TYPES = [
    *("text", "name", "boolean", "smallint", "integer", "bigint", "real", "double precision"),
    *("numeric", "uuid", "jsonb", "interval", "timestamptz", "timestamp", "text[]", "bytea"),
    *("bigint[]", "oid", "date"),
]
# What is passed a query is passed one that needs nothing of the path.
OF_A_QUERY = [
    "SELECT * FROM ruvector_train_classifier('TABLE public.examples')",
    "SELECT * FROM ruvector_train_router('TABLE public.judged')",
    "SELECT * FROM ruvector_calibrate_router(0.9::float8, query := 'TABLE public.requests')",
    "SELECT * FROM ruvector_fit_routes('TABLE public.meant')",
    "SELECT * FROM ruvector_evaluate_routes('TABLE public.meant')",
]
JUDGED = """
SELECT 'Request ' || n || ' to ' || kind, agent, (agent = kind)::int::float8
FROM generate_series(1, 60) AS n, unnest(ARRAY['gpt-4', 'gpt-3.5']) AS kind,
     unnest(ARRAY['gpt-4', 'gpt-3.5']) AS agent
"""
MEANT = """
SELECT CASE kind WHEN 0 THEN 'hello number ' ELSE 'weather of day ' END || n,
       CASE kind WHEN 0 THEN 'greeting' END
FROM generate_series(1, 40) AS n, generate_series(0, 1) AS kind
"""
# The query of ruvector_semantic_route is a request, not SQL.
TAKE_A_QUERY = """
SELECT p.proname FROM pg_proc p
WHERE p.proname LIKE 'ruvector%' AND 'query' = ANY (p.proargnames) AND p.proconfig IS NULL
  AND p.proname <> 'ruvector_semantic_route'
"""
TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = 'tiny_dancer'"


def named_functions():
    """Every name before a parenthesis in our SQL: a few are no functions, which does no harm."""
    text = " ".join(path.read_text(encoding="utf-8") for path in SOURCES)
    return sorted(set(re.findall(r"\b([a-z_][a-z0-9_]*)\(", text)))


def plant(session):
    """Make the schema; return how many functions and operators lie in it."""
    session.execute("CREATE SCHEMA hostile")
    functions = session.execute(CALLABLE, [named_functions()]).fetchall()
    for row in functions:
        session.execute(
            sql.SQL("CREATE FUNCTION hostile.{}({}) RETURNS {}{} LANGUAGE plpgsql AS {}").format(
                sql.Identifier(row.name),
                sql.SQL(row.arguments),
                sql.SQL("SETOF " if row.is_set else ""),
                sql.SQL(row.returned),
                sql.Literal(f"BEGIN RAISE EXCEPTION '{TRAP}: {row.name}'; END"),
            )
        )
    operators = session.execute(OPERATORS, {"types": TYPES}).fetchall()
    for ordinal, row in enumerate(operators):
        session.execute(
            f"CREATE FUNCTION hostile.operator_{ordinal}({row.left}, {row.right})"
            f" RETURNS {row.result} LANGUAGE plpgsql"
            f" AS $$BEGIN RAISE EXCEPTION '{TRAP}: {row.name.replace('%', '%%')}'; END$$"
        )
        session.execute(
            f"CREATE OPERATOR hostile.{row.name} (FUNCTION = hostile.operator_{ordinal},"
            f" LEFTARG = {row.left}, RIGHTARG = {row.right})"
        )
    return len(functions), len(operators)


def plant_tables(session):
    """Tables of our names, in the hostile schema and among the temporary ones."""
    for (table,) in session.execute(TABLES).fetchall():
        for schema in ("hostile", "pg_temp"):
            name = sql.Identifier(schema, table)
            session.execute(sql.SQL("CREATE TABLE {} (trap int)").format(name))


@pytest.fixture
def prepared(db):
    register_four(db)
    db.execute("SELECT ruvector_set_capability_alias('speak', 'chat')")
    db.execute("SELECT ruvector_set_budget(10, 'day', tag := 't')")
    db.execute("SELECT ruvector_record_usage('gpt-4', 1, true)")
    create(db, "greeting", "gpt-4", "hello", conditions={"rate_limit": 9})
    db.execute(f"CREATE TABLE public.examples AS {TWO_KINDS}")
    db.execute(f"CREATE TABLE public.judged AS {JUDGED}")
    db.execute("CREATE TABLE public.requests AS SELECT 'Say hello ' || generate_series(1, 40)")
    db.execute(f"CREATE TABLE public.meant AS {MEANT}")
    train_quickly(db)
    return db


def is_ours(action):
    """Whether the action is a call alone: a query that it passes is judged on the caller's path."""
    return action.startswith("SELECT") and "$$" not in action


def outcome(session, action):
    """The rows of an action that is taken back, or its error."""
    try:
        with session.transaction(force_rollback=True):
            return session.execute(action).fetchall()
    except psycopg.Error as error:
        return f"{error.sqlstate}: {error.diag.message_primary}"


def test_nothing_of_a_hostile_schema_is_called(prepared, connect, figure):
    functions, operators = plant(prepared)
    figure("functions of the server shadowed", functions)
    figure("operators of the server shadowed", operators)
    assert functions > 50
    assert operators > 200
    session = connect()
    plant_tables(session)
    session.execute("SET search_path = hostile, pg_catalog, public")
    assert outcome(session, "SELECT 1 = 1") == f"P0001: {TRAP}: =", "the trap does not work"
    calls = [action for action, levels in ACTIONS.items() if levels and is_ours(action)]
    assert len(calls) > 40
    calls += OF_A_QUERY
    for call in calls:
        found = outcome(session, call)
        assert isinstance(found, list), f"{call}: {found}"
    figure("calls that met none of them", len(calls))


def test_whatever_takes_a_query_is_tried(db):
    tried = " ".join(OF_A_QUERY)
    assert [name for (name,) in db.execute(TAKE_A_QUERY) if f"{name}(" not in tried] == []


def test_answers_on_a_hostile_path_are_those_on_a_plain_one(prepared, connect):
    plain = connect()
    plant(prepared)
    hostile = connect()
    hostile.execute("SET search_path = hostile, pg_catalog, public")
    for action in (
        "SELECT * FROM ruvector_explain_route('hello')",
        "SELECT * FROM ruvector_semantic_route('hello')",
        "SELECT ruvector_classify_request('hello')",
        "SELECT * FROM ruvector_list_agents()",
        "SELECT * FROM ruvector_routing_analytics()",
        "SELECT * FROM ruvector_budget_status()",
    ):
        assert action in ACTIONS or BOTH
        assert outcome(hostile, action) == outcome(plain, action) != [], action


def test_no_setting_of_a_session_reaches_a_path_or_another_model(db, connect):
    """What the server asks of settings is listed; none of them is ours, and none is a path."""
    asked = set()
    for path in SOURCES:
        asked |= set(re.findall(r"current_setting\(\s*'([^']+)'", path.read_text(encoding="utf-8")))
    assert asked <= {
        *("transaction_read_only", "transaction_isolation", "server_version"),
        # Read to be set back: a query of the caller's runs on its path, and partitions are made
        # without waiting long.
        *("search_path", "lock_timeout"),
        # How broad a scan of pgvector is, for one query.
        *("hnsw.ef_search", "hnsw.iterative_scan"),
    }
    plain = connect()
    expected = plain.execute("SELECT ruvector_embed('hello')").fetchone()
    bent = connect()
    for name in ("models_dir", "library", "model", "path", "provider"):
        for prefix in ("tiny_dancer", "ruvector", "plpython3"):
            bent.execute(f"SET {prefix}.{name} = '/tmp/hostile'")
    # Since PostgreSQL 18 the server looks there for PL/Python itself; superusers alone may set it.
    bent.execute("SET dynamic_library_path = '/tmp/hostile:$libdir'")
    assert bent.execute("SELECT ruvector_embed('hello')").fetchone() == expected
