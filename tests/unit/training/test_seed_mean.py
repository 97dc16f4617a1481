"""The mean of several trainings: exactly the mean of their logits, for every form."""

from __future__ import annotations

import numpy as np
import pytest

from tiny_dancer.errors import InvalidArgumentError
from tiny_dancer.fastgrnn import FastGRNN, FastGRNNForm, FastGRNNWeights
from tiny_dancer.training.encoder_training import TrainedEncoder
from tiny_dancer.training.seed_mean import seed_mean


def encoder(form, seed, trained_on="sequence"):
    generator = np.random.default_rng(seed)
    tensors = {
        name: generator.normal(size=shape).astype(np.float32)
        for name, shape in form.shapes().items()
    }
    return TrainedEncoder(
        FastGRNNWeights(form, tensors, trained_on),
        generator.normal(size=(4, form.hidden_dim)).astype(np.float32),
        generator.normal(size=4).astype(np.float32),
        epochs=seed,
        validation_loss=float(seed),
    )


def logits(trained, sequence):
    return FastGRNN(trained.weights).forward(sequence) @ trained.head.T + trained.bias


@pytest.mark.parametrize(
    "variant",
    [
        {},
        {"tied": True},
        {"zeta": 0.5, "nu": 0.1},
        {"input_rank": 2},
        {"recurrent_rank": 2},
        {"tied": True, "input_rank": 2, "recurrent_rank": 2},
    ],
    ids=str,
)
def test_mean_of_logits(variant):
    encoders = [encoder(FastGRNNForm(5, 3, **variant), seed) for seed in (1, 2, 6)]
    joined = seed_mean(encoders)
    sequence = np.random.default_rng(0).normal(size=(4, 5))
    expected = np.mean([logits(one, sequence) for one in encoders], axis=0)
    np.testing.assert_allclose(logits(joined, sequence), expected, rtol=1e-4, atol=1e-5)
    assert joined.weights.form.hidden_dim == 9
    assert joined.epochs == 3
    assert joined.validation_loss == 3.0


def test_one_is_its_own_mean():
    one = encoder(FastGRNNForm(5, 3, learn_zeta_nu=True), 1)
    assert seed_mean([one]) is one


@pytest.mark.parametrize(
    "encoders",
    [
        [],
        [encoder(FastGRNNForm(5, 3), 1), encoder(FastGRNNForm(5, 4), 1)],
        [encoder(FastGRNNForm(5, 3), 1), encoder(FastGRNNForm(5, 3), 1, "one-step")],
        [encoder(FastGRNNForm(5, 3, learn_zeta_nu=True), seed) for seed in (1, 2)],
    ],
    ids=["none", "sizes", "trainings", "scalars"],
)
def test_what_has_no_mean(encoders):
    with pytest.raises(InvalidArgumentError):
        seed_mean(encoders)
