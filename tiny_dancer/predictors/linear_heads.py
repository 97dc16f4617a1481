"""One linear head per agent over features of the request, clipped to probabilities."""

from __future__ import annotations

import numpy as np

from tiny_dancer.predictors.observations import Floats
from tiny_dancer.weights import Float32Array

LEAST, MOST = 0.002, 0.998
"""No learned quality is a certainty."""


def clipped(values: Float32Array | Floats) -> Floats:
    """Bring predictions of a linear head into [LEAST, MOST], as float64."""
    return np.clip(np.asarray(values, dtype=np.float64), LEAST, MOST)
