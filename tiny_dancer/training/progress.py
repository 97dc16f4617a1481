"""How a long training tells where it is, and lets itself be cancelled.

Code that wants either passes a callback ``(epoch, of, loss)``; an exception raised in it ends
the training and reaches the caller as it is.
"""

from __future__ import annotations

import time
from collections.abc import Callable

Progress = Callable[[int, int, float], None]

LONGEST_SILENCE_S = 0.2
"""The callback runs about this often, so that a cancelled training ends within a second."""


def no_progress(epoch: int, of: int, loss: float) -> None:
    """Tell nobody."""


class ProgressReports:
    """Calls back at the end of each epoch and, within long ones, now and then.

    Args:
        progress: the callback.
        of: how many epochs there will be at most.
    """

    def __init__(self, progress: Progress, of: int) -> None:
        self._progress = progress
        self._of = of
        self._last = time.monotonic()

    def epoch(self, epoch: int, loss: float) -> None:
        """An epoch is over.

        Args:
            epoch: how many are done.
            loss: the validation loss, or the training loss where nothing is held back.
        """
        self._progress(epoch, self._of, loss)
        self._last = time.monotonic()

    def within(self, epoch: int, loss: float) -> None:
        """A step is over; calls back only if the last call was a while ago.

        Args:
            epoch: how many are done.
            loss: of the last batch.
        """
        if time.monotonic() - self._last >= LONGEST_SILENCE_S:
            self.epoch(epoch, loss)
