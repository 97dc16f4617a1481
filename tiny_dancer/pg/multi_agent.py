"""Entry point of multi-agent routing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tiny_dancer.agents.capabilities import capability_key
from tiny_dancer.errors import InvalidArgumentError
from tiny_dancer.lexical_features import lexical_features
from tiny_dancer.multi_agent import (
    MAX_AGENTS,
    Part,
    Plan,
    Team,
    check_strategy,
    ensemble,
    gather,
    parallel,
    pipeline,
)
from tiny_dancer.pg.routing import Call, prepare_call
from tiny_dancer.request_parts import split_request

if TYPE_CHECKING:
    from tiny_dancer.pg.backend import Backend


def route_multi(
    backend: Backend,
    request: str | None,
    num_agents: int | None,
    strategy: str | None,
    *demands: Any,
) -> list[tuple[Any, ...]]:
    """Return the rows of ruvector_route_multi."""
    chosen = check_strategy(strategy)
    if num_agents is None or not 1 <= num_agents <= MAX_AGENTS:
        raise InvalidArgumentError(
            f"num_agents is {'NULL' if num_agents is None else num_agents}",
            hint=f"Give a number from 1 to {MAX_AGENTS}.",
        )
    call = prepare_call(backend, backend.snapshots.current(), request, *demands)
    team = gather(call.router, call.request, call.constraints, call.optimize_for, call.weights)
    if chosen == "pipeline":
        plan = _pipeline(backend, call, team, num_agents)
    else:
        plan = (parallel if chosen == "parallel" else ensemble)(team, num_agents)
    return _rows(plan)


def _pipeline(backend: Backend, call: Call, team: Team, num_agents: int) -> Plan:
    stages = min(num_agents, len(team.positions))
    texts = split_request(call.text, stages)
    # More agents than parts: the others take the request as a whole, after its parts.
    texts += [call.text] * (stages - len(texts))
    if call.configuration.required_model.provider == "external":
        parts = [_part(call, text, call.request.embedding) for text in texts]
        return pipeline(team, parts, {})
    provider = backend.provider(call.configuration)
    parts = [_part(call, text, provider.embed(text)) for text in texts]
    return pipeline(team, parts, _capability_vectors(backend, call, team))


def _part(call: Call, text: str, embedding: NDArray[np.float32]) -> Part:
    # The wording matters of the parts where it matters of the whole.
    return Part(text, embedding, None if call.request.lexical is None else lexical_features(text))


def _capability_vectors(backend: Backend, call: Call, team: Team) -> dict[str, NDArray[np.float32]]:
    """Return the vectors of what the candidates can do; each is embedded once in a backend."""
    aliases = call.router.registry.aliases
    agents = (call.router.registry.agents[position] for position in team.positions.tolist())
    wanted = {capability_key(c, aliases) for agent in agents for c in agent.capabilities}
    known = backend.text_vectors(call.configuration)
    provider = backend.provider(call.configuration)
    for count, key in enumerate(sorted(wanted - known.keys()), start=1):
        known[key] = provider.embed(key)
        if count % 32 == 0:
            backend.allow_cancel()
    return known


def _rows(plan: Plan) -> list[tuple[Any, ...]]:
    return [
        (*assignment, plan.total_cost, plan.total_latency_ms) for assignment in plan.assignments
    ]
