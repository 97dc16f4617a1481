"""The shaded prior, and similarities that agree on every machine."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tiny_dancer.agents.registry import prior_log_odds
from tiny_dancer.expected_quality import shaded_prior, similarities


def shaded(quality, similarity, reference=0.3, weight=6.0):
    odds = prior_log_odds(np.array(quality))
    return shaded_prior(odds, np.array(similarity), reference, weight)


def test_the_reference_similarity_changes_nothing():
    assert shaded([0.2, 0.95], [0.3, 0.3]) == pytest.approx([0.2, 0.95])


def test_a_weight_of_zero_changes_nothing():
    assert shaded([0.2, 0.95], [-1.0, 1.0], weight=0.0) == pytest.approx([0.2, 0.95])


def test_nearer_is_better_in_log_odds():
    low, high = shaded([0.5, 0.5], [0.2, 0.4])
    assert low == pytest.approx(1 / (1 + np.exp(0.6)))
    assert high == pytest.approx(1 / (1 + np.exp(-0.6)))


def test_an_unknown_quality_starts_at_one_half():
    assert shaded([np.nan], [0.3]) == pytest.approx([0.5])


@given(st.floats(0, 1), st.floats(-1, 1), st.floats(-1, 1), st.floats(0, 100))
def test_it_stays_a_probability(quality, similarity, reference, weight):
    with np.errstate(all="raise", under="ignore"):
        [result] = shaded([quality], [similarity], reference, weight)
    assert 0 <= result <= 1


@given(
    hnp.arrays(np.float32, (5, 8), elements=st.floats(-1, 1, width=32)),
    hnp.arrays(np.float32, 8, elements=st.floats(-1, 1, width=32)),
)
def test_similarities_are_products_rounded_to_about_a_millionth(rows, wanted):
    result = similarities(rows, wanted)
    exact = rows.astype(np.float64) @ wanted.astype(np.float64)
    assert result.dtype == np.float64
    assert result == pytest.approx(exact, abs=1e-5)
    assert (result * 2**20 == np.rint(result * 2**20)).all()
