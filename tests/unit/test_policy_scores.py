"""Normalisation and the policies."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiny_dancer.errors import InvalidArgumentError
from tiny_dancer.policies import POLICIES, Candidates, Weights, check_target
from tiny_dancer.policies.normalisation import LEAST_COST, less_is_better

NAN = np.nan
amounts = st.lists(st.floats(0, 1e12) | st.just(NAN), min_size=1, max_size=8)


def candidates(cost, latency=None, quality=None, match=None, **columns):
    count = len(cost)

    def array(values, default):
        return np.array(values if values is not None else [default] * count, dtype=np.float64)

    return Candidates(
        cost=np.array(cost, dtype=np.float64),
        latency_ms=array(latency, 100.0),
        expected_quality=array(quality, 0.5),
        match=array(match, 1.0),
        **columns,
    )


def scores(target, *arguments, weights=None, **columns):
    return POLICIES[target](candidates(*arguments, **columns), weights or Weights())


def test_orders_of_magnitude_are_equal_steps():
    assert less_is_better(np.array([1e-4, 1e-2, 1.0]), LEAST_COST) == pytest.approx([1, 0.5, 0])


def test_what_is_free_counts_as_the_least_amount():
    assert less_is_better(np.array([0.0, 1e-7, 1.0]), LEAST_COST).tolist() == [1.0, 1.0, 0.0]


def test_what_is_unknown_counts_as_the_greatest():
    assert less_is_better(np.array([1e-3, NAN, 1.0]), LEAST_COST).tolist() == [1.0, 0.0, 0.0]


@pytest.mark.parametrize("values", [[0.5], [0.5, 0.5], [NAN], [NAN, NAN], [0.0, 0.0]])
def test_equal_amounts_are_all_best(values):
    assert (less_is_better(np.array(values), LEAST_COST) == 1.0).all()


@given(amounts)
def test_scores_are_in_range_and_in_order(values):
    array = np.array(values)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = less_is_better(array, LEAST_COST)
    assert ((result >= 0) & (result <= 1)).all()
    known = ~np.isnan(array)
    order = np.argsort(array[known], kind="stable")
    assert (np.diff(result[known][order]) <= 1e-12).all()


@given(amounts, st.sampled_from(sorted(POLICIES)), st.floats(0, 1))
def test_every_policy_gives_a_finite_score_to_any_candidates(values, target, weight):
    if target == "total_cost":
        return
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = scores(target, values, latency=values[::-1], weights=Weights.dial(weight))
    assert np.isfinite(result).all()
    assert ((result >= 0) & (result <= 1)).all()


def test_cost_is_normalised_cost_times_match():
    assert scores("cost", [1e-4, 1.0, 1e-2], match=[0.5, 1.0, 1.0]) == pytest.approx([0.5, 0, 0.5])


def test_with_a_floor_cost_alone_counts():
    assert scores("cost", [1e-4, 1.0], match=[0.1, 1.0], has_floor=True).tolist() == [1.0, 0.0]


def test_quality_is_the_expected_quality():
    assert scores("quality", [1, 2], quality=[0.3, 0.9], match=[1.0, 0.1]).tolist() == [0.3, 0.9]


def test_balanced_weights_add_up():
    weights = Weights(cost=0.2, latency=0.3, quality=0.5)
    result = scores("balanced", [0.01, 1], latency=[900, 10], quality=[0.6, 0.8], weights=weights)
    assert result == pytest.approx([0.2 + 0.5 * 0.6, 0.3 + 0.5 * 0.8])


def test_quality_per_dollar_is_relative_to_the_best():
    result = scores("quality_per_dollar", [0.1, 0.01], quality=[1.0, 0.5])
    assert result == pytest.approx([0.2, 1.0])


def test_quality_per_dollar_takes_an_unknown_cost_for_the_greatest():
    result = scores("quality_per_dollar", [0.1, NAN, 0.01], quality=[0.5, 0.5, 0.5])
    assert result == pytest.approx([0.1, 0.1, 1.0])


def test_the_dial_has_two_ends():
    assert Weights.dial(0.0) == Weights(cost=0.0, latency=0.0, quality=1.0)
    assert Weights.dial(1.0) == Weights(cost=1.0, latency=0.0, quality=0.0)


@pytest.mark.parametrize("target", ["cost", "latency", "quality", "balanced", "quality_per_dollar"])
def test_targets_of_one_request(target):
    assert check_target(target) == target


@pytest.mark.parametrize("target", [None, "", "Cost", "speed"])
@pytest.mark.parametrize("batch", [False, True])
def test_unknown_targets_are_refused(target, batch):
    with pytest.raises(InvalidArgumentError, match="unknown target") as caught:
        check_target(target, batch=batch)
    assert ("total_cost" in caught.value.hint) is batch


def test_total_cost_is_of_batches_alone():
    assert check_target("total_cost", batch=True) == "total_cost"
    with pytest.raises(InvalidArgumentError) as caught:
        check_target("total_cost")
    assert "sum over a batch" in caught.value.detail
