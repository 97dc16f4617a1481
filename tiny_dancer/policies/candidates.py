"""What a policy sees: the candidates of one request, and the weights of what matters."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tiny_dancer.policies.normalisation import LEAST_COST, LEAST_LATENCY_MS, less_is_better

Floats = NDArray[np.float64]


class Candidates(NamedTuple):
    """The agents that passed every constraint, as arrays of m elements, or [b, m] for b requests.

    Attributes:
        cost: estimated dollars of this request, NaN where unknown.
        latency_ms: estimated milliseconds, NaN where unknown.
        expected_quality: of this request, in [0, 1].
        match: capability match in [0, 1].
        has_floor: whether every candidate reaches a quality that the caller asked for.
        kept: of several requests, which agents are candidates of which; None where all are.
        cost_scores, latency_scores: ``less_is_better`` of costs and latencies, where they are known
            already; None where a policy that needs them is to work them out.
        thrift: ``hybrid.thrift`` by the weights of this decision, the same way.
    """

    cost: Floats
    latency_ms: Floats
    expected_quality: Floats
    match: Floats
    has_floor: bool = False
    kept: NDArray[np.bool_] | None = None
    cost_scores: Floats | None = None
    latency_scores: Floats | None = None
    thrift: Floats | None = None

    def cheapness(self) -> Floats:
        """Return 1 for the cheapest candidate and 0 for the dearest; not to be changed."""
        if self.cost_scores is not None:
            return self.cost_scores
        return less_is_better(self.cost, LEAST_COST, self.kept)

    def speed(self) -> Floats:
        """Return 1 for the fastest candidate and 0 for the slowest; not to be changed."""
        if self.latency_scores is not None:
            return self.latency_scores
        return less_is_better(self.latency_ms, LEAST_LATENCY_MS, self.kept)


class Weights(NamedTuple):
    """How much cost, latency and quality count in a balanced decision; they sum to 1.

    The defaults are the plan's.
    """

    cost: float = 0.3
    latency: float = 0.3
    quality: float = 0.4

    @classmethod
    def dial(cls, cost_weight: float) -> Weights:
        """Return the weights of the continuous dial from quality alone (0) to cost alone (1)."""
        return cls(cost=cost_weight, latency=0.0, quality=1.0 - cost_weight)
