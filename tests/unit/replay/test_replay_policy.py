"""The policy to be replayed: what is taken and what is refused."""

import pytest

from tiny_dancer.errors import InvalidArgumentError
from tiny_dancer.policies import Weights
from tiny_dancer.replay.policy import KEYS, ReplayPolicy


def test_all_keys_are_taken():
    given = {
        "optimize_for": "balanced",
        "cost_weight": 1,
        "quality_floor": 0.5,
        "max_cost": 0.1,
        "max_latency_ms": 900,
        "excluded_agents": ["a", "b"],
        "router_model": 7,
    }
    policy = ReplayPolicy.parse(given)
    assert {*given, "agent"} == set(KEYS)
    assert policy == ReplayPolicy("balanced", 1.0, 0.5, 0.1, 900.0, ("a", "b"), 7)
    assert ReplayPolicy.parse({"agent": "gpt-4"}).agent == "gpt-4"


def test_null_is_as_good_as_nothing():
    policy = ReplayPolicy.parse({"optimize_for": "cost", "max_cost": None, "agent": None})
    assert policy == ReplayPolicy("cost")


def test_the_dial_takes_the_place_of_the_weights():
    default = Weights(0.2, 0.3, 0.5)
    assert ReplayPolicy().weights(default) == default
    assert ReplayPolicy(cost_weight=0.25).weights(default) == Weights.dial(0.25)


@pytest.mark.parametrize(
    "given",
    [
        None, 1, "cost", [], {}, {"agent": None}, {"x": 1}, {"agent": "a", "optimize_for": "cost"},
        {"agent": 3}, {"agent": " a"}, {"optimize_for": "all"}, {"optimize_for": ["cost"]},
        {"cost_weight": float("nan")}, {"cost_weight": -0.1}, {"cost_weight": "1"},
        {"cost_weight": False}, {"quality_floor": 2}, {"max_cost": -1},
        {"max_cost": 10**400}, {"max_latency_ms": float("inf")}, {"excluded_agents": {}},
        {"excluded_agents": [1]}, {"excluded_agents": ["a"] * 1001}, {"router_model": "7"},
        {"router_model": 2**63}, {"router_model": True},
        {"optimize_for": "cost", "cost_weight": 0.5},
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(given):
    with pytest.raises(InvalidArgumentError) as caught:
        ReplayPolicy.parse(given)
    assert caught.value.hint
