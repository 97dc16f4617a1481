"""What the models of a replay see of a request: its meaning in few numbers, and its wording."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tiny_dancer.predictors.observations import Observations
from tiny_dancer.predictors.request_inputs import RequestInputs
from tiny_dancer.replay.leading_directions import leading_directions

Matrix = NDArray[np.float32]

# Of an embedding.
DIRECTIONS = 48


def seen_requests(embeddings: Matrix, beside: Matrix, scale: float) -> Matrix:
    """Return one row for each request, [n, k].

    Args:
        embeddings: [n, d], n ≥ 1.
        beside: what else is known of each request, raw, [n, l].
        scale: deviation of its columns in what is returned; of the meaning the length is 1. The
            higher, the more they are trusted.
    """
    meaning = embeddings @ leading_directions(embeddings, DIRECTIONS)
    rows = Observations(
        meaning, beside, np.zeros((len(meaning), 1)), np.ones((len(meaning), 1), bool)
    )
    inputs = RequestInputs.fit(rows, embedding_scale=1.0, lexical_scale=scale)
    return inputs.transform(meaning, beside)
