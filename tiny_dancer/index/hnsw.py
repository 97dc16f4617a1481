"""An hnswlib index: the nearest of many vectors without looking at all of them.

hnswlib is optional (it comes as source and needs a compiler); where it is missing the exact scan
takes over. Building takes seconds, so an index is built once, kept as bytes, and loaded.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tiny_dancer.embedding.native_libraries import quiet_native_load

Vectors = NDArray[np.float32]
Ids = NDArray[np.int64]

# Malkov and Yashunin (2018): links of a node, and breadth of the search while building.
LINKS = 16
BUILD_BREADTH = 200
SEED = 100
BUILD_CHUNK = 1000
# Breadth of a search, for each vector that is asked for, and at least.
BREADTH_FACTOR = 4
LEAST_BREADTH = 100
# Of what a graph takes beside its vectors, by vector.
BYTES_BESIDE_VECTOR = 200


def is_installed() -> bool:
    """Return whether hnswlib can be imported."""
    return importlib.util.find_spec("hnswlib") is not None


class HnswIndex:
    """A graph over vectors, of which some may have gone and others may have come since.

    Args:
        graph: a loaded hnswlib.Index; its labels are ids.
        ids: of the present vectors, shape [n].
        vectors: the present unit rows, float32 [n, dimension]; those that the graph does not
            know are looked at one by one.
    """

    def __init__(self, graph: Any, ids: Ids, vectors: Vectors) -> None:
        self.graph = graph
        self.vectors = vectors
        self._order: NDArray[np.intp] = np.argsort(ids)
        self._sorted_ids: Ids = ids[self._order]
        known = np.array(graph.get_ids_list(), np.int64)
        self.unknown: NDArray[np.intp] = np.flatnonzero(~np.isin(ids, known))
        self._count = len(known)
        self._unknown_vectors: Vectors = vectors[self.unknown]
        # Vectors that have gone still take places among the nearest.
        self._gone = int(self._count - np.isin(known, ids).sum())

    @property
    def stale_share(self) -> float:
        """Share of the vectors that have come or gone since the graph was built."""
        return (len(self.unknown) + self._gone) / max(1, self._count)

    def search(self, embedding: Vectors, most: int) -> tuple[NDArray[np.intp], Vectors]:
        """Return the positions of up to ``most`` near vectors, and their similarities."""
        rows, similarity = self._search_graph(embedding, min(most, self._count))
        if not len(self.unknown):
            return rows, similarity
        added = self._unknown_vectors @ embedding
        rows, similarity = np.append(rows, self.unknown), np.append(similarity, added)
        best = np.argsort(-similarity, kind="stable")[:most]
        return rows[best], similarity[best]

    def _search_graph(self, embedding: Vectors, most: int) -> tuple[NDArray[np.intp], Vectors]:
        self.graph.set_ef(min(self._count, max(LEAST_BREADTH, BREADTH_FACTOR * most)))
        try:
            labels, distances = self.graph.knn_query(embedding, k=most, num_threads=1)
        except RuntimeError:
            # The graph does not reach that many from its entry: only looking at all of them does.
            return np.arange(len(self.vectors)), self.vectors @ embedding
        ids = labels[0].astype(np.int64)
        slots = np.minimum(np.searchsorted(self._sorted_ids, ids), len(self._sorted_ids) - 1)
        present = self._sorted_ids[slots] == ids
        similarity: Vectors = 1.0 - distances[0]
        return self._order[slots[present]], similarity[present]


def build(ids: Ids, vectors: Vectors, progress: Callable[[int, int], None]) -> bytes:
    """Return a graph over unit vectors as bytes, for ``load``.

    Args:
        ids: of the vectors, at least 0 and distinct, shape [n].
        vectors: float32 [n, dimension].
        progress: called with how many are in, and how many there are.
    """
    graph = _new_graph(vectors.shape[1])
    graph.init_index(
        max_elements=len(ids), M=LINKS, ef_construction=BUILD_BREADTH, random_seed=SEED
    )
    for start in range(0, len(ids), BUILD_CHUNK):
        end = min(start + BUILD_CHUNK, len(ids))
        graph.add_items(vectors[start:end], ids[start:end], num_threads=1)
        progress(end, len(ids))
    with _scratch_file() as path:
        graph.save_index(path)
        with open(path, "rb") as file:
            return file.read()


def load(data: bytes, dimension: int) -> Any:
    """Return the graph that ``build`` made; the bytes must be known to be its own."""
    graph = _new_graph(dimension)
    with _scratch_file() as path:
        with open(path, "wb") as file:
            file.write(data)
        graph.load_index(path)
    return graph


def _new_graph(dimension: int) -> Any:
    with quiet_native_load():
        import hnswlib
    return hnswlib.Index(space="ip", dim=dimension)


@contextlib.contextmanager
def _scratch_file() -> Iterator[str]:
    """Yield a path for what hnswlib reads and writes only as files; in memory where that can be."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("hnsw")
        try:
            yield f"/proc/self/fd/{descriptor}"
        finally:
            os.close(descriptor)
        return
    with tempfile.TemporaryDirectory() as folder:
        yield os.path.join(folder, "hnsw")
