"""A request as one vector: its embedding and its lexical features, side by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from tiny_dancer.lexical_features import Standardisation
from tiny_dancer.predictors.observations import Observations
from tiny_dancer.weights import Float32Array


@dataclass(frozen=True, slots=True, eq=False)
class RequestInputs:
    """Scales both parts, as learned from training rows, and puts them together.

    Attributes:
        mean: subtracted from each column of [embedding, lexical], float32 [d + l].
        factor: then multiplied with, float32 [d + l].
        limit: the largest magnitude of a scaled column, float32 [d + l].
    """

    mean: Float32Array
    factor: Float32Array
    limit: Float32Array

    @classmethod
    def fit(
        cls,
        observations: Observations,
        *,
        embedding_scale: float = 1.0,
        lexical_scale: float = 1.0,
    ) -> Self:
        """Learn the scales.

        Args:
            observations: the training rows.
            embedding_scale: length of an embedding afterwards, on average.
            lexical_scale: deviation of a lexical feature afterwards.
        """
        vectors, words = observations.embeddings, observations.lexical
        length = float(np.sqrt((vectors.astype(np.float64) ** 2).sum(axis=1).mean()))
        standard = Standardisation.fit(words)
        d = vectors.shape[1]
        factor = np.full(d, embedding_scale / (length or 1.0), dtype=np.float32)
        limit = np.full(d, np.float32(10.0 * embedding_scale))
        return cls(
            np.concatenate([np.zeros(d, dtype=np.float32), standard.mean]),
            np.concatenate([factor, np.float32(lexical_scale) / standard.scale]),
            np.concatenate([limit, np.full(words.shape[1], np.float32(4.0 * lexical_scale))]),
        )

    def __eq__(self, other: object) -> bool:
        """Whether both scale every request alike."""
        return isinstance(other, RequestInputs) and all(
            np.array_equal(mine, theirs)
            for mine, theirs in zip(self.tensors().values(), other.tensors().values(), strict=True)
        )

    __hash__ = None  # type: ignore[assignment]

    def transform(self, embeddings: Float32Array, lexical: Float32Array) -> Float32Array:
        """Turn [d] and [l], or [n, d] and [n, l], into [d + l] or [n, d + l]."""
        joined = np.concatenate((embeddings, lexical), axis=-1)
        joined -= self.mean
        joined *= self.factor
        np.minimum(joined, self.limit, out=joined)
        np.maximum(joined, -self.limit, out=joined)
        return joined

    @property
    def length(self) -> int:
        """How many columns a request has, d + l."""
        return len(self.mean)

    def bounds(self) -> tuple[Float32Array, Float32Array]:
        """The least and greatest values [d + l] that are told apart before anything is scaled."""
        reach = self.limit / self.factor
        return self.mean - reach, self.mean + reach

    def folded(self, rows: Float32Array, shift: NDArray[Any]) -> Float32Array:
        """Rows for standardised requests as rows for what comes in, [p, d + l] → [p, d + l + 1].

        That is within ``bounds`` and has a 1 at its end, which takes the place of the means.

        Args:
            rows: [p, d + l].
            shift: added to the products, [p].
        """
        scaled = rows.astype(np.float64) * self.factor
        ones = shift - scaled @ self.mean.astype(np.float64)
        return np.ascontiguousarray(np.column_stack([scaled, ones]), dtype=np.float32)

    def tensors(self) -> dict[str, Float32Array]:
        """What was learned, by name."""
        return {
            "input_mean": self.mean,
            "input_factor": self.factor,
            "input_limit": self.limit,
        }

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Float32Array]) -> Self:
        """Read back what ``tensors`` returned."""
        return cls(tensors["input_mean"], tensors["input_factor"], tensors["input_limit"])


def part_scales(
    observations: Observations, *, embedding_scale: float, lexical_scale: float
) -> Float32Array:
    """What standardised columns are to be multiplied with, [d + l]."""
    return np.concatenate(
        [
            np.full(observations.embeddings.shape[1], embedding_scale, dtype=np.float32),
            np.full(observations.lexical.shape[1], lexical_scale, dtype=np.float32),
        ]
    )
