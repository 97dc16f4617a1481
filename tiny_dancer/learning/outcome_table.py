"""Outcomes as a table: a row for each different request, a column for each agent.

Requests are equal when their embeddings are, in the half precision in which they are stored. So
an outcome recorded by id and the same request written out in a query are one row, and what a
model was trained on can be told from what it has not seen.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tiny_dancer.errors import InvalidArgumentError
from tiny_dancer.predictors.observations import Observations
from tiny_dancer.training.loss import RowNumbers
from tiny_dancer.weights import Float32Array

Keys = NDArray[np.int64]
Floats = NDArray[np.float64]

LEAST_REQUESTS = 5
HELD_BACK_OF = 10
"""One request in so many is held back."""
MOST_HELD_BACK = 2000
"""Beyond so many the error of what is measured no longer matters, and training profits."""
MOST_HELD_BACK_SHARE = 0.2
"""Of few requests chance might choose most."""
MOST_FEATURE = 1e6
"""No lexical feature of a text is as large; whoever may record may store any."""
LEAST_LEXICAL_SHARE = 0.5
"""Where the wording of fewer requests is known, nothing is learned from it."""


@dataclass(frozen=True, slots=True, eq=False)
class OutcomeTable:
    """What agents achieved on requests.

    Attributes:
        keys: of the requests, ascending, [n].
        agent_ids: of the agents, ascending, [a].
        observations: the requests and the mean quality of each agent on each.
        outcomes: how many outcomes each entry is the mean of, [n, a].
    """

    keys: Keys
    agent_ids: tuple[int, ...]
    observations: Observations
    outcomes: NDArray[np.int64]

    @classmethod
    def of(
        cls,
        embeddings: Float32Array,
        lexical: Float32Array,
        request: NDArray[np.int64],
        agent_id: NDArray[np.int64],
        quality: Floats,
    ) -> OutcomeTable:
        """Group outcomes. Their order plays no part.

        Args:
            embeddings: of r requests, [r, d]; some may be equal.
            lexical: their lexical features, [r, l]; a row of NaN where the text is not known.
            request: the row of each outcome's request, [m].
            agent_id: who acted, [m].
            quality: how well, in [0, 1], [m].

        Raises:
            InvalidArgumentError: fewer than ``LEAST_REQUESTS`` different requests.
        """
        keys, first, place = _grouped(embeddings, lexical)
        # Only requests that an outcome names.
        used = np.unique(place[request])
        if len(used) < LEAST_REQUESTS:
            raise InvalidArgumentError(
                f"outcomes of {len(used)} different requests are too few to train a router",
                hint=f"At least {LEAST_REQUESTS} are needed, and some hundred for each agent to "
                "learn anything that shows.",
            )
        row = np.searchsorted(used, place[request])
        agents, column = np.unique(agent_id, return_inverse=True)
        # Sorted, so that sums of the same outcomes are the same to the last bit.
        order = np.lexsort((quality, column, row))
        shape = (len(used), len(agents))
        totals, counts = np.zeros(shape), np.zeros(shape, dtype=np.int64)
        np.add.at(totals, (row[order], column[order]), quality[order])
        np.add.at(counts, (row, column), 1)
        means = np.clip(totals / np.maximum(counts, 1), 0.0, 1.0)
        kept = first[used]
        observations = Observations.checked(
            embeddings[kept], _completed(lexical[kept]), means, counts > 0
        )
        ids = tuple(int(agent) for agent in agents)
        return cls(keys[used], ids, observations, counts)

    def __len__(self) -> int:
        return len(self.keys)

    def held_back(self) -> tuple[RowNumbers, RowNumbers]:
        """Choose what is held back: the same requests in every training that has them.

        So any two models have requests that neither had seen when it was judged, and can be
        compared.

        Returns:
            The rows to train on and the rows held back, both ascending. No agent has all of
            its outcomes among those held back.
        """
        shares = self.keys.view(np.uint64)
        chosen = np.flatnonzero(shares % np.uint64(HELD_BACK_OF) == 0)
        if not len(chosen):
            chosen = np.array([int(shares.argmin())])
        most = min(MOST_HELD_BACK, max(1, int(MOST_HELD_BACK_SHARE * len(self))))
        chosen = chosen[np.argsort(shares[chosen], kind="stable")][:most]
        apart = np.zeros(len(self), dtype=bool)
        apart[chosen] = True
        mask = self.observations.mask
        unseen = ~mask[~apart].any(axis=0)
        apart &= ~mask[:, unseen].any(axis=1)
        return np.flatnonzero(~apart), np.flatnonzero(apart)


def request_keys(embeddings: Float32Array) -> Keys:
    """Hash embeddings in half precision, [r, d] → [r]."""
    halves = np.ascontiguousarray(embeddings.astype("<f2"))
    hashes = b"".join(hashlib.blake2b(row.tobytes(), digest_size=8).digest() for row in halves)
    return np.frombuffer(hashes, dtype="<i8").astype(np.int64)


def _grouped(
    embeddings: Float32Array, lexical: Float32Array
) -> tuple[Keys, RowNumbers, NDArray[np.int64]]:
    """Return the different keys, the row that stands for each, and the place of each row's key.

    Of rows with equal keys one of which most lexical features are known stands for them, the one
    with the least: any would do, as long as it is always the same.
    """
    all_keys = request_keys(embeddings)
    unknown = np.isnan(lexical).sum(axis=1).tolist()
    wording = [row.tobytes() for row in np.nan_to_num(lexical, nan=np.inf)]
    order = np.array(
        sorted(
            range(len(all_keys)), key=lambda row: (int(all_keys[row]), unknown[row], wording[row])
        ),
        dtype=np.int64,
    )
    keys, starts, place = np.unique(all_keys[order], return_index=True, return_inverse=True)
    places = np.empty(len(order), dtype=np.int64)
    places[order] = place
    return keys, order[starts], places


def _completed(lexical: Float32Array) -> Float32Array:
    """Fill in features of requests whose text is not known, or leave out those seldom known.

    Of requests recorded by an earlier version the last ones are not known.
    """
    known = np.isfinite(lexical)
    seldom = np.flatnonzero(known.mean(axis=0) < LEAST_LEXICAL_SHARE)
    if len(seldom):
        known, lexical = known[:, : seldom[0]], lexical[:, : seldom[0]]
    if known.all():
        return lexical
    sums = np.where(known, lexical, 0.0).sum(axis=0, dtype=np.float64)
    return np.where(known, lexical, (sums / known.sum(axis=0)).astype(np.float32))


def joined_features(
    rows: Sequence[Float32Array | None], count: int, earlier: Sequence[int] = ()
) -> Float32Array:
    """Stack lexical features, [r, count]; NaN where there are none, or other ones.

    Args:
        rows: of each request.
        count: how many there are.
        earlier: lengths of rows that are the first of them.
    """
    stacked = np.full((len(rows), count), np.nan, dtype=np.float32)
    for place, row in enumerate(rows):
        if row is None or row.ndim != 1 or len(row) not in (count, *earlier):
            continue
        if (np.abs(row) <= MOST_FEATURE).all():
            stacked[place, : len(row)] = row
    return stacked
