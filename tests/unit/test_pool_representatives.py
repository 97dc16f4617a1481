"""Which member of a pool takes its place among the candidates."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiny_dancer.agents.agent import Agent
from tiny_dancer.agents.pool import NO_POOL, number_pools, pool_representatives
from tiny_dancer.agents.registry import AgentRegistry


def representatives(positions, pools, in_flight, weights=None):
    weights = [1.0] * len(pools) if weights is None else weights
    kept = pool_representatives(
        np.array(positions, dtype=np.intp),
        np.array(pools, dtype=np.intp),
        np.array(in_flight, dtype=float),
        np.array(weights, dtype=float),
    )
    return kept.tolist()


def test_agents_without_a_pool_are_untouched():
    assert representatives([0, 2, 3], [NO_POOL] * 4, [9, 9, 9, 9]) == [0, 2, 3]


def test_the_member_with_the_least_in_flight_stays():
    assert representatives([0, 1, 2], [0, 0, 0], [3, 1, 2]) == [1]


def test_in_flight_is_judged_by_weight():
    assert representatives([0, 1], [0, 0], [2, 3], [1.0, 2.0]) == [1]
    assert representatives([0, 1], [0, 0], [2, 5], [1.0, 2.0]) == [0]


def test_equals_go_by_name():
    assert representatives([1, 2, 3], [0, 0, 0, 0], [0, 4, 2, 2]) == [2]
    assert representatives([0, 1], [0, 0], [1, 2], [1.0, 2.0]) == [0]


def test_only_candidates_represent_their_pool():
    assert representatives([1, 2], [0, 0, 0], [0, 5, 4]) == [2]


def test_pools_are_judged_apart_and_the_result_ascends():
    assert representatives([0, 1, 2, 3, 4], [1, 0, NO_POOL, 1, 0], [2, 0, 7, 1, 1]) == [1, 2, 3]


def test_no_candidates_give_none():
    assert representatives([], [0, 0], [0, 0]) == []


@given(st.data())
def test_it_agrees_with_the_plain_way(data):
    count = data.draw(st.integers(1, 12))
    numbers = st.lists(st.integers(0, 3), min_size=count, max_size=count)
    pools = [pool - 1 for pool in data.draw(numbers)]
    in_flight = data.draw(numbers)
    weights = [1.0 + weight for weight in data.draw(numbers)]
    positions = sorted(data.draw(st.sets(st.integers(0, count - 1))))
    best = {}
    for position in positions:
        pool = pools[position]
        key = (in_flight[position] / weights[position], position)
        place = ("alone", position) if pool == NO_POOL else ("pool", pool)
        best[place] = min(best.get(place, key), key)
    expected = sorted(position for _, position in best.values())
    assert representatives(positions, pools, in_flight, weights) == expected


def test_the_registry_numbers_its_pools():
    agents = [
        Agent("c", pool="x", weight=3.0),
        Agent("a", pool="y"),
        Agent("b"),
        Agent("d", pool="x"),
    ]
    registry = AgentRegistry(agents)
    assert registry.names == ["a", "b", "c", "d"]
    assert registry.pool_ids.tolist() == [0, NO_POOL, 1, 1]
    assert registry.weights.tolist() == [1.0, 1.0, 3.0, 1.0]
    assert registry.has_pools
    assert not AgentRegistry([Agent("b")]).has_pools


@pytest.mark.parametrize("agents", [[], [Agent("a")]])
def test_numbers_of_no_pools(agents):
    assert number_pools(agents).tolist() == [NO_POOL] * len(agents)
