"""Expected calibration error, less what perfect calibration would show on as many rows.

With few rows even true probabilities have an error: .084 at 183 rows. So outcomes are drawn
from the predictions themselves, and their mean error is taken off.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tiny_dancer.errors import InvalidArgumentError

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Calibration:
    """How well probabilities hold.

    Attributes:
        error: expected calibration error.
        chance: mean error of outcomes drawn from the predictions.
        brier: mean squared error of the predictions.
    """

    error: float
    chance: float
    brier: float

    @property
    def excess(self) -> float:
        """The error that chance does not explain; may be slightly below 0."""
        return self.error - self.chance


def expected_calibration_error(predicted: Floats, observed: Floats, bins: int = 10) -> float:
    """Mean |mean prediction − mean outcome| over bins of equal mass, weighted by their rows.

    Args:
        predicted: probabilities, [n].
        observed: outcomes in [0, 1], [n].
        bins: how many.
    """
    order = np.argsort(predicted, kind="stable")
    return _binned_gap((predicted - observed)[order], bins)


def calibration(
    predicted: Floats, observed: Floats, *, bins: int = 10, draws: int = 200, seed: int = 0
) -> Calibration:
    """Measure calibration and what chance alone would show.

    Args:
        predicted: probabilities, [n].
        observed: outcomes in [0, 1], [n].
        bins: how many bins of equal mass.
        draws: how often outcomes are drawn from the predictions.
        seed: of the draws.

    Raises:
        InvalidArgumentError: no rows, or lengths that differ.
    """
    if len(predicted) == 0 or len(predicted) != len(observed):
        raise InvalidArgumentError(
            f"predicted has {len(predicted)} rows and observed has {len(observed)}"
        )
    order = np.argsort(predicted, kind="stable")
    said, seen = np.asarray(predicted, dtype=np.float64)[order], observed[order]
    generator = np.random.default_rng(seed)
    drawn = [_binned_gap(said - (generator.random(len(said)) < said), bins) for _ in range(draws)]
    return Calibration(
        _binned_gap(said - seen, bins), float(np.mean(drawn)), float(np.mean((said - seen) ** 2))
    )


def reliability(predicted: Floats, observed: Floats, bins: int = 10) -> Floats:
    """Rows of (mean prediction, mean outcome, count) per bin of equal mass: the diagram."""
    order = np.argsort(predicted, kind="stable")
    return np.array(
        [
            (predicted[part].mean(), observed[part].mean(), len(part))
            for part in np.array_split(order, bins)
            if len(part)
        ]
    )


def _binned_gap(gaps: Floats, bins: int) -> float:
    """Σ |sum of the gaps of a bin| / n, the rows being in order of their prediction."""
    return sum(abs(float(part.sum())) for part in np.array_split(gaps, bins)) / len(gaps)
