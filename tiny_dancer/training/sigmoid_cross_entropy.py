"""Cross-entropy of one sigmoid per output: labels that do not exclude each other, or rates."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tiny_dancer.training.loss import FloatArray, RowNumbers


def sigmoid(logits: FloatArray) -> FloatArray:
    """1 / (1 + e^−a) as (1 + tanh(a/2)) / 2, which overflows nowhere."""
    return np.asarray(0.5 + 0.5 * np.tanh(0.5 * logits))


class SigmoidCrossEntropy:
    """−t log p − (1 − t) log(1 − p), over the entries that were observed.

    Args:
        targets: what each output should be, in [0, 1], [n, A]; a quality of 0.7 is fine.
            Entries that the mask leaves out may hold anything.
        mask: which entries were observed, [n, A]; all if None.
        weights: how much each row counts, [n]; all the same if None.
    """

    def __init__(
        self,
        targets: FloatArray,
        mask: NDArray[np.bool_] | None = None,
        weights: FloatArray | None = None,
    ) -> None:
        observed = np.ones(targets.shape, dtype=bool) if mask is None else mask
        self.targets: FloatArray = np.where(observed, targets, 0.0)
        self.counts: FloatArray = observed.astype(np.float64)
        if weights is not None:
            self.counts *= weights[:, None]

    @property
    def outputs(self) -> int:
        """One logit per output."""
        return int(self.targets.shape[1])

    def base_logits(self) -> FloatArray:
        """Log odds of the mean of each output, a success and a failure added to each."""
        successes = (self.targets * self.counts).sum(axis=0) + 1.0
        failures = ((1.0 - self.targets) * self.counts).sum(axis=0) + 1.0
        return np.asarray(np.log(successes / failures))

    def __call__(self, logits: FloatArray, rows: RowNumbers) -> tuple[float, FloatArray]:
        """The weighted mean over the observed entries, and its gradient; see ``Loss``."""
        counts = self.counts[rows].astype(logits.dtype)
        total = float(counts.sum())
        if total <= 0.0:
            return 0.0, np.zeros_like(logits)
        targets = self.targets[rows].astype(logits.dtype)
        # max(a, 0) − a t + log(1 + e^−|a|) is the same loss and overflows nowhere.
        losses = np.maximum(logits, 0) - logits * targets + np.log1p(np.exp(-np.abs(logits)))
        gradient = (sigmoid(logits) - targets) * (counts / total)
        return float((losses * counts).sum() / total), gradient
