"""From data to a calibrated model: hold back, train several seeds, calibrate, train on all.

First each seed is trained without the rows held back, and stops where these are predicted
best. The joined model's answers for them are honest, so the temperature is fitted on them and
the metrics are taken from them. Then each seed is trained again on all rows for as many epochs
as were best, and that model is kept: no row is wasted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from tiny_dancer.fastgrnn import FastGRNN, FastGRNNForm
from tiny_dancer.training.calibration import fit_temperature
from tiny_dancer.training.encoder_training import Descent, Inputs, TrainedEncoder, train_encoder
from tiny_dancer.training.held_back import all_but
from tiny_dancer.training.loss import FloatArray, Loss, RowNumbers
from tiny_dancer.training.progress import Progress, ProgressReports, no_progress
from tiny_dancer.training.seed_mean import seed_mean
from tiny_dancer.weights import Float32Array

BLIND_EPOCHS = 30
"""Epochs where too few rows are there to hold any back."""

_TEMPERATURE_SPREAD = 0.5
"""How far log temperature is expected to lie from 0."""

FEWEST_HELD_BACK = 20
"""With fewer rows held back, neither stopping nor a temperature could be trusted."""


@dataclass(frozen=True, slots=True)
class Fit:
    """What came out.

    Attributes:
        encoder: of all seeds joined, trained on all rows.
        temperature: what its logits are to be divided by; 1 where nothing was held back.
        held_back_rows: numbers of the rows held back at first, [k].
        held_back_logits: what the seeds that had not seen them said of them, divided by the
            temperature, [k, outputs].
    """

    encoder: TrainedEncoder
    temperature: float
    held_back_rows: RowNumbers
    held_back_logits: FloatArray


def fit(
    form: FastGRNNForm,
    inputs: Inputs,
    loss: Loss,
    descent: Descent,
    *,
    held_back: RowNumbers,
    seeds: int = 3,
    seed: int = 0,
    progress: Progress = no_progress,
) -> Fit:
    """Train several seeds and join them; the same arguments give the same model, bit for bit.

    Args:
        form: of each FastGRNN; ζ and ν fixed if there are several seeds.
        inputs: one vector or one sequence per row, finite.
        loss: knows the targets of the same rows.
        descent: how to go downhill.
        held_back: numbers of the rows to judge by; fewer than ``FEWEST_HELD_BACK`` count as
            none, and then ``BLIND_EPOCHS`` are run and the temperature is 1.
        seeds: how many networks.
        seed: the first one's; the others follow.
        progress: told ``(epoch, of, loss)``; may raise to cancel.

    Raises:
        InvalidArgumentError: nothing to train on, or the training diverged.
    """
    rows = np.arange(len(inputs.values), dtype=np.int64)
    none = np.zeros(0, dtype=np.int64)
    longest = seeds * (descent.epochs + max(descent.epochs, BLIND_EPOCHS))
    reports = ProgressReports(progress, longest)
    epochs, temperature, done = BLIND_EPOCHS, 1.0, 0
    logits: FloatArray = np.zeros((0, loss.outputs), dtype=np.float32)
    if len(held_back) < FEWEST_HELD_BACK:
        held_back = none
    else:
        first = []
        for number in range(seeds):
            first.append(
                train_encoder(
                    form,
                    inputs,
                    loss,
                    descent,
                    training_rows=all_but(held_back, len(rows)),
                    validation_rows=held_back,
                    seed=seed + number,
                    reports=reports,
                    epochs_before=done,
                )
            )
            done += descent.epochs
        judged = seed_mean(first)
        epochs = max(1, judged.epochs)
        raw = encoder_logits(judged, inputs, held_back)
        temperature = fit_temperature(lambda t: _temperature_cost(loss, raw, held_back, t))
        logits = raw / temperature
    final = []
    for number in range(seeds):
        final.append(
            train_encoder(
                form,
                inputs,
                loss,
                replace(descent, epochs=epochs),
                training_rows=rows,
                validation_rows=none,
                seed=seed + number,
                reports=reports,
                epochs_before=done,
            )
        )
        done += epochs
    encoder = seed_mean(final)
    reports.epoch(longest, loss(encoder_logits(encoder, inputs, rows), rows)[0])
    return Fit(encoder, temperature, held_back, logits)


def _temperature_cost(
    loss: Loss, logits: FloatArray, rows: RowNumbers, temperature: float
) -> float:
    """The loss at a temperature, and a prior that draws it towards 1.

    On a few rows that are all right by chance the loss alone would make certainty of that. The
    prior, normal in log temperature, weighs as much as one or two rows.
    """
    deviation = math.log(temperature) / _TEMPERATURE_SPREAD
    return loss(logits / temperature, rows)[0] + 0.5 * deviation**2 / len(rows)


def encoder_logits(encoder: TrainedEncoder, inputs: Inputs, rows: RowNumbers) -> Float32Array:
    """What an encoder and its head say of some rows, [m, outputs]."""
    cell = FastGRNN(encoder.weights)
    values, lengths = inputs.rows(rows)
    if encoder.weights.trained_on == "one-step":
        hidden = cell.forward_single(values[:, 0])
    else:
        hidden = cell.forward(values, lengths=lengths)
    return np.asarray(hidden.dot(encoder.head.T) + encoder.bias)
