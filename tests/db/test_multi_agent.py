"""ruvector_route_multi: the plan's example, its totals, and what it refuses."""

import pytest
from refusal import refused
from registration import register_plan_agents

STRATEGIES = ["pipeline", "parallel", "ensemble"]


def test_the_plans_example_runs_verbatim(meaning_db):
    register_plan_agents(meaning_db)
    rows = meaning_db.execute("""
        SELECT * FROM ruvector_route_multi(
            request := 'Build and deploy a web application',
            num_agents := 3,
            strategy := 'pipeline' -- or 'parallel', 'ensemble'
        )""").fetchall()
    assert [row.step for row in rows] == [1, 2, 3]
    assert {row.agent_name for row in rows} == {"gpt-4", "claude-3-haiku", "code-specialist"}


def test_a_pipeline_follows_the_parts_of_the_request(meaning_db):
    register_plan_agents(meaning_db)
    rows = meaning_db.execute(
        "SELECT * FROM ruvector_route_multi("
        "'Classify the tickets, then debug the crash', 2, 'pipeline')"
    ).fetchall()
    assert [(row.role, row.agent_name) for row in rows] == [
        ("classification", "claude-3-haiku"),
        ("debugging", "code-specialist"),
    ]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_totals_follow_from_the_strategy(registry, strategy):
    register_plan_agents(registry)
    rows = registry.execute(
        "SELECT * FROM ruvector_route_multi('some request', 3, %s)", [strategy]
    ).fetchall()
    together = sum if strategy == "pipeline" else max
    assert rows[0].total_cost == pytest.approx(sum(row.estimated_cost for row in rows))
    assert rows[0].total_latency_ms == together(row.estimated_latency_ms for row in rows)
    assert sum(row.weight for row in rows) == pytest.approx(1.0)
    assert len({row.agent_name for row in rows}) == 3


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_constraints_hold_for_every_agent(registry, strategy):
    register_plan_agents(registry)
    rows = registry.execute(
        "SELECT * FROM ruvector_route_multi('some request', 3, %s, max_cost := 0.005)", [strategy]
    ).fetchall()
    assert {row.agent_name for row in rows} == {"claude-3-haiku", "code-specialist"}


@pytest.mark.parametrize(
    "arguments",
    [
        "'some request', 0",
        "'some request', 51",
        "'some request', NULL",
        "'some request', 3, NULL",
        "'some request', 3, 'swarm'",
        "'', 3, 'parallel'",
        "NULL, 3, 'ensemble'",
        "'some request', 3, 'pipeline', 'fame'",
    ],
)
def test_bad_arguments_are_refused(registry, arguments):
    register_plan_agents(registry)
    with refused("22023"):
        registry.execute(f"SELECT * FROM ruvector_route_multi({arguments})")


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_nobody_fits(registry, strategy):
    register_plan_agents(registry)
    with refused("TD001"):
        registry.execute(
            "SELECT * FROM ruvector_route_multi('x', 3, %s, max_cost := 0.0000001)", [strategy]
        )


def test_a_pipeline_works_with_vectors_of_the_caller(db):
    db.execute("SELECT tiny_dancer.use_model('mine', provider := 'external', dimension := 3)")
    for name, vector in (("a", [1, 0, 0]), ("b", [0, 1, 0])):
        db.execute(
            "SELECT ruvector_register_agent(%s, 'llm', %s, cost_per_call := 1,"
            " capability_embedding := %s::real[])",
            [name, [f"skill-{name}"], vector],
        )
    rows = db.execute(
        "SELECT * FROM ruvector_route_multi('do this and that', 2, 'pipeline',"
        " embedding := '{0,1,0}')"
    ).fetchall()
    assert [(row.agent_name, row.role) for row in rows] == [("b", "skill-b"), ("a", "skill-a")]
