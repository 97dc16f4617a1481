"""The table of four agents that can all do the same: the target alone decides."""

from __future__ import annotations

import pytest
from registration import chosen, register, register_four, route

WINNERS = {"cost": "llama-2", "quality": "gpt-4", "latency": "gpt-3.5"}


@pytest.fixture(scope="module")
def four(shared_db):
    register_four(shared_db)
    return shared_db


@pytest.mark.parametrize(("target", "winner"), WINNERS.items())
@pytest.mark.parametrize("request_text", ["Say hello", "Prove Fermat's last theorem", "x" * 9000])
def test_target_decides_where_similarity_is_equal(four, target, winner, request_text):
    assert chosen(four, request_text, optimize_for=target) == winner


def test_similarities_are_equal(four):
    decision = route(four, "Say hello")
    similarities = {decision.similarity, *(a["similarity"] for a in decision.alternatives)}
    assert len(similarities) == 1
    assert len(decision.alternatives) == 3


def test_confidence_is_the_registered_quality_where_similarity_is_equal(four):
    decision = route(four, "Say hello", optimize_for="quality")
    assert decision.confidence == pytest.approx(0.95)
    assert decision.confidence_basis == "prior"


def test_content_changes_the_decision_where_capabilities_differ(meaning_db):
    same = {"cost_per_1k_tokens": 0.01, "avg_latency_ms": 500, "quality_score": 0.85}
    register(meaning_db, "coder", ["code", "debugging", "software engineering"], **same)
    register(meaning_db, "counsel", ["law", "contracts", "legal analysis"], **same)
    register(meaning_db, "painter", ["image generation", "illustration"], **same)
    asked = {
        "Fix the null pointer in this Java method": "coder",
        "Is this non-compete clause enforceable in court?": "counsel",
        "Draw a watercolour of a lighthouse": "painter",
    }
    for target in ("quality", "balanced", "cost", "latency", "quality_per_dollar"):
        picked = {text: chosen(meaning_db, text, optimize_for=target) for text in asked}
        assert picked == asked, target
