"""Mean quality of the agents chosen, beside what any router could reach."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def chosen_quality(predicted: Floats, quality: Floats) -> Floats:
    """Quality of the agent with the best prediction on each request, [n, a] → [n].

    Agents predicted equal share the choice, so that order plays no part.
    """
    best = predicted >= predicted.max(axis=1, keepdims=True)
    return np.asarray((quality * best).sum(axis=1) / best.sum(axis=1))


def oracle_quality(quality: Floats) -> Floats:
    """Quality of the best agent of each request, [n]: no router does better."""
    return np.asarray(quality.max(axis=1))
