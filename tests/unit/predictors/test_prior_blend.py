import numpy as np
import pytest

from tiny_dancer.errors import InvalidArgumentError
from tiny_dancer.predictors.prior_blend import PriorBlend

PRIOR = np.array([0.9, 0.6, 0.7])
NONE = np.zeros(3)


def test_without_outcomes_the_prior_decides():
    blend = PriorBlend()
    level = blend.level(PRIOR, np.full(3, np.nan), NONE)
    expected = blend.expected(level, np.array([0.1, 0.99, 0.5]), np.full(3, 0.5), NONE)
    np.testing.assert_array_equal(expected, PRIOR)


def test_one_bad_outcome_does_not_sink_an_agent():
    level = PriorBlend().level(PRIOR, NONE, np.array([1.0, 0.0, 0.0]))
    assert 0.8 < level[0] < 0.9


def test_many_outcomes_decide():
    counts = np.full(3, 100_000.0)
    blend = PriorBlend(most_trust=1.0)
    level = blend.level(PRIOR, np.array([0.2, 0.5, 0.8]), counts)
    np.testing.assert_allclose(level, [0.2, 0.5, 0.8], atol=1e-3)
    predicted = np.array([[0.4, 0.5, 0.3]])
    expected = blend.expected(level, predicted, level, counts)
    np.testing.assert_allclose(expected, predicted, atol=3e-3)


def test_uncertainty_falls_with_the_number_of_outcomes():
    blend = PriorBlend()
    few, many = (blend.uncertainty(PRIOR, np.full(3, n)) for n in (1.0, 1000.0))
    assert (many < few).all()
    assert (many > 0.0).all()


def test_a_strength_of_nothing_is_refused():
    with pytest.raises(InvalidArgumentError, match="predictor_strength"):
        PriorBlend(predictor_strength=0.0)
    for trust in (0.0, 1.1, float("nan")):
        with pytest.raises(InvalidArgumentError, match="most_trust"):
            PriorBlend(most_trust=trust)


def test_deviations_are_never_believed_as_a_whole():
    blend = PriorBlend(predictor_strength=300.0, most_trust=0.9)
    counts = np.array([0.0, 300.0, 1e9])
    np.testing.assert_allclose(blend.trust(counts), [0.0, 0.45, 0.9], atol=1e-6)
