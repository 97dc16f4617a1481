"""What speaks for a route in the spelling of a request, beside what its embedding says.

An embedding says what a text is about, and loses some of how it is put: names, codes, turns of
phrase. So each route has a weight for every run of 3 or 4 characters, hashed into buckets: how
much more often it occurs in the route's examples than in all of them, as a log ratio (multinomial
naive Bayes, of counts that are normalised by the length of the text: Rennie et al., ICML 2003).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tiny_dancer.embedding.gram_hashes import GramHashes

Buckets = NDArray[np.intp]
Routes = NDArray[np.intp]
Vectors = NDArray[np.float32]

BUCKETS = 4096
GRAM_LENGTHS = (3, 4)
MOST_ROUTES = 1000
"""With more routes the weights would take more than 16 MB in every backend: there are none."""
PRIOR = 40.0
"""So much of all examples is added to those of each route: as much as some five texts."""
NO_WORDS: Buckets = np.zeros(0, np.intp)
"""Of a request whose text is not known."""

_HASHES = GramHashes(GRAM_LENGTHS)


def word_buckets(text: str) -> Buckets:
    """Return the buckets of the runs in a text, each once, ascending; none of an empty one."""
    if not text or text.isspace():
        return NO_WORDS
    found = np.zeros(BUCKETS, bool)
    found[(_HASHES.of(text) % np.uint64(BUCKETS)).astype(np.intp)] = True
    return np.flatnonzero(found)


def wording_weights(words: Sequence[Buckets], routes: Routes, count: int) -> Vectors:
    """Learn the weights of routes.

    Args:
        words: of the examples, see ``word_buckets``, [n].
        routes: of the examples, [n].
        count: how many routes there are.

    Returns:
        [count, BUCKETS]; [count, 0] of more than MOST_ROUTES, or where no text is known.
    """
    lengths = np.array([len(buckets) for buckets in words], np.int64)
    if count > MOST_ROUTES or not lengths.any():
        return np.zeros((count, 0), np.float32)
    cells = np.repeat(routes * BUCKETS, lengths) + np.concatenate(words)
    parts = np.repeat(1.0 / np.sqrt(np.maximum(lengths, 1)), lengths)
    found = np.bincount(cells, parts, count * BUCKETS).reshape(count, BUCKETS)
    everywhere = found.sum(axis=0) + 1e-6
    everywhere /= everywhere.sum()
    shares = (found + PRIOR * everywhere) / (found.sum(axis=1, keepdims=True) + PRIOR)
    weights: Vectors = np.log(shares / everywhere).astype(np.float32)
    return weights


def wording_evidence(weights: Vectors, routes: Routes, words: Buckets) -> Vectors:
    """Return what the spelling of a request says for some routes, 0 where nothing is known.

    Args:
        weights: of all routes.
        routes: the rows wanted, [c].
        words: of the request.

    Returns:
        [c].
    """
    if not len(words) or not weights.shape[1]:
        return np.zeros(len(routes), np.float32)
    summed = weights[routes[:, None], words].sum(axis=1)
    summed *= np.float32(len(words) ** -0.5)
    evidence: Vectors = summed
    return evidence
