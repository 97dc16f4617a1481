"""Costs and latencies as scores in [0, 1], on a log scale over the candidates."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]

# Below these, differences mean nothing: a millionth of a dollar, a millisecond.
LEAST_COST = 1e-6
LEAST_LATENCY_MS = 1.0
# Logarithms nearer than this are equal.
LEAST_SPAN = 1e-12


def less_is_better(values: Floats, least: float, kept: Booleans | None = None) -> Floats:
    """Map the least value to 1 and the greatest to 0, by their logarithms.

    Costs and latencies span orders of magnitude; on a linear scale one dear agent would make
    all others look alike. Where all are equal, all get 1. What is unknown (NaN) gets 0 where
    anything is known, and counts as equal where nothing is.

    Args:
        values: shape [m], or [b, m] for b requests, at least 0, NaN where unknown.
        least: values below this count as this.
        kept: which values are compared; the scores of the others mean nothing. By default all.
    """
    logs = np.log(np.maximum(values, least))
    if kept is not None:
        return _among(logs, kept)
    lowest, greatest = np.minimum.reduce(logs), np.maximum.reduce(logs)
    if greatest != greatest:
        return _among(logs, np.ones(logs.shape, dtype=bool))
    span = greatest - lowest
    if span <= LEAST_SPAN:
        return np.ones_like(logs)
    np.subtract(greatest, logs, out=logs)
    logs *= 1.0 / span
    return logs


def _among(logs: Floats, kept: Booleans) -> Floats:
    known = kept & ~np.isnan(logs)
    lowest = np.where(known, logs, np.inf).min(axis=-1, keepdims=True)
    greatest = np.where(known, logs, -np.inf).max(axis=-1, keepdims=True)
    nothing_known = greatest == -np.inf
    with np.errstate(invalid="ignore"):
        span = np.where(nothing_known, 0.0, greatest - lowest)
        scores = (greatest - logs) * (1.0 / np.where(span > LEAST_SPAN, span, 1.0))
    scores = np.where(span > LEAST_SPAN, scores, 1.0)
    return np.where(known | nothing_known, scores, 0.0)
