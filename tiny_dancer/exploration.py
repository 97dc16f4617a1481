"""Exploration: now and then another candidate than the best one, with known probability.

Outcomes of the best agent alone say nothing of the others. With exploration a decision is drawn
from a mixture: with probability 1 - share the candidate that ranks first, else one drawn from a
softmax of the scores. The probabilities of all candidates are known exactly and are recorded, so
that what another policy would have led to can be estimated from the outcomes.

Source: Sutton and Barto, Reinforcement Learning, 2nd ed., 2.2 (epsilon-greedy) and 2.8 (softmax).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Exploration(NamedTuple):
    """How much is explored, and where chance comes from.

    Attributes:
        share: probability that the softmax decides, in (0, 1].
        temperature: by how many points of score a candidate must be worse to be drawn e times less
            often; the higher, the more even.
        random: returns a number drawn evenly from [0, 1).
    """

    share: float
    temperature: float
    random: Callable[[], float]

    def probabilities(self, scores: Floats, best: int) -> Floats:
        """Return the probability with which each candidate is drawn; they sum to 1.

        Args:
            scores: of the candidates, finite, shape [m], m ≥ 1.
            best: index of the one that ranks first.
        """
        weights = np.exp((scores - scores.max()) / self.temperature)
        probabilities: Floats = weights * (self.share / weights.sum())
        probabilities[best] = 0.0
        # What is left, so that rounding leaves no gap.
        probabilities[best] = 1.0 - probabilities.sum()
        return probabilities

    def draw(self, probabilities: Floats) -> int:
        """Return the index of a candidate drawn with these probabilities."""
        bounds = np.cumsum(probabilities)
        drawn = int(np.searchsorted(bounds, self.random() * bounds[-1], side="right"))
        return min(drawn, len(probabilities) - 1)
