"""Finding the dial between quality and cost from requests: how far can it be turned?

The dial is the cost_weight of a balanced decision: 0 looks at quality alone, 1 at cost alone. What
it leads to on given requests is worked out with the code that routes a batch, so that routing them
with the dial that was found gives the quality and the cost that were promised.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tiny_dancer.agents.agent import check_fraction
from tiny_dancer.batch import (
    NOBODY,
    Requests,
    blocks,
    candidates_of,
    decide,
    estimate_block,
    score_block,
)
from tiny_dancer.constraints import RoutingConstraints
from tiny_dancer.errors import InvalidArgumentError, UnknownObjectError, shown
from tiny_dancer.policies import Weights
from tiny_dancer.router import Estimate, Router, number

Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]

# Qualities of agents may differ by little, and then all of the dial's effect is near 0.
STEPS = 1_000_000
# The same qualities summed in another order differ by less.
ROUNDING = 1e-9


class DialReading(NamedTuple):
    """What the requests lead to at one position of the dial.

    Attributes:
        expected_quality: mean over the requests.
        expected_cost: mean dollars, NaN if the price of an agent that takes some is unknown.
        shares: of the requests that each agent takes, [n].
    """

    expected_quality: float
    expected_cost: float
    shares: Floats


class CalibratedDial(NamedTuple):
    """The dial that was found.

    Attributes:
        cost_weight: see ``Weights.dial``.
        expected_quality: mean over the requests.
        expected_cost: mean dollars, None where unknown.
        strong_share: of the requests that the strong agent takes.
        strong_agent: its name.
        quality_kept: expected quality as a share of the best agent's.
        best_agent: who is expected to do best if it takes every request.
        best_quality, best_cost: what that would lead to.
        requests: how many there are.
    """

    cost_weight: float
    expected_quality: float
    expected_cost: float | None
    strong_share: float
    strong_agent: str
    quality_kept: float
    best_agent: str
    best_quality: float
    best_cost: float | None
    requests: int


class CostDial:
    """Turns the dial over given requests.

    Args:
        router: whoever routes.
        requests: r of them, at least one of which some agent can take.
        progress: told what is done.

    Attributes:
        requests: how many some agent can take.
        best: position of the agent that is expected to do best if it takes every request; one that
            it can not take counts as a quality of 0.

    Raises:
        InvalidArgumentError: there are no requests, or no agent can take any.
    """

    def __init__(
        self,
        router: Router,
        requests: Requests,
        progress: Callable[[str], None] = lambda message: None,
    ) -> None:
        self._router = router
        self._progress = progress
        self._blocks: list[tuple[Estimate, Booleans]] = []
        count, agents = len(requests.input_tokens), len(router.registry)
        self.requests = 0
        quality, self._cost, able = (np.zeros(agents) for _ in range(3))
        for block in blocks(count, agents) if agents else ():
            part = requests.part(block)
            estimate = estimate_block(router, part)
            kept = candidates_of(router, part, estimate, RoutingConstraints())
            self._blocks.append((estimate, kept))
            self.requests += int(kept.any(axis=1).sum())
            quality += np.where(kept, estimate.expected_quality, 0.0).sum(axis=0)
            self._cost += np.where(kept, estimate.cost, 0.0).sum(axis=0)
            able += kept.sum(axis=0)
            progress(f"estimated {block.stop} of {count} requests")
        if not self.requests:
            raise InvalidArgumentError(
                "there are no requests to calibrate by" if not count else "no agent fits a request",
                hint="Record decisions, or pass a query of requests."
                if not count
                else "Register agents; ruvector_explain_route shows why one does not fit.",
            )
        self._cost /= np.maximum(able, 1.0)
        self.best = int(quality.argmax())
        self.best_quality = float(quality[self.best]) / self.requests
        self.best_cost = float(self._cost[self.best])

    def at(self, cost_weight: float) -> DialReading:
        """Return what the requests lead to at a position of the dial in [0, 1]."""
        weights = Weights.dial(cost_weight)
        quality = cost = 0.0
        taken = np.zeros(len(self._router.registry))
        for estimate, kept in self._blocks:
            scores = score_block(self._router, estimate, kept, "balanced", weights)
            decision = decide(self._router, estimate, kept, scores)
            somebody = decision.position != NOBODY
            quality += float(decision.expected_quality[somebody].sum())
            cost += float(decision.cost[somebody].sum())
            taken += np.bincount(decision.position[somebody], minlength=len(taken))
            self._progress(f"tried cost_weight {cost_weight:g}")
        count = self.requests
        return DialReading(quality / count, cost / count, taken / count)

    def strong(self, name: str | None) -> int:
        """Return the position of the strong agent.

        Args:
            name: of the agent; by default the dearest of those that quality alone would choose.

        Raises:
            UnknownObjectError: there is no agent of that name.
        """
        registry = self._router.registry
        if name is not None:
            if name not in registry.position:
                raise UnknownObjectError(
                    f"unknown agent {shown(name)}", hint="Name a registered agent; the case counts."
                )
            return registry.position[name]
        cost = np.where(np.isnan(self._cost), -1.0, self._cost)
        return int(np.where(self.at(0.0).shares > 0.0, cost, -np.inf).argmax())

    def name_of(self, position: int) -> str:
        """Return the name of an agent."""
        return self._router.registry.names[position]


def check_targets(quality_target: float | None, max_strong_share: float | None) -> None:
    """Let targets pass that can be searched for.

    Raises:
        InvalidArgumentError: both are None, or one lies outside [0, 1].
    """
    check_fraction(quality_target, what="quality_target")
    check_fraction(max_strong_share, what="max_strong_share")
    if quality_target is None and max_strong_share is None:
        raise InvalidArgumentError(
            "quality_target and max_strong_share are both NULL",
            hint="Give at least one: quality_target := 0.95 keeps 95 % of the best agent's "
            "quality, max_strong_share := 0.3 sends at most 30 % to the strong agent.",
        )


def calibrate(
    dial: CostDial,
    quality_target: float | None,
    max_strong_share: float | None,
    strong_agent: str | None = None,
) -> CalibratedDial:
    """Find the dial that meets the targets.

    With a quality target it is the greatest that keeps it, so the cheapest; with a greatest share
    alone it is the least that keeps to that, so the best. Quality and the strong agent's share
    fall as the dial rises, or nearly so: capability matches weigh in, too. What is returned was
    tried and meets the targets, and a thousandth of a thousandth further on does not.

    Args:
        dial: over the requests.
        quality_target: share of the best agent's quality to keep, in [0, 1].
        max_strong_share: greatest share of the requests that the strong agent takes, in [0, 1].
        strong_agent: its name; by default the dearest of those that quality alone would choose.

    Raises:
        InvalidArgumentError: both targets are None or one lies outside [0, 1]; or they can not be
            reached, and DETAIL says what can be.
        UnknownObjectError: there is no agent of that name.
    """
    check_targets(quality_target, max_strong_share)
    strong = dial.strong(strong_agent)
    if quality_target is not None:
        step = _greatest_with_quality(dial, quality_target)
        reading = dial.at(step / STEPS)
        if max_strong_share is not None and reading.shares[strong] > max_strong_share + ROUNDING:
            raise _contradiction(dial, strong, max_strong_share, quality_target, step, reading)
    else:
        assert max_strong_share is not None
        step = _least_with_share(dial, strong, max_strong_share)
        reading = dial.at(step / STEPS)
    return CalibratedDial(
        cost_weight=step / STEPS,
        expected_quality=reading.expected_quality,
        expected_cost=number(np.float64(reading.expected_cost)),
        strong_share=float(reading.shares[strong]),
        strong_agent=dial.name_of(strong),
        quality_kept=_share_of_best(dial, reading),
        best_agent=dial.name_of(dial.best),
        best_quality=dial.best_quality,
        best_cost=number(np.float64(dial.best_cost)),
        requests=dial.requests,
    )


def _greatest_with_quality(dial: CostDial, target: float) -> int:
    """Return the greatest step of the dial that keeps a share of the best agent's quality."""

    def keeps(step: int) -> bool:
        return _share_of_best(dial, dial.at(step / STEPS)) >= target - ROUNDING

    if keeps(STEPS):
        return STEPS
    if not keeps(0):
        reached = _share_of_best(dial, dial.at(0.0))
        raise InvalidArgumentError(
            f"no cost_weight keeps {target:g} of the best agent's quality",
            detail=f"With cost_weight 0 the requests reach {reached:.4f} of the quality of "
            f"{dial.name_of(dial.best)}, which is {dial.best_quality:.4f}: capability matches "
            "weigh in, too.",
            hint="Lower quality_target.",
        )
    return _last(keeps, 0, STEPS)


def _least_with_share(dial: CostDial, strong: int, most: float) -> int:
    """Return the least step of the dial at which the strong agent takes no more than a share."""

    def exceeds(step: int) -> bool:
        return bool(dial.at(step / STEPS).shares[strong] > most + ROUNDING)

    if not exceeds(0):
        return 0
    if exceeds(STEPS):
        least = float(dial.at(1.0).shares[strong])
        raise InvalidArgumentError(
            f"no cost_weight sends as little as {most:g} of the requests to {dial.name_of(strong)}",
            detail=f"Even with cost_weight 1 it takes {least:.4f} of them.",
            hint="Raise max_strong_share, or name another agent in strong_agent.",
        )
    return _last(exceeds, 0, STEPS) + 1


def _last(holds: Callable[[int], bool], low: int, high: int) -> int:
    """Return the last step at which something holds; it does at ``low`` and not at ``high``."""
    while high - low > 1:
        middle = (low + high) // 2
        if holds(middle):
            low = middle
        else:
            high = middle
    return low


def _share_of_best(dial: CostDial, reading: DialReading) -> float:
    return reading.expected_quality / dial.best_quality if dial.best_quality > 0.0 else 1.0


def _contradiction(
    dial: CostDial, strong: int, most: float, target: float, step: int, reading: DialReading
) -> InvalidArgumentError:
    name = dial.name_of(strong)
    return InvalidArgumentError(
        f"no cost_weight keeps {target:g} of the best agent's quality and sends at most {most:g} "
        f"of the requests to {name}",
        detail=f"The cheapest that keeps the quality is {step / STEPS:g}, and there {name} takes "
        f"{float(reading.shares[strong]):.4f} of them.",
        hint="Lower quality_target or raise max_strong_share.",
    )
