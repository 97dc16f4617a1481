"""The fastest agent that can do it."""

from __future__ import annotations

from tiny_dancer.policies.candidates import Candidates, Floats, Weights
from tiny_dancer.policies.normalisation import LEAST_LATENCY_MS, less_is_better


def score(candidates: Candidates, weights: Weights) -> Floats:
    """Score by normalised latency times capability match."""
    latency = less_is_better(candidates.latency_ms, LEAST_LATENCY_MS, candidates.kept)
    return latency * candidates.match
