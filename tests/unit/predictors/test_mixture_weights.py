import numpy as np

from tiny_dancer.predictors.mixture_weights import mixture_weights, without_trifles
from tiny_dancer.predictors.platt_scaling import PlattScaling


def test_the_better_member_counts_more():
    generator = np.random.default_rng(0)
    truth = generator.random((2000, 2))
    targets = (generator.random(truth.shape) < truth).astype(float)
    noise = generator.random(truth.shape)
    weights = mixture_weights(np.stack([truth, noise]), targets, np.ones(truth.shape, bool))
    assert weights[0] > 0.8
    assert weights.sum() == 1.0 or abs(weights.sum() - 1.0) < 1e-12


def test_few_rows_stay_near_equal_weights():
    predictions = np.array([[[0.9]], [[0.1]]])
    weights = mixture_weights(predictions, np.array([[1.0]]), np.ones((1, 1), bool))
    assert 0.5 < weights[0] < 0.55


def test_trifles_are_dropped():
    kept, weights = without_trifles(np.array([0.58, 0.02, 0.40]), 0.05)
    assert kept.tolist() == [0, 2]
    np.testing.assert_allclose(weights, [0.58 / 0.98, 0.40 / 0.98])


def test_platt_scaling_undoes_overconfidence():
    generator = np.random.default_rng(1)
    odds = generator.standard_normal((5000, 1))
    targets = (generator.random(odds.shape) < 1.0 / (1.0 + np.exp(-odds))).astype(float)
    said = 1.0 / (1.0 + np.exp(-3.0 * odds))
    scaling = PlattScaling.fit(said, targets, np.ones(odds.shape, bool))
    assert 0.28 < scaling.slope < 0.40
