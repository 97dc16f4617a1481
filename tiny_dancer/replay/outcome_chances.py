"""With which chance the outcome of a decision comes back, to stand for those that do not.

What keeps an outcome from coming back is mostly the request and seldom the agent. So one ridge
regression learns from all decisions, and each agent raises or lowers what it predicts. As in
``reward_models``, a decision is predicted by models that did not see it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tiny_dancer.replay.linear_fit import linear_fit
from tiny_dancer.replay.logged_decisions import LoggedDecisions
from tiny_dancer.replay.seen_requests import seen_requests
from tiny_dancer.training.held_back import all_but

Floats = NDArray[np.float64]
Matrix = NDArray[np.float32]
Booleans = NDArray[np.bool_]
Positions = NDArray[np.intp]
RowNumbers = NDArray[np.int64]

# No outcome stands for more than so many that did not come back.
LEAST_CHANCE = 0.05
# Length and lexical features are trusted as much as the meaning.
BESIDE_SCALE = 1.0
# The length is seen in so many steps, too: users may answer for long requests and not for short.
LENGTH_STEPS = 8
# Decisions without anything of its own that are added to those of each agent.
AGENT_STRENGTH = 20.0


def chance_inputs(decisions: LoggedDecisions) -> Matrix:
    """Return what the model sees of each request: meaning, length, lexical features, [n, k]."""
    tokens = decisions.input_tokens
    bounds = np.quantile(tokens, np.arange(1, LENGTH_STEPS) / LENGTH_STEPS)
    lengths = np.column_stack((tokens, np.log(tokens), tokens[:, None] > bounds))
    beside = np.concatenate([lengths.astype(np.float32), decisions.lexical], axis=1)
    return seen_requests(decisions.embeddings, beside, BESIDE_SCALE)


@dataclass(frozen=True, slots=True, eq=False)
class OutcomeChances:
    """Chances by agent.

    Attributes:
        of_request: with the usual agent, [n].
        of_agent: what each adds, by part, [parts, agents].
        part_of: the part of each decision, [n].
    """

    of_request: Floats
    of_agent: Floats
    part_of: Positions

    @classmethod
    def fit(
        cls,
        inputs: Matrix,
        chosen: Positions,
        known: Booleans,
        parts: list[RowNumbers],
        agents: int,
        progress: Callable[[str], None] = lambda message: None,
    ) -> OutcomeChances:
        """Learn.

        Args:
            inputs: of n decisions; see ``chance_inputs``.
            chosen: number of the agent, [n].
            known: whose outcome came back, [n].
            parts: row numbers; together all rows.
            agents: how many there are.
            progress: called after each part.
        """
        came_back = known.astype(np.float64)
        of_request = came_back.copy()
        of_agent = np.zeros((len(parts), agents))
        part_of = np.zeros(len(inputs), dtype=np.intp)
        for number, part in enumerate(parts):
            part_of[part] = number
            if known.all():
                continue
            others = all_but(part, len(inputs))
            head, offset = linear_fit(inputs[others], came_back[others])
            predicted = inputs @ head + offset
            of_request[part] = predicted[part]
            count = np.bincount(chosen[others], minlength=agents)
            left = np.bincount(chosen[others], (came_back - predicted)[others], minlength=agents)
            of_agent[number] = left / (count + AGENT_STRENGTH)
            progress(f"chances of outcomes of part {number + 1} of {len(parts)}")
        return cls(of_request, of_agent, part_of)

    def of(self, agents: Positions) -> Floats:
        """Return the chance with one agent for each decision, from LEAST_CHANCE to 1, [n]."""
        chances = self.of_request + self.of_agent[self.part_of, agents]
        return np.asarray(chances.clip(LEAST_CHANCE, 1.0))
