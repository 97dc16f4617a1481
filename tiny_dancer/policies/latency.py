"""The fastest agent that can do it."""

from __future__ import annotations

from tiny_dancer.policies.candidates import Candidates, Floats, Weights


def score(candidates: Candidates, weights: Weights) -> Floats:
    """Score by normalised latency times capability match."""
    return candidates.speed() * candidates.match
