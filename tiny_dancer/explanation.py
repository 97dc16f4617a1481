"""The whole decision laid open: every agent, kept or removed, with each factor of its score."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tiny_dancer.constraints import RoutingConstraints
from tiny_dancer.policies import Weights
from tiny_dancer.policies.normalisation import LEAST_COST, LEAST_LATENCY_MS, less_is_better
from tiny_dancer.request import Request
from tiny_dancer.router import Estimate, Router, number

Floats = NDArray[np.float64]
Positions = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class AgentExplanation:
    """One agent in the explanation of a decision.

    Attributes:
        rank: 1 for the agent that would be chosen, None if a constraint removed it.
        removed_by: every constraint that it fails, in the order they are applied.
        score: None if removed.
        similarity: cosine of its capabilities and the request, None if it has none.
        capability_match: the same in [0, 1].
        expected_quality: of this request.
        quality_score: the agent's own, None if unknown.
        estimated_cost: dollars, None if unknown.
        cost_score: 1 for the cheapest candidate, 0 for the dearest, None if removed.
        estimated_latency_ms: milliseconds, None if unknown.
        latency_score: 1 for the fastest candidate, 0 for the slowest, None if removed.
    """

    agent_name: str
    rank: int | None
    removed_by: list[str]
    score: float | None
    similarity: float | None
    capability_match: float
    expected_quality: float
    quality_score: float | None
    estimated_cost: float | None
    cost_score: float | None
    estimated_latency_ms: float | None
    latency_score: float | None


def explain(
    router: Router,
    request: Request,
    constraints: RoutingConstraints,
    optimize_for: str = "balanced",
    weights: Weights | None = None,
) -> list[AgentExplanation]:
    """Return every agent: the candidates by rank, then the removed ones by name.

    The same steps as a decision takes, but nobody being left is an answer here and no error.
    """
    count = len(router.registry)
    if not count:
        return []
    estimate = router.estimate(request)
    masks = list(router.masks(estimate, request, constraints))
    kept = np.logical_and.reduce([passes for _, passes in masks])
    positions = router.representatives(np.flatnonzero(kept))
    if len(positions) < kept.sum():
        # Another member of the pool stands for these.
        stands = ~kept
        stands[positions] = True
        masks.append(("pool", stands))
        kept &= stands
    scores, cost_scores, latency_scores = np.full((3, count), np.nan)
    ranking = positions
    if len(positions):
        scores[positions] = router.score(estimate, positions, constraints, optimize_for, weights)
        cost_scores[positions] = less_is_better(estimate.cost[positions], LEAST_COST)
        latency_scores[positions] = less_is_better(
            router.performance.latency_ms[positions], LEAST_LATENCY_MS
        )
        ranking = positions[router.rank(estimate, positions, scores[positions], len(positions))]
    ranks = {int(position): rank for rank, position in enumerate(ranking, start=1)}
    order = [*ranks, *(int(p) for p in np.flatnonzero(~kept))]
    factors = _Factors(router, estimate, masks, scores, cost_scores, latency_scores)
    return [factors.of(position, ranks.get(position)) for position in order]


@dataclass(frozen=True, slots=True)
class _Factors:
    router: Router
    estimate: Estimate
    masks: list[tuple[str, NDArray[np.bool_]]]
    scores: Floats
    cost_scores: Floats
    latency_scores: Floats

    def of(self, position: int, rank: int | None) -> AgentExplanation:
        registry, performance = self.router.registry, self.router.performance
        estimate = self.estimate
        return AgentExplanation(
            agent_name=registry.names[position],
            rank=rank,
            removed_by=list(self._failed(position)),
            score=number(self.scores[position]),
            similarity=(
                number(estimate.similarity[position]) if registry.embedded[position] else None
            ),
            capability_match=float(estimate.match[position]),
            expected_quality=float(estimate.expected_quality[position]),
            quality_score=number(performance.quality[position]),
            estimated_cost=number(estimate.cost[position]),
            cost_score=number(self.cost_scores[position]),
            estimated_latency_ms=number(performance.latency_ms[position]),
            latency_score=number(self.latency_scores[position]),
        )

    def _failed(self, position: int) -> Iterator[str]:
        return (name for name, passes in self.masks if not passes[position])
