"""What a router model is worth, measured on requests that it has not seen."""

from __future__ import annotations

import numpy as np
import pytest

from tiny_dancer.learning.validation import compare, measure
from tiny_dancer.predictors.observations import Observations

NO_PRIORS = np.full(2, np.nan)


def observed(targets, mask=None, lengths=None):
    targets = np.asarray(targets, dtype=np.float64)
    rows = len(targets)
    lexical = np.zeros((rows, 0)) if lengths is None else np.asarray(lengths, float)[:, None]
    return Observations.checked(np.eye(rows, 60), lexical, targets, mask)


@pytest.fixture
def two():
    """Two agents, of which each is right where the other is wrong; the second more often."""
    right = np.arange(60) % 3 == 0
    return np.column_stack((right, ~right)).astype(np.float64)


def test_right_predictions_are_better_than_means_and_priors(two):
    held_back = observed(two)
    said = np.where(two > 0.5, 0.9, 0.1)
    found = measure(said, held_back, observed(two), np.array([0.5, 0.5]))
    assert found["loss"] == pytest.approx(-np.log(0.9))
    assert found["prior_loss"] == pytest.approx(np.log(2.0))
    assert found["loss"] < found["means_loss"] < found["prior_loss"]
    assert found["brier"] == pytest.approx(0.01)
    assert found["routed_quality"] == 1.0
    assert found["oracle_quality"] == 1.0
    assert found["best_single_quality"] == pytest.approx(2 / 3)
    assert found["random_quality"] == 0.5
    assert found["apgr"] > 1.0


def test_predictions_that_know_nothing_are_as_good_as_chance(two):
    found = measure(np.full(two.shape, 0.5), observed(two), observed(two), NO_PRIORS)
    assert found["apgr"] == pytest.approx(0.5)
    assert found["length_apgr"] == pytest.approx(0.5)
    assert "prior_loss" not in found


def test_prompt_length_is_measured_beside(two):
    lengths = np.where(two[:, 0] > 0.5, 2.0, 7.0)
    rows = observed(two, lengths=lengths)
    found = measure(np.full(two.shape, 0.5), rows, rows, NO_PRIORS)
    assert found["length_quality"] == 1.0


def test_where_no_request_went_to_every_agent_no_router_can_be_judged(two):
    mask = np.column_stack((np.arange(60) % 2 == 0, np.arange(60) % 2 == 1))
    found = measure(np.full(two.shape, 0.4), observed(two, mask), observed(two, mask), NO_PRIORS)
    assert found["loss"] > 0.0
    assert "routed_quality" not in found


def test_with_nothing_held_back_nothing_is_measured(two):
    rows = observed(two)
    assert measure(np.empty((0, 2)), rows.rows(np.arange(0)), rows, NO_PRIORS) == {}


@pytest.mark.parametrize("target", [0.0, 1.0])
def test_what_can_not_be_measured_is_left_out(target):
    rows = observed(np.full((30, 2), target))
    found = measure(np.full((30, 2), 0.5), rows, rows, NO_PRIORS)
    assert "apgr" not in found
    assert all(np.isfinite(list(found.values())))


def test_agents_that_are_equally_good_but_for_rounding_have_no_gap():
    for seed in range(30):
        weak = np.random.default_rng(seed).choice([0.1, 0.2, 0.3, 0.5, 0.7, 0.9], 20)
        rows = observed(np.column_stack((weak, np.roll(weak, 7))))
        found = measure(np.full((20, 2), 0.5), rows, rows, NO_PRIORS)
        assert "apgr" not in found
        assert "routed_quality" in found


def test_two_models_are_compared_on_what_was_observed(two):
    mask = np.zeros(two.shape, bool)
    mask[:10, 0] = True
    good, bad = np.where(two > 0.5, 0.9, 0.1), np.full(two.shape, 0.5)
    found = compare(good, bad, two, mask)
    assert found.requests == 10
    assert found.loss == pytest.approx(-np.log(0.9))
    assert found.other_loss == pytest.approx(np.log(2.0))
    assert compare(good, bad, two, np.zeros(two.shape, bool)) is None
