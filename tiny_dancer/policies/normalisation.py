"""Costs and latencies as scores in [0, 1], on a log scale over the candidates."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# Below these, differences mean nothing: a millionth of a dollar, a millisecond.
LEAST_COST = 1e-6
LEAST_LATENCY_MS = 1.0


def less_is_better(values: Floats, least: float) -> Floats:
    """Map the least value to 1 and the greatest to 0, by their logarithms.

    Costs and latencies span orders of magnitude; on a linear scale one dear agent would make
    all others look alike. NaN (unknown) counts as the greatest. Where all are equal, all get 1.

    Args:
        values: shape [m], at least 0, NaN where unknown.
        least: values below this count as this.
    """
    logs = np.log(np.maximum(values, least))
    lowest, greatest = _range(logs)
    span = greatest - lowest
    if not span > 1e-12:
        return np.ones_like(logs)
    scores: Floats = (greatest - logs) * (1.0 / span)
    return np.nan_to_num(scores, nan=0.0, copy=False)


def _range(logs: Floats) -> tuple[float, float]:
    lowest, greatest = logs.min(), logs.max()
    if greatest == greatest:  # NaN would have spread into both
        return float(lowest), float(greatest)
    known = logs[~np.isnan(logs)]
    return (float(known.min()), float(known.max())) if len(known) else (0.0, 0.0)
