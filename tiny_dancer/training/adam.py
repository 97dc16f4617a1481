"""Adam, with decoupled weight decay.

Source: Kingma and Ba, Adam: A Method for Stochastic Optimization, ICLR 2015; Loshchilov and
Hutter, Decoupled Weight Decay Regularization, ICLR 2019.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.floating[Any]]


class Adam:
    """Follows gradients downhill, each number at a pace of its own.

    Args:
        parameters: arrays by name; ``step`` changes them in place.
        learning_rate: the size of a step.
        weight_decay: share of a number taken away per step and unit of learning rate; only
            from arrays with two axes or more, so biases stay free.
        beta1: memory of the mean gradient.
        beta2: memory of the mean squared gradient.
        epsilon: keeps the division finite.
    """

    def __init__(
        self,
        parameters: Mapping[str, FloatArray],
        *,
        learning_rate: float = 1e-3,
        weight_decay: float = 0.0,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
    ) -> None:
        self.parameters = parameters
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self._beta1 = beta1
        self._beta2 = beta2
        self._epsilon = epsilon
        self._steps = 0
        self._mean = {name: np.zeros_like(value) for name, value in parameters.items()}
        self._square = {name: np.zeros_like(value) for name, value in parameters.items()}

    def step(self, gradients: Mapping[str, FloatArray]) -> None:
        """Move every parameter that has a gradient.

        Args:
            gradients: arrays by name, shaped like the parameters; a parameter without one
                stays as it is.
        """
        self._steps += 1
        mean_bias = 1.0 - self._beta1**self._steps
        square_bias = 1.0 - self._beta2**self._steps
        pace = self.learning_rate * math.sqrt(square_bias) / mean_bias
        for name, gradient in gradients.items():
            mean, square, value = self._mean[name], self._square[name], self.parameters[name]
            mean *= self._beta1
            mean += (1.0 - self._beta1) * gradient
            square *= self._beta2
            square += (1.0 - self._beta2) * gradient * gradient
            if self.weight_decay and value.ndim > 1:
                value *= 1.0 - self.learning_rate * self.weight_decay
            value -= pace * mean / (np.sqrt(square) + self._epsilon)
