"""Registering, listing, getting, removing and switching agents."""

from __future__ import annotations

import pytest
from refusal import refused
from registration import agent_names, call, chosen, explain, register, route

EVERYTHING = {
    "cost_per_1k_tokens": 0.01,
    "cost_per_1k_output_tokens": 0.03,
    "cost_per_call": 0.002,
    "cost_per_second": 0.0001,
    "avg_latency_ms": 321.5,
    "quality_score": 0.875,
    "metadata": '{"provider": "p", "nested": {"a": [1, 2.5, null, true, "é"]}}',
    "pool": "large",
    "weight": 2.5,
    "max_concurrent": 7,
    "tags": ["eu", "beta"],
}
METADATA = {"provider": "p", "nested": {"a": [1, 2.5, None, True, "é"]}}


def get(session, name):
    [row] = call(session, "ruvector_get_agent", name=name)
    return row[0]


def test_everything_that_is_registered_is_kept(registry):
    assert register(registry, "a", ["code", "law"], "API", **EVERYTHING) is True
    [listed] = call(registry, "ruvector_list_agents")
    for column, value in EVERYTHING.items():
        if column not in ("metadata", "weight", "max_concurrent"):
            assert getattr(listed, column) == value, column
    assert listed.metadata == METADATA
    assert listed.agent_type == "api"
    assert listed.capabilities == ["code", "law"]
    agent = get(registry, "a")
    assert {key: agent[key] for key in EVERYTHING} == {**EVERYTHING, "metadata": METADATA}


def test_list_has_the_columns_of_the_contract(registry):
    columns = [
        *("name", "agent_type", "capabilities", "cost_per_1k_tokens", "cost_per_1k_output_tokens"),
        *("cost_per_call", "cost_per_second", "avg_latency_ms", "p99_latency_ms", "quality_score"),
        *("success_rate", "total_requests", "pool", "tags", "metadata", "active"),
    ]
    cursor = registry.execute("SELECT * FROM ruvector_list_agents()")
    assert [column.name for column in cursor.description] == columns


def test_names_are_listed_in_the_order_of_their_code_points(registry):
    for name in ("b", "a", "ä", "B", "a b", "a-b"):
        register(registry, name)
    assert agent_names(registry) == ["B", "a", "a b", "a-b", "b", "ä"]


@pytest.mark.parametrize("kind", ["llm", "LLM", "Tool", "api", "human", " Human "])
def test_agent_types_ignore_case(registry, kind):
    register(registry, "a", agent_type=kind)
    assert get(registry, "a")["agent_type"] == kind.strip().lower()


@pytest.mark.parametrize("name", ["x" * 200, "é€😀", "a b", "semi;colon'quote\"", "NULL", "{}"])
def test_unusual_names_are_names(registry, name):
    register(registry, name)
    assert agent_names(registry) == [name]
    assert chosen(registry) == name
    assert get(registry, name)["name"] == name
    assert call(registry, "ruvector_remove_agent", name=name) == [(True,)]


def test_only_what_was_passed_changes(registry):
    register(registry, "a", **EVERYTHING)
    before = get(registry, "a")
    register(registry, "a", quality_score=0.5)
    changed = {k for k, v in get(registry, "a").items() if v != before[k]}
    assert changed <= {"quality_score", "updated_at"}
    assert get(registry, "a")["quality_score"] == 0.5


def test_registering_again_does_not_switch_an_agent_on(registry):
    register(registry, "a")
    call(registry, "ruvector_set_agent_active", name="a", is_active=False)
    register(registry, "a", quality_score=0.5)
    assert get(registry, "a")["active"] is False


def test_capabilities_are_trimmed_and_named_once(registry):
    register(registry, "a", ["Code", " code ", "CODE", "law"])
    assert get(registry, "a")["capabilities"] == ["Code", "law"]


def test_new_capabilities_change_the_similarity(meaning_db):
    register(meaning_db, "a", ["cooking"])
    register(meaning_db, "b", ["chess"])
    before = explain(meaning_db, "Fix this Python bug")["a"].similarity
    register(meaning_db, "a", ["python debugging"])
    assert explain(meaning_db, "Fix this Python bug")["a"].similarity > before + 0.2


def test_capabilities_that_are_taken_away_leave_no_similarity(registry):
    register(registry, "a", ["code"])
    assert route(registry).similarity is not None
    register(registry, "a", [])
    assert route(registry).similarity is None


def test_a_given_vector_is_compared_with_requests(registry):
    [(vector,)] = registry.execute("SELECT ruvector_embed('say hello to me')::real[]")
    register(registry, "a", ["unrelated"], capability_embedding=vector)
    assert route(registry, "say hello to me").similarity == pytest.approx(1.0)


def test_a_given_vector_stays_when_something_else_changes(registry):
    [(vector,)] = registry.execute("SELECT ruvector_embed('say hello to me')::real[]")
    register(registry, "a", ["unrelated"], capability_embedding=vector)
    register(registry, "a", ["unrelated"], quality_score=0.9)
    assert route(registry, "say hello to me").similarity == pytest.approx(1.0)
    register(registry, "a", [], quality_score=0.9)
    assert route(registry, "say hello to me").similarity == pytest.approx(1.0)


def test_a_removed_agent_is_gone_and_its_row_stays(registry):
    register(registry, "a")
    register(registry, "b")
    assert call(registry, "ruvector_remove_agent", name="a") == [(True,)]
    assert agent_names(registry) == ["b"]
    assert chosen(registry) == "b"
    with refused("42704", "unknown agent 'a'", hint="ruvector_list_agents"):
        get(registry, "a")
    query = "SELECT active, removed_at IS NULL FROM tiny_dancer.agents WHERE name = 'a'"
    assert registry.execute(query).fetchall() == [(False, False)]
    [(vectors,)] = registry.execute("SELECT count(*) FROM tiny_dancer.agent_embeddings")
    assert vectors == 1


def test_a_name_registered_again_is_a_new_agent(registry):
    register(registry, "a", **EVERYTHING)
    call(registry, "ruvector_remove_agent", name="a")
    register(registry, "a")
    agent = get(registry, "a")
    assert agent["quality_score"] is None
    assert agent["metadata"] == {}
    assert agent["active"] is True
    [(rows,)] = registry.execute("SELECT count(DISTINCT id) FROM tiny_dancer.agents")
    assert rows == 2


def test_set_active_answers_the_new_state(registry):
    register(registry, "a")
    for state in (False, False, True):
        answer = call(registry, "ruvector_set_agent_active", name="a", is_active=state)
        assert answer == [(state,)]
        assert get(registry, "a")["active"] is state


@pytest.mark.parametrize("name", ["nobody", "", None, "A"])
@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        ("ruvector_get_agent", {}),
        ("ruvector_remove_agent", {}),
        ("ruvector_set_agent_active", {"is_active": True}),
    ],
)
def test_an_unknown_name_is_an_error(registry, function, arguments, name):
    register(registry, "a")
    with refused("42704", "unknown agent", hint="ruvector_list_agents"):
        call(registry, function, name=name, **arguments)


def test_set_active_needs_a_state(registry):
    register(registry, "a")
    with refused("22023", "is_active must not be NULL", hint="true or false"):
        call(registry, "ruvector_set_agent_active", name="a", is_active=None)


def test_the_table_itself_refuses_what_the_function_refuses(registry):
    columns = {
        "name": ["''", "' a'", "repeat('x', 201)", "NULL"],
        "agent_type": ["'robot'", "'LLM'", "NULL"],
        "capabilities": ["'{NULL}'", "NULL", "array_fill('c'::text, ARRAY[201])"],
        "cost_per_1k_tokens": ["'NaN'", "'Infinity'", "-1"],
        "cost_per_1k_output_tokens": ["'NaN'", "'Infinity'", "-1"],
        "cost_per_call": ["'NaN'", "'Infinity'", "-0.01"],
        "cost_per_second": ["'NaN'", "'Infinity'", "-1"],
        "avg_latency_ms": ["'NaN'", "'Infinity'", "-1"],
        "quality_score": ["'NaN'", "1.01", "-0.01"],
        "metadata": ["'[]'", "'null'", "NULL", "'1'"],
        "weight": ["0", "'NaN'", "'Infinity'", "-1"],
        "max_concurrent": ["0", "-1"],
        "tags": ["'{NULL}'", "NULL"],
    }
    register(registry, "a")
    for column, values in columns.items():
        for value in values:
            with refused("23502" if value == "NULL" else "23514"):
                registry.execute(f"UPDATE tiny_dancer.agents SET {column} = {value}")
