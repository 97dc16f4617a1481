"""A stream of outcomes recorded in a database of its own, a training, and decisions after it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import psycopg
from numpy.typing import NDArray
from scratch_database import new_database

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]

ROWS_AT_ONCE = 500
PREPARE = (
    "SET client_min_messages = warning",
    "CREATE EXTENSION tiny_dancer CASCADE",
    "SELECT tiny_dancer.use_model('all-MiniLM-L6-v2')",
    "CREATE TABLE asked (id integer PRIMARY KEY, request text, embedding vector(384))",
)
REGISTER = "SELECT ruvector_register_agent(%s, 'llm', ARRAY[]::text[], quality_score := %s)"
# A wrong answer is one of low quality, and no failure: failures would open circuit breakers.
RECORD = """
SELECT ruvector_record_usage(%s, actual_cost := 0, success := true, quality := %s,
                             request := a.request, embedding := a.embedding::real[])
FROM asked AS a WHERE a.id = %s
"""
DECIDED = """
SELECT r.agent_name
FROM (SELECT array_agg(request ORDER BY id) AS requests, array_agg(embedding ORDER BY id) AS vectors
      FROM asked WHERE id = ANY (%s)) AS a,
     LATERAL ruvector_batch_route(a.requests, 'quality', embeddings := a.vectors) AS r
ORDER BY r.ordinal
"""


class Stream(NamedTuple):
    """Requests and agents of the outcomes of a stream, and the requests to be decided."""

    asked: Rows
    acting: Rows
    others: Rows


def decided_after(
    url: str,
    prompts: Sequence[str],
    embeddings: NDArray[np.float32],
    quality: Floats,
    stream: Stream,
) -> Rows:
    """Return the agents that are chosen for quality, once the stream is recorded and learned from.

    Args:
        url: of the server.
        prompts: all requests, n of them.
        embeddings: of them by the default model, [n, d].
        quality: of each agent on each, [n, a]; agents are registered at their mean.
        stream: rows of all these; those to decide in ascending order.
    """
    names = [f"{number:02}" for number in range(quality.shape[1])]
    with (
        new_database(url) as address,
        psycopg.connect(address, autocommit=True) as connection,
    ):
        for statement in PREPARE:
            connection.execute(statement)
        for name, mean in zip(names, quality.mean(axis=0).tolist(), strict=True):
            connection.execute(REGISTER, [name, mean])
        used = np.unique(np.concatenate([stream.asked, stream.others])).tolist()
        with connection.cursor().copy("COPY asked FROM STDIN") as copy:
            for row in used:
                vector = "[" + ",".join(map(repr, embeddings[row].tolist())) + "]"
                copy.write_row((row, prompts[row], vector))
        outcomes = [
            (names[agent], float(quality[row, agent]), row)
            for row, agent in zip(stream.asked.tolist(), stream.acting.tolist(), strict=True)
        ]
        if outcomes:
            connection.cursor().executemany(RECORD, outcomes)
            connection.execute("SELECT ruvector_train_router()")
        agents: list[int] = []
        for first in range(0, len(stream.others), ROWS_AT_ONCE):
            some = stream.others[first : first + ROWS_AT_ONCE].tolist()
            agents += [names.index(str(name)) for (name,) in connection.execute(DECIDED, [some])]
    return np.array(agents, np.int64)
