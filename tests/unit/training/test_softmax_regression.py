"""Multinomial logistic regression against what must hold at its minimum."""

from __future__ import annotations

import numpy as np
import pytest

from tiny_dancer.training.softmax_regression import fit_softmax_regression, minimise


def rows(count=60, dimension=5, classes=3, seed=0):
    generator = np.random.default_rng(seed)
    inputs = generator.normal(size=(count, dimension)).astype(np.float32)
    wanted = (inputs @ generator.normal(size=(dimension, classes))).argmax(axis=1)
    return inputs, wanted


def fit(inputs, wanted, count=3, penalty=0.5, steps=200, after=lambda step: None):
    return fit_softmax_regression(inputs, wanted, count, penalty=penalty, steps=steps, after=after)


def test_the_gradient_vanishes_at_the_solution():
    inputs, wanted = rows()
    heads = fit(inputs, wanted, steps=500).astype(np.float64)
    logits = inputs @ heads[:, :-1].T + heads[:, -1]
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    gradient = (shares - np.eye(3)[wanted]).T @ inputs + 0.5 * heads[:, :-1]
    assert np.abs(gradient).max() < 0.1
    assert (logits.argmax(axis=1) == wanted).mean() > 0.9


def test_the_same_rows_give_the_same_weights():
    inputs, wanted = rows()
    assert np.array_equal(fit(inputs, wanted), fit(inputs, wanted))


def test_more_penalty_gives_smaller_weights():
    inputs, wanted = rows()
    norms = [np.linalg.norm(fit(inputs, wanted, penalty=p)[:, :-1]) for p in (0.1, 1.0, 10.0)]
    assert norms[0] > norms[1] > norms[2]


def test_one_class_and_classes_without_rows_stay_finite():
    inputs, _ = rows()
    nothing = np.zeros(len(inputs), np.intp)
    assert np.isfinite(fit(inputs, nothing, count=1)).all()
    heads = fit(inputs, nothing, count=4)
    assert np.isfinite(heads).all()
    assert (inputs @ heads[:, :-1].T + heads[:, -1]).argmax(axis=1).tolist() == [0] * len(inputs)


def test_it_can_be_ended_from_the_callback():
    inputs, wanted = rows()

    def stop(step):
        if step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(inputs, wanted, after=stop)


def test_the_minimum_of_a_narrow_valley_is_found():
    curvature = np.logspace(0, 3, 12)
    goal = np.arange(12.0)

    def valley(point):
        return float(0.5 * (curvature * (point - goal) ** 2).sum()), curvature * (point - goal)

    assert minimise(valley, np.zeros(12), 500, lambda step: None) == pytest.approx(goal, abs=0.2)
