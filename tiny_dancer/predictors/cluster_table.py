"""A table of mean quality by cluster of requests and agent."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Self

import numpy as np

from tiny_dancer.errors import InvalidArgumentError
from tiny_dancer.predictors.linear_heads import log_odds
from tiny_dancer.predictors.log_odds_heads import LogOddsHeads, MakeFeatures
from tiny_dancer.predictors.observations import Floats, Observations
from tiny_dancer.predictors.predictor import Description, Tensors
from tiny_dancer.predictors.request_clusters import RequestClusters, softmax, softmax_of_one
from tiny_dancer.predictors.request_inputs import RequestInputs, part_scales
from tiny_dancer.training.progress import Progress
from tiny_dancer.weights import Float32Array

_ROWS_PER_CLUSTER = 8


class ClusterTable(LogOddsHeads):
    """The log-odds of each agent in the clusters that a request belongs to, by membership.

    Args:
        clusters: how many, at most; fewer where there are fewer than eight rows for each.
        breadth: how many of them a request belongs to; 1 is the nearest alone.
        lexical_scales: deviations of a lexical feature, beside embeddings of unit length, to
            choose from by the error on rows left out.
        prior_weight: outcomes of the agent's overall mean added to each cell.
        seed: of the first centres.

    Attributes:
        lexical_scale_: what was chosen.
    """

    kind = "clusters"

    def __init__(
        self,
        *,
        clusters: int = 128,
        breadth: float = 3.0,
        lexical_scales: tuple[float, ...] = (0.1, 0.2),
        prior_weight: float = 5.0,
        seed: int = 0,
    ) -> None:
        if clusters < 1:
            raise InvalidArgumentError(f"clusters must be at least 1, not {clusters}")
        if not (np.isfinite(breadth) and breadth >= 1.0):
            raise InvalidArgumentError(f"breadth must be at least 1, not {breadth!r}")
        if not (np.isfinite(prior_weight) and prior_weight > 0.0):
            raise InvalidArgumentError(f"prior_weight must be above 0, not {prior_weight!r}")
        self.clusters = clusters
        self.breadth = breadth
        self.lexical_scales = lexical_scales
        self.prior_weight = prior_weight
        self.seed = seed

    def _learn(self, observations: Observations, progress: Progress) -> None:
        distinct = len(np.unique(observations.groups()))
        count = max(1, min(self.clusters, distinct // _ROWS_PER_CLUSTER))
        inputs = RequestInputs.fit(observations)
        points = inputs.transform(observations.embeddings, observations.lexical)
        least = float("inf")
        for lexical_scale in self.lexical_scales:
            scales = part_scales(observations, embedding_scale=1.0, lexical_scale=lexical_scale)
            clusters = RequestClusters.fit(
                points * scales, count, breadth=self.breadth, seed=self.seed, progress=progress
            ).scaled(scales)
            belongs = clusters.memberships(points).astype(np.float64)
            error = self._error(belongs, observations)
            if error < least:
                least, self.lexical_scale_ = error, lexical_scale
                table = log_odds(self._table(belongs, observations)).T.astype(np.float32)
                self._set(inputs, clusters, np.ascontiguousarray(table))

    def _table(self, belongs: Floats, observations: Observations) -> Floats:
        """Mean quality by cluster and agent, [k, a]."""
        sums = belongs.T @ observations.targets + self.prior_weight * observations.means()
        counts = belongs.T @ observations.mask.astype(np.float64) + self.prior_weight
        return np.asarray(sums / counts)

    def _error(self, belongs: Floats, observations: Observations) -> float:
        """The squared error on rows left out of the cells that predict them, over all agents."""
        means = observations.means()
        error = 0.0
        for agent in range(observations.agents):
            rows = np.flatnonzero(observations.mask[:, agent])
            own, targets = belongs[rows], observations.targets[rows, agent]
            counts = own.sum(axis=0) + self.prior_weight - own
            sums = own.T @ targets + self.prior_weight * means[agent] - own * targets[:, None]
            error += float(((targets - (own * sums / counts).sum(axis=1)) ** 2).sum())
        return error

    def _set(self, inputs: RequestInputs, clusters: RequestClusters, heads: Float32Array) -> None:
        self._inputs, self._clusters, self._heads = inputs, clusters, heads
        self._offset = np.zeros(len(heads), dtype=np.float32)

    @property
    def _rows(self) -> tuple[Float32Array, Float32Array]:
        return self._clusters.directions, -self._clusters.offset

    def _maker(self, sums: Float32Array, out: Float32Array) -> MakeFeatures:
        return softmax_of_one(sums, out) if sums.ndim == 1 else partial(softmax, sums, out)

    def _state(self) -> tuple[Tensors, Description]:
        tensors = {**self._inputs.tensors(), **self._clusters.tensors(), "heads": self._heads}
        return tensors, {"lexical_scale": self.lexical_scale_}

    @classmethod
    def _from_state(
        cls, tensors: Mapping[str, Float32Array], description: Mapping[str, Any]
    ) -> Self:
        self = cls(clusters=len(tensors["directions"]))
        self.lexical_scale_ = float(description["lexical_scale"])
        self._set(
            RequestInputs.from_tensors(tensors),
            RequestClusters.from_tensors(tensors),
            np.ascontiguousarray(tensors["heads"]),
        )
        return self
