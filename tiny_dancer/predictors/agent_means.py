"""The simplest predictor: each agent's mean quality, whatever the request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np

from tiny_dancer.predictors.linear_heads import clipped
from tiny_dancer.predictors.observations import Floats, Observations
from tiny_dancer.predictors.predictor import Description, QualityPredictor, Tensors
from tiny_dancer.training.progress import Progress
from tiny_dancer.weights import Float32Array


class AgentMeans(QualityPredictor):
    """What every other predictor has to beat, and what is left where nothing can be learned."""

    kind = "means"

    def _learn(self, observations: Observations, progress: Progress) -> None:
        self._means = observations.means().astype(np.float32)
        progress(1, 1, float("nan"))

    def _predict_batch(self, embeddings: Float32Array, lexical: Float32Array) -> Floats:
        return np.repeat(clipped(self._means)[None], len(embeddings), axis=0)

    def _state(self) -> tuple[Tensors, Description]:
        return {"means": self._means}, {}

    @classmethod
    def _from_state(
        cls, tensors: Mapping[str, Float32Array], description: Mapping[str, Any]
    ) -> Self:
        self = cls()
        self._means = tensors["means"]
        return self
