"""How good an agent is expected to be at a request, before anything was learned.

The registered quality is a statement about the agent at large. Capability similarity shades it
for the request at hand: in log-odds, by how much nearer the agent's capabilities are to the
request than those of the active agents on average. So equal similarities change nothing, and a
quality stays a probability.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tiny_dancer.tie_rounding import round_similarities

Floats = NDArray[np.float64]

ONE = np.array(1.0)


def similarities(embeddings: NDArray[np.float32], request: NDArray[np.float32]) -> Floats:
    """Return the cosines between unit rows [n, d] and a unit vector [d], rounded, shape [n]."""
    return round_similarities(embeddings.dot(request))


def shaded_prior(
    prior_log_odds: Floats, similarity: Floats, reference: float | Floats, weight: float | Floats
) -> Floats:
    """Return the prior quality of each agent, shaded for the request.

    Args:
        prior_log_odds: shape [n].
        similarity: cosine of each agent's capabilities with the request, shape [n].
        reference: the similarity that changes nothing.
        weight: log-odds for each unit of similarity; an array [] saves NumPy from making one.
    """
    odds = reference - similarity
    odds *= weight
    odds -= prior_log_odds
    np.exp(odds, out=odds)
    odds += ONE
    quality: Floats = np.reciprocal(odds, out=odds)
    return quality
