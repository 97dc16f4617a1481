"""How good routing is: our predictors beside simple baselines, on public benchmark files.

    .dev/venv/bin/python benchmarks/routing_quality.py DATA_DIR --models-dir .dev/models

DATA_DIR holds routellm_mmlu.jsonl.gz, routellm_gsm8k.jsonl.gz and llmrouter_9models.jsonl.gz; a
file that is missing is named and left out. Vectors are cached outside the checkout, for embedding
takes minutes, and so are predictions, by the source of the predictors: a run that was stopped goes
on where it was. Every figure comes from rows that the predictor did not see; equal
prompts are never split. ``--quick`` runs on made-up requests and needs neither data nor a model.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

# Small matrices: a second thread only waits, and on a busy machine for long.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from numpy.typing import NDArray
from routing_targets import (
    CALIBRATION_AIM,
    CALIBRATION_AT_MOST,
    TARGETS,
    Target,
)
from sentence_sequences import SentenceFastGRNN, sentence_vectors
from tqdm import tqdm

import tiny_dancer
from tiny_dancer.embedding.hashing import HashingProvider
from tiny_dancer.embedding.provider import EmbeddingProvider, open_provider
from tiny_dancer.evaluation.accuracy import chosen_quality, oracle_quality
from tiny_dancer.evaluation.baselines import (
    best_single_predictions,
    prompt_length_predictions,
    random_predictions,
)
from tiny_dancer.evaluation.benchmark_file import Benchmark, read_benchmark
from tiny_dancer.evaluation.bootstrap import Interval, bootstrap
from tiny_dancer.evaluation.calibration import calibration
from tiny_dancer.evaluation.performance_gap import apgr
from tiny_dancer.evaluation.results_table import results_table
from tiny_dancer.lexical_features import lexical_matrix
from tiny_dancer.predictors.default_predictor import DEFAULT, predictor_by_name
from tiny_dancer.predictors.predictor import QualityPredictor
from tiny_dancer.predictors.ridge_heads import RidgeHeads
from tiny_dancer.training.held_back import folds

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]

FILES = {
    "mmlu": "routellm_mmlu.jsonl.gz",
    "gsm8k": "routellm_gsm8k.jsonl.gz",
    "nine": "llmrouter_9models.jsonl.gz",
}
PREDICTORS: dict[str, Callable[[int], QualityPredictor]] = {
    "ridge + lexical": lambda seed: RidgeHeads(),
    "kNN-100": lambda seed: predictor_by_name("nearest", seed),
    "kernel": lambda seed: predictor_by_name("kernel", seed),
    "logistic": lambda seed: predictor_by_name("logistic", seed),
    "clusters": lambda seed: predictor_by_name("clusters", seed),
    "MLP": lambda seed: predictor_by_name("mlp", seed),
    "FastGRNN": lambda seed: predictor_by_name("fastgrnn", seed),
}
SENTENCES = "FastGRNN, a step per sentence"
REFERENCES = ("prompt length", "best single", "ridge", "ridge + lexical")
LEARNING = ("predictors", "training", "lexical_features.py", "lexical_words.py", "fastgrnn.py")


@dataclass(frozen=True, slots=True, eq=False)
class Work:
    """One row of the table: requests and how they are split, per seed."""

    name: str
    benchmark: Benchmark
    embeddings: NDArray[np.float32]
    lexical: NDArray[np.float32]
    splits: Callable[[int], Iterator[tuple[Rows, Rows]]]
    paired: bool
    cache: Path | None = None
    sentences: tuple[NDArray[np.float32], Rows] | None = None


@dataclass(slots=True, eq=False)
class Judged:
    """Pooled test predictions of each router, seed after seed."""

    rows: list[Rows] = field(default_factory=list)
    predictions: dict[str, list[Floats]] = field(default_factory=dict)
    seconds: dict[str, list[float]] = field(default_factory=dict)


def main() -> None:
    options = arguments()
    works = quick_works() if options.quick else public_works(options)
    summary: list[list[str]] = []
    for work in works:
        judged = judge(work, options.seeds, [] if options.only_default else list(PREDICTORS))
        summary += report(work, judged)
    print("\n## What was asked, and what is reached\n")
    print(results_table(["work", "measured", "at least", "aim", "verdict"], summary))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="?", type=Path, help="folder of the benchmark files")
    parser.add_argument("--models-dir", type=Path, default=Path(".dev/models"))
    parser.add_argument("--model", default="all-MiniLM-L6-v2")
    parser.add_argument(
        "--cache", type=Path, default=Path(tempfile.gettempdir()) / "tiny_dancer_vectors"
    )
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--works", nargs="*", help="names of works to run, by their beginning")
    parser.add_argument("--only-default", action="store_true", help="leave single predictors out")
    parser.add_argument("--quick", action="store_true", help="made-up requests, a smoke test")
    options = parser.parse_args()
    if options.data is None and not options.quick:
        parser.error("name the folder of the benchmark files, or use --quick")
    if options.quick:
        options.seeds, options.only_default = 1, True
    return options


def public_works(options: argparse.Namespace) -> Iterator[Work]:
    """The works whose files are there."""
    provider = None
    for key, file in FILES.items():
        path = options.data / file
        wanted = [work for work in WORKS[key] if chosen(work[0], options)]
        if not wanted:
            continue
        if not path.exists():
            print(f"{file} is not in {options.data}: left out")
            continue
        benchmark = read_benchmark(path)
        provider = provider or open_provider(options.models_dir / options.model)
        embeddings = cached_embeddings(benchmark.prompts, provider, options.cache)
        lexical = lexical_matrix(benchmark.prompts)
        for name, splits, paired in wanted:
            yield Work(
                name,
                benchmark,
                embeddings,
                lexical,
                splits(benchmark),
                paired,
                options.cache,
                read_sentences(benchmark, embeddings, provider, options)
                if key == "gsm8k"
                else None,
            )


def chosen(name: str, options: argparse.Namespace) -> bool:
    """Whether a work is to be run."""
    return not options.works or name.startswith(tuple(options.works))


def read_sentences(
    benchmark: Benchmark,
    embeddings: NDArray[np.float32],
    provider: EmbeddingProvider,
    options: argparse.Namespace,
) -> tuple[NDArray[np.float32], Rows] | None:
    """Vectors of the sentences, for a work small enough to embed them all."""
    if options.only_default:
        return None
    path = options.cache / f"{digest(provider.name, *benchmark.prompts)}.sentences.npz"
    if not path.exists():
        values, lengths = sentence_vectors(benchmark.prompts, embeddings, provider)
        np.savez(path, values=values, lengths=lengths)
    with np.load(path, allow_pickle=False) as held:
        return held["values"], held["lengths"]


def digest(*parts: str) -> str:
    """A name for what follows from these parts."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def cached_embeddings(
    prompts: list[str], provider: EmbeddingProvider, cache: Path
) -> NDArray[np.float32]:
    """Embed, or read what was embedded before by the same model from the same prompts."""
    path = cache / f"{digest(provider.name, *prompts)}.npy"
    if path.exists():
        return np.load(path, allow_pickle=False)
    vectors = np.stack([provider.embed(text) for text in tqdm(prompts, "embedding", unit="text")])
    cache.mkdir(parents=True, exist_ok=True)
    np.save(path, vectors)
    return vectors


def quick_works() -> list[Work]:
    """Requests of two kinds, of which each suits another agent."""
    generator = np.random.default_rng(0)
    kinds = generator.integers(2, size=240)
    words = (("sum", "number", "count"), ("poem", "story", "song"))
    prompts = [f"{' '.join(generator.choice(words[k], 5))} {i}" for i, k in enumerate(kinds)]
    chance = np.where(kinds[:, None] == [0, 1], 0.5, 0.8)
    quality = (generator.random((240, 2)) < chance).astype(np.float64)
    benchmark = Benchmark(prompts, ["weak", "strong"], quality, np.ones((240, 2), bool), None, None)
    quality[:, 1] = np.maximum(quality[:, 1], kinds == 1)
    embeddings = HashingProvider().embed_batch(prompts)
    splits = five_folds(benchmark)
    return [Work("made-up", benchmark, embeddings, lexical_matrix(prompts), splits, True)]


Splits = Callable[[int], Iterator[tuple[Rows, Rows]]]


def twins(benchmark: Benchmark) -> Rows:
    """Numbers that prompts of the same words share."""
    numbers: dict[str, int] = {}
    keys = (" ".join(prompt.lower().split()) for prompt in benchmark.prompts)
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], dtype=np.int64)


def five_folds(benchmark: Benchmark) -> Splits:
    """Every row is tested once by a predictor that learned from the other four parts."""
    return lambda seed: folded(twins(benchmark), seed)


def unseen_subjects(benchmark: Benchmark) -> Splits:
    """The same with whole subjects (and the twins of their prompts) held back."""
    groups = np.unique(np.array(benchmark.groups), return_inverse=True)[1].astype(np.int64)
    same = twins(benchmark)

    def splits(seed: int) -> Iterator[tuple[Rows, Rows]]:
        for training, test in folded(groups, seed):
            yield training[~np.isin(same[training], same[test])], test

    return splits


def labels(count: int | None) -> Callable[[Benchmark], Splits]:
    """Learn from so many rows, or 80 % of them; test on the rest."""

    def of(benchmark: Benchmark) -> Splits:
        same = twins(benchmark)

        def splits(seed: int) -> Iterator[tuple[Rows, Rows]]:
            order = np.random.default_rng(seed).permutation(int(same.max()) + 1)
            size = np.cumsum(np.bincount(same)[order])
            learned = order[size <= (0.8 * len(same) if count is None else count)]
            inside = np.isin(same, learned)
            yield np.flatnonzero(inside), np.flatnonzero(~inside)

        return splits

    return of


def folded(groups: Rows, seed: int) -> Iterator[tuple[Rows, Rows]]:
    for test in folds(groups, np.zeros(len(groups), dtype=np.int64), 5, seed):
        yield np.setdiff1d(np.arange(len(groups)), test), test


WORKS: dict[str, list[tuple[str, Callable[[Benchmark], Splits], bool]]] = {
    "mmlu": [
        ("MMLU, 1,500 labels", labels(1500), True),
        ("MMLU, 80 % as labels", labels(None), True),
        ("MMLU, unseen subjects", unseen_subjects, True),
    ],
    "gsm8k": [("GSM8K, 5-fold", five_folds, True)],
    "nine": [("nine models, 5-fold", five_folds, False)],
}


def judge(work: Work, seeds: int, singles: list[str]) -> Judged:
    """Predict every test row of every split."""
    judged = Judged()
    parts = [(seed, *split) for seed in range(seeds) for split in work.splits(seed)]
    for seed, training, test in tqdm(parts, work.name, unit="split"):
        judged.rows.append(test)
        for name, predictions in split_predictions(work, seed, training, test, singles, judged):
            judged.predictions.setdefault(name, []).append(predictions)
    return judged


def split_predictions(
    work: Work, seed: int, training: Rows, test: Rows, singles: list[str], judged: Judged
) -> Iterator[tuple[str, Floats]]:
    quality, prompts = work.benchmark.quality, work.benchmark.prompts
    agents = quality.shape[1]
    yield "random", random_predictions(len(test), agents, seed)
    yield "best single", best_single_predictions(quality[training], len(test))
    yield (
        "prompt length",
        prompt_length_predictions(
            [prompts[row] for row in test], [prompts[row] for row in training], quality[training]
        ),
    )
    names = ["ridge", "ridge + lexical", *singles, "default"]
    if work.sentences is not None:
        names.insert(-1, SENTENCES)
    for name in dict.fromkeys(names):
        predictions, seconds = remembered(work, name, seed, training, test)
        judged.seconds.setdefault(name, []).append(seconds)
        yield name, predictions


def remembered(
    work: Work, name: str, seed: int, training: Rows, test: Rows
) -> tuple[Floats, float]:
    """What a router predicts and how long it learned, from the cache where it is there."""
    if work.cache is None:
        return learned(work, name, seed, training, test)
    rows = (training.tobytes().hex(), test.tobytes().hex())
    content = digest(learning_source(), name, str(seed), *work.benchmark.prompts, *rows)
    path = work.cache / f"{content}.predictions.npz"
    if not path.exists():
        predictions, seconds = learned(work, name, seed, training, test)
        np.savez(path, predictions=predictions, seconds=seconds)
    with np.load(path, allow_pickle=False) as held:
        return held["predictions"], float(held["seconds"])


@functools.cache
def learning_source() -> str:
    """The source of all that predictions follow from."""
    package = Path(tiny_dancer.__file__).parent
    files = [Path(__file__).with_name("sentence_sequences.py")]
    for name in LEARNING:
        path = package / name
        files += [path] if path.is_file() else sorted(path.glob("*.py"))
    return "\0".join(file.read_text(encoding="utf-8") for file in files)


def learned(work: Work, name: str, seed: int, training: Rows, test: Rows) -> tuple[Floats, float]:
    """Fit a router and predict; seconds are of the processor, on one thread."""
    quality, mask = work.benchmark.quality[training], work.benchmark.mask[training]
    began = time.process_time()
    if name == SENTENCES and work.sentences is not None:
        values, lengths = work.sentences
        reader = SentenceFastGRNN(seed=seed)
        reader.fit(values[training], lengths[training], work.lexical[training], quality)
        spent = time.process_time() - began
        return reader.predict_batch(values[test], lengths[test], work.lexical[test]), spent
    lexical = work.lexical[:, :0] if name == "ridge" else work.lexical
    if name == "ridge":
        predictor: QualityPredictor = RidgeHeads()
    else:
        make = PREDICTORS.get(name, lambda s: predictor_by_name(DEFAULT, s))
        predictor = make(seed)
    predictor.fit(work.embeddings[training], lexical[training], quality, mask)
    spent = time.process_time() - began
    return predictor.predict_batch(work.embeddings[test], lexical[test]), spent


def report(work: Work, judged: Judged) -> list[list[str]]:
    """Print the table of one work; returns its rows of the summary."""
    quality = work.benchmark.quality
    per_seed = by_seed(judged)
    header = ["router", "APGR" if work.paired else "accuracy %", "± seeds", "train s"]
    table = []
    measured = {}
    for name in judged.predictions:
        figures = [figure(work, rows, predictions[name]) for rows, predictions in per_seed]
        measured[name] = figures
        seconds = judged.seconds.get(name)
        spent = "" if seconds is None else f"{np.mean(seconds):.1f}"
        table.append([name, f"{np.mean(figures):.4f}", f"{np.std(figures):.4f}", spent])
    oracle = [
        figure(work, rows, quality[rows])
        if work.paired
        else 100.0 * float(oracle_quality(quality[rows]).mean())
        for rows, _ in per_seed
    ]
    table.append(["oracle", f"{np.mean(oracle):.4f}", f"{np.std(oracle):.4f}", ""])
    print(f"\n## {work.name} ({len(quality)} requests, {len(per_seed)} seeds)\n")
    print(results_table(header, table))
    leads = compare(work, judged)
    summary = [row(target, measured, leads) for target in TARGETS if target.work == work.name]
    return [*summary, calibrated(work, judged)]


def row(target: Target, measured: dict[str, list[float]], leads: dict[str, Interval]) -> list[str]:
    """A row of the summary."""
    bounds = [f"{target.at_least:g}", f"{target.aim:g}"]
    ours = np.array(measured["default"])
    if target.reference is None:
        shown = f"{ours.mean():.4f} ± {ours.std():.4f}"
        return [target.work, shown, *bounds, target.verdict(float(ours.mean()))]
    lead = ours - np.array(measured[target.reference])
    interval = leads[target.reference]
    shown = (
        f"{lead.mean():+.4f} ± {lead.std():.4f} (95 %: {interval.low:+.4f} to {interval.high:+.4f})"
    )
    name = f"{target.work}, less {target.reference}"
    return [name, shown, *bounds, target.verdict(float(lead.mean()))]


def by_seed(judged: Judged) -> list[tuple[Rows, dict[str, Floats]]]:
    """Test rows and predictions of each seed, the parts of a seed joined."""
    seeds: list[list[int]] = []
    seen: set[int] = set()
    for number, rows in enumerate(judged.rows):
        if not seeds or not seen.isdisjoint(rows.tolist()):
            seeds.append([])
            seen = set()
        seeds[-1].append(number)
        seen.update(rows.tolist())
    return [
        (
            np.concatenate([judged.rows[i] for i in numbers]),
            {
                name: np.concatenate([parts[i] for i in numbers])
                for name, parts in judged.predictions.items()
            },
        )
        for numbers in seeds
    ]


def figure(work: Work, rows: Rows, predictions: Floats) -> float:
    """APGR of two agents, or the mean quality of those chosen in per cent."""
    quality = work.benchmark.quality[rows]
    if not work.paired:
        return 100.0 * float(chosen_quality(predictions, quality).mean())
    strong = work.benchmark.agents.index("strong")
    weak = work.benchmark.agents.index("weak")
    advantage = predictions[:, strong] - predictions[:, weak]
    return apgr(advantage, quality[:, weak], quality[:, strong])


def compare(work: Work, judged: Judged) -> dict[str, Interval]:
    """Print the default's lead over each reference, with a bootstrap interval over requests.

    The lead is the mean over the seeds, and a request is drawn with all its seeds.
    """
    per_seed = by_seed(judged)
    intervals = {}
    print()
    for reference in REFERENCES:

        def lead(drawn: Rows, other: str = reference) -> float:
            times = np.bincount(drawn, minlength=len(work.benchmark.prompts))
            leads = []
            for rows, predictions in per_seed:
                again = np.repeat(np.arange(len(rows)), times[rows])
                ours = figure(work, rows[again], predictions["default"][again])
                leads.append(ours - figure(work, rows[again], predictions[other][again]))
            return float(np.mean(leads))

        groups = np.arange(len(work.benchmark.prompts), dtype=np.int64)
        interval = intervals[reference] = bootstrap(lead, groups, draws=200)
        print(
            f"default − {reference}: {interval.estimate:+.4f} "
            f"(95 %: {interval.low:+.4f} to {interval.high:+.4f})"
        )
    return intervals


def calibrated(work: Work, judged: Judged) -> list[str]:
    """Print the calibration of the agents that the default would choose, and of all agents."""
    excess, everything, brier = [], [], []
    for rows, predictions in by_seed(judged):
        ours, quality = predictions["default"], work.benchmark.quality[rows]
        best = ours.argmax(axis=1)
        at = np.arange(len(rows))
        of_chosen = calibration(ours[at, best], quality[at, best])
        excess.append(of_chosen.excess)
        brier.append(of_chosen.brier)
        everything.append(calibration(ours.ravel(), quality.ravel()).excess)
    print(
        f"calibration, ECE less chance: chosen agent {np.mean(excess):.4f} "
        f"(Brier {np.mean(brier):.4f}), all agents {np.mean(everything):.4f}"
    )
    worse = max(float(np.mean(excess)), float(np.mean(everything)))
    verdict = "MISSED" if worse > CALIBRATION_AT_MOST else "ok"
    return [
        f"{work.name}, calibration",
        f"{worse:.4f}",
        f"≤ {CALIBRATION_AT_MOST:g}",
        f"≤ {CALIBRATION_AIM:g}",
        "aim" if worse <= CALIBRATION_AIM else verdict,
    ]


if __name__ == "__main__":
    main()
