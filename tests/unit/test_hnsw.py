"""The hnswlib index beside the exact scan; skipped where the extra is not installed."""

from __future__ import annotations

import numpy as np
import pytest
from test_route_matching import clustered, many_routes

from tiny_dancer.index import hnsw
from tiny_dancer.semantic_routes import SemanticRoutes

pytest.importorskip("hnswlib", reason="the extra routing-semantic is not installed")


def built(vectors, ids):
    told = []
    graph = hnsw.build(ids, vectors, lambda done, total: told.append((done, total)))
    assert told[-1] == (len(ids), len(ids))
    return graph


def test_recall_beside_the_exact_scan():
    vectors = clustered(5000, dimension=64)
    ids = np.arange(5000) * 7 + 11
    index = hnsw.HnswIndex(hnsw.load(built(vectors, ids), 64), ids, vectors)
    hits = 0
    for request in clustered(100, dimension=64, seed=5):
        found, similarity = index.search(request, 10)
        exact = np.argsort(-(vectors @ request))[:10]
        hits += len(set(found.tolist()) & set(exact.tolist()))
        assert similarity == pytest.approx(vectors[found] @ request, abs=1e-5)
    assert hits / 1000 >= 0.95


def test_vectors_that_came_and_went_since_it_was_built():
    vectors = clustered(1200)
    ids = np.arange(1200)
    graph = built(vectors[:1000], ids[:1000])
    kept = np.r_[100:1200]
    index = hnsw.HnswIndex(hnsw.load(graph, 32), ids[kept], vectors[kept])
    assert index.stale_share == pytest.approx(0.3)
    for request in (vectors[1150], vectors[500]):
        found, similarity = index.search(request, 5)
        assert similarity[0] == pytest.approx(1.0, abs=1e-5)
        assert found[0] == np.argmax(vectors[kept] @ request)
    gone, similarity = index.search(vectors[5], 5)
    assert not np.isin(kept[gone], np.arange(100)).any()
    assert similarity.max() < 0.9999


def test_routes_by_index_are_the_routes_by_scan():
    plain = SemanticRoutes.from_routes(many_routes())
    ids = np.arange(len(plain.vectors))
    graph = hnsw.load(built(plain.vectors, ids), 32)
    index = hnsw.HnswIndex(graph, ids, plain.vectors)
    indexed = SemanticRoutes(plain.columns, plain.vectors, plain.matching, index)
    same = 0
    for request in clustered(100, seed=9):
        expected = [m.name for m in plain.match_route(request, 3)]
        same += [m.name for m in indexed.match_route(request, 3)] == expected
    assert same >= 95


def test_the_same_vectors_give_the_same_bytes():
    vectors, ids = clustered(500), np.arange(500)
    assert built(vectors, ids) == built(vectors, ids)


def test_bytes_of_something_else_are_refused():
    with pytest.raises(RuntimeError):
        hnsw.load(b"not a graph", 32)
