"""What a batch answers, a column at a time: PL/Python takes arrays in half the time of rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from tiny_dancer.batch import BatchDecision
from tiny_dancer.policies import BATCH_TARGETS
from tiny_dancer.reasoning import OBJECTIVES, stated
from tiny_dancer.router import Router, known

Column = list[Any]


class Answers(NamedTuple):
    """The columns that m requests are answered with, None where nobody was chosen."""

    agent_names: Column
    confidences: Column
    estimated_costs: Column
    estimated_latencies_ms: Column
    reasonings: Column

    @classmethod
    def nothing(cls, count: int) -> Answers:
        """Return the answers of requests that are not decided yet."""
        return cls(*([None] * count for _ in cls._fields))

    def put(self, answers: Answers, places: Sequence[int]) -> None:
        """Put the answers to some of the requests in their places."""
        for whole, part in zip(self, answers, strict=True):
            for place, value in zip(places, part, strict=True):
                whole[place] = value

    def spread(self, places: Sequence[int], count: int) -> Answers:
        """Return the answers in their places among ``count`` requests, not all of them decided."""
        if len(places) == count:
            return self
        spread = Answers.nothing(count)
        spread.put(self, places)
        return spread


def answers(router: Router, decision: BatchDecision, target: str) -> Answers:
    """Return what was decided, for each request of a decision."""
    positions = decision.position.tolist()
    # At NOBODY, the last place, there is none.
    names = [*router.registry.names, None]
    latencies = [*known(router.performance.latency_ms), None]
    qualities, costs = known(decision.expected_quality), known(decision.cost)
    chosen = [names[position] for position in positions]
    took = [latencies[position] for position in positions]
    ranks = "is chosen of" if target in BATCH_TARGETS else "ranks first of"
    objective = OBJECTIVES[target]
    reasonings = [
        f"{name} ({stated(cost, latency).words}, expected quality {quality:.3f}) "
        f"{ranks} {candidates} candidates for {objective}."
        if name is not None
        else None
        for name, cost, latency, quality, candidates in zip(
            chosen, costs, took, qualities, decision.candidates.tolist(), strict=True
        )
    ]
    return Answers(chosen, qualities, costs, took, reasonings)


def columns(found: Answers, errors: Mapping[int, str]) -> tuple[Column | None, ...]:
    """Return the columns of tiny_dancer.batch_route; that of the errors only where there are any.

    Args:
        found: answers to all requests.
        errors: from the place of a request that failed to why it did.
    """
    if not errors:
        return (*found, None)
    return (*found, [errors.get(place) for place in range(len(found.agent_names))])
