"""Predictions for rows that a predictor has not seen, and their loss."""

from __future__ import annotations

from copy import deepcopy

import numpy as np

from tiny_dancer.predictors.linear_heads import clipped
from tiny_dancer.predictors.observations import Floats, Mask, Observations
from tiny_dancer.predictors.predictor import QualityPredictor
from tiny_dancer.training.held_back import all_but
from tiny_dancer.training.loss import RowNumbers
from tiny_dancer.training.progress import Progress


def out_of_fold(
    predictor: QualityPredictor,
    observations: Observations,
    folds: list[RowNumbers],
    progress: Progress,
) -> Floats:
    """Predict each part by a copy of the predictor that learned from the other parts, [n, a].

    Args:
        predictor: unfitted; stays so.
        observations: n rows.
        folds: at least two parts that cover them.
        progress: counts the parts in thousandths.
    """
    predictions = np.empty(observations.targets.shape)
    for number, part in enumerate(folds):
        stage = StageProgress(progress, number, len(folds))
        rest = observations.rows(all_but(part, len(observations)))
        learned = deepcopy(predictor).learn(rest, stage)
        predictions[part] = learned.predict_batch(
            observations.embeddings[part], observations.lexical[part]
        )
    return predictions


class StageProgress:
    """Reports one of several stages as thousandths of the whole.

    Args:
        progress: told of the whole.
        number: of this stage, from 0.
        of: how many stages.
    """

    def __init__(self, progress: Progress, number: int, of: int) -> None:
        self._progress = progress
        self._number = number
        self._of = of

    def __call__(self, done: int, of: int, loss: float) -> None:
        """Take in the progress of the stage."""
        share = (self._number + min(1.0, done / max(of, 1))) / self._of
        self._progress(round(1000 * share), 1000, loss)


def cross_entropy(predictions: Floats, targets: Floats, mask: Mask) -> float:
    """Mean of −t log p − (1 − t) log(1 − p) over the entries that were observed."""
    return float(row_entropies(predictions, targets)[mask].mean())


def row_entropies(predictions: Floats, targets: Floats) -> Floats:
    """−t log p − (1 − t) log(1 − p) of every entry."""
    p = clipped(predictions)
    return np.asarray(-targets * np.log(p) - (1.0 - targets) * np.log1p(-p))
