"""Rows of fitted route heads: stored, read back, and laid over the present routes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tiny_dancer.errors import NotReadyError
from tiny_dancer.pg import store
from tiny_dancer.pg.model import ActiveModel
from tiny_dancer.route_head import RouteHead
from tiny_dancer.weights import DamagedWeightsError

if TYPE_CHECKING:
    from tiny_dancer.pg.backend import Backend, Row
    from tiny_dancer.pg.route_store import StoredRoutes
    from tiny_dancer.semantic_routes import Positions

ACTIVE = """
SELECT h.id, h.weights, h.route_ids, h.fingerprints
FROM tiny_dancer.route_heads h WHERE h.active AND h.model_id = $1
"""
# Changes nothing, but waits for whoever changes routes; what follows sees what they did.
WAIT = "UPDATE tiny_dancer.route_heads SET active = active WHERE false"
DEACTIVATE = "UPDATE tiny_dancer.route_heads SET active = false WHERE active AND model_id = $1"
PUT = """
INSERT INTO tiny_dancer.route_heads
    (model_id, route_ids, fingerprints, weights, metrics, acceptance, seed, active)
VALUES ($1, $2, $3, $4, $5, $6, $7, true)
"""
PUT_TYPES = ("bigint", "bigint[]", "text[]", "bytea", "jsonb", "float8", "bigint")

REMEDY = "Fit again with ruvector_fit_routes(), or ruvector_activate_route_fit() another."


@dataclass(frozen=True, slots=True)
class LaidHead:
    """A head and the place of each of its rows among the present routes, -1 for none."""

    head: RouteHead
    places: Positions


def fingerprints(stored: StoredRoutes, positions: Sequence[int]) -> list[str]:
    """Return what tells whether the vectors of routes are still the same, in order."""
    counts = stored.columns.vector_counts
    ends = np.cumsum(counts)
    return [
        hashlib.sha256(stored.vectors[ends[p] - counts[p] : ends[p]].tobytes()).hexdigest()
        for p in positions
    ]


def laid_over(backend: Backend, model: ActiveModel, stored: StoredRoutes) -> LaidHead | None:
    """Return the active head, None if there is none or it knows none of the routes.

    Raises:
        DamagedWeightsError: its row is damaged; the message names it.
    """
    found = active_head(backend, model)
    if found is None:
        return None
    head, row = found
    position = {route: place for place, route in enumerate(stored.ids)}
    present = fingerprints(stored, range(len(stored.ids)))
    places = [position.get(route, -1) for route in row["route_ids"]]
    unchanged = [
        place if place >= 0 and present[place] == mark else -1
        for place, mark in zip(places, row["fingerprints"], strict=True)
    ]
    if max(unchanged, default=-1) < 0:
        return None
    return LaidHead(head, np.array(unchanged, np.intp))


def active_head(backend: Backend, model: ActiveModel) -> tuple[RouteHead, Row] | None:
    """Return the active head of a model and its row, None where there is none.

    Raises:
        DamagedWeightsError: its row is damaged; the message names it.
    """
    row = backend.row(ACTIVE, ("bigint",), model.id)
    if row is None:
        return None
    where = f"route fit {row['id']}"
    head = RouteHead.from_bytes(row["weights"], where=where)
    lengths = {len(row["route_ids"]), len(row["fingerprints"]), len(head.heads)}
    if len(lengths) > 1 or head.dimension != model.dimension:
        raise DamagedWeightsError(
            f"{where} is damaged: its weights are not of its routes and model", hint=REMEDY
        )
    return head, row


def put(
    backend: Backend,
    model: ActiveModel,
    route_ids: Sequence[int],
    marks: Sequence[str],
    head: RouteHead,
    metrics: Mapping[str, float],
    *,
    acceptance: float,
    seed: int,
) -> None:
    """Store a head as the active one of its model.

    Raises:
        NotReadyError: the model was switched meanwhile.
    """
    backend.rows(WAIT)
    if store.active_model(backend) != model:
        raise NotReadyError(
            "the embedding model changed while the routes were fitted", hint="Fit them again."
        )
    backend.rows(DEACTIVATE, ("bigint",), model.id)
    backend.rows(
        PUT,
        PUT_TYPES,
        model.id,
        list(route_ids),
        list(marks),
        head.to_bytes(),
        json.dumps(metrics),
        acceptance,
        seed,
    )
