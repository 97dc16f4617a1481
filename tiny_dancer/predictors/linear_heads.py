"""One linear head per agent over features of the request, clipped to probabilities."""

from __future__ import annotations

import math

import numpy as np

from tiny_dancer.predictors.observations import Floats
from tiny_dancer.weights import Float32Array

LEAST, MOST = 0.002, 0.998
"""No learned quality is a certainty."""
# Arrays, for of a number NumPy makes one in each call.
_LEAST_LOG_ODDS = np.array(math.log(LEAST / MOST), np.float32)
_MOST_LOG_ODDS = np.array(math.log(MOST / LEAST), np.float32)


def clipped(values: Float32Array | Floats) -> Floats:
    """Bring predictions of a linear head into [LEAST, MOST], as float64."""
    bounded: Floats = np.clip(np.asarray(values, dtype=np.float64), LEAST, MOST)
    return bounded


def log_odds(predictions: Floats) -> Floats:
    """log(p / (1 − p)), kept away from infinity."""
    p = clipped(predictions)
    return np.asarray(np.log(p / (1.0 - p)))


def within_log_odds(odds: Float32Array | Floats) -> Float32Array | Floats:
    """Bring log-odds to those of probabilities within [LEAST, MOST], in place."""
    np.maximum(odds, _LEAST_LOG_ODDS, out=odds)
    return np.minimum(odds, _MOST_LOG_ODDS, out=odds)


def probabilities(odds: Float32Array | Floats) -> Floats:
    """σ of log-odds, within [LEAST, MOST], in as few passes as it takes."""
    half = np.tanh(0.5 * odds)
    half *= 0.5
    half += 0.5
    np.minimum(half, MOST, out=half)
    return np.maximum(half, LEAST, out=half).astype(np.float64, copy=False)
