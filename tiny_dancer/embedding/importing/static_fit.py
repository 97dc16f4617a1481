"""Fitting a token table to a teacher: the sum of a text's rows shall point where it points.

Each row starts as what the teacher makes of the token alone, longer for a rarer token (after
Zipf, as Model2Vec does; van Dongen and Tulkens, 2024). Then the rows of practice texts are moved
so that the cosine to the teacher's vector grows, by Adam that touches only the rows of a batch.
Tokens and targets are taken without their mean: what all vectors of a transformer share tells no
text from another (Mu and Viswanath, "All-but-the-Top", ICLR 2018), and a sum would collect it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

_TINY = 1e-9


@dataclass(frozen=True)
class FitSettings:
    """How a table is fitted.

    Attributes:
        epochs: passes over the texts.
        batch: texts in one step.
        learning_rate: of the first step; it falls to nothing by the last.
        pull: how strongly a row is held where it started: few texts say little.
        seed: of the order of the texts.
    """

    epochs: int = 3
    batch: int = 256
    learning_rate: float = 0.01
    pull: float = 0.01
    seed: int = 0


def start_table(alone: Floats, first_word: int) -> Floats:
    """Return the rows to start from.

    Args:
        alone: what the teacher makes of each token alone, shape [tokens, dimension], the
            frequent tokens first.
        first_word: row of the first token that is a word; those before are characters.

    Returns:
        The rows, shape [tokens, dimension], the longest of length 2 or so.
    """
    place = np.maximum(np.arange(len(alone)) - first_word, 1)
    lengths = 2.0 * np.log1p(place) / np.log1p(len(alone))
    scaled: Floats = ((alone - alone.mean(axis=0)) * lengths[:, None]).astype(np.float32)
    return scaled


def centred(vectors: Floats) -> Floats:
    """Take their mean away from vectors, shape [n, dimension], and scale them to unit length."""
    moved = vectors - vectors.mean(axis=0)
    scaled: Floats = moved / (np.linalg.norm(moved, axis=1, keepdims=True) + _TINY)
    return scaled


def fit_table(
    start: Floats,
    rows: Sequence[Sequence[int]],
    targets: Floats,
    settings: FitSettings,
    *,
    on_step: Callable[[int, int], None] = lambda done, total: None,
) -> Floats:
    """Move the rows of a table towards a teacher.

    Args:
        start: shape [tokens, dimension].
        rows: of the tokens of each text, none of them empty.
        targets: the teacher's unit vectors, shape [texts, dimension].
        settings: how.
        on_step: told after each step how many of how many are done.

    Returns:
        The fitted table, shape [tokens, dimension].
    """
    table = start.copy()
    adam = _RowAdam(table)
    random = np.random.default_rng(settings.seed)
    steps = settings.epochs * -(-len(rows) // settings.batch)
    step = 0
    for _ in range(settings.epochs):
        order = random.permutation(len(rows))
        for first in range(0, len(rows), settings.batch):
            chosen = order[first : first + settings.batch]
            touched, gradient = _gradient(table, [rows[i] for i in chosen], targets[chosen])
            gradient += settings.pull * (table[touched] - start[touched])
            adam.step(touched, gradient, settings.learning_rate * (1.0 - step / steps))
            step += 1
            on_step(step, steps)
    return table


def mean_cosine_to(table: Floats, rows: Sequence[Sequence[int]], targets: Floats) -> float:
    """Return the mean cosine between the directions of sums of rows and unit targets."""
    sums, _, _ = _sums(table, rows)
    lengths = np.linalg.norm(sums, axis=1) + _TINY
    return float(((sums * targets).sum(axis=1) / lengths).mean())


def quantise_table(table: Floats) -> NDArray[np.int8]:
    """Round a table to 8 bits with one scale for all of it.

    Args:
        table: shape [tokens, dimension], finite and not all zero.

    Returns:
        Integers in [-127, 127].
    """
    scale = 127.0 / float(np.abs(table).max())
    rounded: NDArray[np.int8] = np.rint(table * scale).astype(np.int8)
    return rounded


class _RowAdam:
    """Adam (Kingma and Ba, 2015) whose moments advance only for the rows that have a gradient."""

    def __init__(self, table: Floats, *, beta1: float = 0.9, beta2: float = 0.99) -> None:
        self._table = table
        self._beta1, self._beta2 = beta1, beta2
        self._mean, self._square = np.zeros_like(table), np.zeros_like(table)
        self._steps = np.zeros(len(table), dtype=np.int64)

    def step(self, touched: NDArray[np.int64], gradient: Floats, learning_rate: float) -> None:
        self._steps[touched] += 1
        steps = self._steps[touched][:, None]
        mean = self._beta1 * self._mean[touched] + (1.0 - self._beta1) * gradient
        square = self._beta2 * self._square[touched] + (1.0 - self._beta2) * gradient**2
        self._mean[touched], self._square[touched] = mean, square
        mean = mean / (1.0 - self._beta1**steps)
        square = square / (1.0 - self._beta2**steps)
        self._table[touched] -= (learning_rate * mean / (np.sqrt(square) + 1e-8)).astype(np.float32)


def _gradient(
    table: Floats, rows: Sequence[Sequence[int]], targets: Floats
) -> tuple[NDArray[np.int64], Floats]:
    """Return the rows that texts touch, and the gradient of the sum of 1 - cosine for each."""
    sums, flat, lengths = _sums(table, rows)
    norms = np.linalg.norm(sums, axis=1, keepdims=True) + _TINY
    directions = sums / norms
    cosines = (directions * targets).sum(axis=1, keepdims=True)
    of_texts = (cosines * directions - targets) / norms
    order = np.argsort(flat, kind="stable")
    touched, starts = np.unique(flat[order], return_index=True)
    of_tokens = np.repeat(of_texts, lengths, axis=0)[order]
    return touched, np.add.reduceat(of_tokens, starts, axis=0)


def _sums(
    table: Floats, rows: Sequence[Sequence[int]]
) -> tuple[Floats, NDArray[np.int64], NDArray[np.int64]]:
    """Return the sum of each text's rows, the rows of all texts, and how many each has."""
    lengths = np.array([len(of_text) for of_text in rows], dtype=np.int64)
    flat = np.concatenate([np.asarray(of_text, dtype=np.int64) for of_text in rows])
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    return np.add.reduceat(table[flat], starts, axis=0), flat, lengths
