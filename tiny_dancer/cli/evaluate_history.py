"""Reading the recorded outcomes of a database, to evaluate routers on them."""

from __future__ import annotations

import numpy as np

from tiny_dancer.cli.database import fetch_all
from tiny_dancer.errors import InvalidArgumentError
from tiny_dancer.evaluation.benchmark_file import Benchmark
from tiny_dancer.evaluation.router_comparison import Requests
from tiny_dancer.lexical_features import COUNT, EARLIER_COUNTS, RECORDED_COUNTS

# The one query. It runs as whoever connects, and reads what that role may read.
HISTORY = """
SELECT a.name, o.quality, u.cost::float8, o.embedding, o.features
FROM tiny_dancer.models m
CROSS JOIN LATERAL tiny_dancer.learnable_outcomes(m.id, %s) o
JOIN tiny_dancer.agents a ON a.id = o.agent_id
JOIN tiny_dancer.usage u ON u.id = o.usage_id
WHERE m.active
ORDER BY o.usage_id
"""
_HALFVEC_HEADER = 4
"""Bytes before the numbers: the dimension, and two of padding."""


def read_history(url: str, most: int) -> tuple[Requests, int]:
    """Read recorded outcomes whose request is known by its vector.

    Args:
        url: of the database.
        most: how many outcomes, the latest.

    Returns:
        The requests, and how many outcomes were left out for want of a vector or features.

    Raises:
        InvalidArgumentError: none is left.
        DatabaseError: the database cannot be reached, or refused.
    """
    rows = fetch_all(url, HISTORY, (most,))
    count = _features_of_most([features for *_, features in rows if features is not None])
    kept = [
        (name, float(quality), float(cost), bytes(vector), features[:count])
        for name, quality, cost, vector, features in rows
        if vector is not None and features is not None and count <= len(features) in RECORDED_COUNTS
    ]
    if not kept:
        raise InvalidArgumentError(
            f"none of {len(rows)} recorded outcomes has the vector of its request"
            if rows
            else "no outcome is recorded",
            hint="Record decisions with ruvector_route(…, record := true) and their outcomes with "
            "their decision_id.",
        )
    return _requests(kept), len(rows) - len(kept)


def _features_of_most(recorded: list[list[float]]) -> int:
    """How many features are gone by: all, or those that earlier versions recorded for most."""
    complete = sum(len(features) == COUNT for features in recorded)
    return COUNT if 2 * complete >= len(recorded) else EARLIER_COUNTS[-1]


def _requests(rows: list[tuple[str, float, float, bytes, list[float]]]) -> Requests:
    """One row per request; requests of the same vector and features are the same."""
    agents = sorted({name for name, *_ in rows})
    column = {name: number for number, name in enumerate(agents)}
    keys = [(vector, tuple(features)) for *_, vector, features in rows]
    row_of = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    shape = (len(row_of), len(agents))
    count, quality, cost = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    for key, (name, achieved, spent, _, _) in zip(keys, rows, strict=True):
        at = row_of[key], column[name]
        count[at] += 1.0
        quality[at] += achieved
        cost[at] += spent
    mask = count > 0.0
    divisor = np.maximum(count, 1.0)
    benchmark = Benchmark(
        # Texts are not read: their length is no use without them, and they are sensitive.
        [f"request {number}" for number in range(len(row_of))],
        agents,
        quality / divisor,
        mask,
        np.where(mask, cost / divisor, np.nan),
        None,
    )
    vectors = [np.frombuffer(vector, ">f2", offset=_HALFVEC_HEADER) for vector, _ in row_of]
    return Requests(
        benchmark,
        np.array(vectors, dtype=np.float32),
        np.array([features for _, features in row_of], dtype=np.float32),
    )
