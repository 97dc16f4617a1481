"""Queries over the extension's tables: rows to the package's own types and back."""

from __future__ import annotations

import dataclasses
import functools
import json
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tiny_dancer.agents.agent import Agent, AgentType, CostModel
from tiny_dancer.agents.registry import AgentRegistry
from tiny_dancer.pg.model import ActiveModel

if TYPE_CHECKING:
    from tiny_dancer.pg.backend import Backend, Row

# Two 16-bit numbers stand before the elements in the binary form of a vector.
VECTOR_HEADER_BYTES = 4

SETTINGS = "SELECT name, value FROM tiny_dancer.settings"
ACTIVE_MODEL = """
SELECT id, name, provider, dimension, checksum FROM tiny_dancer.models WHERE active
"""
COUNT_AGENTS = "SELECT count(*) AS agents FROM tiny_dancer.agents WHERE removed_at IS NULL"
ALIASES = "SELECT alias, capability FROM tiny_dancer.capability_aliases"
AGENT_COLUMNS = """
a.id, a.name, a.agent_type, a.capabilities, a.cost_per_1k_tokens, a.cost_per_1k_output_tokens,
a.cost_per_call, a.cost_per_second, a.avg_latency_ms, a.quality_score,
(a.metadata ->> 'context_window')::float8 AS context_window,
CASE WHEN a.agent_type = 'ensemble' THEN a.metadata ->> 'members' END AS members,
a.active, a.pool, a.weight, a.max_concurrent, a.tags,
tiny_dancer.vector_bytes(e.embedding) AS embedding
"""
LIVING_AGENTS = f"""
SELECT {AGENT_COLUMNS}
FROM tiny_dancer.agents a
LEFT JOIN tiny_dancer.agent_embeddings e ON e.agent_id = a.id AND e.model_id = $1
WHERE a.removed_at IS NULL
"""
# The living ones, and of the removed ones those that are asked for.
LIVING_AND_PAST_AGENTS = f"""
SELECT {AGENT_COLUMNS}, a.removed_at IS NOT NULL AS is_removed
FROM tiny_dancer.agents a
LEFT JOIN tiny_dancer.agent_embeddings e ON e.agent_id = a.id AND e.model_id = $1
WHERE a.removed_at IS NULL OR a.id = ANY ($2)
"""
PUT_VECTOR = """
INSERT INTO tiny_dancer.agent_embeddings (agent_id, model_id, embedding, given)
VALUES ($1, $2, tiny_dancer.to_vector($3), $4)
ON CONFLICT (agent_id, model_id) DO UPDATE
SET embedding = excluded.embedding, given = excluded.given
WHERE excluded.given OR NOT agent_embeddings.given
"""
FORGET_VECTOR = """
DELETE FROM tiny_dancer.agent_embeddings WHERE agent_id = $1 AND model_id = $2 AND NOT given
"""


def setting_overrides(backend: Backend) -> dict[str, str]:
    """Return the settings that differ from their defaults, as text."""
    return {row["name"]: row["value"] for row in backend.rows(SETTINGS)}


def active_model(backend: Backend) -> ActiveModel | None:
    """Return the active embedding model, None if there is none."""
    row = backend.row(ACTIVE_MODEL)
    return ActiveModel(**row) if row else None


def count_agents(backend: Backend) -> int:
    """Return how many agents live."""
    row = backend.row(COUNT_AGENTS)
    return int(row["agents"]) if row else 0


def aliases(backend: Backend) -> dict[str, str]:
    """Return the aliases of capabilities, from key to key."""
    return {
        row["alias"].casefold(): row["capability"].strip().casefold()
        for row in backend.rows(ALIASES)
    }


def registry(backend: Backend, model: ActiveModel | None) -> AgentRegistry:
    """Read all living agents with their vectors of the model."""
    rows = backend.rows(LIVING_AGENTS, ("bigint",), model.id if model else None)
    return AgentRegistry(
        [agent_from_row(row) for row in rows],
        dimension=model.dimension if model else None,
        aliases=aliases(backend),
    )


def past_registry(backend: Backend, model: ActiveModel, agent_ids: list[int]) -> AgentRegistry:
    """Read the living agents and some removed ones, whose names say that they were.

    Args:
        backend: of this process.
        model: whose vectors are read.
        agent_ids: of agents that are wanted even if they were removed.
    """
    rows = backend.rows(LIVING_AND_PAST_AGENTS, ("bigint", "bigint[]"), model.id, agent_ids)
    agents = [
        dataclasses.replace(
            agent_from_row(row), name=f"{row['name']} (removed, id {row['id']})", active=False
        )
        if row["is_removed"]
        else agent_from_row(row)
        for row in rows
    ]
    return AgentRegistry(agents, dimension=model.dimension, aliases=aliases(backend))


def put_agent_vector(
    backend: Backend,
    agent_id: int,
    model: ActiveModel,
    vector: NDArray[np.float32],
    *,
    given: bool,
) -> None:
    """Store the vector of what an agent can do. One that the caller gave yields to none but such.

    Args:
        backend: of this process.
        agent_id: whose it is.
        model: which model made it, or whose vectors it can be compared with.
        vector: float32 unit vector, shape [dimension].
        given: whether the caller gave it.
    """
    backend.rows(
        PUT_VECTOR,
        ("bigint", "bigint", "real[]", "boolean"),
        agent_id,
        model.id,
        vector.tolist(),
        given,
    )


def forget_agent_vector(backend: Backend, agent_id: int, model: ActiveModel) -> None:
    """Delete the vector that was made of capabilities which an agent no longer has."""
    backend.rows(FORGET_VECTOR, ("bigint", "bigint"), agent_id, model.id)


def agent_from_row(row: Row) -> Agent:
    """Return the agent of a row of AGENT_COLUMNS."""
    return Agent(
        name=row["name"],
        agent_type=AgentType(row["agent_type"]),
        capabilities=tuple(row["capabilities"]),
        cost=CostModel(
            row["cost_per_1k_tokens"],
            row["cost_per_1k_output_tokens"],
            row["cost_per_call"],
            row["cost_per_second"],
        ),
        avg_latency_ms=row["avg_latency_ms"],
        quality_score=row["quality_score"],
        metadata=_meaningful_metadata(row),
        active=row["active"],
        pool=row["pool"],
        weight=row["weight"],
        max_concurrent=row["max_concurrent"],
        tags=tuple(row["tags"]),
        embedding=None if row["embedding"] is None else vector_from_bytes(row["embedding"]),
        id=row["id"],
    )


def _meaningful_metadata(row: Row) -> dict[str, Any]:
    """Return what a decision reads of metadata; the rest, of any size, stays in the database."""
    metadata = {}
    if row["context_window"] is not None:
        metadata["context_window"] = row["context_window"]
    if row["members"] is not None:
        metadata["members"] = json.loads(row["members"])
    return metadata


def vector_from_bytes(sent: bytes) -> NDArray[np.float32]:
    """Return the elements of a vector in binary form, native byte order."""
    return np.frombuffer(sent, ">f4", offset=VECTOR_HEADER_BYTES).astype(np.float32)


def half_vector_from_bytes(sent: bytes) -> NDArray[np.float32]:
    """Return the elements of a half-precision vector in binary form."""
    return np.frombuffer(sent, ">f2", offset=VECTOR_HEADER_BYTES).astype(np.float32)


def vector_text(vector: NDArray[np.float32]) -> str:
    """Return a vector as pgvector reads it.

    Nine significant digits tell any two float32 apart (IEEE 754, 5.12.2). One format for the whole
    vector takes less than half the time of writing each element by itself.
    """
    return _vector_format(len(vector)) % tuple(vector.tolist())


@functools.cache
def _vector_format(dimension: int) -> str:
    return f"[{','.join(['%.9g'] * dimension)}]"
