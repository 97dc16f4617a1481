"""Losses: hand-computed values, gradients by finite differences, nothing overflows."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tiny_dancer.training.sigmoid_cross_entropy import SigmoidCrossEntropy, sigmoid
from tiny_dancer.training.softmax_cross_entropy import SoftmaxCrossEntropy, softmax

ROWS = np.arange(4)


def losses():
    generator = np.random.default_rng(0)
    labels, weights = np.array([0, 2, 1, 2]), generator.uniform(0, 2, 4)
    targets, mask = generator.uniform(0, 1, (4, 3)), generator.random((4, 3)) > 0.4
    return {
        "softmax": SoftmaxCrossEntropy(labels, 3),
        "softmax, weighted": SoftmaxCrossEntropy(labels, 3, weights),
        "softmax, smoothed": SoftmaxCrossEntropy(labels, 3, weights, smoothing=0.2),
        "sigmoid": SigmoidCrossEntropy(targets),
        "sigmoid, masked": SigmoidCrossEntropy(targets, mask),
        "sigmoid, masked and weighted": SigmoidCrossEntropy(targets, mask, weights),
    }


@pytest.mark.parametrize("name", losses())
@pytest.mark.parametrize("rows", [ROWS, np.array([2, 0])], ids=["all", "some"])
def test_gradients(name, rows):
    loss = losses()[name]
    logits = np.random.default_rng(1).normal(0, 2, (len(rows), 3))
    _, gradient = loss(logits, rows)
    for place in np.ndindex(logits.shape):
        above, below = logits.copy(), logits.copy()
        above[place] += 1e-6
        below[place] -= 1e-6
        numeric = (loss(above, rows)[0] - loss(below, rows)[0]) / 2e-6
        assert gradient[place] == pytest.approx(numeric, rel=1e-5, abs=1e-9)


def test_softmax_by_hand():
    loss = SoftmaxCrossEntropy(np.array([0, 1]), 2, np.array([3.0, 1.0]))
    logits = np.array([[math.log(3.0), 0.0], [math.log(3.0), 0.0]])
    # Probabilities 3/4 and 1/4: (3·−log 0.75 + 1·−log 0.25) / 4.
    expected = (3 * -math.log(0.75) - math.log(0.25)) / 4
    assert loss(logits, np.array([0, 1]))[0] == pytest.approx(expected)


def test_sigmoid_by_hand():
    loss = SigmoidCrossEntropy(np.array([[1.0, 0.5]]), np.array([[True, True]]))
    value, _ = loss(np.array([[0.0, math.log(4.0)]]), np.array([0]))
    # −log 0.5, and −0.5 log 0.8 − 0.5 log 0.2.
    assert value == pytest.approx((math.log(2) - 0.5 * math.log(0.16)) / 2)


def test_what_the_mask_leaves_out_has_no_say():
    mask = np.array([[True, False], [False, True]])
    first = SigmoidCrossEntropy(np.array([[0.2, 0.0], [0.0, 0.9]]), mask)
    other = SigmoidCrossEntropy(np.array([[0.2, 1.0], [math.nan, 0.9]]), mask)
    logits = np.array([[0.3, -0.4], [1.0, 2.0]])
    rows = np.array([0, 1])
    assert first(logits, rows)[0] == other(logits, rows)[0]
    np.testing.assert_array_equal(first(logits, rows)[1], other(logits, rows)[1])
    assert (first(logits, rows)[1][~mask] == 0).all()
    np.testing.assert_array_equal(first.base_logits(), other.base_logits())


@pytest.mark.parametrize("name", losses())
def test_huge_logits_give_finite_losses(name):
    loss = losses()[name]
    logits = np.array([[1e4, -1e4, 0.0]] * 4, dtype=np.float32)
    with np.errstate(all="raise", under="ignore"):
        value, gradient = loss(logits, ROWS)
    assert math.isfinite(value)
    assert np.isfinite(gradient).all()
    assert gradient.dtype == np.float32


def test_no_weight_no_loss():
    rows, logits = np.array([0, 1]), np.ones((2, 3))
    for loss in (
        SoftmaxCrossEntropy(np.array([0, 1]), 3, np.zeros(2)),
        SigmoidCrossEntropy(np.ones((2, 3)), np.zeros((2, 3), bool)),
    ):
        value, gradient = loss(logits, rows)
        assert value == 0.0
        assert (gradient == 0).all()


def test_base_logits_say_the_base_rates():
    softmax_loss = SoftmaxCrossEntropy(np.array([0, 0, 0, 1]), 3)
    np.testing.assert_allclose(softmax(softmax_loss.base_logits()), [4 / 7, 2 / 7, 1 / 7])
    targets = np.array([[1.0, 0.0], [1.0, 1.0], [0.5, 0.0]])
    mask = np.array([[True, False], [True, True], [True, False]])
    rates = sigmoid(SigmoidCrossEntropy(targets, mask).base_logits())
    np.testing.assert_allclose(rates, [3.5 / 5, 2 / 3])
