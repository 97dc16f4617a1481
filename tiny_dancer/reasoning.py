"""Sentences about a decision. Every number in them is the number that decided."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from json.encoder import encode_basestring
from typing import NamedTuple

OBJECTIVES = {
    "cost": "low cost",
    "latency": "low latency",
    "quality": "high quality",
    "balanced": "the balance of cost, latency and quality",
    "quality_per_dollar": "quality per dollar",
    "total_cost": "the least total cost of the batch",
}


class Standing(NamedTuple):
    """How one candidate stands in a decision.

    Attributes:
        score: what it was ranked by.
        expected_quality: of this request, in [0, 1].
        similarity: of its capabilities and the request, None if it has none.
        estimated_cost: dollars, None if unknown.
        estimated_latency_ms: milliseconds, None if unknown.
    """

    agent_name: str
    score: float
    expected_quality: float
    similarity: float | None
    estimated_cost: float | None
    estimated_latency_ms: float | None

    def as_json(self) -> str:
        """Return the standing as a JSON object."""
        # Formatted here and not by json.dumps, which takes as long as all the rest of a decision's
        # end. The digits that a double has beyond nine are noise, and cost as much again to print
        # and to read. The members come in the order that jsonb keeps, the shortest name first.
        name, similarity = encode_basestring(self.agent_name), _json_number(self.similarity)
        known = stated(self.estimated_cost, self.estimated_latency_ms)
        quality = self.expected_quality
        return (
            f'{{"score": {self.score:.9g}, "agent_name": {name}, "similarity": {similarity}, '
            f'"estimated_cost": {known.json_cost}, "expected_quality": {quality:.9g}, '
            f'"estimated_latency_ms": {known.json_latency_ms}}}'
        )


class Stated(NamedTuple):
    """A cost and a latency in texts.

    Attributes:
        words: as a sentence names them.
        json_cost, json_latency_ms: each as JSON.
        cost, latency_ms: each as the shortest text that is read as that number, None if unknown.
    """

    words: str
    json_cost: str
    json_latency_ms: str
    cost: str | None
    latency_ms: str | None


@lru_cache(maxsize=4096)
def stated(cost: float | None, latency_ms: float | None) -> Stated:
    """Return the texts of a cost and a latency; few agents and lengths make few of them."""
    return Stated(
        f"{dollars(cost)}, {milliseconds(latency_ms)}",
        _json_number(cost),
        _json_number(latency_ms),
        None if cost is None else repr(cost),
        None if latency_ms is None else repr(latency_ms),
    )


def _json_number(value: float | None) -> str:
    return "null" if value is None else f"{value:.9g}"


def standings_json(standings: Sequence[Standing]) -> str:
    """Return standings as a JSON array."""
    return f"[{', '.join([standing.as_json() for standing in standings])}]"


def explain_choice(standings: Sequence[Standing], optimize_for: str, candidates: int) -> str:
    """Return why the first of the standings was chosen.

    Args:
        standings: the chosen candidate and the runners-up, best first.
        optimize_for: what was optimised.
        candidates: how many agents passed the constraints.
    """
    best = standings[0]
    facts = f"{best.agent_name} ({_facts(best)})"
    if candidates == 1:
        return f"{facts} is the only agent that meets the constraints."
    claim = f"{facts} ranks first of {candidates} candidates for {OBJECTIVES[optimize_for]}"
    if len(standings) < 2:
        return f"{claim} with a score of {best.score:.4g}."
    second = standings[1]
    if second.score == best.score:
        tie = f"{second.agent_name} has the same score of {best.score:.4g}"
        return f"{claim}; {tie} {_tie(best, second)}."
    return (
        f"{claim} with a score of {best.score:.4g}, ahead of {second.agent_name} "
        f"({_facts(second)}) with {second.score:.4g}."
    )


def explain_route_taken(route: str, similarity: float, agent_name: str) -> str:
    """Return why a semantic route decided."""
    return (
        f'the request means the semantic route "{route}" (similarity {similarity:.3f}), '
        f"which leads to {agent_name}."
    )


def explain_exploration(
    agent_name: str, probability: float, best: str, optimize_for: str, candidates: int
) -> str:
    """Return why another candidate than the best one was chosen.

    Args:
        agent_name: the chosen one.
        probability: with which it was drawn.
        best: the candidate that ranks first.
        optimize_for: what was optimised.
        candidates: how many agents passed the constraints.
    """
    return (
        f"{agent_name} was drawn by chance (probability {_digits(probability, 3)}) so that its "
        f"outcome can be learned from; {best} ranks first of {candidates} candidates for "
        f"{OBJECTIVES[optimize_for]}."
    )


def _facts(standing: Standing) -> str:
    known = stated(standing.estimated_cost, standing.estimated_latency_ms)
    return f"{known.words}, expected quality {standing.expected_quality:.3f}"


def _tie(best: Standing, second: Standing) -> str:
    cost, latency = second.estimated_cost, second.estimated_latency_ms
    if best.estimated_cost != cost:
        return "but its cost is unknown" if cost is None else f"but costs {dollars(cost)}"
    if best.estimated_latency_ms != latency:
        unknown = latency is None
        return "but its latency is unknown" if unknown else f"but takes {milliseconds(latency)}"
    return "and comes later in the alphabet"


def dollars(amount: float | None) -> str:
    """Return an amount of dollars with the digits that matter."""
    if amount is None:
        return "cost unknown"
    return f"${amount:.2f}" if amount == 0.0 or amount >= 100.0 else f"${_digits(amount, 3)}"


def milliseconds(duration: float | None) -> str:
    """Return a duration in milliseconds."""
    if duration is None:
        return "latency unknown"
    return f"{duration:.0f} ms" if duration >= 1000.0 else f"{_digits(duration, 4)} ms"


def _digits(value: float, most: int) -> str:
    """Return the first digits of a number, without an exponent: 0.00005 and not 5e-05."""
    text = f"{value:.{most}g}"
    if "e" not in text:
        return text
    digits, exponent = text.split("e")
    places = len(digits.partition(".")[2]) - int(exponent)
    return f"{float(text):.{max(places, 0)}f}"


def explain_removals(agents: int, removed: Mapping[str, int]) -> str:
    """Return how many agents each constraint removed, in the order it was applied."""
    if not agents:
        return "No agent is registered."
    steps = [f"{name} removed {count}" for name, count in removed.items() if count]
    return f"Of {count_agents(agents)}: {', '.join(steps)}."


def count_agents(count: int) -> str:
    """Return the number of agents in words that agree with it."""
    return "1 agent" if count == 1 else f"{count} agents"
