"""The router models of a database: stored, activated, read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tiny_dancer.errors import NotReadyError, TinyDancerError, UnknownObjectError
from tiny_dancer.learning.router_model import RouterModel
from tiny_dancer.pg.read_only import require_writable
from tiny_dancer.predictors.predictor import QualityPredictor
from tiny_dancer.weights import DamagedWeightsError

if TYPE_CHECKING:
    from tiny_dancer.learning.judged_fit import JudgedFit
    from tiny_dancer.pg.backend import Backend

COLUMNS = """
r.id, r.model_id, r.agent_ids, r.agent_requests, r.agent_outcomes, r.agent_means, r.last_usage_id,
r.weights, r.checksum
"""
ONE = f"""
SELECT {COLUMNS}, m.name AS embedding_model, m.dimension, m.active AS is_current, r.active
FROM tiny_dancer.router_models r JOIN tiny_dancer.models m ON m.id = r.model_id
WHERE r.id = $1
"""
TRAINING_REQUESTS = """
SELECT request_keys, judged_weights FROM tiny_dancer.router_training_requests
WHERE router_model_id = $1
"""
PUT = """
INSERT INTO tiny_dancer.router_models
    (predictor, seed, requests, outcomes, held_back, metrics, prediction_us, model_id, agent_ids,
     agent_requests, agent_outcomes, agent_means, last_usage_id, weights, checksum)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
RETURNING id
"""
PUT_TYPES = (
    *("text", "integer", "integer", "integer", "integer", "jsonb", "float8", "bigint", "bigint[]"),
    *("float8[]", "float8[]", "float8[]", "bigint", "bytea", "text"),
)
PUT_TRAINING_REQUESTS = """
INSERT INTO tiny_dancer.router_training_requests (router_model_id, request_keys, judged_weights)
VALUES ($1, $2, $3)
"""
DEACTIVATE = "UPDATE tiny_dancer.router_models SET active = false WHERE active"
ACTIVATE = """
UPDATE tiny_dancer.router_models
SET active = true, activated_at = pg_catalog.clock_timestamp() WHERE id = $1
"""
ACTIVE = "SELECT id FROM tiny_dancer.router_models WHERE active"
# Two that choose at the same time do so one after the other; whoever reads does not wait.
ONE_AT_A_TIME = "LOCK TABLE tiny_dancer.router_models IN SHARE ROW EXCLUSIVE MODE"


def stored_model(backend: Backend, router_model_id: int) -> RouterModel:
    """Read a router model.

    Raises:
        UnknownObjectError: there is none with that id.
        NotReadyError: it is of another embedding model than the active one.
        DamagedWeightsError: its row is damaged.
    """
    row = backend.row(ONE, ("bigint",), router_model_id)
    if row is None:
        raise UnknownObjectError(
            f"unknown router model {router_model_id}",
            hint="See ruvector_router_models() for those there are.",
        )
    if not row["is_current"]:
        raise NotReadyError(
            f"router model {router_model_id} was trained on vectors of the embedding model "
            f"{row['embedding_model']!r}, which is not the active one",
            hint="Train another one with ruvector_train_router(), or go back to that embedding "
            "model with tiny_dancer.use_model().",
        )
    return RouterModel.from_row(row, dimension=row["dimension"])


def put_model(
    backend: Backend,
    model: RouterModel,
    *,
    predictor: str,
    seed: int,
    prediction_us: float,
    metrics: Mapping[str, Any],
    fit: JudgedFit,
) -> int:
    """Store a trained model, inactive, and return its id."""
    columns = model.columns()
    row: Any = backend.row(
        PUT,
        PUT_TYPES,
        predictor,
        seed,
        len(fit.training_rows),
        int(model.outcomes.sum()),
        len(fit.held_back_rows),
        json.dumps(metrics, sort_keys=True),
        prediction_us,
        *(columns[name] for name in COLUMNS_OF_MODEL),
    )
    identity = int(row["id"])
    keys = fit.table.keys[fit.training_rows].tolist()
    judged = None if fit.judged is fit.serving else fit.judged.to_blob()
    backend.rows(PUT_TRAINING_REQUESTS, ("bigint", "bigint[]", "bytea"), identity, keys, judged)
    return identity


COLUMNS_OF_MODEL = (
    *("model_id", "agent_ids", "agent_requests", "agent_outcomes", "agent_means"),
    *("last_usage_id", "weights", "checksum"),
)


class JudgedModel(NamedTuple):
    """A router model as it was judged, before it learned from the requests held back.

    Attributes:
        model: with the weights of that time.
        training_keys: of the requests that it had learned from.
    """

    model: RouterModel
    training_keys: NDArray[np.int64]


def judged_model(backend: Backend, router_model_id: int) -> JudgedModel:
    """Read a router model as it was judged.

    Raises:
        TinyDancerError: as ``stored_model``.
    """
    model = stored_model(backend, router_model_id)
    row = backend.row(TRAINING_REQUESTS, ("bigint",), router_model_id) or {}
    keys = [key for key in row.get("request_keys", ()) if key is not None]
    if row.get("judged_weights") is not None:
        where = f"router model {router_model_id}, as it was judged,"
        judged = QualityPredictor.from_blob(row["judged_weights"], where=where)
        if _shape(judged) != _shape(model.predictor):
            raise DamagedWeightsError(f"{where} is damaged: its weights are of another shape")
        model = replace(model, predictor=judged)
    return JudgedModel(model, np.array(keys, dtype=np.int64))


def _shape(predictor: QualityPredictor) -> tuple[int, int, int]:
    return predictor.agents_, predictor.embedding_dim_, predictor.lexical_dim_


def active_id(backend: Backend) -> int | None:
    """Return the id of the active model, damaged or not."""
    row = backend.row(ACTIVE)
    return None if row is None else int(row["id"])


def switch_to(backend: Backend, router_model_id: int | None) -> None:
    """Make a model the active one, None none. The caller holds the lock ONE_AT_A_TIME."""
    backend.rows(DEACTIVATE)
    if router_model_id is not None:
        backend.rows(ACTIVATE, ("bigint",), router_model_id)


def activate_router(backend: Backend, router_model_id: int | None) -> bool:
    """Make a router model the active one; return whether that changed anything.

    Raises:
        TinyDancerError: it is unknown, damaged, or of another embedding model.
    """
    require_writable(backend, "activate a router model")
    backend.rows(ONE_AT_A_TIME)
    if router_model_id is not None:
        stored_model(backend, router_model_id)
    if active_id(backend) == router_model_id:
        return False
    switch_to(backend, router_model_id)
    return True


def examine(backend: Backend) -> tuple[bool, str, str | None] | None:
    """Return whether the active router model is in order, what was found, and what to do."""
    identity = active_id(backend)
    if identity is None:
        return None
    try:
        model = stored_model(backend, identity)
    except TinyDancerError as error:
        return False, error.message, error.hint
    outcomes = int(model.outcomes.sum())
    return True, f"{identity}, of {outcomes} outcomes of {len(model.agent_ids)} agents", None
