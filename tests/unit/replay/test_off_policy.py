"""Estimators: what they give on logs whose answer is known."""

import numpy as np
import pytest

from tiny_dancer.replay.off_policy import (
    Matches,
    cost_interval,
    doubly_robust,
    rate_interval,
    self_normalised,
    student_quantile,
)

# The 97.5 % points of Student's t, from a table.
STUDENT_975 = {5: 2.571, 10: 2.228, 20: 2.086, 30: 2.042, 60: 2.000, 120: 1.980}


def draw(count, seed=0, chance=0.2):
    """Rewards of 1 with probability 0.8, and matches of a policy drawn with a chance."""
    generator = np.random.default_rng(seed)
    matching = generator.random(count) < chance
    rewards = (generator.random(count) < 0.8).astype(float)
    return Matches.of(matching, np.full(count, chance)), rewards


def plain(matches, rewards, interval, guesses=None):
    return self_normalised(matches, rewards, interval, guesses)


def test_certain_matches_give_the_mean():
    matches = Matches.of(np.ones(200, bool), np.ones(200))
    rewards = np.repeat([0.0, 1.0], [50, 150])
    found = plain(matches, rewards, rate_interval)
    assert found.estimate == pytest.approx(0.75)
    # Wilson's interval of 150 in 200 is .686 to .805; Student's quantile widens it a little.
    assert (found.low, found.high) == (
        pytest.approx(0.6855, abs=1e-3),
        pytest.approx(0.805, abs=1e-3),
    )
    assert matches.effective_sample_size == pytest.approx(200)


def test_unlikely_matches_weigh_more():
    matches = Matches.of(np.array([True, True, False]), np.array([0.5, 0.1, 0.5]))
    found = plain(matches, np.array([1.0, 0.0, 1.0]), rate_interval)
    assert found.estimate == pytest.approx(2 / 12)


def test_a_perfect_model_needs_no_correction():
    matches, rewards = draw(500)
    found = doubly_robust(matches, rewards, rewards, rewards, rate_interval)
    assert found.estimate == pytest.approx(rewards.mean())


def test_a_wrong_model_is_corrected():
    matches, rewards = draw(20_000)
    wrong = np.full(len(rewards), 0.3)
    found = doubly_robust(matches, rewards, wrong, wrong, rate_interval)
    assert found.estimate == pytest.approx(0.8, abs=0.02)
    assert found.low < 0.8 < found.high


def test_decisions_without_outcome_count_in_the_model_alone():
    matches, rewards = draw(2000)
    rewards[::3] = np.nan
    predicted = np.where(np.isnan(rewards), 0.2, 0.8)
    found = doubly_robust(matches, rewards, predicted, predicted, rate_interval)
    errors = np.nanmean(np.where(matches.weights > 0, rewards - predicted, np.nan))
    assert found.estimate == pytest.approx(predicted.mean() + errors)


def test_no_failure_in_a_few_decisions_does_not_mean_that_there_are_none():
    matches = Matches.of(np.ones(60, bool), np.ones(60))
    found = plain(matches, np.ones(60), rate_interval)
    assert found.estimate == found.high == 1.0
    assert 0.9 < found.low < 0.97
    wrong = np.full(60, 0.99)
    found = doubly_robust(matches, np.ones(60), wrong, wrong, rate_interval)
    assert 0.9 < found.low < 0.97


def test_a_rate_and_its_interval_stay_within_0_and_1():
    matches, rewards = draw(300)
    wrong = np.ones(300)
    for shift in (1.0, -1.0):
        found = doubly_robust(matches, rewards, wrong + shift, wrong, rate_interval)
        assert 0.0 <= found.low <= found.estimate <= found.high <= 1.0


def test_rates_that_never_vary_have_no_interval():
    matches, _ = draw(200)
    found = plain(matches, np.full(200, 0.7), rate_interval)
    assert (found.low, found.high) == (pytest.approx(0.7), pytest.approx(0.7))


def test_costs_have_a_skewed_interval_above_0():
    generator = np.random.default_rng(1)
    matches = Matches.of(np.ones(100, bool), np.ones(100))
    found = plain(matches, generator.lognormal(0, 1.5, 100), cost_interval)
    assert 0 < found.low < found.estimate < found.high
    assert found.high - found.estimate > found.estimate - found.low
    found = plain(matches, np.full(100, 0.02), cost_interval)
    assert (found.low, found.high) == (pytest.approx(0.02), pytest.approx(0.02))
    found = plain(matches, np.zeros(100), cost_interval)
    assert (found.estimate, found.low, found.high) == (0.0, 0.0, 0.0)


def test_an_estimate_that_saw_no_dear_ones_knows_that_there_are_some():
    # The policy chooses the dear agent for every tenth request, and there it was never drawn.
    matching, guesses = np.ones(200, bool), np.full(200, 0.01)
    matching[::10], guesses[::10] = False, 0.5
    matches = Matches.of(matching, np.where(matching, 0.9, 0.1))
    costs = 2.0 * guesses
    found = plain(matches, costs, cost_interval, guesses)
    assert found.estimate == pytest.approx(0.02)
    assert found.high > 2 * guesses.mean()
    for unknown in (None, np.full(200, np.nan), np.zeros(200)):
        assert plain(matches, costs, cost_interval, unknown).high == pytest.approx(0.02)


def test_what_follows_from_the_prices_is_no_more_than_what_is_drawn():
    # Costs are in proportion to the guesses: all variance is that of which requests were drawn.
    generator = np.random.default_rng(3)
    estimates, widths = [], []
    for _ in range(400):
        guesses = generator.lognormal(0.0, 0.7, 400)
        chances = np.where(guesses > 1.0, 0.3, 0.8)
        matches = Matches.of(generator.random(400) < chances, chances)
        found = plain(matches, 3.0 * guesses, cost_interval, guesses)
        estimates.append(np.log(found.estimate))
        widths.append(np.log(found.high / found.low))
    deviation = np.mean(widths) / (2.0 * 1.96)
    assert deviation == pytest.approx(np.std(estimates), rel=0.1)


def test_prices_that_have_nothing_to_do_with_the_costs_do_not_widen():
    generator = np.random.default_rng(4)
    costs = generator.lognormal(0.0, 0.3, 2000)
    prices = generator.lognormal(0.0, 1.0, 2000)
    matches = Matches.of(generator.random(2000) < 0.3, np.full(2000, 0.3))
    guessed, plainly = (plain(matches, costs, cost_interval, g) for g in (prices, None))
    assert guessed.estimate == pytest.approx(plainly.estimate)
    assert (guessed.high - guessed.low) == pytest.approx(plainly.high - plainly.low, rel=0.05)


def test_a_cost_below_0_is_0():
    matches, rewards = draw(100)
    found = doubly_robust(matches, rewards, rewards - 9, rewards, cost_interval)
    assert (found.estimate, found.low) == (0.0, 0.0)
    assert found.high > 0


def test_the_effective_sample_size_of_even_chances():
    matches = Matches.of(np.arange(400) % 4 == 0, np.full(400, 0.25))
    assert matches.effective_sample_size == pytest.approx(100)


def test_decisions_that_agree_do_not_hide_those_that_were_never_tried():
    # In half of them the policy chooses what was almost never drawn, and never was.
    probabilities = np.repeat([0.95, 0.01], 100)
    matches = Matches.of(np.repeat([True, False], 100), probabilities)
    weights = matches.weights
    kish = weights.sum() ** 2 / (weights**2).sum()
    assert kish == pytest.approx(100)
    assert matches.effective_sample_size == pytest.approx(200**2 / (1 / probabilities).sum())
    assert matches.effective_sample_size < 4


def test_nothing_in_common_is_worth_nothing():
    assert Matches.of(np.zeros(9, bool), np.full(9, 0.5)).effective_sample_size == 0.0


def test_standing_for_others_scales_weights_and_not_what_equal_ones_are_worth():
    matches = Matches.of(np.arange(100) % 2 == 0, np.full(100, 0.5))
    twice = matches.standing_for(np.full(100, 2.0))
    assert twice.effective_sample_size == pytest.approx(matches.effective_sample_size)
    uneven = matches.standing_for(np.where(np.arange(100) < 10, 9.0, 1.0))
    assert uneven.effective_sample_size < matches.effective_sample_size


@pytest.mark.parametrize(("degrees", "quantile"), STUDENT_975.items())
def test_the_quantiles_are_those_of_the_tables(degrees, quantile):
    assert student_quantile(degrees) == pytest.approx(quantile, abs=0.004)


def test_fewer_than_five_degrees_count_as_five():
    assert student_quantile(-1.0) == student_quantile(5.0)
    assert student_quantile(float("inf")) == pytest.approx(1.959964)
