"""The mean of several trainings as one model.

Networks trained from different seeds err differently, so the mean of their logits is better
than any of them. Side by side, S encoders of H units are one encoder of S·H units whose U is
block-diagonal, and the mean of their heads' answers is one head: nothing is approximated, and
inference is one matrix product.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tiny_dancer.errors import InvalidArgumentError
from tiny_dancer.fastgrnn import FastGRNNForm, FastGRNNWeights
from tiny_dancer.training.encoder_training import TrainedEncoder
from tiny_dancer.weights import Float32Array


def seed_mean(trained: Sequence[TrainedEncoder]) -> TrainedEncoder:
    """Join encoders of one form into one whose logits are the mean of theirs.

    Args:
        trained: at least one; all of one form, with fixed ζ and ν.

    Raises:
        InvalidArgumentError: there is none, the forms differ, or ζ and ν were trained: the
            joined cell has one of each.
    """
    if not trained:
        raise InvalidArgumentError("there is no encoder to take the mean of")
    form, how = trained[0].weights.form, trained[0].weights.trained_on
    if any(t.weights.form != form or t.weights.trained_on != how for t in trained):
        raise InvalidArgumentError("encoders of different forms have no mean")
    if len(trained) == 1:
        return trained[0]
    if form.learn_zeta_nu:
        raise InvalidArgumentError("encoders with trained ζ and ν have no mean in one cell")
    tensors = {
        name: _joined(name, [t.weights.tensors[name] for t in trained]) for name in form.shapes()
    }
    losses = [t.validation_loss for t in trained if t.validation_loss is not None]
    return TrainedEncoder(
        FastGRNNWeights(_wider(form, len(trained)), tensors, how),
        np.asarray(np.concatenate([t.head for t in trained], axis=1) / len(trained), np.float32),
        np.asarray(np.mean([t.bias for t in trained], axis=0), np.float32),
        round(float(np.mean([t.epochs for t in trained]))),
        float(np.mean(losses)) if losses else None,
    )


def _wider(form: FastGRNNForm, times: int) -> FastGRNNForm:
    return FastGRNNForm(
        input_dim=form.input_dim,
        hidden_dim=form.hidden_dim * times,
        tied=form.tied,
        input_rank=None if form.input_rank is None else form.input_rank * times,
        recurrent_rank=None if form.recurrent_rank is None else form.recurrent_rank * times,
        zeta=form.zeta,
        nu=form.nu,
    )


def _joined(name: str, tensors: list[Float32Array]) -> Float32Array:
    """One tensor of the joined cell from the same tensor of each."""
    if name in ("w", "b"):
        # Every encoder reads the same input: units below units.
        return np.concatenate(tensors, axis=1)
    if name == "w_right":
        return np.concatenate(tensors, axis=2)
    return _block_diagonal(tensors)


def _block_diagonal(tensors: list[Float32Array]) -> Float32Array:
    """[G, a, b] each → [G, S·a, S·b], so that no encoder sees another's state."""
    groups, rows, columns = tensors[0].shape
    count = len(tensors)
    joined = np.zeros((groups, rows * count, columns * count), dtype=np.float32)
    for i, tensor in enumerate(tensors):
        joined[:, i * rows : (i + 1) * rows, i * columns : (i + 1) * columns] = tensor
    return joined
