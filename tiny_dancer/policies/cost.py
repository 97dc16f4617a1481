"""The cheapest agent that can do it."""

from __future__ import annotations

from tiny_dancer.policies.candidates import Candidates, Floats, Weights


def score(candidates: Candidates, weights: Weights) -> Floats:
    """Score by normalised cost times capability match, or by cost alone.

    Where the caller set a quality floor, every candidate is good enough and only the cost counts.
    """
    cheapness = candidates.cheapness()
    return cheapness.copy() if candidates.has_floor else cheapness * candidates.match
