"""Registries too large to keep in a backend: pgvector finds the agents near a request.

The HNSW index on a model's vectors is partial and of fixed dimensions, since the column holds
vectors of any model; so its queries name the model's id and dimension literally.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
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

# An integer of so many bits is exact in a float32.
MANTISSA = 2.0**23

# The settings are NULL or empty, their default, as long as nothing has loaded pgvector here.
VECTOR_EXTENSION = """
SELECT quote_ident(n.nspname) AS schema, e.extversion AS version,
       nullif(current_setting('hnsw.ef_search', true), '') AS ef_search,
       nullif(current_setting('hnsw.iterative_scan', true), '') AS iterative_scan
FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'vector'
"""
SET_BREADTH = "SELECT set_config('hnsw.ef_search', $1, true) AS ef_search"
SET_SCAN = f"{SET_BREADTH}, set_config('hnsw.iterative_scan', $2, true) AS iterative_scan"


@dataclass(frozen=True, slots=True)
class VectorExtension:
    """pgvector as it is installed and set in this session.

    Attributes:
        schema: where it lives, quoted.
        version: major, minor.
        ef_search: how broad the scan of an HNSW index is, None for the default.
        iterative_scan: whether it goes on where rows did not pass a filter, None for the default.
    """

    schema: str
    version: tuple[int, ...]
    ef_search: str | None = None
    iterative_scan: str | None = None


def nearest_query(model: ActiveModel, schema: str, most: int) -> str:
    """Return the query for the living, active agents nearest to $1, at most ``most``.

    The number is part of the text: of a parameter the planner would guess that it asks for a tenth
    of all, and not use the index.
    """
    vector = f"{schema}.vector({model.dimension})"
    return f"""
    SELECT {store.AGENT_COLUMNS}
    FROM tiny_dancer.agent_embeddings e JOIN tiny_dancer.agents a ON a.id = e.agent_id
    WHERE e.model_id = {model.id} AND a.removed_at IS NULL AND a.active
    ORDER BY e.embedding::{vector} OPERATOR({schema}.<=>)
        (SELECT $1::{schema}.vector::{vector})
    LIMIT {most}
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
    most = power_of_two(k)
    query = nearest_query(model, extension.schema, most)
    rows = search(backend, extension, query, vector, 2 * most)
    return [store.agent_from_row(row) for row in islice(rows, k)]


def power_of_two(count: int) -> int:
    """Return the least power of two that is not less: a few queries then serve every count."""
    return 1 << max(0, count - 1).bit_length()


def search(
    backend: Backend,
    extension: VectorExtension,
    query: str,
    vector: NDArray[np.float32],
    breadth: int,
) -> Any:
    """Return the rows of a query for what is nearest to $1.

    Args:
        backend: of this process.
        extension: pgvector as it was found; its settings are put back.
        query: takes the vector as text.
        vector: of what is searched for.
        breadth: of the scan of an HNSW index; pgvector takes no more than 1000.
    """
    _set_scan(backend, extension, str(max(40, min(1000, breadth))), "strict_order")
    rows = backend.rows(query, ("text",), direction_text(vector))
    _set_scan(backend, extension, extension.ef_search, extension.iterative_scan)
    return rows


def vector_extension(backend: Backend) -> VectorExtension:
    """Return where pgvector lives and its version."""
    row: Any = backend.row(VECTOR_EXTENSION)
    version = tuple(int(part) for part in row["version"].split(".")[:2])
    return VectorExtension(row["schema"], version, row["ef_search"], row["iterative_scan"])


def _set_scan(
    backend: Backend, extension: VectorExtension, breadth: str | None, iterative: str | None
) -> None:
    if extension.version >= ITERATIVE_SCAN_SINCE:
        backend.rows(SET_SCAN, ("text", "text"), breadth, iterative)
    else:
        backend.rows(SET_BREADTH, ("text",), breadth)


def direction_text(vector: NDArray[np.float32]) -> str:
    """Return a vector's direction as pgvector reads it: whole numbers, which are fast to write.

    A cosine does not depend on the length. Written as the floats they are, 768 numbers take longer
    than the search.

    Args:
        vector: not zero, finite, shape [d].
    """
    scale = MANTISSA / float(np.abs(vector).max())
    return str(np.rint(vector * np.float32(scale)).astype(np.int32).tolist())
