"""Clusters of requests by k-means, and how much a request belongs to each."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np

from tiny_dancer.training.progress import Progress, no_progress
from tiny_dancer.weights import Float32Array

_ROUNDS = 25
_BISECTIONS = 12
_SHARPEST = 1000.0
_ROWS_FOR_BREADTH = 1000
# Within these, exponentials of float32 and their sums neither overflow nor lose digits.
_LARGEST_EXPONENT = np.array(80.0, np.float32)
_LEAST_SUM, _MOST_SUM = math.exp(-60.0), math.exp(79.0)


@dataclass(frozen=True, slots=True, eq=False)
class RequestClusters:
    """Centres, and how sharply membership falls off with the distance from them.

    Memberships are the softmax of −sharpness · ‖x − c‖² / 2, in which ‖x‖ cancels out.

    Attributes:
        directions: centres times the sharpness, float32 [k, d].
        offset: half the squared lengths of the centres times the sharpness, float32 [k].
    """

    directions: Float32Array
    offset: Float32Array

    @classmethod
    def fit(
        cls,
        points: Float32Array,
        count: int,
        *,
        breadth: float,
        seed: int,
        progress: Progress = no_progress,
    ) -> Self:
        """Find centres, and the sharpness at which requests belong to a few clusters each.

        Models differ in how far apart they place requests, so the sharpness is not fixed: it is
        chosen by the breadth that it gives, as the perplexity is in t-SNE.

        Args:
            points: the training requests, [n, d].
            count: of the clusters, at most n.
            breadth: how many clusters a request belongs to: e to the mean entropy of its
                memberships.
            seed: of the first centres (k-means++: Arthur and Vassilvitskii, SODA 2007).
            progress: counts the rounds of k-means.
        """
        centres = _k_means(points, count, np.random.default_rng(seed), progress)
        halves = np.float32(0.5) * (centres**2).sum(axis=1)
        step = max(1, len(points) // _ROWS_FOR_BREADTH)
        sharpness = np.float32(_sharpness(points[::step] @ centres.T - halves, breadth))
        return cls(np.ascontiguousarray(sharpness * centres), sharpness * halves)

    def memberships(self, points: Float32Array) -> Float32Array:
        """How much requests belong to each cluster: [d] → [k], or [n, d] → [n, k]; sums to 1."""
        return softmax(points.dot(self.directions.T) - self.offset)

    def scaled(self, scales: Float32Array) -> RequestClusters:
        """The same clusters for points that are yet to be multiplied with scales [d]."""
        return RequestClusters(self.directions * scales, self.offset)

    def tensors(self) -> dict[str, Float32Array]:
        """What was learned, by name."""
        return {"directions": self.directions, "cluster_offset": self.offset}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Float32Array]) -> Self:
        """Read back what ``tensors`` returned."""
        return cls(np.ascontiguousarray(tensors["directions"]), tensors["cluster_offset"])


def softmax(nearness: Float32Array, out: Float32Array | None = None) -> Float32Array:
    """The softmax along the last axis, [k] or [n, k], into ``out``; overwrites its argument."""
    nearness -= nearness.max(axis=-1, keepdims=True)
    np.exp(nearness, nearness)
    total = nearness.sum(axis=-1, keepdims=True)
    shares: Float32Array = np.divide(nearness, total, out=out)
    return shares


def softmax_of_one(nearness: Float32Array, out: Float32Array) -> Callable[[], None]:
    """Return what puts the softmax of the array [k] into ``out``, whatever it then holds.

    It is part of every decision. Looking for the greatest number first takes as long as all the
    rest, and mostly none is so far from 0 that its exponential is not exact.
    """
    ones, total = np.ones(len(nearness), np.float32), np.empty((), np.float32)

    def make() -> None:
        np.minimum(nearness, _LARGEST_EXPONENT, out=out)
        np.exp(out, out)
        out.dot(ones, total)
        # What was cut off makes a sum beyond these bounds, and NaN one that is not between them.
        if _LEAST_SUM < total.item() < _MOST_SUM:
            np.divide(out, total, out)
        else:
            softmax(nearness, out)

    return make


def _sharpness(nearness: Float32Array, breadth: float) -> float:
    """Bisect for the sharpness whose memberships have this breadth; it falls as they sharpen."""
    low, high = 0.0, float(np.log(_SHARPEST))
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2.0
        shares = softmax(np.float32(np.exp(middle)) * nearness)
        entropy = -(shares * np.log(np.maximum(shares, 1e-12))).sum(axis=1).mean()
        if np.exp(entropy) > breadth:
            low = middle
        else:
            high = middle
    return float(np.exp((low + high) / 2.0))


def _k_means(
    points: Float32Array, count: int, generator: np.random.Generator, progress: Progress
) -> Float32Array:
    centres = _spread_centres(points, count, generator)
    members = np.full(len(points), -1)
    for done in range(1, _ROUNDS + 1):
        nearest = (points @ centres.T - 0.5 * (centres**2).sum(axis=1)).argmax(axis=1)
        progress(done, _ROUNDS, float("nan"))
        if np.array_equal(nearest, members):
            break
        members = nearest
        order = np.argsort(members, kind="stable")
        present, starts, sizes = np.unique(members[order], return_index=True, return_counts=True)
        centres[present] = np.add.reduceat(points[order], starts, axis=0) / sizes[:, None]
    return centres


def _spread_centres(
    points: Float32Array, count: int, generator: np.random.Generator
) -> Float32Array:
    """Draw centres far from one another."""
    lengths = (points**2).sum(axis=1)
    chosen = [int(generator.integers(len(points)))]
    gap = np.full(len(points), np.inf)
    for _ in range(count - 1):
        newest = chosen[-1]
        reach = lengths + lengths[newest] - 2.0 * (points @ points[newest])
        gap = np.minimum(gap, np.maximum(reach, 0.0))
        weight = gap + 1e-12
        chosen.append(int(generator.choice(len(points), p=weight / weight.sum())))
    return points[chosen].copy()
