"""What happened on the nearest recorded requests: the mean over the k nearest of a sample."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np

from tiny_dancer.errors import InvalidArgumentError
from tiny_dancer.predictors.linear_heads import clipped
from tiny_dancer.predictors.observations import Floats, Observations
from tiny_dancer.predictors.predictor import Description, QualityPredictor, Tensors
from tiny_dancer.training.progress import Progress
from tiny_dancer.weights import Float32Array

_ROWS_AT_ONCE = 512


class NearestRequests(QualityPredictor):
    """k nearest neighbours by cosine.

    Args:
        k: neighbours; 40 to 100 is better than 5 (outcomes are noisy).
        sample: how many requests are kept, at most; drawn at random.
        prior_weight: outcomes of the agent's own mean added to those of the neighbours, so that
            an agent seldom tried nearby is not judged by one outcome.
        seed: of the draw.
    """

    kind = "nearest"

    def __init__(
        self, *, k: int = 100, sample: int = 20_000, prior_weight: float = 5.0, seed: int = 0
    ) -> None:
        if k < 1:
            raise InvalidArgumentError(f"k must be at least 1, not {k}")
        if sample < 1:
            raise InvalidArgumentError(f"sample must be at least 1, not {sample}")
        self.k = k
        self.sample = sample
        self.prior_weight = prior_weight
        self.seed = seed

    def _learn(self, observations: Observations, progress: Progress) -> None:
        progress(0, 1, float("nan"))
        kept = np.arange(len(observations))
        if len(kept) > self.sample:
            generator = np.random.default_rng(self.seed)
            kept = np.sort(generator.choice(kept, self.sample, replace=False))
        some = observations.rows(kept)
        self._set(
            unit_rows(some.embeddings),
            some.targets.astype(np.float32),
            some.mask.astype(np.float32),
            observations.means().astype(np.float32),
        )
        progress(1, 1, float("nan"))

    def _set(
        self, vectors: Float32Array, sums: Float32Array, counts: Float32Array, means: Float32Array
    ) -> None:
        self._vectors, self._sums, self._counts, self._means = vectors, sums, counts, means

    def _predict_batch(self, embeddings: Float32Array, lexical: Float32Array) -> Floats:
        predictions = np.empty((len(embeddings), len(self._means)))
        for start in range(0, len(embeddings), _ROWS_AT_ONCE):
            part = slice(start, start + _ROWS_AT_ONCE)
            cosines = embeddings[part] @ self._vectors.T
            nearest = np.argpartition(-cosines, min(self.k, len(self._vectors)) - 1, axis=1)
            nearest = nearest[:, : self.k]
            sums = self._sums[nearest].sum(axis=1) + self.prior_weight * self._means
            counts = self._counts[nearest].sum(axis=1) + self.prior_weight
            predictions[part] = sums / counts
        return clipped(predictions)

    def _state(self) -> tuple[Tensors, Description]:
        tensors = {
            "vectors": self._vectors,
            "sums": self._sums,
            "counts": self._counts,
            "means": self._means,
        }
        return tensors, {"k": self.k, "prior_weight": self.prior_weight}

    @classmethod
    def _from_state(
        cls, tensors: Mapping[str, Float32Array], description: Mapping[str, Any]
    ) -> Self:
        self = cls(k=int(description["k"]), prior_weight=float(description["prior_weight"]))
        self._set(tensors["vectors"], tensors["sums"], tensors["counts"], tensors["means"])
        return self


def unit_rows(vectors: Float32Array) -> Float32Array:
    """Bring rows to unit length; a row of zeros stays."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(lengths > 0.0, lengths, 1.0), dtype=np.float32)
