"""What speaks for a route, beside its linear head: its utterances near the request.

``density`` is a soft nearest neighbour: log of the sum of exp(sharpness · cosine) over a route's
utterances, less half the log of their number, divided by the sharpness. A single near utterance
counts, several count more; it is what a kernel method adds to a linear one. The cosines may be
those under a learned map (``mapped``), which puts nearer together what means the same.
``centrality`` is the cosine with the mean of the utterances, which tells best whether a request is
in scope at all.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Positions = NDArray[np.intp]
Vectors = NDArray[np.float32]
Counts = NDArray[np.int64]

# As similar as nothing: the density of a route without an utterance.
FLOOR = -1.0


def density(similarity: Vectors, starts: Positions, counts: Counts, sharpness: float) -> Vectors:
    """Return the density of routes at requests.

    Args:
        similarity: cosines with the utterances, grouped by route, [..., utterances].
        starts: where each route's utterances begin, [routes].
        counts: how many it has, at least 1, [routes].
        sharpness: above 0.

    Returns:
        [..., routes].
    """
    near = np.exp(np.float32(sharpness) * (similarity - np.float32(1.0)))
    return of_sums(np.add.reduceat(near, starts, axis=-1), counts, sharpness)


def of_sums(sums: NDArray[Any], counts: NDArray[Any], sharpness: float) -> Vectors:
    """Return densities from sums of exp(sharpness · (cosine − 1)); FLOOR where counts are 0."""
    with np.errstate(divide="ignore"):
        found = 1.0 + (np.log(sums) - 0.5 * np.log(np.maximum(counts, 1))) / sharpness
    floored: Vectors = np.maximum(np.where(counts > 0, found, FLOOR), FLOOR).astype(np.float32)
    return floored


def centres(vectors: Vectors, starts: Positions) -> Vectors:
    """Return the unit mean vector of each group of rows, [routes, dimension]."""
    return unit_rows(np.add.reduceat(vectors, starts, axis=0))


def mapped(vectors: Vectors, metric: Vectors) -> Vectors:
    """Return where a map puts vectors, as unit rows; the vectors as they are by an empty map.

    Args:
        vectors: [..., dimension].
        metric: see ``RouteHead.metric``.
    """
    return unit_rows(vectors @ metric.T) if len(metric) else vectors


def unit_rows(rows: NDArray[Any]) -> Vectors:
    """Return rows scaled to unit length; a row without direction stays as it is."""
    length = np.linalg.norm(rows, axis=-1, keepdims=True)
    scaled: Vectors = (rows / np.where(length > 1e-12, length, 1.0)).astype(np.float32)
    return scaled
