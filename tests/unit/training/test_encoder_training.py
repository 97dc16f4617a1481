"""The training loop: learns, repeats itself bit for bit, can be cancelled, stops at nonsense."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest

from tiny_dancer.errors import InvalidArgumentError
from tiny_dancer.fastgrnn import FastGRNN, FastGRNNForm
from tiny_dancer.training import progress
from tiny_dancer.training.encoder_training import Descent, Inputs, train_encoder
from tiny_dancer.training.progress import ProgressReports, no_progress
from tiny_dancer.training.sigmoid_cross_entropy import SigmoidCrossEntropy, sigmoid
from tiny_dancer.training.softmax_cross_entropy import SoftmaxCrossEntropy

NONE = np.zeros(0, dtype=np.int64)


def exclusive_or(n=400):
    """Two inputs, right where their signs differ: no linear model can do it."""
    x = np.random.default_rng(0).uniform(-1, 1, (n, 2)).astype(np.float32)
    return 3 * x, (x[:, 0] * x[:, 1] < 0).astype(np.int64)


def train(x, loss, *, told=no_progress, held_back=0, form=None, seed=0, lengths=None, **descent):
    rows = np.arange(len(x))
    settings = Descent(**{"dropout": 0.0, "epochs": 20, **descent})
    return train_encoder(
        form or FastGRNNForm(x.shape[-1], 16),
        Inputs(x.astype(np.float32), lengths),
        loss,
        settings,
        training_rows=rows[held_back:],
        validation_rows=rows[:held_back],
        seed=seed,
        reports=ProgressReports(told, settings.epochs),
    )


def logits(trained, x, lengths=None):
    cell = FastGRNN(trained.weights)
    hidden = cell.forward_single(x) if x.ndim == 2 else cell.forward(x, lengths=lengths)
    return hidden @ trained.head.T + trained.bias


@pytest.mark.parametrize(
    "variant",
    [
        {},
        {"tied": True},
        {"input_rank": 2, "recurrent_rank": 2},
        {"tied": True, "learn_zeta_nu": True},
    ],
    ids=str,
)
def test_learns_what_no_linear_model_can(variant):
    x, labels = exclusive_or()
    trained = train(
        x,
        SoftmaxCrossEntropy(labels, 2),
        form=FastGRNNForm(2, 16, **variant),
        epochs=80,
        learning_rate=0.02,
    )
    assert trained.weights.trained_on == "one-step"
    assert (logits(trained, x).argmax(axis=1) == labels).mean() > 0.95


def test_learns_through_time():
    # The label is the sign of the first of six inputs: only a memory can know it.
    generator = np.random.default_rng(1)
    x = generator.normal(size=(300, 6, 2)).astype(np.float32)
    labels = (x[:, 0, 0] > 0).astype(np.int64)
    lengths = generator.integers(1, 7, 300)
    trained = train(
        x, SoftmaxCrossEntropy(labels, 2), epochs=60, learning_rate=0.02, lengths=lengths
    )
    assert trained.weights.trained_on == "sequence"
    assert (logits(trained, x, lengths).argmax(axis=1) == labels).mean() > 0.95


def test_masked_targets_are_learned_per_output():
    generator = np.random.default_rng(2)
    x = generator.normal(size=(600, 3)).astype(np.float32)
    truth = sigmoid(np.stack([2 * x[:, 0], -2 * x[:, 1], np.zeros(600)], axis=1))
    mask = generator.random(truth.shape) < 0.5
    trained = train(x, SigmoidCrossEntropy(truth, mask), epochs=60, learning_rate=0.01)
    predicted = sigmoid(logits(trained, x))
    assert np.abs(predicted - truth)[~mask].mean() < 0.05


def test_an_output_never_tried_stays_at_its_base_rate():
    x, labels = exclusive_or()
    targets = np.stack([labels, labels], axis=1).astype(float)
    mask = np.stack([np.ones(400, bool), np.zeros(400, bool)], axis=1)
    trained = train(x, SigmoidCrossEntropy(targets, mask), epochs=30)
    assert trained.bias[1] == 0.0
    assert np.isfinite(logits(trained, x)).all()


def test_same_seed_same_bits():
    x, labels = exclusive_or()
    runs = [
        train(x, SoftmaxCrossEntropy(labels, 2), held_back=60, seed=seed, dropout=0.3)
        for seed in (3, 3, 4)
    ]
    as_bytes = [run.weights.to_raw()[1] + run.head.tobytes() + run.bias.tobytes() for run in runs]
    assert as_bytes[0] == as_bytes[1]
    assert as_bytes[0] != as_bytes[2]


def test_keeps_the_weights_that_did_best_on_rows_held_back(monkeypatch):
    monkeypatch.setattr(progress, "LONGEST_SILENCE_S", math.inf)  # epochs only
    generator = np.random.default_rng(5)
    x = generator.normal(size=(60, 8)).astype(np.float32)
    labels = generator.integers(0, 2, 60)  # noise: it can only get worse with time
    seen = []
    trained = train(
        x,
        SoftmaxCrossEntropy(labels, 2),
        held_back=20,
        learning_rate=0.02,
        patience=5,
        epochs=200,
        told=lambda epoch, of, loss: seen.append((epoch, of, loss)),
    )
    best = min(seen, key=lambda report: report[2])
    assert trained.epochs == best[0]
    assert trained.validation_loss == best[2]
    assert len(seen) == best[0] + 5
    rows = np.arange(20)
    again, _ = SoftmaxCrossEntropy(labels, 2)(logits(trained, x[:20]), rows)
    assert again == pytest.approx(best[2], rel=1e-5)


def test_progress_cancels_within_a_second_in_the_middle_of_an_epoch():
    class CancelledError(Exception):
        pass

    def cancel(epoch, of, loss):
        raise CancelledError

    # One epoch of this takes far longer than a second.
    x = np.random.default_rng(0).normal(size=(200_000, 32)).astype(np.float32)
    labels = np.arange(200_000) % 3
    started = time.process_time()  # the processor's time, whoever else keeps the machine busy
    with pytest.raises(CancelledError):
        train(x, SoftmaxCrossEntropy(labels, 3), told=cancel, batch_size=16)
    assert time.process_time() - started < 1.0


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_divergence_is_an_error():
    x, labels = exclusive_or()
    targets = labels[:, None].astype(float)
    with pytest.raises(InvalidArgumentError, match="training diverged: the loss is") as raised:
        train(x, SigmoidCrossEntropy(targets), learning_rate=1e38, held_back=50)
    assert "learning rate" in raised.value.hint


def test_nothing_to_train_on():
    with pytest.raises(InvalidArgumentError, match="no rows"):
        train(np.zeros((0, 2)), SoftmaxCrossEntropy(NONE, 2))


@pytest.mark.parametrize("labels", [[0, 0, 0], [1, 1, 1]], ids=str)
def test_constant_labels_give_a_sane_model(labels):
    x = np.eye(3, dtype=np.float32)
    trained = train(x, SoftmaxCrossEntropy(np.array(labels), 2))
    assert (logits(trained, x).argmax(axis=1) == labels).all()


@pytest.mark.parametrize(
    "field",
    [
        {"learning_rate": -1.0},
        {"learning_rate": math.nan},
        {"learning_rate": "fast"},
        {"dropout": 1.0},
        {"dropout": -0.1},
        {"weight_decay": math.inf},
        {"batch_size": 0},
        {"epochs": 2.5},
        {"patience": True},
    ],
    ids=str,
)
def test_descents_that_make_no_sense(field):
    with pytest.raises(InvalidArgumentError, match=next(iter(field))):
        Descent(**field)
