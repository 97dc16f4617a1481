"""An order in which priority decides between neighbours that are almost equally similar."""

from __future__ import annotations

import operator
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Candidate = tuple[int, float]

DECIMALS = 6
ROUNDING = 10.0**-DECIMALS


def descending(
    positions: NDArray[np.intp], similarity: NDArray[Any], first: int
) -> Iterator[Candidate]:
    """Yield (position, similarity), most similar first, equal ones by position.

    Similarities are rounded to DECIMALS first: float32 products differ in their last bits with the
    machine and the place in the matrix, and every backend is to give the same order.

    Args:
        positions: ascending, shape [n].
        similarity: shape [n].
        first: about how many are likely to be asked for; only those are sorted at first.
    """
    count = len(positions)
    if count > 2 * first:
        least = np.partition(similarity, count - first)[count - first] - ROUNDING
        is_head = similarity >= least
        yield from _sorted(positions[is_head], similarity[is_head])
        positions, similarity = positions[~is_head], similarity[~is_head]
    yield from _sorted(positions, similarity)


def _sorted(positions: NDArray[np.intp], similarity: NDArray[Any]) -> list[Candidate]:
    # For the few that there usually are, a list is faster than NumPy.
    rounded = [round(value, DECIMALS) for value in similarity.tolist()]
    candidates = list(zip(positions.tolist(), rounded, strict=True))
    candidates.sort(key=_similarity_of, reverse=True)
    return candidates


_similarity_of = operator.itemgetter(1)


def by_priority(
    candidates: Iterator[Candidate], priorities: Sequence[int], margin: float
) -> Iterator[Candidate]:
    """Yield the candidates again, near-ties by priority.

    The next is always the one of highest priority among those that are at most ``margin`` less
    similar than the most similar that is left; so none comes before one that is more similar by
    more than the margin. Equal priorities keep their order.

    Args:
        candidates: (position, similarity), most similar first.
        priorities: by position.
        margin: at least 0.
    """
    waiting: deque[Candidate] = deque()
    upcoming = next(candidates, None)
    while waiting or upcoming is not None:
        if not waiting and upcoming is not None:
            waiting.append(upcoming)
            upcoming = next(candidates, None)
        least = waiting[0][1] - margin
        while upcoming is not None and upcoming[1] >= least:
            waiting.append(upcoming)
            upcoming = next(candidates, None)
        if len(waiting) == 1:
            yield waiting.popleft()
            continue
        # The first of equals: max keeps the order in which they came.
        chosen = max(
            (c for c in waiting if c[1] >= least), key=lambda candidate: priorities[candidate[0]]
        )
        waiting.remove(chosen)
        yield chosen
