"""What a training loss is: rows of logits in, a mean and its gradient out."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.floating[Any]]
RowNumbers = NDArray[np.int64]


class Loss(Protocol):
    """A loss that knows the targets of all rows."""

    @property
    def outputs(self) -> int:
        """How many logits a row has."""

    def base_logits(self) -> FloatArray:
        """Logits that say the base rates of the targets, [outputs]; where a bias starts."""

    def __call__(self, logits: FloatArray, rows: RowNumbers) -> tuple[float, FloatArray]:
        """The weighted mean loss over some rows, and its gradient.

        Args:
            logits: [m, outputs].
            rows: which rows these are, [m].

        Returns:
            The mean, and its gradient by the logits, [m, outputs]. Where no row has any
            weight, both are zero.
        """
