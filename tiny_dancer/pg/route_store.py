"""Queries over the tables of semantic routes: rows to arrays and back.

Thousands of routes are read in one row of arrays, which is several times faster than row by row.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tiny_dancer.errors import InvalidArgumentError, NotReadyError
from tiny_dancer.pg.model import ActiveModel
from tiny_dancer.pg.store import VECTOR_HEADER_BYTES
from tiny_dancer.route_conditions import RouteConditions
from tiny_dancer.route_matching import RouteMatching
from tiny_dancer.semantic_routes import RouteColumns, RouteExtremes

if TYPE_CHECKING:
    from tiny_dancer.pg.backend import Backend, Row

Vectors = NDArray[np.float32]

COUNT = """
SELECT count(DISTINCT u.route_id) AS routes, count(*) AS vectors
FROM tiny_dancer.route_utterances u JOIN tiny_dancer.routes r ON r.id = u.route_id
WHERE u.model_id = $1 AND r.active
"""
# Without joining the tables, which takes several times longer where there are many routes.
BOUNDS = """
SELECT r.routes, v.vectors, r.greatest_priority, r.least_threshold,
       r.has_defaults AND v.has_others AS has_descriptions,
       r.has_defaults AND v.has_utterances AS has_utterances
FROM (
    SELECT count(*) AS routes, coalesce(max(priority), 0) AS greatest_priority,
           min(threshold) AS least_threshold,
           coalesce(bool_or(threshold IS NULL), false) AS has_defaults
    FROM tiny_dancer.routes WHERE active
) AS r, (
    SELECT count(*) AS vectors, coalesce(bool_or(utterance IS NULL), false) AS has_others,
           coalesce(bool_or(utterance IS NOT NULL), false) AS has_utterances
    FROM tiny_dancer.route_utterances WHERE model_id = $1
) AS v
"""
# One statement, so that routes and vectors are of one moment.
ROUTES = """
SELECT * FROM (
    SELECT array_agg(r.id) AS ids, array_agg(r.name) AS names, array_agg(r.target_agent) AS targets,
           array_agg(r.priority) AS priorities, array_agg(r.threshold) AS thresholds,
           array_agg(r.conditions::text) AS conditions
    FROM tiny_dancer.routes r
    WHERE r.active AND EXISTS (
        SELECT FROM tiny_dancer.route_utterances u WHERE u.route_id = r.id AND u.model_id = $1)
) AS listed, (
    SELECT string_agg(int8send(u.id) || int8send(u.route_id), ''::bytea) AS keys,
           string_agg(tiny_dancer.vector_bytes(u.embedding), ''::bytea) AS vectors,
           string_agg(boolsend(u.utterance IS NOT NULL), ''::bytea) AS are_utterances
    FROM tiny_dancer.route_utterances u JOIN tiny_dancer.routes r ON r.id = u.route_id
    WHERE u.model_id = $1 AND r.active
) AS vectors
"""
ACTIVE_TARGETS = """
SELECT array_agg(DISTINCT a.name) AS names FROM tiny_dancer.agents a
WHERE a.removed_at IS NULL AND a.active AND a.name IN (
    SELECT r.target_agent FROM tiny_dancer.routes r)
"""
PUT_ROUTE = """
INSERT INTO tiny_dancer.routes
    (name, description, target_agent, priority, threshold, conditions)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (name) DO UPDATE SET
    description = excluded.description, target_agent = excluded.target_agent,
    priority = excluded.priority, threshold = excluded.threshold,
    conditions = excluded.conditions, active = true, updated_at = now()
RETURNING id
"""
FORGET_VECTORS = "DELETE FROM tiny_dancer.route_utterances WHERE route_id = $1"
# The vectors come as one flat array, and each row takes its slice.
PUT_VECTORS = """
INSERT INTO tiny_dancer.route_utterances (route_id, model_id, utterance, given, embedding)
SELECT $1, $2, v.utterance, v.given,
       tiny_dancer.to_vector($5[(v.ordinal - 1) * $6 + 1 : v.ordinal * $6])
FROM unnest($3::text[], $4::boolean[]) WITH ORDINALITY AS v (utterance, given, ordinal)
ORDER BY v.ordinal
"""
EXHAUSTED = "SELECT id FROM tiny_dancer.exhausted_routes() AS id"
TAKE_PASS = "SELECT tiny_dancer.take_route_pass($1) AS taken"
GRAPH = "SELECT checksum, graph FROM tiny_dancer.route_indexes WHERE model_id = $1"
HAS_GRAPH = "SELECT EXISTS (SELECT FROM tiny_dancer.route_indexes WHERE model_id = $1) AS exists"
FORGET_GRAPHS = "DELETE FROM tiny_dancer.route_indexes"
PUT_GRAPH = """
INSERT INTO tiny_dancer.route_indexes (model_id, vectors, checksum, graph) VALUES ($1, $2, $3, $4)
"""


class RouteCount(NamedTuple):
    """How many routes there are, and how many vectors they have."""

    routes: int
    vectors: int


@dataclass(frozen=True, slots=True)
class RouteBounds:
    """What is known of the active routes before they are read.

    Attributes:
        count: there are no more.
        greatest_priority: none has a greater one.
        least_threshold: none states a lower one; None where none states any.
        has_descriptions: whether one that states none may have a vector of something else than
            an utterance.
        has_utterances: whether one that states none may have a vector of an utterance.
    """

    count: RouteCount
    greatest_priority: int
    least_threshold: float | None
    has_descriptions: bool
    has_utterances: bool

    def extremes(self, matching: RouteMatching) -> RouteExtremes:
        """Return what no route goes beyond, under some defaults."""
        least = math.inf if self.least_threshold is None else self.least_threshold
        if self.has_descriptions:
            least = min(least, matching.description_threshold)
        if self.has_utterances:
            # That of a route with one utterance: more of them raise it.
            least = min(least, matching.threshold)
        return RouteExtremes(self.greatest_priority, least)


@dataclass(frozen=True, slots=True)
class StoredRoutes:
    """Routes with their vectors, as the tables have them.

    Attributes:
        ids: of the routes, in the order of the columns.
        vector_ids: of the vectors, in the order of their rows.
        vectors: float32 [vectors, dimension], grouped by route.
    """

    ids: list[int]
    columns: RouteColumns
    vector_ids: NDArray[np.int64]
    vectors: Vectors


def count_routes(backend: Backend, model: ActiveModel) -> RouteCount:
    """Count the active routes that can be matched, and their vectors."""
    row: Any = backend.row(COUNT, ("bigint",), model.id)
    return RouteCount(row["routes"], row["vectors"])


def route_bounds(backend: Backend, model: ActiveModel) -> RouteBounds:
    """Return what is known of the active routes before they are read."""
    row: Any = backend.row(BOUNDS, ("bigint",), model.id)
    count = RouteCount(row.pop("routes"), row.pop("vectors"))
    return RouteBounds(count, **row)


def stored_routes(backend: Backend, model: ActiveModel) -> StoredRoutes:
    """Read all active routes that have vectors of the model."""
    row: Any = backend.row(ROUTES, ("bigint",), model.id)
    ids, names = row["ids"] or [], row["names"] or []
    order = sorted(range(len(ids)), key=names.__getitem__)
    position = {ids[i]: place for place, i in enumerate(order)}
    keys = np.frombuffer(row["keys"] or b"", ">i8").reshape(-1, 2)
    owner = np.array([position[route] for route in keys[:, 1].tolist()], np.int64)
    rows = np.lexsort((keys[:, 0], owner))
    counts = np.bincount(owner, minlength=len(ids))
    flags = np.frombuffer(row["are_utterances"] or b"", np.bool_)[rows]
    return StoredRoutes(
        ids=[ids[i] for i in order],
        columns=_columns(row, order, counts, _any_by_group(flags, counts)),
        vector_ids=keys[rows, 0].astype(np.int64),
        vectors=_elements(row["vectors"] or b"", len(keys), model)[rows],
    )


def _elements(sent: bytes, count: int, model: ActiveModel) -> Vectors:
    size = VECTOR_HEADER_BYTES + 4 * model.dimension
    if len(sent) != count * size:
        raise NotReadyError(
            f"some vectors of routes do not have the {model.dimension} dimensions of the model",
            hint="Delete them from tiny_dancer.route_utterances, or create their routes again.",
        )
    layout = np.dtype([("header", "V4"), ("elements", ">f4", model.dimension)])
    vectors: Vectors = np.frombuffer(sent, layout)["elements"].astype(np.float32)
    return vectors


def _any_by_group(flags: NDArray[np.bool_], counts: NDArray[np.int64]) -> NDArray[np.bool_]:
    if not len(counts):
        return np.zeros(0, bool)
    grouped: NDArray[np.bool_] = np.logical_or.reduceat(flags, np.cumsum(counts) - counts)
    return grouped


def _columns(
    listed: Row,
    order: Sequence[int],
    counts: NDArray[np.int64],
    has_utterances: NDArray[np.bool_],
) -> RouteColumns:
    def sorted_column(name: str) -> list[Any]:
        column = listed[name]
        return [column[i] for i in order]

    names = sorted_column("names")
    thresholds = [math.nan if t is None else t for t in sorted_column("thresholds")]
    return RouteColumns(
        names=names,
        target_agents=sorted_column("targets"),
        priorities=sorted_column("priorities"),
        thresholds=np.array(thresholds, np.float64),
        conditions={
            place: read_conditions(text, names[place])
            for place, text in enumerate(sorted_column("conditions"))
            if text is not None
        },
        vector_counts=counts,
        has_utterances=has_utterances,
    )


def read_conditions(text: str, route: str) -> RouteConditions:
    """Return the conditions of a route from their JSON.

    Raises:
        InvalidArgumentError: they can not be read; the message names the route.
    """
    try:
        return RouteConditions.parse(json.loads(text))
    except InvalidArgumentError as error:
        raise InvalidArgumentError(
            f"route {route!r}: {error.message}", detail=error.detail, hint=error.hint
        ) from None


def active_targets(backend: Backend) -> frozenset[str]:
    """Return the names of the registered and active agents that some route leads to."""
    row: Any = backend.row(ACTIVE_TARGETS)
    return frozenset(row["names"] or ())


def put_vectors(
    backend: Backend,
    route_id: int,
    model: ActiveModel,
    texts: Sequence[str | None],
    given: Sequence[bool],
    vectors: Sequence[Vectors],
) -> None:
    """Store vectors of a route.

    Args:
        backend: of this process.
        route_id: whose they are.
        model: which model made them, or whose vectors they can be compared with.
        texts: the utterance of each, None where it has none.
        given: whether the caller gave it.
        vectors: float32 unit vectors of the model's dimension.
    """
    flat = [element for vector in vectors for element in vector.tolist()]
    types = ("bigint", "bigint", "text[]", "boolean[]", "real[]", "integer")
    arguments = (route_id, model.id, list(texts), list(given), flat, model.dimension)
    backend.rows(PUT_VECTORS, types, *arguments)


def exhausted_routes(backend: Backend) -> frozenset[int]:
    """Return the ids of the routes whose rate limit is reached at this moment."""
    return frozenset(row["id"] for row in backend.rows(EXHAUSTED))


def take_pass(backend: Backend, route_id: int) -> bool:
    """Count a pass of a route; return whether its rate limit allowed it."""
    row: Any = backend.row(TAKE_PASS, ("bigint",), route_id)
    return bool(row["taken"])


def has_graph(backend: Backend, model: ActiveModel) -> bool:
    """Return whether an hnswlib index was built for the model."""
    row: Any = backend.row(HAS_GRAPH, ("bigint",), model.id)
    return bool(row["exists"])


def stored_graph(backend: Backend, model: ActiveModel) -> bytes | None:
    """Return the bytes of the model's hnswlib index, None if there is none.

    Raises:
        NotReadyError: they are not those that were stored.
    """
    row = backend.row(GRAPH, ("bigint",), model.id)
    if row is None:
        return None
    graph: bytes = row["graph"]
    if hashlib.sha256(graph).hexdigest() != row["checksum"]:
        raise NotReadyError(
            "the hnswlib index of the routes is damaged",
            detail="Its checksum is not the stored one.",
            hint="Run SELECT tiny_dancer.rebuild_indexes(); as the owner of the extension.",
        )
    return graph


def put_graph(backend: Backend, model: ActiveModel, vectors: int, graph: bytes) -> None:
    """Store the model's hnswlib index in place of any other."""
    backend.rows(FORGET_GRAPHS)
    checksum = hashlib.sha256(graph).hexdigest()
    types = ("bigint", "bigint", "text", "bytea")
    backend.rows(PUT_GRAPH, types, model.id, vectors, checksum, graph)
