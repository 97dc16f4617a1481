"""How much each of several predictors should count: least loss on rows that none has seen.

Source: Wolpert, Stacked Generalization, Neural Networks 1992; Breiman, Stacked Regressions, 1996
(weights that are not negative and sum to one).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tiny_dancer.predictors.linear_heads import clipped
from tiny_dancer.predictors.observations import Floats, Mask

_ROUNDS = 300


def mixture_weights(
    predictions: Floats, targets: Floats, mask: Mask, *, prior_rows: float = 100.0
) -> Floats:
    """Find weights of the arithmetic mean with the least cross-entropy.

    Args:
        predictions: out of fold, [m, n, a].
        targets: [n, a] in [0, 1].
        mask: which were observed, [n, a].
        prior_rows: pull towards equal weights, in outcomes: with few rows the weights stay near
            1/m.

    Returns:
        Weights ≥ 0 that sum to 1, [m].
    """
    members = len(predictions)
    p = clipped(predictions[:, mask])
    t = targets[mask]
    weights: Floats = np.full(members, 1.0 / members)
    if members == 1:
        return weights
    pull = prior_rows / (len(t) + prior_rows)
    # The step of expectation maximisation for mixture shares: the likelihood never falls.
    for _ in range(_ROUNDS):
        mixed = weights @ p
        gain = (p * (t / mixed) + (1.0 - p) * ((1.0 - t) / (1.0 - mixed))).mean(axis=1)
        weights = (1.0 - pull) * weights * gain + pull / members
        weights /= weights.sum()
    return weights


def without_trifles(weights: Floats, least: float) -> tuple[NDArray[np.int64], Floats]:
    """Drop members whose weight is below ``least``: each costs time in every decision.

    Returns:
        The numbers of those kept, and their weights, which sum to 1.
    """
    kept = np.flatnonzero(weights >= min(least, float(weights.max())))
    return kept, weights[kept] / weights[kept].sum()
