"""Learning from outcomes: first from a part of them, to judge it by the rest, and then from all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from tiny_dancer.learning.outcome_table import OutcomeTable
from tiny_dancer.predictors.observations import Floats, Observations
from tiny_dancer.predictors.predictor import QualityPredictor
from tiny_dancer.training.loss import RowNumbers
from tiny_dancer.training.progress import Progress, no_progress


@dataclass(frozen=True, slots=True, eq=False)
class JudgedFit:
    """A predictor twice: as it was judged, and as it serves.

    What was held back is a tenth of what is known, and of few outcomes that is worth more in the
    predictor than it costs not to have judged the one that serves, but the one before it.

    Attributes:
        table: of outcomes.
        training_rows, held_back_rows: of the table.
        judged: learned from the training rows.
        predictions: its, for the rows held back, [h, a].
        serving: learned from all rows, see ``QualityPredictor.refitted``.
    """

    table: OutcomeTable
    training_rows: RowNumbers
    held_back_rows: RowNumbers
    judged: QualityPredictor
    predictions: Floats
    serving: QualityPredictor

    @classmethod
    def of(
        cls,
        unfitted: QualityPredictor,
        table: OutcomeTable,
        progress: Progress = no_progress,
        progress_with_all: Progress = no_progress,
    ) -> Self:
        """Learn twice.

        Args:
            unfitted: is left as it is, or is the one judged afterwards.
            table: of outcomes.
            progress: of learning from a part.
            progress_with_all: of learning from all.
        """
        training_rows, held_back_rows = table.held_back()
        judged = unfitted.learn(table.observations.rows(training_rows), progress)
        if not len(held_back_rows):
            nothing = np.empty((0, table.observations.agents))
            return cls(table, training_rows, held_back_rows, judged, nothing, judged)
        held_back = table.observations.rows(held_back_rows)
        # As it will be read back: of the same model twice none is better by a rounding.
        predictions = QualityPredictor.from_blob(judged.to_blob()).predict_batch(
            held_back.embeddings, held_back.lexical
        )
        serving = judged.refitted(table.observations, progress_with_all)
        return cls(table, training_rows, held_back_rows, judged, predictions, serving)

    @property
    def training(self) -> Observations:
        """What the judged one learned from."""
        return self.table.observations.rows(self.training_rows)

    @property
    def held_back(self) -> Observations:
        """What it was judged by."""
        return self.table.observations.rows(self.held_back_rows)
