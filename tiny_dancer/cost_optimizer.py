"""Sharing a budget out among agents: by how good they are, what they cost, how much they are asked.

The value of an agent is the plan's: quality × 1 / (cost + 0.001) × demand. The plan's demand is
ln(n), which is 0 for the first request and minus infinity before it; here it is 1 + ln(1 + n), so
that an agent without history has a value, too. Cost is that of a request and not of 1,000 tokens,
so that agents which charge by the call, by the second or by the token can be compared.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from tiny_dancer.errors import InvalidArgumentError, UnknownObjectError

# Dollars. Keeps very cheap agents from taking everything.
COST_OFFSET = 0.001
PERIOD_DAYS = 30
# Halving an interval this often leaves nothing of it at the precision of a float.
BISECTIONS = 200
# Differences this small, relative to the budget, are rounding.
TOLERANCE = 1e-9
# Less of a budget is nothing that could be paid; a wider range would be too wide for the bisection.
LEAST_WEIGHT = 1e-18
# Sums of amounts up to here stay far from the end of float64.
LARGEST_AMOUNT = 1e15


@dataclass(frozen=True, slots=True)
class AgentHistory:
    """What the optimizer knows of one agent.

    Attributes:
        name: of the agent.
        quality: in [0, 1], None if unknown.
        latency_ms: average, None if unknown.
        cost_per_request: dollars, None if unknown.
        requests: how many it took in the past period.
        is_available: False for an ensemble of which a member takes no requests now.
    """

    name: str
    quality: float | None
    latency_ms: float | None
    cost_per_request: float | None
    requests: int = 0
    is_available: bool = True


def following_members(
    ensemble: AgentHistory, members: Sequence[AgentHistory | None]
) -> AgentHistory:
    """Return what follows for an ensemble from its members, as it does in a decision.

    Args:
        ensemble: as it was registered and recorded itself.
        members: None for one that takes no requests now.

    Its own quality counts where it is known. Where it took no request itself it is as slow as its
    slowest member, and costs what they cost beside what it charges itself.
    """
    known = [member for member in members if member is not None]
    if not known or len(known) < len(members):
        return replace(ensemble, is_available=False)
    quality, latency_ms, cost = ensemble.quality, ensemble.latency_ms, ensemble.cost_per_request
    if quality is None:
        summed = _total([member.quality for member in known])
        quality = None if summed is None else summed / len(known)
    if not ensemble.requests:
        slowest = [member.latency_ms for member in known]
        latency_ms = None if None in slowest else max(ms for ms in slowest if ms is not None)
        cost = _total([cost or 0.0, *(member.cost_per_request for member in known)])
    return replace(ensemble, quality=quality, latency_ms=latency_ms, cost_per_request=cost)


def _total(figures: Sequence[float | None]) -> float | None:
    """Return their sum, None if one is unknown."""
    known = [figure for figure in figures if figure is not None]
    return math.fsum(known) if len(known) == len(figures) else None


@dataclass(frozen=True, slots=True)
class AgentShare:
    """What one agent gets.

    Attributes:
        agent: whose share it is; its name, quality and latency.
        budget: dollars.
        expected_requests: how many requests that pays for, None if its price is 0 or unknown.
        reason: in words, why it gets that.
    """

    agent: AgentHistory
    budget: float
    expected_requests: float | None
    reason: str


@dataclass(frozen=True, slots=True)
class BudgetAllocation:
    """A budget that was shared out.

    Attributes:
        total_budget: dollars.
        period_days: for how long.
        shares: one for each agent, in the order given.
        unallocated: dollars that no agent could take.
    """

    total_budget: float
    period_days: int
    shares: tuple[AgentShare, ...]
    unallocated: float

    @property
    def agent_budgets(self) -> dict[str, float]:
        """Dollars by the agent's name."""
        return {share.agent.name: share.budget for share in self.shares}


class CostOptimizer:
    """Shares budgets out among agents.

    Args:
        history: the active agents and what they did in the past period.
    """

    def __init__(self, history: Sequence[AgentHistory]) -> None:
        self.history = tuple(history)

    def optimize_budget(
        self,
        total_budget: float,
        quality_threshold: float = 0.8,
        latency_threshold_ms: float = 5000.0,
        *,
        caps: Mapping[str, float] | None = None,
        minimums: Mapping[str, float] | None = None,
        period_days: int = PERIOD_DAYS,
    ) -> BudgetAllocation:
        """Share a budget out in proportion to value, within caps and minimums.

        Args:
            total_budget: dollars.
            quality_threshold: agents below it get their minimum only.
            latency_threshold_ms: agents slower than it get their minimum only.
            caps: most that an agent may get, in dollars by name.
            minimums: least that an agent must get, in dollars by name.
            period_days: what the budget is for.

        Raises:
            InvalidArgumentError: a number makes no sense, a minimum is above its cap, or the
                minimums are more than there is.
            UnknownObjectError: a cap or minimum names no agent.
        """
        _check_amount(total_budget, "monthly_budget")
        _check_fraction(quality_threshold)
        _check_amount(latency_threshold_ms, "latency_threshold_ms", "milliseconds")
        most = self._limits(caps or {}, "cap", math.inf)
        least = self._limits(minimums or {}, "minimum", 0.0)
        self._check_feasible(total_budget, least, most)
        obstacles = [_obstacle(a, quality_threshold, latency_threshold_ms) for a in self.history]
        values = [
            0.0 if obstacle else agent_value(agent)
            for agent, obstacle in zip(self.history, obstacles, strict=True)
        ]
        budgets = fill(values, least, most, total_budget)
        shares = tuple(
            AgentShare(agent, budget, _expected_requests(agent, budget), _reason(*facts))
            for agent, budget, *facts in zip(
                self.history, budgets, obstacles, budgets, least, most, strict=True
            )
        )
        left = total_budget - math.fsum(budgets)
        unallocated = left if left > TOLERANCE * total_budget else 0.0
        return BudgetAllocation(total_budget, period_days, shares, unallocated)

    def _limits(self, given: Mapping[str, float], what: str, missing: float) -> list[float]:
        names = {agent.name for agent in self.history}
        for name, amount in given.items():
            if name not in names:
                raise UnknownObjectError(
                    f"the {what} of {name!r} names no active agent",
                    hint="Name agents that ruvector_list_agents() shows as active.",
                )
            _check_amount(amount, f"the {what} of {name!r}")
        return [given.get(agent.name, missing) for agent in self.history]

    def _check_feasible(self, budget: float, least: list[float], most: list[float]) -> None:
        for agent, minimum, cap in zip(self.history, least, most, strict=True):
            if minimum > cap:
                raise InvalidArgumentError(
                    f"the minimum of {agent.name!r} is above its cap",
                    detail=f"The minimum is {minimum:g}, the cap {cap:g}.",
                    hint="Lower the minimum or raise the cap.",
                )
        needed = math.fsum(least)
        if needed > budget * (1.0 + TOLERANCE):
            raise InvalidArgumentError(
                f"the minimums need {needed:g} of a budget of {budget:g}",
                hint="Lower the minimums or raise the budget.",
            )


def agent_value(agent: AgentHistory) -> float:
    """Return quality × cost efficiency × demand of an agent whose quality and cost are known."""
    efficiency = 1.0 / ((agent.cost_per_request or 0.0) + COST_OFFSET)
    return (agent.quality or 0.0) * efficiency * (1.0 + math.log1p(agent.requests))


def fill(
    values: Sequence[float], least: Sequence[float], most: Sequence[float], budget: float
) -> list[float]:
    """Return amounts in proportion to the values, each moved into [least, most], of sum budget.

    With amount = min(max(level × value, least), most) the sum grows with the level, so the level
    is found by bisection. Where even the upper bounds do not use up the budget, less is given.
    """
    greatest = max(values, default=0.0)
    if greatest <= 0.0:
        return list(least)
    weights = [max(value / greatest, LEAST_WEIGHT) if value > 0.0 else 0.0 for value in values]

    def amounts(level: float) -> list[float]:
        return [
            min(max(level * w, low), high)
            for w, low, high in zip(weights, least, most, strict=True)
        ]

    # At the upper end every agent with a weight has its cap, or one has all of the budget.
    low, high = 0.0, budget / min(w for w in weights if w > 0.0)
    if math.fsum(amounts(high)) <= budget:
        return amounts(high)
    for _ in range(BISECTIONS):
        middle = low + (high - low) / 2.0
        if math.fsum(amounts(middle)) <= budget:
            low = middle
        else:
            high = middle
    return amounts(low)


def _obstacle(agent: AgentHistory, quality: float, latency_ms: float) -> str | None:
    if not agent.is_available:
        return "one of its members takes no requests"
    if agent.quality is None:
        return "its quality is unknown"
    if agent.quality < quality:
        return f"its quality {agent.quality:.3g} is below {quality:g}"
    if agent.latency_ms is None:
        return "its latency is unknown"
    if agent.latency_ms > latency_ms:
        return f"its latency {agent.latency_ms:.0f} ms is above {latency_ms:g} ms"
    if agent.cost_per_request is None:
        return "its price is unknown"
    if agent.cost_per_request == 0.0:
        return "it is free"
    return None


def _reason(obstacle: str | None, budget: float, least: float, most: float) -> str:
    if obstacle is not None:
        return f"its minimum only: {obstacle}" if budget > 0.0 else f"nothing: {obstacle}"
    if budget >= most:
        return "its cap"
    if 0.0 < budget <= least:
        return "its minimum"
    return "in proportion to quality, price and demand"


def _expected_requests(agent: AgentHistory, budget: float) -> float | None:
    if not agent.cost_per_request:
        return None
    expected = budget / agent.cost_per_request
    return expected if math.isfinite(expected) else None


def _check_amount(amount: object, what: str, unit: str = "dollars") -> None:
    is_number = isinstance(amount, (int, float)) and not isinstance(amount, bool)
    if not is_number or not 0.0 <= float(str(amount)) <= LARGEST_AMOUNT:
        raise InvalidArgumentError(
            f"{what} is {_shown(amount)}",
            hint=f"Give {unit}, a number from 0 to {LARGEST_AMOUNT:g}.",
        )


def _check_fraction(quality: float | None) -> None:
    if quality is None or not 0.0 <= quality <= 1.0:
        raise InvalidArgumentError(
            f"quality_threshold is {_shown(quality)}", hint="Give a number between 0 and 1."
        )


def _shown(value: object) -> str:
    return "NULL" if value is None else str(value)[:80]
