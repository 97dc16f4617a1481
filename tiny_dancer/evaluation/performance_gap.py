"""How much of the gap between a weak and a strong agent a router recovers.

With r the mean quality of all requests, PGR = (r − r_weak) / (r_strong − r_weak); APGR is its
mean over the share of requests sent to the strong agent, from none to all; CPT(x) is the least
share at which PGR reaches x.

Source: Ong et al., RouteLLM: Learning to Route LLMs with Preference Data, 2024.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tiny_dancer.errors import InvalidArgumentError

Floats = NDArray[np.float64]

LEAST_GAP = 1e-9
"""Mean qualities nearer than this differ by rounding."""


def is_gap(weak: Floats, strong: Floats) -> bool:
    """Whether one of two agents is better than the other, by their qualities, [n] and [n]."""
    gains = np.asarray(strong, dtype=np.float64) - weak
    return abs(float(gains.mean())) > LEAST_GAP


def recovered_gap(advantage: Floats, weak: Floats, strong: Floats) -> Floats:
    """PGR after 0, 1, … n requests went to the strong agent, shape [n + 1].

    Requests go in order of falling advantage. Among equals every order is as likely, so they
    recover their mean: a constant router is a straight line, exactly.

    Args:
        advantage: by how much the router expects the strong agent to do better, [n].
        weak: quality of the weak agent, [n].
        strong: quality of the strong agent, [n].

    Raises:
        InvalidArgumentError: no rows, lengths that differ, a value that is not finite, or two
            agents of equal quality: they have no gap.
    """
    if not (len(advantage) == len(weak) == len(strong)) or len(weak) == 0:
        raise InvalidArgumentError(
            f"advantage, weak and strong have {len(advantage)}, {len(weak)} and {len(strong)} rows"
        )
    if not (np.isfinite(advantage).all() and np.isfinite(weak).all() and np.isfinite(strong).all()):
        raise InvalidArgumentError("advantage, weak or strong holds a value that is not finite")
    gains = np.asarray(strong, dtype=np.float64) - weak
    gap = float(gains.sum())
    if not is_gap(weak, strong):
        raise InvalidArgumentError("the two agents are equally good: there is no gap to recover")
    _, ties = np.unique(-np.asarray(advantage, dtype=np.float64), return_inverse=True)
    order = np.argsort(ties, kind="stable")
    mean_of_tie = np.bincount(ties, gains) / np.bincount(ties)
    return np.concatenate(([0.0], np.cumsum(mean_of_tie[ties[order]]))) / gap


def apgr(advantage: Floats, weak: Floats, strong: Floats) -> float:
    """Average performance gap recovered; 0.5 is chance, see ``recovered_gap``."""
    curve = recovered_gap(advantage, weak, strong)
    return float((curve[1:] + curve[:-1]).sum() / (2.0 * (len(curve) - 1)))


def cpt(advantage: Floats, weak: Floats, strong: Floats, target: float) -> float:
    """Call-performance threshold: the least share of strong calls with PGR ≥ ``target``.

    Args:
        advantage: see ``recovered_gap``.
        weak: see ``recovered_gap``.
        strong: see ``recovered_gap``.
        target: in (0, 1].

    Raises:
        InvalidArgumentError: a target outside (0, 1], and as ``recovered_gap``.
    """
    if not 0.0 < target <= 1.0:
        raise InvalidArgumentError(f"target must be above 0 and at most 1, not {target}")
    curve = recovered_gap(advantage, weak, strong)
    # The last point is 1 but for rounding.
    reached = np.flatnonzero(curve >= target - 1e-12)
    return float(reached[0]) / (len(curve) - 1)
