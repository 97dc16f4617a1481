"""A table of mean quality by cluster of requests and agent; clusters by k-means on the sphere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from tiny_dancer.errors import InvalidArgumentError
from tiny_dancer.predictors.linear_heads import clipped
from tiny_dancer.predictors.nearest_requests import unit_rows
from tiny_dancer.predictors.observations import Floats, Observations
from tiny_dancer.predictors.predictor import Description, QualityPredictor, Tensors
from tiny_dancer.training.progress import Progress
from tiny_dancer.weights import Float32Array


class ClusterTable(QualityPredictor):
    """The mean quality of each agent in the nearest cluster.

    Args:
        clusters: how many, at most; fewer where there are fewer than eight rows for each.
        prior_weight: outcomes of the agent's overall mean added to each cell.
        rounds: of k-means, at most.
        seed: of the first centres (k-means++: Arthur and Vassilvitskii, SODA 2007).
    """

    kind = "clusters"

    def __init__(
        self, *, clusters: int = 64, prior_weight: float = 5.0, rounds: int = 25, seed: int = 0
    ) -> None:
        if clusters < 1:
            raise InvalidArgumentError(f"clusters must be at least 1, not {clusters}")
        self.clusters = clusters
        self.prior_weight = prior_weight
        self.rounds = rounds
        self.seed = seed

    def _learn(self, observations: Observations, progress: Progress) -> None:
        vectors = unit_rows(observations.embeddings)
        distinct = len(np.unique(observations.groups()))
        count = max(1, min(self.clusters, distinct // 8))
        centres, members = self._k_means(vectors, count, progress)
        belongs = np.zeros((count, len(vectors)))
        belongs[members, np.arange(len(vectors))] = 1.0
        means = observations.means()
        sums = belongs @ observations.targets + self.prior_weight * means
        counts = belongs @ observations.mask.astype(np.float64) + self.prior_weight
        self._centres, self._table = centres, (sums / counts).astype(np.float32)

    def _k_means(
        self, vectors: Float32Array, count: int, progress: Progress
    ) -> tuple[Float32Array, NDArray[np.int64]]:
        centres = _spread_centres(vectors, count, np.random.default_rng(self.seed))
        members = np.full(len(vectors), -1)
        for done in range(1, self.rounds + 1):
            nearest = (vectors @ centres.T).argmax(axis=1)
            progress(done, self.rounds, float("nan"))
            if np.array_equal(nearest, members):
                break
            members = nearest
            for cluster in range(count):
                inside = vectors[members == cluster]
                if len(inside):
                    centres[cluster] = unit_rows(inside.mean(axis=0, keepdims=True))[0]
        return centres, members

    def _predict_batch(self, embeddings: Float32Array, lexical: Float32Array) -> Floats:
        return clipped(self._table[(embeddings @ self._centres.T).argmax(axis=1)])

    def _state(self) -> tuple[Tensors, Description]:
        return {"centres": self._centres, "table": self._table}, {}

    @classmethod
    def _from_state(
        cls, tensors: Mapping[str, Float32Array], description: Mapping[str, Any]
    ) -> Self:
        self = cls(clusters=len(tensors["centres"]))
        self._centres, self._table = tensors["centres"], tensors["table"]
        return self


def _spread_centres(
    vectors: Float32Array, count: int, generator: np.random.Generator
) -> Float32Array:
    """Draw centres far from one another: k-means++."""
    chosen = [int(generator.integers(len(vectors)))]
    gap = 1.0 - vectors @ vectors[chosen[0]]
    for _ in range(count - 1):
        weight = np.maximum(gap, 0.0).astype(np.float64) + 1e-12
        chosen.append(int(generator.choice(len(vectors), p=weight / weight.sum())))
        gap = np.minimum(gap, 1.0 - vectors @ vectors[chosen[-1]])
    return vectors[chosen].copy()
