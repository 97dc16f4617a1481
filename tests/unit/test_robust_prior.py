"""A registered quality that is believed until the outcomes speak against it."""

from __future__ import annotations

import numpy as np
import pytest

from tiny_dancer.agents.robust_prior import RobustPrior
from tiny_dancer.errors import InvalidArgumentError


def after(prior, mean, count):
    [expected] = RobustPrior().posterior_mean(*(np.array([v], float) for v in (prior, mean, count)))
    return expected


def test_without_outcomes_the_registered_quality_stands():
    assert after(0.9, np.nan, 0) == 0.9


def test_without_a_registered_quality_the_mean_stands():
    assert after(np.nan, 0.3, 5) == 0.3
    assert np.isnan(after(np.nan, 0.0, 0))


def test_outcomes_that_fit_move_it_little():
    assert after(0.6, 0.55, 100) == pytest.approx(0.6, abs=0.02)
    assert after(0.62, 0.68, 100) < 0.64


def test_outcomes_that_do_not_fit_take_its_place():
    assert after(0.9, 0.0, 50) < 0.3
    assert after(0.9, 0.6, 100) == pytest.approx(0.65, abs=0.02)
    assert after(0.2, 1.0, 50) > 0.7


def test_one_bad_outcome_does_not_sink_an_agent():
    assert 0.88 < after(0.9, 0.0, 1) < 0.9


def test_each_failure_counts():
    expected = [after(0.9, 0.0, count) for count in range(40)]
    assert expected == sorted(expected, reverse=True)


def test_many_outcomes_decide():
    assert after(0.5, 0.9, 1e6) == pytest.approx(0.9, abs=1e-3)


@pytest.mark.parametrize("prior", [0.0, 1.0])
@pytest.mark.parametrize("mean", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("count", [1.0, 1e3, 1e7])
def test_extremes_stay_qualities(prior, mean, count):
    assert 0.0 <= after(prior, mean, count) <= 1.0


@pytest.mark.parametrize("option", ["strength", "doubted_strength", "doubt"])
def test_nothing_is_no_strength(option):
    with pytest.raises(InvalidArgumentError, match=option):
        RobustPrior(**{option: 0.0})
