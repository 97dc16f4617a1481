"""Calibrating the dial: what it promises is what routing gives; what is refused; who may."""

from __future__ import annotations

import pytest
from psycopg import sql
from refusal import refused
from registration import call, register, route

QUESTIONS = "SELECT 'question ' || n || repeat(' and more', n % 7) FROM generate_series(1, 60) n"
AGENTS = {
    "large": (["reasoning", "analysis"], 0.03, 0.95),
    "medium": (["summaries", "translation"], 0.004, 0.85),
    "small": (["simple tasks", "classification"], 0.0005, 0.75),
}


@pytest.fixture(scope="module")
def agents(shared_db):
    for name, (capabilities, price, quality) in AGENTS.items():
        register(
            shared_db,
            name,
            capabilities,
            cost_per_1k_tokens=price,
            quality_score=quality,
            avg_latency_ms=100.0,
        )
    return shared_db


@pytest.fixture
def changed(agents):
    with agents.transaction(force_rollback=True):
        yield agents


def calibrate(session, query=QUESTIONS, **arguments):
    [row] = call(session, "ruvector_calibrate_router", query=query, **arguments)
    return row


def routed(session, cost_weight, requests):
    """Route each request by itself; return mean quality, mean cost and each agent's share."""
    rows = [route(session, text, cost_weight=cost_weight, **more) for text, more in requests]
    count = len(rows)
    shares = {name: sum(row.agent_name == name for row in rows) / count for name in AGENTS}
    quality = sum(row.expected_quality for row in rows) / count
    return quality, sum(row.estimated_cost for row in rows) / count, shares


def questions(session):
    return [(row[0], {}) for row in session.execute(QUESTIONS)]


@pytest.mark.parametrize(
    "targets",
    [
        {"quality_target": 0.99},
        {"quality_target": 0.97},
        {"quality_target": 0.9},
        {"quality_target": 0.0},
        {"max_strong_share": 0.0},
        {"max_strong_share": 0.3},
        {"max_strong_share": 1.0},
        {"quality_target": 0.9, "max_strong_share": 0.8},
    ],
)
def test_routing_with_the_dial_gives_what_it_promises(agents, targets):
    found = calibrate(agents, **targets)
    quality, cost, shares = routed(agents, found.cost_weight, questions(agents))
    assert found.expected_quality == pytest.approx(quality, rel=1e-9)
    assert found.expected_cost == pytest.approx(cost, rel=1e-9)
    assert found.strong_share == pytest.approx(shares["large"])
    assert (found.strong_agent_name, found.best_agent_name) == ("large", "large")
    assert found.requests == 60
    assert found.quality_kept == pytest.approx(found.expected_quality / found.best_quality)
    if "quality_target" in targets:
        assert found.quality_kept >= targets["quality_target"] - 1e-9
    assert found.strong_share <= targets.get("max_strong_share", 1.0)


def test_a_batch_gives_the_same(agents):
    found = calibrate(agents, quality_target=0.93)
    rows = call(
        agents,
        "ruvector_batch_route",
        requests=[text for text, _ in questions(agents)],
        cost_weight=found.cost_weight,
    )
    assert sum(row.confidence for row in rows) / 60 == pytest.approx(found.expected_quality)
    assert sum(row.estimated_cost for row in rows) / 60 == pytest.approx(found.expected_cost)


def test_a_little_further_misses_the_target(agents):
    for targets, step in (({"quality_target": 0.93}, 1e-6), ({"max_strong_share": 0.3}, -1e-6)):
        found = calibrate(agents, **targets)
        assert 0 < found.cost_weight < 1
        quality, _, shares = routed(agents, found.cost_weight + step, questions(agents))
        misses = quality / found.best_quality < 0.93 if step > 0 else shares["large"] > 0.3
        assert misses


def test_what_the_best_agent_alone_would_lead_to(agents):
    found = calibrate(agents, quality_target=0.9)
    alone = [
        route(agents, text, excluded_agents=["medium", "small"]) for text, _ in questions(agents)
    ]
    assert found.best_quality == pytest.approx(sum(row.expected_quality for row in alone) / 60)
    assert found.best_cost == pytest.approx(sum(row.estimated_cost for row in alone) / 60)


def test_recorded_requests_are_the_default(changed):
    call(changed, "tiny_dancer.set", name="store_request_text", value="1")
    for text, _ in questions(changed)[:30]:
        route(changed, text, record=True)
    found = calibrate(changed, None, quality_target=0.93)
    assert found.requests == 30
    recorded = changed.execute(
        "SELECT d.request, v.embedding::vector::real[] FROM tiny_dancer.decisions d"
        " JOIN tiny_dancer.request_vectors v ON v.decision_id = d.id"
    )
    requests = [(text, {"embedding": vector}) for text, vector in recorded]
    quality, cost, shares = routed(changed, found.cost_weight, requests)
    assert found.expected_quality == pytest.approx(quality, rel=1e-6)
    assert found.expected_cost == pytest.approx(cost)
    assert found.strong_share == pytest.approx(shares["large"])
    found = calibrate(changed, None, quality_target=0.93, time_range="1 hour")
    assert found.requests == 30
    changed.execute("UPDATE tiny_dancer.decisions SET decided_at = now() - interval '2 hours'")
    with refused("22023", "no requests to calibrate by"):
        calibrate(changed, None, quality_target=0.93, time_range="1 hour")


def test_whose_share_is_bounded_can_be_said(agents):
    found = calibrate(agents, max_strong_share=0.2, strong_agent="medium")
    assert found.strong_agent_name == "medium"
    _, _, shares = routed(agents, found.cost_weight, questions(agents))
    assert shares["medium"] == pytest.approx(found.strong_share)
    assert found.strong_share <= 0.2


def test_health_of_the_moment_does_not_count(changed):
    before = calibrate(changed, quality_target=0.9)
    call(changed, "ruvector_set_budget", limit_amount=0.0, period="day", agent="large")
    assert calibrate(changed, quality_target=0.9) == before


def test_one_agent_leaves_nothing_to_choose(changed):
    for name in ("medium", "small"):
        call(changed, "ruvector_set_agent_active", name=name, is_active=False)
    found = calibrate(changed, quality_target=1.0)
    assert (found.cost_weight, found.strong_share) == (1.0, 1.0)
    assert found.quality_kept == pytest.approx(1.0)
    with refused("22023", "as little as 0.5", detail="takes 1.0000"):
        calibrate(changed, max_strong_share=0.5)


def test_an_unknown_price_gives_no_cost(changed):
    changed.execute("UPDATE tiny_dancer.agents SET cost_per_1k_tokens = NULL")
    found = calibrate(changed, quality_target=0.9)
    assert (found.expected_cost, found.best_cost) == (None, None)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "both NULL"),
        ({"quality_target": 1.1}, "quality_target is 1.1"),
        ({"quality_target": -0.1}, "quality_target is -0.1"),
        ({"quality_target": float("nan")}, "quality_target is nan"),
        ({"max_strong_share": 2.0}, "max_strong_share is 2.0"),
        ({"max_strong_share": float("nan")}, "max_strong_share is nan"),
        ({"quality_target": 0.9, "query": ""}, "query must not be empty"),
        ({"quality_target": 0.9, "query": "SELECT 1, 2"}, "returns 2 columns"),
        ({"quality_target": 0.9, "query": "SELECT NULL::text"}, "request 1 must not be empty"),
        ({"quality_target": 0.9, "query": "SELECT 'a' WHERE false"}, "no requests"),
        ({"quality_target": 0.9, "query": None, "time_range": None}, "time_range is NULL"),
        ({"quality_target": 0.9, "query": None, "time_range": "-1 day"}, "time_range is"),
        ({"quality_target": 0.9, "strong_agent": ""}, "strong_agent must not be empty"),
        (
            {"quality_target": 0.9, "query": "SELECT n::text FROM generate_series(1, 20001) n"},
            "returns 20001 requests",
        ),
    ],
)
def test_calls_that_make_no_sense(agents, arguments, message):
    with refused("22023", message):
        call(agents, "ruvector_calibrate_router", **({"query": QUESTIONS} | arguments))


def test_an_unknown_agent_is_refused(agents):
    with refused("42704", "unknown agent 'nobody'"):
        calibrate(agents, max_strong_share=0.5, strong_agent="nobody")


def test_targets_that_exclude_each_other(agents):
    with refused(
        "22023", "keeps 0.99 .* at most 0.1 of the requests to large", detail="large takes"
    ):
        calibrate(agents, quality_target=0.99, max_strong_share=0.1)


def test_without_agents_nothing_can_be_calibrated(changed):
    for name in AGENTS:
        call(changed, "ruvector_remove_agent", name=name)
    with refused("22023", "no agent fits"):
        calibrate(changed, quality_target=0.9)


def test_the_query_can_not_write(agents):
    agents.execute("CREATE TABLE noted (content text)")
    with refused("0A000"):
        calibrate(
            agents,
            "WITH w AS (INSERT INTO noted VALUES ('x') RETURNING content) SELECT content FROM w",
            quality_target=0.9,
        )
    agents.execute(
        "CREATE FUNCTION note() RETURNS text LANGUAGE sql AS"
        " $$INSERT INTO noted VALUES ('x') RETURNING content$$"
    )
    with refused("25006"):
        calibrate(agents, "SELECT note()", quality_target=0.9)
    with refused("42601"):
        calibrate(agents, "SELECT 'a'; DROP TABLE noted", quality_target=0.9)
    assert agents.execute("SELECT * FROM noted").fetchall() == []
    agents.execute("DROP TABLE noted CASCADE; DROP FUNCTION note()")


def test_it_works_where_nothing_can_be_written(agents):
    with agents.transaction():
        agents.execute("SET TRANSACTION READ ONLY")
        assert calibrate(agents, quality_target=0.9).requests == 60


def test_the_query_runs_as_the_caller(new_role, db, connect):
    register(db, "large", cost_per_1k_tokens=0.03, quality_score=0.9)
    db.execute("CREATE TABLE secrets AS SELECT 'hidden' AS content")
    usage, admin = new_role("usage"), new_role("admin")
    db.execute("SELECT tiny_dancer.grant_usage(%s)", [usage])
    db.execute("SELECT tiny_dancer.grant_admin(%s)", [admin])
    with refused("42501", "ruvector_calibrate_router"):
        calibrate(connect(user=usage), quality_target=0.9)
    session = connect(user=admin)
    with refused("42501", "secrets"):
        calibrate(session, "SELECT content FROM secrets", quality_target=0.9)
    assert calibrate(session, quality_target=0.9)
    with refused("42501", "vectors of recorded requests", hint="GRANT SELECT ON"):
        calibrate(session, None, quality_target=0.9)
    route(db, record=True)
    db.execute(
        sql.SQL("GRANT SELECT ON tiny_dancer.request_vectors TO {}").format(sql.Identifier(admin))
    )
    assert calibrate(session, None, quality_target=0.9).requests == 1
