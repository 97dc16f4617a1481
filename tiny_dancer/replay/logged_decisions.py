"""Recorded decisions as arrays: what was known and likely, what was chosen, what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Positions = NDArray[np.intp]
Booleans = NDArray[np.bool_]

NOT_FOUND = -1


@dataclass(frozen=True, slots=True, eq=False)
class LoggedDecisions:
    """n decisions with m candidates in all; those of decision i lie at starts[i] to starts[i + 1].

    Attributes:
        embeddings: of the requests, float32 unit rows [n, d].
        lexical: their raw lexical features, float32 [n, l]; l may be 0.
        input_tokens: [n].
        starts: [n + 1].
        candidates: positions of agents in a registry, [m].
        expected_quality: of each candidate when it was decided, [m].
        probabilities: with which each candidate was drawn, [m].
        chosen: position of the agent that was, [n].
        is_rule: where a semantic route decided and no score, [n].
        quality: of what the decision led to, NaN without an outcome, [n].
        cost: dollars of all its outcomes, NaN without one, [n].
    """

    embeddings: NDArray[np.float32]
    lexical: NDArray[np.float32]
    input_tokens: NDArray[np.int64]
    starts: Positions
    candidates: Positions
    expected_quality: Floats
    probabilities: Floats
    chosen: Positions
    is_rule: Booleans
    quality: Floats
    cost: Floats

    def __len__(self) -> int:
        return len(self.chosen)

    @property
    def has_outcome(self) -> Booleans:
        """Where the decision has an outcome, [n]."""
        return ~np.isnan(self.quality)

    @property
    def can_be_replayed(self) -> Booleans:
        """Where another policy can be judged by what was recorded, [n].

        Chance decided, or there was nothing to decide: one candidate, or a rule that any policy
        obeys.
        """
        single = np.diff(self.starts) == 1
        least = np.minimum.reduceat(self.probabilities, self.starts[:-1]) if len(self) else single
        return np.asarray((least > 0.0) | single | self.is_rule)

    def rows(self, kept: Booleans) -> Self:
        """Return the decisions that are marked in ``kept``, [n]."""
        counts = np.diff(self.starts)
        entries = np.repeat(kept, counts)
        starts = np.concatenate(([0], np.cumsum(counts[kept]))).astype(np.intp)
        return type(self)(
            self.embeddings[kept],
            self.lexical[kept],
            self.input_tokens[kept],
            starts,
            self.candidates[entries],
            self.expected_quality[entries],
            self.probabilities[entries],
            self.chosen[kept],
            self.is_rule[kept],
            self.quality[kept],
            self.cost[kept],
        )

    def place_of(self, agents: Positions) -> Positions:
        """Return where among all candidates an agent of each decision stands, [n].

        Args:
            agents: positions in the registry, [n].

        NOT_FOUND where the agent is no candidate.
        """
        counts = np.diff(self.starts)
        found = np.flatnonzero(self.candidates == np.repeat(agents, counts))
        places = np.full(len(self), NOT_FOUND, dtype=np.intp)
        places[np.repeat(np.arange(len(self)), counts)[found]] = found
        return places
