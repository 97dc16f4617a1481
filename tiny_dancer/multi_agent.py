"""Several agents for one request: in a row, side by side, or as one voice.

``pipeline`` gives each part of the request to the agent with the capability nearest to it,
``parallel`` picks agents that are good and unlike each other, ``ensemble`` the best ones with
the weights of their votes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tiny_dancer.agents.capabilities import capability_key, capability_match
from tiny_dancer.constraints import RoutingConstraints
from tiny_dancer.errors import InvalidArgumentError
from tiny_dancer.expected_quality import similarities
from tiny_dancer.policies import Weights
from tiny_dancer.reasoning import dollars, milliseconds
from tiny_dancer.request import Request
from tiny_dancer.router import Estimate, Positions, Router, number

Floats = NDArray[np.float64]
Vector = NDArray[np.float32]

STRATEGIES = ("pipeline", "parallel", "ensemble")
MAX_AGENTS = 50

# Marginal relevance (Carbonell and Goldstein, SIGIR 1998): how much an agent's score counts
# against its likeness to those already picked.
RELEVANCE = 0.7
# A part is read in the light of the whole request: "deploy" of what?
WHOLE_SHARE = 0.3
# A vote of an agent no better than chance still counts a little.
LEAST_VOTE = 0.05


class Assignment(NamedTuple):
    """One agent of several.

    Attributes:
        step: 1, 2, ... in the order of the pipeline, or of the ranking.
        role: what the agent is there for.
        weight: of its answer among all answers; these sum to 1.
    """

    step: int
    role: str
    agent_name: str
    weight: float
    confidence: float
    estimated_cost: float | None
    estimated_latency_ms: float | None
    reasoning: str


class Plan(NamedTuple):
    """All assignments, and what they cost and take together; None where one is unknown."""

    assignments: list[Assignment]
    total_cost: float | None
    total_latency_ms: float | None


class Part(NamedTuple):
    """A part of a request: its text, its unit vector and, where they matter, lexical features."""

    text: str
    embedding: Vector
    lexical: Vector | None = None


class Team(NamedTuple):
    """What every strategy needs: the router, the request and the candidates with their scores."""

    router: Router
    request: Request
    estimate: Estimate
    positions: Positions
    scores: Floats
    score: Callable[[Estimate, Positions], Floats]


def check_strategy(strategy: str | None) -> str:
    """Return the strategy if there is one of that name.

    Raises:
        InvalidArgumentError: there is none; the hint lists them.
    """
    if strategy in STRATEGIES:
        return strategy
    raise InvalidArgumentError(
        f"unknown strategy {strategy!r}", hint=f"Use one of: {', '.join(STRATEGIES)}."
    )


def gather(
    router: Router,
    request: Request,
    constraints: RoutingConstraints,
    optimize_for: str,
    weights: Weights | None = None,
) -> Team:
    """Return the candidates of a request with their scores.

    Raises:
        NoSuitableAgentError: constraints removed every agent.
    """
    estimate = router.estimate(request)
    positions = router.candidates(estimate, request, constraints)

    def score(estimate: Estimate, positions: Positions) -> Floats:
        return router.score(estimate, positions, constraints, optimize_for, weights)

    return Team(router, request, estimate, positions, score(estimate, positions), score)


def parallel(team: Team, count: int) -> Plan:
    """Pick agents that score high and whose capabilities differ; each answers on its own."""
    chosen = _diverse(team, count)
    shares = [1.0 / len(chosen)] * len(chosen)
    return _side_by_side(team, chosen, shares, role="worker", does="works in parallel")


def ensemble(team: Team, count: int) -> Plan:
    """Pick the agents that score highest, with the weights of their votes.

    An answer counts by the log-odds of its being right, which is what makes a weighted majority
    right most often (Nitzan and Paroush, International Economic Review 23, 1982).
    """
    ranking = team.router.rank(team.estimate, team.positions, team.scores, count)
    quality = team.estimate.expected_quality[team.positions[ranking]].clip(1e-3, 1.0 - 1e-3)
    votes = np.maximum(np.log(quality / (1.0 - quality)), LEAST_VOTE)
    shares: list[float] = (votes / votes.sum()).tolist()
    return _side_by_side(team, ranking, shares, role="voter", does="votes")


def _diverse(team: Team, count: int) -> list[int]:
    """Return indices into the candidates by maximal marginal relevance, best first."""
    order = team.router.rank(team.estimate, team.positions, team.scores, len(team.positions))
    vectors = team.router.registry.embeddings[team.positions].astype(np.float64)
    chosen = [order[0]]
    while len(chosen) < min(count, len(order)):
        likeness = (vectors @ vectors[chosen].T).max(axis=1)
        gain = RELEVANCE * team.scores - (1.0 - RELEVANCE) * likeness
        gain[chosen] = -np.inf
        # In the order of the ranking, so that the first of equals is the better ranked.
        chosen.append(order[int(np.argmax(np.round(gain[order], 9)))])
    return chosen


def _side_by_side(
    team: Team, chosen: Sequence[int], shares: Sequence[float], *, role: str, does: str
) -> Plan:
    assignments = [
        _assignment(team.router, team.estimate, int(team.positions[index]), step, role, share, does)
        for step, (index, share) in enumerate(zip(chosen, shares, strict=True), start=1)
    ]
    return _plan(assignments, max)


def pipeline(team: Team, parts: Sequence[Part], capability_vectors: Mapping[str, Vector]) -> Plan:
    """Give each part, in order, to the agent with the nearest capability that is still unused.

    Args:
        team: the candidates.
        parts: of the request, in order, at most as many as there are candidates.
        capability_vectors: unit vector of each capability by its key; an agent none of whose
            capabilities is there is compared by all of them together.
    """
    free = list(range(len(team.positions)))
    used: set[str] = set()
    assignments: list[Assignment] = []
    for step, part in enumerate(parts, start=1):
        index, role, estimate = _best_for(team, part, free, used, capability_vectors)
        free.remove(index)
        used.add(capability_key(role, team.router.registry.aliases))
        position = int(team.positions[index])
        does = f'takes "{part.text}" for its capability {role}'
        share = 1.0 / len(parts)
        assignments.append(_assignment(team.router, estimate, position, step, role, share, does))
    return _plan(assignments, sum)


def _best_for(
    team: Team,
    part: Part,
    free: Sequence[int],
    used: set[str],
    vectors: Mapping[str, Vector],
) -> tuple[int, str, Estimate]:
    """Return the free candidate that suits a part best, the capability it has for it, and why."""
    router = team.router
    embedding = _in_light_of(part.embedding, team.request.embedding)
    matches = [
        _nearest_capability(router, int(team.positions[index]), embedding, used, vectors)
        for index in free
    ]
    similarity = team.estimate.similarity.copy()
    positions = team.positions[list(free)]
    similarity[positions] = [near for _, near in matches]
    estimate = _estimate_from(router, team, part, similarity, positions)
    scores = team.score(estimate, positions)
    best = router.rank(estimate, positions, scores, 1)[0]
    return free[best], matches[best][0], estimate


def _in_light_of(part: Vector, whole: Vector) -> Vector:
    mixed = (1.0 - WHOLE_SHARE) * part + WHOLE_SHARE * whole
    scaled: Vector = (mixed / np.linalg.norm(mixed)).astype(np.float32)
    return scaled


def _nearest_capability(
    router: Router, position: int, embedding: Vector, used: set[str], vectors: Mapping[str, Vector]
) -> tuple[str, float]:
    """Return an agent's capability nearest to a vector, unused ones first, and its similarity."""
    agent = router.registry.agents[position]
    keyed = [(capability_key(c, router.registry.aliases), c) for c in agent.capabilities]
    known = [(key, c) for key, c in keyed if key in vectors]
    fresh = [(key, c) for key, c in known if key not in used] or known
    if not fresh:
        unused = [c for key, c in keyed if key not in used] or [c for _, c in keyed]
        whole = similarities(router.registry.embeddings[[position]], embedding)[0]
        return (unused[0] if unused else agent.agent_type.value), float(whole)
    near = similarities(np.stack([vectors[key] for key, _ in fresh]), embedding)
    best = int(near.argmax())
    return fresh[best][1], float(near[best])


def _estimate_from(
    router: Router, team: Team, part: Part, similarity: Floats, positions: Positions
) -> Estimate:
    reference = float(similarity[positions].mean())
    heads = router.heads(Request(1, part.embedding, part.lexical))
    quality = router.quality(similarity, reference, heads)
    return Estimate(similarity, capability_match(similarity), team.estimate.cost, quality)


def _assignment(
    router: Router,
    estimate: Estimate,
    position: int,
    step: int,
    role: str,
    weight: float,
    does: str,
) -> Assignment:
    name = router.registry.names[position]
    cost = number(estimate.cost[position])
    latency = number(router.performance.latency_ms[position])
    quality = float(estimate.expected_quality[position])
    facts = f"{dollars(cost)}, {milliseconds(latency)}, expected quality {quality:.3f}"
    reasoning = f"{name} {does} with weight {weight:.3f} ({facts})."
    return Assignment(step, role, name, weight, quality, cost, latency, reasoning)


def _plan(
    assignments: list[Assignment], latency_together: Callable[[Sequence[float]], float]
) -> Plan:
    costs = [a.estimated_cost for a in assignments]
    latencies = [a.estimated_latency_ms for a in assignments]
    known_costs = [c for c in costs if c is not None]
    known_latencies = [t for t in latencies if t is not None]
    return Plan(
        assignments,
        sum(known_costs) if len(known_costs) == len(costs) else None,
        latency_together(known_latencies) if len(known_latencies) == len(latencies) else None,
    )
