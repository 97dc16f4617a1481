"""Do the 95 % intervals of ruvector_replay hold the truth? A simulation in which it is known.

    .dev/venv/bin/python benchmarks/replay_coverage.py

A made-up world: requests with a meaning and a length, agents whose chance of success on a request
and whose cost are known. A router that knows them only roughly routes with exploration; outcomes
are drawn, and some stay out, the oftener the longer the request is. Other policies are then
replayed from the log alone, with the code that the server runs, and the intervals are compared
with what these policies would have led to in that world. Printed is the share of logs whose
interval holds the truth, which should be .95; between which values that share lies with 95 %
confidence, given so many logs; and the mean error and width. A row whose share lies outside .90 to
.98 is judged by that: "chance" may explain it, or it is "OUTSIDE". ``--logs`` and ``--decisions``
set how many logs of how many decisions, ``--world`` draws other agents; with ``--flat-costs`` calls
do not cost what the price list says. With the defaults it takes about seven minutes on one core.
"""

from __future__ import annotations

import argparse
import functools
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from tiny_dancer.agents.agent import Agent, CostModel
from tiny_dancer.agents.registry import AgentRegistry
from tiny_dancer.batch import NOBODY, Requests, estimate_block
from tiny_dancer.errors import NotReadyError
from tiny_dancer.exploration import Exploration
from tiny_dancer.policies import POLICIES, Candidates, Weights
from tiny_dancer.replay.choices import choices, prices
from tiny_dancer.replay.logged_decisions import LoggedDecisions
from tiny_dancer.replay.off_policy import NORMAL_QUANTILE
from tiny_dancer.replay.policy import ReplayPolicy
from tiny_dancer.replay.report import ExploredLog
from tiny_dancer.router import Router
from tiny_dancer.settings import Settings

Floats = NDArray[np.float64]

# Least and greatest coverage that is asked for.
ASKED = (0.90, 0.98)
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

    def rows(self, kept: NDArray[np.bool_]) -> Asked:
        """Return some of them."""
        return Asked(*(column[kept] for column in self))


@dataclass(frozen=True)
class World:
    """Agents and what they are good at.

    Attributes:
        router: with the registered prices.
        tastes: how an agent's log-odds of success depend on the meaning of a request, [d, a].
        blindness: share of that which the router does not know of.
        flat_costs: whether a call costs the same however long the request is, unlike the prices.
    """

    router: Router
    tastes: Floats
    blindness: float = 0.5
    flat_costs: bool = False

    @classmethod
    def make(cls, seed: int = 0, *, flat_costs: bool = False) -> World:
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
        return cls(Router(registry, Settings()), tastes, flat_costs=flat_costs)

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
        """Dollars of each agent for each request, flat or by the price list, [n, a]."""
        tokens = np.full_like(asked.input_tokens, 200) if self.flat_costs else asked.input_tokens
        requests = Requests(tokens, asked.embeddings)
        return estimate_block(self.router, requests).cost

    def probabilities(self, asked: Asked, exploration: Exploration) -> Floats:
        """With which each agent is drawn for each request, [n, a]."""
        estimate = estimate_block(self.router, Requests(asked.input_tokens, asked.embeddings))
        candidates = Candidates(
            estimate.cost,
            np.full(estimate.cost.shape, LATENCY_MS),
            asked.expected,
            estimate.match,
            kept=np.ones(estimate.cost.shape, bool),
        )
        scores = POLICIES["balanced"](candidates, Weights(0.4, 0.0, 0.6))
        rows = [exploration.probabilities(row, int(row.argmax())) for row in scores]
        return np.array(rows).reshape(scores.shape)

    def log(
        self, asked: Asked, exploration: Exploration, generator: np.random.Generator
    ) -> LoggedDecisions:
        """Route with exploration, draw the outcomes, and return what is recorded."""
        count, agents = asked.chance.shape
        probabilities = self.probabilities(asked, exploration)
        chosen = np.array([exploration.draw(row) for row in probabilities], dtype=np.intp)
        rows = np.arange(count)
        quality = (generator.random(count) < asked.chance[rows, chosen]).astype(np.float64)
        cost = self.cost(asked)[rows, chosen] * generator.lognormal(-0.125, 0.5, count)
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

    def truth(
        self, policy: ReplayPolicy, exploration: Exploration, seed: int = 1, count: int = 1_000_000
    ) -> Truth:
        """What a policy leads to, over many more requests than any log has."""
        generator = np.random.default_rng(seed)
        qualities, costs = [], []
        for _ in range(20):
            asked = self.ask(count // 20, generator)
            chosen = choices(policy, self.router, _certain(asked))
            shares = np.eye(len(self.router.registry))[chosen]
            # Where the policy can choose nobody, the recorded choice stands.
            unserved = chosen == NOBODY
            shares[unserved] = self.probabilities(asked.rows(unserved), exploration)
            qualities.append((asked.chance * shares).sum(axis=1).mean())
            costs.append((self.cost(asked) * shares).sum(axis=1).mean())
        return Truth(float(np.mean(qualities)), float(np.mean(costs)))

    def explored(self, decisions: int, exploration: Exploration, seed: int) -> ExploredLog:
        """Draw a log, for policies to be replayed from."""
        generator = np.random.default_rng([7, seed])
        log = self.log(
            self.ask(decisions, generator), exploration._replace(random=generator.random), generator
        )
        price = functools.partial(prices, self.router)
        return ExploredLog.of(log, price, len(self.router.registry))


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

    def range(self) -> tuple[float, float]:
        """Return where the coverage may lie, by Wilson's 95 % interval of so many logs."""
        return wilson(sum(self.holds), len(self.holds))

    def verdict(self) -> str:
        """Judge the coverage: "" as asked for, "chance" if that explains it, else "OUTSIDE"."""
        least, most = ASKED
        if least <= np.mean(self.holds) <= most:
            return ""
        low, high = self.range()
        return "chance" if low <= most and high >= least else "OUTSIDE"

    def row(self) -> str:
        """Coverage and its range, relative bias, root mean squared error and width, verdict."""
        errors = np.array(self.errors) / self.true
        low, high = self.range()
        return (
            f"{np.mean(self.holds):.3f} | {low:.3f} to {high:.3f} | {errors.mean():+.3f} | "
            f"{(errors**2).mean() ** 0.5:.3f} | {np.mean(self.widths) / self.true:.3f} | "
            f"{self.verdict()}"
        )


def wilson(hits: int, count: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a share."""
    share, squared = hits / count, NORMAL_QUANTILE**2 / count
    centre = (share + squared / 2.0) / (1.0 + squared)
    reach = (squared * (share * (1.0 - share) + squared / 4.0)) ** 0.5 / (1.0 + squared)
    return centre - reach, centre + reach


class Replayed:
    """What came of replaying one policy from many logs.

    Attributes:
        tallies: by measure and estimator.
        sizes: effective sample sizes.
        refused: how many logs were too small.
    """

    def __init__(self, policy: ReplayPolicy, truth: Truth) -> None:
        self.policy = policy
        self.truth = truth
        self.tallies: dict[tuple[str, str], Tally] = {}
        self.sizes: list[float] = []
        self.refused = 0

    def add(self, log: ExploredLog, router: Router) -> None:
        """Replay the policy from one more log."""
        try:
            report = log.replay(functools.partial(choices, self.policy, router))
        except NotReadyError:
            self.refused += 1
            return
        self.sizes.append(report.estimates[0].effective_sample_size)
        for found in report.estimates:
            true = self.truth.quality if found.measure == "quality" else self.truth.cost
            tally = self.tallies.setdefault((found.measure, found.estimator), Tally(true))
            tally.add(found.value.estimate, found.value.low, found.value.high)


def coverage(
    names: Sequence[str],
    logs: int,
    decisions: int,
    exploration: Exploration,
    *,
    truths: int,
    seed: int = 0,
    flat_costs: bool = False,
) -> dict[str, Replayed]:
    """Replay every policy from every log.

    Args:
        names: of policies.
        logs: how many.
        decisions: of each log.
        exploration: of the router that recorded them.
        truths: requests by which the truth is worked out.
        seed: of the world.
        flat_costs: see ``World``.
    """
    world = World.make(seed, flat_costs=flat_costs)
    replayed: dict[str, Replayed] = {}
    for name in tqdm(names, desc="truth", leave=False, disable=None):
        policy = ReplayPolicy.parse(POLICIES_REPLAYED[name])
        replayed[name] = Replayed(policy, world.truth(policy, exploration, count=truths))
    for number in tqdm(range(logs), desc="logs", leave=False, disable=None):
        log = world.explored(decisions, exploration, number)
        for of_policy in replayed.values():
            of_policy.add(log, world.router)
    return replayed


def print_coverage(replayed: dict[str, Replayed]) -> list[str]:
    """Print a table, and return the verdicts on its rows."""
    print(
        "| policy | measure | estimator | coverage | 95 % | bias | error | width | verdict "
        "| ESS | refused |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    verdicts = []
    for name, of_policy in replayed.items():
        if not of_policy.tallies:
            print(f"| {name} | | | | | | | | | | {of_policy.refused} |")
        for (measure, estimator), tally in of_policy.tallies.items():
            verdicts.append(tally.verdict())
            print(
                f"| {name} | {measure} | {estimator} | {tally.row()} "
                f"| {np.mean(of_policy.sizes):.0f} | {of_policy.refused} |"
            )
    held = [held for of in replayed.values() for t in of.tallies.values() for held in t.holds]
    if held:
        print(f"\nall together: {np.mean(held):.3f} of {len(held)} intervals hold")
    return verdicts


def main() -> None:
    """Simulate and print; ends with 1 where a row deviates by more than chance."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--logs", type=int, default=600)
    parser.add_argument("--decisions", type=int, nargs="+", default=[1000, 4000])
    parser.add_argument("--policies", nargs="+", choices=POLICIES_REPLAYED)
    parser.add_argument("--world", type=int, default=0, metavar="SEED", help="another world")
    parser.add_argument("--flat-costs", action="store_true", help="costs unlike the prices")
    parser.add_argument("--share", type=float, default=0.2)
    parser.add_argument("--temperature", type=float, default=0.25)
    parser.add_argument(
        "--truth", type=int, default=1_000_000, help="requests by which the truth is worked out"
    )
    arguments = parser.parse_args()
    # Logs draw by their own seed; this one is replaced.
    exploration = Exploration(arguments.share, arguments.temperature, random=lambda: 0.0)
    names = arguments.policies or list(POLICIES_REPLAYED)
    verdicts: list[str] = []
    for decisions in arguments.decisions:
        print(
            f"\n{arguments.logs} logs of {decisions} decisions, exploration_share "
            f"{arguments.share:g}, exploration_temperature {arguments.temperature:g}; bias, error "
            "and width as shares of the true value\n"
        )
        verdicts += print_coverage(
            coverage(
                names,
                arguments.logs,
                decisions,
                exploration,
                truths=arguments.truth,
                seed=arguments.world,
                flat_costs=arguments.flat_costs,
            )
        )
    outside = verdicts.count("OUTSIDE")
    print(
        f"\n{len(verdicts)} rows: {verdicts.count('')} cover {ASKED[0]:.0%} to {ASKED[1]:.0%}, "
        f"{verdicts.count('chance')} lie outside by no more than chance, {outside} by more"
    )
    sys.exit(1 if outside else 0)


if __name__ == "__main__":
    main()
