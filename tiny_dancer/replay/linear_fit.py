"""One ridge regression, as the models of a replay use it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tiny_dancer.predictors.observations import Observations
from tiny_dancer.predictors.ridge_path import fit_ridge

Floats = NDArray[np.float64]
Matrix = NDArray[np.float32]


def linear_fit(inputs: Matrix, targets: Floats) -> tuple[Floats, float]:
    """Return head, [k], and offset, with the penalty that predicts rows left out best.

    Args:
        inputs: [n, k], n ≥ 1.
        targets: finite, [n].
    """
    none = np.zeros((len(inputs), 0), dtype=np.float32)
    mask = np.ones((len(inputs), 1), dtype=bool)
    fit = fit_ridge(inputs, Observations(inputs, none, targets[:, None], mask))
    return fit.coefficients[:, 0], float(fit.offset[0])
