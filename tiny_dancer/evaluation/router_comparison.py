"""Routers beside each other on the same requests, each judged on what it has not seen."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from tiny_dancer.errors import InvalidArgumentError
from tiny_dancer.evaluation.accuracy import chosen_quality, oracle_quality
from tiny_dancer.evaluation.baselines import (
    best_single_predictions,
    prompt_length_predictions,
    random_predictions,
)
from tiny_dancer.evaluation.benchmark_file import Benchmark
from tiny_dancer.evaluation.bootstrap import Interval, bootstrap, bootstrap_all
from tiny_dancer.evaluation.calibration import Calibration, calibration
from tiny_dancer.evaluation.cost_quality import aiq, choices_by_price
from tiny_dancer.evaluation.performance_gap import is_gap, recovered_gap
from tiny_dancer.predictors.cross_validation import cross_entropy
from tiny_dancer.predictors.predictor import QualityPredictor
from tiny_dancer.training.held_back import all_but, folds
from tiny_dancer.weights import Float32Array

Floats = NDArray[np.float64]
RowNumbers = NDArray[np.int64]
Predictions: TypeAlias = dict[str, list[Floats]]
"""Of each router, one array [n, a] per seed."""

RANDOM, LENGTH, SINGLE = "random", "prompt length", "best single"
BASELINES = (RANDOM, LENGTH, SINGLE)
DRAWS = 200

Make = Callable[[int], QualityPredictor]
"""Makes an unfitted predictor from a seed."""


@dataclass(frozen=True, slots=True, eq=False)
class Requests:
    """What routers are compared on.

    Attributes:
        benchmark: requests, agents and qualities.
        embeddings: float32 [n, d].
        lexical: float32 [n, l].
    """

    benchmark: Benchmark
    embeddings: Float32Array
    lexical: Float32Array

    def complete(self) -> RowNumbers:
        """Requests on which every agent was tried: only there any choice can be judged."""
        return np.flatnonzero(self.benchmark.mask.all(axis=1))


def out_of_fold_predictions(
    requests: Requests,
    makers: dict[str, Make],
    *,
    seeds: int,
    parts: int,
    steps: Callable[[list[tuple[int, RowNumbers]]], Iterable[tuple[int, RowNumbers]]] = iter,
) -> Predictions:
    """Predict every request by routers that learned from other parts of the requests.

    Args:
        requests: n of them.
        makers: of the predictors to compare, by name; the baselines are added.
        seeds: how often all is done again with other parts.
        parts: of which each is held back once; equal prompts stay together.
        steps: goes through the parts of all seeds, and may show how far it is.

    Raises:
        InvalidArgumentError: fewer requests than parts.
    """
    benchmark = requests.benchmark
    prompts = [" ".join(prompt.lower().split()) for prompt in benchmark.prompts]
    _, groups = np.unique(prompts, return_inverse=True)
    if parts < 2 or groups.max(initial=-1) + 1 < parts:
        raise InvalidArgumentError(
            f"{len(set(prompts))} distinct requests cannot be dealt into {parts} parts"
        )
    shape = benchmark.quality.shape
    names = (*BASELINES, *makers)
    predictions: Predictions = {name: [np.empty(shape) for _ in range(seeds)] for name in names}
    strata = np.zeros(len(prompts), dtype=np.int64)
    dealt = [(seed, part) for seed in range(seeds) for part in folds(groups, strata, parts, seed)]
    for seed, part in steps(dealt):
        rest = all_but(part, len(prompts))
        for name in BASELINES:
            predictions[name][seed][part] = _baseline(name, benchmark, rest, part, seed)
        for name, make in makers.items():
            predictor = make(seed).fit(
                requests.embeddings[rest],
                requests.lexical[rest],
                benchmark.quality[rest],
                benchmark.mask[rest],
            )
            predictions[name][seed][part] = predictor.predict_batch(
                requests.embeddings[part], requests.lexical[part]
            )
    return predictions


def _baseline(
    name: str, benchmark: Benchmark, rest: RowNumbers, part: RowNumbers, seed: int
) -> Floats:
    """Predictions of a baseline for a part, where agents were not tried their mean stands in."""
    if name == RANDOM:
        drawn = np.random.default_rng(int(part[0])).integers(2**31)
        return random_predictions(len(part), len(benchmark.agents), seed + int(drawn))
    known = benchmark.mask[rest]
    means = benchmark.quality[rest].sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    targets = np.where(known, benchmark.quality[rest], means)
    if name == SINGLE:
        return best_single_predictions(targets, len(part))
    texts = benchmark.prompts
    return prompt_length_predictions([texts[i] for i in part], [texts[i] for i in rest], targets)


@dataclass(frozen=True, slots=True, eq=False)
class Prices:
    """What agents cost on each request, and in which unit.

    Attributes:
        costs: [n, a].
        label: for the axis of a picture.
    """

    costs: Floats
    label: str

    def taken(self, rows: RowNumbers) -> Prices:
        """Of some requests."""
        return Prices(self.costs[rows], self.label)


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """Figures of one router, each with its interval; means over the seeds.

    Attributes:
        accuracy: mean quality of the agents chosen where cost plays no part.
        gap: APGR, CPT50 and CPT80; None unless there is a pair of a weak and a strong agent, of
            which one is better.
        aiq: see ``cost_quality.aiq``; None without costs.
        curve: (mean cost, mean quality) as cost matters less and less, [p, 2]; None without
            costs.
        band: 95 % of the quality at each point, [p, 2].
    """

    accuracy: Interval
    gap: tuple[Interval, Interval, Interval] | None
    aiq: Interval | None
    curve: Floats | None
    band: Floats | None


def judge(
    predictions: Sequence[Floats],
    quality: Floats,
    prices: Prices | None,
    pair: tuple[int, int] | None,
) -> Judged:
    """Judge a router on requests on which every agent was tried.

    Args:
        predictions: one array [n, a] per seed.
        quality: [n, a].
        prices: of the same requests.
        pair: columns of the weak and the strong agent.
    """
    rows = np.arange(len(quality))
    chosen = np.mean([chosen_quality(p, quality) for p in predictions], axis=0)
    accuracy = bootstrap(lambda drawn: float(chosen[drawn].mean()), rows, draws=DRAWS)
    gap = _gap(predictions, quality, pair) if pair and _is_gap(quality, pair) else None
    if prices is None:
        return Judged(accuracy, gap, None, None, None)
    by_seed = [choices_by_price(p, quality, prices.costs) for p in predictions]
    spent = np.mean([costs for costs, _ in by_seed], axis=0)
    reached = np.mean([achieved for _, achieved in by_seed], axis=0)
    single = prices.costs.mean(axis=0)

    def curve(drawn: RowNumbers) -> Floats:
        return np.column_stack((spent[drawn].mean(axis=0), reached[drawn].mean(axis=0)))

    def area(drawn: RowNumbers) -> float:
        return aiq(curve(drawn), float(single.min()), float(single.max()))

    area_interval = bootstrap(area, rows, draws=DRAWS) if single.min() < single.max() else None
    generator = np.random.default_rng(0)
    drawn_heights = [
        reached[generator.integers(len(rows), size=len(rows))].mean(axis=0) for _ in range(DRAWS)
    ]
    band = np.percentile(drawn_heights, [2.5, 97.5], axis=0).T
    return Judged(accuracy, gap, area_interval, curve(rows), band)


def _is_gap(quality: Floats, pair: tuple[int, int]) -> bool:
    """Whether one of two agents is better than the other; some drawings of few requests hide it."""
    weak, strong = pair
    return is_gap(quality[:, weak], quality[:, strong])


def _gap(
    predictions: Sequence[Floats], quality: Floats, pair: tuple[int, int]
) -> tuple[Interval, Interval, Interval]:
    weak, strong = pair
    advantages = [p[:, strong] - p[:, weak] for p in predictions]

    def figures(rows: RowNumbers) -> list[float]:
        if not _is_gap(quality[rows], pair):
            return [float("nan")] * 3
        by_seed = [
            _gap_figures(recovered_gap(a[rows], quality[rows, weak], quality[rows, strong]))
            for a in advantages
        ]
        return [float(mean) for mean in np.mean(by_seed, axis=0)]

    first, second, third = bootstrap_all(figures, np.arange(len(quality)), draws=DRAWS)
    return first, second, third


def _gap_figures(curve: Floats) -> tuple[float, float, float]:
    """APGR, CPT50 and CPT80 of one curve; see ``performance_gap``."""
    steps = len(curve) - 1
    area = float((curve[1:] + curve[:-1]).sum() / (2.0 * steps))
    shares = [float(np.flatnonzero(curve >= t - 1e-12)[0]) / steps for t in (0.5, 0.8)]
    return area, shares[0], shares[1]


def oracle_point(quality: Floats, prices: Prices | None) -> tuple[float, float]:
    """Mean cost and quality of the best agent of each request, the cheaper of equals."""
    best = quality >= oracle_quality(quality)[:, None]
    if prices is None:
        return float("nan"), float(oracle_quality(quality).mean())
    cheapest = np.where(best, prices.costs, np.inf).min(axis=1)
    return float(cheapest.mean()), float(oracle_quality(quality).mean())


@dataclass(frozen=True, slots=True)
class Foresight:
    """How well outcomes were foreseen, whichever agent they are of.

    Attributes:
        loss: cross-entropy per outcome.
        calibration: error, what chance explains of it, Brier score.
    """

    loss: float
    calibration: Calibration


def foresight(predictions: Sequence[Floats], benchmark: Benchmark) -> Foresight:
    """Judge by the outcomes that are known; also where agents were not all tried.

    Args:
        predictions: one array [n, a] per seed.
        benchmark: the same n requests.
    """
    mask = benchmark.mask
    observed = benchmark.quality[mask]
    measured = [calibration(p[mask].clip(0.0, 1.0), observed) for p in predictions]
    return Foresight(
        float(np.mean([cross_entropy(p, benchmark.quality, mask) for p in predictions])),
        Calibration(
            float(np.mean([m.error for m in measured])),
            float(np.mean([m.chance for m in measured])),
            float(np.mean([m.brier for m in measured])),
        ),
    )
