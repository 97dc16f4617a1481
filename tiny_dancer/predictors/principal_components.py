"""The directions in which the embeddings of requests vary most.

What is learned of some hundreds of requests does not need all directions of an embedding, and a
decision reads every weight: on a few of them predictors are as good, and several times smaller. The
more requests there are, the more directions they bear.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from tiny_dancer.predictors.observations import Floats, Observations
from tiny_dancer.training.progress import Progress, ProgressReports
from tiny_dancer.weights import Float32Array

# Directions that are looked for beyond those kept, and how often their estimate is improved.
_BESIDE = 10
_ITERATIONS = 4
_BLOCK_ROWS = 4096
# Of 700 and 1,500 requests 64 directions are as good as all 384, of 4,500 and 9,000 they are not.
_LEAST_COMPONENTS = 64
_ROWS_PER_COMPONENT = 16


def components_for(rows: int, dimension: int) -> int | None:
    """How many components so many requests bear; None where they are hardly fewer than all."""
    count = max(_LEAST_COMPONENTS, rows // _ROWS_PER_COMPONENT)
    return count if 2 * count <= dimension else None


@dataclass(frozen=True, slots=True, eq=False)
class PrincipalComponents:
    """Orthonormal directions, the one in which most varies first.

    Attributes:
        directions: float32 [r, d].
    """

    directions: Float32Array

    @classmethod
    def fit(cls, vectors: Float32Array, most: int, seed: int, progress: Progress) -> Self:
        """Find them by iterating a random subspace (Halko, Martinsson, Tropp 2011).

        The vectors are not centred: their mean is one of the directions.

        Args:
            vectors: [n, d].
            most: how many directions, r; fewer where there are fewer rows or columns.
            seed: of the subspace.
            progress: called now and then, so that it can be cancelled.
        """
        width = min(most + _BESIDE, *vectors.shape)
        subspace = np.random.default_rng(seed).standard_normal((vectors.shape[1], width))
        reports = ProgressReports(progress, _ITERATIONS + 1)
        for iteration in range(_ITERATIONS):
            subspace = np.linalg.qr(_met_twice(vectors, subspace, reports, iteration))[0]
        within = subspace.T @ _met_twice(vectors, subspace, reports, _ITERATIONS)
        # Ascending, so the last ones are the greatest.
        turned = np.linalg.eigh((within + within.T) / 2.0)[1][:, ::-1]
        directions = (subspace @ turned).T[:most]
        return cls(np.ascontiguousarray(directions, dtype=np.float32))

    def transform(self, vectors: Float32Array) -> Float32Array:
        """Coordinates along the directions, [d] → [r] or [n, d] → [n, r]."""
        if vectors.ndim == 1:
            coordinates: Float32Array = self.directions.dot(vectors)
            return coordinates
        return np.asarray(vectors.dot(self.directions.T), dtype=np.float32)

    def of(self, observations: Observations) -> Observations:
        """The same rows with coordinates in the place of embeddings; equal ones stay equal."""
        groups = observations.groups()
        # The last bits of a product depend on its place among the rows.
        firsts = np.unique(groups, return_index=True)[1]
        coordinates = self.transform(observations.embeddings[firsts])[groups]
        return replace(observations, embeddings=coordinates)


def _met_twice(
    vectors: Float32Array, subspace: Floats, reports: ProgressReports, iteration: int
) -> Floats:
    """VᵀV times the subspace, [d, k], a block of rows after the other."""
    met = np.zeros(subspace.shape)
    for start in range(0, len(vectors), _BLOCK_ROWS):
        block = vectors[start : start + _BLOCK_ROWS]
        met += block.T @ (block @ subspace.astype(np.float32))
        reports.within(iteration, float("nan"))
    return met
