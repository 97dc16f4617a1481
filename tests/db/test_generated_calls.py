"""Generated calls of every function: whatever comes in, what comes out is an answer or an error of
a known kind, and the session goes on."""

from __future__ import annotations

import json
import math

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from psycopg import sql
from psycopg.pq import TransactionStatus
from refusal import assert_house_style, is_ours
from registration import register, register_four, route

SIGNATURES = """
SELECT n.nspname AS schema, p.proname AS name,
       array_agg(p.proargnames[a.ordinal]::text ORDER BY a.ordinal) AS arguments,
       array_agg(format_type(a.type, NULL) ORDER BY a.ordinal) AS types,
       p.pronargs - p.pronargdefaults AS needed, p.proconfig IS NULL AS is_on_callers_path
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
JOIN pg_extension e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
CROSS JOIN unnest(p.proargtypes::oid[]) WITH ORDINALITY AS a (type, ordinal)
WHERE e.extname = 'tiny_dancer' AND p.prorettype <> 'trigger'::regtype
      AND obj_description(p.oid, 'pg_proc') NOT LIKE 'internal%'
GROUP BY p.oid, n.nspname, p.proname ORDER BY p.proname
"""
# They hand out rights; what they refuse is tested by name.
LEFT_OUT = {"grant_usage", "grant_admin"}

# What a caller must never see: a stray exception, an internal error, SQL of ours that is wrong.
STRAY = ("38", "39", "XX")
NEVER = (*STRAY, "42601", "42883", "42P01", "42P02", "42703", "42804", "21000", "0A000")

TEXTS = [
    *("", " ", "a", "A", "é€😀", "x" * 300, "'; DROP TABLE agents; --", "\x01", "{}", "[1", "NaN"),
    *("-1", "1e400", "null", "gpt-4", "llm", "ensemble", "hashing-384", "alternatives", "cost"),
    *("balanced", "pipeline", "agent", "7 days", "SELECT 1", "SELECT 'a', 'b'", "%s %d {0}", "\\"),
]
NUMBERS = [
    *(None, 0.0, -0.0, 1.0, 0.5, -1.0, 1e-320, 1e300, -1e300, 1e12, 100.0),
    *(math.nan, math.inf, -math.inf),
]
INTEGERS = [None, 0, 1, -1, 3, 1000, 2**31 - 1, -(2**31)]
DOCUMENTS = [
    *({}, [], None, 1, "text", True, {"members": ["gpt-4"]}, {"members": 5}, {"a": {"b": [1]}}),
    *({"context_window": -1}, {"context_window": 1e308}, {"": ""}, {"members": [None]}),
    *(
        {"policy": "cost"},
        {"user_tier": ["gold"]},
        {"time_range": ["25:00", "x"]},
        {"rate_limit": -1},
    ),
]


def arrays(elements):
    flat = st.lists(st.sampled_from(elements), max_size=4)
    return st.none() | flat | st.just([[elements[1]], [elements[2]]])


vectors = (
    st.none()
    | st.lists(st.sampled_from(NUMBERS), max_size=3)
    | st.sampled_from([[1.0] * 384, [0.0] * 384, [math.nan] * 384, [1.0] * 383, [None] * 384])
)
VALUES = {
    "text": st.none() | st.sampled_from(TEXTS),
    "name": st.none() | st.sampled_from(TEXTS),
    "text[]": arrays(TEXTS),
    "double precision": st.sampled_from(NUMBERS),
    "double precision[]": arrays(NUMBERS),
    "real": st.sampled_from([None, 0.0, 1.0, -1.0, math.nan, math.inf]),
    "integer": st.sampled_from(INTEGERS),
    "bigint": st.sampled_from([*INTEGERS, 2**63 - 1]),
    "bigint[]": arrays(INTEGERS),
    "smallint": st.sampled_from([None, 0, 1, -1]),
    "boolean": st.sampled_from([None, True, False]),
    "jsonb": st.none() | st.sampled_from(DOCUMENTS).map(json.dumps),
    "real[]": vectors,
    "vector[]": st.none() | st.just(["[1,2]"]) | st.just([None]),
    "vector": st.none() | st.just("[" + ",".join(["1"] * 384) + "]") | st.just("[1,2]"),
    "halfvec": st.none() | st.just("[" + ",".join(["1"] * 384) + "]") | st.just("[1,2]"),
    "uuid": st.none() | st.uuids().map(str),
    "uuid[]": st.none() | st.lists(st.uuids().map(str), max_size=2),
    "interval": st.sampled_from([None, "7 days", "-1 day", "0", "1000000 years", "1 microsecond"]),
    "timestamp with time zone": st.sampled_from([None, "now", "infinity", "-infinity", "epoch"]),
    "date": st.sampled_from([None, "today", "infinity"]),
    "time without time zone": st.sampled_from([None, "00:00", "24:00"]),
    "bytea": st.none() | st.binary(max_size=8),
}


# So that a call gets past its first arguments.
SENSIBLE = {
    "name": "gpt-4",
    "agent": "gpt-4",
    "agent_type": "llm",
    "capabilities": ["chat"],
    "capability": "chat",
    "request": "Say hello",
    "requests": ["Say hello", "Write code"],
    "query": "hello",
    "content": "hello",
    "contents": ["hello", "there"],
    "description": "greetings",
    "target_agent": "gpt-4",
    "actual_cost": 0.01,
    "estimated_cost": 0.01,
    "monthly_budget": 100.0,
    "success": True,
    "latency_ms": 120.0,
    "amount": 10.0,
}


@st.composite
def passed_arguments(draw, function):
    """From name to (type, value): what is needed, sensible as a rule, and some of the others."""
    passed = {}
    for ordinal, (name, kind) in enumerate(zip(function.arguments, function.types, strict=True)):
        if ordinal >= function.needed and draw(st.integers(0, 3)):
            continue
        if name in SENSIBLE and draw(st.integers(0, 2)):
            passed[name] = (kind, SENSIBLE[name])
        else:
            passed[name] = (kind, draw(VALUES[kind]))
    return passed


@pytest.fixture(scope="module")
def subject(shared_db):
    register_four(shared_db)
    register(shared_db, "a", agent_type="ensemble", metadata='{"members": ["gpt-4", "gpt-3.5"]}')
    shared_db.execute("SET statement_timeout = '20s'")
    shared_db.execute("SET client_min_messages = error")
    found = shared_db.execute(SIGNATURES).fetchall()
    return shared_db, [row for row in found if row.name not in LEFT_OUT]


def test_there_are_values_for_every_type_of_argument(subject):
    types = {kind for row in subject[1] for kind in row.types}
    assert types - set(VALUES) == set()


def error_of(session, statement, values):
    try:
        with session.transaction(force_rollback=True):
            session.execute(statement, values)
    except psycopg.Error as error:
        return error
    return None


@settings(
    max_examples=400,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(st.data())
def test_no_generated_call_fails_in_an_unknown_way(subject, data):
    session, functions = subject
    function = data.draw(st.sampled_from(functions), label="function")
    passed = data.draw(passed_arguments(function), label="arguments")
    check_call(session, function, passed)


def check_call(session, function, passed):
    """Make a call and take it back; return its SQLSTATE, None where it gave a result."""
    statement = sql.SQL("SELECT * FROM {}({})").format(
        sql.Identifier(function.schema, function.name),
        sql.SQL(", ").join(
            sql.SQL("{} := %s::" + kind).format(sql.Identifier(name))
            for name, (kind, _) in passed.items()
        ),
    )
    values = [value for _, value in passed.values()]
    error = error_of(session, statement, values)
    if error is not None:
        assert error.sqlstate is not None, f"the session broke: {error}"
        # What runs a query of the caller's reports the errors of that query.
        never = STRAY if function.is_on_callers_path else NEVER
        assert not error.sqlstate.startswith(never), f"{error.sqlstate}: {error}"
        if is_ours(error):
            assert_house_style(error)
    assert session.info.transaction_status == TransactionStatus.IDLE
    return error and error.sqlstate


def test_the_session_routes_as_before_after_all_that(subject):
    assert route(subject[0], optimize_for="cost", excluded_agents=["a"]).agent_name == "llama-2"
