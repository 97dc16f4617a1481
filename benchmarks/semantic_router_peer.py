"""How long semantic-router's local index takes for a match, in an interpreter of its own.

    PEER/bin/python benchmarks/semantic_router_peer.py VECTORS.npy

PEER is a virtual environment with what ``peer_requirements.txt`` names. VECTORS.npy holds unit rows
of float32; the last one is the request. Prints microseconds of a match, median of repeated runs.
"""

from __future__ import annotations

import os
import statistics
import sys
import time

# One thread, as our side has: on a busy machine a second one only waits.
os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy as np
from semantic_router.index.local import LocalIndex

CALLS, REPEATS, TOP_K = 50, 11, 3


def main() -> None:
    """Build the index, match, print."""
    vectors = np.load(sys.argv[1]).astype(np.float64)
    routes, request = vectors[:-1], vectors[-1]
    names = [f"route-{i}" for i in range(len(routes))]
    index = LocalIndex()
    index.add(routes.tolist(), names, names)
    times = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        for _ in range(CALLS):
            index.query(request, top_k=TOP_K)
        times.append((time.perf_counter() - began) / CALLS * 1e6)
    print(f"{statistics.median(times):.1f}")


if __name__ == "__main__":
    main()
