"""Routes too many to keep in a backend: pgvector finds those near a request.

The index gives the nearest utterances; the similarity of their routes is then worked out from all
of their utterances, as it is where they are kept.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tiny_dancer.pg import nearest, route_store
from tiny_dancer.pg.model import ActiveModel
from tiny_dancer.pg.route_snapshot import RouteTable
from tiny_dancer.route_similarity import pooled_similarity
from tiny_dancer.semantic_routes import (
    SHORTLIST,
    Gate,
    RouteColumns,
    RouteExtremes,
    RouteMatch,
    SemanticRoutes,
    Shortlist,
)

if TYPE_CHECKING:
    from tiny_dancer.pg.backend import Backend
    from tiny_dancer.pg.snapshot import Configuration

# So many times broader than what is asked for is the scan: the few nearest must be the right ones.
BREADTH = 6


def nearest_query(model: ActiveModel, schema: str, most: int) -> str:
    """Return the query for the routes of the ``most`` utterances nearest to $1.

    There is always a row: how many utterances were found, and how far the farthest is, holds of the
    inactive routes too, which do not come back. The number is part of the text, see
    ``tiny_dancer.pg.nearest.nearest_query``.
    """
    vector = f"{schema}.vector({model.dimension})"
    # Read once, and not for each row that it is compared with.
    asked = "(SELECT a.vector FROM asked a)"
    distance = f"u.embedding::{vector} OPERATOR({schema}.<=>) {asked}"
    return f"""
    WITH asked AS MATERIALIZED (SELECT $1::{schema}.vector::{vector} AS vector),
    near AS MATERIALIZED (
        SELECT u.route_id, {distance} AS distance
        FROM tiny_dancer.route_utterances u
        WHERE u.model_id = {model.id}
        ORDER BY {distance}
        LIMIT {most}
    ),
    matched AS (
        SELECT r.id, r.name, r.target_agent, r.priority, r.threshold,
               r.conditions::text AS conditions, array_agg(1 - ({distance})) AS similarity,
               bool_or(u.utterance IS NOT NULL) AS has_utterances
        FROM tiny_dancer.routes r
        JOIN tiny_dancer.route_utterances u ON u.route_id = r.id AND u.model_id = {model.id}
        WHERE r.active AND r.id IN (SELECT route_id FROM near)
        GROUP BY r.id
    )
    SELECT whole.found, whole.farthest, matched.*
    FROM (SELECT count(*) AS found, max(distance) AS farthest FROM near) AS whole
    LEFT JOIN matched ON true
    """


def index_name(model: ActiveModel) -> str:
    """Return the name of the HNSW index on a model's vectors of routes."""
    return f"route_utterances_hnsw_{model.id}"


def match(
    backend: Backend,
    configuration: Configuration,
    extremes: RouteExtremes,
    vector: NDArray[np.float32],
    k: int,
    gate: Callable[[RouteTable], Gate],
) -> tuple[RouteTable, list[RouteMatch]]:
    """Return up to k routes that a request may take, best first, and the table they are of.

    Args:
        backend: of this process.
        configuration: settings and model.
        extremes: of all routes.
        vector: unit vector of the request.
        k: at least 1.
        gate: gives for a table of routes which of them may be taken.
    """
    most = nearest.power_of_two(2 * k + SHORTLIST)
    while True:
        routes, table, shortlist = _near(backend, configuration, extremes, vector, most)
        matches = routes.rank(shortlist, k, gate(table))
        if routes.is_settled(shortlist, matches, k):
            return table, matches
        most *= 4


def _near(
    backend: Backend,
    configuration: Configuration,
    extremes: RouteExtremes,
    vector: NDArray[np.float32],
    most: int,
) -> tuple[SemanticRoutes, RouteTable, Shortlist]:
    model = configuration.required_model
    extension = nearest.vector_extension(backend)
    query = nearest_query(model, extension.schema, most)
    found = nearest.search(backend, extension, query, vector, BREADTH * most)
    bound = _bound(found[0], most)
    rows = sorted((row for row in found if row["id"] is not None), key=lambda row: row["name"])
    columns = _columns(rows)
    routes = SemanticRoutes(
        columns,
        matching=configuration.settings.route_matching,
        extremes=extremes,
    )
    similarity = np.array([s for row in rows for s in row["similarity"]], np.float64)
    pooled = pooled_similarity(similarity, columns.vector_counts)
    table = RouteTable(routes, [row["id"] for row in rows])
    return routes, table, Shortlist(None, pooled, bound)


def _bound(row: Any, most: int) -> float:
    """Return how similar a route that was not found can be."""
    return -math.inf if row["found"] < most else 1.0 - float(row["farthest"])


def _columns(rows: list[Any]) -> RouteColumns:
    thresholds = [math.nan if row["threshold"] is None else row["threshold"] for row in rows]
    return RouteColumns(
        names=[row["name"] for row in rows],
        target_agents=[row["target_agent"] for row in rows],
        priorities=[row["priority"] for row in rows],
        thresholds=np.array(thresholds, np.float64),
        conditions={
            place: route_store.read_conditions(row["conditions"], row["name"])
            for place, row in enumerate(rows)
            if row["conditions"] is not None
        },
        vector_counts=np.array([len(row["similarity"]) for row in rows], np.int64),
        has_utterances=np.array([row["has_utterances"] for row in rows], bool),
    )
