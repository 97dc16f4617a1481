"""Logistic regression: a linear head per agent in log-odds, fitted by Newton's method."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np

from tiny_dancer.predictors.linear_heads import clipped
from tiny_dancer.predictors.observations import Floats, Observations
from tiny_dancer.predictors.predictor import Description, QualityPredictor, Tensors
from tiny_dancer.predictors.request_inputs import RequestInputs
from tiny_dancer.training.progress import Progress
from tiny_dancer.training.sigmoid_cross_entropy import sigmoid
from tiny_dancer.weights import Float32Array

_STEPS = 12
_SETTLED = 1e-5


class LogisticHeads(QualityPredictor):
    """Linear heads with a sigmoid, L2-penalised; targets between 0 and 1 are rates.

    Args:
        lexical_scale: deviation of a lexical feature beside an embedding of unit length.
        penalty: of the squared weights, in rows.
    """

    kind = "logistic"

    def __init__(self, *, lexical_scale: float = 0.1, penalty: float = 3.0) -> None:
        self.lexical_scale = lexical_scale
        self.penalty = penalty

    def _learn(self, observations: Observations, progress: Progress) -> None:
        inputs = RequestInputs.fit(
            observations, embedding_scale=1.0, lexical_scale=self.lexical_scale
        )
        features = inputs.transform(observations.embeddings, observations.lexical)
        means = observations.means()
        heads = np.zeros((observations.agents, features.shape[1]))
        offset = np.log(means + 1e-3) - np.log1p(1e-3 - means)
        for agent in range(observations.agents):
            progress(agent, observations.agents, float("nan"))
            rows = np.flatnonzero(observations.mask[:, agent])
            if len(rows):
                heads[agent], offset[agent] = self._newton(
                    features[rows].astype(np.float64),
                    observations.targets[rows, agent],
                    float(means[agent]),
                    float(offset[agent]),
                )
        self._set(inputs, heads.astype(np.float32), offset.astype(np.float32))
        progress(observations.agents, observations.agents, float("nan"))

    def _newton(
        self, features: Floats, targets: Floats, mean: float, start: float
    ) -> tuple[Floats, float]:
        """Weights and offset of one agent.

        One outcome of the agent's mean is added at the origin: with nothing but successes the
        offset would run away.
        """
        rows = np.vstack([features, np.zeros(features.shape[1])])
        rows = np.hstack([rows, np.ones((len(rows), 1))])
        goals = np.append(targets, mean)
        penalty = np.full(rows.shape[1], self.penalty)
        penalty[-1] = 1e-3
        solution = np.zeros(rows.shape[1])
        solution[-1] = start
        for _ in range(_STEPS):
            predicted = sigmoid(rows @ solution)
            curvature = np.maximum(predicted * (1.0 - predicted), 1e-4)
            gradient = rows.T @ (predicted - goals) + penalty * solution
            hessian = (rows * curvature[:, None]).T @ rows
            hessian[np.diag_indices_from(hessian)] += penalty
            step = np.linalg.solve(hessian, gradient)
            # Far from the minimum a whole step can overshoot.
            solution -= step / max(1.0, float(np.abs(rows @ step).max()) / 4.0)
            if float(np.abs(step).max()) < _SETTLED:
                break
        return solution[:-1], float(solution[-1])

    def _set(self, inputs: RequestInputs, heads: Float32Array, offset: Float32Array) -> None:
        self._inputs = inputs
        self._heads = np.ascontiguousarray(heads)
        self._offset = offset

    def _predict_batch(self, embeddings: Float32Array, lexical: Float32Array) -> Floats:
        points = self._inputs.transform(embeddings, lexical)
        return clipped(sigmoid(points @ self._heads.T + self._offset))

    def _predict(self, embedding: Float32Array, lexical: Float32Array) -> Floats:
        point = self._inputs.transform(embedding, lexical)
        return clipped(sigmoid(self._heads.dot(point) + self._offset))

    def _state(self) -> tuple[Tensors, Description]:
        return {**self._inputs.tensors(), "heads": self._heads, "offset": self._offset}, {}

    @classmethod
    def _from_state(
        cls, tensors: Mapping[str, Float32Array], description: Mapping[str, Any]
    ) -> Self:
        self = cls()
        self._set(RequestInputs.from_tensors(tensors), tensors["heads"], tensors["offset"])
        return self
