"""Writing a decision down, so that its outcome can be learned from."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import numpy as np

from tiny_dancer.errors import ReadOnlyError
from tiny_dancer.lexical_features import lexical_features
from tiny_dancer.router import RoutingDecision

if TYPE_CHECKING:
    from tiny_dancer.pg.backend import Backend
    from tiny_dancer.pg.routing import Call

PUT_DECISION = """
INSERT INTO tiny_dancer.decisions
    (id, agent_id, optimize_for, routed_by, route_name, tags, input_tokens, estimated_cost,
     candidates, expected_quality, propensities, propensity, request, router_model_id,
     learned_quality)
VALUES ($1, $2, $3, $4, $5, coalesce($6, '{}'), $7, $8, $9, $10, $11, $12, $13,
        $14, $15)
"""
PUT_DECISION_TYPES = (
    *("uuid", "bigint", "text", "text", "text", "text[]", "integer", "float8"),
    *("bigint[]", "real[]", "real[]", "real", "text", "bigint", "real[]"),
)
PUT_VECTOR = """
INSERT INTO tiny_dancer.request_vectors (decision_id, model_id, embedding, features)
VALUES ($1, $2, tiny_dancer.to_halfvec($3), $4)
"""


def record_decision(backend: Backend, call: Call, decision: RoutingDecision) -> str:
    """Write a decision and what its request meant; return the id of the decision.

    Raises:
        ReadOnlyError: nothing can be written here.
    """
    identity = str(uuid.uuid4())
    try:
        backend.rows(PUT_DECISION, PUT_DECISION_TYPES, identity, *_decision_row(call, decision))
        backend.rows(
            PUT_VECTOR,
            ("uuid", "bigint", "real[]", "real[]"),
            identity,
            call.configuration.required_model.id,
            call.request.embedding.tolist(),
            lexical_features(call.text).tolist(),
        )
    except backend.plpy.spiexceptions.ReadOnlySqlTransaction:
        raise ReadOnlyError(
            "a decision can not be recorded in a read-only transaction",
            hint="Leave out record, or call the primary in a transaction that may write.",
        ) from None
    return identity


def _decision_row(call: Call, decision: RoutingDecision) -> tuple[Any, ...]:
    ids = call.router.registry.ids
    return (
        ids[decision.position],
        call.optimize_for,
        decision.routed_by,
        decision.route_name,
        None if call.tags is None else list(call.tags),
        call.request.input_tokens,
        decision.estimated_cost,
        [ids[position] for position in decision.candidates.tolist()],
        decision.estimate.expected_quality[decision.candidates].tolist(),
        None if decision.propensities is None else _stored(decision.propensities).tolist(),
        float(_stored(np.float64(decision.propensity))),
        call.text if call.configuration.settings.store_request_text else None,
        *_foreseen(call, decision),
    )


def _foreseen(call: Call, decision: RoutingDecision) -> tuple[int | None, list[float] | None]:
    """Return the router model and what it alone expected of the candidates."""
    learned, foreseen = call.router.learned, call.router.foreseen(decision.estimate)
    if learned is None or foreseen is None:
        return None, None
    return learned.model.id, foreseen[decision.candidates].tolist()


def _stored(probabilities: Any) -> Any:
    """Return probabilities as 32-bit floats, none of which is rounded to 0."""
    return np.maximum(np.float32(probabilities), np.finfo(np.float32).tiny)
