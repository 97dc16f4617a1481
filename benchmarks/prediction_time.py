"""What a prediction of the default predictor takes, and what training it takes.

    .dev/venv/bin/python benchmarks/prediction_time.py [--training]

Requests are made up: two kinds, each suiting half of the agents. A time is the least of many runs
of a few predictions each, in microseconds: the machine may be busy. ``--training`` also trains on
10,000 requests that nine agents answered, in seconds of one processor.
"""

from __future__ import annotations

import argparse
import os
import time
import timeit
from collections.abc import Callable

# Small matrices: a second thread only waits, and on a busy machine for long.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from numpy.typing import NDArray

from tiny_dancer.evaluation.results_table import results_table
from tiny_dancer.lexical_features import lexical_features, lexical_matrix
from tiny_dancer.predictors.default_predictor import default_predictor

AT_MOST_US = 60.0
TEXT = (
    "Finley went to the grocery store and bought rice, beans, and pork for use in their home. "
    "It took her 20 more minutes to cook pork than rice. How long did it take in all?"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--training", action="store_true", help="train on 10,000 × 9 as well")
    parser.add_argument("--quick", action="store_true", help="few runs, a smoke test")
    options = parser.parse_args()
    runs = 20 if options.quick else 2000
    header = [
        "agents",
        "dimension",
        "members",
        "prediction µs",
        "with lexical features µs",
        "at most",
    ]
    rows = [row(dimension, runs) for dimension in (384, 768)]
    print(results_table(header, rows))
    if options.training:
        vectors, words, quality = made_up(10_000, 384, 9)
        began = time.process_time()
        default_predictor().fit(vectors, words, quality)
        print(f"\ntraining on 10,000 × 9: {time.process_time() - began:.1f} s of one processor")


def row(dimension: int, runs: int) -> list[str]:
    """What a prediction takes at this dimension."""
    vectors, words, quality = made_up(1000, dimension, 100)
    predictor = default_predictor().fit(vectors, words, quality)
    vector, word = vectors[0], words[0]
    alone = least(lambda: predictor.predict(vector, word), runs)
    both = least(lambda: predictor.predict(vector, lexical_features(TEXT)), runs)
    kinds = ", ".join(member.kind for member in predictor.members_)
    return ["100", str(dimension), kinds, f"{alone:.1f}", f"{both:.1f}", f"{AT_MOST_US:g}"]


def made_up(
    rows: int, dimension: int, agents: int
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float64]]:
    """Vectors, lexical features and qualities."""
    generator = np.random.default_rng(0)
    kinds = generator.integers(2, size=rows)
    centres = generator.standard_normal((2, dimension))
    vectors = (centres[kinds] + generator.standard_normal((rows, dimension))).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    words = lexical_matrix([TEXT[: 40 + number % 100] for number in range(rows)])
    chance = np.where((np.arange(agents) % 2) == kinds[:, None], 0.8, 0.4)
    return vectors, words, (generator.random(chance.shape) < chance).astype(np.float64)


def least(call: Callable[[], object], runs: int) -> float:
    """Microseconds of one call, of the quickest of so many runs."""
    return min(timeit.repeat(call, number=5, repeat=runs)) / 5 * 1e6


if __name__ == "__main__":
    main()
