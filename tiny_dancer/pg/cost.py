"""Entry points of cost: vectors of recorded requests, and sharing a budget out."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tiny_dancer.cost_optimizer import (
    PERIOD_DAYS,
    AgentHistory,
    BudgetAllocation,
    CostOptimizer,
    following_members,
)
from tiny_dancer.errors import InvalidArgumentError
from tiny_dancer.lexical_features import lexical_features
from tiny_dancer.pg.predicted_quality import note_foreseen_outcome
from tiny_dancer.pg.read_only import require_writable
from tiny_dancer.request import check_text, unit_vector
from tiny_dancer.settings import Settings

if TYPE_CHECKING:
    from tiny_dancer.pg.backend import Backend, Row

PUT_REQUEST_VECTOR = """
INSERT INTO tiny_dancer.request_vectors
    (usage_id, model_id, embedding, features)
VALUES ($1, $2, tiny_dancer.to_halfvec($3), $4)
"""
# What an active agent cost, and how it did, over the past period; its registered figures beside.
HISTORY = """
SELECT a.name, a.quality_score, a.avg_latency_ms, a.cost_per_1k_tokens,
       a.cost_per_1k_output_tokens, a.cost_per_call, a.cost_per_second,
       CASE a.agent_type WHEN 'ensemble'
           THEN ARRAY(SELECT jsonb_array_elements_text(a.metadata -> 'members')) END AS members,
       coalesce(u.requests, 0) AS requests, u.mean_cost, u.mean_latency_ms,
       o.mean_quality, coalesce(o.observations, 0) AS observations
FROM tiny_dancer.agents a
LEFT JOIN (
    SELECT s.agent_id, count(*) AS requests, avg(s.cost) AS mean_cost,
           avg(s.latency_ms) AS mean_latency_ms
    FROM tiny_dancer.usage s
    WHERE s.recorded_at > now() - make_interval(days => $1)
    GROUP BY s.agent_id
) u ON u.agent_id = a.id
LEFT JOIN tiny_dancer.agent_outcomes() o ON o.agent_id = a.id
WHERE a.removed_at IS NULL AND a.active
ORDER BY a.name COLLATE "C"
"""
PUT_BUDGET = """
INSERT INTO tiny_dancer.budgets AS b (agent_name, period, limit_amount)
SELECT name, 'month', amount FROM unnest($1, $2) AS given (name, amount)
ON CONFLICT ON CONSTRAINT budgets_scope_period DO UPDATE
SET limit_amount = excluded.limit_amount, updated_at = now()
"""
# Tokens that a request is taken to have where nothing was recorded.
TYPICAL_INPUT_TOKENS = 256


def record_request_vector(
    backend: Backend, usage_id: int, request: str | None, embedding: list[float] | None
) -> bool:
    """Store the vector of a recorded request; return whether there is one to store."""
    configuration = backend.snapshots.configuration()
    model = configuration.required_model
    if embedding is not None:
        vector = unit_vector(embedding, dimension=model.dimension, what="embedding")
    elif model.provider == "external":
        # Callers embed for themselves here, and this one had text only.
        return False
    else:
        most = configuration.settings.max_request_characters
        vector = backend.provider(configuration).embed(
            check_text(request, what="request", most=most)
        )
    text = request if request and not request.isspace() else None
    backend.rows(
        PUT_REQUEST_VECTOR,
        ("bigint", "bigint", "real[]", "real[]"),
        usage_id,
        model.id,
        vector.tolist(),
        None if text is None else lexical_features(text).tolist(),
    )
    note_foreseen_outcome(backend, usage_id, vector, text)
    return True


def optimize_budget(
    backend: Backend,
    monthly_budget: float | None,
    quality_threshold: float | None,
    latency_threshold_ms: float | None,
    apply: bool | None,
    caps: str | None,
    minimums: str | None,
) -> list[tuple[Any, ...]]:
    """Return the columns of ruvector_optimize_budget, one row for each active agent."""
    settings = backend.snapshots.configuration().settings
    rows = backend.rows(HISTORY, ("integer",), PERIOD_DAYS)
    optimizer = CostOptimizer(_histories(rows, settings))
    # The optimizer refuses what is not a number itself, so that NULL is told like NaN.
    total: Any = monthly_budget
    quality: Any = quality_threshold
    latency_ms: Any = latency_threshold_ms
    allocation = optimizer.optimize_budget(
        total,
        quality,
        latency_ms,
        caps=_amounts(caps, "caps"),
        minimums=_amounts(minimums, "minimums"),
    )
    if apply:
        _apply(backend, allocation)
    if allocation.unallocated > 0.0:
        backend.plpy.notice(f"{allocation.unallocated:.6g} dollars could not be placed")
    return [_columns(allocation, index) for index in range(len(allocation.shares))]


def _apply(backend: Backend, allocation: BudgetAllocation) -> None:
    require_writable(backend, "set budgets")
    # A limit of 0 would shut out agents that need no money, or whose price nobody stated.
    # One of 0 would also outlast the absence of a member of an ensemble.
    priced = [
        share
        for share in allocation.shares
        if share.budget > 0.0 or (share.agent.cost_per_request and share.agent.is_available)
    ]
    backend.rows(
        PUT_BUDGET,
        ("text[]", "float8[]"),
        [share.agent.name for share in priced],
        [share.budget for share in priced],
    )


def _histories(rows: Sequence[Row], settings: Settings) -> list[AgentHistory]:
    """Return what is known of each agent; of ensembles, what follows from their members, too."""
    own = [_history(row, settings) for row in rows]
    # A member that was made an ensemble since takes nothing as a member.
    single = {h.name: h for h, row in zip(own, rows, strict=True) if row["members"] is None}
    return [
        history
        if row["members"] is None
        else following_members(history, [single.get(name) for name in row["members"]])
        for history, row in zip(own, rows, strict=True)
    ]


def _history(row: Row, settings: Settings) -> AgentHistory:
    observed, seen = row["mean_quality"], row["observations"]
    strength = settings.prior_strength
    return AgentHistory(
        name=row["name"],
        quality=_blend(row["quality_score"], observed, seen, strength),
        latency_ms=_blend(row["avg_latency_ms"], row["mean_latency_ms"], row["requests"], strength),
        cost_per_request=_cost_per_request(row, settings),
        requests=row["requests"],
    )


def _blend(
    prior: float | None, observed: float | None, observations: int, strength: float
) -> float | None:
    """Return the mean of a registered figure, which counts as ``strength``, and an observed one."""
    if observed is None:
        return prior
    if prior is None:
        return observed
    weight = observations / (observations + strength)
    return weight * observed + (1.0 - weight) * prior


def _cost_per_request(row: Row, settings: Settings) -> float | None:
    """Return what a request cost on average, by the price list where nothing was recorded."""
    if row["mean_cost"] is not None:
        return float(row["mean_cost"])
    per_token, per_output = row["cost_per_1k_tokens"], row["cost_per_1k_output_tokens"]
    per_call, per_second = row["cost_per_call"], row["cost_per_second"]
    if all(price is None for price in (per_token, per_output, per_call, per_second)):
        return None
    if per_second and row["avg_latency_ms"] is None:
        return None
    output_price = per_output if per_output is not None else per_token
    return float(
        TYPICAL_INPUT_TOKENS / 1000.0 * (per_token or 0.0)
        + settings.expected_output_tokens / 1000.0 * (output_price or 0.0)
        + (per_call or 0.0)
        + (per_second or 0.0) * (row["avg_latency_ms"] or 0.0) / 1000.0
    )


def _amounts(given: str | None, what: str) -> dict[str, float]:
    if given is None:
        return {}
    amounts = json.loads(given)
    if not isinstance(amounts, dict):
        raise InvalidArgumentError(
            f"{what} is not a JSON object",
            hint='Give dollars by the name of the agent, for example {"gpt-4": 50}.',
        )
    return amounts


def _columns(allocation: BudgetAllocation, index: int) -> tuple[Any, ...]:
    share = allocation.shares[index]
    agent = share.agent
    part = share.budget / allocation.total_budget if allocation.total_budget > 0.0 else 0.0
    return (
        agent.name,
        share.budget,
        part if math.isfinite(part) else 0.0,
        share.expected_requests,
        agent.quality,
        agent.latency_ms,
        share.reason,
        allocation.unallocated,
    )
