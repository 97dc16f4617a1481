"""Entry points of semantic routes."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Container, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tiny_dancer.agents.agent import check_name
from tiny_dancer.errors import InvalidArgumentError, NotReadyError, ReadOnlyError
from tiny_dancer.pg import nearest_routes, route_store, store
from tiny_dancer.pg.rate_limits import ExhaustedRoutes
from tiny_dancer.pg.route_snapshot import RouteSnapshot, RouteTable
from tiny_dancer.pg.stored_array import stored_numbers
from tiny_dancer.request import check_text, unit_vector
from tiny_dancer.route_conditions import RequestContext, RouteConditions
from tiny_dancer.semantic_routes import RouteMatch

if TYPE_CHECKING:
    from tiny_dancer.pg.backend import Backend
    from tiny_dancer.pg.model import ActiveModel
    from tiny_dancer.pg.snapshot import Configuration

Vectors = NDArray[np.float32]

MAX_ROUTES = 1000
MAX_UTTERANCES = 10_000
# How often a long loop tells how far it is and lets a cancel through.
NOTICE_EVERY = 500
CANCEL_EVERY = 32

IS_READ_ONLY = "SELECT current_setting('transaction_read_only') = 'on' AS is_read_only"
IS_KNOWN = """
SELECT EXISTS (SELECT FROM tiny_dancer.agents WHERE removed_at IS NULL AND name = $1) AS is_known
"""


def create_route(
    backend: Backend,
    name: str | None,
    description: str | None,
    target_agent: str | None,
    priority: int | None,
    embedding: list[float] | None,
    conditions: str | None,
    utterances: list[str | None] | None,
    threshold: float | None,
) -> bool:
    """Make a route; one of that name is replaced as a whole."""
    configuration = backend.snapshots.configuration()
    model = configuration.required_model
    most = configuration.settings.max_request_characters
    route = (
        check_name(name, what="route name"),
        check_text(description, what="description", most=most),
        check_name(target_agent, what="target_agent"),
        _check_priority(priority),
        _check_threshold(threshold),
        _checked_conditions(conditions),
    )
    texts = _check_utterances(utterances, most)
    given = (
        None
        if embedding is None
        else unit_vector(embedding, dimension=model.dimension, what="embedding")
    )
    vectors = _embed_utterances(backend, configuration, texts) if texts else []
    if given is not None:
        vectors.append(given)
    elif not texts:
        vectors.append(backend.provider(configuration).embed(route[1]))
    _write_route(backend, model, route, texts, vectors, has_given=given is not None)
    _warn_of_unknown_target(backend, route[0], route[2])
    return True


def _write_route(
    backend: Backend,
    model: ActiveModel,
    route: tuple[Any, ...],
    texts: Sequence[str],
    vectors: Sequence[Vectors],
    *,
    has_given: bool,
) -> None:
    types = ("text", "text", "text", "integer", "float8", "jsonb")
    written: Any = backend.row(route_store.PUT_ROUTE, types, *route)
    # The write waited for whoever changed routes before; that may have been a switch of models.
    if store.active_model(backend) != model:
        raise NotReadyError(
            f"the embedding model changed while route {route[0]!r} was made",
            hint="Create the route again.",
        )
    backend.rows(route_store.FORGET_VECTORS, ("bigint",), written["id"])
    others = [None] * (len(vectors) - len(texts))
    flags = [False] * len(texts) + [has_given] * len(others)
    route_store.put_vectors(backend, written["id"], model, [*texts, *others], flags, vectors)


def _check_priority(priority: int | None) -> int:
    if priority is None:
        raise InvalidArgumentError(
            "priority must not be NULL", hint="Give a whole number; 0 is the default."
        )
    return priority


def _check_threshold(threshold: float | None) -> float | None:
    if threshold is not None and not (-1.0 <= threshold <= 1.0):
        raise InvalidArgumentError(
            f"threshold is {threshold!r}",
            hint="Give a similarity from -1 to 1, or NULL for the default.",
        )
    return threshold


def _checked_conditions(conditions: str | None) -> str | None:
    if conditions is None:
        return None
    decoded = json.loads(conditions)
    if decoded is None:
        return None
    RouteConditions.parse(decoded)
    return conditions


def _check_utterances(utterances: list[str | None] | None, most: int) -> list[str]:
    """Return the utterances without repetitions, in the order given."""
    listed = utterances or []
    if len(listed) > MAX_UTTERANCES:
        raise InvalidArgumentError(
            f"{len(listed)} utterances are too many", hint=f"Give at most {MAX_UTTERANCES}."
        )
    if any(isinstance(text, list) for text in listed):
        raise InvalidArgumentError(
            "utterances must be a flat array", hint="Pass a one-dimensional array of text."
        )
    checked = [check_text(t, what=f"utterance {i}", most=most) for i, t in enumerate(listed, 1)]
    return list(dict.fromkeys(checked))


def _embed_utterances(
    backend: Backend, configuration: Configuration, texts: Sequence[str]
) -> list[Vectors]:
    provider = backend.provider(configuration)
    vectors = []
    for count, text in enumerate(texts, start=1):
        vectors.append(provider.embed(text))
        if count % NOTICE_EVERY == 0:
            backend.report_progress(f"embedded {count} of {len(texts)} utterances")
        elif count % CANCEL_EVERY == 0:
            backend.allow_cancel()
    return vectors


def _warn_of_unknown_target(backend: Backend, name: str, target_agent: str) -> None:
    row: Any = backend.row(IS_KNOWN, ("text",), target_agent)
    if not row["is_known"]:
        backend.plpy.warning(
            f"route {name!r} leads to an unknown agent {target_agent!r}",
            detail="Matches show target_active as false until an agent of that name is registered.",
            hint="Register it with ruvector_register_agent.",
        )


def semantic_route(
    backend: Backend,
    mark: int | None,
    query: str | None,
    top_k: int | None,
    context: str | None,
    embedding: bytes | None,
    consume: bool | None,
) -> list[tuple[str, float, str, float, bool]]:
    """Return the routes that a query means, best first.

    The mark is what routes_mark() says in this call, the embedding what numbers_as_stored() makes
    of it. All else is as ruvector_semantic_route takes it.
    """
    if top_k is None or not 1 <= top_k <= MAX_ROUTES:
        raise InvalidArgumentError(
            f"top_k is {'NULL' if top_k is None else top_k}",
            hint=f"Give a number from 1 to {MAX_ROUTES}.",
        )
    if consume:
        _require_writable(backend)
    asked = None if context is None else RequestContext.parse(json.loads(context))
    snapshot = backend.routes.marked(mark)
    vector = _query_vector(backend, snapshot.configuration, query, embedding)
    if consume:
        matches = _consume(backend, snapshot, vector, query, top_k, asked)
    else:
        _, matches = _match(backend, snapshot, vector, query, top_k, asked)
    active = snapshot.active_targets
    return [
        (m.name, m.similarity, m.target_agent, m.confidence, m.target_agent in active)
        for m in matches
    ]


def _query_vector(
    backend: Backend,
    configuration: Configuration,
    query: str | None,
    embedding: bytes | None,
) -> Vectors:
    most = configuration.settings.max_request_characters
    if embedding is not None:
        if query:
            check_text(query, what="query", most=most)
        dimension = configuration.required_model.dimension
        return unit_vector(stored_numbers(embedding), dimension=dimension, what="embedding")
    text = check_text(query, what="query", most=most)
    return backend.provider(configuration).embed(text)


def _require_writable(backend: Backend) -> None:
    row: Any = backend.row(IS_READ_ONLY)
    if row["is_read_only"]:
        raise ReadOnlyError(
            "a pass can not be counted in a read-only transaction",
            hint="Leave consume out to match without counting, or connect to the primary "
            "and use a transaction that may write.",
        )


def route_finder(
    backend: Backend, vector: Vectors, text: str | None, context: str | None
) -> Callable[[Collection[str]], RouteMatch | None]:
    """Return what finds the route in scope that a request means, to one of some agents.

    Args:
        backend: of this process.
        vector: unit vector of the request by the active model.
        text: of the request.
        context: of the request as JSON, for conditions on it.
    """
    asked = None if context is None else RequestContext.parse(json.loads(context))

    def best_route(target_agents: Collection[str]) -> RouteMatch | None:
        _, matches = _match(
            backend, backend.routes.current(), vector, text, 1, asked, target_agents
        )
        return matches[0] if matches else None

    return best_route


def _match(
    backend: Backend,
    snapshot: RouteSnapshot,
    vector: Vectors,
    text: str | None,
    k: int,
    context: RequestContext | None,
    target_agents: Collection[str] | None = None,
    refused: frozenset[int] = frozenset(),
) -> tuple[RouteTable, list[RouteMatch]]:
    """Match with the kept routes, or through pgvector where they are too many to keep."""

    def closed(table: RouteTable) -> Container[int]:
        return ExhaustedRoutes(backend, table, refused) if table.limited else frozenset()

    table = snapshot.table
    if table is None:
        return nearest_routes.match(
            backend,
            snapshot.configuration,
            snapshot.extremes,
            vector,
            k,
            lambda near: near.routes.gate(None, context, closed(near), target_agents),
        )
    matches = table.routes.match_route(
        vector, k, context=context, closed=closed(table), target_agents=target_agents, text=text
    )
    return table, matches


def _consume(
    backend: Backend,
    snapshot: RouteSnapshot,
    vector: Vectors,
    text: str | None,
    k: int,
    context: RequestContext | None,
) -> list[RouteMatch]:
    """Match and count a pass of the first route; one that is refused gives way to the next."""
    refused: frozenset[int] = frozenset()
    while True:
        table, matches = _match(backend, snapshot, vector, text, k, context, refused=refused)
        if not matches or matches[0].position not in table.limited:
            return matches
        route_id = table.ids[matches[0].position]
        if route_store.take_pass(backend, route_id):
            return matches
        refused |= {route_id}
