"""Registries too large to keep in a backend: pgvector finds the agents near a request.

The HNSW index on a model's vectors is partial and of fixed dimensions, since the column holds
vectors of any model; so its queries name the model's id and dimension literally.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tiny_dancer.agents.agent import Agent
from tiny_dancer.agents.registry import AgentRegistry
from tiny_dancer.pg import store
from tiny_dancer.pg.model import ActiveModel

if TYPE_CHECKING:
    from tiny_dancer.pg.backend import Backend
    from tiny_dancer.pg.snapshot import Configuration

# How many of the nearest agents a decision considers when it can not look at all of them.
CONSIDERED = 1000
# The greatest dimension of an HNSW index over vectors of 32-bit floats.
MAX_INDEX_DIMENSION = 2000
# From this release of pgvector on, a scan goes on until enough rows passed the filter.
ITERATIVE_SCAN_SINCE = (0, 8)

VECTOR_EXTENSION = """
SELECT quote_ident(n.nspname) AS schema, e.extversion AS version
FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'vector'
"""
SET_LOCALLY = "SELECT set_config($1, $2, true) AS value"
PRESENT = "SELECT current_setting($1, true) AS value"


@dataclass(frozen=True, slots=True)
class VectorExtension:
    """Where pgvector lives, quoted, and its version (major, minor)."""

    schema: str
    version: tuple[int, ...]


def nearest_query(model: ActiveModel, schema: str) -> str:
    """Return the query for the living, active agents nearest to $1, at most $2."""
    vector = f"{schema}.vector({model.dimension})"
    return f"""
    SELECT {store.AGENT_COLUMNS}
    FROM tiny_dancer.agent_embeddings e JOIN tiny_dancer.agents a ON a.id = e.agent_id
    WHERE e.model_id = {model.id} AND a.removed_at IS NULL AND a.active
    ORDER BY e.embedding::{vector} OPERATOR({schema}.<=>) $1::{schema}.vector::{vector}
    LIMIT $2
    """


def index_name(model: ActiveModel) -> str:
    """Return the name of the HNSW index on a model's vectors of agents."""
    return f"agent_embeddings_hnsw_{model.id}"


def registry_near(
    backend: Backend, configuration: Configuration, vector: NDArray[np.float32], k: int = CONSIDERED
) -> AgentRegistry:
    """Return a registry of only the k active agents nearest to a vector."""
    model = configuration.required_model
    return AgentRegistry(
        nearest(backend, model, vector, k),
        dimension=model.dimension,
        aliases=store.aliases(backend),
    )


def nearest(
    backend: Backend, model: ActiveModel, vector: NDArray[np.float32], k: int
) -> list[Agent]:
    """Return the k active agents nearest to a vector, through the index where there is one."""
    extension = vector_extension(backend)
    query = nearest_query(model, extension.schema)
    rows = search(backend, extension, query, vector, k)
    return [store.agent_from_row(row) for row in rows]


def search(
    backend: Backend,
    extension: VectorExtension,
    query: str,
    vector: NDArray[np.float32],
    k: int,
    breadth: int | None = None,
) -> Any:
    """Return the rows of a query for the k nearest to $1, at most $2.

    Args:
        backend: of this process.
        extension: where pgvector lives.
        query: takes the vector as text and k.
        vector: of what is searched for.
        k: how many.
        breadth: for how many the scan is to be wide enough; k unless given.
    """
    before = _widen(backend, breadth or k, iterative=extension.version >= ITERATIVE_SCAN_SINCE)
    rows = backend.rows(query, ("text", "bigint"), store.vector_text(vector), k)
    for setting, value in before.items():
        backend.rows(SET_LOCALLY, ("text", "text"), setting, value)
    return rows


def vector_extension(backend: Backend) -> VectorExtension:
    """Return where pgvector lives and its version."""
    row: Any = backend.row(VECTOR_EXTENSION)
    version = tuple(int(part) for part in row["version"].split(".")[:2])
    return VectorExtension(row["schema"], version)


def _widen(backend: Backend, k: int, *, iterative: bool) -> dict[str, str | None]:
    """Let the scan return k rows that pass the filter; return what the settings were.

    A setting is None, its default, as long as nothing has loaded pgvector in this backend.
    """
    wanted = {"hnsw.ef_search": str(max(40, min(1000, 2 * k)))}
    if iterative:
        wanted["hnsw.iterative_scan"] = "strict_order"
    before: dict[str, str | None] = {}
    for setting, value in wanted.items():
        present: Any = backend.row(PRESENT, ("text",), setting)
        before[setting] = present["value"] or None
        backend.rows(SET_LOCALLY, ("text", "text"), setting, value)
    return before
