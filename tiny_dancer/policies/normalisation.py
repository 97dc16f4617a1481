"""Costs and latencies as scores in [0, 1], on a log scale over the candidates."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# Below these, differences mean nothing: a millionth of a dollar, a millisecond.
LEAST_COST = 1e-6
LEAST_LATENCY_MS = 1.0
# Logarithms nearer than this are equal.
LEAST_SPAN = 1e-12


def less_is_better(values: Floats, least: float) -> Floats:
    """Map the least value to 1 and the greatest to 0, by their logarithms.

    Costs and latencies span orders of magnitude; on a linear scale one dear agent would make
    all others look alike. Where all are equal, all get 1. What is unknown (NaN) gets 0 where
    anything is known, and counts as equal where nothing is.

    Args:
        values: shape [m], at least 0, NaN where unknown.
        least: values below this count as this.
    """
    logs = np.log(np.maximum(values, least))
    lowest, greatest = np.minimum.reduce(logs), np.maximum.reduce(logs)
    if greatest != greatest:
        return _with_unknown(logs)
    span = greatest - lowest
    if span <= LEAST_SPAN:
        return np.ones_like(logs)
    np.subtract(greatest, logs, out=logs)
    logs *= 1.0 / span
    return logs


def _with_unknown(logs: Floats) -> Floats:
    unknown = np.isnan(logs)
    known = logs[~unknown]
    if not len(known):
        return np.ones_like(logs)
    greatest, span = known.max(), known.max() - known.min()
    scores: Floats = np.ones_like(logs) if span <= LEAST_SPAN else (greatest - logs) / span
    scores[unknown] = 0.0
    return scores
