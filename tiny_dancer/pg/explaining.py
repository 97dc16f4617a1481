"""Entry point of the explanation: the whole decision laid open."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tiny_dancer.explanation import explain
from tiny_dancer.pg.routing import prepare_call

if TYPE_CHECKING:
    from tiny_dancer.pg.backend import Backend


def explain_route(backend: Backend, *arguments: Any) -> list[tuple[Any, ...]]:
    """Return the rows of ruvector_explain_route."""
    call = prepare_call(backend, backend.snapshots.current(), *arguments)
    agents = explain(call.router, call.request, call.constraints, call.optimize_for, call.weights)
    return [
        (
            agent.rank,
            agent.agent_name,
            agent.rank is not None,
            agent.removed_by,
            agent.score,
            agent.similarity,
            agent.capability_match,
            agent.expected_quality,
            agent.quality_score,
            agent.estimated_cost,
            agent.cost_score,
            agent.estimated_latency_ms,
            agent.latency_score,
        )
        for agent in agents
    ]
