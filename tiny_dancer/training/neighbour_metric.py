"""Learning where vectors lie near each other if they mean the same: a linear map of them.

Embeddings lie near each other for many reasons, and which of them matter differs from task to task.
The map is trained so that the neighbours of a row are of its class: the softmax of the cosines with
many other rows, itself left out, should fall on those of its class. Source: Goldberger et al.,
Neighbourhood Components Analysis, NIPS 2004; here with cosines, in batches, and with fewer
dimensions than the vectors have.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from tiny_dancer.training.adam import Adam

Vectors = NDArray[np.float32]
Classes = NDArray[np.intp]
# Called with how many steps are done; an exception in it ends the training.
Step = Callable[[int], None]

SHARPNESS = np.float32(20.0)
LEARNING_RATE = 2e-3
ROWS_AT_ONCE = 256
OTHERS = 1_500
"""With so many other rows, at most, each row of a batch is compared."""
_LEAST_SHARE = 1e-6


def fit_metric(
    inputs: Vectors,
    classes: Classes,
    *,
    start: Vectors,
    steps: int,
    seed: int,
    after: Step,
) -> Vectors:
    """Learn a map under which the rows of a class are near each other.

    Args:
        inputs: [n, d], n ≥ 2.
        classes: of the rows, [n].
        start: the map that is improved, [rank, d].
        steps: how many.
        seed: of the order of the rows.
        after: called after each step with how many are done.

    Returns:
        [rank, d].
    """
    metric = start.astype(np.float32)
    adam = Adam({"metric": metric}, beta2=0.99)
    generator = np.random.default_rng(seed)
    order, place = generator.permutation(len(inputs)), 0
    for step in range(steps):
        if place >= len(order):
            order, place = generator.permutation(len(inputs)), 0
        count = min(ROWS_AT_ONCE, len(order) - place)
        rows = np.roll(order, -place)[: count + OTHERS]
        # Down to nothing, so that the last batches do not decide.
        adam.learning_rate = LEARNING_RATE * (1.0 - step / steps)
        adam.step({"metric": _gradient(metric, inputs[rows], classes[rows], count)})
        place += count
        after(step + 1)
    return metric


def _gradient(metric: Vectors, rows: Vectors, classes: Classes, count: int) -> Vectors:
    """Return the gradient of the mean loss of the first rows, compared with all of them."""
    mapped = rows @ metric.T
    lengths = np.maximum(np.linalg.norm(mapped, axis=1, keepdims=True), np.float32(1e-12))
    mapped /= lengths
    shares = SHARPNESS * (mapped[:count] @ mapped.T)
    shares[np.arange(count), np.arange(count)] = -np.inf
    shares -= shares.max(axis=1, keepdims=True)
    np.exp(shares, out=shares)
    shares /= shares.sum(axis=1, keepdims=True)
    of_class = shares * (classes[:count, None] == classes)
    of_class /= np.maximum(of_class.sum(axis=1, keepdims=True), np.float32(_LEAST_SHARE))
    # How the loss changes with each cosine, then with each mapped row before its length was taken.
    by_cosine = (shares - of_class) * np.float32(SHARPNESS / count)
    by_row = by_cosine.T @ mapped[:count]
    by_row[:count] += by_cosine @ mapped
    by_row -= mapped * (mapped * by_row).sum(axis=1, keepdims=True)
    by_row /= lengths
    found: Vectors = by_row.T @ rows
    return found
