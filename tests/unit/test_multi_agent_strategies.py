import numpy as np
import pytest

from tiny_dancer.agents import Agent, AgentRegistry, CostModel
from tiny_dancer.constraints import RoutingConstraints
from tiny_dancer.errors import InvalidArgumentError, NoSuitableAgentError
from tiny_dancer.multi_agent import Part, check_strategy, ensemble, gather, parallel, pipeline
from tiny_dancer.request import Request
from tiny_dancer.router import Router

DIMENSION = 8


def axis(*indices):
    vector = np.zeros(DIMENSION, dtype=np.float32)
    vector[list(indices)] = 1.0
    return vector / np.linalg.norm(vector)


def agent(name, capability, vector, quality, *, cost=1.0, latency=100.0):
    return Agent(
        name=name,
        capabilities=(capability,),
        cost=CostModel(per_call=cost),
        avg_latency_ms=latency,
        quality_score=quality,
        embedding=vector,
    )


AGENTS = [
    agent("builder", "build", axis(0), 0.9, cost=2.0, latency=300.0),
    agent("builder-twin", "build", axis(0), 0.89, cost=3.0, latency=500.0),
    agent("deployer", "deploy", axis(1), 0.8, cost=5.0, latency=200.0),
    agent("poet", "poetry", axis(2), 0.7, cost=7.0, latency=100.0),
]
VECTORS = {"build": axis(0), "deploy": axis(1), "poetry": axis(2)}


@pytest.fixture
def team():
    router = Router(AgentRegistry(AGENTS))
    return gather(router, Request(10, axis(0, 1, 2)), RoutingConstraints(), "quality")


def test_a_pipeline_gives_each_part_to_the_agent_with_its_capability(team):
    parts = [Part("deploy it", axis(1)), Part("write verse", axis(2)), Part("build it", axis(0))]
    plan = pipeline(team, parts, VECTORS)
    assert [a.agent_name for a in plan.assignments] == ["deployer", "poet", "builder"]
    assert [a.role for a in plan.assignments] == ["deploy", "poetry", "build"]
    assert [a.step for a in plan.assignments] == [1, 2, 3]
    assert plan.total_cost == pytest.approx(5.0 + 7.0 + 2.0)
    assert plan.total_latency_ms == pytest.approx(200.0 + 100.0 + 300.0)


def test_a_pipeline_never_names_an_agent_twice(team):
    parts = [Part("build", axis(0))] * 4
    names = [a.agent_name for a in pipeline(team, parts, VECTORS).assignments]
    assert sorted(names) == sorted(a.name for a in AGENTS)
    assert names[0] == "builder"


def test_parallel_prefers_another_capability_to_a_twin(team):
    plan = parallel(team, 2)
    names = [a.agent_name for a in plan.assignments]
    assert names[0] == "builder"
    assert names[1] == "deployer"
    assert plan.total_cost == pytest.approx(7.0)
    assert plan.total_latency_ms == pytest.approx(300.0)


def test_an_ensemble_takes_the_best_and_its_weights_sum_to_one(team):
    plan = ensemble(team, 3)
    assert [a.agent_name for a in plan.assignments] == ["builder", "builder-twin", "deployer"]
    weights = [a.weight for a in plan.assignments]
    assert sum(weights) == pytest.approx(1.0)
    assert weights == sorted(weights, reverse=True)
    odds = [np.log(q / (1 - q)) for q in (a.confidence for a in plan.assignments)]
    assert weights == pytest.approx([o / sum(odds) for o in odds])


@pytest.mark.parametrize("strategy", [parallel, ensemble])
def test_asking_for_more_agents_than_fit_gives_those_that_fit(team, strategy):
    assert len(strategy(team, 50).assignments) == len(AGENTS)


def test_an_unknown_cost_makes_the_total_unknown_and_not_smaller():
    agents = [*AGENTS, Agent(name="unpriced", quality_score=0.99, avg_latency_ms=1.0)]
    router = Router(AgentRegistry(agents))
    team = gather(router, Request(10, axis(7)), RoutingConstraints(), "quality")
    plan = ensemble(team, 2)
    assert "unpriced" in {a.agent_name for a in plan.assignments}
    assert plan.total_cost is None
    assert plan.total_latency_ms is not None


def test_nobody_left_is_an_error():
    router = Router(AgentRegistry(AGENTS))
    constraints = RoutingConstraints(max_cost=0.1)
    with pytest.raises(NoSuitableAgentError, match="no agent fits"):
        gather(router, Request(10, axis(0)), constraints, "quality")


@pytest.mark.parametrize("strategy", [None, "", "Pipeline", "swarm"])
def test_an_unknown_strategy_is_an_error_that_lists_the_valid_ones(strategy):
    with pytest.raises(InvalidArgumentError) as raised:
        check_strategy(strategy)
    assert "pipeline, parallel, ensemble" in raised.value.hint
