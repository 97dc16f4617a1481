"""Made-up routes: clusters of unit vectors, and requests that lie in none of them."""

from __future__ import annotations

import numpy as np

from tiny_dancer.route_evidence import unit_rows
from tiny_dancer.route_fitting import OUT_OF_SCOPE, Examples, Utterances, fit_route_head
from tiny_dancer.route_wording import NO_WORDS

DIMENSION = 24


def clusters(routes, each, spread=0.5, seed=0, centres_seed=0):
    """Vectors around the centre of each route, grouped, and the route of each."""
    centres = np.random.default_rng(centres_seed).normal(size=(routes, DIMENSION))
    noise = np.random.default_rng(seed).normal(size=(routes * each, DIMENSION))
    rows = np.repeat(unit_rows(centres), each, axis=0) + spread * noise / np.sqrt(DIMENSION) * 2
    return unit_rows(rows), np.repeat(np.arange(routes), each)


def anywhere(count, seed=1):
    """Vectors that have nothing to do with the clusters."""
    return unit_rows(np.random.default_rng(seed).normal(size=(count, DIMENSION)))


def wordless(count):
    """The words of requests whose text is not known."""
    return (NO_WORDS,) * count


def without_text(vectors, routes):
    return Examples(vectors, routes, wordless(len(vectors)))


def fitted(routes=6, each=12, outside=40, **options):
    """A fit on clusters, and the utterances that it rests on."""
    vectors, owners = clusters(routes, each)
    utterances = Utterances(
        vectors, np.full(routes, each), np.ones(len(vectors), bool), wordless(len(vectors))
    )
    examples = without_text(vectors, owners)
    if outside:
        examples = examples.joined(
            without_text(anywhere(outside), np.full(outside, OUT_OF_SCOPE, np.intp))
        )
    arguments = {"acceptance": 0.95, "seed": 0, "progress": lambda message: None, **options}
    return fit_route_head(utterances, examples, no_examples(), **arguments), utterances


def no_examples():
    return without_text(np.zeros((0, DIMENSION), np.float32), np.zeros(0, np.intp))
