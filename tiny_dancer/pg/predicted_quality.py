"""Asking what is expected of every agent, and noting it for outcomes without a decision."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tiny_dancer.lexical_features import lexical_features
from tiny_dancer.pg import store
from tiny_dancer.predictors.prior_blend import PriorBlend
from tiny_dancer.request import Request, check_text, estimate_tokens, unit_vector

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tiny_dancer.pg.backend import Backend
    from tiny_dancer.router import Router

AGENT_OF_USAGE = "SELECT agent_id FROM tiny_dancer.usage WHERE id = $1"
PUT_FORESEEN = """
INSERT INTO tiny_dancer.foreseen_outcomes (usage_id, router_model_id, quality) VALUES ($1, $2, $3)
"""


def predict_quality(
    backend: Backend,
    request: str | None,
    embedding: list[float] | None,
    router_model_id: int | None,
) -> list[tuple[Any, ...]]:
    """Return the rows of ruvector_predict_quality, the best agent first."""
    snapshot = backend.snapshots.current()
    configuration = snapshot.configuration
    model = configuration.required_model
    if router_model_id is not None:
        from tiny_dancer.pg.router_models import stored_model

        snapshot = snapshot._replace(router_model=stored_model(backend, router_model_id))
    text = check_text(request, what="request", most=configuration.settings.max_request_characters)
    if embedding is None:
        vector = backend.provider(configuration).embed(text)
    else:
        vector = unit_vector(embedding, dimension=model.dimension, what="embedding")
    registry = snapshot.registry or store.registry(backend, model)
    if not len(registry):
        return []
    router = backend.live.router(snapshot, registry, ())
    return _rows(router, Request(estimate_tokens(text), vector, snapshot.wording(text)))


def _rows(router: Router, request: Request) -> list[tuple[Any, ...]]:
    expected = router.estimate(request).expected_quality
    observations = router.performance.requests
    if router.learned is not None:
        observations = router.learned.observations
    settings = router.settings
    blending = PriorBlend(settings.robust_prior, settings.learning_strength)
    rows = zip(
        router.registry.names,
        expected.tolist(),
        blending.uncertainty(expected, observations).tolist(),
        observations.astype(int).tolist(),
        strict=True,
    )
    # Names are in order, and sorting keeps that order among equals.
    return sorted(rows, key=lambda row: -row[1])


def note_foreseen_outcome(
    backend: Backend, usage_id: int, vector: NDArray[np.float32], text: str | None
) -> None:
    """Write down what the active router model alone expects of an outcome's agent, if anything.

    Args:
        backend: of this process.
        usage_id: of the outcome.
        vector: of its request.
        text: of its request, None where it is not known.
    """
    snapshot = backend.snapshots.current()
    model, registry = snapshot.router_model, snapshot.registry
    if model is None or registry is None or (snapshot.goes_by_wording and text is None):
        return
    row: Any = backend.row(AGENT_OF_USAGE, ("bigint",), usage_id)
    if row is None or row["agent_id"] not in registry.ids:
        return
    router = backend.live.router(snapshot, registry, ())
    words = None if text is None else lexical_features(text)
    foreseen = router.foreseen(router.estimate(Request(1, vector, words)))
    if foreseen is None:
        return
    quality = float(foreseen[registry.ids.index(row["agent_id"])])
    if quality == quality:
        types = ("bigint", "bigint", "real")
        backend.rows(PUT_FORESEEN, types, usage_id, model.id, quality)
