"""What changes from one moment to the next: health, load and spend of the agents."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class LiveState:
    """The state of every agent of a registry at one moment, as arrays of n elements.

    Args:
        healthy: whose circuit breaker lets requests through, and who has a free slot.
        in_flight: requests that an agent is working on.
        budget_remaining: dollars that the budgets of an agent still admit, infinite without one.

    Attributes:
        is_restricted: whether any agent is unhealthy or has a budget.
    """

    def __init__(
        self,
        healthy: NDArray[np.bool_],
        in_flight: NDArray[np.float64],
        budget_remaining: NDArray[np.float64],
    ) -> None:
        self.healthy = healthy
        self.in_flight = in_flight
        self.budget_remaining = budget_remaining
        self.is_restricted = not healthy.all() or bool(np.isfinite(budget_remaining).any())

    @classmethod
    def idle(cls, count: int) -> LiveState:
        """Return the state of agents that are healthy, idle and without a budget."""
        return cls(np.ones(count, dtype=bool), np.zeros(count), np.full(count, np.inf))
