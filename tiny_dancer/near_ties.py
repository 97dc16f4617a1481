"""An order in which priority decides between neighbours that are almost equally similar."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Candidate = tuple[int, float]

DECIMALS = 6
ROUNDING = 10.0**-DECIMALS
_UNITS = 10.0**DECIMALS
NEVER = -np.inf


def rounded(similarity: float) -> float:
    """Return the nearest number of DECIMALS, as ``round`` does, which takes longer."""
    return round(similarity * _UNITS) / _UNITS


def descending(left: NDArray[Any], first: int) -> Iterator[Candidate]:
    """Yield (place, similarity), most similar first, equal ones by place.

    Similarities are rounded to DECIMALS first: float32 products differ in their last bits with the
    machine and the place in the matrix, and every backend is to give the same order.

    Args:
        left: the similarities, NEVER for those that are not meant, shape [n]. It is used up.
        first: about how many are likely to be asked for: so many are found one after the other,
            which for the few of a match is faster than sorting. All others are sorted at once.
    """
    # Of these another one may be equal.
    waiting: list[Candidate] = []
    for _ in range(min(first, len(left))):
        place = int(left.argmax())
        similarity = left.item(place)
        if similarity == NEVER:
            break
        left[place] = NEVER
        value = rounded(similarity)
        if waiting and value < waiting[0][1]:
            yield from sorted(waiting)
            waiting.clear()
        waiting.append((place, value))
    others = np.flatnonzero(left > NEVER)
    waiting += zip(others.tolist(), map(rounded, left[others].tolist()), strict=True)
    waiting.sort(key=lambda candidate: (-candidate[1], candidate[0]))
    yield from waiting


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
