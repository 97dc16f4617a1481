"""How similar a request is to a route, and how sure that makes the route.

The constants were fitted with all-MiniLM-L6-v2 (int8) on public intent data; the page on semantic
routes in the documentation has the figures.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# Similarity of a route: the mean of its most similar utterances, weighted by exp(similarity / T).
# An utterance met exactly counts almost alone; several that are near count together.
POOLED = 3
POOL_TEMPERATURE = 0.2
# The more utterances a route has, the nearer is the nearest of them to anything.
THRESHOLD_GROWTH = 0.06
# Log-odds that a route is right, given that some route is: by similarity, by margin, and fixed.
CONFIDENCE_SIMILARITY = 1.03
CONFIDENCE_MARGIN = 20.34
CONFIDENCE_INTERCEPT = -0.81


def pooled_similarity(similarity: NDArray[Any], counts: NDArray[np.int64]) -> NDArray[Any]:
    """Return the similarity of each route from those of its vectors.

    Args:
        similarity: of the vectors, grouped by route, shape [vectors].
        counts: how many vectors each route has, at least 1, shape [routes].
    """
    if len(counts) == len(similarity):
        return similarity
    ends = np.cumsum(counts)
    order = np.lexsort((-similarity, np.repeat(np.arange(len(counts)), counts)))
    rank = np.arange(POOLED)
    slots = np.minimum((ends - counts)[:, None] + rank, len(similarity) - 1)
    best = np.where(rank < counts[:, None], similarity[order[slots]], -np.inf)
    weight = np.exp((best - best[:, :1]) / POOL_TEMPERATURE)
    pooled: NDArray[Any] = (weight * np.maximum(best, -1.0)).sum(axis=1) / weight.sum(axis=1)
    return pooled


def pooled_of(similarity: NDArray[Any]) -> float:
    """Return the similarity of one route from those of its vectors, of which it has at least 1."""
    best: list[float] = similarity.tolist()
    if len(best) == 1:
        return best[0]
    best = sorted(best, reverse=True)[:POOLED]
    weights = [math.exp((value - best[0]) / POOL_TEMPERATURE) for value in best]
    summed = sum(weight * value for weight, value in zip(weights, best, strict=True))
    return summed / sum(weights)


def default_thresholds(
    counts: NDArray[np.int64],
    has_utterances: NDArray[np.bool_],
    utterance_threshold: float,
    description_threshold: float,
) -> Floats:
    """Return the least similarity of routes that state none of their own, shape [routes].

    Args:
        counts: how many vectors each route has, at least 1.
        has_utterances: whether these are of utterances; otherwise of a description.
        utterance_threshold: of a route with one utterance.
        description_threshold: of a route that has but one embedding.
    """
    grown = utterance_threshold + THRESHOLD_GROWTH * np.log(np.maximum(counts, 1))
    thresholds: Floats = np.where(has_utterances, np.minimum(grown, 1.0), description_threshold)
    return thresholds


def confidence(similarity: float, margin: float) -> float:
    """Return the probability that a route is right, given that one of the routes is.

    Args:
        similarity: of the request and the route.
        margin: by how much it exceeds that of the most similar other route; negative where
            another is more similar.
    """
    odds = CONFIDENCE_SIMILARITY * similarity + CONFIDENCE_MARGIN * margin + CONFIDENCE_INTERCEPT
    return 1.0 / (1.0 + math.exp(-odds))
