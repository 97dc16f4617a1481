"""The plan's "SQL Interface": every statement letter by letter, in order, with what it promises.

| statement | returns |
|---|---|
| REGISTER_* | true |
| LIST | the three agents as registered, nothing invented of their outcomes |
| ROUTE_CHEAPEST | one agent; latency and cost of the cheapest |
| ROUTE_WITHIN_LIMITS | gpt-4, the only agent that meets them |
| ROUTE_MULTI | three steps, three agents |
| CREATE_* | true, and a WARNING that the target is not registered |
| SEMANTIC_ROUTE | customer_support first, for the support-agent |
| ANALYTICS | what was recorded, by agent |
| OPTIMIZE | a row for each agent, shares within the budget |
| ROUTE_PER_DOLLAR | one agent whose cost fits the budget |
| BATCH | a row for each request, in order |
| CLASSIFY | the classification of each row of the table |
"""

import pytest
from plan_statements import (
    ANALYTICS,
    BATCH,
    CLASSIFY,
    CREATE_DOCS,
    CREATE_SUPPORT,
    LIST,
    OPTIMIZE,
    REGISTER_GPT,
    REGISTER_HAIKU,
    REGISTER_SPECIALIST,
    ROUTE_CHEAPEST,
    ROUTE_MULTI,
    ROUTE_PER_DOLLAR,
    ROUTE_WITHIN_LIMITS,
    SEMANTIC_ROUTE,
)

# What the plan takes for granted between its statements: outcomes, and a table of requests.
OUTCOMES = """
SELECT count(ruvector_record_usage('gpt-4', 0.03, i <> 1, 2500)) FROM generate_series(1, 4) AS i;
SELECT count(ruvector_record_usage('claude-3-haiku', 0.00025, true, 400))
FROM generate_series(1, 6) AS i;
CREATE TABLE pending_requests (request_id int, content text);
INSERT INTO pending_requests VALUES
    (1, 'Translate this letter into French'), (2, 'Write a function that sorts a list');
"""
AGENTS = ("claude-3-haiku", "code-specialist", "gpt-4")


def test_the_interface_of_the_plan_in_order(meaning_db):
    db = meaning_db
    db.execute("SELECT * FROM tiny_dancer.setup()")
    warnings = []
    db.add_notice_handler(lambda notice: warnings.append(notice.severity_nonlocalized))

    for registration in (REGISTER_GPT, REGISTER_HAIKU, REGISTER_SPECIALIST):
        assert db.execute(registration).fetchall() == [(True,)]
    check_list(db.execute(LIST).fetchall())
    check_cheapest(db.execute(ROUTE_CHEAPEST).fetchall())
    [within_limits] = db.execute(ROUTE_WITHIN_LIMITS).fetchall()
    assert within_limits.agent_name == "gpt-4"
    check_multi(db.execute(ROUTE_MULTI).fetchall())

    assert warnings == []
    for creation in (CREATE_SUPPORT, CREATE_DOCS):
        assert db.execute(creation).fetchall() == [(True,)]
    assert warnings == ["WARNING"] * 2
    check_semantic_route(db.execute(SEMANTIC_ROUTE).fetchall())

    db.execute(OUTCOMES)
    check_analytics(db.execute(ANALYTICS).fetchall())
    check_optimized(db.execute(OPTIMIZE).fetchall())
    [per_dollar] = db.execute(ROUTE_PER_DOLLAR).fetchall()
    assert per_dollar.agent_name in AGENTS
    assert per_dollar.estimated_cost <= 10.0
    check_batch(db.execute(BATCH).fetchall())
    check_classified(db.execute(CLASSIFY).fetchall())


def check_list(rows):
    assert tuple(row.name for row in rows) == AGENTS
    haiku, specialist, gpt = rows
    assert gpt.capabilities == ["reasoning", "code", "analysis", "creative"]
    assert (gpt.cost_per_1k_tokens, gpt.avg_latency_ms, gpt.quality_score) == (0.03, 2500.0, 0.95)
    assert gpt.metadata == {"provider": "openai", "context_window": 128000}
    assert haiku.cost_per_1k_tokens == 0.00025
    assert (specialist.agent_type, specialist.cost_per_call) == ("tool", 0.001)
    assert {(row.p99_latency_ms, row.success_rate, row.total_requests) for row in rows} == {
        (None, None, 0)
    }


def check_cheapest(rows):
    [decision] = rows
    assert decision._fields[:4] == (
        *("agent_name", "confidence", "estimated_cost", "estimated_latency_ms"),
    )
    assert decision.agent_name == "claude-3-haiku"
    assert decision.estimated_latency_ms == 400
    assert 0.0 < decision.estimated_cost < 0.001
    assert 0.5 < decision.confidence < 1.0


def check_multi(rows):
    assert [row.step for row in rows] == [1, 2, 3]
    assert {row.agent_name for row in rows} == set(AGENTS)
    assert rows[0].total_latency_ms == 2500 + 400 + 100


def check_semantic_route(rows):
    best = rows[0]
    assert best._fields[:4] == ("route_name", "similarity", "target_agent", "confidence")
    assert (best.route_name, best.target_agent) == ("customer_support", "support-agent")
    assert 0.1 < best.similarity < 1.0
    assert 0.5 < best.confidence < 1.0
    assert best.target_active is False


def check_analytics(rows):
    shown = {row.agent: row for row in rows}
    assert set(shown) == {"gpt-4", "claude-3-haiku"}
    gpt, haiku = shown["gpt-4"], shown["claude-3-haiku"]
    assert (gpt.total_requests, haiku.total_requests) == (4, 6)
    assert (gpt.total_cost, haiku.total_cost) == pytest.approx((0.12, 0.0015))
    assert (gpt.avg_latency_ms, haiku.avg_latency_ms) == (2500, 400)
    assert (gpt.success_rate, haiku.success_rate) == (0.75, 1.0)


def check_optimized(rows):
    shares = {row.agent: row.allocated_budget for row in rows}
    assert tuple(sorted(shares)) == AGENTS
    assert sum(shares.values()) + rows[0].unallocated == pytest.approx(100.0)
    # Too slow for 2 s.
    assert shares["gpt-4"] == 0.0
    assert shares["code-specialist"] == pytest.approx(100.0)


def check_batch(rows):
    assert [(row.ordinal, row.request) for row in rows] == [
        (1, "Simple question 1"),
        (2, "Complex analysis task"),
        (3, "Code generation request"),
    ]
    assert [row.agent_name for row in rows] == ["claude-3-haiku"] * 3
    assert [row.error for row in rows] == [None] * 3


def check_classified(rows):
    found = {row.request_id: row.classification for row in rows}
    assert {key: kind["top_category"] for key, kind in found.items()} == {
        1: "translation",
        2: "code",
    }
    for kind in found.values():
        assert kind["confidence"] == kind["classifications"][0][1]
        assert sum(share for _, share in kind["classifications"]) == pytest.approx(1.0, abs=1e-5)
