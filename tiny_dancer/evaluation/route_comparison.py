"""Ways to match requests to routes beside each other, each judged on what it has not seen.

Three ways: the route that is meant most often, as what any other must beat; the utterance that is
nearest, as routes are matched before a fit; and the fitted head.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from tiny_dancer.errors import InvalidArgumentError
from tiny_dancer.evaluation.bootstrap import Interval, bootstrap_all
from tiny_dancer.evaluation.results_table import with_interval
from tiny_dancer.evaluation.route_accuracy import NONE, RouteJudgements, totals
from tiny_dancer.fitted_routes import FittedRoutes
from tiny_dancer.route_fitting import Examples, Utterances, fit_route_head
from tiny_dancer.route_wording import Buckets, word_buckets
from tiny_dancer.semantic_routes import RouteColumns, RouteVerdict, SemanticRoutes
from tiny_dancer.training.held_back import all_but, folds

Vectors = NDArray[np.float32]
RowNumbers = NDArray[np.int64]

FREQUENT, NEAREST, FITTED = "most frequent route", "nearest utterances", "fitted"
WAYS = (FREQUENT, NEAREST, FITTED)
DRAWS = 200
ACCEPTANCE = 0.99
"""Of ``ruvector_fit_routes``, by default."""

FIGURES = {
    "accuracy": ("accuracy %", 100.0, 1),
    "accuracy_if_accepted_all": ("if all pass %", 100.0, 1),
    "out_of_scope_recall": ("out-of-scope recall %", 100.0, 1),
    "out_of_scope_auroc": ("AUROC", 1.0, 3),
    "out_of_scope_accepted_at_95": ("passing at 95 %", 100.0, 1),
    "brier": ("Brier", 1.0, 4),
}
"""What is shown, as what, times which factor, with how many digits."""

LEGEND = (
    "In brackets: 95 % by bootstrap over requests, means over the seeds. accuracy: requests in "
    "scope matched, and to their route; if all pass: the same leaving thresholds aside. "
    "out-of-scope recall: requests that mean no route and got none; AUROC: the chance that a "
    "request in scope lies further within it than one out of scope; passing at 95: per cent out "
    "of scope that pass where 95 % in scope do; Brier: mean squared error of the confidence."
)


class Parts(NamedTuple):
    """What one training learns from, and what it is judged by."""

    seed: int
    learned: RowNumbers
    judged: RowNumbers


@dataclass(frozen=True, slots=True, eq=False)
class RouteExamples:
    """Requests with their routes, as texts and vectors.

    Attributes:
        texts: of the requests; empty where one is not known, [n].
        vectors: unit rows, [n, d].
        wanted: number of each one's route, or NONE, [n].
        names: of the routes, in the order of their code points.
        described: texts that describe the routes, [routes].
        descriptions: unit rows of these, [routes, d].
    """

    texts: Sequence[str]
    vectors: Vectors
    wanted: NDArray[np.intp]
    names: Sequence[str]
    described: Sequence[str]
    descriptions: Vectors


def deal(
    texts: Sequence[str],
    routes: Sequence[str | None],
    given: tuple[list[int], list[int]] | None,
    *,
    seeds: int,
    parts: int,
) -> list[Parts]:
    """Say what is learned from and what is judged by.

    Args:
        texts: equal ones are never parted, whatever their case and spacing, [n].
        routes: of each, [n].
        given: rows to learn from and rows to be judged by; by default each of some parts is held
            back in turn.
        seeds: how often all is done again.
        parts: how many.

    Raises:
        InvalidArgumentError: fewer distinct texts than parts, or fewer than two parts.
    """
    if given is not None:
        learned, judged = (np.array(rows, np.int64) for rows in given)
        return [Parts(seed, learned, judged) for seed in range(seeds)]
    _, groups = np.unique([" ".join(t.lower().split()) for t in texts], return_inverse=True)
    if parts < 2 or groups.max(initial=-1) + 1 < parts:
        raise InvalidArgumentError(
            f"{groups.max(initial=-1) + 1} distinct requests cannot be dealt into {parts} parts"
        )
    _, strata = np.unique([route or "" for route in routes], return_inverse=True)
    return [
        Parts(seed, all_but(part, len(texts)), part)
        for seed in range(seeds)
        for part in folds(groups, strata.astype(np.int64), parts, seed)
    ]


Judgements = dict[str, list[RouteJudgements]]
"""Of each way, one per seed; the same requests in the same order."""


def compare_ways(
    examples: RouteExamples,
    dealt: Iterable[Parts],
    progress: Callable[[str], None] = lambda message: None,
) -> Judgements:
    """Judge every request by ways that did not learn from it.

    Args:
        examples: the requests.
        dealt: of all seeds; one seed's come together, see ``deal``.
        progress: called several times a second; may raise to end it.

    Raises:
        InvalidArgumentError: there is no request in scope to learn from.
    """
    by_seed: dict[int, list[tuple[RowNumbers, dict[str, list[RouteVerdict]]]]] = {}
    for seed, learned, judged in dealt:
        ways = _learn(examples, learned, seed, progress)
        verdicts: dict[str, list[RouteVerdict]] = {name: [] for name in ways}
        for number, row in enumerate(judged.tolist(), start=1):
            for name, way in ways.items():
                verdicts[name].append(way.judge(examples.vectors[row], examples.texts[row]))
            progress(f"matched {number} of {len(judged)} requests")
        by_seed.setdefault(seed, []).append((judged, verdicts))
    return {
        name: [
            _judgements(examples, [(rows, verdicts[name]) for rows, verdicts in parts])
            for parts in by_seed.values()
        ]
        for name in WAYS
    }


class _Way(Protocol):
    def judge(self, embedding: Vectors, text: str | None = None) -> RouteVerdict:
        """What is made of a request."""


class _Renumbered(NamedTuple):
    """A way that knows some of the routes, speaking of them by their numbers among all."""

    way: _Way
    numbers: list[int]

    def judge(self, embedding: Vectors, text: str | None = None) -> RouteVerdict:
        verdict = self.way.judge(embedding, text)
        return verdict._replace(position=self.numbers[verdict.position])


class _Always(NamedTuple):
    """Says the same of all requests."""

    verdict: RouteVerdict

    def judge(self, embedding: Vectors, text: str | None = None) -> RouteVerdict:
        return self.verdict


def _learn(
    examples: RouteExamples, learned: RowNumbers, seed: int, progress: Callable[[str], None]
) -> dict[str, _Way]:
    """Make routes whose utterances are the requests learned from, and fit their head to these."""
    wanted = examples.wanted[learned]
    known = np.unique(wanted[wanted != NONE])
    if not len(known):
        raise InvalidArgumentError("no request to learn from names a route")
    place = np.full(len(examples.names), NONE, np.intp)
    place[known] = np.arange(len(known))
    owners = np.where(wanted == NONE, NONE, place[wanted])
    order = np.argsort(owners[owners != NONE], kind="stable")
    rows = learned[owners != NONE][order]
    counts = np.bincount(owners[owners != NONE], minlength=len(known))
    plain = SemanticRoutes(
        _columns([examples.names[k] for k in known], counts), examples.vectors[rows]
    )
    fit = fit_route_head(
        Utterances(
            examples.vectors[rows],
            counts,
            np.ones(len(rows), bool),
            _words(examples.texts, rows),
        ),
        Examples(examples.vectors[learned], owners, _words(examples.texts, learned)),
        Examples(
            examples.descriptions[known],
            np.arange(len(known)),
            _words(examples.described, known),
        ),
        acceptance=ACCEPTANCE,
        seed=seed,
        progress=progress,
    )
    fitted = FittedRoutes(plain, fit.head, np.arange(len(known)))
    frequent = RouteVerdict(int(known[counts.argmax()]), float(counts.max() / counts.sum()), 0.0)
    numbers = known.tolist()
    return {
        FREQUENT: _Always(frequent),
        NEAREST: _Renumbered(plain, numbers),
        FITTED: _Renumbered(fitted, numbers),
    }


def _words(texts: Sequence[str], rows: RowNumbers) -> tuple[Buckets, ...]:
    return tuple(word_buckets(texts[row]) for row in rows.tolist())


def _columns(names: list[str], counts: NDArray[np.int64]) -> RouteColumns:
    return RouteColumns(
        names=names,
        target_agents=names,
        priorities=[0] * len(names),
        thresholds=np.full(len(names), np.nan),
        conditions={},
        vector_counts=counts,
        has_utterances=np.ones(len(names), bool),
    )


def _judgements(
    examples: RouteExamples, parts: list[tuple[RowNumbers, list[RouteVerdict]]]
) -> RouteJudgements:
    """Of all parts of a seed, in the order of the requests."""
    rows = np.concatenate([rows for rows, _ in parts])
    verdicts = [verdict for _, part in parts for verdict in part]
    order = np.argsort(rows, kind="stable")
    return RouteJudgements(
        examples.wanted[rows],
        np.array([verdict.position for verdict in verdicts], np.intp),
        np.array([verdict.confidence for verdict in verdicts]),
        np.array([verdict.margin for verdict in verdicts]),
    ).rows(order)


def judged_figures(judgements: Sequence[RouteJudgements]) -> dict[str, Interval]:
    """Figures of one way with their intervals, means over the seeds; see ``FIGURES``."""
    present = [name for name in FIGURES if name in totals(judgements[0])]

    def figures(rows: RowNumbers) -> list[float]:
        by_seed = [totals(judged.rows(rows)) for judged in judgements]
        return [float(np.mean([of.get(name, np.nan) for of in by_seed])) for name in present]

    count = len(judgements[0].wanted)
    return dict(zip(present, bootstrap_all(figures, np.arange(count), draws=DRAWS), strict=True))


def comparison_table(figures: dict[str, dict[str, Interval]]) -> list[list[str]]:
    """Rows of cells, the header first.

    Args:
        figures: of each way; all have the same ones.
    """
    shown = [FIGURES[name] for name in next(iter(figures.values()))]
    return [
        ["routes", *(title for title, _, _ in shown)],
        *(
            [way, *(with_interval(of[name], *FIGURES[name][1:]) for name in of)]
            for way, of in figures.items()
        ),
    ]
