"""Early stopping and dropout."""

from __future__ import annotations

import numpy as np
import pytest

from tiny_dancer.training.dropout import dropout_mask
from tiny_dancer.training.early_stopping import EarlyStopping


def test_keeps_the_best_and_stops_when_patience_ends():
    stopping = EarlyStopping(patience=2)
    parameters = {"a": np.zeros(1)}
    answers = []
    for epoch, loss in enumerate([1.0, 0.5, 0.7, 0.5], start=1):
        parameters["a"][0] = epoch
        answers.append(stopping.update(epoch, loss, parameters))
    assert answers == [False, False, False, True]
    assert stopping.best_epoch == 2
    assert stopping.best_loss == 0.5
    assert stopping.best_parameters["a"][0] == 2


@pytest.mark.parametrize("rate", [0.0, 0.3, 0.9])
def test_dropout_keeps_the_mean(rate):
    mask = dropout_mask((200, 500), rate, np.random.default_rng(0))
    assert mask.dtype == np.float32
    assert (mask == 0).mean() == pytest.approx(rate, abs=0.01)
    assert mask.mean() == pytest.approx(1.0, abs=0.03)
