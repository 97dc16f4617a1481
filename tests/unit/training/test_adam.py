"""Adam: two steps by hand, decay, and what has no gradient."""

from __future__ import annotations

import numpy as np
import pytest

from tiny_dancer.training.adam import Adam


def test_two_steps_by_hand():
    parameters = {"a": np.array([1.0])}
    adam = Adam(parameters, learning_rate=0.1)
    adam.step({"a": np.array([2.0])})
    # Bias-corrected mean 2 and square 4: 1 − 0.1·2/2.
    assert parameters["a"][0] == pytest.approx(0.9)
    adam.step({"a": np.array([-1.0])})
    # mean (0.9·0.2 − 0.1)/0.19 = 0.4210526, square (0.999·0.004 + 0.001)/0.001999 = 2.4992496.
    assert parameters["a"][0] == pytest.approx(0.9 - 0.1 * 0.4210526 / 2.4992496**0.5, abs=1e-6)


def test_decay_shrinks_matrices_only():
    parameters = {"matrix": np.ones((1, 1)), "bias": np.ones(1)}
    adam = Adam(parameters, learning_rate=0.1, weight_decay=0.5)
    adam.step({"matrix": np.zeros((1, 1)), "bias": np.zeros(1)})
    assert parameters["matrix"][0, 0] == pytest.approx(0.95)
    assert parameters["bias"][0] == 1.0


def test_without_a_gradient_nothing_moves():
    parameters = {"a": np.ones((2, 2)), "b": np.ones((2, 2))}
    Adam(parameters, weight_decay=0.5).step({"a": np.ones((2, 2))})
    assert (parameters["b"] == 1).all()
    assert (parameters["a"] < 1).all()


def test_finds_the_bottom_of_a_bowl():
    parameters = {"a": np.array([5.0, -3.0])}
    adam = Adam(parameters, learning_rate=0.05)
    for _ in range(800):
        adam.step({"a": 2 * (parameters["a"] - np.array([1.0, 2.0]))})
    np.testing.assert_allclose(parameters["a"], [1.0, 2.0], atol=1e-3)
