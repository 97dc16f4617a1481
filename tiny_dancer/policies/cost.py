"""The cheapest agent that can do it."""

from __future__ import annotations

from tiny_dancer.policies.candidates import Candidates, Floats, Weights
from tiny_dancer.policies.normalisation import LEAST_COST, less_is_better


def score(candidates: Candidates, weights: Weights) -> Floats:
    """Score by normalised cost times capability match, or by cost alone.

    Where the caller set a quality floor, every candidate is good enough and only the cost counts.
    """
    cost = less_is_better(candidates.cost, LEAST_COST, candidates.kept)
    return cost if candidates.has_floor else cost * candidates.match
