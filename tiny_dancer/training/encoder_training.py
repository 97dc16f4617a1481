"""Trains a FastGRNN encoder and a linear head together, by any loss over the logits."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tiny_dancer.errors import InvalidArgumentError
from tiny_dancer.fastgrnn import FastGRNNForm, FastGRNNWeights, TrainedOn
from tiny_dancer.training.adam import Adam
from tiny_dancer.training.backpropagation import run_backward, run_forward
from tiny_dancer.training.dropout import dropout_mask
from tiny_dancer.training.early_stopping import EarlyStopping
from tiny_dancer.training.loss import FloatArray, Loss, RowNumbers
from tiny_dancer.training.progress import ProgressReports
from tiny_dancer.weights import Float32Array

_ROWS_AT_ONCE = 1024
"""Rows of one validation batch: bounds memory, and the time until the next report."""


@dataclass(frozen=True, slots=True)
class Descent:
    """How to go downhill.

    Attributes:
        learning_rate: of Adam.
        weight_decay: of Adam.
        dropout: share of hidden units silenced, in [0, 1).
        batch_size: rows per step.
        epochs: passes over the rows, at most.
        patience: epochs without a better validation loss before it stops.
    """

    learning_rate: float = 2e-3
    weight_decay: float = 0.0
    dropout: float = 0.3
    batch_size: int = 64
    epochs: int = 60
    patience: int = 8

    def __post_init__(self) -> None:
        for name in ("batch_size", "epochs", "patience"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise InvalidArgumentError(
                    f"{name} must be a whole number of at least 1, not {value!r}"
                )
        for name, low, high in (
            ("learning_rate", 0.0, math.inf),
            ("weight_decay", 0.0, math.inf),
            ("dropout", 0.0, 1.0),
        ):
            value = getattr(self, name)
            if not (isinstance(value, (int, float)) and low <= value < high):
                raise InvalidArgumentError(
                    f"{name} must be at least {low} and below {high}, not {value!r}"
                )


@dataclass(frozen=True, slots=True)
class TrainedEncoder:
    """An encoder and its head.

    Attributes:
        weights: of the FastGRNN.
        head: [outputs, H].
        bias: [outputs].
        epochs: how many epochs these weights had.
        validation_loss: theirs, on the rows held back; None where none were.
    """

    weights: FastGRNNWeights
    head: Float32Array
    bias: Float32Array
    epochs: int
    validation_loss: float | None


@dataclass(frozen=True, slots=True)
class Inputs:
    """What the encoder reads.

    Attributes:
        values: one vector per row [n, D], or a sequence per row [n, T, D].
        lengths: steps that count in each sequence, [n]; all if None.
    """

    values: Float32Array
    lengths: NDArray[np.int64] | None = None

    @property
    def trained_on(self) -> TrainedOn:
        """How weights count as trained that were trained on these."""
        return "one-step" if self.values.ndim == 2 else "sequence"

    def rows(self, rows: RowNumbers) -> tuple[Float32Array, NDArray[np.int64] | None]:
        """Some rows as sequences, [m, T, D], and their lengths."""
        values = self.values[rows]
        if values.ndim == 2:
            values = values[:, None, :]
        return values, None if self.lengths is None else self.lengths[rows]


def train_encoder(
    form: FastGRNNForm,
    inputs: Inputs,
    loss: Loss,
    descent: Descent,
    *,
    training_rows: RowNumbers,
    validation_rows: RowNumbers,
    seed: int,
    reports: ProgressReports,
    epochs_before: int = 0,
) -> TrainedEncoder:
    """Train from random weights; the same arguments give the same weights, bit for bit.

    Args:
        form: of the FastGRNN.
        inputs: one vector or one sequence per row, finite.
        loss: knows the targets of the same rows.
        descent: how to go downhill.
        training_rows: numbers of the rows to learn from.
        validation_rows: rows held back; the weights with the least loss on them are kept. With
            none of them it runs all epochs and keeps the last weights.
        seed: of the first weights, the order of rows and the dropout.
        reports: told of every epoch; may raise to cancel.
        epochs_before: added to the number of the epoch in reports.

    Raises:
        InvalidArgumentError: there is nothing to train on, or the loss grew beyond all bounds.
    """
    if len(training_rows) == 0:
        raise InvalidArgumentError("there are no rows to train on")
    model = _Model(form, loss, seed)
    adam = Adam(
        model.parameters, learning_rate=descent.learning_rate, weight_decay=descent.weight_decay
    )
    generator = np.random.default_rng([seed, 1])
    stopping = EarlyStopping(descent.patience)
    epoch = 0
    for epoch in range(1, descent.epochs + 1):
        order = generator.permutation(training_rows)
        batch_loss = math.nan
        for start in range(0, len(order), descent.batch_size):
            batch = order[start : start + descent.batch_size]
            batch_loss, gradients = model.gradients(inputs, batch, descent.dropout, generator)
            adam.step(gradients)
            reports.within(epochs_before + epoch - 1, batch_loss)
        if len(validation_rows) == 0:
            _check_converging(batch_loss, epoch)
            reports.epoch(epochs_before + epoch, batch_loss)
            continue
        validation_loss = model.loss(inputs, validation_rows)
        _check_converging(validation_loss, epoch)
        reports.epoch(epochs_before + epoch, validation_loss)
        if stopping.update(epoch, validation_loss, model.parameters):
            break
    if len(validation_rows) == 0:
        return model.finished(inputs.trained_on, model.parameters, epoch, None)
    return model.finished(
        inputs.trained_on, stopping.best_parameters, stopping.best_epoch, stopping.best_loss
    )


class _Model:
    """Encoder, head and bias as one set of parameters."""

    def __init__(self, form: FastGRNNForm, loss: Loss, seed: int) -> None:
        self.form = form
        self._loss = loss
        weights = FastGRNNWeights.initial(form, seed)
        self.parameters: dict[str, FloatArray] = {
            name: tensor.copy() for name, tensor in weights.tensors.items()
        }
        limit = math.sqrt(6.0 / (form.hidden_dim + loss.outputs))
        self.parameters["head"] = (
            np.random.default_rng([seed, 0])
            .uniform(-limit, limit, (loss.outputs, form.hidden_dim))
            .astype(np.float32)
        )
        self.parameters["bias"] = loss.base_logits().astype(np.float32)

    def gradients(
        self, inputs: Inputs, rows: RowNumbers, dropout: float, generator: np.random.Generator
    ) -> tuple[float, dict[str, FloatArray]]:
        """The loss of one batch with dropout, and the gradient of each parameter."""
        values, lengths = inputs.rows(rows)
        hidden, trace = run_forward(self.form, self.parameters, values, lengths)
        kept: FloatArray = np.ones((), dtype=np.float32)
        if dropout > 0.0:
            kept = dropout_mask(hidden.shape, dropout, generator)
        encoded = hidden * kept
        loss, by_logits = self._loss(self._logits(encoded), rows)
        by_hidden = (by_logits @ self.parameters["head"]) * kept
        gradients = run_backward(self.form, self.parameters, trace, by_hidden)
        gradients["head"] = by_logits.T @ encoded
        gradients["bias"] = by_logits.sum(axis=0)
        return loss, gradients

    def loss(self, inputs: Inputs, rows: RowNumbers) -> float:
        """The loss over some rows, without dropout."""
        logits = np.concatenate([self._logits(hidden) for hidden in self._encode(inputs, rows)])
        return self._loss(logits, rows)[0]

    def finished(
        self,
        trained_on: TrainedOn,
        parameters: dict[str, FloatArray],
        epochs: int,
        validation_loss: float | None,
    ) -> TrainedEncoder:
        """Turn the best parameters into something that computes."""
        tensors = {name: parameters[name] for name in self.form.shapes()}
        return TrainedEncoder(
            FastGRNNWeights(self.form, tensors, trained_on),
            parameters["head"].astype(np.float32),
            parameters["bias"].astype(np.float32),
            epochs,
            validation_loss,
        )

    def _logits(self, hidden: FloatArray) -> FloatArray:
        return np.asarray(hidden @ self.parameters["head"].T + self.parameters["bias"])

    def _encode(self, inputs: Inputs, rows: RowNumbers) -> Iterator[FloatArray]:
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            values, lengths = inputs.rows(rows[start : start + _ROWS_AT_ONCE])
            yield run_forward(self.form, self.parameters, values, lengths)[0]


def _check_converging(loss: float, epoch: int) -> None:
    if not math.isfinite(loss):
        raise InvalidArgumentError(
            f"training diverged: the loss is {loss} after epoch {epoch}",
            hint="Lower the learning rate, or scale the inputs to about unit size.",
        )
