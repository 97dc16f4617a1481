"""Entry points of the routing decision."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from tiny_dancer.agents.agent import MAX_TAGS, check_fraction, check_labels
from tiny_dancer.constraints import NO_DEMANDS, RoutingConstraints
from tiny_dancer.errors import InvalidArgumentError
from tiny_dancer.pg.stored_array import stored_numbers
from tiny_dancer.policies import Weights, check_target
from tiny_dancer.reasoning import standings_json, stated
from tiny_dancer.request import Request, check_text, estimate_tokens, unit_vector
from tiny_dancer.router import Router, RoutingDecision, SemanticMatch

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tiny_dancer.agents.registry import AgentRegistry
    from tiny_dancer.exploration import Exploration
    from tiny_dancer.pg.backend import Backend
    from tiny_dancer.pg.snapshot import Configuration, Snapshot
    from tiny_dancer.settings import Settings


# What a plain decision does without (semantic routes, recording, exploration, pgvector) is imported
# where it is used: a new connection waits for every import.


class Call(NamedTuple):
    """The checked arguments of a routing call, and the router that answers it."""

    router: Router
    configuration: Configuration
    text: str
    request: Request
    constraints: RoutingConstraints
    optimize_for: str
    weights: Weights | None
    tags: tuple[str, ...] | None


def route(backend: Backend, mark: int | None, *arguments: Any) -> tuple[Any, ...]:
    """Return the columns of ruvector_route.

    Args:
        backend: of this process.
        mark: what registry_mark() says in this call.
        arguments: those of ruvector_route, the embedding as numbers_as_stored() makes it.
    """
    *demands, context, semantic, record = arguments
    call = prepare_call(backend, backend.snapshots.marked(mark), *demands)
    decision = call.router.route(
        call.request,
        call.constraints,
        call.optimize_for,
        call.weights,
        _semantic_match(backend, call, context) if semantic else None,
        _exploration(backend, call.configuration.settings) if record else None,
    )
    decision_id = _record(backend, call, decision) if record else None
    # Texts of numbers are what PL/Python makes of them anyway, and these are at hand.
    known = stated(decision.estimated_cost, decision.estimated_latency_ms)
    return (
        decision.agent_name,
        decision.confidence,
        known.cost,
        known.latency_ms,
        decision.expected_quality,
        decision.similarity,
        decision.reasoning,
        standings_json(decision.alternatives),
        decision.routed_by,
        decision.confidence_basis,
        decision_id,
    )


def _semantic_match(backend: Backend, call: Call, context: str | None) -> SemanticMatch:
    """Return the function that finds the semantic route of a call."""
    from tiny_dancer.pg.routes import route_finder

    return route_finder(backend, call.request.embedding, call.text, context)


def _exploration(backend: Backend, settings: Settings) -> Exploration | None:
    """Return how a decision that is recorded explores; what is not recorded teaches nothing."""
    if settings.exploration_share <= 0.0:
        return None
    from tiny_dancer.exploration import Exploration

    def random() -> float:
        # PostgreSQL's own, so that setseed() makes a session repeatable.
        row: Any = backend.row("SELECT pg_catalog.random() AS drawn")
        return float(row["drawn"])

    return Exploration(settings.exploration_share, settings.exploration_temperature, random)


def _record(backend: Backend, call: Call, decision: RoutingDecision) -> str:
    """Write a decision down and return its id."""
    from tiny_dancer.pg.recording import record_decision

    return record_decision(backend, call, decision)


def _registry_near(
    backend: Backend, configuration: Configuration, vector: NDArray[np.float32]
) -> AgentRegistry:
    """Return the part of a registry too large to keep that is nearest to a request."""
    from tiny_dancer.pg.nearest import registry_near

    return registry_near(backend, configuration, vector)


def prepare_call(
    backend: Backend,
    snapshot: Snapshot,
    request: str | None,
    optimize_for: str | None,
    required_capabilities: list[str] | None,
    max_cost: float | None,
    max_latency_ms: float | None,
    min_quality: float | None,
    excluded_agents: list[str] | None,
    budget_remaining: float | None,
    embedding: list[float] | bytes | None,
    quality_floor: float | None,
    cost_weight: float | None,
    tags: list[str | None] | None,
) -> Call:
    """Check the arguments and embed the request, whose embedding may be given as it is stored."""
    target = check_target(optimize_for)
    weights = dial(cost_weight, target)
    constraints = _demands(
        required_capabilities,
        max_cost,
        max_latency_ms,
        min_quality,
        excluded_agents,
        budget_remaining,
        quality_floor,
    )
    labels = check_labels(tags, what="tags", most=MAX_TAGS)
    configuration = snapshot.configuration
    model = configuration.required_model
    text = check_text(request, what="request", most=configuration.settings.max_request_characters)
    if embedding is None:
        vector = backend.provider(configuration).embed(text)
    else:
        given = stored_numbers(embedding) if isinstance(embedding, bytes) else embedding
        vector = unit_vector(given, dimension=model.dimension, what="embedding")
    registry = snapshot.registry
    if registry is None:
        registry = _registry_near(backend, configuration, vector)
    router = backend.live.router(snapshot, registry, labels or ())
    return Call(
        router,
        configuration,
        text,
        Request(estimate_tokens(text), vector, snapshot.wording(text)),
        constraints,
        target,
        weights,
        labels,
    )


def _demands(*demands: Any) -> RoutingConstraints:
    """Return the checked demands of a caller; most callers have none."""
    if demands.count(None) == len(demands):
        return NO_DEMANDS
    return RoutingConstraints(*demands).checked()


def dial(cost_weight: float | None, target: str) -> Weights | None:
    """Return the weights of the dial between quality and cost, None if it was not turned.

    Raises:
        InvalidArgumentError: it is outside [0, 1], or the target has no use for it.
    """
    if check_fraction(cost_weight, what="cost_weight") is None:
        return None
    if target != "balanced":
        raise InvalidArgumentError(
            f"cost_weight has no meaning when optimizing for {target!r}",
            hint="Use it with optimize_for := 'balanced', which is the default.",
        )
    return Weights.dial(cost_weight or 0.0)
