"""Which rows are held back from training, so that it can be judged by them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tiny_dancer.training.loss import RowNumbers
from tiny_dancer.weights import Float32Array


def duplicate_groups(vectors: Float32Array) -> NDArray[np.int64]:
    """Number the rows so that equal rows share a number, [n].

    A row whose twin was trained on tells nothing about new requests, so twins stay together.
    """
    numbers: dict[bytes, int] = {}
    keys = (np.ascontiguousarray(row).tobytes() for row in vectors)
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], dtype=np.int64)


def folds(
    groups: NDArray[np.int64], strata: NDArray[np.int64], count: int, seed: int
) -> list[RowNumbers]:
    """Deal the rows into parts of about equal size and mixture.

    Args:
        groups: rows of one group go to the same part, [n].
        strata: each value is spread evenly over the parts, [n]; of a group, its first row's
            counts.
        count: how many parts.
        seed: of the shuffle.

    Returns:
        The row numbers of each part, ascending. A part may be empty where there are fewer
        groups than parts.
    """
    generator = np.random.default_rng(seed)
    _, first_rows = np.unique(groups, return_index=True)
    part_of_group = np.empty(int(groups.max(initial=-1)) + 1, dtype=np.int64)
    position = 0
    for stratum in np.unique(strata[first_rows]):
        members = first_rows[strata[first_rows] == stratum]
        for row in generator.permutation(members):
            part_of_group[groups[row]] = position % count
            position += 1
    parts = part_of_group[groups]
    return [np.flatnonzero(parts == part) for part in range(count)]


def all_but(rows: RowNumbers, count: int) -> RowNumbers:
    """The numbers below ``count`` that are not among ``rows``."""
    kept = np.ones(count, dtype=bool)
    kept[rows] = False
    return np.flatnonzero(kept)


def joined(parts: Sequence[RowNumbers]) -> RowNumbers:
    """Several parts as one, ascending."""
    return np.sort(np.concatenate(parts)) if parts else np.zeros(0, dtype=np.int64)
