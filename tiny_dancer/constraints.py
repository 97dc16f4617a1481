"""Constraints: what an agent must fulfil to be a candidate at all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tiny_dancer.agents.agent import check_amount, check_fraction
from tiny_dancer.agents.capabilities import capability_key
from tiny_dancer.agents.live_state import LiveState
from tiny_dancer.agents.performance import AgentPerformance
from tiny_dancer.agents.registry import AgentRegistry
from tiny_dancer.errors import InvalidArgumentError

Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]

MAX_LIST_LENGTH = 10_000
# A budget is spent when less than this is left of it.
LEAST_AMOUNT = 1e-9


class RoutingConstraints(NamedTuple):
    """What the caller demands. None demands nothing.

    Attributes:
        required_capabilities: all of these, ignoring case and through aliases.
        max_cost: dollars, estimated for this request; an unknown price does not pass.
        max_latency_ms: milliseconds; an unknown latency does not pass.
        min_quality: of the agent's own quality; an unknown one does not pass.
        excluded_agents: names; unknown names exclude nobody.
        budget_remaining: dollars left; a request that costs more does not pass.
        quality_floor: of the expected quality of this request.
    """

    required_capabilities: Sequence[str] | None = None
    max_cost: float | None = None
    max_latency_ms: float | None = None
    min_quality: float | None = None
    excluded_agents: Sequence[str] | None = None
    budget_remaining: float | None = None
    quality_floor: float | None = None

    def without_floor(self) -> RoutingConstraints:
        """Return the same demands but for the quality floor."""
        return self._replace(quality_floor=None)

    def checked(self) -> RoutingConstraints:
        """Return self if every demand makes sense.

        Raises:
            InvalidArgumentError: naming the demand that does not.
        """
        check_amount(self.max_cost, what="max_cost")
        check_amount(self.max_latency_ms, what="max_latency_ms")
        check_amount(self.budget_remaining, what="budget_remaining")
        check_fraction(self.min_quality, what="min_quality")
        check_fraction(self.quality_floor, what="quality_floor")
        _check_list(self.required_capabilities, what="required_capabilities")
        _check_list(self.excluded_agents, what="excluded_agents")
        return self


NO_DEMANDS = RoutingConstraints()


def constraint_masks(
    constraints: RoutingConstraints,
    registry: AgentRegistry,
    performance: AgentPerformance,
    live: LiveState,
    *,
    input_tokens: int | Floats,
    cost: Floats,
    expected_quality: Floats,
) -> Iterator[tuple[str, Booleans]]:
    """Yield each constraint that is set with the agents that pass it, in a fixed order.

    Args:
        constraints: the caller's demands.
        registry: n agents.
        performance: what is expected of them.
        live: their health and their budgets.
        input_tokens: of the request, or of b requests, shape [b, 1].
        cost: estimated dollars, NaN where unknown, shape [n] or [b, n].
        expected_quality: of the request or requests, shape [n] or [b, n].

    A constraint that does not depend on the request yields shape [n] whatever their number.
    """
    demand = constraints
    longest = input_tokens if isinstance(input_tokens, int) else input_tokens.max(initial=0)
    yield "active", registry.available
    if demand.required_capabilities:
        yield "required_capabilities", _capable(registry, demand.required_capabilities)
    if demand.excluded_agents:
        yield "excluded_agents", _not_excluded(registry, demand.excluded_agents)
    if performance.least_room < longest:
        yield "context_window", performance.room >= input_tokens
    if live.is_restricted:
        yield "health", _with_members(registry, live.healthy)
        # Where the cost is unknown, any money left will do.
        affordable = live.budget_remaining >= np.fmax(cost, LEAST_AMOUNT)
        yield "budget", _with_members(registry, affordable)
    # A comparison with NaN is false: what is unknown does not pass.
    if demand.max_cost is not None:
        yield "max_cost", cost <= demand.max_cost
    if demand.budget_remaining is not None:
        yield "budget_remaining", cost <= demand.budget_remaining
    if demand.max_latency_ms is not None:
        yield "max_latency_ms", performance.latency_ms <= demand.max_latency_ms
    if demand.min_quality is not None:
        yield "min_quality", performance.quality >= demand.min_quality
    if demand.quality_floor is not None:
        yield "quality_floor", expected_quality >= demand.quality_floor


def _capable(registry: AgentRegistry, required: Sequence[str]) -> Booleans:
    capable = np.ones(len(registry), dtype=bool)
    for capability in required:
        column = registry.capabilities.get(capability_key(capability, registry.aliases))
        if column is None:
            return np.zeros(len(registry), dtype=bool)
        capable &= column
    return capable


def _with_members(registry: AgentRegistry, passes: Booleans) -> Booleans:
    """Return who passes, an ensemble only together with all of its members, shape as given."""
    if not registry.ensembles:
        return passes
    together = passes.copy()
    for ensemble, members in registry.ensembles.items():
        together[..., ensemble] &= passes[..., members].all(axis=-1)
    return together


def _not_excluded(registry: AgentRegistry, excluded: Sequence[str]) -> Booleans:
    allowed = np.ones(len(registry), dtype=bool)
    for name in excluded:
        position = registry.position.get(name)
        if position is not None:
            allowed[position] = False
    return allowed


def _check_list(labels: Sequence[str] | None, *, what: str) -> None:
    if labels is None:
        return
    if len(labels) > MAX_LIST_LENGTH:
        raise InvalidArgumentError(
            f"{what} has {len(labels)} elements", hint=f"Give at most {MAX_LIST_LENGTH}."
        )
    if not all(isinstance(label, str) for label in labels):
        raise InvalidArgumentError(
            f"{what} must be a flat array of text without NULLs",
            hint="Leave out the NULLs, and pass a one-dimensional array.",
        )
