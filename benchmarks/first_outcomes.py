"""What routing gains or loses in its first outcomes, with every agent registered at its mean.

    .dev/venv/bin/python benchmarks/first_outcomes.py DATA_DIR --models-dir .dev/models

DATA_DIR holds llmrouter_9models.jsonl.gz. For each stream outcomes are drawn at random, a router
model is trained on them, and the agents that it chooses on all other requests are compared with
the best single agent. Vectors are cached outside the checkout. ``--quick`` runs on made-up requests
and needs neither data nor a model.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

# Small matrices: a second thread only waits, and on a busy machine for long.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from learned_model import expected_quality, trained_model
from numpy.typing import NDArray
from routing_quality import FILES, cached_embeddings, quick_works
from tqdm import tqdm

from tiny_dancer.agents.agent import Agent
from tiny_dancer.agents.performance import AgentPerformance
from tiny_dancer.agents.registry import AgentRegistry
from tiny_dancer.embedding.provider import open_provider
from tiny_dancer.evaluation.accuracy import chosen_quality
from tiny_dancer.evaluation.benchmark_file import read_benchmark
from tiny_dancer.lexical_features import lexical_matrix
from tiny_dancer.predictors.default_predictor import DEFAULT
from tiny_dancer.settings import Settings

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]

# Outcomes of each agent, and whether all agents answered the same requests.
STREAMS = ((0, True), (30, True), (100, True), (100, False), (300, True))


class Requests(NamedTuple):
    """Embeddings [n, d], lexical features [n, l] and the quality of each agent [n, a]."""

    embeddings: NDArray[np.float32]
    lexical: NDArray[np.float32]
    quality: Floats


def main() -> None:
    options = arguments()
    requests = made_up() if options.quick else public(options)
    agents, best = registry(requests.quality), int(requests.quality.mean(axis=0).argmax())
    print(f"{len(requests.quality)} requests, {len(agents)} agents, predictor {options.predictor}")
    print("outcomes of each agent | requests | gain over best single, points | 95 % | worst")
    for outcomes, shared in STREAMS:
        if options.outcomes and outcomes not in options.outcomes:
            continue
        if outcomes * (1 if shared else len(agents)) > len(requests.quality) // 2:
            continue
        gains = [
            100.0 * gain_of(requests, agents, best, stream, options.predictor)
            for stream in tqdm(list(draw(requests, outcomes, shared, options.streams)), leave=False)
        ]
        error = 1.96 * float(np.std(gains, ddof=1)) / len(gains) ** 0.5
        print(
            f"{outcomes:22} | {'shared' if shared else 'own':8} | {np.mean(gains):+.2f} "
            f"| {np.mean(gains) - error:+.2f} to {np.mean(gains) + error:+.2f} "
            f"| {np.min(gains):+.2f}"
        )


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="?", type=Path, help="folder of the benchmark file")
    parser.add_argument("--models-dir", type=Path, default=Path(".dev/models"))
    parser.add_argument("--model", default="all-MiniLM-L6-v2")
    parser.add_argument(
        "--cache", type=Path, default=Path(tempfile.gettempdir()) / "tiny_dancer_vectors"
    )
    parser.add_argument("--outcomes", type=int, nargs="*", help="only these numbers of outcomes")
    parser.add_argument("--streams", type=int, default=20)
    parser.add_argument("--predictor", default=DEFAULT)
    parser.add_argument("--quick", action="store_true", help="made-up requests, a smoke test")
    options = parser.parse_args()
    if options.data is None and not options.quick:
        parser.error("name the folder of the benchmark file, or use --quick")
    if options.quick:
        options.streams, options.predictor = 2, "ridge"
    return options


def public(options: argparse.Namespace) -> Requests:
    benchmark = read_benchmark(options.data / FILES["nine"])
    provider = open_provider(options.models_dir / options.model)
    embeddings = cached_embeddings(benchmark.prompts, provider, options.cache)
    return Requests(embeddings, lexical_matrix(benchmark.prompts), benchmark.quality)


def made_up() -> Requests:
    work = quick_works()[0]
    return Requests(work.embeddings, work.lexical, work.benchmark.quality)


def registry(quality: Floats) -> AgentRegistry:
    """Every agent, registered at its mean quality."""
    means = quality.mean(axis=0).tolist()
    agents = [Agent(f"{n:02}", quality_score=mean, id=n) for n, mean in enumerate(means)]
    return AgentRegistry(agents, dimension=1)


def draw(
    requests: Requests, outcomes: int, shared: bool, streams: int
) -> Iterator[tuple[Rows, Rows, Rows]]:
    """Yield the requests and the agents of the outcomes of each stream, and the other requests."""
    count, agents = requests.quality.shape
    for seed in range(streams):
        order = np.random.default_rng(seed).permutation(count)
        drawn = order[: outcomes if shared else outcomes * agents]
        asked = np.repeat(drawn, agents) if shared else drawn
        yield asked, np.tile(np.arange(agents), outcomes), order[len(drawn) :]


def gain_of(
    requests: Requests,
    agents: AgentRegistry,
    best: int,
    stream: tuple[Rows, Rows, Rows],
    predictor: str,
) -> float:
    """Return the gain in mean quality over the best single agent, on the other requests."""
    asked, acting, others = stream
    if len(asked):
        model = trained_model(*requests, asked, acting, predictor=predictor)
        expected = expected_quality(
            model, agents, requests.embeddings[others], requests.lexical[others]
        )
    else:
        level = AgentPerformance(agents, Settings()).log_odds
        expected = np.broadcast_to(level, (len(others), len(agents)))
    quality = requests.quality[others]
    return float((chosen_quality(expected, quality) - quality[:, best]).mean())


if __name__ == "__main__":
    main()
