"""Recorded decisions for tests: a few agents, everything else made up."""

from __future__ import annotations

import numpy as np

from tiny_dancer.replay.logged_decisions import LoggedDecisions

DIMENSIONS = 4


def logged(probabilities, chosen, quality=None, cost=None, **columns):
    """Decisions over the same agents.

    Args:
        probabilities: of each agent for each decision, [n, a].
        chosen: number of the chosen agent, [n].
        quality, cost: of the outcomes, [n]; 1 and 0.01 by default.
        columns: others to replace.
    """
    probabilities = np.asarray(probabilities, dtype=np.float64)
    count, agents = probabilities.shape
    generator = np.random.default_rng(0)
    vectors = generator.standard_normal((count, DIMENSIONS)).astype(np.float32)
    defaults = {
        "embeddings": vectors / np.linalg.norm(vectors, axis=1, keepdims=True),
        "lexical": np.zeros((count, 0), np.float32),
        "input_tokens": generator.integers(1, 500, count),
        "starts": np.arange(count + 1) * agents,
        "candidates": np.tile(np.arange(agents), count),
        "expected_quality": np.tile(np.linspace(0.9, 0.5, agents), count),
        "probabilities": probabilities.ravel(),
        "chosen": np.asarray(chosen, dtype=np.intp),
        "is_rule": np.zeros(count, bool),
        "quality": np.ones(count) if quality is None else np.asarray(quality, float),
        "cost": np.full(count, 0.01) if cost is None else np.asarray(cost, float),
    }
    return LoggedDecisions(**(defaults | columns))
