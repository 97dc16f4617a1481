"""Early stopping: keep the weights that did best on rows held back, and know when to stop."""

from __future__ import annotations

import math
from collections.abc import Mapping

from tiny_dancer.training.loss import FloatArray


class EarlyStopping:
    """Watches a validation loss over the epochs.

    Args:
        patience: how many epochs without a better loss to wait.

    Attributes:
        best_loss: the least loss seen.
        best_epoch: when it was seen, counted from 1; 0 before the first.
        best_parameters: copies of the parameters of that epoch.
    """

    def __init__(self, patience: int) -> None:
        self.patience = patience
        self.best_loss = math.inf
        self.best_epoch = 0
        self.best_parameters: dict[str, FloatArray] = {}

    def update(self, epoch: int, loss: float, parameters: Mapping[str, FloatArray]) -> bool:
        """Take in one epoch.

        Args:
            epoch: its number, from 1.
            loss: on the rows held back.
            parameters: of the model at that time; copied where they are the best.

        Returns:
            Whether to stop.
        """
        if loss < self.best_loss:
            self.best_loss = loss
            self.best_epoch = epoch
            self.best_parameters = {name: value.copy() for name, value in parameters.items()}
        return epoch - self.best_epoch >= self.patience
