"""Semantic routes with what was learned of them: matching by a fitted head.

The linear head looks at all routes in one product; the few that it finds likeliest are then judged
by their utterances, too. Routes that the head does not know, made or changed after the fit, are
always judged: by their utterances alone, and against a threshold on their similarity.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Collection, Container
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tiny_dancer.near_ties import by_priority, rounded
from tiny_dancer.route_conditions import RequestContext
from tiny_dancer.route_evidence import centres, density, mapped
from tiny_dancer.route_head import CANDIDATES, RouteHead
from tiny_dancer.route_similarity import pooled_of, pooled_similarity
from tiny_dancer.route_wording import NO_WORDS, Buckets, word_buckets, wording_evidence
from tiny_dancer.semantic_routes import (
    HALF_UNIT,
    Gate,
    Positions,
    RouteColumns,
    RouteMatch,
    RouteVerdict,
    SemanticRoutes,
    Vectors,
)

# So many routes are judged beyond those asked for, at least.
SPARE = 4
# Above so many vectors of the routes judged, a product per route beats copying their rows together.
FEW_ROWS = 64
# Above so many routes, one product with all vectors beats one for each of them.
MANY_ROUTES = 64


class JudgedRoutes(NamedTuple):
    """What speaks for the routes that a request may mean, in no particular order.

    Lists, for there are few: they are faster than arrays.

    Attributes:
        positions: of the routes.
        confidences: probability of each, given that one of the routes is right.
        margins: scope less threshold; where it is not below 0, the route may be taken.
        is_whole: whether no route was left out.
    """

    positions: list[int]
    confidences: list[float]
    margins: list[float]
    is_whole: bool


class FittedRoutes:
    """Routes matched by a fitted head.

    Args:
        routes: all routes with their vectors; at least one is in the head.
        head: the fitted weights.
        places: position of each row of the head among the routes, -1 where the route is gone or
            has changed, [rows of the head].
    """

    def __init__(self, routes: SemanticRoutes, head: RouteHead, places: Positions) -> None:
        self._routes = routes
        self._head = head
        kept = np.flatnonzero(places >= 0)
        kept = kept[np.argsort(places[kept], kind="stable")].astype(np.intp)
        self._rows = kept
        self._has_wording = head.wording.shape[1] > 0
        self._fitted: Positions = places[kept].astype(np.intp)
        self._weights = np.ascontiguousarray(head.heads[kept, :-1])
        self._offsets = np.ascontiguousarray(head.heads[kept, -1])
        self._centres = centres(routes.vectors, routes.starts)
        self._neighbours = mapped(routes.vectors, head.metric)
        is_fitted = np.zeros(len(routes), bool)
        is_fitted[self._fitted] = True
        self._unfitted: Positions = np.flatnonzero(~is_fitted)
        self._scope_cuts = np.full(len(routes), -np.inf, np.float32)
        self._scope_cuts[self._fitted] = head.thresholds[kept]
        # A threshold on the similarity that somebody stated holds beside the fitted one.
        is_stated = ~np.isnan(routes.columns.thresholds)
        self._cuts = np.where(is_fitted & ~is_stated, -np.inf, routes.thresholds - HALF_UNIT)
        self._has_cuts = bool(np.isfinite(self._cuts).any())
        self._is_single = bool((routes.columns.vector_counts == 1).all())

    def __len__(self) -> int:
        return len(self._routes)

    @property
    def columns(self) -> RouteColumns:
        """The properties of the routes."""
        return self._routes.columns

    def match_route(
        self,
        embedding: Vectors,
        k: int = 3,
        *,
        now: datetime.datetime | None = None,
        context: RequestContext | None = None,
        closed: Container[int] = frozenset(),
        target_agents: Collection[str] | None = None,
        text: str | None = None,
    ) -> list[RouteMatch]:
        """Return up to k routes that the request may take, best first.

        The arguments are those of SemanticRoutes.match_route.
        """
        gate = self.gate(now, context, closed, target_agents)
        most = max(CANDIDATES, k + SPARE)
        words = self._words(text)
        while True:
            judged = self._judged(embedding, words, most)
            matches, was_refused = self._rank(judged, embedding, k, gate)
            if judged.is_whole or not was_refused or len(matches) == k:
                return matches
            most *= 4

    def gate(
        self,
        now: datetime.datetime | None,
        context: RequestContext | None,
        closed: Container[int],
        target_agents: Collection[str] | None,
    ) -> Gate:
        """Return what says whether a route may be taken; the arguments are match_route's."""
        return self._routes.gate(now, context, closed, target_agents)

    def judge(self, embedding: Vectors, text: str | None = None) -> RouteVerdict:
        """Return what is made of a request, conditions aside."""
        judged = self._judged(embedding, self._words(text), CANDIDATES)
        matches, _ = self._rank(judged, embedding, 1, None)
        margin = max(judged.margins)
        if matches:
            return RouteVerdict(matches[0].position, matches[0].confidence, margin)
        best = max(range(len(judged.positions)), key=judged.confidences.__getitem__)
        return RouteVerdict(judged.positions[best], judged.confidences[best], margin)

    def _words(self, text: str | None) -> Buckets:
        return NO_WORDS if text is None or not self._has_wording else word_buckets(text)

    def _judged(self, embedding: Vectors, words: Buckets, most: int) -> JudgedRoutes:
        """Judge the routes that the linear head finds likeliest, and those it does not know."""
        head, linear = self._head, self._weights.dot(embedding)
        linear += self._offsets
        count = len(linear)
        positions, rows = self._fitted, self._rows
        if count > most:
            likeliest = np.argpartition(linear, count - most)[count - most :]
            positions, linear = positions[likeliest], linear[likeliest]
            rows = rows[likeliest]
        known = len(positions)
        if len(self._unfitted):
            positions = np.concatenate([positions, self._unfitted])
        near, central = self._evidence(positions, embedding)
        if known < len(positions):
            estimated = head.estimated_linear(near[known:], central[known:])
            linear = np.concatenate([linear, estimated])
        spelled = head.estimated_wording(linear, near, central)
        if len(words):
            spelled[:known] = wording_evidence(head.wording, rows, words)
        log_odds = head.log_odds(linear, near, central, spelled)
        margins = head.scope_of(log_odds, near, central) - self._scope_cuts[positions]
        if self._has_cuts:
            margins = np.minimum(margins, self._above_cuts(positions, embedding))
        return JudgedRoutes(
            positions.tolist(),
            softmax(log_odds.tolist()),
            margins.tolist(),
            known == count,
        )

    def _evidence(self, positions: Positions, embedding: Vectors) -> tuple[Vectors, Vectors]:
        """Return density and centrality of routes."""
        request = mapped(embedding, self._head.metric)
        if self._is_single:
            # The vector is its own mean, and its density is its cosine.
            near: Vectors = self._neighbours[positions].dot(request)
            if not self._head.has_metric:
                return near, near
        else:
            counts = self.columns.vector_counts[positions]
            cosines = self._cosines(self._neighbours, positions, request)
            near = density(cosines, np.cumsum(counts) - counts, counts, self._head.sharpness)
        return near, self._centres[positions].dot(embedding)

    def _cosines(self, vectors: Vectors, positions: Positions, request: Vectors) -> Vectors:
        """Return the products of a request with the rows of routes, one after the other."""
        counts = self.columns.vector_counts[positions]
        total = int(counts.sum())
        if total <= FEW_ROWS or len(positions) > MANY_ROUTES:
            rows, _ = self._routes.rows_of(positions)
            found: Vectors = (
                vectors[rows].dot(request) if total <= FEW_ROWS else vectors.dot(request)[rows]
            )
            return found
        firsts = self._routes.starts[positions]
        slices = zip(firsts.tolist(), (firsts + counts).tolist(), strict=True)
        return np.concatenate([vectors[a:b].dot(request) for a, b in slices])

    def _above_cuts(self, positions: Positions, embedding: Vectors) -> NDArray[Any]:
        """Return how far the similarity of routes is above what it has to be at least."""
        cuts = self._cuts[positions]
        above = np.full(len(positions), np.inf)
        bound = np.flatnonzero(np.isfinite(cuts))
        if len(bound):
            routes = positions[bound]
            cosines = self._cosines(self._routes.vectors, routes, embedding)
            pooled = pooled_similarity(cosines, self.columns.vector_counts[routes])
            above[bound] = pooled - cuts[bound]
        return above

    def _similarity(self, position: int, embedding: Vectors) -> float:
        start = int(self._routes.starts[position])
        end = start + int(self.columns.vector_counts[position])
        return pooled_of(self._routes.vectors[start:end].dot(embedding))

    def _rank(
        self, judged: JudgedRoutes, embedding: Vectors, k: int, gate: Gate
    ) -> tuple[list[RouteMatch], bool]:
        """Return up to k of the routes in scope, best first, and whether the gate refused one."""
        place_of = {
            position: place
            for place, position in enumerate(judged.positions)
            if judged.margins[place] >= 0.0
        }
        if not place_of:
            return [], False
        candidates = [(p, rounded(judged.confidences[i])) for p, i in place_of.items()]
        candidates.sort(key=lambda candidate: (-candidate[1], candidate[0]))
        allowed = candidates if gate is None else [c for c in candidates if gate(c[0])]
        margin = self._routes.matching.priority_margin + HALF_UNIT
        ordered = by_priority(iter(allowed), self.columns.priorities, margin)
        matches = [self._match(judged, embedding, p, place_of[p]) for p, _ in islice(ordered, k)]
        return matches, len(allowed) < len(candidates)

    def _match(
        self, judged: JudgedRoutes, embedding: Vectors, position: int, place: int
    ) -> RouteMatch:
        return RouteMatch(
            position,
            self.columns.names[position],
            self.columns.target_agents[position],
            rounded(self._similarity(position, embedding)),
            judged.confidences[place],
        )


def softmax(log_odds: list[float]) -> list[float]:
    """Return the probabilities of a few log-odds."""
    greatest = max(log_odds)
    weights = [math.exp(odds - greatest) for odds in log_odds]
    total = sum(weights)
    return [weight / total for weight in weights]
