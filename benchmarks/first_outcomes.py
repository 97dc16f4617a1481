"""What routing gains or loses in its first outcomes, with every agent registered at its mean.

    .dev/venv/bin/python benchmarks/first_outcomes.py DATA_DIR --models-dir .dev/models

DATA_DIR holds llmrouter_9models.jsonl.gz. For each stream outcomes are drawn at random, a router
model is trained on them, and the agents that it chooses on all other requests are compared with
the best single agent. Vectors are cached outside the checkout. ``--quick`` runs on made-up requests
and needs neither data nor a model.

With ``--url "$(make -s url)"`` each stream goes through SQL, in a database of its own there:
ruvector_record_usage, ruvector_train_router(), and ruvector_batch_route on ``--decided`` of the
other requests, drawn at random. The same streams without a database are printed beside it.
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
from streamed_outcomes import Stream, decided_after
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
    """Texts, embeddings [n, d], lexical features [n, l] and the quality of each agent [n, a]."""

    prompts: list[str]
    embeddings: NDArray[np.float32]
    lexical: NDArray[np.float32]
    quality: Floats


def main() -> None:
    options = arguments()
    requests = made_up() if options.quick else public(options)
    agents, best = registry(requests.quality), int(requests.quality.mean(axis=0).argmax())
    print(f"{len(requests.quality)} requests, {len(agents)} agents, predictor {options.predictor}")
    print(
        "outcomes of each agent | requests | gain over best single, points | 95 % | worst | where"
    )
    for outcomes, shared in STREAMS:
        if options.outcomes and outcomes not in options.outcomes:
            continue
        if outcomes * (1 if shared else len(agents)) > len(requests.quality) // 2:
            continue
        inside, outside = [], []
        streams = list(draw(requests, outcomes, shared, options.streams))
        for stream in tqdm(streams, leave=False, disable=None):
            if options.url is not None:
                stream = some_of(stream, options.decided)
                inside.append(gain_in_database(options.url, requests, best, stream))
            outside.append(gain_of(requests, agents, best, stream, options.predictor))
        name = f"{outcomes:22} | {'shared' if shared else 'own':8}"
        for gains, where in ((inside, "in the database"), (outside, "without one")):
            if gains:
                print(f"{name} | {summary(100.0 * np.array(gains))} | {where}", flush=True)


def summary(gains: Floats) -> str:
    """Mean, 95 % interval of the mean, and the worst."""
    mean = float(gains.mean())
    error = 1.96 * float(np.std(gains, ddof=1)) / len(gains) ** 0.5 if len(gains) > 1 else np.nan
    return f"{mean:+.2f} | {mean - error:+.2f} to {mean + error:+.2f} | {gains.min():+.2f}"


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
    parser.add_argument("--url", help="of a server, to go through SQL; its role a superuser")
    parser.add_argument("--decided", type=int, default=1000, help="requests decided there")
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
    lexical = lexical_matrix(benchmark.prompts)
    return Requests(benchmark.prompts, embeddings, lexical, benchmark.quality)


def made_up() -> Requests:
    work = quick_works()[0]
    return Requests(work.benchmark.prompts, work.embeddings, work.lexical, work.benchmark.quality)


def registry(quality: Floats) -> AgentRegistry:
    """Every agent, registered at its mean quality."""
    means = quality.mean(axis=0).tolist()
    agents = [Agent(f"{n:02}", quality_score=mean, id=n) for n, mean in enumerate(means)]
    return AgentRegistry(agents, dimension=1)


def draw(requests: Requests, outcomes: int, shared: bool, streams: int) -> Iterator[Stream]:
    """Yield the requests and the agents of the outcomes of each stream, and the other requests."""
    count, agents = requests.quality.shape
    for seed in range(streams):
        order = np.random.default_rng(seed).permutation(count)
        drawn = order[: outcomes if shared else outcomes * agents]
        asked = np.repeat(drawn, agents) if shared else drawn
        yield Stream(asked, np.tile(np.arange(agents), outcomes), order[len(drawn) :])


def some_of(stream: Stream, count: int) -> Stream:
    """Leave some of the requests to be decided, in ascending order."""
    return stream._replace(others=np.sort(stream.others[:count]))


def gain_in_database(url: str, requests: Requests, best: int, stream: Stream) -> float:
    """Return what ``gain_of`` does, of what a database decides."""
    chosen = decided_after(url, requests.prompts, requests.embeddings, requests.quality, stream)
    quality = requests.quality[stream.others]
    return float((quality[np.arange(len(quality)), chosen] - quality[:, best]).mean())


def gain_of(
    requests: Requests,
    agents: AgentRegistry,
    best: int,
    stream: Stream,
    predictor: str,
) -> float:
    """Return the gain in mean quality over the best single agent, on the other requests."""
    asked, acting, others = stream
    if len(asked):
        model = trained_model(*requests[1:], asked, acting, predictor=predictor)
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
