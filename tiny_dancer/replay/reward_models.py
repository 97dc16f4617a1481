"""What an agent's outcome on a request is expected to be, by a model that has not seen the request.

A ridge regression for each agent. The decisions are dealt into parts, and each part is predicted
by models that learned from the other parts (cross-fitting), so that a model's errors on a request
do not depend on that request's outcome.

Source: Chernozhukov et al., Double/Debiased Machine Learning, Econometrics Journal 2018.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tiny_dancer.predictors.observations import Observations
from tiny_dancer.predictors.request_inputs import RequestInputs
from tiny_dancer.predictors.ridge_path import fit_ridge
from tiny_dancer.replay.leading_directions import leading_directions
from tiny_dancer.replay.logged_decisions import LoggedDecisions
from tiny_dancer.training.held_back import all_but

Floats = NDArray[np.float64]
Matrix = NDArray[np.float32]
Positions = NDArray[np.intp]
RowNumbers = NDArray[np.int64]

FOLDS = 5
# Of an embedding.
DIRECTIONS = 48
LEXICAL_SCALE = 0.1
# An agent with fewer outcomes is predicted by its mean.
LEAST_OUTCOMES = 20


def reward_inputs(decisions: LoggedDecisions) -> Matrix:
    """Return what the models see of each request: meaning, length, lexical features, [n, k]."""
    directions = leading_directions(decisions.embeddings, DIRECTIONS)
    meaning = decisions.embeddings @ directions
    tokens = decisions.input_tokens[:, None].astype(np.float32)
    beside = np.concatenate([tokens, np.log(tokens), decisions.lexical], axis=1)
    rows = Observations(
        meaning, beside, np.zeros((len(meaning), 1)), np.ones((len(meaning), 1), bool)
    )
    inputs = RequestInputs.fit(rows, embedding_scale=1.0, lexical_scale=LEXICAL_SCALE)
    return inputs.transform(meaning, beside)


@dataclass(frozen=True, slots=True, eq=False)
class RewardModels:
    """Linear models by part and agent.

    Attributes:
        inputs: of n decisions, [n, k].
        part_of: the part of each decision, [n].
        heads: of the models that did not learn from that part, [parts, agents, k].
        offsets: [parts, agents].
        bounds: of the rewards that were observed; no prediction lies outside.
    """

    inputs: Matrix
    part_of: Positions
    heads: Floats
    offsets: Floats
    bounds: tuple[float, float]

    @classmethod
    def fit(
        cls,
        inputs: Matrix,
        chosen: Positions,
        rewards: Floats,
        parts: list[RowNumbers],
        agents: int,
        progress: Callable[[str], None] = lambda message: None,
    ) -> RewardModels:
        """Learn.

        Args:
            inputs: see ``reward_inputs``.
            chosen: number of the agent whose outcome it is, [n].
            rewards: NaN without an outcome, [n].
            parts: row numbers; together all rows.
            agents: how many there are.
            progress: called after each model.
        """
        part_of = np.empty(len(inputs), dtype=np.intp)
        heads = np.zeros((len(parts), agents, inputs.shape[1]))
        offsets = np.zeros((len(parts), agents))
        known = ~np.isnan(rewards)
        for number, part in enumerate(parts):
            part_of[part] = number
            others = all_but(part, len(inputs))
            others = others[known[others]]
            overall = float(rewards[others].mean()) if len(others) else 0.0
            offsets[number] = overall
            for agent in np.unique(chosen[others]).tolist():
                own = others[chosen[others] == agent]
                head, offset = _fit_agent(inputs[own], rewards[own], overall)
                heads[number, agent], offsets[number, agent] = head, offset
                progress(f"reward models of part {number + 1} of {len(parts)}")
        observed = rewards[known]
        bounds = (float(observed.min()), float(observed.max())) if len(observed) else (0.0, 0.0)
        return cls(inputs, part_of, heads, offsets, bounds)

    def predict(self, agents: Positions) -> Floats:
        """Return the expected reward of one agent for each decision, [n].

        Args:
            agents: its number, [n].
        """
        predicted = np.einsum("nk,nk->n", self.inputs, self.heads[self.part_of, agents])
        predicted += self.offsets[self.part_of, agents]
        return np.asarray(np.clip(predicted, *self.bounds))


def _fit_agent(inputs: Matrix, rewards: Floats, overall: float) -> tuple[Floats, float]:
    """Return head and offset of one agent."""
    if len(rewards) < LEAST_OUTCOMES:
        # One outcome of the mean of all is added.
        return np.zeros(inputs.shape[1]), float((rewards.sum() + overall) / (len(rewards) + 1))
    none = np.zeros((len(inputs), 0), dtype=np.float32)
    mask = np.ones((len(inputs), 1), dtype=bool)
    fit = fit_ridge(inputs, Observations(inputs, none, rewards[:, None], mask))
    return fit.coefficients[:, 0], float(fit.offset[0])
