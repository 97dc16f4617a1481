"""Intervals by drawing the rows again: how sure is a figure, or a difference of two?

Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993 (percentile intervals).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tiny_dancer.errors import InvalidArgumentError

RowNumbers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure and where it may lie.

    Attributes:
        estimate: on the rows themselves.
        low, high: the 2.5 % and 97.5 % points of the draws.
        deviation: standard deviation of the draws.
    """

    estimate: float
    low: float
    high: float
    deviation: float


def bootstrap(
    statistic: Callable[[RowNumbers], float],
    groups: NDArray[np.int64],
    *,
    draws: int = 500,
    seed: int = 0,
) -> Interval:
    """Interval of a statistic; for a paired comparison let it return a difference.

    Args:
        statistic: of some rows, given by number, repeats included.
        groups: rows of one group are drawn together, [n]; twins and rows of several splits are
            no independent evidence.
        draws: how many.
        seed: of the draws.

    Raises:
        InvalidArgumentError: there are no rows.
    """
    return bootstrap_all(lambda rows: [statistic(rows)], groups, draws=draws, seed=seed)[0]


def bootstrap_all(
    statistics: Callable[[RowNumbers], Sequence[float]],
    groups: NDArray[np.int64],
    *,
    draws: int = 500,
    seed: int = 0,
) -> list[Interval]:
    """Intervals of several statistics of the same draws; see ``bootstrap``.

    A draw in which a statistic does not exist, and is NaN, is left out of its interval.
    """
    if len(groups) == 0:
        raise InvalidArgumentError("there are no rows to draw from")
    generator = np.random.default_rng(seed)
    _, members = np.unique(groups, return_inverse=True)
    order = np.argsort(members, kind="stable")
    starts = np.concatenate(([0], np.cumsum(np.bincount(members))))
    single = len(starts) - 1 == len(groups)
    values = []
    for _ in range(draws):
        drawn = generator.integers(len(starts) - 1, size=len(starts) - 1)
        if single:
            rows = order[drawn]
        else:
            rows = np.concatenate([order[starts[g] : starts[g + 1]] for g in drawn])
        values.append(statistics(rows))
    low, high = np.nanpercentile(values, [2.5, 97.5], axis=0)
    columns = zip(
        statistics(np.arange(len(groups))), low, high, np.nanstd(values, axis=0), strict=True
    )
    return [Interval(*map(float, column)) for column in columns]
