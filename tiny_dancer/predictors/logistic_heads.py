"""Logistic regression: a linear head per agent in log-odds.

The curvature of the loss never exceeds a quarter of the inputs' product, so one factorisation
of that serves every step and every agent that was tried on the same requests; momentum makes
up for the steps being cautious.

Sources: Böhning and Lindsay, Monotonicity of Quadratic-Approximation Algorithms, 1988;
Nesterov's method with restarts: O'Donoghue and Candès, Adaptive Restart for Accelerated
Gradient Schemes, 2015.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np

from tiny_dancer.predictors.log_odds_heads import LogOddsHeads, MakeFeatures
from tiny_dancer.predictors.observations import Floats, Observations
from tiny_dancer.predictors.predictor import Description, Tensors
from tiny_dancer.predictors.request_inputs import RequestInputs, part_scales
from tiny_dancer.predictors.ridge_path import agents_by_rows
from tiny_dancer.training.progress import Progress
from tiny_dancer.training.sigmoid_cross_entropy import sigmoid
from tiny_dancer.weights import Float32Array

_STEPS = 100
_SETTLED = 1e-4


class LogisticHeads(LogOddsHeads):
    """Linear heads with a sigmoid, L2-penalised; targets between 0 and 1 are rates.

    Args:
        lexical_scale: deviation of a lexical feature beside an embedding of unit length.
        penalty: of the squared weights, in rows.
    """

    kind = "logistic"

    def __init__(self, *, lexical_scale: float = 0.1, penalty: float = 10.0) -> None:
        self.lexical_scale = lexical_scale
        self.penalty = penalty

    def _learn(self, observations: Observations, progress: Progress) -> None:
        inputs = RequestInputs.fit(observations)
        scales = part_scales(observations, embedding_scale=1.0, lexical_scale=self.lexical_scale)
        features = inputs.transform(observations.embeddings, observations.lexical) * scales
        means = observations.means()
        heads = np.zeros((observations.agents, features.shape[1]), dtype=np.float32)
        offset = np.log(means + 1e-3) - np.log1p(1e-3 - means)
        done = 0
        for agents, rows in agents_by_rows(observations.mask):
            progress(done, observations.agents, float("nan"))
            solution = self._descend(
                features[rows],
                observations.targets[np.ix_(rows, agents)],
                means[agents],
                offset[agents],
            )
            heads[agents], offset[agents] = solution[:-1].T, solution[-1]
            done += len(agents)
        self._set(inputs, heads * scales, offset.astype(np.float32))
        progress(observations.agents, observations.agents, float("nan"))

    def _descend(
        self, features: Float32Array, targets: Floats, means: Floats, start: Floats
    ) -> Float32Array:
        """Weights and, below them, offsets of agents that share requests, [k + 1, a].

        One outcome of each agent's mean is added at the origin: with nothing but successes the
        offset would run away.
        """
        rows = np.ones((len(features) + 1, features.shape[1] + 1), dtype=np.float32)
        rows[:-1, :-1] = features
        rows[-1, :-1] = 0.0
        goals = np.vstack([targets, means]).astype(np.float32)
        penalty = np.full((rows.shape[1], 1), self.penalty, dtype=np.float32)
        penalty[-1] = 1e-3
        bound = 0.25 * (rows.T @ rows).astype(np.float64)
        bound[np.diag_indices_from(bound)] += penalty[:, 0]
        inverse = np.linalg.inv(bound).astype(np.float32)
        now = np.zeros((rows.shape[1], len(means)), dtype=np.float32)
        now[-1] = start
        ahead: Float32Array = now
        momentum: Float32Array = np.ones(len(means), dtype=np.float32)
        for _ in range(_STEPS):
            gradient = rows.T @ (sigmoid(rows @ ahead) - goals) + penalty * ahead
            then, step = now, inverse @ gradient
            now = ahead - step
            # A step uphill as seen from the momentum: forget it, for that agent.
            uphill = (gradient * (now - then)).sum(axis=0) > 0.0
            before = np.where(uphill, np.float32(1.0), momentum)
            momentum = np.asarray((1.0 + np.sqrt(1.0 + 4.0 * before**2)) / 2.0, np.float32)
            ahead = np.asarray(now + ((before - 1.0) / momentum) * (now - then), np.float32)
            if float(np.abs(step).max()) < _SETTLED:
                break
        return np.asarray(now, dtype=np.float32)

    def _set(self, inputs: RequestInputs, heads: Float32Array, offset: Float32Array) -> None:
        self._inputs = inputs
        self._heads = np.ascontiguousarray(heads)
        self._offset = offset

    @property
    def _rows(self) -> None:
        return None

    def _maker(self, sums: Float32Array, out: Float32Array) -> MakeFeatures:
        raise NotImplementedError("these heads are on the request itself")

    def _state(self) -> tuple[Tensors, Description]:
        return {**self._inputs.tensors(), "heads": self._heads, "offset": self._offset}, {}

    @classmethod
    def _from_state(
        cls, tensors: Mapping[str, Float32Array], description: Mapping[str, Any]
    ) -> Self:
        self = cls()
        self._set(RequestInputs.from_tensors(tensors), tensors["heads"], tensors["offset"])
        return self
