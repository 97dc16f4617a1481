"""The parts of a decision without a server: how long each takes, and what it allocates.

    .dev/venv/bin/python benchmarks/core.py

A FastGRNN step stands beside the bare product of a matrix of the same size and a vector; every
figure is the median of repeated runs of this process, single-threaded as in a backend.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
import tracemalloc
from collections.abc import Callable

# Read when NumPy is imported; a backend does the same.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from figures import Figure, note
from numpy.typing import NDArray

from tiny_dancer.agents import Agent, AgentRegistry, CostModel
from tiny_dancer.classifier import ClassifierSettings, RouteClassifier
from tiny_dancer.constraints import NO_DEMANDS
from tiny_dancer.fastgrnn import FastGRNN, FastGRNNForm, FastGRNNWeights
from tiny_dancer.lexical_features import lexical_features, lexical_matrix
from tiny_dancer.predictors.default_predictor import default_predictor
from tiny_dancer.request import Request
from tiny_dancer.route_matching import RouteMatching
from tiny_dancer.router import Router
from tiny_dancer.semantic_routes import SemanticRoute, SemanticRoutes

DIMENSION = 768
HIDDEN = 64
Work = Callable[[], object]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--calls", type=int, default=500, help="in one run (default: 500)")
    parser.add_argument("--repeats", type=int, default=21, help="runs (default: 21)")
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    works = {
        "matrix product, 128 x 768": (product(rng), None),
        "FastGRNN step, 768 -> 64": (step(rng), 20.0),
        "classification, 768, 10 classes": (classification(rng), 40.0),
        "semantic match, 1,000 routes": (match(rng), None),
        "prediction, 100 agents, 384": (prediction(rng, 384), 60.0),
        "prediction, 100 agents, 768": (prediction(rng, DIMENSION), 60.0),
        "decision, 10 agents": (decision(rng, 10), None),
        "decision, 100 agents": (decision(rng, 100), None),
        "decision, 1,000 agents": (decision(rng, 1000), None),
        "decision, 10,000 agents": (decision(rng, 10_000), None),
    }
    medians = interleaved({name: work for name, (work, _) in works.items()}, options)
    print(f"{'':34}{'us':>9}{'target':>8}{'allocated KB':>14}")
    for name, (work, target) in works.items():
        wanted = "" if target is None else f"{target:.0f}"
        print(f"{name:34}{medians[name]:>9.1f}{wanted:>8}{allocated(work):>14.1f}")
    bare, ours = medians["matrix product, 128 x 768"], medians["FastGRNN step, 768 -> 64"]
    ratio = ours / bare
    for name, (work, target) in works.items():
        beside = f"allocates {allocated(work):.1f} KB"
        if name.startswith("FastGRNN"):
            beside += f"; the bare product {bare:.1f} us, {ratio:.2f} times (at most 2.5)"
        note(Figure(f"{name}, without a server", medians[name], "us", target, beside=beside))
    print(f"FastGRNN step: {ratio:.2f} times the bare product (target: at most 2.5)")


def interleaved(works: dict[str, Work], options: argparse.Namespace) -> dict[str, float]:
    """Return median microseconds of a call; the works take turns, so that noise hits them alike."""
    runs: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(options.repeats):
        for name, work in works.items():
            began = time.perf_counter()
            for _ in range(options.calls):
                work()
            runs[name].append((time.perf_counter() - began) / options.calls * 1e6)
    return {name: statistics.median(times) for name, times in runs.items()}


def allocated(work: Work) -> float:
    """Return the most kilobytes that a call holds beyond what was there before it."""
    work()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    tracemalloc.reset_peak()
    work()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return (peak - before) / 1024.0


def unit(rng: np.random.Generator, *shape: int) -> NDArray[np.float32]:
    vectors = rng.normal(size=shape)
    vectors /= np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors.astype(np.float32)


def product(rng: np.random.Generator) -> Work:
    # The step multiplies the input with the stacked matrices of gate and candidate.
    matrix, x = unit(rng, 2 * HIDDEN, DIMENSION), unit(rng, DIMENSION)
    return lambda: matrix @ x


def step(rng: np.random.Generator) -> Work:
    cell = FastGRNN(FastGRNNWeights.initial(FastGRNNForm(DIMENSION, HIDDEN)))
    x, h = unit(rng, DIMENSION), np.zeros(HIDDEN, np.float32)
    return lambda: cell.step(x, h)


def classification(rng: np.random.Generator) -> Work:
    rows, names = unit(rng, 200, DIMENSION), [f"class {i % 10}" for i in range(200)]
    fitted = RouteClassifier(ClassifierSettings()).fit(rows, names)
    return lambda: fitted.classify(rows[0])


def match(rng: np.random.Generator) -> Work:
    routes = [
        SemanticRoute(f"route {i}", f"agent {i % 10}", unit(rng, 1, DIMENSION)) for i in range(1000)
    ]
    table = SemanticRoutes.from_routes(routes, RouteMatching())
    wanted = routes[0].embeddings[0]
    return lambda: table.match_route(wanted, 3)


def prediction(rng: np.random.Generator, dimension: int) -> Work:
    texts = [f"request number {i} about topic {i % 17}" for i in range(300)]
    vectors, words = unit(rng, 300, dimension), lexical_matrix(texts)
    fitted = default_predictor().fit(vectors, words, rng.random((300, 100)))
    return lambda: fitted.predict(vectors[0], lexical_features(texts[0]))


def decision(rng: np.random.Generator, agents: int) -> Work:
    vectors = unit(rng, agents, DIMENSION)
    fleet = [
        Agent(
            f"agent-{i:05}",
            capabilities=(f"capability {i % 13}",),
            cost=CostModel(per_1k_tokens=1e-4 * (1 + i % 37)),
            avg_latency_ms=100.0 + 40.0 * (i % 53),
            quality_score=0.5 + 0.004 * (i % 100),
            embedding=vectors[i],
        )
        for i in range(agents)
    ]
    router, request = Router(AgentRegistry(fleet)), Request(13, unit(rng, DIMENSION))
    return lambda: router.route(request, NO_DEMANDS)


if __name__ == "__main__":
    main()
