"""Semantic routes with what was learned of them: matching by a fitted head.

The linear head looks at all routes in one product; the few that it finds likeliest are then judged
by their utterances, too. Routes that the head does not know, made or changed after the fit, are
always judged: by their utterances alone, and against a threshold on their similarity.
"""

from __future__ import annotations

import datetime
from collections.abc import Collection, Container
from itertools import islice
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tiny_dancer.index.exact import nearest
from tiny_dancer.near_ties import by_priority, descending
from tiny_dancer.route_conditions import RequestContext
from tiny_dancer.route_evidence import centres, density
from tiny_dancer.route_head import RouteHead, probabilities
from tiny_dancer.route_similarity import pooled_similarity
from tiny_dancer.semantic_routes import (
    HALF_UNIT,
    SHORTLIST,
    Gate,
    Positions,
    RouteColumns,
    RouteMatch,
    RouteVerdict,
    SemanticRoutes,
    Vectors,
)

# Above so many vectors of the routes judged, a product per route beats copying their rows together.
FEW_ROWS = 64
# Above so many routes, one product with all vectors beats one for each of them.
MANY_ROUTES = 64


class JudgedRoutes(NamedTuple):
    """What speaks for the routes that a request may mean.

    Attributes:
        positions: of the routes, ascending, [c].
        similarity: of request and route, [c].
        confidences: probability of each, given that one of the routes is right, [c].
        margins: scope less threshold, [c]; where it is not below 0, the route may be taken.
        is_whole: whether no route was left out.
    """

    positions: Positions
    similarity: NDArray[np.float64]
    confidences: NDArray[np.float64]
    margins: NDArray[np.float64]
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
        kept = kept[np.argsort(places[kept], kind="stable")]
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
    ) -> list[RouteMatch]:
        """Return up to k routes that the request may take, best first.

        The arguments are those of SemanticRoutes.match_route.
        """
        gate = self.gate(now, context, closed, target_agents)
        most = 2 * k + SHORTLIST
        while True:
            judged = self._judged(embedding, most)
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

    def judge(self, embedding: Vectors) -> RouteVerdict:
        """Return what is made of a request, conditions aside."""
        judged = self._judged(embedding, 2 + SHORTLIST)
        matches, _ = self._rank(judged, 1, None)
        margin = float(judged.margins.max())
        if matches:
            return RouteVerdict(matches[0].position, matches[0].confidence, margin)
        best = int(judged.confidences.argmax())
        return RouteVerdict(int(judged.positions[best]), float(judged.confidences[best]), margin)

    def _judged(self, embedding: Vectors, most: int) -> JudgedRoutes:
        """Judge the routes that the linear head finds likeliest, and those it does not know."""
        linear = self._weights.dot(embedding) + self._offsets
        likeliest = nearest(linear, most)
        positions = self._fitted[likeliest]
        if len(self._unfitted):
            positions = np.concatenate([positions, self._unfitted])
        similarity, counts = self._similarity(positions, embedding)
        starts = np.cumsum(counts) - counts
        near = density(similarity, starts, counts, self._head.sharpness)
        central = self._centres[positions].dot(embedding)
        known = len(likeliest)
        evidence = np.concatenate(
            [
                linear[likeliest],
                self._head.estimated_linear(near[known:], central[known:]),
            ]
        )
        log_odds = self._head.log_odds(evidence, near, central)
        scope = self._head.scope_of(log_odds, near, central)
        pooled = pooled_similarity(similarity, counts)
        margins = self._margins(positions, scope, pooled)
        order = np.argsort(positions, kind="stable")
        return JudgedRoutes(
            positions[order],
            pooled[order],
            probabilities(log_odds)[order],
            margins[order],
            known == len(linear),
        )

    def _margins(
        self, positions: Positions, scope: Vectors, similarity: Vectors
    ) -> NDArray[np.float64]:
        by_similarity = similarity - self._cuts[positions]
        by_scope = scope - self._scope_cuts[positions]
        margins: NDArray[np.float64] = np.minimum(by_similarity, by_scope)
        return margins

    def _similarity(
        self, positions: Positions, embedding: Vectors
    ) -> tuple[Vectors, NDArray[np.int64]]:
        """Return the cosines with the vectors of some routes, and how many each route has."""
        counts = self.columns.vector_counts[positions]
        vectors, starts = self._routes.vectors, self._routes.starts
        if int(counts.sum()) <= FEW_ROWS:
            rows, _ = self._routes.rows_of(positions)
            few: Vectors = vectors[rows].dot(embedding)
            return few, counts
        if len(positions) > MANY_ROUTES:
            rows, _ = self._routes.rows_of(positions)
            return vectors.dot(embedding)[rows], counts
        begins = starts[positions]
        slices = zip(begins.tolist(), (begins + counts).tolist(), strict=True)
        return np.concatenate([vectors[a:b].dot(embedding) for a, b in slices]), counts

    def _rank(self, judged: JudgedRoutes, k: int, gate: Gate) -> tuple[list[RouteMatch], bool]:
        """Return up to k of the routes in scope, best first, and whether the gate refused one."""
        in_scope = (judged.margins >= 0.0).nonzero()[0]
        if not len(in_scope):
            return [], False
        place_of = {int(judged.positions[i]): int(i) for i in in_scope.tolist()}
        candidates = list(
            descending(judged.positions[in_scope], judged.confidences[in_scope], 2 * k + SHORTLIST)
        )
        allowed = candidates if gate is None else [c for c in candidates if gate(c[0])]
        margin = self._routes.matching.priority_margin + HALF_UNIT
        ordered = by_priority(iter(allowed), self.columns.priorities, margin)
        matches = [
            self._match(judged, position, place_of[position]) for position, _ in islice(ordered, k)
        ]
        return matches, len(allowed) < len(candidates)

    def _match(self, judged: JudgedRoutes, position: int, place: int) -> RouteMatch:
        return RouteMatch(
            position,
            self.columns.names[position],
            self.columns.target_agents[position],
            round(float(judged.similarity[place]), 6),
            float(judged.confidences[place]),
        )
