"""Cross-entropy of a softmax: exactly one class is right."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tiny_dancer.training.loss import FloatArray, RowNumbers


def softmax(logits: FloatArray) -> FloatArray:
    """Probabilities over the last axis; the largest logit is taken off first, so none overflows."""
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(axis=-1, keepdims=True))


class SoftmaxCrossEntropy:
    """−Σ q log p over the classes, with q = (1 − s) on the right class + s / C on all.

    Args:
        labels: number of the right class of each row, [n].
        classes: how many classes there are, C.
        weights: how much each row counts, [n]; all the same if None.
        smoothing: s, the share of label smoothing (Szegedy et al., CVPR 2016).
    """

    def __init__(
        self,
        labels: NDArray[np.int64],
        classes: int,
        weights: FloatArray | None = None,
        smoothing: float = 0.0,
    ) -> None:
        self.labels = labels
        self.classes = classes
        self.weights: FloatArray = np.ones(len(labels)) if weights is None else weights
        self.smoothing = smoothing

    @property
    def outputs(self) -> int:
        """One logit per class."""
        return self.classes

    def base_logits(self) -> FloatArray:
        """Log of the share of each class, one row added to each so that none is empty."""
        counts = np.bincount(self.labels, self.weights, minlength=self.classes) + 1.0
        return np.asarray(np.log(counts / counts.sum()))

    def __call__(self, logits: FloatArray, rows: RowNumbers) -> tuple[float, FloatArray]:
        """The weighted mean over the rows, and its gradient; see ``Loss``."""
        weights = self.weights[rows].astype(logits.dtype)
        total = float(weights.sum())
        if total <= 0.0:
            return 0.0, np.zeros_like(logits)
        target = self._target(rows, logits.dtype)
        shifted = logits - logits.max(axis=1, keepdims=True)
        exponentials = np.exp(shifted)
        sums = exponentials.sum(axis=1, keepdims=True)
        losses = (target * (np.log(sums) - shifted)).sum(axis=1)
        share = weights / total
        gradient = (exponentials / sums - target) * share[:, None]
        return float(losses @ share), gradient

    def _target(self, rows: RowNumbers, dtype: np.dtype[Any]) -> FloatArray:
        """The distribution q of some rows, [m, C]."""
        target = np.full((len(rows), self.classes), self.smoothing / self.classes, dtype=dtype)
        target[np.arange(len(rows)), self.labels[rows]] += 1.0 - self.smoothing
        return target
