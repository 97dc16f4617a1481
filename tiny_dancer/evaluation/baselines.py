"""Routers that every other has to beat, as predicted qualities [n, a]."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def random_predictions(rows: int, agents: int, seed: int) -> Floats:
    """Any agent is as likely as any other."""
    return np.random.default_rng(seed).random((rows, agents))


def best_single_predictions(training_targets: Floats, rows: int) -> Floats:
    """The agent that was best on the training rows, whatever the request."""
    return np.repeat(training_targets.mean(axis=0)[None], rows, axis=0)


def prompt_length_predictions(
    texts: Sequence[str], training_texts: Sequence[str], training_targets: Floats
) -> Floats:
    """A line in log(1 + characters) per agent, by least squares: no look at the words."""
    lengths = np.log1p([len(text) for text in training_texts])
    design = np.column_stack((np.ones(len(lengths)), lengths))
    solution, *_ = np.linalg.lstsq(design, training_targets, rcond=None)
    asked = np.log1p([len(text) for text in texts])
    return np.asarray(np.column_stack((np.ones(len(asked)), asked)) @ solution)
