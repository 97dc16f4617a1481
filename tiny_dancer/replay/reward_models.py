"""What an agent's outcome on a request is expected to be, by a model that has not seen the request.

A ridge regression for each agent. The decisions are dealt into parts, and each part is predicted
by models that learned from the other parts (cross-fitting), so that a model's errors on a request
do not depend on that request's outcome.

Source: Chernozhukov et al., Double/Debiased Machine Learning, Econometrics Journal 2018.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tiny_dancer.replay.linear_fit import linear_fit
from tiny_dancer.replay.logged_decisions import LoggedDecisions
from tiny_dancer.replay.seen_requests import seen_requests
from tiny_dancer.training.held_back import all_but

Floats = NDArray[np.float64]
Matrix = NDArray[np.float32]
Positions = NDArray[np.intp]
RowNumbers = NDArray[np.int64]

FOLDS = 5
LEXICAL_SCALE = 0.1
# What guesses leave of an agent with fewer outcomes is predicted by its mean.
LEAST_OUTCOMES = 20
# Outcomes like those of all agents that are added to each one's.
SLOPE_STRENGTH = 10.0
MEAN_STRENGTH = 5.0


def reward_inputs(decisions: LoggedDecisions) -> Matrix:
    """Return what the models see of each request: meaning, length, lexical features, [n, k]."""
    tokens = decisions.input_tokens[:, None].astype(np.float32)
    beside = np.concatenate([tokens, np.log(tokens), decisions.lexical], axis=1)
    return seen_requests(decisions.embeddings, beside, LEXICAL_SCALE)


class Guesses(NamedTuple):
    """What is expected of the rewards before any was seen: a price list, or the router's quality.

    Attributes:
        values: for one agent of each decision, [n]; NaN where there is no guess.
        proportional: whether an agent's rewards are its guesses times something of its own, as
            costs are, and not its guesses and something.
    """

    values: Floats
    proportional: bool


@dataclass(frozen=True, slots=True, eq=False)
class RewardModels:
    """Linear models of what guesses leave, by part and agent.

    Attributes:
        inputs: of n decisions, [n, k].
        part_of: the part of each decision, [n].
        slopes: what guesses are multiplied with, [parts, agents].
        heads: of the models that did not learn from that part, [parts, agents, k].
        offsets: [parts, agents].
        bounds: of the rewards that were observed; no prediction lies outside.
    """

    inputs: Matrix
    part_of: Positions
    slopes: Floats
    heads: Floats
    offsets: Floats
    bounds: tuple[float, float]

    @classmethod
    def fit(
        cls,
        inputs: Matrix,
        chosen: Positions,
        rewards: Floats,
        guesses: Guesses,
        parts: list[RowNumbers],
        agents: int,
        progress: Callable[[str], None] = lambda message: None,
    ) -> RewardModels:
        """Learn.

        Args:
            inputs: see ``reward_inputs``.
            chosen: number of the agent whose outcome it is, [n].
            rewards: NaN without an outcome, [n].
            guesses: of these rewards.
            parts: row numbers; together all rows.
            agents: how many there are.
            progress: called after each model.
        """
        part_of = np.empty(len(inputs), dtype=np.intp)
        shape = (len(parts), agents)
        slopes, offsets = np.ones(shape), np.zeros(shape)
        heads = np.zeros((*shape, inputs.shape[1]))
        known = ~np.isnan(rewards)
        guessed = np.nan_to_num(guesses.values, nan=0.0)
        for number, part in enumerate(parts):
            part_of[part] = number
            others = all_but(part, len(inputs))
            others = others[known[others]]
            if guesses.proportional:
                slopes[number] = _slopes(chosen[others], rewards[others], guessed[others], agents)
            left = rewards - slopes[number, chosen] * guessed
            overall = float(left[others].mean()) if len(others) else 0.0
            offsets[number] = overall
            for agent in np.unique(chosen[others]).tolist():
                own = others[chosen[others] == agent]
                head, offset = _fit_agent(inputs[own], left[own], overall)
                heads[number, agent], offsets[number, agent] = head, offset
                progress(f"reward models of part {number + 1} of {len(parts)}")
        observed = rewards[known]
        bounds = (float(observed.min()), float(observed.max())) if len(observed) else (0.0, 0.0)
        return cls(inputs, part_of, slopes, heads, offsets, bounds)

    def predict(self, agents: Positions, guesses: Floats) -> Floats:
        """Return the expected reward of one agent for each decision, [n].

        Args:
            agents: its number, [n].
            guesses: of its reward, NaN where there is none, [n].
        """
        predicted = np.einsum("nk,nk->n", self.inputs, self.heads[self.part_of, agents])
        predicted += self.offsets[self.part_of, agents]
        predicted += self.slopes[self.part_of, agents] * np.nan_to_num(guesses, nan=0.0)
        return np.asarray(np.clip(predicted, *self.bounds))


def _slopes(chosen: Positions, rewards: Floats, guessed: Floats, agents: int) -> Floats:
    """Return by what the guesses of each agent are multiplied, [a].

    Some decisions at the ratio of all agents are added to those of each.
    """
    total = float(guessed.sum())
    ratio = float(rewards[guessed > 0.0].sum()) / total if total > 0.0 else 1.0
    count = np.bincount(chosen, minlength=agents)
    guessed_of = np.bincount(chosen, guessed, minlength=agents)
    reward_of = np.bincount(chosen, rewards, minlength=agents)
    added = SLOPE_STRENGTH * guessed_of / np.maximum(count, 1)
    slopes = np.full(agents, ratio)
    tried = guessed_of > 0.0
    slopes[tried] = ((reward_of + ratio * added) / np.where(tried, guessed_of + added, 1.0))[tried]
    return slopes


def _fit_agent(inputs: Matrix, left: Floats, overall: float) -> tuple[Floats, float]:
    """Return head and offset of one agent for what guesses leave of its rewards."""
    if len(left) < LEAST_OUTCOMES:
        mean = (left.sum() + MEAN_STRENGTH * overall) / (len(left) + MEAN_STRENGTH)
        return np.zeros(inputs.shape[1]), float(mean)
    return linear_fit(inputs, left)
