"""Temperature and calibration error on data whose truth is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tiny_dancer.training.calibration import calibration_error, fit_temperature
from tiny_dancer.training.softmax_cross_entropy import SoftmaxCrossEntropy, softmax


@pytest.mark.parametrize("true_temperature", [0.3, 1.0, 4.0])
def test_finds_the_temperature_that_made_the_labels(true_temperature):
    generator = np.random.default_rng(0)
    logits = generator.normal(0, 3 * true_temperature, (20_000, 3))
    probabilities = softmax(logits / true_temperature)
    labels = (generator.random((20_000, 1)) > probabilities.cumsum(axis=1)).sum(axis=1)
    loss = SoftmaxCrossEntropy(labels, 3)
    rows = np.arange(20_000)
    temperature = fit_temperature(lambda t: loss(logits / t, rows)[0])
    assert temperature == pytest.approx(true_temperature, rel=0.05)


def test_temperature_stays_within_bounds():
    assert fit_temperature(lambda t: t) == pytest.approx(0.05, rel=0.01)
    assert fit_temperature(lambda t: -t) == pytest.approx(20, rel=0.01)


def test_error_by_hand():
    confidences = np.array([0.9, 0.6, 0.9, 0.6])
    right = np.array([True, False, True, True])
    # Two bins: |0.6 − 0.5| and |0.9 − 1|.
    assert calibration_error(confidences, right, bins=2) == pytest.approx(0.1)


def test_honest_confidence_has_little_error_and_boasting_much():
    generator = np.random.default_rng(1)
    confidences = generator.uniform(0.3, 1, 20_000)
    right = generator.random(20_000) < confidences
    assert calibration_error(confidences, right) < 0.015
    assert calibration_error(np.minimum(confidences + 0.2, 1), right) > 0.1


def test_fewer_rows_than_bins_and_none():
    assert calibration_error(np.array([0.5]), np.array([True])) == pytest.approx(0.5)
    assert math.isnan(calibration_error(np.zeros(0), np.zeros(0, bool)))
