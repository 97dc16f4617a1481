"""Semantic routes: which route, and so which agent, a request means.

A route is known by vectors: of its utterances (examples of what it takes), or one of its
description. A request takes the route that it is most similar to, if it is similar enough. There
is no I/O here: arrays in, matches out.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable, Collection, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from tiny_dancer.index.exact import nearest
from tiny_dancer.near_ties import NEVER, ROUNDING, Candidate, by_priority, descending
from tiny_dancer.route_conditions import RequestContext, RouteConditions
from tiny_dancer.route_matching import RouteMatching
from tiny_dancer.route_similarity import confidence, default_thresholds, pooled_similarity

Floats = NDArray[np.float64]
Positions = NDArray[np.intp]
Vectors = NDArray[np.float32]
# Whether the route at a position may be taken now; None if all may.
Gate = Callable[[int], bool] | None

# Of how many routes the similarity is worked out in full at first, beyond twice those asked for.
SHORTLIST = 10
HALF_UNIT = 0.5 * ROUNDING


@dataclass(frozen=True, slots=True)
class SemanticRoute:
    """One route.

    Attributes:
        target_agent: name of the agent that takes its requests.
        embeddings: float32 unit rows [vectors, dimension]; a single row for a description.
        has_utterances: whether the rows are of utterances.
        threshold: least similarity, None for the default.
    """

    name: str
    target_agent: str
    embeddings: Vectors
    has_utterances: bool = False
    priority: int = 0
    threshold: float | None = None
    conditions: RouteConditions | None = None


class RouteMatch(NamedTuple):
    """A route that a request may take.

    Attributes:
        position: of the route in its SemanticRoutes.
        similarity: of the request and the route, in [-1, 1].
        confidence: probability that the route is right, given that one of the routes is.
    """

    position: int
    name: str
    target_agent: str
    similarity: float
    confidence: float


class RouteVerdict(NamedTuple):
    """What is made of a request, conditions aside.

    Attributes:
        position: of the route that it is matched to, or would be if it were in scope.
        confidence: of that route.
        margin: how far within scope it is; it is matched to a route from 0 on. Margins of the
            same routes can be compared, and only these.
    """

    position: int
    confidence: float
    margin: float


class VectorIndex(Protocol):
    """Finds the vectors nearest to a request without looking at all of them."""

    def search(self, embedding: Vectors, most: int) -> tuple[Positions, Vectors]:
        """Return the positions of up to ``most`` vectors and their similarities."""


@dataclass(frozen=True, slots=True)
class RouteColumns:
    """The properties of n routes, ordered by the code points of their names.

    Attributes:
        thresholds: NaN for the default.
        conditions: by position, of the routes that have some.
        vector_counts: how many vectors each route has, at least 1.
        has_utterances: whether these are of utterances.
    """

    names: Sequence[str]
    target_agents: Sequence[str]
    priorities: Sequence[int]
    thresholds: Floats
    conditions: Mapping[int, RouteConditions]
    vector_counts: NDArray[np.int64]
    has_utterances: NDArray[np.bool_]


class RouteExtremes(NamedTuple):
    """What no route of all goes beyond; says when those that were not looked at matter no more."""

    greatest_priority: int
    least_threshold: float


class Shortlist(NamedTuple):
    """The routes that a request may be nearest to.

    Attributes:
        positions: of the routes, ascending; None for all of them.
        similarity: of each, in the same order.
        bound: no route that was left out is more similar; minus infinity if none was left out.
    """

    positions: Positions | None
    similarity: NDArray[Any]
    bound: float = -math.inf


class SemanticRoutes:
    """Routes as arrays, ordered by name, which is the last tie-break of a match.

    Args:
        columns: the routes.
        vectors: float32 unit rows [vectors, dimension], grouped by route in their order; None
            where shortlists come from elsewhere.
        matching: thresholds and margin.
        index: over the same rows; None to look at all of them.
        extremes: of all routes where the columns are of some of them; None where they are of all.

    Attributes:
        thresholds: least similarity of each route, defaults filled in.
    """

    def __init__(
        self,
        columns: RouteColumns,
        vectors: Vectors | None = None,
        matching: RouteMatching | None = None,
        index: VectorIndex | None = None,
        extremes: RouteExtremes | None = None,
    ) -> None:
        self.columns = columns
        self.vectors = np.zeros((0, 0), np.float32) if vectors is None else vectors
        self.matching = matching or RouteMatching()
        self.index = index
        counts = columns.vector_counts
        self.starts: Positions = (np.cumsum(counts) - counts).astype(np.intp)
        defaults = default_thresholds(
            counts,
            columns.has_utterances,
            self.matching.threshold,
            self.matching.description_threshold,
        )
        self.thresholds: Floats = np.where(
            np.isnan(columns.thresholds), defaults, columns.thresholds
        )
        # Half a unit of the last decimal less, so that a rounded similarity can equal it.
        self._cuts: Vectors = (self.thresholds - HALF_UNIT).astype(np.float32)
        self._has_priorities = len(set(columns.priorities)) > 1
        self._extremes = extremes or RouteExtremes(
            max(columns.priorities, default=0), float(self.thresholds.min(initial=math.inf))
        )
        self._is_single: bool = bool((counts == 1).all())

    @classmethod
    def from_routes(
        cls, routes: Sequence[SemanticRoute], matching: RouteMatching | None = None
    ) -> SemanticRoutes:
        """Return the arrays of some routes, each of which has at least one embedding."""
        ordered = sorted(routes, key=lambda route: route.name)
        given = [math.nan if r.threshold is None else r.threshold for r in ordered]
        columns = RouteColumns(
            names=[route.name for route in ordered],
            target_agents=[route.target_agent for route in ordered],
            priorities=[route.priority for route in ordered],
            thresholds=np.array(given, np.float64),
            conditions={i: r.conditions for i, r in enumerate(ordered) if r.conditions},
            vector_counts=np.array([len(route.embeddings) for route in ordered], np.int64),
            has_utterances=np.array([route.has_utterances for route in ordered], bool),
        )
        rows = [np.asarray(route.embeddings, np.float32) for route in ordered]
        return cls(columns, np.vstack(rows) if rows else None, matching)

    def __len__(self) -> int:
        return len(self.columns.names)

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

        Args:
            embedding: unit vector of the request, float32 [dimension].
            k: at least 1.
            now: with its time zone; by default the present time.
            context: of the request, for conditions on it.
            closed: positions of routes that can not be taken now, whatever their conditions.
            target_agents: only routes to one of these; by default to any.
            text: of the request, where it is known; a fit learned from it, similarity does not.
        """
        gate = self.gate(now, context, closed, target_agents)
        most = 2 * k + SHORTLIST
        while len(self):
            shortlist = self.shortlist(embedding, most)
            matches = self.rank(shortlist, k, gate)
            if self.is_settled(shortlist, matches, k):
                return matches
            most *= 4
        return []

    def best_route(
        self,
        embedding: Vectors,
        target_agents: Collection[str],
        *,
        now: datetime.datetime | None = None,
        context: RequestContext | None = None,
        closed: Container[int] = frozenset(),
    ) -> RouteMatch | None:
        """Return the best route in scope whose target is one of the agents, None without one.

        The arguments are those of match_route.
        """
        matches = self.match_route(
            embedding, 1, now=now, context=context, closed=closed, target_agents=target_agents
        )
        return matches[0] if matches else None

    def judge(self, embedding: Vectors, text: str | None = None) -> RouteVerdict:
        """Return what is made of a request, conditions aside; there must be a route.

        The arguments are those of match_route.
        """
        shortlist = self.shortlist(embedding, SHORTLIST)
        similarity, positions = shortlist.similarity, shortlist.positions
        cuts = self._cuts if positions is None else self._cuts[positions]
        margin = float((similarity - cuts).max())
        matches = self.rank(shortlist, 1)
        if matches:
            return RouteVerdict(matches[0].position, matches[0].confidence, margin)
        best, second = two_greatest(similarity)
        place = int(similarity.argmax())
        position = place if positions is None else int(positions[place])
        return RouteVerdict(position, confidence(best, best - second), margin)

    def gate(
        self,
        now: datetime.datetime | None,
        context: RequestContext | None,
        closed: Container[int],
        target_agents: Collection[str] | None,
    ) -> Gate:
        """Return what says whether a route may be taken; the arguments are match_route's."""
        conditions, targets = self.columns.conditions, self.columns.target_agents
        if not conditions and not closed and target_agents is None:
            return None
        moment = now or datetime.datetime.now(datetime.UTC)
        asked = context or RequestContext()
        wanted = None if target_agents is None else frozenset(target_agents)

        def may_be_taken(position: int) -> bool:
            if position in closed or (wanted is not None and targets[position] not in wanted):
                return False
            condition = conditions.get(position)
            return condition is None or condition.hold(moment, asked)

        return may_be_taken

    def shortlist(self, embedding: Vectors, most: int) -> Shortlist:
        """Return the routes with the ``most`` most similar vectors, and their similarity."""
        if self.index is not None:
            found, similarity = self.index.search(embedding, most)
            owners = np.searchsorted(self.starts, found, side="right") - 1
            bound = float(similarity.min()) if len(found) < len(self.vectors) else -math.inf
            # Not np.unique: its first call imports numpy.ma.
            positions = np.array(sorted(set(owners.tolist())), dtype=np.intp)
            return self._exactly(embedding, positions, bound)
        similarity = self.vectors @ embedding
        if self._is_single:
            return Shortlist(None, similarity)
        best = np.maximum.reduceat(similarity, self.starts)
        if len(best) <= most:
            return Shortlist(None, pooled_similarity(similarity, self.columns.vector_counts))
        chosen = nearest(best, most)
        bound = float(best[chosen[-1]])
        positions = np.sort(chosen)
        rows, counts = self.rows_of(positions)
        return Shortlist(positions, pooled_similarity(similarity[rows], counts), bound)

    def _exactly(self, embedding: Vectors, positions: Positions, bound: float) -> Shortlist:
        rows, counts = self.rows_of(positions)
        similarity = self.vectors[rows] @ embedding
        return Shortlist(positions, pooled_similarity(similarity, counts), bound)

    def rows_of(self, positions: Positions) -> tuple[Positions, NDArray[np.int64]]:
        """Return the rows of the vectors of some routes, grouped, and how many each has."""
        counts = self.columns.vector_counts[positions]
        shift = self.starts[positions] - (np.cumsum(counts) - counts)
        rows: Positions = np.repeat(shift, counts) + np.arange(int(counts.sum()))
        return rows, counts

    def is_settled(self, shortlist: Shortlist, matches: Sequence[RouteMatch], k: int) -> bool:
        """Return whether no route outside the shortlist could change the matches."""
        if shortlist.bound < self._extremes.least_threshold - HALF_UNIT:
            return True
        if len(matches) < k:
            return False
        least = min(match.similarity for match in matches)
        return least - self._reach(matches) > shortlist.bound

    def _reach(self, matches: Sequence[RouteMatch]) -> float:
        """Return by how much a less similar route might still come before one of the matches."""
        priorities, greatest = self.columns.priorities, self._extremes.greatest_priority
        if all(priorities[match.position] >= greatest for match in matches):
            return ROUNDING
        return self.matching.priority_margin + ROUNDING

    def rank(self, shortlist: Shortlist, k: int, gate: Gate = None) -> list[RouteMatch]:
        """Return up to k of the shortlist at or above their threshold, best first."""
        candidates = self._in_scope(shortlist, 2 * k + SHORTLIST)
        if gate is not None:
            candidates = (c for c in candidates if gate(c[0]))
        if self._has_priorities:
            margin = self.matching.priority_margin + HALF_UNIT
            candidates = by_priority(candidates, self.columns.priorities, margin)
        taken = list(islice(candidates, k))
        if not taken:
            return []
        best, second = two_greatest(shortlist.similarity)
        return [
            self._match(position, value, second if value > best - HALF_UNIT else best)
            for position, value in taken
        ]

    def _in_scope(self, shortlist: Shortlist, first: int) -> Iterator[Candidate]:
        """Return (position, similarity) of the routes at or above their threshold, best first."""
        similarity, positions = shortlist.similarity, shortlist.positions
        cuts = self._cuts if positions is None else self._cuts[positions]
        # Before they are put in order: of routes far below a threshold of their own there may be
        # many that are above the lowest of all.
        ordered = descending(np.where(similarity >= cuts, similarity, NEVER), first)
        if positions is None:
            return ordered
        return ((positions.item(place), value) for place, value in ordered)

    def _match(self, position: int, similarity: float, rival: float) -> RouteMatch:
        return RouteMatch(
            position,
            self.columns.names[position],
            self.columns.target_agents[position],
            similarity,
            confidence(similarity, similarity - rival),
        )


def two_greatest(similarity: NDArray[Any]) -> tuple[float, float]:
    """Return the greatest similarity and the next; a lone route's rival has similarity 0."""
    if len(similarity) < 2:
        return float(similarity[0]), 0.0
    place = int(similarity.argmax())
    # For two of them faster than a partition.
    others = similarity.copy()
    others[place] = NEVER
    return similarity.item(place), others.item(int(others.argmax()))
