"""Platt scaling: log-odds stretched and shifted until they say what happens.

One slope for all agents and one shift for each, both pulled towards changing nothing by a
number of rows, so that few outcomes do no harm.

Source: Platt, Probabilistic Outputs for Support Vector Machines, 1999.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from tiny_dancer.predictors.linear_heads import clipped
from tiny_dancer.predictors.observations import Floats, Mask
from tiny_dancer.training.sigmoid_cross_entropy import sigmoid

_STEPS = 20


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
        slope, shift = 1.0, np.zeros(predictions.shape[1])
        pull = prior_rows / 4.0
        for _ in range(_STEPS):
            p = sigmoid(slope * odds + shift)
            error, curve = (p - targets) * counted, np.maximum(p * (1.0 - p), 1e-4) * counted
            by_shift = error.sum(axis=0) + pull * shift
            by_slope = float((error * odds).sum() + pull * (slope - 1.0))
            # The Hessian is an arrow: a diagonal for the shifts, one row for the slope.
            diagonal = curve.sum(axis=0) + pull
            edge = (curve * odds).sum(axis=0)
            corner = float((curve * odds**2).sum() + pull - (edge**2 / diagonal).sum())
            step = (by_slope - float((edge * by_shift / diagonal).sum())) / corner
            slope -= step
            shift = shift - (by_shift - edge * step) / diagonal
        return cls(max(slope, 0.05), shift)

    def transform(self, predictions: Floats) -> Floats:
        """Scale predictions, [a] or [n, a]."""
        return clipped(sigmoid(self.slope * log_odds(predictions) + self.shift))


def log_odds(predictions: Floats) -> Floats:
    """log(p / (1 − p)), kept away from infinity."""
    p = clipped(predictions)
    return np.asarray(np.log(p / (1.0 - p)))
