"""Several objectives at once: a weighted sum, or quality for each dollar."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from tiny_dancer.policies.candidates import Candidates, Floats, Weights
from tiny_dancer.policies.normalisation import LEAST_COST


def balanced(candidates: Candidates, weights: Weights) -> Floats:
    """Score by capability match times the weighted sum of cost, latency and expected quality."""
    total = candidates.expected_quality * _factor(weights.quality)
    spared = candidates.thrift
    if spared is None:
        spared = thrift(weights, candidates.cheapness, candidates.speed)
    if spared is not None:
        total += spared
    total *= candidates.match
    return total


@lru_cache(maxsize=64)
def _factor(weight: float) -> Floats:
    """Return a number as an array [], for of a number NumPy makes one in each pass."""
    factor = np.array(weight)
    factor.flags.writeable = False
    return factor


def thrift(
    weights: Weights, cheapness: Callable[[], Floats], speed: Callable[[], Floats]
) -> Floats | None:
    """Return the weighted sum of cost and latency scores, None where neither counts.

    It is the same for all requests of a length, and the greater part of a balanced score's work.
    """
    if not weights.latency:
        return cheapness() * weights.cost if weights.cost else None
    spared = speed() * weights.latency
    return cheapness() * weights.cost + spared if weights.cost else spared


def quality_per_dollar(candidates: Candidates, weights: Weights) -> Floats:
    """Score by expected quality times match for each dollar, the best candidate being 1.

    A free agent costs a millionth of a dollar here. An unknown cost counts as the greatest of the
    known ones.
    """
    dollars = np.maximum(candidates.cost, LEAST_COST)
    unknown = np.isnan(dollars)
    if unknown.any():
        known = ~unknown if candidates.kept is None else ~unknown & candidates.kept
        dearest = np.where(known, dollars, -np.inf).max(axis=-1, keepdims=True)
        dollars = np.where(unknown, np.maximum(dearest, LEAST_COST), dollars)
    ratio = candidates.expected_quality * candidates.match
    ratio /= dollars
    compared = ratio if candidates.kept is None else np.where(candidates.kept, ratio, 0.0)
    greatest = compared.max(axis=-1, keepdims=True)
    return ratio / np.where(greatest > 0.0, greatest, 1.0)
