"""How routing starts from registered qualities and few outcomes: ``PriorBlend`` on streams."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from tiny_dancer.evaluation.accuracy import chosen_quality
from tiny_dancer.evaluation.benchmark_file import Benchmark
from tiny_dancer.predictors.default_predictor import predictor_by_name
from tiny_dancer.predictors.prior_blend import PriorBlend

Floats = NDArray[np.float64]
Vectors = NDArray[np.float32]

STAGES = ("no outcomes", "100 outcomes per agent", "300 shared requests")
_LEARNED = 1000
"""Requests of a stream from which outcomes are taken; the others test."""


def stream_leads(
    benchmark: Benchmark, embeddings: Vectors, lexical: Vectors, stream: int
) -> Iterator[float]:
    """Points over the best single agent on unseen requests, at each of ``STAGES``."""
    quality = benchmark.quality
    agents = quality.shape[1]
    order = np.random.default_rng(stream).permutation(len(quality))
    learned, test = order[:_LEARNED], order[_LEARNED:]
    prior = quality.mean(axis=0)
    single = float(quality[test, prior.argmax()].mean())
    one_each = np.eye(agents, dtype=bool)[np.arange(100 * agents) % agents]
    for mask in (
        np.zeros((0, agents), bool),
        one_each,
        np.ones((300, agents), bool),
    ):
        rows = learned[: len(mask)]
        expected = _expected(prior, mask, rows, test, quality, embeddings, lexical, stream)
        yield 100.0 * (float(chosen_quality(expected, quality[test]).mean()) - single)


def _expected(
    prior: Floats,
    mask: NDArray[np.bool_],
    rows: NDArray[np.int64],
    test: NDArray[np.int64],
    quality: Floats,
    embeddings: Vectors,
    lexical: Vectors,
    seed: int,
) -> Floats:
    blend = PriorBlend()
    counts = mask.sum(axis=0).astype(np.float64)
    means = (quality[rows] * mask).sum(axis=0) / np.maximum(counts, 1.0)
    level = blend.level(prior, means, counts)
    if not len(rows):
        return np.repeat(level[None], len(test), axis=0)
    predictor = predictor_by_name(seed=seed)
    predictor.fit(embeddings[rows], lexical[rows], quality[rows], mask)
    typical = predictor.predict_batch(embeddings[rows], lexical[rows]).mean(axis=0)
    predicted = predictor.predict_batch(embeddings[test], lexical[test])
    return blend.expected(level, predicted, typical, counts)
