"""One opinion of several: their log-odds weighted and shifted until they say what happens.

p = σ(Σ w_m logit(p_m) + shift of the agent). With one member it is Platt scaling. Weights need
not sum to one: members that err apart may together be surer than each of them is. All is pulled
towards the plain mean by a number of outcomes, so that few outcomes do no harm.

Sources: Genest and Zidek, Combining Probability Distributions, 1986 (logarithmic pool); Wolpert,
Stacked Generalization, 1992; Platt, Probabilistic Outputs for Support Vector Machines, 1999.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from tiny_dancer.predictors.linear_heads import log_odds, probabilities
from tiny_dancer.predictors.observations import Floats, Mask
from tiny_dancer.training.sigmoid_cross_entropy import sigmoid

_STEPS = 40
_LENGTHS = (1.0, 0.5, 0.25, 0.1, 0.03, 0.01)
_LEAST_SUM = 0.05
"""Weights of 0 would leave nothing that ranks requests."""


@dataclass(frozen=True, slots=True, eq=False)
class LogOddsPool:
    """Weights and shifts.

    Attributes:
        weights: of each member, at least 0, [m].
        shift: of each agent, [a].
    """

    weights: Floats
    shift: Floats

    @classmethod
    def mean(cls, members: int, agents: int) -> Self:
        """The plain mean of the log-odds."""
        return cls(np.full(members, 1.0 / members), np.zeros(agents))

    @classmethod
    def fit(
        cls, predictions: Floats, targets: Floats, mask: Mask, *, prior_rows: float = 50.0
    ) -> Self:
        """Learn from predictions for rows that no member has seen.

        Args:
            predictions: [m, n, a].
            targets: [n, a] in [0, 1].
            mask: which were observed, [n, a].
            prior_rows: strength of the pull towards the plain mean, in outcomes.
        """
        odds = log_odds(predictions)
        counted = mask.astype(np.float64)
        pull = prior_rows / 4.0
        even = cls.mean(len(predictions), targets.shape[1])

        def loss(pool: LogOddsPool) -> float:
            pooled = np.tensordot(pool.weights, odds, axes=1) + pool.shift
            entropies = np.logaddexp(0.0, pooled) - targets * pooled
            moved = ((pool.weights - even.weights) ** 2).sum() + (pool.shift**2).sum()
            return float((entropies * counted).sum() + 0.5 * pull * moved)

        best, least = even, loss(even)
        for _ in range(_STEPS):
            by_weights, by_shift = _newton_step(best, even, odds, targets, counted, pull)
            before = least
            # The loss is convex, yet far from its minimum a whole step can overshoot, and a
            # weight that would fall below 0 stays there.
            for length in _LENGTHS:
                tried = cls(
                    np.maximum(best.weights - length * by_weights, 0.0),
                    best.shift - length * by_shift,
                )
                now = loss(tried)
                if now < least:
                    best, least = tried, now
                    break
            if before - least <= 1e-9 * before:
                break
        total = float(best.weights.sum())
        if total < _LEAST_SUM:
            return cls(best.weights + (_LEAST_SUM - total) / len(best.weights), best.shift)
        return best

    def transform(self, predictions: Floats) -> Floats:
        """Pool predictions, [m, n, a] → [n, a]."""
        return self.pooled(log_odds(predictions))

    def pooled(self, odds: Floats) -> Floats:
        """Pool log-odds, [m, n, a] → probabilities [n, a]."""
        return probabilities(np.tensordot(self.weights, odds, axes=1) + self.shift)


def _newton_step(
    at: LogOddsPool,
    even: LogOddsPool,
    odds: Floats,
    targets: Floats,
    counted: Floats,
    pull: float,
) -> tuple[Floats, Floats]:
    """What Newton's method subtracts from weights and shifts.

    A weight that is 0 and would fall further is held, as if its member were not there.
    """
    p = sigmoid(np.tensordot(at.weights, odds, axes=1) + at.shift)
    error, curve = (p - targets) * counted, np.maximum(p * (1.0 - p), 1e-4) * counted
    by_shift = error.sum(axis=0) + pull * at.shift
    gradient = np.tensordot(odds, error, axes=2) + pull * (at.weights - even.weights)
    free = np.flatnonzero((at.weights > 0.0) | (gradient < 0.0))
    # The Hessian is an arrow: a diagonal for the shifts, a few rows for the weights.
    diagonal = curve.sum(axis=0) + pull
    weighted = odds[free] * curve
    edges = weighted.sum(axis=1)
    corner = np.tensordot(weighted, odds[free], axes=((1, 2), (1, 2))) + pull * np.eye(len(free))
    corner -= (edges / diagonal) @ edges.T
    step = np.zeros(len(at.weights))
    step[free] = np.linalg.solve(corner, gradient[free] - edges @ (by_shift / diagonal))
    return step, np.asarray((by_shift - edges.T @ step[free]) / diagonal)
