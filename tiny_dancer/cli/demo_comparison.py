"""What routing is estimated to cost, beside sending everything to one model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tiny_dancer.cli.demo_routing import RoutedRequest, Run, Standing


@dataclass(frozen=True, slots=True)
class Choice:
    """One way to send the compared requests.

    Attributes:
        name: of the one agent that gets them all, None where they are routed.
        cost: dollars for all of them, None where some price is unknown.
        quality: mean of what is expected of each.
        broken: how many requests go to an agent that their own constraints rule out.
    """

    name: str | None
    cost: float | None
    quality: float
    broken: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """Routing beside two fixed choices, over the requests that the better of them may take.

    Attributes:
        compared: the requests whose constraints the best model meets.
        ruled_out: the other requests that an agent was found for.
        routed: to whom the router sent them.
        best: the model of the highest registered quality.
        cheapest: the model that takes them for the least.
    """

    compared: list[RoutedRequest]
    ruled_out: list[RoutedRequest]
    routed: Choice
    best: Choice
    cheapest: Choice


@dataclass(frozen=True, slots=True)
class Share:
    """What one agent got: how many requests, and their estimated dollars, None if unknown."""

    agent_name: str
    requests: int
    cost: float | None


def compare(run: Run) -> Comparison | None:
    """Compare routing with fixed choices of one model; None where there is nothing to compare."""
    models = [agent for agent in run.agents if agent.agent_type == "llm"]
    if not models:
        return None
    best = max(models, key=lambda agent: (agent.quality_score or 0.0, agent.name)).name
    answered = [r for r in run.routed if r.decision]
    compared = [r for r in answered if r.standing(best).rank is not None]
    ruled_out = [r for r in answered if r.standing(best).rank is None]
    if not compared:
        return None
    fixed = {model.name: _choice(model.name, compared) for model in models}
    priced = {name: c.cost for name, c in fixed.items() if c.cost is not None}
    cheapest = min(priced, key=lambda name: priced[name]) if priced else best
    return Comparison(compared, ruled_out, _choice(None, compared), fixed[best], fixed[cheapest])


def shares(routed: Iterable[RoutedRequest]) -> list[Share]:
    """Return what each agent got, the busiest first."""
    decisions = [r.decision for r in routed if r.decision]
    counts = Counter(d.agent_name for d in decisions)
    return [
        Share(name, count, total(d.estimated_cost for d in decisions if d.agent_name == name))
        for name, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    ]


def total(costs: Iterable[float | None]) -> float | None:
    """Return the sum, None where a part is unknown."""
    known = 0.0
    for cost in costs:
        if cost is None:
            return None
        known += cost
    return known


def most_constrained(routed: Sequence[RoutedRequest]) -> RoutedRequest | None:
    """Return the request with two candidates or more whose constraints removed most variously."""
    contested = [r for r in routed if sum(s.rank is not None for s in r.standings) > 1]
    return max(contested, key=_kinds_of_removal, default=None)


def _kinds_of_removal(routed: RoutedRequest) -> int:
    return len({constraint for s in routed.standings for constraint in s.removed_by})


def _choice(name: str | None, compared: Sequence[RoutedRequest]) -> Choice:
    """Send every request to the agent of the name, or to whom the router chose."""
    standings = [r.standing(name) if name else _chosen(r) for r in compared]
    return Choice(
        name,
        cost=total(s.estimated_cost for s in standings),
        quality=sum(s.expected_quality for s in standings) / len(standings),
        broken=sum(s.rank is None for s in standings),
    )


def _chosen(routed: RoutedRequest) -> Standing:
    assert routed.decision is not None
    return routed.standing(routed.decision.agent_name)
