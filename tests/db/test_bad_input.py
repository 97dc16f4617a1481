"""Bad input: a clear error with SQLSTATE and hint, and nothing written."""

from __future__ import annotations

import json
from contextlib import suppress

import psycopg
import pytest
from psycopg import sql
from refusal import refused
from registration import call, register

TABLES = ("agents", "agent_embeddings", "models", "settings", "capability_aliases", "granted_roles")

NAN, INFINITY = float("nan"), float("inf")


def contents(session):
    """Everything that a function of the extension could have written."""
    return {
        table: session.execute(
            sql.SQL("SELECT t::text FROM tiny_dancer.{} t ORDER BY 1").format(sql.Identifier(table))
        ).fetchall()
        for table in TABLES
    }


@pytest.fixture
def unchanged(registry):
    """A registry of two agents that a refused call must leave as it is."""
    register(registry, "a", cost_per_call=1, quality_score=0.5, avg_latency_ms=100)
    register(registry, "b", cost_per_call=2, quality_score=0.7, avg_latency_ms=200)
    before = contents(registry)
    yield registry
    assert contents(registry) == before


NOT_AN_AMOUNT = [NAN, INFINITY, -INFINITY, -1.0, -1e-9]
NOT_A_FRACTION = [NAN, INFINITY, -INFINITY, -0.01, 1.01]
NOT_A_NAME = [
    (None, "must not be empty"),
    ("", "must not be empty"),
    ("  \t ", "must not be empty"),
    (" padded", "begins or ends with white space"),
    ("padded\n", "begins or ends with white space"),
    ("x" * 201, "has 201 characters"),
    ("x" * 1_000_000, "has 1000000 characters"),
    ("a\x00b".replace("\x00", "\x01"), "control characters"),
    ("a\nb", "control characters"),
    ("a\u202eb", "control characters"),
    ("a\u200bb", "control characters"),
]
AMOUNTS = (
    *("cost_per_1k_tokens", "cost_per_1k_output_tokens", "cost_per_call", "cost_per_second"),
    "avg_latency_ms",
)

REGISTRATIONS = [
    *(({column: value}, column) for column in AMOUNTS for value in NOT_AN_AMOUNT),
    # Finite, but sums and products with it are not.
    *(({column: 1e300}, column) for column in AMOUNTS),
    *(({"quality_score": value}, "quality_score") for value in NOT_A_FRACTION),
    *(({"name": value}, message) for value, message in NOT_A_NAME),
    *(({"pool": value}, message) for value, message in NOT_A_NAME[1:]),
    *(
        ({"agent_type": value}, "unknown agent type")
        for value in (None, "", "robot", "llm2", "x" * 1_000_000)
    ),
    *(({"weight": value}, "weight") for value in (0.0, -1.0, NAN, INFINITY, 1e300)),
    *(({"max_concurrent": value}, "max_concurrent") for value in (0, -1)),
    ({"capabilities": None}, "capabilities must not be NULL"),
    *(
        ({labels: value}, message)
        for labels in ("capabilities", "tags")
        for value, message in (
            ([None], "must not be empty"),
            (["ok", None], "must not be empty"),
            (["ok", ""], "must not be empty"),
            (["  "], "must not be empty"),
            (["x" * 201], "201 characters"),
            (["a\x1fb"], "control characters"),
            ([["a", "b"], ["c", "d"]], "flat array"),
            ([str(number) for number in range(201)], "too many"),
        )
    ),
    *(
        ({"metadata": json.dumps(value)}, "metadata is a JSON")
        for value in ([], [1], "text", 1, 1.5, True, None)
    ),
    *(
        ({"metadata": json.dumps({"context_window": value})}, "context_window")
        for value in ("128000", -1, 0, True, [1], {"a": 1}, "x" * 10_000)
    ),
    ({"metadata": '{"context_window": 1e400}'}, "context_window"),
    ({"metadata": '{"context_window": 1e-400}'}, "context_window"),
    ({"metadata": '{"context_window": ' + "9" * 5000 + "}"}, "metadata"),
    ({"metadata": '{"members": ' + "9" * 5000 + "}"}, "metadata"),
    ({"metadata": '{"x": ' + "[" * 3000 + "]" * 3000 + "}"}, "metadata"),
    ({"metadata": json.dumps({"x": "y" * 2_000_000})}, "metadata"),
    ({"capability_embedding": []}, "flat array"),
    ({"capability_embedding": [1.0, 2.0]}, "has 2 dimensions"),
    ({"capability_embedding": [0.0] * 384}, "is all zeros"),
    ({"capability_embedding": [NAN] * 384}, "not a finite number"),
    ({"capability_embedding": [1.0] * 383 + [INFINITY]}, "not a finite number"),
    ({"capability_embedding": [1.0] * 383 + [None]}, "flat array"),
    ({"capability_embedding": [[1.0] * 192, [1.0] * 192]}, "flat array"),
]


def shortened(value):
    text = repr(value)
    return text if len(text) <= 70 else f"{text[:60]}... of {len(text)}"


@pytest.mark.parametrize(("arguments", "message"), REGISTRATIONS, ids=shortened)
@pytest.mark.parametrize("name", ["a", "new"])
def test_a_bad_registration_is_refused(unchanged, name, arguments, message):
    passed = {"name": name, "agent_type": "llm", "capabilities": ["chat"], **arguments}
    with refused("22023", message) as caught:
        call(unchanged, "ruvector_register_agent", **passed)
    assert len(caught.value.diag.message_primary) < 1000


ROUTINGS = [
    *(
        ({limit: value}, limit)
        for limit in ("max_cost", "max_latency_ms")
        for value in NOT_AN_AMOUNT
    ),
    *(({"budget_remaining": value}, "budget_remaining") for value in NOT_AN_AMOUNT),
    *(
        ({limit: value}, limit)
        for limit in ("min_quality", "quality_floor", "cost_weight")
        for value in NOT_A_FRACTION
    ),
    *(
        ({"optimize_for": value}, "unknown target")
        for value in (None, "", "COST", "speed", "x" * 1_000_000)
    ),
    ({"optimize_for": "total_cost"}, "unknown target 'total_cost'"),
    *(({"request": value}, "request must not be empty") for value in (None, "", " \n\t ")),
    ({"request": "x" * 1_000_001}, "request has 1000001 characters"),
    ({"cost_weight": 0.5, "optimize_for": "cost"}, "cost_weight has no meaning"),
    *(
        ({labels: value}, labels)
        for labels in ("required_capabilities", "excluded_agents")
        for value in ([None], ["a", None], [["a"], ["b"]], ["x"] * 10_001)
    ),
    ({"embedding": []}, "flat array"),
    ({"embedding": [1.0] * 383}, "has 383 dimensions"),
    ({"embedding": [1.0] * 16_001}, "has 16001 dimensions"),
    ({"embedding": [0.0] * 384}, "is all zeros"),
    ({"embedding": [NAN] * 384}, "not a finite number"),
    ({"embedding": [1.0] * 383 + [-INFINITY]}, "not a finite number"),
    ({"embedding": [1.0] * 383 + [None]}, "flat array"),
    ({"embedding": [[1.0] * 192, [1.0] * 192]}, "flat array"),
]


@pytest.mark.parametrize("function", ["ruvector_route", "ruvector_explain_route"])
@pytest.mark.parametrize(("arguments", "message"), ROUTINGS, ids=shortened)
def test_a_bad_routing_call_is_refused(unchanged, function, arguments, message):
    with refused("22023", message) as caught:
        call(unchanged, function, **{"request": "hello", **arguments})
    assert len(caught.value.diag.message_primary) < 1000


VECTOR = "ruvector_embed('hello')::real[]"
WITH_BITS = {
    "a slice": f"SELECT (NULL::real || {VECTOR})[2:385] AS e",
    "trim_array": f"SELECT trim_array({VECTOR} || NULL::real, 1) AS e",
    "another first index": f"SELECT ('[5:388]=' || ({VECTOR})::text)::real[] AS e",
}


@pytest.mark.parametrize("made", WITH_BITS.values(), ids=WITH_BITS)
@pytest.mark.parametrize("function", ["ruvector_route", "ruvector_explain_route"])
def test_how_a_vector_came_about_does_not_matter(unchanged, function, made):
    query = (
        f"SELECT f.agent_name, f.similarity FROM ({{}}) v, {function}('hello', embedding := v.e) f"
    )
    plain = query.format(f"SELECT {VECTOR} AS e")
    assert unchanged.execute(query.format(made)).fetchall() == unchanged.execute(plain).fetchall()


def test_the_hints_list_what_is_valid(unchanged):
    with refused("22023", hint="cost, latency, quality, balanced, quality_per_dollar"):
        call(unchanged, "ruvector_route", request="hello", optimize_for="speed")
    with refused("22023", hint="llm, tool, api, human, ensemble"):
        register(unchanged, "new", agent_type="robot")
    with refused("22023", detail="sum over a batch"):
        call(unchanged, "ruvector_route", request="hello", optimize_for="total_cost")
    with refused("22023", detail="At most 1000000 are allowed", hint="max_request_characters"):
        call(unchanged, "ruvector_route", request="x" * 1_000_001)
    with refused("22023", detail="have 384"):
        call(unchanged, "ruvector_route", request="hello", embedding=[1.0])


OTHERS = [
    ("ruvector_find_agents_by_capability", {"capability": None}, "22023", "must not be empty"),
    ("ruvector_find_agents_by_capability", {"capability": " "}, "22023", "must not be empty"),
    ("ruvector_find_agents_by_capability", {"capability": "x" * 1_000_001}, "22023", "characters"),
    *(
        ("ruvector_find_agents_by_capability", {"capability": "c", "k": k}, "22023", "^.*k is")
        for k in (None, 0, -1, 1001, 2**31 - 1)
    ),
    *(("ruvector_embed", {"content": text}, "22023", "empty") for text in (None, "", "\t")),
    ("ruvector_embed", {"content": "x" * 1_000_001}, "22023", "1000001 characters"),
    ("ruvector_embed_batch", {"contents": None}, "22023", "must not be NULL"),
    ("ruvector_embed_batch", {"contents": ["a", None]}, "22023", "text 2 must not be empty"),
    ("ruvector_embed_batch", {"contents": ["", "a"]}, "22023", "text 1 must not be empty"),
    ("ruvector_embed_batch", {"contents": [["a", "b"], ["c", "d"]]}, "22023", "flat array"),
    ("ruvector_embed_batch", {"contents": ["a"] * 100_001}, "22023", "too many"),
    ("tiny_dancer.set", {"name": None, "value": "1"}, "42704", "unknown setting"),
    ("tiny_dancer.set", {"name": None, "value": None}, "42704", "unknown setting"),
    ("tiny_dancer.set", {"name": "nothing", "value": "1"}, "42704", "unknown setting 'nothing'"),
    ("tiny_dancer.set", {"name": "nothing", "value": None}, "42704", "unknown setting 'nothing'"),
    ("tiny_dancer.set", {"name": "x" * 1_000_000, "value": "1"}, "42704", "unknown setting"),
    *(
        ("tiny_dancer.set", {"name": "weight_cost", "value": value}, "22023", "weight_cost")
        for value in ("", "x", "nan", "inf", "-0.1", "1.1", "x" * 1_000_000, "0x1", "1,5")
    ),
    *(
        ("tiny_dancer.set", {"name": "alternatives", "value": value}, "22023", "alternatives")
        for value in ("-1", "101", "1.5", "9" * 5000, "1e1")
    ),
    *(
        ("tiny_dancer.use_model", {"name": name, "provider": "hashing"}, "22023", "not valid")
        for name in (None, "", "a b", "../etc", "/etc", ".hidden", "x" * 101, "a\nb", "-x", "é")
    ),
    ("tiny_dancer.use_model", {"name": "x" * 1_000_000}, "22023", "not valid"),
    ("tiny_dancer.use_model", {"name": "m", "provider": "nothing"}, "22023", "unknown provider"),
    ("tiny_dancer.use_model", {"name": "m", "provider": ""}, "22023", "unknown provider"),
    *(
        (
            "tiny_dancer.use_model",
            {"name": "m", "provider": provider, "dimension": dimension},
            "22023",
            "dimension",
        )
        for provider in ("hashing", "external")
        for dimension in (0, -1, 16_001, 2**31 - 1)
    ),
    ("tiny_dancer.use_model", {"name": "m", "provider": "external"}, "22023", "dimension"),
    ("tiny_dancer.use_model", {"name": "nowhere"}, "42704", "not installed"),
    (
        "tiny_dancer.use_model",
        {"name": "all-MiniLM-L6-v2", "dimension": 100},
        "22023",
        "has dimension 384, not 100",
    ),
    (
        "tiny_dancer.use_model",
        {"name": "hashing-384", "dimension": 100},
        "22023",
        "has dimension 384, not 100",
    ),
    (
        "tiny_dancer.use_model",
        {"name": "hashing-384", "provider": "external"},
        "22023",
        "has provider hashing, not external",
    ),
    ("tiny_dancer.setup", {"model": "nowhere"}, "42704", "not installed"),
    ("tiny_dancer.setup", {"model": "../etc"}, "22023", "not valid"),
]


@pytest.mark.parametrize(("function", "arguments", "sqlstate", "message"), OTHERS, ids=shortened)
def test_bad_arguments_are_refused(unchanged, function, arguments, sqlstate, message):
    with refused(sqlstate, message) as caught:
        call(unchanged, function, **arguments)
    assert len(caught.value.diag.message_primary) < 1000


@pytest.mark.parametrize("role", ["nobody-of-this-name", "", None, "public"])
@pytest.mark.parametrize("function", ["grant_usage", "grant_admin"])
def test_grants_to_unknown_roles_are_refused(unchanged, function, role):
    with refused("42704", "unknown role", hint="Create the role first"):
        call(unchanged, f"tiny_dancer.{function}", role_name=role)


HOSTILE_ROWS = {
    "a context window that is text": '{"context_window": "many"}',
    "a context window that is a list": '{"context_window": [1]}',
    "a context window beyond floats": '{"context_window": 1e400}',
    "a context window of thousands of digits": '{"context_window": ' + "9" * 5000 + "}",
    "a context window below zero": '{"context_window": -1}',
    "numbers beyond floats": '{"x": 1e400, "y": ' + "9" * 5000 + "}",
    "deep nesting": '{"x": ' + "[" * 3000 + "]" * 3000 + "}",
    "members that are a number": '{"members": 5}',
    "members that are text": '{"members": "a"}',
    "members that are not text": '{"members": [1, null, [], {"a": 1}]}',
}


@pytest.mark.parametrize("metadata", HOSTILE_ROWS.values(), ids=HOSTILE_ROWS)
@pytest.mark.parametrize("agent_type", ["llm", "ensemble"])
def test_a_row_written_past_the_functions_does_not_stop_routing(registry, agent_type, metadata):
    """The table refuses it, or the row is read; it never breaks every decision of the database."""
    register(registry, "a", cost_per_call=1)
    with suppress(psycopg.errors.CheckViolation):
        registry.execute(
            "INSERT INTO tiny_dancer.agents (name, agent_type, metadata) VALUES ('h', %s, %s)",
            (agent_type, metadata),
        )
    rows = call(registry, "ruvector_explain_route", request="hello", optimize_for="cost")
    assert {row.agent_name: row.kept for row in rows}["a"]


def test_an_amount_beyond_bounds_written_past_the_functions_is_refused(registry):
    register(registry, "a")
    for column in AMOUNTS:
        with refused("23514"):
            registry.execute(
                sql.SQL("UPDATE tiny_dancer.agents SET {} = 1e300").format(sql.Identifier(column))
            )


def test_a_vector_of_another_dimension_written_past_the_functions(registry):
    """It can be no vector of this model; nor can one that is not of unit length."""
    register(registry, "a")
    statement = "UPDATE tiny_dancer.agent_embeddings SET embedding = %s"
    with refused("23503"):
        registry.execute(statement, ["[1,0,0]"])
    for vector in ([0] * 384, [1] * 384, [1.01] + [0] * 383):
        with refused("23514"):
            registry.execute(statement, [str(vector)])
    assert call(registry, "ruvector_route", request="hello")


def test_nul_and_surrogates_can_not_come_in(registry):
    for text in ("a\\u0000b", "\\ud800"):
        with refused("22P05" if "0000" in text else "22P02"):
            registry.execute(
                "SELECT ruvector_register_agent('x', 'llm', '{c}', metadata := %s)",
                ['{"k": "' + text + '"}'],
            )
