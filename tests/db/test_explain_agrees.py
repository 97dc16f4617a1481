"""explain_route and route are one decision: for any registry and any demands they agree."""

from __future__ import annotations

import json

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from registration import call, explain, register, register_four, route

CAPABILITIES = ["code", "law", "chat", "vision"]
TARGETS = ["cost", "latency", "quality", "balanced", "quality_per_dollar"]
NAMES = [f"agent-{letter}" for letter in "abcdef"]

fractions = st.none() | st.floats(0, 1)
prices = st.none() | st.sampled_from([0.0, 1e-6, 0.003, 0.5, 20.0])
registered_agent = st.fixed_dictionaries(
    {
        "capabilities": st.lists(st.sampled_from(CAPABILITIES), max_size=3, unique=True),
        "cost_per_1k_tokens": prices,
        "cost_per_call": prices,
        "cost_per_second": prices,
        "avg_latency_ms": st.none() | st.sampled_from([0.0, 50.0, 400.0, 90_000.0]),
        "quality_score": fractions,
        "metadata": st.sampled_from([None, '{"context_window": 300}', '{"context_window": 200}']),
    }
)
demands = st.fixed_dictionaries(
    {"optimize_for": st.sampled_from(TARGETS)},
    optional={
        "required_capabilities": st.lists(st.sampled_from(CAPABILITIES), max_size=2),
        "max_cost": prices,
        "budget_remaining": prices,
        "max_latency_ms": st.sampled_from([0.0, 100.0, 1000.0]),
        "min_quality": fractions,
        "quality_floor": fractions,
        "excluded_agents": st.lists(st.sampled_from(NAMES), max_size=3),
    },
)
requests = st.sampled_from(["Write code", "x" * 180, "Is this legal?", "Say hello " * 30])


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(registered_agent, max_size=len(NAMES)), demands, requests, st.data())
def test_route_chooses_what_explain_ranks_first(registry, agents, demanded, request_text, data):
    registry.execute("TRUNCATE tiny_dancer.agents CASCADE")
    for name, columns in zip(NAMES, agents, strict=False):
        register(registry, name, **columns)
    if demanded["optimize_for"] == "balanced":
        demanded["cost_weight"] = data.draw(fractions)
    rows = explain(registry, request_text, **demanded)
    kept = [row for row in rows.values() if row.kept]
    assert set(rows) == set(NAMES[: len(agents)])
    assert [row.rank for row in kept] == list(range(1, len(kept) + 1))
    assert all(row.kept == (not row.removed_by) for row in rows.values())
    assert all((row.score is None) == (not row.kept) for row in rows.values())
    if not kept:
        with pytest.raises(psycopg.Error) as caught:
            route(registry, request_text, **demanded)
        assert caught.value.sqlstate == "TD001"
        assert_counts(caught.value.diag.message_detail, rows)
        return
    decision = route(registry, request_text, **demanded)
    best = kept[0]
    for column in (
        *("agent_name", "estimated_cost", "estimated_latency_ms", "expected_quality", "similarity"),
    ):
        assert getattr(decision, column) == getattr(best, column), column
    named = [(a["agent_name"], a["score"]) for a in decision.alternatives]
    # Numbers in JSON have nine digits.
    assert named == [(row.agent_name, pytest.approx(row.score, rel=1e-8)) for row in kept[1:4]]
    assert json.dumps(decision.alternatives, allow_nan=False)


def assert_counts(detail, rows):
    """The counts of the error add up to all agents, by the first constraint that each fails."""
    if not rows:
        assert detail == "No agent is registered."
        return
    first_failed = [row.removed_by[0] for row in rows.values()]
    counts = {name: first_failed.count(name) for name in dict.fromkeys(first_failed)}
    noun = "1 agent" if len(rows) == 1 else f"{len(rows)} agents"
    assert detail.startswith(f"Of {noun}: ")
    steps = detail.removeprefix(f"Of {noun}: ").removesuffix(".").split(", ")
    assert dict(step.split(" removed ") for step in steps) == {
        name: str(count) for name, count in counts.items()
    }


def test_the_factors_are_in_their_ranges(registry):
    register_four(registry)
    for target in TARGETS:
        for row in explain(registry, optimize_for=target).values():
            assert 0 <= row.capability_match <= 1
            assert 0 < row.expected_quality < 1
            assert 0 <= row.cost_score <= 1
            assert 0 <= row.latency_score <= 1
            assert 0 <= row.score <= 1


def test_a_factor_of_each_target_makes_its_score(registry):
    register_four(registry)
    for row in explain(registry, optimize_for="cost").values():
        assert row.score == pytest.approx(row.cost_score * row.capability_match, abs=1e-8)
    for row in explain(registry, optimize_for="latency").values():
        assert row.score == pytest.approx(row.latency_score * row.capability_match, abs=1e-8)
    for row in explain(registry, optimize_for="quality").values():
        assert row.score == pytest.approx(row.expected_quality, abs=1e-8)
    for row in explain(registry, optimize_for="balanced").values():
        weighed = 0.3 * row.cost_score + 0.3 * row.latency_score + 0.4 * row.expected_quality
        assert row.score == pytest.approx(weighed * row.capability_match, abs=1e-8)


def test_costs_are_compared_on_a_log_scale(registry):
    for name, price in (("a", 1e-4), ("b", 1e-2), ("c", 1.0)):
        register(registry, name, cost_per_call=price)
    scores = {n: row.cost_score for n, row in explain(registry, optimize_for="cost").items()}
    assert scores == pytest.approx({"a": 1.0, "b": 0.5, "c": 0.0})


def test_removed_agents_are_not_explained(registry):
    register_four(registry)
    call(registry, "ruvector_remove_agent", name="gpt-4")
    assert "gpt-4" not in explain(registry)
