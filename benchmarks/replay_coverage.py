"""Do the 95 % intervals of ruvector_replay hold the truth? A simulation in which it is known.

    .dev/venv/bin/python benchmarks/replay_coverage.py

A made-up world: requests with a meaning and a length, agents whose chance of success on a request
and whose cost are known. A router that knows them only roughly routes with exploration; outcomes
are drawn, and some stay out, the oftener the longer the request is. Other policies are then
replayed from the log alone, with the code that the server runs, and the intervals are compared
with what these policies would have led to in that world. Printed is the share of logs whose
interval holds the truth, which should be .95, and the mean error and width. ``--logs`` and
``--decisions`` set how many logs of how many decisions.
"""

from __future__ import annotations

import argparse
import functools
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from tiny_dancer.agents.agent import Agent, CostModel
from tiny_dancer.agents.registry import AgentRegistry
from tiny_dancer.batch import Requests, estimate_block
from tiny_dancer.errors import NotReadyError
from tiny_dancer.exploration import Exploration
from tiny_dancer.policies import POLICIES, Candidates, Weights
from tiny_dancer.replay.choices import choices, prices
from tiny_dancer.replay.logged_decisions import LoggedDecisions
from tiny_dancer.replay.policy import ReplayPolicy
from tiny_dancer.replay.report import ReplayReport, replay
from tiny_dancer.router import Router
from tiny_dancer.settings import Settings

Floats = NDArray[np.float64]

DIMENSIONS = 24
LATENCY_MS = 400.0
POLICIES_REPLAYED: dict[str, dict[str, Any]] = {
    "quality": {"optimize_for": "quality"},
    "cost above .75": {"optimize_for": "cost", "quality_floor": 0.75},
    "dial at .7": {"cost_weight": 0.7},
    "always the best": {"agent": "large"},
    "always the cheapest": {"agent": "tiny"},
}
# Quality at large, and dollars for 1,000 tokens.
AGENTS = {
    "large": (0.9, 0.03),
    "medium": (0.8, 0.006),
    "small": (0.7, 0.001),
    "tiny": (0.55, 0.0002),
}


class Truth(NamedTuple):
    """What a policy leads to on average in the world."""

    quality: float
    cost: float


class Asked(NamedTuple):
    """Requests: their vectors and lengths, and each agent's chance of success, [n, a]."""

    embeddings: NDArray[np.float32]
    input_tokens: NDArray[np.int64]
    chance: Floats
    expected: Floats


@dataclass(frozen=True)
class World:
    """Agents and what they are good at.

    Attributes:
        router: with the registered prices.
        tastes: how an agent's log-odds of success depend on the meaning of a request, [d, a].
        blindness: share of that which the router does not know of.
    """

    router: Router
    tastes: Floats
    blindness: float = 0.5

    @classmethod
    def make(cls, seed: int = 0) -> World:
        """Draw a world."""
        generator = np.random.default_rng(seed)
        agents = [
            Agent(
                name,
                cost=CostModel(per_1k_tokens=price),
                avg_latency_ms=LATENCY_MS,
                quality_score=quality,
                embedding=np.ones(DIMENSIONS, np.float32) / np.float32(DIMENSIONS**0.5),
            )
            for name, (quality, price) in AGENTS.items()
        ]
        registry = AgentRegistry(agents)
        tastes = 4.0 * generator.standard_normal((DIMENSIONS, len(registry)))
        return cls(Router(registry, Settings()), tastes)

    def ask(self, count: int, generator: np.random.Generator) -> Asked:
        """Draw requests."""
        vectors = generator.standard_normal((count, DIMENSIONS))
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        tokens = np.maximum(1, generator.lognormal(5.0, 1.0, count)).astype(np.int64)
        level = self.router.performance.log_odds
        bent = vectors @ self.tastes
        # Long requests are hard; what is beyond a half is beyond any linear model.
        hard = 0.3 * (np.log(tokens) - 5.0)[:, None]
        chance = _sigmoid(level + bent + np.abs(bent) * 0.3 - hard)
        expected = _sigmoid(level + (1.0 - self.blindness) * bent)
        return Asked(vectors.astype(np.float32), tokens, chance, expected)

    def cost(self, asked: Asked) -> Floats:
        """Dollars of each agent for each request by the price list, [n, a]."""
        requests = Requests(asked.input_tokens, asked.embeddings)
        return estimate_block(self.router, requests).cost

    def log(
        self, asked: Asked, exploration: Exploration, generator: np.random.Generator
    ) -> LoggedDecisions:
        """Route with exploration, draw the outcomes, and return what is recorded."""
        count, agents = asked.chance.shape
        estimate = estimate_block(self.router, Requests(asked.input_tokens, asked.embeddings))
        candidates = Candidates(
            estimate.cost,
            np.full(estimate.cost.shape, LATENCY_MS),
            asked.expected,
            estimate.match,
            kept=np.ones(estimate.cost.shape, bool),
        )
        scores = POLICIES["balanced"](candidates, Weights(0.4, 0.0, 0.6))
        probabilities = np.empty_like(scores)
        chosen = np.empty(count, dtype=np.intp)
        for row in range(count):
            probabilities[row] = exploration.probabilities(scores[row], int(scores[row].argmax()))
            chosen[row] = exploration.draw(probabilities[row])
        rows = np.arange(count)
        quality = (generator.random(count) < asked.chance[rows, chosen]).astype(np.float64)
        cost = estimate.cost[rows, chosen] * generator.lognormal(-0.125, 0.5, count)
        lost = generator.random(count) < 0.1 + 0.2 * (asked.input_tokens > 150)
        quality[lost] = cost[lost] = np.nan
        return LoggedDecisions(
            embeddings=asked.embeddings,
            lexical=np.zeros((count, 0), np.float32),
            input_tokens=asked.input_tokens,
            starts=np.arange(count + 1) * agents,
            candidates=np.tile(np.arange(agents), count),
            expected_quality=asked.expected.ravel(),
            probabilities=probabilities.ravel(),
            chosen=chosen,
            is_rule=np.zeros(count, bool),
            quality=quality,
            cost=cost,
        )

    def truth(self, policy: ReplayPolicy, seed: int = 1, count: int = 200_000) -> Truth:
        """What a policy leads to, over many more requests than any log has."""
        generator = np.random.default_rng(seed)
        qualities, costs = [], []
        for _ in range(20):
            asked = self.ask(count // 20, generator)
            chosen = choices(policy, self.router, _certain(asked))
            rows = np.arange(len(chosen))
            qualities.append(asked.chance[rows, chosen].mean())
            costs.append(self.cost(asked)[rows, chosen].mean())
        return Truth(float(np.mean(qualities)), float(np.mean(costs)))

    def replayed(
        self, policy: ReplayPolicy, decisions: int, exploration: Exploration, seed: int
    ) -> ReplayReport:
        """Draw a log and replay a policy from it."""
        generator = np.random.default_rng([7, seed])
        log = self.log(
            self.ask(decisions, generator), exploration._replace(random=generator.random), generator
        )

        def choose(used: LoggedDecisions) -> NDArray[np.intp]:
            return choices(policy, self.router, used)

        price = functools.partial(prices, self.router)
        return replay(log, choose, price, len(self.router.registry))


def _certain(asked: Asked) -> LoggedDecisions:
    """Requests as decisions that are only there to be chosen for."""
    count, agents = asked.chance.shape
    unknown = np.full(count, np.nan)
    return LoggedDecisions(
        embeddings=asked.embeddings,
        lexical=np.zeros((count, 0), np.float32),
        input_tokens=asked.input_tokens,
        starts=np.arange(count + 1) * agents,
        candidates=np.tile(np.arange(agents), count),
        expected_quality=asked.expected.ravel(),
        probabilities=np.full(count * agents, 1.0 / agents),
        chosen=np.zeros(count, np.intp),
        is_rule=np.zeros(count, bool),
        quality=unknown,
        cost=unknown,
    )


def _sigmoid(values: Floats) -> Floats:
    return np.asarray(1.0 / (1.0 + np.exp(-values)))


class Tally:
    """Counts how often intervals hold a true value."""

    def __init__(self, true: float) -> None:
        self.true = true
        self.holds: list[bool] = []
        self.errors: list[float] = []
        self.widths: list[float] = []

    def add(self, estimate: float, low: float, high: float) -> None:
        """Count one interval."""
        self.holds.append(low <= self.true <= high)
        self.errors.append(estimate - self.true)
        self.widths.append(high - low)

    def row(self) -> str:
        """Coverage, relative bias, relative root mean squared error and width."""
        errors = np.array(self.errors)
        figures = (
            float(np.mean(self.holds)),
            float(errors.mean()) / self.true,
            float((errors**2).mean()) ** 0.5 / self.true,
            float(np.mean(self.widths)) / self.true,
        )
        return " | ".join(
            f"{figure:+.3f}" if i == 1 else f"{figure:.3f}" for i, figure in enumerate(figures)
        )


def coverage(
    names: Sequence[str], logs: int, decisions: int, exploration: Exploration
) -> Iterator[tuple[str, str, str, Tally, float, int]]:
    """Replay every policy from every log.

    Yields:
        Name of the policy, measure, estimator, what was counted, mean effective sample size, and
        how many logs were refused.
    """
    world = World.make()
    for name in names:
        policy = ReplayPolicy.parse(POLICIES_REPLAYED[name])
        truth = world.truth(policy)
        tallies: dict[tuple[str, str], Tally] = {}
        sizes: list[float] = []
        refused = 0
        for seed in tqdm(range(logs), desc=name, leave=False):
            try:
                report = world.replayed(policy, decisions, exploration, seed)
            except NotReadyError:
                refused += 1
                continue
            sizes.append(report.estimates[0].effective_sample_size)
            for found in report.estimates:
                true = truth.quality if found.measure == "quality" else truth.cost
                tally = tallies.setdefault((found.measure, found.estimator), Tally(true))
                tally.add(found.value.estimate, found.value.low, found.value.high)
        for (measure, estimator), tally in tallies.items():
            yield name, measure, estimator, tally, float(np.mean(sizes)), refused
        if not tallies:
            print(f"{name}: all {refused} logs are too small and were refused")


def main() -> None:
    """Simulate and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--logs", type=int, default=400)
    parser.add_argument("--decisions", type=int, nargs="+", default=[1000, 4000])
    parser.add_argument("--policies", nargs="+", choices=POLICIES_REPLAYED)
    parser.add_argument("--share", type=float, default=0.2)
    parser.add_argument("--temperature", type=float, default=0.25)
    arguments = parser.parse_args()
    exploration = Exploration(
        arguments.share, arguments.temperature, np.random.default_rng().random
    )
    for decisions in arguments.decisions:
        print(
            f"\n{arguments.logs} logs of {decisions} decisions, exploration_share "
            f"{arguments.share:g}, exploration_temperature {arguments.temperature:g}; bias, error "
            "and width as shares of the true value\n"
        )
        print("| policy | measure | estimator | coverage | bias | error | width | ESS | refused |")
        print("|---|---|---|---|---|---|---|---|---|")
        counted: list[bool] = []
        for name, measure, estimator, tally, size, refused in coverage(
            arguments.policies or list(POLICIES_REPLAYED), arguments.logs, decisions, exploration
        ):
            counted += tally.holds
            print(f"| {name} | {measure} | {estimator} | {tally.row()} | {size:.0f} | {refused} |")
        if counted:
            print(f"\nall together: {np.mean(counted):.3f} of {len(counted)} intervals hold")


if __name__ == "__main__":
    main()
