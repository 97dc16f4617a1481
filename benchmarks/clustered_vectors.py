"""Made-up vectors that lie as embeddings of texts do, and how far that is true.

How many vectors are almost as near as the nearest decides how hard they are to search, so vectors
for a benchmark must not differ in that from real ones. Noise as wide in every direction does: in
768 dimensions all members of a cluster are then equally near. Embeddings spread along few
directions, and less along each next one.

    .dev/venv/bin/python benchmarks/clustered_vectors.py vectors.npy ...

prints the local intrinsic dimension of made-up vectors and of those in files, as many of each;
benchmarks/route_quality.py and routing_quality.py leave files of embedded texts in --cache.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]

CLUSTERS = 200
# Deviation along the i-th direction of a cluster is i to this power. Ten thousand vectors then are
# somewhat harder to search than as many utterances (CLINC150, Banking77), and a million harder than
# exam questions (MMLU), whose dimension does not grow with their number.
DECAY = -0.7
# So many are made at once.
CHUNK = 50_000
NEIGHBOURS = 20
QUERIES = 500


def clustered(count: int, dimension: int, seed: int = 0, decay: float = DECAY) -> Vectors:
    """Return unit vectors [count, dimension] around centres that no seed changes."""
    centres = np.random.default_rng(0).normal(size=(CLUSTERS, dimension)).astype(np.float32)
    spread = np.arange(1.0, dimension + 1) ** decay
    spread *= np.sqrt(dimension / np.sum(spread**2))
    generator = np.random.default_rng([seed, 1])
    vectors = np.empty((count, dimension), np.float32)
    for begin in range(0, count, CHUNK):
        part = vectors[begin : begin + CHUNK]
        part[:] = generator.standard_normal(part.shape, np.float32) * spread.astype(np.float32)
        part += centres[generator.integers(CLUSTERS, size=len(part))]
        part /= np.linalg.norm(part, axis=1, keepdims=True)
    return vectors


def nearest_distances(vectors: Vectors, seed: int = 0) -> NDArray[np.float64]:
    """Return how far the nearest others are from some of the vectors, [q, n], nearest first."""
    asked = np.random.default_rng(seed).permutation(len(vectors))[:QUERIES]
    cosines = (vectors[asked] @ vectors.T).astype(np.float64)
    cosines[np.arange(len(asked)), asked] = -1.0
    cosines.partition(len(vectors) - NEIGHBOURS, axis=1)
    nearest = np.sort(cosines[:, -NEIGHBOURS:], axis=1)[:, ::-1]
    return np.sqrt(np.maximum(2.0 - 2.0 * nearest, 1e-12))


def local_intrinsic_dimension(distances: NDArray[np.float64]) -> float:
    """Return the median over vectors of the maximum-likelihood estimate of Levina and Bickel.

    In so many dimensions would points spread evenly around a vector have neighbours at these
    distances ("Maximum Likelihood Estimation of Intrinsic Dimension", NIPS 2004).

    Args:
        distances: to the nearest neighbours of each vector, [q, n], ascending.
    """
    return float(np.median(-1.0 / np.mean(np.log(distances[:, :-1] / distances[:, -1:]), axis=1)))


def unit_rows(path: Path) -> Vectors:
    """Read the distinct vectors of a file, scaled to length 1."""
    vectors = np.unique(np.load(path).astype(np.float32), axis=0)
    scaled: Vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return scaled


def main() -> None:
    """Print a row per file, and one of made-up vectors of the same number beside each."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("files", nargs="*", type=Path, help="NumPy files of vectors, a row each")
    parser.add_argument("--dimension", type=int, default=768, help="of those made up")
    parser.add_argument(
        "--decay", type=float, default=DECAY, help=f"0 for even noise (default: {DECAY})"
    )
    options = parser.parse_args()
    print(f"{'vectors':44}{'rows':>9}{'nearest':>9}{'10th':>7}{'dimension':>11}")
    for path in options.files:
        real = unit_rows(path)
        print_row(path.name, real)
        print_row("  made up", clustered(len(real), options.dimension, decay=options.decay))
    print_row("made up", clustered(100_000, options.dimension, decay=options.decay))


def print_row(name: str, vectors: Vectors) -> None:
    distances = nearest_distances(vectors)
    first, tenth = np.median(distances[:, 0]), np.median(distances[:, 9])
    dimension = local_intrinsic_dimension(distances)
    print(f"{name:44}{len(vectors):>9,}{first:>9.2f}{tenth:>7.2f}{dimension:>11.1f}")


if __name__ == "__main__":
    main()
