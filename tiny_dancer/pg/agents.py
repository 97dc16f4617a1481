"""Entry points of the registry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tiny_dancer.agents.agent import (
    MAX_AMOUNT,
    MAX_CAPABILITIES,
    MAX_TAGS,
    AgentType,
    check_fraction,
    check_labels,
    check_metadata,
    check_name,
    check_registered_amount,
    parse_metadata,
)
from tiny_dancer.agents.capabilities import capability_text
from tiny_dancer.agents.search import CapableAgent, nearest_agents
from tiny_dancer.errors import InvalidArgumentError, UnknownObjectError, shown
from tiny_dancer.pg import nearest, store
from tiny_dancer.request import check_text, unit_vector

if TYPE_CHECKING:
    from tiny_dancer.pg.backend import Backend, Row
    from tiny_dancer.pg.snapshot import Configuration

MAX_NEIGHBOURS = 1000

# A NULL means "not passed": a new agent gets the default, a living one keeps what it has.
UPSERT = """
INSERT INTO tiny_dancer.agents AS a
    (name, agent_type, capabilities, cost_per_1k_tokens, cost_per_call, avg_latency_ms,
     quality_score, metadata, cost_per_second, cost_per_1k_output_tokens, pool, weight,
     max_concurrent, tags)
VALUES ($1, $2, $3, $4, $5, $6, $7, coalesce($8, '{}'), $9, $10, $11, coalesce($12, 1), $13,
        coalesce($14, '{}'))
ON CONFLICT (name) WHERE removed_at IS NULL DO UPDATE SET
    agent_type = $2,
    capabilities = $3,
    cost_per_1k_tokens = coalesce($4, a.cost_per_1k_tokens),
    cost_per_call = coalesce($5, a.cost_per_call),
    avg_latency_ms = coalesce($6, a.avg_latency_ms),
    quality_score = coalesce($7, a.quality_score),
    metadata = coalesce($8, a.metadata),
    cost_per_second = coalesce($9, a.cost_per_second),
    cost_per_1k_output_tokens = coalesce($10, a.cost_per_1k_output_tokens),
    pool = coalesce($11, a.pool),
    weight = coalesce($12, a.weight),
    max_concurrent = coalesce($13, a.max_concurrent),
    tags = coalesce($14, a.tags),
    updated_at = now()
RETURNING id, metadata::text AS metadata
"""
UPSERT_TYPES = (
    *("text", "text", "text[]"),
    *("float8", "float8", "float8", "float8", "jsonb", "float8", "float8"),
    *("text", "float8", "integer", "text[]"),
)
MEMBER_TYPES = """
SELECT name, agent_type FROM tiny_dancer.agents WHERE removed_at IS NULL AND name = ANY ($1)
"""


def register_agent(
    backend: Backend,
    name: str | None,
    agent_type: str | None,
    capabilities: list[str | None] | None,
    cost_per_1k_tokens: float | None,
    cost_per_call: float | None,
    avg_latency_ms: float | None,
    quality_score: float | None,
    metadata: str | None,
    cost_per_second: float | None,
    cost_per_1k_output_tokens: float | None,
    pool: str | None,
    weight: float | None,
    max_concurrent: int | None,
    tags: list[str | None] | None,
    capability_embedding: list[float] | None,
) -> bool:
    """Register an agent, or change what was passed of the living agent of that name."""
    kind = AgentType.parse(agent_type)
    labels = check_labels(capabilities, what="capabilities", most=MAX_CAPABILITIES)
    if labels is None:
        raise InvalidArgumentError(
            "capabilities must not be NULL", hint="Pass an array, empty if the agent has none."
        )
    row = (
        check_name(name, what="agent name"),
        kind.value,
        list(labels),
        check_registered_amount(cost_per_1k_tokens, what="cost_per_1k_tokens"),
        check_registered_amount(cost_per_call, what="cost_per_call"),
        check_registered_amount(avg_latency_ms, what="avg_latency_ms"),
        check_fraction(quality_score, what="quality_score"),
        _checked_metadata(metadata, is_ensemble=kind is AgentType.ENSEMBLE),
        check_registered_amount(cost_per_second, what="cost_per_second"),
        check_registered_amount(cost_per_1k_output_tokens, what="cost_per_1k_output_tokens"),
        None if pool is None else check_name(pool, what="pool"),
        _check_weight(weight),
        _check_max_concurrent(max_concurrent),
        _list(check_labels(tags, what="tags", most=MAX_TAGS)),
    )
    configuration = backend.snapshots.configuration()
    model = configuration.required_model
    vector = _capability_vector(backend, configuration, labels, capability_embedding)
    written = backend.row(UPSERT, UPSERT_TYPES, *row)
    assert written is not None
    _check_ensemble(backend, kind, row[0], written)
    if vector is None:
        store.forget_agent_vector(backend, written["id"], model)
    else:
        store.put_agent_vector(
            backend, written["id"], model, vector, given=capability_embedding is not None
        )
    return True


def _checked_metadata(metadata: str | None, *, is_ensemble: bool) -> str | None:
    if metadata is not None:
        check_metadata(parse_metadata(metadata), is_ensemble=is_ensemble)
    return metadata


def _check_weight(weight: float | None) -> float | None:
    if weight is not None and not (0.0 < weight <= MAX_AMOUNT):
        raise InvalidArgumentError(
            f"weight is {weight!r}",
            hint=f"Give a number above 0 and at most {MAX_AMOUNT:.0e}; 1 is the default.",
        )
    return weight


def _check_max_concurrent(most: int | None) -> int | None:
    if most is not None and most < 1:
        raise InvalidArgumentError(
            f"max_concurrent is {most}", hint="Give at least 1, or NULL for no limit."
        )
    return most


def _check_ensemble(backend: Backend, kind: AgentType, name: str, written: Row) -> None:
    """Refuse an ensemble without members, with unknown ones, or of ensembles."""
    if kind is not AgentType.ENSEMBLE:
        return
    members = check_metadata(parse_metadata(written["metadata"]), is_ensemble=True)["members"]
    found = {
        row["name"]: row["agent_type"] for row in backend.rows(MEMBER_TYPES, ("text[]",), members)
    }
    for member in members:
        if member not in found:
            raise UnknownObjectError(
                f"ensemble {name!r} names an unknown member {shown(member)}",
                hint="Register the members first.",
            )
        if found[member] == AgentType.ENSEMBLE:
            raise InvalidArgumentError(
                f"ensemble {name!r} names another ensemble, {shown(member)}, as a member",
                hint="List the agents themselves.",
            )


def _list(labels: tuple[str, ...] | None) -> list[str] | None:
    return None if labels is None else list(labels)


def _capability_vector(
    backend: Backend,
    configuration: Configuration,
    labels: tuple[str, ...],
    given: list[float] | None,
) -> NDArray[np.float32] | None:
    """Return the unit vector of what an agent can do, None if there is nothing to embed."""
    model = configuration.required_model
    if given is not None:
        return unit_vector(given, dimension=model.dimension, what="capability_embedding")
    if not labels or model.provider == "external":
        return None
    return backend.provider(configuration).embed(capability_text(labels))


def find_agents_by_capability(backend: Backend, capability: str | None, k: int | None) -> Any:
    """Yield the active agents whose capabilities are nearest in meaning, nearest first."""
    if k is None or not 1 <= k <= MAX_NEIGHBOURS:
        raise InvalidArgumentError(
            f"k is {'NULL' if k is None else k}", hint=f"Give a number from 1 to {MAX_NEIGHBOURS}."
        )
    snapshot = backend.snapshots.current()
    settings = snapshot.configuration.settings
    text = check_text(capability, what="capability", most=settings.max_request_characters)
    vector = backend.provider(snapshot.configuration).embed(text)
    registry = snapshot.registry
    if registry is None or len(registry) > settings.exact_search_limit:
        registry = nearest.registry_near(backend, snapshot.configuration, vector, k)
    router = backend.live.router(snapshot, registry, ())
    return [_columns(agent) for agent in nearest_agents(router, vector, k)]


def _columns(agent: CapableAgent) -> tuple[Any, ...]:
    return (
        agent.name,
        agent.similarity,
        agent.quality_score,
        agent.avg_latency_ms,
        agent.cost,
    )
