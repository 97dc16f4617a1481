"""Fitting the head of semantic routes to examples of what they take, and of what none takes.

The linear heads, the map that the density is taken under, and the weights of the wording are
trained twice: on all examples, and by folds, so that each example is judged by what did not see it.
Its own utterance is left out of density and centrality, too. On that honest evidence the weights
of the log-odds (maximum likelihood), those of the scope (logistic regression against the examples
out of scope) and the thresholds are fitted.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tiny_dancer.errors import InvalidArgumentError
from tiny_dancer.predictors.principal_components import PrincipalComponents
from tiny_dancer.route_evidence import centres, mapped, of_sums, unit_rows
from tiny_dancer.route_head import CANDIDATES, RouteHead, probabilities
from tiny_dancer.route_wording import Buckets, wording_evidence, wording_weights
from tiny_dancer.training.held_back import folds
from tiny_dancer.training.neighbour_metric import ROWS_AT_ONCE as METRIC_ROWS_AT_ONCE
from tiny_dancer.training.neighbour_metric import fit_metric
from tiny_dancer.training.softmax_regression import fit_softmax_regression

Floats = NDArray[np.float64]
Vectors = NDArray[np.float32]
Routes = NDArray[np.intp]
Rows = NDArray[np.int64]
Progress = Callable[[str], None]

OUT_OF_SCOPE = -1
"""The route of an example that means none of the routes."""

PENALTY = 1.0 / 30.0
STEPS = 60
SHARPNESS = (15.0, 30.0, 45.0)
MOST_JUDGED = 6_000
"""So many examples are enough to calibrate by."""
MANY = 5_000
FOLDS, FOLDS_OF_MANY = 5, 3
ROWS_AT_ONCE = 256
FEWEST_TO_CALIBRATE = 10

METRIC_RANK = 128
METRIC_STEPS = 100
METRIC_ROUNDS = 10
"""So often each example is looked at, until there are METRIC_STEPS."""
FEWEST_FOR_METRIC = 500
"""With fewer examples the map would know them by heart: the density is that of the embeddings."""

# What holds where there is nothing to fit by: as fitted on public intents with MiniLM.
USUAL_EVIDENCE = np.array([1.0, 12.0, -2.0, 0.2])
USUAL_SCOPE = np.array([1.0, 0.0, 1.7])
# How far the weights may move from the usual ones, as a penalty in rows; features standardised.
EVIDENCE_PENALTY = 1.0
SCOPE_PENALTY = 1.0
# So many examples of a route weigh as much as all routes together in its threshold.
THRESHOLD_STRENGTH = 40.0
LAST_BITS = 1e-5


@dataclass(frozen=True, slots=True, eq=False)
class Utterances:
    """The vectors that the routes are known by, grouped by route.

    Attributes:
        vectors: unit rows, [utterances, dimension].
        counts: of each route, at least 1, [routes].
        are_examples: whether each is one of what people write; not so a description,
            [utterances].
        words: of each, see ``word_buckets``; empty where no text is known, [utterances].
    """

    vectors: Vectors
    counts: Rows
    are_examples: NDArray[np.bool_]
    words: tuple[Buckets, ...]

    @property
    def starts(self) -> Routes:
        """Where the rows of each route begin, [routes]."""
        return (np.cumsum(self.counts) - self.counts).astype(np.intp)

    @property
    def owners(self) -> Routes:
        """The route of each row, [utterances]."""
        return np.repeat(np.arange(len(self.counts)), self.counts)

    def examples(self) -> Examples:
        """Return those that are examples."""
        everything = Examples(self.vectors, self.owners, self.words)
        return everything.take(np.flatnonzero(self.are_examples))


@dataclass(frozen=True, slots=True, eq=False)
class Examples:
    """Requests whose route is known.

    Attributes:
        vectors: unit rows, [n, dimension].
        routes: position of each one's route, or OUT_OF_SCOPE, [n].
        words: of each, see ``word_buckets``; empty where its text is not known, [n].
    """

    vectors: Vectors
    routes: Routes
    words: tuple[Buckets, ...]

    def __len__(self) -> int:
        return len(self.routes)

    def distinct(self) -> Examples:
        """Return them without repetitions, in an order that does not depend on the present one."""
        spelled = [words.tobytes() for words in self.words]
        order = sorted(range(len(self)), key=spelled.__getitem__)
        keys = self.identities()
        # Of equal vectors the last spelling stands for all: any would do, if it is always the same.
        places = {keys[place]: place for place in order}
        kept = [places[key] for key in sorted(places)]
        return self.take(np.array(kept, np.int64))

    def identities(self) -> list[tuple[int, bytes]]:
        """Return what is equal for equal examples."""
        rows = zip(self.routes.tolist(), self.vectors, strict=True)
        return [(route, vector.tobytes()) for route, vector in rows]

    def take(self, rows: Rows) -> Examples:
        """Return some of them."""
        words = tuple(self.words[row] for row in rows.tolist())
        return Examples(self.vectors[rows], self.routes[rows], words)

    def joined(self, others: Examples) -> Examples:
        """Return them and others."""
        return Examples(
            np.concatenate([self.vectors, others.vectors]),
            np.concatenate([self.routes, others.routes]),
            self.words + others.words,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """Examples with the honest evidence on them.

    Attributes:
        routes: the right route of each, [n].
        candidates: routes compared, [n, c].
        linear: evidence for each candidate, [n, c].
        densities: by sharpness, each [n, c].
        centrality: [n, c].
        wording: evidence of the spelling, [n, c].
    """

    routes: Routes
    candidates: Routes
    linear: Vectors
    densities: dict[float, Vectors]
    centrality: Vectors
    wording: Vectors

    def evidence(self, sharpness: float) -> Floats:
        """Return all evidence with the density of one sharpness, [n, c, EVIDENCE]."""
        kinds = [self.linear, self.densities[sharpness], self.centrality, self.wording]
        return np.stack(kinds, axis=2).astype(np.float64)


@dataclass(frozen=True, slots=True)
class HeadSize:
    """How much is learned.

    Attributes:
        routes: how many there are.
        metric_rank: how many dimensions the map of the density leaves, 0 where there is no map.
    """

    routes: int
    metric_rank: int


@dataclass(frozen=True, slots=True, eq=False)
class Learned:
    """What is learned of examples at once.

    Attributes:
        heads: linear weights, offset last, [routes, dimension + 1].
        wording: weights of the spelling, [routes, buckets].
        metric: map under which the density is taken, see ``RouteHead``.
    """

    heads: Vectors
    wording: Vectors
    metric: Vectors


@dataclass(frozen=True, slots=True, eq=False)
class RouteFit:
    """A fitted head, and what it says of examples that it did not learn from.

    Attributes:
        head: the weights.
        routes: the right route of each example judged, or OUT_OF_SCOPE, [n].
        guesses: the likeliest route of each, [n].
        confidences: of the guess, [n].
        margins: scope of the guess less its threshold, [n].
    """

    head: RouteHead
    routes: Routes
    guesses: Routes
    confidences: Floats
    margins: Floats


def fit_route_head(
    utterances: Utterances,
    examples: Examples,
    descriptions: Examples,
    *,
    acceptance: float,
    seed: int,
    progress: Progress,
) -> RouteFit:
    """Fit the head of some routes.

    Args:
        utterances: of the routes; they are examples, too, where they are not among them.
        examples: requests with their routes, and requests out of scope.
        descriptions: of routes, to learn from but not to be judged by; may be empty.
        acceptance: share of the requests in scope that the thresholds should let pass.
        seed: of the folds, and of the sample that is judged.
        progress: called several times a second with how far it is; may raise to end the fit.

    Raises:
        InvalidArgumentError: no example is in scope.
    """
    inside = examples.take(np.flatnonzero(examples.routes != OUT_OF_SCOPE))
    outside = examples.take(np.flatnonzero(examples.routes == OUT_OF_SCOPE)).distinct()
    if not len(inside):
        raise InvalidArgumentError(
            "no example names a route",
            hint="The query must return texts with the routes that they mean.",
        )
    inside = inside.joined(utterances.examples()).distinct()
    count = len(utterances.counts)
    size = HeadSize(count, _metric_rank(inside))
    learned = _learn(inside.joined(descriptions), size, seed, "all examples", progress)
    judged = _judge_inside(utterances, inside, descriptions, size, seed, progress)
    rejected = _judge(utterances, learned, outside, progress)
    return _calibrated(learned, judged, rejected, acceptance, count)


def _metric_rank(inside: Examples) -> int:
    """Return how many dimensions the map leaves that the density is taken under, 0 for none."""
    return min(METRIC_RANK, inside.vectors.shape[1]) if len(inside) >= FEWEST_FOR_METRIC else 0


def _learn(rows: Examples, size: HeadSize, seed: int, what: str, progress: Progress) -> Learned:
    heads = fit_softmax_regression(
        rows.vectors,
        rows.routes,
        size.routes,
        penalty=PENALTY,
        steps=STEPS,
        after=lambda step: progress(f"learning from {what}: step {step} of at most {STEPS}"),
    )
    wording = wording_weights(rows.words, rows.routes, size.routes)
    return Learned(heads, wording, _metric(rows, size.metric_rank, seed, what, progress))


def _metric(rows: Examples, rank: int, seed: int, what: str, progress: Progress) -> Vectors:
    """Learn the map under which the density is taken."""
    if not rank:
        return np.zeros((0, rows.vectors.shape[1]), np.float32)
    steps = min(METRIC_STEPS, METRIC_ROUNDS * math.ceil(len(rows) / METRIC_ROWS_AT_ONCE))
    # From the leading directions of the rows, so that cosines are about those of the embeddings.
    leading = PrincipalComponents.fit(
        rows.vectors, rank, seed, lambda *_: progress(f"learning nearness from {what}")
    )
    return fit_metric(
        rows.vectors,
        rows.routes,
        start=leading.directions,
        steps=steps,
        seed=seed,
        after=lambda step: progress(f"learning nearness from {what}: step {step} of {steps}"),
    )


def _judge_inside(
    utterances: Utterances,
    inside: Examples,
    descriptions: Examples,
    size: HeadSize,
    seed: int,
    progress: Progress,
) -> Judged:
    """Judge examples by what did not see them."""
    parts = FOLDS if len(inside) <= MANY else FOLDS_OF_MANY
    dealt = folds(np.arange(len(inside)), inside.routes.astype(np.int64), parts, seed)
    most = math.ceil(MOST_JUDGED / parts)
    generator = np.random.default_rng(seed)
    judged = []
    for number, part in enumerate(dealt, start=1):
        others = np.setdiff1d(np.arange(len(inside)), part)
        if not len(part) or not len(others):
            continue
        rest = inside.take(others).joined(descriptions)
        learned = _learn(rest, size, seed, f"part {number} of {parts}", progress)
        known = np.isin(inside.routes[part], rest.routes)
        sample = generator.permutation(part[known])[:most]
        judged.append(_judge(utterances, learned, inside.take(np.sort(sample)), progress))
    return _concatenated(judged)


def _judge(
    utterances: Utterances, learned: Learned, examples: Examples, progress: Progress
) -> Judged:
    """Collect the evidence on examples, each one's own utterance left out."""
    own = _own_utterances(utterances, examples)
    middles = np.add.reduceat(utterances.vectors, utterances.starts, axis=0)
    usual = centres(utterances.vectors, utterances.starts)
    neighbours = mapped(utterances.vectors, learned.metric)
    pieces = []
    for start in range(0, len(examples), ROWS_AT_ONCE):
        part = examples.take(np.arange(start, min(start + ROWS_AT_ONCE, len(examples))))
        pieces.append(
            _judge_some(
                utterances,
                learned,
                part,
                own[start : start + ROWS_AT_ONCE],
                neighbours,
                middles,
                usual,
            )
        )
        progress(f"judged {start + len(part)} of {len(examples)} examples")
    return _concatenated(pieces)


def _own_utterances(utterances: Utterances, examples: Examples) -> Rows:
    """Return which utterance each example is, -1 for none."""
    known = Examples(utterances.vectors, utterances.owners, utterances.words).identities()
    places = dict(zip(known, range(len(known)), strict=True))
    return np.array([places.get(key, -1) for key in examples.identities()], np.int64)


def _judge_some(
    utterances: Utterances,
    learned: Learned,
    examples: Examples,
    own: Rows,
    neighbours: Vectors,
    middles: Vectors,
    usual: Vectors,
) -> Judged:
    vectors, routes = examples.vectors, examples.routes
    rows = np.arange(len(examples))
    linear = vectors @ learned.heads[:, :-1].T + learned.heads[:, -1]
    candidates = _candidates(linear, routes)
    starts, counts = utterances.starts, utterances.counts
    cosines = mapped(vectors, learned.metric) @ neighbours.T
    near = np.exp(np.float32(SHARPNESS[0]) * (cosines - np.float32(1.0)))
    left = np.broadcast_to(counts, linear.shape).copy()
    centrality = vectors @ usual.T
    is_own = np.flatnonzero(own >= 0)
    near[is_own, own[is_own]] = 0.0
    left[is_own, routes[is_own]] -= 1
    others = unit_rows(middles[routes[is_own]] - vectors[is_own])
    centrality[is_own, routes[is_own]] = np.einsum("nd,nd->n", vectors[is_own], others)
    densities = {}
    for sharpness in SHARPNESS:
        sums = np.add.reduceat(near ** (sharpness / SHARPNESS[0]), starts, axis=1)
        densities[sharpness] = of_sums(sums, left, sharpness)[rows[:, None], candidates]
    return Judged(
        routes,
        candidates,
        linear[rows[:, None], candidates],
        densities,
        centrality[rows[:, None], candidates],
        np.stack(
            [
                wording_evidence(learned.wording, routes_of, words)
                for routes_of, words in zip(candidates, examples.words, strict=True)
            ]
        ),
    )


def _candidates(linear: Vectors, routes: Routes) -> Routes:
    """Return the routes with the most linear evidence, the right one among them, [n, c]."""
    most = min(CANDIDATES, linear.shape[1])
    ranked = np.argsort(-linear, axis=1, kind="stable")[:, :most]
    missing = np.flatnonzero((routes != OUT_OF_SCOPE) & ~(ranked == routes[:, None]).any(axis=1))
    ranked[missing, -1] = routes[missing]
    return ranked.astype(np.intp)


def _concatenated(parts: list[Judged]) -> Judged:
    if not parts:
        nothing = np.zeros((0, 1), np.float32)
        none = np.zeros((0, 1), np.intp)
        return Judged(
            none[:, 0], none, nothing, dict.fromkeys(SHARPNESS, nothing), nothing, nothing
        )
    return Judged(
        np.concatenate([p.routes for p in parts]),
        np.concatenate([p.candidates for p in parts]),
        np.concatenate([p.linear for p in parts]),
        {s: np.concatenate([p.densities[s] for p in parts]) for s in SHARPNESS},
        np.concatenate([p.centrality for p in parts]),
        np.concatenate([p.wording for p in parts]),
    )


def _calibrated(
    learned: Learned, judged: Judged, rejected: Judged, acceptance: float, count: int
) -> RouteFit:
    sharpness, evidence = _evidence_weights(judged)
    guesses, confidences, features = _guess(judged, sharpness, evidence)
    outside_guesses, outside_confidences, outside = _guess(rejected, sharpness, evidence)
    scope = _scope_weights(features, outside)
    inside_scope = features @ scope[:-1] + scope[-1]
    outside_scope = outside @ scope[:-1] + scope[-1]
    thresholds = _thresholds(inside_scope, guesses, count, acceptance)
    head = RouteHead(
        heads=learned.heads,
        thresholds=thresholds.astype(np.float32),
        sharpness=sharpness,
        evidence=evidence.astype(np.float32),
        scope=scope.astype(np.float32),
        estimate=_linear_estimate(judged, sharpness).astype(np.float32),
        wording=learned.wording,
        wording_estimate=_wording_estimate(judged, sharpness).astype(np.float32),
        metric=learned.metric,
    )
    all_guesses = np.concatenate([guesses, outside_guesses])
    return RouteFit(
        head,
        np.concatenate([judged.routes, rejected.routes]),
        all_guesses,
        np.concatenate([confidences, outside_confidences]),
        np.concatenate([inside_scope, outside_scope]) - thresholds[all_guesses],
    )


def _evidence_weights(judged: Judged) -> tuple[float, Floats]:
    """Return the sharpness and the weights under which the right routes are likeliest."""
    usual = USUAL_EVIDENCE
    if len(judged.routes) < FEWEST_TO_CALIBRATE or judged.candidates.shape[1] < 2:
        return SHARPNESS[-1], usual
    wanted = (judged.candidates == judged.routes[:, None]).argmax(axis=1)
    fits = []
    for sharpness in judged.densities:
        weights, loss = _conditional_logit(judged.evidence(sharpness), wanted, usual)
        fits.append((loss, sharpness, weights))
    _, sharpness, weights = min(fits, key=lambda fit: fit[0])
    return sharpness, weights


def _conditional_logit(features: Floats, wanted: Routes, usual: Floats) -> tuple[Floats, float]:
    """Fit the weights of features of candidates, by Newton's method.

    Args:
        features: [n, c, f].
        wanted: which candidate is right, [n].
        usual: weights towards which they are shrunk, [f].
    """
    rows = np.arange(len(features))
    scale = (features - features.mean(axis=1, keepdims=True)).std(axis=(0, 1)) + 1e-6
    scaled, goal = features / scale, usual * scale
    weights = goal.copy()

    def loss_at(point: Floats) -> tuple[float, Floats]:
        shares = probabilities(scaled @ point)
        missed = -np.log(np.maximum(shares[rows, wanted], 1e-12)).sum()
        return float(missed + 0.5 * EVIDENCE_PENALTY * ((point - goal) ** 2).sum()), shares

    loss, shares = loss_at(weights)
    for _ in range(50):
        mean = np.einsum("nc,ncf->nf", shares, scaled)
        gradient = (mean - scaled[rows, wanted]).sum(axis=0) + EVIDENCE_PENALTY * (weights - goal)
        spread = np.einsum("nc,ncf,ncg->fg", shares, scaled, scaled) - mean.T @ mean
        spread[np.diag_indices(len(goal))] += EVIDENCE_PENALTY
        step = np.linalg.solve(spread, gradient)
        length = 1.0
        while length > 1e-6 and (at := loss_at(weights - length * step))[0] > loss:
            length *= 0.5
        if length <= 1e-6 or loss - at[0] < 1e-9 * max(1.0, loss):
            break
        weights, (loss, shares) = weights - length * step, at
    return weights / scale, loss


def _guess(judged: Judged, sharpness: float, evidence: Floats) -> tuple[Routes, Floats, Floats]:
    """Return the likeliest route of each example, its confidence, and what its scope rests on."""
    density = judged.densities[sharpness]
    log_odds = judged.evidence(sharpness) @ evidence
    rows, best = np.arange(len(log_odds)), log_odds.argmax(axis=1)
    features = np.stack(
        [log_odds[rows, best], density[rows, best], judged.centrality[rows, best]], axis=1
    )
    shares = probabilities(log_odds)
    return judged.candidates[rows, best], shares[rows, best], features.astype(np.float64)


def _scope_weights(inside: Floats, outside: Floats) -> Floats:
    """Return weights of log-odds, density and centrality, and an offset.

    Both sides weigh the same, however many examples they have.
    """
    usual = USUAL_SCOPE
    if len(inside) < FEWEST_TO_CALIBRATE:
        mean, scale = np.array([5.0, 0.5, 0.5]), np.array([5.0, 0.15, 0.15])
        return np.append(usual / scale, -float((usual * mean / scale).sum()))
    mean, scale = inside.mean(axis=0), inside.std(axis=0) + 1e-3
    weights = np.append(usual, 0.0)
    if len(outside):
        rows = np.concatenate([inside, outside])
        rows = np.hstack([(rows - mean) / scale, np.ones((len(rows), 1))])
        is_inside = np.repeat([1.0, 0.0], [len(inside), len(outside)])
        share = np.where(is_inside == 1.0, len(outside) / len(inside), 1.0)
        weights = _shrunk_logistic(rows, is_inside, share, weights)
    slopes = weights[:-1] / scale
    return np.append(slopes, weights[-1] - float(slopes @ mean))


def _shrunk_logistic(rows: Floats, goals: Floats, share: Floats, usual: Floats) -> Floats:
    """Fit a logistic regression by Newton's method, shrunk towards usual weights."""
    weights = usual.copy()
    penalty = np.full(len(usual), SCOPE_PENALTY)
    penalty[-1] = 1e-3
    for _ in range(50):
        predicted = 1.0 / (1.0 + np.exp(-np.clip(rows @ weights, -30.0, 30.0)))
        gradient = rows.T @ (share * (predicted - goals)) + penalty * (weights - usual)
        curvature = share * np.maximum(predicted * (1.0 - predicted), 1e-6)
        hessian = (rows * curvature[:, None]).T @ rows
        hessian[np.diag_indices(len(usual))] += penalty
        step = np.linalg.solve(hessian, gradient)
        weights = weights - step / max(1.0, float(np.abs(step).max()))
        if float(np.abs(step).max()) < 1e-8:
            break
    return weights


def _thresholds(scope: Floats, guesses: Routes, count: int, acceptance: float) -> Floats:
    """Return the threshold of each route.

    All start at the quantile of all examples; a route whose examples lie lower or higher than the
    others' gets one that lies so, too, the more of them there are.
    """
    if not len(scope):
        return np.zeros(count)
    middle = float(np.median(scope))
    shift = np.zeros(count)
    for route in range(count):
        of_route = scope[guesses == route]
        if len(of_route):
            trust = len(of_route) / (len(of_route) + THRESHOLD_STRENGTH)
            shift[route] = trust * (float(np.median(of_route)) - middle)
    # The example that a threshold was taken from passes it, whatever the last bits say.
    return shift + float(np.quantile(scope - shift[guesses], 1.0 - acceptance)) - LAST_BITS


def _linear_estimate(judged: Judged, sharpness: float) -> Floats:
    """Return the weights that tell linear evidence from density and centrality."""
    if not _is_enough(judged):
        return np.array([5.0, 5.0, -5.0])
    return _regression(judged, [judged.densities[sharpness], judged.centrality], judged.linear)


def _wording_estimate(judged: Judged, sharpness: float) -> Floats:
    """Return the weights that tell the evidence of the wording from all other evidence."""
    if not _is_enough(judged):
        return np.zeros(4)
    others = [judged.linear, judged.densities[sharpness], judged.centrality]
    return _regression(judged, others, judged.wording)


def _is_enough(judged: Judged) -> bool:
    # With a single candidate there is nothing to tell it from.
    return len(judged.routes) >= FEWEST_TO_CALIBRATE and judged.candidates.shape[1] > 1


def _regression(judged: Judged, evidence: list[Vectors], goal: Vectors) -> Floats:
    """Return the weights of some evidence, then an offset; right candidates weigh as wrong ones."""
    known = [values.ravel().astype(np.float64) for values in evidence]
    rows: Floats = np.stack([*known, np.ones(goal.size)], axis=1)
    is_right = (judged.candidates == judged.routes[:, None]).ravel()
    weight: Floats = np.where(is_right, judged.candidates.shape[1] - 1.0, 1.0)
    product: Floats = (rows * weight[:, None]).T @ rows
    penalty = np.append(np.ones(len(known)), 1e-6)
    product[np.diag_indices(len(penalty))] += 1e-3 * weight.sum() * penalty
    return np.asarray(np.linalg.solve(product, rows.T @ (weight * goal.ravel())), np.float64)
