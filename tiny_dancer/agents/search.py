"""The agents whose capabilities are nearest in meaning to a wanted one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tiny_dancer.index.exact import nearest
from tiny_dancer.router import Router, number

NOMINAL_TOKENS = 1000


@dataclass(frozen=True, slots=True)
class CapableAgent:
    """One agent found.

    Attributes:
        similarity: cosine of its capabilities and the wanted one, in [-1, 1].
        cost: dollars of a request of 1,000 input tokens and the output expected of the agent, None
            if its price is unknown.
    """

    name: str
    similarity: float
    quality_score: float | None
    avg_latency_ms: float | None
    cost: float | None


def nearest_agents(router: Router, wanted: NDArray[np.float32], k: int) -> list[CapableAgent]:
    """Return up to k active agents, nearest first; those of equal similarity by name."""
    eligible = router.registry.reference_positions
    similarity = router.registry.similarities(wanted)[eligible]
    cost = router.cost(NOMINAL_TOKENS)
    return [
        CapableAgent(
            name=router.registry.names[position],
            similarity=float(similarity[i]),
            quality_score=number(router.performance.quality[position]),
            avg_latency_ms=number(router.performance.latency_ms[position]),
            cost=number(cost[position]),
        )
        for i, position in ((i, int(eligible[i])) for i in nearest(similarity, k))
    ]
