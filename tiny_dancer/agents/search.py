"""The agents whose capabilities are nearest in meaning to a wanted one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tiny_dancer.agents.registry import AgentRegistry
from tiny_dancer.expected_quality import similarities
from tiny_dancer.index.exact import nearest

NOMINAL_TOKENS = 1000


@dataclass(frozen=True, slots=True)
class CapableAgent:
    """One agent found.

    Attributes:
        similarity: cosine of its capabilities and the wanted one, in [-1, 1].
        cost: dollars of a request of 1,000 input tokens, None if its price is unknown.
    """

    name: str
    similarity: float
    quality_score: float | None
    avg_latency_ms: float | None
    cost: float | None


def nearest_agents(
    registry: AgentRegistry, wanted: NDArray[np.float32], k: int
) -> list[CapableAgent]:
    """Return up to k active agents, nearest first; those of equal similarity by name."""
    eligible = registry.reference_positions
    similarity = similarities(registry.embeddings[eligible], wanted)
    return [
        _found(registry, int(eligible[i]), float(similarity[i])) for i in nearest(similarity, k)
    ]


def _found(registry: AgentRegistry, position: int, similarity: float) -> CapableAgent:
    cost = registry.input_price[position] * NOMINAL_TOKENS + registry.fixed_price[position]
    return CapableAgent(
        name=registry.names[position],
        similarity=similarity,
        quality_score=_known(registry.quality[position]),
        avg_latency_ms=_known(registry.latency_ms[position]),
        cost=float(cost) if registry.priced[position] else None,
    )


def _known(value: np.float64) -> float | None:
    return None if np.isnan(value) else float(value)
