"""What is optimised for: targets, the dial between quality and cost, ties, alternatives."""

from __future__ import annotations

import pytest
from registration import call, chosen, explain, register, register_four, route


@pytest.fixture
def four(registry):
    register_four(registry)
    return registry


def test_balanced_is_the_default(four):
    assert route(four) == route(four, optimize_for="balanced")


def test_quality_per_dollar(registry):
    register(registry, "dear", cost_per_call=0.10, quality_score=0.99)
    register(registry, "fair", cost_per_call=0.01, quality_score=0.60)
    register(registry, "poor", cost_per_call=0.009, quality_score=0.30)
    assert chosen(registry, optimize_for="quality_per_dollar") == "fair"


def test_the_dial_goes_from_the_best_to_the_cheapest(four):
    assert chosen(four, cost_weight=0.0) == "gpt-4"
    assert chosen(four, cost_weight=1.0) == "llama-2"
    steps = [route(four, cost_weight=step / 20) for step in range(21)]
    costs = [step.estimated_cost for step in steps]
    qualities = [step.expected_quality for step in steps]
    assert costs == sorted(costs, reverse=True)
    assert qualities == sorted(qualities, reverse=True)
    assert len({step.agent_name for step in steps}) >= 2


def test_balanced_weights_are_settings(four):
    for name, winner in (("cost", "llama-2"), ("latency", "gpt-3.5"), ("quality", "gpt-4")):
        for weight in ("cost", "latency", "quality"):
            value = "1" if weight == name else "0"
            if value == "1":
                call(four, "tiny_dancer.set", name=f"weight_{weight}", value=value)
        for weight in ("cost", "latency", "quality"):
            if weight != name:
                call(four, "tiny_dancer.set", name=f"weight_{weight}", value="0")
        assert chosen(four) == winner


def test_a_tie_goes_to_the_cheaper(registry):
    register(registry, "a-dear", quality_score=0.9, cost_per_call=2)
    register(registry, "b-cheap", quality_score=0.9, cost_per_call=1)
    decision = route(registry, optimize_for="quality")
    assert decision.agent_name == "b-cheap"
    assert "same score" in decision.reasoning
    assert "$2" in decision.reasoning


def test_a_tie_in_cost_goes_to_the_faster(registry):
    register(registry, "a-slow", quality_score=0.9, cost_per_call=1, avg_latency_ms=900)
    register(registry, "b-fast", quality_score=0.9, cost_per_call=1, avg_latency_ms=100)
    decision = route(registry, optimize_for="quality")
    assert decision.agent_name == "b-fast"
    assert "900 ms" in decision.reasoning


def test_a_tie_in_everything_goes_by_name(registry):
    for name in ("b", "a", "B", "ä", "z"):
        register(registry, name, quality_score=0.9, cost_per_call=1, avg_latency_ms=100)
    call(registry, "tiny_dancer.set", name="alternatives", value="10")
    decision = route(registry)
    assert decision.agent_name == "B"
    assert [a["agent_name"] for a in decision.alternatives] == ["a", "b", "z", "ä"]
    assert "alphabet" in decision.reasoning


def test_what_is_unknown_loses_a_tie(registry):
    register(registry, "a-unknown", quality_score=0.9)
    register(registry, "b-known", quality_score=0.9, cost_per_call=5, avg_latency_ms=5000)
    decision = route(registry, optimize_for="quality")
    assert decision.agent_name == "b-known"
    assert "its cost is unknown" in decision.reasoning


def test_alternatives_are_the_next_ranks(four):
    ranked = [name for name, row in explain(four).items() if row.kept]
    decision = route(four)
    assert [decision.agent_name, *(a["agent_name"] for a in decision.alternatives)] == ranked
    scores = [a["score"] for a in decision.alternatives]
    assert scores == sorted(scores, reverse=True)
    assert set(decision.alternatives[0]) == {
        *("agent_name", "score", "expected_quality", "similarity"),
        *("estimated_cost", "estimated_latency_ms"),
    }


@pytest.mark.parametrize("most", [0, 1, 2, 100])
def test_how_many_alternatives_is_a_setting(four, most):
    call(four, "tiny_dancer.set", name="alternatives", value=str(most))
    assert len(route(four).alternatives) == min(most, 3)


def test_an_agent_without_capabilities_can_be_chosen(registry):
    register(registry, "mute", capabilities=[], cost_per_call=1)
    decision = route(registry)
    assert decision.agent_name == "mute"
    assert decision.similarity is None


def test_a_free_agent_does_not_divide_by_zero(registry):
    register(registry, "free", cost_per_call=0, quality_score=0.1)
    register(registry, "paid", cost_per_call=1, quality_score=1)
    for target in ("cost", "quality_per_dollar"):
        assert chosen(registry, optimize_for=target) == "free"


def test_a_given_embedding_stands_for_the_text(meaning_db):
    register(meaning_db, "coder", ["code", "debugging"], quality_score=0.8)
    register(meaning_db, "cook", ["recipes", "cooking"], quality_score=0.8)
    [(vector,)] = meaning_db.execute("SELECT ruvector_embed('How do I bake bread?')::real[]")
    assert chosen(meaning_db, "Fix this bug in my code") == "coder"
    assert chosen(meaning_db, "Fix this bug in my code", embedding=vector) == "cook"


def test_the_length_of_a_given_embedding_does_not_matter(registry):
    register_four(registry)
    [(vector,)] = registry.execute("SELECT ruvector_embed('hello there')::real[]")
    scaled = [1000 * element for element in vector]
    assert explain(registry, embedding=vector) == explain(registry, embedding=scaled)
