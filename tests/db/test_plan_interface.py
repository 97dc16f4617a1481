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

REGISTER_GPT = """
SELECT ruvector_register_agent(
name := 'gpt-4',
agent_type := 'llm',
capabilities := ARRAY['reasoning', 'code', 'analysis', 'creative'],
cost_per_1k_tokens := 0.03,
avg_latency_ms := 2500,
quality_score := 0.95,
metadata := '{"provider": "openai", "context_window": 128000}'
);
"""
REGISTER_HAIKU = """
SELECT ruvector_register_agent(
name := 'claude-3-haiku',
agent_type := 'llm',
capabilities := ARRAY['fast-response', 'simple-tasks', 'classification'],
cost_per_1k_tokens := 0.00025,
avg_latency_ms := 400,
quality_score := 0.80,
metadata := '{"provider": "anthropic", "context_window": 200000}'
);
"""
REGISTER_SPECIALIST = """
SELECT ruvector_register_agent(
name := 'code-specialist',
agent_type := 'tool',
capabilities := ARRAY['code-execution', 'debugging', 'testing'],
cost_per_call := 0.001,
avg_latency_ms := 100,
quality_score := 0.90
);
"""
LIST = """
SELECT * FROM ruvector_list_agents();
"""
ROUTE_CHEAPEST = """
SELECT * FROM ruvector_route(
request := 'Write a Python function to calculate Fibonacci numbers',
optimize_for := 'cost' -- or 'latency', 'quality', 'balanced'
);
"""
ROUTE_WITHIN_LIMITS = """
SELECT * FROM ruvector_route(
request := 'Analyze this complex legal document',
required_capabilities := ARRAY['reasoning', 'analysis'],
max_cost := 0.10,
max_latency_ms := 5000,
min_quality := 0.90
);
"""
ROUTE_MULTI = """
SELECT * FROM ruvector_route_multi(
request := 'Build and deploy a web application',
num_agents := 3,
strategy := 'pipeline' -- or 'parallel', 'ensemble'
);
"""
CREATE_SUPPORT = """
SELECT ruvector_create_route(
name := 'customer_support',
description := 'Handle customer support inquiries, complaints, and feedback',
embedding := ruvector_embed('Customer support and help requests'),
target_agent := 'support-agent',
priority := 1
);
"""
CREATE_DOCS = """
SELECT ruvector_create_route(
name := 'technical_docs',
description := 'Answer questions about technical documentation and APIs',
embedding := ruvector_embed('Technical documentation and API reference'),
target_agent := 'docs-agent',
priority := 2
);
"""
SEMANTIC_ROUTE = """
SELECT * FROM ruvector_semantic_route(
query := 'How do I reset my password?',
top_k := 3
);
"""
ANALYTICS = """
SELECT * FROM ruvector_routing_analytics(
time_range := '7 days',
group_by := 'agent'
);
"""
OPTIMIZE = """
SELECT * FROM ruvector_optimize_budget(
monthly_budget := 100.00,
quality_threshold := 0.85,
latency_threshold_ms := 2000
);
"""
ROUTE_PER_DOLLAR = """
SELECT * FROM ruvector_route(
request := 'Summarize this article',
budget_remaining := 10.00,
optimize_for := 'quality_per_dollar'
);
"""
BATCH = """
SELECT * FROM ruvector_batch_route(
requests := ARRAY[
'Simple question 1',
'Complex analysis task',
'Code generation request'
],
optimize_for := 'total_cost'
);
"""
CLASSIFY = """
SELECT request_id, ruvector_classify_request(content) AS classification
FROM pending_requests;
"""

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
