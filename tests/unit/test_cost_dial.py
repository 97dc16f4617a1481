"""The dial between quality and cost, found from requests."""

import numpy as np
import pytest

from tiny_dancer.agents.agent import Agent, CostModel
from tiny_dancer.agents.registry import AgentRegistry
from tiny_dancer.batch import Requests, route_block
from tiny_dancer.constraints import RoutingConstraints
from tiny_dancer.cost_dial import CostDial, calibrate
from tiny_dancer.errors import InvalidArgumentError, UnknownObjectError
from tiny_dancer.policies import Weights
from tiny_dancer.router import Router
from tiny_dancer.settings import Settings

DIMENSIONS = 8
PRICES = {"large": (0.03, 0.92), "medium": (0.004, 0.85), "small": (0.0005, 0.7)}


def requests(count=200, seed=1):
    generator = np.random.default_rng(seed)
    vectors = generator.standard_normal((count, DIMENSIONS)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return Requests(generator.integers(1, 900, count), vectors)


def router(names=tuple(PRICES), **columns):
    generator = np.random.default_rng(2)
    agents = []
    for name in PRICES:
        vector = generator.standard_normal(DIMENSIONS).astype(np.float32)
        price, quality = PRICES[name]
        agents.append(
            Agent(
                name,
                cost=CostModel(per_1k_tokens=price),
                quality_score=quality,
                embedding=vector / np.linalg.norm(vector),
                **columns,
            )
        )
    return Router(AgentRegistry([agent for agent in agents if agent.name in names]))


@pytest.fixture(scope="module")
def dial():
    return CostDial(router(), requests())


@pytest.mark.parametrize(
    "targets", [(0.97, None), (0.8, None), (None, 0.4), (None, 0.0), (0.85, 0.9)]
)
def test_routing_with_it_gives_what_it_promises(dial, targets):
    found = calibrate(dial, *targets)
    weights = Weights.dial(found.cost_weight)
    routed = route_block(router(), requests(), RoutingConstraints(), "balanced", weights)
    assert found.expected_quality == pytest.approx(routed.expected_quality.mean())
    assert found.expected_cost == pytest.approx(routed.cost.mean())
    # The agents are ordered by name: the large one is the first.
    assert found.strong_share == pytest.approx((routed.position == 0).mean())
    assert (found.strong_agent, found.best_agent, found.requests) == ("large", "large", 200)


def test_a_quality_target_gives_the_cheapest_dial_that_keeps_it(dial):
    found = calibrate(dial, 0.9, None)
    assert found.quality_kept >= 0.9 - 1e-9
    assert dial.at(found.cost_weight + 1e-6).expected_quality / dial.best_quality < 0.9


def test_a_greatest_share_alone_gives_the_best_dial_that_keeps_to_it(dial):
    found = calibrate(dial, None, 0.4)
    assert found.strong_share <= 0.4
    assert dial.at(found.cost_weight - 1e-6).shares[0] > 0.4


def test_the_ends_of_the_dial(dial):
    assert calibrate(dial, 0.0, None).cost_weight == 1.0
    assert calibrate(dial, None, 1.0).cost_weight == 0.0


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        ((None, None), "both NULL"),
        ((float("nan"), None), "quality_target is nan"),
        ((None, -1.0), "max_strong_share is -1.0"),
        ((0.99, 0.0), r"no cost_weight keeps 0.99 .* at most 0"),
    ],
)
def test_targets_that_make_no_sense_or_can_not_be_reached(dial, targets, message):
    with pytest.raises(InvalidArgumentError, match=message) as caught:
        calibrate(dial, *targets)
    assert caught.value.hint


def test_what_can_be_reached_is_said():
    east = np.eye(1, DIMENSIONS, dtype=np.float32)[0]
    # The better one can do something else, and capability matches count, too.
    agents = [
        Agent("better", quality_score=0.9, cost=CostModel(per_call=1.0), embedding=-east),
        Agent("nearer", quality_score=0.8, cost=CostModel(per_call=1.0), embedding=east),
    ]
    apart = Router(AgentRegistry(agents), Settings(similarity_weight=0.0))
    asked = Requests(np.array([10]), east[None])
    with pytest.raises(InvalidArgumentError) as caught:
        calibrate(CostDial(apart, asked), 0.9, None)
    assert "0.8889 of the quality of better, which is 0.9000" in caught.value.detail
    alone = CostDial(router(["small"]), requests())
    with pytest.raises(InvalidArgumentError, match=r"as little as 0.5") as caught:
        calibrate(alone, None, 0.5)
    assert "1.0000" in caught.value.detail


def test_the_strong_agent_can_be_named(dial):
    found = calibrate(dial, None, 0.2, "medium")
    assert found.strong_agent == "medium"
    assert found.strong_share <= 0.2
    with pytest.raises(UnknownObjectError, match="nobody"):
        calibrate(dial, None, 0.2, "nobody")


def test_a_request_that_no_agent_can_take_does_not_count():
    narrow = router(metadata={"context_window": 300})
    asked = requests()
    fits = int((asked.input_tokens + 256 <= 300).sum())
    found = calibrate(CostDial(narrow, asked), 0.9, None)
    assert 0 < found.requests == fits < 200


@pytest.mark.parametrize(
    ("agents", "count", "message"), [([], 9, "no agent fits"), (["large"], 0, "no requests")]
)
def test_nothing_to_calibrate_by(agents, count, message):
    with pytest.raises(InvalidArgumentError, match=message):
        CostDial(router(agents), requests(count) if count else Requests(
            np.zeros(0, np.int64), np.zeros((0, DIMENSIONS), np.float32)))  # fmt: skip
