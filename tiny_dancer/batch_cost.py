"""The cheapest way to serve a batch, with or without a floor under its average quality.

Without a floor each request takes its cheapest candidate. With one, the choices depend on each
other: minimise the summed cost subject to the mean expected quality. That is the multiple-choice
knapsack problem (Kellerer, Pferschy, Pisinger: Knapsack Problems, 2004, chapter 11). Its Lagrangian
relaxation splits into requests: for a price p of quality, each takes the candidate with the least
cost − p · quality. The least p whose choices reach the floor is found by bisection; then choices
that changed last are taken back, those that save most for each quality lost first, as long as the
floor holds.

How far from the optimum: any price gives a lower bound, and the solution differs from the best of
these by less than one request's step between two candidates. The tests compare with an exact
solver on small batches and with the bound on a large one.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tiny_dancer.errors import NoSuitableAgentError

Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]
Positions = NDArray[np.intp]

BISECTIONS = 60
# Sums of many qualities are compared with this much leeway for rounding.
LEEWAY = 1e-9


class Options(NamedTuple):
    """What r requests can choose from: cost and expected quality, [r, n], infinite cost if not."""

    cost: Floats
    quality: Floats


def options(cost: Floats, quality: Floats, kept: Booleans) -> Options:
    """Return the options of requests that each have a candidate.

    A candidate of unknown cost is an option only where no candidate has a known one; there it
    costs nothing in the sum, since nobody knows what it costs.
    """
    priced = kept & ~np.isnan(cost)
    nothing_priced = ~priced.any(axis=1, keepdims=True)
    usable = np.where(nothing_priced, kept, priced)
    known = np.where(nothing_priced, 0.0, np.nan_to_num(cost, nan=0.0))
    return Options(np.where(usable, known, np.inf), quality)


def cheapest(choices: Options, latency_ms: Floats) -> Positions:
    """Return each request's cheapest option; of equals the faster, then the first by name."""
    least = choices.cost.min(axis=1, keepdims=True)
    latency = np.nan_to_num(latency_ms, nan=np.finfo(np.float64).max)
    chosen: Positions = np.where(choices.cost <= least, latency, np.inf).argmin(axis=1)
    return chosen


def cheapest_above(choices: Options, floor: float, latency_ms: Floats) -> Positions:
    """Return options of least summed cost whose mean expected quality reaches the floor.

    Raises:
        NoSuitableAgentError: not even the best options reach it; DETAIL says what they reach.
    """
    low = cheapest(choices, latency_ms)
    if _mean(choices, low) >= floor - LEEWAY:
        return low
    high = np.where(np.isfinite(choices.cost), choices.quality, -np.inf).argmax(axis=1)
    reachable = _mean(choices, high)
    if reachable < floor - LEEWAY:
        raise NoSuitableAgentError(
            f"no choice of agents reaches an average expected quality of {floor:g}",
            detail=f"The best agent for every request reaches {reachable:.4f}.",
            hint="Lower quality_floor, loosen a constraint, or register a better agent.",
        )
    low, high = _bisect(choices, floor, low, high)
    return _take_back(choices, floor, low, high)


def _mean(choices: Options, chosen: Positions) -> float:
    return float(choices.quality[np.arange(len(chosen)), chosen].mean())


def _at_price(choices: Options, price: float) -> Positions:
    chosen: Positions = (choices.cost - price * choices.quality).argmin(axis=1)
    return chosen


def _bisect(
    choices: Options, floor: float, low: Positions, high: Positions
) -> tuple[Positions, Positions]:
    """Return the choices just below and just above the price at which the floor is reached."""
    least, greatest = 0.0, _greatest_price(choices)
    for _ in range(BISECTIONS):
        # Prices span orders of magnitude.
        price = np.sqrt(max(least, greatest * 1e-12) * greatest)
        chosen = _at_price(choices, float(price))
        if _mean(choices, chosen) >= floor - LEEWAY:
            high, greatest = chosen, float(price)
        else:
            low, least = chosen, float(price)
        if np.array_equal(low, high):
            break
    return low, high


def _greatest_price(choices: Options) -> float:
    """Return a price of quality at which only the smallest differences of quality do not count."""
    known = choices.cost[np.isfinite(choices.cost)]
    return max(float(known.max(initial=0.0)), 1e-9) * 1e9


def _take_back(choices: Options, floor: float, low: Positions, high: Positions) -> Positions:
    """Return to the cheaper choice where that saves most for the quality lost, while it may."""
    rows = np.arange(len(low))
    saved = choices.cost[rows, high] - choices.cost[rows, low]
    lost = choices.quality[rows, high] - choices.quality[rows, low]
    chosen = high.copy()
    spare = choices.quality[rows, high].sum() - (floor - LEEWAY) * len(low)
    # The first loses nothing or saves most for what it loses.
    order = np.argsort(-saved / np.maximum(lost, 1e-300), kind="stable")
    for row in order[saved[order] > 0.0]:
        if lost[row] <= spare:
            chosen[row] = low[row]
            spare -= lost[row]
    return chosen
