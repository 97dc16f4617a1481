"""The plan's multi-label classifier: a FastGRNN encoder and one sigmoid head per agent.

One step from the zero state over [embedding, lexical features], trained by cross-entropy over
the agents that were tried, stopped on rows held back; the mean of several seeds is joined into
one cell, so that a prediction is two matrix products.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Self

import numpy as np

from tiny_dancer.errors import InvalidArgumentError
from tiny_dancer.fastgrnn import FastGRNN, FastGRNNForm, FastGRNNWeights
from tiny_dancer.predictors.log_odds_heads import LogOddsHeads, MakeFeatures
from tiny_dancer.predictors.observations import Observations
from tiny_dancer.predictors.predictor import Description, Tensors
from tiny_dancer.predictors.request_inputs import RequestInputs, part_scales
from tiny_dancer.training.encoder_training import Descent, Inputs, TrainedEncoder, train_encoder
from tiny_dancer.training.loss import RowNumbers
from tiny_dancer.training.progress import Progress, ProgressReports
from tiny_dancer.training.seed_mean import seed_mean
from tiny_dancer.training.sigmoid_cross_entropy import SigmoidCrossEntropy
from tiny_dancer.weights import Float32Array

DESCENT = Descent(
    learning_rate=2e-3, weight_decay=1.0, dropout=0.5, batch_size=64, epochs=40, patience=6
)
_HELD_BACK = 6
"""One part in six decides when to stop; each seed holds back another."""
_LEAST_TO_HOLD_BACK = 24
_EPOCHS_OF_FEW = 5


class FastGRNNHeads(LogOddsHeads):
    """One-step FastGRNN, trained.

    Args:
        hidden_dim: units per seed.
        seeds: how many trainings the mean is taken of.
        tied: whether gate and update share W, as in the paper's cell; half as many products.
        embedding_scale: length of an embedding at the input.
        lexical_scale: deviation of a lexical feature at the input.
        descent: how to train.
        seed: of everything random.

    Attributes:
        validation_loss_: mean cross-entropy on the rows held back, None with too few rows.
        epochs_: mean number of epochs.
    """

    kind = "fastgrnn"

    def __init__(
        self,
        *,
        hidden_dim: int = 40,
        seeds: int = 5,
        tied: bool = False,
        embedding_scale: float = 1.0,
        lexical_scale: float = 0.2,
        descent: Descent = DESCENT,
        seed: int = 0,
    ) -> None:
        if seeds < 1:
            raise InvalidArgumentError(f"seeds must be at least 1, not {seeds}")
        self.hidden_dim = hidden_dim
        self.seeds = seeds
        self.tied = tied
        self.embedding_scale = embedding_scale
        self.lexical_scale = lexical_scale
        self.descent = descent
        self.seed = seed

    def _learn(self, observations: Observations, progress: Progress) -> None:
        inputs = RequestInputs.fit(observations)
        scales = part_scales(
            observations, embedding_scale=self.embedding_scale, lexical_scale=self.lexical_scale
        )
        values = inputs.transform(observations.embeddings, observations.lexical) * scales
        loss = SigmoidCrossEntropy(observations.targets, observations.mask)
        form = FastGRNNForm(values.shape[1], self.hidden_dim, tied=self.tied)
        trained = train_seeds(self, form, Inputs(values), loss, observations, progress)
        self._use(inputs, _folded(trained, scales))

    def _use(self, inputs: RequestInputs, trained: TrainedEncoder) -> None:
        self.validation_loss_, self.epochs_ = trained.validation_loss, trained.epochs
        self._inputs = inputs
        self._encoder = FastGRNN(trained.weights)
        self._single_rows = self._encoder.single_rows()
        self._heads = np.ascontiguousarray(trained.head)
        parts = (self._encoder.single_offset, self._encoder.single_slope)
        self._heads_on_features = np.concatenate(
            [np.float32(part) * self._heads for part in parts], axis=1
        )
        self._offset = trained.bias

    @property
    def _rows(self) -> tuple[Float32Array, Float32Array]:
        return self._single_rows

    def _maker(self, sums: Float32Array, out: Float32Array) -> MakeFeatures:
        half = out.shape[-1] // 2
        update, gate = out[..., :half], out[..., half:]

        def make() -> None:
            # The state is linear in the update and in its product with the gate, and so are heads.
            np.tanh(sums, out)
            np.multiply(gate, update, gate)

        return make

    def _on_features(self) -> Float32Array:
        return self._heads_on_features

    def _state(self) -> tuple[Tensors, Description]:
        # After one step from zero U never had a gradient: it is left out, and is zero again.
        cell = {
            name: tensor
            for name, tensor in self._encoder.weights.tensors.items()
            if not name.startswith("u")
        }
        tensors = {**self._inputs.tensors(), **cell, "heads": self._heads, "offset": self._offset}
        description = {
            "encoder": self._encoder.weights.description(),
            "epochs": self.epochs_,
            "validation_loss": self.validation_loss_,
        }
        return tensors, description

    @classmethod
    def _from_state(
        cls, tensors: Mapping[str, Float32Array], description: Mapping[str, Any]
    ) -> Self:
        self = cls()
        form = FastGRNNForm(**description["encoder"]["form"])
        cell = {
            name: tensors.get(name, np.zeros(shape, dtype=np.float32))
            if name.startswith("u")
            else tensors[name]
            for name, shape in form.shapes().items()
        }
        weights = FastGRNNWeights.from_description(description["encoder"], cell)
        self._use(
            RequestInputs.from_tensors(tensors),
            TrainedEncoder(
                weights,
                tensors["heads"],
                tensors["offset"],
                int(description["epochs"]),
                description["validation_loss"],
            ),
        )
        return self


def _folded(trained: TrainedEncoder, scales: Float32Array) -> TrainedEncoder:
    """The same encoder for inputs that are yet to be multiplied with scales [D]."""
    weights = trained.weights
    tensors = {**weights.tensors, "w": weights.tensors["w"] * scales}
    return replace(trained, weights=FastGRNNWeights(weights.form, tensors, weights.trained_on))


def train_seeds(
    settings: Any,
    form: FastGRNNForm,
    inputs: Inputs,
    loss: SigmoidCrossEntropy,
    observations: Observations,
    progress: Progress,
) -> TrainedEncoder:
    """Train an encoder per seed, each holding back another part, and join them.

    Args:
        settings: has ``seeds``, ``descent`` and ``seed``.
        form: of each encoder.
        inputs: what it reads.
        loss: over the heads.
        observations: the same rows, for dealing them into parts.
        progress: counts the epochs of all seeds.
    """
    parts = held_back_parts(observations, settings.seed)
    descent = settings.descent
    if len(parts) == 1:
        # Nothing says when to stop: few gentle steps cannot go far wrong.
        descent = replace(descent, epochs=min(descent.epochs, _EPOCHS_OF_FEW))
    reports = ProgressReports(progress, settings.seeds * descent.epochs)
    trained = []
    for number in range(settings.seeds):
        validation = parts[number % len(parts)]
        kept = np.setdiff1d(np.arange(len(observations)), validation)
        trained.append(
            train_encoder(
                form,
                inputs,
                loss,
                descent,
                training_rows=kept,
                validation_rows=validation,
                seed=settings.seed * 1000 + number,
                reports=reports,
                epochs_before=number * descent.epochs,
            )
        )
    return seed_mean(trained)


def held_back_parts(observations: Observations, seed: int) -> list[RowNumbers]:
    """The parts of which each is held back once; a single empty one where rows are few."""
    parts = observations.folds(_HELD_BACK, seed)
    if len(observations) < _LEAST_TO_HOLD_BACK or len(parts) < 2:
        return [np.zeros(0, dtype=np.int64)]
    return parts
