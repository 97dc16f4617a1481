import numpy as np
import pytest

from tiny_dancer.agents import Agent, AgentRegistry, CostModel
from tiny_dancer.agents.live_state import LiveState
from tiny_dancer.batch import NOBODY, Requests, blocks, estimate_block, route_block
from tiny_dancer.constraints import RoutingConstraints
from tiny_dancer.errors import NoSuitableAgentError
from tiny_dancer.policies import POLICIES
from tiny_dancer.router import Router

DIMENSION = 24


def random_router(rng, count):
    vectors = rng.normal(size=(count, DIMENSION)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)

    def maybe(value):
        return None if rng.random() < 0.15 else value

    agents = [
        Agent(
            name=f"agent-{i:03}",
            capabilities=("even",) if i % 2 == 0 else ("odd",),
            cost=CostModel(per_1k_tokens=maybe(float(rng.choice([0.0, 0.01, 0.02, 3.0])))),
            avg_latency_ms=maybe(float(rng.choice([50.0, 100.0, 900.0]))),
            quality_score=maybe(float(rng.choice([0.5, 0.7, 0.9]))),
            metadata={"context_window": 300} if i % 7 == 0 else {},
            active=bool(rng.random() < 0.9),
            pool=str(rng.choice(["one", "two"])) if rng.random() < 0.3 else None,
            weight=float(rng.choice([1.0, 2.0])),
            # Twins, so that there are ties down to the name.
            embedding=maybe(vectors[i // 2]),
        )
        for i in range(count)
    ]
    live = LiveState(
        rng.random(count) < 0.9,
        rng.integers(0, 4, size=count).astype(float),
        np.where(rng.random(count) < 0.3, 0.004, np.inf),
    )
    return Router(AgentRegistry(agents, dimension=DIMENSION), live=live)


def random_requests(rng, count):
    vectors = rng.normal(size=(count, DIMENSION)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return Requests(rng.integers(1, 2000, size=count), vectors)


CONSTRAINTS = [
    RoutingConstraints(),
    RoutingConstraints(required_capabilities=["EVEN"], excluded_agents=["agent-002"]),
    RoutingConstraints(max_cost=0.015, max_latency_ms=500.0),
    RoutingConstraints(min_quality=0.6, quality_floor=0.75),
    RoutingConstraints(budget_remaining=0.005),
]


@pytest.mark.parametrize("constraints", CONSTRAINTS)
@pytest.mark.parametrize("target", POLICIES)
@pytest.mark.parametrize("seed", range(4))
def test_a_batch_decides_as_single_calls_do(constraints, target, seed):
    rng = np.random.default_rng(seed)
    router = random_router(rng, int(rng.integers(2, 40)))
    requests = random_requests(rng, 60)
    decision = route_block(router, requests, constraints, target)
    for i in range(len(requests.input_tokens)):
        try:
            single = router.route(requests.single(i), constraints, target)
        except NoSuitableAgentError:
            assert decision.position[i] == NOBODY
            assert decision.candidates[i] == 0
            continue
        assert decision.position[i] == single.position
        assert decision.candidates[i] == len(single.candidates)
        assert decision.expected_quality[i] == pytest.approx(single.expected_quality, abs=1e-12)
        if single.estimated_cost is None:
            assert np.isnan(decision.cost[i])
        else:
            assert decision.cost[i] == pytest.approx(single.estimated_cost)


@pytest.mark.parametrize(("agents", "dimension"), [(1, 768), (7, 384), (100, 768), (2000, 384)])
def test_similarities_are_those_of_single_calls_to_the_last_bit(agents, dimension):
    rng = np.random.default_rng(agents)
    vectors = rng.normal(size=(agents + 40, dimension)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    registry = AgentRegistry(
        [Agent(name=f"agent-{i:04}", embedding=vectors[i]) for i in range(agents)]
    )
    router = Router(registry)
    requests = Requests(np.ones(40, dtype=np.int64), vectors[agents:])
    together = estimate_block(router, requests).similarity
    alone = [router.estimate(requests.single(i)).similarity for i in range(40)]
    np.testing.assert_array_equal(together, alone)


def test_nobody_fits_anything_in_an_empty_registry():
    router = Router(AgentRegistry([], dimension=DIMENSION))
    requests = random_requests(np.random.default_rng(0), 3)
    # max() of no agents has no value, so the caller must not ask.
    assert list(blocks(0, 0)) == []
    with pytest.raises(ValueError, match="zero-size"):
        route_block(router, requests, RoutingConstraints(), "cost")


def test_blocks_cover_every_request_once():
    covered = [i for block in blocks(10_001, 100) for i in range(10_001)[block]]
    assert covered == list(range(10_001))
    assert [b.stop - b.start for b in blocks(3, 10**9)] == [1, 1, 1]
