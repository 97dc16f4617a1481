"""A FastGRNN that reads a request sentence by sentence, to be measured beside the one-step one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from tiny_dancer.embedding.provider import EmbeddingProvider
from tiny_dancer.fastgrnn import FastGRNN, FastGRNNForm
from tiny_dancer.lexical_features import Standardisation
from tiny_dancer.predictors.fastgrnn_heads import DESCENT, train_seeds
from tiny_dancer.predictors.observations import Observations
from tiny_dancer.training.encoder_training import Descent, Inputs
from tiny_dancer.training.progress import no_progress
from tiny_dancer.training.sigmoid_cross_entropy import SigmoidCrossEntropy, sigmoid

Floats = NDArray[np.float64]
Vectors = NDArray[np.float32]

LONGEST = 12
"""Sentences read of a request; of a longer one the last are left out."""


def sentences(text: str) -> list[str]:
    """The sentences of a request, at least one."""
    parts = [part.strip() for part in re.split(r"(?<=[.!?])\s+|\n+", text)]
    return [part for part in parts if part][:LONGEST] or [text]


def sentence_vectors(
    prompts: list[str], whole: Vectors, provider: EmbeddingProvider
) -> tuple[Vectors, NDArray[np.int64]]:
    """The vectors of the sentences, then that of the whole request: [n, T, d], and lengths [n]."""
    split = [sentences(prompt) for prompt in prompts]
    lengths = np.array([len(parts) + 1 for parts in split], dtype=np.int64)
    values = np.zeros((len(prompts), LONGEST + 1, whole.shape[1]), dtype=np.float32)
    for row, parts in enumerate(split):
        for at, part in enumerate(parts):
            values[row, at] = provider.embed(part)
        values[row, len(parts)] = whole[row]
    return values, lengths


@dataclass
class SentenceFastGRNN:
    """As ``FastGRNNHeads`` in all but that it takes a step per sentence."""

    hidden_dim: int = 32
    seeds: int = 3
    descent: Descent = DESCENT
    seed: int = 0

    def fit(
        self, values: Vectors, lengths: NDArray[np.int64], lexical: Vectors, targets: Floats
    ) -> Self:
        """Train by back-propagation through time.

        Args:
            values: [n, T, d].
            lengths: steps that count, [n].
            lexical: raw features, repeated at every step, [n, l].
            targets: [n, a].
        """
        self._standard = Standardisation.fit(lexical)
        inputs = Inputs(self._steps(values, lexical), lengths)
        last = values[np.arange(len(values)), lengths - 1]
        observations = Observations.checked(last, lexical, targets)
        form = FastGRNNForm(inputs.values.shape[2], self.hidden_dim)
        loss = SigmoidCrossEntropy(observations.targets, observations.mask)
        trained = train_seeds(self, form, inputs, loss, observations, no_progress)
        self._cell, self._trained = FastGRNN(trained.weights), trained
        return self

    def predict_batch(
        self, values: Vectors, lengths: NDArray[np.int64], lexical: Vectors
    ) -> Floats:
        """Expected quality, [n, a]."""
        hidden = self._cell.forward(self._steps(values, lexical), lengths=lengths)
        odds = hidden @ self._trained.head.T + self._trained.bias
        return np.asarray(sigmoid(odds), dtype=np.float64)

    def _steps(self, values: Vectors, lexical: Vectors) -> Vectors:
        words = 0.2 * self._standard.transform(lexical)
        repeated = np.repeat(words[:, None], values.shape[1], axis=1)
        return np.concatenate([values, repeated], axis=2)
