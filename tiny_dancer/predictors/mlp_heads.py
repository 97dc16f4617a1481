"""A plain network of one hidden layer, to see whether the gate of FastGRNN earns its place."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Self

import numpy as np

from tiny_dancer.predictors.fastgrnn_heads import DESCENT, held_back_parts
from tiny_dancer.predictors.linear_heads import clipped
from tiny_dancer.predictors.observations import Floats, Observations
from tiny_dancer.predictors.predictor import Description, QualityPredictor, Tensors
from tiny_dancer.predictors.request_inputs import RequestInputs
from tiny_dancer.training.adam import Adam
from tiny_dancer.training.dropout import dropout_mask
from tiny_dancer.training.early_stopping import EarlyStopping
from tiny_dancer.training.encoder_training import Descent
from tiny_dancer.training.loss import FloatArray, RowNumbers
from tiny_dancer.training.progress import Progress, ProgressReports
from tiny_dancer.training.sigmoid_cross_entropy import SigmoidCrossEntropy, sigmoid
from tiny_dancer.weights import Float32Array


class MLPHeads(QualityPredictor):
    """tanh(W x + b) and one sigmoid head per agent, trained as the one-step FastGRNN is.

    Args:
        hidden_dim: units per seed; twice those of a FastGRNN give as many weights.
        seeds, embedding_scale, lexical_scale, descent, seed: as of ``FastGRNNHeads``.
    """

    kind = "mlp"

    def __init__(
        self,
        *,
        hidden_dim: int = 80,
        seeds: int = 5,
        embedding_scale: float = 1.0,
        lexical_scale: float = 0.2,
        descent: Descent = DESCENT,
        seed: int = 0,
    ) -> None:
        self.hidden_dim = hidden_dim
        self.seeds = seeds
        self.embedding_scale = embedding_scale
        self.lexical_scale = lexical_scale
        self.descent = descent
        self.seed = seed

    def _learn(self, observations: Observations, progress: Progress) -> None:
        self._inputs = RequestInputs.fit(
            observations,
            embedding_scale=self.embedding_scale,
            lexical_scale=self.lexical_scale,
        )
        values = self._inputs.transform(observations.embeddings, observations.lexical)
        loss = SigmoidCrossEntropy(observations.targets, observations.mask)
        parts = held_back_parts(observations, self.seed)
        reports = ProgressReports(progress, self.seeds * self.descent.epochs)
        networks = []
        for number in range(self.seeds):
            validation = parts[number % len(parts)]
            kept = np.setdiff1d(np.arange(len(values)), validation)
            networks.append(
                self._train(values, loss, kept, validation, self.seed * 1000 + number, reports)
            )
        self._set(
            np.concatenate([n["w"] for n in networks]),
            np.concatenate([n["b"] for n in networks]),
            np.concatenate([n["head"] for n in networks], axis=1) / np.float32(self.seeds),
            np.mean([n["bias"] for n in networks], axis=0, dtype=np.float32),
        )

    def _train(
        self,
        values: Float32Array,
        loss: SigmoidCrossEntropy,
        rows: RowNumbers,
        validation: RowNumbers,
        seed: int,
        reports: ProgressReports,
    ) -> Mapping[str, FloatArray]:
        generator = np.random.default_rng(seed)
        network = self._initial(values.shape[1], loss, generator)
        descent = self.descent
        adam = Adam(network, learning_rate=descent.learning_rate, weight_decay=descent.weight_decay)
        stopping = EarlyStopping(descent.patience)
        for epoch in range(1, descent.epochs + 1):
            order = generator.permutation(rows)
            for start in range(0, len(order), descent.batch_size):
                batch = order[start : start + descent.batch_size]
                x = values[batch]
                hidden = np.tanh(x @ network["w"].T + network["b"])
                kept = dropout_mask(hidden.shape, descent.dropout, generator)
                logits = (hidden * kept) @ network["head"].T + network["bias"]
                now, by_logits = loss(logits, batch)
                by_sum = (by_logits @ network["head"]) * kept * (1.0 - hidden * hidden)
                adam.step(
                    {
                        "head": by_logits.T @ (hidden * kept),
                        "bias": by_logits.sum(axis=0),
                        "w": by_sum.T @ x,
                        "b": by_sum.sum(axis=0),
                    }
                )
                reports.within(epoch - 1, now)
            watched = validation if len(validation) else rows
            hidden = np.tanh(values[watched] @ network["w"].T + network["b"])
            judged, _ = loss(hidden @ network["head"].T + network["bias"], watched)
            reports.epoch(epoch, judged)
            if stopping.update(epoch, judged, network):
                break
        return stopping.best_parameters

    def _initial(
        self, width: int, loss: SigmoidCrossEntropy, generator: np.random.Generator
    ) -> dict[str, FloatArray]:
        def glorot(rows: int, columns: int) -> Float32Array:
            limit = math.sqrt(6.0 / (rows + columns))
            return generator.uniform(-limit, limit, (rows, columns)).astype(np.float32)

        return {
            "w": glorot(self.hidden_dim, width),
            "b": np.zeros(self.hidden_dim, dtype=np.float32),
            "head": glorot(loss.outputs, self.hidden_dim),
            "bias": loss.base_logits().astype(np.float32),
        }

    def _set(self, w: FloatArray, b: FloatArray, heads: FloatArray, offset: FloatArray) -> None:
        self._w = np.ascontiguousarray(w, dtype=np.float32)
        self._b = np.asarray(b, dtype=np.float32)
        self._heads = np.ascontiguousarray(heads, dtype=np.float32)
        self._offset = np.asarray(offset, dtype=np.float32)

    def _predict_batch(self, embeddings: Float32Array, lexical: Float32Array) -> Floats:
        hidden = np.tanh(self._inputs.transform(embeddings, lexical) @ self._w.T + self._b)
        return clipped(sigmoid(hidden @ self._heads.T + self._offset))

    def _state(self) -> tuple[Tensors, Description]:
        own = {"w": self._w, "b": self._b, "heads": self._heads, "offset": self._offset}
        return {**self._inputs.tensors(), **own}, {}

    @classmethod
    def _from_state(
        cls, tensors: Mapping[str, Float32Array], description: Mapping[str, Any]
    ) -> Self:
        self = cls()
        self._inputs = RequestInputs.from_tensors(tensors)
        self._set(tensors["w"], tensors["b"], tensors["heads"], tensors["offset"])
        return self
