"""The SQL of the plan's "Agent Registration" and "Basic Routing", letter by letter."""

from __future__ import annotations

import pytest
from plan_statements import (
    LIST,
    REGISTER_GPT,
    REGISTER_HAIKU,
    REGISTER_SPECIALIST,
    ROUTE_CHEAPEST,
    ROUTE_WITHIN_LIMITS,
)

REGISTRATION = REGISTER_GPT + REGISTER_HAIKU + REGISTER_SPECIALIST
PLAN_COLUMNS = ("agent_name", "confidence", "estimated_cost", "estimated_latency_ms")


@pytest.fixture
def plan_db(meaning_db):
    meaning_db.execute(REGISTRATION)
    return meaning_db


def test_registration_answers_true(meaning_db):
    cursor = meaning_db.execute(REGISTRATION)
    answers = [cursor.fetchall()]
    while cursor.nextset():
        answers.append(cursor.fetchall())
    assert answers == [[(True,)]] * 3


def test_list_shows_what_was_registered(plan_db):
    listed = {row.name: row for row in plan_db.execute(LIST)}
    assert list(listed) == ["claude-3-haiku", "code-specialist", "gpt-4"]
    gpt = listed["gpt-4"]
    assert gpt.agent_type == "llm"
    assert gpt.capabilities == ["reasoning", "code", "analysis", "creative"]
    assert (gpt.cost_per_1k_tokens, gpt.avg_latency_ms, gpt.quality_score) == (0.03, 2500, 0.95)
    assert gpt.metadata == {"provider": "openai", "context_window": 128000}
    assert (gpt.success_rate, gpt.p99_latency_ms, gpt.total_requests) == (None, None, 0)
    assert listed["code-specialist"].cost_per_call == 0.001
    assert listed["code-specialist"].metadata == {}
    assert all(row.active for row in listed.values())


def test_fibonacci_goes_to_the_cheapest(plan_db):
    decision = plan_db.execute(ROUTE_CHEAPEST).fetchone()
    assert decision.agent_name == "claude-3-haiku"
    assert 0 < decision.confidence < 1
    assert decision._fields[:4] == PLAN_COLUMNS
    assert decision.estimated_latency_ms == 400
    # 54 characters are 13 tokens; 256 more are expected back.
    assert decision.estimated_cost == pytest.approx(0.00025 * (13 + 256) / 1000)


def test_the_legal_document_goes_to_the_agent_that_fits(plan_db):
    decision = plan_db.execute(ROUTE_WITHIN_LIMITS).fetchone()
    assert decision.agent_name == "gpt-4"
    assert decision.alternatives == []


def test_every_target_that_the_plan_names_is_accepted(plan_db):
    for target in ("cost", "latency", "quality", "balanced"):
        row = plan_db.execute(ROUTE_CHEAPEST.replace("'cost'", f"'{target}'")).fetchone()
        assert row.agent_name in ("gpt-4", "claude-3-haiku", "code-specialist")


def test_ten_fresh_connections_give_the_same_answers(plan_db, connect):
    answers = []
    for _ in range(10):
        with connect() as session:
            answers.append(
                [
                    session.execute(query).fetchone()
                    for query in (ROUTE_CHEAPEST, ROUTE_WITHIN_LIMITS)
                ]
            )
    assert [decision.agent_name for decision in answers[0]] == ["claude-3-haiku", "gpt-4"]
    assert answers == [answers[0]] * 10
