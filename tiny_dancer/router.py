"""The routing decision: from a request and the registry to one agent and the reasons.

Every agent is looked at: estimate, filter, score, rank. There is no I/O here and no state but
the registry and the settings it was made with, so the same inputs give the same decision.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from tiny_dancer.agents.capabilities import capability_match
from tiny_dancer.agents.live_state import LiveState
from tiny_dancer.agents.performance import AgentPerformance
from tiny_dancer.agents.pool import pool_representatives
from tiny_dancer.agents.registry import AgentRegistry
from tiny_dancer.constraints import NO_DEMANDS, RoutingConstraints, constraint_masks
from tiny_dancer.errors import NoSuitableAgentError
from tiny_dancer.expected_quality import shaded_prior
from tiny_dancer.policies import POLICIES, Candidates, Weights
from tiny_dancer.policies.hybrid import thrift
from tiny_dancer.policies.normalisation import LEAST_COST, LEAST_LATENCY_MS, less_is_better
from tiny_dancer.reasoning import (
    Standing,
    explain_choice,
    explain_exploration,
    explain_removals,
    explain_route_taken,
)
from tiny_dancer.request import Request
from tiny_dancer.settings import Settings
from tiny_dancer.tie_rounding import round_scores

if TYPE_CHECKING:
    from tiny_dancer.exploration import Exploration
    from tiny_dancer.learning.learned_quality import LearnedQuality

Floats = NDArray[np.float64]
Positions = NDArray[np.intp]

# How many lengths of requests a router remembers the costs of.
LENGTHS_KEPT = 256
# So many greatest numbers are found one after the other faster than by sorting.
FOUND_ONE_BY_ONE = 8


class Estimate(NamedTuple):
    """What is expected of every agent for one request, as arrays over the registry.

    Attributes:
        similarity: cosine of capabilities and request in [-1, 1]; the reference value where an
            agent has no embedding.
        match: the same in [0, 1].
        cost: dollars, NaN where unknown.
        expected_quality: in [0, 1].
        cost_scores: 1 for the cheapest of all agents and 0 for the dearest, where that is known.
        thrift: see ``LengthCosts``, where that is known.
        heads: what was learned says of the request; None where nothing was learned.
    """

    similarity: Floats
    match: Floats
    cost: Floats
    expected_quality: Floats
    cost_scores: Floats | None = None
    thrift: Floats | None = None
    heads: Floats | None = None


class LengthCosts(NamedTuple):
    """What requests of one length cost, as arrays over the registry that nobody may change.

    Attributes:
        cost: dollars, NaN where unknown.
        scores: 1 for the cheapest of all agents and 0 for the dearest.
        thrift: what cost and latency add to a balanced score by the router's own weights.
    """

    cost: Floats
    scores: Floats
    thrift: Floats | None


class RouteTaken(Protocol):
    """A semantic route that a request means."""

    @property
    def name(self) -> str:
        """Its name."""
        ...

    @property
    def target_agent(self) -> str:
        """Name of the agent it leads to."""
        ...

    @property
    def similarity(self) -> float:
        """Of the request and the route, in [-1, 1]."""
        ...


# From the names of the agents that may be chosen to the route that the request means.
SemanticMatch = Callable[[Collection[str]], "RouteTaken | None"]


class RoutingDecision(NamedTuple):
    """The chosen agent and why.

    Attributes:
        agent_name: the chosen agent.
        confidence: probability that the agent's outcome is a success.
        estimated_cost: dollars, None if unknown.
        estimated_latency_ms: milliseconds, None if unknown.
        expected_quality: of this request, in [0, 1].
        similarity: of its capabilities and the request, None if it has none.
        reasoning: a sentence that is true of the numbers it names.
        alternatives: the runners-up, best first.
        position: of the chosen agent in the registry.
        candidates: positions of the agents that passed every constraint.
        estimate: what was expected of every agent.
        routed_by: which part of the router decided.
        route_name: of the semantic route that decided, None where none did.
        confidence_basis: what the confidence rests on.
        propensity: probability with which this agent was chosen.
        propensities: that of each candidate, None where chance had no part in it.
    """

    agent_name: str
    confidence: float
    estimated_cost: float | None
    estimated_latency_ms: float | None
    expected_quality: float
    similarity: float | None
    reasoning: str
    alternatives: list[Standing]
    position: int
    candidates: Positions
    estimate: Estimate
    confidence_basis: str
    routed_by: str = "score"
    route_name: str | None = None
    propensity: float = 1.0
    propensities: Floats | None = None


class Router:
    """Routes requests over one state of the registry.

    Args:
        registry: the agents.
        settings: see Settings.
        performance: what is expected of the agents; by default what was registered.
        live: their health and budgets; by default all are healthy and without a budget.
        learned: what was learned about them; by default nothing.
    """

    def __init__(
        self,
        registry: AgentRegistry,
        settings: Settings | None = None,
        performance: AgentPerformance | None = None,
        live: LiveState | None = None,
        learned: LearnedQuality | None = None,
    ) -> None:
        self.registry = registry
        self.settings = settings or Settings()
        self.weights = self.settings.weights
        self.performance = performance or AgentPerformance(registry, self.settings)
        self.live = live or LiveState.idle(len(registry))
        self.learned = learned
        self._similarity_weight: Floats = np.array(self.settings.similarity_weight)
        self._latency_scores: Floats | None = None
        self._length_costs: dict[int, LengthCosts] = {}
        self._available: Positions = registry.available.nonzero()[0]
        self._available.flags.writeable = False

    def route(
        self,
        request: Request,
        constraints: RoutingConstraints,
        optimize_for: str = "balanced",
        weights: Weights | None = None,
        semantic: SemanticMatch | None = None,
        exploration: Exploration | None = None,
    ) -> RoutingDecision:
        """Return the best agent for the request, or now and then another candidate.

        Args:
            request: its length and its embedding.
            constraints: checked demands.
            optimize_for: a key of POLICIES.
            weights: of a balanced decision; by default those of the settings.
            semantic: finds the semantic route that the request means; where it leads to an agent
                that passes the constraints, that agent is chosen whatever its score.
            exploration: how often another candidate is drawn where scores decide; never by default.

        Raises:
            NoSuitableAgentError: constraints removed every agent; DETAIL counts by which.
        """
        estimate = self.estimate(request)
        passing = self.passing(estimate, request, constraints)
        candidates = self.representatives(passing)
        scores = self.score(estimate, candidates, constraints, optimize_for, weights)
        ranking = self.rank(estimate, candidates, scores, self.settings.alternatives + 1)
        route = semantic({self.registry.names[p] for p in passing.tolist()}) if semantic else None
        if route is None:
            if exploration is None or len(candidates) < 2:
                return self._decision(estimate, candidates, scores, ranking, optimize_for)
            return self._explored(estimate, candidates, scores, ranking, optimize_for, exploration)
        target = self._place_of(candidates, self.registry.position[route.target_agent])
        ranking = self._led_by(target, ranking)
        decision = self._decision(estimate, candidates, scores, ranking, optimize_for)
        return decision._replace(
            routed_by="semantic_route",
            route_name=route.name,
            reasoning=explain_route_taken(route.name, route.similarity, decision.agent_name),
        )

    def _led_by(self, first: int, ranking: list[int]) -> list[int]:
        """Return a ranking with another candidate before all others."""
        others = [place for place in ranking if place != first]
        return [first, *others[: self.settings.alternatives]]

    def _explored(
        self,
        estimate: Estimate,
        candidates: Positions,
        scores: Floats,
        ranking: list[int],
        optimize_for: str,
        exploration: Exploration,
    ) -> RoutingDecision:
        """Return the decision for a candidate drawn by chance, which mostly is the best one."""
        best = ranking[0]
        propensities = exploration.probabilities(scores, best)
        drawn = exploration.draw(propensities)
        if drawn != best:
            ranking = self._led_by(drawn, ranking)
        decision = self._decision(estimate, candidates, scores, ranking, optimize_for)._replace(
            propensity=float(propensities[drawn]), propensities=propensities
        )
        if drawn == best:
            return decision
        return decision._replace(
            routed_by="exploration",
            reasoning=explain_exploration(
                decision.agent_name,
                decision.propensity,
                self.registry.names[candidates[best]],
                optimize_for,
                len(candidates),
            ),
        )

    def _place_of(self, candidates: Positions, position: int) -> int:
        """Return where in the candidates an agent stands, or who stands for its pool."""
        pools = self.registry.pool_ids
        found = np.flatnonzero(candidates == position)
        if not len(found):
            found = np.flatnonzero(pools[candidates] == pools[position])
        return int(found[0])

    def estimate(self, request: Request) -> Estimate:
        """Return what is expected of every agent for the request."""
        similarity, reference = self._similarity(request.embedding)
        heads = self.heads(request)
        quality = self.quality(similarity, reference, heads)
        costs = self._costs_of(request.input_tokens)
        return Estimate(
            similarity,
            capability_match(similarity),
            costs.cost,
            quality,
            costs.scores,
            costs.thrift,
            heads,
        )

    def heads(self, request: Request) -> Floats | None:
        """Return what was learned says of a request, None where nothing was learned."""
        learned = self.learned
        if learned is None:
            return None
        return learned.head_log_odds(request.embedding, request.lexical)

    def quality(
        self, similarity: Floats, reference: float | Floats, heads: Floats | None
    ) -> Floats:
        """Return the expected quality of every agent, [n], or [b, n] of b requests.

        Args:
            similarity: of capabilities and request, [n] or [b, n].
            reference: the similarity that changes nothing, a number or [b, 1].
            heads: what was learned says of the request or requests, None for nothing.
        """
        if heads is None or self.learned is None:
            return shaded_prior(
                self.performance.log_odds, similarity, reference, self._similarity_weight
            )
        return self.learned.expected(heads, similarity - reference)

    def foreseen(self, estimate: Estimate) -> Floats | None:
        """Return the quality that the router model alone expects of every agent, [n].

        NaN where it knows nothing, None where there is no model.
        """
        if estimate.heads is None or self.learned is None:
            return None
        reference = float(estimate.similarity.dot(self.registry.reference_weights))
        return self.learned.foreseen(estimate.heads, estimate.similarity - reference)

    def cost(self, input_tokens: int) -> Floats:
        """Return the estimated dollars of a request for every agent, NaN where unknown."""
        return self._costs_of(input_tokens).cost

    def _costs_of(self, input_tokens: int) -> LengthCosts:
        """Return what requests of a length cost; lengths recur, so it is kept."""
        kept = self._length_costs.get(input_tokens)
        if kept is not None:
            return kept
        performance = self.performance
        cost: Floats = self.registry.input_price * float(input_tokens)
        cost += performance.constant_cost
        if not performance.all_priced:
            cost[~performance.priced] = np.nan
        scores = less_is_better(cost, LEAST_COST) if len(cost) else cost
        spared = thrift(self.weights, lambda: scores, self.speed_scores) if len(cost) else cost
        for array in (cost, scores, spared):
            if array is not None:
                array.flags.writeable = False
        if len(self._length_costs) >= LENGTHS_KEPT:
            self._length_costs.clear()
        self._length_costs[input_tokens] = LengthCosts(cost, scores, spared)
        return self._length_costs[input_tokens]

    def speed_scores(self) -> Floats:
        """Return 1 for the fastest of all agents and 0 for the slowest."""
        if self._latency_scores is None:
            self._latency_scores = less_is_better(self.performance.latency_ms, LEAST_LATENCY_MS)
            self._latency_scores.flags.writeable = False
        return self._latency_scores

    def _similarity(self, embedding: NDArray[np.float32]) -> tuple[Floats, Floats]:
        """Return the similarity of every agent, [n], and the one that changes nothing, []."""
        registry = self.registry
        similarity = registry.similarities(embedding)
        # As an array, for of a number NumPy makes one in each pass.
        reference: Floats = np.empty(())
        similarity.dot(registry.reference_weights, reference)
        if not registry.all_embedded:
            similarity[~registry.embedded] = reference
        return similarity, reference

    def candidates(
        self, estimate: Estimate, request: Request, constraints: RoutingConstraints
    ) -> Positions:
        """Return the positions of the agents that pass every constraint, one of each pool.

        Raises:
            NoSuitableAgentError: there is none.
        """
        return self.representatives(self.passing(estimate, request, constraints))

    def representatives(self, positions: Positions) -> Positions:
        """Return the positions without the members of pools that another member stands for."""
        registry = self.registry
        if not registry.has_pools:
            return positions
        return pool_representatives(
            positions, registry.pool_ids, self.live.in_flight, registry.weights
        )

    def passing(
        self, estimate: Estimate, request: Request, constraints: RoutingConstraints
    ) -> Positions:
        """Return the positions of the agents that pass every constraint.

        Raises:
            NoSuitableAgentError: there is none.
        """
        if constraints is NO_DEMANDS and self._takes_anything_of(request.input_tokens):
            return self._available
        kept = self.registry.available
        for _, passes in self.masks(estimate, request, constraints):
            if passes is not kept:
                kept = kept & passes
        positions: Positions = kept.nonzero()[0]
        if not len(positions):
            raise self._no_suitable_agent(estimate, request, constraints)
        return positions

    def _takes_anything_of(self, input_tokens: int) -> bool:
        """Whether every available agent may be chosen for a request of a length."""
        if self.live.is_restricted or self.performance.least_room < input_tokens:
            return False
        return len(self._available) > 0

    def masks(
        self, estimate: Estimate, request: Request, constraints: RoutingConstraints
    ) -> Iterator[tuple[str, NDArray[np.bool_]]]:
        """Yield each constraint that is set with the agents that pass it."""
        return constraint_masks(
            constraints,
            self.registry,
            self.performance,
            self.live,
            input_tokens=request.input_tokens,
            cost=estimate.cost,
            expected_quality=estimate.expected_quality,
        )

    def _no_suitable_agent(
        self, estimate: Estimate, request: Request, constraints: RoutingConstraints
    ) -> NoSuitableAgentError:
        kept = np.ones(len(self.registry), dtype=bool)
        removed: dict[str, int] = {}
        for name, passes in self.masks(estimate, request, constraints):
            removed[name] = int((kept & ~passes).sum())
            kept &= passes
        return NoSuitableAgentError(
            "no agent fits the request",
            detail=explain_removals(len(self.registry), removed),
            hint="Loosen a constraint or register an agent; ruvector_explain_route shows each one.",
        )

    def score(
        self,
        estimate: Estimate,
        positions: Positions,
        constraints: RoutingConstraints,
        optimize_for: str,
        weights: Weights | None = None,
    ) -> Floats:
        """Return the scores of the candidates at ``positions``, higher is better."""
        has_floor = constraints.quality_floor is not None
        if len(positions) == len(self.registry):
            candidates = Candidates(
                estimate.cost,
                self.performance.latency_ms,
                estimate.expected_quality,
                estimate.match,
                has_floor,
                cost_scores=estimate.cost_scores,
                latency_scores=self.speed_scores(),
                thrift=estimate.thrift if weights is None else None,
            )
        else:
            candidates = Candidates(
                estimate.cost[positions],
                self.performance.latency_ms[positions],
                estimate.expected_quality[positions],
                estimate.match[positions],
                has_floor,
            )
        scores = POLICIES[optimize_for](candidates, weights or self.weights)
        return round_scores(scores)

    def rank(
        self, estimate: Estimate, positions: Positions, scores: Floats, most: int
    ) -> list[int]:
        """Return indices into ``positions``, best first, at most ``most`` of them.

        Ties in the score are broken by cost, then latency, then name; unknown comes last.
        """
        first = greatest(scores, most + 1)
        best = [scores.item(place) for place in first]
        # Mostly they differ, and no tie has to be broken.
        if len(set(best)) == len(best):
            return first[:most]
        chosen = np.flatnonzero(scores >= best[-1])
        ranked = chosen[self._order(estimate, positions[chosen], scores[chosen])[:most]]
        return ranked.tolist()  # type: ignore[no-any-return]

    def _order(self, estimate: Estimate, positions: Positions, scores: Floats) -> Positions:
        latency, cost = self.performance.latency_ms, estimate.cost
        if len(positions) < len(cost):
            latency, cost = latency[positions], cost[positions]
        # lexsort is stable and positions are ordered by name.
        return np.lexsort((latency, cost, -scores))

    def _decision(
        self,
        estimate: Estimate,
        positions: Positions,
        scores: Floats,
        ranking: list[int],
        optimize_for: str,
    ) -> RoutingDecision:
        at = [positions.item(place) for place in ranking]
        standings = self._standings(estimate, at, [scores.item(place) for place in ranking])
        best, chosen = standings[0], at[0]
        return RoutingDecision(
            agent_name=best.agent_name,
            confidence=best.expected_quality,
            estimated_cost=best.estimated_cost,
            estimated_latency_ms=best.estimated_latency_ms,
            expected_quality=best.expected_quality,
            similarity=best.similarity,
            reasoning=explain_choice(standings, optimize_for, len(positions)),
            alternatives=standings[1:],
            position=chosen,
            candidates=positions,
            estimate=estimate,
            confidence_basis=self._confidence_basis(chosen),
        )

    def _confidence_basis(self, position: int) -> str:
        learned = self.learned
        if learned is not None and learned.learned[position]:
            return f"learned from {_count(int(learned.observations[position]))}"
        observed = int(self.performance.requests[position])
        return f"prior and {_count(observed)}" if observed else "prior"

    def _standings(
        self, estimate: Estimate, at: Sequence[int], scores: Sequence[float]
    ) -> list[Standing]:
        """Return how the agents at some positions stand, with their scores."""
        registry = self.registry
        # Of few agents one number after the other is faster than one array after the other.
        names, quality = registry.names, estimate.expected_quality.item
        similarity, cost = estimate.similarity.item, estimate.cost.item
        latency = self.performance.latency_ms.item
        standings = []
        for position, score in zip(at, scores, strict=True):
            dollars, milliseconds = cost(position), latency(position)
            standings.append(
                Standing(
                    names[position],
                    score,
                    quality(position),
                    similarity(position),
                    # NaN alone differs from itself.
                    dollars if dollars == dollars else None,
                    milliseconds if milliseconds == milliseconds else None,
                )
            )
        if registry.all_embedded:
            return standings
        has_vector = [registry.embedded.item(position) for position in at]
        return [
            standing if has else standing._replace(similarity=None)
            for standing, has in zip(standings, has_vector, strict=True)
        ]


def greatest(values: Floats, most: int) -> list[int]:
    """Return where the greatest of some values are, the greatest first, at most so many."""
    most = min(most, len(values))
    if most > FOUND_ONE_BY_ONE:
        places = values.argpartition(-most)[-most:]
        return places[values[places].argsort()[::-1]].tolist()  # type: ignore[no-any-return]
    # NumPy's sorts are as much code as a tenth of a decision, which it would bring into the
    # processor's caches each time.
    left = values.copy()
    found = []
    for _ in range(most):
        found.append(place := int(left.argmax()))
        left[place] = -np.inf
    return found


def known(values: Floats) -> list[float | None]:
    """Return builtin floats, None for NaN."""
    return [unless_nan(value) for value in values.tolist()]


def number(value: np.float64) -> float | None:
    """Return a builtin float, None for NaN."""
    return unless_nan(float(value))


def unless_nan(value: float) -> float | None:
    """Return a number, None for NaN, which alone differs from itself."""
    return value if value == value else None


def _count(outcomes: int) -> str:
    return "1 outcome" if outcomes == 1 else f"{outcomes} outcomes"
