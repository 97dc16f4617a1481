"""Requests of two kinds, of which each suits another agent."""

import numpy as np


def made_up_outcomes(rows=160, seed=0, agents=3, dim=12):
    generator = np.random.default_rng(seed)
    kinds = generator.integers(agents, size=rows)
    centres = np.eye(agents, dim)
    embeddings = centres[kinds] + 0.15 * generator.standard_normal((rows, dim))
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    lexical = generator.standard_normal((rows, 4))
    chance = np.where(kinds[:, None] == np.arange(agents), 0.9, 0.3)
    targets = (generator.random((rows, agents)) < chance).astype(float)
    return embeddings.astype(np.float32), lexical.astype(np.float32), targets, kinds
