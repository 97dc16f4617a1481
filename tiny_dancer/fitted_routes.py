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

from tiny_dancer.near_ties import DECIMALS, by_priority
from tiny_dancer.route_conditions import RequestContext
from tiny_dancer.route_evidence import centres, density
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
        cosines: of the request with the vectors of these routes, one array after the other.
        starts: where those of each route begin, and where the last ones end.
        is_whole: whether no route was left out.
    """

    positions: list[int]
    confidences: list[float]
    margins: list[float]
    cosines: Vectors
    starts: list[int]
    is_whole: bool

    def similarity(self, place: int) -> float:
        """Return the similarity of request and route."""
        return pooled_of(self.cosines[self.starts[place] : self.starts[place + 1]])


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
            matches, was_refused = self._rank(judged, k, gate)
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
        matches, _ = self._rank(judged, 1, None)
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
        cosines, starts, near, central = self._evidence(positions, embedding)
        if known < len(positions):
            estimated = head.estimated_linear(near[known:], central[known:])
            linear = np.concatenate([linear, estimated])
        spelled = head.estimated_wording(linear, near, central)
        if len(words):
            spelled[:known] = wording_evidence(head.wording, rows, words)
        log_odds = head.log_odds(linear, near, central, spelled)
        margins = head.scope_of(log_odds, near, central) - self._scope_cuts[positions]
        if self._has_cuts:
            by_similarity = self._pooled(cosines, positions) - self._cuts[positions]
            margins = np.minimum(margins, by_similarity)
        return JudgedRoutes(
            positions.tolist(),
            softmax(log_odds.tolist()),
            margins.tolist(),
            cosines,
            starts,
            known == count,
        )

    def _evidence(
        self, positions: Positions, embedding: Vectors
    ) -> tuple[Vectors, list[int], Vectors, Vectors]:
        """Return cosines with the vectors of routes, their starts, density and centrality."""
        vectors, begins = self._routes.vectors, self._routes.starts
        if self._is_single:
            # The vector is its own mean, and its density is its cosine.
            one: Vectors = vectors[positions].dot(embedding)
            return one, list(range(len(positions) + 1)), one, one
        counts = self.columns.vector_counts[positions]
        ends = np.cumsum(counts)
        starts = ends - counts
        total = int(ends[-1])
        if total <= FEW_ROWS or len(positions) > MANY_ROUTES:
            rows, _ = self._routes.rows_of(positions)
            cosines = (
                vectors[rows].dot(embedding) if total <= FEW_ROWS else vectors.dot(embedding)[rows]
            )
        else:
            firsts = begins[positions]
            slices = zip(firsts.tolist(), (firsts + counts).tolist(), strict=True)
            cosines = np.concatenate([vectors[a:b].dot(embedding) for a, b in slices])
        near = density(cosines, starts, counts, self._head.sharpness)
        central = self._centres[positions].dot(embedding)
        return cosines, [*starts.tolist(), total], near, central

    def _pooled(self, cosines: Vectors, positions: Positions) -> NDArray[Any]:
        return pooled_similarity(cosines, self.columns.vector_counts[positions])

    def _rank(self, judged: JudgedRoutes, k: int, gate: Gate) -> tuple[list[RouteMatch], bool]:
        """Return up to k of the routes in scope, best first, and whether the gate refused one."""
        place_of = {
            position: place
            for place, position in enumerate(judged.positions)
            if judged.margins[place] >= 0.0
        }
        if not place_of:
            return [], False
        candidates = [(p, round(judged.confidences[i], DECIMALS)) for p, i in place_of.items()]
        candidates.sort(key=lambda candidate: (-candidate[1], candidate[0]))
        allowed = candidates if gate is None else [c for c in candidates if gate(c[0])]
        margin = self._routes.matching.priority_margin + HALF_UNIT
        ordered = by_priority(iter(allowed), self.columns.priorities, margin)
        matches = [self._match(judged, p, place_of[p]) for p, _ in islice(ordered, k)]
        return matches, len(allowed) < len(candidates)

    def _match(self, judged: JudgedRoutes, position: int, place: int) -> RouteMatch:
        return RouteMatch(
            position,
            self.columns.names[position],
            self.columns.target_agents[position],
            round(judged.similarity(place), DECIMALS),
            judged.confidences[place],
        )


def softmax(log_odds: list[float]) -> list[float]:
    """Return the probabilities of a few log-odds."""
    greatest = max(log_odds)
    weights = [math.exp(odds - greatest) for odds in log_odds]
    total = sum(weights)
    return [weight / total for weight in weights]
