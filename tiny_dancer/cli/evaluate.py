"""``tiny-dancer evaluate``: how good routing is, on a benchmark file or on one's own history."""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tiny_dancer.cli import models_dir
from tiny_dancer.cli.tqdm_class import tqdm_class
from tiny_dancer.errors import InvalidArgumentError, MissingFileError

if TYPE_CHECKING:
    from tiny_dancer.evaluation.benchmark_file import Benchmark
    from tiny_dancer.evaluation.router_comparison import Judged, Prices, Requests

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

DEFAULT_MODEL = "all-MiniLM-L6-v2"
_MOST_OUTCOMES = 200_000
_OF_AGENTS = ("predictor", "requests", "pair", "prices", "picture")
"""Options that mean nothing where routes are evaluated."""
_OF_FILES = ("split", "requests", "prices")
"""Options that mean nothing for a database: costs are recorded there, and texts are not read."""


def add_parser(commands: Commands) -> None:
    """Add the command.

    Args:
        commands: of the parser above.
    """
    parser = commands.add_parser(
        "evaluate",
        help="compare routers on a benchmark file or on recorded outcomes, or judge routes",
        description="Compares routers with random choice, prompt length, the best single agent "
        "and the oracle. Each request is judged by routers that did not learn from it. FILE is "
        "JSON lines or CSV, gzipped or not: rows of prompt, weak and strong (RouteLLM), of prompt "
        "and scores (LLMRouter), of request, agent and quality, or a column per agent "
        "(RouterBench). A file of texts and their routes (CLINC150, Banking77) evaluates semantic "
        "routes, before and after a fit; an empty route, or oos, means none of them. Instead of a "
        "file, --url reads the outcomes recorded in a database.",
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("file", nargs="?", type=Path, metavar="FILE", help="benchmark file")
    source.add_argument("--url", metavar="URL", help="database whose recorded outcomes to use")
    parser.add_argument(
        "--predictor",
        action="append",
        metavar="NAME",
        help="predictor to evaluate; may be given several times (default: the default one)",
    )
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="(default: 3)")
    parser.add_argument(
        "--folds", type=int, default=5, metavar="N", help="parts held back in turn (default: 5)"
    )
    parser.add_argument(
        "--requests",
        type=int,
        metavar="N",
        help="of a file of agents: use so many requests, drawn at random",
    )
    parser.add_argument(
        "--split",
        metavar="NAME",
        help="of a file of routes with splits: judge by those with this in their name, such as "
        "test (default: all but those with train in it, which are learned from)",
    )
    parser.add_argument(
        "--pair",
        nargs=2,
        metavar=("WEAK", "STRONG"),
        help="agents whose gap APGR and CPT are of (default: both, where there are two)",
    )
    parser.add_argument(
        "--prices",
        type=Path,
        metavar="JSON",
        help="for a file: dollars of a million tokens, "
        '{agent: {"input_per_1m": …, "output_per_1m": …}}',
    )
    parser.add_argument(
        "--output-tokens",
        type=float,
        default=200.0,
        metavar="N",
        help="of an answer, for --prices (default: 200)",
    )
    parser.add_argument(
        "--picture",
        type=Path,
        metavar="DIR",
        help="write the cost-quality picture there, as cost-quality.png and .html",
    )
    models_dir.add_arguments(parser)
    parser.add_argument(
        "--model",
        default=DEFAULT_MODEL,
        metavar="NAME",
        help=f"embedding model for a file (default: {DEFAULT_MODEL})",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Read, learn, judge, print and draw.

    Args:
        arguments: as parsed.
    """
    tqdm = tqdm_class()
    for name in ("seeds", "folds"):
        if getattr(arguments, name) < 1:
            raise InvalidArgumentError(f"--{name} must be at least 1")
    if not 0.0 <= arguments.output_tokens < math.inf:
        raise InvalidArgumentError(
            f"--output-tokens must be a number from 0 on, not {arguments.output_tokens}"
        )
    from tiny_dancer.embedding.native_libraries import quiet_native_load

    # NumPy on one thread: on matrices as small as these, several would wait for each other.
    with quiet_native_load():
        from tiny_dancer.cli.evaluate_routes import evaluate_routes
        from tiny_dancer.evaluation.route_file import read_labelled_requests
        from tiny_dancer.evaluation.router_comparison import out_of_fold_predictions
        from tiny_dancer.predictors.default_predictor import DEFAULT, predictor_by_name
        from tiny_dancer.predictors.predictor import QualityPredictor

    if arguments.file is not None:
        labelled = read_labelled_requests(arguments.file, arguments.split)
        if labelled is not None:
            _refuse(arguments, _OF_AGENTS, "a file of requests and routes")
            evaluate_routes(arguments, labelled, tqdm)
            return
    if arguments.url is None:
        _refuse(arguments, ("split",), "a file of agents and qualities")
    else:
        _refuse(arguments, _OF_FILES, "--url")
    names = list(dict.fromkeys(arguments.predictor or [DEFAULT]))
    for name in names:
        predictor_by_name(name)
    if arguments.picture is not None:
        _make_folder(arguments.picture)
    requests = _read(arguments, tqdm)
    prices = _prices(arguments, requests.benchmark)

    def maker(name: str) -> Any:
        def make(seed: int) -> QualityPredictor:
            return predictor_by_name(name, seed)

        return make

    def shown(steps: list[Any]) -> Iterator[Any]:
        yield from tqdm(steps, desc="learning", unit="part", leave=False, disable=None)

    predictions = out_of_fold_predictions(
        requests,
        {_shown_name(name, DEFAULT): maker(name) for name in names},
        seeds=arguments.seeds,
        parts=arguments.folds,
        steps=shown,
    )
    _report(arguments, requests, prices, predictions, tqdm)


def _refuse(arguments: argparse.Namespace, options: Sequence[str], source: str) -> None:
    """Refuse options that mean nothing for what is evaluated."""
    for name in options:
        if getattr(arguments, name) is not None:
            raise InvalidArgumentError(f"--{name} means nothing for {source}")


def _make_folder(directory: Path) -> None:
    """Make the folder of the picture before anything is waited for."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        reason = None if os.access(directory, os.W_OK) else "Permission denied"
    except OSError as error:
        reason = error.strerror
    if reason is not None:
        raise MissingFileError(
            f"folder {directory} cannot be written to: {reason}",
            hint="Give --picture a folder, or the name of one that can be made.",
        )


def _shown_name(name: str, default: str) -> str:
    return f"{name} (default)" if name == default else name


def _read(arguments: argparse.Namespace, tqdm: Any) -> Requests:
    """The requests of the file, embedded, or of the database."""
    import numpy as np

    from tiny_dancer.embedding.model_folder import find_model
    from tiny_dancer.embedding.provider import open_provider
    from tiny_dancer.evaluation.benchmark_file import read_benchmark
    from tiny_dancer.evaluation.router_comparison import Requests
    from tiny_dancer.lexical_features import lexical_matrix

    if arguments.url is not None:
        from tiny_dancer.cli.evaluate_history import read_history

        requests, left_out = read_history(arguments.url, _MOST_OUTCOMES)
        if left_out:
            print(f"{left_out} recorded outcomes without the vector of their request are left out")
        return requests
    benchmark = read_benchmark(arguments.file)
    if arguments.requests is not None:
        benchmark = _drawn(benchmark, arguments.requests)
    directory = models_dir.models_dir(arguments)
    provider = open_provider(find_model(directory, arguments.model))
    counted = tqdm(benchmark.prompts, desc="embedding", unit="text", leave=False, disable=None)
    vectors = np.array([provider.embed(text) for text in counted], dtype=np.float32)
    return Requests(benchmark, vectors, lexical_matrix(benchmark.prompts))


def _drawn(benchmark: Benchmark, count: int) -> Benchmark:
    """So many of the requests, the same ones each time."""
    import numpy as np

    from tiny_dancer.evaluation.benchmark_file import Benchmark

    if count < 1:
        raise InvalidArgumentError(f"--requests must be at least 1, not {count}")
    rows = np.sort(np.random.default_rng(0).permutation(len(benchmark.prompts))[:count])
    return Benchmark(
        [benchmark.prompts[row] for row in rows],
        benchmark.agents,
        benchmark.quality[rows],
        benchmark.mask[rows],
        None if benchmark.costs is None else benchmark.costs[rows],
        None if benchmark.groups is None else [benchmark.groups[row] for row in rows],
    )


def _prices(arguments: argparse.Namespace, benchmark: Benchmark) -> Prices | None:
    """What requests cost with each agent: as the file says, by prices, or a call counts one."""
    import numpy as np

    from tiny_dancer.evaluation.agent_prices import costs_by_request, read_prices
    from tiny_dancer.evaluation.router_comparison import Prices

    dollars = "dollars per 1,000 requests"
    if arguments.prices is not None:
        listed = read_prices(arguments.prices)
        costs = costs_by_request(
            benchmark.prompts, benchmark.agents, listed, arguments.output_tokens
        )
        return Prices(1000.0 * costs, dollars)
    if benchmark.costs is not None:
        known = ~np.isnan(benchmark.costs)
        if known.any(axis=0).all():
            total = np.where(known, benchmark.costs, 0.0).sum(axis=0)
            means = total / known.sum(axis=0)
            return Prices(1000.0 * np.where(known, benchmark.costs, means), dollars)
    pair = _pair(arguments, benchmark)
    if pair is None or len(benchmark.agents) > 2:
        return None
    costs = np.zeros(benchmark.quality.shape)
    costs[:, pair[1]] = 1.0
    return Prices(costs, f"share of requests sent to {benchmark.agents[pair[1]]}")


def _pair(arguments: argparse.Namespace, benchmark: Benchmark) -> tuple[int, int] | None:
    """Columns of the weak and the strong agent."""
    import numpy as np

    agents = benchmark.agents
    if arguments.pair is not None:
        unknown = [name for name in arguments.pair if name not in agents]
        if unknown or arguments.pair[0] == arguments.pair[1]:
            raise InvalidArgumentError(
                f"--pair must name two of {', '.join(agents)}, not {' and '.join(arguments.pair)}"
            )
        return agents.index(arguments.pair[0]), agents.index(arguments.pair[1])
    if len(agents) != 2:
        return None
    # Of requests drawn at random an agent may have had none.
    counts = np.maximum(benchmark.mask.sum(axis=0), 1)
    first, second = benchmark.quality.sum(axis=0) / counts
    return (0, 1) if first <= second else (1, 0)


def _report(
    arguments: argparse.Namespace,
    requests: Requests,
    prices: Prices | None,
    predictions: dict[str, list[Any]],
    tqdm: Any,
) -> None:
    """Print the tables, and draw."""
    from tiny_dancer.evaluation.comparison_report import (
        LEGEND,
        comparison_table,
        foresight_table,
    )
    from tiny_dancer.evaluation.results_table import results_table
    from tiny_dancer.evaluation.router_comparison import BASELINES, foresight, judge

    benchmark, complete = requests.benchmark, requests.complete()
    print(
        f"{len(benchmark.prompts)} requests, {len(benchmark.agents)} agents, "
        f"{int(benchmark.mask.sum())} outcomes; "
        f"seeds: {arguments.seeds}, parts: {arguments.folds}\n"
    )
    learned = {name: p for name, p in predictions.items() if name not in BASELINES}
    foreseen = {name: foresight(p, benchmark) for name, p in learned.items()}
    quality = benchmark.quality[complete]
    taken = None if prices is None else prices.taken(complete)
    judged: dict[str, Judged] = {}
    if len(complete) == 0:
        print("No request was tried with every agent, so no other choice can be judged here;")
        print("ruvector_replay() estimates it from decisions recorded with exploration.\n")
    else:
        pair = _pair(arguments, benchmark)
        for name in tqdm(predictions, desc="judging", unit="router", leave=False, disable=None):
            own = [p[complete] for p in predictions[name]]
            judged[name] = judge(own, quality, taken, pair)
        table = comparison_table(judged, quality)
        print(f"Judged on {len(complete)} requests that every agent was tried on:\n")
        print(results_table(table[0], table[1:]))
        print(f"\n{LEGEND}\n")
    table = foresight_table(foreseen)
    print("How well outcomes were foreseen:\n")
    print(results_table(table[0], table[1:]))
    if arguments.picture is not None:
        if len(complete) == 0:
            raise InvalidArgumentError("there is no picture where no choice can be judged")
        _draw(arguments, judged, benchmark, quality, taken)


def _draw(
    arguments: argparse.Namespace,
    judged: dict[str, Judged],
    benchmark: Benchmark,
    quality: Any,
    prices: Prices | None,
) -> None:
    from tiny_dancer.evaluation.comparison_report import comparison_picture

    if prices is None:
        raise InvalidArgumentError(
            "there is no picture of cost and quality without costs",
            hint="Give --prices, or a file with costs.",
        )
    name = "recorded outcomes" if arguments.file is None else arguments.file.name.split(".")[0]
    title = f"Cost and quality: {name}"
    picture = comparison_picture(title, judged, benchmark, quality, prices)
    directory: Path = arguments.picture
    page = directory / "cost-quality.html"
    page.write_text(picture.to_html(), encoding="utf-8")
    print(f"\nwrote {page}")
    try:
        picture.write_png(directory / "cost-quality.png")
    except MissingFileError as error:
        # The page shows the same, so that nothing is lost that was waited for.
        print(f"no PNG is written: {error.message}\nhint: {error.hint}", file=sys.stderr)
    else:
        print(f"wrote {directory / 'cost-quality.png'}")
