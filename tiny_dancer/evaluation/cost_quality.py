"""Cost against quality: the curve of a router, its hull, and the area under it.

Source: Hu et al., RouterBench: A Benchmark for Multi-LLM Routing System, 2024.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tiny_dancer.errors import InvalidArgumentError

Floats = NDArray[np.float64]

_DEAREST, _CHEAPEST = 2.0, 5e-4
"""Prices of the dearest agent, in quality: above 1 it is never worth it, near 0 cost is nothing."""


def cost_quality_curve(
    predicted: Floats, quality: Floats, costs: Floats, points: int = 81
) -> Floats:
    """Mean cost and quality of a router as its price of a dollar falls, shape [points + 2, 2].

    At a willingness λ each request goes to the agent with the best predicted − cost / λ. The
    first row is the cheapest agent for everything, the last disregards cost.

    Args:
        predicted: expected quality, [n, a].
        quality: what each agent would have achieved, [n, a].
        costs: what each agent costs, [a] or [n, a], ≥ 0.
        points: how many prices are tried between the ends.

    Returns:
        Rows of (mean cost, mean quality).
    """
    spent, reached = choices_by_price(predicted, quality, costs, points)
    return np.column_stack((spent.mean(axis=0), reached.mean(axis=0)))


def choices_by_price(
    predicted: Floats, quality: Floats, costs: Floats, points: int = 81
) -> tuple[Floats, Floats]:
    """Cost and quality of what is chosen for each request at each price, [n, points + 2] both.

    Args: as of ``cost_quality_curve``, whose columns these are before the mean is taken.
    """
    by_request = np.broadcast_to(costs, predicted.shape)
    scale = float(by_request.max()) or 1.0
    rows = np.arange(len(predicted))
    spent, reached = [], []
    for price in (np.inf, *np.geomspace(_DEAREST, _CHEAPEST, points), 0.0):
        if np.isinf(price):
            chosen = by_request.argmin(axis=1)
        else:
            chosen = (predicted - price * by_request / scale).argmax(axis=1)
        spent.append(by_request[rows, chosen])
        reached.append(quality[rows, chosen])
    return np.column_stack(spent).astype(np.float64), np.column_stack(reached).astype(np.float64)


def upper_hull(points: Floats) -> Floats:
    """The non-decreasing convex hull of (cost, quality) points, [m, 2] → [k, 2].

    Any point on it is reached by mixing two routers; a router that costs more and does worse
    is never needed.
    """
    ordered = points[np.lexsort((-points[:, 1], points[:, 0]))]
    hull: list[tuple[float, float]] = []
    for cost, quality in ordered.tolist():
        if hull and quality <= hull[-1][1]:
            continue
        while len(hull) >= 2 and _below(hull[-2], hull[-1], (cost, quality)):
            hull.pop()
        hull.append((cost, quality))
    return np.array(hull)


def aiq(points: Floats, least_cost: float, most_cost: float) -> float:
    """Average improvement in quality: mean height of the hull over a range of costs.

    Args:
        points: (cost, quality) of a router at several settings, [m, 2].
        least_cost: where the range starts; below its first point a router has that quality.
        most_cost: where it ends; beyond its last point the quality stays.

    Raises:
        InvalidArgumentError: no points, or an empty range.
    """
    if len(points) == 0:
        raise InvalidArgumentError("there is no point to take the area under")
    if not least_cost < most_cost:
        raise InvalidArgumentError(f"the range of costs is empty: {least_cost} to {most_cost}")
    hull = upper_hull(points)
    inside = hull[(hull[:, 0] > least_cost) & (hull[:, 0] < most_cost), 0]
    at = np.concatenate(([least_cost], inside, [most_cost]))
    height = np.interp(at, hull[:, 0], hull[:, 1])
    return float(np.trapezoid(height, at) / (most_cost - least_cost))


def _below(
    first: tuple[float, float], middle: tuple[float, float], last: tuple[float, float]
) -> bool:
    """Whether the middle point lies on or below the line from the first to the last."""
    rise = (last[1] - first[1]) * (middle[0] - first[0])
    return (middle[1] - first[1]) * (last[0] - first[0]) <= rise
