"""Ridge regression: a linear head per agent over embedding and lexical features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np

from tiny_dancer.predictors.linear_heads import clipped
from tiny_dancer.predictors.observations import Floats, Observations
from tiny_dancer.predictors.predictor import Description, QualityPredictor, Tensors
from tiny_dancer.predictors.request_inputs import RequestInputs
from tiny_dancer.predictors.ridge_path import PENALTIES, fit_ridge
from tiny_dancer.training.progress import Progress
from tiny_dancer.weights import Float32Array


class RidgeHeads(QualityPredictor):
    """Linear heads in closed form, the penalty chosen by leaving rows out.

    Args:
        lexical_scale: deviation of a lexical feature beside an embedding of unit length; 0
            leaves them out.
        penalties: to choose from, ascending.

    Attributes:
        penalty_, contrast_penalty_, error_: see ``RidgeFit``.
    """

    kind = "ridge"

    def __init__(
        self, *, lexical_scale: float = 0.1, penalties: tuple[float, ...] = PENALTIES
    ) -> None:
        self.lexical_scale = lexical_scale
        self.penalties = penalties

    def _learn(self, observations: Observations, progress: Progress) -> None:
        progress(0, 1, float("nan"))
        inputs = RequestInputs.fit(
            observations, embedding_scale=1.0, lexical_scale=self.lexical_scale
        )
        features = inputs.transform(observations.embeddings, observations.lexical)
        fit = fit_ridge(features, observations, self.penalties)
        self._set(inputs, fit.coefficients.T.astype(np.float32), fit.offset.astype(np.float32))
        self.penalty_, self.contrast_penalty_ = fit.penalty, fit.contrast_penalty
        self.error_ = fit.error
        progress(1, 1, fit.error)

    def _set(self, inputs: RequestInputs, heads: Float32Array, offset: Float32Array) -> None:
        self._inputs = inputs
        self._heads = np.ascontiguousarray(heads)
        self._offset = offset

    def _predict_batch(self, embeddings: Float32Array, lexical: Float32Array) -> Floats:
        return clipped(self._inputs.transform(embeddings, lexical) @ self._heads.T + self._offset)

    def _predict(self, embedding: Float32Array, lexical: Float32Array) -> Floats:
        return clipped(self._heads.dot(self._inputs.transform(embedding, lexical)) + self._offset)

    def _state(self) -> tuple[Tensors, Description]:
        tensors = {**self._inputs.tensors(), "heads": self._heads, "offset": self._offset}
        return tensors, {
            "penalty": self.penalty_,
            "contrast_penalty": self.contrast_penalty_,
            "error": self.error_,
        }

    @classmethod
    def _from_state(
        cls, tensors: Mapping[str, Float32Array], description: Mapping[str, Any]
    ) -> Self:
        self = cls()
        self._set(RequestInputs.from_tensors(tensors), tensors["heads"], tensors["offset"])
        self.penalty_ = float(description["penalty"])
        self.contrast_penalty_ = float(description["contrast_penalty"])
        self.error_ = float(description["error"])
        return self
