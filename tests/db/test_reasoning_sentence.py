"""The reasoning sentence names the numbers that decided, and they are those of the columns."""

from __future__ import annotations

import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from registration import explain, register, register_four, route

FACTS = re.compile(
    r"(?P<name>[\w.-]+) \((?:\$(?P<cost>[\d.]+)|cost unknown), "
    r"(?:(?P<latency>[\d.]+) ms|latency unknown), expected quality (?P<quality>[\d.]+)\)"
)
CANDIDATES = re.compile(r"ranks first of (\d+) candidates")
SCORE = re.compile(r"(?:score of|with) (\d[\d.e-]*\d|\d)(?=[,. ])")


def assert_true(sentence, rows, decision):
    """Every number of the sentence is a number of the decision or of its explanation."""
    named = list(FACTS.finditer(sentence))
    assert named, sentence
    assert named[0]["name"] == decision.agent_name
    for facts in named:
        row = rows[facts["name"]]
        for part, column in (
            ("cost", row.estimated_cost),
            ("latency", row.estimated_latency_ms),
            ("quality", row.expected_quality),
        ):
            if facts[part] is None:
                assert column is None, sentence
            else:
                assert float(facts[part]) == pytest.approx(column, rel=5e-3, abs=5e-4), sentence
    kept = [row for row in rows.values() if row.kept]
    if len(kept) == 1:
        assert "is the only agent that meets the constraints" in sentence
        return
    assert int(CANDIDATES.search(sentence)[1]) == len(kept)
    scores = [float(score) for score in SCORE.findall(sentence)]
    assert scores, sentence
    for score, row in zip(scores, kept, strict=False):
        assert score == pytest.approx(row.score, rel=1e-3, abs=1e-9), sentence


@pytest.mark.parametrize("target", ["cost", "latency", "quality", "balanced", "quality_per_dollar"])
def test_the_sentence_is_true_of_the_numbers(registry, target):
    register_four(registry)
    decision = route(registry, optimize_for=target)
    assert_true(decision.reasoning, explain(registry, optimize_for=target), decision)


@pytest.mark.parametrize("constraint", [{"max_cost": 0.0}, {"max_latency_ms": 200}])
def test_the_sentence_about_the_only_candidate(registry, constraint):
    register_four(registry)
    decision = route(registry, **constraint)
    assert "only agent that meets the constraints" in decision.reasoning
    assert_true(decision.reasoning, explain(registry, **constraint), decision)


def test_money_and_time_are_written_without_exponents(registry):
    register(registry, "tiny", cost_per_call=0.0000123, avg_latency_ms=86_400_000)
    sentence = route(registry).reasoning
    assert "$0.0000123" in sentence
    assert "86400000 ms" in sentence


amounts = st.none() | st.sampled_from([0.0, 1e-7, 0.001, 0.02, 1.0, 250.0, 1e6])
agents = st.lists(
    st.fixed_dictionaries(
        {
            "cost_per_1k_tokens": amounts,
            "cost_per_call": amounts,
            "avg_latency_ms": amounts,
            "quality_score": st.none() | st.floats(0, 1),
        }
    ),
    min_size=1,
    max_size=6,
)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(agents, st.sampled_from(["cost", "latency", "quality", "balanced", "quality_per_dollar"]))
def test_the_sentence_is_true_of_any_registry(registry, registered, target):
    registry.execute("TRUNCATE tiny_dancer.agents CASCADE")
    for ordinal, columns in enumerate(registered):
        register(registry, f"agent-{ordinal}", **columns)
    decision = route(registry, optimize_for=target)
    assert_true(decision.reasoning, explain(registry, optimize_for=target), decision)
