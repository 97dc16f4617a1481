"""The decision: estimate, filter, score, rank; and the explanation that goes the same way."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiny_dancer.agents.agent import Agent, CostModel
from tiny_dancer.agents.live_state import LiveState
from tiny_dancer.agents.registry import AgentRegistry
from tiny_dancer.constraints import MAX_LIST_LENGTH, RoutingConstraints
from tiny_dancer.errors import InvalidArgumentError, NoSuitableAgentError
from tiny_dancer.explanation import explain
from tiny_dancer.policies import Weights
from tiny_dancer.request import Request
from tiny_dancer.router import FOUND_ONE_BY_ONE, Router, greatest
from tiny_dancer.settings import Settings

EAST, NORTH = np.array([1, 0], np.float32), np.array([0, 1], np.float32)
TARGETS = ("cost", "latency", "quality", "balanced", "quality_per_dollar")
ANY = RoutingConstraints()


def agent(name, price=None, latency=None, quality=None, embedding=EAST, **columns):
    return Agent(
        name,
        cost=CostModel(per_call=price),
        avg_latency_ms=latency,
        quality_score=quality,
        embedding=embedding,
        **columns,
    )


def request(embedding=EAST, tokens=10):
    return Request(tokens, embedding)


def winner(agents, target="quality", constraints=ANY, **columns):
    return Router(AgentRegistry(agents), **columns).route(request(), constraints, target).agent_name


FOUR = [
    agent("gpt-4", 0.03, 500, 0.95),
    agent("claude-3", 0.025, 400, 0.93),
    agent("gpt-3.5", 0.002, 200, 0.75),
    agent("llama-2", 0.0, 800, 0.70),
]


@pytest.mark.parametrize(
    ("target", "expected"), [("cost", "llama-2"), ("quality", "gpt-4"), ("latency", "gpt-3.5")]
)
@pytest.mark.parametrize("order", list(itertools.permutations(range(4)))[::5])
def test_the_order_of_registration_does_not_matter(target, expected, order):
    assert winner([FOUR[i] for i in order], target) == expected


@pytest.mark.parametrize("target", TARGETS)
def test_what_the_request_means_decides_between_equals(target):
    agents = [agent("a", 1, 1, 0.5, EAST), agent("b", 1, 1, 0.5, NORTH)]
    router = Router(AgentRegistry(agents))
    assert router.route(request(EAST), ANY, target).agent_name == "a"
    assert router.route(request(NORTH), ANY, target).agent_name == "b"


def test_ties_go_by_cost_then_latency_then_name():
    assert winner([agent("a", 2), agent("b", 1)]) == "b"
    assert winner([agent("a", 1, 2), agent("b", 1, 1)]) == "b"
    assert winner([agent("b", 1, 1), agent("a", 1, 1)]) == "a"
    assert winner([agent("a"), agent("b", 1)]) == "b"
    assert winner([agent("a", 1), agent("b", 1, 1)]) == "b"


@pytest.mark.parametrize("count", [1, 3, 4, 5, 8, 9, 10, 1000])
@pytest.mark.parametrize("levels", [2, 5, 10**6])
@pytest.mark.parametrize("most", [1, 4, FOUND_ONE_BY_ONE - 1, FOUND_ONE_BY_ONE, 1000])
def test_the_first_ranks_are_those_of_a_full_sort(count, levels, most):
    generator = np.random.default_rng(count * levels)
    prices, latencies = generator.integers(1, 4, (2, count)).astype(float)
    router = Router(
        AgentRegistry([agent(f"{i:04}", prices[i], latencies[i]) for i in range(count)])
    )
    scores = generator.integers(0, levels, count) / levels
    ranked = router.rank(router.estimate(request()), np.arange(count), scores, most)
    assert ranked == np.lexsort((latencies, prices, -scores))[:most].tolist()


@pytest.mark.parametrize("count", [1, 5, FOUND_ONE_BY_ONE, FOUND_ONE_BY_ONE + 1, 1000])
def test_the_greatest_come_first(count):
    values = np.random.default_rng(count).permutation(count).astype(float)
    assert values[greatest(values, 3)].tolist() == [count - 1.0, count - 2.0, count - 3.0][:count]
    assert values[greatest(values, count)].tolist() == sorted(values, reverse=True)


def test_differences_of_a_billionth_are_ties():
    assert winner([agent("a", 2, quality=0.5 + 1e-12), agent("b", 1, quality=0.5)]) == "b"


def test_all_ties_at_the_edge_of_the_list_are_ordered():
    agents = [agent(f"{i:03}", price=100 - i, quality=0.5) for i in range(100)]
    router = Router(AgentRegistry(agents), Settings(alternatives=2))
    decision = router.route(request(), ANY, "quality")
    names = [decision.agent_name, *(a.agent_name for a in decision.alternatives)]
    assert names == ["099", "098", "097"]


def test_an_agent_without_an_embedding_is_taken_for_average():
    agents = [agent("a", quality=0.5, embedding=None), agent("b", quality=0.5, embedding=EAST)]
    decision = Router(AgentRegistry([*agents, agent("c", embedding=NORTH, quality=0.5)])).route(
        request(), ANY, "quality"
    )
    [of_a] = [a for a in decision.alternatives if a.agent_name == "a"]
    assert decision.agent_name == "b"
    assert of_a.similarity is None
    assert of_a.expected_quality == pytest.approx(0.5)


def test_nobody_with_an_embedding_is_no_obstacle():
    agents = [agent("a", quality=0.4, embedding=None), agent("b", embedding=None)]
    router = Router(AgentRegistry(agents, dimension=2))
    assert router.route(request(), ANY, "quality").agent_name == "b"


@pytest.mark.parametrize(
    ("constraints", "detail"),
    [
        ({"max_cost": 0.5}, "max_cost removed 2"),
        ({"budget_remaining": 0.5}, "budget_remaining removed 2"),
        ({"max_latency_ms": 5}, "max_latency_ms removed 2"),
        ({"min_quality": 0.95}, "min_quality removed 2"),
        ({"quality_floor": 0.999}, "quality_floor removed 2"),
        ({"required_capabilities": ["x"]}, "required_capabilities removed 2"),
        ({"excluded_agents": ["a", "b"]}, "excluded_agents removed 2"),
        (
            {"excluded_agents": ["a"], "max_cost": 0},
            "excluded_agents removed 1, max_cost removed 1",
        ),
    ],
)
def test_the_error_counts_by_constraint(constraints, detail):
    with pytest.raises(NoSuitableAgentError) as caught:
        winner([agent("a", 1, 10, 0.9), agent("b")], constraints=RoutingConstraints(**constraints))
    assert caught.value.detail == f"Of 2 agents: {detail}."
    assert caught.value.sqlstate == "TD001"


def test_health_and_budgets_are_constraints():
    agents = [agent("a", 1), agent("b", 1), agent("c", 1)]
    live = LiveState(
        healthy=np.array([True, False, True]),
        in_flight=np.zeros(3),
        budget_remaining=np.array([0.5, np.inf, 2.0]),
    )
    router = Router(AgentRegistry(agents), live=live)
    rows = {row.agent_name: row.removed_by for row in explain(router, request(), ANY)}
    assert rows == {"a": ["budget"], "b": ["health"], "c": []}


def test_constraints_are_checked_by_name():
    nan = float("nan")
    for bad in (
        {"max_cost": nan},
        {"max_latency_ms": -1},
        {"budget_remaining": float("inf")},
        {"min_quality": 1.5},
        {"quality_floor": nan},
        {"required_capabilities": [None]},
        {"excluded_agents": [["a"]]},
        {"excluded_agents": ["a"] * (MAX_LIST_LENGTH + 1)},
    ):
        with pytest.raises(InvalidArgumentError, match=next(iter(bad))):
            RoutingConstraints(**bad).checked()
    assert RoutingConstraints().checked() == RoutingConstraints()


def test_explaining_nobody_is_no_error():
    assert explain(Router(AgentRegistry([], dimension=2)), request(), ANY) == []
    rows = explain(Router(AgentRegistry(FOUR)), request(), RoutingConstraints(max_latency_ms=0))
    assert all(row.rank is None and row.score is None for row in rows)


values = st.none() | st.sampled_from([0.0, 0.1, 0.5, 1.0])
vectors = st.sampled_from([None, EAST, NORTH, -EAST])
random_agents = st.lists(
    st.builds(
        agent,
        name=st.uuids().map(str),
        price=values,
        latency=values,
        quality=values,
        embedding=vectors,
        active=st.booleans(),
        capabilities=st.sampled_from([(), ("x",), ("x", "y")]),
        pool=st.sampled_from([None, None, "p", "q"]),
    ),
    max_size=9,
)
random_constraints = st.builds(
    RoutingConstraints,
    required_capabilities=st.none() | st.just(["X"]),
    max_cost=values,
    max_latency_ms=values,
    min_quality=values,
    quality_floor=values,
)


@given(random_agents, random_constraints, st.sampled_from(TARGETS), vectors, st.floats(0, 1))
def test_the_decision_is_the_first_of_the_explanation(agents, constraints, target, vector, weight):
    router = Router(AgentRegistry(agents, dimension=2), Settings(alternatives=100))
    asked = request(EAST if vector is None else vector)
    weights = Weights.dial(weight) if target == "balanced" else None
    rows = explain(router, asked, constraints, target, weights)
    kept = [row for row in rows if row.rank is not None]
    assert len(rows) == len(agents)
    if not kept:
        with pytest.raises(NoSuitableAgentError):
            router.route(asked, constraints, target, weights)
        return
    decision = router.route(asked, constraints, target, weights)
    named = [decision.agent_name, *(a.agent_name for a in decision.alternatives)]
    assert named == [row.agent_name for row in kept]
    assert [a.score for a in decision.alternatives] == [row.score for row in kept[1:]]
