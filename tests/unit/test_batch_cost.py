import itertools

import numpy as np
import pytest

from tiny_dancer.batch_cost import Options, cheapest, cheapest_above, options
from tiny_dancer.errors import NoSuitableAgentError


def exact_cost(choices, floor):
    """Try everything."""
    count, agents = choices.cost.shape
    best = np.inf
    for combination in itertools.product(range(agents), repeat=count):
        rows = np.arange(count)
        if choices.quality[rows, combination].mean() >= floor - 1e-9:
            best = min(best, choices.cost[rows, combination].sum())
    return best


def random_options(rng, count, agents):
    quality = rng.uniform(0.3, 1.0, size=(count, agents))
    cost = 10.0 ** rng.uniform(-5, -1, size=(count, agents))
    return Options(cost, quality)


@pytest.mark.parametrize("seed", range(60))
def test_the_floor_holds_and_the_cost_is_within_one_step_of_the_optimum(seed):
    rng = np.random.default_rng(seed)
    choices = random_options(rng, int(rng.integers(1, 7)), int(rng.integers(1, 5)))
    reachable = choices.quality.max(axis=1).mean()
    floor = float(rng.uniform(0.3, reachable))
    chosen = cheapest_above(choices, floor, np.zeros(choices.cost.shape[1]))
    rows = np.arange(len(chosen))
    assert choices.quality[rows, chosen].mean() >= floor - 2e-9
    cost = choices.cost[rows, chosen].sum()
    optimum = exact_cost(choices, floor)
    one_step = (choices.cost.max(axis=1) - choices.cost.min(axis=1)).max()
    assert optimum - 1e-12 <= cost <= optimum + one_step


def test_most_small_batches_are_solved_exactly():
    exact = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        choices = random_options(rng, 6, 3)
        floor = float(rng.uniform(0.5, choices.quality.max(axis=1).mean()))
        chosen = cheapest_above(choices, floor, np.zeros(3))
        cost = choices.cost[np.arange(6), chosen].sum()
        exact += cost <= exact_cost(choices, floor) * 1.0001
    assert exact >= 50


def test_a_large_batch_is_within_a_thousandth_of_the_lower_bound():
    rng = np.random.default_rng(0)
    choices = random_options(rng, 3000, 12)
    floor = 0.8
    chosen = cheapest_above(choices, floor, np.zeros(12))
    rows = np.arange(len(chosen))
    cost, quality = choices.cost[rows, chosen].sum(), choices.quality[rows, chosen].mean()
    assert quality >= floor - 1e-9
    # Any price gives a lower bound (weak duality); take the best of many.
    bound = max(
        (choices.cost - p * choices.quality).min(axis=1).sum() + p * floor * len(rows)
        for p in np.geomspace(1e-6, 1e2, 400)
    )
    assert bound <= cost <= bound * 1.002


def test_without_a_floor_each_request_takes_its_cheapest_then_fastest():
    choices = Options(np.array([[2.0, 1.0, 1.0], [0.0, 5.0, 0.0]]), np.ones((2, 3)))
    assert cheapest(choices, np.array([1.0, 9.0, 3.0])).tolist() == [2, 0]
    assert cheapest(choices, np.array([np.nan, 9.0, 9.0])).tolist() == [1, 2]


def test_an_unreachable_floor_says_what_is_reachable():
    choices = Options(np.ones((2, 2)), np.array([[0.5, 0.6], [0.7, 0.8]]))
    with pytest.raises(NoSuitableAgentError) as raised:
        cheapest_above(choices, 0.9, np.zeros(2))
    assert "0.7000" in raised.value.detail


def test_an_unknown_cost_is_chosen_only_where_no_cost_is_known():
    cost = np.array([[np.nan, 3.0], [np.nan, np.nan]])
    kept = np.ones((2, 2), dtype=bool)
    assert cheapest(options(cost, np.ones((2, 2)), kept), np.array([1.0, 2.0])).tolist() == [1, 0]


def test_who_is_no_candidate_is_no_option():
    kept = np.array([[False, True]])
    choices = options(np.array([[1.0, 9.0]]), np.array([[1.0, 0.2]]), kept)
    assert cheapest(choices, np.zeros(2)).tolist() == [1]
    with pytest.raises(NoSuitableAgentError):
        cheapest_above(choices, 0.5, np.zeros(2))
