"""Platt scaling: log-odds stretched and shifted until they say what happens.

One slope for all agents and one shift for each, both pulled towards changing nothing by a
number of rows, so that few outcomes do no harm.

Source: Platt, Probabilistic Outputs for Support Vector Machines, 1999.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from tiny_dancer.predictors.linear_heads import LEAST, MOST, clipped
from tiny_dancer.predictors.observations import Floats, Mask
from tiny_dancer.training.sigmoid_cross_entropy import sigmoid

_STEPS = 20
_LENGTHS = (1.0, 0.5, 0.25, 0.1, 0.03, 0.01)
_LEAST_SLOPE = 0.05
"""A slope of 0 or below would turn the ranking of requests round."""


@dataclass(frozen=True, slots=True, eq=False)
class PlattScaling:
    """p' = σ(slope · logit(p) + shift).

    Attributes:
        slope: of all agents.
        shift: of each agent, [a].
    """

    slope: float
    shift: Floats

    @classmethod
    def fit(
        cls, predictions: Floats, targets: Floats, mask: Mask, *, prior_rows: float = 50.0
    ) -> Self:
        """Learn from predictions for rows that the predictor has not seen.

        Args:
            predictions: [n, a].
            targets: [n, a] in [0, 1].
            mask: which were observed, [n, a].
            prior_rows: strength of the pull towards slope 1 and shift 0, in outcomes.
        """
        odds = log_odds(predictions)
        counted = mask.astype(np.float64)
        pull = prior_rows / 4.0

        def loss(scaling: PlattScaling) -> float:
            scaled = scaling.slope * odds + scaling.shift
            entropies = np.logaddexp(0.0, scaled) - targets * scaled
            kept = (scaling.slope - 1.0) ** 2 + (scaling.shift**2).sum()
            return float((entropies * counted).sum() + 0.5 * pull * kept)

        best = cls(1.0, np.zeros(predictions.shape[1]))
        least = loss(best)
        for _ in range(_STEPS):
            by_slope, by_shift = _newton_step(best, odds, targets, counted, pull)
            # The loss is convex, yet far from its minimum a whole step can overshoot.
            for length in _LENGTHS:
                tried = cls(best.slope - length * by_slope, best.shift - length * by_shift)
                now = loss(tried)
                if now < least:
                    best, least = tried, now
                    break
            else:
                break
        return cls(max(best.slope, _LEAST_SLOPE), best.shift)

    def transform_one(self, predictions: Floats) -> Floats:
        """Scale predictions [a] in (0, 1) that need no check; overwrites them.

        In every decision, so each pass over the agents counts.
        """
        odds = predictions / (1.0 - predictions)
        np.log(odds, out=odds)
        odds *= 0.5 * self.slope
        odds += 0.5 * self.shift
        np.tanh(odds, out=odds)
        odds *= 0.5
        odds += 0.5
        np.minimum(odds, MOST, out=odds)
        return np.maximum(odds, LEAST, out=odds)

    def transform(self, predictions: Floats) -> Floats:
        """Scale predictions, [a] or [n, a]."""
        return clipped(sigmoid(self.slope * log_odds(predictions) + self.shift))


def log_odds(predictions: Floats) -> Floats:
    """log(p / (1 − p)), kept away from infinity."""
    p = clipped(predictions)
    return np.asarray(np.log(p / (1.0 - p)))


def _newton_step(
    at: PlattScaling, odds: Floats, targets: Floats, counted: Floats, pull: float
) -> tuple[float, Floats]:
    """What Newton's method subtracts from slope and shift."""
    p = sigmoid(at.slope * odds + at.shift)
    error, curve = (p - targets) * counted, np.maximum(p * (1.0 - p), 1e-4) * counted
    by_shift = error.sum(axis=0) + pull * at.shift
    by_slope = float((error * odds).sum() + pull * (at.slope - 1.0))
    # The Hessian is an arrow: a diagonal for the shifts, one row for the slope.
    diagonal = curve.sum(axis=0) + pull
    edge = (curve * odds).sum(axis=0)
    corner = float((curve * odds**2).sum() + pull - (edge**2 / diagonal).sum())
    step = (by_slope - float((edge * by_shift / diagonal).sum())) / corner
    return step, np.asarray((by_shift - edge * step) / diagonal)
